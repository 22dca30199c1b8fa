"""Play a charge against a sandbox: carry out each step over HTTP, check it, then report it."""

from __future__ import annotations

import queue
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Final, assert_never

from payments_core import (
    Charge,
    ConfigurationError,
    Gateway,
    InvalidRequest,
    Mismatch,
    Money,
    Notifications,
    PaymentError,
    PaymentStatus,
    Reference,
    Rejected,
    RejectionCode,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
)

from .console import Console, OutputLost
from .demo_steps import authorize, build_request, show_authorized, show_charged
from .display import action_address
from .encoding import charge_fields
from .exits import Exit, Stop
from .opening import Sandbox, start_sandbox
from .posting import post

try:
    from payments_core.testing.server import ReceivedDelivery, WebhookListener
except ImportError as exc:
    raise ConfigurationError(f"the demo needs {exc.name}: pip install 'payments-core[sandbox]'") from None

__all__ = ["play"]

_TIMEOUT: Final = 15.0
_BROWSER_TIMEOUT: Final = 900.0
_POLL_INTERVAL: Final = 1.0
_MALFORMED: Final = b"\xff\xfe not a notification"
_NO_NOTIFICATION: Final = (
    "The sandbox delivers to the charge's notify_url. If the gateway takes no address with a charge, give the sandbox\n"
    "a method register_endpoint(url): the demo calls it before the shopper pays."
)
_CHOOSE_OPTIONS: Final = (
    "The demo has chosen that by itself. Choose: --order-id ID, --amount 88.00, --currency CODE, --return-url URL."
)


class _Inbox:
    """Receive notifications as a shop does, and keep accepted events and refusals for the demo."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.accepted: queue.Queue[tuple[ReceivedDelivery, WebhookEvent]] = queue.Queue()
        self.refused: queue.Queue[PaymentError] = queue.Queue()

    def receive(self, delivery: ReceivedDelivery) -> int:
        """Parse the raw bytes, and return the status to answer."""
        received = WebhookDelivery(delivery.body, delivery.headers, delivery.received_at, url=delivery.url)
        try:
            notification = self._gateway.parse_webhook(received)
        except PaymentError as error:
            self.refused.put(error)
            return error.status if isinstance(error, WebhookRejected) else 500
        for event in notification.events:
            self.accepted.put((delivery, event))
        return notification.acknowledgement.status

    def wait_for(self, charge: Reference, seconds: float) -> tuple[ReceivedDelivery, WebhookEvent] | None:
        """Return the next accepted event about this charge, or None after `seconds`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                delivery, event = self.accepted.get(timeout=left)
            except queue.Empty:
                break
            if event.subject is Subject.CHARGE and event.reference is not None and _same(event.reference, charge):
                return delivery, event
        if not self.refused.empty():
            raise Stop(f"the sandbox's notification was refused: {self.refused.get()}")
        return None


class _Walkthrough:
    """Hold what the steps share: the sandbox, the opened gateway, the shop's webhook address and the charge."""

    def __init__(
        self, args: Namespace, console: Console, sandbox: Sandbox, gateway: Gateway, listener: WebhookListener
    ) -> None:
        self._console = console
        self._sandbox = sandbox
        self._gateway = gateway
        self._inbox = _Inbox(gateway)
        self._url = listener.url
        listener.respond = self._inbox.receive
        self._by_hand: bool = args.browser
        self._timeout = _BROWSER_TIMEOUT if args.browser else _TIMEOUT
        self._request = build_request(args, gateway.info, listener.url)

    def play(self) -> None:
        """Carry out the steps that a gateway with this kind of notifications has, and say so of the others."""
        self._console.say(
            f"A charge from start to end, against the sandbox of {self._gateway.info.title} at {self._sandbox.url}. "
            "No money moves."
        )
        self._console.say()
        with _step("authorized"):
            show_authorized(self._console, authorize(self._gateway))
        with _step("charged"):
            charge = self._gateway.create_charge(self._request)
            self._charge = Reference(self._request.order_id, charge.reference.provider_id)
            show_charged(self._console, charge)
        closing_line = "Every step happened."
        match self._gateway.info.notifications:
            case Notifications.SIGNED | None:
                delivery, event = self._pay_and_receive(charge, signed=True)
                self._confirm_event(event)
                self._refuse_forgery(delivery)
            case Notifications.UNSIGNED:
                self._ignore_invention()
                _, event = self._pay_and_receive(charge, signed=False)
                self._confirm_event(event)
            case Notifications.NONE:
                self._pay_and_poll(charge)
                closing_line = "Every step happened, except for notifications: this gateway sends none."
            case _ as kind:
                assert_never(kind)
        with _step("mismatch_refused"):
            self._refuse_other_amount()
        self._console.say()
        self._console.say(closing_line)

    def _pay_and_receive(self, charge: Charge, *, signed: bool) -> tuple[ReceivedDelivery, WebhookEvent]:
        with _step("notified"):
            register = getattr(self._sandbox, "register_endpoint", None)
            if register is not None:
                register(self._url)  # this gateway takes no address with a charge
            self._let_the_shopper_pay(charge)
            advice = "" if self._by_hand or register is not None else _NO_NOTIFICATION
            delivery, event = self._receive(advice)
            self._show_notified(delivery, event, signed=signed)
        return delivery, event

    def _pay_and_poll(self, charge: Charge) -> None:
        with _step("notified"):
            self._let_the_shopper_pay(charge)
            self._skip("notified", "the demo polls instead")
        with _step("confirmed"):
            until = time.monotonic() + self._timeout
            while not (found := self._query()).status.is_final and time.monotonic() < until:
                time.sleep(_POLL_INTERVAL)
            self._show_confirmed(found, "polled, the gateway says", asked=True)
        self._skip("forgery_refused", "there is no notification to forge")

    def _skip(self, step: str, consequence: str) -> None:
        line = f"not sent by this gateway: {consequence}"
        self._console.step(step, {"notifications": Notifications.NONE}, [line], skipped=True)

    def _let_the_shopper_pay(self, charge: Charge) -> None:
        provider_id = charge.reference.provider_id
        if not self._by_hand:
            self._console.say("                  the shopper pays, in the sandbox")
            self._sandbox.pay(provider_id)
            return
        page = getattr(self._sandbox, "wallet_url", None)
        address = page(provider_id) if page is not None else action_address(charge.next_action)
        if not address:
            raise Stop("this sandbox has no page to pay on", "Run the demo without --browser.")
        self._console.note(f"Pay here: {address}    (Ctrl-C gives up)")

    def _receive(self, advice: str) -> tuple[ReceivedDelivery, WebhookEvent]:
        until = time.monotonic() + self._timeout
        while time.monotonic() < until:
            if found := self._inbox.wait_for(self._charge, 1.0):
                return found
            # The gateway may not notify a decline, so ask.
            charge = self._gateway.get_status(self._charge)
            if charge.status.is_final and charge.status is not PaymentStatus.SUCCEEDED:
                raise Stop(f"the charge is {charge.status}: nothing was paid")
        raise Stop(f"no notification about this charge arrived within {self._timeout:.0f} s", advice)

    def _show_notified(self, delivery: ReceivedDelivery, event: WebhookEvent, *, signed: bool) -> None:
        names = ("reference", "subject", "raw_kind", "event_id", "authoritative")
        if not signed:
            trust = "it is not signed, so anybody could have sent it: it is only a hint, and the gateway is asked"
        elif event.authoritative:
            trust = "the signature is the gateway's; it carries a status"
        else:
            trust = "the signature is the gateway's; it is a hint and carries no amount: so ask"
        self._console.step(
            "notified",
            {
                **{name: getattr(event, name) for name in names},
                "notifications": Notifications.SIGNED if signed else Notifications.UNSIGNED,
                "verified": signed,
                "bytes": len(delivery.body),
                "received_at": delivery.received_at,
            },
            [f"{event.raw_kind}, {len(delivery.body)} bytes at {delivery.url}", trust],
        )

    def _query(self) -> Charge:
        return self._gateway.confirm(self._charge.order_id, self._request.amount, provider_id=self._charge.provider_id)

    def _query_about(self, event: WebhookEvent) -> Charge:
        return self._gateway.confirm_event(
            event, self._charge.order_id, self._request.amount, provider_id=self._charge.provider_id
        )

    def _confirm_event(self, event: WebhookEvent) -> None:
        """Confirm the charge; an authoritative event carries its own status, and needs no query."""
        with _step("confirmed"):
            until = time.monotonic() + _TIMEOUT
            asked = not event.authoritative
            charge = self._query_about(event)
            while not charge.status.is_final and time.monotonic() < until:
                self._inbox.wait_for(self._charge, 1.0)
                asked, charge = True, self._query()
            source = "asked, the gateway says" if asked else "the notification itself says"
            self._show_confirmed(charge, source, asked=asked)

    def _show_confirmed(self, charge: Charge, source: str, *, asked: bool) -> None:
        if not charge.is_paid:
            raise Stop(f"the gateway says {charge.status} ({charge.raw_status})")
        when = f", at {charge.paid_at:%Y-%m-%d %H:%M:%S %z}" if charge.paid_at else ""
        self._console.step(
            "confirmed",
            {**charge_fields(charge), "asked": asked},
            [f"{source} {charge.status}: {charge.amount} is paid{when}"],
        )

    def _refuse_forgery(self, genuine: ReceivedDelivery) -> None:
        """Post the signed notification with one bit changed: it must be refused for its signature."""
        with _step("forgery_refused"):
            place = len(genuine.body) // 2
            body = bytearray(genuine.body)
            body[place] ^= 1
            status, error = self._post_to_be_refused("a forged notification", bytes(body), genuine.headers)
            if error.reason != "signature":
                raise Stop(f"a forged notification was refused, but not for its signature: {error}")
            self._console.step(
                "forgery_refused",
                {
                    "notifications": Notifications.SIGNED,
                    "reason": error.reason,
                    "changed": f"bit 0 of byte {place}",
                    "answered": status,
                },
                [
                    f"the same notification with one bit changed: {error.message}",
                    f"answered {status}, and nothing changed",
                ],
            )

    def _ignore_invention(self) -> None:
        """Post an invented notification while the charge is unpaid, which must change nothing, and malformed bytes."""
        with _step("forgery_harmless"):
            before = self._query()
            invented = self._sandbox.notification(self._charge.provider_id)
            answered = self._post(invented.body, invented.headers)
            found = self._inbox.wait_for(self._charge, _TIMEOUT)
            if found is None:
                raise Stop(f"an invented notification was answered {answered}, and no event was read from it")
            after = self._query_about(found[1])
            if (after.status, after.raw_status) != (before.status, before.raw_status):
                raise Stop(f"an invented notification changed the charge from {before.status} to {after.status}")
            refused, error = self._post_to_be_refused("a malformed body", _MALFORMED, invented.headers)
            self._console.step(
                "forgery_harmless",
                {
                    "notifications": Notifications.UNSIGNED,
                    "answered": answered,
                    "status": after.status,
                    "raw_status": after.raw_status,
                    "reason": error.reason,
                    "malformed_answered": refused,
                },
                [
                    f"an invented notification about the unpaid charge is only a hint; answered {answered}",
                    f"asked, the gateway says {after.status} ({after.raw_status}): nothing changed",
                    f"malformed bytes: {error.message}; answered {refused}",
                ],
            )

    def _post_to_be_refused(
        self, what: str, body: bytes, headers: tuple[tuple[str, str], ...]
    ) -> tuple[int, WebhookRejected]:
        status = self._post(body, headers)
        if self._inbox.refused.empty():
            raise Stop(f"{what} was answered {status}, and accepted")
        error = self._inbox.refused.get()
        if not isinstance(error, WebhookRejected) or status != self._gateway.info.rejection_status:
            raise Stop(f"{what} was answered {status}: {error}")
        return status, error

    def _post(self, body: bytes, headers: tuple[tuple[str, str], ...]) -> int:
        try:
            return post(self._url, body, headers, _TIMEOUT)
        except OSError as error:
            problem = type(error).__name__
        raise Stop(f"the notification could not be posted: {problem}")

    def _refuse_other_amount(self) -> None:
        """Get an answer with another amount than the order's: it must be a `Mismatch`."""
        amount = self._request.amount
        expected, other = amount, Money(minor=amount.minor + 1, currency=amount.currency)
        if set_amount := getattr(self._sandbox, "set_amount", None):
            set_amount(self._charge.provider_id, other.text, other.currency)
        else:
            expected, other = other, amount
        try:
            charge = self._gateway.confirm(self._charge.order_id, expected, provider_id=self._charge.provider_id)
        except Mismatch as error:
            if error.field != "amount":
                raise
            refused = error
        else:
            raise Stop(f"an answer about {charge.amount} was taken for one about {expected}")
        self._console.step(
            "mismatch_refused",
            {"field": refused.field, "expected": expected, "answered": other, "message": refused.message},
            [f"an answer about {other} for the {expected} that are due:", refused.message],
        )


def play(name: str, args: Namespace, console: Console) -> Exit:
    """Play every step against the sandbox of `name`; raise `Stop` if one fails."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(closing(start_sandbox(name)))
        gateway = stack.enter_context(Gateway.open(name, sandbox.config))
        listener = stack.enter_context(WebhookListener())
        _Walkthrough(args, console, sandbox, gateway, listener).play()
    return Exit.OK


@contextmanager
def _step(name: str) -> Iterator[None]:
    """End the demo with the step's name if anything fails."""
    try:
        yield
    except OutputLost:
        raise
    except Stop as error:
        problem, advice = error.message, error.advice
    except PaymentError as error:
        problem, advice = f"{type(error).__name__}: {error}", _advice(error)
    except Exception as error:  # noqa: BLE001 - raised by a sandbox
        problem, advice = f"{type(error).__name__}: {error}", ""
    else:
        return
    raise Stop(f"{name} did not happen: {problem}", advice, step=name)


def _advice(error: PaymentError) -> str:
    """Say which options to give if the gateway refuses the demo's defaults."""
    refused = isinstance(error, InvalidRequest) or (isinstance(error, Rejected) and error.code is RejectionCode.INVALID)
    return _CHOOSE_OPTIONS if refused else ""


def _same(named: Reference, charge: Reference) -> bool:
    if named.provider_id and charge.provider_id:
        return named.provider_id == charge.provider_id
    return bool(named.order_id) and named.order_id == charge.order_id
