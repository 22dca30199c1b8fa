"""Verify notifications: the published vector, every one-bit change of it, and every known forgery."""

from __future__ import annotations

import importlib.util
import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from payments_alipayhk.sandbox import notifications
from payments_alipayhk.webhook import sign, verify
from payments_core import ConfigurationError, Reference, Secret, Subject, WebhookDelivery, WebhookRejected

KEY = "6d0e8fa7b10c40c3a48c0c2be41cb178"
BODY = (
    b'{"notify_type":"refund_success","data":{"uid":39172931,"refund_id":"C34368224017070000",'
    b'"merchant_refund_id":"P2164521756312637123","order_amount":"105.00","create_time":"2023-08-23T18:25:43.511Z",'
    b'"refund_time":"2023-08-23T18:28:16.511Z"}}'
)
SIGNATURE = "3ce5a54d8a76590179f0f4192a6c0efddf20e118966b6276b1bfbbc0b33f362a"
PAID = (
    b'{"notify_type":"payment_success",'
    b'"data":{"order_id":"C991289984923795789123","merchant_order_id":"P9297895081903"}}'
)


@pytest.fixture
def gateway(opening: Any, alipayhk_config: dict[str, str]) -> Any:
    """Open with the published key, and with a transport that must not be used."""

    def forbidden(request: Any) -> Any:
        raise AssertionError(f"a webhook sent {request}")

    return opening("alipayhk", alipayhk_config, transport=forbidden)


def hex_of(body: bytes, key: str = KEY) -> str:
    """Compute the signature from the documentation, independently of the plugin."""
    return sha256(body + b"." + key.encode()).hexdigest()


def notice(**data: Any) -> bytes:
    return json.dumps({"notify_type": "payment_success", "data": data}).encode()


def signed(body: bytes, key: str = KEY) -> WebhookDelivery:
    return WebhookDelivery(body, {"Signature": hex_of(body, key)})


def reason(gateway: Any, delivery: WebhookDelivery) -> str:
    with pytest.raises(WebhookRejected) as caught:
        gateway.parse_webhook(delivery)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert hex_of(delivery.body) not in str(caught.value)
    return caught.value.reason


def test_the_published_vector_is_accepted(gateway: Any) -> None:
    """In either case of its digits; the event names no order, because the message doesn't."""
    for signature in (SIGNATURE, SIGNATURE.upper()):
        (event,) = gateway.parse_webhook(WebhookDelivery(BODY, {"signature": signature})).events
        assert (event.subject, event.raw_kind, event.reference) == (Subject.REFUND, "refund_success", None)
        assert event.event_id == "refund_success:C34368224017070000:P2164521756312637123"
        assert (event.authoritative, event.refund, event.account) == (False, None, "39172931")
    assert sign(BODY, Secret(KEY)) == SIGNATURE
    assert notifications.sign(BODY, KEY) == SIGNATURE


def test_every_one_bit_change_of_the_body_is_refused(gateway: Any) -> None:
    """All of them, not a sample."""
    for position in range(len(BODY) * 8):
        changed = bytearray(BODY)
        changed[position // 8] ^= 1 << position % 8
        assert reason(gateway, WebhookDelivery(bytes(changed), {"Signature": SIGNATURE})) == "signature"


def test_every_one_bit_change_of_the_signature_is_refused(gateway: Any) -> None:
    """Of the 32 bytes that the digits stand for."""
    digest = bytes.fromhex(SIGNATURE)
    for position in range(256):
        changed = bytearray(digest)
        changed[position // 8] ^= 1 << position % 8
        assert reason(gateway, WebhookDelivery(BODY, {"Signature": changed.hex()})) == "signature"


def test_every_one_bit_change_of_the_key_is_refused() -> None:
    """Seven bits of each character: the eighth would be another encoding."""
    delivery = WebhookDelivery(BODY, {"Signature": SIGNATURE})
    verify(delivery, (Secret(KEY),))
    for position in range(len(KEY)):
        for bit in range(7):
            key = KEY[:position] + chr(ord(KEY[position]) ^ 1 << bit) + KEY[position + 1 :]
            with pytest.raises(WebhookRejected) as caught:
                verify(delivery, (Secret(key),))
            assert caught.value.reason == "signature"


NOT_A_SIGNATURE: dict[str, Any] = {
    "missing": {},
    "empty": {"Signature": ""},
    "twice": [("Signature", SIGNATURE), ("Signature", SIGNATURE)],
    "twice in two cases": {"Signature": SIGNATURE, "signature": SIGNATURE},
    "a good one after a bad one": [("Signature", "0" * 64), ("Signature", SIGNATURE)],
    "a list of two": {"Signature": [SIGNATURE, SIGNATURE]},
    "joined": {"Signature": f"{SIGNATURE}, {SIGNATURE}"},
    "8 kB": {"Signature": SIGNATURE * 128},
    "8 kB of spaces": {"Signature": SIGNATURE + " " * 8192},
    "cut": {"Signature": SIGNATURE[:-1]},
    "cut by a byte": {"Signature": SIGNATURE[:-2]},
    "longer": {"Signature": SIGNATURE + "00"},
    "non-ASCII": {"Signature": "é" * 64},
    "non-ASCII digits": {"Signature": "３" + SIGNATURE[1:]},
    "bytes that are no text": {b"Signature": b"\xff" * 64},
    "no hexadecimal": {"Signature": "g" * 64},
    "zeros": {"Signature": "0" * 64},
    "a leading space": {"Signature": " " + SIGNATURE},
    "a trailing newline": {"Signature": SIGNATURE + "\n"},
    "spaces between bytes": {"Signature": " ".join(SIGNATURE[i : i + 2] for i in range(0, 64, 2))},
    "a prefix": {"Signature": f"sha256={SIGNATURE}"},
    "base64": {"Signature": "POWlTYp2WQF58PQZKmwO/d8g4RiWa2J2sb+7wLM/Nio="},
    "another header": {"X-Signature": SIGNATURE},
    "without the dot": {"Signature": sha256(BODY + KEY.encode()).hexdigest()},
    "the key first": {"Signature": sha256(KEY.encode() + b"." + BODY).hexdigest()},
    "an HMAC": {"Signature": __import__("hmac").new(KEY.encode(), BODY, "sha256").hexdigest()},
    "no key": {"Signature": sha256(BODY + b".").hexdigest()},
    "the body alone": {"Signature": sha256(BODY).hexdigest()},
    "another key": {"Signature": hex_of(BODY, "another key")},
    "the key in upper case": {"Signature": hex_of(BODY, KEY.upper())},
    "an empty mapping of another shape": [],
    "MD5": {"Signature": "d41d8cd98f00b204e9800998ecf8427e"},
    "the digest of the empty body": {"Signature": hex_of(b"")},
    "localhost": {"Host": "localhost", "X-Forwarded-For": "127.0.0.1"},
    "a debug switch": {"X-Debug": "1", "Signature": "debug"},
    "none": {"Signature": "None"},
    "true": {"Signature": "true"},
    "JSON": {"Signature": json.dumps({"Signature": SIGNATURE})},
    "a NUL": {"Signature": SIGNATURE[:-1] + "\x00"},
    "escaped": {"Signature": "%33" + SIGNATURE[1:]},
    "the first half twice": {"Signature": SIGNATURE[:32] * 2},
    "reversed": {"Signature": SIGNATURE[::-1]},
}


@pytest.mark.parametrize("headers", NOT_A_SIGNATURE.values(), ids=NOT_A_SIGNATURE)
def test_what_is_not_the_signature_is_refused(gateway: Any, headers: Any) -> None:
    """The body is the published one, so only the signature can be at fault."""
    assert reason(gateway, WebhookDelivery(BODY, headers)) == "signature"


def test_the_list_of_bypasses_is_long_enough() -> None:
    """The figure that every provider must reach."""
    assert len(NOT_A_SIGNATURE) >= 40


def test_the_body_is_taken_as_it_came(gateway: Any) -> None:
    """Parsed and encoded again it says the same, and was not signed."""
    for body in (json.dumps(json.loads(BODY)).encode(), BODY + b"\n", BODY[:-1], b"", BODY * 2, BODY.upper()):
        assert reason(gateway, WebhookDelivery(body, {"Signature": SIGNATURE})) == "signature"


def test_a_payment_is_a_hint_that_carries_no_status(gateway: Any) -> None:
    """Both ids, and nothing that could be read as paid."""
    notification = gateway.parse_webhook(signed(PAID))
    (event,) = notification.events
    assert (event.subject, event.raw_kind) == (Subject.CHARGE, "payment_success")
    assert event.reference == Reference("P9297895081903", "C991289984923795789123")
    assert event.event_id == "payment_success:C991289984923795789123:P9297895081903"
    assert (event.charge, event.authoritative) == (None, False)
    assert (notification.acknowledgement.status, notification.acknowledgement.body) == (200, b"")
    assert not hasattr(event, "status")


@pytest.mark.parametrize("data", [{"order_id": "C1"}, {"merchant_order_id": "P1"}])
def test_one_id_is_enough_to_ask(gateway: Any, data: Any) -> None:
    """Either can be asked about."""
    (event,) = gateway.parse_webhook(signed(notice(**data))).events
    assert event.reference == Reference(data.get("merchant_order_id", ""), data.get("order_id", ""))


def test_keys_rotate(opening: Any, alipayhk_config: dict[str, str]) -> None:
    """Both are good while the merchant changes them; a third is not, and a blank one never is."""
    gateway = opening("alipayhk", alipayhk_config | {"webhook_key": "new-key", "previous_webhook_key": KEY})
    for key in ("new-key", KEY):
        assert gateway.parse_webhook(signed(PAID, key)).events
    assert reason(gateway, signed(PAID, "third-key")) == "signature"
    assert reason(opening("alipayhk", alipayhk_config), signed(PAID, "")) == "signature"
    for blank in ("", " "):
        with pytest.raises(ConfigurationError):
            opening("alipayhk", alipayhk_config | {"webhook_key": blank, "previous_webhook_key": KEY})


MALFORMED = {
    "no JSON": b"paid",
    "empty": b"",
    "a list": b"[]",
    "null": b"null",
    "no kind": b'{"data":{}}',
    "a number for a kind": b'{"notify_type":1,"data":{}}',
    "an empty kind": b'{"notify_type":"","data":{}}',
    "a kind with a newline": b'{"notify_type":"a\\nb","data":{}}',
    "a long kind": b'{"notify_type":"' + b"k" * 65 + b'"}',
    "no data": b'{"notify_type":"payment_success"}',
    "data null": b'{"notify_type":"payment_success","data":null}',
    "data a list": b'{"notify_type":"payment_success","data":[]}',
    "no ids": notice(),
    "empty ids": notice(order_id="", merchant_order_id=""),
    "a number for an id": notice(order_id=5),
    "null for an id": notice(order_id=None, merchant_order_id="P1"),
    "a NUL in an id": notice(order_id="C\x00", merchant_order_id="P1"),
    "a newline in an id": notice(order_id="C1", merchant_order_id="P1\n"),
    "an invisible mark in an id": notice(order_id="C1", merchant_order_id="P\u200b1"),
    "a long id": notice(order_id="C" * 65),
    "a long merchant id": notice(order_id="C1", merchant_order_id="P" * 65),
    "a BOM": b"\xef\xbb\xbf" + PAID,
    "bad UTF-8": PAID.replace(b"P929", b"\xff\xfe"),
    "UTF-16": PAID.decode().encode("utf-16"),
    "a surrogate": PAID.replace(b"P929", b"\\ud800"),
    "deep": b'{"notify_type":"payment_success","data":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
    "deep list": b"[" * 200_000,
    "two documents": PAID + PAID,
    "cut": PAID[:-2],
    "over 256 kB": PAID + b" " * (256 * 1024),
    "a refund without ids": b'{"notify_type":"refund_success","data":{"order_amount":"1"}}',
    "a refund with a control character": b'{"notify_type":"refund_success","data":{"refund_id":"a\\u0007"}}',
    "a refund with a long id": b'{"notify_type":"refund_success","data":{"refund_id":"' + b"r" * 65 + b'"}}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_signed_message_that_cannot_be_read_is_malformed(gateway: Any, body: bytes) -> None:
    """A good signature makes nothing readable."""
    assert reason(gateway, signed(body)) == "malformed"


def test_256_kb_are_still_read(gateway: Any) -> None:
    """The limit is exact."""
    assert gateway.parse_webhook(signed(PAID + b" " * (256 * 1024 - len(PAID)))).events


def test_only_post_is_a_notification(gateway: Any) -> None:
    """A GET from a tricked browser is no notification."""
    delivery = WebhookDelivery(PAID, {"Signature": hex_of(PAID)}, method="GET")
    assert reason(gateway, delivery) == "malformed"


@pytest.mark.parametrize("data", ["null", "[]", "5", '{"order_id":5}', '{"order_id":"C1","status":"SUCCEEDED"}'])
def test_of_an_unknown_kind_only_the_name_is_read(gateway: Any, data: str) -> None:
    """It is acknowledged and changes nothing."""
    (event,) = gateway.parse_webhook(signed(f'{{"notify_type":"dispute_opened","data":{data}}}'.encode())).events
    assert event.event_id.startswith("dispute_opened:")
    assert (event.subject, event.raw_kind, event.reference, event.authoritative) == (
        Subject.OTHER,
        "dispute_opened",
        None,
        False,
    )


def test_events_that_differ_have_different_ids(gateway: Any) -> None:
    """A platform that tells repetitions apart by the id must lose none; a repetition has the same."""
    bodies = [
        b'{"notify_type":"dispute_opened","data":{"id":"D1"}}',
        b'{"notify_type":"dispute_opened","data":{"id":"D2"}}',
        b'{"notify_type":"payment_success","data":{"order_id":"a:b","merchant_order_id":"c"}}',
        b'{"notify_type":"payment_success","data":{"order_id":"a","merchant_order_id":"b:c"}}',
        b'{"notify_type":"payment_success","data":{"order_id":"a"}}',
        b'{"notify_type":"payment_success","data":{"merchant_order_id":"a"}}',
    ]
    ids = [gateway.parse_webhook(signed(body)).events[0].event_id for body in bodies * 2]
    assert ids[:6] == ids[6:]
    assert len(set(ids)) == 6


@pytest.mark.parametrize(
    ("uid", "account"), [("39172931", "39172931"), ("true", ""), ('"x"', ""), ("1.5", ""), ("-1", ""), ("null", "")]
)
def test_the_account_of_a_refund_is_kept_as_told(gateway: Any, uid: str, account: str) -> None:
    """The documentation doesn't say whether it is the merchant number that authorizes."""
    body = f'{{"notify_type":"refund_success","data":{{"uid":{uid},"refund_id":"C1"}}}}'.encode()
    assert gateway.parse_webhook(signed(body)).events[0].account == account


def test_200_000_mutated_deliveries_in_small() -> None:
    """Run the mutation script with a smaller count; `make fuzz` runs all of them."""
    path = Path(__file__).parents[2] / "scripts" / "fuzz_webhooks.py"
    spec = importlib.util.spec_from_file_location("fuzz_webhooks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    result = module.fuzz(5000, seed=1)
    assert (result.forged, result.untyped, result.genuine_refused) == (0, 0, 0)
    assert result.mutated == 4950
    assert result.genuine_accepted == 50
    assert set(result.reasons) == {"signature", "malformed", "headers"}
