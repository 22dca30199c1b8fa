"""Parse the command line without repeating its values in errors, and list the exit codes in the help."""

from __future__ import annotations

import textwrap
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from payments_core import Reference

from .console import Console
from .exits import MEANINGS, Exit, Stop

__all__ = [
    "Commands",
    "Parser",
    "Run",
    "add_amount",
    "add_config",
    "add_deadline",
    "add_first_sent_at",
    "add_reference",
    "charge_reference",
    "new_parser",
    "parse",
]

Run: TypeAlias = Callable[[Namespace, Console], Exit]


class Parser(ArgumentParser):
    """Raise errors instead of exiting, and accept no abbreviations."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": RawDescriptionHelpFormatter, **options})

    def error(self, message: str) -> NoReturn:
        """Raise a usage error for `main` to print."""
        raise Stop(message, f"{self.format_usage().strip()}\n{self.prog} --help says more.", code=Exit.USAGE)


class Commands:
    """Register commands."""

    def __init__(self, action: _SubParsersAction[Any]) -> None:
        self._action = action

    def new(self, name: str, run: Run, summary: str, description: str = "") -> Parser:
        """Add a command that `run` carries out, with `--json`."""
        text = textwrap.fill(description or summary, 110)
        parser: Parser = self._action.add_parser(name, help=summary, description=text)
        parser.add_argument("--json", action="store_true", help="JSON on stdout, and errors as JSON on stderr")
        parser.set_defaults(run=run)
        return parser

    def family(self, name: str, summary: str) -> Commands:
        """Add a command that has subcommands."""
        parser: Parser = self._action.add_parser(name, help=summary, description=summary)
        return Commands(parser.add_subparsers(title="commands", metavar="COMMAND", required=True))


def add_reference(parser: Parser) -> None:
    """Add the two ids of a charge; `charge_reference` reads them."""
    parser.add_argument("--order-id", default="", metavar="ID", help="the merchant's own id of the order")
    parser.add_argument("--provider-id", default="", metavar="ID", help="the gateway's own id of the charge")


def charge_reference(args: Namespace) -> Reference:
    """Return the charge that the command line names, or raise `Stop` if it names none."""
    if not args.order_id and not args.provider_id:
        raise Stop("name the charge", "Give --order-id or --provider-id.", code=Exit.USAGE)
    return Reference(args.order_id, args.provider_id)


def add_amount(parser: Parser, *, required: bool = True) -> None:
    """Add an amount and its currency."""
    parser.add_argument("--amount", required=required, metavar="88.00", help="in major units")
    parser.add_argument("--currency", required=required, metavar="HKD", help="ISO 4217")


def add_deadline(parser: Parser) -> None:
    """Add the deadline of the call."""
    parser.add_argument("--deadline", type=float, metavar="SECONDS", help="for the whole call (default: 10)")


def add_first_sent_at(parser: Parser) -> None:
    """Add the time of the first attempt, to repeat a call whose outcome is unknown."""
    parser.add_argument(
        "--first-sent-at",
        type=_time,
        metavar="TIME",
        help="to repeat the identical command after its outcome was unknown: when it was first sent, as its error says",
    )


def _time(text: str) -> datetime:
    with suppress(ValueError):
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time
    raise ArgumentTypeError("give a time with a date and an offset: 2026-11-27T10:04:44+00:00")


def add_config(parser: Parser) -> None:
    """Add `--config`."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="this payments.toml instead of $PAYMENTS_CONFIG or ./payments.toml"
    )


def new_parser(version: str) -> tuple[Parser, Commands]:
    """Return the parser of `payments`, and the object that registers commands."""
    parser = Parser(
        prog="payments",
        description="Accept payments through any installed payment provider.",
        epilog=_epilog(),
    )
    parser.add_argument("--version", action="version", version=f"payments-core {version}")
    return parser, Commands(parser.add_subparsers(title="commands", metavar="COMMAND", required=True))


def parse(parser: Parser, argv: Sequence[str]) -> Namespace:
    """Parse the arguments; name unknown options without their values, which could be secrets."""
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        options = ", ".join(word.partition("=")[0] for word in unknown if word.startswith("-"))
        raise Stop(
            f"unknown options: {options}" if options else "too many arguments",
            "`payments COMMAND --help` lists them. A secret is never an argument: put it into payments.toml, "
            "the environment, or a file.",
            code=Exit.USAGE,
        )
    return args


def _epilog() -> str:
    codes = "\n".join(
        textwrap.fill(f"{code:>5}  {MEANINGS[code]}", 96, subsequent_indent=" " * 7, initial_indent="")
        for code in MEANINGS
    )
    return (
        f"exit codes:\n{codes}\n\n"
        "With --json, stdout holds only JSON, and an error is one JSON object on stderr:\n"
        '  {"error": {"kind", "message", "exit_code", "next", ...}}\n\n'
        "A gateway is configured by [gateways.NAME] of payments.toml (or of the file that PAYMENTS_CONFIG names) and\n"
        "by PAYMENTS_<NAME>_<FIELD>, or PAYMENTS_<NAME>_<FIELD>_FILE for a mounted secret. Secrets are never arguments."
    )
