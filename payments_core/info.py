"""What a provider declares about itself; the core holds every call against it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from .models import Channel
from .money import Money
from .status import PaymentStatus

__all__ = ["CONTRACT_VERSIONS", "OPTIONAL_OPERATIONS", "Limits", "Method", "ProviderInfo"]

# The versions of the contract that this core speaks.
CONTRACT_VERSIONS = frozenset({1})

# The hooks that a provider implements exactly when it declares them.
OPTIONAL_OPERATIONS = frozenset({"complete_charge", "capture_charge", "cancel_charge", "refund_charge", "get_refund"})


class Method(msgspec.Struct, frozen=True):
    """One way to pay that a page can offer as a button."""

    id: str
    title: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway takes. Lengths are the most characters; a pattern is a regular expression of the whole id.

    `minimum` and `maximum` hold at most one Money a currency; a currency without one has no documented limit.
    """

    order_id_length: int = 64
    order_id_pattern: str = ""
    description_length: int = 5000
    minimum: tuple[Money, ...] = ()
    maximum: tuple[Money, ...] = ()

    def __post_init__(self) -> None:
        re.compile(self.order_id_pattern)


class ProviderInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's declaration.

    `id` is the entry point's name. `operations` holds the optional hooks that are implemented. `methods` comes in the
    order in which a page should show them; the first is the default. `raw_statuses` is the table of the gateway's own
    words. `query_by` says by which ids a charge can be asked about. `key_lifetime` is the seconds for which the gateway
    documents an idempotency key, None for none. `origins` are the https origins, besides the configured base URL, that
    requests may go to. `charge_options` names the fields of a charge request that the gateway has a use for, of
    `capture` (False), `expires_in` and `payment_token`.
    """

    id: str
    title: str
    contract: int = 1
    operations: frozenset[str] = frozenset()
    currencies: frozenset[str]
    methods: tuple[Method, ...]
    channels: frozenset[Channel]
    limits: Limits = Limits()
    raw_statuses: Mapping[str, PaymentStatus]
    query_by: frozenset[str] = frozenset({"order_id", "provider_id"})
    key_lifetime: float | None = None
    origins: tuple[str, ...] = ()
    webhook_methods: tuple[str, ...] = ("POST",)
    charge_options: frozenset[str] = frozenset()
    options_type: type[msgspec.Struct] | None = None
    authoritative_webhooks: bool = False
