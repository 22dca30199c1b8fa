"""Keep Stripe's objects, the events, and the requests that arrived. Amounts are in Stripe's units."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["API_VERSION", "Attempt", "Clock", "Event", "Intent", "ReceivedRequest", "Refund", "Session", "steady_clock"]

API_VERSION: Final = "2026-10-28.endive"
"""The only version that this sandbox speaks."""

Clock = Callable[[], float]
"""Seconds since the epoch, as `time.time`."""

_FIRST_MOMENT: Final = 1793534400  # 2026-11-01T12:00:00Z


@dataclass(slots=True)
class Attempt:
    """A Charge: one attempt to move the money of a PaymentIntent."""

    id: str
    intent: str
    amount: int
    method: str
    created: int
    status: str = "succeeded"
    captured: int = 0
    failure_code: str = ""
    decline_code: str = ""


@dataclass(slots=True)
class Intent:
    """One PaymentIntent. `session` is the Checkout Session that made it."""

    id: str
    client_secret: str
    amount: int
    currency: str
    created: int
    methods: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    description: str = ""
    return_url: str = ""
    capture_method: str = "automatic_async"
    method: str = ""
    payment_method: str = ""
    session: str = ""
    status: str = "requires_payment_method"
    received: int = 0
    canceled: int | None = None
    cancellation_reason: str = ""
    error: dict[str, str] | None = None
    latest: str = ""

    @property
    def capturable(self) -> int:
        """Return the amount that may be captured now."""
        return self.amount if self.status == "requires_capture" else 0


@dataclass(slots=True)
class Session:
    """One Checkout Session, hosted. `intent` is the PaymentIntent it made after the shopper confirmed."""

    id: str
    amount: int
    currency: str
    created: int
    expires: int
    success_url: str
    cancel_url: str
    methods: tuple[str, ...]
    name: str
    metadata: dict[str, str] = field(default_factory=dict)
    client_reference_id: str = ""
    customer_email: str = ""
    adaptive_pricing: bool = True
    intent_metadata: dict[str, str] = field(default_factory=dict)
    intent_description: str = ""
    capture_method: str = "automatic_async"
    status: str = "open"
    payment_status: str = "unpaid"
    intent: str = ""


@dataclass(slots=True)
class Refund:
    """One Refund. An `automatic` one releases money that was authorized and never captured."""

    id: str
    intent: str
    charge: str
    amount: int
    currency: str
    created: int
    status: str
    metadata: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    failure_reason: str = ""
    automatic: bool = False

    @property
    def counts(self) -> bool:
        """Return whether the money is returned, or on its way."""
        return self.status not in ("failed", "canceled")


@dataclass(frozen=True, slots=True)
class Event:
    """An event, with the object as it was then. `subject` is the object's id, `charge` that of its charge."""

    id: str
    kind: str
    subject: str
    charge: str
    created: int
    body: bytes


@dataclass(frozen=True)
class ReceivedRequest:
    """One request to the API and its answer. It holds no key."""

    method: str
    path: str
    query: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...]
    form: Mapping[str, Any]
    ignored: tuple[str, ...]
    status: int
    request_id: str
    replayed: bool


def steady_clock() -> Clock:
    """Return a clock for recordings: it starts at a fixed moment and advances a second per reading."""
    readings = itertools.count(_FIRST_MOMENT)
    return lambda: next(readings)
