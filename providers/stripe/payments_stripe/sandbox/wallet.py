"""The page on which the shopper pays: it plays Alipay's page, what WeChat's code leads to, and the hosted Checkout."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from html import escape
from typing import Final
from urllib.parse import parse_qs, quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from . import currencies, moves
from .gateway import LocalGateway, order_of
from .loopback import is_loopback
from .records import Intent, Session
from .refusals import NotPossible, UnknownCharge

__all__ = ["routes"]

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
    # A form may lead back to a shop on this machine, and nowhere else.
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none';"
    " frame-ancestors 'none'; form-action 'self' http://127.0.0.1:* http://localhost:*",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with that, browsers send `Origin: null` with the page's own form.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_NAMES: Final = {"alipay": "Alipay", "wechat_pay": "WeChat Pay", "card": "a card"}
_STATES: Final = {
    "open": "Waiting for you.",
    "requires_action": "Waiting for you.",
    "requires_payment_method": "The last attempt failed. Nothing was paid.",
    "requires_capture": "Authorized. The shop will take the money later.",
    "succeeded": "Paid. You can go back to the shop.",
    "complete": "Done. You can go back to the shop.",
    "canceled": "Cancelled. Nothing was paid.",
    "expired": "Cancelled or timed out. Nothing was paid.",
}
_BUTTONS: Final = """<form method="post">
<button class="primary" name="decision" value="approve">Approve</button>
<button name="decision" value="decline">Decline</button>
<button name="decision" value="cancel">Cancel</button>
<button name="decision" value="time_out">Let it time out</button>
</form>"""
_DECISIONS: Final[dict[str, Callable[[LocalGateway, str], None]]] = {
    "approve": moves.pay,
    "decline": lambda gateway, found: moves.decline(gateway, found, "card_declined", "generic_decline"),
    "cancel": moves.cancel,
    "time_out": moves.time_out,
}


def routes(gateway: LocalGateway) -> list[Route]:
    """The shopper's page, and a list of charges at `/` for whoever opens the sandbox's address."""

    async def index(_: Request) -> Response:
        with gateway.lock:
            newest = gateway.charges()[:-51:-1]
            items = "".join(
                f'<li><a href="/wallet/{escape(charge.id)}">{escape(order_of(charge) or charge.id)}</a>,'
                f" {_amount(charge)}, {escape(charge.status)}</li>"
                for charge in newest
            )
        return _page("Charges of this sandbox", f"<ul>{items}</ul>" if items else "<p>No charges yet.</p>")

    async def show(request: Request) -> Response:
        with gateway.lock:
            moves.tick(gateway)
            try:
                return _charge_page(moves.charge_of(gateway, request.path_params["id"]))
            except UnknownCharge:
                return _page("No such payment", "<p>This sandbox has no such payment.</p>", 404)

    async def decide(request: Request) -> Response:
        found = str(request.path_params["id"])
        decision = parse_qs((await request.body()).decode("ascii", "replace")).get("decision", [])
        act = _DECISIONS.get(decision[0]) if len(decision) == 1 else None
        if act is None:
            return _page("Not understood", "<p>Choose one of the buttons of the payment's page.</p>", 400)
        with gateway.lock:
            try:
                act(gateway, found)
                back = _way_back(moves.charge_of(gateway, found))
            except UnknownCharge:
                return _page("No such payment", "<p>This sandbox has no such payment.</p>", 404)
            except NotPossible:
                return _charge_page(moves.charge_of(gateway, found), 409)
        # 303, so that reloading the result does not send the form again. A shop elsewhere is shown and not opened.
        return RedirectResponse(back if is_loopback(back) else f"/wallet/{quote(found)}", 303)

    return [
        Route("/", index, methods=["GET"]),
        Route("/wallet/{id}", show, methods=["GET"]),
        Route("/wallet/{id}", decide, methods=["POST"]),
    ]


def _way_back(charge: Session | Intent) -> str:
    """Where the shopper goes next; `""` where the shop has said nothing, or the page still waits."""
    if isinstance(charge, Session):
        if charge.status == "open":
            return ""
        done = charge.status == "complete"
        return charge.success_url.replace("{CHECKOUT_SESSION_ID}", charge.id) if done else charge.cancel_url
    if not charge.return_url:
        return ""
    added = urlencode(
        {
            "payment_intent": charge.id,
            "payment_intent_client_secret": charge.client_secret,
            "redirect_status": "succeeded" if charge.status in ("succeeded", "requires_capture") else "failed",
        }
    )
    address, mark, fragment = charge.return_url.partition("#")
    return f"{address}{'&' if '?' in address else '?'}{added}{mark}{fragment}"


def _amount(charge: Session | Intent) -> str:
    return escape(str(currencies.money(charge.amount, charge.currency)))


def _charge_page(charge: Session | Intent, status: int = 200) -> Response:
    method = charge.method if isinstance(charge, Intent) else "card"
    rows = [
        ("Amount", f'<span class="amount">{_amount(charge)}</span>'),
        ("For", escape(charge.name if isinstance(charge, Session) else charge.description)),
        ("Merchant order", escape(order_of(charge))),
        ("Payment", escape(charge.id)),
    ]
    facts = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows if value)
    waits = charge.status in ("open", "requires_action")
    state = _STATES.get(charge.status, f"The payment is {charge.status}.")
    already = "This payment was closed before. " if status == 409 else ""
    back = "" if waits else _way_back(charge)
    link = f'<p><a href="{escape(back)}" rel="noreferrer">Back to the shop</a></p>' if back else ""
    return _page(
        f"Pay with {_NAMES.get(method, method)}",
        f'<dl>{facts}</dl>\n<p role="status">{already}{escape(state)}</p>\n' + (_BUTTONS if waits else link),
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
