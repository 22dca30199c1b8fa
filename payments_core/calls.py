"""Every public call as a flow of effects, shared by the sync and the async gateway; nothing here does I/O."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import GeneratorType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from ._checks import is_loopback
from ._frames import without_frames
from .account import Account, load_account
from .authorization import AuthorizationCache
from .clock import Clock, SystemClock, check_clock
from .config import secrets_of
from .engine import Effects, Engine
from .errors import (
    Accepted,
    GatewayUnavailable,
    InvalidRequest,
    Mismatch,
    PaymentError,
    UnsupportedOperation,
    WebhookRejected,
)
from .info import ProviderInfo
from .interrupts import Interrupted, bare, interrupt_behind
from .logs import log
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
from .observers import OperationRecord
from .plugins import Hook, Hooks, instance_info, where
from .position import Call, check_repeat, fill_in
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
from .results import Results, stands
from .secrets import Secret
from .status import PaymentStatus, RefundStatus
from .webhooks import MAX_DELIVERY_BYTES, Notification, WebhookDelivery, WebhookEvent

__all__ = ["OpenedGateway"]

T = TypeVar("T")


class OpenedGateway:
    """What both gateways are made of: every call as a flow of effects, and not one of them doing I/O."""

    def __init__(
        self,
        name: str,
        provider: object,
        info: ProviderInfo,
        hooks: Hooks,
        base_url: str,
        deadline: float,
        clock: Clock,
        secrets: Sequence[Secret] = (),
    ) -> None:
        self.name = name
        self.info = info
        self._provider = provider
        self._hooks = hooks
        self._deadline = deadline
        self._clock = clock
        self._engine = Engine(name, info, hooks, base_url, clock, AuthorizationCache(), secrets)
        # A gateway of this machine is a sandbox, whatever its provider says.
        self.moves_money = False if is_loopback(urlsplit(base_url).hostname) else info.moves_money
        self._results = Results(name, info, moves_money=self.moves_money)
        self._parse = hooks.get("parse_webhook")
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
    ) -> Self:
        """Open the gateway `name`: its settings, its provider, its plugins, all checked before the first call.

        Without `config` the settings come from `[gateways.NAME]` of payments.toml and `PAYMENTS_<NAME>_<FIELD>`; a mapping
        (or the provider's own configuration struct) replaces them, and a Path names another payments.toml. `deadline`
        is the seconds that one whole call may take. A `transport` that is given is not closed with the gateway, and
        stands in place of the settings `proxy` and `ca_file`. Raises `ConfigurationError`, `ProviderNotFound` or
        `ProviderContractError`.
        """
        try:
            check_deadline(deadline)
            cls._check_transport(transport)
            check_clock(clock)
            return cls._open(load_account(name, config), deadline, transport, clock, plugins)
        except PaymentError as error:
            error.gateway = name if isinstance(name, str) else ""
            raise

    @classmethod
    def _open(
        cls, account: Account, deadline: float, transport: Any, clock: Clock | None, plugins: Sequence[object]
    ) -> Self:
        account.check_transport(transport)
        provider = account.make_provider()
        info = instance_info(account.info, provider)
        hooks = Hooks(account.provider, provider, info, plugins, gateway=account.name)
        base_url = getattr(account.config, "base_url", "")
        secrets = tuple(secrets_of(account.config))
        opened = cls(account.name, provider, info, hooks, base_url, deadline, clock or SystemClock(), secrets)
        opened._attach(transport, account)
        if opened.moves_money is False:
            sandbox = "no money moves: this is a test account, or a sandbox on this machine"
            log(logging.WARNING, opened.name, Call("open", 0), sandbox)
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
        """Ask, then compare with what the caller knows; an id that only a hint named is asked about, not trusted."""

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
            if charge is None or (self._can_ask() and not stands(event, provider_id, self._clock.now())):
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
        call.request_id = error.request_id
        log(logging.ERROR, self.name, call, "%s", error.message)
        raise error

    def _parse_flow(
        self, hook: Hook, delivery: WebhookDelivery, outcome: object, deadline: float | None
    ) -> Effects[Notification]:
        """The rest of a parse_webhook whose hook turned out to be a flow (it may need the gateway's certificate)."""
        resumed = _Resumed(hook, outcome)
        return self._call(
            "parse_webhook",
            deadline,
            lambda call: self._engine.perform(
                call, resumed, self._webhook_arguments(delivery), lambda result: self._accept(result, delivery)
            ),
        )

    # -- what the calls share ---------------------------------------------------------------------------------------

    def _call(
        self,
        operation: str,
        deadline: float | None,
        work: Callable[[Call], Effects[T]],
        order_id: str = "",
        first_sent_at: datetime | None = None,
    ) -> Effects[T]:
        """Make one public call: with named errors, records for observers, and a line in the log."""
        limit = self._deadline if deadline is None else deadline
        call = Call(operation, limit if is_deadline(limit) else 0, order_id)
        watched = self._hooks.observed("operation_finished")
        started_at = self._clock.now() if watched else None
        error: BaseException | None = None
        try:
            if first_sent_at is not None:
                check_repeat(call, self.info, first_sent_at, self._clock.now())
            self._check_open()
            check_deadline(limit)
            result = yield from work(call)
            self._observe(call, result)
            return result  # noqa: TRY300 - in an `else` a signal would come out as if nothing had been sent
        except PaymentError as exc:
            error = exc
            fill_in(exc, self.name, self.info, call)
            log(logging.INFO, self.name, call, "failed: %s, accepted %s", type(exc).__name__, exc.accepted)
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
            if started_at is not None:
                self._record(call, started_at, error)
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
        log(logging.ERROR, self.name, call, "unforeseen: %s", where(exc))
        return self._engine.unforeseen(call, exc)

    def _record(self, call: Call, started_at: datetime, error: BaseException | None) -> None:
        self._hooks.notify(
            "operation_finished",
            operation=OperationRecord(
                provider=self.info.id,
                name=call.operation,
                started_at=started_at,
                seconds=time.monotonic() - call.began,
                runs=call.runs,
                error=type(error).__name__ if error is not None else "",
                gateway=self.name,
                order_id=call.order_id,
                request_id=call.request_id,
            ),
        )

    def _hook(
        self, call: Call, arguments: Mapping[str, object], accept: Callable[[object], T], *, hook_name: str = ""
    ) -> Effects[T]:
        hook = self._hooks.get(hook_name or call.operation)
        if hook is None:
            raise UnsupportedOperation(f"{self.info.title} has no {hook_name or call.operation}")
        return self._engine.perform(call, hook, arguments, accept)

    def _observe(self, call: Call, result: object) -> None:
        if isinstance(result, Charge):
            if result.status is PaymentStatus.UNKNOWN:
                self._warn_of_status(call, "status", result.raw_status)
            self._hooks.notify("charge_observed", charge=result)
        elif isinstance(result, Refund) and result.status is RefundStatus.UNKNOWN:
            self._warn_of_status(call, "refund status", result.raw_status)

    def _warn_of_status(self, call: Call, what: str, raw_status: str) -> None:
        log(logging.WARNING, self.name, call, "the gateway answered a %s not in its table: %.64r", what, raw_status)

    # -- webhooks: no generator and no record on the way, because most need no I/O --------------------------------------

    def _webhook_arguments(self, delivery: WebhookDelivery) -> dict[str, object]:
        if self._parse is None or "context" not in self._parse.accepts:
            return {"delivery": delivery}
        return {"delivery": delivery, "context": self._engine.context(delivery.received_at)}

    def _receive(self, delivery: WebhookDelivery, deadline: float | None) -> Notification | Effects[Notification]:
        hook, call = self._parse, Call("parse_webhook", 0)
        if hook is None:
            raise self._rejected(call, UnsupportedOperation(f"{self.info.title} sends no notifications"))
        if type(delivery) is not WebhookDelivery:
            raise self._rejected(call, InvalidRequest("delivery is a WebhookDelivery", field="delivery"))
        if self._closed:
            raise self._rejected(call, InvalidRequest("this gateway is closed: open it again", field="gateway"))
        if "authorization" in hook.accepts and self._acceptable(delivery):
            return self._watched(self._parse_flow(hook, delivery, None, deadline))
        call.runs = 1
        error: PaymentError | None = None
        outcome: Notification | GeneratorType[Any, Any, Any] | None = None
        watched = self._hooks.observed("operation_finished")
        started_at = self._clock.now() if watched else None
        try:
            outcome = self._read(hook, delivery)
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as exc:
            if interrupt_behind(exc) is not None:
                raise
            error = self._engine.before_first_request(exc, call)
        if type(outcome) is GeneratorType:
            return self._watched(self._parse_flow(hook, delivery, outcome, deadline))
        if started_at is not None:
            self._record(call, started_at, error)
        if error is not None or type(outcome) is not Notification:
            raise self._rejected(call, error or WebhookRejected("malformed"))
        self._believed(outcome)
        return outcome

    def _acceptable(self, delivery: WebhookDelivery) -> bool:
        return len(delivery.body) <= MAX_DELIVERY_BYTES and delivery.method in self.info.webhook_methods

    def _read(self, hook: Hook, delivery: WebhookDelivery) -> Notification | GeneratorType[Any, Any, Any]:
        """What the hook makes of a delivery: a checked Notification, or a flow that has still to be run."""
        if not self._acceptable(delivery):
            raise WebhookRejected("malformed")
        outcome = hook(self._webhook_arguments(delivery))
        return outcome if type(outcome) is GeneratorType else self._accept(outcome, delivery)

    def _accept(self, result: object, delivery: WebhookDelivery) -> Notification:
        return self._results.notification(result, delivery.received_at or self._clock.now())

    def _watched(self, flow: Effects[Notification]) -> Effects[Notification]:
        try:
            notification = yield from flow
        except WebhookRejected as exc:
            self._rejected(Call("parse_webhook", 0), exc)
            raise
        self._believed(notification)
        return notification

    def _believed(self, notification: Notification) -> None:
        if self._hooks.observed("webhook_observed"):
            for event in notification.events:
                self._hooks.notify("webhook_observed", event=event)

    def _rejected(self, call: Call, error: PaymentError) -> PaymentError:
        fill_in(error, self.name, self.info, call)
        if isinstance(error, WebhookRejected):
            error.status = self.info.rejection_status
            log(logging.WARNING, self.name, call, "a notification was rejected: %s", error.reason)
            self._hooks.notify("webhook_rejected", gateway=self.name, provider=self.info.id, reason=error.reason)
        return error


class _Resumed(Hook):
    """A parse_webhook hook whose first run was already begun: hands out that flow first, then calls the hook again."""

    __slots__ = ()

    def __init__(self, hook: Hook, begun: object) -> None:
        outcomes = [begun] if begun is not None else []
        self.name, self.accepts = hook.name, hook.accepts
        self._call = lambda arguments: outcomes.pop() if outcomes else hook(arguments)
