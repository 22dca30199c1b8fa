"""Copy structs that were checked when they were made."""

from __future__ import annotations

from copy import copy
from typing import TypeVar

import msgspec

__all__ = ["copy_with"]

S = TypeVar("S", bound=msgspec.Struct)


def copy_with(value: S, **changes: object) -> S:
    """Return a copy with other fields, without checking it again: the caller vouches for `changes`."""
    copied = copy(value)
    for field, changed in changes.items():
        msgspec.structs.force_setattr(copied, field, changed)
    return copied
