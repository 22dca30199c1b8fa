"""Run a local Lantern Pay over HTTP (extra: `payments-lantern[sandbox]`): a second reading of its documentation."""

from .gateway import LocalGateway, Payment, Refused
from .local import Sandbox, make, sign

__all__ = ["LocalGateway", "Payment", "Refused", "Sandbox", "make", "sign"]

make.sign = sign  # type: ignore[attr-defined] # what `payments webhook sign` and the contract look for beside the factory
