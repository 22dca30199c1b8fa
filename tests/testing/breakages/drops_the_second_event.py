from __future__ import annotations

from msgspec.structs import replace

from payments_core import Context, Notification, WebhookDelivery, hookimpl
from payments_core.testing.fake import FakeProvider


class Broken(FakeProvider):
    """Reads a batch, and forgets its second event."""

    @hookimpl
    def parse_webhook(self, context: Context, delivery: WebhookDelivery) -> Notification:
        notification = super().parse_webhook(context, delivery)
        return replace(notification, events=notification.events[:1] + notification.events[2:])
