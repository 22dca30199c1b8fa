"""Test the fault gateway with a bare socket: a client library would hide the bytes."""

import gzip
import http.client
import json
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from payments_core.testing import faults
from payments_core.testing._fault_arguments import Checked
from payments_core.testing.faults import (
    HTML,
    Answer,
    BadGzip,
    BadUTF8,
    CloseEarly,
    DeepJSON,
    Delay,
    DoubledHeader,
    DripBody,
    DripHeaders,
    FaultGateway,
    Forbidden,
    ForwardThen,
    GzipBomb,
    Hang,
    LoseAnswer,
    Oversize,
    Raw,
    Redirect,
    Reset,
    Status,
    TooManyRequests,
    Truncate,
    Unauthorized,
    WrongContentType,
)

CLOSING = b"GET /status HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"
KEEPING = b"GET /status HTTP/1.1\r\nHost: shop\r\n\r\n"


class Upstream(BaseHTTPRequestHandler):
    """Answers what it received, with two cookies and a connection header that must not travel."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        self.server.times.append(time.monotonic())
        seen = {"method": self.command, "target": self.path, "headers": self.headers.items(), "body": body.decode()}
        self.server.seen.append(seen)
        answer = json.dumps(seen).encode()
        self.send_response_only(201, "Made")
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Connection", "keep-alive, X-Hop")
        self.send_header("X-Hop", "mine")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass


@pytest.fixture
def upstream():
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        server.seen, server.times = [], []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def gateway():
    before = set(threading.enumerate())
    with FaultGateway() as gateway:
        yield gateway
    assert set(threading.enumerate()) <= before


def dial(gateway):
    host, port = gateway.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def read_all(sock):
    """Everything up to FIN; a reset raises."""
    received = b""
    while data := sock.recv(65536):
        received += data
    return received


def talk(gateway, request=CLOSING):
    with dial(gateway) as sock:
        sock.sendall(request)
        return read_all(sock)


def split(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    return status, [tuple(line.split(b": ", 1)) for line in lines], body


def read_answer(sock):
    """One answer from a connection that stays open."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += sock.recv(1)
    status, headers, _ = split(received)
    length = int(dict(headers)[b"content-length"])
    body = b""
    while len(body) < length:
        body += sock.recv(length - len(body))
    return status, headers, body


# The upstream.


def test_an_unmatched_request_is_forwarded_as_it_was(upstream):
    """Method, quoted target, header order and spelling, host and body reach the upstream; hop-by-hop headers don't."""
    with FaultGateway(upstream.url) as gateway:
        talk(
            gateway,
            b"PUT /a%2Fb/c?x=%20&y=+1 HTTP/1.1\r\nHost: shop.example\r\nX-One: 1\r\nx-two: caf\xe9\r\nX-One: 2\r\n"
            b"Connection: close, X-Private\r\nX-Private: no\r\nTE: trailers\r\nContent-Length: 4\r\n\r\nbody",
        )
    (seen,) = upstream.seen
    assert (seen["method"], seen["target"], seen["body"]) == ("PUT", "/a%2Fb/c?x=%20&y=+1", "body")
    assert [tuple(pair) for pair in seen["headers"]] == [
        ("Host", "shop.example"),
        ("X-One", "1"),
        ("x-two", "café"),
        ("X-One", "2"),
        ("content-length", "4"),
        ("connection", "close"),
    ]


def test_the_upstreams_answer_comes_back_with_its_own_headers(upstream):
    """Status, doubled headers and body are passed on; what belongs to the upstream's connection is not."""
    with FaultGateway(upstream.url) as gateway:
        status, headers, body = split(talk(gateway))
    assert status == b"HTTP/1.1 201 Created"
    assert headers == [
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    assert json.loads(body) == {**upstream.seen[0], "headers": [list(pair) for pair in upstream.seen[0]["headers"]]}


def test_a_chunked_request_is_forwarded_with_its_length(upstream):
    """Framing belongs to the connection it came by."""
    with FaultGateway(upstream.url) as gateway:
        talk(gateway, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    names = [name.lower() for name, _ in upstream.seen[0]["headers"]]
    assert (names, upstream.seen[0]["body"]) == (["content-length", "connection"], "hi")


def test_the_upstreams_own_path_is_kept(upstream):
    """An upstream may live below a path."""
    with FaultGateway(upstream.url + "/base/") as gateway:
        talk(gateway)
    assert upstream.seen[0]["target"] == "/base/status"


def test_a_head_request_gets_the_length_and_no_body(upstream):
    """The length of what GET would answer is passed on, and no byte after it."""
    with FaultGateway(upstream.url) as gateway:
        _, headers, body = split(talk(gateway, CLOSING.replace(b"GET", b"HEAD")))
    assert int({name.lower(): value for name, value in headers}[b"content-length"]) > 0
    assert body == b""


def test_without_an_upstream_an_unmatched_request_is_502(gateway):
    """A request that no rule foresaw must not look like success."""
    assert split(talk(gateway))[0] == b"HTTP/1.1 502 Bad Gateway"


def test_an_upstream_that_is_gone_is_502():
    """Nothing listens there: the gateway says so and lives on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with FaultGateway(f"http://127.0.0.1:{held.getsockname()[1]}") as gateway:
            assert split(talk(gateway))[0] == b"HTTP/1.1 502 Bad Gateway"


@pytest.mark.parametrize("url", ["https://example.com", "127.0.0.1:80", "http://"])
def test_an_upstream_is_a_plain_http_url(url):
    """An unreachable upstream is refused at once."""
    with pytest.raises(ValueError, match="http://"):
        FaultGateway(url)


def test_a_connection_carries_many_ordinary_answers(upstream):
    """Forwarded and injected answers alike leave the connection open, also when requests come in one piece."""
    with FaultGateway(upstream.url) as gateway, dial(gateway) as sock:
        sock.sendall(KEEPING)
        first = b""
        while b'"body": ""}' not in first:
            first += sock.recv(65536)
        gateway.inject(Answer({"n": 1}))
        sock.sendall(KEEPING + KEEPING)
        assert read_answer(sock)[2] == b'{"n":1}'
        assert read_answer(sock)[2] == b'{"n":1}'


def test_a_request_that_is_not_http_is_400(gateway):
    """Nonsense is answered and closed, and nobody's thread dies of it."""
    assert talk(gateway, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert gateway.requests == []


# Recorded requests.


def test_requests_are_remembered_as_they_arrived(gateway):
    """Everything a test asks about is there: method, path, query, headers, body, time."""
    before = time.monotonic()
    talk(
        gateway, b"POST /a%20b?x=1&y= HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    )
    (request,) = gateway.requests
    assert (request.method, request.target, request.path, request.query) == (
        "POST",
        "/a%20b?x=1&y=",
        "/a%20b",
        "x=1&y=",
    )
    assert request.parameters == [("x", "1"), ("y", "")]
    assert request.headers == (("X-A", "1"), ("x-a", "2"), ("Content-Length", "2"), ("Connection", "close"))
    assert (request.header("X-a"), request.header("absent"), request.body) == ("1", None, b"hi")
    assert before <= request.time <= time.monotonic()
    gateway.clear()
    assert gateway.requests == []


def test_a_chunked_body_is_put_together(gateway):
    """Framing is removed, extensions and trailers with it."""
    talk(
        gateway,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n",
    )
    assert gateway.requests[0].body == b"abc0123456789"


def test_a_client_that_expects_100_continue_is_told_so(gateway):
    """It would wait for that before it sends the body."""
    gateway.inject(Answer("done"))
    with dial(gateway) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n")
        interim = sock.recv(25)
        sock.sendall(b"hi")
        assert (interim, split(read_all(sock))[2]) == (b"HTTP/1.1 100 Continue\r\n\r\n", b'"done"')


def test_the_repr_of_a_request_keeps_its_secrets(gateway):
    """A failing test prints it."""
    talk(gateway, CLOSING.replace(b"/status", b"/status?secret=1"))
    assert repr(gateway.requests[0]) == "<Received GET /status>"


# Rules.


@pytest.mark.parametrize(
    ("method", "path", "matches"),
    [
        (None, None, True),
        ("get", None, True),
        ("POST", None, False),
        (None, "/v1/payments/query", True),
        (None, "/payments/query", True),
        (None, "payments/query", True),
        (None, "ayments/query", False),
        (None, "/v1/payments", False),
        (None, "/", False),
        ("GET", "query", True),
        ("POST", "query", False),
    ],
)
def test_a_rule_matches_by_method_and_by_the_paths_last_segments(gateway, method, path, matches):
    """The query plays no part, half a segment is none, and everything given must agree."""
    rule = gateway.inject(Status(299), method=method, path=path)
    status = split(talk(gateway, CLOSING.replace(b"/status", b"/v1/payments/query?x=/status")))[0]
    assert (status == b"HTTP/1.1 299 ", rule.hits) == (matches, int(matches))


def test_rules_are_used_up_from_top_to_bottom(gateway):
    """The first with something left answers, and each counts its own."""
    rules = [gateway.inject(Status(code), times=times) for code, times in [(500, 1), (429, 2), (204, None)]]
    codes = [int(talk(gateway).split(b" ")[1]) for _ in range(5)]
    assert codes == [500, 429, 429, 204, 204]
    assert [rule.hits for rule in rules] == [1, 2, 2]


def test_a_rule_ends_with_its_block(gateway):
    """And may be removed twice."""
    with gateway.inject(Status(204)) as rule:
        assert b" 204 " in talk(gateway)
    assert b" 502 " in talk(gateway)
    rule.remove()
    assert rule.hits == 1


def test_a_fault_of_ones_own_is_any_object_that_plays(gateway):
    """The exchange gives it the request and the connection."""

    class Echo:
        def play(self, exchange):
            return exchange.answer(200, (("x-own", "yes"),), exchange.request.path.encode())

    gateway.inject(Echo())
    status, headers, body = split(talk(gateway))
    assert (status, dict(headers)[b"x-own"], body) == (b"HTTP/1.1 200 OK", b"yes", b"/status")


# Whole answers.


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (Answer({"é": [1]}), (200, b"content-type: application/json", '{"é":[1]}'.encode())),
        (Answer(b"{ }", 418, (("x-a", "b"),)), (418, b"x-a: b", b"{ }")),
        (Status(503, (("retry-after", "9"),), b"{}"), (503, b"retry-after: 9", b"{}")),
        (Status(500), (500, b"content-length: 0", b"")),
        (Unauthorized(), (401, b"www-authenticate: Bearer", b'{"error":"invalid_token"}')),
        (Forbidden(), (403, b"content-length: 21", b'{"error":"forbidden"}')),
        (TooManyRequests("7"), (429, b"retry-after: 7", b'{"error":"too_many_requests"}')),
        (Redirect("http://127.0.0.1:1/x", 307), (307, b"location: http://127.0.0.1:1/x", b"")),
        (HTML(503), (503, b"content-type: text/html; charset=utf-8", HTML().body)),
        (WrongContentType(b'{"a":1}'), (200, b"content-type: text/plain", b'{"a":1}')),
        (BadGzip(), (200, b"content-encoding: gzip", b'{"claims":"to be gzip"}')),
        (BadUTF8(), (200, b"content-type: application/json", b'{"message":"\xff\xfe\xc3("}')),
        (DeepJSON(9), (200, b"content-length: 18", b"[" * 9 + b"]" * 9)),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "play") else "",
)
def test_a_whole_answer_has_these_bytes(gateway, fault, answer):
    """Each is valid HTTP, and differs in one respect from what a gateway should say."""
    code, line, body = answer
    gateway.inject(fault)
    received = talk(gateway)
    head, _, received_body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % code)
    assert line in head.split(b"\r\n")
    assert b"content-length: %d" % len(body) in head.split(b"\r\n")
    assert received_body == body


def test_429_without_retry_after_has_none(gateway):
    """A gateway need not say how long."""
    gateway.inject(TooManyRequests(None))
    assert b"retry-after" not in talk(gateway)


def test_204_has_neither_body_nor_length(gateway):
    """Bytes after it would be read as the next answer."""
    gateway.inject(Status(204, body=b"ignored"))
    assert talk(gateway) == b"HTTP/1.1 204 No Content\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"


def test_bad_utf8_is_no_utf8_and_bad_gzip_no_gzip():
    """The names are kept."""
    with pytest.raises(UnicodeDecodeError):
        BadUTF8().body.decode()
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(BadGzip().body)


def test_deep_json_is_deeper_than_the_recursion_limit(gateway):
    """The standard parser gives up on it."""
    gateway.inject(DeepJSON())
    with pytest.raises(RecursionError):
        json.loads(split(talk(gateway))[2])


def test_a_doubled_header_stands_twice(gateway):
    """And nothing is added to make three of it."""
    gateway.inject(DoubledHeader("x-request-id", ("a", "b")), times=1)
    gateway.inject(DoubledHeader("content-length", ("2", "3")))
    names = [[name for name, _ in split(talk(gateway))[1]] for _ in range(2)]
    assert (names[0].count(b"x-request-id"), names[1].count(b"content-length")) == (2, 2)


def test_a_gzip_bomb_is_small_on_the_wire_and_valid_inside(gateway):
    """A thousandth of its size travels, and expands to JSON of exactly that size."""
    size = 20_000_000
    gateway.inject(GzipBomb(size))
    _, headers, body = split(talk(gateway))
    assert (b"content-encoding", b"gzip") in headers
    assert len(body) < size // 900
    content = gzip.decompress(body)
    assert (len(content), json.loads(content)) == (size, {})


def test_the_default_bomb_expands_to_200_million_bytes(gateway):
    """Read in pieces here: the test is no victim."""
    gateway.inject(GzipBomb())
    body = split(talk(gateway))[2]
    unpacker = zlib.decompressobj(31)
    size = 0
    while body:
        size += len(unpacker.decompress(body, 1_000_000))
        body = unpacker.unconsumed_tail
    assert (size, unpacker.eof) == (200_000_000, True)


def test_an_oversize_answer_is_valid_and_has_its_size(gateway):
    """Nothing but its length is wrong with it."""
    gateway.inject(Oversize(3_000_001))
    body = split(talk(gateway))[2]
    assert (len(body), json.loads(body)) == (3_000_001, {})


def test_a_client_that_stops_reading_does_not_hold_the_gateway(gateway):
    """The thread that writes to it ends with the gateway: the fixture looks."""
    gateway.inject(Oversize(50_000_000))
    sock = dial(gateway)
    sock.sendall(CLOSING)
    sock.recv(1)
    started = time.monotonic()
    gateway.close()
    assert time.monotonic() - started < 3
    sock.close()


# Answers that never become whole.


def test_a_reset_is_a_reset(gateway):
    """RST, after the whole request was read."""
    gateway.inject(Reset())
    with pytest.raises(ConnectionResetError):
        talk(gateway)
    assert gateway.requests[0].path == "/status"


def test_closing_early_is_fin_without_a_byte(gateway):
    """Not a reset: the client reads an orderly end."""
    gateway.inject(CloseEarly())
    assert talk(gateway, KEEPING) == b""


def test_a_truncated_body_ends_before_its_length(gateway):
    """FIN comes where bytes were promised."""
    gateway.inject(Truncate(b'{"a":', 7))
    _, headers, body = split(talk(gateway))
    assert (dict(headers)[b"content-length"], body) == (b"12", b'{"a":')


def test_raw_bytes_are_sent_untouched(gateway):
    """Not even HTTP has to be kept."""
    gateway.inject(Raw(b"\x00SSH-2.0\xff\r\n"))
    assert talk(gateway, KEEPING) == b"\x00SSH-2.0\xff\r\n"


def test_hanging_says_nothing_until_the_client_leaves(gateway):
    """Its request is read, and its thread ends when it gives up."""
    gateway.inject(Hang())
    with dial(gateway) as sock:
        sock.sendall(KEEPING)
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        assert until(lambda: len(gateway.requests) == 1)
    assert until(lambda: not any(thread.name == "fault-gateway" for thread in threading.enumerate()))


def test_dripped_headers_come_byte_by_byte(gateway):
    """A valid answer, and time passes within its first line."""
    gateway.inject(DripHeaders(interval=0.01, body=b'{"a":1}'))
    with dial(gateway) as sock:
        sock.sendall(CLOSING)
        started = time.monotonic()
        pieces = list(iter(lambda: sock.recv(65536), b""))
        passed = time.monotonic() - started
    answer = b"".join(pieces)
    assert split(answer)[2] == b'{"a":1}'
    assert len(pieces) > 20
    assert passed >= 0.01 * len(answer) * 0.9


def test_a_dripped_body_comes_after_whole_headers(gateway):
    """The headers at once, then one byte after the other."""
    gateway.inject(DripBody(interval=0.05, body=b'{"a":1}'), times=1)
    gateway.inject(DripBody(interval=60, body=b'{"a":1}'))
    started = time.monotonic()
    _, headers, body = split(talk(gateway))
    assert time.monotonic() - started >= 7 * 0.05
    assert ((b"content-length", b"7") in headers, body) == (True, b'{"a":1}')
    with dial(gateway) as sock:
        sock.sendall(CLOSING)
        received = b""
        while b"\r\n\r\n{" not in received:
            received += sock.recv(65536)
        assert received.endswith(b"\r\n\r\n{")


def test_a_drip_ends_when_the_client_leaves(gateway):
    """A thousand bytes to go, and nobody to have them."""
    gateway.inject(DripBody(interval=0.02, body=b"." * 100_000))
    with dial(gateway) as sock:
        sock.sendall(KEEPING)
        sock.recv(10)
    assert until(lambda: not any(thread.name == "fault-gateway" for thread in threading.enumerate()))


# Answers that are lost or late.


def test_a_lost_answer_has_had_its_effect(upstream):
    """The upstream received the request, and the client sees a reset."""
    with FaultGateway(upstream.url) as gateway:
        gateway.inject(LoseAnswer())
        with pytest.raises(ConnectionResetError):
            talk(gateway)
    assert [seen["target"] for seen in upstream.seen] == ["/status"]


def test_any_fault_can_follow_the_effect(upstream):
    """Here a maintenance page in place of the answer."""
    with FaultGateway(upstream.url) as gateway:
        gateway.inject(ForwardThen(HTML(504)))
        assert b"504 Gateway Timeout" in talk(gateway)
    assert len(upstream.seen) == 1


def test_a_delay_precedes_the_effect(upstream):
    """It waits, then forwards, or does what it was given."""
    with FaultGateway(upstream.url) as gateway:
        gateway.inject(Delay(0.3), times=1)
        gateway.inject(Delay(0.1, Status(410)))
        assert b" 201 " in talk(gateway)
        assert upstream.times[0] - gateway.requests[0].time >= 0.3
        assert b" 410 " in talk(gateway)
        assert time.monotonic() - gateway.requests[1].time >= 0.1
        assert len(upstream.seen) == 1


def test_a_delayed_effect_happens_although_the_client_gave_up(upstream):
    """As on a slow network: a timeout proves nothing."""
    with FaultGateway(upstream.url) as gateway:
        gateway.inject(Delay(0.5))
        with dial(gateway) as sock:
            sock.sendall(CLOSING)
            assert until(lambda: gateway.requests)
        assert until(lambda: upstream.times)
        assert upstream.times[0] - gateway.requests[0].time >= 0.5


# Refusing, closing, many.


def test_refusing_refuses_cuts_and_comes_back_on_the_same_port(gateway):
    """Open connections end, new ones are refused, and afterwards all is as before."""
    gateway.inject(Answer("here"))
    url = gateway.url
    with dial(gateway) as open_before:
        open_before.sendall(KEEPING)
        assert read_answer(open_before)[2] == b'"here"'
        with gateway.refusing():
            assert open_before.recv(1) == b""
            for _ in range(3):
                with pytest.raises(ConnectionRefusedError):
                    dial(gateway)
    assert gateway.url == url
    assert split(talk(gateway))[2] == b'"here"'


def test_a_gateway_closed_while_refusing_stays_closed():
    """Leaving the block does not open it again."""
    with FaultGateway() as gateway:
        port = int(gateway.url.rpartition(":")[2])
        with gateway.refusing():
            gateway.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    with pytest.raises(RuntimeError), gateway.refusing():
        pass


@pytest.mark.parametrize("fault", [Hang(), DripHeaders(30), DripBody(30), Delay(30), ForwardThen(Hang()), None])
def test_closing_is_prompt_whatever_is_going_on(fault):
    """Every thread ends, in the midst of silence, a drip, a delay, an upstream's silence or an idle connection."""
    before = set(threading.enumerate())
    with FaultGateway() as silent, FaultGateway(silent.url) as gateway:
        silent.inject(Hang())
        if fault is not None:
            gateway.inject(fault)
        with dial(gateway) as sock, dial(gateway):
            sock.sendall(KEEPING)
            assert until(lambda: gateway.requests)
            started = time.monotonic()
            gateway.close()
            assert time.monotonic() - started < 2
            assert len(set(threading.enumerate()) - before) <= 2  # the silent one's
    assert set(threading.enumerate()) <= before


def test_a_gateway_needs_opening_and_opens_once():
    """The mistakes are named."""
    gateway = FaultGateway()
    with pytest.raises(RuntimeError, match="not open"):
        _ = gateway.url
    with gateway, pytest.raises(RuntimeError, match="open already"):
        gateway.__enter__()
    gateway.close()


def test_two_hundred_clients_are_served_at_once(gateway):
    """All connect and send before the first is answered."""
    everyone = threading.Barrier(200)

    class Together:
        def play(self, exchange):
            everyone.wait(timeout=20)
            return exchange.answer(200, (), b"{}")

    gateway.inject(Together())
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: split(talk(gateway))[2], range(200)))
    assert (answers, len(gateway.requests)) == ([b"{}"] * 200, 200)


def test_the_backlog_holds_a_thousand_connects():
    """Nobody accepts here, so every connect is the kernel's to keep."""
    kernels_limit = Path("/proc/sys/net/core/somaxconn")
    wanted = min(200, int(kernels_limit.read_text()) if kernels_limit.exists() else 128)
    with FaultGateway() as gateway:
        gateway._stop()
        clients = [dial(gateway) for _ in range(wanted)]
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    assert (len(clients), faults._BACKLOG) == (wanted, 1024)


def test_a_standard_client_understands_the_ordinary_answers(gateway):
    """Two requests over one connection of http.client."""
    gateway.inject(Answer({"ok": True}))
    client = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=10)
    for _ in range(2):
        client.request("POST", "/x", body=b"{}")
        with client.getresponse() as response:
            assert (response.status, json.loads(response.read())) == (200, {"ok": True})
    client.close()
    assert len(gateway.requests) == 2


def until(condition, seconds=10):
    """Wait for what happens in another thread."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


# Arguments of faults.


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda: Answer(b"{}", status="500"), TypeError, "Answer: status must be a whole number"),
        (lambda: Answer(object()), TypeError, "Answer: body must be bytes, or a value that JSON can hold"),
        (lambda: Answer({1, 2}), TypeError, "Answer: body must be bytes, or a value that JSON can hold"),
        (lambda: Answer({}, headers={"retry-after": "1"}), TypeError, "Answer: headers must be pairs of text"),
        (lambda: Answer({}, headers=(("retry-after", 1),)), TypeError, "Answer: headers must be text"),
        (lambda: Answer({}, headers=(("x", "a\r\nb"),)), TypeError, "Answer: headers must be one line"),
        (lambda: Status(999), ValueError, "Status: code is an HTTP status from 100 to 599, not 999"),
        (lambda: Status(True), TypeError, "Status: code must be a whole number"),
        (lambda: Unauthorized("no"), TypeError, "Unauthorized: body must be bytes"),
        (lambda: TooManyRequests(30), TypeError, "TooManyRequests: retry_after must be text"),
        (lambda: Redirect("https://例え.example"), TypeError, "Redirect: location must be Latin-1 text"),
        (lambda: DoubledHeader("x", ("a",)), TypeError, "DoubledHeader: values must be two texts"),
        (lambda: DeepJSON(0), ValueError, "DeepJSON: depth is at least 1"),
        (lambda: GzipBomb(1), ValueError, "GzipBomb: size is at least 2"),
        (lambda: Oversize(8e6), TypeError, "Oversize: size must be a whole number"),
        (lambda: DripBody(interval=-1), ValueError, "DripBody: interval is at least 0"),
        (lambda: DripHeaders(interval="fast"), TypeError, "DripHeaders: interval must be a number"),
        (lambda: DripBody(interval=float("nan")), ValueError, "DripBody: interval is at least 0"),
        (lambda: Truncate(missing=0), ValueError, "Truncate: missing is at least 1"),
        (lambda: Raw("HTTP/1.1 200 OK"), TypeError, "Raw: data must be bytes"),
        (lambda: Delay(-0.5), ValueError, "Delay: seconds is at least 0"),
        (lambda: Delay(float("inf")), ValueError, "Delay: seconds is at least 0, and finite"),
        (lambda: Delay(1, then=Reset), TypeError, r"Delay: then must be an instance: Reset\(\)"),
        (lambda: ForwardThen("reset"), TypeError, r"ForwardThen: fault must have a method play\(exchange\)"),
    ],
)
def test_a_wrong_argument_is_named_where_the_fault_is_made(make, kind, said):
    with pytest.raises(kind, match=said):
        make()


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"fault": LoseAnswer}, TypeError, r"the fault must be an instance: LoseAnswer\(\)"),
        ({"fault": "lose-answer"}, TypeError, r"the fault must have a method play\(exchange\)"),
        ({"method": 1}, TypeError, "method is text"),
        ({"path": ""}, TypeError, "path is text"),
        ({"path": "/payments?id=1"}, ValueError, "path is matched without the query"),
        ({"times": 0}, ValueError, "times is at least 1, not 0"),
        ({"times": 1.0}, TypeError, "times is a whole number"),
    ],
)
def test_what_cannot_be_injected_is_refused_at_once(gateway, arguments, kind, said):
    with pytest.raises(kind, match=said):
        gateway.inject(**{"fault": Reset(), **arguments})
    assert talk(gateway).startswith(b"HTTP/1.1 502"), "and no rule is left behind"


def test_every_fault_checks_its_arguments():
    """A fault that is added without the check is found here."""
    kinds = [getattr(faults, name) for name in faults.__all__ if hasattr(getattr(faults, name), "play")]
    unchecked = {kind.__name__ for kind in kinds if not issubclass(kind, Checked)}
    assert unchecked == {"Fault"}
