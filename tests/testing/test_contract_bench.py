"""Report mistakes of the test class as such, not as the provider's fault."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from payments_core import Limits, Money
from payments_core.testing._exchanges import FrozenClock
from payments_core.testing.contract import ProviderContract
from payments_core.testing.contract.bench import Bench
from payments_core.testing.fake import FakeProvider
from payments_core.testing.fake_gateway import make
from payments_core.testing.faults import FaultGateway


@contextmanager
def benched(limits: Limits, **attributes: Any) -> Iterator[tuple[Any, Bench]]:
    """A contract of the fake with other limits, and its bench."""
    provider = type("Limited", (FakeProvider,), {"info": replace(FakeProvider.info, limits=limits)})
    contract = type("TestLimited", (ProviderContract,), {"provider": provider, **attributes})
    with make() as sandbox, FaultGateway(sandbox.url) as between:
        yield contract(), Bench(contract, sandbox, between)


def order_id_of(pattern: str) -> Callable[[Any, int], str]:
    return lambda self, number: pattern % number


FAKE = FakeProvider.info.limits


def test_frozen_clock_stays_at_the_present_second() -> None:
    """A sandbox may refuse what was signed long ago; and what was signed by it stays the same."""
    clock = FrozenClock()
    stood = clock.now()
    assert abs((datetime.now(UTC) - stood).total_seconds()) < 60
    time.sleep(1.1)
    assert (clock.now(), clock.nonce()) == (stood, clock.nonce())


def test_an_order_id_that_the_provider_refuses_is_the_class_s_to_change() -> None:
    for limits in (replace(FAKE, order_id_pattern="[a-z]+-[0-9]+"), replace(FAKE, order_id_length=4)):
        said = r"ORDER00001 does not fit info\.limits: override `order_id`"
        with benched(limits) as (_, bench), pytest.raises(AssertionError, match=said):
            bench.new_order()


def test_an_amount_that_the_provider_refuses_is_the_class_s_to_change() -> None:
    """And so is one of which a quarter would be refused."""
    for limits, said in (
        (replace(FAKE, minimum=(Money.of("22.01", "HKD"),)), r"a quarter of it is below 22\.01 HKD"),
        (replace(FAKE, maximum=(Money.of("87.99", "HKD"),)), r"it is above 87\.99 HKD"),
    ):
        with benched(limits) as (_, bench):
            with pytest.raises(AssertionError, match=said):
                bench.amount_in("HKD")
            assert bench.amount_in("JPY") == Money.of("88", "JPY")
    with benched(replace(FAKE, minimum=(Money.of("22", "HKD"),), maximum=(Money.of("88", "HKD"),))) as (_, bench):
        assert bench.amount_in("HKD") == Money.of("88", "HKD")


LOWER = order_id_of("order-%05d")


@pytest.mark.parametrize("pattern", ["", "[a-z0-9-]+"])
def test_too_long_order_id_is_found_for_any_pattern(pattern: str) -> None:
    """The author's own id is lengthened by its last character, so that it stays one of the pattern."""
    wrong = replace(FAKE, order_id_length=FAKE.order_id_length + 1, order_id_pattern=pattern)
    with benched(wrong, order_id=LOWER) as (contract, bench), pytest.raises(Exception, match="invalid"):
        contract.test_the_limits_are_the_gateway_s(bench)
    right = replace(FAKE, order_id_pattern=pattern)
    with benched(right, order_id=LOWER) as (contract, bench):
        contract.test_the_limits_are_the_gateway_s(bench)


def test_a_pattern_whose_ids_cannot_be_lengthened_is_said_to_be_one() -> None:
    """Nothing is left out in silence."""
    limits = replace(FAKE, order_id_pattern="order-[0-9]{5}")
    with (
        benched(limits, order_id=LOWER) as (contract, bench),
        pytest.raises(AssertionError, match="override `order_id`"),
    ):
        contract.test_the_limits_are_the_gateway_s(bench)
    with benched(replace(limits, order_id_length=11), order_id=LOWER) as (contract, bench):
        contract.test_the_limits_are_the_gateway_s(bench)
