"""Test a provider's newer declarations: notifications, duplicates, narrower methods, queries for refunds."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from payments_core import (
    Channel,
    ChargeRequest,
    Duplicates,
    InvalidRequest,
    Method,
    Money,
    NotFound,
    Notification,
    Notifications,
    PaymentStatus,
    ProviderContractError,
    Reference,
    RefundReference,
    RejectionCode,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
    hookimpl,
)
from payments_core.discovery import installed_providers
from payments_core.testing.fake import FakeProvider
from payments_core.testing.fake_gateway import FakeSandbox
from payments_core.testing.opening import open_provider

INFO = FakeProvider.info
TEA = Money.of("88", "HKD")


def opened(provider, sandbox=None):
    sandbox = sandbox or FakeSandbox()
    return open_provider(provider, sandbox.config, transport=sandbox._transport(object))


def declaring(**fields):
    return type("Declaring", (FakeProvider,), {"info": replace(INFO, **fields)})


# Defaults mean what contract 1 meant.


def test_a_contract_1_declaration_is_filled_in():
    with opened(FakeProvider) as gateway:
        assert FakeProvider.info.notifications is None
        assert gateway.info.notifications is Notifications.SIGNED
        assert gateway.info.duplicates is Duplicates.SAME_FOR_KEY_LIFETIME
        assert gateway.info.rejection_status == 400
        assert gateway.info.refund_query_by == frozenset()


def test_without_parse_webhook_no_notifications_are_declared():
    silent = declaring(authoritative_webhooks=False)
    silent.parse_webhook = None
    with opened(silent) as gateway:
        assert gateway.info.notifications is Notifications.NONE


def test_without_a_key_lifetime_duplicates_are_undocumented():
    with opened(declaring(key_lifetime=None)) as gateway:
        assert gateway.info.duplicates is Duplicates.UNDOCUMENTED


def test_an_info_of_the_account_is_filled_in_too():
    class OfTheAccount(FakeProvider):
        def __init__(self, config):
            super().__init__(config)
            self.info = replace(INFO, key_lifetime=None)

    with opened(OfTheAccount) as gateway:
        assert gateway.info.notifications is Notifications.SIGNED
        assert gateway.info.duplicates is Duplicates.UNDOCUMENTED


def test_every_installed_provider_is_listed_with_its_notifications():
    found = {each.name: each.info.notifications for each in installed_providers() if each.info is not None}
    assert found["lantern"] is Notifications.SIGNED


# Contradictory declarations.


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"notifications": "SIGNED"}, "notifications is one of Notifications"),
        ({"notifications": Notifications.UNSIGNED}, "anybody can send what is not"),
        ({"notifications": Notifications.NONE}, "anybody can send what is not"),
        ({"rejection_status": 100}, "rejection_status is an HTTP status"),
        ({"rejection_status": "400"}, "rejection_status is an HTTP status"),
        ({"duplicates": "SAME"}, "duplicates is one of Duplicates"),
        ({"duplicates": Duplicates.SAME_FOR_KEY_LIFETIME, "key_lifetime": None}, "needs a key_lifetime"),
        ({"duplicates": Duplicates.SAME}, "has no key_lifetime"),
        ({"duplicates": Duplicates.UNDOCUMENTED}, "has no key_lifetime"),
        ({"refund_query_by": frozenset({"order_id"})}, "refund_query_by has none but"),
        ({"refund_query_by": "refund_id"}, "refund_query_by is a frozenset"),
        ({"methods": (Method("a", "A", currencies=frozenset({"EUR"})),)}, "method a has currencies that info has not"),
        ({"methods": (Method("a", "A", channels=frozenset({Channel.IN_APP})),)}, "method a has channels that info"),
        (
            {"methods": (Method("a", "A", capture=False),), "charge_options": frozenset()},
            "method a only holds money, and charge_options has no capture",
        ),
    ],
)
def test_a_contradiction_is_refused_where_it_is_declared(fields, said):
    with pytest.raises(TypeError, match=said):
        replace(INFO, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"currencies": "HKD"},
        {"currencies": frozenset()},
        {"channels": frozenset({"WEB"})},
        {"channels": [Channel.WEB]},
        {"capture": "no"},
        {"capture": 2},
    ],
)
def test_a_method_s_narrowing_has_types(fields):
    with pytest.raises(TypeError, match="Method"):
        Method("card", "Card", **fields)


def test_unsigned_notifications_need_a_query():
    unasked = declaring(
        notifications=Notifications.UNSIGNED, authoritative_webhooks=False, operations=frozenset({"refund_charge"})
    )
    unasked.get_status = unasked.capture_charge = unasked.cancel_charge = unasked.get_refund = None
    with pytest.raises(ProviderContractError, match="needs get_status"):
        opened(unasked)


@pytest.mark.parametrize("kind", [Notifications.SIGNED, Notifications.UNSIGNED])
def test_notifications_that_nobody_reads_are_refused(kind):
    deaf = declaring(notifications=kind, authoritative_webhooks=False)
    deaf.parse_webhook = None
    with pytest.raises(ProviderContractError, match="does not implement parse_webhook"):
        opened(deaf)


def test_a_reader_of_no_notifications_is_refused():
    with pytest.raises(ProviderContractError, match="declares notifications=NONE"):
        opened(declaring(notifications=Notifications.NONE, authoritative_webhooks=False))


# An unsigned notification is a hint.


class Unsigned(FakeProvider):
    """Reads the id in a form that nobody has signed."""

    info = replace(INFO, notifications=Notifications.UNSIGNED, authoritative_webhooks=False, rejection_status=200)

    @hookimpl
    def parse_webhook(self, delivery: WebhookDelivery) -> Notification:
        name, _, value = delivery.body.decode().partition("=")
        if name != "id" or not value:
            raise WebhookRejected("malformed")
        event = WebhookEvent("fake", Subject.CHARGE, "charge", Reference(provider_id=value), f"charge:{value}")
        return Notification((event,))


class Credulous(Unsigned):
    """Makes a status of it."""

    @hookimpl
    def parse_webhook(self, delivery: WebhookDelivery) -> Notification:
        (event,) = super().parse_webhook(delivery).events
        charge = replace(_PAID, reference=event.reference)
        return Notification((replace(event, charge=charge),))


with FakeSandbox() as _sandbox, _sandbox.open() as _gateway:
    _PAID = replace(_gateway.create_charge(ChargeRequest("paid-1", TEA, "Tea")), gateway="", matched=False)


def test_an_unsigned_notification_is_asked_about():
    sandbox = FakeSandbox()
    with opened(Unsigned, sandbox) as gateway:
        charge = gateway.create_charge(ChargeRequest("approved-1", TEA, "Tea"))
        delivery = WebhookDelivery(f"id={charge.reference.provider_id}".encode(), {})
        (event,) = gateway.parse_webhook(delivery).events
        assert not event.authoritative
        assert gateway.confirm_event(event, "approved-1", TEA, provider_id=charge.reference.provider_id).is_paid


def test_an_unsigned_notification_never_carries_a_status():
    with opened(Credulous) as gateway, pytest.raises(WebhookRejected) as refused:
        gateway.parse_webhook(WebhookDelivery(b"id=ch_1", {}))
    assert refused.value.reason == "malformed"


@pytest.mark.parametrize(("provider", "status"), [(Unsigned, 200), (FakeProvider, 400)])
def test_a_refused_delivery_says_how_to_answer_it(provider, status):
    with opened(provider) as gateway, pytest.raises(WebhookRejected) as refused:
        gateway.parse_webhook(WebhookDelivery(b"rubbish", {}))
    assert refused.value.status == status


def test_a_refusal_that_no_gateway_has_seen_is_answered_400():
    assert WebhookRejected("malformed").status == 400


def test_a_delivery_that_is_refused_before_the_hook_has_the_status_too():
    with opened(Unsigned) as gateway, pytest.raises(WebhookRejected) as refused:
        gateway.parse_webhook(WebhookDelivery(b"id=ch_1", {}, method="GET"))
    assert refused.value.status == 200


# Methods may narrow what the provider takes.


NARROW = declaring(
    methods=(
        Method("yen", "Yen", currencies=frozenset({"JPY"})),
        Method("wallet", "Wallet", channels=frozenset({Channel.WEB}), capture=True),
        Method("card", "Card", capture=False),
    )
)


def test_pages_ask_which_methods_fit():
    def ids(**asked):
        return [each.id for each in NARROW.info.methods_for(**asked)]

    assert ids() == ["yen", "wallet", "card"]
    assert ids(currency="HKD") == ["wallet", "card"]
    assert ids(channel=Channel.MOBILE_WEB) == ["yen", "card"]
    assert ids(currency="HKD", capture=True) == ["wallet"]
    assert ids(currency="HKD", channel=Channel.MOBILE_WEB, capture=True) == []
    assert ids(currency="EUR") == ids(channel=Channel.IN_APP) == []


def test_no_method_holds_money_where_that_is_not_an_option():
    info = replace(INFO, charge_options=frozenset(), methods=(Method("a", "A"),))
    assert info.methods_for(capture=False) == ()
    assert [each.id for each in info.methods_for(capture=True)] == ["a"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"method": "yen"}, "currency"),
        ({"method": "wallet", "channel": Channel.MOBILE_WEB}, "channel"),
        ({"method": "wallet", "capture": False}, "capture"),
        ({"method": "card"}, "capture"),
        ({"channel": Channel.MOBILE_WEB}, "method"),
    ],
)
def test_what_a_method_does_not_take_is_refused_before_it_is_sent(fields, field):
    sandbox = FakeSandbox()
    with opened(NARROW, sandbox) as gateway, pytest.raises(InvalidRequest) as refused:
        gateway.create_charge(ChargeRequest("A1", TEA, "Tea", **fields))
    assert refused.value.field == field
    assert sandbox.requests == ()


@pytest.mark.parametrize(
    ("amount", "fields", "method"),
    [
        (TEA, {}, "wallet"),
        (Money.of("88", "JPY"), {}, "yen"),
        (TEA, {"capture": False}, "card"),
    ],
)
def test_the_first_method_that_fits_is_the_default(amount, fields, method):
    asked = []

    class Watching(NARROW):
        @hookimpl
        def create_charge(self, authorization, request):
            asked.append(request.method)
            return (yield from super().create_charge(authorization, replace(request, method="card")))

    with opened(Watching) as gateway:
        gateway.create_charge(ChargeRequest("A1", amount, "Tea", **fields))
    assert asked == [method]


def test_a_narrowed_method_survives_storage():
    method = NARROW.info.methods[1]
    assert msgspec.convert(msgspec.to_builtins(method), Method) == method


# Neither held nor captured.


@pytest.mark.parametrize(
    ("status", "captured"),
    [
        (PaymentStatus.PENDING, None),
        (PaymentStatus.PENDING, TEA),
        (PaymentStatus.AUTHORIZED, Money(minor=0, currency="HKD")),
        (PaymentStatus.SUCCEEDED, Money(minor=0, currency="HKD")),
    ],
)
def test_a_capture_that_is_pending_is_not_paid(status, captured):
    charge = replace(_PAID, status=status, captured=captured).require("paid-1", TEA)
    assert not charge.is_paid


@pytest.mark.parametrize("status", [PaymentStatus.REQUIRES_ACTION, PaymentStatus.PENDING])
def test_a_declined_try_that_can_be_repeated_is_open(status):
    charge = replace(_PAID, status=status, captured=None, reason=RejectionCode.DECLINED).require("paid-1", TEA)
    assert not charge.status.is_final
    assert not charge.is_paid


# Queries for refunds.


@pytest.mark.parametrize(
    ("needs", "given", "field"),
    [
        ({"provider_id"}, RefundReference("R1"), "provider_id"),
        ({"refund_id"}, RefundReference("", "re_1"), "refund_id"),
        ({"provider_id", "reference"}, RefundReference("R1", "re_1"), "reference"),
        ({"reference"}, RefundReference("R1", "", Reference("A1")), "reference"),
    ],
)
def test_incomplete_refund_reference_is_refused_before_sending(needs, given, field):
    sandbox = FakeSandbox()
    provider = declaring(refund_query_by=frozenset(needs), query_by=frozenset({"provider_id"}))
    with opened(provider, sandbox) as gateway, pytest.raises(InvalidRequest) as refused:
        gateway.get_refund(given)
    assert refused.value.field == field
    assert sandbox.requests == ()


def test_a_refund_reference_with_all_that_is_needed_is_asked_about():
    sandbox = FakeSandbox()
    provider = declaring(refund_query_by=frozenset({"provider_id", "reference"}))
    with opened(provider, sandbox) as gateway, pytest.raises(NotFound):
        gateway.get_refund(RefundReference("", "re_1", Reference("A1")))
    assert sandbox.requests == ("POST /token", "GET /refunds")
