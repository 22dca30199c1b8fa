"""The conformance kit: what every provider must do, proved offline against its own sandbox.

    class TestLantern(ProviderContract):
        provider = LanternProvider
        make_sandbox = staticmethod(make)
        cassette_policy = POLICY
        raw_statuses = {"open": PaymentStatus.PENDING, "paid": PaymentStatus.SUCCEEDED}
        refusals = (Refusal(name="declined", status=402, body=b'{"error": "declined"}', definitive=True),)

Run it with pytest; nothing else is needed where `payments-core[testing]` is installed. `--contract-provider FILE.py:CLASS`
puts another class in the provider's place, to see whether a deliberate breakage is noticed.

What passing does not prove: that the gateway does what its documentation says, or that the sandbox, the table of statuses
and the refusals were read from it correctly (one person's mistake can stand in the provider and in the sandbox); that the
sandbox is like the gateway beyond what is documented; that the credentials, the network and the firewall in between work;
that limits of rate and time are kept under load; that a key is kept secret by those who configure it. A first payment with
real money, looked up in the gateway's own portal, proves what this cannot.
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


# pytest begins with the last one: what names a mistake by itself comes first, and what many mistakes break comes last.
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
    """Inherit, fill in the attributes, and override the methods that say how the gateway is asked; never a test.

    An attribute without a default must be given. A test that the provider's own declaration makes meaningless is left
    out; every one that is left out is listed, with the reason, at the end of pytest's report.

    * `provider`: the provider's class
    * `make_sandbox`: the factory of its sandbox, as a `staticmethod`; its attribute `sign`, a `Sign`, signs a delivery
    * `raw_statuses`: the gateway's table of statuses, written a second time from its pages
    * `cassette_policy`: the policy of the gateway's cassettes
    * `refusals`: the documented answers that refuse a create
    * `currency`: the currency to ask for where the first declared one will not do
    * `webhook_tolerance`: the seconds within which the gateway's signed time must lie, None where it signs no time,
      `math.inf` where any age is believed
    * `webhook_key_field`: the configuration's field of the key that signs deliveries
    * `previous_webhook_key_field`: the configuration's field of the key before that
    * `signature_is_hexadecimal`: False where letters of another case are another digest
    * `not_applicable`: the tests to leave out, by name, each with its reason; the essential ones cannot be left out
    """
