"""Run one shop file with several gateways: only PAYMENTS_GATEWAY and that gateway's secrets differ."""

from __future__ import annotations

import contextlib
import functools
import http.client
import importlib.util
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec import structs

import payments_core
from payments_core import (
    Charge,
    ChargeRequest,
    Gateway,
    Money,
    Notification,
    Notifications,
    PaymentStatus,
    Reference,
    Secret,
    Subject,
    WebhookDelivery,
    WebhookEvent,
)
from payments_core.discovery import SANDBOX_GROUP, find_provider, load_entry
from payments_core.testing.cassettes import BASE_URL, Provenance, read, record, replay
from payments_core.testing.leaks import scan
from payments_lantern.sandbox import make
from payments_lantern.sandbox.stories import POLICY

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "shop.py"
CASSETTE = ROOT / "cassettes" / "examples" / "lantern.yaml"
GATEWAYS = ("alipayhk", "stripe", "lantern")


@functools.lru_cache
def loaded() -> ModuleType:
    """Import the example as it stands."""
    spec = importlib.util.spec_from_file_location("example_shop", SHOP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shop() -> ModuleType:
    return loaded()


@pytest.fixture(params=GATEWAYS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sandbox(name: str) -> Iterator[Any]:
    """Start the gateway's sandbox, whatever it is."""
    make: Any = load_entry(SANDBOX_GROUP, name)
    with contextlib.closing(make()) as running:
        yield running


def secrets_of(name: str, config: dict[str, Any]) -> dict[str, str]:
    """Return the secrets of a configuration, by the provider's own types."""
    fields = find_provider(name).config_type.__annotations__  # type: ignore[attr-defined]
    return {field: value for field, value in config.items() if "Secret" in str(fields[field]) and value}


def environment(name: str, config: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return the shop's environment; everything that isn't secret is in one payments.toml for all gateways."""
    hidden = secrets_of(name, config)
    plain = {field: value for field, value in config.items() if field not in hidden and value}
    lines = [f"[gateways.{name}]", *(f'{field} = "{value}"' for field, value in plain.items())]
    with (folder / "payments.toml").open("a") as file:
        file.write("\n".join(lines) + "\n")
    return {"PAYMENTS_GATEWAY": name} | {
        f"PAYMENTS_{name.upper()}_{field.upper()}": value for field, value in hidden.items()
    }


@contextlib.contextmanager
def running(settings: dict[str, str], folder: Path) -> Iterator[int]:
    """Run the shop as a program of its own; yield its port."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PAYMENTS_", "PYTHONPATH"))}
    process = subprocess.Popen(
        [sys.executable, str(SHOP)],
        cwd=folder,
        env=kept | settings | {"PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, process.communicate(timeout=10)
        yield int(line.rpartition(":")[2])
    finally:
        process.terminate()
        out, err = process.communicate(timeout=10)
        hidden = {key: value for key, value in settings.items() if key != "PAYMENTS_GATEWAY"}
        assert scan((out + err).encode(), hidden) == []


def ask(port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content[:1] == b"{" else content
    finally:
        connection.close()


def register(sandbox: Any, port: int) -> None:
    """Register the endpoint once, if the gateway has its endpoints from its dashboard."""
    if (endpoint := getattr(sandbox, "register_endpoint", None)) is not None:
        endpoint(f"http://127.0.0.1:{port}/webhooks")


def is_paid(port: int, order_id: str) -> bool:
    status, told = ask(port, "GET", f"/orders/{order_id}")
    assert (status, told["order_id"]) == (200, order_id)
    return told["paid"] is True


def in_the_end_paid(port: int, order_id: str) -> bool:
    """Poll as a page does; the shop asks the gateway now and then."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if is_paid(port, order_id):
            return True
        time.sleep(0.05)
    return False


def test_a_shopper_pays_and_the_shop_knows(name: str, sandbox: Any, tmp_path: Path) -> None:
    """Over real HTTP on all sides: the shop's page, the gateway, and the gateway's notification."""
    settings = environment(name, dict(sandbox.config), tmp_path)
    with running(settings, tmp_path) as port:
        status, bought = ask(port, "POST", "/buy")
        assert status == 200, bought
        assert bought["do"] in {"Redirect", "ShowQRCode"}
        order_id = bought["order_id"]
        (held,) = sandbox.charges(order_id)
        assert str(held.amount) == "88.00 HKD"
        register(sandbox, port)
        assert is_paid(port, order_id) is False
        sandbox.pay(held.provider_id)
        delivery = sandbox.notification(held.provider_id)
        headers = dict(delivery.headers)
        forged = ask(port, "POST", "/webhooks", delivery.body + b" ", headers)
        assert forged[0] == 400
        told = ask(port, "POST", "/webhooks", delivery.body, headers)
        assert told[0] in {200, 204}, told
        assert in_the_end_paid(port, order_id)


def test_a_notification_that_is_lost_changes_nothing(name: str, sandbox: Any, tmp_path: Path) -> None:
    """The shop asks."""
    with running(environment(name, dict(sandbox.config), tmp_path), tmp_path) as port:
        order_id = ask(port, "POST", "/buy")[1]["order_id"]
        (held,) = sandbox.charges(order_id)
        quietly = {"notify": False} if "notify" in inspect.signature(sandbox.pay).parameters else {}
        sandbox.pay(held.provider_id, **quietly)
        assert in_the_end_paid(port, order_id)


def test_the_environments_differ_in_the_name_and_the_secrets_alone(tmp_path: Path) -> None:
    settings = {}
    for name in GATEWAYS:
        make: Any = load_entry(SANDBOX_GROUP, name)
        with contextlib.closing(make()) as sandbox:
            settings[name] = environment(name, dict(sandbox.config), tmp_path)
            hidden = secrets_of(name, dict(sandbox.config))
            assert set(settings[name]) == {"PAYMENTS_GATEWAY"} | {
                f"PAYMENTS_{name.upper()}_{each.upper()}" for each in hidden
            }
    assert len(list(tmp_path.iterdir())) == 1
    text = SHOP.read_text("utf-8")
    code = text[text.index("from __future__") :]
    assert not [name for name in GATEWAYS if name in code.lower()], "the shop knows which gateway it has"


# Failures.


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run the shop with a gateway that nobody can reach. Its tests share it: none reads another's order."""
    folder = tmp_path_factory.mktemp("alone")
    config = {
        "base_url": "http://127.0.0.1:9",
        "api_key": "key-of-the-tests",
        "webhook_key": "webhook-key-of-the-tests",
    }
    with running(environment("lantern", config, folder), folder) as port:
        yield port


def test_an_order_that_nobody_made_is_not_found(alone: int) -> None:
    assert ask(alone, "GET", "/orders/TEA1") == (404, {"problem": "no such order"})
    assert ask(alone, "GET", "/")[0] == 404
    assert ask(alone, "POST", "/")[0] == 404


def test_impossible_action_reports_the_gateway_message(alone: int) -> None:
    status, told = ask(alone, "POST", "/buy")
    assert status == 503
    assert told["problem"].startswith("GatewayUnavailable: lantern.create_charge: ")


@pytest.mark.parametrize(
    "error", ["InvalidRequest", "ConfigurationError", "AuthorizationRejected", "UnsupportedOperation"]
)
def test_what_only_the_shop_can_put_right_is_a_mistake_of_its_own(shop: ModuleType, error: str) -> None:
    assert getattr(payments_core, error) in shop.OURS
    assert not issubclass(payments_core.GatewayUnavailable, shop.OURS)
    assert not issubclass(payments_core.OutcomeUnknown, shop.OURS)
    answered = []
    page = object.__new__(shop.Page)
    page.path = "/webhooks"
    page._answer = lambda status, content, headers=(): answered.append((status, content["problem"]))

    def work() -> None:
        raise getattr(payments_core, error)("the amount is wrong")

    page._carry_out(work)
    assert answered == [(500, f"{error}: the amount is wrong")]


@pytest.mark.parametrize(
    ("length", "status"), [("x", 400), ("-1", 400), ("1_0", 400), ("", 400), ("262145", 413), ("9" * 5000, 413)]
)
def test_invalid_content_length_is_refused_before_reading(alone: int, length: str, status: int) -> None:
    assert raw(alone, f"POST /webhooks HTTP/1.1\r\nHost: shop\r\nContent-Length: {length}\r\n\r\n") == status


@pytest.mark.parametrize(
    ("setting", "said"),
    [({}, "PAYMENTS_GATEWAY=NAME"), ({"PAYMENTS_GATEWAY": "lantern"}, "gateway lantern is not configured")],
)
def test_a_shop_without_a_gateway_says_so_in_a_sentence(tmp_path: Path, setting: dict[str, str], said: str) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PAYMENTS_")}
    ran = subprocess.run(
        [sys.executable, str(SHOP)],
        cwd=tmp_path,
        env=kept | setting,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("shop: ")
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_answer_to_a_notification_is_the_gateway_s_own_with_its_headers(tmp_path: Path) -> None:
    with (
        contextlib.closing(make()) as sandbox,
        running(environment("lantern", dict(sandbox.config), tmp_path), tmp_path) as port,
    ):
        order_id = ask(port, "POST", "/buy")[1]["order_id"]
        delivery = sandbox.notification(sandbox.charges(order_id)[0].provider_id)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        with contextlib.closing(connection):
            connection.request("POST", "/webhooks", delivery.body, dict(delivery.headers))
            answer = connection.getresponse()
            assert (answer.status, answer.getheader("content-type"), answer.read()) == (200, "text/plain", b"lit")


# Matching events to orders.


class Asked:
    """Believes every notification, and remembers what it is asked; `answers` are raised, or say whether it is paid."""

    info = types.SimpleNamespace(query_by={"order_id", "provider_id"}, notifications=Notifications.SIGNED)

    def __init__(self, *events: WebhookEvent) -> None:
        self.events = events
        self.asked: list[tuple[str, str]] = []
        self.answers: list[bool | Exception] = []

    def parse_webhook(self, _: WebhookDelivery) -> Notification:
        return Notification(self.events)

    def confirm(self, order_id: str, _: Money, *, provider_id: str) -> Any:
        self.asked.append((order_id, provider_id))
        answer = self.answers.pop(0) if self.answers else False
        if isinstance(answer, Exception):
            raise answer
        return types.SimpleNamespace(
            is_paid=answer, status=PaymentStatus.SUCCEEDED if answer else PaymentStatus.PENDING
        )

    def confirm_event(self, event: WebhookEvent, order_id: str, amount: Money, *, provider_id: str) -> Any:
        assert event.reference is not None
        return self.confirm(order_id, amount, provider_id=provider_id or event.reference.provider_id)


def hint(order_id: str = "", provider_id: str = "", event_id: str = "1", subject: Subject = Subject.CHARGE) -> Any:
    reference = Reference(order_id, provider_id) if order_id or provider_id else None
    return WebhookEvent("x", subject, "paid", reference, event_id)


def authoritative(order_id: str, event_id: str = "1") -> WebhookEvent:
    charge = Charge("x", Reference(order_id), PaymentStatus.SUCCEEDED, "paid", Money.of("88.00", "HKD"))
    return WebhookEvent("x", Subject.CHARGE, "paid", charge.reference, event_id, charge)


@pytest.fixture
def clock(shop: ModuleType, monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Stop the shop's clock, and move it by `clock.now`."""
    hands = types.SimpleNamespace(now=1000.0)
    monkeypatch.setattr(shop, "monotonic", lambda: hands.now)
    return hands


def counter_of(shop: ModuleType, gateway: Asked, **orders: str) -> Any:
    counter = shop.Shop(gateway, "https://shop.example")
    counter._orders.update({order_id: shop.Order(shop.PRICE, named) for order_id, named in orders.items()})
    return counter


def test_a_receiver_stores_and_asks_nothing(shop: ModuleType) -> None:
    """The gateway waits for the answer, and delivers again where it waits too long."""
    gateway = Asked(hint("TEA1"), authoritative("TEA1"))
    counter = counter_of(shop, gateway, TEA1="lp_1")
    assert counter.receive(b"", {}).status == 200
    assert gateway.asked == []
    counter.settle()
    assert gateway.asked == [("TEA1", "lp_1")] * 2


def test_an_order_whose_create_failed_swallows_no_event_of_another(shop: ModuleType) -> None:
    """It has no id of the gateway's, and neither have many events."""
    gateway = Asked(hint("TEA2"))
    counter = counter_of(shop, gateway, TEA1="", TEA2="lp_2")
    counter.receive(b"", {})
    counter.settle()
    assert gateway.asked == [("TEA2", "lp_2")]


def test_an_order_is_found_by_its_own_id_first_and_else_by_the_gateway_s(shop: ModuleType) -> None:
    gateway = Asked(hint("TEA2", "lp_1"), hint(provider_id="lp_1"))
    counter = counter_of(shop, gateway, TEA1="lp_1", TEA2="")
    counter.receive(b"", {})
    counter.settle()
    assert sorted(gateway.asked) == [("TEA1", "lp_1"), ("TEA2", "lp_1")]


@pytest.mark.parametrize(
    "event",
    [
        hint("OTHER"), hint(provider_id="lp_9"), hint(), authoritative("OTHER"), hint("TEA1", subject=Subject.REFUND),
        hint("TEA1", subject=Subject.DISPUTE), hint(subject=Subject.OTHER),
    ],
)  # fmt: skip
def test_foreign_event_is_acknowledged_and_changes_nothing(shop: ModuleType, event: WebhookEvent) -> None:
    gateway = Asked(event, authoritative("TEA2"))
    gateway.answers = [True]
    counter = counter_of(shop, gateway, TEA1="", TEA2="lp_2")
    assert counter.receive(b"", {}).status == 200
    counter.settle()
    assert gateway.asked == [("TEA2", "lp_2")]
    assert {order_id: order.paid for order_id, order in counter._orders.items()} == {"TEA1": False, "TEA2": True}


def test_orders_may_be_made_while_an_event_is_looked_up(shop: ModuleType) -> None:
    """Threads share the orders: the lookup goes over a copy."""
    counter = counter_of(shop, Asked())

    class Growing(str):
        __slots__ = ()

        def __hash__(self) -> int:
            counter._orders[f"NEW{len(counter._orders)}"] = shop.Order(shop.PRICE, "x")
            return str.__hash__(self)

    counter._orders.update(TEA1=shop.Order(shop.PRICE, Growing("lp_1")), TEA2=shop.Order(shop.PRICE, Growing("lp_2")))
    assert counter._order_of(hint(provider_id="lp_3")) == ""
    assert len(counter._orders) > 2


# Query frequency.


def test_the_gateway_is_asked_about_an_order_once_in_a_pause(shop: ModuleType, clock: types.SimpleNamespace) -> None:
    gateway = Asked(hint("TEA1"), hint("TEA1", event_id="2"))
    counter = counter_of(shop, gateway, TEA1="lp_1", TEA2="lp_2")
    for _ in range(100):
        counter.receive(b"", {})
        assert not counter.is_paid("TEA1")
        counter.settle()
        clock.now += shop.PAUSE / 101
    assert gateway.asked == [("TEA1", "lp_1")]
    assert not counter.is_paid("TEA2")
    counter.settle()
    assert gateway.asked == [("TEA1", "lp_1"), ("TEA2", "lp_2")]


@pytest.mark.parametrize("by", ["hint", "page"])
def test_a_question_that_had_to_wait_is_asked_later(shop: ModuleType, clock: types.SimpleNamespace, by: str) -> None:
    """It needs no second hint; and a hint with the same id is no repetition."""
    gateway = Asked(hint("TEA1"))
    gateway.answers = [False, True]
    counter = counter_of(shop, gateway, TEA1="lp_1")
    for _ in range(2):
        counter.receive(b"", {}) if by == "hint" else counter.is_paid("TEA1")
        counter.settle()
    assert len(gateway.asked) == 1
    clock.now += shop.PAUSE
    counter.settle()
    assert len(gateway.asked) == 2
    assert counter.is_paid("TEA1")
    clock.now += shop.PAUSE
    counter.settle()
    assert len(gateway.asked) == 2, "a paid order was asked about"


def test_hints_that_name_several_charges_are_all_asked_about(shop: ModuleType, clock: types.SimpleNamespace) -> None:
    """If the answer to create was lost, only a hint has the gateway's id, and not every hint is about our charge."""
    gateway = Asked(hint("TEA1", "lp_1"), hint("TEA1", "lp_2"))
    gateway.answers = [payments_core.Mismatch("is about another order"), True]
    counter = counter_of(shop, gateway, TEA1="")
    counter.receive(b"", {})
    counter.settle()
    clock.now += shop.PAUSE
    counter.settle()
    assert {named for _, named in gateway.asked} == {"lp_1", "lp_2"}
    assert counter.is_paid("TEA1")


@pytest.mark.parametrize("error", ["GatewayUnavailable", "RateLimited", "ProtocolViolation"])
@pytest.mark.parametrize("event", [hint("TEA1"), authoritative("TEA1"), None])
def test_a_question_without_an_answer_is_asked_again(
    shop: ModuleType, clock: types.SimpleNamespace, error: str, event: WebhookEvent | None
) -> None:
    gateway = Asked(*filter(lambda each: each is not None, [event]))
    gateway.answers = [getattr(payments_core, error)("not now"), True]
    counter = counter_of(shop, gateway, TEA1="lp_1")
    counter.receive(b"", {})
    if event is None:
        counter.is_paid("TEA1")
    for _ in range(2):
        counter.settle()
        clock.now += shop.PAUSE
    assert counter.is_paid("TEA1")


@pytest.mark.parametrize("error", ["Mismatch", "NotFound", "UnsupportedOperation", "InvalidRequest"])
def test_an_answer_that_settles_nothing_is_not_asked_for_again(
    shop: ModuleType, clock: types.SimpleNamespace, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = Asked(hint("TEA1"))
    gateway.answers = [getattr(payments_core, error)("no")]
    counter = counter_of(shop, gateway, TEA1="lp_1")
    counter.receive(b"", {})
    for _ in range(3):
        counter.settle()
        clock.now += shop.PAUSE
    assert len(gateway.asked) == 1
    assert not counter._orders["TEA1"].paid
    assert [record.getMessage() for record in caplog.records] == [f"not settled: {error}: no"]


def test_an_order_that_cannot_be_asked_about_yet_waits_for_an_event(shop: ModuleType) -> None:
    """Its create has no answer yet, and this gateway knows no order id."""
    gateway = Asked()
    gateway.info = types.SimpleNamespace(query_by={"provider_id"}, notifications=Notifications.SIGNED)
    counter = counter_of(shop, gateway, TEA1="")
    assert not counter.is_paid("TEA1")
    counter.settle()
    assert gateway.asked == []


def test_a_create_that_is_repeated_says_when_it_was_sent_first(shop: ModuleType) -> None:
    sent: list[tuple[ChargeRequest, Any]] = []
    lost = payments_core.OutcomeUnknown("the answer was lost", repeatable=True)
    lost.first_sent_at = datetime(2026, 11, 27, tzinfo=UTC)

    class Losing(Asked):
        def create_charge(self, request: ChargeRequest, *, first_sent_at: datetime | None = None) -> Charge:
            sent.append((request, first_sent_at))
            if first_sent_at is None:
                raise lost
            return Charge("x", Reference(request.order_id, "lp_1"), PaymentStatus.PENDING, "open", request.amount)

    counter = counter_of(shop, Losing())
    assert counter.buy("TEA1")["order_id"] == "TEA1"
    assert sent == [(sent[0][0], None), (sent[0][0], lost.first_sent_at)]
    lost.repeatable = False
    with pytest.raises(payments_core.OutcomeUnknown):
        counter.buy("TEA2")
    assert len(sent) == 3
    assert not counter.is_paid("TEA2"), "stored before it was sent"


# Gateways whose notifications are not signed, or that send none.


class Silent(Asked):
    """Sends no notifications, and is asked by its own ids."""

    info = types.SimpleNamespace(query_by={"provider_id"}, notifications=Notifications.NONE)


def test_without_notifications_each_open_order_is_queried_until_it_is_paid(
    shop: ModuleType, clock: types.SimpleNamespace
) -> None:
    gateway = Silent()
    gateway.answers = [False, False, True]
    counter = counter_of(shop, gateway, TEA1="lp_1", TEA2="")
    for _ in range(4):
        counter.settle()
        counter.settle()
        clock.now += shop.PAUSE
    assert gateway.asked == [("TEA1", "lp_1")] * 3, "once in a pause, no more once paid, and never without an id"
    assert counter._orders["TEA1"].paid


def test_without_notifications_a_closed_charge_is_queried_no_more(
    shop: ModuleType, clock: types.SimpleNamespace
) -> None:
    class Declined(Silent):
        def confirm(self, order_id: str, amount: Money, *, provider_id: str) -> Any:
            super().confirm(order_id, amount, provider_id=provider_id)
            return types.SimpleNamespace(is_paid=False, status=PaymentStatus.CANCELLED)

    gateway = Declined()
    counter = counter_of(shop, gateway, TEA1="lp_1")
    for _ in range(3):
        counter.settle()
        clock.now += shop.PAUSE
    assert gateway.asked == [("TEA1", "lp_1")]
    assert not counter._orders["TEA1"].paid


def test_with_notifications_an_order_is_queried_only_after_a_reason(
    shop: ModuleType, clock: types.SimpleNamespace
) -> None:
    gateway = Asked()
    counter = counter_of(shop, gateway, TEA1="lp_1")
    counter.settle()
    clock.now += shop.PAUSE
    counter.settle()
    assert gateway.asked == []


@contextlib.contextmanager
def served(shop: ModuleType, gateway: Any) -> Iterator[int]:
    """Serve the shop's pages in this process."""
    page = type("Page", (shop.Page,), {"shop": shop.Shop(gateway, ""), "hosts": frozenset()})
    server = shop.ThreadingHTTPServer(("127.0.0.1", 0), page)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.mark.parametrize("status", [400, 200, 422])
def test_refused_delivery_is_answered_with_the_declared_status(
    shop: ModuleType, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider: Any = find_provider("lantern")
    monkeypatch.setattr(provider, "info", structs.replace(provider.info, rejection_status=status))
    config = {"base_url": "http://127.0.0.1:9", "api_key": "key-of-tests", "webhook_key": "webhook-key-of-tests"}
    with Gateway.open("lantern", config) as gateway, served(shop, gateway) as port:
        assert ask(port, "POST", "/webhooks", b"{}")[0] == status


def test_unsigned_delivery_is_only_a_reason_to_ask(shop: ModuleType) -> None:
    gateway = Asked(hint("TEA1"))
    gateway.info = types.SimpleNamespace(query_by={"order_id"}, notifications=Notifications.UNSIGNED)
    with served(shop, gateway) as port:
        assert ask(port, "POST", "/webhooks", b"id=lp_1")[0] == 200
    assert gateway.asked == []


def test_delivery_to_a_shop_without_notifications_is_not_found(shop: ModuleType) -> None:
    with served(shop, Silent()) as port:
        assert ask(port, "POST", "/webhooks", b"{}") == (404, {"problem": "no such address"})


# Access to the shop.


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Host: {host}", 503),
        ("Host: localhost:{port}\r\nOrigin: http://localhost:{port}", 503),
        ("Host: {host}\r\nOrigin: http://{host}", 503),
        ("Host: evil.example:{port}", 403),
        ("Host: evil.example:{port}\r\nOrigin: http://evil.example:{port}", 403),
        ("Host: 127.0.0.1", 403),
        ("Host: {host}.evil.example", 403),
        ("Host: {host}\r\nHost: evil.example", 403),
        ("X-Forwarded-Host: {host}", 403),
        ("Host: {host}\r\nOrigin: https://evil.example", 403),
        ("Host: {host}\r\nOrigin: http://127.0.0.1:1", 403),
        ("Host: {host}\r\nOrigin: http://localhost:{port}", 403),
        ("Host: {host}\r\nOrigin: https://{host}", 403),
        ("Host: {host}\r\nOrigin: null", 403),
        ("Host: {host}\r\nOrigin: http://{host}\r\nOrigin: https://evil.example", 403),
    ],
)
def test_the_shop_sells_through_its_own_pages_only(alone: int, headers: str, status: int) -> None:
    """A page of somebody else's reaches it through the shopper's browser, by its address or by DNS rebinding."""
    filled = headers.format(host=f"127.0.0.1:{alone}", port=alone)
    assert raw(alone, f"POST /buy HTTP/1.1\r\n{filled}\r\nContent-Length: 0\r\n\r\n") == status
    status = 404 if status == 503 else status
    assert raw(alone, f"GET /orders/TEA1 HTTP/1.1\r\n{filled}\r\n\r\n") == status


@pytest.mark.parametrize("headers", ["Host: shop.example", "Host: shop.example\r\nOrigin: https://gateway.example"])
def test_unsigned_delivery_to_a_signing_gateway_is_refused_from_any_origin(alone: int, headers: str) -> None:
    assert raw(alone, f"POST /webhooks HTTP/1.1\r\n{headers}\r\nContent-Length: 2\r\n\r\n{{}}") == 400


def raw(port: int, request: str) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        return int(connection.recv(20).split()[1])


# From cassettes: what the shop sends, without a network.


def sell(shop: ModuleType, gateway: Gateway, pay: Any) -> None:
    """One order from the button to the tea."""
    counter = shop.Shop(gateway, "https://shop.example")
    bought = counter.buy("EXAMPLE1")
    assert bought["do"] in {"Redirect", "ShowQRCode"}
    pay(counter._orders["EXAMPLE1"].provider_id)
    assert not counter.is_paid("EXAMPLE1")
    counter.settle()
    assert counter.is_paid("EXAMPLE1")


def recorded(shop: ModuleType) -> None:
    with contextlib.closing(make(seed="example-shop", public_url="https://wallet.example")) as sandbox:
        config = dict(sandbox.config)
        with (
            record(
                CASSETTE,
                POLICY,
                Provenance("sandbox", "lantern"),
                base_url=sandbox.url,
                secrets=secrets_of("lantern", config),
                command="python tests/examples/test_shop.py",
            ),
            Gateway.open("lantern", config) as gateway,
        ):
            sell(shop, gateway, sandbox.pay)


@pytest.mark.usefixtures("no_network")
def test_the_shop_sells_from_a_cassette(shop: ModuleType) -> None:
    """The very same code, with every socket refused. Lantern is sent both addresses of the shop."""
    assert read(CASSETTE).provenance.kind == "sandbox"
    config = {"base_url": BASE_URL, "api_key": "key-of-the-replay", "webhook_key": "webhook-key-of-the-replay"}
    with replay(CASSETTE, POLICY), Gateway.open("lantern", config) as gateway:
        sell(shop, gateway, lambda _: None)


def test_a_secret_is_a_secret_to_this_test() -> None:
    """The test's own way of telling secrets apart finds them."""
    assert Secret.__name__ in str(find_provider("alipayhk").config_type.__annotations__["webhook_key"])  # type: ignore[attr-defined]
    assert set(secrets_of("alipayhk", {"client_secret": "a", "webhook_key": "b", "uid": "c"})) == {
        "client_secret",
        "webhook_key",
    }


if __name__ == "__main__":  # record the example's cassette again
    recorded(loaded())
    sys.stdout.write(f"{CASSETTE}\n")
