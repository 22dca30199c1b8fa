"""Control the sandbox over HTTP, for tests in other languages and processes. `Sandbox` does the same in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from payments_core.testing.sandbox import NotPossible
from payments_core.testing.sandbox_app import control_route, delivered, fields_of

from . import currencies, payments
from .gateway import LocalGateway, order_of
from .records import Intent, Session

__all__ = ["routes"]

Fields = Mapping[str, Any]


def routes(gateway: LocalGateway) -> list[Route]:
    """Return the routes to mount under `/_sandbox`; a charge's id is that of its PaymentIntent or Checkout Session."""

    def get(path: str, show: Callable[[str], object]) -> Route:
        async def endpoint(request: Request) -> object:
            with gateway.lock:
                return show(request.path_params.get("id", ""))

        return control_route("GET", path, endpoint)

    def post(path: str, act: Callable[[str, Fields], object], *required: str, **types: type) -> Route:
        async def endpoint(request: Request) -> object:
            fields = await fields_of(request, *required, **types)
            found = request.path_params.get("id", "")
            with gateway.lock:
                made = act(found, fields)
                return _shown(gateway.charge(found)) if path.startswith("/orders") else made or {}

        return control_route("POST", path, endpoint)

    def advance(_: str, fields: Fields) -> object:
        try:
            gateway.advance(fields["seconds"])
        except ValueError as error:
            raise NotPossible(str(error)) from None
        return {"now": payments.tick(gateway)}

    async def deliver(request: Request) -> object:
        await fields_of(request)
        with gateway.lock:
            event = payments.event_of(gateway, request.path_params["id"])
            sent = [gateway.courier.send(gateway.message(event, url)) for url in gateway.endpoints]
        return await delivered(sent)

    return [
        get("/orders", lambda _: [_shown(charge) for charge in gateway.charges()]),
        get("/orders/{id}", lambda found: _shown(gateway.charge(found))),
        get("/received", lambda _: tuple(gateway.received)),
        get("/notifications", lambda _: gateway.courier.deliveries),
        control_route("POST", "/orders/{id}/deliver", deliver),
        post("/endpoints", lambda _, fields: gateway.endpoints.append(fields["url"]), "url", url=str),
        post("/advance", advance, "seconds", seconds=int),
        post("/orders/{id}/pay", lambda found, _: payments.pay(gateway, found)),
        post("/orders/{id}/cancel", lambda found, _: payments.cancel(gateway, found)),
        post("/orders/{id}/time-out", lambda found, _: payments.time_out(gateway, found)),
        post(
            "/orders/{id}/decline",
            lambda found, fields: payments.decline_try(gateway, found, fields.get("decline_code", "generic_decline")),
            decline_code=str,
        ),
        post(
            "/orders/{id}/status",
            lambda found, fields: payments.set_status(gateway, found, fields["status"]),
            "status",
            status=str,
        ),
        post(
            "/orders/{id}/amount",
            lambda found, fields: payments.set_amount(gateway, found, fields["amount"], fields["currency"]),
            "amount",
            "currency",
            amount=str,
            currency=str,
        ),
        post("/refunds/{id}/settle", lambda found, _: payments.settle(gateway, found, "succeeded")),
        post("/refunds/{id}/fail", lambda found, _: payments.settle(gateway, found, "failed")),
    ]


def _shown(charge: Session | Intent) -> Mapping[str, object]:
    amount = currencies.money(charge.amount, charge.currency)
    return {
        "provider_id": charge.id,
        "order_id": order_of(charge),
        "amount": amount.text,
        "currency": amount.currency,
        "status": charge.status,
    }
