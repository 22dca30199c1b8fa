"""Stories and their actors, and the recorder that turns them into cassettes; with a provider made up here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs
from starlette.requests import Request as Incoming
from starlette.responses import JSONResponse

from payments_core import (
    AsyncGateway,
    Channel,
    Charge,
    ChargeRequest,
    ConfigurationError,
    Gateway,
    Limits,
    Method,
    Mismatch,
    Money,
    PaymentError,
    PaymentStatus,
    ProviderContractError,
    ProviderInfo,
    ProviderNotFound,
    Redirect,
    Reference,
    Rejected,
    Request,
    Secret,
    ShowQRCode,
    hookimpl,
)
from payments_core.testing.cassettes import (
    BASE_URL,
    CassetteError,
    CassettePolicy,
    Fields,
    Provenance,
    Rule,
    read,
    replay,
)
from payments_core.testing.recording import Account, record_live, record_sandbox, record_story, sandbox_stories
from payments_core.testing.server import LoopbackServer
from payments_core.testing.stories import (
    HumanActor,
    Published,
    ReplayActor,
    SandboxActor,
    Story,
    call,
    expect,
    run,
    run_async,
    sandbox,
    shopper,
)

EUR = Money.of("5.00", "EUR")
PENDING = Charge("acme", Reference("P1", "C1"), PaymentStatus.PENDING, "open", EUR)
NOTHING = CassettePolicy(())


class Fake:
    """A gateway whose one call returns or raises what it is given."""

    def __init__(self) -> None:
        self.closed = False

    def echo(self, outcome: Any, *, more: str = "") -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return (outcome, more) if more else outcome


class AsyncFake(Fake):
    async def echo(self, outcome: Any, *, more: str = "") -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return Fake.echo(self, outcome, more=more)


class Noting:
    def __init__(self) -> None:
        self.steps: list[Any] = []

    def act(self, step: Any) -> None:
        self.steps.append(step)


@pytest.fixture
def play(world: str) -> Callable[..., None]:
    """Run a script over a fake gateway: sync, or async."""

    def play_(script: Any, actor: Any = None) -> None:
        story = Story("scene", script, NOTHING)
        arguments = (actor or ReplayActor(), {"order_id": "P1"})
        if world == "sync":
            run(story, Fake(), *arguments)  # type: ignore[arg-type]
        else:
            asyncio.run(run_async(story, AsyncFake(), *arguments))  # type: ignore[arg-type]

    return play_


# Scripts.


def test_a_script_is_sent_what_its_calls_return(play: Any) -> None:
    got: list[Any] = []

    def script(parameters: Any) -> Any:
        got.append((yield call("echo", parameters["order_id"], more="x")))
        got.append((yield call("echo", 2)))

    play(script)
    assert got == [("P1", "x"), 2]


def test_an_error_that_was_expected_is_sent_too(play: Any) -> None:
    got: list[Any] = []

    def script(_: Any) -> Any:
        got.append((yield call("echo", Rejected("no", raw_code="1"), raises=Rejected)))

    play(script)
    assert [(type(each), each.raw_code) for each in got] == [(Rejected, "1")]


@pytest.mark.parametrize("raises", [None, Mismatch, PaymentError])
def test_any_other_error_comes_out(play: Any, raises: Any) -> None:
    """The class has to be that very one: expecting `PaymentError` would expect nothing."""

    def script(_: Any) -> Any:
        yield call("echo", Rejected("no"), raises=raises)

    with pytest.raises(Rejected):
        play(script)


def test_an_error_that_does_not_come_is_a_failure(play: Any) -> None:
    def script(_: Any) -> Any:
        yield call("echo", 1, raises=Rejected)

    with pytest.raises(AssertionError, match="echo was to raise Rejected, and returned 1"):
        play(script)


def test_a_script_may_clean_up(play: Any) -> None:
    told: list[str] = []

    def script(_: Any) -> Any:
        try:
            yield call("echo", KeyError())
        finally:
            told.append("cleaned")

    with pytest.raises(KeyError):
        play(script)
    assert told == ["cleaned"]


def test_what_is_no_call_of_a_gateway_is_refused(play: Any) -> None:
    def script(_: Any) -> Any:
        yield call("__init__")

    with pytest.raises(ValueError, match="is not a call of a gateway"):
        play(script)


def test_moves_and_controls_go_to_the_actor(play: Any) -> None:
    def script(_: Any) -> Any:
        assert (yield shopper("pay", PENDING)) is None
        assert (yield sandbox("expire", 1, "x")) is None

    actor = Noting()
    play(script, actor)
    assert actor.steps == [shopper("pay", PENDING), sandbox("expire", 1, "x")]
    play(script, ReplayActor())


def test_expect_says_all_that_is_otherwise() -> None:
    matched = PENDING.require("P1", EUR)
    expect(matched, raw_status="open", is_paid=False)
    with pytest.raises(AssertionError) as caught:
        expect(matched, raw_status="paid", is_paid=0, paid_at=None)
    assert str(caught.value) == "Charge: raw_status is 'open' and not 'paid'; is_paid is False and not 0"


# Actors.


def test_a_sandbox_plays_the_shopper_and_obeys() -> None:
    class Sandbox:
        done: list[Any] = []

        def pay(self, provider_id: str) -> None:
            self.done.append(("pay", provider_id))

        def reject_next(self, code: int, message: str) -> None:
            self.done.append((code, message))

    actor = SandboxActor(Sandbox())
    actor.act(shopper("pay", PENDING))
    actor.act(sandbox("reject_next", 1, "no"))
    assert Sandbox.done == [("pay", "C1"), (1, "no")]


@pytest.mark.parametrize("action", [Redirect("https://pay.example/1"), ShowQRCode("https://pay.example/1"), None])
def test_a_person_is_shown_where_to_pay_and_waited_for(action: Any) -> None:
    said: list[str] = []
    person = HumanActor(lambda prompt: said.append(f"asked: {prompt}"), said.append, lambda text: f"[{text}]")
    person.act(shopper("pay", msgspec.structs.replace(PENDING, next_action=action)))
    *shown, asked = said
    assert shown == (["[https://pay.example/1]", "https://pay.example/1"] if action else [])
    assert asked.startswith(f"asked: pay {EUR} for order P1 in the wallet")
    assert asked.endswith("then press Enter: ")


def test_a_person_cannot_do_what_a_sandbox_can() -> None:
    with pytest.raises(TypeError, match="expire_tokens needs a sandbox"):
        HumanActor(str, str).act(sandbox("expire_tokens"))


# Stories.


def test_parameters_repeat_in_a_sandbox_and_are_new_when_live() -> None:
    story = Story("my-scene", iter, NOTHING, parameters={"order_id": "P-{unique}", "fixed": "x"})  # type: ignore[arg-type]
    assert story.values() == {"order_id": "P-my-scene", "fixed": "x"}
    assert story.values("42") == {"order_id": "P-42", "fixed": "x"}


@pytest.mark.parametrize("name", ["", "Upper", "two words", "../up", "a--b", "a.yaml"])
def test_a_storys_name_is_the_name_of_a_file(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case words"):
        Story(name, iter, NOTHING)  # type: ignore[arg-type]


def test_what_is_published_has_a_source_and_is_never_live() -> None:
    published = (Published("GET", "/x", b"{}"),)
    for options in ({"live": True, "source": "page"}, {"live": False}):
        with pytest.raises(ValueError, match="published answers have a source and are not live"):
            Story("scene", iter, NOTHING, published=published, **options)  # type: ignore[arg-type]


# Recording.

KEY = "acme-key-of-the-tests"
POLICY = CassettePolicy(
    (
        Rule(
            path="/charges",
            request_headers=Fields(masked=("x-key",)),
            request_body=Fields(("order",)),
            response_body=Fields(("order", "id", "state")),
        ),
        Rule(path="/charges/{id}", response_body=Fields(("order", "id", "state", "note"))),
    )
)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    base_url: str
    key: Secret


class Acme:
    config_type = Config
    info = ProviderInfo(
        id="acme",
        title="Acme",
        contract=1,
        currencies=frozenset({"EUR"}),
        methods=(Method("CARD", "Card"),),
        channels=frozenset({Channel.WEB}),
        raw_statuses={"open": PaymentStatus.PENDING, "done": PaymentStatus.SUCCEEDED},
    )

    def __init__(self, config: Config) -> None:
        self._key = config.key

    @hookimpl
    def create_charge(self, request: ChargeRequest) -> Any:
        body = msgspec.json.encode({"order": request.order_id})
        return self._read((yield Request("POST", "/charges", headers=(("x-key", self._key),), body=body)))

    @hookimpl
    def get_status(self, reference: Reference) -> Any:
        return self._read((yield Request("GET", f"/charges/{reference.order_id}", safe=True)))

    def _read(self, response: Any) -> Charge:
        found = response.decode(msgspec.json.decode)
        reference = Reference(found["order"], found["id"])
        status = self.info.raw_statuses[found["state"]]
        return Charge("acme", reference, status, found["state"], EUR)


class AcmeSandbox:
    """Counts its charges, so that a sandbox that is not new for each story is noticed."""

    running = 0

    def __init__(self, first: int = 1, note: str = "") -> None:
        self._charges: dict[str, dict[str, Any]] = {}
        self._next, self._note = first, note
        self._server = LoopbackServer(self._app)
        self.config = {"base_url": self._server.url, "key": KEY}
        AcmeSandbox.running += 1

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        incoming = Incoming(scope, receive)
        if incoming.method == "POST":
            order = (await incoming.json())["order"]
            self._charges[order] = {"order": order, "id": f"C{self._next}", "state": "open", "note": self._note}
            self._next += 1
        else:
            order = incoming.url.path.rpartition("/")[2]
        await JSONResponse(self._charges[order])(scope, receive, send)

    def pay(self, provider_id: str) -> None:
        for charge in self._charges.values():
            if charge["id"] == provider_id:
                charge["state"] = "done"

    def stories(self) -> tuple[Story, ...]:
        return STORIES

    def close(self) -> None:
        AcmeSandbox.running -= 1
        self._server.close()


def _create(parameters: Any) -> Any:
    expect((yield call("create_charge", ChargeRequest(parameters["order_id"], EUR, "Tea"))), raw_status="open")


def _paid(parameters: Any) -> Any:
    yield shopper("pay", (yield call("create_charge", ChargeRequest(parameters["order_id"], EUR, "Tea"))))
    expect((yield call("confirm", parameters["order_id"], EUR)), is_paid=True)


def _published(parameters: Any) -> Any:
    charge = yield call("get_status", Reference(parameters["order_id"]))
    expect(charge, reference=Reference("P1", "C9"))


STORIES = (
    Story("create", _create, POLICY),
    Story("paid", _paid, POLICY, options={"first": 7}),
    Story("unplayable", _create, POLICY, live=False),
    Story(
        "published",
        _published,
        POLICY,
        live=False,
        parameters={"order_id": "P1"},
        published=(Published("GET", "/charges/P1", b'{ "order" : "P1", "id":"C9","state":"open"}'),),
        source="acme.example/docs",
    ),
)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    AcmeSandbox.running = 0
    yield
    assert AcmeSandbox.running == 0, "a sandbox was left open"


@pytest.fixture
def acme(install: Any) -> None:
    install("acme", Acme)
    install("acme", lambda: AcmeSandbox, group="payments_core.sandboxes")


def files(folder: Path) -> list[str]:
    return sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file())


@pytest.mark.usefixtures("acme")
def test_the_stories_of_a_sandbox_become_cassettes(tmp_path: Path) -> None:
    made = record_sandbox("acme", tmp_path)
    assert files(tmp_path) == [
        "documentation/published.yaml",
        "sandbox/create.yaml",
        "sandbox/paid.yaml",
        "sandbox/unplayable.yaml",
    ]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in made) == files(tmp_path)
    paid = read(tmp_path / "sandbox" / "paid.yaml")
    assert (paid.provenance, paid.command) == (Provenance("sandbox", "acme"), "payments record acme")
    assert paid.parameters == {"order_id": "paid"}
    assert '"id": "C7"' in (tmp_path / "sandbox" / "paid.yaml").read_text(), "its options reached the sandbox"
    published = read(tmp_path / "documentation" / "published.yaml")
    assert published.provenance == Provenance("documentation", "acme.example/docs")
    assert KEY not in "".join((tmp_path / each).read_text() for each in files(tmp_path))


@pytest.mark.parametrize("status", [201, 404, 409, 422])
@pytest.mark.usefixtures("acme")
def test_a_published_answer_has_the_status_of_its_page(tmp_path: Path, status: int, monkeypatch: Any) -> None:
    def script(parameters: Any) -> Any:
        charge = yield call("get_status", Reference(parameters["order_id"]))
        expect(charge, raw_status="open")

    body = b'{"order": "P1", "id": "C9", "state": "open"}'
    published = Published("GET", "/charges/P1", body, status)
    story = Story("refused", script, POLICY, False, {"order_id": "P1"}, published=(published,), source="acme.example")
    monkeypatch.setattr(AcmeSandbox, "stories", lambda _: (story,))
    record_sandbox("acme", tmp_path)
    assert f"code: {status}" in (tmp_path / "documentation" / "refused.yaml").read_text()


@pytest.mark.usefixtures("acme")
def test_a_recorded_story_is_replayed_sync_and_async(tmp_path: Path) -> None:
    record_sandbox("acme", tmp_path, ["paid"])
    assert files(tmp_path) == ["sandbox/paid.yaml"]
    config = {"base_url": BASE_URL, "key": "another key"}
    story = STORIES[1]
    with replay(tmp_path / "sandbox" / "paid.yaml", POLICY) as recording, Gateway.open("acme", config) as gateway:
        run(story, gateway, ReplayActor(), recording.parameters)

    async def replayed() -> None:
        with replay(tmp_path / "sandbox" / "paid.yaml", POLICY) as recording:
            async with AsyncGateway.open("acme", config) as gateway:
                await run_async(story, gateway, ReplayActor(), recording.parameters)

    asyncio.run(replayed())


@pytest.mark.usefixtures("acme")
def test_recording_again_changes_nothing(tmp_path: Path) -> None:
    record_sandbox("acme", tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    record_sandbox("acme", tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


@pytest.mark.usefixtures("acme")
def test_live_needs_a_person_and_is_not_live_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with monkeypatch.context() as environment:
        remote = AcmeSandbox()
        environment.setenv("PAYMENTS_ACME_BASE_URL", remote.config["base_url"])
        environment.setenv("PAYMENTS_ACME_KEY", KEY)

        def shopper_pays(prompt: str) -> None:
            said.append(prompt)
            remote.pay("C2")

        made = record_live("acme", tmp_path, ask=shopper_pays, out=said.append)
        remote.close()
    assert files(tmp_path) == ["live/create.yaml", "live/paid.yaml"]
    assert [path.name for path in made] == ["create.yaml", "paid.yaml"]
    recordings = [read(path) for path in made]
    assert {each.provenance.kind for each in recordings} == {"sandbox"}
    assert len({each.parameters["order_id"] for each in recordings}) == 2
    assert said[0] == "acme is on this machine: recorded as sandbox, and not as live"
    assert "skipped unplayable: only a sandbox can play it" in said
    assert "skipped published: it is published" in said
    assert sum("press Enter" in each for each in said) == 1


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("given", "most", "length"),
    [
        ("{unique}", 64, 20),
        ("{unique}", 12, 12),
        ("story{unique}", 13, 13),
        ("{unique}-{unique}", 17, 17),
        ("P1001", 5, 5),
    ],
)
def test_a_live_order_id_is_as_long_as_the_gateway_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, most: int, length: int
) -> None:
    monkeypatch.setattr(Acme, "info", structs.replace(Acme.info, limits=Limits(order_id_length=most)))
    monkeypatch.setattr(
        AcmeSandbox, "stories", lambda self: (structs.replace(STORIES[0], parameters={"order_id": given}),)
    )
    remote = AcmeSandbox()
    (made,) = record_live("acme", tmp_path, remote.config, ["create"], out=str)
    remote.close()
    order_id = read(made).parameters["order_id"]
    assert len(order_id) == length
    assert order_id.startswith(given.partition("{")[0])


@pytest.mark.usefixtures("acme")
def test_order_id_without_room_is_reported_before_sending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Acme, "info", structs.replace(Acme.info, limits=Limits(order_id_length=12)))
    story = structs.replace(STORIES[0], parameters={"order_id": "story{unique}"})
    monkeypatch.setattr(AcmeSandbox, "stories", lambda self: (story,))
    config = {"base_url": "http://127.0.0.1:9", "key": KEY}
    with pytest.raises(CassetteError, match="at most 12 characters, which leaves 7 for the "):
        record_live("acme", tmp_path, config, ["create"], out=str)
    assert files(tmp_path) == []


@pytest.mark.usefixtures("acme")
def test_without_a_terminal_nobody_can_pay(tmp_path: Path) -> None:
    def closed(_: str) -> None:
        raise EOFError

    remote = AcmeSandbox()
    with pytest.raises(CassetteError, match="paid: nobody answered"):
        record_live("acme", tmp_path, remote.config, ["paid"], closed, str)
    remote.close()
    assert files(tmp_path) == []


@pytest.mark.usefixtures("acme")
def test_a_story_that_fails_writes_nothing(tmp_path: Path) -> None:
    def wrong(parameters: Any) -> Any:
        charge = yield call("create_charge", ChargeRequest(parameters["order_id"], EUR, "Tea"))
        expect(charge, raw_status="done")

    remote = AcmeSandbox()
    target = tmp_path / "wrong.yaml"
    arguments = (
        target,
        Account("acme", remote.config),
        SandboxActor(remote),
        Provenance("sandbox"),
        {"order_id": "P1"},
    )
    with pytest.raises(CassetteError, match="wrong: Charge: raw_status is 'open' and not 'done'"):
        record_story(Story("wrong", wrong, POLICY), *arguments)
    careless = CassettePolicy((Rule(path="/charges", response_body=Fields(("order", "id"))),))
    with pytest.raises(CassetteError, match=r"wrong: .*KeyError"):
        record_story(Story("wrong", _create, careless), *arguments)
    remote.close()
    assert files(tmp_path) == [], "nor does one that cannot be replayed, because the policy keeps too little"


@pytest.mark.usefixtures("acme")
def test_a_secret_of_the_configuration_is_looked_for(tmp_path: Path) -> None:
    remote = AcmeSandbox(note=KEY)

    def asks(parameters: Any) -> Any:
        yield call("create_charge", ChargeRequest(parameters["order_id"], EUR, "Tea"))
        yield call("get_status", Reference(parameters["order_id"]))

    with pytest.raises(CassetteError, match="not written, because it would hold"):
        record_story(
            Story("asks", asks, POLICY),
            tmp_path / "asks.yaml",
            Account("acme", remote.config),
            SandboxActor(remote),
            Provenance("sandbox"),
            {"order_id": "P1"},
        )
    remote.close()
    assert files(tmp_path) == []


@pytest.mark.usefixtures("acme")
def test_a_story_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no story payed; the stories are create, paid"):
        record_sandbox("acme", tmp_path, ["paid", "payed"])
    assert files(tmp_path) == []


def test_a_provider_without_a_sandbox_or_without_stories_is_named(install: Any, tmp_path: Path) -> None:
    class Plain:
        config: dict[str, str] = {}
        closed = 0

        def close(self) -> None:
            Plain.closed += 1

    with pytest.raises(ProviderNotFound, match="no sandbox 'acme' is installed"):
        record_sandbox("acme", tmp_path)
    install("acme", lambda: Plain, group="payments_core.sandboxes")
    with pytest.raises(ProviderContractError, match="the sandbox of acme has no stories to record"):
        sandbox_stories("acme")
    assert Plain.closed == 1
