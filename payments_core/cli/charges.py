"""`payments charge`, `status` and `confirm`: ask for money once, ask what became of it, and ask whether it is paid."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime

from payments_core import Channel, Charge, ChargeRequest, Money, ProviderInfo

from .console import Console
from .encoding import charge_fields
from .exits import Exit, Stop, ask_again, never_again, repeat
from .moving import attempted, told
from .opening import open_gateway
from .parser import Commands, add_amount, add_config, add_deadline, add_first_sent_at, add_reference, charge_named
from .shown import charge_lines, show_code

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Register the three commands."""
    charge = commands.new("charge", _charge, "ask for money, once", "Asks the gateway to charge one order, once.")
    charge.add_argument("gateway", metavar="GATEWAY", help="the gateway's name in the configuration")
    charge.add_argument("--order-id", required=True, metavar="ID", help="the merchant's own id of the order")
    add_amount(charge)
    charge.add_argument("--description", required=True, metavar="TEXT", help="what is being sold")
    charge.add_argument("--method", default="", metavar="ID", help="one of the provider's methods (default: its first)")
    charge.add_argument(
        "--channel", choices=[each.value for each in Channel], default="WEB", help="where the shopper is (default: WEB)"
    )
    charge.add_argument("--notify-url", default="", metavar="URL", help="where the gateway sends notifications")
    charge.add_argument("--return-url", default="", metavar="URL", help="where the shopper comes back to")
    add_first_sent_at(charge)
    add_deadline(charge)
    add_config(charge)

    status = commands.new(
        "status",
        _status,
        "ask where a charge stands",
        "Asks the gateway where a charge stands. With --amount and --currency an answer about other money is an error.\n"
        "Whether your order is paid is only said of an answer that was compared with it: with --order-id, --amount and\n"
        "--currency. The exit code is 0 whatever the status is: read `paid`, or run `payments confirm`.",
    )
    status.add_argument("gateway", metavar="GATEWAY", help="the gateway's name in the configuration")
    add_reference(status)
    add_amount(status, required=False)
    add_deadline(status)
    add_config(status)

    confirm = commands.new(
        "confirm",
        _confirm,
        "ask whether an order is paid",
        "Asks the gateway, and compares the answer with the order. The exit code is 0 only if the whole amount is paid.",
    )
    confirm.add_argument("gateway", metavar="GATEWAY", help="the gateway's name in the configuration")
    confirm.add_argument("--order-id", required=True, metavar="ID", help="the merchant's own id of the order")
    confirm.add_argument(
        "--provider-id", default="", metavar="ID", help="the gateway's id that was stored when the charge was made"
    )
    add_amount(confirm)
    add_deadline(confirm)
    add_config(confirm)


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
    with open_gateway(args.gateway, args.config) as gateway, attempted("the charge", _go_on(args, gateway.info)):
        charge = gateway.create_charge(request, deadline=args.deadline, first_sent_at=args.first_sent_at)
    with told("the charge was made", ask_again(args, charge.reference.provider_id)):
        _show(console, charge)
        show_code(console, charge.next_action)
    return Exit.OK


def _go_on(args: Namespace, info: ProviderInfo) -> str:
    """Say what to do after an interruption: a charge that no order id finds is known by its key alone."""
    if "order_id" not in info.query_by and info.key_lifetime is not None:
        return repeat(args.first_sent_at or datetime.now(UTC))
    return never_again(ask_again(args))


def _status(args: Namespace, console: Console) -> Exit:
    asked = charge_named(args)
    if (args.amount is None) != (args.currency is None):
        raise Stop("--amount and --currency go together", "Give both, or neither.", code=Exit.USAGE)
    expected = Money.of(args.amount, args.currency) if args.amount is not None else None
    with open_gateway(args.gateway, args.config) as gateway:
        charge = gateway.get_status(asked, deadline=args.deadline)
    if expected is not None:
        compared = charge.require(args.order_id or charge.reference.order_id, expected, provider_id=args.provider_id)
        charge = compared if args.order_id else charge  # an equal amount alone could be anybody's
    _show(console, charge)
    return Exit.OK


def _confirm(args: Namespace, console: Console) -> Exit:
    expected = Money.of(args.amount, args.currency)
    with open_gateway(args.gateway, args.config) as gateway:
        charge = gateway.confirm(args.order_id, expected, provider_id=args.provider_id, deadline=args.deadline)
    _show(console, charge)
    return Exit.OK if charge.is_paid else Exit.NOT_PAID


def _show(console: Console, charge: Charge) -> None:
    console.result(charge_fields(charge), charge_lines(charge))
