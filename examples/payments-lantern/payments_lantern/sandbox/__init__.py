"""A local Lantern Pay over HTTP, from a second reading of its documentation.

It needs the extra `payments-lantern[sandbox]`.
"""

from .gateway import LocalGateway, Payment, Refused
from .local import Sandbox, make, sign

__all__ = ["LocalGateway", "Payment", "Refused", "Sandbox", "make", "sign"]

# `payments webhook sign` and the contract look for it beside the factory.
make.sign = sign  # type: ignore[attr-defined]
