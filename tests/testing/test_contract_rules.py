"""Prove that a class that inherits the contract can't weaken it, and that nothing is left out silently."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from payments_alipayhk.provider import AlipayHKProvider
from payments_core import Notifications
from payments_core.testing import plugin
from payments_core.testing.contract import ProviderContract
from payments_core.testing.contract.forgeries import FORGERIES, TIMED
from payments_core.testing.contract.rules import applies
from payments_core.testing.fake import FakeProvider
from payments_core.testing.fake_gateway import make

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "tests" / "alipayhk" / "test_contract.py"
TESTS = sorted(name for name in dir(ProviderContract) if name.startswith("test_"))


def inheriting(**attributes: Any) -> type:
    return type("TestSomething", (ProviderContract,), {"provider": AlipayHKProvider, **attributes})


@pytest.mark.parametrize("name", TESTS)
def test_a_test_of_the_contract_cannot_be_overridden(name: str) -> None:
    with pytest.raises(TypeError, match=f"overrides {name}"):
        inheriting(**{name: lambda self: None})


def test_a_class_two_steps_below_cannot_override_either() -> None:
    between = inheriting()
    with pytest.raises(TypeError, match="overrides"):
        type("TestBelow", (between,), {TESTS[0]: lambda self: None})


def test_a_class_may_add_tests_of_its_own() -> None:
    assert inheriting(test_what_only_this_gateway_does=lambda self: None)


@pytest.mark.parametrize("reason", ["", "  ", None, 5])
def test_leaving_a_test_out_needs_a_reason(reason: Any) -> None:
    with pytest.raises(TypeError, match="gives no reason"):
        inheriting(not_applicable={"test_every_event_of_a_batch_survives": reason})


@pytest.mark.parametrize("name", ["test_that_never_was", "request", "no_test"])
def test_only_a_test_of_the_contract_can_be_left_out(name: str) -> None:
    with pytest.raises(TypeError, match="not a test of the contract"):
        inheriting(not_applicable={name: "because"})


@pytest.mark.parametrize(
    "name",
    [
        "test_a_forged_delivery_is_refused",
        "test_a_delivery_of_another_time_is_refused",
        "test_a_genuine_delivery_is_believed",
        "test_a_blank_key_opens_no_gateway",
        "test_a_status_that_is_not_in_the_table_is_unknown",
        "test_every_documented_status_is_read_as_documented",
        "test_every_documented_refusal_is_raised",
        "test_a_lost_answer_is_unknown_where_money_may_have_moved",
        "test_an_answer_that_cannot_be_read_is_unknown_where_money_may_have_moved",
        "test_a_create_whose_answer_is_lost_makes_one_charge",
        "test_the_identical_call_is_one_charge_for_as_long_as_its_key_is_declared_to_live",
        "test_no_secret_is_in_a_repr",
        "test_no_secret_is_in_an_error_or_a_log",
        "test_no_secret_gets_into_a_cassette",
        "test_no_secret_is_in_a_url_or_sent_as_text",
        "test_no_token_or_secret_leaks_from_any_call",
        "test_the_expected_signature_is_never_revealed",
        "test_every_digit_of_a_signature_counts",
        "test_nothing_is_read_before_it_is_verified",
        "test_a_stale_delivery_of_the_previous_key_is_refused",
        "test_a_delivery_without_its_time_of_receipt_is_judged_by_the_core_s_clock",
        "test_a_status_in_a_notification_is_read_as_documented",
        "test_no_digit_of_an_amount_is_lost_in_a_notification",
        "test_a_batch_with_one_bad_event_is_refused_whole",
        "test_every_hook_is_marked",
    ],
)
def test_what_loses_money_cannot_be_left_out(name: str) -> None:
    with pytest.raises(TypeError, match="no provider may leave out"):
        inheriting(not_applicable={name: "we are in a hurry"})


def test_a_test_is_left_out_with_the_reason_given() -> None:
    name = "test_every_event_of_a_batch_survives"
    assert applies(inheriting(not_applicable={name: "one event each"}), name) == "one event each"
    assert applies(inheriting(), name) == ""
    assert "authorize" not in applies(inheriting(), "test_a_token_is_obtained_once_and_used_again")


def test_there_are_forty_forgeries_at_least() -> None:
    assert len(FORGERIES) >= 40
    assert len(TIMED) >= 4


def test_every_test_of_the_contract_has_a_sentence_and_says_why() -> None:
    for name in TESTS:
        assert (getattr(ProviderContract, name).__doc__ or "").strip().endswith("."), name


# The plugin, in a separate run.


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", str(CONTRACT), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_what_is_left_out_is_deselected_and_listed_and_never_skipped() -> None:
    done = run("-k", "batch or refund or entry_point")
    assert done.returncode == 0, done.stdout
    assert "left out of the provider contract" in done.stdout
    assert "test_every_event_of_a_batch_survives: HOOK: one delivery carries one event" in done.stdout
    assert "refund_charge is not declared" in done.stdout
    assert "skipped" not in done.stdout
    assert "1 passed" in done.stdout  # the entry point


def test_another_class_can_be_put_in_the_provider_s_place(tmp_path: Path) -> None:
    """One command, and the failing test names what is broken."""
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from payments_alipayhk.provider import AlipayHKProvider\n"
        "from payments_alipayhk.webhook import notification\n"
        "from payments_core import hookimpl\n\n\n"
        "class Broken(AlipayHKProvider):\n"
        "    @hookimpl\n"
        "    def parse_webhook(self, delivery):\n"
        "        return notification(self.info.id, delivery)\n"
    )
    done = run("-q", "--tb=no", "-k", "forged or entry_point or statuses", f"--contract-provider={broken}:Broken")
    assert done.returncode == 1, done.stdout
    assert "FAILED" in done.stdout
    assert "test_a_forged_delivery_is_refused[header-missing]" in done.stdout
    assert "another class was put in its place" in done.stdout


def usage_error(place: str) -> str:
    """Return the error with which a run ends that puts this class in the provider's place."""
    config = SimpleNamespace(getoption=lambda _: place)
    with pytest.raises(pytest.UsageError) as caught:
        plugin.pytest_collection_modifyitems(config, [SimpleNamespace(cls=inheriting())])
    return str(caught.value)


@pytest.mark.parametrize(
    "place",
    [
        "nowhere.py:Broken",
        "no_such_module:Broken",
        f"{__file__}:ROOT",
        f"{__file__}:Nobody",
        "x",
        "broken.py",
        f"{__file__}:",
    ],
)
def test_a_class_that_is_not_there_is_said_to_be(place: str) -> None:
    said = usage_error(place)
    assert "--contract-provider" in said
    assert "\n" not in said


FAKE = "from payments_core.testing.fake import FakeProvider\n\n\n"
UNUSABLE = {
    "class Broken(": "SyntaxError",
    "class Broken(Nobody): pass": "NameError: name 'Nobody' is not defined",
    "class Broken: pass": "type object 'Broken' has no attribute 'info'",
    f"{FAKE}class Broken(FakeProvider):\n    info = {{'id': 'fake'}}": "the provider has no info",
    f"{FAKE}class Broken(FakeProvider):\n    def create_charge(self, request): pass": "create_charge lacks @hookimpl",
    f"{FAKE}class Broken(FakeProvider):\n    refund_charge = None": "declared only refund_charge",
}


@pytest.mark.parametrize(("source", "said"), UNUSABLE.items(), ids=UNUSABLE.values())
def test_untestable_class_is_reported_in_one_line(tmp_path: Path, source: str, said: str) -> None:
    broken = tmp_path / "a breakage.py"
    broken.write_text(source)
    line = usage_error(f"{broken}:Broken")
    assert said in line
    assert "\n" not in line


@pytest.mark.parametrize("source", ["class Broken(", "class Broken: pass"])
def test_usage_error_ends_the_run_without_a_traceback(tmp_path: Path, source: str) -> None:
    """And without a hundred tests that fail for one reason."""
    broken = tmp_path / "a breakage.py"
    broken.write_text(source)
    done = run("-q", f"--contract-provider={broken}:Broken")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    assert UNUSABLE[source] in line
    assert "Traceback" not in done.stdout + done.stderr


def test_a_test_that_guards_money_is_said_to_when_it_is_left_out() -> None:
    """A declaration can leave it out as well, and a green run must show that."""
    done = run("-q", "-k", "another_time or batch")
    assert (
        "test_a_delivery_of_another_time_is_refused: the gateway signs no time (webhook_tolerance) (this test guards"
        in done.stdout
    )
    assert "test_every_event_of_a_batch_survives: HOOK: one delivery carries one event\n" in done.stdout


# What is left out is left out for its own reason.


class Silent(FakeProvider):
    """Sends no notifications."""

    info = replace(FakeProvider.info, authoritative_webhooks=False)
    parse_webhook = None


class Unsigned(FakeProvider):
    """Sends some that nobody has signed."""

    info = replace(FakeProvider.info, authoritative_webhooks=False, notifications=Notifications.UNSIGNED)


NONE, NOT_SIGNED, ARE_SIGNED = (
    "the gateway sends no notifications",
    "its notifications are not signed",
    "its notifications are signed",
)


@pytest.mark.parametrize(
    ("provider", "name", "reason"),
    [
        (Silent, "test_a_forged_delivery_is_refused", NONE),
        (Silent, "test_a_delivery_of_another_time_is_refused", NONE),
        (Silent, "test_a_digest_in_another_case_is_refused", NONE),
        (Silent, "test_a_previous_key_is_believed_while_it_is_configured", NONE),
        (Silent, "test_a_stale_delivery_of_the_previous_key_is_refused", NONE),
        (Silent, "test_every_event_of_a_batch_agrees_with_a_query", NONE),
        (Silent, "test_a_status_in_a_notification_is_read_as_documented", NONE),
        (Silent, "test_malformed_bytes_are_refused", NONE),
        (Silent, "test_the_notify_url_is_sent", NONE),
        (Unsigned, "test_a_forged_delivery_is_refused", NOT_SIGNED),
        (Unsigned, "test_a_delivery_of_another_time_is_refused", NOT_SIGNED),
        (Unsigned, "test_a_blank_key_opens_no_gateway", NOT_SIGNED),
        (Unsigned, "test_a_status_in_a_notification_is_read_as_documented", "notifications are hints"),
        (Unsigned, "test_malformed_bytes_are_refused", ""),
        (FakeProvider, "test_malformed_bytes_are_refused", ARE_SIGNED),
        (FakeProvider, "test_a_delivery_of_another_time_is_refused", "the gateway signs no time"),
        (FakeProvider, "test_one_order_is_one_charge_whatever_page_the_shopper_comes_from", ""),
        (AlipayHKProvider, "test_one_order_is_one_charge_whatever_page_the_shopper_comes_from", "what a second create"),
        (AlipayHKProvider, "test_a_cancellation_takes_no_money_that_is_held", "cancel_charge is not declared"),
    ],
)
def test_a_test_is_left_out_for_its_own_reason(provider: type, name: str, reason: str) -> None:
    contract = type("TestSomething", (ProviderContract,), {"provider": provider, "make_sandbox": staticmethod(make)})
    found = applies(contract, name)
    assert found.startswith(reason)
    assert bool(found) is bool(reason)


# One cause is one failure.

CREATES = {
    "raises": ("raise Rejected('no')", "Rejected('no')"),
    "has-a-bug": ("raise KeyError('order')", "KeyError"),
    "names-no-id": (
        """charge = yield from super().create_charge(authorization, request)
        return replace(charge, reference=Reference(request.order_id))""",
        "the charge has no provider_id",
    ),
}


@pytest.mark.parametrize(("body", "said"), CREATES.values(), ids=CREATES)
def test_a_create_that_fails_is_one_failure_and_it_is_said_first(tmp_path: Path, body: str, said: str) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from msgspec.structs import replace\n"
        "from payments_alipayhk.provider import AlipayHKProvider\n"
        "from payments_core import Reference, Rejected, hookimpl\n\n\n"
        "class Broken(AlipayHKProvider):\n"
        "    @hookimpl\n"
        "    def create_charge(self, authorization, request):\n"
        f"        {body}\n"
        "        yield\n"
    )
    done = run("-q", f"--contract-provider={broken}:Broken")
    assert done.returncode == 1, done.stdout
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 1, failed
    assert "::test_the_usual_create_works" in failed[0]
    assert "the usual create fails, so no test that needs it was run: " in done.stdout
    assert said in done.stdout
    assert re.search(r"TestAlipayHK: \d{2,} tests were not run, because the usual create fails", done.stdout)
    assert re.search(r"1 failed, \d+ passed, \d{2,} deselected", done.stdout), "what needs no create was run"


def test_one_contract_that_stops_does_not_stop_the_next(tmp_path: Path) -> None:
    both = tmp_path / "test_two.py"
    both.write_text(
        "from payments_core import Rejected, hookimpl\n"
        "from payments_core.testing.contract import ProviderContract\n"
        "from payments_core.testing.fake import FakeProvider\n"
        "from payments_core.testing.fake_gateway import POLICY, make\n\n\n"
        "class Broken(FakeProvider):\n"
        "    @hookimpl\n"
        "    def create_charge(self, authorization, request):\n"
        "        raise Rejected('no')\n"
        "        yield\n\n\n"
        "class TestBroken(ProviderContract):\n"
        "    provider, make_sandbox, cassette_policy = Broken, staticmethod(make), POLICY\n\n\n"
        "class TestWhole(ProviderContract):\n"
        "    provider, make_sandbox, cassette_policy = FakeProvider, staticmethod(make), POLICY\n"
    )
    done = run("-q", "-k", "usual_create or status or hook_is_marked", str(both))
    assert done.stdout.count("the usual create fails, so no test") >= 1
    assert "TestWhole::test_the_usual_create_works" not in done.stdout, "it passes"
    assert "previous item was not torn down" not in done.stdout
