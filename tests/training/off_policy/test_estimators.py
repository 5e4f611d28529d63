"""Off-policy estimates against a truth that is known."""

import time
from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from features.errors import CocokError
from tests.training.handmade import handmade
from tests.training.off_policy.bandit import LENGTH, Bandit, bandit
from training.dataset import OF_ROWS, TrainingSet, task_catalogue
from training.off_policy import ESTIMATORS, AsServed, OffPolicy, Pages, Strict, Target, evaluate


@pytest.fixture(scope="module")
def logged() -> Bandit:
    return bandit()


@pytest.fixture(scope="module")
def targets(logged: Bandit) -> dict[str, Target]:
    columns = {name: logged.rows.column(name).astype(np.float64) for name in logged.rows.names}
    return {
        "liked": AsServed(columns["liked"]),
        "disliked": AsServed(-columns["liked"]),
        "noise": AsServed(columns["noise"]),
    }


@pytest.fixture(scope="module")
def judged(logged: Bandit, targets: dict[str, Target]) -> OffPolicy:
    return evaluate(logged.rows, targets)


def shortened(rows: TrainingSet) -> TrainingSet:
    """The same lists, of which every third ends after two items."""
    sizes = np.diff(rows.offsets)
    places = np.arange(len(rows.labels)) - np.repeat(rows.offsets[:-1], sizes)
    kept = (np.repeat(np.arange(len(rows)), sizes) % 3 > 0) | (places < 2)
    return replace(
        rows,
        **{name: getattr(rows, name)[kept] for name in OF_ROWS},
        offsets=np.append(0, np.cumsum(np.where(np.arange(len(rows)) % 3 > 0, sizes, 2))),
    )


def by_policy(found: OffPolicy, estimator: str) -> pd.DataFrame:
    return found.estimates.query("estimator == @estimator").set_index("policy")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_intervals_hold_the_truth(
    estimator: str, logged: Bandit, targets: dict[str, Target], judged: OffPolicy
) -> None:
    pages = Pages.of(logged.rows)
    for name, row in by_policy(judged, estimator).iterrows():
        assert row["low"] < logged.value(targets[str(name)](pages)) < row["high"]


def test_policies_are_told_apart(judged: OffPolicy) -> None:
    found = by_policy(judged, "dr")
    assert found.loc["liked", "more_low"] > 0
    assert found.loc["disliked", "more_high"] < 0


def test_the_outcome_model_narrows_the_interval(judged: OffPolicy) -> None:
    width = judged.estimates.assign(width=judged.estimates["high"] - judged.estimates["low"])
    table = width.pivot(index="policy", columns="estimator", values="width").drop("served")
    assert (table["dr"] < 0.9 * table["ips"]).all()


def test_over_many_logs_the_model_corrected_estimate_is_right_on_average() -> None:
    off = []
    for seed in range(1, 4):
        log = bandit(500, seed)
        target = AsServed(log.rows.column("liked").astype(np.float64))
        found = evaluate(log.rows, {"liked": target})
        off.append(by_policy(found, "dr").loc["liked", "value"] - log.value(target(Pages.of(log.rows))))
    assert abs(np.mean(off)) < 0.03


def test_the_log_s_own_policy_is_worth_what_was_seen(logged: Bandit) -> None:
    # With next to nothing left but the page, its draw is the one of these utilities.
    rows = logged.rows
    by = np.column_stack([rows.column("by").reshape(-1, LENGTH), np.full(len(rows), -20.0)])
    left = np.logaddexp.accumulate(by[:, ::-1], axis=1)[:, :0:-1]
    whole = replace(rows, propensities=np.exp(rows.column("by") - left.ravel()).astype(np.float64))
    found = evaluate(whole, {"itself": lambda pages: pages.weights})
    own = by_policy(found, "ips").loc["itself"]
    assert own["more"] == pytest.approx(0, abs=1e-6)
    assert found.overlap.loc[0, "ips"] == pytest.approx(1, abs=1e-6)
    assert found.overlap.loc[0, "mass"] == pytest.approx(1, abs=1e-6)
    assert by_policy(found, "dr").loc["itself", "more"] == pytest.approx(0, abs=0.02)
    assert not found.warnings


def test_pages_apart_are_worth_what_they_are_worth_side_by_side(
    logged: Bandit, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = shortened(logged.rows)
    target = AsServed(rows.column("liked").astype(np.float64))
    found = []
    for padding in (8, 1):
        monkeypatch.setattr("training.off_policy.pages._PADDING", padding)
        assert len(Pages.blocks(rows)) == (1 if padding == 8 else 2)
        found.append(evaluate(rows, {"liked": target}))
    whole, apart = found
    for estimator in ("ips", "snips"):
        for column in ("value", "low", "high", "more"):
            assert by_policy(apart, estimator).loc["liked", column] == pytest.approx(
                by_policy(whole, estimator).loc["liked", column], rel=1e-9
            )
    # Orders are drawn for it.
    assert by_policy(apart, "dr").loc["liked", "value"] == pytest.approx(
        by_policy(whole, "dr").loc["liked", "value"], abs=0.005
    )
    assert apart.overlap.loc[0, "mass"] == pytest.approx(whole.overlap.loc[0, "mass"], rel=1e-9)


@pytest.mark.parametrize("taken", [True, False])
def test_one_list_of_ten_thousand_items_costs_what_its_rows_do(logged: Bandit, taken: bool) -> None:
    rows, size = logged.rows, 10_000
    index = np.concatenate([np.arange(len(rows.labels)), np.resize(np.arange(LENGTH), size)])
    long = replace(
        rows,
        **{name: getattr(rows, name)[index] for name in OF_ROWS},
        **{name: np.append(getattr(rows, name), getattr(rows, name)[-1]) for name in ("workers", "times", "feed_ids")},
        offsets=np.append(rows.offsets, len(index)),
    )
    long.tasks[-size:] = np.arange(size) + rows.tasks.max() + 1
    tasks = int(long.tasks.max()) + 1
    long = replace(
        long, catalogue=task_catalogue([f"t{task}" for task in range(tasks)], [None] * tasks, [None] * tasks)
    )
    long.labels[-size:] = 0
    long.labels[-size + 2] = 2 * taken
    long.propensities[-size:] = 1 / np.arange(size + 9, 9, -1)
    begun = time.process_time()
    found, before = (
        by_policy(evaluate(one, {"liked": AsServed(one.column("liked").astype(np.float64))}), "dr")
        for one in (long, rows)
    )
    assert time.process_time() - begun < 60
    assert np.isfinite(found.loc["liked", ["value", "low", "high"]].to_numpy(np.float64)).all()
    if taken:
        assert found.loc["liked", "value"] == pytest.approx(before.loc["liked", "value"], abs=0.03)


def test_positions_far_down_cost_nothing(logged: Bandit) -> None:
    positions = logged.rows.positions.copy()
    positions[-LENGTH:] += 2**31 - 20
    found = evaluate(replace(logged.rows, positions=positions), {})
    assert found.lists == len(logged.rows)


def test_thin_overlap_is_said_in_words(logged: Bandit) -> None:
    against = Strict(-logged.rows.column("by").astype(np.float64))
    found = evaluate(logged.rows, {"against": against})
    assert found.overlap.loc[0, "ips"] < 0.1
    assert any("thin overlap: ips and snips of 'against'" in warning for warning in found.warnings)


def test_a_ranker_that_takes_the_best_has_its_order_alone() -> None:
    rows = replace(handmade([[0, 0, 0]]), propensities=np.array([0.5, 0.5, 0.5]))
    utilities = Strict(np.array([1.0, 3.0, 2.0]))(Pages.of(rows))
    assert np.argsort(-utilities[0]).tolist() == [1, 2, 0]
    assert (-np.diff(np.sort(-utilities[0]))).max() < -500


def test_equal_scores_stand_in_the_same_order_whatever_the_logged_one_was() -> None:
    """Three tasks of equal weight, listed in each order: one of the six is that of the target."""
    orders = list(permutations(range(3)))
    rows = replace(
        handmade([[0, 0, 0]] * len(orders)),
        tasks=np.ravel(orders).astype(np.int32),
        catalogue=task_catalogue(["t1", "t2", "t3"], [None] * 3, [None] * 3),
        propensities=np.tile([1 / 4, 1 / 3, 1 / 2], len(orders)),
    )
    pages = Pages.of(rows)
    ranks = np.argsort(-Strict(np.zeros(len(rows.labels)))(pages), axis=1)
    chosen = {tuple(np.array(order)[rank]) for order, rank in zip(orders, ranks, strict=True)}
    assert len(chosen) == 1
    fewer = rows.select(np.arange(len(rows)) >= 4)
    np.testing.assert_array_equal(np.argsort(-Strict(np.zeros(6))(Pages.of(fewer)), axis=1), ranks[4:])


def test_the_order_of_equal_scores_hangs_on_nothing_but_the_tasks() -> None:
    """Tasks that are listed once: an order by first appearance would be that of the log."""
    lists = 400
    rows = replace(handmade([[0, 0]] * lists), propensities=np.tile([1 / 3, 1 / 2], lists))
    as_logged = Strict(np.zeros(2 * lists))(Pages.of(rows))[:, 0] == 0
    assert 0.4 < as_logged.mean() < 0.6


def test_a_ranker_that_explores_is_as_sharp_as_the_log_was_and_its_unknown_scores_are_low() -> None:
    rows = replace(handmade([[0, 0, 0, 0]]), propensities=np.array([0.5, 0.4, 0.2, 0.3]))
    pages = Pages.of(rows)
    utilities = AsServed(np.array([1.0, np.nan, 2.0, 1.0]))(pages)[0]
    assert np.std(utilities) == pytest.approx(np.std(pages.weights[0]))
    assert utilities[1] == utilities[0] == utilities[3] < utilities[2]


def test_too_little_exploration_is_refused() -> None:
    rows = handmade([[2, 0], [0, 2], [2, 0]])
    with pytest.raises(CocokError, match="0 of 0 explored lists led to something"):
        evaluate(rows, {})
