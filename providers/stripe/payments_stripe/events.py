"""What a believed notification says (docs.stripe.com/api/events/object, /api/events/types).

An object in an event has the shape of the version that the endpoint is registered with. So its status is believed where
that version is ours; else the event is a hint with the ids alone, which every version writes alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from payments_core import (
    Notification,
    PaymentStatus,
    Reference,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
)

from . import mapping, refunds, wire
from .amounts import is_known

__all__ = ["READERS", "notification"]

T = TypeVar("T")

_TEXT: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9_]{0,128}", re.ASCII)


def notification(provider: str, delivery: WebhookDelivery, *, livemode: bool | None) -> Notification:
    """The one event of a verified delivery; `livemode` is the mode of the account's key, where that is known."""
    event = delivery.decode(wire.EVENT)
    if not (_TEXT.fullmatch(event.id) and _TEXT.fullmatch(event.type) and _ACCOUNT.fullmatch(event.account or "")):
        raise WebhookRejected("malformed")
    if event.object != "event" and not event.object.startswith("v2."):
        raise WebhookRejected("malformed")
    if None not in {livemode, event.livemode} and event.livemode is not livemode:
        raise WebhookRejected("malformed")  # play money, or a live event in a test's account
    read = _reader(event)
    if read is None:
        return Notification((_event(provider, event, Subject.OTHER, None),))
    target = delivery.decode(wire.TARGET).data.object
    return Notification((read(provider, event, target),))


def _reader(event: wire.Event) -> Callable[[str, wire.Event, msgspec.Raw], WebhookEvent] | None:
    """Who reads an event of this kind; of every other one nothing but its name is.

    Of a connected account's neither: its owner writes what he likes, and the money goes to him.
    """
    if event.object != "event" or event.account:
        return None
    found = [reader for prefix, reader in READERS if event.type.startswith(prefix)]
    return found[0] if found else None


def _of_intent(provider: str, event: wire.Event, target: msgspec.Raw) -> WebhookEvent:
    named = _named(target, "payment_intent")
    reference = mapping.intent_reference(named.metadata, named.id)
    if reference is None:
        return _event(provider, event, Subject.OTHER, None)
    hint = _event(provider, event, Subject.CHARGE, reference)
    if not _is_ours(event):
        return hint
    intent = _decode(target, wire.INTENT)
    # A session whose PaymentIntent was canceled may make another one.
    over = intent.status == "canceled" and not reference.provider_id
    if over or intent.amount_received is None or not is_known(intent.currency):
        return hint
    return msgspec.structs.replace(hint, charge=mapping.intent_charge(provider, intent, reference))


def _of_session(provider: str, event: wire.Event, target: msgspec.Raw) -> WebhookEvent:
    named = _named(target, "checkout.session")
    reference = Reference(mapping.order_id(named.metadata), named.id)
    hint = _event(provider, event, Subject.CHARGE, reference)
    if not _is_ours(event):
        return hint
    session = _decode(target, wire.SESSION)
    status = mapping.STATUSES.get(mapping.session_word(session))
    paid = status is PaymentStatus.SUCCEEDED
    # One that expired with a PaymentIntent may have been paid at the last moment: only asking tells.
    over = status is PaymentStatus.CANCELLED and session.payment_intent is None
    if session.mode != "payment" or not (paid or over) or not is_known(session.currency):
        return hint
    return msgspec.structs.replace(hint, charge=mapping.session_charge(provider, session))


def _of_refund(provider: str, event: wire.Event, target: msgspec.Raw) -> WebhookEvent:
    named = _named(target, "refund")
    hint = _event(provider, event, Subject.REFUND, mapping.intent_reference(named.metadata, _paid_by(named)))
    if not _is_ours(event):
        return hint
    refund = _decode(target, wire.REFUND)
    if not is_known(refund.currency):
        return hint
    return msgspec.structs.replace(hint, refund=refunds.value(provider, refund, hint.reference))


def _of_refunded_charge(provider: str, event: wire.Event, target: msgspec.Raw) -> WebhookEvent:
    named = _named(target, "charge")
    return _event(provider, event, Subject.REFUND, mapping.intent_reference(named.metadata, _paid_by(named)))


def _of_dispute(provider: str, event: wire.Event, target: msgspec.Raw) -> WebhookEvent:
    paid_by = _paid_by(_named(target, "dispute"))
    return _event(provider, event, Subject.DISPUTE, Reference(provider_id=paid_by) if paid_by else None)


READERS: Final = (
    ("payment_intent.", _of_intent),
    ("checkout.session.", _of_session),
    ("refund.", _of_refund),
    ("charge.refund.", _of_refund),
    ("charge.refunded", _of_refunded_charge),
    ("charge.dispute.", _of_dispute),
)


def _is_ours(event: wire.Event) -> bool:
    return event.api_version == wire.VERSION and event.livemode is not None


def _event(provider: str, event: wire.Event, subject: Subject, reference: Reference | None) -> WebhookEvent:
    return WebhookEvent(provider, subject, event.type, reference, event.id, account=event.account or "")


def _named(target: msgspec.Raw, kind: str) -> wire.Named:
    named = _decode(target, wire.NAMED)
    if named.object != kind or _TEXT.fullmatch(named.id) is None:
        raise WebhookRejected("malformed")
    return named


def _paid_by(named: wire.Named) -> str:
    return _decode(named.payment_intent, wire.TEXT) or ""


def _decode(part: msgspec.Raw, decoder: Callable[[bytes], T]) -> T:
    """Like `WebhookDelivery.decode`, for a part of the body."""
    return WebhookDelivery(bytes(part), {}).decode(decoder)
