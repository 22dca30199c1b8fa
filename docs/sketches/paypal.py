"""PayPal: an order, the shopper's approval, then a capture. The difficulties are in README.md.

Sources: developer.paypal.com/api/rest/authentication, docs/api/orders/v2, docs/api/webhooks/v1
(verify-webhook-signature), api/rest/reference/idempotency, api/rest/reference/currency-codes.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Final

import msgspec

from payments_core import (
    Authorization,
    Channel,
    Charge,
    ChargeRequest,
    Complete,
    Flow,
    Limits,
    Method,
    Money,
    NextAction,
    NotFound,
    Notification,
    PaymentStatus,
    ProviderInfo,
    Redirect,
    Reference,
    Rejected,
    RejectionCode,
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

# The order's status; where it is COMPLETED, `COMPLETED:` and the status of its capture, which is what pays.
STATUSES: Final = {
    "CREATED": PaymentStatus.PENDING,
    "SAVED": PaymentStatus.PENDING,
    "PAYER_ACTION_REQUIRED": PaymentStatus.PENDING,
    "APPROVED": PaymentStatus.PENDING,
    "VOIDED": PaymentStatus.CANCELLED,
    "COMPLETED:COMPLETED": PaymentStatus.SUCCEEDED,
    "COMPLETED:PARTIALLY_REFUNDED": PaymentStatus.SUCCEEDED,
    "COMPLETED:REFUNDED": PaymentStatus.SUCCEEDED,
    "COMPLETED:PENDING": PaymentStatus.PENDING,
    "COMPLETED:DECLINED": PaymentStatus.FAILED,
    "COMPLETED:FAILED": PaymentStatus.FAILED,
}
WHOLE_UNITS: Final = frozenset({"HUF", "TWD"})  # two decimals by ISO 4217, none at PayPal
ORDERS: Final = "/v2/checkout/orders"
# Source: docs/api/orders/v2, processor_response.response_code; any other is DECLINED.
REASONS: Final = {"5120": RejectionCode.INSUFFICIENT_FUNDS, "9500": RejectionCode.RISK}


class Config(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str
    client_secret: Secret
    webhook_id: str
    key_hours: int = 6  # how long PayPal keeps a request id: up to 72 by agreement
    base_url: str = "https://api-m.sandbox.paypal.com"


class Token(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float


class Amount(msgspec.Struct, frozen=True):
    currency_code: str
    value: str

    def money(self) -> Money:
        return Money.of(self.value, self.currency_code)


class Processor(msgspec.Struct, frozen=True):
    response_code: str = ""


class Capture(msgspec.Struct, frozen=True):
    status: str
    amount: Amount
    processor_response: Processor = Processor()


class Payments(msgspec.Struct, frozen=True):
    captures: tuple[Capture, ...] = ()


class Unit(msgspec.Struct, frozen=True):
    amount: Amount
    custom_id: str = ""
    payments: Payments = Payments()


class Link(msgspec.Struct, frozen=True):
    rel: str
    href: str


class Order(msgspec.Struct, frozen=True):
    id: str
    status: str
    purchase_units: tuple[Unit]
    links: tuple[Link, ...] = ()


class Issue(msgspec.Struct, frozen=True):
    issue: str = ""


class Problem(msgspec.Struct, frozen=True):
    name: str
    details: tuple[Issue, ...] = ()

    def named(self, issue: str) -> bool:
        return any(detail.issue == issue for detail in self.details)


class Related(msgspec.Struct, frozen=True):
    order_id: str = ""


class Supplementary(msgspec.Struct, frozen=True):
    related_ids: Related = Related()


class Resource(msgspec.Struct, frozen=True):
    id: str = ""
    supplementary_data: Supplementary = Supplementary()


class Event(msgspec.Struct, frozen=True):
    id: str
    event_type: str
    resource: Resource


class Verdict(msgspec.Struct, frozen=True):
    verification_status: str


TOKEN = msgspec.json.Decoder(Token).decode
ORDER = msgspec.json.Decoder(Order).decode
PROBLEM = msgspec.json.Decoder(Problem).decode
EVENT = msgspec.json.Decoder(Event).decode
VERDICT = msgspec.json.Decoder(Verdict).decode


class PayPalProvider:
    config_type = Config
    info = ProviderInfo(
        id="paypal",
        title="PayPal",
        operations=frozenset({"complete_charge"}),
        currencies=frozenset({"HKD", "USD", "JPY", "TWD"}),
        methods=(Method("paypal", "PayPal"),),
        channels=frozenset({Channel.WEB, Channel.MOBILE_WEB}),
        limits=Limits(order_id_length=100, description_length=127),  # the request id takes 108
        raw_statuses=STATUSES,
        query_by=frozenset({"provider_id"}),
    )

    def __init__(self, config: Config) -> None:
        self.info = msgspec.structs.replace(self.info, key_lifetime=config.key_hours * 3600)
        self._config = config
        basic = b64encode(f"{config.client_id}:{config.client_secret.reveal()}".encode()).decode()
        self._basic = Secret(f"Basic {basic}")

    @hookimpl
    def authorize(self) -> Flow[Authorization]:
        headers = (("authorization", self._basic), ("content-type", "application/x-www-form-urlencoded"))
        body = b"grant_type=client_credentials"
        response = yield Request("POST", "/v1/oauth2/token", headers=headers, body=body, safe=True)
        token = response.decode(TOKEN)
        return Authorization(Secret(token.access_token), expires_in=token.expires_in)

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        unit = {
            "custom_id": request.order_id,
            "description": request.description,
            "amount": {"currency_code": request.amount.currency, "value": _value(request.amount)},
        }
        experience = {"return_url": request.return_url, "cancel_url": request.return_url, "user_action": "PAY_NOW"}
        body = {
            "intent": "CAPTURE",
            "purchase_units": [unit],
            "payment_source": {"paypal": {"experience_context": {key: url for key, url in experience.items() if url}}},
        }
        response = yield _post(ORDERS, body, authorization, key=f"create:{request.order_id}")
        return _charge(response)

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        headers = (("authorization", authorization.credentials),)
        response = yield Request("GET", f"{ORDERS}/{segment(reference.provider_id)}", headers=headers, safe=True)
        return _charge(response)

    @hookimpl
    def complete_charge(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        charge = yield from self.get_status(authorization, reference)
        if not isinstance(charge.next_action, Complete):
            return charge
        order_id = charge.reference.provider_id
        path = f"{ORDERS}/{segment(order_id)}/capture"
        response = yield _post(path, {}, authorization, key=f"capture:{order_id}")
        if response.status == 422 and response.decode(PROBLEM).named("ORDER_ALREADY_CAPTURED"):
            return (yield from self.get_status(authorization, reference))
        return _charge(response)

    @hookimpl
    def parse_webhook(self, authorization: Authorization, delivery: WebhookDelivery) -> Flow[Notification]:
        names = ("auth-algo", "cert-url", "transmission-id", "transmission-sig", "transmission-time")
        question: dict[str, object] = {name.replace("-", "_"): delivery.header(f"paypal-{name}") for name in names}
        if not all(question.values()):
            raise WebhookRejected("signature")
        event = delivery.decode(EVENT)
        question |= {"webhook_id": self._config.webhook_id, "webhook_event": msgspec.Raw(delivery.body)}
        path = "/v1/notifications/verify-webhook-signature"
        response = yield _post(path, question, authorization, safe=True)
        if response.status != 200 or response.decode(VERDICT).verification_status != "SUCCESS":
            raise WebhookRejected("signature")
        about_order = event.event_type.startswith("CHECKOUT.ORDER.")
        order_id = event.resource.id if about_order else event.resource.supplementary_data.related_ids.order_id
        reference = Reference(provider_id=order_id) if order_id else None
        subject = Subject.CHARGE if reference else Subject.OTHER
        return Notification((WebhookEvent("paypal", subject, event.event_type, reference, event.id),))

    @hookimpl
    def read_request_id(self, response: Response) -> str:
        return response.header("paypal-debug-id") or ""


def _post(path: str, body: object, authorization: Authorization, *, key: str = "", safe: bool = False) -> Request:
    headers: tuple[tuple[str, str | Secret], ...] = (
        ("authorization", authorization.credentials),
        ("content-type", "application/json"),
        ("prefer", "return=representation"),  # the default answer has no amount
    )
    if key:
        headers += (("paypal-request-id", key),)
    return Request("POST", path, headers=headers, body=msgspec.json.encode(body), idempotent=bool(key), safe=safe)


def _charge(response: Response) -> Charge:
    if response.status not in {200, 201}:
        raise _refusal(response)
    order = response.decode(ORDER)
    unit = order.purchase_units[0]
    capture = unit.payments.captures[0] if unit.payments.captures else None
    raw = f"{order.status}:{capture.status}" if capture is not None else order.status
    action = _next_action(order)
    reason, raw_reason = _reason(capture)
    return Charge(
        provider="paypal",
        reference=Reference(unit.custom_id, order.id),
        status=unify(raw, STATUSES, action),
        raw_status=raw,
        amount=unit.amount.money(),
        captured=capture.amount.money() if capture is not None else None,
        next_action=action,
        reason=reason,
        raw_reason=raw_reason,
    )


def _reason(capture: Capture | None) -> tuple[RejectionCode | None, str]:
    if capture is None or capture.status not in {"DECLINED", "FAILED"}:
        return None, ""  # a capture that came in has a response code too
    code = capture.processor_response.response_code
    return REASONS.get(code, RejectionCode.DECLINED), code


def _refusal(response: Response) -> Rejected | NotFound:
    problem = response.decode(PROBLEM)
    issue = problem.details[0].issue if problem.details else problem.name
    if response.status == 404:
        return NotFound("PayPal has no such order", raw_code=issue)
    declined = issue in {"INSTRUMENT_DECLINED", "PAYER_CANNOT_PAY"}
    code = RejectionCode.DECLINED if declined else RejectionCode.INVALID
    return Rejected(f"PayPal refuses ({issue})", code=code, definitive=response.status in {400, 422}, raw_code=issue)


def _next_action(order: Order) -> NextAction | None:
    if order.status == "APPROVED":
        return Complete()
    links = {link.rel: link.href for link in order.links}
    url = links.get("payer-action") or links.get("approve")
    return Redirect(url) if url and order.status in {"CREATED", "PAYER_ACTION_REQUIRED"} else None


def _value(amount: Money) -> str:
    return str(amount.scaled(0)) if amount.currency in WHOLE_UNITS else amount.text
