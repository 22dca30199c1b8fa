"""Configuration: from a mapping, `payments.toml`, the environment and mounted files to a provider's typed struct.

A wrong value is named by its field and never shown.
"""

from __future__ import annotations

import codecs
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec

from ._checks import is_host, is_loopback, url_problem
from ._frames import without_frames
from .errors import ConfigurationError, PaymentError, ProviderContractError
from .secrets import Secret

__all__ = [
    "CONFIG_FILE",
    "Connection",
    "Settings",
    "build",
    "build_config",
    "config_path",
    "plain",
    "read_gateways",
    "secrets_of",
    "settings_for",
    "why_unconfigured",
]

C = TypeVar("C", bound=msgspec.Struct)

# A value, whether it is text that means what the field is, and the setting that names the file which it was read from.
_Given: TypeAlias = tuple[Any, bool, str]

CONFIG_FILE: Final = "payments.toml"
_MOST_SECRET_BYTES: Final = 64 * 1024

# Variables that the kubelet sets for a Service of the pod's namespace, which may be called payments-NAME. In a second
# pattern those whose value is a URL: PORT alone could be a misspelt field.
_SERVICE: Final = re.compile(
    r"PAYMENTS_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR))", re.ASCII
)
_SERVICE_PORT: Final = re.compile(r"PAYMENTS_(\w+_)?PORT(_\d+_(TCP|UDP|SCTP))?", re.ASCII)
_SERVICE_URL: Final = re.compile(r"(tcp|udp|sctp)://")


class Settings(msgspec.Struct, frozen=True):
    """Hold what is known of a gateway before its provider is: the provider's name, and values by their source."""

    provider: str
    values: Mapping[str, Any]
    # The environment's values are all text; what they mean depends on the provider's fields.
    environment: Mapping[str, str]
    # The other gateways of the file, with their providers: a variable may be meant for one of them.
    others: Mapping[str, object] = {}

    def __repr__(self) -> str:
        return f"<Settings of provider {self.provider}>"


class Connection(msgspec.Struct, frozen=True):
    """Hold the settings that every gateway has, unless its provider has a field of the same name: how to reach it.

    `proxy` is a URL, which may hold a password; `ca_file` names a PEM file of the certificates to trust.
    """

    proxy: Secret = Secret("")
    ca_file: str = ""


def settings_for(
    name: str, config: Mapping[str, Any] | None, environ: Mapping[str, str] | None = None, file: Path | None = None
) -> Settings:
    """Collect the settings of gateway `name`.

    A mapping replaces the file and the environment. Else the section `[gateways.NAME]` of the file named by
    `PAYMENTS_CONFIG` (`payments.toml` in the current folder) is overlaid by `PAYMENTS_<NAME>_<FIELD>`.
    """
    if config is not None:
        values = _copy(name, config)
        return Settings(_provider(name, values.pop("provider", name)), values, {})
    environ = os.environ if environ is None else environ
    if file is not None and not file.is_file():
        raise ConfigurationError(f"there is no file {file}")
    path = config_path(environ) if file is None else file
    gateways = read_gateways(path) or {}
    values = _section(name, path, gateways)
    prefix = _prefix(name)
    environment = {key[len(prefix) :].lower(): value for key, value in environ.items() if key.startswith(prefix)}
    provider = environment.pop("provider", None) or values.pop("provider", name)
    values.pop("provider", None)
    others = {
        other: section.get("provider", other)
        for other, section in gateways.items()
        if other != name and isinstance(section, dict)
    }
    return Settings(_provider(name, provider), values, environment, others)


def why_unconfigured(name: str, file: Path | None = None) -> str:
    """Say that there is no file, or no section for gateway `name` in it; `""` where there is one."""
    path = config_path(os.environ) if file is None else file
    gateways = read_gateways(path)
    if gateways is None:
        return f"no {path} was found here"
    if name in gateways:
        return ""
    return f"{path} has no [gateways.{name}] (it has: {', '.join(gateways) or 'none'})"


@without_frames
def build_config(name: str, config_type: type[C], settings: Settings) -> C:
    """Build the provider's typed configuration, converted strictly."""
    return build(name, config_type, settings)[0]


def build(name: str, config_type: type[C], settings: Settings) -> tuple[C, Connection]:
    """Build the provider's typed configuration, and how to reach the gateway."""
    own = _fields(config_type)
    shared = {
        key: field
        for key, field in _fields(Connection).items()
        if key not in own and key.removesuffix("_file") not in own
    }
    values = _values(name, own | shared, settings)
    connection = Connection(**{key: values.pop(key) for key in shared if key in values})
    if connection.ca_file:
        _check_ca_file(name, connection.ca_file)
    problem = ""
    try:
        return config_type(**values), connection
    except PaymentError:
        raise
    except Exception as exc:  # noqa: BLE001 - a provider's own check; its text may show a value
        problem = type(exc).__name__
    raise ConfigurationError(f"gateway {name}: the provider refuses this configuration ({problem})")


def _values(name: str, fields: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    given = _from_file_settings(name, settings.values, fields)
    given |= _from_environment(name, settings, fields)
    missing = [field.name for field in fields.values() if field.required and field.name not in given]
    if missing:
        raise ConfigurationError(_missing(name, missing))
    values = {}
    for key, (value, lenient, source) in given.items():
        values[key] = _convert(name, fields[key], value, source, lenient=lenient)
    if isinstance(values.get("base_url"), str):
        values["base_url"] = _base_url(name, values["base_url"])
    return values


def _fields(config_type: type[msgspec.Struct]) -> dict[str, Any]:
    try:
        return {field.name: field for field in msgspec.structs.fields(config_type)}
    except Exception as exc:  # noqa: BLE001 - reading annotations runs them
        # The text of a NameError is a name of the source.
        problem = str(exc) if isinstance(exc, NameError) else type(exc).__name__
    raise ProviderContractError(f"the types of the fields of {config_type.__name__} cannot be read ({problem})")


def _from_file_settings(name: str, values: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for key, value in values.items():
        if key in fields:
            given[plain(key)] = (value, False, "")
        elif (
            isinstance(key, str)
            and key.endswith("_file")
            and (field := key.removesuffix("_file")) in fields
            and isinstance(value, str)
        ):
            if field in values:
                raise ConfigurationError(f"gateway {name}: {field} and {key} are both given: keep one")
            given[field] = (_read(name, key, value), True, key)
        else:
            raise ConfigurationError(_unknown(name, str(key), fields))
    return given


def _from_environment(name: str, settings: Settings, fields: Mapping[str, Any]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    unknown: dict[str, dict[str, str]] = {}
    for key, value in settings.environment.items():
        variable = _variable(name, key)
        field = _field(key, fields)
        if _is_of_a_service(variable, value, is_field=bool(field)):
            continue
        if not field:
            # PAYMENTS_A_LIVE_UID is a misspelling of gateway "a", or a field of gateway "a_live".
            unknown[key] = {
                written.removesuffix(known): known
                for written in (key, key.removesuffix("_file"))
                for known in (*fields, "provider")
                if written.endswith(f"_{known}")
            }
            continue
        if field in given:
            raise ConfigurationError(
                f"{_variable(name, field)} and {_variable(name, field)}_FILE are both set: keep one"
            )
        _check_sections(name, variable, settings, fields)
        given[field] = (value, True, "") if key == field else (_read(name, variable, value), True, variable)
    longer = _of_longer_names(name, unknown, settings, fields)
    for field in given:
        for other, key in longer.items():
            # A key of gateway "a_previous" must not become the previous key of gateway "a".
            if field.startswith(other):
                raise ConfigurationError(
                    f"{_variable(name, key)} looks like one of a gateway {name}_{other[:-1]}, so "
                    f"{_variable(name, field)} could be meant for that gateway or for {name}: rename one of the two"
                )
    return given


def _of_longer_names(
    name: str, unknown: Mapping[str, Mapping[str, str]], settings: Settings, fields: Mapping[str, Any]
) -> dict[str, str]:
    """Map gateways with a longer name to one of their variables each; refuse a variable that fits no gateway.

    `proxy` and `ca_file` alone do not identify a gateway: PAYMENTS_A_HTTPS_PROXY is a misspelling.
    """
    longer = {
        other: key
        for key, others in unknown.items()
        for other, field in others.items()
        if field not in Connection.__struct_fields__ or _variable(name, other) in map(_prefix, settings.others)
    }
    for key, others in unknown.items():
        if not others.keys() & longer.keys():
            raise ConfigurationError(_unknown(name, _variable(name, key), fields))
    return longer


def _field(key: str, fields: Mapping[str, Any]) -> str:
    """Name the field that a key of the environment sets, itself or by a file; `""` where there is none."""
    return next((each for each in (key, key.removesuffix("_file")) if each in fields), "")


def _is_of_a_service(variable: str, value: str, *, is_field: bool) -> bool:
    if _SERVICE_URL.match(value):
        return _SERVICE_PORT.fullmatch(variable) is not None
    return not is_field and _SERVICE.fullmatch(variable) is not None


def _check_sections(name: str, variable: str, settings: Settings, fields: Mapping[str, Any]) -> None:
    """Refuse a variable that a section of the file could claim as well.

    The fields of another provider are not known here, so there the longer name claims the variable.
    """
    for other, provider in settings.others.items():
        prefix = _prefix(other)
        if not variable.startswith(prefix):
            continue
        if provider == settings.provider:
            claimed = bool(_field(variable.removeprefix(prefix).lower(), fields))
        else:
            claimed = len(prefix) >= len(_prefix(name))
        if claimed:
            raise ConfigurationError(
                f"{variable} could be meant for gateway {name}, or for gateway {other}, which has a section "
                f"[gateways.{other}]: rename one of the two gateways"
            )


def _convert(name: str, field: Any, value: Any, source: str, *, lenient: bool) -> Any:
    problem, converted = "", None
    try:
        converted = msgspec.convert(plain(value), field.type, strict=not lenient, dec_hook=_custom)
    except Exception:  # noqa: BLE001 - msgspec's text shows the value for some types
        problem = f"must be {_type_name(field.type)}"
    else:
        texts = [converted] if isinstance(converted, str) else [each.reveal() for each in _secrets(converted)]
        may_be_blank = not field.required and isinstance(converted, str | Secret)
        for text in texts:
            if not text.strip() and not may_be_blank:
                problem = "must not be blank"
            elif text != text.strip():
                problem = "must not begin or end with white space"
    if problem:
        read = f" (it was read from the file that {source} names)" if source else ""
        raise ConfigurationError(f"gateway {name}: {field.name} {problem}{read}")
    return converted


def _custom(kind: type, value: Any) -> Any:
    """Convert a value for a type that msgspec does not know, wherever that stands in a field's type."""
    return Secret(value) if kind is Secret and type(value) is not Secret else value


def plain(value: Any) -> Any:
    """Replace text of a subclass, such as an enum's member, by plain `str`; in lists and tables too."""
    if isinstance(value, str):
        return str.__str__(value)
    if type(value) is dict:
        return {plain(key): plain(each) for key, each in value.items()}
    if type(value) in {list, tuple, set, frozenset}:
        return type(value)(plain(each) for each in value)
    return value


def secrets_of(config: msgspec.Struct) -> Iterator[Secret]:
    """Yield every secret of a configuration."""
    for field in config.__struct_fields__:
        yield from _secrets(getattr(config, field))


def _secrets(value: Any) -> Iterator[Secret]:
    """Yield the secret that a field is, or those that it holds: a list of keys, or keys by their name."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, tuple | list | set | frozenset | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _secrets(each)


def _base_url(name: str, url: str) -> str:
    problem = url_problem(url)
    if not problem:
        parts = urlsplit(url)
        if parts.scheme != "https" and not is_loopback(parts.hostname):
            problem = "must be https (http only to a loopback address)"
        elif not is_host(parts.hostname or ""):
            problem = "must have a host of labels of 1 to 63 letters, digits and hyphens"
        elif parts.query or parts.fragment or "?" in url or "#" in url:
            problem = "must not have a query or a fragment"
    if problem:
        raise ConfigurationError(f"gateway {name}: base_url {problem}")
    return url.rstrip("/")


def _check_ca_file(name: str, path: str) -> None:
    import ssl

    problem = ""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(path)
        if not context.cert_store_stats()["x509"]:
            problem = "holds no certificate"
    except ssl.SSLError:
        problem = "holds no certificate that can be read: it must be a PEM file"
    except (OSError, ValueError) as exc:
        problem = f"cannot be read ({type(exc).__name__})"
    if problem:
        raise ConfigurationError(f"gateway {name}: the file that ca_file names {problem}")


def _copy(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    problem = ""
    try:
        return dict(config)
    except Exception as exc:  # noqa: BLE001 - a mapping that fetches its values; its text may show one
        problem = type(exc).__name__
    raise ConfigurationError(f"gateway {name}: reading the mapping raised {problem}")


def _section(name: str, path: Path, gateways: Mapping[str, Any]) -> dict[str, Any]:
    section = gateways.get(name, {})
    if not isinstance(section, dict):
        raise ConfigurationError(f"{path}: [gateways.{name}] is a section with the gateway's fields")
    return dict(section)


def read_gateways(path: Path) -> dict[str, Any] | None:
    """Read the gateways of a file, by their names; None where there is no file."""
    problem, document = "", {}
    try:
        document = tomllib.loads(_decoded(path.read_bytes()))
    except FileNotFoundError:
        return None
    except tomllib.TOMLDecodeError as exc:
        problem = f"is not TOML: {exc}"
    except _Undecodable as exc:
        problem = str(exc)
    except (OSError, ValueError, RecursionError) as exc:  # tomllib also raises what int() and depth do
        problem = f"cannot be read ({type(exc).__name__})"
    if problem:
        raise ConfigurationError(f"{path} {problem}")
    gateways = document.get("gateways", {})
    if not isinstance(gateways, dict):
        raise ConfigurationError(f"{path}: [gateways.NAME] is a section with the fields of gateway NAME")
    return gateways


class _Undecodable(Exception):
    """Say what is wrong with the encoding of a file, in words that follow its name."""


def _decoded(content: bytes) -> str:
    """Decode a file as UTF-8, without the mark that editors begin it with."""
    # Without a mark, the first characters of UTF-16 text show as zeros between letters.
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:2]:
        raise _Undecodable("is UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    raise _Undecodable("is not UTF-8; save it as UTF-8")


def config_path(environ: Mapping[str, str]) -> Path:
    """Return the file that `PAYMENTS_CONFIG` names, else `payments.toml` in the current folder."""
    named = environ.get("PAYMENTS_CONFIG", "")
    if named and not Path(named).is_file():
        raise ConfigurationError(f"PAYMENTS_CONFIG names {named}, which is not a file")
    return Path(named or CONFIG_FILE)


def _read(name: str, variable: str, path: str) -> str:
    problem = ""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_SECRET_BYTES + 1)
        if len(content) <= _MOST_SECRET_BYTES:
            # Editors and `echo` end a file with a newline, which is not of the secret.
            return _decoded(content).removesuffix("\n").removesuffix("\r")
        problem = "is too long"
    except _Undecodable as exc:
        problem = f"cannot be read: it {exc}"
    except (OSError, ValueError) as exc:
        problem = f"cannot be read ({type(exc).__name__})"
    raise ConfigurationError(f"gateway {name}: the file that {variable} names {problem}")


def _provider(name: str, provider: object) -> str:
    if not isinstance(provider, str) or not provider:
        raise ConfigurationError(f"gateway {name}: provider is the name of an installed provider")
    return str(plain(provider))


def _prefix(name: str) -> str:
    return f"PAYMENTS_{name.upper().replace('-', '_')}_"


def _variable(name: str, field: str) -> str:
    return _prefix(name) + field.upper()


def _missing(name: str, missing: list[str]) -> str:
    variables = ", ".join(_variable(name, field) for field in missing)
    return (
        f"gateway {name} is not configured: {', '.join(missing)} missing; "
        f"write them under [gateways.{name}] in {CONFIG_FILE}, or set {variables} (or each with _FILE)"
    )


def _unknown(name: str, key: str, fields: Mapping[str, Any]) -> str:
    return f"gateway {name}: unknown field {key}; the fields are {', '.join(fields)}"


def _type_name(kind: Any) -> str:
    if kind in {str, Secret}:
        return "text"
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, f"of type {kind}")
