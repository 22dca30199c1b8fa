"""Serve HTTP on this machine's loopback address, for sandboxes and for tests of webhooks."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import anyio.to_thread
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["LoopbackServer", "PortTaken", "ReceivedDelivery", "WebhookListener"]

_HOST = "127.0.0.1"


class PortTaken(OSError):
    """The requested port is in use."""


class _Protocol(H11Protocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Query strings contain secrets. Off for this server only: `access_log=False` would disable the host's logger.
        self.access_log = False


class _Config(uvicorn.Config):
    def configure_logging(self) -> None:
        """Leave the host's logging configuration alone."""

    def load(self) -> None:
        super().load()
        self.loaded_app = self.app  # uvicorn would log each scope, with its query string


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.ready.set()
        await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn waits for running answers; a test that hangs a client must not wait. asyncio leaks connections that it
        # accepted for a server closed before it handed them over. So accepting ends first; connections accepted by
        # then are handed over within three turns of the loop, and dropped in one more.
        for listening in sockets or []:
            asyncio.get_running_loop().remove_reader(listening)
        for _ in range(4):
            for connection in list(self.server_state.connections):
                if isinstance(connection, _Protocol):
                    connection.transport.abort()
            await asyncio.sleep(0)  # each connection notices the loss, so that its task ends without a log line
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.sleep(0)

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)


class LoopbackServer:
    """Serve an ASGI application on 127.0.0.1, with uvicorn, from a daemon thread.

    The port (0: any free one) is bound by the constructor, which raises `PortTaken` if it is in use. Serving begins at
    once, or with `start=False` at `start()` or `with`. There is no access log, and there are no lifespan events.

    * `port`: the number of its port, an `int`
    * `url`: its URL without a path, a `str`
    """

    def __init__(self, app: ASGIApp, port: int = 0, *, start: bool = True) -> None:
        self._socket = _listen(port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{_HOST}:{self.port}"
        self._closed = False
        self._thread: threading.Thread | None = None
        config = _Config(
            _ends_quietly(app),
            http=_Protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            # Longer than any client keeps a connection, so that none is closed just when it is reused.
            timeout_keep_alive=120,
        )
        self._server = _Server(config)
        if start:
            self.start()

    def start(self) -> Self:
        """Start to serve; do nothing if it does already."""
        if self._closed:
            raise RuntimeError("this server is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=f"loopback:{self.port}", daemon=True)
            self._thread.start()
            while not self._server.ready.wait(0.05):
                if not self._thread.is_alive():
                    raise RuntimeError("the server did not start")
        return self

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def close(self) -> None:
        """Stop at once: connections are dropped and running requests cancelled."""
        self._closed = True
        self._server.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5)
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((_HOST, port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        if error.errno != errno.EADDRINUSE:
            raise
        hint = "choose another port, or 0 for any free one"
        raise PortTaken(error.errno, f"port {port} of {_HOST} is in use: {hint}") from None
    return listening


def _ends_quietly(app: ASGIApp) -> ASGIApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            return  # only close() cancels, and uvicorn would report it as the application's error

    return serve


@dataclass(frozen=True)
class ReceivedDelivery:
    """A request that a `WebhookListener` received.

    * `body`: the raw body
    * `headers`: the header pairs, in order
    * `received_at`: the time it arrived, in UTC
    * `monotonic`: the time it arrived, by the monotonic clock
    * `url`: the URL that was called
    """

    body: bytes
    headers: tuple[tuple[str, str], ...]
    received_at: datetime
    monotonic: float
    url: str


class WebhookListener:
    """Serve a merchant's webhook address on loopback, keep what arrives, and answer as told.

    `respond` and `delay` may be changed while it runs.

    * `respond`: a status, or a callable from the delivery to the status; it runs in a thread, so it may block and may
      call a gateway
    * `delay`: the seconds that an answer takes, a `float`
    * `url`: the address for notifications, a `str`
    """

    def __init__(
        self,
        path: str = "/webhook",
        respond: Callable[[ReceivedDelivery], int] | int = 200,
        *,
        delay: float = 0.0,
        port: int = 0,
    ) -> None:
        self.respond = respond
        self.delay = delay
        self._path = path
        self._arrived = threading.Condition()
        self._deliveries: list[ReceivedDelivery] = []
        self._server = LoopbackServer(self._app, port, start=False)
        self.url = self._server.url + path
        self._server.start()

    @property
    def deliveries(self) -> tuple[ReceivedDelivery, ...]:
        """Return the deliveries so far, in order."""
        with self._arrived:
            return tuple(self._deliveries)

    def wait(self, n: int = 1, timeout: float = 5.0) -> tuple[ReceivedDelivery, ...]:
        """Return all deliveries, once there are at least `n`; raise TimeoutError after `timeout` seconds."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._deliveries) >= n, timeout):
                raise TimeoutError(f"{len(self._deliveries)} of {n} deliveries arrived within {timeout} s")
            return tuple(self._deliveries)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.url.path != self._path:
            status = 404
        elif request.method != "POST":
            status = 405
        else:
            status = await self._take(request)
        await Response(status_code=status)(scope, receive, send)

    async def _take(self, request: Request) -> int:
        body = await request.body()
        delivery = ReceivedDelivery(
            body, tuple(request.headers.items()), datetime.now(UTC), time.monotonic(), str(request.url)
        )
        with self._arrived:
            self._deliveries.append(delivery)
            self._arrived.notify_all()
        respond, delay = self.respond, self.delay
        if delay:
            await asyncio.sleep(delay)
        if callable(respond):
            return await anyio.to_thread.run_sync(respond, delivery, abandon_on_cancel=True)
        return respond

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
