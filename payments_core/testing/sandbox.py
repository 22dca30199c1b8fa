"""What a provider's sandbox offers to those who test with it: a stand-in for the gateway, running on this machine.

A sandbox is registered under the provider's name in the entry-point group `payments_core.sandboxes`, as a factory
`make(port=0)`. It is the gateway's side, written from the gateway's documentation and not from the provider, so that the
two are two readings of the same pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from payments_core import Money, WebhookDelivery

__all__ = ["ContractSandbox", "NotPossible", "SandboxCharge", "SandboxError", "Sign", "UnknownCharge"]


class SandboxError(Exception):
    """The sandbox was told to do what it cannot."""


class UnknownCharge(SandboxError):
    """Nothing in it has this id."""


class NotPossible(SandboxError):
    """The charge's state, or the value given, does not allow this."""


class SandboxCharge(msgspec.Struct, frozen=True):
    """A charge as the gateway itself holds it.

    * `provider_id`: the gateway's id
    * `amount`: the amount that was asked for, by the gateway's own reading of what it was sent
    * `captured`: the money taken so far, None where the gateway does not say
    * `refunded`: the money given back so far, None where the gateway does not say
    """

    provider_id: str
    amount: Money
    captured: Money | None = None
    refunded: Money | None = None


class ContractSandbox(Protocol):
    """A sandbox, as `ProviderContract` uses it. `provider_id` is the gateway's id of a charge, as in a `Reference`."""

    @property
    def url(self) -> str:
        """Return where it listens, on loopback."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Return what opens a gateway against it; its secrets are random, or at least 12 characters long."""

    def pay(self, provider_id: str) -> object:
        """Do as if the shopper approves."""

    def cancel(self, provider_id: str) -> object:
        """Do as if the shopper declines, or the gateway closes the charge."""

    def set_status(self, provider_id: str, raw_status: str) -> object:
        """Answer this word from now on, also one that is documented nowhere."""

    def charges(self, order_id: str) -> Sequence[SandboxCharge]:
        """Return every charge that this merchant order id has made."""

    def notification(self, provider_id: str) -> WebhookDelivery:
        """Return the signed notification of how the charge stands, as delivered now; send nothing."""

    def advance(self, seconds: float) -> object:
        """Let the gateway's clock go on; only asked of a provider that declares a `key_lifetime`."""

    def close(self) -> None:
        """End the sandbox."""


class Sign(Protocol):
    """`make.sign`: the headers that make `body` a genuine notification of an account, signed at `at` where that counts."""

    def __call__(self, config: Any, body: bytes, *, at: datetime | None = None) -> Sequence[tuple[str, str]]:
        """Return the header pairs."""
