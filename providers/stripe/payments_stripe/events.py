"""Read verified notifications (docs.stripe.com/api/events/object, /api/events/types).

An object in an event has the shape of the version that the endpoint is registered with. Its status is trusted only if
that version is ours; otherwise the event is a hint with the ids alone, which all versions write alike. It is also a
hint if it may be about somebody else's money: in another account of an organization (`context`), or on the
PaymentIntent of a session, whose id the shop has never seen and cannot compare.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

from payments_core import (
    Charge,
    Notification,
    PaymentStatus,
    Reference,
    Refund,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
)

from . import mapping, refunds, wire
from .amounts import is_known

__all__ = ["READERS", "notification"]

T = TypeVar("T", wire.Intent, wire.Session, wire.Refund)
Reader: TypeAlias = Callable[[str, wire.Event, WebhookDelivery], WebhookEvent]

_TEXT: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9_]{0,128}", re.ASCII)
_CONTEXT: Final = re.compile(r"[A-Za-z0-9_/]{0,255}", re.ASCII)  # an account, or the path to it from an organization


def notification(provider: str, delivery: WebhookDelivery, *, livemode: bool | None) -> Notification:
    """Return the one event of a verified delivery. `livemode` is the mode of the account's key, if known."""
    event = delivery.decode(wire.EVENT)
    if not (_TEXT.fullmatch(event.id) and _TEXT.fullmatch(event.type)):
        raise WebhookRejected("malformed")
    if not (_ACCOUNT.fullmatch(event.account or "") and _CONTEXT.fullmatch(event.context or "")):
        raise WebhookRejected("malformed")
    if event.object != "event" and not event.object.startswith("v2."):
        raise WebhookRejected("malformed")
    if None not in {livemode, event.livemode} and event.livemode is not livemode:
        raise WebhookRejected("malformed")  # test money, or a live event in a test account
    read = _reader(event)
    return Notification((read(provider, event, delivery),))


def _reader(event: wire.Event) -> Reader:
    """Return the reader for an event of this kind, or None: only the name of other kinds is read.

    Events of connected accounts are not read either: the owner controls their content and receives the money.
    """
    if event.object == "event" and not event.account:
        for prefix, reader in READERS:
            if event.type.startswith(prefix):
                return reader
    return _other


def _other(provider: str, event: wire.Event, delivery: WebhookDelivery) -> WebhookEvent:
    del delivery
    return _event(provider, event, Subject.OTHER, None)


def _of_intent(provider: str, event: wire.Event, delivery: WebhookDelivery) -> WebhookEvent:
    found = _target(event, delivery, "payment_intent", wire.OF_INTENT)
    reference = mapping.intent_reference(found.metadata, found.id)
    if reference is None:
        return _event(provider, event, Subject.OTHER, None)
    of_a_session = not reference.provider_id
    if isinstance(found, wire.Named) or of_a_session or found.amount_received is None or not is_known(found.currency):
        return _event(provider, event, Subject.CHARGE, reference)
    charge = mapping.intent_charge(provider, found, reference)
    return _event(provider, event, Subject.CHARGE, reference, charge)


def _of_session(provider: str, event: wire.Event, delivery: WebhookDelivery) -> WebhookEvent:
    found = _target(event, delivery, "checkout.session", wire.OF_SESSION)
    reference = Reference(mapping.order_id(found.metadata), found.id)
    if isinstance(found, wire.Named):
        return _event(provider, event, Subject.CHARGE, reference)
    status = mapping.session_status(found)
    paid = status is PaymentStatus.SUCCEEDED
    # A session that expired with a PaymentIntent may have been paid at the last moment: only a query tells.
    over = status is PaymentStatus.CANCELLED and found.payment_intent is None
    # The `payment_status` of a session with held money isn't documented; only its PaymentIntent tells held from taken.
    # A session without our order id doesn't say whether its money is held: another version or program made it.
    held = mapping.is_manual(found) or not reference.order_id
    if found.mode != "payment" or held or not (paid or over) or not is_known(found.currency):
        return _event(provider, event, Subject.CHARGE, reference)
    return _event(provider, event, Subject.CHARGE, reference, mapping.session_charge(provider, found))


def _of_refund(provider: str, event: wire.Event, delivery: WebhookDelivery) -> WebhookEvent:
    found = _target(event, delivery, "refund", wire.OF_REFUND)
    paid_by = _intent_id(found) if isinstance(found, wire.Named) else found.payment_intent or ""
    reference = mapping.intent_reference(found.metadata, paid_by)
    if isinstance(found, wire.Named) or not is_known(found.currency):
        return _event(provider, event, Subject.REFUND, reference)
    return _event(provider, event, Subject.REFUND, reference, refund=refunds.value(provider, found, reference))


def _of_refunded_charge(provider: str, event: wire.Event, delivery: WebhookDelivery) -> WebhookEvent:
    named = _named(delivery, "charge")
    return _event(provider, event, Subject.REFUND, mapping.intent_reference(named.metadata, _intent_id(named)))


def _of_dispute(provider: str, event: wire.Event, delivery: WebhookDelivery) -> WebhookEvent:
    paid_by = _intent_id(_named(delivery, "dispute"))
    return _event(provider, event, Subject.DISPUTE, Reference(provider_id=paid_by) if paid_by else None)


READERS: Final[tuple[tuple[str, Reader], ...]] = (
    ("payment_intent.", _of_intent),
    ("checkout.session.", _of_session),
    ("refund.", _of_refund),
    ("charge.refund.", _of_refund),
    ("charge.refunded", _of_refunded_charge),
    ("charge.dispute.", _of_dispute),
)


def _event(
    provider: str,
    event: wire.Event,
    subject: Subject,
    reference: Reference | None,
    charge: Charge | None = None,
    refund: Refund | None = None,
) -> WebhookEvent:
    account = event.account or event.context or ""
    occurred_at = mapping.time(event.created)
    return WebhookEvent(
        provider, subject, event.type, reference, event.id, charge, refund, account, occurred_at=occurred_at
    )


def _target(
    event: wire.Event, delivery: WebhookDelivery, kind: str, ours: Callable[[bytes], wire.Told[T]]
) -> T | wire.Named:
    """Decode the object of the event: in full if version and account are ours, else the fields all versions share."""
    if event.api_version != wire.VERSION or event.livemode is None or event.context:
        return _named(delivery, kind)
    found = delivery.decode(ours).data.object
    _check_id(found.id)
    return found


def _named(delivery: WebhookDelivery, kind: str) -> wire.Named:
    named = delivery.decode(wire.OF_NAMED).data.object
    if named.object != kind:
        raise WebhookRejected("malformed")
    _check_id(named.id)
    return named


def _check_id(found: str) -> None:
    if _TEXT.fullmatch(found) is None:
        raise WebhookRejected("malformed")


def _intent_id(named: wire.Named) -> str:
    """Return the PaymentIntent's id."""
    return WebhookDelivery(bytes(named.payment_intent), {}).decode(wire.TEXT) or ""
