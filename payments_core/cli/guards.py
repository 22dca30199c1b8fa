"""Report an interruption or lost output of a command that moves money."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .console import OutputLost
from .exits import Exit, Stop, ask_first

__all__ = ["report_interruption", "report_lost_output"]


@contextmanager
def report_interruption(what: str, advice: str) -> Iterator[None]:
    """Report on Ctrl-C that the call may have been accepted, and say how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stop(f"interrupted: {what} may have been accepted", advice, code=Exit.INTERRUPTED) from None


@contextmanager
def report_lost_output(done: str, query: str) -> Iterator[None]:
    """Report on stderr what was done if stdout cannot show it, with the command that asks about it."""
    try:
        yield
    except OutputLost as lost:
        raise Stop(
            f"{done}, and cannot be shown: {lost}",
            ask_first(query),
            code=Exit.BROKEN_PIPE if lost.reader_gone else Exit.UNKNOWN,
        ) from None
