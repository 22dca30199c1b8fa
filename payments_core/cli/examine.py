"""Examine one gateway for `payments doctor`, without a call that could make a charge."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, assert_never

from payments_core import (
    Authorization,
    AuthorizationRejected,
    Charge,
    Gateway,
    GatewayUnavailable,
    NotFound,
    Notifications,
    PaymentError,
    ProviderInfo,
    RateLimited,
    Reference,
    Rejected,
    Response,
    UnsupportedOperation,
    hookimpl,
    tap,
)
from payments_core.account import Account

from .connectivity import connection_problem
from .defaults import new_order_id
from .display import NO_MONEY
from .findings import Finding, Result
from .sample import SampleUnavailable, make_sample

__all__ = ["Watch", "examine"]

_MAX_SKEW: Final = 60.0  # seconds
_TIMEOUT: Final = 5.0
_OWN_CONNECTION: Final = "This machine itself can connect: do its CA certificates differ from `ca_file`?"
_THROUGH_PROXY: Final = (
    "The proxy answers: does it let this machine through to the gateway, and is its CA file in `ca_file`?"
)


class Watch:
    """Observe, as a plugin, whether the gateway answers, and its clock."""

    def __init__(self) -> None:
        self.answered = False
        self.skew: float | None = None

    @hookimpl
    def exchange_finished(self, exchange: Any) -> None:
        """Record an answer here, because some answers, such as a 401, never reach the flow."""
        self.answered = self.answered or exchange.status is not None

    @hookimpl(wrapper=True)
    def authorize(self) -> Any:
        """Watch the answers to the authorization."""
        flow = yield
        return tap(flow, response=self._observe)

    @hookimpl(wrapper=True)
    def get_status(self) -> Any:
        """Watch the answers to a query."""
        flow = yield
        return tap(flow, response=self._observe)

    def _observe(self, response: Response) -> None:
        dates = [value for name, value in response.headers if name.lower() == "date"]
        try:
            there = parsedate_to_datetime(dates[0])
        except (IndexError, ValueError):
            return
        self.skew = (datetime.now(UTC) - there.replace(tzinfo=there.tzinfo or UTC)).total_seconds()


def examine(gateway: Gateway, watch: Watch, account: Account, deadline: float | None) -> list[Finding]:
    """Make one harmless call; report on the address, the credentials, the clock, and whether money moves."""
    outcome = _probe(gateway, account.provider, deadline)
    address = _address(outcome, watch, account)
    reached = address.result is Result.OK
    credentials = _credentials(outcome, watch) if reached else _finding("the gateway cannot be reached", Result.SKIPPED)
    return [address, credentials, _clock(watch, gateway.info), _money(gateway)]


def _probe(gateway: Gateway, provider: str, deadline: float | None) -> PaymentError | Authorization | Charge:
    """Authorize; if the provider has no such step, query a charge that does not exist."""
    try:
        return gateway.authorize(deadline=deadline)
    except UnsupportedOperation:
        pass
    except PaymentError as error:
        return error
    try:
        return gateway.get_status(_unused_reference(gateway, provider), deadline=deadline)
    except PaymentError as error:
        return error


def _unused_reference(gateway: Gateway, provider: str) -> Reference:
    """Return an unused reference, in the form of the gateway's own ids."""
    unused = new_order_id(gateway.info.limits, "DOCTOR")
    if "order_id" in gateway.info.query_by:
        return Reference(unused)
    try:
        return Reference(provider_id=make_sample(provider).reference.provider_id)
    except SampleUnavailable:
        return Reference(provider_id=unused)


def _address(outcome: object, watch: Watch, account: Account) -> Finding:
    if watch.answered:
        return Finding("address", Result.OK, "base_url answers")
    base_url, connection = getattr(account.config, "base_url", ""), account.connection
    problem, advice = "", ""
    if connection.proxy:
        problem, advice = connection_problem(connection.proxy.reveal(), _TIMEOUT, setting="proxy")
    elif base_url:
        problem, advice = connection_problem(base_url, _TIMEOUT, ca_file=connection.ca_file)
    if problem:
        return Finding("address", Result.FAILED, problem, advice)
    if isinstance(outcome, GatewayUnavailable) or not (base_url or connection.proxy):
        message = outcome.message if isinstance(outcome, PaymentError) else "nothing was sent"
        return Finding("address", Result.FAILED, message, _THROUGH_PROXY if connection.proxy else _OWN_CONNECTION)
    return Finding("address", Result.OK, "a connection can be made; nothing was sent")


def _credentials(outcome: PaymentError | Authorization | Charge, watch: Watch) -> Finding:
    match outcome:
        case Authorization():
            return _finding("the gateway accepts them, and issued an authorization")
        case AuthorizationRejected():
            advice = "Are they complete, and do they belong to the same account and environment as base_url?"
            return _finding(outcome.message, Result.FAILED, advice)
        case NotFound() | Rejected() if outcome.operation == "authorize":
            return _finding(f"the gateway refuses them: {outcome.message}", Result.FAILED, "Ask the gateway's support.")
        case NotFound() | Rejected() if watch.answered:
            return _finding("the gateway accepts them, and finds no charge under an unused id")
        case RateLimited():
            return _finding(f"not checked: {outcome.message}", Result.WARNING, "Run this again, later.")
        case PaymentError() if watch.answered:
            advice = "Is base_url the address of this gateway's API, and is the gateway working?"
            return _finding(f"not checked: {outcome.message}", Result.FAILED, advice)
        case PaymentError():
            return _finding(f"nothing can be queried without making a charge ({outcome.message})", Result.SKIPPED)
        case Charge():
            return _finding(
                "a query about an unused id was answered with a charge", Result.FAILED, "Is base_url right?"
            )
        case _:
            assert_never(outcome)


def _finding(message: str, result: Result = Result.OK, advice: str = "") -> Finding:
    return Finding("credentials", result, message, advice)


def _clock(watch: Watch, info: ProviderInfo) -> Finding:
    if watch.skew is None:
        return Finding("clock", Result.SKIPPED, "no answer of the gateway states its time")
    seconds = abs(watch.skew)
    if seconds <= _MAX_SKEW:
        return Finding("clock", Result.OK, f"within {max(seconds, 1):.0f} s of the gateway's")
    signed = info.notifications is Notifications.SIGNED
    affected = "genuine notifications look stale" if signed else "times in its answers look wrong"
    side = "ahead of" if watch.skew > 0 else "behind"
    return Finding(
        "clock",
        Result.WARNING,
        f"{seconds:.0f} s {side} the gateway's: {affected}",
        "Set this machine's clock from the network (NTP).",
    )


def _money(gateway: Gateway) -> Finding:
    if gateway.moves_money:
        return Finding("money", Result.OK, "money moves: a live account")
    if gateway.moves_money is None:
        return Finding("money", Result.OK, "the settings do not say whether money moves: ask whoever issued them")
    return Finding("money", Result.WARNING, NO_MONEY, "Right for a test. In production, nobody would be charged.")
