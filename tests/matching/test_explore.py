"""Drawn orders: who is new has what was promised, what it costs is bounded, and the log tells the true chances."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.spec import COLUMN, NAMES
from features.state import MarketState
from matching.eligibility import Wishes
from matching.explore import Explore, Swap
from matching.fallback import FallbackRanker
from matching.pipeline import Matcher, feed_steps
from matching.query import Query
from matching.rerank import Ranking, SlotBalance, Step
from matching.scoring import Answers
from tests.log import Log, hour, usd

NOBODY = np.empty(0, np.int32)
ONE = np.ones(1)
NOW = hour(2)


def ranking(scores: Sequence[float]) -> Ranking:
    """Tasks 1, 2, 3, ... in the order given; the row of each is where it stands."""
    count = len(scores)
    return Ranking(np.arange(1, count + 1, dtype=np.int32), np.arange(count), np.array(scores, float), np.ones(count))


def lots(tasks: Sequence[int], seed: int) -> np.ndarray:
    """The promised tasks in a drawn order."""
    return np.random.default_rng([seed, 99]).permutation(np.array(tasks, np.int32))


def market(served: dict[str, int], accepted: int = 3, count: int = 60) -> MarketState:
    """A market of tasks t0, t1, ..., each better paid than the one before, served so often; all others 50 times."""
    log = Log()
    for number in range(count):
        log.post(f"t{number}", requester_id=f"r{number}", reward=usd(1 + number), estimated_minutes=10)
    for number in range(accepted):
        log.post(f"done{number}").take("w", f"done{number}").add("task_closed", task_id=f"done{number}")
    for times in range(50):
        log.serve("other", [f"t{number}" for number in range(count) if served.get(f"t{number}", 50) > times])
    return log.state()


@given(
    scores=st.lists(st.sampled_from([-3.0, 0.0, 0.5, 40.0]), max_size=9),
    depth=st.integers(1, 6),
    floor=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 50),
    data=st.data(),
)
@settings(deadline=None)
def test_given_any_list_then_the_same_tasks_stand_in_it_with_the_chances_of_a_draw(
    scores: list[float], depth: int, floor: float, seed: int, data: st.DataObject
) -> None:
    before = ranking(sorted(scores, reverse=True))
    promised = data.draw(st.lists(st.sampled_from(before.tasks.tolist()), unique=True)) if scores else []
    after = Explore(depth, floor=floor)(before, lots(promised, seed), seed)
    assert sorted(after.tasks.tolist()) == before.tasks.tolist()
    assert (after.places == after.tasks - 1).all()
    assert (after.scores == before.scores[after.places]).all()
    assert ((after.propensities > 0) & (after.propensities <= 1)).all()
    assert (after.propensities[depth:] == 1).all()
    rest = after.tasks[depth:].tolist()
    assert rest == sorted(rest)


def test_given_a_seed_then_the_drawn_order_is_the_same_and_others_differ() -> None:
    before = ranking(np.linspace(1, 0, 15))
    drawn = [Explore()(before, lots([14, 15], 0), seed).tasks.tolist() for seed in (5, 5, 6, 7, 8)]
    assert drawn[0] == drawn[1]
    assert len(set(map(tuple, drawn))) > 2


def test_given_nothing_promised_then_propensities_are_those_of_plackett_and_luce() -> None:
    # Standard deviation 1; at temperature ln 2's inverse a score of one more is twice as likely.
    scores = np.array([1.0, 0.0, -1.0]) * np.sqrt(1.5)
    explore = Explore(depth=3, temperature=float(np.sqrt(1.5) / np.log(2)))
    odds = [4.0, 2.0, 1.0]
    seen = set()
    for seed in range(60):
        after = explore(ranking(scores), NOBODY, seed)
        first, second, third = (odds[place] for place in after.places)
        seen.add((first, second, third))
        np.testing.assert_allclose(after.propensities, [first / 7, second / (second + third), 1.0])
    assert len(seen) == 6


def test_given_a_floor_then_positions_are_given_away_as_often_and_to_each_promised_task_alike() -> None:
    # The first two compete by score; the fourth and fifth are promised a part.
    explore = Explore(depth=2, floor=0.3)
    draws, found = 6000, Counter[tuple[int, int]]()
    for seed in range(draws):
        after = explore(ranking([1.0, 0.0, -1.0, -1.0, -1.0]), lots([4, 5], seed), seed)
        given_away = after.tasks >= 4
        assert (after.propensities[given_away] == 1).all()
        found.update((task, place) for place, task in enumerate(after.tasks[:2].tolist()) if task >= 4)
    for task in (4, 5):
        assert found[task, 0] / draws == pytest.approx(0.15, abs=0.02)
        assert found[task, 1] / draws == pytest.approx(0.15, abs=0.02)


def test_given_promised_tasks_among_the_best_and_below_then_each_has_its_part_of_the_floor() -> None:
    # By score the second has next to no chance; half of the floor is its, and half that of the third.
    explore = Explore(depth=2, temperature=1e-3, floor=0.4)
    draws, first = 6000, Counter[int]()
    for seed in range(draws):
        after = explore(ranking([1.0, 0.0, -1.0]), lots([2, 3], seed), seed)
        first[int(after.tasks[0])] += 1
        assert after.propensities[0] == pytest.approx({1: 0.75, 2: 0.25, 3: 1.0}[int(after.tasks[0])])
    for task, chance in ((1, 0.6), (2, 0.2), (3, 0.2)):
        assert first[task] / draws == pytest.approx(chance, abs=0.02)


def test_given_what_was_scored_for_its_lot_alone_then_it_comes_by_a_position_given_away_or_not_at_all() -> None:
    # The model would put task 4 first. Tasks 5 and 6 turned out to pay too little: they are nowhere.
    shortlisted, lot = ranking([1.0, 0.0, -1.0]), Ranking(np.array([4], np.int32), np.array([3]), np.array([9.0]), ONE)
    explore = Explore(depth=2, temperature=0.5, floor=0.8)
    draws, first = 4000, Counter[int]()
    for seed in range(draws):
        after = explore(shortlisted, lots([3, 4, 5, 6], seed), seed, lot)
        first[int(after.tasks[0])] += 1
        assert sorted(after.tasks.tolist()) == [1, 2, 3, 4]
        assert after.propensities[after.tasks >= 3].tolist() == [1, 1]
    chances = np.exp(np.array([1.0, 0.0]) / (0.5 * shortlisted.scores.std()))
    chances /= chances.sum()
    # What is given to tasks 5 and 6, a half of the floor, is drawn after all.
    for task, chance in zip((1, 2, 3, 4), (*(chances * 0.6), 0.2, 0.2), strict=True):
        assert first[task] / draws == pytest.approx(chance, abs=0.03)


def test_given_a_whole_floor_then_what_is_not_promised_comes_last() -> None:
    before = ranking([1.0, 0.0, -1.0])
    drawn = [Explore(depth=3, floor=1.0)(before, lots([2, 3], seed), seed).tasks.tolist() for seed in range(40)]
    assert {tuple(order) for order in drawn} == {(2, 3, 1), (3, 2, 1)}


def test_given_nobody_promised_then_the_best_stay_the_best_and_the_cost_is_within_its_bound() -> None:
    scores = np.linspace(1, 0, 40)
    explore = Explore(depth=8, temperature=0.5)
    drawn = [explore(ranking(scores), NOBODY, seed) for seed in range(300)]
    assert all(sorted(after.tasks[:8]) == list(range(1, 9)) for after in drawn)
    lost = [scores[0] - after.scores[0] for after in drawn]
    assert 0 < np.mean(lost) <= 0.5 * scores.std() * np.log(8)


def test_given_a_step_that_moved_a_task_out_of_the_first_then_no_draw_brings_it_back() -> None:
    log = Log()
    for number in range(10):
        log.post(f"t{number}", slots=1 if number == 0 else None)
    features = np.full((10, len(NAMES)), np.nan, np.float32)
    features[:, COLUMN["task_served_fast"]] = [np.log1p(1e6), *[0.0] * 9]
    before = ranking(np.linspace(1, 0, 10))
    lowered = SlotBalance(strength=5.0)(before, log.state(), features)
    explore = Explore(depth=5, temperature=2.0)
    assert any(1 in explore(before, NOBODY, seed).tasks[:5] for seed in range(20))
    assert not any(1 in explore(lowered, NOBODY, seed).tasks[:5] for seed in range(200))
    # Also one that was moved for its group alone, its score untouched.
    moved = before.reordered(np.array([*range(1, 10), 0]))
    assert not any(1 in explore(moved, NOBODY, seed).tasks[:5] for seed in range(200))


def test_given_one_task_far_above_all_then_what_follows_it_still_has_true_propensities() -> None:
    count = 200
    after = Explore(depth=count, temperature=1e-3)(ranking([1e3] + [0.0] * (count - 1)), NOBODY, 0)
    assert after.tasks[0] == 1
    np.testing.assert_allclose(after.propensities[:3], [1, 1 / (count - 1), 1 / (count - 2)], rtol=1e-6)


def test_given_equal_scores_then_each_of_the_first_is_as_likely() -> None:
    after = Explore(depth=3)(ranking([2.0] * 4), NOBODY, 0)
    np.testing.assert_allclose(after.propensities, [1 / 3, 1 / 2, 1, 1])


def test_given_new_tasks_that_nobody_would_score_then_each_has_its_part_of_every_first_position() -> None:
    # The worst paid of all are new; the first stage would keep ten others.
    state = market({"t0": 0, "t1": 19, "t2": 20})
    matcher = Matcher(steps=(), shortlist=10, explore=Explore(depth=4, floor=0.6))
    query = Query("w", NOW, limit=4, explain=False)
    plain = [item.task_id for item in matcher.feed(state, FallbackRanker(), query).items]
    draws = 400
    places = Counter[tuple[str, int]]()
    for seed in range(draws):
        items = matcher.feed(state, FallbackRanker(), replace(query, explore=seed)).items
        for item in items:
            places[item.task_id, item.position] += 1
    for name in ("t0", "t1"):
        assert name not in plain
        assert places[name, 1] / draws == pytest.approx(0.3, abs=0.07)
        # At the second position it does so where it does not stand at the first.
        assert places[name, 2] / (draws - places[name, 1]) >= 0.3 - 0.07
    assert not any(places["t2", position] for position in range(1, 5))


def test_given_a_new_worker_then_every_eligible_task_has_its_part() -> None:
    matcher = Matcher(steps=(), shortlist=10, explore=Explore(depth=5, floor=0.5))
    for accepted, reached in ((2, True), (3, False)):
        state = market({}, accepted)
        query = Query("w", NOW, limit=5, explain=False)
        feeds = [matcher.feed(state, FallbackRanker(), replace(query, explore=seed)).items for seed in range(120)]
        seen = {item.task_id for items in feeds for item in items}
        assert (len(seen) > 50) == reached
        if reached:
            assert all(item.propensity >= 0.5 / 60 * (1 - 1e-9) for items in feeds for item in items)


def test_given_a_least_pay_per_hour_then_only_what_pays_it_is_promised_anything() -> None:
    state = market({f"t{number}": 0 for number in range(60)})
    matcher = Matcher(steps=(), shortlist=60, explore=Explore(depth=5, floor=1.0))
    query = Query("w", NOW, limit=5, explain=False)
    paying = sum(
        (item.expected_hourly is not None and float(item.expected_hourly.amount) >= 200)
        for item in matcher.feed(state, FallbackRanker(), replace(query, limit=60)).items
    )
    assert 5 < paying < 60
    wishes = Wishes(min_hourly=200.0)
    for seed in range(20):
        items = matcher.feed(state, FallbackRanker(), replace(query, wishes=wishes, explore=seed)).items
        # All five best pay enough, and each is as likely as the other; the rest of the floor is for those below.
        assert items[0].propensity in (pytest.approx(1 / 5), 1.0)
        assert all(item.expected_hourly is not None and float(item.expected_hourly.amount) >= 200 for item in items)


class Enthusiast(FallbackRanker):
    """Puts short tasks second, once it looks at one for a worker; the first stage, which asks for nobody, does not."""

    second = 0.0

    def answers(self, features: NDArray[np.float32]) -> Answers:
        said = super().answers(features)
        short = (features[:, COLUMN["limit_minutes"]] < np.log(8.5)) & ~np.isnan(
            features[:, COLUMN["hourly_against_declared"]]
        )
        return replace(said, scores=np.where(short, self.second, said.scores))


def overlooked() -> tuple[MarketState, Enthusiast]:
    """A market of t0 to t59 with a new worker, and a ranker that likes t0 to t3, which its first stage leaves out."""
    log, ranker = Log(), Enthusiast()
    for number in range(60):
        terms = {"reward": usd(1 + number), "estimated_minutes": 10, "time_limit_minutes": 7 if number < 4 else 60}
        log.post(f"t{number}", requester_id=f"r{number}", **terms)
    state = log.add("worker_updated", worker_id="w", expected_hourly=usd(5)).state()
    everything = Matcher(steps=()).page(state, ranker, Query("w", NOW, limit=60, explain=False))
    ranker.second = float(everything.scores[:2].mean())
    return state, ranker


@pytest.mark.parametrize("steps", [(), feed_steps(0.5)])
@pytest.mark.parametrize("listed", [0, 3])
@pytest.mark.parametrize("min_hourly", [np.nan, 200.0])
def test_given_tasks_that_the_first_stage_drops_and_the_model_likes_then_promise_and_propensities_are_true(
    steps: Sequence[Step], listed: int, min_hourly: float
) -> None:
    state, ranker = overlooked()
    explore = Explore(depth=2, temperature=0.01, floor=0.9)
    matcher = Matcher(steps=steps, shortlist=12, explore=explore)
    query = Query("w", NOW, limit=max(listed, 2), explain=False)
    if listed:
        query = replace(query, limit=2, listed=matcher.feed(state, ranker, query).listed)
    pages = [
        matcher.page(state, ranker, replace(query, wishes=Wishes(min_hourly=min_hourly), explore=seed)).ranking
        for seed in range(1000)
    ]
    drawn = [page for page in pages if page.propensities[0] < 1]
    stated = {(int(page.tasks[0]), float(page.propensities[0])) for page in drawn}
    # Two are drawn from in each list, always with the same chances.
    assert len(stated) == 2
    assert sum(chance for _, chance in stated) == pytest.approx(1)
    for task, chance in stated:
        times = sum(page.tasks[0] == task for page in drawn)
        assert times / len(drawn) == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / len(drawn)))
    first = Counter(int(page.tasks[0]) for page in pages)
    low, high = ([state.catalogue.tasks.get(f"t{number}") for number in which] for which in (range(4), range(42, 48)))
    for promised in (low, high) if np.isnan(min_hourly) else (high,):
        chance = len(promised) * explore.floor / (60 - listed)
        assert sum(first[task] for task in promised) / 1000 >= chance - 3 * np.sqrt(chance / 1000)


def test_given_a_swap_then_one_pair_of_neighbours_is_at_stake_and_both_orders_come() -> None:
    before = ranking(np.linspace(1, 0, 8))
    pairs, turned = Counter[int](), 0
    for seed in range(1200):
        after = Swap(depth=4)(before, seed)
        (first, second) = np.flatnonzero(after.propensities == 0.5)
        assert second == first + 1
        assert (np.delete(after.propensities, [first, second]) == 1).all()
        pair = after.tasks[first : second + 1].tolist()
        assert sorted(pair) == [first + 1, second + 1]
        assert np.delete(after.tasks, [first, second]).tolist() == np.delete(before.tasks, [first, second]).tolist()
        pairs[int(first)] += 1
        turned += pair[0] > pair[1]
    assert sorted(pairs) == [0, 1, 2, 3]
    assert all(count / 1200 == pytest.approx(0.25, abs=0.05) for count in pairs.values())
    assert turned / 1200 == pytest.approx(0.5, abs=0.05)


def test_given_a_short_page_then_the_pair_is_on_it_and_a_single_task_stays_as_it_is() -> None:
    for seed in range(50):
        assert (Swap(depth=10)(ranking([1.0, 0.0]), seed).propensities == 0.5).all()
    for short in (ranking([1.0]), ranking([])):
        assert Swap()(short, 1) is short


def test_given_a_query_with_a_swap_then_the_page_is_that_of_the_best_first_but_for_a_pair() -> None:
    state = market({})
    query = Query("w", NOW, limit=6, explain=False)
    plain = [item.task_id for item in Matcher().feed(state, FallbackRanker(), query).items]
    swapped = set()
    for seed in range(40):
        items = Matcher().feed(state, FallbackRanker(), replace(query, swap=seed)).items
        names = [item.task_id for item in items]
        moved = [place for place, (one, other) in enumerate(zip(plain, names, strict=True)) if one != other]
        assert len(moved) in (0, 2)
        assert all(items[place].propensity == 0.5 for place in moved)
        assert all(later == place + 1 for place, later in pairwise(moved))
        swapped.add(tuple(moved))
    assert swapped == {(), (0, 1), (1, 2), (2, 3), (3, 4), (4, 5)}
