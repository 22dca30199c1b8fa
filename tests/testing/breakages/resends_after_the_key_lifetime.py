from __future__ import annotations

from msgspec.structs import replace

from payments_core.testing.fake import FakeProvider


class Broken(FakeProvider):
    """Declares that keys live for a week, while the gateway forgets them after a day and then charges again."""

    info = replace(FakeProvider.info, key_lifetime=7 * 24 * 3600)
