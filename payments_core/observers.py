"""What observers are told: never bodies, never queries, never secrets."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["ExchangeRecord", "OperationRecord"]


class ExchangeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer. `status` is None when there was none; sizes are bytes of the bodies."""

    provider: str
    method: str
    path: str
    status: int | None
    started_at: datetime
    seconds: float
    sent_bytes: int
    received_bytes: int
    request_id: str = ""


class OperationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One public call. `runs` counts how often its hook was run, `error` names the error's class or is empty."""

    provider: str
    name: str
    started_at: datetime
    seconds: float
    runs: int
    error: str = ""
