"""What is asked for where nobody says what: an order id, an amount and a channel that the provider takes."""

from __future__ import annotations

import re
import secrets

from payments_core import Channel, Limits, Money, ProviderInfo

__all__ = ["new_order_id", "usual_amount", "usual_channel", "usual_currency"]


def usual_currency(info: ProviderInfo) -> str:
    """Return HKD, or the provider's first currency."""
    return "HKD" if "HKD" in info.currencies else min(info.currencies)


def usual_amount(info: ProviderInfo, currency: str) -> Money:
    """Return 88 of the currency, or what is nearest to that within the provider's limits."""
    amount = Money.of("88", currency)
    least = [each for each in info.limits.minimum if each.currency == currency and each.minor > amount.minor]
    most = [each for each in info.limits.maximum if each.currency == currency and each.minor < amount.minor]
    return (least + most or [amount])[0]


def usual_channel(info: ProviderInfo) -> Channel:
    """Return WEB, or the provider's first channel."""
    return Channel.WEB if Channel.WEB in info.channels else min(info.channels)


def new_order_id(limits: Limits, prefix: str) -> str:
    """Make up an order id that nobody else has; where the provider's pattern allows it, it begins with `prefix`."""
    names = f"{prefix}{secrets.token_hex(8).upper()}", f"{secrets.randbelow(10**12):012}"
    cut = [name[: limits.order_id_length] for name in names]
    return next((name for name in cut if re.fullmatch(limits.order_id_pattern or ".*", name)), cut[0])
