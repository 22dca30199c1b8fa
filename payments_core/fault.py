"""What went wrong in one run of a hook, before its position decides what it is called."""

from __future__ import annotations

from typing import Final

import msgspec

from .body import decides_alone
from .errors import (
    AuthorizationRejected,
    GatewayUnavailable,
    OutcomeUnknown,
    PaymentError,
    ProtocolViolation,
    RateLimited,
)
from .flow import Response
from .secrets import Secret

__all__ = ["Fault", "ProviderBug", "by_status", "from_hook", "masked", "transport_fault"]

_SHORTEST_SECRET: Final = 8


class Fault(msgspec.Struct, frozen=True):
    """How a run failed, before its position was looked at."""

    error: BaseException
    by_hook: bool = False
    refused: bool = False
    again: bool = False
    retry_after: float | None = None
    # Already named, by the flight that this caller waited for.
    named: bool = False


class ProviderBug(Exception):
    """Stands for a provider's own exception, whose text and frames may hold anything."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"a {type(error).__name__} in the provider")


def from_hook(error: BaseException, secrets: tuple[Secret, ...]) -> Fault:
    """Return the fault of what a hook raised, without what it echoes of `secrets`."""
    told = masked(error, secrets) if isinstance(error, PaymentError) else ProviderBug(error)
    return Fault(told, by_hook=True, refused=isinstance(error, AuthorizationRejected))


def masked(error: PaymentError, secrets: tuple[Secret, ...]) -> PaymentError:
    """Return a copy of an error in which no text shows a secret, or leaves its line."""
    copy = error.fresh()
    for name, value in vars(copy).items():
        if type(value) is str:
            setattr(copy, name, _presentable(value, secrets))
    copy.args = tuple(_presentable(each, secrets) if type(each) is str else each for each in copy.args)
    return copy


def _presentable(text: str, secrets: tuple[Secret, ...]) -> str:
    for secret in secrets:
        value = secret.reveal()
        # What is shorter is part of many words, and no secret.
        if len(value) >= _SHORTEST_SECRET and value in text:
            text = text.replace(value, "***")
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)


def by_status(response: Response, advice: bool | None = None) -> Fault | None:
    """The fault of an answer whose status decides alone; `advice` is the gateway's own word on sending again."""
    status = response.status
    if not decides_alone(status):
        return None
    if status in {401, 403}:
        return Fault(AuthorizationRejected(f"the gateway refuses these credentials (HTTP {status})"), refused=True)
    if status == 429:
        wait = _retry_after(response)
        text = f"too many requests: wait {wait:g} s" if wait is not None else "too many requests"
        return Fault(RateLimited(text, retry_after=wait), again=advice is not False, retry_after=wait)
    if status < 500:
        return Fault(GatewayUnavailable(f"the gateway answered with a redirect (HTTP {status}), which is not followed"))
    return Fault(GatewayUnavailable(f"the gateway is out of order (HTTP {status})"), again=advice is not False)


def _retry_after(response: Response) -> float | None:
    """Seconds, from a Retry-After in seconds; the date form is rare and says less than it seems with a wrong clock."""
    values = [value for name, value in response.headers if name.lower() == "retry-after"]
    if len(values) == 1 and values[0].strip().isascii() and values[0].strip().isdecimal() and len(values[0]) < 10:
        return float(values[0])
    return None


def transport_fault(error: BaseException | None) -> PaymentError:
    """The error of an exchange that brought no answer."""
    if isinstance(error, GatewayUnavailable | ProtocolViolation):
        return error
    if isinstance(error, OutcomeUnknown):
        return GatewayUnavailable(error.message)
    return GatewayUnavailable(f"the transport failed ({type(error).__name__})")
