"""Contributions: Shapley values of groups, which add up to the score; LightGBM's own where each column is a group."""

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.spec import GROUPS, NAMES
from matching.calibration import Additive
from matching.contributions import OWN, PLAYERS, GroupShap, contributor, group_of, groups_of
from matching.forest import ForestError
from tests.market import usual, usual_bundle
from tests.matching.test_forest import model, rows, special


def value(node: Mapping[str, Any], row: np.ndarray, known: Callable[[int], bool]) -> float:
    """What a tree is expected to give of a row of which these columns are known, straight from the definition."""
    if "leaf_value" in node:
        return float(node["leaf_value"])
    left, right = node["left_child"], node["right_child"]
    if not known(node["split_feature"]):
        covers = [child.get("internal_count", child.get("leaf_count")) for child in (left, right)]
        return float(np.average([value(child, row, known) for child in (left, right)], weights=covers))
    seen = row[node["split_feature"]]
    if np.isnan(seen) and node["missing_type"] == "NaN":
        return value(left if node["default_left"] else right, row, known)
    return value(left if np.nan_to_num(seen, posinf=np.inf) <= node["threshold"] else right, row, known)


def by_definition(booster: lgb.Booster, row: np.ndarray, owners: np.ndarray, players: int) -> list[float]:
    """The mean over all orders in which the players come of what each adds when it comes."""
    trees = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]

    def worth(coalition: frozenset[int]) -> float:
        return sum(value(tree, row, lambda column: int(owners[column]) in coalition) for tree in trees)

    orders = list(permutations(range(players)))
    found = np.zeros(players)
    for order in orders:
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            found[player] += worth(before | {player}) - worth(before)
    return list(found / len(orders))


@given(
    seed=st.integers(0, 2**32 - 1),
    leaves=st.integers(2, 12),
    owners=st.lists(st.integers(0, 2), min_size=6, max_size=6),
)
@settings(deadline=None, max_examples=25)
def test_given_any_groups_then_contributions_are_shapley_values_by_their_definition(
    seed: int, leaves: int, owners: list[int]
) -> None:
    random = np.random.default_rng(seed)
    features = rows(random, 150)
    booster = model(random, features, trees=3, num_leaves=leaves)
    found = GroupShap.of(booster, np.array(owners), 3).contributions(features[:3], 3)
    for row, contributions in zip(features, found, strict=False):
        expected = by_definition(booster, row, np.array(owners), 3)
        np.testing.assert_allclose(contributions, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("leaves", [2, 3, 15, 31])
@pytest.mark.parametrize("seed", range(3))
def test_given_a_group_for_each_column_then_contributions_are_those_of_lightgbm(leaves: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    features = rows(random, 800)
    booster = model(random, features, num_leaves=leaves)
    shap = GroupShap.of(booster, np.arange(6), 6)
    for asked in (features, special(random, booster, 300)):
        expected = booster.predict(asked, pred_contrib=True)
        np.testing.assert_allclose(shap.contributions(asked, len(asked)), expected[:, :-1], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(shap.expected, expected[:, -1], rtol=1e-9)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
def test_given_any_number_of_rows_then_each_adds_up_to_its_score(count: int) -> None:
    random = np.random.default_rng(0)
    features = rows(random, 400)
    booster = model(random, features)
    shap = GroupShap.of(booster, np.array([0, 0, 1, 1, 2, 3]), 5)
    found = shap.contributions(features[:count], count)
    assert found.shape == (count, 5)
    assert not found[:, 4].any()
    scores = booster.predict(features, raw_score=True)[:count]
    np.testing.assert_allclose(found.sum(axis=1) + shap.expected, scores, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("asked", "others"), [(0, 3), (20, 44), (3, 61), (64, 1), (63, 65), (70, 200), (200, 0)])
def test_given_other_rows_then_contributions_are_those_above_the_mean_of_the_others(asked: int, others: int) -> None:
    random = np.random.default_rng(0)
    features = rows(random, 400)
    shap = GroupShap.of(model(random, features), np.array([0, 0, 1, 1, 2, 3]), 5)
    whole = shap.contributions(features, 400)[: asked + others]
    expected = whole[:asked] - (whole[asked:].mean(axis=0) if others else 0.0)
    found = shap.contributions(features[: asked + others], asked)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_given_one_group_for_all_columns_then_it_contributes_the_whole_score() -> None:
    random = np.random.default_rng(0)
    features = rows(random, 400)
    booster = model(random, features)
    shap = GroupShap.of(booster, np.zeros(6, np.int64), 1)
    scores = booster.predict(features, raw_score=True)
    np.testing.assert_allclose(shap.contributions(features, 400)[:, 0], scores - shap.expected, rtol=1e-9, atol=1e-12)


def test_given_trees_of_one_leaf_then_nothing_contributes() -> None:
    random = np.random.default_rng(0)
    features = rows(random, 100)
    booster = model(random, features, min_data_in_leaf=100)
    shap = GroupShap.of(booster, np.arange(6), 6)
    assert not shap.contributions(features, 100).any()
    assert shap.expected == pytest.approx(booster.predict(features[:1], raw_score=True)[0])


def test_given_a_trained_ranker_then_its_groups_add_up_to_the_score() -> None:
    training = usual()[1]
    bundle = usual_bundle()
    found = bundle.contributions(training.features, len(training.features))
    assert found.shape == (len(training.features), len(GROUPS))
    # The skills and the pay are what the workers of this market go by.
    assert set(np.argsort(-np.abs(found).mean(axis=0))[:2]) == {GROUPS.index("skill"), GROUPS.index("pay")}
    left = bundle.score(training.features) - found.sum(axis=1)
    np.testing.assert_allclose(left, left[0], rtol=1e-9, atol=1e-12)


def test_given_a_model_that_no_table_holds_then_lightgbm_explains_it() -> None:
    random = np.random.default_rng(0)
    features = rows(random, 500)
    booster = model(random, features, num_leaves=40, min_data_in_leaf=2)
    with pytest.raises(ForestError):
        GroupShap.of(booster, np.zeros(6, np.int64), 1)
    names = ["affinity", "affinity_fast", "reward_z", "task_uptake", "requester_hours", "session_fit"]
    explain = contributor(Additive(booster), names)
    by_column = booster.predict(features, pred_contrib=True)
    expected = np.stack(
        [by_column[:, [i for i, name in enumerate(names) if group_of(name) == group]].sum(axis=1) for group in GROUPS],
        axis=1,
    )
    np.testing.assert_allclose(explain(features, 500), expected, rtol=1e-9, atol=1e-12)
    assert explain(features[:0], 0).shape == (0, len(GROUPS))
    above = explain(features, 7)
    np.testing.assert_allclose(above, expected[:7] - expected[7:].mean(axis=0), rtol=1e-9, atol=1e-12)


def test_given_more_groups_on_a_path_than_a_table_holds_then_they_are_refused() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(600, PLAYERS + 3)).astype(np.float32)
    # Each split peels off one row or so, by another column: the last leaf has met them all.
    target = np.select([features[:, column] > 2 for column in range(PLAYERS + 3)], range(100, 89, -1), 0.0)
    booster = lgb.train(
        {"num_leaves": 31, "min_data_in_leaf": 1, "verbosity": -1, "num_threads": 1}, lgb.Dataset(features, target), 1
    )
    with pytest.raises(ForestError, match="groups meet"):
        GroupShap.of(booster, np.arange(PLAYERS + 3), PLAYERS + 3)


def test_given_columns_then_their_groups_are_those_of_the_spec_and_others_are_the_analysts_own() -> None:
    assert groups_of(NAMES) == GROUPS
    assert groups_of(("reward", "my_idea")) == (*GROUPS, OWN)
    assert (group_of("reward_rank"), group_of("my_idea")) == ("pay", OWN)


def test_given_features_of_another_width_then_they_are_refused() -> None:
    random = np.random.default_rng(0)
    features = rows(random, 100)
    shap = GroupShap.of(model(random, features, trees=2), np.zeros(6, np.int64), 1)
    with pytest.raises(ValueError, match=r"\(100, 5\).*6 columns"):
        shap.contributions(features[:, :5], 100)
