"""`payments providers`: what is installed, and what each can do."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import redirect_stdout

from payments_core import InstalledProvider, Limits, PaymentError, ProviderInfo, installed_providers

from .console import Console, rows
from .exits import Exit
from .opening import sandbox_factory
from .parser import Commands

__all__ = ["add"]


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
        "authoritative_webhooks": info.authoritative_webhooks,
        "key_lifetime": info.key_lifetime,
        "charge_options": info.charge_options,
        "sandbox": each.sandbox,
        "sandbox_problem": _sandbox_problem(each),
    }
    return data, _lines(info, data)


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
            ("sandbox", data["sandbox_problem"] or ("yes" if data["sandbox"] else "no")),
        ]
    )
    head = f"{info.id}  {info.title} ({data['distribution']} {data['version']})"
    return [head, *(f"  {line}" for line in described), ""]


def _sandbox_problem(each: InstalledProvider) -> str:
    """Why the sandbox that a provider brings cannot be started, such as an extra that is not installed."""
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
