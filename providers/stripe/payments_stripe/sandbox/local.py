"""Run one local Stripe account, and do to it everything that a test or a demo needs: `Sandbox`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from payments_core import WebhookDelivery
from payments_core.testing.courier import Courier, Delivery, status_of
from payments_core.testing.sandbox import SandboxCharge
from payments_core.testing.server import LoopbackServer
from payments_core.testing.stories import Story

from . import endpoints, moves, refunds, views
from .app import build_app
from .gateway import LocalGateway
from .notifications import RETRY_DELAYS
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
        Courier(
            RETRY_DELAYS,
            time_scale=time_scale,
            ack_timeout=ack_timeout,
            allow_external=allow_external_webhooks,
        ),
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
        return self._gateway.requests()

    @property
    def notifications(self) -> tuple[Delivery, ...]:
        """Return the deliveries and the endpoint's answers, oldest first."""
        return self._gateway.courier.deliveries

    def charges(self, order_id: str) -> list[SandboxCharge]:
        """Return every charge with this `payments_core_order_id` in its metadata, or as its client_reference_id."""
        with self._gateway.lock:
            return moves.charges(self._gateway, order_id)

    def wallet_url(self, provider_id: str) -> str:
        """Return the address of the page where the shopper pays this charge."""
        with self._gateway.lock:
            return views.page_address(self._gateway, moves.charge_of(self._gateway, provider_id).id)

    # Actions of the shopper.

    def pay(self, provider_id: str, *, notify: bool = True) -> None:
        """Pay as the shopper; with capture_method=manual the money is held, and not yet taken."""
        with self._gateway.lock, self._gateway.silence(silent=not notify):
            moves.pay(self._gateway, provider_id)

    def decline(self, provider_id: str, decline_code: str = "generic_decline", code: str = "card_declined") -> None:
        """Let the attempt fail; the charge stays open for another one."""
        with self._gateway.lock:
            moves.decline(self._gateway, provider_id, code, decline_code)

    def cancel(self, provider_id: str) -> None:
        """Give the charge up: cancel the PaymentIntent, or expire the session."""
        with self._gateway.lock:
            moves.cancel(self._gateway, provider_id)

    def time_out(self, provider_id: str) -> None:
        """Let the charge time out: a session expires, a wallet's attempt fails."""
        with self._gateway.lock:
            moves.time_out(self._gateway, provider_id)

    # Actions of the operator.

    def set_status(self, provider_id: str, raw_status: str) -> None:
        """Force a status, even an undocumented word; nothing is sent.

        For a session, a status of PaymentIntents is set on its PaymentIntent, and the session is complete. Any other
        status is the session's own, with its payment_status after a colon (`open`, `expired`, `complete:paid`,
        `complete:unpaid`), and the session then has no PaymentIntent that could contradict it.
        """
        with self._gateway.lock:
            moves.set_status(self._gateway, provider_id, raw_status)

    def set_amount(self, provider_id: str, amount: str, currency: str) -> None:
        """Let later answers state another amount: a decimal in major units."""
        with self._gateway.lock:
            moves.set_amount(self._gateway, provider_id, amount, currency)

    def settle_refund(self, refund_id: str) -> None:
        """Let a pending refund succeed."""
        with self._gateway.lock:
            refunds.settle(self._gateway, refund_id)

    def fail_refund(self, refund_id: str, reason: str = "unknown") -> None:
        """Let a refund fail: the money is back with the merchant."""
        with self._gateway.lock:
            refunds.fail(self._gateway, refund_id, reason)

    def decline_next(self, decline_code: str, code: str = "card_declined", with_intent: bool = True) -> None:
        """Answer the next confirmation or capture with 402; `with_intent=False` leaves the PaymentIntent out."""
        with self._gateway.lock:
            self._gateway.declines.append((code, decline_code, with_intent))

    def refuse_next(self, status: int, kind: str = "api_error", code: str = "") -> None:
        """Refuse the next authenticated call: a 429 with `rate_limit`, or a 500."""
        with self._gateway.lock:
            self._gateway.refusals.append((status, kind, code))

    def slow_down(self, seconds: float) -> None:
        """Delay every call from now on, so that a second one meets the first one's idempotency key."""
        self._gateway.slowness = seconds

    def advance(self, seconds: float) -> None:
        """Advance the account's clock: keys are forgotten, sessions expire, refunds settle."""
        with self._gateway.lock:
            self._gateway.advance(seconds)
            moves.tick(self._gateway)

    # Events.

    def register_endpoint(self, url: str) -> None:
        """Send every event from now on to `url`."""
        with self._gateway.lock:
            endpoints.add(self._gateway, url)

    def deliver(self, provider_id: str) -> int | None:
        """Send the newest event about a charge or a refund again, now. Return the last HTTP status, or None."""
        with self._gateway.lock:
            event = moves.event_of(self._gateway, provider_id)
            messages = [self._gateway.message(event, each.url) for each in self._gateway.endpoints.values()]
        sent = [self._gateway.courier.send(message) for message in messages]
        return [status_of(each) for each in sent][-1] if sent else None

    def notification(self, provider_id: str) -> WebhookDelivery:
        """Return the newest event about a charge or a refund, signed now, without sending it."""
        with self._gateway.lock:
            message = self._gateway.message(moves.event_of(self._gateway, provider_id))
        return WebhookDelivery(message.body, message.sign(message.body), datetime.now(UTC))

    def stories(self) -> tuple[Story, ...]:
        """Return the scenes to record, each with the options of its sandbox."""
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
