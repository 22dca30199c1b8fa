"""Define the sandbox of a provider: a simulation of the gateway that runs on this machine.

A sandbox is registered under the provider's name in the entry-point group `payments_core.sandboxes`, as a factory
`make(port=0)`. Write it from the gateway's documentation and not from the provider, so that the same misreading is not
in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from payments_core import Money, WebhookDelivery

__all__ = ["ContractSandbox", "NotPossible", "SandboxCharge", "SandboxError", "Sign", "UnknownCharge"]


class SandboxError(Exception):
    """The sandbox cannot do what it was told."""


class UnknownCharge(SandboxError):
    """Nothing in the sandbox has this id."""


class NotPossible(SandboxError):
    """The charge's state, or the value given, does not allow this."""


class SandboxCharge(msgspec.Struct, frozen=True):
    """A charge in the gateway's own books.

    * `provider_id`: the gateway's id
    * `amount`: the requested amount, as the gateway read it
    * `captured`: the money taken so far, None where the gateway does not say
    * `refunded`: the money given back so far, None where the gateway does not say
    """

    provider_id: str
    amount: Money
    captured: Money | None = None
    refunded: Money | None = None


class ContractSandbox(Protocol):
    """A sandbox as `ProviderContract` uses it. `provider_id` is the gateway's id of a charge, as in a `Reference`."""

    @property
    def url(self) -> str:
        """Return its URL, on loopback."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the configuration of a gateway against it; secrets are random, or 12 characters or longer."""

    def pay(self, provider_id: str) -> object:
        """Approve the charge, as the shopper."""

    def cancel(self, provider_id: str) -> object:
        """Decline the charge, as the shopper or the gateway."""

    def set_status(self, provider_id: str, raw_status: str) -> object:
        """Answer this status from now on, documented or not."""

    def charges(self, order_id: str) -> Sequence[SandboxCharge]:
        """Return every charge of this merchant order id."""

    def notification(self, provider_id: str) -> WebhookDelivery:
        """Return the signed notification of the charge's present state; send nothing."""

    def advance(self, seconds: float) -> object:
        """Move the gateway's clock; called only for a provider that declares a `key_lifetime`."""

    def close(self) -> None:
        """End the sandbox."""


class Sign(Protocol):
    """Sign `body` as a notification of an account, at the time `at` if it is signed; the type of `make.sign`."""

    def __call__(self, config: Any, body: bytes, *, at: datetime | None = None) -> Sequence[tuple[str, str]]:
        """Return the header pairs."""
