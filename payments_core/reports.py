"""Report a gateway's calls: one form for its log lines, and the records that its observers are given."""

from __future__ import annotations

import logging
import time
from datetime import datetime

from .clock import Clock
from .errors import Mismatch, PaymentError, WebhookRejected
from .flow import Request, Response
from .info import ProviderInfo
from .interrupts import Interrupted
from .models import Charge, Refund
from .observers import ExchangeRecord, OperationRecord
from .outcome import Call
from .plugins import Hooks
from .status import PaymentStatus, RefundStatus
from .webhooks import Notification

__all__ = ["Reports"]

_logger = logging.getLogger("payments_core.gateway")


class Reports:
    """Write one gateway's log lines and notify its observers."""

    def __init__(self, gateway: str, info: ProviderInfo, hooks: Hooks, clock: Clock) -> None:
        self._gateway = gateway
        self._info = info
        self._hooks = hooks
        self._clock = clock

    def log(self, level: int, call: Call, text: str, *values: object) -> None:
        """Log `text % values` about a call; its ids are in the line, and fields of the record too."""
        if not _logger.isEnabledFor(level):
            return
        known = (("order", call.order_id), ("request id", call.request_id))
        ids = ", ".join(f"{name} {value}" for name, value in known if value)
        extra = {"gateway": self._gateway, "order_id": call.order_id, "request_id": call.request_id}
        form = "%s.%s: " + text + (" (%s)" if ids else "")
        _logger.log(
            level, form, self._gateway, call.operation, *values, *([ids] if ids else []), extra=extra, stacklevel=2
        )

    def started_at(self, hook: str) -> datetime | None:
        """Return the time, or None where nobody observes `hook` and no record is needed."""
        return self._clock.now() if self._hooks.observed(hook) else None

    def finished(self, call: Call, started_at: datetime | None, error: BaseException | None) -> None:
        """Report the end of a public call."""
        if started_at is None:
            return
        self._hooks.notify(
            "operation_finished",
            operation=OperationRecord(
                provider=self._info.id,
                name=call.operation,
                started_at=started_at,
                seconds=call.elapsed(),
                runs=call.runs,
                error=type(error).__name__ if error is not None else "",
                gateway=self._gateway,
                order_id=call.order_id,
                request_id=call.request_id,
            ),
        )

    def exchanged(
        self, call: Call, request: Request, response: Response | None, began: float, started_at: datetime | None
    ) -> None:
        """Report an exchange that `began` at this monotonic time; raise `Interrupted` if a signal came meanwhile."""
        seconds = time.monotonic() - began
        status = response.status if response is not None else None
        if _logger.isEnabledFor(logging.DEBUG):
            answer = "no answer" if status is None else status
            self.log(
                logging.DEBUG, call, "%s %s -> %s in %.0f ms", request.method, request.path, answer, seconds * 1000
            )
        if started_at is None:
            return
        interrupt = self._hooks.notify(
            "exchange_finished",
            exchange=ExchangeRecord(
                provider=self._info.id,
                method=request.method,
                path=request.path,
                status=status,
                started_at=started_at,
                seconds=seconds,
                sent_bytes=len(request.body),
                received_bytes=len(response.body) if response is not None else 0,
                request_id=call.request_id if response is not None else "",
                gateway=self._gateway,
                order_id=call.order_id,
            ),
        )
        if interrupt is not None:
            raise Interrupted(interrupt)

    def succeeded(self, call: Call, result: object) -> None:
        """Report what a call returned, and warn of a status that the provider's table lacks."""
        if isinstance(result, Charge):
            if result.status is PaymentStatus.UNKNOWN:
                self._warn_of_status(call, "status", result.raw_status)
            self._hooks.notify("charge_observed", charge=result)
        elif isinstance(result, Refund):
            if result.status is RefundStatus.UNKNOWN:
                self._warn_of_status(call, "refund status", result.raw_status)
        elif isinstance(result, Notification) and self._hooks.observed("webhook_observed"):
            for event in result.events:
                self._hooks.notify("webhook_observed", event=event)

    def failed(self, call: Call, error: PaymentError) -> None:
        """Report the error that a call raised."""
        if isinstance(error, WebhookRejected):
            self.log(logging.WARNING, call, "a notification was rejected: %s", error.reason)
            self._hooks.notify("webhook_rejected", gateway=self._gateway, provider=self._info.id, reason=error.reason)
        else:
            self.log(logging.INFO, call, "failed: %s, accepted %s", type(error).__name__, error.accepted)

    def mismatched(self, call: Call, error: Mismatch) -> None:
        """Report an answer that is not about the order or the amount that is due."""
        call.request_id = error.request_id
        self.log(logging.ERROR, call, "%s", error.message)

    def _warn_of_status(self, call: Call, what: str, raw_status: str) -> None:
        self.log(logging.WARNING, call, "the gateway answered a %s not in its table: %.64r", what, raw_status)
