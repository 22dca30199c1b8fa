"""Lantern Pay for payments-core."""

from .config import LanternConfig
from .provider import LanternProvider

__all__ = ["LanternConfig", "LanternProvider"]
