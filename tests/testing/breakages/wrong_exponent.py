from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from payments_core import Charge, Money
from payments_core.testing.fake import FakeProvider


class Broken(FakeProvider):
    """Gives the yen two decimals, and takes them off again when it reads."""

    def _money(self, amount: Money) -> dict[str, Any]:
        return {"amount": amount.scaled(2) if amount.currency == "JPY" else amount.minor, "currency": amount.currency}

    def _charge(self, found: Any) -> Charge:
        return super()._charge(replace(found, amount=found.amount // 100) if found.currency == "JPY" else found)
