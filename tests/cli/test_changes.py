"""`payments confirm`, `capture`, `cancel`, `refund` and `refund-status`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from payments_core import (
    Accepted,
    ChargeRequest,
    Gateway,
    GatewayUnavailable,
    Money,
    OutcomeUnknown,
    RateLimited,
    Rejected,
)
from payments_core.cli import exits
from payments_core.testing.faults import FaultGateway, ForwardThen, Hang
from payments_stripe.sandbox import Sandbox, make

TEA = Money.of("88.00", "HKD")
MONEY = ("--amount", "88.00", "--currency", "HKD")
HALF = ("--amount", "44.00", "--currency", "HKD")


@pytest.fixture
def stripe() -> Iterator[Sandbox]:
    with make() as running:
        yield running


@pytest.fixture
def shop(stripe: Sandbox, tmp_path: Path, write_toml: Any) -> Path:
    return write_toml(tmp_path / "payments.toml", stripe.config, "stripe")


def charged(stripe: Sandbox, *, paid: bool = True, method: str = "alipay", capture: bool = True) -> str:
    """Make a charge of order A1, and return the gateway's id."""
    with Gateway.open("stripe", stripe.config) as gateway:
        request = ChargeRequest(
            "A1", TEA, "Tea", method=method, capture=capture, return_url="https://shop.example/back"
        )
        made = gateway.create_charge(request).reference.provider_id
    if paid:
        stripe.pay(made)
    return made


# payments confirm.


def test_confirm_exits_0_only_for_a_paid_order(run: Any, shop: Path, stripe: Sandbox) -> None:
    made = charged(stripe, paid=False)
    words = ("confirm", "stripe", "--order-id", "A1", "--provider-id", made, *MONEY)
    ran = run(*words, "--json")
    assert (ran.code, ran.json["paid"], ran.err) == (10, False, "")
    stripe.pay(made)
    assert (run(*words).code, run(*words, "--json").json["paid"]) == (0, True)


@pytest.mark.parametrize(
    ("change", "field"),
    [(("--amount", "88.01"), "amount"), (("--currency", "USD"), "currency"), (("--order-id", "A2"), "order_id")],
)
def test_confirm_refuses_another_order_or_amount(
    run: Any, shop: Path, stripe: Sandbox, change: tuple[str, str], field: str
) -> None:
    made = charged(stripe)
    ran = run("confirm", "stripe", "--order-id", "A1", "--provider-id", made, *MONEY, *change, "--json")
    assert (ran.code, ran.out, ran.error["kind"], ran.error["field"]) == (8, "", "Mismatch", field)


def test_confirm_of_a_refunded_order_is_not_paid(run: Any, shop: Path, stripe: Sandbox) -> None:
    made = charged(stripe)
    refund = ("refund", "stripe", "--provider-id", made, "--refund-id", "R1", *MONEY)
    assert run(*refund).code == 0
    ran = run("confirm", "stripe", "--order-id", "A1", "--provider-id", made, *MONEY, "--json")
    assert (ran.code, ran.json["paid"]) == (10, False)


# payments refund, capture and cancel.


def test_refund_is_made_once_per_refund_id(run: Any, shop: Path, stripe: Sandbox) -> None:
    made = charged(stripe)
    words = ("refund", "stripe", "--provider-id", made, "--refund-id", "R1", *HALF)
    ran = run(*words)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("the gateway took the refund R1 of 44.00 HKD\n")
    ask = f"payments refund-status stripe --provider-id {made} --refund-id R1"
    assert ran.out.endswith(f"ask later for its result: {ask}\n")
    assert run(*words, "--json").json["amount"] == {"minor": 4400, "currency": "HKD", "text": "44.00"}
    (held,) = stripe.charges("A1")
    assert held.refunded == Money.of("44", "HKD")
    asked = run("refund-status", "stripe", "--refund-id", "R1", "--provider-id", made, "--json")
    assert (asked.code, asked.json["refund_id"], asked.json["status"]) == (0, "R1", "PENDING")
    unknown = run("refund-status", "stripe", "--refund-id", "R2", "--provider-id", made, "--json")
    assert (unknown.code, unknown.error["kind"]) == (5, "NotFound")


def test_refund_above_the_paid_amount_is_refused(run: Any, shop: Path, stripe: Sandbox) -> None:
    made = charged(stripe)
    ran = run("refund", "stripe", "--provider-id", made, "--refund-id", "R1", "--amount", "88.01", "--currency", "HKD")
    assert ran.code in {4, 5}
    (held,) = stripe.charges("A1")
    assert held.refunded is None or held.refunded.minor == 0


def test_capture_of_an_authorized_charge_is_shown(run: Any, shop: Path, stripe: Sandbox) -> None:
    made = charged(stripe, method="card", capture=False)
    words = ("capture", "stripe", "--provider-id", made, "--capture-id", "C1", *MONEY)
    ran = run(*words)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("the gateway took the capture C1 of 88.00 HKD\n")
    (held,) = stripe.charges("A1")
    assert held.captured == TEA


def test_cancel_closes_an_unpaid_charge_and_not_a_paid_one(run: Any, shop: Path, stripe: Sandbox) -> None:
    made = charged(stripe, paid=False)
    ran = run("cancel", "stripe", "--provider-id", made)
    assert (ran.code, "the charge is CANCELLED" in ran.out) == (0, True)
    with Gateway.open("stripe", stripe.config) as gateway:
        request = ChargeRequest("A2", TEA, "Tea", method="alipay", return_url="https://shop.example/back")
        other = gateway.create_charge(request).reference.provider_id
    stripe.pay(other)
    assert run("cancel", "stripe", "--provider-id", other, "--json").json["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("refund", "alipayhk", "--order-id", "A1", "--refund-id", "R1", *MONEY), "in the gateway's own portal"),
        (("capture", "alipayhk", "--order-id", "A1", "--capture-id", "C1", *MONEY), "nothing is left to capture"),
        (("cancel", "alipayhk", "--order-id", "A1"), "ends by itself"),
        (("refund-status", "alipayhk", "--refund-id", "R1"), "`payments status`"),
    ],
)
def test_unsupported_operation_advises_an_alternative(
    run: Any, toml: Path, sandbox: Any, words: tuple[str, ...], said: str
) -> None:
    ran = run(*words)
    assert (ran.code, ran.out, sandbox.received) == (4, "", ())
    assert said in ran.err


@pytest.mark.parametrize("command", ["refund", "capture", "cancel", "refund-status"])
def test_change_without_ids_is_a_usage_error(run: Any, toml: Path, command: str) -> None:
    more = {"refund": ("--refund-id", "R1", *MONEY), "capture": ("--capture-id", "C1", *MONEY)}.get(command, ())
    ran = run(command, "alipayhk", *more, "--json")
    assert (ran.code, ran.error["kind"]) == (2, "Usage")


# Unknown outcomes.


def test_lost_refund_answer_gives_advice(run: Any, stripe: Sandbox, tmp_path: Path, write_toml: Any) -> None:
    made = charged(stripe)
    with FaultGateway(stripe.url) as between:
        write_toml(tmp_path / "payments.toml", {**stripe.config, "base_url": between.url}, "stripe")
        words = ("refund", "stripe", "--provider-id", made, "--refund-id", "R1", *HALF, "--deadline", "3")
        with between.inject(ForwardThen(Hang()), method="POST", path="/v1/refunds"):
            ran = run(*words, "--json")
        assert (ran.code, ran.error["kind"], ran.error["accepted"]) == (7, "OutcomeUnknown", "UNKNOWN")
        assert ran.error["next"].startswith("It may have been accepted. Run the very same command again")
        option = re.search("--first-sent-at [^:]+:[^:]+:[^:]+:[^:]+(?=:)", ran.error["next"])[0]
        again = run(*words, *option.split(" "), "--json")
        assert (again.code, again.json["refund_id"]) == (0, "R1")
    (held,) = stripe.charges("A1")
    assert held.refunded == Money.of("44", "HKD")


@pytest.mark.parametrize(
    ("operation", "asks_refunds", "said"),
    [
        ("refund_charge", True, "payments refund-status shop --provider-id P1 --refund-id R1; never just send it"),
        ("refund_charge", False, "payments status shop --provider-id P1 (it shows what is refunded); never just"),
        ("capture_charge", True, "payments status shop --provider-id P1; never just send it"),
        ("cancel_charge", True, "payments status shop --provider-id P1; never just send it"),
    ],
)
def test_unknown_outcome_without_key_advises_to_ask(operation: str, asks_refunds: bool, said: str) -> None:
    args = types.SimpleNamespace(gateway="shop", provider_id="P1", refund_id="R1", asks_refunds=asks_refunds)
    error = OutcomeUnknown("lost")
    error.operation = operation
    assert said in exits.advice(error, args)
    refused = Rejected("no")
    refused.operation = operation
    assert "may exist all the same" in exits.advice(refused, args)


@pytest.mark.parametrize("kind", [GatewayUnavailable, RateLimited])
def test_unreachable_gateway_after_unknown_outcome_is_not_repeatable(kind: Any) -> None:
    args = types.SimpleNamespace(gateway="shop", order_id="A1")
    error = kind("busy")
    error.operation = "create_charge"
    assert exits.exit_code(error) == exits.Exit.UNAVAILABLE
    error.accepted = Accepted.UNKNOWN
    assert exits.exit_code(error) == exits.Exit.UNKNOWN
    assert "Nothing was accepted" not in exits.advice(error, args)
    assert "payments status shop --order-id A1" in exits.advice(error, args)
    error.operation = "get_status"
    assert exits.exit_code(error) == exits.Exit.UNAVAILABLE


def test_ctrl_c_during_a_refund_says_it_may_have_been_accepted(
    run: Any, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("payments_core.Gateway.refund_charge", interrupted)
    ran = run("refund", "stripe", "--provider-id", "pi_1", "--refund-id", "R1", *MONEY)
    assert ran.code == 130
    assert "the refund may have been accepted" in ran.err
    assert "payments refund-status stripe --provider-id pi_1 --refund-id R1" in ran.err


@pytest.mark.linux
def test_refund_with_lost_output_advises_to_ask(shop: Path, stripe: Sandbox) -> None:
    made = charged(stripe)
    words = ["refund", "stripe", "--provider-id", made, "--refund-id", "R1", *MONEY]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "payments_core.cli", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env=os.environ,
            check=False,
        )
    assert done.returncode == 7
    assert "the refund was made, and cannot be shown" in done.stderr
    assert f"payments refund-status stripe --provider-id {made} --refund-id R1" in done.stderr


# Logs of the core.


def test_log_lines_do_not_appear_in_the_output(spawn: Any, toml: Path) -> None:
    made = spawn("charge", "alipayhk", "--order-id", "A1", *MONEY, "--description", "Tea")
    assert (made.code, made.err) == (0, "")
    assert made.out.count("no money moves (sandbox or test account)") == 1
    ran = spawn("confirm", "alipayhk", "--order-id", "A1", "--amount", "89", "--currency", "HKD", "--json")
    assert len(ran.err.splitlines()) == 1
    assert ran.error["kind"] == "Mismatch"
    assert "logged" not in ran.error


def test_plugin_bug_location_is_shown_below_its_error(run: Any, toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments_alipayhk.mapping.query", lambda reference: {}["nothing"])
    ran = run("status", "alipayhk", "--order-id", "A1", "--json")
    assert ran.code == 3
    assert "possible bug of the provider: KeyError at " in ran.error["logged"][0]
    assert "possible bug of the provider: KeyError at " in run("status", "alipayhk", "--order-id", "A1").err


def test_charge_without_money_declaration_has_no_note(run: Any, tmp_path: Path, write_toml: Any) -> None:
    from payments_core import Charge, PaymentStatus, Reference
    from payments_core.cli.display import charge_lines

    charge = Charge("x", Reference("A1"), PaymentStatus.PENDING, "open", TEA)
    assert not any("no money moves" in line for line in charge_lines(charge))


# The very same command again.

CHARGE = (
    "charge",
    "stripe",
    "--order-id",
    "A1",
    *MONEY,
    "--description",
    "Tea",
    "--return-url",
    "https://shop.example/",
)


def test_refused_repeated_charge_is_not_called_safe_to_abandon(
    run: Any, stripe: Sandbox, tmp_path: Path, write_toml: Any
) -> None:
    with FaultGateway(stripe.url) as between:
        write_toml(tmp_path / "payments.toml", {**stripe.config, "base_url": between.url}, "stripe")
        with between.inject(ForwardThen(Hang())):
            lost = run(*CHARGE, "--deadline", "2", "--json")
        assert (lost.code, lost.error["kind"]) == (7, "OutcomeUnknown")
        at = lost.error["first_sent_at"]
        assert f"--first-sent-at {at}: the gateway knows it by its key" in lost.error["next"]
    refused = run(*CHARGE, "--deadline", "1", "--first-sent-at", at, "--json")
    assert (refused.code, refused.error["accepted"]) == (7, "UNKNOWN"), "nobody listens, and the charge was made"
    assert "Nothing was accepted" not in refused.err
    write_toml(tmp_path / "payments.toml", stripe.config, "stripe")
    again = run(*CHARGE, "--first-sent-at", at, "--json")
    (held,) = stripe.charges("A1")
    assert (again.code, again.json["reference"]["provider_id"]) == (0, held.provider_id)


@pytest.mark.parametrize("time", ["soon", "2026-11-27", "2026-11-27T10:00:00"])
def test_time_without_offset_is_a_usage_error(run: Any, shop: Path, stripe: Sandbox, time: str) -> None:
    ran = run(*CHARGE, "--first-sent-at", time)
    assert (ran.code, stripe.received) == (2, ())
    assert "a time with a date and an offset" in ran.err


def test_ctrl_c_explains_how_to_repeat_a_charge_without_query(
    run: Any, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("payments_core.Gateway.create_charge", interrupted)
    ran = run(*CHARGE, "--json")
    assert ran.code == 130
    assert re.match(r"Run the very same command again with --first-sent-at 20\d\d-\S+\+00:00: ", ran.error["next"])
