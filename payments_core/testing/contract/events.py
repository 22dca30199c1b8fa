"""Check webhook events: their identity, their content, and that a batch is complete."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from payments_core import (
    CURRENCY_EXPONENTS,
    Gateway,
    InvalidRequest,
    Money,
    NotFound,
    OutcomeUnknown,
    PaymentStatus,
    Reference,
    RefundReference,
    RefundRequest,
    RefundStatus,
    Rejected,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
)

from .bench import Bench, says_paid
from .declaration import FLOAT_UNSAFE
from .forgeries import Genuine
from .rules import ASKED, HAS_BATCH, NOTIFIES, SIGNED, TELLS, Condition, Rules, essential, needs

__all__ = ["Events"]


class Events(Rules):
    """Check the events that a shop acts on."""

    # Identity.

    @essential
    @needs(NOTIFIES)
    def test_two_states_of_a_charge_are_two_events(self, bench: Bench) -> None:
        """Shops handle an authoritative `event_id` once, so a payment with an earlier event's id would be dropped."""
        with bench.open() as gateway:
            order_id = bench.new_order()
            charge = bench.create(gateway, order_id)
            reference = bench.reference(charge, order_id)
            told = list(_notified(bench, gateway, reference.provider_id))
            bench.sandbox.pay(reference.provider_id)
            told += gateway.parse_webhook(bench.sandbox.notification(reference.provider_id)).events
            if "refund_charge" in self.info().operations:
                for each in ("a", "b"):
                    gateway.refund_charge(
                        RefundRequest(reference, f"refund-{order_id}{each}", bench.quarter(bench.quarter(bench.amount)))
                    )
                    told += _notified(bench, gateway, reference.provider_id)
        # A hint that only names the charge may repeat: it is not a duplicate, and prompts a query each time.
        by_id = {event.event_id: event for event in told}
        for event in told:
            latest = by_id[event.event_id]
            assert _state(event) == _state(latest), (
                f"{event.raw_kind} and {latest.raw_kind} of one charge share the event_id {event.event_id}, "
                f"and say {_state(event)[2:]} and {_state(latest)[2:]}"
            )

    @needs(NOTIFIES, Condition("the test class has no `foreign`", lambda cls: cls.foreign is not Rules.foreign))
    def test_a_payment_that_is_not_this_shop_s_is_acknowledged(self, bench: Bench) -> None:
        """A refusal would be redelivered for days; an event that names a charge claims it as ours."""
        delivery = self.foreign(bench.sandbox)
        with bench.open() as gateway:
            try:
                notification = gateway.parse_webhook(Genuine.of(bench, delivery).with_())
            except WebhookRejected as exc:
                raise AssertionError(f"a payment of another shop of the account is refused: {exc!r}") from None
        assert 200 <= notification.acknowledgement.status < 300
        for event in notification.events:
            assert (event.subject, event.reference) == (Subject.OTHER, None), (
                f"a payment that is not this shop's is reported as a {event.subject} {event.reference}: make it a "
                "Subject.OTHER without a reference"
            )

    @needs(NOTIFIES, SIGNED)
    def test_a_redelivery_signed_anew_has_the_same_event_ids(self, bench: Bench) -> None:
        """Gateways sign each attempt anew; an id that depends on the attempt makes two payments of one."""
        with bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            later = genuine.now + timedelta(seconds=5)
            again = replace(genuine.with_(genuine.signed(at=later)), received_at=later)
            first, second = (
                [event.event_id for event in gateway.parse_webhook(each).events] for each in (genuine.with_(), again)
            )
        assert first == second, f"the event_id depends on the delivery: {first} became {second}"

    # Content.

    @essential
    @needs(NOTIFIES, TELLS)
    def test_a_status_in_a_notification_is_read_as_documented(self, bench: Bench) -> None:
        """An authoritative event settles an order without a query, so its statuses are mapped like an answer's."""
        wrong = []
        words = [*self.raw_statuses, "unheard_of", *(f"{word}_2" for word in self.raw_statuses)]
        with bench.open() as gateway:
            for word in words:
                fields = {**bench.usual_fields(), **self.fields_for_status(word)}
                provider_id = bench.create(gateway, **fields).reference.provider_id
                bench.sandbox.set_status(provider_id, word)
                for event in _notified(bench, gateway, provider_id):
                    wrong += self._misread(event)
                    paid = event.charge is not None and says_paid(event.charge)
                    if paid and self.raw_statuses.get(word) is not PaymentStatus.SUCCEEDED:
                        wrong.append(f"{word} is reported as paid")
        assert not wrong, "; ".join(wrong)

    @essential
    @needs(NOTIFIES, TELLS)
    def test_no_digit_of_an_amount_is_lost_in_a_notification(self, bench: Bench) -> None:
        """Use every currency, and amounts that floats misrepresent."""
        exponents = {CURRENCY_EXPONENTS[each]: each for each in sorted(self.info().currencies, reverse=True)}
        amounts = [bench.amount_in(each) for each in sorted(self.info().currencies)]
        amounts += [
            Money.of(text + "0" * (exponent - 2), currency)
            for exponent, currency in exponents.items()
            if exponent >= 2
            for text in FLOAT_UNSAFE
        ]
        with bench.open() as gateway:
            for asked in amounts:
                # The gateway may refuse the amount: then there is no notification.
                with contextlib.suppress(InvalidRequest, Rejected, OutcomeUnknown):
                    charge = bench.create(gateway, amount=asked)
                    bench.sandbox.pay(charge.reference.provider_id)
                    for event in _notified(bench, gateway, charge.reference.provider_id):
                        if event.charge is not None:
                            told = event.charge.amount
                            assert told == asked, f"{asked} was paid, and the notification is read as {told}"

    # Batches.

    @essential
    @needs(NOTIFIES, SIGNED, HAS_BATCH)
    def test_a_batch_with_one_bad_event_is_refused_whole(self, bench: Bench) -> None:
        """An acknowledged event is never delivered again; a refused batch is."""
        delivery, count = bench.batch()
        with bench.open() as gateway:
            genuine = Genuine.of(bench, delivery)
            for body in _with_invalid_event(delivery.body, count):
                try:
                    events = gateway.parse_webhook(genuine.with_(genuine.signed(body=body), body)).events
                except WebhookRejected:
                    continue
                assert len(events) >= count, f"one of {count} events is bad, and {len(events)} are accepted without it"

    @essential
    @needs(NOTIFIES, HAS_BATCH, TELLS, ASKED)
    def test_every_event_of_a_batch_agrees_with_a_query(self, bench: Bench) -> None:
        """Statuses, amounts and payments agree with the answer to a query."""
        delivery, _ = bench.batch()
        with bench.open() as gateway:
            events = gateway.parse_webhook(Genuine.of(bench, delivery).with_()).events
            given_back = [event.refund.reference for event in events if event.refund is not None]
            for event in events:
                misread = self._misread(event)
                assert not misread, f"{event.raw_kind}: {'; '.join(misread)}"
                # A handwritten batch may name charges that the sandbox does not hold.
                with contextlib.suppress(NotFound):
                    self._compare(gateway, event, given_back)

    def _misread(self, event: WebhookEvent) -> list[str]:
        """Describe a charge in an event whose status differs from the table's."""
        if event.charge is None:
            return []
        told, word = event.charge.status, event.charge.raw_status
        wanted = self.raw_statuses.get(word, PaymentStatus.UNKNOWN)
        open_ = (
            {PaymentStatus.REQUIRES_ACTION} if not wanted.is_final and wanted is not PaymentStatus.UNKNOWN else set()
        )
        return [] if told in {wanted, *open_} else [f"{word} is reported as {told}, not {wanted}"]

    def _compare(self, gateway: Gateway, event: WebhookEvent, given_back: Sequence[Reference | None]) -> None:
        charge, refund = event.charge, event.refund
        if charge is not None and any(getattr(charge.reference, by) for by in self.info().query_by):
            found = gateway.get_status(charge.reference)
            assert charge.amount in {None, found.amount}, (
                f"{event.raw_kind} reports {charge.amount}, and the gateway answers {found.amount}"
            )
            assert says_paid(found) or not says_paid(charge), (
                f"{event.raw_kind} reports a charge as paid that is {found.status}"
            )
        if refund is not None and "get_refund" in self.info().operations:
            answer = gateway.get_refund(RefundReference(refund.refund_id, refund.provider_id, refund.reference))
            assert refund.amount in {None, answer.amount}, (
                f"{event.raw_kind} reports {refund.amount}, and the gateway answers {answer.amount}"
            )
            assert refund.status is not RefundStatus.SUCCEEDED or answer.status is RefundStatus.SUCCEEDED, (
                f"{event.raw_kind} reports a refund as made that is {answer.status}"
            )


def _state(event: WebhookEvent) -> tuple[object, ...]:
    """Return the facts of an event that a shop acts on."""
    charge, refund = event.charge, event.refund
    if charge is not None:
        return event.subject, event.raw_kind, charge.status, charge.captured, charge.refunded, charge.disputed
    return event.subject, event.raw_kind, None if refund is None else refund.status


def _notified(bench: Bench, gateway: Gateway, provider_id: str) -> tuple[WebhookEvent, ...]:
    """Return the events about a charge in its present state, or none if the gateway does not notify it."""
    delivery: WebhookDelivery | None = None
    with contextlib.suppress(Exception):  # the sandbox may refuse in its own way
        delivery = bench.sandbox.notification(provider_id)
    with contextlib.suppress(WebhookRejected):
        return gateway.parse_webhook(delivery).events if delivery is not None else ()
    return ()


def _with_invalid_event(body: bytes, count: int) -> Iterator[bytes]:
    """Yield the batch with an invalid event at each place, or cut short if it is neither a JSON list nor lines."""
    lines = body.splitlines(keepends=True)
    try:
        whole = json.loads(body)
    except ValueError:
        made = [b"".join([*lines[:at], b"{}\n", *lines[at + 1 :]]) for at in range(count) if len(lines) == count]
        yield from made or [body[:-1]]
        return
    for at in range(count):
        bad: object
        for bad in ({}, "x", None):
            yield json.dumps(_with_bad(whole, count, at, bad)).encode()


def _with_bad(value: Any, count: int, at: int, bad: object) -> Any:
    if isinstance(value, dict):
        return {name: _with_bad(each, count, at, bad) for name, each in value.items()}
    if isinstance(value, list) and len(value) == count:
        return [*value[:at], bad, *value[at + 1 :]]
    return value
