"""POST a notification as a gateway does, without following redirects."""

from __future__ import annotations

import http.client
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from payments_core.tls import fresh_ssl_context

__all__ = ["post"]

_HOP: Final = frozenset({"host", "connection", "content-length", "transfer-encoding"})


def post(url: str, body: bytes, headers: Iterable[tuple[str, str]], seconds: float) -> int:
    """Post `body` and return the status of the answer; raise `OSError` if there is none."""
    target = urlsplit(url)
    connection = (
        http.client.HTTPSConnection(target.netloc, timeout=seconds, context=fresh_ssl_context(None))
        if target.scheme == "https"
        else http.client.HTTPConnection(target.netloc, timeout=seconds)
    )
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    try:
        connection.request("POST", path, body, {k: v for k, v in headers if k.lower() not in _HOP})
        return connection.getresponse().status
    except http.client.HTTPException as error:
        problem = type(error).__name__
    finally:
        connection.close()
    raise OSError(f"no HTTP answer ({problem})")
