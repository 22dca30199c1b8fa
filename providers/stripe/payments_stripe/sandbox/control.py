"""Control the sandbox over HTTP, for tests in other languages and processes. `Sandbox` does the same in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from payments_core.testing.sandbox import NotPossible
from payments_core.testing.sandbox_app import control_route, delivered, fields_of

from . import currencies, endpoints, moves, refunds
from .gateway import LocalGateway, order_of
from .records import Intent, Session

__all__ = ["routes"]

Act = Callable[[LocalGateway, str, Mapping[str, Any]], object]


def routes(gateway: LocalGateway) -> list[Route]:
    """Return the routes to mount under `/_sandbox`; a charge's id is that of its PaymentIntent or Checkout Session."""

    def shown(found: str) -> Mapping[str, object]:
        return _shown(moves.charge_of(gateway, found))

    def move(path: str, act: Act, *required: str, **types: type) -> Route:
        async def endpoint(request: Request) -> object:
            fields = await fields_of(request, *required, **types)
            found = str(request.path_params["id"])
            with gateway.lock:
                act(gateway, found, fields)
                return shown(found) if path.startswith("/orders") else {}

        return control_route("POST", path, endpoint)

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
        await fields_of(request)
        with gateway.lock:
            event = moves.event_of(gateway, str(request.path_params["id"]))
            sent = [gateway.courier.send(gateway.message(event, each.url)) for each in gateway.endpoints.values()]
        return await delivered(sent)

    async def endpoint(request: Request) -> object:
        fields = await fields_of(request, "url", url=str)
        with gateway.lock:
            return endpoints.add(gateway, fields["url"])

    async def advance(request: Request) -> object:
        fields = await fields_of(request, "seconds", seconds=int)
        with gateway.lock:
            try:
                gateway.advance(fields["seconds"])
            except ValueError as error:
                raise NotPossible(str(error)) from None
            return {"now": moves.tick(gateway)}

    return [
        control_route("GET", "/orders", orders),
        control_route("GET", "/orders/{id}", order),
        control_route("GET", "/received", received),
        control_route("GET", "/notifications", notifications),
        control_route("POST", "/endpoints", endpoint),
        control_route("POST", "/advance", advance),
        control_route("POST", "/orders/{id}/deliver", deliver),
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
