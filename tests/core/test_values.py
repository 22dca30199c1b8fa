"""Check that values validate themselves, because plugins and platforms make them by hand."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import msgspec
import pytest

from payments_core import (
    AwaitShopper,
    CallSDK,
    CaptureRequest,
    Channel,
    Charge,
    ChargeRequest,
    Complete,
    InvalidRequest,
    Mismatch,
    Money,
    NextAction,
    OutcomeUnknown,
    PaymentError,
    PaymentStatus,
    ProtocolViolation,
    RateLimited,
    Redirect,
    Reference,
    RefundReference,
    RefundRequest,
    Rejected,
    RejectionCode,
    Request,
    Response,
    Secret,
    ShowQRCode,
    SubmitForm,
    WebhookRejected,
    drive,
    same_base64_digest,
    same_hex_digest,
    segment,
    tap,
    unify,
)

HKD = Money.of("88.00", "HKD")


def request(**changes: Any) -> ChargeRequest:
    return ChargeRequest(**({"order_id": "P1", "amount": HKD, "description": "tea"} | changes))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("order_id", ""), ("order_id", " "), ("order_id", 5), ("order_id", "a\nb"), ("order_id", "a\x00"),
        ("order_id", "x" * 256),
        ("order_id", "a\u200bb"), ("order_id", "a\u202eb"), ("order_id", "\ud800"),
        ("description", ""), ("description", "\t"), ("description", None),
        ("amount", Money(minor=0, currency="HKD")), ("amount", "88.00"), ("amount", 88), ("amount", None),
        ("method", 5), ("channel", "DESKTOP"), ("channel", None), ("capture", "yes"), ("shopper", "me"),
        ("payment_token", "tok_1"), ("expires_in", 0), ("expires_in", -1), ("expires_in", "60"),
        ("expires_in", float("nan")), ("expires_in", True), ("expires_in", float("inf")), ("expires_in", 10**400),
        ("order_id", " P1"), ("order_id", "P1 "), ("order_id", "P1\u00a0"),
        ("notify_url", "ftp://x/"), ("notify_url", "https://user:pw@x/"), ("notify_url", "javascript:alert(1)"),
        ("notify_url", "//x/"), ("notify_url", "https://x/\n"),
        ("notify_url", "https://"), ("notify_url", "https://x y/"), ("notify_url", "https://x\\@y/"),
        ("notify_url", "https://x:99999/"), ("return_url", "/back"), ("return_url", 5),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_charge_request_is_named(field: str, value: object) -> None:
    """One change from a good example, and the error says which."""
    with pytest.raises(InvalidRequest) as caught:
        request(**{field: value})
    assert caught.value.field == field
    assert isinstance(caught.value, ValueError)


def test_a_good_request_is_taken_as_it_is() -> None:
    """Other scripts, ports and queries are all fine; a channel may be given by its name."""
    good = request(
        order_id="訂單-1", description="茶 🍵", channel="IN_STORE", notify_url="https://shop.example:8443/hook?x=1"
    )
    assert good.channel is Channel.IN_STORE
    assert request(description=" tea ", expires_in=0.5).description == " tea "
    assert request().channel is Channel.WEB


def test_the_charge_of_a_refund_is_a_reference() -> None:
    """An id in its place would be found out by a provider, as a bug of the provider's."""
    with pytest.raises(InvalidRequest, match="reference is a Reference"):
        RefundReference("R1", reference="pi_1")  # type: ignore[arg-type]
    assert RefundReference("R1", reference=Reference("P1")).reference == Reference("P1")


@pytest.mark.parametrize(
    "url",
    [
        "https://pay.example/a?b=c#d",
        "HTTPS://pay.example:8443",
        "http://[::1]:8000/",
        "wallet://pay?id=1",
        "com.shop.app:/back",
        "weixin://wxpay/bizpayurl?pr={a}|b",
    ],
)
def test_a_shopper_is_sent_to_an_address(url: str) -> None:
    """Of the web, or of an app on the phone."""
    assert Redirect(url).url == SubmitForm(url, ()).url == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "vbscript:x",
        "data:text/html,x",
        "blob:https://x/1",
        "file:///etc/passwd",
        "about:blank",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "//pay.example/",
        "/pay",
        "pay.example",
        "https:",
        "https://",
        "https://user@pay.example/",
        "HTTPS://user@pay.example/",
        "https://pay.example\\@evil.example",
        'https://pay"onmouseover=alert(1)//',
        "https://pay.example/<script>",
        "https://pay.example/a b",
        "https://pay.example/\n",
        "https://pay\x00.example/",
        "https://pay\u202e.example/",
        "wallet://a`b",
        "1wallet://a",
        "",
        None,
        5,
    ],
)
def test_next_action_url_refuses_programs_and_markup(url: Any) -> None:
    """Whatever a gateway answers and a plugin lets through."""
    for make in (lambda: Redirect(url), lambda: SubmitForm(url, ())):
        with pytest.raises(InvalidRequest) as caught:
            make()
        assert caught.value.field == "url"


def test_a_reference_names_something() -> None:
    """At least one of the two ids."""
    for make in (Reference, RefundReference):
        with pytest.raises(InvalidRequest):
            make()
    with pytest.raises(InvalidRequest):
        Reference(order_id=5)  # type: ignore[arg-type]


def test_captures_and_refunds_carry_their_own_ids() -> None:
    """Two refunds of 10.00 are two refunds, so each has a name; zero is no refund."""
    reference = Reference("P1")
    with pytest.raises(InvalidRequest):
        CaptureRequest(reference, "", HKD)
    with pytest.raises(InvalidRequest):
        RefundRequest(reference, "R1", Money(minor=0, currency="HKD"))
    with pytest.raises(InvalidRequest):
        RefundRequest("P1", "R1", HKD)  # type: ignore[arg-type]
    assert RefundRequest(reference, "R1", HKD).reason == ""
    for make, field in ((CaptureRequest, "capture_id"), (RefundRequest, "refund_id")):
        with pytest.raises(InvalidRequest) as caught:
            make(reference, "R1 ", HKD)
        assert caught.value.field == field


def charge(**changes: Any) -> Charge:
    values: dict[str, Any] = {
        "provider": "p",
        "reference": Reference("P1", "C1"),
        "status": PaymentStatus.SUCCEEDED,
        "raw_status": "PAID",
        "amount": HKD,
        "request_id": "rid-1",
    }
    return Charge(**(values | changes))


def compared(**changes: Any) -> Charge:
    """A charge that was compared with its order."""
    return charge(matched=True, **changes)


def test_paid_is_succeeded_with_a_known_and_whole_amount() -> None:
    """Everything else is not paid."""
    assert compared().is_paid
    assert compared(captured=HKD).is_paid
    assert not compared(captured=Money.of("87.99", "HKD")).is_paid
    assert not compared(captured=Money(minor=8800, currency="JPY")).is_paid
    assert not compared(amount=None).is_paid
    assert not compared(amount=Money(minor=0, currency="HKD")).is_paid
    for status in set(PaymentStatus) - {PaymentStatus.SUCCEEDED}:
        assert not compared(status=status).is_paid


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"reference": Reference("P2", "C1")}, "order_id"),
        ({"reference": Reference("p1", "C1")}, "order_id"),
        ({"amount": Money.of("88.01", "HKD")}, "amount"),
        ({"amount": Money.of("0.88", "HKD")}, "amount"),
        ({"amount": Money.of("88.00", "TWD")}, "currency"),
        ({"amount": None}, "amount"),
        ({"reference": Reference("P1", "C2")}, "provider_id"),
    ],
)
def test_a_charge_about_other_money_is_a_mismatch(changes: Any, field: str) -> None:
    """The ids known, the amount and the currency must agree."""
    with pytest.raises(Mismatch) as caught:
        charge(**changes).require("P1", HKD, provider_id="C1")
    assert (caught.value.field, caught.value.request_id) == (field, "rid-1")


def test_an_answer_that_names_no_order_is_nobodys() -> None:
    """An equal amount alone could be anybody's: one id must have been compared."""
    for given in ({}, {"provider_id": ""}):
        with pytest.raises(Mismatch):
            charge(reference=Reference("", "C1")).require("P1", HKD, **given)


@pytest.mark.parametrize("amount", [None, 88, "88.00", (8800, "HKD")])
def test_a_charge_is_compared_with_money_only(amount: Any) -> None:
    """A missing value of the caller's is the caller's mistake, not a mismatch."""
    with pytest.raises(InvalidRequest) as caught:
        charge().require("P1", amount)
    assert caught.value.field == "amount"


def test_a_charge_about_our_money_is_returned() -> None:
    """An id that the answer does not carry cannot disagree."""
    assert charge().require("P1", HKD).is_paid
    assert charge(reference=Reference("", "C1")).require("P1", HKD, provider_id="C1").is_paid


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "SUCCEEDED"},
        {"amount": 88.0},
        {"amount": "88.00"},
        {"reference": None},
        {"next_action": "redirect"},
        {"raw_status": None},
        {"captured": 1},
        {"reason": "DECLINED"},
        {"raw_reason": 5},
    ],
)
def test_a_charge_of_the_wrong_types_cannot_be_made(changes: Any) -> None:
    """A plugin's mistake is found where it is made."""
    with pytest.raises(TypeError):
        charge(**changes)


ACTIONS = [
    Redirect("https://x/"),
    ShowQRCode("https://x/"),
    SubmitForm("https://x/", (("a", "b"),)),
    CallSDK({"a": 1}),
    AwaitShopper(),
    Complete(),
]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_a_next_action_survives_encoding_and_is_told_apart(action: Any) -> None:
    """Platforms match on the type and may store it."""
    assert msgspec.json.decode(msgspec.json.encode(action), type=NextAction) == action
    assert len({type(each) for each in ACTIONS}) == 6
    hash(action)


def test_next_action_opens_only_a_nonfinal_status() -> None:
    """UNKNOWN stays UNKNOWN whatever else the answer carries."""
    table = {"OPEN": PaymentStatus.PENDING, "DONE": PaymentStatus.SUCCEEDED}
    action = Redirect("https://x/")
    assert unify("OPEN", table) is PaymentStatus.PENDING
    assert unify("OPEN", table, action) is PaymentStatus.REQUIRES_ACTION
    assert unify("DONE", table, action) is PaymentStatus.SUCCEEDED
    for word in ("done", "DONE ", "", "NEW"):
        assert unify(word, table, action) is PaymentStatus.UNKNOWN


def test_final_is_succeeded_cancelled_and_failed() -> None:
    """And nothing else."""
    assert {status for status in PaymentStatus if status.is_final} == {
        PaymentStatus.SUCCEEDED,
        PaymentStatus.CANCELLED,
        PaymentStatus.FAILED,
    }


def test_secret_is_hidden_everywhere() -> None:
    """Not to repr, str, format, pickle, copy, msgspec or vars."""
    secret = Secret("canary-of-values")
    for shown in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>40}",
        repr([secret]),
        repr({"a": secret}),
    ):
        assert "canary" not in shown
    for encode in (
        msgspec.json.encode,
        msgspec.msgpack.encode,
        msgspec.to_builtins,
        pickle.dumps,
        vars,
        Secret.__getstate__,
        lambda value: object.__reduce_ex__(value, 2),
        lambda value: msgspec.json.encode({"a": value}),
    ):
        with pytest.raises(TypeError) as caught:
            encode(secret)
        assert "canary" not in str(caught.value)
    with pytest.raises(AttributeError):
        secret.value = "x"  # type: ignore[attr-defined]
    assert copy.deepcopy(secret) == secret
    assert secret != Secret("other")
    assert secret != "canary-of-values"
    assert secret.reveal() == "canary-of-values"
    assert not Secret("")
    with pytest.raises(TypeError):
        Secret(b"x")  # type: ignore[arg-type]


def test_errors_keep_what_they_say_through_pickle_and_copy() -> None:
    """A worker process hands them on whole."""
    error = Rejected("no", code="RISK", raw_code="R7", request_id="rid")
    error.provider = "p"
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), error.fresh()):
        assert (type(again), str(again), again.code, again.raw_code) == (Rejected, str(error), RejectionCode.RISK, "R7")
    assert pickle.loads(pickle.dumps(OutcomeUnknown("x", repeatable=True))).repeatable is True
    assert pickle.loads(pickle.dumps(WebhookRejected("stale"))).reason == "stale"


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        (InvalidRequest, {"field": ""}), (Mismatch, {"field": ""}), (OutcomeUnknown, {"repeatable": False}),
        (RateLimited, {"retry_after": None}),
        (Rejected, {"code": RejectionCode.UNKNOWN, "definitive": False}), (WebhookRejected, {"reason": "malformed"}),
        (PaymentError, {}),
    ],
)  # fmt: skip
def test_an_error_whose_init_calls_no_other_is_whole(kind: Any, attributes: Any) -> None:
    """A plugin's subclass may forget super().__init__; the core and the platform read its attributes all the same."""
    error = type("Forgetful", (kind,), {"__init__": lambda self: None})()
    error.operation = "create_charge"
    assert str(error.fresh()) == "create_charge: "
    for name, value in (attributes | {"message": "", "request_id": "", "raw_code": "", "provider": ""}).items():
        assert getattr(error, name) == value


def test_every_error_is_a_payment_error() -> None:
    """One `except` is enough."""
    import payments_core

    kinds = [
        value for value in vars(payments_core).values() if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert len(kinds) >= 15
    assert all(issubclass(kind, PaymentError) for kind in kinds)


def test_a_request_reveals_its_secrets_only_on_demand() -> None:
    """The target is exact, for signing; what is shown is the path."""
    made = Request("GET", "/auth", query=(("a b", "ü&="), ("secret", Secret("canary/1"))), safe=True)
    assert made.target == "/auth?a%20b=%C3%BC%26%3D&secret=canary%2F1"
    assert "canary" not in repr(made)
    assert made.idempotent


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "BREW"},
        {"body": "text"},
        {"headers": (("a\n", "b"),)},
        {"headers": (("a", "b\r\nc: d"),)},
        {"headers": (("a", Secret("b\nc")),)},
        {"headers": (("a", "\ud800"),)},
        {"query": (("a", "\ud800"),)},
        {"query": (("\ud800", Secret("a")),)},
        {"query": (("a", Secret("\udc80")),)},
        {"url": None},
    ],
)
def test_a_request_that_could_smuggle_is_refused(changes: Any) -> None:
    """One change from a good example."""
    good: dict[str, Any] = {"method": "POST", "url": "/x", "headers": (("a", "b"),)}
    Request(**good)
    with pytest.raises(InvalidRequest):
        Request(**(good | changes))


@pytest.mark.parametrize("field", ["headers", "query"])
def test_headers_and_queries_are_tuples_of_pairs_of_text(field: str) -> None:
    """Whatever could be read only once would have been emptied by the check, and nothing sent."""
    pairs = (("a", "b"), ("c", Secret("d")))
    for given in (pairs, list(pairs), [list(pair) for pair in pairs], iter(pairs), (pair for pair in pairs)):
        assert getattr(Request("GET", "/x", **{field: given}), field) == pairs
    assert getattr(Request("GET", "/x", **{field: []}), field) == ()
    for bad in (
        None,
        5,
        "ab",
        ["ab"],
        {"ab": "c"},
        (("a",),),
        (("a", None),),
        ((None, "a"),),
        (("a", 5),),
        ((b"a", b"b"),),
        (None,),
    ):
        with pytest.raises(InvalidRequest) as caught:
            Request("GET", "/x", **{field: bad})  # type: ignore[arg-type]
        assert caught.value.field == field
        assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/a",
        "/a/",
        "/a.b/c~d",
        "/a%20b",
        "/%E8%8C%B6",
        "/a:b@c",
        "/a/.hidden",
        "/..a",
        "/a;b/c",
        "/...;/x",
        "/%2E%2Ea/x",
    ],
)
def test_ordinary_paths_are_taken(path: str) -> None:
    """An id that is encoded once stays an id."""
    assert Request("GET", path).target == path


@pytest.mark.parametrize(
    "path",
    [
        '/a"b', "/a{b}", "/a<b>", "/a`b", "/a|b", "/a^b", "/a[b]", "/a b", "/a%zz", "/a%4", "/a%", "/ü",
        "/a?b", "/a#b", "/a\\b", "/a\n", "/a%3Fb", "/a%5cb", "/a%0a", "/a%2fb", "/a%252e", "//", "/a//b",
        "/.", "/..", "/a/../b", "/a/./b", "/a/%2e%2E/b", "/..;/x", "/a/..;/x", "/a/.;b/x", "/a/%2e%2e;/x", "/a/..%3b/x",
    ],
)  # fmt: skip
def test_a_path_that_would_be_sent_or_read_otherwise_is_refused(path: str) -> None:
    """The signed path is the sent path, and no segment or parameter leads elsewhere."""
    for url in (path, f"https://gateway.example{path}"):
        with pytest.raises(InvalidRequest) as caught:
            Request("GET", url)
        assert caught.value.field == "url"


@pytest.mark.parametrize(
    "text", ["", ".", "..", "..;", ".;v=1", "a/b", "a%2fb", "a?b", "a#b", "a\\b", "a\nb", "a\x00", "\ud800", None]
)
def test_a_segment_is_one_id(text: Any) -> None:
    """Anything that could be more than an id is kept out of paths."""
    with pytest.raises(InvalidRequest) as caught:
        segment(text)
    assert caught.value.field == "reference"
    assert Request("GET", f"/a/{segment('ü b:c@d')}").target == "/a/%C3%BC%20b%3Ac%40d"


def test_digests_are_compared_without_a_trap() -> None:
    """Hexadecimal in either case, base64 padded; what is neither is simply not the same."""
    digest, other = bytes(range(32)), bytes(32)
    good = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert same_base64_digest(good, [other, digest])
    assert same_hex_digest(digest.hex().upper(), [other, digest])
    for bad in ("", good[:-1], good + "=", good + "\n", "é" * 44, good.replace("A", "-"), digest.hex()):
        assert not same_base64_digest(bad, [digest])
    for bad in ("", digest.hex()[:-2], digest.hex() + "00", "é" * 64, good, " " + digest.hex()):
        assert not same_hex_digest(bad, [digest])


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "200"}, {"status": None}, {"status": 200.0}, {"status": True}, {"status": 99}, {"status": -1},
        {"status": 600},
        {"headers": None}, {"headers": {"a": "b"}}, {"headers": [("a", "b")]}, {"headers": ("ab",)},
        {"headers": (("a", 5),)}, {"headers": ((b"a", "b"),)}, {"headers": (["a", "b"],)},
        {"headers": (("a", "b", "c"),)},
        {"body": "text"}, {"body": None}, {"body": bytearray(b"x")},
    ],
)  # fmt: skip
def test_a_response_of_the_wrong_types_cannot_be_made(changes: Any) -> None:
    """A platform's own transport is told where it makes its mistake."""
    good: dict[str, Any] = {"status": 200, "headers": (("a", "b"),), "body": b""}
    assert Response(**good).header("A") == "b"
    with pytest.raises(TypeError):
        Response(**(good | changes))


def test_a_response_is_read_in_one_way() -> None:
    """Whatever a decoder raises is a ProtocolViolation without a cause, and a doubled header is one too."""
    response = Response(200, (("X", "1"), ("x", "2"), ("Y", "3")), b"\xff")
    assert response.header("y") == "3"
    assert response.header("z") is None
    with pytest.raises(ProtocolViolation):
        response.header("x")
    deep = Response(200, (), b"[" * 100_000)
    for decoder in (msgspec.json.decode, bytes.decode, lambda body: 1 / 0):
        for each in (response, deep):
            if decoder is bytes.decode and each is deep:
                continue
            with pytest.raises(ProtocolViolation) as caught:
                each.decode(decoder)
            assert caught.value.__context__ is None


def test_a_flow_is_driven_without_any_gateway() -> None:
    """A provider is tested by handing it responses; a tap sees what passes."""

    def flow() -> Any:
        answer = yield Request("GET", "/a")
        try:
            yield Request("GET", "/b")
        except OSError:
            return answer.status
        return 0

    def perform(wanted: Request) -> Response:
        if wanted.url == "/b":
            raise OSError
        return Response(204)

    seen: list[Any] = []
    assert drive(tap(flow(), request=seen.append, response=seen.append), perform) == 204
    assert [type(each).__name__ for each in seen] == ["Request", "Response", "Request"]
    assert drive(tap(5), perform) == 5
