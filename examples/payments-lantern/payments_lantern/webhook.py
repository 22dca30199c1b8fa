"""Verify Lantern Pay's notifications over the time and the raw bytes, then read them. Each is a hint."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from payments_core import (
    Acknowledgement,
    Notification,
    Reference,
    Secret,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
    same_base64_digest,
)

from . import wire

__all__ = ["TOLERANCE", "notification", "verify"]

TOLERANCE: Final = 300  # NOTIFY: seconds, before and after
_TIME: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
# NOTIFY: nothing else ends the deliveries.
_ANSWER: Final = Acknowledgement(200, (("content-type", "text/plain"),), b"lit")


def verify(delivery: WebhookDelivery, keys: Iterable[Secret], now: datetime) -> None:
    """Raise `WebhookRejected` unless one of the keys signed this body, and did so recently (NOTIFY)."""
    times, signatures = delivery.values("Lantern-Time"), delivery.values("Lantern-Signature")
    if len(times) != 1 or len(signatures) != 1 or _TIME.fullmatch(times[0]) is None:
        raise WebhookRejected("signature")
    message = times[0].encode() + b"\n" + delivery.body
    expected = [hmac.digest(key.reveal().encode(), message, "sha256") for key in keys]
    if not same_base64_digest(signatures[0], expected):
        raise WebhookRejected("signature")
    if abs(now.timestamp() - int(times[0])) > TOLERANCE:
        raise WebhookRejected("stale")


def notification(provider: str, delivery: WebhookDelivery) -> Notification:
    """Return the one event of a verified delivery (NOTIFY)."""
    notice = delivery.decode(wire.NOTICE)
    subject, reference = Subject.OTHER, None
    if notice.kind == "payment.changed":
        if notice.payment is None:
            raise WebhookRejected("malformed")
        subject, reference = Subject.CHARGE, Reference(notice.payment.merchant_ref, notice.payment.payment_id)
    event = WebhookEvent(provider, subject, notice.kind, reference, notice.event)
    return Notification((event,), _ANSWER)
