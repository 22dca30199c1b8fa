"""Money is integer minor units, and reads nothing that is not plain digits."""

from __future__ import annotations

from decimal import Decimal

import iso4217
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_core import CURRENCY_EXPONENTS, InvalidRequest, Money


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


@pytest.mark.parametrize("value", [88, 88.0, Decimal(88), b"88", None, True])
def test_only_text_is_read(value: object) -> None:
    """A float has already lost the amount."""
    with pytest.raises(InvalidRequest):
        Money.of(value, "HKD")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest):
        Money.of_minor(value, "HKD")  # type: ignore[arg-type]


def test_fraction_digits_beyond_the_exponent_are_refused() -> None:
    """Nothing is rounded, and yen have no cents."""
    for text, currency in [("88.001", "HKD"), ("88.0", "JPY"), ("1.2345", "KWD")]:
        with pytest.raises(InvalidRequest):
            Money.of(text, currency)


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
