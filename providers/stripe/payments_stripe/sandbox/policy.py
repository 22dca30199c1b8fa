"""List the fields that Stripe's cassettes keep: those the plugin sends and reads. All else becomes `MASKED`."""

from __future__ import annotations

from typing import Final

from payments_core.testing.masking import CassettePolicy, Fields, Rule

__all__ = ["INTENTS", "POLICY", "REFUNDS", "SESSIONS"]

INTENTS: Final = "/v1/payment_intents"
SESSIONS: Final = "/v1/checkout/sessions"
REFUNDS: Final = "/v1/refunds"


def _below(name: str, fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}.{field}" for field in fields)


_SENT: Final = Fields(("content-type", "stripe-version", "idempotency-key"), masked=("authorization",))
_ANSWERED: Final = Fields(
    ("content-type", "request-id", "stripe-version", "idempotent-replayed", "stripe-should-retry")
)
_EXPANDED: Final = ("expand[0]",)
_METADATA: Final = tuple(f"payments_core_{name}" for name in ("order_id", "checkout", "capture", "refund_id", "reason"))
_ERROR: Final = ("type", "code", "decline_code", "message", "param")
_CHARGE: Final = ("id", "object", "amount", "amount_captured", "amount_refunded", "created", "currency", "disputed")
_ACTION: Final = (
    "type", "alipay_handle_redirect.url", "redirect_to_url.url", "wechat_pay_display_qr_code.data",
)  # fmt: skip
_INTENT: Final = (
    "id", "object", "amount", "amount_received", "created", "currency", "livemode", "status", "last_payment_error",
    "next_action", "latest_charge",
    *_below("metadata", _METADATA),
    *_below("last_payment_error", _ERROR),
    *_below("next_action", _ACTION),
    *_below("latest_charge", _CHARGE),
)  # fmt: skip
_SESSION: Final = (
    "id", "object", "amount_total", "created", "currency", "expires_at", "livemode", "mode", "payment_intent",
    "payment_status", "status", "url",
    *_below("metadata", _METADATA),
    *_below("payment_intent", _INTENT),
)  # fmt: skip
_REFUND: Final = (
    "id", "object", "amount", "created", "currency", "payment_intent", "status", *_below("metadata", _METADATA),
)  # fmt: skip
_MARKS: Final = tuple(f"metadata[{name}]" for name in _METADATA)
_LINE: Final = "line_items[0]"
_CREATED: Final = (
    "amount", "currency", "confirm", "description", "return_url", "payment_method_data[type]",
    "allowed_payment_method_types[0]", "payment_method_options[wechat_pay][client]", *_MARKS,
)  # fmt: skip
_OPENED: Final = (
    "mode", "success_url", "cancel_url", "client_reference_id", "allowed_payment_method_types[0]",
    "adaptive_pricing[enabled]", "payment_intent_data[description]", "payment_intent_data[capture_method]",
    f"{_LINE}[quantity]", f"{_LINE}[price_data][currency]", f"{_LINE}[price_data][unit_amount]",
    f"{_LINE}[price_data][product_data][name]",
    *_MARKS,
    *(f"payment_intent_data[metadata][{name}]" for name in _METADATA),
)  # fmt: skip


def _rule(path: str, answer: tuple[str, ...], sent: tuple[str, ...] = (), asked: tuple[str, ...] = _EXPANDED) -> Rule:
    """Keep an object, or an error with its PaymentIntent; hide the secrets that open a PaymentIntent in a browser."""
    secrets = ("client_secret", "payment_intent.client_secret", "error.payment_intent.client_secret")
    error = (*_below("error", _ERROR), *_below("error.payment_intent", _INTENT))
    return Rule(
        path=path,
        query=Fields(asked),
        request_headers=_SENT,
        request_body=Fields(sent),
        response_headers=_ANSWERED,
        response_body=Fields((*answer, *error), masked=secrets),
    )


POLICY: Final = CassettePolicy(
    (
        _rule(INTENTS, _INTENT, _CREATED),
        _rule(f"{INTENTS}/{{id}}", _INTENT),
        _rule(f"{INTENTS}/{{id}}/capture", _INTENT, ("amount_to_capture",)),
        _rule(f"{INTENTS}/{{id}}/cancel", _INTENT),
        _rule(SESSIONS, _SESSION, _OPENED),
        _rule(f"{SESSIONS}/{{id}}", _SESSION),
        _rule(f"{SESSIONS}/{{id}}/expire", _SESSION),
        _rule(
            REFUNDS,
            (*_REFUND, "has_more", *_below("data", _REFUND)),
            ("payment_intent", "amount", "reason", *_MARKS),
            ("payment_intent", "limit", "starting_after"),
        ),
        _rule(f"{REFUNDS}/{{id}}", _REFUND),
    )
)
