"""Inject every fault of the network and the gateway over real sockets, and check the exact result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from payments_alipayhk.sandbox import Sandbox, make
from payments_core import (
    AuthorizationRejected,
    ChargeRequest,
    GatewayUnavailable,
    InvalidRequest,
    Mismatch,
    Money,
    OutcomeUnknown,
    PaymentError,
    PaymentStatus,
    ProtocolViolation,
    RateLimited,
    Reference,
    Rejected,
    RejectionCode,
)
from payments_core.testing import faults
from payments_core.testing.faults import FaultGateway

HKD = Money.of("88.00", "HKD")
CREATE, QUERY, TOKEN = "payment_intents/create", "payment_intents/query", "mch-api/v1/auth"
# The gateway's deadline; a call whose answer never comes is given less, see `patience`.
DEADLINE = 20.0


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with make() as running:
        yield running


@pytest.fixture
def between(sandbox: Sandbox) -> Iterator[FaultGateway]:
    """Start a fault gateway in front of the sandbox."""
    with FaultGateway(upstream=sandbox.url) as gateway:
        yield gateway


@pytest.fixture
def gateway(opening: Any, sandbox: Sandbox, between: FaultGateway) -> Any:
    """Open a gateway behind the fault gateway, with a token already cached."""
    opened = opening("alipayhk", sandbox.config | {"base_url": between.url}, deadline=DEADLINE)
    opened.authorize()
    return opened


def order(order_id: str = "P1") -> ChargeRequest:
    return ChargeRequest(order_id, HKD, "tea")


def patience(fault: Any) -> float:
    """Return the deadline for a call that runs into `fault`: a few seconds where it can only end by its deadline."""
    return 3.0 if isinstance(fault, faults.Hang | faults.DripHeaders | faults.DripBody) else DEADLINE


def failing(call: Any) -> PaymentError:
    """Return the error of a call that must end by its deadline."""
    began = time.monotonic()
    with pytest.raises(PaymentError) as caught:
        call()
    assert time.monotonic() - began < DEADLINE - 5
    assert caught.value.__cause__ is caught.value.__context__ is None
    return caught.value


BROKEN = {
    "reset": faults.Reset(),
    "closed without a byte": faults.CloseEarly(),
    "hangs": faults.Hang(),
    "dripped headers": faults.DripHeaders(),
    "dripped body": faults.DripBody(),
    "truncated": faults.Truncate(),
    "500": faults.HTML(status=500),
    "502": faults.HTML(status=502),
    "503": faults.HTML(status=503),
    "redirect": faults.Redirect("http://127.0.0.1:9/elsewhere"),
    "permanent redirect": faults.Redirect("http://127.0.0.1:9/elsewhere", status=308),
}
UNREADABLE = {
    "HTML with 200": faults.HTML(),
    "HTML with 404": faults.HTML(status=404),
    "gzip bomb": faults.GzipBomb(),
    "bad gzip": faults.BadGzip(),
    "too long": faults.Oversize(),
    "deep JSON": faults.DeepJSON(),
    "bad UTF-8": faults.BadUTF8(),
    "empty object": faults.WrongContentType(),
    "empty": faults.Answer(b""),
    "null": faults.Answer(b"null"),
    "a list": faults.Answer(b"[]"),
    "no data": faults.Answer({"code": 0, "message": "ok", "rid": "rid-1"}),
    "data null": faults.Answer({"code": 0, "data": None, "message": "ok", "rid": "rid-1"}),
    "no code": faults.Answer({"data": {}, "rid": "rid-1"}),
    "code true": faults.Answer({"code": True, "data": {}}),
    "a brotli body": faults.Status(200, (("content-encoding", "br"), ("content-type", "application/json")), b"{}"),
}


NO_TOKEN = {
    "an empty token": faults.Answer({"access_token": ""}),
    "a token with a space": faults.Answer({"access_token": "a b"}),
    "a number for a token": faults.Answer({"access_token": 5}),
    "no token": faults.Answer({"expires_in": 3600}),
    "a token with a newline": faults.Answer({"access_token": "t\n"}),
    "a token with 404": faults.Answer({"access_token": "good"}, status=404),
}


def rows(error: type[PaymentError], table: dict[str, Any]) -> list[Any]:
    """Return parameters: each fault of a table, with the error that it becomes."""
    return [pytest.param(fault, error, id=name) for name, fault in table.items()]


@pytest.mark.parametrize(("fault", "error"), rows(OutcomeUnknown, BROKEN | UNREADABLE))
def test_a_create_whose_answer_is_lost_has_an_unknown_outcome(
    gateway: Any, between: FaultGateway, fault: Any, error: Any
) -> None:
    """It was sent once: nobody may call it failed or send it again."""
    between.inject(fault, path=CREATE)
    between.clear()
    caught = failing(lambda: gateway.create_charge(order(), deadline=patience(fault)))
    assert type(caught) is error
    assert caught.repeatable is False
    assert [request.path.rsplit("/", 1)[-1] for request in between.requests] == ["create"]


@pytest.mark.parametrize(("fault", "error"), [*rows(GatewayUnavailable, BROKEN), *rows(ProtocolViolation, UNREADABLE)])
def test_a_query_without_a_readable_answer_says_nothing(
    gateway: Any, between: FaultGateway, fault: Any, error: Any
) -> None:
    """The previous status stands, and asking again is safe."""
    between.inject(fault, path=QUERY)
    assert type(failing(lambda: gateway.get_status(Reference("P1"), deadline=patience(fault)))) is error


@pytest.mark.parametrize(
    ("fault", "error"), [*rows(GatewayUnavailable, BROKEN), *rows(ProtocolViolation, UNREADABLE | NO_TOKEN)]
)
def test_a_create_without_a_token_is_not_unknown(
    gateway: Any, between: FaultGateway, sandbox: Sandbox, fault: Any, error: Any
) -> None:
    """No money was asked for yet. A maintenance page must not send anybody looking for another secret."""
    between.inject(fault, path=TOKEN)
    sandbox.expire_tokens()
    assert type(failing(lambda: gateway.create_charge(order(), deadline=patience(fault)))) is error


@pytest.mark.parametrize("call", ["create_charge", "get_status"])
def test_a_gateway_that_refuses_connections_can_be_asked_again(gateway: Any, between: FaultGateway, call: str) -> None:
    """Nothing was sent; afterwards the same call works."""
    calls = {
        "create_charge": lambda: gateway.create_charge(order()),
        "get_status": lambda: gateway.get_status(Reference("P1")),
    }
    gateway.create_charge(order("P0"))
    with between.refusing():
        assert type(failing(calls[call])) is GatewayUnavailable
    gateway.create_charge(order())
    assert gateway.get_status(Reference("P1")).amount == HKD


def test_an_answer_that_is_lost_on_the_way_back_is_found_by_asking(
    gateway: Any, between: FaultGateway, sandbox: Sandbox
) -> None:
    """The charge exists: sending it again would have made a second one."""
    between.inject(faults.LoseAnswer(), path=CREATE, times=1)
    assert type(failing(lambda: gateway.create_charge(order()))) is OutcomeUnknown
    found = gateway.confirm("P1", HKD)
    assert found.status is PaymentStatus.PENDING
    sandbox.pay(found.reference.provider_id)
    assert gateway.confirm("P1", HKD).is_paid


def test_a_refused_token_is_renewed_once(gateway: Any, between: FaultGateway) -> None:
    """Then the create goes through, and exists once."""
    between.inject(faults.Unauthorized(), path=CREATE, times=1)
    between.clear()
    assert gateway.create_charge(order()).reference.order_id == "P1"
    assert [request.path.rsplit("/", 1)[-1] for request in between.requests] == ["create", "auth", "create"]


@pytest.mark.parametrize("fault", [faults.Unauthorized(), faults.Forbidden()])
@pytest.mark.parametrize("path", [CREATE, QUERY, TOKEN])
def test_credentials_that_stay_refused_are_rejected(
    gateway: Any, between: FaultGateway, sandbox: Sandbox, fault: Any, path: str
) -> None:
    """Each renewal uses a newer token. A token call isn't renewed, nor a create that may have been accepted."""
    between.inject(fault, path=path)
    if path == TOKEN:
        sandbox.expire_tokens()
    between.clear()
    if path == QUERY:
        call = lambda: gateway.get_status(Reference("P1"), deadline=4)  # noqa: E731
    else:
        call = lambda: gateway.create_charge(order(), deadline=4)  # noqa: E731
    error = failing(call)
    asked = [request for request in between.requests if request.path.endswith(path)]
    unknown = path == CREATE and isinstance(fault, faults.Forbidden)
    assert type(error) is (OutcomeUnknown if unknown else AuthorizationRejected)
    if unknown or path == TOKEN:
        assert len(asked) == 1
    else:
        tokens = [request.header("authorization") for request in asked]
        assert len(set(tokens)) == len(tokens) >= 2


def test_too_many_requests_are_raised_at_once_on_a_create(gateway: Any, between: FaultGateway) -> None:
    """And waited for on a query, within the deadline."""
    between.inject(faults.TooManyRequests(retry_after="0"), path=CREATE)
    between.clear()
    error = failing(lambda: gateway.create_charge(order()))
    assert isinstance(error, RateLimited)
    assert error.retry_after == 0
    assert len(between.requests) == 1
    between.inject(faults.TooManyRequests(retry_after="30"), path=QUERY)
    assert isinstance(failing(lambda: gateway.get_status(Reference("P1"))), RateLimited)


def test_the_status_of_an_answer_comes_before_its_body(gateway: Any, between: FaultGateway) -> None:
    """A 401 whose body is damaged is still a 401."""
    bad = (("content-encoding", "gzip"), ("content-type", "application/json"))
    between.inject(faults.Status(401, bad, b"not gzip"), path=CREATE, times=1)
    assert gateway.create_charge(order()).reference.order_id == "P1"
    head = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 100000\r\n\r\n"
    between.inject(faults.Raw(head + b"short"), path=CREATE, times=1)
    assert gateway.create_charge(order("P2")).reference.order_id == "P2"


INTENT = {
    "order_id": "C1", "merchant_order_id": "P1", "amount": "88", "currency": "HKD", "status": "PENDING",
    "create_time": "2023-08-31T04:44:05.928696203+08:00", "next_action": {"type": "redirect", "url": "https://a.payment.link/code"},
}  # fmt: skip


def envelope(**changes: Any) -> Any:
    return faults.Answer({"code": 0, "data": INTENT | changes, "message": "ok", "rid": "rid-1"})


MISREAD = {
    "another order": {"merchant_order_id": "P2"},
    "another amount": {"amount": "88.01"},
    "another currency": {"currency": "TWD"},
    "an unlisted currency": {"currency": "XXX"},
    "a signed amount": {"amount": "+88"},
    "a number": {"amount": 88},
    "an amount with three digits": {"amount": "88.001"},
    "an exponent": {"amount": "8.8e1"},
    "no ids": {"order_id": "", "merchant_order_id": ""},
    "a huge id": {"order_id": "C" * 65},
    "a NUL in an id": {"order_id": "C\x001"},
    "no order_id": {"order_id": None},
    "an action of another kind": {"next_action": {"type": "dance", "url": "https://x/"}},
    "an action without address": {"next_action": {"type": "redirect"}},
    "a script for an address": {"next_action": {"type": "redirect", "url": "javascript:alert(1)"}},
    "an address with a newline": {"next_action": {"type": "redirect", "url": "https://x/\nset-cookie: a"}},
    "a bad time": {"create_time": "yesterday"},
}


@pytest.mark.parametrize("changes", MISREAD.values(), ids=MISREAD)
def test_a_create_that_echoes_something_else_has_an_unknown_outcome(
    gateway: Any, between: FaultGateway, changes: Any
) -> None:
    """An answer about other money, or an unreadable one, is no charge of ours."""
    between.inject(envelope(**changes), path=CREATE)
    error = failing(lambda: gateway.create_charge(order()))
    assert type(error) is OutcomeUnknown
    assert error.request_id == "rid-1"


def test_the_same_answer_unchanged_is_a_charge(gateway: Any, between: FaultGateway) -> None:
    """The positive control of the changes above."""
    between.inject(envelope(), path=CREATE)
    assert gateway.create_charge(order()).request_id == "rid-1"


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": None},
        {"amount": "88.001"},
        {"amount": "-88"},
        {"amount": 88},
        {"currency": "XXX"},
        {"status": None},
        {"order_id": ""},
        {"pay_time": "soon"},
    ],
)
def test_a_query_with_a_bad_value_is_not_understood(gateway: Any, between: FaultGateway, changes: Any) -> None:
    """A bad amount is not another amount: nothing is known."""
    between.inject(envelope(**({"status": "SUCCEEDED"} | changes)), path=QUERY)
    error = failing(lambda: gateway.get_status(Reference("P1")))
    assert type(error) is ProtocolViolation
    assert error.request_id == "rid-1"


@pytest.mark.parametrize(
    "changes", [{"merchant_order_id": "P2"}, {"amount": "8800"}, {"amount": "88.01"}, {"currency": "TWD"}]
)
def test_a_paid_answer_about_other_money_is_a_mismatch(gateway: Any, between: FaultGateway, changes: Any) -> None:
    """Two free ids, or an amount that is never compared, have let others have goods for free."""
    between.inject(envelope(**({"status": "SUCCEEDED"} | changes)), path=QUERY)
    assert isinstance(failing(lambda: gateway.confirm("P1", HKD)), Mismatch)


def test_a_query_by_provider_id_must_be_answered_about_it(gateway: Any, between: FaultGateway) -> None:
    """Either id that was asked about must come back."""
    between.inject(envelope(status="SUCCEEDED"), path=QUERY)
    error = failing(lambda: gateway.get_status(Reference(provider_id="C2")))
    assert isinstance(error, Mismatch)
    assert error.field == "provider_id"


def test_a_status_that_nobody_documents_is_unknown(gateway: Any, between: FaultGateway) -> None:
    """Never failed, never paid, never final, also with an action or a pay time beside it."""
    for word in ("PAID", "succeeded", "SUCCEEDED ", "REFUNDED", ""):
        rule = between.inject(envelope(status=word, pay_time=INTENT["create_time"]), path=QUERY)
        charge = gateway.confirm("P1", HKD)
        assert (charge.status, charge.raw_status, charge.is_paid) == (PaymentStatus.UNKNOWN, word, False)
        rule.remove()


@pytest.mark.parametrize("code", [1, -1, 90409, "E1001", 2**40])
@pytest.mark.parametrize("status", [200, 400, 404, 409])
@pytest.mark.parametrize("path", [CREATE, QUERY])
def test_a_code_other_than_0_is_a_rejection_that_settles_nothing(
    gateway: Any, between: FaultGateway, code: Any, status: int, path: str
) -> None:
    """No code is documented, so none says that nothing was accepted."""
    between.inject(
        faults.Answer({"code": code, "data": None, "message": "no", "rid": "rid-7"}, status=status), path=path
    )
    error = failing(
        (lambda: gateway.create_charge(order())) if path == CREATE else (lambda: gateway.get_status(Reference("P1")))
    )
    assert isinstance(error, Rejected)
    assert (error.code, error.definitive, error.raw_code, error.request_id) == (
        RejectionCode.UNKNOWN,
        False,
        str(code),
        "rid-7",
    )


def test_limits_are_checked_before_anything_is_sent(gateway: Any, between: FaultGateway) -> None:
    """HKD only, order ids of 1 to 32 characters, a wallet and a channel that exist."""
    between.clear()
    wrong = {
        "currency": ChargeRequest("P1", Money.of("50", "TWD"), "tea"),
        "order_id": ChargeRequest("P" * 33, HKD, "tea"),
        "method": ChargeRequest("P1", HKD, "tea", method="ALIPAY"),
        "channel": ChargeRequest("P1", HKD, "tea", channel="IN_APP"),  # type: ignore[arg-type]
        "capture": ChargeRequest("P1", HKD, "tea", capture=False),
        "expires_in": ChargeRequest("P1", HKD, "tea", expires_in=60),
    }
    for field, request in wrong.items():
        error = failing(lambda request=request: gateway.create_charge(request))
        assert isinstance(error, InvalidRequest)
        assert error.field == field
    assert between.requests == []
    gateway.create_charge(ChargeRequest("P" * 32, HKD, "tea"))


def test_a_deadline_too_short_to_send_is_unavailable(gateway: Any, between: FaultGateway) -> None:
    """Nothing left, nothing unknown."""
    between.clear()
    with pytest.raises((GatewayUnavailable, OutcomeUnknown)) as caught:
        gateway.create_charge(order(), deadline=1e-9)
    assert type(caught.value) is GatewayUnavailable
    assert between.requests == []


@pytest.mark.parametrize("lifetime", ["soon", None, 1, -5, 60, [1], float(10**9)])
def test_a_strange_lifetime_of_a_token_does_no_harm(
    gateway: Any, between: FaultGateway, sandbox: Sandbox, lifetime: Any
) -> None:
    """The token is used; 60 seconds are the least that it is believed for."""
    token = {"access_token": sandbox._gateway.new_token(), "expires_in": lifetime}
    rule = between.inject(faults.Answer(token), path=TOKEN)
    between.inject(faults.Unauthorized(), path=CREATE, times=1)
    for number in range(3):
        gateway.create_charge(order(f"P{number}"))
    assert rule.hits == 1
