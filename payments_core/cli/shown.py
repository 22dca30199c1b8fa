"""Charges and what is to be done next, in words."""

from __future__ import annotations

from payments_core import (
    AwaitShopper,
    CallSDK,
    Charge,
    Complete,
    NextAction,
    Redirect,
    Refund,
    ShowQRCode,
    SubmitForm,
)

from .console import Console, rows
from .encoding import encode, paid

__all__ = ["NO_MONEY", "action_in_words", "address_of", "charge_lines", "refund_lines", "show_code"]

NO_MONEY = "no money moves (sandbox or test account)"


def charge_lines(charge: Charge) -> list[str]:
    """A charge, one fact a line."""
    return rows(
        [
            ("status", f"{charge.status} (the gateway says {charge.raw_status})"),
            ("paid", _paid(charge)),
            ("amount", charge.amount or "the answer does not say"),
            ("order id", charge.reference.order_id),
            ("provider id", charge.reference.provider_id),
            ("next", action_in_words(charge.next_action)),
            ("created", charge.created_at),
            ("expires", charge.expires_at),
            ("captured", charge.captured),
            ("refunded", charge.refunded),
            ("disputed", charge.disputed),
            ("request id", charge.request_id),
            ("note", NO_MONEY if charge.moves_money is False else ""),
        ]
    )


def _paid(charge: Charge) -> str:
    match paid(charge):
        case None:
            return "not compared with an order: `payments confirm` compares it, and says"
        case True:
            return f"yes, at {charge.paid_at}" if charge.paid_at else "yes"
        case _:
            return "no"


def refund_lines(refund: Refund) -> list[str]:
    """Describe a refund, one fact a line."""
    charge = refund.reference
    return rows(
        [
            ("status", f"{refund.status} (the gateway says {refund.raw_status})"),
            ("amount", refund.amount or "the answer does not say"),
            ("refund id", refund.refund_id),
            ("provider id", refund.provider_id),
            ("order id", charge.order_id if charge else ""),
            ("of charge", charge.provider_id if charge else ""),
            ("created", refund.created_at),
            ("request id", refund.request_id),
        ]
    )


def action_in_words(action: NextAction | None) -> str:
    """What the platform does next; `""` for nothing."""
    match action:
        case Redirect(url):
            return f"send the shopper's browser to {url}"
        case ShowQRCode(content):
            return f"let the shopper scan a QR code of {content}"
        case SubmitForm(url, fields):
            return f"have the shopper's browser POST {', '.join(name for name, _ in fields)} to {url}"
        case CallSDK(parameters):
            return f"hand to the gateway's SDK: {encode(parameters)}"
        case AwaitShopper():
            return "wait: the wallet asks the shopper"
        case Complete():
            return "complete the charge: the shopper has approved it"
    return ""


def address_of(action: NextAction | None) -> str:
    """What a shopper can open or scan; `""` where there is no such thing."""
    match action:
        case Redirect(url):
            return url
        case ShowQRCode(content):
            return content
    return ""


def show_code(console: Console, action: NextAction | None) -> None:
    """The QR code of an action that has an address."""
    if address := address_of(action):
        console.qr_code(address)
