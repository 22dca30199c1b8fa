"""Make Stripe's objects and answers as JSON: a good example each, to which a test makes one change."""

from __future__ import annotations

import json
from typing import Any

from payments_core import ChargeRequest, Money, Reference, Response

T = 1_793_534_400  # 2026-11-01T12:00:00Z
HKD = Money.of("88.00", "HKD")
PART = Money.of("50.00", "HKD")
BACK = "https://shop.example/back"
PI = Reference(provider_id="pi_1")
CS = Reference(provider_id="cs_test_1")
CONFIG = {"api_key": "sk_test_key-of-the-tests", "webhook_key": "whsec_of-the-tests"}
MARKS = {"payments_core_order_id": "P1"}
OF_SESSION = MARKS | {"payments_core_checkout": "session"}
HANDLE = {"type": "alipay_handle_redirect", "alipay_handle_redirect": {"url": "https://pay.example/a?b=c"}}
DROP: Any = object()
"""The value of a field to leave out."""


def kept(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not DROP}


def intent(**changes: Any) -> dict[str, Any]:
    """A wallet's PaymentIntent that waits for the shopper."""
    good = {"id": "pi_1", "object": "payment_intent", "amount": 8800, "amount_received": 0, "currency": "hkd"}
    more = {"created": T, "status": "requires_action", "metadata": MARKS, "next_action": HANDLE}
    return kept(good | more | {"last_payment_error": None, "latest_charge": None} | changes)


def attempt(**changes: Any) -> dict[str, Any]:
    """A Charge of Stripe's: what `latest_charge` is when it is expanded."""
    good = {"id": "ch_1", "object": "charge", "amount": 8800, "amount_captured": 8800, "amount_refunded": 0}
    return kept(good | {"created": T + 60} | changes)


def paid(**changes: Any) -> dict[str, Any]:
    return intent(
        **{"status": "succeeded", "amount_received": 8800, "next_action": None, "latest_charge": attempt()} | changes
    )


def session(**changes: Any) -> dict[str, Any]:
    """A Checkout Session that waits for the shopper."""
    good = {"id": "cs_test_1", "object": "checkout.session", "mode": "payment", "status": "open", "currency": "hkd"}
    more = {"payment_status": "unpaid", "amount_total": 8800, "created": T, "expires_at": T + 86_400}
    url = "https://checkout.example/c/pay/cs_test_1#f"
    return kept(good | more | {"metadata": MARKS, "payment_intent": None, "url": url} | changes)


def complete(payment_status: str, payment_intent: Any, **changes: Any) -> dict[str, Any]:
    over = {"status": "complete", "payment_status": payment_status, "payment_intent": payment_intent, "url": None}
    return session(**over | changes)


def refund(**changes: Any) -> dict[str, Any]:
    good = {"id": "re_1", "object": "refund", "amount": 5000, "currency": "hkd", "created": T + 100}
    metadata = MARKS | {"payments_core_refund_id": "R1"}
    return kept(good | {"status": "succeeded", "payment_intent": "pi_1", "metadata": metadata} | changes)


def answer(found: Any, status: int = 200, *headers: tuple[str, str], request_id: str = "req_1") -> Response:
    return Response(status, (("Request-Id", request_id), *headers), json.dumps(found).encode())


def listed(*refunds: Any, has_more: bool = False) -> Response:
    return answer({"object": "list", "data": list(refunds), "has_more": has_more})


def order(**changes: Any) -> ChargeRequest:
    values: dict[str, Any] = {"order_id": "P1", "amount": HKD, "description": "Tea", "return_url": BACK}
    return ChargeRequest(**(values | changes))
