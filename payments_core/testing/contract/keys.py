"""Check ids and idempotency keys: each charge is found by its ids, and one order is one charge."""

from __future__ import annotations

import contextlib
import re
import string
from typing import Final

from msgspec.structs import replace

from payments_core import (
    AuthorizationRejected,
    CaptureRequest,
    Duplicates,
    Gateway,
    InvalidRequest,
    Money,
    OutcomeUnknown,
    PaymentStatus,
    ProtocolViolation,
    Reference,
    RefundReference,
    RefundRequest,
    Rejected,
)
from payments_core.testing import faults
from payments_core.testing._exchanges import FrozenClock
from payments_core.testing.faults import Fault

from .bench import AtStep, Bench, Tap, error_of, fail_on_error
from .rules import ASKED, ASKS_REFUNDS, ONE_CHARGE, REFUNDS, Condition, Rules, essential, needs

__all__ = ["Keys"]

# Seconds until a create is repeated, by another tab or a restarted shop, if no lifetime is documented.
_SOON: Final = 3600.0
# Errors with which a gateway may refuse a changed request, or one signed in its future.
_REFUSED: Final = (Rejected, AuthorizationRejected, OutcomeUnknown, ProtocolViolation)
_OF_A_CHARGE: Final = frozenset({"capture_charge", "cancel_charge", "refund_charge"})


def _clock(ahead: float) -> FrozenClock:
    """Return the clock of another process, which is ahead and has another nonce."""
    return FrozenClock(ahead, nonce=f"{int(ahead):032x}")


class Keys(Rules):
    """Check how charges are identified, and kept from being duplicated."""

    # Ids.

    @essential
    @needs(ASKED)
    def test_a_charge_is_found_by_each_id_that_is_declared(self, bench: Bench) -> None:
        """After a lost create, the shop has only the order id."""
        with bench.open() as gateway:
            order_id = bench.new_order()
            provider_id = bench.paid(gateway, order_id).reference.provider_id
            for field in sorted(self.info().query_by):
                with fail_on_error(f"query_by has {field}, but a query by it alone finds nothing"):
                    found = gateway.get_status(_by(field, order_id, provider_id))
                assert found.reference.provider_id in {"", provider_id}, f"a query by {field} finds another charge"
                assert found.status is PaymentStatus.SUCCEEDED, (
                    f"a query by {field} finds the paid charge as {found.status}"
                )

    @needs(REFUNDS, ASKS_REFUNDS)
    def test_a_refund_is_found_by_each_of_its_ids(self, bench: Bench) -> None:
        """After a lost refund, the shop has only its own id; an id that cannot be used is refused before it is sent."""
        with bench.open() as gateway:
            order_id = bench.new_order()
            reference, refund_id = bench.reference(bench.paid(gateway, order_id), order_id), f"refund-{order_id}"
            refund = gateway.refund_charge(RefundRequest(reference, refund_id, bench.quarter(bench.amount)))
            asked = {"refund_id": RefundReference(refund_id, "", reference)}
            if refund.provider_id:
                asked["provider_id"] = RefundReference("", refund.provider_id, reference)
            refused = []
            for field, each in asked.items():
                try:
                    with fail_on_error(f"a refund is not found by its {field} alone", but=(InvalidRequest,)):
                        found = gateway.get_refund(each)
                except InvalidRequest:
                    refused.append(field)
                else:
                    assert found.provider_id in {"", refund.provider_id}, f"a query by {field} finds another refund"
        assert len(refused) < len(asked), f"a refund can be queried by none of its ids: {', '.join(refused)}"

    @needs(
        Condition(
            "none of capture_charge, cancel_charge and refund_charge is declared",
            lambda cls: bool(_OF_A_CHARGE & cls.info().operations),
        )
    )
    def test_every_operation_takes_each_id_that_is_declared(self, bench: Bench) -> None:
        """Or refuses it before anything is sent: an ignored id could select any charge."""
        with bench.open() as gateway:
            for name in sorted(_OF_A_CHARGE & self.info().operations):
                for field in sorted(self.info().query_by):
                    try:
                        with fail_on_error(f"{name}, of a charge named by its {field} alone", but=(InvalidRequest,)):
                            order_id = self._run_on(bench, gateway, name, field)
                    except InvalidRequest:
                        continue
                    bench.settle(order_id)
                    held = list(bench.sandbox.charges(order_id))
                    moved = {
                        "capture_charge": ([each.captured for each in held], [bench.amount]),
                        "refund_charge": ([each.refunded for each in held], [bench.quarter(bench.amount)]),
                    }
                    found, wanted = moved.get(name, (0, 0))
                    assert found == wanted, f"{name}, of a charge named by its {field} alone: the gateway holds {held}"

    def _run_on(self, bench: Bench, gateway: Gateway, operation: str, field: str) -> str:
        """Run the operation on a suitable charge, named by one of its ids, and return its order id."""
        prepared = bench.prepare(operation, gateway)
        (argument,) = prepared.arguments
        ids = argument if isinstance(argument, Reference) else argument.reference
        named = _by(field, ids.order_id, ids.provider_id)
        getattr(gateway, operation)(named if argument is ids else replace(argument, reference=named))
        return prepared.order_id

    def test_ids_that_are_alike_are_different_orders(self, bench: Bench) -> None:
        """Truncated, case-folded or stripped ids would merge two orders into one charge."""
        families: list[tuple[str, ...]] = [(bench.new_order(), bench.new_order()), self._long(bench)]
        for ends in (("a", "A"), ("-1", "_1", ".1")):
            order_id = bench.new_order()
            families.append(tuple(order_id + end for end in ends))
        with bench.open() as gateway:
            for family in families:
                orders = [each for each in family if self._fits(each)]
                made: dict[str, str] = {}
                for order_id in orders if len(orders) > 1 else ():
                    beside = f" beside {', '.join(made)}" if made else ""
                    with fail_on_error(f"info.limits allows {order_id}, but it cannot be charged{beside}"):
                        bench.create(gateway, order_id)
                    held = [each.provider_id for each in bench.sandbox.charges(order_id)]
                    assert len(held) == 1, f"{order_id}, of {orders}: the gateway has {len(held)} charges of it"
                    made[order_id] = held[0]
                assert len(set(made.values())) == len(made), f"{', '.join(made)} are one charge"

    def _long(self, bench: Bench) -> tuple[str, ...]:
        """Return two ids of the maximum length that differ in their last character."""
        own, most = bench.new_order(), min(self.info().limits.order_id_length, 255)
        stem = own.ljust(most, own[-1])[:-1]
        ends = dict.fromkeys(own[-1] + own + string.digits + string.ascii_letters)
        return tuple(stem + end for end in ends if self._fits(stem + end))[:2]

    def _fits(self, order_id: str) -> bool:
        limits = self.info().limits
        return len(order_id) <= limits.order_id_length and (
            not limits.order_id_pattern or re.fullmatch(limits.order_id_pattern, order_id) is not None
        )

    # Keys of refunds and captures.

    @needs(REFUNDS)
    def test_two_refunds_of_one_amount_are_two_refunds(self, bench: Bench) -> None:
        """Their ids tell them apart, to the last character; a key of charge and amount would merge them."""
        part = bench.quarter(bench.amount)
        usual, long, short = (f"refund-{bench.new_order()}" for _ in range(3))
        families = [(usual, f"refund-{bench.new_order()}"), (f"{short}a", f"{short}A")]
        families.append((long.ljust(59, "0") + "1", long.ljust(59, "0") + "2"))
        for family in families:
            order_id = bench.new_order()
            with bench.open() as gateway:
                reference = bench.reference(bench.paid(gateway, order_id), order_id)
                first, second = (RefundRequest(reference, refund_id, part) for refund_id in family)
                try:
                    gateway.refund_charge(first)
                except (InvalidRequest, Rejected):
                    assert usual not in family, f"a refund of {part}, of a paid charge of {bench.amount}, is refused"
                    continue  # the gateway does not accept such ids
                with fail_on_error(f"two refunds of {part}, {' and '.join(family)}, of one charge"):
                    gateway.refund_charge(second)
            held = [each.refunded for each in bench.sandbox.charges(order_id)]
            assert held == [Money(minor=2 * part.minor, currency=part.currency)], (
                f"two refunds of {part} were requested, and the gateway has refunded {held}"
            )

    @needs(
        Condition(
            "neither refund_charge nor capture_charge is declared",
            lambda cls: bool({"refund_charge", "capture_charge"} & cls.info().operations),
        )
    )
    def test_one_id_for_an_order_and_its_refund_is_two_keys(self, bench: Bench) -> None:
        """A shop may number both alike; a refund is never taken for a repetition of its charge."""
        part = bench.quarter(bench.amount)
        with bench.open() as gateway:
            if "refund_charge" in self.info().operations:
                order_id = bench.new_order()
                reference = bench.reference(bench.paid(gateway, order_id), order_id)
                with fail_on_error("a refund that has its order's id cannot be made"):
                    gateway.refund_charge(RefundRequest(reference, order_id, part))
                held = [each.refunded for each in bench.sandbox.charges(order_id)]
                assert held == [part], f"a refund of {part} that has its order's id: the gateway has refunded {held}"
            if "capture_charge" in self.info().operations:
                order_id = bench.new_order()
                reference = bench.reference(bench.authorizable(gateway, order_id), order_id)
                with fail_on_error("a capture that has its order's id cannot be made"):
                    gateway.capture_charge(CaptureRequest(reference, order_id, bench.amount))
                bench.settle(order_id)
                held = [each.captured for each in bench.sandbox.charges(order_id)]
                assert held == [bench.amount], f"a capture that has its order's id: the gateway has captured {held}"

    # Keys of creates.

    @essential
    @needs(ONE_CHARGE)
    def test_the_identical_call_is_one_charge_whatever_the_provider_s_clock_says(self, bench: Bench) -> None:
        """A key that includes the time or the nonce changes when the call is repeated."""
        lifetime = self.info().key_lifetime or _SOON
        order_id = bench.new_order()
        request = self.request(order_id, bench.amount, **bench.usual_fields())
        with bench.open(clock=_clock(0)) as gateway:
            gateway.create_charge(request)
        for ahead in (lifetime / 2, max(lifetime - 60, lifetime * 0.9)):
            with bench.open(clock=_clock(ahead)) as gateway, contextlib.suppress(*_REFUSED):
                gateway.create_charge(request)
            held = len(bench.sandbox.charges(order_id))
            assert held == 1, f"{held} charges: repeated {ahead:g} s later, the call has another key"

    @essential
    @needs(ONE_CHARGE)
    def test_one_order_is_one_charge_whatever_page_the_shopper_comes_from(self, bench: Bench) -> None:
        """The key depends on the order id alone: another page or text is a second tab, not a second order."""
        order_id = bench.new_order()
        request = self.request(order_id, bench.amount, **bench.usual_fields())
        pages = [f"https://shop.example/session/{number}" for number in (1, 2)]
        tabs = [replace(request, return_url=page, description=f"Tea {page[-1]}") for page in pages]
        with bench.open() as gateway:
            gateway.create_charge(tabs[0])
            for again in (tabs[1], replace(request, amount=bench.quarter(bench.amount))):
                with contextlib.suppress(*_REFUSED):
                    gateway.create_charge(again)
                held = [str(each.amount) for each in bench.sandbox.charges(order_id)]
                assert len(held) == 1, (
                    f"one order is {len(held)} charges, {' and '.join(held)}: derive the key from the order id alone"
                )

    @essential
    def test_a_refused_create_is_sent_once_and_a_repeated_one_is_the_same(self, bench: Bench) -> None:
        """Hooks never retry; the core does, with the same bytes and the same key."""
        answers: dict[str, Fault] = {"an HTML page": faults.HTML(), "an empty object": faults.Answer(b"{}")}
        answers |= {each.name: faults.Answer(each.body, each.status, each.headers) for each in self.refusals}
        steps = bench.steps("create_charge")
        last = bench.last_unsafe("create_charge")
        wanted = sum(not each.safe for each in steps[: last + 1])
        seen = Tap()
        with bench.open(plugins=[seen], clock=FrozenClock()) as gateway:
            for name, answer in answers.items():
                prepared = bench.prepare("create_charge", gateway)
                seen.requests.clear()
                with bench.inject(AtStep(answer, last)):
                    error_of(prepared.call)
                sent = [each for each in seen.requests if not each.safe]
                kinds = [each for place, each in enumerate(sent) if each not in sent[:place]]
                assert len(kinds) <= wanted, f"after {name} the create was sent again, but not as the same request"
                assert len(sent) <= wanted or all(each.idempotent for each in sent), (
                    f"after {name} a create that is not idempotent was sent {len(sent)} times"
                )

    def test_an_idempotent_create_declares_how_long_its_key_lives(self, bench: Bench) -> None:
        """After that time, a repetition is a second charge."""
        unsafe = [each for each in bench.steps("create_charge") if not each.safe]
        idempotent, info = all(each.idempotent for each in unsafe), self.info()
        allowed = {
            Duplicates.SAME_FOR_KEY_LIFETIME: {True},
            Duplicates.SAME: {True},
            Duplicates.REFUSED: {True} if info.key_lifetime is not None else {True, False},
            Duplicates.UNDOCUMENTED: {False},
        }
        assert idempotent in allowed[info.duplicates or Duplicates.UNDOCUMENTED], (
            f"the create is{'' if idempotent else ' not'} marked idempotent, and info.key_lifetime is "
            f"{info.key_lifetime}, info.duplicates {info.duplicates}: declare what a second create does, and for how "
            "many seconds the gateway makes one charge of the same create (for ever: give some years)"
        )


def _by(field: str, order_id: str, provider_id: str) -> Reference:
    """Return a reference with one of the two ids."""
    return Reference(order_id) if field == "order_id" else Reference(provider_id=provider_id)
