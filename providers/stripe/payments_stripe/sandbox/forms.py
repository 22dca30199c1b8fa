"""Decode Stripe's forms: `a[b]=1&c[0]=2&c[]=3` becomes nested objects and lists. Format parameter names too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from .refusals import invalid

__all__ = ["decode", "read_pairs"]

_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_INSIDE: Final = re.compile(r"\[([^\[\]]*)\]")
_DEEPEST: Final = 8


def read_pairs(encoded: str) -> list[tuple[str, str]]:
    """Return the pairs of a form or a query, in order."""
    try:
        return parse_qsl(encoded, keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError:
        raise invalid("The request's parameters are not form-encoded UTF-8.") from None


def decode(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return nested objects. An object whose names are all numbers or empty becomes a list."""
    root: dict[str, Any] = {}
    for name, value in pairs:
        match = _NAME.fullmatch(name)
        steps = [match[1], *_INSIDE.findall(match[2])] if match is not None else []
        if not steps or len(steps) > _DEEPEST:
            raise invalid(f"Invalid parameter name: {name[:64]}", "parameter_unknown", name[:64])
        _put(root, steps, value, name)
    return {name: _settled(value) for name, value in root.items()}


def _put(root: dict[str, Any], steps: list[str], value: str, name: str) -> None:
    place = root
    for step in steps[:-1]:
        place = place.setdefault(step or str(len(place)), {})
        if not isinstance(place, dict):
            raise invalid(f"Invalid object: {name[:64]}", "parameter_invalid_string", name[:64], invented=True)
    place[steps[-1] or str(len(place))] = value


def _settled(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    if value and all(name.isascii() and name.isdigit() for name in value):
        return [_settled(value[name]) for name in sorted(value, key=int)]
    return {name: _settled(inner) for name, inner in value.items()}
