"""The recorded cassettes: whole, honest, clean, and replayed by both gateways with the network blocked."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from pytest_socket import SocketBlockedError

from payments_alipayhk.sandbox import Sandbox, make
from payments_alipayhk.sandbox.stories import POLICY, STORIES
from payments_core import (
    AsyncGateway,
    ChargeRequest,
    Gateway,
    GatewayUnavailable,
    Mismatch,
    Money,
    OutcomeUnknown,
    PaymentStatus,
    Reference,
)
from payments_core.testing.cassettes import (
    BASE_URL,
    CassetteError,
    CassetteMiss,
    CassettePolicy,
    Fields,
    Provenance,
    Rule,
    read,
    record,
    replay,
)
from payments_core.testing.leaks import assert_controls, plant, scan, scan_tree
from payments_core.testing.recording import record_live, record_sandbox
from payments_core.testing.stories import ReplayActor, Story, run, run_async

FOLDER = Path(__file__).parents[2] / "cassettes" / "alipayhk"
HKD = Money.of("88.00", "HKD")
# Nothing of it was there when the cassettes were recorded: secrets are masked on both sides.
CONFIG = {
    "base_url": BASE_URL,
    "uid": "10000001",
    "client_secret": "secret-of-the-replay",
    "webhook_key": "key-of-the-replay",
}


def file_of(story: Story) -> Path:
    return FOLDER / ("documentation" if story.published else "sandbox") / f"{story.name}.yaml"


# Replaying.


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_each_cassette_is_replayed_without_a_network(story: Story, world: str) -> None:
    with replay(file_of(story), POLICY) as recording:
        if world == "sync":
            with Gateway.open("alipayhk", CONFIG) as gateway:
                run(story, gateway, ReplayActor(), recording.parameters)
        else:
            asyncio.run(replayed(story, recording.parameters))


async def replayed(story: Story, parameters: dict[str, str]) -> None:
    async with AsyncGateway.open("alipayhk", CONFIG) as gateway:
        await run_async(story, gateway, ReplayActor(), parameters)


@pytest.mark.usefixtures("no_network")
def test_network_is_blocked(opening: Any) -> None:
    """The positive control: without a cassette the same call meets the block, in either world."""
    gateway = opening("alipayhk", CONFIG | {"base_url": "http://127.0.0.1:9"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the block warns before it raises
        with pytest.raises(SocketBlockedError):
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        with pytest.raises((SocketBlockedError, GatewayUnavailable), match=r"socket|SocketBlockedError|ExceptionGroup"):
            gateway.authorize(deadline=1)


def test_a_story_that_sends_something_else_is_a_miss_and_no_payment_error(opening: Any) -> None:
    """The core gives a name to whatever a transport raises; the kit's miss comes out all the same."""
    gateway = opening("alipayhk", CONFIG)
    order_id = read(FOLDER / "sandbox" / "pending.yaml").parameters["order_id"]
    with (
        pytest.raises(CassetteMiss, match=r'body\.amount: recorded "88\.00", sent "89\.00"'),
        replay(FOLDER / "sandbox" / "pending.yaml", POLICY),
    ):
        gateway.create_charge(ChargeRequest(order_id, Money.of("89.00", "HKD"), "A cup of tea"))


def test_the_documented_answer_about_other_money_is_a_mismatch(opening: Any) -> None:
    """The example answers 50 TWD, "paid", on a page that says "only HKD"."""
    path = FOLDER / "documentation" / "published-query.yaml"
    gateway = opening("alipayhk", CONFIG)
    with replay(path, POLICY) as recording, pytest.raises(Mismatch) as caught:
        gateway.confirm(recording.parameters["order_id"], Money.of("50", "HKD"))
    assert (caught.value.field, caught.value.request_id) == ("currency", "3647575c0e1049439e484a231864da2c")
    gateway = opening("alipayhk", CONFIG)
    with replay(path, POLICY):
        charge = gateway.get_status(Reference("P9297895081903"))
    assert (charge.status, charge.amount) == (PaymentStatus.SUCCEEDED, Money.of("50", "TWD"))


# Contents.


def test_there_is_a_cassette_for_each_story_and_a_story_for_each_cassette() -> None:
    stories = sorted(file_of(story) for story in STORIES)
    assert sorted(path for kind in ("sandbox", "documentation") for path in (FOLDER / kind).iterdir()) == stories
    assert len({story.name for story in STORIES}) == len(STORIES)
    assert make_and_close().stories() == STORIES


def make_and_close() -> Sandbox:
    with make() as sandbox:
        return sandbox


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yaml")), ids=lambda path: path.stem)
def test_each_cassette_says_who_answered(path: Path) -> None:
    provenance = read(path).provenance
    assert provenance.kind == path.parent.name
    assert provenance.detail == "alipayhk" or provenance.detail.startswith("docs.globalcbtis.com/docs/")


def test_each_flow_and_each_wallet_is_recorded() -> None:
    text = "".join(path.read_text() for path in (FOLDER / "sandbox").iterdir())
    sent = set(re.findall(r'"alipayhk": \{"flow": "(\w+)", "payment_method": "(\w+)"\}', text))
    assert {flow for flow, _ in sent} == {"web_qrcode", "mobile_web", "csb_qrcode"}
    assert {wallet for _, wallet in sent} == {"ALIPAYHK", "ALIPAYCN"}


def test_what_the_sandbox_invents_is_marked_in_its_cassette() -> None:
    for name in ("rejected", "unknown-order", "token-renewed", "next-action-call-sdk"):
        assert "sandbox-invention:" in (FOLDER / "sandbox" / f"{name}.yaml").read_text()
    assert "sandbox" not in "".join(path.read_text() for path in (FOLDER / "documentation").iterdir())


# Recording.


def test_recording_the_sandbox_again_makes_the_same_bytes(tmp_path: Path) -> None:
    """Prove that the committed cassettes are what the recorder makes, neither edited nor stale."""
    made = record_sandbox("alipayhk", tmp_path)
    assert len(made) == len(STORIES)
    for path in made:
        assert path.read_bytes() == (FOLDER / path.relative_to(tmp_path)).read_bytes(), path.name


def test_live_recording_at_a_sandbox_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, canaries: dict[str, str]
) -> None:
    said: list[str] = []
    monkeypatch.chdir(tmp_path)
    with make(client_secret=canaries["secret"], webhook_key=canaries["key"]) as sandbox:
        for name, value in sandbox.config.items():
            monkeypatch.setenv(f"PAYMENTS_ALIPAYHK_{name.upper()}", value)

        def obey(prompt: str) -> None:
            said.append(prompt)
            newest = sandbox.received[-1].json["merchant_order_id"]
            assert newest in prompt
            provider_id = next(line for line in reversed(said) if "/wallet/" in line).rpartition("/")[2]
            (sandbox.cancel if prompt.startswith("decline") else sandbox.pay)(provider_id)

        made = record_live("alipayhk", tmp_path / "out", ask=obey, out=said.append)
        config = sandbox.config
    assert {path.stem for path in made} == {story.name for story in STORIES if story.live}
    assert {path.parent for path in made} == {tmp_path / "out" / "live"}
    for story in STORIES:
        assert story.live or any(line.startswith(f"skipped {story.name}:") for line in said)
    recordings = [read(path) for path in made]
    assert {each.provenance.kind for each in recordings} == {"sandbox"}
    assert {each.command for each in recordings} == {"payments record alipayhk --live"}
    assert len({each.parameters["order_id"] for each in recordings}) == len(made)
    assert scan_tree(tmp_path / "out", {**canaries, "uid": config["uid"]}) == []
    by_name = {story.name: story for story in STORIES}
    for path in made:
        with replay(path, POLICY) as recording, Gateway.open("alipayhk", CONFIG) as gateway:
            run(by_name[path.stem], gateway, ReplayActor(), recording.parameters)


# The leak gate.


def scene(
    sandbox: Sandbox, policy: CassettePolicy, path: Path, canaries: dict[str, str], description: str = "A cup of tea"
) -> None:
    """One token call and one create, recorded."""
    parameters = {"order_id": secrets.token_hex(8)}  # the sandbox refuses a second order of one id
    with (
        record(path, policy, Provenance("sandbox", "alipayhk"), parameters, base_url=sandbox.url, secrets=canaries),
        Gateway.open("alipayhk", sandbox.config) as gateway,
    ):
        gateway.create_charge(ChargeRequest(parameters["order_id"], HKD, description))


@pytest.fixture
def planted(canaries: dict[str, str]) -> Iterator[Sandbox]:
    with make(client_secret=canaries["secret"], webhook_key=canaries["key"]) as running:
        yield running


def test_no_planted_secret_is_in_a_cassette(planted: Sandbox, canaries: dict[str, str], tmp_path: Path) -> None:
    scene(planted, POLICY, tmp_path / "scene.yaml", canaries)
    (token,) = planted._gateway._tokens
    everything = {**canaries, "token": token, "uid": planted.config["uid"]}
    assert_controls(everything)
    assert scan_tree(tmp_path, everything) == []
    text = (tmp_path / "scene.yaml").read_bytes()
    for name, secret in everything.items():
        for form, spoilt in plant(secret).items():
            assert scan(text + b"\n" + spoilt, {name: secret}), f"{name} as {form} in a cassette is not found"


def test_the_gate_stops_a_careless_policy(planted: Sandbox, canaries: dict[str, str], tmp_path: Path) -> None:
    """Show that the gate can fail: one policy keeps a text with the secret, the other keeps the token."""
    token_rule, *others = POLICY.rules
    keeps_header = Rule(path=others[0].path, request_headers=Fields(("content-type", "authorization")))
    for rules, description, leak in (
        (POLICY.rules, canaries["secret"], r"secret \((raw|json)\)"),
        ((token_rule, keeps_header), "A cup of tea", r"access_token, masked value \d+ \(raw\)"),
    ):
        with pytest.raises(CassetteError, match=f"not written, because it would hold {leak}") as caught:
            scene(planted, CassettePolicy(rules), tmp_path / "scene.yaml", canaries, description)
        assert scan(str(caught.value), canaries) == []
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_keeps_the_secret_keeps_its_mask(
    planted: Sandbox, canaries: dict[str, str], tmp_path: Path
) -> None:
    """A recorder above httpx, as any tracer, never sees a secret of the query."""
    token_rule, *others = POLICY.rules
    keeps_secret = Rule(
        path=token_rule.path,
        query=Fields(("grant_type", "client_secret"), masked=("uid",)),
        response_body=token_rule.response_body,
    )
    scene(planted, CassettePolicy((keeps_secret, *others)), tmp_path / "scene.yaml", canaries)
    (uri,) = re.findall(r"uri: (.*/auth\?.*)", (tmp_path / "scene.yaml").read_text())
    assert dict(parse_qsl(urlsplit(uri).query))["client_secret"] == "MASKED"
    assert scan_tree(tmp_path, canaries) == []


def test_the_committed_cassettes_hold_no_credential_of_their_sandbox() -> None:
    for story in STORIES:
        with make(**story.options) as sandbox:
            names = ("uid", "client_secret", "webhook_key")
            held = {name: sandbox.config[name] for name in names}
            held |= {"token": sandbox._gateway.new_token(), "renewed": sandbox._gateway.new_token()}
        assert scan_tree(file_of(story), held) == [], story.name


def test_an_answer_whose_action_is_masked_is_not_taken_for_a_url(planted: Sandbox, tmp_path: Path) -> None:
    """A cassette that keeps too little says so: nothing is made up in a replay."""
    create = next(rule for rule in POLICY.rules if rule.path.endswith("/create"))
    kept = tuple(name for name in create.response_body.kept if not name.startswith("data.next_action.u"))
    rule = Rule(
        path=create.path,
        request_headers=create.request_headers,
        request_body=create.request_body,
        response_body=Fields(kept),
    )
    policy = CassettePolicy((POLICY.rules[0], rule))
    scene(planted, policy, tmp_path / "scene.yaml", {"secret": planted.config["client_secret"]})
    assert json.dumps({"type": "redirect", "MASKED": "MASKED"}) in (tmp_path / "scene.yaml").read_text()
    with (
        replay(tmp_path / "scene.yaml", policy) as recording,
        Gateway.open("alipayhk", CONFIG) as gateway,
        pytest.raises(OutcomeUnknown),
    ):
        gateway.create_charge(ChargeRequest(recording.parameters["order_id"], HKD, "A cup of tea"))
