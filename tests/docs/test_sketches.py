"""Open the sketches in docs/sketches with the real core, over a transport that answers from a script."""

import hashlib
import hmac
import importlib.util
import json
import re
import sys
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import pytest

from payments_core import (
    AwaitShopper,
    CallSDK,
    ChargeRequest,
    Complete,
    ConfigurationError,
    Gateway,
    GatewayUnavailable,
    InvalidRequest,
    Mismatch,
    Money,
    NotFound,
    OutcomeUnknown,
    PaymentStatus,
    ProtocolViolation,
    Redirect,
    Reference,
    Rejected,
    RejectionCode,
    Response,
    Secret,
    ShowQRCode,
    Subject,
    SubmitForm,
    UnsupportedOperation,
    WebhookDelivery,
    WebhookRejected,
)

ROOT = Path(__file__).resolve().parents[2]
SKETCHES = ROOT / "docs" / "sketches"
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)  # when the fixed clock stands still
USING = (ROOT / "docs" / "using.md").read_text("utf-8")
ORDER = ChargeRequest("P1001", Money.of("88.00", "HKD"), "Tea", return_url="https://shop.example/back")


class Script:
    """A transport that hands out the answers it was given, in order, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []

    def send(self, request, *, deadline):
        self.sent.append(request)
        status, body, *headers = self.answers.pop(0)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Response(status, tuple(headers[0].items()) if headers else (), raw)

    def close(self):
        """Nothing was opened."""


@pytest.fixture
def sketch(monkeypatch, install):
    """Load a sketch and let discovery find it, as if a distribution had registered it."""

    def load(name, provider):
        spec = importlib.util.spec_from_file_location(f"sketch_{name}", SKETCHES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)  # msgspec looks annotations up by the module's name
        spec.loader.exec_module(module)
        install(name, getattr(module, provider))
        return module

    return load


def header(request, name):
    """Return a sent request's header, revealed."""
    found = [value for key, value in request.headers if key == name]
    assert len(found) == 1
    return found[0].reveal() if isinstance(found[0], Secret) else found[0]


# Stripe


# Antom


def made_up_signature(key, content):
    """Stands in for RSA, which needs a dependency: what is signed is what the sketch has to get right."""
    return hmac.digest(key, content, "sha256")


@pytest.fixture
def antom(sketch, clock):
    module = sketch("antom", "AntomProvider")

    def opened(*answers, **changes):
        config = module.Config(
            client_id="CLIENT",
            sign=lambda content: made_up_signature(b"merchant", content),
            verify=lambda content, signature: hmac.compare_digest(made_up_signature(b"antom", content), signature),
            **changes,
        )
        return Gateway.open("antom", config, transport=Script(*answers), clock=clock)

    return opened


def antom_headers(path, body, time="1685599933871"):
    signature = b64encode(made_up_signature(b"antom", f"POST {path}\nCLIENT.{time}.".encode() + body)).decode()
    return {
        "response-time": time,
        "request-time": time,
        "signature": f"algorithm=RSA256,keyVersion=1,signature={quote(signature, safe='')}",
    }


PAY = "/ams/api/v1/payments/pay"  # as it is sent: the sketch's base_url ends with /ams
INQUIRY = "/ams/api/v1/payments/inquiryPayment"


def antom_answer(path, **fields):
    body = json.dumps(fields).encode()
    return (200, body, antom_headers(path, body))


AMOUNT = {"currency": "HKD", "value": "8800"}
IN_PROCESS = {"resultCode": "PAYMENT_IN_PROCESS", "resultStatus": "U", "resultMessage": "payment in process"}
SUCCESS = {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "success"}


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({}, PAY),
        ({"base_url": "https://open-sea-global.alipay.com/ams/sandbox"}, "/ams/sandbox/api/v1/payments/pay"),
        ({"base_url": "https://proxy.example/"}, "/api/v1/payments/pay"),
    ],
    ids=["live", "sandbox", "no path"],
)
def test_antom_signs_the_path_that_is_sent_its_clock_and_the_body(antom, changes, target):
    """`context.now` and `Request.target` are all that signing needs, whatever path base_url has."""
    form = {"redirectUrl": "https://pay.example/1", "method": "POST", "parameters": {"token": "abc"}}
    gateway = antom(
        antom_answer(
            target,
            result=IN_PROCESS,
            paymentRequestId="P1001",
            paymentId="A1",
            paymentAmount=AMOUNT,
            redirectActionForm=form,
        ),
        **changes,
    )
    charge = gateway.create_charge(ORDER)
    (request,) = gateway._transport.sent
    time = str(int(NOW.timestamp() * 1000))
    assert header(request, "request-time") == time
    assert urlsplit(request.url).path == request.target == target
    expected = made_up_signature(b"merchant", f"POST {target}\nCLIENT.{time}.".encode() + request.body)
    assert header(request, "signature").endswith(f"signature={quote(b64encode(expected).decode(), safe='')}")
    assert charge.next_action == SubmitForm("https://pay.example/1", (("token", "abc"),))
    assert charge.status is PaymentStatus.REQUIRES_ACTION


def test_an_answer_that_antom_did_not_sign_is_an_unknown_outcome(antom):
    """The money may be on its way, whatever the answer says. Antom documents no time for its keys: ask."""
    gateway = antom((200, {"result": SUCCESS}))
    with pytest.raises(OutcomeUnknown) as caught:
        gateway.create_charge(ORDER)
    assert (gateway.info.key_lifetime, caught.value.repeatable) == (None, False)
    gateway = antom((200, {"result": SUCCESS}))
    with pytest.raises(ProtocolViolation):
        gateway.get_status(Reference("P1001"))


def test_antom_may_say_itself_that_it_does_not_know(antom):
    """resultStatus U with any code but PAYMENT_IN_PROCESS."""
    unknown = {"resultCode": "UNKNOWN_EXCEPTION", "resultStatus": "U", "resultMessage": "?"}
    with pytest.raises(OutcomeUnknown) as caught:
        antom(antom_answer(PAY, result=unknown)).create_charge(ORDER)
    assert caught.value.raw_code == "UNKNOWN_EXCEPTION"
    with pytest.raises(Rejected) as refused:
        antom(antom_answer(PAY, result=unknown | {"resultStatus": "F", "resultCode": "RISK_REJECT"})).create_charge(
            ORDER
        )
    assert (refused.value.definitive, refused.value.code) == (True, RejectionCode.RISK)
    again = unknown | {"resultStatus": "F", "resultCode": "REPEAT_REQ_INCONSISTENT"}
    with pytest.raises(Rejected) as refused:
        antom(antom_answer(PAY, result=again)).create_charge(ORDER)
    assert not refused.value.definitive, "the order id has been accepted once"


def test_a_payment_that_failed_at_antom_says_why(antom):
    """The query and the notification use one list of codes, in different fields."""
    ids = {"paymentRequestId": "P1001", "paymentId": "A1", "paymentAmount": AMOUNT}
    code = "USER_BALANCE_NOT_ENOUGH"
    asked = antom(
        antom_answer(INQUIRY, result=SUCCESS, paymentStatus="FAIL", paymentResultCode=code, **ids),
    ).get_status(Reference("P1001"))
    result = {"resultCode": code, "resultStatus": "F"}
    body = json.dumps({"notifyType": "PAYMENT_RESULT", "result": result, **ids}).encode()
    delivery = WebhookDelivery(body, antom_headers("/hooks", body), url="https://shop.example/hooks")
    (event,) = antom().parse_webhook(delivery).events
    for charge in (asked, event.charge):
        assert charge.status is PaymentStatus.FAILED
        assert (charge.reason, charge.raw_reason) == (RejectionCode.INSUFFICIENT_FUNDS, code)


def test_antom_is_asked_by_either_id(antom):
    """And documents what an unknown one answers."""
    paid = antom_answer(
        INQUIRY, result=SUCCESS, paymentStatus="SUCCESS", paymentRequestId="P1001", paymentId="A1", paymentAmount=AMOUNT
    )
    assert antom(paid).confirm("P1001", ORDER.amount).is_paid
    missing = antom_answer(INQUIRY, result={"resultCode": "ORDER_NOT_EXIST", "resultStatus": "F"})
    with pytest.raises(NotFound):
        antom(missing).get_status(Reference(provider_id="A2"))


def test_antom_webhooks_are_authoritative_and_need_the_url(antom):
    """The path is signed, so a delivery without its URL is a fault of the configuration."""
    gateway = antom()
    body = json.dumps(
        {
            "notifyType": "PAYMENT_RESULT",
            "result": SUCCESS,
            "paymentRequestId": "P1001",
            "paymentId": "A1",
            "paymentAmount": AMOUNT,
        }
    ).encode()
    headers = antom_headers("/hooks/antom", body)
    notification = gateway.parse_webhook(WebhookDelivery(body, headers, url="https://shop.example/hooks/antom"))
    (event,) = notification.events
    assert event.authoritative
    assert event.charge.require("P1001", ORDER.amount).is_paid
    assert json.loads(notification.acknowledgement.body)["result"]["resultStatus"] == "S"
    with pytest.raises(ConfigurationError):
        gateway.parse_webhook(WebhookDelivery(body, headers))
    for wrong in (
        WebhookDelivery(body, headers, url="https://shop.example/hooks/other"),
        WebhookDelivery(body + b" ", headers, url="https://shop.example/hooks/antom"),
        WebhookDelivery(body, headers | {"signature": "signature=%%%"}, url="https://shop.example/hooks/antom"),
    ):
        with pytest.raises(WebhookRejected) as caught:
            gateway.parse_webhook(wrong)
        assert caught.value.reason == "signature"


# Adyen


ADYEN = {"api_key": "AQE_made_up", "merchant_account": "ShopHK", "hmac_key": "44782DEF" * 8}
ADYEN_AMOUNT = {"amount": {"currency": "HKD", "value": 8800}}


@pytest.fixture
def adyen(sketch, clock):
    sketch("adyen", "AdyenProvider")

    def opened(*answers, **changes):
        return Gateway.open("adyen", ADYEN | changes, transport=Script(*answers), clock=clock)

    return opened


def item(*, key=ADYEN["hmac_key"], **changes):
    """One signed item of a batch."""
    made = {
        "pspReference": "A1",
        "merchantAccountCode": "ShopHK",
        "merchantReference": "P1001",
        "amount": {"currency": "HKD", "value": 8800},
        "eventCode": "AUTHORISATION",
        "success": "true",
    } | changes
    names = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")
    fields = [made.get(name, "") for name in names]
    fields += [str(made["amount"]["value"]), made["amount"]["currency"], made["eventCode"], made["success"]]
    signature = b64encode(hmac.digest(bytes.fromhex(key), ":".join(fields).encode(), "sha256")).decode()
    return {"NotificationRequestItem": {"additionalData": {"hmacSignature": signature}} | made}


def batch(*items):
    return WebhookDelivery(json.dumps({"live": "false", "notificationItems": items}).encode(), {})


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"type": "redirect", "method": "GET", "url": "https://pay.example/1"}, Redirect("https://pay.example/1")),
        (
            {"type": "redirect", "method": "POST", "url": "https://pay.example/1", "data": {"MD": "x"}},
            SubmitForm("https://pay.example/1", (("MD", "x"),)),
        ),
        ({"type": "qrCode", "qrCodeData": "weixin://1"}, ShowQRCode("weixin://1")),
        ({"type": "await"}, AwaitShopper()),
        ({"type": "threeDS2", "token": "x"}, CallSDK({"type": "threeDS2", "token": "x"})),
    ],
    ids=lambda value: value.get("type", "") if isinstance(value, dict) else type(value).__name__,
)
def test_each_action_of_adyen_has_a_next_action(adyen, action, expected):
    """Also where the answer names neither the merchant's reference nor its own."""
    gateway = adyen((200, {"resultCode": "RedirectShopper", "action": action}))
    charge = gateway.create_charge(ORDER)
    (request,) = gateway._transport.sent
    assert header(request, "x-api-key") == "AQE_made_up"
    assert len(header(request, "idempotency-key")) == 64
    assert charge.next_action == expected
    assert charge.status is PaymentStatus.REQUIRES_ACTION
    assert charge.amount is None
    assert charge.reference == Reference("P1001")


def test_adyen_is_given_the_order_id_only_where_it_names_nothing(adyen):
    """An answer with its own id is compared by that one."""
    charge = adyen((200, {"resultCode": "Pending", "pspReference": "A1"})).create_charge(ORDER)
    assert charge.reference == Reference(provider_id="A1")
    paid = adyen((200, {"resultCode": "Authorised", "pspReference": "A1"} | ADYEN_AMOUNT)).create_charge(ORDER)
    with pytest.raises(Mismatch):
        paid.require("P1001", ORDER.amount)
    assert paid.require("P1001", ORDER.amount, provider_id="A1").is_paid


@pytest.mark.parametrize(
    ("result", "code", "raw", "reason"),
    [
        ("Refused", "2", "Refused", RejectionCode.DECLINED),
        ("Refused", "12", "Not enough balance", RejectionCode.INSUFFICIENT_FUNDS),
        ("Refused", "20", "FRAUD", RejectionCode.RISK),
        ("Cancelled", "22", "FRAUD-CANCELLED", RejectionCode.RISK),
        ("Error", "4", "Acquirer Error", None),
        ("Authorised", "", "", None),
    ],
)
def test_a_payment_that_adyen_refused_says_why(adyen, result, code, raw, reason):
    """It is a charge, because it has an id."""
    answer = {"resultCode": result, "pspReference": "A1", "merchantReference": "P1001"} | ADYEN_AMOUNT
    gateway = adyen((200, answer | ({"refusalReason": raw, "refusalReasonCode": code} if code else {})))
    charge = gateway.create_charge(ORDER)
    assert (charge.reason, charge.raw_reason) == (reason, raw)
    assert charge.status is not PaymentStatus.PENDING


def test_adyen_counts_isk_in_hundredths_both_ways(adyen):
    """By Adyen's own table, and the signature covers Adyen's number."""
    amount = {"currency": "ISK", "value": 50000}
    gateway = adyen((200, {"resultCode": "Pending", "merchantReference": "P1001", "amount": amount}))
    price = Money(minor=500, currency="ISK")
    assert gateway.create_charge(ChargeRequest("P1001", price, "Tea")).amount == price
    assert json.loads(gateway._transport.sent[0].body)["amount"] == amount
    (event,) = gateway.parse_webhook(batch(item(amount=amount))).events
    assert gateway.confirm_event(event, "P1001", price).is_paid


def test_adyen_rejects_definitively_what_it_calls_a_validation_error(adyen):
    """Other refusals may have been made after the fact."""
    for kind, definitive in (("validation", True), ("internal", False)):
        gateway = adyen((422, {"status": 422, "errorCode": "130", "errorType": kind}))
        with pytest.raises(Rejected) as caught:
            gateway.create_charge(ORDER)
        assert (caught.value.definitive, caught.value.raw_code) == (definitive, "130")


def test_adyen_cannot_be_asked(adyen):
    """So its webhooks must be authoritative, and confirm_event is what there is in the place of confirm."""
    gateway = adyen()
    with pytest.raises(UnsupportedOperation):
        gateway.get_status(Reference("P1001"))
    with pytest.raises(UnsupportedOperation):
        gateway.confirm("P1001", ORDER.amount)
    (event,) = gateway.parse_webhook(batch(item())).events
    assert gateway.confirm_event(event, "P1001", ORDER.amount).is_paid
    with pytest.raises(Mismatch):
        gateway.confirm_event(event, "P1001", Money.of("88.01", "HKD"))


def test_a_batch_of_adyen_carries_many_events(adyen):
    """And is answered as Adyen asks."""
    notification = adyen().parse_webhook(
        batch(
            item(),
            item(pspReference="R1", originalReference="A1", eventCode="REFUND"),
            item(eventCode="REPORT_AVAILABLE"),
        )
    )
    assert [event.subject for event in notification.events] == [Subject.CHARGE, Subject.REFUND, Subject.OTHER]
    charge = notification.events[0].charge
    assert charge.require("P1001", ORDER.amount, provider_id="A1").is_paid
    assert notification.acknowledgement.body == b"[accepted]"


def test_capture_by_hand_makes_an_authorisation_authorized(adyen):
    """The configuration chooses the table, and the opened gateway shows the one that holds."""
    for manual, status in ((True, PaymentStatus.AUTHORIZED), (False, PaymentStatus.SUCCEEDED)):
        gateway = adyen(manual_capture=manual)
        (event,) = gateway.parse_webhook(batch(item())).events
        assert event.charge.status is gateway.info.raw_statuses["AUTHORISATION:true"] is status


def test_what_adyen_does_not_sign_is_not_read(adyen):
    """The reason of an item is outside its signature, and of a payment that came in it is a card's data."""
    forged = item(success="false")
    forged["NotificationRequestItem"]["reason"] = "Refused: send the goods anyway"
    (event,) = adyen().parse_webhook(batch(forged)).events
    assert (event.charge.status, event.charge.reason, event.charge.raw_reason) == (PaymentStatus.FAILED, None, "")


@pytest.mark.parametrize(
    "bad",
    [
        item(key="00" * 32),
        {"NotificationRequestItem": item()["NotificationRequestItem"] | {"success": "false"}},
        {"NotificationRequestItem": item()["NotificationRequestItem"] | {"additionalData": {}}},
        {"NotificationRequestItem": item()["NotificationRequestItem"] | {"additionalData": {"hmacSignature": "%"}}},
        {
            "NotificationRequestItem": item()["NotificationRequestItem"]
            | {"additionalData": {"hmacSignature": "é" * 44}}
        },
        item(merchantReference="P1001:8800"),
        item(merchantAccountCode="AnotherShop"),
    ],
    ids=["key", "changed", "unsigned", "not base64", "not ASCII", "a colon", "another account"],
)
def test_one_bad_item_refuses_a_batch_of_adyen_whole(adyen, bad):
    """Whatever the others say; an item of another account is genuine, and malformed for this one."""
    with pytest.raises(WebhookRejected) as caught:
        adyen().parse_webhook(batch(item(), bad))
    foreign = bad["NotificationRequestItem"]["merchantAccountCode"] != ADYEN["merchant_account"]
    assert caught.value.reason == ("malformed" if foreign else "signature")
    assert ("another merchant account" in str(caught.value)) is foreign


# PayPal


PAYPAL = {"client_id": "id", "client_secret": "made-up", "webhook_id": "WH1"}
TOKEN = (200, {"access_token": "A21", "expires_in": 32400})


@pytest.fixture
def paypal(sketch, clock):
    sketch("paypal", "PayPalProvider")

    def opened(*answers, **changes):
        return Gateway.open("paypal", PAYPAL | changes, transport=Script(TOKEN, *answers), clock=clock)

    return opened


def order(status, *captures, currency="HKD", value="88.00"):
    unit = {"custom_id": "P1001", "amount": {"currency_code": currency, "value": value}}
    if captures:
        amount = {"currency_code": currency, "value": value}
        unit["payments"] = {"captures": [{"id": "C1", "status": each, "amount": amount} for each in captures]}
    links = [{"rel": "payer-action", "href": "https://pay.example/1"}]
    return {"id": "O1", "status": status, "purchase_units": [unit], "links": links}


def test_paypal_creates_an_order_and_redirects(paypal):
    """One token call, one create, a request id made from the order."""
    gateway = paypal((201, order("PAYER_ACTION_REQUIRED")))
    charge = gateway.create_charge(ORDER)
    token, create = gateway._transport.sent
    assert header(token, "authorization") == f"Basic {b64encode(b'id:made-up').decode()}"
    assert header(create, "authorization") == "Bearer A21"
    assert header(create, "paypal-request-id") == "create:P1001"
    assert charge.next_action == Redirect("https://pay.example/1")
    assert charge.require("P1001", ORDER.amount).reference.provider_id == "O1"


def test_paypal_writes_the_currencies_without_fractions_as_it_wants_them(paypal):
    """TWD has two digits by ISO 4217, and none there."""
    gateway = paypal((201, order("CREATED", currency="TWD", value="50")))
    charge = gateway.create_charge(ChargeRequest("P1001", Money.of("50", "TWD"), "Tea"))
    assert b'"value":"50"' in gateway._transport.sent[1].body
    assert charge.amount == Money.of("50.00", "TWD")


def test_an_approved_order_is_completed_once_and_then_only_asked_about(paypal):
    """complete_charge asks first, so that a second one sends no second capture."""
    gateway = paypal(
        (200, order("APPROVED")), (201, order("COMPLETED", "COMPLETED")), (200, order("COMPLETED", "COMPLETED"))
    )
    reference = Reference(provider_id="O1")
    assert gateway.complete_charge(reference, {"token": "O1", "PayerID": "X"}).require("P1001", ORDER.amount).is_paid
    assert gateway.complete_charge(reference).require("P1001", ORDER.amount).is_paid
    assert [(request.method, request.path) for request in gateway._transport.sent[1:]] == [
        ("GET", "/v2/checkout/orders/O1"),
        ("POST", "/v2/checkout/orders/O1/capture"),
        ("GET", "/v2/checkout/orders/O1"),
    ]


def test_capture_made_elsewhere_is_queried(paypal):
    """Not rejected: the money came in."""
    already = {"name": "UNPROCESSABLE_ENTITY", "details": [{"issue": "ORDER_ALREADY_CAPTURED"}]}
    gateway = paypal((200, order("APPROVED")), (422, already), (200, order("COMPLETED", "COMPLETED")))
    assert gateway.complete_charge(Reference(provider_id="O1")).require("P1001", ORDER.amount).is_paid


def test_a_completed_order_with_a_pending_capture_is_not_paid(paypal):
    """The order's own status says COMPLETED."""
    gateway = paypal((200, order("COMPLETED", "PENDING")), (200, order("APPROVED")))
    assert gateway.get_status(Reference(provider_id="O1")).status is PaymentStatus.PENDING
    assert gateway.get_status(Reference(provider_id="O1")).next_action == Complete()


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        ("DECLINED", "5120", RejectionCode.INSUFFICIENT_FUNDS),
        ("DECLINED", "9500", RejectionCode.RISK),
        ("FAILED", "", RejectionCode.DECLINED),
        ("COMPLETED", "0000", None),
    ],
)
def test_a_capture_that_paypal_declined_says_why(paypal, status, code, reason):
    """The response code of one that came in is no reason."""
    answer = order("COMPLETED", status)
    if code:
        answer["purchase_units"][0]["payments"]["captures"][0]["processor_response"] = {"response_code": code}
    charge = paypal((200, answer)).get_status(Reference(provider_id="O1"))
    assert (charge.reason, charge.raw_reason) == (reason, code if reason else "")
    assert charge.require("P1001", ORDER.amount).is_paid is (reason is None)


def test_how_long_paypal_keeps_a_key_is_the_account_s(paypal):
    """Six hours, or what was agreed."""
    assert paypal().info.key_lifetime == 6 * 3600
    assert paypal(key_hours=72).info.key_lifetime == 72 * 3600


PAYPAL_HEADERS = {
    "PAYPAL-AUTH-ALGO": "SHA256withRSA",
    "PAYPAL-CERT-URL": "https://api.paypal.com/v1/notifications/certs/CERT-1",
    "PAYPAL-TRANSMISSION-ID": "T1",
    "PAYPAL-TRANSMISSION-SIG": "c2ln",
    "PAYPAL-TRANSMISSION-TIME": "2026-11-23T12:00:00Z",
}


def test_paypal_verifies_a_webhook_for_us(paypal):
    """parse_webhook is a flow: one token call, one question, and the event's bytes exactly as they came."""
    related = {"supplementary_data": {"related_ids": {"order_id": "O1"}}}
    body = json.dumps({"id": "WH-1", "event_type": "PAYMENT.CAPTURE.COMPLETED", "resource": related}, indent=1).encode()
    gateway = paypal((200, {"verification_status": "SUCCESS"}))
    (event,) = gateway.parse_webhook(WebhookDelivery(body, PAYPAL_HEADERS)).events
    assert body in gateway._transport.sent[1].body
    assert (event.subject, event.reference, event.authoritative) == (Subject.CHARGE, Reference(provider_id="O1"), False)
    for answer in ((200, {"verification_status": "FAILURE"}), (400, {"name": "VALIDATION_ERROR"})):
        with pytest.raises(WebhookRejected) as caught:
            paypal(answer).parse_webhook(WebhookDelivery(body, PAYPAL_HEADERS))
        assert caught.value.reason == "signature"


def test_paypal_webhook_without_headers_is_not_verified_remotely(paypal):
    """Though a token has been asked for by then: README, difficulty 10."""
    gateway = paypal()
    with pytest.raises(WebhookRejected):
        gateway.parse_webhook(WebhookDelivery(b"{}", {}))
    assert [request.path for request in gateway._transport.sent] == ["/v1/oauth2/token"]


def test_an_unreachable_verifier_is_no_verdict(paypal):
    """Answer 503, so that PayPal delivers again."""
    body = json.dumps({"id": "WH-1", "event_type": "X", "resource": {}}).encode()
    gateway = paypal(*[(503, b"")] * 3)
    with pytest.raises(GatewayUnavailable):
        gateway.parse_webhook(WebhookDelivery(body, PAYPAL_HEADERS))


@pytest.mark.parametrize("wrong", ["O1/capture", "..", "O1?expand=x", "O1%2Fcapture"])
def test_an_id_never_becomes_another_call(paypal, wrong):
    """`segment` refuses it, before anything is sent about it."""
    gateway = paypal()
    with pytest.raises(InvalidRequest) as caught:
        gateway.get_status(Reference(provider_id=wrong))
    assert caught.value.field == "reference"
    assert [request.path for request in gateway._transport.sent if "token" not in request.path] == []


# All of them, and the plugin that began as the fourth


@pytest.fixture
def stripe(clock):
    config = {"api_key": "sk_test_made_up", "webhook_key": "whsec_made_up"}
    return lambda *answers: Gateway.open("stripe", config, transport=Script(*answers), clock=clock)


def stripe_event(gateway_of):
    intent = {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 8800,
        "amount_received": 8800,
        "currency": "hkd",
        "status": "succeeded",
        "metadata": {"order_id": "P1001"},
        "created": 1790000000,
    }
    event = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "data": {"object": intent}}
    event |= {"api_version": "2026-10-28.endive", "livemode": False, "created": int(NOW.timestamp())}
    body, stamp = json.dumps(event).encode(), int(NOW.timestamp())
    digest = hmac.new(b"whsec_made_up", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return gateway_of((200, intent)), WebhookDelivery(body, {"Stripe-Signature": f"t={stamp},v1={digest}"})


def antom_event(gateway_of):
    ids = {"paymentRequestId": "P1001", "paymentId": "A1", "paymentAmount": AMOUNT}
    told = {"notifyType": "PAYMENT_RESULT", "result": SUCCESS, "paymentTime": NOW.isoformat()}
    body = json.dumps(told | ids).encode()
    return gateway_of(), WebhookDelivery(body, antom_headers("/hooks", body), url="https://shop.example/hooks")


def adyen_event(gateway_of):
    return gateway_of(), batch(item(), item(pspReference="R1", originalReference="A1", eventCode="REFUND"))


def paypal_event(gateway_of):
    related = {"supplementary_data": {"related_ids": {"order_id": "O1"}}}
    body = json.dumps({"id": "WH-1", "event_type": "PAYMENT.CAPTURE.COMPLETED", "resource": related}).encode()
    gateway = gateway_of((200, {"verification_status": "SUCCESS"}), (200, order("COMPLETED", "COMPLETED")))
    return gateway, WebhookDelivery(body, PAYPAL_HEADERS)


@pytest.mark.parametrize(
    ("name", "made", "provider_id"),
    [
        ("stripe", stripe_event, "pi_1"),
        ("antom", antom_event, "A1"),
        ("adyen", adyen_event, "A1"),
        ("paypal", paypal_event, "O1"),
    ],
)
def test_settle_of_the_page_is_the_same_for_every_provider(request, name, made, provider_id):
    """`settle`, as it stands: hints and whole statuses, events with our id and events with theirs alone."""
    gateway, delivery = made(request.getfixturevalue(name))
    (settle,) = re.findall(r"^```python\n((?:(?!```).)*def settle.*?)^```$", USING, re.MULTILINE | re.DOTALL)
    namespace = {"gateway": gateway, "request": ORDER, "charge": SimpleNamespace(reference=Reference("", provider_id))}
    exec(compile(settle, "docs/using.md", "exec"), namespace)
    settled = [namespace["settle"](event) for event in gateway.parse_webhook(delivery).events]
    assert settled == [True] + [False] * (len(settled) - 1), "what is not about a charge settles nothing"
    if gateway.info.authoritative_webhooks:
        (event, *_) = gateway.parse_webhook(delivery).events
        for amount, known in ((Money.of("88.01", "HKD"), provider_id), (ORDER.amount, "X1")):
            namespace["orders"]["P1001"] = (amount, known)
            with pytest.raises(Mismatch):
                namespace["settle"](event)
