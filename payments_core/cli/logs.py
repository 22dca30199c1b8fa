"""Capture what the core logs while a command runs, to show it only with an error that it explains."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["CapturedLogs", "capture_logs"]

_LOGGER: Final = logging.getLogger("payments_core")


class CapturedLogs(logging.Handler):
    """Keep logged errors; the commands themselves report warnings."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        self._lines.append(record.getMessage())

    def unmentioned(self, message: str) -> list[str]:
        """Return the lines that do not contain `message`, such as the place of a plugin's bug."""
        return [line for line in self._lines if message not in line]


@contextmanager
def capture_logs() -> Iterator[CapturedLogs]:
    """Capture the core's log: without a handler, Python would print it between a command's lines."""
    held = CapturedLogs()
    _LOGGER.addHandler(held)
    try:
        yield held
    finally:
        _LOGGER.removeHandler(held)
