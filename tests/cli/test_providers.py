"""Test `payments providers`: it lists every installed provider, the broken ones too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from payments_alipayhk.provider import AlipayHKProvider
from payments_core import Notifications
from payments_core.cli.providers import _notifications


def test_providers_with_json_lists_what_each_can_do(run: Any) -> None:
    ran = run("providers", "--json")
    assert (ran.code, ran.err) == (0, "")
    (found,) = [each for each in ran.json if each["id"] == "alipayhk"]
    assert found["usable"] is True
    assert (found["title"], found["distribution"], found["contract"]) == ("AlipayHK", "payments-alipayhk", 1)
    assert found["version"]
    assert found["operations"] == ["authorize", "create_charge", "get_status", "parse_webhook"]
    methods = [(each["id"], each["title"], each["currencies"]) for each in found["methods"]]
    assert methods == [("ALIPAYHK", "AlipayHK", None), ("ALIPAYCN", "Alipay", None)]
    assert found["channels"] == ["IN_STORE", "MOBILE_WEB", "WEB"]
    assert found["currencies"] == ["HKD"]
    assert found["limits"]["order_id_length"] == 32
    assert found["sandbox"] is True


def test_providers_lists_what_each_can_do_in_words(run: Any) -> None:
    out = run("providers").out
    for shown in (
        "alipayhk  AlipayHK",
        "authorize, create_charge",
        "ALIPAYCN (Alipay)",
        "HKD",
        "are signed hints",
        "may be a second charge",
    ):
        assert shown in out


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"notifications": "UNSIGNED"}, "not signed, so anybody can send one"),
        ({"notifications": "NONE"}, "none: ask about every open order"),
        ({"notifications": "SIGNED", "authoritative_webhooks": True}, "are signed, and carry a status"),
    ],
)
def test_providers_describes_every_kind_of_notification(declared: dict[str, Any], words: str) -> None:
    kind = Notifications(declared["notifications"])
    info = msgspec.structs.replace(AlipayHKProvider.info, **(declared | {"notifications": kind}))
    assert words in _notifications(info)


def test_broken_plugin_is_reported_and_others_work(spawn: Any, distribution: Any) -> None:
    site = distribution(
        "payments-broken",
        "print('hello from the plugin')\nimport no_such_module\n",
        providers="broken = payments_broken:Provider",
        sandboxes="broken = payments_broken:make",
    )
    ran = spawn("providers", "--json", PYTHONPATH=str(site))
    assert ran.code == 0
    by_id = {each["id"]: each for each in ran.json}
    assert by_id["alipayhk"]["usable"] is True
    assert by_id["broken"]["usable"] is False
    assert "no_such_module" in by_id["broken"]["problem"]
    assert by_id["broken"]["distribution"] == "payments-broken"
    said = spawn("providers", PYTHONPATH=str(site)).out
    assert "broken  (payments-broken 1.0) cannot be used" in said
    assert spawn("demo", "--json", PYTHONPATH=str(site)).code == 0, "and the demo takes the one that works"


PLUGIN = """
import msgspec
from payments_core import Channel, Method, ProviderInfo, hookimpl
class Config(msgspec.Struct): base_url: str
class Provider:
    config_type = Config
    info = ProviderInfo(id="odd", title="Odd", currencies={{"EUR"}}, methods=(Method("m", "M"),),
        channels=frozenset(Channel), raw_statuses={{}}, operations=frozenset({operations}))
    def __init__(self, config): self.secret = config
    @property
    def needs_an_instance(self): return self.secret.nothing
    @hookimpl
    def create_charge(self, {argument}): ...
    @hookimpl
    def {hook}(self, reference): ...
"""


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"operations": {"refund_charge"}}, "declared only refund_charge; implemented only none"),
        ({"hook": "cancel_charge"}, "odd implements neither get_status nor parse_webhook"),
        (
            {"argument": "reqest"},
            "create_charge names reqest, and may name authorization, context, request and nothing else",
        ),
        ({"argument": "request=None"}, "create_charge has a parameter that is never passed: request"),
        ({"hook": "get_statu"}, "hooks that do not exist: get_statu (the hooks are authorize, create_charge, "),
    ],
)
def test_plugin_that_cannot_be_opened_is_not_usable(
    spawn: Any, distribution: Any, fields: dict[str, Any], said: str
) -> None:
    """In one line, which names the hook and what could be meant; the same as opening it says."""
    source = PLUGIN.format(**{"operations": "", "argument": "request", "hook": "get_status"} | fields)
    site = distribution("payments-odd", source, providers="odd = payments_odd:Provider")
    (found,) = [each for each in spawn("providers", "--json", PYTHONPATH=str(site)).json if each["id"] == "odd"]
    assert found["usable"] is False
    assert said in found["problem"]
    assert "\n" not in found["problem"]
    opened = spawn(
        "status", "odd", "--order-id", "1", "--json", PYTHONPATH=str(site), PAYMENTS_ODD_BASE_URL="https://odd.example"
    )
    assert opened.code == 3
    assert found["problem"].startswith("provider odd has hooks") or opened.error["message"] == found["problem"]


def test_complete_plugin_with_failing_properties_is_usable(spawn: Any, distribution: Any) -> None:
    """The positive control."""
    source = PLUGIN.format(operations="", argument="request", hook="get_status")
    site = distribution("payments-odd", source, providers="odd = payments_odd:Provider")
    (found,) = [each for each in spawn("providers", "--json", PYTHONPATH=str(site)).json if each["id"] == "odd"]
    assert (found["usable"], found["problem"]) == (True, "")


def test_plugin_that_exits_the_process_is_reported(spawn: Any, distribution: Any) -> None:
    site = distribution("payments-exits", "import sys\nsys.exit(0)\n", providers="exits = payments_exits:Provider")
    ran = spawn("providers", "--json", PYTHONPATH=str(site))
    assert {each["id"]: each["usable"] for each in ran.json}["exits"] is False
    assert {each["id"]: each["usable"] for each in ran.json}["alipayhk"] is True


def test_name_claimed_by_two_distributions_is_refused(spawn: Any, distribution: Any) -> None:
    site = distribution("payments-other", "class Provider: ...\n", providers="alipayhk = payments_other:Provider")
    (found,) = [each for each in spawn("providers", "--json", PYTHONPATH=str(site)).json if each["id"] == "alipayhk"]
    assert found["usable"] is False
    assert "payments-alipayhk" in found["problem"]
    assert "payments-other" in found["problem"]
    ran = spawn("demo", "--json", "--provider", "alipayhk", PYTHONPATH=str(site))
    assert (ran.code, ran.error["kind"]) == (3, "ProviderContractError")


def test_demo_uses_the_first_or_the_named_sandbox(run: Any) -> None:
    assert run("demo", "--json").out.count("alipayhk") > 0
    ran = run("demo", "--json", "--provider", "stripe")
    assert ran.code == 0
    assert "alipayhk" not in ran.out


def test_hyphen_in_a_provider_name_is_read_as_underscore(spawn: Any, distribution: Any) -> None:
    """As `payments new-provider` makes the one from the other."""
    site = distribution(
        "payments-hong-kong",
        "from payments_alipayhk.sandbox import make as make_\n"
        "from payments_alipayhk.provider import AlipayHKProvider\n"
        "from msgspec import structs\n"
        "def make(port=0, **options): return make_(port, **options)\n"
        "class Provider(AlipayHKProvider):\n"
        "    info = structs.replace(AlipayHKProvider.info, id='hong_kong')\n",
        providers="hong_kong = payments_hong_kong:Provider",
        sandboxes="hong_kong = payments_hong_kong:make",
    )
    assert spawn("demo", "--provider", "hong-kong", "--json", PYTHONPATH=str(site)).code == 0
    ran = spawn("status", "hong-kong", "--order-id", "1", "--json", PYTHONPATH=str(site))
    assert "'hong_kong' is: an id has _" in ran.error["message"]
    for command in ("demo", "sandbox", "record"):
        assert "read as _" in " ".join(spawn(command, "--help").out.split())


def test_missing_extra_of_a_sandbox_is_named_with_one_advice(spawn: Any, distribution: Any) -> None:
    site = distribution(
        "payments-hollow",
        PLUGIN.format(operations="", argument="request", hook="get_status").replace('"odd"', '"hollow"')
        + "def __getattr__(name):\n    import uvicorn_of_nobody\n",
        providers="hollow = payments_hollow:Provider",
        sandboxes="hollow = payments_hollow:make",
    )
    (found,) = [each for each in spawn("providers", "--json", PYTHONPATH=str(site)).json if each["id"] == "hollow"]
    assert (found["usable"], found["sandbox"]) == (True, True)
    assert found["sandbox_problem"].endswith("it needs uvicorn_of_nobody: pip install 'payments-hollow[sandbox]'")
    assert "pip install 'payments-hollow[sandbox]'" in spawn("providers", PYTHONPATH=str(site)).out
    for command in ("sandbox", "record"):
        ran = spawn(command, "hollow", "--json", PYTHONPATH=str(site))
        assert (ran.code, ran.error["next"]) == (3, "Install that, and run this again.")


def test_provider_without_sandbox_is_not_found(run: Any) -> None:
    ran = run("demo", "--provider", "nobody", "--json")
    assert (ran.code, ran.error["kind"]) == (3, "ProviderNotFound")
    assert "payments providers" in ran.error["next"]


# The gateways that are configured.


def gateways(run: Any, *words: object) -> dict[str, Any]:
    ran = run("providers", "--json", *words)
    assert ran.code == 0, ran.err
    return {each["name"]: each for one in ran.json for each in one["gateways"]}


def test_configured_gateways_are_listed_without_values(run: Any, sandbox: Any, tmp_path: Path, write_toml: Any) -> None:
    file = write_toml(tmp_path / "payments.toml", sandbox.config, "shop-hk", provider="alipayhk")
    with file.open("a") as more:
        more.write('[gateways.old]\nprovider = "gone"\n[gateways.stripe]\napi_key = "sk_test_hush-hush"\n')
    found = gateways(run)
    assert found["shop-hk"] == {
        "name": "shop-hk",
        "provider": "alipayhk",
        "sources": ["payments.toml"],
        "moves_money": False,
        "problem": "",
    }
    assert "no provider 'gone' is installed" in found["old"]["problem"]
    assert "webhook_key missing" in found["stripe"]["problem"]
    ran = run("providers")
    assert "shop-hk, of payments.toml: no money moves" in ran.out
    assert "gone  is not installed" in ran.out
    assert "none is configured here" in ran.out, "as for lantern"
    for value in (*sandbox.config.values(), "hush-hush"):
        assert not value or value not in ran.out + ran.err


def test_gateway_configured_by_the_environment_is_listed(
    run: Any, sandbox: Any, tmp_path: Path, write_toml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, with a provider of its own, and over a section of the file."""
    for field, value in sandbox.config.items():
        monkeypatch.setenv(f"PAYMENTS_ALIPAYHK_{field.upper()}", value)
        monkeypatch.setenv(f"PAYMENTS_SHOP_LIVE_{field.upper()}", value)
    monkeypatch.setenv("PAYMENTS_SHOP_LIVE_PROVIDER", "alipayhk")
    write_toml(tmp_path / "payments.toml", {**sandbox.config, "uid": ""}, "till-1", provider="alipayhk")
    monkeypatch.setenv("PAYMENTS_TILL_1_UID", "39172931")
    found = gateways(run)
    assert {name: each["sources"] for name, each in found.items()} == {
        "alipayhk": ["the environment"],
        "shop_live": ["the environment"],
        "till-1": ["payments.toml", "the environment"],
    }
    assert {each["problem"] for each in found.values()} == {""}


def test_unrelated_variables_configure_nothing(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubelet sets such ones for a Service of that name."""
    monkeypatch.setenv("PAYMENTS_ALIPAYHK_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("PAYMENTS_ALIPAYHK_PORT", "tcp://10.0.0.1:80")
    assert gateways(run) == {}


def test_gateway_configured_by_a_secret_file_is_listed(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_STRIPE_API_KEY_FILE", "/nowhere/key")
    assert "PAYMENTS_STRIPE_API_KEY_FILE names cannot be read" in gateways(run)["stripe"]["problem"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[gateways", "is not TOML"),
        (b"gateways = 1", "[gateways.NAME] is a section"),
        (b"\xff\xfe[", "is UTF-16; save it as UTF-8"),
        (b"\xe9", "is not UTF-8"),
    ],
)
def test_unreadable_configuration_file_is_named(run: Any, tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "payments.toml").write_bytes(content)
    ran = run("providers", "--json")
    assert (ran.code, said in ran.error["message"]) == (3, True)


def test_configuration_file_with_byte_order_mark_is_read(run: Any, tmp_path: Path) -> None:
    (tmp_path / "payments.toml").write_bytes(b"\xef\xbb\xbf[gateways.stripe]\n")
    assert list(gateways(run)) == ["stripe"]
