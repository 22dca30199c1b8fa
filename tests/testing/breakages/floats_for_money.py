from __future__ import annotations

from typing import Any

from payments_core import Money
from payments_core.testing.fake import FakeProvider


class Broken(FakeProvider):
    """Computes minor units in binary floating point, where 0.29 times 100 is not quite 29."""

    def _money(self, amount: Money) -> dict[str, Any]:
        return {"amount": int(float(amount.text) * 10**amount.exponent), "currency": amount.currency}
