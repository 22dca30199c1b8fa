"""What the command answers to its caller: one exit code for each thing that a caller does next."""

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

__all__ = ["MEANINGS", "Exit", "Stop", "advice", "ask_about_refund", "ask_again", "exit_of", "never_again", "repeat"]


class Exit(IntEnum):
    """The exit codes; `MEANINGS` says each in words."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    INVALID = 4
    REJECTED = 5
    UNAVAILABLE = 6
    UNKNOWN = 7
    UNBELIEVABLE = 8
    WEBHOOK = 9
    NOT_PAID = 10
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS: Final = {
    Exit.OK: "it was done; what came of it is printed (a charge that is not paid yet is no failure)",
    Exit.FAILED: "a step of the demo, a check of the doctor, or something on this machine failed",
    Exit.USAGE: "the command line is wrong",
    Exit.CONFIGURATION: "the configuration, the credentials or the installation must be fixed",
    Exit.INVALID: "the request is invalid or unsupported: nothing was sent",
    Exit.REJECTED: "the gateway said no",
    Exit.UNAVAILABLE: "the gateway is unavailable or limits the rate: nothing was accepted, safe to send again",
    Exit.UNKNOWN: "the outcome is unknown, or could not be shown: ask with `payments status`, never just send again",
    Exit.UNBELIEVABLE: "the answer cannot be understood, or is about other money: not paid",
    Exit.WEBHOOK: "the notification is not to be believed",
    Exit.NOT_PAID: "`payments confirm` asked, and the order is not paid (yet)",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
    Exit.BROKEN_PIPE: "whoever read the output went away",
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
    ProtocolViolation: Exit.UNBELIEVABLE,
    Mismatch: Exit.UNBELIEVABLE,
    WebhookRejected: Exit.WEBHOOK,
}

_ADVICE: Final[dict[type[PaymentError], str]] = {
    ConfigurationError: "Correct the configuration, and run this again.",
    ProviderNotFound: "`payments providers` lists what is installed.",
    ProviderContractError: "Update or uninstall that plugin; `payments providers` shows the state of all.",
    AuthorizationRejected: "Check the credentials, and that base_url is of the same account and environment.",
    InvalidRequest: "Nothing was sent. Correct it, and run this again.",
    UnsupportedOperation: "Nothing was sent. `payments providers` shows what each provider can do.",
    NotFound: "The gateway has no such charge: check the id.",
    GatewayUnavailable: "Nothing was accepted: it is safe to run this again.",
    ProtocolViolation: "It says nothing about any payment. Check that base_url is this gateway's, then ask again.",
    Mismatch: "Treat the order as not paid, and let a person look at both.",
}

# What each call that moves money makes, and those that the gateway knows again by the caller's own id.
_MADE: Final = {
    "create_charge": "charge",
    "capture_charge": "capture",
    "cancel_charge": "cancellation",
    "refund_charge": "refund",
}
_KEYED: Final = frozenset({"create_charge", "capture_charge", "refund_charge"})
_ASKING: Final = frozenset({"get_status", "get_refund", "confirm"})
_INSTEAD: Final = {
    "refund_charge": "Refund it in the gateway's own portal.",
    "get_refund": "`payments status` shows what is refunded, where the gateway says it.",
    "capture_charge": "This gateway takes the money when the shopper approves: nothing is left to capture.",
    "cancel_charge": "An unpaid charge ends by itself; the gateway's own portal may be able to close it earlier.",
}


class Stop(Exception):
    """Ends a command that no `PaymentError` ends: what happened, what to do next, and with which exit code."""

    def __init__(self, message: str, advice: str = "", *, code: Exit = Exit.FAILED, step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.code = code
        self.step = step


def exit_of(error: PaymentError | Stop) -> Exit:
    """Return the exit code that says what `error` means."""
    if isinstance(error, Stop):
        return error.code
    if _may_have_happened(error):
        return Exit.UNKNOWN
    return next((_EXITS[kind] for kind in type(error).__mro__ if kind in _EXITS), Exit.FAILED)


def advice(error: PaymentError | Stop, args: Namespace) -> str:
    """What a person does next; `""` where there is nothing to say."""
    match error:
        case Stop():
            return error.advice
        case ConfigurationError() | ProviderContractError() if "pip install" in error.message:
            return "Install that, and run this again."
        case OutcomeUnknown(repeatable=True, first_sent_at=began) if error.operation in _KEYED:
            return f"It may have been accepted. {repeat(began)}"
        case _ if isinstance(error, OutcomeUnknown) or _may_have_happened(error):
            return f"It may have been accepted. {never_again(_ask(error, args))}"
        case Rejected() if error.operation in _MADE:
            if error.definitive:
                return "Nothing was accepted."
            made = _MADE[error.operation]
            return f"The {made} may exist all the same. Before giving up on it, ask: {_ask(error, args)}"
        case Rejected():
            return "Check the ids; the request id is what the gateway's support asks for."
        case UnsupportedOperation() if error.operation in _INSTEAD:
            return f"Nothing was sent. {_INSTEAD[error.operation]}"
        case RateLimited(retry_after=seconds) if seconds is not None:
            return f"Nothing was accepted: run this again in {seconds:g} s."
        case RateLimited():
            return "Nothing was accepted: run this again, later."
        case GatewayUnavailable() if error.operation in _ASKING:
            return "That says nothing about the charge. It is safe to run this again."
        case WebhookRejected(reason="signature"):
            return "Answer 4xx and change nothing. If it is genuine: is the key right, and is the body byte for byte?"
        case WebhookRejected():
            return "Answer 4xx and change nothing."
    return next((_ADVICE[kind] for kind in type(error).__mro__ if kind in _ADVICE), "")


def _may_have_happened(error: PaymentError) -> bool:
    """Tell whether a gateway that is out of reach now may have accepted what an earlier attempt sent."""
    out_of_reach = isinstance(error, GatewayUnavailable | RateLimited)
    return out_of_reach and error.operation in _MADE and error.accepted is not Accepted.NO


def _ask(error: PaymentError, args: Namespace) -> str:
    return ask_about_refund(args) if error.operation == "refund_charge" else ask_again(args)


def never_again(ask: str) -> str:
    """Say to ask with this command, and what not to do."""
    return f"Ask: {ask}; never just send it again."


def repeat(began: datetime | None) -> str:
    """Say how to make the identical call once more, where the gateway knows it by its key."""
    option = f" with --first-sent-at {began.isoformat()}" if began is not None else ""
    return f"Run the very same command again{option}: the gateway knows it by its key."


def ask_again(args: Namespace, provider_id: str = "") -> str:
    """Return the command that asks about the charge that `args` are about."""
    return f"payments status{_named(args, provider_id)}"


def ask_about_refund(args: Namespace) -> str:
    """Return the command that asks about a refund; where refunds cannot be asked about, about its charge."""
    if not getattr(args, "asks_refunds", True):
        return f"{ask_again(args)} (it shows what is refunded)"
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
