"""What commands that move money owe to whoever ran them: no interruption and no lost output without a word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .console import OutputLost
from .exits import Exit, Stop, never_again

__all__ = ["attempted", "told"]


@contextmanager
def attempted(what: str, go_on: str) -> Iterator[None]:
    """Tell whoever interrupts a call that it may have been accepted, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stop(f"interrupted: {what} may have been accepted", go_on, code=Exit.INTERRUPTED) from None


@contextmanager
def told(what: str, ask: str) -> Iterator[None]:
    """Tell on stderr what was done where stdout cannot say it, and how to ask."""
    try:
        yield
    except OutputLost as lost:
        raise Stop(
            f"{what}, and cannot be shown: {lost}",
            never_again(ask),
            code=Exit.BROKEN_PIPE if lost.went_away else Exit.UNKNOWN,
        ) from None
