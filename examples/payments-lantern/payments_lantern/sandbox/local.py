"""Run the local gateway, and do to it everything that a test or a demo needs: `Sandbox`."""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Final, Self

from payments_core import Money, WebhookDelivery
from payments_core.testing.courier import Courier, Message, status_of
from payments_core.testing.sandbox import SandboxCharge
from payments_core.testing.server import LoopbackServer
from payments_core.testing.stories import Story
from payments_lantern.config import LanternConfig

from .app import build_app
from .gateway import CLOSED, DECLINED, DIGITS, PAID, LocalGateway, Payment

__all__ = ["Sandbox", "make", "sign"]

# NOTIFY: "again for a day". The hours between are invented.
_AGAIN: Final = (60, 3600, 43200)


def make(
    port: int = 0,
    *,
    seed: int | str | None = None,
    public_url: str = "",
    api_key: str = "",
    webhook_key: str = "",
) -> Sandbox:
    """Start a sandbox on 127.0.0.1. Port 0 picks a free port. With `seed` and `public_url` all output repeats.

    A key that is not given is made up; `payments sandbox --keep` gives those of its first start.
    """
    return Sandbox(LocalGateway(seed, api_key, webhook_key), port, public_url.rstrip("/"))


def sign(
    config: LanternConfig,
    body: bytes,
    *,
    at: datetime | None = None,
) -> tuple[tuple[str, str], ...]:
    """Return the headers that make `body` a notification of this account (NOTIFY)."""
    return _signed(config.webhook_key.reveal(), body, at or datetime.now(UTC))


def _signed(key: str, body: bytes, at: datetime) -> tuple[tuple[str, str], ...]:
    """Sign the time, a line feed and the body with an HMAC, in base64 (NOTIFY)."""
    moment = str(int(at.timestamp()))
    digest = hmac.digest(key.encode(), f"{moment}\n".encode() + body, "sha256")
    return ("Lantern-Time", moment), ("Lantern-Signature", base64.b64encode(digest).decode())


class Sandbox:
    """A local Lantern Pay. `provider_id` is always its payment_id.

    `pay`, `decline` and `cancel` act for the shopper; the payment must be waiting. `set_status` and `set_amount` force
    an answer.
    """

    def __init__(self, gateway: LocalGateway, port: int = 0, public_url: str = "") -> None:
        self._gateway = gateway
        self._ahead = timedelta()
        self._courier = Courier(_AGAIN, acknowledges=lambda status: status == 200)
        acts = {"pay": self.pay, "cancel": self.cancel, "deliver": self.deliver}
        self.app = build_app(gateway, acts, public_url)
        self._server = LoopbackServer(self.app, port)
        self.url = self._server.url

    @property
    def config(self) -> dict[str, str]:
        """Return the configuration that opens the provider against this sandbox."""
        gateway = self._gateway
        return {
            "base_url": self.url,
            "api_key": gateway.api_key,
            "webhook_key": gateway.webhook_key,
            "previous_webhook_key": "",
        }

    def pay(self, provider_id: str, *, notify: bool = True) -> None:
        """Approve as the shopper."""
        self._decide(provider_id, PAID, notify=notify)

    def decline(self, provider_id: str, *, notify: bool = True) -> None:
        """Decline as the shopper's bank."""
        self._decide(provider_id, DECLINED, notify=notify)

    def cancel(self, provider_id: str, *, notify: bool = True) -> None:
        """Cancel as the shopper."""
        self._decide(provider_id, CLOSED, notify=notify)

    def _decide(self, provider_id: str, state: str, *, notify: bool) -> None:
        self._gateway.decide(provider_id, state)
        if notify:
            self._courier.begin(self._message(provider_id))

    def set_status(self, provider_id: str, raw_status: str) -> None:
        """Force a state, even an undocumented word, without a notification."""
        self._payment(provider_id).state = raw_status

    def set_amount(self, provider_id: str, amount: str, currency: str) -> None:
        """Let later answers state another amount."""
        payment = self._payment(provider_id)
        payment.amount, payment.currency = amount, currency

    def charges(self, order_id: str) -> tuple[SandboxCharge, ...]:
        """Return every payment with this merchant_ref, with the amount as the gateway reads it."""
        return tuple(
            SandboxCharge(payment.payment_id, _money(payment))
            for payment in self._gateway.payments()
            if payment.merchant_ref == order_id
        )

    def notification(self, provider_id: str) -> WebhookDelivery:
        """Return what `deliver` sends, signed but not sent."""
        message = self._message(provider_id)
        return WebhookDelivery(message.body, message.sign(message.body))

    def deliver(self, provider_id: str) -> int | None:
        """Notify again, now. Return the status answered, or None without an answer or for an address elsewhere."""
        return status_of(self._courier.send(self._message(provider_id)))

    def _message(self, provider_id: str) -> Message:
        payment = self._payment(provider_id)
        return Message(
            payment.payment_id, payment.state, payment.callback_url, self._gateway.notice(payment), self._headers
        )

    def _headers(self, body: bytes) -> tuple[tuple[str, str], ...]:
        signature = _signed(self._gateway.webhook_key, body, datetime.now(UTC) + self._ahead)
        return (("Content-Type", "application/json"), *signature)

    def advance(self, seconds: float) -> None:
        """Advance the clock that signs notifications."""
        self._ahead += timedelta(seconds=seconds)

    def stories(self) -> tuple[Story, ...]:
        """Return the scenes to record."""
        from .stories import STORIES

        return STORIES

    def _payment(self, provider_id: str) -> Payment:
        return self._gateway.find(payment_id=provider_id)

    def close(self) -> None:
        """Stop the server and every delivery, at once."""
        self._courier.close()
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _money(payment: Payment) -> Money:
    # By CREATE's own digits: a provider that took another exponent is found out here.
    return Money(minor=int(Decimal(payment.amount).scaleb(DIGITS[payment.currency])), currency=payment.currency)
