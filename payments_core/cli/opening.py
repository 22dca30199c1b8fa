"""Open the gateways and start the sandboxes named on the command line."""

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
    "accepts_option",
    "default_provider",
    "existing_file",
    "gateway_account",
    "open_gateway",
    "provider_name",
    "sandbox_factory",
    "start_sandbox",
]


class Sandbox(Protocol):
    """Describe a provider's sandbox; `provider_id` is the gateway's own id of a charge."""

    @property
    def url(self) -> str:
        """Return its address on this machine."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the configuration that opens a gateway against it."""

    def pay(self, provider_id: str) -> None:
        """Approve the charge, as the shopper."""

    def notification(self, provider_id: str) -> WebhookDelivery:
        """Return the notification of the charge's state, signed if the gateway signs, without sending it."""

    def close(self) -> None:
        """Stop at once."""


def open_gateway(name: str, file: Path | None, plugins: Sequence[object] = ()) -> Gateway:
    """Open gateway `name` from `file`, or by default from payments.toml and the environment."""
    return Gateway.open(name, existing_file(file), plugins=plugins)


def gateway_account(name: str, file: Path | None) -> Account:
    """Load the provider and the typed configuration of gateway `name`."""
    with redirect_stdout(sys.stderr):  # a plugin may print when it is imported
        return load_account(name, existing_file(file))


def existing_file(file: Path | None) -> Path | None:
    """Return the file of `--config`, or raise `Stop` if it does not exist."""
    if file is not None and not file.is_file():
        raise Stop(f"there is no file {file}", "Name a payments.toml with --config.", code=Exit.USAGE)
    return file


def default_provider() -> str:
    """Return the first installed provider, by name, that has a sandbox."""
    with redirect_stdout(sys.stderr):
        names = [each.name for each in installed_providers() if each.info is not None and each.sandbox]
    if names:
        return names[0]
    raise ProviderNotFound("no provider with a sandbox is installed")


def provider_name(name: str) -> str:
    """Return the provider's id: read `-` as `_`, unless a provider is installed under the name as given."""
    return name if name in {each.name for each in entry_points(group=PROVIDER_GROUP)} else name.replace("-", "_")


def sandbox_factory(name: str) -> Any:
    """Load the sandbox factory that a provider registers."""
    with redirect_stdout(sys.stderr):
        factory = load_entry(SANDBOX_GROUP, name)
    if not callable(factory):
        raise ProviderContractError(f"the sandbox {name!r} cannot be called")
    return factory


def start_sandbox(
    name: str, port: int = 0, time_scale: float | None = None, credentials: Mapping[str, Any] | None = None
) -> Sandbox:
    """Start the provider's sandbox on this machine, with `credentials` instead of random ones if given.

    `time_scale` multiplies the waits between its deliveries.
    """
    factory = sandbox_factory(name)
    more = {} if time_scale is None else {"time_scale": time_scale}
    options = {"port": port, **more, **(credentials or {})}
    for option, value in options.items():
        if not accepts_option(factory, option, value):
            raise Stop(
                f"the sandbox of {name} does not take {option}",
                "Omit --time-scale." if option in more else "",
                code=Exit.USAGE,
            )
    try:
        return cast("Sandbox", factory(**options))
    except Exception as exc:  # noqa: BLE001 - raised by a plugin: a port in use, a refused value, a bug
        problem = str(exc) if isinstance(exc, OSError | ValueError) else f"{type(exc).__name__}: {exc}"
    raise Stop(f"the sandbox of {name} did not start: {problem}")


def accepts_option(factory: Any, option: str, value: object) -> bool:
    """Return True if a sandbox's factory accepts this option."""
    try:
        inspect.signature(factory).bind_partial(**{option: value})
    except TypeError:
        return False
    return True
