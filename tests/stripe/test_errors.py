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
every_move = pytest.mark.parametrize("call", MONEY.values(), ids=MONEY)
every_query = pytest.mark.parametrize("call", QUERIES.values(), ids=QUERIES)


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


# 402: the request was valid, and failed.


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


@every_move
def test_a_decline_without_an_id_is_a_definitive_no(stripe: Open, call: Callable[[Any], Any]) -> None:
    """docs.stripe.com/api/errors: "valid but the request failed"."""
    gateway = stripe(error(402, "card_error", code="card_declined", decline_code="generic_decline", message="No."))
    found = refused(gateway, call, Rejected)
    assert (found.code, found.definitive, found.raw_code) == (RejectionCode.DECLINED, True, "generic_decline")
    assert found.message.endswith("No.")
    assert len(met(gateway)) == 1


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


def test_a_card_error_of_another_status_is_not_definitive(stripe: Open) -> None:
    """Only 402 is documented for it."""
    found = refused(stripe(error(400, "card_error", code="card_declined")), MONEY["create"], Rejected)
    assert not found.definitive


def test_402_that_is_no_decline_is_not_definitive(stripe: Open) -> None:
    found = refused(stripe(error(402, "invalid_request_error", code="odd")), MONEY["create"], Rejected)
    assert (found.code, found.definitive, found.raw_code) == (RejectionCode.INVALID, False, "odd")


# 400: the request was unacceptable.


@every_move
@pytest.mark.parametrize("code", ["parameter_invalid_integer", "amount_too_small", "parameter_missing", "url_invalid"])
def test_a_parameter_that_is_wrong_is_a_definitive_no(stripe: Open, call: Callable[[Any], Any], code: str) -> None:
    """docs.stripe.com/api/errors: "The request was unacceptable". A cancellation asks once before it says so."""
    gateway = stripe(error(400, "invalid_request_error", code=code, param="amount", message="Bad amount"))
    found = refused(gateway, call, Rejected)
    assert (found.code, found.definitive, found.raw_code) == (RejectionCode.INVALID, True, code)
    assert [request.method for request in met(gateway)][:1] == ["POST"]
    assert [request.method for request in met(gateway)][1:] in ([], ["GET"])


@every_query
def test_a_query_that_is_wrong_is_rejected(stripe: Open, call: Callable[[Any], Any]) -> None:
    """And settles nothing: it is the question that was unacceptable."""
    found = refused(stripe(error(400, "invalid_request_error", code="odd")), call, Rejected)
    assert (found.code, found.raw_code, found.definitive) == (RejectionCode.INVALID, "odd", False)


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


def test_what_did_not_come_to_an_end_is_not_a_definitive_no(stripe: Open) -> None:
    """docs.stripe.com/error-codes: the wallet's answer came too late for Stripe."""
    answer = error(400, "invalid_request_error", code="payment_method_provider_timeout")
    assert not refused(stripe(answer), MONEY["create"], Rejected).definitive


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


@pytest.mark.parametrize("code", ["charge_already_refunded", "refund_amount_exceeds_charge", "charge_disputed"])
def test_a_refund_that_is_too_much_is_rejected(stripe: Open, code: str) -> None:
    found = refused(stripe(error(400, "invalid_request_error", code=code)), MONEY["refund"], Rejected)
    assert (found.definitive, found.raw_code) == (True, code)


@every_move
@pytest.mark.parametrize("status", [400, 422])
def test_a_key_that_was_used_for_something_else_is_a_duplicate(
    stripe: Open, call: Callable[[Any], Any], status: int
) -> None:
    """Never definitive: the earlier request with this key may have been accepted."""
    gateway = stripe(error(status, "idempotency_error", message="Keys for idempotent requests …"))
    found = refused(gateway, call, Rejected)
    assert (found.code, found.definitive) == (RejectionCode.DUPLICATE, False)
    assert len(met(gateway)) == 1


def test_rejection_after_a_lost_answer_is_not_definitive(stripe: Open) -> None:
    """It is about the second attempt; the first one may have been accepted."""
    gateway = stripe(error(500), error(400, "invalid_request_error", code="odd"))
    found = refused(gateway, MONEY["create"], Rejected)
    assert (found.definitive, len(met(gateway))) == (False, 2)


# 409: another request with the same key is under way.


@every_move
def test_a_conflict_is_an_unknown_outcome_that_may_be_repeated(stripe: Open, call: Callable[[Any], Any]) -> None:
    """The other request may be accepted yet. Without Stripe's word on it, it is sent once."""
    gateway = stripe(error(409, "idempotency_error", code="idempotency_key_in_use"))
    found = refused(gateway, call, OutcomeUnknown)
    assert (found.repeatable, found.raw_code) == (True, "idempotency_key_in_use")
    assert len(met(gateway)) == 1


@every_move
def test_a_conflict_is_sent_again_where_stripe_says_so(stripe: Open, call: Callable[[Any], Any]) -> None:
    """Identical each time; and when it stays one, the outcome is unknown."""
    gateway = stripe(error(409, "idempotency_error", RETRY, code="idempotency_key_in_use"))
    found = refused(gateway, call, OutcomeUnknown)
    assert (found.repeatable, found.raw_code) == (True, "idempotency_key_in_use")
    assert len(met(gateway)) == 3
    assert all(one == other for one, other in pairwise(met(gateway)))


def test_a_conflict_that_ends_is_the_charge(stripe: Open) -> None:
    made = Response(200, (), json.dumps(intent(status="processing")).encode())
    gateway = stripe(error(409, "idempotency_error", RETRY), made)
    assert MONEY["create"](gateway).reference.provider_id == "pi_1"
    assert len(met(gateway)) == 2


def test_a_conflict_that_stripe_says_will_stay_is_sent_once(stripe: Open) -> None:
    gateway = stripe(error(409, "idempotency_error", STOP))
    assert refused(gateway, MONEY["create"], OutcomeUnknown).repeatable
    assert len(met(gateway)) == 1


@every_query
def test_a_conflict_of_a_query_says_nothing(stripe: Open, call: Callable[[Any], Any]) -> None:
    """An object that is locked, for one."""
    found = refused(stripe(error(409, "invalid_request_error", code="lock_timeout")), call, ProtocolViolation)
    assert found.raw_code == "lock_timeout"


# 404: no such object, or no such address.


@pytest.mark.parametrize("call", (MONEY | QUERIES).values(), ids=MONEY | QUERIES)
def test_an_object_that_is_missing_is_not_found(stripe: Open, call: Callable[[Any], Any]) -> None:
    """docs.stripe.com/error-codes: `resource_missing`."""
    gateway = stripe(error(404, "invalid_request_error", code="resource_missing", message="No such payment_intent"))
    assert refused(gateway, call, NotFound).raw_code == "resource_missing"
    assert len(met(gateway)) == 1


NOWHERE = [html(404), error(404, "invalid_request_error", message="Unrecognized request URL"), error(404, code="odd")]


@every_query
@pytest.mark.parametrize("answer", NOWHERE)
def test_an_address_that_is_wrong_says_nothing_of_a_charge(
    stripe: Open, call: Callable[[Any], Any], answer: Response
) -> None:
    """A proxy's 404, or a `base_url` that is not Stripe's."""
    refused(stripe(answer), call, ProtocolViolation)


@every_move
@pytest.mark.parametrize("answer", NOWHERE)
def test_an_address_that_is_wrong_leaves_the_outcome_unknown(
    stripe: Open, call: Callable[[Any], Any], answer: Response
) -> None:
    assert refused(stripe(answer), call, OutcomeUnknown).repeatable


# 401, 429: nothing was accepted. 403: perhaps, as a firewall in front of Stripe can answer it.


@pytest.mark.parametrize(
    ("status", "call"),
    [*((401, call) for call in (MONEY | QUERIES).values()), *((403, call) for call in QUERIES.values())],
    ids=[*(f"401-{name}" for name in MONEY | QUERIES), *(f"403-{name}" for name in QUERIES)],
)
def test_a_key_that_is_refused_is_sent_once(stripe: Open, call: Callable[[Any], Any], status: int) -> None:
    """There is nothing to renew."""
    gateway = stripe(error(status, "invalid_request_error", RETRY, message="Invalid API Key provided: sk_test_***"))
    found = refused(gateway, call, AuthorizationRejected)
    assert "sk_test" not in str(found)
    assert len(met(gateway)) == 1


@every_move
def test_a_403_to_a_call_that_moves_money_is_an_unknown_outcome(stripe: Open, call: Callable[[Any], Any]) -> None:
    gateway = stripe(error(403, "invalid_request_error", RETRY, message="sk_test_*** lacks a permission"))
    found = refused(gateway, call, OutcomeUnknown)
    assert found.repeatable
    assert "sk_test" not in str(found)
    assert len(met(gateway)) == 1


@every_move
@pytest.mark.parametrize("headers", [(), RETRY, STOP])
def test_too_many_requests_end_a_call_that_moves_money(
    stripe: Open, call: Callable[[Any], Any], headers: Headers
) -> None:
    """At once: the platform chooses when to come back. `lock_timeout` is one of these."""
    gateway = stripe(error(429, "invalid_request_error", (*headers, ("Retry-After", "2")), code="lock_timeout"))
    assert refused(gateway, call, RateLimited).retry_after == 2
    assert len(met(gateway)) == 1


@every_query
def test_too_many_requests_of_a_query_are_asked_again(stripe: Open, call: Callable[[Any], Any]) -> None:
    """Unless Stripe says that it will not help."""
    for headers, times in (((), 3), (RETRY, 3), (STOP, 1)):
        gateway = stripe(error(429, "invalid_request_error", headers, code="rate_limit"))
        refused(gateway, call, RateLimited)
        assert len(met(gateway)) == times


# 5xx: Stripe is out of order.


@every_move
@pytest.mark.parametrize(("headers", "times"), [((), 3), (RETRY, 3), (STOP, 1)])
@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_outage_is_met_with_the_same_request(
    stripe: Open, call: Callable[[Any], Any], headers: Headers, times: int, status: int
) -> None:
    """As often as makes sense: once where Stripe says that sending again will not help."""
    gateway = stripe(error(status, "api_error", headers))
    assert refused(gateway, call, OutcomeUnknown).repeatable
    assert len(met(gateway)) == times
    assert all(one == other for one, other in pairwise(met(gateway)))


@every_query
def test_an_outage_of_a_query_is_no_unknown_outcome(stripe: Open, call: Callable[[Any], Any]) -> None:
    for headers, times in (((), 3), (STOP, 1)):
        gateway = stripe(error(500, "api_error", headers))
        refused(gateway, call, GatewayUnavailable)
        assert len(met(gateway)) == times


def test_a_refund_of_a_page_that_cannot_be_asked_about_moved_nothing(stripe: Open) -> None:
    """The question before the refund is safe, so its outage is no unknown outcome."""
    gateway = stripe(error(500, "api_error", STOP))
    refused(gateway, lambda found: found.refund_charge(RefundRequest(CS, "R1", HKD)), GatewayUnavailable)
    assert [request.method for request in met(gateway)] == ["GET"]


def test_two_words_on_sending_again_are_none(stripe: Open) -> None:
    gateway = stripe(error(500, "api_error", (*STOP, *RETRY)))
    refused(gateway, MONEY["create"], OutcomeUnknown)
    assert len(met(gateway)) == 3


# Unreadable answers.

UNREADABLE = [
    html(400),
    html(402),
    html(200),
    raw(400, b""),
    raw(400, b'{"error":'),
    raw(400, b'{"error":"no"}'),
    raw(400, b"{}"),
    raw(400, b'[{"error":{}}]'),
    raw(400, b'{"error":{"type":"card_error","message":"\xff"}}'),
    error(400),
    error(400, "api_error", code="odd"),
    error(418, "teapot_error", code="odd"),
    error(400, "INVALID_REQUEST_ERROR"),
]


@every_move
@pytest.mark.parametrize("answer", UNREADABLE)
def test_unknown_error_leaves_the_outcome_unknown(stripe: Open, call: Callable[[Any], Any], answer: Response) -> None:
    """An unknown type, or no JSON at all; nothing of a page is shown."""
    gateway = stripe(answer)
    found = refused(gateway, call, OutcomeUnknown)
    assert found.repeatable
    assert "key-of-the-page" not in str(found)
    assert len(met(gateway)) == 1


@every_query
@pytest.mark.parametrize("answer", UNREADABLE)
def test_unknown_error_says_nothing_about_a_charge(stripe: Open, call: Callable[[Any], Any], answer: Response) -> None:
    refused(stripe(answer), call, ProtocolViolation)


def test_an_unknown_error_keeps_its_code(stripe: Open) -> None:
    answer = error(400, "api_error", code="odd")
    assert refused(stripe(answer), MONEY["create"], OutcomeUnknown).raw_code == "odd"
    assert refused(stripe(answer), QUERIES["status"], ProtocolViolation).raw_code == "odd"


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
