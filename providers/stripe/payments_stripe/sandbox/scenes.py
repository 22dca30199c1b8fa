"""Play the scenes of Stripe's stories: the shop's calls, the shopper's actions, and the expected results."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Final

from payments_core import (
    CaptureRequest,
    Charge,
    ChargeRequest,
    Money,
    NextAction,
    NotFound,
    PaymentStatus,
    RateLimited,
    Reference,
    RefundReference,
    RefundRequest,
    RefundStatus,
    Rejected,
    RejectionCode,
)
from payments_core.testing.stories import Script, Step, call, expect, sandbox, shopper

__all__ = [
    "AMOUNT", "PART", "another_amount", "cancelled", "captured", "created", "declined", "incompatible", "paid",
    "paid_is_not_cancelled", "refund_comes_later", "refund_fails", "refund_is_found", "refunded",
    "refused_with_a_charge", "refused_without_a_charge", "released", "repeated", "timed_out", "too_many",
    "too_much", "unknown_charge", "unknown_status",
]  # fmt: skip

Parameters = Mapping[str, str]
Scene = Generator[Step, Any, Any]

AMOUNT: Final = Money.of("88.00", "HKD")
PART: Final = Money.of("60.00", "HKD")
_RETURN: Final = "https://shop.example/paid"


def _request(parameters: Parameters, method: str, amount: Money = AMOUNT, *, capture: bool = True) -> ChargeRequest:
    return ChargeRequest(parameters["order_id"], amount, "A cup of tea", method, return_url=_RETURN, capture=capture)


def _known(charge: Charge) -> Reference:
    return charge.reference


def _create_paid(parameters: Parameters, method: str, amount: Money = AMOUNT, *, capture: bool = True) -> Scene:
    """Create a charge and pay it; return the charge."""
    created = yield call("create_charge", _request(parameters, method, amount, capture=capture))
    yield shopper("pay", created)
    return (yield call("get_status", _known(created)))


def _unpaid(parameters: Parameters, charge: Charge) -> None:
    """Check the charge against the order, and expect that it isn't paid."""
    expect(_compared(parameters, charge), is_paid=False)


def _compared(parameters: Parameters, charge: Charge, amount: Money = AMOUNT) -> Charge:
    return charge.require(parameters["order_id"], amount, provider_id=charge.reference.provider_id)


def _nothing_given_back(charge: Charge) -> None:
    if charge.refunded is not None and charge.refunded.minor:
        raise AssertionError(f"{charge.refunded} is said to be refunded")


# Creating and paying.


def created(method: str, action: type[NextAction]) -> Script:
    def script(parameters: Parameters) -> Scene:
        charge = yield call("create_charge", _request(parameters, method))
        expect(charge, status=PaymentStatus.REQUIRES_ACTION, captured=None)
        expect(charge.require(parameters["order_id"], AMOUNT), is_paid=False)
        expect(charge.reference, order_id=parameters["order_id"])
        if type(charge.next_action) is not action:
            raise AssertionError(f"the next action is {charge.next_action!r} and no {action.__name__}")

    return script


def paid(method: str, amount: Money = AMOUNT) -> Script:
    def script(parameters: Parameters) -> Scene:
        created = yield call("create_charge", _request(parameters, method, amount))
        yield shopper("pay", created)
        provider_id = created.reference.provider_id
        charge = yield call("confirm", parameters["order_id"], amount, provider_id=provider_id)
        expect(charge, status=PaymentStatus.SUCCEEDED, is_paid=True, captured=amount)
        _nothing_given_back(charge)

    return script


def declined(parameters: Parameters) -> Scene:
    created = yield call("create_charge", _request(parameters, "alipay"))
    yield shopper("decline", created)
    charge = yield call("get_status", _known(created))
    expect(charge, status=PaymentStatus.PENDING, raw_status="requires_payment_method")
    _unpaid(parameters, charge)
    expect(charge, reason=RejectionCode.DECLINED, raw_reason="generic_decline")


def timed_out(parameters: Parameters) -> Scene:
    created = yield call("create_charge", _request(parameters, "card"))
    yield shopper("time_out", created)
    expect((yield call("get_status", _known(created))), status=PaymentStatus.CANCELLED, raw_status="expired")


def refused_with_a_charge(parameters: Parameters) -> Scene:
    yield sandbox("decline_next", "insufficient_funds")
    charge = yield call("create_charge", _request(parameters, "alipay"))
    expect(charge, raw_status="requires_payment_method", raw_reason="insufficient_funds")
    _unpaid(parameters, charge)
    expect(charge, reason=RejectionCode.INSUFFICIENT_FUNDS)


def refused_without_a_charge(parameters: Parameters) -> Scene:
    yield sandbox("decline_next", "fraudulent", "card_declined", False)
    error = yield call("create_charge", _request(parameters, "alipay"), raises=Rejected)
    expect(error, code=RejectionCode.RISK, definitive=True)


def incompatible(parameters: Parameters) -> Scene:
    """Drop Alipay, which doesn't support dirhams; then the method is missing."""
    error = yield call("create_charge", _request(parameters, "alipay", Money.of("88.00", "AED")), raises=Rejected)
    expect(error, code=RejectionCode.INVALID, definitive=True)


def too_many(parameters: Parameters) -> Scene:
    yield sandbox("refuse_next", 429, "invalid_request_error", "rate_limit")
    yield call("create_charge", _request(parameters, "alipay"), raises=RateLimited)


def repeated(parameters: Parameters) -> Scene:
    first = yield call("create_charge", _request(parameters, "alipay"))
    again = yield call("create_charge", _request(parameters, "alipay"))
    expect(again, reference=first.reference, next_action=first.next_action)


def another_amount(parameters: Parameters) -> Scene:
    yield call("create_charge", _request(parameters, "alipay"))
    error = yield call("create_charge", _request(parameters, "alipay", PART), raises=Rejected)
    expect(error, code=RejectionCode.DUPLICATE, definitive=False)


# Asking.


def unknown_charge(found: str) -> Script:
    def script(parameters: Parameters) -> Scene:
        yield call("get_status", Reference(parameters["order_id"], found), raises=NotFound)

    return script


def unknown_status(parameters: Parameters) -> Scene:
    created = yield call("create_charge", _request(parameters, "alipay"))
    yield sandbox("set_status", created.reference.provider_id, "partially_funded")
    charge = yield call("get_status", _known(created))
    expect(charge, status=PaymentStatus.UNKNOWN, raw_status="partially_funded")
    _unpaid(parameters, charge)


# Capturing and cancelling.


def captured(amount: Money) -> Script:
    def script(parameters: Parameters) -> Scene:
        held = yield from _create_paid(parameters, "card", capture=False)
        expect(held, status=PaymentStatus.AUTHORIZED)
        _unpaid(parameters, held)
        charge = yield call("capture_charge", CaptureRequest(_known(held), "capture-1", amount))
        # Held money that isn't captured is released; that is no refund.
        whole = amount == AMOUNT
        for each in (charge, (yield call("get_status", _known(held)))):
            expect(each, status=PaymentStatus.SUCCEEDED, captured=amount)
            expect(_compared(parameters, each), is_paid=whole)
            _nothing_given_back(each)

    return script


def cancelled(method: str) -> Script:
    def script(parameters: Parameters) -> Scene:
        created = yield call("create_charge", _request(parameters, method))
        charge = yield call("cancel_charge", _known(created))
        expect(charge, status=PaymentStatus.CANCELLED)
        _unpaid(parameters, charge)
        expect(charge.reference, provider_id=created.reference.provider_id)

    return script


def released(parameters: Parameters) -> Scene:
    held = yield from _create_paid(parameters, "card", capture=False)
    charge = yield call("cancel_charge", _known(held))
    expect(charge, status=PaymentStatus.CANCELLED)
    _unpaid(parameters, charge)
    _nothing_given_back(charge)


def paid_is_not_cancelled(parameters: Parameters) -> Scene:
    """Cancel too late, and get the charge as it is."""
    paid = yield from _create_paid(parameters, "alipay")
    charge = yield call("cancel_charge", _known(paid))
    expect(charge, status=PaymentStatus.SUCCEEDED, reference=_known(paid))
    expect(_compared(parameters, charge), is_paid=True)


# Refunding.


def refunded(method: str, amount: Money, status: RefundStatus) -> Script:
    def script(parameters: Parameters) -> Scene:
        paid = yield from _create_paid(parameters, method)
        refund = yield call("refund_charge", RefundRequest(_known(paid), "refund-1", amount))
        expect(refund, status=status, refund_id="refund-1", amount=amount)
        charge = yield call("get_status", _known(paid))
        expect(charge, status=PaymentStatus.SUCCEEDED, refunded=amount)
        expect(_compared(parameters, charge), is_paid=amount != AMOUNT)

    return script


def refund_comes_later(parameters: Parameters) -> Scene:
    paid = yield from _create_paid(parameters, "alipay")
    refund = yield call("refund_charge", RefundRequest(_known(paid), "refund-1", PART))
    expect(refund, status=RefundStatus.PENDING)
    yield sandbox("settle_refund", refund.provider_id)
    asked = RefundReference("refund-1", refund.provider_id, _known(paid))
    expect((yield call("get_refund", asked)), status=RefundStatus.SUCCEEDED, refund_id="refund-1", amount=PART)


def refund_fails(parameters: Parameters) -> Scene:
    paid = yield from _create_paid(parameters, "wechat_pay")
    refund = yield call("refund_charge", RefundRequest(_known(paid), "refund-1", PART))
    yield sandbox("fail_refund", refund.provider_id)
    expect((yield call("get_refund", RefundReference(provider_id=refund.provider_id))), status=RefundStatus.FAILED)
    charge = yield call("get_status", _known(paid))
    expect(charge, status=PaymentStatus.SUCCEEDED)
    _nothing_given_back(charge)


def refund_is_found(parameters: Parameters) -> Scene:
    """Find one of two refunds by the merchant's own id."""
    paid = yield from _create_paid(parameters, "card")
    made = yield call("refund_charge", RefundRequest(_known(paid), "refund-1", Money.of("20.00", "HKD")))
    yield call("refund_charge", RefundRequest(_known(paid), "refund-2", Money.of("30.00", "HKD")))
    found = yield call("get_refund", RefundReference("refund-1", reference=_known(paid)))
    expect(found, provider_id=made.provider_id, refund_id="refund-1", amount=Money.of("20.00", "HKD"))
    yield call("get_refund", RefundReference("refund-3", reference=_known(paid)), raises=NotFound)


def too_much(parameters: Parameters) -> Scene:
    paid = yield from _create_paid(parameters, "alipay")
    yield call("refund_charge", RefundRequest(_known(paid), "refund-1", AMOUNT))
    again = RefundRequest(_known(paid), "refund-2", AMOUNT)
    error = yield call("refund_charge", again, raises=Rejected)
    expect(error, raw_code="charge_already_refunded")
