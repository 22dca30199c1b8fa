"""Keep settings out of the core's frames when opening fails: error reporters send the locals of every frame."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from payments_core import (
    AsyncHTTPTransport,
    Channel,
    ChargeRequest,
    ConfigurationError,
    Gateway,
    HTTPTransport,
    InvalidRequest,
    Method,
    PaymentError,
    PaymentStatus,
    ProviderInfo,
    Reference,
    Request,
    Secret,
    hookimpl,
)
from payments_core.account import load_account
from payments_core.testing.opening import open_provider

CANARY = "canary-" + "in-a-frame"
GOOD = {"base_url": "https://gateway.example", "uid": "u", "key": CANARY}


class Config(msgspec.Struct):
    base_url: str
    uid: str
    key: Secret


class Refusing(Config):
    def __post_init__(self) -> None:
        if self.uid == "value":
            int(self.key.reveal())
        if self.uid == "typed":
            raise ConfigurationError("uid is not for this key")


class Good:
    """A provider that refuses some accounts."""

    config_type: Any = Refusing
    info: Any = ProviderInfo(
        id="good",
        title="Good",
        currencies=frozenset({"HKD"}),
        methods=(Method("a", "A"),),
        channels=frozenset({Channel.WEB}),
        raw_statuses={"OPEN": PaymentStatus.PENDING},
    )

    def __init__(self, config: Any) -> None:
        if config.uid == "interrupted":
            raise KeyboardInterrupt
        if config.uid == "typed in provider":
            raise ConfigurationError("no")
        if config.uid != "u":
            int(config.key.reveal())

    @hookimpl
    def create_charge(self, request: ChargeRequest) -> Any:
        yield Request("POST", "/create")

    @hookimpl
    def get_status(self, reference: Reference) -> Any:
        yield Request("GET", "/status", safe=True)


def inside(value: Any, seen: set[int]) -> Iterator[Any]:
    """Return everything that a value holds, including what a Secret hides; skip modules, classes and globals."""
    if id(value) in seen or isinstance(value, type | types.ModuleType):
        return
    seen.add(id(value))
    yield value
    held: list[Any] = []
    if isinstance(value, Secret):
        held.append(value.reveal())
    elif isinstance(value, Mapping):
        held += [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        held += value
    elif isinstance(value, types.FunctionType):
        held += [value.__defaults__, value.__kwdefaults__]
        held += [cell.cell_contents for cell in value.__closure__ or () if cell != types.CellType()]
    elif isinstance(value, types.MethodType):
        held += [value.__self__, value.__func__]
    elif not isinstance(value, str | bytes | int | float):
        held += getattr(value, "__dict__", {}).values()
        names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        held += [getattr(value, name, None) for name in names if isinstance(name, str)]
    for each in held:
        yield from inside(each, seen)


def holds(value: Any, text: str) -> bool:
    shown = (repr(each) for each in inside(value, set()))
    return any(text in each for each in shown)


def holders(error: BaseException, text: str) -> list[str]:
    """Name the frames of ours that hold a text, for the error and its causes."""
    found, errors, seen = [], [error], 0
    while errors:
        current = errors.pop()
        errors += [each for each in (current.__cause__, current.__context__) if each is not None]
        found += [type(current).__name__] if holds([current.args, vars(current)], text) else []
        place = current.__traceback__
        while place is not None:
            frame = place.tb_frame
            if frame.f_globals["__name__"].startswith("payments_"):
                seen += 1
                # A frame also holds the error, whose own traceback is walked here.
                found += [
                    f"{frame.f_code.co_qualname}: {name}"
                    for name, value in frame.f_locals.items()
                    if value is not error and holds(value, text)
                ]
            place = place.tb_next
    assert seen > 0
    return found


class Fetching(Mapping[str, Any]):
    """A mapping that asks somebody for its values, and fails."""

    def __getitem__(self, key: str) -> Any:
        raise LookupError(CANARY)

    def __iter__(self) -> Iterator[str]:
        return iter(GOOD)

    def __len__(self) -> int:
        return len(GOOD)


def changed(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (GOOD | changes).items() if value is not None}


FAILURES: dict[str, tuple[Callable[[], Any], str]] = {
    "a misspelt field": (lambda: Gateway.open("good", changed(keyy="")), "keyy"),
    "a missing field": (lambda: Gateway.open("good", changed(uid=None)), "uid"),
    "a wrong type": (lambda: Gateway.open("good", changed(uid=5)), "uid"),
    "a secret of a wrong type": (lambda: Gateway.open("good", changed(key=[CANARY])), "key"),
    "a blank field": (lambda: Gateway.open("good", changed(uid=" ")), "uid"),
    "a field twice": (lambda: Gateway.open("good", changed(key_file="/run/key")), "key_file"),
    "a bad base_url": (lambda: Gateway.open("good", changed(base_url=f"https://u:{CANARY}@x.example")), "base_url"),
    "a bad proxy": (lambda: Gateway.open("good", changed(proxy=f"ftp://u:{CANARY}@x.example")), "proxy"),
    "a bad ca_file": (lambda: Gateway.open("good", changed(ca_file="/nonexistent")), "ca_file"),
    "a check that raises": (lambda: Gateway.open("good", changed(uid="value")), "refuses"),
    "a check that refuses": (lambda: Gateway.open("good", changed(uid="typed")), "not for this key"),
    "a provider that raises": (lambda: Gateway.open("good", changed(uid="x")), "cannot be made"),
    "a provider that refuses": (lambda: Gateway.open("good", changed(uid="typed in provider")), "no"),
    "an unknown provider": (lambda: Gateway.open("octopus", changed()), "octopus"),
    "a mapping that fails": (lambda: Gateway.open("good", Fetching()), "mapping"),
    "no mapping": (lambda: Gateway.open("good", [CANARY]), "mapping"),  # type: ignore[arg-type]
    "a struct of another type": (lambda: Gateway.open("good", Other(CANARY)), "config"),
    "a struct with a blank": (lambda: Gateway.open("good", Config("https://x.example", " ", Secret(CANARY))), "config"),
    "a bad deadline": (lambda: Gateway.open("good", changed(), deadline=0), "deadline"),
    "a bad clock": (lambda: Gateway.open("good", changed(), clock=5), "clock"),  # type: ignore[arg-type]
    "a bad plugin": (lambda: Gateway.open("good", changed(), plugins=[Other]), "class"),
    "a transport twice": (
        lambda: Gateway.open(
            "good", changed(proxy="http://proxy.example"), transport=HTTPTransport(f"http://u:{CANARY}@127.0.0.1:9")
        ),
        "proxy",
    ),
    "the testing kit": (lambda: open_provider(Good, changed(keyy="")), "keyy"),
    "the command line": (lambda: load_account("good", changed(keyy="")), "keyy"),
}


class Other(msgspec.Struct):
    key: str


@pytest.fixture(autouse=True)
def _nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Any) -> None:
    monkeypatch.chdir(tmp_path)
    install("good", Good)


@pytest.mark.parametrize("failure", FAILURES)
def test_no_frame_holds_the_settings_when_opening_fails(failure: str) -> None:
    fail, named = FAILURES[failure]
    with pytest.raises(PaymentError, match=named) as caught:
        fail()
    assert holders(caught.value, CANARY) == []
    assert caught.value.__cause__ is caught.value.__context__ is None


FILES = {
    "no TOML": f'[gateways.good]\nkey = "{CANARY}"\n[gateways',
    "no section": f'gateways.good = "{CANARY}"\n',
    "a misspelt field": f'[gateways.good]\nkeyy = "{CANARY}"\n',
    "a wrong type": f'[gateways.good]\nbase_url = "https://x.example"\nuid = 5\nkey = "{CANARY}"\n',
    "another section": f'[gateways.other]\nkey = "{CANARY}"\n',
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_no_frame_holds_the_file_when_opening_fails(tmp_path: Path, text: str) -> None:
    (tmp_path / "payments.toml").write_text(text)
    for config in (None, tmp_path / "payments.toml"):
        with pytest.raises(PaymentError) as caught:
            Gateway.open("good", config)
        assert holders(caught.value, CANARY) == []


@pytest.mark.parametrize(
    "variables",
    [
        {"PAYMENTS_CONFIG": "/nonexistent/payments.toml"},
        {"PAYMENTS_GOOD_KEYY": CANARY},
        {"PAYMENTS_GOOD_KEY": CANARY, "PAYMENTS_GOOD_KEY_FILE": "/run/key"},
        {"PAYMENTS_GOOD_PROVIDER": "octopus"},
        {"PAYMENTS_GOOD_PROXY": f"socks5://u:{CANARY}@x.example"},
        {},
    ],
    ids=str,
)
def test_no_frame_holds_the_environment_when_opening_fails(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", CANARY)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for open_it in (Gateway.open, load_account):
        with pytest.raises(PaymentError) as caught:
            open_it("good")
        assert holders(caught.value, CANARY) == []


@pytest.mark.parametrize("kind", [HTTPTransport, AsyncHTTPTransport])
@pytest.mark.parametrize(
    "arguments",
    [
        {"proxy": f"https://u:{CANARY}@x.example"},
        {"proxy": f"http://u:{CANARY}@x.example:port"},
        {"proxy": f"http://u:{CANARY}@x.example", "verify": "/nonexistent"},
        {"proxy": f"http://u:{CANARY}@x.example", "cert": 5},
    ],
    ids=lambda arguments: "-".join(arguments),
)
def test_no_frame_holds_the_proxy_when_a_transport_cannot_be_made(kind: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kind(**arguments)
    assert holders(caught.value, CANARY) == []


def test_an_interrupted_opening_keeps_its_error_and_no_frame() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        Gateway.open("good", changed(uid="interrupted"))
    assert holders(caught.value, CANARY) == []
    assert "test_config_frames.py" in caught.value.__notes__[0]


def test_frame_walk_finds_every_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control: in a mapping, a struct, a Secret, a closure, a transport and the environment."""
    enclosed = {"a": CANARY}
    assert not holds(os.environ, CANARY)
    monkeypatch.setenv("DATABASE_PASSWORD", CANARY)
    for value in (
        os.environ,
        GOOD,
        Config("", "", Secret(CANARY)),
        [Secret(CANARY)],
        lambda: enclosed,
        HTTPTransport(f"http://u:{CANARY}@127.0.0.1:9"),
        InvalidRequest(CANARY).__dict__,
    ):
        assert holds(value, CANARY)
    with pytest.raises(ConfigurationError) as caught:
        Gateway.open.__func__.__wrapped__(Gateway, "good", {"key": CANARY, "keyy": ""})  # type: ignore[attr-defined]
    assert holders(caught.value, CANARY) == ["OpenedGateway.open: config"]
