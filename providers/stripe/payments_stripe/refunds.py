"""Read Stripe's refunds (docs.stripe.com/api/refunds, /refunds)."""

from __future__ import annotations

import re
from typing import Final

from payments_core import (
    InvalidRequest,
    Mismatch,
    ProtocolViolation,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
    RefundStatus,
    Rejected,
    RejectionCode,
    Response,
)

from . import mapping, refusals, wire
from .amounts import money

__all__ = ["STATUSES", "find", "possible_duplicate", "read", "same", "value"]

# docs.stripe.com/api/refunds/object.
STATUSES: Final = {
    "pending": RefundStatus.PENDING,
    "requires_action": RefundStatus.PENDING,  # the shopper must say where the money is to go
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,  # also after it had succeeded: docs.stripe.com/refunds#failed-refunds
    "canceled": RefundStatus.CANCELLED,
}

_ID: Final = re.compile(r"[a-z]{2,4}_[A-Za-z0-9_]{1,240}", re.ASCII)  # re_…, and pyr_… of some methods


def read(provider: str, response: Response, of: Reference | None, intent: str) -> Refund:
    """Return the refund in an answer, or raise its error. `intent` is the PaymentIntent of the charge `of`."""
    if not mapping.is_success(response):
        raise refusals.refusal(response, refusals.read(response))
    return _of(provider, response.decode(wire.REFUND), of, intent, mapping.request_id(response))


def find(
    provider: str, response: Response, asked: RefundReference, intent: str, after: str
) -> tuple[Refund | None, str, str]:
    """Find the refund with the caller's id on a page of the list; return also where the next page begins.

    The next page is `""` after the last. The value between is the Stripe id of a refund with the caller's id under the
    key of earlier versions, or `""`: it may be the same refund, or one of another program.
    """
    if not mapping.is_success(response):
        raise refusals.refusal(response, refusals.read(response))
    page = response.decode(wire.REFUND_LIST)
    last = page.data[-1].id if page.data and page.has_more else ""
    if page.has_more and last in {"", after}:
        raise ProtocolViolation("Stripe's list of refunds does not end")
    namesake = ""
    for each in page.data:
        metadata = each.metadata or {}
        if metadata.get(wire.REFUND_ID) == asked.refund_id:
            return _of(provider, each, asked.reference, intent, mapping.request_id(response)), "", ""
        if metadata.get(wire.FORMER_REFUND_ID) == asked.refund_id and wire.REFUND_ID not in metadata:
            namesake = each.id
    return None, namesake, last


def same(made: Refund, request: RefundRequest) -> Refund:
    """Return an earlier refund if it matches the request."""
    if made.amount == request.amount:
        return made
    raise Rejected(
        f"refund_id {request.refund_id} was used for {made.amount}: another refund is another id",
        code=RejectionCode.DUPLICATE,
        request_id=made.request_id,
    )


def possible_duplicate(refund_id: str, namesake: str) -> Rejected:
    """Return the refusal of a refund that an earlier version, or another program, may already have made."""
    return Rejected(
        f"{refusals.word(namesake)} has metadata.refund_id {refund_id}, written by an earlier version or "
        "another program: look it up by its own id, and use another refund_id if the money still has to be refunded",
        code=RejectionCode.DUPLICATE,
    )


def _of(provider: str, found: wire.Refund, of: Reference | None, intent: str, request_id: str) -> Refund:
    if intent and found.payment_intent not in {None, intent}:
        raise Mismatch("the refund belongs to another charge", field="provider_id")
    reference = mapping.intent_reference(found.metadata, found.payment_intent or "")
    if of is not None and intent and found.payment_intent == intent:
        reference = Reference(mapping.order_id(found.metadata), of.provider_id)
    return value(provider, found, reference, request_id)


def value(provider: str, found: wire.Refund, reference: Reference | None, request_id: str = "") -> Refund:
    """Convert a Refund."""
    raw_status = found.status or ""
    return Refund(
        provider=provider,
        refund_id=_refund_id(found.metadata),
        provider_id=_id(found),
        reference=reference,
        status=STATUSES.get(raw_status, RefundStatus.UNKNOWN),
        raw_status=raw_status,
        amount=money(found.amount, found.currency),
        created_at=mapping.time(found.created),
        request_id=request_id,
    )


def _refund_id(metadata: wire.Metadata) -> str:
    """Return the refund id that a refund wrote in the metadata, or `""`: others may write there as well."""
    found = (metadata or {}).get(wire.REFUND_ID, "")
    try:
        return RefundReference(found).refund_id if found else ""
    except InvalidRequest:
        return ""


def _id(found: wire.Refund) -> str:
    if _ID.fullmatch(found.id) is None:
        raise ProtocolViolation("Stripe's answer has no usable id")
    return found.id
