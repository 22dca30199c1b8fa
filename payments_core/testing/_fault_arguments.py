"""Check the arguments of a fault when it is made: an error raised in the server's thread would go unnoticed."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Checked", "check_fault", "check_rule"]

_MINIMUM: Final = {"missing": 1, "depth": 1, "size": 2, "interval": 0, "seconds": 0}


class Checked:
    """Check every field of a fault, by its type and its name."""

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):  # type: ignore[arg-type] # whoever inherits is a dataclass
            problem = _PROBLEMS[str(each.type)](getattr(self, each.name))
            if problem:
                raise TypeError(f"{type(self).__name__}: {each.name} {problem}")
            self._check_range(each.name)

    def _check_range(self, name: str) -> None:
        value: Any = getattr(self, name)
        if name in {"status", "code"} and not 100 <= value <= 599:
            raise ValueError(f"{type(self).__name__}: {name} is an HTTP status from 100 to 599, not {value}")
        if name in _MINIMUM and not _MINIMUM[name] <= value < math.inf:
            raise ValueError(f"{type(self).__name__}: {name} is at least {_MINIMUM[name]}, and finite, not {value}")


def check_fault(fault: object) -> None:
    """Raise `TypeError` for an object that cannot be injected."""
    if problem := _fault(fault):
        raise TypeError(f"the fault {problem}")


def check_rule(method: object, path: object, times: object) -> None:
    """Raise `TypeError` or `ValueError` for a rule that could not match as it says."""
    for name, value in (("method", method), ("path", path)):
        if value is not None and (type(value) is not str or not value.strip("/")) and value != "/":
            raise TypeError(f"{name} is text, or None for any")
    if isinstance(path, str) and "?" in path:
        raise ValueError("path is matched without the query: leave out what begins with ?")
    if times is not None and type(times) is not int:
        raise TypeError("times is a whole number, or None for always")
    if times is not None and times < 1:
        raise ValueError(f"times is at least 1, not {times}")


def _fault(value: object) -> str:
    if isinstance(value, type):
        return f"must be an instance: {value.__name__}()"
    return "" if callable(getattr(value, "play", None)) else "must have a method play(exchange), as every fault has"


def _text(value: object) -> str:
    if type(value) is not str:
        return "must be text"
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return "must be Latin-1 text, as headers are"
    return "must be one line; Raw sends any bytes" if {"\r", "\n"} & set(value) else ""


def _pairs(value: object) -> str:
    if not isinstance(value, tuple | list) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        return 'must be pairs of text, such as (("retry-after", "1"),)'
    return next(filter(None, (_text(each) for pair in value for each in pair)), "")


def _two_texts(value: object) -> str:
    if not isinstance(value, tuple | list) or len(value) != 2:
        return "must be two texts"
    return next(filter(None, map(_text, value)), "")


def _body(value: object) -> str:
    if isinstance(value, bytes):
        return ""
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        return f"must be bytes, or a value that JSON can hold ({error})"
    return ""


def _is(what: str, *types: type) -> Callable[[object], str]:
    return lambda value: "" if type(value) in types else f"must be {what}"


# By annotation, as written.
_PROBLEMS: Final[dict[str, Callable[[object], str]]] = {
    "bytes": _is("bytes", bytes),
    "int": _is("a whole number", int),
    "float": _is("a number", int, float),
    "str": _text,
    "str | None": lambda value: "" if value is None else _text(value),
    "Headers": _pairs,
    "tuple[str, str]": _two_texts,
    "object": _body,
    "Fault": _fault,
    "Fault | None": lambda value: "" if value is None else _fault(value),
}
