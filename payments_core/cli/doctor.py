"""`payments doctor`: check the configured gateways, and advise on each problem."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from payments_core import (
    ConfigurationError,
    InstalledProvider,
    PaymentError,
    ProviderContractError,
    ProviderNotFound,
    installed_providers,
)
from payments_core._checks import http_url

from .configured import ConfiguredGateway, configured_gateways
from .console import Console
from .examine import Watch, examine
from .exits import Exit, Stop
from .findings import Finding, Result
from .notify import check_notify_url
from .opening import existing_file, gateway_account, open_gateway
from .parser import Commands, add_config, add_deadline

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Register the command."""
    parser = commands.new(
        "doctor",
        _run,
        "check the configured gateways, without making a charge",
        "Check each configured gateway, or those that are named: its settings, its plugin, its address, its "
        "credentials, this machine's clock, and whether money moves. Make no charge, and show no value of a "
        "setting. With --notify-url, send the shop a notification with a wrong signature, which it must refuse, "
        "and if no money moves, one with the right signature, which it must answer 2xx. If the gateway does "
        "not sign notifications, send malformed bytes and an unsigned notification; if it sends no notifications, send "
        "nothing. The exit code is 0 unless a check failed.",
    )
    parser.add_argument("gateways", nargs="*", metavar="GATEWAY", help="default: all that are configured here")
    parser.add_argument(
        "--notify-url", default="", metavar="URL", help="where the shop receives the gateway's notifications"
    )
    add_deadline(parser)
    add_config(parser)


def _run(args: Namespace, console: Console) -> Exit:
    if args.notify_url and len(args.gateways) != 1:
        raise Stop("--notify-url belongs to one gateway", "Name that gateway.", code=Exit.USAGE)
    http_url(args.notify_url, "notify_url")
    with redirect_stdout(sys.stderr):  # a plugin may print when it is imported
        installed = {each.name: each for each in installed_providers()}
    reports: list[dict[str, object]] = []
    failed = 0
    for gateway in _chosen(args.gateways, existing_file(args.config)):
        console.say(f"{gateway.name}  {', '.join(gateway.sources) or 'not configured here'}")
        findings = _findings(gateway.name, args, installed)
        for finding in findings:
            console.say(f"  {finding.check:<13} {finding.result:<8} {finding.message}")
            for line in finding.next.splitlines():
                console.say(f"  {'':<22} {line}")
        failed += sum(each.result is Result.FAILED for each in findings)
        reports.append({"gateway": gateway.name, "sources": gateway.sources, "checks": findings})
    console.result({"failed": failed, "gateways": reports}, [f"{failed} failed" if failed else "No check failed."])
    return Exit.FAILED if failed else Exit.OK


def _chosen(names: Sequence[str], file: Path | None) -> list[ConfiguredGateway]:
    """Return the gateways to check, with those that are named but not configured, which fail."""
    try:
        configured = {each.name: each for each in configured_gateways(file)}
    except ConfigurationError:
        if not names:
            raise
        configured = {}
    if not names and not configured:
        raise Stop(
            "no gateway is configured here",
            "Add [gateways.NAME] to payments.toml, or name a file with --config.",
            code=Exit.CONFIGURATION,
        )
    return [configured.get(name) or ConfiguredGateway(name, name, ()) for name in names or configured]


def _findings(name: str, args: Namespace, installed: Mapping[str, InstalledProvider]) -> list[Finding]:
    watch = Watch()
    try:
        account = gateway_account(name, args.config)
        with redirect_stdout(sys.stderr):
            gateway = open_gateway(name, args.config, [watch])
    except (ProviderNotFound, ProviderContractError) as error:
        return [Finding("plugin", Result.FAILED, error.message, "`payments providers` shows the state of all plugins.")]
    except PaymentError as error:
        return [Finding("settings", Result.FAILED, error.message, "Correct that field, and run this again.")]
    plugin = installed[account.provider]
    with gateway:
        findings = [
            Finding("settings", Result.OK, "complete, and every file they name can be read"),
            Finding("plugin", Result.OK, f"{plugin.distribution} {plugin.version}, contract {gateway.info.contract}"),
            *examine(gateway, watch, account, args.deadline),
        ]
        if args.notify_url:
            findings += check_notify_url(gateway, account.provider, account.config, args.notify_url)
    return findings
