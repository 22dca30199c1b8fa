"""`payments webhook`: believe a notification or not, and make one to test a receiver with."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from payments_core import Notification, WebhookDelivery
from payments_core.webhooks import MAX_DELIVERY_BYTES

from .console import Console, rows
from .exits import Exit, Stop
from .opening import open_gateway
from .parser import Commands, Parser, add_config
from .signing import sign

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Register both commands."""
    family = commands.family("webhook", "verify a notification, or sign one for a test")
    verify = family.new(
        "verify",
        _verify,
        "say whether a notification is to be believed",
        "Verifies a notification exactly as it arrived: the body byte for byte, and its headers.",
    )
    _add_common(verify)
    verify.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="a header, once for each; @FILE reads them from a file, one a line",
    )
    signing = family.new(
        "sign",
        _sign,
        "print the headers that make a body a genuine notification",
        "Signs a body with the configured key, as the gateway would, so that a receiver can be tested. Only for a gateway\n"
        "that moves no money, by its key or because its base_url is on this machine: what is signed is believed.",
    )
    _add_common(signing)


def _add_common(parser: Parser) -> None:
    parser.add_argument("gateway", metavar="GATEWAY", help="the gateway's name in the configuration")
    parser.add_argument("--body", required=True, metavar="FILE", help="the raw bytes; - reads them from stdin")
    add_config(parser)


def _verify(args: Namespace, console: Console) -> Exit:
    delivery = WebhookDelivery(_read(args.body), [pair for given in args.header for pair in _headers(given)])
    with open_gateway(args.gateway, args.config) as gateway:
        notification = gateway.parse_webhook(delivery)
    console.result(
        {"verified": True, "events": [_event(each) for each in notification.events]}, _event_lines(notification)
    )
    return Exit.OK


def _sign(args: Namespace, console: Console) -> Exit:
    headers = sign(args.gateway, args.config, _read(args.body))
    console.result({"headers": headers}, [f"{name}: {value}" for name, value in headers])
    return Exit.OK


def _event(event: Any) -> dict[str, object]:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return {**fields, "authoritative": event.authoritative}


def _event_lines(notification: Notification) -> list[str]:
    lines = ["verified: the gateway has sent this"]
    for event in notification.events:
        reference = event.reference
        lines += [
            "",
            *rows(
                [
                    ("event", f"{event.raw_kind} ({event.subject})"),
                    ("event id", event.event_id),
                    ("order id", reference.order_id if reference else ""),
                    ("provider id", reference.provider_id if reference else ""),
                    ("account", event.account),
                    (
                        "says",
                        "a status" if event.authoritative else "nothing about the money: ask with `payments status`",
                    ),
                ]
            ),
        ]
    return lines if notification.events else [*lines, "it carries no event"]


def _headers(given: str) -> list[tuple[str, str]]:
    lines = _text(given[1:]).splitlines() if given.startswith("@") else [given]
    pairs = [line.partition(":") for line in lines if line.strip()]
    if any(not colon or not name.strip() for name, colon, _ in pairs):
        raise Stop("a header is 'Name: value'", "Give each with its own --header.", code=Exit.USAGE)
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def _text(file: str) -> str:
    return _read(file).decode("latin-1")


def _read(file: str) -> bytes:
    # One byte more than is ever believed, so that what is too long is refused as that.
    most = MAX_DELIVERY_BYTES + 1
    if file == "-":
        return sys.stdin.buffer.read(most)
    try:
        with Path(file).open("rb") as opened:
            return opened.read(most)
    except OSError as exc:
        problem = exc.strerror or type(exc).__name__
    raise Stop(f"{file} cannot be read: {problem}", code=Exit.USAGE)
