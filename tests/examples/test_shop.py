"""One shop, one file, several gateways: only PAYMENTS_GATEWAY and that gateway's secrets differ."""

from __future__ import annotations

import contextlib
import functools
import http.client
import importlib
import importlib.util
import inspect
import json
import os
import socket
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import payments_core
from payments_core import Gateway, Notification, Reference, Secret, Subject, WebhookDelivery, WebhookEvent
from payments_core.discovery import SANDBOX_GROUP, find_provider, load_entry
from payments_core.testing.cassettes import BASE_URL, CassettePolicy, Provenance, read, record, replay
from payments_core.testing.leaks import scan

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "shop.py"
CASSETTES = ROOT / "cassettes" / "examples"
GATEWAYS = ("alipayhk", "stripe", "lantern")


@functools.lru_cache
def loaded() -> ModuleType:
    """The example, imported as it stands."""
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
    """The gateway's sandbox, whatever it is."""
    make: Any = load_entry(SANDBOX_GROUP, name)
    with contextlib.closing(make()) as running:
        yield running


def secrets_of(name: str, config: dict[str, Any]) -> dict[str, str]:
    """The secrets of a configuration, by the provider's own types."""
    fields = find_provider(name).config_type.__annotations__  # type: ignore[attr-defined]
    return {field: value for field, value in config.items() if "Secret" in str(fields[field]) and value}


def environment(name: str, config: dict[str, Any], folder: Path) -> dict[str, str]:
    """What the shop is started with; what is no secret stands in one payments.toml for all gateways."""
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
    """The shop as a program of its own; its port."""
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
    """Where a gateway has its endpoints from its dashboard, that is done there, once."""
    if (endpoint := getattr(sandbox, "register_endpoint", None)) is not None:
        endpoint(f"http://127.0.0.1:{port}/webhooks")


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
        assert ask(port, "GET", f"/orders/{order_id}") == (200, {"order_id": order_id, "paid": False})
        sandbox.pay(held.provider_id)
        delivery = sandbox.notification(held.provider_id)
        headers = dict(delivery.headers)
        forged = ask(port, "POST", "/webhooks", delivery.body + b" ", headers)
        assert forged[0] == 400
        told = ask(port, "POST", "/webhooks", delivery.body, headers)
        assert told[0] in {200, 204}, told
        assert ask(port, "GET", f"/orders/{order_id}") == (200, {"order_id": order_id, "paid": True})


def test_a_notification_that_is_lost_changes_nothing(name: str, sandbox: Any, tmp_path: Path) -> None:
    """The shop asks."""
    with running(environment(name, dict(sandbox.config), tmp_path), tmp_path) as port:
        order_id = ask(port, "POST", "/buy")[1]["order_id"]
        (held,) = sandbox.charges(order_id)
        quietly = {"notify": False} if "notify" in inspect.signature(sandbox.pay).parameters else {}
        sandbox.pay(held.provider_id, **quietly)
        until = time.monotonic() + 10
        while not (answer := ask(port, "GET", f"/orders/{order_id}"))[1].get("paid") and time.monotonic() < until:
            time.sleep(0.05)
        assert answer == (200, {"order_id": order_id, "paid": True})


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


# What goes wrong.


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[int]:
    """The shop, with a gateway that nobody can reach."""
    config = {
        "base_url": "http://127.0.0.1:9",
        "api_key": "key-of-the-tests",
        "webhook_key": "webhook-key-of-the-tests",
    }
    with running(environment("lantern", config, tmp_path), tmp_path) as port:
        yield port


def test_an_order_that_nobody_made_is_not_found(alone: int) -> None:
    assert ask(alone, "GET", "/orders/TEA1") == (404, {"problem": "no such order"})
    assert ask(alone, "GET", "/")[0] == 404
    assert ask(alone, "POST", "/")[0] == 404


def test_what_the_gateway_cannot_do_now_is_told_with_its_message(alone: int) -> None:
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
    page._answer = lambda status, content, headers=(): answered.append((status, content["problem"]))

    def work() -> None:
        raise getattr(payments_core, error)("the amount is wrong")

    page._carry_out(work)
    assert answered == [(500, f"{error}: the amount is wrong")]


@pytest.mark.parametrize(
    ("length", "status"), [("x", 400), ("-1", 400), ("1_0", 400), ("", 400), ("262145", 413), ("9" * 5000, 413)]
)
def test_a_length_that_is_none_is_refused_and_nothing_is_read(alone: int, length: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", alone), timeout=10) as connection:
        connection.sendall(f"POST /webhooks HTTP/1.1\r\nHost: shop\r\nContent-Length: {length}\r\n\r\n".encode())
        assert connection.recv(20).split()[1] == str(status).encode()


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
    make: Any = load_entry(SANDBOX_GROUP, "lantern")
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


# Whose event is it?


class Believing:
    """Believes every notification, and remembers which orders were asked about."""

    def __init__(self, *references: Reference | None) -> None:
        self.references = references
        self.asked: list[str] = []

    def parse_webhook(self, _: WebhookDelivery) -> Notification:
        return Notification(
            tuple(
                WebhookEvent("x", Subject.CHARGE, "paid", reference, str(number))
                for number, reference in enumerate(self.references)
            )
        )

    def confirm_event(self, event: WebhookEvent, order_id: str, *_: Any, **__: Any) -> Any:
        self.asked.append(order_id)
        return types.SimpleNamespace(is_paid=True)


def counter_of(shop: ModuleType, gateway: Believing, **orders: str) -> Any:
    counter = shop.Shop(gateway, "https://shop.example")
    counter._provider_ids.update(orders)
    return counter


def test_an_order_whose_create_failed_swallows_no_event_of_another(shop: ModuleType) -> None:
    """It has no id of the gateway's, and neither have many events."""
    gateway = Believing(Reference("TEA2"))
    counter = counter_of(shop, gateway, TEA1="", TEA2="lp_2")
    counter.receive(b"", {})
    assert gateway.asked == ["TEA2"]


def test_an_order_is_found_by_its_own_id_first_and_else_by_the_gateway_s(shop: ModuleType) -> None:
    gateway = Believing(Reference("TEA2", "lp_1"), Reference(provider_id="lp_1"))
    counter_of(shop, gateway, TEA1="lp_1", TEA2="").receive(b"", {})
    assert gateway.asked == ["TEA2", "TEA1"]


def test_an_event_about_somebody_else_s_order_is_acknowledged_and_changes_nothing(shop: ModuleType) -> None:
    gateway = Believing(Reference("OTHER"), Reference(provider_id="lp_9"), None)
    counter = counter_of(shop, gateway, TEA1="", TEA2="lp_2")
    assert counter.receive(b"", {}).status == 200
    assert (gateway.asked, counter._paid) == ([], set())


def test_orders_may_be_made_while_an_event_is_looked_up(shop: ModuleType) -> None:
    """Threads share the orders: the lookup goes over a copy."""
    counter = counter_of(shop, Believing())

    class Growing(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            counter._provider_ids[f"TEA{len(counter._provider_ids)}"] = "x"
            return False

        __hash__ = str.__hash__

    counter._provider_ids.update(TEA1=Growing("lp_1"), TEA2=Growing("lp_2"))
    event = WebhookEvent("x", Subject.CHARGE, "paid", Reference(provider_id="lp_3"), "1")
    assert counter._order_of(event) == ""


# From cassettes: what the shop sends, without a network.


def policy_of(name: str) -> CassettePolicy:
    policy = importlib.import_module(f"payments_{name}.sandbox.stories").POLICY
    assert isinstance(policy, CassettePolicy)
    return policy


def sell(shop: ModuleType, gateway: Gateway, pay: Any) -> None:
    """One order from the button to the tea."""
    counter = shop.Shop(gateway, "https://shop.example")
    bought = counter.buy("EXAMPLE1")
    assert bought["do"] in {"Redirect", "ShowQRCode"}
    pay(counter._provider_ids["EXAMPLE1"])
    assert counter.is_paid("EXAMPLE1")


def recorded(shop: ModuleType, name: str, path: Path) -> None:
    make: Any = load_entry(SANDBOX_GROUP, name)
    with contextlib.closing(make(seed="example-shop", public_url="https://wallet.example")) as sandbox:
        config = dict(sandbox.config)
        with (
            record(
                path,
                policy_of(name),
                Provenance("sandbox", name),
                base_url=sandbox.url,
                secrets=secrets_of(name, config),
                command="python tests/examples/test_shop.py",
            ),
            Gateway.open(name, config) as gateway,
        ):
            sell(shop, gateway, sandbox.pay)


@pytest.mark.usefixtures("no_network")
def test_the_shop_sells_from_a_cassette(shop: ModuleType, name: str) -> None:
    """The very same code, with every socket refused."""
    path = CASSETTES / f"{name}.yaml"
    assert read(path).provenance.kind == "sandbox"
    config = {
        field: f"another-{field}-of-the-replay" if "Secret" in str(kind) else "10000001"
        for field, kind in find_provider(name).config_type.__annotations__.items()  # type: ignore[attr-defined]
        if not field.startswith("previous")
    } | {"base_url": BASE_URL}
    with replay(path, policy_of(name)), Gateway.open(name, config) as gateway:
        sell(shop, gateway, lambda _: None)


def test_a_secret_is_a_secret_to_this_test() -> None:
    """The test's own way of telling secrets apart finds them."""
    assert Secret.__name__ in str(find_provider("alipayhk").config_type.__annotations__["webhook_key"])  # type: ignore[attr-defined]
    assert set(secrets_of("alipayhk", {"client_secret": "a", "webhook_key": "b", "uid": "c"})) == {
        "client_secret",
        "webhook_key",
    }


if __name__ == "__main__":  # record the cassettes of the example again
    for each in sys.argv[1:] or GATEWAYS:
        recorded(loaded(), each, CASSETTES / f"{each}.yaml")
        sys.stdout.write(f"{CASSETTES / each}.yaml\n")
