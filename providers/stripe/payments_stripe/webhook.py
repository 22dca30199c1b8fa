"""Verify Stripe's notifications, signed over the raw bytes and a time (docs.stripe.com/webhooks/signature)."""

from __future__ import annotations

import hmac
import re
from datetime import datetime
from typing import Final

from payments_core import Secret, WebhookDelivery, WebhookRejected, same_hex_digest

__all__ = ["SIGNATURE_HEADER", "TOLERANCE", "sign", "verify"]

SIGNATURE_HEADER: Final = "Stripe-Signature"
TOLERANCE: Final = 300  # seconds, as in Stripe's libraries; here also into the future
_SCHEME: Final = "v1"
_STAMP: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_DIGITS: Final = 64
_MOST_SIGNATURES: Final = 16  # while a secret is rolled there are two
_LONGEST_HEADER: Final = 4096


def sign(body: bytes, key: Secret, at: datetime) -> str:
    """Return the header for a body: its time, and `HMAC-SHA256(key, "<time>." + body)` as hexadecimal digits."""
    stamp = str(int(at.timestamp()))
    return f"t={stamp},{_SCHEME}={_digest(body, stamp, key).hex()}"


def _digest(body: bytes, stamp: str, key: Secret) -> bytes:
    # Encode the key only here: stored as bytes, it would show in that object's repr.
    return hmac.digest(key.reveal().encode(), b"%b.%b" % (stamp.encode(), body), "sha256")


def verify(delivery: WebhookDelivery, keys: tuple[Secret, ...], now: datetime) -> None:
    """Raise `WebhookRejected` unless one of the keys signed this body within the tolerance.

    The signature is checked before the time: an unsigned time says nothing about a clock.
    """
    stamp, signatures = _read(delivery.values(SIGNATURE_HEADER))
    expected = [_digest(delivery.body, stamp, key) for key in keys]
    matched = False
    for each in signatures:
        matched |= same_hex_digest(each, expected)
    if not matched:
        raise WebhookRejected("signature")
    if abs(now.timestamp() - int(stamp)) > TOLERANCE:
        raise WebhookRejected("stale")


def _read(headers: list[str]) -> tuple[str, list[str]]:
    """Return the time and the signatures of the one valid scheme: a test event also carries a fake `v0`."""
    if len(headers) != 1 or len(headers[0]) > _LONGEST_HEADER:
        raise WebhookRejected("signature")
    parts = [part.partition("=") for part in headers[0].split(",")]
    stamps = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == _SCHEME]
    if len(stamps) != 1 or _STAMP.fullmatch(stamps[0]) is None:
        raise WebhookRejected("signature")
    if not 1 <= len(signatures) <= _MOST_SIGNATURES or any(len(each) != _DIGITS for each in signatures):
        raise WebhookRejected("signature")
    return stamps[0], signatures
