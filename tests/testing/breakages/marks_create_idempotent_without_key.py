from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from payments_core import Authorization, Request
from payments_core.testing.fake import FakeProvider


class Broken(FakeProvider):
    """Calls a create idempotent that carries no key, so that the core sends it again and the gateway charges again."""

    def _post(self, path: str, body: dict[str, Any], authorization: Authorization, *, key: str) -> Request:
        sent = super()._post(path, body, authorization, key=key)
        if path != "/charges":
            return sent
        return replace(sent, headers=[pair for pair in sent.headers if pair[0] != "idempotency-key"])
