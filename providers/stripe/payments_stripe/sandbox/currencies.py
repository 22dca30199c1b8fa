"""Check currencies and amounts, with the sandbox's own reading of docs.stripe.com/currencies."""

from __future__ import annotations

from typing import Final

from payments_core import CURRENCY_EXPONENTS, InvalidRequest, Money

from .refusals import Refused, invalid

__all__ = ["MINIMUM", "check_amount", "check_currency", "exponent", "money", "supports", "units"]

# "Zero-decimal currencies": the amount is the charge.
_NONE: Final = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split())
# "Three-decimal currencies": in thousandths, and the last digit must be 0.
_THREE: Final = frozenset("BHD JOD KWD OMR TND".split())
# "Special cases": without decimals now, and still written in hundredths.
_WHOLE_IN_HUNDREDTHS: Final = frozenset({"ISK", "UGX"})
# "Supported presentment currencies", but those of the groups above.
_TWO: Final = frozenset(
    (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CNY COP CRC CVE"
        " CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK JMD KES KGS"
        " KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB"
        " PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD STN SZL THB TJS TOP TRY TTD TWD TZS"
        " UAH UGX USD UYU UZS WST XCD XCG YER ZAR ZMW"
    ).split()
)

# "Minimum and maximum charge amounts", in Stripe's units. Elsewhere the equivalent counts, which no table can hold.
MINIMUM: Final = {
    "USD": 50, "AED": 200, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500, "DKK": 250, "EUR": 50, "GBP": 30,
    "HKD": 400, "HUF": 17500, "INR": 50, "JPY": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PLN": 200,
    "RON": 200, "SEK": 300, "SGD": 50, "THB": 1000,
}  # fmt: skip
_MOST: Final = 99_999_999  # "The amount value supports up to eight digits."

# docs.stripe.com/payments/alipay/accept-a-payment and /wechat-pay/accept-a-payment, "Presentment currencies".
_OF_METHOD: Final = {
    "alipay": frozenset("AUD CAD CNY EUR GBP HKD JPY NZD SGD USD MYR".split()),
    "wechat_pay": frozenset("AUD CAD CNY EUR GBP HKD JPY SGD USD DKK NOK SEK CHF".split()),
}


def exponent(currency: str) -> int:
    """Return the number of decimals in Stripe's units; raise KeyError for a currency that Stripe doesn't list."""
    if currency in _NONE:
        return 0
    if currency in _THREE:
        return 3
    if currency in _TWO:
        return 2
    raise KeyError(currency)


def supports(method: str, currency: str) -> bool:
    """Return whether the method supports this currency; cards support all."""
    return currency in _OF_METHOD.get(method, {currency})


def money(units: int, currency: str) -> Money:
    """Convert Stripe's units to ISO 4217's."""
    return Money.of_scaled(units, exponent(currency), currency)


def units(text: str, currency: str) -> int:
    """Convert an amount in major units to Stripe's units; raise ValueError if it has none."""
    try:
        return Money.of(text, currency).scaled(exponent(currency))
    except (InvalidRequest, KeyError) as error:
        raise ValueError(str(error)) from None


def check_currency(code: str, param: str = "currency") -> str:
    """Return the currency in upper case, as in the rest of the sandbox."""
    found = code.upper()
    try:
        exponent(found)
    except KeyError:
        known = CURRENCY_EXPONENTS.get(found)
        hint = "" if known is None else ", though a currency it is"
        raise invalid(f"Invalid currency: {code[:8]}. Stripe does not support it{hint}.", param=param) from None
    return found


def check_amount(amount: int, currency: str, param: str = "amount", *, least: bool = True) -> int:
    """Apply the rules for amounts; `least=False` for a refund, which has no minimum."""
    if amount > _MOST:
        raise invalid("Amount must be no more than 99999999 units", "amount_too_large", param)
    if currency in _THREE and amount % 10:
        raise _uneven(currency, 10, param)
    if currency in _WHOLE_IN_HUNDREDTHS and amount % 100:
        raise _uneven(currency, 100, param)
    if least and amount < MINIMUM.get(currency, 1):
        raise invalid(
            f"Amount must be at least {MINIMUM[currency]} units of {currency.lower()}", "amount_too_small", param
        )
    return amount


def _uneven(currency: str, step: int, param: str) -> Refused:
    # The code is what support.stripe.com quotes for ISK; that the other currencies answer it too is assumed.
    return invalid(
        f"Invalid amount. Amounts in {currency.lower()} must be evenly divisible by {step}.",
        "invalid_charge_amount_no_decimal_compatible",
        param,
    )
