"""Implement the fake gateway without a network, by the rules of docs/fake.md: a request in, an answer out.

It was written from that page and not from `fake.py`, so that the same misreading is not in both.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from payments_core import Money, Request, Response, Secret, WebhookDelivery

from .sandbox import SandboxCharge

__all__ = ["MAGIC", "REFUND_MAGIC", "FakeGateway", "NotPossible", "Unreachable", "signature"]

T = TypeVar("T")

MAGIC: Final = tuple(
    "paid- approved- cancelled- expired- failed- strange- mismatch- other-currency- declined- no-funds- risk- limited- "
    "unavailable- lost- html-".split()
)
REFUND_MAGIC: Final = ("pending-", "failed-")

_KEY_LIFETIME: Final = timedelta(hours=24)
_TOKEN_LIFETIME: Final = timedelta(hours=1)
_CURRENCIES: Final = ("HKD", "USD", "JPY", "KWD")
_REFUSED: Final = {"declined-": "declined", "no-funds-": "insufficient_funds", "risk-": "risk"}
_MAX_BODY: Final = 65_536
_PAGE: Final = b"<!doctype html><title>Maintenance</title><p>We are back soon.</p>"


class NotPossible(Exception):
    """The charge does not exist, or its state does not allow this."""


class Unreachable(Exception):
    """The connection is refused: nothing was received."""


class _ErrorAnswer(Exception):
    """The gateway answers with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class _Refund:
    id: str
    refund_id: str
    amount: int
    status: str
    charge: _Charge = field(repr=False)


@dataclass
class _Charge:
    id: str
    order_id: str
    amount: int
    currency: str
    capture: bool
    notify_url: str
    status: str = "open"
    captured: int = 0
    failure: str | None = None
    refunds: list[_Refund] = field(default_factory=list)

    def approve(self) -> None:
        self.status = "paid" if self.capture else "authorized"
        self.captured = self.amount if self.capture else 0

    def refunded_amount(self, *, also_pending: bool = False) -> int:
        counted = {"succeeded", "pending"} if also_pending else {"succeeded"}
        return sum(refund.amount for refund in self.refunds if refund.status in counted)


class FakeGateway:
    """Keep the gateway's books, rules and clock. Every method is thread-safe.

    With a `seed`, all ids, tokens and credentials are the same on every run. `clock` returns the time, as an aware
    datetime; `advance` moves it.
    """

    def __init__(self, *, seed: int | str | None = None, clock: Callable[[], datetime] | None = None) -> None:
        self._random = secrets.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - to repeat a test
        self._clock = clock or (lambda: datetime.now(UTC))
        self._ahead = timedelta()
        self._lock = threading.RLock()
        self.client_id = f"shop_{self._hex(8)}"
        self.client_secret = Secret(self._hex(32))
        self.webhook_key = Secret(self._hex(32))
        self._tokens: dict[str, datetime] = {}
        self._keys: dict[str, tuple[datetime, bytes, _Charge | _Refund]] = {}
        self._charges: dict[str, _Charge] = {}
        self._refunds: dict[str, _Refund] = {}
        self._requests: list[str] = []

    # The shop's calls.

    def answer(self, request: Request) -> Response:
        """Return the answer to a request; raise `Unreachable` if it could not have been sent."""
        with self._lock:
            self._requests.append(f"{request.method} {request.path}")
            headers = [("fake-request-id", f"req_{self._hex(16)}"), ("content-type", "application/json")]
            status, body = 200, b""
            try:
                body = json.dumps(self._dispatch(request)).encode()
            except _ErrorAnswer as no:
                status, body = no.status, json.dumps({"error": {"code": no.code, "message": no.message}}).encode()
                headers += [("retry-after", "2")] if status == 429 else []
            except _Maintenance:
                headers[1], body = ("content-type", "text/html"), _PAGE
            return Response(status, tuple(headers), body)

    def _dispatch(self, request: Request) -> Mapping[str, Any]:
        headers = {name.lower(): _plain(value) for name, value in request.headers}
        query = {name: _plain(value) for name, value in request.query}
        route = request.method, request.path
        if route == ("POST", "/token"):
            return self._token(headers)
        if self._tokens.get(headers.get("authorization", "").removeprefix("Bearer "), self.now) <= self.now:
            raise _ErrorAnswer(401, "unauthorized", "the token is missing, unknown or too old")
        if route == ("GET", "/charges"):
            return self._query(query)
        if route == ("GET", "/refunds"):
            return _as_json(self._refund(query))
        acts: dict[tuple[str, str], Callable[[dict[str, Any]], _Charge | _Refund]] = {
            ("POST", "/charges"): self._create,
            ("POST", "/captures"): self._capture,
            ("POST", "/cancellations"): self._cancel,
            ("POST", "/refunds"): self._create_refund,
        }
        if route not in acts:
            raise _ErrorAnswer(404, "no_such_call", "there is no such call")
        body = _object(request.body)
        magic = _magic(body) if route == ("POST", "/charges") else ""
        _refuse_by_magic(magic)
        made = self._once(headers.get("idempotency-key", ""), request, lambda: acts[route](body))
        shown = _as_json(made)
        _apply_magic(made, magic)
        return shown

    def _token(self, headers: Mapping[str, str]) -> Mapping[str, Any]:
        pair = f"{self.client_id}:{self.client_secret.reveal()}".encode()
        if headers.get("authorization") != f"Basic {base64.b64encode(pair).decode()}":
            raise _ErrorAnswer(401, "unauthorized", "the client id or the client secret is wrong")
        token = self._hex(40)
        self._tokens[token] = self.now + _TOKEN_LIFETIME
        return {"access_token": token, "expires_in": _TOKEN_LIFETIME.total_seconds()}

    def _once(self, key: str, request: Request, act: Callable[[], _Charge | _Refund]) -> _Charge | _Refund:
        """See Keys: one key has one effect, for a day. A request without a key is always new."""
        sent = request.path.encode() + request.body
        if key in self._keys:
            at, earlier, made = self._keys[key]
            if self.now - at < _KEY_LIFETIME:
                if earlier != sent:
                    raise _ErrorAnswer(402, "duplicate", "this idempotency key was used for another request")
                return made
        made = act()
        if key:
            self._keys[key] = self.now, sent, made
        return made

    def _create(self, body: dict[str, Any]) -> _Charge:
        order_id = _text(body, "order_id", 64)
        amount, currency = _amount(body)
        _text(body, "description", 200)
        if body.get("method") not in {"wallet", "card", "transfer"} or body.get("channel") not in {"web", "mobile"}:
            raise _invalid("method is wallet, card or transfer, and channel web or mobile")
        capture = body.get("capture", True)
        if type(capture) is not bool:
            raise _invalid("capture is true or false")
        if body["method"] == "transfer" and (currency, body["channel"], capture) != ("HKD", "web", True):
            raise _invalid("a transfer is in HKD, on the web, and captured at once")
        notify_url = _text(body, "notify_url", 2048, needed=False)
        charge = _Charge(f"ch_{self._hex(20)}", order_id, amount, currency, capture, notify_url)
        if _magic(body) == "paid-":
            charge.approve()
        self._charges[charge.id] = charge
        return charge

    def _query(self, query: Mapping[str, str]) -> Mapping[str, Any]:
        if query.get("order_id", "").startswith("html-"):
            raise _Maintenance
        return _answer_to_query(self._charge(query))

    def _capture(self, body: dict[str, Any]) -> _Charge:
        charge, (amount, currency) = self._charge(body), _amount(body)
        if charge.status != "authorized" or currency != charge.currency or amount > charge.amount:
            raise _invalid("only an authorized charge can be captured, and at most its amount")
        charge.status, charge.captured = "paid", amount
        return charge

    def _cancel(self, body: dict[str, Any]) -> _Charge:
        charge = self._charge(body)
        if charge.status in {"open", "authorized"}:
            charge.status = "cancelled"
        return charge

    def _create_refund(self, body: dict[str, Any]) -> _Refund:
        refund_id = _text(body, "refund_id", 64)
        charge, (amount, currency) = self._charge(body), _amount(body)
        left = charge.captured - charge.refunded_amount(also_pending=True)
        if charge.status != "paid" or currency != charge.currency or amount > left:
            raise _invalid("only a paid charge can be refunded, and at most what was captured")
        word = {"pending-": "pending", "failed-": "failed"}.get(_prefix(refund_id, REFUND_MAGIC), "succeeded")
        refund = _Refund(f"re_{self._hex(20)}", refund_id, amount, word, charge)
        charge.refunds.append(refund)
        self._refunds[refund.id] = refund
        return refund

    def _charge(self, ids: Mapping[str, Any]) -> _Charge:
        """Return the newest charge with this id, order id, or both."""
        return _newest(self._charges, id=ids.get("id"), order_id=ids.get("order_id"))

    def _refund(self, ids: Mapping[str, Any]) -> _Refund:
        return _newest(self._refunds, id=ids.get("id"), refund_id=ids.get("refund_id"))

    # Actions of the shopper and the operator.

    def pay(self, provider_id: str) -> None:
        """Approve the charge as the shopper: paid, or authorized if it is to be captured later."""
        with self._lock:
            self._open(provider_id).approve()

    def cancel(self, provider_id: str) -> None:
        """Decline the charge as the shopper."""
        with self._lock:
            self._open(provider_id).status = "cancelled"

    def expire(self, provider_id: str) -> None:
        """Let the charge expire."""
        with self._lock:
            self._open(provider_id).status = "expired"

    def fail(self, provider_id: str, failure: str = "declined") -> None:
        """Approve the charge as the shopper, and have the payment fail for a documented reason."""
        with self._lock:
            charge = self._open(provider_id)
            charge.status, charge.failure = "failed", failure

    def set_status(self, provider_id: str, raw_status: str) -> None:
        """Answer this status from now on, documented or not."""
        with self._lock:
            charge = self._known(provider_id)
            charge.status = raw_status
            charge.captured = (charge.captured or charge.amount) if raw_status == "paid" else charge.captured

    def settle_refund(self, refund_id: str, raw_status: str = "succeeded") -> None:
        """Settle a pending refund, named by the shop's id."""
        with self._lock:
            try:
                refund = self._refund({"refund_id": refund_id})
            except _ErrorAnswer:
                raise NotPossible(f"there is no refund {refund_id!r}") from None
            refund.status = raw_status

    def advance(self, seconds: float) -> None:
        """Move the gateway's clock: keys expire after a day, and tokens after an hour."""
        with self._lock:
            self._ahead += timedelta(seconds=seconds)

    @property
    def now(self) -> datetime:
        """Return the time by the gateway's clock."""
        return self._clock() + self._ahead

    # State for tests.

    def charges(self, order_id: str) -> tuple[SandboxCharge, ...]:
        """Return every charge of this order id, oldest first."""
        with self._lock:
            return tuple(
                SandboxCharge(
                    each.id,
                    Money(minor=each.amount, currency=each.currency),
                    Money(minor=each.captured, currency=each.currency),
                    Money(minor=each.refunded_amount(), currency=each.currency),
                )
                for each in self._charges.values()
                if each.order_id == order_id
            )

    @property
    def requests(self) -> tuple[str, ...]:
        """Return the requests of the shop, such as `POST /charges`, oldest first."""
        with self._lock:
            return tuple(self._requests)

    def notification(self, *provider_ids: str) -> WebhookDelivery:
        """Return a signed delivery with an event for each of these charges and refunds; nothing is sent."""
        with self._lock:
            events = [self._event(each) for each in provider_ids]
            body, now = json.dumps(events).encode(), self.now
        headers = (("content-type", "application/json"), *signature(self.webhook_key, body, now))
        return WebhookDelivery(body, headers, received_at=now)

    def notify_url(self, provider_id: str) -> str:
        """Return the address for this charge's notifications, or `""`."""
        with self._lock:
            return self._known(provider_id).notify_url

    def _event(self, provider_id: str) -> dict[str, Any]:
        if (refund := self._refunds.get(provider_id)) is not None:
            kind, shown = "refund", _as_json(refund)
        else:
            kind, shown = "charge", _answer_to_query(self._known(provider_id))
        content = {"type": f"{kind}.{shown['status']}", kind: shown}
        # The same state has the same event id.
        identity = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]
        return {"id": f"evt_{identity}", "at": int(self.now.timestamp()), **content}

    def _known(self, provider_id: str) -> _Charge:
        try:
            return self._charges[provider_id]
        except KeyError:
            raise NotPossible(f"no charge has the id {provider_id!r}") from None

    def _open(self, provider_id: str) -> _Charge:
        charge = self._known(provider_id)
        if charge.status != "open":
            raise NotPossible(f"the charge is {charge.status}, no longer open")
        return charge

    def _hex(self, digits: int) -> str:
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"


class _Maintenance(Exception):
    """The gateway answers with an HTML page."""


def signature(key: Secret, body: bytes, at: datetime) -> tuple[tuple[str, str], ...]:
    """See Notifications: return the headers that make `body` genuine at that time."""
    timestamp = str(int(at.timestamp()))
    digest = hmac.new(key.reveal().encode(), digestmod=hashlib.sha256)
    digest.update(f"{timestamp}.".encode())
    digest.update(body)
    return ("Fake-Timestamp", timestamp), ("Fake-Signature", digest.hexdigest())


def _refuse_by_magic(magic: str) -> None:
    """Raise the outcome of an order id with which nothing is accepted."""
    if magic == "unavailable-":
        raise Unreachable
    if magic == "limited-":
        raise _ErrorAnswer(429, "too_many_requests", "wait two seconds")
    if magic == "html-":
        raise _Maintenance
    if magic in _REFUSED:
        raise _ErrorAnswer(402, _REFUSED[magic], "the magic order id says so")


def _apply_magic(made: _Charge | _Refund, magic: str) -> None:
    """Apply the shopper's action, and lose the answer, as the order id says."""
    if isinstance(made, _Charge) and made.status == "open":
        if magic in {"approved-", "mismatch-", "other-currency-"}:
            made.approve()
        elif magic in {"cancelled-", "expired-", "strange-"}:
            made.status = magic.removesuffix("-")
        elif magic == "failed-":
            made.status, made.failure = "failed", "declined"
    if magic == "lost-":
        raise _ErrorAnswer(504, "timeout", "a proxy in between has lost the answer")


def _as_json(made: _Charge | _Refund) -> dict[str, Any]:
    if isinstance(made, _Refund):
        return {
            "id": made.id,
            "refund_id": made.refund_id,
            "charge": made.charge.id,
            "order_id": made.charge.order_id,
            "status": made.status,
            "amount": made.amount,
            "currency": made.charge.currency,
        }
    return {
        "id": made.id,
        "order_id": made.order_id,
        "status": made.status,
        "amount": made.amount,
        "currency": made.currency,
        "captured": made.captured,
        "refunded": made.refunded_amount(),
        "pay_url": f"https://fake.invalid/pay/{made.id}" if made.status == "open" else None,
        "failure": made.failure,
    }


def _answer_to_query(charge: _Charge) -> dict[str, Any]:
    shown, magic = _as_json(charge), _prefix(charge.order_id, MAGIC)
    if magic == "mismatch-":
        shown["amount"] += 1
    if magic == "other-currency-":
        shown["currency"] = "USD" if charge.currency != "USD" else "HKD"
    return shown


def _newest(held: Mapping[str, T], **wanted: object) -> T:
    given = {name: each for name, each in wanted.items() if each}
    if not given:
        raise _invalid("an id is needed")
    found = [each for each in held.values() if all(getattr(each, name) == given[name] for name in given)]
    if not found:
        raise _ErrorAnswer(404, "not_found", "there is nothing with these ids")
    return found[-1]


def _magic(body: Mapping[str, Any]) -> str:
    order_id = body.get("order_id")
    return _prefix(order_id, MAGIC) if isinstance(order_id, str) else ""


def _prefix(text: str, known: tuple[str, ...]) -> str:
    return next((each for each in known if text.startswith(each)), "")


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body) if len(body) <= _MAX_BODY else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _invalid("the body is a JSON object of at most 64 kB")
    return found


def _text(body: Mapping[str, Any], name: str, most: int, *, needed: bool = True) -> str:
    text = body.get(name, "")
    if not isinstance(text, str) or not needed <= len(text) <= most:
        raise _invalid(f"{name} is text of at most {most} characters")
    return text


def _amount(body: Mapping[str, Any]) -> tuple[int, str]:
    amount, currency = body.get("amount"), body.get("currency")
    if type(amount) is not int or not 0 < amount < 10**17 or currency not in _CURRENCIES:
        raise _invalid("amount is a whole number of minor units, in HKD, USD, JPY or KWD")
    return amount, currency


def _invalid(message: str) -> _ErrorAnswer:
    return _ErrorAnswer(402, "invalid", message)


def _plain(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value
