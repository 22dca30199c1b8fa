"""Run the local gateway, and do to it everything that a test or a demo needs: `Sandbox`."""

from __future__ import annotations

import time
from decimal import Decimal
from types import TracebackType
from typing import Self

from payments_core import CURRENCY_EXPONENTS, Money, WebhookDelivery
from payments_core.testing.courier import Courier, Delivery, status_of
from payments_core.testing.sandbox import SandboxCharge
from payments_core.testing.server import LoopbackServer
from payments_core.testing.stories import Story

from . import wallet
from .app import build_app
from .gateway import Duplicate, LocalGateway, NextActionShape
from .notifications import RETRY_DELAYS
from .records import Clock, ReceivedRequest, steady_clock

__all__ = ["Sandbox", "make"]


def make(
    port: int = 0,
    *,
    uid: str = "",
    client_secret: str = "",
    webhook_key: str = "",
    token_lifetime: int = 3600,
    time_scale: float = 1.0,
    ack_timeout: float = 5.0,
    duplicate: Duplicate = "reject",
    next_action_shape: NextActionShape = "documented",
    allow_external_notify: bool = False,
    seed: int | str | None = None,
    clock: Clock | None = None,
    public_url: str = "",
) -> Sandbox:
    """Start a sandbox on 127.0.0.1. Port 0 picks a free port; credentials not given are random.

    `time_scale` multiplies the waits between deliveries; `ack_timeout` (seconds) is not scaled. `duplicate` selects the
    effect of a second create with one merchant_order_id, which is not documented. `next_action_shape` selects a shape
    of the platform's other channels. With `seed` every id, token, credential and time repeats (`clock`, nanoseconds
    since the epoch, replaces the times); with `public_url` the wallet's address does too.
    """
    gateway = LocalGateway(
        Courier(
            RETRY_DELAYS,
            acknowledges=lambda status: status == 200,  # WEB: "200", and not any other 2xx
            time_scale=time_scale,
            ack_timeout=ack_timeout,
            allow_external=allow_external_notify,
        ),
        clock or (time.time_ns if seed is None else steady_clock()),
        seed,
        uid,
        client_secret,
        webhook_key,
        token_lifetime,
        duplicate,
        next_action_shape,
        public_url.rstrip("/"),
    )
    return Sandbox(gateway, port)


class Sandbox:
    """A local CBTIS gateway. `provider_id` is always the gateway's own order_id.

    `pay`, `cancel` and `time_out` act for the shopper and follow the rules: the order must be PENDING. `set_status` and
    `set_amount` force an answer. An action that is not possible raises `SandboxError`.
    """

    def __init__(self, gateway: LocalGateway, port: int = 0) -> None:
        self._gateway = gateway
        self.app = build_app(gateway)
        self._server = LoopbackServer(self.app, port)
        self.url = self._server.url

    @property
    def config(self) -> dict[str, str]:
        """Return the configuration that opens the provider against this sandbox."""
        return {
            "base_url": self.url,
            "uid": self._gateway.uid,
            "client_secret": self._gateway.client_secret,
            "webhook_key": self._gateway.webhook_key,
            "previous_webhook_key": "",
        }

    @property
    def received(self) -> tuple[ReceivedRequest, ...]:
        """Return the API requests that arrived, oldest first, without secrets and tokens."""
        return self._gateway.requests()

    @property
    def notifications(self) -> tuple[Delivery, ...]:
        """Return the deliveries and the listener's answers, oldest first."""
        return self._gateway.courier.deliveries

    def wallet_url(self, provider_id: str) -> str:
        """Return the address of the page where the shopper pays this order."""
        return wallet.address(self._gateway.public_url or self.url, self._gateway.order(provider_id))

    def pay(self, provider_id: str, *, notify: bool = True) -> None:
        """Pay as the shopper. If the order has a notify_url, its ten deliveries begin, unless `notify` is False."""
        self._gateway.pay(provider_id, notify=notify)

    def cancel(self, provider_id: str) -> None:
        """Decline as the shopper: CANCELLED, without a notification, because none is documented."""
        self._gateway.close_order(provider_id)

    def time_out(self, provider_id: str) -> None:
        """Let the order time out: CANCELLED as well, as documented."""
        self._gateway.close_order(provider_id)

    def deliver(self, provider_id: str) -> int | None:
        """Send `payment_success` again, now, whatever the status. Return the HTTP status of the answer, or None.

        Waits up to `ack_timeout`, and leaves the schedule that `pay` began unchanged.
        """
        return status_of(self._gateway.deliver(provider_id))

    def notification(self, provider_id: str) -> WebhookDelivery:
        """Return what `deliver` sends, signed but not sent."""
        message = self._gateway.success(provider_id)
        return WebhookDelivery(message.body, message.sign(message.body))

    def charges(self, order_id: str) -> tuple[SandboxCharge, ...]:
        """Return every order with this merchant_order_id, with the amount as the gateway reads it."""
        return tuple(
            SandboxCharge(order.order_id, _money(order.amount, order.currency))
            for order in self._gateway.orders_of(order_id)
        )

    def refund(self, provider_id: str, amount: str | None = None) -> int | None:
        """Refund in the portal: send `refund_success`, retried on schedule. Return the first delivery's status."""
        return status_of(self._gateway.refund(provider_id, amount))

    def set_status(self, provider_id: str, status: str) -> None:
        """Force a status, even an undocumented word, without a notification."""
        self._gateway.set_status(provider_id, status)

    def set_amount(self, provider_id: str, amount: str, currency: str) -> None:
        """Let later answers state another amount."""
        self._gateway.set_amount(provider_id, amount, currency)

    def expire_tokens(self) -> None:
        """Refuse every token issued so far."""
        self._gateway.expire_tokens()

    def reject_next(self, code: int, message: str) -> None:
        """Answer the next authorized create with this code (an invention: none but 0 is documented)."""
        self._gateway.reject_next(code, message)

    def stories(self) -> tuple[Story, ...]:
        """Return the scenes to record, each with the options of its sandbox."""
        from .stories import STORIES

        return STORIES

    def advance(self, seconds: float) -> None:
        """Do nothing: only a token's lifetime depends on the clock. Use `expire_tokens` for that."""

    def close(self) -> None:
        """Stop the server and every delivery, at once."""
        self._gateway.courier.close()
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _money(amount: str, currency: str) -> Money:
    # Report the stored amount unchanged, whatever its number of digits.
    return Money(minor=int(Decimal(amount).scaleb(CURRENCY_EXPONENTS[currency])), currency=currency)
