"""Find the call for a method and a path, and read its parameters. Running it returns the object to answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from . import checkout, endpoints, objects, payments, refunds, rules, sessions, views
from .fields import Fields
from .gateway import LocalGateway
from .records import Intent, Session
from .refusals import Refused, invalid, missing

__all__ = ["Run", "find"]

Run = Callable[[], Mapping[str, Any]]
Found = tuple[Run, tuple[str, ...]]
Values = Mapping[str, Any]

T = TypeVar("T")

_ID: Final = "([A-Za-z0-9_]{1,255})"


def find(gateway: LocalGateway, method: str, path: str, values: Values) -> Found:
    """Return the call to run, and the parameters of Stripe's that have no effect here."""
    for wanted, pattern, call in _CALLS:
        match = re.fullmatch(pattern, path)
        if match is not None and wanted == method:
            return call(gateway, values, *match.groups())
    raise invalid(f"Unrecognized request URL ({method}: {path[:64]}).", status=404)


# PaymentIntents.


def _create_intent(gateway: LocalGateway, form: Values) -> Found:
    asked, expand = rules.read_intent(form), views.read_expand(form, "payment_intent")
    ignored = asked.ignored
    return lambda: views.intent(gateway, payments.create(gateway, asked), expand), ignored


def _get_intent(gateway: LocalGateway, query: Values, found: str) -> Found:
    ignored = Fields(query, ("expand",), ("client_secret",)).ignored
    expand = views.read_expand(query, "payment_intent")
    return lambda: views.intent(gateway, _intent(gateway, found), expand), ignored


def _list_intents(gateway: LocalGateway, query: Values) -> Found:
    page = rules.read_page(query, (), ("created", "customer", "customer_account", "ending_before"))
    expand = views.read_expand(query, "payment_intent", "data.")

    def run() -> Values:
        newest = list(reversed(gateway.intents.values()))
        items, more = _page(newest, page, "payment_intent")
        return objects.listed(
            "/v1/payment_intents", items, lambda each: views.intent(gateway, each, expand), has_more=more
        )

    return run, ()


def _confirm(gateway: LocalGateway, form: Values, found: str) -> Found:
    return _on_intent(gateway, form, found, rules.read_confirm(form), payments.confirm)


def _capture(gateway: LocalGateway, form: Values, found: str) -> Found:
    return _on_intent(gateway, form, found, rules.read_capture(form), payments.capture)


def _cancel(gateway: LocalGateway, form: Values, found: str) -> Found:
    return _on_intent(gateway, form, found, rules.read_cancel(form), payments.cancel)


def _on_intent(
    gateway: LocalGateway, form: Values, found: str, asked: T, act: Callable[[LocalGateway, Intent, T], None]
) -> Found:
    expand = views.read_expand(form, "payment_intent")

    def run() -> Values:
        intent = _intent(gateway, found)
        act(gateway, intent, asked)
        return views.intent(gateway, intent, expand)

    return run, getattr(asked, "ignored", ())


def _intent(gateway: LocalGateway, found: str) -> Intent:
    if found not in gateway.intents:
        raise missing("payment_intent", found, param="intent")
    return gateway.intents[found]


# Checkout Sessions.


def _create_session(gateway: LocalGateway, form: Values) -> Found:
    asked, expand = checkout.read_session(form), views.read_expand(form, "session")
    return lambda: views.session(gateway, sessions.create(gateway, asked), expand), asked.ignored


def _get_session(gateway: LocalGateway, query: Values, found: str) -> Found:
    Fields(query, ("expand",))
    expand = views.read_expand(query, "session")
    return lambda: views.session(gateway, _session(gateway, found), expand), ()


def _list_sessions(gateway: LocalGateway, query: Values) -> Found:
    page = rules.read_page(query, ("payment_intent", "status"), ("created", "customer", "ending_before"))
    expand = views.read_expand(query, "session", "data.")

    def run() -> Values:
        wanted = {"intent" if name == "payment_intent" else name: value for name, value in page.filters.items()}
        newest = [
            each
            for each in reversed(gateway.sessions.values())
            if all(getattr(each, name) == value for name, value in wanted.items())
        ]
        items, more = _page(newest, page, "checkout.session")
        return objects.listed(
            "/v1/checkout/sessions", items, lambda each: views.session(gateway, each, expand), has_more=more
        )

    return run, ()


def _expire(gateway: LocalGateway, form: Values, found: str) -> Found:
    Fields(form, ("expand",))
    expand = views.read_expand(form, "session")

    def run() -> Values:
        session = _session(gateway, found)
        sessions.expire(gateway, session)
        return views.session(gateway, session, expand)

    return run, ()


def _session(gateway: LocalGateway, found: str) -> Session:
    if found not in gateway.sessions:
        raise missing("checkout.session", found, param="session")
    return gateway.sessions[found]


# Refunds.


def _create_refund(gateway: LocalGateway, form: Values) -> Found:
    asked, expand = rules.read_refund(form), views.read_expand(form, "refund")
    return lambda: views.refund(gateway, refunds.create(gateway, asked), expand), asked.ignored


def _get_refund(gateway: LocalGateway, query: Values, found: str) -> Found:
    Fields(query, ("expand",))
    expand = views.read_expand(query, "refund")

    def run() -> Values:
        if found not in gateway.refunds:
            raise missing("refund", found)
        return views.refund(gateway, gateway.refunds[found], expand)

    return run, ()


def _list_refunds(gateway: LocalGateway, query: Values) -> Found:
    page = rules.read_page(query, ("payment_intent", "charge"), ("created", "ending_before"))
    expand = views.read_expand(query, "refund", "data.")

    def run() -> Values:
        intent = page.filters.get("payment_intent", "")
        if intent and intent not in gateway.intents:
            raise missing("payment_intent", intent, param="payment_intent")
        wanted = {"intent" if name == "payment_intent" else name: value for name, value in page.filters.items()}
        newest = [
            each
            for each in reversed(gateway.refunds.values())
            if all(getattr(each, name) == value for name, value in wanted.items())
        ]
        items, more = _page(newest, page, "refund")
        return objects.listed("/v1/refunds", items, lambda each: views.refund(gateway, each, expand), has_more=more)

    return run, ()


def _page(newest: list[Any], page: rules.Page, kind: str) -> tuple[list[Any], bool]:
    """Return the page after the object that `starting_after` names (docs.stripe.com/api/pagination)."""
    if page.starting_after:
        ids = [each.id for each in newest]
        if page.starting_after not in ids:
            raise _no_cursor(kind, page.starting_after)
        newest = newest[ids.index(page.starting_after) + 1 :]
    return newest[: page.limit], len(newest) > page.limit


def _no_cursor(kind: str, found: str) -> Refused:
    refused = missing(kind, found, param="starting_after")
    refused.status = 400
    return refused


# Webhook endpoints.


def _create_endpoint(gateway: LocalGateway, form: Values) -> Found:
    asked = endpoints.read(form)
    return lambda: endpoints.create(gateway, asked), asked.ignored


_CALLS: Final[tuple[tuple[str, str, Callable[..., Found]], ...]] = (
    ("POST", "/v1/payment_intents", _create_intent),
    ("GET", "/v1/payment_intents", _list_intents),
    ("GET", f"/v1/payment_intents/{_ID}", _get_intent),
    ("POST", f"/v1/payment_intents/{_ID}/confirm", _confirm),
    ("POST", f"/v1/payment_intents/{_ID}/capture", _capture),
    ("POST", f"/v1/payment_intents/{_ID}/cancel", _cancel),
    ("POST", "/v1/checkout/sessions", _create_session),
    ("GET", "/v1/checkout/sessions", _list_sessions),
    ("GET", f"/v1/checkout/sessions/{_ID}", _get_session),
    ("POST", f"/v1/checkout/sessions/{_ID}/expire", _expire),
    ("POST", "/v1/refunds", _create_refund),
    ("GET", "/v1/refunds", _list_refunds),
    ("GET", f"/v1/refunds/{_ID}", _get_refund),
    ("POST", "/v1/webhook_endpoints", _create_endpoint),
)
