"""Play hostile answers to a gateway and measure their cost: `python scripts/hostile_answers.py [COUNT]`.

The fault gateway runs in this process and the client in another, so only the client's memory is measured: the growth
of its peak resident set from before the first hostile answer to the end of all calls of one kind, for COUNT (50) calls
over each of Gateway and AsyncGateway. Exits with 1 if a call raised another error than expected, ended more than half a
second after its deadline, or if the peak grew by 16 MB or more. Linux only: it reads /proc.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from payments_core import AsyncGateway, ChargeRequest, Gateway, Money, PaymentError, Reference
from payments_core.testing import faults
from payments_core.testing.faults import FaultGateway

DEADLINE = 0.5
MOST_OVERRUN = 0.5
MOST_GROWTH = 16 * 1024 * 1024
CONFIG = {"uid": "39172931", "client_secret": "unused-secret", "webhook_key": "unused-key"}
CREATE, QUERY, TOKEN = "payment_intents/create", "payment_intents/query", "mch-api/v1/auth"

KINDS: dict[str, tuple[Any, str]] = {
    "reset": (faults.Reset(), "GatewayUnavailable"),
    "closed early": (faults.CloseEarly(), "GatewayUnavailable"),
    "hang": (faults.Hang(), "GatewayUnavailable"),
    "dripped headers": (faults.DripHeaders(interval=0.05), "GatewayUnavailable"),
    "dripped body": (faults.DripBody(interval=0.05), "GatewayUnavailable"),
    "truncated": (faults.Truncate(), "GatewayUnavailable"),
    "500": (faults.HTML(status=500), "GatewayUnavailable"),
    "redirect": (faults.Redirect("http://127.0.0.1:9/"), "GatewayUnavailable"),
    "HTML": (faults.HTML(), "ProtocolViolation"),
    "gzip bomb": (faults.GzipBomb(), "ProtocolViolation"),
    "bad gzip": (faults.BadGzip(), "ProtocolViolation"),
    "too long": (faults.Oversize(size=64_000_000), "ProtocolViolation"),
    "deep JSON": (faults.DeepJSON(), "ProtocolViolation"),
    "bad UTF-8": (faults.BadUTF8(), "ProtocolViolation"),
}


@dataclass
class Measured:
    """The results of one kind of answer: errors counted, the worst overrun in seconds, the peak's growth in bytes."""

    kind: str
    expected: str
    creates: dict[str, int]
    queries: dict[str, int]
    overrun: float
    growth: int

    def problems(self, count: int, most_overrun: float = MOST_OVERRUN) -> list[str]:
        """Describe every result out of bounds."""
        found = []
        if self.creates != {"OutcomeUnknown": 2 * count}:
            found.append(f"{self.kind}: creates ended in {self.creates}")
        if self.queries != {self.expected: 2 * count}:
            found.append(f"{self.kind}: queries ended in {self.queries}, not {self.expected}")
        if self.overrun >= most_overrun:
            found.append(f"{self.kind}: {self.overrun:.2f} s after the deadline")
        if self.growth >= MOST_GROWTH:
            found.append(f"{self.kind}: the peak grew by {self.growth / 2**20:.1f} MB")
        return found


def measure(count: int, kinds: dict[str, tuple[Any, str]] | None = None, deadline: float = DEADLINE) -> list[Measured]:
    """Play each kind `count` times to a create and to a query, over both gateways."""
    results = []
    context = multiprocessing.get_context("spawn")
    with FaultGateway() as server:
        server.inject(faults.Answer({"access_token": "t", "expires_in": 3600}), path=TOKEN)
        for kind, (fault, expected) in (kinds or KINDS).items():
            with server.inject(fault, path=CREATE), server.inject(fault, path=QUERY):
                receiver, sender = context.Pipe(duplex=False)
                child = context.Process(target=_client, args=(server.url, count, deadline, sender))
                child.start()
                answer = json.loads(receiver.recv())
                child.join()
                results.append(Measured(kind, expected, **answer))
    return results


def _client(url: str, count: int, deadline: float, sender: Any) -> None:
    config = CONFIG | {"base_url": url}
    creates: Counter[str] = Counter()
    queries: Counter[str] = Counter()
    worst = 0.0

    def note(counter: Counter[str], began: float, error: PaymentError | None) -> None:
        nonlocal worst
        worst = max(worst, time.monotonic() - began - deadline)
        counter[type(error).__name__ if error else "no error"] += 1

    def sync() -> None:
        with Gateway.open("alipayhk", config, deadline=deadline) as gateway:
            gateway.authorize(deadline=30)
            for counter, call in _calls(gateway, creates, queries, count):
                began, error = time.monotonic(), None
                try:
                    call()
                except PaymentError as exc:
                    error = exc
                note(counter, began, error)

    async def unsync() -> None:
        async with AsyncGateway.open("alipayhk", config, deadline=deadline) as gateway:
            await gateway.authorize(deadline=30)
            for counter, call in _calls(gateway, creates, queries, count):
                began, error = time.monotonic(), None
                try:
                    await call()
                except PaymentError as exc:
                    error = exc
                note(counter, began, error)

    # Open both once before measuring: one-time imports and compilation are no growth. No hostile answer is played yet.
    whole, count = count, 0
    sync()
    asyncio.run(unsync())
    count = whole
    before = _forget_peak()
    sync()
    asyncio.run(unsync())
    growth = _peak() - before
    sender.send(json.dumps({"creates": creates, "queries": queries, "overrun": worst, "growth": growth}))


def _calls(gateway: Any, creates: Counter[str], queries: Counter[str], count: int) -> Any:
    request = ChargeRequest("P1", Money.of("88.00", "HKD"), "tea")
    for _ in range(count):
        yield creates, lambda: gateway.create_charge(request)
        yield queries, lambda: gateway.get_status(Reference("P1"))


def _forget_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak()


def _peak() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM")


def main() -> int:
    """Run it and print a line for each kind."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    problems: list[str] = []
    for each in measure(count):
        print(
            f"{each.kind:<16} creates {each.creates}, queries {each.queries}, "
            f"{max(each.overrun, 0):.2f} s over, peak +{each.growth / 2**20:.1f} MB",
            flush=True,
        )
        problems += each.problems(count)
    print("\n".join(problems) or f"{len(KINDS)} kinds x {count} calls x 2 operations x 2 gateways: all as they must be")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
