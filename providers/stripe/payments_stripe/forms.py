"""Build the fields of every request, and the idempotency keys. Names are those of docs.stripe.com/api."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Final, TypeAlias
from urllib.parse import quote, urlencode

from payments_core import CaptureRequest, ChargeRequest, InvalidRequest, Reference, RefundRequest

from . import wire
from .amounts import units

__all__ = [
    "CARD",
    "Pairs",
    "capture",
    "create",
    "encode",
    "expansion",
    "is_session",
    "key",
    "page",
    "refund",
    "refund_of",
]

Pairs: TypeAlias = tuple[tuple[str, str], ...]

CARD: Final = "card"
_ID: Final = re.compile(r"(?:pi|cs)_[A-Za-z0-9_]{1,240}", re.ASCII)
_LONGEST_KEY: Final = 255  # docs.stripe.com/api/idempotent_requests
_LONGEST_VALUE: Final = 500  # docs.stripe.com/metadata, "value: 500-character limit"
_PAGE: Final = "100"  # docs.stripe.com/api/refunds/list: "between 1 and 100"
_REASONS: Final = frozenset({"duplicate", "fraudulent", "requested_by_customer"})  # docs.stripe.com/api/refunds/create

_OF_INTENT: Final = (("expand[0]", "latest_charge"),)
_OF_SESSION: Final = (("expand[0]", "payment_intent.latest_charge"),)


def is_session(reference: Reference) -> bool:
    """Return whether the id is a Checkout Session's; raise `InvalidRequest` if it isn't a PaymentIntent's either."""
    if _ID.fullmatch(reference.provider_id) is None:
        raise InvalidRequest("use Stripe's own provider_id: pi_… or cs_…", field="reference")
    return reference.provider_id.startswith("cs_")


def expansion(reference: Reference) -> Pairs:
    """List the objects to expand, so that one answer tells what was refunded and when it was paid."""
    return _OF_SESSION if is_session(reference) else _OF_INTENT


def key(operation: str, *ids: str) -> str:
    """Return the Idempotency-Key of an operation on these ids, and of nothing else.

    The amount is left out: with it, the same order with another amount would become a second charge instead of a
    refusal.
    """
    plain = ":".join((operation, *(quote(each, safe="") for each in ids)))
    # Quoted ids hold no "#": a shortened key cannot collide with an id.
    return plain if len(plain) <= _LONGEST_KEY else f"{operation}#{sha256(plain.encode()).hexdigest()}"


def encode(form: Pairs) -> bytes:
    """Encode the body of a POST: docs.stripe.com/api, "form-encoded request bodies"."""
    return urlencode(form).encode()


def create(request: ChargeRequest) -> tuple[str, Pairs]:
    """Return the path and fields of a create: a confirmed PaymentIntent for a wallet, a Checkout Session for cards."""
    if not request.return_url:
        raise InvalidRequest("Stripe requires a return_url to send the shopper back to", field="return_url")
    if request.method == CARD:
        return wire.SESSIONS, _session(request)
    if not request.capture:
        raise InvalidRequest(f"{request.method} payments cannot be captured later", field="capture")
    return wire.INTENTS, _WALLETS[request.method](request)


def _alipay(request: ChargeRequest) -> Pairs:
    """Build an Alipay payment (docs.stripe.com/payments/alipay/accept-a-payment)."""
    return (
        ("amount", str(units(request.amount))),
        ("currency", request.amount.currency.lower()),
        ("confirm", "true"),
        ("payment_method_data[type]", request.method),
        ("allowed_payment_method_types[0]", request.method),
        ("description", request.description),
        _mark("metadata", wire.ORDER_ID, request.order_id),
        ("return_url", request.return_url),
    )


def _wechat_pay(request: ChargeRequest) -> Pairs:
    """Build a WeChat Pay payment (docs.stripe.com/payments/wechat-pay/accept-a-payment)."""
    return (*_alipay(request), ("payment_method_options[wechat_pay][client]", "web"))


_WALLETS: Final[dict[str, Callable[[ChargeRequest], Pairs]]] = {"alipay": _alipay, "wechat_pay": _wechat_pay}


def _session(request: ChargeRequest) -> Pairs:
    """Build a Checkout Session (docs.stripe.com/api/checkout/sessions/create)."""
    item = "line_items[0][price_data]"
    return (
        ("mode", "payment"),
        ("allowed_payment_method_types[0]", CARD),
        ("success_url", request.return_url),
        ("cancel_url", request.return_url),
        ("client_reference_id", request.order_id),
        _mark("metadata", wire.ORDER_ID, request.order_id),
        *(() if request.capture else (_mark("metadata", *wire.HELD_MARK),)),
        ("line_items[0][quantity]", "1"),
        (f"{item}[currency]", request.amount.currency.lower()),
        (f"{item}[unit_amount]", str(units(request.amount))),
        (f"{item}[product_data][name]", request.description),
        # Otherwise the account's settings may let the shopper pay in another currency.
        ("adaptive_pricing[enabled]", "false"),
        ("payment_intent_data[description]", request.description),
        _mark("payment_intent_data[metadata]", wire.ORDER_ID, request.order_id),
        # The shop knows only the session's id, so mark the events of its PaymentIntent.
        _mark("payment_intent_data[metadata]", *wire.OF_SESSION_MARK),
        *(() if request.capture else (("payment_intent_data[capture_method]", "manual"),)),
        *((("customer_email", request.shopper.email),) if request.shopper.email else ()),
    )


def _mark(where: str, name: str, value: str) -> tuple[str, str]:
    return f"{where}[{name}]", value


def capture(request: CaptureRequest) -> Pairs:
    """Build a capture (docs.stripe.com/api/payment_intents/capture). Any amount not captured is released."""
    return (("amount_to_capture", str(units(request.amount))),)


def refund(request: RefundRequest) -> Pairs:
    """Build a refund, without its charge (docs.stripe.com/api/refunds/create). An unlisted reason becomes metadata."""
    reason = request.reason
    if len(reason) > _LONGEST_VALUE:
        raise InvalidRequest(f"Stripe takes a reason of at most {_LONGEST_VALUE} characters", field="reason")
    found = [("amount", str(units(request.amount))), _mark("metadata", wire.REFUND_ID, request.refund_id)]
    if is_session(request.reference):
        found.append(_mark("metadata", *wire.OF_SESSION_MARK))
    if reason:
        found.append(("reason", reason) if reason in _REASONS else _mark("metadata", wire.REASON, reason))
    return tuple(found)


def refund_of(intent: str, order_id: str) -> Pairs:
    """Name the charge to refund, by what Stripe says of it, so that it is the same for the same refund_id."""
    return (("payment_intent", intent), *((_mark("metadata", wire.ORDER_ID, order_id),) if order_id else ()))


def page(intent: str, after: str) -> Pairs:
    """Ask for the page of refunds after `after`, or the first one (docs.stripe.com/api/refunds/list)."""
    found = (("payment_intent", intent), ("limit", _PAGE))
    return (*found, ("starting_after", after)) if after else found
