"""`payments sandbox`: a provider's gateway on this machine, until Ctrl-C."""

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

from payments_core import ProviderInfo, installed_providers

from .console import Console
from .exits import Exit, Stop
from .kept import keep, kept_section, port_of, toml_of
from .opening import Sandbox, provider_id, sandbox_factory, start_sandbox, takes
from .parser import Commands
from .usual import usual_amount, usual_currency

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Register the command."""
    parser = commands.new(
        "sandbox",
        _run,
        "run a provider's gateway on this machine",
        "Runs a provider's sandbox on this machine's loopback address until Ctrl-C, which is its normal end (exit code 0).\n"
        "No money moves. The credentials that it prints are made up, and others at each start unless --keep names a file.",
    )
    parser.add_argument("name", metavar="NAME", help="an installed provider that has a sandbox; - is read as _")
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="0 to 65535 (default: any free one)")
    parser.add_argument("--time-scale", type=float, metavar="X", help="multiplies the waits between deliveries")
    parser.add_argument(
        "--endpoint",
        action="append",
        default=[],
        type=_endpoint,
        metavar="URL",
        help="an address of this machine that gets all notifications, once for each; for a gateway that takes no "
        "address with a charge",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE",
        help="keep its section in this payments.toml: the next start with it has the same credentials and port (charges "
        "are not kept)",
    )


def _run(args: Namespace, console: Console) -> Exit:
    name = provider_id(args.name)
    kept = kept_section(args.keep, name) if args.keep is not None else None
    with closing(_started(name, args, kept)) as sandbox:
        _register(name, sandbox, args.endpoint)
        if args.keep is not None and kept is None:
            _check_keepable(name, sandbox)
            keep(args.keep, name, sandbox.config)
        toml = toml_of(name, sandbox.config)
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
        raise ArgumentTypeError("a sandbox delivers to this machine alone: http://127.0.0.1:PORT/PATH")
    return text


def _register(name: str, sandbox: Sandbox, endpoints: Sequence[str]) -> None:
    for url in endpoints:
        if (register := getattr(sandbox, "register_endpoint", None)) is None:
            raise Stop(
                f"the sandbox of {name} registers no --endpoint: its gateway takes the address with each charge",
                "Leave it out, and give the address with a charge: payments charge --notify-url URL.",
                code=Exit.USAGE,
            )
        register(url)


def _started(name: str, args: Namespace, kept: Mapping[str, Any] | None) -> Sandbox:
    if kept is None:
        return start_sandbox(name, args.port, args.time_scale)
    port = port_of(kept)
    if args.port not in {0, port}:
        raise Stop(
            f"{args.keep} keeps port {port} for the sandbox of {name}",
            f"Leave --port out, or delete [gateways.{name}] from the file.",
            code=Exit.USAGE,
        )
    credentials = {field: value for field, value in kept.items() if field != "base_url"}
    return start_sandbox(name, port, args.time_scale, credentials)


def _check_keepable(name: str, sandbox: Sandbox) -> None:
    """Refuse to keep what the next start could not be given."""
    factory = sandbox_factory(name)
    for field, value in sandbox.config.items():
        if field != "base_url" and value != "" and not takes(factory, field, value):
            raise Stop(
                f"the sandbox of {name} always makes up its {field}: it cannot be kept",
                f"Leave --keep out, or let its make() take {field}=.",
                code=Exit.USAGE,
            )


def _lines(name: str, sandbox: Sandbox, args: Namespace) -> list[str]:
    url, config = sandbox.url, f" --config {shlex.quote(str(args.keep))}" if args.keep else ""
    return [
        f"The sandbox of {name} is at {url}. No money moves. Ctrl-C ends it.",
        "",
        *_configured(name, sandbox, args.keep),
        "",
        f"Charge: payments charge {name} --order-id {' '.join(_example(name))} --description Tea \\",
        f"            --return-url https://shop.example/{config}",
        f"Pay:    open the address that the charge answers, or {url}",
        *_notified(name, args.endpoint, takes_endpoints=hasattr(sandbox, "register_endpoint")),
        "",
        "For tests, each a POST of JSON (content type application/json), ID being the gateway's own id of the charge:",
        f"    {url}/_sandbox/orders/ID/pay         the shopper pays",
        f"    {url}/_sandbox/orders/ID/cancel      the shopper declines",
        f"    {url}/_sandbox/orders/ID/deliver     the notification is sent once more",
        f"GET {url}/_sandbox/orders lists the charges. docs/testing.md has every control.",
    ]


def _configured(name: str, sandbox: Sandbox, kept: Path | None) -> list[str]:
    if kept is not None:
        return [f"{kept} configures a gateway for it, with credentials made up once: [gateways.{name}]"]
    return [
        "Configure a gateway for it: payments.toml, with credentials made up for this run (--keep FILE keeps them),",
        "",
        *(f"    {line}" for line in toml_of(name, sandbox.config).splitlines()),
    ]


def _notified(name: str, given: Sequence[str], *, takes_endpoints: bool) -> list[str]:
    if given:
        return [f"Notify: {', '.join(given)}"]
    if takes_endpoints:
        return [
            "Notify: nobody. This gateway takes no address with a charge; register one when the sandbox is started:",
            f"            payments sandbox {name} --endpoint http://127.0.0.1:8000/webhooks",
        ]
    return []


def _example(name: str) -> tuple[str, ...]:
    """An order id, and the amount and the currency that this provider takes, where its declaration tells."""
    with redirect_stdout(sys.stderr):
        infos = [each.info for each in installed_providers() if each.name == name and each.info is not None]
    if not infos:
        return "ID", "--amount", "AMOUNT", "--currency", "CODE"
    amount = usual_amount(infos[0], usual_currency(infos[0]))
    return _order_id(infos[0]), "--amount", amount.text, "--currency", amount.currency


def _order_id(info: ProviderInfo) -> str:
    pattern = info.limits.order_id_pattern
    return "A1" if info.limits.order_id_length > 1 and (not pattern or re.fullmatch(pattern, "A1")) else "ID"
