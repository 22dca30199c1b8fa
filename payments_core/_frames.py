"""Raise errors without the frames that led to them: error reporters keep the locals of frames, secrets among them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from .errors import PaymentError
from .plugins import location

__all__ = ["without_frames"]

P = ParamSpec("P")
T = TypeVar("T")


def without_frames(function: Callable[P, T]) -> Callable[P, T]:
    """Raise whatever `function` raises from one frame that holds neither its arguments nor its locals."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except BaseException as exc:  # noqa: BLE001 - Ctrl-C must not carry the frames along either
            error = _bare(exc)
        del args, kwargs
        raise error

    return call


def _bare(error: BaseException) -> BaseException:
    """Strip the traceback, cause and context; a note keeps the place of what is not a PaymentError."""
    if isinstance(error, PaymentError):
        return error.fresh()
    error.add_note(f"raised as {location(error)}")
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
