"""Test what all commands share (help, versions, exit codes, encoding), and the sandbox and the recorder as commands."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
import types
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from payments_core import (
    AwaitShopper,
    CallSDK,
    Channel,
    ChargeRequest,
    Complete,
    Gateway,
    Limits,
    Method,
    Money,
    OutcomeUnknown,
    PaymentError,
    ProviderInfo,
    Redirect,
    Secret,
    ShowQRCode,
    SubmitForm,
    errors,
)
from payments_core.cli import display, encoding, exits, qr, sandbox
from payments_core.testing.server import LoopbackServer, WebhookListener

COMMANDS = [
    "demo",
    "providers",
    "doctor",
    "charge",
    "status",
    "confirm",
    "capture",
    "cancel",
    "refund",
    "refund-status",
    "webhook verify",
    "webhook sign",
    "sandbox",
    "record",
    "new-provider",
]


def test_version_is_that_of_the_distribution(run: Any) -> None:
    ran = run("--version")
    assert (ran.code, ran.out) == (0, f"payments-core {importlib.metadata.version('payments-core')}\n")


def test_help_lists_every_command_and_exit_code(run: Any) -> None:
    ran = run("--help")
    assert ran.code == 0
    for name in COMMANDS:
        assert re.search(rf"^ +{name.split()[0]}\b", ran.out, re.MULTILINE)
    for code in exits.Exit:
        assert f"\n{code.value:>5}  {exits.MEANINGS[code][:30]}" in ran.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(run: Any, name: str) -> None:
    ran = run(*name.split(), "--help")
    assert ran.code == 0
    assert "--json" in ran.out


@pytest.mark.parametrize("words", [(), ("nonsense",), ("webhook",), ("charge",), ("--jsn",), ("providers", "--jso")])
def test_wrong_command_line_is_a_usage_error(run: Any, words: tuple[str, ...]) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("payments: ")


def test_wrong_command_line_with_json_is_a_json_error(run: Any) -> None:
    ran = run("charge", "--json")
    assert (ran.code, ran.error["kind"], ran.error["exit_code"]) == (2, "Usage", 2)


def test_lost_answer_advice_depends_on_idempotency_keys() -> None:
    """With keys, repeat the same command for the same charge; without them, ask for the status."""
    args = types.SimpleNamespace(gateway="shop", order_id="A1")
    for operation, repeatable, said in (
        ("create_charge", True, "the very same command again"),
        ("create_charge", False, "payments status shop --order-id A1; never just send it again"),
        ("cancel_charge", True, "payments status"),
    ):
        error = OutcomeUnknown("lost", repeatable=repeatable)
        error.operation = operation
        assert said in exits.advice(error, args)


def test_every_error_has_an_exit_code_and_advice() -> None:
    """A new error must not end with exit code 1."""
    kinds = [getattr(errors, name) for name in errors.__all__]
    raised = [kind("x") for kind in kinds if issubclass(kind, PaymentError) and kind is not PaymentError]
    assert len(raised) >= 13
    for error in raised:
        assert exits.exit_code(error) not in {exits.Exit.OK, exits.Exit.FAILED, exits.Exit.USAGE}, error
        assert exits.advice(error, types.SimpleNamespace()), error


# JSON.


def test_money_is_encoded_with_its_text() -> None:
    assert json.loads(encoding.encode(Money.of("1.5", "KWD"))) == {"minor": 1500, "currency": "KWD", "text": "1.500"}


@pytest.mark.parametrize("value", [Secret("x"), {"a": [Secret("x")]}, b"x", object()])
def test_secret_cannot_be_encoded_at_any_depth(value: object) -> None:
    with pytest.raises(TypeError):
        encoding.encode(value)


def test_times_sets_and_actions_are_encoded_distinctly() -> None:
    encoded = encoding.plain(
        [datetime(2026, 1, 2, tzinfo=UTC), frozenset({"b", "a"}), ShowQRCode("x"), AwaitShopper(), CallSDK({"a": (1,)})]
    )
    assert encoded == [
        "2026-01-02T00:00:00+00:00",
        ["a", "b"],
        {"type": "show_qr_code", "content": "x"},
        {"type": "await_shopper"},
        {"type": "call_sdk", "parameters": {"a": [1]}},
    ]


@pytest.mark.parametrize(
    ("action", "words", "address"),
    [
        (Redirect("https://a/b"), "send the shopper's browser to https://a/b", "https://a/b"),
        (ShowQRCode("wallet:1"), "let the shopper scan a QR code of wallet:1", "wallet:1"),
        (SubmitForm("https://a", (("x", "1"), ("y", "2"))), "have the shopper's browser POST x, y to https://a", ""),
        (CallSDK({"a": 1}), 'hand to the gateway\'s SDK: {"a": 1}', ""),
        (AwaitShopper(), "wait: the wallet asks the shopper", ""),
        (Complete(), "complete the charge: the shopper has approved it", ""),
        (None, "", ""),
    ],
)
def test_every_next_action_is_described(action: Any, words: str, address: str) -> None:
    assert display.describe_action(action) == words
    assert display.action_address(action) == address


def test_qr_drawing_matches_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    """Read back module by module, it is what segno made."""
    segno = pytest.importorskip("segno")
    drawing, remark = qr.draw("https://a.payment.link/code", sys.stdout)
    read = []
    for line in drawing.splitlines():
        pairs = [{"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}[char] for char in line]
        read += [[top for top, _ in pairs], [bottom for _, bottom in pairs]]
    wanted = [list(row) for row in segno.make_qr("https://a.payment.link/code", error="l").matrix_iter(border=2)]
    assert read[: len(wanted)] == wanted
    assert remark == ""


def test_qr_content_over_the_limit_has_a_remark() -> None:
    drawing, remark = qr.draw("x" * 5000, sys.stdout)
    assert (drawing, "too long" in remark) == ("", True)


# payments sandbox.


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "payments_core.cli", "sandbox", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )


def test_sandbox_runs_until_ctrl_c_and_takes_charges(spawn: Any, tmp_path: Path) -> None:
    process = started("alipayhk", "--json", "--time-scale", "0.01")
    told = json.loads(process.stdout.readline())
    assert tomllib.loads(told["toml"])["gateways"]["alipayhk"]["base_url"] == told["url"]
    file = tmp_path / "payments.toml"
    file.write_text(told["toml"])
    words = ("--order-id", "A1", "--amount", "1", "--currency", "HKD", "--description", "Tea")
    charge = spawn("charge", "alipayhk", *words, "--config", file, "--json").json
    paying = f"{told['url']}/_sandbox/orders/{charge['reference']['provider_id']}/pay"
    request = urllib.request.Request(paying, b"{}", {"Content-Type": "application/json"}, method="POST")
    urllib.request.urlopen(request, timeout=10).close()
    asked = ("confirm", "alipayhk", "--order-id", "A1", "--amount", "1", "--currency", "HKD")
    assert spawn(*asked, "--config", file, "--json").json["paid"] is True
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0


def test_sandbox_prints_its_use_and_that_no_money_moves() -> None:
    process = started("alipayhk")
    said = ""
    while "GET http" not in said:
        said += process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "The sandbox is closed." in rest
    for shown_ in (
        "No money moves",
        "random credentials",
        "[gateways.alipayhk]",
        "--currency HKD",
        "/_sandbox/orders/ID/pay",
    ):
        assert shown_ in said


def test_gateway_without_notify_url_gets_one_from_its_sandbox() -> None:
    with WebhookListener() as shop:
        process = started("stripe", "--json", "--endpoint", shop.url)
        told = json.loads(process.stdout.readline())
        assert told["endpoints"] == [shop.url]
        with Gateway.open("stripe", told["config"]) as gateway:
            order = ChargeRequest("A1", Money.of("88", "HKD"), "Tea", return_url="https://shop.example/")
            made = gateway.create_charge(order).reference.provider_id
        paying = urllib.request.Request(
            f"{told['url']}/_sandbox/orders/{made}/pay", b"{}", {"Content-Type": "application/json"}, method="POST"
        )
        urllib.request.urlopen(paying, timeout=10).close()
        assert made.encode() in shop.wait(1)[0].body
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def test_sandbox_without_endpoint_says_nobody_is_notified() -> None:
    process = started("stripe")
    said = ""
    while "GET http" not in said:
        said += process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert "Notify: nobody." in said
    assert "payments sandbox stripe --endpoint http://127.0.0.1" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("alipayhk", "--endpoint", "http://127.0.0.1:8000/"), "takes the address with each charge"),
        (("stripe", "--endpoint", "https://shop.example/"), "only to this machine"),
        (("stripe", "--endpoint", "http://[/"), "only to this machine"),
        (("stripe", "--port", "99999"), "from 0 to 65535"),
        (("stripe", "--port", "-1"), "from 0 to 65535"),
        (("lantern", "--time-scale", "3"), "the sandbox of lantern does not take time_scale"),
    ],
)
def test_sandbox_names_an_unsupported_option(run: Any, words: tuple[str, ...], said: str) -> None:
    ran = run("sandbox", *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "port and" not in ran.err


def kept(name: str, file: Path, *words: str) -> dict[str, Any]:
    """Start a sandbox that keeps its section, and end it."""
    process = started(name, "--json", "--keep", str(file), *words)
    told = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    return json.loads(told)


@pytest.mark.parametrize("name", ["alipayhk", "stripe", "lantern"])
def test_kept_sandbox_restarts_with_the_same_credentials_and_address(name: str, tmp_path: Path) -> None:
    file = tmp_path / "kept.toml"
    first = kept(name, file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(file.read_text())["gateways"][name].items() <= first["config"].items()
    content = file.read_text()
    again = kept(name, file)
    assert (again["config"], file.read_text()) == (first["config"], content)


def test_kept_section_is_appended_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "payments.toml"
    file.write_text('# mine\n[gateways.stripe]\napi_key = "sk_test_1"')
    told = kept("alipayhk", file)
    text = file.read_text()
    assert text.startswith('# mine\n[gateways.stripe]\napi_key = "sk_test_1"\n')
    gateways = tomllib.loads(text)["gateways"]
    assert gateways["stripe"] == {"api_key": "sk_test_1"}
    assert gateways["alipayhk"].items() <= told["config"].items()


@pytest.mark.parametrize(
    ("name", "section", "words", "said"),
    [
        ("stripe", 'base_url = "https://api.stripe.com"\napi_key = "sk_live_1"', (), "is not a sandbox's"),
        ("stripe", 'api_key = "sk_live_1"', (), "is not a sandbox's"),
        ("stripe", 'base_url = "http://127.0.0.1:x"', (), "is not a sandbox's"),
        ("stripe", 'provider = "alipayhk"', (), "is of another provider"),
        ("stripe", 'base_url = "http://127.0.0.1:8123"', ("--port", "8124"), "keeps port 8123"),
        ("stripe", 'base_url = "http://127.0.0.1:8123"\nsecret = "x"', (), "does not take secret"),
    ],
)
def test_section_of_another_gateway_is_left_unchanged(
    run: Any, tmp_path: Path, name: str, section: str, words: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "payments.toml"
    file.write_text(f"[gateways.{name}]\n{section}\n")
    before = file.read_text()
    ran = run("sandbox", name, "--keep", file, *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "sk_live_1" not in ran.err
    assert file.read_text() == before


def test_sandbox_whose_factory_takes_no_credentials_is_not_kept(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = importlib.import_module("payments_lantern.sandbox").make
    monkeypatch.setattr("payments_lantern.sandbox.make", lambda port=0: make(port))
    ran = run("sandbox", "lantern", "--keep", tmp_path / "kept.toml")
    assert (ran.code, ran.out) == (2, "")
    assert "always makes up its api_key: it cannot be kept" in ran.err
    assert not (tmp_path / "kept.toml").exists()


def test_unwritable_keep_file_is_named(run: Any, tmp_path: Path) -> None:
    ran = run("sandbox", "alipayhk", "--keep", tmp_path / "nowhere" / "kept.toml")
    assert (ran.code, ran.out) == (2, "")
    assert "kept.toml cannot be written: No such file" in ran.err


@pytest.mark.parametrize(
    ("limits", "currencies", "shown_"),
    [
        ({}, {"EUR"}, ("A1", "--amount", "88.00", "--currency", "EUR")),
        ({"minimum": (Money.of("100", "JPY"),)}, {"JPY"}, ("A1", "--amount", "100", "--currency", "JPY")),
        ({"maximum": (Money.of("50", "HKD"),)}, {"HKD"}, ("A1", "--amount", "50.00", "--currency", "HKD")),
        ({"order_id_pattern": "[0-9]{12}"}, {"HKD"}, ("ID", "--amount", "88.00", "--currency", "HKD")),
    ],
)
def test_suggested_charge_fits_the_provider(
    monkeypatch: pytest.MonkeyPatch, limits: Any, currencies: set[str], shown_: tuple[str, ...]
) -> None:
    info = ProviderInfo(
        id="narrow",
        title="Narrow",
        currencies=frozenset(currencies),
        methods=(Method("m", "M"),),
        channels=frozenset(Channel),
        limits=Limits(**limits),
        raw_statuses={},
    )
    narrow = types.SimpleNamespace(name="narrow", info=info)
    monkeypatch.setattr("payments_core.cli.sandbox.installed_providers", lambda: [narrow])
    assert sandbox._example("narrow") == shown_
    assert sandbox._example("nobody") == ("ID", "--amount", "AMOUNT", "--currency", "CODE")


def test_port_in_use_is_named(run: Any) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

    with LoopbackServer(nothing) as taken:
        ran = run("sandbox", "alipayhk", "--port", taken.port)
    assert ran.code == 1
    assert f"port {taken.port} of 127.0.0.1 is in use" in ran.err


def test_missing_sandbox_and_wrong_time_scale_are_named(run: Any) -> None:
    assert run("sandbox", "nobody").code == 3
    ran = run("sandbox", "alipayhk", "--time-scale", "-1")
    assert ran.code == 1
    assert "time_scale" in ran.err


def test_missing_sandbox_extra_is_named(spawn: Any, distribution: Any) -> None:
    site = distribution("payments-hollow", "import uvicorn_of_nobody\n", sandboxes="hollow = payments_hollow:make")
    ran = spawn("sandbox", "hollow", "--json", PYTHONPATH=str(site))
    assert (ran.code, ran.error["kind"]) == (3, "ProviderContractError")
    assert "[sandbox]" in ran.error["message"]


# payments record.


def test_record_writes_cassettes_from_the_sandbox(run: Any) -> None:
    ran = run("record", "alipayhk", "--story", "paid", "--output", "here", "--json")
    assert (ran.code, ran.err) == (0, "")
    (recorded,) = ran.json["recorded"]
    assert recorded == "here/sandbox/paid.yaml"
    assert "payment_intents/create" in Path(recorded).read_text()


def test_record_writes_to_the_cassettes_folder_by_default(run: Any) -> None:
    assert "recorded cassettes/alipayhk/sandbox/paid.yaml" in run("record", "alipayhk", "--story", "paid").out


def test_record_names_an_unknown_story(run: Any) -> None:
    ran = run("record", "alipayhk", "--story", "nonesuch")
    assert ran.code in {1, 2, 3, 4}
    assert "nonesuch" in ran.err


def test_record_live_uses_the_configured_gateway(
    run: Any, toml: Path, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def person() -> str:
        sandbox.pay(sandbox._gateway.orders()[-1].order_id)
        return ""

    monkeypatch.setattr("builtins.input", person)
    ran = run("record", "alipayhk", "--live", "--story", "paid", "--output", "here", "--config", toml, "--json")
    assert ran.code == 0, ran.err
    assert ran.json == {"recorded": ["here/live/paid.yaml"]}
    assert "then press Enter" in ran.err, "what is asked of the person is not mixed with the result"
    assert "█" in ran.err
    kept = Path("here/live/paid.yaml").read_text()
    assert not [field for field in ("client_secret", "webhook_key") if sandbox.config[field] in kept]


def test_record_failure_is_reported_in_words(run: Any, toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda: "")  # claims to have paid without paying
    ran = run("record", "alipayhk", "--live", "--story", "paid", "--json")
    assert ran.code == 1
    assert '"kind": "Failed"' in ran.err
    assert not Path("cassettes").exists() or not list(Path("cassettes").rglob("*.yaml"))


def test_record_names_a_missing_dependency(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "payments_core.testing.cassettes", None)
    monkeypatch.delattr("payments_core.testing.cassettes", raising=False)
    ran = run("record", "alipayhk")
    assert ran.code == 3
    assert "payments-core[testing]" in ran.err
