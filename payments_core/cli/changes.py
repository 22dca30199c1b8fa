"""`payments capture`, `cancel`, `refund` and `refund-status`: change a charge that exists."""

from __future__ import annotations

from argparse import Namespace

from payments_core import CaptureRequest, Charge, Money, Refund, RefundReference, RefundRequest, RefundStatus

from .console import Console
from .display import charge_lines, refund_lines
from .encoding import charge_fields
from .exits import Exit, Stop, ask_first, refund_status_command, status_command
from .guards import report_interruption, report_lost_output
from .opening import open_gateway
from .parser import Commands, add_amount, add_config, add_deadline, add_first_sent_at, add_reference, charge_reference

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Register the four commands."""
    capture = commands.new(
        "capture",
        _capture,
        "take the money of an authorized charge",
        "Take money that a charge has authorized. The same --capture-id is the same capture.",
    )
    capture.add_argument("gateway", metavar="GATEWAY", help="the gateway's name in the configuration")
    add_reference(capture)
    capture.add_argument("--capture-id", required=True, metavar="ID", help="your own id of this capture")
    add_amount(capture)
    add_first_sent_at(capture)
    add_deadline(capture)
    add_config(capture)

    cancel = commands.new(
        "cancel",
        _cancel,
        "close a charge that is not paid",
        "Close a charge that is not paid. A charge that was paid in the meantime stays paid: read `status`.",
    )
    cancel.add_argument("gateway", metavar="GATEWAY", help="the gateway's name in the configuration")
    add_reference(cancel)
    add_deadline(cancel)
    add_config(cancel)

    refund = commands.new(
        "refund",
        _refund,
        "give money back, once for each refund id",
        "Give money of a charge back. The same --refund-id is the same refund; another one is a second refund.",
    )
    refund.add_argument("gateway", metavar="GATEWAY", help="the gateway's name in the configuration")
    add_reference(refund)
    refund.add_argument("--refund-id", required=True, metavar="ID", help="your own id of this refund")
    add_amount(refund)
    refund.add_argument("--reason", default="", metavar="TEXT", help="the reason, if the gateway stores it")
    add_first_sent_at(refund)
    add_deadline(refund)
    add_config(refund)

    asked = commands.new(
        "refund-status",
        _refund_status,
        "ask for the status of a refund",
        "Ask the gateway for the status of a refund. Name its charge too if the gateway needs it.",
    )
    asked.add_argument("gateway", metavar="GATEWAY", help="the gateway's name in the configuration")
    asked.add_argument("--refund-id", default="", metavar="ID", help="your own id of the refund")
    asked.add_argument("--refund-provider-id", default="", metavar="ID", help="the gateway's own id of the refund")
    add_reference(asked)
    add_deadline(asked)
    add_config(asked)


def _capture(args: Namespace, console: Console) -> Exit:
    request = CaptureRequest(charge_reference(args), args.capture_id, Money.of(args.amount, args.currency))
    with (
        open_gateway(args.gateway, args.config) as gateway,
        report_interruption("the capture", ask_first(status_command(args))),
    ):
        charge = gateway.capture_charge(request, deadline=args.deadline, first_sent_at=args.first_sent_at)
    with report_lost_output("the capture was made", status_command(args, charge.reference.provider_id)):
        _show(console, charge, f"the gateway took the capture {args.capture_id} of {request.amount}")
    return Exit.OK


def _cancel(args: Namespace, console: Console) -> Exit:
    asked = charge_reference(args)
    with (
        open_gateway(args.gateway, args.config) as gateway,
        report_interruption("the cancellation", ask_first(status_command(args))),
    ):
        charge = gateway.cancel_charge(asked, deadline=args.deadline)
    with report_lost_output("the cancellation was answered", status_command(args, charge.reference.provider_id)):
        _show(console, charge, f"the gateway answered the cancellation: the charge is {charge.status}")
    return Exit.OK


def _refund(args: Namespace, console: Console) -> Exit:
    amount = Money.of(args.amount, args.currency)
    request = RefundRequest(charge_reference(args), args.refund_id, amount, args.reason)
    with open_gateway(args.gateway, args.config) as gateway:
        args.asks_refunds = "get_refund" in gateway.info.operations  # for the advice if the outcome is unknown
        ask = refund_status_command(args)
        with report_interruption("the refund", ask_first(ask)):
            refund = gateway.refund_charge(request, deadline=args.deadline, first_sent_at=args.first_sent_at)
    with report_lost_output("the refund was made", ask):
        later = f"ask later for its result: {ask}" if refund.status is RefundStatus.PENDING else ""
        _show_refund(console, refund, f"the gateway took the refund {args.refund_id} of {amount}", later)
    return Exit.OK


def _refund_status(args: Namespace, console: Console) -> Exit:
    if not args.refund_id and not args.refund_provider_id:
        raise Stop("name the refund", "Give --refund-id or --refund-provider-id.", code=Exit.USAGE)
    charge = charge_reference(args) if args.order_id or args.provider_id else None
    with open_gateway(args.gateway, args.config) as gateway:
        refund = gateway.get_refund(
            RefundReference(args.refund_id, args.refund_provider_id, charge), deadline=args.deadline
        )
    _show_refund(console, refund)
    return Exit.OK


def _show(console: Console, charge: Charge, done: str) -> None:
    console.result(charge_fields(charge), [done, *charge_lines(charge)])


def _show_refund(console: Console, refund: Refund, *said: str) -> None:
    console.result(refund, [*said[:1], *refund_lines(refund), *(each for each in said[1:] if each)])
