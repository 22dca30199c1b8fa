from __future__ import annotations

from payments_core import Authorization, Charge, ChargeRequest, Flow, PaymentStatus, Reference, Rejected, hookimpl
from payments_core.testing.fake import FakeProvider


class Broken(FakeProvider):
    """Returns a pending charge where the gateway said no, and the shopper waits."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        try:
            return (yield from super().create_charge(authorization, request))
        except Rejected as refusal:
            reference = Reference(request.order_id)
            return Charge(self.info.id, reference, PaymentStatus.PENDING, refusal.raw_code, request.amount)
