"""Define the recorded scenes, and what their cassettes keep: `payments record alipayhk`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Final

from payments_core import (
    CallSDK,
    Channel,
    ChargeRequest,
    Mismatch,
    Money,
    NextAction,
    PaymentStatus,
    Redirect,
    Reference,
    Rejected,
    ShowQRCode,
)
from payments_core.testing.masking import CassettePolicy, Fields, Rule
from payments_core.testing.stories import Published, Script, Step, Story, call, expect, sandbox, shopper

from .api import AUTH, CREATE, QUERY

__all__ = ["POLICY", "STORIES"]

_ENVELOPE: Final = ("code", "message", "rid")
_INTENT: Final = ("order_id", "merchant_order_id", "amount", "currency", "create_time", "status")
_ACTION: Final = ("type", "url", "qrcode_url", "redirect_url", "data.sandbox", "data.url")
_ANSWER: Final = Fields(("content-type", "sandbox-invention"))
_SENT: Final = Fields(("content-type",), masked=("authorization",))

POLICY: Final = CassettePolicy(
    (
        Rule(
            path=AUTH,
            query=Fields(("grant_type",), masked=("uid", "client_secret")),
            response_headers=_ANSWER,
            response_body=Fields(("expires_in", *_ENVELOPE), masked=("access_token",)),
        ),
        Rule(
            path=CREATE,
            request_headers=_SENT,
            request_body=Fields(
                (
                    "amount",
                    "currency",
                    "merchant_order_id",
                    "description",
                    "notify_url",
                    "payment_method.type",
                    "payment_method.alipayhk.flow",
                    "payment_method.alipayhk.payment_method",
                )
            ),
            response_headers=_ANSWER,
            response_body=Fields(
                (
                    *_ENVELOPE,
                    *(f"data.{name}" for name in _INTENT),
                    *(f"data.next_action.{name}" for name in _ACTION),
                )
            ),
        ),
        Rule(
            path=QUERY,
            request_headers=_SENT,
            request_body=Fields(("order_id", "merchant_order_id")),
            response_headers=_ANSWER,
            response_body=Fields((*_ENVELOPE, *(f"data.{name}" for name in (*_INTENT, "pay_time")))),
        ),
    )
)

Parameters = Mapping[str, str]
Scene = Generator[Step, Any, None]

_AMOUNT: Final = Money.of("88.00", "HKD")


def _request(parameters: Parameters) -> ChargeRequest:
    return ChargeRequest(parameters["order_id"], _AMOUNT, "A cup of tea", "ALIPAYHK", Channel.WEB)


def _create(channel: Channel, method: str, action: type[NextAction], notify_url: str = "") -> Script:
    def script(parameters: Parameters) -> Scene:
        order_id = parameters["order_id"]
        request = ChargeRequest(order_id, _AMOUNT, "A cup of tea", method, channel, notify_url)
        charge = yield call("create_charge", request)
        expect(charge, status=PaymentStatus.REQUIRES_ACTION, raw_status="PENDING")
        matched = charge.require(order_id, _AMOUNT)
        expect(matched, is_paid=False)
        expect(matched.reference, order_id=order_id)
        if type(charge.next_action) is not action:
            raise AssertionError(f"the next action is {charge.next_action!r} and no {action.__name__}")

    return script


def _pending(parameters: Parameters) -> Scene:
    """Query by the order id, by the gateway's id, and by both."""
    known = (yield call("create_charge", _request(parameters))).reference
    charge = yield call("confirm", known.order_id, _AMOUNT)
    expect(charge, status=PaymentStatus.PENDING, is_paid=False, paid_at=None, next_action=None, reference=known)
    for asked in (Reference(provider_id=known.provider_id), known):
        expect((yield call("get_status", asked)), status=PaymentStatus.PENDING, reference=known, amount=_AMOUNT)


def _paid(parameters: Parameters) -> Scene:
    created = yield call("create_charge", _request(parameters))
    yield shopper("pay", created)
    provider_id = created.reference.provider_id
    charge = yield call("confirm", parameters["order_id"], _AMOUNT, provider_id=provider_id)
    expect(charge, status=PaymentStatus.SUCCEEDED, is_paid=True)


def _cancelled(parameters: Parameters) -> Scene:
    created = yield call("create_charge", _request(parameters))
    yield shopper("cancel", created)
    charge = yield call("confirm", parameters["order_id"], _AMOUNT)
    expect(charge, status=PaymentStatus.CANCELLED, is_paid=False, paid_at=None)


def _rejected(parameters: Parameters) -> Scene:
    yield sandbox("reject_next", 90001, "refused for the recording")
    error = yield call("create_charge", _request(parameters), raises=Rejected)
    expect(error, raw_code="90001", definitive=False)


def _token_renewed(parameters: Parameters) -> Scene:
    yield call("create_charge", _request(parameters))
    yield sandbox("expire_tokens")
    expect((yield call("confirm", parameters["order_id"], _AMOUNT)), status=PaymentStatus.PENDING)


def _unknown_order(parameters: Parameters) -> Scene:
    error = yield call("get_status", Reference(parameters["order_id"]), raises=Rejected)
    expect(error, definitive=False)


# The published examples (gateway pages AUTH and WEB).


def _published_token(_: Parameters) -> Scene:
    expect((yield call("authorize")), scheme="Bearer", expires_in=3600.0)


def _published_create(parameters: Parameters) -> Scene:
    amount = Money.of("1", "HKD")
    charge = yield call("create_charge", ChargeRequest(parameters["order_id"], amount, "Online payment", "ALIPAYCN"))
    expect(charge, next_action=Redirect("https://a.payment.link/code"), amount=amount, raw_status="PENDING")
    expect(charge, request_id="3647575c0e1049439e484a231864da2c")


def _published_query(parameters: Parameters) -> Scene:
    """Play the published answer, whose TWD contradicts the page's own "only HKD": it never matches the order."""
    error = yield call("confirm", parameters["order_id"], Money.of("50", "HKD"), raises=Mismatch)
    expect(error, field="currency")


_AUTH_PAGE: Final = "docs.globalcbtis.com/docs/auth/auth-method"
_WEB_PAGE: Final = "docs.globalcbtis.com/docs/payments/payment_method/alipayhk/payment_with_web_qrcode"
# The page's token is shortened here; the cassette masks it in any case.
_TOKEN: Final = Published("GET", AUTH, b'{"access_token": "a1b2", "expires_in": 3600}')
_CREATED: Final = Published(
    "POST",
    CREATE,
    b"""{"code": 0,
 "data": {"order_id": "C991289984923795789123", "merchant_order_id": "P9297895081903",
          "amount": "1", "currency": "HKD",
          "create_time": "2023-08-31T04:44:05.928696203+08:00",
          "next_action": {"type": "redirect", "url": "https://a.payment.link/code"},
          "status": "PENDING"},
 "message": "ok", "rid": "3647575c0e1049439e484a231864da2c"}""",
)
_QUERIED: Final = Published(
    "POST",
    QUERY,
    b"""{"code": 0,
 "data": {"order_id": "C991289984923795789123", "merchant_order_id": "P9297895081903",
          "amount": "50", "currency": "TWD", "status": "SUCCEEDED",
          "create_time": "2023-08-31T04:44:05.928696203+08:00",
          "pay_time": "2023-08-31T04:44:05.928696203+08:00"},
 "message": "ok", "rid": "3647575c0e1049439e484a231864da2c"}""",
)


def _played(name: str, script: Script, *, live: bool = True, repeats: tuple[str, ...] = (), **options: Any) -> Story:
    # Fix every random value and the port, so that a recording repeats.
    fixed = {"seed": name, "public_url": "https://wallet.invalid", **options}
    return Story(name, script, POLICY, live, options=fixed, repeats=repeats)


def _documented(name: str, script: Script, source: str, *published: Published) -> Story:
    return Story(
        name,
        script,
        POLICY,
        live=False,
        parameters={"order_id": "P9297895081903"},
        options={"seed": name},
        published=published,
        source=source,
    )


STORIES: Final = (
    # A desktop page with each wallet, and the other flows.
    _played("create-web-alipayhk", _create(Channel.WEB, "ALIPAYHK", Redirect, "https://shop.example/paid")),
    _played("create-web-alipaycn", _create(Channel.WEB, "ALIPAYCN", Redirect, "https://shop.example/paid")),
    _played("create-mobile-alipaycn", _create(Channel.MOBILE_WEB, "ALIPAYCN", Redirect, "https://shop.example/paid")),
    _played("create-store-alipayhk", _create(Channel.IN_STORE, "ALIPAYHK", ShowQRCode, "https://shop.example/paid")),
    _played("pending", _pending),
    _played("paid", _paid),
    _played("cancelled", _cancelled),
    _played("rejected", _rejected, live=False),
    _played("token-renewed", _token_renewed, live=False, repeats=(AUTH,)),
    _played("unknown-order", _unknown_order),
    # The shapes of the platform's other channels and deployments.
    *(
        _played(
            f"next-action-{shape.replace('_', '-')}",
            _create(Channel.WEB, "ALIPAYHK", action),
            live=False,
            next_action_shape=shape,
        )
        for shape, action in (("qrcode_url", ShowQRCode), ("call_sdk", CallSDK))
    ),
    _documented("published-token", _published_token, _AUTH_PAGE, _TOKEN),
    _documented("published-create", _published_create, _WEB_PAGE, _TOKEN, _CREATED),
    _documented("published-query", _published_query, _WEB_PAGE, _TOKEN, _QUERIED),
)
