"""Check that money moves exactly as requested, in every currency, and never twice."""

from __future__ import annotations

import contextlib
from typing import Final

from msgspec.structs import replace

from payments_core import (
    CURRENCY_EXPONENTS,
    CaptureRequest,
    Charge,
    InvalidRequest,
    Mismatch,
    Money,
    NotFound,
    OutcomeUnknown,
    PaymentError,
    PaymentStatus,
    RefundRequest,
    Rejected,
)

from .bench import Bench, fail_on_error
from .rules import ASKED, CANCELS, CAPTURES, HOLDS, REFUNDS, Rules, essential, needs

__all__ = ["Movements"]

# Short enough for any gateway, each with one risk.
_TEXTS: Final = ('Tea "for two"', 'Tea","amount":1,"x":"', "Tea&amount=1&x=", "50% <b> \\ ' ; --", "{amount}%s%(x)s")
_FOREIGN: Final = "一杯茶 é"


class Movements(Rules):
    """Compare the gateway's books with the requests."""

    # Amounts.

    @essential
    @needs(ASKED)
    def test_no_digit_is_lost_on_the_way_back(self, bench: Bench) -> None:
        """A paid charge whose amount is misread is not confirmed, or confirmed as another amount."""
        with bench.open() as gateway:
            for asked in self._amounts(bench):
                order_id = bench.new_order()
                try:
                    charge = bench.create(gateway, order_id, asked)
                except (InvalidRequest, Rejected):
                    continue  # the gateway does not accept this amount
                except OutcomeUnknown as exc:
                    held = [str(each.amount) for each in bench.sandbox.charges(order_id)]
                    raise AssertionError(
                        f"asked {asked}, the gateway holds {held}, and its answer said: {exc}"
                    ) from None
                bench.sandbox.pay(charge.reference.provider_id)
                try:
                    gateway.confirm(order_id, asked, provider_id=charge.reference.provider_id)
                except Mismatch as exc:
                    raise AssertionError(f"{asked} was paid, and is not recognized: {exc}") from None

    @essential
    @needs(REFUNDS)
    def test_no_digit_of_a_refund_is_lost_in_any_currency(self, bench: Bench) -> None:
        """Use amounts that floats misrepresent, and currencies without decimals or with three."""
        with bench.open() as gateway:
            for currency in self._currencies():
                whole = bench.amount_in(currency)
                part = bench.quarter(whole)
                for asked in (part, *self._float_unsafe(whole)):
                    order_id = bench.new_order()
                    charge = bench.create(gateway, order_id, whole)
                    bench.sandbox.pay(charge.reference.provider_id)
                    request = RefundRequest(bench.reference(charge, order_id), f"refund-{order_id}", asked)
                    refused: PaymentError | None = None
                    try:
                        gateway.refund_charge(request)
                    except PaymentError as exc:
                        refused = exc
                    held = [each.refunded for each in bench.sandbox.charges(order_id)]
                    nothing = asked != part and isinstance(refused, InvalidRequest | Rejected)
                    wanted = [[asked]] + [[None], [Money(minor=0, currency=currency)]] * nothing
                    assert held in wanted, f"asked to refund {asked}, the gateway has refunded {held}: {refused!r}"
                    assert refused is None or nothing, f"a refund of {asked}, of {whole}: {refused!r}"

    @essential
    @needs(CAPTURES)
    def test_a_part_is_captured_and_no_more(self, bench: Bench) -> None:
        """A partial capture is not reported as full payment."""
        whole = bench.amount
        with bench.open() as gateway:
            for asked in (bench.quarter(whole), *self._float_unsafe(whole)):
                order_id = bench.new_order()
                reference = bench.reference(bench.authorizable(gateway, order_id), order_id)
                captured: Charge | None = None
                with contextlib.suppress(InvalidRequest, Rejected):  # the gateway may capture all or nothing
                    captured = gateway.capture_charge(CaptureRequest(reference, f"capture-{order_id}", asked))
                bench.settle(order_id)
                held = [each.captured for each in bench.sandbox.charges(order_id)]
                wanted = [[asked]] if captured is not None else [[None], [Money(minor=0, currency=asked.currency)]]
                assert held in wanted, f"asked to capture {asked} of {whole}, the gateway has captured {held}"
                told = [captured] if captured is not None else []
                if told and self.has("get_status"):
                    told.append(gateway.get_status(reference))
                for each in told:
                    assert not _is_payment(each, order_id, whole, reference.provider_id), (
                        f"{asked} was captured of {whole}, and it is reported as paid: {each!r}"
                    )

    def _amounts(self, bench: Bench) -> list[Money]:
        """Return the usual amount of every currency, and some that floats misrepresent."""
        usual = [bench.amount_in(currency) for currency in self._currencies()]
        return usual + [each for whole in usual for each in self._float_unsafe(whole)]

    def _currencies(self) -> list[str]:
        """Return the currencies without two decimals, where mistakes are made, and a few others."""
        declared = sorted(self.info().currencies)
        return [each for each in declared if CURRENCY_EXPONENTS[each] != 2] + [
            each for each in declared if CURRENCY_EXPONENTS[each] == 2
        ][:4]

    def _float_unsafe(self, whole: Money) -> list[Money]:
        """Return a few amounts that floats misrepresent, between a quarter of this one and the whole."""
        scale = 10**whole.exponent
        alike = [each for each in sorted(self.info().currencies) if CURRENCY_EXPONENTS[each] == whole.exponent]
        if scale == 1 or whole.currency != alike[0]:
            return []
        minors = range(whole.minor // 4 + 1, whole.minor)[:20_000]
        sent = (each for each in minors if int(float(Money(minor=each, currency=whole.currency).text) * scale) != each)
        read = (each for each in minors if int(each / scale * scale) != each)
        found = [next(numbers, None) for numbers in (sent, sent, read, read)]
        return [Money(minor=each, currency=whole.currency) for each in sorted({each for each in found if each})]

    # Side effects.

    @essential
    def test_special_characters_in_a_description_change_nothing_else(self, bench: Bench) -> None:
        """Quotes, ampersands and other alphabets in a description change nothing else."""
        with bench.open() as gateway:
            for text in (*_TEXTS, _FOREIGN):
                order_id = bench.new_order()
                request = replace(self.request(order_id, bench.amount, **bench.usual_fields()), description=text)
                # Unsupported text is refused before it is sent; another alphabet may be refused by the gateway.
                refusals = (InvalidRequest, Rejected) if text is _FOREIGN else (InvalidRequest,)
                wanted = [bench.amount]
                try:
                    with fail_on_error(f"a charge for {text!r} cannot be made", but=refusals):
                        gateway.create_charge(request)
                except refusals:
                    wanted = []
                held = [each.amount for each in bench.sandbox.charges(order_id)]
                assert held == wanted, f"a charge for {text!r}: the gateway holds {held}"

    @essential
    @needs(HOLDS)
    def test_no_method_takes_money_that_was_to_be_held(self, bench: Bench) -> None:
        """Every declared method honours capture=False, or refuses it."""
        with bench.open() as gateway:
            for method in self.info().methods:
                order_id = bench.new_order()
                amount, fields = bench.fields_for(method, capture=False) or (bench.amount, {})
                if not fields:
                    continue  # the method does not hold money
                with contextlib.suppress(InvalidRequest, Rejected):
                    charge = bench.create(gateway, order_id, amount, **fields)
                    bench.sandbox.pay(charge.reference.provider_id)
                taken = bench.taken(order_id)
                assert not taken, f"{method.id}: with capture=False the gateway has taken {taken}"

    # Cancellations.

    @essential
    @needs(CANCELS, ASKED)
    def test_a_cancelled_charge_can_no_longer_be_paid(self, bench: Bench) -> None:
        """The shop has sold the goods to another customer."""
        with bench.open() as gateway:
            order_id = bench.new_order()
            reference = bench.reference(bench.create(gateway, order_id), order_id)
            gateway.cancel_charge(reference)
            with contextlib.suppress(Exception):  # the sandbox may refuse in its own way
                bench.sandbox.pay(reference.provider_id)
            found = gateway.get_status(reference)
        assert found.status not in {PaymentStatus.SUCCEEDED, PaymentStatus.AUTHORIZED}, (
            f"the charge was cancelled, and could still be paid: it is {found.status}"
        )
        taken = bench.taken(order_id)
        assert not taken, f"the charge was cancelled, and the gateway has taken {taken}"

    @essential
    @needs(CANCELS, HOLDS)
    def test_a_cancellation_takes_no_money_that_is_held(self, bench: Bench) -> None:
        """It releases the money, or is refused."""
        with bench.open() as gateway:
            order_id = bench.new_order()
            reference = bench.reference(bench.authorizable(gateway, order_id), order_id)
            with contextlib.suppress(InvalidRequest, Rejected):
                gateway.cancel_charge(reference)
        taken = bench.taken(order_id)
        assert not taken, f"cancelling a held charge has taken {taken}"

    @essential
    @needs(CANCELS, ASKED)
    def test_a_late_cancellation_reports_the_paid_charge(self, bench: Bench) -> None:
        """A paid charge reported as cancelled is money without goods; cancelling does not refund it."""
        with bench.open() as gateway:
            order_id = bench.new_order()
            reference = bench.reference(bench.paid(gateway, order_id), order_id)
            before = list(bench.sandbox.charges(order_id))
            with contextlib.suppress(InvalidRequest, Rejected, NotFound, OutcomeUnknown):
                late = gateway.cancel_charge(reference)
                assert late.status not in {PaymentStatus.CANCELLED, PaymentStatus.FAILED}, (
                    f"the charge is paid, its cancellation came too late, and it is reported as {late.status}"
                )
        after = list(bench.sandbox.charges(order_id))
        assert after == before, f"cancelling a paid charge moved its money: {before} became {after}"


def _is_payment(charge: Charge, order_id: str, amount: Money, provider_id: str) -> bool:
    """Return True if a shop would call the charge paid."""
    try:
        return charge.require(order_id, amount, provider_id=provider_id).is_paid
    except Mismatch:
        return False
