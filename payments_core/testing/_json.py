"""Parse, compare and print JSON strictly: 100 is not 100.0, true is not 1, and duplicate keys are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NoReturn, TypeAlias

import msgspec

__all__ = ["DuplicateKey", "JSONValue", "NotJSON", "Number", "differences", "parse", "render"]

JSONValue: TypeAlias = Any
"""The result of `parse`: dict, list, str, Number, bool or None."""

_WIDTH: Final = 100
_SHOWN: Final = 120


class NotJSON(ValueError):
    """The text is not a JSON object or array."""


class DuplicateKey(NotJSON):
    """A key appears twice: parsers disagree on which value counts."""


class Number(msgspec.Struct, frozen=True):
    """A number, kept as its digits: 1.0, 1.00 and 1e0 are equal as floats and differ in a signature."""

    text: str


def parse(body: bytes) -> JSONValue:
    """Return the object or array in `body`; raise `NotJSON` for anything else."""
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_refuse,
        )
    except NotJSON:
        raise
    except (ValueError, RecursionError):
        raise NotJSON("is not JSON") from None
    if not isinstance(value, dict | list):
        raise NotJSON("is not a JSON object or array")
    return value


def render(value: JSONValue, indent: int = 0) -> str:
    """Return the value as text for review, on one line where it fits."""
    line = _line(value)
    if indent + len(line) <= _WIDTH or not isinstance(value, dict | list):
        return line
    margin, inner = " " * indent, " " * (indent + 2)
    if isinstance(value, dict):
        items = [f"{inner}{_text(key)}: {render(item, indent + 2)}" for key, item in value.items()]
    else:
        items = [f"{inner}{render(item, indent + 2)}" for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(items) + f"\n{margin}{closing}"


def differences(recorded: JSONValue, sent: JSONValue, where: str) -> Iterator[str]:
    """Describe every place where two values differ."""
    if isinstance(recorded, dict) and isinstance(sent, dict):
        for key in recorded.keys() | sent.keys():
            place = f"{where}.{key}"
            if key not in sent:
                yield f"{place}: recorded {_short(recorded[key])}, not sent"
            elif key not in recorded:
                yield f"{place}: not recorded, sent {_short(sent[key])}"
            else:
                yield from differences(recorded[key], sent[key], place)
    elif isinstance(recorded, list) and isinstance(sent, list) and len(recorded) == len(sent):
        for number, (old, new) in enumerate(zip(recorded, sent, strict=True)):
            yield from differences(old, new, f"{where}[{number}]")
    elif type(recorded) is not type(sent) or recorded != sent:
        yield f"{where}: recorded {_short(recorded)}, sent {_short(sent)}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise DuplicateKey("has a key twice")
    return made


def _refuse(_: str) -> NoReturn:
    raise NotJSON("is not JSON")


def _line(value: JSONValue) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)}: {_line(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_line(item) for item in value) + "]"
    if isinstance(value, Number):
        return value.text
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    plain = json.dumps(text, ensure_ascii=False)
    # A lone surrogate is valid JSON, but not UTF-8.
    return plain if plain.isprintable() else json.dumps(text)


def _short(value: JSONValue) -> str:
    line = _line(value)
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
