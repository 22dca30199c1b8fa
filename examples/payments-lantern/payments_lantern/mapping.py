"""Map Lantern Pay's vocabulary to ours; no other module knows both."""

from __future__ import annotations

import re
from typing import Final

from payments_core import (
    Charge,
    ChargeRequest,
    Money,
    NotFound,
    PaymentStatus,
    ProtocolViolation,
    Redirect,
    Reference,
    Rejected,
    RejectionCode,
    Response,
    unify,
)

from . import wire

__all__ = ["REFUSALS", "STATUSES", "charge", "create", "refusal", "request_id"]

STATUSES: Final = {
    "waiting": PaymentStatus.PENDING,  # STATES: the shopper has not decided
    "paid": PaymentStatus.SUCCEEDED,  # STATES: the money is yours
    "declined": PaymentStatus.FAILED,  # STATES: the shopper's bank said no; final
    "closed": PaymentStatus.CANCELLED,  # STATES: the shopper left, or an hour passed; final
}

# REFUSALS: the word, what it means, and whether Lantern Pay says that no payment was made.
REFUSALS: Final = {
    "declined": (RejectionCode.DECLINED, True),
    "invalid": (RejectionCode.INVALID, True),
    "ref_used": (RejectionCode.DUPLICATE, False),  # there is an earlier payment, and it may be paid
}

_WEB_ADDRESS: Final = re.compile(r"https?://[^\s\\@/?#]+(?:[/?#][\x21-\x7e]*)?", re.ASCII)
_TRACE: Final = "lantern-trace"


def create(request: ChargeRequest) -> bytes:
    """Build the body (CREATE)."""
    return wire.ENCODE(
        wire.Create(
            merchant_ref=request.order_id,
            amount=request.amount.text,
            currency=request.amount.currency,
            title=request.description,
            callback_url=request.notify_url,
            return_url=request.return_url,
        )
    )


def charge(provider: str, response: Response) -> Charge:
    """Read the payment in an answer (CREATE, ASK); any status but 200 is a refusal."""
    if response.status != 200:
        raise refusal(response)
    payment = response.decode(wire.PAYMENT)
    action = _redirect(payment.checkout_url) if payment.checkout_url else None
    return Charge(
        provider=provider,
        reference=Reference(order_id=payment.merchant_ref, provider_id=payment.payment_id),
        status=unify(payment.state, STATUSES, action),
        raw_status=payment.state,
        amount=Money.of(payment.amount, payment.currency),
        next_action=action,
        created_at=payment.created,
        paid_at=payment.paid,
        request_id=request_id(response),
    )


def refusal(response: Response) -> Rejected | NotFound:
    """Map the word of a refusal (REFUSALS); an unlisted word proves nothing."""
    word = response.decode(wire.PROBLEM).error
    if response.status == 404 and word == "no_such_payment":
        return NotFound("Lantern Pay has no such payment", raw_code=word)
    code, definitive = REFUSALS.get(word, (RejectionCode.UNKNOWN, False))
    message = f"Lantern Pay said {word} (HTTP {response.status})"
    return Rejected(message, code=code, definitive=definitive, raw_code=word)


def request_id(response: Response) -> str:
    """Return the trace of any answer, which support asks for (KEYS)."""
    return response.header(_TRACE) or ""


def _redirect(url: str) -> Redirect:
    # A shopper's browser goes there: `javascript:` and the like must not come through.
    if _WEB_ADDRESS.fullmatch(url) is None:
        raise ProtocolViolation("Lantern Pay's checkout_url is not a web address")
    return Redirect(url)
