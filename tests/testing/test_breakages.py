"""Make eleven deliberate mistakes; the intended test of the contract must notice each."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from payments_core import ProviderContractError, hookimpl
from payments_core.testing.contract import ProviderContract
from payments_core.testing.fake import FakeProvider
from payments_core.testing.fake_gateway import FakeSandbox
from payments_core.testing.opening import open_provider

ROOT = Path(__file__).parents[2]
CONTRACT = "tests/testing/test_contract_fake.py"
FOLDER = Path(__file__).parent / "breakages"

# The test, and what it says. Only this one is run: that all pass without a breakage is said by `test_contract_fake.py`.
NOTICED_BY = {
    "accepts_unsigned": ("test_a_forged_delivery_is_refused", "header-missing: a forged delivery is accepted"),
    "declares_refund_without_it": ("test_every_declared_operation_works", "UnsupportedOperation: fake.refund_charge"),
    "drops_the_second_event": ("test_every_event_of_a_batch_survives", "3 events of 4"),
    "floats_for_money": ("test_no_digit_of_an_amount_is_lost", "asked 0.29 HKD, the gateway holds [Money(minor=28,"),
    "leaks_the_key_in_a_repr": ("test_no_secret_is_in_a_repr", "webhook_key is in a repr"),
    "maps_unknown_to_succeeded": (
        "test_a_status_that_is_not_in_the_table_is_unknown",
        "unheard_of is read as SUCCEEDED",
    ),
    "marks_create_idempotent_without_key": (
        "test_a_create_whose_answer_is_lost_makes_one_charge",
        "2 charges were made of one",
    ),
    "random_order_ids": ("test_the_same_request_makes_the_same_bytes", "the same request was encoded in two ways"),
    "resends_after_the_key_lifetime": (
        "test_the_identical_call_is_one_charge_for_as_long_as_its_key_is_declared_to_live",
        "2 charges: the gateway does not keep a key for the 604800 s",
    ),
    "swallows_a_rejection": ("test_every_documented_refusal_is_raised", "it returned Charge("),
    "wrong_exponent": (
        "test_every_currency_arrives_as_the_requested_amount",
        "asked 88 JPY, the gateway holds [Money(minor=8800, currency='JPY')], the answer says 88 JPY",
    ),
}

pytestmark = pytest.mark.once


def run_contract(breakage: str) -> subprocess.CompletedProcess[str]:
    test = f"{CONTRACT}::TestFake::{NOTICED_BY[breakage][0]}"
    options = ["--contract-provider", f"{FOLDER / breakage}.py:Broken", "-q", "-p", "no:cacheprovider", "--tb=line"]
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", test, *options],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """All of them, two at a time, while the first ones are looked at."""
    with ThreadPoolExecutor(2) as pool:
        yield {breakage: pool.submit(run_contract, breakage) for breakage in NOTICED_BY}


@pytest.mark.parametrize("breakage", NOTICED_BY)
def test_the_contract_notices(breakage: str, runs: dict[str, Future[subprocess.CompletedProcess[str]]]) -> None:
    test, says = NOTICED_BY[breakage]
    done = runs[breakage].result()
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert failed
    assert all(f"::{test}" in line for line in failed)
    assert says in done.stdout


def test_every_breakage_is_in_the_table_and_every_test_in_the_contract() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == sorted(NOTICED_BY)
    assert [test for test, _ in NOTICED_BY.values() if not hasattr(ProviderContract, test)] == []


@pytest.mark.parametrize("breakage", NOTICED_BY)
def test_a_breakage_says_in_a_sentence_what_is_broken_and_still_opens(breakage: str) -> None:
    """A mistake that opening refuses needs no contract to be found."""
    spec = importlib.util.spec_from_file_location(breakage, FOLDER / f"{breakage}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.Broken.__doc__.endswith(".")
    assert "\n" not in module.Broken.__doc__
    open_provider(module.Broken, FakeSandbox().config).close()


def test_a_declared_operation_without_any_hook_is_refused_when_opening() -> None:
    class Broken(FakeProvider):
        refund_charge = None

    with pytest.raises(ProviderContractError, match="refund_charge"):
        open_provider(Broken, FakeSandbox().config)


def test_a_hook_that_is_not_declared_is_refused_when_opening() -> None:
    class Broken(FakeProvider):
        info = replace(FakeProvider.info, operations=FakeProvider.info.operations - {"refund_charge"})

    with pytest.raises(ProviderContractError, match="refund_charge"):
        open_provider(Broken, FakeSandbox().config)


def test_an_overridden_hook_that_is_not_marked_again_is_refused_when_opening() -> None:
    """pluggy looks at the function, and the mark is on the one that was overridden."""

    class Unmarked(FakeProvider):
        def create_charge(self, authorization, request):
            return (yield from super().create_charge(authorization, request))

    with pytest.raises(ProviderContractError, match="create_charge"):
        open_provider(Unmarked, FakeSandbox().config)

    class Marked(FakeProvider):
        @hookimpl
        def create_charge(self, authorization, request):
            return (yield from super().create_charge(authorization, request))

    open_provider(Marked, FakeSandbox().config).close()
