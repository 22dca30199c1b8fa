"""The steps that both forms of `payments demo` share: request, authorization and charge."""

from __future__ import annotations

from argparse import Namespace

from payments_core import Authorization, Charge, ChargeRequest, Gateway, Money, ProviderInfo, UnsupportedOperation

from .console import Console
from .defaults import default_amount, default_channel, default_currency, new_order_id
from .display import describe_action, show_code
from .encoding import charge_fields

__all__ = ["authorize", "build_request", "show_authorized", "show_charged"]


def build_request(args: Namespace, info: ProviderInfo, notify_url: str = "") -> ChargeRequest:
    """Build the charge request from the options and the provider's defaults."""
    currency = args.currency or default_currency(info)
    amount = Money.of(args.amount, currency) if args.amount else default_amount(info, currency)
    order_id = args.order_id or new_order_id(info.limits, "DEMO")
    return_url = args.return_url or notify_url  # on this machine, where the demo answers every visitor
    return ChargeRequest(
        order_id, amount, "A demonstration", channel=default_channel(info), notify_url=notify_url, return_url=return_url
    )


def authorize(gateway: Gateway) -> Authorization | None:
    """Authorize, or return None if the provider has no such step."""
    try:
        return gateway.authorize()
    except UnsupportedOperation:
        return None


def show_authorized(console: Console, authorization: Authorization | None) -> None:
    """Show the authorization without its token."""
    if authorization is None:
        console.step("authorized", {"scheme": None, "expires_in": None}, ["this provider needs no token"])
        return
    lifetime = authorization.expires_in
    duration = f"for {lifetime:.0f} s" if lifetime is not None else "with no expiry"
    console.step(
        "authorized",
        {"scheme": authorization.scheme, "expires_in": lifetime},
        [f"the gateway issued a {authorization.scheme} token, {duration}"],
    )


def show_charged(console: Console, charge: Charge) -> None:
    """Show the charge, with a QR code if the shopper can scan one."""
    reference = charge.reference
    console.step(
        "charged",
        charge_fields(charge),
        [
            f"order {reference.order_id}, {charge.amount or 'amount not stated'}: {charge.status}",
            f"the gateway's id is {reference.provider_id}",
            describe_action(charge.next_action) or "no next action",
        ],
    )
    show_code(console, charge.next_action)
