"""Check every byte that the AlipayHK provider sends and reads, without a socket."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from payments_alipayhk import AlipayHKConfig, AlipayHKProvider
from payments_core import (
    Authorization,
    CallSDK,
    Channel,
    Charge,
    ChargeRequest,
    Money,
    PaymentStatus,
    ProtocolViolation,
    Redirect,
    Reference,
    Rejected,
    Response,
    Secret,
    ShowQRCode,
    drive,
)

HKD = Money.of("1.00", "HKD")
TOKEN = Authorization(Secret("a1b2"))


@pytest.fixture
def provider() -> AlipayHKProvider:
    return AlipayHKProvider(
        AlipayHKConfig(
            base_url="https://gateway.example", uid="39172931", client_secret=Secret("s&1"), webhook_key=Secret("k")
        )
    )


def answer(**changes: Any) -> bytes:
    """Return the published answer to create, with changes."""
    data = {
        "order_id": "C991289984923795789123",
        "merchant_order_id": "P9297895081903",
        "amount": "1",
        "currency": "HKD",
        "create_time": "2023-08-31T04:44:05.928696203+08:00",
        "next_action": {"type": "redirect", "url": "https://a.payment.link/code"},
        "status": "PENDING",
    }
    return json.dumps(
        {"code": 0, "data": data | changes, "message": "ok", "rid": "3647575c0e1049439e484a231864da2c"}
    ).encode()


def run(flow: Any, body: bytes, status: int = 200) -> tuple[Any, Any]:
    """Return the one request of a flow, and its result."""
    sent: list[Any] = []

    def perform(request: Any) -> Response:
        sent.append(request)
        return Response(status, (), body)

    result = drive(flow, perform)
    assert len(sent) == 1
    return sent[0], result


def order(**changes: Any) -> ChargeRequest:
    values: dict[str, Any] = {
        "order_id": "P9297895081903",
        "amount": HKD,
        "description": "tea",
        "method": "ALIPAYHK",
        "notify_url": "https://shop.example/hook",
    }
    return ChargeRequest(**(values | changes))


def test_authorize_sends_the_credentials_in_the_query(provider: AlipayHKProvider) -> None:
    """As documented; the request's repr shows the path alone."""
    request, authorization = run(provider.authorize(), b'{"access_token":"a1b2","expires_in":3600}')
    assert request.method == "GET"
    assert request.target == "/mch-api/v1/auth?grant_type=client_credentials&uid=39172931&client_secret=s%261"
    assert (request.safe, request.body, request.headers) == (True, b"", ())
    assert repr(request) == "<Request GET /mch-api/v1/auth>"
    assert (authorization.token.reveal(), authorization.expires_in) == ("a1b2", 3600)


def test_unusable_lifetime_of_a_token_counts_as_none(provider: AlipayHKProvider) -> None:
    """The core then believes the token for its shortest time, not for an hour that nobody promised."""
    for lifetime in (b'"soon"', b"null", b"[1]"):
        _, authorization = run(provider.authorize(), b'{"access_token":"a1b2","expires_in":%b}' % lifetime)
        assert authorization.expires_in == 0


def test_each_wallet_has_its_own_button(provider: AlipayHKProvider) -> None:
    assert [(method.id, method.title) for method in provider.info.methods] == [
        ("ALIPAYHK", "AlipayHK"),
        ("ALIPAYCN", "Alipay"),
    ]


@pytest.mark.parametrize("method", ["ALIPAYHK", "ALIPAYCN"])
@pytest.mark.parametrize(
    ("channel", "flow"),
    [(Channel.WEB, "web_qrcode"), (Channel.MOBILE_WEB, "mobile_web"), (Channel.IN_STORE, "csb_qrcode")],
)
def test_create_sends_exactly_the_documented_body(
    provider: AlipayHKProvider, method: str, channel: Channel, flow: str
) -> None:
    """Both wallets, all three flows; text amounts in major units; not safe and not idempotent."""
    request, _ = run(provider.create_charge(TOKEN, order(method=method, channel=channel)), answer())
    assert (request.method, request.target) == ("POST", "/mch-api/v1/pa/payment_intents/create")
    assert json.loads(request.body) == {
        "amount": "1.00",
        "currency": "HKD",
        "merchant_order_id": "P9297895081903",
        "description": "tea",
        "notify_url": "https://shop.example/hook",
        "payment_method": {"type": "alipayhk", "alipayhk": {"flow": flow, "payment_method": method}},
    }
    assert (request.safe, request.idempotent) == (False, False)
    headers = dict(request.headers)
    assert headers["content-type"] == "application/json"
    assert headers["authorization"].reveal() == "Bearer a1b2"


def test_what_is_not_given_is_not_sent(provider: AlipayHKProvider) -> None:
    """No empty notify_url; a return_url has no field at this gateway."""
    request, _ = run(
        provider.create_charge(TOKEN, order(notify_url="", return_url="https://shop.example/back")), answer()
    )
    body = json.loads(request.body)
    assert "notify_url" not in body
    assert "shop.example/back" not in request.body.decode()


def test_the_same_arguments_give_the_same_bytes(provider: AlipayHKProvider) -> None:
    """Nothing random, no clock."""
    made = [next(provider.create_charge(TOKEN, order())) for _ in range(3)]
    assert made[0] == made[1] == made[2]


def test_a_swarm_of_objects_is_not_made(provider: AlipayHKProvider) -> None:
    """Values of any shape are read only if they are small: a small gzip body can hold a great many objects."""
    swarm = [{} for _ in range(200_000)]
    for changes in ({"rid": swarm}, {"message": swarm}):
        body = json.dumps(json.loads(answer()) | changes).encode()
        tracemalloc.start()
        _, charge = run(provider.create_charge(TOKEN, order()), body)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert charge.reference.order_id == "P9297895081903"
        assert peak < 3 * len(body)
    with pytest.raises(ProtocolViolation):
        run(provider.create_charge(TOKEN, order()), answer(next_action={"type": "call_sdk", "data": {"a": swarm}}))


def test_the_published_answer_is_read_whole(provider: AlipayHKProvider) -> None:
    """Ids, amount, time (nine digits to six) and the gateway's request id."""
    _, charge = run(provider.create_charge(TOKEN, order()), answer())
    assert charge == Charge(
        "alipayhk",
        Reference("P9297895081903", "C991289984923795789123"),
        PaymentStatus.REQUIRES_ACTION,
        "PENDING",
        HKD,
        Redirect("https://a.payment.link/code"),
        created_at=datetime(2023, 8, 31, 4, 44, 5, 928696, tzinfo=timezone(timedelta(hours=8))),
        request_id="3647575c0e1049439e484a231864da2c",
    )


ACTIONS: list[tuple[Any, Any]] = [
    ({"type": "redirect", "url": "https://x.example/a"}, Redirect("https://x.example/a")),
    ({"type": "redirect", "redirect_url": "https://x.example/a"}, Redirect("https://x.example/a")),
    ({"type": "render_qrcode", "url": "https://x.example/a"}, ShowQRCode("https://x.example/a")),
    ({"type": "render_qrcode", "qrcode_url": "weixin://wxpay/x"}, ShowQRCode("weixin://wxpay/x")),
    ({"type": "call_sdk", "data": {"appId": "1", "nested": {"a": [1]}}}, CallSDK({"appId": "1", "nested": {"a": [1]}})),
    (None, None),
]


@pytest.mark.parametrize(("raw", "action"), ACTIONS)
def test_every_documented_shape_of_next_action_is_read(provider: AlipayHKProvider, raw: Any, action: Any) -> None:
    """Of this and of the platform's other deployments."""
    _, charge = run(provider.create_charge(TOKEN, order()), answer(next_action=raw))
    assert charge.next_action == action
    assert charge.status is (PaymentStatus.REQUIRES_ACTION if action else PaymentStatus.PENDING)


@pytest.mark.parametrize(
    ("reference", "body"),
    [
        (Reference("P1"), {"merchant_order_id": "P1"}),
        (Reference("", "C1"), {"order_id": "C1"}),
        (Reference("P1", "C1"), {"order_id": "C1", "merchant_order_id": "P1"}),
    ],
)
def test_a_charge_is_asked_about_by_either_id(provider: AlipayHKProvider, reference: Reference, body: Any) -> None:
    """Or by both; a query is safe."""
    request, _ = run(provider.get_status(TOKEN, reference), answer())
    assert (request.method, request.target) == ("POST", "/mch-api/v1/pa/payment_intents/query")
    assert json.loads(request.body) == body
    assert request.safe


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("PENDING", PaymentStatus.PENDING),
        ("SUCCEEDED", PaymentStatus.SUCCEEDED),
        ("CANCELLED", PaymentStatus.CANCELLED),
        ("REFUNDED", PaymentStatus.UNKNOWN),
    ],
)
def test_the_table_of_statuses(provider: AlipayHKProvider, raw: str, status: PaymentStatus) -> None:
    """The documented three, and one that nobody documents."""
    body = answer(status=raw, next_action=None, pay_time="2023-08-31T04:50:00Z")
    _, charge = run(provider.get_status(TOKEN, Reference("P9297895081903")), body)
    assert (charge.status, charge.raw_status) == (status, raw)
    assert charge.paid_at == datetime(2023, 8, 31, 4, 50, tzinfo=UTC)


@pytest.mark.parametrize("status", [199, 300, 404])
def test_code_0_with_an_http_error_is_not_understood(provider: AlipayHKProvider, status: int) -> None:
    """The two contradict each other."""
    with pytest.raises(ProtocolViolation) as caught:
        run(provider.create_charge(TOKEN, order()), answer(), status)
    assert caught.value.request_id == "3647575c0e1049439e484a231864da2c"


def test_a_rejection_keeps_what_support_asks_for(provider: AlipayHKProvider) -> None:
    """The code, the message and the rid; definitive never, because no code is documented."""
    body = json.dumps({"code": 4711, "message": "no such merchant", "rid": "rid-9"}).encode()
    with pytest.raises(Rejected) as caught:
        run(provider.create_charge(TOKEN, order()), body)
    assert (caught.value.raw_code, caught.value.request_id, caught.value.definitive) == ("4711", "rid-9", False)
    assert "no such merchant" in caught.value.message


def test_a_message_that_is_no_text_is_left_out(provider: AlipayHKProvider) -> None:
    """Errors hold only plain text of a bounded length."""
    for message in ("x" * 5000, "a\nb", {"a": 1}, None):
        body = json.dumps({"code": 1, "message": message, "rid": ["rid"]}).encode()
        with pytest.raises(Rejected) as caught:
            run(provider.create_charge(TOKEN, order()), body)
        assert "no message" in caught.value.message
        assert caught.value.request_id == ""
