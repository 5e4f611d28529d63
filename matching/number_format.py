"""Numbers and money as a language writes them."""

from features.money import Money

LOCALES = ("en", "id")
_SWAPPED = str.maketrans(",.", ".,")


def number(value: float, locale: str) -> str:
    """Return a number with separators; whole ones in full, others with at most twelve digits."""
    return _separated(f"{value:,}" if isinstance(value, int) else f"{value:,.12g}", locale)


def money(amount: Money, locale: str) -> str:
    """Return an amount with its currency; a hundred and more are told without decimals."""
    figure = _separated(f"{amount.amount:,.{0 if amount.amount >= 100 else 2}f}", locale)
    return f"{'Rp' if amount.currency == 'IDR' else amount.currency} {figure}"


def _separated(text: str, locale: str) -> str:
    return text.translate(_SWAPPED) if locale == "id" else text
