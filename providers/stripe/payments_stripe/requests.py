"""What is asked of Stripe, as forms and queries. Every name is one of the pinned API version's parameters."""

from __future__ import annotations

import hashlib
from typing import Final

from payments_core import (
    CaptureRequest,
    Channel,
    ChargeRequest,
    InvalidRequest,
    Reference,
    RefundRequest,
    Request,
    Secret,
    segment,
)

from . import wire
from .amounts import units

__all__ = ["CHANNELS", "capture", "find", "page", "post", "refund", "wallet"]

CHANNELS: Final = frozenset({Channel.WEB, Channel.MOBILE_WEB})
_REASONS: Final = frozenset({"duplicate", "fraudulent", "requested_by_customer"})  # RE: reason
_INTENT_EXPAND: Final = "latest_charge"
_SESSION_EXPAND: Final = "payment_intent.latest_charge"


def post(path: str, body: bytes, authorization: Secret, *key: str) -> Request:
    """A request that has one effect however often it is sent: its key is made of the operation and of the caller's ids alone.

    Not of the amount: another amount for the same order meets Stripe's idempotency error, and not a second charge.
    """
    digest = hashlib.sha256("\x00".join(key).encode()).hexdigest()
    headers = (
        *_headers(authorization),
        ("content-type", "application/x-www-form-urlencoded"),
        ("idempotency-key", f"{key[0]}-{digest}"),
    )
    return Request("POST", path, headers=headers, body=body, idempotent=True)


def get(path: str, authorization: Secret, *query: tuple[str, str]) -> Request:
    """A request that moves nothing."""
    return Request("GET", path, query=query, headers=_headers(authorization), safe=True)


def _headers(authorization: Secret) -> tuple[tuple[str, str | Secret], ...]:
    return ("authorization", authorization), ("stripe-version", wire.API_VERSION)


def is_session(reference: Reference) -> bool:
    """Whether a charge is a Checkout Session; `InvalidRequest` where it is neither that nor a PaymentIntent."""
    if reference.provider_id.startswith("cs_"):
        return True
    if not reference.provider_id.startswith("pi_"):
        raise InvalidRequest("Stripe is asked by the id it gave: pi_... or cs_...", field="reference")
    return False


def find(reference: Reference, authorization: Secret) -> Request:
    """PI and CS: a charge, with the money that has moved."""
    session = is_session(reference)
    path = f"{wire.SESSIONS if session else wire.INTENTS}/{segment(reference.provider_id)}"
    return get(path, authorization, ("expand[0]", _SESSION_EXPAND if session else _INTENT_EXPAND))


def wallet(request: ChargeRequest) -> bytes:
    """PI: a PaymentIntent of a wallet, confirmed at once."""
    _check(request)
    if not request.capture:
        raise InvalidRequest(f"{request.method} takes the money at once: capture=False is for card", field="capture")
    return wire.form(
        [
            ("amount", units(request.amount)),
            ("currency", request.amount.currency.lower()),
            ("confirm", "true"),
            ("payment_method_data[type]", request.method),
            ("allowed_payment_method_types[0]", request.method),
            ("payment_method_options[wechat_pay][client]", "web" if request.method == "wechat_pay" else ""),
            ("description", request.description),
            ("metadata[order_id]", request.order_id),
            ("return_url", request.return_url),
            ("expand[0]", _INTENT_EXPAND),
        ]
    )


def page(request: ChargeRequest) -> bytes:
    """CS: a hosted page that asks for a card, in this currency alone."""
    _check(request)
    price = "line_items[0][price_data]"
    return wire.form(
        [
            ("mode", "payment"),
            ("allowed_payment_method_types[0]", "card"),
            ("adaptive_pricing[enabled]", "false"),
            ("line_items[0][quantity]", "1"),
            (f"{price}[currency]", request.amount.currency.lower()),
            (f"{price}[unit_amount]", units(request.amount)),
            (f"{price}[product_data][name]", request.description),
            ("client_reference_id", request.order_id if len(request.order_id) <= 200 else ""),
            ("metadata[order_id]", request.order_id),
            ("payment_intent_data[capture_method]", "" if request.capture else "manual"),
            ("payment_intent_data[description]", request.description),
            ("payment_intent_data[metadata][order_id]", request.order_id),
            ("payment_intent_data[metadata][checkout]", "session"),
            ("customer_email", request.shopper.email),
            ("success_url", request.return_url),
            ("cancel_url", request.return_url),
            ("expand[0]", _SESSION_EXPAND),
        ]
    )


def capture(request: CaptureRequest) -> bytes:
    """PI: what is taken of the money that is held; the rest is released."""
    return wire.form([("amount_to_capture", units(request.amount)), ("expand[0]", _INTENT_EXPAND)])


def refund(request: RefundRequest, intent_id: str) -> bytes:
    """RE: a refund, with our ids of it and of its charge."""
    known = request.reason in _REASONS
    return wire.form(
        [
            ("payment_intent", intent_id),
            ("amount", units(request.amount)),
            ("reason", request.reason if known else ""),
            ("metadata[refund_id]", request.refund_id),
            ("metadata[order_id]", request.reference.order_id),
            ("metadata[charge]", request.reference.provider_id),
            ("metadata[reason]", "" if known else request.reason[:500]),
        ]
    )


def _check(request: ChargeRequest) -> None:
    if not request.return_url:
        raise InvalidRequest("Stripe sends the shopper back: give a return_url", field="return_url")
