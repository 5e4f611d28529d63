"""A forest scores as LightGBM does, bit for bit, and refuses the models that it cannot hold."""

from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from matching.additive import LEAVES
from matching.calibration import predict_rows, scorer
from matching.forest import Forest, ForestError
from tests.market import usual, usual_bundle

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-36, -1e-36, 1e-34, 3.4e38, -3.4e38], np.float32)


def rows(random: np.random.Generator, count: int, columns: int = 6) -> np.ndarray:
    """Rows with ties and missing values; the last column has none, nor a zero."""
    values = random.normal(size=(count, columns)).astype(np.float32)
    values[:, 0] = np.round(values[:, 0], 1)
    values[random.random(values.shape) < 0.2] = np.nan
    values[:, -1] = random.uniform(1, 2, count)
    return values


def model(random: np.random.Generator, features: np.ndarray, trees: int = 30, **parameters: Any) -> lgb.Booster:
    target = np.nan_to_num(features).sum(axis=1) + np.isnan(features[:, 1]) + random.normal(size=len(features))
    settings = {"objective": "regression", "num_leaves": 31, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    return lgb.train(settings | parameters, lgb.Dataset(features, target), num_boost_round=trees)


def special(random: np.random.Generator, booster: lgb.Booster, count: int) -> np.ndarray:
    """Rows of values that are hard to compare: special ones, and those at a threshold or next to it."""
    splits = booster.trees_to_dataframe().dropna(subset=["threshold"])
    near = splits["threshold"].to_numpy(np.float64).astype(np.float32)
    values = np.concatenate([SPECIAL, near, np.nextafter(near, np.float32(9)), np.nextafter(near, np.float32(-9))])
    return random.choice(values, (count, booster.num_feature()))


@pytest.mark.parametrize("leaves", [2, 3, 15, LEAVES])
@pytest.mark.parametrize("seed", range(4))
def test_given_any_rows_then_scores_are_those_of_lightgbm(leaves: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    features = rows(random, 800)
    booster = model(random, features, num_leaves=leaves)
    forest = Forest.of(booster)
    for asked in (features, special(random, booster, 700), special(random, booster, 1)):
        np.testing.assert_array_equal(forest.score(asked), booster.predict(asked, raw_score=True))


def test_given_nothing_missing_in_training_then_a_missing_value_counts_as_zero_as_in_lightgbm() -> None:
    random = np.random.default_rng(0)
    features = np.nan_to_num(rows(random, 600))
    booster = model(random, features)
    features[::3] = np.nan
    found = Forest.of(booster).score(features)
    np.testing.assert_array_equal(found, booster.predict(features, raw_score=True))
    assert len(np.unique(found[::3])) == 1


def test_given_trees_of_one_leaf_then_every_row_scores_alike() -> None:
    random = np.random.default_rng(0)
    features = rows(random, 100)
    booster = model(random, features, min_data_in_leaf=100)
    found = Forest.of(booster).score(features)
    np.testing.assert_array_equal(found, booster.predict(features, raw_score=True))
    assert len(np.unique(found)) == 1


def test_given_a_trained_bundle_then_each_of_its_models_scores_as_lightgbm() -> None:
    features = usual()[1].features
    bundle = usual_bundle()
    assert bundle.accept is not None
    assert bundle.approve is not None
    assert bundle.minutes is not None
    minutes = bundle.minutes.location.booster, bundle.minutes.spread.booster
    for booster in (bundle.ranker.booster, bundle.accept.booster, bundle.approve.booster, *minutes):
        np.testing.assert_array_equal(Forest.of(booster).score(features), booster.predict(features, raw_score=True))


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
def test_given_any_number_of_rows_in_any_layout_then_each_is_scored(count: int) -> None:
    random = np.random.default_rng(0)
    features = rows(random, 400)
    booster = model(random, features, trees=5)
    expected = booster.predict(features, raw_score=True)[:count]
    for layout in (features, np.asfortranarray(features), np.repeat(features, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(Forest.of(booster).score(layout[:count]), expected)


def test_given_early_stopping_then_the_trees_after_the_best_do_not_count() -> None:
    random = np.random.default_rng(0)
    features = rows(random, 400)
    booster = model(random, features)
    booster.best_iteration = 7
    np.testing.assert_array_equal(Forest.of(booster).score(features), booster.predict(features, raw_score=True))


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"num_leaves": LEAVES + 1, "min_data_in_leaf": 1}, "33 leaves"),
        ({"zero_as_missing": True}, "zeros that count as missing"),
        ({"linear_tree": True}, "linear"),
        ({"objective": "multiclass", "num_class": 2}, "single score"),
        ({"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1}, "sum trees"),
    ],
)
def test_given_a_model_of_another_kind_then_it_is_refused_and_lightgbm_scores(
    parameters: dict[str, Any], reason: str
) -> None:
    random = np.random.default_rng(0)
    features = np.nan_to_num(rows(random, 400))
    target = (features[:, 0] + random.normal(size=400) > 0).astype(np.float64)
    settings = {"objective": "binary", "verbosity": -1, "num_threads": 1} | parameters
    booster = lgb.train(settings, lgb.Dataset(features, target, params=settings), num_boost_round=5)
    with pytest.raises(ForestError, match=reason):
        Forest.of(booster)
    np.testing.assert_array_equal(scorer(booster)(features), predict_rows(booster, features))


def test_given_categorical_splits_then_the_model_is_refused() -> None:
    random = np.random.default_rng(0)
    features = random.integers(0, 5, (400, 2)).astype(np.float32)
    data = lgb.Dataset(features, (features[:, 0] % 2), categorical_feature=[0])
    booster = lgb.train({"objective": "regression", "verbosity": -1, "num_threads": 1}, data, num_boost_round=3)
    with pytest.raises(ForestError, match="categorical"):
        Forest.of(booster)


def test_given_features_of_another_width_then_they_are_refused() -> None:
    random = np.random.default_rng(0)
    features = rows(random, 100)
    with pytest.raises(ValueError, match=r"\(100, 5\).*6 columns"):
        Forest.of(model(random, features, trees=2)).score(features[:, :5])
