"""Check a hook's result against its type and against the call; plugins can return anything.

Raise `TypeError` for a plugin's mistake and `Mismatch` for an answer about something else; `outcome` classifies both.
"""

from __future__ import annotations

import inspect
from datetime import datetime
from typing import Final

from ._structs import copy_with
from .errors import Accepted, InvalidRequest, Mismatch, WebhookRejected
from .info import Notifications, ProviderInfo
from .models import Charge, ChargeRequest, Reference, Refund, RefundReference
from .webhooks import Acknowledgement, Notification, Subject, WebhookEvent

__all__ = ["Results", "is_current"]

# Seconds for which the status that an event carries is current: later it may have been refunded, or disputed.
_FRESH: Final = 300.0


class Results:
    """The checks of one provider's results."""

    def __init__(self, name: str, info: ProviderInfo, *, moves_money: bool | None) -> None:
        self._name = name
        self._info = info
        self._moves_money = moves_money

    def _checked(self, result: object) -> Charge:
        if type(result) is not Charge:
            raise TypeError(f"the hook returned {_kind(result)} and not a Charge")
        if result.provider != self._info.id:
            raise TypeError("the Charge names another provider")
        ours, theirs = self._moves_money, result.moves_money
        if ours is not None and theirs is not None and ours is not theirs:
            problem = "test money" if ours else "real money, of an account that was opened as a test one"
            raise Mismatch(
                f"the gateway's answer is about {problem}", field="moves_money", request_id=result.request_id
            )
        return result

    def _charge(self, result: object) -> Charge:
        """Return a copy stamped with the gateway's name; a plugin does not know it."""
        charge = self._checked(result)
        moves_money = self._moves_money if charge.moves_money is None else charge.moves_money
        return copy_with(charge, gateway=self._name, matched=False, moves_money=moves_money)

    def _refund(self, result: object) -> Refund:
        if type(result) is not Refund:
            raise TypeError(f"the hook returned {_kind(result)} and not a Refund")
        if result.provider != self._info.id:
            raise TypeError("the Refund names another provider")
        return copy_with(result, gateway=self._name)

    def charge_asked_for(self, result: object, asked: ChargeRequest) -> Charge:
        """Return the charge that a create made, if it is about this order and amount."""
        charge = self._charge(result)
        known = charge.reference.order_id
        if (known and known != asked.order_id) or (charge.amount is not None and charge.amount != asked.amount):
            error = Mismatch("the gateway's answer is about another order or amount", request_id=charge.request_id)
            if known == asked.order_id:
                error.accepted = Accepted.YES  # it has a charge for this order, of another amount
            raise error
        return charge

    def same_charge(self, result: object, asked: Reference) -> Charge:
        """Return the charge, if it has the ids that were asked about."""
        charge = self._charge(result)
        _same(charge.reference, asked, charge.request_id)
        return charge

    def same_refund(self, result: object, asked: RefundReference) -> Refund:
        """Return the refund, if it has the ids that were asked about."""
        refund = self._refund(result)
        for field in ("refund_id", "provider_id"):
            wanted, answered = getattr(asked, field), getattr(refund, field)
            if wanted and answered and wanted != answered:
                raise Mismatch(
                    "the gateway's answer is about another refund", field=field, request_id=refund.request_id
                )
        if asked.reference is not None and refund.reference is not None:
            _same(refund.reference, asked.reference, refund.request_id)
        return refund

    def notification(self, result: object, received_at: datetime) -> Notification:
        """Return the notification with each event checked, and stamped with the gateway and the time."""
        if type(result) is not Notification:
            raise TypeError(f"the hook returned {_kind(result)} and not a Notification")
        if type(result.events) is not tuple or type(result.acknowledgement) is not Acknowledgement:
            raise TypeError("a Notification holds a tuple of events and an Acknowledgement")
        events = tuple([self._stamped(event, received_at) for event in result.events])
        return Notification(events, result.acknowledgement)

    def _stamped(self, event: WebhookEvent, received_at: datetime) -> WebhookEvent:
        try:
            self.check_event(event)
        except Mismatch:
            raise WebhookRejected("malformed") from None  # test money, told to a live gateway
        return copy_with(
            event,
            charge=None if event.charge is None else self._charge(event.charge),
            refund=None if event.refund is None else self._refund(event.refund),
            gateway=self._name,
            received_at=received_at,
        )

    def check_given(self, event: WebhookEvent) -> None:
        """Raise `InvalidRequest` unless this gateway's parse_webhook may have returned this event about a charge."""
        problem = ""
        try:
            self.check_event(event)
        except TypeError as exc:
            problem = f"the event is none that parse_webhook returns: {exc}"
        if not problem and event.gateway not in {"", self._name}:
            problem = f"the event is of gateway {event.gateway}, and this is {self._name}: give it to that one"
        elif not problem and event.subject is not Subject.CHARGE:
            problem = f"the event is about a {event.subject}: only one about a CHARGE says whether a charge is paid"
        if problem:
            raise InvalidRequest(problem, field="event")

    def check_event(self, event: object) -> None:
        """Raise `TypeError` unless parse_webhook may return this event."""
        if type(event) is not WebhookEvent or event.provider != self._info.id:
            raise TypeError("a Notification holds WebhookEvents of its own provider")
        if type(event.subject) is not Subject or type(event.event_id) is not str or not event.event_id:
            raise TypeError("an event has a Subject and an event_id")
        if event.reference is not None and type(event.reference) is not Reference:
            raise TypeError("an event's reference is a Reference or None")
        if event.occurred_at is not None and getattr(event.occurred_at, "tzinfo", None) is None:
            raise TypeError("an event's occurred_at is an aware datetime or None")
        if event.charge is None and event.refund is None:
            return
        if self._info.notifications is Notifications.UNSIGNED:
            raise TypeError("an event of an unsigned notification carries neither a charge nor a refund")
        if not self._info.authoritative_webhooks:
            raise TypeError("the provider does not declare authoritative_webhooks")
        if event.charge is not None:
            charge = self._checked(event.charge)
            if event.subject is not Subject.CHARGE or event.refund is not None:
                raise TypeError("an event that carries a charge is about that charge")
            if event.reference is not None and _differing(charge.reference, event.reference):
                raise TypeError("an event and its charge are about the same order")
        elif event.subject is not Subject.REFUND or type(event.refund) is not Refund:
            raise TypeError("an event that carries a refund is about that refund")
        elif event.refund.provider != self._info.id:
            raise TypeError("the Refund names another provider")


def is_current(event: WebhookEvent, provider_id: str, now: datetime) -> bool:
    """Return True if an event's own status can be used without a query: it is fresh, and about the known charge."""
    if event.charge is None or (provider_id and not event.charge.reference.provider_id):
        return False  # without an id of the gateway's it could be another charge of the same order id
    if not event.gateway or event.received_at is None:
        return False  # not stamped by a gateway: made by hand, or stored by an older release
    # One that was delivered late, or delivered again, is as old as what it tells.
    times = (event.received_at, event.occurred_at)
    return all(each is not None and abs((now - each).total_seconds()) <= _FRESH for each in times)


def _same(answered: Reference, asked: Reference, request_id: str) -> None:
    if field := _differing(answered, asked):
        raise Mismatch(
            "the gateway's answer is about another charge than the one asked about", field=field, request_id=request_id
        )


def _differing(one: Reference, other: Reference) -> str:
    """Return the name of an id that both have and that differs, or `""`."""
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
