"""Verify CBTIS's notifications over the raw bytes, then read them. Each is a hint: they carry no amount."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

import msgspec

from payments_core import (
    Notification,
    Reference,
    Secret,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
    same_hex_digest,
)

from . import wire

__all__ = ["SIGNATURE_HEADER", "notification", "sign", "verify"]

# HOOK shows the value only; public merchant code for the same platform names the header.
SIGNATURE_HEADER: Final = "Signature"
_DIGITS: Final = 64
_LONGEST_ID: Final = 64
_NUMBER: Final = re.compile(rb"[0-9]{1,20}")
_KIND: Final = re.compile(r"[\x21-\x7e]{1,64}", re.ASCII)


def sign(body: bytes, key: Secret) -> str:
    """Return `HEX(SHA256(body + "." + apikey))` in lower case (HOOK)."""
    return _digest(body, key).hex()


def _digest(body: bytes, key: Secret) -> bytes:
    # Encode the key only here: stored as bytes, it would show in that object's repr.
    return sha256(b"%b.%b" % (body, key.reveal().encode())).digest()


def verify(delivery: WebhookDelivery, keys: tuple[Secret, ...]) -> None:
    """Raise `WebhookRejected("signature")` unless there is exactly one signature, made by one of the keys."""
    given = delivery.values(SIGNATURE_HEADER)
    if len(given) != 1 or len(given[0]) != _DIGITS:
        raise WebhookRejected("signature")
    if not same_hex_digest(given[0], [_digest(delivery.body, key) for key in keys]):
        raise WebhookRejected("signature")


def notification(provider: str, delivery: WebhookDelivery) -> Notification:
    """Return the one event of a verified delivery."""
    try:
        notice = delivery.decode(wire.NOTICE)
    except WebhookRejected:
        # Only the name of an unknown kind is read, so its data may have any shape.
        kind = delivery.decode(wire.NOTICE_KIND).notify_type
        if kind in _KNOWN:
            raise
        return Notification((_other(provider, kind, delivery.body),))
    data, kind = notice.data, notice.notify_type
    if kind == "payment_success":
        return Notification((_paid(provider, data),))
    if kind == "refund_success":
        return Notification((_refunded(provider, data),))
    return Notification((_other(provider, kind, delivery.body),))


_KNOWN: Final = frozenset({"payment_success", "refund_success"})


def _paid(provider: str, data: wire.NoticeData) -> WebhookEvent:
    merchant_id, order_id = data.merchant_order_id, data.order_id
    if not (merchant_id or order_id) or len(merchant_id) > _LONGEST_ID or len(order_id) > _LONGEST_ID:
        raise WebhookRejected("malformed")
    return WebhookEvent(
        provider,
        Subject.CHARGE,
        "payment_success",
        Reference(merchant_id, order_id),
        _event_id("payment_success", order_id, merchant_id),
    )


def _refunded(provider: str, data: wire.NoticeData) -> WebhookEvent:
    """Return a refund without a reference or an amount: HOOK names neither the order nor the currency."""
    for identifier in (data.refund_id, data.merchant_refund_id):
        if len(identifier) > _LONGEST_ID or not (identifier.isprintable()):
            raise WebhookRejected("malformed")
    if not (data.refund_id or data.merchant_refund_id):
        raise WebhookRejected("malformed")
    event_id = _event_id("refund_success", data.refund_id, data.merchant_refund_id)
    return WebhookEvent(provider, Subject.REFUND, "refund_success", None, event_id, account=_account(data.uid))


def _account(uid: msgspec.Raw) -> str:
    """Return the account as sent: HOOK shows a whole number, and doesn't say that it is the merchant number."""
    data = bytes(uid)
    return data.decode() if _NUMBER.fullmatch(data) else ""


def _other(provider: str, kind: str, body: bytes) -> WebhookEvent:
    if _KIND.fullmatch(kind) is None:
        raise WebhookRejected("malformed")
    # None of its fields is read, so only the whole body identifies it.
    return WebhookEvent(provider, Subject.OTHER, kind, None, f"{kind}:{sha256(body).hexdigest()[:32]}")


def _event_id(kind: str, *ids: str) -> str:
    """Join the kind and every id with colons. Colons in ids are encoded, so different lists never collide."""
    return ":".join((kind, *(each.replace(":", "%3A") if ":" in each else each for each in ids)))
