"""Create, confirm, authorize, capture and cancel PaymentIntents (docs.stripe.com/payments/paymentintents/lifecycle)."""

from __future__ import annotations

from typing import Final

from . import refunds, views
from .currencies import check_amount
from .gateway import LocalGateway
from .records import Attempt, Intent
from .refusals import DECLINES, Refused, card_error, invalid
from .rules import Cancel, Capture, Confirm, Intend

__all__ = ["CANCELLABLE", "authorize", "cancel", "capture", "close", "confirm", "create", "decline", "publish"]

# docs.stripe.com/api/payment_intents/cancel.
CANCELLABLE: Final = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")
# docs.stripe.com/testing, "3D Secure authentication".
_CHALLENGED: Final = ("pm_card_authenticationRequired", "pm_card_threeDSecure2Required")

WALLETS: Final = ("alipay", "wechat_pay")


def create(gateway: LocalGateway, asked: Intend) -> Intent:
    """Play POST /v1/payment_intents."""
    if asked.confirm:
        _check_method(asked.methods, asked.how.method)  # don't create what cannot be confirmed
    made = gateway.new_id("objects", "pi_3", 23)
    intent = Intent(
        made,
        gateway.new_id("secrets", f"{made}_secret_", 25),
        asked.amount,
        asked.currency,
        gateway.now(),
        asked.methods,
        asked.metadata,
        asked.description,
        capture_method=asked.capture_method,
    )
    gateway.intents[made] = intent
    if asked.how.method:
        _attach(gateway, intent, asked.how)
    publish(gateway, "payment_intent.created", intent)
    if asked.confirm:
        confirm(gateway, intent, asked.how)
    return intent


def confirm(gateway: LocalGateway, intent: Intent, how: Confirm) -> None:
    """Play POST /v1/payment_intents/{id}/confirm; a decline is a 402 with the PaymentIntent in it."""
    if intent.status not in ("requires_payment_method", "requires_confirmation"):
        raise unexpected(intent, "confirmed")
    _check_method(intent.methods, how.method or intent.method, intent)
    if how.method:
        _attach(gateway, intent, how)
    intent.return_url = how.return_url or intent.return_url
    intent.error = None
    test_card = how.payment_method or intent.payment_method
    if gateway.declines:
        code, decline_code, with_intent = gateway.declines.popleft()
        charge = decline(gateway, intent, code, decline_code)
        raise card_error(code, decline_code, intent=intent.id if with_intent else "", charge=charge.id)
    if test_card in DECLINES:
        code, decline_code = DECLINES[test_card]
        charge = decline(gateway, intent, code, decline_code)
        raise card_error(code, decline_code, intent=intent.id, charge=charge.id)
    if intent.method in WALLETS or test_card in _CHALLENGED:
        intent.status = "requires_action"
        publish(gateway, "payment_intent.requires_action", intent)
    else:
        authorize(gateway, intent)


def authorize(gateway: LocalGateway, intent: Intent) -> None:
    """Take the money, or hold it if it is to be captured later."""
    later = intent.capture_method == "manual"
    charge = _attempt(gateway, intent, captured=0 if later else intent.amount)
    intent.error = None
    if later:
        intent.status = "requires_capture"
        publish(gateway, "payment_intent.amount_capturable_updated", intent)
    else:
        intent.status, intent.received = "succeeded", intent.amount
        gateway.publish("charge.succeeded", intent.id, views.attempt(gateway, charge))
        publish(gateway, "payment_intent.succeeded", intent)


def decline(gateway: LocalGateway, intent: Intent, code: str, decline_code: str = "") -> Attempt:
    """Record a failed attempt; the PaymentIntent waits for another one."""
    charge = _attempt(gateway, intent, captured=0)
    charge.status, charge.failure_code, charge.decline_code = "failed", code, decline_code
    error = card_error(code, decline_code, charge=charge.id).fields()
    if intent.method in WALLETS:
        error["type"] = "invalid_request_error"
    intent.status, intent.error, intent.payment_method = "requires_payment_method", error, ""
    gateway.publish("charge.failed", intent.id, views.attempt(gateway, charge))
    publish(gateway, "payment_intent.payment_failed", intent)
    return charge


def capture(gateway: LocalGateway, intent: Intent, asked: Capture) -> None:
    """Play POST /v1/payment_intents/{id}/capture: once, and the rest of the amount is released."""
    if intent.status != "requires_capture":
        raise unexpected(intent, "captured")
    amount = intent.amount if asked.amount is None else check_amount(asked.amount, intent.currency, "amount_to_capture")
    if amount > intent.capturable:
        raise invalid(
            f"The amount to capture is greater than the {intent.capturable} that can be captured.",
            "amount_too_large",
            "amount_to_capture",
            intent=intent.id,
        )
    if gateway.declines:
        code, decline_code, with_intent = gateway.declines.popleft()
        raise card_error(code, decline_code, intent=intent.id if with_intent else "", charge=intent.latest)
    charge = gateway.attempts[intent.latest]
    charge.captured = intent.received = amount
    intent.status = "succeeded"
    if amount < intent.amount:
        refunds.release(gateway, intent, intent.amount - amount)
    gateway.publish("charge.captured", intent.id, views.attempt(gateway, charge))
    publish(gateway, "payment_intent.succeeded", intent)


def cancel(gateway: LocalGateway, intent: Intent, asked: Cancel) -> None:
    """Play POST /v1/payment_intents/{id}/cancel."""
    if intent.status not in CANCELLABLE:
        raise unexpected(intent, "canceled")
    if intent.session and intent.status != "requires_capture":
        raise invalid(
            "The PaymentIntent of a Checkout Session cannot be canceled; expire the session instead.",
            "payment_intent_unexpected_state",
            intent=intent.id,
            invented=True,
        )
    close(gateway, intent, asked.reason)


def close(gateway: LocalGateway, intent: Intent, reason: str) -> None:
    """Close the PaymentIntent without money; release any that was held."""
    held = intent.capturable
    intent.status, intent.canceled, intent.cancellation_reason = "canceled", gateway.now(), reason
    if held:
        refunds.release(gateway, intent, held)
    publish(gateway, "payment_intent.canceled", intent)


def publish(gateway: LocalGateway, kind: str, intent: Intent) -> None:
    """Publish an event about this PaymentIntent."""
    gateway.publish(kind, intent.session or intent.id, views.intent(gateway, intent))


def unexpected(intent: Intent, done: str) -> Refused:
    """Return the refusal for a PaymentIntent in the wrong state."""
    return invalid(
        f"This PaymentIntent could not be {done} because it has a status of {intent.status}.",
        "payment_intent_unexpected_state",
        intent=intent.id,
    )


def _check_method(methods: tuple[str, ...], method: str, intent: Intent | None = None) -> None:
    known = intent.id if intent is not None else ""
    if not method:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            "payment_intent_unexpected_state",
            intent=known,
        )
    if method not in methods:
        raise invalid(
            f"The PaymentMethod provided ({method}) is not allowed for this PaymentIntent."
            f" It takes: {', '.join(methods)}.",
            "payment_intent_incompatible_payment_method",
            "payment_method",
            intent=known,
        )


def _attach(gateway: LocalGateway, intent: Intent, how: Confirm) -> None:
    intent.method = how.method
    intent.payment_method = how.payment_method or gateway.new_id("objects", "pm_1", 23)
    intent.status = "requires_confirmation"


def _attempt(gateway: LocalGateway, intent: Intent, *, captured: int) -> Attempt:
    made = gateway.new_id("charges", "ch_3", 23)
    charge = Attempt(made, intent.id, intent.amount, intent.method or "card", gateway.now(), captured=captured)
    gateway.attempts[made] = charge
    intent.latest = made
    return charge
