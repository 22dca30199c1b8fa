"""Define the records for observers: no bodies, no queries, no secrets."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["ExchangeRecord", "OperationRecord"]


class ExchangeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer.

    * `provider`: the provider's id
    * `method`: the HTTP method
    * `path`: the path, without query
    * `status`: the HTTP status, None when there was no answer
    * `started_at`: when it was sent, an aware datetime
    * `seconds`: how long it took
    * `sent_bytes`: the size of the request's body
    * `received_bytes`: the size of the answer's body
    * `request_id`: the gateway's id of the exchange, `""` where it is not known
    * `gateway`: the name that the gateway was opened by
    * `order_id`: the order that the call named, `""` where it is not known
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
    """One public call.

    * `provider`: the provider's id
    * `name`: the call, such as `create_charge`
    * `started_at`: when it began, an aware datetime
    * `seconds`: how long it took
    * `runs`: the number of times that its hook ran
    * `error`: the name of the error's class, `""` for none
    * `gateway`: the name that the gateway was opened by
    * `order_id`: the order that the call named, `""` where it is not known
    * `request_id`: the gateway's id of the last exchange, `""` where it is not known
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
