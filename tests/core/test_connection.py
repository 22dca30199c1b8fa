"""Test the proxy and CA file settings, which every gateway has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import msgspec
import pytest

from payments_core import (
    AsyncHTTPTransport,
    Channel,
    Charge,
    ChargeRequest,
    ConfigurationError,
    HTTPTransport,
    Method,
    Money,
    PaymentStatus,
    ProviderInfo,
    Reference,
    Request,
    Secret,
    hookimpl,
)
from payments_core.account import load_account
from payments_core.testing.faults import Answer, FaultGateway
from payments_core.testing.recording import Account

PASSWORD = "canary-" + "of-a-proxy"
PROXY = f"http://user:{PASSWORD}@127.0.0.1:9"


class Config(msgspec.Struct):
    base_url: str = "http://127.0.0.1:9"


class Good:
    config_type: Any = Config
    info: Any = ProviderInfo(
        id="good",
        title="Good",
        currencies=frozenset({"HKD"}),
        methods=(Method("a", "A"),),
        channels=frozenset({Channel.WEB}),
        raw_statuses={"OPEN": PaymentStatus.PENDING},
    )

    def __init__(self, config: Any) -> None:
        self.config = config

    @hookimpl
    def create_charge(self, request: ChargeRequest) -> Any:
        yield Request("POST", "/create")

    @hookimpl
    def get_status(self, reference: Reference) -> Any:
        yield Request("GET", "/status", safe=True)
        return Charge("good", reference, PaymentStatus.PENDING, "OPEN", Money.of("88", "HKD"))


@pytest.fixture(autouse=True)
def _nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Any) -> None:
    monkeypatch.chdir(tmp_path)
    install("good", Good)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Note what each transport of the core's own is made from."""
    seen: list[dict[str, Any]] = []
    for kind in (HTTPTransport, AsyncHTTPTransport):

        class Noted(kind):  # type: ignore[misc, valid-type]
            def __init__(self, **options: Any) -> None:
                seen.append(options)
                super().__init__(**options)

        monkeypatch.setattr(f"payments_core.transport.{kind.__name__}", Noted)
    return seen


def settings(source: str, monkeypatch: pytest.MonkeyPatch, folder: Path, **values: str) -> Any:
    """Put the values into a source, and return what to open the gateway with."""
    if source == "mapping":
        return values
    if source == "file":
        lines = (f'{name} = "{value}"\n' for name, value in values.items())
        (folder / "payments.toml").write_text("[gateways.good]\n" + "".join(lines))
    else:
        for name, value in values.items():
            monkeypatch.setenv(f"PAYMENTS_GOOD_{name.upper()}", value)
    return None


@pytest.mark.parametrize("source", ["mapping", "file", "environment"])
@pytest.mark.parametrize("mounted", [False, True])
def test_proxy_and_ca_file_reach_the_transport(
    opening: Any, made: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, mounted: bool
) -> None:
    (tmp_path / "proxy").write_text(f"{PROXY}\n")
    proxy = {"proxy_file": str(tmp_path / "proxy")} if mounted else {"proxy": PROXY}
    opening("good", settings(source, monkeypatch, tmp_path, **proxy, ca_file=certifi.where()))
    assert made == [{"proxy": PROXY, "verify": certifi.where()}]


@pytest.mark.parametrize("config", [{}, {"proxy": "", "ca_file": ""}])
def test_without_them_nothing_changes(opening: Any, made: Any, config: Any) -> None:
    opening("good", config)
    assert made == [{"proxy": None, "verify": None}]


@pytest.fixture
def proxy() -> Iterator[FaultGateway]:
    with FaultGateway() as running:
        yield running


def test_a_call_goes_through_the_proxy(opening: Any, proxy: Any) -> None:
    """Nobody listens at base_url itself."""
    proxy.inject(Answer(b"{}"))
    opening("good", {"proxy": proxy.url, "base_url": "http://127.0.0.1:9"}).get_status(Reference("P1"))
    assert [request.target for request in proxy.requests] == ["http://127.0.0.1:9/status"]


def test_a_proxy_is_a_secret(opening: Any) -> None:
    account = load_account("good", {"proxy": PROXY})
    assert account.connection.proxy == Secret(PROXY)
    assert PASSWORD not in repr(account)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("proxy", f"socks5://u:{PASSWORD}@127.0.0.1:9"), ("proxy", f"u:{PASSWORD}@proxy"),
        ("proxy", f"http://u:{PASSWORD}@"), ("proxy", 5), ("proxy", f"{PROXY} "),
        ("ca_file", "/nonexistent/ca.pem"), ("ca_file", "."), ("ca_file", "key.pem"), ("ca_file", "empty.pem"),
        ("ca_file", "a\0b"), ("ca_file", 5),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_used_is_named(opening: Any, tmp_path: Path, name: str, value: Any) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    (tmp_path / "empty.pem").touch()
    with pytest.raises(ConfigurationError, match=f"gateway good: .*{name}") as caught:
        opening("good", {name: value})
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("given", [{"proxy": PROXY}, {"ca_file": certifi.where()}])
def test_a_setting_beside_a_transport_is_refused(opening: Any, given: Any, world: str) -> None:
    """The transport would silently go past the proxy."""
    transport = HTTPTransport() if world == "sync" else AsyncHTTPTransport()
    with pytest.raises(ConfigurationError, match=f"{next(iter(given))} in the settings and transport=.*keep one"):
        opening("good", given, transport=transport)
    opening("good", dict.fromkeys(given, ""), transport=transport)


class Own(msgspec.Struct):
    """A provider's configuration with fields of its own by these names."""

    proxy: int = 0
    ca_file: str = ""
    base_url: str = "http://127.0.0.1:9"


class Ca(msgspec.Struct):
    """A field whose mounted file is called as the setting."""

    ca: str = ""
    base_url: str = "http://127.0.0.1:9"


def test_a_field_of_the_provider_s_own_is_the_provider_s(install: Any, opening: Any, made: Any, tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("of the provider\n")
    for kind, config, field in (
        (Own, {"proxy": 5, "ca_file": "x"}, "ca_file"),
        (Ca, {"ca_file": str(tmp_path / "ca")}, "ca"),
    ):
        name = kind.__name__.lower()
        info = msgspec.structs.replace(Good.info, id=name)
        install(name, type("Changed", (Good,), {"config_type": kind, "info": info}))
        opened = load_account(name, config)
        assert getattr(opened.config, field) == {"ca_file": "x", "ca": "of the provider"}[field]
        opening(name, config)
    assert made == [{"proxy": None, "verify": None}] * 2


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "HTTP_PROXY_FILE", "SSL_CA_FILE"])
def test_a_misspelt_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Rather than taken for one of a gateway `good_https`, so that calls go past the proxy."""
    monkeypatch.setenv(f"PAYMENTS_GOOD_{variable}", PROXY)
    monkeypatch.setenv("PAYMENTS_GOOD_LIVE_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=f"unknown field PAYMENTS_GOOD_{variable};"):
        load_account("good")


@pytest.mark.parametrize("other", ["environment", "file"])
def test_a_setting_of_a_longer_name_is_another_gateway_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, other: str
) -> None:
    """Another variable or a section configures the gateway with the longer name."""
    monkeypatch.setenv("PAYMENTS_GOOD_LIVE_PROXY", PROXY)
    monkeypatch.setenv("PAYMENTS_GOOD_LIVE_CA_FILE", "/nonexistent")
    if other == "file":
        (tmp_path / "payments.toml").write_text("[gateways.good-live]\n")
    else:
        monkeypatch.setenv("PAYMENTS_GOOD_LIVE_BASE_URL", "http://127.0.0.1:9")
    account = load_account("good")
    assert (account.connection.proxy, account.connection.ca_file) == (Secret(""), "")


def test_a_recording_connects_as_the_account_does(made: Any) -> None:
    account = Account("good", {"proxy": PROXY, "ca_file": certifi.where()})
    account.open().close()
    account.open_for_replay().close()
    assert made == [{"proxy": PROXY, "verify": certifi.where()}, {"proxy": None, "verify": None}]
    assert PROXY in account.secrets.values()
