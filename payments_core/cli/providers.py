"""`payments providers`: list the installed providers, what each can do, and their configured gateways."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Final, assert_never

from payments_core import (
    Duplicates,
    InstalledProvider,
    Limits,
    Notifications,
    PaymentError,
    ProviderInfo,
    installed_providers,
)

from .configured import ConfiguredGateway, configured_gateways, with_state
from .console import Console, rows
from .display import NO_MONEY
from .exits import Exit
from .opening import existing_file, sandbox_factory
from .parser import Commands, add_config

__all__ = ["add"]

_NO_GATEWAY: Final = [f"  {line}" for line in rows([("gateways", "none is configured here")])]


def add(commands: Commands) -> None:
    """Register the command."""
    parser = commands.new(
        "providers",
        _run,
        "list the installed providers, and the gateways that are configured",
        "List every installed provider: what it can do, what it takes, and the gateways that are configured "
        "with it, without their values. A provider that cannot be used is listed with its problem; the exit "
        "code is 0 all the same. `payments doctor` asks the gateways.",
    )
    add_config(parser)


def _run(args: Namespace, console: Console) -> Exit:
    with redirect_stdout(sys.stderr):  # a plugin may print when it is imported
        installed = installed_providers()
        configured = [with_state(each, args.config) for each in configured_gateways(existing_file(args.config))]
        known = {each.name for each in installed}
        missing = sorted({each.provider for each in configured} - known)
        providers = [_described(each, configured) for each in installed]
        providers += [_not_installed(name, configured) for name in missing]
    console.result(
        [data for data, _ in providers],
        (line for _, lines in providers for line in lines) if providers else ["no provider is installed"],
    )
    return Exit.OK


def _described(each: InstalledProvider, configured: Sequence[ConfiguredGateway]) -> tuple[dict[str, object], list[str]]:
    package = {"distribution": each.distribution, "version": each.version}
    info, gateways = each.info, [one for one in configured if one.provider == each.name]
    if info is None:
        broken: dict[str, object] = {"id": each.name, **package, "usable": False, "problem": each.problem}
        head = f"{each.name}  ({each.distribution} {each.version}) cannot be used"
        return broken | {"gateways": gateways}, [head, f"  {each.problem}", *_gateway_lines(gateways), ""]
    data: dict[str, object] = {
        "id": info.id,
        "title": info.title,
        **package,
        "usable": True,
        "problem": "",
        "contract": info.contract,
        "operations": each.operations,
        "methods": info.methods,
        "channels": info.channels,
        "currencies": info.currencies,
        "limits": info.limits,
        "query_by": info.query_by,
        "notifications": info.notifications,
        "authoritative_webhooks": info.authoritative_webhooks,
        "rejection_status": info.rejection_status,
        "duplicates": info.duplicates,
        "key_lifetime": info.key_lifetime,
        "charge_options": info.charge_options,
        "sandbox": each.sandbox,
        "sandbox_problem": _sandbox_problem(each),
        "gateways": gateways,
    }
    return data, _lines(info, data, gateways)


def _not_installed(name: str, configured: Sequence[ConfiguredGateway]) -> tuple[dict[str, object], list[str]]:
    gateways = [each for each in configured if each.provider == name]
    problem = f"no provider {name!r} is installed"
    data: dict[str, object] = {"id": name, "distribution": "", "version": "", "usable": False, "problem": problem}
    return data | {"gateways": gateways}, [f"{name}  is not installed", *_gateway_lines(gateways), ""]


def _gateway_lines(gateways: Sequence[ConfiguredGateway]) -> list[str]:
    return [f"  {line}" for each in gateways for line in rows([("gateway", _in_words(each))])]


def _in_words(gateway: ConfiguredGateway) -> str:
    money = {True: "moves money", False: NO_MONEY, None: "does not say whether money moves"}
    state = f"cannot be opened: {gateway.problem}" if gateway.problem else money[gateway.moves_money]
    return f"{gateway.name}, of {' and '.join(gateway.sources)}: {state}"


def _notifications(info: ProviderInfo) -> str:
    match info.notifications:
        case Notifications.NONE:
            return "none: ask about every open order"
        case Notifications.UNSIGNED:
            return "are not signed, so anybody can send one: ask for the status"
        case Notifications.SIGNED | None if info.authoritative_webhooks:
            return "are signed, and carry a status"
        case Notifications.SIGNED | None:
            return "are signed hints: ask for the status"
        case _ as kind:
            assert_never(kind)


_DUPLICATES: Final[dict[Duplicates | None, str]] = {
    Duplicates.SAME_FOR_KEY_LIFETIME: "is the same charge, while the gateway keeps its key",
    Duplicates.SAME: "is the same charge, for an undocumented time",
    Duplicates.REFUSED: "is refused",
    Duplicates.UNDOCUMENTED: "is not documented: it may be a second charge",
    None: "is not documented: it may be a second charge",
}


def _lines(info: ProviderInfo, data: dict[str, object], gateways: Sequence[ConfiguredGateway]) -> list[str]:
    described = rows(
        [
            ("contract", info.contract),
            ("operations", _listed(data["operations"])),
            ("methods", ", ".join(f"{method.id} ({method.title})" for method in info.methods)),
            ("channels", _listed(sorted(info.channels))),
            ("currencies", _listed(sorted(info.currencies))),
            ("limits", _limits(info.limits)),
            ("asked by", _listed(sorted(info.query_by))),
            ("notifications", _notifications(info)),
            ("second create", _DUPLICATES[info.duplicates]),
            ("sandbox", data["sandbox_problem"] or ("yes" if data["sandbox"] else "no")),
        ]
    )
    head = f"{info.id}  {info.title} ({data['distribution']} {data['version']})"
    return [head, *(f"  {line}" for line in described), *(_gateway_lines(gateways) or _NO_GATEWAY), ""]


def _sandbox_problem(each: InstalledProvider) -> str:
    """Say why a provider's sandbox cannot be started, such as a missing extra, or return `""`."""
    if not each.sandbox:
        return ""
    try:
        sandbox_factory(each.name)
    except PaymentError as exc:
        return exc.message
    return ""


def _limits(limits: Limits) -> str:
    parts = [f"order id {limits.order_id_length} characters"]
    parts += [f"like {limits.order_id_pattern}"] if limits.order_id_pattern else []
    parts += [f"description {limits.description_length} characters"] if limits.description_length else []
    parts += [f"at least {amount}" for amount in limits.minimum] + [f"at most {amount}" for amount in limits.maximum]
    return ", ".join(parts)


def _listed(values: object) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list | tuple) else str(values)
