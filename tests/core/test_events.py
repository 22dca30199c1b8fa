"""Trust only events that parse_webhook could have returned, and record every call."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from payments_core import (
    Acknowledgement,
    Authorization,
    CallSDK,
    Channel,
    Charge,
    ChargeRequest,
    InvalidRequest,
    Method,
    Mismatch,
    Money,
    Notification,
    PaymentStatus,
    ProviderInfo,
    Reference,
    Refund,
    RefundStatus,
    Request,
    Response,
    Secret,
    Subject,
    UnsupportedOperation,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
    hookimpl,
)

HKD = Money.of("88.00", "HKD")
PAID = Charge("sure", Reference("P1", "C1"), PaymentStatus.SUCCEEDED, "PAID", HKD)
REFUND = Refund("sure", "R1", "RF1", Reference("P1", "C1"), RefundStatus.SUCCEEDED, "DONE", HKD)
EVENT = WebhookEvent(
    "sure", Subject.CHARGE, "paid", Reference("P1", "C1"), "e1", charge=PAID, occurred_at=datetime.now(UTC)
)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the event anew for each test: its status expires after five minutes, and a suite may last longer."""
    monkeypatch.setitem(globals(), "EVENT", msgspec.structs.replace(EVENT, occurred_at=datetime.now(UTC)))


class Config(msgspec.Struct):
    base_url: str = "http://127.0.0.1:9"


def sure(notification: Any, *, authoritative: bool = True) -> type:
    """A provider whose webhooks say `notification`."""

    class Sure:
        config_type = Config
        info = ProviderInfo(
            id="sure",
            title="Sure",
            currencies=frozenset({"HKD"}),
            methods=(Method("a", "A"),),
            channels=frozenset({Channel.WEB}),
            raw_statuses={},
            authoritative_webhooks=authoritative,
        )

        def __init__(self, config: Config) -> None:
            pass

        @hookimpl
        def create_charge(self, request: ChargeRequest) -> Any:
            yield Request("POST", "/create")

        @hookimpl
        def get_status(self, reference: Reference) -> Any:
            yield Request("GET", "/status", safe=True)
            return PAID

        @hookimpl
        def parse_webhook(self, delivery: WebhookDelivery) -> Any:
            return notification

    return Sure


def opened(install: Any, opening: Any, notification: Any = None, **options: Any) -> Any:
    authoritative = options.pop("authoritative", True)
    install("sure", sure(notification, authoritative=authoritative))
    return opening("sure", {}, transport=lambda _: Response(200), **options)


def changed(**changes: Any) -> WebhookEvent:
    """The good event with one change, past its constructor."""
    return msgspec.structs.replace(EVENT, **changes)


WRONG: dict[str, WebhookEvent] = {
    "a charge of another provider": changed(charge=msgspec.structs.replace(PAID, provider="other")),
    "a charge about another order": changed(reference=Reference("P9", "C1")),
    "a charge about another charge": changed(reference=Reference("P1", "C9")),
    "a refund's subject": changed(subject=Subject.REFUND),
    "text for a charge": changed(charge="paid"),
    "text for a subject": changed(subject="CHARGE"),
    "text for a reference": changed(reference="P1"),
    "no event id": changed(event_id=""),
    "a charge and a refund": changed(refund=REFUND),
    "a refund that is a charge": changed(charge=None, subject=Subject.REFUND, refund=PAID),
    "a refund under a charge's subject": changed(charge=None, refund=REFUND),
    "another provider": changed(provider="other"),
}


def stamped(event: WebhookEvent, received_at: datetime) -> WebhookEvent:
    """Return the event as the gateway hands it out."""
    values: dict[str, Any] = {"gateway": "sure", "received_at": received_at}
    if event.charge is not None:
        values["charge"] = msgspec.structs.replace(event.charge, gateway="sure", moves_money=False)
    if event.refund is not None:
        values["refund"] = msgspec.structs.replace(event.refund, gateway="sure")
    return msgspec.structs.replace(event, **values)


def test_good_event_is_accepted(install: Any, opening: Any) -> None:
    """The positive control of the changes below; a refund is believed likewise."""
    refund = changed(charge=None, refund=REFUND, subject=Subject.REFUND)
    gateway = opened(install, opening, Notification((EVENT, refund)))
    now = datetime.now(UTC)
    events = gateway.parse_webhook(WebhookDelivery(b"", {}, now)).events
    assert events == (stamped(EVENT, now), stamped(refund, now))
    assert gateway.confirm_event(events[0], "P1", HKD).is_paid
    assert gateway.script.paths() == [], "a fresh event stands for itself"


def test_event_out_of_a_queue_is_asked_about_when_it_is_old(install: Any, opening: Any) -> None:
    """JSON keeps the gateway's name and the time of receipt; after five minutes the status may have changed."""
    gateway = opened(install, opening, Notification((EVENT,)))
    for age, asked in ((timedelta(minutes=1), []), (timedelta(minutes=6), ["/status"])):
        (event,) = gateway.parse_webhook(WebhookDelivery(b"", {}, datetime.now(UTC) - age)).events
        queued = msgspec.json.encode(event)
        again = msgspec.json.decode(queued, type=WebhookEvent)
        assert again == event
        assert gateway.confirm_event(again, "P1", HKD).is_paid
        assert gateway.script.paths() == asked
    forged = msgspec.structs.replace(again, gateway="sure_test")
    with pytest.raises(InvalidRequest, match="is of gateway sure_test"):
        gateway.confirm_event(forged, "P1", HKD)


class Meddler:
    """An observer that tries to change what it is shown, in every way that Python offers for a dict."""

    def __init__(self) -> None:
        self.shown = 0

    @hookimpl
    def charge_observed(self, charge: Charge) -> None:
        assert isinstance(charge.next_action, CallSDK)
        parameters = charge.next_action.parameters
        parameters["client_secret"] = "theirs"
        parameters["nested"]["list"].append("theirs")
        dict.clear(parameters["nested"])
        self.shown += 1


def test_observer_cannot_change_the_parameters_of_the_sdk(install: Any, opening: Any) -> None:
    """The page would pay somebody else."""
    given = {"client_secret": "ours", "nested": {"list": ["ours"]}}
    provider = sure(None)

    @hookimpl
    def create_charge(self: Any, request: ChargeRequest) -> Any:
        yield Request("POST", "/create")
        action = CallSDK(given)
        return Charge("sure", Reference("P1", "C1"), PaymentStatus.REQUIRES_ACTION, "OPEN", HKD, action)

    provider.create_charge = create_charge  # type: ignore[attr-defined]
    install("sure", provider)
    meddler = Meddler()
    gateway = opening("sure", {}, transport=lambda _: Response(200), plugins=[meddler])
    charge = gateway.create_charge(ChargeRequest("P1", HKD, "tea"))
    given["client_secret"] = "changed afterwards"
    assert meddler.shown == 1
    assert charge.next_action.parameters == {"client_secret": "ours", "nested": {"list": ["ours"]}}


@pytest.mark.parametrize("event", WRONG.values(), ids=WRONG)
def test_contradictory_event_is_rejected(install: Any, opening: Any, event: WebhookEvent) -> None:
    """Neither from the plugin nor from a caller who made it by hand."""
    gateway = opened(install, opening, Notification((event,)))
    with pytest.raises(WebhookRejected):
        gateway.parse_webhook(WebhookDelivery(b"", {}))
    with pytest.raises(InvalidRequest) as caught:
        gateway.confirm_event(event, "P1", HKD)
    assert caught.value.field == "event"


def test_confirm_event_queries_when_the_event_lacks_the_gateway_id(install: Any, opening: Any) -> None:
    """Two shops of one account may count their orders alike: order id and amount alone could be the other one's."""
    nameless = msgspec.structs.replace(PAID, reference=Reference("P1"))
    event = stamped(changed(charge=nameless, reference=Reference("P1")), datetime.now(UTC))
    gateway = opened(install, opening, Notification((event,)))
    assert gateway.confirm_event(event, "P1", HKD).reference == Reference("P1"), "nothing better is known"
    assert gateway.script.paths() == []
    with pytest.raises(Mismatch):
        gateway.confirm_event(event, "P1", HKD, provider_id="C2")
    assert gateway.script.paths() == ["/status"], "and the gateway says that C2 is none of it"
    assert gateway.confirm_event(event, "P1", HKD, provider_id="C1").reference == Reference("P1", "C1")
    assert gateway.confirm_event(stamped(EVENT, datetime.now(UTC)), "P1", HKD, provider_id="C1").is_paid
    assert gateway.script.paths() == ["/status"] * 2, "the last one named the id by itself"


def test_confirm_event_accepts_the_order_id_without_a_query(install: Any, opening: Any) -> None:
    """A gateway without a query has nothing but its events."""
    event = changed(charge=msgspec.structs.replace(PAID, reference=Reference("P1")), reference=Reference("P1"))
    provider = sure(Notification((event,)))
    del provider.get_status
    install("sure", provider)
    gateway = opening("sure", {}, transport=lambda _: Response(200))
    assert gateway.confirm_event(event, "P1", HKD, provider_id="C1").is_paid


def test_gateway_without_a_query_refuses_confirm_and_get_status(install: Any, opening: Any) -> None:
    """Its signed events are all there is."""
    provider = sure(Notification((EVENT,)))
    del provider.get_status
    provider.info = msgspec.structs.replace(provider.info, query_by=frozenset())
    install("sure", provider)
    gateway = opening("sure", {}, transport=lambda _: Response(200))
    for call in (lambda: gateway.get_status(Reference("P1")), lambda: gateway.confirm("P1", HKD)):
        with pytest.raises(UnsupportedOperation):
            call()
    (event,) = gateway.parse_webhook(WebhookDelivery(b"", {})).events
    assert gateway.confirm_event(event, "P1", HKD).is_paid
    with pytest.raises(Mismatch):
        gateway.confirm_event(event, "P1", Money.of("88.01", "HKD"))
    assert gateway.script.requests == []


class Verified(sure(None, authoritative=False)):  # type: ignore[misc]
    """A provider whose gateway verifies its notifications itself, for the holder of a token."""

    @hookimpl
    def authorize(self) -> Any:
        yield Request("POST", "/token", safe=True)
        return Authorization(Secret("made-up"))

    @hookimpl
    def parse_webhook(self, authorization: Authorization, delivery: WebhookDelivery) -> Any:
        if not delivery.header("signature"):
            raise WebhookRejected("signature")
        headers = (("authorization", authorization.credentials),)
        response = yield Request("POST", "/verify", headers=headers, body=delivery.body, safe=True)
        if response.body != b"genuine":
            raise WebhookRejected("signature")
        return Notification((WebhookEvent("sure", Subject.CHARGE, "paid", Reference("", "C1"), "e1"),))


def test_webhook_verified_by_a_call_is_sent_the_delivered_bytes(install: Any, opening: Any) -> None:
    """The token is asked for before the hook runs, even for a delivery without a signature."""
    install("sure", Verified)
    body = b'{"id": "\\u00e9",  "odd":\n1}'
    answers = {"/token": b"", "/verify": b"genuine"}
    gateway = opening("sure", {}, transport=lambda request: Response(200, (), answers[request.path]))
    with pytest.raises(WebhookRejected):
        gateway.parse_webhook(WebhookDelivery(body, {}))
    assert gateway.script.paths() == ["/token"]
    signed = WebhookDelivery(body, {"Signature": "x"})
    (event,) = gateway.parse_webhook(signed).events
    assert (event.reference, event.authoritative) == (Reference(provider_id="C1"), False)
    answers["/verify"] = b"forged"
    with pytest.raises(WebhookRejected) as caught:
        gateway.parse_webhook(signed)
    assert caught.value.reason == "signature"
    assert gateway.script.paths() == ["/token", "/verify", "/verify"]
    asked = gateway.script.requests[1]
    assert (asked.body, dict(asked.headers)["authorization"].reveal()) == (body, "Bearer made-up")


def test_handmade_status_is_rejected_for_hint_webhooks(install: Any, opening: Any) -> None:
    """Trust is the provider's to declare."""
    gateway = opened(install, opening, Notification((EVENT,)), authoritative=False)
    with pytest.raises(InvalidRequest):
        gateway.confirm_event(EVENT, "P1", HKD)
    with pytest.raises(WebhookRejected):
        gateway.parse_webhook(WebhookDelivery(b"", {}))


@pytest.mark.parametrize(
    "notification",
    [
        Notification(event for event in [EVENT]),
        Notification([EVENT]),
        Notification((EVENT,), None),
        Notification(("paid",)),
    ],
)  # type: ignore[arg-type]
def test_malformed_notification_is_rejected(install: Any, opening: Any, notification: Any) -> None:
    """A generator would be empty for the platform after the check."""
    with pytest.raises(WebhookRejected):
        opened(install, opening, notification).parse_webhook(WebhookDelivery(b"", {}))


def test_a_handshake_has_no_event_and_an_answer(install: Any, opening: Any) -> None:
    """Some gateways ask whether the address is ours."""
    hello = Notification((), Acknowledgement(200, (("content-type", "text/plain"),), b"hello"))
    assert opened(install, opening, hello).parse_webhook(WebhookDelivery(b"", {})) == hello


class Records:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.charges = 0

    @hookimpl
    def operation_finished(self, operation: Any) -> None:
        self.seen.append((operation.name, operation.error))

    @hookimpl
    def charge_observed(self) -> None:
        self.charges += 1


def test_every_public_call_leaves_a_record_under_its_own_name(install: Any, opening: Any) -> None:
    """confirm is confirm, and a webhook is recorded too, believed or not."""
    records = Records()
    gateway = opened(install, opening, Notification((EVENT,)), plugins=[records])
    gateway.confirm("P1", HKD)
    gateway.confirm_event(EVENT, "P1", HKD)
    gateway.parse_webhook(WebhookDelivery(b"", {}))
    with pytest.raises(InvalidRequest):
        gateway.confirm("", HKD)
    assert records.seen == [("confirm", ""), ("confirm", ""), ("parse_webhook", ""), ("confirm", "InvalidRequest")]
    assert records.charges == 2


def test_an_interrupted_call_is_not_recorded_as_a_success(install: Any, opening: Any) -> None:
    """Its outcome is unknown; the record says what ended it."""
    records = Records()
    gateway = opened(install, opening, plugins=[records])

    def interrupted(_: Request) -> Response:
        raise KeyboardInterrupt

    gateway.script.answer = interrupted
    with pytest.raises(KeyboardInterrupt):
        gateway.create_charge(ChargeRequest("P1", HKD, "tea"))
    assert records.seen == [("create_charge", "KeyboardInterrupt")]


def test_a_cancelled_call_is_recorded_as_cancelled(install: Any) -> None:
    """In asyncio, where that is daily life."""
    from payments_core import AsyncGateway

    records = Records()
    install("sure", sure(None))

    class Slow:
        async def send(self, request: Request, *, deadline: float) -> Response:
            await asyncio.sleep(deadline)
            return Response(200)

        async def close(self) -> None:
            pass

    async def scene() -> None:
        async with AsyncGateway.open("sure", {}, transport=Slow(), plugins=[records]) as gateway:
            task = asyncio.create_task(gateway.create_charge(ChargeRequest("P1", HKD, "tea")))
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())
    assert records.seen == [("create_charge", "CancelledError")]
