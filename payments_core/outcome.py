"""Classify failures by whether the request may have been accepted."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

from .errors import (
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
    RateLimited,
    Rejected,
    UnsupportedOperation,
    WebhookRejected,
)
from .fault import Fault
from .hookspecs import MONEY_OPERATIONS
from .info import ProviderInfo

__all__ = ["LONGEST_CALL", "Call", "Run", "check_repeat", "classify", "fill_in"]

LONGEST_CALL: Final = 86_400.0


class Call:
    """One public call: its deadline, and what it has exposed so far."""

    __slots__ = (
        "began",
        "ends",
        "exposed",
        "first_sent_at",
        "operation",
        "order_id",
        "repeatable",
        "repeats",
        "request_id",
        "runs",
    )

    def __init__(self, operation: str, deadline: float, order_id: str = "") -> None:
        self.operation = operation
        self.order_id = order_id
        self.began = time.monotonic()
        self.ends = self.began + min(deadline, LONGEST_CALL)
        self.runs = 0
        self.exposed = False
        self.repeatable = True
        # When the first request that may have moved money was sent, by this call or by the one that it repeats.
        self.first_sent_at: datetime | None = None
        self.repeats = False
        self.request_id = ""

    def left(self) -> float:
        """Return the seconds until the deadline."""
        return self.ends - time.monotonic()

    def elapsed(self) -> float:
        """Return the seconds since the call began."""
        return time.monotonic() - self.began


def check_repeat(call: Call, info: ProviderInfo, first_sent_at: object, now: datetime) -> None:
    """Let a call repeat one whose outcome is unknown, as long as the gateway keeps the key of the first."""
    call.exposed = call.repeats = True  # whatever is wrong with this call, the first one may have been accepted
    if not isinstance(first_sent_at, datetime) or first_sent_at.tzinfo is None:
        raise InvalidRequest(
            "first_sent_at is when the call was first sent: an aware datetime, such as error.first_sent_at",
            field="first_sent_at",
        )
    lifetime = info.key_lifetime
    left = 0.0 if lifetime is None else lifetime - max((now - first_sent_at).total_seconds(), 0.0)
    call.first_sent_at = first_sent_at
    call.ends = min(call.ends, call.began + left)
    if left <= 0:
        kept = (
            "documents no time for which it keeps a key"
            if lifetime is None
            else f"keeps a key for {lifetime:g} seconds only"
        )
        raise OutcomeUnknown(
            f"{info.title} {kept}, so nothing was sent this time: "
            "the first call may have been accepted, ask for the status"
        )


class Run:
    """One run of a hook: what it has sent, and whether it may be repeated without charging twice."""

    __slots__ = ("advice", "after_exposure", "counts", "repeatable", "yielded")

    def __init__(self, *, counts: bool = True, after_exposure: bool = False) -> None:
        # A run of the authorization step inside another call exposes no money.
        self.counts = counts
        # An earlier run of the same call has sent something that may have been accepted.
        self.after_exposure = after_exposure
        self.yielded = False
        self.repeatable = True
        # What the gateway's last answer said about sending again: it may help, it will not, or nothing.
        self.advice: bool | None = None


def classify(name: str, info: ProviderInfo, call: Call, run: Run, fault: Fault, *, authorizing: bool) -> PaymentError:
    """Return the error that a fault is raised as, given what had been sent when it happened."""
    error = fault.error
    classified = _classified(info, call, run, fault, authorizing=authorizing)
    if classified is error:
        classified = classified.fresh()  # others may hold, or raise, the same object
    else:
        classified.request_id = (error.request_id if isinstance(error, PaymentError) else "") or classified.request_id
        classified.raw_code = error.raw_code if isinstance(error, PaymentError) else ""
    if not classified.request_id:
        classified.request_id = call.request_id
    classified.__traceback__ = classified.__cause__ = classified.__context__ = None
    fill_in(classified, name, info, call)
    return classified


def fill_in(error: PaymentError, name: str, info: ProviderInfo, call: Call) -> None:
    """Fill in which gateway and call an error belongs to, and what may have been accepted."""
    error.gateway, error.provider = name, info.id
    error.operation, error.order_id = call.operation, call.order_id or error.order_id
    error.request_id = error.request_id or call.request_id
    error.accepted = _accepted(call, error)
    if isinstance(error, OutcomeUnknown):
        error.first_sent_at = call.first_sent_at
    if isinstance(error, WebhookRejected):
        error.status = info.rejection_status


def _accepted(call: Call, error: PaymentError) -> Accepted:
    if call.operation not in MONEY_OPERATIONS:
        return Accepted.NO if call.operation == "authorize" else Accepted.UNKNOWN
    if error.accepted is Accepted.YES:
        return Accepted.YES
    if isinstance(error, Rejected) and error.definitive:
        return Accepted.NO
    uncertain = call.exposed or isinstance(error, Rejected | NotFound | OutcomeUnknown | Mismatch)
    return Accepted.UNKNOWN if uncertain else Accepted.NO


def _classified(info: ProviderInfo, call: Call, run: Run, fault: Fault, *, authorizing: bool) -> PaymentError:
    error = fault.error
    if fault.by_hook and isinstance(error, Rejected | NotFound):
        if not authorizing or call.operation == "authorize":
            return _declined(info, call, run, error)
        # Inside another call it would read as if the gateway had declined the charge.
        error = AuthorizationRejected(error.message)
    webhook = call.operation == "parse_webhook" and not authorizing
    if webhook and fault.by_hook and isinstance(error, WebhookRejected):
        return error
    if call.operation in MONEY_OPERATIONS and call.exposed:
        unknown = OutcomeUnknown(f"{_message(error)}; {_instruction(info, call)}", repeatable=_repeatable(info, call))
        if isinstance(error, PaymentError) and error.accepted is Accepted.YES:
            unknown.accepted = Accepted.YES
        return unknown
    if isinstance(error, PaymentError) and (
        fault.classified or isinstance(error, RateLimited | AuthorizationRejected | Mismatch)
    ):
        return error
    if run.yielded or (not fault.by_hook and isinstance(error, GatewayUnavailable | ProtocolViolation)):
        if isinstance(error, GatewayUnavailable | ProtocolViolation):
            return error
        return ProtocolViolation(f"the gateway's answer cannot be understood ({_message(error)})")
    if isinstance(error, UnsupportedOperation | ConfigurationError):
        return error
    if webhook:
        return WebhookRejected("malformed")
    if isinstance(error, InvalidRequest):
        return error
    return ProviderContractError(f"the provider failed before anything was sent ({_message(error)})")


def _repeatable(info: ProviderInfo, call: Call) -> bool:
    """Return True if `check_repeat` would let the identical call be made again: that needs a documented time."""
    return call.repeatable and info.key_lifetime is not None


def _instruction(info: ProviderInfo, call: Call) -> str:
    """Return what to do about an unknown outcome.

    A create cannot be queried where `get_status` needs the gateway's id: that id was lost with the answer.
    """
    accepted = "the request may have been accepted"
    if not _repeatable(info, call):
        return f"{accepted}: ask for the status, do not send it again"
    within = f"within {info.key_lifetime:g} seconds of the first one"
    again = f"make the identical call again, with this error's first_sent_at, {within}"
    if call.operation == "create_charge" and "order_id" not in info.query_by:
        return f"{accepted}: {again}"
    return f"{accepted}: ask for the status; where that is impossible, {again}"


def _declined(info: ProviderInfo, call: Call, run: Run, error: Rejected | NotFound) -> PaymentError:
    """Return the error of a gateway's refusal.

    A refusal of this run does not prove that an earlier run was refused, nor does a refused query say anything about
    the charge: neither is definitive.
    """
    moves_money = call.operation in MONEY_OPERATIONS
    if isinstance(error, NotFound):
        if not (moves_money and run.after_exposure):
            return error
        message = f"{error.message}; an earlier attempt may have been accepted"
        return OutcomeUnknown(message, repeatable=_repeatable(info, call))
    if moves_money and not run.after_exposure:
        return error
    softened = error.fresh()
    softened.definitive = False
    return softened


def _message(error: BaseException) -> str:
    return error.message if isinstance(error, PaymentError) else str(error)
