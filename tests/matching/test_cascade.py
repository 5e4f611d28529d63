"""The first stage: what the ranker would say, roughly, where far more is eligible than it scores."""

import copy
import pickle
from collections.abc import Callable
from functools import cache
from typing import TypeVar
from unittest.mock import patch

import numpy as np
import pytest

from features.build import compared, rows
from features.layout import CHANGES
from features.newcomer import as_newcomer
from features.spec import NAMES, RELATIVE
from features.state import MarketState
from matching import priors as priors_module
from matching.bundle import Bundle
from matching.cascade import shortlist
from matching.first_stage import FirstStage, fit_first_stage
from matching.pipeline import Matcher
from matching.priors import SWEEP, Known, Priors
from matching.query import Query
from matching.scoring import Answers, BundleRanker, best_first
from tests.log import folded
from tests.market import entries, market, usual, usual_bundle, weighed

SIZE = 40
Answer = TypeVar("Answer")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return usual_bundle()


@cache
def late() -> MarketState:
    """The market where a day is hundreds of tasks that nobody has seen yet."""
    events = usual()[0]
    last = max(event["at"] for event in events)
    fresh = [
        {**event, "event_id": f"new {event['event_id']}", "task_id": f"new {event['task_id']}", "at": last}
        for event in market(7)
        if event["type"] == "task_posted"
    ]
    for event in fresh:
        event.pop("expires_at")
    return folded(entries([*events, *fresh]))


def open_now(state: MarketState) -> tuple[np.ndarray, int]:
    market = state.arrays.market[0]
    return state.arrays.open_tasks[: market["n_open"]].copy(), int(market["clock"])


class Indifferent:
    """A ranker to whom all tasks are worth the same, so that the first stage decides."""

    version = "indifferent"

    def __init__(self, first_stage: FirstStage) -> None:
        self.first_stage = first_stage

    def answers(self, features: np.ndarray) -> Answers:
        return Answers(np.zeros(len(features)), features, lambda rows: None)  # type: ignore[arg-type, return-value]


def stage(**weights: float) -> FirstStage:
    return FirstStage(np.array([weights.get(name, 0.0) for name in RELATIVE]), np.zeros(len(RELATIVE)))


def learned(features: np.ndarray, scores: np.ndarray, names: tuple[str, ...] = RELATIVE, size: int = 10) -> FirstStage:
    return fit_first_stage(features, scores, np.arange(0, len(features) + 1, size), names)


def test_given_a_learned_stage_then_its_shortlist_keeps_nearly_all_of_what_the_ranker_puts_first(
    bundle: Bundle,
) -> None:
    state, ranker, priors = late(), BundleRanker(bundle, "1"), Priors()
    tasks, now = open_now(state)
    assert len(tasks) > 5 * SIZE
    kept = []
    for number in range(20):
        worker = state.catalogue.workers.get(f"w{number}")
        order = state.arrays.tasks["facts"]["order"][tasks]
        top = best_first(bundle.score(rows(state, worker, tasks, now)), order)[:10]
        chosen, _ = shortlist(state, ranker, priors, worker, np.arange(len(tasks), dtype=np.int32), now, SIZE)
        assert len(chosen) == len(set(chosen.tolist())) == SIZE
        kept.append(np.isin(top, chosen).mean())
    assert np.mean(kept) > 0.9


def test_given_no_more_tasks_than_wanted_then_all_are_kept_in_order() -> None:
    state, ranker = late(), Indifferent(stage(reward=1))
    places, now = np.arange(SIZE, dtype=np.int32), open_now(state)[1]
    for size in (SIZE, SIZE + 1, 10_000):
        assert shortlist(state, ranker, Priors(), 1, places, now, size)[0].tolist() == list(range(SIZE))
    assert shortlist(state, ranker, Priors(), 1, places[:0], now, SIZE)[0].tolist() == []


@pytest.mark.parametrize("column", ["reward", "skill_overlap", "affinity"])
def test_given_more_then_the_best_by_the_stage_are_kept_in_order_of_place(column: str) -> None:
    state = late()
    tasks, now = open_now(state)
    ranker, share = Indifferent(stage(**{column: 1})), []
    for worker in range(1, 20):
        values = np.nan_to_num(compared(state, worker, tasks, now)[:, RELATIVE.index(column)])
        chosen, _ = shortlist(state, ranker, Priors(), worker, np.arange(len(tasks), dtype=np.int32), now, SIZE)
        assert chosen.tolist() == sorted(chosen.tolist())
        # A glance keeps twice as many as are wanted, so a sketch may be wrong by as much.
        share.append((np.sort(values[chosen])[-SIZE // 2 :] >= np.sort(values)[-SIZE:].min() - 1e-9).mean())
    assert np.mean(share) > 0.9


def test_given_some_of_the_tasks_then_the_best_of_these_are_kept() -> None:
    state = late()
    tasks, now = open_now(state)
    ranker, random = Indifferent(stage(reward=1)), np.random.default_rng(0)
    for count in (3 * SIZE + 1, 4 * SIZE, 5 * SIZE):
        places = np.sort(random.permutation(len(tasks))[:count]).astype(np.int32)
        values = compared(state, 1, tasks[places], now)[:, RELATIVE.index("reward")]
        chosen = np.searchsorted(places, shortlist(state, ranker, Priors(), 1, places, now, SIZE)[0])
        # Nothing but the reward counts, of which a glance knows as much as the column.
        assert values[chosen].min() >= np.sort(values)[-SIZE]


def prior_of(state: MarketState, known: Known) -> dict[int, tuple[float, ...]]:
    size = int(state.arrays.market["n_open"][0])
    columns = zip(known.newcomer[:size].tolist(), known.regular[:size].tolist(), strict=True)
    return dict(zip(state.arrays.open_tasks[:size].tolist(), columns, strict=True))


@pytest.mark.parametrize("changes", [0, CHANGES - 40], ids=["first", "wrapped"])
def test_given_a_market_that_went_on_then_tasks_that_changed_are_known_as_they_are_and_others_as_they_were(
    bundle: Bundle, changes: int
) -> None:
    log, ranker, priors = entries(usual()[0]), BundleRanker(bundle, "1"), Priors()
    state = folded(log[:600])
    state.arrays.market["n_changes"] = changes
    now = int(state.clock or 0)
    before = prior_of(state, priors.of(state, ranker, now))
    for start in range(600, 900, 37):
        seq = state.seq
        state.apply(log[start : start + 37])
        kept, fresh = (prior_of(state, each.of(state, ranker, now)) for each in (priors, Priors()))
        assert kept.keys() == fresh.keys()
        changed = state.arrays.open_tasks[: len(kept)][state.arrays.open_changed[: len(kept)] > seq].tolist()
        assert changed
        for task, prior in kept.items():
            assert prior == (fresh[task] if task in changed else before[task])
        before = kept


def test_given_events_come_while_a_ranker_is_prepared_then_lists_rest_on_the_market_as_it_is(bundle: Bundle) -> None:
    log, ranker, priors = entries(usual()[0]), BundleRanker(bundle, "1"), Priors()
    state = folded(log[:600])
    now, parts = int(state.clock or 0), iter(range(600, 618, 3))

    def read(part: Callable[[MarketState], Answer], /) -> Answer:
        answer = part(state)
        if (start := next(parts, None)) is not None:
            state.apply(log[start : start + 3])
        return answer

    with patch.object(priors_module, "_PREPARED_AT_ONCE", 4):
        priors.prepare(read, ranker, now)
    assert next(parts, None) is None
    size = len(state.open_tasks)
    changed = state.arrays.open_tasks[:size][state.arrays.open_changed[:size] > 600].tolist()
    with patch.object(priors_module, "_write", wraps=priors_module._write) as write:
        kept = prior_of(state, priors.of(state, ranker, now))
    assert sum(len(call.args[2]) for call in write.call_args_list) < len(kept)
    fresh = prior_of(state, Priors().of(state, ranker, now))
    assert kept.keys() == fresh.keys()
    assert {task: kept[task] for task in changed} == {task: fresh[task] for task in changed}


def test_given_more_changes_than_are_told_one_by_one_then_all_of_a_market_is_known_as_it_is(bundle: Bundle) -> None:
    log, ranker, priors = entries(usual()[0]), BundleRanker(bundle, "1"), Priors()
    state = folded(log[:600])
    now = int(state.clock or 0)
    priors.of(state, ranker, now)
    state.apply(log[600:700])
    state.arrays.market["n_changes"] += CHANGES
    kept, fresh = (prior_of(state, each.of(state, ranker, now)) for each in (priors, Priors()))
    assert kept == fresh


def test_given_a_sweep_later_then_all_of_a_market_is_known_as_it_is(bundle: Bundle) -> None:
    log, ranker, priors = entries(usual()[0]), BundleRanker(bundle, "1"), Priors()
    state = folded(log[:600])
    begun = int(state.clock or 0)
    priors.of(state, ranker, begun)
    state.apply(log[600:700])
    for part in range(1, 9):
        # The events of one instant: from list to list, nothing but the turn moves on.
        known = priors.of(state, ranker, begun + part * SWEEP // 8)
    fresh = Priors().of(state, ranker, begun + SWEEP)
    size = int(state.arrays.market["n_open"][0])
    np.testing.assert_allclose(known.prospects["numbers"][:size], fresh.prospects["numbers"][:size])
    np.testing.assert_array_equal(known.prospects["sketch"][:size], fresh.prospects["sketch"][:size])
    np.testing.assert_allclose(known.newcomer[:size], fresh.newcomer[:size], atol=0.1)


def test_given_a_matcher_for_another_process_then_it_begins_with_nothing_and_ranks_the_same(bundle: Bundle) -> None:
    state, ranker, here = late(), BundleRanker(bundle, "1"), Matcher(shortlist=SIZE)
    query = Query("w1", int(state.clock or 0), explain=False)
    lists = [[item.task_id for item in each.feed(state, ranker, query).items] for each in (here, copy.deepcopy(here))]
    assert pickle.loads(pickle.dumps(here)) == here
    assert lists[0] == lists[1] != []


def test_given_rows_of_a_worker_then_those_of_a_newcomer_follow_from_them() -> None:
    state = late()
    tasks, now = open_now(state)
    expected = rows(state, 0, tasks, now)
    for worker in range(1, 10):
        found = as_newcomer(rows(state, worker, tasks, now), NAMES)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        own = [place for place, name in enumerate(NAMES) if not name.endswith(("_z", "_rank", "reward_pull_worker"))]
        np.testing.assert_allclose(found[:, own], expected[:, own], atol=1e-3)


def test_given_columns_then_the_best_are_those_that_a_plain_sort_puts_first_and_equal_ones_stand_as_given() -> None:
    random, reward = np.random.default_rng(2), RELATIVE.index("reward")
    for count, size in ((900, 300), (50, 49), (50, 1), (7, 3)):
        columns = random.normal(size=(count + 5, len(RELATIVE) + 2)).round(1)
        columns[random.random(count + 5) < 0.1, reward] = np.nan
        places = np.sort(random.permutation(2 * count)[:count]).astype(np.int32)
        priors = random.normal(size=2 * count).round(1).astype(np.float32)
        priors[places[: count // 5]] = np.nan
        found, kept = stage(reward=1.0).best(columns, places, priors, size)
        scores = np.nan_to_num(columns[:count, reward]) + priors[places]
        order = sorted(range(count), key=lambda place: (np.isnan(scores[place]), -scores[place], place))
        best = sorted(order[:size])
        assert found.tolist() == places[best].tolist()
        np.testing.assert_array_equal(kept, columns[[*best, *range(count, count + 5)]])


def test_given_scores_that_are_a_sum_of_columns_then_its_weights_are_found() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(400, len(RELATIVE))).astype(np.float32)
    truth = random.normal(size=len(RELATIVE))
    for name in ("reward", "hourly"):
        truth[RELATIVE.index(name)] = abs(truth[RELATIVE.index(name)])
    per_list = np.repeat(random.normal(0, 50, 40), 10)
    found = learned(features, features @ truth + per_list)
    np.testing.assert_allclose(found.weights, truth, atol=0.01)


def test_given_missing_values_then_they_count_as_the_mean_of_what_is_known() -> None:
    random = np.random.default_rng(1)
    features = random.normal(3.0, 1.0, size=(400, len(RELATIVE))).astype(np.float32)
    features[random.random(features.shape) < 0.3] = np.nan
    found = learned(features, np.nan_to_num(features, nan=3.0).sum(axis=1).astype(np.float64))
    np.testing.assert_allclose(found.fill, np.nanmean(features.astype(np.float64), axis=0))
    nothing = np.full((1, len(RELATIVE)), np.nan)
    one = nothing.copy()
    one[0, 2] = 5.0
    usual_score, other = weighed(found, nothing)[0], weighed(found, one)[0]
    assert usual_score == pytest.approx(found.fill @ found.weights)
    assert other - usual_score == pytest.approx((5.0 - found.fill[2]) * found.weights[2])
    assert found.weights[2] > 0.5


def test_given_a_column_that_is_never_known_then_it_has_no_say() -> None:
    random = np.random.default_rng(2)
    features = random.normal(size=(200, len(RELATIVE))).astype(np.float32)
    features[:, 3] = np.nan
    found = learned(features, features[:, 0].astype(np.float64))
    assert np.isfinite(found.weights).all()
    assert found.fill[3] == 0
    assert found.weights[3] == pytest.approx(0, abs=1e-9)
    assert found.weights[0] == pytest.approx(1, abs=0.01)


def test_given_columns_left_out_of_the_training_then_they_have_no_weight() -> None:
    rows_ = usual()[1].without("pay")
    scores = np.random.default_rng(3).normal(size=len(rows_.labels))
    found = fit_first_stage(rows_.features, scores, rows_.offsets, rows_.names)
    for place, name in enumerate(RELATIVE):
        assert (found.weights[place] == 0) == (name not in rows_.names)


def test_given_none_of_the_compared_columns_then_all_weights_are_zero_and_any_tasks_do() -> None:
    features = np.random.default_rng(4).normal(size=(50, 2)).astype(np.float32)
    found = learned(features, features[:, 0].astype(np.float64), ("mine", "also mine"))
    assert not found.weights.any()
    assert weighed(found, np.full((3, len(RELATIVE)), np.nan)).tolist() == [0, 0, 0]


def test_given_lists_of_which_some_are_empty_then_the_others_teach() -> None:
    random = np.random.default_rng(5)
    features = random.normal(size=(200, len(RELATIVE))).astype(np.float32)
    offsets = np.array([0, 0, 100, 100, 200, 200])
    found = fit_first_stage(features, features[:, 1].astype(np.float64), offsets, RELATIVE)
    assert found.weights[1] == pytest.approx(1, abs=0.01)


def test_pay_that_the_ranker_dislikes_weighs_nothing_and_the_other_columns_are_fitted_without_it() -> None:
    features = np.random.default_rng(0).normal(size=(400, len(RELATIVE))).astype(np.float32)
    reward, affinity = RELATIVE.index("reward"), RELATIVE.index("affinity")
    found = learned(features, features[:, affinity].astype(np.float64) - features[:, reward])
    assert found.weights[reward] == 0
    assert found.weights[affinity] == pytest.approx(1, abs=0.2)
    assert learned(features, features[:, reward].astype(np.float64)).weights[reward] == pytest.approx(1, abs=0.05)
