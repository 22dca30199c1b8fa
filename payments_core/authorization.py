"""Share one token among all callers: one of them asks the gateway for it, the others wait.

The cache does no I/O and does not wait. It tells a caller to use the token, to lead (ask the gateway) or to follow
(wait for the leader), and it is told how the leader ended. Sync and async gateways wait in their own ways.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from datetime import datetime
from typing import Final

import msgspec

from .errors import PaymentError
from .forks import reset_in_children
from .models import Authorization
from .secrets import Secret

__all__ = ["AuthorizationCache", "Flight"]

RENEW_AT: Final = 0.8
SHORTEST: Final = 60.0
LONGEST: Final = 24 * 3600.0
# Seconds after its deadline in which a flight may still end; after them its leader is gone, with its event loop.
_GRACE: Final = 1.0


class Flight:
    """One request for a token, under way. `ended` is set when it ends, however it ends."""

    __slots__ = ("budget", "ended", "ends_at")

    def __init__(self, budget: float) -> None:
        self.ended: Future[None] = Future()
        self.budget = budget
        self.ends_at = time.monotonic() + budget

    def lasts(self) -> float:
        """Return the seconds in which the flight ends, if its leader still lives."""
        return max(self.ends_at + _GRACE - time.monotonic(), 0.0)


class _Failure(msgspec.Struct, frozen=True):
    error: PaymentError
    at: float
    # The leader's seconds, where only its own deadline ended the flight.
    too_short: float | None

    def shared_by(self, asked_at: float, left: float) -> bool:
        """Return True for waiters that joined before the failure.

        A caller with more time left than the leader had in all does not share a failure of the leader's deadline.
        """
        return self.at >= asked_at and (self.too_short is None or left <= self.too_short)


class AuthorizationCache:
    """Holds the current authorization; thread-safe."""

    def __init__(self) -> None:
        self.reset()
        reset_in_children(self)

    def reset(self) -> None:
        """Forget everything: a forked child shares no lock, no token and no flight with its parent."""
        self._lock = threading.Lock()
        self._current: Authorization | None = None
        self._renew_at = 0.0
        self._flight: Flight | None = None
        self._failure: _Failure | None = None

    @property
    def token(self) -> Secret | None:
        """Return the current token, or None."""
        current = self._current
        return None if current is None else current.token

    def claim(
        self, *, refused: Authorization | None, age_clock: float, asked_at: float, left: float
    ) -> Authorization | PaymentError | tuple[Flight, bool]:
        """Return an authorization to use, an error to raise, or a flight and True for its leader.

        `refused` is the authorization that the gateway has just refused; `age_clock` the gateway's monotonic clock;
        `asked_at` when the caller began to need a token and `left` the seconds it has, in real time.
        """
        with self._lock:
            current = self._current
            if current is not None and current is not refused and age_clock < self._renew_at:
                return current
            if self._flight is not None and self._flight.lasts() > 0:
                return self._flight, False
            failure = self._failure
            if failure is not None and failure.shared_by(asked_at, left):
                return failure.error.fresh()
            self._flight = Flight(left)
            return self._flight, True

    def succeed(self, flight: Flight, authorization: Authorization, age_clock: float, now: datetime) -> None:
        """Keep the token that the leader got, at `age_clock` and `now`."""
        with self._lock:
            if self._end(flight):
                self._current = authorization
                self._renew_at = age_clock + RENEW_AT * lifetime(authorization, now)
                self._failure = None

    def fail(self, flight: Flight, error: PaymentError) -> None:
        """Record that the leader failed; its waiters fail with it."""
        with self._lock:
            if self._end(flight):
                self._current = None
                now = time.monotonic()
                self._failure = _Failure(error.fresh(), now, flight.budget if now >= flight.ends_at else None)

    def abandon(self, flight: Flight) -> None:
        """Record that the leader was cancelled; a waiter takes over."""
        with self._lock:
            self._end(flight)

    def _end(self, flight: Flight) -> bool:
        """End a flight; False where another one has taken its place since."""
        is_current = self._flight is flight
        if is_current:
            self._flight = None
        if not flight.ended.done():  # an interrupted leader ends it a second time
            flight.ended.set_result(None)
        return is_current


def lifetime(authorization: Authorization, now: datetime) -> float:
    """Return the seconds for which a token that was received `now` is used."""
    left = None if authorization.expires_at is None else (authorization.expires_at - now).total_seconds()
    return min(_bounded(authorization.expires_in), _bounded(left))


def _bounded(expires_in: object) -> float:
    """Return a lifetime between a minute and a day; None is for ever.

    Anything but a number counts as a minute, so that there is no storm of token calls.
    """
    if expires_in is None:
        return float("inf")
    if not isinstance(expires_in, int | float) or isinstance(expires_in, bool) or not expires_in > SHORTEST:
        return SHORTEST
    return float(min(expires_in, LONGEST))
