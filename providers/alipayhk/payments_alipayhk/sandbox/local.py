"""`Sandbox`: the local gateway, running, with everything that a test or a demonstration does to it."""

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
    """A started sandbox on 127.0.0.1; port 0 is any free one, and credentials not given are random.

    `time_scale` multiplies the waits between deliveries, `ack_timeout` (seconds) is not scaled. `duplicate` is what a
    second create with one merchant_order_id does, which the documentation does not tell; `next_action_shape` picks one
    of the shapes of the platform's other channels. With `seed` every id, token, credential and time repeats (`clock`,
    nanoseconds since the epoch, replaces the times); with `public_url` the wallet's address does too.
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
    """A local CBTIS gateway. `provider_id` is everywhere the gateway's own order_id.

    `pay`, `cancel` and `time_out` are the shopper's moves and follow the rules: only a PENDING order allows them.
    `set_status` and `set_amount` force an answer. What cannot be done raises `SandboxError`.
    """

    def __init__(self, gateway: LocalGateway, port: int = 0) -> None:
        self._gateway = gateway
        self.app = build_app(gateway)
        self._server = LoopbackServer(self.app, port)
        self.url = self._server.url

    @property
    def config(self) -> dict[str, str]:
        """The configuration that opens the provider against this sandbox."""
        return {
            "base_url": self.url,
            "uid": self._gateway.uid,
            "client_secret": self._gateway.client_secret,
            "webhook_key": self._gateway.webhook_key,
            "previous_webhook_key": "",
        }

    @property
    def received(self) -> tuple[ReceivedRequest, ...]:
        """The API requests that arrived, oldest first, without secrets and tokens."""
        return self._gateway.requests()

    @property
    def notifications(self) -> tuple[Delivery, ...]:
        """What was delivered, and what the listener answered, oldest first."""
        return self._gateway.courier.deliveries

    def wallet_url(self, provider_id: str) -> str:
        """The page on which the shopper pays this order."""
        return wallet.address(self._gateway.public_url or self.url, self._gateway.order(provider_id))

    def pay(self, provider_id: str, *, notify: bool = True) -> None:
        """The shopper approves. Where the order has a notify_url its ten deliveries begin, unless `notify` is False."""
        self._gateway.pay(provider_id, notify=notify)

    def cancel(self, provider_id: str) -> None:
        """The shopper declines: CANCELLED, and no notification, because none is documented."""
        self._gateway.close_order(provider_id)

    def time_out(self, provider_id: str) -> None:
        """The shopper lets the time pass: CANCELLED as well, as documented."""
        self._gateway.close_order(provider_id)

    def deliver(self, provider_id: str) -> int | None:
        """Send `payment_success` once more, now, whatever the status; the HTTP status answered, or None.

        It waits up to `ack_timeout`, and changes nothing in the schedule that `pay` began.
        """
        return status_of(self._gateway.deliver(provider_id))

    def notification(self, provider_id: str) -> WebhookDelivery:
        """What `deliver` sends, signed and not sent."""
        message = self._gateway.success(provider_id)
        return WebhookDelivery(message.body, message.sign(message.body))

    def charges(self, order_id: str) -> tuple[SandboxCharge, ...]:
        """Every order that this merchant_order_id has made, with the amount as the gateway reads it."""
        return tuple(
            SandboxCharge(order.order_id, _money(order.amount, order.currency))
            for order in self._gateway.orders_of(order_id)
        )

    def refund(self, provider_id: str, amount: str | None = None) -> int | None:
        """A refund made in the portal: sends `refund_success`, retried as scheduled; the first delivery's status."""
        return status_of(self._gateway.refund(provider_id, amount))

    def set_status(self, provider_id: str, status: str) -> None:
        """Force a status, even an undocumented word; nothing is notified."""
        self._gateway.set_status(provider_id, status)

    def set_amount(self, provider_id: str, amount: str, currency: str) -> None:
        """Let later answers speak of other money."""
        self._gateway.set_amount(provider_id, amount, currency)

    def expire_tokens(self) -> None:
        """Every token given so far is refused from now on."""
        self._gateway.expire_tokens()

    def reject_next(self, code: int, message: str) -> None:
        """The next authorized create answers this code (an invention: none but 0 is documented)."""
        self._gateway.reject_next(code, message)

    def stories(self) -> tuple[Story, ...]:
        """The scenes to record; each names the options of the sandbox that plays it."""
        from .stories import STORIES

        return STORIES

    def advance(self, seconds: float) -> None:
        """Nothing here depends on the clock but a token's life: let it pass with `expire_tokens`."""

    def close(self) -> None:
        """Stop the server and every delivery, at once."""
        self._gateway.courier.close()
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _money(amount: str, currency: str) -> Money:
    # However many digits: what the gateway holds is told as it is.
    return Money(minor=int(Decimal(amount).scaleb(CURRENCY_EXPONENTS[currency])), currency=currency)
