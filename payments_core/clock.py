"""The only clock and the only random source that a provider's hooks ever see."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Protocol

from .errors import ConfigurationError

__all__ = ["Clock", "SystemClock", "check_clock"]


class Clock(Protocol):
    """A source of time and randomness for `Gateway.open(clock=...)`; deadlines always use real time."""

    def now(self) -> datetime:
        """Return the time of day, aware."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards: how old a token is."""

    def nonce(self) -> str:
        """Return 32 hexadecimal digits that never repeat."""


class SystemClock:
    """The machine's clock and its secure random source."""

    def now(self) -> datetime:
        """Return the time of day in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    def nonce(self) -> str:
        """Return 16 random bytes in hexadecimal."""
        return secrets.token_hex(16)


def check_clock(clock: object) -> None:
    """Raise `ConfigurationError` unless this is a clock, or None for the system's."""
    if clock is not None and not all(callable(getattr(clock, each, None)) for each in ("now", "monotonic", "nonce")):
        raise ConfigurationError("a clock has now(), monotonic() and nonce(), like SystemClock")
