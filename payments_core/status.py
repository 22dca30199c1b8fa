"""One enum for every gateway's words."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["PaymentStatus", "RefundStatus", "unify"]


class PaymentStatus(StrEnum):
    """The state of a charge. The provider's own word is kept beside it as `raw_status`.

    * `REQUIRES_ACTION`: not final, and the answer carries a next action
    * `PENDING`: not final: wait, and ask again
    * `AUTHORIZED`: the money is held; `capture_charge` takes it
    * `SUCCEEDED`: final: the gateway says that it is paid; `is_paid` says whether your order is
    * `CANCELLED`: final: closed, unpaid
    * `FAILED`: final: tried, and not paid
    * `UNKNOWN`: the gateway used a word that is not in the provider's table: neither failed nor paid
    """

    REQUIRES_ACTION = "REQUIRES_ACTION"
    PENDING = "PENDING"
    AUTHORIZED = "AUTHORIZED"
    SUCCEEDED = "SUCCEEDED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"

    @property
    def is_final(self) -> bool:
        """True for SUCCEEDED, CANCELLED and FAILED; UNKNOWN never is."""
        return self in _FINAL


_FINAL = frozenset({PaymentStatus.SUCCEEDED, PaymentStatus.CANCELLED, PaymentStatus.FAILED})


class RefundStatus(StrEnum):
    """The state of a refund.

    * `PENDING`: not final: ask again
    * `SUCCEEDED`: final: the gateway says that the money is given back
    * `FAILED`: final: tried, and not given back
    * `CANCELLED`: final: closed, and not given back
    * `UNKNOWN`: the gateway used a word that is not in the provider's table
    """

    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"


def unify(raw_status: str, table: Mapping[str, PaymentStatus], next_action: object = None) -> PaymentStatus:
    """Return the unified status of `raw_status` by `table`.

    A word that is not in the table is UNKNOWN, whatever else the answer carries. An answer that is not final and has a
    next action is REQUIRES_ACTION.
    """
    status = table.get(raw_status, PaymentStatus.UNKNOWN)
    if next_action is not None and status is not PaymentStatus.UNKNOWN and not status.is_final:
        return PaymentStatus.REQUIRES_ACTION
    return status
