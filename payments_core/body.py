"""An answer's body, collected and decompressed under caps."""

from __future__ import annotations

import zlib
from typing import Final

from .flow import Response

__all__ = ["MAX_BODY_BYTES", "Body", "Unreadable", "decides_alone"]

MAX_BODY_BYTES: Final = 1024 * 1024


# More pieces than this are no answer but an attack: each one costs the parser as much as kilobytes do.
_MOST_PIECES: Final = 20_000
_REFUSALS: Final = frozenset({401, 403, 429})


def decides_alone(status: int) -> bool:
    """Return True where the core answers a status by itself: a refusal, or neither a 2xx nor a 4xx."""
    return status in _REFUSALS or not (200 <= status < 300 or 400 <= status < 500)


class Unreadable(Exception):
    """An answer arrived that cannot be read; the text says why."""


class Body:
    """Collects an answer's body under the caps."""

    def __init__(self, status: int, headers: tuple[tuple[str, str], ...]) -> None:
        # RFC 9110, 15: a status beyond 599 is to be treated as a 5xx.
        self.status = min(status, 599)
        self.headers = headers
        self.chunks: list[bytes] = []
        self._size = 0
        # A body that breaks, drips or swells changes nothing then.
        self.decisive = decides_alone(self.status)

    def feed(self, chunk: bytes) -> None:
        """Take the next piece, or raise `Unreadable` where it is one too many."""
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            raise Unreadable(f"is longer than {MAX_BODY_BYTES} bytes")
        if len(self.chunks) >= _MOST_PIECES:
            raise Unreadable(f"comes in more than {_MOST_PIECES} pieces")
        self.chunks.append(chunk)

    def response(self) -> Response:
        """Return the whole answer, decompressed."""
        body = b"".join(self.chunks)
        encodings = [value.strip().lower() for name, value in self.headers if name.lower() == "content-encoding"]
        if body and any(encodings) and encodings != ["identity"]:
            try:
                body = _decompress(body, encodings)
            except Unreadable:
                if not self.decisive:
                    raise
                body = b""
        return Response(self.status, self.headers, body)


def _decompress(body: bytes, encodings: list[str]) -> bytes:
    if encodings not in (["gzip"], ["x-gzip"], ["deflate"]):
        raise Unreadable("is compressed in a way that was not asked for")
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        plain = stream.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        plain = None
    if plain is not None and len(plain) > MAX_BODY_BYTES:
        raise Unreadable(f"is longer than {MAX_BODY_BYTES} bytes when decompressed")
    if plain is None or not stream.eof:
        raise Unreadable("is damaged: it does not decompress")
    return plain
