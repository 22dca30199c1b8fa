"""A shop in a page: it sells tea for HKD 88.00 through whatever gateway PAYMENTS_GATEWAY names.

    PAYMENTS_GATEWAY=alipayhk python examples/shop.py        # http://127.0.0.1:8000
    PAYMENTS_GATEWAY=stripe   python examples/shop.py

Which gateway it is stands nowhere below. Its settings are in payments.toml, its secrets in the environment. There is no
HTML: `curl -X POST http://127.0.0.1:8000/buy` is the button.

    POST /buy            makes an order, and says what the shopper is to do
    POST /webhooks       is for the gateway
    GET  /orders/{id}    says whether the order is paid
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from payments_core import (
    Acknowledgement,
    AuthorizationRejected,
    ChargeRequest,
    ConfigurationError,
    Gateway,
    InvalidRequest,
    Money,
    OutcomeUnknown,
    PaymentError,
    ProviderContractError,
    Subject,
    UnsupportedOperation,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
)

PRICE = Money.of("88.00", "HKD")
MOST_BYTES = 256 * 1024  # of a body: no notification is longer

# What nobody but this shop can put right. All else is the gateway's, or the network's, and may be better in a minute.
OURS = (AuthorizationRejected, ConfigurationError, InvalidRequest, ProviderContractError, UnsupportedOperation)


class Shop:
    """Orders in memory: a real shop has a table for them, and writes the row before it asks for money."""

    def __init__(self, gateway: Gateway, url: str) -> None:
        self._gateway = gateway
        self._url = url
        self._provider_ids: dict[str, str] = {}
        self._paid: set[str] = set()

    def buy(self, order_id: str) -> dict[str, Any]:
        """Ask for the money; what the page is to show next."""
        self._provider_ids[order_id] = ""
        request = ChargeRequest(
            order_id, PRICE, "Tea", notify_url=f"{self._url}/webhooks", return_url=f"{self._url}/orders/{order_id}"
        )
        try:
            charge = self._gateway.create_charge(request)
        except OutcomeUnknown as exc:
            if not exc.repeatable:
                raise
            charge = self._gateway.create_charge(request)  # the gateway keeps its key: the same call is the same charge
        self._provider_ids[order_id] = charge.reference.provider_id
        action = charge.next_action
        fields = {name: getattr(action, name) for name in action.__struct_fields__} if action is not None else {}
        return {"order_id": order_id, "do": type(action).__name__, **fields}

    def receive(self, body: bytes, headers: Mapping[str, str]) -> Acknowledgement:
        """Take a notification in; a forged one is `WebhookRejected`. One about an order of somebody else's changes nothing."""
        notification = self._gateway.parse_webhook(WebhookDelivery(body, headers))
        for event in notification.events:
            order_id = self._order_of(event)
            if order_id:
                self._settle(order_id, event)
        return notification.acknowledgement

    def is_paid(self, order_id: str) -> bool:
        """Whether the order is paid; an open one is asked about, for a notification can be lost. `KeyError`: no such order."""
        if order_id not in self._paid and self._provider_ids[order_id]:
            self._settle(order_id)
        return order_id in self._paid

    def _order_of(self, event: WebhookEvent) -> str:
        if event.subject is not Subject.CHARGE or event.reference is None:
            return ""
        named = event.reference
        if named.order_id in self._provider_ids:
            return named.order_id
        # A copy, because orders are made meanwhile; and an order whose create has failed has "" for an id, as many events have.
        orders = list(self._provider_ids.items())
        return next((ours for ours, theirs in orders if theirs and theirs == named.provider_id), "")

    def _settle(self, order_id: str, event: WebhookEvent | None = None) -> None:
        provider_id = self._provider_ids[order_id]
        if event is not None:
            charge = self._gateway.confirm_event(event, order_id, PRICE, provider_id=provider_id)
        else:
            charge = self._gateway.confirm(order_id, PRICE, provider_id=provider_id)
        if charge.is_paid:
            self._paid.add(order_id)


class Page(BaseHTTPRequestHandler):
    """The three addresses."""

    shop: Shop
    timeout = 30  # seconds, for whoever says nothing more

    def do_POST(self) -> None:
        """`/buy` and `/webhooks`."""
        length = self.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            self._answer(400, {"problem": "Content-Length is a number"})
        elif len(length) > len(str(MOST_BYTES)) or int(length) > MOST_BYTES:
            self._answer(413, {"problem": f"a body has {MOST_BYTES} bytes at most"})
        else:
            self._carry_out(self._post, self.rfile.read(int(length)))

    def do_GET(self) -> None:
        """`/orders/{id}`."""
        self._carry_out(self._get)

    def _post(self, body: bytes) -> None:
        if self.path == "/buy":
            self._answer(200, self.shop.buy(f"TEA{secrets.token_hex(8)}"))
        elif self.path == "/webhooks":
            told = self.shop.receive(body, dict(self.headers.items()))
            self._answer(told.status, told.body, told.headers)
        else:
            self._answer(404, {"problem": "no such address"})

    def _get(self) -> None:
        order_id = self.path.partition("?")[0].removeprefix("/orders/")
        try:
            self._answer(200, {"order_id": order_id, "paid": self.shop.is_paid(order_id)})
        except KeyError:
            self._answer(404, {"problem": "no such order"})

    def _carry_out(self, work: Callable[..., None], *given: bytes) -> None:
        try:
            work(*given)
        except WebhookRejected as exc:
            self._answer(400, {"problem": str(exc)})
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
        print(f"{gateway.info.title}: {url}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            server.server_close()


if __name__ == "__main__":
    main()
