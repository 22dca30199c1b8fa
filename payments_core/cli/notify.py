"""Check how a shop's webhook address answers a genuine notification and a forged one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, assert_never

import msgspec

from payments_core import Gateway, Notifications, PaymentError, WebhookDelivery

from .findings import Finding, Result
from .posting import post
from .sample import SampleUnavailable, make_sample
from .signing import signature_headers, signing_problem

__all__ = ["check_notify_url"]

_TIMEOUT: Final = 15.0
_NOT_FOUND: Final = frozenset({404, 405})
_MALFORMED: Final = b"\xff\xfe not a notification"
_UNREACHABLE: Final = "Is the address reachable from here, and is the shop running?"

Answer = tuple[int | None, str]


def check_notify_url(gateway: Gateway, provider: str, config: msgspec.Struct, url: str) -> list[Finding]:
    """Post a forged notification and, where that is safe, a genuine one; report each answer.

    Post malformed bytes in place of the forged one if the gateway signs nothing, and nothing at all if it sends none.
    """
    kind = gateway.info.notifications
    if kind is Notifications.NONE:
        return _skip_both("not sent by this gateway: ask about every open order instead")
    try:
        sample = _sample_delivery(provider)
    except SampleUnavailable as error:
        return _skip_both(f"not checked: no notification can be made up: {error}")
    match kind:
        case Notifications.SIGNED | None:
            return [
                _check_refused(gateway, "a forged notification", _answer(url, sample.body, _pairs(sample))),
                _check_signed(gateway, provider, config, url, sample),
            ]
        case Notifications.UNSIGNED:
            return [
                _check_refused(gateway, "a body that is no notification", _answer(url, _MALFORMED, _pairs(sample))),
                _check_unsigned(_answer(url, sample.body, _pairs(sample))),
            ]
        case _:
            assert_never(kind)


def _skip_both(message: str) -> list[Finding]:
    return [Finding(check, Result.SKIPPED, message) for check in ("forged", "notified")]


def _sample_delivery(provider: str) -> WebhookDelivery:
    delivery = make_sample(provider).delivery
    if delivery is None or delivery.method != "POST":
        raise SampleUnavailable(f"this gateway notifies by {delivery.method if delivery else 'nothing'}")
    return delivery


def _check_refused(gateway: Gateway, what: str, answer: Answer) -> Finding:
    """Expect the status that the provider declares for a refusal, or any 4xx."""
    status, problem = answer
    if status is None:
        return Finding("forged", Result.FAILED, problem, _UNREACHABLE)
    expected = gateway.info.rejection_status
    answered = f"{what} was answered {status}"
    advice = "Give the raw body to gateway.parse_webhook, and answer `error.status` to WebhookRejected."
    if status in _NOT_FOUND and status != expected:
        return Finding("forged", Result.FAILED, f"{answered}: nothing listens there", "Is the path right?")
    if 200 <= status < 300:
        if status == expected:
            message = f"{answered}, as this gateway wants a refusal answered: it does not show whether the shop refused"
            return Finding("forged", Result.WARNING, message, "Look into the shop's log: was this delivery refused?")
        if gateway.info.notifications is not Notifications.UNSIGNED:
            advice = f"Anybody can mark orders paid. {advice}"
        return Finding("forged", Result.FAILED, f"{answered}: it was accepted", advice)
    if 200 <= expected < 300 and 400 <= status < 500:
        message = f"{answered}; this gateway wants a refusal answered {expected}"
        return Finding("forged", Result.WARNING, message, "Answer `error.status` to WebhookRejected.")
    if status == expected or 400 <= status < 500:
        return Finding("forged", Result.OK, answered)
    return Finding("forged", Result.FAILED, answered, "Answer `error.status` to WebhookRejected.")


def _check_signed(
    gateway: Gateway, provider: str, config: msgspec.Struct, url: str, sample: WebhookDelivery
) -> Finding:
    if problem := signing_problem(gateway):
        message = f"no genuine notification was sent: {problem}"
        return Finding(
            "notified", Result.SKIPPED, message, "Let the gateway send a test notification from its own portal."
        )
    try:
        signature = signature_headers(provider, config, sample.body)
    except PaymentError as error:
        return Finding("notified", Result.SKIPPED, f"not checked: {error.message}")
    replaced = {name.lower() for name, _ in signature}
    others = [(name, value) for name, value in _pairs(sample) if name.lower() not in replaced]
    return _check_accepted(
        "a genuine notification, about an unknown order,",
        _answer(url, sample.body, (*others, *signature)),
        "Does the shop have the same webhook key, and does it verify the raw body? Answer 2xx to every genuine\n"
        "notification, also about an unknown order.",
    )


def _check_unsigned(answer: Answer) -> Finding:
    return _check_accepted(
        "an unsigned notification, about an unknown charge,",
        answer,
        "Answer 2xx to every notification that can be read, also about an unknown charge, and ask the gateway later.",
    )


def _check_accepted(what: str, answer: Answer, advice: str) -> Finding:
    status, problem = answer
    if status is None:
        return Finding("notified", Result.FAILED, problem, _UNREACHABLE)
    answered = f"{what} was answered {status}"
    if 200 <= status < 300:
        return Finding("notified", Result.OK, answered)
    if 300 <= status < 400:
        advice = "Gateways do not follow redirects: give the final address."
    return Finding("notified", Result.FAILED, answered, advice)


def _pairs(delivery: WebhookDelivery) -> list[tuple[str, str]]:
    pairs = [(str(name), str(value)) for name, value in delivery.headers]
    named = any(name.lower() == "content-type" for name, _ in pairs)
    return pairs if named else [("Content-Type", "application/json"), *pairs]


def _answer(url: str, body: bytes, headers: Iterable[tuple[str, str]]) -> Answer:
    try:
        return post(url, body, headers, _TIMEOUT), ""
    except OSError as error:
        return None, f"nobody answered at the notify URL: {error.strerror or str(error) or type(error).__name__}"
