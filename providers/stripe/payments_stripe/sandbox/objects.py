"""Build Stripe's objects as JSON, in the shapes of version 2026-10-28.endive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from .records import Attempt, Intent, Refund, Session

__all__ = ["attempt", "intent", "listed", "refund", "session"]

_NOTHING_OF_INTENT: Final = dict.fromkeys(
    "application application_fee_amount automatic_payment_methods customer on_behalf_of processing receipt_email review"
    " setup_future_usage shipping source statement_descriptor statement_descriptor_suffix transfer_data"
    " transfer_group".split()
)
_NOTHING_OF_CHARGE: Final = dict.fromkeys(
    "application application_fee application_fee_amount balance_transaction customer failure_balance_transaction"
    " on_behalf_of receipt_email receipt_number receipt_url review shipping source_transfer statement_descriptor"
    " statement_descriptor_suffix transfer_data transfer_group".split()
)
_NOTHING_OF_SESSION: Final = dict.fromkeys(
    "after_expiration allow_promotion_codes billing_address_collection client_secret consent consent_collection"
    " currency_conversion customer invoice payment_link recovered_from setup_intent shipping_address_collection"
    " shipping_cost submit_type subscription".split()
)


def intent(made: Intent, next_action: Mapping[str, Any] | None, latest: Any) -> dict[str, Any]:
    """Build a PaymentIntent; `latest` is its latest Charge, as an id, expanded, or None."""
    return {
        "id": made.id,
        "object": "payment_intent",
        "amount": made.amount,
        "amount_capturable": made.capturable,
        "amount_details": {"tip": {}},
        "amount_received": made.received,
        **_NOTHING_OF_INTENT,
        "canceled_at": made.canceled,
        "cancellation_reason": made.cancellation_reason or None,
        "capture_method": made.capture_method,
        "client_secret": made.client_secret,
        "confirmation_method": "automatic",
        "created": made.created,
        "currency": made.currency.lower(),
        "description": made.description or None,
        "last_payment_error": made.error,
        "latest_charge": latest,
        "livemode": False,
        "metadata": made.metadata,
        "next_action": next_action,
        "payment_method": made.payment_method or None,
        "payment_method_options": {},
        "payment_method_types": list(made.methods),
        "status": made.status,
    }


def attempt(made: Attempt, of: Intent, refunded: int) -> dict[str, Any]:
    """Build a Charge; `refunded` counts refunds and releases."""
    failed = made.status == "failed"
    return {
        "id": made.id,
        "object": "charge",
        "amount": made.amount,
        "amount_captured": made.captured,
        "amount_refunded": refunded,
        **_NOTHING_OF_CHARGE,
        "billing_details": {"address": None, "email": None, "name": None, "phone": None},
        "captured": made.captured > 0,
        "created": made.created,
        "currency": of.currency.lower(),
        "description": of.description or None,
        "disputed": False,
        "failure_code": made.failure_code or None,
        "failure_message": "sandbox: the payment failed." if failed else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": of.metadata,
        "outcome": {
            "network_status": "declined_by_network" if failed else "approved_by_network",
            "reason": made.decline_code or None,
            "type": "issuer_declined" if failed else "authorized",
        },
        "paid": not failed,
        "payment_intent": of.id,
        "payment_method": of.payment_method or None,
        "payment_method_details": {made.method: {}, "type": made.method},
        "refunded": not failed and refunded == made.amount,
        "status": made.status,
    }


def session(made: Session, url: str, paid_by: Any) -> dict[str, Any]:
    """Build a Checkout Session; `paid_by` is its PaymentIntent, as an id, expanded, or None."""
    return {
        "id": made.id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": made.adaptive_pricing},
        "amount_subtotal": made.amount,
        "amount_total": made.amount,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        **_NOTHING_OF_SESSION,
        "cancel_url": made.cancel_url or None,
        "client_reference_id": made.client_reference_id or None,
        "created": made.created,
        "currency": made.currency.lower(),
        "custom_fields": [],
        "custom_text": dict.fromkeys(("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")),
        "customer_creation": "if_required",
        "customer_details": None if made.status != "complete" else {"email": made.customer_email or None, "name": None},
        "customer_email": made.customer_email or None,
        "expires_at": made.expires,
        "invoice_creation": {"enabled": False},
        "livemode": False,
        "locale": None,
        "metadata": made.metadata,
        "mode": "payment",
        "payment_intent": paid_by,
        "payment_method_collection": "if_required",
        "payment_method_options": {},
        "payment_method_types": list(made.methods),
        "payment_status": made.payment_status,
        "phone_number_collection": {"enabled": False},
        "shipping_options": [],
        "status": made.status,
        "success_url": made.success_url,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": url if made.status == "open" else None,
    }


def refund(made: Refund) -> dict[str, Any]:
    """Build a Refund."""
    found = {
        "id": made.id,
        "object": "refund",
        "amount": made.amount,
        "balance_transaction": None,
        "charge": made.charge,
        "created": made.created,
        "currency": made.currency.lower(),
        "metadata": made.metadata,
        "payment_intent": made.intent,
        "reason": made.reason or None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": made.status,
        "transfer_reversal": None,
    }
    more = {"failure_reason": made.failure_reason, "pending_reason": "processing" if made.status == "pending" else ""}
    return found | {name: value for name, value in more.items() if value}


def listed(url: str, items: Iterable[Any], shown: Callable[[Any], Any], *, has_more: bool) -> dict[str, Any]:
    """Build one page of a list."""
    return {"object": "list", "data": [shown(item) for item in items], "has_more": has_more, "url": url}
