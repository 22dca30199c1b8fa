"""The page that plays the shopper's wallet: approve, cancel, or let it time out."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from .gateway import LocalGateway, NotPossible, UnknownOrder
from .records import Order, hong_kong_nanoseconds

__all__ = ["address", "routes"]

_STYLE: Final = """
body { font: 1.1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #f4f5f7; margin: 0 }
main { max-width: 26rem; margin: 2rem auto; padding: 1.5rem; background: #fff; border: 1px solid #d0d3d9;
  border-radius: .75rem }
h1 { font-size: 1.3rem; margin: 0 0 1rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0 0 1.5rem }
dt { color: #54585f }
dd { margin: 0; overflow-wrap: anywhere }
.amount { font-size: 1.6rem; font-weight: 600 }
button { display: block; width: 100%; font: inherit; padding: .75rem; margin: .5rem 0; border-radius: .5rem;
  border: 2px solid #0b57d0; background: #fff; color: #0b57d0; cursor: pointer }
button.primary { background: #0b57d0; color: #fff }
button:focus-visible, a:focus-visible { outline: 3px solid #f9ab00; outline-offset: 2px }
[role=status] { font-weight: 600 }
footer { color: #54585f; font-size: .9rem }
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with that, browsers send `Origin: null` with the page's own form.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

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
    """Where the shopper of this order pays."""
    return f"{base}/wallet/{order.order_id}"


def routes(gateway: LocalGateway) -> list[Route]:
    """The wallet's page, and a list of orders at `/` for whoever opens the sandbox's address."""

    async def index(_: Request) -> Response:
        newest = gateway.orders()[:-51:-1]
        items = "".join(
            f'<li><a href="/wallet/{escape(order.order_id)}">{escape(order.merchant_order_id)}</a>,'
            f" {escape(order.currency)} {escape(order.amount)}, {escape(order.status)}</li>"
            for order in newest
        )
        return _page("Orders of this sandbox", f"<ul>{items}</ul>" if items else "<p>No orders yet.</p>")

    async def show(request: Request) -> Response:
        try:
            order = gateway.order(request.path_params["order_id"])
        except UnknownOrder:
            return _page("No such order", "<p>This sandbox has no such order.</p>", 404)
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
                return _page("Not understood", "<p>Choose one of the buttons of the order's page.</p>", 400)
        except UnknownOrder:
            return _page("No such order", "<p>This sandbox has no such order.</p>", 404)
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
    rows = [
        ("Amount", f'<span class="amount">{escape(order.currency)} {escape(order.amount)}</span>'),
        ("For", escape(order.description)),
        ("Merchant order", escape(order.merchant_order_id)),
        ("Order", escape(order.order_id)),
        ("Created", escape(hong_kong_nanoseconds(order.created))),
    ]
    if order.paid is not None:
        rows.append(("Paid", escape(hong_kong_nanoseconds(order.paid))))
    facts = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    state = _STATES.get(order.status, f"The order is {order.status}.")
    already = "This order was closed before. " if status == 409 else ""
    return _page(
        f"Pay with {wallet}",
        f'<dl>{facts}</dl>\n<p role="status">{already}{escape(state)}</p>\n'
        + (_BUTTONS if order.status == "PENDING" else ""),
        status,
    )


def _page(title: str, content: str, status: int = 200) -> Response:
    return HTMLResponse(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} (sandbox)</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{content}
<footer><p>A sandbox on this machine: no money moves here.</p></footer>
</main>
</body>
</html>
""",
        status,
        _HEADERS,
    )
