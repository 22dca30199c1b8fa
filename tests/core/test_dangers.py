"""Test traps of real processes: dead addresses, traces, proxies, floods of small chunks, echoes and observers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from payments_core import (
    Accepted,
    AsyncGateway,
    AsyncHTTPTransport,
    Channel,
    Charge,
    ChargeRequest,
    ConfigurationError,
    Gateway,
    GatewayUnavailable,
    HTTPTransport,
    InvalidRequest,
    Method,
    Mismatch,
    Money,
    Notification,
    OutcomeUnknown,
    PaymentError,
    PaymentStatus,
    ProtocolViolation,
    ProviderInfo,
    Reference,
    Refund,
    RefundStatus,
    Rejected,
    Request,
    Response,
    Secret,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    hookimpl,
)
from payments_core.testing import faults
from payments_core.testing.faults import FaultGateway

HKD = Money.of("88.00", "HKD")
ORDER = ChargeRequest("P1", HKD, "tea")


def send(world: str, request: Request, **options: Any) -> Response:
    """Send a request with that world's transport, then close it."""
    if world == "sync":
        transport = HTTPTransport(**options)
        try:
            return transport.send(request, deadline=60)
        finally:
            transport.close()

    async def scene() -> Response:
        transport = AsyncHTTPTransport(**options)
        try:
            return await transport.send(request, deadline=60)
        finally:
            await transport.close()

    return asyncio.run(scene())


# -- addresses --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def swallowing(address: str, port: int) -> Iterator[None]:
    """Listen with a full backlog: clients wait for an answer that never comes."""
    with contextlib.ExitStack() as stack:
        hole = stack.enter_context(socket.create_server((address, port), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(hole.getsockname())
        yield


@pytest.mark.linux
@pytest.mark.parametrize("dead", [1, 3])
def test_dead_addresses_leave_time_for_the_living_one(world: str, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name has several addresses, as AAAA and A are; the first ones swallow what they are sent."""
    with FaultGateway() as server, contextlib.ExitStack() as stack:
        server.inject(faults.Answer(b"{}"))
        port = int(server.url.rpartition(":")[2])
        holes = [f"127.0.0.{number + 2}" for number in range(dead)]
        for each in holes:
            stack.enter_context(swallowing(each, port))
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in (*holes, "127.0.0.1")]
        lookup = socket.getaddrinfo

        def several(host: Any, *args: Any, **options: Any) -> Any:
            return found if host in {"gateway.test", b"gateway.test"} else lookup(host, *args, **options)

        monkeypatch.setattr(socket, "getaddrinfo", several)
        request = Request("GET", f"http://gateway.test:{port}/x")
        if world == "sync":
            transport = HTTPTransport()
            assert transport.send(request, deadline=8).status == 200
            transport.close()
        else:

            async def scene() -> int:
                transport = AsyncHTTPTransport()
                answer = await transport.send(request, deadline=8)
                await transport.close()
                return answer.status

            assert asyncio.run(scene()) == 200


# -- traces -----------------------------------------------------------------------------------------------------------


def test_whoever_instruments_httpx_sees_no_secret_of_the_query(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenTelemetry's instrumentation does, which puts the URL into a span; the gateway is sent the secret."""
    seen: list[str] = []
    handle, handle_async = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request

    def traced(transport: Any, request: Any) -> Any:
        seen.append(f"{request.url} {request.url.raw_path!r} {request!r}")
        return handle(transport, request)

    async def traced_async(transport: Any, request: Any) -> Any:
        seen.append(f"{request.url} {request.url.raw_path!r} {request!r}")
        return await handle_async(transport, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", traced)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", traced_async)
    secret = f"s&e=c r/e+t{secrets.token_hex(8)}"
    with FaultGateway() as server:
        server.inject(faults.Answer(b"{}"))
        query = (("uid", "39172931"), ("client_secret", Secret(secret)), ("plain", "a*b c"))
        request = Request("GET", f"{server.url}/auth", query=query)
        send(world, request)
        assert server.requests[0].parameters == [("uid", "39172931"), ("client_secret", secret), ("plain", "a*b c")]
        assert server.requests[0].target == request.target
    assert len(seen) == 1
    assert "uid=39172931&client_secret=MASKED&plain=" in seen[0]
    assert secret[-16:] not in seen[0]


# -- proxies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [HTTPTransport, AsyncHTTPTransport])
def test_a_proxy_that_speaks_tls_itself_is_refused(kind: type) -> None:
    """Neither the deadline nor the trusted certificates would hold for that connection."""
    password = secrets.token_hex(8)
    with pytest.raises(ConfigurationError) as caught:
        kind(f"https://user:{password}@proxy.internal:3129")
    assert "http URL" in caught.value.message
    assert password not in caught.value.message
    assert not [name for name, text in locals_of_ours(caught.value) if password in text]


class RefusingProxy(threading.Thread):
    """A proxy that wants other credentials, or does not let anybody through."""

    def __init__(self, status: bytes) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.status = status
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with connection:
                    connection.settimeout(10)
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 " + self.status + b"\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("status", "words"),
    [(b"407 Proxy Authentication Required", "credentials"), (b"403 Forbidden", "refuses to connect")],
)
def test_a_proxy_that_refuses_is_named(world: str, status: bytes, words: str) -> None:
    """It reads neither as a gateway that is out of reach, nor as one that may have accepted."""
    proxy = RefusingProxy(status)
    url = f"http://127.0.0.1:{proxy.listener.getsockname()[1]}"
    request = Request("POST", "https://gateway.invalid/create")
    with pytest.raises(GatewayUnavailable) as caught:
        send(world, request, proxy=url)
    proxy.listener.close()
    assert "proxy" in caught.value.message
    assert words in caught.value.message


# -- floods of pieces ------------------------------------------------------------------------------


def chunked(pieces: int) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"1\r\nx\r\n" * pieces + b"0\r\n\r\n"


def test_an_answer_in_one_byte_pieces_never_stalls_the_loop() -> None:
    """Ten thousand of them are parsed with pauses in which other tasks go on."""
    with FaultGateway() as server:
        server.inject(faults.Raw(chunked(10_000)))

        async def scene() -> tuple[int, int]:
            turns = 0
            ended = asyncio.Event()

            async def other() -> None:
                nonlocal turns
                while not ended.is_set():
                    turns += 1
                    await asyncio.sleep(0)

            beside = asyncio.create_task(other())
            transport = AsyncHTTPTransport()
            await transport.send(Request("GET", f"{server.url}/warm"), deadline=60)
            turns = 0
            answer = await transport.send(Request("GET", f"{server.url}/x"), deadline=60)
            ended.set()
            await beside
            await transport.close()
            return len(answer.body), turns

        length, turns = asyncio.run(scene())
    assert length == 10_000
    assert turns > 60_000 // 4096  # at least one turn for each read, however fast the bytes arrive


def test_an_answer_in_too_many_pieces_is_not_read_to_its_end(world: str) -> None:
    """A megabyte of one-byte pieces would cost many seconds of a processor."""
    with FaultGateway() as server:
        server.inject(faults.Raw(chunked(200_000)))
        with pytest.raises(ProtocolViolation, match="pieces"):
            send(world, Request("GET", f"{server.url}/x"))


# -- a provider for the rest -----------------------------------------------------------------------


class Config(msgspec.Struct):
    api_key: Secret
    base_url: str = "https://gateway.example"


class Plain:
    """A provider whose gateway answers what the test says."""

    config_type = Config
    info = ProviderInfo(
        id="plain",
        title="Plain",
        operations=frozenset({"refund_charge"}),
        currencies=frozenset({"HKD"}),
        methods=(Method("only", "Only"),),
        channels=frozenset({Channel.WEB}),
        raw_statuses={},
        authoritative_webhooks=True,
    )
    answer: Any = staticmethod(lambda response: None)
    event: Any = staticmethod(lambda: None)

    def __init__(self, config: Config) -> None:
        pass

    @hookimpl
    def create_charge(self, request: ChargeRequest) -> Any:
        response = yield Request("POST", "/create")
        made = self.answer(response)
        return charge() if made is None else made

    @hookimpl
    def refund_charge(self) -> Any:
        yield Request("POST", "/refund")
        return Refund("plain", "R1", "R1", None, RefundStatus.SUCCEEDED, "paid", HKD)

    @hookimpl
    def get_status(self, reference: Reference) -> Any:
        response = yield Request("GET", "/status", safe=True)
        made = self.answer(response)
        return charge() if made is None else made

    @hookimpl
    def parse_webhook(self, delivery: WebhookDelivery) -> Notification:
        return Notification((self.event(),))


def charge(**changes: Any) -> Charge:
    values: dict[str, Any] = {
        "provider": "plain",
        "reference": Reference("P1", "C1"),
        "status": PaymentStatus.SUCCEEDED,
        "raw_status": "paid",
        "amount": HKD,
    }
    return Charge(**(values | changes))


def open_plain(opening: Any, install: Any, *, name: str = "plain", answer: Any = None, **options: Any) -> Any:
    install("plain", type("Here", (Plain,), {"answer": staticmethod(answer or Plain.answer)}))
    settings = {"provider": "plain", "api_key": "canary-of-the-dangers"}
    return opening(name, settings, transport=lambda _: Response(200), **options)


# -- echoes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["create_charge", "get_status"])
@pytest.mark.parametrize("kind", [Rejected, ProtocolViolation, ValueError, KeyError])
def test_an_echoed_secret_is_in_no_frame_of_ours(opening: Any, install: Any, call: str, kind: Any) -> None:
    """An error reporter keeps the locals of every frame; the gateway's words may hold our key."""

    def echo(response: Response) -> Any:
        raise kind("you sent canary-of-the-dangers")

    gateway = open_plain(opening, install, answer=echo)
    with pytest.raises(PaymentError) as caught:
        gateway.create_charge(ORDER) if call == "create_charge" else gateway.get_status(Reference("P1"))
    shown = locals_of_ours(caught.value)
    assert len(shown) > 10
    assert not [name for name, text in shown if "canary" in text]


def locals_of_ours(error: BaseException) -> list[tuple[str, str]]:
    """Return the locals of every frame of payments_core that led to an error, as text."""
    found, place = [], error.__traceback__
    while place is not None:
        if f"{os.sep}payments_core{os.sep}" in place.tb_frame.f_code.co_filename:
            found += [(name, _shown(value)) for name, value in place.tb_frame.f_locals.items()]
        place = place.tb_next
    return found


def _shown(value: object) -> str:
    inside = [repr(each) for each in getattr(value, "__dict__", {}).values()] if not isinstance(value, type) else []
    args = repr(getattr(value, "args", ""))
    return " ".join([repr(value), args, *inside])


# -- observers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("raised", [MemoryError, KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_nothing_that_an_observer_raises_comes_out_of_a_call(
    opening: Any, install: Any, raised: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """The charge was made, and its caller must learn of it."""

    class Watching:
        @hookimpl
        def charge_observed(self, charge: Charge) -> None:
            raise raised

        @hookimpl
        def exchange_finished(self, exchange: Any) -> None:
            raise raised

        @hookimpl
        def operation_finished(self, operation: Any) -> None:
            raise raised

    gateway = open_plain(opening, install, plugins=[Watching()], name="kowloon")
    assert gateway.create_charge(ORDER).reference == Reference("P1", "C1")
    lines = [each for each in caplog.records if each.name == "payments_core.plugins"]
    assert len(lines) == 3
    assert all((each.gateway, each.order_id) == ("kowloon", "P1") for each in lines)  # type: ignore[attr-defined]


def test_records_name_the_gateway_and_the_order(opening: Any, install: Any) -> None:
    """Two accounts of one provider are told apart in metrics and audits."""
    seen: list[Any] = []

    class Watching:
        @hookimpl
        def operation_finished(self, operation: Any) -> None:
            seen.append(operation)

        @hookimpl
        def exchange_finished(self, exchange: Any) -> None:
            seen.append(exchange)

        @hookimpl
        def webhook_rejected(self, gateway: str, provider: str) -> None:
            seen.append((gateway, provider))

    gateway = open_plain(opening, install, plugins=[Watching()], name="kowloon")
    gateway.create_charge(ORDER)
    assert [(each.gateway, each.provider, each.order_id) for each in seen] == [("kowloon", "plain", "P1")] * 2
    seen.clear()
    with pytest.raises(PaymentError) as caught:
        gateway.parse_webhook(WebhookDelivery(b"x" * 300_000, ()))
    assert (caught.value.gateway, caught.value.accepted) == ("kowloon", Accepted.UNKNOWN)
    assert ("kowloon", "plain") in seen


# -- events and charges ----------------------------------------------------------------------------


def event(**changes: Any) -> WebhookEvent:
    return msgspec.structs.replace(
        WebhookEvent("plain", Subject.CHARGE, "paid", Reference("P1", "C1"), "1", charge=charge()), **changes
    )


@pytest.fixture
def delivered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the event that the next delivery carries."""

    def set_(made: WebhookEvent) -> WebhookDelivery:
        monkeypatch.setattr(Plain, "event", staticmethod(lambda: made))
        return WebhookDelivery(b"{}", ())

    return set_


def test_another_gateway_s_event_is_refused_and_nothing_is_asked(opening: Any, install: Any, delivered: Any) -> None:
    """The test account's event must not pay a live order."""
    test = open_plain(opening, install, name="test")
    live = open_plain(opening, install, name="live")
    (found,) = test.parse_webhook(delivered(event())).events
    assert (found.gateway, found.charge.gateway) == ("test", "test")
    with pytest.raises(InvalidRequest, match="gateway test"):
        live.confirm_event(found, "P1", HKD)
    hint = msgspec.structs.replace(found, charge=None)
    with pytest.raises(InvalidRequest, match="gateway test"):
        live.confirm_event(hint, "P1", HKD)
    assert live.script.requests == []
    assert test.confirm_event(found, "P1", HKD).is_paid
    assert len(test.script.requests) == 1


@pytest.mark.parametrize("subject", [Subject.REFUND, Subject.DISPUTE, Subject.OTHER])
def test_only_an_event_about_a_charge_confirms_one(
    opening: Any, install: Any, delivered: Any, subject: Subject
) -> None:
    """A refund's event would confirm what was given back."""
    gateway = open_plain(opening, install)
    (found,) = gateway.parse_webhook(delivered(event(charge=None, subject=subject))).events
    with pytest.raises(InvalidRequest, match=str(subject)):
        gateway.confirm_event(found, "P1", HKD)
    assert gateway.script.requests == []


@pytest.mark.parametrize(("age", "asked"), [(0, 0), (299, 0), (301, 1), (86_400, 1), (-299, 0), (-301, 1)])
def test_an_old_event_is_asked_about(
    opening: Any, install: Any, delivered: Any, clock: Any, age: float, asked: int
) -> None:
    """The charge may have been refunded or disputed since it was parsed."""
    gateway = open_plain(opening, install, clock=clock)
    (found,) = gateway.parse_webhook(delivered(event(occurred_at=clock.now()))).events
    clock.time += timedelta(seconds=age)
    gateway.confirm_event(found, "P1", HKD)
    assert len(gateway.script.requests) == asked


@pytest.mark.parametrize(("age", "asked"), [(0, 0), (299, 0), (301, 1), (259_200, 1), (None, 1)])
def test_an_event_that_arrives_late_is_asked_about(
    opening: Any, install: Any, delivered: Any, clock: Any, age: float | None, asked: int
) -> None:
    """A delivery that is tried again after days is signed anew, and tells what was true then."""
    gateway = open_plain(opening, install, clock=clock)
    occurred_at = None if age is None else clock.now() - timedelta(seconds=age)
    (found,) = gateway.parse_webhook(delivered(event(occurred_at=occurred_at))).events
    gateway.confirm_event(found, "P1", HKD)
    assert len(gateway.script.requests) == asked


def test_an_event_that_no_gateway_has_stamped_is_asked_about(opening: Any, install: Any) -> None:
    """It was made by hand, or stored by a release that did not know."""
    gateway = open_plain(opening, install)
    gateway.confirm_event(event(), "P1", HKD)
    gateway.confirm_event(event(gateway="plain"), "P1", HKD)
    gateway.confirm_event(event(received_at=datetime.now(UTC)), "P1", HKD)
    assert len(gateway.script.requests) == 3


def test_a_status_of_an_id_from_a_return_url_pays_nothing(opening: Any, install: Any) -> None:
    """The shopper chooses that id: it can be a cheaper charge's."""
    gateway = open_plain(opening, install)
    found = gateway.get_status(Reference(provider_id="C1"))
    with pytest.raises(InvalidRequest, match="confirm"):
        _ = found.is_paid
    assert found.require("P1", HKD).is_paid
    assert gateway.confirm("P1", HKD).is_paid


def test_no_call_answers_a_truth_value(opening: Any, install: Any) -> None:
    """`if gateway.confirm(...):` would ship unpaid goods."""
    gateway = open_plain(opening, install)
    with pytest.raises(TypeError, match="is_paid"):
        bool(gateway.confirm("P1", HKD))
    with pytest.raises(TypeError, match="status"):
        bool(Refund("plain", "R1", "R1", None, RefundStatus.SUCCEEDED, "paid", HKD))


@pytest.mark.parametrize(
    ("changes", "paid"),
    [
        ({}, True),
        ({"refunded": Money.of("87.99", "HKD")}, True),
        ({"refunded": HKD}, False),
        ({"disputed": HKD}, False),
        ({"disputed": Money.of("10", "HKD"), "refunded": Money.of("78", "HKD")}, False),
        ({"disputed": Money.of("0", "HKD"), "refunded": Money.of("0", "HKD")}, True),
        ({"refunded": Money.of("1", "USD")}, False),
    ],
)
def test_what_was_given_back_or_disputed_is_not_paid(changes: Any, paid: bool) -> None:
    """Once it is the whole; a part of it leaves the order paid."""
    assert charge(**changes).require("P1", HKD).is_paid is paid


@pytest.mark.parametrize(("ours", "theirs"), [(True, False), (False, True)])
def test_test_money_never_pays_a_live_order(opening: Any, install: Any, ours: bool, theirs: bool) -> None:
    """Nor real money a test's: the answer is about another account's mode."""
    info = msgspec.structs.replace(Plain.info, moves_money=ours)
    install(
        "plain", type("Moded", (Plain,), {"info": info, "answer": staticmethod(lambda _: charge(moves_money=theirs))})
    )
    gateway = opening("plain", {"api_key": "k" * 12}, transport=lambda _: Response(200))
    assert gateway.moves_money is ours
    with pytest.raises(Mismatch) as caught:
        gateway.confirm("P1", HKD)
    assert caught.value.field == "moves_money"
    with pytest.raises(OutcomeUnknown):
        gateway.create_charge(ORDER)


def test_a_gateway_of_this_machine_moves_no_money_and_says_so(
    opening: Any, install: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever its provider says: a shop in production must see it in its log."""
    install("plain", Plain)
    settings = {"api_key": "k" * 12, "base_url": "http://127.0.0.1:9"}
    gateway = opening("plain", settings, transport=lambda _: Response(200))
    assert gateway.moves_money is False
    (line,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "no money moves" in line.getMessage()
    assert line.gateway == "plain"  # type: ignore[attr-defined]
    assert gateway.confirm("P1", HKD).moves_money is False
    caplog.clear()
    assert open_plain(opening, install).confirm("P1", HKD).moves_money is None
    assert caplog.records == []


def test_a_plugin_cannot_say_that_its_charge_was_compared(opening: Any, install: Any) -> None:
    """Only the core compares."""
    gateway = open_plain(opening, install, answer=lambda _: charge(matched=True, gateway="other"))
    found = gateway.get_status(Reference("P1"))
    assert (found.matched, found.gateway) == (False, "plain")


def test_an_error_of_opening_names_the_gateway(world: str) -> None:
    """Also where it is opened on first use, far from its name."""
    kind = Gateway if world == "sync" else AsyncGateway
    with pytest.raises(PaymentError) as caught:
        kind.open("kowloon", {"provider": "nobody_has_this"})
    assert caught.value.gateway == "kowloon"
