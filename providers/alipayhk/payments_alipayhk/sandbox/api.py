"""Answer the three documented calls: one request in, one answer out, no sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .gateway import LocalGateway
from .records import Order, ReceivedRequest, hong_kong_nanoseconds
from .rules import Code, Refused, read_create, read_json, read_query

__all__ = ["AUTH", "CREATE", "MAX_BODY", "QUERY", "Answer", "Call", "answer"]

AUTH: Final = "/mch-api/v1/auth"
CREATE: Final = "/mch-api/v1/pa/payment_intents/create"
QUERY: Final = "/mch-api/v1/pa/payment_intents/query"
MAX_BODY: Final = 65536

_HIDDEN_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})


@dataclass(frozen=True)
class Call:
    """A request as it arrived."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """An answer to send. `inventions` lists the parts that are not documented."""

    status: int
    body: Mapping[str, Any]
    inventions: tuple[str, ...] = ()


@dataclass
class _Seen:
    json: Any = None
    unknown_fields: tuple[str, ...] = ()
    inventions: list[str] = field(default_factory=list)


def answer(gateway: LocalGateway, call: Call, wallet_url: Callable[[Order], str]) -> Answer:
    """Answer as documented. If nothing is documented, refuse with an invented code and say so."""
    seen = _Seen()
    try:
        given = _dispatch(gateway, call, seen, wallet_url)
    except Refused as refused:
        given = _refusal(gateway, refused)
    gateway.record(
        ReceivedRequest(
            call.method,
            call.path,
            tuple((name, "***" if "secret" in name.lower() else value) for name, value in call.query),
            tuple((name, value) for name, value in call.headers if name.lower() not in _HIDDEN_HEADERS),
            seen.json,
            seen.unknown_fields,
            given.status,
            given.body.get("code"),
        )
    )
    return given


def _dispatch(gateway: LocalGateway, call: Call, seen: _Seen, wallet_url: Callable[[Order], str]) -> Answer:
    if (call.method, call.path) == ("GET", AUTH):
        return Answer(200, _authorize(gateway, call, seen))
    if call.method == "POST" and call.path in (CREATE, QUERY):
        data = _intent(gateway, call, seen, wallet_url)
        body = {"code": 0, "data": data, "message": "ok", "rid": gateway.new_rid()}
        return Answer(200, body, tuple(seen.inventions))
    raise Refused(Code.NO_SUCH_CALL, "no such call", status=404)


def _authorize(gateway: LocalGateway, call: Call, seen: _Seen) -> Mapping[str, Any]:
    # The answer to wrong credentials isn't documented; this sandbox uses 401.
    query = dict(call.query)
    seen.unknown_fields = tuple(name for name in query if name not in ("grant_type", "uid", "client_secret"))
    if len(query) != len(call.query):
        raise Refused(Code.BAD_FIELD, "a query parameter is there twice", status=400)
    if query.get("grant_type") != "client_credentials":
        raise Refused(Code.BAD_FIELD, "grant_type must be client_credentials", status=400)
    if (query.get("uid"), query.get("client_secret")) != (gateway.uid, gateway.client_secret):
        raise Refused(Code.NOT_AUTHORIZED, "uid or client_secret is wrong", status=401)
    return {"access_token": gateway.new_token(), "expires_in": gateway.token_lifetime}


def _intent(gateway: LocalGateway, call: Call, seen: _Seen, wallet_url: Callable[[Order], str]) -> Mapping[str, Any]:
    _require_token(gateway, call)
    if len(call.body) > MAX_BODY:
        raise Refused(Code.TOO_LARGE, f"the body is over {MAX_BODY} bytes")
    body = seen.json = read_json(call.body)
    with gateway.lock:
        if call.path == QUERY:
            query = read_query(body)
            seen.unknown_fields = query.unknown_fields
            order, invented = gateway.find(query)
            if invented:
                seen.inventions.append("newest-of-duplicates")
            return _queried(order)
        rejection = gateway.take_rejection()
        if rejection is not None:
            raise Refused(*rejection)
        create = read_create(body)
        seen.unknown_fields = create.unknown_fields
        order, invented = gateway.create(create)
        if invented:
            seen.inventions.append("duplicate")
        return _created(order, gateway.next_action_shape, wallet_url(order), seen)


def _require_token(gateway: LocalGateway, call: Call) -> None:
    # The answer to a missing, wrong or expired token isn't documented; this sandbox uses 401.
    given = [value for name, value in call.headers if name.lower() == "authorization"]
    scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
    if scheme != "Bearer" or not gateway.is_live(token):
        raise Refused(Code.NOT_AUTHORIZED, "the access token is missing, wrong or expired", status=401)


def _created(order: Order, shape: str, url: str, seen: _Seen) -> Mapping[str, Any]:
    return {
        "order_id": order.order_id,
        "merchant_order_id": order.merchant_order_id,
        "amount": order.amount,
        "currency": order.currency,
        "create_time": hong_kong_nanoseconds(order.created),
        "next_action": _next_action(order, shape, url, seen),
        "status": order.status,
    }


def _next_action(order: Order, shape: str, url: str, seen: _Seen) -> Mapping[str, Any]:
    if shape == "qrcode_url":
        return {"type": "render_qrcode", "qrcode_url": url}
    if shape == "redirect_url":
        return {"type": "redirect", "redirect_url": url}
    if shape == "call_sdk":
        seen.inventions.append("next_action.data")  # its content isn't documented
        return {"type": "call_sdk", "data": {"sandbox": "invented", "url": url}}
    return {"type": "render_qrcode" if order.flow == "csb_qrcode" else "redirect", "url": url}


def _queried(order: Order) -> Mapping[str, Any]:
    """Answer a query without `next_action`: it cannot hand out a code again after the answer to create was lost."""
    data = {
        "order_id": order.order_id,
        "merchant_order_id": order.merchant_order_id,
        "amount": order.amount,
        "currency": order.currency,
        "status": order.status,
        "create_time": hong_kong_nanoseconds(order.created),
    }
    return data if order.paid is None else {**data, "pay_time": hong_kong_nanoseconds(order.paid)}


def _refusal(gateway: LocalGateway, refused: Refused) -> Answer:
    body = {"code": refused.code, "data": None, "message": f"sandbox: {refused.message}", "rid": gateway.new_rid()}
    return Answer(refused.status, body, ("code",) if refused.status == 200 else ("code", "status"))
