from __future__ import annotations

import secrets

from msgspec.structs import replace

from payments_core import Authorization, Charge, ChargeRequest, Flow, Reference, hookimpl
from payments_core.testing.fake import FakeProvider


class Broken(FakeProvider):
    """Makes every order id unique before it is sent, so that an order asked for twice is two charges."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        unique = replace(request, order_id=f"{request.order_id[:50]}-{secrets.token_hex(4)}")
        charge = yield from super().create_charge(authorization, unique)
        return replace(charge, reference=Reference(request.order_id, charge.reference.provider_id))
