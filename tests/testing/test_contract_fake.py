"""The fake passes the contract that every provider passes; the breakages beside it show that the contract notices."""

from __future__ import annotations

from typing import Any

from payments_core import ChargeRequest, Money, PaymentStatus, RefundRequest, RejectionCode, WebhookDelivery
from payments_core.testing.contract import ProviderContract, Refusal
from payments_core.testing.fake import FakeProvider
from payments_core.testing.fake_gateway import POLICY, make


def refusal(code: str, meaning: RejectionCode, *, definitive: bool, status: int = 402) -> Refusal:
    body = b'{"error": {"code": "%b", "message": "no"}}' % code.encode()
    return Refusal(name=f"{status} {code}", status=status, body=body, code=meaning, definitive=definitive)


class TestFake(ProviderContract):
    """The tables are written a second time from docs/fake.md."""

    provider = FakeProvider
    make_sandbox = staticmethod(make)
    cassette_policy = POLICY
    webhook_tolerance = 300.0
    raw_statuses = {
        "open": PaymentStatus.PENDING,
        "authorized": PaymentStatus.AUTHORIZED,
        "paid": PaymentStatus.SUCCEEDED,
        "cancelled": PaymentStatus.CANCELLED,
        "expired": PaymentStatus.CANCELLED,
        "failed": PaymentStatus.FAILED,
    }
    refusals = (
        refusal("declined", RejectionCode.DECLINED, definitive=True),
        refusal("insufficient_funds", RejectionCode.INSUFFICIENT_FUNDS, definitive=True),
        refusal("risk", RejectionCode.RISK, definitive=True),
        refusal("invalid", RejectionCode.INVALID, definitive=True),
        refusal("duplicate", RejectionCode.DUPLICATE, definitive=False),
        refusal("of_a_later_year", RejectionCode.UNKNOWN, definitive=False),
        refusal("declined", RejectionCode.UNKNOWN, definitive=False, status=409),
    )
    not_applicable = {
        "test_the_entry_point_leads_to_the_provider": "a live configuration must not be able to name the fake"
    }

    def batch(self, sandbox: Any) -> tuple[WebhookDelivery, int]:
        """Three charges and a refund, made by the fake itself, whatever is being tested in its place."""
        amount = Money.of("88", "HKD")
        with sandbox.open() as gateway:
            made = [gateway.create_charge(ChargeRequest(f"paid-batch-{n}", amount, "A cup of tea")) for n in range(3)]
            refund = gateway.refund_charge(RefundRequest(made[0].reference, "refund-batch", amount))
        ids = [charge.reference.provider_id for charge in made] + [refund.provider_id]
        return sandbox.notification(*ids), len(ids)
