"""Accept AlipayHK and Alipay through the CBTIS gateway. The README lists what is documented and what is not known."""

from __future__ import annotations

from typing import Final

from payments_core import (
    Authorization,
    Charge,
    ChargeRequest,
    Flow,
    Limits,
    Method,
    Notification,
    ProviderInfo,
    Reference,
    Request,
    Response,
    WebhookDelivery,
    hookimpl,
)

from . import mapping, webhook, wire
from .config import AlipayHKConfig

__all__ = ["AlipayHKProvider"]

_JSON: Final = ("content-type", "application/json")


class AlipayHKProvider:
    """Implement the hooks for AlipayHK. Hooks are pure: one instance serves any number of sync and async callers."""

    config_type = AlipayHKConfig
    info = ProviderInfo(
        id="alipayhk",
        title="AlipayHK",
        contract=1,
        currencies=frozenset({"HKD"}),  # WEB: "only HKD"
        methods=(Method("ALIPAYHK", "AlipayHK"), Method("ALIPAYCN", "Alipay")),  # WEB: both wallets, as two buttons
        channels=frozenset(mapping.FLOWS),
        limits=Limits(order_id_length=32),  # WEB: string(32)
        raw_statuses=mapping.STATUSES,
    )

    def __init__(self, config: AlipayHKConfig) -> None:
        self._config = config
        self._keys = tuple(key for key in (config.webhook_key, config.previous_webhook_key) if key)

    @hookimpl
    def authorize(self) -> Flow[Authorization]:
        """Fetch a token with the client credentials, sent in the query (AUTH)."""
        response = yield Request(
            "GET",
            wire.AUTH_PATH,
            query=(
                ("grant_type", "client_credentials"),
                ("uid", self._config.uid),
                ("client_secret", self._config.client_secret),
            ),
            safe=True,
        )
        return mapping.authorization(response)

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        """Create a charge (WEB). It is never marked idempotent: a second create for one order is not documented."""
        response = yield _post(wire.CREATE_PATH, mapping.create(request), authorization)
        return mapping.charge(self.info.id, response)

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        """Query by either id, or by both (WEB)."""
        response = yield _post(wire.QUERY_PATH, mapping.query(reference), authorization, safe=True)
        return mapping.charge(self.info.id, response)

    @hookimpl
    def parse_webhook(self, delivery: WebhookDelivery) -> Notification:
        """Verify the bytes, then read them (HOOK); no token is needed."""
        webhook.verify(delivery, self._keys)
        return webhook.notification(self.info.id, delivery)

    @hookimpl
    def read_request_id(self, response: Response) -> str:
        """Return the envelope's `rid` (WEB)."""
        return mapping.request_id(response)


def _post(path: str, body: bytes, authorization: Authorization, *, safe: bool = False) -> Request:
    headers = (_JSON, ("authorization", authorization.credentials))
    return Request("POST", path, headers=headers, body=body, safe=safe)
