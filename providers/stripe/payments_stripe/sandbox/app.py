"""The sandbox as an ASGI application: the documented calls, the shopper's page and the control routes."""

from __future__ import annotations

import asyncio
import re

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from . import api, control, wallet
from .gateway import LocalGateway

__all__ = ["build_app"]

_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)


def build_app(gateway: LocalGateway) -> ASGIApp:
    """Everything behind the guard: a page of the internet, open in a developer's browser, reaches nothing here."""

    async def call(request: Request) -> Response:
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=400)
        headers = tuple(request.headers.items())
        made = api.admit(gateway, api.Call(request.method, request.url.path, request.url.query, headers, body))
        if isinstance(made, api.Admitted):
            if gateway.slowness:
                await asyncio.sleep(gateway.slowness)
            made = api.execute(gateway, made)
        return Response(made.body, made.status, dict(made.headers), "application/json")

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app = Starlette(
        routes=[
            Mount("/v1", routes=[Route("/{path:path}", call, methods=methods)]),
            Mount("/_sandbox", routes=control.routes(gateway)),
            *wallet.routes(gateway),
        ]
    )
    app.router.redirect_slashes = False
    return _Guard(app)


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        if len(body) <= api.MAX_BODY:
            body += chunk
    return body


class _Guard:
    """Refuses another site's requests: by Host (DNS rebinding), and where something is changed, by Origin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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
