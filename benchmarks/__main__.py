"""`make bench`: each row is a ratio of two jobs timed in turn in one run, with its spread.

A round times both jobs, one after the other, and gives one ratio, so a machine whose speed drifts drifts for both. The row
shows the median ratio of all rounds and, in brackets, the ratios that the middle half and all of the rounds lie between.
"""

from __future__ import annotations

import gc
import hmac
import json
import statistics
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import httpx
import stripe

from payments_alipayhk import wire
from payments_core import ChargeRequest, Gateway, HTTPTransport, Money, WebhookDelivery

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
        f"{name:<58} {statistics.median(ratios):6.3f} [{quarter[0]:.3f}-{quarter[2]:.3f}; {min(ratios):.3f}-{max(ratios):.3f}]"
        f"   {statistics.median(mine) * 1e6:8.2f} / {statistics.median(theirs) * 1e6:8.2f} us"
    )


def _time(job: Callable[[], object], number: int) -> float:
    began = time.process_time()
    for _ in range(number):
        job()
    return (time.process_time() - began) / number


class Null(httpx.BaseTransport):
    """Answers at once, so that only the cost of the callers is left."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The token, or the charge."""
        body = b'{"access_token":"t","expires_in":3600}' if request.url.path.endswith("/auth") else INTENT
        headers = [(b"Content-Type", b"application/json"), (b"Content-Length", str(len(body)).encode())]
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(body))


def webhook_floor() -> Callable[[], object]:
    """The documented checks and nothing else: hash, compare, decode."""
    suffix, given, decode = b"." + KEY.encode(), HEADERS["Signature"], wire.NOTICE

    def floor() -> object:
        if not hmac.compare_digest(sha256(BODY + suffix).digest(), bytes.fromhex(given)):
            raise ValueError
        return decode(BODY)

    return floor


def stripe_event() -> Callable[[], object]:
    """The official package's construct_event on an event of about the same size."""
    event = {
        "id": "evt_1", "object": "event", "api_version": "2026-10-28.endive", "created": 1, "livemode": False,
        "type": "payment_intent.succeeded", "data": {"object": {"id": "pi_1", "object": "payment_intent", "amount": 8800}},
    }  # fmt: skip
    payload = json.dumps(event).encode()

    def signed_now() -> str:
        return str(stripe.WebhookSignature.generate_signature_header(payload.decode(), "whsec_x"))

    header = signed_now()
    return lambda: stripe.Webhook.construct_event(payload, header, "whsec_x", tolerance=10**9)


def charges() -> tuple[Callable[[], object], Callable[[], object]]:
    """create_charge, and the least that somebody writes with httpx alone, over the same null transport."""
    transport = HTTPTransport()
    # There is no public way to put another transport below: a platform brings a Transport of its own instead.
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
    """Print the three rows."""
    gateway = Gateway.open("alipayhk", CONFIG)
    print(
        f"Python {sys.version.split()[0]}, {ROUNDS} rounds; ratio of CPU time: median [middle half; all]   ours / other"
    )

    def parse() -> object:
        return gateway.parse_webhook(WebhookDelivery(BODY, HEADERS))

    compare("parse_webhook / its floor (hash, compare, decode)", parse, webhook_floor(), 2000)
    compare("parse_webhook / stripe construct_event", parse, stripe_event(), 300)
    ours, bare = charges()
    compare("create_charge / bare httpx, same null transport", ours, bare, 200)
    gateway.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
