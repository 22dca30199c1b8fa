"""Act for the shopper, time and the operator, on the id of a PaymentIntent or a session."""

from __future__ import annotations

from typing import Final

from payments_core import Money
from payments_core.testing.sandbox import NotPossible, SandboxCharge

from . import currencies, payments, refunds, sessions, views
from .gateway import LocalGateway, order_of
from .records import Event, Intent, Session

__all__ = [
    "AUTHORIZED_FOR",
    "cancel",
    "charge_of",
    "charges",
    "decline",
    "event_of",
    "pay",
    "set_amount",
    "set_status",
    "tick",
    "time_out",
]

AUTHORIZED_FOR: Final = 7 * 24 * 3600
"""Seconds after which what was not captured is cancelled (docs.stripe.com/api/payment_intents/capture)."""

_OPEN: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
_OF_STATUS: Final = {
    "succeeded": "payment_intent.succeeded",
    "canceled": "payment_intent.canceled",
    "processing": "payment_intent.processing",
    "requires_capture": "payment_intent.amount_capturable_updated",
    "requires_action": "payment_intent.requires_action",
}
_WORDS: Final = (*_OPEN, *(word for word in _OF_STATUS if word not in _OPEN))
_OF_SESSION: Final = {"complete": "checkout.session.completed", "expired": "checkout.session.expired"}


def tick(gateway: LocalGateway) -> int:
    """Apply everything that time has done since; return the time."""
    now = gateway.now()
    sessions.expire_due(gateway, now)
    refunds.settle_due(gateway, now)
    for intent in list(gateway.intents.values()):
        if intent.status == "requires_capture" and now - intent.created >= AUTHORIZED_FOR:
            payments.close(gateway, intent, "automatic")
    return now


def charge_of(gateway: LocalGateway, found: str) -> Session | Intent:
    """Return the session or the PaymentIntent with this id."""
    return gateway.session(found) if found.startswith("cs_") else gateway.intent(found)


def pay(gateway: LocalGateway, found: str) -> None:
    """Pay as the shopper: with a wallet, in a session, or with a card that needs authentication."""
    charge = _open(gateway, found)
    if isinstance(charge, Session):
        payments.authorize(gateway, sessions.make_intent(gateway, charge))
        sessions.complete(gateway, charge)
        return
    if charge.status != "requires_action":
        raise NotPossible(f"the PaymentIntent is {charge.status}: there is nothing to approve")
    payments.authorize(gateway, charge)


def decline(gateway: LocalGateway, found: str, code: str, decline_code: str) -> None:
    """Let the attempt fail; another one may be made."""
    charge = _open(gateway, found)
    intent = sessions.make_intent(gateway, charge) if isinstance(charge, Session) else charge
    payments.decline(gateway, intent, code, decline_code)


def cancel(gateway: LocalGateway, found: str) -> None:
    """Give the charge up: cancel the PaymentIntent, or expire the session."""
    charge = _open(gateway, found)
    if isinstance(charge, Session):
        sessions.end(gateway, charge)
    else:
        payments.close(gateway, charge, "abandoned")


def time_out(gateway: LocalGateway, found: str) -> None:
    """Let the shopper do nothing: a session expires, and a wallet's attempt fails."""
    charge = _open(gateway, found)
    if isinstance(charge, Session):
        sessions.end(gateway, charge)
    else:
        payments.decline(gateway, charge, "payment_intent_payment_attempt_expired")


def _open(gateway: LocalGateway, found: str) -> Session | Intent:
    tick(gateway)
    charge = charge_of(gateway, found)
    if charge.status not in ("open", *_OPEN):
        raise NotPossible(f"{found} is {charge.status}, no longer open")
    return charge


def set_status(gateway: LocalGateway, found: str, word: str) -> None:
    """Force a status, without rules or events; see `Sandbox.set_status`."""
    if not word:
        raise NotPossible("status must not be empty")
    charge = charge_of(gateway, found)
    with gateway.silence():
        if isinstance(charge, Session):
            _force_session(gateway, charge, word)
        elif word in ("open", "expired", "complete:paid", "complete:unpaid"):
            raise NotPossible(f"{word} is a status of sessions, and {found} is none")
        else:
            _force(gateway, charge, word)


def _force_session(gateway: LocalGateway, session: Session, word: str) -> None:
    if word in _WORDS:
        _force(gateway, sessions.make_intent(gateway, session), word)
        session.status, session.payment_status = "complete", "paid" if word == "succeeded" else "unpaid"
    else:
        session.status, _, payment = word.partition(":")
        session.payment_status = payment or "unpaid"
        session.intent = ""  # so that only the session's own status counts
    sessions.publish(gateway, _OF_SESSION.get(session.status, "checkout.session.completed"), session)


def _force(gateway: LocalGateway, intent: Intent, word: str) -> None:
    intent.status, intent.error, intent.received = word, None, 0
    intent.canceled = gateway.now() if word == "canceled" else None
    if word in ("succeeded", "requires_capture"):
        payments.authorize(gateway, intent)
        intent.status = word
        intent.received = gateway.attempts[intent.latest].captured = intent.amount if word == "succeeded" else 0
    payments.publish(gateway, _OF_STATUS.get(word, "payment_intent.created"), intent)


def set_amount(gateway: LocalGateway, found: str, amount: str, currency: str) -> None:
    """Force the amount in later answers, unchecked."""
    charge = charge_of(gateway, found)
    try:
        units = currencies.units(amount, currency)
    except ValueError as error:
        raise NotPossible(str(error)) from None
    intent = charge if isinstance(charge, Intent) else gateway.intents.get(charge.intent)
    for each in (charge, intent):
        if each is not None:
            each.amount, each.currency = units, currency
    if intent is not None and intent.received:
        intent.received = units


def charges(gateway: LocalGateway, order_id: str) -> list[SandboxCharge]:
    """Return every charge of this merchant order id, with the amount as the sandbox reads it."""
    return [_charge(gateway, charge) for charge in gateway.charges() if order_of(charge) == order_id]


def _charge(gateway: LocalGateway, charge: Session | Intent) -> SandboxCharge:
    def money(units: int) -> Money | None:
        return currencies.money(units, charge.currency) if units else None

    intent = charge if isinstance(charge, Intent) else gateway.intents.get(charge.intent)
    back = 0 if intent is None else refunds.given_back(gateway, intent)
    received = 0 if intent is None else intent.received
    return SandboxCharge(charge.id, currencies.money(charge.amount, charge.currency), money(received), money(back))


def event_of(gateway: LocalGateway, found: str) -> Event:
    """Return the newest event about a charge or a refund. An open session has none: its kind is invented."""
    event = gateway.latest_event(found)
    if event is not None:
        return event
    session = gateway.session(found)
    return gateway.compose("checkout.session.created", found, views.session(gateway, session))
