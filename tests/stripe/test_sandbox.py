"""Test the sandbox's calls, events and page over HTTP, with plain requests and with Stripe's own client.

The contract of tests/stripe/test_contract.py tries everything that the plugin itself asks for.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import stripe

from payments_core import Money, Secret
from payments_core.testing.server import PortTaken, WebhookListener
from payments_stripe.config import StripeConfig
from payments_stripe.sandbox import API_VERSION, RETRY_DELAYS, NotPossible, Sandbox, UnknownCharge, make

INTENTS = "/v1/payment_intents"
SESSIONS = "/v1/checkout/sessions"
REFUNDS = "/v1/refunds"
RETURN = "https://shop.example/paid"
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
Form = dict[str, str]


@pytest.fixture
def listener() -> Iterator[WebhookListener]:
    with WebhookListener() as listening:
        yield listening


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with make() as running:
        yield running


@pytest.fixture
def official(sandbox: Sandbox) -> Iterator[stripe.StripeClient]:
    """Open Stripe's own client; it would leave its connections open, and a test run counts them."""
    http = stripe.RequestsClient(timeout=10)
    yield stripe.StripeClient(
        sandbox.config["api_key"], base_addresses={"api": sandbox.url}, http_client=http, max_network_retries=0
    )
    http.close()


def call(sandbox: Sandbox, method: str, path: str, form: Form | None = None, **headers: str | None) -> httpx.Response:
    """Send a request with the right headers, but for those given; None leaves one out."""
    sent = {
        "authorization": f"Bearer {sandbox.config['api_key']}",
        "stripe-version": API_VERSION,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    kept = {name: value for name, value in sent.items() if value is not None}
    return httpx.request(method, sandbox.url + path, data=form, headers=kept, trust_env=False)


def post(sandbox: Sandbox, path: str, form: Form | None = None, **headers: str | None) -> httpx.Response:
    return call(sandbox, "POST", path, form or {}, **headers)


def get(sandbox: Sandbox, path: str, **headers: str | None) -> httpx.Response:
    return call(sandbox, "GET", path, **headers)


def changed(good: Form, changes: dict[str, str | None]) -> Form:
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def wallet(method: str = "alipay", **changes: str | None) -> Form:
    """Return the form that creates a wallet's PaymentIntent."""
    good = {
        "amount": "8800",
        "currency": "hkd",
        "confirm": "true",
        "payment_method_data[type]": method,
        "allowed_payment_method_types[0]": method,
        "return_url": RETURN,
        "description": "A cup of tea",
        "metadata[payments_core_order_id]": "A1",
    } | ({"payment_method_options[wechat_pay][client]": "web"} if method == "wechat_pay" else {})
    return changed(good, changes)


def page(**changes: str | None) -> Form:
    """Return the form that opens a Checkout Session."""
    good = {
        "mode": "payment",
        "success_url": RETURN,
        "metadata[payments_core_order_id]": "A1",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "hkd",
        "line_items[0][price_data][unit_amount]": "8800",
        "line_items[0][price_data][product_data][name]": "A cup of tea",
    }
    return changed(good, changes)


HELD = {"payment_intent_data[capture_method]": "manual"}


def made(sandbox: Sandbox, form: Form | None = None) -> str:
    """Create a charge, a wallet's by default, and return its id."""
    form = form or wallet()
    answer = post(sandbox, SESSIONS if "mode" in form else INTENTS, form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def paid(sandbox: Sandbox, form: Form | None = None) -> str:
    """Create a charge and pay it; return the id of its PaymentIntent."""
    found = made(sandbox, form)
    sandbox.pay(found)
    return str((asked(sandbox, found).get("payment_intent") or {"id": found})["id"])


def asked(sandbox: Sandbox, found: str) -> Any:
    kinds = {"cs": (SESSIONS, "?expand[0]=payment_intent.latest_charge"), "re": (REFUNDS, "")}
    path, query = kinds.get(found[:2], (INTENTS, "?expand[0]=latest_charge"))
    return get(sandbox, f"{path}/{found}{query}").json()


def refund(sandbox: Sandbox, found: str, amount: str = "100") -> httpx.Response:
    return post(sandbox, REFUNDS, {"payment_intent": found, "amount": amount})


def refused(answer: httpx.Response, status: int = 400) -> Any:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"].startswith("sandbox: ")
    return error


# Opening.


def test_keys_are_random_unless_given(sandbox: Sandbox) -> None:
    assert list(sandbox.config) == ["base_url", "api_key", "webhook_key", "previous_webhook_key"]
    with make(api_key="sk_test_é", webhook_key="whsec_x") as other:
        assert (other.config["api_key"], other.config["webhook_key"]) == ("sk_test_é", "whsec_x")
    with make() as other:
        assert sandbox.config["api_key"] != other.config["api_key"]
        assert sandbox.config["webhook_key"] != other.config["webhook_key"]


def test_a_taken_port_or_an_impossible_option_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(PortTaken):
        make(int(sandbox.url.rpartition(":")[2]))
    with pytest.raises(ValueError, match="time_scale"):
        make(time_scale=-1)


def test_a_seed_repeats_every_id_key_and_time() -> None:
    answers = []
    for seed in ("one", "one", "two"):
        with make(seed=seed, public_url="https://pay.invalid/") as sandbox:
            intent, session = made(sandbox), made(sandbox, page())
            sandbox.pay(session)
            answers.append((asked(sandbox, intent), asked(sandbox, session), sandbox.config["api_key"]))
    assert answers[0] == answers[1]
    assert answers[0][0]["id"] != answers[2][0]["id"]


# Requests.


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "{key}", "Digest {key}", "Basic x"])
def test_a_call_without_the_key_is_401(sandbox: Sandbox, authorization: str | None) -> None:
    given = authorization and authorization.format(key=sandbox.config["api_key"])
    answer = get(sandbox, f"{INTENTS}/pi_1", authorization=given)
    assert refused(answer, 401)["type"] == "invalid_request_error"
    assert sandbox.config["api_key"] not in answer.text


def test_requests_are_kept_with_their_ids_and_without_the_key(sandbox: Sandbox) -> None:
    answers = [post(sandbox, INTENTS, wallet()), get(sandbox, f"{INTENTS}/pi_1")]
    assert [each.request_id for each in sandbox.received] == [each.headers["request-id"] for each in answers]
    assert {answer.headers["stripe-version"] for answer in answers} == {API_VERSION}
    assert sandbox.received[0].fields["payment_method_data[type]"] == "alipay"
    assert sandbox.config["api_key"] not in repr(sandbox.received)


@pytest.mark.parametrize("version", [None, "2026-08-26.dahlia"])
def test_another_version_is_refused(sandbox: Sandbox, version: str | None) -> None:
    refused(get(sandbox, f"{INTENTS}/pi_1", stripe_version=version))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/nothing", None),
        (f"{INTENTS}/pi_1/steal", None),
        (f"{INTENTS}/pi_1", "resource_missing"),
        (f"{SESSIONS}/cs_1", "resource_missing"),
        (f"{REFUNDS}/re_1", "resource_missing"),
    ],
)
def test_unknown_address_or_object_is_404(sandbox: Sandbox, path: str, code: str | None) -> None:
    assert refused(get(sandbox, path), 404).get("code") == code


def test_a_body_of_another_type_is_refused(sandbox: Sandbox) -> None:
    refused(post(sandbox, INTENTS, wallet(), content_type="application/json"))


LINE = "line_items[0][price_data]"


@pytest.mark.parametrize(
    ("path", "changes", "code", "param"),
    [
        (INTENTS, {"amount": None}, "parameter_missing", "amount"),
        (INTENTS, {"return_url": None}, "parameter_missing", "return_url"),
        (INTENTS, {"amount": "88.00"}, "parameter_invalid_integer", "amount"),
        (INTENTS, {"amount": "0"}, "parameter_invalid_integer", "amount"),
        (INTENTS, {"amount": "100000000"}, "parameter_invalid_integer", "amount"),
        (INTENTS, {"amuont": "1"}, "parameter_unknown", "amuont"),
        (INTENTS, {"metadatum[x]": "A1"}, "parameter_unknown", "metadatum[x]"),
        (INTENTS, {"payment_method_types[0]": "card"}, "parameter_unknown", "payment_method_types[]"),
        (INTENTS, {"return_url": "javascript:alert(1)"}, "url_invalid", "return_url"),
        (INTENTS, {"currency": "xyz"}, None, "currency"),
        (INTENTS, {"currency": "irr"}, None, "currency"),
        (INTENTS, {"currency": "kwd", "amount": "88121"}, "invalid_charge_amount_no_decimal_compatible", "amount"),
        (INTENTS, {"metadata[x]": "x" * 501}, None, "metadata[x]"),
        (INTENTS, {"currency": "aed"}, "payment_intent_incompatible_payment_method", "payment_method"),
        (
            INTENTS,
            {"allowed_payment_method_types[0]": "card"},
            "payment_intent_incompatible_payment_method",
            "payment_method",
        ),
        (
            INTENTS,
            {"payment_method_data[type]": "wechat_pay", "allowed_payment_method_types[0]": "wechat_pay"},
            "parameter_missing",
            "payment_method_options[wechat_pay][client]",
        ),
        (SESSIONS, {"success_url": None}, "parameter_missing", "success_url"),
        (SESSIONS, {f"{LINE}[unit_amount]": None}, "parameter_missing", "line_items[][price_data][unit_amount]"),
        (SESSIONS, {f"{LINE}[currency]": "isk", f"{LINE}[unit_amount]": "8850"}, None, "line_items"),
        (SESSIONS, {"mode": "subscription"}, None, "mode"),
        (SESSIONS, {"client_reference_id": "x" * 201}, None, "client_reference_id"),
        (SESSIONS, {"customer_email": "nobody"}, None, "customer_email"),
    ],
)
def test_a_broken_rule_is_refused_by_its_name(
    sandbox: Sandbox, path: str, changes: dict[str, str | None], code: str | None, param: str
) -> None:
    error = refused(post(sandbox, path, wallet(**changes) if path == INTENTS else page(**changes)))
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert code is None or error["code"] == code
    assert sandbox.charges("A1") == []


# The life of a charge.


def test_each_wallet_has_its_next_action(sandbox: Sandbox) -> None:
    alipay, wechat = (asked(sandbox, made(sandbox, wallet(each))) for each in ("alipay", "wechat_pay"))
    assert alipay["next_action"]["alipay_handle_redirect"]["url"] == sandbox.wallet_url(alipay["id"])
    assert wechat["next_action"]["wechat_pay_display_qr_code"]["data"] == sandbox.wallet_url(wechat["id"])
    assert (alipay["status"], alipay["amount_received"], alipay["latest_charge"]) == ("requires_action", 0, None)


def test_a_charge_that_is_over_cannot_be_moved(sandbox: Sandbox) -> None:
    found = paid(sandbox)
    for move in (sandbox.pay, sandbox.cancel, sandbox.decline, sandbox.time_out):
        with pytest.raises(NotPossible, match="succeeded"):
            move(found)
    with pytest.raises(UnknownCharge):
        sandbox.pay("pi_1")
    assert refused(post(sandbox, f"{INTENTS}/{found}/cancel"))["code"] == "payment_intent_unexpected_state"
    assert refused(post(sandbox, f"{INTENTS}/{found}/capture", {"amount_to_capture": "1"}))["code"]


def test_a_declined_session_stays_open_and_can_be_paid(sandbox: Sandbox) -> None:
    session = made(sandbox, page())
    sandbox.decline(session, "insufficient_funds")
    intent = asked(sandbox, session)["payment_intent"]
    assert intent["last_payment_error"]["decline_code"] == "insufficient_funds"
    refused(post(sandbox, f"{INTENTS}/{intent['id']}/cancel"))
    sandbox.pay(session)
    assert asked(sandbox, session)["payment_status"] == "paid"
    assert [charge.provider_id for charge in sandbox.charges("A1")] == [session], "one charge, not two"


def test_decline_next_answers_402_with_the_payment_intent(sandbox: Sandbox) -> None:
    sandbox.decline_next("fraudulent")
    error = refused(post(sandbox, INTENTS, wallet()), 402)
    assert (error["type"], error["decline_code"]) == ("card_error", "fraudulent")
    assert error["payment_intent"]["status"] == "requires_payment_method"


def test_time_ends_a_session_after_a_day_and_a_hold_after_seven(sandbox: Sandbox) -> None:
    held, session = paid(sandbox, page(**HELD)), made(sandbox, page())
    sandbox.advance(24 * 3600 - 10)
    assert asked(sandbox, session)["status"] == "open"
    sandbox.advance(10)
    assert (asked(sandbox, session)["status"], asked(sandbox, held)["status"]) == ("expired", "requires_capture")
    refused(post(sandbox, f"{SESSIONS}/{session}/expire"))
    sandbox.advance(7 * 24 * 3600)
    assert asked(sandbox, held)["status"] == "canceled"
    with pytest.raises(ValueError, match="forward"):
        sandbox.advance(-1)


def test_a_partial_capture_counts_what_was_released_as_refunded(sandbox: Sandbox) -> None:
    """A trap of Stripe's: `amount` stays, `amount_received` is the money, and the rest looks like a refund."""
    found = paid(sandbox, page(**HELD))
    path = f"{INTENTS}/{found}/capture"
    assert refused(post(sandbox, path, {"amount_to_capture": "8801"}))["code"] == "amount_too_large"
    assert post(sandbox, path, {"amount_to_capture": "6000"}).status_code == 200
    intent = asked(sandbox, found)
    assert (intent["status"], intent["amount"], intent["amount_received"]) == ("succeeded", 8800, 6000)
    assert (intent["latest_charge"]["amount_captured"], intent["latest_charge"]["amount_refunded"]) == (6000, 2800)
    (charge,) = sandbox.charges("A1")
    assert (charge.captured, charge.refunded) == (Money.of("60.00", "HKD"), None)
    assert refund(sandbox, found, "6001").status_code == 400
    assert refund(sandbox, found, "6000").status_code == 200


# Refunds.


def test_a_card_is_refunded_at_once_and_a_wallet_later(sandbox: Sandbox) -> None:
    by_card, by_wallet = paid(sandbox, page()), paid(sandbox)
    assert refund(sandbox, by_card).json()["status"] == "succeeded"
    first, second = (refund(sandbox, by_wallet).json() for _ in range(2))
    assert first["status"] == "pending"
    sandbox.settle_refund(first["id"])
    sandbox.fail_refund(second["id"])
    assert [asked(sandbox, each["id"])["status"] for each in (first, second)] == ["succeeded", "failed"]
    assert asked(sandbox, by_wallet)["latest_charge"]["amount_refunded"] == 100, "what failed is the merchant's again"
    with pytest.raises(NotPossible):
        sandbox.settle_refund(first["id"])
    with pytest.raises(UnknownCharge):
        sandbox.fail_refund("re_1")


def test_no_more_is_refunded_than_was_received(sandbox: Sandbox) -> None:
    for unpaid in (made(sandbox), paid(sandbox, page(**HELD))):
        assert "code" not in refused(refund(sandbox, unpaid))
    found = paid(sandbox)
    assert refused(refund(sandbox, found, "8801"))["param"] == "amount"
    assert refund(sandbox, found, "8800").status_code == 200
    assert refused(refund(sandbox, found))["code"] == "charge_already_refunded"


def test_refunds_are_listed_page_by_page_newest_first(sandbox: Sandbox) -> None:
    found, other = paid(sandbox), paid(sandbox)
    ids = [refund(sandbox, each).json()["id"] for each in (found, other) * 3]
    wanted, path = ids[0::2][::-1], f"{REFUNDS}?payment_intent={found}"
    first = get(sandbox, f"{path}&limit=2").json()
    assert ([each["id"] for each in first["data"]], first["has_more"]) == (wanted[:2], True)
    rest = get(sandbox, f"{path}&limit=2&starting_after={wanted[1]}").json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (wanted[2:], False)
    for wrong in ("limit=101", "starting_after=re_1"):
        refused(get(sandbox, f"{path}&{wrong}"))


# Idempotency.


def test_a_key_gives_the_first_answer_for_a_day(sandbox: Sandbox) -> None:
    first, again = (post(sandbox, INTENTS, wallet(), idempotency_key="k") for _ in range(2))
    assert again.content == first.content
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert first.headers["request-id"] != again.headers["request-id"]
    sandbox.pay(first.json()["id"])
    sandbox.advance(24 * 3600 - 10)
    late = post(sandbox, INTENTS, wallet(), idempotency_key="k")
    assert late.json()["status"] == "requires_action", "the answer of then, and not how it stands"
    sandbox.advance(10)
    assert post(sandbox, INTENTS, wallet(), idempotency_key="k").json()["id"] != first.json()["id"]


def test_a_key_with_another_request_is_refused(sandbox: Sandbox) -> None:
    post(sandbox, INTENTS, wallet(), idempotency_key="k")
    for path, form in ((INTENTS, wallet(amount="8900")), (SESSIONS, wallet())):
        assert refused(post(sandbox, path, form, idempotency_key="k"))["type"] == "idempotency_error"
    refused(post(sandbox, INTENTS, wallet(), idempotency_key="k" * 256))
    assert len(sandbox.charges("A1")) == 1


def test_a_decline_is_repeated_for_its_key_and_a_wrong_parameter_is_not(sandbox: Sandbox) -> None:
    sandbox.decline_next("fraudulent")
    first, again = (post(sandbox, INTENTS, wallet(), idempotency_key="k") for _ in range(2))
    assert (first.status_code, first.content) == (402, again.content)
    refused(post(sandbox, INTENTS, wallet(amount=None), idempotency_key="other"))
    assert post(sandbox, INTENTS, wallet(), idempotency_key="other").status_code == 200


# Forcing.

WORDS = "requires_payment_method requires_confirmation requires_action processing requires_capture succeeded canceled"


@pytest.mark.parametrize("word", [*WORDS.split(), "partially_funded"])
def test_any_status_can_be_forced_on_a_payment_intent_and_on_that_of_a_session(sandbox: Sandbox, word: str) -> None:
    intent, session = made(sandbox), made(sandbox, page())
    sandbox.set_status(intent, word)
    sandbox.set_status(session, word)
    found, after = asked(sandbox, intent), asked(sandbox, session)
    assert (found["status"], found["amount_received"]) == (word, 8800 if word == "succeeded" else 0)
    if word in WORDS:
        assert (after["status"], after["payment_intent"]["status"]) == ("complete", word)
    else:
        assert (after["status"], after["payment_intent"]) == (word, None)


@pytest.mark.parametrize("word", ["open", "expired", "complete:paid", "complete:unpaid"])
def test_the_words_of_sessions_can_be_forced_on_them_alone(sandbox: Sandbox, word: str) -> None:
    session = made(sandbox, page())
    sandbox.set_status(session, word)
    after = asked(sandbox, session)
    assert (after["status"], after["payment_status"]) == (word.partition(":")[0], word.partition(":")[2] or "unpaid")
    assert after["payment_intent"] is None
    for wrong in (word, ""):
        with pytest.raises(NotPossible):
            sandbox.set_status(made(sandbox), wrong)


def test_another_amount_can_be_forced(sandbox: Sandbox) -> None:
    for found in (paid(sandbox), made(sandbox, page())):
        sandbox.set_amount(found, "50", "USD")
    assert {charge.amount for charge in sandbox.charges("A1")} == {Money.of("50", "USD")}
    for amount, currency in (("1.234", "USD"), ("x", "USD"), ("1", "XYZ"), ("1", "IRR")):
        with pytest.raises(NotPossible):
            sandbox.set_amount(found, amount, currency)


# Stripe's own client.


def test_stripe_s_client_plays_a_wallet_s_whole_life(sandbox: Sandbox, official: stripe.StripeClient) -> None:
    intents, refunds = official.v1.payment_intents, official.v1.refunds
    form: Any = {
        "amount": 8800,
        "currency": "hkd",
        "confirm": True,
        "payment_method_data": {"type": "wechat_pay"},
        "allowed_payment_method_types": ["wechat_pay"],
        "payment_method_options": {"wechat_pay": {"client": "web"}},
        "return_url": RETURN,
        "metadata": {"payments_core_order_id": "A1"},
    }
    intent: Any = intents.create(form, {"idempotency_key": "k"})
    assert intent.next_action.wechat_pay_display_qr_code.data == sandbox.wallet_url(intent.id)
    sandbox.pay(intent.id)
    intent = intents.retrieve(intent.id, {"expand": ["latest_charge"]})
    assert (intent.status, intent.latest_charge.amount_captured) == ("succeeded", 8800)
    refund = refunds.create({"payment_intent": intent.id, "amount": 800, "metadata": {"payments_core_refund_id": "R1"}})
    assert refund.metadata is not None
    assert (refund.status, refund.metadata["payments_core_refund_id"]) == ("pending", "R1")
    assert [each.id for each in refunds.list({"payment_intent": intent.id}).auto_paging_iter()] == [refund.id]
    with pytest.raises(stripe.InvalidRequestError) as missing:
        intents.retrieve("pi_1")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.IdempotencyError):
        intents.create(form | {"amount": 8900}, {"idempotency_key": "k"})
    sandbox.decline_next("generic_decline")
    with pytest.raises(stripe.CardError) as declined:
        intents.create(form)
    assert declined.value.error is not None
    assert declined.value.error.decline_code == "generic_decline"


def test_stripe_s_client_plays_a_session_s_whole_life(sandbox: Sandbox, official: stripe.StripeClient) -> None:
    sessions = official.v1.checkout.sessions
    form: Any = {
        "mode": "payment",
        "success_url": RETURN,
        "adaptive_pricing": {"enabled": False},
        "allowed_payment_method_types": ["card"],
        "payment_intent_data": {"capture_method": "manual", "metadata": {"payments_core_order_id": "A1"}},
        "line_items": [
            {"quantity": 2, "price_data": {"currency": "jpy", "unit_amount": 44, "product_data": {"name": "Tea"}}}
        ],
    }
    session: Any = sessions.create(form)
    assert session.amount_total == 88
    sandbox.pay(session.id)
    session = sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge"]})
    intent = official.v1.payment_intents.capture(session.payment_intent.id, {"amount_to_capture": 60})
    assert (intent.status, intent.amount_received) == ("succeeded", 60)
    assert sessions.expire(sessions.create(form).id).status == "expired"


# Events.


def kinds(listener: WebhookListener, count: int) -> list[str]:
    """Return the kinds that arrived, sorted: deliveries run in parallel, in no certain order."""
    return sorted(json.loads(delivery.body)["type"] for delivery in listener.wait(count))


def test_each_move_has_its_events_and_stripe_s_client_accepts_them(sandbox: Sandbox, listener: WebhookListener) -> None:
    sandbox.register_endpoint(listener.url)
    found = made(sandbox)
    told = ["payment_intent.requires_action"]
    for act, happened in (
        (lambda: sandbox.pay(found), ["payment_intent.succeeded"]),
        (lambda: refund(sandbox, found), ["charge.refunded", "refund.created"]),
        (lambda: sandbox.fail_refund(next(iter(sandbox._gateway.refunds))), ["refund.failed"]),
        (lambda: sandbox.cancel(made(sandbox)), ["payment_intent.canceled", "payment_intent.requires_action"]),
        (lambda: paid(sandbox, page()), ["checkout.session.completed", "payment_intent.succeeded"]),
        (lambda: sandbox.cancel(made(sandbox, page())), ["checkout.session.expired"]),
    ):
        act()
        told += happened
        assert kinds(listener, len(told)) == sorted(told)
    sandbox.set_status(found, "canceled")
    for delivery in listener.wait(len(told)):
        signature = dict(delivery.headers)["stripe-signature"]
        assert re.fullmatch(r"t=\d{10},v1=[0-9a-f]{64},v0=[0-9a-f]{64}", signature)
        event = stripe.Webhook.construct_event(delivery.body, signature, sandbox.config["webhook_key"])
        assert (event.object, event.api_version, event.livemode) == ("event", API_VERSION, False)
    assert len(listener.deliveries) == len(told), "a forced status sends nothing"


def test_a_notification_is_signed_now_and_sent_to_nobody(sandbox: Sandbox, listener: WebhookListener) -> None:
    found = made(sandbox)
    sandbox.register_endpoint(listener.url)
    before = sandbox.notification(found)
    sandbox.set_status(found, "succeeded")
    after = sandbox.notification(found)
    for delivery in (before, after, sandbox.notification(made(sandbox, page()))):
        signature = dict(delivery.headers)["Stripe-Signature"]
        stripe.Webhook.construct_event(delivery.body, signature, sandbox.config["webhook_key"])
    assert [json.loads(each.body)["data"]["object"]["status"] for each in (before, after)] == [
        "requires_action",
        "succeeded",
    ]
    assert listener.deliveries == ()
    with pytest.raises(UnknownCharge):
        sandbox.notification("pi_1")


def test_a_body_can_be_signed_at_any_time() -> None:
    config = StripeConfig(api_key=Secret("sk_test_x"), webhook_key=Secret("whsec_x"))
    ((name, value),) = make.sign(config, b"{}", at=datetime.fromtimestamp(1_700_000_000, UTC))
    wanted = stripe.WebhookSignature.generate_signature_header("{}", "whsec_x", 1_700_000_000)
    assert (name, value.rpartition(",v0=")[0]) == ("Stripe-Signature", wanted)
    ((_, now),) = make.sign(config, b"{}")
    assert stripe.WebhookSignature.verify_header("{}", now, "whsec_x", 300)


def test_an_unacknowledged_event_is_delivered_three_times_more_and_signed_anew() -> None:
    assert 2 * 3600 <= sum(RETRY_DELAYS) <= 6 * 3600
    scale = 1 / 6_000  # the whole schedule takes 1.8 s
    with WebhookListener(respond=500) as listener, make(webhook_url=listener.url, time_scale=scale) as sandbox:
        found = made(sandbox)
        listener.wait(4, timeout=30)
        until = time.monotonic() + 10
        while len(sandbox.notifications) < 4 and time.monotonic() < until:
            time.sleep(0.005)
        told = sandbox.notifications
        assert [(each.subject, each.attempt, each.status) for each in told] == [(found, n, 500) for n in (1, 2, 3, 4)]
        waits = [later.monotonic - earlier.monotonic for earlier, later in itertools.pairwise(told)]
        assert all(wait >= delay * scale for wait, delay in zip(waits, RETRY_DELAYS, strict=True))
        stamps = {dict(delivery.headers)["stripe-signature"].split(",")[0] for delivery in listener.deliveries}
        assert len(stamps) > 1
        listener.respond = 418
        assert (sandbox.deliver(found), len({each.body for each in listener.deliveries})) == (418, 1)


def test_an_event_is_not_sent_to_other_machines(sandbox: Sandbox) -> None:
    found = made(sandbox)
    assert sandbox.deliver(found) is None, "to nobody"
    sandbox.register_endpoint("http://10.0.0.1/hook")
    assert sandbox.deliver(found) is None
    assert [each.problem for each in sandbox.notifications] == ["not sent: the address is not on loopback"]


def test_an_answer_after_the_timeout_is_no_acknowledgement() -> None:
    with WebhookListener(delay=5) as listener, make(ack_timeout=0.05) as sandbox:
        found = made(sandbox)
        sandbox.register_endpoint(listener.url)
        assert sandbox.deliver(found) is None
        assert sandbox.notifications[0].problem == "no answer within 0.05 s"


# The shopper's page. tests/browser/test_stripe_wallet.py plays it in a browser.


def decide(sandbox: Sandbox, found: str, decision: str, **headers: str) -> httpx.Response:
    return httpx.post(f"{sandbox.url}/wallet/{found}", data={"decision": decision}, headers=headers, trust_env=False)


def shown(sandbox: Sandbox, found: str) -> str:
    return httpx.get(sandbox.wallet_url(found), trust_env=False).text


@pytest.mark.parametrize(
    ("decision", "of_wallet", "of_session"),
    [
        ("approve", "succeeded", "complete"),
        ("decline", "requires_payment_method", "open"),
        ("cancel", "canceled", "expired"),
        ("time_out", "requires_payment_method", "expired"),
    ],
)
def test_a_button_decides_and_the_result_is_shown(
    sandbox: Sandbox, decision: str, of_wallet: str, of_session: str
) -> None:
    for form, title, wanted in ((wallet(), "Pay with Alipay<", of_wallet), (page(), "Pay with a card<", of_session)):
        found = made(sandbox, form)
        for word in ("88.00 HKD", "A cup of tea", "A1", title, "Approve", "Decline", "Cancel", "time out"):
            assert word in shown(sandbox, found)
        reply = decide(sandbox, found, decision, Origin=sandbox.url)
        assert (reply.status_code, reply.headers["location"]) == (303, f"/wallet/{found}"), "the shop is elsewhere"
        assert asked(sandbox, found)["status"] == wanted
        assert ("<button" in shown(sandbox, found)) == (wanted == "open")
        assert ("Back to the shop" in shown(sandbox, found)) == (wanted not in ("open", "expired"))
        if wanted in ("succeeded", "complete"):
            again = decide(sandbox, found, "cancel")
            assert (again.status_code, "closed before" in again.text) == (409, True)


@pytest.mark.parametrize(("decision", "status"), [("approve", "succeeded"), ("decline", "failed")])
def test_a_shop_on_this_machine_gets_its_shopper_back(sandbox: Sandbox, decision: str, status: str) -> None:
    found = made(sandbox, wallet(return_url="http://127.0.0.1:1/paid?order=A1#top"))
    location = decide(sandbox, found, decision).headers["location"]
    assert location.startswith(f"http://127.0.0.1:1/paid?order=A1&payment_intent={found}&payment_intent_client_secret=")
    assert location.endswith(f"redirect_status={status}#top")
    session = made(sandbox, page(success_url="http://localhost:1/paid?session={CHECKOUT_SESSION_ID}"))
    if decision == "approve":
        assert decide(sandbox, session, decision).headers["location"] == f"http://localhost:1/paid?session={session}"


def test_a_merchant_s_text_is_escaped_and_the_page_loads_nothing(sandbox: Sandbox) -> None:
    evil = {"description": EVIL, "metadata[payments_core_order_id]": EVIL}
    intent = made(sandbox, wallet(**evil, return_url=f"{RETURN}?{EVIL.replace(' ', '+')}"))
    session = made(sandbox, page(**{f"{LINE}[product_data][name]": EVIL}))
    pages = shown(sandbox, intent) + shown(sandbox, session)
    sandbox.set_status(intent, "<u>odd")
    pages += shown(sandbox, intent) + httpx.get(sandbox.url, trust_env=False).text
    for markup in ("<script", "<img", "<u>"):
        assert markup not in pages
    assert "&lt;script&gt;" in pages
    policy = httpx.get(sandbox.wallet_url(session), trust_env=False).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("form-action 'self' http://127.0.0.1:* http://localhost:*")


def test_unknown_payments_decisions_and_visits_change_nothing(sandbox: Sandbox) -> None:
    for unknown in ("pi_1", "cs_1", "x"):
        assert httpx.get(f"{sandbox.url}/wallet/{unknown}", trust_env=False).status_code == 404
        assert decide(sandbox, unknown, "approve").status_code == 404
    found = made(sandbox)
    assert decide(sandbox, found, "rob").status_code == 400
    httpx.get(f"{sandbox.wallet_url(found)}?decision=approve", trust_env=False)
    assert asked(sandbox, found)["status"] == "requires_action"


# The control routes, and who may reach them: tests/testing/test_sandbox_kit.py tries the guard in full.


def control(sandbox: Sandbox, path: str, fields: Any = None, **headers: str) -> httpx.Response:
    return httpx.post(f"{sandbox.url}/_sandbox{path}", json=fields or {}, headers=headers, trust_env=False)


def test_the_control_routes_do_what_the_methods_do(sandbox: Sandbox, listener: WebhookListener) -> None:
    found, session, third = made(sandbox), made(sandbox, page()), made(sandbox)
    assert control(sandbox, "/endpoints", {"url": listener.url}).status_code == 200
    orders = httpx.get(f"{sandbox.url}/_sandbox/orders", trust_env=False).json()
    assert {order["provider_id"] for order in orders} == {found, session, third}
    for path, fields, name, value in (
        (f"/orders/{found}/decline", {"decline_code": "lost_card"}, "status", "requires_payment_method"),
        (f"/orders/{found}/status", {"status": "requires_action"}, "status", "requires_action"),
        (f"/orders/{found}/pay", {}, "status", "succeeded"),
        (f"/orders/{session}/time-out", {}, "status", "expired"),
        (f"/orders/{third}/cancel", {}, "status", "canceled"),
        (f"/orders/{third}/amount", {"amount": "50", "currency": "USD"}, "currency", "USD"),
    ):
        assert control(sandbox, path, fields).json()[name] == value
    assert httpx.get(f"{sandbox.url}/_sandbox/orders/{found}", trust_env=False).json()["order_id"] == "A1"
    first, second = (refund(sandbox, found).json()["id"] for _ in range(2))
    for path, fields in ((f"/refunds/{first}/settle", {}), (f"/refunds/{second}/fail", {})):
        assert control(sandbox, path, fields).status_code == 200
    assert [each["status"] for each in control(sandbox, f"/orders/{found}/deliver").json()] == [200]
    assert control(sandbox, "/advance", {"seconds": 60}).json()["now"] > time.time() + 50
    assert httpx.get(f"{sandbox.url}/_sandbox/received", trust_env=False).json()[-1]["status"] == 200
    assert httpx.get(f"{sandbox.url}/_sandbox/notifications", trust_env=False).json()


@pytest.mark.parametrize(
    ("path", "fields", "wanted"),
    [
        ("/orders/pi_1/pay", {}, 404),
        ("/orders/pi_1/deliver", {}, 404),
        ("/refunds/re_1/settle", {}, 404),
        ("/orders/{found}/status", {}, 400),
        ("/orders/{found}/status", {"status": "complete:paid"}, 409),
        ("/orders/{found}/pay", {"notfy": True}, 400),
        ("/advance", {"seconds": -1}, 409),
    ],
)
def test_a_mistaken_control_call_says_what_is_wrong(sandbox: Sandbox, path: str, fields: Any, wanted: int) -> None:
    reply = control(sandbox, path.format(found=made(sandbox)), fields)
    assert reply.status_code == wanted
    assert reply.json()["error"]


def test_a_page_of_another_origin_or_host_changes_nothing(sandbox: Sandbox) -> None:
    found = made(sandbox)
    assert control(sandbox, f"/orders/{found}/pay", Origin="https://evil.example").status_code == 403
    assert decide(sandbox, found, "approve", Origin="https://evil.example").status_code == 403
    for path in (f"{INTENTS}/{found}", f"/wallet/{found}", "/", "/_sandbox/orders"):
        assert httpx.get(sandbox.url + path, headers={"Host": "evil.example"}, trust_env=False).status_code == 421
    assert asked(sandbox, found)["status"] == "requires_action"
