"""Count currencies by the sandbox's own reading of docs.stripe.com/currencies."""

from __future__ import annotations

from typing import Final

from payments_core import InvalidRequest, Money

__all__ = ["is_even", "money", "supports", "units"]

# "Zero-decimal currencies": the amount is the charge.
_NONE: Final = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split())
# "Three-decimal currencies": in thousandths, and the last digit must be 0.
_THREE: Final = frozenset("BHD JOD KWD OMR TND".split())
# "Special cases": without decimals now, and still written in hundredths.
_WHOLE_IN_HUNDREDTHS: Final = frozenset({"ISK", "UGX"})
# "Supported presentment currencies", but those of the first two groups.
_TWO: Final = frozenset(
    (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CNY COP CRC CVE"
        " CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK JMD KES KGS"
        " KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB"
        " PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD STN SZL THB TJS TOP TRY TTD TWD TZS"
        " UAH UGX USD UYU UZS WST XCD XCG YER ZAR ZMW"
    ).split()
)
# docs.stripe.com/payments/alipay/accept-a-payment and /wechat-pay/accept-a-payment, "Presentment currencies".
_OF_METHOD: Final = {
    "alipay": frozenset("AUD CAD CNY EUR GBP HKD JPY NZD SGD USD MYR".split()),
    "wechat_pay": frozenset("AUD CAD CNY EUR GBP HKD JPY SGD USD DKK NOK SEK CHF".split()),
    "card": _NONE | _TWO | _THREE,
}


def supports(method: str, currency: str) -> bool:
    """Return whether the method supports this currency; cards support all that Stripe lists."""
    return currency in _OF_METHOD[method]


def is_even(count: int, currency: str) -> bool:
    """Return whether the card networks can take this many of Stripe's units."""
    return count % (10 if currency in _THREE else 100 if currency in _WHOLE_IN_HUNDREDTHS else 1) == 0


def money(count: int, currency: str) -> Money:
    """Convert Stripe's units to ISO 4217's."""
    return Money.of_scaled(count, _exponent(currency), currency)


def units(text: str, currency: str) -> int:
    """Convert an amount in major units to Stripe's units; raise ValueError if it has none."""
    try:
        return Money.of(text, currency).scaled(_exponent(currency))
    except InvalidRequest as error:
        raise ValueError(str(error)) from None


def _exponent(currency: str) -> int:
    if not supports("card", currency):
        raise ValueError(f"Stripe does not support {currency}")
    return 0 if currency in _NONE else 3 if currency in _THREE else 2
