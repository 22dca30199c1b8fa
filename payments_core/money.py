"""Money: integer minor units and an ISO 4217 currency. Floats never."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import msgspec

from .errors import InvalidRequest

__all__ = ["CURRENCY_EXPONENTS", "WITHDRAWN_EXPONENTS", "Money"]

_TWO = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY"
    " COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS"
    " INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR"
    " MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP"
    " STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG"
)

# Source: ISO 4217 list one, column CcyMnrUnts; the tests compare it with a maintained copy of that list.
CURRENCY_EXPONENTS: Final[Mapping[str, int]] = MappingProxyType(
    dict.fromkeys(_TWO.split(), 2)
    | dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0)
    | dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3)
    | dict.fromkeys("CLF UYW".split(), 4)
)
"""The digits after the point of every ISO 4217 currency that a provider may declare."""

# Source: ISO 4217 list three, every currency that was withdrawn since 2001 and whose minor units are known (OpenJDK,
# CurrencyData.properties, minor0; all others have two). No provider may declare one; what is stored can still be read.
WITHDRAWN_EXPONENTS: Final[Mapping[str, int]] = MappingProxyType(
    dict.fromkeys(
        "AFA ANG ATS AYM AZM BGL BGN CSD CUC CYP DEM EEK FIM FRF GHC HRK IEP LTL LVL MRO MTL MZM NLG RUR SDD SIT SKK"
        " SLL SRG STD TMM USS VEB VEF YUM ZMK ZWD ZWL ZWN ZWR".split(),
        2,
    )
    | dict.fromkeys("ADP BEF BYB BYR ESP GRD ITL LUF MGF PTE ROL TPE TRL".split(), 0)
)

_EXPONENTS: Final = {**WITHDRAWN_EXPONENTS, **CURRENCY_EXPONENTS}

_TEXT: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]+))?", re.ASCII)
# How str() writes a Decimal of many zeros: Decimal("100").normalize() is 1E+2.
_SCIENTIFIC: Final = re.compile(r"[0-9](?:\.[0-9]+)?E[+-][0-9]{1,3}", re.ASCII)
_MOST_WHOLE_DIGITS: Final = 12
_MINOR: Final = re.compile(r"[0-9]{1,16}", re.ASCII)
# Ten times what either text can say; Python refuses to write numbers of thousands of digits.
_MOST_MINOR: Final = 10**17


class Money(msgspec.Struct, frozen=True, order=False, kw_only=True):
    """An amount, in whole minor units; never a float.

    Read major units with `of`: `Money.of("88.00", "HKD")` equals `Money(minor=8800, currency="HKD")`. The exponent is
    ISO 4217's: `Money(minor=8800, currency="JPY")` is JPY 8800. Anything that is not a whole, non-negative number of
    minor units of a listed currency is `InvalidRequest`. A withdrawn currency can be held, so that what was stored can
    be read, but no provider takes one.

    * `minor`: the number of minor units (cents, yen, fils), from zero to 10**17
    * `currency`: the ISO 4217 code
    """

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int or not 0 <= self.minor <= _MOST_MINOR:
            raise InvalidRequest("an amount is a whole number of minor units, from zero to 10**17", field="amount")
        if type(self.currency) is not str:
            if not isinstance(self.currency, str):
                raise _unknown_currency(self.currency)
            msgspec.structs.force_setattr(self, "currency", str.__str__(self.currency))
        if self.currency not in _EXPONENTS:
            raise _unknown_currency(self.currency)

    @classmethod
    def of(cls, text: str | Decimal, currency: str) -> Money:
        """Read an amount in major units: `Money.of("88.00", "HKD")`, or a finite `Decimal`.

        Text is ASCII digits, at most 12 before the point, or what `str()` makes of a `Decimal`. Nothing is rounded:
        behind the exponent's digits there may be zeros and nothing else. Signs, separators, other digits, and floats,
        which have lost digits already, are `InvalidRequest`.
        """
        exponent = _exponent(currency)
        if isinstance(text, Decimal):
            return cls(minor=_minor(text, exponent, currency), currency=currency)
        match = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            if isinstance(text, str) and _SCIENTIFIC.fullmatch(text):
                return cls(minor=_minor(Decimal(text), exponent, currency), currency=currency)
            raise _not_an_amount(text, currency)
        whole, fraction = match[1], match[2] or ""
        if len(fraction) > exponent:
            _only_zeros(fraction[exponent:], exponent, currency)
            fraction = fraction[:exponent]
        return cls(minor=int(whole + fraction.ljust(exponent, "0")), currency=currency)

    @classmethod
    def of_minor(cls, text: str, currency: str) -> Money:
        """Read a decimal in minor units: `Money.of_minor("8800", "HKD")` is HKD 88.00."""
        _exponent(currency)
        if not isinstance(text, str) or _MINOR.fullmatch(text) is None:
            raise InvalidRequest(f'minor units are digits such as "8800", for {currency}', field="amount")
        return cls(minor=int(text), currency=currency)

    @classmethod
    def of_scaled(cls, units: int, exponent: int, currency: str) -> Money:
        """Read units of `10 ** -exponent`, for a gateway that deviates from ISO 4217: the inverse of `scaled`."""
        shift = _exponent(currency) - _units(exponent)
        if type(units) is not int or units < 0:
            raise InvalidRequest("an amount is a whole number of units, zero or more", field="amount")
        if shift >= 0:
            return cls(minor=units * int(10**shift), currency=currency)
        unit = int(10**-shift)
        if units % unit:
            raise InvalidRequest(f"units of 10^-{exponent} that are no whole amount of {currency}", field="amount")
        return cls(minor=units // unit, currency=currency)

    @property
    def exponent(self) -> int:
        """The number of digits after the point, by ISO 4217."""
        return _EXPONENTS[self.currency]

    @property
    def decimal(self) -> Decimal:
        """The amount in major units."""
        return Decimal(self.minor).scaleb(-self.exponent)

    def scaled(self, exponent: int) -> int:
        """Return the amount in units of `10 ** -exponent`, for a gateway that deviates from ISO 4217.

        Raise `InvalidRequest` where that does not come out whole: nothing is rounded.
        """
        shift = _units(exponent) - self.exponent
        if shift >= 0:
            return self.minor * int(10**shift)
        unit = int(10**-shift)
        if self.minor % unit:
            raise InvalidRequest(f"{self} has more digits than this gateway takes ({exponent})", field="amount")
        return self.minor // unit

    def __str__(self) -> str:
        """Major units and the currency: `88.00 HKD`."""
        return f"{self.text} {self.currency}"

    @property
    def text(self) -> str:
        """The amount in major units with all its digits: `88.00`, and `8800` for JPY."""
        exponent = self.exponent
        if not exponent:
            return str(self.minor)
        digits = str(self.minor).rjust(exponent + 1, "0")
        return f"{digits[:-exponent]}.{digits[-exponent:]}"


def _exponent(currency: object) -> int:
    try:
        return _EXPONENTS[currency if type(currency) is str else str.__str__(currency)]
    except (KeyError, TypeError):
        pass
    raise _unknown_currency(currency)


def _minor(amount: Decimal, exponent: int, currency: str) -> int:
    """Count minor units exactly, by digits alone: no context rounds them, and a huge exponent makes no huge number."""
    if not amount.is_finite() or amount.is_signed():
        raise InvalidRequest(
            f'an amount is a finite Decimal of zero or more, such as Decimal("88.00"), for {currency}', field="amount"
        )
    if not amount:
        return 0
    if amount.adjusted() >= _MOST_WHOLE_DIGITS:
        raise InvalidRequest(
            f"an amount has at most {_MOST_WHOLE_DIGITS} digits before the point, for {currency}", field="amount"
        )
    _, digits, ten = amount.as_tuple()
    written, shift = "".join(map(str, digits)), int(ten) + exponent
    if shift < 0:
        _only_zeros(written[shift:], exponent, currency)
        written = written[:shift]
    return int(written + "0" * shift)


def _only_zeros(digits: str, exponent: int, currency: str) -> None:
    if digits.strip("0"):
        raise InvalidRequest(
            f"{currency} has {exponent} digits after the point, and nothing is rounded", field="amount"
        )


def _not_an_amount(given: object, currency: str) -> InvalidRequest:
    wanted = (
        f'text such as "88.00" (digits, at most {_MOST_WHOLE_DIGITS} before the point) or a Decimal, for {currency}'
    )
    why = ""
    if type(given) is int:
        why = ': an int could count major or minor units, and of_minor reads the latter, as in of_minor("8800", ...)'
    elif isinstance(given, float):
        why = ": a float has lost digits already"
    return InvalidRequest(f"an amount is {wanted}{why}", field="amount")


def _units(exponent: object) -> int:
    if type(exponent) is not int or not 0 <= exponent <= 12:
        raise InvalidRequest("an exponent is a whole number of digits, 0 to 12", field="exponent")
    return exponent


def _unknown_currency(currency: object) -> InvalidRequest:
    shown = repr(currency) if isinstance(currency, str) and len(currency) <= 8 else "this"
    return InvalidRequest(f"{shown} is not an ISO 4217 currency with minor units, such as 'HKD'", field="currency")
