"""Keep orders and requests, and format times as the gateway does."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

__all__ = ["Clock", "Order", "ReceivedRequest", "hong_kong_nanoseconds", "steady_clock", "utc_milliseconds"]

Clock = Callable[[], int]
"""Nanoseconds since the epoch, as `time.time_ns`: the gateway's times have nine decimals."""

_HONG_KONG: Final = timezone(timedelta(hours=8))
_DOCUMENTED_MOMENT: Final = 1693428245_928696203  # 2023-08-31T04:44:05.928696203+08:00, the documentation's example


@dataclass(slots=True)
class Order:
    """A payment intent. Times are nanoseconds since the epoch."""

    order_id: str
    merchant_order_id: str
    amount: str
    currency: str
    description: str
    flow: str
    wallet: str
    notify_url: str
    created: int
    unknown_fields: tuple[str, ...] = ()
    status: str = "PENDING"
    paid: int | None = None


@dataclass(frozen=True)
class ReceivedRequest:
    """A request to the documented API and its answer. It holds no secret and no token."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    json: Any
    unknown_fields: tuple[str, ...]
    status: int
    code: int | None


def steady_clock() -> Clock:
    """Return a clock for recordings: it starts at the documentation's example and advances 0.1 s per reading."""
    readings = itertools.count(_DOCUMENTED_MOMENT, 10**8)
    return lambda: next(readings)


def hong_kong_nanoseconds(moment: int) -> str:
    """Format as in `2023-08-31T04:44:05.928696203+08:00`."""
    seconds, rest = divmod(moment, 10**9)
    return f"{datetime.fromtimestamp(seconds, _HONG_KONG):%Y-%m-%dT%H:%M:%S}.{rest:09d}+08:00"


def utc_milliseconds(moment: int) -> str:
    """Format as in `2023-08-23T18:25:43.511Z`, which the published refund uses."""
    seconds, rest = divmod(moment, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 10**6:03d}Z"
