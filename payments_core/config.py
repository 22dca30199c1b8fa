"""Configuration: from a mapping, `payments.toml`, the environment and mounted files to a provider's typed struct.

A wrong value is named by its field and never shown.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec

from ._checks import is_host, is_loopback, url_problem
from .errors import ConfigurationError, PaymentError, ProviderContractError
from .secrets import Secret

__all__ = ["CONFIG_FILE", "Settings", "build_config", "secrets_of", "settings_for", "why_unconfigured"]

C = TypeVar("C", bound=msgspec.Struct)

# A value, whether it is text that means what the field is, and the setting that names the file which it was read from.
_Given: TypeAlias = tuple[Any, bool, str]

CONFIG_FILE: Final = "payments.toml"
_MOST_SECRET_BYTES: Final = 64 * 1024


class Settings(msgspec.Struct, frozen=True):
    """What is known of a gateway before its provider is: the provider's name and the values by their source."""

    provider: str
    values: Mapping[str, Any]
    # The environment's values are all text; what they mean depends on the provider's fields.
    environment: Mapping[str, str]

    def __repr__(self) -> str:
        return f"<Settings of provider {self.provider}>"


def settings_for(
    name: str, config: Mapping[str, Any] | None, environ: Mapping[str, str] | None = None, file: Path | None = None
) -> Settings:
    """The settings of gateway `name`.

    A mapping replaces the file and the environment. Else the section `[gateways.NAME]` of the file named by
    `PAYMENTS_CONFIG` (`payments.toml` in the current folder) is overlaid by `PAYMENTS_<NAME>_<FIELD>`.
    """
    if config is not None:
        values = dict(config)
        return Settings(_provider(name, values.pop("provider", name)), values, {})
    environ = os.environ if environ is None else environ
    if file is not None and not file.is_file():
        raise ConfigurationError(f"there is no file {file}")
    values = _section(name, _path(environ) if file is None else file)
    prefix = f"PAYMENTS_{name.upper().replace('-', '_')}_"
    environment = {key[len(prefix) :].lower(): value for key, value in environ.items() if key.startswith(prefix)}
    provider = environment.pop("provider", None) or values.pop("provider", name)
    values.pop("provider", None)
    return Settings(_provider(name, provider), values, environment)


def why_unconfigured(name: str, file: Path | None = None) -> str:
    """In words: that there is no file, or no section for gateway `name` in it; `""` where there is one."""
    path = _path(os.environ) if file is None else file
    gateways = _gateways(path)
    if gateways is None:
        return f"no {path} was found here"
    if name in gateways:
        return ""
    return f"{path} has no [gateways.{name}] (it has: {', '.join(gateways) or 'none'})"


def build_config(name: str, config_type: type[C], settings: Settings) -> C:
    """The provider's typed configuration, converted strictly."""
    built = _built(name, config_type, settings)
    if isinstance(built, PaymentError):
        raise built
    return built


def _built(name: str, config_type: type[C], settings: Settings) -> C | PaymentError:
    """The configuration, or the error to raise from where no frame holds a secret in the clear."""
    try:
        return config_type(**_values(name, config_type, settings))
    except PaymentError as exc:
        # Without what the provider's own check was handling: a ValueError behind it may show a secret.
        return exc.fresh()
    except Exception as exc:  # noqa: BLE001 - a provider's own check; its text may show a value
        return ConfigurationError(f"gateway {name}: the provider refuses this configuration ({type(exc).__name__})")


def _values(name: str, config_type: type[C], settings: Settings) -> dict[str, Any]:
    fields = _fields(config_type)
    given = _from_file_settings(name, settings.values, fields)
    given |= _from_environment(name, settings.environment, fields)
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
            given[key] = (value, False, "")
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


def _from_environment(name: str, environment: Mapping[str, str], fields: Mapping[str, Any]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    longer: dict[str, str] = {}
    for key, value in environment.items():
        field = key.removesuffix("_file") if key not in fields else key
        if field not in fields:
            # PAYMENTS_A_LIVE_UID is a misspelling of gateway "a", or a field of gateway "a_live".
            others = [field.removesuffix(known) for known in (*fields, "provider") if field.endswith(f"_{known}")]
            if not others:
                raise ConfigurationError(_unknown(name, _variable(name, key), fields))
            longer |= dict.fromkeys(others, key)
            continue
        if field in given:
            raise ConfigurationError(
                f"{_variable(name, field)} and {_variable(name, field)}_FILE are both set: keep one"
            )
        variable = _variable(name, key)
        given[field] = (value, True, "") if key == field else (_read(name, variable, value), True, variable)
    for field in given:
        for other, key in longer.items():
            # A key of gateway "a_previous" must not become the previous key of gateway "a".
            if field.startswith(other):
                raise ConfigurationError(
                    f"{_variable(name, key)} looks like one of a gateway {name}_{other[:-1]}, so "
                    f"{_variable(name, field)} could be meant for that gateway or for {name}: rename one of the two"
                )
    return given


def _convert(name: str, field: Any, value: Any, source: str, *, lenient: bool) -> Any:
    problem, converted = "", None
    try:
        converted = msgspec.convert(value, field.type, strict=not lenient, dec_hook=_custom)
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
    """A value for a type that msgspec does not know, wherever that stands in a field's type; msgspec checks it after."""
    return Secret(value) if kind is Secret and type(value) is not Secret else value


def secrets_of(config: msgspec.Struct) -> Iterator[Secret]:
    """Every secret of a configuration."""
    for field in config.__struct_fields__:
        yield from _secrets(getattr(config, field))


def _secrets(value: Any) -> Iterator[Secret]:
    """The secret that a field is, or those that it holds: a list of keys, or keys by their name."""
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


def _section(name: str, path: Path) -> dict[str, Any]:
    section = (_gateways(path) or {}).get(name, {})
    if not isinstance(section, dict):
        raise ConfigurationError(f"{path}: [gateways.{name}] is a section with the gateway's fields")
    return dict(section)


def _gateways(path: Path) -> dict[str, Any] | None:
    """The gateways of a file, by their names; None where there is no file."""
    problem, document = "", {}
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError:
        return None
    except tomllib.TOMLDecodeError as exc:
        problem = f"is not TOML: {exc}"
    except (OSError, ValueError, RecursionError) as exc:  # tomllib also raises what int() and depth do
        problem = f"cannot be read ({type(exc).__name__})"
    if problem:
        raise ConfigurationError(f"{path} {problem}")
    gateways = document.get("gateways", {})
    if not isinstance(gateways, dict):
        raise ConfigurationError(f"{path}: [gateways.NAME] is a section with the fields of gateway NAME")
    return gateways


def _path(environ: Mapping[str, str]) -> Path:
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
            # Editors begin a file with a mark, and they and `echo` end it with a newline; neither is of the secret.
            return content.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
        problem = "is too long"
    except (OSError, ValueError) as exc:
        problem = f"cannot be read ({type(exc).__name__})"
    raise ConfigurationError(f"gateway {name}: the file that {variable} names {problem}")


def _provider(name: str, provider: object) -> str:
    if not isinstance(provider, str) or not provider:
        raise ConfigurationError(f"gateway {name}: provider is the name of an installed provider")
    return provider


def _variable(name: str, field: str) -> str:
    return f"PAYMENTS_{name.upper().replace('-', '_')}_{field.upper()}"


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
