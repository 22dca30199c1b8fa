"""Classify errors by position: run a provider with a bug in every place over both gateways."""

from __future__ import annotations

import json
import pickle
from typing import Any

import msgspec
import pytest

from payments_core import (
    Accepted,
    Authorization,
    AuthorizationRejected,
    AwaitShopper,
    CallSDK,
    Channel,
    Charge,
    ChargeRequest,
    Complete,
    ConfigurationError,
    GatewayUnavailable,
    InvalidRequest,
    Method,
    Mismatch,
    Money,
    NotFound,
    Notification,
    OutcomeUnknown,
    PaymentError,
    PaymentStatus,
    ProtocolViolation,
    ProviderContractError,
    ProviderInfo,
    RateLimited,
    Redirect,
    Reference,
    Rejected,
    Request,
    Response,
    Secret,
    ShowQRCode,
    SubmitForm,
    UnsupportedOperation,
    WebhookDelivery,
    WebhookRejected,
    hookimpl,
)

HKD = Money.of("88.00", "HKD")
REQUEST = ChargeRequest("P1", HKD, "tea")
BOOM = "a text that must not leave: canary-of-position"


class Bug(Exception):
    """Whatever a plugin may raise."""


class Outside(BaseException):
    """Not even an Exception."""


class Config(msgspec.Struct):
    base_url: str = "http://127.0.0.1:9"


def charge(**changes: Any) -> Charge:
    values: dict[str, Any] = {
        "provider": "buggy",
        "reference": Reference("P1", "C1"),
        "status": PaymentStatus.PENDING,
        "raw_status": "PENDING",
        "amount": HKD,
    }
    return Charge(**(values | changes))


SAFE = Request("POST", "/safe", safe=True)
UNSAFE = Request("POST", "/unsafe")
KEYED = Request("POST", "/keyed", idempotent=True)


def buggy(script: Any, operations: frozenset[str] = frozenset()) -> type:
    """Return a provider whose every hook runs `script`, which may yield requests, raise, or return."""

    def run(*_: Any) -> Any:
        return script()

    class Buggy:
        config_type = Config
        info = ProviderInfo(
            id="buggy",
            title="Buggy",
            operations=operations,
            currencies=frozenset({"HKD"}),
            methods=(Method("only", "Only"),),
            channels=frozenset({Channel.WEB}),
            raw_statuses={},
            key_lifetime=3600,
        )

        def __init__(self, config: Config) -> None:
            pass

        @hookimpl
        def create_charge(self, request: ChargeRequest) -> Any:
            return run(request)

        @hookimpl
        def get_status(self, reference: Reference) -> Any:
            return run(reference)

        @hookimpl
        def parse_webhook(self, delivery: WebhookDelivery) -> Any:
            return run(delivery)

    return Buggy


CALLS = {
    "create_charge": lambda gateway: gateway.create_charge(REQUEST),
    "get_status": lambda gateway: gateway.get_status(Reference("P1")),
    "parse_webhook": lambda gateway: gateway.parse_webhook(WebhookDelivery(b"{}", {})),
}


def fault(opening: Any, install: Any, script: Any, call: str, answer: Any = None) -> PaymentError:
    """Return the error of the call, after checking everything it says."""
    install("buggy", buggy(script))
    gateway = opening("buggy", {}, transport=lambda request: (answer or ok)(request))
    with pytest.raises(PaymentError) as caught:
        CALLS[call](gateway)
    error = caught.value
    assert (error.provider, error.operation) == ("buggy", call)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "canary-of-position" not in str(error)
    return error


def ok(_: Request) -> Response:
    return Response(200, (), b"{}")


def before(error: Any) -> Any:
    def script() -> Any:
        raise error

    return script


def before_in_flow(error: Any) -> Any:
    def script() -> Any:
        if error is not None:
            raise error
        yield SAFE

    return script


def after(*requests: Request, error: Any = None, result: Any = None) -> Any:
    def script() -> Any:
        for request in requests:  # noqa: UP028 - `yield from` a tuple cannot be sent a response
            yield request
        if error is not None:
            raise error
        return result

    return script


BUGS = [
    Bug(BOOM),
    KeyError(BOOM),
    SystemExit(3),
    Outside(BOOM),
    StopIteration(),
    GeneratorExit(),
    RecursionError(),
    AssertionError(BOOM),
]
ids = [type(bug).__name__ for bug in BUGS]


@pytest.mark.parametrize("bug", BUGS, ids=ids)
@pytest.mark.parametrize("where", [before, before_in_flow])
@pytest.mark.parametrize("call", ["create_charge", "get_status"])
def test_a_bug_before_the_first_request_is_the_providers(
    opening: Any, install: Any, bug: Any, where: Any, call: str
) -> None:
    """Nothing was sent, so nothing is unknown: fix the installation."""
    assert type(fault(opening, install, where(bug), call)) is ProviderContractError


@pytest.mark.parametrize("where", [before, before_in_flow])
@pytest.mark.parametrize(
    "kind",
    [InvalidRequest, UnsupportedOperation, ConfigurationError, RateLimited, AuthorizationRejected, Mismatch, NotFound],
)
def test_what_a_hook_may_say_before_the_first_request_stays(opening: Any, install: Any, where: Any, kind: Any) -> None:
    """A hook refuses a call by raising what the caller should do about it."""
    assert type(fault(opening, install, where(kind("said")), "create_charge")) is kind


@pytest.mark.parametrize("kind", [ProtocolViolation, OutcomeUnknown, GatewayUnavailable, ProviderContractError])
def test_what_no_hook_can_know_before_the_first_request_is_a_bug(opening: Any, install: Any, kind: Any) -> None:
    """Before anything was sent there is no answer to misunderstand and no outcome to be unknown."""
    assert type(fault(opening, install, before(kind("said")), "create_charge")) is ProviderContractError


@pytest.mark.parametrize("bug", BUGS, ids=ids)
def test_a_bug_after_a_safe_request_is_not_understood(opening: Any, install: Any, bug: Any) -> None:
    """A create that has only asked something so far has taken no money."""
    assert type(fault(opening, install, after(SAFE, error=bug), "create_charge")) is ProtocolViolation


@pytest.mark.parametrize(
    "bug",
    [
        *BUGS,
        InvalidRequest("x"),
        ConfigurationError("x"),
        RateLimited("x"),
        AuthorizationRejected("x"),
        Mismatch("x"),
        ProtocolViolation("x"),
        WebhookRejected("signature"),
    ],
)
@pytest.mark.parametrize("requests", [(UNSAFE,), (UNSAFE, SAFE), (SAFE, UNSAFE)])
def test_anything_after_an_unsafe_request_is_an_unknown_outcome(
    opening: Any, install: Any, bug: Any, requests: Any
) -> None:
    """The money may have moved, whatever the plugin says or does afterwards."""
    error = fault(opening, install, after(*requests, error=bug), "create_charge")
    assert type(error) is OutcomeUnknown
    assert error.repeatable is False


def test_an_unknown_outcome_is_repeatable_when_all_that_was_sent_was_idempotent(opening: Any, install: Any) -> None:
    """Then, and only then, may the identical call be made again."""
    error = fault(opening, install, after(SAFE, KEYED, error=Bug(BOOM)), "create_charge")
    assert isinstance(error, OutcomeUnknown)
    assert error.repeatable is True
    error = fault(opening, install, after(UNSAFE, KEYED, error=Bug(BOOM)), "create_charge")
    assert isinstance(error, OutcomeUnknown)
    assert error.repeatable is False


def test_unknown_outcome_that_the_gateway_reports_keeps_its_code(opening: Any, install: Any) -> None:
    """A gateway may answer that it doesn't know. Whether to repeat the call is the core's to say."""
    for request, repeatable in ((UNSAFE, False), (KEYED, True)):
        told = OutcomeUnknown(
            "the gateway itself does not know", raw_code="UNKNOWN_EXCEPTION", repeatable=not repeatable
        )
        error = fault(opening, install, after(request, error=told), "create_charge")
        assert isinstance(error, OutcomeUnknown)
        assert (error.raw_code, error.repeatable) == ("UNKNOWN_EXCEPTION", repeatable)


@pytest.mark.parametrize("kind", [Rejected, NotFound])
@pytest.mark.parametrize("requests", [(), (SAFE,), (UNSAFE,)])
@pytest.mark.parametrize("call", ["create_charge", "get_status"])
def test_rejection_by_the_gateway_stays_rejected(
    opening: Any, install: Any, kind: Any, requests: Any, call: str
) -> None:
    """The hook has read the gateway's answer, wherever it stands."""
    assert type(fault(opening, install, after(*requests, error=kind("said no")), call)) is kind


@pytest.mark.parametrize(("call", "definitive"), [("create_charge", True), ("get_status", False)])
def test_rejected_query_is_not_definitive(opening: Any, install: Any, call: str, definitive: bool) -> None:
    """A query that is refused says nothing of the charge, whatever the provider's table says of that word."""
    error = fault(opening, install, after(SAFE, error=Rejected("bad version", definitive=True)), call)
    assert isinstance(error, Rejected)
    assert error.definitive is definitive


@pytest.mark.parametrize("kind", [Rejected, NotFound, ProtocolViolation, Mismatch])
def test_echoed_secret_is_not_in_the_error(opening: Any, install: Any, kind: Any) -> None:
    """Nor are the control characters of its words: an error goes into logs, and onto terminals."""

    class Keyed(msgspec.Struct):
        api_key: Secret
        short: Secret = Secret("a")
        base_url: str = "http://127.0.0.1:9"

    said = "no such key: sk_live_canary\n\x1b[31mfake line\u202e"
    provider = buggy(after(SAFE, error=kind(said, raw_code="sk_live_canary")))
    provider.config_type = Keyed
    install("buggy", provider)
    gateway = opening("buggy", {"api_key": "sk_live_canary"}, transport=ok)
    with pytest.raises(kind) as caught:
        gateway.get_status(Reference("P1"))
    error = caught.value
    assert error.message == "no such key: ***\ufffd\ufffd[31mfake line\ufffd"
    assert (error.args, error.raw_code) == ((error.message,), "***")
    assert b"canary" not in pickle.dumps(error)


@pytest.mark.parametrize("token", ["tok_canary_of_this_hour"])
def test_echoed_token_is_not_in_the_error(opening: Any, install: Any, token: str) -> None:
    """That one no configuration knows."""

    class Echoing(buggy(None)):  # type: ignore[misc]
        @hookimpl
        def authorize(self) -> Authorization:
            return Authorization(Secret(token))

        @hookimpl
        def get_status(self, authorization: Authorization, reference: Reference) -> Any:
            yield SAFE
            raise Rejected(f"{authorization.token.reveal()} may not do that")

    install("buggy", Echoing)
    with pytest.raises(Rejected) as caught:
        opening("buggy", {}, transport=ok).get_status(Reference("P1"))
    assert caught.value.message == "*** may not do that"


def test_an_unknown_outcome_says_what_to_do_next(opening: Any, install: Any) -> None:
    """Asking where that is possible, the identical call where it is not, and within what time."""
    asking = "ask for the status, do not send it again"
    again = "make the identical call again, with this error's first_sent_at, within 3600 seconds of the first one"
    for request, changes, said in (
        (UNSAFE, {}, asking),
        (KEYED, {"key_lifetime": 3600}, f"ask for the status; where that is impossible, {again}"),
        (KEYED, {"key_lifetime": 3600, "query_by": frozenset({"provider_id"})}, f"accepted: {again}"),
    ):
        provider = buggy(after(request, error=Bug(BOOM)))
        provider.info = msgspec.structs.replace(provider.info, **changes)
        install("buggy", provider)
        with pytest.raises(OutcomeUnknown) as caught:
            opening("buggy", {}, transport=ok).create_charge(REQUEST)
        assert caught.value.message.endswith(said)


@pytest.mark.parametrize(
    "result",
    [
        None,
        5,
        "paid",
        Bug(BOOM),
        charge(provider="other"),
        charge(reference=Reference("P2", "C1")),
        charge(amount=Money.of("8.80", "HKD")),
    ],
)
def test_a_result_that_is_not_the_charge_asked_for_is_an_unknown_outcome(
    opening: Any, install: Any, result: Any
) -> None:
    """A create that echoes another order or amount, or no charge at all, has been sent all the same."""
    assert type(fault(opening, install, after(UNSAFE, result=result), "create_charge")) is OutcomeUnknown


@pytest.mark.parametrize(
    "action",
    [
        Redirect("https://pay.example/1"),
        ShowQRCode("weixin://1"),
        SubmitForm("https://pay.example/1", (("MD", "x"),)),
        CallSDK({"type": "threeDS2", "token": "x"}),
        AwaitShopper(),
        Complete(),
    ],
    ids=lambda action: type(action).__name__,
)
def test_answer_to_a_create_without_ids_or_amount_keeps_its_next_action(
    opening: Any, install: Any, action: Any
) -> None:
    """An answer that only asks for a redirect may name nothing: the plugin gives it the order id that it sent."""
    bare = charge(reference=Reference("P1"), status=PaymentStatus.REQUIRES_ACTION, amount=None, next_action=action)
    install("buggy", buggy(after(UNSAFE, result=bare)))
    made = opening("buggy", {}, transport=ok).create_charge(REQUEST)
    assert (made.reference, made.amount, made.next_action) == (Reference("P1"), None, action)


def test_answer_to_a_create_with_the_gateway_s_id_alone_is_compared_by_it(opening: Any, install: Any) -> None:
    install("buggy", buggy(after(UNSAFE, result=charge(reference=Reference("", "C1")))))
    made = opening("buggy", {}, transport=ok).create_charge(REQUEST)
    assert made.reference == Reference("", "C1")
    with pytest.raises(Mismatch):
        made.require("P1", HKD)
    assert made.require("P1", HKD, provider_id="C1").matched


def test_a_coroutine_is_no_result(opening: Any, install: Any) -> None:
    """A plugin that does I/O of its own is found out, and its coroutine is closed without a warning."""

    async def late() -> Charge:
        return charge()

    assert type(fault(opening, install, late, "create_charge")) is ProviderContractError
    assert type(fault(opening, install, lambda: late(), "get_status")) is ProviderContractError


@pytest.mark.parametrize("yielded", [None, "GET /", ("GET", "/"), Request])
def test_a_flow_that_yields_no_request_is_a_bug(opening: Any, install: Any, yielded: Any) -> None:
    """The position still decides what that is called."""
    assert type(fault(opening, install, after(yielded), "create_charge")) is ProviderContractError
    assert type(fault(opening, install, after(SAFE, yielded), "create_charge")) is ProtocolViolation
    assert type(fault(opening, install, after(UNSAFE, yielded), "create_charge")) is OutcomeUnknown


@pytest.mark.parametrize("bug", BUGS, ids=ids)
def test_a_query_never_has_an_unknown_outcome(opening: Any, install: Any, bug: Any) -> None:
    """Not even when the provider forgot to call its request safe."""
    assert type(fault(opening, install, after(UNSAFE, error=bug), "get_status")) is ProtocolViolation


def test_a_status_of_another_charge_is_a_mismatch(opening: Any, install: Any) -> None:
    """The ids answered must be the ids asked about."""
    error = fault(opening, install, after(SAFE, result=charge(reference=Reference("P2", "C1"))), "get_status")
    assert isinstance(error, Mismatch)
    assert error.field == "order_id"


@pytest.mark.parametrize("bug", [*BUGS, InvalidRequest("x"), ProtocolViolation("x"), GatewayUnavailable("x")])
def test_a_bug_while_reading_a_webhook_rejects_it(opening: Any, install: Any, bug: Any) -> None:
    """An unreadable notification is not trusted."""
    error = fault(opening, install, before(bug), "parse_webhook")
    assert isinstance(error, WebhookRejected)
    assert error.reason == "malformed"


@pytest.mark.parametrize("result", [None, (), Notification, charge()])
def test_a_webhook_hook_that_returns_no_notification_rejects_it(opening: Any, install: Any, result: Any) -> None:
    """A value of the wrong type never reaches the platform."""
    error = fault(opening, install, lambda: result, "parse_webhook")
    assert isinstance(error, WebhookRejected)
    assert error.reason == "malformed"


@pytest.mark.parametrize("kind", [ConfigurationError, UnsupportedOperation])
def test_what_the_platform_must_mend_is_said_of_a_webhook_too(opening: Any, install: Any, kind: Any) -> None:
    """A signature that covers the URL needs the URL: that is no forgery."""
    assert type(fault(opening, install, before(kind("give the url")), "parse_webhook")) is kind


def test_rejected_webhook_keeps_the_plugin_s_message(opening: Any, install: Any) -> None:
    """A genuine notification of another account is malformed here, and the message says why."""
    error = fault(opening, install, before(WebhookRejected("malformed", "is of another account")), "parse_webhook")
    assert isinstance(error, WebhookRejected)
    assert (error.reason, "is of another account" in str(error)) == ("malformed", True)


def test_a_webhook_that_must_ask_the_gateway_fails_like_a_query(opening: Any, install: Any) -> None:
    """After the first request it is the transport or the answer that failed, not the notification."""
    assert type(fault(opening, install, after(SAFE, error=Bug(BOOM)), "parse_webhook")) is ProtocolViolation
    assert (
        type(fault(opening, install, after(SAFE), "parse_webhook", answer=lambda _: Response(500)))
        is GatewayUnavailable
    )
    assert (
        type(fault(opening, install, after(SAFE, error=WebhookRejected("stale")), "parse_webhook")) is WebhookRejected
    )


STATUSES = {
    401: AuthorizationRejected,
    403: AuthorizationRejected,
    429: RateLimited,
    301: GatewayUnavailable,
    302: GatewayUnavailable,
    304: GatewayUnavailable,
    500: GatewayUnavailable,
    503: GatewayUnavailable,
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_statuses_that_decide_never_enter_a_query(opening: Any, install: Any, status: int, kind: Any) -> None:
    """The core answers them, whatever the body says."""
    entered = []

    def script() -> Any:
        entered.append((yield SAFE))
        return charge()

    assert (
        type(
            fault(
                opening, install, script, "get_status", answer=lambda _: Response(status, (), b'{"status":"SUCCEEDED"}')
            )
        )
        is kind
    )
    assert entered == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthorizationRejected),
        (403, OutcomeUnknown),
        (429, RateLimited),
        (302, OutcomeUnknown),
        (500, OutcomeUnknown),
        (503, OutcomeUnknown),
    ],
)
def test_statuses_that_decide_a_create(opening: Any, install: Any, status: int, kind: Any) -> None:
    """Only 401 and 429 say that nothing was accepted, no 403: a firewall answers 403 after the gateway."""
    assert (
        type(
            fault(opening, install, after(UNSAFE, result=charge()), "create_charge", answer=lambda _: Response(status))
        )
        is kind
    )


def test_a_429_after_an_unsafe_request_is_an_unknown_outcome(opening: Any, install: Any) -> None:
    """The second request was refused, the first was not."""
    script = after(UNSAFE, Request("POST", "/second"), result=charge())
    answer = lambda request: Response(429 if request.path == "/second" else 200)  # noqa: E731
    assert type(fault(opening, install, script, "create_charge", answer=answer)) is OutcomeUnknown
    answer = lambda request: Response(429 if request.path == "/unsafe" else 200)  # noqa: E731
    assert (
        type(fault(opening, install, after(SAFE, UNSAFE, result=charge()), "create_charge", answer=answer))
        is RateLimited
    )


def test_closing_a_flow_that_refuses_to_close_changes_nothing(opening: Any, install: Any) -> None:
    """The first fault is the one that counts."""

    def stubborn() -> Any:
        try:
            yield UNSAFE
        finally:
            raise SystemExit(BOOM)

    assert type(fault(opening, install, stubborn, "create_charge", answer=lambda _: Response(500))) is OutcomeUnknown

    def yielding() -> Any:
        try:
            yield SAFE
        finally:
            yield SAFE

    assert (
        type(fault(opening, install, yielding, "get_status", answer=lambda _: Response(401))) is AuthorizationRejected
    )


@pytest.mark.parametrize("raised", [Bug(BOOM), OSError(BOOM), TypeError(BOOM)])
def test_a_platforms_own_transport_may_raise_anything(opening: Any, install: Any, raised: Exception) -> None:
    """Any exception of it counts as sent, because nobody knows."""

    def broken(_: Request) -> Response:
        raise raised

    assert type(fault(opening, install, after(UNSAFE), "create_charge", answer=broken)) is OutcomeUnknown
    assert type(fault(opening, install, after(SAFE), "get_status", answer=broken)) is GatewayUnavailable
    assert type(fault(opening, install, after(SAFE), "get_status", answer=lambda _: None)) is GatewayUnavailable


@pytest.mark.parametrize("passing", [KeyboardInterrupt, MemoryError])
def test_what_is_not_the_plugins_to_handle_passes(opening: Any, install: Any, passing: Any) -> None:
    """Ctrl-C and an exhausted machine are nobody's payment error."""
    install("buggy", buggy(before(passing())))
    gateway = opening("buggy", {}, transport=ok)
    for call in CALLS.values():
        with pytest.raises(passing):
            call(gateway)


@pytest.mark.parametrize(
    "url",
    [
        "//evil.example/x",
        "/a/../b",
        "/a/%2e%2e/b",
        "/a?x=1",
        "/a#x",
        "/a\\b",
        "/a/%2fb",
        "/a%00",
        "/a%0d%0ab",
        "/a%252e",
        "a",
        "",
        "/ä",
        "/a b",
        "/a//b",
        "https://evil.example/x",
        "http://127.0.0.1/x",
    ],
)
def test_an_id_cannot_become_a_path(opening: Any, install: Any, url: str) -> None:
    """A request that would go elsewhere is never sent."""

    def script() -> Any:
        yield Request("GET", url, safe=True)

    install("buggy", buggy(script))
    gateway = opening("buggy", {}, transport=ok)
    with pytest.raises((InvalidRequest, ProviderContractError)):
        gateway.get_status(Reference("P1"))
    assert gateway.script.requests == []


class Authorizing:
    """A provider with a token, whose create makes two requests."""

    config_type = Config
    info = buggy(lambda: None).info  # type: ignore[attr-defined]
    requests: tuple[Request, ...] = (SAFE, UNSAFE)

    def __init__(self, config: Config) -> None:
        self.contexts: list[Any] = []

    @hookimpl
    def authorize(self) -> Any:
        answer = yield Request("POST", "/token", safe=True)
        return Authorization(Secret(answer.decode(json.loads)["token"]), expires_in=3600)

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Any:
        for each in type(self).requests:
            yield msgspec.structs.replace(each, headers=(("authorization", authorization.credentials),))
        return charge()

    @hookimpl
    def get_status(self, authorization: Authorization) -> Any:
        yield msgspec.structs.replace(SAFE, headers=(("authorization", authorization.credentials),))
        return charge()


class Server:
    """Answers by path with what is listed, the last again and again; tokens count up."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.tokens = 0
        self.paths: list[str] = []

    def __call__(self, request: Request) -> Response:
        name = request.path.strip("/")
        self.paths.append(name)
        if name == "token" and "token" not in self.answers:
            self.tokens += 1
            return Response(200, (), json.dumps({"token": f"t{self.tokens}"}).encode())
        listed = self.answers.get(name, [200])
        status = listed.pop(0) if len(listed) > 1 else listed[0]
        return status if isinstance(status, Response) else Response(status)


def run(
    opening: Any,
    install: Any,
    requests: tuple[Request, ...],
    server: Server,
    call: str = "create_charge",
    **options: Any,
) -> Any:
    install("buggy", type("Two", (Authorizing,), {"requests": requests}))
    gateway = opening("buggy", {}, transport=lambda request: server(request), **options)
    return CALLS[call](gateway)


def test_refused_token_is_renewed_and_the_run_restarts(opening: Any, install: Any) -> None:
    """Everything before the refused request was idempotent, and the refused one was not accepted."""
    server = Server(unsafe=[401, 200])
    assert run(opening, install, (SAFE, UNSAFE), server).reference.provider_id == "C1"
    assert server.paths == ["token", "safe", "unsafe", "token", "safe", "unsafe"]


def test_newer_tokens_are_tried_until_the_deadline(opening: Any, install: Any) -> None:
    """Another process may obtain tokens that end ours, again and again."""
    server = Server(unsafe=[401, 401, 401, 200])
    assert run(opening, install, (UNSAFE,), server).reference.provider_id == "C1"
    assert server.paths == ["token", "unsafe"] * 4


def test_a_token_that_is_always_refused_is_refused_within_the_deadline(opening: Any, install: Any) -> None:
    """The pauses between renewals grow: a refused account does not storm the gateway."""
    server = Server(unsafe=[401])
    install("buggy", type("One", (Authorizing,), {"requests": (UNSAFE,)}))
    gateway = opening("buggy", {}, transport=lambda request: server(request), deadline=3)
    with pytest.raises(AuthorizationRejected) as caught:
        gateway.create_charge(REQUEST)
    assert caught.value.accepted is Accepted.NO
    assert 4 <= len(server.paths) <= 40


def test_a_403_to_a_create_is_not_sent_again_with_a_new_token(opening: Any, install: Any) -> None:
    """A firewall in front of the gateway can answer 403 after the gateway has accepted."""
    server = Server(unsafe=[403, 200])
    with pytest.raises(OutcomeUnknown) as caught:
        run(opening, install, (UNSAFE,), server)
    assert caught.value.accepted is Accepted.UNKNOWN
    assert server.paths == ["token", "unsafe"]


def test_a_403_to_a_keyed_create_is_repeated_and_stays_unknown(opening: Any, install: Any) -> None:
    """The key makes the repetition harmless; the first one may still have been accepted."""
    server = Server(keyed=[403])
    install("buggy", type("One", (Authorizing,), {"requests": (KEYED,)}))
    gateway = opening("buggy", {}, transport=lambda request: server(request), deadline=2)
    with pytest.raises(OutcomeUnknown) as caught:
        gateway.create_charge(REQUEST)
    assert caught.value.repeatable
    assert server.paths[:4] == ["token", "keyed", "token", "keyed"]


def test_a_403_that_a_provider_declares_a_refusal_renews_the_token(opening: Any, install: Any) -> None:
    """The gateway documents that it decides a 403 before it accepts anything."""
    info = msgspec.structs.replace(Authorizing.info, refusal_statuses=frozenset({401, 403, 429}))
    install("buggy", type("Declaring", (Authorizing,), {"requests": (UNSAFE,), "info": info}))
    server = Server(unsafe=[403, 200])
    gateway = opening("buggy", {}, transport=lambda request: server(request))
    assert gateway.create_charge(REQUEST).reference.provider_id == "C1"
    assert server.paths == ["token", "unsafe", "token", "unsafe"]


@pytest.mark.parametrize("statuses", [{500}, {401, 404}, [401], None])
def test_refusal_statuses_are_of_three(statuses: Any) -> None:
    """No other status says that nothing was accepted."""
    with pytest.raises(TypeError, match="refusal_statuses"):
        msgspec.structs.replace(Authorizing.info, refusal_statuses=statuses)


def test_a_run_that_sent_money_is_not_made_again_for_a_new_token(opening: Any, install: Any) -> None:
    """The first request may have been accepted: making it again could charge twice."""
    server = Server(second=[401, 200])
    with pytest.raises(OutcomeUnknown):
        run(opening, install, (UNSAFE, Request("POST", "/second")), server)
    assert server.paths == ["token", "unsafe", "second"]


def test_a_renewal_that_gives_the_same_token_ends_the_call(opening: Any, install: Any) -> None:
    """Sending the same token again could only be refused again."""
    server = Server(token=[Response(200, (), b'{"token":"same"}')], unsafe=[401])
    with pytest.raises(AuthorizationRejected):
        run(opening, install, (UNSAFE,), server)
    assert server.paths == ["token", "unsafe", "token"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, GatewayUnavailable), (302, GatewayUnavailable), (401, AuthorizationRejected), (429, RateLimited)],
)
def test_authorization_failure_in_create_is_not_an_unknown_outcome(
    opening: Any, install: Any, status: int, kind: Any
) -> None:
    """No money was asked for yet."""
    with pytest.raises(PaymentError) as caught:
        run(opening, install, (UNSAFE,), Server(token=[status]))
    assert type(caught.value) is kind


def test_unreadable_token_is_not_an_authentication_error(opening: Any, install: Any) -> None:
    """A maintenance page with 200 says nothing about the credentials."""
    with pytest.raises(ProtocolViolation):
        run(opening, install, (UNSAFE,), Server(token=[Response(200, (), b"<html>")]))


@pytest.mark.parametrize("call", ["get_status"])
def test_a_query_is_made_again_where_that_helps(opening: Any, install: Any, call: str) -> None:
    """A safe run is repeated after a 5xx, with the token it has."""
    server = Server(safe=[503, 500, 200])
    run(opening, install, (), server, call)
    assert server.paths == ["token", "safe", "safe", "safe"]


def test_a_create_is_never_made_again_after_a_5xx(opening: Any, install: Any) -> None:
    """It may have been accepted."""
    server = Server(unsafe=[503, 200])
    with pytest.raises(OutcomeUnknown):
        run(opening, install, (SAFE, UNSAFE), server)
    assert server.paths == ["token", "safe", "unsafe"]


def test_a_keyed_create_is_made_again_from_its_start(opening: Any, install: Any) -> None:
    """The gateway documents one effect for one key."""
    server = Server(keyed=[503, 200])
    run(opening, install, (SAFE, KEYED), server)
    assert server.paths == ["token", "safe", "keyed", "safe", "keyed"]


def test_a_keyed_create_that_never_succeeds_stays_unknown(opening: Any, install: Any) -> None:
    """A refusal in a later run does not undo what an earlier run may have done."""
    with pytest.raises(OutcomeUnknown) as caught:
        run(opening, install, (KEYED,), Server(keyed=[503, 401]), deadline=3)
    assert caught.value.repeatable is True


def test_a_429_is_waited_for_on_a_query_and_never_on_a_create(opening: Any, install: Any) -> None:
    """Retry-After is obeyed where nothing can be charged twice and the deadline allows it."""
    busy = Response(429, (("Retry-After", "0"),))
    server = Server(safe=[busy, 200])
    run(opening, install, (), server, "get_status")
    assert server.paths == ["token", "safe", "safe"]
    server = Server(unsafe=[busy, 200])
    with pytest.raises(RateLimited) as caught:
        run(opening, install, (UNSAFE,), server)
    assert caught.value.retry_after == 0
    assert server.paths == ["token", "unsafe"]
    server = Server(safe=[Response(429, (("retry-after", "3600"),)), 200])
    with pytest.raises(RateLimited) as caught:
        run(opening, install, (), server, "get_status")
    assert caught.value.retry_after == 3600
    assert server.paths == ["token", "safe"]


def test_rejection_after_a_lost_attempt_is_not_definitive(opening: Any, install: Any) -> None:
    """The gateway's definitive no is about the last attempt, not about the one whose answer was lost."""

    def rejecting(error: Any) -> Any:
        def create_charge(self: Any, request: ChargeRequest) -> Any:
            yield KEYED
            raise error

        return type("Rejecting", (Authorizing,), {"create_charge": hookimpl(create_charge)})

    for answers, error, kind, definitive in (
        ([200], Rejected("no", definitive=True), Rejected, True),
        ([503, 200], Rejected("no", definitive=True), Rejected, False),
        ([200], NotFound("none"), NotFound, None),
        ([503, 200], NotFound("none"), OutcomeUnknown, None),
    ):
        install("buggy", rejecting(error))
        server = Server(keyed=list(answers))
        gateway = opening("buggy", {}, transport=lambda request, server=server: server(request))
        with pytest.raises(PaymentError) as caught:
            gateway.create_charge(REQUEST)
        assert type(caught.value) is kind
        assert getattr(caught.value, "definitive", None) is definitive
        assert caught.value is not error


def test_an_error_object_that_a_plugin_keeps_is_never_changed(opening: Any, install: Any) -> None:
    """The second call would report the first call's request id."""
    kept = Rejected("no")
    error = fault(opening, install, after(UNSAFE, error=kept), "create_charge")
    assert error is not kept
    assert (kept.provider, kept.operation, kept.request_id, kept.__traceback__) == ("", "", "", kept.__traceback__)


class Careless(Rejected):
    """A subclass that forgot its parent's constructor."""

    def __init__(self) -> None:
        pass


class CarelessRequest(InvalidRequest):
    """The same for an error that is not kept."""

    def __init__(self) -> None:
        pass


def test_a_careless_subclass_of_an_error_is_still_named(opening: Any, install: Any) -> None:
    """Before a request and after one that may have been accepted."""
    assert isinstance(fault(opening, install, before(CarelessRequest()), "create_charge"), InvalidRequest)
    assert isinstance(fault(opening, install, after(UNSAFE, error=Careless()), "create_charge"), Rejected)
    assert type(fault(opening, install, after(UNSAFE, error=CarelessRequest()), "create_charge")) is OutcomeUnknown


def odd_response(**changes: Any) -> Any:
    """A Response that its constructor would refuse, as a platform's own transport may make one."""

    def answer(_: Request) -> Response:
        response = Response(200, (), b"{}")
        for name, value in changes.items():
            msgspec.structs.force_setattr(response, name, value)
        return response

    return answer


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "200"},
        {"status": None},
        {"status": 429, "headers": None},
        {"status": 429, "headers": {"retry-after": "1"}},
        {"headers": 5},
        {"body": "{}"},
    ],
)
def test_an_answer_of_the_wrong_shape_is_named_by_its_position(opening: Any, install: Any, changes: Any) -> None:
    """The request was sent, whatever the transport makes of the answer."""

    def read(request: Request) -> Any:
        def script() -> Any:
            answer = yield request
            answer.header("x")
            answer.decode(json.loads)
            return charge(status="no status")

        return script

    assert type(fault(opening, install, read(UNSAFE), "create_charge", answer=odd_response(**changes))) in {
        OutcomeUnknown,
        RateLimited,
    }
    install("buggy", buggy(read(SAFE)))
    gateway = opening("buggy", {}, transport=odd_response(**changes))
    with pytest.raises(PaymentError):
        gateway.get_status(Reference("P1"))


@pytest.mark.parametrize("deadline", [10**400, float("inf"), -(10**400)], ids=["huge", "infinite", "negative"])
def test_a_deadline_beyond_all_numbers_is_no_deadline(opening: Any, install: Any, deadline: Any) -> None:
    """A huge integer is more than a float can hold, and a huge time to wait."""
    install("buggy", buggy(after(SAFE, result=charge())))
    gateway = opening("buggy", {}, transport=ok)
    if deadline == 10**400:
        assert gateway.get_status(Reference("P1"), deadline=deadline).raw_status == "PENDING"
    else:
        with pytest.raises(InvalidRequest):
            gateway.get_status(Reference("P1"), deadline=deadline)


# The gateway's own word on sending again.


def advising(advice: Any, script: Any, key_lifetime: float | None = None) -> type:
    """Return a provider whose gateway gives this advice with every answer."""

    class Advising(buggy(script)):  # type: ignore[misc]
        info = msgspec.structs.replace(buggy(script).info, key_lifetime=key_lifetime)

        @hookimpl
        def read_retry_advice(self, response: Response) -> Any:
            if isinstance(advice, BaseException):
                raise advice
            return advice

    return Advising


def conflict() -> Any:
    response = yield KEYED
    if response.status == 409:
        raise ProtocolViolation("an earlier request with this key is under way")
    return charge()


def sent(opening: Any, install: Any, provider: type, statuses: list[int], call: str = "create_charge") -> list[Any]:
    """Return the outcome of the call, and the number of requests."""
    install("buggy", provider)
    answers = iter(statuses)
    gateway = opening("buggy", {}, transport=lambda _: Response(next(answers)))
    try:
        outcome: Any = CALLS[call](gateway)
    except PaymentError as exc:
        outcome = exc
    return [type(outcome), len(gateway.script.requests)]


def test_advice_to_send_again_repeats_a_keyed_run_that_could_not_be_read(opening: Any, install: Any) -> None:
    """A 409 while the first request is under way ends well, with the charge that it made."""
    assert sent(opening, install, advising(True, conflict), [409, 409, 200]) == [Charge, 3]
    for advice in (None, False, "true", 1, Bug()):
        assert sent(opening, install, advising(advice, conflict), [409, 200]) == [OutcomeUnknown, 1]


def test_advice_not_to_send_again_ends_the_retries(opening: Any, install: Any) -> None:
    def keyed() -> Any:
        yield KEYED
        return charge()

    def safe() -> Any:
        yield SAFE
        return charge()

    assert sent(opening, install, advising(None, keyed), [503, 503, 200]) == [Charge, 3]
    assert sent(opening, install, advising(False, keyed), [503, 200]) == [OutcomeUnknown, 1]
    assert sent(opening, install, advising(False, safe), [429, 200], "get_status") == [RateLimited, 1]


def test_advice_never_makes_a_run_repeatable(opening: Any, install: Any) -> None:
    """A request that isn't idempotent is sent once, whatever the gateway advises."""

    def unkeyed() -> Any:
        response = yield UNSAFE
        if response.status == 409:
            raise ProtocolViolation("conflict")
        return charge()

    assert sent(opening, install, advising(True, unkeyed), [409, 200]) == [OutcomeUnknown, 1]
    assert sent(opening, install, advising(True, unkeyed), [503, 200]) == [OutcomeUnknown, 1]


def test_a_keyed_request_is_not_sent_again_after_its_key_has_lived(opening: Any, install: Any) -> None:
    """Beyond `key_lifetime` the gateway would take the same request for a new one."""
    for lifetime, count in ((1e-9, 1), (60.0, 2)):
        provider = advising(True, conflict, key_lifetime=lifetime)
        assert sent(opening, install, provider, [409, 200])[1] == count
        assert sent(opening, install, provider, [503, 200])[1] == count
