"""Test `payments doctor`: it finds each fault, and charges nothing."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from payments_alipayhk import AlipayHKProvider
from payments_core import Gateway, PaymentError, UnsupportedOperation, WebhookDelivery
from payments_core.cli import connectivity, examine
from payments_core.testing.faults import HTML, FaultGateway, Status
from payments_core.testing.server import ReceivedDelivery, WebhookListener
from payments_stripe.sandbox import Sandbox as StripeSandbox
from payments_stripe.sandbox import make as make_stripe

TLS = Path(__file__).parents[1] / "core" / "tls"  # made for tests, and signed by itself
OK = {"settings": "ok", "plugin": "ok", "address": "ok", "credentials": "ok", "clock": "skipped", "money": "warning"}


@pytest.fixture
def stripe(tmp_path: Path, write_toml: Any) -> Iterator[StripeSandbox]:
    with make_stripe() as running:
        write_toml(tmp_path / "payments.toml", running.config, "stripe")
        yield running


def results(ran: Any, gateway: str = "") -> dict[str, str]:
    """Return the result of each check, for the only gateway or the named one."""
    found = [each for each in ran.json["gateways"] if gateway in {"", each["gateway"]}]
    assert len(found) == 1
    return {each["check"]: each["result"] for each in found[0]["checks"]}


def message(ran: Any, check: str) -> str:
    (found,) = [each for each in ran.json["gateways"][0]["checks"] if each["check"] == check]
    return f"{found['message']} {found['next']}"


# One thing wrong at a time.


def test_working_gateway_passes_every_check_without_a_charge(run: Any, toml: Path, sandbox: Any) -> None:
    ran = run("doctor", "--json")
    assert (ran.code, ran.err, ran.json["failed"]) == (0, "", 0)
    assert results(ran) == OK
    assert {each.path for each in sandbox.received} == {"/mch-api/v1/auth"}
    said = run("doctor")
    assert (said.code, "No check failed." in said.out) == (0, True)
    assert "no money moves (sandbox or test account)" in said.out
    for value in sandbox.config.values():
        assert not value or value not in said.out + ran.out


def test_doctor_queries_an_unknown_charge_without_authorization(run: Any, stripe: StripeSandbox) -> None:
    ran = run("doctor", "--json")
    assert (ran.code, results(ran)) == (0, OK)
    assert [each.method for each in stripe.received] == ["GET"]


def test_refused_credentials_fail_their_check(run: Any, tmp_path: Path, sandbox: Any, write_toml: Any) -> None:
    write_toml(tmp_path / "payments.toml", {**sandbox.config, "client_secret": "hush-hush-hush"})
    ran = run("doctor", "--json")
    assert (ran.code, results(ran)) == (1, OK | {"credentials": "failed"})
    assert "hush" not in ran.out + ran.err


def test_refused_key_without_authorization_step_fails_the_credentials(
    run: Any, tmp_path: Path, stripe: StripeSandbox, write_toml: Any
) -> None:
    write_toml(tmp_path / "payments.toml", {**stripe.config, "api_key": "sk_test_hush_hush_hush"}, "stripe")
    ran = run("doctor", "--json")
    assert (ran.code, results(ran)) == (1, OK | {"credentials": "failed"})
    assert "hush" not in ran.out + ran.err


@pytest.mark.parametrize("fault", [Status(503), HTML()])
def test_answer_of_another_server_proves_no_credentials(
    run: Any, tmp_path: Path, sandbox: Any, write_toml: Any, fault: Any
) -> None:
    with FaultGateway(sandbox.url) as between, between.inject(fault):
        write_toml(tmp_path / "payments.toml", {**sandbox.config, "base_url": between.url})
        ran = run("doctor", "--deadline", "2", "--json")
    assert (ran.code, results(ran)) == (1, OK | {"credentials": "failed"})


@pytest.mark.parametrize(
    ("change", "said"),
    [({"uid": ""}, "uid missing"), ({"uid": " 1"}, "uid must not begin"), ({"base_url": "ftp://x"}, "base_url must")],
)
def test_incomplete_settings_name_the_field(
    run: Any, tmp_path: Path, sandbox: Any, write_toml: Any, change: dict[str, str], said: str
) -> None:
    write_toml(tmp_path / "payments.toml", {**sandbox.config, **change})
    ran = run("doctor", "alipayhk", "--json")
    assert (ran.code, results(ran)) == (1, {"settings": "failed"})
    assert said in message(ran, "settings")
    assert sandbox.received == ()


def test_missing_or_broken_plugin_is_named(
    run: Any, tmp_path: Path, sandbox: Any, write_toml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toml(tmp_path / "payments.toml", sandbox.config, "shop", provider="gone")
    ran = run("doctor", "--json")
    assert (ran.code, results(ran)) == (1, {"plugin": "failed"})
    write_toml(tmp_path / "payments.toml", sandbox.config, "shop", provider="alipayhk")
    monkeypatch.setattr(AlipayHKProvider, "info", structs.replace(AlipayHKProvider.info, contract=99))
    ran = run("doctor", "--json")
    assert (ran.code, results(ran)) == (1, {"plugin": "failed"})
    assert "contract 99" in message(ran, "plugin")


def test_doctor_checks_all_gateways_or_those_named(run: Any, toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with toml.open("a") as more:
        more.write("[gateways.stripe]\n")
    ran = run("doctor", "--json")
    assert (ran.code, [each["gateway"] for each in ran.json["gateways"]]) == (1, ["alipayhk", "stripe"])
    assert run("doctor", "alipayhk").code == 0
    assert results(run("doctor", "alipayhk", "nobody", "--json"), "nobody") == {"plugin": "failed"}


def test_missing_or_broken_configuration_is_a_configuration_error(run: Any, tmp_path: Path) -> None:
    ran = run("doctor", "--json")
    assert (ran.code, ran.error["message"]) == (3, "no gateway is configured here")
    (tmp_path / "payments.toml").write_text("[gateways")
    assert run("doctor").code == 3
    assert results(run("doctor", "alipayhk", "--json")) == {"settings": "failed"}
    assert run("doctor", "--config", "nowhere.toml").code == 2


# The address.


def test_closed_port_differs_from_unknown_host(
    run: Any, tmp_path: Path, sandbox: Any, write_toml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toml(tmp_path / "payments.toml", {**sandbox.config, "base_url": "http://127.0.0.1:9"})
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.internal:3128")
    ran = run("doctor", "--deadline", "1", "--json")
    assert results(ran) == OK | {"address": "failed", "credentials": "skipped"}
    assert message(ran, "address").startswith("TCP: no connection to port 9 of base_url's host: Connection refused")
    assert "HTTPS_PROXY is set here, and gateways ignore it" in message(ran, "address")
    assert "proxy.internal" not in ran.out
    write_toml(tmp_path / "payments.toml", {**sandbox.config, "base_url": "https://hush-hush.invalid"})
    ran = run("doctor", "--deadline", "1", "--json")
    assert message(ran, "address").startswith("DNS: the host of base_url has no address")
    assert "hush" not in ran.out


def test_port_without_tls_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        problem, advice = connectivity.connection_problem(f"https://127.0.0.1:{server.getsockname()[1]}", 10)
        thread.join(10)
    assert problem.startswith("TLS: the handshake failed: ")
    assert "https although the server speaks http" in advice


def test_untrusted_certificate_is_named(run: Any, tmp_path: Path, sandbox: Any, write_toml: Any) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def answer() -> None:
            while not ended.is_set():
                connection, _ = server.accept()
                with connection:
                    try:
                        context.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        continue

        threading.Thread(target=answer, daemon=True).start()
        base_url = f"https://127.0.0.1:{server.getsockname()[1]}"
        write_toml(tmp_path / "payments.toml", {**sandbox.config, "base_url": base_url})
        ran = run("doctor", "--deadline", "2", "--json")
        trusted = connectivity.connection_problem(base_url, 10, ca_file=str(TLS / "cert.pem"))
        ended.set()
    assert trusted == ("", "")
    assert results(ran)["address"] == "failed"
    assert "TLS: the certificate is not trusted: " in message(ran, "address")
    assert "CA file" in message(ran, "address")


def test_missing_proxy_differs_from_missing_gateway(run: Any, tmp_path: Path, sandbox: Any, write_toml: Any) -> None:
    write_toml(tmp_path / "payments.toml", sandbox.config, proxy="http://user:hush-hush@127.0.0.1:9")
    ran = run("doctor", "--deadline", "1", "--json")
    assert results(ran)["address"] == "failed"
    assert "TCP: no connection to port 9 of proxy's host" in message(ran, "address")
    assert "hush" not in ran.out + ran.err


def test_refusing_proxy_is_named(run: Any, tmp_path: Path, sandbox: Any, write_toml: Any) -> None:
    with FaultGateway() as proxy, proxy.inject(Status(407)):
        write_toml(tmp_path / "payments.toml", {**sandbox.config, "base_url": "https://pay.invalid"}, proxy=proxy.url)
        ran = run("doctor", "--deadline", "2", "--json")
    assert results(ran)["address"] == "failed"
    assert "does it let this machine through" in message(ran, "address")


# The clock, and money.


@pytest.mark.parametrize(
    ("ahead", "result", "said"),
    [(0, "ok", "within "), (50, "ok", "within "), (-120, "warning", "ahead of"), (600, "warning", "behind")],
)
def test_wrong_clock_is_a_warning(
    run: Any,
    tmp_path: Path,
    elsewhere: Any,
    write_toml: Any,
    monkeypatch: pytest.MonkeyPatch,
    ahead: int,
    result: str,
    said: str,
) -> None:
    """The Date of the gateway's answer is `ahead` seconds ahead of this machine's clock."""
    usual = BaseHTTPRequestHandler.date_time_string
    monkeypatch.setattr(
        BaseHTTPRequestHandler, "date_time_string", lambda self, _=None: usual(self, time.time() + ahead)
    )
    write_toml(tmp_path / "payments.toml", elsewhere.config)
    ran = run("doctor", "--json")
    assert (ran.code, results(ran)["clock"]) == (0, result)
    assert said in message(ran, "clock")
    assert (elsewhere.calls.token, elsewhere.calls.create, elsewhere.calls.query) == (1, [], [])


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 31 Feb 2026 00:00:00 GMT"])
def test_invalid_date_is_not_compared(
    run: Any, tmp_path: Path, elsewhere: Any, write_toml: Any, monkeypatch: pytest.MonkeyPatch, date: str
) -> None:
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda self, _=None: date)
    write_toml(tmp_path / "payments.toml", elsewhere.config)
    assert results(run("doctor", "--json"))["clock"] == "skipped"


@pytest.mark.parametrize(("moves", "result"), [(True, "ok"), (None, "ok"), (False, "warning")])
def test_money_check_says_whether_money_moves(moves: bool | None, result: str) -> None:
    found = examine._money(type("Opened", (), {"moves_money": moves})())
    assert found.result == result


# The notify URL.


@pytest.fixture
def shop(sandbox: Any) -> Iterator[Callable[..., WebhookListener]]:
    """Open a shop's webhook address, which accepts or rejects notifications."""
    opened = []

    def shop_(believed: int = 200, refused: int = 400) -> WebhookListener:
        gateway = Gateway.open("alipayhk", sandbox.config)

        def respond(delivery: ReceivedDelivery) -> int:
            try:
                gateway.parse_webhook(WebhookDelivery(delivery.body, delivery.headers))
            except PaymentError:
                return refused
            return believed

        opened.append(WebhookListener(respond=respond))
        return opened[-1]

    yield shop_
    for each in opened:
        each.close()


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ((200, 400), {"forged": "ok", "notified": "ok"}),
        ((204, 401), {"forged": "ok", "notified": "ok"}),
        ((200, 200), {"forged": "failed", "notified": "ok"}),
        ((200, 500), {"forged": "failed", "notified": "ok"}),
        ((404, 400), {"forged": "ok", "notified": "failed"}),
        ((302, 400), {"forged": "ok", "notified": "failed"}),
        ((500, 400), {"forged": "ok", "notified": "failed"}),
    ],
)
def test_shop_must_accept_a_genuine_notification_and_refuse_a_forged_one(
    run: Any, toml: Path, shop: Any, sandbox: Any, answers: tuple[int, int], wanted: dict[str, str]
) -> None:
    listener = shop(*answers)
    ran = run("doctor", "alipayhk", "--notify-url", listener.url, "--json")
    assert results(ran) == OK | wanted
    assert ran.code == int("failed" in wanted.values())
    assert len(listener.deliveries) == 2
    assert {each.path for each in sandbox.received} == {"/mch-api/v1/auth"}, "no charge was made at the gateway"


def test_shop_with_another_key_fails_the_genuine_notification(
    run: Any, tmp_path: Path, shop: Any, sandbox: Any, write_toml: Any
) -> None:
    listener = shop()
    write_toml(tmp_path / "payments.toml", {**sandbox.config, "webhook_key": "another-key-of-somebody"})
    ran = run("doctor", "alipayhk", "--notify-url", listener.url, "--json")
    assert results(ran) == OK | {"forged": "ok", "notified": "failed"}
    assert "the same webhook key" in message(ran, "notified")


@pytest.mark.parametrize("moves", [True, None])
def test_gateway_that_may_move_money_gets_only_the_forged_notification(
    run: Any, tmp_path: Path, shop: Any, sandbox: Any, write_toml: Any, monkeypatch: pytest.MonkeyPatch, moves: Any
) -> None:
    listener = shop()
    monkeypatch.setattr(AlipayHKProvider, "info", structs.replace(AlipayHKProvider.info, moves_money=moves))
    write_toml(tmp_path / "payments.toml", {**sandbox.config, "base_url": "https://pay.invalid"})
    ran = run("doctor", "alipayhk", "--notify-url", listener.url, "--deadline", "1", "--json")
    assert (results(ran)["forged"], results(ran)["notified"]) == ("ok", "skipped")
    assert "no genuine notification was sent" in message(ran, "notified")
    (delivery,) = listener.deliveries
    with Gateway.open("alipayhk", sandbox.config) as gateway, pytest.raises(PaymentError):
        gateway.parse_webhook(WebhookDelivery(delivery.body, delivery.headers))


def test_unreachable_address_fails_both_checks(run: Any, toml: Path, shop: Any) -> None:
    ran = run("doctor", "alipayhk", "--notify-url", "http://127.0.0.1:9/hook", "--json")
    assert (results(ran)["forged"], results(ran)["notified"]) == ("failed", "failed")
    ran = run("doctor", "alipayhk", "--notify-url", shop().url + "s", "--json")
    assert results(ran)["forged"] == "failed"
    assert "nothing listens there" in message(ran, "forged")


def test_provider_without_sample_notification_skips_the_checks(
    run: Any, toml: Path, shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise UnsupportedOperation("no sandbox today")

    listener = shop()
    monkeypatch.setattr("payments_core.cli.sample.start_sandbox", broken)
    ran = run("doctor", "alipayhk", "--notify-url", listener.url, "--json")
    assert (ran.code, results(ran)) == (0, OK | {"forged": "skipped", "notified": "skipped"})
    assert "no sandbox today" in message(ran, "forged")
    assert listener.deliveries == ()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--notify-url", "http://127.0.0.1:9/"), 2),
        (("alipayhk", "stripe", "--notify-url", "http://127.0.0.1:9/"), 2),
        (("alipayhk", "--notify-url", "ftp://shop.example/"), 4),
        (("alipayhk", "--notify-url", "http://[/"), 4),
    ],
)
def test_unusable_notify_url_is_refused(run: Any, toml: Path, words: tuple[str, ...], code: int) -> None:
    ran = run("doctor", *words)
    assert (ran.code, ran.out) == (code, "")
