"""The plugin against a second server of Stripe's API, over real HTTP: localstripe, which nobody here has written.

What it is known to get wrong about Stripe is never asserted: over-refunds, error codes, idempotency. The field
`amount_received`, which it lacks, is added by its launcher: without it nothing is paid.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from payments_core import (
    AsyncGateway,
    AuthorizationRejected,
    CaptureRequest,
    Gateway,
    Money,
    NotFound,
    PaymentStatus,
    ProtocolViolation,
    Reference,
    RefundReference,
    RefundRequest,
    RefundStatus,
    RejectionCode,
    Subject,
    WebhookDelivery,
    WebhookRejected,
)
from payments_core.testing.cassettes import BASE_URL, read, replay
from payments_core.testing.leaks import scan_tree
from payments_core.testing.server import ReceivedDelivery, WebhookListener
from payments_core.testing.stories import ReplayActor, run, run_async
from payments_stripe.sandbox.stories import POLICY

ROOT = Path(__file__).parents[2]


def script() -> Any:
    """`scripts/record_localstripe.py`, which has the server's launcher and the recorded scenes."""
    path = ROOT / "scripts" / "record_localstripe.py"
    spec = importlib.util.spec_from_file_location("record_localstripe", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


SCRIPT = script()
SCENES = SCRIPT.SCENES
HKD = Money.of("88.00", "HKD")
PART = Money.of("60.00", "HKD")
FOLDER = ROOT / "cassettes" / "stripe" / "sandbox"


@pytest.fixture(scope="module")
def peer() -> Iterator[Any]:
    """One server for all tests of this file."""
    with SCRIPT.Peer() as running:
        yield running


@pytest.fixture
def gateway(peer: Any, opening: Any) -> Any:
    return opening("stripe", peer.config)


def reference(intent: dict[str, Any]) -> Reference:
    return Reference("A1", intent["id"])


def test_it_listens_on_this_machine_alone_and_keeps_no_file(peer: Any) -> None:
    """By itself it pickles its state into one file for all."""
    pickled = Path(tempfile.gettempdir()) / "localstripe.pickle"
    before = pickled.stat().st_mtime if pickled.exists() else None
    peer.intent()
    assert peer.url.startswith("http://127.0.0.1:")
    assert (pickled.stat().st_mtime if pickled.exists() else None) == before


# The life of a card's PaymentIntent.


def test_a_card_s_life_is_read_at_every_step(peer: Any, gateway: Any) -> None:
    intent = peer.intent(capture_method="manual", confirm=False)
    waiting = gateway.get_status(reference(intent))
    assert (waiting.status, waiting.raw_status) == (PaymentStatus.PENDING, "requires_confirmation")
    assert (waiting.reference, waiting.amount) == (reference(intent), HKD)
    peer.post(f"/v1/payment_intents/{intent['id']}/confirm", {})
    held = gateway.get_status(reference(intent))
    assert (held.status, held.require("A1", HKD).is_paid) == (PaymentStatus.AUTHORIZED, False)
    assert gateway.capture_charge(CaptureRequest(reference(intent), "c1", HKD)).status is PaymentStatus.SUCCEEDED
    taken = gateway.confirm("A1", HKD, provider_id=intent["id"])
    assert (taken.status, taken.captured, taken.is_paid) == (PaymentStatus.SUCCEEDED, HKD, True)


def test_a_part_is_captured(peer: Any, gateway: Any) -> None:
    """The part is seen in what the server keeps: the rest of the amount, released."""
    intent = peer.intent(capture_method="manual")
    charge = gateway.capture_charge(CaptureRequest(reference(intent), "c1", PART))
    assert (charge.status, charge.amount, charge.captured) == (PaymentStatus.SUCCEEDED, HKD, PART)
    assert not charge.require("A1", HKD).is_paid
    released = httpx.get(
        f"{peer.url}/v1/refunds?payment_intent={intent['id']}",
        headers={"authorization": f"Bearer {peer.config['api_key']}"},
        trust_env=False,
    ).json()
    assert [refund["amount"] for refund in released["data"]] == [2800]


@pytest.mark.parametrize("options", [{"capture_method": "manual"}, {"confirm": False}], ids=["held", "waiting"])
def test_what_is_not_paid_is_cancelled(peer: Any, gateway: Any, options: dict[str, Any]) -> None:
    intent = peer.intent(**options)
    charge = gateway.cancel_charge(reference(intent))
    assert (charge.status, charge.reference) == (PaymentStatus.CANCELLED, reference(intent))
    assert not charge.require("A1", HKD).is_paid


def test_a_refund_is_found_by_either_id(peer: Any, gateway: Any) -> None:
    intent = peer.intent()
    refund = gateway.refund_charge(RefundRequest(reference(intent), "R1", PART))
    assert (refund.status, refund.refund_id, refund.amount) == (RefundStatus.SUCCEEDED, "R1", PART)
    for asked in (RefundReference(provider_id=refund.provider_id), RefundReference("R1", reference=reference(intent))):
        found = gateway.get_refund(asked)
        assert (found.provider_id, found.refund_id, found.amount) == (refund.provider_id, "R1", PART)
    with pytest.raises(NotFound):
        gateway.get_refund(RefundReference("R2", reference=reference(intent)))


@pytest.mark.parametrize(
    ("success", "status"), [(True, PaymentStatus.SUCCEEDED), (False, PaymentStatus.PENDING)], ids=["yes", "no"]
)
def test_a_card_that_asks_for_more_is_waited_for(peer: Any, gateway: Any, success: bool, status: PaymentStatus) -> None:
    intent = peer.intent(SCRIPT.CHALLENGED)
    assert intent["status"] == "requires_action"
    assert not gateway.get_status(reference(intent)).status.is_final
    peer.authenticate(intent, success=success)
    charge = gateway.get_status(reference(intent))
    assert charge.status is status
    assert charge.reason is (None if success else RejectionCode.DECLINED)


def test_a_declined_card_is_open_again_and_says_why(peer: Any, gateway: Any) -> None:
    charge = gateway.get_status(reference(peer.intent(SCRIPT.DECLINED)))
    assert (charge.status, charge.raw_status) == (PaymentStatus.PENDING, "requires_payment_method")
    assert (charge.reason, charge.raw_reason) == (RejectionCode.DECLINED, "card_declined")
    assert not charge.status.is_final


def test_404_without_a_stripe_code_is_not_not_found(peer: Any, gateway: Any) -> None:
    """It may be a wrong address: only `resource_missing` says that a charge is not there."""
    for ask in (
        lambda: gateway.get_status(Reference("A1", "pi_nowhere")),
        lambda: gateway.get_refund(RefundReference(provider_id="re_nowhere")),
    ):
        with pytest.raises(ProtocolViolation):
            ask()


def test_a_wrong_key_is_no_refused_charge(peer: Any, opening: Any) -> None:
    gateway = opening("stripe", {**peer.config, "api_key": "not_a_key_of_localstripe"})
    with pytest.raises(AuthorizationRejected):
        gateway.get_status(Reference("A1", "pi_1"))


# Its webhooks.


def about(intent: dict[str, Any], listener: WebhookListener) -> ReceivedDelivery:
    """Its first delivery; those of the tests before may still be under way."""
    for count in itertools.count(1):
        found = [each for each in listener.wait(count, timeout=10) if intent["id"].encode() in each.body]
        if found:
            return found[0]
    raise AssertionError


def received(delivery: ReceivedDelivery) -> WebhookDelivery:
    return WebhookDelivery(delivery.body, delivery.headers, delivery.received_at, url=delivery.url)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(SCRIPT.GOOD, "payment_intent.succeeded"), (SCRIPT.DECLINED, "payment_intent.payment_failed")],
    ids=["succeeded", "failed"],
)
def test_its_signed_events_are_believed_and_forgeries_are_not(peer: Any, gateway: Any, number: str, kind: str) -> None:
    with WebhookListener() as listener:
        peer.send_events_to(listener.url)
        intent = peer.intent(number)
        delivery = about(intent, listener)
    (event,) = gateway.parse_webhook(received(delivery)).events
    assert (event.raw_kind, event.subject) == (kind, Subject.CHARGE)
    assert event.reference == reference(intent)
    assert event.event_id == json.loads(delivery.body)["id"]
    assert not event.authoritative, "it speaks another version, so it is a hint: ask"
    assert gateway.confirm_event(event, "A1", HKD, provider_id=intent["id"]).raw_status == intent["status"]
    for forged in (
        WebhookDelivery(delivery.body.replace(b"8800", b"8900"), delivery.headers, delivery.received_at),
        WebhookDelivery(delivery.body, [("stripe-signature", "t=1,v1=00")], delivery.received_at),
        WebhookDelivery(delivery.body, [], delivery.received_at),
    ):
        with pytest.raises(WebhookRejected) as caught:
            gateway.parse_webhook(forged)
        assert caught.value.reason == "signature"


# Its cassettes.


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.story.name)
def test_each_cassette_is_replayed_without_a_network(scene: Any, world: str) -> None:
    config = {**SCRIPT.CONFIG, "base_url": BASE_URL}
    with replay(FOLDER / f"{scene.story.name}.yaml", POLICY) as recording:
        assert (recording.provenance.kind, recording.provenance.detail) == ("sandbox", "localstripe")
        if world == "sync":
            with Gateway.open("stripe", config) as gateway:
                run(scene.story, gateway, ReplayActor(), recording.parameters)
        else:
            asyncio.run(replayed(scene.story, recording.parameters, config))


async def replayed(story: Any, parameters: dict[str, str], config: dict[str, str]) -> None:
    async with AsyncGateway.open("stripe", config) as gateway:
        await run_async(story, gateway, ReplayActor(), parameters)


def test_recording_it_again_makes_the_same_bytes(tmp_path: Path) -> None:
    made = SCRIPT.record_all(tmp_path)
    assert {path.name for path in made} == {path.name for path in FOLDER.glob("localstripe-*.yaml")}
    for path in made:
        assert path.read_bytes() == (FOLDER / path.name).read_bytes(), path.name


def test_its_cassettes_say_who_answered_and_hold_no_key() -> None:
    for scene in SCENES:
        recording = read(FOLDER / f"{scene.story.name}.yaml")
        assert recording.command == "python scripts/record_localstripe.py"
    keys = {**SCRIPT.CONFIG, **{scene.story.name: scene.api_key for scene in SCENES}}
    assert [leak for path in FOLDER.glob("localstripe-*") for leak in scan_tree(path, keys)] == []
