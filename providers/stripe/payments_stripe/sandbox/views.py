"""Show the objects as JSON, in the shapes of version 2026-10-28.endive, without fields that say nothing here."""

from __future__ import annotations

from typing import Any

from .gateway import LocalGateway
from .records import Intent, Refund, Session

__all__ = ["attempt", "intent", "page_url", "refund", "refunded", "session"]


def page_url(gateway: LocalGateway, charge: str) -> str:
    """Return the address where the shopper of this PaymentIntent or Checkout Session pays."""
    return f"{gateway.base_url}/wallet/{charge}"


def refunded(gateway: LocalGateway, made: Intent, *, automatic: bool = True) -> int:
    """Return the amount given back, or on its way; with `automatic`, also what was released."""
    return sum(
        each.amount
        for each in gateway.refunds.values()
        if each.intent is made and each.status != "failed" and (automatic or not each.automatic)
    )


def intent(gateway: LocalGateway, made: Intent, *, expand: bool = False) -> dict[str, Any]:
    """Show a PaymentIntent; `expand` shows its latest Charge too."""
    return {
        "id": made.id,
        "object": "payment_intent",
        "amount": made.amount,
        "amount_capturable": made.capturable,
        "amount_received": made.received,
        "capture_method": made.capture_method,
        "client_secret": made.client_secret,
        "created": made.created,
        "currency": made.currency.lower(),
        "description": made.description,
        "last_payment_error": made.error,
        "latest_charge": attempt(gateway, made) if expand and made.latest else made.latest or None,
        "livemode": False,
        "metadata": made.metadata,
        "next_action": _next_action(gateway, made) if made.status == "requires_action" else None,
        "status": made.status,
    }


def attempt(gateway: LocalGateway, of: Intent) -> dict[str, Any]:
    """Show the latest Charge. As at Stripe, a released authorization counts as refunded."""
    return {
        "id": of.latest,
        "object": "charge",
        "amount": of.amount,
        "amount_captured": of.received,
        "amount_refunded": refunded(gateway, of),
        "created": of.tried,
        "currency": of.currency.lower(),
        "disputed": False,
        "metadata": of.metadata,
        "payment_intent": of.id,
    }


def session(gateway: LocalGateway, made: Session, *, expand: bool = False) -> dict[str, Any]:
    """Show a Checkout Session; `expand` shows its PaymentIntent too, with the latest Charge."""
    paid_by: Any = made.intent and made.intent.id
    return {
        "id": made.id,
        "object": "checkout.session",
        "amount_total": made.amount,
        "client_reference_id": made.form.get("client_reference_id"),
        "created": made.created,
        "currency": made.currency.lower(),
        "customer_email": made.form.get("customer_email"),
        "expires_at": made.expires,
        "livemode": False,
        "metadata": made.metadata,
        "mode": "payment",
        "payment_intent": intent(gateway, made.intent, expand=True) if expand and made.intent else paid_by,
        "payment_status": made.payment_status,
        "status": made.status,
        "url": page_url(gateway, made.id) if made.status == "open" else None,
    }


def refund(made: Refund) -> dict[str, Any]:
    """Show a Refund."""
    return {
        "id": made.id,
        "object": "refund",
        "amount": made.amount,
        "charge": made.intent.latest,
        "created": made.created,
        "currency": made.intent.currency.lower(),
        "metadata": made.metadata,
        "payment_intent": made.intent.id,
        "reason": made.reason,
        "status": made.status,
    }


def _next_action(gateway: LocalGateway, made: Intent) -> dict[str, Any]:
    url = page_url(gateway, made.session or made.id)
    if made.method == "wechat_pay":
        # As in Stripe's test mode, the code leads to a page instead of WeChat.
        return {"type": "wechat_pay_display_qr_code", "wechat_pay_display_qr_code": {"data": url}}
    kind = "alipay_handle_redirect" if made.method == "alipay" else "redirect_to_url"
    return {"type": kind, kind: {"return_url": made.return_url, "url": url}}
