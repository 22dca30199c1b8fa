"""The official package as an oracle: it would send what we send, and signs what we believe.

It forwards names that it does not know, so agreement alone proves little: every name is also looked up in its types.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import types
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, urlsplit

import pytest
import stripe
from stripe.params import (
    PaymentIntentCancelParams,
    PaymentIntentCaptureParams,
    PaymentIntentCreateParams,
    PaymentIntentRetrieveParams,
    RefundCreateParams,
    RefundListParams,
    RefundRetrieveParams,
)
from stripe.params.checkout import SessionCreateParams, SessionExpireParams, SessionRetrieveParams
from typing_extensions import is_typeddict  # typing's own does not know those of typing_extensions

from payments_core import (
    CaptureRequest,
    ChargeRequest,
    Gateway,
    Money,
    PaymentStatus,
    Reference,
    RefundReference,
    RefundRequest,
    Request,
    Response,
    Secret,
    Shopper,
    WebhookDelivery,
    WebhookRejected,
)
from payments_stripe import wire
from payments_stripe.events import READERS
from payments_stripe.webhook import sign

from . import shapes
from .shapes import HKD

KEY = "sk_test_of_the_oracle_tests"
WEBHOOK_KEY = "whsec_of_the_oracle_tests"
CONFIG = {"api_key": KEY, "webhook_key": WEBHOOK_KEY}
TEN = Money.of("10", "HKD")
BACK = "https://shop.example/back?a=b&c=d#e"
PI = Reference("P1", "pi_1")
CS = Reference("P1", "cs_test_1")

INTENT = shapes.intent(livemode=False)
SESSION = shapes.session(livemode=False, payment_intent=INTENT)
REFUND = shapes.refund(amount=1000)
NO_REFUNDS: dict[str, Any] = {"object": "list", "data": [], "has_more": False}
REFUNDS = {"object": "list", "data": [REFUND | {"id": "re_0", "metadata": {}}], "has_more": True}


def order(method: str, **fields: Any) -> ChargeRequest:
    return ChargeRequest("P1", HKD, "Té & 茶, 1 kg", method, return_url=BACK, **fields)


def card(**changes: Any) -> dict[str, Any]:
    """The parameters of a card's session, as an integrator writes them."""
    intent_data = {
        "description": "Té & 茶, 1 kg",
        "metadata": {"payments_core_order_id": "P1", "payments_core_checkout": "session"},
    }
    price = {"currency": "hkd", "unit_amount": 8800, "product_data": {"name": "Té & 茶, 1 kg"}}
    return {
        "mode": "payment",
        "allowed_payment_method_types": ["card"],
        "success_url": BACK,
        "cancel_url": BACK,
        "client_reference_id": "P1",
        "metadata": {"payments_core_order_id": "P1"},
        "line_items": [{"quantity": 1, "price_data": price}],
        "adaptive_pricing": {"enabled": False},
        "payment_intent_data": intent_data | changes.pop("payment_intent_data", {}),
    } | changes


def wallet(method: str, **changes: Any) -> dict[str, Any]:
    """The parameters of a wallet's PaymentIntent."""
    return {
        "amount": 8800,
        "currency": "hkd",
        "confirm": True,
        "payment_method_data": {"type": method},
        "allowed_payment_method_types": [method],
        "description": "Té & 茶, 1 kg",
        "metadata": {"payments_core_order_id": "P1"},
        "return_url": BACK,
    } | changes


HELD: dict[str, Any] = {
    "payment_intent_data": {"capture_method": "manual"},
    "metadata": {"payments_core_order_id": "P1", "payments_core_capture": "manual"},
}
EXPAND = {"expand": ["latest_charge"]}
EXPAND_SESSION = {"expand": ["payment_intent.latest_charge"]}
GIVE_BACK = {
    "payment_intent": "pi_1",
    "amount": 1000,
    "metadata": {"payments_core_refund_id": "R1", "payments_core_order_id": "P1"},
}
WEB = {"wechat_pay": {"client": "web"}}
HELD_SESSION = SESSION | {"status": "complete", "payment_intent": INTENT | {"status": "requires_capture"}}
OF_SESSION = {
    "payments_core_refund_id": "R1",
    "payments_core_order_id": "P1",
    "payments_core_checkout": "session",
    "payments_core_reason": "Broken",
}
Call = Callable[[Any], Any]

# Our call; what we are answered, the last answer over and over; which of our requests it is about; the package's call,
# given its v1 services and the options; the types of its parameters.
OPERATIONS: dict[str, tuple[Call, list[Any], int, Callable[[Any, Any], Any], Any]] = {
    "create alipay": (lambda ours: ours.create_charge(order("alipay")), [INTENT], 0,
        lambda v1, o: v1.payment_intents.create(wallet("alipay"), o), PaymentIntentCreateParams),
    "create wechat_pay": (lambda ours: ours.create_charge(order("wechat_pay")), [INTENT], 0,
        lambda v1, o: v1.payment_intents.create(wallet("wechat_pay", payment_method_options=WEB), o),
        PaymentIntentCreateParams),
    "create card": (lambda ours: ours.create_charge(order("card")), [SESSION], 0,
        lambda v1, o: v1.checkout.sessions.create(card(), o), SessionCreateParams),
    "create card, held": (lambda ours: ours.create_charge(order("card", capture=False)), [SESSION], 0,
        lambda v1, o: v1.checkout.sessions.create(card(**HELD), o), SessionCreateParams),
    "create card, email": (
        lambda ours: ours.create_charge(order("card", shopper=Shopper(email="a+b@shop.example"))), [SESSION], 0,
        lambda v1, o: v1.checkout.sessions.create(card(customer_email="a+b@shop.example"), o), SessionCreateParams),
    "create card, held, email": (
        lambda ours: ours.create_charge(order("card", capture=False, shopper=Shopper(email="a@b.example"))),
        [SESSION], 0,
        lambda v1, o: v1.checkout.sessions.create(card(customer_email="a@b.example", **HELD), o),
        SessionCreateParams),
    "get_status of an intent": (lambda ours: ours.get_status(PI), [INTENT], 0,
        lambda v1, o: v1.payment_intents.retrieve("pi_1", EXPAND, o), PaymentIntentRetrieveParams),
    "get_status of a session": (lambda ours: ours.get_status(CS), [SESSION], 0,
        lambda v1, o: v1.checkout.sessions.retrieve("cs_test_1", EXPAND_SESSION, o), SessionRetrieveParams),
    "capture": (lambda ours: ours.capture_charge(CaptureRequest(PI, "C1", TEN)), [INTENT], 1,
        lambda v1, o: v1.payment_intents.capture("pi_1", {"amount_to_capture": 1000}, o), PaymentIntentCaptureParams),
    "capture of a session": (lambda ours: ours.capture_charge(CaptureRequest(CS, "C1", TEN)), [SESSION, INTENT], 1,
        lambda v1, o: v1.payment_intents.capture("pi_1", {"amount_to_capture": 1000}, o), PaymentIntentCaptureParams),
    "cancel": (lambda ours: ours.cancel_charge(PI), [INTENT], 0,
        lambda v1, o: v1.payment_intents.cancel("pi_1", None, o), PaymentIntentCancelParams),
    "expire": (lambda ours: ours.cancel_charge(CS), [SESSION], 1,
        lambda v1, o: v1.checkout.sessions.expire("cs_test_1", None, o), SessionExpireParams),
    "cancel of a session's held money": (
        lambda ours: ours.cancel_charge(CS), [HELD_SESSION, INTENT], 1,
        lambda v1, o: v1.payment_intents.cancel("pi_1", None, o), PaymentIntentCancelParams),
    "refund": (lambda ours: ours.refund_charge(RefundRequest(PI, "R1", TEN)), [INTENT, NO_REFUNDS, REFUND], 2,
        lambda v1, o: v1.refunds.create(GIVE_BACK, o), RefundCreateParams),
    "refund with a reason of Stripe's": (
        lambda ours: ours.refund_charge(RefundRequest(PI, "R1", TEN, "duplicate")), [INTENT, NO_REFUNDS, REFUND], 2,
        lambda v1, o: v1.refunds.create(GIVE_BACK | {"reason": "duplicate"}, o), RefundCreateParams),
    "refund of a session, with a reason of ours": (
        lambda ours: ours.refund_charge(RefundRequest(CS, "R1", TEN, "Broken")), [SESSION, NO_REFUNDS, REFUND], 2,
        lambda v1, o: v1.refunds.create(GIVE_BACK | {"metadata": OF_SESSION}, o),
        RefundCreateParams),
    "get_refund": (lambda ours: ours.get_refund(RefundReference("R1", "re_1", PI)), [REFUND], 0,
        lambda v1, o: v1.refunds.retrieve("re_1", None, o), RefundRetrieveParams),
    "list of refunds": (
        lambda ours: ours.get_refund(RefundReference("R1", "", PI)), [REFUNDS, REFUNDS | {"data": [REFUND]}], 0,
        lambda v1, o: v1.refunds.list({"payment_intent": "pi_1", "limit": 100}, o), RefundListParams),
    "list of refunds, second page": (
        lambda ours: ours.get_refund(RefundReference("R1", "", PI)), [REFUNDS, REFUNDS | {"data": [REFUND]}], 1,
        lambda v1, o: v1.refunds.list({"payment_intent": "pi_1", "limit": 100, "starting_after": "re_0"}, o),
        RefundListParams),
}  # fmt: skip


class Captured(stripe.HTTPClient):
    """Keeps what the package would send, and sends nothing."""

    name = "captured"

    def __init__(self, answer: Any = None) -> None:
        super().__init__()
        self.answer = answer or {"id": "x", "object": "list", "data": [], "has_more": False}
        self.sent: list[tuple[str, str, dict[str, str], Any]] = []

    def request(self, method: str, url: str, headers: Any, post_data: Any = None) -> Any:
        self.sent.append((method, url, dict(headers), post_data))
        return json.dumps(self.answer), 200, {"Request-Id": "req_1"}

    def close(self) -> None:
        pass


def ours(name: str) -> Request:
    """The request that our plugin makes."""
    call, answers, place, _, _ = OPERATIONS[name]
    sent: list[Request] = []

    class Script:
        def send(self, request: Request, *, deadline: float) -> Response:
            sent.append(request)
            return Response(200, (), json.dumps(answers[min(len(sent), len(answers)) - 1]).encode())

        def close(self) -> None:
            pass

    with Gateway.open("stripe", CONFIG, transport=Script()) as gateway:
        call(gateway)
    return sent[place]


def header(request: Request, name: str) -> str | None:
    found = [value for key, value in request.headers if key == name]
    assert len(found) <= 1
    return (found[0].reveal() if isinstance(found[0], Secret) else found[0]) if found else None


def theirs(name: str, idempotency_key: str | None) -> tuple[str, str, dict[str, str], Any]:
    """The request that the official package makes."""
    captured = Captured()
    client = stripe.StripeClient(KEY, http_client=captured)
    options = {"idempotency_key": idempotency_key} if idempotency_key else {}
    OPERATIONS[name][3](client.v1, options)
    (sent,) = captured.sent
    return sent


def fields(text: str) -> list[tuple[str, str]]:
    """A form or a query, decoded; `[0]` is written `[]` by some clients and means the same."""
    return sorted((key.replace("[0]", "[]"), value) for key, value in parse_qsl(text, True, strict_parsing=bool(text)))


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_package_would_send_the_same(name: str) -> None:
    """Method, path, every field of the query and the form, version, key and content type."""
    request = ours(name)
    method, url, headers, body = theirs(name, header(request, "idempotency-key"))
    address = urlsplit(url)
    assert (request.method, request.path) == (method.upper(), address.path)
    assert fields(urlsplit(request.target).query) == fields(address.query)
    assert fields(request.body.decode()) == fields(body or "")
    told = {key.lower(): value for key, value in headers.items()}
    assert header(request, "stripe-version") == told["stripe-version"] == wire.VERSION == "2026-10-28.endive"
    assert header(request, "authorization") == told["authorization"]
    if method == "post":
        assert header(request, "content-type") == told["content-type"]
        # To what ends a charge the package adds a random key, which keeps a refusal for a day; ours has none.
        assert header(request, "idempotency-key") == (None if name in KEYLESS else told["idempotency-key"])
    else:
        assert header(request, "idempotency-key") is told.get("idempotency-key") is None


KEYLESS = {"cancel", "expire", "cancel of a session's held money"}


def test_every_other_post_has_a_key() -> None:
    keyless = {name for name in OPERATIONS if ours(name).method == "POST" and not header(ours(name), "idempotency-key")}
    assert keyless == KEYLESS


# The names.


def path_of(name: str) -> list[str]:
    """`a[b][0]` as its steps."""
    first, *rest = name.replace("]", "").split("[")
    return [first, *rest]


def is_known(kind: Any, steps: list[str]) -> bool:
    """Return whether a parameter's type has the field that these steps lead to."""
    origin = get_origin(kind)
    if origin is Union or origin is types.UnionType:
        return any(is_known(each, steps) for each in get_args(kind))
    if not steps:
        return not is_typeddict(kind) and origin not in {list, dict}
    if origin is list:
        return steps[0].isdecimal() and is_known(get_args(kind)[0], steps[1:])
    if origin is dict:
        return is_known(get_args(kind)[1], steps[1:])
    return is_typeddict(kind) and steps[0] in kind.__annotations__ and is_known(field_type(kind, steps[0]), steps[1:])


def field_type(kind: Any, name: str) -> Any:
    """The type of one field; the others may name what only a type checker imports."""
    alone = type("Alone", (), {"__annotations__": {name: kind.__annotations__[name]}})
    return get_type_hints(alone, vars(sys.modules[kind.__module__]))[name]


def names(request: Request) -> list[str]:
    return [name for name, _ in [*request.query, *parse_qsl(request.body.decode())]]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_name_that_we_send_is_a_parameter(name: str) -> None:
    """Down to the innermost, in the types that the package is generated with."""
    unknown = [each for each in names(ours(name)) if not is_known(OPERATIONS[name][4], path_of(each))]
    assert unknown == []


@pytest.mark.parametrize(
    ("kind", "invented"),
    [
        (PaymentIntentCreateParams, "notify_url"),
        (PaymentIntentCreateParams, "amount[value]"),
        (PaymentIntentCreateParams, "payment_method_data"),
        (PaymentIntentCreateParams, "payment_method_data[kind]"),
        (PaymentIntentCreateParams, "payment_method_options[wechat_pay][browser]"),
        (PaymentIntentCreateParams, "payment_method_options[wechat][client]"),
        (PaymentIntentCreateParams, "metadata[order][id]"),
        (PaymentIntentCreateParams, "expand"),
        (PaymentIntentCreateParams, "expand[x]"),
        (SessionCreateParams, "return"),
        (SessionCreateParams, "line_items[0][price_data][amount]"),
        (SessionCreateParams, "line_items[price_data][unit_amount]"),
        (SessionCreateParams, "adaptive_pricing[disabled]"),
        (SessionCreateParams, "payment_intent_data[confirm]"),
        (RefundCreateParams, "refund_id"),
        (RefundListParams, "metadata[payments_core_refund_id]"),
        (PaymentIntentCaptureParams, "amount"),
    ],
)
def test_an_invented_name_is_found_out(kind: Any, invented: str) -> None:
    """The positive control: a checker that knows every name would prove nothing."""
    assert not is_known(kind, path_of(invented))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_word_that_we_send_is_one_of_the_package_s(name: str) -> None:
    """Values of a list are checked against it, and required ones are present."""
    request, kind = ours(name), OPERATIONS[name][4]
    sent = [*request.query, *parse_qsl(request.body.decode())]
    assert [(each, value) for each, value in sent if not is_word(kind, path_of(each), value)] == []
    assert kind.__required_keys__ <= {path_of(each)[0] for each, _ in sent}


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (PaymentIntentCreateParams, "payment_method_data[type]", "barter"),
        (PaymentIntentCreateParams, "allowed_payment_method_types[0]", "barter"),
        (PaymentIntentCreateParams, "payment_method_options[wechat_pay][client]", "fax"),
        (SessionCreateParams, "mode", "gift"),
        (SessionCreateParams, "payment_intent_data[capture_method]", "later"),
        (RefundCreateParams, "reason", "Broken"),
    ],
)
def test_an_invented_word_is_found_out(kind: Any, name: str, value: str) -> None:
    """The positive control of that, and of what must be there."""
    assert not is_word(kind, path_of(name), value)
    assert {"amount", "currency"} <= PaymentIntentCreateParams.__required_keys__


def is_word(kind: Any, steps: list[str], value: str) -> bool:
    """Return whether a value is in the list at that place; without a list, any value is."""
    found = {word for each in leaves(kind, steps) if get_origin(each) is Literal for word in get_args(each)} - {""}
    return not found or value in found


def leaves(kind: Any, steps: list[str]) -> Iterator[Any]:
    """The types that a parameter may have. A list of words beside `str` may grow: that says nothing of ours."""
    origin = get_origin(kind)
    if origin is Union or origin is types.UnionType:
        for each in get_args(kind):
            yield from leaves(each, steps)
    elif not steps:
        yield kind
    elif origin in {list, dict}:
        yield from leaves(get_args(kind)[-1], steps[1:])
    elif is_typeddict(kind) and steps[0] in kind.__annotations__:
        yield from leaves(field_type(kind, steps[0]), steps[1:])


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_endive_has_removed_is_not_sent(name: str) -> None:
    """`payment_method_types` is a 400 since 2026-10-28; nor is anything sent that mails the shopper."""
    sent = {path_of(each)[0] for each in names(ours(name))}
    assert sent & {"payment_method_types", "automatic_payment_methods", "receipt_email", "notify_url"} == set()
    assert "payment_method_types" not in PaymentIntentCreateParams.__annotations__
    assert "payment_method_types" not in SessionCreateParams.__annotations__


def test_every_operation_of_the_plugin_is_compared() -> None:
    """Every POST and GET that any of the hooks makes, by its shape."""
    made = {(request.method, request.path) for request in map(ours, OPERATIONS)}
    assert made == {
        ("POST", "/v1/payment_intents"),
        ("POST", "/v1/checkout/sessions"),
        ("GET", "/v1/payment_intents/pi_1"),
        ("GET", "/v1/checkout/sessions/cs_test_1"),
        ("POST", "/v1/payment_intents/pi_1/capture"),
        ("POST", "/v1/payment_intents/pi_1/cancel"),
        ("POST", "/v1/checkout/sessions/cs_test_1/expire"),
        ("POST", "/v1/refunds"),
        ("GET", "/v1/refunds/re_1"),
        ("GET", "/v1/refunds"),
    }


# The answers.

LATEST = shapes.attempt(amount=5000, amount_captured=5000, amount_refunded=1000, disputed=False)
PAID = shapes.paid(livemode=False, amount_received=5000, latest_charge=LATEST)
DISPUTED = PAID | {"latest_charge": LATEST | {"disputed": True}}
COMPLETE = shapes.complete("paid", PAID, livemode=False)
CHARGES = {
    "an intent that waits": (INTENT, PaymentStatus.REQUIRES_ACTION),
    "an intent that was paid in part": (PAID, PaymentStatus.SUCCEEDED),
    "an intent that was disputed": (DISPUTED, PaymentStatus.SUCCEEDED),
    "an intent that is processed": (PAID | {"status": "processing"}, PaymentStatus.PENDING),
    "held money": (INTENT | {"status": "requires_capture"}, PaymentStatus.AUTHORIZED),
    "a canceled intent": (INTENT | {"status": "canceled"}, PaymentStatus.CANCELLED),
    "a word of tomorrow": (INTENT | {"status": "of_tomorrow"}, PaymentStatus.UNKNOWN),
    "a currency without decimals": (INTENT | {"currency": "jpy", "amount": 880}, PaymentStatus.REQUIRES_ACTION),
    "an open session": (SESSION | {"payment_intent": None}, PaymentStatus.REQUIRES_ACTION),
    "an expired session": (SESSION | {"status": "expired", "payment_intent": None}, PaymentStatus.CANCELLED),
    "a paid session": (COMPLETE, PaymentStatus.SUCCEEDED),
}


def answered(answer: Any) -> Gateway:
    class Script:
        def send(self, request: Request, *, deadline: float) -> Response:
            return Response(200, (("Request-Id", "req_1"),), json.dumps(answer).encode())

        def close(self) -> None:
            pass

    return Gateway.open("stripe", CONFIG, transport=Script())


@pytest.mark.parametrize(("answer", "status"), CHARGES.values(), ids=CHARGES)
def test_the_package_reads_the_same_charge(answer: dict[str, Any], status: PaymentStatus) -> None:
    """Id, order, amount, currency, status, time, and the money that moved."""
    client = stripe.StripeClient(KEY, http_client=Captured(answer)).v1
    with answered(answer) as gateway:
        charge = gateway.get_status(Reference("", answer["id"]))
    parsed: Any
    if answer["object"] == "checkout.session":
        parsed = client.checkout.sessions.retrieve(answer["id"])
        amount, intent, word = parsed.amount_total, parsed.payment_intent, charge.raw_status.partition(":")[0]
    else:
        parsed = client.payment_intents.retrieve(answer["id"])
        amount, intent, word = parsed.amount, parsed, charge.raw_status
    assert parsed.object == answer["object"]
    assert charge.reference == Reference(parsed.metadata["payments_core_order_id"], parsed.id)
    assert charge.amount == Money(minor=amount, currency=parsed.currency.upper())
    assert (charge.status, word) == (status, parsed.status)
    assert charge.request_id == "req_1"
    if status is PaymentStatus.SUCCEEDED:
        assert charge.captured == Money(minor=intent.amount_received, currency="HKD")
        assert charge.refunded == Money(minor=intent.latest_charge.amount_refunded, currency="HKD")
        assert charge.paid_at == datetime.fromtimestamp(intent.latest_charge.created, UTC)
        assert charge.disputed == Money.of("50.00" if intent.latest_charge.disputed else "0", "HKD")
        assert not charge.require("P1", charge.amount).is_paid
    assert charge.moves_money is parsed.livemode


@pytest.mark.parametrize("status", ["pending", "requires_action", "succeeded", "failed", "canceled"])
def test_the_package_reads_the_same_refund(status: str) -> None:
    """Asked for by its id, or found in the list."""
    answer = REFUND | {"status": status}
    listed = REFUNDS | {"data": [answer], "has_more": False}
    with answered(answer) as gateway:
        by_id = gateway.get_refund(RefundReference("", "re_1"))
    with answered(listed) as gateway:
        found = gateway.get_refund(RefundReference("R1", "", PI))
    parsed = stripe.StripeClient(KEY, http_client=Captured(answer)).v1.refunds.retrieve("re_1")
    (item,) = stripe.StripeClient(KEY, http_client=Captured(listed)).v1.refunds.list().data
    for ours_, theirs_ in ((by_id, parsed), (found, item)):
        assert (ours_.provider_id, ours_.raw_status) == (theirs_.id, theirs_.status)
        assert ours_.amount == Money(minor=theirs_.amount, currency=theirs_.currency.upper())
        assert theirs_.metadata is not None
        assert ours_.refund_id == theirs_.metadata["payments_core_refund_id"]


def test_the_kinds_of_event_that_are_read_are_kinds_of_event() -> None:
    """Each of the package's kinds with one of our prefixes is about the object that we read."""
    known = set(get_args(field_type(stripe.Event, "type")))
    ours = {each: {kind for kind in known if kind.startswith(each)} for each, _ in READERS}
    assert all(ours.values())
    assert ours["payment_intent."] >= {"payment_intent.succeeded", "payment_intent.payment_failed"}
    assert ours["charge.refunded"] == {"charge.refunded"}
    assert {"payment_intent.of_tomorrow", "checkout.session.created"}.isdisjoint(known)


# The signatures.

COUNT = 10_000
NOW = 1_793_534_400


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package reads the machine's clock, which goes on while other tests run."""
    monkeypatch.setattr("stripe._webhook.time", SimpleNamespace(time=lambda: NOW))


def events() -> Iterator[tuple[random.Random, bytes]]:
    """Events of any size and content, the same ones each time."""
    chance = random.Random(20261028)
    alphabet = "abc ABC 0123 ,;:=.{}[]\"'\\/\n\té茶😀\u2028"
    for number in range(COUNT):
        noise = "".join(chance.choices(alphabet, k=chance.randrange(120)))
        body = {
            "id": f"evt_{number}",
            "object": "event",
            "type": chance.choice(["customer.updated", "invoice.paid", "charge.succeeded"]),
            "livemode": False,
            "data": {"object": {"id": f"x_{number}", "object": "customer", "description": noise}},
        }
        yield chance, json.dumps(body, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, 2])).encode()


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    class Forbidden:
        def send(self, request: Request, *, deadline: float) -> Response:
            raise AssertionError(f"a webhook sent {request}")

        def close(self) -> None:
            pass

    with Gateway.open("stripe", CONFIG, transport=Forbidden()) as opened:
        yield opened


def delivery(body: bytes, value: str) -> WebhookDelivery:
    return WebhookDelivery(body, {"Stripe-Signature": value}, datetime.fromtimestamp(NOW, UTC))


def test_what_the_package_signs_is_believed(gateway: Gateway) -> None:
    """Ten thousand events, at any time within the tolerance."""
    for number, (chance, body) in enumerate(events()):
        value = stripe.WebhookSignature.generate_signature_header(
            body.decode(), WEBHOOK_KEY, NOW + chance.randrange(-300, 301)
        )
        assert gateway.parse_webhook(delivery(body, value)).events[0].event_id == f"evt_{number}"


def test_what_we_sign_is_believed_by_the_package() -> None:
    """Ten thousand events, at any time within the tolerance: a fraction of a second is cut off."""
    for number, (chance, body) in enumerate(events()):
        at = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=chance.randrange(-300, 300) + chance.random())
        value = sign(body, Secret(WEBHOOK_KEY), at)
        found = stripe.Webhook.construct_event(body, value, WEBHOOK_KEY)
        assert found.id == f"evt_{number}"


def test_a_key_is_any_text() -> None:
    """Forty keys and a thousand events at any time between 2001 and 2096, both ways; no key is good for another's."""
    chance, made = random.Random(7), [body for _, body in itertools.islice(events(), 1000)]
    keys = ["whsec_" + "".join(chance.choices("abcXYZ019+/=é茶", k=chance.randrange(1, 80))) for _ in range(40)]
    assert len(set(keys)) == len(keys)
    for place, key in enumerate(keys):
        with Gateway.open("stripe", CONFIG | {"webhook_key": key}) as gateway:
            for body in made[place::40]:
                stamp = chance.randrange(1_000_000_000, 4_000_000_000)
                at = datetime.fromtimestamp(stamp, UTC)
                value = sign(body, Secret(key), at)
                assert value == resigned(body, stamp, key)
                assert stripe.WebhookSignature.verify_header(body, value, key, None)
                assert gateway.parse_webhook(WebhookDelivery(body, {"Stripe-Signature": value}, at)).events
                other = resigned(body, stamp, keys[place - 1])
                with pytest.raises(WebhookRejected):
                    gateway.parse_webhook(WebhookDelivery(body, {"Stripe-Signature": other}, at))


def flip(body: bytes, chance: random.Random) -> bytes:
    changed = bytearray(body)
    changed[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def digit(value: str, chance: random.Random) -> str:
    place = len(value) - 1 - chance.randrange(64)
    other = chance.choice([each for each in "0123456789abcdef" if each != value[place].lower()])
    return value[:place] + other + value[place + 1 :]


def resigned(body: bytes, stamp: int, key: str = WEBHOOK_KEY) -> str:
    return stripe.WebhookSignature.generate_signature_header(body.decode(), key, stamp)


# One change of a good delivery each: of the body and the header.
TAMPERINGS: dict[str, Callable[[bytes, str, random.Random], tuple[bytes, str]]] = {
    "a bit of the body": lambda body, value, chance: (flip(body, chance), value),
    "a byte less": lambda body, value, chance: (body[: -chance.randrange(1, 9)], value),
    "a byte more": lambda body, value, chance: (body + chance.choice([b" ", b"\n", b"\0", b"}"]), value),
    "a digit of the signature": lambda body, value, chance: (body, digit(value, chance)),
    "a shorter signature": lambda body, value, chance: (body, value[: -chance.randrange(1, 64)]),
    "a longer signature": lambda body, value, chance: (body, value + chance.choice("0f")),
    "another time": lambda body, value, chance: (body, value.replace(str(NOW), str(NOW + chance.choice([-1, 1, 60])))),
    "another scheme": lambda body, value, chance: (
        body,
        value.replace("v1=", chance.choice(["v0=", "v2=", "V1=", "v1"])),
    ),
    "no time": lambda body, value, _: (body, value.partition(",")[2]),
    "no signature": lambda body, value, _: (body, value.partition(",")[0]),
    "another key": lambda body, _, chance: (body, resigned(body, NOW, WEBHOOK_KEY + chance.choice("0a "))),
    "a key without its prefix": lambda body, _, __: (body, resigned(body, NOW, WEBHOOK_KEY.removeprefix("whsec_"))),
    "long ago": lambda body, _, chance: (body, resigned(body, NOW - chance.randrange(301, 10**8))),
    "in the future": lambda body, _, chance: (body, resigned(body, NOW + chance.randrange(301, 10**8))),
    "of another event": lambda body, _, __: (body, resigned(body + b" ", NOW)),
    "nothing": lambda body, _, __: (body, ""),
}
# docs.stripe.com leaves this to the library, and the official one looks back only.
TAKEN_BY_THE_PACKAGE = {"in the future"}


def test_what_was_tampered_with_is_refused_by_both(gateway: Gateway) -> None:
    """Ten thousand times one change; the package takes none of them but a time that is yet to come."""
    seen: dict[str, int] = {}
    for chance, body in events():
        kind = chance.choice(list(TAMPERINGS))
        seen[kind] = seen.get(kind, 0) + 1
        forged, value = TAMPERINGS[kind](body, resigned(body, NOW), chance)
        assert (forged, value) != (body, resigned(body, NOW))
        with pytest.raises(WebhookRejected) as caught:
            gateway.parse_webhook(delivery(forged, value))
        assert caught.value.reason == ("stale" if kind in {"long ago", "in the future"} else "signature")
        assert believes(forged, value) is (kind in TAKEN_BY_THE_PACKAGE)
    assert set(seen) == set(TAMPERINGS)


def believes(body: bytes, value: str) -> bool:
    """Return whether the official package accepts a delivery."""
    try:
        return stripe.WebhookSignature.verify_header(body, value, WEBHOOK_KEY, 300)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False


# Known differences.

BODY = b'{"id":"evt_1","object":"event","type":"customer.created","livemode":false,"data":{"object":{"id":"cus_1"}}}'
DIGEST = resigned(BODY, NOW).partition("v1=")[2]


def ahead(seconds: int) -> str:
    return resigned(BODY, NOW + seconds)


@pytest.mark.parametrize(
    ("value", "we", "they"),
    [
        (ahead(-301), False, False),
        (ahead(-300), True, True),
        (ahead(300), True, True),
        # A signer of future times could choose when the signature is valid.
        (ahead(301), False, True),
        (ahead(10**9), False, True),
        # Python's `int` reads spaces, signs, underscores and the digits of every script; what is signed is the number.
        (f"t= {NOW},v1={DIGEST}", False, True),
        (f"t={NOW} ,v1={DIGEST}", False, True),
        (f"t=+{NOW},v1={DIGEST}", False, True),
        (f"t=0{NOW},v1={DIGEST}", False, True),
        (f"t=1_793_534_400,v1={DIGEST}", False, True),
        (f"t={chr(0xFF11)}793534400,v1={DIGEST}", False, True),
        # A header that says two things says nothing.
        (f"t={NOW},t={NOW + 1},v1={DIGEST}", False, True),
        (f"t={NOW + 1},t={NOW},v1={DIGEST}", False, False),
        # Sixteen are enough for any roll of a secret, and each of them is a digest.
        (f"t={NOW}" + f",v1={'0' * 64}" * 15 + f",v1={DIGEST}", True, True),
        (f"t={NOW}" + f",v1={'0' * 64}" * 16 + f",v1={DIGEST}", False, True),
        (f"t={NOW},v1={DIGEST},v1=", False, True),
        (f"t={NOW},v1={DIGEST}=", False, True),
        # The same bytes.
        (f"t={NOW},v1={DIGEST.upper()}", True, False),
    ],
)
def test_the_package_and_we_differ_where_it_is_known(gateway: Gateway, value: str, we: bool, they: bool) -> None:
    """It is the laxer one, but for the case of digits."""
    try:
        read = bool(gateway.parse_webhook(delivery(BODY, value)).events)
    except WebhookRejected:
        read = False
    assert (read, believes(BODY, value)) == (we, they)


def test_a_thin_event_is_another_call_of_the_package(gateway: Gateway) -> None:
    """Ours says that there was one, and nothing of what it is about."""
    body = BODY.replace(b'"object":"event"', b'"object":"v2.core.event"')
    value = resigned(body, NOW)
    assert gateway.parse_webhook(delivery(body, value)).events[0].reference is None
    with pytest.raises(ValueError, match="thin event"):
        stripe.Webhook.construct_event(body, value, WEBHOOK_KEY)
