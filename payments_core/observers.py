"""What observers are told: never bodies, never queries, never secrets."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["ExchangeRecord", "OperationRecord"]


class ExchangeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer. `status` is None when there was none; sizes are bytes of the bodies.

    `gateway` is the name that the gateway was opened by; `order_id` and `request_id` are `""` where they are not known.
    """

    provider: str
    method: str
    path: str
    status: int | None
    started_at: datetime
    seconds: float
    sent_bytes: int
    received_bytes: int
    request_id: str = ""
    gateway: str = ""
    order_id: str = ""


class OperationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One public call. `runs` counts how often its hook was run, `error` names the error's class or is empty.

    `gateway` is the name that the gateway was opened by; `order_id` and `request_id` are `""` where they are not known.
    """

    provider: str
    name: str
    started_at: datetime
    seconds: float
    runs: int
    error: str = ""
    gateway: str = ""
    order_id: str = ""
    request_id: str = ""
