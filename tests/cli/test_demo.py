"""Test `payments demo`: every step really happens, or the exit code says so."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from payments_alipayhk import AlipayHKProvider
from payments_alipayhk import sandbox as sandbox_package
from payments_alipayhk.sandbox import Sandbox
from payments_core import Limits, Money

STEPS = ["authorized", "charged", "notified", "confirmed", "forgery_refused", "mismatch_refused"]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Sandbox], None]], None]:
    """Change the demo's sandbox before it is used."""

    def stage_(change: Callable[[Sandbox], None]) -> None:
        real = sandbox_package.make

        def make(port: int = 0) -> Sandbox:
            made = real(port)
            change(made)
            return made

        monkeypatch.setattr(sandbox_package, "make", make)

    return stage_


# The life of a charge.


def test_demo_plays_every_step_and_succeeds(run: Any) -> None:
    ran = run("demo")
    assert (ran.code, ran.err) == (0, "")
    shown = [line.split()[0] for line in ran.out.splitlines() if line[:1].isalpha()]
    assert [word for word in shown if word in STEPS] == STEPS
    assert "█▀" in ran.out, "a QR code is drawn"
    assert "Every step happened." in ran.out


def test_demo_with_json_prints_one_object_per_step(run: Any) -> None:
    ran = run("demo", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert [step["step"] for step in ran.lines] == STEPS
    authorized, charged, notified, confirmed, forgery, mismatch = ran.lines
    assert authorized["scheme"] == "Bearer"
    assert charged["amount"] == {"minor": 8800, "currency": "HKD", "text": "88.00"}
    assert charged["next_action"]["type"] == "redirect"
    assert notified["reference"] == charged["reference"]
    assert (notified["verified"], notified["authoritative"]) == (True, False)
    assert (confirmed["status"], confirmed["paid"]) == ("SUCCEEDED", True)
    assert (forgery["reason"], forgery["answered"]) == ("signature", 400)
    assert (mismatch["field"], mismatch["answered"]["text"]) == ("amount", "88.01")


def test_demo_queries_after_a_hint_and_not_after_an_authoritative_event(run: Any) -> None:
    """As the README says of `confirm_event`."""
    for provider, believed, source, asked in (
        ("stripe", "it carries a status", "the notification itself says SUCCEEDED", False),
        ("alipayhk", "it is a hint", "asked, the gateway says SUCCEEDED", True),
    ):
        out = run("demo", "--provider", provider).out
        assert believed in out
        assert source in out
        assert run("demo", "--provider", provider, "--json").lines[3]["asked"] is asked


def test_demo_runs_in_its_own_process(spawn: Any) -> None:
    ran = spawn("demo", "--json", "--amount", "1")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[3]["amount"]["text"] == "1.00"


def test_demo_shows_no_secret_and_no_token(run: Any, stage: Any) -> None:
    made: list[Sandbox] = []
    stage(made.append)
    text = run("demo").out + run("demo", "--json").out
    secrets = [sandbox.config[field] for sandbox in made for field in ("client_secret", "webhook_key")]
    assert len(secrets) == 4
    assert not [secret for secret in secrets if secret in text]
    assert re.search(r"[0-9a-f]{40}", text) is None, "tokens of the sandbox have 40 digits"


def test_demo_takes_a_given_order_id_and_currency(run: Any) -> None:
    ran = run("demo", "--json", "--order-id", "MINE-1", "--currency", "HKD", "--provider", "alipayhk", "--auto")
    assert ran.code == 0
    assert ran.lines[1]["reference"]["order_id"] == "MINE-1"


# A step that does not happen.


def failed(ran: Any, step: str, said: str) -> None:
    assert ran.code == 1
    assert [each["step"] for each in ran.lines] == STEPS[: STEPS.index(step)], "no later step is told"
    assert (ran.error["kind"], ran.error["step"], ran.error["exit_code"]) == ("Failed", step, 1)
    assert said in ran.error["message"]


def test_demo_fails_if_the_authorization_is_refused(run: Any, stage: Any) -> None:
    def change(sandbox: Sandbox) -> None:
        config = {**sandbox.config, "client_secret": "wrong"}
        sandbox.__class__ = type("Changed", (Sandbox,), {"config": property(lambda _: config)})

    stage(change)
    failed(run("demo", "--json"), "authorized", "AuthorizationRejected")


def test_demo_fails_if_the_charge_is_rejected(run: Any, stage: Any) -> None:
    stage(lambda sandbox: sandbox.reject_next(4711, "not today"))
    failed(run("demo", "--json"), "charged", "not today")


def test_demo_fails_if_the_notification_is_lost(run: Any, stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments_core.cli.walkthrough._TIMEOUT", 1.2)
    stage(lambda sandbox: setattr(sandbox, "pay", lambda order_id: Sandbox.pay(sandbox, order_id, notify=False)))
    failed(run("demo", "--json"), "notified", "no notification about this charge")


def test_demo_without_notification_advises_to_register_an_endpoint(
    run: Any, stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payments_core.cli.walkthrough._TIMEOUT", 1.2)
    stage(lambda sandbox: setattr(sandbox, "pay", lambda order_id: Sandbox.pay(sandbox, order_id, notify=False)))
    assert "give the sandbox\n  a method register_endpoint(url)" in run("demo").err


def test_demo_with_refused_defaults_advises_to_choose(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own rules for an order id, its own smallest amount."""
    info = AlipayHKProvider.info
    narrow = structs.replace(info, limits=Limits(order_id_length=8, order_id_pattern="[a-z]{3}-[0-9]{4}"))
    monkeypatch.setattr(AlipayHKProvider, "info", narrow)
    ran = run("demo", "--json")
    failed(ran, "charged", "takes an order_id like")
    assert ran.error["next"].startswith("The demo has chosen that by itself. Choose: --order-id ID, --amount 88.00")
    assert run("demo", "--order-id", "abc-1234").code == 0


@pytest.mark.parametrize(
    ("limits", "amount"),
    [
        (Limits(order_id_length=10, order_id_pattern="[0-9]+"), "88.00"),
        (Limits(order_id_length=6), "88.00"),
        (Limits(maximum=(Money.of("50", "HKD"),)), "50.00"),
        (Limits(minimum=(Money.of("100", "HKD"),)), "100.00"),
    ],
)
def test_demo_defaults_fit_the_provider_limits(
    run: Any, monkeypatch: pytest.MonkeyPatch, limits: Limits, amount: str
) -> None:
    monkeypatch.setattr(AlipayHKProvider, "info", structs.replace(AlipayHKProvider.info, limits=limits))
    ran = run("demo", "--json")
    assert ran.code == 0, ran.err
    assert ran.lines[1]["amount"]["text"] == amount


def test_demo_fails_if_the_notification_is_signed_with_another_key(run: Any, stage: Any) -> None:
    def change(sandbox: Sandbox) -> None:
        config = {**sandbox.config, "webhook_key": "another"}
        sandbox.__class__ = type("Changed", (Sandbox,), {"config": property(lambda _: config)})

    stage(change)
    failed(run("demo", "--json"), "notified", "refused")


def test_demo_fails_if_the_shopper_declines(run: Any, stage: Any) -> None:
    stage(lambda sandbox: setattr(sandbox, "pay", sandbox.cancel))
    failed(run("demo", "--json"), "notified", "CANCELLED: nothing was paid")


def test_demo_fails_if_the_charge_stays_pending(run: Any, stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notification alone proves nothing."""
    monkeypatch.setattr("payments_core.cli.walkthrough._TIMEOUT", 1.2)
    stage(lambda sandbox: setattr(sandbox, "pay", sandbox.deliver))
    failed(run("demo", "--json"), "confirmed", "PENDING")


def test_demo_fails_if_a_forgery_is_accepted(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments_alipayhk.webhook.same_hex_digest", lambda given, expected: True)
    failed(run("demo", "--json"), "forgery_refused", "was answered 200")


def test_demo_fails_if_another_amount_is_accepted(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "payments_core.models.Charge.require", lambda self, *_, **__: structs.replace(self, matched=True)
    )
    failed(run("demo", "--json"), "mismatch_refused", "an answer about 88.01 HKD was taken")


def test_demo_failure_is_reported_in_words(run: Any, stage: Any) -> None:
    stage(lambda sandbox: sandbox.reject_next(4711, "not today"))
    ran = run("demo")
    assert ran.code == 1
    assert ran.err.startswith("payments: charged did not happen: Rejected: ")
    assert "Traceback" not in ran.err
    assert "Every step happened" not in ran.out


# Paying by hand.


def test_demo_with_browser_prints_the_page_and_waits_for_payment(stage: Any, run: Any) -> None:
    made: list[Sandbox] = []
    stage(made.append)

    def person() -> None:
        while not made or not (orders := made[0]._gateway.orders()):
            time.sleep(0.01)
        page = made[0].wallet_url(orders[0].order_id)
        answer = urllib.request.Request(page, b"decision=approve", method="POST")
        urllib.request.urlopen(answer, timeout=10).close()

    clicking = threading.Thread(target=person)
    clicking.start()
    ran = run("demo", "--browser", "--json")
    clicking.join(10)
    assert (ran.code, [each["step"] for each in ran.lines]) == (0, STEPS)
    assert re.fullmatch(r"Pay here: http://127\.0\.0\.1:\d+/wallet/C\d+ .*\n", ran.err)


def test_demo_refuses_auto_with_browser(run: Any) -> None:
    assert run("demo", "--auto", "--browser").code == 2


# The QR code.


def test_qr_code_in_a_terminal_is_black_and_white() -> None:
    """Many readers take no inverted code, so the terminal's own colours must not matter."""
    text = in_terminal(columns=100)
    assert re.search("\x1b\\[97;40m█+\x1b\\[0m", text)
    assert "widen it" not in text


def test_qr_code_in_a_narrow_terminal_has_a_remark() -> None:
    text = in_terminal(columns=20)
    assert "\x1b[97;40m█" in text
    assert "(the terminal has 20 columns and the code needs" in text


def in_terminal(columns: int) -> str:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "payments_core.cli", "demo"], stdout=theirs, stderr=subprocess.PIPE, env=environment
    )
    os.close(theirs)
    text = b""
    try:
        while chunk := os.read(ours, 65536):
            text += chunk
    except OSError:  # Linux, when the other side is closed
        pass
    finally:
        os.close(ours)
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 0
    return text.decode()


def test_qr_code_without_block_characters_uses_ascii(spawn: Any) -> None:
    ran = spawn("demo", PYTHONIOENCODING="ascii")
    assert ran.code == 0
    assert "##  " in ran.out


def test_qr_code_without_segno_is_replaced_by_advice(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segno", None)
    ran = run("demo")
    assert ran.code == 0
    assert "pip install 'payments-core[cli]'" in ran.out


# Against any server.


@pytest.fixture
def there(tmp_path: Path, elsewhere: Any, write_toml: Any) -> Path:
    return write_toml(tmp_path / "elsewhere.toml", elsewhere.config)


def test_demo_with_config_charges_at_any_server(spawn: Any, elsewhere: Any, there: Path) -> None:
    ran = spawn("demo", "--config", there)
    assert (ran.code, ran.err) == (0, "")
    calls = elsewhere.calls
    assert (calls.token, len(calls.create), len(calls.query), calls.other) == (1, 1, 1, [])
    assert calls.create[0]["amount"] == "88.00"
    assert "https://a.payment.link/code" in ran.out
    assert "█" in ran.out


def test_demo_with_config_and_json_prints_three_steps(run: Any, there: Path) -> None:
    ran = run("demo", "--config", there, "--json", "--order-id", "P9297895081903", "--amount", "1")
    assert [each["step"] for each in ran.lines] == ["authorized", "charged", "queried"]
    assert ran.lines[1]["next_action"] == {"type": "redirect", "url": "https://a.payment.link/code"}
    assert ran.lines[2]["status"] == "PENDING"


def test_demo_with_config_starts_no_sandbox(run: Any, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_package, "make", None)
    assert run("demo", "--config", there).code == 0


def test_demo_uses_the_only_gateway_of_the_file(run: Any, tmp_path: Path, elsewhere: Any, write_toml: Any) -> None:
    file = write_toml(tmp_path / "one.toml", elsewhere.config, "hong-kong", provider="alipayhk")
    assert run("demo", "--config", file).code == 0
    assert run("demo", "--config", file, "--gateway", "hong-kong").code == 0
    assert run("demo", "--config", file, "--gateway", "macau").code == 3


def test_demo_uses_the_gateway_named_like_its_provider(
    run: Any, tmp_path: Path, elsewhere: Any, write_toml: Any
) -> None:
    first = write_toml(tmp_path / "first", elsewhere.config, "second", provider="alipayhk").read_text()
    file = tmp_path / "two.toml"
    file.write_text(first + write_toml(tmp_path / "x", elsewhere.config).read_text())
    ran = run("demo", "--config", file)
    assert ran.code == 0
    assert "gateway alipayhk" in ran.out


def test_demo_with_another_amount_in_the_answer_is_a_mismatch(run: Any, elsewhere: Any, there: Path) -> None:
    """The documentation's own example answers 50 TWD."""
    data = {
        "order_id": "C991289984923795789123",
        "merchant_order_id": "P9297895081903",
        "amount": "50",
        "currency": "TWD",
        "status": "SUCCEEDED",
    }
    elsewhere.answers["query"] = (200, {"code": 0, "data": data, "message": "ok", "rid": "r1"})
    ran = run("demo", "--config", there, "--order-id", "P9297895081903", "--json")
    assert ran.code == 8
    assert [each["step"] for each in ran.lines] == ["authorized", "charged"]
    assert (ran.error["kind"], ran.error["field"], ran.error["request_id"]) == ("Mismatch", "currency", "r1")


def test_demo_with_unknown_outcome_advises_to_ask(run: Any, elsewhere: Any, there: Path) -> None:
    elsewhere.answers["create"] = (502, {})
    ran = run("demo", "--config", there, "--order-id", "A1")
    assert ran.code == 7
    assert f"payments status alipayhk --order-id A1 --config {there}" in ran.err
    assert len(elsewhere.calls.create) == 1


def test_demo_refuses_sandbox_options_with_config(run: Any, there: Path) -> None:
    assert run("demo", "--config", there, "--browser").code == 2
    assert run("demo", "--gateway", "alipayhk").code == 2
