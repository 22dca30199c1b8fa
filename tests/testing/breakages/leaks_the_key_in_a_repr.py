from __future__ import annotations

from payments_core.testing.fake import FakeProvider


class Broken(FakeProvider):
    """Shows the key of its notifications to whoever prints it."""

    def __repr__(self) -> str:
        return f"<Broken {self._config.webhook_key.reveal()}>"
