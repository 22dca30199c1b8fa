"""Open a provider class that no installed distribution registers, such as a fake or one in development."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from payments_core import AsyncGateway, Clock, Gateway, ProviderContractError, Retries
from payments_core._frames import without_frames
from payments_core.account import load_account

__all__ = ["open_provider"]

G = TypeVar("G", Gateway, AsyncGateway)


@without_frames
def open_provider(
    provider_class: type,
    config: Mapping[str, Any] | msgspec.Struct,
    *,
    kind: type[G] = Gateway,  # type: ignore[assignment]
    deadline: float = 10.0,
    transport: Any = None,
    clock: Clock | None = None,
    plugins: Sequence[object] = (),
    retries: Retries = Retries(),  # noqa: B008 - frozen
) -> G:
    """Open a gateway of this class, named by its `info.id`; the checks are those of `Gateway.open`."""
    name = getattr(getattr(provider_class, "info", None), "id", "")
    if not name:
        raise ProviderContractError("the provider has no info: a class attribute `info = ProviderInfo(...)`")
    account = load_account(name, config, provider_class)
    return kind._open(account, deadline, transport, clock, plugins, retries)  # noqa: SLF001 - the door of the testing kit
