"""Finding providers among the installed distributions, one by one, so that a broken one harms nothing."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points

import msgspec

from .errors import ProviderContractError, ProviderNotFound
from .info import ProviderInfo
from .plugins import check_class, check_info, implemented_hooks, location

__all__ = ["PROVIDER_GROUP", "SANDBOX_GROUP", "InstalledProvider", "find_provider", "installed_providers", "load_entry"]

PROVIDER_GROUP = "payments_core.providers"
SANDBOX_GROUP = "payments_core.sandboxes"

# What a frozen program lacks unless it is told: the entry points, which are metadata, and the modules behind them.
_FROZEN = (
    "this program is frozen: build it with --copy-metadata DISTRIBUTION and --hidden-import PACKAGE of each provider, "
    "both flags of PyInstaller"
)


class InstalledProvider(msgspec.Struct, frozen=True, kw_only=True):
    """One provider among the installed ones, as `payments providers` shows it.

    * `name`: the entry point's name
    * `distribution`: the distribution that registers it
    * `version`: that distribution's version
    * `info`: its declaration, None where the provider cannot be used
    * `operations`: all the hooks that it implements, in the contract's order
    * `sandbox`: True where it brings a sandbox
    * `problem`: why it cannot be used, `""` where it can
    """

    name: str
    distribution: str
    version: str
    info: ProviderInfo | None = None
    operations: tuple[str, ...] = ()
    sandbox: bool = False
    problem: str = ""


def find_provider(name: str) -> type:
    """Load the provider class registered under `name`, and nothing else.

    Raises `ProviderNotFound`, or `ProviderContractError` where it is claimed twice or cannot be imported.
    """
    provider = load_entry(PROVIDER_GROUP, name)
    if not isinstance(provider, type):
        raise ProviderContractError(f"the entry point of provider {name} is not a class")
    return provider


def installed_providers() -> list[InstalledProvider]:
    """Return every provider that is installed, the broken ones too, sorted by name."""
    names = sorted({entry.name for entry in entry_points(group=PROVIDER_GROUP)})
    return [_describe(name) for name in names]


def load_entry(group: str, name: str) -> object:
    """Load the object that one distribution registers as `name` in `group`."""
    claims = _claims(group, name)
    what = "provider" if group == PROVIDER_GROUP else "sandbox"
    if not claims:
        raise ProviderNotFound(_not_found(group, name, what))
    if len(claims) > 1:
        owners = " and ".join(sorted(f"{_owner(entry)[0]} ({entry.value})" for entry in claims))
        raise ProviderContractError(f"two installed distributions claim the {what} {name!r}: {owners}; uninstall one")
    needs = None
    try:
        return claims[0].load()
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as exc:  # noqa: BLE001 - a plugin that calls sys.exit must not end the host
        # These texts name modules and types (ProviderInfo's TypeErrors too); another exception's could hold anything.
        detail = f": {exc}" if isinstance(exc, ImportError | AttributeError | SyntaxError | TypeError) else ""
        needs = exc.name if isinstance(exc, ModuleNotFoundError) else None
        problem = f"{location(exc)}{detail}"
    owner, version = _owner(claims[0])
    extra = f": pip install '{owner}[sandbox]'" if group == SANDBOX_GROUP else ""
    advice = f"; it needs {needs}{extra}" if needs else ""
    if needs and _is_frozen():
        advice = f"; it needs {needs}, and {_FROZEN}"
    raise ProviderContractError(
        f"the {what} {name!r} of {owner} {version} cannot be imported ({problem[:300]}){advice}"
    )


def _describe(name: str) -> InstalledProvider:
    owners = sorted(_owner(entry) for entry in _claims(PROVIDER_GROUP, name))
    distribution, version = (" and ".join(column) for column in zip(*owners, strict=True))
    info: ProviderInfo | None = None
    operations: tuple[str, ...] = ()
    problem = ""
    try:
        provider = find_provider(name)
        info, operations = check_info(name, provider), implemented_hooks(name, provider)
        check_class(name, provider, info)
    except (ProviderContractError, ProviderNotFound) as exc:
        info, problem = None, exc.message
    except Exception as exc:  # noqa: BLE001 - looking at a stranger's class runs its code; the list goes on
        info, problem = None, f"looking at provider {name} raised {location(exc)}"
    return InstalledProvider(
        name=name,
        distribution=distribution,
        version=version,
        info=info,
        operations=operations,
        sandbox=bool(_claims(SANDBOX_GROUP, name)),
        problem=problem,
    )


def _claims(group: str, name: str) -> list[EntryPoint]:
    """One entry point for each distribution that claims the name; a path listed twice is one distribution."""
    found = {
        (_owner(entry)[0].lower().replace("_", "-"), entry.value): entry
        for entry in entry_points(group=group, name=name)
    }
    return list(found.values())


def _owner(entry: EntryPoint) -> tuple[str, str]:
    """Return the distribution's name and version; what an interrupted uninstallation left behind has neither."""
    name: str | None = None
    version: str | None = None
    if entry.dist is not None:
        with suppress(Exception):  # no metadata is None, a warning or a KeyError: it depends on the version of Python
            name, version = entry.dist.name, entry.dist.version
    return name or "an unnamed distribution", version or ""


def _not_found(group: str, name: str, what: str) -> str:
    names = {entry.name for entry in entry_points(group=group)}
    installed = ", ".join(sorted(names)) or "none"
    if (written := name.replace("-", "_")) in names - {name}:
        return f"no {what} {name!r} is installed; {written!r} is: an id has _ where its distribution's name has -"
    if _is_frozen():
        return f"no {what} {name!r} is found (found: {installed}): {_FROZEN}"
    # No guess at a distribution's name: whoever owns a misspelt one would be handed the credentials.
    advice = (
        "install its distribution, or name an installed one as `provider` in the gateway's configuration"
        if what == "provider"
        else "a sandbox comes with the provider's distribution"
    )
    return f"no {what} {name!r} is installed (installed: {installed}): {advice}"


def _is_frozen() -> bool:
    return bool(getattr(sys, "frozen", False))
