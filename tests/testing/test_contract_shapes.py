"""Run honest and broken providers of other shapes through the tests about answers, money, ids and keys."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest
from msgspec.structs import replace

from payments_core import (
    Authorization,
    Charge,
    ChargeRequest,
    Flow,
    InvalidRequest,
    Limits,
    Money,
    NotFound,
    PaymentStatus,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
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
from payments_core.testing.contract.responses import Rewrite, with_word, without_each_field
from payments_core.testing.contract.rules import applies
from payments_core.testing.fake import FakeProvider
from payments_core.testing.fake_gateway import make
from payments_core.testing.faults import FaultGateway

TESTS = sorted(name for part in (Answers, Refusals, Movements, Keys) for name in vars(part) if name.startswith("test_"))
REFUSED = {"error": {"code": "declined", "message": "no"}}


class OneCurrencyWithoutDecimals(FakeProvider):
    """Yen, and nothing else."""

    info = replace(FakeProvider.info, currencies=frozenset({"JPY"}), methods=FakeProvider.info.methods[:2])


class OneCurrencyOfThree(FakeProvider):
    """Dinars, and nothing else."""

    info = replace(FakeProvider.info, currencies=frozenset({"KWD"}), methods=FakeProvider.info.methods[:2])


class Bounded(FakeProvider):
    """No less than a quarter of what is mostly asked for, and no more than that."""

    info = replace(
        FakeProvider.info,
        limits=Limits(
            order_id_length=64, minimum=(Money.of("22", "HKD"), Money.of("22", "JPY")), maximum=(Money.of("88", "HKD"),)
        ),
    )


class Patterned(FakeProvider):
    """Order ids of one form and length."""

    info = replace(FakeProvider.info, limits=Limits(order_id_length=11, order_id_pattern="order-[0-9]{5}"))


class LowerCase(FakeProvider):
    """Order ids in lower case."""

    info = replace(FakeProvider.info, limits=Limits(order_id_length=32, order_id_pattern="[a-z0-9-]+"))


class AskedByItsOwnIdOnly(FakeProvider):
    """Charges and refunds are found by the gateway's ids only."""

    info = replace(FakeProvider.info, query_by=frozenset({"provider_id"}))

    @hookimpl
    def get_refund(self, authorization: Authorization, reference: RefundReference) -> Flow[Refund]:
        if not reference.provider_id:
            raise InvalidRequest("a refund is asked for by the gateway's id", field="reference")
        response = yield self._get("/refunds", {"id": reference.provider_id}, authorization)
        return self._refund(fake._read(response, fake._Refund))


class NeverAsked(FakeProvider):
    """The gateway has no query: all that is known comes in notifications."""

    info = replace(FakeProvider.info, operations=frozenset({"refund_charge"}), charge_options=frozenset())
    get_status = capture_charge = cancel_charge = get_refund = None


class CreatesOnly(FakeProvider):
    """No optional operation, and a create that is never sent again."""

    info = replace(FakeProvider.info, operations=frozenset(), charge_options=frozenset(), key_lifetime=None)
    capture_charge = cancel_charge = refund_charge = get_refund = None

    def _post(self, path, body, authorization, *, key):
        sent = super()._post(path, body, authorization, key=key)
        return replace(sent, idempotent=False, headers=sent.headers[:-1])


class SaysLittle(FakeProvider):
    """The answer to a create has the gateway's id and a page, and nothing else that is read."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        charge = yield from super().create_charge(authorization, request)
        return replace(
            charge,
            reference=Reference(provider_id=charge.reference.provider_id),
            status=PaymentStatus.REQUIRES_ACTION if charge.next_action else PaymentStatus.PENDING,
            raw_status="",
            amount=None,
        )

    @hookimpl
    def refund_charge(self, authorization: Authorization, request: RefundRequest) -> Flow[Refund]:
        refund = yield from super().refund_charge(authorization, request)
        return replace(refund, reference=None, amount=None, refund_id="")


class ComesBack(FakeProvider):
    """A page to come back to is demanded, and a page to be sent to is asked for in a second request."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        if not request.return_url:
            raise InvalidRequest("a return_url is needed", field="return_url")
        charge = yield from super().create_charge(authorization, request)
        return (yield from super().get_status(authorization, charge.reference))


def with_a_page(self, order_id, amount, **fields):
    return ChargeRequest(order_id, amount, "A cup of tea", return_url="https://shop.example/paid", **fields)


SHAPES = {
    OneCurrencyWithoutDecimals: {},
    OneCurrencyOfThree: {},
    Bounded: {"amount": lambda self, currency: Money.of("88", currency)},
    Patterned: {"order_id": lambda self, number: f"order-{number:05d}"},
    LowerCase: {"order_id": lambda self, number: f"order-{number}"},
    AskedByItsOwnIdOnly: {},
    NeverAsked: {},
    CreatesOnly: {},
    SaysLittle: {},
    ComesBack: {"request": with_a_page},
}


def contract_of(provider, refused=b'{"error": {"code": "declined", "message": "no"}}', **attributes):
    refusals = (Refusal(name="declined", status=402, body=refused, definitive=True),)
    given = {"provider": provider, "raw_statuses": FakeProvider.info.raw_statuses, "refusals": refusals, **attributes}
    return type("TestShape", (ProviderContract,), given)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_honest_provider_passes(shape):
    contract = contract_of(shape, **SHAPES[shape])
    with make() as sandbox, FaultGateway(sandbox.url) as between:
        bench = Bench(contract, sandbox, between)
        ran = [test for test in TESTS if applies(contract, test) == ""]
        for test in ran:
            bench.reset()
            getattr(contract(), test)(bench)
    assert len(ran) >= 10


# Bodies that are not JSON.


def form_of(found):
    """An answer of the fake as a form."""
    flat = found.pop("error", {}) | found
    return urlencode({name: each for name, each in flat.items() if each is not None}).encode()


def xml_of(found):
    """And as XML."""
    fields = dict(parse_qsl(form_of(found).decode()))
    inner = "".join(f"<{name}>{each}</{name}>" for name, each in fields.items())
    return f'<?xml version="1.0"?><answer kind="a">{inner}</answer>'.encode()


def from_form(body):
    return dict(parse_qsl(body.decode(), strict_parsing=True))


def from_xml(body):
    found = re.findall(r"<(\w+)>([^<]+)</\1>", body.decode())
    if not found:
        raise ValueError("no field at all")
    return dict(found)


KINDS = {"form": (form_of, from_form), "xml": (xml_of, from_xml)}


@contextmanager
def speaking(kind, provider, monkeypatch):
    """A contract of the fake, whose gateway answers in another kind of body."""
    encode, decode = KINDS[kind]

    def changed(body):
        found = json.loads(body)
        return body if "access_token" in found else encode(found)

    def read(response, kind):
        if kind is fake._Token:
            return response.decode(msgspec.json.Decoder(kind).decode)
        if response.status < 300:
            return response.decode(lambda body: msgspec.convert(decode(body), kind, strict=False))
        code = response.decode(lambda body: decode(body)["code"])
        if (response.status, code) == (404, "not_found"):
            raise NotFound("nothing with these ids")
        raise Rejected("no", definitive=(response.status, code) == (402, "declined"))

    monkeypatch.setattr(fake, "_read", read)
    contract = contract_of(provider, encode(json.loads(json.dumps(REFUSED))))
    with make() as sandbox, FaultGateway(sandbox.url) as translator, FaultGateway(translator.url) as between:
        translator.inject(Rewrite(changed))
        yield contract(), Bench(contract, sandbox, between)


@pytest.mark.parametrize("kind", KINDS)
def test_an_honest_provider_of_another_kind_of_body_passes(kind, monkeypatch):
    with speaking(kind, FakeProvider, monkeypatch) as (contract, bench):
        for test in TESTS:
            bench.reset()
            getattr(contract, test)(bench)


class CopiesTheReference(FakeProvider):
    """Takes any answer for one about the charge that was asked about."""

    @hookimpl
    def get_status(self, authorization: Authorization, reference: Reference) -> Flow[Charge]:
        charge = yield from super().get_status(authorization, reference)
        return replace(charge, reference=reference)


class CopiesTheAmount(FakeProvider):
    """Takes any answer for one about the amount that was asked for."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        charge = yield from super().create_charge(authorization, request)
        return replace(charge, amount=request.amount)


class PaidWithoutAPage(FakeProvider):
    """Takes a charge without a page for a paid one."""

    def _charge(self, found):
        return super()._charge(found if found.pay_url else replace(found, status="paid"))


class UnknownIsPaid(FakeProvider):
    """Takes a word that is in no table for a payment, in the answer to a create."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        charge = yield from super().create_charge(authorization, request)
        return replace(charge, status=PaymentStatus.SUCCEEDED) if charge.status == "UNKNOWN" else charge


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (CopiesTheReference, "test_an_answer_about_another_charge_is_a_mismatch"),
        (CopiesTheAmount, "test_nothing_in_a_charge_is_copied_from_the_request"),
        (UnknownIsPaid, "test_an_undocumented_status_is_unknown_in_every_answer"),
        (PaidWithoutAPage, "test_no_field_of_an_answer_is_made_up"),
    ],
)
def test_a_mistake_is_noticed_whatever_the_body_is_made_of(kind, broken, test, monkeypatch):
    with speaking(kind, broken, monkeypatch) as (contract, bench), pytest.raises(AssertionError):
        getattr(contract, test)(bench)


# Changes of answers.


def test_a_body_without_each_of_its_fields():
    """JSON at every depth, forms and XML; of anything else no field is known."""
    assert dict(without_each_field(b'{"a": {"b": 1, "c": [{"d": 2}]}}')) == {
        "a": b"{}",
        "a.b": b'{"a": {"c": [{"d": 2}]}}',
        "a.c": b'{"a": {"b": 1}}',
        "a.c.0.d": b'{"a": {"b": 1, "c": [{}]}}',
    }
    assert dict(without_each_field(b"a=1&b=&c=x%20y")) == {"a": b"b=&c=x%20y", "b": b"a=1&c=x%20y", "c": b"a=1&b="}
    assert dict(without_each_field(b"<r><a x='1'>1</a><b><![CDATA[<]]></b></r>")) == {
        "a": b"<r><b><![CDATA[<]]></b></r>",
        "b": b"<r><a x='1'>1</a></r>",
    }
    assert list(without_each_field(b"\x00\x01 no text")) == []
    assert list(without_each_field(b"")) == []


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (b'{"status": "paid", "id": "paid-1"}', b'{"status": "new", "id": "paid-1"}'),
        (b'{"paid": "unpaid", "a":["paid"]}', b'{"paid": "unpaid", "a":["new"]}'),
        (b'{"paid" : true, "text": "it is paid"}', b'{"paid" : true, "text": "it is paid"}'),
        (b"a=paid&paid=1&b=paid", b"a=new&paid=1&b=new"),
        (b"<paid>paid</paid><b><![CDATA[paid]]></b>", b"<paid>new</paid><b><![CDATA[new]]></b>"),
    ],
)
def test_a_word_is_changed_where_it_is_a_whole_value(body, changed):
    assert with_word(body, "paid", "new") == changed


def test_a_number_is_changed_where_it_is_a_whole_value():
    assert with_word(b'{"a": 8800, "b":88001, "c": "8800"}', "8800", "8800.7") == (
        b'{"a": 8800.7, "b":88001, "c": "8800.7"}'
    )
