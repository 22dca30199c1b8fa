"""Idempotency keys (docs.stripe.com/api/idempotent_requests): the first answer is given again, for a day."""

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
    """An answer to be given again."""

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
    """The keys of one account. Whoever calls holds the gateway's lock."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def find(self, key: str, method: str, path: str, form: Mapping[str, Any], now: int) -> Kept | None:
        """What was answered to this very request; None where the key is new.

        Refused: the same key with other parameters or for another endpoint, and while the first is still executing.
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
        """The endpoint begins to execute."""
        self._entries[key] = _Entry(method, path, form, now)

    def finish(self, key: str, kept: Kept) -> None:
        """And has answered."""
        self._entries[key].kept = kept

    def abandon(self, key: str) -> None:
        """It was not executed after all."""
        self._entries.pop(key, None)


def _reused(how: str) -> Refused:
    return Refused(
        400,
        "idempotency_error",
        f"Keys for idempotent requests can only be used {how} they were first used with.",
    )
