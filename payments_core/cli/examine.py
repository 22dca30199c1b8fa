"""What `payments doctor` asks of one gateway: nothing that could make a charge."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from payments_core import (
    Authorization,
    AuthorizationRejected,
    Charge,
    Gateway,
    GatewayUnavailable,
    NotFound,
    PaymentError,
    RateLimited,
    Reference,
    Rejected,
    Response,
    UnsupportedOperation,
    hookimpl,
    tap,
)
from payments_core.account import Account

from .findings import Finding, Result
from .made_up import NotMade, make_up
from .reach import why_unreachable
from .shown import NO_MONEY
from .usual import new_order_id

__all__ = ["Watch", "examine"]

_MOST_SKEW: Final = 60.0  # seconds
_PATIENCE: Final = 5.0
_OWN_CONNECTION: Final = "This machine itself can connect: do its CA certificates differ from `ca_file`?"
_THROUGH_PROXY: Final = (
    "The proxy answers: does it let this machine through to the gateway, and is its CA file in `ca_file`?"
)


class Watch:
    """A plugin that sees whether the gateway answers, and what time it is there."""

    def __init__(self) -> None:
        self.answered = False
        self.skew: float | None = None

    @hookimpl
    def exchange_finished(self, exchange: Any) -> None:
        """Remember an answer; one that decides alone, such as 401, never comes to the flow."""
        self.answered = self.answered or exchange.status is not None

    @hookimpl(wrapper=True)
    def authorize(self) -> Any:
        """Look at the answers of the authorization."""
        flow = yield
        return tap(flow, response=self._look)

    @hookimpl(wrapper=True)
    def get_status(self) -> Any:
        """Look at the answers of a question."""
        flow = yield
        return tap(flow, response=self._look)

    def _look(self, response: Response) -> None:
        dates = [value for name, value in response.headers if name.lower() == "date"]
        try:
            there = parsedate_to_datetime(dates[0])
        except (IndexError, ValueError):
            return
        self.skew = (datetime.now(UTC) - there.replace(tzinfo=there.tzinfo or UTC)).total_seconds()


def examine(gateway: Gateway, watch: Watch, account: Account, deadline: float | None) -> list[Finding]:
    """Return what one harmless call says of the address, the credentials and the clock, and whether money moves."""
    outcome = _asked(gateway, account.provider, deadline)
    address = _address(outcome, watch, account)
    reached = address.result is Result.OK
    credentials = _credentials(outcome, watch) if reached else _finding("the gateway cannot be reached", Result.SKIPPED)
    return [address, credentials, _clock(watch), _money(gateway)]


def _asked(gateway: Gateway, provider: str, deadline: float | None) -> PaymentError | Authorization | Charge:
    """Authorize; where the provider has no such step, ask about a charge that nobody has made."""
    try:
        return gateway.authorize(deadline=deadline)
    except UnsupportedOperation:
        pass
    except PaymentError as error:
        return error
    try:
        return gateway.get_status(_of_nobody(gateway, provider), deadline=deadline)
    except PaymentError as error:
        return error


def _of_nobody(gateway: Gateway, provider: str) -> Reference:
    """Return a reference that no charge has, in the shape that the gateway's own ids have."""
    made_up = new_order_id(gateway.info.limits, "DOCTOR")
    if "order_id" in gateway.info.query_by:
        return Reference(made_up)
    try:
        return Reference(provider_id=make_up(provider).reference.provider_id)
    except NotMade:
        return Reference(provider_id=made_up)


def _address(outcome: object, watch: Watch, account: Account) -> Finding:
    if watch.answered:
        return Finding("address", Result.OK, "base_url answers")
    base_url, ways = getattr(account.config, "base_url", ""), account.connection
    problem, advice = "", ""
    if ways.proxy:
        problem, advice = why_unreachable(ways.proxy.reveal(), _PATIENCE, setting="proxy")
    elif base_url:
        problem, advice = why_unreachable(base_url, _PATIENCE, ca_file=ways.ca_file)
    if problem:
        return Finding("address", Result.FAILED, problem, advice)
    if isinstance(outcome, GatewayUnavailable) or not (base_url or ways.proxy):
        message = outcome.message if isinstance(outcome, PaymentError) else "nothing was sent"
        return Finding("address", Result.FAILED, message, _THROUGH_PROXY if ways.proxy else _OWN_CONNECTION)
    return Finding("address", Result.OK, "a connection can be made; nothing was asked")


def _credentials(outcome: object, watch: Watch) -> Finding:
    match outcome:
        case Authorization():
            return _finding("the gateway accepts them, and gave an authorization")
        case AuthorizationRejected():
            advice = "Are they whole, and of the account and the environment that base_url belongs to?"
            return _finding(outcome.message, Result.FAILED, advice)
        case NotFound() | Rejected() if outcome.operation == "authorize":
            return _finding(f"the gateway refuses them: {outcome.message}", Result.FAILED, "Ask the gateway's support.")
        case NotFound() | Rejected() if watch.answered:
            return _finding("the gateway accepts them, and knows no charge that nobody has made")
        case RateLimited():
            return _finding(f"not checked: {outcome.message}", Result.WARNING, "Run this again, later.")
        case PaymentError() if watch.answered:
            advice = "Is base_url the address of this gateway's API, and is the gateway in order?"
            return _finding(f"not checked: {outcome.message}", Result.FAILED, advice)
        case PaymentError():
            return _finding(f"nothing can be asked without making a charge ({outcome.message})", Result.SKIPPED)
    return _finding(
        "asking about a charge that nobody has made was answered with one", Result.FAILED, "Is base_url right?"
    )


def _finding(message: str, result: Result = Result.OK, advice: str = "") -> Finding:
    return Finding("credentials", result, message, advice)


def _clock(watch: Watch) -> Finding:
    if watch.skew is None:
        return Finding("clock", Result.SKIPPED, "no answer of the gateway says what time it is there")
    seconds = abs(watch.skew)
    if seconds <= _MOST_SKEW:
        return Finding("clock", Result.OK, f"within {max(seconds, 1):.0f} s of the gateway's")
    side = "ahead of" if watch.skew > 0 else "behind"
    return Finding(
        "clock",
        Result.WARNING,
        f"{seconds:.0f} s {side} the gateway's: genuine notifications look stale",
        "Let this machine take its time from the network (NTP).",
    )


def _money(gateway: Gateway) -> Finding:
    if gateway.moves_money:
        return Finding("money", Result.OK, "money moves: a live account")
    if gateway.moves_money is None:
        return Finding("money", Result.OK, "the settings do not say whether money moves: ask who gave them to you")
    return Finding("money", Result.WARNING, NO_MONEY, "Right for a test. In production nobody would be charged.")
