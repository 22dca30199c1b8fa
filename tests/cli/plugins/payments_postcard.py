"""Two small plugins of one gateway on this machine: Postcard's notifications are not signed, and Hush sends none."""

from __future__ import annotations

import json
import re
import secrets
import urllib.request
from typing import Any

import msgspec
from msgspec import structs
from starlette.requests import Request as Incoming
from starlette.responses import JSONResponse

from payments_core import (
    Channel,
    Charge,
    Flow,
    Limits,
    Method,
    Money,
    NotFound,
    Notification,
    Notifications,
    PaymentStatus,
    ProviderInfo,
    Redirect,
    Reference,
    Rejected,
    Request,
    Response,
    Secret,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
    hookimpl,
    segment,
    unify,
)
from payments_core.testing.server import LoopbackServer

STATUSES = {"open": PaymentStatus.PENDING, "paid": PaymentStatus.SUCCEEDED, "void": PaymentStatus.CANCELLED}


class Config(msgspec.Struct, frozen=True, kw_only=True):
    base_url: str
    api_key: Secret


class Bill(msgspec.Struct):
    id: str
    order: str
    cents: int
    currency: str
    state: str


class Hush:
    """A provider without notifications."""

    config_type = Config
    info = ProviderInfo(
        id="hush",
        title="Hush",
        currencies=frozenset({"EUR"}),
        methods=(Method("card", "Card"),),
        channels=frozenset({Channel.WEB}),
        limits=Limits(order_id_length=40),
        raw_statuses=STATUSES,
        query_by=frozenset({"provider_id"}),
        notifications=Notifications.NONE,
    )

    def __init__(self, config: Config) -> None:
        self._headers = (("x-api-key", config.api_key), ("content-type", "application/json"))
        self._base_url = config.base_url

    @hookimpl
    def create_charge(self, request: Any) -> Flow[Charge]:
        bill = {
            "order": request.order_id,
            "cents": request.amount.minor,
            "currency": request.amount.currency,
            "notify": request.notify_url,
        }
        return self._charge((yield Request("POST", "/bills", headers=self._headers, body=msgspec.json.encode(bill))))

    @hookimpl
    def get_status(self, reference: Reference) -> Flow[Charge]:
        path = f"/bills/{segment(reference.provider_id)}"
        return self._charge((yield Request("GET", path, headers=self._headers, safe=True)))

    def _charge(self, response: Response) -> Charge:
        if response.status == 404:
            raise NotFound("there is no such bill")
        if response.status != 200:
            raise Rejected("the bill was refused")
        bill = response.decode(msgspec.json.Decoder(Bill).decode)
        action = Redirect(f"{self._base_url}/pay/{bill.id}") if bill.state == "open" else None
        return Charge(
            provider=self.info.id,
            reference=Reference(bill.order, bill.id),
            status=unify(bill.state, STATUSES, action),
            raw_status=bill.state,
            amount=Money(minor=bill.cents, currency=bill.currency),
            next_action=action,
        )


class Postcard(Hush):
    """A provider whose notifications are an id that anybody can send; it wants 200 for everything."""

    info = structs.replace(
        Hush.info, id="postcard", title="Postcard", notifications=Notifications.UNSIGNED, rejection_status=200
    )

    @hookimpl
    def parse_webhook(self, delivery: WebhookDelivery) -> Notification:
        match = re.fullmatch(rb"id=(bill_[0-9a-f]{16})", delivery.body)
        if match is None:
            raise WebhookRejected("malformed")
        reference = Reference(provider_id=match[1].decode())
        event = WebhookEvent(self.info.id, Subject.CHARGE, "bill", reference, f"bill:{reference.provider_id}")
        return Notification((event,))


class Sandbox:
    """The gateway's side; `pay` notifies if `notifies`."""

    def __init__(self, port: int, *, notifies: bool) -> None:
        self._notifies = notifies
        self._bills: dict[str, dict[str, Any]] = {}
        self._server = LoopbackServer(self._app, port)
        self.url = self._server.url
        self.config = {"base_url": self.url, "api_key": secrets.token_hex(16)}

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        request = Incoming(scope, receive)
        if request.headers.get("x-api-key") != self.config["api_key"]:
            await JSONResponse({}, 401)(scope, receive, send)
            return
        if request.method == "POST":
            given = json.loads(await request.body())
            made = f"bill_{secrets.token_hex(8)}"
            self._bills[made] = {**given, "id": made, "state": "open"}
            answer = JSONResponse(self._bills[made])
        else:
            found = self._bills.get(request.url.path.rpartition("/")[2])
            answer = JSONResponse(found or {}, 200 if found else 404)
        await answer(scope, receive, send)

    def pay(self, provider_id: str) -> None:
        bill = self._bills[provider_id]
        bill["state"] = "paid"
        if self._notifies and bill["notify"]:
            self._deliver(bill["notify"], self.notification(provider_id))

    def cancel(self, provider_id: str) -> None:
        self._bills[provider_id]["state"] = "void"

    def notification(self, provider_id: str) -> WebhookDelivery:
        assert self._notifies, "this gateway sends no notifications"
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return WebhookDelivery(f"id={provider_id}".encode(), headers)

    def _deliver(self, url: str, delivery: WebhookDelivery) -> None:
        request = urllib.request.Request(url, delivery.body, dict(delivery.headers), method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def close(self) -> None:
        self._server.close()


def make_postcard(port: int = 0) -> Sandbox:
    return Sandbox(port, notifies=True)


def make_hush(port: int = 0) -> Sandbox:
    return Sandbox(port, notifies=False)
