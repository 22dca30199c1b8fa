"""Serve the sandbox as an ASGI application: the documented calls, the wallet page and the control routes."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from payments_core.testing.sandbox_app import Guard, read_body

from . import api, control, wallet
from .gateway import LocalGateway
from .records import Order

__all__ = ["build_app"]


def build_app(gateway: LocalGateway) -> ASGIApp:
    """Build the application, guarded from web pages that are open in a developer's browser."""

    async def call(request: Request) -> Response:
        try:
            body = await read_body(request, api.MAX_BODY)
        except ClientDisconnect:
            return Response(status_code=400)
        made = api.Call(
            request.method,
            request.url.path,
            tuple(request.query_params.multi_items()),
            tuple(request.headers.items()),
            body,
        )

        def wallet_url(order: Order) -> str:
            return wallet.address(gateway.public_url or _origin(request), order)

        answer = api.answer(gateway, made, wallet_url)
        headers = {"Sandbox-Invention": ", ".join(answer.inventions)} if answer.inventions else None
        return JSONResponse(dict(answer.body), answer.status, headers)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app = Starlette(
        routes=[
            Mount("/mch-api", routes=[Route("/{path:path}", call, methods=methods)]),
            Mount("/_sandbox", routes=control.routes(gateway)),
            *wallet.routes(gateway),
        ]
    )
    app.router.redirect_slashes = False  # a redirect would repeat the query string, and the secret in it
    return Guard(app)


def _origin(request: Request) -> str:
    return f"http://{request.headers['host']}"
