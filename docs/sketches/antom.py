"""Antom (Alipay+ for merchants): every message signed with RSA, both ways. The difficulties are in README.md.

Sources: docs.antom.com/ac/ams: api_fund (headers), digital_signature, payment_cashier (pay), paymentri_online
(inquiryPayment), paymentrn_online (notifyPayment).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import quote, unquote, urlsplit

import msgspec

from payments_core import (
    Acknowledgement,
    Channel,
    Charge,
    ChargeRequest,
    ConfigurationError,
    Context,
    Flow,
    GatewayUnavailable,
    Limits,
    Method,
    Money,
    NextAction,
    NotFound,
    Notification,
    OutcomeUnknown,
    PaymentStatus,
    ProtocolViolation,
    ProviderInfo,
    Redirect,
    Reference,
    Rejected,
    RejectionCode,
    Request,
    Response,
    Subject,
    SubmitForm,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
    hookimpl,
    unify,
)

T = TypeVar("T")

PAY: Final = "/ams/api/v1/payments/pay"
INQUIRY: Final = "/ams/api/v1/payments/inquiryPayment"
TERMINALS: Final = {Channel.WEB: "WEB", Channel.MOBILE_WEB: "WAP"}
STATUSES: Final = {
    "PAYMENT_IN_PROCESS": PaymentStatus.PENDING,  # pay, result.resultCode: the shopper's turn
    "PROCESSING": PaymentStatus.PENDING,  # inquiryPayment, paymentStatus, as all below
    "PENDING": PaymentStatus.PENDING,
    "SUCCESS": PaymentStatus.SUCCEEDED,
    "FAIL": PaymentStatus.FAILED,
    "CANCELLED": PaymentStatus.CANCELLED,
}
RECEIVED: Final = b'{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"success"}}'


class Config(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str
    sign: Callable[[bytes], bytes]  # RSA-SHA256 with the merchant's key; shipped, this is a PEM in a Secret
    verify: Callable[[bytes, bytes], bool]  # (content, signature) with Antom's public key
    base_url: str = "https://open-sea-global.alipay.com"


class Amount(msgspec.Struct, frozen=True):
    currency: str
    value: str  # minor units, as text

    def money(self) -> Money:
        return Money.of_minor(self.value, self.currency)


class Result(msgspec.Struct, frozen=True, rename="camel"):
    result_code: str
    result_status: str  # S, F or U
    result_message: str = ""


class Form(msgspec.Struct, frozen=True, rename="camel"):
    redirect_url: str
    method: str
    parameters: dict[str, str] = {}


class Payment(msgspec.Struct, frozen=True, rename="camel"):
    """The answers to pay and inquiryPayment, and the notification: one shape is enough for all three."""

    result: Result
    payment_request_id: str = ""
    payment_id: str = ""
    payment_amount: Amount | None = None
    payment_status: str = ""
    normal_url: str = ""
    redirect_action_form: Form | None = None
    notify_type: str = ""


PAYMENT = msgspec.json.Decoder(Payment).decode


class AntomProvider:
    config_type = Config
    info = ProviderInfo(
        id="antom",
        title="Antom",
        currencies=frozenset({"HKD", "USD", "JPY"}),
        methods=(Method("ALIPAY_HK", "AlipayHK"), Method("ALIPAY_CN", "Alipay")),
        channels=frozenset(TERMINALS),
        limits=Limits(order_id_length=64, description_length=256),
        raw_statuses=STATUSES,
        authoritative_webhooks=True,
    )

    def __init__(self, config: Config) -> None:
        self._config = config

    @hookimpl
    def create_charge(self, context: Context, request: ChargeRequest) -> Flow[Charge]:
        amount = {"currency": request.amount.currency, "value": str(request.amount.minor)}
        order = {"orderAmount": amount, "referenceOrderId": request.order_id, "orderDescription": request.description}
        body = {
            "productCode": "CASHIER_PAYMENT",
            "paymentRequestId": request.order_id,  # documented: the idempotency field
            "order": order,
            "paymentAmount": amount,
            "paymentMethod": {"paymentMethodType": request.method},
            "paymentRedirectUrl": request.return_url,
            "paymentNotifyUrl": request.notify_url,
            "env": {"terminalType": TERMINALS[request.channel]},
        }
        response = yield self._post(context, PAY, body, idempotent=True)
        payment = self._read(PAY, response)
        match payment.result:
            case Result("SUCCESS" | "PAYMENT_IN_PROCESS" as code):
                return _charge(payment, code)
            case Result(code, "F", message):
                raise Rejected(message, code=RejectionCode.DECLINED, definitive=True, raw_code=code)
            case Result(code):
                raise OutcomeUnknown(f"Antom itself does not know ({code})", raw_code=code)

    @hookimpl
    def get_status(self, context: Context, reference: Reference) -> Flow[Charge]:
        body = {"paymentRequestId": reference.order_id, "paymentId": reference.provider_id}
        response = yield self._post(context, INQUIRY, {key: value for key, value in body.items() if value}, safe=True)
        payment = self._read(INQUIRY, response)
        if payment.result.result_status == "S":
            return _charge(payment, payment.payment_status)
        if payment.result.result_code == "ORDER_NOT_EXIST":
            raise NotFound("Antom has no such payment", raw_code="ORDER_NOT_EXIST")
        raise GatewayUnavailable(f"Antom did not answer the question ({payment.result.result_code})")

    @hookimpl
    def parse_webhook(self, delivery: WebhookDelivery) -> Notification:
        if not delivery.url:
            raise ConfigurationError("Antom signs the path: give the delivery its url")
        path, time = urlsplit(delivery.url).path, delivery.header("request-time") or ""
        if not self._signed(path, time, delivery.body, delivery.header("signature") or ""):
            raise WebhookRejected("signature")
        payment = delivery.decode(PAYMENT)
        event_id = f"{payment.notify_type}:{payment.payment_id}:{payment.payment_request_id}"
        if payment.notify_type != "PAYMENT_RESULT":
            other = WebhookEvent("antom", Subject.OTHER, payment.notify_type, None, event_id)
            return Notification((other,), Acknowledgement(body=RECEIVED))
        charge = _charge(payment, "SUCCESS" if payment.result.result_status == "S" else "FAIL")
        event = WebhookEvent("antom", Subject.CHARGE, payment.notify_type, charge.reference, event_id, charge=charge)
        return Notification((event,), Acknowledgement(headers=(("content-type", "application/json"),), body=RECEIVED))

    def _post(
        self, context: Context, path: str, body: object, *, idempotent: bool = False, safe: bool = False
    ) -> Request:
        request = Request("POST", path, body=msgspec.json.encode(body), idempotent=idempotent, safe=safe)
        time = str(int(context.now.timestamp() * 1000))
        # README, difficulty 4: `target` is the path as written here, without a path that base_url may have.
        signature = b64encode(self._config.sign(self._content(request.target, time, request.body))).decode()
        headers = (
            ("content-type", "application/json; charset=UTF-8"),
            ("client-id", self._config.client_id),
            ("request-time", time),
            ("signature", f"algorithm=RSA256,keyVersion=1,signature={quote(signature, safe='')}"),
        )
        return msgspec.structs.replace(request, headers=headers)

    def _read(self, path: str, response: Response) -> Payment:
        time, signature = response.header("response-time") or "", response.header("signature") or ""
        if not self._signed(path, time, response.body, signature):
            raise ProtocolViolation("Antom's answer is not signed by Antom")
        return response.decode(PAYMENT)

    def _signed(self, path: str, time: str, body: bytes, header: str) -> bool:
        encoded = unquote(header.rpartition("signature=")[2])
        try:
            signature = b64decode(encoded, validate=True)
        except ValueError:
            return False
        return bool(signature) and self._config.verify(self._content(path, time, body), signature)

    def _content(self, path: str, time: str, body: bytes) -> bytes:
        return f"POST {path}\n{self._config.client_id}.{time}.".encode() + body


def _charge(payment: Payment, raw_status: str) -> Charge:
    action = _next_action(payment)
    return Charge(
        provider="antom",
        reference=Reference(payment.payment_request_id, payment.payment_id),
        status=unify(raw_status, STATUSES, action),
        raw_status=raw_status,
        amount=payment.payment_amount.money() if payment.payment_amount else None,
        next_action=action,
    )


def _next_action(payment: Payment) -> NextAction | None:
    form = payment.redirect_action_form
    if form is not None and form.method == "POST":
        return SubmitForm(form.redirect_url, tuple(form.parameters.items()))
    url = payment.normal_url or (form.redirect_url if form is not None else "")
    return Redirect(url) if url else None
