"""Stripe's events: verified over the raw bytes, then read.

An event is a snapshot of the object, signed whole. It is authoritative where it has the shape that `wire` reads, which is
that of the endpoint's API version; of any other version it is a hint. Sources: docs.stripe.com/webhooks/signature, EV.
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime
from typing import Final

import msgspec

from payments_core import (
    Charge,
    Notification,
    Reference,
    Refund,
    Secret,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
    same_hex_digest,
)

from . import mapping, wire

__all__ = ["SIGNATURE_HEADER", "TOLERANCE", "notification", "sign", "verify"]

SIGNATURE_HEADER: Final = "Stripe-Signature"
TOLERANCE: Final = 300  # seconds, to both sides
_MOST_SIGNATURES: Final = 16
_LONGEST_HEADER: Final = 4096
_TIME: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_NAME: Final = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z0-9_]{1,255}", re.ASCII)


def sign(body: bytes, key: Secret, at: datetime) -> str:
    """The header that makes `body` a genuine event, signed at that time."""
    stamp = str(int(at.timestamp()))
    return f"t={stamp},v1={_digest(stamp, body, key).hex()}"


def _digest(stamp: str, body: bytes, key: Secret) -> bytes:
    return hmac.digest(key.reveal().encode(), b"%b.%b" % (stamp.encode(), body), "sha256")


def verify(delivery: WebhookDelivery, keys: tuple[Secret, ...], now: datetime) -> None:
    """Raise `WebhookRejected` unless one of the keys has signed these bytes, at about this time."""
    given = delivery.values(SIGNATURE_HEADER)
    if len(given) != 1 or len(given[0]) > _LONGEST_HEADER:
        raise WebhookRejected("signature")
    pairs = [part.partition("=") for part in given[0].split(",")]
    stamps = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if len(stamps) != 1 or _TIME.fullmatch(stamps[0]) is None or not 1 <= len(signatures) <= _MOST_SIGNATURES:
        raise WebhookRejected("signature")
    expected = [_digest(stamps[0], delivery.body, key) for key in keys]
    matched = [same_hex_digest(each, expected) for each in signatures]  # all of them: time tells nothing
    if not any(matched):
        raise WebhookRejected("signature")
    if abs(now.timestamp() - int(stamps[0])) > TOLERANCE:
        raise WebhookRejected("stale")


def notification(provider: str, delivery: WebhookDelivery, *, live: bool | None) -> Notification:
    """The one event of a verified delivery; `live` is the key's mode, where the key says."""
    event = delivery.decode(wire.EVENT)
    if _ID.fullmatch(event.id) is None or _NAME.fullmatch(event.type) is None:
        raise WebhookRejected("malformed")
    if live is not None and event.livemode is not None and event.livemode is not live:
        raise WebhookRejected("malformed", "the event is of the other mode: live and test have keys of their own")
    return Notification((_event(provider, event, delivery),))


def _event(provider: str, event: wire.Event, delivery: WebhookDelivery) -> WebhookEvent:
    subject = _subject(event.type)
    reference: Reference | None = None
    charge: Charge | None = None
    refund: Refund | None = None
    if subject is not Subject.OTHER:
        body = bytes(delivery.decode(lambda _: wire.EVENT_DATA(bytes(event.data))).object)
        reference, charge, refund = delivery.decode(lambda _: _READ[_family(event.type)](provider, body))
        if event.api_version != wire.API_VERSION:
            charge = refund = None
        if reference is None and subject is Subject.CHARGE:
            subject = Subject.OTHER  # of a charge that was not made here, and cannot be asked about
    account = event.account or ""
    return WebhookEvent(provider, subject, event.type, reference, event.id, charge, refund, account)


Read = tuple[Reference | None, Charge | None, Refund | None]


def _intent(provider: str, body: bytes) -> Read:
    intent = wire.INTENT(body)
    charge = mapping.intent_charge(provider, intent)
    if intent.metadata.get("checkout") == "session":
        # The platform knows this charge by its session's id, which nothing here says.
        order_id = mapping.order_of(intent.metadata)
        if not order_id:
            return None, None, None
        reference = Reference(order_id)
        return reference, msgspec.structs.replace(charge, reference=reference), None
    return charge.reference, charge, None


def _session(provider: str, body: bytes) -> Read:
    session = wire.SESSION(body)
    charge = mapping.session_charge(provider, session)
    # Complete and unpaid is either held money or a method that takes days: the session alone does not say which.
    told = charge if charge.raw_status in {"open", "expired", "complete:paid"} else None
    return charge.reference, told, None


def _refund(provider: str, body: bytes) -> Read:
    refund = mapping.refund(provider, wire.REFUND(body))
    return refund.reference, None, refund


def _of_a_charge(_: str, body: bytes) -> Read:
    """A Charge that was refunded, or a Dispute: they say where they belong."""
    found = wire.DISPUTE(body)
    named = "" if found.metadata.get("checkout") == "session" else found.payment_intent or ""
    order_id = mapping.order_of(found.metadata)
    return (Reference(order_id, named) if order_id or named else None), None, None


_READ: Final = {
    "payment_intent": _intent,
    "checkout.session": _session,
    "refund": _refund,
    "charge": _of_a_charge,
}
_REFUND_KINDS: Final = frozenset({"charge.refunded", "charge.refund.updated"})


def _subject(kind: str) -> Subject:
    if kind.startswith(("payment_intent.", "checkout.session.")):
        return Subject.CHARGE
    if kind.startswith("refund.") or kind in _REFUND_KINDS:
        return Subject.REFUND
    return Subject.DISPUTE if kind.startswith("charge.dispute.") else Subject.OTHER


def _family(kind: str) -> str:
    if kind == "charge.refund.updated":
        return "refund"
    return "checkout.session" if kind.startswith("checkout.session.") else kind.partition(".")[0]
