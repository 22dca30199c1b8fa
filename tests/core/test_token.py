"""Share one token: single-flight, renewed in time; one caller's failure harms no other."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from payments_core import (
    AsyncGateway,
    AuthorizationRejected,
    Gateway,
    GatewayUnavailable,
    PaymentError,
    Reference,
    Response,
)
from payments_core.testing import faults
from payments_core.testing.faults import FaultGateway

TASKS, THREADS = 1000, 64
TOKEN = "mch-api/v1/auth"
INTENT = json.dumps(
    {
        "code": 0,
        "rid": "r",
        "message": "ok",
        "data": {"order_id": "C1", "merchant_order_id": "P1", "amount": "88", "currency": "HKD", "status": "PENDING"},
    }
).encode()


@pytest.fixture
def server() -> Iterator[FaultGateway]:
    """A token endpoint that takes its time, and a query behind it."""
    with FaultGateway() as gateway:
        gateway.inject(faults.Answer(INTENT), path="payment_intents/query")
        yield gateway


def token_calls(server: FaultGateway) -> int:
    return sum(request.path.endswith(TOKEN) for request in server.requests)


def slow(fault: Any) -> Any:
    return faults.Delay(0.3, then=fault)


GOOD = faults.Answer({"access_token": "t", "expires_in": 3600})


async def herd(config: dict[str, str], call: Callable[[AsyncGateway], Any]) -> list[Any]:
    async with AsyncGateway.open("alipayhk", config, deadline=30) as gateway:
        return await asyncio.gather(*(call(gateway) for _ in range(TASKS)), return_exceptions=True)


def crowd(config: dict[str, str], call: Callable[[Gateway], Any]) -> list[Any]:
    results: list[Any] = []
    barrier = threading.Barrier(THREADS)

    def one() -> None:
        barrier.wait()
        try:
            results.append(call(gateway))
        except PaymentError as error:
            results.append(error)

    with Gateway.open("alipayhk", config, deadline=30) as gateway:
        threads = [threading.Thread(target=one) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return results


@pytest.mark.parametrize("call", ["authorize", "get_status"])
def test_a_thousand_tasks_on_a_cold_gateway_cause_one_token_call(
    alipayhk_config: Any, server: FaultGateway, call: str
) -> None:
    """However many come at once."""
    server.inject(slow(GOOD), path=TOKEN)
    ask = (lambda g: g.authorize()) if call == "authorize" else (lambda g: g.get_status(Reference("P1")))
    results = asyncio.run(herd(alipayhk_config | {"base_url": server.url}, ask))
    assert [result for result in results if isinstance(result, BaseException)] == []
    assert len(results) == TASKS
    assert token_calls(server) == 1


@pytest.mark.parametrize("call", ["authorize", "get_status"])
def test_64_threads_on_a_cold_gateway_cause_one_token_call(
    alipayhk_config: Any, server: FaultGateway, call: str
) -> None:
    """The same in threads."""
    server.inject(slow(GOOD), path=TOKEN)
    ask = (lambda g: g.authorize()) if call == "authorize" else (lambda g: g.get_status(Reference("P1")))
    results = crowd(alipayhk_config | {"base_url": server.url}, ask)
    assert [result for result in results if isinstance(result, BaseException)] == []
    assert len(results) == THREADS
    assert token_calls(server) == 1


FAILURES = {
    "500": (slow(faults.HTML(status=500)), GatewayUnavailable),
    "401": (slow(faults.Unauthorized()), AuthorizationRejected),
    "reset": (slow(faults.Reset()), GatewayUnavailable),
}


@pytest.mark.parametrize(("fault", "kind"), FAILURES.values(), ids=FAILURES)
def test_when_the_one_token_call_fails_all_fail_with_it(
    alipayhk_config: Any, server: FaultGateway, fault: Any, kind: Any
) -> None:
    """One call, no second wave, and each caller has an error of its own."""
    server.inject(fault, path=TOKEN)
    config = alipayhk_config | {"base_url": server.url}
    for number, wave in ((TASKS, lambda: asyncio.run(herd(config, ask))), (THREADS, lambda: crowd(config, ask))):
        server.clear()
        results = wave()
        assert [type(result) for result in results] == [kind] * number
        assert len({id(result) for result in results}) == number
        assert {result.operation for result in results} == {"get_status"}
        assert token_calls(server) == 1


def ask(gateway: Any) -> Any:
    return gateway.get_status(Reference("P1"))


def test_when_the_one_token_call_hangs_all_end_by_their_deadline(alipayhk_config: Any, server: FaultGateway) -> None:
    """And still only one was made."""
    server.inject(faults.Hang(), path=TOKEN)
    config = alipayhk_config | {"base_url": server.url}
    began = time.monotonic()
    results = asyncio.run(herd(config, lambda g: g.get_status(Reference("P1"), deadline=3)))
    results += crowd(config, lambda g: g.get_status(Reference("P1"), deadline=3))
    assert {type(result) for result in results} == {GatewayUnavailable}
    assert time.monotonic() - began < 2 * 3.5 + 4  # two waves, and 1,064 callers to be started on a busy machine
    assert token_calls(server) == 2


def test_a_waiters_own_deadline_ends_its_wait(alipayhk_config: Any, server: FaultGateway) -> None:
    """The others go on, and the token call with them."""
    server.inject(faults.Delay(3.0, then=GOOD), path=TOKEN)

    async def scene() -> list[Any]:
        async with AsyncGateway.open("alipayhk", alipayhk_config | {"base_url": server.url}, deadline=30) as gateway:
            return await asyncio.gather(
                gateway.authorize(), gateway.authorize(deadline=0.5), gateway.authorize(), return_exceptions=True
            )

    first, short, other = asyncio.run(scene())
    assert first == other
    assert type(short) is GatewayUnavailable
    assert token_calls(server) == 1


def test_a_leader_that_is_cancelled_fails_nobody_else(alipayhk_config: Any, server: FaultGateway) -> None:
    """Another takes over."""
    server.inject(slow(GOOD), path=TOKEN)

    async def scene() -> list[Any]:
        async with AsyncGateway.open("alipayhk", alipayhk_config | {"base_url": server.url}) as gateway:
            leader = asyncio.create_task(gateway.authorize())
            await asyncio.sleep(0.1)
            others = [asyncio.create_task(gateway.authorize()) for _ in range(10)]
            await asyncio.sleep(0.05)
            leader.cancel()
            return await asyncio.gather(leader, *others, return_exceptions=True)

    leader, *others = asyncio.run(scene())
    assert isinstance(leader, asyncio.CancelledError)
    assert all(other.token == others[0].token for other in others)
    assert token_calls(server) == 2


def test_a_waiter_that_is_cancelled_fails_nobody_else(alipayhk_config: Any, server: FaultGateway) -> None:
    """Nor does it stop the call under way."""
    server.inject(slow(GOOD), path=TOKEN)

    async def scene() -> list[Any]:
        async with AsyncGateway.open("alipayhk", alipayhk_config | {"base_url": server.url}) as gateway:
            tasks = [asyncio.create_task(gateway.authorize()) for _ in range(5)]
            await asyncio.sleep(0.1)
            tasks[3].cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(scene())
    assert isinstance(results.pop(3), asyncio.CancelledError)
    assert len({result.token for result in results}) == 1
    assert token_calls(server) == 1


def test_a_leader_with_little_time_does_not_fail_those_who_have_more(
    alipayhk_config: Any, server: FaultGateway
) -> None:
    """Its own deadline ended the flight: somebody with more time takes over."""
    server.inject(faults.Delay(0.8, then=GOOD), path=TOKEN)

    async def scene() -> list[Any]:
        async with AsyncGateway.open("alipayhk", alipayhk_config | {"base_url": server.url}) as gateway:
            hasty = asyncio.create_task(gateway.authorize(deadline=0.3))
            await asyncio.sleep(0.05)
            return await asyncio.gather(hasty, gateway.authorize(), gateway.authorize(), return_exceptions=True)

    hasty, *others = asyncio.run(scene())
    assert type(hasty) is GatewayUnavailable
    assert others[0].token == others[1].token
    assert token_calls(server) == 2


def tokens(expires_in: Any) -> Any:
    """A transport whose tokens count up."""
    count = iter(range(1, 100))

    def answer(request: Any) -> Response:
        if request.path.endswith(TOKEN):
            return Response(200, (), json.dumps({"access_token": f"t{next(count)}", "expires_in": expires_in}).encode())
        return Response(200, (), INTENT)

    return answer


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [(3600, 2880), (100, 80), (60, 48), (1, 48), (0, 48), (-5, 48), ("soon", 48), (None, 48), (10**9, 69_120)],
)
def test_a_token_is_renewed_at_80_percent_of_its_life(
    opening: Any, alipayhk_config: Any, clock: Any, expires_in: Any, seconds: float
) -> None:
    """At least 60 seconds are believed, at most a day."""
    gateway = opening("alipayhk", alipayhk_config, transport=tokens(expires_in), clock=clock)
    gateway.authorize()
    clock.seconds += seconds - 0.001
    gateway.get_status(Reference("P1"))
    assert gateway.authorize().token.reveal() == "t1"
    clock.seconds += 0.002
    assert gateway.authorize().token.reveal() == "t2"
    gateway.get_status(Reference("P1"))
    assert sum(path.endswith(TOKEN) for path in gateway.script.paths()) == 2


def test_a_missing_lifetime_is_the_documented_default(opening: Any, alipayhk_config: Any, clock: Any) -> None:
    """An hour."""
    answers = iter(["t1", "t2"])
    gateway = opening(
        "alipayhk",
        alipayhk_config,
        clock=clock,
        transport=lambda _: Response(200, (), json.dumps({"access_token": next(answers)}).encode()),
    )
    assert gateway.authorize().expires_in == 3600
    clock.seconds += 2881
    assert gateway.authorize().token.reveal() == "t2"


def test_many_refusals_of_one_token_cause_one_renewal(alipayhk_config: Any, server: FaultGateway) -> None:
    """A caller that finds the token already renewed uses the new one."""
    names = iter(["t1", "t2"])

    class Tokens:
        def play(self, exchange: Any) -> bool:
            return bool(
                faults.Delay(0.1, then=faults.Answer({"access_token": next(names), "expires_in": 3600})).play(exchange)
            )

    class Refusing:
        def play(self, exchange: Any) -> bool:
            old = exchange.request.header("authorization") == "Bearer t1"
            return bool((faults.Unauthorized() if old else faults.Answer(INTENT)).play(exchange))

    with FaultGateway() as gateway_server:
        gateway_server.inject(Tokens(), path=TOKEN)
        gateway_server.inject(Refusing(), path="payment_intents/query")

        async def scene() -> list[Any]:
            async with AsyncGateway.open("alipayhk", alipayhk_config | {"base_url": gateway_server.url}) as gateway:
                await gateway.authorize()
                return await asyncio.gather(*(gateway.get_status(Reference("P1")) for _ in range(50)))

        assert len(asyncio.run(scene())) == 50
        assert token_calls(gateway_server) == 2


def test_the_next_call_after_a_failure_tries_again(opening: Any, alipayhk_config: Any) -> None:
    """A failure is shared with those who waited, not kept."""
    answers = iter([Response(500), Response(200, (), b'{"access_token":"t"}')])
    gateway = opening("alipayhk", alipayhk_config, transport=lambda _: next(answers))
    with pytest.raises(GatewayUnavailable):
        gateway.authorize()
    assert gateway.authorize().token.reveal() == "t"
