from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from payments_core import Charge, PaymentStatus
from payments_core.testing.fake import FakeProvider


class Broken(FakeProvider):
    """Takes a status that is in no table for a payment."""

    def _charge(self, found: Any) -> Charge:
        charge = super()._charge(found)
        return replace(charge, status=PaymentStatus.SUCCEEDED) if charge.status is PaymentStatus.UNKNOWN else charge
