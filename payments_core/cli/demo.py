"""`payments demo`: play a charge from start to end against a sandbox, or its first steps against any server."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from payments_core import Reference

from .configured import default_gateway
from .console import Console
from .demo_steps import authorize, build_request, show_authorized, show_charged
from .encoding import charge_fields
from .exits import Exit, Stop, status_command
from .guards import report_lost_output
from .opening import default_provider, open_gateway, provider_name
from .parser import Commands, add_config

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Register the command."""
    parser = commands.new(
        "demo",
        _run,
        "play a charge from start to end",
        "Play a charge from start to end against a provider's sandbox on this machine: authorize, charge, let "
        "the shopper pay, receive the notification, confirm. Then send a forged notification, and an answer "
        "with another amount: both must have no effect. If the gateway's notifications are not signed, the demo "
        "sends an invented one before the shopper pays, and asks the gateway. If the gateway sends none, the "
        "demo polls. Exit code 0 means that every step that this gateway has was carried out and checked. With "
        "--config FILE, only authorize, charge and query once, at the server that FILE names, without a "
        "sandbox.",
    )
    parser.add_argument(
        "--provider", default="", metavar="NAME", help="default: the first one that has a sandbox; - is read as _"
    )
    parser.add_argument("--amount", metavar="88.00", help="in major units (default: 88)")
    parser.add_argument("--currency", default="", metavar="CODE", help="default: HKD, or the provider's first")
    parser.add_argument("--order-id", default="", metavar="ID", help="default: a new one")
    parser.add_argument("--return-url", default="", metavar="URL", help="where the shopper returns to")
    parser.add_argument("--gateway", default="", metavar="NAME", help="with --config: which of its gateways")
    add_config(parser)
    payer = parser.add_mutually_exclusive_group()
    payer.add_argument("--auto", action="store_true", help="let the demo pay (default)")
    payer.add_argument("--browser", action="store_true", help="pay yourself, on the sandbox's page")


def _run(args: Namespace, console: Console) -> Exit:
    if args.config is None and args.gateway:
        raise Stop("--gateway needs --config FILE", "Give both, or neither.", code=Exit.USAGE)
    if args.config is not None and args.browser:
        raise Stop("--browser is for the sandbox, and --config starts none", "Leave one out.", code=Exit.USAGE)
    if args.config is None:
        from . import walkthrough  # imports the sandbox's server, which is an extra

        return walkthrough.play(provider_name(args.provider) or default_provider(), args, console)
    return _run_against_server(args, args.config, console)


def _run_against_server(args: Namespace, file: Path, console: Console) -> Exit:
    name = args.gateway or default_gateway(file, provider_name(args.provider))
    with open_gateway(name, file) as gateway:
        request = build_request(args, gateway.info)
        console.say(f"A charge of {request.amount} through the gateway {name} ({gateway.info.title}).")
        console.say()
        show_authorized(console, authorize(gateway))
        args.gateway, args.order_id = name, request.order_id  # for the advice if the outcome is unknown
        charge = gateway.create_charge(request)
        with report_lost_output("the charge was made", status_command(args, charge.reference.provider_id)):
            show_charged(console, charge)
        reference = Reference(request.order_id, charge.reference.provider_id)
        found = gateway.get_status(reference).require(request.order_id, request.amount)
        console.step(
            "queried",
            charge_fields(found),
            [f"{found.status} (the gateway says {found.raw_status}), {found.amount}: as requested"],
        )
    return Exit.OK
