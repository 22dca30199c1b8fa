"""The recorded cassettes: whole, honest, clean, and replayed by both gateways with the network blocked."""

from __future__ import annotations

import asyncio
import secrets
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_socket import SocketBlockedError

from payments_core import AsyncGateway, ChargeRequest, Gateway, GatewayUnavailable, Money, Reference
from payments_core.testing.cassettes import (
    BASE_URL,
    CassetteMiss,
    Provenance,
    read,
    record,
    replay,
)
from payments_core.testing.leaks import assert_controls, plant, scan, scan_tree
from payments_core.testing.recording import record_live, record_sandbox
from payments_core.testing.stories import ReplayActor, Story, run, run_async
from payments_stripe.sandbox import Sandbox, make
from payments_stripe.sandbox.stories import POLICY, STORIES

FOLDER = Path(__file__).parents[2] / "cassettes" / "stripe" / "sandbox"
HKD = Money.of("88.00", "HKD")
# Nothing of it was there when the cassettes were recorded: secrets are masked on both sides.
CONFIG = {"base_url": BASE_URL, "api_key": "sk_test_of_the_replay", "webhook_key": "whsec_of_the_replay"}


def file_of(story: Story) -> Path:
    return FOLDER / f"{story.name}.yaml"


def tea(order_id: str, amount: Money = HKD, method: str = "alipay") -> ChargeRequest:
    return ChargeRequest(order_id, amount, "A cup of tea", method, return_url="https://shop.example/paid")


@pytest.fixture(scope="module")
def canaries(canaries: dict[str, str]) -> dict[str, str]:
    """Keys that can be sent: they travel in a header, where the others may travel in a query."""
    return {name: value.encode("ascii", "ignore").decode() for name, value in canaries.items()}


# Replaying.


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_each_cassette_is_replayed_without_a_network(story: Story, world: str) -> None:
    with replay(file_of(story), POLICY) as recording:
        if world == "sync":
            with Gateway.open("stripe", CONFIG) as gateway:
                run(story, gateway, ReplayActor(), recording.parameters)
        else:
            asyncio.run(replayed(story, recording.parameters))


async def replayed(story: Story, parameters: dict[str, str]) -> None:
    async with AsyncGateway.open("stripe", CONFIG) as gateway:
        await run_async(story, gateway, ReplayActor(), parameters)


@pytest.mark.usefixtures("no_network")
def test_network_is_blocked() -> None:
    """The positive control: without a cassette the same call meets the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the block warns before it raises
        with pytest.raises(SocketBlockedError):
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        with (
            Gateway.open("stripe", CONFIG | {"base_url": "http://127.0.0.1:9"}) as gateway,
            pytest.raises((SocketBlockedError, GatewayUnavailable), match=r"socket|SocketBlockedError|ExceptionGroup"),
        ):
            gateway.get_status(Reference("A1", "pi_1"), deadline=1)


def test_a_story_that_sends_something_else_is_a_miss(opening: Any) -> None:
    """Also of a form: each parameter by its name."""
    gateway = opening("stripe", CONFIG)
    path = FOLDER / "alipay-paid.yaml"
    order_id = read(path).parameters["order_id"]
    with pytest.raises(CassetteMiss, match=r"body amount: recorded \['8800'\], sent \['8900'\]"), replay(path, POLICY):
        gateway.create_charge(tea(order_id, Money.of("89.00", "HKD")))


# Contents.


def test_there_is_a_cassette_for_each_story_and_a_story_for_each_cassette() -> None:
    recorded = sorted(path for path in FOLDER.iterdir() if not path.name.startswith("localstripe-"))
    assert recorded == sorted(file_of(story) for story in STORIES)
    assert len({story.name for story in STORIES}) == len(STORIES)
    with make() as sandbox:
        assert sandbox.stories() == STORIES


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_each_cassette_says_who_answered(story: Story) -> None:
    provenance = read(file_of(story)).provenance
    assert (provenance.kind, provenance.detail) == ("sandbox", "stripe")


def test_nothing_here_claims_to_be_live() -> None:
    assert [path.name for path in FOLDER.parent.iterdir()] == ["sandbox"]


def test_each_method_and_each_kind_of_answer_has_its_cassette() -> None:
    texts = "".join(path.read_text() for path in FOLDER.iterdir())
    for method in ("alipay", "wechat_pay"):
        assert f"allowed_payment_method_types%5B0%5D={method}" in texts
    for status in (200, 400, 401, 402, 404):
        assert f"code: {status}\n" in texts
    assert "idempotent-replayed" in texts


# Recording.


def test_recording_the_sandbox_again_makes_the_same_bytes(tmp_path: Path) -> None:
    """Prove that the committed cassettes are what the recorder makes, neither edited nor stale."""
    made = record_sandbox("stripe", tmp_path)
    assert len(made) == len(STORIES)
    for path in made:
        assert path.read_bytes() == (FOLDER / path.name).read_bytes(), path.name


def test_live_stories_can_be_played_by_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, canaries: dict[str, str]
) -> None:
    """Rehearsed at a sandbox, which the cassettes then name: nothing else may call itself live."""
    said: list[str] = []
    monkeypatch.chdir(tmp_path)
    with make(api_key=canaries["secret"], webhook_key=canaries["key"]) as sandbox:
        for name, value in sandbox.config.items():
            monkeypatch.setenv(f"PAYMENTS_STRIPE_{name.upper()}", value)

        def obey(prompt: str) -> None:
            said.append(prompt)
            provider_id = next(line for line in reversed(said) if "/wallet/" in line).rpartition("/")[2]
            moves = {"pay": sandbox.pay, "decline:": sandbox.decline}
            moves[prompt.split(maxsplit=1)[0]](provider_id)

        made = record_live("stripe", tmp_path / "out", ask=obey, out=said.append)
    assert {path.stem for path in made} == {story.name for story in STORIES if story.live}
    assert {read(path).provenance.kind for path in made} == {"sandbox"}
    assert scan_tree(tmp_path / "out", canaries) == []


# The leak gate.


def scene(sandbox: Sandbox, path: Path, canaries: dict[str, str]) -> None:
    """One create, recorded."""
    parameters = {"order_id": secrets.token_hex(8)}
    with (
        record(path, POLICY, Provenance("sandbox", "stripe"), parameters, base_url=sandbox.url, secrets=canaries),
        Gateway.open("stripe", sandbox.config) as gateway,
    ):
        gateway.create_charge(tea(parameters["order_id"]))


@pytest.fixture
def planted(canaries: dict[str, str]) -> Iterator[Sandbox]:
    with make(api_key=canaries["secret"], webhook_key=canaries["key"]) as running:
        yield running


def test_no_planted_secret_is_in_a_cassette(planted: Sandbox, canaries: dict[str, str], tmp_path: Path) -> None:
    scene(planted, tmp_path / "scene.yaml", canaries)
    (intent,) = planted._gateway.intents.values()
    everything = {**canaries, "client_secret": intent.client_secret}
    assert_controls(everything)
    assert scan_tree(tmp_path, everything) == []
    text = (tmp_path / "scene.yaml").read_bytes()
    for name, secret in everything.items():
        for form, spoilt in plant(secret).items():
            assert scan(text + b"\n" + spoilt, {name: secret}), f"{name} as {form} in a cassette is not found"


def test_the_committed_cassettes_hold_no_credential_of_their_sandbox() -> None:
    for story in STORIES:
        with make(**story.options) as sandbox:
            held = {name: sandbox.config[name] for name in ("api_key", "webhook_key")}
        assert scan_tree(file_of(story), held) == [], story.name
    assert "_secret_" not in "".join(path.read_text() for path in FOLDER.iterdir())
