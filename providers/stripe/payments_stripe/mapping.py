"""Between Stripe's words and ours: the one module that knows both vocabularies. Pages are named as in `wire`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from payments_core import (
    Charge,
    Money,
    NextAction,
    PaymentStatus,
    ProtocolViolation,
    Redirect,
    Reference,
    Refund,
    RefundStatus,
    RejectionCode,
    Response,
    ShowQRCode,
    unify,
)

from . import wire
from .amounts import money

__all__ = [
    "REASONS",
    "REFUND_STATUSES",
    "STATUSES",
    "intent_charge",
    "reason_of",
    "refund",
    "request_id",
    "session_charge",
]

STATUSES: Final = {
    # docs.stripe.com/payments/paymentintents/lifecycle
    "requires_payment_method": PaymentStatus.PENDING,  # also after a failed attempt: the shopper may try again
    "requires_confirmation": PaymentStatus.PENDING,
    "requires_action": PaymentStatus.REQUIRES_ACTION,
    "processing": PaymentStatus.PENDING,
    "requires_capture": PaymentStatus.AUTHORIZED,
    "succeeded": PaymentStatus.SUCCEEDED,
    "canceled": PaymentStatus.CANCELLED,
    # docs.stripe.com/api/checkout/sessions/object: status and payment_status, where the PaymentIntent says no more
    "open": PaymentStatus.PENDING,
    "expired": PaymentStatus.CANCELLED,
    "complete:paid": PaymentStatus.SUCCEEDED,
    "complete:unpaid": PaymentStatus.PENDING,  # a method that takes days, or held money
}

REFUND_STATUSES: Final = {  # docs.stripe.com/api/refunds/object, status
    "pending": RefundStatus.PENDING,
    "requires_action": RefundStatus.PENDING,
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.CANCELLED,
}

REASONS: Final = {  # docs.stripe.com/declines/codes; any other is DECLINED
    "insufficient_funds": RejectionCode.INSUFFICIENT_FUNDS,
    "fraudulent": RejectionCode.RISK,
    "merchant_blacklist": RejectionCode.RISK,
    "lost_card": RejectionCode.RISK,
    "stolen_card": RejectionCode.RISK,
    "pickup_card": RejectionCode.RISK,
    "restricted_card": RejectionCode.RISK,
    "security_violation": RejectionCode.RISK,
    "duplicate_transaction": RejectionCode.DUPLICATE,
}

# The shopper may still pay, so a session that is open says more.
_OPEN: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
_WEB_ADDRESS: Final = re.compile(r"https?://[^\s\\@/?#]+(?:[/?#][\x21-\x7e]*)?", re.IGNORECASE | re.ASCII)
_CODE: Final = re.compile(r"[\x20-\x7e]{1,4096}", re.ASCII)


def intent_charge(
    provider: str, intent: wire.Intent, rid: str = "", *, provider_id: str = "", strict: bool = False
) -> Charge:
    """PI: the charge that a PaymentIntent is; `provider_id` where the platform knows it by its session's.

    With `strict`, for the answer to a create, a next action that cannot be understood is `ProtocolViolation`.
    """
    _check_id(intent.id, rid)
    action = _next_action(intent, rid, strict=strict)
    problem = intent.last_payment_error if intent.status in _OPEN | {"canceled"} else None
    return Charge(
        provider=provider,
        reference=Reference(intent.metadata.get("order_id", ""), provider_id or intent.id),
        status=unify(intent.status, STATUSES, action),
        raw_status=intent.status,
        amount=money(intent.amount, intent.currency),
        next_action=action,
        created_at=_time(intent.created),
        paid_at=_paid_at(intent),
        captured=_captured(intent),
        refunded=_refunded(intent),
        request_id=rid,
        reason=reason_of(problem) if problem is not None else None,
        raw_reason=(problem.decline_code or problem.code or "") if problem is not None else "",
    )


def session_charge(provider: str, session: wire.Session, rid: str = "") -> Charge:
    """CS: the charge that a Checkout Session is. What its PaymentIntent says of the money counts for more."""
    _check_id(session.id, rid)
    intent = session.payment_intent if isinstance(session.payment_intent, wire.Intent) else None
    word = _word(session, intent)
    amount = _amount(session)
    action = Redirect(_address(session.url, rid)) if word == "open" and session.url else None
    problem = intent.last_payment_error if intent is not None and word in _OPEN | {"open", "expired"} else None
    if intent is not None and word not in {"open", "expired", "complete:unpaid"}:
        amount = money(intent.amount, intent.currency)  # what was taken, should it ever differ
    return Charge(
        provider=provider,
        reference=Reference(session.metadata.get("order_id") or session.client_reference_id or "", session.id),
        status=unify(word, STATUSES, action),
        raw_status=word,
        amount=amount,
        next_action=action,
        created_at=_time(session.created),
        paid_at=_paid_at(intent) if intent is not None else None,
        expires_at=_time(session.expires_at or 0) if word == "open" else None,
        captured=_captured(intent) if intent is not None else None,
        refunded=_refunded(intent) if intent is not None else None,
        request_id=rid,
        reason=reason_of(problem) if problem is not None else None,
        raw_reason=(problem.decline_code or problem.code or "") if problem is not None else "",
    )


def refund(provider: str, found: wire.RefundObject, rid: str = "") -> Refund:
    """RE: a Refund; our ids of it, and of its charge, are in its metadata."""
    _check_id(found.id, rid)
    charge, order_id = found.metadata.get("charge") or found.payment_intent or "", found.metadata.get("order_id", "")
    status = found.status or ""
    return Refund(
        provider=provider,
        refund_id=found.metadata.get("refund_id", ""),
        provider_id=found.id,
        reference=Reference(order_id, charge) if charge or order_id else None,
        status=REFUND_STATUSES.get(status, RefundStatus.UNKNOWN),
        raw_status=status,
        amount=money(found.amount, found.currency),
        created_at=_time(found.created),
        request_id=rid,
    )


def reason_of(problem: wire.Problem) -> RejectionCode:
    """ER: why a payment was declined."""
    return REASONS.get(problem.decline_code or problem.code or "", RejectionCode.DECLINED)


def request_id(response: Response) -> str:
    """ER: what Stripe's support asks for."""
    return response.header("request-id") or ""


def order_of(metadata: Mapping[str, str]) -> str:
    """The merchant order id that a create put into an object's metadata."""
    return metadata.get("order_id", "")


def _word(session: wire.Session, intent: wire.Intent | None) -> str:
    word = session.status or ""
    if word == "complete":
        word = f"complete:{session.payment_status}"
    if intent is None or (intent.status in _OPEN and word != "complete:paid"):
        return word
    return word if intent.status == "succeeded" and word == "complete:paid" else intent.status


def _amount(session: wire.Session) -> Money | None:
    if session.amount_total is None or session.currency is None:
        return None
    return money(session.amount_total, session.currency)


def _captured(intent: wire.Intent) -> Money | None:
    # PI: after a partial capture the money is amount_received, and amount still says what was held.
    if intent.amount_received is None or (not intent.amount_received and intent.status != "succeeded"):
        return None
    return money(intent.amount_received, intent.currency)


def _refunded(intent: wire.Intent) -> Money | None:
    latest = intent.latest_charge
    if intent.status != "succeeded" or not isinstance(latest, wire.LatestCharge):
        return None
    # What was held and never captured counts as refunded too; nobody had paid that.
    released = intent.amount - intent.amount_received if intent.amount_received is not None else 0
    return money(max(latest.amount_refunded - released, 0), intent.currency)


def _paid_at(intent: wire.Intent) -> datetime | None:
    if intent.status != "succeeded" or not isinstance(intent.latest_charge, wire.LatestCharge):
        return None
    return _time(intent.latest_charge.created)


def _next_action(intent: wire.Intent, rid: str, *, strict: bool) -> NextAction | None:
    try:
        found = wire.NEXT_ACTION(bytes(intent.next_action)) if bytes(intent.next_action) else None
    except Exception:  # noqa: BLE001 - RecursionError and UnicodeDecodeError are no MsgspecErrors
        raise ProtocolViolation("Stripe's next_action cannot be read", request_id=rid) from None
    if found is None or intent.status != "requires_action":
        return None
    if url := found.alipay_handle_redirect.url or found.redirect_to_url.url:
        return Redirect(_address(url, rid))
    if (code := found.wechat_pay_display_qr_code.data) and _CODE.fullmatch(code):
        return ShowQRCode(code)
    if strict:
        raise ProtocolViolation("Stripe's next_action cannot be understood", request_id=rid)
    return None  # somebody else's kind, such as a card's in a page of theirs; the status says enough


def _address(url: str, rid: str) -> str:
    # A shopper's browser goes there: `javascript:` and the like must not come through.
    if _WEB_ADDRESS.fullmatch(url) is None:
        raise ProtocolViolation("Stripe's address for the shopper is not a web address", request_id=rid)
    return url


def _check_id(found: str, rid: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9_]{1,255}", found, re.ASCII) is None:
        raise ProtocolViolation("Stripe's answer has no usable id", request_id=rid)


def _time(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 253_402_300_800 else None
