"""Record a gateway's answers, and give them again: unchanged, without a field, or with another value.

Bodies are changed as text, so that JSON, forms and XML are served alike. No field is recognized in a body of any other
kind, and such an answer is only given again as a whole.
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

__all__ = [
    "RawAnswer",
    "RecordedAnswers",
    "Rewrite",
    "at_last_request",
    "other_id",
    "record_answers",
    "replay_answers",
    "with_word",
    "without_each_field",
]

T = TypeVar("T")

# Headers about the transfer of an answer, not about its content.
_FRAMING: Final = {"content-length", "content-encoding", "transfer-encoding", "connection"}
# `name=text`, joined by `&`, and nothing else.
_FORM: Final = re.compile(rb"[^=&\s<>{}]+=[^=&\s<>{}]*(?:&[^=&\s<>{}]+=[^=&\s<>{}]*)*")
_PAIR: Final = re.compile(rb"(?:^|&)([^=&]+)=[^&]*")
# An element that contains only text.
_ELEMENT: Final = re.compile(rb"<([A-Za-z_][\w.:-]*)(?:\s[^<>]*)?>(?:<!\[CDATA\[.*?\]\]>|[^<]*)</\1>", re.DOTALL)


class RawAnswer(NamedTuple):
    """An answer as the gateway gave it."""

    status: int
    headers: Headers
    body: bytes


class RecordedAnswers:
    """The answers to all requests of one call, to be given again in the same order."""

    def __init__(self, answers: Sequence[RawAnswer]) -> None:
        self._answers = answers

    @property
    def body(self) -> bytes:
        """Return the body of the last one."""
        return self._answers[-1].body

    def again(self, body: bytes) -> Fault:
        """Return a fault that gives all of them, the last one with this body."""
        last = self._answers[-1]._replace(body=body)
        return _InTurn([faults.Answer(each.body, each.status, each.headers) for each in (*self._answers[:-1], last)])


class _InTurn:
    def __init__(self, answers: list[faults.Answer]) -> None:
        self._answers = answers

    def play(self, exchange: Exchange) -> bool:
        return (self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]).play(exchange)


class Rewrite:
    """Forward a request, change the body of the answer, and keep the original answer, as a fault."""

    def __init__(self, change: Callable[[bytes], bytes] = bytes) -> None:
        self._change = change
        self.answers: list[RawAnswer] = []
        self.changed = 0

    def play(self, exchange: Exchange) -> bool:
        """Give the client the changed answer."""
        status, headers, body = exchange.fetch()
        if any((name.lower(), value.lower()) == ("content-encoding", "gzip") for name, value in headers):
            body = gzip.decompress(body)
        headers = tuple(pair for pair in headers if pair[0].lower() not in _FRAMING)
        self.answers.append(RawAnswer(status, headers, body))
        changed = self._change(body)
        self.changed += changed != body
        return exchange.answer(status, headers, changed)


def record_answers(bench: Bench, gateway: Gateway, call: Callable[[], T]) -> tuple[RecordedAnswers, T]:
    """Return the gateway's answers to a call, and the call's result."""
    if bench.contract.has("authorize"):
        gateway.authorize()  # so that the answers belong to the call alone
    rewrite = Rewrite()
    with bench.inject(rewrite):
        result = call()
    assert rewrite.answers, "it sent nothing"
    return RecordedAnswers(rewrite.answers), result


def replay_answers(
    bench: Bench, recorded: RecordedAnswers, call: Callable[[], T], body: bytes | None = None
) -> T | PaymentError:
    """Return the result or error of a call that gets these answers, the last one with another body."""
    with bench.inject(recorded.again(recorded.body if body is None else body)):
        try:
            return call()
        except PaymentError as exc:
            return exc


def at_last_request(bench: Bench, operation: str, fault: Fault) -> AtStep:
    """Return the fault, to be played at the last request of an operation."""
    steps = bench.steps(operation)
    assert steps, f"{operation} sends nothing"
    return AtStep(fault, len(steps) - 1)


def without_each_field(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name of each field in a body, and the body without it."""
    try:
        whole = json.loads(body)
    except ValueError:
        for field in _PAIR.finditer(body) if _FORM.fullmatch(body) else _ELEMENT.finditer(body):
            yield field[1].decode(), (body[: field.start()] + body[field.end() :]).removeprefix(b"&")
        return
    for path in _paths(whole):
        yield ".".join(map(str, path)), json.dumps(_without(whole, path)).encode()


def with_word(body: bytes, word: str, other: str) -> bytes:
    """Replace a value of the body wherever it is the whole value, and neither a part of one nor a name."""
    value = rb"""(?:(?<=["'>=\[,:])|(?<=[:,] ))%b(?=["'<&,\]}\s]|$)(?!["']\s*:)""" % re.escape(word.encode())
    return re.sub(value, other.encode().replace(b"\\", rb"\\"), body)


def other_id(provider_id: str, number: int = 0) -> str:
    """Return an unused id of the same form, another one for each number."""
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
