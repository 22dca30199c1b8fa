from __future__ import annotations

from payments_core import Authorization, Refund, RefundRequest, UnsupportedOperation, hookimpl
from payments_core.testing.fake import FakeProvider


class Broken(FakeProvider):
    """Declares refunds, and has a hook that only says that there are none."""

    @hookimpl
    def refund_charge(self, authorization: Authorization, request: RefundRequest) -> Refund:
        raise UnsupportedOperation("refunds are made in the portal")
