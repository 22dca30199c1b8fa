"""Keep the sandbox's state, and apply the actions of the shopper and the operator to it."""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from payments_core.testing.courier import Courier, Delivery, Message
from payments_core.testing.sandbox import NotPossible, UnknownCharge

from .notifications import compose
from .records import Clock, Order, ReceivedRequest, utc_milliseconds
from .rules import Code, Create, Query, Refused, is_amount

__all__ = [
    "Duplicate",
    "LocalGateway",
    "NextActionShape",
    "UnknownOrder",
]

Duplicate = Literal["reject", "same", "second"]
NextActionShape = Literal["documented", "qrcode_url", "redirect_url", "call_sdk"]

_KEPT: Final = 10_000


class UnknownOrder(UnknownCharge):
    """No order has this order_id."""


@dataclass
class LocalGateway:
    """The gateway without its HTTP. Every method may be called from any thread."""

    courier: Courier
    clock: Clock = time.time_ns
    seed: int | str | None = None
    uid: str = ""
    client_secret: str = field(default="", repr=False)
    webhook_key: str = field(default="", repr=False)
    token_lifetime: int = 3600
    duplicate: Duplicate = "reject"
    next_action_shape: NextActionShape = "documented"
    public_url: str = ""

    def __post_init__(self) -> None:
        if self.duplicate not in get_args(Duplicate):
            raise ValueError(f"duplicate must be one of {', '.join(get_args(Duplicate))}")
        if self.next_action_shape not in get_args(NextActionShape):
            raise ValueError(f"next_action_shape must be one of {', '.join(get_args(NextActionShape))}")
        if self.token_lifetime < 1:
            raise ValueError("token_lifetime is a whole number of seconds, at least 1")
        # One random stream per kind of id: a change in one leaves the others as recorded.
        self._draw = {
            kind: secrets.SystemRandom() if self.seed is None else random.Random(f"{self.seed}:{kind}")  # noqa: S311
            for kind in ("credentials", "tokens", "orders", "refunds", "rids")
        }
        self.uid = self.uid or self._digits("credentials", 8)
        self.client_secret = self.client_secret or self._hex("credentials", 32)
        self.webhook_key = self.webhook_key or self._hex("credentials", 32)
        self.lock = threading.RLock()
        self._received: deque[ReceivedRequest] = deque(maxlen=_KEPT)
        self._orders: dict[str, Order] = {}
        self._by_merchant: dict[str, list[Order]] = {}
        self._tokens: dict[str, int] = {}
        self._rejections: deque[tuple[int, str]] = deque()

    def _digits(self, kind: str, count: int) -> str:
        return str(self._draw[kind].randrange(10 ** (count - 1), 10**count))

    def _hex(self, kind: str, count: int) -> str:
        return f"{self._draw[kind].getrandbits(4 * count):0{count}x}"

    # API calls.

    def new_rid(self) -> str:
        with self.lock:
            return self._hex("rids", 32)

    def new_token(self) -> str:
        """Issue a token. Earlier ones stay valid; the documentation doesn't say whether they do."""
        with self.lock:
            now = self.clock()
            self._tokens = {token: ends for token, ends in self._tokens.items() if ends > now}
            token = self._hex("tokens", 40)
            self._tokens[token] = now + self.token_lifetime * 10**9
            return token

    def is_live(self, token: str) -> bool:
        with self.lock:
            return self._tokens.get(token, 0) > self.clock()

    def take_rejection(self) -> tuple[int, str] | None:
        with self.lock:
            return self._rejections.popleft() if self._rejections else None

    def record(self, request: ReceivedRequest) -> None:
        with self.lock:
            self._received.append(request)

    def requests(self) -> tuple[ReceivedRequest, ...]:
        with self.lock:
            return tuple(self._received)

    def create(self, asked: Create) -> tuple[Order, bool]:
        """Return the order, and whether the answer is invented, as every answer to a duplicate is."""
        with self.lock:
            earlier = self._by_merchant.get(asked.merchant_order_id, [])
            if earlier and self.duplicate != "second":
                first = earlier[0]
                if self.duplicate == "same" and (first.amount, first.currency) == (asked.amount, asked.currency):
                    return first, True
                raise Refused(Code.DUPLICATE, "merchant_order_id was used before")
            order = Order(
                "C" + self._digits("orders", 21),
                asked.merchant_order_id,
                asked.amount,
                asked.currency,
                asked.description,
                asked.flow,
                asked.wallet,
                asked.notify_url,
                self.clock(),
                asked.unknown_fields,
            )
            self._orders[order.order_id] = order
            self._by_merchant.setdefault(asked.merchant_order_id, []).append(order)
            return order, bool(earlier)

    def find(self, asked: Query) -> tuple[Order, bool]:
        """Return the order, and whether the choice is invented: the newest of several with one merchant id."""
        with self.lock:
            if asked.order_id:
                found = [order for order in (self._orders.get(asked.order_id),) if order is not None]
            else:
                found = self._by_merchant.get(asked.merchant_order_id, [])
            if asked.merchant_order_id:
                found = [order for order in found if order.merchant_order_id == asked.merchant_order_id]
            if not found:
                raise Refused(Code.UNKNOWN_ORDER, "no such order")
            return found[-1], len(found) > 1

    # Actions of the shopper and the operator.

    def order(self, provider_id: str) -> Order:
        with self.lock:
            try:
                return self._orders[provider_id]
            except KeyError:
                raise UnknownOrder(f"no order has the order_id {provider_id!r}") from None

    def orders_of(self, merchant_order_id: str) -> tuple[Order, ...]:
        """Return every order of one merchant id, oldest first."""
        with self.lock:
            return tuple(self._by_merchant.get(merchant_order_id, ()))

    def success(self, provider_id: str) -> Message:
        """Return the `payment_success` of this order, whatever its status, without sending it."""
        with self.lock:
            return self._success(self.order(provider_id))

    def orders(self) -> tuple[Order, ...]:
        """Return all orders, oldest first."""
        with self.lock:
            return tuple(self._orders.values())

    def pay(self, provider_id: str, *, notify: bool = True) -> None:
        with self.lock:
            order = self._pending(provider_id)
            order.status, order.paid = "SUCCEEDED", self.clock()
            message = self._success(order)
        if notify and message.url:
            self.courier.begin(message)

    def close_order(self, provider_id: str) -> None:
        """Close an order that was cancelled or timed out: both are documented as one status without a notification."""
        with self.lock:
            self._pending(provider_id).status = "CANCELLED"

    def _pending(self, provider_id: str) -> Order:
        order = self.order(provider_id)
        if order.status != "PENDING":
            raise NotPossible(f"the order is {order.status}, no longer PENDING")
        return order

    def deliver(self, provider_id: str) -> Future[Delivery]:
        """Send `payment_success` once, now, whatever the order's status: a hint may be early, late or repeated."""
        return self.courier.send(self._success(self.order(provider_id)))

    def _success(self, order: Order) -> Message:
        data = {"order_id": order.order_id, "merchant_order_id": order.merchant_order_id}
        return compose(order.order_id, "payment_success", order.notify_url, data, self.webhook_key)

    def refund(self, provider_id: str, amount: str | None = None) -> Future[Delivery]:
        """Refund in the merchant's portal: `refund_success`, in the published vector's shape.

        It isn't documented whether `order_amount` is the order's or the refunded amount; `amount` plays the second.
        """
        with self.lock:
            order = self.order(provider_id)
            if order.status != "SUCCEEDED":
                raise NotPossible(f"the order is {order.status}: only a SUCCEEDED one can be refunded")
            if amount is not None and not is_amount(amount):
                raise NotPossible("amount must be a decimal string above zero, with at most 2 decimals")
            made = self.clock()
            data = {
                "uid": int(self.uid) if self.uid.isascii() and self.uid.isdigit() else self.uid,
                "refund_id": "C" + self._digits("refunds", 17),
                "merchant_refund_id": "P" + self._digits("refunds", 19),
                "order_amount": order.amount if amount is None else amount,
                "create_time": utc_milliseconds(made),
                "refund_time": utc_milliseconds(self.clock()),
            }
            message = compose(order.order_id, "refund_success", order.notify_url, data, self.webhook_key)
        return self.courier.begin(message)

    def set_status(self, provider_id: str, status: str) -> None:
        """Force a status, without rules or a notification. An undocumented word is allowed."""
        if not status:
            raise NotPossible("status must not be empty")
        with self.lock:
            order = self.order(provider_id)
            order.status = status
            order.paid = (order.paid or self.clock()) if status == "SUCCEEDED" else None

    def set_amount(self, provider_id: str, amount: str, currency: str) -> None:
        """Force the amount in later answers, unchecked, to play an answer about other money."""
        with self.lock:
            order = self.order(provider_id)
            order.amount, order.currency = amount, currency

    def expire_tokens(self) -> None:
        with self.lock:
            self._tokens.clear()

    def reject_next(self, code: int, message: str) -> None:
        """Answer the next authorized create with this code, whatever it asks for."""
        if code == 0:
            raise NotPossible("code 0 is success")
        with self.lock:
            self._rejections.append((code, message))
