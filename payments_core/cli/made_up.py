"""A charge that exists in no gateway: a sandbox on this machine makes it, for the shape of its ids and notifications."""

from __future__ import annotations

from contextlib import closing

import msgspec

from payments_core import ChargeRequest, Gateway, PaymentError, Reference, WebhookDelivery

from .exits import Stop
from .opening import start_sandbox
from .usual import new_order_id, usual_amount, usual_channel, usual_currency

__all__ = ["MadeUp", "NotMade", "make_up"]


class NotMade(Exception):
    """The provider's sandbox cannot make a charge up; the text says why."""


class MadeUp(msgspec.Struct, frozen=True):
    """A charge that was made up, and its notification, signed with a key that nobody has."""

    reference: Reference
    delivery: WebhookDelivery


def make_up(provider: str) -> MadeUp:
    """Start the provider's sandbox, with credentials of its own, and have a charge paid there."""
    try:
        with closing(start_sandbox(provider)) as sandbox, Gateway.open(provider, sandbox.config) as gateway:
            info = gateway.info
            request = ChargeRequest(
                new_order_id(info.limits, "DOCTOR"),
                usual_amount(info, usual_currency(info)),
                "A check by payments doctor",
                channel=usual_channel(info),
                return_url="https://shop.example/",
            )
            reference = gateway.create_charge(request).reference
            sandbox.pay(reference.provider_id)
            return MadeUp(reference, sandbox.notification(reference.provider_id))
    except (Stop, PaymentError) as error:
        problem = error.message
    except Exception as error:  # noqa: BLE001 - a sandbox's own
        problem = f"the sandbox of {provider} failed ({type(error).__name__}: {error})"
    raise NotMade(problem)
