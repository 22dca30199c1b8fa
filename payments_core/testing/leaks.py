"""Scan logs, exceptions and files for planted secrets, in every encoding that programs commonly use.

    leaks = scan(log_bytes, {"client_secret": canary})
    assert not leaks, leaks                       # a Leak names the secret, the form and the offset, never the value

An empty result proves something only if the scan would find a secret: `assert_controls` plants the same secrets in
every form and demands each. The scan decodes whatever looks encoded, layer by layer, and searches each layer for the
plain secret, so it also finds a URL-quoted secret within Basic auth within a gzipped body.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import gzip
import html
import inspect
import json
import re
import sys
import traceback
import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MethodType, ModuleType, TracebackType
from typing import Any, Final, TypeAlias
from urllib.parse import quote, quote_plus

__all__ = ["Leak", "ScanIncomplete", "assert_controls", "encodings", "exception_texts", "plant", "scan", "scan_tree"]

MIN_LENGTH: Final = 8  # characters; a shorter secret would be found by chance

_MAX_DEPTH: Final = 5  # wrapped base64 of gzip of JSON of a URL
# Bytes kept on both sides of a replacement: more than the distance between two escapes of one encoded secret.
_WINDOW: Final = 4096
_MEMBER_CAP: Final = 32_000_000
_TOTAL_CAP: Final = 256_000_000
_MAX_OBJECTS: Final = 20_000


class ScanIncomplete(Exception):
    """The data expands beyond the scan's limits, so the result would be unreliable."""


@dataclass(frozen=True, order=True)
class Leak:
    """A secret that was found: its name, its form (outermost first, such as `base64/gzip`), offset and file."""

    secret: str
    form: str
    offset: int
    where: str = ""

    def __str__(self) -> str:
        place = f" of {self.where}" if self.where else ""
        return f"{self.secret} ({self.form}) at offset {self.offset}{place}"


def encodings(secret: str) -> dict[str, tuple[bytes, ...]]:
    """Return the encodings of a secret, by form; raise ValueError for one of fewer than 8 characters.

    The base64 texts are the digits that the secret alone determines within a longer encoded text, for each of its three
    possible alignments.
    """
    if len(secret) < MIN_LENGTH:
        raise ValueError(f"a secret of fewer than {MIN_LENGTH} characters would be found by chance")
    raw = _utf8(secret)
    percent = "".join(f"%{byte:02X}" for byte in raw)
    ascii_json, plain_json = json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]
    units = secret.encode("utf-16-be", "surrogatepass")
    escaped = "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
    forms: dict[str, tuple[str | bytes, ...]] = {
        "raw": (raw, *([secret.encode("latin-1")] if all(ord(char) < 256 for char in secret) else [])),
        "url": (
            quote(raw), quote(raw, safe=""), quote_plus(raw), _lower(quote(raw, safe="")), percent, percent.lower(),
        ),
        "json": (
            ascii_json, plain_json, plain_json.replace("/", "\\/"), ascii_json.replace("/", "\\/"),
            escaped, re.sub("[a-f]", lambda hexit: hexit[0].upper(), escaped),
        ),
        "python": (repr(secret)[1:-1], ascii(secret)[1:-1], repr(raw)[2:-1], "".join(f"\\x{byte:02x}" for byte in raw)),
        "html": (html.escape(secret), "".join(f"&#{ord(char)};" for char in secret)),
        "base64": (*_base64_cores(raw), *_base64_cores(raw, urlsafe=True)),
        "hex": (raw.hex(), raw.hex().upper()),
    }  # fmt: skip
    return {
        form: tuple(dict.fromkeys(_utf8(text) if isinstance(text, str) else text for text in texts))
        for form, texts in forms.items()
    }


def scan(data: bytes | str, secrets: Mapping[str, str]) -> list[Leak]:
    """Return every place where `data` contains one of the named secrets, in any form, sorted.

    Raise ValueError for a secret of fewer than 8 characters, and `ScanIncomplete` for data that expands too far.
    """
    needles = _needles(secrets)
    if not needles:
        return []
    found: set[Leak] = set()
    for layer in _layers(_utf8(data) if isinstance(data, str) else data, secrets.values()):
        for name, form, needle in needles:
            at = layer.data.find(needle)
            while at >= 0:
                if layer.decoded(at, at + len(needle)):
                    steps = layer.steps if layer.steps[-1:] == form == ("url",) else layer.steps + form
                    found.add(Leak(name, "/".join(steps) or "raw", layer.origin(at)))
                at = layer.data.find(needle, at + 1)
    return sorted(found, key=lambda leak: (leak.offset, leak))


def scan_tree(path: Path | str, secrets: Mapping[str, str]) -> list[Leak]:
    """Scan a file, or every file below a folder, names included; raise FileNotFoundError if there is none."""
    root = Path(path)
    if not root.exists():
        raise FileNotFoundError(f"nothing to scan: {root.name}")
    files = [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.is_file())
    leaks: list[Leak] = []
    for number, file in enumerate(files, 1):
        name = file.name if file == root else file.relative_to(root).as_posix()
        in_name = scan(name, secrets)
        # Do not repeat a name that contains the secret.
        where = f"file {number} of {len(files)}, by name" if in_name else name
        leaks += [Leak(leak.secret, leak.form, leak.offset, "the name of " + where) for leak in in_name]
        leaks += [Leak(leak.secret, leak.form, leak.offset, where) for leak in scan(file.read_bytes(), secrets)]
    return leaks


# Positive controls.


def plant(secret: str) -> dict[str, bytes]:
    """Return, for each form, a typical text that contains the secret; `scan` must find each."""
    made = encodings(secret)
    raw = _utf8(secret)
    body = json.dumps({"grant_type": "client_credentials", "client_secret": secret})
    packed = gzip.compress(b'{"code": 0, "note": "' + raw + b'"}', mtime=0)
    wrapped = base64.encodebytes(b"\x00" * 50 + packed).strip().replace(b"\n", b"\n        ")
    texts = {"raw": b"INFO token call with client_secret=" + raw + b" failed\n"}
    for form in ("url", "json", "python", "html", "hex"):
        for number, text in enumerate(made[form], 1):
            texts[f"{form} {number}"] = b'POST /oauth2/token {"client_secret":"' + text + b'"}\n'
    texts |= {
        "url twice": b"return_url=" + quote(quote(raw, safe=""), safe="").encode(),
        "url of json": b"state=" + quote(body, safe="").encode(),
        "json in json": json.dumps({"body": json.dumps({"client_secret": secret})}).encode(),
        "yaml quoted": b"body: 'client_secret: " + raw.replace(b"'", b"''") + b"'\n",
        "gzip": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + packed,
        "gzip in base64": b"body: " + base64.b64encode(packed),
        "gzip in wrapped base64": b"    body:\n      string: !!binary |\n        " + wrapped + b"\n    headers: {}\n",
        "gzip in hex": packed.hex().encode(),
        "gzip in python": f"content={packed!r}".encode(),
        "zlib": b"content-encoding: deflate\r\n\r\n" + zlib.compress(_utf8(body)),
        "basic, quoted": b"Authorization: Basic " + base64.b64encode(b"uid:" + quote_plus(raw).encode()),
    }
    for shift in range(3):
        text = b"u" * (shift + 5) + b":" + raw + b"!"
        texts[f"base64 {shift}"] = b"Authorization: Basic " + base64.b64encode(text) + b"\r\n"
        texts[f"base64 url-safe {shift}"] = b"?token=" + base64.urlsafe_b64encode(text).rstrip(b"=")
        texts[f"base64 wrapped {shift}"] = b"\n  ".join(_pieces(base64.b64encode(text), 16))
        texts[f"base64 in url {shift}"] = b"token=" + quote(base64.b64encode(text), safe="").encode()
        texts[f"base64 in json {shift}"] = b'{"token":"' + base64.b64encode(text).replace(b"/", b"\\/") + b'"}'
    return texts


def assert_controls(secrets: Mapping[str, str]) -> None:
    """Raise AssertionError, naming each planted control that `scan` misses, or finds for another secret."""
    faults: list[str] = []
    for name, secret in secrets.items():
        decoy = secret[::-1]
        for form, text in plant(secret).items():
            if not scan(text, {name: secret}):
                faults.append(f"{name}, {form}: not found")
        for form, text in plant(decoy).items() if decoy != secret else ():
            if scan(text, {name: secret}):
                faults.append(f"{name}, {form}: found in its absence")
    if faults:
        raise AssertionError("the leak scan proves nothing: " + "; ".join(faults))


# Exceptions.


def exception_texts(exc: BaseException, *, without: Collection[str] = ()) -> bytes:
    """Return everything that a log, a debugger or an error tracker can show of an exception, for `scan`.

    This is its whole graph (args, attributes, notes, causes, contexts, even suppressed ones, members of groups, and the
    values that their attributes hold), with the repr and the formatted traceback of each, and the repr of every local
    variable of every frame. The locals of the calling frame and of the files in `without` are left out, because a test
    has its secrets at hand; so are slots that begin with two underscores. Raise `ScanIncomplete` for an endless graph.
    """
    here = inspect.currentframe()
    walk = _Walk(here.f_back if here else None, frozenset(without))
    walk.add(exc)
    return b"\n".join(walk.texts())


class _Walk:
    """Walk through everything that an exception holds, each object once."""

    def __init__(self, caller: FrameType | None, without: frozenset[str]) -> None:
        self._caller = caller
        self._without = without
        self._seen: dict[int, object] = {}  # holds the objects, so that no id is reused
        self._waiting: list[object] = []

    def add(self, *values: object) -> None:
        for value in values:
            if value is None or isinstance(value, _OPAQUE) or id(value) in self._seen:
                continue
            if len(self._seen) >= _MAX_OBJECTS:
                raise ScanIncomplete("the exception holds more objects than are looked at")
            self._seen[id(value)] = value
            self._waiting.append(value)

    def texts(self) -> Iterator[bytes]:
        while self._waiting:
            value = self._waiting.pop()
            if isinstance(value, str):
                yield _utf8(value)
            elif isinstance(value, bytes | bytearray | memoryview):
                yield bytes(value)
            elif isinstance(value, TracebackType):
                yield from self._frames(value)
            else:
                yield from self._object(value)

    def _object(self, value: object) -> Iterator[bytes]:
        yield _shown(value, repr)
        yield _shown(value, str)
        if isinstance(value, BaseException):
            yield _shown(value, lambda exc: "".join(traceback.format_tb(exc.__traceback__)))
            self.add(value.args, value.__cause__, value.__context__, value.__traceback__)
            self._described(value)
            if isinstance(value, BaseExceptionGroup):
                self.add(*value.exceptions)
        elif isinstance(value, Mapping | list | tuple | AbstractSet | deque):
            held: list[object] = []
            with contextlib.suppress(Exception):  # a broken container shows what it yields before the error
                held.extend(value)
                held.extend(value.values() if isinstance(value, Mapping) else ())
            self.add(*held)
        with contextlib.suppress(TypeError):  # an object without a __dict__
            self.add(*vars(value).values())
        for kind in type(value).__mro__:
            slots = vars(kind).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                # Not mangled: private slots are not reached, since nothing prints them.
                self._attribute(value, name)

    def _described(self, exc: BaseException) -> None:
        # Properties, and C attributes outside __dict__: OSError.filename, AttributeError.obj.
        for kind in type(exc).__mro__:
            for name, descriptor in list(vars(kind).items()):
                if not name.startswith("__") and inspect.isdatadescriptor(descriptor):
                    self._attribute(exc, name)

    def _attribute(self, value: object, name: str) -> None:
        try:
            held = getattr(value, name)
        except Exception:  # noqa: BLE001 - what cannot be read cannot be shown
            return
        self.add(held)

    def _frames(self, trace: TracebackType | None) -> Iterator[bytes]:
        while trace is not None:
            frame = trace.tb_frame
            if frame is not self._caller and frame.f_code.co_filename not in self._without:
                for name, value in list(frame.f_locals.items()):
                    yield _utf8(name) + b" = " + _shown(value, repr)
            trace = trace.tb_next


def _shown(value: Any, show: Callable[[Any], str]) -> bytes:
    try:
        return _utf8(show(value))
    except Exception as exc:  # noqa: BLE001 - a repr with a bug shows nothing, here as elsewhere
        return f"<{type(value).__name__}: {type(exc).__name__}>".encode()


_OPAQUE: Final = (
    bool, int, float, complex, type, ModuleType, FunctionType, MethodType, BuiltinFunctionType, FrameType, CodeType,
)  # fmt: skip


# Layers: the data, and what it decodes to.

_Piece: TypeAlias = tuple[int, int, int, int]  # output start and end, source start and end


@dataclass(frozen=True)
class _Layer:
    """Bytes to search, with a map to the bytes they were decoded from.

    Outside `pieces` the bytes are the parent's own; inside they were decoded, `numerator / denominator` source bytes
    for each.
    """

    data: bytes
    steps: tuple[str, ...] = ()
    parent: _Layer | None = None
    pieces: tuple[_Piece, ...] = ()
    numerator: int = 0
    denominator: int = 1
    binary: bool = False

    def decoded(self, start: int, end: int) -> bool:
        """Return True if decoding changed these bytes; unchanged ones were found in the parent."""
        if self.parent is None:
            return True
        last = bisect_right(self.pieces, (end - 1, len(self.data), 0, 0)) - 1
        return last >= 0 and self.pieces[last][1] > start

    def origin(self, at: int) -> int:
        """Return the offset in the original data."""
        layer = self
        while layer.parent is not None:
            index = bisect_right(layer.pieces, (at, sys.maxsize, 0, 0)) - 1
            if index >= 0:
                start, end, source, source_end = layer.pieces[index]
                at = source - (start - at) * layer.numerator // layer.denominator if at < end else source_end + at - end
            layer = layer.parent
        return at


class _Scan:
    """Decode one piece of data into layers, each content once."""

    def __init__(self, secrets: Iterable[str]) -> None:
        letters = {char for secret in secrets for char in secret}
        self._spaces = " " in letters
        self._quotes = "'" in letters
        self._seen: set[tuple[str, bytes]] = set()
        self._expanded = 0

    def below(self, layer: _Layer) -> Iterator[_Layer | None]:
        """Yield the layers that this one decodes to, one step further."""
        data = layer.data
        if layer.binary:
            yield from self._texts(layer)
            yield from self._inflated(layer)
            return
        if b"%" in data:
            yield _substituted(layer, "url", _PERCENT, lambda found: _BYTES[found[1]])
        if b"\\" in data:
            yield _substituted(layer, "json", _ESCAPE, _from_escape)
            if _HIGH_BYTE.search(data):
                yield _substituted(layer, "python", _ESCAPE, lambda found: _from_escape(found, byte=True))
        if _LATIN1_MAGIC in data:
            yield _substituted(
                layer, "latin-1", _LATIN1, lambda found: bytes([(found[0][0] & 3) << 6 | found[0][1] & 63])
            )
        if b"&" in data:
            yield _substituted(layer, "html", _ENTITY, _from_entity)
        if self._quotes and b"''" in data:
            yield _substituted(layer, "quoted", _DOUBLED, lambda _: b"'")
        if b"\n" in data:
            yield _substituted(layer, "wrapped", _HARD_FOLD, lambda _: b"")
            if self._spaces:
                yield _substituted(layer, "wrapped", _SOFT_FOLD, lambda _: b" ")
        yield from self._digits(layer, _BASE64)
        yield from self._digits(layer, _HEX)
        yield from self._inflated(layer)

    def _digits(self, layer: _Layer, digits: _Digits) -> Iterator[_Layer]:
        """Decode the runs of base64 or hex digits, from each digit that could begin a group."""
        runs = [(run.start(), run[0]) for run in digits.runs.finditer(layer.data)]
        runs = [(start, run) for start, run in runs if (digits.name, run) not in self._seen]
        self._seen.update((digits.name, run) for _, run in runs)
        for shift in range(digits.group if runs else 0):
            texts: list[bytes] = []
            pieces: list[_Piece] = []
            position = 0
            for start, run in runs:
                # Pad to whole groups, so that one call decodes all runs, with a group more to separate them.
                text = run[shift:]
                text += digits.zero * (2 * digits.group - len(text) % digits.group)
                texts.append(text)
                width = len(text) // digits.group * digits.size
                pieces.append((position, position + width, start + shift, start + len(run)))
                position += width
            data = digits.decode(b"".join(texts))
            yield _Layer(
                data, (*layer.steps, digits.name), layer, tuple(pieces), digits.group, digits.size, binary=True
            )

    def _texts(self, layer: _Layer) -> Iterator[_Layer]:
        """Yield the readable stretches alone: misaligned base64 decodes to noise, in which escapes mean nothing."""
        parts: list[bytes] = []
        pieces: list[_Piece] = []
        position = 0
        for found in _READABLE.finditer(layer.data):
            text = found[0]
            parts += (text, b"\0")
            pieces.append((position, position + len(text), found.start(), found.end()))
            position += len(text) + 1
        if pieces:
            yield _Layer(b"".join(parts), layer.steps, layer, tuple(pieces), 1, 1)

    def _inflated(self, layer: _Layer) -> Iterator[_Layer]:
        for magic in _MAGIC.finditer(layer.data):
            start = magic.start()
            data = self._inflate(memoryview(layer.data)[start:])
            if len(data) >= MIN_LENGTH:
                step = "gzip" if magic[0][0] == 0x1F else "zlib"
                yield _Layer(data, (*layer.steps, step), layer, ((0, len(data), start, start),))

    def _inflate(self, packed: memoryview) -> bytes:
        """Return the readable part of a compressed member, to its end or its first error."""
        unpacker = zlib.decompressobj(47)  # gzip or zlib, by its header
        output = bytearray()
        at, step = 0, 1024
        while at < len(packed) and not unpacker.eof:
            before = unpacker.copy()
            kept = len(output)
            try:
                piece = bytes(packed[at : at + step])
                while piece:
                    output += unpacker.decompress(piece, 1_000_000)
                    piece = unpacker.unconsumed_tail
                    if len(output) > _MEMBER_CAP or self._expanded + len(output) > _TOTAL_CAP:
                        raise ScanIncomplete("compressed data expands beyond what is scanned")
            except zlib.error:
                del output[kept:]
                if step == 1:
                    break
                # Read the faulty piece again byte by byte, up to the fault.
                unpacker, step = before, 1
                continue
            at += step
        self._expanded += len(output)
        return bytes(output)


def _layers(data: bytes, secrets: Collection[str]) -> Iterator[_Layer]:
    scan_ = _Scan(secrets)
    seen: set[bytes] = set()
    waiting = [_Layer(data)]
    while waiting:
        below: list[_Layer] = []
        for layer in waiting:
            digest = blake2b(layer.data, digest_size=16).digest()
            if digest in seen:
                continue
            seen.add(digest)
            yield layer
            if len(layer.steps) < _MAX_DEPTH:
                below += [found for found in scan_.below(layer) if found is not None]
        waiting = below


def _substituted(
    layer: _Layer, step: str, pattern: re.Pattern[bytes], replace: Callable[[re.Match[bytes]], bytes]
) -> _Layer | None:
    """Replace everything that matches, and leave out what is far from any replacement.

    The parent contains that already, so twenty combinations of notations do not cost twenty times the data.
    """
    data = layer.data
    parts: list[bytes] = []
    pieces: list[_Piece] = []
    last = position = 0
    reach = 0  # how much to keep after the last replacement: nothing before the first
    for found in pattern.finditer(data):
        start, end = found.span()
        if start - last > reach + _WINDOW:
            parts += (data[last : last + reach], b"\0")
            position += reach + 1
            pieces.append((position - 1, position, last + reach, start - _WINDOW))
            last = start - _WINDOW
        reach = _WINDOW
        new = replace(found)
        parts += (data[last:start], new)
        position += start - last + len(new)
        pieces.append((position - len(new), position, start, end))
        last = end
    if not pieces:
        return None
    parts.append(data[last : last + _WINDOW])
    return _Layer(b"".join(parts), (*layer.steps, step), layer, tuple(pieces))


@dataclass(frozen=True)
class _Digits:
    """An encoding of bytes as groups of digits: `group` digits for `size` bytes."""

    name: str
    runs: re.Pattern[bytes]
    group: int
    size: int
    zero: bytes
    decode: Callable[[bytes], bytes]


_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
# The shortest run is 9 bytes: a secret of 8, one of them escaped. (Plain secrets are searched for directly.)
_BASE64: Final = _Digits(
    "base64",
    re.compile(rb"[A-Za-z0-9+/_-]{12,}"),
    4,
    3,
    b"A",
    lambda text: binascii.a2b_base64(text.translate(_STANDARD)),
)
_HEX: Final = _Digits("hex", re.compile(rb"[0-9A-Fa-f]{16,}"), 2, 1, b"0", binascii.unhexlify)
_MAGIC: Final = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
# Binary data read as Latin-1 and written as UTF-8.
_LATIN1_MAGIC: Final = b"\x1f\xc2\x8b\x08"
_LATIN1: Final = re.compile(rb"[\xc2\xc3][\x80-\xbf]")
_READABLE: Final = re.compile(
    rb"(?:[\t\n\r\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}){8,}"
)
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_BYTES: Final = {
    (high + low).encode(): bytes([int(high + low, 16)])
    for high in "0123456789abcdefABCDEF"
    for low in "0123456789abcdefABCDEF"
}
# Escapes of JSON, Python and YAML; a backslash at the end of a line folds it.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}"
    rb"|\r?\n[ \t]*|[\\\"'/bfnrtav0e ])"
)
_SIMPLE: Final = dict(zip(b"\\\"'/bfnrtav0e ", b"\\\"'/\b\f\n\r\t\a\v\0\x1b ", strict=True))
_HIGH_BYTE: Final = re.compile(rb"\\x[89a-fA-F]")
_ENTITY: Final = re.compile(rb"&(?:#([0-9]{1,7})|#[xX]([0-9A-Fa-f]{1,6})|(amp|lt|gt|quot|apos));")
_NAMED: Final = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
_DOUBLED: Final = re.compile(rb"''")
# Text without spaces, that is base64 and hex, may be wrapped anywhere; prose, as in YAML, only at a space.
_HARD_FOLD: Final = re.compile(rb"(?<=[A-Za-z0-9+/_-]{12})\r?\n[ \t]*(?=[A-Za-z0-9+/_=-])")
_SOFT_FOLD: Final = re.compile(rb"[ \t]*\r?\n[ \t]*")


def _from_escape(found: re.Match[bytes], *, byte: bool = False) -> bytes:
    text = found[0][1:]
    if text[:1] in b"\r\n":
        return b""
    if text[:1] not in b"uUx":
        return bytes([_SIMPLE[text[0]]])
    code = int(text[1:5] if text[:1] == b"u" else text[1:], 16)
    if text[:1] == b"x" and byte:
        return bytes([code])
    if len(text) == 11:  # a surrogate pair
        code = 0x10000 + ((code & 0x3FF) << 10) + (int(text[7:], 16) & 0x3FF)
    return _character(code, found[0])


def _from_entity(found: re.Match[bytes]) -> bytes:
    decimal, hexadecimal, name = found.groups()
    if name:
        return _NAMED[name]
    return _character(int(decimal) if decimal else int(hexadecimal, 16), found[0])


def _character(code: int, otherwise: bytes) -> bytes:
    return _utf8(chr(code)) if code <= sys.maxunicode else otherwise


def _needles(secrets: Mapping[str, str]) -> list[tuple[str, tuple[str, ...], bytes]]:
    needles: list[tuple[str, tuple[str, ...], bytes]] = []
    for name, secret in secrets.items():
        forms = encodings(secret)
        needles += [(name, (), text) for text in forms["raw"]]
        needles += [(name, ("base64",), text) for text in forms["base64"]]
        if " " in secret:
            needles += [(name, ("url",), text.replace(b" ", b"+")) for text in forms["raw"]]
    return needles


def _base64_cores(raw: bytes, *, urlsafe: bool = False) -> Iterator[bytes]:
    for shift in range(3):
        text = (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(b"\0" * shift + raw)
        # Only digits whose 6 bits all belong to the secret.
        yield text[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]


def _pieces(text: bytes, width: int) -> Iterator[bytes]:
    for start in range(0, len(text), width):
        yield text[start : start + width]


def _lower(quoted: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
