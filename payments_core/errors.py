"""What a public call can raise, named by what the caller does next.

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
    """Whether the gateway accepted what a call asked it to do, as far as is known.

    `NO` allows the call to be made again. An error of a call that only asks (`get_status`, `get_refund`, `confirm`,
    `confirm_event`, `parse_webhook`) says nothing about the charge and is always `UNKNOWN`.
    """

    NO = "NO"
    UNKNOWN = "UNKNOWN"
    YES = "YES"


class PaymentError(Exception):
    """The root of everything that a public call raises.

    `accepted` says whether the gateway may have accepted what the call asked for. `request_id` is the gateway's own id
    of the exchange (what its support asks for) and `raw_code` its own error code, each `""` where there is none. The
    core fills in `gateway` (the name it was opened by), `provider`, `operation` and `order_id` (`""` where the call
    named none).
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
        where = ".".join(part for part in (self.gateway or self.provider, self.operation) if part)
        text = f"{where}: {self.message}" if where else self.message
        known = (("order", self.order_id), ("request id", self.request_id))
        ids = ", ".join(f"{name} {value}" for name, value in known if value)
        return f"{text} ({ids})" if ids else text

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
    """The gateway documents that it has no such charge."""

    accepted = Accepted.UNKNOWN


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

    Where asking is impossible and `repeatable` is True (all that was sent was idempotent), make the identical call
    again within `info.key_lifetime` seconds, with `first_sent_at=error.first_sent_at`.
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
    """The gateway's answer cannot be understood; it says nothing about any payment."""


class Mismatch(PaymentError):
    """The answer is about other money than ours: not paid, alert a person. `field` names what differs."""

    field: str = ""
    accepted = Accepted.UNKNOWN

    def __init__(self, message: str = "", *, field: str = "", request_id: str = "", raw_code: str = "") -> None:
        super().__init__(message, request_id=request_id, raw_code=raw_code)
        self.field = field


class WebhookRejected(PaymentError):
    """A notification that is not to be believed: answer `status` and change nothing.

    `reason` is `signature`, `malformed` or `stale`. It never says what the signature should have been. The core fills in
    `status`, which is the provider's to declare (`info.rejection_status`): some gateways want 200 for everything.
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
