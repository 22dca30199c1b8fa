"""Send requests through httpx, with a total deadline, size caps and no redirects.

A transport raises `GatewayUnavailable` where the request certainly did not leave, `OutcomeUnknown` where it may have
been received, and `ProtocolViolation` where the answer cannot be read. It knows nothing of money; the caller does. Only
this module and `network` do I/O.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import ssl
import threading
import time
import typing
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, Final, Generic, Protocol, TypeVar
from weakref import WeakSet

import httpcore
import httpx

from . import tls
from ._frames import without_frames
from .body import Body, Unreadable
from .errors import ConfigurationError, GatewayUnavailable, OutcomeUnknown, PaymentError, ProtocolViolation
from .flow import Request, Response
from .forks import reset_in_children
from .interrupts import Interrupted, bare, interrupt_behind
from .network import AsyncBackend, Backend, Exchange, Stream, current
from .secrets import Secret

__all__ = ["AsyncHTTPTransport", "AsyncTransport", "HTTPTransport", "Transport"]

USER_AGENT: Final = "payments-core/0.1"

# httpcore scans its whole pool and all waiters at every request: 1,000 tasks on one pool of 100 took half a minute. So
# there are several small pools, and callers that find none free wait here and not there.
_POOLS, _POOL_SIZE = 5, 20
_POOL: Final[dict[str, Any]] = {
    "max_connections": _POOL_SIZE,
    "max_keepalive_connections": _POOL_SIZE,
    "keepalive_expiry": 5.0,
}
# A status that decides by itself needs no body: wait for it no longer than this, it only helps a person.
_GRACE: Final = 0.5
# The packages whose exceptions an exchange can raise by itself.
_RAISED_HERE: Final = frozenset(
    {"anyio", "asyncio", "builtins", "h11", "httpcore", "httpx", "payments_core", "socket", "ssl"}
)
# A proxy that refuses was written to, and the gateway was not.
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
# In a forked child: the parent's loops, which must be neither closed nor collected.
_inherited: list[object] = []


H = TypeVar("H", bound=httpx.HTTPTransport | httpx.AsyncHTTPTransport)


class _HTTPX(httpx.HTTPTransport):
    """httpx's transport over an httpcore pool with our sockets, for which httpx has no parameter.

    A subclass, because vcrpy records what goes through `httpx.HTTPTransport.handle_request`, and nothing beside it.
    """

    def __init__(self, context: ssl.SSLContext, proxy: httpx.Proxy | None, sockets: Backend) -> None:
        if proxy is None:
            self._pool = httpcore.ConnectionPool(context, network_backend=sockets, **_POOL)
        else:
            self._pool = httpcore.HTTPProxy(**_proxied(proxy), ssl_context=context, network_backend=sockets, **_POOL)


class _AsyncHTTPX(httpx.AsyncHTTPTransport):
    """The async twin of `_HTTPX`."""

    def __init__(self, context: ssl.SSLContext, proxy: httpx.Proxy | None, sockets: AsyncBackend) -> None:
        if proxy is None:
            self._pool = httpcore.AsyncConnectionPool(context, network_backend=sockets, **_POOL)
        else:
            self._pool = httpcore.AsyncHTTPProxy(
                **_proxied(proxy), ssl_context=context, network_backend=sockets, **_POOL
            )


def _proxied(proxy: httpx.Proxy) -> dict[str, Any]:
    url = httpcore.URL(
        scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=proxy.url.raw_path
    )
    return {"proxy_url": url, "proxy_auth": proxy.raw_auth, "proxy_headers": proxy.headers.raw}


class Transport(Protocol):
    """Sends requests for a `Gateway`; thread-safe. Give it your own as `Gateway.open(transport=...)`."""

    def send(self, request: Request, *, deadline: float) -> Response:
        """Send a request whose `url` is absolute, and return the whole answer within `deadline` seconds.

        Raise `GatewayUnavailable` where the request certainly did not leave, `OutcomeUnknown` where it may have been
        received, and `ProtocolViolation` where an answer cannot be read.
        """

    def close(self) -> None:
        """Close the connections."""


class AsyncTransport(Protocol):
    """The async twin of `Transport`, for an `AsyncGateway`."""

    async def send(self, request: Request, *, deadline: float) -> Response:
        """Send a request whose `url` is absolute, and return the whole answer within `deadline` seconds.

        Raise `GatewayUnavailable` where the request certainly did not leave, `OutcomeUnknown` where it may have been
        received, and `ProtocolViolation` where an answer cannot be read.
        """

    async def close(self) -> None:
        """Close the connections."""


class HTTPTransport:
    """Send requests through httpx, for sync callers.

    `proxy` is a URL, `cert` the path of a client certificate (or the paths of certificate and key), `verify` the path
    of a CA file or an `ssl.SSLContext`. Certificates are always verified, and environment variables are ignored. (The
    one thing that a deadline cannot bound in a sync call is the operating system's name lookup.)
    """

    @without_frames  # a proxy's URL can hold a password
    def __init__(
        self,
        proxy: str | None = None,
        cert: str | tuple[str, str] | None = None,
        verify: str | ssl.SSLContext | None = None,
    ) -> None:
        context, checked_proxy = tls.client_context(cert, verify), _proxy(proxy)

        self._make: Callable[[], httpx.HTTPTransport] = lambda: _HTTPX(context, checked_proxy, Backend(self._streams))
        self._proxied = checked_proxy is not None
        self._begin()
        reset_in_children(self)

    def _begin(self) -> None:
        self._streams: WeakSet[Stream] = WeakSet()
        self._pools = _Pools(self._make)
        self._slots = threading.BoundedSemaphore(_POOLS * _POOL_SIZE)

    def reset(self) -> None:
        """Close a forked child's copies of the parent's connections, and begin anew; forks call it."""
        for stream in list(self._streams):
            # Only the number is closed here: TLS must not say goodbye in the parent's name.
            with contextlib.suppress(OSError):
                os.close(stream.get_extra_info("socket").detach())
        self._begin()

    def send(self, request: Request, *, deadline: float) -> Response:
        """Send a request and return its answer, as `Transport.send` says."""
        outcome = self._outcome(request, Exchange(deadline))
        # Raised from here and not where it was caught: no context, and no frame that holds the revealed request.
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _outcome(self, request: Request, exchange: Exchange) -> Response | BaseException:
        pool: _Pool[httpx.HTTPTransport] | None = None
        has_slot = False
        token = current.set(exchange)
        try:
            has_slot = self._slots.acquire(timeout=exchange.left())
            if not has_slot:
                return GatewayUnavailable(_NO_SLOT)
            pool = self._pools.take()
            return self._exchange(pool.http, request, exchange)
        except Exception as exc:  # noqa: BLE001 - a signal's, between the steps of the exchange
            return _fault(exc, exchange)
        except BaseException as exc:  # noqa: BLE001 - Ctrl-C, which must not carry httpx's frames along either
            if (interrupt := interrupt_behind(exc)) is not None:
                return Interrupted(interrupt, sent=exchange.written)
            return bare(exc)
        finally:
            current.reset(token)
            if pool is not None:
                self._pools.give_back(pool)
            if has_slot:
                self._slots.release()

    def _exchange(
        self, http: httpx.HTTPTransport, request: Request, exchange: Exchange
    ) -> Response | PaymentError | Interrupted:
        try:
            answer = http.handle_request(_encode(request, exchange, proxied=self._proxied))
            body = _body(answer, exchange)
            try:
                for chunk in typing.cast("Iterable[bytes]", answer.stream):
                    body.feed(chunk)
                if (stream := _unclean(http, answer)) is not None:
                    stream.close()
            except (httpx.HTTPError, OSError, Unreadable):
                if not body.decisive:
                    raise
                body.chunks.clear()
            finally:
                answer.close()
            return _by_proxy(request, answer, proxied=self._proxied) or body.response()
        except MemoryError:
            raise
        except Exception as exc:  # noqa: BLE001 - httpx, its parts and the codecs each have their own
            return _fault(exc, exchange)

    def close(self) -> None:
        """Close the connections."""
        for http in self._pools.drain():
            http.close()


class _Loop:
    """The connections of one event loop: they belong to the loop that made them."""

    def __init__(self, make: Callable[[], httpx.AsyncHTTPTransport]) -> None:
        self.pools = _Pools(make)
        self.slots = asyncio.Semaphore(_POOLS * _POOL_SIZE)
        self.tasks: set[asyncio.Task[Response | BaseException]] = set()
        self.closed = False
        # Kept suspended: the loop closes it when it is shut down, as `asyncio.run` does, and so the connections too.
        self.guard: AsyncGenerator[None, None] | None = None

    async def free_slot(self, seconds: float) -> bool:
        """Wait for a slot; False where none was free in time."""
        if not self.slots.locked():
            return await self.slots.acquire()
        try:
            async with asyncio.timeout(seconds):
                return await self.slots.acquire()
        except TimeoutError:
            return False

    def ended(self, task: asyncio.Task[Response | BaseException]) -> None:
        """Free the slot of a task, also of one that was cancelled before its first step."""
        self.tasks.discard(task)
        self.slots.release()

    async def close(self) -> None:
        """Close the connections, and cancel what cancelled callers have left behind."""
        self.closed = True
        for task in self.tasks:
            task.cancel()
        try:
            await asyncio.gather(*self.tasks, return_exceptions=True)
        finally:
            for http in self.pools.drain():
                await http.aclose()


class AsyncHTTPTransport:
    """Send requests through httpx, for asyncio callers; the parameters are those of `HTTPTransport`."""

    @without_frames  # a proxy's URL can hold a password
    def __init__(
        self,
        proxy: str | None = None,
        cert: str | tuple[str, str] | None = None,
        verify: str | ssl.SSLContext | None = None,
    ) -> None:
        context, checked_proxy = tls.client_context(cert, verify), _proxy(proxy)

        self._make: Callable[[], httpx.AsyncHTTPTransport] = lambda: _AsyncHTTPX(context, checked_proxy, AsyncBackend())
        self._proxied = checked_proxy is not None
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}
        self._lock = threading.Lock()
        reset_in_children(self)

    def reset(self) -> None:
        """Begin anew in a forked child, and never touch the parent's loops: they share its epoll."""
        _inherited.append(self._loops)
        self._loops, self._lock = {}, threading.Lock()

    async def send(self, request: Request, *, deadline: float) -> Response:
        """Send a request and return its answer, as `AsyncTransport.send` says."""
        exchange = Exchange(deadline)
        mine = await self._mine()
        if not await mine.free_slot(exchange.left()):
            raise GatewayUnavailable(_NO_SLOT)
        if mine.closed:  # while this call waited for a slot
            mine.slots.release()
            raise _closed(exchange)
        # In a task of its own, which a cancelled caller leaves behind to end at once: cancelled in the middle, httpcore
        # loses the connection and its place in the pool, and a pool that lost all of them is dead.
        task = asyncio.create_task(self._outcome(mine, request, exchange))
        mine.tasks.add(task)
        task.add_done_callback(mine.ended)
        outcome: Response | BaseException
        try:
            outcome = await asyncio.shield(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is None or caller.cancelling() or not task.cancelled():
                exchange.abandon()
                raise
            # Only the exchange was cancelled: a caller that goes on must not look like a cancelled one.
            outcome = _closed(exchange)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def _mine(self) -> _Loop:
        loop = asyncio.get_running_loop()
        with self._lock:
            mine = self._loops.get(loop)
            if mine is None:
                for other in [each for each in self._loops if each.is_closed()]:
                    del self._loops[other]
                mine = self._loops[loop] = _Loop(self._make)
        if mine.guard is None:
            mine.guard = self._guard(loop, mine)
            await anext(mine.guard)
        return mine

    async def _guard(self, loop: asyncio.AbstractEventLoop, mine: _Loop) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with self._lock:
                self._loops.pop(loop, None)
            await mine.close()

    async def _outcome(self, mine: _Loop, request: Request, exchange: Exchange) -> Response | BaseException:
        pool = mine.pools.take()
        current.set(exchange)
        try:
            return await self._exchange(pool.http, request, exchange)
        except asyncio.CancelledError:
            raise
        except BaseException as exc:  # noqa: BLE001 - nobody may be left to retrieve it, and its frames hold secrets
            return bare(exc)
        finally:
            mine.pools.give_back(pool)

    async def _exchange(
        self, http: httpx.AsyncHTTPTransport, request: Request, exchange: Exchange
    ) -> Response | PaymentError | Interrupted:
        try:
            answer = await http.handle_async_request(_encode(request, exchange, proxied=self._proxied))
            body = _body(answer, exchange)
            try:
                async for chunk in typing.cast("typing.AsyncIterable[bytes]", answer.stream):
                    body.feed(chunk)
                if (stream := _unclean(http, answer)) is not None:
                    await stream.aclose()
            except (httpx.HTTPError, OSError, Unreadable):
                if not body.decisive:
                    raise
                body.chunks.clear()
            finally:
                await answer.aclose()
            return _by_proxy(request, answer, proxied=self._proxied) or body.response()
        except MemoryError:
            raise
        except Exception as exc:  # noqa: BLE001 - httpx, its parts and the codecs each have their own
            return _fault(exc, exchange)

    async def close(self) -> None:
        """Close this loop's connections; another loop's are closed with that loop."""
        mine = self._loops.get(asyncio.get_running_loop())
        if mine is not None and mine.guard is not None:
            await mine.guard.aclose()


def _body(answer: httpx.Response, exchange: Exchange) -> Body:
    body = Body(
        answer.status_code,
        tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw),
    )
    if body.decisive:
        exchange.ends = min(exchange.ends, time.monotonic() + _GRACE)
    return body


def _by_proxy(request: Request, answer: httpx.Response, *, proxied: bool) -> GatewayUnavailable | None:
    """Return the fault of an answer that a forwarding proxy gave in the gateway's place."""
    if answer.status_code != 407 or not proxied or not request.url.startswith("http:"):
        return None
    return GatewayUnavailable("the proxy wants other credentials (HTTP 407): nothing reached the gateway")


def _fault(exc: Exception, exchange: Exchange) -> PaymentError | Interrupted:
    """Return the error for a transport's exception, and leave the exception out: it holds the request."""
    if isinstance(exc, Interrupted):
        return Interrupted(exc.interrupt, sent=exc.sent)
    if (interrupt := interrupt_behind(exc)) is not None:
        return Interrupted(interrupt, sent=exchange.written)
    if type(exc).__module__.partition(".")[0] not in _RAISED_HERE:
        # Set into this thread from another one, as job queues without signals do for their time limits.
        return Interrupted(exc, sent=exchange.written)
    if isinstance(exc, Unreadable):
        return ProtocolViolation(f"the gateway's answer {exc}")
    late = isinstance(exc, httpx.TimeoutException)
    if exchange.written and not isinstance(exc, _NEVER_SENT):
        if late:
            return OutcomeUnknown("no whole answer from the gateway within the deadline")
        return OutcomeUnknown("the connection to the gateway broke before a whole answer arrived")
    if late:
        return GatewayUnavailable("no connection to the gateway within the deadline")
    if _is_tls(exc):
        return GatewayUnavailable("the gateway's TLS certificate is not trusted, or its TLS cannot be spoken")
    if isinstance(exc, httpx.ProxyError):
        wants = "wants other credentials" if str(exc).startswith("407") else "refuses to connect"
        return GatewayUnavailable(f"the proxy {wants}: nothing reached the gateway")
    if isinstance(exc, httpx.NetworkError):
        return GatewayUnavailable("the gateway cannot be reached: no connection")
    return GatewayUnavailable(f"the request could not be sent ({type(exc).__name__})")


def _closed(exchange: Exchange) -> PaymentError:
    if exchange.written:
        return OutcomeUnknown("the transport was closed before a whole answer arrived")
    return GatewayUnavailable("the transport was closed: nothing was sent")


def _is_tls(exc: BaseException | None) -> bool:
    while exc is not None:
        if isinstance(exc, ssl.SSLError):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def _unclean(http: httpx.HTTPTransport | httpx.AsyncHTTPTransport, answer: httpx.Response) -> Any:
    """Return the stream of a connection that must not be reused, because bytes followed the answer; else None.

    The parser would keep those bytes, and take them for the answer to the next request.
    """
    stream = answer.extensions.get("network_stream")
    if stream is None:  # no connection: a recorded answer
        return None
    for each in http._pool.connections:  # noqa: SLF001
        connection: Any = each
        while hasattr(connection, "_connection"):  # a connection through a proxy wraps another
            connection = connection._connection  # noqa: SLF001
        if getattr(connection, "_network_stream", None) is stream:
            state = getattr(connection, "_h11_state", None)
            return None if state is not None and not state.trailing_data[0] else stream
    return stream


_NO_SLOT: Final = f"all {_POOLS * _POOL_SIZE} connections were busy until the deadline: nothing was sent"


class _Pool(Generic[H]):
    def __init__(self, http: H) -> None:
        self.http = http
        self.busy = 0


class _Pools(Generic[H]):
    """Small pools, made when they are needed; the first that has room is used, so that its connections stay warm."""

    def __init__(self, make: Callable[[], H]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._pools: list[_Pool[H]] = []

    def take(self) -> _Pool[H]:
        with self._lock:
            for pool in self._pools:
                if pool.busy < _POOL_SIZE:
                    break
            else:
                pool = _Pool(self._make())
                self._pools.append(pool)
            pool.busy += 1
            return pool

    def give_back(self, pool: _Pool[H]) -> None:
        with self._lock:
            pool.busy -= 1

    def drain(self) -> list[H]:
        with self._lock:
            drained, self._pools = self._pools, []
        return [pool.http for pool in drained]


def _encode(request: Request, exchange: Exchange, *, proxied: bool) -> httpx.Request:
    deadline = exchange.left()
    extensions: dict[str, Any] = {
        "timeout": {"connect": deadline, "read": deadline, "write": deadline, "pool": deadline}
    }
    url = _url(request.url)
    if request.query:
        target = request.target
        shown = request.masked_target
        url = url.copy_with(raw_path=shown.encode("ascii"))
        if shown != target:
            # Whoever instruments httpx sees its URL and not httpcore's target: no trace holds the secret.
            # A proxy that forwards in the clear wants the whole address as the target.
            origin = f"http://{url.netloc.decode('ascii')}" if proxied and url.scheme == "http" else ""
            extensions["target"] = f"{origin}{target}".encode("ascii")
    headers = [(name, value.reveal() if isinstance(value, Secret) else value) for name, value in request.headers]
    named = {name.lower() for name, _ in headers}
    headers += [(name, value) for name, value in _DEFAULT_HEADERS if name not in named]
    return httpx.Request(
        request.method,
        url,
        headers=headers,
        content=request.body,
        extensions=extensions,
    )


_DEFAULT_HEADERS: Final = (("user-agent", USER_AGENT), ("accept", "*/*"), ("accept-encoding", "gzip"))


@functools.lru_cache(maxsize=128)
def _url(url: str) -> httpx.URL:
    return httpx.URL(url)


def _proxy(url: str | None) -> httpx.Proxy | None:
    if url is None:
        return None
    try:
        proxy = httpx.Proxy(url)
        if proxy.url.scheme == "http" and proxy.url.host:
            return proxy
    except Exception:  # noqa: BLE001, S110 - its text can hold the password
        pass
    # TLS inside TLS: neither the deadline nor `verify` would hold for the outer one.
    raise ConfigurationError(
        "proxy is an http URL such as http://proxy.internal:3128, not https: TLS to the gateway goes through it unread"
    )
