"""Play the shopper's wallet page: approve, cancel, or time out."""

from __future__ import annotations

from html import escape
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from payments_core.testing.sandbox import NotPossible
from payments_core.testing.sandbox_page import facts, page

from .gateway import LocalGateway, UnknownOrder
from .records import Order, hong_kong_nanoseconds

__all__ = ["address", "routes"]

_WALLETS: Final = {"ALIPAYHK": "AlipayHK", "ALIPAYCN": "Alipay"}
_STATES: Final = {
    "PENDING": "Waiting for you.",
    "SUCCEEDED": "Paid. You can go back to the shop.",
    "CANCELLED": "Cancelled or timed out. Nothing was paid.",
}
_BUTTONS: Final = """<form method="post">
<button class="primary" name="decision" value="approve">Approve</button>
<button name="decision" value="cancel">Cancel</button>
<button name="decision" value="time_out">Let it time out</button>
</form>"""


def address(base: str, order: Order) -> str:
    """Return the address where the shopper of this order pays."""
    return f"{base}/wallet/{order.order_id}"


def routes(gateway: LocalGateway) -> list[Route]:
    """Return the routes of the wallet page, and a list of orders at `/`."""

    async def index(_: Request) -> Response:
        newest = gateway.orders()[:-51:-1]
        items = "".join(
            f'<li><a href="/wallet/{escape(order.order_id)}">{escape(order.merchant_order_id)}</a>,'
            f" {escape(order.currency)} {escape(order.amount)}, {escape(order.status)}</li>"
            for order in newest
        )
        return page("Orders of this sandbox", f"<ul>{items}</ul>" if items else "<p>No orders yet.</p>")

    async def show(request: Request) -> Response:
        try:
            order = gateway.order(request.path_params["order_id"])
        except UnknownOrder:
            return page("No such order", "<p>This sandbox has no such order.</p>", 404)
        return _order_page(order)

    async def decide(request: Request) -> Response:
        order_id = request.path_params["order_id"]
        decision = parse_qs((await request.body()).decode("ascii", "replace")).get("decision", [])
        try:
            if decision == ["approve"]:
                gateway.pay(order_id)
            elif decision in (["cancel"], ["time_out"]):
                gateway.close_order(order_id)
            else:
                return page("Not understood", "<p>Choose one of the buttons of the order's page.</p>", 400)
        except UnknownOrder:
            return page("No such order", "<p>This sandbox has no such order.</p>", 404)
        except NotPossible:
            return _order_page(gateway.order(order_id), 409)
        # Relative, so that it holds behind a proxy; 303, so that reloading the result does not send the form again.
        return RedirectResponse(f"/wallet/{order_id}", 303)

    return [
        Route("/", index, methods=["GET"]),
        Route("/wallet/{order_id}", show, methods=["GET"]),
        Route("/wallet/{order_id}", decide, methods=["POST"]),
    ]


def _order_page(order: Order, status: int = 200) -> Response:
    wallet = _WALLETS.get(order.wallet, order.wallet)
    known = facts(
        ("Amount", f'<span class="amount">{escape(order.currency)} {escape(order.amount)}</span>'),
        ("For", escape(order.description)),
        ("Merchant order", escape(order.merchant_order_id)),
        ("Order", escape(order.order_id)),
        ("Created", escape(hong_kong_nanoseconds(order.created))),
        ("Paid", escape(hong_kong_nanoseconds(order.paid)) if order.paid is not None else ""),
    )
    state = _STATES.get(order.status, f"The order is {order.status}.")
    already = "This order was closed before. " if status == 409 else ""
    return page(
        f"Pay with {wallet}",
        f'{known}\n<p role="status">{already}{escape(state)}</p>\n' + (_BUTTONS if order.status == "PENDING" else ""),
        status,
    )
