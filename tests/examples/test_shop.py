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
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from payments_core import Gateway, Secret
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
