from __future__ import annotations

from typing import Any

from payments_core.testing.fake import FakeProvider


class Broken(FakeProvider):
    """Believes a delivery that carries no signature at all."""

    def _verify(self, context: Any, delivery: Any) -> None:
        if delivery.values("fake-signature"):
            super()._verify(context, delivery)
