"""A hook's result held against its type and against what was asked for; plugins can return anything.

`TypeError` is a plugin's mistake and `Mismatch` an answer about something else; the position makes of them what it must.
"""

from __future__ import annotations

import inspect

from .errors import Mismatch
from .info import ProviderInfo
from .models import Charge, ChargeRequest, Reference, Refund, RefundReference
from .webhooks import Acknowledgement, Notification, Subject, WebhookEvent

__all__ = ["Results"]


class Results:
    """The checks of one provider's results."""

    def __init__(self, info: ProviderInfo) -> None:
        self._info = info

    def _charge(self, result: object) -> Charge:
        if type(result) is not Charge:
            raise TypeError(f"the hook returned {_kind(result)} and not a Charge")
        if result.provider != self._info.id:
            raise TypeError("the Charge names another provider")
        return result

    def charge_asked_for(self, result: object, asked: ChargeRequest) -> Charge:
        """The charge that a create returned, about this order and amount."""
        charge = self._charge(result)
        known = charge.reference.order_id
        if (known and known != asked.order_id) or (charge.amount is not None and charge.amount != asked.amount):
            raise Mismatch("the gateway's answer is about another order or amount", request_id=charge.request_id)
        return charge

    def same_charge(self, result: object, asked: Reference) -> Charge:
        """A charge about the ids that were asked about."""
        charge = self._charge(result)
        _same(charge.reference, asked, charge.request_id)
        return charge

    def same_refund(self, result: object, asked: RefundReference) -> Refund:
        """A refund about the ids that were asked about."""
        if type(result) is not Refund:
            raise TypeError(f"the hook returned {_kind(result)} and not a Refund")
        if result.provider != self._info.id:
            raise TypeError("the Refund names another provider")
        for field in ("refund_id", "provider_id"):
            wanted, answered = getattr(asked, field), getattr(result, field)
            if wanted and answered and wanted != answered:
                raise Mismatch(
                    "the gateway's answer is about another refund", field=field, request_id=result.request_id
                )
        if asked.reference is not None and result.reference is not None:
            _same(result.reference, asked.reference, result.request_id)
        return result

    def notification(self, result: object) -> Notification:
        """A notification whose every event is sound."""
        if type(result) is not Notification:
            raise TypeError(f"the hook returned {_kind(result)} and not a Notification")
        if type(result.events) is not tuple or type(result.acknowledgement) is not Acknowledgement:
            raise TypeError("a Notification holds a tuple of events and an Acknowledgement")
        for event in result.events:
            self.check_event(event)
        return result

    def check_event(self, event: object) -> None:
        """Raise `TypeError` unless parse_webhook may return this event."""
        if type(event) is not WebhookEvent or event.provider != self._info.id:
            raise TypeError("a Notification holds WebhookEvents of its own provider")
        if type(event.subject) is not Subject or type(event.event_id) is not str or not event.event_id:
            raise TypeError("an event has a Subject and an event_id")
        if event.reference is not None and type(event.reference) is not Reference:
            raise TypeError("an event's reference is a Reference or None")
        if event.charge is None and event.refund is None:
            return
        if not self._info.authoritative_webhooks:
            raise TypeError("the provider does not declare authoritative_webhooks")
        if event.charge is not None:
            charge = self._charge(event.charge)
            if event.subject is not Subject.CHARGE or event.refund is not None:
                raise TypeError("an event that carries a charge is about that charge")
            if event.reference is not None and _differing(charge.reference, event.reference):
                raise TypeError("an event and its charge are about the same order")
        elif event.subject is not Subject.REFUND or type(event.refund) is not Refund:
            raise TypeError("an event that carries a refund is about that refund")
        elif event.refund.provider != self._info.id:
            raise TypeError("the Refund names another provider")


def _same(answered: Reference, asked: Reference, request_id: str) -> None:
    if field := _differing(answered, asked):
        raise Mismatch(
            "the gateway's answer is about another charge than the one asked about", field=field, request_id=request_id
        )


def _differing(one: Reference, other: Reference) -> str:
    """The id that both know and that differs, or `""`."""
    for field in ("order_id", "provider_id"):
        ours, theirs = getattr(one, field), getattr(other, field)
        if ours and theirs and ours != theirs:
            return field
    return ""


def _kind(result: object) -> str:
    if inspect.iscoroutine(result):
        result.close()
        return "a coroutine"
    return "None" if result is None else f"a {type(result).__name__}"
