"""Simulate a payment gateway in memory, for tests of shops: no money, no network.

    with FakeSandbox() as sandbox, sandbox.open() as gateway:
        charge = gateway.create_charge(ChargeRequest("order-1", Money.of("88", "HKD"), "A cup of tea"))
        sandbox.pay(charge.reference.provider_id)
        assert gateway.confirm("order-1", Money.of("88", "HKD")).is_paid

With pytest, use the fixtures `fake_sandbox` and `fake_gateway`. `make()` is the same gateway over HTTP.

The prefix of an order id, one of `MAGIC`, decides what happens to its charge; docs/testing.md has the table. A refund
whose id begins with `pending-` stays pending until `settle_refund`, one with `failed-` fails. Over HTTP, `unavailable-`
is answered 503, and so is an unknown outcome: a server cannot refuse its own connection. Everything else follows
docs/fake.md, from which `FakeProvider` was written separately.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

from payments_core import AsyncGateway, Gateway, GatewayUnavailable, InvalidRequest, PaymentError, Request, Response

from .fake_machine import MAGIC, REFUND_MAGIC, FakeGateway, NotPossible, Unreachable, signature
from .masking import CassettePolicy, Fields, Rule

if TYPE_CHECKING:
    from starlette.requests import Request as HTTPRequest
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = [
    "MAGIC",
    "POLICY",
    "REFUND_MAGIC",
    "AsyncFakeTransport",
    "FakeGateway",
    "FakeSandbox",
    "FakeTransport",
    "LocalFakeSandbox",
    "NotPossible",
    "Unreachable",
    "make",
    "sign",
]

G = TypeVar("G", Gateway, AsyncGateway)

_LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}


class FakeTransport:
    """Send requests to a fake gateway in this process."""

    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway

    def send(self, request: Request, *, deadline: float) -> Response:  # noqa: ARG002 - it takes no time
        """Return the gateway's answer."""
        with contextlib.suppress(Unreachable):
            return self._gateway.answer(request)
        raise GatewayUnavailable("the gateway cannot be reached: no connection")

    def close(self) -> None:
        """Do nothing."""


class AsyncFakeTransport:
    """Do as `FakeTransport` does, for an async gateway."""

    def __init__(self, gateway: FakeGateway) -> None:
        self._inner = FakeTransport(gateway)

    async def send(self, request: Request, *, deadline: float) -> Response:
        """Return the gateway's answer."""
        return self._inner.send(request, deadline=deadline)

    async def close(self) -> None:
        """Do nothing."""


class FakeSandbox(FakeGateway):
    """A fake gateway that can be opened: `with FakeSandbox() as sandbox, sandbox.open() as gateway`.

    `pay`, `cancel`, `expire` and `fail` are the shopper's actions, for an open charge only; `set_status` forces a
    status. `charges`, `requests` and `now` show the gateway's state, and `notification` what it would deliver.
    """

    @property
    def config(self) -> dict[str, str]:
        """Return the fake provider's configuration for this gateway."""
        return {
            "base_url": "https://fake.invalid",
            "client_id": self.client_id,
            "client_secret": self.client_secret.reveal(),
            "webhook_key": self.webhook_key.reveal(),
        }

    def open(self, kind: type[G] = Gateway, **options: Any) -> G:  # type: ignore[assignment] # as in open_provider
        """Open a gateway, async with `kind=AsyncGateway`; `options` are those of `Gateway.open`."""
        from .fake import FakeProvider
        from .opening import open_provider

        return open_provider(FakeProvider, self.config, kind=kind, **{"transport": self._transport(kind), **options})

    def _transport(self, kind: type) -> object:
        return AsyncFakeTransport(self) if issubclass(kind, AsyncGateway) else FakeTransport(self)

    def deliver(self, *provider_ids: str, url: str = "") -> int | None:
        """Send `notification(*provider_ids)` to `url`, or to the first charge's notify_url, on this machine only.

        Return the HTTP status that the shop answers, or None without an answer.
        """
        from payments_core import HTTPTransport

        address, _, query = (url or self.notify_url(provider_ids[0])).partition("?")
        if urlsplit(address).hostname not in _LOOPBACK:
            raise NotPossible(
                "notifications are sent to this machine only: give a url such as http://127.0.0.1:8000/hook"
            )
        made = self.notification(*provider_ids)
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        transport = HTTPTransport()
        try:
            sent = Request("POST", address, query=pairs, headers=tuple(made.headers), body=made.body)
            return transport.send(sent, deadline=10.0).status
        except PaymentError:
            return None
        finally:
            transport.close()

    def close(self) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class LocalFakeSandbox(FakeSandbox):
    """Serve a `FakeSandbox` over HTTP on this machine's loopback address (needs the extra `[testing]`)."""

    def __init__(
        self, port: int = 0, *, seed: int | str | None = None, clock: Callable[[], datetime] | None = None
    ) -> None:
        from .server import LoopbackServer

        super().__init__(seed=seed, clock=clock)
        self.app = _application(self)
        self._server = LoopbackServer(self.app, port)
        self.url = self._server.url

    @property
    def config(self) -> dict[str, str]:
        """Return the fake provider's configuration for this gateway."""
        return {**super().config, "base_url": self.url}

    def _transport(self, kind: type) -> object:  # noqa: ARG002 - the real one
        return None

    def close(self) -> None:
        """Stop the server."""
        self._server.close()


def make(
    port: int = 0, *, seed: int | str | None = None, clock: Callable[[], datetime] | None = None
) -> LocalFakeSandbox:
    """Start a sandbox on 127.0.0.1; port 0 is any free one."""
    return LocalFakeSandbox(port, seed=seed, clock=clock)


def sign(config: Any, body: bytes, *, at: datetime | None = None) -> tuple[tuple[str, str], ...]:
    """Return the headers that make `body` a notification of this account, signed now or at another time."""
    return signature(config.webhook_key, body, at or datetime.now(UTC))


make.sign = sign  # type: ignore[attr-defined] # where a contract looks for it


def _application(gateway: FakeGateway) -> ASGIApp:
    """Return the gateway as an ASGI application; being unreachable becomes 503, since a server always answers."""
    from starlette.requests import Request as HTTPRequest
    from starlette.responses import Response as HTTPResponse

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        response = await _answer(gateway, HTTPRequest(scope, receive))
        answer = HTTPResponse(response.body, response.status, dict(response.headers))
        await answer(scope, receive, send)

    return application


async def _answer(gateway: FakeGateway, request: HTTPRequest) -> Response:
    try:
        return gateway.answer(
            Request(
                request.method,
                request.url.path,
                tuple(request.query_params.multi_items()),
                tuple(request.headers.items()),
                await request.body(),
            )
        )
    except InvalidRequest:  # not a path or method that a gateway can have
        return Response(404)
    except Unreachable:
        return Response(503)


_SENT: Final = Fields(("content-type", "idempotency-key"), masked=("authorization",))
_ANSWERED: Final = Fields(("content-type", "fake-request-id", "retry-after"))
_ERROR: Final = ("error.code", "error.message")
_MONEY: Final = ("amount", "currency")
_CHARGE: Final = Fields(("id", "order_id", "status", *_MONEY, "captured", "refunded", "pay_url", "failure", *_ERROR))
_REFUND: Final = Fields(("id", "refund_id", "charge", "order_id", "status", *_MONEY, *_ERROR))


def _rule(path: str, sent: tuple[str, ...], answered: Fields, query: tuple[str, ...] = ()) -> Rule:
    return Rule(
        path=path,
        query=Fields(query),
        request_headers=_SENT,
        request_body=Fields(sent),
        response_headers=_ANSWERED,
        response_body=answered,
    )


POLICY: Final = CassettePolicy(
    (
        _rule("/token", (), Fields(("expires_in", *_ERROR), masked=("access_token",))),
        _rule(
            "/charges",
            ("order_id", *_MONEY, "description", "method", "channel", "capture", "notify_url", "return_url"),
            _CHARGE,
            query=("order_id", "id"),
        ),
        _rule("/captures", ("order_id", "id", *_MONEY), _CHARGE),
        _rule("/cancellations", ("order_id", "id"), _CHARGE),
        _rule("/refunds", ("order_id", "id", "refund_id", *_MONEY), _REFUND, query=("refund_id", "id")),
    )
)
"""The parts that cassettes of this gateway keep: no token and no secret."""
