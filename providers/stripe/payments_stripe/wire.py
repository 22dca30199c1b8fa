"""Define Stripe's own names and shapes, as far as they are used, in version 2026-10-28.endive.

Sources: docs.stripe.com/api/payment_intents/object, /checkout/sessions/object, /refunds/object, /events/object and
/errors.
"""

from __future__ import annotations

from typing import Final, Generic, Literal, TypeAlias, TypeVar

import msgspec

__all__ = [
    "FORMER_REFUND_ID",
    "HELD_MARK",
    "INTENTS",
    "LONGEST_DESCRIPTION",
    "LONGEST_ID",
    "OF_SESSION_MARK",
    "ORDER_ID",
    "REASON",
    "REFUNDS",
    "REFUND_ID",
    "SESSIONS",
    "VERSION",
    "About",
    "Attempt",
    "Code",
    "Event",
    "Intent",
    "Link",
    "Named",
    "NextAction",
    "Problem",
    "Refund",
    "RefundList",
    "Session",
    "Told",
]

VERSION: Final = "2026-10-28.endive"

INTENTS: Final = "/v1/payment_intents"
SESSIONS: Final = "/v1/checkout/sessions"
REFUNDS: Final = "/v1/refunds"

# Characters, of the field that takes least: `client_reference_id` and `description`.
LONGEST_ID: Final = 200
LONGEST_DESCRIPTION: Final = 1000

Metadata: TypeAlias = dict[str, str] | None

# The metadata that this plugin writes and reads, under keys that no other program writes by chance: the merchant's ids,
# the mark of a session's PaymentIntent or refund, and the mark of a session whose money is to be held.
# docs.stripe.com/metadata: keys of at most 40 characters.
ORDER_ID: Final = "payments_core_order_id"
REFUND_ID: Final = "payments_core_refund_id"
REASON: Final = "payments_core_reason"
OF_SESSION_MARK: Final = ("payments_core_checkout", "session")
HELD_MARK: Final = ("payments_core_capture", "manual")
# Earlier versions wrote the refund id under this key, and other programs may: read it only to avoid a second refund.
FORMER_REFUND_ID: Final = "refund_id"

_T = TypeVar("_T")


class Link(msgspec.Struct, frozen=True):
    """`next_action.alipay_handle_redirect` and `next_action.redirect_to_url`."""

    url: str | None = None


class Code(msgspec.Struct, frozen=True):
    """`next_action.wechat_pay_display_qr_code`."""

    data: str | None = None


class NextAction(msgspec.Struct, frozen=True):
    """`next_action`: one of many shapes, named by `type`."""

    type: str
    alipay_handle_redirect: Link | None = None
    redirect_to_url: Link | None = None
    wechat_pay_display_qr_code: Code | None = None


class Failure(msgspec.Struct, frozen=True):
    """`last_payment_error`."""

    code: str | None = None
    decline_code: str | None = None


class Attempt(msgspec.Struct, frozen=True):
    """A Charge: one attempt of a PaymentIntent, where `latest_charge` is expanded."""

    id: str
    amount: int | None = None
    amount_captured: int | None = None
    amount_refunded: int | None = None
    created: int | None = None
    disputed: bool | None = None


class Intent(msgspec.Struct, frozen=True, tag_field="object", tag="payment_intent"):
    """A PaymentIntent."""

    id: str
    amount: int
    currency: str
    status: str
    amount_received: int | None = None
    created: int | None = None
    metadata: Metadata = None
    next_action: NextAction | None = None
    last_payment_error: Failure | None = None
    latest_charge: str | Attempt | None = None
    livemode: bool | None = None


class Session(msgspec.Struct, frozen=True, tag_field="object", tag="checkout.session"):
    """A Checkout Session. `amount_total` is null if the session has no amount (mode `setup`)."""

    id: str
    status: str | None
    payment_status: str
    amount_total: int | None = None
    currency: str | None = None
    created: int | None = None
    expires_at: int | None = None
    livemode: bool | None = None
    metadata: Metadata = None
    mode: str = "payment"
    payment_intent: str | Intent | None = None
    url: str | None = None


class Refund(msgspec.Struct, frozen=True):
    """A Refund."""

    id: str
    object: Literal["refund"]
    amount: int
    currency: str
    status: str | None = None
    created: int | None = None
    metadata: Metadata = None
    payment_intent: str | None = None


class RefundList(msgspec.Struct, frozen=True):
    """A page of the list of refunds, newest first."""

    object: Literal["list"]
    data: tuple[Refund, ...]
    has_more: bool


class Problem(msgspec.Struct, frozen=True):
    """`error`. Text is shortened and cleaned before it is shown."""

    type: str = ""
    code: str | None = None
    decline_code: str | None = None
    message: str | None = None
    payment_intent: Intent | None = None


class Answer(msgspec.Struct, frozen=True):
    """An error answer."""

    error: Problem


class Event(msgspec.Struct, frozen=True):
    """The envelope of a notification: the only part that is read of an unknown kind.

    `account` is a connected account. `context` is the account of an organization, or below a platform, where it
    happened.
    """

    id: str
    object: str
    type: str
    created: int | None = None
    account: str | None = None
    context: str | None = None
    api_version: str | None = None
    livemode: bool | None = None


class Named(msgspec.Struct, frozen=True):
    """The fields of an event's object that all versions share."""

    id: str
    object: str
    metadata: Metadata = None
    payment_intent: msgspec.Raw = msgspec.Raw(b"null")


class About(msgspec.Struct, Generic[_T], frozen=True):
    """`data` of an event."""

    object: _T


class Told(msgspec.Struct, Generic[_T], frozen=True):
    """An event with its object, in the shape of the event's `api_version`."""

    data: About[_T]


INTENT: Final = msgspec.json.Decoder(Intent).decode
SESSION: Final = msgspec.json.Decoder(Session).decode
REFUND: Final = msgspec.json.Decoder(Refund).decode
REFUND_LIST: Final = msgspec.json.Decoder(RefundList).decode
CHARGE: Final = msgspec.json.Decoder(Intent | Session).decode
ANSWER: Final = msgspec.json.Decoder(Answer).decode
EVENT: Final = msgspec.json.Decoder(Event).decode
OF_NAMED: Final = msgspec.json.Decoder(Told[Named]).decode
OF_INTENT: Final = msgspec.json.Decoder(Told[Intent]).decode
OF_SESSION: Final = msgspec.json.Decoder(Told[Session]).decode
OF_REFUND: Final = msgspec.json.Decoder(Told[Refund]).decode
TEXT: Final = msgspec.json.Decoder(str | None).decode
