# ruff: noqa: D102 - what play does, each fault's class says
"""Serve HTTP that fails on demand, on loopback, in front of a sandbox or alone.

    with FaultGateway(upstream=sandbox.url) as gateway:
        with gateway.inject(Truncate(), method="POST", path="/payments", times=1) as rule:
            ...                                   # the client under test talks to gateway.url
        assert rule.hits == 1

It writes bytes to the socket itself, because a server library would repair exactly what is to be broken.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import selectors
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Final, Protocol, Self, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from ._fault_arguments import Checked, check_fault, check_rule

__all__ = [
    "HTML",
    "Answer",
    "BadGzip",
    "BadUTF8",
    "CloseEarly",
    "DeepJSON",
    "Delay",
    "DoubledHeader",
    "DripBody",
    "DripHeaders",
    "Exchange",
    "Fault",
    "FaultGateway",
    "Forbidden",
    "ForwardThen",
    "GzipBomb",
    "Hang",
    "LoseAnswer",
    "Oversize",
    "Raw",
    "Received",
    "Redirect",
    "Reset",
    "Rule",
    "Status",
    "TooManyRequests",
    "Truncate",
    "Unauthorized",
    "WrongContentType",
]

Headers: TypeAlias = tuple[tuple[str, str], ...]

_BACKLOG: Final = 1024
_JSON: Final = (("content-type", "application/json"),)
_MAX_HEAD: Final = 1_000_000
_CHUNK: Final = 65_536
_UPSTREAM_TIMEOUT: Final = 60.0
# Headers of one connection, which are not passed on (RFC 9110, 7.6.1).
_HOP_BY_HOP: Final = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip


@dataclass(frozen=True, repr=False)
class Received:
    """A request as it arrived.

    `target` is the exact path and query; `headers` are in the order sent, with their original names; `body` is without
    chunked framing; `time` is `time.monotonic()`. The repr shows only method and path, because failing tests print it.
    """

    method: str
    target: str
    headers: Headers
    body: bytes
    time: float
    version: str = "HTTP/1.1"

    @property
    def path(self) -> str:
        """Return the path as sent, still quoted."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """Return the query as sent, still quoted."""
        return self.target.partition("?")[2]

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Return the query's pairs, unquoted."""
        return parse_qsl(self.query, keep_blank_values=True)

    def header(self, name: str) -> str | None:
        """Return the first header of this name, in any case, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def keep_alive(self) -> bool:
        """Return True if the client allows another request on the connection."""
        return self.version == "HTTP/1.1" and "close" not in (self.header("connection") or "").lower()

    def __repr__(self) -> str:
        return f"<Received {self.method} {self.path}>"


class Fault(Protocol):
    """Handle a request instead of forwarding it. Any object with this method can be injected."""

    def play(self, exchange: Exchange) -> bool:
        """Play the fault; return True if the answer was complete and the connection can be reused."""
        ...  # pragma: no cover


class Exchange:
    """A request and the connection that waits for its answer, for a fault to work with."""

    def __init__(self, client: _Client, request: Received, upstream: str | None) -> None:
        self.request = request
        self._client = client
        self._upstream = upstream

    def send(self, data: bytes) -> None:
        """Write these bytes; let the OSError pass that is raised once the client or the gateway is gone."""
        self._client.sock.sendall(data)

    def answer(self, status: int, headers: Headers = (), body: bytes = b"") -> bool:
        """Write a complete, valid answer; add `content-type` (JSON) and `content-length` if missing."""
        if body and "content-type" not in {name.lower() for name, _ in headers}:
            headers = (*headers, ("content-type", "application/json"))
        return self._write(status, headers, body)

    def pause(self, seconds: float) -> bool:
        """Wait; return False at once if the gateway closes the connection meanwhile."""
        return not self._client.gone.wait(seconds)

    def wait_until_left(self) -> None:
        """Read and discard until the client leaves or the gateway closes the connection."""
        while self._client.sock.recv(_CHUNK):
            pass

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self._client.reset()

    def forward(self) -> bool:
        """Send the request upstream and pass the answer on; answer 502 if there is no upstream or it fails."""
        return self._write(*self.fetch())

    def fetch(self) -> tuple[int, Headers, bytes]:
        """Send the request upstream and return the answer (status, headers, body) without passing it on."""
        if self._upstream is None:
            return _bad_gateway("no rule matched, and there is no upstream")
        try:
            return self._client.ask(self._upstream, self.request)
        except (OSError, http.client.HTTPException, ValueError) as exc:
            return _bad_gateway(f"the upstream failed: {type(exc).__name__}")

    def _write(self, status: int, headers: Headers, body: bytes) -> bool:
        self.send(_head(self.request, status, headers, len(body)))
        if self.request.method != "HEAD" and not _bodyless(status):
            self.send(body)
        return True


@dataclass(eq=False)
class Rule:
    """Count the `hits` of an injected fault; as a context manager, remove it at exit."""

    fault: Fault
    method: str | None
    path: str | None
    times: int | None
    hits: int = 0
    _remove: Callable[[Rule], None] = field(default=lambda _: None, repr=False)

    def matches(self, request: Received) -> bool:
        """Return True if the rule is not used up and the request matches."""
        if self.times is not None and self.hits >= self.times:
            return False
        if self.method is not None and self.method.upper() != request.method.upper():
            return False
        if self.path is None or self.path == request.path:
            return True
        tail = "/" + self.path.lstrip("/")
        return tail != "/" and request.path.endswith(tail)

    def remove(self) -> None:
        """Stop matching. Removing twice does nothing."""
        self._remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class FaultGateway:
    """Serve HTTP/1.1 on loopback, and forward to `upstream` what no rule matches.

    Without an upstream such requests are answered 502. The client's `Host` header is passed on unchanged, so that
    signatures over it hold. Use it as a context manager; `url` has no trailing slash. Its threads end with it.
    """

    def __init__(self, upstream: str | None = None) -> None:
        if upstream is not None and (urlsplit(upstream).scheme != "http" or not urlsplit(upstream).hostname):
            raise ValueError("upstream is an http:// URL")
        self._upstream = upstream
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._requests: list[Received] = []
        self._clients: dict[_Client, threading.Thread] = {}
        self._listener: socket.socket | None = None
        self._acceptor: tuple[threading.Thread, socket.socket] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        if self._listener is not None:
            raise RuntimeError("the fault gateway is open already")
        self._listener = _bound(0)
        self._port = self._listener.getsockname()[1]
        self._listen(self._listener)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, cut every connection, and wait for every thread. Closing twice does nothing."""
        self._stop()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._cut()

    @property
    def url(self) -> str:
        """Return `http://127.0.0.1:PORT`, which stays the same while the gateway is open."""
        if self._listener is None:
            raise RuntimeError("the fault gateway is not open")
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> list[Received]:
        """Return the requests received so far, matched or not, oldest first."""
        with self._lock:
            return list(self._requests)

    def clear(self) -> None:
        """Forget the requests received so far, but keep the rules."""
        with self._lock:
            self._requests.clear()

    def inject(
        self, fault: Fault, *, method: str | None = None, path: str | None = None, times: int | None = None
    ) -> Rule:
        """Play `fault` for matching requests from now on, at most `times` times.

        `path` is the request's whole path or its last segments: `payments/query` matches `/v1/payments/query`, but not
        `/v1/mypayments/query`. Rules are tried in the order they were injected, and a used-up rule passes the request
        to the next, so a sequence of faults reads from top to bottom. Raise `TypeError` for an object that is not a
        fault.
        """
        check_fault(fault)
        check_rule(method, path, times)
        rule = Rule(fault, method, path, times, _remove=self._remove)
        with self._lock:
            self._rules.append(rule)
        return rule

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Cut open connections and refuse new ones until the block ends, then listen on the same port again."""
        if self._listener is None:
            raise RuntimeError("the fault gateway is not open")
        self._stop()
        self._listener.close()
        # Bind without listening: the kernel refuses connections, and gives the port to nobody else.
        held = self._listener = _bound(self._port)
        self._cut()
        try:
            yield
        finally:
            if self._listener is held:
                self._listen(held)

    def _remove(self, rule: Rule) -> None:
        with self._lock:
            if rule in self._rules:
                self._rules.remove(rule)

    def _listen(self, listener: socket.socket) -> None:
        listener.listen(_BACKLOG)
        ours, theirs = socket.socketpair()
        thread = threading.Thread(
            target=self._accept, args=(listener, theirs), name="fault-gateway-accept", daemon=True
        )
        self._acceptor = (thread, ours)
        thread.start()

    def _stop(self) -> None:
        if self._acceptor is not None:
            thread, wake = self._acceptor
            self._acceptor = None
            wake.close()
            thread.join()

    def _cut(self) -> None:
        with self._lock:
            clients = dict(self._clients)
        for client in clients:
            client.cut()
        # A caller's own fault can be stuck; its thread is a daemon, so the process still ends.
        deadline = time.monotonic() + 5
        for thread in clients.values():
            thread.join(timeout=max(0.0, deadline - time.monotonic()))

    def _accept(self, listener: socket.socket, wake: socket.socket) -> None:
        with wake, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(wake, selectors.EVENT_READ)
            while wake not in [key.fileobj for key, _ in selector.select()]:
                try:
                    sock, _ = listener.accept()
                except BlockingIOError:
                    continue
                except OSError:  # the client left before it was accepted, or descriptors have run out
                    time.sleep(0.01)
                    continue
                client = _Client(sock)
                thread = threading.Thread(target=self._serve, args=(client,), name="fault-gateway", daemon=True)
                with self._lock:
                    self._clients[client] = thread
                thread.start()

    def _serve(self, client: _Client) -> None:
        try:
            with contextlib.suppress(OSError):  # the client or the gateway is gone
                while self._serve_one(client):
                    pass
                client.finish()
        finally:
            client.close()
            with self._lock:
                self._clients.pop(client, None)

    def _serve_one(self, client: _Client) -> bool:
        try:
            request = client.receive()
        except ValueError:
            client.sock.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            return False
        if request is None:
            return False
        exchange = Exchange(client, request, self._upstream)
        fault = self._choose(request)
        whole = exchange.forward() if fault is None else fault.play(exchange)
        return whole and request.keep_alive

    def _choose(self, request: Received) -> Fault | None:
        with self._lock:
            self._requests.append(request)
            for rule in self._rules:
                if rule.matches(request):
                    rule.hits += 1
                    return rule.fault
        return None


class _Client:
    """An accepted connection, served by its own thread; the gateway may cut it at any moment."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.gone = threading.Event()
        self._lock = threading.Lock()
        self._upstream: socket.socket | None = None
        self._buffer = bytearray()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a dripped byte leaves at once

    def cut(self) -> None:
        """Interrupt whatever the connection's thread is waiting for: a pause, a read, a write, the upstream."""
        self.gone.set()
        with self._lock:  # a closed descriptor's number may be in use again
            for sock in (self.sock, self._upstream):
                if sock is not None:
                    with contextlib.suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            self.sock.close()

    def reset(self) -> None:
        with self._lock:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()

    def finish(self) -> None:
        """Send FIN, and give the client a moment to leave: closing over unread bytes would turn it into RST."""
        if self.sock.fileno() == -1:
            return
        self.sock.shutdown(socket.SHUT_WR)
        self.sock.settimeout(0.5)
        while self.sock.recv(_CHUNK):
            pass

    def receive(self) -> Received | None:
        """Return the next request, or None if the client leaves; raise ValueError if it is not HTTP."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise ValueError("the head is too long")
            if not self._fill():
                return None
        head = self._take(end + 4)[:end].decode("latin-1")
        first, *lines = head.split("\r\n")
        method, target, version = first.split(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError("not HTTP/1")
        headers: Headers = tuple(
            (name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)
        )
        fields = {name.lower(): value for name, value in headers}
        if fields.get("expect", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in fields.get("transfer-encoding", "").lower():
            body = self._chunks()
        else:
            body = self._exactly(int(fields.get("content-length", "0")))
        return None if body is None else Received(method, target, headers, body, time.monotonic(), version)

    def _fill(self) -> bool:
        data = self.sock.recv(_CHUNK)
        self._buffer += data
        return bool(data)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _exactly(self, count: int) -> bytes | None:
        if count < 0:
            raise ValueError("a negative length")
        while len(self._buffer) < count:
            if not self._fill():
                return None
        return self._take(count)

    def _line(self) -> bytes | None:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise ValueError("the line is too long")
            if not self._fill():
                return None
        return self._take(end + 2)[:end]

    def _chunks(self) -> bytes | None:
        body = bytearray()
        while (line := self._line()) is not None:
            size = int(line.partition(b";")[0], 16)
            if size == 0:
                while trailer := self._line():
                    del trailer
                return bytes(body)
            chunk = self._exactly(size + 2)
            if chunk is None:
                break
            body += chunk[:size]
        return None

    def ask(self, upstream: str, request: Received) -> tuple[int, Headers, bytes]:
        """Send the request upstream, on a new connection, so that no stale one is reused."""
        base = urlsplit(upstream)
        connection = http.client.HTTPConnection(base.hostname or "", base.port, timeout=_UPSTREAM_TIMEOUT)
        try:
            connection.connect()
            with self._lock:
                self._upstream = connection.sock
            if self.gone.is_set():
                raise ConnectionAbortedError("the gateway is closing")
            connection.putrequest(
                request.method, base.path.rstrip("/") + request.target, skip_host=True, skip_accept_encoding=True
            )
            framed = request.body or request.header("content-length") or request.header("transfer-encoding")
            for name, value in _end_to_end(request.headers):
                if name.lower() not in {"content-length", "expect"}:
                    connection.putheader(name, value.encode("latin-1"))
            if framed:
                connection.putheader("content-length", str(len(request.body)))
            connection.putheader("connection", "close")
            connection.endheaders(request.body)
            with connection.getresponse() as response:
                body = response.read()
                headers = _end_to_end(tuple(response.headers.items()))
                if request.method != "HEAD":
                    headers = tuple(pair for pair in headers if pair[0].lower() != "content-length")
                return response.status, headers, body
        finally:
            with self._lock:
                self._upstream = None
                connection.close()


# Complete answers with one thing wrong.


@dataclass(frozen=True)
class Answer(Checked):
    """Answer exactly this: bytes unchanged, any other value as compact JSON."""

    body: object
    status: int = 200
    headers: Headers = ()

    def play(self, exchange: Exchange) -> bool:
        body = self.body if isinstance(self.body, bytes) else _json(self.body)
        return exchange.answer(self.status, self.headers, body)


@dataclass(frozen=True)
class Status(Checked):
    """Answer this status, with an empty body by default."""

    code: int
    headers: Headers = ()
    body: bytes = b""

    def play(self, exchange: Exchange) -> bool:
        return exchange.answer(self.code, self.headers, self.body)


@dataclass(frozen=True)
class Unauthorized(Checked):
    """Answer 401: the token is not accepted."""

    body: bytes = b'{"error":"invalid_token"}'

    def play(self, exchange: Exchange) -> bool:
        return exchange.answer(401, (("www-authenticate", "Bearer"),), self.body)


@dataclass(frozen=True)
class Forbidden(Checked):
    """Answer 403: the token does not allow it."""

    body: bytes = b'{"error":"forbidden"}'

    def play(self, exchange: Exchange) -> bool:
        return exchange.answer(403, (), self.body)


@dataclass(frozen=True)
class TooManyRequests(Checked):
    """Answer 429, with Retry-After (seconds, an HTTP date, nonsense) unless it is None."""

    retry_after: str | None = "1"
    body: bytes = b'{"error":"too_many_requests"}'

    def play(self, exchange: Exchange) -> bool:
        headers = () if self.retry_after is None else (("retry-after", self.retry_after),)
        return exchange.answer(429, headers, self.body)


@dataclass(frozen=True)
class Redirect(Checked):
    """Answer a redirect, which nobody should follow."""

    location: str
    status: int = 302

    def play(self, exchange: Exchange) -> bool:
        return exchange.answer(self.status, (("location", self.location),))


@dataclass(frozen=True)
class HTML(Checked):
    """Answer a maintenance page, with any status a load balancer may give it."""

    status: int = 200
    body: bytes = (
        b"<!DOCTYPE html>\n<html><head><title>Maintenance</title></head>"
        b"<body><h1>We will be back soon</h1></body></html>\n"
    )

    def play(self, exchange: Exchange) -> bool:
        return exchange.answer(self.status, (("content-type", "text/html; charset=utf-8"),), self.body)


@dataclass(frozen=True)
class WrongContentType(Checked):
    """Answer a correct body with a wrong content type."""

    body: bytes = b"{}"
    content_type: str = "text/plain"

    def play(self, exchange: Exchange) -> bool:
        return exchange.answer(200, (("content-type", self.content_type),), self.body)


@dataclass(frozen=True)
class DoubledHeader(Checked):
    """Answer with a header that appears twice."""

    name: str = "content-type"
    values: tuple[str, str] = ("application/json", "text/html")
    body: bytes = b"{}"

    def play(self, exchange: Exchange) -> bool:
        return exchange.answer(200, tuple((self.name, value) for value in self.values), self.body)


@dataclass(frozen=True)
class DeepJSON(Checked):
    """Answer valid JSON, nested deeper than recursive parsers can handle."""

    depth: int = 100_000

    def play(self, exchange: Exchange) -> bool:
        return exchange.answer(200, (), b"[" * self.depth + b"]" * self.depth)


@dataclass(frozen=True)
class BadUTF8(Checked):
    """Answer JSON with a string that is not UTF-8."""

    body: bytes = b'{"message":"\xff\xfe\xc3("}'

    def play(self, exchange: Exchange) -> bool:
        return exchange.answer(200, (), self.body)


@dataclass(frozen=True)
class BadGzip(Checked):
    """Answer a body that is declared as gzip and is not."""

    body: bytes = b'{"claims":"to be gzip"}'

    def play(self, exchange: Exchange) -> bool:
        return exchange.answer(200, (("content-encoding", "gzip"),), self.body)


@dataclass(frozen=True)
class GzipBomb(Checked):
    """Answer a gzip body of about a thousandth of `size`, which expands to `size` bytes of valid JSON.

    Since it is valid, only a cap on the expanded bytes can refuse it. It is built on first use and kept.
    """

    size: int = 200_000_000

    def play(self, exchange: Exchange) -> bool:
        with _BOMB_LOCK:  # many clients may ask for the first one at once
            body = _bomb(self.size)
        return exchange.answer(200, (("content-encoding", "gzip"),), body)


@dataclass(frozen=True)
class Oversize(Checked):
    """Answer `size` bytes of valid JSON, uncompressed, as fast as the client reads."""

    size: int = 8_000_000

    def play(self, exchange: Exchange) -> bool:
        exchange.send(_head(exchange.request, 200, _JSON, self.size))
        if exchange.request.method != "HEAD":
            for piece in _padded_json(self.size):
                exchange.send(piece)
        return True


# Incomplete and slow answers.


@dataclass(frozen=True)
class Reset(Checked):
    """Read the whole request, then reset the connection (RST)."""

    def play(self, exchange: Exchange) -> bool:
        exchange.reset()
        return False


@dataclass(frozen=True)
class CloseEarly(Checked):
    """Read the whole request, then close the connection (FIN) without a byte of an answer."""

    def play(self, exchange: Exchange) -> bool:
        return Raw(b"").play(exchange)


@dataclass(frozen=True)
class Hang(Checked):
    """Read the whole request, then stay silent until the client leaves or the gateway closes."""

    def play(self, exchange: Exchange) -> bool:
        exchange.wait_until_left()
        return False


@dataclass(frozen=True)
class DripHeaders(Checked):
    """Answer one byte per `interval` seconds, from the first byte on."""

    interval: float = 0.2
    body: bytes = b"{}"

    def play(self, exchange: Exchange) -> bool:
        return _drip(exchange, _head(exchange.request, 200, _JSON, len(self.body)) + self.body, self.interval)


@dataclass(frozen=True)
class DripBody(Checked):
    """Answer the headers at once, and the body one byte per `interval` seconds."""

    interval: float = 0.2
    body: bytes = b'{"padding":"' + b"." * 500 + b'"}'

    def play(self, exchange: Exchange) -> bool:
        exchange.send(_head(exchange.request, 200, _JSON, len(self.body)))
        return _drip(exchange, self.body, self.interval)


@dataclass(frozen=True)
class Truncate(Checked):
    """Close the connection (FIN) `missing` bytes before the body's declared length."""

    body: bytes = b'{"code":0,"data":{"amount":"1'
    missing: int = 100

    def play(self, exchange: Exchange) -> bool:
        exchange.send(_head(exchange.request, 200, _JSON, len(self.body) + self.missing) + self.body)
        return False


@dataclass(frozen=True)
class Raw(Checked):
    """Send exactly these bytes, then FIN."""

    data: bytes

    def play(self, exchange: Exchange) -> bool:
        exchange.send(self.data)
        return False


@dataclass(frozen=True)
class Delay(Checked):
    """Wait, even if the client gives up, as a slow network does; then forward, or play `then`."""

    seconds: float
    then: Fault | None = None

    def play(self, exchange: Exchange) -> bool:
        if not exchange.pause(self.seconds):
            return False
        return exchange.forward() if self.then is None else self.then.play(exchange)


@dataclass(frozen=True)
class ForwardThen(Checked):
    """Forward the request, so that it takes effect, drop the answer, and play `fault`."""

    fault: Fault

    def play(self, exchange: Exchange) -> bool:
        exchange.fetch()
        return self.fault.play(exchange)


@dataclass(frozen=True)
class LoseAnswer(Checked):
    """Forward the request, so that it takes effect, and reset the connection: the answer is lost."""

    def play(self, exchange: Exchange) -> bool:
        return ForwardThen(Reset()).play(exchange)


_BOMB_LOCK: Final = threading.Lock()


@functools.lru_cache(maxsize=4)
def _bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)  # 31: the gzip format, with a zero timestamp
    return b"".join(packer.compress(piece) for piece in _padded_json(size)) + packer.flush()


def _padded_json(size: int) -> Iterator[bytes]:
    yield b"{}"
    spaces = b" " * 1_000_000
    for start in range(2, size, len(spaces)):
        yield spaces[: size - start]


def _drip(exchange: Exchange, data: bytes, interval: float) -> bool:
    for position in range(len(data)):
        exchange.send(data[position : position + 1])
        if not exchange.pause(interval):
            return False
    return True


def _head(request: Received, status: int, headers: Headers, length: int) -> bytes:
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    names = {name.lower() for name, _ in headers}
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    if not _bodyless(status) and "content-length" not in names:
        lines.append(f"content-length: {length}")
    if not request.keep_alive and "connection" not in names:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _bodyless(status: int) -> bool:
    return status < 200 or status in {204, 304}


def _end_to_end(headers: Headers) -> Headers:
    named = {
        token.strip().lower() for name, value in headers if name.lower() == "connection" for token in value.split(",")
    }
    return tuple(pair for pair in headers if pair[0].lower() not in _HOP_BY_HOP | named)


def _bad_gateway(reason: str) -> tuple[int, Headers, bytes]:
    return 502, (("content-type", "text/plain"),), f"fault gateway: {reason}\n".encode()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
