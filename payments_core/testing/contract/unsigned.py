"""Check unsigned notifications: anyone can send one, so it may only prompt a query."""

from __future__ import annotations

import contextlib
from typing import Any, Final
from urllib.parse import quote

from msgspec.structs import replace

from payments_core import Gateway, Notification, PaymentError, WebhookDelivery, WebhookRejected, hookimpl, tap

from .bench import Bench, error_of
from .forgeries import refuse
from .responses import other_id
from .rules import NOTIFIES, UNSIGNED, Rules, essential, needs

__all__ = ["Unsigned"]

_MALFORMED: Final = (
    b"", b" ", b"null", b"[]", b"{}", b"0", b'""', b"\xff\xfe", b"{", b"[" * 5000, b"a=b&c=d", b"<a/>", b"\0" * 64,
)  # fmt: skip
# A number of invented ids that a test can wait for; the cost of each is what matters.
_FLOOD: Final = 25


class _Raw:
    """Keep the hook's result before the core refuses it, as a wrapper plugin."""

    def __init__(self) -> None:
        self.notifications: list[Notification] = []

    @hookimpl(wrapper=True)
    def parse_webhook(self) -> Any:
        """Keep the notification."""
        outcome = yield
        if isinstance(outcome, Notification):
            self.notifications.append(outcome)
            return outcome
        return self._see(outcome)

    def _see(self, outcome: Any) -> Any:
        notification = yield from tap(outcome)
        self.notifications.append(notification)
        return notification


class Unsigned(Rules):
    """Check that a shop is safe from deliveries that anyone can send."""

    @essential
    @needs(NOTIFIES, UNSIGNED)
    def test_an_unsigned_notification_carries_no_status(self, bench: Bench) -> None:
        """The shopper could send it: a charge in it would be a payment that was never made."""
        raw = _Raw()
        with bench.open(plugins=[raw]) as gateway:
            for move in (None, bench.sandbox.pay, bench.sandbox.cancel):
                provider_id = bench.create(gateway).reference.provider_id
                if move is not None:
                    move(provider_id)
                with contextlib.suppress(WebhookRejected):
                    gateway.parse_webhook(bench.sandbox.notification(provider_id))
        told = [event for each in raw.notifications for event in each.events]
        assert told, "no event is about any of the charges"
        for event in told:
            assert event.charge is None and event.refund is None, (  # noqa: PT018 - one thing, in two fields
                f"{event.raw_kind}: an unsigned notification carries a status, and anybody can send one"
            )

    @essential
    @needs(NOTIFIES, UNSIGNED)
    def test_malformed_bytes_are_refused(self, bench: Bench) -> None:
        """A body that names no charge raises `WebhookRejected`, and no other error."""
        with bench.open() as gateway:
            delivery, provider_id = self._paid(bench, gateway)
            bodies = [*_MALFORMED, delivery.body.replace(provider_id.encode(), b"")]
            bodies += [delivery.body.replace(provider_id.encode(), each) for each in (b"\x00", b"\xff", b"a" * 300)]
            for body in bodies:
                if body == delivery.body:
                    continue  # the id is elsewhere
                refuse(gateway, replace(delivery, body=body), f"{body[:40]!r} is accepted")

    @essential
    @needs(NOTIFIES, UNSIGNED)
    def test_an_unknown_id_is_answered_exactly_like_a_known_one(self, bench: Bench) -> None:
        """If the answers differed, anyone could find out which payments exist."""
        with bench.open() as gateway:
            delivery, provider_id = self._paid(bench, gateway)
            known = gateway.parse_webhook(delivery)
            try:
                unknown = gateway.parse_webhook(_about(delivery, provider_id, other_id(provider_id)))
            except PaymentError as exc:
                raise AssertionError(f"an unknown id is answered differently from a known one: {exc!r}") from None
        assert unknown.acknowledgement == known.acknowledgement, (
            "an unknown id is answered differently from a known one"
        )
        kinds = [[(event.subject, event.raw_kind) for event in each.events] for each in (known, unknown)]
        assert kinds[0] == kinds[1], f"an unknown id is reported as {kinds[1]}, and a known one as {kinds[0]}"

    @essential
    @needs(NOTIFIES, UNSIGNED)
    def test_a_flood_of_invented_ids_costs_a_query_each_and_changes_nothing(self, bench: Bench) -> None:
        """Anyone who finds the endpoint can send a million of them."""
        with bench.open() as gateway:
            delivery, provider_id = self._paid(bench, gateway)
            order_id = bench.new_order()
            waiting = bench.create(gateway, order_id)
            before = list(bench.sandbox.charges(order_id))
            query = len(bench.steps("get_status"))
            for number in range(_FLOOD):
                invented = other_id(provider_id, number)
                bench.fault_gateway.clear()
                for event in gateway.parse_webhook(_about(delivery, provider_id, invented)).events:
                    error_of(lambda event=event: gateway.confirm_event(event, order_id, bench.amount))  # type: ignore[misc]
                asked = len(bench.fault_gateway.requests)
                assert asked <= query, f"an invented id costs {asked} requests, and a query has {query}"
            assert list(bench.sandbox.charges(order_id)) == before, "an invented notification has changed a charge"
            found = gateway.confirm(order_id, bench.amount, provider_id=waiting.reference.provider_id)
        assert not found.is_paid

    def _paid(self, bench: Bench, gateway: Gateway) -> tuple[WebhookDelivery, str]:
        """Return a delivery about a new paid charge, and the gateway's id in it, with the token obtained."""
        if self.has("authorize"):
            gateway.authorize()
        provider_id = bench.paid(gateway).reference.provider_id
        return bench.sandbox.notification(provider_id), provider_id


def _about(delivery: WebhookDelivery, known: str, other: str) -> WebhookDelivery:
    """Return the delivery with another id in place of the known one."""
    body = delivery.body.replace(known.encode(), other.encode())
    changed = replace(delivery, body=body, url=delivery.url.replace(quote(known, safe=""), quote(other, safe="")))
    assert changed != delivery, f"the notification names no charge: {known} is neither in its body nor in its url"
    return changed
