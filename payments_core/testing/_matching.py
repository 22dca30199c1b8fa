"""Compare a request with a recorded one, strictly, and describe the differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

from vcr.request import Request

from . import _json

__all__ = ["differences", "name_of"]


def name_of(request: Request) -> str:
    """Return the method and path, the part of a request that may be shown."""
    return f"{request.method} {urlsplit(request.uri).path or '/'}"


def differences(recorded: Request, sent: Request) -> Iterator[str]:
    """Describe everything in which two masked requests differ."""
    if recorded.method != sent.method:
        yield f"method: recorded {recorded.method}, sent {sent.method}"
    there, here = urlsplit(recorded.uri), urlsplit(sent.uri)
    if there[:3] != here[:3]:
        yield f"url: recorded {there._replace(query='').geturl()}, sent {here._replace(query='').geturl()}"
    yield from _named("query", _pairs(there.query), _pairs(here.query))
    yield from _named("header", _headers(recorded), _headers(sent))
    yield from _bodies(recorded.body or b"", sent.body or b"", _headers(sent).get("content-type", ""))


def _bodies(recorded: bytes, sent: bytes, content_type: object) -> Iterator[str]:
    if recorded == sent:
        return
    if str(content_type).startswith("application/x-www-form-urlencoded"):
        yield from _named("body", _pairs(recorded.decode("latin-1")), _pairs(sent.decode("latin-1")))
        return
    try:
        old, new = _json.parse(recorded), _json.parse(sent)
    except _json.NotJSON:
        yield f"body: recorded {len(recorded)} bytes, sent {len(sent)} others"
    else:
        yield from sorted(_json.differences(old, new, "body"))


def _named(what: str, recorded: Mapping[str, object], sent: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(recorded.keys() | sent.keys()):
        old, new = recorded.get(name, "nothing"), sent.get(name, "nothing")
        if old != new:
            yield f"{what} {name}: recorded {old}, sent {new}"


def _headers(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _pairs(query: str) -> dict[str, list[str]]:
    # Unlike vcrpy, keep parameters without a value.
    pairs: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        pairs.setdefault(name, []).append(value)
    return pairs
