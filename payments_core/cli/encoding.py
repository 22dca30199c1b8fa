"""Values as JSON: money says what it means, and a secret cannot be encoded at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime

import msgspec

from payments_core import Charge, Money, PaymentStatus, Secret

__all__ = ["charge_fields", "encode", "paid", "plain"]


def encode(value: object) -> str:
    """One line of JSON in ASCII, which every terminal and pipe carries unchanged."""
    return json.dumps(plain(value), ensure_ascii=True, allow_nan=False)


def charge_fields(charge: Charge) -> dict[str, object]:
    """Return a charge's fields, and `paid`."""
    return {**_fields(charge), "paid": paid(charge)}


def paid(charge: Charge) -> bool | None:
    """Return None for a charge that succeeded and was compared with no order: it could be another, cheaper one."""
    if charge.matched:
        return charge.is_paid
    return None if charge.status is PaymentStatus.SUCCEEDED else False


def plain(value: object) -> object:
    """What JSON can say of `value`: money is `{"minor", "currency", "text"}`, a time ISO 8601, a set a sorted list.

    A `Secret`, bytes, and whatever else is no data raise `TypeError`.
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
