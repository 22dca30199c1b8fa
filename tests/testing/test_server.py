"""The loopback server and the webhook listener, over real sockets."""

import gc
import http.client
import logging
import socket
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from payments_core.testing.server import LoopbackServer, PortTaken, WebhookListener


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


APP = Starlette(routes=[Route("/", hello)])


def request(url: str, method: str = "GET", path: str = "/", body: bytes = b"") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_an_application_is_served_on_loopback() -> None:
    with LoopbackServer(APP) as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert request(server.url) == (200, b"hello")


def test_the_port_is_known_before_it_serves() -> None:
    server = LoopbackServer(APP, start=False)
    assert server.port > 0
    with server:
        assert request(server.url) == (200, b"hello")


def test_a_taken_port_is_named_in_the_error() -> None:
    with LoopbackServer(APP) as first, pytest.raises(PortTaken, match=f"port {first.port} of 127.0.0.1 is in use"):
        LoopbackServer(APP, first.port)


def test_a_closed_server_frees_its_port() -> None:
    with LoopbackServer(APP) as first:
        request(first.url)
    with LoopbackServer(APP, first.port) as second:
        assert request(second.url) == (200, b"hello")


def test_closing_twice_is_harmless_and_starting_again_is_refused() -> None:
    server = LoopbackServer(APP)
    server.close()
    server.close()
    with pytest.raises(RuntimeError, match="closed"):
        server.start()


def test_closing_does_not_wait_for_a_client_that_is_still_being_answered(caplog: pytest.LogCaptureFixture) -> None:
    with WebhookListener(delay=30) as listener:
        parts = urlsplit(listener.url)
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as client:
            client.sendall(b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            listener.wait(1)
            began = time.monotonic()
            listener.close()
            assert time.monotonic() - began < 3
    assert not caplog.records, "a deliberate close is no error of the application"


def test_connections_of_the_last_moment_are_closed_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: left.append(unraisable.exc_value))
    for _ in range(30):  # accepted, or not yet, or not yet handed over: each in some of the rounds
        server = LoopbackServer(APP)
        clients = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(3)]
        server.close()
        for client in clients:
            client.close()
    gc.collect()
    assert not left, "a transport or socket that nobody closed warns when it is collected"


def test_no_log_holds_a_query_string_even_when_the_host_logs_everything(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(1), LoopbackServer(APP) as server:
        request(server.url, path="/?client_secret=canary-1234")
    assert "canary-1234" not in caplog.text


def test_the_hosts_logging_configuration_is_left_alone() -> None:
    names = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")

    def configuration() -> list[tuple[object, ...]]:
        loggers = [logging.getLogger(name) for name in names]
        return [(tuple(each.handlers), each.level, each.propagate, each.disabled) for each in loggers]

    before = configuration()
    with LoopbackServer(APP) as server:
        request(server.url)
    assert configuration() == before


def test_a_listener_records_bytes_and_headers_as_they_arrived() -> None:
    with WebhookListener("/hook") as listener:
        connection = http.client.HTTPConnection(urlsplit(listener.url).netloc, timeout=10)
        connection.request("POST", "/hook?a=1", b"\x00\xff", {"Signature": "abc"})
        assert connection.getresponse().status == 200
        connection.close()
        (delivery,) = listener.wait(1)
    assert delivery.body == b"\x00\xff"
    assert ("signature", "abc") in delivery.headers
    assert delivery.url == f"{listener.url}?a=1"
    assert delivery.received_at.utcoffset() is not None


def test_a_listener_answers_what_it_is_told() -> None:
    with WebhookListener(respond=503) as listener:
        assert request(listener.url, "POST", "/webhook")[0] == 503
        listener.respond = lambda delivery: 200 if delivery.body == b"good" else 400
        assert request(listener.url, "POST", "/webhook", b"good")[0] == 200
        assert request(listener.url, "POST", "/webhook", b"bad")[0] == 400


def test_a_listener_knows_one_path_and_one_method() -> None:
    with WebhookListener() as listener:
        assert request(listener.url, "POST", "/elsewhere")[0] == 404
        assert request(listener.url, "GET", "/webhook")[0] == 405
        assert listener.deliveries == ()


def test_waiting_for_more_than_arrives_says_how_many_did() -> None:
    with WebhookListener() as listener:
        request(listener.url, "POST", "/webhook")
        with pytest.raises(TimeoutError, match="1 of 2"):
            listener.wait(2, timeout=0.05)


def test_waiting_ends_when_the_last_one_arrives() -> None:
    with WebhookListener() as listener:
        sender = threading.Thread(target=lambda: [request(listener.url, "POST", "/webhook") for _ in range(3)])
        sender.start()
        assert len(listener.wait(3)) == 3
        sender.join()
