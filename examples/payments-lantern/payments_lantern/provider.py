"""Accept Lantern Pay through payments-core. The README lists what is documented and what is not known."""

from __future__ import annotations

from typing import Final

from payments_core import (
    Channel,
    Charge,
    ChargeRequest,
    Context,
    Flow,
    Limits,
    Method,
    Money,
    Notification,
    ProviderInfo,
    Reference,
    Request,
    Response,
    WebhookDelivery,
    hookimpl,
    segment,
)

from . import mapping, webhook, wire
from .config import LanternConfig

__all__ = ["LanternProvider"]

_CURRENCIES: Final = ("HKD", "JPY", "KWD")  # CREATE


class LanternProvider:
    """Implement the hooks for Lantern Pay. Hooks are pure: one instance serves any number of sync and async callers."""

    config_type = LanternConfig
    info = ProviderInfo(
        id="lantern",
        title="Lantern Pay",
        contract=1,
        currencies=frozenset(_CURRENCIES),
        methods=(Method("lantern", "Lantern Pay"),),
        channels=frozenset({Channel.WEB, Channel.MOBILE_WEB}),  # CREATE: one page, for desks and phones
        limits=Limits(
            order_id_length=40,  # CREATE, merchant_ref
            order_id_pattern="[A-Za-z0-9_-]+",
            description_length=80,  # CREATE, title
            maximum=tuple(Money.of("1000000", currency) for currency in _CURRENCIES),  # CREATE, amount
        ),
        raw_statuses=mapping.STATUSES,
    )

    def __init__(self, config: LanternConfig) -> None:
        self._headers = (("content-type", "application/json"), ("lantern-key", config.api_key))
        self._keys = tuple(key for key in (config.webhook_key, config.previous_webhook_key) if key)

    @hookimpl
    def create_charge(self, request: ChargeRequest) -> Flow[Charge]:
        """Create a charge (CREATE). It isn't idempotent: a second one for the same order is refused."""
        response = yield Request("POST", wire.PAYMENTS_PATH, headers=self._headers, body=mapping.create(request))
        return mapping.charge(self.info.id, response)

    @hookimpl
    def get_status(self, reference: Reference) -> Flow[Charge]:
        """Query by Lantern Pay's own id if it is known, else by ours (ASK)."""
        path = f"{wire.PAYMENTS_PATH}/{segment(reference.provider_id)}" if reference.provider_id else wire.PAYMENTS_PATH
        query = () if reference.provider_id else (("merchant_ref", reference.order_id),)
        response = yield Request("GET", path, query=query, headers=self._headers, safe=True)
        return mapping.charge(self.info.id, response)

    @hookimpl
    def parse_webhook(self, context: Context, delivery: WebhookDelivery) -> Notification:
        """Verify the bytes, then read them (NOTIFY)."""
        webhook.verify(delivery, self._keys, context.now)
        return webhook.notification(self.info.id, delivery)

    @hookimpl
    def read_request_id(self, response: Response) -> str:
        """Return the trace (KEYS)."""
        return mapping.request_id(response)
