"""Re-ranking: each step gives the same tasks in another order, for a reason that can be seen."""

from collections.abc import Sequence
from dataclasses import replace
from math import log1p

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.spec import COLUMN, NAMES
from features.state import MarketState
from matching.rerank import WINDOW, GroupSpread, PayWeight, Ranking, SlotBalance, Step
from tests.log import Entry, Log, folded, logs

STEPS: list[Step] = [
    PayWeight(0.5),
    PayWeight(3.0),
    SlotBalance(),
    SlotBalance(0.01, 3.0),
    GroupSpread(),
    GroupSpread(1, 3),
]


HOURLY = st.sampled_from([float("nan"), -14.0, 0.0, 0.25, 2.0])


def ranking(tasks: Sequence[int] | np.ndarray, scores: Sequence[float]) -> Ranking:
    """Tasks in the order given, which is that of falling scores; the row of each is where it stands."""
    return Ranking(np.array(tasks, np.int32), np.arange(len(tasks)), np.array(scores, np.float64), np.ones(len(tasks)))


def shown(counts: Sequence[float]) -> np.ndarray:
    """Rows of which only the lists that held the task lately are known."""
    rows = np.full((len(counts), len(NAMES)), np.nan, np.float32)
    rows[:, COLUMN["task_served_fast"]] = [log1p(count) for count in counts]
    return rows


def paying(hourly: Sequence[float]) -> np.ndarray:
    """Rows of which only the log of the expected pay per hour is known."""
    rows = np.full((len(hourly), len(NAMES)), np.nan, np.float32)
    rows[:, COLUMN["hourly"]] = hourly
    return rows


def posted(*slots: int | None, **fields: str) -> tuple[MarketState, list[int]]:
    """A market of tasks with so many slots, and their indices."""
    log = Log()
    for number, count in enumerate(slots):
        log.post(f"t{number}", slots=count, **fields)
    state = log.state()
    return state, [state.catalogue.tasks.get(f"t{number}") for number in range(len(slots))]


@given(log=logs(), data=st.data())
@settings(deadline=None, max_examples=60)
def test_given_any_market_and_scores_then_a_step_keeps_the_same_tasks_with_their_rows(
    log: list[Entry], data: st.DataObject
) -> None:
    state = folded(log)
    tasks = [state.catalogue.tasks.get(f"t{number}") for number in range(1, 7)]
    tasks = [task for task in tasks if task]
    scores = data.draw(st.lists(st.sampled_from([-3.0, 0.0, 0.5, 40.0]), min_size=len(tasks), max_size=len(tasks)))
    before = ranking(tasks, sorted(scores, reverse=True))
    row_of = dict(zip(before.tasks.tolist(), before.places.tolist(), strict=True))
    features = shown(data.draw(st.lists(st.floats(0, 1e4), min_size=len(tasks), max_size=len(tasks))))
    features[:, COLUMN["hourly"]] = data.draw(st.lists(HOURLY, min_size=len(tasks), max_size=len(tasks)))
    for step in STEPS:
        after = step(before, state, features)
        assert sorted(after.tasks.tolist()) == sorted(before.tasks.tolist())
        assert dict(zip(after.tasks.tolist(), after.places.tolist(), strict=True)) == row_of
        assert len(after.scores) == len(after.propensities) == len(tasks)
        assert (after.propensities == 1).all()


def test_given_pay_then_scores_rise_by_what_it_lies_above_the_mean_and_stay_where_it_is_not_known() -> None:
    state, tasks = posted(*[None] * 4)
    after = PayWeight(0.5)(ranking(tasks, [3.0, 2.0, 1.0, 0.0]), state, paying([0.0, np.nan, 1.0, 2.0]))
    rise = 0.5 * np.std([3.0, 2.0, 1.0, 0.0])
    assert after.tasks.tolist() == [tasks[0], tasks[1], tasks[2], tasks[3]]
    np.testing.assert_allclose(after.scores, [3.0 - rise, 2.0, 1.0, 0.0 + rise])
    stronger = PayWeight(2.0)(ranking(tasks, [3.0, 2.0, 1.0, 0.0]), state, paying([0.0, np.nan, 1.0, 2.0]))
    assert stronger.tasks.tolist() == [tasks[3], tasks[1], tasks[2], tasks[0]]
    assert list(stronger.scores) == sorted(stronger.scores, reverse=True)


@given(
    scores=st.lists(st.floats(-5, 5), min_size=2, max_size=8),
    data=st.data(),
    weight=st.sampled_from([0.25, 0.5, 2.0]),
    rise=st.floats(0, 9),
)
@settings(deadline=None, max_examples=200)
def test_given_a_task_that_pays_more_then_it_never_stands_lower(
    scores: list[float], data: st.DataObject, weight: float, rise: float
) -> None:
    state, tasks = posted(*[None] * len(scores))
    before = ranking(tasks, sorted(scores, reverse=True))
    hourly = data.draw(st.lists(HOURLY, min_size=len(tasks), max_size=len(tasks)))
    one = data.draw(st.sampled_from([place for place, pay in enumerate(hourly) if pay == pay] or [0]))
    raised = [pay + rise if place == one else pay for place, pay in enumerate(hourly)]
    scores_of_one = []
    places = []
    for pay in (hourly, raised):
        after = PayWeight(weight)(before, state, paying(pay))
        place = after.tasks.tolist().index(tasks[one])
        places.append(place)
        scores_of_one.append(after.scores[place] - after.scores)
    # Scores that differ by rounding alone may change places.
    assert places[1] <= places[0] or np.abs(np.delete(scores_of_one[1], places[1])).min() < 1e-9


def test_given_another_scale_of_scores_then_pay_weighs_the_same() -> None:
    state, tasks = posted(*[None] * 5)
    pay = paying([0.0, 0.1, 0.9, 2.0, np.nan])
    scores = np.array([2.0, 1.8, 1.0, 0.3, 0.0])
    orders = [
        PayWeight(2.0)(ranking(tasks, list(scores * scale)), state, pay).tasks.tolist() for scale in (0.01, 1, 100)
    ]
    assert orders[0] == orders[1] == orders[2] != tasks


def test_given_no_weight_or_no_pay_then_the_order_is_that_of_the_scores() -> None:
    state, tasks = posted(*[None] * 3)
    before = ranking(tasks, [1.0, 0.9, 0.8])
    for after in (
        PayWeight(0.0)(before, state, paying([0.0, 1.0, 9.0])),
        PayWeight(0.5)(before, state, shown([0] * 3)),
    ):
        assert after.tasks.tolist() == tasks
        np.testing.assert_array_equal(after.scores, before.scores)


def test_given_far_more_lists_than_slots_then_the_task_moves_down() -> None:
    state, tasks = posted(3, 3, 3)
    after = SlotBalance()(ranking(tasks, [1.0, 0.9, 0.0]), state, shown([1000, 10, 10]))
    assert after.tasks.tolist() == [tasks[1], tasks[0], tasks[2]]
    assert list(after.scores) == sorted(after.scores, reverse=True)


def test_given_more_of_a_crowd_then_the_task_falls_further() -> None:
    state, tasks = posted(1, *[None] * 9)
    scores = np.linspace(1, 0, 10)
    places = []
    for lists in (10, 100, 1_000, 100_000):
        after = SlotBalance()(ranking(tasks, list(scores)), state, shown([lists] + [0] * 9))
        places.append(after.tasks.tolist().index(tasks[0]))
    assert places == sorted(places)
    assert places[0] == 0 < places[1] < places[3]


def test_given_one_crowded_task_then_the_others_keep_their_order() -> None:
    state, tasks = posted(5, 1, 5, 5, 5)
    after = SlotBalance()(ranking(tasks, [5.0, 4.0, 3.0, 2.0, 1.0]), state, shown([3, 5_000, 1, 4, 2]))
    assert [task for task in after.tasks if task != tasks[1]] == [tasks[0], *tasks[2:]]
    assert after.tasks.tolist().index(tasks[1]) > 1


def test_given_slots_taken_then_only_those_left_bear_lists() -> None:
    log = Log().post("a", slots=20).post("b", slots=20).post("c")
    for number in range(19):
        log.take(f"w{number}", "a")
    state = log.state()
    a, b, c = tasks = [state.catalogue.tasks.get(name) for name in "abc"]
    after = SlotBalance()(ranking(tasks, [1.0, 0.9, 0.0]), state, shown([200, 200, 200]))
    assert after.tasks.tolist() == [b, a, c]


def test_given_room_for_all_or_unlimited_slots_then_nothing_moves() -> None:
    state, tasks = posted(10, None, 10, 10)
    before = ranking(tasks, [1.0, 0.9, 0.8, 0.7])
    after = SlotBalance()(before, state, shown([200, 100_000, 0, 199]))
    assert after.tasks.tolist() == tasks
    np.testing.assert_array_equal(after.scores, before.scores)


@given(
    groups=st.lists(st.sampled_from(["g1", "g2", "g3", None]), min_size=1, max_size=40),
    most=st.integers(1, 3),
    window=st.integers(3, 8),
)
@settings(deadline=None, max_examples=100)
def test_given_groups_then_a_window_holds_at_most_so_many_of_one_while_others_wait(
    groups: list[str | None], most: int, window: int
) -> None:
    log = Log()
    for number, group in enumerate(groups):
        requester = "r1" if number % 2 else "r2"
        log.post(f"t{number}", requester_id=requester, **({"group_id": group} if group else {}))
    state = log.state()
    tasks = [state.catalogue.tasks.get(f"t{number}") for number in range(len(groups))]
    family = {task: groups[n] or f"requester {n % 2}" for n, task in enumerate(tasks)}
    before = ranking(tasks, list(np.linspace(1, 0, len(tasks))))
    after = GroupSpread(most, window)(before, state, shown([0] * len(tasks))).tasks.tolist()
    assert sorted(after) == sorted(tasks)
    for name in set(family.values()):
        assert [task for task in after if family[task] == name] == [task for task in tasks if family[task] == name]
    for end, task in enumerate(after):
        recent = [family[other] for other in after[max(0, end - window + 1) : end]]
        if recent.count(family[task]) >= most:
            waiting = {family[other] for other in after[end:]}
            assert all(recent.count(name) >= most for name in waiting)


def test_given_no_crowded_group_then_the_order_stays() -> None:
    log = Log()
    for number in range(12):
        log.post(f"t{number}", group_id=f"g{number % 4}")
    state = log.state()
    tasks = [state.catalogue.tasks.get(f"t{number}") for number in range(12)]
    before = ranking(tasks, list(np.linspace(1, 0, 12)))
    assert GroupSpread(3, 10)(before, state, shown([0] * 12)).tasks.tolist() == tasks


def a_batch_ahead() -> MarketState:
    """Six tasks of a batch, and nine of as many requesters."""
    log = Log()
    for number in range(6):
        log.post(f"a{number}", group_id="a")
    for number in range(9):
        log.post(f"b{number}", requester_id=f"other{number}")
    return log.state()


def test_given_a_batch_ahead_then_the_fourth_of_it_waits_for_its_turn() -> None:
    state = a_batch_ahead()
    tasks = list(range(1, 16))
    assert [state.catalogue.tasks.external(task) for task in tasks[:7]] == [f"a{n}" for n in range(6)] + ["b0"]
    after = GroupSpread(3, 10)(ranking(tasks, list(np.linspace(1, 0, 15))), state, shown([0] * 15))
    names = [state.catalogue.tasks.external(task) for task in after.tasks.tolist()]
    assert names == ["a0", "a1", "a2", *(f"b{n}" for n in range(7)), "a3", "a4", "a5", "b7", "b8"]


@given(
    groups=st.lists(st.sampled_from(["g1", "g2", "g3", None]), min_size=1, max_size=30),
    limits=st.lists(st.integers(1, 7), min_size=30, max_size=30),
    most=st.integers(1, 3),
    window=st.integers(3, 10),
)
@settings(deadline=None, max_examples=100)
def test_given_pages_of_any_length_then_they_are_spread_as_one_list(
    groups: list[str | None], limits: list[int], most: int, window: int
) -> None:
    log = Log()
    for number, group in enumerate(groups):
        log.post(f"t{number}", requester_id=f"r{number % 2}", **({"group_id": group} if group else {}))
    state, step = log.state(), GroupSpread(most, window)
    tasks = [state.catalogue.tasks.get(f"t{number}") for number in range(len(groups))]
    whole = step(ranking(tasks, [0.0] * len(tasks)), state, shown([0] * len(tasks))).tasks.tolist()
    listed: list[int] = []
    for limit in limits:
        left = [task for task in tasks if task not in listed]
        before = replace(ranking(left, [0.0] * len(left)), before=np.array(listed[1 - WINDOW :], np.int32))
        after = step(before, state, shown([0] * len(left)))
        np.testing.assert_array_equal(after.before, before.before)
        listed += after.tasks.tolist()[:limit]
    assert listed == whole


def test_given_what_stood_before_has_closed_then_it_takes_its_position_and_is_of_no_group() -> None:
    state = a_batch_ahead()
    a, b = list(range(1, 7)), list(range(7, 16))
    rest = ranking([*a[3:], *b], list(np.linspace(1, 0, 12)))
    for before, first in (
        (a[:3], b[:7]),
        ([*a[:2], 0], [a[3], *b[:6], a[4]]),
        ([*a[:3], *[0] * 6], [b[0], *a[3:]]),
        ([0] * 9, a[3:]),
    ):
        after = GroupSpread(3, 10)(replace(rest, before=np.array(before, np.int32)), state, shown([0] * 12))
        assert after.tasks.tolist()[: len(first)] == first
