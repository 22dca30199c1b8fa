"""Map error answers to errors. Sources: docs.stripe.com/api/errors, /error-codes, /declines/codes."""

from __future__ import annotations

import re
from typing import Final

from payments_core import NotFound, ProtocolViolation, Rejected, RejectionCode, Response

from . import wire

__all__ = ["REASONS", "read", "reason", "refusal", "word"]

# docs.stripe.com/declines/codes and /error-codes; every other failure is DECLINED.
REASONS: Final = {
    "insufficient_funds": RejectionCode.INSUFFICIENT_FUNDS,
    # The page says not to tell the shopper more about these.
    "fraudulent": RejectionCode.RISK,
    "lost_card": RejectionCode.RISK,
    "stolen_card": RejectionCode.RISK,
    "merchant_blacklist": RejectionCode.RISK,
    "pickup_card": RejectionCode.RISK,  # perhaps reported lost or stolen
    "restricted_card": RejectionCode.RISK,  # the same
    "duplicate_transaction": RejectionCode.DUPLICATE,
    "payment_intent_payment_attempt_expired": RejectionCode.UNKNOWN,  # not declined: the shopper let it expire
}

# docs.stripe.com/error-codes: the attempt may have begun and didn't finish.
_UNSETTLED: Final = frozenset({"payment_method_provider_timeout"})

_WORD: Final = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_LONGEST_MESSAGE: Final = 200


def word(text: str | None) -> str:
    """Return a code of Stripe's, or nothing if it isn't one: it goes into errors and logs."""
    return text if text is not None and _WORD.fullmatch(text) else ""


def reason(code: str | None, decline_code: str | None) -> tuple[RejectionCode, str]:
    """Return the reason of a failed attempt: our code and Stripe's."""
    raw = word(decline_code) or word(code)
    return REASONS.get(raw, RejectionCode.DECLINED), raw


def read(response: Response) -> wire.Problem:
    """Return the error of an error answer.

    A 409 decides nothing: "the request conflicts with another request (perhaps due to using the same idempotent key)",
    so the other one may still be accepted.
    """
    problem = response.decode(wire.ANSWER).error
    if response.status == 409:
        raise ProtocolViolation(_text(response, problem), raw_code=word(problem.code))
    return problem


def refusal(response: Response, problem: wire.Problem) -> Rejected | NotFound | ProtocolViolation:
    """Classify an error by its type and the HTTP status."""
    text, raw = _text(response, problem), word(problem.code)
    if problem.type == "idempotency_error":
        # "Errors if they're not the same": an earlier request with this key was executed, and may have been accepted.
        return Rejected(text, code=RejectionCode.DUPLICATE, raw_code=raw)
    if problem.type == "card_error":
        code, raw = reason(problem.code, problem.decline_code)
        return Rejected(text, code=code, definitive=response.status == 402, raw_code=raw)
    if response.status == 404:
        # Any other 404 means a wrong address and says nothing about a charge.
        known = problem.code == "resource_missing"
        return NotFound(text, raw_code=raw) if known else ProtocolViolation(text, raw_code=raw)
    if problem.type == "invalid_request_error":
        # docs.stripe.com/api/errors: 400 is "unacceptable"; 402 is "valid but the request failed", which is less.
        settled = response.status == 400 and raw not in _UNSETTLED
        return Rejected(text, code=RejectionCode.INVALID, definitive=settled, raw_code=raw)
    return ProtocolViolation(text, raw_code=raw)


def _text(response: Response, problem: wire.Problem) -> str:
    said = (problem.message or "")[:_LONGEST_MESSAGE]
    said = said if said.isprintable() else ""
    kind = ", ".join(each for each in (word(problem.type), word(problem.code)) if each)
    return f"Stripe answered HTTP {response.status} ({kind or 'no type'}): {said or 'no message'}"
