"""Choose defaults that the provider takes: an order id, an amount, a currency and a channel."""

from __future__ import annotations

import re
import secrets

from payments_core import Channel, Limits, Money, ProviderInfo

__all__ = ["default_amount", "default_channel", "default_currency", "new_order_id"]


def default_currency(info: ProviderInfo) -> str:
    """Return HKD, or the provider's first currency."""
    return "HKD" if "HKD" in info.currencies else min(info.currencies)


def default_amount(info: ProviderInfo, currency: str) -> Money:
    """Return 88 of the currency, or the nearest amount within the provider's limits."""
    amount = Money.of("88", currency)
    least = [each for each in info.limits.minimum if each.currency == currency and each.minor > amount.minor]
    most = [each for each in info.limits.maximum if each.currency == currency and each.minor < amount.minor]
    return (least + most or [amount])[0]


def default_channel(info: ProviderInfo) -> Channel:
    """Return WEB, or the provider's first channel."""
    return Channel.WEB if Channel.WEB in info.channels else min(info.channels)


def new_order_id(limits: Limits, prefix: str) -> str:
    """Make a random order id; it begins with `prefix` if the provider's pattern allows it."""
    names = f"{prefix}{secrets.token_hex(8).upper()}", f"{secrets.randbelow(10**12):012}"
    cut = [name[: limits.order_id_length] for name in names]
    return next((name for name in cut if re.fullmatch(limits.order_id_pattern or ".*", name)), cut[0])
