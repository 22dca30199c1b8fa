"""The sockets below httpx: total deadlines, a share of them for every address, and no byte after a caller has gone."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any, Final, TypeVar
from weakref import WeakSet

import httpcore

from .interrupts import Interrupted, interrupt_behind

__all__ = ["AsyncBackend", "Backend", "Exchange", "Stream", "current"]

T = TypeVar("T")

# More than this is no deadline, and more than the operating system can wait for.
_LONGEST: Final = 86_400.0
# Bytes that an async read takes at once.
_MOST_READ: Final = 4096


class Exchange:
    """One request and its answer under way: the deadline, and whether a byte has been written."""

    __slots__ = ("abandoned", "ends", "waiting", "written")

    def __init__(self, deadline: float) -> None:
        self.ends = time.monotonic() + min(deadline, _LONGEST)
        self.written = False
        self.abandoned = False
        self.waiting: asyncio.Timeout | None = None

    def left(self) -> float:
        """Return the seconds until it must have ended."""
        return max(self.ends - time.monotonic(), 0.0)

    def abandon(self) -> None:
        """End what is under way at once, because its caller has gone: no further byte may leave."""
        self.abandoned = True
        if self.waiting is not None and not self.waiting.expired():
            self.waiting.reschedule(0)


# Network reads and writes look the current exchange up: httpx's own timeouts begin anew with every byte that drips in.
current: ContextVar[Exchange] = ContextVar("payments_core_exchange")


def _left(timeout: type[httpcore.TimeoutException]) -> float:
    exchange = current.get()
    left = exchange.ends - time.monotonic()
    if left <= 0 or exchange.abandoned:
        raise timeout
    return left


def _step(operation: Callable[..., T], *arguments: Any) -> T:
    """Take one step of a sync exchange; httpcore would take a signal handler's `TimeoutError` for its own."""
    try:
        return operation(*arguments)
    except Exception as exc:
        if (interrupt := interrupt_behind(exc)) is not None:
            raise Interrupted(interrupt, sent=current.get().written) from None
        raise


class Stream(httpcore.NetworkStream):
    """Cuts every wait to what is left of the deadline."""

    def __init__(self, inner: httpcore.NetworkStream, streams: WeakSet[Stream]) -> None:
        self._inner = inner
        self._streams = streams
        streams.add(self)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return _step(self._inner.read, max_bytes, _left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        # In pieces, because the inner stream's timeout begins anew whenever the peer takes a few bytes.
        for start in range(0, len(buffer), 4096):
            left = _left(httpcore.WriteTimeout)
            current.get().written = True
            _step(self._inner.write, buffer[start : start + 4096], left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left = _left(httpcore.ConnectTimeout)
        return Stream(_step(self._inner.start_tls, ssl_context, server_hostname, left), self._streams)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Backend(httpcore.SyncBackend):
    """Makes connections that keep to the deadline of the exchange under way."""

    def __init__(self, streams: WeakSet[Stream]) -> None:
        self._streams = streams

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
            addresses = _step(functools.partial(socket.getaddrinfo, type=socket.SOCK_STREAM), host, port)
        except OSError as exc:
            raise httpcore.ConnectError(str(exc)) from exc
        for others, (*_, address) in zip(range(len(addresses) - 1, 0, -1), addresses, strict=False):
            with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return self._connect(str(address[0]), port, local_address, socket_options, others)
        return self._connect(str(addresses[-1][4][0]), port, local_address, socket_options, 0)

    def _connect(
        self,
        address: str,
        port: int,
        local_address: str | None,
        socket_options: Iterable[Any] | None,
        others: int,
    ) -> httpcore.NetworkStream:
        # An address that swallows what it is sent must leave the same time to each of the others.
        left = _left(httpcore.ConnectTimeout) / (others + 1)
        made = _step(super().connect_tcp, address, port, left, local_address, socket_options)
        return Stream(made, self._streams)


async def _bounded(
    error: type[httpcore.TimeoutException], operation: Callable[[], Awaitable[T]], *, writes: bool = False
) -> T:
    """Await one step of an exchange until its deadline, or until its caller has gone."""
    exchange = current.get()
    timeout = asyncio.timeout(_left(error))
    exchange.waiting = timeout
    try:
        async with timeout:
            exchange.written |= writes
            return await operation()
    except TimeoutError:
        if not timeout.expired():
            raise
    finally:
        exchange.waiting = None
    raise error


class _AsyncStream(httpcore.AsyncNetworkStream):
    """Cuts every wait to what is left of the deadline."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        # Little at a time: what was read is parsed without a pause, and a byte can be a piece of its own.
        return await _bounded(httpcore.ReadTimeout, lambda: self._inner.read(min(max_bytes, _MOST_READ)))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        await _bounded(httpcore.WriteTimeout, lambda: self._inner.write(buffer), writes=True)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        inner = self._inner
        try:
            made = await _bounded(httpcore.ConnectTimeout, lambda: inner.start_tls(ssl_context, server_hostname))
        except BaseException:
            await inner.aclose()  # httpcore closes it after an Exception alone, and a cancellation is none
            raise
        return _AsyncStream(made)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class AsyncBackend(httpcore.AnyIOBackend):
    """Makes connections that keep to the deadline of the exchange under way."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        connect = super().connect_tcp
        return _AsyncStream(
            await _bounded(httpcore.ConnectTimeout, lambda: connect(host, port, None, local_address, socket_options))
        )
