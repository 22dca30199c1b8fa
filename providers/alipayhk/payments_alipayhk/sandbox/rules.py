"""Check requests against the documentation, and nothing else.

Written from the documentation alone, without the provider's `wire` module on purpose: a second reading of the same
pages finds a mistake that a shared one would hide. Every code here is invented, because the documentation names none
but 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

__all__ = ["FLOWS", "WALLETS", "Code", "Create", "Query", "Refused", "read_create", "read_json", "read_query"]

FLOWS: Final = ("web_qrcode", "csb_qrcode", "mobile_web")
WALLETS: Final = ("ALIPAYHK", "ALIPAYCN")

_AMOUNT: Final = re.compile(r"[0-9]+(\.[0-9]{1,2})?", re.ASCII)
_URL: Final = re.compile(r"https?://[\x21-\x7e]+", re.ASCII | re.IGNORECASE)


class Code(IntEnum):
    """Invented: the documentation says only that 0 is success."""

    BAD_FIELD = 90400
    NOT_AUTHORIZED = 90401
    UNKNOWN_ORDER = 90404
    NO_SUCH_CALL = 90405
    DUPLICATE = 90409
    TOO_LARGE = 90413


class Refused(Exception):
    """Refuse a request, with the envelope's `code` and `message` and the HTTP status."""

    def __init__(self, code: int, message: str, *, status: int = 200) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class Create:
    """A create that keeps every documented rule."""

    amount: str
    currency: str
    merchant_order_id: str
    description: str
    notify_url: str
    flow: str
    wallet: str
    unknown_fields: tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """A query that keeps every documented rule; `""` for an id that was not sent."""

    order_id: str
    merchant_order_id: str
    unknown_fields: tuple[str, ...]


def read_json(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object in `body`."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Refused(Code.BAD_FIELD, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise Refused(Code.BAD_FIELD, "the body is not a JSON object")
    return value


def read_create(body: Mapping[str, Any]) -> Create:
    """Check the body of `/payment_intents/create`."""
    method = _object(body, "payment_method")
    kind = _text(method, "type", "payment_method.type")
    if kind != "alipayhk":
        raise _bad("payment_method.type", "must be alipayhk")
    wallet = _object(method, kind, "payment_method.")
    unknown = (
        _unknown(body, "", *_CREATE_FIELDS)
        + _unknown(method, "payment_method.", "type", kind)
        + _unknown(wallet, f"payment_method.{kind}.", "flow", "payment_method")
    )
    return Create(
        amount=_amount(body),
        currency=_one_of(body, "currency", ("HKD",)),
        merchant_order_id=_text(body, "merchant_order_id", longest=32),
        description=_text(body, "description"),
        notify_url=_url(body, "notify_url"),
        flow=_one_of(wallet, "flow", FLOWS, f"payment_method.{kind}.flow"),
        wallet=_one_of(wallet, "payment_method", WALLETS, f"payment_method.{kind}.payment_method"),
        unknown_fields=unknown,
    )


_CREATE_FIELDS = ("amount", "currency", "merchant_order_id", "description", "notify_url", "payment_method")


def read_query(body: Mapping[str, Any]) -> Query:
    """Check the body of `/payment_intents/query`: at least one of the two ids."""
    if "order_id" not in body and "merchant_order_id" not in body:
        raise Refused(Code.BAD_FIELD, "order_id or merchant_order_id is required")
    return Query(
        order_id=_text(body, "order_id") if "order_id" in body else "",
        merchant_order_id=_text(body, "merchant_order_id", longest=32) if "merchant_order_id" in body else "",
        unknown_fields=_unknown(body, "", "order_id", "merchant_order_id"),
    )


def is_amount(text: str) -> bool:
    """Return whether `text` is a decimal of HKD in major units, above zero, of at most 32 characters."""
    return len(text) <= 32 and _AMOUNT.fullmatch(text) is not None and text.strip("0.") != ""


def _bad(field: str, rule: str) -> Refused:
    return Refused(Code.BAD_FIELD, f"{field} {rule}")


def _object(parent: Mapping[str, Any], name: str, prefix: str = "") -> Mapping[str, Any]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise _bad(prefix + name, "must be an object" if name in parent else "is required")
    return value


def _text(parent: Mapping[str, Any], name: str, shown: str = "", *, longest: int = 0) -> str:
    value = parent.get(name)
    if not isinstance(value, str):
        raise _bad(shown or name, "must be a string" if name in parent else "is required")
    if not value:
        raise _bad(shown or name, "must not be empty")
    if longest and len(value) > longest:
        raise _bad(shown or name, f"must be at most {longest} characters")
    return value


def _one_of(parent: Mapping[str, Any], name: str, allowed: tuple[str, ...], shown: str = "") -> str:
    value = _text(parent, name, shown)
    if value not in allowed:
        raise _bad(shown or name, f"must be {' or '.join(allowed)}")
    return value


def _amount(body: Mapping[str, Any]) -> str:
    value = _text(body, "amount", longest=32)
    if not is_amount(value):
        raise _bad("amount", "must be a decimal above zero in major units, with at most 2 decimals for HKD")
    return value


def _url(body: Mapping[str, Any], name: str) -> str:
    if name not in body:
        return ""
    value = _text(body, name)
    try:
        good = _URL.fullmatch(value) is not None and bool(urlsplit(value).hostname) and urlsplit(value).port != 0
    except ValueError:
        good = False
    if not good:
        raise _bad(name, "must be an http or https URL")
    return value


def _unknown(parent: Mapping[str, Any], prefix: str, *known: str) -> tuple[str, ...]:
    # The documentation doesn't say that unknown fields are refused, so accept and list them.
    return tuple(prefix + name for name in parent if name not in known)
