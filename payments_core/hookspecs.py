"""The contract of a provider, on one screen.

A provider is a class, registered under the entry-point group `payments_core.providers`, with `config_type`, `info`,
`__init__(self, config)` and these hooks, marked `@hookimpl`. A hook may decline any argument. A hook that talks to the
gateway is a generator of `Request`s; one that needs no exchange returns its value. `docs/hooks.md` says the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import pluggy

if TYPE_CHECKING:
    from .flow import Flow, Response
    from .models import (
        Authorization,
        CaptureRequest,
        Charge,
        ChargeRequest,
        Context,
        Reference,
        Refund,
        RefundReference,
        RefundRequest,
    )
    from .observers import ExchangeRecord, OperationRecord
    from .webhooks import Notification, WebhookDelivery, WebhookEvent

__all__ = [
    "MONEY_OPERATIONS",
    "OBSERVER_HOOKS",
    "OPTIONAL_OPERATIONS",
    "PROVIDER_HOOKS",
    "ObserverHooks",
    "ProviderHooks",
    "hookimpl",
    "hookspec",
]

F = TypeVar("F", bound=Callable[..., Any])

hookspec = pluggy.HookspecMarker("payments_core")
"""Mark a hook's specification; a plugin has no use for it."""
hookimpl = pluggy.HookimplMarker("payments_core")
"""Mark a plugin's hooks: `@hookimpl`, and `@hookimpl(wrapper=True)` for one that wraps a provider's hook."""


def _moves_money(hook: F) -> F:
    hook.moves_money = True  # type: ignore[attr-defined]
    return hook


def _optional_operation(hook: F) -> F:
    """Mark a hook that a provider implements exactly when `info.operations` names it."""
    hook.optional_operation = True  # type: ignore[attr-defined]
    return hook


class ProviderHooks(Protocol):
    """The hooks of a provider. `authorize` is required exactly when another hook accepts `authorization`."""

    @hookspec(firstresult=True)
    def authorize(self, context: Context) -> Flow[Authorization] | Authorization:
        """Obtain the right to call the gateway's API."""

    @hookspec(firstresult=True)
    @_moves_money
    def create_charge(
        self, context: Context, authorization: Authorization, request: ChargeRequest
    ) -> Flow[Charge] | Charge:
        """Ask the shopper for money: make exactly one charge for one order id."""

    @hookspec(firstresult=True)
    def get_status(self, context: Context, authorization: Authorization, reference: Reference) -> Flow[Charge] | Charge:
        """Ask the gateway where a charge stands."""

    @hookspec(firstresult=True)
    def parse_webhook(
        self, context: Context, authorization: Authorization, delivery: WebhookDelivery
    ) -> Flow[Notification] | Notification:
        """Verify a delivery's signature over its raw bytes, then read it; an unsigned one is a hint at most."""

    @hookspec(firstresult=True)
    @_optional_operation
    @_moves_money
    def complete_charge(
        self,
        context: Context,
        authorization: Authorization,
        reference: Reference,
        returned: tuple[tuple[str, str], ...],
    ) -> Flow[Charge] | Charge:
        """Finish a charge after the shopper came back; `returned` is what they came back with, or empty."""

    @hookspec(firstresult=True)
    @_optional_operation
    @_moves_money
    def capture_charge(
        self, context: Context, authorization: Authorization, request: CaptureRequest
    ) -> Flow[Charge] | Charge:
        """Take the money of an authorized charge; one that is not taken yet is PENDING."""

    @hookspec(firstresult=True)
    @_optional_operation
    @_moves_money
    def cancel_charge(
        self, context: Context, authorization: Authorization, reference: Reference
    ) -> Flow[Charge] | Charge:
        """Close a charge that is not paid."""

    @hookspec(firstresult=True)
    @_optional_operation
    @_moves_money
    def refund_charge(
        self, context: Context, authorization: Authorization, request: RefundRequest
    ) -> Flow[Refund] | Refund:
        """Give money of a charge back."""

    @hookspec(firstresult=True)
    @_optional_operation
    def get_refund(
        self, context: Context, authorization: Authorization, reference: RefundReference
    ) -> Flow[Refund] | Refund:
        """Ask the gateway where a refund stands; `reference` has what `info.refund_query_by` names."""

    @hookspec(firstresult=True)
    def read_request_id(self, response: Response) -> str:
        """Return the gateway's request id in any answer, an error's too; `""` for none. Optional."""

    @hookspec(firstresult=True)
    def read_retry_advice(self, response: Response) -> bool | None:
        """Return what the gateway says about sending again.

        True where it may help, False where it will not, None where the answer says nothing. Optional.
        """


class ObserverHooks(Protocol):
    """The hooks of an observer, sync and brief. An exception in one is logged and reaches nobody."""

    @hookspec
    def operation_finished(self, operation: OperationRecord) -> None:
        """Observe the end of a public call, whether it succeeded or failed."""

    @hookspec
    def exchange_finished(self, exchange: ExchangeRecord) -> None:
        """Observe the end of one HTTP exchange, answered or not."""

    @hookspec
    def charge_observed(self, charge: Charge) -> None:
        """Observe the state of a charge, as the gateway reported it."""

    @hookspec
    def webhook_observed(self, event: WebhookEvent) -> None:
        """Observe an event of an accepted notification."""

    @hookspec
    def webhook_rejected(self, gateway: str, provider: str, reason: str) -> None:
        """Observe the refusal of a notification."""


def _names(spec: type, mark: str = "payments_core_spec") -> tuple[str, ...]:
    return tuple(name for name, value in vars(spec).items() if hasattr(value, mark))


PROVIDER_HOOKS: Final = _names(ProviderHooks)
OBSERVER_HOOKS: Final = _names(ObserverHooks)
# The calls in which an unsafe request that was sent makes every later fault an unknown outcome.
MONEY_OPERATIONS: Final = frozenset(_names(ProviderHooks, "moves_money"))
OPTIONAL_OPERATIONS: Final = frozenset(_names(ProviderHooks, "optional_operation"))
