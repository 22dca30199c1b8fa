"""Describe what failed in one run of a hook, before `outcome` classifies it."""

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
    """One failure of a run.

    * `by_hook`: the hook raised it, or returned something that is not its result
    * `refused`: the gateway refused the credentials
    * `transient`: the network or the gateway failed in a way that may pass
    * `retry_after`: the seconds that the gateway asks to wait
    * `classified`: the flight that this caller waited for has classified it
    """

    error: BaseException
    by_hook: bool = False
    refused: bool = False
    transient: bool = False
    retry_after: float | None = None
    classified: bool = False


class ProviderBug(Exception):
    """Replaces a provider's own exception, whose text and frames may hold anything."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"a {type(error).__name__} in the provider")


def from_hook(error: BaseException, secrets: tuple[Secret, ...]) -> Fault:
    """Return the fault of what a hook raised, with `secrets` masked in its texts."""
    shown = masked(error, secrets) if isinstance(error, PaymentError) else ProviderBug(error)
    return Fault(shown, by_hook=True, refused=isinstance(error, AuthorizationRejected))


def masked(error: PaymentError, secrets: tuple[Secret, ...]) -> PaymentError:
    """Return a copy of an error with secrets masked, and unprintable characters replaced, in all its texts."""
    copy = error.fresh()
    for name, value in vars(copy).items():
        if type(value) is str:
            setattr(copy, name, _presentable(value, secrets))
    copy.args = tuple(_presentable(each, secrets) if type(each) is str else each for each in copy.args)
    return copy


def _presentable(text: str, secrets: tuple[Secret, ...]) -> str:
    for secret in secrets:
        value = secret.reveal()
        # Anything shorter is part of many words, and no secret.
        if len(value) >= _SHORTEST_SECRET and value in text:
            text = text.replace(value, "***")
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)


def by_status(response: Response) -> Fault | None:
    """Return the fault of an answer whose status decides without its body, else None."""
    status = response.status
    if not decides_alone(status):
        return None
    if status in {401, 403}:
        return Fault(AuthorizationRejected(f"the gateway refuses these credentials (HTTP {status})"), refused=True)
    if status == 429:
        wait = _retry_after(response)
        text = f"too many requests: wait {wait:g} s" if wait is not None else "too many requests"
        return Fault(RateLimited(text, retry_after=wait), transient=True, retry_after=wait)
    if status < 500:
        return Fault(GatewayUnavailable(f"the gateway answered with a redirect (HTTP {status}), which is not followed"))
    return Fault(GatewayUnavailable(f"the gateway is out of order (HTTP {status})"), transient=True)


def _retry_after(response: Response) -> float | None:
    """Return the seconds of a Retry-After header; its date form is rare, and useless where a clock is wrong."""
    values = [value for name, value in response.headers if name.lower() == "retry-after"]
    if len(values) == 1 and values[0].strip().isascii() and values[0].strip().isdecimal() and len(values[0]) < 10:
        return float(values[0])
    return None


def transport_fault(error: BaseException | None) -> PaymentError:
    """Return the error of an exchange without an answer."""
    if isinstance(error, GatewayUnavailable | ProtocolViolation):
        return error
    if isinstance(error, OutcomeUnknown):
        return GatewayUnavailable(error.message)
    return GatewayUnavailable(f"the transport failed ({type(error).__name__})")
