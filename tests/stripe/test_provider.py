"""Check what Stripe's provider sends and reads, through the real core, without a socket."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

import pytest

from payments_core import (
    CaptureRequest,
    Channel,
    Charge,
    ConfigurationError,
    InvalidRequest,
    Mismatch,
    Money,
    NotFound,
    OutcomeUnknown,
    PaymentError,
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
from payments_stripe import StripeConfig, StripeProvider, wire
from payments_stripe.amounts import CURRENCIES, money, units

from .shapes import (
    BACK,
    CS,
    DROP,
    HANDLE,
    HKD,
    PART,
    PI,
    answer,
    attempt,
    complete,
    intent,
    listed,
    order,
    paid,
    session,
)  # fmt: skip
from .shapes import refund as given_back

KEY = "sk_test_key-of-the-tests"
CONFIG = {"api_key": KEY, "webhook_key": "whsec_of-the-tests", "previous_webhook_key": "whsec_older"}
LIVE, TEST = ("sk_live_1", "rk_live_1"), ("sk_test_1", "rk_test_1")
Open = Callable[..., Any]


def form(request: Any) -> dict[str, str]:
    pairs = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def is_paid(charge: Charge, amount: Money = HKD) -> bool:
    """Compare a charge with the order by its own id, and say whether it is paid."""
    return charge.require("P1", amount, provider_id=charge.reference.provider_id).is_paid


def key(request: Any) -> str:
    return str(dict(request.headers)["idempotency-key"])


def looked_up() -> list[Any]:
    """Return the answers before a refund: the charge, and an empty list of refunds."""
    return [paid(), listed()]


def moved(gateway: Any) -> list[Any]:
    """Return the requests that were more than queries."""
    return [request for request in gateway.script.requests if not request.safe]


@pytest.fixture
def stripe(opening: Open, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a gateway that receives these answers, one after the other."""
    monkeypatch.setattr("payments_core.retry.random.uniform", lambda low, high: 0.0)

    def open_(*answers: Any, **config: str) -> Any:
        left = list(answers)

        def next_answer(request: Any) -> Response:
            found = left.pop(0)
            if isinstance(found, Exception):
                raise found
            return found if isinstance(found, Response) else answer(found)

        return opening("stripe", CONFIG | config, transport=next_answer)

    return open_


# Requests.


@pytest.mark.parametrize("channel", [Channel.WEB, Channel.MOBILE_WEB])
@pytest.mark.parametrize("method", ["", "alipay", "wechat_pay", "card"])
def test_what_stripe_has_no_field_for_is_not_sent(stripe: Open, method: str, channel: Channel) -> None:
    """No notify_url; no address of a wallet's shopper, who would be sent a receipt. The default is Alipay."""
    shopper = Shopper(id="S-71", email="a@shop.example", ip="203.0.113.9", user_agent="Agent-5", locale="zh-HK")
    gateway = stripe(session() if method == "card" else intent())
    notify_url = "https://shop.example/notify"
    gateway.create_charge(order(method=method, channel=channel, shopper=shopper, notify_url=notify_url))
    (request,) = gateway.script.requests
    sent = request.body.decode()
    unsent = ["notify", "S-71", "203.0.113.9", "Agent-5", "zh-HK", channel.value]
    assert [each for each in unsent if each in sent] == []
    assert ("a%40shop.example" in sent) is (method == "card")
    assert form(request).get("payment_method_data[type]") == (None if method == "card" else method or "alipay")
    assert (request.safe, request.idempotent) == (False, True)


BAD_IDS = [
    "ch_1", "re_1", "PI_1", "pi-1", "pi_", "", "pi_1/capture", "pi_1%2Fcapture", "cs_../pi_1", "pi_1?a=b", "pi_１",
]  # fmt: skip
UNCOUNTED_AMOUNTS = [Money.of("88.123", "KWD"), Money.of("1.001", "TND"), Money.of("8800.50", "MGA")]
BY_REFERENCE: list[Callable[[Any, Reference, Money], Any]] = [
    lambda gateway, reference, _: gateway.get_status(reference),
    lambda gateway, reference, _: gateway.cancel_charge(reference),
    lambda gateway, reference, _: gateway.get_refund(RefundReference("R1", reference=reference)),
    lambda gateway, reference, amount: gateway.capture_charge(CaptureRequest(reference, "C1", amount)),
    lambda gateway, reference, amount: gateway.refund_charge(RefundRequest(reference, "R1", amount)),
]
UNSENT: list[tuple[Callable[[Any], Any], str]] = [
    *((lambda gateway, c=c: gateway.create_charge(order(**c)), field) for c, field in (
        *(({"method": each, "return_url": ""}, "return_url") for each in ("alipay", "wechat_pay", "card")),
        *(({"method": each, "capture": False}, "capture") for each in ("", "alipay", "wechat_pay")),
        *(({"method": each, "amount": bad}, "amount") for each in ("alipay", "card") for bad in UNCOUNTED_AMOUNTS),
        ({"order_id": "x" * 201}, "order_id"),
        ({"description": "x" * 1001}, "description"),
        ({"method": "paypal"}, "method"),
        ({"channel": Channel.IN_STORE}, "channel"),
        ({"expires_in": 3600.0}, "expires_in"),
        ({"payment_token": Secret("tok_1")}, "payment_token"),
        ({"amount": Money.of("1", "CUP")}, "currency"),
    )),
    *((lambda gateway, c=call, i=bad: c(gateway, Reference("P1", i), HKD), "reference")
      for call in BY_REFERENCE for bad in BAD_IDS),
    *((lambda gateway, c=call, a=bad: c(gateway, CS, a), "amount")
      for call in BY_REFERENCE[3:] for bad in UNCOUNTED_AMOUNTS),
    *((lambda gateway, i=bad: gateway.get_refund(RefundReference(provider_id=i)), "")
      for bad in ("re_1/cancel", "..", "a\\b", "re_1?x", "re_1%2F")),
    *((lambda gateway, of=of: gateway.get_refund(RefundReference("R1", reference=of)), "reference")
      for of in (None, Reference("P1"))),
    (lambda gateway: gateway.refund_charge(RefundRequest(PI, "R1", PART, "x" * 501)), "reason"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "field"), UNSENT)
def test_invalid_argument_is_refused_before_anything_is_sent(
    stripe: Open, call: Callable[[Any], Any], field: str
) -> None:
    gateway = stripe()
    with pytest.raises(InvalidRequest) as caught:
        call(gateway)
    assert field in ("", caught.value.field)
    assert gateway.script.requests == []


# Idempotency keys.


def test_the_same_call_is_the_same_bytes(stripe: Open) -> None:
    """Nothing random, no clock."""
    gateway = stripe(intent(), intent(), intent())
    for _ in range(3):
        gateway.create_charge(order())
    assert all(one == other for one, other in pairwise(gateway.script.requests))


def test_another_amount_meets_the_same_key(stripe: Open) -> None:
    """So that Stripe refuses it, and makes no second charge; the same holds for every other field."""
    gateway = stripe(intent(), intent(amount=9900), session())
    gateway.create_charge(order())
    gateway.create_charge(order(amount=Money.of("99.00", "HKD"), description="Cake", return_url=f"{BACK}/2"))
    gateway.create_charge(order(method="card"))
    assert len({key(request) for request in gateway.script.requests}) == 1
    assert len({request.body for request in gateway.script.requests}) == 3


def test_every_operation_on_every_id_has_a_key_of_its_own(opening: Open) -> None:
    """Ids that run into each other when they are put together do not; a capture's amount does not count either."""

    def about(request: Any) -> Response:
        """A question is answered well; what moves money is told of something else, and what was sent is what counts."""
        if request.path == "/v1/refunds" and request.safe:
            return listed()
        return answer(paid(id=request.path.split("/")[-1], metadata={})) if request.safe else answer(given_back())

    other, odd = Reference(provider_id="pi_2"), Reference(provider_id="pi_11")
    gateway = opening("stripe", CONFIG, transport=about)
    requests = [
        lambda: gateway.create_charge(order(order_id="P1")),
        lambda: gateway.create_charge(order(order_id="P2")),
        lambda: gateway.create_charge(order(order_id="P1:pi_1")),
        lambda: gateway.create_charge(order(order_id="P1%3Api_1")),
        lambda: gateway.create_charge(order(order_id="p1")),
        lambda: gateway.capture_charge(CaptureRequest(PI, "P1", HKD)),
        lambda: gateway.capture_charge(CaptureRequest(PI, "P2", HKD)),
        lambda: gateway.capture_charge(CaptureRequest(other, "P1", HKD)),
        lambda: gateway.capture_charge(CaptureRequest(odd, "P", HKD)),
        lambda: gateway.refund_charge(RefundRequest(PI, "P1", HKD)),
        lambda: gateway.refund_charge(RefundRequest(PI, "P2", HKD)),
        lambda: gateway.refund_charge(RefundRequest(other, "P1", HKD)),
        lambda: gateway.refund_charge(RefundRequest(PI, "P1:pi_1", HKD)),
    ]
    for call in requests:
        with pytest.raises(PaymentError):
            call()
    sent = moved(gateway)
    assert len(sent) == len(requests)
    assert len({key(request) for request in sent}) == len(requests)


@pytest.mark.parametrize("order_id", ["注文番号-７１", "é" * 200, "注" * 200, "a b:c#d%e\"f'", "x" * 200])
def test_a_key_can_stand_in_a_header_whatever_the_order_is_called(stripe: Open, order_id: str) -> None:
    """Plain ASCII of at most 255 characters; the order id itself arrives whole in the form."""
    gateway = stripe(
        intent(metadata={"payments_core_order_id": order_id}),
        intent(metadata={"payments_core_order_id": order_id + "x"}),
    )
    gateway.create_charge(order(order_id=order_id))
    if len(order_id) < 200:
        gateway.create_charge(order(order_id=order_id + "x"))
    for request in gateway.script.requests:
        assert re.fullmatch(r"[\x21-\x7e]{1,255}", key(request))
    assert form(gateway.script.requests[0])["metadata[payments_core_order_id]"] == order_id
    assert len({key(request) for request in gateway.script.requests}) == len(gateway.script.requests)


def test_long_ids_that_differ_at_the_end_have_different_keys(stripe: Open) -> None:
    """A long key is shortened to a digest, and not cut."""
    names = ["注" * 199 + last for last in "甲乙"]
    gateway = stripe(*(intent(metadata={"payments_core_order_id": name}) for name in names))
    for name in names:
        gateway.create_charge(order(order_id=name))
    assert len({key(request) for request in gateway.script.requests}) == 2


# Amounts.


@pytest.mark.parametrize(
    ("amount", "sent"),
    [
        (Money.of("88.00", "HKD"), "8800"),
        (Money.of("0.05", "USD"), "5"),
        (Money.of("8800", "JPY"), "8800"),
        (Money.of("88.120", "KWD"), "88120"),
        (Money.of("1.230", "BHD"), "1230"),
        (Money.of("8800", "ISK"), "880000"),
        (Money.of("8800", "UGX"), "880000"),
        (Money.of("8800.00", "MGA"), "8800"),
    ],
    ids=str,
)
def test_each_currency_is_counted_as_stripe_counts_it(stripe: Open, amount: Money, sent: str) -> None:
    """And read in the same way: docs.stripe.com/currencies."""
    gateway = stripe(
        intent(amount=int(sent), currency=amount.currency.lower()),
        session(amount_total=int(sent), currency=amount.currency.lower()),
    )
    charge = gateway.create_charge(order(amount=amount))
    page = gateway.create_charge(order(amount=amount, method="card"))
    assert [form(request).get("amount") for request in gateway.script.requests] == [sent, None]
    assert form(gateway.script.requests[1])["line_items[0][price_data][unit_amount]"] == sent
    assert charge.amount == page.amount == amount


def test_every_currency_comes_back_as_it_went() -> None:
    """In letters of either case; ten major units are whole everywhere."""
    for currency in CURRENCIES:
        amount = Money.of("10", currency)
        assert money(units(amount), currency.lower()) == money(units(amount), currency) == amount
    assert StripeProvider.info.currencies == CURRENCIES


@pytest.mark.parametrize(("count", "currency"), [(880050, "isk"), (880001, "ugx"), (8800, "xts"), (-1, "hkd")])
def test_invalid_amount_is_not_read(stripe: Open, count: int, currency: str) -> None:
    """A fraction of what has none, a currency that nobody knows, less than nothing."""
    gateway = stripe(intent(amount=count, currency=currency))
    with pytest.raises(ProtocolViolation):
        gateway.get_status(PI)


# The answer to a create.


def test_an_answer_is_read_whole(stripe: Open) -> None:
    """Ids, amount, time, the address and the id of the exchange."""
    assert stripe(intent()).create_charge(order()) == Charge(
        "stripe",
        Reference("P1", "pi_1"),
        PaymentStatus.REQUIRES_ACTION,
        "requires_action",
        HKD,
        Redirect("https://pay.example/a?b=c"),
        created_at=datetime(2026, 11, 1, 12, 0, tzinfo=UTC),
        request_id="req_1",
        moves_money=False,
        gateway="stripe",
    )


def test_a_page_is_read_whole(stripe: Open) -> None:
    """With the time at which it expires."""
    assert stripe(session()).create_charge(order(method="card")) == Charge(
        "stripe",
        Reference("P1", "cs_test_1"),
        PaymentStatus.REQUIRES_ACTION,
        "open",
        HKD,
        Redirect("https://checkout.example/c/pay/cs_test_1#f"),
        created_at=datetime(2026, 11, 1, 12, 0, tzinfo=UTC),
        expires_at=datetime(2026, 11, 2, 12, 0, tzinfo=UTC),
        request_id="req_1",
        moves_money=False,
        gateway="stripe",
    )


QR = {"type": "wechat_pay_display_qr_code", "wechat_pay_display_qr_code": {"data": "weixin://wxpay/bizpayurl?pr=x"}}
GO = {"type": "redirect_to_url", "redirect_to_url": {"url": "http://pay.example"}}


@pytest.mark.parametrize(
    ("raw", "action"),
    [
        (HANDLE, Redirect("https://pay.example/a?b=c")),
        (GO, Redirect("http://pay.example")),
        (QR, ShowQRCode("weixin://wxpay/bizpayurl?pr=x")),
    ],
)
def test_every_next_action_of_the_methods_is_read(stripe: Open, raw: Any, action: Any) -> None:
    """In the answer to a create and to a query."""
    gateway = stripe(intent(next_action=raw), intent(next_action=raw))
    assert gateway.create_charge(order()).next_action == action
    assert gateway.get_status(PI).next_action == action


UNKNOWN_ACTIONS = [
    {"type": "dance"},
    {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}},
    {"type": "alipay_handle_redirect", "alipay_handle_redirect": {"url": None}},
    {"type": "alipay_handle_redirect"},
    None,
]


@pytest.mark.parametrize("raw", UNKNOWN_ACTIONS)
def test_unknown_next_action_makes_create_outcome_unknown(stripe: Open, raw: Any) -> None:
    """There is nothing to show the shopper; a query still tells the status."""
    gateway = stripe(intent(next_action=raw), intent(next_action=raw))
    with pytest.raises(OutcomeUnknown) as caught:
        gateway.create_charge(order())
    assert (caught.value.repeatable, caught.value.request_id) == (True, "req_1")
    charge = gateway.get_status(PI)
    assert (charge.status, charge.next_action) == (PaymentStatus.REQUIRES_ACTION, None)


BAD_URLS = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "alipays://pay",
    "//pay.example",
    "https://",
    "https://user@pay.example/",
    "https://pay.example\\@evil.example",
    "https://pay.example/a b",
    "https://pay.example/\nx",
    'https://pay"onmouseover=alert(1)//',
    "https://pay\x00<script>.example/",
    "https://pay\u202e.example/",
    " https://pay.example",
    "",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_shopper_is_sent_to_web_addresses_only(stripe: Open, url: str) -> None:
    """Neither from a PaymentIntent nor from a session; in a query it cannot be understood."""
    raw = {"type": "redirect_to_url", "redirect_to_url": {"url": url}}
    gateway = stripe(intent(next_action=raw), session(url=url), intent(next_action=raw))
    for method in ("alipay", "card"):
        with pytest.raises(OutcomeUnknown) as caught:
            gateway.create_charge(order(method=method))
        assert "alert" not in str(caught.value)
    with pytest.raises(ProtocolViolation):
        gateway.get_status(PI)


@pytest.mark.parametrize(
    "found",
    [
        intent(amount=9900),
        intent(currency="usd"),
        intent(metadata={"payments_core_order_id": "P2"}),
        session(url=None),
        session(amount_total=9900),
        session(currency="usd"),
        session(metadata={"payments_core_order_id": "P2"}),
        intent(id="ch_1"),
        intent(id="pi_1/capture"),
        intent(object="charge"),
        intent(amount="8800"),
        {},
        [],
    ],
)
def test_an_echo_of_something_else_is_an_unknown_outcome(stripe: Open, found: Any) -> None:
    """Another amount, currency or order, or no charge at all; the identical call may be made again."""
    gateway = stripe(found)
    with pytest.raises(OutcomeUnknown) as caught:
        gateway.create_charge(order(method="card"))
    assert caught.value.repeatable
    assert (caught.value.request_id, len(gateway.script.requests)) == ("req_1", 1)


def test_a_lost_create_is_repeated_with_its_key(stripe: Open) -> None:
    """The core does it by itself, and what it sends is the same to the byte."""
    gateway = stripe(OutcomeUnknown(), OutcomeUnknown(), intent())
    assert gateway.create_charge(order()).reference == Reference("P1", "pi_1")
    assert len(gateway.script.requests) == 3
    assert all(one == other for one, other in pairwise(gateway.script.requests))


def test_a_create_that_stays_lost_may_be_made_again(stripe: Open) -> None:
    """Nothing can be asked without an id, so the platform makes the identical call once more."""
    gateway = stripe(OutcomeUnknown(), OutcomeUnknown(), OutcomeUnknown(), intent())
    with pytest.raises(OutcomeUnknown) as caught:
        gateway.create_charge(order())
    assert caught.value.repeatable
    assert gateway.create_charge(order()).reference.provider_id == "pi_1"
    assert len({(key(request), request.body) for request in gateway.script.requests}) == 1


# Statuses.

ROWS = [
    ("requires_payment_method", PaymentStatus.PENDING),
    ("requires_confirmation", PaymentStatus.PENDING),
    ("requires_action", PaymentStatus.REQUIRES_ACTION),
    ("processing", PaymentStatus.PENDING),
    ("requires_capture", PaymentStatus.AUTHORIZED),
    ("succeeded", PaymentStatus.SUCCEEDED),
    ("canceled", PaymentStatus.CANCELLED),
]
UNSEEN = ["partially_funded", "SUCCEEDED", "succeeded ", "paid", "", "complete:paid", "open", "expired"]


@pytest.mark.parametrize(("raw", "status"), [*ROWS, *((word, PaymentStatus.UNKNOWN) for word in UNSEEN)])
def test_the_table_of_a_payment_intent_s_statuses(stripe: Open, raw: str, status: PaymentStatus) -> None:
    """And words that nobody has seen, which are never paid."""
    charge = stripe(paid(status=raw)).get_status(PI)
    assert (charge.status, charge.raw_status) == (status, raw)
    assert is_paid(charge) is (raw == "succeeded")


@pytest.mark.parametrize(
    ("changes", "raw", "status"),
    [
        ({"status": "open"}, "open", PaymentStatus.REQUIRES_ACTION),
        ({"status": "open", "url": None}, "open", PaymentStatus.PENDING),
        ({"status": "expired"}, "expired", PaymentStatus.CANCELLED),
        ({"status": "complete", "payment_status": "paid"}, "complete:paid", PaymentStatus.SUCCEEDED),
        ({"status": "complete", "payment_status": "unpaid"}, "complete:unpaid", PaymentStatus.PENDING),
        (
            {"status": "complete", "payment_status": "no_payment_required"},
            "complete:no_payment_required",
            PaymentStatus.UNKNOWN,
        ),
        ({"status": "complete", "payment_status": "gone"}, "complete:gone", PaymentStatus.UNKNOWN),
        ({"status": "frozen", "payment_status": "paid"}, "frozen", PaymentStatus.UNKNOWN),
        ({"status": "succeeded", "payment_status": "paid"}, "succeeded", PaymentStatus.UNKNOWN),
        ({"status": "canceled", "payment_status": "unpaid"}, "canceled", PaymentStatus.UNKNOWN),
        ({"status": None, "payment_status": "paid"}, "", PaymentStatus.UNKNOWN),
    ],
)
def test_the_table_of_a_session_s_statuses(stripe: Open, changes: Any, raw: str, status: PaymentStatus) -> None:
    """Its own words, where nothing is known of a PaymentIntent."""
    charge = stripe(session(**changes)).get_status(CS)
    assert (charge.status, charge.raw_status) == (status, raw)
    assert isinstance(charge.next_action, Redirect) is (status is PaymentStatus.REQUIRES_ACTION)


def test_session_without_a_payment_is_no_charge(stripe: Open) -> None:
    """A session for a setup or a subscription is about other money, or none."""
    for mode in ("setup", "subscription"):
        with pytest.raises(ProtocolViolation):
            stripe(session(mode=mode, status="complete", payment_status="paid")).get_status(CS)


def test_every_row_of_the_table_is_tried_above() -> None:
    tried = {raw for raw, _ in ROWS} | {"open", "expired", "complete:paid", "complete:unpaid"}
    assert set(StripeProvider.info.raw_statuses) == tried


HELD = intent(status="requires_capture", next_action=None, latest_charge=attempt(amount_captured=0))
WAITING = intent(status="requires_payment_method", next_action=None)


@pytest.mark.parametrize(
    ("own", "made", "raw", "status", "whole"),
    [
        (complete("unpaid", HELD), None, "requires_capture", PaymentStatus.AUTHORIZED, False),
        (complete("paid", HELD), None, "requires_capture", PaymentStatus.AUTHORIZED, False),
        (complete("unpaid", paid()), None, "succeeded", PaymentStatus.SUCCEEDED, True),
        (complete("paid", paid()), None, "complete:paid", PaymentStatus.SUCCEEDED, True),
        (complete("paid", intent(status="canceled")), None, "canceled", PaymentStatus.CANCELLED, False),
        (complete("unpaid", intent(status="canceled")), None, "canceled", PaymentStatus.CANCELLED, False),
        (complete("paid", intent(status="processing")), None, "processing", PaymentStatus.PENDING, False),
        (complete("paid", WAITING), None, "complete:paid", PaymentStatus.SUCCEEDED, False),
        (complete("unpaid", WAITING), None, "complete:unpaid", PaymentStatus.PENDING, False),
        (complete("paid", intent(status="melted")), None, "melted", PaymentStatus.UNKNOWN, False),
        (complete("gone", paid()), None, "complete:gone", PaymentStatus.UNKNOWN, False),
        (session(), paid(), "succeeded", PaymentStatus.SUCCEEDED, True),
        (session(), WAITING, "open", PaymentStatus.REQUIRES_ACTION, False),
        (session(), intent(status="canceled"), "open", PaymentStatus.REQUIRES_ACTION, False),
        (session(status="expired"), paid(), "succeeded", PaymentStatus.SUCCEEDED, True),
        (session(status="expired"), HELD, "requires_capture", PaymentStatus.AUTHORIZED, False),
        (session(status="expired"), intent(status="canceled"), "expired", PaymentStatus.CANCELLED, False),
        (session(status="expired"), WAITING, "expired", PaymentStatus.CANCELLED, False),
    ],
)
def test_what_a_payment_intent_says_of_the_money_counts_for_more(
    stripe: Open, own: Any, made: Any, raw: str, status: PaymentStatus, whole: bool
) -> None:
    """If the two contradict each other, the charge stays the session's."""
    charge = stripe(own if made is None else own | {"payment_intent": made}).get_status(CS)
    assert (charge.status, charge.raw_status, is_paid(charge)) == (status, raw, whole)
    assert charge.reference == Reference("P1", "cs_test_1")
    assert charge.amount == HKD
    assert (charge.captured is None) or status is PaymentStatus.SUCCEEDED


@pytest.mark.parametrize("made", [None, "pi_1", paid()])
def test_a_session_s_payment_intent_may_be_null_an_id_or_an_object(stripe: Open, made: Any) -> None:
    """Only the object says what was taken and when."""
    charge = stripe(complete("paid", made)).get_status(CS)
    whole = isinstance(made, dict)
    assert charge.status is PaymentStatus.SUCCEEDED
    assert charge.captured == (HKD if whole else None)
    assert charge.paid_at == (datetime(2026, 11, 1, 12, 1, tzinfo=UTC) if whole else None)


def test_a_failed_attempt_is_not_the_end(stripe: Open) -> None:
    """The shopper may try again: pending, with the reason of the last attempt."""
    failed = WAITING | {"last_payment_error": {"code": "card_declined", "decline_code": "insufficient_funds"}}
    gateway = stripe(failed, session(payment_intent=failed))
    charge, page = gateway.get_status(PI), gateway.get_status(CS)
    assert (charge.status, page.status) == (PaymentStatus.PENDING, PaymentStatus.REQUIRES_ACTION)
    for each in (charge, page):
        assert (each.reason, each.raw_reason) == (RejectionCode.INSUFFICIENT_FUNDS, "insufficient_funds")
        assert not each.status.is_final


def test_what_was_paid_after_all_has_no_reason(stripe: Open) -> None:
    charge = stripe(paid(last_payment_error={"code": "card_declined"})).get_status(PI)
    assert (charge.reason, charge.raw_reason) == (None, "")


@pytest.mark.parametrize("raw", ["no\nsuch", "x" * 129, "né", ""])
def test_a_reason_that_is_no_code_is_left_out(stripe: Open, raw: str) -> None:
    """It would go into logs."""
    charge = stripe(WAITING | {"last_payment_error": {"code": raw}}).get_status(PI)
    assert (charge.reason, charge.raw_reason) == (RejectionCode.DECLINED, "")


def test_another_charge_than_the_one_asked_about_is_a_mismatch(stripe: Open) -> None:
    gateway = stripe(paid(id="pi_2"), session(id="cs_test_2"), paid(), paid(metadata={"payments_core_order_id": "P2"}))
    for reference in (PI, CS, CS, Reference("P1", "pi_1")):
        with pytest.raises(Mismatch):
            gateway.get_status(reference)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"payments_core_order_id": ""},
        {"payments_core_order_id": "x" * 201},
        {"payments_core_order_id": "a\nb"},
    ],
)
def test_charge_of_another_program_has_no_order_id(stripe: Open, metadata: Any) -> None:
    """Others of the account write there what they like; `client_reference_id` does not count."""
    gateway = stripe(paid(metadata=metadata), session(metadata=metadata, client_reference_id="P1"))
    assert gateway.get_status(PI).reference == PI
    assert gateway.get_status(CS).reference == CS


THEIRS = {"order_id": "P1", "capture": "automatic", "payments_order_id": "P1", "Payments_Core_Order_Id": "P1"}


@pytest.mark.parametrize(
    "found", [paid(metadata=THEIRS), paid(id="pi_9", metadata=THEIRS)], ids=["same id", "other id"]
)
def test_another_program_s_order_id_is_not_ours(stripe: Open, found: Any) -> None:
    """The same number and amount: it pays for our order only where its id was stored with it."""
    gateway = stripe(found, found, complete("paid", found) | {"metadata": THEIRS})
    charge = gateway.get_status(Reference(provider_id=found["id"]))
    assert charge.reference == Reference("", found["id"])
    with pytest.raises(Mismatch) as caught:
        charge.require("P1", HKD)
    assert caught.value.field == "order_id"
    if found["id"] == "pi_9":
        with pytest.raises(Mismatch):
            gateway.confirm("P1", HKD, provider_id="pi_1")
    else:
        assert gateway.confirm("P1", HKD, provider_id="pi_1").is_paid, "a charge of an earlier version"
    page = gateway.get_status(CS)
    assert page.reference == CS
    with pytest.raises(Mismatch):
        page.require("P1", HKD)


def test_every_mark_in_the_metadata_is_in_our_own_namespace() -> None:
    """docs.stripe.com/metadata: keys of at most 40 characters."""
    marks = (wire.ORDER_ID, wire.REFUND_ID, wire.REASON, wire.OF_SESSION_MARK[0], wire.HELD_MARK[0])
    assert all(mark.startswith("payments_core_") and len(mark) <= 40 for mark in marks)
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize("created", [-1, 253_402_300_800, 10**18])
def test_a_time_beyond_the_calendar_is_left_out(stripe: Open, created: int) -> None:
    assert stripe(paid(created=created)).get_status(PI).created_at is None


# The money that has moved.


@pytest.mark.parametrize("latest", [None, "ch_1", attempt()])
def test_latest_charge_may_be_null_an_id_or_an_object(stripe: Open, latest: Any) -> None:
    """The amount taken is the PaymentIntent's; only the object has the time and the refunds."""
    charge = stripe(paid(latest_charge=latest)).get_status(PI)
    whole = isinstance(latest, dict)
    assert (is_paid(charge), charge.captured) == (True, HKD)
    assert charge.refunded == (Money.of("0", "HKD") if whole else None)
    assert charge.paid_at == (datetime(2026, 11, 1, 12, 1, tzinfo=UTC) if whole else None)


@pytest.mark.parametrize(
    ("count", "refunded", "whole"), [(0, "0.00", True), (5000, "50.00", True), (8800, "88.00", False)]
)
def test_a_charge_stays_paid_until_all_of_it_is_refunded(stripe: Open, count: int, refunded: str, whole: bool) -> None:
    """A PaymentIntent stays `succeeded` after every refund."""
    found = paid(latest_charge=attempt(amount_refunded=count))
    gateway = stripe(found, complete("paid", found))
    for reference in (PI, CS):
        charge = gateway.get_status(reference)
        assert charge.status is PaymentStatus.SUCCEEDED
        assert (is_paid(charge), charge.refunded) == (whole, Money.of(refunded, "HKD"))


@pytest.mark.parametrize(
    ("disputed", "amount"), [(True, HKD), (False, Money.of("0", "HKD")), (None, None)], ids=["yes", "no", "unsaid"]
)
def test_a_disputed_charge_is_not_paid(stripe: Open, disputed: bool | None, amount: Money | None) -> None:
    """Take all that was received for disputed: a Charge does not say how much of it is."""
    found = paid(latest_charge=attempt(**{} if disputed is None else {"disputed": disputed}))
    gateway = stripe(found, complete("paid", found))
    for reference in (PI, CS):
        charge = gateway.get_status(reference)
        assert (charge.status, charge.disputed) == (PaymentStatus.SUCCEEDED, amount)
        assert is_paid(charge) is (not disputed)


def test_no_more_is_disputed_than_was_received(stripe: Open) -> None:
    found = PARTLY | {"latest_charge": attempt(amount_captured=5000, disputed=True)}
    assert stripe(found).get_status(PI).disputed == PART


def test_a_charge_that_is_not_expanded_says_nothing_of_disputes(stripe: Open) -> None:
    gateway = stripe(paid(latest_charge="ch_1"), complete("paid", "pi_1"))
    assert [gateway.get_status(reference).disputed for reference in (PI, CS)] == [None, None]


UNCOUNTED = [{"amount_received": None}, {}]


@pytest.mark.parametrize("received", UNCOUNTED, ids=["null", "absent"])
def test_an_intent_that_does_not_say_how_much_was_received_is_not_paid(stripe: Open, received: Any) -> None:
    """It may be a part. The same of a session that was paid with it."""
    found = {name: value for name, value in paid().items() if name != "amount_received"} | received
    gateway = stripe(found, complete("paid", found), complete("unpaid", found))
    for reference, raw in ((PI, "succeeded"), (CS, "complete:paid"), (CS, "succeeded")):
        charge = gateway.get_status(reference)
        assert (charge.status, charge.raw_status, charge.captured) == (PaymentStatus.UNKNOWN, raw, None)
        assert not is_paid(charge)


@pytest.mark.parametrize("received", UNCOUNTED, ids=["null", "absent"])
def test_an_intent_that_waits_needs_no_amount_received(stripe: Open, received: Any) -> None:
    found = {name: value for name, value in intent().items() if name != "amount_received"} | received
    assert stripe(found).get_status(PI).status is PaymentStatus.REQUIRES_ACTION


@pytest.mark.parametrize("made", [None, "pi_1"])
def test_session_with_held_money_is_unpaid_without_its_payment_intent(stripe: Open, made: Any) -> None:
    """Held money may never be captured, and only the PaymentIntent says that it was."""
    held = {"metadata": {"payments_core_order_id": "P1", "payments_core_capture": "manual"}}
    gateway = stripe(complete("paid", made) | held, complete("paid", paid()) | held)
    charge = gateway.get_status(CS)
    assert (charge.status, charge.raw_status) == (PaymentStatus.UNKNOWN, "complete:paid")
    assert not is_paid(charge)
    assert is_paid(gateway.get_status(CS))


def test_refund_below_the_smallest_unit_keeps_the_charge_paid(stripe: Open) -> None:
    """Krónur come in hundreds of Stripe's units; a number between them is not read, and everything else is."""
    found = paid(currency="isk", amount=880000, amount_received=880000, latest_charge=attempt(amount_refunded=150))
    charge = stripe(found).get_status(PI)
    assert (is_paid(charge, Money.of("8800", "ISK")), charge.refunded) == (True, None)


PARTLY = paid(
    amount_received=5000,
    latest_charge=attempt(amount_captured=5000, amount_refunded=3800),
    metadata={"payments_core_order_id": "P1"},
)


def test_a_part_that_was_taken_is_not_the_whole(stripe: Open) -> None:
    """And what was released is not refunded, though Stripe counts it so."""
    gateway = stripe(PARTLY, complete("paid", PARTLY))
    for reference in (PI, CS):
        charge = gateway.get_status(reference)
        assert (charge.status, is_paid(charge)) == (PaymentStatus.SUCCEEDED, False)
        assert (charge.amount, charge.captured, charge.refunded) == (HKD, PART, None)


@pytest.mark.parametrize("missing", ["amount_captured", "amount_refunded"])
def test_what_an_attempt_does_not_say_is_not_made_up(stripe: Open, missing: str) -> None:
    latest = {name: value for name, value in attempt(amount_refunded=5000).items() if name != missing}
    charge = stripe(paid(latest_charge=latest)).get_status(PI)
    assert charge.refunded == (None if missing == "amount_refunded" else PART)


# Capture.


def test_held_money_is_captured(stripe: Open) -> None:
    charge = stripe(HELD, PARTLY).capture_charge(CaptureRequest(PI, "C1", PART))
    assert (charge.captured, is_paid(charge)) == (PART, False)


def test_a_session_s_money_is_captured_by_its_payment_intent(stripe: Open) -> None:
    """Which the session names, as an id or whole; the charge keeps the id that was asked with."""
    for made in ("pi_1", HELD):
        gateway = stripe(complete("unpaid", made), paid())
        charge = gateway.capture_charge(CaptureRequest(CS, "C1", HKD))
        assert gateway.script.paths() == ["/v1/checkout/sessions/cs_test_1", "/v1/payment_intents/pi_1/capture"]
        assert (charge.reference, is_paid(charge)) == (Reference("P1", "cs_test_1"), True)


def move(gateway: Any, operation: str, reference: Reference = CS) -> Any:
    """Take a charge's money, or give it back."""
    if operation == "capture":
        return gateway.capture_charge(CaptureRequest(reference, "C1", HKD))
    return gateway.refund_charge(RefundRequest(reference, "R1", HKD))


@pytest.mark.parametrize("operation", ["capture", "refund"])
def test_nothing_is_moved_of_a_page_on_which_nothing_was_paid(stripe: Open, operation: str) -> None:
    """Definitive: no request that moves money was sent."""
    gateway = stripe(session())
    with pytest.raises(Rejected) as caught:
        move(gateway, operation)
    assert (caught.value.code, caught.value.definitive) == (RejectionCode.INVALID, True)
    assert len(gateway.script.requests) == 1


@pytest.mark.parametrize("operation", ["capture", "refund"])
@pytest.mark.parametrize(
    ("reference", "found"),
    [
        (CS, complete("paid", "pi_1") | {"id": "cs_test_2"}),
        (CS, complete("paid", "pi_1") | {"currency": "usd"}),
        (CS, complete("paid", "pi_1") | {"metadata": {"payments_core_order_id": "P2"}}),
        (PI, paid(id="pi_2")),
        (PI, paid(currency="jpy")),
        (PI, paid(metadata={"payments_core_order_id": "P2"})),
    ],
)
def test_another_charge_order_or_currency_stops_before_money_moves(
    stripe: Open, operation: str, reference: Reference, found: Any
) -> None:
    """Stripe takes no currency there: 10.00 dollars asked for would be 10.00 of whatever the charge is in."""
    gateway = stripe(found)
    with pytest.raises(Mismatch):
        move(gateway, operation, Reference("P1", reference.provider_id))
    assert len(gateway.script.requests) == 1


def test_a_capture_answered_about_another_charge_is_an_unknown_outcome(stripe: Open) -> None:
    for reference, found in ((PI, HELD), (CS, complete("unpaid", "pi_1"))):
        with pytest.raises(OutcomeUnknown) as caught:
            stripe(found, paid(id="pi_2")).capture_charge(CaptureRequest(reference, "C1", HKD))
        assert caught.value.repeatable


# Cancel.


def test_a_wallet_s_charge_is_cancelled(stripe: Open) -> None:
    assert stripe(intent(status="canceled", next_action=None)).cancel_charge(PI).status is PaymentStatus.CANCELLED


def test_an_open_page_is_expired(stripe: Open) -> None:
    gateway = stripe(session(), session(status="expired", url=None))
    charge = gateway.cancel_charge(CS)
    assert gateway.script.paths() == ["/v1/checkout/sessions/cs_test_1", "/v1/checkout/sessions/cs_test_1/expire"]
    assert gateway.script.requests[1].body == b""
    assert (charge.status, charge.reference) == (PaymentStatus.CANCELLED, Reference("P1", "cs_test_1"))


def test_held_money_of_a_page_is_let_go(stripe: Open) -> None:
    """By its PaymentIntent; the charge keeps the session's id."""
    gateway = stripe(complete("unpaid", HELD), intent(status="canceled", next_action=None))
    charge = gateway.cancel_charge(CS)
    assert gateway.script.paths()[1:] == ["/v1/payment_intents/pi_1/cancel"]
    assert (charge.status, charge.reference) == (PaymentStatus.CANCELLED, Reference("P1", "cs_test_1"))


@pytest.mark.parametrize("found", [complete("paid", paid()), session(status="expired", url=None)])
def test_cancel_of_an_ended_session_returns_it_unchanged(stripe: Open, found: Any) -> None:
    """Nothing is sent that could move money."""
    gateway = stripe(found)
    charge = gateway.cancel_charge(CS)
    assert charge.status.is_final
    assert [request.method for request in gateway.script.requests] == ["GET"]


def test_a_cancellation_has_no_key_that_would_keep_its_refusal(stripe: Open) -> None:
    """It has one effect all the same: what has ended cannot end once more."""
    gateway = stripe(intent(status="canceled"), session(), session(status="expired", url=None))
    gateway.cancel_charge(PI)
    gateway.cancel_charge(CS)
    for request in moved(gateway):
        assert "idempotency-key" not in dict(request.headers)
        assert request.idempotent


TOO_LATE = answer({"error": {"type": "invalid_request_error", "code": "payment_intent_unexpected_state"}}, 400)


def test_cancel_returns_a_charge_paid_meanwhile(stripe: Open) -> None:
    """Stripe refuses the cancellation; asking says why."""
    assert is_paid(stripe(TOO_LATE, paid()).cancel_charge(PI))
    assert is_paid(stripe(session(), TOO_LATE, complete("paid", paid())).cancel_charge(CS))


def test_refusal_to_cancel_an_open_charge_stays_a_refusal(stripe: Open) -> None:
    gateway = stripe(TOO_LATE, intent(status="processing"))
    with pytest.raises(Rejected) as caught:
        gateway.cancel_charge(PI)
    assert caught.value.raw_code == "payment_intent_unexpected_state"
    assert [request.method for request in gateway.script.requests] == ["POST", "GET"]


# Refunds.


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("pending", RefundStatus.PENDING),
        ("requires_action", RefundStatus.PENDING),
        ("succeeded", RefundStatus.SUCCEEDED),
        ("failed", RefundStatus.FAILED),
        ("canceled", RefundStatus.CANCELLED),
        ("reversed", RefundStatus.UNKNOWN),
        (None, RefundStatus.UNKNOWN),
    ],
)
def test_the_table_of_a_refund_s_statuses(stripe: Open, raw: str | None, status: RefundStatus) -> None:
    """And words that nobody has seen."""
    refund = stripe(*looked_up(), given_back(status=raw)).refund_charge(RefundRequest(PI, "R1", PART))
    assert (refund.status, refund.raw_status) == (status, raw or "")
    assert (refund.refund_id, refund.provider_id, refund.amount) == ("R1", "re_1", PART)
    assert refund.reference == Reference("P1", "pi_1")
    assert (refund.created_at, refund.request_id) == (datetime(2026, 11, 1, 12, 1, 40, tzinfo=UTC), "req_1")


def test_the_same_refund_is_the_same_bytes_however_its_charge_is_named(stripe: Open) -> None:
    """A key that came with another body would be refused."""
    sent = set()
    for reference in (PI, Reference("P1", "pi_1")):
        gateway = stripe(*looked_up(), given_back())
        gateway.refund_charge(RefundRequest(reference, "R1", PART))
        sent |= {(request.body, key(request)) for request in moved(gateway)}
    assert len(sent) == 1


def test_a_refund_that_was_made_is_not_made_again(stripe: Open) -> None:
    """Not even when Stripe has long forgotten its key: a second 50.00 would go back."""
    other = given_back(id="re_0", metadata={"payments_core_refund_id": "R0"})
    for reference, found in ((PI, paid()), (CS, complete("paid", "pi_1"))):
        gateway = stripe(found, listed(other, has_more=True), listed(given_back(status="failed")))
        refund = gateway.refund_charge(RefundRequest(reference, "R1", PART))
        assert (refund.provider_id, refund.status) == ("re_1", RefundStatus.FAILED)
        assert refund.reference == Reference("P1", reference.provider_id)
        assert moved(gateway) == []


FORMER = {"refund_id": "R1", "order_id": "P1"}


def test_a_refund_that_an_earlier_version_may_have_made_is_not_made_again(stripe: Open) -> None:
    """Or another program: a person looks which, and no money goes back meanwhile."""
    for pages in (
        [listed(given_back(metadata=FORMER))],
        [listed(given_back(id="re_8", metadata=FORMER), has_more=True), listed(given_back(id="re_9", metadata={}))],
    ):
        gateway = stripe(paid(), *pages)
        with pytest.raises(Rejected, match=r"re_[18] has metadata\.refund_id R1") as caught:
            gateway.refund_charge(RefundRequest(PI, "R1", PART))
        assert (caught.value.code, caught.value.definitive) == (RejectionCode.DUPLICATE, False)
        assert moved(gateway) == []


def test_a_refund_of_our_own_is_found_behind_a_namesake(stripe: Open) -> None:
    """Whatever comes first in the list."""
    theirs = given_back(id="re_9", metadata=FORMER)
    for pages in ([listed(theirs, given_back())], [listed(theirs, has_more=True), listed(given_back())]):
        gateway = stripe(paid(), *pages)
        assert gateway.refund_charge(RefundRequest(PI, "R1", PART)).provider_id == "re_1"
        assert moved(gateway) == []


@pytest.mark.parametrize(
    "metadata", [{"refund_id": "R2"}, {"refund_id": "R1", "payments_core_refund_id": "R2"}, {"refundId": "R1"}]
)
def test_a_refund_that_is_no_namesake_stops_nothing(stripe: Open, metadata: Any) -> None:
    gateway = stripe(paid(), listed(given_back(id="re_9", metadata=metadata)), given_back())
    assert gateway.refund_charge(RefundRequest(PI, "R1", PART)).provider_id == "re_1"
    assert len(moved(gateway)) == 1


def test_a_refund_id_that_another_program_wrote_is_not_ours(stripe: Open) -> None:
    gateway = stripe(given_back(metadata=FORMER), listed(given_back(metadata=FORMER)))
    found = gateway.get_refund(RefundReference(provider_id="re_1"))
    assert (found.refund_id, found.reference) == ("", PI)
    with pytest.raises(NotFound):
        gateway.get_refund(RefundReference("R1", reference=PI))


def test_one_refund_id_is_one_amount(stripe: Open) -> None:
    gateway = stripe(paid(), listed(given_back()))
    with pytest.raises(Rejected, match=r"R1 was used for 50\.00 HKD") as caught:
        gateway.refund_charge(RefundRequest(PI, "R1", HKD))
    assert (caught.value.code, caught.value.definitive) == (RejectionCode.DUPLICATE, False)
    assert moved(gateway) == []


@pytest.mark.parametrize(
    "reason", ["duplicate", "fraudulent", "requested_by_customer", "the cup was broken", "Duplicate"]
)
def test_a_reason_that_is_none_of_stripe_s_is_kept_beside_it(stripe: Open, reason: str) -> None:
    gateway = stripe(*looked_up(), given_back())
    gateway.refund_charge(RefundRequest(PI, "R1", PART, reason))
    field = (
        "reason" if reason in ("duplicate", "fraudulent", "requested_by_customer") else "metadata[payments_core_reason]"
    )
    assert {name: value for name, value in form(moved(gateway)[0]).items() if "reason" in name} == {field: reason}


def test_session_is_refunded_by_its_payment_intent(stripe: Open) -> None:
    """The refund keeps the session's id, with which it was asked for."""
    metadata = {"payments_core_refund_id": "R1", "payments_core_order_id": "P1", "payments_core_checkout": "session"}
    gateway = stripe(complete("paid", paid()), listed(), given_back(metadata=metadata))
    refund = gateway.refund_charge(RefundRequest(Reference("P1", "cs_test_1"), "R1", PART))
    assert gateway.script.paths() == ["/v1/checkout/sessions/cs_test_1", "/v1/refunds", "/v1/refunds"]
    sent = form(moved(gateway)[0])
    assert (sent["payment_intent"], sent["metadata[payments_core_checkout]"]) == ("pi_1", "session")
    assert refund.reference == Reference("P1", "cs_test_1")


@pytest.mark.parametrize(
    "found",
    [
        given_back(amount=4900),
        given_back(currency="usd"),
        given_back(metadata={"payments_core_refund_id": "R2"}),
        given_back(payment_intent="pi_2"),
        given_back(id="re_1/cancel"),
        given_back(object="charge"),
    ],
)
def test_a_refund_of_something_else_is_an_unknown_outcome(stripe: Open, found: Any) -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        stripe(*looked_up(), found).refund_charge(RefundRequest(PI, "R1", PART))
    assert caught.value.repeatable


@pytest.mark.parametrize(
    ("metadata", "refund_id", "reference"),
    [
        (DROP, "R1", Reference("P1", "pi_1")),
        # The platform has stored the session's id, which a refund does not say.
        ({"payments_core_order_id": "P1", "payments_core_checkout": "session"}, "", Reference("P1")),
        (None, "", PI),  # made in the Dashboard
    ],
)
def test_a_refund_is_asked_about_by_stripe_s_id(stripe: Open, metadata: Any, refund_id: str, reference: Any) -> None:
    changes = {} if metadata is DROP else {"metadata": metadata}
    gateway = stripe(given_back(id="pyr_1", status="pending", **changes))
    refund = gateway.get_refund(RefundReference(provider_id="pyr_1"))
    assert (refund.refund_id, refund.reference) == (refund_id, reference)


@pytest.mark.parametrize(
    "changes", [{"id": "re_2"}, {"payment_intent": "pi_2"}, {"metadata": {"payments_core_refund_id": "R2"}}]
)
def test_another_refund_than_the_one_asked_about_is_a_mismatch(stripe: Open, changes: Any) -> None:
    gateway = stripe(given_back(**changes))
    with pytest.raises(Mismatch):
        gateway.get_refund(RefundReference("R1", "re_1", PI))


def test_refund_of_another_session_is_a_mismatch(stripe: Open) -> None:
    """Though it names the same order: only its PaymentIntent tells."""
    other = given_back(
        payment_intent="pi_2",
        metadata={"payments_core_refund_id": "R1", "payments_core_order_id": "P1", "payments_core_checkout": "session"},
    )
    with pytest.raises(Mismatch):
        stripe(complete("paid", "pi_1"), other).get_refund(RefundReference("R1", "re_1", CS))
    with pytest.raises(OutcomeUnknown):
        stripe(complete("paid", "pi_1"), listed(), other).refund_charge(RefundRequest(CS, "R1", PART))


def test_a_refund_is_looked_for_page_by_page(stripe: Open) -> None:
    """By our id, behind the last refund of each page, up to the page that has it."""
    others = [given_back(id=f"re_x{number}", metadata={"payments_core_refund_id": f"X{number}"}) for number in range(3)]
    gateway = stripe(listed(others[0], others[1], has_more=True), listed(others[2], given_back(), has_more=True))
    refund = gateway.get_refund(RefundReference("R1", reference=PI))
    first = "/v1/refunds?payment_intent=pi_1&limit=100"
    assert [request.target for request in gateway.script.requests] == [first, f"{first}&starting_after=re_x1"]
    assert all(request.safe for request in gateway.script.requests)
    assert (refund.provider_id, refund.request_id) == ("re_1", "req_1")


@pytest.mark.parametrize("last", [listed(), listed(given_back(metadata=None, id="re_y"))])
def test_a_refund_that_is_on_no_page_is_not_found(stripe: Open, last: Response) -> None:
    gateway = stripe(listed(given_back(metadata={"payments_core_refund_id": "X"}, id="re_x"), has_more=True), last)
    with pytest.raises(NotFound):
        gateway.get_refund(RefundReference("R1", reference=PI))
    assert len(gateway.script.requests) == 2


def test_a_list_that_does_not_end_is_left(stripe: Open) -> None:
    page = listed(given_back(metadata={"payments_core_refund_id": "X"}), has_more=True)
    for pages, asked in (([page] * 9, 2), ([listed(has_more=True)], 1), ([page, listed(has_more=True)], 2)):
        gateway = stripe(*pages)
        with pytest.raises(ProtocolViolation):
            gateway.get_refund(RefundReference("R1", reference=PI))
        assert len(gateway.script.requests) == asked


def test_a_refund_of_a_page_is_looked_for_with_its_payment_intent(stripe: Open) -> None:
    gateway = stripe(complete("paid", "pi_1"), listed(given_back()))
    refund = gateway.get_refund(RefundReference("R1", reference=CS))
    assert gateway.script.requests[1].target.startswith("/v1/refunds?payment_intent=pi_1&")
    assert refund.reference == Reference("P1", "cs_test_1")


# Secrets and configuration.


def test_no_repr_shows_a_secret(stripe: Open) -> None:
    """Neither the gateway's, nor a request's, nor an error's."""
    gateway = stripe(intent(), TimeoutError(), TimeoutError(), TimeoutError())
    gateway.create_charge(order())
    with pytest.raises(OutcomeUnknown) as caught:
        gateway.create_charge(order(order_id="P2"))
    config = StripeConfig(**{name: Secret(value) for name, value in CONFIG.items()})  # type: ignore[arg-type]
    provider = StripeProvider(config)
    shown = [gateway, gateway.__dict__, config, provider, provider.__dict__, caught.value, caught.value.__dict__]
    shown += [*gateway.script.requests, *(request.headers for request in gateway.script.requests)]
    text = "".join(map(repr, shown)) + str(caught.value)
    for secret in ("key-of-the-tests", "whsec_"):
        assert secret not in text


@pytest.mark.parametrize(
    ("api_key", "livemode"),
    [
        ("sk_live_1", True),
        ("rk_live_1", True),
        ("sk_test_1", False),
        ("rk_test_1", False),
        ("sk_live", None),
        ("key", None),
    ],
)
def test_a_key_says_by_its_prefix_which_money_it_moves(stripe: Open, api_key: str, livemode: bool | None) -> None:
    """docs.stripe.com/keys."""
    gateway = stripe(api_key=api_key)
    assert (gateway.moves_money, gateway.info.moves_money) == (livemode, livemode)
    assert StripeProvider.info.moves_money is None, "what one instance narrows is not another's"


# Modes.


FOREIGN = [
    "https://stripe.example",
    "https://api.stripe.com.example",
    "https://api.stripe.com:8443",
    "https://api.stripe.com/proxy",
    "https://files.stripe.com",
    "https://127.0.0.1:8000",
    "http://127.0.0.1:8000",
    "http://localhost:12111",
    "http://[::1]:12111",
]


@pytest.mark.parametrize("base_url", FOREIGN)
@pytest.mark.parametrize("api_key", LIVE)
def test_a_live_key_goes_to_stripe_alone(opening: Open, api_key: str, base_url: str) -> None:
    """Neither a sandbox nor somebody else's server gets to see one."""
    with pytest.raises(ConfigurationError, match=r"live key.*https://api\.stripe\.com") as caught:
        opening("stripe", CONFIG | {"api_key": api_key, "base_url": base_url})
    assert api_key not in str(caught.value)
    with pytest.raises(ConfigurationError, match="live key"):
        StripeConfig(api_key=Secret(api_key), webhook_key=Secret("whsec_1"), base_url=base_url)


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8000", "https://stripe.example"])
@pytest.mark.parametrize("api_key", [*TEST, "key_1"])
def test_any_other_key_may_go_to_a_sandbox(stripe: Open, api_key: str, base_url: str) -> None:
    assert stripe(api_key=api_key, base_url=base_url).moves_money is (
        False if api_key in TEST or "127.0.0.1" in base_url else None
    )


OF_EITHER = {"intent": (PI, paid()), "session": (CS, complete("paid", paid())), "open": (CS, session())}


@pytest.mark.parametrize(("reference", "found"), OF_EITHER.values(), ids=OF_EITHER)
@pytest.mark.parametrize("live", [True, False])
def test_a_charge_says_whether_money_moved(stripe: Open, reference: Reference, found: Any, live: bool) -> None:
    """By the `livemode` of the answer, also where the key names no mode."""
    for api_key in ("sk_live_1" if live else "sk_test_1", "key_1"):
        assert stripe(found | {"livemode": live}, api_key=api_key).get_status(reference).moves_money is live
    assert stripe(found, api_key="key_1").get_status(reference).moves_money is None


@pytest.mark.parametrize(("reference", "found"), OF_EITHER.values(), ids=OF_EITHER)
@pytest.mark.parametrize("live", [True, False])
def test_a_charge_of_the_other_mode_is_a_mismatch(stripe: Open, reference: Reference, found: Any, live: bool) -> None:
    """Test money pays for nothing; and a test key moves no real money."""
    gateway = stripe(found | {"livemode": not live}, api_key="sk_live_1" if live else "sk_test_1")
    with pytest.raises(Mismatch) as caught:
        gateway.confirm("P1", HKD, provider_id=reference.provider_id)
    assert caught.value.field == "moves_money"


def test_a_create_answered_with_test_money_is_an_unknown_outcome(stripe: Open) -> None:
    for method, found in (("alipay", intent(livemode=False)), ("card", session(livemode=False))):
        with pytest.raises(OutcomeUnknown):
            stripe(found, api_key="sk_live_1").create_charge(order(method=method))


QUESTIONED: list[tuple[Reference, Callable[[Any], Any]]] = [
    (PI, lambda gateway: move(gateway, "capture", PI)),
    (CS, lambda gateway: move(gateway, "capture", CS)),
    (PI, lambda gateway: move(gateway, "refund", PI)),
    (CS, lambda gateway: move(gateway, "refund", CS)),
    (CS, lambda gateway: gateway.cancel_charge(CS)),
    (CS, lambda gateway: gateway.get_refund(RefundReference("R1", reference=CS))),
]


@pytest.mark.parametrize(("reference", "call"), QUESTIONED)
@pytest.mark.parametrize("live", [True, False])
def test_nothing_is_moved_of_a_charge_of_the_other_mode(
    stripe: Open, reference: Reference, call: Callable[[Any], Any], live: bool
) -> None:
    """The question that comes first shows it."""
    found = HELD if reference is PI else complete("unpaid", HELD)
    gateway = stripe(found | {"livemode": not live}, api_key="sk_live_1" if live else "sk_test_1")
    with pytest.raises(Mismatch) as caught:
        call(gateway)
    assert caught.value.field == "moves_money"
    assert [request.method for request in gateway.script.requests] == ["GET"]


@pytest.mark.parametrize("live", [True, False, None])
def test_money_of_the_same_mode_moves(stripe: Open, live: bool | None) -> None:
    """Also where the answer does not say."""
    key = "sk_live_1" if live else "sk_test_1"
    for reference, found in ((PI, HELD), (CS, complete("unpaid", HELD))):
        gateway = stripe(found | {"livemode": live}, PARTLY | {"livemode": live}, api_key=key)
        gateway.capture_charge(CaptureRequest(reference, "C1", PART))
        assert len(moved(gateway)) == 1


@pytest.mark.parametrize("livemode", ["false", 0, 1, "live"])
def test_invalid_mode_makes_the_answer_unreadable(stripe: Open, livemode: Any) -> None:
    for reference, found in ((PI, paid()), (CS, session())):
        with pytest.raises(ProtocolViolation):
            stripe(found | {"livemode": livemode}).get_status(reference)


@pytest.mark.parametrize(
    ("field", "key", "said"),
    [
        ("api_key", "pk_live_canary", "a publishable key"),
        ("api_key", "whsec_canary", "the signing secret of a webhook"),
        ("api_key", "sk_org_live_canary", "a key of an organization"),
        ("api_key", "sk_live_canary€", "characters that no Stripe key has"),
        ("api_key", "sk_live_canary\ud800", "characters that no Stripe key has"),
        ("api_key", "sk_live canary", "characters that no Stripe key has"),
        ("webhook_key", "sk_live_canary", "an API key"),
        ("webhook_key", "rk_live_canary", "an API key"),
        ("webhook_key", "whsec_canary\ud800", "characters that no Stripe key has"),
        ("previous_webhook_key", "pk_test_canary", "a publishable key"),
    ],
)
def test_a_key_that_was_taken_for_another_is_refused_when_opening(
    opening: Open, field: str, key: str, said: str
) -> None:
    """And not with the first charge, or with every notification."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        opening("stripe", CONFIG | {field: key})
    assert field in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_key_of_a_kind_to_come_is_taken(opening: Open) -> None:
    """Its mode is not known, and that is all."""
    opening("stripe", {"api_key": "xk_9", "webhook_key": "whsig_9"})


def test_the_address_is_stripe_s_own_unless_another_is_named(stripe: Open) -> None:
    gateway = stripe(intent())
    gateway.create_charge(order())
    assert gateway.script.requests[0].url.startswith("https://api.stripe.com/v1/")
