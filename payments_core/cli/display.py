"""Describe charges, refunds and next actions in words."""

from __future__ import annotations

from typing import Final, assert_never

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

__all__ = ["NO_MONEY", "action_address", "charge_lines", "describe_action", "refund_lines", "show_code"]

NO_MONEY: Final = "no money moves (sandbox or test account)"


def charge_lines(charge: Charge) -> list[str]:
    """Describe a charge, one fact a line."""
    return rows(
        [
            ("status", f"{charge.status} (the gateway says {charge.raw_status})"),
            ("paid", _describe_paid(charge)),
            ("amount", charge.amount or "not stated in the answer"),
            ("order id", charge.reference.order_id),
            ("provider id", charge.reference.provider_id),
            ("next", describe_action(charge.next_action)),
            ("created", charge.created_at),
            ("expires", charge.expires_at),
            ("captured", charge.captured),
            ("refunded", charge.refunded),
            ("disputed", charge.disputed),
            ("request id", charge.request_id),
            ("note", NO_MONEY if charge.moves_money is False else ""),
        ]
    )


def _describe_paid(charge: Charge) -> str:
    match paid(charge):
        case None:
            return "not compared with an order: run `payments confirm`"
        case True:
            return f"yes, at {charge.paid_at}" if charge.paid_at else "yes"
        case False:
            return "no"
        case _ as value:
            assert_never(value)


def refund_lines(refund: Refund) -> list[str]:
    """Describe a refund, one fact a line."""
    charge = refund.reference
    return rows(
        [
            ("status", f"{refund.status} (the gateway says {refund.raw_status})"),
            ("amount", refund.amount or "not stated in the answer"),
            ("refund id", refund.refund_id),
            ("provider id", refund.provider_id),
            ("order id", charge.order_id if charge else ""),
            ("of charge", charge.provider_id if charge else ""),
            ("created", refund.created_at),
            ("request id", refund.request_id),
        ]
    )


def describe_action(action: NextAction | None) -> str:
    """Say what the platform does next, or `""` for no action."""
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
        case None:
            return ""
        case _:
            assert_never(action)


def action_address(action: NextAction | None) -> str:
    """Return what the shopper can open or scan, or `""`."""
    match action:
        case Redirect(url):
            return url
        case ShowQRCode(content):
            return content
        case SubmitForm() | CallSDK() | AwaitShopper() | Complete() | None:
            return ""
        case _:
            assert_never(action)


def show_code(console: Console, action: NextAction | None) -> None:
    """Draw a QR code of what the shopper can open or scan, if anything."""
    if address := action_address(action):
        console.qr_code(address)
