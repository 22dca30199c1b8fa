"""What a public call can raise, named by what the caller does next.

Nothing here holds a secret, a token or another library's exception: the text is written for a person, and what a
program needs is an attribute.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Self, TypeVar

__all__ = [
    "AuthorizationRejected",
    "ConfigurationError",
    "GatewayUnavailable",
    "InvalidRequest",
    "Mismatch",
    "NotFound",
    "OutcomeUnknown",
    "PaymentError",
    "ProtocolViolation",
    "ProviderContractError",
    "ProviderNotFound",
    "RateLimited",
    "Rejected",
    "RejectionCode",
    "UnsupportedOperation",
    "WebhookRejected",
]


_E = TypeVar("_E", bound="PaymentError")


class PaymentError(Exception):
    """The root of everything that a public call raises.

    `request_id` is the gateway's own id of the exchange (what its support asks for) and `raw_code` its own error code,
    each `""` where there is none. `provider` and `operation` are filled in by the core.
    """

    # The defaults stand in the classes because a plugin's subclass may never call this __init__.
    message: str = ""
    request_id: str = ""
    raw_code: str = ""
    provider: str = ""
    operation: str = ""

    def __init__(self, message: str = "", *, request_id: str = "", raw_code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.request_id = request_id
        self.raw_code = raw_code

    def __str__(self) -> str:
        where = ".".join(part for part in (self.provider, self.operation) if part)
        text = f"{where}: {self.message}" if where else self.message
        return f"{text} (request id {self.request_id})" if self.request_id else text

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only parameters do not survive BaseException's own pickling.
        return _rebuild, (type(self), self.args, dict(self.__dict__))

    def fresh(self) -> Self:
        """An equal error without traceback, cause or context, for another caller to raise."""
        return _rebuild(type(self), self.args, dict(self.__dict__))


def _rebuild(kind: type[_E], args: tuple[object, ...], state: dict[str, object]) -> _E:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class ConfigurationError(PaymentError):
    """Fix the configuration: a value is missing, wrong or unusable. Its value is never shown."""


class ProviderNotFound(PaymentError):
    """Fix the installation: no installed distribution registers this provider."""


class ProviderContractError(PaymentError):
    """Fix the installation: the plugin does not keep the contract."""


class InvalidRequest(PaymentError, ValueError):
    """Nothing was sent: fix the call. `field` names the argument."""

    field: str = ""

    def __init__(self, message: str = "", *, field: str = "", request_id: str = "", raw_code: str = "") -> None:
        super().__init__(message, request_id=request_id, raw_code=raw_code)
        self.field = field


class UnsupportedOperation(PaymentError):
    """This provider cannot do that at all."""


class AuthorizationRejected(PaymentError):
    """The gateway refuses these credentials, after one renewal where there is anything to renew."""


class RejectionCode(StrEnum):
    """Why a gateway said no, as far as its own documentation tells."""

    DECLINED = "DECLINED"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    RISK = "RISK"
    DUPLICATE = "DUPLICATE"
    INVALID = "INVALID"
    UNKNOWN = "UNKNOWN"


class Rejected(PaymentError):
    """The gateway said no.

    `definitive` is True only where the provider's table, with its source, says that nothing was accepted. Without it
    the charge may still exist: ask before giving up on it.
    """

    code: RejectionCode = RejectionCode.UNKNOWN
    definitive: bool = False

    def __init__(
        self,
        message: str = "",
        *,
        code: RejectionCode | str = RejectionCode.UNKNOWN,
        definitive: bool = False,
        request_id: str = "",
        raw_code: str = "",
    ) -> None:
        super().__init__(message, request_id=request_id, raw_code=raw_code)
        self.code = RejectionCode(code)
        self.definitive = definitive


class NotFound(PaymentError):
    """The gateway documents that it has no such charge."""


class RateLimited(PaymentError):
    """Nothing was accepted: safe to send again, after `retry_after` seconds where the gateway says how long."""

    retry_after: float | None = None

    def __init__(
        self, message: str = "", *, retry_after: float | None = None, request_id: str = "", raw_code: str = ""
    ) -> None:
        super().__init__(message, request_id=request_id, raw_code=raw_code)
        self.retry_after = retry_after


class GatewayUnavailable(PaymentError):
    """Nothing was accepted: safe to send again."""


class OutcomeUnknown(PaymentError):
    """The request may have been accepted: ask for the status, never assume a failure and never just send again.

    Where asking is impossible and `repeatable` is True (all that was sent was idempotent), the identical call may be
    made again within `info.key_lifetime` seconds.
    """

    repeatable: bool = False

    def __init__(
        self, message: str = "", *, repeatable: bool = False, request_id: str = "", raw_code: str = ""
    ) -> None:
        super().__init__(message, request_id=request_id, raw_code=raw_code)
        self.repeatable = repeatable


class ProtocolViolation(PaymentError):
    """The gateway's answer cannot be understood; it says nothing about any payment."""


class Mismatch(PaymentError):
    """The answer is about other money than ours: not paid, alert a person. `field` names what differs."""

    field: str = ""

    def __init__(self, message: str = "", *, field: str = "", request_id: str = "", raw_code: str = "") -> None:
        super().__init__(message, request_id=request_id, raw_code=raw_code)
        self.field = field


class WebhookRejected(PaymentError):
    """A notification that is not to be believed: answer 4xx and change nothing.

    `reason` is `signature`, `malformed` or `stale`. It never says what the signature should have been.
    """

    reason: str = "malformed"

    _EXPLAINED: ClassVar[dict[str, str]] = {
        "signature": "the notification is not signed by the gateway's key",
        "malformed": "the notification cannot be read",
        "stale": "the notification was signed too long ago, or in the future",
    }

    def __init__(self, reason: str, message: str = "", *, request_id: str = "", raw_code: str = "") -> None:
        super().__init__(message or self._EXPLAINED.get(reason, reason), request_id=request_id, raw_code=raw_code)
        self.reason = reason
