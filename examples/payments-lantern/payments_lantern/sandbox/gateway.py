"""Keep Lantern Pay's state and apply its rules, from the documentation alone: no sockets, no code of the provider."""

from __future__ import annotations

import itertools
import json
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

__all__ = ["DIGITS", "LocalGateway", "Payment", "Refused"]

# CREATE: the currencies, and the digits that each has after the point.
DIGITS: Final = {"HKD": 2, "JPY": 0, "KWD": 3}

# STATES
WAITING, PAID, DECLINED, CLOSED = "waiting", "paid", "declined", "closed"

_REF: Final = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_AMOUNT: Final = re.compile(r"[0-9]+(?:\.([0-9]+))?", re.ASCII)
_MOST: Final = Decimal(1_000_000)


class Refused(Exception):
    """Refuse a request, with the HTTP status and the word of REFUSALS."""

    def __init__(self, status: int, word: str) -> None:
        super().__init__(word)
        self.status = status
        self.word = word


@dataclass
class Payment:
    """A payment that was created."""

    payment_id: str
    merchant_ref: str
    amount: str
    currency: str
    title: str
    callback_url: str
    return_url: str
    created: datetime
    state: str = WAITING
    paid: datetime | None = None


class LocalGateway:
    """One merchant's payments. With a `seed` the keys, ids and times repeat."""

    def __init__(self, seed: int | str | None = None, api_key: str = "", webhook_key: str = "") -> None:
        source = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - made-up keys, to repeat
        made_up = f"lk_{source.getrandbits(128):032x}", f"{source.getrandbits(128):032x}"
        self.api_key = api_key or made_up[0]
        self.webhook_key = webhook_key or made_up[1]
        self._source = source
        self._traces = itertools.count(1)
        self._payments: dict[str, Payment] = {}
        self._lock = threading.Lock()
        self._clock = _steps() if seed is not None else lambda: datetime.now(UTC)

    def create(self, fields: dict[str, Any]) -> Payment:
        """Create a waiting payment (CREATE); raise `Refused` if a rule is broken or the merchant_ref was used."""
        given = {name: fields.get(name, "") for name in _FIELDS}
        if set(fields) - set(_FIELDS) or not all(isinstance(value, str) for value in given.values()):
            raise Refused(422, "invalid")
        if not (_REF.fullmatch(given["merchant_ref"]) and 1 <= len(given["title"]) <= 80 and _is_amount(given)):
            raise Refused(422, "invalid")
        with self._lock:
            if any(payment.merchant_ref == given["merchant_ref"] for payment in self._payments.values()):
                raise Refused(409, "ref_used")
            payment = Payment(f"lp_{self._source.getrandbits(64):016x}", **given, created=self._clock())
            self._payments[payment.payment_id] = payment
        return payment

    def find(self, *, payment_id: str = "", merchant_ref: str = "") -> Payment:
        """Find a payment by either id (ASK)."""
        for payment in self.payments():
            if payment_id in {"", payment.payment_id} and merchant_ref in {"", payment.merchant_ref}:
                return payment
        raise Refused(404, "no_such_payment")

    def new_trace(self) -> str:
        """Make a trace, which support asks for (KEYS)."""
        return f"tr_{next(self._traces):08d}"

    def payments(self) -> list[Payment]:
        """Return all payments, oldest first."""
        with self._lock:
            return list(self._payments.values())

    def decide(self, payment_id: str, state: str) -> Payment:
        """Decide a waiting payment, for the shopper or by time (STATES)."""
        payment = self.find(payment_id=payment_id)
        if payment.state != WAITING:
            raise ValueError(f"this payment is {payment.state}, and waits no longer")
        payment.state = state
        payment.paid = self._clock() if state == PAID else None
        return payment

    def notice(self, payment: Payment) -> bytes:
        """Build the body (NOTIFY): one for each state of a payment, so a repetition has the same `event`."""
        about = {"payment_id": payment.payment_id, "merchant_ref": payment.merchant_ref}
        event = f"ev_{payment.payment_id}_{payment.state}"
        return json.dumps({"event": event, "kind": "payment.changed", "payment": about}).encode()


_FIELDS: Final = ("merchant_ref", "amount", "currency", "title", "callback_url", "return_url")


def _is_amount(given: dict[str, str]) -> bool:
    match = _AMOUNT.fullmatch(given["amount"])
    digits = DIGITS.get(given["currency"])
    if match is None or digits is None or len(match[1] or "") > digits:
        return False
    return 0 < Decimal(given["amount"]) <= _MOST


def _steps() -> Callable[[], datetime]:
    times = (datetime(2026, 11, 1, 12, tzinfo=UTC) + timedelta(seconds=second) for second in range(10**9))
    return lambda: next(times)
