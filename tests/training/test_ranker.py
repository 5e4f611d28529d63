"""The ranker learns an order, holds its constraints and repeats itself."""

from dataclasses import replace

import numpy as np
import pytest

from features.errors import CocokError
from matching.calibration import Additive
from training.dataset import TrainingSet, task_catalogue
from training.metrics import ndcg
from training.ranker import (
    LONGEST_LIST,
    RankerParameters,
    attention_weights,
    choose_trees,
    fewest_trees,
    fit,
    learnable_rows,
    safe_names,
    smooth,
    worth_growing,
)

QUICK = RankerParameters(min_data_in_leaf=10, min_trees=20, max_trees=60, num_threads=1, feature_fraction=0.8)
MONOTONE = (1, 0, -1, 0)


def market(lists: int = 400, size: int = 12, seed: int = 0, *, signal: float = 1.5) -> TrainingSet:
    """Lists in which column 0 attracts, column 2 repels, and the best row of each list is taken."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(lists * size, 4)).astype(np.float32)
    features[random.random(features.shape) < 0.05] = np.nan
    known = np.nan_to_num(features)
    utility = signal * (known[:, 0] - 0.7 * known[:, 2]) + random.gumbel(size=len(features))
    best = utility.reshape(lists, size).argmax(axis=1) + np.arange(lists) * size
    labels = np.zeros(len(features), dtype=np.int8)
    labels[best] = random.integers(1, 5, lists)
    return TrainingSet(
        features=features,
        names=("pay: hourly", "b", "distance", "b"),
        labels=labels,
        late=np.zeros_like(labels),
        verdicts=np.full(len(labels), -1, np.int8),
        minutes=np.full(len(labels), np.nan, np.float32),
        decided=np.zeros(len(labels), np.int64),
        timed=np.zeros(len(labels), np.int64),
        told=np.zeros(len(labels), np.int64),
        named=np.zeros(len(labels), np.bool_),
        offsets=np.arange(lists + 1) * size,
        workers=random.integers(0, 30, lists).astype(np.int32),
        times=np.arange(lists) * 1_000_000,
        tasks=np.zeros(len(features), dtype=np.int32),
        positions=np.tile(np.arange(1, size + 1), lists).astype(np.int32),
        propensities=np.full(len(labels), np.nan),
        worker_ids=np.array([f"w{number}" for number in range(30)], object),
        feed_ids=np.array([f"f{number}" for number in range(lists)], object),
        catalogue=task_catalogue(["t1"], [None], [None]),
        until=0,
    )


@pytest.fixture(scope="module")
def fitted() -> Additive:
    return fit(market(), QUICK, 40, MONOTONE)


def test_learns_an_order_that_holds_on_lists_never_seen(fitted: Additive) -> None:
    fresh = market(seed=9)
    learned = np.nanmean(ndcg(fitted.predict(fresh.features), fresh.labels, fresh.offsets))
    chance = np.nanmean(ndcg(np.zeros(len(fresh.labels)), fresh.labels, fresh.offsets))
    known = np.nan_to_num(fresh.features)
    truth = np.nanmean(ndcg(known[:, 0] - 0.7 * known[:, 2], fresh.labels, fresh.offsets))
    assert learned > chance + 0.6 * (truth - chance)


def test_the_score_never_moves_against_a_constraint(fitted: Additive) -> None:
    random = np.random.default_rng(3)
    base = random.normal(size=(200, 4)).astype(np.float32)
    base[random.random(base.shape) < 0.1] = np.nan
    steps = np.linspace(-4, 4, 81, dtype=np.float32)
    for column, direction in ((0, 1), (2, -1)):
        grid = np.repeat(base, len(steps), axis=0)
        grid[:, column] = np.tile(steps, len(base))
        scores = fitted.predict(grid).reshape(len(base), len(steps))
        assert (direction * np.diff(scores, axis=1) >= 0).all()
        assert np.ptp(scores, axis=1).min() > 0


def test_the_same_rows_give_the_same_trees_whatever_the_threads(fitted: Additive) -> None:
    def trees(model: Additive) -> str:
        return str(model.booster.model_to_string()).split("parameters:")[0]

    again = fit(market(), QUICK, 40, MONOTONE)
    assert again.booster.model_to_string() == fitted.booster.model_to_string()
    np.testing.assert_array_equal(again.base.packed(), fitted.base.packed())
    assert trees(fit(market(), replace(QUICK, num_threads=2), 40, MONOTONE)) == trees(fitted)
    assert trees(fit(market(), replace(QUICK, seed=5), 40, MONOTONE)) != trees(fitted)


def test_the_linear_part_counts_as_much_as_asked_beside_the_trees(fitted: Additive) -> None:
    rows = market()

    def spread(scores: np.ndarray) -> float:
        return float((scores.reshape(len(rows), -1) - scores.reshape(len(rows), -1).mean(axis=1, keepdims=True)).std())

    trees = Additive(fitted.booster).predict(rows.features)
    linear = fitted.base.predict(rows.features)
    assert spread(linear) / spread(trees) == pytest.approx(QUICK.linear)
    np.testing.assert_array_equal(fitted.predict(rows.features), linear + trees)
    alone = fit(rows, replace(QUICK, linear=0.0), 40, MONOTONE)
    np.testing.assert_array_equal(alone.predict(rows.features), trees)


def test_given_very_many_rows_then_the_linear_part_is_that_of_every_so_manieth_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = market()
    whole = fit(rows, QUICK, 5, MONOTONE)
    monkeypatch.setattr("training.ranker.LINEAR_ROWS", len(rows.labels) // 3)
    part = fit(rows, QUICK, 5, MONOTONE)
    monkeypatch.undo()
    third = fit(rows.select(np.arange(len(rows)) % 3 == 0), QUICK, 5, MONOTONE)
    assert part.booster.model_to_string() == whole.booster.model_to_string()
    # The trees of fewer lists differ, and with them what the linear part is scaled to.
    share = part.base.weights / third.base.weights
    np.testing.assert_allclose(share, share[0], rtol=1e-6)
    assert not np.allclose(part.base.weights, whole.base.weights, rtol=1e-3)


def with_newcomers(rows: TrainingSet, share: int = 2) -> TrainingSet:
    """Make one list in so many a newcomer's, to whom column 1 is all that counts."""
    new = np.arange(len(rows)) % share == 0
    of_new = np.repeat(new, np.diff(rows.offsets))
    features = np.column_stack([rows.features, np.where(of_new, 0.0, 1.5)]).astype(np.float32)
    labels = rows.labels.copy()
    labels[of_new] = 4 * (np.nan_to_num(features[of_new, 1]) > 1.2)
    return replace(rows, features=features, labels=labels, names=(*rows.names[:3], "d", "worker_accepts"))


def test_newcomers_have_a_linear_part_that_is_learned_from_their_lists_alone() -> None:
    rows, wide = with_newcomers(market()), (*MONOTONE, 0)
    model, same = fit(rows, QUICK, 20, wide), fit(rows, replace(QUICK, newcomers=0.0), 20, wide)
    assert same.newcomers is None
    assert model.newcomers is not None
    assert model.newcomers.column == 4
    np.testing.assert_array_equal(model.base.packed(), same.base.packed())
    own = model.newcomers.linear
    assert own.columns[np.abs(own.weights).argmax()] == 1
    assert np.abs(own.weights[own.columns == 0]) < 0.2 * np.abs(own.weights).max()
    new = np.repeat(np.arange(len(rows)) % 2 == 0, np.diff(rows.offsets))
    np.testing.assert_array_equal(model.predict(rows.features)[~new], same.predict(rows.features)[~new])


def test_the_linear_part_of_newcomers_counts_as_much_as_asked_and_is_as_high_where_nothing_is_known() -> None:
    rows = with_newcomers(market())
    model = fit(rows, QUICK, 20, (*MONOTONE, 0))

    def spread(scores: np.ndarray) -> float:
        return float((scores.reshape(-1, 12) - scores.reshape(-1, 12).mean(axis=1, keepdims=True)).std())

    assert model.newcomers is not None
    lists = rows.select(np.arange(len(rows)) % 2 == 0).features
    trees = Additive(model.booster).predict(rows.features)
    assert spread(model.newcomers.linear.predict(lists)) / spread(trees) == pytest.approx(QUICK.newcomers)
    unknown = np.full((1, 5), np.nan, np.float32)
    assert model.newcomers.linear.predict(unknown) == pytest.approx(model.base.predict(unknown))


def test_too_few_newcomers_are_ranked_as_all_others() -> None:
    assert fit(with_newcomers(market(), 100), QUICK, 3, (*MONOTONE, 0)).newcomers is None


def test_what_came_late_is_learned_as_if_it_had_come_at_once() -> None:
    rows = market(lists=100)
    late = replace(rows, labels=np.zeros_like(rows.labels), late=rows.labels)
    at_once, waited = fit(rows, QUICK, 5, MONOTONE), fit(late, QUICK, 5, MONOTONE)
    assert len(waited.base.columns)
    np.testing.assert_array_equal(waited.predict(rows.features), at_once.predict(rows.features))


def test_the_linear_part_uses_no_column_that_the_trees_may_not_split_on() -> None:
    model = fit(market(), QUICK, 3, MONOTONE, ranks=[False, True, True, True])
    assert 0 not in model.base.columns
    assert len(model.base.columns)


def test_too_few_acceptances_leave_the_trees_alone() -> None:
    rows = market(lists=50)
    model = fit(replace(rows, labels=np.minimum(rows.labels, 1)), QUICK, 3, MONOTONE)
    assert len(model.base.columns) == 0


def test_the_order_in_which_a_list_was_served_does_not_leak_through_ties() -> None:
    # The first row of every list is taken, and no feature says so.
    rows = market()
    labels = np.zeros_like(rows.labels)
    labels[rows.offsets[:-1]] = 4
    rows = replace(rows, labels=labels, features=np.zeros_like(rows.features))
    choice = choose_trees(rows, QUICK, (0, 0, 0, 0))
    chance = np.nanmean(ndcg(np.zeros(len(labels)), labels, rows.offsets))
    assert choice.curve[0] == pytest.approx(chance, abs=0.05)


def test_the_count_of_trees_is_the_smallest_near_the_best_of_the_averaged_and_smoothed_curves() -> None:
    choice = choose_trees(market(), QUICK, MONOTONE)
    assert choice.folds.shape == (QUICK.folds, len(choice.curve))
    np.testing.assert_allclose(choice.curve, smooth(choice.folds.mean(axis=0), 5))
    assert choice.trees == max(QUICK.min_trees, fewest_trees(choice.curve))


def test_of_counts_within_a_thousandth_of_the_best_the_smallest_is_taken() -> None:
    assert fewest_trees(np.array([0.1, 0.2, 0.2985, 0.2992, 0.2988, 0.3, 0.2])) == 4
    assert fewest_trees(np.array([0.3])) == 1


def test_pure_noise_still_gets_the_least_number_of_trees() -> None:
    choice = choose_trees(market(lists=100, signal=0.0), replace(QUICK, min_trees=15), MONOTONE)
    assert 15 <= choice.trees < QUICK.max_trees


def test_no_window_stops_before_the_least_number_of_trees() -> None:
    choice = choose_trees(market(lists=100, signal=0.0), replace(QUICK, min_trees=90, max_trees=95), MONOTONE)
    assert len(choice.curve) >= 90
    assert choice.trees >= 90


def test_given_a_long_plateau_then_growing_goes_on_until_there_are_twice_the_trees_of_the_best() -> None:
    assert [worth_growing(rounds, best=90) for rounds in (91, 150, 180, 181)] == [True, True, True, False]
    assert [worth_growing(rounds, best=4) for rounds in (5, 54, 55)] == [True, True, False]


def test_progress_runs_to_the_end_although_growing_stops_early() -> None:
    seen: list[tuple[int, int]] = []
    choose_trees(
        market(lists=100, signal=0.0), QUICK, MONOTONE, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[0] == (1, QUICK.max_trees)
    assert seen[-1] == (QUICK.max_trees, QUICK.max_trees)
    seen.clear()
    fit(market(lists=50), QUICK, 3, MONOTONE, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_lists_that_teach_no_order_are_left_out() -> None:
    rows = replace(
        market(lists=1, size=8),
        labels=np.array([0, 0, 4, 2, 2, 0, 1, 0], dtype=np.int8),
        verdicts=np.full(8, -1, np.int8),
        minutes=np.full(8, np.nan, np.float32),
        offsets=np.array([0, 2, 2, 3, 5, 8]),  # nothing taken; empty; a single row; all taken alike; one viewed
    )
    index, sizes = learnable_rows(rows, np.ones(5, dtype=bool))
    assert sorted(index) == [5, 6, 7]
    assert sizes.tolist() == [3]


def test_of_a_list_too_long_for_lightgbm_the_best_labels_stay() -> None:
    size = LONGEST_LIST + 500
    rows = market(lists=3, size=size)
    labels = np.zeros_like(rows.labels)
    labels[[0, size - 1, size + 7]] = 4
    rows = replace(rows, labels=labels, offsets=np.array([0, size, 2 * size, 2 * size + 5, 3 * size]))
    index, sizes = learnable_rows(rows, np.array([True, True, True, False]))
    assert sizes.tolist() == [LONGEST_LIST, LONGEST_LIST]
    assert {0, size - 1, size + 7} <= set(index)
    assert len(set(index)) == 2 * LONGEST_LIST
    assert (index[:LONGEST_LIST] < size).all()
    assert fit(rows, QUICK, 1, MONOTONE).booster.num_trees() == 1


def test_of_rows_that_nothing_came_of_a_fixed_sample_stays_and_of_the_others_all() -> None:
    rows = market(lists=200, size=12)
    rows = replace(rows, labels=np.where(rows.positions % 5 == 1, np.maximum(rows.labels, 1), rows.labels))
    everything = np.ones(200, dtype=bool)
    whole, _ = learnable_rows(rows, everything)
    index, sizes = learnable_rows(rows, everything, passed_over=4)
    owner = np.repeat(np.arange(200), sizes)
    np.testing.assert_array_equal(owner, index // 12)
    nothing = rows.labels[index] == 0
    assert np.bincount(owner[nothing], minlength=200).tolist() == [4] * 200
    assert set(index[~nothing]) == set(np.flatnonzero(rows.labels > 0))
    assert index.tolist() == [row for row in whole if row in set(index)]
    assert np.ptp(np.bincount(rows.positions[index[nothing]])[2:4]) < 40


def test_a_sample_teaches_nearly_the_same_order_and_is_not_judged_by(fitted: Additive) -> None:
    fresh = market(seed=9)
    fewer = fit(market(), replace(QUICK, passed_over=4), 40, MONOTONE)
    assert fewer.booster.model_to_string() != fitted.booster.model_to_string()
    whole, part = (
        np.nanmean(ndcg(model.predict(fresh.features), fresh.labels, fresh.offsets)) for model in (fitted, fewer)
    )
    assert part == pytest.approx(whole, abs=0.02)
    rows = replace(market(), features=np.zeros_like(fresh.features))
    chance = np.nanmean(ndcg(np.zeros(len(rows.labels)), rows.labels, rows.offsets))
    choice = choose_trees(rows, replace(QUICK, passed_over=1), (0, 0, 0, 0))
    assert choice.curve[0] == pytest.approx(chance, abs=0.05)


def test_trees_tell_no_more_values_of_a_column_apart_than_asked() -> None:
    booster = fit(market(), replace(QUICK, max_bin=4), 20, MONOTONE).booster
    splits = booster.trees_to_dataframe().dropna(subset=["split_feature"]).groupby("split_feature")["threshold"]
    assert 1 < splits.nunique().max() <= 4


def test_nothing_to_learn_is_an_error_that_says_what_to_do() -> None:
    rows = market(lists=50)
    silent = replace(rows, labels=np.zeros_like(rows.labels))
    empty = replace(rows.select(np.zeros(50, dtype=bool)), offsets=np.zeros(4, dtype=np.int64))
    with pytest.raises(CocokError, match="feed_served"):
        fit(silent, QUICK, 5, MONOTONE)
    with pytest.raises(CocokError, match="feed_served"):
        fit(empty, QUICK, 5, MONOTONE)
    with pytest.raises(CocokError, match="feed_served"):
        choose_trees(silent, QUICK, MONOTONE)


def test_names_become_acceptable_and_stay_distinct() -> None:
    assert safe_names(['a "b"', "plain"]) == ["a__b_", "plain"]
    assert safe_names(["a:b", "a,b", "1_a_b"]) == ["0_a_b", "1_a_b", "2_1_a_b"]


def test_directions_must_be_given_for_every_column() -> None:
    with pytest.raises(ValueError, match="3 monotone directions for 4 columns"):
        fit(market(lists=50), QUICK, 5, (0, 0, 0))


def listed_by_a_column_that_nobody_cares_for(
    lists: int = 1500, size: int = 10
) -> tuple[TrainingSet, tuple[float, ...]]:
    """Lists in order of column 1, where workers like column 0 and attention falls with position."""
    random = np.random.default_rng(2)
    features = random.normal(size=(lists, size, 4)).astype(np.float32)
    features = np.take_along_axis(features, np.argsort(-features[:, :, 1], axis=1)[:, :, None], axis=1)
    attention = np.arange(1, size + 1) ** -1.0
    liked = features[:, :, 0] > 0.8
    opened = liked & (random.random((lists, size)) < attention)
    plain = market(lists, size)
    shown = replace(plain, features=features.reshape(-1, 4), labels=2 * opened.reshape(-1).astype(np.int8))
    return shown, tuple(attention.tolist())


def test_given_attention_then_the_order_of_the_lists_learned_from_counts_for_less() -> None:
    rows, attention = listed_by_a_column_that_nobody_cares_for()
    fair = np.random.default_rng(3).normal(size=(2000, 4)).astype(np.float32)
    pull = []
    plain = replace(QUICK, linear=0.0)
    for parameters in (plain, replace(plain, attention=attention)):
        scores = fit(rows, parameters, 40, (0, 0, 0, 0)).predict(fair)
        pull.append(np.corrcoef(scores, fair[:, 1])[0, 1])
    assert pull[1] < pull[0] / 2


def test_given_attention_then_rows_that_something_came_of_weigh_its_inverse_within_bounds() -> None:
    labels, positions = np.array([0, 2, 1, 4, 1], np.int8), np.array([1, 1, 2, 3, 9], np.int32)
    assert attention_weights((1.0, 0.5, 0.001), labels, positions).tolist() == [1, 1, 2, 10, 10]
    assert attention_weights((), labels, positions) is None
