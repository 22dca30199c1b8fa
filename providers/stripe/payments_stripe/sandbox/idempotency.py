"""Repeat the first answer for an idempotency key, for a day (docs.stripe.com/api/idempotent_requests)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .refusals import Refused, invalid

__all__ = ["LIFETIME", "LONGEST", "Kept", "Keys"]

LIFETIME: Final = 24 * 3600
"""Seconds: "You can remove keys from the system automatically after they're at least 24 hours old"."""
LONGEST: Final = 255


@dataclass(frozen=True)
class Kept:
    """An answer to repeat."""

    status: int
    body: bytes


@dataclass
class _Entry:
    method: str
    path: str
    form: Mapping[str, Any]
    made: int
    kept: Kept | None = None


class Keys:
    """The keys of one account. Callers hold the gateway's lock."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def find(self, key: str, method: str, path: str, form: Mapping[str, Any], now: int) -> Kept | None:
        """Return the answer to this same request; None if the key is new.

        Refuse the same key with other parameters, for another endpoint, or while the first request is still executing.
        """
        if len(key) > LONGEST:
            raise invalid(f"Idempotency-Key must be at most {LONGEST} characters.", invented=True)
        entry = self._entries.get(key)
        if entry is not None and entry.kept is not None and now - entry.made >= LIFETIME:
            del self._entries[key]
            entry = None
        if entry is None:
            return None
        if (entry.method, entry.path) != (method, path):
            raise _reused("for the same endpoint")
        if entry.form != form:
            raise _reused("with the same parameters")
        if entry.kept is None:
            # The status is documented, with this very reason (docs.stripe.com/api/errors).
            raise Refused(
                409,
                "idempotency_error",
                "Another request with this Idempotency-Key is being executed.",
                code="idempotency_key_in_use",
                invented=("error.type",),
            )
        return entry.kept

    def begin(self, key: str, method: str, path: str, form: Mapping[str, Any], now: int) -> None:
        """Mark the request as executing."""
        self._entries[key] = _Entry(method, path, form, now)

    def finish(self, key: str, kept: Kept) -> None:
        """Keep its answer."""
        self._entries[key].kept = kept

    def abandon(self, key: str) -> None:
        """Forget a request that was not executed."""
        self._entries.pop(key, None)


def _reused(how: str) -> Refused:
    return Refused(
        400,
        "idempotency_error",
        f"Keys for idempotent requests can only be used {how} they were first used with.",
    )
