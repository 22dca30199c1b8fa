"""What a check of `payments doctor` found."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Finding", "Result"]


class Result(StrEnum):
    """How a check ended; only FAILED makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Finding(msgspec.Struct, frozen=True):
    """One check: its name, how it ended, what was seen, and what to do about it."""

    check: str
    result: Result
    message: str
    next: str = ""
