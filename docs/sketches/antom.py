"""Antom (Alipay+ for merchants): every message signed with RSA, both ways. The difficulties are in README.md.

Sources: docs.antom.com/ac/ams: api_fund (headers), digital_signature, payment_cashier (pay), paymentri_online
(inquiryPayment), paymentrn_online (notifyPayment).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import datetime
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

PAY: Final = "/api/v1/payments/pay"
INQUIRY: Final = "/api/v1/payments/inquiryPayment"
TERMINALS: Final = {Channel.WEB: "WEB", Channel.MOBILE_WEB: "WAP"}
STATUSES: Final = {
    "PAYMENT_IN_PROCESS": PaymentStatus.PENDING,  # pay, result.resultCode: the shopper's turn
    "PROCESSING": PaymentStatus.PENDING,  # inquiryPayment, paymentStatus, as all below
    "PENDING": PaymentStatus.PENDING,
    "SUCCESS": PaymentStatus.SUCCEEDED,
    "FAIL": PaymentStatus.FAILED,
    "CANCELLED": PaymentStatus.CANCELLED,
}
REASONS: Final = {  # result codes of a payment that failed; any other is DECLINED
    "USER_BALANCE_NOT_ENOUGH": RejectionCode.INSUFFICIENT_FUNDS,
    "RISK_REJECT": RejectionCode.RISK,
    "REPEAT_REQ_INCONSISTENT": RejectionCode.DUPLICATE,
}
RECEIVED: Final = b'{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"success"}}'


class Config(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str
    sign: Callable[[bytes], bytes]  # RSA-SHA256 with the merchant's key; shipped, this is a PEM in a Secret
    verify: Callable[[bytes, bytes], bool]  # (content, signature) with Antom's public key
    base_url: str = "https://open-sea-global.alipay.com/ams"  # the sandbox: …/ams/sandbox


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
    payment_result_code: str = ""
    normal_url: str = ""
    redirect_action_form: Form | None = None
    notify_type: str = ""
    payment_time: str = ""


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
        post = self._post(context, PAY, body, idempotent=True)
        payment = self._read(post, (yield post))
        match payment.result:
            case Result("SUCCESS" | "PAYMENT_IN_PROCESS" as code):
                return _charge(payment, code)
            case Result(code, "F", message):
                # Without a paymentId: a refusal, and no charge. After a repeated id there may be one.
                reason = REASONS.get(code, RejectionCode.DECLINED)
                definitive = reason is not RejectionCode.DUPLICATE
                raise Rejected(message, code=reason, definitive=definitive, raw_code=code)
            case Result(code):
                raise OutcomeUnknown(f"Antom itself does not know ({code})", raw_code=code)

    @hookimpl
    def get_status(self, context: Context, reference: Reference) -> Flow[Charge]:
        ids = {"paymentRequestId": reference.order_id, "paymentId": reference.provider_id}
        post = self._post(context, INQUIRY, {key: value for key, value in ids.items() if value}, safe=True)
        payment = self._read(post, (yield post))
        if payment.result.result_status == "S":
            return _charge(payment, payment.payment_status, payment.payment_result_code)
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
        paid = payment.result.result_status == "S"
        charge = _charge(payment, "SUCCESS" if paid else "FAIL", payment.result.result_code)
        event = WebhookEvent(
            "antom",
            Subject.CHARGE,
            payment.notify_type,
            charge.reference,
            event_id,
            charge=charge,
            occurred_at=_time(payment.payment_time),
        )
        return Notification((event,), Acknowledgement(headers=(("content-type", "application/json"),), body=RECEIVED))

    def _post(
        self, context: Context, path: str, body: object, *, idempotent: bool = False, safe: bool = False
    ) -> Request:
        # Absolute, so that `target` has base_url's own path: it is signed too.
        url = f"{self._config.base_url}{path}"
        request = Request("POST", url, body=msgspec.json.encode(body), idempotent=idempotent, safe=safe)
        time = str(int(context.now.timestamp() * 1000))
        signature = b64encode(self._config.sign(self._content(request.target, time, request.body))).decode()
        headers = (
            ("content-type", "application/json; charset=UTF-8"),
            ("client-id", self._config.client_id),
            ("request-time", time),
            ("signature", f"algorithm=RSA256,keyVersion=1,signature={quote(signature, safe='')}"),
        )
        return msgspec.structs.replace(request, headers=headers)

    def _read(self, request: Request, response: Response) -> Payment:
        time, signature = response.header("response-time") or "", response.header("signature") or ""
        if not self._signed(request.target, time, response.body, signature):
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


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _charge(payment: Payment, raw_status: str, result_code: str = "") -> Charge:
    action = _next_action(payment)
    failed = raw_status == "FAIL"
    return Charge(
        provider="antom",
        reference=Reference(payment.payment_request_id, payment.payment_id),
        status=unify(raw_status, STATUSES, action),
        raw_status=raw_status,
        amount=payment.payment_amount.money() if payment.payment_amount else None,
        next_action=action,
        reason=REASONS.get(result_code, RejectionCode.DECLINED) if failed else None,
        raw_reason=result_code if failed else "",
    )


def _next_action(payment: Payment) -> NextAction | None:
    form = payment.redirect_action_form
    if form is not None and form.method == "POST":
        return SubmitForm(form.redirect_url, tuple(form.parameters.items()))
    url = payment.normal_url or (form.redirect_url if form is not None else "")
    return Redirect(url) if url else None
