"""Define CBTIS's own names and shapes, and nothing else.

Sources are pages of docs.globalcbtis.com: AUTH docs/auth/auth-method; HOOK docs/auth/auth-webhook; WEB, STORE and H5
docs/payments/payment_method/alipayhk/payment_with_{web_qrcode,instore_qrcode,h5}; WX the same under wechat.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = [
    "AUTH_PATH",
    "CREATE_PATH",
    "QUERY_PATH",
    "AlipayHK",
    "Create",
    "Envelope",
    "Intent",
    "NextAction",
    "Notice",
    "NoticeData",
    "NoticeKind",
    "PaymentMethod",
    "Query",
    "Token",
]

AUTH_PATH: Final = "/mch-api/v1/auth"
CREATE_PATH: Final = "/mch-api/v1/pa/payment_intents/create"
QUERY_PATH: Final = "/mch-api/v1/pa/payment_intents/query"


class Token(msgspec.Struct, frozen=True):
    """AUTH: not wrapped in the envelope. `expires_in` is read leniently: a bad lifetime must not fail the token."""

    access_token: str
    expires_in: msgspec.Raw = msgspec.Raw(b"3600")


class AlipayHK(msgspec.Struct):
    """WEB: `payment_method.alipayhk`."""

    flow: str
    payment_method: str


class PaymentMethod(msgspec.Struct):
    """WEB: `payment_method`. The key next to `type` has its name (H5's example names another channel's, by mistake)."""

    alipayhk: AlipayHK
    type: str = "alipayhk"


class Create(msgspec.Struct, omit_defaults=True):
    """WEB: the body of create. Every value is text."""

    amount: str
    currency: str
    merchant_order_id: str
    description: str
    payment_method: PaymentMethod
    notify_url: str = ""


class Query(msgspec.Struct, omit_defaults=True):
    """WEB: the body of query; at least one of the two."""

    order_id: str = ""
    merchant_order_id: str = ""


class NextAction(msgspec.Struct, frozen=True):
    """WEB, STORE, WX: every documented shape of `next_action`, of this and other deployments of the platform."""

    type: str
    url: str = ""
    qrcode_url: str = ""
    redirect_url: str = ""
    data: dict[str, Any] | None = None


class Intent(msgspec.Struct, frozen=True):
    """WEB: `data` of the answers to create and query."""

    order_id: str
    merchant_order_id: str
    amount: str
    currency: str
    status: str
    create_time: str = ""
    pay_time: str = ""
    next_action: msgspec.Raw = msgspec.Raw()


class Envelope(msgspec.Struct, frozen=True):
    """WEB: wraps every answer but the token's. `code` 0 is success; no other is documented.

    Parts of any shape stay bytes until they are needed: a kilobyte of gzip can hold a million objects.
    """

    code: int | str
    data: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    rid: msgspec.Raw = msgspec.Raw()


class NoticeKind(msgspec.Struct, frozen=True):
    """HOOK: the only part that is read of an unknown kind of notification."""

    notify_type: str


class NoticeData(msgspec.Struct, frozen=True):
    """WEB and HOOK: the fields we use in `data` of `payment_success` and of `refund_success`."""

    order_id: str = ""
    merchant_order_id: str = ""
    refund_id: str = ""
    merchant_refund_id: str = ""
    uid: msgspec.Raw = msgspec.Raw()


class Notice(msgspec.Struct, frozen=True):
    """HOOK: a notification of a known kind."""

    notify_type: str
    data: NoticeData = NoticeData()


TOKEN: Final = msgspec.json.Decoder(Token).decode
ENVELOPE: Final = msgspec.json.Decoder(Envelope).decode
INTENT: Final = msgspec.json.Decoder(Intent).decode
NEXT_ACTION: Final = msgspec.json.Decoder(NextAction | None).decode
NOTICE: Final = msgspec.json.Decoder(Notice).decode
NOTICE_KIND: Final = msgspec.json.Decoder(NoticeKind).decode
TEXT: Final = msgspec.json.Decoder(str).decode
NUMBER: Final = msgspec.json.Decoder(float).decode
ENCODE: Final = msgspec.json.Encoder().encode
