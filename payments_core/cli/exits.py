"""Map errors to exit codes and advice: one exit code for each way to go on."""

from __future__ import annotations

import shlex
from argparse import Namespace
from datetime import datetime
from enum import IntEnum
from typing import Final

from payments_core import (
    Accepted,
    AuthorizationRejected,
    ConfigurationError,
    GatewayUnavailable,
    InvalidRequest,
    Mismatch,
    NotFound,
    OutcomeUnknown,
    PaymentError,
    ProtocolViolation,
    ProviderContractError,
    ProviderNotFound,
    RateLimited,
    Rejected,
    UnsupportedOperation,
    WebhookRejected,
)

__all__ = [
    "MEANINGS",
    "Exit",
    "Stop",
    "advice",
    "ask_first",
    "exit_code",
    "refund_status_command",
    "repeat_advice",
    "status_command",
]


class Exit(IntEnum):
    """List the exit codes; `MEANINGS` explains each."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    INVALID = 4
    REJECTED = 5
    UNAVAILABLE = 6
    UNKNOWN = 7
    INVALID_ANSWER = 8
    WEBHOOK = 9
    NOT_PAID = 10
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS: Final = {
    Exit.OK: "success; the result is printed (a charge that is not paid yet is no failure)",
    Exit.FAILED: "a step of the demo, a check of the doctor, or something on this machine failed",
    Exit.USAGE: "the command line is wrong",
    Exit.CONFIGURATION: "the configuration, the credentials or the installation must be fixed",
    Exit.INVALID: "the request is invalid or unsupported: nothing was sent",
    Exit.REJECTED: "the gateway refused",
    Exit.UNAVAILABLE: "the gateway is unavailable or limits the rate: nothing was accepted, so it is safe to repeat",
    Exit.UNKNOWN: "the outcome is unknown, or could not be shown: ask with `payments status`, never just send it again",
    Exit.INVALID_ANSWER: "the answer cannot be understood, or does not match the order: treat it as not paid",
    Exit.WEBHOOK: "the notification is refused: its signature, its age or its form is wrong",
    Exit.NOT_PAID: "`payments confirm` asked, and the order is not paid (yet)",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
    Exit.BROKEN_PIPE: "the reader of the output has closed it",
}

_EXITS: Final[dict[type[PaymentError], Exit]] = {
    ConfigurationError: Exit.CONFIGURATION,
    ProviderNotFound: Exit.CONFIGURATION,
    ProviderContractError: Exit.CONFIGURATION,
    AuthorizationRejected: Exit.CONFIGURATION,
    InvalidRequest: Exit.INVALID,
    UnsupportedOperation: Exit.INVALID,
    Rejected: Exit.REJECTED,
    NotFound: Exit.REJECTED,
    RateLimited: Exit.UNAVAILABLE,
    GatewayUnavailable: Exit.UNAVAILABLE,
    OutcomeUnknown: Exit.UNKNOWN,
    ProtocolViolation: Exit.INVALID_ANSWER,
    Mismatch: Exit.INVALID_ANSWER,
    WebhookRejected: Exit.WEBHOOK,
}

_ADVICE: Final[dict[type[PaymentError], str]] = {
    ConfigurationError: "Correct the configuration, and run this again.",
    ProviderNotFound: "`payments providers` lists what is installed.",
    ProviderContractError: "Update or uninstall that plugin; `payments providers` shows the state of all.",
    AuthorizationRejected: "Check that the credentials and base_url belong to the same account and environment.",
    InvalidRequest: "Nothing was sent. Correct it, and run this again.",
    UnsupportedOperation: "Nothing was sent. `payments providers` shows what each provider can do.",
    NotFound: "The gateway has no such charge: check the id.",
    GatewayUnavailable: "Nothing was accepted: it is safe to run this again.",
    ProtocolViolation: "It proves nothing about any payment. Check that base_url is this gateway's, then ask again.",
    Mismatch: "Treat the order as not paid, and have a person compare both.",
}

# What each call that moves money makes; and the calls that the gateway recognizes by the caller's own id.
_EFFECTS: Final = {
    "create_charge": "charge",
    "capture_charge": "capture",
    "cancel_charge": "cancellation",
    "refund_charge": "refund",
}
_REPEATABLE: Final = frozenset({"create_charge", "capture_charge", "refund_charge"})
_QUERIES: Final = frozenset({"get_status", "get_refund", "confirm"})
_ALTERNATIVES: Final = {
    "refund_charge": "Refund it in the gateway's own portal.",
    "get_refund": "`payments status` shows what is refunded, where the gateway says it.",
    "capture_charge": "This gateway takes the money when the shopper approves: nothing is left to capture.",
    "cancel_charge": "An unpaid charge ends by itself; the gateway's own portal may be able to close it earlier.",
    "parse_webhook": "This gateway sends no notifications: ask about every open order with `payments confirm`.",
}


class Stop(Exception):
    """End a command with a message, advice and an exit code, for failures other than a `PaymentError`."""

    def __init__(self, message: str, advice: str = "", *, code: Exit = Exit.FAILED, step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.code = code
        self.step = step


def exit_code(error: PaymentError | Stop) -> Exit:
    """Return the exit code of `error`."""
    if isinstance(error, Stop):
        return error.code
    if _may_have_happened(error):
        return Exit.UNKNOWN
    return next((_EXITS[kind] for kind in type(error).__mro__ if kind in _EXITS), Exit.FAILED)


def advice(error: PaymentError | Stop, args: Namespace) -> str:
    """Return what to do about `error`, or `""`."""
    match error:
        case Stop():
            return error.advice
        case ConfigurationError() | ProviderContractError() if "pip install" in error.message:
            return "Install that, and run this again."
        case OutcomeUnknown(repeatable=True, first_sent_at=began) if error.operation in _REPEATABLE:
            return f"It may have been accepted. {repeat_advice(began)}"
        case _ if isinstance(error, OutcomeUnknown) or _may_have_happened(error):
            return f"It may have been accepted. {ask_first(_ask(error, args))}"
        case Rejected() if error.operation in _EFFECTS:
            if error.definitive:
                return "Nothing was accepted."
            made = _EFFECTS[error.operation]
            return f"The {made} may exist all the same. Before you give up on it, ask: {_ask(error, args)}"
        case Rejected():
            return "Check the ids. The gateway's support needs the request id."
        case UnsupportedOperation() if error.operation in _ALTERNATIVES:
            return f"Nothing was sent. {_ALTERNATIVES[error.operation]}"
        case RateLimited(retry_after=seconds) if seconds is not None:
            return f"Nothing was accepted: run this again in {seconds:g} s."
        case RateLimited():
            return "Nothing was accepted: run this again, later."
        case GatewayUnavailable() if error.operation in _QUERIES:
            return "This says nothing about the charge. It is safe to run this again."
        case WebhookRejected(reason="signature"):
            return (
                f"Answer {error.status} and change nothing. If it is genuine: is the key right, and is the body "
                "unchanged, byte for byte?"
            )
        case WebhookRejected():
            return f"Answer {error.status} and change nothing."
    return next((_ADVICE[kind] for kind in type(error).__mro__ if kind in _ADVICE), "")


def _may_have_happened(error: PaymentError) -> bool:
    """Return True if an unavailable gateway may have accepted what an earlier attempt sent."""
    out_of_reach = isinstance(error, GatewayUnavailable | RateLimited)
    return out_of_reach and error.operation in _EFFECTS and error.accepted is not Accepted.NO


def _ask(error: PaymentError, args: Namespace) -> str:
    return refund_status_command(args) if error.operation == "refund_charge" else status_command(args)


def ask_first(ask: str) -> str:
    """Advise to ask with this command, and not to send again."""
    return f"Ask: {ask}; never just send it again."


def repeat_advice(began: datetime | None) -> str:
    """Advise to repeat the identical call, which the gateway recognizes by its key."""
    option = f" with --first-sent-at {began.isoformat()}" if began is not None else ""
    return f"Run the very same command again{option}: the gateway knows it by its key."


def status_command(args: Namespace, provider_id: str = "") -> str:
    """Return the command that asks about the charge in `args`."""
    return f"payments status{_named(args, provider_id)}"


def refund_status_command(args: Namespace) -> str:
    """Return the command that asks about a refund, or about its charge if the gateway cannot be asked about refunds."""
    if not getattr(args, "asks_refunds", True):
        return f"{status_command(args)} (it shows what is refunded)"
    refund = getattr(args, "refund_id", "")
    more = f" --refund-id {shlex.quote(refund)}" if refund else ""
    return f"payments refund-status{_named(args, more=more)}"


def _named(args: Namespace, provider_id: str = "", more: str = "") -> str:
    gateway, order = getattr(args, "gateway", None), getattr(args, "order_id", None)
    charge = provider_id or getattr(args, "provider_id", "")
    if not (gateway and (order or charge)):
        return ""
    named = f" {shlex.quote(gateway)}"
    named += f" --order-id {shlex.quote(order)}" if order else ""
    named += f" --provider-id {shlex.quote(charge)}" if charge else ""
    file = f" --config {shlex.quote(str(args.config))}" if getattr(args, "config", None) else ""
    return f"{named}{more}{file}"
