"""Test that the commands tell the truth about signed, unsigned and absent notifications."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from payments_alipayhk import AlipayHKProvider
from payments_core import Gateway, Notification, PaymentError, WebhookDelivery, WebhookRejected, hookimpl
from payments_core.cli import examine, exits
from payments_core.testing.server import ReceivedDelivery, WebhookListener

pytestmark = pytest.mark.usefixtures("postcard_and_hush")


def steps(ran: Any) -> list[str]:
    return [each["step"] for each in ran.lines]


def skipped(ran: Any) -> list[str]:
    return [each["step"] for each in ran.lines if each["skipped"]]


# The demo.


def test_demo_says_an_unsigned_notification_is_a_hint_and_asks(run: Any) -> None:
    ran = run("demo", "--provider", "postcard")
    assert (ran.code, ran.err) == (0, "")
    assert "it is not signed, so anybody could have sent it: it is only a hint, and the gateway is asked" in ran.out
    assert "asked, the gateway says SUCCEEDED" in ran.out
    assert "signature" not in ran.out
    assert ran.out.endswith("Every step happened.\n")


def test_demo_invents_an_unsigned_notification_before_payment(run: Any) -> None:
    ran = run("demo", "--provider", "postcard", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert steps(ran) == ["authorized", "charged", "forgery_harmless", "notified", "confirmed", "mismatch_refused"]
    assert skipped(ran) == []
    _, _, forgery, notified, confirmed, _ = ran.lines
    assert (forgery["notifications"], forgery["answered"]) == ("UNSIGNED", 200)
    assert (forgery["status"], forgery["raw_status"]) == ("REQUIRES_ACTION", "open")
    assert (forgery["reason"], forgery["malformed_answered"]) == ("malformed", 200), "as Postcard declares"
    assert (notified["notifications"], notified["verified"], notified["authoritative"]) == ("UNSIGNED", False, False)
    assert (confirmed["asked"], confirmed["paid"]) == (True, True)


def test_demo_polls_a_gateway_without_notifications(
    run: Any, postcard_and_hush: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shopper takes three queries to pay."""
    monkeypatch.setattr("payments_core.cli.walkthrough._POLL_INTERVAL", 0.01)
    queries: list[str] = []
    deferred: list[Callable[[], None]] = []
    pay, get_status = postcard_and_hush.Sandbox.pay, postcard_and_hush.Hush.get_status

    @hookimpl
    def counting(self: Any, reference: Any) -> Any:
        queries.append(reference.provider_id)
        if len(queries) == 3:
            deferred[0]()
        return get_status(self, reference)

    monkeypatch.setattr(postcard_and_hush.Sandbox, "pay", lambda self, made: deferred.append(lambda: pay(self, made)))
    monkeypatch.setattr(postcard_and_hush.Hush, "get_status", counting)
    ran = run("demo", "--provider", "hush", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert steps(ran) == ["authorized", "charged", "notified", "confirmed", "forgery_refused", "mismatch_refused"]
    assert skipped(ran) == ["notified", "forgery_refused"]
    assert ran.lines[2] == {"step": "notified", "skipped": True, "notifications": "NONE"}
    assert ran.lines[4] == {"step": "forgery_refused", "skipped": True, "notifications": "NONE"}
    assert (ran.lines[3]["asked"], ran.lines[3]["paid"]) == (True, True)
    assert len(queries) == 4, "three to confirm, and one about another amount"


def test_demo_claims_no_notification_of_a_gateway_without_them(run: Any) -> None:
    ran = run("demo", "--provider", "hush")
    assert (ran.code, ran.err) == (0, "")
    assert "notified          not sent by this gateway: the demo polls instead" in ran.out
    assert "confirmed         polled, the gateway says SUCCEEDED" in ran.out
    assert "forgery_refused   not sent by this gateway: there is no notification to forge" in ran.out
    assert "signature" not in ran.out
    assert ran.out.endswith("Every step happened, except for notifications: this gateway sends none.\n")


def test_demo_of_a_signed_gateway_has_no_skipped_step(run: Any) -> None:
    ran = run("demo", "--provider", "alipayhk", "--json")
    assert ran.code == 0
    assert skipped(ran) == []
    assert {each["notifications"] for each in ran.lines if "notifications" in each} == {"SIGNED"}
    assert ran.lines[2]["verified"] is True


def test_demo_answers_a_forgery_with_the_declared_rejection_status(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AlipayHKProvider, "info", structs.replace(AlipayHKProvider.info, rejection_status=200))
    ran = run("demo", "--provider", "alipayhk", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert (ran.lines[4]["reason"], ran.lines[4]["answered"]) == ("signature", 200)
    assert "answered 200, and nothing changed" in run("demo", "--provider", "alipayhk").out


def failed(ran: Any, step: str, problem: str) -> None:
    assert ran.code == 1
    assert step not in steps(ran)
    assert ran.error["step"] == step
    assert problem in ran.error["message"]


def test_demo_fails_if_an_invented_notification_changes_the_charge(
    run: Any, postcard_and_hush: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse, invented = postcard_and_hush.Postcard.parse_webhook, []
    notification = postcard_and_hush.Sandbox.notification

    def watched(self: Any, provider_id: str) -> WebhookDelivery:
        invented.append((self, provider_id))
        return notification(self, provider_id)

    @hookimpl
    def gullible(self: Any, delivery: Any) -> Any:
        sandbox, provider_id = invented[0]
        sandbox._bills[provider_id]["state"] = "paid"
        return parse(self, delivery)

    monkeypatch.setattr(postcard_and_hush.Sandbox, "notification", watched)
    monkeypatch.setattr(postcard_and_hush.Postcard, "parse_webhook", gullible)
    failed(
        run("demo", "--provider", "postcard", "--json"),
        "forgery_harmless",
        "an invented notification changed the charge from REQUIRES_ACTION to SUCCEEDED",
    )


def test_demo_fails_if_malformed_bytes_are_accepted(
    run: Any, postcard_and_hush: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = postcard_and_hush.Postcard.parse_webhook

    @hookimpl
    def gullible(self: Any, delivery: Any) -> Any:
        try:
            return parse(self, delivery)
        except WebhookRejected:
            return Notification(())

    monkeypatch.setattr(postcard_and_hush.Postcard, "parse_webhook", gullible)
    ran = run("demo", "--provider", "postcard", "--json")
    failed(ran, "forgery_harmless", "a malformed body was answered 200, and accepted")


def test_demo_fails_if_the_shopper_declines_at_a_gateway_without_notifications(
    run: Any, postcard_and_hush: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postcard_and_hush.Sandbox, "pay", postcard_and_hush.Sandbox.cancel)
    failed(run("demo", "--provider", "hush", "--json"), "confirmed", "the gateway says CANCELLED (void)")


def test_demo_fails_if_polling_finds_no_payment_in_time(
    run: Any, postcard_and_hush: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payments_core.cli.walkthrough._POLL_INTERVAL", 0.01)
    monkeypatch.setattr("payments_core.cli.walkthrough._TIMEOUT", 0.1)
    monkeypatch.setattr(postcard_and_hush.Sandbox, "pay", lambda self, made: None)
    failed(run("demo", "--provider", "hush", "--json"), "confirmed", "the gateway says REQUIRES_ACTION (open)")


# Verifying and signing.


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """Configure both gateways, at an address where nobody listens."""
    file = tmp_path / "payments.toml"
    section = 'base_url = "http://127.0.0.1:9"\napi_key = "a-key-of-nobody"\n'
    file.write_text(f"[gateways.postcard]\n{section}[gateways.hush]\n{section}")
    return file


@pytest.fixture
def body(tmp_path: Path) -> Path:
    file = tmp_path / "body"
    file.write_bytes(b"id=bill_0123456789abcdef")
    return file


@pytest.mark.usefixtures("configured")
def test_verify_reads_an_unsigned_notification_and_does_not_call_it_verified(run: Any, body: Path) -> None:
    ran = run("webhook", "verify", "postcard", "--body", body, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["verified"], ran.json["notifications"]) == (False, "UNSIGNED")
    assert ran.json["events"][0]["reference"]["provider_id"] == "bill_0123456789abcdef"
    out = run("webhook", "verify", "postcard", "--body", body).out
    assert out.startswith("not signed: anybody could have sent this, so it is only a hint to ask the gateway\n")
    assert "verified" not in out


@pytest.mark.usefixtures("configured")
def test_verify_names_the_declared_rejection_status(run: Any, body: Path) -> None:
    body.write_bytes(b"nothing that Postcard sends")
    ran = run("webhook", "verify", "postcard", "--body", body, "--json")
    assert (ran.code, ran.error["reason"], ran.error["status"]) == (9, "malformed", 200)
    assert ran.error["next"] == "Answer 200 and change nothing."


@pytest.mark.usefixtures("configured")
def test_verify_for_a_gateway_without_notifications_advises_to_ask(run: Any, body: Path) -> None:
    ran = run("webhook", "verify", "hush", "--body", body, "--json")
    assert (ran.code, ran.error["kind"]) == (4, "UnsupportedOperation")
    assert ran.error["message"] == "Hush sends no notifications"
    assert "ask about every open order with `payments confirm`" in ran.error["next"]


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("name", "problem"),
    [("postcard", "Postcard's notifications are not signed"), ("hush", "Hush sends no notifications")],
)
def test_sign_for_a_gateway_that_signs_nothing_says_so(run: Any, body: Path, name: str, problem: str) -> None:
    ran = run("webhook", "sign", name, "--body", body, "--json")
    assert (ran.code, ran.out) == (4, "")
    assert ran.error["message"] == f"nothing is signed: {problem}"


@pytest.mark.parametrize(("status", "answer"), [(400, "Answer 400 "), (200, "Answer 200 ")])
def test_advice_to_answer_a_rejection_names_its_status(status: int, answer: str) -> None:
    for reason in ("signature", "malformed", "stale"):
        error = WebhookRejected(reason)
        error.status = status
        assert exits.advice(error, SimpleNamespace()).startswith(answer)  # type: ignore[arg-type]


# The doctor.


@pytest.fixture
def shop(postcard_and_hush: ModuleType) -> Iterator[Callable[..., WebhookListener]]:
    """Open the webhook address of a shop of Postcard's, which answers these two statuses."""
    opened: list[WebhookListener] = []

    def shop_(accepted: int = 200, refused: int = 200) -> WebhookListener:
        gateway = Gateway.open("postcard", {"base_url": "http://127.0.0.1:9", "api_key": "a-key-of-nobody"})

        def respond(delivery: ReceivedDelivery) -> int:
            try:
                gateway.parse_webhook(WebhookDelivery(delivery.body, delivery.headers))
            except PaymentError:
                return refused
            return accepted

        opened.append(WebhookListener(respond=respond))
        return opened[-1]

    yield shop_
    for each in opened:
        each.close()


def checks(ran: Any) -> dict[str, dict[str, str]]:
    return {each["check"]: each for each in ran.json["gateways"][0]["checks"]}


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("rejection_status", "answers", "results"),
    [
        (200, (200, 200), ("warning", "ok")),
        (200, (200, 400), ("warning", "ok")),
        (400, (200, 400), ("ok", "ok")),
        (400, (200, 200), ("failed", "ok")),
        (200, (200, 500), ("failed", "ok")),
        (200, (400, 200), ("warning", "failed")),
        (503, (200, 503), ("ok", "ok")),
    ],
)
def test_doctor_checks_a_shop_of_unsigned_notifications(
    run: Any,
    shop: Any,
    postcard_and_hush: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    rejection_status: int,
    answers: tuple[int, int],
    results: tuple[str, str],
) -> None:
    info = structs.replace(postcard_and_hush.Postcard.info, rejection_status=rejection_status)
    monkeypatch.setattr(postcard_and_hush.Postcard, "info", info)
    listener = shop(*answers)
    found = checks(run("doctor", "postcard", "--notify-url", listener.url, "--deadline", "1", "--json"))
    assert (found["forged"]["result"], found["notified"]["result"]) == results
    assert found["forged"]["message"].startswith(f"a body that is no notification was answered {answers[1]}")
    assert "an unsigned notification, about an unknown charge," in found["notified"]["message"]
    assert "signature" not in json.dumps([found["forged"], found["notified"]])
    malformed, invented = listener.deliveries
    assert not malformed.body.startswith(b"id=bill_")
    assert invented.body.startswith(b"id=bill_")


@pytest.mark.usefixtures("configured")
def test_doctor_sends_nothing_for_a_gateway_without_notifications(run: Any, shop: Any) -> None:
    listener = shop()
    found = checks(run("doctor", "hush", "--notify-url", listener.url, "--deadline", "1", "--json"))
    for check in ("forged", "notified"):
        assert found[check]["result"] == "skipped"
        assert "not sent by this gateway" in found[check]["message"]
    assert listener.deliveries == ()


def test_doctor_cannot_see_a_refusal_that_is_answered_like_an_acceptance(
    run: Any, toml: Path, shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AlipayHKProvider, "info", structs.replace(AlipayHKProvider.info, rejection_status=200))
    listener = shop()
    listener.respond = 200
    ran = run("doctor", "alipayhk", "--notify-url", listener.url, "--json")
    assert (ran.code, checks(ran)["forged"]["result"], checks(ran)["notified"]["result"]) == (0, "warning", "ok")
    assert "it does not show whether the shop refused" in checks(ran)["forged"]["message"]


def test_doctor_speaks_of_stale_notifications_only_if_they_are_signed(postcard_and_hush: ModuleType) -> None:
    watch = examine.Watch()
    watch.skew = 90.0
    config = {"base_url": "http://127.0.0.1:9", "api_key": "a-key-of-nobody"}
    for name in ("postcard", "hush"):
        with Gateway.open(name, config) as gateway:
            found = examine._clock(watch, gateway.info)
        assert (found.result, "notification" in found.message) == ("warning", False)


# The sandbox.


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C as soon as the sandbox waits."""

    def wait() -> None:
        raise KeyboardInterrupt

    event = SimpleNamespace(wait=wait)
    monkeypatch.setattr("payments_core.cli.sandbox.threading", SimpleNamespace(Event=lambda: event))


@pytest.mark.usefixtures("interrupted")
def test_sandbox_without_notifications_offers_none(run: Any) -> None:
    ran = run("sandbox", "hush")
    assert ran.code == 0
    assert "Notify: nobody. This gateway sends no notifications: ask about every open order" in ran.out
    assert "deliver" not in ran.out


@pytest.mark.usefixtures("interrupted")
def test_sandbox_with_unsigned_notifications_offers_to_deliver(run: Any) -> None:
    out = run("sandbox", "postcard").out
    assert "Notify: nobody" not in out
    assert "/deliver" in out


def test_sandbox_without_notifications_refuses_an_endpoint(run: Any) -> None:
    ran = run("sandbox", "hush", "--endpoint", "http://127.0.0.1:8000/")
    assert ran.code == 2
    assert "its gateway sends no notifications" in ran.err
    assert "takes the address with each charge" not in ran.err
