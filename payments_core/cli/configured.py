"""List the configured gateways: the sections of payments.toml, and those in the environment alone."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from importlib.metadata import entry_points
from pathlib import Path

import msgspec

from payments_core import ConfigurationError, PaymentError
from payments_core.config import config_path, read_gateways
from payments_core.discovery import PROVIDER_GROUP, find_provider

from .opening import default_provider, open_gateway

__all__ = ["ConfiguredGateway", "configured_gateways", "default_gateway", "with_state"]


class ConfiguredGateway(msgspec.Struct, frozen=True):
    """Describe one configured gateway without its values; `sources` says where it is configured."""

    name: str
    provider: str
    sources: tuple[str, ...]
    moves_money: bool | None = None
    problem: str = ""


def configured_gateways(file: Path | None = None) -> list[ConfiguredGateway]:
    """Return every configured gateway, by name; raise `ConfigurationError` for a file that cannot be read."""
    path = file or config_path(os.environ)
    sections = read_gateways(path) or {}
    variables = [name.removeprefix("PAYMENTS_") for name in os.environ if name.startswith("PAYMENTS_")]
    alone = _named_by_environment(variables, {_prefix(name) for name in sections})
    found = []
    for name in sorted({*sections, *alone}):
        named = [str(path)] if name in sections else []
        named += ["the environment"] if any(each.startswith(_prefix(name)) for each in variables) else []
        section = sections.get(name)
        stated = os.environ.get(f"PAYMENTS_{_prefix(name)}PROVIDER")
        provider = stated or (section.get("provider", name) if isinstance(section, dict) else name)
        found.append(ConfiguredGateway(name, str(provider), tuple(named)))
    return found


def with_state(gateway: ConfiguredGateway, file: Path | None = None) -> ConfiguredGateway:
    """Open the gateway, which sends nothing, and fill in whether it moves money, or why it cannot be opened."""
    try:
        with redirect_stdout(sys.stderr), open_gateway(gateway.name, file) as opened:
            return msgspec.structs.replace(gateway, moves_money=opened.moves_money)
    except PaymentError as error:
        return msgspec.structs.replace(gateway, problem=error.message)


def default_gateway(file: Path, provider: str) -> str:
    """Return the only gateway of `file`, or of `provider` in it; if there are several, the provider's name."""
    try:
        sections = read_gateways(file) or {}
    except ConfigurationError:
        sections = {}  # opening it reports the problem
    gateways = {name: values for name, values in sections.items() if isinstance(values, dict)}
    names = [name for name, values in gateways.items() if not provider or values.get("provider", name) == provider]
    return names[0] if len(names) == 1 else provider or default_provider()


def _named_by_environment(variables: list[str], known: set[str]) -> set[str]:
    """Return the gateways that only variables configure, by a provider's name or by a `_PROVIDER` variable."""
    others = [each for each in variables if not any(each.startswith(prefix) for prefix in known)]
    named = {each.removesuffix("_PROVIDER").lower() for each in others if each.endswith("_PROVIDER")}
    for provider in {entry.name for entry in entry_points(group=PROVIDER_GROUP)}:
        fields = _fields(provider)
        given = {each.removeprefix(_prefix(provider)).lower() for each in others if each.startswith(_prefix(provider))}
        if fields & {field.removesuffix("_file") for field in given} or fields & given:
            named.add(provider)
    return named - {""}


def _fields(provider: str) -> set[str]:
    """Return the fields of a provider's configuration, or none if the plugin is broken."""
    try:
        with redirect_stdout(sys.stderr):
            config_type = getattr(find_provider(provider), "config_type", None)
        return set(getattr(config_type, "__struct_fields__", ()))
    except PaymentError:
        return set()


def _prefix(name: str) -> str:
    return f"{name.upper().replace('-', '_')}_"
