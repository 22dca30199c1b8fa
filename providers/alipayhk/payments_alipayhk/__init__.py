"""AlipayHK and Alipay for payments-core, through the CBTIS gateway."""

from .config import AlipayHKConfig
from .provider import AlipayHKProvider

__all__ = ["AlipayHKConfig", "AlipayHKProvider"]
