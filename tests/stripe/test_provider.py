"""What Stripe is sent and how its answers are read, through the real core and without a socket."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from payments_core import (
    CaptureRequest,
    Channel,
    ChargeRequest,
    InvalidRequest,
    Mismatch,
    Money,
    NotFound,
    OutcomeUnknown,
    PaymentStatus,
    ProtocolViolation,
    Redirect,
    Reference,
    RefundReference,
    RefundRequest,
    RefundStatus,
    Rejected,
    RejectionCode,
    Response,
    Secret,
    Shopper,
    ShowQRCode,
)
from payments_stripe import StripeConfig, StripeProvider, forms, refunds
from payments_stripe.amounts import CURRENCIES, units

HKD = Money.of("88.00", "HKD")
KEY = "sk_test_of_the_provider_tests"
CONFIG = {"api_key": KEY, "webhook_key": "whsec_of_the_provider_tests"}
PI = Reference("P1", "pi_1")
CS = Reference("P1", "cs_1")
README = Path(__file__).parents[2] / "providers" / "stripe" / "README.md"


def intent(**changes: Any) -> dict[str, Any]:
    """A PaymentIntent that waits for the shopper of Alipay."""
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 8800,
        "amount_received": 0,
        "currency": "hkd",
        "created": 1_793_534_400,
        "latest_charge": None,
        "livemode": False,
        "metadata": {"order_id": "P1"},
        "next_action": {
            "type": "alipay_handle_redirect",
            "alipay_handle_redirect": {"url": "https://hooks.stripe.com/redirect/authenticate/src_1"},
        },
        "last_payment_error": None,
        "status": "requires_action",
    } | changes


def charge(**changes: Any) -> dict[str, Any]:
    """A Charge, as `latest_charge` is where it was expanded."""
    return {
        "id": "ch_1",
        "object": "charge",
        "amount": 8800,
        "amount_captured": 8800,
        "amount_refunded": 0,
        "created": 1_793_534_460,
    } | changes


def paid(**changes: Any) -> dict[str, Any]:
    return intent(
        **{"status": "succeeded", "amount_received": 8800, "next_action": None, "latest_charge": charge()} | changes
    )


def session(**changes: Any) -> dict[str, Any]:
    """A Checkout Session that nobody has paid yet."""
    return {
        "id": "cs_1",
        "object": "checkout.session",
        "amount_total": 8800,
        "currency": "hkd",
        "client_reference_id": "P1",
        "created": 1_793_534_400,
        "expires_at": 1_793_620_800,
        "metadata": {"order_id": "P1"},
        "mode": "payment",
        "payment_intent": None,
        "payment_status": "unpaid",
        "status": "open",
        "url": "https://checkout.stripe.com/c/pay/cs_1#fid",
    } | changes


def refund(**changes: Any) -> dict[str, Any]:
    return {
        "id": "re_1",
        "object": "refund",
        "amount": 1000,
        "created": 1_793_534_500,
        "currency": "hkd",
        "metadata": {"refund_id": "R1", "order_id": "P1"},
        "payment_intent": "pi_1",
        "status": "succeeded",
    } | changes


def page(*items: dict[str, Any], more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": list(items), "has_more": more, "url": "/v1/refunds"}


def error(kind: str, code: str = "", **fields: Any) -> dict[str, Any]:
    return {"error": {"type": kind, "code": code, "message": "No."} | fields}


def answered(*bodies: Any) -> Any:
    """A script that answers these in turn: an object is a 200, a pair begins with its status."""
    left = list(bodies)

    def answer(request: Any) -> Response:
        status, body = left[0] if isinstance(left[0], tuple) else (200, left[0])
        left.pop(0)
        return Response(status, (("Request-Id", "req_1"),), json.dumps(body).encode())

    return answer


@pytest.fixture
def stripe(opening: Any) -> Any:
    """Open a gateway that is answered from a script."""
    return lambda *bodies, **config: opening("stripe", CONFIG | config, transport=answered(*bodies))


def order(**changes: Any) -> ChargeRequest:
    values: dict[str, Any] = {
        "order_id": "P1",
        "amount": HKD,
        "description": "Tea",
        "method": "alipay",
        "return_url": "https://shop.example/back",
        "notify_url": "https://shop.example/hook",
    }
    return ChargeRequest(**(values | changes))


def form(request: Any) -> dict[str, str]:
    pairs = parse_qsl(request.body.decode(), strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def sent(gateway: Any) -> list[tuple[str, str]]:
    return [(request.method, request.path) for request in gateway.script.requests]


# What is sent.


def test_alipay_is_a_confirmed_payment_intent(stripe: Any) -> None:
    """Every field, and none besides; the shopper is sent where Stripe says."""
    gateway = stripe(intent())
    made = gateway.create_charge(order(shopper=Shopper(email="a@b.example")))
    (request,) = gateway.script.requests
    assert (request.method, request.path, request.query) == ("POST", "/v1/payment_intents", ())
    assert form(request) == {
        "amount": "8800",
        "currency": "hkd",
        "confirm": "true",
        "payment_method_data[type]": "alipay",
        "allowed_payment_method_types[0]": "alipay",
        "description": "Tea",
        "metadata[order_id]": "P1",
        "return_url": "https://shop.example/back",
        "expand[0]": "latest_charge",
    }
    assert made.reference == PI
    assert made.status is PaymentStatus.REQUIRES_ACTION
    assert made.next_action == Redirect("https://hooks.stripe.com/redirect/authenticate/src_1")
    assert (made.amount, made.captured, made.refunded, made.request_id) == (HKD, None, None, "req_1")
    assert made.created_at == datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def test_wechat_pay_shows_a_code(stripe: Any) -> None:
    """The same PaymentIntent, with the client that is a web page."""
    action = {
        "type": "wechat_pay_display_qr_code",
        "wechat_pay_display_qr_code": {"data": "weixin://wxpay/bizpayurl?pr=1"},
    }
    gateway = stripe(intent(next_action=action))
    made = gateway.create_charge(order(method="wechat_pay", channel=Channel.MOBILE_WEB))
    sent_form = form(gateway.script.requests[0])
    assert sent_form["payment_method_options[wechat_pay][client]"] == "web"
    assert sent_form["payment_method_data[type]"] == sent_form["allowed_payment_method_types[0]"] == "wechat_pay"
    assert made.next_action == ShowQRCode("weixin://wxpay/bizpayurl?pr=1")


def test_a_card_is_a_checkout_session(stripe: Any) -> None:
    """One line item, no other currency, no other method; what the session makes is told to be the session's."""
    gateway = stripe(session())
    made = gateway.create_charge(order(method="card", shopper=Shopper(email="a@b.example", id="u1")))
    (request,) = gateway.script.requests
    assert (request.method, request.path) == ("POST", "/v1/checkout/sessions")
    assert form(request) == {
        "mode": "payment",
        "allowed_payment_method_types[0]": "card",
        "success_url": "https://shop.example/back",
        "cancel_url": "https://shop.example/back",
        "client_reference_id": "P1",
        "metadata[order_id]": "P1",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "hkd",
        "line_items[0][price_data][unit_amount]": "8800",
        "line_items[0][price_data][product_data][name]": "Tea",
        "adaptive_pricing[enabled]": "false",
        "payment_intent_data[description]": "Tea",
        "payment_intent_data[metadata][order_id]": "P1",
        "payment_intent_data[metadata][checkout]": "session",
        "customer_email": "a@b.example",
        "expand[0]": "payment_intent.latest_charge",
    }
    assert (made.reference, made.status) == (CS, PaymentStatus.REQUIRES_ACTION)
    assert made.next_action == Redirect("https://checkout.stripe.com/c/pay/cs_1#fid")
    assert made.expires_at == datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


def test_held_money_is_asked_for_in_the_session(stripe: Any) -> None:
    """And an email that nobody gave is not sent."""
    gateway = stripe(session())
    gateway.create_charge(order(method="card", capture=False))
    fields = form(gateway.script.requests[0])
    assert fields["payment_intent_data[capture_method]"] == "manual"
    assert "customer_email" not in fields


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"return_url": ""}, "return_url"),
        ({"return_url": "", "method": "card"}, "return_url"),
        ({"capture": False}, "capture"),
        ({"capture": False, "method": "wechat_pay"}, "capture"),
        ({"expires_in": 600.0, "method": "card"}, "expires_in"),
        ({"payment_token": Secret("tok_1")}, "payment_token"),
        ({"method": "visa"}, "method"),
        ({"channel": Channel.IN_STORE}, "channel"),
        ({"amount": Money.of("8", "CHE")}, "currency"),
        ({"order_id": "P" * 201}, "order_id"),
        ({"description": "d" * 1001}, "description"),
        ({"amount": Money.of("1.005", "KWD")}, "amount"),
        ({"amount": Money.of("5.20", "MGA")}, "amount"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_stripe_does_not_take_is_not_sent(stripe: Any, changes: Any, field: str) -> None:
    """The script has no answer: whatever left would fail otherwise."""
    gateway = stripe()
    with pytest.raises(InvalidRequest) as caught:
        gateway.create_charge(order(**changes))
    assert caught.value.field == field
    assert gateway.script.requests == []


def test_every_request_says_its_version_and_its_key(stripe: Any) -> None:
    """The API key is a Secret to the end; a POST is keyed, a GET is not."""
    gateway = stripe(intent(), paid())
    gateway.create_charge(order())
    gateway.get_status(PI)
    create, ask = gateway.script.requests
    for request in (create, ask):
        headers = dict(request.headers)
        assert headers["stripe-version"] == "2026-10-28.endive"
        assert headers["authorization"] == Secret(f"Bearer {KEY}")
        assert KEY not in repr(request) + repr(request.headers)
    assert (create.idempotent, create.safe, ask.safe) == (True, False, True)
    assert dict(create.headers)["content-type"] == "application/x-www-form-urlencoded"
    assert {"idempotency-key", "content-type"} & set(dict(ask.headers)) == set()
    assert ask.query == (("expand[0]", "latest_charge"),)


# Idempotency keys.


def keys_of(gateway: Any) -> list[str]:
    return [
        value for request in gateway.script.requests for name, value in request.headers if name == "idempotency-key"
    ]


def test_another_amount_for_one_order_has_the_same_key(stripe: Any) -> None:
    """So Stripe compares it with the first, refuses it, and nobody is charged twice; so has another method."""
    gateway = stripe(intent(), intent(amount=100), session())
    gateway.create_charge(order())
    gateway.create_charge(order(amount=Money.of("1", "HKD"), description="Other", return_url="https://x.example"))
    gateway.create_charge(order(method="card"))
    assert len(set(keys_of(gateway))) == 1


def test_keys_are_of_the_operation_and_the_ids(stripe: Any) -> None:
    """Two refunds are two, one refund sent twice is one, also where it is named by its session the second time."""
    made = session(status="complete", payment_status="paid", payment_intent="pi_1")
    other = refund(metadata={"refund_id": "R2"})
    gateway = stripe(refund(), refund(), other, made, refund(), paid(), intent(status="canceled"))
    ten = Money.of("10", "HKD")
    for refund_id in ("R1", "R1", "R2"):
        gateway.refund_charge(RefundRequest(PI, refund_id, ten))
    gateway.refund_charge(RefundRequest(CS, "R1", ten))
    gateway.capture_charge(CaptureRequest(PI, "R1", HKD))
    gateway.cancel_charge(PI)
    first, again, second, by_session, capture, cancel = keys_of(gateway)
    assert first == again == by_session
    assert len({first, second, capture, cancel}) == 4


@pytest.mark.parametrize("order_id", ["P1", "P" * 200, "é" * 200, "注文" * 100, "a:b", "a b", "%3A", "#", "😀" * 50])
def test_every_order_id_makes_a_key_that_a_header_holds(order_id: str) -> None:
    """Printable ASCII of at most 255 characters."""
    key = forms.key("create", order_id)
    assert re.fullmatch(r"[\x21-\x7e]{1,255}", key)
    assert key == forms.key("create", order_id)


def test_no_two_lists_of_ids_share_a_key() -> None:
    """Colons, percent signs, and what looks like a shortened key."""
    long = "é" * 200
    lists = [
        ("a", "b:c"),
        ("a:b", "c"),
        ("a:b:c",),
        ("a%3Ab", "c"),
        (long,),
        (long + "x",),
        (forms.key("create", long),),
    ]
    assert len({forms.key("create", *ids) for ids in lists} | {forms.key("capture", "a:b", "c")}) == len(lists) + 1


def test_the_same_arguments_give_the_same_bytes() -> None:
    """Nothing random, no clock, and nothing kept between runs."""
    config = StripeConfig(api_key=Secret(KEY), webhook_key=Secret("whsec_1"))
    for request in (order(), order(method="wechat_pay"), order(method="card", capture=False)):
        made = [next(StripeProvider(config).create_charge(request)) for _ in range(3)]
        assert made[0] == made[1] == made[2]


# Amounts.


@pytest.mark.parametrize(
    ("amount", "currency", "stripe_s"),
    [
        ("88.00", "HKD", "8800"),
        ("10.45", "HUF", "1045"),
        ("800.00", "TWD", "80000"),
        ("500", "JPY", "500"),
        ("500", "KRW", "500"),
        ("5", "ISK", "500"),
        ("5", "UGX", "500"),
        ("5", "MGA", "5"),
        ("5.12", "KWD", "5120"),
        ("1.230", "BHD", "1230"),
    ],
)
def test_stripe_s_units_go_there_and_back(stripe: Any, amount: str, currency: str, stripe_s: str) -> None:
    """docs.stripe.com/currencies: zero, two and three decimals, and the special cases."""
    due = Money.of(amount, currency)
    gateway = stripe(intent(amount=int(stripe_s), currency=currency.lower()))
    assert gateway.create_charge(order(amount=due)).amount == due
    assert form(gateway.script.requests[0])["amount"] == stripe_s


def test_half_a_krona_from_stripe_is_no_amount(stripe: Any) -> None:
    """ISK comes in hundredths and is always whole; anything else is not understood."""
    with pytest.raises(ProtocolViolation):
        stripe(paid(amount=550, currency="isk")).get_status(PI)


def test_every_declared_currency_has_units() -> None:
    """A hundred of each; ISO's list has no more names for it than Stripe's."""
    assert all(units(Money.of("100", each)) in {100, 10_000, 100_000} for each in CURRENCIES)
    assert {"HKD", "CNY", "USD", "JPY", "EUR", "ISK", "BHD"} < CURRENCIES
    assert len(CURRENCIES) > 135


@pytest.mark.parametrize(
    "answer", [{"amount": 8801}, {"currency": "usd"}, {"amount": 8800.5}, {"amount": "8800"}, {"amount": -1}]
)
def test_an_answer_about_other_money_is_no_charge(stripe: Any, answer: Any) -> None:
    """Of a create nobody knows then what was made."""
    with pytest.raises(OutcomeUnknown) as caught:
        stripe(intent(**answer)).create_charge(order())
    assert caught.value.repeatable
    changes = {"amount_total": answer["amount"]} if "amount" in answer else answer
    with pytest.raises(OutcomeUnknown):
        stripe(session(**changes)).create_charge(order(method="card"))


# Statuses.

INTENT_STATUSES = {
    "requires_payment_method": PaymentStatus.PENDING,
    "requires_confirmation": PaymentStatus.PENDING,
    "requires_action": PaymentStatus.REQUIRES_ACTION,
    "processing": PaymentStatus.PENDING,
    "requires_capture": PaymentStatus.AUTHORIZED,
    "succeeded": PaymentStatus.SUCCEEDED,
    "canceled": PaymentStatus.CANCELLED,
    "partially_funded": PaymentStatus.UNKNOWN,
    "SUCCEEDED": PaymentStatus.UNKNOWN,
    "succeeded ": PaymentStatus.UNKNOWN,
    "paid": PaymentStatus.UNKNOWN,
    "": PaymentStatus.UNKNOWN,
}


@pytest.mark.parametrize(("word", "status"), INTENT_STATUSES.items())
def test_the_statuses_of_a_payment_intent(stripe: Any, word: str, status: PaymentStatus) -> None:
    """Whatever else the answer carries: all money received, a charge, a next action."""
    found = stripe(paid(status=word, next_action=intent()["next_action"])).get_status(PI)
    assert (found.status, found.raw_status) == (status, word)
    assert found.is_paid is (word == "succeeded")
    assert (found.next_action is not None) is (word == "requires_action")


SESSION_STATUSES = {
    ("open", "unpaid"): ("open", PaymentStatus.REQUIRES_ACTION),
    ("expired", "unpaid"): ("expired", PaymentStatus.CANCELLED),
    ("complete", "unpaid"): ("complete:unpaid", PaymentStatus.PENDING),
    ("complete", "paid"): ("complete:paid", PaymentStatus.SUCCEEDED),
    ("complete", "no_payment_required"): ("complete:no_payment_required", PaymentStatus.UNKNOWN),
    ("complete", "refunded"): ("complete:refunded", PaymentStatus.UNKNOWN),
    ("frozen", "paid"): ("frozen", PaymentStatus.UNKNOWN),
    ("COMPLETE", "paid"): ("COMPLETE", PaymentStatus.UNKNOWN),
    (None, "paid"): ("", PaymentStatus.UNKNOWN),
}


@pytest.mark.parametrize(("words", "read"), SESSION_STATUSES.items(), ids=str)
def test_the_statuses_of_a_session(stripe: Any, words: Any, read: Any) -> None:
    """A complete one is told apart by its payment_status; an unheard-of word is never paid, whatever its PaymentIntent."""
    gateway = stripe(
        *[session(status=words[0], payment_status=words[1], payment_intent=each) for each in (None, "pi_1")]
    )
    for _ in range(2):
        found = gateway.get_status(CS)
        assert (found.raw_status, found.status) == read
        assert found.is_paid is (read[0] == "complete:paid")
    if read[1] is PaymentStatus.UNKNOWN:
        words = {"status": words[0], "payment_status": words[1]}
        found = stripe(session(**words, payment_intent=paid())).get_status(CS)
        assert (found.status, found.is_paid) == (PaymentStatus.UNKNOWN, False)


@pytest.mark.parametrize(
    ("own", "made", "read"),
    [
        (("complete", "paid"), paid(), ("complete:paid", PaymentStatus.SUCCEEDED)),
        (("complete", "unpaid"), paid(status="requires_capture"), ("requires_capture", PaymentStatus.AUTHORIZED)),
        (("complete", "unpaid"), paid(), ("succeeded", PaymentStatus.SUCCEEDED)),
        (("complete", "unpaid"), intent(status="canceled"), ("canceled", PaymentStatus.CANCELLED)),
        (("complete", "unpaid"), intent(status="processing"), ("complete:unpaid", PaymentStatus.PENDING)),
        (("complete", "unpaid"), intent(status="requires_payment_method"), ("complete:unpaid", PaymentStatus.PENDING)),
        (("complete", "paid"), intent(status="unheard_of"), ("unheard_of", PaymentStatus.UNKNOWN)),
        (("complete", "paid"), intent(status="canceled"), ("canceled", PaymentStatus.CANCELLED)),
        (("open", "unpaid"), intent(status="requires_payment_method"), ("open", PaymentStatus.REQUIRES_ACTION)),
        (("open", "unpaid"), intent(status="canceled"), ("open", PaymentStatus.REQUIRES_ACTION)),
        (("open", "unpaid"), paid(), ("succeeded", PaymentStatus.SUCCEEDED)),
        (("expired", "unpaid"), paid(), ("succeeded", PaymentStatus.SUCCEEDED)),
        (("expired", "unpaid"), intent(status="processing"), ("processing", PaymentStatus.PENDING)),
        (("expired", "unpaid"), intent(status="canceled"), ("expired", PaymentStatus.CANCELLED)),
    ],
)
def test_the_payment_intent_of_a_session_decides_where_money_moves(stripe: Any, own: Any, made: Any, read: Any) -> None:
    """One that expired while the shopper paid is paid; one that is paid while the money is held is not."""
    found = stripe(session(status=own[0], payment_status=own[1], payment_intent=made)).get_status(CS)
    assert (found.raw_status, found.status) == read
    assert (found.reference, found.amount) == (CS, HKD)
    assert found.is_paid is (read[1] is PaymentStatus.SUCCEEDED)


def test_a_session_that_calls_paid_what_its_payment_intent_does_not_is_not_paid(stripe: Any) -> None:
    """Nor where the PaymentIntent is about less money, or other money, than the session."""
    for made in (intent(), paid(amount_received=8799), paid(amount=100, amount_received=100), paid(currency="krw")):
        found = stripe(session(status="complete", payment_status="paid", payment_intent=made)).get_status(CS)
        assert not found.is_paid


def test_a_session_is_never_found_by_what_a_shopper_can_write(stripe: Any) -> None:
    """`client_reference_id` is a parameter of a Payment Link's address: another order's id there pays nothing."""
    found = stripe(
        session(metadata={}, client_reference_id="P1", status="complete", payment_status="paid", payment_intent=paid())
    ).get_status(Reference(provider_id="cs_1"))
    assert found.reference == Reference(provider_id="cs_1")
    with pytest.raises(Mismatch):
        found.require("P1", HKD)


def test_another_order_s_charge_is_not_this_one(stripe: Any) -> None:
    """The same amount, a real payment, another order: by the metadata, and by the id."""
    with pytest.raises(Mismatch):
        stripe(paid(metadata={"order_id": "P2"})).confirm("P1", HKD, provider_id="pi_1")
    with pytest.raises(Mismatch):
        stripe(paid(id="pi_2")).confirm("P1", HKD, provider_id="pi_1")
    with pytest.raises(Mismatch):
        stripe(paid(amount=100, amount_received=100)).confirm("P1", HKD, provider_id="pi_1")
    assert stripe(paid()).confirm("P1", HKD, provider_id="pi_1").is_paid


@pytest.mark.parametrize("found", ["x" * 201, "a\nb", "P\u200b1", ""])
def test_an_order_id_of_somebody_else_s_making_is_none(stripe: Any, found: str) -> None:
    """Metadata of another integration in the account: what could be no order id of ours is not read."""
    assert stripe(paid(metadata={"order_id": found})).get_status(Reference(provider_id="pi_1")).reference == Reference(
        provider_id="pi_1"
    )


# Money.


@pytest.mark.parametrize(("received", "is_paid"), [(8800, True), (8801, True), (8799, False), (100, False), (0, False)])
def test_only_the_whole_amount_is_paid(stripe: Any, received: int, is_paid: bool) -> None:
    """After a partial capture Stripe says `succeeded`, with less received than asked for."""
    latest = charge(amount_captured=received, amount_refunded=8800 - received)
    found = stripe(paid(amount_received=received, latest_charge=latest)).confirm("P1", HKD, provider_id="pi_1")
    assert (found.status, found.is_paid) == (PaymentStatus.SUCCEEDED, is_paid)
    assert found.captured == Money(received, "HKD")


@pytest.mark.parametrize(
    ("latest", "refunded", "paid_at"),
    [
        (None, None, None),
        ("ch_1", None, None),
        (charge(), Money(0, "HKD"), datetime(2026, 11, 1, 12, 1, tzinfo=UTC)),
        (charge(amount_refunded=1000), Money(1000, "HKD"), datetime(2026, 11, 1, 12, 1, tzinfo=UTC)),
        (charge(amount_refunded=8800), HKD, datetime(2026, 11, 1, 12, 1, tzinfo=UTC)),
        # What was released counts as refunded at Stripe: the number says neither.
        (charge(amount_captured=2000, amount_refunded=6800), None, datetime(2026, 11, 1, 12, 1, tzinfo=UTC)),
        ({"id": "ch_1"}, None, None),
    ],
)
def test_the_latest_charge_says_what_was_refunded(stripe: Any, latest: Any, refunded: Any, paid_at: Any) -> None:
    """Null, an id, or the object; a fully refunded PaymentIntent stays `succeeded`."""
    found = stripe(paid(latest_charge=latest)).get_status(PI)
    assert (found.status, found.refunded, found.paid_at) == (PaymentStatus.SUCCEEDED, refunded, paid_at)
    same = stripe(session(status="complete", payment_status="paid", payment_intent=paid(latest_charge=latest)))
    found = same.get_status(CS)
    assert (found.refunded, found.paid_at, found.captured) == (refunded, paid_at, HKD)


def test_a_failed_attempt_is_not_the_end(stripe: Any) -> None:
    """The shopper may try again; the reason is told, ours and Stripe's."""
    failure = {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "message": "No."}
    body = intent(status="requires_payment_method", next_action=None, last_payment_error=failure)
    for found in (stripe(body).get_status(PI), stripe(session(payment_intent=body)).get_status(CS)):
        assert not found.status.is_final
        assert (found.reason, found.raw_reason) == (RejectionCode.INSUFFICIENT_FUNDS, "insufficient_funds")
    body = intent(
        status="requires_payment_method", next_action=None, last_payment_error={"code": "a b", "decline_code": None}
    )
    found = stripe(body).get_status(PI)
    assert (found.reason, found.raw_reason) == (RejectionCode.DECLINED, "")


# Next actions.

NOT_UNDERSTOOD: list[Any] = [
    None,
    {"type": "use_stripe_sdk", "use_stripe_sdk": {"a": 1}},
    {"type": "konbini_display_details", "konbini_display_details": {}},
    {"type": "alipay_handle_redirect"},
    {"type": "alipay_handle_redirect", "alipay_handle_redirect": {"url": None}},
]


@pytest.mark.parametrize("action", NOT_UNDERSTOOD)
def test_a_next_action_that_cannot_be_shown_ends_no_query(stripe: Any, action: Any) -> None:
    """But of a create nothing could be done with the charge: unknown, and repeatable."""
    found = stripe(intent(next_action=action)).get_status(PI)
    assert (found.status, found.next_action) == (PaymentStatus.REQUIRES_ACTION, None)
    with pytest.raises(OutcomeUnknown) as caught:
        stripe(intent(next_action=action)).create_charge(order())
    assert caught.value.repeatable
    with pytest.raises(OutcomeUnknown):
        stripe(session(url=None)).create_charge(order(method="card"))


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//x.example", "https://a@b.example/", "https://", "x"]
)
def test_a_shopper_is_sent_to_web_addresses_only(stripe: Any, url: str) -> None:
    """Of a PaymentIntent and of a session."""
    action = {"type": "redirect_to_url", "redirect_to_url": {"url": url}}
    for gateway, reference in ((stripe(intent(next_action=action)), PI), (stripe(session(url=url)), CS)):
        with pytest.raises(ProtocolViolation):
            gateway.get_status(reference)
    assert stripe(
        intent(next_action={"type": "redirect_to_url", "redirect_to_url": {"url": "https://x.example/a"}})
    ).get_status(PI).next_action == Redirect("https://x.example/a")


def test_a_code_with_control_characters_is_not_drawn(stripe: Any) -> None:
    """Nor one too long for a QR code."""
    for data in ("weixin://\n", "w" * 2049, ""):
        action = {"type": "wechat_pay_display_qr_code", "wechat_pay_display_qr_code": {"data": data}}
        with pytest.raises(ProtocolViolation):
            stripe(intent(next_action=action)).get_status(PI)


# Ids.


@pytest.mark.parametrize(
    "found",
    [
        "pi_1/capture",
        "pi_1?x=1",
        "../pi_1",
        "pi_",
        "pi_1%2Fcancel",
        "pi_é",
        "ch_1",
        "re_1",
        "P1",
        "PI_1",
        "pi_1 ",
        "cs_1/expire",
    ],
)
def test_an_id_is_never_a_path(stripe: Any, found: str) -> None:
    """Of whatever call: nothing leaves."""
    gateway = stripe()
    reference = Reference("P1", found)
    for call in (
        lambda: gateway.get_status(reference),
        lambda: gateway.cancel_charge(reference),
        lambda: gateway.capture_charge(CaptureRequest(reference, "C1", HKD)),
        lambda: gateway.refund_charge(RefundRequest(reference, "R1", HKD)),
        lambda: gateway.get_refund(RefundReference("R1", "", reference)),
    ):
        with pytest.raises(InvalidRequest):
            call()
    with pytest.raises(InvalidRequest):
        gateway.get_refund(RefundReference("", "re_1/cancel"))
    assert gateway.script.requests == []


def test_an_order_id_alone_cannot_be_asked_about(stripe: Any) -> None:
    """Stripe has no such query that answers at once."""
    gateway = stripe()
    for call in (lambda: gateway.get_status(Reference("P1")), lambda: gateway.cancel_charge(Reference("P1"))):
        with pytest.raises(InvalidRequest):
            call()


def test_an_id_that_is_none_of_stripe_s_is_refused(stripe: Any) -> None:
    """Whoever stored it could not ask with it."""
    for changes in ({"id": ""}, {"id": "pi_1/x"}, {"id": "order"}, {"object": "setup_intent"}, {"id": None}):
        with pytest.raises(ProtocolViolation):
            stripe(paid(**changes)).get_status(Reference(provider_id="pi_1"))


# Capture and cancel.


def test_a_session_s_money_is_captured_through_its_payment_intent(stripe: Any) -> None:
    """The charge stays the session's, as the shop knows it; a part of the amount is not all of it."""
    held = session(status="complete", payment_intent=intent(status="requires_capture"))
    gateway = stripe(held, paid(amount_received=2000, latest_charge=charge(amount_captured=2000, amount_refunded=6800)))
    taken = gateway.capture_charge(CaptureRequest(CS, "C1", Money.of("20", "HKD")))
    assert sent(gateway) == [("GET", "/v1/checkout/sessions/cs_1"), ("POST", "/v1/payment_intents/pi_1/capture")]
    assert form(gateway.script.requests[1]) == {"amount_to_capture": "2000", "expand[0]": "latest_charge"}
    assert (taken.reference, taken.captured, taken.is_paid) == (CS, Money.of("20", "HKD"), False)


def test_a_session_without_a_payment_intent_has_nothing_to_take_or_give_back(stripe: Any) -> None:
    """Nothing but the query is sent, and the refusal is definitive."""
    for call in (
        lambda gateway: gateway.capture_charge(CaptureRequest(CS, "C1", HKD)),
        lambda gateway: gateway.refund_charge(RefundRequest(CS, "R1", HKD)),
    ):
        gateway = stripe(session())
        with pytest.raises(Rejected) as caught:
            call(gateway)
        assert (caught.value.code, caught.value.definitive) == (RejectionCode.INVALID, True)
        assert len(gateway.script.requests) == 1


def test_money_of_another_currency_is_neither_taken_nor_given_back(stripe: Any) -> None:
    """88 dollars are not 88 Hong Kong dollars; nor is another session's answer ours."""
    for body in (session(payment_intent="pi_1", currency="usd"), session(payment_intent="pi_1", id="cs_2")):
        for call in (
            lambda gateway: gateway.capture_charge(CaptureRequest(CS, "C1", HKD)),
            lambda gateway: gateway.refund_charge(RefundRequest(CS, "R1", HKD)),
        ):
            with pytest.raises(Mismatch):
                call(stripe(body))


def test_an_answer_about_another_payment_intent_is_not_ours(stripe: Any) -> None:
    """After a capture through a session, too."""
    held = session(status="complete", payment_intent=intent(status="requires_capture"))
    with pytest.raises(OutcomeUnknown):
        stripe(held, paid(id="pi_2")).capture_charge(CaptureRequest(CS, "C1", HKD))
    with pytest.raises(OutcomeUnknown):
        stripe(paid(id="pi_2")).capture_charge(CaptureRequest(PI, "C1", HKD))


def test_a_payment_intent_is_canceled(stripe: Any) -> None:
    """One request, and its answer."""
    gateway = stripe(intent(status="canceled", next_action=None))
    assert gateway.cancel_charge(PI).status is PaymentStatus.CANCELLED
    assert sent(gateway) == [("POST", "/v1/payment_intents/pi_1/cancel")]


TOO_LATE = (400, error("invalid_request_error", "payment_intent_unexpected_state", payment_intent=paid()))


def test_a_cancel_that_comes_too_late_says_how_the_charge_stands(stripe: Any) -> None:
    """Asked for anew: the refusal's own PaymentIntent may be a day old, kept with the key."""
    gateway = stripe(TOO_LATE, paid())
    found = gateway.cancel_charge(PI)
    assert (found.status, found.is_paid) == (PaymentStatus.SUCCEEDED, True)
    assert sent(gateway) == [("POST", "/v1/payment_intents/pi_1/cancel"), ("GET", "/v1/payment_intents/pi_1")]
    assert stripe(TOO_LATE, intent(status="canceled")).cancel_charge(PI).status is PaymentStatus.CANCELLED


def test_a_cancel_that_is_refused_while_the_charge_is_open_is_a_refusal(stripe: Any) -> None:
    """It must not read as if the shopper could not pay any more."""
    with pytest.raises(Rejected) as caught:
        stripe(TOO_LATE, intent(status="processing")).cancel_charge(PI)
    assert caught.value.raw_code == "payment_intent_unexpected_state"
    with pytest.raises(OutcomeUnknown):
        stripe(TOO_LATE, (500, {})).cancel_charge(PI)


def test_an_open_session_is_expired(stripe: Any) -> None:
    """Its PaymentIntent cannot be canceled by itself."""
    gateway = stripe(session(payment_intent=intent()), session(status="expired", url=None))
    found = gateway.cancel_charge(CS)
    assert (found.reference, found.status) == (CS, PaymentStatus.CANCELLED)
    assert sent(gateway) == [("GET", "/v1/checkout/sessions/cs_1"), ("POST", "/v1/checkout/sessions/cs_1/expire")]


def test_a_session_that_is_paid_meanwhile_is_paid(stripe: Any) -> None:
    """Between the query and the expiry."""
    done = session(status="complete", payment_status="paid", payment_intent=paid(), url=None)
    gateway = stripe(session(), (400, error("invalid_request_error")), done)
    assert gateway.cancel_charge(CS).is_paid


def test_held_money_of_a_session_is_let_go(stripe: Any) -> None:
    """The one case in which its PaymentIntent is canceled; the reference stays the session's."""
    held = session(status="complete", payment_intent=intent(status="requires_capture"))
    gateway = stripe(held, intent(status="canceled"))
    found = gateway.cancel_charge(CS)
    assert (found.reference, found.status) == (CS, PaymentStatus.CANCELLED)
    assert sent(gateway)[1] == ("POST", "/v1/payment_intents/pi_1/cancel")


@pytest.mark.parametrize(
    "body",
    [
        session(status="expired"),
        session(status="complete", payment_status="paid", payment_intent=paid()),
        session(status="complete", payment_intent=intent(status="processing")),
    ],
)
def test_a_session_that_is_over_is_left_as_it_is(stripe: Any, body: Any) -> None:
    """Only asked about."""
    gateway = stripe(body)
    assert gateway.cancel_charge(CS).reference == CS
    assert len(gateway.script.requests) == 1


# Refunds.


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("", {}),
        ("duplicate", {"reason": "duplicate"}),
        ("requested_by_customer", {"reason": "requested_by_customer"}),
        ("Broken cup", {"metadata[reason]": "Broken cup"}),
    ],
)
def test_a_refund_carries_our_ids(stripe: Any, reason: str, fields: Any) -> None:
    """And a reason as Stripe takes it, where it is one of Stripe's."""
    gateway = stripe(refund())
    given = gateway.refund_charge(RefundRequest(PI, "R1", Money.of("10", "HKD"), reason))
    assert sent(gateway) == [("POST", "/v1/refunds")]
    assert (
        form(gateway.script.requests[0])
        == {
            "payment_intent": "pi_1",
            "amount": "1000",
            "metadata[refund_id]": "R1",
            "metadata[order_id]": "P1",
        }
        | fields
    )
    assert (given.refund_id, given.provider_id, given.reference) == ("R1", "re_1", PI)
    assert (given.amount, given.status) == (Money.of("10", "HKD"), RefundStatus.SUCCEEDED)
    assert (given.request_id, given.created_at) == ("req_1", datetime(2026, 11, 1, 12, 1, 40, tzinfo=UTC))


def test_a_refund_of_a_session_stays_the_session_s(stripe: Any) -> None:
    """And says so in its metadata, for the events about it."""
    done = session(status="complete", payment_status="paid", payment_intent=paid())
    gateway = stripe(done, refund(status="pending"))
    given = gateway.refund_charge(RefundRequest(CS, "R1", Money.of("10", "HKD")))
    assert form(gateway.script.requests[1])["metadata[checkout]"] == "session"
    assert (given.reference, given.status) == (CS, RefundStatus.PENDING)


def test_a_reason_or_an_amount_that_stripe_cannot_take_is_refused_before_anything_is_sent(stripe: Any) -> None:
    """Also where a session would have to be asked first."""
    gateway = stripe()
    for reference in (PI, CS):
        for request in (
            RefundRequest(reference, "R1", HKD, "x" * 501),
            RefundRequest(reference, "R1", Money.of("1.005", "BHD")),
        ):
            with pytest.raises(InvalidRequest):
                gateway.refund_charge(request)
        with pytest.raises(InvalidRequest):
            gateway.capture_charge(CaptureRequest(reference, "C1", Money.of("1.005", "BHD")))
    assert gateway.script.requests == []


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending", RefundStatus.PENDING),
        ("requires_action", RefundStatus.PENDING),
        ("succeeded", RefundStatus.SUCCEEDED),
        ("failed", RefundStatus.FAILED),
        ("canceled", RefundStatus.CANCELLED),
        ("reversed", RefundStatus.UNKNOWN),
        ("SUCCEEDED", RefundStatus.UNKNOWN),
        (None, RefundStatus.UNKNOWN),
    ],
)
def test_the_statuses_of_a_refund(stripe: Any, word: Any, status: RefundStatus) -> None:
    """An unheard-of one is unknown."""
    found = stripe(refund(status=word)).get_refund(RefundReference("", "re_1"))
    assert (found.status, found.raw_status) == (status, word or "")
    assert set(refunds.STATUSES) == {"pending", "requires_action", "succeeded", "failed", "canceled"}


@pytest.mark.parametrize(
    "changes", [{"amount": 999}, {"currency": "usd"}, {"metadata": {"refund_id": "R2"}}, {"payment_intent": "pi_2"}]
)
def test_another_refund_than_asked_for_is_unknown(stripe: Any, changes: Any) -> None:
    """Money has moved, and not as we said."""
    with pytest.raises(OutcomeUnknown):
        stripe(refund(**changes)).refund_charge(RefundRequest(PI, "R1", Money.of("10", "HKD")))


def test_a_refund_is_found_by_stripe_s_id(stripe: Any) -> None:
    """One request; of another charge it is a Mismatch, also where the charge is a session."""
    gateway = stripe(refund())
    assert gateway.get_refund(RefundReference("R1", "re_1", PI)).reference == PI
    assert sent(gateway) == [("GET", "/v1/refunds/re_1")]
    paid_session = session(payment_intent="pi_1", status="complete", payment_status="paid")
    assert stripe(paid_session, refund()).get_refund(RefundReference("", "re_1", CS)).reference == CS
    for bodies, reference in (
        ([refund(payment_intent="pi_2")], PI),
        ([paid_session, refund(payment_intent="pi_2")], CS),
    ):
        with pytest.raises(Mismatch):
            stripe(*bodies).get_refund(RefundReference("", "re_1", reference))
    with pytest.raises(Mismatch):
        stripe(refund()).get_refund(RefundReference("R2", "re_1"))


def test_a_refund_is_found_by_our_id_on_any_page(stripe: Any) -> None:
    """Each page begins behind the last refund of the one before."""
    others = [refund(id=f"re_x{n}", metadata={"refund_id": f"X{n}"}) for n in range(3)]
    nobody_s = refund(id="re_dashboard", metadata=None)
    gateway = stripe(page(*others[:2], more=True), page(others[2], nobody_s, more=True), page(refund()))
    found = gateway.get_refund(RefundReference("R1", "", PI))
    assert (found.provider_id, found.reference) == ("re_1", PI)
    queries = [dict(request.query) for request in gateway.script.requests]
    assert [each.get("starting_after") for each in queries] == [None, "re_x1", "re_dashboard"]
    assert all((each["payment_intent"], each["limit"]) == ("pi_1", "100") for each in queries)


def test_a_refund_that_is_on_no_page_is_not_found(stripe: Any) -> None:
    """Nor one of a session that nobody has paid; a refund_id alone cannot be asked about."""
    for bodies in ([page()], [page(refund(metadata={})), page()], [page(more=True)]):
        with pytest.raises(NotFound):
            stripe(*bodies).get_refund(RefundReference("R1", "", PI))
    with pytest.raises(Rejected):
        stripe(session()).get_refund(RefundReference("R1", "", CS))
    for reference in (None, Reference("P1")):
        with pytest.raises(InvalidRequest):
            stripe().get_refund(RefundReference("R1", "", reference))


def test_a_list_that_does_not_end_is_left(stripe: Any) -> None:
    """The same page again."""
    other = page(refund(metadata={}), more=True)
    with pytest.raises(ProtocolViolation):
        stripe(other, other).get_refund(RefundReference("R1", "", PI))


# Secrets, and the page.


def test_no_secret_is_in_a_repr(stripe: Any) -> None:
    """Of the configuration, the provider and all that it keeps."""
    config = StripeConfig(api_key=Secret(KEY), webhook_key=Secret("whsec_1"), previous_webhook_key=Secret("whsec_0"))
    provider = StripeProvider(config)
    shown = repr(config) + repr(provider) + repr(vars(provider)) + str(config)
    assert not any(secret in shown for secret in (KEY, "whsec_1", "whsec_0"))


def test_the_mode_of_a_key_is_its_prefix() -> None:
    """A key of another kind says nothing."""
    for key, mode in (
        ("sk_live_1", True),
        ("rk_live_1", True),
        ("sk_test_1", False),
        ("rk_test_1", False),
        ("x", None),
    ):
        assert StripeConfig(api_key=Secret(key), webhook_key=Secret("w")).livemode is mode


def section(title: str) -> str:
    found = re.split(r"^##", README.read_text("utf-8").partition(f"## {title}\n")[2], flags=re.MULTILINE)[0]
    assert found
    return found


def test_the_page_says_what_the_plugin_does() -> None:
    """The fields of the configuration, the methods, and both tables of statuses."""
    said = re.findall(r"^\| `(\w+)` \| (?:yes|no) \|", section("Configure"), re.MULTILINE)
    assert said == list(StripeConfig.__struct_fields__)
    said = re.findall(r"^\| `(\w+)` \|", section("Three ways to pay"), re.MULTILINE)
    assert said == [method.id for method in StripeProvider.info.methods]
    said = set(re.findall(r"^\| `([\w:]+)`[^|]*\| `(\w+)` \|", section("Statuses"), re.MULTILINE))
    assert said == {(raw, status.value) for raw, status in StripeProvider.info.raw_statuses.items()}
    said = set(re.findall(r"^\| `([\w:]+)` \| `(\w+)` \|", section("Refunds"), re.MULTILINE))
    assert said == {(raw, status.value) for raw, status in refunds.STATUSES.items()}
