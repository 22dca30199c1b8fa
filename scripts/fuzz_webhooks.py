"""Mutate deliveries and count those that are accepted: `python scripts/fuzz_webhooks.py [COUNT] [SEED]`.

Each hundredth delivery is genuine and must be accepted. All others are changed in the body, the headers, the key or the
signature, and must be refused with `WebhookRejected`. Some changed bodies are signed again with the right key: their
signature is genuine, so they test the reader, and must end in an event or a `WebhookRejected`.
Exits with 1 if a forgery was accepted, a delivery ended in another exception, or a genuine one was refused.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from payments_core import Gateway, InvalidRequest, Subject, WebhookDelivery, WebhookRejected

KEY = "6d0e8fa7b10c40c3a48c0c2be41cb178"
CONFIG = {"base_url": "http://127.0.0.1:9", "uid": "39172931", "client_secret": "unused", "webhook_key": KEY}
GENUINE_EVERY = 100


@dataclass
class Result:
    """The counts of a run."""

    mutated: int = 0
    resigned: int = 0
    genuine_accepted: int = 0
    genuine_refused: int = 0
    forged: int = 0
    untyped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def fuzz(count: int, seed: int) -> Result:
    """Make `count` deliveries and give each to a gateway."""
    chance = random.Random(seed)
    result = Result()
    with Gateway.open("alipayhk", CONFIG, transport=_NoTransport()) as gateway:
        for number in range(count):
            if number % GENUINE_EVERY == 0:
                _genuine(gateway, chance, result)
            else:
                _mutated(gateway, chance, result)
    return result


def _genuine(gateway: Gateway, chance: random.Random, result: Result) -> None:
    body = _body(chance)
    try:
        accepted = bool(gateway.parse_webhook(WebhookDelivery(body, _headers(_sign(body)))).events)
    except Exception:  # noqa: BLE001 - counted, whatever it is
        accepted = False
    result.genuine_accepted += accepted
    result.genuine_refused += not accepted


def _mutated(gateway: Gateway, chance: random.Random, result: Result) -> None:
    body = _body(chance)
    mutate = chance.choice(_MUTATIONS)
    changed, headers = mutate(chance, body)
    signed_by_us = mutate is _change_and_sign_again
    result.mutated += 1
    result.resigned += signed_by_us
    try:
        delivery = WebhookDelivery(changed, headers)
    except InvalidRequest as exc:  # headers that no server passes on
        result.reasons[exc.field] += 1
        return
    try:
        events = gateway.parse_webhook(delivery).events
    except WebhookRejected as exc:
        result.reasons[exc.reason] += 1
        return
    except Exception:  # noqa: BLE001 - counted, whatever it is
        result.untyped += 1
        return
    # A hint can only cause a query. One that carries a status is a forgery, even if its bytes are signed.
    if not signed_by_us or any(event.authoritative for event in events):
        result.forged += 1
    elif any(event.subject is Subject.CHARGE and event.reference is None for event in events):
        result.untyped += 1


def _sign(body: bytes, key: str = KEY) -> str:
    return sha256(body + b"." + key.encode()).hexdigest()


def _headers(signature: object) -> dict[str, Any]:
    return {"Host": "shop.example", "Content-Type": "application/json", "Signature": signature, "User-Agent": "gateway"}


def _body(chance: random.Random) -> bytes:
    ids = {"order_id": f"C{chance.randrange(10**20)}", "merchant_order_id": f"P{chance.randrange(10**12)}"}
    if chance.random() < 0.2:
        ids = {"refund_id": f"C{chance.randrange(10**16)}", "merchant_refund_id": f"P{chance.randrange(10**16)}"}
        return json.dumps(
            {"notify_type": "refund_success", "data": {"uid": 39172931} | ids | {"order_amount": "1"}}
        ).encode()
    return json.dumps({"notify_type": "payment_success", "data": ids}).encode()


def _twist(chance: random.Random, body: bytes) -> bytes:
    """Return bytes other than `body`: flipped, cut, doubled, inserted, or with pieces of other grammars."""
    pieces = (
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b'"',
        b"{",
        b"[" * 300,
        b"\\u0000",
        b"\\ud800",
        b"null",
        b"1e999",
        b"\xef\xbc\x99",
        b"\n",
    )
    data = bytearray(body)
    while bytes(data) == body:
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(5):
                case 0 if at < len(data):
                    data[at] ^= 1 << chance.randrange(8)
                case 1:
                    del data[at : at + chance.randint(1, 20)]
                case 2:
                    data[at:at] = chance.choice(pieces)
                case 3:
                    data[at:at] = data[: chance.randint(1, 30)]
                case 4:
                    data[at : at + 1] = chance.randbytes(chance.randint(1, 4))
    return bytes(data)


def _change_body(chance: random.Random, body: bytes) -> tuple[bytes, Any]:
    return _twist(chance, body), _headers(_sign(body))


def _change_signature(chance: random.Random, body: bytes) -> tuple[bytes, Any]:
    good = _sign(body)
    twisted = _twist(chance, good.encode()).decode("latin-1")
    # The same digits in the other case are the same signature.
    return body, _headers(twisted if twisted.lower() != good else good[:-1])


def _other_key(chance: random.Random, body: bytes) -> tuple[bytes, Any]:
    return body, _headers(_sign(body, _twist(chance, KEY.encode()).decode("latin-1")))


def _odd_headers(chance: random.Random, body: bytes) -> tuple[bytes, Any]:
    good = _sign(body)
    odd: list[Any] = [
        {}, [], {"Signature": None}, {"Signature": 5}, {"Signature": [good, good]},
        {"Signature": good, "signature": good}, [("Signature", good), ("SIGNATURE", good)],
        {b"Signature": b"\xff"}, {"Signature ": good}, {None: good}, [()], None, 5,
        [("Signature",)], {"Signature": b""}, {"Signature": {}}, {"X-Signature": good}, {"Signature": good * 128},
    ]  # fmt: skip
    return body, chance.choice(odd)


def _another_message(chance: random.Random, body: bytes) -> tuple[bytes, Any]:
    return _body(chance), _headers(_sign(body))


def _change_and_sign_again(chance: random.Random, body: bytes) -> tuple[bytes, Any]:
    changed = _twist(chance, body)
    return changed, _headers(_sign(changed))


_Mutation = Callable[[random.Random, bytes], tuple[bytes, Any]]
_MUTATIONS: tuple[_Mutation, ...] = (
    _change_body,
    _change_signature,
    _other_key,
    _odd_headers,
    _another_message,
    _change_and_sign_again,
)


class _NoTransport:
    def send(self, request: object, *, deadline: float) -> Any:
        raise AssertionError(f"a webhook sent {request} within {deadline} s")

    def close(self) -> None:
        """Do nothing."""


def main() -> int:
    """Run it and print the counts."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**32)
    began = time.perf_counter()
    result = fuzz(count, seed)
    print(f"{count} deliveries, seed {seed}, {time.perf_counter() - began:.1f} s")
    print(
        f"mutated {result.mutated} (of these signed again {result.resigned}):"
        f" forged {result.forged}, untyped {result.untyped}"
    )
    print(
        f"genuine accepted {result.genuine_accepted}, refused {result.genuine_refused}; reasons {dict(result.reasons)}"
    )
    return 1 if result.forged or result.untyped or result.genuine_refused else 0


if __name__ == "__main__":
    sys.exit(main())
