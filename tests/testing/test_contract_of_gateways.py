"""Two gateways of shapes that exist pass the whole contract, and each mistake in their plugins fails a test by name.

Tulip: unsigned notifications (`id=tr_…`), queries by its own ids only, idempotency keys, several refunds. Meridian: a
token with an absolute expiry, a create of two requests, amounts as JSON numbers, pending captures, refunds, and
authoritative notifications. Both have a `base_url` with a path.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import math
import re
import secrets
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from msgspec.structs import replace
from starlette.requests import Request as Incoming
from starlette.responses import Response as Answer

from payments_core import (
    Acknowledgement,
    Authorization,
    Channel,
    Charge,
    Duplicates,
    InvalidRequest,
    Method,
    Money,
    NotFound,
    Notification,
    Notifications,
    PaymentStatus,
    ProviderInfo,
    Redirect,
    Reference,
    Refund,
    RefundStatus,
    Rejected,
    RejectionCode,
    Request,
    Secret,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
    hookimpl,
    same_hex_digest,
    segment,
    unify,
)
from payments_core.testing.contract import ProviderContract, Refusal
from payments_core.testing.contract.bench import Bench
from payments_core.testing.contract.rules import applies
from payments_core.testing.faults import FaultGateway
from payments_core.testing.masking import CassettePolicy, Fields, Rule
from payments_core.testing.sandbox import NotPossible, SandboxCharge, UnknownCharge
from payments_core.testing.server import LoopbackServer

DIGITS = {"EUR": 2, "USD": 2, "HKD": 2, "JPY": 0, "KWD": 3}


class No(Exception):
    """An error that a gateway answers with."""


class Served:
    """Serve a gateway on this machine: a subclass answers `(status, body)` to a request."""

    prefix = ""

    def __init__(self):
        self._lock = threading.RLock()
        self._ahead = timedelta()
        self.held = {}
        self._server = LoopbackServer(self._app)
        self.url = self._server.url

    @property
    def now(self):
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds):
        self._ahead += timedelta(seconds=seconds)

    async def _app(self, scope, receive, send):
        request = Incoming(scope, receive)
        body = await request.body()
        path = request.url.path
        with self._lock:
            try:
                assert path.startswith(self.prefix), "a request beside the base_url"
                status, said = self.answer(
                    request.method, path.removeprefix(self.prefix), request.query_params, request.headers, body
                )
            except No as no:
                status, said = no.args
        content = said if isinstance(said, bytes) else json.dumps(said).encode()
        await Answer(content, status, media_type="application/json")(scope, receive, send)

    def known(self, provider_id):
        if provider_id not in self.held:
            raise UnknownCharge(provider_id)
        return self.held[provider_id]

    def set_status(self, provider_id, raw_status):
        self.known(provider_id)["status"] = raw_status

    def close(self):
        self._server.close()


def money(text, currency):
    """A gateway's own reading: as many digits as the currency has, no more and no fewer."""
    digits = DIGITS.get(currency)
    match = re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?", text)
    if digits is None or match is None or len(match[2] or "") > digits or not Decimal(text):
        return None
    return Money(minor=int(Decimal(text).scaleb(digits)), currency=currency)


# Tulip.

TULIP_STATUSES = {
    "open": PaymentStatus.PENDING,
    "paid": PaymentStatus.SUCCEEDED,
    "canceled": PaymentStatus.CANCELLED,
    "expired": PaymentStatus.CANCELLED,
    "failed": PaymentStatus.FAILED,
}


class TulipSandbox(Served):
    """Tulip's side."""

    prefix = "/v2"

    def __init__(self):
        super().__init__()
        self.keys = {}
        self.refunds = {}
        self.config = {"base_url": f"{self.url}/v2", "api_key": f"live_{secrets.token_hex(16)}"}

    def answer(self, method, path, query, headers, body):
        if headers.get("authorization") != f"Bearer {self.config['api_key']}":
            raise No(401, {"status": 401, "title": "Unauthorized"})
        if method == "GET":
            found = self.held.get(path.rpartition("/")[2]) if path.startswith("/payments/") else None
            if match := re.fullmatch(r"/payments/(\w+)/refunds/(\w+)", path):
                found = self.refunds.get(match[2]) if match[1] in self.held else None
            if found is None:
                raise No(404, {"status": 404, "title": "Not Found"})
            return 200, found
        key = headers.get("idempotency-key", "")
        at, earlier, made = self.keys.get(key, (None, None, None))
        if key and at is not None and self.now - at < timedelta(hours=1):
            if earlier != (path, body):
                raise No(409, {"status": 409, "title": "Conflict"})
            return made
        made = self._made(path, json.loads(body))
        self.keys[key] = self.now, (path, body), made
        return made

    def _made(self, path, given):
        amount = money(given["amount"]["value"], given["amount"]["currency"])
        narrow = given.get("method") == "bank" and given["amount"]["currency"] != "EUR"
        if amount is None or narrow or amount.text != given["amount"]["value"]:
            raise No(422, {"status": 422, "title": "Unprocessable Entity"})
        if path == "/payments":
            provider_id = f"tr_{secrets.token_hex(8)}"
            page = f"https://tulip.example/pay/{provider_id}"
            self.held[provider_id] = {"id": provider_id, "status": "open", **given, "checkout": page}
            return 201, self.held[provider_id]
        payment = self.held[path.split("/")[2]]
        left = self._amount(payment).minor - self._refunded(payment["id"])
        if payment["status"] != "paid" or amount.minor > left:
            raise No(422, {"status": 422, "title": "Unprocessable Entity"})
        refund = {"id": f"re_{secrets.token_hex(8)}", "paymentId": payment["id"], "status": "refunded", **given}
        self.refunds[refund["id"]] = refund
        return 201, refund

    def _amount(self, found):
        return money(found["amount"]["value"], found["amount"]["currency"])

    def _refunded(self, provider_id):
        return sum(self._amount(each).minor for each in self.refunds.values() if each["paymentId"] == provider_id)

    def pay(self, provider_id):
        if self.known(provider_id)["status"] != "open":
            raise NotPossible(provider_id)
        self.set_status(provider_id, "paid")

    def cancel(self, provider_id):
        self.set_status(provider_id, "canceled")

    def charges(self, order_id):
        found = [each for each in self.held.values() if each["metadata"]["order_id"] == order_id]
        return [
            SandboxCharge(
                each["id"],
                self._amount(each),
                None,
                Money(minor=self._refunded(each["id"]), currency=each["amount"]["currency"]),
            )
            for each in found
        ]

    def notification(self, provider_id):
        body = f"id={self.known(provider_id)['id']}".encode()
        return WebhookDelivery(body, {"content-type": "application/x-www-form-urlencoded"}, self.now)


def make_tulip(port: int = 0) -> TulipSandbox:
    return TulipSandbox()


class TulipConfig(msgspec.Struct, frozen=True, kw_only=True):
    base_url: str
    api_key: Secret


class TulipAmount(msgspec.Struct):
    currency: str
    value: str

    def read(self):
        return Money.of(self.value, self.currency)


class TulipPayment(msgspec.Struct):
    id: str
    status: str
    amount: TulipAmount
    metadata: dict[str, str]
    checkout: str | None = None


class TulipRefund(msgspec.Struct):
    id: str
    paymentId: str  # noqa: N815 - Tulip's own name
    status: str
    amount: TulipAmount
    metadata: dict[str, str]


class TulipProblem(msgspec.Struct):
    status: int
    title: str


class Tulip:
    """The plugin."""

    config_type = TulipConfig
    info = ProviderInfo(
        id="tulip",
        title="Tulip",
        operations=frozenset({"refund_charge", "get_refund"}),
        currencies=frozenset({"EUR", "USD", "JPY"}),
        methods=(Method("bank", "Bank", currencies=frozenset({"EUR"})), Method("card", "Card")),
        channels=frozenset({Channel.WEB, Channel.MOBILE_WEB}),
        raw_statuses=TULIP_STATUSES,
        query_by=frozenset({"provider_id"}),
        key_lifetime=3600,
        notifications=Notifications.UNSIGNED,
        rejection_status=200,
        duplicates=Duplicates.SAME_FOR_KEY_LIFETIME,
        refund_query_by=frozenset({"provider_id", "reference"}),
    )

    def __init__(self, config):
        self._authorization = ("authorization", Secret(f"Bearer {config.api_key.reveal()}"))

    @hookimpl
    def create_charge(self, request):
        body = {
            "amount": self._amount(request.amount),
            "description": request.description,
            "method": request.method,
            "redirectUrl": request.return_url,
            "webhookUrl": request.notify_url,
            "metadata": {"order_id": request.order_id},
        }
        return self._charge((yield self._post("/payments", body, self._key(request))))

    @hookimpl
    def get_status(self, reference):
        return self._charge((yield self._get(f"/payments/{segment(reference.provider_id)}")))

    @hookimpl
    def refund_charge(self, request):
        if not request.reference.provider_id:
            raise InvalidRequest("a payment is refunded by Tulip's own id", field="reference")
        body = {"amount": self._amount(request.amount), "metadata": {"refund_id": request.refund_id}}
        path = f"/payments/{segment(request.reference.provider_id)}/refunds"
        return self._refund((yield self._post(path, body, f"refund:{request.refund_id}")))

    @hookimpl
    def get_refund(self, reference):
        path = f"/payments/{segment(reference.reference.provider_id)}/refunds/{segment(reference.provider_id)}"
        return self._refund((yield self._get(path)))

    @hookimpl
    def parse_webhook(self, delivery):
        match = re.fullmatch(rb"id=(tr_[0-9a-f]{16})", delivery.body)
        if match is None:
            raise WebhookRejected("malformed")
        return Notification((self._event(match[1].decode()),))

    def _event(self, provider_id):
        return WebhookEvent("tulip", Subject.CHARGE, "payment", Reference("", provider_id), f"payment:{provider_id}")

    def _key(self, request):
        return f"create:{request.order_id}"

    def _amount(self, amount):
        return {"currency": amount.currency, "value": amount.text}

    def _post(self, path, body, key):
        digest = hashlib.sha256(key.encode()).hexdigest()
        headers = (self._authorization, ("content-type", "application/json"), ("idempotency-key", digest))
        return Request("POST", path, headers=headers, body=msgspec.json.encode(body), idempotent=True)

    def _get(self, path):
        return Request("GET", path, headers=(self._authorization,), safe=True)

    def _read(self, response, kind):
        if response.status in {200, 201}:
            return response.decode(msgspec.json.Decoder(kind).decode)
        problem = response.decode(msgspec.json.Decoder(TulipProblem).decode)
        if response.status == problem.status == 404:
            raise NotFound("Tulip has no such payment")
        code = {409: RejectionCode.DUPLICATE, 422: RejectionCode.INVALID}.get(problem.status, RejectionCode.UNKNOWN)
        raise Rejected(f"Tulip said {problem.title}", code=code, definitive=response.status == problem.status == 422)

    def _charge(self, response):
        payment = self._read(response, TulipPayment)
        action = Redirect(payment.checkout) if payment.checkout and payment.status == "open" else None
        return Charge(
            provider="tulip",
            reference=Reference(payment.metadata["order_id"], payment.id),
            status=unify(payment.status, TULIP_STATUSES, action),
            raw_status=payment.status,
            amount=payment.amount.read(),
            next_action=action,
        )

    def _refund(self, response):
        refund = self._read(response, TulipRefund)
        return Refund(
            provider="tulip",
            refund_id=refund.metadata["refund_id"],
            provider_id=refund.id,
            reference=Reference("", refund.paymentId),
            status={"refunded": RefundStatus.SUCCEEDED}.get(refund.status, RefundStatus.UNKNOWN),
            raw_status=refund.status,
            amount=refund.amount.read(),
        )


def _policy(*rules):
    masked = ("authorization", "x-api-key")
    return CassettePolicy(
        tuple(
            Rule(
                path=path,
                query=Fields(("merchant_order_id",)),
                request_headers=Fields(("content-type", "idempotency-key"), masked=masked),
                request_body=Fields(tuple(sent)),
                response_body=Fields(tuple(said), masked=("token",)),
            )
            for path, sent, said in rules
        )
    )


_PAID = ("id", "status", "amount.currency", "amount.value", "metadata.order_id", "checkout", "method")
_ASKED = ("amount.currency", "amount.value", "description", "method", "metadata.order_id", "redirectUrl", "webhookUrl")


class TestTulip(ProviderContract):
    """Add what only Tulip's documentation says."""

    provider = Tulip
    make_sandbox = staticmethod(make_tulip)
    cassette_policy = _policy(("/payments", _ASKED, _PAID), ("/payments/{id}", (), _PAID))
    raw_statuses = {
        "open": PaymentStatus.PENDING,
        "paid": PaymentStatus.SUCCEEDED,
        "canceled": PaymentStatus.CANCELLED,
        "expired": PaymentStatus.CANCELLED,
        "failed": PaymentStatus.FAILED,
    }
    refusals = (
        Refusal(
            name="422",
            status=422,
            body=b'{"status": 422, "title": "Unprocessable Entity"}',
            code=RejectionCode.INVALID,
            definitive=True,
        ),
        Refusal(name="409", status=409, body=b'{"status": 409, "title": "Conflict"}', code=RejectionCode.DUPLICATE),
    )
    not_applicable = {
        "test_the_entry_point_leads_to_the_provider": "it is installed nowhere",
        "test_every_event_of_a_batch_survives": "one delivery carries one id",
    }


# Meridian.

MERIDIAN_STATUSES = {
    "REQUIRES_PAYMENT_METHOD": PaymentStatus.PENDING,
    "REQUIRES_CUSTOMER_ACTION": PaymentStatus.PENDING,
    "REQUIRES_CAPTURE": PaymentStatus.AUTHORIZED,
    "PENDING": PaymentStatus.PENDING,
    "SUCCEEDED": PaymentStatus.SUCCEEDED,
    "CANCELLED": PaymentStatus.CANCELLED,
}
WAITING = {"REQUIRES_PAYMENT_METHOD", "REQUIRES_CUSTOMER_ACTION"}


class Number(str):
    """The digits of a JSON number."""

    __slots__ = ()


class MeridianSandbox(Served):
    """Meridian's side: a request id is used once, and an intent can be paid from its confirmation on."""

    prefix = "/api/v1"

    def __init__(self):
        super().__init__()
        self.used, self.refunds, self.tokens, self.endpoints = set(), {}, set(), []
        self.config = {
            "base_url": f"{self.url}/api/v1",
            "client_id": "shop-of-the-contract",
            "api_key": secrets.token_hex(16),
            "webhook_key": secrets.token_hex(16),
        }

    def register_endpoint(self, url):
        self.endpoints.append(url)

    def answer(self, method, path, query, headers, body):
        if path == "/login":
            return self._login(headers)
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            raise No(401, {"code": "unauthorized"})
        if method == "GET":
            return 200, self._asked(path, query)
        given = json.loads(body, parse_float=Number, parse_int=Number)
        if (path, given["request_id"]) in self.used:
            raise No(400, {"code": "duplicate_request"})
        made = self._made(path.split("/")[1:], given)
        self.used.add((path, given["request_id"]))
        return (201 if path.endswith("/create") else 200), _numbered(made)

    def _login(self, headers):
        if (headers.get("x-client-id"), headers.get("x-api-key")) != (self.config["client_id"], self.config["api_key"]):
            raise No(401, {"code": "credentials_invalid"})
        token = secrets.token_hex(20)
        self.tokens.add(token)
        return 201, {"token": token, "expires_at": (self.now + timedelta(minutes=30)).isoformat()}

    def _asked(self, path, query):
        kind, *rest = path.split("/")[1:]
        held = self.held if kind == "intents" else self.refunds
        if rest:
            if rest[0] not in held:
                raise No(404, {"code": "not_found"})
            return _numbered(held[rest[0]])
        named = ("merchant_order_id", "intent_id")
        found = [each for each in held.values() if any(each.get(name) == query.get(name, "-") for name in named)]
        return _numbered({"items": found[::-1]})

    def _made(self, path, given):
        amount = money(str(given["amount"]), given["currency"]) if "amount" in given else None
        if "amount" in given and (amount is None or type(given["amount"]) is not Number):
            raise No(400, {"code": "validation_error"})
        if path == ["intents", "create"]:
            return self._intent(given["merchant_order_id"], amount, given["capture"])
        if path == ["refunds", "create"]:
            return self._refund(given, amount)
        intent = self.held[path[1]]
        if path[2] == "confirm":
            if intent["status"] not in WAITING:
                raise No(400, {"code": "invalid_status"})
            intent["status"] = "REQUIRES_CUSTOMER_ACTION"
            intent["url"] = f"https://meridian.example/pay/{intent['id']}/{given['method']}"
        elif path[2] == "cancel":
            if intent["status"] not in {*WAITING, "REQUIRES_CAPTURE"}:
                raise No(400, {"code": "invalid_status"})
            intent["status"] = "CANCELLED"
        elif path[2] == "capture":
            if intent["status"] != "REQUIRES_CAPTURE" or amount.minor > intent["amount"].minor:
                raise No(400, {"code": "invalid_status"})
            intent["status"], intent["asked"] = "PENDING", amount
        return intent

    def _intent(self, order_id, amount, capture):
        provider_id = f"int_{secrets.token_hex(8)}"
        none = Money(minor=0, currency=amount.currency)
        self.held[provider_id] = {
            "id": provider_id, "merchant_order_id": order_id, "amount": amount, "currency": amount.currency,
            "status": "REQUIRES_PAYMENT_METHOD", "captured_amount": none, "refunded_amount": none, "url": "",
            "failure_code": "", "capture": capture,
        }  # fmt: skip
        return self.held[provider_id]

    def _refund(self, given, amount):
        intent = self.held[given["intent_id"]]
        left = intent["captured_amount"].minor - intent["refunded_amount"].minor
        if intent["status"] != "SUCCEEDED" or amount.minor > left:
            raise No(400, {"code": "validation_error"})
        refund = {
            "id": f"rfd_{secrets.token_hex(8)}", "request_id": given["request_id"], "intent_id": intent["id"],
            "amount": amount, "currency": amount.currency, "status": "SETTLED", "refund_id": given["refund_id"],
        }  # fmt: skip
        self.refunds[refund["id"]] = refund
        total = intent["refunded_amount"].minor + amount.minor
        intent["refunded_amount"] = Money(minor=total, currency=amount.currency)
        return refund

    def _open(self, provider_id):
        intent = self.known(provider_id)
        if intent["status"] not in WAITING or not intent["url"]:
            raise NotPossible(intent["status"])
        return intent

    def pay(self, provider_id):
        intent = self._open(provider_id)
        intent["status"] = "SUCCEEDED" if intent["capture"] else "REQUIRES_CAPTURE"
        intent["captured_amount"] = intent["amount"] if intent["capture"] else intent["captured_amount"]

    def decline_try(self, provider_id):
        self._open(provider_id).update(status="REQUIRES_PAYMENT_METHOD", failure_code="card_declined")

    def cancel(self, provider_id):
        self._open(provider_id)["status"] = "CANCELLED"

    def settle_capture(self, provider_id):
        intent = self.known(provider_id)
        if "asked" in intent:
            intent.update(status="SUCCEEDED", captured_amount=intent.pop("asked"))

    def set_status(self, provider_id, raw_status):
        super().set_status(provider_id, raw_status)
        if raw_status == "SUCCEEDED":
            self.held[provider_id]["captured_amount"] = self.held[provider_id]["amount"]

    def charges(self, order_id):
        found = [each for each in self.held.values() if each["merchant_order_id"] == order_id and each["url"]]
        return [
            SandboxCharge(each["id"], each["amount"], each["captured_amount"], each["refunded_amount"])
            for each in found
        ]

    def notification(self, provider_id):
        intent = self.known(provider_id)
        shown = _numbered(intent)
        body = b'{"id":"evt_%b","name":"payment_intent.%b","data":%b}' % (
            hashlib.sha256(shown).hexdigest()[:24].encode(), intent["status"].lower().encode(), shown,
        )  # fmt: skip
        signature = sign_meridian(None, body, at=self.now, key=self.config["webhook_key"])
        return WebhookDelivery(body, signature, self.now)

    def of_another_shop(self):
        """A notification about a payment link, which no shop has made."""
        intent = self._intent("", Money.of("5", "HKD"), capture=True)
        intent.update(status="SUCCEEDED", captured_amount=intent["amount"])
        return self.notification(intent["id"])


def _numbered(found):
    """JSON in which an amount is a number of its currency's digits."""
    return msgspec.json.encode(_plain(found))


def _plain(found):
    if isinstance(found, Money):
        return msgspec.Raw(found.text.encode())
    if isinstance(found, dict):
        return {name: _plain(each) for name, each in found.items()}
    return [_plain(each) for each in found] if isinstance(found, list) else found


def make_meridian(port: int = 0) -> MeridianSandbox:
    return MeridianSandbox()


def sign_meridian(config, body, *, at=None, key=""):
    moment = str(int((at or datetime.now(UTC)).timestamp() * 1000))
    secret = (key or config.webhook_key.reveal()).encode()
    digest = hmac.digest(secret, moment.encode() + body, "sha256").hex()
    return ("x-timestamp", moment), ("x-signature", digest)


make_meridian.sign = sign_meridian


class MeridianConfig(msgspec.Struct, frozen=True, kw_only=True):
    base_url: str
    client_id: str
    api_key: Secret
    webhook_key: Secret


class MeridianToken(msgspec.Struct):
    token: str
    expires_at: datetime


class MeridianIntent(msgspec.Struct):
    id: str
    merchant_order_id: str
    amount: Decimal
    currency: str
    status: str
    captured_amount: Decimal
    refunded_amount: Decimal
    url: str
    failure_code: str


class MeridianRefund(msgspec.Struct):
    id: str
    request_id: str
    refund_id: str
    intent_id: str
    amount: Decimal
    currency: str
    status: str


class MeridianIntents(msgspec.Struct):
    items: list[MeridianIntent]


class MeridianRefunds(msgspec.Struct):
    items: list[MeridianRefund]


class MeridianEvent(msgspec.Struct):
    id: str
    name: str
    data: MeridianIntent


class MeridianError(msgspec.Struct):
    code: str


class Duplicate(Exception):
    """A request id was used before."""


MERIDIAN_REFUSALS = {
    "validation_error": (RejectionCode.INVALID, True),
    "provider_declined": (RejectionCode.DECLINED, True),
}


class Meridian:
    """The plugin. A request id is made of the order's id alone; after "duplicate" a run goes on with what there is."""

    config_type = MeridianConfig
    info = ProviderInfo(
        id="meridian",
        title="Meridian",
        operations=frozenset({"capture_charge", "cancel_charge", "refund_charge", "get_refund"}),
        currencies=frozenset({"HKD", "JPY", "KWD"}),
        methods=(Method("card", "Card"), Method("wallet", "Wallet", capture=True)),
        channels=frozenset({Channel.WEB}),
        raw_statuses=MERIDIAN_STATUSES,
        charge_options=frozenset({"capture"}),
        authoritative_webhooks=True,
        notifications=Notifications.SIGNED,
        duplicates=Duplicates.REFUSED,
        refund_query_by=frozenset({"provider_id"}),
    )

    def __init__(self, config):
        self._config = config

    @hookimpl
    def authorize(self):
        headers = (("x-client-id", self._config.client_id), ("x-api-key", self._config.api_key))
        token = self._read((yield Request("POST", "/login", headers=headers, safe=True)), MeridianToken)
        return Authorization(Secret(token.token), expires_at=token.expires_at)

    @hookimpl
    def create_charge(self, authorization, request):
        body = {
            "request_id": self._key("create", request),
            "merchant_order_id": request.order_id,
            **self._amount(request.amount),
            "description": request.description,
            "return_url": request.return_url,
            "capture": request.capture,
        }
        try:
            intent = self._read((yield self._post("/intents/create", body, authorization)), MeridianIntent)
        except Duplicate:
            intent = yield from self._made_before(authorization, request, body)
        if not intent.url and intent.status in WAITING and self._money(intent, "amount") == request.amount:
            confirm = {"request_id": self._key("confirm", request), "method": request.method}
            intent = yield from self._act(authorization, intent.id, "confirm", confirm)
        return self._charge(intent)

    def _made_before(self, authorization, request, body):
        """The intent that the first request of this order has made."""
        query = (("merchant_order_id", request.order_id),)
        found = self._read((yield self._get("/intents", authorization, query)), MeridianIntents).items
        if not found:
            raise Rejected("Meridian has no intent of a request id that was used", code=RejectionCode.DUPLICATE)
        return found[0]

    def _act(self, authorization, provider_id, act, body):
        """One act on an intent; where it was done before, the intent as it stands."""
        path = f"/intents/{segment(provider_id)}"
        try:
            return self._read((yield self._post(f"{path}/{act}", body, authorization)), MeridianIntent)
        except Duplicate:
            return self._read((yield self._get(path, authorization)), MeridianIntent)

    @hookimpl
    def get_status(self, authorization, reference):
        if reference.provider_id:
            response = yield self._get(f"/intents/{segment(reference.provider_id)}", authorization)
            return self._charge(self._read(response, MeridianIntent))
        query = (("merchant_order_id", reference.order_id),)
        found = self._read((yield self._get("/intents", authorization, query)), MeridianIntents).items
        if not found:
            raise NotFound("Meridian has no intent of this order")
        return self._charge(found[0])

    @hookimpl
    def capture_charge(self, authorization, request):
        body = {"request_id": request.capture_id, **self._amount(request.amount)}
        provider_id = self._named(request.reference)
        return self._charge((yield from self._act(authorization, provider_id, "capture", body)))

    @hookimpl
    def cancel_charge(self, authorization, reference):
        body = {"request_id": "cancel"}
        return self._charge((yield from self._act(authorization, self._named(reference), "cancel", body)))

    @hookimpl
    def refund_charge(self, authorization, request):
        body = {
            "request_id": request.refund_id,
            "refund_id": request.refund_id,
            "intent_id": self._named(request.reference),
            **self._amount(request.amount),
        }
        try:
            refund = self._read((yield self._post("/refunds/create", body, authorization)), MeridianRefund)
        except Duplicate:
            query = (("intent_id", body["intent_id"]),)
            found = self._read((yield self._get("/refunds", authorization, query)), MeridianRefunds).items
            refund = next((each for each in found if each.request_id == request.refund_id), None)
            if refund is None:
                raise Rejected("this refund id was used for another charge", code=RejectionCode.DUPLICATE) from None
        return self._refund(refund)

    @hookimpl
    def get_refund(self, authorization, reference):
        response = yield self._get(f"/refunds/{segment(reference.provider_id)}", authorization)
        return self._refund(self._read(response, MeridianRefund))

    @hookimpl
    def parse_webhook(self, delivery):
        moment, given = delivery.header("x-timestamp") or "", delivery.header("x-signature") or ""
        expected = hmac.digest(self._config.webhook_key.reveal().encode(), moment.encode() + delivery.body, "sha256")
        if not same_hex_digest(given, [expected]):
            raise WebhookRejected("signature")
        event = delivery.decode(msgspec.json.Decoder(MeridianEvent).decode)
        return Notification((self._event(event),), Acknowledgement(200))

    def _event(self, event):
        if not event.data.merchant_order_id:  # a payment of the account that no shop has made
            return WebhookEvent("meridian", Subject.OTHER, event.name, None, event.id)
        charge = self._charge(event.data)
        return WebhookEvent("meridian", Subject.CHARGE, event.name, charge.reference, self._event_id(event), charge)

    def _event_id(self, event):
        return event.id

    def _key(self, step, request):
        return f"{step}:{request.order_id}"

    def _named(self, reference):
        if not reference.provider_id:
            raise InvalidRequest("an intent is named by Meridian's own id", field="reference")
        return reference.provider_id

    def _amount(self, amount):
        return {"amount": msgspec.Raw(amount.text.encode()), "currency": amount.currency}

    def _money(self, found, field):
        return Money.of(getattr(found, field), found.currency)

    def _post(self, path, body, authorization):
        headers = (("authorization", authorization.credentials), ("content-type", "application/json"))
        return Request("POST", path, headers=headers, body=msgspec.json.encode(body), idempotent=True)

    def _get(self, path, authorization, query=()):
        return Request("GET", path, query=query, headers=(("authorization", authorization.credentials),), safe=True)

    def _read(self, response, kind):
        if response.status in {200, 201}:
            return response.decode(msgspec.json.Decoder(kind).decode)
        code = response.decode(msgspec.json.Decoder(MeridianError).decode).code
        if code == "duplicate_request" and response.status == 400:
            raise Duplicate
        if code == "not_found" and response.status == 404:
            raise NotFound("Meridian has no such intent or refund", raw_code=code)
        meant, definitive = MERIDIAN_REFUSALS.get(code, (RejectionCode.UNKNOWN, False))
        raise Rejected(f"Meridian said {code}", code=meant, definitive=definitive and response.status == 400)

    def _charge(self, intent):
        action = Redirect(intent.url) if intent.url and intent.status in WAITING else None
        return Charge(
            provider="meridian",
            reference=Reference(intent.merchant_order_id, intent.id),
            status=self._status(intent, action),
            raw_status=intent.status,
            amount=self._money(intent, "amount"),
            next_action=action,
            captured=self._money(intent, "captured_amount"),
            refunded=self._money(intent, "refunded_amount"),
            reason=RejectionCode.DECLINED if intent.failure_code == "card_declined" else None,
            raw_reason=intent.failure_code,
        )

    def _status(self, intent, action):
        return unify(intent.status, MERIDIAN_STATUSES, action)

    def _refund(self, refund):
        return Refund(
            provider="meridian",
            refund_id=refund.refund_id,
            provider_id=refund.id,
            reference=Reference("", refund.intent_id),
            status={"SETTLED": RefundStatus.SUCCEEDED}.get(refund.status, RefundStatus.UNKNOWN),
            raw_status=refund.status,
            amount=self._money(refund, "amount"),
        )


_INTENT = (
    "id", "merchant_order_id", "amount", "currency", "status", "captured_amount", "refunded_amount", "url",
    "failure_code",
)  # fmt: skip
_CREATE = ("request_id", "merchant_order_id", "amount", "currency", "description", "return_url", "capture")


class TestMeridian(ProviderContract):
    """Add what only Meridian's documentation says."""

    provider = Meridian
    make_sandbox = staticmethod(make_meridian)
    cassette_policy = _policy(
        ("/login", (), ("expires_at",)),
        ("/intents/create", _CREATE, _INTENT),
        ("/intents/{id}", (), _INTENT),
        ("/intents/{id}/confirm", ("request_id", "method"), _INTENT),
    )
    webhook_tolerance = math.inf
    raw_statuses = {
        "REQUIRES_PAYMENT_METHOD": PaymentStatus.PENDING,
        "REQUIRES_CUSTOMER_ACTION": PaymentStatus.PENDING,
        "REQUIRES_CAPTURE": PaymentStatus.AUTHORIZED,
        "PENDING": PaymentStatus.PENDING,
        "SUCCEEDED": PaymentStatus.SUCCEEDED,
        "CANCELLED": PaymentStatus.CANCELLED,
    }
    refusals = (
        Refusal(
            name="declined",
            status=400,
            body=b'{"code": "provider_declined"}',
            code=RejectionCode.DECLINED,
            definitive=True,
        ),
        Refusal(name="of a later year", status=400, body=b'{"code": "unheard_of"}', code=RejectionCode.UNKNOWN),
    )
    not_applicable = {
        "test_the_entry_point_leads_to_the_provider": "it is installed nowhere",
        "test_every_event_of_a_batch_survives": "one delivery carries one event",
    }

    def foreign(self, sandbox):
        return sandbox.of_another_shop()


# Mistakes, each noticed by the test that is meant to notice it.

NOTICED = []


def noticed_by(test, says):
    def mark(broken):
        NOTICED.append(pytest.param(broken, test, says, id=broken.__name__))
        return broken

    return mark


TABS = "test_one_order_is_one_charge_whatever_page_the_shopper_comes_from"


@noticed_by(TABS, "one order is 2 charges, 88.00 EUR and 88.00 EUR")
class TulipKeyOfTheWholeRequest(Tulip):
    """A second tab has another page to come back to."""

    def _key(self, request):
        return msgspec.json.encode(request).decode()


@noticed_by(TABS, "one order is 2 charges, 88.00 EUR and 22.00 EUR")
class TulipKeyOfTheAmount(Tulip):
    """Another amount is another key, and another charge of the order."""

    def _key(self, request):
        return f"{request.order_id}:{request.amount}"


@noticed_by("test_a_create_whose_answer_is_lost_makes_one_charge", "charges were made of one")
class TulipWithoutKeys(Tulip):
    """Marked idempotent, and without a key."""

    def _post(self, path, body, key):
        sent = super()._post(path, body, key)
        return replace(sent, headers=sent.headers[:-1])


@noticed_by("test_an_unsigned_notification_carries_no_status", "an unsigned notification carries a status")
class TulipHintThatCarriesACharge(Tulip):
    """Tells a payment that anybody could have told."""

    def _event(self, provider_id):
        event = super()._event(provider_id)
        return replace(event, charge=Charge("tulip", event.reference, PaymentStatus.SUCCEEDED, "paid", None))


@noticed_by("test_the_notify_url_is_sent", "notify_url is not sent")
class TulipForgetsNotifyUrl(Tulip):
    """Nobody is ever told."""

    @hookimpl
    def create_charge(self, request):
        return (yield from super().create_charge(replace(request, notify_url="")))


@noticed_by("test_malformed_bytes_are_refused", "is accepted")
class TulipBelievesAnything(Tulip):
    """Takes whatever stands behind the sign for an id."""

    @hookimpl
    def parse_webhook(self, delivery):
        return Notification((self._event(delivery.body.decode("latin-1").rpartition("=")[2][:60].strip("\0") or "x"),))


class _Looking(Tulip):
    @hookimpl
    def parse_webhook(self, delivery):
        notification = super().parse_webhook(delivery)
        self._looked((yield self._get(f"/payments/{notification.events[0].reference.provider_id}")))
        return notification

    def _looked(self, response):
        """Nothing is made of it."""


@noticed_by("test_an_unknown_id_is_answered_exactly_like_a_known_one", "is answered differently from a known one")
class TulipTellsWhatThereIs(_Looking):
    """Refuses what there is not."""

    def _looked(self, response):
        if response.status == 404:
            raise WebhookRejected("malformed")


@noticed_by("test_a_flood_of_invented_ids_costs_a_query_each_and_changes_nothing", "an invented id costs 2 requests")
class TulipAsksTwice(_Looking):
    """Asks while it reads, and is asked again by the shop."""


@noticed_by("test_each_method_is_asked_for", "bank and card send the same request")
class TulipIgnoresTheMethod(Tulip):
    """Two buttons that are one."""

    @hookimpl
    def create_charge(self, request):
        return (yield from super().create_charge(replace(request, method="card")))


@noticed_by("test_every_currency_of_a_method_is_taken", "bank declares USD, but it cannot be charged")
class TulipMethodOfTooManyCurrencies(Tulip):
    """Shows a button that does not work."""

    info = replace(
        Tulip.info, methods=(Method("bank", "Bank", currencies=frozenset({"EUR", "USD"})), Method("card", "Card"))
    )


@noticed_by("test_two_refunds_of_one_amount_are_two_refunds", "two refunds of 22.00 EUR")
class TulipRefundsOnce(Tulip):
    """A key of the charge makes every refund the first one."""

    def _post(self, path, body, key):
        return super()._post(path, body, path if path.endswith("/refunds") else key)


class _AfterDuplicate(Meridian):
    def _made_before(self, authorization, request, body):
        again = {**body, "request_id": f"{body['request_id']}:{secrets.token_hex(4)}"}
        return self._read((yield self._post("/intents/create", again, authorization)), MeridianIntent)


@noticed_by(TABS, "one order is 2 charges")
class MeridianFreshIdAfterDuplicate(_AfterDuplicate):
    """Takes "duplicate" for an obstacle."""


@noticed_by(TABS, "one order is 2 charges")
class MeridianKeyOfTheWholeRequest(Meridian):
    """A second tab has another page to come back to."""

    def _key(self, step, request):
        return f"{step}:{hashlib.sha256(msgspec.json.encode(request)).hexdigest()}"


@noticed_by("test_the_identical_call_is_one_charge_whatever_the_provider_s_clock_says", "2 charges: repeated")
class MeridianKeyOfTheRun(Meridian):
    """A shop that was started anew makes the order again."""

    @hookimpl
    def create_charge(self, context, authorization, request):
        self._nonce = context.nonce
        return (yield from super().create_charge(authorization, request))

    def _key(self, step, request):
        return f"{step}:{request.order_id}:{self._nonce}"


@noticed_by("test_no_digit_of_an_amount_is_lost", "is sent as a JSON number: a float")
class MeridianFloatAmount(Meridian):
    """Right for every small amount, by chance."""

    info = replace(Meridian.info, currencies=frozenset({"HKD"}))

    def _amount(self, amount):
        return {"amount": float(amount.text), "currency": amount.currency}


@noticed_by("test_an_amount_with_too_many_decimals_is_not_truncated", "with a digit too many is read as")
class MeridianReadsFloats(Meridian):
    """Loses the digits that a float has not."""

    def _money(self, found, field):
        return Money.of(str(Decimal(repr(float(getattr(found, field))))), found.currency)


@noticed_by("test_two_states_of_a_charge_are_two_events", "share the event_id")
class MeridianEventIdOfTheIntent(Meridian):
    """A shop that has seen "created" throws "paid" away."""

    def _event_id(self, event):
        return event.data.id


@noticed_by("test_a_safe_request_changes_nothing", "create_charge, request 2 is marked safe, but it changes something")
class MeridianConfirmMarkedSafe(Meridian):
    """The request that makes an intent payable is sent as often as it fails."""

    def _post(self, path, body, authorization):
        sent = super()._post(path, body, authorization)
        return replace(sent, safe=path.endswith("/confirm"), idempotent=not path.endswith("/confirm"))


@noticed_by("test_a_create_whose_answer_is_lost_makes_one_charge", "every request of create_charge is marked safe")
class MeridianCreateMarkedSafe(Meridian):
    """Nothing of it is unknown, says the plugin."""

    def _post(self, path, body, authorization):
        return replace(super()._post(path, body, authorization), safe=True, idempotent=False)


@noticed_by("test_a_create_whose_answer_is_lost_makes_one_charge", "an idempotent create was not repeated")
class MeridianGivesUpAfterDuplicate(Meridian):
    """Marked idempotent, and the run that is made again ends in a refusal."""

    def _made_before(self, authorization, request, body):
        raise Rejected("Meridian said duplicate_request", code=RejectionCode.DUPLICATE)
        yield


@noticed_by("test_an_idempotent_create_declares_how_long_its_key_lives", "info.duplicates UNDOCUMENTED")
class MeridianDeclaresNothing(Meridian):
    """The tests that one order is one charge would not run."""

    info = replace(Meridian.info, duplicates=None)


@noticed_by(
    "test_a_payment_that_is_not_this_shop_s_is_acknowledged", "a payment of another shop of the account is refused"
)
class MeridianRefusesOthers(Meridian):
    """Payments of the account's other shops are delivered for days."""

    def _event(self, event):
        if not event.data.merchant_order_id:
            raise WebhookRejected("malformed")
        return super()._event(event)


@noticed_by("test_a_payment_that_is_not_this_shop_s_is_acknowledged", "is reported as a CHARGE")
class MeridianTellsOthers(Meridian):
    """Payments of the account's other shops are reported as orders of this one."""

    def _event(self, event):
        reference = Reference("", event.data.id)
        return WebhookEvent("meridian", Subject.CHARGE, event.name, reference, event.id)


@noticed_by("test_a_declined_try_leaves_the_charge_open", "a declined try is read as FAILED")
class MeridianDeclineIsTheEnd(Meridian):
    """Gives up an order that the shopper pays a minute later."""

    def _status(self, intent, action):
        return (
            PaymentStatus.FAILED
            if intent.failure_code and intent.status in WAITING
            else super()._status(intent, action)
        )


@noticed_by("test_every_documented_status_is_read_as_documented", "PENDING is read as SUCCEEDED")
class MeridianPendingCaptureIsPaid(Meridian):
    """Calls a capture done that the bank may still refuse."""

    def _status(self, intent, action):
        return PaymentStatus.SUCCEEDED if intent.status == "PENDING" else super()._status(intent, action)


@noticed_by("test_a_signed_time_without_a_tolerance_is_believed_and_cannot_be_changed", "signed a day ago is refused")
class MeridianInventsATolerance(Meridian):
    """Refuses what was delivered once more on the next day."""

    @hookimpl
    def parse_webhook(self, context, delivery):
        notification = super().parse_webhook(delivery)
        if abs(context.now.timestamp() * 1000 - int(delivery.header("x-timestamp"))) > 300_000:
            raise WebhookRejected("stale")
        return notification


CONTRACTS = {Tulip: TestTulip, Meridian: TestMeridian}


@pytest.mark.parametrize(("broken", "test", "says"), NOTICED)
def test_a_mistake_is_noticed_by_name(broken, test, says, monkeypatch):
    honest = next(contract for provider, contract in CONTRACTS.items() if issubclass(broken, provider))
    contract = type("TestBroken", (honest,), {"provider": broken})
    assert applies(contract, test) == ""
    with (
        contextlib.closing(contract.make_sandbox()) as sandbox,
        FaultGateway(sandbox.url) as between,
        pytest.raises(AssertionError, match=re.escape(says)),
    ):
        getattr(contract(), test)(Bench(contract, sandbox, between))


def test_each_gateway_has_eight_mistakes_at_least():
    for provider in CONTRACTS:
        assert sum(issubclass(each.values[0], provider) for each in NOTICED) >= 8
