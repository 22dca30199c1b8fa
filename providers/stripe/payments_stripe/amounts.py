"""Convert amounts to and from Stripe's units. Source of everything here: docs.stripe.com/currencies."""

from __future__ import annotations

from typing import Final

from payments_core import CURRENCY_EXPONENTS, InvalidRequest, Money

__all__ = ["CURRENCIES", "is_known", "money", "units"]

# "Supported presentment currencies" in the current ISO 4217 list (Stripe also lists ANG and STD, which were withdrawn).
_LISTED: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CLP CNY"
    " COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR"
    " ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK"
    " MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD"
    " SHP SLE SOS SRD SZL THB TJS TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD XCG XOF XPF YER"
    " ZAR ZMW"
)
CURRENCIES: Final = frozenset(_LISTED.split())

# Stripe's number of decimals where it differs from ISO 4217's.
_DEVIATING: Final = {
    "ISK": 2,  # "Special cases": without decimals, and still passed with two, which are 00
    "UGX": 2,  # "Special cases": the same
    "MGA": 0,  # "Zero-decimal currencies"; a fifth of an ariary cannot be charged
}
# "Three-decimal currencies": the last digit must be 0.
_LAST_DIGIT_ZERO: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


def units(amount: Money) -> int:
    """Return the amount in Stripe's units; raise `InvalidRequest` if it has none, because nothing is rounded."""
    exponent = _DEVIATING.get(amount.currency)
    count = amount.minor if exponent is None else amount.scaled(exponent)
    if amount.currency in _LAST_DIGIT_ZERO and count % 10:
        raise InvalidRequest(f"Stripe takes {amount.currency} with a last digit of 0, not {amount}", field="amount")
    return count


def money(count: int, currency: str) -> Money:
    """Convert an amount in Stripe's units. The currency may be in letters of any case."""
    code = currency.upper()
    exponent = _DEVIATING.get(code)
    return Money(minor=count, currency=code) if exponent is None else Money.of_scaled(count, exponent, code)


def is_known(currency: str | None) -> bool:
    """Return whether amounts of this currency can be read: some of Stripe's are not in ISO 4217."""
    return currency is not None and currency.upper() in CURRENCY_EXPONENTS
