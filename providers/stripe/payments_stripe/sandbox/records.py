"""Keep Stripe's objects, the events, and the requests that arrived. Amounts are in Stripe's units."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["API_VERSION", "Clock", "Event", "Intent", "ReceivedRequest", "Refund", "Session", "steady_clock"]

API_VERSION: Final = "2026-10-28.endive"
"""The only version that this sandbox speaks."""

Clock = Callable[[], float]
"""Seconds since the epoch, as `time.time`."""

_FIRST_MOMENT: Final = 1793534400  # 2026-11-01T12:00:00Z


@dataclass(slots=True)
class Intent:
    """A PaymentIntent, confirmed: a wallet's, or one that the Checkout Session with the id `session` made.

    `latest` is the id of its latest Charge, made when it was `tried`.
    """

    id: str
    client_secret: str
    amount: int
    currency: str
    created: int
    method: str
    metadata: dict[str, str]
    description: str
    return_url: str = ""
    capture_method: str = "automatic_async"
    session: str = ""
    status: str = "requires_action"
    received: int = 0
    error: dict[str, str] | None = None
    latest: str = ""
    tried: int = 0

    @property
    def capturable(self) -> int:
        """Return the amount that may be captured now."""
        return self.amount if self.status == "requires_capture" else 0


@dataclass(slots=True)
class Session:
    """A Checkout Session. It makes its PaymentIntent when the shopper confirms for the first time."""

    id: str
    amount: int
    currency: str
    created: int
    expires: int
    form: Mapping[str, str]
    metadata: dict[str, str]
    intent_metadata: dict[str, str]
    status: str = "open"
    payment_status: str = "unpaid"
    intent: Intent | None = None


@dataclass(slots=True)
class Refund:
    """A Refund. An `automatic` one releases money that was authorized and never captured."""

    id: str
    intent: Intent
    amount: int
    created: int
    status: str
    metadata: dict[str, str] = field(default_factory=dict)
    reason: str | None = None
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """An event about the object with the id `subject`, as it was then."""

    kind: str
    subject: str
    body: bytes


@dataclass(frozen=True)
class ReceivedRequest:
    """One request to the API and the status it was answered with. It holds no key."""

    method: str
    path: str
    fields: Mapping[str, str]
    idempotency_key: str
    status: int
    request_id: str


def steady_clock() -> Clock:
    """Return a clock for recordings: it starts at a fixed moment and advances a second per reading."""
    readings = itertools.count(_FIRST_MOMENT)
    return lambda: next(readings)
