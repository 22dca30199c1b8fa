"""Refund cards at once, and wallets later (docs.stripe.com/refunds, /payments/alipay, /payments/wechat-pay)."""

from __future__ import annotations

from typing import Final

from payments_core.testing.sandbox import NotPossible, UnknownCharge

from . import views
from .currencies import check_amount
from .gateway import LocalGateway
from .records import Intent, Refund
from .refusals import invalid, missing
from .rules import MakeRefund

__all__ = ["SETTLED_AFTER", "create", "fail", "release", "settle", "settle_due"]

SETTLED_AFTER: Final = 3600
"""Seconds after which a pending refund has succeeded. Invented: Stripe says only that it notifies later."""


def create(gateway: LocalGateway, asked: MakeRefund) -> Refund:
    """Play POST /v1/refunds."""
    intent = _intent(gateway, asked)
    if intent.status != "succeeded":
        raise invalid(
            f"This PaymentIntent ({intent.id}) does not have a successful charge to refund.",
            "payment_intent_unexpected_state",
            invented=True,
        )
    left = intent.received - given_back(gateway, intent)
    if left <= 0:
        raise invalid(f"Charge {intent.latest} has already been refunded.", "charge_already_refunded")
    amount = left if asked.amount is None else check_amount(asked.amount, intent.currency, least=False)
    if amount > left:
        # Stripe answers no code with this; `amount_too_large` is documented for amounts, and not for this one.
        raise invalid(f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount")
    later = intent.method in ("alipay", "wechat_pay")
    refund = _make(gateway, intent, amount, status="pending" if later else "succeeded")
    refund.metadata, refund.reason = asked.metadata, asked.reason
    _published(gateway, intent, refund, "refund.created", "charge.refunded")
    return refund


def release(gateway: LocalGateway, intent: Intent, amount: int) -> None:
    """Release held money, which Stripe does with an ordinary refund (docs.stripe.com/api/payment_intents/cancel)."""
    refund = _make(gateway, intent, amount, status="succeeded")
    refund.automatic = True
    _published(gateway, intent, refund, "refund.created", "charge.refunded")


def settle(gateway: LocalGateway, found: str) -> None:
    """Let a pending refund reach the shopper."""
    _change(gateway, _pending(gateway, found), "succeeded", "refund.updated", "charge.refund.updated")


def fail(gateway: LocalGateway, found: str, reason: str = "unknown") -> None:
    """Return a refund to the merchant, even one that had succeeded (docs.stripe.com/refunds#failed-refunds)."""
    refund = _refund(gateway, found)
    if refund.status not in ("pending", "succeeded"):
        raise NotPossible(f"the refund is {refund.status}")
    refund.failure_reason = reason
    _change(gateway, refund, "failed", "refund.updated", "charge.refund.updated", "refund.failed")


def settle_due(gateway: LocalGateway, now: int) -> None:
    """Settle every refund that is due."""
    for refund in list(gateway.refunds.values()):
        if refund.status == "pending" and now - refund.created >= SETTLED_AFTER:
            settle(gateway, refund.id)


def given_back(gateway: LocalGateway, intent: Intent) -> int:
    """Return the refunded part of the captured amount."""
    return sum(each.amount for each in gateway.refunds_of(intent) if each.counts and not each.automatic)


def _intent(gateway: LocalGateway, asked: MakeRefund) -> Intent:
    found = asked.intent
    if asked.charge:
        if asked.charge not in gateway.attempts:
            raise missing("charge", asked.charge, param="charge")
        found = gateway.attempts[asked.charge].intent
    if found not in gateway.intents:
        raise missing("payment_intent", found, param="payment_intent")
    return gateway.intents[found]


def _make(gateway: LocalGateway, intent: Intent, amount: int, *, status: str) -> Refund:
    made = gateway.new_id("refunds", "re_3", 23)
    refund = Refund(made, intent.id, intent.latest, amount, intent.currency, gateway.now(), status)
    gateway.refunds[made] = refund
    return refund


def _refund(gateway: LocalGateway, found: str) -> Refund:
    try:
        return gateway.refunds[found]
    except KeyError:
        raise UnknownCharge(f"no Refund has the id {found!r}") from None


def _pending(gateway: LocalGateway, found: str) -> Refund:
    refund = _refund(gateway, found)
    if refund.status != "pending":
        raise NotPossible(f"the refund is {refund.status}, and not pending")
    return refund


def _change(gateway: LocalGateway, refund: Refund, status: str, *kinds: str) -> None:
    before = {"status": refund.status}
    refund.status = status
    shown = views.refund(gateway, refund)
    charge = gateway.intents[refund.intent].session or refund.intent
    for kind in kinds:
        gateway.publish(kind, charge, shown, None if kind == "refund.failed" else before)


def _published(gateway: LocalGateway, intent: Intent, refund: Refund, of_refund: str, of_charge: str) -> None:
    charge = intent.session or intent.id
    gateway.publish(of_refund, charge, views.refund(gateway, refund))
    gateway.publish(of_charge, charge, views.attempt(gateway, gateway.attempts[intent.latest]))
