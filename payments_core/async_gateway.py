"""`AsyncGateway`: the gateway for asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Future
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .engine import Join, Send
from .errors import Accepted, ConfigurationError, InvalidRequest
from .flow import drive_async
from .gateway import OpenedGateway
from .models import (
    Authorization,
    CaptureRequest,
    Charge,
    ChargeRequest,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
)
from .money import Money
from .webhooks import Notification, WebhookDelivery, WebhookEvent

if TYPE_CHECKING:
    from .account import Account
    from .transport import AsyncTransport

__all__ = ["AsyncGateway"]

T = TypeVar("T")


class AsyncGateway(OpenedGateway):
    """A gateway for asyncio. Attributes, `open` and all calls are those of `Gateway`; await the calls.

    Every event loop has connections of its own, so one gateway serves several, also one after the other. Use it in an
    `async with` block, or `await aclose()`.
    """

    _transport: AsyncTransport

    async def authorize(self, *, deadline: float | None = None) -> Authorization:
        """Return the current right to call the gateway's API, obtained if there is none."""
        return await self._perform(self._authorize(deadline))

    async def create_charge(
        self, request: ChargeRequest, *, deadline: float | None = None, first_sent_at: datetime | None = None
    ) -> Charge:
        """Ask for money, once. `OutcomeUnknown` means: ask with `get_status`, never just send again.

        Where asking is impossible and the error is `repeatable`, make the identical call with its `first_sent_at` (or,
        after a crash, with the time that was stored before the call). Beyond `info.key_lifetime` that is refused before
        anything is sent; nothing that comes back says that nothing was accepted.
        """
        return await self._perform(self._create_charge(request, deadline, first_sent_at))

    async def get_status(self, reference: Reference, *, deadline: float | None = None) -> Charge:
        """Ask where a charge stands; raise `Mismatch` where the answer is about another one."""
        return await self._perform(self._get_status(reference, deadline))

    async def confirm(
        self, order_id: str, amount: Money, *, provider_id: str = "", deadline: float | None = None
    ) -> Charge:
        """Ask, and compare the answer with what was asked for; then `.is_paid` is the one thing to test.

        Raise `Mismatch` where the ids, the amount or the currency differ.
        """
        return await self._perform(self._confirm(order_id, amount, provider_id, deadline))

    async def confirm_event(
        self,
        event: WebhookEvent,
        order_id: str,
        amount: Money,
        *,
        provider_id: str = "",
        deadline: float | None = None,
    ) -> Charge:
        """Do as `confirm` does with what an event is about: read its own charge where it has one, else ask.

        `order_id`, `amount` and `provider_id` are those that were stored when the charge was made.
        """
        return await self._perform(self._confirm_event(event, order_id, amount, provider_id, deadline))

    async def parse_webhook(self, delivery: WebhookDelivery, *, deadline: float | None = None) -> Notification:
        """Verify and read a notification; `WebhookRejected` means: answer its `status` and change nothing."""
        return await self._perform(self._parse_webhook(delivery, deadline))

    async def complete_charge(
        self,
        reference: Reference,
        returned: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        *,
        deadline: float | None = None,
        first_sent_at: datetime | None = None,
    ) -> Charge:
        """Finish a charge after the shopper came back with `returned` (query or form pairs)."""
        return await self._perform(self._complete_charge(reference, returned, deadline, first_sent_at))

    async def capture_charge(
        self, request: CaptureRequest, *, deadline: float | None = None, first_sent_at: datetime | None = None
    ) -> Charge:
        """Take the money of an authorized charge."""
        return await self._perform(self._capture_charge(request, deadline, first_sent_at))

    async def cancel_charge(
        self, reference: Reference, *, deadline: float | None = None, first_sent_at: datetime | None = None
    ) -> Charge:
        """Close a charge that is not paid."""
        return await self._perform(self._cancel_charge(reference, deadline, first_sent_at))

    async def refund_charge(
        self, request: RefundRequest, *, deadline: float | None = None, first_sent_at: datetime | None = None
    ) -> Refund:
        """Give money back, once for each `refund_id`."""
        return await self._perform(self._refund_charge(request, deadline, first_sent_at))

    async def get_refund(self, reference: RefundReference, *, deadline: float | None = None) -> Refund:
        """Ask where a refund stands."""
        return await self._perform(self._get_refund(reference, deadline))

    async def aclose(self) -> None:
        """Close the connections; a transport that you passed to `open` stays open."""
        self._closed = True
        if self._owned:
            await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    @classmethod
    def _check_transport(cls, transport: object) -> None:
        if transport is not None and not inspect.iscoroutinefunction(getattr(transport, "send", None)):
            raise ConfigurationError("this transport is not async: give it to Gateway")

    def _attach(self, transport: Any, account: Account) -> None:
        self._owned = transport is None
        if transport is None:
            from .transport import AsyncHTTPTransport

            transport = account.make_transport(AsyncHTTPTransport)
        self._transport = transport

    async def _perform(self, flow: Generator[Any, Any, T]) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            error = InvalidRequest(
                f"gateway {self.name} is an AsyncGateway, which runs on asyncio alone: open a Gateway and call it in a "
                "thread (trio.to_thread.run_sync)",
                field="gateway",
            )
            # This call may repeat one that was accepted.
            error.gateway, error.provider, error.accepted = self.name, self.info.id, Accepted.UNKNOWN
            raise error from None
        return await drive_async(flow, self._do)

    async def _do(self, effect: object) -> object:
        if type(effect) is Send:
            self._check_sending()
            return await self._transport.send(effect.request, deadline=effect.seconds)
        if type(effect) is Join:
            # Not `wait_for`: a waiter that gives up must not cancel the flight of the others.
            await asyncio.wait([_in_loop(effect.flight.ended)], timeout=effect.seconds)
        else:
            await asyncio.sleep(effect.seconds)  # type: ignore[attr-defined]
        return None


def _in_loop(future: Future[None]) -> asyncio.Future[None]:
    return asyncio.wrap_future(future)
