"""Control over HTTP, for tests in other languages and processes: what `Sandbox` does in Python.

JSON in, JSON out. Everything that changes something is a POST with a JSON content type, which a form of another site
cannot send. An error answers `{"error": "..."}` with 400, 404, 409 or 415.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import currencies, endpoints, moves, refunds
from .gateway import LocalGateway, order_of
from .records import Intent, Session
from .refusals import NotPossible, SandboxError, UnknownCharge

__all__ = ["routes"]

Act = Callable[[LocalGateway, str, Mapping[str, Any]], object]


class _BadRequest(SandboxError):
    pass


def routes(gateway: LocalGateway) -> list[Route]:
    """Mounted under `/_sandbox`; a charge's id is that of its PaymentIntent or Checkout Session."""

    def shown(found: str) -> Mapping[str, object]:
        return _shown(moves.charge_of(gateway, found))

    def move(path: str, act: Act, *required: str, **types: type) -> Route:
        async def endpoint(request: Request) -> object:
            fields = await _fields(request, *required, **types)
            found = str(request.path_params["id"])
            with gateway.lock:
                act(gateway, found, fields)
                return shown(found) if path.startswith("/orders") else {}

        return _route("POST", path, endpoint)

    async def orders(_: Request) -> object:
        with gateway.lock:
            return [_shown(charge) for charge in gateway.charges()]

    async def order(request: Request) -> object:
        with gateway.lock:
            return shown(str(request.path_params["id"]))

    async def received(_: Request) -> object:
        return gateway.requests()

    async def notifications(_: Request) -> object:
        return gateway.courier.deliveries

    async def deliver(request: Request) -> object:
        await _fields(request)
        with gateway.lock:
            event = moves.event_of(gateway, str(request.path_params["id"]))
            sent = [gateway.courier.send(gateway.message(event, each.url)) for each in gateway.endpoints.values()]
        try:
            return [await asyncio.wrap_future(each) for each in sent]
        except asyncio.CancelledError:
            if any(each.cancelled() for each in sent):
                raise NotPossible("the sandbox was closed") from None
            raise

    async def endpoint(request: Request) -> object:
        fields = await _fields(request, "url", url=str)
        with gateway.lock:
            return endpoints.add(gateway, fields["url"])

    async def advance(request: Request) -> object:
        fields = await _fields(request, "seconds", seconds=int)
        with gateway.lock:
            try:
                gateway.advance(fields["seconds"])
            except ValueError as error:
                raise NotPossible(str(error)) from None
            return {"now": moves.tick(gateway)}

    return [
        _route("GET", "/orders", orders),
        _route("GET", "/orders/{id}", order),
        _route("GET", "/received", received),
        _route("GET", "/notifications", notifications),
        _route("POST", "/endpoints", endpoint),
        _route("POST", "/advance", advance),
        _route("POST", "/orders/{id}/deliver", deliver),
        move("/orders/{id}/pay", lambda to, found, _: moves.pay(to, found)),
        move("/orders/{id}/cancel", lambda to, found, _: moves.cancel(to, found)),
        move("/orders/{id}/time-out", lambda to, found, _: moves.time_out(to, found)),
        move(
            "/orders/{id}/decline",
            lambda to, found, fields: moves.decline(
                to, found, "card_declined", fields.get("decline_code", "generic_decline")
            ),
            decline_code=str,
        ),
        move(
            "/orders/{id}/status",
            lambda to, found, fields: moves.set_status(to, found, fields["status"]),
            "status",
            status=str,
        ),
        move(
            "/orders/{id}/amount",
            lambda to, found, fields: moves.set_amount(to, found, fields["amount"], fields["currency"]),
            "amount",
            "currency",
            amount=str,
            currency=str,
        ),
        move("/refunds/{id}/settle", lambda to, found, _: refunds.settle(to, found)),
        move("/refunds/{id}/fail", lambda to, found, _: refunds.fail(to, found)),
    ]


def _route(method: str, path: str, act: Callable[[Request], Awaitable[object]]) -> Route:
    async def endpoint(request: Request) -> Response:
        if method == "POST" and _media_type(request) != "application/json":
            return JSONResponse({"error": "the Content-Type must be application/json"}, 415)
        try:
            result = await act(request)
        except UnknownCharge as error:
            return JSONResponse({"error": str(error)}, 404)
        except NotPossible as error:
            return JSONResponse({"error": str(error)}, 409)
        except _BadRequest as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(msgspec.to_builtins(result))

    return Route(path, endpoint, methods=[method])


def _shown(charge: Session | Intent) -> Mapping[str, object]:
    amount = currencies.money(charge.amount, charge.currency)
    return {
        "provider_id": charge.id,
        "order_id": order_of(charge),
        "amount": amount.text,
        "currency": amount.currency,
        "status": charge.status,
        "payment_status": charge.payment_status if isinstance(charge, Session) else None,
        "payment_intent": charge.intent or None if isinstance(charge, Session) else charge.id,
    }


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _fields(request: Request, *required: str, **types: type) -> Mapping[str, Any]:
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
