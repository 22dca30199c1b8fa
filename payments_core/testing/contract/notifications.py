"""Check deliveries: how they arrive, what their signature covers, and how they are acknowledged."""

from __future__ import annotations

import logging
import traceback
from datetime import timedelta
from typing import Any, Final

import pytest
from msgspec.structs import replace

from payments_core import WebhookRejected
from payments_core.testing._exchanges import FrozenClock
from payments_core.testing.leaks import scan

from .bench import Bench, error_of
from .forgeries import Genuine, accepted, flip, refuse
from .rules import HAS_OLD_KEY, NOTIFIES, SIGNED, SIGNS_TIME, TOLERANCE, Rules, essential, needs

__all__ = ["Notifications"]

_OLD_KEY: Final = "the-key-before-this-one"


class Notifications(Rules):
    """Check what a shop relies on when a delivery arrives."""

    # Arrival.

    @needs(NOTIFIES)
    def test_a_delivery_without_its_time_of_receipt_is_believed(self, bench: Bench) -> None:
        """`received_at` is optional, and most shops leave it out."""
        with bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            signed = genuine.with_(genuine.signed(at=FrozenClock().now()))
            accepted(gateway, replace(signed, received_at=None), "a delivery without received_at is refused")

    @essential
    @needs(NOTIFIES, SIGNED, SIGNS_TIME, TOLERANCE)
    def test_a_delivery_without_its_time_of_receipt_is_judged_by_the_core_s_clock(self, bench: Bench) -> None:
        """A clock of the provider's own would accept old recordings, or refuse deliveries that waited in a queue."""
        tolerance = self.webhook_tolerance or 0.0
        clock = FrozenClock(ahead=tolerance + 3600)
        with bench.open() as gateway, bench.open(clock=clock) as later:
            genuine = Genuine.paid(bench, gateway)
            received = replace(genuine.with_(genuine.signed(at=clock.now())), received_at=clock.now())
            accepted(
                gateway, received, "received_at is not used as the present time: use context.now, and no other clock"
            )
            unstamped = replace(received, received_at=None)
            accepted(
                later,
                unstamped,
                "the core's clock is not used as the present time: use context.now, and no other clock",
            )
            stale = clock.now() - timedelta(seconds=tolerance + 2)
            old = replace(genuine.with_(genuine.signed(at=stale)), received_at=None)
            refuse(later, old, "a delivery that is too old is accepted if received_at is missing")

    @needs(NOTIFIES, SIGNED)
    def test_headers_are_read_as_servers_give_them(self, bench: Bench) -> None:
        """Servers give names in any case, as text or bytes, in pairs or in a mapping."""
        with bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            pairs = [*genuine.others(), *genuine.signature]
            wanted = gateway.parse_webhook(genuine.with_())
            listed: dict[str, list[str]] = {}
            for name, value in pairs:
                listed.setdefault(name.title(), []).append(value)
            shapes: dict[str, Any] = {
                "pairs of lower-case bytes (ASGI)": [(name.lower().encode(), value.encode()) for name, value in pairs],
                "pairs in upper case": [(name.upper(), value) for name, value in pairs],
                "a mapping of lists": listed,
            }
            for shape, headers in shapes.items():
                said = f"headers given as {shape} are not found: look them up with delivery.header"
                assert accepted(gateway, replace(genuine.with_(), headers=headers), said) == wanted.events, said

    # Acknowledgement.

    @essential
    @needs(NOTIFIES)
    def test_a_genuine_delivery_is_acknowledged(self, bench: Bench) -> None:
        """Otherwise it is delivered for ever; neither the acknowledgement nor an event holds a secret."""
        with bench.open() as gateway:
            notification = gateway.parse_webhook(Genuine.paid(bench, gateway).with_())
        answer = notification.acknowledgement
        assert 200 <= answer.status < 300, (
            f"an accepted delivery is answered {answer.status}: it will be delivered for ever"
        )
        leaks = scan(f"{notification!r}".encode() + answer.body, bench.secrets)
        assert leaks == [], f"{leaks[0].secret} is in the acknowledgement, or in an event"

    @essential
    @needs(NOTIFIES, SIGNED)
    def test_the_expected_signature_is_never_revealed(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        """Anyone who reads it in a log or an error can forge the next delivery."""
        with caplog.at_level(logging.DEBUG), bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            body = genuine.delivery.body + b" "
            right = set(genuine.digests(genuine.signed(body=body))) - set(genuine.digests())
            error = error_of(lambda: gateway.parse_webhook(genuine.with_(body=body)))
        told = f"{''.join(traceback.format_exception(error))} {error!r} {vars(error)!r} {caplog.text}".lower()
        assert not any(each.lower() in told for each in right), (
            "the expected signature of a forged body is in a log or an error"
        )

    # Signature.

    @essential
    @needs(NOTIFIES, SIGNED, SIGNS_TIME, TOLERANCE, HAS_OLD_KEY)
    def test_a_stale_delivery_of_the_previous_key_is_refused(self, bench: Bench) -> None:
        """A key replaced after a leak has signed deliveries that anyone may hold."""
        with bench.open(config=bench.config | {self.previous_webhook_key_field: _OLD_KEY}) as gateway:
            genuine = Genuine.paid(bench, gateway)
            at = genuine.now - timedelta(seconds=(self.webhook_tolerance or 0.0) + 2)
            old = genuine.with_(genuine.signed(key=_OLD_KEY, at=at))
            refuse(gateway, old, "an old delivery, signed with the previous key, is accepted")

    @essential
    @needs(NOTIFIES, SIGNED)
    def test_every_digit_of_a_signature_counts(self, bench: Bench) -> None:
        """A comparison that stops early lets a signature be guessed digit by digit."""
        with bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            sizes = [len(text.rstrip("=")) for text in genuine.digests()]
            assert sizes, "no digest is found in the signature headers"
            # The last digit of base64 may have unused bits.
            for at in range(max(sizes) - (0 if self.signature_is_hexadecimal else 1)):
                forged = genuine.with_(genuine.changed(lambda text: flip(text, at % len(text))))  # noqa: B023
                refuse(gateway, forged, f"digit {at + 1} of the signature is not compared")

    @essential
    @needs(NOTIFIES, SIGNED)
    def test_nothing_is_read_before_it_is_verified(self, bench: Bench) -> None:
        """Parsing unverified bytes is an attack surface, so an unsigned body fails by its signature first."""
        with bench.open() as gateway:
            genuine = Genuine.paid(bench, gateway)
            reasons = {"signature"} if genuine.covers_bytes() else {"signature", "malformed"}
            error = error_of(lambda: gateway.parse_webhook(genuine.with_(body=b"nobody has signed this")))
        assert isinstance(error, WebhookRejected)
        assert error.reason in reasons, f"an unsigned body was parsed before it was verified: {error.reason}"
