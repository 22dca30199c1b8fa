"""Configure a Stripe account."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from payments_core import ConfigurationError, Secret

__all__ = ["StripeConfig"]

_SENDABLE: Final = re.compile(r"[\x21-\x7e]*", re.ASCII)  # it travels in a header
_ENCODABLE: Final = re.compile("[^\ud800-\udfff]*", re.DOTALL)
_STRIPE: Final = "https://api.stripe.com"
# docs.stripe.com/keys and /webhooks/signature: the kind of each key, by its prefix. Unknown prefixes are accepted.
_NOT_API_KEYS: Final = {
    "pk_": "a publishable key",
    "whsec_": "the signing secret of a webhook",
    "sk_org_": "a key of an organization, which wants a Stripe-Context with each request",
}
_NOT_WEBHOOK_KEYS: Final = {"sk_": "an API key", "rk_": "an API key", "pk_": "a publishable key"}


class StripeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One Stripe account, in one mode.

    `api_key` is a secret or restricted key (`sk_…`, `rk_…`). `webhook_key` is the signing secret of one webhook
    endpoint (`whsec_…`, the whole text). While the endpoint's secret is being rolled, set the old one as
    `previous_webhook_key`. `base_url` is Stripe's; another one is for tests, and takes no live key.
    """

    api_key: Secret
    webhook_key: Secret
    previous_webhook_key: Secret = Secret("")
    base_url: str = _STRIPE

    def __post_init__(self) -> None:
        _check("api_key", self.api_key, _SENDABLE, _NOT_API_KEYS, "a secret or a restricted key: sk_… or rk_…")
        wanted = "the signing secret of a webhook endpoint: whsec_…"
        _check("webhook_key", self.webhook_key, _ENCODABLE, _NOT_WEBHOOK_KEYS, wanted)
        _check("previous_webhook_key", self.previous_webhook_key, _ENCODABLE, _NOT_WEBHOOK_KEYS, wanted)
        if self.livemode and self.base_url != _STRIPE:
            raise ConfigurationError(
                f"api_key is a live key, and base_url is not {_STRIPE}: use a test key (sk_test_… or rk_test_…) for a "
                "sandbox, or leave base_url out"
            )

    @property
    def livemode(self) -> bool | None:
        """Return whether the key moves real money, by its prefix (docs.stripe.com/keys); None for an unknown prefix."""
        key = self.api_key.reveal()
        if key.startswith(("sk_live_", "rk_live_")):
            return True
        return False if key.startswith(("sk_test_", "rk_test_")) else None


def _check(field: str, key: Secret, possible: re.Pattern[str], others: dict[str, str], wanted: str) -> None:
    """Refuse unusable keys, and keys in each other's place."""
    if possible.fullmatch(key.reveal()) is None:
        raise ConfigurationError(f"{field} has characters that no Stripe key has; it must be {wanted}")
    for beginning, kind in others.items():
        if key.reveal().startswith(beginning):
            raise ConfigurationError(f"{field} is {kind}; it must be {wanted}")
