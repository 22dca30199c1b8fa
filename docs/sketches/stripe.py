"""Stripe: one PaymentIntent a charge, form-encoded. The difficulties are in README.md beside this file.

Sources: docs.stripe.com/api/payment_intents, /api/idempotent_requests, /api/errors, /webhooks/signature, /currencies.
"""

from __future__ import annotations

import hmac
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from payments_core import (
    Channel,
    Charge,
    ChargeRequest,
    Context,
    Flow,
    InvalidRequest,
    Limits,
    Method,
    Money,
    NextAction,
    NotFound,
    Notification,
    PaymentStatus,
    ProtocolViolation,
    ProviderInfo,
    Redirect,
    Reference,
    Rejected,
    RejectionCode,
    Request,
    Response,
    Secret,
    ShowQRCode,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
    hookimpl,
    same_hex_digest,
    segment,
    unify,
)

STATUSES: Final = {
    "requires_payment_method": PaymentStatus.PENDING,  # also after a decline: the shopper may try again
    "requires_confirmation": PaymentStatus.PENDING,
    "requires_action": PaymentStatus.PENDING,
    "processing": PaymentStatus.PENDING,
    "requires_capture": PaymentStatus.AUTHORIZED,
    "succeeded": PaymentStatus.SUCCEEDED,
    "canceled": PaymentStatus.CANCELLED,
}
TWO_DECIMALS: Final = frozenset({"ISK", "UGX"})  # none by ISO 4217; source: /currencies, special cases
REASONS: Final = {  # decline codes; any other is DECLINED
    "insufficient_funds": RejectionCode.INSUFFICIENT_FUNDS,
    "fraudulent": RejectionCode.RISK,
    "duplicate_transaction": RejectionCode.DUPLICATE,
}
TOLERANCE: Final = 300  # seconds; source: /webhooks/signature


class Config(msgspec.Struct, frozen=True, kw_only=True):
    secret_key: Secret
    webhook_secret: Secret
    base_url: str = "https://api.stripe.com"


class Problem(msgspec.Struct, frozen=True):
    type: str
    code: str = ""
    decline_code: str = ""


class Intent(msgspec.Struct, frozen=True):
    id: str
    amount: int
    amount_received: int
    currency: str
    status: str
    metadata: dict[str, str]
    next_action: dict[str, Any] | None = None
    last_payment_error: Problem | None = None


class Refusal(Problem, frozen=True):
    payment_intent: Intent | None = None


class Answer(msgspec.Struct, frozen=True):
    error: Refusal


class Event(msgspec.Struct, frozen=True):
    id: str
    type: str
    data: dict[str, dict[str, Any]]
    account: str = ""


INTENT = msgspec.json.Decoder(Intent).decode
ANSWER = msgspec.json.Decoder(Answer).decode
EVENT = msgspec.json.Decoder(Event).decode


class StripeProvider:
    config_type = Config
    info = ProviderInfo(
        id="stripe",
        title="Stripe",
        currencies=frozenset({"HKD", "USD", "JPY", "ISK"}),
        methods=(Method("alipay", "Alipay"), Method("wechat_pay", "WeChat Pay")),
        channels=frozenset({Channel.WEB, Channel.MOBILE_WEB}),
        limits=Limits(order_id_length=200),  # the Idempotency-Key takes 255
        raw_statuses=STATUSES,
        query_by=frozenset({"provider_id"}),
        key_lifetime=24 * 3600,
    )

    def __init__(self, config: Config) -> None:
        self._bearer = Secret(f"Bearer {config.secret_key.reveal()}")
        self._webhook_key = config.webhook_secret.reveal().encode()

    # No authorize: the key is static, and no hook accepts `authorization`.

    @hookimpl
    def create_charge(self, request: ChargeRequest) -> Flow[Charge]:
        if not request.return_url:
            raise InvalidRequest("Stripe's wallets need a return_url", field="return_url")
        form = [
            ("amount", str(_units(request.amount))),
            ("currency", request.amount.currency.lower()),
            ("confirm", "true"),
            ("payment_method_data[type]", request.method),
            ("allowed_payment_method_types[0]", request.method),
            ("description", request.description),
            ("metadata[order_id]", request.order_id),
            ("return_url", request.return_url),
        ]
        if request.method == "wechat_pay":
            form.append(("payment_method_options[wechat_pay][client]", "web"))
        headers = (
            ("authorization", self._bearer),
            ("content-type", "application/x-www-form-urlencoded"),
            ("idempotency-key", f"create:{request.order_id}"),
        )
        body = urlencode(form).encode()
        response = yield Request("POST", "/v1/payment_intents", headers=headers, body=body, idempotent=True)
        return _charge(response)

    @hookimpl
    def get_status(self, reference: Reference) -> Flow[Charge]:
        path = f"/v1/payment_intents/{segment(reference.provider_id)}"
        response = yield Request("GET", path, headers=(("authorization", self._bearer),), safe=True)
        return _charge(response)

    @hookimpl
    def parse_webhook(self, context: Context, delivery: WebhookDelivery) -> Notification:
        pairs = [part.partition("=") for part in (delivery.header("stripe-signature") or "").split(",")]
        stamps = [value for name, _, value in pairs if name == "t"]
        digest = hmac.digest(self._webhook_key, f"{''.join(stamps)}.".encode() + delivery.body, "sha256")
        if len(stamps) != 1 or not any(same_hex_digest(value, [digest]) for name, _, value in pairs if name == "v1"):
            raise WebhookRejected("signature")
        if abs(context.now.timestamp() - int(stamps[0])) > TOLERANCE:
            raise WebhookRejected("stale")
        event = delivery.decode(EVENT)
        if not event.type.startswith("payment_intent."):
            return Notification((WebhookEvent("stripe", Subject.OTHER, event.type, None, event.id),))
        # A hint, although it is signed and whole: its shape is that of the endpoint's API version, not of ours.
        reference = Reference(provider_id=str(event.data["object"]["id"]))
        known = WebhookEvent("stripe", Subject.CHARGE, event.type, reference, event.id, account=event.account)
        return Notification((known,))

    @hookimpl
    def read_request_id(self, response: Response) -> str:
        return response.header("request-id") or ""


def _charge(response: Response) -> Charge:
    if response.status == 200:
        return _from_intent(response.decode(INTENT))
    error = response.decode(ANSWER).error
    if error.type == "card_error" and error.payment_intent is not None:
        return _from_intent(error.payment_intent)  # a refusal with an id is a Charge
    raise _refusal(response, error)


def _from_intent(intent: Intent) -> Charge:
    action, failure = _next_action(intent), intent.last_payment_error
    raw_reason = (failure.decline_code or failure.code) if failure is not None else ""
    return Charge(
        provider="stripe",
        reference=Reference(intent.metadata.get("order_id", ""), intent.id),
        status=unify(intent.status, STATUSES, action),
        raw_status=intent.status,
        amount=_money(intent.amount, intent.currency),
        captured=_money(intent.amount_received, intent.currency) if intent.amount_received else None,
        next_action=action,
        reason=REASONS.get(raw_reason, RejectionCode.DECLINED) if failure is not None else None,
        raw_reason=raw_reason,
    )


def _refusal(response: Response, error: Refusal) -> Rejected | NotFound | ProtocolViolation:
    if response.status == 404:
        return NotFound("Stripe has no such PaymentIntent", raw_code=error.code)
    if error.type == "card_error":
        code = REASONS.get(error.decline_code, RejectionCode.DECLINED)
        return Rejected("declined", code=code, definitive=True, raw_code=error.decline_code)
    if error.type == "invalid_request_error" and response.status != 409:
        return Rejected("Stripe refuses the request", code=RejectionCode.INVALID, definitive=True, raw_code=error.code)
    # 409: the same key is under way. On a create the core makes this OutcomeUnknown(repeatable=True), which is right.
    return ProtocolViolation(f"Stripe answered HTTP {response.status}", raw_code=error.code)


def _next_action(intent: Intent) -> NextAction | None:
    match intent.next_action:
        case None:
            return None
        case {"alipay_handle_redirect": {"url": str(url)}}:
            return Redirect(url)
        case {"wechat_pay_display_qr_code": {"data": str(data)}}:
            return ShowQRCode(data)
    raise ProtocolViolation("Stripe's next_action cannot be understood")


def _units(amount: Money) -> int:
    return amount.scaled(2) if amount.currency in TWO_DECIMALS else amount.minor


def _money(units: int, currency: str) -> Money:
    code = currency.upper()
    return Money.of_scaled(units, 2, code) if code in TWO_DECIMALS else Money(units, code)
