"""Compare a provider's declaration with its behaviour: operations, methods, currencies, limits, statuses."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any, Final

from msgspec.structs import replace

from payments_core import (
    CURRENCY_EXPONENTS,
    CaptureRequest,
    Channel,
    Charge,
    ChargeRequest,
    Gateway,
    InvalidRequest,
    Money,
    OutcomeUnknown,
    PaymentStatus,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
    Rejected,
    UnsupportedOperation,
)
from payments_core.discovery import find_provider
from payments_core.hookspecs import OPTIONAL_OPERATIONS
from payments_core.testing import faults

from .bench import AtStep, Bench, Tap, error_of, fail_on_error, says_paid
from .rules import ASKED, CAPTURES, HOLDS, REFUNDS, Condition, Rules, essential, needs

__all__ = ["FLOAT_UNSAFE", "Declaration", "fractions"]

# Amounts that binary floats misrepresent: 1.15 * 100 is 114.99999999999999.
FLOAT_UNSAFE: Final = ("0.29", "0.57", "1.15", "4.35", "8.20", "19.99", "1001.10", "4503.57", "999999.99")
# The first integer that a float cannot hold: both rounding and truncation lose its last digit.
_MOST_MINOR: Final = 10**17  # the limit of Money
_BEYOND_FLOATS: Final = 9_007_199_254_740_993


class Declaration(Rules):
    """Check the declaration against what arrives at the sandbox."""

    def test_the_usual_create_works(self, bench: Bench) -> None:
        """Run first: if it fails, tests that need it are not run, and one cause is one failure."""
        assert bench.works

    def test_the_entry_point_leads_to_the_provider(self) -> None:
        """A configuration that names the provider gets this class."""
        assert find_provider(self.info().id) is self.provider

    def test_it_opens_and_every_undeclared_operation_is_unsupported(self, bench: Bench) -> None:
        """It is refused before anything is sent."""
        reference, amount = Reference("A", "B"), bench.amount
        with bench.open() as gateway:
            calls: dict[str, Any] = {
                "complete_charge": lambda: gateway.complete_charge(reference, ()),
                "capture_charge": lambda: gateway.capture_charge(CaptureRequest(reference, "C", amount)),
                "cancel_charge": lambda: gateway.cancel_charge(reference),
                "refund_charge": lambda: gateway.refund_charge(RefundRequest(reference, "R", amount)),
                "get_refund": lambda: gateway.get_refund(RefundReference("R", "", reference)),
            }
            assert set(calls) == OPTIONAL_OPERATIONS
            for name in sorted(OPTIONAL_OPERATIONS - self.info().operations):
                assert type(error_of(calls[name])) is UnsupportedOperation, name
        assert bench.fault_gateway.requests == []

    def test_every_declared_operation_works(self, bench: Bench) -> None:
        """Each is called on a suitable charge, and its result is about that charge."""
        with bench.open() as gateway:
            for name in bench.operations():
                prepared = bench.prepare(name, gateway)
                result = prepared.call()
                assert bench.fault_gateway.requests, f"{name} sent nothing"
                if isinstance(result, Charge):
                    assert result.reference.order_id in {"", prepared.order_id}, name
                    assert result.amount in {None, bench.amount}, name
                else:
                    assert isinstance(result, Refund), name
                    assert result.refund_id in {"", f"refund-{prepared.order_id}"}, name
                    assert result.amount in {None, bench.quarter(bench.amount)}, name

    @needs(CAPTURES)
    def test_the_captured_amount_is_the_requested_one(self, bench: Bench) -> None:
        """The gateway's books show it."""
        with bench.open() as gateway:
            prepared = bench.prepare("capture_charge", gateway)
            if (captured := prepared.call()).status.value == "PENDING":
                bench.settle(prepared.order_id)
            if self.has("get_status") and isinstance(captured, Charge):
                found = gateway.get_status(captured.reference)
                assert found.status is PaymentStatus.SUCCEEDED, f"the captured and settled charge is {found.status}"
        assert [each.captured for each in bench.sandbox.charges(prepared.order_id)] == [bench.amount]

    @needs(REFUNDS)
    def test_the_refunded_amount_is_the_requested_one(self, bench: Bench) -> None:
        """The gateway's books show it."""
        with bench.open() as gateway:
            prepared = bench.prepare("refund_charge", gateway)
            prepared.call()
        assert [each.refunded for each in bench.sandbox.charges(prepared.order_id)] == [bench.quarter(bench.amount)]

    def test_every_method_and_channel_takes_a_charge(self, bench: Bench) -> None:
        """Declared ones work; undeclared ones are refused before anything is sent."""
        info = self.info()
        with bench.open() as gateway:
            for method in info.methods:
                assert bench.fields_for(method), f"{method.id} takes none of the currencies and channels of info"
                for channel in sorted(method.channels or info.channels):
                    order_id = bench.new_order()
                    amount, fields = bench.fields_for(method, channel=channel) or (bench.amount, {})
                    bench.create(gateway, order_id, amount, **fields)
                    assert len(bench.sandbox.charges(order_id)) == 1, f"{method.id}, {channel}"
            _refused_unsent(bench, gateway, method="no-such-method")
            for undeclared in set(Channel) - info.channels:
                _refused_unsent(bench, gateway, channel=undeclared)

    @needs(
        Condition(
            "no method narrows the currencies that the provider takes",
            lambda cls: any(each.currencies is not None for each in cls.info().methods),
        )
    )
    def test_every_currency_of_a_method_is_taken(self, bench: Bench) -> None:
        """A payment button works in each currency it is shown for."""
        with bench.open() as gateway:
            for method in self.info().methods:
                for currency in sorted(method.currencies or ()):
                    order_id = bench.new_order()
                    amount, fields = bench.fields_for(method, currency=currency) or (bench.amount, {})
                    with fail_on_error(f"{method.id} declares {currency}, but it cannot be charged"):
                        bench.create(gateway, order_id, amount, **fields)
                    assert [each.amount for each in bench.sandbox.charges(order_id)] == [amount], method.id

    def test_every_currency_arrives_as_the_requested_amount(self, bench: Bench) -> None:
        """The sandbox decides: an exponent that is wrong both ways shows only there."""
        wrong = []
        with bench.open() as gateway:
            for currency in sorted(self.info().currencies):
                order_id, asked = bench.new_order(), bench.amount_in(currency)
                charge = bench.create(gateway, order_id, asked)
                held = [each.amount for each in bench.sandbox.charges(order_id)]
                if held != [asked] or charge.amount not in {None, asked}:
                    wrong.append(f"asked {asked}, the gateway holds {held}, the answer says {charge.amount}")
            assert not wrong, "; ".join(wrong)
            for currency in sorted(set(CURRENCY_EXPONENTS) - self.info().currencies)[:5]:
                _refused_unsent(bench, gateway, amount=self.amount(currency))

    def test_no_digit_of_an_amount_is_lost(self, bench: Bench) -> None:
        """Use amounts that floats misrepresent; a JSON number with a fraction must have the amount's exact digits."""
        seen, floats = Tap(), set[str]()
        taken = 0
        with bench.open(plugins=[seen]) as gateway:
            for exponent in (2, 3):
                known = [each for each in sorted(self.info().currencies) if CURRENCY_EXPONENTS[each] == exponent]
                amounts = [Money.of(text + "0" * (exponent - 2), known[0]) for text in FLOAT_UNSAFE if known]
                amounts += [Money(minor=_BEYOND_FLOATS, currency=each) for each in known[:1]]
                for asked in amounts:
                    order_id, answered = bench.new_order(), None
                    seen.requests.clear()
                    # The gateway may refuse the amount: then it holds nothing, or the exact amount.
                    with contextlib.suppress(InvalidRequest, Rejected, OutcomeUnknown):
                        answered = bench.create(gateway, order_id, asked)
                    held = [each.amount for each in bench.sandbox.charges(order_id)]
                    assert held in ([asked], []), f"asked {asked}, the gateway holds {held}"
                    assert answered is None or answered.amount in {None, asked}
                    taken += answered is not None
                    floats |= {each for request in seen.requests for each in fractions(request.body, asked.text)}
            if not any(CURRENCY_EXPONENTS[each] in {2, 3} for each in self.info().currencies):
                bench.create(gateway)
        assert taken >= 3 or not any(CURRENCY_EXPONENTS[each] in {2, 3} for each in self.info().currencies)
        assert not floats, (
            f"{', '.join(sorted(floats))} is sent as a JSON number: a float. Write Money.text verbatim "
            "(msgspec.Raw), or as a string if the gateway accepts one"
        )

    def test_the_limits_are_the_gateway_s(self, bench: Bench) -> None:
        """The longest order id is accepted, and one character more is refused before anything is sent."""
        limits = self.info().limits
        order_id = bench.new_order()
        longest = order_id.ljust(limits.order_id_length, order_id[-1])
        assert not limits.order_id_pattern or re.fullmatch(limits.order_id_pattern, longest), (
            f"{longest} is as long as info.limits allows, but does not match its pattern: override `order_id` in "
            "the test class, so that its last character can be repeated, or declare the pattern's length"
        )
        with bench.open() as gateway:
            bench.create(gateway, longest)
            assert len(bench.sandbox.charges(longest)) == 1
            if limits.order_id_length < 255:
                _refused_unsent(bench, gateway, order_id=longest + longest[-1])
            for least in limits.minimum:
                bench.create(gateway, amount=least)
                if least.minor > 1:
                    _refused_unsent(bench, gateway, amount=replace(least, minor=least.minor - 1))
            for most in (each for each in limits.maximum if each.minor < _MOST_MINOR):
                _refused_unsent(bench, gateway, amount=replace(most, minor=most.minor + 1))

    @needs(
        Condition(
            "the gateway documents no length of a description",
            lambda cls: cls.info().limits.description_length is not None,
        )
    )
    def test_the_longest_description_is_taken(self, bench: Bench) -> None:
        """One character more is refused before anything is sent."""
        longest = "d" * (self.info().limits.description_length or 0)
        with bench.open() as gateway:
            asked = self.request(bench.new_order(), bench.amount, **bench.usual_fields())
            gateway.create_charge(_described(asked, longest))
            bench.fault_gateway.clear()
            asked = self.request(bench.new_order(), bench.amount, **bench.usual_fields())
            assert type(error_of(lambda: gateway.create_charge(_described(asked, longest + "d")))) is InvalidRequest
        assert bench.fault_gateway.requests == []

    @needs(HOLDS)
    def test_a_charge_that_is_not_captured_is_authorized_and_not_paid(self, bench: Bench) -> None:
        """Held money is not a payment."""
        with bench.open() as gateway:
            order_id = bench.new_order()
            charge = bench.authorizable(gateway, order_id)
            if self.has("get_status"):
                found = gateway.get_status(bench.reference(charge, order_id))
                assert found.status is PaymentStatus.AUTHORIZED
                assert not says_paid(found)

    # Statuses.

    @essential
    def test_the_table_of_statuses_is_the_documented_one(self) -> None:
        """`raw_statuses` of the test class is a second reading of the gateway's pages."""
        assert self.raw_statuses, "raw_statuses: write the gateway's table of statuses into the test class"
        assert dict(self.info().raw_statuses) == dict(self.raw_statuses)

    @essential
    @needs(ASKED)
    def test_every_documented_status_is_read_as_documented(self, bench: Bench) -> None:
        """Only the paid ones make a charge paid."""
        wrong = []
        with bench.open() as gateway:
            for word, wanted in self.raw_statuses.items():
                found = self._with_status(bench, gateway, word)
                pending = {wanted} if wanted.is_final else {wanted, PaymentStatus.REQUIRES_ACTION}
                if found.status not in pending or found.raw_status != word:
                    wrong.append(f"{word} is read as {found.status} ({found.raw_status}), not {wanted}")
                if says_paid(found) and wanted is not PaymentStatus.SUCCEEDED:
                    wrong.append(f"{word} is read as paid")
        assert not wrong, "; ".join(wrong)

    @essential
    @needs(ASKED)
    def test_a_status_that_is_not_in_the_table_is_unknown(self, bench: Bench) -> None:
        """Neither paid nor failed, even if it differs from a known status only in case or by a suffix."""
        known = set(self.raw_statuses)
        words = {"unheard_of", "SUCCESS_REVERSED", "0"}
        words |= {word.swapcase() for word in known} | {f"{word}_2" for word in known}
        wrong = []
        with bench.open() as gateway:
            for word in sorted(words - known):
                found = self._with_status(bench, gateway, word)
                if found.status is not PaymentStatus.UNKNOWN or says_paid(found):
                    wrong.append(f"{word} is read as {found.status}")
        assert not wrong, "; ".join(wrong)

    def _with_status(self, bench: Bench, gateway: Any, word: str) -> Charge:
        order_id = bench.new_order()
        fields = {**bench.usual_fields(), **self.fields_for_status(word)}
        charge = bench.create(gateway, order_id, **fields)
        bench.sandbox.set_status(charge.reference.provider_id, word)
        return gateway.get_status(bench.reference(charge, order_id))  # type: ignore[no-any-return]

    @needs(ASKED)
    def test_a_paid_charge_is_paid_and_a_cancelled_one_is_not(self, bench: Bench) -> None:
        """The shop asks with the order, the amount and the id it has stored."""
        with bench.open() as gateway:
            order_id = bench.new_order()
            charge = bench.create(gateway, order_id)
            assert not says_paid(charge)
            assert not _confirmed(gateway, order_id, bench.amount, charge).is_paid
            bench.sandbox.pay(charge.reference.provider_id)
            assert _confirmed(gateway, order_id, bench.amount, charge).is_paid
            order_id = bench.new_order()
            charge = bench.create(gateway, order_id)
            bench.sandbox.cancel(charge.reference.provider_id)
            assert not _confirmed(gateway, order_id, bench.amount, charge).is_paid

    @needs(ASKED, Condition("its sandbox has no `decline_try`", lambda cls: cls.sandbox_has("decline_try")))
    def test_a_declined_try_leaves_the_charge_open(self, bench: Bench) -> None:
        """The shopper may try again on the same page, and pay after all."""
        with bench.open() as gateway:
            order_id = bench.new_order()
            charge = bench.create(gateway, order_id)
            bench.sandbox.decline_try(charge.reference.provider_id)  # type: ignore[attr-defined]
            found = _confirmed(gateway, order_id, bench.amount, charge)
            assert not found.status.is_final, f"a declined try is read as {found.status}, but the shopper may try again"
            bench.sandbox.pay(charge.reference.provider_id)
            assert _confirmed(gateway, order_id, bench.amount, charge).is_paid

    # Refusals.

    @essential
    def test_there_is_a_documented_refusal_to_test_with(self) -> None:
        """`refusals` of the test class must not be empty."""
        assert self.refusals, "refusals: give at least one documented answer that refuses a create"

    @essential
    def test_every_documented_refusal_is_raised(self, bench: Bench) -> None:
        """A refusal returned as a charge keeps the shopper waiting; one wrongly called definitive loses a charge."""
        for refusal in self.refusals:
            step = len(bench.steps("create_charge")) - 1
            with bench.open() as gateway:
                prepared = bench.prepare("create_charge", gateway)
                bench.inject(AtStep(faults.Answer(refusal.body, refusal.status, refusal.headers), step))
                error = error_of(prepared.call)
            assert type(error) is refusal.raises, f"{refusal.name}: {error!r}"
            if isinstance(error, Rejected):
                assert error.definitive is refusal.definitive, f"{refusal.name}: definitive"
                assert refusal.code is None or error.code is refusal.code, f"{refusal.name}: {error.code}"


def _confirmed(gateway: Any, order_id: str, amount: Money, charge: Charge) -> Charge:
    return gateway.confirm(order_id, amount, provider_id=charge.reference.provider_id)  # type: ignore[no-any-return]


def _refused_unsent(bench: Bench, gateway: Gateway, **fields: Any) -> None:
    """Check that a create with these fields is refused before anything is sent."""
    bench.fault_gateway.clear()
    assert type(error_of(lambda: bench.create(gateway, **fields))) is InvalidRequest, fields
    assert bench.fault_gateway.requests == []


def _described(request: ChargeRequest, description: str) -> ChargeRequest:
    return replace(request, description=description)


def fractions(body: bytes, exact: str) -> list[str]:
    """Return the numbers with a fraction or an exponent in a JSON body, except those written as `exact`."""
    found: list[str] = []
    if body[:1] in {b"{", b"["}:
        json.loads(body, parse_float=found.append)
    return [each for each in found if each != exact]
