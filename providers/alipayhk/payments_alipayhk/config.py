"""Configure a CBTIS merchant account."""

from __future__ import annotations

import msgspec

from payments_core import Secret

__all__ = ["AlipayHKConfig"]


class AlipayHKConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One merchant account.

    `base_url` is the interface address that CBTIS's sales department names (https, or http to a loopback address): the
    platform runs under several domains. `uid` is the merchant number, `client_secret` the API's and `webhook_key` the
    notifications' ("apikey"). While a key is being changed, the old one is `previous_webhook_key`.
    """

    base_url: str
    uid: str
    client_secret: Secret
    webhook_key: Secret
    previous_webhook_key: Secret = Secret("")
