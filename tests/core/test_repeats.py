"""Repeat a call: no result says that nothing was accepted while the gateway has the charge."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from payments_core import (
    Accepted,
    Authorization,
    AuthorizationRejected,
    CaptureRequest,
    Channel,
    Charge,
    ChargeRequest,
    Duplicates,
    GatewayUnavailable,
    InvalidRequest,
    Method,
    Mismatch,
    Money,
    OutcomeUnknown,
    PaymentError,
    PaymentStatus,
    ProtocolViolation,
    ProviderInfo,
    RateLimited,
    Reference,
    Refund,
    RefundRequest,
    RefundStatus,
    Rejected,
    Request,
    Response,
    Secret,
    hookimpl,
)

HKD = Money.of("88.00", "HKD")
ORDER = ChargeRequest("P1", HKD, "tea")
REFERENCE = Reference("P1", "C1")
LIFETIME = 86_400.0


class Config(msgspec.Struct):
    base_url: str = "http://127.0.0.1:9"


def info(**changes: Any) -> ProviderInfo:
    values: dict[str, Any] = {
        "id": "keyed",
        "title": "Keyed",
        "operations": frozenset({"capture_charge", "cancel_charge", "refund_charge", "complete_charge"}),
        "currencies": frozenset({"HKD"}),
        "methods": (Method("only", "Only"),),
        "channels": frozenset({Channel.WEB}),
        "raw_statuses": {"PENDING": PaymentStatus.PENDING},
        "key_lifetime": LIFETIME,
    }
    return ProviderInfo(**(values | changes))


class Keyed:
    """A provider whose gateway keeps keys; a refusal of 402 is documented to accept nothing."""

    config_type = Config
    info = info()
    idempotent = True

    def __init__(self, config: Config) -> None:
        pass

    @hookimpl
    def authorize(self) -> Any:
        response = yield Request("POST", "/token", safe=True)
        if response.status != 200:
            raise ProtocolViolation("no token")
        return Authorization(Secret("token-of-the-tests"), expires_in=3600)

    def move(self, path: str, order_id: str) -> Any:
        response = yield Request("POST", path, headers=(("idempotency-key", order_id),), idempotent=self.idempotent)
        if response.status == 402:
            raise Rejected("declined", definitive=True)
        made = response.decode(msgspec.json.Decoder(dict[str, str]).decode)
        reference = Reference(made["order"], "C1")
        return Charge("keyed", reference, PaymentStatus.PENDING, "PENDING", Money.of(made["amount"], "HKD"))

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Any:
        return self.move("/create", request.order_id)

    @hookimpl
    def complete_charge(self, authorization: Authorization, reference: Reference) -> Any:
        return self.move("/complete", reference.order_id)

    @hookimpl
    def capture_charge(self, authorization: Authorization, request: CaptureRequest) -> Any:
        return self.move("/capture", request.reference.order_id)

    @hookimpl
    def cancel_charge(self, authorization: Authorization, reference: Reference) -> Any:
        return self.move("/cancel", reference.order_id)

    @hookimpl
    def refund_charge(self, authorization: Authorization, request: RefundRequest) -> Any:
        charge = yield from self.move("/refund", request.reference.order_id)
        return Refund("keyed", request.refund_id, "R1", None, RefundStatus.PENDING, "PENDING", charge.amount)

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Any:
        return self.move("/status", reference.order_id)


CALLS: dict[str, Callable[..., Any]] = {
    "create_charge": lambda gateway, **options: gateway.create_charge(ORDER, **options),
    "complete_charge": lambda gateway, **options: gateway.complete_charge(REFERENCE, **options),
    "capture_charge": lambda gateway, **options: gateway.capture_charge(
        CaptureRequest(REFERENCE, "K1", HKD), **options
    ),
    "cancel_charge": lambda gateway, **options: gateway.cancel_charge(REFERENCE, **options),
    "refund_charge": lambda gateway, **options: gateway.refund_charge(RefundRequest(REFERENCE, "R1", HKD), **options),
}


class Ledger:
    """A gateway that keeps keys for ever, behind faults that come before or after it accepts."""

    def __init__(self) -> None:
        self.charges: dict[str, int] = {}
        self.sent: list[str] = []
        self.fault: Callable[[Ledger, str], Response] = accepted

    def __call__(self, request: Request) -> Response:
        self.sent.append(request.path)
        if request.path == "/token":
            return Response(200) if self.fault is not token_is_down else Response(503)
        key = dict(request.headers)["idempotency-key"]
        assert isinstance(key, str)
        return self.fault(self, key)

    def accept(self, key: str) -> Response:
        self.charges.setdefault(key, 0)
        self.charges[key] += 1
        return Response(200, (), json.dumps({"order": key, "amount": "88.00"}).encode())


def accepted(ledger: Ledger, key: str) -> Response:
    return ledger.accept(key)


def token_is_down(ledger: Ledger, key: str) -> Response:
    raise AssertionError("nothing is asked without a token")


def before(outcome: Response | PaymentError) -> Callable[[Ledger, str], Response]:
    """A fault that comes before the gateway accepts anything."""

    def fault(ledger: Ledger, key: str) -> Response:
        if isinstance(outcome, PaymentError):
            raise outcome.fresh()
        return outcome

    return fault


def after(outcome: Response | PaymentError) -> Callable[[Ledger, str], Response]:
    """A fault that comes after the gateway has accepted."""

    def fault(ledger: Ledger, key: str) -> Response:
        ledger.accept(key)
        if isinstance(outcome, PaymentError):
            raise outcome.fresh()
        return outcome

    return fault


HTML = Response(200, (("content-type", "text/html"),), b"<html>maintenance")
OTHER_AMOUNT = Response(200, (), b'{"order":"P1","amount":"1.00"}')
FAULTS = {
    "token is down": token_is_down,
    "refused": before(GatewayUnavailable("no connection")),
    "401": before(Response(401)),
    "402": before(Response(402)),
    "403 before": before(Response(403)),
    "403 after": after(Response(403)),
    "407 after": after(Response(407)),  # a tunnel's own 407 is none of the gateway's answers
    "429": before(Response(429)),
    "302 after": after(Response(302)),
    "500 before": before(Response(500)),
    "500 after": after(Response(500)),
    "HTML before": before(HTML),
    "HTML after": after(HTML),
    "lost": after(OutcomeUnknown("no whole answer")),
    "never arrived": before(OutcomeUnknown("no whole answer")),
    "too long": after(ProtocolViolation("too long")),
    "other amount": after(OTHER_AMOUNT),
}


def open_keyed(opening: Any, install: Any, ledger: Ledger, kind: type = Keyed, **options: Any) -> Any:
    install("keyed", kind)
    return opening("keyed", {}, transport=lambda request: ledger(request), **({"deadline": 1} | options))


def claims_that_nothing_was_accepted(error: PaymentError) -> bool:
    is_no = isinstance(error, Rejected) and error.definitive
    return error.accepted is Accepted.NO or is_no or isinstance(error, GatewayUnavailable | RateLimited)


@pytest.mark.parametrize("second", FAULTS)
@pytest.mark.parametrize("first", FAULTS)
def test_no_error_of_either_call_claims_what_the_ledger_denies(
    opening: Any, install: Any, first: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every fault of the first call, then every fault of its repetition."""
    monkeypatch.setattr("payments_core.retry.random.uniform", lambda low, high: 0.01)
    ledger = Ledger()
    gateway = open_keyed(opening, install, ledger, deadline=0.2)
    ledger.fault = FAULTS[first]
    with pytest.raises(PaymentError) as caught:
        gateway.create_charge(ORDER)
    if claims_that_nothing_was_accepted(caught.value):
        assert not ledger.charges
    first_sent_at = getattr(caught.value, "first_sent_at", None) or datetime.now(UTC)
    ledger.fault = FAULTS[second]
    with pytest.raises(PaymentError) as repeated:
        gateway.create_charge(ORDER, first_sent_at=first_sent_at)
    assert not claims_that_nothing_was_accepted(repeated.value), repeated.value
    if isinstance(repeated.value, OutcomeUnknown):
        assert repeated.value.first_sent_at == first_sent_at
    ledger.fault = accepted
    assert gateway.create_charge(ORDER, first_sent_at=first_sent_at).reference == REFERENCE
    assert list(ledger.charges) == ["P1"]


@pytest.mark.parametrize("call", CALLS)
def test_every_call_that_moves_money_can_be_repeated(opening: Any, install: Any, call: str) -> None:
    """With the time of the first, after a lost answer and after a crash alike."""
    ledger = Ledger()
    gateway = open_keyed(opening, install, ledger)
    ledger.fault = FAULTS["lost"]
    with pytest.raises(OutcomeUnknown) as caught:
        CALLS[call](gateway)
    assert caught.value.repeatable
    assert (caught.value.accepted, caught.value.order_id) == (Accepted.UNKNOWN, "P1")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        ledger.fault = before(Response(402))
        with pytest.raises(Rejected) as repeated:
            CALLS[call](gateway, first_sent_at=error.first_sent_at)
        assert (repeated.value.definitive, repeated.value.accepted) == (False, Accepted.UNKNOWN)
    ledger.fault = accepted
    assert CALLS[call](gateway, first_sent_at=caught.value.first_sent_at).amount == HKD


@pytest.mark.parametrize("call", CALLS)
def test_the_first_call_keeps_a_definitive_no(opening: Any, install: Any, call: str) -> None:
    """Without an earlier call there is nothing to doubt."""
    ledger = Ledger()
    ledger.fault = FAULTS["402"]
    with pytest.raises(Rejected) as caught:
        CALLS[call](open_keyed(opening, install, ledger))
    assert (caught.value.definitive, caught.value.accepted) == (True, Accepted.NO)


@pytest.mark.parametrize("call", CALLS)
def test_a_repetition_beyond_the_life_of_the_key_is_not_sent(opening: Any, install: Any, call: str, clock: Any) -> None:
    """The gateway has forgotten the key and would act a second time."""
    ledger = Ledger()
    gateway = open_keyed(opening, install, ledger, clock=clock)
    for age in (LIFETIME, LIFETIME + 1, 10 * LIFETIME):
        with pytest.raises(OutcomeUnknown) as caught:
            CALLS[call](gateway, first_sent_at=clock.now() - timedelta(seconds=age))
        assert not caught.value.repeatable
        assert caught.value.accepted is Accepted.UNKNOWN
        assert "ask for the status" in caught.value.message
    assert ledger.sent == []
    CALLS[call](gateway, first_sent_at=clock.now() - timedelta(seconds=LIFETIME - 5))
    assert ledger.sent != []


def test_a_repetition_ends_with_its_key_and_not_with_its_deadline(opening: Any, install: Any, clock: Any) -> None:
    """A request sent late in a long call must not arrive after the gateway forgot the key."""
    left: list[float] = []

    class Transport:
        def send(self, request: Request, *, deadline: float) -> Response:
            left.append(deadline)
            return Response(200, (), b'{"order":"P1","amount":"88.00"}')

        def close(self) -> None:
            pass

    class AsyncTransport(Transport):
        async def send(self, request: Request, *, deadline: float) -> Response:  # type: ignore[override]
            return Transport.send(self, request, deadline=deadline)

        async def close(self) -> None:  # type: ignore[override]
            pass

    install("keyed", Keyed)
    for transport in (Transport(), AsyncTransport()):
        try:
            gateway = opening("keyed", {}, transport=transport, clock=clock, deadline=600)
        except PaymentError:  # the other world's
            continue
        gateway.create_charge(ORDER, first_sent_at=clock.now() - timedelta(seconds=LIFETIME - 30))
    assert len(left) == 2
    assert all(0 < each <= 30 for each in left)


def test_a_gateway_without_keys_is_never_sent_a_repetition(opening: Any, install: Any) -> None:
    """It would be a second charge."""
    ledger = Ledger()
    keyless = type("Keyless", (Keyed,), {"info": info(key_lifetime=None), "idempotent": False})
    with pytest.raises(OutcomeUnknown) as caught:
        open_keyed(opening, install, ledger, keyless).create_charge(ORDER, first_sent_at=datetime.now(UTC))
    assert (caught.value.repeatable, ledger.sent) == (False, [])


@pytest.mark.parametrize(
    ("duplicates", "lifetime"),
    [
        (None, LIFETIME),
        (Duplicates.REFUSED, LIFETIME),
        (None, None),
        (Duplicates.SAME, None),
        (Duplicates.REFUSED, None),
    ],
)
def test_repeatable_says_what_the_repeated_call_does(
    opening: Any, install: Any, duplicates: Duplicates | None, lifetime: float | None
) -> None:
    """A provider that declares no time for its keys is asked, whatever it declares about duplicates."""
    ledger = Ledger()
    keyed = type("Declared", (Keyed,), {"info": info(key_lifetime=lifetime, duplicates=duplicates)})
    gateway = open_keyed(opening, install, ledger, keyed)
    ledger.fault = FAULTS["lost"]
    with pytest.raises(OutcomeUnknown) as caught:
        gateway.create_charge(ORDER)
    sent, ledger.fault = len(ledger.sent), accepted
    with contextlib.suppress(OutcomeUnknown):
        gateway.create_charge(ORDER, first_sent_at=caught.value.first_sent_at)
    assert caught.value.repeatable is (len(ledger.sent) > sent) is (lifetime is not None)
    assert ("identical call" in caught.value.message) is caught.value.repeatable


def test_a_request_without_a_key_is_not_sent_in_a_repetition(opening: Any, install: Any) -> None:
    """Keys may be declared, and one request of the run have none."""
    ledger = Ledger()
    careless = type("Careless", (Keyed,), {"idempotent": False})
    with pytest.raises(OutcomeUnknown) as caught:
        open_keyed(opening, install, ledger, careless).create_charge(ORDER, first_sent_at=datetime.now(UTC))
    assert not caught.value.repeatable
    assert ledger.sent == ["/token"]


@pytest.mark.parametrize("given", ["2026-11-01", 5, datetime(2026, 11, 1), True])  # noqa: DTZ001
def test_when_a_call_was_first_sent_is_an_aware_time(opening: Any, install: Any, given: Any) -> None:
    """A naive one could be hours off."""
    ledger = Ledger()
    with pytest.raises(InvalidRequest) as caught:
        open_keyed(opening, install, ledger).create_charge(ORDER, first_sent_at=given)
    assert (caught.value.field, ledger.sent) == ("first_sent_at", [])


@pytest.mark.parametrize("wrong", [{"first_sent_at": datetime(2026, 11, 1)}, {"deadline": 0}, {"deadline": "x"}, {}])  # noqa: DTZ001
def test_a_repetition_refused_before_anything_is_sent_claims_nothing(opening: Any, install: Any, wrong: Any) -> None:
    """The first call may have been accepted, whatever is wrong with the second, or when the gateway is closed."""
    ledger = Ledger()
    gateway = open_keyed(opening, install, ledger)
    if not wrong:
        (gateway.close if hasattr(gateway, "close") else gateway.aclose)()
    with pytest.raises(InvalidRequest) as caught:
        gateway.create_charge(ORDER, **{"first_sent_at": datetime.now(UTC)} | wrong)
    assert (caught.value.accepted, ledger.sent) == (Accepted.UNKNOWN, [])


def test_a_clock_that_runs_behind_makes_no_repetition_too_old(opening: Any, install: Any, clock: Any) -> None:
    """Another process's clock may be some seconds ahead of this one's."""
    gateway = open_keyed(opening, install, Ledger(), clock=clock)
    assert gateway.create_charge(ORDER, first_sent_at=clock.now() + timedelta(seconds=5)).reference == REFERENCE


def test_an_answer_about_our_order_with_another_amount_was_accepted(opening: Any, install: Any) -> None:
    """The gateway has a charge for this order: that much is known."""
    ledger = Ledger()
    ledger.fault = FAULTS["other amount"]
    gateway = open_keyed(opening, install, ledger)
    for call in ("create_charge", "refund_charge"):
        with pytest.raises(OutcomeUnknown) as caught:
            CALLS[call](gateway)
        assert caught.value.accepted is Accepted.YES


@pytest.mark.parametrize(
    ("fault", "kind", "known"),
    [
        ("token is down", GatewayUnavailable, Accepted.NO),
        ("refused", GatewayUnavailable, Accepted.NO),
        ("401", AuthorizationRejected, Accepted.NO),
        ("429", RateLimited, Accepted.NO),
        ("500 before", OutcomeUnknown, Accepted.UNKNOWN),
        ("HTML after", OutcomeUnknown, Accepted.UNKNOWN),
        ("lost", OutcomeUnknown, Accepted.UNKNOWN),
    ],
)
def test_an_error_says_what_was_accepted(
    opening: Any, install: Any, fault: str, kind: type, known: Accepted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a create it depends on what was sent; of a question nothing follows for the charge."""
    monkeypatch.setattr("payments_core.retry.random.uniform", lambda low, high: low)
    ledger = Ledger()
    gateway = open_keyed(opening, install, ledger, deadline=5)
    ledger.fault = FAULTS[fault]
    with pytest.raises(kind) as caught:
        gateway.create_charge(ORDER)
    error: Any = caught.value
    assert (error.accepted, error.gateway, error.order_id) == (known, "keyed", "P1")
    with pytest.raises(PaymentError) as asked:
        gateway.get_status(REFERENCE)
    assert asked.value.accepted is Accepted.UNKNOWN


@pytest.mark.parametrize("request_", ["P1", None, ORDER.amount])
def test_what_was_refused_before_anything_was_sent_was_not_accepted(opening: Any, install: Any, request_: Any) -> None:
    """Fix the call, and make it again."""
    with pytest.raises(InvalidRequest) as caught:
        open_keyed(opening, install, Ledger()).create_charge(request_)
    assert caught.value.accepted is Accepted.NO


def test_a_mismatch_says_nothing_about_what_was_accepted(opening: Any, install: Any) -> None:
    """The gateway may well have our charge besides."""
    ledger = Ledger()
    ledger.fault = before(OTHER_AMOUNT)
    with pytest.raises(Mismatch) as caught:
        open_keyed(opening, install, ledger).confirm("P1", HKD)
    assert (caught.value.accepted, caught.value.gateway, caught.value.order_id) == (Accepted.UNKNOWN, "keyed", "P1")
