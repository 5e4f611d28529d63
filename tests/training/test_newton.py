"""Newton's steps find the optimum of a penalised regression, wherever they begin."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

from training.newton import Weights, solve

RIDGE = 20.0


def sample(rows: int, seed: int = 0, columns: int = 6) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Columns that overlap, and log-odds that hang on them."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, columns)) @ random.normal(size=(columns, columns))
    return (values / values.std(axis=0)).astype(np.float32), values @ random.normal(0, 0.5, columns) - 2


def outcomes(log_odds: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.random.default_rng(1).random(len(log_odds)) < 1 / (1 + np.exp(-log_odds))


@pytest.mark.parametrize("rows", [300, 7000])
def test_the_log_loss_is_smallest_where_scikit_learn_finds_it(rows: int) -> None:
    values, log_odds = sample(rows)
    target = outcomes(log_odds)
    known = LogisticRegression(C=1 / RIDGE, solver="newton-cholesky", tol=1e-10).fit(values.astype(np.float64), target)
    found = solve(values, target, RIDGE)
    np.testing.assert_allclose(found.columns, known.coef_[0], atol=1e-5)
    assert found.offset == pytest.approx(known.intercept_[0], abs=1e-5)


@pytest.mark.parametrize("rows", [300, 150_000])
def test_weights_are_drawn_to_what_is_given_the_more_the_fewer_rows_there_are(rows: int) -> None:
    values, log_odds = sample(rows)
    target, toward = outcomes(log_odds), np.linspace(-1, 1, values.shape[1])
    found, free = solve(values, target, RIDGE, toward=toward), solve(values, target, 1e-6)
    # At the optimum the slope of the loss is what the penalty pulls with.
    chances = 1 / (1 + np.exp(-(values @ found.columns + found.offset)))
    np.testing.assert_allclose(values.T @ (target - chances), RIDGE * (found.columns - toward), atol=1e-2, rtol=1e-3)
    near = np.abs(found.columns - free.columns).max() < 0.1 * np.abs(toward - free.columns).max()
    assert near == (rows == 150_000)
    np.testing.assert_allclose(solve(values, target, 1e9, toward=toward).columns, toward, atol=1e-3)


@pytest.mark.parametrize("rows", [300, 150_000])
def test_given_columns_that_may_have_no_weight_then_the_others_have_what_they_have_without_them(rows: int) -> None:
    values, log_odds = sample(rows)
    target, free = outcomes(log_odds), np.array([True, False, True, True, False, True])
    found, known = solve(values, target, RIDGE, free=free), solve(values[:, free], target, RIDGE)
    assert not found.columns[~free].any()
    np.testing.assert_allclose(found.columns[free], known.columns, atol=1e-5)


def test_the_squared_error_is_smallest_where_scikit_learn_finds_it() -> None:
    values, target = sample(5000)
    target = target + np.random.default_rng(2).normal(size=len(target))
    known = Ridge(alpha=RIDGE).fit(values.astype(np.float64), target)
    found = solve(values, target, RIDGE)
    np.testing.assert_allclose(found.columns, known.coef_, atol=1e-5)
    assert found.offset == pytest.approx(known.intercept_, abs=1e-5)


def test_steps_that_go_too_far_are_shortened() -> None:
    # A column gives a rare outcome away, so that the first step makes all rows certain and the loss as good as level.
    target = np.arange(20_000) % 200 == 0
    values = np.where(target, 14.0, -0.07)[:, None].astype(np.float32)
    known = LogisticRegression(C=0.01, solver="newton-cholesky", tol=1e-10).fit(values.astype(np.float64), target)
    found = solve(values, target, 100.0)
    np.testing.assert_allclose(found.columns, known.coef_[0], rtol=1e-4)


def test_where_it_begins_does_not_matter_nor_does_a_part_of_many_rows_that_it_begins_with() -> None:
    values, log_odds = sample(150_000)
    target = outcomes(log_odds)
    begun = solve(values, target, RIDGE)
    elsewhere = solve(values, target, RIDGE, Weights(np.full(values.shape[1], 0.3), 1.0))
    np.testing.assert_allclose(begun.columns, elsewhere.columns, atol=1e-5)
    rare = np.arange(150_000) % 1500 == 1  # none of the part
    assert solve(values, rare, RIDGE).offset == pytest.approx(np.log(1 / 1499), abs=0.1)


def test_the_weights_are_the_same_whatever_the_number_of_threads() -> None:
    values, log_odds = sample(9000, columns=40)
    target = outcomes(log_odds)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            found.append(solve(values, target, RIDGE).columns)
    np.testing.assert_array_equal(*found)
