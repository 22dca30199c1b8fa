"""The sandbox, over real HTTP: what is documented, exactly; what is invented, marked."""

import contextlib
import hashlib
import http.client
import itertools
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from payments_alipayhk.sandbox import RETRY_DELAYS, NotPossible, Sandbox, UnknownOrder, make
from payments_core.testing.server import PortTaken, WebhookListener

AUTH = "/mch-api/v1/auth"
CREATE = "/mch-api/v1/pa/payment_intents/create"
QUERY = "/mch-api/v1/pa/payment_intents/query"
JSON = {"Content-Type": "application/json"}
NANOSECONDS_IN_HONG_KONG = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+08:00")


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def text(self) -> str:
        return self.raw.decode()

    @property
    def inventions(self) -> str:
        return self.headers.get("sandbox-invention", "")


def send(sandbox: Sandbox, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
    connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
    try:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, headers or {})
        response = connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def authorize(sandbox: Sandbox, **changes: str) -> Reply:
    query = {
        "grant_type": "client_credentials",
        "uid": sandbox.config["uid"],
        "client_secret": sandbox.config["client_secret"],
        **changes,
    }
    return send(sandbox, "GET", f"{AUTH}?{urlencode(query)}")


def bearer(sandbox: Sandbox) -> dict[str, str]:
    return {"Authorization": f"Bearer {authorize(sandbox).json['access_token']}", **JSON}


def body(**changes: Any) -> dict[str, Any]:
    good = {
        "amount": "1",
        "currency": "HKD",
        "merchant_order_id": "P9297895081903",
        "description": "A cup of tea",
        "payment_method": {"type": "alipayhk", "alipayhk": {"flow": "web_qrcode", "payment_method": "ALIPAYHK"}},
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def wallet(flow: Any = "web_qrcode", payment_method: Any = "ALIPAYHK", **more: Any) -> dict[str, Any]:
    return {"type": "alipayhk", "alipayhk": {"flow": flow, "payment_method": payment_method, **more}}


def create(sandbox: Sandbox, **changes: Any) -> Reply:
    return send(sandbox, "POST", CREATE, body(**changes), bearer(sandbox))


def created(sandbox: Sandbox, **changes: Any) -> str:
    return str(create(sandbox, **changes).json["data"]["order_id"])


def query(sandbox: Sandbox, **ids: Any) -> Reply:
    return send(sandbox, "POST", QUERY, ids, bearer(sandbox))


def control(sandbox: Sandbox, path: str, fields: Any = None, **headers: str) -> Reply:
    return send(sandbox, "POST", f"/_sandbox{path}", fields if fields is not None else {}, {**JSON, **headers})


def eventually(condition: Any) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.005)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with make() as running:
        yield running


# Opening and closing.


def test_the_config_names_this_sandbox_and_fresh_credentials(sandbox: Sandbox) -> None:
    assert list(sandbox.config) == ["base_url", "uid", "client_secret", "webhook_key", "previous_webhook_key"]
    assert sandbox.config["base_url"] == sandbox.url
    assert urlsplit(sandbox.url).hostname == "127.0.0.1"
    with make() as other:
        for name in ("uid", "client_secret", "webhook_key"):
            assert sandbox.config[name] != other.config[name]


def test_given_credentials_are_used() -> None:
    with make(uid="m 1&x=é", client_secret="s+%?", webhook_key="k") as sandbox:
        assert [sandbox.config[name] for name in ("uid", "client_secret", "webhook_key")] == ["m 1&x=é", "s+%?", "k"]
        assert authorize(sandbox).status == 200


def test_a_taken_port_is_said(sandbox: Sandbox) -> None:
    with pytest.raises(PortTaken):
        make(urlsplit(sandbox.url).port or 0)


@pytest.mark.parametrize(
    "wrong",
    [{"duplicate": "maybe"}, {"next_action_shape": "x"}, {"token_lifetime": 0}, {"time_scale": -1}, {"ack_timeout": 0}],
)
def test_an_option_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(**wrong)


# Authorization.


def test_authorizing_gives_a_token_without_an_envelope(sandbox: Sandbox) -> None:
    reply = authorize(sandbox)
    assert reply.status == 200
    assert list(reply.json) == ["access_token", "expires_in"]
    assert reply.json["expires_in"] == 3600
    assert reply.inventions == ""


@pytest.mark.parametrize(
    ("wrong", "status"), [({"uid": "0"}, 401), ({"client_secret": "wrong"}, 401), ({"grant_type": "password"}, 400)]
)
def test_wrong_credentials_are_refused_with_a_marked_invention(
    sandbox: Sandbox, wrong: dict[str, str], status: int
) -> None:
    reply = authorize(sandbox, **wrong)
    assert reply.status == status
    assert "access_token" not in reply.json
    assert reply.inventions == "code, status"


def test_credentials_given_twice_are_refused(sandbox: Sandbox) -> None:
    uid, secret = sandbox.config["uid"], sandbox.config["client_secret"]
    path = f"{AUTH}?grant_type=client_credentials&uid={uid}&uid={uid}&client_secret={secret}"
    assert send(sandbox, "GET", path).status == 400


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic {token}", "{token}", "bearer {token}"])
def test_a_call_without_a_live_token_is_401(sandbox: Sandbox, authorization: str) -> None:
    token = authorize(sandbox).json["access_token"]
    for path, fields in ((CREATE, body()), (QUERY, {"order_id": "C1"})):
        reply = send(sandbox, "POST", path, fields, {"Authorization": authorization.format(token=token)})
        assert reply.status == 401
        assert reply.json["message"].startswith("sandbox: ")
        assert reply.inventions == "code, status"


def test_several_tokens_live_at_once_until_they_are_expired(sandbox: Sandbox) -> None:
    first, second = bearer(sandbox), bearer(sandbox)
    assert first != second
    assert send(sandbox, "POST", CREATE, body(merchant_order_id="A"), first).json["code"] == 0
    assert send(sandbox, "POST", CREATE, body(merchant_order_id="B"), second).json["code"] == 0
    sandbox.expire_tokens()
    assert send(sandbox, "POST", CREATE, body(merchant_order_id="C"), first).status == 401
    assert create(sandbox, merchant_order_id="D").status == 200


def test_a_token_expires_after_its_lifetime() -> None:
    now = [10**18]
    with make(token_lifetime=60, clock=lambda: now[0]) as sandbox:
        headers = bearer(sandbox)
        now[0] += 60 * 10**9 - 1
        assert send(sandbox, "POST", QUERY, {"order_id": "C1"}, headers).status == 200
        now[0] += 1
        assert send(sandbox, "POST", QUERY, {"order_id": "C1"}, headers).status == 401


# Create.


def test_a_create_is_answered_as_documented(sandbox: Sandbox) -> None:
    reply = create(sandbox)
    assert (reply.status, reply.inventions) == (200, "")
    assert list(reply.json) == ["code", "data", "message", "rid"]
    assert (reply.json["code"], reply.json["message"]) == (0, "ok")
    assert re.fullmatch(r"[0-9a-f]{32}", reply.json["rid"])
    data = reply.json["data"]
    assert list(data) == ["order_id", "merchant_order_id", "amount", "currency", "create_time", "next_action", "status"]
    assert re.fullmatch(r"C\d{21}", data["order_id"])
    assert (data["amount"], data["currency"], data["status"]) == ("1", "HKD", "PENDING")
    assert NANOSECONDS_IN_HONG_KONG.fullmatch(data["create_time"])


@pytest.mark.parametrize(
    ("flow", "kind"), [("web_qrcode", "redirect"), ("mobile_web", "redirect"), ("csb_qrcode", "render_qrcode")]
)
def test_each_flow_has_its_next_action(sandbox: Sandbox, flow: str, kind: str) -> None:
    data = create(sandbox, payment_method=wallet(flow)).json["data"]
    assert data["next_action"] == {"type": kind, "url": sandbox.wallet_url(data["order_id"])}


@pytest.mark.parametrize(
    ("shape", "kind", "names", "invented"),
    [
        ("qrcode_url", "render_qrcode", ["type", "qrcode_url"], ""),
        ("redirect_url", "redirect", ["type", "redirect_url"], ""),
        ("call_sdk", "call_sdk", ["type", "data"], "next_action.data"),
    ],
)
def test_the_other_channels_shapes_can_be_asked_for(shape: Any, kind: str, names: list[str], invented: str) -> None:
    with make(next_action_shape=shape) as sandbox:
        reply = create(sandbox)
        action = reply.json["data"]["next_action"]
        assert (action["type"], list(action), reply.inventions) == (kind, names, invented)


@pytest.mark.parametrize(
    "good",
    [
        {"amount": "0.01"},
        {"amount": "1.0"},
        {"amount": "1" * 32},
        {"merchant_order_id": "x"},
        {"merchant_order_id": "x" * 32},
        {"description": "茶 <b>&"},
        {"notify_url": "https://shop.example/hook?a=1"},
        {"notify_url": "http://127.0.0.1:1/hook"},
        {"payment_method": wallet(payment_method="ALIPAYCN")},
    ],
)
def test_what_the_documentation_allows_is_accepted(sandbox: Sandbox, good: dict[str, Any]) -> None:
    assert create(sandbox, **good).json["code"] == 0


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        *[("amount", bad) for bad in (..., None, "", 1, 1.5, "0", "0.00", "-1", "+1", "1.", ".5", "1e2", "1.005")],
        *[("amount", bad) for bad in ("NaN", "１", "1_0", "1,5", " 1", "1\n", "1" * 33, True, ["1"])],
        *[("currency", bad) for bad in (..., "", "hkd", "TWD", "CNY", 344)],
        *[("merchant_order_id", bad) for bad in (..., "", "x" * 33, 7)],
        *[("description", bad) for bad in (..., "", None, 7)],
        *[("notify_url", bad) for bad in ("", None, 7, "shop", "ftp://x/y", "http://", "//x/y", "http://x/\r\nA: b")],
        *[("notify_url", bad) for bad in ("http://x y/", "http://[::1", "http://x:99999/", "http://x:0/")],
        *[("payment_method", bad) for bad in (..., None, "alipayhk", [], {})],
        ("payment_method", {"type": "alipayhk"}),
        ("payment_method", {"type": "aplus", "aplus": {"flow": "cashier"}}),
        # The H5 page's own example, whose nested key does not follow the type.
        ("payment_method", {"type": "alipayhk", "wechat": {"flow": "mobile_web", "payment_method": "ALIPAYHK"}}),
        *[("payment_method", wallet(flow=bad)) for bad in ("cashier", "", None, "WEB_QRCODE")],
        *[("payment_method", wallet(payment_method=bad)) for bad in ("ALIPAY", "", None, "alipayhk")],
    ],
)
def test_one_broken_rule_is_refused_by_the_name_of_its_field(sandbox: Sandbox, field: str, bad: Any) -> None:
    reply = create(sandbox, **{field: bad})
    assert reply.status == 200, "a rejection can come with HTTP 200"
    assert reply.json["code"] != 0
    assert reply.json["data"] is None
    assert reply.json["message"].startswith(f"sandbox: {field}")
    assert reply.json["rid"]
    assert reply.inventions == "code"


@pytest.mark.parametrize(
    "bad", [b"", b"x", b"[]", b'"a"', b"null", b"{", b"\xff{}", b'{"a": NaN}', b"[" * 60000, b" " * 70000 + b"{}"]
)
def test_a_body_that_is_not_a_json_object_is_refused(sandbox: Sandbox, bad: bytes) -> None:
    reply = send(sandbox, "POST", CREATE, bad, bearer(sandbox))
    assert (reply.status, reply.inventions) == (200, "code")
    assert reply.json["code"] != 0


def test_unknown_fields_are_let_through_and_seen(sandbox: Sandbox) -> None:
    method = {**wallet(extra=1), "more": 2}
    assert create(sandbox, payment_method=method, return_url="https://x.example").json["code"] == 0
    assert sandbox.received[-1].unknown_fields == ("return_url", "payment_method.more", "payment_method.alipayhk.extra")


def test_a_second_create_with_one_merchant_order_id_is_refused_by_default(sandbox: Sandbox) -> None:
    create(sandbox)
    reply = create(sandbox)
    assert (reply.json["code"] != 0, reply.inventions) == (True, "code")


def test_a_duplicate_can_be_answered_with_the_same_order_unless_its_amount_differs() -> None:
    with make(duplicate="same") as sandbox:
        first, again, other = create(sandbox), create(sandbox), create(sandbox, amount="2")
        assert again.json["data"] == first.json["data"]
        assert again.inventions == "duplicate"
        assert other.json["code"] != 0


def test_a_duplicate_can_be_a_second_order_and_a_query_finds_the_newest() -> None:
    with make(duplicate="second") as sandbox:
        first, second = create(sandbox), create(sandbox)
        assert (first.inventions, second.inventions) == ("", "duplicate")
        found = query(sandbox, merchant_order_id="P9297895081903")
        assert found.json["data"]["order_id"] == second.json["data"]["order_id"]
        assert found.inventions == "newest-of-duplicates"


def test_a_rejection_can_be_told_for_the_next_create_only(sandbox: Sandbox) -> None:
    sandbox.reject_next(12345, "no thanks")
    reply = create(sandbox)
    assert (reply.status, reply.json["code"], reply.json["message"]) == (200, 12345, "sandbox: no thanks")
    assert reply.inventions == "code"
    assert create(sandbox).json["code"] == 0


# Query.


@pytest.mark.parametrize("by", [["order_id"], ["merchant_order_id"], ["order_id", "merchant_order_id"]])
def test_an_order_is_found_by_either_id_or_both(sandbox: Sandbox, by: list[str]) -> None:
    made = create(sandbox).json["data"]
    reply = query(sandbox, **{name: made[name] for name in by})
    assert list(reply.json["data"]) == ["order_id", "merchant_order_id", "amount", "currency", "status", "create_time"]
    assert reply.json["data"] == {name: value for name, value in made.items() if name != "next_action"}
    assert reply.inventions == ""


def test_a_paid_order_says_when(sandbox: Sandbox) -> None:
    order_id = created(sandbox)
    sandbox.pay(order_id)
    data = query(sandbox, order_id=order_id).json["data"]
    assert data["status"] == "SUCCEEDED"
    assert NANOSECONDS_IN_HONG_KONG.fullmatch(data["pay_time"])


def test_an_unknown_order_is_a_marked_invention(sandbox: Sandbox) -> None:
    order_id = created(sandbox)
    for ids in (
        {"order_id": "C1"},
        {"merchant_order_id": "no"},
        {"order_id": order_id, "merchant_order_id": "another"},
    ):
        reply = query(sandbox, **ids)
        assert (reply.status, reply.inventions) == (200, "code")
        assert reply.json["code"] != 0


@pytest.mark.parametrize("bad", [{}, {"order_id": ""}, {"order_id": 1}, {"merchant_order_id": None}, {"id": "x"}])
def test_a_query_needs_one_of_the_two_ids(sandbox: Sandbox, bad: dict[str, Any]) -> None:
    assert query(sandbox, **bad).json["code"] != 0


def test_other_paths_and_methods_are_marked(sandbox: Sandbox) -> None:
    for method, path in (("GET", CREATE), ("POST", AUTH), ("GET", "/mch-api/v1/nothing"), ("GET", AUTH + "/")):
        reply = send(sandbox, method, path)
        assert (reply.status, reply.inventions) == (404, "code, status")


# Control by a test or a demo.


def test_any_status_and_any_amount_can_be_played(sandbox: Sandbox) -> None:
    order_id = created(sandbox)
    for status, amount, currency in (("SUCCEEDED", "50", "TWD"), ("FROZEN", "1", "HKD")):
        sandbox.set_status(order_id, status)
        sandbox.set_amount(order_id, amount, currency)
        data = query(sandbox, order_id=order_id).json["data"]
        assert (data["status"], data["amount"], data["currency"]) == (status, amount, currency)


@pytest.mark.parametrize("close", ["pay", "cancel", "time_out"])
def test_a_closed_order_allows_no_further_move(sandbox: Sandbox, close: str) -> None:
    order_id = created(sandbox)
    getattr(sandbox, close)(order_id)
    before = query(sandbox, order_id=order_id).json["data"]
    assert before["status"] == ("SUCCEEDED" if close == "pay" else "CANCELLED")
    for move in (sandbox.pay, sandbox.cancel, sandbox.time_out):
        with pytest.raises(NotPossible):
            move(order_id)
    assert query(sandbox, order_id=order_id).json["data"] == before


def test_moves_need_an_order(sandbox: Sandbox) -> None:
    for move in (sandbox.pay, sandbox.cancel, sandbox.deliver, sandbox.refund, sandbox.wallet_url):
        with pytest.raises(UnknownOrder):
            move("C1")


def test_concurrent_payments_succeed_once(sandbox: Sandbox) -> None:
    order_id, paid = created(sandbox), []

    def pay() -> None:
        with contextlib.suppress(NotPossible):
            sandbox.pay(order_id)
            paid.append(1)

    threads = [threading.Thread(target=pay) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paid) == 1


def test_what_was_received_is_kept_without_secrets_and_tokens(sandbox: Sandbox) -> None:
    create(sandbox)
    asked, made = sandbox.received
    assert (asked.method, asked.path, asked.status, asked.code) == ("GET", AUTH, 200, None)
    assert dict(asked.query) == {
        "grant_type": "client_credentials",
        "uid": sandbox.config["uid"],
        "client_secret": "***",
    }
    assert (made.method, made.path, made.json, made.status, made.code) == ("POST", CREATE, body(), 200, 0)
    assert ("content-type", "application/json") in made.headers
    assert "authorization" not in dict(made.headers)
    shown = repr(sandbox.received) + send(sandbox, "GET", "/_sandbox/received").text
    for name in ("client_secret", "webhook_key"):
        assert sandbox.config[name] not in shown


def test_a_seed_repeats_every_byte_of_every_answer() -> None:
    def life() -> list[bytes]:
        with make(seed="story", public_url="https://sandbox.example") as sandbox:
            replies = [authorize(sandbox), create(sandbox), create(sandbox)]
            order_id = replies[1].json["data"]["order_id"]
            sandbox.pay(order_id)
            replies.append(query(sandbox, order_id=order_id))
            assert replies[1].json["data"]["next_action"]["url"] == f"https://sandbox.example/wallet/{order_id}"
            return [reply.raw + repr(reply.headers).encode() for reply in replies]

    first = life()
    assert first == life()
    with make(seed="another story") as other:
        assert authorize(other).raw != first[0]


# Notifications.


def test_paying_sends_the_documented_notification_signed(sandbox: Sandbox) -> None:
    with WebhookListener() as listener:
        order_id = created(sandbox, notify_url=listener.url)
        sandbox.pay(order_id)
        (delivery,) = listener.wait(1)
        eventually(lambda: sandbox.notifications)
    ids = f'{{"order_id":"{order_id}","merchant_order_id":"P9297895081903"}}'
    assert delivery.body == f'{{"notify_type":"payment_success","data":{ids}}}'.encode()
    key = sandbox.config["webhook_key"].encode()
    assert dict(delivery.headers)["signature"] == hashlib.sha256(delivery.body + b"." + key).hexdigest()
    (made,) = sandbox.notifications
    assert (made.status, made.acknowledged, made.attempt) == (200, True, 1)


def test_a_refund_is_notified_in_the_published_shape() -> None:
    with make(uid="39172931") as sandbox, WebhookListener() as listener:
        order_id = created(sandbox, amount="105.00", notify_url=listener.url)
        with pytest.raises(NotPossible):
            sandbox.refund(order_id)
        sandbox.set_status(order_id, "SUCCEEDED")
        assert sandbox.refund(order_id) == 200
        assert sandbox.refund(order_id, "5.00") == 200
        first, second = (json.loads(delivery.body) for delivery in listener.deliveries)
    assert (list(first), first["notify_type"]) == (["notify_type", "data"], "refund_success")
    assert list(first["data"]) == [
        "uid",
        "refund_id",
        "merchant_refund_id",
        "order_amount",
        "create_time",
        "refund_time",
    ]
    assert first["data"]["uid"] == 39172931
    assert re.fullmatch(r"C\d{17}", first["data"]["refund_id"])
    assert re.fullmatch(r"P\d{19}", first["data"]["merchant_refund_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["data"]["refund_time"])
    assert [each["data"]["order_amount"] for each in (first, second)] == ["105.00", "5.00"]
    assert first["data"]["refund_id"] != second["data"]["refund_id"]


def test_the_schedule_is_the_documented_one() -> None:
    assert RETRY_DELAYS == (15, 30, 60, 300, 600, 1800, 3600, 7200, 14400)


def test_an_unacknowledged_notification_is_delivered_ten_times_in_growing_intervals() -> None:
    scale = 1 / 100_000  # the last wait, of 4 h, takes 0.14 s
    with make(time_scale=scale) as sandbox, WebhookListener(respond=500) as listener:
        order_id = created(sandbox, notify_url=listener.url)
        sandbox.pay(order_id)
        eventually(lambda: len(sandbox.notifications) == 10)
        made = sandbox.notifications
        assert [delivery.attempt for delivery in made] == list(range(1, 11))
        assert {delivery.status for delivery in made} == {500}
        waits = [later.monotonic - earlier.monotonic for earlier, later in itertools.pairwise(made)]
        # A machine may be late, never early: each wait has its documented length at least.
        assert all(wait >= delay * scale for wait, delay in zip(waits, RETRY_DELAYS, strict=True))
        assert len({delivery.body for delivery in listener.deliveries}) == 1
        sandbox.deliver(order_id)
        assert len(listener.deliveries) == 11, "then never again, but by hand"


@pytest.mark.parametrize("status", [201, 202, 204, 302, 400, 404, 500, 503])
def test_only_200_acknowledges_and_ends_the_schedule(status: int) -> None:
    answers = iter([status, status, 200, 200])
    with make(time_scale=0) as sandbox, WebhookListener(respond=lambda delivery: next(answers)) as listener:
        order_id = created(sandbox, notify_url=listener.url)
        sandbox.pay(order_id)
        eventually(lambda: len(sandbox.notifications) == 3)
        assert sandbox.deliver(order_id) == 200, "and no other was under way before this one"
        made = [(each.attempt, each.status, each.acknowledged) for each in sandbox.notifications]
        assert made == [(1, status, False), (2, status, False), (3, 200, True), (0, 200, True)]


def test_an_answer_that_comes_too_late_is_no_acknowledgement() -> None:
    with make(ack_timeout=0.05) as sandbox, WebhookListener(delay=5) as listener:
        order_id = created(sandbox, notify_url=listener.url)
        assert sandbox.deliver(order_id) is None
        assert sandbox.notifications[0].problem == "no answer within 0.05 s"


def test_a_listener_that_is_not_there_is_recorded(sandbox: Sandbox) -> None:
    with WebhookListener() as gone:
        pass
    assert sandbox.deliver(created(sandbox, notify_url=gone.url)) is None
    assert sandbox.notifications[0].problem.startswith("no HTTP answer")


def test_a_notification_can_be_sent_by_hand_early_late_and_twice(sandbox: Sandbox) -> None:
    with WebhookListener() as listener:
        order_id = created(sandbox, notify_url=listener.url)
        assert sandbox.deliver(order_id) == 200
        sandbox.pay(order_id, notify=False)
        listener.respond = 418
        assert sandbox.deliver(order_id) == 418
        first, second = listener.deliveries
        assert (first.body, first.headers) == (second.body, second.headers)
        assert [made.attempt for made in sandbox.notifications] == [0, 0]


def test_an_order_without_notify_url_is_notified_to_nobody(sandbox: Sandbox) -> None:
    order_id = created(sandbox)
    sandbox.pay(order_id)
    assert sandbox.deliver(order_id) is None
    assert [made.problem for made in sandbox.notifications] == ["not sent: there is no address"]


@pytest.mark.parametrize("host", ["shop.example", "127.0.0.1.example", "10.0.0.1", "0.0.0.0", "[fe80::1]"])
def test_nothing_is_sent_to_other_machines(sandbox: Sandbox, host: str) -> None:
    order_id = created(sandbox, notify_url=f"http://{host}/hook")
    sandbox.pay(order_id)
    eventually(lambda: sandbox.notifications)
    assert sandbox.deliver(order_id) is None
    assert {made.problem for made in sandbox.notifications} == {"not sent: the address is not on loopback"}
    assert len(sandbox.notifications) == 2, "it is not tried again"


def test_other_machines_are_reached_only_when_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments_core.testing.courier.is_loopback", lambda url: False)
    with WebhookListener() as listener:
        for allowed, status in ((False, None), (True, 200)):
            with make(allow_external_notify=allowed) as sandbox:
                assert sandbox.deliver(created(sandbox, notify_url=listener.url)) == status


def test_closing_ends_waits_and_deliveries_at_once() -> None:
    with make() as sandbox, WebhookListener(delay=30) as listener:
        answers: list[int | None] = []
        order_id = created(sandbox, notify_url=listener.url)
        waiting = threading.Thread(target=lambda: answers.append(sandbox.deliver(order_id)))
        waiting.start()
        listener.wait(1)
        began = time.monotonic()
        sandbox.close()
        waiting.join(10)
        assert time.monotonic() - began < 3
        assert answers == [None]
        assert sandbox.deliver(order_id) is None, "and none begins afterwards"


# The wallet.


def page(sandbox: Sandbox, order_id: str) -> Reply:
    return send(sandbox, "GET", urlsplit(sandbox.wallet_url(order_id)).path)


def decide(sandbox: Sandbox, order_id: str, decision: str, **headers: str) -> Reply:
    form = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    return send(sandbox, "POST", f"/wallet/{order_id}", f"decision={decision}".encode(), form)


def test_the_shopper_sees_what_is_asked_and_three_buttons(sandbox: Sandbox) -> None:
    reply = page(sandbox, created(sandbox, amount="88.00", payment_method=wallet(payment_method="ALIPAYCN")))
    assert reply.status == 200
    assert '<html lang="en">' in reply.text
    for shown in ("HKD 88.00", "A cup of tea", "P9297895081903", "Pay with Alipay<", "Approve", "Cancel", "time out"):
        assert shown in reply.text


@pytest.mark.parametrize(
    ("decision", "status", "shown"),
    [
        ("approve", "SUCCEEDED", "Paid."),
        ("cancel", "CANCELLED", "Nothing was paid."),
        ("time_out", "CANCELLED", "Nothing was paid."),
    ],
)
def test_a_button_decides_and_the_result_is_shown(sandbox: Sandbox, decision: str, status: str, shown: str) -> None:
    order_id = created(sandbox)
    reply = decide(sandbox, order_id, decision, Origin=sandbox.url)
    assert (reply.status, reply.headers["location"]) == (303, f"/wallet/{order_id}")
    assert query(sandbox, order_id=order_id).json["data"]["status"] == status
    after = page(sandbox, order_id)
    assert shown in after.text
    assert "<button" not in after.text
    again = decide(sandbox, order_id, "approve")
    assert (again.status, "closed before" in again.text) == (409, True)


def test_looking_at_the_page_pays_nothing(sandbox: Sandbox) -> None:
    order_id = created(sandbox)
    for method in ("GET", "HEAD"):
        assert send(sandbox, method, f"/wallet/{order_id}?decision=approve").status == 200
    assert query(sandbox, order_id=order_id).json["data"]["status"] == "PENDING"


def test_whatever_a_merchant_writes_is_text_on_the_page(sandbox: Sandbox) -> None:
    attack = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    order_id = created(sandbox, description=attack, merchant_order_id='"><script>x</script>')
    sandbox.set_amount(order_id, "<b>1", "<i>")
    pages = page(sandbox, order_id).text + send(sandbox, "GET", "/").text
    sandbox.set_status(order_id, "<u>odd")
    pages += page(sandbox, order_id).text + send(sandbox, "GET", "/").text
    for markup in ("<script", "<img", "<b>", "<i>", "<u>"):
        assert markup not in pages
    assert "&lt;script&gt;" in pages


def test_the_page_may_load_and_run_nothing(sandbox: Sandbox) -> None:
    reply = page(sandbox, created(sandbox))
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert re.findall(r"(?:src|href)=|url\(|<script", reply.text) == []
    assert reply.headers["referrer-policy"] == "same-origin"


def test_unknown_orders_and_decisions_are_answered_with_a_page(sandbox: Sandbox) -> None:
    assert send(sandbox, "GET", "/wallet/C1").status == 404
    assert decide(sandbox, "C1", "approve").status == 404
    assert decide(sandbox, created(sandbox), "rob").status == 400


# The control routes, and who may reach them.


def test_the_control_routes_do_what_the_methods_do(sandbox: Sandbox) -> None:
    with WebhookListener() as listener:
        order_id = created(sandbox, notify_url=listener.url)
        path = f"/orders/{order_id}"
        assert send(sandbox, "GET", f"/_sandbox{path}").json["status"] == "PENDING"
        assert control(sandbox, f"{path}/pay", {"notify": False}).json["status"] == "SUCCEEDED"
        assert control(sandbox, f"{path}/deliver").json["status"] == 200
        assert control(sandbox, f"{path}/refund", {"amount": "0.50"}).json["kind"] == "refund_success"
        assert control(sandbox, f"{path}/amount", {"amount": "50", "currency": "TWD"}).json["currency"] == "TWD"
        assert control(sandbox, f"{path}/status", {"status": "CANCELLED"}).json["pay_time"] is None
        assert len(send(sandbox, "GET", "/_sandbox/notifications").json) == 2
    second = created(sandbox, merchant_order_id="second")
    assert control(sandbox, f"/orders/{second}/cancel").json["status"] == "CANCELLED"
    third = created(sandbox, merchant_order_id="third")
    assert control(sandbox, f"/orders/{third}/time-out").json["status"] == "CANCELLED"
    assert [order["order_id"] for order in send(sandbox, "GET", "/_sandbox/orders").json] == [order_id, second, third]
    headers = bearer(sandbox)
    assert control(sandbox, "/tokens/expire").status == 200
    assert send(sandbox, "POST", QUERY, {"order_id": third}, headers).status == 401
    assert control(sandbox, "/reject-next", {"code": 7, "message": "no"}).status == 200
    assert create(sandbox).json["code"] == 7
    assert send(sandbox, "GET", "/_sandbox/received").json[-1]["code"] == 7


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/orders/C1/pay", {}, 404),
        ("/orders/{order_id}/refund", {}, 409),
        ("/orders/{order_id}/status", {}, 400),
        ("/orders/{order_id}/status", {"status": 1}, 400),
        ("/orders/{order_id}/pay", {"notfy": True}, 400),
        ("/orders/{order_id}/pay", [], 400),
        ("/orders/{order_id}/pay", b"{", 400),
        ("/reject-next", {"code": 0, "message": "ok"}, 409),
        ("/reject-next", {"code": True, "message": "ok"}, 400),
    ],
)
def test_a_mistaken_control_call_says_what_is_wrong(sandbox: Sandbox, path: str, fields: Any, status: int) -> None:
    reply = control(sandbox, path.format(order_id=created(sandbox)), fields)
    assert reply.status == status
    assert reply.json["error"]


def test_a_control_call_without_json_content_type_changes_nothing(sandbox: Sandbox) -> None:
    order_id = created(sandbox)
    for kind in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        assert send(sandbox, "POST", f"/_sandbox/orders/{order_id}/pay", {}, kind).status == 415
    assert query(sandbox, order_id=order_id).json["data"]["status"] == "PENDING"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_a_page_of_another_origin_changes_nothing(sandbox: Sandbox, origin: str) -> None:
    order_id = created(sandbox)
    assert control(sandbox, f"/orders/{order_id}/pay", Origin=origin).status == 403
    assert decide(sandbox, order_id, "approve", Origin=origin).status == 403
    assert decide(sandbox, order_id, "approve", **{"Sec-Fetch-Site": "cross-site"}).status == 403
    assert query(sandbox, order_id=order_id).json["data"]["status"] == "PENDING"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "a@127.0.0.1", "::1", ""]
)
def test_a_foreign_host_reaches_no_route(sandbox: Sandbox, host: str) -> None:
    order_id = created(sandbox)
    for path in (AUTH, f"/wallet/{order_id}", "/", "/_sandbox/orders", "/_sandbox/received"):
        assert send(sandbox, "GET", path, headers={"Host": host}).status == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:8080"])
def test_every_name_of_loopback_is_served(sandbox: Sandbox, host: str) -> None:
    assert send(sandbox, "GET", "/_sandbox/orders", headers={"Host": host}).status == 200
