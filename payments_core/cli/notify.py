"""What a shop's webhook address does with a genuine notification and with a forged one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from payments_core import Gateway, PaymentError, WebhookDelivery

from .findings import Finding, Result
from .made_up import NotMade, make_up
from .posting import post
from .signing import signed_by, why_unsigned

__all__ = ["check_notify_url"]

_PATIENCE: Final = 15.0
_NOT_THERE: Final = frozenset({404, 405})


def check_notify_url(gateway: Gateway, provider: str, config: msgspec.Struct, url: str) -> list[Finding]:
    """Post a notification that is right but for its signature; then, where no money moves, the same one signed right."""
    try:
        forged = _forged(provider)
    except NotMade as error:
        problem = f"not checked: no notification can be made up: {error}"
        return [Finding(check, Result.SKIPPED, problem) for check in ("forged", "notified")]
    return [_check_forged(url, forged), _check_genuine(gateway, provider, config, url, forged)]


def _forged(provider: str) -> WebhookDelivery:
    made = make_up(provider).delivery
    if made.method != "POST":
        raise NotMade(f"this gateway notifies by {made.method}")
    return made


def _check_forged(url: str, forged: WebhookDelivery) -> Finding:
    status, problem = _answer(url, forged.body, _pairs(forged))
    if status is None:
        return Finding("forged", Result.FAILED, problem, "Is the address reachable from here, and is the shop running?")
    answered = f"a forged notification was answered {status}"
    if 200 <= status < 300:
        advice = "Anybody can mark orders paid. Give the raw body to gateway.parse_webhook, and answer 4xx to WebhookRejected."
        return Finding("forged", Result.FAILED, f"{answered}: it was believed", advice)
    if status in _NOT_THERE:
        return Finding("forged", Result.FAILED, f"{answered}: nothing listens there", "Is the path right?")
    if 400 <= status < 500:
        return Finding("forged", Result.OK, answered)
    return Finding("forged", Result.FAILED, answered, "Answer 4xx to WebhookRejected.")


def _check_genuine(
    gateway: Gateway, provider: str, config: msgspec.Struct, url: str, forged: WebhookDelivery
) -> Finding:
    if problem := why_unsigned(gateway):
        message = f"no genuine notification was sent: {problem}"
        return Finding(
            "notified", Result.SKIPPED, message, "Let the gateway send a test notification from its own portal."
        )
    try:
        signature = signed_by(provider, config, forged.body)
    except PaymentError as error:
        return Finding("notified", Result.SKIPPED, f"not checked: {error.message}")
    replaced = {name.lower() for name, _ in signature}
    others = [(name, value) for name, value in _pairs(forged) if name.lower() not in replaced]
    status, problem = _answer(url, forged.body, (*others, *signature))
    if status is None:
        return Finding(
            "notified", Result.FAILED, problem, "Is the address reachable from here, and is the shop running?"
        )
    answered = f"a genuine notification, about an order that nobody made, was answered {status}"
    if 200 <= status < 300:
        return Finding("notified", Result.OK, answered)
    if 300 <= status < 400:
        return Finding("notified", Result.FAILED, answered, "Gateways follow no redirect: name the final address.")
    advice = (
        "Has the shop the same webhook key, and does it verify the raw body? What is believed is answered 2xx, also where "
        "the order is unknown."
    )
    return Finding("notified", Result.FAILED, answered, advice)


def _pairs(delivery: WebhookDelivery) -> list[tuple[str, str]]:
    given = delivery.headers.items() if hasattr(delivery.headers, "items") else delivery.headers
    pairs = [(str(name), str(value)) for name, value in given]
    named = any(name.lower() == "content-type" for name, _ in pairs)
    return pairs if named else [("Content-Type", "application/json"), *pairs]


def _answer(url: str, body: bytes, headers: Iterable[tuple[str, str]]) -> tuple[int | None, str]:
    try:
        return post(url, body, headers, _PATIENCE), ""
    except OSError as error:
        return None, f"nobody answered at the notify URL: {error.strerror or str(error) or type(error).__name__}"
