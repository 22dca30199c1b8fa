"""Decide whether a call runs its hook again, and after which pause. The whole retry policy is here."""

from __future__ import annotations

import random

import msgspec

from ._checks import is_seconds
from .errors import ConfigurationError, ProtocolViolation, RateLimited
from .fault import Fault
from .hookspecs import MONEY_OPERATIONS
from .info import ProviderInfo
from .outcome import LONGEST_CALL, Call, Run

__all__ = ["Retries", "pause_before_renewal", "pause_before_run"]


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """The retry policy of a gateway: `Gateway.open(name, retries=Retries(runs=1))` never retries.

    A run of the provider's hook is repeated after a connection failure, a 5xx or a 429, and only where that cannot
    charge twice: every request of it was safe, was keyed, or was not accepted. Pauses are random (full jitter), double
    each time, and end with the call's deadline. A 429 to a call that moves money is not waited for: it is raised.

    * `runs`: the most runs in one call, 1 for no retries
    * `first_pause`: the most seconds before the second run
    * `longest_pause`: the most seconds before any run
    """

    runs: int = 3
    first_pause: float = 0.2
    longest_pause: float = 2.0

    def __post_init__(self) -> None:
        if type(self.runs) is not int or self.runs < 1:
            raise ConfigurationError("runs of Retries is an int of at least 1")
        if not is_seconds(self.first_pause) or not is_seconds(self.longest_pause):
            raise ConfigurationError("the pauses of Retries are seconds above zero")


def pause_before_run(retries: Retries, call: Call, run: Run, fault: Fault, info: ProviderInfo) -> float | None:
    """Return the seconds to wait before the next run, None where there must be none."""
    if not (_may_help(run, fault) and run.repeatable) or call.runs >= retries.runs:
        return None
    if isinstance(fault.error, RateLimited):
        if call.operation in MONEY_OPERATIONS:
            return None
        if fault.retry_after is not None:
            return fault.retry_after if fault.retry_after < call.left() else None
    pause = _jittered(retries, call.runs)
    return pause if pause < min(call.left(), _key_left(call, info)) else None


def pause_before_renewal(retries: Retries, call: Call, renewals: int) -> float | None:
    """Return the seconds to wait before credentials are renewed once more, None to give up.

    Another process may have obtained a token that ended ours, so the first renewal does not wait. Later ones end
    with half of the deadline: a run that the deadline cut off could not say that the credentials were refused.
    """
    if not renewals:
        return 0.0
    pause = _jittered(retries, renewals)
    return pause if pause < call.left() - call.elapsed() else None


def _jittered(retries: Retries, tries: int) -> float:
    # Full jitter, so that callers who failed together do not come back together.
    return random.uniform(0, min(retries.longest_pause, retries.first_pause * 2 ** min(tries - 1, 32)))  # noqa: S311


def _may_help(run: Run, fault: Fault) -> bool:
    if fault.by_hook:
        return run.advice is True and isinstance(fault.error, ProtocolViolation)
    return fault.transient and run.advice is not False


def _key_left(call: Call, info: ProviderInfo) -> float:
    """Return the seconds for which the gateway keeps the key of what was sent; after them it would act again."""
    lifetime = info.key_lifetime
    if lifetime is None or not call.exposed or call.repeats:  # a repeated call's deadline ends with the key
        return LONGEST_CALL
    return lifetime - call.elapsed()
