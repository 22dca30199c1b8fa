"""What is printed: text for people or JSON for programs on stdout, and everything else on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, TextIO

from . import qr
from .encoding import encode

__all__ = ["Console", "OutputLost", "rows"]

_LABEL: Final = 13


class OutputLost(Exception):
    """What came of a command cannot be written to stdout: `went_away` where its reader has gone, else the disk is full or so."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or type(error).__name__)
        self.went_away = isinstance(error, BrokenPipeError)


class Console:
    """One command's output. With `json` nothing but JSON objects, one a line, is on stdout.

    Gateways write some of what is shown, so what a terminal would obey is shown as an escape.
    """

    def __init__(self, *, json: bool = False) -> None:
        self.json = json

    def result(self, data: object, lines: Iterable[str]) -> None:
        """The outcome: `data` for programs or `lines` for people."""
        if self.json:
            _print(encode(data))
        else:
            for line in lines:
                self.say(line)

    def step(self, name: str, data: Mapping[str, object], lines: Iterable[str]) -> None:
        """One thing that happened, on the way to the outcome."""
        first, *others = lines
        self.result({"step": name, **data}, [f"{name:<17} {first}", *(" " * 18 + line for line in others)])

    def say(self, line: str = "") -> None:
        """A line for people; a program does not see it."""
        if not self.json:
            _print(printable(line))

    def note(self, line: str) -> None:
        """A line for the person at the terminal, whoever reads stdout."""
        _tell(printable(line))

    def note_code(self, content: str) -> str:
        """A QR code for the person at the terminal; returns what remains to be said."""
        drawing, remark = qr.drawn(content, sys.stderr)
        if drawing:
            _tell(drawing)
        return remark

    def error(self, data: Mapping[str, object], lines: Iterable[str]) -> None:
        """What went wrong, on stderr: one JSON object or a few lines."""
        for line in [encode({"error": data})] if self.json else map(printable, lines):
            _tell(line)

    def qr_code(self, content: str) -> None:
        """A QR code of `content`, drawn with characters."""
        if self.json:
            return
        drawing, remark = qr.drawn(content, sys.stdout)
        if drawing:
            _print(drawing)
        if remark:
            self.say(remark)

    def finish(self) -> None:
        """Write what is still held back; `OutputLost` where that cannot be done, and nothing is held back then either."""
        error = _flushed(sys.stdout)
        _flushed(sys.stderr)
        if error is not None:
            raise OutputLost(error)


def rows(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """Labels and values under each other, without those that have no value."""
    return [f"{label:<{_LABEL}} {value}" for label, value in pairs if value not in (None, "")]


def printable(text: str) -> str:
    """`text` without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _flushed(stream: TextIO) -> OSError | None:
    try:
        stream.flush()
    except OSError as error:
        # The interpreter's own flush at exit would complain, and change the exit code: let it write to nowhere.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


def _print(text: str) -> None:
    try:
        _write(sys.stdout, text)
    except OSError as error:
        raise OutputLost(error) from None


def _tell(text: str) -> None:
    # Who does not listen to stderr still reads the exit code.
    with suppress(OSError):
        _write(sys.stderr, text)


def _write(stream: TextIO, text: str) -> None:
    # A terminal that lacks a character must not end a payment's report.
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
