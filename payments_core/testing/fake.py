"""Implement a provider for a fictitious gateway: an example to read, and a double to test your shop with.

The gateway's documentation is docs/fake.md; docstrings and comments name its sections. The gateway itself is
`fake_gateway`, which opens this class. It has no entry point, so a live configuration cannot name it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec

from payments_core import (
    Authorization,
    CaptureRequest,
    Channel,
    Charge,
    ChargeRequest,
    Context,
    Flow,
    Limits,
    Method,
    Money,
    NotFound,
    Notification,
    PaymentStatus,
    ProviderInfo,
    Redirect,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
    RefundStatus,
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
    same_hex_digest,
    unify,
)

__all__ = ["FakeConfig", "FakeProvider"]

T = TypeVar("T")

CHANNELS: Final = {Channel.WEB: "web", Channel.MOBILE_WEB: "mobile"}
STATUSES: Final = {  # Statuses
    "open": PaymentStatus.PENDING,
    "authorized": PaymentStatus.AUTHORIZED,
    "paid": PaymentStatus.SUCCEEDED,
    "cancelled": PaymentStatus.CANCELLED,
    "expired": PaymentStatus.CANCELLED,
    "failed": PaymentStatus.FAILED,
}
REFUND_STATUSES: Final = {
    "pending": RefundStatus.PENDING,
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
}
REFUSALS: Final = {  # Refusals: the gateway's code, ours, and whether it documents that nothing was accepted
    "declined": (RejectionCode.DECLINED, True),
    "insufficient_funds": (RejectionCode.INSUFFICIENT_FUNDS, True),
    "risk": (RejectionCode.RISK, True),
    "invalid": (RejectionCode.INVALID, True),
    "duplicate": (RejectionCode.DUPLICATE, False),  # the order's first charge was accepted: query it
}
UNDOCUMENTED: Final = (RejectionCode.UNKNOWN, False)


class FakeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One merchant account."""

    client_id: str
    client_secret: Secret
    webhook_key: Secret
    base_url: str = "https://fake.invalid"


# The gateway's own shapes; an answer of any other shape is rejected.
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Word = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_]{1,32}\Z")]
Page = Annotated[str, msgspec.Meta(pattern=r"\Ahttps?://[!-~]{1,500}\Z")]


class _Token(msgspec.Struct):
    access_token: Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,200}\Z")]
    expires_in: float


class _Charge(msgspec.Struct):
    id: Id
    order_id: Id
    status: str
    amount: int
    currency: str
    captured: int
    refunded: int
    pay_url: Page | None = None
    failure: Word | None = None


class _Refund(msgspec.Struct):
    id: Id
    refund_id: Id
    charge: Id
    order_id: Id
    status: str
    amount: int
    currency: str


class _Event(msgspec.Struct):
    id: Id
    type: str
    at: int
    charge: _Charge | None = None
    refund: _Refund | None = None


class _Error(msgspec.Struct):
    code: Word


class _Failure(msgspec.Struct):
    error: _Error


class FakeProvider:
    """Build the requests and read the answers; nothing is sent from here."""

    config_type = FakeConfig
    info = ProviderInfo(
        id="fake",
        title="Fake",
        operations=frozenset({"capture_charge", "cancel_charge", "refund_charge", "get_refund"}),
        currencies=frozenset({"HKD", "USD", "JPY", "KWD"}),
        methods=(
            Method("wallet", "Wallet"),
            Method("card", "Card"),
            Method("transfer", "Bank transfer", frozenset({"HKD"}), frozenset({Channel.WEB}), capture=True),
        ),
        channels=frozenset(CHANNELS),
        limits=Limits(order_id_length=64, description_length=200),
        raw_statuses=STATUSES,
        key_lifetime=24 * 3600,  # Keys
        charge_options=frozenset({"capture"}),
        authoritative_webhooks=True,
    )

    def __init__(self, config: FakeConfig) -> None:
        self._config = config

    @hookimpl
    def authorize(self) -> Flow[Authorization]:
        """See Token."""
        pair = f"{self._config.client_id}:{self._config.client_secret.reveal()}"
        basic = Secret(f"Basic {base64.b64encode(pair.encode()).decode()}")
        response = yield Request("POST", "/token", headers=(("authorization", basic),), safe=True)
        token = _read(response, _Token)
        return Authorization(Secret(token.access_token), expires_in=token.expires_in)

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        """See Charges. The key is made of the order id alone: one order, one charge."""
        body = {
            "order_id": request.order_id,
            **self._money(request.amount),
            "description": request.description,
            "method": request.method,
            "channel": CHANNELS[request.channel],
            "capture": request.capture,
            "notify_url": request.notify_url,
            "return_url": request.return_url,
        }
        response = yield self._post("/charges", body, authorization, key=request.order_id)
        return self._charge(_read(response, _Charge))

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        """See Charges: by either id, or by both."""
        response = yield self._get("/charges", _ids(reference), authorization)
        return self._charge(_read(response, _Charge))

    @hookimpl
    def capture_charge(self, authorization: Authorization, request: CaptureRequest) -> Flow[Charge]:
        """See Captures."""
        body = {**_ids(request.reference), **self._money(request.amount)}
        response = yield self._post("/captures", body, authorization, key=request.capture_id)
        return self._charge(_read(response, _Charge))

    @hookimpl
    def cancel_charge(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        """See Cancellations: a charge that is no longer open is answered as it stands."""
        body = _ids(reference)
        response = yield self._post("/cancellations", body, authorization, key=":".join(body.values()))
        return self._charge(_read(response, _Charge))

    @hookimpl
    def refund_charge(self, authorization: Authorization, request: RefundRequest) -> Flow[Refund]:
        """See Refunds."""
        body = {**_ids(request.reference), "refund_id": request.refund_id, **self._money(request.amount)}
        response = yield self._post("/refunds", body, authorization, key=request.refund_id)
        return self._refund(_read(response, _Refund))

    @hookimpl
    def get_refund(self, authorization: Authorization, reference: RefundReference) -> Flow[Refund]:
        """See Refunds: by either id, or by both."""
        query = _given(refund_id=reference.refund_id, id=reference.provider_id)
        response = yield self._get("/refunds", query, authorization)
        return self._refund(_read(response, _Refund))

    @hookimpl
    def parse_webhook(self, context: Context, delivery: WebhookDelivery) -> Notification:
        """See Notifications: verify the bytes before reading them."""
        self._verify(context, delivery)
        events = delivery.decode(msgspec.json.Decoder(list[_Event]).decode)
        return Notification(tuple(self._event(event) for event in events))

    @hookimpl
    def read_request_id(self, response: Response) -> str:
        """See Errors: every answer has the header, refusals too."""
        return response.header("fake-request-id") or ""

    # Requests.

    def _post(self, path: str, body: dict[str, Any], authorization: Authorization, *, key: str) -> Request:
        """See Keys: a repeated request has one effect. The key is hashed, because an id may not fit a header."""
        headers = (
            ("authorization", authorization.credentials),
            ("content-type", "application/json"),
            ("idempotency-key", hashlib.sha256(f"{path}:{key}".encode()).hexdigest()),
        )
        return Request("POST", path, headers=headers, body=msgspec.json.encode(body), idempotent=True)

    def _get(self, path: str, query: dict[str, str], authorization: Authorization) -> Request:
        headers = (("authorization", authorization.credentials),)
        return Request("GET", path, query=tuple(query.items()), headers=headers, safe=True)

    def _money(self, amount: Money) -> dict[str, Any]:
        return {"amount": amount.minor, "currency": amount.currency}

    # Answers.

    def _verify(self, context: Context, delivery: WebhookDelivery) -> None:
        """See Notifications: the key signs the body and a time, within five minutes of ours."""
        time = delivery.header("fake-timestamp") or ""
        key = self._config.webhook_key.reveal().encode()
        expected = hmac.digest(key, b"%b.%b" % (time.encode(), delivery.body), "sha256")
        if not same_hex_digest(delivery.header("fake-signature") or "", [expected]):
            raise WebhookRejected("signature")
        if abs(context.now.timestamp() - int(time)) > 300:
            raise WebhookRejected("stale")

    def _charge(self, found: _Charge) -> Charge:
        action = Redirect(found.pay_url) if found.pay_url else None
        return Charge(
            provider=self.info.id,
            reference=Reference(found.order_id, found.id),
            status=unify(found.status, STATUSES, action),
            raw_status=found.status,
            amount=Money(minor=found.amount, currency=found.currency),
            next_action=action,
            captured=Money(minor=found.captured, currency=found.currency),
            refunded=Money(minor=found.refunded, currency=found.currency),
            reason=REFUSALS.get(found.failure, UNDOCUMENTED)[0] if found.failure else None,
            raw_reason=found.failure or "",
        )

    def _refund(self, found: _Refund) -> Refund:
        return Refund(
            provider=self.info.id,
            refund_id=found.refund_id,
            provider_id=found.id,
            reference=Reference(found.order_id, found.charge),
            status=REFUND_STATUSES.get(found.status, RefundStatus.UNKNOWN),
            raw_status=found.status,
            amount=Money(minor=found.amount, currency=found.currency),
        )

    def _event(self, event: _Event) -> WebhookEvent:
        """Return an authoritative event if it carries a charge or a refund, and a hint otherwise."""
        charge = None if event.charge is None else self._charge(event.charge)
        refund = None if event.refund is None else self._refund(event.refund)
        subject, told = Subject.OTHER, charge if refund is None else refund
        if told is not None:
            subject = Subject.CHARGE if refund is None else Subject.REFUND
        return WebhookEvent(
            self.info.id,
            subject,
            event.type,
            None if told is None else told.reference,
            event.id,
            charge=charge,
            refund=refund,
            occurred_at=datetime.fromtimestamp(event.at, UTC),
        )


def _ids(reference: Reference) -> dict[str, str]:
    return _given(order_id=reference.order_id, id=reference.provider_id)


def _given(**ids: str) -> dict[str, str]:
    return {name: each for name, each in ids.items() if each}


def _read(response: Response, kind: type[T]) -> T:
    """Decode an answer, or raise a documented error. A maintenance page is neither."""
    if response.status < 300:
        return response.decode(msgspec.json.Decoder(kind).decode)
    code = response.decode(msgspec.json.Decoder(_Failure).decode).error.code
    if (response.status, code) == (404, "not_found"):
        raise NotFound("the gateway has no such charge or refund", raw_code=code)
    reason, definitive = REFUSALS.get(code, UNDOCUMENTED) if response.status == 402 else UNDOCUMENTED
    raise Rejected(f"the gateway said no: {code}", code=reason, definitive=definitive, raw_code=code)
