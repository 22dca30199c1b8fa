"""Requests, responses, and the two drivers that run a flow.

A flow is a generator that yields what it wants done and is sent the outcome. A provider's flow yields `Request`s and is
sent `Response`s; it does no I/O, so the same flow serves sync and async callers.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Generator
from types import GeneratorType
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import quote, unquote, urlencode

import msgspec

from .errors import InvalidRequest, ProtocolViolation
from .interrupts import interrupt_behind
from .secrets import Secret

__all__ = ["Flow", "Request", "Response", "drive", "drive_async", "segment", "tap"]

T = TypeVar("T")
Pairs: TypeAlias = tuple[tuple[str, str | Secret], ...]

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"})
_PLAIN_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,;=:@.-]+)+/?|/", re.ASCII)
_ORIGIN: Final = re.compile(r"(https?://[A-Za-z0-9.\[\]:-]+)(/.*)?", re.ASCII | re.DOTALL)
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_NOT_IN_A_SEGMENT: Final = re.compile("[/\\\\?#%\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_PAIRS: Final = (tuple, list)
_TEXTS: Final = (str, Secret)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Request(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """One HTTP request that a flow asks the core to send.

    Values of `query` and `headers` may be Secrets, revealed only where the request is sent. A request that cannot be
    sent is `InvalidRequest`.

    * `method`: GET, POST, PUT, PATCH, DELETE or HEAD
    * `url`: a path that is appended to the configuration's `base_url`, or an absolute URL that begins with that
      `base_url` or whose origin is declared in `info.origins`; without a query. To sign `target`, use the absolute
      form: a `base_url` with a path of its own is part of what is sent
    * `query`: the query's names and values, in order
    * `headers`: the header pairs
    * `body`: the bytes to send
    * `idempotent`: True where the gateway documents one effect, however often the same request is sent with the same
      key, and the hook then ends with what the first one made
    * `safe`: True where it moves no money (a query, a token), and so is idempotent too
    """

    method: str
    url: str
    query: Pairs = ()
    headers: Pairs = ()
    body: bytes = b""
    idempotent: bool = False
    safe: bool = False

    def __post_init__(self) -> None:
        if type(self.method) is not str:
            msgspec.structs.force_setattr(self, "method", _plain(self.method))
        if type(self.url) is not str:
            msgspec.structs.force_setattr(self, "url", _plain(self.url))
        if self.method not in _METHODS:
            raise InvalidRequest(f"method is one of {', '.join(sorted(_METHODS))}", field="method")
        if type(self.body) is not bytes:
            raise InvalidRequest("body is bytes", field="body")
        _check_url(self.url)
        if self.query != ():
            msgspec.structs.force_setattr(self, "query", _pairs(self.query, "query"))
        if self.headers != ():
            msgspec.structs.force_setattr(self, "headers", _pairs(self.headers, "headers"))
        for name, value in self.query:
            if _SURROGATE.search(name) or _SURROGATE.search(_reveal(value)):
                raise InvalidRequest("a query must not have lone surrogates", field="query")
        for name, value in self.headers:
            if _TOKEN.fullmatch(name) is None or _VALUE.fullmatch(_reveal(value)) is None:
                raise InvalidRequest("a header must not have control characters", field="headers")
        if self.safe and not self.idempotent:
            msgspec.structs.force_setattr(self, "idempotent", True)

    @property
    def path(self) -> str:
        """Return the path without the query, for logs."""
        origin = _ORIGIN.fullmatch(self.url)
        return (origin[2] or "/") if origin else self.url

    @property
    def target(self) -> str:
        """Return the exact path and query that is sent, for signing. It reveals the query's secrets."""
        return self._target([(name, _reveal(value)) for name, value in self.query])

    @property
    def masked_target(self) -> str:
        """Return the path and query with `MASKED` for every secret, for traces."""
        return self._target([(name, "MASKED" if isinstance(value, Secret) else value) for name, value in self.query])

    def _target(self, pairs: list[tuple[str, str]]) -> str:
        return f"{self.path}?{urlencode(pairs, quote_via=quote, safe='')}" if pairs else self.path

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"


class Response(msgspec.Struct, frozen=True):
    """One HTTP answer.

    * `status`: the HTTP status
    * `headers`: the header pairs, names in any case
    * `body`: the whole body, decompressed
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __post_init__(self) -> None:
        if type(self.status) is not int or not 100 <= self.status <= 599:
            raise TypeError("status is an int from 100 to 599")
        if type(self.body) is not bytes:
            raise TypeError("body is bytes")
        if not _are_headers(self.headers):
            raise TypeError("headers is a tuple of (name, value), both text")

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None; raise `ProtocolViolation` if it is doubled."""
        wanted = name.lower()
        found = [value for key, value in self.headers if key.lower() == wanted]
        if len(found) > 1:
            raise ProtocolViolation(f"the answer has {len(found)} {name} headers")
        return found[0] if found else None

    def decode(self, decoder: Callable[[bytes], T]) -> T:
        """Return the body read by `decoder` (such as `msgspec.json.Decoder(...).decode`).

        Whatever the decoder raises becomes a `ProtocolViolation`, which shows the shape of the problem and not the
        body.
        """
        try:
            return decoder(self.body)
        except MemoryError:
            raise
        except msgspec.MsgspecError as exc:
            problem = str(exc)
        except Exception as exc:
            if interrupt_behind(exc) is not None:
                raise
            problem = type(exc).__name__  # RecursionError and UnicodeDecodeError are no MsgspecErrors
        raise ProtocolViolation(f"the gateway's answer (HTTP {self.status}) cannot be read: {problem[:200]}")

    def __repr__(self) -> str:
        return f"<Response {self.status}, {len(self.body)} bytes>"


Flow: TypeAlias = Generator[Request, Response, T]
"""The result of a hook that talks to the gateway: it yields `Request`s, is sent `Response`s and returns a `T`."""


def drive(flow: Generator[Any, Any, T], perform: Callable[[Any], Any]) -> T:
    """Run a flow to its end, and return its result: `perform` does each thing that it yields."""
    step, value = flow.send, None
    while True:
        try:
            value = perform(step(value))
            step = flow.send
        except BaseException as exc:
            if getattr(flow, "gi_frame", None) is None:  # it has ended, and this is how
                if isinstance(exc, StopIteration):
                    return exc.value  # type: ignore[no-any-return]
                raise
            value, step = exc, flow.throw


async def drive_async(flow: Generator[Any, Any, T], perform: Callable[[Any], Awaitable[Any]]) -> T:
    """Run a flow to its end, and return its result: `perform` is awaited for each thing that it yields."""
    step, value = flow.send, None
    while True:
        try:
            value = await perform(step(value))
            step = flow.send
        except BaseException as exc:
            if getattr(flow, "gi_frame", None) is None:  # it has ended, and this is how
                if isinstance(exc, StopIteration):
                    return exc.value  # type: ignore[no-any-return]
                raise
            value, step = exc, flow.throw


def segment(text: str, field: str = "reference") -> str:
    """Return one id as one segment of a request's path, percent-encoded.

    Raise `InvalidRequest`, with this `field`, where it could be more than an id: empty, dots, or with a slash, a
    backslash, ?, #, % or control characters.
    """
    if not isinstance(text, str) or not text or _is_dots(text) or _NOT_IN_A_SEGMENT.search(text):
        raise InvalidRequest(
            f"{field} cannot be part of a path: it is empty or dots, or has / \\ ? # % or controls", field=field
        )
    return quote(str.__str__(text), safe="")


def tap(
    outcome: Flow[T] | T,
    *,
    request: Callable[[Request], None] | None = None,
    response: Callable[[Response], None] | None = None,
) -> Flow[T]:
    """Return a flow like `outcome` that shows its requests and responses on the way, for wrapper plugins.

    `return (yield from tap(outcome, request=seen.append))`; a value that is no flow is returned as it is.
    """
    if not isinstance(outcome, GeneratorType):
        return outcome  # type: ignore[return-value]
    flow: Flow[T] = outcome
    step, value = flow.send, None
    while True:
        try:
            wanted = step(value)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if request is not None:
            request(wanted)
        try:
            value = yield wanted
        except GeneratorExit:
            flow.close()
            raise
        except BaseException as exc:  # noqa: BLE001 - what is thrown in belongs to the flow inside
            value, step = exc, flow.throw  # type: ignore[assignment]
            continue
        step = flow.send
        if response is not None:
            response(value)


def _pairs(given: object, field: str) -> Pairs:
    """Return the pairs as tuples: a generator can be read only once, and this check reads it."""
    pairs: list[tuple[str, str | Secret]] = []
    try:
        for pair in given:  # type: ignore[attr-defined]
            name, value = pair
            # Text of two characters would be a pair too.
            if type(pair) not in _PAIRS or not isinstance(name, str) or not isinstance(value, _TEXTS):
                break
            pairs.append((name, value) if type(name) is type(value) is str else (_plain(name), _plain(value)))
        else:
            return tuple(pairs)
    except (TypeError, ValueError):
        pass
    raise InvalidRequest(f"{field} is pairs of text: (name, value), where a value may be a Secret", field=field)


_V = TypeVar("_V", str, Secret, str | Secret)


def _plain(value: _V) -> _V:
    return str.__str__(value) if isinstance(value, str) else value


def _are_headers(headers: object) -> bool:
    if type(headers) is not tuple:
        return False
    try:
        for pair in headers:
            if type(pair) is not tuple:
                return False
            name, value = pair
            if type(name) is not str or type(value) is not str:
                return False
    except ValueError:
        return False
    return True


def _reveal(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _check_url(url: str) -> None:
    if type(url) is not str:
        raise InvalidRequest("url is text", field="url")
    origin = _ORIGIN.fullmatch(url)
    path = (origin[2] or "/") if origin else url
    if _PLAIN_PATH.fullmatch(path) and "/." not in path:
        return
    problem = _path_problem(path)
    if problem:
        raise InvalidRequest(f"the path of a request {problem}", field="url")


_PATH: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*", re.ASCII)


def _path_problem(path: str) -> str:
    """Return why a path is refused, or `""`; percent-encoded characters are checked too."""
    if not path.startswith("/"):
        return "must begin with / (or be an absolute URL of a declared origin)"
    if _PATH.fullmatch(path) is None:
        # What RFC 3986 leaves out, an HTTP library encodes: not `target` would be sent, but something like it.
        return "has only letters, digits, -._~!$&'()*+,;=:@ and %XX between its slashes: encode the rest"
    decoded = unquote(path)
    if unquote(decoded) != decoded:
        return "must not be encoded twice"
    if decoded.count("/") != path.count("/"):
        return "must not have an encoded /"
    if re.search(r"[\x00-\x1f\x7f-\x9f\\?#]", decoded):
        return "must not have encoded control characters, ? # or \\"
    if "//" in decoded:
        return "must not have an empty segment"
    if any(_is_dots(part) for part in decoded.split("/")):
        return "must not have dot segments"
    return ""


def _is_dots(part: str) -> bool:
    # Some servers cut a segment's parameters off, and then walk: `..;a` is `..` there.
    return part.partition(";")[0] in {".", ".."}
