"""Break answers, money, ids and keys on purpose; the intended test of the contract must notice each mistake."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime

import msgspec
import pytest
from msgspec.structs import replace

from payments_core import (
    Authorization,
    CaptureRequest,
    Charge,
    ChargeRequest,
    Context,
    Flow,
    Money,
    NotFound,
    PaymentStatus,
    ProtocolViolation,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
    RefundStatus,
    Rejected,
    hookimpl,
)
from payments_core.testing import fake
from payments_core.testing.contract import ProviderContract, Refusal
from payments_core.testing.contract.answers import Answers
from payments_core.testing.contract.bench import Bench
from payments_core.testing.contract.keys import Keys
from payments_core.testing.contract.movements import Movements
from payments_core.testing.contract.refusals import Refusals
from payments_core.testing.contract.rules import applies
from payments_core.testing.fake import FakeProvider
from payments_core.testing.fake_gateway import make
from payments_core.testing.faults import FaultGateway

BREAKAGES = []


def noticed_by(test, says):
    """Enter a broken provider into the table: the test that must fail on it, and what the test must say."""

    def enter(broken):
        BREAKAGES.append(pytest.param(broken, test, says, id=broken.__name__))
        return broken

    return enter


def create(provider, authorization, request):
    """The create that the fake sends."""
    return next(FakeProvider.create_charge(provider, authorization, request))


# Reading answers.


@noticed_by("test_an_answer_about_another_charge_is_a_mismatch", "read the ids from the answer")
class CopiesTheReference(FakeProvider):
    """Returns the ids that were asked for, so that an answer about another charge marks this one paid."""

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        charge = yield from super().get_status(authorization, reference)
        return replace(charge, reference=reference)


@noticed_by(
    "test_nothing_in_a_charge_is_copied_from_the_request",
    "asked for 88.00 HKD, the answer was about 22.00 HKD, and was read as 88.00 HKD",
)
class CopiesTheAmount(FakeProvider):
    """Returns the amount of the request, so that another one in the answer is never noticed."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        charge = yield from super().create_charge(authorization, request)
        return replace(charge, amount=request.amount)


@noticed_by("test_nothing_in_a_charge_is_copied_from_the_request", "the charge has the order id ORDER0000")
class CopiesTheOrderId(FakeProvider):
    """Returns the order id of the request, so that an answer about another order is taken for this one's."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        charge = yield from super().create_charge(authorization, request)
        return replace(charge, reference=Reference(request.order_id, charge.reference.provider_id))


class Lenient(FakeProvider):
    """Reads answers field by field, and fills in what it does not find."""

    def filled(self, found, request):
        return found

    def read(self, response, request=None):
        if response.status >= 300:
            return fake._read(response, fake._Charge)
        found = response.decode(json.loads)
        return response.decode(lambda _: msgspec.convert(self.filled(found, request), fake._Charge))

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        response = yield create(self, authorization, request)
        return self._charge(self.read(response, request))

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        response = yield self._get("/charges", fake._ids(reference), authorization)
        return self._charge(self.read(response))


@noticed_by(
    "test_nothing_in_a_charge_is_copied_from_the_request", "about 22.00 HKD, without amount, and was read as 88.00"
)
class AmountDefaultsToTheRequest(Lenient):
    """Takes an answer without an amount for one about what was asked for."""

    def filled(self, found, request):
        return ({"amount": request.amount.minor} if request else {}) | found


@noticed_by(
    "test_nothing_in_a_charge_is_copied_from_the_request", "about 8800 JPY, without currency, and was read as 88.00"
)
class CurrencyDefaultsToHKD(Lenient):
    """Takes an answer without a currency for one in HKD."""

    def filled(self, found, request):
        return {"currency": "HKD"} | found


@noticed_by("test_no_field_of_an_answer_is_made_up", "create_charge: without status in its answer the charge, which is")
class StatusDefaultsToPaid(Lenient):
    """Takes an answer without a status for a payment."""

    def filled(self, found, request):
        return {"status": "paid"} | found


@noticed_by("test_no_field_of_an_answer_is_made_up", "get_status: without currency in its answer the charge, of 88")
class CurrencyDefaultsToHKDWhereItAsks(CurrencyDefaultsToHKD):
    """Takes the answer to a question without a currency for one in HKD."""

    def filled(self, found, request):
        return found if request else super().filled(found, request)


@noticed_by(
    "test_an_amount_with_too_many_decimals_is_not_truncated", "88.00 HKD with a digit too many is read as 88.00 HKD"
)
class TruncatesFractions(Lenient):
    """Reads an amount of 8800.7 as 8800."""

    def filled(self, found, request):
        return found | {"amount": int(found.get("amount", 0))}


@noticed_by(
    "test_a_refund_is_read_from_the_answer", "22.00 HKD was refunded, as the answer said, and 44.00 HKD is reported"
)
class CopiesTheRefund(FakeProvider):
    """Returns the amount of the refund that was asked for, and a refund of less is told as whole."""

    @hookimpl
    def refund_charge(self, authorization: Authorization, request: RefundRequest) -> Flow[Refund]:
        refund = yield from super().refund_charge(authorization, request)
        return replace(refund, amount=request.amount)


@noticed_by(
    "test_a_refund_is_read_from_the_answer", "22.00 HKD was refunded, as the answer said, and 44.00 HKD is reported"
)
class LooksFirstAndCopiesTheRefund(FakeProvider):
    """Looks at what was refunded so far before it refunds, and returns the amount that was asked for."""

    @hookimpl
    def refund_charge(self, authorization: Authorization, request: RefundRequest) -> Flow[Refund]:
        held = yield from super().get_status(authorization, request.reference)
        if held.refunded.minor:
            raise Rejected("it is refunded")
        refund = yield from super().refund_charge(authorization, request)
        return replace(refund, amount=request.amount)


UNHEARD_OF = "test_an_undocumented_status_is_unknown_in_every_answer"


@noticed_by(UNHEARD_OF, "create_charge: 'unheard_of', in place of 'open', is read as SUCCEEDED")
class UnknownIsPaidOnCreate(FakeProvider):
    """Takes a word that is in no table for a payment, in the answer to a create."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        charge = yield from super().create_charge(authorization, request)
        return replace(charge, status=PaymentStatus.SUCCEEDED) if charge.status == "UNKNOWN" else charge


@noticed_by(UNHEARD_OF, "create_charge: 'unheard_of', in place of 'open', is read as REQUIRES_ACTION")
class ActionWins(FakeProvider):
    """Takes any answer with a page for a charge that can be paid, whatever its status."""

    def _charge(self, found):
        charge = super()._charge(found)
        return replace(charge, status=PaymentStatus.REQUIRES_ACTION) if charge.next_action else charge


@noticed_by(UNHEARD_OF, "capture_charge: 'unheard_of', in place of 'paid', is read as SUCCEEDED")
class CaptureAlwaysPaid(FakeProvider):
    """Tells every answer to a capture as a payment."""

    @hookimpl
    def capture_charge(self, authorization: Authorization, request: CaptureRequest) -> Flow[Charge]:
        charge = yield from super().capture_charge(authorization, request)
        return replace(charge, status=PaymentStatus.SUCCEEDED)


@noticed_by(UNHEARD_OF, "refund: 'unheard_of', in place of 'succeeded', is read as SUCCEEDED")
class RefundAlwaysSucceeded(FakeProvider):
    """Tells a refund that has failed, or waits, as made."""

    def _refund(self, found):
        return replace(super()._refund(found), status=RefundStatus.SUCCEEDED)


@noticed_by(UNHEARD_OF, "refund: 'unheard_of', in place of 'succeeded', is read as FAILED")
class UnknownRefundIsFailed(FakeProvider):
    """Tells a refund whose word is in no table as failed, and the shop refunds again."""

    def _refund(self, found):
        refund = super()._refund(found)
        return replace(refund, status=RefundStatus.FAILED) if refund.status == "UNKNOWN" else refund


@noticed_by("test_a_status_that_contains_a_known_one_is_unknown", "'unpaid' is read as SUCCEEDED")
class EndsWith(FakeProvider):
    """Takes whatever ends with `paid` for paid."""

    def _charge(self, found):
        word = "paid" if found.status.endswith("paid") else found.status
        return replace(super()._charge(replace(found, status=word)), raw_status=found.status)


@noticed_by("test_a_status_that_contains_a_known_one_is_unknown", "'paid ' is read as SUCCEEDED")
class StripsTheStatus(FakeProvider):
    """Takes a word between spaces for the word."""

    def _charge(self, found):
        return replace(super()._charge(replace(found, status=found.status.strip())), raw_status=found.status)


@noticed_by(
    "test_a_4xx_of_a_proxy_is_not_read_as_the_gateway_s", "get_status: a proxy's answer of 404 is read as the gateway's"
)
class Any404IsNotFound(FakeProvider):
    """Takes any 404 in JSON for the gateway's, and the shop concludes that there never was a charge."""

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        response = yield self._get("/charges", fake._ids(reference), authorization)
        if response.status == 404 and response.decode(json.loads):
            raise NotFound("no such charge")
        return self._charge(fake._read(response, fake._Charge))


@noticed_by("test_a_4xx_of_a_proxy_is_not_read_as_the_gateway_s", "create_charge: a proxy's answer of 400 is read as")
class Any4xxIsDefinitive(FakeProvider):
    """Takes any 4xx in JSON for a definitive no."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        response = yield create(self, authorization, request)
        if response.status >= 400 and "error" not in response.decode(json.loads):
            raise Rejected("no", definitive=True)
        return self._charge(fake._read(response, fake._Charge))


SAYS_NO = "test_no_operation_succeeds_when_the_gateway_refuses"


@noticed_by(SAYS_NO, "refund_charge: the gateway refused (declined), but it returned Refund(")
class SwallowsARefusedRefund(FakeProvider):
    """Tells a refund that the gateway refuses as waiting."""

    @hookimpl
    def refund_charge(self, authorization: Authorization, request: RefundRequest) -> Flow[Refund]:
        try:
            return (yield from super().refund_charge(authorization, request))
        except Rejected as no:
            return Refund("fake", request.refund_id, "", None, RefundStatus.PENDING, no.raw_code, None)


@noticed_by(SAYS_NO, "capture_charge: the gateway refused (declined), but it returned Charge(")
class SwallowsARefusedCapture(FakeProvider):
    """Tells a capture that the gateway refuses as a payment: the goods are sent, and the money is not there."""

    @hookimpl
    def capture_charge(self, authorization: Authorization, request: CaptureRequest) -> Flow[Charge]:
        try:
            return (yield from super().capture_charge(authorization, request))
        except Rejected as no:
            return Charge("fake", request.reference, PaymentStatus.SUCCEEDED, no.raw_code, request.amount)


@noticed_by(SAYS_NO, "cancel_charge: the gateway refused (declined), but it returned Charge(")
class SwallowsARefusedCancellation(FakeProvider):
    """Tells a cancellation that the gateway refuses as made."""

    @hookimpl
    def cancel_charge(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        try:
            return (yield from super().cancel_charge(authorization, reference))
        except Rejected as no:
            return Charge("fake", reference, PaymentStatus.CANCELLED, no.raw_code, None)


@noticed_by(
    "test_a_charge_that_is_not_found_has_not_failed",
    "a charge that the gateway does not know is reported as FAILED: Charge(",
)
class NotFoundIsFailed(FakeProvider):
    """Tells a charge that is not found as failed, although its create may still be on the way."""

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        try:
            return (yield from super().get_status(authorization, reference))
        except NotFound:
            return Charge("fake", reference, PaymentStatus.FAILED, "not_found", None)


@noticed_by(
    "test_a_charge_that_is_not_found_has_not_failed",
    "a charge that the gateway does not know is reported as FAILED: Refund(",
)
class RefundNotFoundIsFailed(FakeProvider):
    """Tells a refund that is not found as failed, and it is made again under another id."""

    @hookimpl
    def get_refund(self, authorization: Authorization, reference: RefundReference) -> Flow[Refund]:
        try:
            return (yield from super().get_refund(authorization, reference))
        except NotFound:
            return Refund("fake", reference.refund_id, "", None, RefundStatus.FAILED, "not_found", None)


@noticed_by("test_every_time_is_aware", "paid_at is naive")
class NaiveTimes(FakeProvider):
    """Says when a charge was paid by a clock of nowhere."""

    def _charge(self, found):
        return replace(super()._charge(found), paid_at=datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is broken


@noticed_by("test_an_open_charge_says_what_the_shopper_does_next", "is PENDING has no next action: nobody can pay it")
class ForgetsThePage(FakeProvider):
    """Drops the page on which the shopper pays."""

    def _charge(self, found):
        return super()._charge(replace(found, pay_url=None))


# Money moves as it was asked for, and only so.


def through_a_float(minor):
    return int(minor / 100 * 100)


def by_a_float(amount):
    return int(float(amount.text) * 10**amount.exponent)


@noticed_by("test_no_digit_is_lost_on_the_way_back", "the gateway holds ['32.05 HKD'], and its answer said: ")
class FloatsWhereItReads(FakeProvider):
    """Reads every amount through a float."""

    def _charge(self, found):
        return super()._charge(replace(found, amount=through_a_float(found.amount)))


@noticed_by("test_no_digit_is_lost_on_the_way_back", "32.05 HKD was paid, and is not recognized")
class FloatsWhereItAsks(FakeProvider):
    """Reads the amount through a float where it asks, and there only."""

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        charge = yield from super().get_status(authorization, reference)
        return replace(
            charge, amount=Money(minor=through_a_float(charge.amount.minor), currency=charge.amount.currency)
        )


@noticed_by("test_no_digit_is_lost_on_the_way_back", "88.000 KWD was paid, and is not recognized")
class DinarWhereItAsks(FakeProvider):
    """Takes the dinar for a currency of two decimals where it asks, and no order in it is ever confirmed."""

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        charge = yield from super().get_status(authorization, reference)
        found = charge.amount
        return (
            replace(charge, amount=Money(minor=found.minor * 10, currency="KWD")) if found.currency == "KWD" else charge
        )


class Refunds(FakeProvider):
    """Refunds another amount than it was asked for."""

    def instead(self, amount):
        raise NotImplementedError

    @hookimpl
    def refund_charge(self, authorization: Authorization, request: RefundRequest) -> Flow[Refund]:
        return (yield from super().refund_charge(authorization, replace(request, amount=self.instead(request.amount))))


@noticed_by("test_no_digit_of_a_refund_is_lost_in_any_currency", "the gateway has refunded [Money(minor=")
class FloatsInRefunds(Refunds):
    """Refunds a cent too little."""

    def instead(self, amount):
        return Money(minor=by_a_float(amount), currency=amount.currency)


@noticed_by("test_no_digit_of_a_refund_is_lost_in_any_currency", "asked to refund 22.000 KWD, the gateway has refunded")
class DinarInRefunds(Refunds):
    """Refunds a tenth of what was paid in dinars."""

    def instead(self, amount):
        return Money(minor=amount.minor // 10, currency="KWD") if amount.currency == "KWD" else amount


@noticed_by("test_no_digit_of_a_refund_is_lost_in_any_currency", "asked to refund 22 JPY, the gateway has refunded")
class RefundsInHKD(Refunds):
    """Refunds HKD, whatever was paid."""

    def instead(self, amount):
        return Money(minor=amount.minor, currency="HKD")


PART = "test_a_part_is_captured_and_no_more"


@noticed_by(
    PART, "asked to capture 32.05 HKD of 88.00 HKD, the gateway has captured [Money(minor=3204, currency='HKD')]"
)
class FloatsInCaptures(FakeProvider):
    """Captures a cent too little."""

    @hookimpl
    def capture_charge(self, authorization: Authorization, request: CaptureRequest) -> Flow[Charge]:
        asked = replace(request, amount=Money(minor=by_a_float(request.amount), currency=request.amount.currency))
        return (yield from super().capture_charge(authorization, asked))


@noticed_by(
    PART, "asked to capture 22.00 HKD of 88.00 HKD, the gateway has captured [Money(minor=8800, currency='HKD')]"
)
class CapturesAll(FakeProvider):
    """Captures all that is held, whatever was asked for."""

    @hookimpl
    def capture_charge(self, authorization: Authorization, request: CaptureRequest) -> Flow[Charge]:
        held = yield from super().get_status(authorization, request.reference)
        return (yield from super().capture_charge(authorization, replace(request, amount=held.amount)))


@noticed_by(PART, "22.00 HKD was captured of 88.00 HKD, and it is reported as paid")
class CapturedIsAll(FakeProvider):
    """Tells whatever was captured as the whole amount."""

    def _charge(self, found):
        return super()._charge(replace(found, captured=found.amount if found.captured else 0))


@noticed_by(
    "test_special_characters_in_a_description_change_nothing_else", "a charge for 'Tea \"for two\"' cannot be made"
)
class WritesJSONByHand(FakeProvider):
    """Puts the description between two quotes, and one more in a product's name ends it."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        sent = create(self, authorization, replace(request, description="TEXT"))
        response = yield replace(sent, body=sent.body.replace(b"TEXT", request.description.encode()))
        return self._charge(fake._read(response, fake._Charge))


@noticed_by("test_special_characters_in_a_description_change_nothing_else", "a charge for '一杯茶 é' cannot be made")
class EncodesInLatin1(FakeProvider):
    """Sells nothing that has a name in Chinese."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        request.description.encode("latin-1")
        return (yield from super().create_charge(authorization, request))


@noticed_by("test_no_method_takes_money_that_was_to_be_held", "card: with capture=False the gateway has taken")
class CardAlwaysCaptures(FakeProvider):
    """Forgets capture=False for cards."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        asked = replace(request, capture=request.capture or request.method == "card")
        return (yield from super().create_charge(authorization, asked))


@noticed_by("test_a_cancelled_charge_can_no_longer_be_paid", "could still be paid: it is SUCCEEDED")
class CancelsNothing(FakeProvider):
    """Asks for the charge in place of cancelling it, and says that it is cancelled."""

    @hookimpl
    def cancel_charge(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        asked = self._get("/charges", fake._ids(reference), authorization)
        response = yield replace(asked, safe=False, idempotent=True)
        charge = self._charge(fake._read(response, fake._Charge))
        return replace(charge, status=PaymentStatus.CANCELLED, next_action=None)


@noticed_by("test_a_cancellation_takes_no_money_that_is_held", "cancelling a held charge has taken")
class CancelCaptures(FakeProvider):
    """Captures what is held where it was to be given free."""

    @hookimpl
    def cancel_charge(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        charge = yield from super().get_status(authorization, reference)
        if charge.status is PaymentStatus.AUTHORIZED:
            return (yield from super().capture_charge(authorization, CaptureRequest(reference, "x", charge.amount)))
        return (yield from super().cancel_charge(authorization, reference))


TOO_LATE = "test_a_late_cancellation_reports_the_paid_charge"


@noticed_by(TOO_LATE, "its cancellation came too late, and it is reported as CANCELLED")
class CancelIsAlwaysCancelled(FakeProvider):
    """Tells a charge as cancelled, also where it is paid."""

    @hookimpl
    def cancel_charge(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        charge = yield from super().cancel_charge(authorization, reference)
        return replace(charge, status=PaymentStatus.CANCELLED)


@noticed_by(TOO_LATE, "cancelling a paid charge moved its money")
class CancelRefunds(FakeProvider):
    """Gives the money of a paid charge back."""

    @hookimpl
    def cancel_charge(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        charge = yield from super().cancel_charge(authorization, reference)
        if charge.status is PaymentStatus.SUCCEEDED:
            yield from super().refund_charge(authorization, RefundRequest(reference, "void", charge.amount))
        return charge


# Ids and keys.


@noticed_by(
    "test_a_charge_is_found_by_each_id_that_is_declared", "query_by has order_id, but a query by it alone finds nothing"
)
class AsksByProviderIdOnly(FakeProvider):
    """Drops the order id where it asks, and after a lost create nobody can ask."""

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        response = yield self._get("/charges", fake._given(id=reference.provider_id), authorization)
        return self._charge(fake._read(response, fake._Charge))


@noticed_by("test_a_refund_is_found_by_each_of_its_ids", "a refund is not found by its refund_id alone")
class AsksForRefundsByProviderIdOnly(FakeProvider):
    """Drops the refund id where it asks, and after a lost refund nobody can ask."""

    @hookimpl
    def get_refund(self, authorization: Authorization, reference: RefundReference) -> Flow[Refund]:
        response = yield self._get("/refunds", fake._given(id=reference.provider_id), authorization)
        return self._refund(fake._read(response, fake._Refund))


EACH_ID = "test_every_operation_takes_each_id_that_is_declared"


@noticed_by(EACH_ID, "capture_charge, of a charge named by its order_id alone")
class CapturesByProviderIdOnly(FakeProvider):
    """Drops the order id where it captures."""

    @hookimpl
    def capture_charge(self, authorization: Authorization, request: CaptureRequest) -> Flow[Charge]:
        body = {**fake._given(id=request.reference.provider_id), **self._money(request.amount)}
        response = yield self._post("/captures", body, authorization, key=request.capture_id)
        return self._charge(fake._read(response, fake._Charge))


@noticed_by(EACH_ID, "refund_charge, of a charge named by its order_id alone")
class RefundsByProviderIdOnly(FakeProvider):
    """Drops the order id where it refunds."""

    @hookimpl
    def refund_charge(self, authorization: Authorization, request: RefundRequest) -> Flow[Refund]:
        ids = {**fake._given(id=request.reference.provider_id), "refund_id": request.refund_id}
        response = yield self._post(
            "/refunds", {**ids, **self._money(request.amount)}, authorization, key=request.refund_id
        )
        return self._refund(fake._read(response, fake._Refund))


class Keyed(FakeProvider):
    """Makes its keys in another way."""

    def digest(self, path, key):
        raise NotImplementedError

    def _post(self, path, body, authorization, *, key):
        sent = super()._post(path, body, authorization, key=key)
        headers = {**dict(sent.headers), "idempotency-key": self.digest(path, key)}
        return replace(sent, headers=tuple(headers.items()))


ALIKE = "test_ids_that_are_alike_are_different_orders"


@noticed_by(ALIKE, "but it cannot be charged beside ORDER0")
class KeysOfTwentyCharacters(Keyed):
    """Makes its keys of the first twenty characters of an id, and two long ids share one."""

    def digest(self, path, key):
        return hashlib.sha256(f"{path}:{key[:20]}".encode()).hexdigest()


@noticed_by(ALIKE, "but it cannot be charged beside ORDER0")
class KeysInLowerCase(Keyed):
    """Folds ids to one case in its keys."""

    def digest(self, path, key):
        return hashlib.sha256(f"{path}:{key.lower()}".encode()).hexdigest()


@noticed_by(ALIKE, "the gateway has 0 charges of it")
class ReplacesOddCharacters(FakeProvider):
    """Sends another character in place of what is no letter or digit, and A-1 and A_1 are one order at the gateway."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        asked = replace(request, order_id=re.sub("[^A-Za-z0-9]", "X", request.order_id))
        charge = yield from super().create_charge(authorization, asked)
        return replace(charge, reference=Reference(request.order_id, charge.reference.provider_id))


TWO_REFUNDS = "test_two_refunds_of_one_amount_are_two_refunds"


@noticed_by(TWO_REFUNDS, "two refunds of 22.00 HKD, refund-ORDER00001 and refund-ORDER00004, of one charge: Rejected(")
class RefundKeyIsTheCharge(FakeProvider):
    """Makes the refund's key of its charge, and only the first one of a charge can be made."""

    @hookimpl
    def refund_charge(self, authorization: Authorization, request: RefundRequest) -> Flow[Refund]:
        body = {**fake._ids(request.reference), "refund_id": request.refund_id, **self._money(request.amount)}
        response = yield self._post("/refunds", body, authorization, key=request.reference.order_id)
        return self._refund(fake._read(response, fake._Refund))


@noticed_by(TWO_REFUNDS, "two refunds of 22.00 HKD were requested, and the gateway has refunded [Money(minor=2200")
class RefundIsTheChargeAndTheAmount(FakeProvider):
    """Makes the refund's id and key of its charge and amount, and the second of 22.00 is taken for the first."""

    @hookimpl
    def refund_charge(self, authorization: Authorization, request: RefundRequest) -> Flow[Refund]:
        made_up = replace(request, refund_id=f"{request.reference.order_id}-{request.amount.minor}")
        refund = yield from super().refund_charge(authorization, made_up)
        return replace(refund, refund_id=request.refund_id)


@noticed_by("test_one_id_for_an_order_and_its_refund_is_two_keys", "a refund that has its order's id cannot be made")
class OneKeyForAllOperations(Keyed):
    """Makes its keys of the id alone, and a refund that has its order's id has its key too."""

    def digest(self, path, key):
        return hashlib.sha256(key.encode()).hexdigest()


class KeyedCreate(FakeProvider):
    """Makes the key of a create in another way."""

    def key_of(self, context, request):
        raise NotImplementedError

    @hookimpl
    def create_charge(self, context: Context, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        sent = create(self, authorization, request)
        headers = {**dict(sent.headers), "idempotency-key": self.key_of(context, request)}
        response = yield replace(sent, headers=tuple(headers.items()))
        return self._charge(fake._read(response, fake._Charge))


CLOCK = "test_the_identical_call_is_one_charge_whatever_the_provider_s_clock_says"


@noticed_by(CLOCK, "2 charges: repeated 43200 s later, the call has another key")
class KeyOfTheHour(KeyedCreate):
    """Puts the hour into the key, and the same call is a second charge in the next one."""

    def key_of(self, context, request):
        return f"{request.order_id}-{context.now:%Y%m%d%H}"


@noticed_by(CLOCK, "2 charges: repeated 43200 s later, the call has another key")
class KeyIsTheNonce(KeyedCreate):
    """Takes the nonce for the key, and every call is a charge."""

    def key_of(self, context, request):
        return context.nonce


ONE_ORDER = "test_one_order_is_one_charge_whatever_page_the_shopper_comes_from"


@noticed_by(ONE_ORDER, "one order is 2 charges, 88.00 HKD and 88.00 HKD")
class KeyWithThePage(KeyedCreate):
    """Puts the page to come back to into the key, and a second tab is a second charge."""

    def key_of(self, context, request):
        return hashlib.sha256(f"{request.order_id}:{request.return_url}".encode()).hexdigest()


@noticed_by(ONE_ORDER, "one order is 2 charges, 88.00 HKD and 22.00 HKD")
class KeyWithTheAmount(KeyedCreate):
    """Puts the amount into the key, and an order whose basket has changed is two charges."""

    def key_of(self, context, request):
        return f"{request.order_id}-{request.amount.minor}"


REFUSED = "test_a_refused_create_is_sent_once_and_a_repeated_one_is_the_same"


@noticed_by(REFUSED, "after an HTML page the create was sent again, but not as the same request")
class SendsAgainWithAnotherKey(FakeProvider):
    """Sends a create whose answer it cannot read a second time, with a new key."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        sent = create(self, authorization, request)
        response = yield sent
        try:
            return self._charge(fake._read(response, fake._Charge))
        except ProtocolViolation:
            headers = {**dict(sent.headers), "idempotency-key": f"{request.order_id}-again"}
            response = yield replace(sent, headers=tuple(headers.items()))
            return self._charge(fake._read(response, fake._Charge))


@noticed_by(REFUSED, "after an HTML page a create that is not idempotent was sent 2 times")
class SendsAgainWithoutAKey(FakeProvider):
    """Sends a create that is not idempotent a second time."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        sent = replace(create(self, authorization, request), idempotent=False)
        response = yield sent
        try:
            return self._charge(fake._read(response, fake._Charge))
        except ProtocolViolation:
            response = yield sent
            return self._charge(fake._read(response, fake._Charge))


LIVES = "test_an_idempotent_create_declares_how_long_its_key_lives"


@noticed_by(LIVES, "the create is marked idempotent, and info.key_lifetime is None")
class DeclaresNoLifetime(FakeProvider):
    """Marks the create idempotent for nobody knows how long, and leaves the tests of keys out."""

    info = replace(FakeProvider.info, key_lifetime=None)


@noticed_by(LIVES, "the create is not marked idempotent, and info.key_lifetime is 86400")
class MarksNothing(FakeProvider):
    """Declares how long a key lives, and does not mark the create as one that may be sent again."""

    def _post(self, path, body, authorization, *, key):
        return replace(super()._post(path, body, authorization, key=key), idempotent=False)


# The table is run.

TESTS = sorted(name for part in (Answers, Refusals, Movements, Keys) for name in vars(part) if name.startswith("test_"))
ESSENTIAL = [name for name in TESTS if getattr(getattr(ProviderContract, name), "_contract_essential", False)]


def contract_of(broken):
    """A contract of the fake with this class in its place."""
    body = b'{"error": {"code": "declined", "message": "no"}}'
    return type(
        "TestBroken",
        (ProviderContract,),
        {
            "provider": broken,
            "make_sandbox": staticmethod(make),
            "raw_statuses": FakeProvider.info.raw_statuses,
            "refusals": (Refusal(name="declined", status=402, body=body, definitive=True),),
        },
    )


def run(broken, test):
    contract = contract_of(broken)
    assert applies(contract, test) == ""
    with make() as sandbox, FaultGateway(sandbox.url) as between:
        getattr(contract(), test)(Bench(contract, sandbox, between))


@pytest.mark.parametrize(("broken", "test", "says"), BREAKAGES)
def test_the_contract_notices(broken, test, says):
    with pytest.raises(AssertionError) as caught:
        run(broken, test)
    assert says in str(caught.value)


@pytest.mark.parametrize("test", TESTS)
def test_the_unbroken_fake_passes(test):
    """The positive control."""
    run(FakeProvider, test)


def test_every_test_of_these_parts_notices_something():
    assert sorted({case.values[1] for case in BREAKAGES}) == TESTS


@pytest.mark.parametrize("broken", [case.values[0] for case in BREAKAGES])
def test_a_breakage_says_in_a_sentence_what_is_broken(broken):
    assert broken.__doc__.endswith(".")
    assert "\n" not in broken.__doc__


@pytest.mark.parametrize("name", ESSENTIAL)
def test_what_loses_money_cannot_be_left_out(name):
    with pytest.raises(TypeError, match="no provider may leave out"):
        type("TestHurried", (ProviderContract,), {"provider": FakeProvider, "not_applicable": {name: "in a hurry"}})


def test_most_of_them_are_about_money():
    assert len(ESSENTIAL) >= 18
