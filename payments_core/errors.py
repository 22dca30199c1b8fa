"""Define the errors of public calls, named by what the caller does next.

Nothing here holds a secret, a token or another library's exception: the text is written for a person, and what a
program needs is an attribute.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Self, TypeVar

__all__ = [
    "Accepted",
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


class Accepted(StrEnum):
    """The gateway's acceptance of a call, as far as is known.

    An error of a call that only asks (`get_status`, `get_refund`, `confirm`, `confirm_event`, `parse_webhook`) says
    nothing about the charge and is always `UNKNOWN`.

    * `NO`: nothing was accepted; you may call again
    * `UNKNOWN`: something may have been accepted
    * `YES`: something was accepted, though not as asked: of another amount, say
    """

    NO = "NO"
    UNKNOWN = "UNKNOWN"
    YES = "YES"


class PaymentError(Exception):
    """The base class of everything that a public call raises; catch its subclasses.

    * `message`: the problem, in words; `str(error)` adds the gateway, the operation and the ids
    * `request_id`: the gateway's id of the exchange, for its support; `""` where there is none
    * `raw_code`: the gateway's own error code, `""` where there is none
    * `gateway`: the name that the gateway was opened by; the core fills it in
    * `provider`: the provider's id; the core fills it in
    * `operation`: the call, such as `create_charge`; the core fills it in
    * `order_id`: the order that the call named, or `""`; the core fills it in
    * `accepted`: whether the gateway may have accepted what the call asked for; the core fills it in
    """

    # The defaults stand in the classes because a plugin's subclass may never call this __init__.
    message: str = ""
    request_id: str = ""
    raw_code: str = ""
    gateway: str = ""
    provider: str = ""
    operation: str = ""
    order_id: str = ""
    accepted: Accepted = Accepted.NO

    def __init__(self, message: str = "", *, request_id: str = "", raw_code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.request_id = request_id
        self.raw_code = raw_code

    def __str__(self) -> str:
        whose = (self.gateway or self.provider) if self.operation else self.provider
        where = ".".join(part for part in (whose, self.operation) if part)
        text = f"{where}: {self.message}" if where else self.message
        known = (("order", self.order_id), ("request id", self.request_id))
        ids = ", ".join(f"{name} {value}" for name, value in known if value)
        return f"{text} ({ids})" if ids else text

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only parameters do not survive BaseException's own pickling.
        return _rebuild, (type(self), self.args, dict(self.__dict__))

    def fresh(self) -> Self:
        """Return an equal error without traceback, cause or context, for another caller to raise."""
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
    """Fix the installation: the plugin violates the contract."""


class InvalidRequest(PaymentError, ValueError):
    """Fix the call: nothing was sent.

    * `field`: the argument that is wrong
    """

    field: str = ""

    def __init__(self, message: str = "", *, field: str = "", request_id: str = "", raw_code: str = "") -> None:
        super().__init__(message, request_id=request_id, raw_code=raw_code)
        self.field = field


class UnsupportedOperation(PaymentError):
    """Do not try again: this provider does not support the call."""


class AuthorizationRejected(PaymentError):
    """Fix the credentials: the gateway refuses them, even after renewal."""


class RejectionCode(StrEnum):
    """The reason for a decline, as far as the gateway documents it.

    * `DECLINED`: the shopper's bank or wallet declined
    * `INSUFFICIENT_FUNDS`: the shopper has too little money
    * `RISK`: the gateway suspects fraud
    * `DUPLICATE`: the id was used before
    * `INVALID`: the request is invalid
    * `UNKNOWN`: the gateway's code means none of these
    """

    DECLINED = "DECLINED"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    RISK = "RISK"
    DUPLICATE = "DUPLICATE"
    INVALID = "INVALID"
    UNKNOWN = "UNKNOWN"


class Rejected(PaymentError):
    """Query the charge before you abandon it, unless `definitive` is True: the gateway declined.

    * `code`: the reason
    * `definitive`: True only where the provider's table, with its source, says that nothing was accepted; without it
      the charge may still exist
    """

    code: RejectionCode = RejectionCode.UNKNOWN
    definitive: bool = False
    accepted = Accepted.UNKNOWN

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
    """Check the id: the gateway documents that it has no such charge."""

    accepted = Accepted.UNKNOWN


class RateLimited(PaymentError):
    """Send again later: nothing was accepted.

    * `retry_after`: the seconds to wait, None where the gateway does not say
    """

    retry_after: float | None = None

    def __init__(
        self, message: str = "", *, retry_after: float | None = None, request_id: str = "", raw_code: str = ""
    ) -> None:
        super().__init__(message, request_id=request_id, raw_code=raw_code)
        self.retry_after = retry_after


class GatewayUnavailable(PaymentError):
    """Send again: nothing was accepted."""


class OutcomeUnknown(PaymentError):
    """Query the status: the request may have been accepted. Never assume a failure, and never just send again.

    Where a query is impossible and `repeatable` is True, make the identical call again within `info.key_lifetime`
    seconds, with `first_sent_at=error.first_sent_at`.

    * `repeatable`: True when all that was sent was idempotent and the provider declares a `key_lifetime`
    * `first_sent_at`: when the first of it was sent; the core fills it in
    """

    repeatable: bool = False
    first_sent_at: datetime | None = None
    accepted = Accepted.UNKNOWN

    def __init__(
        self, message: str = "", *, repeatable: bool = False, request_id: str = "", raw_code: str = ""
    ) -> None:
        super().__init__(message, request_id=request_id, raw_code=raw_code)
        self.repeatable = repeatable


class ProtocolViolation(PaymentError):
    """Try again, then contact the gateway: its answer cannot be interpreted, and says nothing about any payment."""


class Mismatch(PaymentError):
    """Alert a person, and count it as not paid: the answer is not about your order.

    * `field`: the field that differs
    """

    field: str = ""
    accepted = Accepted.UNKNOWN

    def __init__(self, message: str = "", *, field: str = "", request_id: str = "", raw_code: str = "") -> None:
        super().__init__(message, request_id=request_id, raw_code=raw_code)
        self.field = field


class WebhookRejected(PaymentError):
    """Answer `status` and change nothing: the notification cannot be trusted.

    It never contains the expected signature.

    * `reason`: `signature`, `malformed` or `stale`
    * `status`: the HTTP status to answer, as the provider declares in `info.rejection_status`; the core fills it in
    """

    reason: str = "malformed"
    status: int = 400
    accepted = Accepted.UNKNOWN

    _EXPLAINED: ClassVar[dict[str, str]] = {
        "signature": "the notification is not signed by the gateway's key",
        "malformed": "the notification cannot be read",
        "stale": "the notification was signed too long ago, or in the future",
    }

    def __init__(self, reason: str, message: str = "", *, request_id: str = "", raw_code: str = "") -> None:
        super().__init__(message or self._EXPLAINED.get(reason, reason), request_id=request_id, raw_code=raw_code)
        self.reason = reason
