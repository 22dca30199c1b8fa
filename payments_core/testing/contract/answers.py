"""Check that results are read from the answer: its ids, its amounts, and nothing that it does not say."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, Final

from payments_core import (
    Charge,
    Gateway,
    InvalidRequest,
    Money,
    PaymentError,
    PaymentStatus,
    Refund,
    RefundRequest,
    Rejected,
)

from .bench import Bench
from .declaration import fractions
from .responses import record_answers, replay_answers, with_word, without_each_field
from .rules import ASKED, REFUNDS, Rules, essential, needs

__all__ = ["Answers"]

_OPEN: Final = {PaymentStatus.REQUIRES_ACTION, PaymentStatus.PENDING, PaymentStatus.UNKNOWN}


class Answers(Rules):
    """Change an answer, or give it to another question, and compare what is read from it."""

    @essential
    @needs(ASKED)
    def test_an_answer_about_another_charge_is_a_mismatch(self, bench: Bench) -> None:
        """Ids copied from the question would turn another charge's payment into this one's."""
        with bench.open() as gateway:
            orders = bench.new_order(), bench.new_order()
            one, other = (bench.reference(bench.create(gateway, each), each) for each in orders)
            recorded, _ = record_answers(bench, gateway, lambda: gateway.get_status(one))
            outcome = replay_answers(bench, recorded, functools.partial(gateway.get_status, other))
        named = [each for each in (one.order_id, one.provider_id) if each and each.encode() in recorded.body]
        assert isinstance(outcome, PaymentError) or not named, (
            f"an answer that names {' and '.join(named)} was accepted for {other.order_id}: read the ids from "
            f"the answer, not from the request; it returned {outcome!r}"
        )

    # Nothing made up.

    @essential
    def test_nothing_in_a_charge_is_copied_from_the_request(self, bench: Bench) -> None:
        """Copied fields always agree, so an answer about another amount would go unnoticed."""
        amount = bench.amount
        for told, asked in ((bench.quarter(amount), amount), (amount, bench.quarter(amount))):
            self._answer_of_other_money(bench, told, asked)
        for currency in sorted(self.info().currencies - {amount.currency})[:1]:
            # The same digits in another currency, in minor and in major units, if the gateway accepts that much.
            same = {Money(minor=amount.minor, currency=currency), Money.of(amount.text.partition(".")[0], currency)}
            for told in sorted(same, key=lambda each: each.minor):
                with contextlib.suppress(InvalidRequest, Rejected):
                    self._answer_of_other_money(bench, told, amount)

    def _answer_of_other_money(self, bench: Bench, told: Money, asked: Money) -> None:
        order_id, another = bench.new_order(), bench.new_order()
        fields = bench.usual_fields(asked.currency)
        with bench.open() as gateway:
            recorded, _ = record_answers(bench, gateway, lambda: bench.create(gateway, order_id, told, **fields))
            create = functools.partial(bench.create, gateway, order_id, asked, **fields)
            for field, body in (("", recorded.body), *without_each_field(recorded.body)):
                outcome = replay_answers(bench, recorded, create, body)
                assert not isinstance(outcome, Charge) or outcome.amount is None, (
                    f"asked for {asked}, the answer was about {told}{field and f', without {field}'}, and was read as "
                    f"{outcome.amount}"
                )
            create = functools.partial(bench.create, gateway, another, told, **fields)
            outcome = replay_answers(bench, recorded, create)
        if isinstance(outcome, Charge) and outcome.reference.provider_id:
            assert not outcome.reference.order_id, (
                f"asked about {another}, the answer was about {order_id}, and the charge has the order id "
                f"{outcome.reference.order_id}: read it from the answer, or leave it empty"
            )

    @essential
    def test_no_field_of_an_answer_is_made_up(self, bench: Bench) -> None:
        """A default for a missing field could report a payment of nothing, or in another currency."""
        currencies = self.info().currencies
        with bench.open() as gateway:
            for currency in sorted({bench.amount.currency, min(currencies), max(currencies)}):
                order_id = bench.new_order()
                request = self.request(order_id, bench.amount_in(currency), **bench.usual_fields(currency))
                create = functools.partial(gateway.create_charge, request)
                charge = self._without_each_field(bench, gateway, "create_charge", create)
                if self.has("get_status"):
                    ask = functools.partial(gateway.get_status, bench.reference(charge, order_id))
                    self._without_each_field(bench, gateway, "get_status", ask)

    def _without_each_field(self, bench: Bench, gateway: Gateway, operation: str, call: Callable[[], Charge]) -> Charge:
        recorded, whole = record_answers(bench, gateway, call)
        for field, body in without_each_field(recorded.body):
            outcome = replay_answers(bench, recorded, call, body)
            if isinstance(outcome, Charge):
                said = f"{operation}: without {field} in its answer the charge"
                assert outcome.status in {whole.status, *_OPEN}, f"{said}, which is {whole.status}, is {outcome.status}"
                assert outcome.amount in {None, whole.amount}, f"{said}, of {whole.amount}, is one of {outcome.amount}"
        return whole

    @essential
    @needs(ASKED)
    def test_an_amount_with_too_many_decimals_is_not_truncated(self, bench: Bench) -> None:
        """An amount with more decimals than its currency has must be rejected, not truncated."""
        with bench.open() as gateway:
            order_id = bench.new_order()
            charge = bench.create(gateway, order_id)
            ask = functools.partial(gateway.get_status, bench.reference(charge, order_id))
            recorded, found = record_answers(bench, gateway, ask)
            amount, less = found.amount, bench.quarter(bench.amount)
            moved = {str(bench.amount.minor): str(less.minor), bench.amount.text: less.text}
            longer = {each: f"{each}7" if "." in each else f"{each}.7" for each in moved}
            # A difference too small for a float: only for an answer with a JSON number that has a fraction.
            finer = {bench.amount.text: f"{bench.amount.text}00000000000000000001"}
            if bench.amount.text not in fractions(recorded.body, ""):
                finer = longer
            bodies = (
                functools.reduce(lambda body, words: with_word(body, *words), each.items(), recorded.body)
                for each in (moved, longer, finer)
            )
            of_less, *of_more = (replay_answers(bench, recorded, ask, body) for body in bodies)
        # If replacing the number changes nothing, the amount is elsewhere in the answer, or written differently.
        follows = not isinstance(of_less, Charge) or of_less.amount != amount
        for each in of_more:
            assert not (follows and amount and isinstance(each, Charge) and each.amount == amount), (
                f"{amount} with a digit too many is read as {amount}: reject an amount with too many decimals"
            )

    @essential
    @needs(REFUNDS)
    def test_a_refund_is_read_from_the_answer(self, bench: Bench) -> None:
        """A partial refund reported as a full one is money that the shopper never gets."""
        told, asked = (
            bench.quarter(bench.amount),
            Money(minor=2 * bench.quarter(bench.amount).minor, currency=bench.amount.currency),
        )
        with bench.open() as gateway:
            order_id = bench.new_order()
            reference, refund_id = bench.reference(bench.paid(gateway, order_id), order_id), f"refund-{order_id}"
            recorded, _ = record_answers(
                bench, gateway, lambda: gateway.refund_charge(RefundRequest(reference, refund_id, told))
            )
            refund = functools.partial(gateway.refund_charge, RefundRequest(reference, refund_id, asked))
            for field, body in (("", recorded.body), *without_each_field(recorded.body)):
                outcome = replay_answers(bench, recorded, refund, body)
                assert not isinstance(outcome, Refund) or outcome.amount is None, (
                    f"{told} was refunded, as the answer said{field and f' (without {field})'}, "
                    f"and {outcome.amount} is reported"
                )

    # Times and next actions.

    def test_every_time_is_aware(self, bench: Bench) -> None:
        """A naive time may be hours off, and cannot be compared with an aware one."""
        with bench.open() as gateway:
            results: list[tuple[str, Any]] = [
                (each, bench.prepare(each, gateway).call()) for each in bench.operations()
            ]
            if self.has("get_status"):
                order_id = bench.new_order()
                paid = bench.reference(bench.paid(gateway, order_id), order_id)
                results.append(("get_status", gateway.get_status(paid)))
        for name, result in results:
            for field in ("created_at", "paid_at", "expires_at"):
                time = getattr(result, field, None)
                assert time is None or time.utcoffset() is not None, f"{name}: {field} is naive: {time!r}"

    def test_an_open_charge_says_what_the_shopper_does_next(self, bench: Bench) -> None:
        """Nobody can pay a charge that has no next action."""
        request = self.request(bench.new_order(), bench.amount, **bench.usual_fields())
        with bench.open() as gateway:
            charge = gateway.create_charge(request)
        settled = charge.status.is_final or charge.status is PaymentStatus.AUTHORIZED
        assert charge.next_action is not None or settled or request.payment_token is not None, (
            f"a charge that is {charge.status} has no next action: nobody can pay it"
        )
