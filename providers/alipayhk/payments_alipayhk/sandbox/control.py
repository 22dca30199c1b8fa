"""Control over HTTP, for tests in other languages and processes: what `Sandbox` does in Python.

JSON in, JSON out. Everything that changes something is a POST with a JSON content type, which a form of another site
cannot send. An error answers `{"error": "..."}` with 400, 404, 409 or 415.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .gateway import LocalGateway, NotPossible, SandboxError, UnknownOrder
from .notifications import Delivery
from .records import Order, hong_kong_nanoseconds

__all__ = ["routes"]

Fields = Mapping[str, Any]


class _BadRequest(SandboxError):
    pass


def routes(gateway: LocalGateway) -> list[Route]:
    """Mounted under `/_sandbox`."""

    async def orders(_: Request) -> object:
        return [_shown(order) for order in gateway.orders()]

    async def order(request: Request) -> object:
        return _shown(gateway.order(_id(request)))

    async def received(_: Request) -> object:
        return gateway.requests()

    async def notifications(_: Request) -> object:
        return gateway.courier.deliveries

    async def pay(request: Request) -> object:
        fields = await _fields(request, notify=bool)
        gateway.pay(_id(request), notify=fields.get("notify", True))
        return _shown(gateway.order(_id(request)))

    async def close(request: Request) -> object:
        await _fields(request)
        gateway.close_order(_id(request))
        return _shown(gateway.order(_id(request)))

    async def status(request: Request) -> object:
        fields = await _fields(request, "status", status=str)
        gateway.set_status(_id(request), fields["status"])
        return _shown(gateway.order(_id(request)))

    async def amount(request: Request) -> object:
        fields = await _fields(request, "amount", "currency", amount=str, currency=str)
        gateway.set_amount(_id(request), fields["amount"], fields["currency"])
        return _shown(gateway.order(_id(request)))

    async def deliver(request: Request) -> object:
        await _fields(request)
        return await _made(gateway.deliver(_id(request)))

    async def refund(request: Request) -> object:
        fields = await _fields(request, amount=str)
        return await _made(gateway.refund(_id(request), fields.get("amount")))

    async def expire(request: Request) -> object:
        await _fields(request)
        gateway.expire_tokens()
        return {}

    async def reject(request: Request) -> object:
        fields = await _fields(request, "code", "message", code=int, message=str)
        gateway.reject_next(fields["code"], fields["message"])
        return {}

    return [
        _route("GET", "/orders", orders),
        _route("GET", "/orders/{order_id}", order),
        _route("GET", "/received", received),
        _route("GET", "/notifications", notifications),
        _route("POST", "/orders/{order_id}/pay", pay),
        _route("POST", "/orders/{order_id}/cancel", close),
        _route("POST", "/orders/{order_id}/time-out", close),
        _route("POST", "/orders/{order_id}/status", status),
        _route("POST", "/orders/{order_id}/amount", amount),
        _route("POST", "/orders/{order_id}/deliver", deliver),
        _route("POST", "/orders/{order_id}/refund", refund),
        _route("POST", "/tokens/expire", expire),
        _route("POST", "/reject-next", reject),
    ]


def _route(method: str, path: str, act: Callable[[Request], Awaitable[object]]) -> Route:
    async def endpoint(request: Request) -> Response:
        if method == "POST" and _media_type(request) != "application/json":
            return JSONResponse({"error": "the Content-Type must be application/json"}, 415)
        try:
            result = await act(request)
        except UnknownOrder as error:
            return JSONResponse({"error": str(error)}, 404)
        except NotPossible as error:
            return JSONResponse({"error": str(error)}, 409)
        except _BadRequest as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(msgspec.to_builtins(result))

    return Route(path, endpoint, methods=[method])


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


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _fields(request: Request, *required: str, **types: type) -> Fields:
    try:
        fields = msgspec.json.decode(await request.body() or b"{}")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _BadRequest("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise _BadRequest("the body is not a JSON object")
    for name in required:
        if name not in fields:
            raise _BadRequest(f"{name} is required")
    for name, value in fields.items():
        if name not in types:
            raise _BadRequest(f"{name!r} is not a field of this call; it has {', '.join(types) or 'none'}")
        if type(value) is not types[name]:
            raise _BadRequest(f"{name} must be {types[name].__name__}")
    return fields


async def _made(delivery: Future[Delivery]) -> Delivery:
    try:
        return await asyncio.wrap_future(delivery)
    except asyncio.CancelledError:
        if delivery.cancelled():
            raise NotPossible("the sandbox was closed") from None
        raise
