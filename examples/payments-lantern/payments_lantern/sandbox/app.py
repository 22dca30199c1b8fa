"""Serve Lantern Pay over HTTP: its calls, the page where the shopper pays, and the control routes for tests."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from payments_core.testing.sandbox_app import Guard, read_body
from payments_core.testing.sandbox_page import facts, page

from .gateway import WAITING, LocalGateway, Payment, Refused

__all__ = ["Act", "build_app"]

# Actions on a payment, by its id.
Act = Callable[[str], object]

_MOST: Final = 256 * 1024  # bytes of a body
_BUTTONS: Final = """<form method="post">
<button class="primary" name="do" value="pay">Pay</button>
<button name="do" value="cancel">Leave</button>
</form>"""


def build_app(gateway: LocalGateway, acts: Mapping[str, Act], public_url: str = "") -> ASGIApp:
    """Build the application, behind a guard that keeps other sites' pages out.

    `acts` are `pay`, `cancel` and `deliver`.
    """

    async def create(request: Request) -> Response:
        body = await read_body(request, _MOST)
        return _answered(gateway, request, lambda: shown(request, gateway.create(_read(body))))

    async def ask(request: Request) -> Response:
        ids = {**request.query_params, **request.path_params}
        return _answered(gateway, request, lambda: shown(request, _find(gateway, ids)))

    def shown(request: Request, payment: Payment) -> dict[str, Any]:
        fields = ("payment_id", "merchant_ref", "amount", "currency", "state")
        answer = {name: getattr(payment, name) for name in fields} | {"created": payment.created.isoformat()}
        if payment.paid is not None:
            answer["paid"] = payment.paid.isoformat()
        if payment.state == WAITING:
            answer["checkout_url"] = f"{public_url or str(request.base_url).rstrip('/')}/checkout/{payment.payment_id}"
        return answer

    async def checkout(request: Request) -> Response:
        payment = gateway.find(payment_id=request.path_params["payment_id"])
        if request.method == "GET":
            return _checkout_page(payment)
        word = (await read_body(request, _MOST)).decode("ascii", "replace").removeprefix("do=")
        if word in {"pay", "cancel"} and payment.state == WAITING:
            acts[word](payment.payment_id)
        return RedirectResponse(request.url.path, 303)

    def index(_: Request) -> Response:
        links = "".join(
            f'<li><a href="/checkout/{escape(each.payment_id)}">{escape(each.merchant_ref)}</a></li>'
            for each in gateway.payments()
        )
        return page("Payments of this sandbox", f"<ul>{links}</ul>" if links else "<p>No payments yet.</p>")

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
            Route("/", index, methods=["GET"]),
            Route("/_sandbox/orders", listed, methods=["GET"]),
            Route("/_sandbox/orders/{payment_id}/{act}", control, methods=["POST"]),
        ],
        exception_handlers={Refused: _said, ValueError: _said},
    )
    return Guard(app)


def _answered(gateway: LocalGateway, request: Request, work: Callable[[], dict[str, Any]]) -> Response:
    """Answer with a trace (KEYS), and with 401 if the key is missing or wrong (REFUSALS)."""
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


def _checkout_page(payment: Payment) -> Response:
    known = facts(
        ("Amount", f'<span class="amount">{escape(payment.amount)} {escape(payment.currency)}</span>'),
        ("For", escape(payment.title)),
        ("Payment", escape(payment.payment_id)),
    )
    back = f'<p><a href="{escape(payment.return_url)}" rel="noreferrer">Back to the shop</a></p>'
    after = _BUTTONS if payment.state == WAITING else back if payment.return_url else ""
    return page("Lantern Pay", f'{known}<p role="status">{escape(payment.state)}</p>{after}')


def _said(_: Request, error: Exception) -> Response:
    return PlainTextResponse(f"sandbox: {error}\n", error.status if isinstance(error, Refused) else 409)
