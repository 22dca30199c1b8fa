"""Print results on stdout, as text or JSON, and everything else on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, TextIO

from . import qr
from .encoding import encode

__all__ = ["Console", "OutputLost", "rows"]

_LABEL_WIDTH: Final = 13


class OutputLost(Exception):
    """Report that stdout cannot be written.

    `reader_gone` is True for a closed pipe, False for a full disk and the like.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or type(error).__name__)
        self.reader_gone = isinstance(error, BrokenPipeError)


class Console:
    """Print the output of one command; with `json`, stdout holds JSON objects only, one a line.

    Gateways write some of what is shown, so control characters are shown as escapes.
    """

    def __init__(self, *, json: bool = False) -> None:
        self.json = json

    def result(self, data: object, lines: Iterable[str]) -> None:
        """Print the result: `data` as JSON, or `lines` as text."""
        if self.json:
            _print(encode(data))
        else:
            for line in lines:
                self.say(line)

    def step(self, name: str, data: Mapping[str, object], lines: Iterable[str], *, skipped: bool = False) -> None:
        """Print one step of the demo; `skipped` is True if this gateway has no such step."""
        first, *others = lines
        self.result(
            {"step": name, "skipped": skipped, **data}, [f"{name:<17} {first}", *(" " * 18 + line for line in others)]
        )

    def say(self, line: str = "") -> None:
        """Print a line of text, unless the output is JSON."""
        if not self.json:
            _print(printable(line))

    def note(self, line: str) -> None:
        """Print a line on stderr, for the person at the terminal."""
        _print_to_stderr(printable(line))

    def note_code(self, content: str) -> str:
        """Draw a QR code on stderr, and return a remark about it, or `""`."""
        drawing, remark = qr.draw(content, sys.stderr)
        if drawing:
            _print_to_stderr(drawing)
        return remark

    def error(self, data: Mapping[str, object], lines: Iterable[str]) -> None:
        """Print an error on stderr: `data` as one JSON object, or `lines` as text."""
        for line in [encode({"error": data})] if self.json else map(printable, lines):
            _print_to_stderr(line)

    def qr_code(self, content: str) -> None:
        """Draw a QR code of `content` on stdout, unless the output is JSON."""
        if self.json:
            return
        drawing, remark = qr.draw(content, sys.stdout)
        if drawing:
            _print(drawing)
        if remark:
            self.say(remark)

    def finish(self) -> None:
        """Flush both streams; raise `OutputLost` if stdout cannot be written."""
        error = _flush(sys.stdout)
        _flush(sys.stderr)
        if error is not None:
            raise OutputLost(error)


def rows(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """Align labels and values, and leave out those without a value."""
    return [f"{label:<{_LABEL_WIDTH}} {value}" for label, value in pairs if value not in (None, "")]


def printable(text: str) -> str:
    """Escape every character that a terminal would interpret."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _flush(stream: TextIO) -> OSError | None:
    try:
        stream.flush()
    except OSError as error:
        # The interpreter's own flush at exit would print a traceback and change the exit code: redirect it.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


def _print(text: str) -> None:
    try:
        _write(sys.stdout, text)
    except OSError as error:
        raise OutputLost(error) from None


def _print_to_stderr(text: str) -> None:
    # A caller that has closed stderr still reads the exit code.
    with suppress(OSError):
        _write(sys.stderr, text)


def _write(stream: TextIO, text: str) -> None:
    # A terminal that lacks a character must not end a payment's report.
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
