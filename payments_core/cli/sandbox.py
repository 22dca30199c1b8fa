"""`payments sandbox`: a provider's gateway on this machine, until Ctrl-C."""

from __future__ import annotations

import json
import sys
import threading
from argparse import Namespace
from contextlib import closing, redirect_stdout

from payments_core import installed_providers

from .console import Console
from .exits import Exit
from .opening import Sandbox, start_sandbox, usual_currency
from .parser import Commands

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Register the command."""
    parser = commands.new(
        "sandbox",
        _run,
        "run a provider's gateway on this machine",
        "Runs a provider's sandbox on this machine's loopback address until Ctrl-C, which is its normal end (exit code 0).\n"
        "No money moves. The credentials that it prints are made up.",
    )
    parser.add_argument("name", metavar="NAME", help="an installed provider that has a sandbox")
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    parser.add_argument("--time-scale", type=float, metavar="X", help="multiplies the waits between deliveries")


def _run(args: Namespace, console: Console) -> Exit:
    with closing(start_sandbox(args.name, args.port, args.time_scale)) as sandbox:
        toml = _toml(args.name, sandbox)
        try:
            console.result(
                {"provider": args.name, "url": sandbox.url, "config": dict(sandbox.config), "toml": toml},
                _lines(args.name, sandbox.url, toml),
            )
            threading.Event().wait()
        except KeyboardInterrupt:
            console.say()
    console.say("The sandbox is closed.")
    return Exit.OK


def _lines(name: str, url: str, toml: str) -> list[str]:
    return [
        f"The sandbox of {name} is at {url}. No money moves. Ctrl-C ends it.",
        "",
        "Configure a gateway for it: payments.toml, with credentials made up for this run,",
        "",
        *(f"    {line}" for line in toml.splitlines()),
        "",
        f"Charge: payments charge {name} --order-id A1 --amount 88 --currency {_currency(name)} --description Tea \\",
        "            --return-url https://shop.example/",
        f"Pay:    open the address that the charge answers, or {url}",
        "",
        "For tests, each a POST of JSON (content type application/json), ID being the gateway's own id of the charge:",
        f"    {url}/_sandbox/orders/ID/pay         the shopper pays",
        f"    {url}/_sandbox/orders/ID/cancel      the shopper declines",
        f"    {url}/_sandbox/orders/ID/deliver     the notification is sent once more",
        f"GET {url}/_sandbox/orders lists the charges. The provider's README has the rest.",
    ]


def _currency(name: str) -> str:
    with redirect_stdout(sys.stderr):
        infos = [each.info for each in installed_providers() if each.name == name and each.info is not None]
    return usual_currency(infos[0]) if infos else "CODE"


def _toml(name: str, sandbox: Sandbox) -> str:
    # JSON's strings and numbers are TOML's too.
    values = (f"{field} = {json.dumps(value)}" for field, value in sandbox.config.items() if value != "")
    return "\n".join([f"[gateways.{name}]", *values])
