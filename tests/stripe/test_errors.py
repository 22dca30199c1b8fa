"""What an answer of Stripe's that is an error is called: by its status, its type and its position."""

from __future__ import annotations

import json
from typing import Any

import pytest

from payments_core import (
    AuthorizationRejected,
    CaptureRequest,
    ChargeRequest,
    GatewayUnavailable,
    Money,
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

HKD = Money.of("88.00", "HKD")
PI = Reference("P1", "pi_1")
CS = Reference("P1", "cs_1")
CONFIG = {"api_key": "sk_test_of_the_error_tests", "webhook_key": "whsec_of_the_error_tests"}


def intent(**changes: Any) -> dict[str, Any]:
    """The PaymentIntent of an error: the attempt has failed, and another one may be made."""
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 8800,
        "amount_received": 0,
        "currency": "hkd",
        "created": 1_793_534_400,
        "metadata": {"order_id": "P1"},
        "last_payment_error": {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"},
        "status": "requires_payment_method",
    } | changes


def error(kind: str, code: str = "", **fields: Any) -> dict[str, Any]:
    said = {"type": kind, "code": code, "message": "No such luck."} | fields
    return {"error": {name: value for name, value in said.items() if value != ""}}


def answer(status: int, body: Any, *headers: tuple[str, str]) -> Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, (("Request-Id", "req_9"), *headers), content)


@pytest.fixture
def calls(opening: Any) -> Any:
    """The calls of a gateway whose every request is answered alike, by name; and the requests that it made."""

    def made(*responses: Response) -> Any:
        left = list(responses)

        def answered(request: Any) -> Response:
            return left.pop(0) if len(left) > 1 else left[0]

        gateway = opening("stripe", CONFIG, transport=answered)
        fields = {"return_url": "https://shop.example/back"}
        ten = Money.of("10", "HKD")
        return {
            "wallet": lambda: gateway.create_charge(ChargeRequest("P1", HKD, "Tea", "alipay", **fields)),
            "card": lambda: gateway.create_charge(ChargeRequest("P1", HKD, "Tea", "card", **fields)),
            "capture": lambda: gateway.capture_charge(CaptureRequest(PI, "C1", HKD)),
            "cancel": lambda: gateway.cancel_charge(PI),
            "refund": lambda: gateway.refund_charge(RefundRequest(PI, "R1", ten)),
            "status": lambda: gateway.get_status(PI),
            "session": lambda: gateway.get_status(CS),
            "expire": lambda: gateway.cancel_charge(CS),
            "get_refund": lambda: gateway.get_refund(RefundReference("", "re_1")),
            "find_refund": lambda: gateway.get_refund(RefundReference("R1", "", PI)),
            "requests": gateway.script.requests,
        }

    return made


MOVING = ("wallet", "card", "capture", "cancel", "refund")
ASKING = ("status", "session", "expire", "get_refund", "find_refund")


def raised(call: Any) -> PaymentError:
    with pytest.raises(PaymentError) as caught:
        call()
    assert caught.value.request_id == "req_9"
    return caught.value


@pytest.mark.parametrize(
    ("body", "code", "raw_code"),
    [
        (error("card_error", "card_declined", decline_code="generic_decline"), "DECLINED", "generic_decline"),
        (
            error("card_error", "card_declined", decline_code="insufficient_funds"),
            "INSUFFICIENT_FUNDS",
            "insufficient_funds",
        ),
        (error("card_error", "card_declined", decline_code="fraudulent"), "RISK", "fraudulent"),
        (error("card_error", "card_declined", decline_code="lost_card"), "RISK", "lost_card"),
        (error("card_error", "card_declined", decline_code="stolen_card"), "RISK", "stolen_card"),
        (error("card_error", "card_declined", decline_code="pickup_card"), "RISK", "pickup_card"),
        (
            error("card_error", "card_declined", decline_code="duplicate_transaction"),
            "DUPLICATE",
            "duplicate_transaction",
        ),
        (error("card_error", "card_declined", decline_code="tomorrow_s_code"), "DECLINED", "tomorrow_s_code"),
        (error("card_error", "expired_card"), "DECLINED", "expired_card"),
        (error("card_error", decline_code="a\nb"), "DECLINED", ""),
        (error("card_error", "x" * 129), "DECLINED", ""),
        (error("card_error"), "DECLINED", ""),
    ],
)
def test_a_decline_without_a_payment_intent_is_definitive(calls: Any, body: Any, code: str, raw_code: str) -> None:
    """402: the gateway said no, and made nothing that could still be paid."""
    for name in ("wallet", "card", "capture", "refund"):
        found = raised(calls(answer(402, body))[name])
        assert isinstance(found, Rejected)
        assert (found.code, found.raw_code, found.definitive) == (RejectionCode(code), raw_code, True)


def test_a_decline_with_its_payment_intent_is_a_charge(calls: Any) -> None:
    """It has an id of Stripe's, so it can be asked about and canceled: not final, with the reason."""
    body = error("card_error", "card_declined", decline_code="insufficient_funds", payment_intent=intent())
    for name in ("wallet", "capture"):
        found = calls(answer(402, body))[name]()
        assert (found.reference, found.status, found.amount) == (PI, PaymentStatus.PENDING, HKD)
        assert (found.reason, found.raw_reason) == (RejectionCode.INSUFFICIENT_FUNDS, "insufficient_funds")
        assert (found.is_paid, found.request_id) == (False, "req_9")


def test_a_create_that_is_refused_with_a_payment_intent_is_a_charge_whatever_the_error(calls: Any) -> None:
    """The wallet was not enabled, say: a PaymentIntent is there, and nothing definitive can be said."""
    body = error("invalid_request_error", "payment_intent_incompatible_payment_method", payment_intent=intent())
    assert calls(answer(400, body))["wallet"]().reference == PI
    assert isinstance(raised(calls(answer(400, body))["capture"]), Rejected)


def test_a_decline_about_another_order_is_unknown(calls: Any) -> None:
    """Its PaymentIntent is held against what was asked for, as any answer is."""
    for changes in ({"metadata": {"order_id": "P2"}}, {"amount": 1}, {"currency": "usd"}, {"id": "x"}):
        body = error("card_error", "card_declined", payment_intent=intent(**changes))
        assert isinstance(raised(calls(answer(402, body))["wallet"]), OutcomeUnknown)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "parameter_missing",
        "amount_too_small",
        "charge_already_refunded",
        "payment_intent_unexpected_state",
        "resource_missing",
    ],
)
def test_an_invalid_request_is_definitive(calls: Any, code: str) -> None:
    """400: nothing is executed where validation fails; Stripe's own code is kept."""
    for name in ("wallet", "card", "capture", "refund", "status", "get_refund"):
        found = raised(calls(answer(400, error("invalid_request_error", code)))[name])
        assert isinstance(found, Rejected)
        assert (found.code, found.raw_code, found.definitive) == (RejectionCode.INVALID, code, True)
        assert "No such luck." in found.message


def test_a_key_that_was_used_for_something_else_is_no_definitive_refusal(calls: Any) -> None:
    """An earlier create for this order may live: with another amount, say."""
    for name in MOVING:
        found = raised(calls(answer(400, error("idempotency_error")))[name])
        assert isinstance(found, Rejected)
        assert (found.code, found.definitive) == (RejectionCode.DUPLICATE, False)


@pytest.mark.parametrize("kind", ["invalid_request_error", "idempotency_error", "card_error", "", "api_error"])
def test_a_conflict_says_nothing(calls: Any, kind: str) -> None:
    """409: the same key is under way. Whatever its type, what it will come to is unknown, and it may be sent again."""
    body = error(kind, "idempotency_key_in_use", payment_intent=intent())
    for name in MOVING:
        made = calls(answer(409, body))
        found = raised(made[name])
        assert isinstance(found, OutcomeUnknown)
        assert found.repeatable
        assert len(made["requests"]) == 1
    for name in ASKING:
        assert isinstance(raised(calls(answer(409, body))[name]), ProtocolViolation)


def test_what_is_missing_is_not_found(calls: Any) -> None:
    """404 with `resource_missing`; any other 404 is a wrong address, and says nothing of a charge."""
    for name in ("capture", "cancel", "refund", *ASKING):
        found = raised(calls(answer(404, error("invalid_request_error", "resource_missing")))[name])
        assert isinstance(found, NotFound)
        assert found.raw_code == "resource_missing"
    wrong = answer(404, error("invalid_request_error"))
    assert isinstance(raised(calls(wrong)["status"]), ProtocolViolation)
    assert isinstance(raised(calls(wrong)["wallet"]), OutcomeUnknown)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {}),
        (400, {"error": {}}),
        (400, {"error": 1}),
        (400, {"error": {"type": "api_error"}}),
        (400, {"error": {"type": "tomorrow_s_error"}}),
        (400, {"error": {"type": 5}}),
        (400, b"<html>"),
        (402, b""),
        (402, {"error": {"type": "api_error"}}),
        (404, b"<html>"),
        (424, error("api_error")),
        (418, error("teapot")),
    ],
)
def test_an_error_that_cannot_be_understood_is_unknown(calls: Any, status: int, body: Any) -> None:
    """Where money may have moved; of a query it is a violation of the protocol."""
    for name in MOVING:
        found = raised(calls(answer(status, body))[name])
        assert isinstance(found, OutcomeUnknown)
        assert found.repeatable
    for name in ASKING:
        assert isinstance(raised(calls(answer(status, body))[name]), ProtocolViolation)


def test_a_failed_request_that_is_no_decline_is_not_definitive(calls: Any) -> None:
    """402 says that the parameters were valid: less than that nothing was executed."""
    found = raised(calls(answer(402, error("invalid_request_error", "x")))["refund"])
    assert isinstance(found, Rejected)
    assert not found.definitive
    found = raised(calls(answer(400, error("card_error", "x")))["refund"])
    assert isinstance(found, Rejected)
    assert not found.definitive


def test_a_key_that_stripe_refuses_is_no_refused_charge(calls: Any) -> None:
    """401 and 403, at once: there is nothing to renew."""
    for status in (401, 403):
        for name in MOVING + ASKING:
            made = calls(answer(status, error("invalid_request_error")))
            assert isinstance(raised(made[name]), AuthorizationRejected)
            assert len(made["requests"]) == 1


def test_too_many_requests_are_rate_limited(calls: Any) -> None:
    """429, also `lock_timeout`, which has that status."""
    for name in MOVING:
        found = raised(calls(answer(429, error("invalid_request_error", "lock_timeout")))[name])
        assert isinstance(found, RateLimited)


# Stripe-Should-Retry.


@pytest.mark.parametrize(
    ("status", "advice", "requests"),
    [
        (409, "true", 3),
        (409, "false", 1),
        (409, None, 1),
        (409, "TRUE", 1),
        (500, "true", 3),
        (500, None, 3),
        (500, "false", 1),
        (400, "true", 1),
    ],
)
def test_stripe_s_own_word_on_sending_again_is_heard(calls: Any, status: int, advice: Any, requests: int) -> None:
    """With the same key and the same bytes; a refusal that is understood is not sent again."""
    headers = [("Stripe-Should-Retry", advice)] if advice else []
    made = calls(answer(status, error("invalid_request_error", "idempotency_key_in_use"), *headers))
    found = raised(made["wallet"])
    assert isinstance(found, Rejected if status == 400 else OutcomeUnknown)
    assert len(made["requests"]) == requests
    assert len({(request.body, request.headers) for request in made["requests"]}) == 1


def test_a_conflict_that_ends_is_a_charge(calls: Any) -> None:
    """The first request was still under way; its answer is then given again."""
    busy = answer(409, error("idempotency_error", "idempotency_key_in_use"), ("Stripe-Should-Retry", "true"))
    action = {"type": "alipay_handle_redirect", "alipay_handle_redirect": {"url": "https://x.example/"}}
    done = intent(status="requires_action", last_payment_error=None, next_action=action)
    assert calls(busy, answer(200, done))["wallet"]().reference == PI


def test_a_decline_after_a_lost_answer_is_not_definitive(calls: Any) -> None:
    """Of the run before it nothing is known for sure."""
    declined = answer(402, error("card_error", "card_declined"))
    found = raised(calls(answer(500, {}), declined)["wallet"])
    assert isinstance(found, Rejected)
    assert not found.definitive


# What an error shows.


@pytest.mark.parametrize("message", ["x" * 5000, "a\x00b", "a\nb", "", None])
def test_a_message_that_is_no_plain_text_is_left_out(calls: Any, message: Any) -> None:
    """And a long one is cut."""
    found = raised(calls(answer(400, {"error": {"type": "invalid_request_error", "message": message}}))["status"])
    assert len(found.message) < 300
    assert found.message.isprintable()


@pytest.mark.parametrize(
    "headers",
    [(), (("Request-Id", "a b"),), (("Request-Id", "x" * 300),), (("Request-Id", "req_1"), ("request-id", "req_2"))],
)
def test_a_request_id_that_is_none_is_left_out(opening: Any, headers: Any) -> None:
    """It costs no charge."""
    gateway = opening("stripe", CONFIG, transport=lambda _: Response(200, headers, json.dumps(intent()).encode()))
    assert gateway.get_status(PI).request_id == ""


def test_a_gateway_that_is_down_is_unavailable_to_a_query(calls: Any) -> None:
    """And nothing else."""
    for name in ASKING:
        assert isinstance(raised(calls(answer(503, b""))[name]), GatewayUnavailable)


def test_a_fraud_is_not_told_apart_from_theft() -> None:
    """All of them are RISK: the page forbids to tell the shopper more."""
    risky = {code for code, reason in REASONS.items() if reason is RejectionCode.RISK}
    assert {"fraudulent", "lost_card", "stolen_card", "merchant_blacklist"} <= risky
