"""Define the recorded scenes: `payments record stripe`."""

from __future__ import annotations

from typing import Final

from payments_core import Money, Redirect, RefundStatus, ShowQRCode
from payments_core.testing.stories import Script, Story

from . import scenes
from .policy import INTENTS, POLICY, REFUNDS, SESSIONS

__all__ = ["POLICY", "STORIES"]


def _played(name: str, script: Script, *, live: bool = True, repeats: tuple[str, ...] = ()) -> Story:
    # Fix every random value and the port, so that a recording repeats.
    return Story(
        name, script, POLICY, live, options={"seed": name, "public_url": "https://pay.invalid"}, repeats=repeats
    )


# Queries made more than once, with changes in between.
_SESSION: Final = (f"{SESSIONS}/{{id}}",)
_INTENT: Final = (f"{INTENTS}/{{id}}",)

STORIES: Final = (
    _played("alipay-created", scenes.created("alipay", Redirect)),
    _played("wechat-pay-created", scenes.created("wechat_pay", ShowQRCode)),
    _played("card-created", scenes.created("card", Redirect)),
    _played("alipay-paid", scenes.paid("alipay")),
    _played("wechat-pay-paid", scenes.paid("wechat_pay")),
    _played("card-paid", scenes.paid("card")),
    _played("yen-paid", scenes.paid("card", Money.of("8800", "JPY"))),
    _played("kronur-paid", scenes.paid("card", Money.of("8800", "ISK"))),
    _played("dinars-paid", scenes.paid("card", Money.of("88.120", "KWD"))),
    _played("wallet-declined", scenes.declined),
    _played("session-timed-out", scenes.timed_out),
    _played("refused-with-a-charge", scenes.refused_with_a_charge, live=False),
    _played("refused-without-a-charge", scenes.refused_without_a_charge, live=False),
    _played("refused-currency", scenes.incompatible),
    _played("too-many-requests", scenes.too_many, live=False),
    _played("repeated-create", scenes.repeated, repeats=(INTENTS,)),
    _played("repeated-with-another-amount", scenes.another_amount),
    _played("unknown-payment-intent", scenes.unknown_charge("pi_3nowhere")),
    _played("unknown-session", scenes.unknown_charge("cs_test_nowhere")),
    _played("unknown-status", scenes.unknown_status, live=False),
    _played("captured-whole", scenes.captured(scenes.AMOUNT), repeats=_SESSION),
    _played("captured-in-part", scenes.captured(scenes.PART), repeats=_SESSION),
    _played("wallet-cancelled", scenes.cancelled("alipay")),
    _played("session-cancelled", scenes.cancelled("card")),
    _played("authorization-cancelled", scenes.released, repeats=_SESSION),
    _played("paid-is-not-cancelled", scenes.paid_is_not_cancelled, repeats=_INTENT),
    _played("card-refunded", scenes.refunded("card", scenes.AMOUNT, RefundStatus.SUCCEEDED), repeats=_SESSION),
    _played("wallet-refunded-in-part", scenes.refunded("alipay", scenes.PART, RefundStatus.PENDING), repeats=_INTENT),
    _played("refund-comes-later", scenes.refund_comes_later, live=False, repeats=_INTENT),
    _played("refund-fails", scenes.refund_fails, live=False, repeats=_INTENT),
    _played("refund-found-by-its-own-id", scenes.refund_is_found, repeats=(*_SESSION, REFUNDS)),
    _played("refunded-twice", scenes.too_much, repeats=(*_INTENT, REFUNDS)),
)
