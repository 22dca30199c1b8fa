"""Define Lantern Pay's own names and shapes, and nothing else.

Sources are the sections of its documentation: KEYS, CREATE, ASK, STATES, REFUSALS, NOTIFY.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec

__all__ = ["PAYMENTS_PATH", "Create", "Notice", "NoticedPayment", "Payment", "Problem"]

PAYMENTS_PATH: Final = "/v1/payments"

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Word = Annotated[str, msgspec.Meta(pattern=r"\A[a-z._]{1,64}\Z")]
Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Create(msgspec.Struct, omit_defaults=True):
    """CREATE: the body. The amount is text, in major units."""

    merchant_ref: str
    amount: str
    currency: str
    title: str
    callback_url: str = ""
    return_url: str = ""


class Payment(msgspec.Struct, frozen=True):
    """CREATE and ASK: a payment. `checkout_url` is present while it waits for the shopper."""

    payment_id: Id
    merchant_ref: Id
    amount: str
    currency: str
    state: str
    created: Time
    paid: Time | None = None
    checkout_url: str = ""


class Problem(msgspec.Struct, frozen=True):
    """REFUSALS: any answer that isn't a payment."""

    error: Word


class NoticedPayment(msgspec.Struct, frozen=True):
    """NOTIFY: the payment that changed, without its state or amount."""

    payment_id: Id
    merchant_ref: Id


class Notice(msgspec.Struct, frozen=True):
    """NOTIFY: the body. Kinds other than `payment.changed` may carry anything else."""

    event: Id
    kind: Word
    payment: NoticedPayment | None = None


PAYMENT: Final = msgspec.json.Decoder(Payment).decode
PROBLEM: Final = msgspec.json.Decoder(Problem).decode
NOTICE: Final = msgspec.json.Decoder(Notice).decode
ENCODE: Final = msgspec.json.Encoder().encode
