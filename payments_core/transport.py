"""The one module that does I/O: httpx below, with a total deadline, caps and no redirects above it.

A transport raises `GatewayUnavailable` where the request certainly did not leave, `OutcomeUnknown` where it may have been
received, and `ProtocolViolation` where an answer arrived that cannot be read. It knows nothing of money; the caller does.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import threading
import time
import typing
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Final, Generic, Protocol, TypeVar

import httpcore
import httpx

from .body import Body, Unreadable
from .errors import ConfigurationError, GatewayUnavailable, OutcomeUnknown, PaymentError, ProtocolViolation
from .flow import Request, Response
from .secrets import Secret

__all__ = ["AsyncHTTPTransport", "AsyncTransport", "HTTPTransport", "Transport"]

USER_AGENT: Final = "payments-core/0.1"

# httpcore scans its whole pool and everybody who waits for it at every request: 1,000 tasks on one pool of 100 took half a
# minute. So there are several small pools, and who finds none free waits here and not there.
_POOLS, _POOL_SIZE = 5, 20
_LIMITS: Final = httpx.Limits(max_connections=_POOL_SIZE, max_keepalive_connections=_POOL_SIZE, keepalive_expiry=5.0)
# A status that decides by itself is not waited for longer than this: its body only helps a person.
_GRACE: Final = 0.5
# A proxy that refuses was written to, and the gateway was not.
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
# More than this is no deadline, and more than the operating system can wait for.
_LONGEST: Final = 86_400.0


class _Exchange:
    """What is under way: when it must have ended, and whether a byte of it has left."""

    __slots__ = ("ends", "written")

    def __init__(self, deadline: float) -> None:
        self.ends = time.monotonic() + min(deadline, _LONGEST)
        self.written = False

    def left(self) -> float:
        return max(self.ends - time.monotonic(), 0.0)


# Network reads and writes look the current exchange up: httpx's own timeouts begin anew with every byte that drips in.
_current: ContextVar[_Exchange] = ContextVar("payments_core_exchange")


H = TypeVar("H", bound=httpx.HTTPTransport | httpx.AsyncHTTPTransport)


class Transport(Protocol):
    """Sends one request and returns the whole answer, within `deadline` seconds; thread-safe."""

    def send(self, request: Request, *, deadline: float) -> Response:
        """Send a request whose `url` is absolute."""

    def close(self) -> None:
        """Give up the connections."""


class AsyncTransport(Protocol):
    """The async twin of `Transport`."""

    async def send(self, request: Request, *, deadline: float) -> Response:
        """Send a request whose `url` is absolute."""

    async def close(self) -> None:
        """Give up the connections."""


class HTTPTransport:
    """httpx for sync callers.

    `proxy` is a URL; `cert` a client certificate's path, or paths of certificate and key; `verify` a CA file's path or an
    `ssl.SSLContext`. Certificates are always verified, and the environment is never looked at. (The one thing that a
    deadline cannot bound in a sync call is the operating system's name lookup.)
    """

    def __init__(
        self,
        proxy: str | None = None,
        cert: str | tuple[str, str] | None = None,
        verify: str | ssl.SSLContext | None = None,
    ) -> None:
        context, checked_proxy = _ssl_context(cert, verify), _proxy(proxy)

        def pool() -> httpx.HTTPTransport:
            made = httpx.HTTPTransport(verify=context, trust_env=False, limits=_LIMITS, proxy=checked_proxy)
            _replace_backend(made._pool, _Backend())  # noqa: SLF001
            return made

        self._pools = _Pools(pool)
        self._slots = threading.BoundedSemaphore(_POOLS * _POOL_SIZE)

    def send(self, request: Request, *, deadline: float) -> Response:
        """Send it; see the module for what is raised."""
        outcome = self._outcome(request, _Exchange(deadline))
        # Raised from here and not where it was caught: no context, and no frame that holds the revealed request.
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _outcome(self, request: Request, exchange: _Exchange) -> Response | BaseException:
        if not self._slots.acquire(timeout=exchange.left()):
            return GatewayUnavailable(_NO_SLOT)
        pool = self._pools.take()
        token = _current.set(exchange)
        try:
            return self._exchange(pool.http, request, exchange)
        except BaseException as exc:  # noqa: BLE001 - Ctrl-C, which must not carry httpx's frames along either
            return _bare(exc)
        finally:
            _current.reset(token)
            self._pools.give_back(pool)
            self._slots.release()

    def _exchange(self, http: httpx.HTTPTransport, request: Request, exchange: _Exchange) -> Response | PaymentError:
        try:
            answer = http.handle_request(_encode(request, exchange))
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
            return body.response()
        except MemoryError:
            raise
        except Exception as exc:  # noqa: BLE001 - httpx, its parts and the codecs each have their own
            return _fault(exc, exchange)

    def close(self) -> None:
        """Give up the connections."""
        for http in self._pools.drain():
            http.close()


class AsyncHTTPTransport:
    """httpx for asyncio callers; the parameters are those of `HTTPTransport`."""

    def __init__(
        self,
        proxy: str | None = None,
        cert: str | tuple[str, str] | None = None,
        verify: str | ssl.SSLContext | None = None,
    ) -> None:
        context, checked_proxy = _ssl_context(cert, verify), _proxy(proxy)

        def pool() -> httpx.AsyncHTTPTransport:
            made = httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=_LIMITS, proxy=checked_proxy)
            _replace_backend(made._pool, _AsyncBackend())  # noqa: SLF001
            return made

        self._pools = _Pools(pool)
        self._slots = asyncio.Semaphore(_POOLS * _POOL_SIZE)
        self._tasks: set[asyncio.Task[Response | BaseException]] = set()

    async def send(self, request: Request, *, deadline: float) -> Response:
        """Send it; see the module for what is raised."""
        exchange = _Exchange(deadline)
        if not await self._free_slot(exchange.left()):
            raise GatewayUnavailable(_NO_SLOT)
        # In a task of its own, which a cancelled caller leaves behind to end by its deadline: cancelled in the middle,
        # httpcore loses the connection and its place in the pool, and a pool that lost all of them is dead.
        task = asyncio.create_task(self._outcome(request, exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        outcome = await asyncio.shield(task)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def _free_slot(self, seconds: float) -> bool:
        if not self._slots.locked():
            return await self._slots.acquire()
        try:
            async with asyncio.timeout(seconds):
                return await self._slots.acquire()
        except TimeoutError:
            return False

    async def _outcome(self, request: Request, exchange: _Exchange) -> Response | BaseException:
        pool = self._pools.take()
        _current.set(exchange)
        try:
            return await self._exchange(pool.http, request, exchange)
        except asyncio.CancelledError:
            raise
        except BaseException as exc:  # noqa: BLE001 - nobody may be left to retrieve it, and its frames hold secrets
            return _bare(exc)
        finally:
            self._pools.give_back(pool)
            self._slots.release()

    async def _exchange(
        self, http: httpx.AsyncHTTPTransport, request: Request, exchange: _Exchange
    ) -> Response | PaymentError:
        try:
            answer = await http.handle_async_request(_encode(request, exchange))
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
            return body.response()
        except MemoryError:
            raise
        except Exception as exc:  # noqa: BLE001 - httpx, its parts and the codecs each have their own
            return _fault(exc, exchange)

    async def close(self) -> None:
        """Give up the connections, and what cancelled callers have left behind."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for http in self._pools.drain():
            await http.aclose()


def _body(answer: httpx.Response, exchange: _Exchange) -> Body:
    body = Body(
        answer.status_code,
        tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw),
    )
    if body.decisive:
        exchange.ends = min(exchange.ends, time.monotonic() + _GRACE)
    return body


def _fault(exc: Exception, exchange: _Exchange) -> PaymentError:
    """What a caller may know of a transport's exception, without the exception: it holds the request."""
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
    if isinstance(exc, httpx.NetworkError | httpx.ProxyError):
        return GatewayUnavailable("the gateway cannot be reached: no connection")
    return GatewayUnavailable(f"the request could not be sent ({type(exc).__name__})")


def _bare(exc: BaseException) -> BaseException:
    """The exception without the frames and the exceptions behind it, whose locals hold the revealed request."""
    exc.__cause__ = exc.__context__ = None
    return exc.with_traceback(None)


def _is_tls(exc: BaseException | None) -> bool:
    while exc is not None:
        if isinstance(exc, ssl.SSLError):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def _unclean(http: httpx.HTTPTransport | httpx.AsyncHTTPTransport, answer: httpx.Response) -> Any:
    """The stream of a connection that must not be used again, because more came than the answer.

    The parser would keep those bytes and take them for the answer to the next request, which could be about anything.
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
        self._pools = [_Pool(make())]

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
            drained, self._pools = self._pools, [_Pool(self._make())]
        return [pool.http for pool in drained]


def _encode(request: Request, exchange: _Exchange) -> httpx.Request:
    deadline = exchange.left()
    headers = [(name, value.reveal() if isinstance(value, Secret) else value) for name, value in request.headers]
    named = {name.lower() for name, _ in headers}
    headers += [(name, value) for name, value in _DEFAULT_HEADERS if name not in named]
    return httpx.Request(
        request.method,
        _url(request.url).copy_with(raw_path=request.target.encode("ascii")) if request.query else _url(request.url),
        headers=headers,
        content=request.body,
        extensions={"timeout": {"connect": deadline, "read": deadline, "write": deadline, "pool": deadline}},
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
        if proxy.url.scheme in {"http", "https"} and proxy.url.host:
            return proxy
    except Exception:  # noqa: BLE001, S110 - a proxy's URL can hold a password
        pass
    raise ConfigurationError("proxy is an http(s) URL such as http://proxy.internal:3128")


@functools.cache
def _shared_ssl_context() -> ssl.SSLContext:
    # Loading the CA bundle takes tens of milliseconds: once a process is enough.
    return _fresh_ssl_context(None)


def _fresh_ssl_context(cafile: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=cafile) if cafile else httpx.create_ssl_context(trust_env=False)
    # The environment is never looked at: SSLKEYLOGFILE would write the keys of every connection to a file.
    context.keylog_filename = None  # type: ignore[assignment]
    return context


def _ssl_context(cert: str | tuple[str, str] | None, verify: object) -> ssl.SSLContext:
    problem, context = "", _shared_ssl_context()
    try:
        if isinstance(verify, ssl.SSLContext):
            context = verify
        elif verify is None or verify is True:
            context = _fresh_ssl_context(None) if cert else context
        elif isinstance(verify, str):
            context = _fresh_ssl_context(verify)
        else:
            problem = "verify is a CA file's path or an ssl.SSLContext: certificates are always verified"
        if not problem and cert is not None:
            context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    except (OSError, ValueError, TypeError) as exc:  # ssl.SSLError is an OSError
        problem = f"the certificates that verify and cert name cannot be used ({type(exc).__name__})"
    if not problem and (context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname):
        problem = (
            "this ssl.SSLContext does not verify who answers: set check_hostname, and verify_mode to CERT_REQUIRED"
        )
    if problem:
        raise ConfigurationError(problem)
    return context


def _replace_backend(pool: Any, backend: object) -> None:
    # httpx has no parameter for httpcore's network backend. A release that renames the attribute must not go unnoticed:
    # deadlines would silently stop holding against a dripping server.
    if not hasattr(pool, "_network_backend"):
        raise ConfigurationError("this release of httpcore is not supported: install httpcore 1.0")
    pool._network_backend = backend  # noqa: SLF001


def _left(timeout: type[httpcore.TimeoutException]) -> float:
    left = _current.get().ends - time.monotonic()
    if left <= 0:
        raise timeout
    return left


class _Stream(httpcore.NetworkStream):
    """Cuts every wait to what is left of the deadline."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._inner.read(max_bytes, _left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        # In pieces, because the inner stream's timeout begins anew whenever the peer takes a few bytes.
        for start in range(0, len(buffer), 4096):
            left = _left(httpcore.WriteTimeout)
            _current.get().written = True
            self._inner.write(buffer[start : start + 4096], left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left = _left(httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        # Looked up here, so that a name with many dead addresses shares one deadline among them.
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as exc:
            raise httpcore.ConnectError(str(exc)) from exc
        for *_, address in addresses[:-1]:
            try:
                return self._connect(str(address[0]), port, local_address, socket_options)
            except httpcore.ConnectError:
                continue
        return self._connect(str(addresses[-1][4][0]), port, local_address, socket_options)

    def _connect(
        self, address: str, port: int, local_address: str | None, socket_options: Iterable[Any] | None
    ) -> httpcore.NetworkStream:
        left = _left(httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(address, port, left, local_address, socket_options))


class _AsyncStream(httpcore.AsyncNetworkStream):
    """Cuts every wait to what is left of the deadline."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        return await self._inner.read(max_bytes, _left(httpcore.ReadTimeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        left = _left(httpcore.WriteTimeout)
        _current.get().written = True
        await self._inner.write(buffer, left)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        left = _left(httpcore.ConnectTimeout)
        return _AsyncStream(await self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _AsyncBackend(httpcore.AnyIOBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        left = _left(httpcore.ConnectTimeout)
        return _AsyncStream(await super().connect_tcp(host, port, left, local_address, socket_options))
