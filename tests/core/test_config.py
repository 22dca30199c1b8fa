"""Convert configuration strictly, from every source; name a wrong value, but never show it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from payments_core import ConfigurationError, Gateway, Secret
from payments_core.config import build_config, settings_for

CANARY = "canary-" + "of-config"


class Config(msgspec.Struct):
    base_url: str
    uid: str
    key: Secret
    previous_key: Secret = Secret("")
    retries: int = 2
    live: bool = False


@pytest.fixture(autouse=True)
def _nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore the developer's own payments.toml."""
    monkeypatch.chdir(tmp_path)


GOOD = {"base_url": "https://gateway.example", "uid": "u", "key": "k"}


def built(
    config: Any = None, environ: dict[str, str] | None = None, file: Path | None = None, name: str = "shop"
) -> Config:
    return build_config(name, Config, settings_for(name, config, environ or {}, file))


def refused(**given: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        built(**given)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    return str(caught.value)


def test_a_mapping_is_converted() -> None:
    """Secrets become Secrets."""
    config = built(GOOD | {"retries": 5})
    assert (config.uid, config.key, config.retries) == ("u", Secret("k"), 5)
    assert built(GOOD | {"key": Secret("k")}).key == Secret("k")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"uid": 5}, "uid"), ({"key": 5}, "key"), ({"key": None}, "key"), ({"key": ""}, "key"),
        ({"key": "  "}, "key"), ({"uid": ""}, "uid"),
        ({"key": f"{CANARY}\n"}, "key"), ({"retries": "5"}, "retries"), ({"retries": CANARY}, "retries"),
        ({"retries": 1.5}, "retries"), ({"live": "yes"}, "live"), ({"live": 1}, "live"),
        ({"webhok_key": CANARY}, "webhok_key"), ({"key_file": "/nonexistent"}, "key"), ({5: CANARY}, "5"),
        ({"base_url": "http://gateway.example"}, "base_url"), ({"base_url": "gateway.example"}, "base_url"),
        ({"base_url": f"https://u:{CANARY}@gateway.example"}, "base_url"),
        ({"base_url": "https://gateway.example/?a=b"}, "base_url"),
        ({"base_url": "https://gateway.example/#a"}, "base_url"), ({"base_url": "https://"}, "base_url"),
        ({"base_url": "ftp://gateway.example"}, "base_url"),
        ({"base_url": "http://127.0.0.1.evil.example"}, "base_url"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_and_its_value_is_not_shown(changes: Any, named: str) -> None:
    """One change from a good example."""
    assert named in refused(config=GOOD | changes)


class Keys(msgspec.Struct):
    """Secrets in every place where a provider may want them."""

    first: Secret
    maybe: Secret | None = None
    several: tuple[Secret, ...] = ()
    named: dict[str, Secret] = {}
    sign: Callable[[bytes], bytes] = bytes
    path: Path = Path()


def test_secrets_may_stand_anywhere_in_a_type(tmp_path: Path) -> None:
    """Optional, in a list or by a name; from a mapping, a file or the environment."""
    wanted = Keys(Secret("a"), Secret("b"), (Secret("c"), Secret("d")), {"e": Secret("f")})
    texts = {"first": "a", "maybe": "b", "several": ["c", Secret("d")], "named": {"e": "f"}}
    assert build_config("shop", Keys, settings_for("shop", texts)) == wanted
    file = tmp_path / "payments.toml"
    file.write_text('[gateways.shop]\nfirst = "a"\nseveral = ["c", "d"]\nnamed = { e = "f" }\n')
    assert build_config("shop", Keys, settings_for("shop", None, {"PAYMENTS_SHOP_MAYBE": "b"}, file)) == wanted
    assert build_config("shop", Keys, settings_for("shop", {"first": "a", "maybe": None})) == Keys(Secret("a"))
    others = {"sign": bytes.upper, "path": tmp_path}
    assert build_config("shop", Keys, settings_for("shop", {"first": "a"} | others)) == Keys(Secret("a"), **others)


@pytest.mark.parametrize(
    "changes",
    [
        {"maybe": 5}, {"maybe": f"{CANARY} "}, {"several": CANARY}, {"several": [CANARY, 5]},
        {"several": [CANARY, ""]}, {"several": [CANARY, " "]},
        {"several": [f"{CANARY}\n"]}, {"named": {"a": f" {CANARY}"}}, {"named": {"a": [CANARY]}}, {"named": [CANARY]},
        {"sign": CANARY}, {"path": CANARY},
    ],
)  # fmt: skip
def test_a_wrong_secret_is_named_by_its_field_anywhere(changes: Any) -> None:
    """A blank key among others would make everybody's signature genuine too."""
    settings = settings_for("shop", {"first": "a"} | changes)
    with pytest.raises(ConfigurationError, match=next(iter(changes))) as caught:
        build_config("shop", Keys, settings)
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("field", ["base_url", "uid", "key"])
def test_a_missing_field_is_named_with_where_to_write_it(field: str) -> None:
    """In the file or in the environment."""
    message = refused(config={name: value for name, value in GOOD.items() if name != field})
    assert field in message
    assert f"PAYMENTS_SHOP_{field.upper()}" in message


@pytest.mark.parametrize(
    "host",
    ["a..b", ".a", "a.", "a_b", "a" * 64, f"{'a' * 64}.example", ".".join(["a" * 60] * 5), "x;y", "a*b", "a%20b"],
)
def test_a_host_that_cannot_be_looked_up_is_refused_when_opening(host: str) -> None:
    """Rather than at the first charge."""
    assert "base_url" in refused(config=GOOD | {"base_url": f"https://{host}"})


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "http://localhost:1",
        "http://[::1]:80",
        "https://gateway.example/prefix/",
        "https://gateway.example:8443",
        "https://192.0.2.1",
        "https://[2001:db8::1]:8443",
        "https://xn--fiqs8s.example",
        f"https://{'a' * 63}.example",
    ],
)
def test_https_and_loopback_are_taken(url: str) -> None:
    """A prefix too; the trailing slash is not doubled later."""
    assert built(GOOD | {"base_url": url}).base_url == url.rstrip("/")


def test_the_environment_overlays_the_file(tmp_path: Path) -> None:
    """A section is named after the gateway, and may name its provider."""
    file = tmp_path / "payments.toml"
    file.write_text(
        '[gateways.hk-shop]\nprovider = "alipayhk"\nbase_url = "https://gateway.example"\n'
        'uid = "from the file"\nkey = "k"\nretries = 7\n'
    )
    environ = {
        "PAYMENTS_HK_SHOP_UID": "from the environment",
        "PAYMENTS_HK_SHOP_LIVE": "true",
        "PAYMENTS_OTHER_UID": "x",
    }
    assert settings_for("hk-shop", None, environ, file).provider == "alipayhk"
    config = built(environ=environ, file=file, name="hk-shop")
    assert (config.uid, config.retries, config.live) == ("from the environment", 7, True)
    assert settings_for("hk-shop", None, environ | {"PAYMENTS_HK_SHOP_PROVIDER": "stripe"}, file).provider == "stripe"
    assert settings_for("other", None, environ, file).provider == "other"


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    """A misspelt path is no empty configuration; one that exists may be given as it is."""
    with pytest.raises(ConfigurationError, match=r"missing\.toml"):
        Gateway.open("alipayhk", tmp_path / "missing.toml")
    file = tmp_path / "other.toml"
    file.write_text(
        '[gateways.hk]\nprovider = "alipayhk"\nbase_url = "https://x.example"\n'
        'uid = "u"\nclient_secret = "s"\nwebhook_key = "k"\n'
    )
    with Gateway.open("hk", file) as gateway:
        assert gateway.info.id == "alipayhk"


def test_two_accounts_of_one_provider_are_two_gateways(tmp_path: Path) -> None:
    """Each with its own section."""
    file = tmp_path / "payments.toml"
    file.write_text(
        "".join(
            f'[gateways.{name}]\nprovider = "alipayhk"\nbase_url = "https://gateway.example"\n'
            f'uid = "{name}"\nkey = "k"\n'
            for name in ("one", "two")
        )
    )
    assert [built(file=file, name=name).uid for name in ("one", "two")] == ["one", "two"]


def test_mounted_secrets_are_read_from_files(tmp_path: Path) -> None:
    """Without the newline that ends the file."""
    secret = tmp_path / "key"
    secret.write_text("from a file\n")
    environ = {f"PAYMENTS_SHOP_{name.upper()}": value for name, value in GOOD.items() if name != "key"}
    assert built(environ=environ | {"PAYMENTS_SHOP_KEY_FILE": str(secret)}).key == Secret("from a file")
    toml = tmp_path / "payments.toml"
    toml.write_text(f'[gateways.shop]\nbase_url = "https://gateway.example"\nuid = "u"\nkey_file = "{secret}"\n')
    assert built(file=toml).key == Secret("from a file")
    assert "keep one" in refused(environ=environ | {"PAYMENTS_SHOP_KEY_FILE": str(secret), "PAYMENTS_SHOP_KEY": CANARY})
    assert "KEY_FILE" in refused(environ=environ | {"PAYMENTS_SHOP_KEY_FILE": str(tmp_path / "missing")})
    secret.write_bytes(b"\xef\xbb\xbffrom a file\r\n")
    assert built(environ=environ | {"PAYMENTS_SHOP_KEY_FILE": str(secret)}).key == Secret("from a file")
    secret.write_bytes(b"\xff" * 10)
    assert "cannot be read: it is not UTF-8" in refused(environ=environ | {"PAYMENTS_SHOP_KEY_FILE": str(secret)})
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        secret.write_text(f"{CANARY}\n", encoding)
        message = refused(environ=environ | {"PAYMENTS_SHOP_KEY_FILE": str(secret)})
        assert "names cannot be read: it is UTF-16; save it as UTF-8" in message
    secret.write_bytes(b"x" * 100_000)
    assert "too long" in refused(environ=environ | {"PAYMENTS_SHOP_KEY_FILE": str(secret)})
    secret.write_text("\n")
    assert "blank" in refused(environ=environ | {"PAYMENTS_SHOP_KEY_FILE": str(secret)})


def test_a_misspelt_variable_is_named() -> None:
    """Unless it belongs to a gateway with a longer name."""
    environ = {f"PAYMENTS_SHOP_{name.upper()}": value for name, value in GOOD.items()}
    assert "PAYMENTS_SHOP_PREVIOS_KYE" in refused(environ=environ | {"PAYMENTS_SHOP_PREVIOS_KYE": CANARY})
    assert (
        built(
            environ=environ | {"PAYMENTS_SHOP_LIVE_UID": "another gateway's", "PAYMENTS_SHOP_LIVE_KEY_FILE": "/x"}
        ).uid
        == "u"
    )


@pytest.mark.parametrize("other", ["UID", "UID_FILE", "PROVIDER", "BASE_URL"])
def test_variable_that_fits_two_gateways_is_refused(other: str) -> None:
    """A key of gateway `shop_previous` never becomes the previous key of gateway `shop`."""
    environ = {f"PAYMENTS_SHOP_{name.upper()}": value for name, value in GOOD.items()}
    assert built(environ=environ | {"PAYMENTS_SHOP_PREVIOUS_KEY": "old"}).previous_key == Secret("old")
    assert built(environ=environ | {f"PAYMENTS_SHOP_PREVIOUS_{other}": "of another"}).previous_key == Secret("")
    message = refused(
        environ=environ | {"PAYMENTS_SHOP_PREVIOUS_KEY": CANARY, f"PAYMENTS_SHOP_PREVIOUS_{other}": CANARY}
    )
    assert "PAYMENTS_SHOP_PREVIOUS_KEY " in message
    assert f"PAYMENTS_SHOP_PREVIOUS_{other} " in message
    assert "rename" in message


@pytest.mark.parametrize("field", ["PREVIOUS_KEY", "PREVIOUS_KEY_FILE"])
def test_a_variable_that_a_section_could_claim_is_refused(tmp_path: Path, field: str) -> None:
    """A section has a key of its own, so nothing but its name tells what the variable is for."""
    environ = {f"PAYMENTS_SHOP_{name.upper()}": value for name, value in GOOD.items()}
    environ |= {f"PAYMENTS_SHOP_{field}": CANARY}
    file = tmp_path / "payments.toml"
    for other, provider in {"shop_previous": "shop", "shop-previous": "shop", "SHOP_previous": "another"}.items():
        file.write_text(f'[gateways.{other}]\nprovider = "{provider}"\nkey = "k"\n')
        message = refused(environ=environ, file=file)
        assert f"PAYMENTS_SHOP_{field} " in message
        assert "gateway shop," in message
        assert f"[gateways.{other}]" in message
        assert "rename one" in message


def test_variable_that_fits_the_shorter_name_is_refused(tmp_path: Path) -> None:
    """Else the old key of `shop` would become the key of `shop_previous`."""
    file = tmp_path / "payments.toml"
    file.write_text('[gateways.shop]\n[gateways.shop_previous]\nprovider = "shop"\nuid = "u"\n')
    environ = {"PAYMENTS_SHOP_PREVIOUS_BASE_URL": "https://gateway.example"}
    assert "key missing" in refused(environ=environ, file=file, name="shop_previous")
    message = refused(environ=environ | {"PAYMENTS_SHOP_PREVIOUS_KEY": CANARY}, file=file, name="shop_previous")
    assert "could be meant for gateway shop_previous, or for gateway shop," in message


@pytest.mark.parametrize(
    "sections",
    [
        "[gateways.shop_live]\n",
        '[gateways.shop_prev]\nprovider = "shop"\n',
        '[gateways.previous]\nprovider = "shop"\n',
        '[gateways.sho]\nprovider = "another"\n',
        '[gateways.shop]\nuid = "u"\n',
    ],
)
def test_a_section_that_cannot_claim_a_variable_stops_nothing(tmp_path: Path, sections: str) -> None:
    """Another name, a provider without such a field, or the gateway's own section."""
    environ = {f"PAYMENTS_SHOP_{name.upper()}": value for name, value in GOOD.items()}
    file = tmp_path / "payments.toml"
    file.write_text(sections)
    config = built(environ=environ | {"PAYMENTS_SHOP_PREVIOUS_KEY": "old"}, file=file)
    assert config.previous_key == Secret("old")


def of_a_service(prefix: str, port: str = "80", protocol: str = "TCP") -> dict[str, str]:
    """Return everything that the kubelet sets for one Service with a named port."""
    url = f"{protocol.lower()}://10.0.3.7:{port}"
    link = f"{prefix}_PORT_{port}_{protocol}"
    service = {"SERVICE_HOST": "10.0.3.7", "SERVICE_PORT": port, "SERVICE_PORT_HTTP_WEB": port, "PORT": url}
    links = {link: url, f"{link}_PROTO": protocol.lower(), f"{link}_PORT": port, f"{link}_ADDR": "10.0.3.7"}
    return {f"{prefix}_{name}": value for name, value in service.items()} | links


class WithPort(Config):
    """Fields that are called as variables of a Service end."""

    port: str = ""
    service_host: str = ""
    previous_port: str = ""


@pytest.mark.parametrize("name", ["shop", "hk-shop", "port"])
@pytest.mark.parametrize("service", ["", "_PREVIOUS", "_LIVE_2"])
@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_variables_of_a_kubernetes_service_are_ignored(name: str, service: str, protocol: str) -> None:
    """Of one that is called as the gateway, or longer; they claim no name that shares a beginning either."""
    prefix = f"PAYMENTS_{name.upper().replace('-', '_')}"
    environ = {f"{prefix}_{field.upper()}": value for field, value in GOOD.items()}
    environ |= {f"{prefix}_PREVIOUS_KEY": "old"} | of_a_service("PAYMENTS", "8080", protocol)
    config = built(environ=environ | of_a_service(f"{prefix}{service}", protocol=protocol), name=name)
    assert config == Config("https://gateway.example", "u", Secret("k"), Secret("old"))


def test_a_field_that_is_called_as_a_service_s_variable_is_set() -> None:
    """Unless its value is the URL that only the kubelet writes."""
    environ = {f"PAYMENTS_SHOP_{name.upper()}": value for name, value in GOOD.items()}

    def given(**variables: str) -> WithPort:
        more = {f"PAYMENTS_SHOP_{name}": value for name, value in variables.items()}
        return build_config("shop", WithPort, settings_for("shop", None, environ | more))

    assert given(PORT="8443").port == "8443"
    assert given(SERVICE_HOST="a.example").service_host == "a.example"
    for url in ("tcp://10.0.3.7:80", "udp://[2001:db8::1]:53"):
        assert given(PORT=url, PREVIOUS_PORT=url) == given()
    environ |= of_a_service("PAYMENTS_SHOP")
    assert (given().port, given().service_host) == ("", "10.0.3.7")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "8443"), ("PORT", "http://10.0.3.7:80"), ("PORT_80", "80"), ("PORT_80_TCP", "80"), ("PORT_HTTP_TCP", "tcp://10.0.3.7:80"),
        ("PORT_80_TCP_HOST", "10.0.3.7"), ("PORT_80_QUIC_ADDR", "10.0.3.7"), ("SERVICE", "10.0.3.7"),
        ("SERVICE_HOSTS", "10.0.3.7"), ("SERVICE_URL", "tcp://10.0.3.7:80"), ("HOST", "10.0.3.7"),
    ],
)  # fmt: skip
def test_a_variable_that_only_resembles_a_service_s_is_named(variable: str, value: str) -> None:
    environ = {f"PAYMENTS_SHOP_{name.upper()}": given for name, given in GOOD.items()}
    assert f"unknown field PAYMENTS_SHOP_{variable};" in refused(environ=environ | {f"PAYMENTS_SHOP_{variable}": value})


class Uid(StrEnum):
    MAIN = "main"


class Mixed(str, Enum):  # noqa: UP042 - as frameworks make choices
    KEY = "the key"


class Safe(str):
    """A str subclass, as template libraries use, with its own repr."""

    __slots__ = ()

    def __str__(self) -> str:
        return "not this"

    __repr__ = __str__


def test_text_of_a_subclass_is_stored_as_plain_text() -> None:
    """A str subclass is text for a type checker, so it works at run time: values, keys and names."""
    config = built(GOOD | {"uid": Uid.MAIN, "key": Mixed.KEY, Safe("base_url"): Safe("https://x.example/")})
    assert config == Config("https://x.example", "main", Secret("the key"))
    assert type(config.uid) is type(config.base_url) is type(config.key.reveal()) is str
    settings = settings_for("shop", {"provider": Uid.MAIN})
    assert (settings.provider, type(settings.provider)) == ("main", str)
    texts = {"first": Safe("a"), "several": [Safe("b")], "named": {Safe("c"): Safe("d")}}
    keys = build_config("shop", Keys, settings_for("shop", texts))
    assert keys == Keys(Secret("a"), None, (Secret("b"),), {"c": Secret("d")})
    held = [
        keys.first.reveal(),
        keys.several[0].reveal(),
        *keys.named,
        *(each.reveal() for each in keys.named.values()),
    ]
    assert {type(each) for each in held} == {str}
    assert type(Secret(Safe("a")).reveal()) is str
    assert "uid must not be blank" in refused(config=GOOD | {"uid": Safe(" ")})


class Mode(StrEnum):
    TEST = "test"


def test_an_enum_of_the_provider_s_own_is_kept() -> None:
    moded = msgspec.defstruct("Moded", [("mode", Mode)])
    for given in (Mode.TEST, "test", Safe("test")):
        assert build_config("shop", moded, settings_for("shop", {"mode": given})).mode is Mode.TEST  # type: ignore[attr-defined]


def test_a_gateway_s_name_is_stored_as_plain_text(alipayhk_config: dict[str, str]) -> None:
    class Name(StrEnum):
        HK = "alipayhk"

    with Gateway.open(Name.HK, alipayhk_config) as gateway:
        assert (gateway.name, type(gateway.name)) == ("alipayhk", str)


@pytest.mark.parametrize(
    "text",
    [
        "[gateways",
        "gateways = 5",
        "[gateways]\nshop = 5",
        "\xff",
        pytest.param("x = " + "9" * 5000, id="digits"),
        pytest.param("x = " + "[" * 5000, id="depth"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_named(tmp_path: Path, text: str) -> None:
    """With the place, where TOML knows it."""
    file = tmp_path / "payments.toml"
    file.write_bytes(text.encode("latin-1"))
    assert "payments.toml" in refused(file=file)


TEXT = '[gateways.shop]\nbase_url = "https://gateway.example"\nuid = "Käfer"\nkey = "k"\n'


@pytest.mark.parametrize(
    ("encoding", "problem"),
    [
        ("utf-8-sig", ""),
        ("utf-16", "is UTF-16; save it as UTF-8"),
        ("utf-16-le", "is UTF-16; save it as UTF-8"),
        ("utf-16-be", "is UTF-16; save it as UTF-8"),
        ("cp1252", "is not UTF-8; save it as UTF-8"),
    ],
)
def test_the_encoding_of_a_file_is_utf_8_with_or_without_a_mark(tmp_path: Path, encoding: str, problem: str) -> None:
    """Windows PowerShell writes UTF-16, and older editors a mark or their own code page."""
    file = tmp_path / "payments.toml"
    file.write_text(TEXT, encoding)
    if problem:
        assert refused(file=file) == f"{file} {problem}"
    else:
        assert built(file=file).uid == "Käfer"


def test_the_file_is_found_by_variable_or_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a variable that names no file is an error, not a default."""
    (tmp_path / "payments.toml").write_text('[gateways.shop]\nuid = "here"\n')
    other = tmp_path / "other.toml"
    other.write_text('[gateways.shop]\nuid = "there"\n')
    monkeypatch.chdir(tmp_path)
    assert settings_for("shop", None, {}).values == {"uid": "here"}
    assert settings_for("shop", None, {"PAYMENTS_CONFIG": str(other)}).values == {"uid": "there"}
    with pytest.raises(ConfigurationError, match="PAYMENTS_CONFIG"):
        settings_for("shop", None, {"PAYMENTS_CONFIG": str(tmp_path / "missing.toml")})
    assert settings_for("shop", {"uid": "mapping"}, {"PAYMENTS_SHOP_UID": "x"}).values == {"uid": "mapping"}


def test_a_gateway_opens_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, alipayhk_config: dict[str, str], tmp_path: Path
) -> None:
    """And from the provider's own struct; anything else is refused."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="PAYMENTS_ALIPAYHK_WEBHOOK_KEY"):
        Gateway.open("alipayhk")
    for name, value in alipayhk_config.items():
        monkeypatch.setenv(f"PAYMENTS_HK_{name.upper()}", value)
    monkeypatch.setenv("PAYMENTS_HK_PROVIDER", "alipayhk")
    with Gateway.open("hk") as gateway:
        assert (gateway.name, gateway.info.id) == ("hk", "alipayhk")
    for config in ("alipayhk", 5, [("uid", "u")]):
        with pytest.raises(ConfigurationError):
            Gateway.open("alipayhk", config)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        Gateway.open("alipayhk", Config(**(GOOD | {"key": Secret("k")})))


@pytest.mark.parametrize("changes", [{"webhook_key": Secret("")}, {"base_url": "http://evil.example"}, {"uid": 5}])
def test_a_ready_struct_is_checked_like_any_other_source(alipayhk_config: dict[str, str], changes: Any) -> None:
    """Its constructor checked nothing."""
    from payments_alipayhk import AlipayHKConfig

    values: dict[str, Any] = alipayhk_config | {
        name: Secret(alipayhk_config[name]) for name in ("client_secret", "webhook_key")
    }
    with Gateway.open("alipayhk", AlipayHKConfig(**values)) as gateway:
        assert gateway.info.id == "alipayhk"
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        Gateway.open("alipayhk", AlipayHKConfig(**(values | changes)))


@pytest.mark.parametrize("blank", ["", " ", "\t"])
@pytest.mark.parametrize("field", ["webhook_key", "client_secret", "uid"])
def test_a_blank_key_never_opens(alipayhk_config: dict[str, str], field: str, blank: str) -> None:
    """An empty key would make everybody's signature genuine."""
    with pytest.raises(ConfigurationError, match=field):
        Gateway.open("alipayhk", alipayhk_config | {field: blank})
    with Gateway.open("alipayhk", alipayhk_config | {"previous_webhook_key": ""}):
        pass


@pytest.mark.parametrize("source", ["environment", "file"])
def test_no_frame_of_a_refused_configuration_holds_a_secret(tmp_path: Path, source: str) -> None:
    """Error reporters that send the locals of frames would report it."""
    mounted = tmp_path / "key"
    mounted.write_text(CANARY)
    given = {"environment": {"PAYMENTS_SHOP_KEY": CANARY}, "file": {"PAYMENTS_SHOP_KEY_FILE": str(mounted)}}[source]
    environ = {"PAYMENTS_SHOP_BASE_URL": "https://gateway.example", "PAYMENTS_SHOP_UID": " ", **given}
    with pytest.raises(ConfigurationError, match="uid must not be blank") as caught:
        build_config("shop", Config, settings_for("shop", None, environ))
    frames, place = [], caught.value.__traceback__
    while place is not None:
        if place.tb_frame.f_code.co_filename != __file__:
            frames.append(repr(place.tb_frame.f_locals))
        place = place.tb_next
    assert frames
    assert CANARY not in "".join(frames)
