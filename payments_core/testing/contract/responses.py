"""Answers that are changed on their way: overheard, given once more, without a field, or with another word in them.

Bodies are changed as the text that they are, so that JSON, forms and XML are served alike. In a body of any other kind no
field is known, and an answer to a call is then only given once more as a whole.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from payments_core import Gateway, PaymentError
from payments_core.testing import faults
from payments_core.testing.faults import Exchange, Fault, Headers

from .bench import AtStep, Bench

__all__ = ["Given", "Heard", "Rewrite", "answered", "at_last", "lacking", "other_id", "overheard", "with_word"]

T = TypeVar("T")

# What is about the bytes of one answer, and not about what it says.
_FRAMING: Final = {"content-length", "content-encoding", "transfer-encoding", "connection"}
# `name=text`, joined by `&`, and nothing else.
_FORM: Final = re.compile(rb"[^=&\s<>{}]+=[^=&\s<>{}]*(?:&[^=&\s<>{}]+=[^=&\s<>{}]*)*")
_PAIR: Final = re.compile(rb"(?:^|&)([^=&]+)=[^&]*")
# An element that holds text and no other element.
_ELEMENT: Final = re.compile(rb"<([A-Za-z_][\w.:-]*)(?:\s[^<>]*)?>(?:<!\[CDATA\[.*?\]\]>|[^<]*)</\1>", re.DOTALL)


class Given(NamedTuple):
    """An answer as the gateway gave it."""

    status: int
    headers: Headers
    body: bytes


class Heard:
    """The answers to all requests of one call; given once more, they are given in the same order."""

    def __init__(self, answers: Sequence[Given]) -> None:
        self._answers = answers

    @property
    def body(self) -> bytes:
        """What the last one says."""
        return self._answers[-1].body

    def again(self, body: bytes) -> Fault:
        """A fault that plays all of them, the last one with this body."""
        last = self._answers[-1]._replace(body=body)
        return _InTurn([faults.Answer(each.body, each.status, each.headers) for each in (*self._answers[:-1], last)])


class _InTurn:
    def __init__(self, answers: list[faults.Answer]) -> None:
        self._answers = answers

    def play(self, exchange: Exchange) -> bool:
        return (self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]).play(exchange)


class Rewrite:
    """A fault that forwards, changes the body of the answer, and keeps each answer as the gateway gave it."""

    def __init__(self, change: Callable[[bytes], bytes] = bytes) -> None:
        self._change = change
        self.answers: list[Given] = []
        self.changed = 0

    def play(self, exchange: Exchange) -> bool:
        """Let the client have the changed answer."""
        status, headers, body = exchange.fetch()
        if any((name.lower(), value.lower()) == ("content-encoding", "gzip") for name, value in headers):
            body = gzip.decompress(body)
        headers = tuple(pair for pair in headers if pair[0].lower() not in _FRAMING)
        self.answers.append(Given(status, headers, body))
        changed = self._change(body)
        self.changed += changed != body
        return exchange.answer(status, headers, changed)


def overheard(bench: Bench, gateway: Gateway, call: Callable[[], T]) -> tuple[Heard, T]:
    """What the gateway answered to a call, and what the call returned."""
    if bench.contract.has("authorize"):
        gateway.authorize()  # so that the answers are to the call alone
    rewrite = Rewrite()
    with bench.inject(rewrite):
        result = call()
    assert rewrite.answers, "it sent nothing"
    return Heard(rewrite.answers), result


def answered(bench: Bench, heard: Heard, call: Callable[[], T], body: bytes | None = None) -> T | PaymentError:
    """What a call returns, or raises, that is given these answers, the last one with another body."""
    with bench.inject(heard.again(heard.body if body is None else body)):
        try:
            return call()
        except PaymentError as exc:
            return exc


def at_last(bench: Bench, operation: str, fault: Fault) -> AtStep:
    """The fault, played at the last request of an operation."""
    steps = bench.steps(operation)
    assert steps, f"{operation} sends nothing"
    return AtStep(fault, len(steps) - 1)


def lacking(body: bytes) -> Iterator[tuple[str, bytes]]:
    """The names of the fields in a body, each with the body without that field."""
    try:
        whole = json.loads(body)
    except ValueError:
        for field in _PAIR.finditer(body) if _FORM.fullmatch(body) else _ELEMENT.finditer(body):
            yield field[1].decode(), (body[: field.start()] + body[field.end() :]).removeprefix(b"&")
        return
    for path in _paths(whole):
        yield ".".join(map(str, path)), json.dumps(_without(whole, path)).encode()


def with_word(body: bytes, word: str, other: str) -> bytes:
    """The body with another word wherever this one is a whole value of it, and not a part of one, or a name."""
    value = rb"""(?:(?<=["'>=\[,:])|(?<=[:,] ))%b(?=["'<&,\]}\s]|$)(?!["']\s*:)""" % re.escape(word.encode())
    return re.sub(value, other.encode().replace(b"\\", rb"\\"), body)


def other_id(provider_id: str, number: int = 0) -> str:
    """An id of the same form that nothing has; another one for each number."""
    digits = random.Random(number)  # noqa: S311 - no secret
    tail = "".join(digits.choice("0123456789") if each.isdigit() else each for each in provider_id[-12:])
    changed = provider_id[:-12] + tail
    return changed if changed != provider_id else f"{provider_id[:-1]}{'a' if provider_id[-1] != 'a' else 'b'}"


def _paths(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield (*above, name)
            yield from _paths(each, (*above, name))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _paths(each, (*above, place))


def _without(value: Any, path: tuple[str | int, ...]) -> Any:
    first, *rest = path
    if isinstance(value, list):
        return [_without(each, tuple(rest)) if place == first else each for place, each in enumerate(value)]
    if not rest:
        return {name: each for name, each in value.items() if name != first}
    return {name: _without(each, tuple(rest)) if name == first else each for name, each in value.items()}
