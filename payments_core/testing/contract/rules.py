"""Define a contract class: its attributes, and the rules for leaving out a test."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

import msgspec

from payments_core import (
    ChargeRequest,
    Duplicates,
    Money,
    Notifications,
    PaymentError,
    PaymentStatus,
    ProviderInfo,
    Rejected,
    RejectionCode,
    WebhookDelivery,
)
from payments_core.plugins import implemented_hooks
from payments_core.testing.masking import CassettePolicy
from payments_core.testing.sandbox import ContractSandbox

__all__ = [
    "ASKED",
    "ASKS_REFUNDS",
    "AUTHORIZES",
    "CANCELS",
    "CAPTURES",
    "HAS_BATCH",
    "HAS_OLD_KEY",
    "HOLDS",
    "NOTIFIES",
    "ONE_CHARGE",
    "REFUNDS",
    "SIGNED",
    "SIGNS_TIME",
    "TELLS",
    "TOLERANCE",
    "UNSIGNED",
    "Condition",
    "Refusal",
    "Rules",
    "applies",
    "essential",
    "needs",
]

F = TypeVar("F", bound=Callable[..., Any])

_NEEDS: Final = "_contract_needs"
_ESSENTIAL: Final = "_contract_essential"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A documented answer that refuses a create, and the error it must become.

    * `name`: the text that is shown when the test fails
    * `status`: the HTTP status of the answer
    * `body`: its body
    * `headers`: its header pairs
    * `raises`: the class of error that it must become
    * `code`: the error's `code`, None for any
    * `definitive`: True only where the documentation says that nothing was accepted
    """

    name: str
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    raises: type[PaymentError] = Rejected
    code: RejectionCode | None = None
    definitive: bool = False


class Condition(NamedTuple):
    """A condition that a provider must meet for a test to apply, and the reason shown where it does not."""

    reason: str
    holds: Callable[[Any], bool]


def needs(*conditions: Condition) -> Callable[[F], F]:
    """Leave a test out where one of the conditions does not hold; the first such condition gives the reason."""

    def mark(test: F) -> F:
        setattr(test, _NEEDS, (*conditions, *getattr(test, _NEEDS, ())))
        return test

    return mark


def _declares(operation: str) -> Condition:
    return Condition(f"{operation} is not declared", lambda cls: operation in cls.info().operations)


ASKED: Final = Condition("the gateway cannot be queried", lambda cls: cls.has("get_status"))
AUTHORIZES: Final = Condition("the provider has no `authorize`", lambda cls: cls.has("authorize"))
CAPTURES: Final = _declares("capture_charge")
CANCELS: Final = _declares("cancel_charge")
REFUNDS: Final = _declares("refund_charge")
ASKS_REFUNDS: Final = _declares("get_refund")
HOLDS: Final = Condition("capture=False is not declared", lambda cls: "capture" in cls.info().charge_options)
NOTIFIES: Final = Condition("the gateway sends no notifications", lambda cls: cls.has("parse_webhook"))
SIGNED: Final = Condition(
    "its notifications are not signed", lambda cls: cls.info().notifications is Notifications.SIGNED
)
UNSIGNED: Final = Condition(
    "its notifications are signed", lambda cls: cls.info().notifications is Notifications.UNSIGNED
)
SIGNS_TIME: Final = Condition(
    "the gateway signs no time (webhook_tolerance)", lambda cls: cls.webhook_tolerance is not None
)
TOLERANCE: Final = Condition(
    "a signed time of any age is accepted (webhook_tolerance)", lambda cls: cls.webhook_tolerance != math.inf
)
TELLS: Final = Condition(
    "notifications are hints (authoritative_webhooks)", lambda cls: cls.info().authoritative_webhooks
)
HAS_OLD_KEY: Final = Condition(
    "the configuration has no previous key",
    lambda cls: cls.previous_webhook_key_field in cls.config_type().__struct_fields__,
)
HAS_BATCH: Final = Condition("the test class has no `batch`", lambda cls: cls.batch is not Rules.batch)
ONE_CHARGE: Final = Condition(
    "what a second create for one order id does is not documented (info.duplicates)",
    lambda cls: cls.info().duplicates is not Duplicates.UNDOCUMENTED,
)


def essential(test: F) -> F:
    """Mark a test that no class may leave out."""
    setattr(test, _ESSENTIAL, True)
    return test


class Rules:
    """Hold the attributes of a contract class; `ProviderContract` documents them."""

    provider: ClassVar[type]
    make_sandbox: ClassVar[Callable[..., ContractSandbox]]
    raw_statuses: ClassVar[Mapping[str, PaymentStatus]]
    cassette_policy: ClassVar[CassettePolicy]
    refusals: ClassVar[tuple[Refusal, ...]] = ()
    currency: ClassVar[str] = ""
    webhook_tolerance: ClassVar[float | None] = None
    webhook_key_field: ClassVar[str] = "webhook_key"
    previous_webhook_key_field: ClassVar[str] = "previous_webhook_key"
    signature_is_hexadecimal: ClassVar[bool] = True
    not_applicable: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a class that overrides a test, or leaves one out without a reason."""
        super().__init_subclass__(**kwargs)
        own = [name for name in vars(cls) if name.startswith("test_")]
        if inherited := [name for name in own for base in cls.__mro__[1:] if name in vars(base)]:
            raise TypeError(
                f"{cls.__name__} overrides {', '.join(sorted(set(inherited)))}: the contract's tests are the same "
                "for every provider. Leave one out with a reason in `not_applicable`, or add tests under other names"
            )
        if not any("test_" in name for base in cls.__mro__[1:-1] for name in vars(base)):
            return  # a part of the contract
        for name, reason in cls.not_applicable.items():
            test = getattr(cls, name, None)
            if test is None or not name.startswith("test_"):
                raise TypeError(f"{cls.__name__}.not_applicable names {name}, which is not a test of the contract")
            if getattr(test, _ESSENTIAL, False):
                raise TypeError(f"{cls.__name__}.not_applicable names {name}, which no provider may leave out")
            if not isinstance(reason, str) or not reason.strip():
                raise TypeError(f"{cls.__name__}.not_applicable gives no reason for {name}")

    # Methods that a class may override.

    def request(self, order_id: str, amount: Money, **fields: Any) -> ChargeRequest:
        """Return a charge request that the gateway accepts; override it for required fields, such as a return_url."""
        return ChargeRequest(order_id, amount, "A cup of tea", **fields)

    def amount(self, currency: str) -> Money:
        """Return an amount in this currency that the gateway accepts, whole in major units and a multiple of four."""
        return Money.of("88", currency)

    def fields_for_status(self, raw_status: str) -> Mapping[str, Any]:
        """Return request fields with which a charge can reach this raw status, if not every charge can."""
        return {}

    def order_id(self, number: int) -> str:
        """Return a new merchant order id; override it if the gateway requires a pattern."""
        return f"ORDER{number:05d}"

    def returned(self, sandbox: Any, provider_id: str) -> Any:
        """Return the parameters with which the shopper comes back, for `complete_charge`."""
        return ()

    def batch(self, sandbox: Any) -> tuple[WebhookDelivery, int]:
        """Return a genuine delivery of at least three events, and their number."""
        raise NotImplementedError("override `batch`, or name the test in `not_applicable` with the reason")

    def foreign(self, sandbox: Any) -> WebhookDelivery:
        """Return a genuine delivery about a payment that this shop did not make."""
        raise NotImplementedError("override `foreign`, where the account takes payments of other shops too")

    @classmethod
    def info(cls) -> ProviderInfo:
        """Return the declaration of the class under test."""
        info = cls.provider.info  # type: ignore[attr-defined]
        assert isinstance(info, ProviderInfo), "the provider has no info: a class attribute `info = ProviderInfo(...)`"
        return info.filled_in(implemented_hooks(info.id, cls.provider))

    @classmethod
    def sandbox_has(cls, member: str) -> bool:
        """Return True if the sandbox class that `make_sandbox` names has this member."""
        make: Any = cls.make_sandbox
        try:
            sandbox = make if isinstance(make, type) else typing.get_type_hints(make).get("return")
        except (AttributeError, NameError, TypeError):
            return False
        return hasattr(sandbox, member)

    @classmethod
    def config_type(cls) -> type[msgspec.Struct]:
        """Return the type of the provider's configuration."""
        return cls.provider.config_type  # type: ignore[attr-defined, no-any-return]

    @classmethod
    def has(cls, hook: str) -> bool:
        """Return True if the provider implements a hook."""
        return hook in implemented_hooks(cls.info().id, cls.provider)


def applies(cls: type[Rules], test_name: str) -> str:
    """Return the reason why a test is left out for this class, or `""` if it runs."""
    if reason := cls.not_applicable.get(test_name, ""):
        return reason
    needed = getattr(getattr(cls, test_name, None), _NEEDS, ())
    return next((each.reason for each in needed if not each.holds(cls)), "")


def is_essential(cls: type[Rules], test_name: str) -> bool:
    """Return True if only the provider's declaration can leave this test out."""
    return bool(getattr(getattr(cls, test_name, None), _ESSENTIAL, False))
