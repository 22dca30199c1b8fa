"""Make a sample charge, and its notification, in a sandbox on this machine."""

from __future__ import annotations

from contextlib import closing

import msgspec

from payments_core import ChargeRequest, Gateway, Notifications, PaymentError, Reference, WebhookDelivery

from .defaults import default_amount, default_channel, default_currency, new_order_id
from .exits import Stop
from .opening import start_sandbox

__all__ = ["Sample", "SampleUnavailable", "make_sample"]


class SampleUnavailable(Exception):
    """Report why the provider's sandbox cannot make a sample."""


class Sample(msgspec.Struct, frozen=True):
    """Hold a charge that no real gateway has.

    `delivery` is its notification, signed with a random key if the gateway signs; None if the gateway sends none.
    """

    reference: Reference
    delivery: WebhookDelivery | None


def make_sample(provider: str) -> Sample:
    """Start the provider's sandbox with random credentials, and pay a charge there."""
    try:
        with closing(start_sandbox(provider)) as sandbox, Gateway.open(provider, sandbox.config) as gateway:
            info = gateway.info
            request = ChargeRequest(
                new_order_id(info.limits, "DOCTOR"),
                default_amount(info, default_currency(info)),
                "A check by payments doctor",
                channel=default_channel(info),
                return_url="https://shop.example/",
            )
            reference = gateway.create_charge(request).reference
            sandbox.pay(reference.provider_id)
            notifies = info.notifications is not Notifications.NONE
            return Sample(reference, sandbox.notification(reference.provider_id) if notifies else None)
    except (Stop, PaymentError) as error:
        problem = error.message
    except Exception as error:  # noqa: BLE001 - raised by a sandbox
        problem = f"the sandbox of {provider} failed ({type(error).__name__}: {error})"
    raise SampleUnavailable(problem)
