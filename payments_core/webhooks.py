"""Define deliveries and notifications, and the checks that every provider needs."""

from __future__ import annotations

import binascii
import hmac
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import force_setattr

from ._checks import plain_text
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

_PAIRS: Final = (tuple, list)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class WebhookDelivery(msgspec.Struct, frozen=True):
    """One unsolicited message, exactly as it arrived.

    * `body`: the raw bytes: a signature covers bytes, so never a parsed or re-encoded body
    * `headers`: a mapping or pairs, of str or bytes, in any case; held as pairs of text, in order
    * `received_at`: when it arrived, an aware datetime
    * `method`: the HTTP method
    * `url`: the absolute URL that was called, for a gateway whose signature covers it
    """

    body: bytes
    headers: Any
    received_at: datetime | None = None
    method: str = "POST"
    url: str = ""

    def __post_init__(self) -> None:
        if type(self.body) is not bytes:
            force_setattr(self, "body", _raw(self.body))
        force_setattr(self, "headers", _header_pairs(self.headers))
        if self.received_at is not None and getattr(self.received_at, "tzinfo", None) is None:
            raise InvalidRequest("received_at is an aware datetime, such as datetime.now(UTC)", field="received_at")
        if type(self.method) is not str:
            force_setattr(self, "method", plain_text(self.method, "method"))
        if type(self.url) is not str:
            force_setattr(self, "url", plain_text(self.url, "url"))

    def values(self, name: str) -> list[str]:
        """Return every value of a header, in order; the name is looked up without case."""
        wanted, size = name.lower(), len(name)
        return [value for key, value in self.headers if len(key) == size and key.lower() == wanted]

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None; raise `WebhookRejected("malformed")` if it is doubled."""
        found = self.values(name)
        if len(found) > 1:
            raise WebhookRejected("malformed")
        return found[0] if found else None

    def decode(self, decoder: Callable[[bytes], T]) -> T:
        """Return the body read by `decoder`; whatever that raises becomes `WebhookRejected("malformed")`."""
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
    """The subject of an event, never its outcome.

    * `CHARGE`: the state of a charge
    * `REFUND`: a refund of a charge
    * `DISPUTE`: money that the shopper's bank claims back
    * `OTHER`: anything else
    """

    CHARGE = "CHARGE"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"
    OTHER = "OTHER"


class Acknowledgement(msgspec.Struct, frozen=True):
    """The answer to send to the gateway, once every event is stored.

    * `status`: the HTTP status
    * `headers`: the header pairs
    * `body`: the bytes that the gateway expects
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __post_init__(self) -> None:
        if self.headers:
            pairs = [(plain_text(name, "headers"), plain_text(value, "headers")) for name, value in self.headers]
            force_setattr(self, "headers", tuple(pairs))


class WebhookEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of a notification.

    Without a `charge` or a `refund` the event is a hint: ask for the status. Only an `authoritative` event can be a
    repetition: drop one whose id was handled. Hints about two states of one charge may share an id, so ask after each.

    * `provider`: the provider's id, `info.id`
    * `subject`: the kind of thing that it is about
    * `raw_kind`: the gateway's own word for what happened
    * `reference`: the charge, None where the message names none
    * `event_id`: the gateway's id of the event, or `raw_kind` and every id in the message joined by `:`
    * `charge`: the charge, only where the signed message is complete and the provider declares `authoritative_webhooks`
    * `refund`: the refund, on the same condition
    * `account`: the gateway's id of the merchant account, `""` where the message names none
    * `gateway`: the name of the gateway that accepted it; the core fills it in
    * `received_at`: when it arrived; the core fills it in
    * `occurred_at`: when it happened, by the signed message; if None, `confirm_event` queries the gateway
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
    occurred_at: datetime | None = None

    def __post_init__(self) -> None:
        if type(self.provider) is type(self.raw_kind) is type(self.event_id) is type(self.account) is str:
            return
        for field in ("provider", "raw_kind", "event_id", "account"):
            if isinstance(text := getattr(self, field), str):
                force_setattr(self, field, str.__str__(text))

    @property
    def authoritative(self) -> bool:
        """True when the event carries a signed status of its own."""
        return self.charge is not None or self.refund is not None


class Notification(msgspec.Struct, frozen=True, gc=False):
    """A verified delivery.

    * `events`: the events: several, one or none
    * `acknowledgement`: the answer to send
    """

    events: tuple[WebhookEvent, ...]
    acknowledgement: Acknowledgement = Acknowledgement()


def same_hex_digest(given: str, expected: Iterable[bytes]) -> bool:
    """Return True when `given` is the hexadecimal form, in either case, of one of the `expected` digests.

    Bytes are compared in constant time, and every digest is looked at, so timing tells neither how much of one was
    right nor which key it belongs to. What is not plain hexadecimal is simply not the same.
    """
    try:
        digest = bytes.fromhex(given) if given.isalnum() else b""
    except ValueError:
        digest = b""
    return _is_one_of(digest, expected)


def same_base64_digest(given: str, expected: Iterable[bytes]) -> bool:
    """Do as `same_hex_digest` does, for the standard base64 alphabet, padded."""
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


def _raw(body: object) -> bytes:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    if isinstance(body, str):
        problem = "text was decoded, and need not encode to what was signed"
    elif isinstance(body, dict | list):
        problem = "parsed JSON cannot be put together again as it was signed"
    else:
        problem = f"not a {type(body).__name__}"
    raise InvalidRequest(f"body is the raw bytes of the request: {problem}", field="body")


def _header_pairs(headers: Any) -> tuple[tuple[str, str], ...]:
    """Return the headers as pairs of text; a name with a list of values is as many headers."""
    try:
        given = tuple(headers.items() if hasattr(headers, "items") else headers)
        for pair in given:
            if type(pair) is not tuple:
                break
            name, value = pair
            if type(name) is not str or type(value) is not str or not (name.isascii() and value.isascii()):
                break
        else:
            return given
        found: list[tuple[str, str]] = []
        for pair in given:
            if type(pair) is not tuple and not isinstance(pair, _PAIRS):
                raise TypeError  # noqa: TRY301 - text of two characters would be a pair too
            name, value = pair
            if type(name) is bytes and type(value) is bytes:
                found.append((name.decode("latin-1"), value.decode("latin-1")))
                continue
            values = value if isinstance(value, list | tuple) else (value,)
            found += [(_header_text(name), _header_text(each)) for each in values]
        return tuple(found)
    except (TypeError, ValueError):
        pass
    raise InvalidRequest(
        "headers is a mapping or pairs (name, value) of the request, each of them str or bytes", field="headers"
    )


def _header_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise TypeError
    text = str.__str__(value)
    if not text.isascii() and _SURROGATE.search(text):
        # Some servers decode headers as UTF-8 and keep what is none as surrogates, which no JSON can hold.
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text
