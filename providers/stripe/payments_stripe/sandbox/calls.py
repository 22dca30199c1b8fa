"""Read and check each documented call's parameters, then run it.

Written from docs.stripe.com/api alone, without the provider's `wire` module on purpose: a second reading of the same
pages finds a mistake that a shared one would hide. Each call takes the parameters below and refuses all others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from . import currencies, payments, views
from .gateway import LocalGateway
from .payments import invalid
from .records import Intent, Refund, Session

__all__ = ["read_form", "run"]

Form = Mapping[str, str]

# Patterns of values. The amount: "supports up to eight digits"; metadata: docs.stripe.com/metadata.
_UNITS: Final = "[1-9][0-9]{0,7}"
_CURRENCY: Final = "[a-z]{3}"
_URL: Final = r"https?://[^\s/?#]+\S*"
_TEXT: Final = ".{1,1000}"
_KEY: Final = re.compile(r"[^\[\]]{1,40}\]")
_LONGEST_VALUE: Final = 500
_LIFETIME: Final = 24 * 3600  # /api/checkout/sessions/create, `expires_at`: "By default … 24 hours from creation"
_WECHAT: Final = "payment_method_options[wechat_pay][client]"
_PRICE: Final = "line_items[][price_data]"


@dataclass(frozen=True)
class _Call:
    """A documented call: the patterns of its required and its other parameters, and where it takes metadata."""

    act: Callable[..., Mapping[str, Any]]
    required: Form = field(default_factory=dict)
    optional: Form = field(default_factory=dict)
    metadata: tuple[str, ...] = ()

    def check(self, form: Form) -> None:
        """Refuse a parameter by its name, as Stripe does."""
        for name in self.required:
            if name not in form:
                raise invalid(f"Missing required param: {name}.", "parameter_missing", name)
        patterns = {**self.required, **self.optional}
        for name, value in form.items():
            if name in patterns:
                if re.fullmatch(patterns[name], value, re.DOTALL) is None:
                    code = "url_invalid" if name.endswith("_url") else ""
                    raise invalid(f"Invalid {name}", "parameter_invalid_integer" if "amount" in name else code, name)
            elif not self._is_metadata(name):
                raise invalid(f"Received unknown parameter: {name}", "parameter_unknown", name)
            elif len(value) > _LONGEST_VALUE:
                raise invalid(f"Metadata values have at most {_LONGEST_VALUE} characters", param=name)

    def _is_metadata(self, name: str) -> bool:
        prefix, _, key = name.rpartition("[")
        return prefix in self.metadata and _KEY.fullmatch(key) is not None


def read_form(encoded: str) -> dict[str, str]:
    """Decode a form or a query; every `[0]` becomes `[]`, because no list here has two items."""
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, strict_parsing=bool(encoded), errors="strict")
    except ValueError:
        raise invalid("The request's parameters are not form-encoded UTF-8.") from None
    form = {name.replace("[0]", "[]"): value for name, value in pairs}
    if len(form) != len(pairs):
        raise invalid("A parameter was sent twice.")
    return form


def run(gateway: LocalGateway, method: str, path: str, form: Form) -> Mapping[str, Any]:
    """Execute a call, and return the object to answer."""
    for (wanted, pattern), call in _CALLS.items():
        match = re.fullmatch(pattern.replace("ID", "([A-Za-z0-9_]{1,255})"), path)
        if match is not None and wanted == method:
            call.check(form)
            return call.act(gateway, form, *match.groups())
    raise invalid(f"Unrecognized request URL ({method}: {path[:64]}).", status=404)


def _check_amount(count: int, currency: str, param: str) -> int:
    if not currencies.supports("card", currency):
        raise invalid(f"Invalid currency: {currency.lower()}", param="currency")
    if not currencies.is_even(count, currency):
        # The code is what support.stripe.com quotes for ISK; that the other currencies answer it too is assumed.
        raise invalid("Invalid amount.", "invalid_charge_amount_no_decimal_compatible", param)
    return count


def _metadata(form: Form, prefix: str = "metadata") -> dict[str, str]:
    start = f"{prefix}["
    return {name[len(start) : -1]: value for name, value in form.items() if name.startswith(start) and value}


def _missing(kind: str, found: str, param: str = "id") -> Exception:
    return invalid(f"No such {kind}: '{found[:64]}'", "resource_missing", param, status=404)


# PaymentIntents.


def _create_intent(gateway: LocalGateway, form: Form) -> Mapping[str, Any]:
    currency, method = form["currency"].upper(), form["payment_method_data[type]"]
    amount = _check_amount(int(form["amount"]), currency, "amount")
    # Incompatible types are dropped silently, and the method is then missing (docs.stripe.com/changelog/endive).
    if form["allowed_payment_method_types[]"] != method or not currencies.supports(method, currency):
        raise invalid(f"{method} is not allowed here.", "payment_intent_incompatible_payment_method", "payment_method")
    if method == "wechat_pay" and _WECHAT not in form:
        raise invalid(f"Missing required param: {_WECHAT}.", "parameter_missing", _WECHAT)
    description, return_url = form.get("description", ""), form["return_url"]
    intent = gateway.new_intent(amount, currency, method, _metadata(form), description, return_url=return_url)
    if gateway.declines:
        decline_code = gateway.declines.popleft()
        payments.decline(gateway, intent, "card_declined", decline_code)
        raise payments.card_error(gateway, intent, decline_code)
    payments.tell(gateway, intent, "payment_intent.requires_action")
    return views.intent(gateway, intent)


def _intent(gateway: LocalGateway, found: str, param: str = "intent") -> Intent:
    if found not in gateway.intents:
        raise _missing("payment_intent", found, param)
    return gateway.intents[found]


def _get_intent(gateway: LocalGateway, form: Form, found: str) -> Mapping[str, Any]:
    return views.intent(gateway, _intent(gateway, found), expand="expand[]" in form)


def _capture(gateway: LocalGateway, form: Form, found: str) -> Mapping[str, Any]:
    intent = _intent(gateway, found)
    payments.capture(gateway, intent, _check_amount(int(form["amount_to_capture"]), intent.currency, "amount"))
    return views.intent(gateway, intent)


def _cancel(gateway: LocalGateway, _: Form, found: str) -> Mapping[str, Any]:
    intent = _intent(gateway, found)
    # A session's is to be expired instead, unless its money is held; that it has the same code is assumed.
    if intent.status not in payments.CANCELLABLE or (intent.session and intent.status != "requires_capture"):
        raise payments.unexpected(intent.status, "canceled")
    payments.close(gateway, intent)
    return views.intent(gateway, intent)


# Checkout Sessions.


def _create_session(gateway: LocalGateway, form: Form) -> Mapping[str, Any]:
    currency = form[f"{_PRICE}[currency]"].upper()
    total = int(form[f"{_PRICE}[unit_amount]"]) * int(form["line_items[][quantity]"])
    amount, now = _check_amount(total, currency, "line_items"), gateway.now()
    session = Session(
        gateway.new_id("objects", "cs_test_a1", 56),
        amount,
        currency,
        now,
        now + _LIFETIME,
        form,
        _metadata(form),
        _metadata(form, "payment_intent_data[metadata]"),
    )
    gateway.sessions[session.id] = session
    return views.session(gateway, session)


def _session(gateway: LocalGateway, found: str) -> Session:
    if found not in gateway.sessions:
        raise _missing("checkout.session", found, "session")
    return gateway.sessions[found]


def _get_session(gateway: LocalGateway, form: Form, found: str) -> Mapping[str, Any]:
    return views.session(gateway, _session(gateway, found), expand="expand[]" in form)


def _expire(gateway: LocalGateway, _: Form, found: str) -> Mapping[str, Any]:
    session = _session(gateway, found)
    if session.status != "open":
        # The status of the refusal is documented, its code is not.
        raise invalid(f"A session that is {session.status} cannot be expired.", kept=True)
    payments.end(gateway, session)
    return views.session(gateway, session)


# Refunds: cards at once, wallets later (docs.stripe.com/payments/alipay, /payments/wechat-pay).


def _create_refund(gateway: LocalGateway, form: Form) -> Mapping[str, Any]:
    intent = _intent(gateway, form["payment_intent"], "payment_intent")
    if intent.status != "succeeded":
        raise invalid(f"A PaymentIntent that is {intent.status} cannot be refunded.", kept=True)
    left = intent.received - views.refunded(gateway, intent, automatic=False)
    if not left:
        raise invalid("The charge has already been refunded.", "charge_already_refunded", kept=True)
    amount = _check_amount(int(form["amount"]), intent.currency, "amount")
    if amount > left:
        # Stripe answers no code with this; `amount_too_large` is documented for amounts, and not for this one.
        raise invalid(f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount")
    status = "succeeded" if intent.method == "card" else "pending"
    metadata, reason = _metadata(form), form.get("reason")
    return views.refund(payments.give_back(gateway, intent, amount, status=status, metadata=metadata, reason=reason))


def _get_refund(gateway: LocalGateway, _: Form, found: str) -> Mapping[str, Any]:
    if found not in gateway.refunds:
        raise _missing("refund", found)
    return views.refund(gateway.refunds[found])


def _list_refunds(gateway: LocalGateway, form: Form) -> Mapping[str, Any]:
    """Return a page, newest first, after the refund that `starting_after` names (docs.stripe.com/api/pagination)."""
    intent = _intent(gateway, form["payment_intent"], "payment_intent")
    newest: list[Refund] = [each for each in reversed(gateway.refunds.values()) if each.intent is intent]
    after, limit = form.get("starting_after"), int(form.get("limit", 10))
    if after:
        ids = [each.id for each in newest]
        if after not in ids:
            raise invalid(f"No such refund: '{after[:64]}'", "resource_missing", "starting_after")
        newest = newest[ids.index(after) + 1 :]
    return {"object": "list", "data": [*map(views.refund, newest[:limit])], "has_more": len(newest) > limit}


_CALLS: Final = {
    ("POST", "/v1/payment_intents"): _Call(
        _create_intent,
        {
            "amount": _UNITS,
            "currency": _CURRENCY,
            "confirm": "true",
            "payment_method_data[type]": "alipay|wechat_pay",
            "allowed_payment_method_types[]": "alipay|wechat_pay|card",
            "return_url": _URL,
        },
        {"description": _TEXT, _WECHAT: "web|android|ios"},
        ("metadata",),
    ),
    ("GET", "/v1/payment_intents/ID"): _Call(_get_intent, optional={"expand[]": "latest_charge"}),
    ("POST", "/v1/payment_intents/ID/capture"): _Call(_capture, {"amount_to_capture": _UNITS}),
    ("POST", "/v1/payment_intents/ID/cancel"): _Call(_cancel),
    ("POST", "/v1/checkout/sessions"): _Call(
        _create_session,
        {
            "mode": "payment",
            "success_url": _URL,
            "line_items[][quantity]": _UNITS,
            f"{_PRICE}[currency]": _CURRENCY,
            f"{_PRICE}[unit_amount]": _UNITS,
            f"{_PRICE}[product_data][name]": _TEXT,
        },
        {
            "allowed_payment_method_types[]": "card",
            "cancel_url": _URL,
            "client_reference_id": ".{1,200}",
            "customer_email": "[^@ ]+@[^@ ]+",
            "adaptive_pricing[enabled]": "true|false",
            "payment_intent_data[description]": _TEXT,
            "payment_intent_data[capture_method]": "automatic|automatic_async|manual",
        },
        ("metadata", "payment_intent_data[metadata]"),
    ),
    ("GET", "/v1/checkout/sessions/ID"): _Call(_get_session, optional={"expand[]": r"payment_intent\.latest_charge"}),
    ("POST", "/v1/checkout/sessions/ID/expire"): _Call(_expire),
    ("POST", "/v1/refunds"): _Call(
        _create_refund,
        {"payment_intent": ".+", "amount": _UNITS},
        {"reason": "duplicate|fraudulent|requested_by_customer"},
        ("metadata",),
    ),
    ("GET", "/v1/refunds"): _Call(
        _list_refunds, {"payment_intent": ".+"}, {"limit": "[1-9][0-9]?|100", "starting_after": ".+"}
    ),
    ("GET", "/v1/refunds/ID"): _Call(_get_refund),
}
