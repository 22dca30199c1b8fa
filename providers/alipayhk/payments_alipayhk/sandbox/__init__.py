"""Run a local CBTIS gateway that speaks the documented protocol over HTTP (extra: `payments-alipayhk[sandbox]`).

It knows only the documentation. It marks everything it has to invent: in the answer's `Sandbox-Invention` header, and
with `sandbox:` at the start of the message.
"""

from datetime import datetime

from payments_alipayhk.config import AlipayHKConfig
from payments_core.testing.courier import Delivery
from payments_core.testing.sandbox import NotPossible, SandboxError

from .gateway import UnknownOrder
from .local import Sandbox, make
from .notifications import RETRY_DELAYS, sign
from .records import ReceivedRequest

__all__ = [
    "RETRY_DELAYS",
    "Delivery",
    "NotPossible",
    "ReceivedRequest",
    "Sandbox",
    "SandboxError",
    "UnknownOrder",
    "make",
    "sign_delivery",
]


def sign_delivery(
    config: AlipayHKConfig,
    body: bytes,
    *,
    at: datetime | None = None,  # noqa: ARG001 - CBTIS signs no time
) -> tuple[tuple[str, str], ...]:
    """Return the headers that make `body` a notification of this account, to test a receiver."""
    return (("Signature", sign(body, config.webhook_key.reveal())),)


make.sign = sign_delivery  # type: ignore[attr-defined] # what `payments webhook sign` looks for beside the factory
