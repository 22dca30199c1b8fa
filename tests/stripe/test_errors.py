"""Map each of Stripe's errors and count its retries, through the real core, without a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from payments_core import (
    AuthorizationRejected,
    CaptureRequest,
    GatewayUnavailable,
    NotFound,
    OutcomeUnknown,
    PaymentError,
    PaymentStatus,
    ProtocolViolation,
    RateLimited,
    Reference,
    RefundReference,
    RefundRequest,
    Rejected,
    RejectionCode,
    Response,
)
from payments_stripe.refusals import REASONS

from .shapes import CONFIG, CS, HKD, PI, answer, order
from .shapes import intent as waiting

Open = Callable[..., Any]
Headers = tuple[tuple[str, str], ...]


def intent(**changes: Any) -> dict[str, Any]:
    """Return a PaymentIntent with a failed attempt, with changes."""
    error = {"code": "card_declined", "decline_code": "generic_decline"}
    return waiting(**{"status": "requires_payment_method", "last_payment_error": error} | changes)


def error(status: int, kind: str | None = None, headers: Headers = (), **fields: Any) -> Response:
    """Return an error answer with the given fields."""
    problem = ({} if kind is None else {"type": kind}) | fields
    return answer({"error": problem}, status, *headers, request_id="req_9")


def raw(status: int, body: bytes) -> Response:
    return Response(status, (("Request-Id", "req_9"),), body)


def html(status: int) -> Response:
    return raw(status, b"<html>key-of-the-page</html>")


RETRY: Headers = (("Stripe-Should-Retry", "true"),)
STOP: Headers = (("Stripe-Should-Retry", "false"),)


def looked_up(gateway: Any) -> Any:
    """Answer the gateway's queries well, so that only requests that move money are refused."""
    gateway.script.answers_questions = True
    return gateway


def is_answered_well(gateway: Any, request: Any) -> bool:
    return request.method == "GET" and getattr(gateway.script, "answers_questions", False)


def met(gateway: Any) -> list[Any]:
    """Return the requests that received the answers of the test."""
    return [request for request in gateway.script.requests if not is_answered_well(gateway, request)]


NO_REFUNDS = {"object": "list", "data": [], "has_more": False}


MONEY: dict[str, Callable[[Any], Any]] = {
    "create": lambda gateway: gateway.create_charge(order()),
    "create by card": lambda gateway: gateway.create_charge(order(method="card")),
    "capture": lambda gateway: looked_up(gateway).capture_charge(CaptureRequest(PI, "C1", HKD)),
    "cancel": lambda gateway: gateway.cancel_charge(PI),
    "refund": lambda gateway: looked_up(gateway).refund_charge(RefundRequest(PI, "R1", HKD)),
}
QUERIES: dict[str, Callable[[Any], Any]] = {
    "status": lambda gateway: gateway.get_status(PI),
    "status of a page": lambda gateway: gateway.get_status(CS),
    "refund by Stripe's id": lambda gateway: gateway.get_refund(RefundReference(provider_id="re_1")),
    "refund by ours": lambda gateway: gateway.get_refund(RefundReference("R1", reference=PI)),
    "refund of a page": lambda gateway: gateway.get_refund(RefundReference("R1", reference=CS)),
}


@pytest.fixture
def stripe(opening: Open, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a gateway that receives these answers in turn, then the last one forever."""
    monkeypatch.setattr("payments_core.retry.random.uniform", lambda low, high: 0.0)

    def open_(*answers: Response) -> Any:
        left = list(answers)

        def answer(request: Any) -> Response:
            if is_answered_well(gateway, request):
                found = NO_REFUNDS if request.path == "/v1/refunds" else intent()
                return Response(200, (("Request-Id", "req_0"),), json.dumps(found).encode())
            return left.pop(0) if len(left) > 1 else left[0]

        gateway = opening("stripe", CONFIG, transport=answer)
        return gateway

    return open_


def refused(gateway: Any, call: Callable[[Any], Any], kind: type[Any]) -> Any:
    """Return the error of a call: of exactly this kind, with the id of the exchange."""
    with pytest.raises(PaymentError) as caught:
        call(gateway)
    assert type(caught.value) is kind
    assert (caught.value.provider, caught.value.request_id) == ("stripe", "req_9")
    return caught.value


# Every kind of answer, to every call. What ends a call: the error, its fields, and how often the request was sent.

Ends = tuple[type[PaymentError], dict[str, Any], int]
BAD = "invalid_request_error"
KEY_IN_USE = {"code": "idempotency_key_in_use"}
LATER = ("Retry-After", "2")
DECLINED = {"code": "card_declined", "decline_code": "generic_decline"}


def no(code: RejectionCode, raw_code: str, *, definitive: bool) -> Ends:
    return Rejected, {"code": code, "raw_code": raw_code, "definitive": definitive}, 1


def unknown(times: int = 1, **fields: Any) -> Ends:
    return OutcomeUnknown, {"repeatable": True, **fields}, times


def unclear(**fields: Any) -> Ends:
    return ProtocolViolation, fields, 1


DUPLICATE = no(RejectionCode.DUPLICATE, "", definitive=False)
# The answer; what ends a call that moves money; what ends a query.
ROWS: list[tuple[Response, Ends | None, Ends | None]] = [
    # docs.stripe.com/api/errors: 402 is "valid but the request failed", 400 "unacceptable"; each is documented alone.
    (error(402, "card_error", **DECLINED), no(RejectionCode.DECLINED, "generic_decline", definitive=True), None),
    (error(400, "card_error", **DECLINED), no(RejectionCode.DECLINED, "generic_decline", definitive=False), None),
    (error(402, BAD, code="odd"), no(RejectionCode.INVALID, "odd", definitive=False), None),
    *(
        (
            error(400, BAD, code=code),
            no(RejectionCode.INVALID, code, definitive=True),
            no(RejectionCode.INVALID, code, definitive=False),  # it is the question that was unacceptable
        )
        for code in ("parameter_invalid_integer", "amount_too_small", "url_invalid", "charge_already_refunded", "odd")
    ),
    # docs.stripe.com/error-codes: the wallet's answer came too late for Stripe.
    (
        error(400, BAD, code="payment_method_provider_timeout"),
        no(RejectionCode.INVALID, "payment_method_provider_timeout", definitive=False),
        None,
    ),
    # The earlier request with this key may have been accepted.
    *((error(each, "idempotency_error"), DUPLICATE, None) for each in (400, 422)),
    # 409: the other request with this key may be accepted yet, or an object is locked.
    (error(409, "idempotency_error", **KEY_IN_USE), unknown(raw_code="idempotency_key_in_use"), None),
    (error(409, "idempotency_error", RETRY, **KEY_IN_USE), unknown(3, raw_code="idempotency_key_in_use"), None),
    (error(409, "idempotency_error", STOP), unknown(), None),
    (error(409, BAD, code="lock_timeout"), unknown(), unclear(raw_code="lock_timeout")),
    # 404: no such object, or no such address: a proxy's, or a `base_url` that is not Stripe's.
    (error(404, BAD, code="resource_missing"), *[(NotFound, {"raw_code": "resource_missing"}, 1)] * 2),
    *((each, unknown(), unclear()) for each in (html(404), error(404, BAD), error(404, code="odd"))),
    # 401: there is nothing to renew. 403: a firewall in front of Stripe can answer it.
    (error(401, BAD, RETRY, message="Invalid: sk_test_***"), *[(AuthorizationRejected, {}, 1)] * 2),
    (error(403, BAD, RETRY, message="sk_test_*** lacks a permission"), unknown(), (AuthorizationRejected, {}, 1)),
    # 429: nothing was accepted, and the platform chooses when to come back; only a query is asked again.
    *(
        (error(429, BAD, (*headers, LATER)), (RateLimited, {"retry_after": 2}, 1), (RateLimited, {}, times))
        for headers, times in (((), 3), (RETRY, 3), (STOP, 1))
    ),
    # 5xx: the same request again, once where Stripe says that it will not help. Two words on it are none.
    *(
        (error(status, "api_error", headers), unknown(times), (GatewayUnavailable, {}, times))
        for status in (500, 502, 503)
        for headers, times in (((), 3), (RETRY, 3), (STOP, 1), ((*STOP, *RETRY), 3))
    ),
    # An unknown type, or no JSON at all.
    *((html(status), unknown(), unclear()) for status in (400, 402, 200)),
    *(
        (raw(400, body), unknown(), unclear())
        for body in (
            b"", b'{"error":', b'{"error":"no"}', b"{}", b'[{"error":{}}]',
            b'{"error":{"type":"card_error","message":"\xff"}}',
        )
    ),
    *(
        (error(status, kind, code="odd"), unknown(raw_code="odd"), unclear(raw_code="odd"))
        for status, kind in ((400, "api_error"), (418, "teapot_error"), (400, "INVALID_REQUEST_ERROR"), (400, None))
    ),
]  # fmt: skip


def check_end(stripe: Open, call: Callable[[Any], Any], answer: Response, ends: Ends) -> None:
    kind, wanted, times = ends
    gateway = stripe(answer)
    found = refused(gateway, call, kind)
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert not any(secret in str(found) for secret in ("key-of-the-page", "sk_test"))
    sent = met(gateway)
    first = [request for request in sent if request.method == sent[0].method]  # a refused cancellation asks once more
    assert len(first) == times
    assert [request.method for request in sent[times:]] in ([], ["GET"])
    assert all(one == other for one, other in pairwise(first))


@pytest.mark.parametrize(("answer", "ends"), [(answer, ends) for answer, ends, _ in ROWS if ends])
@pytest.mark.parametrize("call", MONEY.values(), ids=MONEY)
def test_each_answer_ends_a_call_that_moves_money(
    stripe: Open, call: Callable[[Any], Any], answer: Response, ends: Ends
) -> None:
    check_end(stripe, call, answer, ends)


@pytest.mark.parametrize(("answer", "ends"), [(answer, ends) for answer, _, ends in ROWS if ends])
@pytest.mark.parametrize("call", QUERIES.values(), ids=QUERIES)
def test_each_answer_ends_a_query(stripe: Open, call: Callable[[Any], Any], answer: Response, ends: Ends) -> None:
    check_end(stripe, call, answer, ends)


# Errors that are charges, and errors of a second try.


@pytest.mark.parametrize("call", [MONEY["create"], MONEY["capture"]], ids=["create", "capture"])
def test_a_decline_with_an_id_is_a_charge(stripe: Open, call: Callable[[Any], Any]) -> None:
    """It stands at Stripe, and may be asked about; it is not over."""
    answer = error(402, "card_error", code="card_declined", decline_code="generic_decline", payment_intent=intent())
    charge = call(stripe(answer))
    assert (charge.reference, charge.status) == (Reference("P1", "pi_1"), PaymentStatus.PENDING)
    assert (charge.reason, charge.raw_reason) == (RejectionCode.DECLINED, "generic_decline")
    assert charge.request_id == "req_9"
    assert not charge.require("P1", charge.amount).is_paid


def test_a_decline_with_the_id_of_another_order_is_an_unknown_outcome(stripe: Open) -> None:
    answer = error(402, "card_error", payment_intent=intent(metadata={"payments_core_order_id": "P2"}))
    assert refused(stripe(answer), MONEY["create"], OutcomeUnknown).repeatable


def test_a_decline_whose_charge_cannot_be_read_is_an_unknown_outcome(stripe: Open) -> None:
    """Something stands at Stripe, and nobody can say what."""
    for broken in ({"id": "pi_1"}, intent(id="pi_1/x"), "pi_1"):
        answer = error(402, "card_error", code="card_declined", payment_intent=broken)
        assert refused(stripe(answer), MONEY["create"], OutcomeUnknown).repeatable


CODES = [
    ("insufficient_funds", RejectionCode.INSUFFICIENT_FUNDS),
    ("fraudulent", RejectionCode.RISK),
    ("lost_card", RejectionCode.RISK),
    ("stolen_card", RejectionCode.RISK),
    ("pickup_card", RejectionCode.RISK),
    ("restricted_card", RejectionCode.RISK),
    ("merchant_blacklist", RejectionCode.RISK),
    ("duplicate_transaction", RejectionCode.DUPLICATE),
    ("payment_intent_payment_attempt_expired", RejectionCode.UNKNOWN),
    ("generic_decline", RejectionCode.DECLINED),
    ("do_not_honor", RejectionCode.DECLINED),
    ("invented_yesterday", RejectionCode.DECLINED),
]


@pytest.mark.parametrize(("decline", "code"), CODES)
def test_the_reason_of_a_decline_is_its_decline_code(stripe: Open, decline: str, code: RejectionCode) -> None:
    """With a charge or without one."""
    fields: dict[str, Any] = {"code": "card_declined", "decline_code": decline}
    made = intent(last_payment_error=fields)
    found = refused(stripe(error(402, "card_error", **fields)), MONEY["create"], Rejected)
    charge = MONEY["create"](stripe(error(402, "card_error", **fields, payment_intent=made)))
    assert (found.code, found.raw_code) == (charge.reason, charge.raw_reason) == (code, decline)


def test_every_reason_of_the_table_is_tried_above() -> None:
    assert {raw for raw, code in CODES if code is not RejectionCode.DECLINED} == set(REASONS)


@pytest.mark.parametrize("code", ["expired_card", "incorrect_cvc", "processing_error"])
def test_without_a_decline_code_the_code_is_the_reason(stripe: Open, code: str) -> None:
    found = refused(stripe(error(402, "card_error", code=code)), MONEY["create"], Rejected)
    assert (found.code, found.raw_code) == (RejectionCode.DECLINED, code)


def test_a_refusal_with_an_id_is_a_charge(stripe: Open) -> None:
    """Whatever its type: what Stripe has made is told, and can be asked about."""
    made = intent(status="requires_confirmation", last_payment_error=None)
    answer = error(400, "invalid_request_error", code="payment_intent_authentication_failure", payment_intent=made)
    charge = MONEY["create"](stripe(answer))
    assert (charge.reference, charge.status) == (Reference("P1", "pi_1"), PaymentStatus.PENDING)
    assert charge.reason is None


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [(400, "idempotency_error", ""), (404, "invalid_request_error", "resource_missing"), (400, "api_error", "")],
)
def test_a_payment_intent_that_this_create_has_not_made_is_no_charge(
    stripe: Open, status: int, kind: str, code: str
) -> None:
    """With a key that was used before it is another request's, and perhaps paid."""
    earlier = intent(status="succeeded", amount_received=8800, last_payment_error=None)
    with pytest.raises(PaymentError) as caught:
        MONEY["create"](stripe(error(status, kind, code=code, payment_intent=earlier)))
    assert not getattr(caught.value, "definitive", False)


@pytest.mark.parametrize(
    "answer",
    [error(400, "invalid_request_error", code="odd"), error(404, "invalid_request_error", code="resource_missing")],
)
def test_refused_cancellation_stays_refused_when_the_query_fails(stripe: Open, answer: Response) -> None:
    """The answer to the query says nothing about the cancellation."""
    gateway = stripe(error(400, "invalid_request_error", code="payment_intent_unexpected_state"), answer)
    assert refused(gateway, MONEY["cancel"], Rejected).raw_code == "payment_intent_unexpected_state"


def test_what_cannot_be_captured_is_rejected_and_no_charge(stripe: Open) -> None:
    """The PaymentIntent in it is as it was: to answer with it would hide that nothing was taken."""
    answer = error(
        400,
        "invalid_request_error",
        code="payment_intent_unexpected_state",
        payment_intent=intent(status="succeeded"),
    )
    found = refused(stripe(answer), MONEY["capture"], Rejected)
    assert (found.code, found.raw_code) == (RejectionCode.INVALID, "payment_intent_unexpected_state")


def test_rejection_after_a_lost_answer_is_not_definitive(stripe: Open) -> None:
    """It is about the second attempt; the first one may have been accepted."""
    gateway = stripe(error(500), error(400, "invalid_request_error", code="odd"))
    found = refused(gateway, MONEY["create"], Rejected)
    assert (found.definitive, len(met(gateway))) == (False, 2)


def test_a_conflict_that_ends_is_the_charge(stripe: Open) -> None:
    made = Response(200, (), json.dumps(intent(status="processing")).encode())
    gateway = stripe(error(409, "idempotency_error", RETRY), made)
    assert MONEY["create"](gateway).reference.provider_id == "pi_1"
    assert len(met(gateway)) == 2


def test_a_refund_of_a_page_that_cannot_be_asked_about_moved_nothing(stripe: Open) -> None:
    """The question before the refund is safe, so its outage is no unknown outcome."""
    gateway = stripe(error(500, "api_error", STOP))
    refused(gateway, lambda found: found.refund_charge(RefundRequest(CS, "R1", HKD)), GatewayUnavailable)
    assert [request.method for request in met(gateway)] == ["GET"]


# What is shown of an answer.


@pytest.mark.parametrize("message", ["a\nb", "\x1b[2Jgone", "a\u202eb", "", None])
def test_a_message_that_is_no_plain_text_is_not_shown(stripe: Open, message: str | None) -> None:
    """It goes into logs and terminals."""
    answer = error(400, "invalid_request_error", code="odd", message=message)
    found = refused(stripe(answer), MONEY["create"], Rejected)
    assert found.message == "Stripe answered HTTP 400 (invalid_request_error, odd): no message"


def test_a_long_message_is_cut(stripe: Open) -> None:
    found = refused(stripe(error(400, "invalid_request_error", message="x" * 5000)), MONEY["create"], Rejected)
    assert found.message.endswith(": " + "x" * 200)
    assert len(found.message) < 300


@pytest.mark.parametrize("code", ["a b", "a\nb", "é", "x" * 129, ""])
def test_invalid_code_is_omitted(stripe: Open, code: str) -> None:
    found = refused(stripe(error(400, "invalid_request_error", code=code)), MONEY["create"], Rejected)
    assert found.raw_code == ""
    assert found.message.startswith("Stripe answered HTTP 400 (invalid_request_error): ")


@pytest.mark.parametrize("headers", [(), (("Request-Id", "a"), ("request-id", "b")), (("Request-Id", "a b"),)])
def test_invalid_request_id_is_omitted(stripe: Open, headers: Headers) -> None:
    """Of an error and of a charge; it decides nothing."""
    body = error(400, "invalid_request_error").body
    with pytest.raises(Rejected) as caught:
        MONEY["create"](stripe(Response(400, headers, body)))
    assert caught.value.request_id == ""
    charge = QUERIES["status"](stripe(Response(200, headers, json.dumps(intent()).encode())))
    assert charge.request_id == ""
