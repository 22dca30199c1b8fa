"""`Gateway` and what it shares with `AsyncGateway`: one opened provider with one account's configuration.

Each public method is followed, further down, by the flow that does its work: `create_charge` by `_create_charge`.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import wait
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from ._checks import is_loopback
from ._frames import without_frames
from .account import Account, load_account
from .clock import Clock, SystemClock, check_clock
from .config import secrets_of
from .engine import Effects, Engine, Join, Send
from .errors import (
    Accepted,
    ConfigurationError,
    GatewayUnavailable,
    InvalidRequest,
    Mismatch,
    PaymentError,
    UnsupportedOperation,
    WebhookRejected,
)
from .flow import drive
from .info import ProviderInfo
from .interrupts import Interrupted, bare, interrupt_behind
from .models import (
    Authorization,
    CaptureRequest,
    Charge,
    ChargeRequest,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
)
from .money import Money
from .outcome import Call, check_repeat, fill_in
from .plugins import Hooks, instance_info, location
from .reports import Reports
from .requests import (
    check_amount,
    check_charge_request,
    check_deadline,
    check_due,
    check_reference,
    check_refund_reference,
    is_deadline,
    order_id_of,
    pairs_of,
    typed,
)
from .results import Results, is_current
from .retry import Retries
from .secrets import Secret
from .webhooks import MAX_DELIVERY_BYTES, Notification, WebhookDelivery, WebhookEvent

__all__ = ["Gateway", "OpenedGateway"]

if TYPE_CHECKING:
    from .transport import Transport

T = TypeVar("T")

_RETRIES: Final = Retries()


class OpenedGateway:
    """The part that both gateways share: every call as a flow of effects, so nothing here does I/O."""

    def __init__(
        self,
        name: str,
        provider: object,
        info: ProviderInfo,
        hooks: Hooks,
        base_url: str,
        deadline: float,
        clock: Clock,
        retries: Retries,
        secrets: Sequence[Secret] = (),
    ) -> None:
        self.name = name
        self.info = info
        self._provider = provider
        self._hooks = hooks
        self._deadline = deadline
        self._clock = clock
        self._reports = Reports(name, info, hooks, clock)
        self._engine = Engine(name, info, hooks, base_url, clock, self._reports, retries, secrets)
        # A gateway on this machine is a sandbox, whatever its provider declares.
        self.moves_money = False if is_loopback(urlsplit(base_url).hostname) else info.moves_money
        self._results = Results(name, info, moves_money=self.moves_money)
        self._closed = False

    @classmethod
    @without_frames
    def open(
        cls,
        name: str,
        config: Mapping[str, Any] | msgspec.Struct | Path | None = None,
        *,
        deadline: float = 10.0,
        transport: Any = None,
        clock: Clock | None = None,
        plugins: Sequence[object] = (),
        retries: Retries = _RETRIES,
    ) -> Self:
        """Open the gateway `name`, and check its settings, provider and plugins before the first call.

        Without `config` the settings come from `[gateways.NAME]` of payments.toml and from `PAYMENTS_<NAME>_<FIELD>`.
        A mapping (or the provider's own configuration struct) replaces them, and a Path names another payments.toml.
        `deadline` is the seconds that one whole call may take, and `retries` its retry policy. A `transport`
        that you pass replaces the settings `proxy` and `ca_file`, and stays open when the gateway is closed. Raise
        `ConfigurationError`, `ProviderNotFound` or `ProviderContractError`.
        """
        try:
            check_deadline(deadline)
            cls._check_transport(transport)
            check_clock(clock)
            if type(retries) is not Retries:
                raise ConfigurationError("retries is a Retries, such as Retries(runs=1)")
            return cls._open(load_account(name, config), deadline, transport, clock, plugins, retries)
        except PaymentError as error:
            error.gateway = name if isinstance(name, str) else ""
            raise

    @classmethod
    def _open(
        cls,
        account: Account,
        deadline: float,
        transport: Any,
        clock: Clock | None,
        plugins: Sequence[object],
        retries: Retries = _RETRIES,
    ) -> Self:
        account.check_transport(transport)
        provider = account.make_provider()
        info = instance_info(account.info, provider)
        hooks = Hooks(account.provider, provider, info, plugins, gateway=account.name)
        base_url = getattr(account.config, "base_url", "")
        secrets = tuple(secrets_of(account.config))
        opened = cls(account.name, provider, info, hooks, base_url, deadline, clock or SystemClock(), retries, secrets)
        opened._attach(transport, account)
        if opened.moves_money is False:
            sandbox = "no money moves: this is a test account, or a sandbox on this machine"
            opened._reports.log(logging.WARNING, Call("open", 0), sandbox)
        return opened

    @classmethod
    def _check_transport(cls, transport: object) -> None:
        raise NotImplementedError

    def _attach(self, transport: Any, account: Account) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    # -- the calls, as flows ----------------------------------------------------------------------------------------

    def _authorize(self, deadline: float | None) -> Effects[Authorization]:
        def work(call: Call) -> Effects[Authorization]:
            if self._hooks.get("authorize") is None:
                raise UnsupportedOperation(f"{self.info.title} needs no authorization step")
            return self._engine.authorization(call)

        return self._call("authorize", deadline, work)

    def _create_charge(
        self, request: ChargeRequest, deadline: float | None, first_sent_at: datetime | None
    ) -> Effects[Charge]:
        def work(call: Call) -> Effects[Charge]:
            asked = check_charge_request(request, self.info)
            return self._hook(call, {"request": asked}, lambda result: self._results.charge_asked_for(result, asked))

        return self._call("create_charge", deadline, work, order_id_of(request), first_sent_at)

    def _get_status(self, reference: Reference, deadline: float | None) -> Effects[Charge]:
        return self._call(
            "get_status", deadline, lambda call: self._ask(call, typed(reference, Reference)), order_id_of(reference)
        )

    def _ask(self, call: Call, reference: Reference) -> Effects[Charge]:
        if self._can_ask():
            check_reference(reference, self.info.query_by)
        return self._hook(
            call,
            {"reference": reference},
            lambda result: self._results.same_charge(result, reference),
            hook_name="get_status",
        )

    def _complete_charge(
        self,
        reference: Reference,
        returned: Mapping[str, str] | Iterable[tuple[str, str]],
        deadline: float | None,
        first_sent_at: datetime | None,
    ) -> Effects[Charge]:
        def work(call: Call) -> Effects[Charge]:
            asked = typed(reference, Reference)
            arguments = {"reference": asked, "returned": pairs_of(returned)}
            return self._hook(call, arguments, lambda result: self._results.same_charge(result, asked))

        return self._call("complete_charge", deadline, work, order_id_of(reference), first_sent_at)

    def _cancel_charge(
        self, reference: Reference, deadline: float | None, first_sent_at: datetime | None
    ) -> Effects[Charge]:
        def work(call: Call) -> Effects[Charge]:
            asked = typed(reference, Reference)
            return self._hook(call, {"reference": asked}, lambda result: self._results.same_charge(result, asked))

        return self._call("cancel_charge", deadline, work, order_id_of(reference), first_sent_at)

    def _capture_charge(
        self, request: CaptureRequest, deadline: float | None, first_sent_at: datetime | None
    ) -> Effects[Charge]:
        def work(call: Call) -> Effects[Charge]:
            asked = typed(request, CaptureRequest)
            check_amount(asked.amount, self.info)
            return self._hook(
                call, {"request": asked}, lambda result: self._results.same_charge(result, asked.reference)
            )

        return self._call("capture_charge", deadline, work, order_id_of(request), first_sent_at)

    def _refund_charge(
        self, request: RefundRequest, deadline: float | None, first_sent_at: datetime | None
    ) -> Effects[Refund]:
        def accept(result: object) -> Refund:
            refund = self._results.same_refund(result, RefundReference(request.refund_id, reference=request.reference))
            if refund.amount is not None and refund.amount != request.amount:
                error = Mismatch("the gateway's answer is about another amount", field="amount")
                if refund.refund_id == request.refund_id:
                    error.accepted = Accepted.YES  # it has this refund, of another amount
                raise error
            return refund

        def work(call: Call) -> Effects[Refund]:
            check_amount(typed(request, RefundRequest).amount, self.info)
            return self._hook(call, {"request": request}, accept)

        return self._call("refund_charge", deadline, work, order_id_of(request), first_sent_at)

    def _get_refund(self, reference: RefundReference, deadline: float | None) -> Effects[Refund]:
        return self._call(
            "get_refund",
            deadline,
            lambda call: self._hook(
                call,
                {"reference": check_refund_reference(typed(reference, RefundReference), self.info)},
                lambda result: self._results.same_refund(result, reference),
            ),
            order_id_of(reference),
        )

    def _confirm(
        self, order_id: str, amount: Money, provider_id: str, deadline: float | None, *, hinted_id: str = ""
    ) -> Effects[Charge]:
        """Query, then compare with what the caller knows; an id that only a hint named is queried but not trusted."""

        def work(call: Call) -> Effects[Charge]:
            check_due(order_id, amount)
            charge = yield from self._ask(call, Reference(order_id, provider_id or hinted_id))
            return self._required(call, charge, amount, provider_id)

        return self._call("confirm", deadline, work, order_id_of(order_id))

    def _confirm_event(
        self, event: WebhookEvent, order_id: str, amount: Money, provider_id: str, deadline: float | None
    ) -> Effects[Charge]:
        def work(call: Call) -> Effects[Charge]:
            check_due(order_id, amount)
            self._results.check_given(event)
            charge = event.charge
            if charge is None or (self._can_ask() and not is_current(event, provider_id, self._clock.now())):
                hinted_id = event.reference.provider_id if event.reference is not None else ""
                charge = yield from self._ask(call, Reference(order_id, provider_id or hinted_id))
            return self._required(call, charge, amount, provider_id)

        return self._call("confirm", deadline, work, order_id_of(order_id))

    def _can_ask(self) -> bool:
        return self._hooks.get("get_status") is not None

    def _required(self, call: Call, charge: Charge, amount: Money, provider_id: str) -> Charge:
        try:
            return charge.require(call.order_id, amount, provider_id=provider_id)
        except Mismatch as exc:
            error = exc
        self._reports.mismatched(call, error)
        raise error

    def _parse_webhook(self, delivery: WebhookDelivery, deadline: float | None) -> Effects[Notification]:
        def work(call: Call) -> Effects[Notification]:
            hook = self._hooks.get("parse_webhook")
            if hook is None:
                raise UnsupportedOperation(f"{self.info.title} sends no notifications")
            if type(delivery) is not WebhookDelivery:
                raise InvalidRequest("delivery is a WebhookDelivery", field="delivery")
            if len(delivery.body) > MAX_DELIVERY_BYTES or delivery.method not in self.info.webhook_methods:
                raise WebhookRejected("malformed")
            return self._engine.perform(
                call,
                hook,
                {"delivery": delivery},
                lambda result: self._results.notification(result, delivery.received_at or self._clock.now()),
                now=delivery.received_at,
            )

        return self._call("parse_webhook", deadline, work)

    # -- what the calls share ---------------------------------------------------------------------------------------

    def _call(
        self,
        operation: str,
        deadline: float | None,
        work: Callable[[Call], Effects[T]],
        order_id: str = "",
        first_sent_at: datetime | None = None,
    ) -> Effects[T]:
        """Make one public call: run `work`, map every error to a `PaymentError`, and report the end."""
        limit = self._deadline if deadline is None else deadline
        call = Call(operation, limit if is_deadline(limit) else 0, order_id)
        started_at = self._reports.started_at("operation_finished")
        error: BaseException | None = None
        try:
            if first_sent_at is not None:
                check_repeat(call, self.info, first_sent_at, self._clock.now())
            self._check_open()
            check_deadline(limit)
            result = yield from work(call)
            self._reports.succeeded(call, result)
            return result  # noqa: TRY300 - in an `else` a signal would come out as if nothing had been sent
        except PaymentError as exc:
            error = exc
            fill_in(exc, self.name, self.info, call)
            self._reports.failed(call, exc)
            raise
        except Interrupted as exc:
            error = self._engine.interrupted(call, exc.interrupt)
        except Exception as exc:
            if isinstance(exc, MemoryError):
                raise
            error = self._unforeseen(call, exc)
        except BaseException as exc:
            error = exc  # interrupted or cancelled: what was sent may have been accepted
            raise
        finally:
            self._reports.finished(call, started_at, error)
        raise error

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidRequest("this gateway is closed: open it again", field="gateway")

    def _check_sending(self) -> None:
        """Let a call that was under way when the gateway was closed send nothing more."""
        if self._closed:
            raise GatewayUnavailable("this gateway was closed, so nothing was sent")

    def _unforeseen(self, call: Call, exc: Exception) -> BaseException:
        if (interrupt := interrupt_behind(exc)) is not None:
            return self._engine.interrupted(call, bare(interrupt))
        self._reports.log(logging.ERROR, call, "unforeseen: %s", location(exc))
        return self._engine.unforeseen(call, exc)

    def _hook(
        self, call: Call, arguments: Mapping[str, object], accept: Callable[[object], T], *, hook_name: str = ""
    ) -> Effects[T]:
        hook = self._hooks.get(hook_name or call.operation)
        if hook is None:
            raise UnsupportedOperation(f"{self.info.title} has no {hook_name or call.operation}")
        return self._engine.perform(call, hook, arguments, accept)


class Gateway(OpenedGateway):
    """A gateway for sync callers, safe to share among threads.

    Every call takes `deadline=` in seconds and raises only `PaymentError`s. Calls that move money take `first_sent_at=`
    too: see `create_charge`. Use it in a `with` block, or `close()` it.

    * `name`: the name that it was opened by, a `str`
    * `info`: what its provider declares, a `ProviderInfo`
    * `moves_money`: False for a test account or a sandbox, None where it is unknown, a `bool | None`
    """

    _transport: Transport

    def authorize(self, *, deadline: float | None = None) -> Authorization:
        """Return the current right to call the gateway's API, obtained if there is none."""
        return self._perform(self._authorize(deadline))

    def create_charge(
        self, request: ChargeRequest, *, deadline: float | None = None, first_sent_at: datetime | None = None
    ) -> Charge:
        """Ask for money, once. `OutcomeUnknown` means: ask with `get_status`, never just send again.

        Where asking is impossible and the error is `repeatable`, make the identical call with its `first_sent_at` (or,
        after a crash, with the time that was stored before the call). Beyond `info.key_lifetime` that is refused before
        anything is sent; nothing that comes back says that nothing was accepted.
        """
        return self._perform(self._create_charge(request, deadline, first_sent_at))

    def get_status(self, reference: Reference, *, deadline: float | None = None) -> Charge:
        """Ask where a charge stands; raise `Mismatch` where the answer is about another one."""
        return self._perform(self._get_status(reference, deadline))

    def confirm(self, order_id: str, amount: Money, *, provider_id: str = "", deadline: float | None = None) -> Charge:
        """Ask, and compare the answer with what was asked for; then `.is_paid` is the one thing to test.

        Raise `Mismatch` where the ids, the amount or the currency differ.
        """
        return self._perform(self._confirm(order_id, amount, provider_id, deadline))

    def confirm_event(
        self,
        event: WebhookEvent,
        order_id: str,
        amount: Money,
        *,
        provider_id: str = "",
        deadline: float | None = None,
    ) -> Charge:
        """Do as `confirm` does with what an event is about: read its own charge where it has one, else ask.

        `order_id`, `amount` and `provider_id` are those that were stored when the charge was made.
        """
        return self._perform(self._confirm_event(event, order_id, amount, provider_id, deadline))

    def parse_webhook(self, delivery: WebhookDelivery, *, deadline: float | None = None) -> Notification:
        """Verify and read a notification; `WebhookRejected` means: answer its `status` and change nothing."""
        return self._perform(self._parse_webhook(delivery, deadline))

    def complete_charge(
        self,
        reference: Reference,
        returned: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        *,
        deadline: float | None = None,
        first_sent_at: datetime | None = None,
    ) -> Charge:
        """Finish a charge after the shopper came back with `returned` (query or form pairs)."""
        return self._perform(self._complete_charge(reference, returned, deadline, first_sent_at))

    def capture_charge(
        self, request: CaptureRequest, *, deadline: float | None = None, first_sent_at: datetime | None = None
    ) -> Charge:
        """Take the money of an authorized charge."""
        return self._perform(self._capture_charge(request, deadline, first_sent_at))

    def cancel_charge(
        self, reference: Reference, *, deadline: float | None = None, first_sent_at: datetime | None = None
    ) -> Charge:
        """Close a charge that is not paid."""
        return self._perform(self._cancel_charge(reference, deadline, first_sent_at))

    def refund_charge(
        self, request: RefundRequest, *, deadline: float | None = None, first_sent_at: datetime | None = None
    ) -> Refund:
        """Give money back, once for each `refund_id`."""
        return self._perform(self._refund_charge(request, deadline, first_sent_at))

    def get_refund(self, reference: RefundReference, *, deadline: float | None = None) -> Refund:
        """Ask where a refund stands."""
        return self._perform(self._get_refund(reference, deadline))

    def close(self) -> None:
        """Close the connections; a transport that you passed to `open` stays open."""
        self._closed = True
        if self._owned:
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @classmethod
    def _check_transport(cls, transport: object) -> None:
        if transport is not None and inspect.iscoroutinefunction(getattr(transport, "send", None)):
            raise ConfigurationError("this transport is async: give it to AsyncGateway")

    def _attach(self, transport: Any, account: Account) -> None:
        self._owned = transport is None
        if transport is None:
            from .transport import HTTPTransport

            transport = account.make_transport(HTTPTransport)
        self._transport = transport

    def _perform(self, flow: Generator[Any, Any, T]) -> T:
        return drive(flow, self._do)

    def _do(self, effect: object) -> object:
        if type(effect) is Send:
            self._check_sending()
            return self._transport.send(effect.request, deadline=effect.seconds)
        if type(effect) is Join:
            wait([effect.flight.ended], timeout=effect.seconds)
        else:
            time.sleep(effect.seconds)  # type: ignore[attr-defined]
        return None
