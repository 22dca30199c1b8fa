"""Mask everything in an exchange that an allow-list does not keep, before it is compared or written.

A list of secrets to remove is never complete. A list of values to keep can be: a replay shows what is missing.
"""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec

from . import _json

__all__ = [
    "BASE_URL",
    "MASK",
    "VERBATIM",
    "CassettePolicy",
    "Fields",
    "MaskedRequest",
    "MaskedResponse",
    "Masker",
    "Refused",
    "Rule",
]

MASK: Final = "MASKED"
"""Replaces a masked value in a cassette."""
BASE_URL: Final = "https://gateway.invalid"
"""Replaces the gateway's address in cassettes, so that recordings do not depend on a port or domain."""

_NUMBERED: Final = re.compile(r"MASKED-\d+")
_MIN_SECRET: Final = 8  # characters: a shorter value would be found by chance
_DECODED_CAP: Final = 4_000_000
# They describe the transferred bytes, not the ones that are kept.
_TRANSFER_HEADERS: Final = frozenset({"content-length", "content-encoding", "transfer-encoding"})
_FORM: Final = "application/x-www-form-urlencoded"

Headers: TypeAlias = Mapping[str, Iterable[str]]


class Refused(ValueError):
    """The policy does not cover this request, or cannot be applied to it."""


class Fields(msgspec.Struct, frozen=True):
    """Names to keep; a name in neither list is masked as well as its value.

    In JSON a name is a path such as `data.next_action.url`; the items of a list have the list's own path. Name each
    leaf: keeping an object does not keep its content.

    * `kept`: the names that are kept with their values
    * `masked`: the names of which the value is hidden
    """

    kept: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()


VERBATIM: Final = Fields(("*",))
"""Keep and compare a whole body, byte for byte: for answers whose bytes are signed, and free of secrets."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """The parts to keep of the requests to one path, and of their answers.

    JSON bodies and form bodies are read. Any other request body is refused, and any other answer masked whole, unless
    the rule says `VERBATIM`.

    * `path`: the path; a segment in braces (`/orders/{id}`) stands for any one segment, which is kept. Requests to
      another origin than the configuration's `base_url` have the whole URL as their path
    * `query`: the names in the query
    * `request_headers`: the headers of the request, which are compared too, a masked one for its presence
    * `request_body`: the names in the request's body
    * `response_headers`: the headers of the answer
    * `response_body`: the names in the answer's body
    """

    path: str
    query: Fields = Fields()
    request_headers: Fields = Fields(("content-type",))
    request_body: Fields = Fields()
    response_headers: Fields = Fields(("content-type",))
    response_body: Fields = Fields()


class CassettePolicy(msgspec.Struct, frozen=True):
    """The parts that cassettes of one gateway keep. A request to a path without a rule cannot be recorded or replayed.

    * `rules`: one rule a path; the first match applies
    """

    rules: tuple[Rule, ...]

    def rule(self, path: str) -> Rule | None:
        """Return the first rule for this path, or None."""
        return next((rule for rule in self.rules if _template(rule.path).fullmatch(path)), None)


class MaskedRequest(msgspec.Struct, frozen=True):
    """A request with only what the policy keeps."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    rule: Rule


class MaskedResponse(msgspec.Struct, frozen=True):
    """An answer with only what the policy keeps."""

    status: int
    headers: dict[str, list[str]]
    body: bytes


class Masker:
    """Apply a policy to one cassette's exchanges, in order; masking twice changes nothing.

    Masked values of answers are numbered, and the number appears where a later request sends them again, so that a
    review sees which token was used. `hidden` holds the values that were masked by name, to scan the rest for.
    """

    def __init__(self, policy: CassettePolicy, base_url: str = "") -> None:
        self._policy = policy
        self._bases = [_origin_and_path(base.rstrip("/")) for base in (base_url, BASE_URL) if base]
        self._numbers: dict[str, str] = {}
        self.hidden: dict[str, str] = {}

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> MaskedRequest:
        """Return the request as it is compared and written; raise `Refused` if the policy does not cover it."""
        parts = urlsplit(url)
        local, path = self._place(url)
        rule = self._policy.rule(path)
        if rule is None:
            raise Refused(f"the policy has no rule for {method} {path}")
        pairs = self._pairs(parse_qsl(parts.query, keep_blank_values=True), rule.query)
        query = f"?{urlencode(pairs, quote_via=quote, safe='')}" if pairs else ""
        given = {name.lower(): value for name, value in headers.items()}
        shown = {name: given[name] for name in _lower(rule.request_headers.kept) if name in given}
        shown |= {name: self._hide(name, given[name]) for name in _lower(rule.request_headers.masked) if name in given}
        content = self._request_body(body, rule.request_body, given.get("content-type", ""))
        return MaskedRequest(method, (BASE_URL + path if local else path) + query, shown, content, rule)

    def response(self, rule: Rule, status: int, headers: Headers, body: bytes) -> MaskedResponse:
        """Return the answer as it is written."""
        given: dict[str, list[str]] = {}
        for name, values in headers.items():
            given.setdefault(name.lower(), []).extend(values)
        plain = _decoded(body, given.get("content-encoding", []))
        fields = rule.response_headers
        names = [name for name in _lower(fields.kept) if name in given and name not in _TRANSFER_HEADERS]
        shown = {name: given[name] for name in names}
        shown |= {
            name: [self._number(name, value) for value in given[name]]
            for name in _lower(fields.masked)
            if name in given
        }
        return MaskedResponse(status, shown, self._response_body(plain, rule.response_body))

    def _place(self, url: str) -> tuple[bool, str]:
        """Return True and the path for a URL of the gateway, or False and the URL without its query."""
        origin, path = _origin_and_path(url)
        for base_origin, base_path in self._bases:
            if origin == base_origin and (path + "/").startswith(base_path + "/"):
                return True, path[len(base_path) :] or "/"
        return False, origin + path

    def _request_body(self, body: bytes, fields: Fields, content_type: str) -> bytes:
        if not body or fields == VERBATIM:
            return body
        if content_type.partition(";")[0].strip().lower() == _FORM:
            try:
                pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
            except ValueError:
                raise Refused("the body is not a valid form") from None
            return urlencode(self._pairs(pairs, fields), quote_via=quote, safe="").encode()
        try:
            value = _json.parse(body)
        except _json.NotJSON as exc:
            raise Refused(
                f"the body {exc}; one that is neither JSON nor a form is kept only where its rule says "
                "`request_body=VERBATIM`, byte for byte and with all that is in it"
            ) from None
        return _json.render(self._value(value, "", _Names.of(fields), answer=False)).encode()

    def _response_body(self, body: bytes | None, fields: Fields) -> bytes:
        if body is None:
            return MASK.encode()
        if not body or fields == VERBATIM:
            return body
        try:
            value = _json.parse(body)
        except _json.NotJSON:
            return MASK.encode()
        return _json.render(self._value(value, "", _Names.of(fields), answer=True)).encode()

    def _pairs(self, pairs: list[tuple[str, str]], fields: Fields) -> list[tuple[str, str]]:
        return [
            (name, value)
            if name in fields.kept
            else (name, self._hide(name, value))
            if name in fields.masked
            else (MASK, MASK)
            for name, value in pairs
        ]

    def _value(self, value: _json.JSONValue, path: str, names: _Names, *, answer: bool) -> _json.JSONValue:
        if path in names.masked:
            text = value.text if isinstance(value, _json.Number) else value
            if not isinstance(text, str):
                return MASK
            return self._number(path, text) if answer else self._hide(path, text)
        if isinstance(value, list):
            return [self._value(item, path, names, answer=answer) for item in value]
        if isinstance(value, dict):
            return self._object(value, path, names, answer=answer)
        # A null in place of an object is part of the shape, not a value.
        return value if path in names.kept or (value is None and path in names.inner) else MASK

    def _object(
        self, value: dict[str, _json.JSONValue], path: str, names: _Names, *, answer: bool
    ) -> dict[str, _json.JSONValue]:
        made: dict[str, _json.JSONValue] = {}
        unknown = 0
        for key, item in value.items():
            inside = f"{path}.{key}" if path else key
            if inside in names.known:
                made[key] = self._value(item, inside, names, answer=answer)
            else:
                unknown += 1
                made[MASK if unknown == 1 else f"{MASK} {unknown}"] = MASK
        return made

    def _hide(self, name: str, value: str) -> str:
        """Return the mask of a value that is sent: the number of a masked answer that it contains, if any."""
        shown = _NUMBERED.search(value)
        if shown is not None:
            return shown[0]
        self._remember(name, value)
        given = [secret for secret in self._numbers if secret in value]
        return self._numbers[max(given, key=len)] if given else MASK

    def _number(self, name: str, value: str) -> str:
        """Return the mask of a value that was answered."""
        if value == MASK or _NUMBERED.fullmatch(value) or len(value) < _MIN_SECRET:
            return value if _NUMBERED.fullmatch(value) else MASK
        self._remember(name, value)
        return self._numbers.setdefault(value, f"{MASK}-{len(self._numbers) + 1}")

    def _remember(self, name: str, value: str) -> None:
        if len(value) >= _MIN_SECRET and value != MASK and value not in self.hidden.values():
            self.hidden[f"{name}, masked value {len(self.hidden) + 1}"] = value


class _Names(msgspec.Struct, frozen=True):
    """Fields prepared for lookup; `inner` are the paths that lead to them."""

    kept: frozenset[str]
    masked: frozenset[str]
    inner: frozenset[str]
    known: frozenset[str]

    @classmethod
    @functools.lru_cache(maxsize=256)
    def of(cls, fields: Fields) -> _Names:
        """Return the names of these fields."""
        leaves = frozenset(fields.kept + fields.masked)
        steps = [path.split(".") for path in leaves]
        inner = frozenset(".".join(step[:length]) for step in steps for length in range(1, len(step)))
        return cls(frozenset(fields.kept), frozenset(fields.masked), inner, leaves | inner)


@functools.lru_cache(maxsize=256)
def _template(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[a-z_]+\})", path)
    return re.compile("".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts))


def _origin_and_path(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    usual = parts.port in {None, {"http": 80, "https": 443}.get(parts.scheme)}
    return f"{parts.scheme}://{host}{'' if usual else f':{parts.port}'}", parts.path


def _lower(names: Iterable[str]) -> list[str]:
    return [name.lower() for name in names]


def _decoded(body: bytes, encodings: list[str]) -> bytes | None:
    """Return the uncompressed body, or None if it cannot be decompressed."""
    named = [encoding.strip().lower() for encoding in encodings]
    if not body or named in ([], ["identity"]):
        return body
    if named not in (["gzip"], ["x-gzip"], ["deflate"]):
        return None
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        plain = unpacker.decompress(body, _DECODED_CAP)
    except zlib.error:
        return None
    return plain if unpacker.eof else None
