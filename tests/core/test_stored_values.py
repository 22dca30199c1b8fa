"""Values go through JSON, msgpack and pickle and come back equal."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_core import (
    CURRENCY_EXPONENTS,
    Acknowledgement,
    AwaitShopper,
    CallSDK,
    CaptureRequest,
    Channel,
    Charge,
    ChargeRequest,
    Complete,
    Money,
    NextAction,
    Notification,
    PaymentStatus,
    Redirect,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
    RefundStatus,
    RejectionCode,
    Secret,
    Shopper,
    ShowQRCode,
    Subject,
    SubmitForm,
    WebhookDelivery,
    WebhookEvent,
)
from payments_core.money import WITHDRAWN_EXPONENTS

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
IDS = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=255)
TIMES = st.integers(0, 4 * 10**15).map(
    lambda microseconds: datetime.fromtimestamp(0, timezone(timedelta(hours=8))) + timedelta(microseconds=microseconds)
)
MONEY = st.builds(
    Money,
    minor=st.integers(0, 10**17),
    currency=st.sampled_from(sorted({**CURRENCY_EXPONENTS, **WITHDRAWN_EXPONENTS})),
)
SOME = MONEY.filter(lambda money: money.minor > 0)
REFERENCES = st.builds(Reference, order_id=IDS, provider_id=IDS)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ACTIONS = st.one_of(
    st.builds(Redirect, url=st.just("https://pay.example/?a=b#c")),
    st.builds(ShowQRCode, content=TEXT),
    st.builds(SubmitForm, url=st.just("wallet://pay"), fields=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)),
    st.builds(CallSDK, parameters=st.dictionaries(TEXT, JSON, max_size=3)),
    st.builds(AwaitShopper),
    st.builds(Complete),
)
CHARGES = st.builds(
    Charge,
    provider=TEXT,
    reference=REFERENCES,
    status=st.sampled_from(PaymentStatus),
    raw_status=TEXT,
    amount=st.none() | MONEY,
    next_action=st.none() | ACTIONS,
    created_at=st.none() | TIMES,
    paid_at=st.none() | TIMES,
    expires_at=st.none() | TIMES,
    captured=st.none() | MONEY,
    refunded=st.none() | MONEY,
    request_id=TEXT,
    reason=st.none() | st.sampled_from(RejectionCode),
    raw_reason=TEXT,
    disputed=st.none() | MONEY,
    moves_money=st.none() | st.booleans(),
    gateway=TEXT,
    matched=st.booleans(),
)
REFUNDS = st.builds(
    Refund,
    provider=TEXT,
    refund_id=TEXT,
    provider_id=TEXT,
    reference=st.none() | REFERENCES,
    status=st.sampled_from(RefundStatus),
    raw_status=TEXT,
    amount=st.none() | MONEY,
    created_at=st.none() | TIMES,
    request_id=TEXT,
    gateway=TEXT,
)
EVENTS = st.builds(
    WebhookEvent,
    provider=TEXT,
    subject=st.sampled_from(Subject),
    raw_kind=TEXT,
    reference=st.none() | REFERENCES,
    event_id=TEXT,
    charge=st.none() | CHARGES,
    refund=st.none() | REFUNDS,
    account=TEXT,
    gateway=TEXT,
    received_at=st.none() | TIMES,
)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)
ACKNOWLEDGEMENTS = st.builds(Acknowledgement, status=st.integers(200, 299), headers=PAIRS, body=st.binary())
SHOPPERS = st.builds(Shopper, id=TEXT, email=TEXT, ip=TEXT, user_agent=TEXT, locale=TEXT)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    Money: MONEY,
    NextAction: ACTIONS,
    Charge: CHARGES,
    Refund: REFUNDS,
    WebhookEvent: EVENTS,
    Notification: st.builds(
        Notification, events=st.lists(EVENTS, max_size=2).map(tuple), acknowledgement=ACKNOWLEDGEMENTS
    ),
    Acknowledgement: ACKNOWLEDGEMENTS,
    WebhookDelivery: st.builds(
        WebhookDelivery,
        body=st.binary(),
        headers=PAIRS | st.dictionaries(st.binary(), st.lists(st.binary(), max_size=2)),
        received_at=st.none() | TIMES,
        method=TEXT,
        url=TEXT,
    ),
    ChargeRequest: st.builds(
        ChargeRequest,
        order_id=IDS,
        amount=SOME,
        description=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=99).map(lambda text: f"tea{text}"),
        method=IDS.map(lambda text: text[:64]),
        channel=st.sampled_from(Channel),
        notify_url=st.just("https://shop.example/hook"),
        capture=st.booleans(),
        shopper=SHOPPERS,
        expires_in=st.none() | st.floats(1, 10**9),
    ),
    CaptureRequest: st.builds(CaptureRequest, reference=REFERENCES, capture_id=IDS, amount=SOME),
    RefundRequest: st.builds(
        RefundRequest, reference=REFERENCES, refund_id=IDS, amount=SOME, reason=st.just("Wrong size.\nSorry 🍵")
    ),
    RefundReference: st.builds(RefundReference, refund_id=IDS, provider_id=IDS, reference=st.none() | REFERENCES),
    Reference: REFERENCES,
}


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: getattr(kind, "__name__", "NextAction"))
@given(data=st.data())
def test_value_comes_back_equal(kind: Any, data: st.DataObject) -> None:
    """Out of a JSON column, a message broker, or another process."""
    value = data.draw(VALUES[kind])
    written = msgspec.json.encode(value)
    again = msgspec.json.decode(written, type=kind)
    assert again == value
    assert type(again) is type(value)
    assert msgspec.json.encode(again) == written, "written again it is the same bytes"
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=kind) == value
    assert pickle.loads(pickle.dumps(value)) == value


def test_stored_charge_is_as_trusted_as_it_was() -> None:
    """`matched` and `gateway` are kept, so a charge that was never compared stays one that cannot say it is paid."""
    hkd = Money.of("88.00", "HKD")
    charge = Charge("p", Reference("P1", "C1"), PaymentStatus.SUCCEEDED, "PAID", hkd, gateway="live")
    for value in (charge, charge.require("P1", hkd)):
        again = msgspec.json.decode(msgspec.json.encode(value), type=Charge)
        assert (again.gateway, again.matched) == ("live", value.matched)


def test_request_with_a_payment_token_is_not_encoded() -> None:
    """A secret would lie in a queue."""
    request = ChargeRequest("P1", Money.of("88.00", "HKD"), "tea", payment_token=Secret("canary-token"))
    for encode in (msgspec.json.encode, msgspec.msgpack.encode, pickle.dumps):
        with pytest.raises(TypeError, match="Secret") as caught:
            encode(request)
        assert "canary" not in str(caught.value)


class Options(msgspec.Struct, frozen=True):
    installments: int = 1


def test_request_with_options_is_read_only_with_their_type() -> None:
    """Read as a struct of no fields, three installments would become one."""
    request = ChargeRequest("P1", Money.of("88.00", "HKD"), "tea", options=Options(3))
    with pytest.raises(msgspec.ValidationError, match="options are of the provider's own type"):
        msgspec.json.decode(msgspec.json.encode(request), type=ChargeRequest)
    apart = msgspec.json.encode(msgspec.structs.replace(request, options=None)), msgspec.json.encode(request.options)
    read = msgspec.json.decode(apart[0], type=ChargeRequest)
    options = msgspec.json.decode(apart[1], type=Options)
    assert msgspec.structs.replace(read, options=options) == request
    assert pickle.loads(pickle.dumps(request)) == request


@pytest.mark.parametrize(
    "parameters", ["text", None, [("a", 1)], {1: "a"}, {"a": b"x"}, {"a": Secret("x")}, {"a": float("nan")}, {"a": {2}}]
)
def test_parameters_that_json_cannot_give_back_are_refused(parameters: Any) -> None:
    """A plugin's mistake is found where it is made, and not when the value is stored."""
    with pytest.raises(TypeError):
        CallSDK(parameters)


def test_parameters_of_the_sdk_cannot_be_changed() -> None:
    """Neither through what was given nor through what is handed out."""
    import json

    nested: dict[str, Any] = {"list": [1, {"a": "b"}], "tuple": (1, (2,))}
    action = CallSDK({"nested": nested})
    same, before = CallSDK({"nested": {"list": [1, {"a": "b"}], "tuple": [1, [2]]}}), hash(action)
    nested["list"].append(2)
    handed = action.parameters
    handed["other"] = 1
    handed["nested"]["list"][1]["a"] = "c"
    match action:
        case CallSDK(parameters):
            parameters.clear()
    assert action == same
    assert hash(action) == before == hash(same)
    assert json.loads(json.dumps(action.parameters)) == same.parameters
    assert msgspec.json.decode(msgspec.json.encode(action), type=NextAction) == same
    with pytest.raises(AttributeError):
        action.parameters = {}  # type: ignore[misc]


def test_fields_of_a_form_cannot_be_changed() -> None:
    """A plugin may hand over lists."""
    fields = [["a", "b"]]
    form = SubmitForm("https://x/", fields)  # type: ignore[arg-type]
    fields[0][1] = "c"
    assert form.fields == (("a", "b"),)


def test_page_about_values_says_how_an_event_is_queued() -> None:
    """Its example runs as it is written."""
    page = (Path(__file__).parents[2] / "docs" / "values.md").read_text("utf-8")
    namespace: dict[str, Any] = {}
    exec(compile(page.split("```python\n")[1].partition("```")[0], "docs/values.md", "exec"), namespace)
    event = WebhookEvent(
        "p", Subject.CHARGE, "paid", Reference("P1"), "e1", gateway="live", received_at=datetime.now(UTC)
    )
    assert namespace["dequeue"](namespace["enqueue"](event)) == event
