"""Play the page where the shopper pays: Alipay's page, the target of WeChat's code, and the hosted Checkout."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Final
from urllib.parse import parse_qs, quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from payments_core.testing.courier import is_loopback
from payments_core.testing.sandbox import NotPossible, UnknownCharge
from payments_core.testing.sandbox_page import facts, page

from . import currencies, payments
from .gateway import LocalGateway, order_of
from .records import Intent, Session

__all__ = ["routes"]

# A form may lead back only to a shop on this machine.
_SHOPS: Final = ("http://127.0.0.1:*", "http://localhost:*")
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
_DECISIONS: Final[dict[str, Callable[[LocalGateway, str], object]]] = {
    "approve": payments.pay,
    "decline": payments.decline_try,
    "cancel": payments.cancel,
    "time_out": payments.time_out,
}


def routes(gateway: LocalGateway) -> list[Route]:
    """Return the routes of the shopper's page, and a list of charges at `/`."""

    async def index(_: Request) -> Response:
        with gateway.lock:
            newest = gateway.charges()[:-51:-1]
            items = "".join(
                f'<li><a href="/wallet/{escape(charge.id)}">{escape(order_of(charge) or charge.id)}</a>,'
                f" {_amount(charge)}, {escape(charge.status)}</li>"
                for charge in newest
            )
        return page("Charges of this sandbox", f"<ul>{items}</ul>" if items else "<p>No charges yet.</p>")

    async def show(request: Request) -> Response:
        with gateway.lock:
            payments.tick(gateway)
            try:
                return _charge_page(gateway.charge(request.path_params["id"]))
            except UnknownCharge:
                return page("No such payment", "<p>This sandbox has no such payment.</p>", 404)

    async def decide(request: Request) -> Response:
        found = str(request.path_params["id"])
        decision = parse_qs((await request.body()).decode("ascii", "replace")).get("decision", [])
        act = _DECISIONS.get(decision[0]) if len(decision) == 1 else None
        if act is None:
            return page("Not understood", "<p>Choose one of the buttons of the payment's page.</p>", 400)
        with gateway.lock:
            try:
                act(gateway, found)
                back = _return_url(gateway.charge(found))
            except UnknownCharge:
                return page("No such payment", "<p>This sandbox has no such payment.</p>", 404)
            except NotPossible:
                return _charge_page(gateway.charge(found), 409)
        # 303, so that reloading the result doesn't resend the form. A shop elsewhere is shown but not opened.
        return RedirectResponse(back if is_loopback(back) else f"/wallet/{quote(found)}", 303)

    return [
        Route("/", index, methods=["GET"]),
        Route("/wallet/{id}", show, methods=["GET"]),
        Route("/wallet/{id}", decide, methods=["POST"]),
    ]


def _return_url(charge: Session | Intent) -> str:
    """Return the shopper's next address; `""` if the shop gave none, or the page still waits."""
    if isinstance(charge, Session):
        if charge.status == "open":
            return ""
        done = charge.status == "complete"
        form = charge.form
        return form["success_url"].replace("{CHECKOUT_SESSION_ID}", charge.id) if done else form.get("cancel_url", "")
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
    if isinstance(charge, Session):
        method, wanted = "card", charge.form["line_items[][price_data][product_data][name]"]
    else:
        method, wanted = charge.method, charge.description
    known = facts(
        ("Amount", f'<span class="amount">{_amount(charge)}</span>'),
        ("For", escape(wanted)),
        ("Merchant order", escape(order_of(charge))),
        ("Payment", escape(charge.id)),
    )
    waits = charge.status in ("open", "requires_action")
    state = _STATES.get(charge.status, f"The payment is {charge.status}.")
    already = "This payment was closed before. " if status == 409 else ""
    back = "" if waits else _return_url(charge)
    link = f'<p><a href="{escape(back)}" rel="noreferrer">Back to the shop</a></p>' if back else ""
    return page(
        f"Pay with {_NAMES.get(method, method)}",
        f'{known}\n<p role="status">{already}{escape(state)}</p>\n' + (_BUTTONS if waits else link),
        status,
        leads_to=_SHOPS,
    )
