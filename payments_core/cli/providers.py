"""`payments providers`: what is installed, and what each can do."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib.metadata import entry_points

from payments_core import InstalledProvider, Limits, ProviderHooks, ProviderInfo, installed_providers
from payments_core.discovery import SANDBOX_GROUP, find_provider
from payments_core.hookspecs import hook_names

from .console import Console, rows
from .exits import Exit
from .parser import Commands

__all__ = ["add"]

# What a provider is asked to read in an answer is no operation.
_OPERATIONS = tuple(name for name in hook_names(ProviderHooks) if not name.startswith("read_"))


def add(commands: Commands) -> None:
    """Register the command."""
    commands.new(
        "providers",
        _run,
        "list the installed providers",
        "Lists every installed provider: what it can do, and what it takes. One that cannot be used is listed with its\n"
        "problem, and harms nothing: the exit code is 0 all the same.",
    )


def _run(_: Namespace, console: Console) -> Exit:
    with redirect_stdout(sys.stderr):  # a plugin that prints when it is imported
        providers = [_described(each) for each in installed_providers()]
    console.result(
        [data for data, _ in providers],
        (line for _, lines in providers for line in lines) if providers else ["no provider is installed"],
    )
    return Exit.OK


def _described(each: InstalledProvider) -> tuple[dict[str, object], list[str]]:
    package = {"distribution": each.distribution, "version": each.version}
    info = each.info
    if info is None:
        broken: dict[str, object] = {"id": each.name, **package, "usable": False, "problem": each.problem}
        return broken, [f"{each.name}  ({each.distribution} {each.version}) cannot be used", f"  {each.problem}", ""]
    operations = tuple(_operations(find_provider(each.name)))
    data: dict[str, object] = {
        "id": info.id,
        "title": info.title,
        **package,
        "usable": True,
        "problem": "",
        "contract": info.contract,
        "operations": operations,
        "methods": info.methods,
        "channels": info.channels,
        "currencies": info.currencies,
        "limits": info.limits,
        "query_by": info.query_by,
        "authoritative_webhooks": info.authoritative_webhooks,
        "key_lifetime": info.key_lifetime,
        "charge_options": info.charge_options,
        "sandbox": bool(entry_points(group=SANDBOX_GROUP, name=each.name)),
    }
    return data, _lines(info, data)


def _operations(provider: type) -> Iterator[str]:
    """The hooks that a provider implements, in the contract's order."""
    found = set()
    for name in dir(provider):
        marked = getattr(getattr(provider, name, None), "payments_core_impl", None)
        if marked is not None:
            found.add(marked.get("specname") or name)
    return (name for name in _OPERATIONS if name in found)


def _lines(info: ProviderInfo, data: dict[str, object]) -> list[str]:
    described = rows(
        [
            ("contract", info.contract),
            ("operations", _listed(data["operations"])),
            ("methods", ", ".join(f"{method.id} ({method.title})" for method in info.methods)),
            ("channels", _listed(sorted(info.channels))),
            ("currencies", _listed(sorted(info.currencies))),
            ("limits", _limits(info.limits)),
            ("asked by", _listed(sorted(info.query_by))),
            ("notifications", "carry a status" if info.authoritative_webhooks else "are hints: ask for the status"),
            ("sandbox", "yes" if data["sandbox"] else "no"),
        ]
    )
    head = f"{info.id}  {info.title} ({data['distribution']} {data['version']})"
    return [head, *(f"  {line}" for line in described), ""]


def _limits(limits: Limits) -> str:
    parts = [f"order id {limits.order_id_length} characters"]
    parts += [f"like {limits.order_id_pattern}"] if limits.order_id_pattern else []
    parts += [f"description {limits.description_length} characters"]
    parts += [f"at least {amount}" for amount in limits.minimum] + [f"at most {amount}" for amount in limits.maximum]
    return ", ".join(parts)


def _listed(values: object) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list | tuple) else str(values)
