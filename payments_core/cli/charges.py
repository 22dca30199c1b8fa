"""`payments charge`, `status` and `confirm`: make a charge, query it, and compare it with the order."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime

from payments_core import Channel, Charge, ChargeRequest, Money, ProviderInfo

from .console import Console
from .display import charge_lines, show_code
from .encoding import charge_fields
from .exits import Exit, Stop, ask_first, repeat_advice, status_command
from .guards import report_interruption, report_lost_output
from .opening import open_gateway
from .parser import Commands, add_amount, add_config, add_deadline, add_first_sent_at, add_reference, charge_reference

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Register the three commands."""
    charge = commands.new("charge", _charge, "charge an order, once", "Ask the gateway to charge one order, once.")
    charge.add_argument("gateway", metavar="GATEWAY", help="the gateway's name in the configuration")
    charge.add_argument("--order-id", required=True, metavar="ID", help="the merchant's own id of the order")
    add_amount(charge)
    charge.add_argument("--description", required=True, metavar="TEXT", help="what the shopper buys")
    charge.add_argument("--method", default="", metavar="ID", help="one of the provider's methods (default: its first)")
    charge.add_argument(
        "--channel", choices=[each.value for each in Channel], default="WEB", help="where the shopper is (default: WEB)"
    )
    charge.add_argument("--notify-url", default="", metavar="URL", help="where the gateway sends notifications")
    charge.add_argument("--return-url", default="", metavar="URL", help="where the shopper returns to")
    add_first_sent_at(charge)
    add_deadline(charge)
    add_config(charge)

    status = commands.new(
        "status",
        _status,
        "ask for the status of a charge",
        "Ask the gateway for the status of a charge. With --amount and --currency, an answer with another "
        "amount is an error. Only an answer that is compared with your order says whether it is paid: give "
        "--order-id, --amount and --currency. The exit code is 0 whatever the status is: read `paid`, or run "
        "`payments confirm`.",
    )
    status.add_argument("gateway", metavar="GATEWAY", help="the gateway's name in the configuration")
    add_reference(status)
    add_amount(status, required=False)
    add_deadline(status)
    add_config(status)

    confirm = commands.new(
        "confirm",
        _confirm,
        "check that an order is paid",
        "Ask the gateway, and compare the answer with the order. The exit code is 0 only if the whole amount is paid.",
    )
    confirm.add_argument("gateway", metavar="GATEWAY", help="the gateway's name in the configuration")
    confirm.add_argument("--order-id", required=True, metavar="ID", help="the merchant's own id of the order")
    confirm.add_argument(
        "--provider-id", default="", metavar="ID", help="the gateway's id, as stored when the charge was made"
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
    with (
        open_gateway(args.gateway, args.config) as gateway,
        report_interruption("the charge", _interruption_advice(args, gateway.info)),
    ):
        charge = gateway.create_charge(request, deadline=args.deadline, first_sent_at=args.first_sent_at)
    with report_lost_output("the charge was made", status_command(args, charge.reference.provider_id)):
        _show(console, charge)
        show_code(console, charge.next_action)
    return Exit.OK


def _interruption_advice(args: Namespace, info: ProviderInfo) -> str:
    """Advise after an interruption; if no order id finds the charge, only its idempotency key does."""
    if "order_id" not in info.query_by and info.key_lifetime is not None:
        return repeat_advice(args.first_sent_at or datetime.now(UTC))
    return ask_first(status_command(args))


def _status(args: Namespace, console: Console) -> Exit:
    asked = charge_reference(args)
    if (args.amount is None) != (args.currency is None):
        raise Stop("--amount and --currency go together", "Give both, or neither.", code=Exit.USAGE)
    expected = Money.of(args.amount, args.currency) if args.amount is not None else None
    with open_gateway(args.gateway, args.config) as gateway:
        charge = gateway.get_status(asked, deadline=args.deadline)
    if expected is not None:
        compared = charge.require(args.order_id or charge.reference.order_id, expected, provider_id=args.provider_id)
        charge = compared if args.order_id else charge  # an equal amount alone could belong to another order
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
