"""Stripe passes the contract that every provider passes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from payments_core import ChargeRequest, Money, PaymentStatus, RejectionCode
from payments_core.testing.contract import ProviderContract, Refusal
from payments_stripe.provider import StripeProvider
from payments_stripe.sandbox import make
from payments_stripe.sandbox.stories import POLICY


def error(kind: str, code: str = "", decline_code: str = "") -> bytes:
    fields = {"type": kind, "code": code, "decline_code": decline_code, "message": "No."}
    return json.dumps({"error": {name: value for name, value in fields.items() if value}}).encode()


# docs.stripe.com/payments/alipay/accept-a-payment: "Presentment currencies".
OF_ALIPAY = frozenset("AUD CAD CNY EUR GBP HKD JPY NZD SGD USD MYR".split())
OF_SESSIONS = frozenset({"open", "expired", "complete:paid", "complete:unpaid"})


class TestStripe(ProviderContract):
    """Wallets are asked for where they can be; what they cannot do, or are not paid in, by card."""

    provider = StripeProvider
    make_sandbox = staticmethod(make)
    cassette_policy = POLICY
    currency = "HKD"
    webhook_tolerance = 300.0  # docs.stripe.com/webhooks/signature
    # The table of the project's own page on this gateway, and docs.stripe.com/api/checkout/sessions/object.
    raw_statuses = {
        "requires_payment_method": PaymentStatus.PENDING,
        "requires_confirmation": PaymentStatus.PENDING,
        "requires_action": PaymentStatus.REQUIRES_ACTION,
        "processing": PaymentStatus.PENDING,
        "requires_capture": PaymentStatus.AUTHORIZED,
        "succeeded": PaymentStatus.SUCCEEDED,
        "canceled": PaymentStatus.CANCELLED,
        "open": PaymentStatus.PENDING,
        "expired": PaymentStatus.CANCELLED,
        "complete:paid": PaymentStatus.SUCCEEDED,
        "complete:unpaid": PaymentStatus.PENDING,
    }
    refusals = (  # docs.stripe.com/api/errors, /declines/codes
        Refusal(
            name="declined",
            status=402,
            body=error("card_error", "card_declined", "generic_decline"),
            code=RejectionCode.DECLINED,
            definitive=True,
        ),
        Refusal(
            name="insufficient funds",
            status=402,
            body=error("card_error", "card_declined", "insufficient_funds"),
            code=RejectionCode.INSUFFICIENT_FUNDS,
            definitive=True,
        ),
        Refusal(
            name="fraudulent",
            status=402,
            body=error("card_error", "card_declined", "fraudulent"),
            code=RejectionCode.RISK,
            definitive=True,
        ),
        Refusal(
            name="a parameter that is wrong",
            status=400,
            body=error("invalid_request_error", "parameter_invalid_integer"),
            code=RejectionCode.INVALID,
            definitive=True,
        ),
        Refusal(
            name="a key that was used for something else",
            status=400,
            body=error("idempotency_error"),
            code=RejectionCode.DUPLICATE,
        ),
    )
    not_applicable = {
        "test_every_event_of_a_batch_survives": "docs.stripe.com/webhooks: one delivery carries one event",
    }

    def request(self, order_id: str, amount: Money, **fields: Any) -> ChargeRequest:
        wallet = amount.currency in OF_ALIPAY and fields.get("capture", True)
        fields = {"method": "alipay" if wallet else "card", "return_url": "https://shop.example/paid"} | fields
        return super().request(order_id, amount, **fields)

    def amount(self, currency: str) -> Money:
        return Money.of("880", currency)  # more than the smallest charge in every currency

    def fields_for_status(self, raw_status: str) -> Mapping[str, Any]:
        return {"method": "card"} if raw_status in OF_SESSIONS else {}
