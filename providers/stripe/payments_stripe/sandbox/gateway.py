"""Keep the state of one Stripe account: its clock, its events, and their endpoints."""

from __future__ import annotations

import contextlib
import json
import random
import secrets
import string
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from payments_core.testing.courier import Courier, Message
from payments_core.testing.sandbox import UnknownCharge

from .idempotency import Keys
from .notifications import headers
from .records import API_VERSION, Attempt, Clock, Event, Intent, ReceivedRequest, Refund, Session

__all__ = ["Endpoint", "LocalGateway", "order_of"]

_KEPT: Final = 10_000
_ORDER_ID: Final = "payments_core_order_id"  # the plugin's key in the metadata
_LETTERS: Final = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Endpoint:
    """A receiver of events: those of `kinds`, or all for `*`."""

    id: str
    url: str
    kinds: tuple[str, ...] = ("*",)
    created: int = 0

    def wants(self, kind: str) -> bool:
        """Return whether this endpoint receives events of this kind."""
        return "*" in self.kinds or kind in self.kinds


@dataclass
class LocalGateway:
    """The account, without its HTTP. Hold `lock` to read or change it."""

    courier: Courier
    clock: Clock = time.time
    seed: int | str | None = None
    api_key: str = field(default="", repr=False)
    webhook_key: str = field(default="", repr=False)
    base_url: str = ""
    slowness: float = 0.0

    def __post_init__(self) -> None:
        # One random stream per kind of id: a change in one leaves the others as recorded.
        self._draw = {
            kind: secrets.SystemRandom() if self.seed is None else random.Random(f"{self.seed}:{kind}")  # noqa: S311
            for kind in ("credentials", "objects", "charges", "refunds", "events", "requests", "secrets")
        }
        self.api_key = self.api_key or self.new_id("credentials", "sk_test_", 32)
        self.webhook_key = self.webhook_key or self.new_id("credentials", "whsec_", 32)
        self.lock = threading.RLock()
        self.keys = Keys()
        self.intents: dict[str, Intent] = {}
        self.sessions: dict[str, Session] = {}
        self.attempts: dict[str, Attempt] = {}
        self.refunds: dict[str, Refund] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.events: deque[Event] = deque(maxlen=_KEPT)
        self.declines: deque[tuple[str, str, bool]] = deque()
        self.refusals: deque[tuple[int, str, str]] = deque()
        self._received: deque[ReceivedRequest] = deque(maxlen=_KEPT)
        self._ahead = 0.0
        self._silent = False

    # Ids and time.

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

    # Looking up.

    def intent(self, found: str) -> Intent:
        """Return the PaymentIntent with this id, or the one made by the Checkout Session with this id."""
        if found in self.sessions and self.sessions[found].intent:
            found = self.sessions[found].intent
        try:
            return self.intents[found]
        except KeyError:
            raise UnknownCharge(f"no PaymentIntent has the id {found!r}") from None

    def session(self, found: str) -> Session:
        """Return the Checkout Session with this id."""
        try:
            return self.sessions[found]
        except KeyError:
            raise UnknownCharge(f"no Checkout Session has the id {found!r}") from None

    def refunds_of(self, intent: Intent) -> list[Refund]:
        """Return the refunds of a PaymentIntent, newest first."""
        return [refund for refund in reversed(self.refunds.values()) if refund.intent == intent.id]

    def charges(self) -> list[Session | Intent]:
        """Return a merchant's charges, oldest first: sessions, and the PaymentIntents that no session made."""
        alone = [intent for intent in self.intents.values() if not intent.session]
        return sorted([*self.sessions.values(), *alone], key=lambda charge: charge.created)

    # Events.

    @contextlib.contextmanager
    def silence(self, *, silent: bool = True) -> Iterator[None]:
        """Record events without sending them."""
        before, self._silent = self._silent, silent or self._silent
        try:
            yield
        finally:
            self._silent = before

    def publish(
        self, kind: str, charge: str, subject: Mapping[str, Any], before: Mapping[str, Any] | None = None
    ) -> None:
        """Publish an event: `subject` is the object as it is now, `before` its changed fields."""
        event = self.compose(kind, charge, subject, before)
        self.events.append(event)
        if self._silent:
            return
        for endpoint in self.endpoints.values():
            if endpoint.wants(kind):
                self.courier.begin(self.message(event, endpoint.url))

    def compose(
        self, kind: str, charge: str, subject: Mapping[str, Any], before: Mapping[str, Any] | None = None
    ) -> Event:
        """Compose an event in the documented shape, without publishing it."""
        data = {"object": subject} if before is None else {"object": subject, "previous_attributes": before}
        made, created = self.new_id("events", "evt_", 24), self.now()
        body = {
            "id": made,
            "object": "event",
            "api_version": API_VERSION,
            "created": created,
            "data": data,
            "livemode": False,
            "pending_webhooks": len(self.endpoints),
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
        # Stripe sends its events indented.
        return Event(
            made, kind, subject["id"], charge, created, json.dumps(body, indent=2, ensure_ascii=False).encode()
        )

    def message(self, event: Event, url: str = "") -> Message:
        """Prepare the event for delivery to `url`."""

        def signed_now(body: bytes) -> tuple[tuple[str, str], ...]:
            return headers(body, self.webhook_key, int(time.time()))

        return Message(event.subject, event.kind, url, event.body, signed_now)

    def latest_event(self, subject: str) -> Event | None:
        """Return the newest event about this object."""
        return next((event for event in reversed(self.events) if event.subject == subject), None)

    # Requests.

    def record(self, request: ReceivedRequest) -> None:
        """Record a request and its answer."""
        with self.lock:
            self._received.append(request)

    def requests(self) -> tuple[ReceivedRequest, ...]:
        """Return the requests that arrived, oldest first."""
        with self.lock:
            return tuple(self._received)


def order_of(charge: Session | Intent) -> str:
    """Return the merchant's own id of a charge, as the merchant wrote it into the object."""
    if isinstance(charge, Session):
        return charge.metadata.get(_ORDER_ID, "") or charge.client_reference_id
    return charge.metadata.get(_ORDER_ID, "")
