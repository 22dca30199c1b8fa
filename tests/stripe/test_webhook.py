"""Verify and read Stripe's notifications, including every known forgery."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from payments_core import (
    Charge,
    ConfigurationError,
    Gateway,
    InvalidRequest,
    Mismatch,
    Money,
    NotFound,
    PaymentStatus,
    Reference,
    RefundStatus,
    Secret,
    Subject,
    WebhookDelivery,
    WebhookRejected,
)
from payments_stripe.webhook import sign
from payments_stripe.wire import VERSION

from . import shapes
from .shapes import DROP, HKD, OF_SESSION, T, kept

KEY = "whsec_of_the_webhook_tests"
CONFIG = {"api_key": "sk_test_of_the_webhook_tests", "webhook_key": KEY}
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def event(kind: str = "payment_intent.succeeded", target: Any = None, **envelope: Any) -> bytes:
    """An event of the pinned version; what is `DROP` is left out."""
    values = {
        "id": "evt_1",
        "object": "event",
        "api_version": VERSION,
        "created": T,
        "data": {"object": intent() if target is None else target},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": "req_1", "idempotency_key": None},
        "type": kind,
    } | envelope
    return json.dumps(kept(values)).encode()


def intent(**changes: Any) -> dict[str, Any]:
    """A PaymentIntent that was paid; events never expand `latest_charge`."""
    return shapes.paid(**{"latest_charge": "ch_1"} | changes)


def session(**changes: Any) -> dict[str, Any]:
    """A Checkout Session that was paid."""
    return shapes.complete(
        **{"payment_status": "paid", "payment_intent": "pi_1", "id": "cs_1", "client_reference_id": "P1"} | changes
    )


def refund(**changes: Any) -> dict[str, Any]:
    return shapes.refund(**{"amount": 1000} | changes)


def attempt(**changes: Any) -> dict[str, Any]:
    """A Charge; Stripe copies the PaymentIntent's metadata to it."""
    found = {"id": "ch_1", "object": "charge", "metadata": {"payments_core_order_id": "P1"}, "payment_intent": "pi_1"}
    return kept(found | changes)


def dispute(**changes: Any) -> dict[str, Any]:
    return kept({"id": "du_1", "object": "dispute", "metadata": {}, "payment_intent": "pi_1"} | changes)


def digest(body: bytes, stamp: str | int = T, key: str = KEY) -> str:
    """Compute the signature from docs.stripe.com/webhooks/signature, independently of the plugin."""
    return hmac.new(key.encode(), str(stamp).encode() + b"." + body, hashlib.sha256).hexdigest()


def signed(body: bytes, stamp: str | int = T, key: str = KEY) -> WebhookDelivery:
    return WebhookDelivery(body, {"Stripe-Signature": f"t={stamp},v1={digest(body, stamp, key)}"})


def forbidden(request: Any) -> Any:
    raise AssertionError(f"a webhook sent {request}")


@pytest.fixture
def gateway(opening: Any, clock: Any) -> Any:
    """Opened at noon, with a transport that must not be used."""
    return opening("stripe", CONFIG, transport=forbidden, clock=clock)


def read(gateway: Any, body: bytes) -> Any:
    """The one event of a delivery that is signed as it should be."""
    (found,) = gateway.parse_webhook(signed(body)).events
    return found


def is_paid(charge: Charge) -> bool:
    """Compare a charge with the order by its own id, and say whether it is paid."""
    return charge.require("P1", HKD, provider_id=charge.reference.provider_id).is_paid


def reason(gateway: Any, delivery: WebhookDelivery) -> str:
    with pytest.raises(WebhookRejected) as caught:
        gateway.parse_webhook(delivery)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert digest(delivery.body) not in str(caught.value)
    assert KEY not in str(caught.value)
    return str(caught.value.reason)


PAID = event()
GOOD = digest(PAID)


# Signatures.


def test_what_stripe_signed_is_believed(gateway: Any) -> None:
    """Whatever the case of the header's name, and as text or bytes; `sign` writes the same."""
    assert sign(PAID, Secret(KEY), NOW) == f"t={T},v1={GOOD}"
    for name in ("Stripe-Signature", "stripe-signature", "STRIPE-SIGNATURE", b"Stripe-Signature"):
        notification = gateway.parse_webhook(WebhookDelivery(PAID, {name: f"t={T},v1={GOOD}"}))
        assert [each.event_id for each in notification.events] == ["evt_1"]
        assert (notification.acknowledgement.status, notification.acknowledgement.body) == (200, b"")


BELIEVED = {
    "another order": f"v1={GOOD},t={T}",
    "the fake scheme of test events": f"t={T},v1={GOOD},v0={'0' * 64}",
    "the fake scheme first": f"t={T},v0={'0' * 64},v1={GOOD}",
    "a scheme to come": f"t={T},v1={GOOD},v2=abc",
    "a word alone": f"t={T},x,v1={GOOD}",
    "a bad one before it": f"t={T},v1={'0' * 64},v1={GOOD}",
    "a bad one behind it": f"t={T},v1={GOOD},v1={'0' * 64}",
    "the same twice": f"t={T},v1={GOOD},v1={GOOD}",
    "the last of sixteen": f"t={T}," + f"v1={'0' * 64}," * 15 + f"v1={GOOD}",
    "digits in upper case": f"t={T},v1={GOOD.upper()}",
}


@pytest.mark.parametrize("header", BELIEVED.values(), ids=BELIEVED)
def test_one_good_signature_is_enough(gateway: Any, header: str) -> None:
    """While a secret is rolled there are two; other schemes say nothing, for or against."""
    assert gateway.parse_webhook(WebhookDelivery(PAID, {"Stripe-Signature": header})).events


def at(stamp: str) -> str:
    """A time in another form, and signed in that form: only the form is at fault."""
    return f"t={stamp},v1={digest(PAID, stamp)}"


BAD_VALUES: dict[str, str] = {
    "empty": "",
    "the digest alone": GOOD,
    "no t": f"v1={GOOD}",
    "no v1": f"t={T}",
    "v0 alone": f"t={T},v0={GOOD}",
    "v2 alone": f"t={T},v2={GOOD}",
    "V1": f"t={T},V1={GOOD}",
    "T": f"T={T},v1={GOOD}",
    "v1 without a value": f"t={T},v1",
    "v1 that is empty": f"t={T},v1=",
    "an empty v1 beside a good one": f"t={T},v1={GOOD},v1=",
    "seventeen": f"t={T},v1={GOOD}" + f",v1={'0' * 64}" * 16,
    "a thousand": f"t={T}" + f",v1={GOOD}" * 1000,
    "a million commas": "," * 1_000_000,
    "8 kB of another scheme": f"t={T},v1={GOOD},v0=" + "0" * 8192,
    "two t": f"t={T},t={T},v1={GOOD}",
    "two t, the good one first": f"t={T},t={T + 1},v1={GOOD}",
    "two t, the good one last": f"t={T + 1},t={T},v1={GOOD}",
    "t that is empty": at(""),
    "a space in t": at(f" {T}"),
    "a sign in t": at(f"+{T}"),
    "a fraction in t": at(f"{T}.0"),
    "underscores in t": at("1_793_534_400"),
    "a leading zero in t": f"t=0{T},v1={GOOD}",
    "three leading zeros in t": at(f"000{T}"),
    "a negative t": at("-1"),
    "hexadecimal t": at(f"{T:#x}"),
    "milliseconds in t": at(f"{T}000"),
    "non-ASCII digits in t": at(f"{chr(0xFF11)}793534400"),
    "a newline behind t": at(f"{T}\n"),
    "a huge t": at("9" * 4000),
    "another t": f"t={T + 1},v1={GOOD}",
    "cut": f"t={T},v1={GOOD[:-1]}",
    "cut, beside a good one": f"t={T},v1={GOOD},v1={GOOD[:-1]}",
    "of another body": f"t={T},v1={digest(b'{}')}",
    "reversed": f"t={T},v1={GOOD[::-1]}",
    "a space behind": f"t={T},v1={GOOD} ",
    "cut by a byte": f"t={T},v1={GOOD[:-2]}",
    "longer": f"t={T},v1={GOOD}00",
    "non-ASCII": f"t={T},v1=" + "é" * 64,
    "non-ASCII digits": f"t={T},v1={chr(0xFF13)}{GOOD[1:]}",
    "no hexadecimal": f"t={T},v1=" + "g" * 64,
    "zeros": f"t={T},v1=" + "0" * 64,
    "spaces between": f"t={T}, v1={GOOD}",
    "a trailing newline": f"t={T},v1={GOOD}\n",
    "semicolons": f"t={T};v1={GOOD}",
    "quoted": f't="{T}",v1="{GOOD}"',
    "a prefix": f"t={T},v1=sha256={GOOD}",
    "a NUL": f"t={T},v1={GOOD[:-1]}\x00",
    "JSON": json.dumps({"t": T, "v1": GOOD}),
    "the body alone": f"t={T},v1={hmac.digest(KEY.encode(), PAID, 'sha256').hex()}",
    "without the dot": f"t={T},v1={hmac.digest(KEY.encode(), b'%d' % T + PAID, 'sha256').hex()}",
    "no HMAC": f"t={T},v1={hashlib.sha256(KEY.encode() + b'%d.' % T + PAID).hexdigest()}",
    "SHA-512, cut": f"t={T},v1={hmac.digest(KEY.encode(), b'%d.' % T + PAID, 'sha512').hex()[:64]}",
    "another key": f"t={T},v1={digest(PAID, key='whsec_another')}",
    "the key without its prefix": f"t={T},v1={digest(PAID, key=KEY.removeprefix('whsec_'))}",
    "the API key": f"t={T},v1={digest(PAID, key=CONFIG['api_key'])}",
    "no key": f"t={T},v1={digest(PAID, key='')}",
    "a blank key": f"t={T},v1={digest(PAID, key=' ')}",
    "none": "None",
}
NOT_SIGNED: dict[str, Any] = {name: {"Stripe-Signature": value} for name, value in BAD_VALUES.items()} | {
    "missing": {},
    "doubled": [("Stripe-Signature", f"t={T},v1={GOOD}")] * 2,
    "doubled in two cases": {"Stripe-Signature": f"t={T},v1={GOOD}", "stripe-signature": f"t={T},v1={GOOD}"},
    "a good one after a bad one": [
        ("Stripe-Signature", f"t={T},v1={'0' * 64}"),
        ("Stripe-Signature", f"t={T},v1={GOOD}"),
    ],
    "a list of two": {"Stripe-Signature": [f"t={T}", f"v1={GOOD}"]},
    "another header": {"X-Stripe-Signature": f"t={T},v1={GOOD}"},
    "bytes that are no text": {b"Stripe-Signature": b"t=1,v1=" + b"\xff" * 64},
    "a debug switch": {"Stripe-Signature": "debug", "X-Debug": "1", "Host": "localhost"},
}


@pytest.mark.parametrize("headers", NOT_SIGNED.values(), ids=NOT_SIGNED)
def test_what_is_not_the_signature_is_refused(gateway: Any, headers: Any) -> None:
    """The body is a good one, so only the signature can be at fault."""
    assert reason(gateway, WebhookDelivery(PAID, headers)) == "signature"


def test_every_one_bit_change_is_refused(gateway: Any) -> None:
    """All of the body and of the digest, not a sample; and every other time, because it is signed too."""
    for position in range(len(PAID) * 8):
        changed = bytearray(PAID)
        changed[position // 8] ^= 1 << position % 8
        delivery = WebhookDelivery(bytes(changed), {"Stripe-Signature": f"t={T},v1={GOOD}"})
        assert reason(gateway, delivery) == "signature"
    headers = [f"t={T + shift},v1={GOOD}" for shift in range(-301, 302) if shift]
    for position in range(256):
        changed = bytearray(bytes.fromhex(GOOD))
        changed[position // 8] ^= 1 << position % 8
        headers.append(f"t={T},v1={changed.hex()}")
    for header in headers:
        assert reason(gateway, WebhookDelivery(PAID, {"Stripe-Signature": header})) == "signature"


def test_the_body_is_taken_as_it_came(gateway: Any) -> None:
    """Parsed and encoded again it says the same, and was not signed."""
    compact = json.dumps(json.loads(PAID), separators=(",", ":")).encode()
    for body in (compact, PAID + b"\n", PAID[:-1], b"", PAID * 2, b"\xef\xbb\xbf" + PAID):
        assert reason(gateway, WebhookDelivery(body, {"Stripe-Signature": f"t={T},v1={GOOD}"})) == "signature"


def test_time_and_body_cannot_be_shifted_into_each_other(gateway: Any) -> None:
    """`1.2.3` is signed for one time only: the time has no dot."""
    body = b"4400." + PAID
    good = digest(body, "179353")
    assert digest(PAID, "179353.4400") == good
    assert reason(gateway, WebhookDelivery(PAID, {"Stripe-Signature": f"t=179353.4400,v1={good}"})) == "signature"


def test_only_post_is_a_notification(gateway: Any) -> None:
    """A GET that somebody was lured into is none."""
    delivery = WebhookDelivery(PAID, signed(PAID).headers, method="GET")
    assert reason(gateway, delivery) == "malformed"


# Keys.


def test_keys_rotate(opening: Any, clock: Any) -> None:
    """Both are good while the endpoint's secret is rolled, each alone and side by side; a third is not."""
    changed = CONFIG | {"webhook_key": "whsec_new", "previous_webhook_key": KEY}
    gateway = opening("stripe", changed, transport=forbidden, clock=clock)
    for key in ("whsec_new", KEY):
        assert gateway.parse_webhook(signed(PAID, key=key)).events
    both = f"t={T},v1={digest(PAID, key='whsec_new')},v1={GOOD}"
    assert gateway.parse_webhook(WebhookDelivery(PAID, {"Stripe-Signature": both})).events
    assert reason(gateway, signed(PAID, key="whsec_third")) == "signature"


@pytest.mark.parametrize("key", ["", " "])
def test_no_gateway_opens_without_a_key(opening: Any, key: str) -> None:
    """Also not where there is a previous one."""
    with pytest.raises(ConfigurationError):
        opening("stripe", CONFIG | {"webhook_key": key, "previous_webhook_key": KEY}, transport=forbidden)


# Times.


@pytest.mark.parametrize("shift", [-300, -1, 0, 1, 300])
def test_300_seconds_are_tolerated_both_ways(gateway: Any, shift: int) -> None:
    """By the clock, or by the time at which the delivery was received."""
    assert gateway.parse_webhook(signed(PAID, T + shift)).events
    delivery = WebhookDelivery(PAID, signed(PAID, 1000).headers, datetime.fromtimestamp(1000 + shift, UTC))
    assert gateway.parse_webhook(delivery).events


@pytest.mark.parametrize("shift", [-T, -86_400, -301, 301, 86_400, 10**11])
def test_301_seconds_are_stale_both_ways(gateway: Any, shift: int) -> None:
    """A signature for the future would be good at any time of its maker's choice. What is stale is not read."""
    assert reason(gateway, signed(PAID, T + shift)) == reason(gateway, signed(b"no JSON", T + shift)) == "stale"
    bad = {"Stripe-Signature": f"t={T + shift},v1={GOOD}"}
    assert reason(gateway, WebhookDelivery(PAID, bad)) == "signature", "which is reported first"


def test_the_bound_is_exact_to_the_microsecond(gateway: Any) -> None:
    """On either side."""
    for bound, beyond in ((300, 1), (-300, -1)):
        edge = NOW + timedelta(seconds=bound)
        assert gateway.parse_webhook(WebhookDelivery(PAID, signed(PAID).headers, edge)).events
        late = WebhookDelivery(PAID, signed(PAID).headers, edge + timedelta(microseconds=beyond))
        assert reason(gateway, late) == "stale"


def test_a_delivery_that_waited_is_judged_by_its_arrival(gateway: Any, clock: Any) -> None:
    """A queue may hold it for a day, if it keeps the time."""
    clock.time = NOW + timedelta(days=1)
    assert reason(gateway, signed(PAID)) == "stale"
    assert gateway.parse_webhook(WebhookDelivery(PAID, signed(PAID).headers, NOW)).events


# PaymentIntents.


def test_a_paid_payment_intent_stands_for_itself(gateway: Any) -> None:
    """Both ids, the amount, what was received; nothing is asked."""
    found = read(gateway, PAID)
    assert (found.provider, found.subject, found.raw_kind) == ("stripe", Subject.CHARGE, "payment_intent.succeeded")
    assert (found.event_id, found.account, found.refund) == ("evt_1", "", None)
    assert found.reference == found.charge.reference == Reference("P1", "pi_1")
    assert (found.charge.status, found.charge.raw_status) == (PaymentStatus.SUCCEEDED, "succeeded")
    assert (found.charge.amount, found.charge.captured, found.charge.refunded) == (HKD, HKD, None)
    confirmed = gateway.confirm_event(found, "P1", HKD, provider_id="pi_1")
    assert confirmed.is_paid
    assert confirmed == msgspec.structs.replace(found.charge, matched=True)


@pytest.mark.parametrize(
    ("kind", "changes", "status"),
    [
        ("payment_intent.created", {"status": "requires_payment_method"}, PaymentStatus.PENDING),
        ("payment_intent.processing", {"status": "processing"}, PaymentStatus.PENDING),
        ("payment_intent.requires_action", {"status": "requires_action"}, PaymentStatus.REQUIRES_ACTION),
        ("payment_intent.amount_capturable_updated", {"status": "requires_capture"}, PaymentStatus.AUTHORIZED),
        ("payment_intent.canceled", {"status": "canceled"}, PaymentStatus.CANCELLED),
        ("payment_intent.partially_funded", {"status": "requires_action"}, PaymentStatus.REQUIRES_ACTION),
        ("payment_intent.succeeded", {"status": "processing"}, PaymentStatus.PENDING),
        ("payment_intent.canceled", {"status": "succeeded"}, PaymentStatus.SUCCEEDED),
        ("payment_intent.succeeded", {"status": "paid_in_shells"}, PaymentStatus.UNKNOWN),
        ("payment_intent.of_a_kind_to_come", {"status": "processing"}, PaymentStatus.PENDING),
    ],
)
def test_the_status_is_the_object_s_and_never_the_kind_s(
    gateway: Any, kind: str, changes: Any, status: PaymentStatus
) -> None:
    """Events arrive in any order; the object is what was so when it was made."""
    found = read(gateway, event(kind, intent(amount_received=0, **changes)))
    assert (found.subject, found.raw_kind) == (Subject.CHARGE, kind)
    assert found.charge.status is status
    assert is_paid(found.charge) is False


def test_a_partial_capture_is_not_the_whole_amount(gateway: Any) -> None:
    """The money is `amount_received`."""
    charge = read(gateway, event(target=intent(amount_received=5000))).charge
    assert (charge.amount, charge.captured) == (HKD, Money.of("50.00", "HKD"))
    assert is_paid(charge) is False


@pytest.mark.parametrize("changes", [{"amount_received": DROP}, {"amount_received": None}, {"currency": "usdc"}])
def test_an_object_that_does_not_say_all_is_a_hint(gateway: Any, changes: Any) -> None:
    """The amount received may be missing, or an amount may be unreadable."""
    found = read(gateway, event(target=intent(**changes)))
    assert (found.authoritative, found.reference) == (False, Reference("P1", "pi_1"))


@pytest.mark.parametrize(
    ("metadata", "reference"),
    [
        ({}, Reference("", "pi_1")),
        (None, Reference("", "pi_1")),
        (DROP, Reference("", "pi_1")),
        ({"order": "P1", "OrderId": "P1"}, Reference("", "pi_1")),
        ({"payments_core_order_id": ""}, Reference("", "pi_1")),
        ({"payments_core_order_id": "P1", "payments_core_checkout": "Session"}, Reference("P1", "pi_1")),
    ],
)
def test_a_payment_intent_that_was_not_made_here_has_its_own_id_alone(
    gateway: Any, metadata: Any, reference: Reference
) -> None:
    """Somebody else uses the account too."""
    found = read(gateway, event(target=intent(metadata=metadata)))
    assert (found.subject, found.reference, found.charge.reference) == (Subject.CHARGE, reference, reference)


# PaymentIntents of sessions.


@pytest.mark.parametrize("version", [VERSION, None])
def test_the_payment_intent_of_a_session_is_a_hint_about_its_order(gateway: Any, version: Any) -> None:
    """The shop has stored the session's id, and this one says nothing of it: so the session is asked about."""
    found = read(gateway, event(target=intent(metadata=OF_SESSION), api_version=version))
    assert (found.reference, found.charge) == (Reference("P1"), None)
    gateway.script.answer = lambda _: shapes.answer(session(payment_intent=intent(metadata=OF_SESSION)))
    assert gateway.confirm_event(found, "P1", HKD, provider_id="cs_1").is_paid
    assert gateway.script.paths() == ["/v1/checkout/sessions/cs_1"]
    with pytest.raises(InvalidRequest):
        gateway.confirm_event(found, "P1", HKD)


def test_another_shop_s_order_of_the_same_number_pays_for_nothing(gateway: Any) -> None:
    """Two shops of one account count their orders alike: what was paid in one is not paid in the other."""
    theirs = read(gateway, event(target=intent(id="pi_9", metadata=OF_SESSION)))
    open_ = intent(id="pi_1", status="requires_action", amount_received=0)
    gateway.script.answer = lambda _: shapes.answer(open_)
    assert not gateway.confirm_event(theirs, "P1", HKD, provider_id="pi_1").is_paid
    with pytest.raises(Mismatch):
        gateway.confirm_event(read(gateway, event(target=intent(id="pi_9"))), "P1", HKD, provider_id="pi_1")


@pytest.mark.parametrize(
    "metadata",
    [{"payments_core_checkout": "session"}, {"payments_core_checkout": "session", "payments_core_order_id": "P\n1"}],
)
def test_session_payment_intent_without_an_order_is_not_queried(gateway: Any, metadata: Any) -> None:
    """Neither id is one that anybody here has stored."""
    found = read(gateway, event(target=intent(metadata=metadata)))
    assert (found.subject, found.reference, found.authoritative) == (Subject.OTHER, None, False)


def test_a_canceled_payment_intent_does_not_end_its_session(gateway: Any) -> None:
    """An open session may make another one; a wallet's is the charge itself."""
    for metadata, told in ((OF_SESSION, False), ({"payments_core_order_id": "P1"}, True)):
        found = read(
            gateway,
            event("payment_intent.canceled", intent(status="canceled", amount_received=0, metadata=metadata)),
        )
        assert (found.subject, found.authoritative) == (Subject.CHARGE, told)


# Sessions.


def test_a_paid_session_stands_for_itself(gateway: Any) -> None:
    """By the id that the shop has stored."""
    found = read(gateway, event("checkout.session.completed", session()))
    assert (found.subject, found.raw_kind) == (Subject.CHARGE, "checkout.session.completed")
    assert found.reference == found.charge.reference == Reference("P1", "cs_1")
    assert (found.charge.raw_status, found.charge.amount) == ("complete:paid", HKD)
    assert gateway.confirm_event(found, "P1", HKD, provider_id="cs_1").is_paid


def test_an_expired_session_that_nobody_tried_to_pay_is_over(gateway: Any) -> None:
    """There is no PaymentIntent, so no money can come."""
    target = session(status="expired", payment_status="unpaid", payment_intent=None)
    charge = read(gateway, event("checkout.session.expired", target)).charge
    assert (charge.status, charge.raw_status, is_paid(charge)) == (PaymentStatus.CANCELLED, "expired", False)


HELD = {"payments_core_order_id": "P1", "payments_core_capture": "manual"}


@pytest.mark.parametrize("kind", ["completed", "async_payment_succeeded", "async_payment_failed", "expired", "to_come"])
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, True),
        # Held money, or a method that takes days: the session does not say which.
        *(({"payment_status": word}, False) for word in ("unpaid", "no_payment_required", "bartered")),
        # Held is not taken, and only the PaymentIntent tells the one from the other.
        ({"metadata": HELD}, False),
        # One that expired with a PaymentIntent may have been paid at the last moment.
        ({"status": "expired", "payment_status": "unpaid"}, False),
        ({"status": "open", "payment_status": "unpaid"}, False),
        ({"status": None, "payment_status": "unpaid"}, False),
        ({"mode": "setup", "payment_status": "no_payment_required", "amount_total": None, "currency": None}, False),
        ({"mode": "subscription"}, False),
        ({"currency": None, "amount_total": None}, False),
    ],
)
def test_the_status_is_the_session_s_and_never_the_kind_s(gateway: Any, kind: str, changes: Any, told: bool) -> None:
    """A session that does not say all is a hint."""
    found = read(gateway, event(f"checkout.session.{kind}", session(**changes)))
    assert (found.subject, found.reference) == (Subject.CHARGE, Reference("P1", "cs_1"))
    assert found.authoritative is told
    assert not told or is_paid(found.charge)


# Refunds and disputes.


@pytest.mark.parametrize(
    "kind", ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated", "refund.of_a_kind_to_come"]
)
def test_a_refund_stands_for_itself(gateway: Any, kind: str) -> None:
    """Its status is the object's: one that had succeeded can fail."""
    for status in (RefundStatus.PENDING, RefundStatus.SUCCEEDED, RefundStatus.FAILED):
        word = status.value.lower()
        found = read(gateway, event(kind, refund(status=word)))
        assert (found.subject, found.charge) == (Subject.REFUND, None)
        assert found.reference == found.refund.reference == Reference("P1", "pi_1")
        assert (found.refund.refund_id, found.refund.provider_id) == ("R1", "re_1")
        assert (found.refund.status, found.refund.raw_status) == (status, word)
        assert found.refund.amount == Money.of("10.00", "HKD")


def test_a_refund_of_a_session_is_known_by_its_order(gateway: Any) -> None:
    """The same as its PaymentIntent."""
    found = read(gateway, event("refund.updated", refund(metadata=OF_SESSION | {"payments_core_refund_id": "R1"})))
    assert found.reference == found.refund.reference == Reference("P1")


def test_a_refund_that_was_made_by_hand_has_stripe_s_ids(gateway: Any) -> None:
    """In the Dashboard, say."""
    for metadata in ({}, None, DROP):
        found = read(gateway, event("refund.created", refund(metadata=metadata)))
        assert (found.reference, found.refund.refund_id) == (Reference("", "pi_1"), "")
        assert found.refund.provider_id == "re_1"


def test_a_refund_of_nothing_that_is_known_has_no_reference(gateway: Any) -> None:
    """A Charge without a PaymentIntent: an older way to pay."""
    found = read(gateway, event("refund.created", refund(metadata={}, payment_intent=None)))
    assert (found.subject, found.reference, found.refund.provider_id) == (Subject.REFUND, None, "re_1")


@pytest.mark.parametrize("found", ["R\n1", "R\u202e1", "R" * 256])
def test_foreign_refund_id_is_ignored(gateway: Any, found: str) -> None:
    """Anyone who may refund may write metadata; the refund itself is genuine."""
    made = read(
        gateway,
        event("refund.created", refund(metadata={"payments_core_order_id": "P1", "payments_core_refund_id": found})),
    ).refund
    assert (made.refund_id, made.provider_id, made.status) == ("", "re_1", RefundStatus.SUCCEEDED)


def test_a_refund_whose_amount_cannot_be_read_is_a_hint(gateway: Any) -> None:
    """Stripe has currencies that ISO 4217 has not."""
    found = read(gateway, event("refund.updated", refund(currency="usdc")))
    assert (found.subject, found.refund, found.reference) == (Subject.REFUND, None, Reference("P1", "pi_1"))


@pytest.mark.parametrize(
    ("changes", "reference"),
    [
        ({}, Reference("P1", "pi_1")),
        ({"metadata": OF_SESSION}, Reference("P1")),
        ({"metadata": {}}, Reference("", "pi_1")),
        ({"metadata": {}, "payment_intent": None}, None),
    ],
)
def test_a_charge_that_was_refunded_is_a_hint(gateway: Any, changes: Any, reference: Any) -> None:
    """It says that money went back, and not which refund it was."""
    found = read(gateway, event("charge.refunded", attempt(amount_refunded=1000, **changes)))
    assert (found.subject, found.reference, found.authoritative) == (Subject.REFUND, reference, False)


@pytest.mark.parametrize("kind", ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"])
def test_a_dispute_names_the_payment_intent(gateway: Any, kind: str) -> None:
    """It has metadata of its own, and none of the order's."""
    found = read(gateway, event(f"charge.dispute.{kind}", dispute(metadata={"payments_core_order_id": "P2"})))
    assert (found.subject, found.reference, found.authoritative) == (Subject.DISPUTE, Reference("", "pi_1"), False)
    found = read(gateway, event(f"charge.dispute.{kind}", dispute(payment_intent=None)))
    assert (found.subject, found.reference) == (Subject.DISPUTE, None)


# Versions.


OF_ANOTHER_VERSION: dict[str, Any] = {
    "older": "2020-08-27",
    "newer": "2027-03-25.flora",
    "the same day": VERSION.partition(".")[0],
    "another spelling": VERSION.upper(),
    "with a space": f"{VERSION} ",
    "empty": "",
    "null": None,
    "missing": DROP,
}
KINDS = {
    "payment_intent.succeeded": (intent(), Subject.CHARGE, Reference("P1", "pi_1")),
    "payment_intent.processing": (intent(metadata=OF_SESSION), Subject.CHARGE, Reference("P1")),
    "checkout.session.completed": (session(), Subject.CHARGE, Reference("P1", "cs_1")),
    "refund.updated": (refund(), Subject.REFUND, Reference("P1", "pi_1")),
    "charge.refunded": (attempt(), Subject.REFUND, Reference("P1", "pi_1")),
    "charge.dispute.created": (dispute(), Subject.DISPUTE, Reference("", "pi_1")),
}


@pytest.mark.parametrize("version", OF_ANOTHER_VERSION.values(), ids=OF_ANOTHER_VERSION)
def test_an_object_of_another_version_is_a_hint(gateway: Any, version: Any) -> None:
    """An endpoint has a version of its own, and another one may mean something else by the same word."""
    for kind, (target, subject, reference) in KINDS.items():
        found = read(gateway, event(kind, target, api_version=version))
        assert (found.subject, found.reference, found.authoritative) == (subject, reference, False)


def test_of_another_version_only_the_ids_are_read(gateway: Any) -> None:
    """The rest may have any shape; the charge is asked about, and only the answer is believed."""
    target = {"id": "pi_1", "object": "payment_intent", "metadata": shapes.MARKS, "amount": "88", "status": 5}
    found = read(gateway, event(target=target, api_version="2020-08-27"))
    assert (found.reference, found.charge) == (Reference("P1", "pi_1"), None)
    assert reason(gateway, signed(event(target=target))) == "malformed"
    gateway.script.answer = lambda _: shapes.answer(intent(amount_received=0, status="requires_payment_method"))
    charge = gateway.confirm_event(found, "P1", HKD, provider_id="pi_1")
    assert (charge.status, charge.is_paid) == (PaymentStatus.PENDING, False)
    assert gateway.script.paths() == ["/v1/payment_intents/pi_1"]


# Kinds and envelopes that are not known.


@pytest.mark.parametrize(
    "kind",
    [
        "customer.created",
        "charge.succeeded",
        "charge.captured",
        "charge.updated",
        "payout.paid",
        "payment_intents.succeeded",
        "payment_intent",
        "Payment_Intent.succeeded",
        "x.payment_intent.succeeded",
        "checkout.sessions.completed",
        "refunds.created",
        "ping",
    ],
)
def test_of_an_unknown_kind_only_the_name_is_read(gateway: Any, kind: str) -> None:
    """It is acknowledged and changes nothing, whatever it holds."""
    for data in (DROP, None, [], 5, {"object": intent()}, {"object": 5}):
        found = read(gateway, event(kind, data=data))
        assert (found.subject, found.raw_kind, found.event_id) == (Subject.OTHER, kind, "evt_1")
        assert (found.reference, found.authoritative) == (None, False)


@pytest.mark.parametrize("kind", ["v2.core.account.updated", "payment_intent.succeeded", "refund.updated"])
@pytest.mark.parametrize("envelope", ["v2.core.event", "v2.core.event_notification"])
def test_a_thin_event_is_a_name(gateway: Any, kind: str, envelope: str) -> None:
    """It has no object, and the API that it points to is not this one."""
    related = {"id": "pi_1", "type": "payment_intent", "url": "/v1/payment_intents/pi_1"}
    for data in (DROP, {"object": intent()}):
        body = event(kind, object=envelope, data=data, api_version=DROP, related_object=related)
        found = read(gateway, body)
        assert (found.subject, found.raw_kind, found.reference) == (Subject.OTHER, kind, None)
        assert (found.event_id, found.authoritative) == ("evt_1", False)


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_connected_account_only_the_account_is_read(gateway: Any, kind: str) -> None:
    """Its owner writes what metadata he likes, and the money goes to him."""
    found = read(gateway, event(kind, KINDS[kind][0], account="acct_1"))
    assert (found.subject, found.account, found.raw_kind) == (Subject.OTHER, "acct_1", kind)
    assert (found.reference, found.authoritative) == (None, False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("context", ["acct_2", "org_1/acct_2"])
def test_of_an_account_of_an_organization_only_the_ids_are_read(gateway: Any, kind: str, context: str) -> None:
    """An endpoint of the organization hears of all its accounts; whether this one has the charge tells the question."""
    target, subject, reference = KINDS[kind]
    found = read(gateway, event(kind, target, context=context))
    assert (found.subject, found.account, found.reference) == (subject, context, reference)
    assert not found.authoritative


def test_no_account_is_the_own_one(gateway: Any) -> None:
    """Null, empty or absent."""
    for account in (None, "", DROP):
        found = read(gateway, event(account=account, context=account))
        assert (found.account, is_paid(found.charge)) == ("", True)


def test_the_id_of_an_event_is_stripe_s(gateway: Any) -> None:
    """A repetition has the same, signed anew or not; what differs has another."""
    again = event(pending_webhooks=0)
    first, second, third = (
        gateway.parse_webhook(delivery).events[0].event_id
        for delivery in (signed(PAID), signed(again, T + 60), signed(event(id="evt_2")))
    )
    assert (first, second, third) == ("evt_1", "evt_1", "evt_2")


# Modes.


MODES = {
    "sk_live_1": True,
    "rk_live_1": True,
    "sk_test_1": False,
    "rk_test_1": False,
}


@pytest.mark.parametrize(("key", "live"), MODES.items())
def test_an_event_of_the_other_mode_is_refused(opening: Any, clock: Any, key: str, live: bool) -> None:
    """Play money pays for nothing; and a live event does not belong into a test."""
    gateway = opening("stripe", CONFIG | {"api_key": key}, transport=forbidden, clock=clock)
    for kind in (*KINDS, "customer.created"):
        target = KINDS[kind][0] if kind in KINDS else {}
        assert read(gateway, event(kind, target, livemode=live)).raw_kind == kind
        for envelope in ({}, {"object": "v2.core.event"}, {"account": "acct_1"}):
            other = event(kind, target, livemode=not live, **envelope)
            assert reason(gateway, signed(other)) == "malformed"


@pytest.mark.parametrize(("key", "live"), MODES.items())
def test_an_object_of_the_other_mode_than_its_event_is_refused(opening: Any, clock: Any, key: str, live: bool) -> None:
    """An envelope cannot make test money real."""
    gateway = opening("stripe", CONFIG | {"api_key": key}, transport=forbidden, clock=clock)
    for kind, target in (("payment_intent.succeeded", intent()), ("checkout.session.completed", session())):
        good = event(kind, target | {"livemode": live}, livemode=live)
        assert read(gateway, good).charge.moves_money is live
        assert reason(gateway, signed(event(kind, target | {"livemode": not live}, livemode=live))) == "malformed"


@pytest.mark.parametrize("key", ["key_1", "SK_LIVE_1", "sk_liver_1", "xk_live_1"])
def test_a_key_that_names_no_mode_checks_none(opening: Any, clock: Any, key: str) -> None:
    """There is nothing to hold the event against."""
    gateway = opening("stripe", CONFIG | {"api_key": key}, transport=forbidden, clock=clock)
    for live in (True, False):
        assert is_paid(read(gateway, event(livemode=live)).charge)


@pytest.mark.parametrize("live", [None, DROP])
@pytest.mark.parametrize("key", [*MODES, "key_1"])
def test_an_event_that_names_no_mode_is_a_hint(opening: Any, clock: Any, key: str, live: Any) -> None:
    """It may be play money: only asking with the key tells."""
    gateway = opening("stripe", CONFIG | {"api_key": key}, transport=forbidden, clock=clock)
    for kind, (target, subject, reference) in KINDS.items():
        found = read(gateway, event(kind, target, livemode=live))
        assert (found.subject, found.reference, found.authoritative) == (subject, reference, False)


# Unreadable deliveries.


MALFORMED: dict[str, bytes] = {
    "no JSON": b"paid",
    "empty": b"",
    "a list": b"[]",
    "null": b"null",
    "a BOM": b"\xef\xbb\xbf" + PAID,
    "bad UTF-8": PAID.replace(b"evt_1", b"\xff\xfe"),
    "UTF-16": PAID.decode().encode("utf-16"),
    "two documents": PAID + PAID,
    "cut": PAID[:-2],
    "over 256 kB": PAID + b" " * (256 * 1024),
    "deep": PAID.replace(b'"pi_1"', b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "deep in what is not read": event("ping", data=DROP)[:-1] + b',"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no id": event(id=DROP),
    "an empty id": event(id=""),
    "a number for an id": event(id=5),
    "null for an id": event(id=None),
    "a newline in the id": event(id="evt_1\n"),
    "a space in the id": event(id="evt 1"),
    "an invisible mark in the id": event(id="evt_\u200b1"),
    "a long id": event(id="e" * 256),
    "no kind": event(type=DROP),
    "an empty kind": event(""),
    "a number for a kind": event(type=5),
    "a kind with a newline": event("payment_intent.succeeded\n"),
    "a kind with a space": event("payment_intent.succeeded "),
    "a long kind": event("k" * 256),
    "no object": event(object=DROP),
    "another object": event(object="payment_intent"),
    "a list of events": event(object="list"),
    "a number for an account": event(account=5),
    "an account with a slash": event(account="acct_1/../x"),
    "a number for a context": event(context=5),
    "a context with dots": event(context="acct_1/../x"),
    "a text for the mode": event(livemode="false"),
    "a number for the mode": event(livemode=0),
    "a number for a version": event(api_version=20261028),
    "no data": event(data=DROP),
    "data null": event(data=None),
    "data a list": event(data=[]),
    "no object in it": event(data={}),
    "null in it": event(data={"object": None}),
    "an id in it": event(data={"object": "pi_1"}),
    "a session in an event of a PaymentIntent": event(target=session()),
    "a PaymentIntent in an event of a session": event("checkout.session.completed", intent()),
    "a Charge in an event of a refund": event("refund.updated", attempt()),
    "a refund in an event of a Charge": event("charge.refunded", refund()),
    "a Charge in an event of a dispute": event("charge.dispute.created", attempt()),
    "a PaymentIntent without an id": event(target=intent(id=DROP)),
    "with an empty id": event(target=intent(id="")),
    "with a number for an id": event(target=intent(id=1)),
    "with a newline in its id": event(target=intent(id="pi_1\n")),
    "with a long id": event(target=intent(id="pi_" + "1" * 253)),
    "without an amount": event(target=intent(amount=DROP)),
    "with a negative amount": event(target=intent(amount=-8800)),
    "with an amount in text": event(target=intent(amount="8800")),
    "with a fraction of an amount": event(target=intent(amount=8800.5)),
    "with a boolean amount": event(target=intent(amount=True)),
    "with a huge amount": event(target=intent(amount=10**30)),
    "with a negative amount received": event(target=intent(amount_received=-1)),
    "without a currency": event(target=intent(currency=DROP)),
    "with half a krona": event(target=intent(currency="isk", amount=50)),
    "without a status": event(target=intent(status=DROP)),
    "with a list for a status": event(target=intent(status=["succeeded"])),
    "with a number for an order": event(target=intent(metadata={"payments_core_order_id": 5})),
    "with null for an order": event(target=intent(metadata={"payments_core_order_id": None})),
    "with metadata in a list": event(target=intent(metadata=["payments_core_order_id", "P1"])),
    "with metadata in text": event(target=intent(metadata="P1")),
    "with a script for an address": event(
        target=intent(
            status="requires_action",
            next_action={"type": "redirect_to_url", "redirect_to_url": {"url": "javascript:alert(1)"}},
        )
    ),
    "a session without a payment_status": event("checkout.session.completed", session(payment_status=DROP)),
    "a session with a negative amount": event("checkout.session.completed", session(amount_total=-1)),
    "a session with an amount in text": event("checkout.session.completed", session(amount_total="8800")),
    "a refund without an amount": event("refund.updated", refund(amount=DROP)),
    "a refund with an id that is a path": event("refund.updated", refund(id="../refunds")),
    "a refund with an object for a charge": event("refund.updated", refund(payment_intent={"id": "pi_1"})),
    "a dispute with a number for a charge": event("charge.dispute.created", dispute(payment_intent=5)),
    "a dispute with a newline in it": event("charge.dispute.created", dispute(payment_intent="pi_1\n")),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_signed_message_that_cannot_be_read_is_malformed(gateway: Any, body: bytes) -> None:
    """A good signature makes nothing readable."""
    assert reason(gateway, signed(body)) == "malformed"


def test_256_kb_are_still_read(gateway: Any) -> None:
    """The limit is exact."""
    assert is_paid(read(gateway, PAID + b" " * (256 * 1024 - len(PAID))).charge)


def test_fields_to_come_are_passed_over(gateway: Any) -> None:
    """Stripe adds fields within a version."""
    body = event(target=intent(colour={"red": [1]}), weather="fine")
    assert read(gateway, body).charge == read(gateway, PAID).charge


# Fraud.


THEIRS = {"order_id": "P1", "checkout": "automatic", "capture": "automatic", "refund_id": "R1"}
ANOTHER = {"payments_core_order_id": "P2"}


@pytest.mark.parametrize("version", [VERSION, "2020-08-27"])
@pytest.mark.parametrize(
    ("target", "provider_id"),
    [
        (intent(metadata=ANOTHER), "pi_1"),
        (intent(metadata=OF_SESSION | ANOTHER), "cs_1"),
        (intent(id="pi_2"), "pi_1"),
        (intent(id="pi_2", metadata={}), "pi_1"),
        (intent(metadata={}), ""),
        (intent(amount=100, amount_received=100), "pi_1"),
        (intent(currency="jpy"), "pi_1"),
        (intent(metadata={"payments_core_order_id": "P1\u200b"}, id="pi_2"), "pi_1"),
        (session(metadata=ANOTHER), "cs_1"),
        (session(id="cs_2"), "cs_1"),
        (session(id="cs_2", metadata={}), "cs_1"),
        (session(metadata={}), ""),
        (session(amount_total=100), "cs_1"),
        # Another program writes our order id into its own keys, for the same amount, and Stripe tells us of it.
        *((intent(id="pi_9", metadata=THEIRS), stored) for stored in ("pi_1", "")),
        *((session(id="cs_9", metadata=THEIRS), stored) for stored in ("cs_1", "")),
    ],
)
def test_one_payment_pays_for_one_order(gateway: Any, target: Any, provider_id: str, version: str) -> None:
    """Told by the event itself or by the answer to a question: another order, charge, amount or currency is none."""
    is_session = target["object"] == "checkout.session"
    served = target | {"payment_intent": None} if is_session else target
    gateway.script.answer = lambda _: shapes.answer(served)
    kind = "checkout.session.completed" if is_session else "payment_intent.succeeded"
    found = read(gateway, event(kind, target, api_version=version))
    if target["metadata"] is THEIRS:
        assert found.reference == Reference("", target["id"])
    # An order alone cannot be asked about: the shop has to say which charge.
    with pytest.raises((Mismatch, InvalidRequest)):
        gateway.confirm_event(found, "P1", HKD, provider_id=provider_id)


def test_hint_about_an_unknown_charge_is_not_found(gateway: Any) -> None:
    """As of another account, whose events somebody sends here."""
    missing = {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
    gateway.script.answer = lambda _: shapes.answer(missing, 404)
    with pytest.raises(NotFound):
        gateway.confirm_event(read(gateway, event(api_version="2020-08-27")), "P1", HKD)


def test_what_a_shopper_can_write_names_no_order(gateway: Any) -> None:
    """Anyone who opens a Payment Link of the account chooses its `client_reference_id`."""
    found = read(gateway, event("checkout.session.completed", session(id="cs_2", metadata={})))
    assert (found.reference, found.charge) == (Reference("", "cs_2"), None)
    theirs = session(id="cs_2", metadata={}, client_reference_id="P1")
    gateway.script.answer = lambda _: shapes.answer(theirs)
    for provider_id in ("cs_1", ""):
        with pytest.raises(Mismatch):
            gateway.confirm_event(found, "P1", HKD, provider_id=provider_id)


def test_another_program_s_refund_is_not_ours(gateway: Any) -> None:
    for kind, target in (("refund.updated", refund(metadata=THEIRS)), ("charge.refunded", attempt(metadata=THEIRS))):
        found = read(gateway, event(kind, target))
        assert found.reference == Reference("", "pi_1")
        assert found.refund is None or found.refund.refund_id == ""


def test_a_charge_of_an_earlier_version_is_known_by_its_own_id(gateway: Any) -> None:
    """It has the order id under the old key: the id that was stored with the order is compared, and nothing else."""
    before = {"order_id": "P1"}
    found = read(gateway, event(target=intent(metadata=before)))
    assert gateway.confirm_event(found, "P1", HKD, provider_id="pi_1").is_paid
    found = read(gateway, event("checkout.session.completed", session(metadata=before)))
    held = session(metadata=before | {"capture": "manual"}, payment_intent=intent(status="requires_capture"))
    gateway.script.answer = lambda _: shapes.answer(held)
    assert not found.authoritative, "its money may be held, which it says under the old key"
    assert not gateway.confirm_event(found, "P1", HKD, provider_id="cs_1").is_paid


@pytest.mark.parametrize("forged", ["P\n1", "P1\x00", "P1\u200b", "\u202e1P", "P" * 201, "P1\x7f", "P\u20281"])
def test_foreign_order_id_is_ignored(gateway: Any, forged: str) -> None:
    """The event is still one, of a charge that was not made here."""
    for kind, target, reference in (
        ("payment_intent.succeeded", intent(metadata={"payments_core_order_id": forged}), Reference("", "pi_1")),
        ("checkout.session.completed", session(metadata={"payments_core_order_id": forged}), Reference("", "cs_1")),
        ("refund.updated", refund(metadata={"payments_core_order_id": forged}), Reference("", "pi_1")),
        ("charge.refunded", attempt(metadata={"payments_core_order_id": forged}), Reference("", "pi_1")),
    ):
        found = read(gateway, event(kind, target))
        assert found.reference == reference
        assert forged not in repr(found)


def test_an_order_id_of_200_characters_is_one(gateway: Any) -> None:
    """As many as a create takes, of any script."""
    for order_id in ("P" * 200, "茶" * 200, "P 1/é"):
        assert (
            read(gateway, event(target=intent(metadata={"payments_core_order_id": order_id}))).reference.order_id
            == order_id
        )


def test_the_event_of_one_endpoint_is_not_the_other_s() -> None:
    """Every endpoint has a key of its own: two accounts do not read each other's events."""
    with (
        Gateway.open("stripe", CONFIG | {"webhook_key": "whsec_one"}) as one,
        Gateway.open("stripe", CONFIG | {"webhook_key": "whsec_two"}) as two,
    ):
        delivery = WebhookDelivery(PAID, signed(PAID, key="whsec_one").headers, NOW)
        assert one.parse_webhook(delivery).events
        assert reason(two, delivery) == "signature"
