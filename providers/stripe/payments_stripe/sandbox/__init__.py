"""Run a local Stripe that speaks the documented protocol over HTTP (extra: `payments-stripe[sandbox]`).

It knows only docs.stripe.com, and plays the calls that the plugin makes. Its messages begin with `sandbox:`, because
Stripe's own words may change.
"""

from datetime import UTC, datetime

from payments_core.testing.courier import Delivery
from payments_core.testing.sandbox import NotPossible, SandboxError, UnknownCharge
from payments_stripe.config import StripeConfig

from .gateway import RETRY_DELAYS, sign
from .local import Sandbox, make
from .records import API_VERSION, ReceivedRequest

__all__ = [
    "API_VERSION",
    "RETRY_DELAYS",
    "Delivery",
    "NotPossible",
    "ReceivedRequest",
    "Sandbox",
    "SandboxError",
    "UnknownCharge",
    "make",
    "sign_delivery",
]


def sign_delivery(config: StripeConfig, body: bytes, *, at: datetime | None = None) -> tuple[tuple[str, str], ...]:
    """Return the headers that make `body` an event of this account, signed now or `at` a time, to test a receiver."""
    moment = at or datetime.now(UTC)
    return (("Stripe-Signature", sign(body, config.webhook_key.reveal(), int(moment.timestamp()))),)


make.sign = sign_delivery  # type: ignore[attr-defined] # what `payments webhook sign` looks for beside the factory
