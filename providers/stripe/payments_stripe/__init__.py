"""Alipay, WeChat Pay and cards for payments-core, through Stripe."""

from .config import StripeConfig
from .provider import StripeProvider

__all__ = ["StripeConfig", "StripeProvider"]
