"""What the core logs while a command runs: held back, and shown only where it explains an error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["HeldLogs", "held_logs"]

_LOGGER: Final = logging.getLogger("payments_core")


class HeldLogs(logging.Handler):
    """Keeps errors that were logged; warnings are said by the commands themselves, each in its own place."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        self._lines.append(record.getMessage())

    def beyond(self, message: str) -> list[str]:
        """Return the lines that say more than `message` does, such as where a plugin's bug is."""
        return [line for line in self._lines if message not in line]


@contextmanager
def held_logs() -> Iterator[HeldLogs]:
    """Hold back what the core logs: without a handler, Python would write it between the lines of a command."""
    held = HeldLogs()
    _LOGGER.addHandler(held)
    try:
        yield held
    finally:
        _LOGGER.removeHandler(held)
