"""Sign notifications for tests, but never with a key that a shop with real customers trusts."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

import msgspec

from payments_core import Gateway, Notifications, ProviderInfo, UnsupportedOperation

from .exits import Exit, Stop
from .opening import gateway_account, open_gateway, sandbox_factory

__all__ = ["sign", "signature_headers", "signing_problem"]


def signing_problem(gateway: Gateway) -> str:
    """Say why no notification may be signed with this gateway's key, or return `""`.

    A shop that accepts a signed notification ships the goods. So sign only for a gateway that certainly moves no money,
    as its key says or because its base_url is on this machine.
    """
    if gateway.info.moves_money or gateway.moves_money:
        return "this gateway moves real money"
    if gateway.moves_money is None:
        return "nothing says that this gateway moves no money: its base_url is not on this machine"
    return ""


def signature_headers(provider: str, config: msgspec.Struct, body: bytes) -> tuple[tuple[str, str], ...]:
    """Return the headers that make `body` a genuine notification of this account; call `signing_problem` first."""
    make_headers = getattr(sandbox_factory(provider), "sign", None)
    if make_headers is None:
        raise UnsupportedOperation(f"the sandbox of {provider} cannot sign a notification")
    return tuple(make_headers(config, body))


def sign(name: str, file: Path | None, body: bytes) -> tuple[tuple[str, str], ...]:
    """Sign `body` as gateway `name` would, or raise `Stop` if it signs nothing or may move money."""
    account = gateway_account(name, file)
    with open_gateway(name, file) as gateway:
        _require_signed(gateway.info)
        problem = signing_problem(gateway)
    if problem:
        raise Stop(
            f"nothing is signed: {problem}",
            "A forged notification gets goods for free. Test the receiver with a sandbox in its place\n"
            f"(payments sandbox {account.provider}), or let the gateway's own portal send a test notification.",
            code=Exit.INVALID,
        )
    return signature_headers(account.provider, account.config, body)


def _require_signed(info: ProviderInfo) -> None:
    match info.notifications:
        case Notifications.SIGNED | None:
            return
        case Notifications.UNSIGNED:
            raise Stop(
                f"nothing is signed: {info.title}'s notifications are not signed",
                "Post the body as it is: its receiver can only ask the gateway.",
                code=Exit.INVALID,
            )
        case Notifications.NONE:
            raise Stop(
                f"nothing is signed: {info.title} sends no notifications",
                "Ask about every open order: payments confirm.",
                code=Exit.INVALID,
            )
        case _ as kind:
            assert_never(kind)
