"""AlipayHK passes the contract that every provider passes."""

from __future__ import annotations

from payments_alipayhk.provider import AlipayHKProvider
from payments_alipayhk.sandbox import make
from payments_alipayhk.sandbox.stories import POLICY
from payments_core import PaymentStatus, RejectionCode
from payments_core.testing.contract import ProviderContract, Refusal


class TestAlipayHK(ProviderContract):
    """CBTIS documents neither a code nor an idempotent create, so nothing here is definitive or sent again."""

    provider = AlipayHKProvider
    make_sandbox = staticmethod(make)
    cassette_policy = POLICY
    # WEB, table of status.
    raw_statuses = {
        "PENDING": PaymentStatus.PENDING,
        "SUCCEEDED": PaymentStatus.SUCCEEDED,
        "CANCELLED": PaymentStatus.CANCELLED,
    }
    # WEB: "code 0 is success"; of every other one nothing is documented.
    refusals = (
        Refusal(
            name="a code other than 0, with HTTP 200",
            status=200,
            body=b'{"code": 90409, "data": null, "message": "no", "rid": "3647575c"}',
            code=RejectionCode.UNKNOWN,
        ),
        Refusal(
            name="a code other than 0, with HTTP 400", status=400, body=b'{"code": "E1", "message": "no", "rid": "1"}'
        ),
    )
    not_applicable = {"test_every_event_of_a_batch_survives": "HOOK: one delivery carries one event"}
