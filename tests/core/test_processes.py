"""Test forks, event loops and threads: no swapped answers, no hangs, no lost slots."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from payments_core import AsyncGateway, AsyncHTTPTransport, Gateway, InvalidRequest, Money, Reference
from payments_core.testing import faults
from payments_core.testing.faults import Exchange, FaultGateway
from payments_core.testing.opening import open_provider

sys.path.insert(0, str(Path(__file__).parent))
from fork_scenes import Echo, ask, ask_async

HKD = Money.of("88.00", "HKD")
SCENES = Path(__file__).with_name("fork_scenes.py")


class AnswerWithTheOrder:
    """Answer with the order id that was asked about: a foreign answer shows."""

    def play(self, exchange: Exchange) -> bool:
        body = faults.Answer({"order": dict(exchange.request.parameters)["order"]})
        return body.play(exchange)


@pytest.fixture
def server() -> Iterator[FaultGateway]:
    with FaultGateway() as gateway:
        yield gateway


def serve(server: FaultGateway) -> None:
    server.inject(faults.Answer({"token": "t1"}), path="/token")
    server.inject(AnswerWithTheOrder(), path="/status")


@pytest.mark.linux
@pytest.mark.parametrize(
    "scene",
    [
        "after_use",
        "after_async_use",
        "during_a_token_call",
        "while_all_slots_are_taken",
        "while_locks_are_held",
        "in_a_pool",
    ],
)
def test_forked_children_share_nothing_with_their_parent(server: FaultGateway, scene: str) -> None:
    """A forked child has connections, locks, slots and a token of its own."""
    if scene == "during_a_token_call":
        server.inject(faults.Hang(), path="/token", times=1)
    if scene == "while_all_slots_are_taken":
        server.inject(HangForOne("HANG", then=AnswerWithTheOrder()), path="/status")
    serve(server)
    program = [sys.executable, "-W", "ignore::DeprecationWarning", str(SCENES), scene, server.url]
    done = subprocess.run(program, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class HangForOne:
    """Hang for one order, answer all others."""

    def __init__(self, order_id: str, then: Any) -> None:
        self.order_id, self.then = order_id, then

    def play(self, exchange: Exchange) -> bool:
        if dict(exchange.request.parameters)["order"] == self.order_id:
            return faults.Hang().play(exchange)
        return bool(self.then.play(exchange))


def test_one_gateway_serves_a_loop_for_every_call(server: FaultGateway) -> None:
    """`asyncio.run` for each call, as task queues and sync frameworks do."""
    serve(server)
    gateway = open_provider(Echo, {"base_url": server.url}, kind=AsyncGateway)
    for number in range(4):
        assert asyncio.run(gateway.confirm(f"P{number}", HKD)).reference.order_id == f"P{number}"
    transport: Any = gateway._transport
    assert transport._loops == {}  # every loop has closed its connections when it ended


def test_one_gateway_serves_four_loops_at_once(server: FaultGateway) -> None:
    """Each in a thread of its own; they share the token and nothing else."""
    serve(server)
    gateway = open_provider(Echo, {"base_url": server.url}, kind=AsyncGateway, deadline=60)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: asyncio.run(ask_async(gateway, number)), range(4)))
    assert [each.path for each in server.requests].count("/token") == 1


def test_a_loop_that_was_never_shut_down_is_forgotten(server: FaultGateway) -> None:
    """Its connections are lost with it; the next loop is none the worse."""
    serve(server)
    gateway = open_provider(Echo, {"base_url": server.url}, kind=AsyncGateway)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(gateway.confirm("P1", HKD))
    transport: Any = gateway._transport
    (lost,) = transport._loops.values()
    loop.run_until_complete(lost.close())  # no ResourceWarning, which is not this test's matter
    loop.close()
    asyncio.run(gateway.confirm("P2", HKD))
    assert transport._loops == {}


def test_a_leader_that_died_with_its_loop_keeps_nobody_waiting(server: FaultGateway) -> None:
    """The token that it had begun to ask for is asked for by the next."""
    server.inject(faults.Hang(), path="/token", times=1)
    serve(server)
    gateway = open_provider(Echo, {"base_url": server.url}, kind=AsyncGateway, deadline=60)
    loop = asyncio.new_event_loop()
    leader = loop.create_task(gateway.confirm("P1", HKD, deadline=1))
    loop.run_until_complete(asyncio.sleep(0.3))
    assert not leader.done()
    # The loop stops and never runs again, as in a thread that is gone.
    assert asyncio.run(gateway.confirm("P2", HKD)).reference.order_id == "P2"
    leader.cancel()
    loop.run_until_complete(asyncio.gather(leader, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_another_event_loop_than_asyncio_s_is_refused_in_words(server: FaultGateway) -> None:
    """Before anything is sent."""
    serve(server)
    gateway = open_provider(Echo, {"base_url": server.url}, kind=AsyncGateway)
    call = gateway.get_status(Reference("P1"))
    with pytest.raises(InvalidRequest, match="asyncio"):
        call.send(None)  # as a loop that is not asyncio's would
    assert server.requests == []


@pytest.mark.parametrize("count", [64])
def test_many_threads_share_one_gateway(server: FaultGateway, count: int) -> None:
    """Every answer is the one that was asked for, and every slot comes back."""
    serve(server)
    with open_provider(Echo, {"base_url": server.url}, kind=Gateway, deadline=120) as gateway:
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda number: ask(gateway, number), range(count)))
        transport: Any = gateway._transport
        assert transport._slots._value == 100
        assert sum(pool.busy for pool in transport._pools._pools) == 0


def test_threads_with_loops_and_threads_without_share_nothing_wrong(server: FaultGateway) -> None:
    """An async and a sync gateway of one account, side by side."""
    serve(server)
    sync = open_provider(Echo, {"base_url": server.url}, deadline=120)
    other = open_provider(Echo, {"base_url": server.url}, kind=AsyncGateway, deadline=120)
    threads = [threading.Thread(target=ask, args=(sync, number)) for number in range(8)]
    threads += [threading.Thread(target=lambda n=number: asyncio.run(ask_async(other, n))) for number in range(8)]
    failed: list[Any] = []
    threading.excepthook, before = failed.append, threading.excepthook
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(180)
    finally:
        threading.excepthook = before
    sync.close()
    assert failed == []


def test_a_transport_that_is_closed_gives_its_loop_s_connections_up(server: FaultGateway) -> None:
    """And can be used again, as before."""
    serve(server)

    async def scene() -> None:
        transport = AsyncHTTPTransport()
        gateway = open_provider(Echo, {"base_url": server.url}, kind=AsyncGateway, transport=transport)
        await gateway.confirm("P1", HKD)
        await transport.close()
        assert transport._loops == {}
        await gateway.confirm("P2", HKD)
        await transport.close()

    asyncio.run(scene())


class OneToken:
    """A gateway in which a new token ends the one before, as several document."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.issued = 0
        self.refused = 0

    def play(self, exchange: Exchange) -> bool:
        with self.lock:
            if exchange.request.path == "/token":
                self.issued += 1
                return faults.Answer({"token": f"t{self.issued}"}).play(exchange)
            valid = exchange.request.header("authorization") == f"Bearer t{self.issued}"
            self.refused += not valid
        return (AnswerWithTheOrder() if valid else faults.Unauthorized()).play(exchange)


def test_processes_that_revoke_each_others_tokens_all_succeed(server: FaultGateway) -> None:
    """Three gateways of one account with a token each: no call is refused while newer tokens keep coming."""
    only = OneToken()
    server.inject(only)
    gateways = [open_provider(Echo, {"base_url": server.url}, deadline=120) for _ in range(3)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda number: ask(gateways[number % 3], number), range(18)))
    for gateway in gateways:
        gateway.close()
    assert only.refused > 3  # the tokens did end each other
