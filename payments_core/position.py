"""How far a call has come, and what a fault is called by that: by what had been sent when it happened."""

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
from .info import ProviderInfo

__all__ = ["LONGEST_CALL", "MONEY_OPERATIONS", "Call", "Run", "check_repeat", "fill_in", "positioned"]

LONGEST_CALL: Final = 86_400.0
# The calls in which an unsafe request that got away makes every other fault an unknown outcome.
MONEY_OPERATIONS: Final = frozenset(
    {"create_charge", "complete_charge", "capture_charge", "cancel_charge", "refund_charge"}
)


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


def check_repeat(call: Call, info: ProviderInfo, first_sent_at: object, now: datetime) -> None:
    """Let a call repeat one whose outcome is unknown, while the gateway keeps the key of the first."""
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
    """One run of a hook: whether anything was sent, and whether the run may be repeated."""

    __slots__ = ("advised", "after_exposure", "counts", "repeatable", "yielded")

    def __init__(self, *, counts: bool = True, after_exposure: bool = False) -> None:
        # A run of the authorization step inside another call exposes no money.
        self.counts = counts
        # An earlier run of the same call has sent something that may have been accepted.
        self.after_exposure = after_exposure
        self.yielded = False
        self.repeatable = True
        # The gateway said of its last answer that sending again may help, or that it will not.
        self.advised: bool | None = None


def positioned(name: str, info: ProviderInfo, call: Call, run: Run, fault: Fault, *, authorizing: bool) -> PaymentError:
    """What a fault is called, by what had been sent when it happened."""
    error = fault.error
    named = _named(info, call, run, fault, authorizing=authorizing)
    if named is error:
        named = named.fresh()  # a waiter's copy, or one that is told twice
    else:
        named.request_id = (error.request_id if isinstance(error, PaymentError) else "") or named.request_id
        named.raw_code = error.raw_code if isinstance(error, PaymentError) else ""
    if not named.request_id:
        named.request_id = call.request_id
    named.__traceback__ = named.__cause__ = named.__context__ = None
    fill_in(named, name, info, call)
    return named


def fill_in(error: PaymentError, name: str, info: ProviderInfo, call: Call) -> None:
    """Say in an error whose it is, and what the gateway may have accepted."""
    error.gateway, error.provider = name, info.id
    error.operation, error.order_id = call.operation, call.order_id or error.order_id
    error.request_id = error.request_id or call.request_id
    error.accepted = _accepted(call, error)
    if isinstance(error, OutcomeUnknown):
        error.first_sent_at = call.first_sent_at


def _accepted(call: Call, error: PaymentError) -> Accepted:
    if call.operation not in MONEY_OPERATIONS:
        return Accepted.NO if call.operation == "authorize" else Accepted.UNKNOWN
    if error.accepted is Accepted.YES:
        return Accepted.YES
    if isinstance(error, Rejected) and error.definitive:
        return Accepted.NO
    uncertain = call.exposed or isinstance(error, Rejected | NotFound | OutcomeUnknown | Mismatch)
    return Accepted.UNKNOWN if uncertain else Accepted.NO


def _named(info: ProviderInfo, call: Call, run: Run, fault: Fault, *, authorizing: bool) -> PaymentError:
    error = fault.error
    if fault.by_hook and isinstance(error, Rejected | NotFound):
        if not authorizing or call.operation == "authorize":
            return _said_no(info, call, run, error)
        # Inside another call it would read as if the gateway had said no to the charge.
        error = AuthorizationRejected(error.message)
    webhook = call.operation == "parse_webhook" and not authorizing
    if webhook and fault.by_hook and isinstance(error, WebhookRejected):
        return error
    if call.operation in MONEY_OPERATIONS and call.exposed:
        unknown = OutcomeUnknown(f"{_text(error)}; {_what_next(info, call)}", repeatable=_repeatable(info, call))
        if isinstance(error, PaymentError) and error.accepted is Accepted.YES:
            unknown.accepted = Accepted.YES
        return unknown
    if isinstance(error, PaymentError) and (
        fault.named or isinstance(error, RateLimited | AuthorizationRejected | Mismatch)
    ):
        return error
    if run.yielded or (not fault.by_hook and isinstance(error, GatewayUnavailable | ProtocolViolation)):
        if isinstance(error, GatewayUnavailable | ProtocolViolation):
            return error
        return ProtocolViolation(f"the gateway's answer cannot be understood ({_text(error)})")
    if isinstance(error, UnsupportedOperation | ConfigurationError):
        return error
    if webhook:
        return WebhookRejected("malformed")
    if isinstance(error, InvalidRequest):
        return error
    return ProviderContractError(f"the provider failed before anything was sent ({_text(error)})")


def _repeatable(info: ProviderInfo, call: Call) -> bool:
    """Return whether `check_repeat` would let the identical call be made again: it needs a documented time."""
    return call.repeatable and info.key_lifetime is not None


def _what_next(info: ProviderInfo, call: Call) -> str:
    """What to do when nobody knows; where the order id finds nothing, asking needs an id that was perhaps lost."""
    accepted = "the request may have been accepted"
    if not _repeatable(info, call):
        return f"{accepted}: ask for the status, do not send it again"
    within = f"within {info.key_lifetime:g} seconds of the first one"
    again = f"make the identical call again, with this error's first_sent_at, {within}"
    if call.operation == "create_charge" and "order_id" not in info.query_by:
        return f"{accepted}: {again}"
    return f"{accepted}: ask for the status; where that is impossible, {again}"


def _said_no(info: ProviderInfo, call: Call, run: Run, error: Rejected | NotFound) -> PaymentError:
    """The gateway's no, as the hook read it.

    About an earlier run of the same call it says nothing for sure; and a no to a question says nothing about any charge.
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


def _text(error: BaseException) -> str:
    return error.message if isinstance(error, PaymentError) else str(error)
