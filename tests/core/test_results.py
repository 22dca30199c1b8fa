"""Stamp a plugin's results in the core: the gateway that answered, and that nothing was compared yet."""

import msgspec
import pytest

from payments_core import (
    CaptureRequest,
    ChargeRequest,
    InvalidRequest,
    Money,
    Notification,
    RefundReference,
    RefundRequest,
    Subject,
    hookimpl,
)
from payments_core.testing.fake import FakeProvider
from payments_core.testing.fake_gateway import FakeSandbox
from payments_core.testing.opening import open_provider

AMOUNT = Money.of("88.00", "HKD")


class Boasting(FakeProvider):
    """A provider whose results claim another gateway's name, and to have been compared."""

    def _charge(self, found):
        return msgspec.structs.replace(super()._charge(found), gateway="live", matched=True)

    def _refund(self, found):
        return msgspec.structs.replace(super()._refund(found), gateway="live")

    @hookimpl
    def parse_webhook(self, context, delivery):
        """Boast of the events, too."""
        read = super().parse_webhook(context, delivery)
        return Notification(tuple(msgspec.structs.replace(each, gateway="live") for each in read.events))


@pytest.fixture
def sandbox():
    with FakeSandbox() as running:
        yield running


@pytest.fixture
def gateway(sandbox):
    with open_provider(Boasting, sandbox.config, transport=sandbox._transport(type(None))) as opened:
        yield opened


def assert_unmatched(charge):
    assert (charge.gateway, charge.matched) == ("fake", False)
    with pytest.raises(InvalidRequest, match="compared with your order"):
        _ = charge.is_paid


def test_no_charge_of_a_plugin_is_already_matched_or_of_another_gateway(gateway):
    held = gateway.create_charge(ChargeRequest("paid-1", AMOUNT, "Tea", capture=False))
    asked = gateway.get_status(held.reference)
    taken = gateway.capture_charge(CaptureRequest(held.reference, "capture-1", AMOUNT))
    kept = gateway.cancel_charge(held.reference)
    for charge in (held, asked, taken, kept):
        assert_unmatched(charge)


def test_no_event_of_a_plugin_is_already_matched_or_of_another_gateway(gateway, sandbox):
    made = gateway.create_charge(ChargeRequest("paid-1", AMOUNT, "Tea"))
    (event,) = gateway.parse_webhook(sandbox.notification(made.reference.provider_id)).events
    assert (event.gateway, event.subject, event.authoritative) == ("fake", Subject.CHARGE, True)
    assert_unmatched(event.charge)
    assert gateway.confirm_event(event, "paid-1", AMOUNT).is_paid


def test_no_refund_of_a_plugin_is_of_another_gateway(gateway, sandbox):
    made = gateway.create_charge(ChargeRequest("paid-1", AMOUNT, "Tea"))
    refund = gateway.refund_charge(RefundRequest(made.reference, "refund-1", AMOUNT))
    (event,) = gateway.parse_webhook(sandbox.notification(refund.provider_id)).events
    told = [refund, gateway.get_refund(RefundReference("refund-1")), event.refund]
    assert [each.gateway for each in told] == ["fake"] * 3
    with pytest.raises(InvalidRequest, match="REFUND"):
        gateway.confirm_event(event, "paid-1", AMOUNT)
