"""`payments webhook`: verify a notification, or sign one to test a receiver with."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import assert_never

from payments_core import Notification, Notifications, ProviderInfo, WebhookDelivery, WebhookEvent
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
        "verify and read a notification",
        "Verify and read a notification exactly as it arrived: the body byte for byte, and its headers. If the "
        "gateway signs nothing, `verified` is false: anybody could have sent the notification, and it is only "
        "read.",
    )
    _add_common(verify)
    verify.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="a header; repeat for each; @FILE reads them from a file, one a line",
    )
    signing = family.new(
        "sign",
        _sign,
        "print the headers that make a body a genuine notification",
        "Sign a body with the configured key, as the gateway would, to test a receiver. Only for a gateway that "
        "signs its notifications, and that moves no money, as its key says or because its base_url is on this "
        "machine.",
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
        verified, trust = _describe_trust(gateway.info)
    console.result(
        {
            "verified": verified,
            "notifications": gateway.info.notifications,
            "events": [_event_fields(each) for each in notification.events],
        },
        [trust, *_event_lines(notification)],
    )
    return Exit.OK


def _sign(args: Namespace, console: Console) -> Exit:
    headers = sign(args.gateway, args.config, _read(args.body))
    console.result({"headers": headers}, [f"{name}: {value}" for name, value in headers])
    return Exit.OK


def _describe_trust(info: ProviderInfo) -> tuple[bool, str]:
    """Return whether a parsed notification is verified, and a line that says so."""
    match info.notifications:
        case Notifications.SIGNED | None:
            return True, "verified: the gateway has sent this"
        case Notifications.UNSIGNED:
            return False, "not signed: anybody could have sent this, so it is only a hint to ask the gateway"
        case Notifications.NONE:
            return False, "not sent by this gateway: it sends no notifications"
        case _ as kind:
            assert_never(kind)


def _event_fields(event: WebhookEvent) -> dict[str, object]:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return {**fields, "authoritative": event.authoritative}


def _event_lines(notification: Notification) -> list[str]:
    lines = []
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
    return lines or ["it carries no event"]


def _headers(given: str) -> list[tuple[str, str]]:
    lines = _text(given[1:]).splitlines() if given.startswith("@") else [given]
    pairs = [line.partition(":") for line in lines if line.strip()]
    if any(not colon or not name.strip() for name, colon, _ in pairs):
        raise Stop("a header is 'Name: value'", "Give each with its own --header.", code=Exit.USAGE)
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def _text(file: str) -> str:
    return _read(file).decode("latin-1")


def _read(file: str) -> bytes:
    # One byte above the limit, so that a body that is too long is refused as malformed.
    most = MAX_DELIVERY_BYTES + 1
    if file == "-":
        return sys.stdin.buffer.read(most)
    try:
        with Path(file).open("rb") as opened:
            return opened.read(most)
    except OSError as exc:
        problem = exc.strerror or type(exc).__name__
    raise Stop(f"{file} cannot be read: {problem}", code=Exit.USAGE)
