"""From a gateway's name to its provider and its typed configuration: all that opening needs, and no connection yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ._frames import without_frames
from .config import Connection, Settings, build, plain, settings_for, why_unconfigured
from .discovery import find_provider
from .errors import ConfigurationError, PaymentError, ProviderContractError, ProviderNotFound
from .info import ProviderInfo
from .plugins import check_info, location

__all__ = ["Account", "load_account"]

T = TypeVar("T")


class Account(msgspec.Struct, frozen=True):
    """One account at one gateway; `config` is of the provider's own type."""

    name: str
    provider: str
    provider_class: type
    info: ProviderInfo
    config: msgspec.Struct
    connection: Connection = Connection()

    def make_provider(self) -> object:
        """Make an instance of the provider for this account."""
        problem = ""
        try:
            return self.provider_class(self.config)
        except (KeyboardInterrupt, MemoryError, PaymentError):
            raise
        except BaseException as exc:  # noqa: BLE001 - a plugin's bug of any kind
            problem = location(exc)
        raise ProviderContractError(f"provider {self.provider} cannot be made from its configuration ({problem})")

    def make_transport(self, kind: Callable[..., T]) -> T:
        """Make a transport of this kind that connects as the settings say."""
        problem = ""
        try:
            return kind(proxy=self.connection.proxy.reveal() or None, verify=self.connection.ca_file or None)
        except ConfigurationError as exc:
            problem = exc.message
        raise ConfigurationError(f"gateway {self.name}: {problem}")

    def check_transport(self, transport: object) -> None:
        """Refuse a transport of the caller's own beside settings that only ours would follow."""
        given = [field for field in Connection.__struct_fields__ if getattr(self.connection, field)]
        if transport is not None and given:
            raise ConfigurationError(
                f"gateway {self.name}: {' and '.join(given)} in the settings and transport= are both given: keep one"
            )


@without_frames
def load_account(
    name: str, config: Mapping[str, Any] | msgspec.Struct | Path | None = None, provider_class: type | None = None
) -> Account:
    """Load the account that `Gateway.open(name, config)` opens.

    `config` is a mapping, which replaces the file and the environment; the provider's own struct; the path of a
    payments.toml; or None, for the one that is found. A `provider_class` that is given is not looked for among what is
    installed: the testing kit opens providers that are not.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError("name is text: what the gateway is called in the configuration")
    name = str(plain(name))
    ready = config if isinstance(config, msgspec.Struct) else None
    if not (ready is not None or config is None or isinstance(config, Mapping | Path)):
        raise ConfigurationError("config is a mapping of the gateway's fields, or the Path of a payments.toml")
    file = config if isinstance(config, Path) else None
    settings = settings_for(name, config if isinstance(config, Mapping) else None, file=file)
    if provider_class is None:
        provider_class = _find(settings.provider, name if config is file else "", file)
    info = check_info(settings.provider, provider_class)
    config_type = getattr(provider_class, "config_type", None)
    if not (isinstance(config_type, type) and issubclass(config_type, msgspec.Struct)):
        raise ProviderContractError(f"provider {settings.provider} has no config_type: a msgspec.Struct")
    if ready is not None:
        if type(ready) is not config_type:
            raise ConfigurationError(f"gateway {name}: config is a mapping or a {config_type.__name__}")
        # A constructor checks nothing: a blank key in a struct is as blank as one in a file.
        settings = Settings(settings.provider, {each: getattr(ready, each) for each in ready.__struct_fields__}, {})
    return Account(name, settings.provider, provider_class, info, *build(name, config_type, settings))


def _find(provider: str, name: str, file: Path | None) -> type:
    """Find the provider's class; where a misspelt gateway `name` was taken for a provider's, say what is configured."""
    try:
        return find_provider(provider)
    except ProviderNotFound as exc:
        problem = exc.message
    if provider == name and (unconfigured := why_unconfigured(name, file)):
        problem = f"{unconfigured}, and {problem}"
    raise ProviderNotFound(problem)
