"""Adyen: Checkout's /payments, and standard webhooks that come in batches. The difficulties are in README.md.

Sources: docs.adyen.com: api-explorer/Checkout/71/post/payments, online-payments/.../payment-result-codes,
development-resources/api-idempotency, /refusal-reasons, /webhooks/verify-hmac-signatures, /webhooks/webhook-types, /currency-codes.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Any, Final

import msgspec

from payments_core import (
    CURRENCY_EXPONENTS,
    Acknowledgement,
    AwaitShopper,
    CallSDK,
    Channel,
    Charge,
    ChargeRequest,
    Flow,
    Limits,
    Method,
    Money,
    NextAction,
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
    SubmitForm,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
    hookimpl,
    same_base64_digest,
    unify,
)

CHANNELS: Final = {Channel.WEB: "Web", Channel.MOBILE_WEB: "Web"}
# Result codes of /payments, then `eventCode:success` of webhooks: two vocabularies, one table.
STATUSES: Final = {
    "Authorised": PaymentStatus.SUCCEEDED,  # where capture is automatic
    "RedirectShopper": PaymentStatus.PENDING,
    "PresentToShopper": PaymentStatus.PENDING,
    "IdentifyShopper": PaymentStatus.PENDING,
    "ChallengeShopper": PaymentStatus.PENDING,
    "Pending": PaymentStatus.PENDING,
    "Received": PaymentStatus.PENDING,
    "Cancelled": PaymentStatus.CANCELLED,
    "Refused": PaymentStatus.FAILED,
    "Error": PaymentStatus.FAILED,
    "AUTHORISATION:true": PaymentStatus.SUCCEEDED,
    "AUTHORISATION:false": PaymentStatus.FAILED,
    "CAPTURE:true": PaymentStatus.SUCCEEDED,
    "CANCELLATION:true": PaymentStatus.CANCELLED,
}
MANUAL: Final = {"Authorised": PaymentStatus.AUTHORIZED, "AUTHORISATION:true": PaymentStatus.AUTHORIZED}

REASONS: Final = {  # refusalReasonCode; any other that is Refused is DECLINED
    "12": RejectionCode.INSUFFICIENT_FUNDS,
    "14": RejectionCode.RISK,
    "20": RejectionCode.RISK,
    "22": RejectionCode.RISK,
    "31": RejectionCode.RISK,
}
EXPONENTS: Final = {**CURRENCY_EXPONENTS, "ISK": 2, "CLP": 2, "CVE": 0, "IDR": 0}  # source: /currency-codes


class Config(msgspec.Struct, frozen=True, kw_only=True):
    api_key: Secret
    merchant_account: str
    hmac_key: Secret  # hexadecimal
    manual_capture: bool = False
    base_url: str = "https://checkout-test.adyen.com"  # live: https://PREFIX-checkout-live.adyenpayments.com/checkout


class Amount(msgspec.Struct, frozen=True):
    currency: str
    value: int

    def money(self) -> Money:
        return Money.of_scaled(self.value, EXPONENTS.get(self.currency, 0), self.currency)


class Payment(msgspec.Struct, frozen=True, rename="camel"):
    result_code: str
    psp_reference: str = ""
    merchant_reference: str = ""
    amount: Amount | None = None
    action: dict[str, Any] | None = None
    refusal_reason: str = ""
    refusal_reason_code: str = ""


class Problem(msgspec.Struct, frozen=True, rename="camel"):
    error_code: str
    error_type: str = ""


class Item(msgspec.Struct, frozen=True, rename="camel"):
    psp_reference: str
    merchant_account_code: str
    merchant_reference: str
    amount: Amount
    event_code: str
    success: str
    original_reference: str = ""
    additional_data: dict[str, str] = {}


class Wrapped(msgspec.Struct, frozen=True):
    item: Item = msgspec.field(name="NotificationRequestItem")


class Batch(msgspec.Struct, frozen=True, rename="camel"):
    notification_items: tuple[Wrapped, ...]


PAYMENT = msgspec.json.Decoder(Payment).decode
PROBLEM = msgspec.json.Decoder(Problem).decode
BATCH = msgspec.json.Decoder(Batch).decode


class AdyenProvider:
    config_type = Config
    info = ProviderInfo(
        id="adyen",
        title="Adyen",
        currencies=frozenset({"HKD", "EUR", "JPY", "ISK"}),
        methods=(Method("alipay_hk", "AlipayHK"), Method("wechatpayQR", "WeChat Pay")),
        channels=frozenset(CHANNELS),
        # The signature joins its fields with ":" and does not escape it, so an id must not have one.
        limits=Limits(order_id_length=80, order_id_pattern=r"[^:\\]+"),
        raw_statuses=STATUSES,
        query_by=frozenset(),
        key_lifetime=7 * 24 * 3600,
        authoritative_webhooks=True,
    )

    def __init__(self, config: Config) -> None:
        self._config = config
        self._key = bytes.fromhex(config.hmac_key.reveal())
        if config.manual_capture:
            self.info = msgspec.structs.replace(self.info, raw_statuses=STATUSES | MANUAL)

    @hookimpl
    def create_charge(self, request: ChargeRequest) -> Flow[Charge]:
        currency = request.amount.currency
        body = {
            "merchantAccount": self._config.merchant_account,
            "amount": {"currency": currency, "value": request.amount.scaled(EXPONENTS[currency])},
            "reference": request.order_id,
            "paymentMethod": {"type": request.method},
            "returnUrl": request.return_url,
            "channel": CHANNELS[request.channel],
        }
        headers = (
            ("content-type", "application/json"),
            ("x-api-key", self._config.api_key),
            ("idempotency-key", sha256(f"create:{request.order_id}".encode()).hexdigest()),  # at most 64 characters
        )
        encoded = msgspec.json.encode(body)
        response = yield Request("POST", "/v71/payments", headers=headers, body=encoded, idempotent=True)
        if response.status != 200:
            problem = response.decode(PROBLEM)
            definitive = problem.error_type == "validation"
            raise Rejected(
                "Adyen refuses the request",
                code=RejectionCode.INVALID,
                definitive=definitive,
                raw_code=problem.error_code,
            )
        return self._charge(response.decode(PAYMENT), request.order_id)

    # No get_status: Checkout documents no query by the merchant's or Adyen's reference.

    @hookimpl
    def parse_webhook(self, delivery: WebhookDelivery) -> Notification:
        items = [wrapped.item for wrapped in delivery.decode(BATCH).notification_items]
        # One bad item, or one of another account, and nothing of the batch is believed.
        return Notification(tuple(self._event(item) for item in items), Acknowledgement(body=b"[accepted]"))

    @hookimpl
    def read_request_id(self, response: Response) -> str:
        return response.header("pspreference") or ""

    def _event(self, item: Item) -> WebhookEvent:
        self._verify(item)
        raw = f"{item.event_code}:{item.success}"
        reference = Reference(item.merchant_reference, item.original_reference or item.psp_reference)
        event_id = f"{item.event_code}:{item.psp_reference}"
        if raw not in STATUSES:
            subject = Subject.REFUND if item.event_code == "REFUND" else Subject.OTHER
            return WebhookEvent("adyen", subject, item.event_code, reference, event_id)
        charge = Charge(
            provider="adyen",
            reference=reference,
            status=unify(raw, self.info.raw_statuses),
            raw_status=raw,
            amount=item.amount.money(),
            # No reason: the item has one, and the signature does not cover it.
        )
        return WebhookEvent("adyen", Subject.CHARGE, item.event_code, reference, event_id, charge=charge)

    def _verify(self, item: Item) -> None:
        fields = (
            item.psp_reference,
            item.original_reference,
            item.merchant_account_code,
            item.merchant_reference,
            str(item.amount.value),
            item.amount.currency,
            item.event_code,
            item.success,
        )
        expected = hmac.digest(self._key, ":".join(fields).encode(), "sha256")
        given = item.additional_data.get("hmacSignature", "")
        if not same_base64_digest(given, [expected]) or any(":" in field for field in fields):
            raise WebhookRejected("signature")
        if item.merchant_account_code != self._config.merchant_account:
            raise WebhookRejected("malformed", "the notification is about another merchant account")

    def _charge(self, payment: Payment, order_id: str) -> Charge:
        action, code = _next_action(payment.action), payment.refusal_reason_code
        # An answer that asks for a redirect may have no id at all; only then the one that was sent is named.
        nameless = not payment.merchant_reference and not payment.psp_reference
        return Charge(
            provider="adyen",
            reference=Reference(order_id if nameless else payment.merchant_reference, payment.psp_reference),
            status=unify(payment.result_code, self.info.raw_statuses, action),
            raw_status=payment.result_code,
            amount=payment.amount.money() if payment.amount else None,
            next_action=action,
            reason=REASONS.get(code, RejectionCode.DECLINED if payment.result_code == "Refused" else None),
            raw_reason=payment.refusal_reason,
        )


def _next_action(action: dict[str, Any] | None) -> NextAction | None:
    match action:
        case None:
            return None
        case {"type": "redirect", "method": "POST", "url": str(url), "data": dict(data)}:
            return SubmitForm(url, tuple((str(name), str(value)) for name, value in data.items()))
        case {"type": "redirect", "url": str(url)}:
            return Redirect(url)
        case {"type": "qrCode", "qrCodeData": str(content)}:
            return ShowQRCode(content)
        case {"type": "await"}:
            return AwaitShopper()
        case {"type": "sdk" | "threeDS2"}:
            return CallSDK(action)
    raise ProtocolViolation("Adyen's action cannot be understood")
