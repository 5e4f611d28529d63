"""Money and rates of exchange."""

import tomllib
from decimal import Decimal
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import CocokError
from features.money import Money, Rates


def test_given_a_currency_then_an_amount_is_divided_by_what_one_base_unit_buys() -> None:
    rates = Rates.shipped(overrides={"IDR": 16000})
    assert rates.convert(Money(Decimal(8000), "IDR")) == 0.5
    assert rates.convert(Money(Decimal("1.5"), "USD")) == 1.5


def test_given_another_base_then_the_shipped_rates_are_taken_over_and_own_rates_are_in_that_base() -> None:
    dollars, euros = Rates.shipped(), Rates.shipped("EUR", {"IDR": 20000})
    assert euros.convert(Money(Decimal(1), "USD")) == pytest.approx(dollars.per_base["EUR"])
    assert euros.convert(Money(Decimal(20000), "IDR")) == 1
    assert euros.convert(Money(Decimal(3), "EUR")) == 3


def test_given_a_base_that_is_not_shipped_then_its_rate_to_the_dollar_is_asked_for_and_used() -> None:
    with pytest.raises(CocokError, match="USD = how many USD 1 XAU buys"):
        Rates.shipped("XAU")
    assert Rates.shipped("XAU", {"USD": 3000}).convert(Money(Decimal(6000), "USD")) == 2


def test_given_a_currency_without_a_rate_then_the_error_names_it_and_the_remedy() -> None:
    with pytest.raises(CocokError, match=r"no rate for the currency XTS; under \[rates\] in cocok.toml write XTS"):
        Rates.shipped().convert(Money(Decimal(1), "XTS"))


@pytest.mark.parametrize("rates", [{"IDR": 0.0}, {"IDR": -1.0}, {"IDR": float("nan")}, {"IDR": float("inf")}])
def test_given_a_rate_that_is_not_positive_then_it_is_refused(rates: dict[str, float]) -> None:
    with pytest.raises(CocokError, match="above 0"):
        Rates.shipped(overrides=rates)


def test_given_a_code_that_is_no_currency_then_it_is_refused() -> None:
    with pytest.raises(CocokError, match="three capital letters"):
        Rates.shipped(overrides={"rupiah": 16000})


def test_given_the_shipped_table_then_it_is_dated_and_covers_the_main_markets() -> None:
    rates = Rates.shipped()
    table = tomllib.loads(files("features").joinpath("rates.toml").read_text(encoding="utf-8"))
    assert table["date"].year >= 2025
    assert len(rates.per_base) >= 40
    assert {"USD", "IDR", "EUR", "INR", "PHP", "BRL"} <= set(rates.per_base)


def test_given_equal_rates_then_fingerprints_are_equal_and_else_they_differ() -> None:
    prints = [
        Rates.shipped().fingerprint(),
        Rates.shipped(overrides={"IDR": 16000}).fingerprint(),
        Rates.shipped("EUR").fingerprint(),
    ]
    assert len(set(prints)) == 3
    assert Rates.shipped(overrides={"IDR": 16000.0}).fingerprint() == prints[1]


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("1.50", "1.5"),
        ("1E+3", "1000"),
        ("0.00", "0"),
        ("-0", "0"),
        ("1.000000000000000000000000000001", "1.000000000000000000000000000001"),
        ("999999999999999.9999999999999999999", "999999999999999.9999999999999999999"),
    ],
)
def test_given_an_amount_then_it_is_kept_in_canonical_form(amount: str, text: str) -> None:
    assert str(Money(Decimal(amount), "USD").amount) == text


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-0.01", "1E+16", "1E-31", "0." + "1" * 40])
def test_given_an_amount_out_of_bounds_then_it_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="`amount` must"):
        Money(Decimal(amount), "USD")


@given(st.decimals(min_value=0, max_value=10**9, places=4))
def test_given_any_price_then_canonical_form_keeps_its_value(amount: Decimal) -> None:
    assert Money(amount, "USD").amount == amount


@given(st.floats(min_value=1e-9, max_value=10**9))
def test_given_any_price_computed_as_a_float_then_it_is_kept_exactly(amount: float) -> None:
    assert float(Money(Decimal(repr(amount)), "USD").amount) == amount


@given(st.floats(0.0, 1e15) | st.sampled_from([-0.0, 0.0, 0.004, 0.005, 0.1, 9.995, 10.0, 100.0, 1e15]))
def test_given_another_amount_then_it_is_what_a_new_one_of_two_decimal_places_would_be(amount: float) -> None:
    found, new = Money(Decimal(1), "IDR").rounded(amount), Money(Decimal(f"{amount:.2f}"), "IDR")
    assert found == new
    assert str(found.amount) == str(new.amount)


@pytest.mark.parametrize("amount", [-0.01, 1.1e15, float("inf"), float("nan")])
def test_given_another_amount_that_is_none_then_it_is_refused(amount: float) -> None:
    with pytest.raises(ValueError, match="`amount` must be a finite number"):
        Money(Decimal(1), "IDR").rounded(amount)
