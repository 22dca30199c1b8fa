"""Serve a sandbox's control routes, and guard all of its routes.

The control routes do over HTTP what the sandbox does in Python, for tests in other languages and processes: JSON in,
JSON out. Changes need a POST with a JSON content type, which a form of another site cannot send.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .courier import Delivery
from .sandbox import NotPossible, SandboxError, UnknownCharge

__all__ = ["BadRequest", "Guard", "control_route", "delivered", "fields_of", "read_body"]

_LOOPBACK: Final = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)


class Guard:
    """Refuse requests of other sites: by Host (DNS rebinding), and for changes, by Origin.

    A web page, open in a developer's browser, cannot reach the application inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        if scope["type"] != "http":
            return
        request = Request(scope)
        if not _LOOPBACK.fullmatch(request.headers.get("host", "")):
            refusal: Response = PlainTextResponse("sandbox: the Host must be this machine's loopback\n", 421)
        elif request.method not in ("GET", "HEAD") and _is_foreign(request):
            refusal = PlainTextResponse("sandbox: a page of another origin may not do this\n", 403)
        else:
            await self._app(scope, receive, send)
            return
        await refusal(scope, receive, send)


def _is_foreign(request: Request) -> bool:
    # Browsers send Origin with every POST; programs send none.
    origin = f"http://{request.headers['host']}"
    return (
        any(given != origin for given in request.headers.getlist("origin"))
        or request.headers.get("sec-fetch-site") == "cross-site"
    )


async def read_body(request: Request, most: int) -> bytes:
    """Return the body of a request, cut short soon after `most` bytes."""
    body = b""
    async for chunk in request.stream():
        if len(body) <= most:
            body += chunk
    return body


class BadRequest(SandboxError):
    """The arguments of a control route are invalid."""


def control_route(method: str, path: str, act: Callable[[Request], Awaitable[object]]) -> Route:
    """Return a control route.

    The result of `act` is answered as JSON, its error as `{"error": "..."}` with 400, 404 or 409.
    """

    async def endpoint(request: Request) -> Response:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if method == "POST" and media_type != "application/json":
            return JSONResponse({"error": "the Content-Type must be application/json"}, 415)
        try:
            result = await act(request)
        except UnknownCharge as error:
            return JSONResponse({"error": str(error)}, 404)
        except NotPossible as error:
            return JSONResponse({"error": str(error)}, 409)
        except BadRequest as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(msgspec.to_builtins(result))

    return Route(path, endpoint, methods=[method])


async def fields_of(request: Request, *required: str, **types: type) -> Mapping[str, Any]:
    """Return the fields of a control request: a JSON object of these `types`, with all that are `required`.

    Raise `BadRequest` for anything else.
    """
    try:
        fields = msgspec.json.decode(await request.body() or b"{}")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise BadRequest("the body is not a JSON object")
    for name in required:
        if name not in fields:
            raise BadRequest(f"{name} is required")
    for name, value in fields.items():
        if name not in types:
            raise BadRequest(f"{name!r} is not a field of this call; it has {', '.join(types) or 'none'}")
        if type(value) is not types[name]:
            raise BadRequest(f"{name} must be {types[name].__name__}")
    return fields


async def delivered(deliveries: Sequence[Future[Delivery]]) -> list[Delivery]:
    """Wait for deliveries without blocking the server."""
    try:
        return [await asyncio.wrap_future(each) for each in deliveries]
    except asyncio.CancelledError:
        if any(each.cancelled() for each in deliveries):
            raise NotPossible("the sandbox was closed") from None
        raise
