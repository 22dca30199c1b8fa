"""From the words of a command line to an opened gateway or a running sandbox."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast

from payments_core import Gateway, ProviderContractError, ProviderNotFound, WebhookDelivery
from payments_core.account import Account, load_account
from payments_core.discovery import PROVIDER_GROUP, SANDBOX_GROUP, installed_providers, load_entry

from .exits import Exit, Stop

__all__ = [
    "Sandbox",
    "account_of",
    "default_provider",
    "existing",
    "open_gateway",
    "provider_id",
    "sandbox_factory",
    "start_sandbox",
    "takes",
]


class Sandbox(Protocol):
    """What every provider's sandbox has; `provider_id` is the gateway's own id of a charge."""

    @property
    def url(self) -> str:
        """Where it is, on this machine."""

    @property
    def config(self) -> Mapping[str, Any]:
        """What opens a gateway against it."""

    def pay(self, provider_id: str) -> None:
        """The shopper approves."""

    def notification(self, provider_id: str) -> WebhookDelivery:
        """Return the signed notification of how the charge stands; only `payments doctor` asks for it."""

    def close(self) -> None:
        """It ends, at once."""


def open_gateway(name: str, file: Path | None, plugins: Sequence[object] = ()) -> Gateway:
    """Open gateway `name`, configured by `file` or, without one, as everywhere: payments.toml and the environment."""
    return Gateway.open(name, existing(file), plugins=plugins)


def account_of(name: str, file: Path | None) -> Account:
    """The provider of gateway `name`, and its typed configuration."""
    with redirect_stdout(sys.stderr):  # a plugin that prints when it is imported
        return load_account(name, existing(file))


def existing(file: Path | None) -> Path | None:
    """Return the file of `--config`; `Stop` where there is none."""
    if file is not None and not file.is_file():
        raise Stop(f"there is no file {file}", "Name a payments.toml with --config.", code=Exit.USAGE)
    return file


def default_provider() -> str:
    """The first provider, by name, that is installed and has a sandbox."""
    with redirect_stdout(sys.stderr):
        names = [each.name for each in installed_providers() if each.info is not None and each.sandbox]
    if names:
        return names[0]
    raise ProviderNotFound("no provider with a sandbox is installed")


def provider_id(name: str) -> str:
    """The id that a command means: `-` is written as `_` in an id, as `payments new-provider` does it."""
    return name if name in {each.name for each in entry_points(group=PROVIDER_GROUP)} else name.replace("-", "_")


def sandbox_factory(name: str) -> Any:
    """What a provider registers as its sandbox."""
    with redirect_stdout(sys.stderr):
        factory = load_entry(SANDBOX_GROUP, name)
    if not callable(factory):
        raise ProviderContractError(f"the sandbox {name!r} cannot be called")
    return factory


def start_sandbox(
    name: str, port: int = 0, time_scale: float | None = None, credentials: Mapping[str, Any] | None = None
) -> Sandbox:
    """Start the provider's sandbox on this machine, with these credentials where it takes them.

    `time_scale` multiplies its waits, where it has any.
    """
    factory = sandbox_factory(name)
    more = {} if time_scale is None else {"time_scale": time_scale}
    options = {"port": port, **more, **(credentials or {})}
    for option, value in options.items():
        if not takes(factory, option, value):
            raise Stop(
                f"the sandbox of {name} does not take {option}",
                "Leave --time-scale out." if option in more else "",
                code=Exit.USAGE,
            )
    try:
        return cast("Sandbox", factory(**options))
    except Exception as exc:  # noqa: BLE001 - a plugin's: a port in use, a value it refuses, a bug
        problem = str(exc) if isinstance(exc, OSError | ValueError) else f"{type(exc).__name__}: {exc}"
    raise Stop(f"the sandbox of {name} did not start: {problem}")


def takes(factory: Any, option: str, value: object) -> bool:
    """Tell whether a sandbox's factory has such an option."""
    try:
        inspect.signature(factory).bind_partial(**{option: value})
    except TypeError:
        return False
    return True
