"""Hold a delivery as plain data, whatever framework received it."""

from __future__ import annotations

import email
import http.client
import io
import pickle
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec
import pytest
from multidict import CIMultiDict
from starlette.datastructures import Headers

from payments_alipayhk.sandbox import make
from payments_core import ChargeRequest, Gateway, InvalidRequest, Money, WebhookDelivery, WebhookRejected

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Django(Mapping[str, str]):
    """Headers as Django keeps them: a mapping without case that is no dict."""

    def __init__(self, held: dict[str, str]) -> None:
        self._held = held

    def __getitem__(self, name: str) -> str:
        return self._held[name]

    def __iter__(self) -> Any:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)


class Werkzeug:
    """Headers as Werkzeug keeps them: `items()`, and iteration over pairs."""

    def items(self) -> Any:
        yield "Signature", "s"

    def __iter__(self) -> Any:
        return self.items()


class Name(StrEnum):
    SIGNATURE = "Signature"


class Value(StrEnum):
    S = "s"


SHAPES: dict[str, Any] = {
    "dict": {"Signature": "s"},
    "upper case": {"SIGNATURE": "s"},
    "dict of bytes": {b"signature": b"s"},
    "pairs": [("Signature", "s")],
    "pairs of bytes": [(b"signature", b"s")],
    "pairs of both": ((b"Signature", "s"), ("Other", "x")),
    "pairs that are lists": [["Signature", "s"]],
    "a list of values": {"signature": ["s"]},
    "a list of values of bytes": {b"signature": (b"s",)},
    "generator": (pair for pair in [("Signature", "s")]),
    "str subclass": {Name.SIGNATURE: Value.S},
    "Starlette": Headers(raw=[(b"signature", b"s")]),
    "aiohttp": CIMultiDict({"Signature": "s"}),
    "Django": Django({"Signature": "s"}),
    "Werkzeug": Werkzeug(),
    "http.client": http.client.parse_headers(io.BytesIO(b"Signature: s\r\n\r\n")),
    "email": email.message_from_string("Signature: s\n\n"),
}


@pytest.mark.parametrize("headers", SHAPES.values(), ids=SHAPES)
def test_headers_of_every_framework_become_pairs_of_text(headers: Any) -> None:
    """They are found in any case, and JSON, msgpack and pickle keep them."""
    delivery = WebhookDelivery(b"\x00\xff", headers, NOW, url="https://shop.example/hook")
    assert all(type(pair) is tuple and [type(each) for each in pair] == [str, str] for pair in delivery.headers)
    assert delivery.values("signature") == ["s"]
    assert delivery.header("Signature") == "s"
    assert delivery.header("missing") is None
    for again in (
        msgspec.json.decode(msgspec.json.encode(delivery), type=WebhookDelivery),
        msgspec.msgpack.decode(msgspec.msgpack.encode(delivery), type=WebhookDelivery),
        pickle.loads(pickle.dumps(delivery)),
    ):
        assert again == delivery
        assert again.header("SIGNATURE") == "s"


@pytest.mark.parametrize(
    "headers",
    [
        {"Signature": "a", "signature": "b"},
        [("Signature", "a"), ("Other", "x"), ("Signature", "b")],
        {"Signature": ["a", "b"]},
        Headers(raw=[(b"signature", b"a"), (b"signature", b"b")]),
        CIMultiDict([("Signature", "a"), ("signature", "b")]),
        http.client.parse_headers(io.BytesIO(b"Signature: a\r\nSignature: b\r\n\r\n")),
    ],
)
def test_doubled_headers_are_seen_in_order(headers: Any) -> None:
    """Also when they differ in case or come as a list."""
    delivery = WebhookDelivery(b"", headers)
    assert delivery.values("signature") == ["a", "b"]
    with pytest.raises(WebhookRejected):
        delivery.header("signature")


@pytest.mark.parametrize("value", ["\udce9", "é", b"\xe9"])
def test_header_that_is_no_ascii_goes_through_json(value: Any) -> None:
    """Servers decode such bytes as Latin-1, as UTF-8 with surrogates, or not at all."""
    delivery = WebhookDelivery(b"", [("A", value)])
    assert delivery.header("a") == "é"
    assert msgspec.json.decode(msgspec.json.encode(delivery), type=WebhookDelivery) == delivery


@pytest.mark.parametrize(
    "headers",
    [
        None, 5, "Signature: s", b"Signature: s", ["ab"], [("a",)], [("a", "b", "c")], [("a", 5)], [(5, "a")],
        {"a": None}, {"a": [5]}, {"a": {"b": "c"}}, [("a", "\ud800")],
    ],
)  # fmt: skip
def test_headers_that_are_no_text_are_refused_when_the_delivery_is_made(headers: Any) -> None:
    """The receiver made a mistake, and learns it before anything is looked up."""
    with pytest.raises(InvalidRequest) as caught:
        WebhookDelivery(b"", headers)
    assert caught.value.field == "headers"


def test_headers_cannot_be_changed_after_the_delivery_was_made() -> None:
    """Neither through the object that was given nor through the one that is held."""
    given = {"Signature": ["a"]}
    delivery = WebhookDelivery(b"", given)
    given["Signature"].append("b")
    given["Other"] = []
    assert delivery.headers == (("Signature", "a"),)
    hash(delivery)


def test_body_of_any_bytes_is_copied() -> None:
    """Some servers hand out a view of a buffer that they use again."""
    buffer = bytearray(b"paid")
    deliveries = [WebhookDelivery(body, {}) for body in (buffer, memoryview(buffer), memoryview(buffer)[:])]
    buffer[:] = b"----"
    assert [(type(each.body), each.body) for each in deliveries] == [(bytes, b"paid")] * 3


@pytest.mark.parametrize(
    ("body", "problem"),
    [("{}", "text was decoded"), ({}, "parsed JSON"), ([], "parsed JSON"), (None, "not a NoneType"), (5, "not a int")],
)
def test_body_that_is_not_bytes_is_refused_by_what_it_is(body: Any, problem: str) -> None:
    """Text was decoded and a parsed body was re-encoded: neither is what was signed."""
    with pytest.raises(InvalidRequest, match=problem) as caught:
        WebhookDelivery(body, {})
    assert caught.value.field == "body"


def test_delivery_takes_an_aware_time_and_shows_no_secret() -> None:
    """A naive time could be of any time zone."""
    with pytest.raises(InvalidRequest):
        WebhookDelivery(b"", {}, received_at=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(InvalidRequest):
        WebhookDelivery(b"", {}, received_at="2026-01-01T00:00:00Z")  # type: ignore[arg-type]
    assert "secret" not in repr(WebhookDelivery(b"secret", {"a": "secret"}, datetime.now(UTC)))


def test_signed_delivery_is_believed_after_a_queue() -> None:
    """ASGI hands out lower-case bytes, and a worker reads JSON."""
    with make() as sandbox, Gateway.open("alipayhk", sandbox.config) as gateway:
        charge = gateway.create_charge(ChargeRequest("Q1", Money.of("88", "HKD"), "Tea"))
        sandbox.pay(charge.reference.provider_id)
        sent = sandbox.notification(charge.reference.provider_id)
        scope = [(name.lower().encode(), value.encode()) for name, value in sent.headers]
        arrived = WebhookDelivery(sent.body, scope, received_at=datetime.now(UTC))
        later = msgspec.json.decode(msgspec.json.encode(arrived), type=WebhookDelivery)
        assert gateway.parse_webhook(later).events == gateway.parse_webhook(arrived).events != ()
