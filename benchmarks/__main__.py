"""Run the benchmarks (`make bench`). Each row is the ratio of two jobs timed alternately in one run, with its spread.

A round times both jobs, one after the other, so a drift in the machine's speed affects both. Each row shows the median
ratio of all rounds and, in brackets, the range of the middle half and of all rounds.
"""

from __future__ import annotations

import gc
import hmac
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import httpx
import msgspec
import stripe

from payments_alipayhk import wire
from payments_core import ChargeRequest, Gateway, HTTPTransport, Money, Reference, Request, Response, WebhookDelivery
from payments_stripe import wire as stripe_wire

KEY = "6d0e8fa7b10c40c3a48c0c2be41cb178"
CONFIG = {"base_url": "https://gateway.invalid", "uid": "39172931", "client_secret": "secret", "webhook_key": KEY}
BODY = (
    b'{"notify_type":"refund_success","data":{"uid":39172931,"refund_id":"C34368224017070000",'
    b'"merchant_refund_id":"P2164521756312637123","order_amount":"105.00","create_time":"2023-08-23T18:25:43.511Z",'
    b'"refund_time":"2023-08-23T18:28:16.511Z"}}'
)
HEADERS = {
    "Host": "shop.example",
    "User-Agent": "gateway/1.0",
    "Accept": "*/*",
    "Accept-Encoding": "gzip",
    "Content-Type": "application/json",
    "Content-Length": str(len(BODY)),
    "X-Forwarded-For": "192.0.2.1",
    "Signature": sha256(BODY + b"." + KEY.encode()).hexdigest(),
}
INTENT = json.dumps(
    {
        "code": 0,
        "data": {
            "order_id": "C991289984923795789123",
            "merchant_order_id": "P9297895081903",
            "amount": "88.00",
            "currency": "HKD",
            "create_time": "2023-08-31T04:44:05.928696203+08:00",
            "next_action": {"type": "redirect", "url": "https://a.payment.link/code"},
            "status": "PENDING",
        },
        "message": "ok",
        "rid": "3647575c0e1049439e484a231864da2c",
    }
).encode()
ROUNDS = 41


def compare(name: str, ours: Callable[[], object], other: Callable[[], object], number: int) -> None:
    """Time both in turn and print the row."""
    for _ in range(number):
        ours()
        other()
    ratios, mine, theirs = [], [], []
    gc.collect()
    gc.disable()
    for _ in range(ROUNDS):
        mine.append(_time(ours, number))
        theirs.append(_time(other, number))
        ratios.append(mine[-1] / theirs[-1])
    gc.enable()
    quarter = statistics.quantiles(ratios, n=4)
    print(
        f"{name:<58} {statistics.median(ratios):6.3f}"
        f" [{quarter[0]:.3f}-{quarter[2]:.3f}; {min(ratios):.3f}-{max(ratios):.3f}]"
        f"   {statistics.median(mine) * 1e6:8.2f} / {statistics.median(theirs) * 1e6:8.2f} us"
    )


def _time(job: Callable[[], object], number: int) -> float:
    began = time.process_time()
    for _ in range(number):
        job()
    return (time.process_time() - began) / number


class Null(httpx.BaseTransport):
    """Answer at once, to measure only the cost of the callers."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the token, or the charge."""
        body = b'{"access_token":"t","expires_in":3600}' if request.url.path.endswith("/auth") else INTENT
        headers = [(b"Content-Type", b"application/json"), (b"Content-Length", str(len(body)).encode())]
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(body))


def webhook_floor() -> Callable[[], object]:
    """Make only the documented checks: hash, compare, decode."""
    suffix, given, decode = b"." + KEY.encode(), HEADERS["Signature"], wire.NOTICE

    def floor() -> object:
        if not hmac.compare_digest(sha256(BODY + suffix).digest(), bytes.fromhex(given)):
            raise ValueError
        return decode(BODY)

    return floor


SIGNED_AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
WEBHOOK_KEY = "whsec_benchmark"


def event(size: int) -> bytes:
    """Build a Stripe event of at least `size` bytes, padded with a description."""
    intent = {
        "id": "pi_3Q8v2eBenchmark", "object": "payment_intent", "amount": 8800, "amount_received": 8800,
        "currency": "hkd", "metadata": {"order_id": "P1001"}, "status": "succeeded",
    }  # fmt: skip
    whole = {
        "id": "evt_3Q8v2eBenchmark", "object": "event", "api_version": "2026-10-28.endive", "livemode": False,
        "type": "payment_intent.succeeded", "data": {"object": intent},
    }  # fmt: skip
    intent["description"] = "x" * max(0, size - len(json.dumps(whole)))
    return json.dumps(whole).encode()


def stripe_webhooks(size: int) -> tuple[Callable[[], object], Callable[[], object], Callable[[], object]]:
    """Give one event to parse_webhook, to the official package's construct_event, and to the bare checks."""
    body, at = event(size), int(SIGNED_AT.timestamp())
    digest = hmac.digest(WEBHOOK_KEY.encode(), b"%d.%b" % (at, body), "sha256").hex()
    header = f"t={at},v1={digest}"
    headers = HEADERS | {"Content-Length": str(len(body)), "Stripe-Signature": header}
    gateway = Gateway.open("stripe", {"api_key": "sk_test_x", "webhook_key": WEBHOOK_KEY})
    key, decode = WEBHOOK_KEY.encode(), msgspec.json.Decoder(stripe_wire.Event).decode

    def ours() -> object:
        return gateway.parse_webhook(WebhookDelivery(body, headers, SIGNED_AT))

    def official() -> object:
        return stripe.Webhook.construct_event(body, header, WEBHOOK_KEY, tolerance=10**9)

    def floor() -> object:
        stamp, _, given = header[2:].partition(",v1=")
        if not hmac.compare_digest(hmac.digest(key, b"%b.%b" % (stamp.encode(), body), "sha256").hex(), given):
            raise ValueError
        return decode(body)

    return ours, official, floor


class Canned:
    """Answer at once, with nothing below the caller."""

    def __init__(self, body: bytes) -> None:
        self._answer = Response(200, (("content-type", "application/json"), ("request-id", "req_1")), body)

    def send(self, request: Request, *, deadline: float) -> Response:
        """Return the same answer every time."""
        del request, deadline
        return self._answer

    def close(self) -> None:
        """Do nothing."""


def stripe_calls() -> tuple[Callable[[], object], Callable[[], object]]:
    """Compare get_status with the same call of the official package, both on a canned answer, without HTTP."""
    intent = {
        "id": "pi_1", "object": "payment_intent", "amount": 8800, "amount_received": 8800, "currency": "hkd",
        "metadata": {"order_id": "P1001"}, "status": "succeeded", "latest_charge": {"id": "ch_1", "object": "charge"},
    }  # fmt: skip
    answer = json.dumps(intent)

    class AtHand(stripe.HTTPClient):
        name = "at hand"

        def request(self, *_: Any, **__: Any) -> tuple[str, int, dict[str, str]]:
            return answer, 200, {"request-id": "req_1"}

    gateway = Gateway.open(
        "stripe", {"api_key": "sk_test_x", "webhook_key": WEBHOOK_KEY}, transport=Canned(answer.encode())
    )
    client = stripe.StripeClient("sk_test_x", http_client=AtHand())
    reference = Reference(provider_id="pi_1")
    expand: Any = {"expand": ["latest_charge"]}
    return lambda: gateway.get_status(reference), lambda: client.v1.payment_intents.retrieve("pi_1", expand)


def charges() -> tuple[Callable[[], object], Callable[[], object]]:
    """Compare create_charge with minimal httpx code, over the same null transport."""
    transport = HTTPTransport()
    # No public parameter replaces the inner transport; a platform passes a Transport of its own instead.
    transport._pools._make = Null  # type: ignore[assignment]  # noqa: SLF001
    transport.close()
    gateway = Gateway.open("alipayhk", CONFIG, transport=transport)
    request = ChargeRequest("P9297895081903", Money.of("88.00", "HKD"), "tea")
    client = httpx.Client(transport=Null(), trust_env=False)
    body: dict[str, Any] = {
        "amount": "88.00", "currency": "HKD", "merchant_order_id": "P9297895081903", "description": "tea",
        "payment_method": {"type": "alipayhk", "alipayhk": {"flow": "web_qrcode", "payment_method": "ALIPAYHK"}},
    }  # fmt: skip

    def bare() -> object:
        url = "https://gateway.invalid/mch-api/v1/pa/payment_intents/create"
        return client.post(url, json=body, headers={"authorization": "Bearer t"}).json()

    return lambda: gateway.create_charge(request), bare


def main() -> int:
    """Print the rows."""
    gateway = Gateway.open("alipayhk", CONFIG)
    print(
        f"Python {sys.version.split()[0]}, {ROUNDS} rounds; ratio of CPU time: median [middle half; all]   ours / other"
    )

    def parse() -> object:
        return gateway.parse_webhook(WebhookDelivery(BODY, HEADERS))

    compare("alipayhk parse_webhook / its floor", parse, webhook_floor(), 2000)
    for size in (300, 1200):
        ours, official, floor = stripe_webhooks(size)
        compare(f"stripe parse_webhook / its floor, {len(event(size))} B", ours, floor, 2000)
        compare(f"stripe parse_webhook / construct_event, {len(event(size))} B", ours, official, 300)
    compare("stripe get_status / the official package, no HTTP below", *stripe_calls(), 300)
    compare("alipayhk create_charge / bare httpx, null transport", *charges(), 200)
    gateway.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
