"""Control the sandbox over HTTP, for tests in other languages and processes. `Sandbox` does the same in Python."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from payments_core.testing.sandbox_app import control_route, delivered, fields_of

from .gateway import LocalGateway
from .records import Order, hong_kong_nanoseconds

__all__ = ["routes"]


def routes(gateway: LocalGateway) -> list[Route]:
    """Return the routes to mount under `/_sandbox`."""

    async def orders(_: Request) -> object:
        return [_shown(order) for order in gateway.orders()]

    async def order(request: Request) -> object:
        return _shown(gateway.order(_id(request)))

    async def received(_: Request) -> object:
        return gateway.requests()

    async def notifications(_: Request) -> object:
        return gateway.courier.deliveries

    async def pay(request: Request) -> object:
        fields = await fields_of(request, notify=bool)
        gateway.pay(_id(request), notify=fields.get("notify", True))
        return _shown(gateway.order(_id(request)))

    async def close(request: Request) -> object:
        await fields_of(request)
        gateway.close_order(_id(request))
        return _shown(gateway.order(_id(request)))

    async def status(request: Request) -> object:
        fields = await fields_of(request, "status", status=str)
        gateway.set_status(_id(request), fields["status"])
        return _shown(gateway.order(_id(request)))

    async def amount(request: Request) -> object:
        fields = await fields_of(request, "amount", "currency", amount=str, currency=str)
        gateway.set_amount(_id(request), fields["amount"], fields["currency"])
        return _shown(gateway.order(_id(request)))

    async def deliver(request: Request) -> object:
        await fields_of(request)
        return (await delivered([gateway.deliver(_id(request))]))[0]

    async def refund(request: Request) -> object:
        fields = await fields_of(request, amount=str)
        return (await delivered([gateway.refund(_id(request), fields.get("amount"))]))[0]

    async def expire(request: Request) -> object:
        await fields_of(request)
        gateway.expire_tokens()
        return {}

    async def reject(request: Request) -> object:
        fields = await fields_of(request, "code", "message", code=int, message=str)
        gateway.reject_next(fields["code"], fields["message"])
        return {}

    return [
        control_route("GET", "/orders", orders),
        control_route("GET", "/orders/{order_id}", order),
        control_route("GET", "/received", received),
        control_route("GET", "/notifications", notifications),
        control_route("POST", "/orders/{order_id}/pay", pay),
        control_route("POST", "/orders/{order_id}/cancel", close),
        control_route("POST", "/orders/{order_id}/time-out", close),
        control_route("POST", "/orders/{order_id}/status", status),
        control_route("POST", "/orders/{order_id}/amount", amount),
        control_route("POST", "/orders/{order_id}/deliver", deliver),
        control_route("POST", "/orders/{order_id}/refund", refund),
        control_route("POST", "/tokens/expire", expire),
        control_route("POST", "/reject-next", reject),
    ]


def _shown(order: Order) -> Mapping[str, object]:
    # Times as the gateway writes them: nanoseconds as a number are more than a JavaScript reader can hold.
    shown = msgspec.to_builtins(order)
    created, paid = shown.pop("created"), shown.pop("paid")
    return {
        **shown,
        "create_time": hong_kong_nanoseconds(created),
        "pay_time": None if paid is None else hong_kong_nanoseconds(paid),
    }


def _id(request: Request) -> str:
    return str(request.path_params["order_id"])
