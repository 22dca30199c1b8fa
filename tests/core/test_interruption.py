"""Cancel and interrupt calls: once a call has ended, nothing more leaves the process."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpcore
import msgspec
import pytest

from payments_core import (
    Accepted,
    AsyncGateway,
    AsyncHTTPTransport,
    Authorization,
    Channel,
    Charge,
    ChargeRequest,
    Gateway,
    GatewayUnavailable,
    HTTPTransport,
    Method,
    Money,
    OutcomeUnknown,
    PaymentError,
    PaymentStatus,
    ProviderContractError,
    ProviderInfo,
    Reference,
    Request,
    Response,
    Secret,
    engine,
    hookimpl,
    network,
)
from payments_core.authorization import AuthorizationCache
from payments_core.testing import faults
from payments_core.testing.faults import FaultGateway

HERE = Path(__file__).parent
HKD = Money.of("88.00", "HKD")
ORDER = ChargeRequest("P1", HKD, "tea")
ANSWER = faults.Answer(b"{}", headers=(("content-type", "application/json"),))


class Config(msgspec.Struct):
    base_url: str


class Plain:
    """A provider with a token, whose create is one request that has no key."""

    config_type = Config
    info = ProviderInfo(
        id="plain",
        title="Plain",
        currencies=frozenset({"HKD"}),
        methods=(Method("only", "Only"),),
        channels=frozenset({Channel.WEB}),
        raw_statuses={},
        key_lifetime=3600,
    )
    idempotent = False
    step: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, config: Config) -> None:
        pass

    @hookimpl
    def authorize(self) -> Any:
        yield Request("POST", "/token", safe=True)
        return Authorization(Secret("token-1"), expires_in=3600)

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Any:
        self.step()
        yield Request("POST", "/create", body=b"{}", idempotent=self.idempotent)
        self.step()
        return self._charge(request.order_id)

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Any:
        yield Request("GET", "/status", safe=True)
        return self._charge(reference.order_id)

    @hookimpl
    def read_request_id(self) -> str:
        self.step()
        return ""

    def _charge(self, order_id: str) -> Charge:
        return Charge(self.info.id, Reference(order_id, "C1"), PaymentStatus.PENDING, "PENDING", HKD)


class Watching:
    """A platform's observer, in which a signal can come too."""

    @hookimpl
    def exchange_finished(self) -> None:
        Plain.step()


@pytest.fixture
def server() -> Iterator[FaultGateway]:
    with FaultGateway() as gateway:
        for path in ("/token", "/create", "/now", "/x"):
            gateway.inject(ANSWER, path=path)
        yield gateway


@pytest.fixture(autouse=True)
def installed(install: Any) -> None:
    install("plain", Plain)
    install("keyed", type("Keyed", (Plain,), {"idempotent": True, "info": _named("keyed")}))


def _named(name: str) -> ProviderInfo:
    return msgspec.structs.replace(Plain.info, id=name)


class Wire:
    """Every step of an async exchange, in order; the caller can be cancelled at any of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps = 0
        self.cancelled_at: int | None = None
        self.written_after: list[bytes] = []
        self.caller: asyncio.Task[Any] | None = None
        bounded = network._bounded
        write = httpcore._backends.anyio.AnyIOStream.write

        async def stepping(error: Any, operation: Any, *, writes: bool = False) -> Any:
            self.step()
            result = await bounded(error, operation, writes=writes)
            self.step()
            return result

        async def watched(stream: Any, buffer: bytes, *rest: Any) -> None:
            if self.caller is not None and self.caller.done():
                self.written_after.append(buffer)
            await write(stream, buffer, *rest)

        monkeypatch.setattr(network, "_bounded", stepping)
        monkeypatch.setattr(httpcore._backends.anyio.AnyIOStream, "write", watched)

    def step(self) -> None:
        if self.steps == self.cancelled_at and self.caller is not None:
            self.caller.cancel()
        self.steps += 1


async def create_at(server: FaultGateway, wire: Wire, moment: int) -> tuple[str, AsyncHTTPTransport]:
    """Create a charge, cancelled at that step; return the outcome and the transport."""
    transport = AsyncHTTPTransport()
    gateway = AsyncGateway.open("plain", {"base_url": server.url}, transport=transport)
    wire.cancelled_at = moment
    wire.caller = asyncio.create_task(gateway.create_charge(ORDER, deadline=20))
    ended = (await asyncio.gather(wire.caller, return_exceptions=True))[0]
    for _ in range(200):  # what a cancelled caller left behind goes on from here
        await asyncio.sleep(0.001)
        if not any(mine.tasks for mine in transport._loops.values()):
            break
    return type(ended).__name__, transport


def test_nothing_is_sent_after_any_moment_of_cancellation(
    server: FaultGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after every connect, write and read: of the token call, and of the create."""
    moments = 0
    while cancelled_once(server, moments):  # an answer can come in one piece or two
        moments += 1
    assert moments >= 10


def cancelled_once(server: FaultGateway, moment: int) -> bool:
    """Cancel a create at that step and check the aftermath; return False if it had already ended."""
    with pytest.MonkeyPatch.context() as patch:
        wire = Wire(patch)

        async def scene() -> str:
            ended, transport = await create_at(server, wire, moment)
            (mine,) = transport._loops.values()
            assert mine.tasks == set(), moment
            assert not mine.slots.locked()
            assert sum(pool.busy for pool in mine.pools._pools) == 0
            return ended

        ended = asyncio.run(scene())
    assert wire.written_after == [], (moment, wire.written_after)
    assert ended in {"CancelledError", "Charge"}, (moment, ended)
    return wire.steps > moment


class SlowTLS(threading.Thread):
    """A gateway that takes its time over every TLS handshake, and counts the requests that reach it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(HERE / "tls" / "cert.pem", HERE / "tls" / "key.pem")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.seconds = seconds
        self.requests: list[bytes] = []
        self.handshakes = 0
        self.ended = threading.Event()
        self.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            time.sleep(self.seconds)
            connection.settimeout(5)
            try:
                with self.context.wrap_socket(connection, server_side=True) as secure:
                    self.handshakes += 1
                    data = secure.recv(65536)
                    if data:
                        self.requests.append(data)
                        secure.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            except OSError:
                pass
        self.listener.close()
        self.ended.set()


def tls_transport(kind: type) -> Any:
    return kind(verify=str(HERE / "tls" / "cert.pem"))


def test_a_slow_handshake_can_be_waited_for() -> None:
    """The control of the next test: the handshake is slow and not broken."""
    server = SlowTLS(0.5)

    async def scene() -> None:
        transport = tls_transport(AsyncHTTPTransport)
        answer = await transport.send(Request("POST", f"{server.url}/create"), deadline=20)
        assert answer.status == 200
        await transport.close()

    asyncio.run(scene())
    assert server.ended.wait(20)
    assert (server.handshakes, len(server.requests)) == (1, 1)


def test_a_timeout_during_a_slow_handshake_sends_nothing_later() -> None:
    """The create must not go out after its caller has left."""
    server = SlowTLS(1.0)

    async def scene() -> None:
        transport = tls_transport(AsyncHTTPTransport)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await transport.send(Request("POST", f"{server.url}/create"), deadline=20)
        assert await asyncio.to_thread(server.ended.wait, 20)
        await transport.close()

    asyncio.run(scene())
    assert server.requests == []


def test_a_timeout_during_a_slow_name_lookup_connects_to_nobody(
    server: FaultGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lookup runs in a thread that cannot be ended; what it finds is not used."""
    looked_up = threading.Event()
    lookup = socket.getaddrinfo

    def slow(*args: Any, **options: Any) -> Any:
        time.sleep(0.6)
        looked_up.set()
        return lookup(*args, **options)

    async def scene() -> None:
        transport = AsyncHTTPTransport()
        url = server.url.replace("127.0.0.1", "localhost")
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await transport.send(Request("POST", f"{url}/create"), deadline=20)
        assert await asyncio.to_thread(looked_up.wait, 20)
        await asyncio.sleep(0.3)
        await transport.close()

    asyncio.run(scene())
    assert server.requests == []


def test_a_hundred_cancelled_questions_hold_no_slot(server: FaultGateway) -> None:
    """Their slots come back at once and not at their deadline."""
    server.inject(faults.Hang(), path="/hang")

    async def scene() -> None:
        transport = AsyncHTTPTransport()
        hanging = Request("GET", f"{server.url}/hang", safe=True)
        tasks = [asyncio.create_task(transport.send(hanging, deadline=300)) for _ in range(100)]
        await asyncio.sleep(1)
        assert next(iter(transport._loops.values())).slots.locked()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        answer = await transport.send(Request("GET", f"{server.url}/now", safe=True), deadline=60)
        assert answer.status == 200
        await transport.close()

    began = time.monotonic()
    asyncio.run(scene())
    assert time.monotonic() - began < 50


# -- signals ----------------------------------------------------------------------------------------------------------


class SoftTimeLimit(Exception):
    """Celery's SoftTimeLimitExceeded and RQ's JobTimeoutException are Exceptions like it."""


class Timed(TimeoutError):
    """The usual alarm handler raises this OSError, which libraries mistake for one of their own."""


class Broken(ConnectionError):
    """An OSError too, which reads as a broken connection."""


@pytest.fixture(params=[SoftTimeLimit, Timed, Broken, RuntimeError])
def limit(request: pytest.FixtureRequest) -> Iterator[type[Exception]]:
    """Have SIGUSR1 raise an exception into whatever runs."""

    def handler(_number: int, _frame: Any) -> None:
        raise request.param("time is up")

    before = signal.signal(signal.SIGUSR1, handler)
    yield request.param
    signal.signal(signal.SIGUSR1, before)


def strike() -> None:
    signal.raise_signal(signal.SIGUSR1)  # of this thread: the handler runs before the next line


class SyncWire:
    """Every step of a sync exchange; the signal comes at one of them."""

    def __init__(self, patch: pytest.MonkeyPatch, struck_at: int | None) -> None:
        self.steps = 0
        self.struck = False
        self.struck_at = struck_at
        self.written: list[bytes] = []
        self.written_after: list[bytes] = []
        self.creating = False
        stream = httpcore._backends.sync.SyncStream
        connect = httpcore.SyncBackend.connect_tcp
        write, read = stream.write, stream.read

        def connecting(backend: Any, *args: Any, **options: Any) -> Any:
            self.step()
            made = connect(backend, *args, **options)
            try:
                self.step()
            except Exception:
                made.close()
                raise
            return made

        def writing(made: Any, buffer: bytes, timeout: Any = None) -> None:
            self.creating |= b"/create" in buffer  # from here on the core cannot know
            self.step()
            (self.written_after if self.struck else self.written).append(buffer)
            write(made, buffer, timeout)
            self.step()

        def reading(made: Any, size: int, timeout: Any = None) -> bytes:
            self.step()
            data = read(made, size, timeout)
            self.step()
            return data

        patch.setattr(httpcore.SyncBackend, "connect_tcp", connecting)
        patch.setattr(stream, "write", writing)
        patch.setattr(stream, "read", reading)
        patch.setattr(Plain, "step", staticmethod(self.step))

    def step(self) -> None:
        self.steps += 1
        if self.steps - 1 == self.struck_at:
            self.struck = True
            strike()


@pytest.mark.parametrize("name", ["plain", "keyed"])
def test_a_signal_ends_a_create_at_any_moment(server: FaultGateway, limit: type[Exception], name: str) -> None:
    """As itself where no byte of the create has left, else as an unknown outcome; and no request follows."""

    def create() -> Any:
        with Gateway.open(name, {"base_url": server.url}, plugins=[Watching()]) as gateway:
            return gateway.create_charge(ORDER, deadline=30)

    moments = 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            wire = SyncWire(patch, moments)
            ended: Any = None
            try:
                create()
            except (limit, OutcomeUnknown) as exc:
                ended = exc
        if not wire.struck:  # the call had ended before
            break
        assert wire.written_after == [], moments
        if wire.creating:
            assert type(ended) is OutcomeUnknown, moments
            assert ended.accepted is Accepted.UNKNOWN
            assert ended.repeatable is (name == "keyed")
            assert limit.__name__ in ended.message
        else:
            assert type(ended) is limit, moments
        moments += 1
    assert moments >= 16


def test_a_signal_ends_a_pause_between_two_tries(server: FaultGateway, limit: type[Exception]) -> None:
    """The call does not try once more because its sleep was interrupted."""
    server.inject(faults.Status(503), path="/status")
    with Gateway.open("plain", {"base_url": server.url}) as gateway, pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda _: strike())
        with pytest.raises(limit):
            gateway.get_status(Reference("P1"), deadline=30)
    assert [each.path for each in server.requests].count("/status") == 1


def test_a_signal_ends_a_wait_for_a_hanging_gateway(limit: type[Exception]) -> None:
    """At once, by itself, with one request sent."""
    with FaultGateway() as hanging:
        hanging.inject(ANSWER, path="/token")
        hanging.inject(faults.Hang(), path="/status")
        main = threading.get_ident()
        threading.Timer(1.0, lambda: signal.pthread_kill(main, signal.SIGUSR1)).start()
        began = time.monotonic()
        with Gateway.open("plain", {"base_url": hanging.url}) as gateway, pytest.raises(limit):
            gateway.get_status(Reference("P1"), deadline=60)
        assert time.monotonic() - began < 30
        assert [each.path for each in hanging.requests].count("/status") == 1


@pytest.mark.parametrize("name", ["plain", "keyed"])
def test_a_signal_while_an_answer_is_read_sends_nothing_more(
    server: FaultGateway, limit: type[Exception], install: Any, name: str
) -> None:
    """A hook that only reads may fail, but a time limit is no failure of its own."""

    class Reading(Plain):
        info = _named("reading")
        idempotent = name == "keyed"

        @hookimpl
        def read_request_id(self, response: Response) -> str:
            strike()
            return "r1"

    install("reading", Reading)
    with Gateway.open("reading", {"base_url": server.url}) as gateway, pytest.raises(limit):
        gateway.create_charge(ORDER)
    assert [request.path for request in server.requests] == ["/token"]


def test_a_signal_in_an_observer_of_the_token_call_sends_no_create(
    server: FaultGateway, limit: type[Exception]
) -> None:
    """An observer cannot fail a call, but a time limit that strikes while it runs is the call's."""

    class Watching:
        @hookimpl
        def exchange_finished(self) -> None:
            strike()

    with (
        Gateway.open("plain", {"base_url": server.url}, plugins=[Watching()]) as gateway,
        pytest.raises(limit),
    ):
        gateway.create_charge(ORDER)
    assert [request.path for request in server.requests] == ["/token"]


@pytest.mark.parametrize("place", ["_is_whole", "_close"])
def test_a_signal_behind_an_answer_sends_nothing_more(
    server: FaultGateway, limit: type[Exception], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The answer to the token call has come, and the time limit is no part of it."""
    step = getattr(engine, place)

    def interrupted(given: Any) -> Any:
        result = step(given)
        if place == "_is_whole":
            strike()
        return result

    def closing(flow: Any) -> None:
        step(Interrupting(flow))

    monkeypatch.setattr(engine, place, interrupted if place == "_is_whole" else closing)
    with Gateway.open("plain", {"base_url": server.url}) as gateway, pytest.raises(limit):
        gateway.create_charge(ORDER)
    assert [request.path for request in server.requests] == ["/token"]


class Interrupting:
    """A flow in whose end a signal comes."""

    def __init__(self, flow: Any) -> None:
        self.flow = flow

    def close(self) -> None:
        self.flow.close()
        strike()


def test_a_signal_while_a_pool_is_made_loses_no_slot(
    server: FaultGateway, limit: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first request of a pool loads httpx's parts, which takes its time."""
    transport = HTTPTransport()
    make = transport._pools._make

    def interrupted() -> Any:
        strike()
        return make()

    monkeypatch.setattr(transport._pools, "_make", interrupted)
    gateway = Gateway.open("plain", {"base_url": server.url}, transport=transport)
    with pytest.raises(limit):
        gateway.create_charge(ORDER)
    assert transport._slots._value == 100
    transport.close()


def test_a_signal_behind_the_end_of_a_token_call_is_not_swallowed(
    server: FaultGateway, limit: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed = AuthorizationCache.succeed

    def interrupted(*arguments: Any) -> None:
        succeed(*arguments)
        strike()

    monkeypatch.setattr(AuthorizationCache, "succeed", interrupted)
    with Gateway.open("plain", {"base_url": server.url}) as gateway, pytest.raises(limit):
        gateway.create_charge(ORDER)


@pytest.mark.parametrize("kind", [Gateway, AsyncGateway])
def test_a_gateway_that_is_closed_during_a_create_sends_no_second_one(kind: type) -> None:
    """A retry would connect anew, behind the back of whoever closed the gateway."""
    server = FaultGateway()
    server.inject(ANSWER, path="/token")
    server.inject(faults.Delay(1.0, then=faults.Answer(b"", status=503)), path="/create")

    def sync() -> PaymentError:
        gateway = Gateway.open("keyed", {"base_url": server.url})
        threading.Timer(0.5, gateway.close).start()
        with pytest.raises(OutcomeUnknown) as caught:
            gateway.create_charge(ORDER, deadline=5)
        return caught.value

    async def scene() -> PaymentError:
        gateway = AsyncGateway.open("keyed", {"base_url": server.url})
        call = asyncio.create_task(gateway.create_charge(ORDER, deadline=5))
        await asyncio.sleep(0.5)
        await gateway.aclose()
        with pytest.raises(OutcomeUnknown) as caught:
            await call
        return caught.value

    with server:
        error = sync() if kind is Gateway else asyncio.run(scene())
    assert error.accepted is Accepted.UNKNOWN
    assert [request.path for request in server.requests] == ["/token", "/create"]


@pytest.mark.parametrize("shape", ["function", "method", "partial", "object"])
def test_a_handler_of_any_shape_is_known(shape: str) -> None:
    """A time limit may be installed as a bound method, a partial or an object that can be called."""

    class Handler:
        def method(self, *_: Any) -> None:
            raise Timed

        __call__ = method

    def function(*_: Any) -> None:
        raise Timed

    handlers = {
        "function": function,
        "method": Handler().method,
        "partial": functools.partial(function, None),
        "object": Handler(),
    }
    before = signal.signal(signal.SIGUSR1, handlers[shape])
    try:
        opened = Gateway.open("plain", {"base_url": "http://127.0.0.1:9"}, transport=Striking())
        with opened as gateway, pytest.raises(Timed):
            gateway.get_status(Reference("P1"))
    finally:
        signal.signal(signal.SIGUSR1, before)


class Striking:
    """A platform's own transport, in the middle of which the signal comes."""

    def send(self, request: Request, *, deadline: float) -> Response:
        if request.path != "/token":
            strike()
        return Response(200)

    def close(self) -> None:
        pass


def test_a_limit_that_was_handled_before_the_call_is_not_this_calls(server: FaultGateway) -> None:
    """A fault while the caller handles an earlier time limit is the fault, although that limit is its context."""

    def handler(_number: int, _frame: Any) -> None:
        raise SoftTimeLimit

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with Gateway.open("plain", {"base_url": "http://127.0.0.1:9"}) as gateway:
            try:
                strike()
            except SoftTimeLimit:
                with pytest.raises(GatewayUnavailable):
                    gateway.get_status(Reference("P1"), deadline=2)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_exception_that_no_signal_raised_stays_the_providers_bug(server: FaultGateway, limit: Any) -> None:
    """A provider that raises the very type of the limit is still a provider with a bug."""

    def bug() -> None:
        raise limit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plain, "step", staticmethod(bug))
        with Gateway.open("plain", {"base_url": server.url}) as gateway, pytest.raises(ProviderContractError):
            gateway.create_charge(ORDER)


def test_a_transport_that_raises_the_unknown_is_not_asked_again() -> None:
    """The meaning of a custom transport's exception is unknown: it may be a time limit without a signal."""
    sent = []

    class Odd(Striking):
        def send(self, request: Request, *, deadline: float) -> Response:
            sent.append(request.path)
            if request.path != "/token":
                raise SoftTimeLimit
            return Response(200)

    with Gateway.open("keyed", {"base_url": "http://127.0.0.1:9"}, transport=Odd()) as gateway:
        with pytest.raises(OutcomeUnknown):
            gateway.create_charge(ORDER)
        with pytest.raises(GatewayUnavailable):
            gateway.get_status(Reference("P1"))
    assert sent == ["/token", "/create", "/status"]


def test_sync_call_in_a_thread_ignores_signals(server: FaultGateway, limit: Any) -> None:
    """Handlers run in the main thread alone."""
    transport = HTTPTransport()
    answers: list[int] = []
    thread = threading.Thread(
        target=lambda: answers.append(transport.send(Request("GET", f"{server.url}/x"), deadline=20).status)
    )
    thread.start()
    with pytest.raises(limit):
        strike()
    thread.join(20)
    transport.close()
    assert answers == [200]


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # ssl leaks the socket that it was making
@pytest.mark.parametrize("kind", [SoftTimeLimit, type("JobTimeout", (SoftTimeLimit,), {})])
def test_a_limit_that_another_thread_sets_is_not_swallowed(kind: type[Exception]) -> None:
    """Job queues without signals raise their time limits so: nothing is sent once more, or afterwards."""
    server = SlowTLS(1.0)
    results: list[BaseException] = []
    transport = tls_transport(HTTPTransport)

    def work() -> None:
        with Gateway.open("keyed", {"base_url": server.url}, transport=transport) as gateway:
            try:
                gateway.create_charge(ORDER, deadline=60)
            except BaseException as exc:
                results.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.5)  # in the middle of the handshake
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(kind))
    thread.join(60)
    transport.close()
    assert server.ended.wait(60)
    (ended,) = results
    assert type(ended) is kind
    assert not any(b"/create" in each for each in server.requests)


def test_a_407_of_a_forwarding_proxy_reached_no_gateway() -> None:
    """Only such a proxy answers in the gateway's place; any other 407 is the gateway's own."""
    with FaultGateway() as proxy:
        proxy.inject(faults.Status(407))
        transport = HTTPTransport(proxy=proxy.url)
        with pytest.raises(GatewayUnavailable, match="proxy"):
            transport.send(Request("POST", "http://127.0.0.1:9/create"), deadline=20)
        transport.close()
        direct = HTTPTransport()
        assert direct.send(Request("POST", f"{proxy.url}/create"), deadline=20).status == 407
        direct.close()
