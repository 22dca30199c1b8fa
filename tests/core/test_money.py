"""Keep money as integer minor units, and read nothing but plain digits."""

from __future__ import annotations

import copy
import pickle
from decimal import Context, Decimal, localcontext
from enum import Enum, StrEnum
from typing import Any

import iso4217
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_core import CURRENCY_EXPONENTS, Channel, InvalidRequest, Method, Money, ProviderInfo
from payments_core.money import WITHDRAWN_EXPONENTS
from payments_core.requests import check_amount


def test_the_exponents_are_those_of_iso_4217() -> None:
    """The table equals a maintained copy of the standard's list one, both ways."""
    published = {currency.code: currency.exponent for currency in iso4217.Currency if currency.exponent is not None}
    assert len(published) > 150
    assert dict(CURRENCY_EXPONENTS) == published


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("88.00", "HKD", 8800),
        ("88", "HKD", 8800),
        ("88.0", "HKD", 8800),
        ("0.01", "HKD", 1),
        ("00.10", "HKD", 10),
        ("8800", "JPY", 8800),
        ("1.234", "KWD", 1234),
        ("999999999999.99", "HKD", 99999999999999),
        ("0", "HKD", 0),
    ],
)
def test_major_units_are_read_exactly(text: str, currency: str, minor: int) -> None:
    """`1`, `1.0` and `1.00` are one value."""
    assert Money.of(text, currency) == Money(minor=minor, currency=currency)


BAD = [
    "",
    " ",
    "88.005",
    "NaN",
    "Infinity",
    "1e5",
    "８８",
    "1_0",
    "-1",
    "+88",
    "88.",
    ".5",
    "1,000.00",
    "0x10",
    "88 ",
    " 88",
    "88\n",
    "٣",
    "1.0.0",
    "1234567890123",
    "88.00HKD",
]


@pytest.mark.parametrize("text", BAD)
def test_what_is_not_plain_digits_is_refused(text: str) -> None:
    """Decimal, and so msgspec, would take many of these."""
    with pytest.raises(InvalidRequest) as caught:
        Money.of(text, "HKD")
    assert caught.value.field == "amount"


@pytest.mark.parametrize("value", [88, 88.0, b"88", None, True])
def test_only_text_and_decimals_are_read(value: object) -> None:
    """A float has already lost the amount."""
    with pytest.raises(InvalidRequest, match=r'text such as "88\.00".* or a Decimal'):
        Money.of(value, "HKD")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest):
        Money.of_minor(value, "HKD")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest):
        Money.of_minor(Decimal(88), "HKD")  # type: ignore[arg-type]


def test_an_int_is_refused_with_a_way_to_say_minor_units() -> None:
    """Eighty-eight dollars or eighty-eight cents: nobody can tell."""
    with pytest.raises(InvalidRequest, match=r'of_minor\("8800"'):
        Money.of(88, "HKD")  # type: ignore[arg-type]


def test_fraction_digits_beyond_the_exponent_are_refused() -> None:
    """Nothing is rounded, and yen have no cents."""
    for text, currency in [("88.001", "HKD"), ("88.0001000", "HKD"), ("88.5", "JPY"), ("1.2345", "KWD")]:
        for amount in (text, Decimal(text), Decimal(text).normalize()):
            with pytest.raises(InvalidRequest, match="nothing is rounded") as caught:
                Money.of(amount, currency)
            assert caught.value.field == "amount"


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("88.00", "HKD", 8800),
        ("88.000", "HKD", 8800),
        ("5000.00", "JPY", 5000),
        ("0.0", "JPY", 0),
        ("88.50000000", "HKD", 8850),
        ("1.2340", "KWD", 1234),
        ("1E+2", "HKD", 10000),
        ("1.20E+2", "JPY", 120),
        ("0E-8", "HKD", 0),
        ("1E-2", "HKD", 1),
        ("999999999999.99", "HKD", 99999999999999),
    ],
)
def test_decimal_is_read_exactly(amount: str, currency: str, minor: int) -> None:
    """Zeros behind the exponent are no difference, neither in a Decimal nor in its text, and no context rounds."""
    money = Money(minor=minor, currency=currency)
    for precision in (1, 28):
        with localcontext(Context(prec=precision)):
            assert Money.of(Decimal(amount), currency) == money
            assert Money.of(amount, currency) == money
            assert Money.of(str(Decimal(amount).copy_abs()), currency) == money


@pytest.mark.parametrize(
    "amount",
    ["NaN", "sNaN", "Infinity", "-Infinity", "-1", "-0", "-0.00", "1000000000000", "1E+12", "1E+1000000", "1E-1000000"]
)  # fmt: skip
def test_decimal_that_is_no_amount_is_refused(amount: str) -> None:
    """At once, too: a million digits are never written out."""
    with pytest.raises(InvalidRequest) as caught:
        Money.of(Decimal(amount), "HKD")
    assert caught.value.field == "amount"


def test_decimal_of_many_digits_is_read_by_its_digits() -> None:
    """Python refuses to convert text of more than 4,300 digits, and no such error comes out."""
    zeros = "0" * 10_000
    assert Money.of(Decimal(f"88.00{zeros}"), "HKD") == Money.of(f"88.00{zeros}", "HKD") == Money.of("88", "HKD")
    assert Money.of(Decimal("0E+1000000"), "HKD") == Money.of(Decimal("0E-1000000"), "HKD") == Money.of("0", "HKD")
    for amount in (f"88.00{zeros}1", f"88{zeros}"):
        for written in (amount, Decimal(amount)):
            with pytest.raises(InvalidRequest):
                Money.of(written, "HKD")


WITHDRAWN = [
    ("BGN", 2), ("HRK", 2), ("ANG", 2), ("CUC", 2), ("EEK", 2), ("LTL", 2), ("LVL", 2), ("SLL", 2), ("VEF", 2),
    ("ZWL", 2),
    ("MRO", 2), ("STD", 2), ("SKK", 2), ("MTL", 2), ("CYP", 2), ("SIT", 2), ("DEM", 2), ("BYR", 0), ("ITL", 0),
    ("TRL", 0),
]  # fmt: skip


@pytest.mark.parametrize(("currency", "exponent"), WITHDRAWN)
def test_money_of_a_withdrawn_currency_is_read_from_storage(currency: str, exponent: int) -> None:
    """Payments made before 2026 are still on the books."""
    money = Money(minor=8800, currency=currency)
    assert msgspec.json.decode(f'{{"minor":8800,"currency":"{currency}"}}', type=Money) == money
    assert pickle.loads(pickle.dumps(money)) == copy.copy(money) == money
    assert (money.exponent, str(money)) == (exponent, f"{'88.00' if exponent else '8800'} {currency}")
    assert Money.of(money.text, currency) == Money.of_minor("8800", currency) == money


def test_withdrawn_currency_cannot_be_declared() -> None:
    """So nothing can be charged in one, and no code is in both tables."""
    assert not set(WITHDRAWN_EXPONENTS) & set(CURRENCY_EXPONENTS)
    assert {currency for currency, _ in WITHDRAWN} <= set(WITHDRAWN_EXPONENTS)
    fields: dict[str, Any] = {
        "id": "p",
        "title": "P",
        "methods": (Method("a", "A"),),
        "channels": frozenset({Channel.WEB}),
    }
    for currency in WITHDRAWN_EXPONENTS:
        with pytest.raises(TypeError, match="currencies are"):
            ProviderInfo(**fields, raw_statuses={}, currencies=frozenset({"HKD", currency}))
    with pytest.raises(InvalidRequest) as caught:
        check_amount(
            Money(minor=1, currency="BGN"), ProviderInfo(**fields, raw_statuses={}, currencies=frozenset({"HKD"}))
        )
    assert caught.value.field == "currency"


class Currency(StrEnum):
    HKD = "HKD"


class Choice(str, Enum):  # noqa: UP042 - what Django's TextChoices are, and what str() writes as Choice.HKD
    HKD = "HKD"


class Safe(str):
    """A str subclass, as template libraries return."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


@pytest.mark.parametrize("currency", [Currency.HKD, Choice.HKD, Safe("HKD")], ids=lambda each: type(each).__name__)
def test_currency_of_a_str_subclass_is_stored_as_plain_str(currency: str) -> None:
    """With what it holds, whatever it prints."""
    for money in (
        Money(minor=8800, currency=currency),
        Money.of("88", currency),
        Money.of(Safe("88"), currency),
        Money.of(Decimal(88), currency),
        Money.of_minor(Safe("8800"), currency),
        Money.of_scaled(88, 0, currency),
    ):
        assert type(money.currency) is str
        assert (money.minor, str(money)) == (8800, "88.00 HKD")
    with pytest.raises(InvalidRequest):
        Money.of("1", Safe("hkd"))


@pytest.mark.parametrize("minor", [-1, 1.0, "1", True, None])
def test_minor_units_are_a_whole_number_from_zero(minor: object) -> None:
    """The constructor checks, because msgspec's does not."""
    with pytest.raises(InvalidRequest):
        Money(minor=minor, currency="HKD")  # type: ignore[arg-type]


def test_money_from_positional_arguments_is_refused() -> None:
    """`Money(88, "HKD")` would be HKD 0.88."""
    with pytest.raises(TypeError):
        Money(88, "HKD")  # type: ignore[misc]


def test_an_amount_can_always_be_written() -> None:
    """Python refuses to write integers of thousands of digits, so an amount has none."""
    assert str(Money(minor=10**17, currency="HKD")) == "1000000000000000.00 HKD"
    for make in (lambda: Money(minor=10**17 + 1, currency="HKD"), lambda: Money(minor=10**5000, currency="HKD")):
        with pytest.raises(InvalidRequest) as caught:
            make()
        assert caught.value.field == "amount"
    for units in (10**5000, 10**5000 + 1):
        with pytest.raises(InvalidRequest):
            Money.of_scaled(units, 12, "HKD")


@pytest.mark.parametrize("currency", ["", "hkd", "HK", "XXX", "XAU", "BTC", "HKDX", None, 5, []])
def test_a_currency_is_one_of_the_standards(currency: object) -> None:
    """Gold and the test code have no minor units."""
    for make in (
        lambda: Money(minor=1, currency=currency),
        lambda: Money.of("1", currency),
        lambda: Money.of_minor("1", currency),
    ):  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest) as caught:
            make()
        assert caught.value.field == "currency"


@given(st.integers(0, 10**12 - 1), st.sampled_from(sorted(CURRENCY_EXPONENTS)))
def test_text_and_money_round_trip(minor: int, currency: str) -> None:
    """For every currency, what is written is what is read."""
    money = Money(minor=minor, currency=currency)
    assert Money.of(money.text, currency) == money
    assert Money.of_minor(str(minor), currency) == money
    assert money.decimal == Decimal(money.text)
    assert str(money) == f"{money.text} {currency}"
    assert money.scaled(money.exponent) == minor
    assert msgspec.json.decode(msgspec.json.encode(money), type=Money) == money


def test_a_deviating_exponent_is_scaled_exactly() -> None:
    """Some gateways count ISK in hundredths, and none may round."""
    assert Money(minor=5, currency="ISK").scaled(2) == 500
    assert Money(minor=500, currency="KWD").scaled(2) == 50
    assert Money.of_scaled(500, 2, "ISK") == Money(minor=5, currency="ISK")
    assert Money.of_scaled(50, 2, "KWD") == Money(minor=500, currency="KWD")
    for exponent in (-1, 2.0, None, True, 99):
        for scale in (Money(minor=5, currency="ISK").scaled, lambda exponent: Money.of_scaled(5, exponent, "ISK")):
            with pytest.raises(InvalidRequest):
                scale(exponent)
    for units in (505, -100, 5.0, True, "500"):
        with pytest.raises(InvalidRequest):
            Money.of_scaled(units, 2, "ISK")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest):
        Money(minor=505, currency="KWD").scaled(2)
