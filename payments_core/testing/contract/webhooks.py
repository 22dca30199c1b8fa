"""Check notifications: accept genuine ones, refuse forged ones, and keep every event of a batch."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from payments_core import ConfigurationError, Notification, Subject, WebhookRejected

from .bench import Bench, error_of
from .forgeries import FORGERIES, TIMED, Genuine, accepted, forge, refuse
from .rules import HAS_OLD_KEY, NOTIFIES, SIGNED, SIGNS_TIME, TOLERANCE, Condition, Rules, essential, needs

__all__ = ["Webhooks"]


class Webhooks(Rules):
    """Run the forgeries, and check the content of a genuine delivery."""

    @essential
    @needs(NOTIFIES)
    def test_a_genuine_delivery_is_believed(self, bench: Bench) -> None:
        """It names the order; only an authoritative one carries a status, and confirms a paid charge."""
        with bench.open() as gateway:
            order_id = bench.new_order()
            charge = bench.paid(gateway, order_id)
            delivery = bench.sandbox.notification(charge.reference.provider_id)
            for each in (delivery, Genuine.of(bench, delivery).with_()):
                events = gateway.parse_webhook(each).events
                named = [event for event in events if event.subject is Subject.CHARGE and event.reference is not None]
                assert named, "no event is about the charge that was paid"
                for event in named:
                    known = event.reference or charge.reference
                    assert known.order_id in {"", order_id}
                    assert known.provider_id in {"", charge.reference.provider_id}
                    assert gateway.confirm_event(
                        event, order_id, bench.amount, provider_id=charge.reference.provider_id
                    ).is_paid
                told = any(event.authoritative for event in events)
                assert told is self.info().authoritative_webhooks, "authoritative_webhooks says otherwise"

    @needs(NOTIFIES)
    def test_the_same_delivery_has_the_same_events(self, bench: Bench) -> None:
        """Deliveries repeat, and platforms recognize them by `event_id`."""
        with bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            first, second = (gateway.parse_webhook(genuine.with_()) for _ in range(2))
            assert first == second
            other = Genuine.paid(bench, gateway)
            ids = {event.event_id for event in gateway.parse_webhook(other.with_()).events}
            assert ids.isdisjoint(event.event_id for event in first.events), "two events share an event_id"

    @essential
    @needs(NOTIFIES, SIGNED)
    @pytest.mark.parametrize("forgery", FORGERIES)
    def test_a_forged_delivery_is_refused(self, bench: Bench, forgery: str) -> None:
        """Each differs in one thing from a genuine delivery that is accepted just before."""
        self._refuse(bench, forgery)

    @essential
    @needs(NOTIFIES, SIGNED, SIGNS_TIME, TOLERANCE)
    @pytest.mark.parametrize("forgery", TIMED)
    def test_a_delivery_of_another_time_is_refused(self, bench: Bench, forgery: str) -> None:
        """Too old and too new are refused; well within the tolerance is accepted."""
        self._refuse(bench, forgery)
        tolerance = timedelta(seconds=(self.webhook_tolerance or 0.0) - 2)
        with bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            for offset in (tolerance, -tolerance):
                assert gateway.parse_webhook(genuine.with_(genuine.signed(at=genuine.now + offset))).events

    @essential
    @needs(
        NOTIFIES,
        SIGNED,
        SIGNS_TIME,
        Condition("its tolerance is documented (webhook_tolerance)", lambda cls: not TOLERANCE.holds(cls)),
    )
    def test_a_signed_time_without_a_tolerance_is_believed_and_cannot_be_changed(self, bench: Bench) -> None:
        """Without a documented age limit a delivery may arrive days later; its time is signed all the same."""
        self._refuse(bench, "time-changed-alone")
        with bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            late = genuine.with_(genuine.signed(at=genuine.now - timedelta(days=1)))
            assert accepted(gateway, late, "a delivery signed a day ago is refused, but no age limit is documented")

    def _refuse(self, bench: Bench, forgery: str) -> None:
        with bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            assert gateway.parse_webhook(genuine.with_()).events
            forged = forge(genuine, forgery)
            assert forged != genuine.with_(), f"{forgery} changed nothing"
            refuse(gateway, forged, f"{forgery}: a forged delivery is accepted")

    @needs(
        NOTIFIES,
        SIGNED,
        Condition(
            "its digests are hexadecimal, where the case of letters does not matter",
            lambda cls: not cls.signature_is_hexadecimal,
        ),
    )
    def test_a_digest_in_another_case_is_refused(self, bench: Bench) -> None:
        """In base64 it is a different digest."""
        with bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            refuse(gateway, genuine.with_(genuine.changed(str.swapcase)), "a digest in another case is accepted")

    @essential
    @needs(NOTIFIES, SIGNED)
    def test_garbage_is_refused_and_never_crashes(self, bench: Bench) -> None:
        """Even with a genuine signature, garbage never becomes an authoritative event."""
        rubbish = [
            b"", b"null", b"[]", b"{}", b"0", b'""', b"\xff\xfe", b"{", b"[" * 5000, b'{"type": {}}', b"a=b&c=d",
        ]  # fmt: skip
        with bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            for body in rubbish:
                try:
                    notification = gateway.parse_webhook(genuine.with_(genuine.signed(body=body), body))
                except WebhookRejected:
                    continue
                assert not any(event.authoritative for event in notification.events), body

    @needs(NOTIFIES, SIGNED, HAS_OLD_KEY)
    def test_a_previous_key_is_believed_while_it_is_configured(self, bench: Bench) -> None:
        """A key is rotated without losing deliveries in flight."""
        old = "the-key-before-this-one"
        with bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            delivery = genuine.with_(genuine.signed(key=old))
            refuse(gateway, delivery, "a key that is not configured is accepted")
        with bench.open(config=bench.config | {self.previous_webhook_key_field: old}) as gateway:
            assert gateway.parse_webhook(delivery).events
            assert gateway.parse_webhook(genuine.with_()).events

    @essential
    @needs(NOTIFIES, SIGNED)
    def test_a_blank_key_opens_no_gateway(self, bench: Bench) -> None:
        """A blank key would accept anything signed with a blank key."""
        for blank in ("", " "):
            config = bench.config | {self.webhook_key_field: blank}

            def attempt(config: dict[str, Any] = config) -> None:
                with bench.open(config=config):
                    pass

            assert type(error_of(attempt)) is ConfigurationError

    @needs(NOTIFIES)
    def test_every_event_of_a_batch_survives(self, bench: Bench) -> None:
        """The test class's `batch` has three events or more; a dropped one is a payment nobody sees."""
        delivery, count = bench.batch()
        assert count >= 3, "a batch has three events at least"
        with bench.open() as gateway:
            notification = gateway.parse_webhook(delivery)
        ids = [event.event_id for event in notification.events]
        assert len(ids) == count, f"{len(ids)} events of {count}"
        assert len(set(ids)) == count, "two events of a batch share an event_id"

    @needs(NOTIFIES)
    def test_both_gateways_read_a_delivery_alike(self, bench: Bench) -> None:
        """Compare the sync and the async gateway."""
        signed = SIGNED.holds(type(self))
        with bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            delivery = genuine.with_()
            forged = forge(genuine, "digest-first-digit") if signed else genuine.with_(body=b"\xff\xfe")
            here = gateway.parse_webhook(delivery)

        async def there() -> tuple[Notification, object]:
            async with bench.open_async() as twin:
                believed = await twin.parse_webhook(delivery)
                try:
                    return believed, await twin.parse_webhook(forged)
                except WebhookRejected as exc:
                    return believed, exc.reason

        believed, refused = asyncio.run(there())
        assert believed == here
        assert refused == ("signature" if signed else "malformed")
