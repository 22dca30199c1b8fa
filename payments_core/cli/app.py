"""`main`: parse, run, and say in words what went wrong."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version

from payments_core import PaymentError

from . import charges, demo, new_provider, providers, record, sandbox, webhook
from .console import Console
from .exits import Exit, Stop, advice, exit_of
from .parser import new_parser, parse

__all__ = ["main"]

# What a program can use of an error, where the error has it.
_DETAILS = (
    "provider",
    "operation",
    "request_id",
    "raw_code",
    "field",
    "code",
    "definitive",
    "retry_after",
    "repeatable",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is one of those that `payments --help` lists."""
    argv = sys.argv[1:] if argv is None else argv
    console, args = Console(json="--json" in argv), Namespace()
    try:
        try:
            parser, commands = new_parser(version("payments-core"))
            for command in (demo, providers, charges, webhook, sandbox, record, new_provider):
                command.add(commands)
            args = parse(parser, argv)
            code: int = args.run(args, console)
        except (PaymentError, Stop) as error:
            code = exit_of(error)
            console.error(_details(error, code, args), _lines(error, args))
        except KeyboardInterrupt:
            code = Exit.INTERRUPTED
            console.error(
                {"kind": "Interrupted", "message": "interrupted", "exit_code": code, "next": ""},
                ["payments: interrupted"],
            )
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_stdout()
        return Exit.BROKEN_PIPE
    except SystemExit as finished:  # argparse has printed the help or the version
        return finished.code if isinstance(finished.code, int) else Exit.OK
    return int(code)


def _details(error: PaymentError | Stop, code: int, args: Namespace) -> dict[str, object]:
    kind = ("Usage" if code == Exit.USAGE else "Failed") if isinstance(error, Stop) else type(error).__name__
    details = {name: getattr(error, name) for name in ("step", "reason", *_DETAILS) if hasattr(error, name)}
    if isinstance(error, Stop):
        details.pop("code", None)
        kind = "Interrupted" if code == Exit.INTERRUPTED else kind
    known = {name: value for name, value in details.items() if value not in (None, "")}
    return {"kind": kind, "message": error.message, "exit_code": code, "next": advice(error, args), **known}


def _lines(error: PaymentError | Stop, args: Namespace) -> list[str]:
    return [f"payments: {error}", *(f"  {line}" for line in advice(error, args).splitlines())]


def _abandon_stdout() -> None:
    """Let the interpreter's own flush at exit write to nowhere, instead of complaining."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
