"""What the spec says of the columns of a training set, for those who learn from them."""

from collections.abc import Sequence

from features.spec import FEATURES


def monotone_directions(names: Sequence[str]) -> list[int]:
    """Return -1, 0 or 1 for each column; columns that the spec does not know are free."""
    known = {feature.name: feature.monotone for feature in FEATURES}
    return [known.get(name, 0) for name in names]


def ranking_columns(names: Sequence[str]) -> list[bool]:
    """Return for each column whether the ranker learns from it; it does from columns that the spec does not know."""
    known = {feature.name: feature.ranks for feature in FEATURES}
    return [known.get(name, True) for name in names]
