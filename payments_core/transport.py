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
import zlib
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Final, Generic, Protocol, TypeVar

import httpcore
import httpx

from .errors import ConfigurationError, GatewayUnavailable, OutcomeUnknown, PaymentError, ProtocolViolation
from .flow import Request, Response
from .secrets import Secret

__all__ = ["MAX_BODY_BYTES", "AsyncHTTPTransport", "AsyncTransport", "HTTPTransport", "Transport"]

MAX_BODY_BYTES: Final = 1024 * 1024
USER_AGENT: Final = "payments-core/0.1"

# httpcore scans its whole pool and everybody who waits for it at every request: 1,000 tasks on one pool of 100 took half a
# minute. So there are several small pools, and who finds none free waits here and not there.
_POOLS, _POOL_SIZE = 5, 20
_LIMITS: Final = httpx.Limits(max_connections=_POOL_SIZE, max_keepalive_connections=_POOL_SIZE, keepalive_expiry=5.0)
# A status that decides by itself is not waited for longer than this: its body only helps a person.
_GRACE: Final = 0.5
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)

# When the current request must have ended. Network reads look it up, because httpx's own timeouts begin anew with every
# byte that drips in.
_ends: ContextVar[float] = ContextVar("payments_core_request_ends")


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
        ends = time.monotonic() + deadline
        if not self._slots.acquire(timeout=deadline):
            raise GatewayUnavailable(_NO_SLOT)
        pool = self._pools.take()
        try:
            outcome = self._exchange(pool.http, request, ends)
        finally:
            self._pools.give_back(pool)
            self._slots.release()
        # Raised from here and not where it was caught: no context, and no frame that holds the revealed request.
        if isinstance(outcome, PaymentError):
            raise outcome
        return outcome

    def _exchange(self, http: httpx.HTTPTransport, request: Request, ends: float) -> Response | PaymentError:
        token = _ends.set(ends)
        try:
            answer = http.handle_request(_encode(request, ends))
            body = _Body(answer)
            try:
                for chunk in typing.cast("Iterable[bytes]", answer.stream):
                    body.feed(chunk)
            except (httpx.HTTPError, OSError, _Unreadable):
                if not body.decisive:
                    raise
                body.chunks.clear()
            finally:
                answer.close()
            return body.response()
        except (httpx.HTTPError, OSError, _Unreadable) as exc:
            return _fault(exc)
        finally:
            _ends.reset(token)

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

    async def send(self, request: Request, *, deadline: float) -> Response:
        """Send it; see the module for what is raised."""
        ends = time.monotonic() + deadline
        if not await self._free_slot(deadline):
            raise GatewayUnavailable(_NO_SLOT)
        pool = self._pools.take()
        try:
            outcome = await self._exchange(pool.http, request, ends)
        finally:
            self._pools.give_back(pool)
            self._slots.release()
        if isinstance(outcome, PaymentError):
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

    async def _exchange(self, http: httpx.AsyncHTTPTransport, request: Request, ends: float) -> Response | PaymentError:
        token = _ends.set(ends)
        try:
            answer = await http.handle_async_request(_encode(request, ends))
            body = _Body(answer)
            try:
                async for chunk in typing.cast("typing.AsyncIterable[bytes]", answer.stream):
                    body.feed(chunk)
            except (httpx.HTTPError, OSError, _Unreadable):
                if not body.decisive:
                    raise
                body.chunks.clear()
            finally:
                await answer.aclose()
            return body.response()
        except (httpx.HTTPError, OSError, _Unreadable) as exc:
            return _fault(exc)
        finally:
            _ends.reset(token)

    async def close(self) -> None:
        """Give up the connections."""
        for http in self._pools.drain():
            await http.aclose()


class _Unreadable(Exception):
    """An answer arrived that cannot be read; the text says why."""


class _Body:
    """Collects an answer's body under the caps."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        self.headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw)
        self.chunks: list[bytes] = []
        self._size = 0
        # These statuses decide before the body does, so a body that breaks, drips or swells changes nothing.
        self.decisive = self.status in {401, 403, 429} or (
            not 200 <= self.status < 300 and not 400 <= self.status < 500
        )
        if self.decisive:
            _ends.set(min(_ends.get(), time.monotonic() + _GRACE))

    def feed(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            raise _Unreadable(f"is longer than {MAX_BODY_BYTES} bytes")
        self.chunks.append(chunk)

    def response(self) -> Response:
        body = b"".join(self.chunks)
        encodings = [value.strip().lower() for name, value in self.headers if name.lower() == "content-encoding"]
        if body and any(encodings) and encodings != ["identity"]:
            try:
                body = _decompress(body, encodings)
            except _Unreadable:
                if not self.decisive:
                    raise
                body = b""
        return Response(self.status, self.headers, body)


def _decompress(body: bytes, encodings: list[str]) -> bytes:
    if encodings not in (["gzip"], ["x-gzip"], ["deflate"]):
        raise _Unreadable("is compressed in a way that was not asked for")
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        plain = stream.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        plain = None
    if plain is not None and len(plain) > MAX_BODY_BYTES:
        raise _Unreadable(f"is longer than {MAX_BODY_BYTES} bytes when decompressed")
    if plain is None or not stream.eof:
        raise _Unreadable("is damaged: it does not decompress")
    return plain


def _fault(exc: Exception) -> PaymentError:
    """What a caller may know of a transport's exception, without the exception: it holds the request."""
    if isinstance(exc, _Unreadable):
        return ProtocolViolation(f"the gateway's answer {exc}")
    if isinstance(exc, httpx.TimeoutException):
        if isinstance(exc, _NEVER_SENT):
            return GatewayUnavailable("no connection to the gateway within the deadline")
        return OutcomeUnknown("no whole answer from the gateway within the deadline")
    if isinstance(exc, _NEVER_SENT):
        if _is_tls(exc):
            return GatewayUnavailable("the gateway's TLS certificate is not trusted, or its TLS cannot be spoken")
        return GatewayUnavailable("the gateway cannot be reached: no connection")
    return OutcomeUnknown("the connection to the gateway broke before a whole answer arrived")


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


def _is_tls(exc: BaseException | None) -> bool:
    while exc is not None:
        if isinstance(exc, ssl.SSLError):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def _encode(request: Request, ends: float) -> httpx.Request:
    deadline = max(ends - time.monotonic(), 0.0)
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
        return httpx.Proxy(url)
    except Exception:  # noqa: BLE001, S110 - a proxy's URL can hold a password
        pass
    raise ConfigurationError("proxy is a URL such as http://proxy.internal:3128")


@functools.cache
def _shared_ssl_context() -> ssl.SSLContext:
    # Loading the CA bundle takes tens of milliseconds: once a process is enough.
    return httpx.create_ssl_context(trust_env=False)


def _ssl_context(cert: str | tuple[str, str] | None, verify: str | ssl.SSLContext | None) -> ssl.SSLContext:
    if isinstance(verify, ssl.SSLContext):
        context = verify
    elif isinstance(verify, str):
        context = ssl.create_default_context(cafile=verify)
    elif verify is None or verify is True:
        context = httpx.create_ssl_context(trust_env=False) if cert else _shared_ssl_context()
    else:
        raise ConfigurationError("verify is a CA file's path or an ssl.SSLContext: certificates are always verified")
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        raise ConfigurationError(
            "this ssl.SSLContext does not verify who answers: set check_hostname, and verify_mode to CERT_REQUIRED"
        )
    if cert is not None:
        context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    return context


def _replace_backend(pool: Any, backend: object) -> None:
    # httpx has no parameter for httpcore's network backend. A release that renames the attribute must not go unnoticed:
    # deadlines would silently stop holding against a dripping server.
    if not hasattr(pool, "_network_backend"):
        raise ConfigurationError("this release of httpcore is not supported: install httpcore 1.0")
    pool._network_backend = backend  # noqa: SLF001


def _left(timeout: type[httpcore.TimeoutException]) -> float:
    left = _ends.get() - time.monotonic()
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
            self._inner.write(buffer[start : start + 4096], _left(httpcore.WriteTimeout))

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
        await self._inner.write(buffer, _left(httpcore.WriteTimeout))

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
