"""The rival of the benchmarks answers what Cocok would: the same tasks, columns, candidates and order."""

from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.market import DAY, END, HOUR, Size, events, trained
from benchmarks.rival.market import exported
from benchmarks.rival.ranking import Ranker
from benchmarks.rivals import rival_of
from features.build import compared, rows
from features.events import micros
from features.spec import FEATURES
from features.state import MarketState
from matching.bundle import Bundle
from matching.eligibility import judge_open
from matching.pipeline import Matcher
from matching.priors import Priors
from matching.query import Query
from matching.scoring import BundleRanker
from tests.log import RATES
from tests.market import weighed

SMALL = Size(
    open_tasks=900,
    workers=80,
    assignments=6.0,
    lists=60,
    signatures=40,
    batches=90,
    past_tasks=60,
    simulated=60,
    trees=20,
)
LEARNED = [place for place, feature in enumerate(FEATURES) if feature.ranks]
LATER = END + 3 * DAY + 5 * HOUR


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return trained(SMALL, RATES)


@pytest.fixture(scope="module")
def state() -> MarketState:
    market = MarketState(RATES)
    market.apply((seq, micros(event.at), event) for seq, event in enumerate(events(SMALL), 1))
    return market


@pytest.fixture(scope="module")
def workers(state: MarketState) -> list[int]:
    """Drawn ones, those of the simulated days, and one never seen."""
    return [*range(1, state.used()["workers"], 2), 0]


def rival(
    state: MarketState, bundle: Bundle, candidates: int, *, in_full: bool = False
) -> tuple[Ranker, NDArray[np.int32]]:
    """The rival, and the number that each of its tasks has in the state."""
    market = exported(state, bundle, END)
    tasks = np.array([state.catalogue.tasks.get(name) for name in market["task_ids"].tolist()], np.int32)
    return Ranker(market, bundle.ranker.booster, candidates, in_full=in_full), tasks


@pytest.mark.parametrize("now", [END, LATER])
def test_given_all_that_a_worker_may_take_then_columns_and_order_are_those_of_cocok(
    state: MarketState, bundle: Bundle, workers: list[int], now: int
) -> None:
    (ranker, numbers), other = rival(state, bundle, 10_000), BundleRanker(bundle, "1")
    known, values, apart = 0, 0, 0
    for worker in workers:
        found = ranker.rank(worker, now)
        tasks = numbers[found.tasks]
        assert sorted(tasks.tolist()) == sorted(judge_open(state, worker, now).kept.tolist())
        expected = rows(state, worker, tasks, now)
        same = np.isclose(found.rows, expected, rtol=2e-6, atol=2e-6, equal_nan=True)[:, LEARNED]
        known, values, apart = known + len(tasks), values + same.size, apart + np.count_nonzero(~same)
        scores = other.answers(expected).scores
        np.testing.assert_allclose(found.scores, scores, rtol=0, atol=1e-4)
        # Falling, but for what differs by rounding.
        assert np.all(np.diff(scores) < 1e-4)
    assert known > 2_000
    # What stands level with a reference task may stand below it by rounding, and a rank then is 1/512 less.
    assert apart <= 1e-5 * values


def test_given_more_than_are_scored_then_the_candidates_are_the_most_promising_ones(
    state: MarketState, bundle: Bundle, workers: list[int]
) -> None:
    other, size, chosen = BundleRanker(bundle, "1"), 10, 0
    ranker, numbers = rival(state, bundle, size)
    known = Priors().of(state, other, END)
    for worker in workers:
        places, found = judge_open(state, worker, END).kept_at, ranker.rank(worker, END)
        priors = known.regular if state.arrays.workers["accepted"][worker] > 0.0 else known.newcomer
        columns = compared(state, worker, state.arrays.open_tasks[places], END)[:, : bundle.first_stage.weights.size]
        promises = priors[places] + weighed(bundle.first_stage, columns)
        assert len(found.tasks) == min(size, len(places))
        if len(places) > size:
            worst = promises[np.isin(state.arrays.open_tasks[places], numbers[found.tasks])].min()
            assert np.count_nonzero(promises > worst + 1e-6) < size
            chosen += 1
    assert chosen > 10


def test_given_all_columns_of_all_tasks_then_the_same_candidates_are_scored_alike(
    state: MarketState, bundle: Bundle, workers: list[int]
) -> None:
    (some, _), (full, _) = (rival(state, bundle, 10, in_full=in_full) for in_full in (False, True))
    for worker in workers:
        expected, found = some.rank(worker, END), full.rank(worker, END)
        np.testing.assert_array_equal(found.tasks, expected.tasks)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-12)


def test_given_a_request_then_the_best_of_cocoks_candidates_come_back(
    state: MarketState, bundle: Bundle, tmp_path: Path
) -> None:
    answers = {}
    with rival_of(exported(state, bundle, END), bundle.ranker.booster, tmp_path) as server:
        for name in ("w1", "w2", "nobody"):
            told = httpx.post(f"{server.url}/v1/feeds", json={"worker_id": name, "limit": 7}, timeout=30)
            answers[name] = told.json()
    matcher, other = Matcher(steps=()), BundleRanker(bundle, "1")
    for name, answer in answers.items():
        feed = matcher.feed(state, other, Query(worker_id=name, now=END, limit=7, explain=False))
        assert [item["task_id"] for item in answer["items"]] == [item.task_id for item in feed.items]
        assert [item["position"] for item in answer["items"]] == [1, 2, 3, 4, 5, 6, 7]
