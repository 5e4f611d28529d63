"""The kernel that adds a model up: to the last bit what LightGBM, the linear functions and NumPy say one by one."""

import numpy as np
import pytest

from matching.additive import NO_LINEARS, NO_TREES, Curve, at_levels, predict
from matching.calibration import Additive, Calibration
from matching.contributions import above_others
from matching.linear import Linear, Newcomers
from tests.matching.test_forest import model, rows


def linear(*columns: int, offset: float) -> Linear:
    size = len(columns)
    weights, low = np.linspace(-0.7, 1.3, size), np.full(size, -1.5)
    return Linear(np.array(columns), weights, np.full(size, 0.25), low, -low, offset)


@pytest.mark.parametrize("count", [0, 1, 63, 65, 200])
@pytest.mark.parametrize("newcomers", [None, Newcomers(2, linear(0, 4, offset=-0.3))])
def test_given_a_linear_part_and_trees_then_rows_get_the_sum_through_the_curve(
    count: int, newcomers: Newcomers | None
) -> None:
    random = np.random.default_rng(0)
    features = rows(random, 400)
    features[::3, 2] = 0.0
    booster, base = model(random, features), linear(0, 1, 3, 5, offset=0.1)
    curve = Calibration(np.array([-1.0, -0.2, 0.4, 1.0]), np.array([0.1, 0.15, 0.6, 0.9]))
    expected = base.predict(features)
    if newcomers:
        expected[::3] = newcomers.linear.predict(features[::3])
        assert (expected[::3] != base.predict(features[::3])).any()
    expected += booster.predict(features, raw_score=True)
    found = Additive(booster, base, newcomers)
    np.testing.assert_array_equal(found.predict(features[:count]), expected[:count])
    probabilities = np.interp(expected[:count], curve.x, curve.y)
    np.testing.assert_array_equal(found.predict(features[:count], curve.curve), probabilities)
    shares = found.linear_contributions(features, np.arange(6), 6)
    np.testing.assert_allclose(np.diff(shares[1::3].sum(axis=1)), np.diff(base.predict(features[1::3])), atol=1e-12)
    if newcomers:
        assert not shares[::3, [1, 3, 5]].any()


@pytest.mark.parametrize("columns", [(), (2,), (0, 1, 2)])
def test_given_a_linear_function_alone_then_it_is_the_sum_by_its_definition(columns: tuple[int, ...]) -> None:
    features = rows(np.random.default_rng(1), 50)
    function = linear(*columns, offset=2.0)
    expected = np.full(50, 2.0)
    for column, weight in zip(columns, function.weights, strict=True):
        value = features[:, column].astype(np.float64)
        expected += weight * np.clip(np.where(np.isnan(value), 0.25, value), -1.5, 1.5)
    np.testing.assert_array_equal(function.predict(features), expected)


@pytest.mark.parametrize("knots", [2, 3, 40])
def test_given_any_value_then_its_place_on_a_curve_is_that_of_numpy(knots: int) -> None:
    random = np.random.default_rng(knots)
    x, y = np.sort(random.normal(size=knots)), np.sort(random.uniform(size=knots))
    values = np.concatenate([2.0 * random.normal(size=2_000), x, [np.nan, np.inf, -np.inf]])
    features = np.empty((len(values), 0), np.float32)
    ones, curve = np.ones(len(values)), Curve(x, y)
    np.testing.assert_array_equal(at_levels(0.0 * ones, ones, values[None], curve)[0], np.interp(values, x, y))
    np.testing.assert_array_equal(predict(NO_LINEARS, NO_TREES, curve, features), np.interp(0.0 * ones, x, y))


@pytest.mark.parametrize(("asked", "others"), [(0, 0), (0, 3), (2, 0), (20, 44)])
def test_given_contributions_then_the_mean_of_the_others_is_taken_from_the_first(asked: int, others: int) -> None:
    given = np.random.default_rng(0).normal(size=(asked + others, 7))
    expected = given[:asked] - (given[asked:].sum(axis=0) / others if others else 0.0)
    np.testing.assert_array_equal(above_others(given, asked), expected)
