"""Define the errors of the API (docs.stripe.com/api/errors, /error-codes, /declines/codes)."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["DECLINES", "Refused", "card_error", "invalid", "missing"]


class Refused(Exception):
    """An error answer. `intent` and `charge` are the ids of the objects it is about."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str = "",
        param: str = "",
        decline_code: str = "",
        intent: str = "",
        charge: str = "",
        invented: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.code = code
        self.param = param
        self.decline_code = decline_code
        self.intent = intent
        self.charge = charge
        self.invented = invented

    def fields(self) -> dict[str, Any]:
        """Return the error object, without the objects it may carry."""
        # Stripe's own words are free text that may change, so they are not imitated.
        found = {
            "code": self.code,
            "decline_code": self.decline_code,
            "doc_url": f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}" if self.code else "",
            "message": f"sandbox: {self.message}",
            "param": self.param,
            "type": self.kind,
            "charge": self.charge,
        }
        return {name: value for name, value in found.items() if value}


def invalid(
    message: str, code: str = "", param: str = "", *, intent: str = "", status: int = 400, invented: bool = False
) -> Refused:
    """Return an invalid_request_error; `invented` if no page documents its code."""
    marks = ("error.code",) if invented else ()
    return Refused(status, "invalid_request_error", message, code=code, param=param, intent=intent, invented=marks)


def missing(kind: str, found: str, *, param: str = "") -> Refused:
    """Return a 404, as in `No such payment_intent: 'pi_1'`."""
    return invalid(f"No such {kind}: '{found[:64]}'", "resource_missing", param or "id", status=404)


def card_error(code: str, decline_code: str, *, intent: str = "", charge: str = "") -> Refused:
    """Return a 402: the parameters were valid, but the request failed."""
    words = decline_code or code
    return Refused(
        402,
        "card_error",
        f"The payment was declined: {words}.",
        code=code,
        decline_code=decline_code,
        intent=intent,
        charge=charge,
    )


# docs.stripe.com/testing, "Declined payments": the test PaymentMethod, its error code, its decline code.
DECLINES: Final = {
    "pm_card_visa_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_visa_chargeDeclinedLostCard": ("card_declined", "lost_card"),
    "pm_card_visa_chargeDeclinedStolenCard": ("card_declined", "stolen_card"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", ""),
    "pm_card_chargeDeclinedIncorrectCvc": ("incorrect_cvc", ""),
    "pm_card_chargeDeclinedProcessingError": ("processing_error", ""),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": ("card_declined", "card_velocity_exceeded"),
}
