"""Serve the sandbox as an ASGI application: the documented calls, the shopper's page and the control routes."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from payments_core.testing.sandbox_app import Guard, read_body

from . import api, control, wallet
from .gateway import LocalGateway

__all__ = ["build_app"]


def build_app(gateway: LocalGateway) -> ASGIApp:
    """Build the application, guarded from web pages that are open in a developer's browser."""

    async def call(request: Request) -> Response:
        try:
            body = await read_body(request, api.MAX_BODY)
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
    return Guard(app)
