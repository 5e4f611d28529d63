"""What the order comes from, by its trees and by what it loses."""

import numpy as np
import pytest

from features.spec import GROUPS
from matching.calibration import Additive
from tests.training.handmade import handmade
from training.dataset import TrainingSet
from training.importance import contributions, gain, permutation
from training.ranker import RankerParameters, fit

LISTS, SIZE = 300, 6
NAMES = ("skill_overlap", "worker_accepts", "reward_z", "of_my_own", "unused")


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    """The taken task has the largest skill overlap for workers with a history, the lowest for those without."""
    random = np.random.default_rng(0)
    overlap, reward, own, unused = random.random((4, LISTS, SIZE))
    warm = np.repeat(random.integers(0, 2, LISTS), SIZE).reshape(LISTS, SIZE)
    best = np.where(warm > 0, overlap, -overlap) + 0.3 * own
    labels = np.where(best == best.max(axis=1, keepdims=True), 4, 0)
    columns = dict(zip(NAMES, (part.ravel() for part in (overlap, warm, reward, own, unused)), strict=True))
    return handmade(labels.tolist(), columns, workers=random.integers(0, 60, LISTS).tolist())


def score(features: np.ndarray) -> np.ndarray:
    """The rule by which tasks are taken."""
    overlap, warm, _, own, _ = features.T
    return np.where(warm > 0, overlap, -overlap) + 0.3 * own


def test_given_trees_then_shares_of_gain_add_up_and_come_with_their_groups(rows: TrainingSet) -> None:
    parameters = RankerParameters(min_data_in_leaf=10, feature_fraction=1.0, num_threads=1)
    # The ranker may not split on the last column.
    model = fit(rows, parameters, 20, [0] * 5, ranks=[True, True, True, True, False])
    table = gain(model.booster, NAMES)
    assert table["share"].sum() == pytest.approx(1)
    assert table["share"].is_monotonic_decreasing
    by_name = table.set_index("feature")
    assert by_name["group"].to_dict() == {
        "skill_overlap": "skill",
        "worker_accepts": "history",
        "reward_z": "pay",
        "of_my_own": "own",
        "unused": "own",
    }
    assert table["feature"][0] == "skill_overlap"
    assert by_name.loc["unused", ["share", "splits"]].tolist() == [0, 0]
    assert by_name.loc["skill_overlap", "splits"] > 0


def test_given_names_of_another_model_then_they_are_refused(rows: TrainingSet) -> None:
    model = fit(rows, RankerParameters(num_threads=1), 1, [0] * 5)
    with pytest.raises(ValueError, match="4 names for a model of 5 columns"):
        gain(model.booster, NAMES[:4])


def test_given_a_column_that_is_not_used_then_losing_it_costs_exactly_nothing(rows: TrainingSet) -> None:
    table = permutation(score, rows, by="feature").set_index("name")
    assert (table.loc[["unused", "reward_z"], ["value", "low", "high"]] == 0).all(axis=None)
    assert table.loc["skill_overlap", "low"] > table.loc["of_my_own", "high"]


def test_given_a_column_that_is_the_same_in_a_whole_list_then_its_loss_is_seen(rows: TrainingSet) -> None:
    history = permutation(score, rows).set_index("name").loc["history"]
    assert history["low"] > 0.1


def test_given_groups_then_their_columns_are_lost_together(rows: TrainingSet) -> None:
    def apart(features: np.ndarray) -> np.ndarray:
        # Wrong as soon as one of the two columns comes from elsewhere without the other.
        return np.where(features[:, 3] == features[:, 4], 1.0, -1.0) * features[:, 0]

    same = handmade(
        [[4, 0], [4, 0], [4, 0]],
        {
            "skill_overlap": [2, 1, 2, 1, 2, 1],
            "worker_accepts": [0] * 6,
            "reward_z": [0] * 6,
            "mine": [1, 2, 3, 4, 5, 6],
            "mine_too": [1, 2, 3, 4, 5, 6],
        },
    )
    assert permutation(apart, same).set_index("name").loc["own", "value"] == 0
    assert permutation(apart, same, by="feature").set_index("name").loc["mine", "value"] > 0


def test_given_two_lists_then_every_row_says_what_the_other_list_says() -> None:
    seen = []

    def remember(features: np.ndarray) -> np.ndarray:
        seen.append(features[:, 0].copy())
        return features[:, 0]

    permutation(remember, handmade([[4, 0, 0], [4, 0]], {"x": [0, 0, 0, 1, 1]}), draws=3)
    assert [drawn.tolist() for drawn in seen] == [[0, 0, 0, 1, 1], *[[1, 1, 1, 0, 0]] * 3]


def test_given_the_same_seed_then_the_table_is_the_same(rows: TrainingSet) -> None:
    assert permutation(score, rows, seed=3).equals(permutation(score, rows, seed=3))
    assert not permutation(score, rows, seed=3).equals(permutation(score, rows, seed=4))


def test_given_a_single_list_then_there_is_nothing_to_take_columns_from() -> None:
    with pytest.raises(ValueError, match="another list"):
        permutation(lambda features: features[:, 0], handmade([[4, 0]]))


def test_given_a_model_with_a_column_of_ones_own_then_each_row_is_told_what_its_groups_contribute(
    rows: TrainingSet,
) -> None:
    parameters = RankerParameters(min_data_in_leaf=10, feature_fraction=1.0, num_threads=1)
    model = fit(rows, parameters, 20, [0] * 5)
    table = contributions(model, NAMES, rows.features)
    assert list(table.columns) == [*GROUPS, "own"]
    left = model.predict(rows.features) - table.sum(axis=1)
    assert left.to_numpy() == pytest.approx(left[0])
    assert (table[["market", "requester", "context"]] == 0).all(axis=None)
    # Of the trees alone, since no linear part knows what depends on another column.
    table = contributions(Additive(model.booster), NAMES, rows.features)
    assert table.abs().mean().idxmax() == "skill"
    # A large overlap speaks for a task if the worker has a history, and against it if not.
    overlap, warm = rows.column("skill_overlap"), rows.column("worker_accepts")
    speaks_for = table["skill"][(overlap > 0.8) & (warm > 0)], table["skill"][(overlap > 0.8) & (warm == 0)]
    assert speaks_for[0].mean() > 0 > speaks_for[1].mean()
    with pytest.raises(ValueError, match="4 names"):
        contributions(model, NAMES[:4], rows.features)
