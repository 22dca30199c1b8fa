"""What an answer that is an error means. Sources: docs.stripe.com/api/errors, /error-codes, /declines/codes."""

from __future__ import annotations

import re
from typing import Final

from payments_core import NotFound, ProtocolViolation, Rejected, RejectionCode, Response

from . import wire

__all__ = ["REASONS", "read", "reason", "refusal", "word"]

# docs.stripe.com/declines/codes and /error-codes; every other failure is DECLINED.
REASONS: Final = {
    "insufficient_funds": RejectionCode.INSUFFICIENT_FUNDS,
    # Nothing more of these is to be told to the shopper, says the page.
    "fraudulent": RejectionCode.RISK,
    "lost_card": RejectionCode.RISK,
    "stolen_card": RejectionCode.RISK,
    "merchant_blacklist": RejectionCode.RISK,
    "pickup_card": RejectionCode.RISK,  # perhaps reported lost or stolen
    "restricted_card": RejectionCode.RISK,  # the same
    "duplicate_transaction": RejectionCode.DUPLICATE,
    "payment_intent_payment_attempt_expired": RejectionCode.UNKNOWN,  # nobody declined: the shopper let it pass
}

# docs.stripe.com/error-codes: what did not come to an end, and may have begun.
_UNSETTLED: Final = frozenset({"payment_method_provider_timeout"})

_WORD: Final = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_LONGEST_MESSAGE: Final = 200


def word(text: str | None) -> str:
    """A code of Stripe's, or nothing where it is none: it goes into errors and logs."""
    return text if text is not None and _WORD.fullmatch(text) else ""


def reason(code: str | None, decline_code: str | None) -> tuple[RejectionCode, str]:
    """Why an attempt failed: our word and Stripe's."""
    raw = word(decline_code) or word(code)
    return REASONS.get(raw, RejectionCode.DECLINED), raw


def read(response: Response) -> wire.Problem:
    """The error of an answer that is one.

    409 is none that decides anything: "the request conflicts with another request (perhaps due to using the same
    idempotent key)", so the other one may be accepted yet.
    """
    problem = response.decode(wire.ANSWER).error
    if response.status == 409:
        raise ProtocolViolation(_text(response, problem), raw_code=word(problem.code))
    return problem


def refusal(response: Response, problem: wire.Problem) -> Rejected | NotFound | ProtocolViolation:
    """What an error is called, by its type and the HTTP status."""
    text, raw = _text(response, problem), word(problem.code)
    if problem.type == "idempotency_error":
        # "Errors if they're not the same": an earlier request with this key was executed, and may have been accepted.
        return Rejected(text, code=RejectionCode.DUPLICATE, raw_code=raw)
    if problem.type == "card_error":
        code, raw = reason(problem.code, problem.decline_code)
        return Rejected(text, code=code, definitive=response.status == 402, raw_code=raw)
    if response.status == 404:
        # Any other 404 is a wrong address: it says nothing about a charge.
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
