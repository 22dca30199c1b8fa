"""Serve the sandbox as an ASGI application: the documented calls, the shopper's page and the control routes."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from payments_core.testing.sandbox_app import Guard, read_body

from . import calls, control, payments, wallet
from .gateway import Kept, LocalGateway
from .payments import Refused, invalid
from .records import API_VERSION, ReceivedRequest

__all__ = ["build_app"]

_MAX_BODY: Final = 65536
_KEY_LIFETIME: Final = 24 * 3600
"""Seconds: "You can remove keys from the system automatically after they're at least 24 hours old"."""
_LONGEST_KEY: Final = 255


def build_app(gateway: LocalGateway) -> ASGIApp:
    """Build the application, guarded from web pages that are open in a developer's browser."""

    async def call(request: Request) -> Response:
        try:
            body = await read_body(request, _MAX_BODY)
        except ClientDisconnect:
            return Response(status_code=400)
        with gateway.lock:
            return _answer(gateway, request, body)

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


def _answer(gateway: LocalGateway, request: Request, body: bytes) -> Response:
    """Answer a call, and keep the answer for its idempotency key, unless it is about the parameters."""
    request_id = gateway.new_id("requests", "req_", 14)
    headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
    form: Mapping[str, str] = {}
    key, kept = request.headers.get("idempotency-key", "") if request.method == "POST" else "", True
    try:
        form = _read(gateway, request, body)
        known = _find_kept(gateway, key, (request.method, request.url.path, form))
        if known is not None:
            headers["Idempotent-Replayed"] = "true"
            status, content = known.status, known.body
        else:
            payments.tick(gateway)
            status, content = 200, _encode(calls.run(gateway, request.method, request.url.path, form))
    except Refused as refused:
        status, content, kept, known = refused.status, _encode({"error": refused.error}), refused.kept, None
        headers["Stripe-Should-Retry"] = "false"
    if key and kept and known is None:
        gateway.keys[key] = Kept((request.method, request.url.path, form), gateway.now(), status, content)
    gateway.received.append(ReceivedRequest(request.method, request.url.path, form, key, status, request_id))
    return Response(content, status, headers, "application/json")


def _read(gateway: LocalGateway, request: Request, body: bytes) -> dict[str, str]:
    """Check the key and the version, and return the parameters."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), gateway.api_key.encode()):
        raise invalid("Invalid API Key provided.", status=401)
    if request.headers.get("stripe-version") != API_VERSION:
        # Stripe would use the account's default. Here the version is required, so that no client omits it by mistake.
        raise invalid(f"Send the header Stripe-Version: {API_VERSION}.")
    if len(body) > _MAX_BODY:
        raise invalid(f"The body is over {_MAX_BODY} bytes.", status=413)
    media_type = request.headers.get("content-type", "")
    if body and media_type != "application/x-www-form-urlencoded":
        raise invalid("Check that your POST content type is application/x-www-form-urlencoded.")
    return calls.read_form(body.decode("ascii", "replace") if request.method == "POST" else request.url.query)


def _find_kept(gateway: LocalGateway, key: str, asked: tuple[str, str, Mapping[str, str]]) -> Kept | None:
    """Return the answer to this same request (docs.stripe.com/api/idempotent_requests); refuse another with its key."""
    if len(key) > _LONGEST_KEY:
        raise invalid(f"Idempotency-Key must be at most {_LONGEST_KEY} characters.")
    known = gateway.keys.get(key)
    if known is None or gateway.now() - known.made >= _KEY_LIFETIME:
        return None
    if known.request != asked:
        words = "sandbox: keys for idempotent requests can only be used with the parameters they were first used with."
        raise Refused(400, {"type": "idempotency_error", "message": words})
    return known


def _encode(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, indent=2, ensure_ascii=False).encode()
