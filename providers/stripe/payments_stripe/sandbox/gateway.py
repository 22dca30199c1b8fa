"""Keep the state of one Stripe account: its clock, its objects, its events, and their endpoints."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import secrets
import string
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from payments_core.testing.courier import Courier, Message
from payments_core.testing.sandbox import UnknownCharge

from .records import API_VERSION, Clock, Event, Intent, ReceivedRequest, Refund, Session

__all__ = ["RETRY_DELAYS", "Kept", "LocalGateway", "order_of", "sign"]

# docs.stripe.com/webhooks: events of a sandbox are retried "three times over the course of a few hours". The hours
# themselves are documented nowhere.
RETRY_DELAYS: Final = (60, 3600, 7200)

_KEPT: Final = 10_000
_ORDER_ID: Final = "payments_core_order_id"  # the plugin's key in the metadata
_LETTERS: Final = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Kept:
    """A request that had an idempotency key, and its answer to repeat."""

    request: tuple[str, str, Mapping[str, str]]
    made: int
    status: int
    body: bytes


@dataclass
class LocalGateway:
    """The account, without its HTTP. Hold `lock` to read or change it."""

    courier: Courier
    clock: Clock = time.time
    seed: int | str | None = None
    api_key: str = field(default="", repr=False)
    webhook_key: str = field(default="", repr=False)
    base_url: str = ""

    def __post_init__(self) -> None:
        # One random stream per kind of id: a change in one leaves the others as recorded.
        self._draw = {
            kind: secrets.SystemRandom() if self.seed is None else random.Random(f"{self.seed}:{kind}")  # noqa: S311
            for kind in ("credentials", "objects", "charges", "refunds", "events", "requests", "secrets")
        }
        self.api_key = self.api_key or self.new_id("credentials", "sk_test_", 32)
        self.webhook_key = self.webhook_key or self.new_id("credentials", "whsec_", 32)
        self.lock = threading.RLock()
        self.keys: dict[str, Kept] = {}
        self.intents: dict[str, Intent] = {}
        self.sessions: dict[str, Session] = {}
        self.refunds: dict[str, Refund] = {}
        self.endpoints: list[str] = []
        self.declines: deque[str] = deque()
        self.received: deque[ReceivedRequest] = deque(maxlen=_KEPT)
        self._events: deque[Event] = deque(maxlen=_KEPT)
        self._ahead = 0.0

    def new_id(self, kind: str, prefix: str, length: int) -> str:
        """Make an id as in `pi_3…`: a prefix, then letters and digits."""
        return prefix + "".join(self._draw[kind].choices(_LETTERS, k=length))

    def now(self) -> int:
        """Return the seconds since the epoch, by the account's clock."""
        return int(self.clock() + self._ahead)

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        if seconds < 0:
            raise ValueError("a clock goes forward only")
        self._ahead += seconds

    def new_intent(self, amount: int, currency: str, method: str, *of: Any, **more: Any) -> Intent:
        """Make a PaymentIntent, of its metadata and description and `more`."""
        made = self.new_id("objects", "pi_3", 23)
        secret = self.new_id("secrets", f"{made}_secret_", 25)
        self.intents[made] = Intent(made, secret, amount, currency, self.now(), method, *of, **more)
        return self.intents[made]

    def charge(self, found: str) -> Session | Intent:
        """Return the Checkout Session or the PaymentIntent with this id."""
        charge = self.sessions.get(found) or self.intents.get(found)
        if charge is None:
            raise UnknownCharge(f"no PaymentIntent or Checkout Session has the id {found!r}")
        return charge

    def charges(self) -> list[Session | Intent]:
        """Return a merchant's charges, oldest first: sessions, and the PaymentIntents that no session made."""
        alone = [intent for intent in self.intents.values() if not intent.session]
        return sorted([*self.sessions.values(), *alone], key=lambda charge: charge.created)

    def publish(self, kind: str, subject: Mapping[str, Any], *, send: bool = True) -> Event:
        """Publish an event about an object as it is now, and send it to every endpoint."""
        body = {
            "id": self.new_id("events", "evt_", 24),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "data": {"object": subject},
            "livemode": False,
            "type": kind,
        }
        # Stripe sends its events indented.
        event = Event(kind, subject["id"], json.dumps(body, indent=2, ensure_ascii=False).encode())
        self._events.append(event)
        for url in self.endpoints if send else ():
            self.courier.begin(self.message(event, url))
        return event

    def message(self, event: Event, url: str = "") -> Message:
        """Prepare the event for delivery to `url`, signed then by this machine's clock, not the account's."""

        def headers(body: bytes) -> tuple[tuple[str, str], ...]:
            return (
                ("Content-Type", "application/json; charset=utf-8"),
                ("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
                ("Stripe-Signature", sign(body, self.webhook_key, int(time.time()))),
            )

        return Message(event.subject, event.kind, url, event.body, headers)

    def latest_event(self, subject: str) -> Event | None:
        """Return the newest event about this object."""
        return next((event for event in reversed(self._events) if event.subject == subject), None)


def sign(body: bytes, key: str, at: int) -> str:
    """Return the Stripe-Signature header: `t` and `v1` as documented, and the fake `v0` of test events."""
    payload = f"{at}.".encode() + body
    genuine = hmac.digest(key.encode(), payload, "sha256").hex()
    return f"t={at},v1={genuine},v0={hashlib.sha256(payload).hexdigest()}"


def order_of(charge: Session | Intent) -> str:
    """Return the merchant's own id of a charge, as the plugin wrote it into the metadata."""
    return charge.metadata.get(_ORDER_ID, "")
