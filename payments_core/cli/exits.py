"""What the command answers to its caller: one exit code for each thing that a caller does next."""

from __future__ import annotations

import shlex
from argparse import Namespace
from enum import IntEnum
from typing import Final

from payments_core import (
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

__all__ = ["MEANINGS", "Exit", "Stop", "advice", "exit_of"]


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
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS: Final = {
    Exit.OK: "it was done; what came of it is printed (a charge that is not paid yet is no failure)",
    Exit.FAILED: "a step of the demo, or something on this machine, failed",
    Exit.USAGE: "the command line is wrong",
    Exit.CONFIGURATION: "the configuration, the credentials or the installation must be fixed",
    Exit.INVALID: "the request is invalid or unsupported: nothing was sent",
    Exit.REJECTED: "the gateway said no",
    Exit.UNAVAILABLE: "the gateway is unavailable or limits the rate: nothing was accepted, safe to send again",
    Exit.UNKNOWN: "the outcome is unknown, or could not be shown: ask with `payments status`, never just send again",
    Exit.UNBELIEVABLE: "the answer cannot be understood, or is about other money: not paid",
    Exit.WEBHOOK: "the notification is not to be believed",
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


class Stop(Exception):
    """Ends a command that no `PaymentError` ends: what happened, what to do next, and with which exit code."""

    def __init__(self, message: str, advice: str = "", *, code: Exit = Exit.FAILED, step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.code = code
        self.step = step


def exit_of(error: PaymentError | Stop) -> Exit:
    """The exit code that says what `error` means."""
    if isinstance(error, Stop):
        return error.code
    return next((_EXITS[kind] for kind in type(error).__mro__ if kind in _EXITS), Exit.FAILED)


def advice(error: PaymentError | Stop, args: Namespace) -> str:
    """What a person does next; `""` where there is nothing to say."""
    match error:
        case Stop():
            return error.advice
        case ConfigurationError() | ProviderContractError() if "pip install" in error.message:
            return "Install that, and run this again."
        case OutcomeUnknown(repeatable=True) if error.operation == "create_charge":
            return "It may have been accepted. Run the very same command again: the gateway knows it by its key."
        case OutcomeUnknown():
            return f"It may have been accepted. Ask: {ask_again(args)}; never just send it again."
        case Rejected() if error.operation == "create_charge":
            if error.definitive:
                return "Nothing was accepted."
            return f"The charge may exist all the same. Before giving up on it, ask: {ask_again(args)}"
        case Rejected():
            return "Check the ids; the request id is what the gateway's support asks for."
        case RateLimited(retry_after=seconds) if seconds is not None:
            return f"Nothing was accepted: run this again in {seconds:g} s."
        case RateLimited():
            return "Nothing was accepted: run this again, later."
        case WebhookRejected(reason="signature"):
            return "Answer 4xx and change nothing. If it is genuine: is the key right, and is the body byte for byte?"
        case WebhookRejected():
            return "Answer 4xx and change nothing."
    return next((_ADVICE[kind] for kind in type(error).__mro__ if kind in _ADVICE), "")


def ask_again(args: Namespace, provider_id: str = "") -> str:
    """The command that asks about the charge that `args` are about."""
    gateway, order = getattr(args, "gateway", None), getattr(args, "order_id", None)
    named = f" {shlex.quote(gateway)} --order-id {shlex.quote(order)}" if gateway and order else ""
    named += f" --provider-id {shlex.quote(provider_id)}" if named and provider_id else ""
    file = f" --config {shlex.quote(str(args.config))}" if named and getattr(args, "config", None) else ""
    return f"payments status{named}{file}"
