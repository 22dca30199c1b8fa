"""Control the sandbox over HTTP, for tests in other languages and processes. `Sandbox` does the same in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.routing import Route

from payments_core.testing.sandbox import NotPossible
from payments_core.testing.sandbox_app import control_route, delivered, fields_of

from . import currencies, payments
from .gateway import LocalGateway, order_of
from .records import Intent, Session

__all__ = ["routes"]

# What changes a charge or a refund: the function, its required fields, its other fields. All are texts.
_ACTS: Final[dict[str, tuple[Callable[..., object], tuple[str, ...], tuple[str, ...]]]] = {
    "/orders/{id}/pay": (payments.pay, (), ()),
    "/orders/{id}/cancel": (payments.cancel, (), ()),
    "/orders/{id}/time-out": (payments.time_out, (), ()),
    "/orders/{id}/decline": (payments.decline_try, (), ("decline_code",)),
    "/orders/{id}/status": (payments.set_status, ("status",), ()),
    "/orders/{id}/amount": (payments.set_amount, ("amount", "currency"), ()),
    "/refunds/{id}/settle": (payments.settle, (), ()),
    "/refunds/{id}/fail": (payments.fail, (), ()),
}


def routes(gateway: LocalGateway) -> list[Route]:
    """Return the routes to mount under `/_sandbox`; a charge's id is that of its PaymentIntent or Checkout Session."""

    def get(path: str, show: Callable[[str], object]) -> Route:
        async def endpoint(request: Request) -> object:
            with gateway.lock:
                return show(request.path_params.get("id", ""))

        return control_route("GET", path, endpoint)

    def change(path: str, act: Callable[..., object], required: tuple[str, ...], optional: tuple[str, ...]) -> Route:
        async def endpoint(request: Request) -> object:
            fields = await fields_of(request, *required, **dict.fromkeys((*required, *optional), str))
            found = request.path_params["id"]
            with gateway.lock:
                act(gateway, found, **fields)
                return _shown(gateway.charge(found)) if path.startswith("/orders") else {}

        return control_route("POST", path, endpoint)

    async def register(request: Request) -> object:
        gateway.endpoints.append((await fields_of(request, "url", url=str))["url"])
        return {}

    async def advance(request: Request) -> object:
        seconds = (await fields_of(request, "seconds", seconds=int))["seconds"]
        with gateway.lock:
            try:
                gateway.advance(seconds)
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
        control_route("POST", "/endpoints", register),
        control_route("POST", "/advance", advance),
        control_route("POST", "/orders/{id}/deliver", deliver),
        *(change(path, *act) for path, act in _ACTS.items()),
    ]


def _shown(charge: Session | Intent) -> Mapping[str, Any]:
    amount = currencies.money(charge.amount, charge.currency)
    shown = {"provider_id": charge.id, "order_id": order_of(charge), "status": charge.status}
    return shown | {"amount": amount.text, "currency": amount.currency}
