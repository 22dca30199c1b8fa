"""Check the plugin when a gateway is opened, before it can do harm."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from payments_core import (
    AsyncGateway,
    Authorization,
    Channel,
    Charge,
    ChargeRequest,
    Complete,
    ConfigurationError,
    Gateway,
    InvalidRequest,
    Limits,
    Method,
    Mismatch,
    Money,
    Notification,
    PaymentError,
    PaymentStatus,
    ProviderContractError,
    ProviderInfo,
    ProviderNotFound,
    Reference,
    Request,
    Response,
    Secret,
    Subject,
    UnsupportedOperation,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
    hookimpl,
    installed_providers,
    tap,
    unify,
)
from payments_core.requests import check_amount

HKD = Money.of("88.00", "HKD")
INFO: dict[str, Any] = {
    "id": "good",
    "title": "Good",
    "currencies": frozenset({"HKD"}),
    "methods": (Method("a", "A"), Method("b", "B")),
    "channels": frozenset({Channel.WEB}),
    "raw_statuses": {"OPEN": PaymentStatus.PENDING},
}


class Config(msgspec.Struct):
    key: Secret = Secret("")
    base_url: str = "http://127.0.0.1:9"


def charge(reference: Reference = Reference("P1", "C1"), status: PaymentStatus = PaymentStatus.PENDING) -> Charge:  # noqa: B008
    return Charge("good", reference, status, "OPEN", HKD)


class Good:
    """A provider that keeps the contract; the tests change one thing at a time."""

    config_type: Any = Config
    info: Any = ProviderInfo(**INFO)

    def __init__(self, config: Config) -> None:
        self.config = config

    @hookimpl
    def authorize(self) -> Authorization:
        return Authorization(Secret("static"))

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Any:
        yield Request("POST", "/create")
        return charge(Reference(request.order_id, request.method))

    @hookimpl
    def get_status(self, reference: Reference) -> Any:
        yield Request("GET", "/status", safe=True)
        return charge(reference)

    @hookimpl
    def parse_webhook(self, delivery: WebhookDelivery) -> Notification:
        return Notification(
            (
                WebhookEvent("good", Subject.CHARGE, "paid", Reference("P1"), "1"),
                WebhookEvent("good", Subject.OTHER, "new", None, "2"),
            )
        )


def info(**changes: Any) -> ProviderInfo:
    return ProviderInfo(**(INFO | changes))


def opened(install: Any, opening: Any, provider: Any = Good, **options: Any) -> Any:
    install("good", provider)
    return opening("good", {}, transport=lambda _: Response(200), **options)


def refused(install: Any, opening: Any, provider: Any, kind: Any = ProviderContractError, **options: Any) -> str:
    install("good", provider)
    with pytest.raises(kind) as caught:
        opening("good", {}, transport=lambda _: Response(200), **options)
    return str(caught.value)


def without(*hooks: str, **more: Any) -> type:
    """A copy of the good provider without some hooks."""
    return type(
        "Changed",
        (),
        {name: value for name, value in vars(Good).items() if name not in {"__dict__", "__weakref__", *hooks}} | more,
    )


def test_a_provider_that_keeps_the_contract_is_opened(install: Any, opening: Any) -> None:
    """The positive control of every refusal below; the first method is the default."""
    gateway = opened(install, opening)
    assert gateway.create_charge(ChargeRequest("P1", HKD, "tea")).reference == Reference("P1", "a")
    assert gateway.create_charge(ChargeRequest("P1", HKD, "tea", method="b")).reference == Reference("P1", "b")
    assert gateway.info.id == "good"


@pytest.mark.parametrize("hook", ["create_charge", "authorize"])
def test_a_missing_hook_is_refused_by_name(install: Any, opening: Any, hook: str) -> None:
    """pluggy itself would answer None."""
    assert hook in refused(install, opening, without(hook))


def test_some_way_to_learn_the_end_is_required(install: Any, opening: Any) -> None:
    """A query, or webhooks that stand for themselves."""
    assert "get_status" in refused(install, opening, without("get_status", "parse_webhook"))
    assert "authoritative" in refused(install, opening, without("get_status"))
    install("good", without("get_status", info=info(authoritative_webhooks=True)))
    with pytest.raises(UnsupportedOperation):
        opening("good", {}, transport=lambda _: Response(200)).get_status(Reference("P1"))


def test_a_misspelt_hook_is_refused_by_name(install: Any, opening: Any) -> None:
    """pluggy would never call it."""
    bad = without(get_statsu=hookimpl(lambda self, reference: None))
    assert "get_statsu" in refused(install, opening, bad)


def test_a_hook_with_a_wrong_argument_is_refused_by_name(install: Any, opening: Any) -> None:
    """Names are all that pluggy can check, so it does."""
    bad = without(get_status=hookimpl(lambda self, referense: None))
    assert "referense" in refused(install, opening, bad)


def test_an_async_hook_is_refused(install: Any, opening: Any) -> None:
    """A hook does no I/O."""

    async def late(self: Any, reference: Reference) -> None: ...

    async def later(self: Any, reference: Reference) -> Any:
        yield

    for function in (late, later):
        assert "async" in refused(install, opening, without(get_status=hookimpl(function)))


def test_declared_operations_are_implemented_operations(install: Any, opening: Any) -> None:
    """In both directions, by name."""
    assert "refund_charge" in refused(install, opening, without(info=info(operations=frozenset({"refund_charge"}))))
    assert "cancel_charge" in refused(install, opening, without(cancel_charge=hookimpl(lambda self, reference: None)))
    assert "get_statuses" in refused(install, opening, without(info=info(operations=frozenset({"get_statuses"}))))


def test_another_version_of_the_contract_is_refused(install: Any, opening: Any) -> None:
    """By its number, with what to do."""
    assert "contract 2" in refused(install, opening, without(info=info(contract=2)))


@pytest.mark.parametrize(
    "bad",
    [
        {"info": None},
        {"info": "Good"},
        {"config_type": None},
        {"config_type": dict},
        {"info": info(id="other")},
        {"__init__": lambda self, config: 1 / 0},
        {"__init__": lambda self, config: sys.exit(1)},
    ],
)
def test_a_provider_without_what_the_core_needs_is_refused(install: Any, opening: Any, bad: Any) -> None:
    """One change from the good one."""
    refused(install, opening, without(**bad))


def badly_configured(key: Secret, kind: Any) -> None:
    try:
        int(key.reveal())
    except ValueError:
        raise kind("key is not a number")  # noqa: B904 - a provider that forgot "from None"


@pytest.mark.parametrize("kind", [ConfigurationError, ProviderContractError, InvalidRequest])
@pytest.mark.parametrize("place", ["provider", "config"])
def test_what_a_provider_was_handling_is_not_behind_its_error(
    install: Any, opening: Any, place: str, kind: Any
) -> None:
    """The ValueError of an ordinary `int(key.reveal())` shows the key."""

    class Checked(Config):
        def __post_init__(self) -> None:
            badly_configured(self.key, kind)

    in_provider = {"__init__": lambda self, config: badly_configured(config.key, kind)}
    install("good", without(**(in_provider if place == "provider" else {"config_type": Checked})))
    opening("good", {"key": "5"})
    with pytest.raises(PaymentError) as caught:
        opening("good", {"key": "canary"})
    assert type(caught.value) is kind
    assert str(caught.value) == "key is not a number"
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_configuration_of_unknown_types_is_refused(install: Any, opening: Any) -> None:
    """By the name that leads nowhere."""
    unknown = type("Unknown", (msgspec.Struct,), {"__annotations__": {"key": "Missing"}, "__module__": __name__})
    assert "Missing" in refused(install, opening, without(config_type=unknown))


@pytest.mark.parametrize("name", [None, 5, "", b"good", ["good"]])
def test_a_gateway_is_opened_by_its_name(install: Any, opening: Any, name: Any) -> None:
    """Which is text."""
    install("good", Good)
    for config in (None, {}, {"provider": "good"}):
        with pytest.raises(ConfigurationError, match="name is text"):
            opening(name, config)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 5}, {"title": None}, {"contract": "1"}, {"contract": True}, {"contract": [1]},
        {"operations": ("capture_charge",)}, {"operations": None}, {"operations": frozenset({5})},
        {"currencies": "HKD"}, {"currencies": frozenset()}, {"currencies": frozenset({"XXX"})},
        {"currencies": frozenset({5})},
        {"methods": ()}, {"methods": [Method("a", "A")]}, {"methods": ("a",)}, {"methods": Method("a", "A")},
        {"channels": frozenset()}, {"channels": frozenset({"WEB"})}, {"channels": [Channel.WEB]},
        {"limits": None}, {"raw_statuses": None}, {"raw_statuses": {"OPEN": "PENDING"}},
        {"raw_statuses": {5: PaymentStatus.PENDING}},
        {"query_by": None}, {"query_by": frozenset({"transaction_id"})}, {"charge_options": None},
        {"charge_options": frozenset({"expires"})},
        {"key_lifetime": 0}, {"key_lifetime": "60"}, {"key_lifetime": float("inf")}, {"key_lifetime": float("nan")},
        {"key_lifetime": 10**400}, {"key_lifetime": True},
        {"origins": None}, {"origins": "https://pay.example"}, {"origins": ("http://pay.example",)},
        {"origins": ("https://pay.example/",)}, {"origins": ("https://u@pay.example",)},
        {"origins": ("https://a..b",)}, {"origins": (5,)},
        {"webhook_methods": None}, {"webhook_methods": "POST"}, {"webhook_methods": (5,)},
        {"options_type": {}}, {"options_type": dict}, {"authoritative_webhooks": "no"},
    ],
)  # fmt: skip
def test_a_declaration_of_the_wrong_types_cannot_be_made(changes: Any) -> None:
    """A mistake is named where it is made, before any call could trip over it."""
    with pytest.raises(TypeError, match=next(iter(changes))):
        info(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"order_id_length": None}, {"order_id_length": 0}, {"description_length": True}, {"order_id_pattern": None},
        {"minimum": HKD}, {"maximum": [HKD]}, {"minimum": (88,)},
    ],
)  # fmt: skip
def test_limits_of_the_wrong_types_cannot_be_made(changes: Any) -> None:
    """Nor can a method without an id."""
    with pytest.raises(TypeError):
        Limits(**changes)
    for method in (("", "A"), (5, "A"), ("a", None)):
        with pytest.raises(TypeError):
            Method(*method)


def test_a_declaration_is_kept_as_it_was_made() -> None:
    """A set that somebody else holds could still change."""
    operations = {"refund_charge"}
    made = info(
        operations=operations,
        limits=Limits(minimum=(HKD,)),
        key_lifetime=3600,
        origins=("https://pay.example", "https://[2001:db8::1]:8443"),
        charge_options={"capture"},
        options_type=Config,
    )
    operations.add("get_refund")
    assert made.operations == frozenset({"refund_charge"})
    assert {type(getattr(made, field)) for field in ("operations", "charge_options", "currencies")} == {frozenset}


def get_status_with_default(self: Any, reference: Reference, context: Any = None) -> Any: ...
def get_status_by_keyword(self: Any, *, reference: Reference) -> Any: ...
def get_status_of_any(self: Any, *reference: Any) -> Any: ...
def get_status_of_all(self: Any, **reference: Any) -> Any: ...


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (get_status_with_default, "context"),
        (get_status_by_keyword, "reference"),
        (get_status_of_any, "reference"),
        (get_status_of_all, "reference"),
    ],
)
def test_a_parameter_that_would_never_be_passed_is_refused_by_name(
    install: Any, opening: Any, function: Any, named: str
) -> None:
    """pluggy silently leaves it at its default, or empty."""
    message = refused(install, opening, without(get_status=hookimpl(function)))
    assert "get_status" in message
    assert f"never passed: {named}" in message


def test_an_observer_that_would_never_run_is_refused(install: Any, opening: Any) -> None:
    """Nobody awaits it, sends into it or passes what it waits for."""

    async def late(self: Any, charge: Charge) -> None: ...

    async def later(self: Any, charge: Charge) -> Any:
        yield

    def generator(self: Any, charge: Charge) -> Any:
        yield

    def defaulted(self: Any, charge: Any = None) -> None: ...

    marked = [hookimpl(each) for each in (late, later, generator, defaulted)] + [hookimpl(wrapper=True)(generator)]
    for hook in marked:
        observer = type("Observer", (), {"charge_observed": hook})()
        assert "charge_observed" in refused(install, opening, Good, plugins=[observer])


@pytest.mark.parametrize("plugins", ["ab", 5, {}, object(), iter(())])
def test_plugins_are_a_list(install: Any, opening: Any, plugins: Any) -> None:
    """None is the same as none at all."""
    assert "plugins" in refused(install, opening, Good, ConfigurationError, plugins=plugins)
    for fine in (None, (), [Watching()]):
        opened(install, opening, plugins=fine)


def test_money_of_another_currency_goes_to_no_gateway() -> None:
    """A refund or a capture either; and an amount is limited only where it is a charge's."""
    declared = info(limits=Limits(minimum=(HKD,)))
    check_amount(Money(minor=1, currency="HKD"), declared)
    with pytest.raises(InvalidRequest) as caught:
        check_amount(Money(minor=8800, currency="JPY"), declared)
    assert caught.value.field == "currency"


def test_a_hijacking_plugin_is_refused(install: Any, opening: Any) -> None:
    """The last one registered would silently take the call over."""

    class Hijacker:
        @hookimpl
        def create_charge(self, request: ChargeRequest) -> Charge:
            return charge(status=PaymentStatus.SUCCEEDED)

    assert "create_charge" in refused(install, opening, Good, plugins=[Hijacker()])
    assert "instance" in refused(install, opening, Good, plugins=[Hijacker])


def test_a_wrapper_surrounds_the_call(install: Any, opening: Any) -> None:
    """It receives the flow, and returns a flow or a value."""
    seen: list[Any] = []

    class Wrapper:
        @hookimpl(wrapper=True)
        def get_status(self, reference: Reference) -> Any:
            outcome = yield
            return tap(outcome, request=seen.append)

    class Before:
        @hookimpl(wrapper=True)
        def create_charge(self, request: ChargeRequest) -> Any:
            if request.amount.minor > 10_000:
                raise InvalidRequest("too much for this shop", field="amount")
            return (yield)

    gateway = opened(install, opening, plugins=[Wrapper(), Before()])
    assert gateway.get_status(Reference("P1")).reference == Reference("P1")
    assert [request.path for request in seen] == ["/status"]
    with pytest.raises(InvalidRequest):
        gateway.create_charge(ChargeRequest("P1", Money(minor=10_001, currency="HKD"), "tea"))
    assert gateway.script.paths() == ["/status"]


def test_a_wrapper_that_loses_the_outcome_is_found_out(install: Any, opening: Any) -> None:
    """None is no Charge."""

    class Forgetful:
        @hookimpl(wrapper=True)
        def get_status(self, reference: Reference) -> Any:
            yield

    with pytest.raises(ProviderContractError):
        opened(install, opening, plugins=[Forgetful()]).get_status(Reference("P1"))


class Watching:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    @hookimpl
    def operation_finished(self, operation: Any) -> None:
        self.seen.append(("operation", operation.name, operation.runs, operation.error))

    @hookimpl
    def exchange_finished(self, exchange: Any) -> None:
        self.seen.append(("exchange", exchange.method, exchange.path, exchange.status))

    @hookimpl
    def charge_observed(self, charge: Charge) -> None:
        self.seen.append(("charge", charge.reference.order_id))

    @hookimpl
    def webhook_observed(self, event: WebhookEvent) -> None:
        self.seen.append(("event", event.event_id))

    @hookimpl
    def webhook_rejected(self, provider: str, reason: str) -> None:
        self.seen.append(("rejected", provider, reason))


class Raising:
    """An observer that fails in every way."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def _raise(self) -> None:
        raise self.error

    @hookimpl
    def operation_finished(self) -> None:
        self._raise()

    @hookimpl
    def exchange_finished(self) -> None:
        self._raise()

    @hookimpl
    def charge_observed(self) -> None:
        self._raise()

    @hookimpl
    def webhook_observed(self) -> None:
        self._raise()

    @hookimpl
    def webhook_rejected(self) -> None:
        self._raise()


@pytest.mark.parametrize("error", [RuntimeError("canary"), SystemExit(1), StopIteration(), GeneratorExit()])
def test_a_raising_observer_reaches_nobody(
    install: Any, opening: Any, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """Neither the caller nor the observers beside it; the log says which failed."""
    watchers = [Watching(), Watching()]
    gateway = opened(install, opening, plugins=[watchers[0], Raising(error), watchers[1]])
    gateway.create_charge(ChargeRequest("P1", HKD, "tea"))
    gateway.parse_webhook(WebhookDelivery(b"", {}))
    with pytest.raises(WebhookRejected):
        gateway.parse_webhook(WebhookDelivery(b"x" * 300_000, {}))
    with pytest.raises(InvalidRequest):
        gateway.get_status("P1")
    expected = [
        ("exchange", "POST", "/create", 200),
        ("charge", "P1"),
        ("operation", "create_charge", 1, ""),
        ("event", "1"),
        ("event", "2"),
        ("operation", "parse_webhook", 1, ""),
        ("rejected", "good", "malformed"),
        ("operation", "parse_webhook", 0, "WebhookRejected"),
        ("operation", "get_status", 0, "InvalidRequest"),
    ]
    assert [watcher.seen for watcher in watchers] == [expected, expected]
    assert sum("Raising" in record.getMessage() for record in caplog.records) == len(expected)
    assert "canary" not in caplog.text


def test_two_distributions_may_not_claim_one_name(install: Any, opening: Any) -> None:
    """Which one would take the money?"""
    install("good", Good)
    opened(install, opening)  # the same distribution found twice is one
    install("good", Good, distribution="evil-good")
    with pytest.raises(ProviderContractError, match=r"evil-good.*payments-good.*uninstall one"):
        opening("good", {})


def test_a_duplicate_of_an_installed_provider_is_refused(install: Any, opening: Any, alipayhk_config: Any) -> None:
    """Also when the other one is really installed."""
    install("alipayhk", Good, distribution="another-alipayhk")
    with pytest.raises(ProviderContractError, match="two installed distributions"):
        opening("alipayhk", alipayhk_config)
    listed = {provider.name: provider for provider in installed_providers()}
    assert listed["alipayhk"].info is None
    assert "another-alipayhk" in listed["alipayhk"].problem


def broken_by(error: Any) -> Any:
    def load() -> Any:
        raise error

    return load


@pytest.mark.parametrize(
    "error", [ImportError("no module named x"), SystemExit(1), RuntimeError("canary"), SyntaxError("bad")]
)
def test_a_broken_plugin_is_reported_and_harms_nothing(
    install: Any, opening: Any, alipayhk_config: Any, error: Any
) -> None:
    """It is named in the list; the others open as before."""
    install("broken", broken_by(error))
    listed = {provider.name: provider for provider in installed_providers()}
    assert listed["broken"].info is None
    assert type(error).__name__ in listed["broken"].problem
    assert "canary" not in listed["broken"].problem
    assert listed["alipayhk"].info is not None
    assert opening("alipayhk", alipayhk_config).info.id == "alipayhk"
    with pytest.raises(ProviderContractError):
        opening("broken", {})


def test_a_broken_declaration_harms_nothing(install: Any, opening: Any, alipayhk_config: Any) -> None:
    """Neither one that cannot be made nor one that cannot be looked at."""

    class Meta(type):
        @property
        def info(cls) -> Any:
            raise RuntimeError("canary")

    install("mistaken", lambda: info(operations=("capture_charge",)))
    install("raising", Meta("Raising", (), {}))
    listed = {provider.name: provider for provider in installed_providers()}
    assert "operations is a frozenset" in listed["mistaken"].problem
    assert "RuntimeError at " in listed["raising"].problem
    assert "canary" not in listed["raising"].problem
    assert listed["alipayhk"].info is not None
    assert opening("alipayhk", alipayhk_config).info.id == "alipayhk"


def test_what_an_interrupted_uninstallation_left_behind_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without metadata has neither a name nor a version."""
    left = tmp_path / "~ayments_ghost-1.0.dist-info"
    left.mkdir()
    (left / "entry_points.txt").write_text("[payments_core.providers]\nghost = ghost_that_is_gone:Provider\n")
    monkeypatch.syspath_prepend(tmp_path)
    listed = {provider.name: provider for provider in installed_providers()}
    assert (listed["ghost"].distribution, listed["ghost"].version) == ("an unnamed distribution", "")
    assert "ghost_that_is_gone" in listed["ghost"].problem
    assert listed["alipayhk"].info is not None
    with pytest.raises(ProviderContractError, match="unnamed"):
        Gateway.open("ghost", {})


def test_only_the_named_provider_is_loaded(install: Any, opening: Any, alipayhk_config: Any) -> None:
    """Importing a stranger runs its code."""
    loaded = []

    def load() -> Any:
        loaded.append(1)
        return Good

    install("good", load)
    opening("alipayhk", alipayhk_config)
    assert loaded == []
    opening("good", {})
    assert loaded == [1]


def test_an_unknown_provider_is_not_found(opening: Any) -> None:
    """The message says what is installed."""
    with pytest.raises(ProviderNotFound, match="alipayhk"):
        opening("octopus", {})


def test_a_frozen_program_is_told_which_flags_it_lacks(
    install: Any, opening: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider is metadata, and no module imports it: PyInstaller sees neither."""
    install("unpacked", broken_by(ModuleNotFoundError("No module named 'unpacked'", name="unpacked")))
    for name, error in (("octopus", ProviderNotFound), ("unpacked", ProviderContractError)):
        with pytest.raises(error) as usual:
            opening(name, {})
        assert "frozen" not in str(usual.value)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "frozen", True, raising=False)
            with pytest.raises(error) as caught:
                opening(name, {})
        for flag in ("--copy-metadata", "--hidden-import"):
            assert flag in str(caught.value)
        assert name in str(caught.value)


@pytest.mark.parametrize("deadline", [0, -1, "10", None, float("nan"), float("inf"), True])
def test_a_deadline_is_a_number_of_seconds(install: Any, opening: Any, deadline: Any) -> None:
    """When opening and in every call."""
    install("good", Good)
    with pytest.raises(InvalidRequest) as caught:
        opening("good", {}, deadline=deadline)
    assert caught.value.field == "deadline"
    if deadline is not None:
        with pytest.raises(InvalidRequest):
            opened(install, opening).get_status(Reference("P1"), deadline=deadline)


def test_a_transport_of_the_other_world_is_refused(install: Any) -> None:
    """Rather than failing at the first charge."""
    from payments_core import AsyncHTTPTransport, HTTPTransport

    install("good", Good)
    for kind, transport in ((Gateway, AsyncHTTPTransport()), (AsyncGateway, HTTPTransport())):
        with pytest.raises(ConfigurationError):
            kind.open("good", {}, transport=transport)


def test_a_closed_gateway_says_so_and_leaves_a_given_transport_open(install: Any, opening: Any) -> None:
    """The caller that made the transport closes it."""
    gateway = opened(install, opening)
    gateway.close()
    for call in (lambda: gateway.get_status(Reference("P1")), lambda: gateway.parse_webhook(WebhookDelivery(b"", {}))):
        with pytest.raises(InvalidRequest, match="closed"):
            call()
    assert gateway.script.closed == 0


def test_what_a_provider_lacks_is_unsupported_before_any_request(install: Any, opening: Any) -> None:
    """By name, for a person."""
    gateway = opened(install, opening)
    for call in (
        lambda: gateway.cancel_charge(Reference("P1")),
        lambda: gateway.complete_charge(Reference("P1"), {"a": "b"}),
    ):
        with pytest.raises(UnsupportedOperation):
            call()
    assert gateway.script.requests == []


def test_only_documented_limits_are_enforced(install: Any, opening: Any) -> None:
    """A description is cut by nobody; too long a one is refused where the gateway says so."""
    long = ChargeRequest("P1", HKD, "x" * 200)
    limits = Limits(
        description_length=199,
        minimum=(Money(minor=100, currency="HKD"),),
        maximum=(Money(minor=10_000, currency="HKD"),),
    )
    limited = opened(install, opening, without(info=info(limits=limits)))
    for request, field in (
        (long, "description"),
        (ChargeRequest("P1", Money(minor=99, currency="HKD"), "tea"), "amount"),
        (ChargeRequest("P1", Money(minor=10_001, currency="HKD"), "tea"), "amount"),
        (ChargeRequest("P" * 65, HKD, "tea"), "order_id"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            limited.create_charge(request)
        assert caught.value.field == field
    assert limited.script.requests == []
    limited.create_charge(ChargeRequest("P1", HKD, "x" * 199))
    install("good", Good)
    opening("good", {}, transport=lambda _: Response(200)).create_charge(long)


def test_a_provider_that_is_asked_by_one_id_refuses_the_other(install: Any, opening: Any) -> None:
    """Before anything is sent."""
    gateway = opened(install, opening, without(info=info(query_by=frozenset({"provider_id"}))))
    with pytest.raises(InvalidRequest, match="provider_id"):
        gateway.get_status(Reference("P1"))
    assert gateway.get_status(Reference("P1", "C1")).reference.provider_id == "C1"


@pytest.mark.parametrize("returned", [None, 5, "a=b", [("a",)], [("a", 5)], [5], {"a": None}])
def test_what_the_shopper_came_back_with_is_pairs_of_text(install: Any, opening: Any, returned: Any) -> None:
    """Any other shape is named before anything is sent."""
    seen: list[Any] = []
    hook = hookimpl(lambda self, reference, returned: seen.append(returned) or charge(reference))
    provider = without(complete_charge=hook, info=info(operations=frozenset({"complete_charge"})))
    gateway = opened(install, opening, provider)
    with pytest.raises(InvalidRequest) as caught:
        gateway.complete_charge(Reference("P1"), returned)
    assert caught.value.field == "returned"
    for good in ({"a": "b"}, [("a", "b")], (each for each in [("a", "b")])):
        gateway.complete_charge(Reference("P1"), good)
    gateway.complete_charge(Reference("P1"))
    assert seen == [(("a", "b"),)] * 3 + [()]


def test_complete_charge_asks_first_and_captures_once(install: Any, opening: Any) -> None:
    """One hook runs another with `yield from`; a second call finds the captured order and only asks."""
    states = iter(["APPROVED", "COMPLETED", "COMPLETED"])

    class Approved(Good):
        info = info(
            operations=frozenset({"complete_charge"}),
            raw_statuses={"APPROVED": PaymentStatus.PENDING, "COMPLETED": PaymentStatus.SUCCEEDED},
        )

        def _read(self, response: Response) -> Charge:
            state = response.body.decode()
            action = Complete() if state == "APPROVED" else None
            status = unify(state, self.info.raw_statuses, action)
            return Charge("good", Reference("P1", "C1"), status, state, HKD, action)

        @hookimpl
        def get_status(self, reference: Reference) -> Any:
            return self._read((yield Request("GET", f"/orders/{reference.provider_id}", safe=True)))

        @hookimpl
        def complete_charge(self, reference: Reference) -> Any:
            found = yield from self.get_status(reference)
            if found.next_action != Complete():
                return found
            return self._read((yield Request("POST", f"/orders/{reference.provider_id}/capture", idempotent=True)))

    install("good", Approved)
    gateway = opening("good", {}, transport=lambda _: Response(200, (), next(states).encode()))
    for returned in ({"token": "C1", "PayerID": "X"}, {}):
        assert gateway.complete_charge(Reference("", "C1"), returned).require("P1", HKD).is_paid
    assert [(each.method, each.path) for each in gateway.script.requests] == [
        ("GET", "/orders/C1"),
        ("POST", "/orders/C1/capture"),
        ("GET", "/orders/C1"),
    ]


def test_the_declaration_may_depend_on_the_account(install: Any, opening: Any) -> None:
    """Methods that an account has not activated are no buttons; the id and the operations stay."""

    def narrowed(**changes: Any) -> type:
        def init(self: Any, config: Any) -> None:
            self.info = msgspec.structs.replace(type(self).info, **changes)

        return without(__init__=init)

    gateway = opened(install, opening, narrowed(methods=(Method("b", "B"),), key_lifetime=72 * 3600))
    assert gateway.info.key_lifetime == 72 * 3600
    assert gateway.create_charge(ChargeRequest("P1", HKD, "tea")).reference.provider_id == "b"
    for changes in ({"id": "other"}, {"operations": frozenset({"cancel_charge"})}, {"contract": 7}):
        refused(install, opening, narrowed(**changes))


def test_an_event_is_confirmed_in_one_way_for_every_provider(install: Any, opening: Any) -> None:
    """By its own charge where that stands for itself, else by asking; the money is compared in both cases."""
    paid = charge(status=PaymentStatus.SUCCEEDED)
    hint = WebhookEvent("good", Subject.CHARGE, "paid", Reference("P1"), "1")
    whole = msgspec.structs.replace(
        hint, charge=paid, gateway="good", received_at=datetime.now(UTC), occurred_at=datetime.now(UTC)
    )
    gateway = opened(install, opening, without(info=info(authoritative_webhooks=True)))
    assert gateway.confirm_event(whole, "P1", HKD).is_paid
    assert gateway.script.paths() == []
    assert not gateway.confirm_event(hint, "P1", HKD).is_paid
    assert gateway.script.paths() == ["/status"]
    for event in (hint, whole):
        with pytest.raises(Mismatch):
            gateway.confirm_event(event, "P1", Money.of("88.01", "HKD"))
    with pytest.raises(Mismatch):
        gateway.confirm_event(whole, "P2", HKD)
    nameless = msgspec.structs.replace(whole, charge=charge(Reference("", "C1"), PaymentStatus.SUCCEEDED))
    assert gateway.confirm_event(nameless, "P1", HKD, provider_id="C1").is_paid
    for provider_id in ("", "C2"):
        with pytest.raises(Mismatch):
            gateway.confirm_event(nameless, "P1", HKD, provider_id=provider_id)
    with pytest.raises(InvalidRequest):
        gateway.confirm_event(whole, "P1", HKD, deadline=0)
    for due in (("", HKD), ("P1", "88.00")):
        with pytest.raises(InvalidRequest):
            gateway.confirm_event(whole, *due)
    for event in (msgspec.structs.replace(whole, provider="other"), "paid"):
        with pytest.raises(InvalidRequest):
            gateway.confirm_event(event, "P1", HKD)


def test_an_id_that_only_a_hint_named_proves_nothing(install: Any, opening: Any) -> None:
    """If the answer names no order, the charge must be the one that was stored, not the one in the hint."""

    def get_status(self: Any, reference: Reference) -> Charge:
        return charge(Reference("", reference.provider_id), PaymentStatus.SUCCEEDED)

    gateway = opened(install, opening, without(get_status=hookimpl(get_status)))
    hint = WebhookEvent("good", Subject.CHARGE, "paid", Reference("", "C-of-another"), "1")
    with pytest.raises(Mismatch):
        gateway.confirm_event(hint, "P1", HKD)
    assert gateway.confirm_event(hint, "P1", HKD, provider_id="C1").reference.provider_id == "C1"


@pytest.mark.parametrize(("url", "sent"), [("/pay", "/prefix/pay"), ("http://127.0.0.1:9/prefix/pay", "/prefix/pay")])
def test_a_base_url_with_a_path_can_be_signed(install: Any, opening: Any, url: str, sent: str) -> None:
    """An absolute URL below base_url has the exact target already in the hook."""

    def get_status(self: Any, reference: Reference) -> Any:
        yield Request("GET", url, safe=True)
        return charge(reference)

    install("good", without(get_status=hookimpl(get_status)))
    gateway = opening("good", {"base_url": "http://127.0.0.1:9/prefix/"}, transport=lambda _: Response(200))
    gateway.get_status(Reference("P1"))
    assert [request.target for request in gateway.script.requests] == [sent]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/other", "http://127.0.0.1:9/prefixed/x", "http://127.0.0.1:90/prefix/x"]
)
def test_beside_base_url_is_elsewhere(install: Any, opening: Any, url: str) -> None:
    """A longer port, host or path that begins alike is another place."""

    def get_status(self: Any, reference: Reference) -> Any:
        yield Request("GET", url, safe=True)

    install("good", without(get_status=hookimpl(get_status)))
    gateway = opening("good", {"base_url": "http://127.0.0.1:9/prefix"}, transport=lambda _: Response(200))
    with pytest.raises(InvalidRequest):
        gateway.get_status(Reference("P1"))
    assert gateway.script.requests == []


def test_a_webhook_is_authoritative_only_where_that_is_declared(install: Any, opening: Any) -> None:
    """Trust is in the type."""
    event = WebhookEvent("good", Subject.CHARGE, "paid", Reference("P1"), "1", charge=charge())
    bad = without(parse_webhook=hookimpl(lambda self, delivery: Notification((event,))))
    with pytest.raises(WebhookRejected):
        opened(install, opening, bad).parse_webhook(WebhookDelivery(b"", {}))
    good = without(
        parse_webhook=hookimpl(lambda self, delivery: Notification((event,))), info=info(authoritative_webhooks=True)
    )
    assert opened(install, opening, good).parse_webhook(WebhookDelivery(b"", {})).events[0].authoritative


def test_the_hosts_logging_is_left_alone(install: Any, opening: Any) -> None:
    """No handler but a silent one, no level, no propagation changed."""
    opened(install, opening).get_status(Reference("P1"))
    library = logging.getLogger("payments_core")
    assert [type(handler) for handler in library.handlers] == [logging.NullHandler]
    assert library.level == logging.NOTSET
    assert library.propagate
    assert [name for name in logging.root.manager.loggerDict if name.startswith("payments_core.")] != []


def test_an_unknown_status_is_reported(install: Any, opening: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody has to add a row to the table."""
    strange = Charge("good", Reference("P1"), PaymentStatus.UNKNOWN, "NEW_WORD", HKD)
    opened(install, opening, without(get_status=hookimpl(lambda self: strange))).get_status(Reference("P1"))
    assert "NEW_WORD" in caplog.text


def test_a_context_is_new_for_each_run_and_fixed_in_tests(install: Any, opening: Any, clock: Any) -> None:
    """Nothing else in a provider is random or looks at a clock."""
    seen: list[Any] = []

    def get_status(self: Any, context: Any, reference: Reference) -> Any:
        seen.append(context)
        answer = yield Request("GET", "/status", safe=True)
        return charge(reference) if answer.status == 200 else None

    gateway = opened(install, opening, without(get_status=hookimpl(get_status)), clock=clock)
    answers = iter([Response(503), Response(200), Response(200)])
    gateway.script.answer = lambda _: next(answers)
    gateway.get_status(Reference("P1"))
    gateway.get_status(Reference("P1"))
    assert [context.nonce for context in seen] == [f"{number:032x}" for number in (1, 2, 3)]
    assert {context.now for context in seen} == {clock.time}
