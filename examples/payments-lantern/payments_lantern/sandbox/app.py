"""Lantern Pay over HTTP: its calls, the page on which the shopper pays, and the control routes for tests."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from payments_core.testing.sandbox_app import Guard

from .gateway import LocalGateway, Payment, Refused

__all__ = ["Act", "build_app"]

# What is done to a payment, by its id.
Act = Callable[[str], object]

_PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} (sandbox)</title></head>
<body><h1>{title}</h1><p>{amount} {currency}: <strong>{state}</strong></p>
<form method="post"><button name="do" value="pay">Pay</button> <button name="do" value="cancel">Leave</button></form>
<p>A sandbox on this machine: no money moves here.</p></body></html>"""


def build_app(gateway: LocalGateway, acts: Mapping[str, Act], public_url: str = "") -> ASGIApp:
    """Everything under one address, behind a guard that keeps other sites' pages out.

    `acts` are `pay`, `cancel` and `deliver`.
    """

    async def create(request: Request) -> Response:
        body = await request.body()
        return _answered(gateway, request, lambda: shown(request, gateway.create(_read(body))))

    async def ask(request: Request) -> Response:
        ids = {**request.query_params, **request.path_params}
        return _answered(gateway, request, lambda: shown(request, _find(gateway, ids)))

    async def checkout(request: Request) -> Response:
        payment = gateway.find(payment_id=request.path_params["payment_id"])
        if request.method == "POST":
            word = (await request.body()).decode("ascii", "replace").removeprefix("do=")
            if word in {"pay", "cancel"} and payment.state == "waiting":
                acts[word](payment.payment_id)
            return RedirectResponse(payment.return_url or request.url.path, 303)
        return HTMLResponse(_PAGE.format(**{name: escape(str(value)) for name, value in vars(payment).items()}))

    def shown(request: Request, payment: Payment) -> dict[str, Any]:
        fields = ("payment_id", "merchant_ref", "amount", "currency", "state")
        answer: dict[str, Any] = {name: getattr(payment, name) for name in fields}
        answer["created"] = payment.created.isoformat()
        if payment.paid is not None:
            answer["paid"] = payment.paid.isoformat()
        if payment.state == "waiting":
            base = public_url or str(request.base_url).rstrip("/")
            answer["checkout_url"] = f"{base}/checkout/{payment.payment_id}"
        return answer

    def control(request: Request) -> Response:  # in a thread, because `deliver` waits for an answer
        if request.headers.get("content-type") != "application/json":  # which no form of another site can send
            return PlainTextResponse("sandbox: POST it as application/json\n", 415)
        act = acts.get(request.path_params["act"])
        if act is None:
            raise Refused(404, f"no such act; there are {', '.join(acts)}")
        act(request.path_params["payment_id"])
        return JSONResponse({})

    def listed(_: Request) -> Response:
        return JSONResponse([{"id": each.payment_id, "state": each.state} for each in gateway.payments()])

    app = Starlette(
        routes=[
            Route("/v1/payments", create, methods=["POST"]),
            Route("/v1/payments", ask, methods=["GET"]),
            Route("/v1/payments/{payment_id}", ask, methods=["GET"]),
            Route("/checkout/{payment_id}", checkout, methods=["GET", "POST"]),
            Route("/_sandbox/orders", listed, methods=["GET"]),
            Route("/_sandbox/orders/{payment_id}/{act}", control, methods=["POST"]),
        ],
        exception_handlers={Refused: _said, ValueError: _said},
    )
    return Guard(app)


def _answered(gateway: LocalGateway, request: Request, work: Callable[[], dict[str, Any]]) -> Response:
    """KEYS and REFUSALS: every answer has a trace; without the key it is 401."""
    headers = {"Lantern-Trace": gateway.new_trace()}
    if not hmac.compare_digest(request.headers.get("lantern-key", "").encode(), gateway.api_key.encode()):
        return JSONResponse({"error": "key"}, 401, headers)
    try:
        return JSONResponse(work(), 200, headers)
    except Refused as refused:
        return JSONResponse({"error": refused.word}, refused.status, headers)


def _find(gateway: LocalGateway, ids: Mapping[str, str]) -> Payment:
    if len(ids) != 1 or not ids.keys() <= {"merchant_ref", "payment_id"}:
        raise Refused(422, "invalid")
    return gateway.find(**ids)


def _read(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise Refused(422, "invalid")
    return fields


def _said(_: Request, error: Exception) -> Response:
    return PlainTextResponse(f"sandbox: {error}\n", error.status if isinstance(error, Refused) else 409)
