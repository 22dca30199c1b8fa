"""Check how statuses and refusals are read: unknown statuses, documented refusals, and answers of strangers."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import Final

from payments_core import (
    Charge,
    NotFound,
    PaymentError,
    PaymentStatus,
    ProtocolViolation,
    Reference,
    Refund,
    RefundReference,
    Rejected,
)
from payments_core.testing import faults

from .bench import Bench, error_of
from .responses import Rewrite, at_last_request, other_id, record_answers, with_word
from .rules import ASKED, Rules, essential, needs

__all__ = ["Refusals"]

# A proxy's answer to an unknown path.
_PROXY_ANSWER: Final = b'{"message": "no Route matched with those values", "request_id": "0"}'


class Refusals(Rules):
    """Check unknown statuses, refusals, and charges that do not exist."""

    # Statuses.

    @essential
    def test_an_undocumented_status_is_unknown_in_every_answer(self, bench: Bench) -> None:
        """Whatever the operation, an unknown status is neither paid nor failed."""
        with bench.open() as gateway:
            for name in bench.operations():
                genuine = bench.prepare(name, gateway).call()
                rewrite = Rewrite(functools.partial(_with_unknown_status, raw=genuine.raw_status))
                played = at_last_request(bench, name, rewrite)
                prepared = bench.prepare(name, gateway)
                with bench.inject(played):
                    try:
                        result = prepared.call()
                    except PaymentError:
                        continue
                # An unchanged status was not read from this answer.
                assert result.raw_status == genuine.raw_status or result.status.value == "UNKNOWN", (
                    f"{name}: {result.raw_status!r}, in place of {genuine.raw_status!r}, is read as {result.status}"
                )

    @essential
    @needs(ASKED)
    def test_a_status_that_contains_a_known_one_is_unknown(self, bench: Bench) -> None:
        """`unpaid` ends with `paid`, and `paid_out` begins with it."""
        wrong = []
        with bench.open() as gateway:
            order_id = bench.new_order()
            reference = bench.reference(bench.create(gateway, order_id), order_id)
            # In JSON, spaces within a string are significant.
            spaced = _is_json(record_answers(bench, gateway, lambda: gateway.get_status(reference))[0].body)
            for word in self.raw_statuses:
                words = {f"un{word}", f"not_{word}", f"partially_{word}", f"{word}_out"}
                words |= {f" {word}", f"{word} "} if spaced else set()
                for each in sorted(words - set(self.raw_statuses)):
                    bench.sandbox.set_status(reference.provider_id, each)
                    try:
                        found = gateway.get_status(reference)
                    except ProtocolViolation:
                        continue
                    if found.status is not PaymentStatus.UNKNOWN:
                        wrong.append(f"{each!r} is read as {found.status}")
        assert not wrong, "; ".join(wrong)

    # Refusals.

    def test_a_4xx_of_a_proxy_is_not_read_as_the_gateway_s(self, bench: Bench) -> None:
        """A proxy may answer in JSON too, and knows nothing about the charge."""
        with bench.open() as gateway:
            for status in (400, 404, 409, 422):
                for name in bench.operations():
                    prepared = bench.prepare(name, gateway)
                    with bench.inject(faults.Answer(_PROXY_ANSWER, status)):
                        error = error_of(prepared.call)
                    said = f"{name}: a proxy's answer of {status} is read as the gateway's"
                    assert type(error) is not NotFound, f"{said}: {error!r}"
                    assert not (isinstance(error, Rejected) and error.definitive), (
                        f"{said} definitive refusal: {error!r}"
                    )

    @essential
    def test_no_operation_succeeds_when_the_gateway_refuses(self, bench: Bench) -> None:
        """A refused capture reported as a payment gives the goods away."""
        with bench.open() as gateway:
            for refusal in self.refusals:
                answer = faults.Answer(refusal.body, refusal.status, refusal.headers)
                for name in bench.operations():
                    played = at_last_request(bench, name, answer)
                    prepared = bench.prepare(name, gateway)
                    with bench.inject(played):
                        try:
                            result = prepared.call()
                        except PaymentError:
                            continue
                    # A movement may also be reported as failed, but a query may not.
                    failed = name in {"complete_charge", "refund_charge"} and result.status.value == "FAILED"
                    assert failed, f"{name}: the gateway refused ({refusal.name}), but it returned {result!r}"

    @essential
    @needs(ASKED)
    def test_a_charge_that_is_not_found_has_not_failed(self, bench: Bench) -> None:
        """Its create may still be in flight: a final status would invite a second charge."""
        with bench.open() as gateway:
            order_id, missing = bench.new_order(), bench.new_order()
            charge = bench.paid(gateway, order_id)
            asked: list[Callable[[], Charge | Refund]] = [lambda: gateway.get_status(Reference(missing))]
            if "order_id" not in self.info().query_by:
                stranger = other_id(charge.reference.provider_id)
                asked = [lambda: gateway.get_status(Reference(provider_id=stranger))]
            if "get_refund" in self.info().operations:
                wanted = RefundReference(f"refund-{missing}", "", bench.reference(charge, order_id))
                asked.append(lambda: gateway.get_refund(wanted))
            for ask in asked:
                try:
                    result = ask()
                except PaymentError:
                    continue
                assert result.status.value in {"UNKNOWN", "PENDING"}, (
                    f"a charge that the gateway does not know is reported as {result.status}: {result!r}"
                )


def _with_unknown_status(body: bytes, *, raw: str) -> bytes:
    """Replace a raw status in the body by an unknown word, or each part of one that was composed."""
    for words in ([raw], re.split(r"\W+", raw)):
        changed = body
        for word in filter(None, words):
            changed = with_word(changed, word, "98765" if word.isdigit() else "unheard_of")
        if changed != body:
            return changed
    return body


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True
