"""Notifications: who signed them and when, and how much of what they say is believed."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from payments_core import (
    ConfigurationError,
    Mismatch,
    Money,
    NotFound,
    PaymentStatus,
    Reference,
    RefundStatus,
    RejectionCode,
    Response,
    Secret,
    Subject,
    WebhookDelivery,
    WebhookRejected,
)
from payments_stripe import wire
from payments_stripe.webhook import sign

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
STAMP = int(NOW.timestamp())
KEY = "whsec_of_the_webhook_tests"
CONFIG = {"api_key": "sk_test_of_the_webhook_tests", "webhook_key": KEY}
HKD = Money.of("88.00", "HKD")
PI = Reference("P1", "pi_1")


def intent(**changes: Any) -> dict[str, Any]:
    """A PaymentIntent that was paid."""
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 8800,
        "amount_received": 8800,
        "currency": "hkd",
        "created": STAMP,
        "latest_charge": "ch_1",
        "livemode": False,
        "metadata": {"order_id": "P1"},
        "next_action": None,
        "last_payment_error": None,
        "status": "succeeded",
    } | changes


def session(**changes: Any) -> dict[str, Any]:
    """A Checkout Session that was paid."""
    return {
        "id": "cs_1",
        "object": "checkout.session",
        "amount_total": 8800,
        "currency": "hkd",
        "client_reference_id": "P1",
        "created": STAMP,
        "metadata": {"order_id": "P1"},
        "mode": "payment",
        "payment_intent": "pi_1",
        "payment_status": "paid",
        "status": "complete",
        "url": None,
    } | changes


def refund(**changes: Any) -> dict[str, Any]:
    return {
        "id": "re_1",
        "object": "refund",
        "amount": 1000,
        "created": STAMP,
        "currency": "hkd",
        "metadata": {"refund_id": "R1", "order_id": "P1"},
        "payment_intent": "pi_1",
        "status": "failed",
    } | changes


def event(kind: str = "payment_intent.succeeded", target: Any = None, **changes: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": STAMP,
        "data": {"object": intent() if target is None else target},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    } | changes


BODY = json.dumps(event()).encode()


def hex_of(body: bytes, stamp: object = STAMP, key: str = KEY) -> str:
    """The signature by the documentation's words, written apart from the plugin."""
    return hmac.new(key.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


GOOD = hex_of(BODY)


def signed(body: Any, stamp: int = STAMP, key: str = KEY) -> WebhookDelivery:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WebhookDelivery(data, {"Stripe-Signature": f"t={stamp},v1={hex_of(data, stamp, key)}"}, NOW)


@pytest.fixture
def gateway(opening: Any) -> Any:
    """With a transport that must not be used."""
    return opening("stripe", CONFIG, transport=forbidden)


def forbidden(request: Any) -> Any:
    raise AssertionError(f"a webhook sent {request}")


def reason(gateway: Any, delivery: WebhookDelivery) -> str:
    with pytest.raises(WebhookRejected) as caught:
        gateway.parse_webhook(delivery)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert GOOD not in str(caught.value)
    return caught.value.reason


def one(gateway: Any, body: Any) -> Any:
    notification = gateway.parse_webhook(signed(body))
    (found,) = notification.events
    assert notification.acknowledgement.status == 200
    return found


# The signature.

BELIEVED: dict[str, Any] = {
    "one": f"t={STAMP},v1={GOOD}",
    "in upper case": f"t={STAMP},v1={GOOD.upper()}",
    "the other way round": f"v1={GOOD},t={STAMP}",
    "a fake v0 beside it": f"t={STAMP},v1={GOOD},v0={'0' * 64}",
    "a scheme of tomorrow": f"t={STAMP},v2=abc,v1={GOOD},x",
    "two, the first one wrong": f"t={STAMP},v1={'0' * 64},v1={GOOD}",
    "two, the second one wrong": f"t={STAMP},v1={GOOD},v1={'f' * 64}",
    "sixteen": f"t={STAMP}," + ",".join([f"v1={'0' * 64}"] * 15 + [f"v1={GOOD}"]),
}


@pytest.mark.parametrize("header", BELIEVED.values(), ids=BELIEVED)
def test_a_good_v1_is_believed(gateway: Any, header: str) -> None:
    """Among others, which count for nothing: while a secret is rolled there are two."""
    (found,) = gateway.parse_webhook(WebhookDelivery(BODY, {"stripe-signature": header}, NOW)).events
    assert found.event_id == "evt_1"


REFUSED: dict[str, Any] = {
    "missing": {},
    "empty": {"Stripe-Signature": ""},
    "twice": [("Stripe-Signature", f"t={STAMP},v1={GOOD}")] * 2,
    "twice in two cases": {"Stripe-Signature": f"t={STAMP},v1={GOOD}", "stripe-signature": f"t={STAMP},v1={GOOD}"},
    "a list of two": {"Stripe-Signature": [f"t={STAMP},v1={GOOD}", f"t={STAMP},v1={GOOD}"]},
    "no time": {"Stripe-Signature": f"v1={GOOD}"},
    "an empty time": {"Stripe-Signature": f"t=,v1={GOOD}"},
    "two times": {"Stripe-Signature": f"t={STAMP},t={STAMP},v1={GOOD}"},
    "two times that differ": {"Stripe-Signature": f"t={STAMP},v1={GOOD},t={STAMP + 1}"},
    "another time": {"Stripe-Signature": f"t={STAMP + 1},v1={GOOD}"},
    "a time with zeros before it": {"Stripe-Signature": f"t=0{STAMP},v1={GOOD}"},
    "a signed time with zeros, too long": {"Stripe-Signature": f"t=000{STAMP},v1={hex_of(BODY, f'000{STAMP}')}"},
    "a time with a sign": {"Stripe-Signature": f"t=+{STAMP},v1={hex_of(BODY, f'+{STAMP}')}"},
    "a negative time": {"Stripe-Signature": f"t=-1,v1={hex_of(BODY, -1)}"},
    "a time with a space": {"Stripe-Signature": f"t= {STAMP},v1={GOOD}"},
    "a time with an underscore": {"Stripe-Signature": f"t={STAMP // 10}_0,v1={hex_of(BODY, f'{STAMP // 10}_0')}"},
    "a time with a fraction": {"Stripe-Signature": f"t={STAMP}.0,v1={hex_of(BODY, f'{STAMP}.0')}"},
    "a time in full-width digits": {"Stripe-Signature": f"t=１７９３,v1={hex_of(BODY, '１７９３')}"},
    "a time of 13 digits": {"Stripe-Signature": f"t={STAMP}000,v1={hex_of(BODY, f'{STAMP}000')}"},
    "no v1": {"Stripe-Signature": f"t={STAMP}"},
    "an empty v1": {"Stripe-Signature": f"t={STAMP},v1="},
    "v0": {"Stripe-Signature": f"t={STAMP},v0={GOOD}"},
    "v2": {"Stripe-Signature": f"t={STAMP},v2={GOOD}"},
    "V1": {"Stripe-Signature": f"t={STAMP},V1={GOOD}"},
    "a space before v1": {"Stripe-Signature": f"t={STAMP}, v1={GOOD}"},
    "semicolons": {"Stripe-Signature": f"t={STAMP};v1={GOOD}"},
    "the bare digest": {"Stripe-Signature": GOOD},
    "seventeen": {"Stripe-Signature": f"t={STAMP}," + ",".join([f"v1={'0' * 64}"] * 16 + [f"v1={GOOD}"])},
    "a good one and a cut one": {"Stripe-Signature": f"t={STAMP},v1={GOOD},v1={GOOD[:-1]}"},
    "cut": {"Stripe-Signature": f"t={STAMP},v1={GOOD[:-1]}"},
    "cut by a byte": {"Stripe-Signature": f"t={STAMP},v1={GOOD[:-2]}"},
    "longer": {"Stripe-Signature": f"t={STAMP},v1={GOOD}00"},
    "a space behind": {"Stripe-Signature": f"t={STAMP},v1={GOOD} "},
    "a newline behind": {"Stripe-Signature": f"t={STAMP},v1={GOOD}\n"},
    "zeros": {"Stripe-Signature": f"t={STAMP},v1={'0' * 64}"},
    "reversed": {"Stripe-Signature": f"t={STAMP},v1={GOOD[::-1]}"},
    "no hexadecimal": {"Stripe-Signature": f"t={STAMP},v1={'g' * 64}"},
    "full-width digits": {"Stripe-Signature": f"t={STAMP},v1=３{GOOD[1:]}"},
    "non-ASCII": {"Stripe-Signature": "é" * 80},
    "bytes that are no text": {b"Stripe-Signature": b"t=\xff,v1=\xfe"},
    "a huge header": {"Stripe-Signature": f"t={STAMP},v1={GOOD}" + ",x=y" * 4000},
    "a million commas": {"Stripe-Signature": "," * 1_000_000},
    "another header": {"Signature": f"t={STAMP},v1={GOOD}"},
    "another key": {"Stripe-Signature": f"t={STAMP},v1={hex_of(BODY, key='whsec_other')}"},
    "an empty key": {"Stripe-Signature": f"t={STAMP},v1={hex_of(BODY, key='')}"},
    "the key without its prefix": {"Stripe-Signature": f"t={STAMP},v1={hex_of(BODY, key=KEY.removeprefix('whsec_'))}"},
    "the API key": {"Stripe-Signature": f"t={STAMP},v1={hex_of(BODY, key=CONFIG['api_key'])}"},
    "without the time": {"Stripe-Signature": f"t={STAMP},v1={hmac.new(KEY.encode(), BODY, 'sha256').hexdigest()}"},
    "not keyed": {"Stripe-Signature": f"t={STAMP},v1={hashlib.sha256(f'{STAMP}.'.encode() + BODY).hexdigest()}"},
    "of another body": {"Stripe-Signature": f"t={STAMP},v1={hex_of(b'{}')}"},
    "SHA-512": {"Stripe-Signature": f"t={STAMP},v1={hmac.new(KEY.encode(), BODY, 'sha512').hexdigest()}"},
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
def test_what_is_not_the_signature_is_refused(gateway: Any, headers: Any) -> None:
    """The body and the clock are good, so only the signature can be at fault."""
    assert reason(gateway, WebhookDelivery(BODY, headers, NOW)) == "signature"
    assert len(REFUSED) >= 40


def test_every_one_bit_change_is_refused(gateway: Any) -> None:
    """Of the signature, and of a sample of the body."""
    digest = bytes.fromhex(GOOD)
    for position in range(256):
        changed = bytearray(digest)
        changed[position // 8] ^= 1 << position % 8
        header = {"Stripe-Signature": f"t={STAMP},v1={changed.hex()}"}
        assert reason(gateway, WebhookDelivery(BODY, header, NOW)) == "signature"
    for position in range(0, len(BODY) * 8, 7):
        changed = bytearray(BODY)
        changed[position // 8] ^= 1 << position % 8
        header = {"Stripe-Signature": f"t={STAMP},v1={GOOD}"}
        assert reason(gateway, WebhookDelivery(bytes(changed), header, NOW)) == "signature"


def test_the_body_is_taken_as_it_came(gateway: Any) -> None:
    """Parsed and encoded again it says the same, and was not signed."""
    for body in (json.dumps(json.loads(BODY), indent=2).encode(), BODY + b"\n", BODY[:-1], b"", BODY * 2):
        delivery = WebhookDelivery(body, {"Stripe-Signature": f"t={STAMP},v1={GOOD}"}, NOW)
        assert reason(gateway, delivery) == "signature"


@pytest.mark.parametrize(
    ("offset", "believed"),
    [(0, True), (-300, True), (300, True), (-301, False), (301, False), (-86_400, False), (86_400, False)],
)
def test_300_seconds_are_the_most_either_way(gateway: Any, offset: int, believed: bool) -> None:
    """Stripe's own libraries take any time to come; a recorded signature for next year would then be good until then."""
    delivery = signed(BODY, STAMP + offset)
    if believed:
        assert gateway.parse_webhook(delivery).events
    else:
        assert reason(gateway, delivery) == "stale"


def test_half_a_second_too_much_is_too_much(gateway: Any) -> None:
    """The bound is exact."""
    for half in (timedelta(seconds=0.5), timedelta(seconds=-0.5)):
        stamp = STAMP - int(600 * half.total_seconds())
        delivery = signed(BODY, stamp)
        late = WebhookDelivery(delivery.body, delivery.headers, NOW + half)
        assert reason(gateway, late) == "stale"


def test_the_signature_is_looked_at_before_the_time(gateway: Any) -> None:
    """Who has no key learns nothing about the clock."""
    assert reason(gateway, signed(BODY, STAMP - 1000, "whsec_other")) == "signature"


def test_without_a_time_of_receipt_the_gateway_s_clock_counts(opening: Any, clock: Any) -> None:
    """And goes on."""
    gateway = opening("stripe", CONFIG, transport=forbidden, clock=clock)
    delivery = WebhookDelivery(BODY, {"Stripe-Signature": f"t={STAMP},v1={GOOD}"})
    assert gateway.parse_webhook(delivery).events
    clock.time += timedelta(seconds=301)
    assert reason(gateway, delivery) == "stale"


def test_keys_are_rolled(opening: Any) -> None:
    """Both are good for as long as both are configured; a blank one never is."""
    gateway = opening("stripe", CONFIG | {"webhook_key": "whsec_new", "previous_webhook_key": KEY}, transport=forbidden)
    for key in ("whsec_new", KEY):
        assert gateway.parse_webhook(signed(BODY, key=key)).events
    for key in ("whsec_third", ""):
        assert reason(gateway, signed(BODY, key=key)) == "signature"
    only = opening("stripe", CONFIG, transport=forbidden)
    assert reason(only, signed(BODY, key="")) == "signature"
    with pytest.raises(ConfigurationError):
        opening("stripe", CONFIG | {"webhook_key": " ", "previous_webhook_key": KEY})


def test_our_own_signature_is_the_documented_one(gateway: Any) -> None:
    """For those who test their endpoints with it."""
    header = sign(BODY, Secret(KEY), NOW)
    assert header == f"t={STAMP},v1={GOOD}"
    assert gateway.parse_webhook(WebhookDelivery(BODY, {"Stripe-Signature": header}, NOW)).events


# What is read.


def test_a_paid_payment_intent_is_paid(gateway: Any) -> None:
    """The event carries the whole charge, and `confirm_event` asks nobody."""
    found = one(gateway, event())
    assert (found.subject, found.raw_kind, found.reference, found.event_id) == (
        Subject.CHARGE, "payment_intent.succeeded", PI, "evt_1",
    )  # fmt: skip
    assert (found.charge.status, found.charge.amount, found.charge.captured) == (PaymentStatus.SUCCEEDED, HKD, HKD)
    assert gateway.confirm_event(found, "P1", HKD, provider_id="pi_1").is_paid
    for order_id, amount, provider_id in (
        ("P2", HKD, "pi_1"),
        ("P1", HKD, "pi_2"),
        ("P1", Money(1, "HKD"), "pi_1"),
        ("P1", Money.of("88.00", "USD"), "pi_1"),
    ):
        with pytest.raises(Mismatch):
            gateway.confirm_event(found, order_id, amount, provider_id=provider_id)


INTENT_EVENTS = {
    "payment_intent.amount_capturable_updated": (intent(status="requires_capture", amount_received=0), PaymentStatus.AUTHORIZED),
    "payment_intent.canceled": (intent(status="canceled", amount_received=0), PaymentStatus.CANCELLED),
    "payment_intent.created": (intent(status="requires_confirmation", amount_received=0), PaymentStatus.PENDING),
    "payment_intent.partially_funded": (intent(status="requires_action", amount_received=100), PaymentStatus.REQUIRES_ACTION),
    "payment_intent.payment_failed": (intent(status="requires_payment_method", amount_received=0), PaymentStatus.PENDING),
    "payment_intent.processing": (intent(status="processing", amount_received=0), PaymentStatus.PENDING),
    "payment_intent.requires_action": (intent(status="requires_action", amount_received=0), PaymentStatus.REQUIRES_ACTION),
    "payment_intent.succeeded": (intent(), PaymentStatus.SUCCEEDED),
    "payment_intent.of_tomorrow": (intent(status="of_tomorrow"), PaymentStatus.UNKNOWN),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "target", "status"), [(kind, *row) for kind, row in INTENT_EVENTS.items()])
def test_the_object_says_the_status_and_not_the_kind_of_event(
    gateway: Any, kind: str, target: Any, status: Any
) -> None:
    """Every documented kind about a PaymentIntent, and one of tomorrow."""
    found = one(gateway, event(kind, target))
    assert (found.subject, found.reference, found.charge.status) == (Subject.CHARGE, PI, status)
    assert found.charge.is_paid is (status is PaymentStatus.SUCCEEDED)


def test_a_failed_payment_is_not_final(gateway: Any) -> None:
    """The shopper may try again: the order must not be given up."""
    failure = {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"}
    target = intent(status="requires_payment_method", amount_received=0, last_payment_error=failure)
    found = one(gateway, event("payment_intent.payment_failed", target)).charge
    assert not found.status.is_final
    assert (found.reason, found.raw_reason) == (RejectionCode.INSUFFICIENT_FUNDS, "insufficient_funds")


def test_a_kind_that_says_succeeded_pays_nothing_by_itself(gateway: Any) -> None:
    """Nor does a part of the money."""
    for target in (intent(status="requires_action"), intent(amount_received=8799), intent(amount_received=0)):
        assert not one(gateway, event(target=target)).charge.is_paid


@pytest.mark.parametrize(
    "version", [None, "2024-06-20", "2026-08-26.dahlia", "2026-10-28.endive.1", "", "2026-10-28.ENDIVE"]
)
@pytest.mark.parametrize(
    ("kind", "target", "subject", "reference"),
    [
        ("payment_intent.succeeded", intent(), Subject.CHARGE, PI),
        ("checkout.session.completed", session(), Subject.CHARGE, Reference("P1", "cs_1")),
        ("refund.failed", refund(), Subject.REFUND, PI),
    ],
)
def test_an_event_of_another_version_is_a_hint(
    gateway: Any, version: Any, kind: str, target: Any, subject: Any, reference: Any
) -> None:
    """Its object has another version's shape: the ids are read, and nothing else."""
    strange = target | {"amount": "lots", "status": 5, "currency": None, "amount_total": []}
    for each in (target, strange):
        found = one(gateway, event(kind, each, api_version=version))
        assert (found.subject, found.reference, found.authoritative) == (subject, reference, False)


def test_a_hint_is_asked_about(opening: Any) -> None:
    """`confirm_event` then sends one query."""
    gateway = opening("stripe", CONFIG, transport=lambda _: Response(200, (), json.dumps(intent()).encode()))
    found = one(gateway, event(api_version="2024-06-20"))
    assert gateway.confirm_event(found, "P1", HKD).is_paid
    assert [request.path for request in gateway.script.requests] == ["/v1/payment_intents/pi_1"]


def test_an_incomplete_object_is_a_hint(gateway: Any) -> None:
    """What was received is not said; or the mode of the event is not; or the currency is none of ISO 4217's."""
    without = intent()
    del without["amount_received"]
    for body in (event(target=without), event(livemode=None), event(target=intent(currency="usdc"))):
        found = one(gateway, body)
        assert (found.subject, found.reference, found.authoritative) == (Subject.CHARGE, PI, False)
    body = event()
    del body["livemode"]
    assert not one(gateway, body).authoritative
    assert not one(gateway, event("refund.updated", refund(currency="usdc"))).authoritative


# Sessions.


def test_a_paid_session_is_paid(gateway: Any) -> None:
    """Also when the money came later."""
    for kind in ("checkout.session.completed", "checkout.session.async_payment_succeeded"):
        found = one(gateway, event(kind, session()))
        assert (found.subject, found.reference) == (Subject.CHARGE, Reference("P1", "cs_1"))
        assert found.charge.is_paid
        assert gateway.confirm_event(found, "P1", HKD, provider_id="cs_1").is_paid


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("checkout.session.completed", {"payment_status": "unpaid"}),
        ("checkout.session.completed", {"payment_status": "no_payment_required"}),
        ("checkout.session.completed", {"payment_status": "tomorrow"}),
        ("checkout.session.async_payment_failed", {"payment_status": "unpaid"}),
        ("checkout.session.completed", {"mode": "subscription"}),
        ("checkout.session.completed", {"mode": "setup", "amount_total": None, "currency": None}),
        ("checkout.session.completed", {"status": "open"}),
        ("checkout.session.completed", {"status": None}),
        ("checkout.session.expired", {"status": "expired", "payment_status": "unpaid"}),
        ("checkout.session.tomorrow", {"status": "tomorrow"}),
    ],
)
def test_a_session_that_is_not_known_to_be_paid_is_a_hint(gateway: Any, kind: str, changes: Any) -> None:
    """Held money, money to come, a failed attempt, an expiry at the last moment: only asking tells."""
    found = one(gateway, event(kind, session(**changes)))
    assert (found.subject, found.reference, found.authoritative) == (Subject.CHARGE, Reference("P1", "cs_1"), False)


def test_a_session_that_expired_without_a_payment_intent_is_cancelled(gateway: Any) -> None:
    """Nobody had tried to pay it."""
    target = session(status="expired", payment_status="unpaid", payment_intent=None)
    assert one(gateway, event("checkout.session.expired", target)).charge.status is PaymentStatus.CANCELLED


def test_a_session_made_by_a_payment_link_is_no_order_of_ours(gateway: Any) -> None:
    """Whoever opens the link can write `client_reference_id` into its address: another order's id, and the same price."""
    for metadata in ({}, None, {"order_id": ""}):
        found = one(gateway, event("checkout.session.completed", session(metadata=metadata, client_reference_id="P1")))
        assert found.reference == found.charge.reference == Reference(provider_id="cs_1")
        with pytest.raises(Mismatch):
            gateway.confirm_event(found, "P1", HKD)


def test_a_payment_intent_of_a_session_is_known_by_its_order(gateway: Any) -> None:
    """The shop has stored the session's id, which nothing in the event says."""
    ours = {"order_id": "P1", "checkout": "session"}
    found = one(gateway, event(target=intent(metadata=ours)))
    assert found.reference == found.charge.reference == Reference("P1")
    assert gateway.confirm_event(found, "P1", HKD, provider_id="cs_1").is_paid
    with pytest.raises(Mismatch):
        gateway.confirm_event(found, "P2", HKD, provider_id="cs_2")
    hint = one(gateway, event(target=intent(metadata=ours), api_version="2024-06-20"))
    assert (hint.subject, hint.reference, hint.authoritative) == (Subject.CHARGE, Reference("P1"), False)
    other = one(gateway, event(target=intent(metadata={"checkout": "session"})))
    assert (other.subject, other.reference, other.authoritative) == (Subject.OTHER, None, False)


def test_a_session_s_canceled_payment_intent_is_not_its_end(gateway: Any) -> None:
    """It may make another one."""
    metadata = {"order_id": "P1", "checkout": "session"}
    found = one(gateway, event("payment_intent.canceled", intent(status="canceled", metadata=metadata)))
    assert (found.subject, found.reference, found.authoritative) == (Subject.CHARGE, Reference("P1"), False)


def test_a_payment_intent_of_somebody_else_is_known_by_its_id(gateway: Any) -> None:
    """It pays no order."""
    for metadata in ({}, None, {"order": "P1"}, {"order_id": "x" * 300}, {"order_id": "a\nb"}):
        found = one(gateway, event(target=intent(metadata=metadata)))
        assert found.reference == Reference(provider_id="pi_1")
        with pytest.raises(Mismatch):
            gateway.confirm_event(found, "P1", HKD)


# Refunds and disputes.


@pytest.mark.parametrize("kind", ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"])
def test_a_refund_is_told_whole(gateway: Any, kind: str) -> None:
    """A refund that had succeeded can fail: then only an event says so."""
    found = one(gateway, event(kind, refund()))
    assert (found.subject, found.reference, found.charge) == (Subject.REFUND, PI, None)
    told = found.refund
    assert (told.refund_id, told.provider_id, told.status) == ("R1", "re_1", RefundStatus.FAILED)
    assert (told.amount, told.reference) == (Money.of("10", "HKD"), PI)


def test_a_refund_of_a_session_is_known_by_its_order(gateway: Any) -> None:
    """As its PaymentIntent is; one made in the dashboard has no id of ours."""
    ours = {"refund_id": "R1", "order_id": "P1", "checkout": "session"}
    assert one(gateway, event("refund.updated", refund(metadata=ours))).refund.reference == Reference("P1")
    for metadata in ({}, None):
        told = one(gateway, event("refund.updated", refund(metadata=metadata))).refund
        assert (told.refund_id, told.reference) == ("", Reference(provider_id="pi_1"))
    found = one(gateway, event("refund.updated", refund(metadata={}, payment_intent=None)))
    assert (found.subject, found.reference) == (Subject.REFUND, None)


def test_a_refunded_charge_is_a_hint(gateway: Any) -> None:
    """A Charge is not what was made; its PaymentIntent and its copied metadata say which order it is of."""
    target = {
        "id": "ch_1",
        "object": "charge",
        "payment_intent": "pi_1",
        "metadata": {"order_id": "P1"},
        "amount_refunded": 1,
    }
    found = one(gateway, event("charge.refunded", target))
    assert (found.subject, found.reference, found.authoritative) == (Subject.REFUND, PI, False)
    target |= {"metadata": {"order_id": "P1", "checkout": "session"}}
    assert one(gateway, event("charge.refunded", target)).reference == Reference("P1")


def test_a_dispute_names_its_payment_intent(gateway: Any) -> None:
    """Every kind of it; one without a PaymentIntent names nothing."""
    for kind in ("created", "closed", "updated", "funds_withdrawn", "funds_reinstated"):
        target = {
            "id": "dp_1",
            "object": "dispute",
            "payment_intent": "pi_1",
            "metadata": {},
            "status": "needs_response",
        }
        found = one(gateway, event(f"charge.dispute.{kind}", target))
        assert (found.subject, found.reference, found.authoritative) == (
            Subject.DISPUTE,
            Reference(provider_id="pi_1"),
            False,
        )
        assert one(gateway, event(f"charge.dispute.{kind}", target | {"payment_intent": None})).reference is None


# What is not ours.


def test_an_event_of_a_connected_account_is_never_ours(gateway: Any) -> None:
    """Its owner can write our order's id into a PaymentIntent of his, and pay himself."""
    for kind, target in (
        ("payment_intent.succeeded", intent()),
        ("checkout.session.completed", session()),
        ("refund.updated", refund()),
    ):
        found = one(gateway, event(kind, target, account="acct_1"))
        assert (found.subject, found.reference, found.authoritative) == (Subject.OTHER, None, False)
        assert (found.account, found.raw_kind) == ("acct_1", kind)


def test_a_hint_about_an_unknown_payment_intent_is_asked_about_and_not_found(opening: Any) -> None:
    """As of an account that is not ours."""
    missing = {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
    gateway = opening("stripe", CONFIG, transport=lambda _: Response(404, (), json.dumps(missing).encode()))
    found = one(gateway, event(api_version="2024-06-20"))
    with pytest.raises(NotFound):
        gateway.confirm_event(found, "P1", HKD)


@pytest.mark.parametrize(
    ("key", "livemode", "believed"),
    [
        ("sk_test_1", False, True),
        ("sk_test_1", True, False),
        ("rk_test_1", True, False),
        ("sk_live_1", True, True),
        ("rk_live_1", True, True),
        ("sk_live_1", False, False),
        ("rk_live_1", False, False),
        ("another kind of key", False, True),
        ("another kind of key", True, True),
    ],
)
def test_play_money_pays_nothing_in_a_live_account(opening: Any, key: str, livemode: bool, believed: bool) -> None:
    """And a live event has no business in a test's account: somebody has mixed up two endpoints' keys."""
    gateway = opening("stripe", CONFIG | {"api_key": key}, transport=forbidden)
    for kind in ("payment_intent.succeeded", "customer.created"):
        if believed:
            assert one(gateway, event(kind, livemode=livemode)).authoritative is (kind == "payment_intent.succeeded")
        else:
            assert reason(gateway, signed(event(kind, livemode=livemode))) == "malformed"


@pytest.mark.parametrize("data", [{"object": 5}, {}, None, [], {"object": {"id": "cus_1", "object": "customer"}}])
def test_of_an_unknown_kind_only_the_name_is_read(gateway: Any, data: Any) -> None:
    """It is acknowledged and changes nothing."""
    for kind in ("customer.created", "charge.succeeded", "invoice.paid", "payment_intents.x", "v1.billing[x].created"):
        found = one(gateway, event(kind, data=data))
        assert (found.subject, found.raw_kind, found.reference, found.authoritative) == (
            Subject.OTHER,
            kind,
            None,
            False,
        )


def test_a_thin_event_is_no_more_than_a_name(gateway: Any) -> None:
    """docs.stripe.com/event-destinations: it carries no object at all."""
    body = {
        "id": "evt_test_1",
        "object": "v2.core.event",
        "type": "payment_intent.succeeded",
        "livemode": False,
        "created": "2026-11-01T12:00:00.000Z",
        "context": "acct_1",
        "related_object": {"id": "pi_1", "type": "payment_intent", "url": "/v1/payment_intents/pi_1"},
    }
    found = one(gateway, body)
    assert (found.subject, found.event_id, found.reference, found.authoritative) == (
        Subject.OTHER, "evt_test_1", None, False,
    )  # fmt: skip


MALFORMED: dict[str, Any] = {
    "no JSON": b"paid",
    "empty": b"",
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "bad UTF-8": BODY.replace(b"evt_1", b"\xff\xfe"),
    "a BOM": b"\xef\xbb\xbf" + BODY,
    "cut": BODY[:-2],
    "two documents": BODY * 2,
    "deep": b'{"id":"evt_1","object":"event","type":"payment_intent.succeeded","data":' + b"[" * 100_000,
    "over 256 kB": BODY + b" " * (256 * 1024),
    "no id": event(id=""),
    "a number for an id": event(id=5),
    "an id with a newline": event(id="evt_1\n"),
    "a long id": event(id="e" * 256),
    "no kind": event(""),
    "a number for a kind": event(5),
    "a kind with a space": event("payment_intent.succeeded "),
    "another envelope": event(object="list"),
    "an account that is a number": event(account=5),
    "an account with a newline": event(account="acct_1\n"),
    "no data": event(data=None),
    "no object": event(data={}),
    "an object that is text": event(target="pi_1"),
    "an object of another kind": event(target=session()),
    "a session where an intent should be": event("checkout.session.completed", intent()),
    "an intent where a refund should be": event("refund.updated", intent()),
    "an intent where a charge should be": event("charge.refunded", intent()),
    "an intent where a dispute should be": event("charge.dispute.created", intent()),
    "an intent without an id": event(target=intent(id="")),
    "an intent whose id is a path": event(target=intent(id="pi_1 x")),
    "an amount that is text": event(target=intent(amount="8800")),
    "an amount with a fraction": event(target=intent(amount=8800.5)),
    "a negative amount": event(target=intent(amount=-1)),
    "a huge amount": event(target=intent(amount=10**30)),
    "half a krona": event(target=intent(amount=550, amount_received=550, currency="isk")),
    "no status": event(target=intent(status=None)),
    "metadata that is a list": event(target=intent(metadata=["P1"])),
    "metadata with a number": event(target=intent(metadata={"order_id": 1})),
    "an address that is none": event(
        target=intent(status="requires_action", next_action={"type": "x", "redirect_to_url": {"url": "javascript:x"}})
    ),
    "a refund without an amount": event("refund.updated", refund(amount=None)),
    "a refund whose id is a path": event("refund.updated", refund(id="re_1/x")),
    "a payment intent that is a list": event("refund.updated", refund(payment_intent=["pi_1"])),
}  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_signed_message_that_cannot_be_read_is_malformed(gateway: Any, body: Any) -> None:
    """A good signature makes nothing readable."""
    assert reason(gateway, signed(body)) == "malformed"


def test_256_kb_are_still_read(gateway: Any) -> None:
    """The limit is exact."""
    assert gateway.parse_webhook(signed(BODY + b" " * (256 * 1024 - len(BODY)))).events


def test_only_post_is_a_notification(gateway: Any) -> None:
    """A GET that somebody was lured into is none."""
    delivery = signed(BODY)
    assert reason(gateway, WebhookDelivery(delivery.body, delivery.headers, NOW, method="GET")) == "malformed"


def test_a_repetition_has_the_same_id(gateway: Any) -> None:
    """Stripe's own: equal for each delivery of one event."""
    first, again = gateway.parse_webhook(signed(event())), gateway.parse_webhook(signed(event(), STAMP + 60))
    assert first == again
    assert one(gateway, event(id="evt_2")).event_id == "evt_2"


def test_the_pinned_version_is_the_one_in_the_events() -> None:
    """One constant for what is asked and what is believed."""
    assert event()["api_version"] == wire.VERSION
