"""Move PaymentIntents, Checkout Sessions and refunds: for the API, the shopper, time and the operator.

Sources: docs.stripe.com/payments/paymentintents/lifecycle, /payments/checkout/how-checkout-works, /refunds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from payments_core.testing.sandbox import NotPossible, SandboxCharge, UnknownCharge

from . import currencies, views
from .gateway import LocalGateway
from .records import Event, Intent, Refund, Session

__all__ = [
    "CANCELLABLE", "Refused", "books", "cancel", "capture", "card_error", "close", "decline", "decline_try", "end",
    "event_of", "fail", "give_back", "invalid", "pay", "set_amount", "set_status", "settle", "tell", "tick", "time_out",
    "unexpected",
]  # fmt: skip

# docs.stripe.com/api/payment_intents/cancel.
CANCELLABLE: Final = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")
_AUTHORIZED_FOR: Final = 7 * 24 * 3600  # seconds; docs.stripe.com/api/payment_intents/capture

_OF_STATUS: Final = {
    "succeeded": "payment_intent.succeeded",
    "canceled": "payment_intent.canceled",
    "processing": "payment_intent.processing",
    "requires_capture": "payment_intent.amount_capturable_updated",
    "requires_action": "payment_intent.requires_action",
    "requires_payment_method": "payment_intent.payment_failed",
    "requires_confirmation": "payment_intent.created",
}


class Refused(Exception):
    """An error answer (docs.stripe.com/api/errors), and whether its idempotency key repeats it."""

    def __init__(self, status: int, error: Mapping[str, Any], *, kept: bool = False) -> None:
        super().__init__(error["message"])
        self.status = status
        self.error = {name: value for name, value in error.items() if value}
        self.kept = kept


def invalid(message: str, code: str = "", param: str = "", *, status: int = 400, kept: bool = False) -> Refused:
    """Return an invalid_request_error. Stripe's own words may change, so they are not imitated."""
    error = {"type": "invalid_request_error", "code": code, "message": f"sandbox: {message}", "param": param}
    return Refused(status, error, kept=kept)


def unexpected(state: str, done: str) -> Refused:
    """Return the refusal for a PaymentIntent in the wrong state."""
    return invalid(f"A PaymentIntent that is {state} cannot be {done}.", "payment_intent_unexpected_state", kept=True)


def card_error(gateway: LocalGateway, intent: Intent, decline_code: str) -> Refused:
    """Return a 402: the parameters were valid, but the request failed."""
    error = {**_failure("card_declined", decline_code), "payment_intent": views.intent(gateway, intent)}
    return Refused(402, error, kept=True)


def _failure(code: str, decline_code: str = "", kind: str = "card_error") -> dict[str, str]:
    found = {"type": kind, "code": code, "decline_code": decline_code, "message": f"sandbox: {decline_code or code}"}
    return {name: value for name, value in found.items() if value}


def tell(gateway: LocalGateway, charge: Session | Intent, kind: str, *, send: bool = True) -> Event:
    """Publish an event about this charge."""
    shown = views.session(gateway, charge) if isinstance(charge, Session) else views.intent(gateway, charge)
    return gateway.publish(kind, shown, send=send)


# A PaymentIntent.


def _authorize(gateway: LocalGateway, intent: Intent) -> None:
    """Take the money, or hold it if it is to be captured later."""
    held = intent.capture_method == "manual"
    intent.error, intent.received = None, 0 if held else intent.amount
    intent.status = "requires_capture" if held else "succeeded"
    _attempt(gateway, intent)
    tell(gateway, intent, _OF_STATUS[intent.status])


def _attempt(gateway: LocalGateway, intent: Intent) -> None:
    intent.latest, intent.tried = gateway.new_id("charges", "ch_3", 23), gateway.now()


def decline(gateway: LocalGateway, intent: Intent, code: str, decline_code: str = "") -> None:
    """Record a failed attempt; the PaymentIntent waits for another one."""
    _attempt(gateway, intent)
    kind = "card_error" if intent.method == "card" else "invalid_request_error"
    intent.status, intent.error = "requires_payment_method", _failure(code, decline_code, kind)
    tell(gateway, intent, "payment_intent.payment_failed")


def capture(gateway: LocalGateway, intent: Intent, amount: int) -> None:
    """Capture once; the rest of the amount is released."""
    if intent.status != "requires_capture":
        raise unexpected(intent.status, "captured")
    if amount > intent.capturable:
        raise invalid("The amount to capture is greater than what is held.", "amount_too_large", "amount_to_capture")
    intent.received, intent.status = amount, "succeeded"
    if amount < intent.amount:
        give_back(gateway, intent, intent.amount - amount, automatic=True)
    tell(gateway, intent, "payment_intent.succeeded")


def close(gateway: LocalGateway, intent: Intent) -> None:
    """Close the PaymentIntent without money; release any that was held."""
    held = intent.capturable
    intent.status = "canceled"
    if held:
        give_back(gateway, intent, held, automatic=True)
    tell(gateway, intent, "payment_intent.canceled")


# A Checkout Session.


def _confirmed(gateway: LocalGateway, session: Session) -> Intent:
    """Return the session's PaymentIntent; make it when the shopper confirms for the first time."""
    if session.intent is None:
        description = session.form.get("payment_intent_data[description]", "")
        capture = session.form.get("payment_intent_data[capture_method]", "automatic_async")
        of = (session.intent_metadata, description)
        session.intent = gateway.new_intent(
            session.amount, session.currency, "card", *of, capture_method=capture, session=session.id
        )
    return session.intent


def end(gateway: LocalGateway, session: Session) -> None:
    """End the session, and cancel the PaymentIntent that an attempt has left."""
    session.status = "expired"
    if session.intent is not None and session.intent.status in CANCELLABLE:
        close(gateway, session.intent)
    tell(gateway, session, "checkout.session.expired")


# Refunds.


def give_back(
    gateway: LocalGateway, intent: Intent, amount: int, *, status: str = "succeeded", automatic: bool = False, **of: Any
) -> Refund:
    """Refund, or release what was held: Stripe makes an ordinary refund of it (/api/payment_intents/cancel)."""
    made = gateway.new_id("refunds", "re_3", 23)
    refund = Refund(made, intent, amount, gateway.now(), status, automatic=automatic, **of)
    gateway.refunds[made] = refund
    gateway.publish("refund.created", views.refund(refund))
    gateway.publish("charge.refunded", views.attempt(gateway, intent))
    return refund


def settle(gateway: LocalGateway, found: str) -> None:
    """Let a pending refund reach the shopper."""
    _end_refund(gateway, found, ("pending",), "succeeded", "refund.updated")


def fail(gateway: LocalGateway, found: str) -> None:
    """Return a refund to the merchant, even one that had succeeded (docs.stripe.com/refunds#failed-refunds)."""
    _end_refund(gateway, found, ("pending", "succeeded"), "failed", "refund.failed")


def _end_refund(gateway: LocalGateway, found: str, before: tuple[str, ...], status: str, kind: str) -> None:
    if found not in gateway.refunds:
        raise UnknownCharge(f"no Refund has the id {found!r}")
    refund = gateway.refunds[found]
    if refund.status not in before:
        raise NotPossible(f"the refund is {refund.status}")
    refund.status = status
    gateway.publish(kind, views.refund(refund))


# The shopper and time.


def _open(gateway: LocalGateway, found: str, wanted: tuple[str, ...] = CANCELLABLE) -> tuple[Session | None, Intent]:
    """Return the PaymentIntent to act on, and its session if it has one; raise `NotPossible` if it is over."""
    tick(gateway)
    charge = gateway.charge(found)
    if charge.status not in ("open", *wanted) or charge.status == "requires_capture":
        raise NotPossible(f"{found} is {charge.status}, no longer open")
    return (charge, _confirmed(gateway, charge)) if isinstance(charge, Session) else (None, charge)


def pay(gateway: LocalGateway, found: str) -> None:
    """Pay as the shopper; a session is paid only if the money has moved."""
    session, intent = _open(gateway, found, ("requires_action",))
    _authorize(gateway, intent)
    if session is not None:
        session.status = "complete"
        session.payment_status = "paid" if intent.status == "succeeded" else "unpaid"
        tell(gateway, session, "checkout.session.completed")


def decline_try(gateway: LocalGateway, found: str, decline_code: str = "generic_decline") -> None:
    """Let the shopper's attempt fail."""
    decline(gateway, _open(gateway, found)[1], "card_declined", decline_code)


def cancel(gateway: LocalGateway, found: str) -> None:
    """Give the charge up as the shopper: cancel the PaymentIntent, or expire the session."""
    charge = gateway.charge(found)
    if isinstance(charge, Session) and charge.status == "open":
        end(gateway, charge)
    else:
        close(gateway, _open(gateway, found)[1])


def time_out(gateway: LocalGateway, found: str) -> None:
    """Let the shopper do nothing: a session expires, and a wallet's attempt fails."""
    charge = gateway.charge(found)
    if isinstance(charge, Session):
        cancel(gateway, found)
    else:
        decline(gateway, _open(gateway, found)[1], "payment_intent_payment_attempt_expired")


def tick(gateway: LocalGateway) -> int:
    """Apply everything that time has done since; return the time."""
    now = gateway.now()
    for session in list(gateway.sessions.values()):
        if session.status == "open" and now >= session.expires:
            end(gateway, session)
    for intent in list(gateway.intents.values()):
        if intent.status == "requires_capture" and now - intent.created >= _AUTHORIZED_FOR:
            close(gateway, intent)
    return now


# The operator.


def set_status(gateway: LocalGateway, found: str, status: str) -> None:
    """Force a status, without rules or deliveries; see `Sandbox.set_status`."""
    charge = gateway.charge(found)
    if not status:
        raise NotPossible("status must not be empty")
    if isinstance(charge, Intent):
        if status in ("open", "expired", "complete:paid", "complete:unpaid"):
            raise NotPossible(f"{status} is a status of sessions, and {found} is none")
        _force(gateway, charge, status)
        return
    if status in _OF_STATUS:
        _force(gateway, _confirmed(gateway, charge), status)
        charge.status, charge.payment_status = "complete", "paid" if status == "succeeded" else "unpaid"
    else:
        charge.status, _, payment = status.partition(":")
        charge.payment_status = payment or "unpaid"
        charge.intent = None  # so that only the session's own status counts
    kind = "expired" if charge.status == "expired" else "completed"
    tell(gateway, charge, f"checkout.session.{kind}", send=False)


def _force(gateway: LocalGateway, intent: Intent, word: str) -> None:
    intent.error, intent.received, intent.status = None, intent.amount if word == "succeeded" else 0, word
    if word in ("succeeded", "requires_capture"):
        _attempt(gateway, intent)
    tell(gateway, intent, _OF_STATUS.get(word, "payment_intent.created"), send=False)


def set_amount(gateway: LocalGateway, found: str, amount: str, currency: str) -> None:
    """Force the amount in later answers, unchecked."""
    charge = gateway.charge(found)
    try:
        units = currencies.units(amount, currency)
    except ValueError as error:
        raise NotPossible(str(error)) from None
    intent = charge.intent if isinstance(charge, Session) else charge
    for each in (charge, intent):
        if each is not None:
            each.amount, each.currency = units, currency
    if intent is not None and intent.received:
        intent.received = units


def books(gateway: LocalGateway, charge: Session | Intent) -> SandboxCharge:
    """Return a charge with its money as the sandbox reads it."""
    intent = charge.intent if isinstance(charge, Session) else charge
    received, back = (intent.received, views.refunded(gateway, intent, automatic=False)) if intent else (0, 0)
    amount, captured, returned = (
        currencies.money(count, charge.currency) if count else None for count in (charge.amount, received, back)
    )
    return SandboxCharge(charge.id, amount or currencies.money(0, charge.currency), captured, returned)


def event_of(gateway: LocalGateway, found: str) -> Event:
    """Return the newest event about a charge or a refund. An open session has none: its kind is invented."""
    event = gateway.latest_event(found)
    return event or tell(gateway, gateway.charge(found), "checkout.session.created", send=False)
