"""Test the cassette kit: what is kept, masked, matched and refused."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import vcr.serialize
from starlette.requests import Request as Incoming
from starlette.responses import Response as Answer
from vcr.serializers import yamlserializer

from payments_core import AsyncHTTPTransport, GatewayUnavailable, HTTPTransport, Request, Response
from payments_core.testing.cassettes import (
    BASE_URL,
    VERBATIM,
    CassetteError,
    CassetteMiss,
    CassettePolicy,
    Fields,
    Provenance,
    Rule,
    read,
    record,
    replay,
)
from payments_core.testing.masking import Masker, Refused
from payments_core.testing.server import LoopbackServer

SANDBOX = Provenance("sandbox", "tests")
SECRET = "s3cret-of-the-tests"
POLICY = CassettePolicy(
    (
        Rule(
            path="/token",
            query=Fields(("grant",), masked=("secret",)),
            response_body=Fields(("lifetime", "note"), masked=("token",)),
        ),
        Rule(
            path="/charge",
            query=Fields(("q",)),
            request_headers=Fields(("content-type",), masked=("authorization",)),
            request_body=Fields(("amount", "who.name", "items.price"), masked=("key",)),
            response_headers=Fields(("content-type", "x-kept", "content-encoding")),
            response_body=Fields(("ok", "items.id", "gone.deep"), masked=("again",)),
        ),
        Rule(path="/orders/{id}", response_body=Fields(("ok",))),
        Rule(path="/raw", request_body=VERBATIM, response_body=VERBATIM),
        Rule(path="/form", request_body=Fields(("amount",), masked=("key",)), response_body=Fields(("ok",))),
    )
)


class Remote:
    """A gateway on loopback that gives the answers it was told, in order, and remembers what came."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.came: list[tuple[str, str, bytes]] = []
        self._server = LoopbackServer(self._app)
        self.url = self._server.url
        self.close = self._server.close

    def answer(self, *bodies: Any, **options: Any) -> None:
        self.answers += [
            Answer(body if isinstance(body, bytes) else json.dumps(body), media_type="application/json", **options)
            for body in bodies
        ]

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        incoming = Incoming(scope, receive)
        self.came.append((incoming.method, incoming.url.path, await incoming.body()))
        answer = self.answers.pop(0) if self.answers else Answer(b'{"ok": true}', media_type="application/json")
        await answer(scope, receive, send)


@pytest.fixture
def remote() -> Iterator[Remote]:
    served = Remote()
    yield served
    served.close()


@pytest.fixture
def send(world: str) -> Iterator[Callable[..., Response]]:
    """Send one request through the core's transport: sync, or async."""
    with asyncio.Runner() as runner:
        transport: Any = HTTPTransport() if world == "sync" else AsyncHTTPTransport()

        def send_(method: str, url: str, body: Any = b"", headers: Any = (), query: Any = ()) -> Response:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            named = {name.lower() for name, _ in headers}
            kind = () if "content-type" in named or not content else (("content-type", "application/json"),)
            request = Request(method, url, tuple(query), (*kind, *headers), content)
            sent = transport.send(request, deadline=5.0)
            return sent if world == "sync" else runner.run(sent)

        yield send_
        if world == "sync":
            transport.close()
        else:
            runner.run(transport.close())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "set" / "scene.yaml"


def recorded(path: Path, remote: Remote, **options: Any) -> contextlib.AbstractContextManager[None]:
    arguments = {"base_url": remote.url, "secrets": {"secret": SECRET}, **options}
    return record(path, arguments.pop("policy", POLICY), arguments.pop("provenance", SANDBOX), **arguments)


def tape(path: Path, remote: Remote, send: Any, body: Any, **request: Any) -> None:
    with recorded(path, remote):
        send("POST", f"{remote.url}/charge", body, **request)


def charges(path: Path, send: Any, *bodies: Any) -> None:
    with replay(path, POLICY):
        for body in bodies:
            send("POST", f"{BASE_URL}/charge", body)


# There and back.


def test_what_was_recorded_is_replayed_without_a_network(path: Path, remote: Remote, send: Any) -> None:
    remote.answer({"ok": 1.50}, headers={"x-kept": "yes"})
    with recorded(path, remote, parameters={"order_id": "P1"}, command="make it so"):
        first = send("POST", f"{remote.url}/charge", {"amount": "88"})
    remote.close()
    with replay(path, POLICY) as recording:
        again = send("POST", f"{BASE_URL}/charge", {"amount": "88"})
    assert (first.status, again.status) == (200, 200)
    assert json.loads(again.body) == json.loads(first.body) == {"ok": 1.5}
    assert again.header("x-kept") == "yes"
    assert recording.parameters == {"order_id": "P1"}
    assert recording == read(path)
    assert (recording.provenance, recording.command) == (SANDBOX, "make it so")
    assert recording.requests == ("POST /charge",)


def test_a_cassette_is_vcrpys_own_format(path: Path, remote: Remote, send: Any) -> None:
    tape(path, remote, send, {"amount": "88"})
    requests, responses, metadata = vcr.serialize.deserialize(path.read_text(), yamlserializer)
    assert [request.uri for request in requests] == [f"{BASE_URL}/charge"]
    assert responses[0]["status"] == {"code": 200, "message": "OK"}
    assert metadata["provenance"] == "sandbox: tests"


def test_the_same_exchange_makes_the_same_bytes_wherever_the_gateway_is(
    tmp_path: Path, remote: Remote, send: Any
) -> None:
    elsewhere = Remote()
    tape(tmp_path / "one", remote, send, {"amount": "88", "who": {"name": "é\u2028\ud800"}})
    tape(tmp_path / "two", elsewhere, send, {"amount": "88", "who": {"name": "é\u2028\ud800"}})
    elsewhere.close()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert [each.name for each in sorted(tmp_path.iterdir())] == ["one", "two"], "nothing half-written is left"


def test_a_base_url_with_a_path_is_left_out_too(path: Path, remote: Remote, send: Any) -> None:
    with recorded(path, remote, base_url=f"{remote.url}/white/label/"):
        send("GET", f"{remote.url}/white/label/orders/C1")
    assert f"uri: {BASE_URL}/orders/C1\n" in path.read_text()
    with replay(path, POLICY):
        send("GET", f"{BASE_URL}/orders/C1")
    with replay(path, POLICY, base_url="https://acme.example:443/v2"):
        send("GET", "https://acme.example/v2/orders/C1")


def test_a_compressed_answer_is_kept_as_text(path: Path, remote: Remote, send: Any) -> None:
    remote.answer(gzip.compress(b'{"ok": "readable"}'), headers={"content-encoding": "gzip"})
    tape(path, remote, send, {"amount": "88"})
    assert '{"ok": "readable"}' in path.read_text()
    assert "encoding" not in path.read_text()
    with replay(path, POLICY):
        assert send("POST", f"{BASE_URL}/charge", {"amount": "88"}).body == b'{"ok": "readable"}'


# Kept.


def test_what_the_policy_does_not_name_is_masked_with_its_name(path: Path, remote: Remote, send: Any) -> None:
    unknown = "unheard-of"
    body = {"amount": "88", unknown: "1", "who": {"name": "Ann", unknown: unknown}, "items": [{"price": 1}, unknown]}
    remote.answer(
        {"ok": {"inside": unknown}, unknown: [unknown], "items": [{"id": 7, unknown: 1}], "gone": None},
        headers={unknown: unknown, "Set-Cookie": unknown},
    )
    with recorded(path, remote):
        query = (("q", "1"), (unknown, unknown), ("q", ""))
        send("POST", f"{remote.url}/charge", body, headers=((unknown, unknown),), query=query)
    text = path.read_text()
    assert unknown not in text
    assert "user-agent" not in text
    assert f"{BASE_URL}/charge?q=1&MASKED=MASKED&q=" in text
    assert '"who": {"name": "Ann", "MASKED": "MASKED"}' in text
    assert '"items": [{"price": 1}, "MASKED"]' in text
    assert '"ok": {"MASKED": "MASKED"}' in text
    assert '"items": [{"id": 7, "MASKED": "MASKED"}]' in text
    assert '"gone": null' in text


def test_names_that_are_not_kept_are_counted(path: Path, remote: Remote, send: Any) -> None:
    tape(path, remote, send, {"a": 1, "b": 2})
    assert '{"MASKED": "MASKED", "MASKED 2": "MASKED"}' in path.read_text()
    with pytest.raises(CassetteMiss, match="MASKED 2: recorded"), replay(path, POLICY):
        send("POST", f"{BASE_URL}/charge", {"a": 1})


def test_a_secret_may_be_another_one_in_the_replay(path: Path, remote: Remote, send: Any) -> None:
    remote.answer({"token": "token-that-was-given", "lifetime": 60})
    with recorded(path, remote):
        send("GET", f"{remote.url}/token", query=(("grant", "client"), ("secret", SECRET)))
    assert SECRET not in path.read_text()
    assert "?grant=client&secret=MASKED\n" in path.read_text()
    with replay(path, POLICY):
        answer = send("GET", f"{BASE_URL}/token", query=(("grant", "client"), ("secret", "another")))
    assert json.loads(answer.body) == {"token": "MASKED-1", "lifetime": 60}


def test_which_token_was_used_is_seen_and_the_token_is_not(path: Path, remote: Remote, send: Any) -> None:
    def scene(base: str, *, stale: bool = False) -> None:
        asked = (("secret", SECRET),)
        tokens = [json.loads(send("GET", f"{base}/token", query=asked).body)["token"] for _ in range(2)]
        for token in [tokens[0], tokens[0 if stale else 1]]:
            send("POST", f"{base}/charge", {"amount": token[-1:]}, headers=(("authorization", f"Bearer {token}"),))

    remote.answer({"token": "token-number-1"}, {"token": "token-number-2"})
    with recorded(path, remote, repeats=("/token",)):
        scene(remote.url)
    assert "token-number" not in path.read_text()
    assert path.read_text().count("authorization: [MASKED-1]") == 1
    assert path.read_text().count("authorization: [MASKED-2]") == 1
    with replay(path, POLICY):
        scene(BASE_URL)
    with (
        pytest.raises(CassetteMiss, match="header authorization: recorded MASKED-2, sent MASKED-1"),
        replay(path, POLICY),
    ):
        scene(BASE_URL, stale=True)


def test_an_answer_that_is_no_json_is_masked_whole(path: Path, remote: Remote, send: Any) -> None:
    remote.answers.append(Answer(f"<h1>{SECRET}</h1>", media_type="text/html", status_code=400))
    tape(path, remote, send, {"amount": "88"})
    with replay(path, POLICY):
        assert send("POST", f"{BASE_URL}/charge", {"amount": "88"}).body == b"MASKED"


def test_verbatim_bodies_are_kept_and_compared_as_bytes(path: Path, remote: Remote, send: Any) -> None:
    remote.answer(b"\x00\xff binary")
    with recorded(path, remote):
        send("POST", f"{remote.url}/raw", b"\xfe<xml/> ")
    with replay(path, POLICY):
        assert send("POST", f"{BASE_URL}/raw", b"\xfe<xml/> ").body == b"\x00\xff binary"
    with pytest.raises(CassetteMiss, match="body: recorded 8 bytes, sent 7 others"), replay(path, POLICY):
        send("POST", f"{BASE_URL}/raw", b"\xfe<xml/>")


@pytest.mark.parametrize(
    "text",
    ["a\x85b\n", "\u2028", " \n ", "\ttab\r\n", "\ufeff", "- a\n: b\n\n", "null", "1e3", "'\"", "\x00\x7f\n", "é😀"],
)
def test_odd_text_survives_the_file(path: Path, remote: Remote, send: Any, text: str) -> None:
    """YAML has its own ideas of line ends, white space and words."""
    remote.answer(text.encode())
    with recorded(path, remote, parameters={"order_id": text}):
        send("POST", f"{remote.url}/raw", text.encode())
    with replay(path, POLICY) as recording:
        assert send("POST", f"{BASE_URL}/raw", text.encode()).body == text.encode()
    assert recording.parameters == {"order_id": text}


def test_form_bodies_are_masked_and_compared_by_field(path: Path, remote: Remote, send: Any) -> None:
    form = (("content-type", "application/x-www-form-urlencoded"),)
    with recorded(path, remote):
        send("POST", f"{remote.url}/form", f"amount=88&key={SECRET}&odd=1".encode(), form)
    assert "body: amount=88&key=MASKED&MASKED=MASKED\n" in path.read_text()
    with replay(path, POLICY):
        send("POST", f"{BASE_URL}/form", b"key=other&amount=88&even=2", form)
    with pytest.raises(CassetteMiss, match=r"body amount: recorded \['88'\], sent \['88.0'\]"), replay(path, POLICY):
        send("POST", f"{BASE_URL}/form", b"amount=88.0&key=x&odd=1", form)


def test_another_origin_is_named_whole_in_the_policy() -> None:
    policy = CassettePolicy((Rule(path="https://files.example/up"), Rule(path="/up")))
    masker = Masker(policy, "https://api.example")
    assert masker.request("GET", "https://files.example:443/up", {}, b"").url == "https://files.example/up"
    assert masker.request("GET", "https://api.example/up", {}, b"").url == f"{BASE_URL}/up"
    with pytest.raises(Refused):
        masker.request("GET", "https://api.example.evil/up", {}, b"")


# Matching.


@pytest.mark.parametrize(
    ("was", "is_", "where"),
    [
        (b'{"amount": 100}', b'{"amount": 100.0}', "body.amount: recorded 100, sent 100.0"),
        (b'{"amount": 100}', b'{"amount": "100"}', 'body.amount: recorded 100, sent "100"'),
        (b'{"amount": 1.0}', b'{"amount": 1.00}', "body.amount: recorded 1.0, sent 1.00"),
        (b'{"amount": 1}', b'{"amount": true}', "body.amount: recorded 1, sent true"),
        (b'{"amount": null}', b"{}", "body.amount: recorded null, not sent"),
        (b"{}", b'{"amount": null}', "body.amount: not recorded, sent null"),
        (b'{"items": [{"price": 1}]}', b'{"items": [{"price": 2}]}', r"body.items\[0\].price: recorded 1, sent 2"),
        (b'{"items": []}', b'{"items": [{"price": 2}]}', r"body.items: recorded \[\], sent \[\{"),
        (b'{"items": []}', b'{"items": {}}', r"body.items: recorded \[\], sent \{\}"),
        (b'{"amount": 1}', b'{"amount": 1, "amount": 1}', "the body has a key twice"),
        (b'{"amount": 1}', b'{"amount": NaN}', "the body is not JSON"),
        (b'{"amount": 1}', b"\xef\xbb\xbf{}", "the body is not JSON"),
        (b'{"amount": 1}', b"", "body: recorded 13 bytes, sent 0 others"),
    ],
)
def test_another_body_is_a_miss_that_says_where(
    path: Path, remote: Remote, send: Any, was: bytes, is_: bytes, where: str
) -> None:
    json_type = (("content-type", "application/json"),)
    tape(path, remote, send, was, headers=json_type)
    with pytest.raises(CassetteMiss, match=where), replay(path, POLICY):
        send("POST", f"{BASE_URL}/charge", is_, json_type)


def test_the_order_of_keys_and_the_white_space_are_no_difference(path: Path, remote: Remote, send: Any) -> None:
    tape(path, remote, send, b'{"amount": 1, "who": {"name": "x"}}')
    with replay(path, POLICY):
        send("POST", f"{BASE_URL}/charge", b'{ "who":{"name":"x"},\n"amount":1}')


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"method": "PUT"}, "method: recorded POST, sent PUT"),
        ({"url": "/orders/1"}, f"url: recorded {BASE_URL}/charge, sent {BASE_URL}/orders/1"),
        ({"url": "/nowhere"}, "the policy has no rule for POST /nowhere"),
        ({"query": (("q", "2"),)}, r"query q: recorded \['1'\], sent \['2'\]"),
        ({"query": (("q", "1"), ("q", "1"))}, r"query q: recorded \['1'\], sent \['1', '1'\]"),
        ({"query": (("q", "1"), ("blank", ""))}, r"query MASKED: recorded nothing, sent \['MASKED'\]"),
        ({"headers": ()}, "header authorization: recorded MASKED, sent nothing"),
        (
            {"headers": (("authorization", "x"), ("content-type", "text/json"))},
            "header content-type: recorded application/json, sent text/json",
        ),
    ],
)
def test_another_request_is_a_miss_that_says_where(
    path: Path, remote: Remote, send: Any, change: dict[str, Any], where: str
) -> None:
    good = {"method": "POST", "url": "/charge", "query": (("q", "1"),), "headers": (("authorization", "Bearer x"),)}
    with recorded(path, remote):
        send(**(good | {"url": f"{remote.url}/charge", "body": {"amount": 1}}))
    changed = good | change
    with pytest.raises(CassetteMiss, match=where), replay(path, POLICY):
        send(**(changed | {"url": BASE_URL + changed["url"], "body": {"amount": 1}}))


def test_a_miss_surfaces_whatever_the_block_makes_of_it(path: Path, remote: Remote, send: Any) -> None:
    tape(path, remote, send, {"amount": 1})

    def swallowed() -> None:
        with replay(path, POLICY), contextlib.suppress(BaseException):
            send("POST", f"{BASE_URL}/charge", {"amount": 2})

    def renamed() -> None:
        with replay(path, POLICY):
            try:
                send("POST", f"{BASE_URL}/charge", {"amount": 2})
            except BaseException:
                raise GatewayUnavailable("mapped") from None

    for block in (swallowed, renamed):
        with pytest.raises(CassetteMiss, match=r"body.amount: recorded 1, sent 2"):
            block()


def test_a_miss_names_the_nearest_request_that_is_left(path: Path, remote: Remote, send: Any) -> None:
    with recorded(path, remote):
        for amount in (1, 2):
            send("POST", f"{remote.url}/charge", {"amount": amount, "who": {"name": "x"}})
    nearest = r"the nearest that is left, number 2, POST /charge, differs in\n +body.amount: recorded 2, sent 3"
    with pytest.raises(CassetteMiss, match=nearest):
        charges(path, send, {"amount": 1, "who": {"name": "x"}}, {"amount": 3, "who": {"name": "x"}})


def test_what_was_recorded_once_is_played_once(path: Path, remote: Remote, send: Any) -> None:
    tape(path, remote, send, {"amount": 1})
    with pytest.raises(CassetteMiss, match="it was recorded 1 time, and asked for once more"):
        charges(path, send, {"amount": 1}, {"amount": 1})


def test_what_was_recorded_must_be_played(path: Path, remote: Remote, send: Any) -> None:
    with recorded(path, remote):
        send("GET", f"{remote.url}/orders/1")
        send("GET", f"{remote.url}/orders/2")
    with pytest.raises(CassetteMiss, match="1 of 2 recorded requests never came: GET /orders/2"), replay(path, POLICY):
        send("GET", f"{BASE_URL}/orders/1")
    with pytest.raises(KeyError), replay(path, POLICY):
        raise KeyError("the block's own trouble comes first")


def test_an_interruption_stays_one(path: Path, remote: Remote, send: Any) -> None:
    tape(path, remote, send, {"amount": 1})

    def interrupted() -> None:
        with replay(path, POLICY):
            with contextlib.suppress(BaseException):
                send("POST", f"{BASE_URL}/charge", {"amount": 2})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


# Refused when writing.


def test_a_block_that_raises_leaves_the_old_cassette(path: Path, remote: Remote, send: Any) -> None:
    tape(path, remote, send, {"amount": 1})
    before = path.read_bytes()

    def fails() -> None:
        with recorded(path, remote):
            send("POST", f"{remote.url}/charge", {"amount": 2})
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_the_policy_does_not_cover_is_not_even_sent(path: Path, remote: Remote, send: Any) -> None:
    for url, body, problem in (
        ("/nowhere", b"", "no rule for POST /nowhere"),
        ("/charge", b"<xml/>", "the body is not JSON; one that .* only where its rule says `request_body=VERBATIM`"),
        ("/charge", b'{"amount": 1, "amount": 2}', "the body has a key twice"),
        ("/charge", b"100", "the body is not a JSON object or array"),
    ):
        with pytest.raises(CassetteError, match=problem), recorded(path, remote), contextlib.suppress(BaseException):
            send("POST", remote.url + url, body)
    assert remote.came == []
    assert not path.exists()


def test_a_retry_is_not_recorded_silently(path: Path, remote: Remote, send: Any) -> None:
    def twice(**options: Any) -> None:
        with recorded(path, remote, **options):
            for _ in range(2):
                send("GET", f"{remote.url}/orders/1")

    with pytest.raises(CassetteError, match="GET /orders/1 was sent again"):
        twice()
    assert not path.exists()
    twice(repeats=("/orders/{id}",))
    assert len(read(path).requests) == 2


def test_a_request_without_an_answer_is_not_left_out_silently(path: Path, remote: Remote, send: Any) -> None:
    gone = Remote()
    gone.close()
    policy = CassettePolicy((Rule(path="/a"), Rule(path=f"{remote.url}/b")))

    def loses_one() -> None:
        with recorded(path, remote, base_url=gone.url, policy=policy):
            with contextlib.suppress(GatewayUnavailable):
                send("GET", f"{gone.url}/a")
            send("GET", f"{remote.url}/b")

    with pytest.raises(CassetteError, match="2 requests were sent and 1 answered"):
        loses_one()
    with pytest.raises(CassetteError, match="nothing was sent"), recorded(path, remote):
        pass
    assert not path.exists()


@pytest.mark.parametrize("where", ["kept by the policy", "answered elsewhere", "parameter"])
def test_a_secret_that_would_be_written_is_not(path: Path, remote: Remote, send: Any, where: str) -> None:
    careless = CassettePolicy((Rule(path="/token", query=Fields(("secret",)), response_body=Fields(("note",))),))
    remote.answer({"note": f"we got {SECRET}" if where == "answered elsewhere" else "ok"})
    options: dict[str, Any] = {"parameters": {"order_id": SECRET}} if where == "parameter" else {}
    options["policy"] = careless if where == "kept by the policy" else POLICY
    with (
        pytest.raises(CassetteError, match="not written, because it would hold secret") as caught,
        recorded(path, remote, **options),
    ):
        send("GET", f"{remote.url}/token", query=(("secret", SECRET),))
    assert SECRET not in str(caught.value)
    assert not path.exists()


def test_what_is_masked_by_name_is_looked_for_in_the_rest(path: Path, remote: Remote, send: Any) -> None:
    """Nobody gave the token to the kit as a secret, and the gateway repeats it where the policy keeps the text."""
    remote.answer({"token": "token-that-was-given", "note": "your token is token-that-was-given"})
    with pytest.raises(CassetteError, match="would hold token, masked value"), recorded(path, remote):
        send("GET", f"{remote.url}/token")
    assert not path.exists()


def test_what_this_machine_answers_is_never_live(path: Path, remote: Remote, send: Any) -> None:
    with pytest.raises(CassetteError, match="are not live"), recorded(path, remote, provenance=Provenance("live", "x")):
        send("GET", f"{remote.url}/orders/1")
    assert not path.exists()


def test_a_live_cassette_gives_way_to_a_live_one_only(path: Path, remote: Remote, send: Any) -> None:
    tape(path, remote, send, {"amount": 1})
    live = path.read_text().replace("sandbox: tests", "live: acme")
    path.write_text(live)
    with pytest.raises(CassetteError, match="is live, and is not replaced by one from sandbox: tests"):
        tape(path, remote, send, {"amount": 2})
    assert path.read_text() == live


def test_only_one_cassette_is_open_at_a_time(path: Path, remote: Remote, send: Any) -> None:
    tape(path, remote, send, {"amount": 1})
    with replay(path, POLICY):
        for open_ in (lambda: replay(path, POLICY), lambda: recorded(path, remote)):
            with pytest.raises(CassetteError, match="a cassette is open already"), open_():
                pass
        send("POST", f"{BASE_URL}/charge", {"amount": 1})
    with replay(path, POLICY):
        send("POST", f"{BASE_URL}/charge", {"amount": 1})


# Refused when reading.


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("provenance: 'sandbox: tests'", "origin: somewhere", "does not say who answered"),
        ("provenance: 'sandbox: tests'", "provenance:", "does not say who answered"),
        (
            "sandbox: tests",
            "hearsay",
            "the provenance of a cassette is one of documentation, sandbox, live, not 'hearsay'",
        ),
        ("sandbox: tests", "lively", "not 'lively'"),
        ("metadata:", "meta:", "does not say who answered"),
        ("parameters: {}", "parameters: {order_id: 1}", "must be strings"),
        ("amount", "mount", "holds more than the policy keeps"),
        ('"ok": true', '"ko": "a value that slipped in"', "holds more than the policy keeps"),
        ("/charge", "/nowhere", "the policy has no rule for POST /nowhere"),
        ("interactions:", "interactions: &", "is no cassette"),
        ("code: 200", "code: fine", "an invalid answer"),
        ("method: POST", "verb: POST", "is no cassette"),
    ],
)
def test_a_cassette_that_cannot_be_trusted_is_refused(
    path: Path, remote: Remote, send: Any, old: str, new: str, problem: str
) -> None:
    tape(path, remote, send, {"amount": 1})
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(CassetteError, match=problem), replay(path, POLICY):
        pytest.fail("it was opened")


def test_a_cassette_that_is_not_there_is_not_recorded_by_the_way(path: Path) -> None:
    with pytest.raises(CassetteError, match="there is no cassette"), replay(path, POLICY):
        pass
    assert not path.exists()


def test_a_provenance_is_one_of_three() -> None:
    assert str(Provenance.parse("documentation: a page, and more: words")) == "documentation: a page, and more: words"
    assert Provenance.parse("live") == Provenance("live")
    for wrong in ("", "Live", "sand", "sandboxes: x"):
        with pytest.raises(CassetteError):
            Provenance.parse(wrong)


# The host's logging.


def test_vcrpys_loggers_are_silent_meanwhile_and_as_before_afterwards(
    path: Path, remote: Remote, send: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """They print whole URLs at INFO, and so the secrets that travel in queries."""

    def loggers() -> dict[str, tuple[int, bool, bool]]:
        found = logging.root.manager.loggerDict.items()
        return {
            name: (each.level, each.disabled, each.propagate)
            for name, each in found
            if name.split(".")[0] == "vcr" and "born" not in name and isinstance(each, logging.Logger)
        }

    logging.getLogger("vcr.stubs.httpx_stubs").setLevel(logging.DEBUG)
    try:
        before = loggers()
        with caplog.at_level(logging.DEBUG):
            with recorded(path, remote):
                send("GET", f"{remote.url}/token", query=(("secret", SECRET),))
                logging.getLogger("host").info("still heard")
                logging.getLogger("vcr.born.meanwhile").error("not heard")
            with replay(path, POLICY):
                send("GET", f"{BASE_URL}/token", query=(("secret", "another secret"),))
            logging.getLogger("vcr.cassette").info("heard again")
        told = [(record.name, record.getMessage()) for record in caplog.records]
        assert [each for each in told if each[0].startswith("vcr")] == [("vcr.cassette", "heard again")]
        assert ("host", "still heard") in told
        assert SECRET not in caplog.text
        assert loggers() == before
    finally:
        logging.getLogger("vcr.stubs.httpx_stubs").setLevel(logging.NOTSET)


def test_requests_of_other_threads_are_answered_too(path: Path, remote: Remote) -> None:
    transport = HTTPTransport()
    with recorded(path, remote):
        for number in range(4):
            transport.send(Request("GET", f"{remote.url}/orders/{number}"), deadline=5.0)
    heard: list[int] = []

    def ask(number: int) -> None:
        heard.append(transport.send(Request("GET", f"{BASE_URL}/orders/{number}"), deadline=5.0).status)

    with replay(path, POLICY):
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    transport.close()
    assert heard == [200] * 4
