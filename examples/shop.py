"""Sell tea for HKD 88.00 through the gateway that PAYMENTS_GATEWAY names: a shop on one page.

    PAYMENTS_GATEWAY=alipayhk python examples/shop.py        # http://127.0.0.1:8000
    PAYMENTS_GATEWAY=stripe   python examples/shop.py

The code below doesn't depend on the gateway. Settings are in payments.toml, secrets in the environment. There is no
HTML: `curl -X POST http://127.0.0.1:8000/buy` is the button.

    POST /buy            makes an order and returns the shopper's next step
    POST /webhooks       receives the gateway's notifications, signed or not; 404 if it sends none, and the shop polls
    GET  /orders/{id}    says whether the order is paid
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Thread
from time import monotonic, sleep
from typing import Any

from payments_core import (
    Acknowledgement,
    AuthorizationRejected,
    ChargeRequest,
    ConfigurationError,
    Gateway,
    GatewayUnavailable,
    InvalidRequest,
    Money,
    Notifications,
    OutcomeUnknown,
    PaymentError,
    ProtocolViolation,
    ProviderContractError,
    RateLimited,
    Subject,
    UnsupportedOperation,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
)

PRICE = Money.of("88.00", "HKD")
PAUSE = 5.0  # seconds between two queries about one order, however many hints and pages ask for one
MOST_BYTES = 256 * 1024  # of a body: no notification is longer

# Errors that only this shop can fix; and errors that may pass in a minute.
OURS = (AuthorizationRejected, ConfigurationError, InvalidRequest, ProviderContractError, UnsupportedOperation)
PASSING = (GatewayUnavailable, ProtocolViolation, RateLimited)

log = logging.getLogger("shop")


@dataclass
class Order:
    """A row of a real shop's table."""

    amount: Money
    provider_id: str = ""
    paid: bool = False
    closed: bool = False
    questions: dict[str, WebhookEvent | None] = field(default_factory=dict)  # open ones, by the gateway's id to ask for
    ask_at: float = 0.0


class Shop:
    """Orders and events in memory; a real shop has tables for them."""

    def __init__(self, gateway: Gateway, url: str) -> None:
        self._gateway = gateway
        self._url = url
        self.notified = gateway.info.notifications is not Notifications.NONE  # else query each open order
        self._orders: dict[str, Order] = {}
        self._inbox: SimpleQueue[WebhookEvent] = SimpleQueue()

    def buy(self, order_id: str) -> dict[str, Any]:
        """Create the charge, and return what the page shows next."""
        order = self._orders[order_id] = Order(PRICE)  # stored before the call: its answer can be lost
        request = ChargeRequest(
            order_id, PRICE, "Tea", notify_url=f"{self._url}/webhooks", return_url=f"{self._url}/orders/{order_id}"
        )
        try:
            charge = self._gateway.create_charge(request)
        except OutcomeUnknown as exc:
            if not exc.repeatable:
                raise
            # The gateway keeps idempotency keys: the identical call is the same charge.
            charge = self._gateway.create_charge(request, first_sent_at=exc.first_sent_at)
        order.provider_id = charge.reference.provider_id
        action = charge.next_action
        fields = {name: getattr(action, name) for name in action.__struct_fields__} if action is not None else {}
        return {"order_id": order_id, "do": type(action).__name__, **fields}

    def receive(self, body: bytes, headers: Mapping[str, str]) -> Acknowledgement:
        """Store the content of a notification, and do nothing else: the gateway waits for the answer."""
        notification = self._gateway.parse_webhook(WebhookDelivery(body, headers))
        for event in notification.events:
            self._inbox.put(event)
        return notification.acknowledgement

    def is_paid(self, order_id: str) -> bool:
        """Return whether the order is paid, and schedule a query if it is open; raise `KeyError` if it is unknown."""
        order = self._orders[order_id]
        self._schedule(order)
        return order.paid

    def _schedule(self, order: Order) -> None:
        if order.provider_id or "order_id" in self._gateway.info.query_by:
            order.questions.setdefault(order.provider_id, None)

    def work(self) -> None:
        """Settle forever; a real shop does it in a process of its own."""
        while True:
            self.settle()
            sleep(0.1)

    def settle(self) -> None:
        """Process the stored events, then query each order that is due."""
        while not self._inbox.empty():
            self._take(self._inbox.get())
        for order_id, order in list(self._orders.items()):  # a copy: orders are added meanwhile
            if not self.notified and not order.closed:
                self._schedule(order)
            if order.questions and not order.paid and monotonic() >= order.ask_at:
                order.ask_at = monotonic() + PAUSE
                named, event = order.questions.popitem()  # first: an event that arrives from now on is another query
                if not self._confirm(order_id, order, event):
                    order.questions.setdefault(named, event)

    def _take(self, event: WebhookEvent) -> None:
        order_id, named = self._order_of(event), event.reference
        if not order_id or named is None:
            log.warning("event %s is about no charge of this shop", event.event_id)
            return
        order = self._orders[order_id]
        if not event.authoritative or not self._confirm(order_id, order, event):
            order.questions.setdefault(order.provider_id or named.provider_id, event)

    def _order_of(self, event: WebhookEvent) -> str:
        named = event.reference
        if event.subject is not Subject.CHARGE or named is None:
            return ""
        if named.order_id in self._orders:
            return named.order_id
        # After a failed create the order's id is "", as in many events.
        ids = {order.provider_id: order_id for order_id, order in list(self._orders.items()) if order.provider_id}
        return ids.get(named.provider_id, "")

    def _confirm(self, order_id: str, order: Order, event: WebhookEvent | None) -> bool:
        """Return False if the same query may succeed later."""
        try:
            if event is not None:
                charge = self._gateway.confirm_event(event, order_id, order.amount, provider_id=order.provider_id)
            else:
                charge = self._gateway.confirm(order_id, order.amount, provider_id=order.provider_id)
        except PaymentError as exc:  # its text holds no secret
            log.error("not settled: %s: %s", type(exc).__name__, exc)  # noqa: TRY400 - the text says it
            return not isinstance(exc, PASSING)
        order.paid = order.paid or charge.is_paid
        order.closed = charge.status.is_final
        return True


class Page(BaseHTTPRequestHandler):
    """Serve the three addresses."""

    shop: Shop
    hosts: frozenset[str]  # its own names: other sites' pages must not buy or read through the shopper's browser
    timeout = 30  # seconds, for a silent client

    def do_POST(self) -> None:
        """Serve `/buy` and `/webhooks`."""
        length = self.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            self._answer(400, {"problem": "Content-Length is a number"})
        elif len(length) > len(str(MOST_BYTES)) or int(length) > MOST_BYTES:
            self._answer(413, {"problem": f"a body has {MOST_BYTES} bytes at most"})
        else:
            self._carry_out(self._post, self.rfile.read(int(length)))

    def do_GET(self) -> None:
        """Serve `/orders/{id}`."""
        self._carry_out(self._get)

    def _post(self, body: bytes) -> None:
        if self.path == "/webhooks" and self.shop.notified:
            told = self.shop.receive(body, dict(self.headers.items()))
            self._answer(told.status, told.body, told.headers)
        elif self.path == "/buy":
            self._answer(200, self.shop.buy(f"TEA{secrets.token_hex(8)}"))
        else:
            self._answer(404, {"problem": "no such address"})

    def _get(self) -> None:
        order_id = self.path.partition("?")[0].removeprefix("/orders/")
        try:
            self._answer(200, {"order_id": order_id, "paid": self.shop.is_paid(order_id)})
        except KeyError:
            self._answer(404, {"problem": "no such order"})

    def _is_ours(self) -> bool:
        """Return whether the request names this host, and doesn't come from another site's page."""
        named = [each.lower() for each in self.headers.get_all("host", [])]
        origins = [each.lower() for each in self.headers.get_all("origin", [])]
        return len(named) == 1 and named[0] in self.hosts and all(each == f"http://{named[0]}" for each in origins)

    def _carry_out(self, work: Callable[..., None], *given: bytes) -> None:
        if self.path != "/webhooks" and not self._is_ours():  # notifications come from anywhere: parse_webhook judges
            self._answer(403, {"problem": "this shop answers nobody but its own pages"})
            return
        try:
            work(*given)
        except WebhookRejected as exc:
            self._answer(exc.status, {"problem": str(exc)})  # the status that this gateway wants
        except PaymentError as exc:  # its text holds no secret
            self._answer(500 if isinstance(exc, OURS) else 503, {"problem": f"{type(exc).__name__}: {exc}"})

    def _answer(self, status: int, content: dict[str, Any] | bytes, headers: Sequence[tuple[str, str]] = ()) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until Ctrl-C."""
    logging.basicConfig()
    name = os.environ.get("PAYMENTS_GATEWAY", "")
    if not name:
        sys.exit("shop: say which gateway, one that payments.toml configures: PAYMENTS_GATEWAY=NAME python shop.py")
    try:
        gateway = Gateway.open(name)
    except PaymentError as exc:
        sys.exit(f"shop: {exc}")
    port = int(os.environ.get("PORT", "8000"))
    server = ThreadingHTTPServer(("127.0.0.1", port), Page)
    url = f"http://127.0.0.1:{server.server_port}"
    with gateway:
        Page.shop = Shop(gateway, url)
        Page.hosts = frozenset(f"{host}:{server.server_port}" for host in ("127.0.0.1", "localhost"))
        Thread(target=Page.shop.work, daemon=True).start()
        print(f"{gateway.info.title}: {url}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            server.server_close()


if __name__ == "__main__":
    main()
