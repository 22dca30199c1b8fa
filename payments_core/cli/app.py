"""Parse the command line, run the command, and report errors."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from payments_core import PaymentError

from . import changes, charges, demo, doctor, new_provider, providers, record, sandbox, webhook
from .console import Console, OutputLost
from .exits import Exit, Stop, advice, exit_code
from .logs import CapturedLogs, capture_logs
from .parser import Parser, new_parser, parse

__all__ = ["build_parser", "main"]

# The attributes of an error that are part of its JSON, if it has them.
_DETAILS = (
    "gateway",
    "provider",
    "operation",
    "order_id",
    "accepted",
    "request_id",
    "raw_code",
    "field",
    "code",
    "status",
    "definitive",
    "retry_after",
    "repeatable",
    "first_sent_at",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is one of those that `payments --help` lists."""
    if sys.stderr is None:  # closed by the caller: discard it, so that no other file gets its descriptor
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
    with capture_logs() as logs:
        return _main(sys.argv[1:] if argv is None else argv, logs)


def _main(argv: Sequence[str], logs: CapturedLogs) -> int:
    console, args = Console(json="--json" in argv), Namespace()
    lost: OutputLost | None = None
    code: int = Exit.OK
    try:
        _check_stdout()
        args = parse(build_parser(), argv)
        code = args.run(args, console)
    except (PaymentError, Stop) as error:
        code = exit_code(error)
        logged = logs.unmentioned(error.message)
        console.error(_details(error, code, args, logged), _lines(error, args, logged))
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
        console.error(
            {"kind": "Interrupted", "message": "interrupted", "exit_code": code, "next": ""},
            ["payments: interrupted"],
        )
    except SystemExit as finished:  # argparse has printed the help or the version
        code = finished.code if isinstance(finished.code, int) else Exit.OK
    except OutputLost as error:
        lost = error
    if sys.stdout is not None:
        try:
            console.finish()
        except OutputLost as error:
            lost = lost or error
    return int(code) if lost is None or code else _without_output(lost, console)


def build_parser() -> Parser:
    """Return the parser with every command."""
    parser, commands = new_parser(version("payments-core"))
    for command in (demo, providers, doctor, charges, changes, webhook, sandbox, record, new_provider):
        command.add(commands)
    return parser


def _check_stdout() -> None:
    if sys.stdout is None:
        raise Stop("stdout is closed", "Nothing was done. `>/dev/null` discards the output.")


def _without_output(lost: OutputLost, console: Console) -> Exit:
    """Return the exit code for output that could not be written; report the error unless the reader closed the pipe."""
    if lost.reader_gone:
        return Exit.BROKEN_PIPE
    message = f"the output cannot be written: {lost}"
    console.error(
        {"kind": "Failed", "message": message, "exit_code": Exit.FAILED, "next": ""}, [f"payments: {message}"]
    )
    return Exit.FAILED


def _details(error: PaymentError | Stop, code: int, args: Namespace, logged: list[str]) -> dict[str, object]:
    kind = ("Usage" if code == Exit.USAGE else "Failed") if isinstance(error, Stop) else type(error).__name__
    details = {name: getattr(error, name) for name in ("step", "reason", *_DETAILS) if hasattr(error, name)}
    if isinstance(error, Stop):
        details.pop("code", None)
        kind = "Interrupted" if code == Exit.INTERRUPTED else kind
    details["logged"] = logged
    known = {name: value for name, value in details.items() if value not in (None, "", [])}
    return {"kind": kind, "message": error.message, "exit_code": code, "next": advice(error, args), **known}


def _lines(error: PaymentError | Stop, args: Namespace, logged: list[str]) -> list[str]:
    return [f"payments: {error}", *(f"  {line}" for line in (*logged, *advice(error, args).splitlines()))]
