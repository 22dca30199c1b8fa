"""Define the recorded stories, each for something that no other shows: `payments record stripe`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Final

from payments_core import (
    CaptureRequest,
    Charge,
    ChargeRequest,
    Money,
    NotFound,
    PaymentStatus,
    Redirect,
    Reference,
    RefundReference,
    RefundRequest,
    RefundStatus,
    Rejected,
    RejectionCode,
    ShowQRCode,
)
from payments_core.testing.stories import Script, Step, Story, call, expect, sandbox, shopper

from .policy import INTENTS, POLICY, REFUNDS, SESSIONS

__all__ = ["POLICY", "STORIES"]

Parameters = Mapping[str, str]
Scene = Generator[Step, Any, Any]

AMOUNT: Final = Money.of("88.00", "HKD")
PART: Final = Money.of("60.00", "HKD")


def _request(parameters: Parameters, method: str, amount: Money = AMOUNT, *, capture: bool = True) -> ChargeRequest:
    url = "https://shop.example/paid"
    return ChargeRequest(parameters["order_id"], amount, "A cup of tea", method, return_url=url, capture=capture)


def _create_paid(parameters: Parameters, method: str, *, capture: bool = True) -> Scene:
    """Create a charge and pay it; return its reference."""
    created = yield call("create_charge", _request(parameters, method, capture=capture))
    yield shopper("pay", created)
    return created.reference


def _compared(parameters: Parameters, charge: Charge, amount: Money = AMOUNT) -> Charge:
    return charge.require(parameters["order_id"], amount, provider_id=charge.reference.provider_id)


def _paid(method: str, action: type[object]) -> Script:
    def script(parameters: Parameters) -> Scene:
        created = yield call("create_charge", _request(parameters, method))
        expect(created, status=PaymentStatus.REQUIRES_ACTION, captured=None)
        expect(_compared(parameters, created), is_paid=False)
        if type(created.next_action) is not action:
            raise AssertionError(f"the next action is {created.next_action!r} and no {action.__name__}")
        yield shopper("pay", created)
        provider_id = created.reference.provider_id
        charge = yield call("confirm", parameters["order_id"], AMOUNT, provider_id=provider_id)
        expect(charge, status=PaymentStatus.SUCCEEDED, is_paid=True, captured=AMOUNT, refunded=Money.of("0", "HKD"))

    return script


def _declined(parameters: Parameters) -> Scene:
    created = yield call("create_charge", _request(parameters, "alipay"))
    yield shopper("decline", created)
    charge = yield call("get_status", created.reference)
    expect(charge, status=PaymentStatus.PENDING, raw_status="requires_payment_method")
    expect(charge, reason=RejectionCode.DECLINED, raw_reason="generic_decline")
    expect(_compared(parameters, charge), is_paid=False)


def _refused(parameters: Parameters) -> Scene:
    yield sandbox("decline_next", "insufficient_funds")
    charge = yield call("create_charge", _request(parameters, "alipay"))
    expect(charge, raw_status="requires_payment_method", reason=RejectionCode.INSUFFICIENT_FUNDS)
    expect(_compared(parameters, charge), is_paid=False)


def _incompatible(parameters: Parameters) -> Scene:
    """Drop Alipay, which doesn't support dirhams; then the method is missing."""
    error = yield call("create_charge", _request(parameters, "alipay", Money.of("88.00", "AED")), raises=Rejected)
    expect(error, code=RejectionCode.INVALID, definitive=True)


def _repeated(parameters: Parameters) -> Scene:
    """Repeat a create: the same charge; with another amount, no second charge but a refusal."""
    first = yield call("create_charge", _request(parameters, "alipay"))
    again = yield call("create_charge", _request(parameters, "alipay"))
    expect(again, reference=first.reference, next_action=first.next_action)
    error = yield call("create_charge", _request(parameters, "alipay", PART), raises=Rejected)
    expect(error, code=RejectionCode.DUPLICATE, definitive=False)


def _unknown(parameters: Parameters) -> Scene:
    yield call("get_status", Reference(parameters["order_id"], "pi_3nowhere"), raises=NotFound)


def _captured_in_part(parameters: Parameters) -> Scene:
    """Release what isn't captured; that is no refund."""
    held = yield from _create_paid(parameters, "card", capture=False)
    charge = yield call("get_status", held)
    expect(charge, status=PaymentStatus.AUTHORIZED)
    expect(_compared(parameters, charge), is_paid=False)
    yield call("capture_charge", CaptureRequest(held, "capture-1", PART))
    taken = yield call("get_status", held)
    expect(taken, status=PaymentStatus.SUCCEEDED, captured=PART, refunded=None)
    expect(_compared(parameters, taken), is_paid=False)


def _cancelled(method: str) -> Script:
    def script(parameters: Parameters) -> Scene:
        created = yield call("create_charge", _request(parameters, method))
        charge = yield call("cancel_charge", created.reference)
        expect(charge, status=PaymentStatus.CANCELLED, reference=created.reference)

    return script


def _released(parameters: Parameters) -> Scene:
    held = yield from _create_paid(parameters, "card", capture=False)
    charge = yield call("cancel_charge", held)
    expect(charge, status=PaymentStatus.CANCELLED, refunded=None)


def _paid_is_not_cancelled(parameters: Parameters) -> Scene:
    """Cancel too late, and get the charge as it is."""
    paid = yield from _create_paid(parameters, "alipay")
    charge = yield call("cancel_charge", paid)
    expect(charge, status=PaymentStatus.SUCCEEDED, reference=paid)
    expect(_compared(parameters, charge), is_paid=True)


def _card_refunded(parameters: Parameters) -> Scene:
    """Refund all of a session's money at once, and no more than that."""
    paid = yield from _create_paid(parameters, "card")
    refund = yield call("refund_charge", RefundRequest(paid, "refund-1", AMOUNT))
    expect(refund, status=RefundStatus.SUCCEEDED, refund_id="refund-1", amount=AMOUNT)
    error = yield call("refund_charge", RefundRequest(paid, "refund-2", AMOUNT), raises=Rejected)
    expect(error, raw_code="charge_already_refunded")
    charge = yield call("get_status", paid)
    expect(charge, status=PaymentStatus.SUCCEEDED, refunded=AMOUNT)
    expect(_compared(parameters, charge), is_paid=False)


def _wallet_refunded(parameters: Parameters) -> Scene:
    """Refund a part later, and find it by the merchant's own id."""
    paid = yield from _create_paid(parameters, "alipay")
    refund = yield call("refund_charge", RefundRequest(paid, "refund-1", PART))
    expect(refund, status=RefundStatus.PENDING)
    yield sandbox("settle_refund", refund.provider_id)
    found = yield call("get_refund", RefundReference("refund-1", reference=paid))
    expect(found, status=RefundStatus.SUCCEEDED, provider_id=refund.provider_id, amount=PART)
    yield call("get_refund", RefundReference("refund-2", reference=paid), raises=NotFound)


def _refund_fails(parameters: Parameters) -> Scene:
    paid = yield from _create_paid(parameters, "wechat_pay")
    refund = yield call("refund_charge", RefundRequest(paid, "refund-1", PART))
    yield sandbox("fail_refund", refund.provider_id)
    expect((yield call("get_refund", RefundReference(provider_id=refund.provider_id))), status=RefundStatus.FAILED)
    charge = yield call("get_status", paid)
    expect(charge, status=PaymentStatus.SUCCEEDED, refunded=Money.of("0", "HKD"))


def _played(name: str, script: Script, *repeats: str, live: bool = True) -> Story:
    """Fix every random value and the port, so that a recording repeats. `repeats` are asked more than once."""
    options = {"seed": name, "public_url": "https://pay.invalid"}
    return Story(name, script, POLICY, live, options=options, repeats=repeats)


_SESSION: Final = f"{SESSIONS}/{{id}}"
_INTENT: Final = f"{INTENTS}/{{id}}"

STORIES: Final = (
    _played("alipay-paid", _paid("alipay", Redirect)),
    _played("wechat-pay-paid", _paid("wechat_pay", ShowQRCode)),
    _played("card-paid", _paid("card", Redirect)),
    _played("wallet-declined", _declined),
    _played("refused-with-a-charge", _refused, live=False),
    _played("refused-currency", _incompatible),
    _played("repeated-create", _repeated, INTENTS),
    _played("unknown-payment-intent", _unknown),
    _played("captured-in-part", _captured_in_part, _SESSION),
    _played("wallet-cancelled", _cancelled("alipay")),
    _played("session-cancelled", _cancelled("card")),
    _played("authorization-cancelled", _released, _SESSION),
    _played("paid-is-not-cancelled", _paid_is_not_cancelled, _INTENT),
    _played("card-refunded", _card_refunded, _SESSION, REFUNDS),
    _played("wallet-refunded-in-part", _wallet_refunded, _INTENT, REFUNDS, live=False),
    _played("refund-fails", _refund_fails, _INTENT, live=False),
)
