"""Record what a gateway sends, replay the answers to another gateway, and compare the requests of both."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from payments_core import Request, Response, Secret

__all__ = ["AsyncPlayer", "Exchange", "FrozenClock", "Player", "Recorder", "as_secret", "masked"]

Exchange = tuple[Request, Response]


class FrozenClock:
    """Report one instant and one nonce: the second in which it was made, or `ahead` seconds later.

    The instant is not long ago, because a sandbox may refuse a request that was signed then.
    """

    def __init__(self, ahead: float = 0.0, nonce: str = "0123456789abcdef" * 2, now: datetime | None = None) -> None:
        self._now = (now or datetime.now(UTC).replace(microsecond=0)) + timedelta(seconds=ahead)
        self._nonce = nonce

    def now(self) -> datetime:
        """Return the same time on every call."""
        return self._now

    def monotonic(self) -> float:
        """Return the same second on every call."""
        return 1000.0

    def nonce(self) -> str:
        """Return the same digits on every call."""
        return self._nonce


class Recorder:
    """Send requests over HTTP, and keep each one with its answer."""

    def __init__(self) -> None:
        from payments_core import HTTPTransport  # not at the top: the subprocess needs no HTTP

        self._inner = HTTPTransport()
        self.exchanges: list[Exchange] = []

    def send(self, request: Request, *, deadline: float) -> Response:
        """Return the gateway's answer."""
        response = self._inner.send(request, deadline=deadline)
        self.exchanges.append((request, response))
        return response

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


class Player:
    """Answer requests with recorded responses, in order, and keep the requests."""

    def __init__(self, answers: Sequence[Response]) -> None:
        self._answers = answers
        self.requests: list[Request] = []

    def send(self, request: Request, *, deadline: float) -> Response:  # noqa: ARG002 - it takes no time
        """Return the next answer."""
        self.requests.append(request)
        if len(self.requests) > len(self._answers):
            raise AssertionError("more requests are sent than were recorded")
        return self._answers[len(self.requests) - 1]

    def close(self) -> None:
        """Do nothing."""


class AsyncPlayer:
    """Do as `Player` does, for an async gateway."""

    def __init__(self, answers: Sequence[Response]) -> None:
        self._inner = Player(answers)
        self.requests = self._inner.requests

    async def send(self, request: Request, *, deadline: float) -> Response:
        """Return the next answer."""
        return self._inner.send(request, deadline=deadline)

    async def close(self) -> None:
        """Do nothing."""


def masked(request: Request) -> list[Any]:
    """Return a request as JSON, without its origin and with its secrets masked: a token differs between accounts."""
    pairs = [
        [[name, "*" if isinstance(value, Secret) else value] for name, value in each]
        for each in (request.query, request.headers)
    ]
    return [request.method, request.path, *pairs, request.body.decode("latin-1"), request.idempotent, request.safe]


def as_secret(kind: type, value: object) -> object:
    """Convert text to a `Secret`, as a `dec_hook` of msgspec."""
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError
