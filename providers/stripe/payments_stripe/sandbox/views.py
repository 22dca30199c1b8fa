"""Show the objects as the API does: related objects are ids, or expanded on request."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from . import objects
from .gateway import LocalGateway
from .records import Attempt, Intent, Refund, Session
from .refusals import invalid

__all__ = ["EXPANDABLE", "attempt", "intent", "page_address", "read_expand", "refund", "session"]

# docs.stripe.com/api/expanding_objects: at most four levels deep; only these paths exist here.
EXPANDABLE: Final = {
    "payment_intent": ("latest_charge", "latest_charge.payment_intent"),
    "session": ("payment_intent", "payment_intent.latest_charge"),
    "refund": ("payment_intent", "payment_intent.latest_charge", "charge"),
}


def read_expand(values: Mapping[str, Any], kind: str, prefix: str = "") -> frozenset[str]:
    """Return the paths of `expand` with their prefixes; `prefix` is `data.` for a list."""
    asked = values.get("expand", [])
    if not isinstance(asked, list) or not all(isinstance(path, str) for path in asked):
        raise invalid("Invalid array", param="expand")
    found: set[str] = set()
    for path in asked:
        inner = path.removeprefix(prefix)
        if inner not in EXPANDABLE[kind] or not path.startswith(prefix):
            raise invalid(f"This property cannot be expanded ({path[:64]}).", param="expand")
        steps = inner.split(".")
        found |= {".".join(steps[:length]) for length in range(1, len(steps) + 1)}
    return frozenset(found)


def intent(gateway: LocalGateway, made: Intent, expand: Collection[str] = ()) -> dict[str, Any]:
    """Show a PaymentIntent."""
    latest: Any = made.latest or None
    if latest and "latest_charge" in expand:
        latest = attempt(gateway, gateway.attempts[latest])
    return objects.intent(made, _next_action(gateway, made), latest)


def attempt(gateway: LocalGateway, made: Attempt) -> dict[str, Any]:
    """Show a Charge. A released authorization counts as refunded, as at Stripe."""
    refunded = sum(each.amount for each in gateway.refunds.values() if each.charge == made.id and each.counts)
    return objects.attempt(made, gateway.intents[made.intent], refunded)


def session(gateway: LocalGateway, made: Session, expand: Collection[str] = ()) -> dict[str, Any]:
    """Show a Checkout Session."""
    paid_by: Any = made.intent or None
    if paid_by and "payment_intent" in expand:
        paid_by = intent(gateway, gateway.intents[paid_by], _below("payment_intent", expand))
    return objects.session(made, page_address(gateway, made.id), paid_by)


def refund(gateway: LocalGateway, made: Refund, expand: Collection[str] = ()) -> dict[str, Any]:
    """Show a Refund."""
    shown = objects.refund(made)
    if "payment_intent" in expand:
        shown["payment_intent"] = intent(gateway, gateway.intents[made.intent], _below("payment_intent", expand))
    if "charge" in expand:
        shown["charge"] = attempt(gateway, gateway.attempts[made.charge])
    return shown


def page_address(gateway: LocalGateway, charge: str) -> str:
    """Return the address where the shopper of this PaymentIntent or Checkout Session pays."""
    return f"{gateway.base_url}/wallet/{charge}"


def _next_action(gateway: LocalGateway, made: Intent) -> dict[str, Any] | None:
    if made.status != "requires_action":
        return None
    url = page_address(gateway, made.session or made.id)
    if made.method == "alipay":
        kind, inner = "alipay_handle_redirect", {"native_data": None, "native_url": None}
        return {"type": kind, kind: {**inner, "return_url": made.return_url or None, "url": url}}
    if made.method == "wechat_pay":
        kind = "wechat_pay_display_qr_code"
        # As in Stripe's test mode, the code leads to a page instead of WeChat.
        data = {"data": url, "hosted_instructions_url": url, "image_data_url": _NO_IMAGE}
        return {"type": kind, kind: {**data, "image_url_png": f"{url}?png", "image_url_svg": f"{url}?svg"}}
    if made.return_url:
        return {"type": "redirect_to_url", "redirect_to_url": {"return_url": made.return_url, "url": url}}
    return {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url}}


_NO_IMAGE: Final = "data:image/png;base64,"


def _below(step: str, expand: Collection[str]) -> frozenset[str]:
    return frozenset(path.removeprefix(f"{step}.") for path in expand if path.startswith(f"{step}."))
