"""An answer's body, collected and decompressed under caps."""

from __future__ import annotations

import zlib
from typing import Final

from .flow import Response

__all__ = ["MAX_BODY_BYTES", "Body", "Unreadable"]

MAX_BODY_BYTES: Final = 1024 * 1024


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
        # These statuses decide before the body does, so a body that breaks, drips or swells changes nothing.
        self.decisive = self.status in {401, 403, 429} or (
            not 200 <= self.status < 300 and not 400 <= self.status < 500
        )

    def feed(self, chunk: bytes) -> None:
        """Take the next piece, or raise `Unreadable` where it is one too many."""
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            raise Unreadable(f"is longer than {MAX_BODY_BYTES} bytes")
        self.chunks.append(chunk)

    def response(self) -> Response:
        """The whole answer, decompressed."""
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
