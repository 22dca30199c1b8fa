"""Define the recorded scenes, and what their cassettes keep: `payments record lantern --output DIR`, step 5.

DIR is the folder `cassettes` beside `tests`, from any current directory.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Final

from payments_core import (
    ChargeRequest,
    Money,
    NotFound,
    PaymentStatus,
    Redirect,
    Reference,
    Rejected,
    RejectionCode,
)
from payments_core.testing.masking import CassettePolicy, Fields, Rule
from payments_core.testing.stories import Published, Script, Step, Story, call, expect, shopper

__all__ = ["POLICY", "STORIES"]

_SENT: Final = Fields(("content-type",), masked=("lantern-key",))
_ANSWERED: Final = Fields(("content-type", "lantern-trace"))
_PAYMENT: Final = Fields(
    ("payment_id", "merchant_ref", "amount", "currency", "state", "created", "paid", "checkout_url", "error")
)

POLICY: Final = CassettePolicy(
    (
        Rule(
            path="/v1/payments",
            query=Fields(("merchant_ref",)),
            request_headers=_SENT,
            request_body=Fields(("merchant_ref", "amount", "currency", "title", "callback_url", "return_url")),
            response_headers=_ANSWERED,
            response_body=_PAYMENT,
        ),
        Rule(
            path="/v1/payments/{payment_id}",
            request_headers=_SENT,
            response_headers=_ANSWERED,
            response_body=_PAYMENT,
        ),
    )
)

Parameters = Mapping[str, str]
Scene = Generator[Step, Any, None]

_AMOUNT: Final = Money.of("88.00", "HKD")


def _request(parameters: Parameters) -> ChargeRequest:
    return ChargeRequest(
        parameters["order_id"],
        _AMOUNT,
        "A cup of tea",
        notify_url="https://shop.example/webhooks",
        return_url="https://shop.example/back",
    )


def _created(parameters: Parameters) -> Scene:
    charge = yield call("create_charge", _request(parameters))
    expect(charge, status=PaymentStatus.REQUIRES_ACTION, raw_status="waiting", amount=_AMOUNT)
    expect(charge.require(parameters["order_id"], _AMOUNT), is_paid=False)
    if type(charge.next_action) is not Redirect:
        raise AssertionError(f"the next action is {charge.next_action!r}")


def _ended(move: str, status: PaymentStatus) -> Script:
    def script(parameters: Parameters) -> Scene:
        created = yield call("create_charge", _request(parameters))
        yield shopper(move, created)
        provider_id = created.reference.provider_id
        charge = yield call("confirm", parameters["order_id"], _AMOUNT, provider_id=provider_id)
        expect(charge, status=status, is_paid=status is PaymentStatus.SUCCEEDED, next_action=None)

    return script


def _asked_by_order_id(parameters: Parameters) -> Scene:
    created = yield call("create_charge", _request(parameters))
    found = yield call("get_status", Reference(parameters["order_id"]))
    expect(found, reference=created.reference, amount=_AMOUNT)


def _used_twice(parameters: Parameters) -> Scene:
    yield call("create_charge", _request(parameters))
    error = yield call("create_charge", _request(parameters), raises=Rejected)
    expect(error, code=RejectionCode.DUPLICATE, definitive=False)


def _unknown(parameters: Parameters) -> Scene:
    yield call("get_status", Reference(parameters["order_id"]), raises=NotFound)


def _published(parameters: Parameters) -> Scene:
    charge = yield call("create_charge", _request(parameters))
    expect(charge, reference=Reference("P1001", "lp_7Q2"), amount=_AMOUNT, raw_status="waiting")
    expect(charge, next_action=Redirect("https://pay.lantern.example/c/7Q2"))


# CREATE, its example, letter for letter.
_EXAMPLE: Final = Published(
    "POST",
    "/v1/payments",
    b"""{"payment_id": "lp_7Q2", "merchant_ref": "P1001", "amount": "88.00", "currency": "HKD",
 "state": "waiting", "created": "2026-11-01T12:00:00Z",
 "checkout_url": "https://pay.lantern.example/c/7Q2"}""",
)


def _played(name: str, script: Script, *, live: bool = True, repeats: tuple[str, ...] = ()) -> Story:
    # All that the sandbox would draw at random, or take from its port, is fixed: a recording repeats, byte for byte.
    options = {"seed": name, "public_url": "https://lantern.invalid"}
    return Story(name, script, POLICY, live, options=options, repeats=repeats)


STORIES: Final = (
    _played("created", _created),
    _played("paid", _ended("pay", PaymentStatus.SUCCEEDED)),
    _played("declined", _ended("decline", PaymentStatus.FAILED)),
    _played("closed", _ended("cancel", PaymentStatus.CANCELLED)),
    _played("asked-by-order-id", _asked_by_order_id),
    _played("order-id-used-twice", _used_twice, repeats=("/v1/payments",)),
    _played("no-such-payment", _unknown),
    Story(
        "published-create",
        _published,
        POLICY,
        live=False,
        parameters={"order_id": "P1001"},
        published=(_EXAMPLE,),
        source="Lantern Pay, CREATE",
    ),
)
