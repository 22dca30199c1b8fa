"""`payments demo`: the whole life of a charge against a sandbox, or its beginning against any server."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from payments_core import (
    Authorization,
    Charge,
    ChargeRequest,
    Gateway,
    InvalidRequest,
    Money,
    PaymentError,
    ProviderInfo,
    Reference,
    Rejected,
    RejectionCode,
    UnsupportedOperation,
)

from .configured import gateway_in
from .console import Console
from .encoding import charge_fields
from .exits import Exit, Stop, ask_again
from .moving import told
from .opening import default_provider, open_gateway, provider_id
from .parser import Commands, add_config
from .shown import action_in_words, show_code
from .usual import new_order_id, usual_amount, usual_channel, usual_currency

__all__ = ["add", "authorize", "choose", "demo_request", "show_authorized", "show_charged"]


def add(commands: Commands) -> None:
    """Register the command."""
    parser = commands.new(
        "demo",
        _run,
        "play the whole life of a charge",
        "Plays the life of a charge against a provider's sandbox on this machine: authorized, charged, paid by the\n"
        "shopper, notified, confirmed; then a forged notification and an answer about other money are refused. Exit code\n"
        "0 means that every step happened. With --config FILE it authorizes, charges and asks once at the server that\n"
        "FILE names, and starts no sandbox.",
    )
    parser.add_argument(
        "--provider", default="", metavar="NAME", help="default: the first one that has a sandbox; - is read as _"
    )
    parser.add_argument("--amount", metavar="88.00", help="in major units (default: 88)")
    parser.add_argument("--currency", default="", metavar="CODE", help="default: HKD, or the provider's first")
    parser.add_argument("--order-id", default="", metavar="ID", help="default: a new one")
    parser.add_argument("--return-url", default="", metavar="URL", help="where the shopper comes back to")
    parser.add_argument("--gateway", default="", metavar="NAME", help="with --config: which of its gateways")
    add_config(parser)
    payer = parser.add_mutually_exclusive_group()
    payer.add_argument("--auto", action="store_true", help="the demo pays by itself (this is the default)")
    payer.add_argument("--browser", action="store_true", help="you pay, on the page that the sandbox shows")


def _run(args: Namespace, console: Console) -> Exit:
    if args.config is None and args.gateway:
        raise Stop("--gateway is one of the gateways of a --config FILE", "Give both, or neither.", code=Exit.USAGE)
    if args.config is not None and args.browser:
        raise Stop("--browser is for the sandbox, and --config starts none", "Leave one out.", code=Exit.USAGE)
    if args.config is None:
        from . import life  # the sandbox's server is an extra, and only needed here

        return life.play(provider_id(args.provider) or default_provider(), args, console)
    return _against_server(args, args.config, console)


def _against_server(args: Namespace, file: Path, console: Console) -> Exit:
    name = args.gateway or gateway_in(file, provider_id(args.provider))
    with open_gateway(name, file) as gateway:
        request = demo_request(args, gateway.info)
        console.say(f"A charge of {request.amount} through the gateway {name} ({gateway.info.title}).")
        console.say()
        show_authorized(console, authorize(gateway))
        args.gateway, args.order_id = name, request.order_id  # for the advice, should an outcome be unknown
        charge = gateway.create_charge(request)
        with told("the charge was made", ask_again(args, charge.reference.provider_id)):
            show_charged(console, charge)
        reference = Reference(request.order_id, charge.reference.provider_id)
        asked = gateway.get_status(reference).require(request.order_id, request.amount)
        console.step(
            "queried",
            charge_fields(asked),
            [f"{asked.status} (the gateway says {asked.raw_status}), {asked.amount}: as asked for"],
        )
    return Exit.OK


def demo_request(args: Namespace, info: ProviderInfo, notify_url: str = "") -> ChargeRequest:
    """What the demo asks for, where nothing else is said: 88 Hong Kong dollars, or what the provider takes instead."""
    currency = args.currency or usual_currency(info)
    amount = Money.of(args.amount, currency) if args.amount else usual_amount(info, currency)
    order_id = args.order_id or new_order_id(info.limits, "DEMO")
    return_url = args.return_url or notify_url  # on this machine, where the demo answers whoever comes back
    return ChargeRequest(
        order_id, amount, "A demonstration", channel=usual_channel(info), notify_url=notify_url, return_url=return_url
    )


def choose(error: PaymentError) -> str:
    """What to do where the provider or the gateway does not take what the demo has chosen; `""` for other errors."""
    if isinstance(error, InvalidRequest) or (isinstance(error, Rejected) and error.code is RejectionCode.INVALID):
        return "The demo has chosen that by itself. Choose: --order-id ID, --amount 88.00, --currency CODE, --return-url URL."
    return ""


def authorize(gateway: Gateway) -> Authorization | None:
    """The right to call the gateway's API; None where the provider needs no such step."""
    try:
        return gateway.authorize()
    except UnsupportedOperation:
        return None


def show_authorized(console: Console, authorization: Authorization | None) -> None:
    """The first step, without the token."""
    if authorization is None:
        console.step("authorized", {"scheme": None, "expires_in": None}, ["this provider needs no token"])
        return
    lifetime = authorization.expires_in
    known = f"for {lifetime:.0f} s" if lifetime is not None else "for good"
    console.step(
        "authorized",
        {"scheme": authorization.scheme, "expires_in": lifetime},
        [f"the gateway gave a {authorization.scheme} token, {known}"],
    )


def show_charged(console: Console, charge: Charge) -> None:
    """The second step, with the code that the shopper scans."""
    reference = charge.reference
    console.step(
        "charged",
        charge_fields(charge),
        [
            f"order {reference.order_id}, {charge.amount or 'amount not told'}: {charge.status}",
            f"the gateway calls it {reference.provider_id}",
            action_in_words(charge.next_action) or "nothing is to be done next",
        ],
    )
    show_code(console, charge.next_action)
