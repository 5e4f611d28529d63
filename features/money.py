"""Money as a marketplace writes it, and its value in the one currency that features are computed in."""

import hashlib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, Overflow
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from features.errors import CocokError

Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]  # ISO 4217

MAX_AMOUNT = Decimal(10) ** 15
_MOST = float(MAX_AMOUNT)
_OUT_OF_RANGE = "`amount` must be a finite number from 0 to 10^15"
_ONE = Decimal(1)
_EXACT = Context(prec=34, traps=[Inexact, Overflow])


class Money(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """An amount in a currency.

    The amount is kept in canonical form, so that ``"1.50"``, ``"1.5"`` and ``1.5`` are equal and written alike.

    Attributes:
        amount: finite, 0 to 10^15, at most 30 decimal places; a string or a number in JSON.
        currency: ISO 4217 code.

    Raises:
        ValueError: the amount is not finite, negative, too large or too fine.
    """

    amount: Decimal
    currency: Currency

    def __post_init__(self) -> None:
        if not self.amount.is_finite():
            raise ValueError(_OUT_OF_RANGE)
        force_setattr(self, "amount", _canonical(self.amount))

    def rounded(self, amount: float) -> "Money":
        """Return another amount in this currency, to a hundredth; in a quarter of the time that a new one takes.

        Args:
            amount: 0 to 10^15.

        Raises:
            ValueError: it is negative, too large or no number.
        """
        if not 0.0 <= amount <= _MOST:
            raise ValueError(_OUT_OF_RANGE)
        money: Money = self.__copy__()  # type: ignore[attr-defined]  # what msgspec has, and copy() asks for slowly
        # Without the noughts at its end it is in canonical form.
        force_setattr(money, "amount", Decimal(f"{abs(amount):.2f}".rstrip("0").rstrip(".")))
        return money


@lru_cache(maxsize=1 << 14)
def _canonical(amount: Decimal) -> Decimal:
    """Return an amount in canonical form; equal amounts have the same.

    Raises:
        ValueError: it is negative, too large or too fine.
    """
    if amount < 0 or amount > MAX_AMOUNT:
        raise ValueError(_OUT_OF_RANGE)
    try:
        plain = amount.normalize(_EXACT)
        exponent = int(plain.as_tuple().exponent)  # a number, as the amount is finite
        if exponent > 0:
            plain = plain.quantize(_ONE, context=_EXACT)
    except Inexact as error:
        raise ValueError("`amount` must have at most 34 significant digits") from error
    if exponent < -30 and plain:
        raise ValueError("`amount` must have at most 30 decimal places")
    # Without a sign, which a nought may have. `abs` would round to the 28 digits of the context of the thread.
    return plain.copy_abs()


@dataclass(frozen=True)
class Rates:
    """Rates of exchange into a base currency.

    Attributes:
        base: ISO 4217 code of the currency that every amount is converted to.
        per_base: currency -> how many of its units one unit of ``base`` buys, positive.
    """

    base: str
    per_base: Mapping[str, float]

    def __post_init__(self) -> None:
        for currency, rate in self.per_base.items():
            if not (len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.isupper()):
                raise CocokError(f'rates: "{currency}" is no ISO 4217 code; write three capital letters, like IDR')
            if not (math.isfinite(rate) and rate > 0):
                raise CocokError(f"rates: {currency} is {rate}; write how many {currency} 1 {self.base} buys, above 0")

    @classmethod
    def shipped(cls, base: str = "USD", overrides: Mapping[str, float] | None = None) -> "Rates":
        """Return the table that comes with the package, in another base or with other rates if asked.

        Args:
            base: ISO 4217 code of the base currency.
            overrides: currency -> units that one unit of ``base`` buys; wins over the shipped rate.

        Raises:
            CocokError: the base currency has no rate, shipped or to USD, or a rate is not a positive number.
        """
        table = _shipped()
        chosen = dict(overrides or {})
        if base in table:
            scale = 1 / table[base]
        elif chosen.get("USD", 0) > 0:
            scale = chosen["USD"]
        else:
            raise CocokError(
                f"base currency {base} has no shipped rate; under [rates] in cocok.toml write"
                f" USD = how many USD 1 {base} buys"
            )
        return cls(base, {**{currency: rate * scale for currency, rate in table.items()}, **chosen, base: 1.0})

    def __contains__(self, currency: object) -> bool:
        """Tell whether amounts in ``currency`` can be converted."""
        return currency in self.per_base

    def convert(self, money: Money) -> float:
        """Return the value of ``money`` in units of the base currency.

        Raises:
            CocokError: no rate is known for the currency; the message says how to add it.
        """
        rate = self.per_base.get(money.currency)
        if rate is None:
            raise CocokError(self.missing(money.currency))
        return float(money.amount) / rate

    def missing(self, currency: str) -> str:
        """Return the sentence that says that ``currency`` has no rate and how to add one."""
        return (
            f"no rate for the currency {currency}; under [rates] in cocok.toml write"
            f" {currency} = how many {currency} 1 {self.base} buys"
        )

    def fingerprint(self) -> str:
        """Return 16 hex digits that change whenever the base or a rate does."""
        digest = hashlib.blake2b(self.base.encode(), digest_size=8)
        for currency in sorted(self.per_base):
            digest.update(f" {currency}={float(self.per_base[currency])!r}".encode())
        return digest.hexdigest()


@cache
def _shipped() -> dict[str, float]:
    data = tomllib.loads(files("features").joinpath("rates.toml").read_text(encoding="utf-8"))
    return {currency: float(rate) for currency, rate in data["rates"].items()}
