"""The life of a charge against a sandbox: every step is done over real HTTP, and checked before it is told."""

from __future__ import annotations

import queue
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Final

from payments_core import (
    Charge,
    ConfigurationError,
    Gateway,
    Mismatch,
    Money,
    PaymentError,
    PaymentStatus,
    Reference,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
)

from .console import Console, OutputLost
from .demo import authorize, choose, demo_request, show_authorized, show_charged
from .encoding import charge_fields
from .exits import Exit, Stop
from .opening import Sandbox, start_sandbox
from .posting import post
from .shown import address_of

try:
    from payments_core.testing.server import ReceivedDelivery, WebhookListener
except ImportError as exc:
    raise ConfigurationError(f"the demo needs {exc.name}: pip install 'payments-core[sandbox]'") from None

__all__ = ["play"]

_PATIENCE: Final = 15.0
_PATIENCE_WITH_PEOPLE: Final = 900.0
_UNHEARD: Final = (
    "The sandbox delivers to the charge's notify_url. If the gateway takes no address with a charge, give the sandbox a\n"
    "method register_endpoint(url): the demo calls it before the shopper pays."
)


class _Inbox:
    """The merchant's receiver: believes what the gateway verifies, and answers 4xx to the rest."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.believed: queue.Queue[tuple[ReceivedDelivery, WebhookEvent]] = queue.Queue()
        self.refused: queue.Queue[PaymentError] = queue.Queue()

    def receive(self, delivery: ReceivedDelivery) -> int:
        """The raw bytes, as they came, go to the gateway; what it says is the answer's status."""
        received = WebhookDelivery(delivery.body, delivery.headers, delivery.received_at, url=delivery.url)
        try:
            notification = self._gateway.parse_webhook(received)
        except PaymentError as error:
            self.refused.put(error)
            return 400 if isinstance(error, WebhookRejected) else 500
        for event in notification.events:
            self.believed.put((delivery, event))
        return notification.acknowledgement.status

    def about(self, charge: Reference, seconds: float) -> tuple[ReceivedDelivery, WebhookEvent] | None:
        """The next believed event about this charge, or None when the time is over."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                delivery, event = self.believed.get(timeout=left)
            except queue.Empty:
                break
            if event.subject is Subject.CHARGE and event.reference is not None and _same(event.reference, charge):
                return delivery, event
        if not self.refused.empty():
            raise Stop(f"the sandbox's notification was refused: {self.refused.get()}")
        return None


def play(name: str, args: Namespace, console: Console) -> Exit:
    """All six steps; `Stop` where one did not happen."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(closing(start_sandbox(name)))
        gateway = stack.enter_context(Gateway.open(name, sandbox.config))
        inbox = _Inbox(gateway)
        listener = stack.enter_context(WebhookListener(respond=inbox.receive))
        request = demo_request(args, gateway.info, listener.url)
        console.say(
            f"The life of a charge, against the sandbox of {gateway.info.title} at {sandbox.url}. No money moves."
        )
        console.say()
        with _step("authorized"):
            show_authorized(console, authorize(gateway))
        with _step("charged"):
            charge = gateway.create_charge(request)
            charged = Reference(request.order_id, charge.reference.provider_id)
            show_charged(console, charge)
        if (register := getattr(sandbox, "register_endpoint", None)) is not None:
            register(listener.url)  # this gateway takes no address with a charge
        with _step("notified"):
            _let_the_shopper_pay(sandbox, charge, console, by_hand=args.browser)
            advice = "" if args.browser or register is not None else _UNHEARD
            delivery, event = _notified(inbox, gateway, charged, advice, by_hand=args.browser)
            _show_notified(console, delivery, event)
        with _step("confirmed"):
            _show_confirmed(console, *_confirmed(inbox, gateway, charged, request.amount, event))
        with _step("forgery_refused"):
            _forge(console, inbox, delivery, listener.url)
        with _step("mismatch_refused"):
            _ask_about_other_money(console, gateway, sandbox, charged, request.amount)
    console.say()
    console.say("Every step happened.")
    return Exit.OK


@contextmanager
def _step(name: str) -> Iterator[None]:
    """Whatever keeps a step from happening ends the demo, named after the step."""
    try:
        yield
    except OutputLost:
        raise
    except Stop as error:
        problem, advice = error.message, error.advice
    except PaymentError as error:
        problem, advice = f"{type(error).__name__}: {error}", choose(error)
    except Exception as error:  # noqa: BLE001 - a sandbox's own
        problem, advice = f"{type(error).__name__}: {error}", ""
    else:
        return
    raise Stop(f"{name} did not happen: {problem}", advice, step=name)


def _let_the_shopper_pay(sandbox: Sandbox, charge: Charge, console: Console, *, by_hand: bool) -> None:
    provider_id = charge.reference.provider_id
    if not by_hand:
        console.say("                  the shopper pays, in the sandbox")
        sandbox.pay(provider_id)
        return
    page = getattr(sandbox, "wallet_url", None)
    address = page(provider_id) if page is not None else address_of(charge.next_action)
    if not address:
        raise Stop("this sandbox has no page to pay on", "Run the demo without --browser.")
    console.note(f"Pay here: {address}    (Ctrl-C gives up)")


def _notified(
    inbox: _Inbox, gateway: Gateway, charged: Reference, advice: str, *, by_hand: bool
) -> tuple[ReceivedDelivery, WebhookEvent]:
    patience = _PATIENCE_WITH_PEOPLE if by_hand else _PATIENCE
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if found := inbox.about(charged, 1.0):
            return found
        # A shopper who declines may never be heard of, so ask.
        charge = gateway.get_status(charged)
        if charge.status.is_final and charge.status is not PaymentStatus.SUCCEEDED:
            raise Stop(f"the charge is {charge.status}: nothing was paid")
    raise Stop(f"no notification about this charge arrived within {patience:.0f} s", advice)


def _show_notified(console: Console, delivery: ReceivedDelivery, event: WebhookEvent) -> None:
    fields = {name: getattr(event, name) for name in ("reference", "subject", "raw_kind", "event_id", "authoritative")}
    believed = "it carries a status" if event.authoritative else "it is a hint and carries no amount: so ask"
    console.step(
        "notified",
        {**fields, "verified": True, "bytes": len(delivery.body), "received_at": delivery.received_at},
        [
            f"{event.raw_kind}, {len(delivery.body)} bytes at {delivery.url}",
            f"the signature is the gateway's; {believed}",
        ],
    )


def _confirmed(
    inbox: _Inbox, gateway: Gateway, charged: Reference, amount: Money, event: WebhookEvent
) -> tuple[Charge, bool]:
    """The paid charge, and whether the gateway was asked: an event that carries its own status is not asked about."""
    until = time.monotonic() + _PATIENCE
    asked = not event.authoritative
    charge = gateway.confirm_event(event, charged.order_id, amount, provider_id=charged.provider_id)
    while not charge.status.is_final and time.monotonic() < until:
        inbox.about(charged, 1.0)
        asked = True
        charge = gateway.confirm(charged.order_id, amount, provider_id=charged.provider_id)
    if not charge.is_paid:
        raise Stop(f"the gateway says {charge.status} ({charge.raw_status})")
    return charge, asked


def _show_confirmed(console: Console, charge: Charge, asked: bool) -> None:
    when = f", at {charge.paid_at:%Y-%m-%d %H:%M:%S %z}" if charge.paid_at else ""
    source = "asked, the gateway says" if asked else "the notification itself says"
    console.step(
        "confirmed",
        {**charge_fields(charge), "asked": asked},
        [f"{source} {charge.status}: {charge.amount} is paid{when}"],
    )


def _forge(console: Console, inbox: _Inbox, genuine: ReceivedDelivery, url: str) -> None:
    place = len(genuine.body) // 2
    body = bytearray(genuine.body)
    body[place] ^= 1
    status = _posted(url, bytes(body), genuine.headers)
    if inbox.refused.empty() or not 400 <= status < 500:
        raise Stop(f"a forged notification was answered {status}")
    error = inbox.refused.get()
    if not (isinstance(error, WebhookRejected) and error.reason == "signature"):
        raise Stop(f"a forged notification was refused, but not for its signature: {error}")
    console.step(
        "forgery_refused",
        {"reason": error.reason, "changed": f"bit 0 of byte {place}", "answered": status},
        [f"the same notification with one bit changed: {error.message}", f"answered {status}, and nothing changed"],
    )


def _posted(url: str, body: bytes, headers: tuple[tuple[str, str], ...]) -> int:
    try:
        return post(url, body, headers, _PATIENCE)
    except OSError as error:
        problem = type(error).__name__
    raise Stop(f"the forged notification could not be posted: {problem}")


def _ask_about_other_money(
    console: Console, gateway: Gateway, sandbox: Sandbox, charged: Reference, amount: Money
) -> None:
    expected, other = amount, Money(minor=amount.minor + 1, currency=amount.currency)
    if set_amount := getattr(sandbox, "set_amount", None):
        set_amount(charged.provider_id, other.text, other.currency)
    else:
        expected, other = other, amount
    try:
        charge = gateway.confirm(charged.order_id, expected, provider_id=charged.provider_id)
    except Mismatch as error:
        if error.field != "amount":
            raise
        refused = error
    else:
        raise Stop(f"an answer about {charge.amount} was taken for one about {expected}")
    console.step(
        "mismatch_refused",
        {"field": refused.field, "expected": expected, "answered": other, "message": refused.message},
        [f"an answer about {other} for the {expected} that are due:", refused.message],
    )


def _same(named: Reference, charge: Reference) -> bool:
    if named.provider_id and charge.provider_id:
        return named.provider_id == charge.provider_id
    return bool(named.order_id) and named.order_id == charge.order_id
