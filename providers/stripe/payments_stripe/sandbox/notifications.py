"""Sign and schedule events (docs.stripe.com/webhooks)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

__all__ = ["RETRY_DELAYS", "headers", "sign"]

# docs.stripe.com/webhooks: events of a sandbox are retried "three times over the course of a few hours". The hours
# themselves are documented nowhere.
RETRY_DELAYS: Final = (60, 3600, 7200)


def sign(body: bytes, key: str, at: int) -> str:
    """Return the Stripe-Signature header: `t` and `v1` as documented, and the fake `v0` of test events."""
    payload = f"{at}.".encode() + body
    genuine = hmac.digest(key.encode(), payload, "sha256").hex()
    return f"t={at},v1={genuine},v0={hashlib.sha256(payload).hexdigest()}"


def headers(body: bytes, key: str, at: int) -> tuple[tuple[str, str], ...]:
    """Return the headers of an event, signed `at` a time by this machine's clock, not the account's."""
    return (
        ("Content-Type", "application/json; charset=utf-8"),
        ("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
        ("Stripe-Signature", sign(body, key, at)),
    )
