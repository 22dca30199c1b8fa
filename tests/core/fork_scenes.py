"""Play forks as programs: `python fork_scenes.py SCENE URL`; exit status 0 if every child succeeded."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import msgspec

from payments_core import (
    AsyncGateway,
    Authorization,
    Channel,
    Charge,
    ChargeRequest,
    Gateway,
    Method,
    Money,
    PaymentStatus,
    ProviderInfo,
    Reference,
    Request,
    Secret,
    hookimpl,
)
from payments_core.testing.opening import open_provider

HKD = Money.of("88.00", "HKD")
DECODE = msgspec.json.Decoder(dict[str, str]).decode


class Config(msgspec.Struct):
    base_url: str


class Echo:
    """A provider whose gateway answers every query with the order id it was asked about."""

    config_type = Config
    info = ProviderInfo(
        id="echo",
        title="Echo",
        currencies=frozenset({"HKD"}),
        methods=(Method("only", "Only"),),
        channels=frozenset({Channel.WEB}),
        raw_statuses={},
    )

    def __init__(self, config: Config) -> None:
        pass

    @hookimpl
    def authorize(self) -> Any:
        response = yield Request("POST", "/token", safe=True)
        return Authorization(Secret(response.decode(DECODE)["token"]), expires_in=3600)

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Any:
        yield Request("POST", "/create")
        return self._charge(request.order_id)

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Any:
        query = (("order", reference.order_id),)
        response = yield Request(
            "GET", "/status", query=query, headers=(("authorization", authorization.credentials),), safe=True
        )
        return self._charge(response.decode(DECODE)["order"])

    def _charge(self, order_id: str) -> Charge:
        return Charge("echo", Reference(order_id, "C1"), PaymentStatus.PENDING, "PENDING", HKD)


def children(count: int, work: Callable[[int], None]) -> int:
    """Fork children that work at the same time; return the number that failed or hung."""
    at = time.time() + 0.5
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            code = 1
            try:
                time.sleep(max(0.0, at - time.time()))
                work(number)
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        pids.append(pid)
    return sum(os.waitpid(pid, 0)[1] != 0 for pid in pids)


def ask(gateway: Gateway, number: int) -> None:
    """Query the child's own orders; an answer for another process is a Mismatch."""
    for turn in range(10):
        gateway.confirm(f"P{number}-{turn}", HKD)


async def ask_async(gateway: AsyncGateway, number: int) -> None:
    await asyncio.gather(*(gateway.confirm(f"P{number}-{turn}", HKD) for turn in range(10)))


def after_use(url: str) -> int:
    """The parent has warm connections and a token."""
    gateway = open_provider(Echo, {"base_url": url})
    ask(gateway, 0)
    failed = children(8, lambda number: ask(gateway, number + 1))
    ask(gateway, 0)
    return failed


def after_async_use(url: str) -> int:
    """The parent's loop has ended, or still has connections."""
    gateway = open_provider(Echo, {"base_url": url}, kind=AsyncGateway)
    with asyncio.Runner() as runner:
        runner.run(ask_async(gateway, 0))
        failed = children(4, lambda number: asyncio.run(ask_async(gateway, number + 1)))
        runner.run(ask_async(gateway, 0))
    return failed + children(4, lambda number: asyncio.run(ask_async(gateway, number + 1)))


def during_a_token_call(url: str) -> int:
    """A thread of the parent waits for the token that the children need too."""
    gateway = open_provider(Echo, {"base_url": url}, deadline=90)
    thread = threading.Thread(target=lambda: _quietly(lambda: gateway.confirm("P0", HKD)), daemon=True)
    thread.start()
    time.sleep(1)  # the first token call hangs: FaultGateway answers the next ones
    return children(8, lambda number: ask(gateway, number + 1))


def while_all_slots_are_taken(url: str) -> int:
    """A hundred threads of the parent hang."""
    gateway = open_provider(Echo, {"base_url": url}, deadline=90)
    ask(gateway, 0)
    for _ in range(100):
        threading.Thread(target=lambda: _quietly(lambda: gateway.get_status(Reference("HANG"))), daemon=True).start()
    transport: Any = gateway._transport
    while transport._slots.acquire(blocking=False):  # until the last is taken, by a thread or by us
        transport._slots.release()
        time.sleep(0.05)
    return children(8, lambda number: ask(gateway, number + 1))


def while_locks_are_held(url: str) -> int:
    """Another thread of the parent is inside the token cache and the pools."""
    gateway = open_provider(Echo, {"base_url": url})
    ask(gateway, 0)
    transport: Any = gateway._transport
    locks = [gateway._engine._cache._lock, transport._pools._lock]
    for lock in locks:
        lock.acquire()
    failed = children(8, lambda number: ask(gateway, number + 1))
    for lock in locks:
        lock.release()
    return failed


def _worker(number: int) -> bool:
    ask(GATEWAYS[0], number + 1)
    return True


GATEWAYS: list[Gateway] = []


def in_a_pool(url: str) -> int:
    """multiprocessing's own way to fork."""
    GATEWAYS.append(open_provider(Echo, {"base_url": url}))
    ask(GATEWAYS[0], 0)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        done = pool.map(_worker, range(8))
    return done.count(False)


def _quietly(work: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):  # the parent ends while its threads hang
        work()


if __name__ == "__main__":
    failures = globals()[sys.argv[1]](sys.argv[2])
    os._exit(bool(failures))
