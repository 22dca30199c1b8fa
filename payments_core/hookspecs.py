"""The contract of a provider, on one screen.

A provider is a class, registered under the entry-point group `payments_core.providers`, with `config_type`, `info`,
`__init__(self, config)` and these hooks, marked `@hookimpl`. A hook may decline any argument. A hook that talks to the
gateway is a generator of `Request`s; one that needs no exchange returns its value. `docs/hooks.md` says the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

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

__all__ = ["ObserverHooks", "ProviderHooks", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("payments_core")
"""Marks the hooks of this page; a plugin has no use for it."""
hookimpl = pluggy.HookimplMarker("payments_core")
"""Marks a plugin's hooks: `@hookimpl`, and `@hookimpl(wrapper=True)` for one that stands around a provider's hook."""


class ProviderHooks(Protocol):
    """The hooks of a provider. `authorize` is required exactly when another hook accepts `authorization`."""

    @hookspec(firstresult=True)
    def authorize(self, context: Context) -> Flow[Authorization] | Authorization:
        """Obtain the right to call the gateway's API."""

    @hookspec(firstresult=True)
    def create_charge(
        self, context: Context, authorization: Authorization, request: ChargeRequest
    ) -> Flow[Charge] | Charge:
        """Ask the shopper for money: exactly one charge for one order id."""

    @hookspec(firstresult=True)
    def get_status(self, context: Context, authorization: Authorization, reference: Reference) -> Flow[Charge] | Charge:
        """Ask the gateway where a charge stands."""

    @hookspec(firstresult=True)
    def parse_webhook(
        self, context: Context, authorization: Authorization, delivery: WebhookDelivery
    ) -> Flow[Notification] | Notification:
        """Verify a delivery's signature over its raw bytes, then read it; an unsigned one is a hint at most."""

    @hookspec(firstresult=True)
    def complete_charge(
        self,
        context: Context,
        authorization: Authorization,
        reference: Reference,
        returned: tuple[tuple[str, str], ...],
    ) -> Flow[Charge] | Charge:
        """Finish a charge after the shopper came back; `returned` is what they came back with, or empty."""

    @hookspec(firstresult=True)
    def capture_charge(
        self, context: Context, authorization: Authorization, request: CaptureRequest
    ) -> Flow[Charge] | Charge:
        """Take the money of an authorized charge; one that is not taken yet is PENDING."""

    @hookspec(firstresult=True)
    def cancel_charge(
        self, context: Context, authorization: Authorization, reference: Reference
    ) -> Flow[Charge] | Charge:
        """Close a charge that is not paid."""

    @hookspec(firstresult=True)
    def refund_charge(
        self, context: Context, authorization: Authorization, request: RefundRequest
    ) -> Flow[Refund] | Refund:
        """Give money of a charge back."""

    @hookspec(firstresult=True)
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
        """A public call ended, well or not."""

    @hookspec
    def exchange_finished(self, exchange: ExchangeRecord) -> None:
        """A request was answered, or was not."""

    @hookspec
    def charge_observed(self, charge: Charge) -> None:
        """The gateway said how a charge stands."""

    @hookspec
    def webhook_observed(self, event: WebhookEvent) -> None:
        """A believed notification carried this event."""

    @hookspec
    def webhook_rejected(self, gateway: str, provider: str, reason: str) -> None:
        """A notification was not believed."""


def hook_names(spec: type) -> tuple[str, ...]:
    """The names of the hooks that a specification declares."""
    return tuple(name for name, value in vars(spec).items() if hasattr(value, "payments_core_spec"))
