"""Define the results of the checks of `payments doctor`."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Finding", "Result"]


class Result(StrEnum):
    """List the results of a check; only FAILED makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Finding(msgspec.Struct, frozen=True):
    """Hold one check: its name, its result, what was found, and what to do about it."""

    check: str
    result: Result
    message: str
    next: str = ""
