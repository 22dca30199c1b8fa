"""Run the contract that every provider passes against Lantern Pay, with pytest."""

from __future__ import annotations

from payments_core import PaymentStatus, RejectionCode
from payments_core.testing.contract import ProviderContract, Refusal
from payments_lantern.provider import LanternProvider
from payments_lantern.sandbox import make
from payments_lantern.sandbox.stories import POLICY


class TestLantern(ProviderContract):
    """The tables are written a second time, from the documentation, and not copied from the plugin."""

    provider = LanternProvider
    make_sandbox = staticmethod(make)
    cassette_policy = POLICY
    webhook_tolerance = 300.0  # NOTIFY
    signature_is_hexadecimal = False  # NOTIFY: base64
    raw_statuses = {  # STATES
        "waiting": PaymentStatus.PENDING,
        "paid": PaymentStatus.SUCCEEDED,
        "declined": PaymentStatus.FAILED,
        "closed": PaymentStatus.CANCELLED,
    }
    refusals = (  # REFUSALS
        Refusal(
            name="declined",
            status=402,
            body=b'{"error": "declined"}',
            code=RejectionCode.DECLINED,
            definitive=True,
        ),
        Refusal(
            name="invalid",
            status=422,
            body=b'{"error": "invalid"}',
            code=RejectionCode.INVALID,
            definitive=True,
        ),
        Refusal(name="a used merchant_ref", status=409, body=b'{"error": "ref_used"}', code=RejectionCode.DUPLICATE),
        Refusal(name="a word that is not listed", status=400, body=b'{"error": "tired"}', code=RejectionCode.UNKNOWN),
    )
    not_applicable = {
        "test_every_event_of_a_batch_survives": "NOTIFY: one delivery carries one event",
    }
