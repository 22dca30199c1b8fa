"""Test the parts of sandboxes over real HTTP: the courier, the guard, the control routes and the page."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from payments_core.testing.courier import Courier, Message, is_loopback, status_of
from payments_core.testing.sandbox import NotPossible, UnknownCharge
from payments_core.testing.sandbox_app import BadRequest, Guard, control_route, delivered, fields_of, read_body
from payments_core.testing.sandbox_page import facts, page
from payments_core.testing.server import LoopbackServer, WebhookListener


def message(url: str, body: bytes = b"{}", **headers: str) -> Message:
    return Message("c1", "paid", url, body, lambda signed: (("X-Length", str(len(signed))), *headers.items()))


# The courier.


def test_a_message_arrives_with_its_bytes_and_its_headers() -> None:
    with WebhookListener() as listener:
        courier = Courier()
        assert status_of(courier.send(message(f"{listener.url}?a=1", b"\x00body", Signature="s"))) == 200
        courier.close()
        (arrived,) = listener.deliveries
    assert arrived.body == b"\x00body"
    assert arrived.url.endswith("/webhook?a=1")
    assert {("x-length", "5"), ("signature", "s"), ("content-length", "5")} <= set(arrived.headers)


def test_each_delivery_is_signed_anew() -> None:
    count = iter(range(9))
    with WebhookListener(respond=500) as listener:
        courier = Courier((0, 0))
        courier.begin(Message("c1", "paid", listener.url, b"", lambda _: (("Signature", str(next(count))),)))
        arrived = listener.wait(3)
        courier.close()
    assert [dict(each.headers)["signature"] for each in arrived] == ["0", "1", "2"]


@pytest.mark.parametrize(("status", "deliveries"), [(200, 1), (204, 1), (302, 3), (400, 3), (500, 3)])
def test_a_schedule_ends_with_an_acknowledgement_or_with_its_last_delivery(status: int, deliveries: int) -> None:
    with WebhookListener(respond=status) as listener:
        courier = Courier((0, 0))
        courier.begin(message(listener.url))
        listener.wait(deliveries)
        deadline = time.monotonic() + 10
        while len(courier.deliveries) < deliveries and time.monotonic() < deadline:
            time.sleep(0.01)
        assert status_of(courier.send(message(listener.url))) == status, "and no other was under way before this one"
        courier.close()
        made = courier.deliveries
    assert [(each.attempt, each.status) for each in made] == [
        *((n + 1, status) for n in range(deliveries)),
        (0, status),
    ]
    assert {each.acknowledged for each in made} == {status < 300}


def test_what_acknowledges_is_the_gateway_s_own_rule() -> None:
    with WebhookListener(respond=204) as listener:
        courier = Courier(acknowledges=lambda status: status == 200)
        assert courier.send(message(listener.url)).result(10).acknowledged is False
        courier.close()


def test_the_waits_between_deliveries_are_scaled() -> None:
    with WebhookListener(respond=500) as listener:
        courier = Courier((3600, 3600), time_scale=0)
        courier.begin(message(listener.url))
        assert len(listener.wait(3)) == 3
        courier.close()


@pytest.mark.parametrize("url", ["http://192.0.2.1/", "http://shop.example/", "http://127.0.0.1.shop.example/", ""])
def test_nothing_is_sent_to_another_machine(url: str) -> None:
    courier = Courier((0, 0))
    delivery = courier.begin(message(url)).result(10)
    courier.close()
    assert delivery.status is None
    assert delivery.problem.startswith("not sent: ")
    assert len(courier.deliveries) == 1, "and that is not tried again"


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:8000/x", True),
        ("http://127.9.9.9/", True),
        ("http://localhost/", True),
        ("https://[::1]/", True),
        ("http://localhost.shop.example/", False),
        ("http://127.0.0.1@shop.example/", False),
        ("http://[::1", False),
        ("http://2130706433/", False),
    ],
)
def test_an_address_is_judged_by_its_host(url: str, own: bool) -> None:
    assert is_loopback(url) is own


def test_signing_error_reaches_the_waiting_caller() -> None:
    def unwritten(_: bytes) -> Any:
        raise NotImplementedError("step 4")

    with WebhookListener() as listener:
        courier = Courier((0, 0))
        for sent in (courier.send, courier.begin):
            with pytest.raises(NotImplementedError, match="step 4"):
                status_of(sent(Message("c1", "paid", listener.url, b"", unwritten)))
        courier.close()
        assert listener.deliveries == ()


def test_closing_ends_a_delivery_that_nobody_answers() -> None:
    with WebhookListener(delay=30) as listener:
        courier = Courier()
        answers: list[int | None] = []
        waiting = threading.Thread(target=lambda: answers.append(status_of(courier.send(message(listener.url)))))
        waiting.start()
        listener.wait(1)
        courier.close()
        waiting.join(10)
        assert answers == [None]
        assert status_of(courier.send(message(listener.url))) is None, "and none begins afterwards"


@pytest.mark.parametrize("options", [{"time_scale": -1}, {"ack_timeout": 0}])
def test_senseless_waits_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="time_scale must be 0 or more, and ack_timeout above 0"):
        Courier(**options)


# The guard and the control routes.


async def act(request: Request) -> object:
    fields = await fields_of(request, "amount", amount=str, times=int)
    match fields["amount"]:
        case "unknown":
            raise UnknownCharge("no such charge")
        case "late":
            raise NotPossible("it is paid")
        case "closed":
            courier = Courier()
            courier.close()
            return await delivered([courier.send(message("http://127.0.0.1:9/"))])
    return {"took": fields}


async def echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await read_body(request, 10))))


async def shown(_: Request) -> Response:
    return page("<b>Pay", facts(("Amount", "1"), ("Empty", "")), leads_to=("http://localhost:*",))


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackServer]:
    routes = [
        control_route("POST", "/act", act),
        Route("/echo", echo, methods=["POST"]),
        Route("/page", shown, methods=["GET"]),
    ]
    with LoopbackServer(Guard(Starlette(routes=routes))) as running:
        yield running


def send(
    server: LoopbackServer, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


JSON = {"Content-Type": "application/json; charset=utf-8"}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"amount":"1","times":2}', 200, {"took": {"amount": "1", "times": 2}}),
        (b'{"amount":"unknown"}', 404, {"error": "no such charge"}),
        (b'{"amount":"late"}', 409, {"error": "it is paid"}),
        (b'{"amount":"closed"}', 409, {"error": "the sandbox was closed"}),
        (b"{}", 400, {"error": "amount is required"}),
        (b"", 400, {"error": "amount is required"}),
        (b'{"amount":1}', 400, {"error": "amount must be str"}),
        (b'{"amount":"1","times":true}', 400, {"error": "times must be int"}),
        (b'{"amount":"1","x":1}', 400, {"error": "'x' is not a field of this call; it has amount, times"}),
        (b"[]", 400, {"error": "the body is not a JSON object"}),
        (b"\xff", 400, {"error": "the body is not JSON"}),
        (b"[" * 100_000, 400, {"error": "the body is not JSON"}),
    ],
)
def test_a_control_route_answers_json_or_says_what_is_wrong(
    server: LoopbackServer, body: bytes, status: int, said: dict[str, Any]
) -> None:
    answered, content, _ = send(server, "POST", "/act", body, JSON)
    assert (answered, json.loads(content)) == (status, said)


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_form_of_another_site_can_send_changes_nothing(server: LoopbackServer, media_type: str) -> None:
    assert send(server, "POST", "/act", b'{"amount":"1"}', {"Content-Type": media_type})[0] == 415


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "shop.example"}, 421),
        ({"Host": "127.0.0.1.shop.example"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "https://shop.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "LOCALHOST:8000", "Origin": "http://LOCALHOST:8000"}, 200),
    ],
)
def test_a_page_of_another_site_is_kept_out(server: LoopbackServer, headers: dict[str, str], status: int) -> None:
    assert send(server, "POST", "/act", b'{"amount":"1"}', JSON | headers)[0] == status


def test_the_guard_lets_its_own_page_s_form_in(server: LoopbackServer) -> None:
    assert send(server, "POST", "/act", b'{"amount":"1"}', JSON | {"Origin": server.url})[0] == 200


def test_of_a_body_that_is_too_long_no_more_is_kept_than_shows_it(server: LoopbackServer) -> None:
    kept = int(send(server, "POST", "/echo", b"x" * 5_000_000)[1])
    assert 10 < kept < 1_000_000
    assert send(server, "POST", "/echo", b"x" * 10)[1] == b"10"


def test_bad_requests_are_sandbox_errors() -> None:
    """So that a sandbox that knows nothing of the routes catches them with its own."""
    assert {each.__mro__[1].__name__ for each in (BadRequest, NotPossible, UnknownCharge)} == {"SandboxError"}


# The page.


def test_a_page_loads_nothing_runs_nothing_and_leads_where_it_says(server: LoopbackServer) -> None:
    status, content, headers = send(server, "GET", "/page")
    policy = headers["content-security-policy"]
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert policy.endswith("form-action 'self' http://localhost:*")
    assert b"<h1>&lt;b&gt;Pay</h1>" in content
    assert b"<dl><dt>Amount</dt><dd>1</dd></dl>" in content
