"""Notifications: what arrives, what is believed of it, and the checks that every provider needs."""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from .errors import InvalidRequest, WebhookRejected
from .models import Charge, Reference, Refund

__all__ = [
    "MAX_DELIVERY_BYTES",
    "Acknowledgement",
    "Notification",
    "Subject",
    "WebhookDelivery",
    "WebhookEvent",
    "same_base64_digest",
    "same_hex_digest",
]

T = TypeVar("T")

MAX_DELIVERY_BYTES: Final = 256 * 1024


class WebhookDelivery(msgspec.Struct, frozen=True):
    """One unsolicited message, exactly as it arrived.

    `body` is the raw bytes: a signature covers bytes, so never a parsed or re-encoded body. `headers` is a mapping or
    pairs, of str or bytes, in any case. `received_at` is aware; `url` is absolute.
    """

    body: bytes
    headers: Any
    received_at: datetime | None = None
    method: str = "POST"
    url: str = ""

    def __post_init__(self) -> None:
        if type(self.body) is not bytes:
            raise InvalidRequest("body is the raw bytes of the request, not text or parsed JSON", field="body")
        if self.received_at is not None and getattr(self.received_at, "tzinfo", None) is None:
            raise InvalidRequest("received_at is an aware datetime, such as datetime.now(UTC)", field="received_at")

    def values(self, name: str) -> list[str]:
        """Every value of a header, in order; the name is looked up without case."""
        headers = self.headers
        wanted, size = name.lower(), len(name)
        found = []
        for key, value in headers.items() if hasattr(headers, "items") else headers:
            if len(key) == size and (key if type(key) is str else _text(key)).lower() == wanted:
                if isinstance(value, list | tuple):
                    found += [_text(item) for item in value]
                else:
                    found.append(value if type(value) is str else _text(value))
        return found

    def header(self, name: str) -> str | None:
        """The value of a header, or None; a doubled one is `WebhookRejected("malformed")`."""
        found = self.values(name)
        if len(found) > 1:
            raise WebhookRejected("malformed")
        return found[0] if found else None

    def decode(self, decoder: Callable[[bytes], T]) -> T:
        """The body read by `decoder`; whatever that raises is `WebhookRejected("malformed")`."""
        try:
            return decoder(self.body)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001, S110 - raised below, where no cause can carry the body along
            pass
        raise WebhookRejected("malformed")

    def __repr__(self) -> str:
        return f"<WebhookDelivery {self.method}, {len(self.body)} bytes>"


class Subject(StrEnum):
    """What an event is about, never how it ended."""

    CHARGE = "CHARGE"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"
    OTHER = "OTHER"


class Acknowledgement(msgspec.Struct, frozen=True):
    """What to answer the gateway, once every event is stored."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class WebhookEvent(msgspec.Struct, frozen=True, gc=False):
    """One thing that a notification says happened.

    `charge` (or `refund`) is there only where the signed message is complete and the provider declares its webhooks
    authoritative. Without it the event is a hint: ask for the status. `event_id` is the gateway's, or `raw_kind` and
    every id in the message joined by `:`. The core fills in `gateway`, the name of the gateway that believed it, and
    `received_at`.
    """

    provider: str
    subject: Subject
    raw_kind: str
    reference: Reference | None
    event_id: str
    charge: Charge | None = None
    refund: Refund | None = None
    account: str = ""
    gateway: str = ""
    received_at: datetime | None = None

    @property
    def authoritative(self) -> bool:
        """True when the event carries a status that stands for itself."""
        return self.charge is not None or self.refund is not None


class Notification(msgspec.Struct, frozen=True, gc=False):
    """A believed delivery: its events (many, one or none), and what to answer."""

    events: tuple[WebhookEvent, ...]
    acknowledgement: Acknowledgement = Acknowledgement()


def same_hex_digest(given: str, expected: Iterable[bytes]) -> bool:
    """True when `given` is the hexadecimal form, in either case, of one of the `expected` digests.

    Bytes are compared in constant time, and every digest is looked at, so timing tells neither how much of one was right
    nor which key it belongs to. What is not plain hexadecimal is simply not the same.
    """
    try:
        digest = bytes.fromhex(given) if given.isalnum() else b""
    except ValueError:
        digest = b""
    return _is_one_of(digest, expected)


def same_base64_digest(given: str, expected: Iterable[bytes]) -> bool:
    """`same_hex_digest` for the standard base64 alphabet, padded."""
    try:
        digest = binascii.a2b_base64(given.encode("ascii"), strict_mode=True)
    except ValueError:
        digest = b""
    return _is_one_of(digest, expected)


def _is_one_of(digest: bytes, expected: Iterable[bytes]) -> bool:
    matched = False
    for candidate in expected:
        matched |= hmac.compare_digest(digest, candidate)
    return matched


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise WebhookRejected("malformed")
