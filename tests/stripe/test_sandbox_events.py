"""Test the sandbox's events, page and controls: signed like Stripe's, and reached from this machine alone."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import stripe

from payments_core import Secret
from payments_core.testing.server import WebhookListener
from payments_stripe.config import StripeConfig
from payments_stripe.sandbox import API_VERSION, RETRY_DELAYS, NotPossible, Sandbox, UnknownCharge, make

RETURN = "https://shop.example/paid"
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture
def listener() -> Iterator[WebhookListener]:
    with WebhookListener() as listening:
        yield listening


@pytest.fixture
def sandbox(listener: WebhookListener) -> Iterator[Sandbox]:
    with make(webhook_url=listener.url) as running:
        yield running


def post(sandbox: Sandbox, path: str, form: dict[str, str] | None = None) -> Any:
    headers = {"authorization": f"Bearer {sandbox.config['api_key']}", "stripe-version": API_VERSION}
    answer = httpx.post(sandbox.url + path, data=form or {}, headers=headers, trust_env=False)
    return answer.json()


def wallet(sandbox: Sandbox, **changes: str) -> str:
    form = {
        "amount": "8800",
        "currency": "hkd",
        "confirm": "true",
        "payment_method_data[type]": "alipay",
        "return_url": RETURN,
        "description": "A cup of tea",
        "metadata[payments_core_order_id]": "A1",
        **changes,
    }
    return str(post(sandbox, "/v1/payment_intents", form)["id"])


def checkout(sandbox: Sandbox, **changes: str) -> str:
    form = {
        "mode": "payment",
        "success_url": RETURN,
        "client_reference_id": "A1",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "hkd",
        "line_items[0][price_data][unit_amount]": "8800",
        "line_items[0][price_data][product_data][name]": "A cup of tea",
        **changes,
    }
    return str(post(sandbox, "/v1/checkout/sessions", form)["id"])


def kinds(listener: WebhookListener, count: int) -> list[str]:
    """Return the kinds that arrived, sorted: deliveries run in parallel, in no certain order."""
    return sorted(json.loads(delivery.body)["type"] for delivery in listener.wait(count))


def eventually(condition: Any) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.005)


# Events.


def test_event_is_accepted_by_the_stripe_client(sandbox: Sandbox, listener: WebhookListener) -> None:
    wallet(sandbox)
    key = sandbox.config["webhook_key"]
    for delivery in listener.wait(2):
        signature = dict(delivery.headers)["stripe-signature"]
        assert re.fullmatch(r"t=\d{10},v1=[0-9a-f]{64},v0=[0-9a-f]{64}", signature)
        event = stripe.Webhook.construct_event(delivery.body, signature, key)
        assert (event.object, event.api_version, event.livemode) == ("event", API_VERSION, False)
        assert event.id.startswith("evt_")
        assert event.data.object.object == "payment_intent"
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(delivery.body + b" ", signature, key)
        assert dict(delivery.headers)["content-type"] == "application/json; charset=utf-8"


def test_each_move_has_its_events(sandbox: Sandbox, listener: WebhookListener) -> None:
    told = ["payment_intent.created", "payment_intent.requires_action"]
    found = wallet(sandbox)
    assert kinds(listener, 2) == sorted(told)
    for act, happened in (
        (lambda: sandbox.pay(found), ["charge.succeeded", "payment_intent.succeeded"]),
        (lambda: post(sandbox, "/v1/refunds", {"payment_intent": found}), ["charge.refunded", "refund.created"]),
        (lambda: sandbox.advance(3600), ["charge.refund.updated", "refund.updated"]),
    ):
        act()
        told += happened
        assert kinds(listener, len(told)) == sorted(told)


@pytest.mark.parametrize(
    ("move", "happened"),
    [
        ("cancel", ["payment_intent.canceled"]),
        ("decline", ["charge.failed", "payment_intent.payment_failed"]),
        ("time_out", ["charge.failed", "payment_intent.payment_failed"]),
    ],
)
def test_a_wallet_that_is_not_paid_has_its_event(
    sandbox: Sandbox, listener: WebhookListener, move: str, happened: list[str]
) -> None:
    found = wallet(sandbox)
    getattr(sandbox, move)(found)
    told = ["payment_intent.created", "payment_intent.requires_action", *happened]
    assert kinds(listener, len(told)) == sorted(told)


def test_a_failed_refund_has_its_event(sandbox: Sandbox, listener: WebhookListener) -> None:
    found = wallet(sandbox)
    sandbox.pay(found)
    refund = post(sandbox, "/v1/refunds", {"payment_intent": found})["id"]
    sandbox.fail_refund(refund)
    assert "refund.failed" in kinds(listener, 9)
    assert json.loads(sandbox.notification(refund).body)["data"]["object"]["status"] == "failed"


def test_a_session_tells_nothing_until_it_is_over(sandbox: Sandbox, listener: WebhookListener) -> None:
    paid, ended = checkout(sandbox), checkout(sandbox)
    time.sleep(0.05)
    assert listener.deliveries == ()
    sandbox.pay(paid)
    told = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "checkout.session.completed"]
    assert kinds(listener, 4) == sorted(told)
    sandbox.cancel(ended)
    assert kinds(listener, 5) == sorted([*told, "checkout.session.expired"])
    event = json.loads(sandbox.notification(paid).body)
    assert (event["type"], event["data"]["object"]["payment_status"]) == ("checkout.session.completed", "paid")


def test_an_authorization_and_its_capture_have_their_events(sandbox: Sandbox, listener: WebhookListener) -> None:
    form = {"capture_method": "manual", "payment_method": "pm_card_visa", "amount": "8800", "currency": "hkd"}
    found = post(sandbox, "/v1/payment_intents", {**form, "confirm": "true"})["id"]
    told = ["payment_intent.created", "payment_intent.amount_capturable_updated"]
    assert kinds(listener, 2) == sorted(told)
    post(sandbox, f"/v1/payment_intents/{found}/capture", {"amount_to_capture": "6000"})
    told += ["charge.captured", "payment_intent.succeeded", "refund.created", "charge.refunded"]
    assert kinds(listener, 6) == sorted(told), "the rest of a partial capture is refunded"


def test_an_event_carries_the_object_of_then(sandbox: Sandbox) -> None:
    found = wallet(sandbox)
    before = json.loads(sandbox.notification(found).body)
    sandbox.pay(found)
    after = json.loads(sandbox.notification(found).body)
    assert [each["data"]["object"]["status"] for each in (before, after)] == ["requires_action", "succeeded"]
    assert before["id"] != after["id"]


def test_a_notification_is_signed_now_and_sent_to_nobody(sandbox: Sandbox, listener: WebhookListener) -> None:
    found = wallet(sandbox)
    listener.wait(2)
    for _ in range(2):
        delivery = sandbox.notification(found)
        stripe.Webhook.construct_event(
            delivery.body, dict(delivery.headers)["Stripe-Signature"], sandbox.config["webhook_key"]
        )
    assert sandbox.notification(checkout(sandbox)).body, "of an open session too, though Stripe has no event for it"
    assert len(listener.deliveries) == 2
    with pytest.raises(UnknownCharge):
        sandbox.notification("pi_1")


def test_a_body_can_be_signed_at_any_time() -> None:
    config = StripeConfig(api_key=Secret("sk_test_x"), webhook_key=Secret("whsec_x"))
    ((name, value),) = make.sign(config, b"{}", at=datetime.fromtimestamp(1_700_000_000, UTC))
    wanted = stripe.WebhookSignature.generate_signature_header("{}", "whsec_x", 1_700_000_000)
    assert (name, value.rpartition(",v0=")[0]) == ("Stripe-Signature", wanted)
    ((_, now),) = make.sign(config, b"{}")
    assert stripe.WebhookSignature.verify_header("{}", now, "whsec_x", 300)


def test_forced_status_sends_no_notification(sandbox: Sandbox, listener: WebhookListener) -> None:
    found = wallet(sandbox)
    listener.wait(2)
    sandbox.set_status(found, "succeeded")
    time.sleep(0.05)
    assert len(listener.deliveries) == 2
    assert json.loads(sandbox.notification(found).body)["type"] == "payment_intent.succeeded"


# Deliveries.


def test_the_schedule_is_three_retries_over_a_few_hours() -> None:
    assert len(RETRY_DELAYS) == 3
    assert 2 * 3600 <= sum(RETRY_DELAYS) <= 6 * 3600


def test_what_is_not_acknowledged_is_delivered_again_and_signed_anew() -> None:
    scale = 1 / 6_000  # the whole schedule takes 1.8 s
    with WebhookListener(respond=500) as listener, make(webhook_url=listener.url, time_scale=scale) as sandbox:
        found = post(sandbox, "/v1/payment_intents", {"amount": "8800", "currency": "hkd"})["id"]
        listener.wait(4, timeout=30)
        eventually(lambda: len(sandbox.notifications) == 4)
        made = sandbox.notifications
        assert [(each.subject, each.attempt, each.status) for each in made] == [(found, n, 500) for n in (1, 2, 3, 4)]
        waits = [later.monotonic - earlier.monotonic for earlier, later in itertools.pairwise(made)]
        assert all(wait >= delay * scale for wait, delay in zip(waits, RETRY_DELAYS, strict=True))
        assert len({delivery.body for delivery in listener.deliveries}) == 1
        stamps = [dict(delivery.headers)["stripe-signature"].split(",")[0] for delivery in listener.deliveries]
        assert len(set(stamps)) > 1
        time.sleep(0.1)
        assert len(listener.deliveries) == 4, "then never again"


@pytest.mark.parametrize(("status", "known"), [(200, True), (201, True), (204, True), (302, False), (400, False)])
def test_any_2xx_acknowledges(status: int, known: bool) -> None:
    with WebhookListener(respond=status) as listener, make(webhook_url=listener.url, time_scale=0) as sandbox:
        post(sandbox, "/v1/payment_intents", {"amount": "8800", "currency": "hkd"})
        eventually(lambda: len(sandbox.notifications) == (1 if known else 4))
        time.sleep(0.05)
        assert {each.acknowledged for each in sandbox.notifications} == {known}
        assert len(sandbox.notifications) == (1 if known else 4)


def test_an_answer_that_comes_too_late_is_no_acknowledgement() -> None:
    with WebhookListener(delay=5) as listener, make(ack_timeout=0.05) as sandbox:
        found = wallet(sandbox)
        assert sandbox.deliver(found) is None, "to nobody"
        sandbox.register_endpoint(listener.url)
        assert sandbox.deliver(found) is None
        assert sandbox.notifications[0].problem == "no answer within 0.05 s"


def test_an_event_can_be_delivered_once_more(sandbox: Sandbox, listener: WebhookListener) -> None:
    found = wallet(sandbox)
    sandbox.pay(found, notify=False)
    listener.wait(2)
    listener.respond = 418
    assert [sandbox.deliver(found), sandbox.deliver(found)] == [418, 418]
    first, second = listener.deliveries[2:]
    assert (first.body, json.loads(first.body)["type"]) == (second.body, "payment_intent.succeeded")


@pytest.mark.parametrize("host", ["shop.example", "127.0.0.1.example", "10.0.0.1", "0.0.0.0", "[fe80::1]"])
def test_nothing_is_sent_to_other_machines(host: str) -> None:
    with make(webhook_url=f"http://{host}/hook") as sandbox:
        found = post(sandbox, "/v1/payment_intents", {"amount": "8800", "currency": "hkd"})["id"]
        eventually(lambda: sandbox.notifications)
        assert sandbox.deliver(found) is None
        assert {made.problem for made in sandbox.notifications} == {"not sent: the address is not on loopback"}
        assert len(sandbox.notifications) == 2, "it is not tried again"


def test_closing_ends_waits_and_deliveries_at_once() -> None:
    with make() as sandbox, WebhookListener(delay=30) as listener:
        found = wallet(sandbox)
        sandbox.register_endpoint(listener.url)
        answers: list[int | None] = []
        waiting = threading.Thread(target=lambda: answers.append(sandbox.deliver(found)))
        waiting.start()
        listener.wait(1)
        began = time.monotonic()
        sandbox.close()
        waiting.join(10)
        assert time.monotonic() - began < 3
        assert answers == [None]


def test_an_endpoint_is_registered_over_the_api_for_the_events_that_it_names() -> None:
    with make() as sandbox, WebhookListener() as listener:
        form = {"url": listener.url, "enabled_events[]": "payment_intent.succeeded"}
        made = post(sandbox, "/v1/webhook_endpoints", form)
        assert (made["api_version"], made["secret"]) == (API_VERSION, sandbox.config["webhook_key"])
        sandbox.pay(wallet(sandbox))
        assert kinds(listener, 1) == ["payment_intent.succeeded"]
        for wrong in ({"url": listener.url}, {**form, "url": "x"}, {**form, "api_version": "2020-08-27"}):
            assert post(sandbox, "/v1/webhook_endpoints", wrong)["error"]["type"] == "invalid_request_error"


# The shopper's page.


def page(sandbox: Sandbox, found: str) -> httpx.Response:
    return httpx.get(sandbox.wallet_url(found), trust_env=False)


def decide(sandbox: Sandbox, found: str, decision: str, **headers: str) -> httpx.Response:
    return httpx.post(f"{sandbox.url}/wallet/{found}", data={"decision": decision}, headers=headers, trust_env=False)


def status(sandbox: Sandbox, found: str) -> str:
    return str(httpx.get(f"{sandbox.url}/_sandbox/orders/{found}", trust_env=False).json()["status"])


@pytest.mark.parametrize(("make_one", "title"), [(wallet, "Pay with Alipay<"), (checkout, "Pay with a card<")])
def test_the_shopper_sees_what_is_asked_and_four_buttons(sandbox: Sandbox, make_one: Any, title: str) -> None:
    reply = page(sandbox, make_one(sandbox))
    assert reply.status_code == 200
    for shown in ("88.00 HKD", "A cup of tea", "A1", title, "Approve", "Decline", "Cancel", "time out"):
        assert shown in reply.text


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
    for found, wanted in ((wallet(sandbox), of_wallet), (checkout(sandbox), of_session)):
        reply = decide(sandbox, found, decision, Origin=sandbox.url)
        assert (reply.status_code, reply.headers["location"]) == (303, f"/wallet/{found}"), "the shop is elsewhere"
        assert status(sandbox, found) == wanted
        after = page(sandbox, found).text
        assert ("<button" in after) == (wanted == "open")
        assert ("Back to the shop" in after) == (wanted not in ("open", "expired"))


@pytest.mark.parametrize(
    ("decision", "redirected"), [("approve", "redirect_status=succeeded"), ("decline", "redirect_status=failed")]
)
def test_a_shop_on_this_machine_gets_its_shopper_back(sandbox: Sandbox, decision: str, redirected: str) -> None:
    found = wallet(sandbox, return_url="http://127.0.0.1:1/paid?order=A1#top")
    location = decide(sandbox, found, decision).headers["location"]
    assert location.startswith(f"http://127.0.0.1:1/paid?order=A1&payment_intent={found}&payment_intent_client_secret=")
    assert location.endswith(f"{redirected}#top")
    session = checkout(sandbox, success_url="http://localhost:1/paid?session={CHECKOUT_SESSION_ID}")
    if decision == "approve":
        assert decide(sandbox, session, decision).headers["location"] == f"http://localhost:1/paid?session={session}"


def test_looking_at_the_page_pays_nothing(sandbox: Sandbox) -> None:
    found = wallet(sandbox)
    for method in ("GET", "HEAD"):
        address = f"{sandbox.wallet_url(found)}?decision=approve"
        assert httpx.request(method, address, trust_env=False).status_code == 200
    assert status(sandbox, found) == "requires_action"


def test_what_was_decided_stays_decided(sandbox: Sandbox) -> None:
    found = wallet(sandbox)
    decide(sandbox, found, "approve")
    again = decide(sandbox, found, "cancel")
    assert (again.status_code, "closed before" in again.text) == (409, True)


def test_whatever_a_merchant_writes_is_text_on_the_page(sandbox: Sandbox) -> None:
    intent = wallet(
        sandbox,
        **{
            "description": EVIL,
            "metadata[payments_core_order_id]": EVIL,
            "return_url": f"{RETURN}?{EVIL.replace(' ', '+')}",
        },
    )
    session = checkout(sandbox, **{"line_items[0][price_data][product_data][name]": EVIL})
    pages = "".join(page(sandbox, found).text for found in (intent, session))
    sandbox.set_status(intent, "<u>odd")
    pages += page(sandbox, intent).text + httpx.get(sandbox.url, trust_env=False).text
    for markup in ("<script", "<img", "<u>"):
        assert markup not in pages
    assert "&lt;script&gt;" in pages


def test_the_page_may_load_and_run_nothing(sandbox: Sandbox) -> None:
    reply = page(sandbox, wallet(sandbox))
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("form-action 'self' http://127.0.0.1:* http://localhost:*")
    assert re.findall(r"(?:src|href)=|url\(|<script", reply.text) == []


def test_unknown_payments_and_decisions_are_answered_with_a_page(sandbox: Sandbox) -> None:
    for found in ("pi_1", "cs_1", "x"):
        assert httpx.get(f"{sandbox.url}/wallet/{found}", trust_env=False).status_code == 404
        assert decide(sandbox, found, "approve").status_code == 404
    assert decide(sandbox, wallet(sandbox), "rob").status_code == 400


# The control routes, and who may reach them.


def control(sandbox: Sandbox, path: str, fields: Any = None, **headers: str) -> httpx.Response:
    return httpx.post(f"{sandbox.url}/_sandbox{path}", json=fields or {}, headers=headers, trust_env=False)


def test_the_control_routes_do_what_the_methods_do() -> None:
    with make() as sandbox, WebhookListener() as listener:
        assert control(sandbox, "/endpoints", {"url": listener.url}).json()["url"] == listener.url
        found, session, third = wallet(sandbox), checkout(sandbox), wallet(sandbox)
        orders = httpx.get(f"{sandbox.url}/_sandbox/orders", trust_env=False).json()
        assert {order["provider_id"] for order in orders} == {found, session, third}
        assert {order["order_id"] for order in orders} == {"A1"}
        path = f"/orders/{found}"
        assert (
            control(sandbox, f"{path}/decline", {"decline_code": "lost_card"}).json()["status"]
            == "requires_payment_method"
        )
        assert control(sandbox, f"{path}/status", {"status": "requires_action"}).json()["status"] == "requires_action"
        assert control(sandbox, f"{path}/pay").json()["status"] == "succeeded"
        assert control(sandbox, f"{path}/amount", {"amount": "50", "currency": "USD"}).json()["currency"] == "USD"
        assert [each["status"] for each in control(sandbox, f"{path}/deliver").json()] == [200]
        assert control(sandbox, f"/orders/{session}/time-out").json()["status"] == "expired"
        assert control(sandbox, f"/orders/{third}/cancel").json()["status"] == "canceled"
        first, second = (
            post(sandbox, "/v1/refunds", {"payment_intent": found, "amount": "100"})["id"] for _ in range(2)
        )
        assert control(sandbox, f"/refunds/{first}/settle").status_code == 200
        assert control(sandbox, f"/refunds/{second}/fail").status_code == 200
        assert control(sandbox, "/advance", {"seconds": 60}).json()["now"] > time.time() + 50
        assert httpx.get(f"{sandbox.url}/_sandbox/received", trust_env=False).json()[-1]["status"] == 200
        eventually(lambda: httpx.get(f"{sandbox.url}/_sandbox/notifications", trust_env=False).json())


@pytest.mark.parametrize(
    ("path", "fields", "wanted"),
    [
        ("/orders/pi_1/pay", {}, 404),
        ("/orders/pi_1/deliver", {}, 404),
        ("/refunds/re_1/settle", {}, 404),
        ("/orders/{found}/status", {}, 400),
        ("/orders/{found}/status", {"status": 1}, 400),
        ("/orders/{found}/status", {"status": "complete:paid"}, 409),
        ("/orders/{found}/pay", {"notfy": True}, 400),
        ("/advance", {"seconds": -1}, 409),
    ],
)
def test_a_mistaken_control_call_says_what_is_wrong(sandbox: Sandbox, path: str, fields: Any, wanted: int) -> None:
    reply = control(sandbox, path.format(found=wallet(sandbox)), fields)
    assert reply.status_code == wanted
    assert reply.json()["error"]


def test_a_control_call_without_json_content_type_changes_nothing(sandbox: Sandbox) -> None:
    found = wallet(sandbox)
    for kind in ("", "text/plain", "application/x-www-form-urlencoded"):
        reply = httpx.post(
            f"{sandbox.url}/_sandbox/orders/{found}/pay", content=b"{}", headers={"content-type": kind}, trust_env=False
        )
        assert reply.status_code == 415
    assert status(sandbox, found) == "requires_action"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_a_page_of_another_origin_changes_nothing(sandbox: Sandbox, origin: str) -> None:
    found = wallet(sandbox)
    assert control(sandbox, f"/orders/{found}/pay", Origin=origin).status_code == 403
    assert decide(sandbox, found, "approve", Origin=origin).status_code == 403
    assert decide(sandbox, found, "approve", **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert status(sandbox, found) == "requires_action"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "a@127.0.0.1", "::1"])
def test_a_foreign_host_reaches_no_route(sandbox: Sandbox, host: str) -> None:
    for path in ("/v1/payment_intents", f"/wallet/{wallet(sandbox)}", "/", "/_sandbox/orders", "/_sandbox/received"):
        assert httpx.get(sandbox.url + path, headers={"Host": host}, trust_env=False).status_code == 421


def test_a_clock_goes_forward_only(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="forward"):
        sandbox.advance(-1)
    with pytest.raises(NotPossible):
        sandbox.set_status(wallet(sandbox), "")
