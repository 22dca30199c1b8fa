"""Test the transport: total deadlines, size caps, no redirects, verified certificates, no use of the environment."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import secrets
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from payments_core import (
    AsyncHTTPTransport,
    ConfigurationError,
    GatewayUnavailable,
    HTTPTransport,
    InvalidRequest,
    OutcomeUnknown,
    PaymentError,
    ProtocolViolation,
    Request,
    Response,
    Secret,
)
from payments_core.body import MAX_BODY_BYTES
from payments_core.testing import faults
from payments_core.testing.faults import FaultGateway
from payments_core.testing.leaks import exception_texts, scan
from payments_core.tls import fresh_ssl_context


@pytest.fixture
def server() -> Iterator[FaultGateway]:
    with FaultGateway() as gateway:
        yield gateway


class Sender:
    """Both transports behind one face."""

    def __init__(self, world: str) -> None:
        self.world = world

    def __call__(self, request: Request, deadline: float = 30.0, **options: Any) -> Response:
        if self.world == "sync":
            transport = HTTPTransport(**options)
            try:
                return transport.send(request, deadline=deadline)
            finally:
                transport.close()

        async def send() -> Response:
            transport = AsyncHTTPTransport(**options)
            try:
                return await transport.send(request, deadline=deadline)
            finally:
                await transport.close()

        return asyncio.run(send())


@pytest.fixture
def send(world: str) -> Sender:
    return Sender(world)


def post(server: FaultGateway, **changes: Any) -> Request:
    return Request(**({"method": "POST", "url": f"{server.url}/x", "body": b"{}"} | changes))


def test_an_answer_comes_back_whole(server: FaultGateway, send: Sender) -> None:
    """Status, headers and body; the request carries what was asked and little else."""
    server.inject(faults.Answer({"a": 1}, status=201, headers=(("X-Id", "7"),)))
    response = send(
        post(server, query=(("q", "a b/ü"), ("s", Secret("x&y"))), headers=(("Authorization", Secret("Bearer t")),))
    )
    assert (response.status, response.header("x-id"), response.body) == (201, "7", b'{"a":1}')
    received = server.requests[0]
    assert received.target == "/x?q=a%20b%2F%C3%BC&s=x%26y"
    assert received.header("authorization") == "Bearer t"
    assert received.header("user-agent") == "payments-core/0.1"
    assert received.header("cookie") is None


@pytest.mark.parametrize("fault", [faults.DripHeaders(interval=0.05), faults.DripBody(interval=0.05), faults.Hang()])
def test_the_deadline_is_total(server: FaultGateway, send: Sender, fault: Any) -> None:
    """A byte every 50 ms keeps other clients waiting for as long as the server likes."""
    server.inject(fault)
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        send(post(server), deadline=1.0)
    assert 0.9 < time.monotonic() - began < 6


def test_unreachable_host_counts_as_not_sent(send: Sender) -> None:
    """Refused, and unknown to the resolver."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(GatewayUnavailable):
            send(Request("GET", f"http://127.0.0.1:{held.getsockname()[1]}/"))
    with pytest.raises(GatewayUnavailable):
        send(Request("GET", "http://name.invalid/"))


def test_a_host_that_swallows_connections_ends_by_the_deadline(send: Sender) -> None:
    """Never connected, so never sent."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = []
        for _ in range(8):
            each = socket.socket()
            each.setblocking(False)
            each.connect_ex(address)
            waiting.append(each)
        began = time.monotonic()
        with pytest.raises(GatewayUnavailable):
            send(Request("GET", f"http://127.0.0.1:{address[1]}/"), deadline=0.5)
        assert time.monotonic() - began < 6
        for each in waiting:
            each.close()


@pytest.mark.parametrize(
    "fault",
    [
        faults.Reset(),
        faults.CloseEarly(),
        faults.Truncate(),
        faults.Raw(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"),
        faults.Raw(b"\x16\x03\x01garbage\r\n\r\n"),
    ],
)
def test_a_connection_that_breaks_leaves_the_outcome_unknown(server: FaultGateway, send: Sender, fault: Any) -> None:
    """The request was sent."""
    server.inject(fault)
    with pytest.raises(OutcomeUnknown):
        send(post(server))


@pytest.mark.parametrize("fault", [faults.GzipBomb(), faults.Oversize(), faults.BadGzip()])
def test_bodies_are_capped_before_and_after_decompression(server: FaultGateway, send: Sender, fault: Any) -> None:
    """An answer that is too much to read is not read."""
    server.inject(fault)
    with pytest.raises(ProtocolViolation):
        send(post(server))


@pytest.mark.parametrize("size", [MAX_BODY_BYTES, MAX_BODY_BYTES + 1])
@pytest.mark.parametrize("packed", [False, True])
def test_the_cap_is_exact(server: FaultGateway, send: Sender, size: int, packed: bool) -> None:
    """One byte more is too much, compressed or not."""
    body = b"x" * size
    headers = (("content-encoding", "gzip"),) if packed else ()
    server.inject(faults.Status(200, headers, gzip.compress(body) if packed else body))
    if size > MAX_BODY_BYTES:
        with pytest.raises(ProtocolViolation):
            send(post(server))
    else:
        assert len(send(post(server)).body) == size


def test_known_encodings_are_read_and_others_are_not(server: FaultGateway, send: Sender) -> None:
    """gzip and deflate; a truncated stream is damaged, a second layer was not asked for."""
    for name, packed in (
        ("gzip", gzip.compress(b"plain")),
        ("deflate", zlib.compress(b"plain")),
        ("identity", b"plain"),
    ):
        rule = server.inject(faults.Status(200, (("Content-Encoding", name),), packed))
        assert send(post(server)).body == b"plain"
        rule.remove()
    for headers, body in (
        ((("content-encoding", "br"),), b"x"),
        ((("content-encoding", "gzip, gzip"),), b"x"),
        ((("content-encoding", "gzip"),), gzip.compress(b"plain")[:-5]),
    ):
        rule = server.inject(faults.Status(200, headers, body))
        with pytest.raises(ProtocolViolation):
            send(post(server))
        rule.remove()


def test_a_status_beyond_all_is_an_error_of_the_server(server: FaultGateway, send: Sender) -> None:
    """The standard says how it is to be read."""
    server.inject(faults.Raw(b"HTTP/1.1 799 Odd\r\ncontent-length: 0\r\n\r\n"))
    assert send(post(server)).status == 599


def test_a_redirect_is_an_answer_and_not_a_way(server: FaultGateway, send: Sender) -> None:
    """Following one would carry the token to wherever it points."""
    server.inject(faults.Redirect(f"{server.url}/elsewhere"))
    assert send(post(server)).status == 302
    assert len(server.requests) == 1


def test_the_environment_is_not_looked_at(server: FaultGateway, send: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment would see every secret."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.inject(faults.Answer(b"{}"))
    assert send(post(server)).status == 200


def test_a_proxy_that_is_given_is_used(server: FaultGateway, send: Sender) -> None:
    """And one that cannot be reached means that nothing was sent."""
    server.inject(faults.Answer(b"{}"))
    request = Request("GET", "http://name.invalid/y")
    assert send(request, proxy=server.url).status == 200
    assert server.requests[0].target == "http://name.invalid/y"
    with pytest.raises(GatewayUnavailable):
        send(request, proxy="http://127.0.0.1:9")
    with pytest.raises(ConfigurationError) as caught:
        send(request, proxy="user:canary@nowhere")
    assert "canary" not in str(caught.value)


def test_certificates_are_always_verified(send: Sender, tmp_path: Any) -> None:
    """There is no switch to turn that off."""
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    unchecked = ssl.create_default_context()
    unchecked.check_hostname = False
    for verify in (False, 5, lax, unchecked):
        with pytest.raises(ConfigurationError):
            send(Request("GET", "https://127.0.0.1:9/"), verify=verify)


def test_a_fault_holds_no_secret_and_no_exception_of_httpx(server: FaultGateway, send: Sender) -> None:
    """httpx's own exception holds the whole request."""
    canary = secrets.token_hex(16)  # not a literal, which a traceback would quote from this file
    for fault in (faults.Reset(), faults.Hang(), faults.BadGzip(), faults.Truncate()):
        rule = server.inject(fault)
        with pytest.raises(PaymentError) as caught:
            send(post(server, query=(("s", Secret(canary)),), headers=(("a", Secret(canary)),)), deadline=0.3)
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert scan(exception_texts(caught.value), {"canary": canary}) == []
        rule.remove()


def asking(server: FaultGateway, path: str = "/x") -> Request:
    return Request("GET", f"{server.url}{path}", safe=True)


def test_cancelled_callers_wear_nothing_out(server: FaultGateway) -> None:
    """Cancelled at any moment, thousands of times: connections and places in the pools all come back."""
    server.inject(faults.Delay(0.01, then=faults.Answer(b"{}")))

    async def scene() -> None:
        transport = AsyncHTTPTransport()
        chance = random.Random(7)
        loop = asyncio.get_running_loop()
        for _ in range(25):
            tasks = [asyncio.create_task(transport.send(asking(server), deadline=5)) for _ in range(80)]
            for task in tasks:
                loop.call_later(chance.random() * 0.05, task.cancel)
            await asyncio.gather(*tasks, return_exceptions=True)
        answers = await asyncio.gather(*(transport.send(asking(server), deadline=5) for _ in range(200)))
        assert {answer.status for answer in answers} == {200}
        await asyncio.sleep(0.1)
        (mine,) = transport._loops.values()
        assert mine.tasks == set()
        assert sum(pool.busy for pool in mine.pools._pools) == 0
        await transport.close()

    asyncio.run(scene())


def test_closing_ends_what_cancelled_callers_left_behind(server: FaultGateway) -> None:
    """At once, not at their deadline, and without a word in the log."""
    server.inject(faults.Hang())

    async def scene() -> None:
        transport = AsyncHTTPTransport()
        task = asyncio.create_task(transport.send(asking(server), deadline=30))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.wait_for(transport.close(), 5)

    asyncio.run(scene())


def test_a_call_whose_transport_is_closed_raises_an_error_and_is_not_cancelled(server: FaultGateway) -> None:
    """A task group would take a cancellation for a quiet end, and the create may have been accepted."""
    server.inject(faults.Hang())

    async def scene() -> None:
        transport = AsyncHTTPTransport()
        call = asyncio.create_task(transport.send(asking(server), deadline=30))
        await asyncio.sleep(0.2)
        await asyncio.wait_for(transport.close(), 5)
        with pytest.raises(OutcomeUnknown, match="closed"):
            await call

    asyncio.run(scene())


def test_a_call_that_waits_for_a_slot_sends_nothing_once_the_transport_is_closed(server: FaultGateway) -> None:
    server.inject(faults.Hang())

    async def scene() -> None:
        transport = AsyncHTTPTransport()
        calls = [asyncio.create_task(transport.send(asking(server), deadline=30)) for _ in range(103)]
        await asyncio.sleep(0.5)
        await asyncio.wait_for(transport.close(), 5)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in outcomes[100:]} == {GatewayUnavailable}

    asyncio.run(scene())


def test_an_exchange_that_is_cancelled_before_its_first_step_keeps_no_slot(server: FaultGateway) -> None:
    """By a program that cancels all of its tasks, and goes on."""

    async def scene() -> None:
        transport = AsyncHTTPTransport()
        call = asyncio.create_task(transport.send(asking(server), deadline=30))
        await asyncio.sleep(0)
        everything = asyncio.all_tasks() - {asyncio.current_task()}
        for task in everything:
            task.cancel()
        await asyncio.gather(*everything, return_exceptions=True)
        await asyncio.sleep(0)
        assert call.cancelled()
        (mine,) = transport._loops.values()
        assert (mine.slots._value, mine.tasks) == (100, set())
        await transport.close()

    asyncio.run(scene())


class Smuggling(threading.Thread):
    """A gateway whose first connection brings one answer too many, and stays open."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = 0

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self.serve, args=(client, self.connections), daemon=True).start()

    def serve(self, client: socket.socket, number: int) -> None:
        with client, contextlib.suppress(OSError):
            while client.recv(65536):
                body = b"GENUINE" if number > 1 else b"FIRST"
                extra = b"" if number > 1 else b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nSMUGGLED"
                client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body) + extra)


def test_bytes_behind_an_answer_are_never_the_next_answer(world: str) -> None:
    """Its connection is not used again; one on which nothing more came is."""
    server = Smuggling()
    server.start()
    request = Request("GET", f"{server.url}/x")

    def sync() -> list[bytes]:
        transport = HTTPTransport()
        bodies = [transport.send(request, deadline=5).body for _ in range(4)]
        transport.close()
        return bodies

    async def unsync() -> list[bytes]:
        transport = AsyncHTTPTransport()
        bodies = [(await transport.send(request, deadline=5)).body for _ in range(4)]
        await transport.close()
        return bodies

    bodies = sync() if world == "sync" else asyncio.run(unsync())
    server.listener.close()
    assert bodies == [b"FIRST", b"GENUINE", b"GENUINE", b"GENUINE"]
    assert server.connections == 2


UNSENDABLE: dict[str, Any] = {
    "a host with an empty label": {"url": "https://a..b/x"},
    "a host with a long label": {"url": f"https://{'a' * 64}.example/x"},
    "a header beyond latin-1": {"headers": (("a", "\u8336"),)},
    "a header of latin-1": {"headers": (("a", "\xe9"),)},
}


@pytest.mark.parametrize("changes", UNSENDABLE.values(), ids=UNSENDABLE)
def test_what_could_not_be_sent_is_not_unknown(server: FaultGateway, send: Sender, changes: Any) -> None:
    """A misspelt address must not strand every order."""
    with pytest.raises((GatewayUnavailable, InvalidRequest)):
        send(post(server, **changes))
    assert server.requests == []


def test_an_endless_deadline_is_a_long_one(server: FaultGateway, send: Sender) -> None:
    """The operating system's clocks end somewhere."""
    server.inject(faults.Answer(b"{}"))
    assert send(post(server), deadline=1e10).status == 200


@pytest.mark.parametrize(
    "options",
    [
        {"verify": "/nonexistent/ca.pem"},
        {"cert": "/nonexistent/cert.pem"},
        {"proxy": "socks5://127.0.0.1:1"},
        {"proxy": 5},
    ],
)
def test_what_a_transport_is_made_from_is_checked(send: Sender, options: Any) -> None:
    """By a typed error, before the first call."""
    with pytest.raises(ConfigurationError):
        send(Request("GET", "http://127.0.0.1:9/"), **options)


def test_the_key_log_of_the_environment_is_not_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """It would hold the keys of every connection."""
    logging_keys = ssl.create_default_context()
    logging_keys.keylog_filename = str(tmp_path / "keys.log")  # what SSLKEYLOGFILE does
    monkeypatch.setattr("httpx.create_ssl_context", lambda **_: logging_keys)
    assert fresh_ssl_context(None).keylog_filename is None


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_carries_no_frame_of_httpx(
    server: FaultGateway, interruption: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Error reporters that record the locals of frames would record the revealed request."""

    def interrupted(self: Any, request: Any) -> Any:
        raise interruption

    monkeypatch.setattr("httpx.HTTPTransport.handle_request", interrupted)
    canary = secrets.token_hex(16)
    transport = HTTPTransport()
    with pytest.raises(interruption) as caught:
        transport.send(post(server, query=(("s", Secret(canary)),)), deadline=5)
    assert scan(exception_texts(caught.value, without=[__file__]), {"canary": canary}) == []
    transport.close()


def test_a_timeout_around_a_call_carries_no_frame_of_httpx(server: FaultGateway) -> None:
    """The token call, with its secret in the query, is where it would show."""
    server.inject(faults.Hang())
    canary = secrets.token_hex(16)

    async def scene() -> None:
        transport = AsyncHTTPTransport()
        try:
            async with asyncio.timeout(0.2):
                await transport.send(post(server, query=(("s", Secret(canary)),)), deadline=5)
        finally:
            await transport.close()

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(scene())
    assert scan(exception_texts(caught.value, without=[__file__]), {"canary": canary}) == []
