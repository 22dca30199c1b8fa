"""Sign and schedule notifications as documented."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from payments_core.testing.courier import Message

__all__ = ["RETRY_DELAYS", "compose", "headers", "sign"]

# Source: WEB, "Notification": seconds between one delivery that was not acknowledged and the next.
RETRY_DELAYS: Final = (15, 30, 60, 300, 600, 1800, 3600, 7200, 14400)


def sign(body: bytes, key: str) -> str:
    """Return the documented `HEX(SHA256(body + "." + key))`, in lower case as in the example."""
    return hashlib.sha256(body + b"." + key.encode()).hexdigest()


def headers(body: bytes, key: str) -> tuple[tuple[str, str], ...]:
    """Return the headers of a notification."""
    return (("Content-Type", "application/json"), ("Signature", sign(body, key)))


def compose(provider_id: str, notify_type: str, url: str, data: Mapping[str, object], key: str) -> Message:
    """Compose the documented notification: compact JSON, signed over its bytes."""
    body = json.dumps({"notify_type": notify_type, "data": data}, separators=(",", ":"), ensure_ascii=False).encode()
    return Message(provider_id, notify_type, url, body, lambda signed: headers(signed, key))
