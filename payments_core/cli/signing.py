"""Notifications signed for a test: never with a key that a shop believes about real money."""

from __future__ import annotations

from pathlib import Path

import msgspec

from payments_core import Gateway, UnsupportedOperation

from .exits import Exit, Stop
from .opening import account_of, open_gateway, sandbox_factory

__all__ = ["sign", "signed_by", "why_unsigned"]


def why_unsigned(gateway: Gateway) -> str:
    """Say why nothing is signed with a gateway's key; `""` where something may be.

    A notification that a shop believes is as good as a payment. So only a gateway that certainly moves no money, by its
    key or because its base_url is on this machine, has its notifications made up.
    """
    if gateway.info.moves_money or gateway.moves_money:
        return "this gateway moves real money"
    if gateway.moves_money is None:
        return "nothing says that this gateway moves no money: its base_url is not on this machine"
    return ""


def signed_by(provider: str, config: msgspec.Struct, body: bytes) -> tuple[tuple[str, str], ...]:
    """Return the headers that make `body` a genuine notification of this account; see `why_unsigned` first."""
    make_headers = getattr(sandbox_factory(provider), "sign", None)
    if make_headers is None:
        raise UnsupportedOperation(f"the sandbox of {provider} cannot sign a notification")
    return tuple(make_headers(config, body))


def sign(name: str, file: Path | None, body: bytes) -> tuple[tuple[str, str], ...]:
    """Sign `body` as gateway `name` would, or `Stop` where that could be taken for a payment."""
    account = account_of(name, file)
    with open_gateway(name, file) as gateway:
        problem = why_unsigned(gateway)
    if problem:
        raise Stop(
            f"nothing is signed: {problem}",
            "Whoever signs for it gets goods for nothing. Test the receiver with a sandbox in its place\n"
            f"(payments sandbox {account.provider}), or let the gateway send a test notification from its own portal.",
            code=Exit.INVALID,
        )
    return signed_by(account.provider, account.config, body)
