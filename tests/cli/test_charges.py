"""`payments charge` and `payments status`."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from payments_core import Charge, Money, PaymentStatus, Reference
from payments_core.cli.display import charge_lines

CHARGE = ("charge", "alipayhk", "--order-id", "A1", "--amount", "88.00", "--currency", "HKD", "--description", "Tea")


def test_charge_is_made_and_shown(run: Any, toml: Path, sandbox: Any) -> None:
    ran = run(*CHARGE)
    assert (ran.code, ran.err) == (0, "")
    assert "REQUIRES_ACTION (the gateway says PENDING)" in ran.out
    assert "88.00 HKD" in ran.out
    assert "send the shopper's browser to http://127.0.0.1" in ran.out
    assert "█" in ran.out


def test_every_field_of_the_request_reaches_the_gateway(
    run: Any, elsewhere: Any, tmp_path: Path, write_toml: Any
) -> None:
    write_toml(tmp_path / "payments.toml", elsewhere.config)
    more = ("--method", "ALIPAYCN", "--channel", "IN_STORE", "--notify-url", "https://shop.example/hook")
    assert run(*CHARGE, *more, "--return-url", "https://shop.example/back", "--deadline", "5").code == 0
    assert elsewhere.calls.create == [
        {
            "amount": "88.00",
            "currency": "HKD",
            "merchant_order_id": "A1",
            "description": "Tea",
            "notify_url": "https://shop.example/hook",
            "payment_method": {
                "type": "alipayhk",
                "alipayhk": {"flow": "csb_qrcode", "payment_method": "ALIPAYCN"},
            },
        }
    ]


def test_charge_with_json_is_one_object(run: Any, toml: Path) -> None:
    ran = run(*CHARGE, "--json")
    assert ran.json["amount"] == {"minor": 8800, "currency": "HKD", "text": "88.00"}
    assert ran.json["next_action"]["type"] == "redirect"
    assert (ran.json["status"], ran.json["paid"]) == ("REQUIRES_ACTION", False)


@pytest.mark.parametrize("by", ["--order-id", "--provider-id"])
def test_status_is_queried_by_either_id(run: Any, toml: Path, sandbox: Any, by: str) -> None:
    charge = run(*CHARGE, "--json").json["reference"]
    sandbox.pay(charge["provider_id"])
    reference = charge["order_id" if by == "--order-id" else "provider_id"]
    ran = run("status", "alipayhk", by, reference, "--json")
    assert (ran.code, ran.json["status"], ran.json["paid"]) == (0, "SUCCEEDED", None)
    assert "SUCCEEDED" in run("status", "alipayhk", by, reference).out
    compared = run("status", "alipayhk", by, reference, "--amount", "88", "--currency", "HKD", "--json")
    assert (compared.code, compared.json["paid"]) == (0, True if by == "--order-id" else None)
    refused = run("status", "alipayhk", by, reference, "--amount", "89", "--currency", "HKD", "--json")
    assert (refused.code, refused.out, refused.error["field"]) == (8, "", "amount")


def test_status_shows_paid_in_its_own_row(run: Any, toml: Path, sandbox: Any) -> None:
    """As the help says: read `paid`."""
    assert "read `paid`" in run("status", "--help").out
    charge = run(*CHARGE, "--json").json["reference"]
    assert re.search(r"^paid +no$", run("status", "alipayhk", "--order-id", "A1").out, re.MULTILINE)
    sandbox.pay(charge["provider_id"])
    asked = ("status", "alipayhk", "--order-id", "A1")
    assert re.search(r"^paid +not compared with an order: run `payments confirm`", run(*asked).out, re.MULTILINE)
    compared = run(*asked, "--amount", "88", "--currency", "HKD")
    assert re.search(r"^paid +yes(, at \d{4}-.*)?$", compared.out, re.MULTILINE)
    later = Charge(
        provider="x",
        reference=Reference("A1"),
        status=PaymentStatus.SUCCEEDED,
        raw_status="paid",
        amount=Money.of("88", "HKD"),
        paid_at=datetime(2026, 11, 1, tzinfo=UTC),
    )
    assert "paid          yes, at 2026-11-01 00:00:00+00:00" in charge_lines(later.require("A1", later.amount))


def test_status_of_an_unpaid_charge_exits_0(run: Any, toml: Path, sandbox: Any) -> None:
    charge = run(*CHARGE, "--json").json["reference"]
    sandbox.cancel(charge["provider_id"])
    ran = run("status", "alipayhk", "--order-id", "A1", "--json")
    assert (ran.code, ran.json["status"], ran.json["paid"]) == (0, "CANCELLED", False)


def test_config_names_another_file(run: Any, tmp_path: Path, sandbox: Any, write_toml: Any) -> None:
    file = write_toml(tmp_path / "other.toml", sandbox.config, "shop", provider="alipayhk")
    words = (CHARGE[0], "shop", *CHARGE[2:])
    assert run(*words).code == 3
    assert run(*words, "--config", file).code == 0
    assert run("status", "shop", "--order-id", "A1", "--config", file).code == 0


def test_the_environment_overlays_the_named_file(
    run: Any, tmp_path: Path, sandbox: Any, write_toml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_toml(tmp_path / "other.toml", {**sandbox.config, "client_secret": ""})
    assert run(*CHARGE, "--config", file).code == 3
    secret = tmp_path / "secret"
    secret.write_text(sandbox.config["client_secret"] + "\n")
    monkeypatch.setenv("PAYMENTS_ALIPAYHK_CLIENT_SECRET_FILE", str(secret))
    assert run(*CHARGE, "--config", file).code == 0


# One exit code for each thing to do next.


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        (("--amount", "88.005"), "InvalidRequest", 4),
        (("--amount", "NaN"), "InvalidRequest", 4),
        (("--amount", "0"), "InvalidRequest", 4),
        (("--currency", "TWD"), "InvalidRequest", 4),
        (("--method", "CASH"), "InvalidRequest", 4),
        (("--order-id", "x" * 33), "InvalidRequest", 4),
        (("--notify-url", "ftp://shop.example"), "InvalidRequest", 4),
        (("--deadline", "nan"), "InvalidRequest", 4),
        (("--deadline", "-1"), "InvalidRequest", 4),
        (("--deadline", "soon"), "Usage", 2),
        (("--channel", "BUS"), "Usage", 2),
        (("--config", "nowhere.toml"), "Usage", 2),
    ],
)
def test_invalid_request_is_refused_before_anything_is_sent(
    run: Any, toml: Path, sandbox: Any, change: tuple[str, str], kind: str, code: int
) -> None:
    ran = run(*CHARGE, *change, "--json")
    assert (ran.code, ran.out) == (code, "")
    assert (ran.error["kind"], ran.error["exit_code"]) == (kind, code)
    assert ran.error["next"] or kind == "Usage"
    assert sandbox.received == ()


def test_rejection_says_the_charge_may_exist(run: Any, toml: Path, sandbox: Any) -> None:
    sandbox.reject_next(4711, "not today")
    ran = run(*CHARGE, "--json")
    assert (ran.code, ran.error["kind"], ran.error["raw_code"]) == (5, "Rejected", "4711")
    assert (ran.error["definitive"], ran.error["code"]) == (False, "UNKNOWN")
    assert "payments status alipayhk --order-id A1" in ran.error["next"]
    assert ran.error["request_id"]


@pytest.mark.parametrize(
    ("path", "answer", "kind", "code"),
    [
        ("auth", (401, {}), "AuthorizationRejected", 3),
        ("auth", (503, {}), "GatewayUnavailable", 6),
        ("auth", (200, {}), "ProtocolViolation", 8),
        ("create", (429, {}), "RateLimited", 6),
        ("create", (500, {}), "OutcomeUnknown", 7),
        ("create", (200, []), "OutcomeUnknown", 7),
    ],
)
def test_gateway_behaviour_decides_the_exit_code(
    run: Any, elsewhere: Any, tmp_path: Path, write_toml: Any, path: str, answer: Any, kind: str, code: int
) -> None:
    write_toml(tmp_path / "payments.toml", elsewhere.config)
    elsewhere.answers[path] = answer
    ran = run(*CHARGE, "--deadline", "10", "--json")
    assert (ran.code, ran.error["kind"], ran.error["exit_code"], ran.out) == (code, kind, code, "")
    plain = run(*CHARGE, "--deadline", "10")
    assert plain.code == code
    assert plain.err.startswith("payments: alipayhk.")
    assert len(plain.err.splitlines()) == 2, "what happened, and what to do next"


def test_unreachable_gateway_advises_to_ask_again(run: Any, tmp_path: Path, elsewhere: Any, write_toml: Any) -> None:
    write_toml(tmp_path / "payments.toml", elsewhere.config | {"base_url": "http://127.0.0.1:9"})
    ran = run(*CHARGE, "--deadline", "0.5")
    assert ran.code == 6
    assert "safe to run this again" in ran.err


@pytest.mark.parametrize("text", ["", "\n", " hush-hush\n"])
def test_blank_secret_file_is_named_by_its_setting(
    run: Any, tmp_path: Path, sandbox: Any, write_toml: Any, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(text)
    write_toml(tmp_path / "payments.toml", {**sandbox.config, "client_secret": ""}, client_secret_file=str(secret))
    ran = run(*CHARGE)
    assert ran.code == 3
    assert "client_secret must not be" in ran.err
    assert "(it was read from the file that client_secret_file names)" in ran.err
    monkeypatch.setenv("PAYMENTS_ALIPAYHK_CLIENT_SECRET_FILE", str(secret))
    write_toml(tmp_path / "payments.toml", {**sandbox.config, "client_secret": ""})
    assert "the file that PAYMENTS_ALIPAYHK_CLIENT_SECRET_FILE names" in run(*CHARGE).err
    assert "hush-hush" not in ran.err


def test_unconfigured_gateway_names_the_missing_settings(run: Any) -> None:
    ran = run(*CHARGE)
    assert ran.code == 3
    assert "PAYMENTS_ALIPAYHK_CLIENT_SECRET" in ran.err


def test_missing_provider_is_named(run: Any) -> None:
    ran = run(CHARGE[0], "nobody", *CHARGE[2:], "--json")
    assert (ran.code, ran.error["kind"]) == (3, "ProviderNotFound")


def test_misspelt_gateway_name_differs_from_missing_plugin(
    run: Any, tmp_path: Path, sandbox: Any, write_toml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (CHARGE[0], "kowlon", *CHARGE[2:])
    assert "no payments.toml was found here, and no provider 'kowlon' is installed" in run(*words).err
    write_toml(tmp_path / "payments.toml", sandbox.config, "kowloon", provider="alipayhk")
    ran = run(*words)
    assert ran.code == 3
    assert "payments.toml has no [gateways.kowlon] (it has: kowloon), and no provider 'kowlon'" in ran.err
    monkeypatch.setenv("PAYMENTS_CONFIG", str(tmp_path / "payments.toml"))
    assert f"{tmp_path}/payments.toml has no [gateways.kowlon]" in run(*words).err
    write_toml(tmp_path / "payments.toml", sandbox.config, "kowlon")
    assert run(*words).err.startswith("payments: no provider 'kowlon'"), "it is configured, and the plugin is missing"
    monkeypatch.setenv("PAYMENTS_KOWLON_PROVIDER", "alipay")
    assert run(*words).err.startswith("payments: no provider 'alipay'")


def test_status_without_id_or_with_half_an_amount_is_a_usage_error(run: Any, toml: Path) -> None:
    assert run("status", "alipayhk").code == 2
    assert run("status", "alipayhk", "--order-id", "A1", "--amount", "1").code == 2


# Secrets.


def test_secret_argument_is_refused_and_not_repeated(run: Any, toml: Path) -> None:
    """A secret typed by mistake is already on the screen, but must not get into an error log."""
    for words in (("--client-secret", "hush-hush"), ("--client-secret=hush-hush",), ("hush-hush",)):
        for as_json in ((), ("--json",)):
            ran = run(*CHARGE, *words, *as_json)
            assert ran.code == 2
            assert "hush-hush" not in ran.out + ran.err
    assert "A secret is never an argument" in ran.err


def test_misplaced_secret_in_the_configuration_is_not_shown(
    run: Any, tmp_path: Path, sandbox: Any, write_toml: Any
) -> None:
    write_toml(tmp_path / "payments.toml", {**sandbox.config, "base_url": sandbox.config["client_secret"]})
    ran = run(*CHARGE)
    assert ran.code == 3
    assert sandbox.config["client_secret"] not in ran.out + ran.err


def test_control_characters_from_a_gateway_are_escaped(
    run: Any, elsewhere: Any, tmp_path: Path, write_toml: Any
) -> None:
    write_toml(tmp_path / "payments.toml", elsewhere.config)
    run(*CHARGE)
    data = {
        "order_id": "C1\x1b[2J",
        "merchant_order_id": "A1",
        "amount": "88.00",
        "currency": "HKD",
        "status": "SUC\x1b]0;paid\x07\u202ecCEEDED",
    }
    elsewhere.answers["query"] = (200, {"code": 0, "data": data, "message": "ok", "rid": "r1"})
    for as_json in ((), ("--json",)):
        ran = run("status", "alipayhk", "--order-id", "A1", *as_json)
        assert not set(ran.out + ran.err) & set("\x1b\x07\u202e")


# Interruptions.


def test_ctrl_c_during_a_charge_says_it_may_have_been_accepted(
    run: Any, toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("payments_core.Gateway.create_charge", interrupted)
    ran = run(*CHARGE)
    assert ran.code == 130
    assert "may have been accepted" in ran.err
    assert "payments status alipayhk --order-id A1" in ran.err
    assert run(*CHARGE, "--json").error["kind"] == "Interrupted"


def test_ctrl_c_ends_without_a_traceback(tmp_path: Path, elsewhere: Any, write_toml: Any) -> None:
    file = write_toml(tmp_path / "payments.toml", elsewhere.config)

    released = threading.Event()

    def hang(name: str, usual: Any) -> Any:
        elsewhere.calls.other.append("asked")
        released.wait(30)
        return usual

    elsewhere.changed = hang
    words = [sys.executable, "-m", "payments_core.cli", *CHARGE, "--config", str(file)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
    until = time.monotonic() + 30
    while not elsewhere.calls.other and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    released.set()
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    assert b"interrupted" in err


# Closed or full output.


def redirected(redirection: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell does, with this redirection."""
    command = shlex.join([sys.executable, "-m", "payments_core.cli", *words])
    return subprocess.run(
        ["sh", "-c", f"{command} {redirection}"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ,
        check=False,
    )


def without_a_reader(*words: str) -> subprocess.CompletedProcess[str]:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, "-m", "payments_core.cli", *words],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)


def test_closed_pipe_ends_quietly() -> None:
    done = without_a_reader("providers")
    assert (done.returncode, done.stderr) == (141, "")


def test_charge_is_reported_on_stderr_when_stdout_fails(toml: Path, sandbox: Any) -> None:
    done = without_a_reader(*CHARGE)
    (held,) = sandbox.charges("A1")
    assert done.returncode == 141
    assert "the charge was made, and cannot be shown" in done.stderr
    assert f"payments status alipayhk --order-id A1 --provider-id {held.provider_id}; never just send it" in done.stderr


@pytest.mark.linux
@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_charge_with_lost_output_advises_to_ask(toml: Path, sandbox: Any, as_json: tuple[str, ...]) -> None:
    """The disk is full: exit code 7, because the caller must ask, and not send again."""
    done = redirected("> /dev/full", *CHARGE, *as_json)
    (held,) = sandbox.charges("A1")
    assert done.returncode == 7
    assert "the charge was made, and cannot be shown: No space left on device" in done.stderr
    assert f"payments status alipayhk --order-id A1 --provider-id {held.provider_id}" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.linux
def test_demo_with_config_and_lost_output_makes_no_charge(toml: Path, sandbox: Any) -> None:
    """It writes before it charges."""
    done = redirected("> /dev/full", "demo", "--config", str(toml), "--order-id", "A1")
    assert (done.returncode, sandbox.charges("A1")) == (1, ())
    assert done.stderr == "payments: the output cannot be written: No space left on device\n"


def test_closed_stdout_sends_nothing(toml: Path, sandbox: Any) -> None:
    done = redirected(">&-", *CHARGE)
    assert (done.returncode, sandbox.received) == (1, ())
    assert "stdout is closed" in done.stderr
    assert "Nothing was done" in done.stderr


@pytest.mark.linux
@pytest.mark.parametrize("redirection", ["2>&-", "2> /dev/full"])
def test_closed_stderr_keeps_the_exit_code(toml: Path, redirection: str) -> None:
    assert redirected(redirection, *CHARGE, "--json").returncode == 0
    assert redirected(redirection, *CHARGE, "--json").returncode == 5, "the same order id again"
    assert redirected(redirection, "charge", "--json").returncode == 2
    assert redirected(redirection, *CHARGE, "--amount", "NaN").returncode == 4


@pytest.mark.linux
def test_unwritable_output_is_reported_in_words() -> None:
    done = redirected("> /dev/full", "providers")
    assert (done.returncode, done.stderr) == (1, "payments: the output cannot be written: No space left on device\n")


def test_json_output_is_ascii(run: Any, elsewhere: Any, tmp_path: Path, write_toml: Any) -> None:
    write_toml(tmp_path / "payments.toml", elsewhere.config)
    ran = run(CHARGE[0], CHARGE[1], "--order-id", "訂單", *CHARGE[4:], "--json")
    assert ran.code == 0
    assert ran.out.isascii()
    assert json.loads(ran.out)["reference"]["order_id"] == "訂單"
