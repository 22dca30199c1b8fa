"""Register the webhook endpoints that receive the account's events (docs.stripe.com/api/webhook_endpoints)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .fields import Fields
from .gateway import Endpoint, LocalGateway
from .records import API_VERSION
from .refusals import invalid

__all__ = ["Register", "add", "create", "read"]


@dataclass(frozen=True)
class Register:
    """An endpoint to register."""

    url: str
    kinds: tuple[str, ...]
    ignored: tuple[str, ...] = ()


def read(form: Mapping[str, Any]) -> Register:
    """Read POST /v1/webhook_endpoints. Endpoints of other versions are refused here."""
    fields = Fields(form, ("url", "enabled_events", "api_version", "expand"), ("connect", "description", "metadata"))
    fields.one_of("api_version", (API_VERSION,))
    kinds = fields.words("enabled_events")
    if not kinds:
        raise invalid("Missing required param: enabled_events.", "parameter_missing", "enabled_events")
    return Register(fields.url("url", needed=True), kinds, fields.ignored)


def add(gateway: LocalGateway, url: str, kinds: tuple[str, ...] = ("*",)) -> Endpoint:
    """Register an endpoint for every event from now on."""
    endpoint = Endpoint(gateway.new_id("objects", "we_1", 23), url, kinds, gateway.now())
    gateway.endpoints[endpoint.id] = endpoint
    return endpoint


def create(gateway: LocalGateway, asked: Register) -> dict[str, Any]:
    """Play POST /v1/webhook_endpoints. At Stripe each endpoint has a secret of its own; here the account has one."""
    made = add(gateway, asked.url, asked.kinds)
    return {
        "id": made.id,
        "object": "webhook_endpoint",
        "api_version": API_VERSION,
        "application": None,
        "created": made.created,
        "description": None,
        "enabled_events": list(made.kinds),
        "livemode": False,
        "metadata": {},
        "secret": gateway.webhook_key,
        "status": "enabled",
        "url": made.url,
    }
