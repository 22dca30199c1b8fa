"""Test the sandbox's API over HTTP, with plain requests and with Stripe's own client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe

from payments_core import Money
from payments_core.testing.server import PortTaken
from payments_stripe.sandbox import API_VERSION, NotPossible, Sandbox, UnknownCharge, make

INTENTS = "/v1/payment_intents"
SESSIONS = "/v1/checkout/sessions"
REFUNDS = "/v1/refunds"
RETURN = "https://shop.example/paid"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with make() as running:
        yield running


@pytest.fixture
def official(sandbox: Sandbox) -> Iterator[stripe.StripeClient]:
    """The real peer: Stripe's own client, which sends and reads everything by itself."""
    with Official(sandbox) as client:
        yield client


class Official:
    """`StripeClient` leaves its connections open, and a test run counts them."""

    def __init__(self, sandbox: Sandbox, api_key: str = "") -> None:
        self._http = stripe.RequestsClient(timeout=10)
        self._client = stripe.StripeClient(
            api_key or sandbox.config["api_key"],
            base_addresses={"api": sandbox.url},
            http_client=self._http,
            max_network_retries=0,
        )

    def __enter__(self) -> stripe.StripeClient:
        return self._client

    def __exit__(self, *_: object) -> None:
        self._http.close()


def call(
    sandbox: Sandbox, method: str, path: str, form: dict[str, str] | None = None, **headers: str | None
) -> httpx.Response:
    """A request with the right headers, but for those given; None leaves one out."""
    sent = {
        "authorization": f"Bearer {sandbox.config['api_key']}",
        "stripe-version": API_VERSION,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    kept = {name: value for name, value in sent.items() if value is not None}
    return httpx.request(method, sandbox.url + path, data=form, headers=kept, trust_env=False)


def post(sandbox: Sandbox, path: str, form: dict[str, str] | None = None, **headers: str | None) -> httpx.Response:
    return call(sandbox, "POST", path, form or {}, **headers)


def get(sandbox: Sandbox, path: str, **headers: str | None) -> httpx.Response:
    return call(sandbox, "GET", path, **headers)


def changed(good: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def wallet(method: str = "alipay", **changes: str | None) -> dict[str, str]:
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
        "payment_method_options[wechat_pay][client]": "web" if method == "wechat_pay" else None,
    }
    return changed(good, changes)


def card(payment_method: str = "pm_card_visa", **changes: str | None) -> dict[str, str]:
    """Return the form that creates and confirms a PaymentIntent with one of Stripe's test cards."""
    good = {"amount": "8800", "currency": "hkd", "confirm": "true", "payment_method": payment_method}
    return changed(good, {"metadata[payments_core_order_id]": "A1", **changes})


def page(**changes: str | None) -> dict[str, str]:
    """Return the form that opens a Checkout Session."""
    good = {
        "mode": "payment",
        "success_url": RETURN,
        "cancel_url": RETURN,
        "client_reference_id": "A1",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "hkd",
        "line_items[0][price_data][unit_amount]": "8800",
        "line_items[0][price_data][product_data][name]": "A cup of tea",
    }
    return changed(good, changes)


def created(sandbox: Sandbox, form: dict[str, str] | None = None) -> dict[str, Any]:
    answer = post(sandbox, INTENTS, form or wallet())
    assert answer.status_code == 200, answer.text
    return answer.json()


def opened(sandbox: Sandbox, **changes: str | None) -> dict[str, Any]:
    answer = post(sandbox, SESSIONS, page(**changes))
    assert answer.status_code == 200, answer.text
    return answer.json()


def paid(sandbox: Sandbox, form: dict[str, str] | None = None) -> dict[str, Any]:
    intent = created(sandbox, form)
    if intent["status"] == "requires_action":
        sandbox.pay(intent["id"])
    return asked(sandbox, intent["id"])


def asked(sandbox: Sandbox, found: str) -> dict[str, Any]:
    path = SESSIONS if found.startswith("cs_") else INTENTS
    expand = "payment_intent.latest_charge" if found.startswith("cs_") else "latest_charge"
    return get(sandbox, f"{path}/{found}?expand[]={expand}").json()


def refused(answer: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"].startswith("sandbox: ")
    return error


# Opening.


def test_the_config_names_this_sandbox_and_fresh_keys(sandbox: Sandbox) -> None:
    assert list(sandbox.config) == ["base_url", "api_key", "webhook_key", "previous_webhook_key"]
    assert sandbox.config["base_url"] == sandbox.url
    with make() as other:
        for name in ("api_key", "webhook_key"):
            assert sandbox.config[name] != other.config[name]
            assert len(sandbox.config[name]) >= 32


def test_given_keys_are_used() -> None:
    with make(api_key="sk_test_é", webhook_key="whsec_x") as sandbox:
        assert (sandbox.config["api_key"], sandbox.config["webhook_key"]) == ("sk_test_é", "whsec_x")


def test_a_taken_port_is_said(sandbox: Sandbox) -> None:
    with pytest.raises(PortTaken):
        make(int(sandbox.url.rpartition(":")[2]))


@pytest.mark.parametrize("wrong", [{"time_scale": -1}, {"ack_timeout": 0}])
def test_an_option_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(**wrong)


def test_a_seed_repeats_every_id_key_and_time() -> None:
    answers = []
    for _ in range(2):
        with make(seed="one", public_url="https://pay.invalid/") as sandbox:
            intent, session = created(sandbox), opened(sandbox)
            sandbox.pay(session["id"])
            answers.append((intent, session, asked(sandbox, session["id"]), sandbox.config["api_key"]))
    assert answers[0] == answers[1]
    with make(seed="two", public_url="https://pay.invalid") as sandbox:
        assert created(sandbox)["id"] != answers[0][0]["id"]


# The envelope.


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "{key}", "Digest {key}", "Basic x"])
def test_a_call_without_the_key_is_401(sandbox: Sandbox, authorization: str | None) -> None:
    given = authorization and authorization.format(key=sandbox.config["api_key"])
    answer = get(sandbox, f"{INTENTS}/pi_1", authorization=given)
    assert refused(answer, 401)["type"] == "invalid_request_error"
    assert sandbox.config["api_key"] not in answer.text


def test_the_key_may_be_the_user_of_basic_authentication(sandbox: Sandbox) -> None:
    answer = httpx.get(
        f"{sandbox.url}{INTENTS}",
        auth=(sandbox.config["api_key"], ""),
        headers={"stripe-version": API_VERSION},
        trust_env=False,
    )
    assert answer.status_code == 200


def test_every_answer_has_a_request_id_and_the_version(sandbox: Sandbox) -> None:
    answers = [
        post(sandbox, INTENTS, wallet()),
        get(sandbox, f"{INTENTS}/pi_1"),
        get(sandbox, INTENTS, authorization=""),
    ]
    ids = [answer.headers["request-id"] for answer in answers]
    assert all(each.startswith("req_") for each in ids)
    assert len(set(ids)) == 3
    assert {answer.headers["stripe-version"] for answer in answers} == {API_VERSION}
    assert [each.request_id for each in sandbox.received] == ids


@pytest.mark.parametrize("version", [None, "2026-08-26.dahlia", "x"])
def test_another_version_is_refused(sandbox: Sandbox, version: str | None) -> None:
    """That the header is demanded at all is an invention: Stripe has a default for each account."""
    answer = get(sandbox, INTENTS, stripe_version=version)
    assert refused(answer)["type"] == "invalid_request_error"
    assert ("sandbox-invention" in answer.headers) == (version is None)


def test_an_error_has_the_documented_envelope(sandbox: Sandbox) -> None:
    answer = post(sandbox, INTENTS, wallet(amount=None))
    error = refused(answer)
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "parameter_missing", "amount")
    assert error["doc_url"] == "https://stripe.com/docs/error-codes/parameter-missing"
    assert error["request_log_url"].endswith(answer.headers["request-id"])


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1/payment_intents/", "/v1/payment_intents/pi_1/steal", "/v1/refunds/a.b"]
)
def test_an_unknown_address_is_404(sandbox: Sandbox, path: str) -> None:
    assert "code" not in refused(get(sandbox, path), 404)


def test_a_body_that_is_no_form_is_refused(sandbox: Sandbox) -> None:
    for kind in ("application/json", "text/plain", ""):
        answer = httpx.post(
            sandbox.url + INTENTS,
            content=b'{"amount":8800}',
            headers={
                "authorization": f"Bearer {sandbox.config['api_key']}",
                "stripe-version": API_VERSION,
                "content-type": kind,
            },
            trust_env=False,
        )
        refused(answer)


def test_the_key_is_nowhere_in_what_was_received(sandbox: Sandbox) -> None:
    created(sandbox)
    (received,) = sandbox.received
    assert received.form["payment_method_data"] == {"type": "alipay"}
    assert sandbox.config["api_key"] not in repr(received)


# Creating a wallet's PaymentIntent.


def test_alipay_is_a_redirect(sandbox: Sandbox) -> None:
    intent = created(sandbox)
    assert intent["id"].startswith("pi_")
    assert (intent["status"], intent["amount"], intent["currency"]) == ("requires_action", 8800, "hkd")
    assert (intent["metadata"], intent["payment_method_types"]) == ({"payments_core_order_id": "A1"}, ["alipay"])
    assert (intent["amount_received"], intent["latest_charge"]) == (0, None)
    action = intent["next_action"]
    assert action["type"] == "alipay_handle_redirect"
    assert action["alipay_handle_redirect"]["url"] == sandbox.wallet_url(intent["id"])
    assert action["alipay_handle_redirect"]["return_url"] == RETURN


def test_wechat_pay_is_a_code(sandbox: Sandbox) -> None:
    action = created(sandbox, wallet("wechat_pay"))["next_action"]
    assert action["type"] == "wechat_pay_display_qr_code"
    assert action["wechat_pay_display_qr_code"]["data"].startswith(sandbox.url)


def test_the_older_parameter_is_refused_by_its_documented_code(sandbox: Sandbox) -> None:
    for path, form in ((INTENTS, wallet()), (SESSIONS, page())):
        error = refused(post(sandbox, path, {**form, "payment_method_types[0]": "card"}))
        assert error["code"] == "payment_method_types_no_longer_supported"


def test_its_successor_excludes_the_automatic_methods(sandbox: Sandbox) -> None:
    refused(post(sandbox, INTENTS, wallet(**{"automatic_payment_methods[enabled]": "true"})))


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"amount": None}, "parameter_missing", "amount"),
        ({"currency": None}, "parameter_missing", "currency"),
        ({"return_url": None}, "parameter_missing", "return_url"),
        ({"payment_method_data[type]": None, "payment_method_data[alipay][x]": "1"}, "parameter_missing", None),
        ({"amount": "88.00"}, "parameter_invalid_integer", "amount"),
        ({"amount": "0"}, "parameter_invalid_integer", "amount"),
        ({"amount": "-1"}, "parameter_invalid_integer", "amount"),
        ({"amount": ""}, "parameter_invalid_empty", "amount"),
        ({"amount": "399"}, "amount_too_small", "amount"),
        ({"amount": "100000000"}, "amount_too_large", "amount"),
        ({"amuont": "1"}, "parameter_unknown", "amuont"),
        ({"metadata[payments_core_order_id]": None, "metadatum[order_id]": "A1"}, "parameter_unknown", "metadatum"),
        ({"payment_method_data[typ]": "x"}, "parameter_unknown", "payment_method_data[typ]"),
        ({"return_url": "shop"}, "url_invalid", "return_url"),
        ({"return_url": "javascript:alert(1)"}, "url_invalid", "return_url"),
        ({"expand[0]": "everything"}, None, "expand"),
        ({"currency": "xyz"}, None, "currency"),
        ({"currency": "irr"}, None, "currency"),
        ({"metadata[payments_core_order_id]": "x" * 501}, None, "metadata[payments_core_order_id]"),
        ({"currency": "aed"}, "payment_intent_incompatible_payment_method", "payment_method"),
        ({"capture_method": "manual"}, "payment_intent_incompatible_payment_method", "payment_method"),
        ({"allowed_payment_method_types[0]": "card"}, "payment_intent_incompatible_payment_method", "payment_method"),
    ],
)
def test_one_broken_rule_is_refused_by_its_name(
    sandbox: Sandbox, changes: dict[str, str | None], code: str | None, param: str | None
) -> None:
    error = refused(post(sandbox, INTENTS, wallet(**changes)))
    assert (error["type"], error.get("code")) == ("invalid_request_error", code)
    assert param is None or error["param"] == param
    assert get(sandbox, INTENTS).json()["data"] == [], "nothing was made"


def test_wechat_pay_needs_to_know_its_client(sandbox: Sandbox) -> None:
    name = "payment_method_options[wechat_pay][client]"
    assert refused(post(sandbox, INTENTS, wallet("wechat_pay", **{name: None})))["param"] == name


def test_ignored_stripe_parameters_are_accepted_and_recorded(sandbox: Sandbox) -> None:
    created(sandbox, wallet(statement_descriptor_suffix="TEA"))
    assert sandbox.received[-1].ignored == ("statement_descriptor_suffix",)


# Currencies.


@pytest.mark.parametrize(
    ("units", "currency", "amount"),
    [
        ("8800", "usd", Money.of("88.00", "USD")),
        ("88", "jpy", Money.of("88", "JPY")),
        ("8800", "isk", Money.of("88", "ISK")),
        ("8800", "ugx", Money.of("88", "UGX")),
        ("88", "mga", Money.of("88.00", "MGA")),
        ("88120", "kwd", Money.of("88.120", "KWD")),
        ("8800", "huf", None),
    ],
)
def test_the_sandbox_reads_stripe_s_units_by_its_own_table(
    sandbox: Sandbox, units: str, currency: str, amount: Money | None
) -> None:
    if amount is None:
        assert refused(post(sandbox, INTENTS, card(amount=units, currency=currency)))["code"] == "amount_too_small"
        return
    intent = created(sandbox, card(amount=units, currency=currency))
    (charge,) = sandbox.charges("A1")
    assert (charge.provider_id, charge.amount, charge.captured, charge.refunded) == (intent["id"], amount, amount, None)


@pytest.mark.parametrize(("units", "currency"), [("88121", "kwd"), ("8850", "isk"), ("8801", "ugx")])
def test_an_amount_that_the_card_networks_cannot_take_is_refused(sandbox: Sandbox, units: str, currency: str) -> None:
    error = refused(post(sandbox, INTENTS, card(amount=units, currency=currency)))
    assert error["code"] == "invalid_charge_amount_no_decimal_compatible"


# Cards, by Stripe's test PaymentMethods.


def test_a_good_card_succeeds_at_once(sandbox: Sandbox) -> None:
    intent = created(sandbox, {**card(), "expand[0]": "latest_charge"})
    assert (intent["status"], intent["amount_received"]) == ("succeeded", 8800)
    assert intent["latest_charge"]["paid"] is True
    assert intent["latest_charge"]["amount_refunded"] == 0


@pytest.mark.parametrize(
    ("payment_method", "code", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", None),
    ],
)
def test_a_declined_card_is_402_with_the_payment_intent_inside(
    sandbox: Sandbox, payment_method: str, code: str, decline_code: str | None
) -> None:
    error = refused(post(sandbox, INTENTS, card(payment_method)), 402)
    assert (error["type"], error["code"], error.get("decline_code")) == ("card_error", code, decline_code)
    intent = error["payment_intent"]
    assert (intent["status"], intent["metadata"]) == ("requires_payment_method", {"payments_core_order_id": "A1"})
    assert intent["last_payment_error"]["code"] == code
    assert intent["latest_charge"] == error["charge"]


def test_a_declined_payment_intent_can_be_confirmed_again(sandbox: Sandbox) -> None:
    found = refused(post(sandbox, INTENTS, card("pm_card_visa_chargeDeclined")), 402)["payment_intent"]["id"]
    again = post(sandbox, f"{INTENTS}/{found}/confirm", {"payment_method": "pm_card_visa"}).json()
    assert (again["status"], again["last_payment_error"]) == ("succeeded", None)


def test_a_card_that_asks_for_more_is_a_redirect(sandbox: Sandbox) -> None:
    intent = created(sandbox, card("pm_card_authenticationRequired", return_url=RETURN))
    assert (intent["status"], intent["next_action"]["type"]) == ("requires_action", "redirect_to_url")
    sandbox.pay(intent["id"])
    assert asked(sandbox, intent["id"])["status"] == "succeeded"


def test_numbers_of_cards_are_not_taken(sandbox: Sandbox) -> None:
    refused(post(sandbox, INTENTS, wallet("card", **{"allowed_payment_method_types[0]": "card"})))


def test_a_payment_intent_without_a_method_waits_for_one(sandbox: Sandbox) -> None:
    intent = created(sandbox, {"amount": "8800", "currency": "hkd"})
    assert intent["status"] == "requires_payment_method"
    assert set(intent["payment_method_types"]) == {"card", "alipay", "wechat_pay"}
    error = refused(post(sandbox, f"{INTENTS}/{intent['id']}/confirm"))
    assert (error["code"], error["payment_intent"]["id"]) == ("payment_intent_unexpected_state", intent["id"])


# The shopper's moves.


def test_a_paid_wallet_has_its_charge(sandbox: Sandbox) -> None:
    intent = paid(sandbox)
    assert (intent["status"], intent["amount_received"], intent["next_action"]) == ("succeeded", 8800, None)
    charge = intent["latest_charge"]
    assert (charge["status"], charge["payment_method_details"]["type"]) == ("succeeded", "alipay")


def test_a_cancelled_wallet_is_canceled(sandbox: Sandbox) -> None:
    intent = created(sandbox)
    sandbox.cancel(intent["id"])
    after = asked(sandbox, intent["id"])
    assert (after["status"], after["cancellation_reason"]) == ("canceled", "abandoned")
    assert after["canceled_at"] >= intent["created"]


def test_a_failed_attempt_leaves_the_payment_intent_open(sandbox: Sandbox) -> None:
    for move in (lambda found: sandbox.decline(found, "insufficient_funds"), sandbox.time_out):
        intent = created(sandbox)
        move(intent["id"])
        after = asked(sandbox, intent["id"])
        assert (after["status"], after["next_action"]) == ("requires_payment_method", None)
        assert after["last_payment_error"]["code"] in ("card_declined", "payment_intent_payment_attempt_expired")
        again = {"payment_method_data[type]": "alipay", "return_url": RETURN}
        assert post(sandbox, f"{INTENTS}/{intent['id']}/confirm", again).json()["status"] == "requires_action"


def test_what_is_over_cannot_be_moved(sandbox: Sandbox) -> None:
    found = paid(sandbox)["id"]
    for move in (sandbox.pay, sandbox.cancel, sandbox.decline, sandbox.time_out):
        with pytest.raises(NotPossible, match="succeeded"):
            move(found)
    with pytest.raises(UnknownCharge):
        sandbox.pay("pi_1")


def test_a_decline_can_be_told_for_the_next_confirmation(sandbox: Sandbox) -> None:
    sandbox.decline_next("fraudulent")
    assert refused(post(sandbox, INTENTS, wallet()), 402)["payment_intent"]["status"] == "requires_payment_method"
    sandbox.decline_next("fraudulent", with_intent=False)
    error = refused(post(sandbox, INTENTS, wallet()), 402)
    assert (error["decline_code"], "payment_intent" in error) == ("fraudulent", False)
    assert created(sandbox)["status"] == "requires_action"


def test_a_refusal_of_any_status_can_be_told_for_the_next_call(sandbox: Sandbox) -> None:
    sandbox.refuse_next(429, "invalid_request_error", "rate_limit")
    answer = get(sandbox, INTENTS)
    assert refused(answer, 429)["code"] == "rate_limit"
    assert answer.headers["stripe-should-retry"] == "true"
    assert get(sandbox, INTENTS).status_code == 200


# Checkout Sessions.


def test_an_open_session_has_a_page_and_no_payment_intent(sandbox: Sandbox) -> None:
    session = opened(sandbox, customer_email="shopper@example.com")
    assert session["id"].startswith("cs_test_")
    assert (session["status"], session["payment_status"], session["payment_intent"]) == ("open", "unpaid", None)
    assert (session["amount_total"], session["currency"], session["client_reference_id"]) == (8800, "hkd", "A1")
    assert session["url"] == sandbox.wallet_url(session["id"])
    assert session["expires_at"] == session["created"] + 24 * 3600


def test_a_paid_session_is_complete_and_its_payment_intent_succeeded(sandbox: Sandbox) -> None:
    session = opened(sandbox, **{"payment_intent_data[metadata][payments_core_order_id]": "A1"})
    sandbox.pay(session["id"])
    after = asked(sandbox, session["id"])
    assert (after["status"], after["payment_status"], after["url"]) == ("complete", "paid", None)
    intent = after["payment_intent"]
    assert (intent["status"], intent["metadata"], intent["latest_charge"]["paid"]) == (
        "succeeded",
        {"payments_core_order_id": "A1"},
        True,
    )
    assert [charge.provider_id for charge in sandbox.charges("A1")] == [session["id"]], "one charge, not two"


def test_an_authorized_session_is_complete_and_unpaid(sandbox: Sandbox) -> None:
    session = opened(sandbox, **{"payment_intent_data[capture_method]": "manual"})
    sandbox.pay(session["id"])
    after = asked(sandbox, session["id"])
    assert (after["status"], after["payment_status"]) == ("complete", "unpaid")
    assert after["payment_intent"]["status"] == "requires_capture"


def test_a_declined_card_leaves_the_session_open(sandbox: Sandbox) -> None:
    session = opened(sandbox)
    sandbox.decline(session["id"], "insufficient_funds")
    after = asked(sandbox, session["id"])
    assert (after["status"], after["payment_intent"]["status"]) == ("open", "requires_payment_method")
    sandbox.pay(session["id"])
    assert asked(sandbox, session["id"])["payment_status"] == "paid"


def test_an_open_session_expires_when_told_and_only_once(sandbox: Sandbox) -> None:
    session = opened(sandbox)
    assert post(sandbox, f"{SESSIONS}/{session['id']}/expire").json()["status"] == "expired"
    refused(post(sandbox, f"{SESSIONS}/{session['id']}/expire"))


def test_a_session_expires_after_a_day(sandbox: Sandbox) -> None:
    session = opened(sandbox)
    sandbox.advance(24 * 3600 - 10)
    assert asked(sandbox, session["id"])["status"] == "open"
    sandbox.advance(10)
    assert asked(sandbox, session["id"])["status"] == "expired"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"success_url": None}, "success_url"),
        ({"line_items[0][quantity]": None}, "line_items[0][quantity]"),
        ({"line_items[0][quantity]": "0"}, "line_items[0][quantity]"),
        ({"line_items[0][price_data][unit_amount]": None}, "line_items[0][price_data][unit_amount]"),
        ({"line_items[0][price_data][product_data][name]": None}, "line_items[0][price_data][product_data]"),
        ({"line_items[0][price_data][unit_amount]": "1"}, "line_items"),
        ({"line_items[0][price_data][currency]": "xyz"}, "line_items[0][price_data][currency]"),
        ({"mode": "subscription"}, "mode"),
        ({"customer_email": "nobody"}, "customer_email"),
        ({"client_reference_id": "x" * 201}, "client_reference_id"),
        ({"expires_at": "1"}, "expires_at"),
        ({"notify_url": RETURN}, "notify_url"),
        ({"allowed_payment_method_types[0]": "wechat_pay", "line_items[0][price_data][currency]": "aed"}, None),
    ],
)
def test_a_session_that_breaks_a_rule_is_refused(
    sandbox: Sandbox, changes: dict[str, str | None], param: str | None
) -> None:
    error = refused(post(sandbox, SESSIONS, page(**changes)))
    assert param is None or error["param"] == param
    assert get(sandbox, SESSIONS).json()["data"] == []


# Capturing and cancelling.


def authorized(sandbox: Sandbox, **changes: str | None) -> str:
    intent = created(sandbox, card(capture_method="manual", **changes))
    assert (intent["status"], intent["amount_capturable"]) == ("requires_capture", 8800)
    return intent["id"]


def test_a_whole_capture_takes_all_and_releases_nothing(sandbox: Sandbox) -> None:
    found = authorized(sandbox)
    intent = post(sandbox, f"{INTENTS}/{found}/capture", {"expand[0]": "latest_charge"}).json()
    assert (intent["status"], intent["amount_received"], intent["amount_capturable"]) == ("succeeded", 8800, 0)
    assert intent["latest_charge"]["amount_refunded"] == 0


def test_a_partial_capture_counts_what_was_released_as_refunded(sandbox: Sandbox) -> None:
    """A trap of Stripe's: `amount` stays, `amount_received` is the money, and the rest looks like a refund."""
    found = authorized(sandbox)
    form = {"amount_to_capture": "6000", "expand[0]": "latest_charge"}
    intent = post(sandbox, f"{INTENTS}/{found}/capture", form).json()
    assert (intent["status"], intent["amount"], intent["amount_received"]) == ("succeeded", 8800, 6000)
    charge = intent["latest_charge"]
    assert (charge["amount_captured"], charge["amount_refunded"], charge["refunded"]) == (6000, 2800, False)
    (released,) = get(sandbox, f"{REFUNDS}?payment_intent={found}").json()["data"]
    assert (released["amount"], released["metadata"]) == (2800, {})
    (held,) = sandbox.charges("A1")
    assert (held.captured, held.refunded) == (Money.of("60.00", "HKD"), None)


def test_a_capture_keeps_the_documented_limits(sandbox: Sandbox) -> None:
    found = authorized(sandbox)
    path = f"{INTENTS}/{found}/capture"
    error = refused(post(sandbox, path, {"amount_to_capture": "8801"}))
    assert (error["code"], error["param"]) == ("amount_too_large", "amount_to_capture")
    assert refused(post(sandbox, path, {"amount_to_capture": "0"}))["code"] == "parameter_invalid_integer"
    assert post(sandbox, path, {"amount_to_capture": "8800"}).status_code == 200
    error = refused(post(sandbox, path))
    assert (error["code"], error["payment_intent"]["status"]) == ("payment_intent_unexpected_state", "succeeded")


def test_a_wallet_cannot_be_captured(sandbox: Sandbox) -> None:
    found = created(sandbox)["id"]
    assert refused(post(sandbox, f"{INTENTS}/{found}/capture"))["code"] == "payment_intent_unexpected_state"


def test_what_is_not_captured_in_seven_days_is_cancelled(sandbox: Sandbox) -> None:
    found = authorized(sandbox)
    sandbox.advance(7 * 24 * 3600)
    intent = asked(sandbox, found)
    assert (intent["status"], intent["cancellation_reason"]) == ("canceled", "automatic")


@pytest.mark.parametrize("held", [True, False])
def test_what_is_not_over_can_be_cancelled_once(sandbox: Sandbox, held: bool) -> None:
    found = authorized(sandbox) if held else created(sandbox)["id"]
    path = f"{INTENTS}/{found}/cancel"
    intent = post(sandbox, path, {"cancellation_reason": "duplicate", "expand[0]": "latest_charge"}).json()
    assert (intent["status"], intent["cancellation_reason"]) == ("canceled", "duplicate")
    assert not held or intent["latest_charge"]["refunded"] is True, "what was held is released, as a refund"
    assert refused(post(sandbox, path))["code"] == "payment_intent_unexpected_state"


def test_what_is_paid_cannot_be_cancelled(sandbox: Sandbox) -> None:
    found = paid(sandbox)["id"]
    assert refused(post(sandbox, f"{INTENTS}/{found}/cancel"))["payment_intent"]["status"] == "succeeded"


def test_the_payment_intent_of_a_session_is_cancelled_only_while_it_is_held(sandbox: Sandbox) -> None:
    session = opened(sandbox, **{"payment_intent_data[capture_method]": "manual"})
    sandbox.decline(session["id"])
    found = asked(sandbox, session["id"])["payment_intent"]["id"]
    refused(post(sandbox, f"{INTENTS}/{found}/cancel"))
    sandbox.pay(session["id"])
    assert post(sandbox, f"{INTENTS}/{found}/cancel").json()["status"] == "canceled"


# Refunds.


def test_a_card_is_refunded_at_once_and_a_wallet_later(sandbox: Sandbox) -> None:
    by_card, by_wallet = paid(sandbox, card()), paid(sandbox, wallet())
    for intent, status in ((by_card, "succeeded"), (by_wallet, "pending")):
        refund = post(sandbox, REFUNDS, {"payment_intent": intent["id"], "amount": "800"}).json()
        assert (refund["status"], refund["amount"], refund["payment_intent"]) == (status, 800, intent["id"])
        assert asked(sandbox, intent["id"])["latest_charge"]["amount_refunded"] == 800
    sandbox.settle_refund(refund["id"])
    assert get(sandbox, f"{REFUNDS}/{refund['id']}").json()["status"] == "succeeded"


def test_a_pending_refund_settles_by_itself_or_fails(sandbox: Sandbox) -> None:
    found = paid(sandbox)["id"]
    first, second = (post(sandbox, REFUNDS, {"payment_intent": found, "amount": "100"}).json()["id"] for _ in range(2))
    sandbox.fail_refund(first)
    sandbox.advance(3600)
    assert get(sandbox, f"{REFUNDS}/{second}").json()["status"] == "succeeded"
    failed = get(sandbox, f"{REFUNDS}/{first}").json()
    assert (failed["status"], failed["failure_reason"]) == ("failed", "unknown")
    assert asked(sandbox, found)["latest_charge"]["amount_refunded"] == 100, "what failed is the merchant's again"
    with pytest.raises(NotPossible, match="not pending"):
        sandbox.settle_refund(second)


def test_no_more_is_refunded_than_was_received(sandbox: Sandbox) -> None:
    found = paid(sandbox)["id"]
    assert refused(post(sandbox, REFUNDS, {"payment_intent": found, "amount": "8801"}))["param"] == "amount"
    assert post(sandbox, REFUNDS, {"payment_intent": found, "amount": "8000"}).status_code == 200
    refused(post(sandbox, REFUNDS, {"payment_intent": found, "amount": "801"}))
    assert post(sandbox, REFUNDS, {"payment_intent": found}).json()["amount"] == 800, "the rest, where none is named"
    assert refused(post(sandbox, REFUNDS, {"payment_intent": found}))["code"] == "charge_already_refunded"


def test_after_a_partial_capture_only_what_was_taken_is_refunded(sandbox: Sandbox) -> None:
    found = authorized(sandbox)
    post(sandbox, f"{INTENTS}/{found}/capture", {"amount_to_capture": "6000"})
    refused(post(sandbox, REFUNDS, {"payment_intent": found, "amount": "6001"}))
    assert post(sandbox, REFUNDS, {"payment_intent": found}).json()["amount"] == 6000


def test_what_is_not_paid_cannot_be_refunded(sandbox: Sandbox) -> None:
    for found in (created(sandbox)["id"], authorized(sandbox)):
        refused(post(sandbox, REFUNDS, {"payment_intent": found}))
    assert refused(post(sandbox, REFUNDS, {"payment_intent": "pi_1"}), 404)["param"] == "payment_intent"
    assert refused(post(sandbox, REFUNDS))["code"] == "parameter_missing"
    assert refused(post(sandbox, REFUNDS, {"payment_intent": "pi_1", "reason": "because"}))["param"] == "reason"


def test_refunds_are_listed_page_by_page_newest_first(sandbox: Sandbox) -> None:
    found, other = paid(sandbox)["id"], paid(sandbox)["id"]
    made = [
        post(sandbox, REFUNDS, {"payment_intent": each, "amount": "100"}).json()["id"] for each in (found, other) * 3
    ]
    wanted = made[0::2][::-1]
    first = get(sandbox, f"{REFUNDS}?payment_intent={found}&limit=2").json()
    assert ([each["id"] for each in first["data"]], first["has_more"]) == (wanted[:2], True)
    rest = get(sandbox, f"{REFUNDS}?payment_intent={found}&limit=2&starting_after={wanted[1]}").json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (wanted[2:], False)
    refused(get(sandbox, f"{REFUNDS}?limit=101"))
    refused(get(sandbox, f"{REFUNDS}?starting_after=re_1"))


@pytest.mark.parametrize("path", [f"{INTENTS}/pi_1", f"{SESSIONS}/cs_1", f"{REFUNDS}/re_1"])
def test_what_is_not_there_is_404(sandbox: Sandbox, path: str) -> None:
    assert refused(get(sandbox, path), 404)["code"] == "resource_missing"


# Idempotency.


def test_the_same_key_and_parameters_give_the_first_answer_again(sandbox: Sandbox) -> None:
    first, again = (post(sandbox, INTENTS, wallet(), idempotency_key="create:A1") for _ in range(2))
    assert again.content == first.content
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert first.headers["request-id"] != again.headers["request-id"]
    assert len(sandbox.charges("A1")) == 1
    sandbox.pay(first.json()["id"])
    late = post(sandbox, INTENTS, wallet(), idempotency_key="create:A1")
    assert late.json()["status"] == "requires_action", "the answer of then, and not how it stands"


@pytest.mark.parametrize(
    ("path", "form"),
    [(INTENTS, wallet(amount="8900")), (INTENTS, wallet(metadata="")), (SESSIONS, page()), (REFUNDS, wallet())],
)
def test_a_key_with_other_parameters_or_another_address_is_refused(
    sandbox: Sandbox, path: str, form: dict[str, str]
) -> None:
    post(sandbox, INTENTS, wallet(), idempotency_key="k")
    assert refused(post(sandbox, path, form, idempotency_key="k"))["type"] == "idempotency_error"
    assert len(sandbox.charges("A1")) == 1


def test_execution_errors_are_repeated_but_parameter_errors_are_not(sandbox: Sandbox) -> None:
    first, again = (post(sandbox, INTENTS, card("pm_card_visa_chargeDeclined"), idempotency_key="k") for _ in range(2))
    assert (first.status_code, first.content == again.content) == (402, True)
    assert again.headers["idempotent-replayed"] == "true"
    refused(post(sandbox, INTENTS, wallet(amount=None), idempotency_key="other"))
    assert post(sandbox, INTENTS, wallet(), idempotency_key="other").status_code == 200


def test_two_requests_at_once_with_one_key_are_a_conflict(sandbox: Sandbox) -> None:
    sandbox.slow_down(0.5)
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(post(sandbox, INTENTS, wallet(), idempotency_key="k")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    answers.sort(key=lambda answer: answer.status_code)
    assert answers[0].status_code == 200
    assert refused(answers[1], 409)["code"] == "idempotency_key_in_use"
    assert len(sandbox.charges("A1")) == 1
    assert post(sandbox, INTENTS, wallet(), idempotency_key="k").content == answers[0].content


def test_a_key_is_forgotten_after_a_day(sandbox: Sandbox) -> None:
    first = post(sandbox, INTENTS, wallet(), idempotency_key="k").json()
    sandbox.advance(24 * 3600 - 10)
    assert post(sandbox, INTENTS, wallet(), idempotency_key="k").json()["id"] == first["id"]
    sandbox.advance(10)
    assert post(sandbox, INTENTS, wallet(), idempotency_key="k").json()["id"] != first["id"]
    assert len(sandbox.charges("A1")) == 2


def test_a_key_of_more_than_255_characters_is_refused(sandbox: Sandbox) -> None:
    refused(post(sandbox, INTENTS, wallet(), idempotency_key="k" * 256))
    assert post(sandbox, INTENTS, wallet(), idempotency_key="k" * 255).status_code == 200


def test_no_key_means_another_charge(sandbox: Sandbox) -> None:
    assert created(sandbox)["id"] != created(sandbox)["id"]
    assert len(sandbox.charges("A1")) == 2


# Forcing.


@pytest.mark.parametrize(
    "word",
    (
        "requires_payment_method requires_confirmation requires_action processing requires_capture succeeded canceled"
    ).split(),
)
def test_any_status_can_be_forced_on_a_payment_intent_and_on_that_of_a_session(sandbox: Sandbox, word: str) -> None:
    intent, session = created(sandbox)["id"], opened(sandbox)["id"]
    sandbox.set_status(intent, word)
    sandbox.set_status(session, word)
    after = asked(sandbox, session)
    for found in (asked(sandbox, intent), after["payment_intent"]):
        assert (found["status"], found["amount_received"]) == (word, 8800 if word == "succeeded" else 0)
        assert found["amount_capturable"] == (8800 if word == "requires_capture" else 0)
    assert (after["status"], after["payment_status"]) == ("complete", "paid" if word == "succeeded" else "unpaid")


@pytest.mark.parametrize("word", ["partially_funded", "COMPLETE:PAID", "0"])
def test_any_invented_word_can_be_forced(sandbox: Sandbox, word: str) -> None:
    intent, session = created(sandbox)["id"], opened(sandbox)["id"]
    sandbox.set_status(intent, word)
    sandbox.set_status(session, word)
    assert asked(sandbox, intent)["status"] == word
    after = asked(sandbox, session)
    assert (after["status"], after["payment_status"]) == (word.partition(":")[0], word.partition(":")[2] or "unpaid")


@pytest.mark.parametrize("word", ["open", "expired", "complete:paid", "complete:unpaid"])
def test_the_words_of_sessions_can_be_forced_on_them_alone(sandbox: Sandbox, word: str) -> None:
    session = opened(sandbox)["id"]
    sandbox.set_status(session, word)
    after = asked(sandbox, session)
    assert (after["status"], after["payment_status"]) == (word.partition(":")[0], word.partition(":")[2] or "unpaid")
    assert after["payment_intent"] is None
    with pytest.raises(NotPossible, match="status of sessions"):
        sandbox.set_status(created(sandbox)["id"], word)


def test_another_amount_can_be_forced(sandbox: Sandbox) -> None:
    for found in (paid(sandbox)["id"], opened(sandbox)["id"]):
        sandbox.set_amount(found, "50", "USD")
    assert {charge.amount for charge in sandbox.charges("A1")} == {Money.of("50", "USD")}
    for amount, currency in (("1.234", "USD"), ("x", "USD"), ("1", "XYZ"), ("1", "IRR")):
        with pytest.raises(NotPossible):
            sandbox.set_amount(found, amount, currency)


# Stripe's own client.


def test_stripe_s_client_plays_a_wallet_s_whole_life(sandbox: Sandbox, official: stripe.StripeClient) -> None:
    intents, refunds = official.v1.payment_intents, official.v1.refunds
    intent = intents.create(
        {
            "amount": 8800,
            "currency": "hkd",
            "confirm": True,
            "payment_method_data": {"type": "wechat_pay"},
            "allowed_payment_method_types": ["wechat_pay"],
            "payment_method_options": {"wechat_pay": {"client": "web"}},
            "return_url": RETURN,
            "metadata": {"payments_core_order_id": "A1"},
        }
    )
    assert intent.next_action.wechat_pay_display_qr_code.data == sandbox.wallet_url(intent.id)
    sandbox.pay(intent.id)
    intent = intents.retrieve(intent.id, {"expand": ["latest_charge"]})
    assert (intent.status, intent.latest_charge.paid) == ("succeeded", True)
    refund = refunds.create({"payment_intent": intent.id, "amount": 800, "metadata": {"payments_core_refund_id": "R1"}})
    assert (refund.status, refund.metadata["payments_core_refund_id"]) == ("pending", "R1")
    assert [each.id for each in refunds.list({"payment_intent": intent.id}).auto_paging_iter()] == [refund.id]


def test_stripe_s_client_plays_a_session_s_whole_life(sandbox: Sandbox, official: stripe.StripeClient) -> None:
    sessions = official.v1.checkout.sessions
    session = sessions.create(
        {
            "mode": "payment",
            "success_url": RETURN,
            "adaptive_pricing": {"enabled": False},
            "allowed_payment_method_types": ["card"],
            "payment_intent_data": {"capture_method": "manual", "metadata": {"payments_core_order_id": "A1"}},
            "line_items": [
                {
                    "quantity": 2,
                    "price_data": {"currency": "jpy", "unit_amount": 44, "product_data": {"name": "Tea"}},
                }
            ],
        }
    )
    assert (session.amount_total, session.adaptive_pricing.enabled) == (88, False)
    sandbox.pay(session.id)
    session = sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge"]})
    intent = official.v1.payment_intents.capture(session.payment_intent.id, {"amount_to_capture": 60})
    assert (intent.status, intent.amount_received) == ("succeeded", 60)
    other = sessions.create({"mode": "payment", "success_url": RETURN, "line_items": [line()]})
    assert sessions.expire(other.id).status == "expired"


def line() -> Any:
    return {"quantity": 1, "price_data": {"currency": "hkd", "unit_amount": 8800, "product_data": {"name": "Tea"}}}


def test_stripe_s_client_raises_its_own_errors(sandbox: Sandbox, official: stripe.StripeClient) -> None:
    """So each envelope is what that client takes for the error that it stands for."""
    intents = official.v1.payment_intents
    form: Any = {"amount": 8800, "currency": "hkd", "confirm": True, "payment_method": "pm_card_visa_chargeDeclined"}
    with pytest.raises(stripe.CardError) as declined:
        intents.create(form)
    assert declined.value.error.decline_code == "generic_decline"
    assert declined.value.error.payment_intent.status == "requires_payment_method"
    with pytest.raises(stripe.InvalidRequestError) as missing:
        intents.retrieve("pi_1")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    assert missing.value.request_id == sandbox.received[-1].request_id
    intents.create({"amount": 8800, "currency": "hkd"}, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError):
        intents.create({"amount": 8900, "currency": "hkd"}, {"idempotency_key": "k"})
    sandbox.refuse_next(429, "invalid_request_error", "rate_limit")
    with pytest.raises(stripe.RateLimitError):
        intents.list()
    with Official(sandbox, "sk_test_wrong") as client, pytest.raises(stripe.AuthenticationError):
        client.v1.payment_intents.list()
