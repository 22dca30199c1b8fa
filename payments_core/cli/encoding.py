"""Encode values as JSON: money with its text, and never a secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime

import msgspec

from payments_core import Charge, Money, PaymentStatus, Secret

__all__ = ["charge_fields", "encode", "paid", "plain"]


def encode(value: object) -> str:
    """Encode as one line of JSON in ASCII, which every terminal and pipe carries unchanged."""
    return json.dumps(plain(value), ensure_ascii=True, allow_nan=False)


def charge_fields(charge: Charge) -> dict[str, object]:
    """Return a charge's fields, and `paid`."""
    return {**_fields(charge), "paid": paid(charge)}


def paid(charge: Charge) -> bool | None:
    """Return None for a charge that succeeded but was not compared with an order: it could be a cheaper one's."""
    if charge.matched:
        return charge.is_paid
    return None if charge.status is PaymentStatus.SUCCEEDED else False


def plain(value: object) -> object:
    """Convert to JSON types: money to `{"minor", "currency", "text"}`, a time to ISO 8601, a set to a sorted list.

    Raise `TypeError` for a `Secret`, bytes and other objects.
    """
    match value:
        case Secret():
            raise TypeError("a Secret cannot be encoded")
        case None | bool() | int() | float() | str():
            return value
        case Money():
            return {"minor": value.minor, "currency": value.currency, "text": value.text}
        case msgspec.Struct():
            return {name: plain(each) for name, each in _fields(value).items()}
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(name): plain(each) for name, each in value.items()}
        case AbstractSet():
            return sorted(str(plain(each)) for each in value)
        case list() | tuple():
            return [plain(each) for each in value]
    raise TypeError(f"a {type(value).__name__} cannot be encoded")


def _fields(value: msgspec.Struct) -> dict[str, object]:
    config = value.__struct_config__
    tag = {config.tag_field: config.tag} if config.tag_field is not None else {}
    return {**tag, **{name: getattr(value, name) for name in value.__struct_fields__}}
