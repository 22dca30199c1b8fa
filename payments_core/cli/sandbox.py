"""`payments sandbox`: run a provider's sandbox on this machine until Ctrl-C."""

from __future__ import annotations

import re
import shlex
import sys
import threading
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from payments_core import Notifications, ProviderInfo, installed_providers

from .console import Console
from .defaults import default_amount, default_currency
from .exits import Exit, Stop
from .opening import Sandbox, accepts_option, provider_name, sandbox_factory, start_sandbox
from .parser import Commands
from .sandbox_section import append_section, read_section, section_port, to_toml

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Register the command."""
    parser = commands.new(
        "sandbox",
        _run,
        "run a provider's gateway on this machine",
        "Run a provider's sandbox on this machine's loopback address until Ctrl-C, which is its normal end "
        "(exit code 0). No money moves. It prints random credentials, new ones at each start unless --keep "
        "names a file.",
    )
    parser.add_argument("name", metavar="NAME", help="an installed provider that has a sandbox; - is read as _")
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="0 to 65535 (default: any free one)")
    parser.add_argument("--time-scale", type=float, metavar="X", help="multiply the waits between deliveries")
    parser.add_argument(
        "--endpoint",
        action="append",
        default=[],
        type=_endpoint,
        metavar="URL",
        help="send all notifications to this address of this machine; repeat for each; for a gateway that takes no "
        "address with a charge",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE",
        help="save its section in this payments.toml: the next start with it has the same credentials and port "
        "(charges are not saved)",
    )


def _run(args: Namespace, console: Console) -> Exit:
    name = provider_name(args.name)
    kept = read_section(args.keep, name) if args.keep is not None else None
    with closing(_started(name, args, kept)) as sandbox:
        _register(name, sandbox, args.endpoint)
        if args.keep is not None and kept is None:
            _check_keepable(name, sandbox)
            append_section(args.keep, name, sandbox.config)
        toml = to_toml(name, sandbox.config)
        try:
            console.result(
                {
                    "provider": name,
                    "url": sandbox.url,
                    "config": dict(sandbox.config),
                    "toml": toml,
                    "kept": args.keep and str(args.keep),
                    "endpoints": args.endpoint,
                },
                _lines(name, sandbox, args),
            )
            threading.Event().wait()
        except KeyboardInterrupt:
            console.say()
    console.say("The sandbox is closed.")
    return Exit.OK


def _port(text: str) -> int:
    if re.fullmatch("[0-9]{1,5}", text) is None or int(text) > 65535:
        raise ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _endpoint(text: str) -> str:
    try:
        parts = urlsplit(text)
        local = parts.scheme in {"http", "https"} and parts.hostname in {"127.0.0.1", "localhost", "::1"}
    except ValueError:
        local = False
    if not local:
        raise ArgumentTypeError("a sandbox delivers only to this machine: http://127.0.0.1:PORT/PATH")
    return text


def _register(name: str, sandbox: Sandbox, endpoints: Sequence[str]) -> None:
    for url in endpoints:
        if (register := getattr(sandbox, "register_endpoint", None)) is not None:
            register(url)
            continue
        if not _sends_notifications(name):
            raise Stop(
                f"the sandbox of {name} registers no --endpoint: its gateway sends no notifications",
                "Omit it, and ask about every open order: payments confirm.",
                code=Exit.USAGE,
            )
        raise Stop(
            f"the sandbox of {name} registers no --endpoint: its gateway takes the address with each charge",
            "Omit it, and give the address with a charge: payments charge --notify-url URL.",
            code=Exit.USAGE,
        )


def _started(name: str, args: Namespace, kept: Mapping[str, Any] | None) -> Sandbox:
    if kept is None:
        return start_sandbox(name, args.port, args.time_scale)
    port = section_port(kept)
    if args.port not in {0, port}:
        raise Stop(
            f"{args.keep} keeps port {port} for the sandbox of {name}",
            f"Omit --port, or delete [gateways.{name}] from the file.",
            code=Exit.USAGE,
        )
    credentials = {field: value for field, value in kept.items() if field != "base_url"}
    return start_sandbox(name, port, args.time_scale, credentials)


def _check_keepable(name: str, sandbox: Sandbox) -> None:
    """Raise `Stop` if the next start could not be given what would be saved."""
    factory = sandbox_factory(name)
    for field, value in sandbox.config.items():
        if field != "base_url" and value != "" and not accepts_option(factory, field, value):
            raise Stop(
                f"the sandbox of {name} always makes up its {field}: it cannot be kept",
                f"Omit --keep, or add the parameter {field} to its make().",
                code=Exit.USAGE,
            )


def _lines(name: str, sandbox: Sandbox, args: Namespace) -> list[str]:
    notifies = _sends_notifications(name)
    url, config = sandbox.url, f" --config {shlex.quote(str(args.keep))}" if args.keep else ""
    return [
        f"The sandbox of {name} is at {url}. No money moves. Ctrl-C ends it.",
        "",
        *_configured(name, sandbox, args.keep),
        "",
        f"Charge: payments charge {name} --order-id {' '.join(_example(name))} --description Tea \\",
        f"            --return-url https://shop.example/{config}",
        f"Pay:    open the address in the charge's answer, or {url}",
        *_notify_lines(name, args.endpoint, takes_endpoints=hasattr(sandbox, "register_endpoint"), notifies=notifies),
        "",
        "For tests, each a POST of JSON (content type application/json); ID is the gateway's own id of the charge:",
        f"    {url}/_sandbox/orders/ID/pay         the shopper pays",
        f"    {url}/_sandbox/orders/ID/cancel      the shopper declines",
        *([f"    {url}/_sandbox/orders/ID/deliver     the notification is sent again"] if notifies else []),
        f"GET {url}/_sandbox/orders lists the charges. docs/testing.md has every control.",
    ]


def _configured(name: str, sandbox: Sandbox, kept: Path | None) -> list[str]:
    if kept is not None:
        return [f"{kept} configures a gateway for it, with random credentials that stay the same: [gateways.{name}]"]
    return [
        "Configure a gateway for it: payments.toml, with random credentials for this run (--keep FILE saves them),",
        "",
        *(f"    {line}" for line in to_toml(name, sandbox.config).splitlines()),
    ]


def _notify_lines(name: str, given: Sequence[str], *, takes_endpoints: bool, notifies: bool) -> list[str]:
    if not notifies:
        return ["Notify: nobody. This gateway sends no notifications: ask about every open order (payments confirm)."]
    if given:
        return [f"Notify: {', '.join(given)}"]
    if takes_endpoints:
        return [
            "Notify: nobody. This gateway takes no address with a charge; register one when you start the sandbox:",
            f"            payments sandbox {name} --endpoint http://127.0.0.1:8000/webhooks",
        ]
    return []


def _example(name: str) -> tuple[str, ...]:
    """Return an order id, amount and currency that this provider takes, or placeholders if it is not installed."""
    info = _info(name)
    if info is None:
        return "ID", "--amount", "AMOUNT", "--currency", "CODE"
    amount = default_amount(info, default_currency(info))
    return _order_id(info), "--amount", amount.text, "--currency", amount.currency


def _sends_notifications(name: str) -> bool:
    info = _info(name)
    return info is None or info.notifications is not Notifications.NONE


def _info(name: str) -> ProviderInfo | None:
    with redirect_stdout(sys.stderr):  # a plugin may print when it is imported
        return next((each.info for each in installed_providers() if each.name == name), None)


def _order_id(info: ProviderInfo) -> str:
    pattern = info.limits.order_id_pattern
    return "A1" if info.limits.order_id_length > 1 and (not pattern or re.fullmatch(pattern, "A1")) else "ID"
