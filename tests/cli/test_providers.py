"""`payments providers`: what is installed, and the broken beside the whole."""

from __future__ import annotations

from typing import Any

import pytest


def test_the_provider_is_shown_with_all_that_it_can_do(run: Any) -> None:
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


def test_people_see_the_same_in_words(run: Any) -> None:
    out = run("providers").out
    for shown in ("alipayhk  AlipayHK", "authorize, create_charge", "ALIPAYCN (Alipay)", "HKD", "hints"):
        assert shown in out


def test_a_broken_plugin_beside_it_is_reported_and_harms_nothing(spawn: Any, distribution: Any) -> None:
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
def test_a_plugin_that_could_not_be_opened_is_not_called_usable(
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


def test_a_whole_plugin_is_usable_whatever_its_properties_need(spawn: Any, distribution: Any) -> None:
    """The positive control."""
    source = PLUGIN.format(operations="", argument="request", hook="get_status")
    site = distribution("payments-odd", source, providers="odd = payments_odd:Provider")
    (found,) = [each for each in spawn("providers", "--json", PYTHONPATH=str(site)).json if each["id"] == "odd"]
    assert (found["usable"], found["problem"]) == (True, "")


def test_a_plugin_that_ends_the_process_is_reported_too(spawn: Any, distribution: Any) -> None:
    site = distribution("payments-exits", "import sys\nsys.exit(0)\n", providers="exits = payments_exits:Provider")
    ran = spawn("providers", "--json", PYTHONPATH=str(site))
    assert {each["id"]: each["usable"] for each in ran.json}["exits"] is False
    assert {each["id"]: each["usable"] for each in ran.json}["alipayhk"] is True


def test_a_name_that_two_distributions_claim_is_refused(spawn: Any, distribution: Any) -> None:
    site = distribution("payments-other", "class Provider: ...\n", providers="alipayhk = payments_other:Provider")
    (found,) = [each for each in spawn("providers", "--json", PYTHONPATH=str(site)).json if each["id"] == "alipayhk"]
    assert found["usable"] is False
    assert "payments-alipayhk" in found["problem"]
    assert "payments-other" in found["problem"]
    ran = spawn("demo", "--json", "--provider", "alipayhk", PYTHONPATH=str(site))
    assert (ran.code, ran.error["kind"]) == (3, "ProviderContractError")


def test_of_several_sandboxes_the_demo_takes_the_first_or_the_one_that_is_named(run: Any) -> None:
    assert run("demo", "--json").out.count("alipayhk") > 0
    ran = run("demo", "--json", "--provider", "stripe")
    assert ran.code == 0
    assert "alipayhk" not in ran.out


def test_a_hyphen_in_a_name_is_read_as_an_id_has_it(spawn: Any, distribution: Any) -> None:
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


def test_an_extra_that_the_sandbox_needs_is_told_with_one_advice(spawn: Any, distribution: Any) -> None:
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


def test_a_provider_without_a_sandbox_is_told_apart(run: Any) -> None:
    ran = run("demo", "--provider", "nobody", "--json")
    assert (ran.code, ran.error["kind"]) == (3, "ProviderNotFound")
    assert "payments providers" in ran.error["next"]
