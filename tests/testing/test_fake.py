"""Test the fake as shops use it: every magic reference, keys, refunds and notifications, in process and over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import inspect
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from payments_core import (
    AsyncGateway,
    CaptureRequest,
    Channel,
    ChargeRequest,
    ConfigurationError,
    GatewayUnavailable,
    InvalidRequest,
    Mismatch,
    Money,
    NotFound,
    OutcomeUnknown,
    PaymentStatus,
    ProtocolViolation,
    ProviderNotFound,
    RateLimited,
    Redirect,
    Reference,
    RefundReference,
    RefundRequest,
    RefundStatus,
    Rejected,
    RejectionCode,
    Request,
    Secret,
    Subject,
    WebhookDelivery,
    WebhookRejected,
)
from payments_core.discovery import find_provider
from payments_core.testing import fake_gateway as module
from payments_core.testing.fake import REFUSALS, FakeConfig, FakeProvider
from payments_core.testing.fake_gateway import MAGIC, REFUND_MAGIC, FakeSandbox, NotPossible, make, sign
from payments_core.testing.opening import open_provider
from payments_core.testing.server import WebhookListener

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "fake.md").read_text("utf-8")
AMOUNT = Money.of("88", "HKD")
DAY = 24 * 3600


class Face:
    """An AsyncGateway behind the face of a Gateway."""

    def __init__(self, runner: asyncio.Runner, gateway: AsyncGateway) -> None:
        self._runner, self._gateway = runner, gateway

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._gateway, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *args, **kwargs: self._runner.run(found(*args, **kwargs))


@pytest.fixture(params=["sync", "async", "http"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Over each of the two transports in this process, and over HTTP."""
    monkeypatch.setattr("payments_core.retry.random.uniform", lambda low, high: 0.001)
    return request.param


@pytest.fixture
def sandbox(world: str) -> Iterator[FakeSandbox]:
    with make() if world == "http" else FakeSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def gateway(world: str, sandbox: FakeSandbox) -> Iterator[Any]:
    if world != "async":
        with sandbox.open() as opened:
            yield opened
        return
    with asyncio.Runner() as runner:
        twin = sandbox.open(AsyncGateway)
        yield Face(runner, twin)
        runner.run(twin.aclose())


@pytest.fixture
def here() -> FakeSandbox:
    """A sandbox in this process, where the transport makes no difference."""
    return FakeSandbox(seed=1)


def ask(order_id: str, amount: Money = AMOUNT, **fields: Any) -> ChargeRequest:
    return ChargeRequest(order_id, amount, "A cup of tea", **fields)


def paths(sandbox: FakeSandbox) -> list[str]:
    return [each for each in sandbox.requests if each != "POST /token"]


# Ordinary orders, as a shop sees them.


def test_an_ordinary_order_waits_for_the_shopper(gateway, sandbox):
    charge = gateway.create_charge(ask("order-1"))
    assert charge.status is PaymentStatus.REQUIRES_ACTION
    assert isinstance(charge.next_action, Redirect)
    assert not gateway.confirm("order-1", AMOUNT).is_paid
    sandbox.pay(charge.reference.provider_id)
    paid = gateway.confirm("order-1", AMOUNT)
    assert paid.is_paid
    assert (paid.captured, paid.next_action) == (AMOUNT, None)


@pytest.mark.parametrize("given", ["order_id", "provider_id", "both"])
def test_a_charge_is_asked_about_by_either_id_or_by_both(gateway, given):
    known = gateway.create_charge(ask("order-1")).reference
    asked = {"order_id": Reference("order-1"), "provider_id": Reference(provider_id=known.provider_id), "both": known}
    assert gateway.get_status(asked[given]).reference == known


def test_what_is_not_there_is_not_found(gateway):
    for asked in (Reference("order-1"), Reference(provider_id="ch_1")):
        with pytest.raises(NotFound) as caught:
            gateway.get_status(asked)
        assert caught.value.request_id.startswith("req_")
    gateway.create_charge(ask("order-1"))
    with pytest.raises(NotFound):
        gateway.get_status(Reference("order-1", "ch_of_another_order"))


@pytest.mark.parametrize("currency", sorted(FakeProvider.info.currencies))
@pytest.mark.parametrize("channel", [Channel.WEB, Channel.MOBILE_WEB])
@pytest.mark.parametrize("method", ["wallet", "card"])
def test_every_currency_channel_and_method_is_taken(here, currency, channel, method):
    amount = Money(minor=1234, currency=currency)
    with here.open() as gateway:
        charge = gateway.create_charge(ask("paid-1", amount, channel=channel, method=method))
    assert charge.require("paid-1", amount).is_paid
    assert [held.amount for held in here.charges("paid-1")] == [amount]


@pytest.mark.parametrize(
    "fields", [{"amount": Money.of("88", "EUR")}, {"channel": Channel.IN_STORE}, {"method": "cash"}, {"expires_in": 60}]
)
def test_what_is_not_declared_is_refused_before_anything_is_sent(here, fields):
    with here.open() as gateway, pytest.raises(InvalidRequest):
        gateway.create_charge(ask("order-1", **fields))
    assert here.requests == ()


# Magic order ids.


def test_paid_is_paid_at_once(gateway):
    charge = gateway.create_charge(ask("paid-1"))
    assert charge.require("paid-1", AMOUNT).is_paid
    assert charge.next_action is None
    assert gateway.confirm("paid-1", AMOUNT).is_paid


def test_paid_is_authorized_at_once_where_it_is_to_be_captured_later(gateway):
    assert gateway.create_charge(ask("paid-1", capture=False)).status is PaymentStatus.AUTHORIZED


@pytest.mark.parametrize(
    ("order_id", "status", "raw_status"),
    [
        ("approved-1", PaymentStatus.SUCCEEDED, "paid"),
        ("cancelled-1", PaymentStatus.CANCELLED, "cancelled"),
        ("expired-1", PaymentStatus.CANCELLED, "expired"),
        ("failed-1", PaymentStatus.FAILED, "failed"),
        ("strange-1", PaymentStatus.UNKNOWN, "strange"),
    ],
)
def test_the_shopper_acts_while_the_create_is_answered(gateway, order_id, status, raw_status):
    charge = gateway.create_charge(ask(order_id))
    assert charge.status is PaymentStatus.REQUIRES_ACTION
    found = gateway.confirm(order_id, AMOUNT)
    assert (found.status, found.raw_status) == (status, raw_status)
    assert found.is_paid is (raw_status == "paid")


def test_a_failed_payment_says_why(gateway):
    gateway.create_charge(ask("failed-1"))
    found = gateway.get_status(Reference("failed-1"))
    assert (found.reason, found.raw_reason) == (RejectionCode.DECLINED, "declined")


@pytest.mark.parametrize(("order_id", "field"), [("mismatch-1", "amount"), ("other-currency-1", "currency")])
@pytest.mark.parametrize("currency", ["HKD", "USD"])
def test_an_answer_about_other_money_is_a_mismatch_although_it_says_paid(gateway, sandbox, order_id, field, currency):
    amount = Money.of("88", currency)
    charge = gateway.create_charge(ask(order_id, amount))
    assert gateway.get_status(charge.reference).status is PaymentStatus.SUCCEEDED
    with pytest.raises(Mismatch) as caught:
        gateway.confirm(order_id, amount)
    assert caught.value.field == field
    (event,) = gateway.parse_webhook(sandbox.notification(charge.reference.provider_id)).events
    with pytest.raises(Mismatch):
        gateway.confirm_event(event, order_id, amount)
    assert [held.amount for held in sandbox.charges(order_id)] == [amount]


@pytest.mark.parametrize(
    ("order_id", "code"),
    [
        ("declined-1", RejectionCode.DECLINED),
        ("no-funds-1", RejectionCode.INSUFFICIENT_FUNDS),
        ("risk-1", RejectionCode.RISK),
    ],
)
def test_a_refusal_is_definitive_and_leaves_no_charge(gateway, sandbox, order_id, code):
    with pytest.raises(Rejected) as caught:
        gateway.create_charge(ask(order_id))
    assert (caught.value.code, caught.value.definitive) == (code, True)
    assert caught.value.request_id.startswith("req_")
    assert sandbox.charges(order_id) == ()
    with pytest.raises(NotFound):
        gateway.get_status(Reference(order_id))


def test_limited_says_how_long_to_wait_and_accepts_nothing(gateway, sandbox):
    with pytest.raises(RateLimited) as caught:
        gateway.create_charge(ask("limited-1"))
    assert caught.value.retry_after == 2
    assert sandbox.charges("limited-1") == ()
    assert paths(sandbox) == ["POST /charges"]


def test_unavailable_accepts_nothing(gateway, sandbox, world):
    """Over HTTP somebody listens, and answers 503: what that accepted, nobody can know."""
    with pytest.raises(OutcomeUnknown if world == "http" else GatewayUnavailable):
        gateway.create_charge(ask("unavailable-1"))
    assert sandbox.charges("unavailable-1") == ()
    with pytest.raises(NotFound):
        gateway.get_status(Reference("unavailable-1"))


def test_lost_is_an_unknown_outcome_and_one_charge_that_is_found_by_asking(gateway, sandbox):
    with pytest.raises(OutcomeUnknown) as caught:
        gateway.create_charge(ask("lost-1"))
    assert caught.value.repeatable
    assert paths(sandbox).count("POST /charges") == 3
    with pytest.raises(OutcomeUnknown):
        gateway.create_charge(ask("lost-1"))
    (held,) = sandbox.charges("lost-1")
    found = gateway.confirm("lost-1", AMOUNT)
    assert found.reference.provider_id == held.provider_id
    assert found.status is PaymentStatus.REQUIRES_ACTION
    sandbox.pay(held.provider_id)
    assert gateway.confirm("lost-1", AMOUNT).is_paid


def test_html_is_no_answer_to_anything(gateway, sandbox):
    with pytest.raises(OutcomeUnknown):
        gateway.create_charge(ask("html-1"))
    with pytest.raises(ProtocolViolation):
        gateway.get_status(Reference("html-1"))
    assert sandbox.charges("html-1") == ()


def test_magic_is_a_beginning_and_nothing_else(here):
    with here.open() as gateway:
        for order_id in ("unpaid-1", "Paid-1", "paid", "order-declined-1"):
            assert gateway.create_charge(ask(order_id)).status is PaymentStatus.REQUIRES_ACTION


def test_every_magic_refund_id_is_documented_in_the_module():
    """Those of orders are in docs/testing.md, as `tests/docs` checks."""
    assert "docs/testing.md has the table" in module.__doc__
    assert all(f"`{each}`" in module.__doc__ for each in REFUND_MAGIC)


def test_the_page_has_the_provider_s_sections_statuses_and_codes():
    """The provider's docstrings refer to the headings of its gateway's documentation."""
    headings = set(re.findall(r"^## (\w+)$", PAGE, re.MULTILINE))
    hooks = [value for value in vars(FakeProvider).values() if hasattr(value, "payments_core_impl")]
    cited = {re.match(r"See (\w+)", hook.__doc__)[1] for hook in hooks}
    assert len(hooks) == 9
    assert cited <= headings
    first_cells = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Statuses")[2], re.MULTILINE)
    assert first_cells == [*FakeProvider.info.raw_statuses, *REFUSALS]


def test_every_magic_reference_is_tested():
    """By a test of this file that makes an order with it."""
    source = Path(__file__).read_text("utf-8")
    assert [each for each in MAGIC if f'"{each}1"' not in source] == []
    assert [each for each in REFUND_MAGIC if f'"{each}1"' not in source] == []


# Keys.


def test_the_same_create_again_is_one_charge(gateway, sandbox):
    first, second = gateway.create_charge(ask("order-1")), gateway.create_charge(ask("order-1"))
    assert first.reference == second.reference
    assert len(sandbox.charges("order-1")) == 1


def test_order_with_another_amount_is_an_indefinite_duplicate(gateway, sandbox):
    """`definitive` would be a lie: this order does have a charge."""
    gateway.create_charge(ask("order-1"))
    with pytest.raises(Rejected) as caught:
        gateway.create_charge(ask("order-1", Money.of("99", "HKD")))
    assert (caught.value.code, caught.value.definitive) == (RejectionCode.DUPLICATE, False)
    assert [held.amount for held in sandbox.charges("order-1")] == [AMOUNT]


def test_a_key_is_kept_for_a_day_and_then_forgotten(gateway, sandbox):
    gateway.create_charge(ask("order-1"))
    sandbox.advance(DAY - 60)
    gateway.create_charge(ask("order-1"))
    assert len(sandbox.charges("order-1")) == 1
    sandbox.advance(61)
    second = gateway.create_charge(ask("order-1"))
    assert len(sandbox.charges("order-1")) == 2
    assert gateway.get_status(Reference("order-1")).reference == second.reference  # the newest


def test_the_key_does_not_change_with_the_request(here):
    """So that the gateway sees that an order is asked for in two ways."""
    one, other = (keys(here, ask("order-1", amount)) for amount in (AMOUNT, Money.of("99", "HKD")))
    assert one == other
    assert keys(here, ask("order-2")) != one
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in keys(here, ask("注文-1")))


def keys(sandbox: FakeSandbox, request: ChargeRequest) -> list[str]:
    provider = FakeProvider(FakeConfig(client_id="shop", client_secret=Secret("1"), webhook_key=Secret("2")))
    sent = next(provider.create_charge(AUTHORIZED, request))
    assert sent.idempotent
    return [value for name, value in sent.headers if name == "idempotency-key"]


AUTHORIZED = type("Authorized", (), {"credentials": Secret("Bearer 1")})()


def test_without_a_key_every_create_is_a_charge(here):
    """The gateway's rule, which the provider never meets."""
    headers = (("authorization", f"Bearer {token(here)}"),)
    body = {"order_id": "order-1", "amount": 1, "currency": "HKD", "description": "Tea"}
    sent = Request("POST", "/charges", headers=headers, body=json.dumps({**body, **FORM}).encode())
    assert [here.answer(sent).status for _ in range(2)] == [200, 200]
    assert len(here.charges("order-1")) == 2


FORM = {"method": "card", "channel": "web"}


def token(sandbox: FakeSandbox) -> str:
    with sandbox.open() as gateway:
        return gateway.authorize().token.reveal()


# Capture, cancel, refund.


def test_an_authorized_charge_is_captured_once(gateway, sandbox):
    charge = gateway.create_charge(ask("paid-1", capture=False))
    assert not charge.require("paid-1", AMOUNT).is_paid
    assert charge.captured == Money(minor=0, currency="HKD")
    for _ in range(2):
        taken = gateway.capture_charge(CaptureRequest(charge.reference, "capture-1", AMOUNT))
        assert taken.require("paid-1", AMOUNT).is_paid
    assert [held.captured for held in sandbox.charges("paid-1")] == [AMOUNT]
    with pytest.raises(Rejected) as caught:
        gateway.capture_charge(CaptureRequest(charge.reference, "capture-2", AMOUNT))
    assert caught.value.code is RejectionCode.INVALID


def test_a_part_that_is_captured_is_not_the_whole(gateway):
    charge = gateway.create_charge(ask("approved-1", capture=False))
    part = gateway.capture_charge(CaptureRequest(charge.reference, "capture-1", Money.of("10", "HKD")))
    assert (part.status, part.captured) == (PaymentStatus.SUCCEEDED, Money.of("10", "HKD"))
    assert not part.require("approved-1", AMOUNT).is_paid


def test_more_than_was_held_cannot_be_captured(gateway):
    charge = gateway.create_charge(ask("paid-1", capture=False))
    for amount in (Money.of("88.01", "HKD"), Money.of("88", "USD")):
        with pytest.raises(Rejected):
            gateway.capture_charge(CaptureRequest(charge.reference, f"capture-{amount.currency}", amount))


@pytest.mark.parametrize("fields", [{}, {"capture": False}])
def test_a_charge_that_is_not_paid_is_cancelled_also_twice(gateway, sandbox, fields):
    charge = gateway.create_charge(ask("order-1", **fields))
    if fields:
        sandbox.pay(charge.reference.provider_id)
    for asked in (charge.reference, charge.reference, Reference("order-1")):
        assert gateway.cancel_charge(asked).status is PaymentStatus.CANCELLED


def test_a_paid_charge_stays_paid_when_it_is_cancelled_too_late(gateway):
    charge = gateway.create_charge(ask("approved-1"))
    assert gateway.cancel_charge(charge.reference).require("approved-1", AMOUNT).is_paid


def test_refunds_are_counted_by_their_ids(gateway, sandbox):
    charge = gateway.create_charge(ask("paid-1"))
    ten = Money.of("10", "HKD")
    for refund_id in ("refund-1", "refund-1", "refund-2"):
        refund = gateway.refund_charge(RefundRequest(charge.reference, refund_id, ten))
        assert (refund.status, refund.refund_id, refund.amount) == (RefundStatus.SUCCEEDED, refund_id, ten)
    assert [held.refunded for held in sandbox.charges("paid-1")] == [Money.of("20", "HKD")]
    found = gateway.get_status(charge.reference)
    assert found.refunded == Money.of("20", "HKD")
    assert found.status is PaymentStatus.SUCCEEDED


@pytest.mark.parametrize("given", ["refund_id", "provider_id", "both"])
def test_a_refund_is_asked_about_by_either_id_or_by_both(gateway, given):
    charge = gateway.create_charge(ask("paid-1"))
    refund = gateway.refund_charge(RefundRequest(charge.reference, "refund-1", AMOUNT))
    ids = {"refund_id": "refund-1", "provider_id": refund.provider_id}
    asked = RefundReference(**(ids if given == "both" else {given: ids[given]}))
    assert replace(gateway.get_refund(asked), request_id="") == replace(refund, request_id="")


def test_no_more_is_refunded_than_was_paid(gateway, sandbox):
    charge = gateway.create_charge(ask("paid-1"))
    gateway.refund_charge(RefundRequest(charge.reference, "pending-1", Money.of("80", "HKD")))
    with pytest.raises(Rejected) as caught:
        gateway.refund_charge(RefundRequest(charge.reference, "refund-2", Money.of("8.01", "HKD")))
    assert (caught.value.code, caught.value.definitive) == (RejectionCode.INVALID, True)
    rest = gateway.refund_charge(RefundRequest(charge.reference, "refund-3", Money.of("8", "HKD")))
    assert (rest.status, rest.amount) == (RefundStatus.SUCCEEDED, Money.of("8", "HKD"))


def test_what_was_never_paid_is_not_refunded(gateway):
    charge = gateway.create_charge(ask("order-1"))
    with pytest.raises(Rejected):
        gateway.refund_charge(RefundRequest(charge.reference, "refund-1", AMOUNT))
    with pytest.raises(NotFound):
        gateway.get_refund(RefundReference("refund-1"))


def test_a_pending_refund_is_settled_later(gateway, sandbox):
    charge = gateway.create_charge(ask("paid-1"))
    refund = gateway.refund_charge(RefundRequest(charge.reference, "pending-1", AMOUNT))
    assert refund.status is RefundStatus.PENDING
    assert gateway.get_status(charge.reference).refunded == Money(minor=0, currency="HKD")
    sandbox.settle_refund("pending-1")
    assert gateway.get_refund(RefundReference("pending-1")).status is RefundStatus.SUCCEEDED
    assert gateway.get_status(charge.reference).refunded == AMOUNT
    sandbox.settle_refund("pending-1", "in_the_post")
    assert gateway.get_refund(RefundReference("pending-1")).status is RefundStatus.UNKNOWN


def test_a_failed_refund_gives_nothing_back(gateway, sandbox):
    charge = gateway.create_charge(ask("paid-1"))
    assert gateway.refund_charge(RefundRequest(charge.reference, "failed-1", AMOUNT)).status is RefundStatus.FAILED
    assert [held.refunded for held in sandbox.charges("paid-1")] == [Money(minor=0, currency="HKD")]
    assert gateway.refund_charge(RefundRequest(charge.reference, "refund-2", AMOUNT)).amount == AMOUNT


# Notifications.


def test_a_notification_tells_what_became_of_a_charge(gateway, sandbox):
    charge = gateway.create_charge(ask("order-1"))
    sandbox.pay(charge.reference.provider_id)
    (event,) = gateway.parse_webhook(sandbox.notification(charge.reference.provider_id)).events
    assert (event.subject, event.raw_kind, event.reference) == (Subject.CHARGE, "charge.paid", charge.reference)
    before = sandbox.requests
    assert gateway.confirm_event(event, "order-1", AMOUNT).is_paid
    assert sandbox.requests == before  # it stands for itself


def test_a_notification_tells_what_became_of_a_refund(gateway, sandbox):
    charge = gateway.create_charge(ask("paid-1"))
    refund = gateway.refund_charge(RefundRequest(charge.reference, "refund-1", AMOUNT))
    (event,) = gateway.parse_webhook(sandbox.notification(refund.provider_id)).events
    assert (event.subject, event.raw_kind) == (Subject.REFUND, "refund.succeeded")
    assert replace(event.refund, request_id="") == replace(refund, request_id="")
    assert event.reference == charge.reference


def test_one_delivery_carries_many_events(gateway, sandbox):
    made = [gateway.create_charge(ask(f"paid-{n}")).reference for n in range(5)]
    events = gateway.parse_webhook(sandbox.notification(*[each.provider_id for each in made])).events
    assert [event.reference for event in events] == made
    assert len({event.event_id for event in events}) == 5


def test_a_charge_has_one_event_for_each_way_in_which_it_stands(gateway, sandbox):
    provider_id = gateway.create_charge(ask("order-1")).reference.provider_id

    def event_id() -> str:
        return gateway.parse_webhook(sandbox.notification(provider_id)).events[0].event_id

    waiting = event_id()
    assert event_id() == waiting
    sandbox.pay(provider_id)
    assert event_id() != waiting


def test_an_event_of_another_kind_is_a_hint(here):
    body = b'[{"id": "evt_1", "at": 1790000000, "type": "payout.sent", "payout": {"id": "po_1"}}]'
    with here.open() as gateway:
        (event,) = gateway.parse_webhook(signed(here, body)).events
    assert (event.subject, event.raw_kind, event.reference) == (Subject.OTHER, "payout.sent", None)
    assert not event.authoritative


def test_a_batch_with_one_bad_event_is_refused_whole(here):
    with here.open() as gateway:
        charge = gateway.create_charge(ask("paid-1"))
        events = json.loads(here.notification(charge.reference.provider_id).body)
        for bad in ({}, {"id": "evt_2"}, {**events[0], "charge": {**events[0]["charge"], "amount": -1}}, None, []):
            with pytest.raises(WebhookRejected) as caught:
                gateway.parse_webhook(signed(here, json.dumps([*events, bad]).encode()))
            assert caught.value.reason == "malformed"


@pytest.mark.parametrize(("seconds", "reason"), [(-301, "stale"), (301, "stale"), (-299, ""), (299, "")])
def test_a_delivery_is_believed_within_five_minutes_to_both_sides(here, seconds, reason):
    with here.open() as gateway:
        charge = gateway.create_charge(ask("paid-1"))
        made = here.notification(charge.reference.provider_id)
        moved = replace(made, received_at=made.received_at.replace(microsecond=0) - timedelta(seconds=seconds))
        if not reason:
            assert gateway.parse_webhook(moved).events
            return
        with pytest.raises(WebhookRejected) as caught:
            gateway.parse_webhook(moved)
        assert caught.value.reason == reason


def test_the_signature_of_another_account_is_refused(here):
    with here.open() as gateway:
        charge = gateway.create_charge(ask("paid-1"))
        body = here.notification(charge.reference.provider_id).body
        with pytest.raises(WebhookRejected) as caught:
            gateway.parse_webhook(signed(FakeSandbox(seed=2), body))
    assert caught.value.reason == "signature"


def signed(sandbox: FakeSandbox, body: bytes) -> WebhookDelivery:
    config = FakeConfig(client_id="shop", client_secret=Secret("1"), webhook_key=sandbox.webhook_key)
    return WebhookDelivery(body, sign(config, body), received_at=datetime.now(UTC))


@pytest.mark.parametrize("query", ["", "?shop=1&a=%2F"])
def test_a_notification_is_delivered_to_the_charge_s_own_address(gateway, sandbox, query):
    with WebhookListener(respond=204) as shop:
        charge = gateway.create_charge(ask("paid-1", notify_url=shop.url + query))
        assert sandbox.deliver(charge.reference.provider_id) == 204
        (received,) = shop.deliveries
    assert received.url.endswith("/webhook" + query)
    delivery = WebhookDelivery(received.body, received.headers, received.received_at)
    assert gateway.parse_webhook(delivery).events[0].charge.require("paid-1", AMOUNT).is_paid


def test_notifications_stay_on_this_machine(here):
    with here.open() as gateway:
        charge = gateway.create_charge(ask("paid-1", notify_url="https://shop.example/hook"))
        silent = gateway.create_charge(ask("paid-2"))
    for made in (charge, silent):
        with pytest.raises(NotPossible, match="this machine"):
            here.deliver(made.reference.provider_id)


def test_a_shop_that_does_not_listen_has_no_status(here):
    with WebhookListener() as shop:
        url = shop.url
    with here.open() as gateway:
        charge = gateway.create_charge(ask("paid-1"))
    assert here.deliver(charge.reference.provider_id, url=url) is None


# The sandbox.


def test_only_an_open_charge_lets_the_shopper_act(here):
    with here.open() as gateway:
        provider_id = gateway.create_charge(ask("paid-1")).reference.provider_id
    for move in (here.pay, here.cancel, here.expire, here.fail):
        with pytest.raises(NotPossible, match="no longer open"):
            move(provider_id)
    for move in (here.pay, here.notification, here.deliver):
        with pytest.raises(NotPossible, match="no charge has the id"):
            move("ch_1")
    with pytest.raises(NotPossible, match="no refund"):
        here.settle_refund("refund-1")


@pytest.mark.parametrize(
    ("move", "status"),
    [("cancel", PaymentStatus.CANCELLED), ("expire", PaymentStatus.CANCELLED), ("fail", PaymentStatus.FAILED)],
)
def test_the_shopper_s_moves_are_seen(gateway, sandbox, move, status):
    charge = gateway.create_charge(ask("order-1"))
    getattr(sandbox, move)(charge.reference.provider_id)
    assert gateway.confirm("order-1", AMOUNT).status is status


def test_any_status_can_be_forced(gateway, sandbox):
    charge = gateway.create_charge(ask("order-1"))
    for word, status in (*FakeProvider.info.raw_statuses.items(), ("PAID", PaymentStatus.UNKNOWN)):
        sandbox.set_status(charge.reference.provider_id, word)
        found = gateway.get_status(charge.reference)
        assert found.status in {status, PaymentStatus.REQUIRES_ACTION} if word == "open" else found.status is status
        assert found.require("order-1", AMOUNT).is_paid is (word == "paid")


def test_a_token_that_has_grown_old_is_renewed(gateway, sandbox):
    gateway.create_charge(ask("order-1"))
    sandbox.advance(3601)
    gateway.get_status(Reference("order-1"))
    assert sandbox.requests.count("POST /token") == 2


def test_with_a_seed_all_ids_repeat():
    first, second = (FakeSandbox(seed="a") for _ in range(2))
    assert first.config == second.config != FakeSandbox(seed="b").config
    assert FakeSandbox().config != FakeSandbox().config
    ids = []
    for sandbox in (first, second):
        with sandbox.open() as gateway:
            ids.append(gateway.create_charge(ask("order-1")).reference)
    assert ids[0] == ids[1]


def test_the_clock_can_be_given_and_goes_on():
    start = datetime(2026, 11, 1, 12, tzinfo=UTC)
    sandbox = FakeSandbox(clock=lambda: start)
    sandbox.advance(90)
    assert sandbox.now == start + timedelta(seconds=90)


def test_many_threads_make_one_charge_of_one_order(here):
    start = threading.Barrier(8)

    def create(_: int) -> str:
        start.wait()
        return gateway.create_charge(ask("paid-1")).reference.provider_id

    with here.open() as gateway, ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(create, range(8)))) == 1
    assert len(here.charges("paid-1")) == 1


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"amount": 88.0}, 402), ({"amount": "88"}, 402), ({"amount": True}, 402), ({"amount": 0}, 402),
        ({"currency": "EUR"}, 402), ({"order_id": ""}, 402), ({"order_id": "x" * 65}, 402), ({"order_id": 1}, 402),
        ({"description": "x" * 201}, 402), ({"method": "cash"}, 402), ({"channel": "post"}, 402),
        ({"capture": "false"}, 402), ({}, 200),
    ],
)  # fmt: skip
def test_the_gateway_refuses_what_its_page_does_not_allow(here, change, status):
    body = {"order_id": "order-1", "amount": 88, "currency": "HKD", "description": "Tea", **FORM, **change}
    headers = (("authorization", f"Bearer {token(here)}"),)
    answer = here.answer(Request("POST", "/charges", headers=headers, body=json.dumps(body).encode()))
    assert answer.status == status
    assert status == 200 or json.loads(answer.body)["error"]["code"] == "invalid"


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 60_000, b'{"a": "' + b"x" * 70_000])
def test_the_gateway_survives_any_body(here, body):
    headers = (("authorization", f"Bearer {token(here)}"),)
    assert here.answer(Request("POST", "/charges", headers=headers, body=body)).status == 402


def test_the_gateway_lets_nobody_in_without_a_token(here):
    asked = Request("GET", "/charges", query=(("order_id", "order-1"),))
    assert here.answer(asked).status == 401
    for given in ("Bearer ", "Bearer 1", "Basic 1", ""):
        assert here.answer(replace(asked, headers=(("authorization", given),))).status == 401
    assert here.answer(Request("POST", "/token", headers=(("authorization", "Basic 1"),))).status == 401


def test_a_call_that_there_is_not_is_404(here):
    headers = (("authorization", f"Bearer {token(here)}"),)
    for method, path in (("GET", "/"), ("DELETE", "/charges"), ("POST", "/charges/ch_1")):
        assert here.answer(Request(method, path, headers=headers)).status == 404


def test_what_no_request_could_be_is_404_over_http():
    with make() as sandbox:
        for method, path in (("GET", "/a//b"), ("GET", "/a/%2e%2e/b"), ("OPTIONS", "/charges")):
            connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=5)
            connection.request(method, path)
            assert connection.getresponse().status == 404
            connection.close()


# Guards against use in production.


def test_no_configuration_can_name_the_fake():
    with pytest.raises(ProviderNotFound):
        find_provider("fake")


@pytest.mark.parametrize("field", ["client_secret", "webhook_key"])
def test_a_blank_secret_opens_nothing(here, field):
    with pytest.raises(ConfigurationError):
        open_provider(FakeProvider, {**here.config, field: ""})


# The provider, answer by answer, where its own gateway never goes.


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b'{"error": {"code": "declined", "message": "no"}}', OutcomeUnknown),  # HTTP 200: no refusal, and no charge
        (b'{"id": "ch_1", "order_id": "order-1", "status": "paid"}', OutcomeUnknown),
    ],
)
def test_half_an_answer_is_no_charge(here, answer, error):
    with here.open(transport=Scripted(here, answer)) as gateway, pytest.raises(error):
        gateway.create_charge(ask("order-1"))


@pytest.mark.parametrize(
    "change",
    [
        {"pay_url": "javascript:alert(1)"}, {"pay_url": "https://a b"}, {"pay_url": "https://a\n"}, {"amount": -1},
        {"amount": "8800"}, {"amount": 88.5}, {"currency": "hkd"}, {"id": ""}, {"captured": None}, {"status": None},
    ],
)  # fmt: skip
def test_incomplete_charge_answer_is_rejected(here, change):
    charge = {
        "id": "ch_1", "order_id": "order-1", "status": "open", "amount": 8800, "currency": "HKD", "captured": 0,
        "refunded": 0, "pay_url": "https://fake.invalid/pay/ch_1", "failure": None,
    }  # fmt: skip
    with here.open(transport=Scripted(here, json.dumps(charge).encode())) as gateway:
        assert gateway.create_charge(ask("order-1")).reference == Reference("order-1", "ch_1")
    with here.open(transport=Scripted(here, json.dumps({**charge, **change}).encode())) as gateway:
        with pytest.raises(OutcomeUnknown):
            gateway.create_charge(ask("order-1"))
        with pytest.raises(ProtocolViolation):
            gateway.get_status(Reference("order-1"))


class Scripted(module.FakeTransport):
    """Answers every call but the token's with one body."""

    def __init__(self, sandbox: FakeSandbox, body: bytes) -> None:
        super().__init__(sandbox)
        self._body = body

    def send(self, request: Request, *, deadline: float) -> Any:
        answer = super().send(request, deadline=deadline)
        return answer if request.path == "/token" else replace(answer, status=200, body=self._body)
