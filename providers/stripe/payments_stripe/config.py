"""What a Stripe account is opened with."""

from __future__ import annotations

import msgspec

from payments_core import Secret

__all__ = ["StripeConfig"]


class StripeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One Stripe account, in one mode.

    `api_key` is a secret or restricted key (`sk_…`, `rk_…`) and `webhook_key` the signing secret of one webhook endpoint
    (`whsec_…`, the whole text). While the endpoint's secret is being rolled, the old one is `previous_webhook_key`.
    `base_url` is Stripe's; another one is for tests.
    """

    api_key: Secret
    webhook_key: Secret
    previous_webhook_key: Secret = Secret("")
    base_url: str = "https://api.stripe.com"

    @property
    def livemode(self) -> bool | None:
        """Whether the key moves real money, by its documented prefix (docs.stripe.com/keys); None where that says nothing."""
        key = self.api_key.reveal()
        if key.startswith(("sk_live_", "rk_live_")):
            return True
        return False if key.startswith(("sk_test_", "rk_test_")) else None
