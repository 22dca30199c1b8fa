"""One form for every line of a gateway's log: whose it is, and about which order and request."""

from __future__ import annotations

import logging

from .position import Call

__all__ = ["log"]

_logger = logging.getLogger("payments_core.gateway")


def log(level: int, gateway: str, call: Call, text: str, *values: object) -> None:
    """Log `text % values` about a call; the ids are in the line, and fields of the record too."""
    if not _logger.isEnabledFor(level):
        return
    known = (("order", call.order_id), ("request id", call.request_id))
    ids = ", ".join(f"{name} {value}" for name, value in known if value)
    extra = {"gateway": gateway, "order_id": call.order_id, "request_id": call.request_id}
    form = "%s.%s: " + text + (" (%s)" if ids else "")
    _logger.log(level, form, gateway, call.operation, *values, *([ids] if ids else []), extra=extra, stacklevel=2)
