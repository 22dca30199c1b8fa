"""Inject every kind of fault at every request of every operation, and check which error is raised."""

from __future__ import annotations

import dataclasses
from typing import Final

import pytest

from payments_core import (
    AuthorizationRejected,
    Charge,
    GatewayUnavailable,
    NotFound,
    OutcomeUnknown,
    PaymentError,
    ProtocolViolation,
    RateLimited,
    Reference,
    Rejected,
    Request,
)
from payments_core.testing import faults
from payments_core.testing.faults import Fault

from .bench import LONG, SHORT, AtStep, Bench, Prepared, error_of
from .rules import AUTHORIZES, CAPTURES, ONE_CHARGE, REFUNDS, Condition, Rules, essential, needs

__all__ = ["Failures"]

_LOST: Final[dict[str, Fault]] = {
    "timed-out": faults.Hang(),
    "reset": faults.Reset(),
    "closed": faults.CloseEarly(),
    "truncated": faults.Truncate(),
    "500": faults.HTML(status=500),
    "502": faults.HTML(status=502),
    "503": faults.Status(503),
    "redirect": faults.Redirect("http://127.0.0.1:9/elsewhere"),
}
_UNREADABLE: Final[dict[str, Fault]] = {
    "html": faults.HTML(),
    "empty": faults.Answer(b""),
    "null": faults.Answer(b"null"),
    "list": faults.Answer(b"[]"),
    "object": faults.Answer(b"{}"),
    "half": faults.Answer(b'{"id": "'),
    "bad-utf8": faults.BadUTF8(),
    "bad-gzip": faults.BadGzip(),
    "deep": faults.DeepJSON(),
    "html-400": faults.HTML(status=400),
    "html-404": faults.HTML(status=404),
    "html-409": faults.HTML(status=409),
}

_REFUSED: Final[dict[str, Fault]] = {"401": faults.Unauthorized(), "403": faults.Forbidden()}


class Failures(Rules):
    """Check the errors, operation by operation."""

    def _each(self, bench: Bench) -> list[tuple[str, int, list[Request]]]:
        """Return every request of every operation: its operation, its index, and all requests of the flow."""
        flows = [(name, bench.steps(name)) for name in bench.operations()]
        return [(name, place, steps) for name, steps in flows for place in range(len(steps))]

    def _fail(
        self, bench: Bench, operation: str, place: int, fault: Fault, deadline: float | None = None
    ) -> tuple[PaymentError, Prepared]:
        """Make a call that meets `fault` at one of its requests, and return its error.

        A call that can only end by its deadline gets a short one, and more time if a slow machine never met the fault.
        """
        for seconds in (SHORT, LONG) if isinstance(fault, faults.Hang) else (deadline or LONG,):
            with bench.open() as patient, bench.open(deadline=seconds) as gateway:
                prepared = dataclasses.replace(bench.prepare(operation, patient), gateway=gateway)
                if self.has("authorize"):
                    gateway.authorize(deadline=LONG)
                bench.fault_gateway.clear()
                injected = AtStep(fault, place)
                bench.inject(injected)
                error = error_of(lambda: prepared.call())  # noqa: B023
            if injected.played:
                return error, prepared
            bench.reset()
        raise AssertionError(f"{operation} never made its request {place + 1}")

    def test_at_least_one_request_of_each_money_operation_is_not_safe(self, bench: Bench) -> None:
        """A create marked `safe` would be called unavailable, and sent again."""
        for operation in bench.operations():
            flags = [request.safe for request in bench.steps(operation)]
            if operation in {"get_status", "get_refund"}:
                assert all(flags), f"{operation} only queries: mark its requests safe=True"
            else:
                assert not all(flags), f"{operation} moves money: one of its requests must not be marked safe"

    def test_a_safe_request_changes_nothing(self, bench: Bench) -> None:
        """A safe request is repeated whenever it fails; if it moved money, it would do so each time."""
        for operation, place, steps in self._each(bench):
            if not steps[place].safe or operation in {"get_status", "get_refund"}:
                continue
            held = []
            for fault in (faults.TooManyRequests("3600"), faults.ForwardThen(faults.TooManyRequests("3600"))):
                _, prepared = self._fail(bench, operation, place, fault)
                bench.reset()
                held.append(self._books(bench, prepared.order_id))
            assert held[0] == held[1], (
                f"{operation}, request {place + 1} is marked safe, but it changes something: the gateway held "
                f"{held[0]} before it, and {held[1]} afterwards"
            )

    def _books(self, bench: Bench, order_id: str) -> list[object]:
        """Return what the gateway holds of an order, and its answer to a query."""
        held = list(bench.sandbox.charges(order_id))
        books: list[object] = [(each.amount, each.captured, each.refunded) for each in held]
        if self.has("get_status"):
            with bench.open() as gateway:
                for reference in [Reference(order_id)] if "order_id" in self.info().query_by else []:
                    try:
                        books.append(gateway.get_status(reference).raw_status)
                    except PaymentError as exc:
                        books.append(type(exc).__name__)
        return books

    @essential
    @pytest.mark.parametrize("fault", _LOST.values(), ids=_LOST)
    def test_a_lost_answer_is_unknown_where_money_may_have_moved(self, bench: Bench, fault: Fault) -> None:
        """Elsewhere it is unavailable. A request that is not idempotent is sent once."""
        self._check_each(bench, fault, GatewayUnavailable)

    @essential
    @pytest.mark.parametrize("fault", _UNREADABLE.values(), ids=_UNREADABLE)
    def test_an_answer_that_cannot_be_read_is_unknown_where_money_may_have_moved(
        self, bench: Bench, fault: Fault
    ) -> None:
        """A maintenance page is neither a refusal nor a missing charge."""
        self._check_each(bench, fault, ProtocolViolation)

    def _check_each(self, bench: Bench, fault: Fault, otherwise: type[PaymentError], *, counts: bool = True) -> None:
        """Play a fault at each request: unknown if one may have moved money, which the failing one `counts` among."""
        for operation, place, steps in self._each(bench):
            # Refused credentials are renewed for half of the deadline; a slow machine gets a longer one.
            deadlines = [SHORT, LONG] if fault in _REFUSED.values() else [LONG]
            while True:
                error, prepared = self._fail(bench, operation, place, fault, deadlines.pop(0))
                exposed = [each for each in steps[: place + counts] if not each.safe] if prepared.moves_money else []
                wanted = OutcomeUnknown if exposed else otherwise
                if type(error) is wanted or not deadlines:
                    break
                bench.reset()
            assert type(error) is wanted, f"{operation}, request {place + 1}: {error!r}"
            self._check_unknown(bench, operation, error, exposed)

    def _check_unknown(self, bench: Bench, operation: str, error: PaymentError, exposed: list[Request]) -> None:
        if isinstance(error, OutcomeUnknown):
            wanted = self.info().key_lifetime is not None and all(each.idempotent for each in exposed)
            assert error.repeatable is wanted, f"{operation}: repeatable"
        for each in exposed:
            if not each.idempotent:
                same = [
                    sent
                    for sent in bench.fault_gateway.requests
                    if sent.method == each.method and _same_path(sent.path, each)
                ]
                assert len(same) == 1, f"{operation} is not idempotent, but was sent {len(same)} times"

    @essential
    def test_a_connection_that_is_refused_means_that_nothing_was_accepted(self, bench: Bench) -> None:
        """Refuse the first request of every operation."""
        for operation in bench.operations():
            with bench.open() as gateway:
                prepared = bench.prepare(operation, gateway)
                with bench.fault_gateway.refusing():
                    error = error_of(prepared.call)
            assert type(error) is GatewayUnavailable, f"{operation}: {error!r}"

    @essential
    def test_too_many_requests_means_that_this_one_was_not_accepted(self, bench: Bench) -> None:
        """It is `RateLimited`, or unknown if an earlier request of the flow may have moved money."""
        for operation, place, steps in self._each(bench):
            error, prepared = self._fail(bench, operation, place, faults.TooManyRequests("3600"))
            earlier = prepared.moves_money and any(not each.safe for each in steps[:place])
            wanted = OutcomeUnknown if earlier else RateLimited
            assert type(error) is wanted, f"{operation}, request {place + 1}: {error!r}"
            if isinstance(error, RateLimited):
                assert error.retry_after == 3600

    @essential
    @pytest.mark.parametrize("fault", _REFUSED.values(), ids=_REFUSED)
    def test_refused_credentials_are_no_refused_charge(self, bench: Bench, fault: Fault) -> None:
        """They are renewed if possible, then `AuthorizationRejected`; unknown if money may have moved."""
        counts = not self._is_refusal_status(fault)
        self._check_each(bench, fault, AuthorizationRejected, counts=counts)

    def _is_refusal_status(self, fault: Fault) -> bool:
        """Return True if the gateway documents this status as a refusal before anything is accepted."""
        return (401 if isinstance(fault, faults.Unauthorized) else 403) in self.info().refusal_statuses

    # The authorization.

    @needs(AUTHORIZES)
    def test_a_token_is_obtained_once_and_used_again(self, bench: Bench) -> None:
        """One token serves any number of calls."""
        steps = bench.steps("create_charge")
        bench.reset()
        with bench.open() as gateway:
            gateway.authorize()
            asked = len(bench.fault_gateway.requests)
            gateway.authorize()
            assert len(bench.fault_gateway.requests) == asked > 0
            bench.create(gateway)
            bench.create(gateway)
            assert len(bench.fault_gateway.requests) == asked + 2 * len(steps)

    @needs(AUTHORIZES)
    @pytest.mark.parametrize("fault", _REFUSED.values(), ids=_REFUSED)
    def test_a_refused_token_is_renewed_once_and_the_charge_is_made_once(self, bench: Bench, fault: Fault) -> None:
        """The flow restarts with the new token, unless the charge may have been made."""
        steps = bench.steps("create_charge")
        if not (self._is_refusal_status(fault) or steps[0].safe or steps[0].idempotent):
            error, prepared = self._fail(bench, "create_charge", 0, fault)
            assert type(error) is OutcomeUnknown, f"a create that was answered so may have been accepted: {error!r}"
            self._check_unknown(bench, "create_charge", error, steps[:1])
            assert list(bench.sandbox.charges(prepared.order_id)) == []
            return
        with bench.open() as gateway:
            prepared = bench.prepare("create_charge", gateway)
            bench.inject(AtStep(fault, 0, times=1))
            prepared.call()
            renewals = len(bench.fault_gateway.requests) - len(steps) - 1
        assert renewals == 1, f"the token was obtained {renewals} times after it was refused"
        assert len(bench.sandbox.charges(prepared.order_id)) == 1

    @needs(AUTHORIZES)
    def test_a_fault_of_the_token_call_is_never_an_unknown_outcome(self, bench: Bench) -> None:
        """Nothing was requested yet. An HTML page is not a wrong password; a 429 is `RateLimited`."""
        wanted: list[tuple[Fault, type[PaymentError]]] = [
            (faults.Hang(), GatewayUnavailable),
            (faults.Reset(), GatewayUnavailable),
            (faults.HTML(status=503), GatewayUnavailable),
            (faults.HTML(), ProtocolViolation),
            (faults.Answer(b"{}"), ProtocolViolation),
            (faults.TooManyRequests("3600"), RateLimited),
            (faults.Unauthorized(), AuthorizationRejected),
        ]
        for fault, kind in wanted:
            bench.reset()
            order_id = bench.new_order()
            with bench.open(deadline=SHORT if isinstance(fault, faults.Hang) else 2.0) as gateway:
                bench.inject(fault)
                error = error_of(lambda: bench.create(gateway, order_id))  # noqa: B023
            assert type(error) is kind, f"{fault}: {error!r}"
            assert list(bench.sandbox.charges(order_id)) == []

    @needs(AUTHORIZES)
    def test_a_429_after_the_token_call_is_rate_limited(self, bench: Bench) -> None:
        """The token was issued and the create refused: `RateLimited`, and no charge."""
        order_id = bench.new_order()
        with bench.open() as gateway:
            bench.inject(AtStep(faults.TooManyRequests("3600"), 1))
            error = error_of(lambda: bench.create(gateway, order_id))
        assert type(error) is RateLimited
        assert list(bench.sandbox.charges(order_id)) == []

    # Lost answers.

    @essential
    def test_a_create_whose_answer_is_lost_makes_one_charge(self, bench: Bench) -> None:
        """The charge exists. An idempotent create is sent again, and must still be one charge."""
        last = bench.last_unsafe("create_charge")
        with bench.open() as gateway:
            prepared = bench.prepare("create_charge", gateway)
            bench.inject(AtStep(faults.LoseAnswer(), last, times=1))
            outcome: object
            try:
                outcome = prepared.call()
            except PaymentError as exc:
                outcome = exc
            held = bench.sandbox.charges(prepared.order_id)
            assert len(held) == 1, f"{len(held)} charges were made of one: the create is marked idempotent, but is not"
            if all(each.idempotent for each in bench.steps("create_charge") if not each.safe):
                assert isinstance(outcome, Charge), f"an idempotent create was not repeated: {outcome!r}"
                return
            assert type(outcome) is OutcomeUnknown
            assert outcome.repeatable is False
            bench.reset()
            if self.has("get_status") and "order_id" in self.info().query_by:
                found = gateway.get_status(Reference(prepared.order_id))
                assert found.reference.provider_id in {"", held[0].provider_id}

    @essential
    @needs(Condition("no key_lifetime is declared", lambda cls: cls.info().key_lifetime is not None))
    def test_the_identical_call_is_one_charge_for_as_long_as_its_key_is_declared_to_live(self, bench: Bench) -> None:
        """Every answer is lost; another process repeats the call near the end of the key's lifetime."""
        lifetime = self.info().key_lifetime or 0.0
        last = bench.last_unsafe("create_charge")
        with bench.open() as gateway:
            prepared = bench.prepare("create_charge", gateway)
            bench.inject(AtStep(faults.LoseAnswer(), last))
            error = error_of(prepared.call)
            assert type(error) is OutcomeUnknown, repr(error)
            assert error.repeatable, "a key_lifetime is declared, but the create is not marked idempotent"
        bench.reset()
        bench.sandbox.advance(max(lifetime - 60, lifetime * 0.9))
        with bench.open() as gateway:
            again = gateway.create_charge(self.request(prepared.order_id, bench.amount, **bench.usual_fields()))
        held = bench.sandbox.charges(prepared.order_id)
        assert len(held) == 1, (
            f"{len(held)} charges: the gateway does not keep a key for the {lifetime:g} s that key_lifetime declares"
        )
        assert again.reference.provider_id in {"", held[0].provider_id}

    @needs(CAPTURES)
    def test_a_capture_whose_answer_is_lost_takes_the_money_once(self, bench: Bench) -> None:
        """The gateway's books show it, whether or not it is sent again."""
        order_id = self._lose_answer(bench, "capture_charge")
        assert [each.captured for each in bench.sandbox.charges(order_id)] == [bench.amount]

    @needs(REFUNDS)
    def test_a_refund_whose_answer_is_lost_gives_the_money_back_once(self, bench: Bench) -> None:
        """The gateway's books show it, whether or not it is sent again."""
        order_id = self._lose_answer(bench, "refund_charge")
        assert [each.refunded for each in bench.sandbox.charges(order_id)] == [bench.quarter(bench.amount)]

    def _lose_answer(self, bench: Bench, operation: str) -> str:
        last = bench.last_unsafe(operation)
        with bench.open() as gateway:
            prepared = bench.prepare(operation, gateway)
            bench.inject(AtStep(faults.LoseAnswer(), last, times=1))
            try:
                prepared.call()
            except PaymentError as exc:
                assert type(exc) is OutcomeUnknown, repr(exc)  # noqa: PT017 - it may also succeed
        bench.settle(prepared.order_id)
        return prepared.order_id

    @needs(ONE_CHARGE)
    def test_one_order_with_two_amounts_is_never_two_charges_of_one_key(self, bench: Bench) -> None:
        """A key that includes the amount would make a second charge of one order."""
        order_id = bench.new_order()
        other = bench.quarter(bench.amount)
        with bench.open() as gateway:
            bench.create(gateway, order_id)
            error = error_of(lambda: bench.create(gateway, order_id, other))
        assert isinstance(error, Rejected | OutcomeUnknown | NotFound | ProtocolViolation), repr(error)
        assert len(bench.sandbox.charges(order_id)) == 1


def _same_path(path: str, request: Request) -> bool:
    """Return True if a path is the request's, apart from ids in it."""
    ours, theirs = path.split("/"), request.path.split("/")
    return len(ours) == len(theirs) and ours[-1] == theirs[-1]
