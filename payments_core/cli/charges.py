"""`payments charge` and `payments status`: ask for money once, and ask what became of it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from payments_core import Channel, Charge, ChargeRequest, Money, Reference

from .console import Console, OutputLost
from .encoding import charge_fields
from .exits import Exit, Stop, ask_again
from .opening import open_gateway
from .parser import Commands, Parser, add_config
from .shown import charge_lines, show_code

__all__ = ["add", "told"]


def add(commands: Commands) -> None:
    """Register both commands."""
    charge = commands.new("charge", _charge, "ask for money, once", "Asks the gateway to charge one order, once.")
    charge.add_argument("gateway", metavar="GATEWAY", help="the gateway's name in the configuration")
    charge.add_argument("--order-id", required=True, metavar="ID", help="the merchant's own id of the order")
    charge.add_argument("--amount", required=True, metavar="88.00", help="in major units")
    charge.add_argument("--currency", required=True, metavar="HKD", help="ISO 4217")
    charge.add_argument("--description", required=True, metavar="TEXT", help="what is being sold")
    charge.add_argument("--method", default="", metavar="ID", help="one of the provider's methods (default: its first)")
    charge.add_argument(
        "--channel", choices=[each.value for each in Channel], default="WEB", help="where the shopper is (default: WEB)"
    )
    charge.add_argument("--notify-url", default="", metavar="URL", help="where the gateway sends notifications")
    charge.add_argument("--return-url", default="", metavar="URL", help="where the shopper comes back to")
    _add_common(charge)

    status = commands.new(
        "status",
        _status,
        "ask where a charge stands",
        "Asks the gateway where a charge stands. With --amount and --currency the answer is held against them, and an\n"
        "answer about other money is an error. The exit code is 0 whatever the status is: read `paid`.",
    )
    status.add_argument("gateway", metavar="GATEWAY", help="the gateway's name in the configuration")
    status.add_argument("--order-id", default="", metavar="ID", help="the merchant's own id of the order")
    status.add_argument("--provider-id", default="", metavar="ID", help="the gateway's own id of the charge")
    status.add_argument("--amount", metavar="88.00", help="what the order is about, in major units")
    status.add_argument("--currency", metavar="HKD", help="ISO 4217")
    _add_common(status)


def _add_common(parser: Parser) -> None:
    parser.add_argument("--deadline", type=float, metavar="SECONDS", help="for the whole call (default: 10)")
    add_config(parser)


def _charge(args: Namespace, console: Console) -> Exit:
    request = ChargeRequest(
        args.order_id,
        Money.of(args.amount, args.currency),
        args.description,
        method=args.method,
        channel=Channel(args.channel),
        notify_url=args.notify_url,
        return_url=args.return_url,
    )
    with open_gateway(args.gateway, args.config) as gateway:
        try:
            charge = gateway.create_charge(request, deadline=args.deadline)
        except KeyboardInterrupt:
            raise Stop(
                "interrupted: the charge may have been accepted",
                f"Ask: {ask_again(args)}; never just send it again.",
                code=Exit.INTERRUPTED,
            ) from None
    with told(args, charge):
        _show(console, charge)
        show_code(console, charge.next_action)
    return Exit.OK


@contextmanager
def told(args: Namespace, charge: Charge) -> Iterator[None]:
    """Whoever cannot be shown a charge that was made is told on stderr that there is one, and how to ask about it."""
    try:
        yield
    except OutputLost as lost:
        raise Stop(
            f"the charge was made, and cannot be shown: {lost}",
            f"Ask: {ask_again(args, charge.reference.provider_id)}; never just send it again.",
            code=Exit.BROKEN_PIPE if lost.went_away else Exit.UNKNOWN,
        ) from None


def _status(args: Namespace, console: Console) -> Exit:
    if not args.order_id and not args.provider_id:
        raise Stop("name the charge", "Give --order-id or --provider-id.", code=Exit.USAGE)
    if (args.amount is None) != (args.currency is None):
        raise Stop("--amount and --currency go together", "Give both, or neither.", code=Exit.USAGE)
    expected = Money.of(args.amount, args.currency) if args.amount is not None else None
    with open_gateway(args.gateway, args.config) as gateway:
        charge = gateway.get_status(Reference(args.order_id, args.provider_id), deadline=args.deadline)
    if expected is not None:
        charge.require(args.order_id or charge.reference.order_id, expected, provider_id=args.provider_id)
    _show(console, charge)
    return Exit.OK


def _show(console: Console, charge: Charge) -> None:
    console.result(charge_fields(charge), charge_lines(charge))
