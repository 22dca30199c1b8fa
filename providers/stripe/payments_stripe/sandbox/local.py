"""Run one local Stripe account, and do to it everything that a test or a demo needs: `Sandbox`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from payments_core import WebhookDelivery
from payments_core.testing.courier import Courier, Delivery, status_of
from payments_core.testing.sandbox import SandboxCharge
from payments_core.testing.server import LoopbackServer
from payments_core.testing.stories import Story

from . import payments, views
from .app import build_app
from .gateway import RETRY_DELAYS, LocalGateway, order_of
from .records import Clock, ReceivedRequest, steady_clock

__all__ = ["Sandbox", "make"]


def make(
    port: int = 0,
    *,
    api_key: str = "",
    webhook_key: str = "",
    webhook_url: str = "",
    time_scale: float = 1.0,
    ack_timeout: float = 10.0,
    allow_external_webhooks: bool = False,
    seed: int | str | None = None,
    clock: Clock | None = None,
    public_url: str = "",
) -> Sandbox:
    """Start a sandbox on 127.0.0.1. Port 0 picks a free port; keys not given are random.

    `webhook_url` is a first webhook endpoint. `time_scale` multiplies the waits between deliveries; `ack_timeout`
    (seconds) is not scaled. With `seed` every id, key and time repeats (`clock`, seconds since the epoch, replaces the
    times); with `public_url` the address of the shopper's page does too.
    """
    gateway = LocalGateway(
        Courier(RETRY_DELAYS, time_scale=time_scale, ack_timeout=ack_timeout, allow_external=allow_external_webhooks),
        clock or (time.time if seed is None else steady_clock()),
        seed,
        api_key,
        webhook_key,
    )
    sandbox = Sandbox(gateway, port, public_url.rstrip("/"))
    if webhook_url:
        sandbox.register_endpoint(webhook_url)
    return sandbox


class Sandbox:
    """A local Stripe. `provider_id` is always the id of a PaymentIntent (`pi_`) or of a Checkout Session (`cs_`).

    `pay`, `decline`, `cancel` and `time_out` act for the shopper and follow the rules: the charge must be open.
    `set_status` and `set_amount` force an answer. An action that is not possible raises `SandboxError`.
    """

    def __init__(self, gateway: LocalGateway, port: int = 0, public_url: str = "") -> None:
        self._gateway = gateway
        self.app = build_app(gateway)
        self._server = LoopbackServer(self.app, port)
        self.url = self._server.url
        gateway.base_url = public_url or self.url

    @property
    def config(self) -> dict[str, str]:
        """Return the configuration that opens the provider against this sandbox."""
        return {
            "base_url": self.url,
            "api_key": self._gateway.api_key,
            "webhook_key": self._gateway.webhook_key,
            "previous_webhook_key": "",
        }

    @property
    def received(self) -> tuple[ReceivedRequest, ...]:
        """Return the API requests that arrived, oldest first, without the key."""
        with self._gateway.lock:
            return tuple(self._gateway.received)

    @property
    def notifications(self) -> tuple[Delivery, ...]:
        """Return the deliveries and the endpoint's answers, oldest first."""
        return self._gateway.courier.deliveries

    def charges(self, order_id: str) -> list[SandboxCharge]:
        """Return every charge with this `payments_core_order_id` in its metadata."""
        gateway = self._gateway
        with gateway.lock:
            return [payments.books(gateway, each) for each in gateway.charges() if order_of(each) == order_id]

    def wallet_url(self, provider_id: str) -> str:
        """Return the address of the page where the shopper pays this charge."""
        with self._gateway.lock:
            return views.page_url(self._gateway, self._gateway.charge(provider_id).id)

    def _do(self, act: Callable[..., object], *arguments: str) -> None:
        with self._gateway.lock:
            act(self._gateway, *arguments)

    # Actions of the shopper.

    def pay(self, provider_id: str) -> None:
        """Pay as the shopper; with capture_method=manual the money is held, and not yet taken."""
        self._do(payments.pay, provider_id)

    def decline(self, provider_id: str, decline_code: str = "generic_decline") -> None:
        """Let the attempt fail; a session stays open for another one."""
        self._do(payments.decline_try, provider_id, decline_code)

    def cancel(self, provider_id: str) -> None:
        """Give the charge up: cancel the PaymentIntent, or expire the session."""
        self._do(payments.cancel, provider_id)

    def time_out(self, provider_id: str) -> None:
        """Let the charge time out: a session expires, a wallet's attempt fails."""
        self._do(payments.time_out, provider_id)

    # Actions of the operator.

    def set_status(self, provider_id: str, raw_status: str) -> None:
        """Force a status, even an undocumented word; nothing is sent.

        For a session, a status of PaymentIntents is set on its PaymentIntent, and the session is complete. Any other
        status is the session's own, with its payment_status after a colon (`open`, `expired`, `complete:paid`,
        `complete:unpaid`), and the session then has no PaymentIntent that could contradict it.
        """
        self._do(payments.set_status, provider_id, raw_status)

    def set_amount(self, provider_id: str, amount: str, currency: str) -> None:
        """Let later answers state another amount: a decimal in major units."""
        self._do(payments.set_amount, provider_id, amount, currency)

    def settle_refund(self, refund_id: str) -> None:
        """Let a pending refund succeed."""
        self._do(payments.settle, refund_id)

    def fail_refund(self, refund_id: str) -> None:
        """Let a refund fail: the money is back with the merchant."""
        self._do(payments.fail, refund_id)

    def decline_next(self, decline_code: str) -> None:
        """Answer the next wallet's create with 402, and its declined PaymentIntent."""
        self._gateway.declines.append(decline_code)

    def advance(self, seconds: float) -> None:
        """Advance the account's clock: keys are forgotten, sessions expire, held money is released."""
        with self._gateway.lock:
            self._gateway.advance(seconds)
            payments.tick(self._gateway)

    # Events.

    def register_endpoint(self, url: str) -> None:
        """Send every event from now on to `url`."""
        with self._gateway.lock:
            self._gateway.endpoints.append(url)

    def deliver(self, provider_id: str) -> int | None:
        """Send the newest event about a charge or a refund again, now. Return the last HTTP status, or None."""
        with self._gateway.lock:
            event = payments.event_of(self._gateway, provider_id)
            messages = [self._gateway.message(event, url) for url in self._gateway.endpoints]
        sent = [self._gateway.courier.send(message) for message in messages]
        return [status_of(each) for each in sent][-1] if sent else None

    def notification(self, provider_id: str) -> WebhookDelivery:
        """Return the newest event about a charge or a refund, signed now, without sending it."""
        with self._gateway.lock:
            message = self._gateway.message(payments.event_of(self._gateway, provider_id))
        return WebhookDelivery(message.body, message.sign(message.body), datetime.now(UTC))

    def stories(self) -> tuple[Story, ...]:
        """Return the stories to record, each with the options of its sandbox."""
        from .stories import STORIES

        return STORIES

    def close(self) -> None:
        """Stop the server and every delivery, at once."""
        self._gateway.courier.close()
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
