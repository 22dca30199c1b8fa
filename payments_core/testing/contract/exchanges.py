"""What went over the wire: recorded from a sync gateway, played to an async one, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from payments_core import Request, Response, Secret
from payments_core.transport import HTTPTransport

__all__ = ["Player", "Recorder", "plain"]


class Recorder:
    """A transport that keeps what it was asked and what was answered."""

    def __init__(self) -> None:
        self._inner = HTTPTransport()
        self.exchanges: list[tuple[Request, Response]] = []

    def send(self, request: Request, *, deadline: float) -> Response:
        """The gateway's answer."""
        response = self._inner.send(request, deadline=deadline)
        self.exchanges.append((request, response))
        return response

    def close(self) -> None:
        """Give up the connections."""
        self._inner.close()


class Player:
    """An async transport that answers what was recorded, and keeps what it was asked."""

    def __init__(self, exchanges: Sequence[tuple[Request, Response]]) -> None:
        self._answers = [response for _, response in exchanges]
        self.requests: list[Request] = []

    async def send(self, request: Request, *, deadline: float) -> Response:
        """The next answer."""
        self.requests.append(request)
        assert len(self.requests) <= len(self._answers), "the async gateway sends more requests than the sync one"
        return self._answers[len(self.requests) - 1]

    async def close(self) -> None:
        """There is nothing to give up."""


def plain(request: Request) -> tuple[Any, ...]:
    """A request without its secrets, such as a token that changes with every account."""
    headers = tuple((name, "secret" if isinstance(value, Secret) else value) for name, value in request.headers)
    query = tuple((name, "secret" if isinstance(value, Secret) else value) for name, value in request.query)
    return request.method, request.path, query, headers, request.body, request.idempotent, request.safe
