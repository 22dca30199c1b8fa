"""Define the configuration of one Lantern Pay merchant."""

from __future__ import annotations

import msgspec

from payments_core import Secret

__all__ = ["LanternConfig"]


class LanternConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One merchant account. While the notification key is being changed, the old one is `previous_webhook_key`."""

    base_url: str
    api_key: Secret
    webhook_key: Secret
    previous_webhook_key: Secret = Secret("")
