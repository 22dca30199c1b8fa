"""How Stripe counts money. Source of everything here: docs.stripe.com/currencies."""

from __future__ import annotations

from typing import Final

from payments_core import CURRENCY_EXPONENTS, InvalidRequest, Money

__all__ = ["CURRENCIES", "is_known", "money", "units"]

# "Supported presentment currencies" that ISO 4217's list of today has (ANG and STD, which Stripe lists, are gone from it).
_LISTED: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CLP CNY COP CRC"
    " CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK JMD JOD"
    " JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN"
    " NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS"
    " TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW"
)
CURRENCIES: Final = frozenset(_LISTED.split())

# Where Stripe's number of decimals is not ISO 4217's.
_DEVIATING: Final = {
    "ISK": 2,  # "Special cases": without decimals, and still passed with two, which are 00
    "UGX": 2,  # "Special cases": the same
    "MGA": 0,  # "Zero-decimal currencies"; a fifth of an ariary cannot be charged
}
# "Three-decimal currencies": the last digit must be 0.
_LAST_DIGIT_ZERO: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


def units(amount: Money) -> int:
    """The amount in Stripe's units; `InvalidRequest` where Stripe has none for it, because nothing is rounded."""
    exponent = _DEVIATING.get(amount.currency)
    count = amount.minor if exponent is None else amount.scaled(exponent)
    if amount.currency in _LAST_DIGIT_ZERO and count % 10:
        raise InvalidRequest(f"Stripe takes {amount.currency} with a last digit of 0, not {amount}", field="amount")
    return count


def money(count: int, currency: str) -> Money:
    """What Stripe's units of a currency (in letters of any case) are worth."""
    code = currency.upper()
    exponent = _DEVIATING.get(code)
    return Money(minor=count, currency=code) if exponent is None else Money.of_scaled(count, exponent, code)


def is_known(currency: str | None) -> bool:
    """Whether an amount of this currency can be read at all: some of Stripe's are none of ISO 4217's."""
    return currency is not None and currency.upper() in CURRENCY_EXPONENTS
