"""Exceptions that signal handlers raise into whatever is running: a worker's soft time limit, mostly."""

from __future__ import annotations

import signal
from types import CodeType
from typing import Final

from .errors import PaymentError

__all__ = ["Interrupted", "bare", "interrupt_behind"]

_SIGNALS: Final = tuple(signal.valid_signals())


class Interrupted(Exception):
    """Carries a signal handler's exception out of the code that it interrupted.

    `sent` is False where not a byte of the request under way had left.
    """

    def __init__(self, interrupt: BaseException, *, sent: bool = True) -> None:
        super().__init__(type(interrupt).__name__)
        self.interrupt = bare(interrupt)
        self.sent = sent


def bare(error: BaseException) -> BaseException:
    """Return the exception without its frames and the exceptions behind it, whose locals can hold secrets."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def interrupt_behind(error: BaseException | None) -> BaseException | None:
    """Return what a signal handler raised: the exception itself, or the one that it was made from.

    Only causes are followed: a context can be an interrupt that the caller has handled before this call began.
    """
    if isinstance(error, PaymentError) and error.__cause__ is None:
        return None  # no handler raises one, and a flood of forged notifications must stay cheap
    handlers = {code for number in _SIGNALS if (code := _code(signal.getsignal(number))) is not None}
    while error is not None:
        place = error.__traceback__
        while place is not None:
            if place.tb_frame.f_code in handlers:
                return error
            place = place.tb_next
        error = error.__cause__
    return None


def _code(handler: object) -> CodeType | None:
    """Return the code of a handler: of a function, a method, a partial or an object that can be called."""
    handler = getattr(handler, "func", handler)
    handler = getattr(handler, "__func__", handler)
    code = getattr(handler, "__code__", None)
    if code is None and callable(handler):
        code = getattr(type(handler).__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None
