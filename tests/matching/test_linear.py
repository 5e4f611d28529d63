"""A linear part of a model: missing values, outliers, and the fit of its weights."""

import numpy as np
import pytest

from matching.linear import Linear, Newcomers
from training.linear import fit_linear, fit_whole_and_part

PART = Linear(
    columns=np.array([2, 0]),
    weights=np.array([2.0, -1.0]),
    fill=np.array([0.5, 0.0]),
    low=np.array([-1.0, -np.inf]),
    high=np.array([1.0, np.inf]),
    offset=10.0,
)


@pytest.mark.parametrize(
    ("row", "value"),
    [((1, 9, 0.25), 9.5), ((1, 9, 50), 11.0), ((1, 9, -50), 7.0), ((-40, 9, np.nan), 51.0)],
    ids=["as it is", "no more than high", "no less than low", "missing"],
)
def test_given_a_row_then_it_is_the_weighted_sum_of_what_values_count_as(row: tuple[float, ...], value: float) -> None:
    assert PART.predict(np.array([row], np.float32)) == pytest.approx([value])


def test_a_row_gives_the_same_alone_and_among_others() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    alone = np.concatenate([PART.predict(rows[place : place + 1]) for place in range(50)])
    np.testing.assert_array_equal(alone, PART.predict(rows))


@pytest.mark.parametrize("part", [PART, Linear.constant(0.5)], ids=["columns", "none"])
def test_it_comes_back_as_it_was_packed(part: Linear) -> None:
    rows = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    np.testing.assert_array_equal(Linear.unpacked(part.packed()).predict(rows), part.predict(rows))


def test_weights_and_offset_of_a_line_are_found_and_a_missing_value_counts_as_the_mean() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(3, 2, size=(4000, 2)).astype(np.float32)
    target = 1 + 0.5 * rows[:, 0].astype(np.float64)
    found = fit_linear(rows, target, [0, 1], (0, 0))
    np.testing.assert_allclose(found.predict(np.array([[4, 0], [np.nan, 0]], np.float32)), [3, 2.5], atol=0.05)


@pytest.mark.parametrize("value", [-np.inf, np.inf])
def test_a_value_that_is_not_finite_is_learned_from_as_if_it_were_missing(value: float) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(3, 2, size=(500, 2)).astype(np.float32)
    target = rows.sum(axis=1).astype(np.float64)
    without = rows.copy()
    rows[::50, 0], without[::50, 0] = value, np.nan
    for monotone in ((0, 0), (1, 0)):
        found, known = fit_linear(rows, target, [0, 1], monotone), fit_linear(without, target, [0, 1], monotone)
        np.testing.assert_array_equal(found.packed(), known.packed())
        assert np.isfinite(found.weights).all()


def test_log_odds_are_those_of_the_outcome() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(40_000, 1)).astype(np.float32)
    target = random.random(40_000) < 1 / (1 + np.exp(-(rows[:, 0] - 2)))
    np.testing.assert_allclose(fit_linear(rows, target, [0], (0,)).predict(np.float32([[0], [1]])), [-2, -1], atol=0.15)


def test_what_goes_against_the_direction_that_was_promised_is_left_out() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)
    target = (rows[:, 1] - rows[:, 0]).astype(np.float64)
    assert fit_linear(rows, target, [0, 1], (1, 1)).columns.tolist() == [1]
    assert fit_linear(rows, target, [0], (1, 0)).columns.tolist() == []


def test_a_column_without_any_value_is_left_out() -> None:
    rows = np.full((50, 1), np.nan, np.float32)
    assert fit_linear(rows, np.arange(50.0), [0], (0,)).predict(rows[:1]) == pytest.approx([24.5])


def test_a_part_of_the_rows_gets_weights_of_its_own_and_keeps_those_of_all_where_it_says_nothing() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(40_000, 3)).astype(np.float32)
    part = np.arange(len(rows)) < 8_000
    rows[part, 2] = 0.5
    log_odds = np.where(part, -rows[:, 0], rows[:, 0]) + rows[:, 1] + rows[:, 2] - 1
    target = random.random(len(rows)) < 1 / (1 + np.exp(-log_odds))
    whole, own = fit_whole_and_part(rows, target, [0, 1, 2], (0, 0, 0), part)
    np.testing.assert_array_equal(whole.weights, fit_linear(rows, target, [0, 1, 2], (0, 0, 0)).weights)
    np.testing.assert_allclose(own.weights[:2], [-1, 1], atol=0.15)
    assert own.weights[2] == pytest.approx(whole.weights[2], abs=0.05)
    bound = fit_whole_and_part(rows, target, [0, 1, 2], (1, 0, 0), part)[1]
    assert bound.columns.tolist() == [1, 2]


def test_newcomers_are_those_with_nothing_in_their_column() -> None:
    rows = np.array([[0.0, 1.0], [0.7, 1.0], [np.nan, 1.0], [-0.0, 1.0]], np.float32)
    assert Newcomers(0, PART).among(rows).tolist() == [True, False, False, True]
