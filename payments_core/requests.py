"""Check a call against the provider's declaration, before anything is sent."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from ._structs import copy_with
from .errors import InvalidRequest
from .info import ProviderInfo
from .models import ChargeRequest, Reference, RefundReference
from .money import Money

__all__ = [
    "check_amount",
    "check_charge_request",
    "check_deadline",
    "check_due",
    "check_reference",
    "check_refund_reference",
    "is_deadline",
    "order_id_of",
    "pairs_of",
    "typed",
]

T = TypeVar("T")


def check_charge_request(request: ChargeRequest, info: ProviderInfo) -> ChargeRequest:
    """Return the request with its method filled in; raise `InvalidRequest` for every value outside `info`."""
    if type(request) is not ChargeRequest:
        raise InvalidRequest("this call takes a ChargeRequest", field="request")
    if request.method:
        _among(request.method, [method.id for method in info.methods], "method", info)
    check_amount(request.amount, info)
    _among(request.channel, info.channels, "channel", info)
    limits = info.limits
    _short(request.order_id, limits.order_id_length, "order_id", info)
    if limits.order_id_pattern and re.fullmatch(limits.order_id_pattern, request.order_id) is None:
        raise InvalidRequest(f"{info.title} takes an order_id like {limits.order_id_pattern}", field="order_id")
    if limits.description_length is not None:
        _short(request.description, limits.description_length, "description", info)
    _within(request.amount, limits.minimum, limits.maximum, info)
    _unused(request, info)
    method = _method(request, info)
    if request.options is not None and (info.options_type is None or type(request.options) is not info.options_type):
        takes = f"a {info.options_type.__name__}" if info.options_type else "none"
        raise InvalidRequest(f"{info.title} takes other options: {takes}", field="options")
    return request if request.method else copy_with(request, method=method)


def _method(request: ChargeRequest, info: ProviderInfo) -> str:
    """Return the id of the method asked for, or of the first that takes such a request."""
    asked: dict[str, Any] = {
        "currency": request.amount.currency,
        "channel": request.channel,
        "capture": request.capture,
    }
    named = next((each for each in info.methods if each.id == request.method), None)
    if named is None:
        if fitting := info.methods_for(**asked):
            return fitting[0].id
        raise InvalidRequest(
            f"{info.title} has no method for {asked['currency']}, {asked['channel']} and capture={asked['capture']}: "
            "info.methods_for() says which there are",
            field="method",
        )
    for field, value in asked.items():
        if not named.takes(**{field: value}):
            raise InvalidRequest(f"{info.title} takes no {field} {value} by method {named.id}", field=field)
    return named.id


def check_amount(amount: Money, info: ProviderInfo) -> None:
    """Raise `InvalidRequest` if the gateway does not take this currency."""
    _among(amount.currency, info.currencies, "currency", info)


def check_reference(reference: Reference, query_by: Collection[str]) -> None:
    """Raise `InvalidRequest` if the reference has none of the ids that the provider can be asked by."""
    if not any(getattr(reference, field) for field in query_by):
        raise InvalidRequest(f"this provider is asked by {' or '.join(sorted(query_by))}", field="reference")


def check_refund_reference(reference: RefundReference, info: ProviderInfo) -> RefundReference:
    """Return the reference; raise `InvalidRequest` where it lacks what `get_refund` needs."""
    missing = sorted(field for field in info.refund_query_by if not getattr(reference, field))
    if missing:
        raise InvalidRequest(
            f"{info.title} is asked about a refund by {' and '.join(sorted(info.refund_query_by))}", field=missing[0]
        )
    if "reference" in info.refund_query_by and reference.reference is not None:
        check_reference(reference.reference, info.query_by)
    return reference


def _among(value: str, allowed: Collection[str], field: str, info: ProviderInfo) -> None:
    if value not in allowed:
        raise InvalidRequest(f"{info.title} takes a {field} of {', '.join(sorted(allowed))}, not {value}", field=field)


def _short(text: str, most: int, field: str, info: ProviderInfo) -> None:
    if len(text) > most:
        raise InvalidRequest(f"{info.title} takes {field} of at most {most} characters, not {len(text)}", field=field)


def _within(amount: Money, minimum: Collection[Money], maximum: Collection[Money], info: ProviderInfo) -> None:
    for least in minimum:
        if least.currency == amount.currency and amount.minor < least.minor:
            raise InvalidRequest(f"{info.title} takes no less than {least}", field="amount")
    for most in maximum:
        if most.currency == amount.currency and amount.minor > most.minor:
            raise InvalidRequest(f"{info.title} takes no more than {most}", field="amount")


def _unused(request: ChargeRequest, info: ProviderInfo) -> None:
    """Refuse what would silently not happen."""
    asked = {
        "capture": not request.capture,
        "expires_in": request.expires_in is not None,
        "payment_token": request.payment_token is not None,
    }
    for field, wanted in asked.items():
        if wanted and field not in info.charge_options:
            raise InvalidRequest(f"{info.title} has no {field}", field=field)


def order_id_of(given: object) -> str:
    """Return the order id of what a call was given: an id, a request or a reference; `""` where it names none."""
    for _ in range(2):
        if isinstance(given, str):
            return given if given.isprintable() else ""
        given = getattr(given, "order_id", None) or getattr(given, "reference", None)
    return given if isinstance(given, str) else ""


def check_due(order_id: object, amount: object) -> None:
    """Raise `InvalidRequest` unless these are an order id and the Money that was asked for."""
    if type(amount) is not Money:
        raise InvalidRequest("amount is the Money that was asked for", field="amount")
    if not order_id:
        raise InvalidRequest("order_id is the merchant order id that was asked for", field="order_id")


def pairs_of(returned: object) -> tuple[tuple[str, str], ...]:
    """Return what the shopper came back with as pairs of text."""
    found: list[tuple[str, str]] = []
    pairs = returned.items() if isinstance(returned, Mapping) else returned
    if isinstance(pairs, Iterable) and not isinstance(pairs, str | bytes):
        for pair in pairs:
            if not (isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)):
                break
            found.append((pair[0], pair[1]))
        else:
            return tuple(found)
    raise InvalidRequest("returned is a mapping or pairs of text: the query or the form", field="returned")


def typed(value: Any, kind: type[T]) -> T:
    """Return the value; raise `InvalidRequest` where it is of another type."""
    if type(value) is not kind:
        raise InvalidRequest(f"this call takes a {kind.__name__}", field=kind.__name__.lower())
    return value


def is_deadline(deadline: object) -> bool:
    """Return True for a finite number of seconds above zero."""
    # Compared and not converted: an integer can be longer than any float.
    return isinstance(deadline, int | float) and not isinstance(deadline, bool) and 0 < deadline < math.inf


def check_deadline(deadline: object) -> None:
    """Raise `InvalidRequest` unless this is a finite number of seconds above zero."""
    if not is_deadline(deadline):
        raise InvalidRequest("deadline is a number of seconds above zero", field="deadline")
