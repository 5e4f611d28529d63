"""The feature spec: columns with a meaning, and documentation that is up to date."""

from dataclasses import replace
from pathlib import Path

import pytest

from features import spec
from features.spec import COLUMN, FEATURES, GROUPS, NAMES, RELATIVE, fingerprint, table

ROOT = Path(__file__).parents[2]


def test_names_are_unique_and_in_the_order_of_the_columns() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 30
    assert [COLUMN[name] for name in NAMES] == list(range(len(NAMES)))


def test_every_group_is_known_and_has_columns() -> None:
    assert {feature.group for feature in FEATURES} == set(GROUPS)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_column_says_what_it_means(feature: spec.Feature) -> None:
    assert feature.meaning
    assert feature.unit
    assert feature.monotone in (0, 1)
    assert "|" not in feature.meaning + feature.unit + feature.missing


def test_a_relative_column_is_constrained_as_the_column_it_compares() -> None:
    for name in RELATIVE:
        for ending in ("z", "rank"):
            relative, own = FEATURES[COLUMN[f"{name}_{ending}"]], FEATURES[COLUMN[name]]
            assert (relative.monotone, relative.group) == (own.monotone, own.group)


@pytest.mark.parametrize(
    "columns",
    [
        FEATURES[:-1],
        FEATURES[::-1],
        (replace(FEATURES[0], name="other"), *FEATURES[1:]),
        (replace(FEATURES[0], monotone=1 - FEATURES[0].monotone), *FEATURES[1:]),
    ],
    ids=["one less", "another order", "another name", "another constraint"],
)
def test_the_fingerprint_changes_with_the_columns(
    monkeypatch: pytest.MonkeyPatch, columns: tuple[spec.Feature, ...]
) -> None:
    before = fingerprint()
    monkeypatch.setattr(spec, "FEATURES", columns)
    assert fingerprint() != before


def test_the_fingerprint_changes_with_the_version_and_not_with_the_wording(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint()
    monkeypatch.setattr(spec, "FEATURES", (replace(FEATURES[0], meaning="in other words"), *FEATURES[1:]))
    assert fingerprint() == before
    monkeypatch.setattr(spec, "SPEC_VERSION", spec.SPEC_VERSION + 1)
    assert fingerprint() != before


def test_the_table_has_a_line_for_every_column() -> None:
    head, _, *lines = table().splitlines()
    assert [line.split("`")[1] for line in lines] == list(NAMES)
    assert {line.count("|") for line in lines} == {head.count("|")}
