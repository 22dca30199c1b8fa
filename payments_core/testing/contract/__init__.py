"""Test a provider offline, against its own sandbox.

    class TestLantern(ProviderContract):
        provider = LanternProvider
        make_sandbox = staticmethod(make)
        cassette_policy = POLICY
        raw_statuses = {"open": PaymentStatus.PENDING, "paid": PaymentStatus.SUCCEEDED}
        refusals = (Refusal(name="declined", status=402, body=b'{"error": "declined"}', definitive=True),)

Run it with pytest; `payments-core[testing]` is all it needs. `--contract-provider FILE.py:CLASS` tests another class in
place of the provider, to see whether a deliberate mistake is caught.

Passing does not prove that the gateway behaves as documented, or that the sandbox, the status table and the refusals
were read correctly (the same misreading can be in the provider and in the sandbox); nor that credentials, network and
firewall work, that rate limits hold under load, or that keys are kept secret. Make a first payment with real money, and
look it up in the gateway's portal.
"""

from __future__ import annotations

from .answers import Answers
from .declaration import Declaration
from .events import Events
from .failures import Failures
from .keys import Keys
from .movements import Movements
from .notifications import Notifications
from .purity import Purity
from .refusals import Refusals
from .requests import Requests
from .rules import Refusal
from .secrecy import Secrecy
from .unsigned import Unsigned
from .webhooks import Webhooks

__all__ = ["ProviderContract", "Refusal"]


# pytest runs the last base first: tests that pinpoint a mistake come before tests that many mistakes break.
class ProviderContract(
    Secrecy,
    Purity,
    Requests,
    Keys,
    Events,
    Notifications,
    Unsigned,
    Webhooks,
    Failures,
    Refusals,
    Answers,
    Movements,
    Declaration,
):
    """Inherit, set the attributes, and override the methods that say how to ask the gateway; never override a test.

    Attributes without a default are required. A test that the provider's declaration makes meaningless is deselected,
    and listed with the reason at the end of pytest's report.

    * `provider`: the provider's class
    * `make_sandbox`: the factory of its sandbox, as a `staticmethod`; its attribute `sign`, a `Sign`, signs a delivery
    * `raw_statuses`: the gateway's status table, typed a second time from its pages
    * `cassette_policy`: the policy of the gateway's cassettes
    * `refusals`: the documented answers that refuse a create
    * `currency`: the currency to use where the first declared one does not work
    * `webhook_tolerance`: the seconds within which the gateway's signed time must lie, None where it signs no time,
      `math.inf` where any age is accepted
    * `webhook_key_field`: the configuration's field of the key that signs deliveries
    * `previous_webhook_key_field`: the configuration's field of the key before that
    * `signature_is_hexadecimal`: False where digests are case-sensitive
    * `not_applicable`: the tests to leave out, by name, each with its reason; essential ones cannot be left out
    """
