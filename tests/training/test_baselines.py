"""Each baseline orders as its name says."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from tests.market import rows_of
from training.baselines import BASELINES, baseline_scores
from training.dataset import TrainingSet

Record = dict[str, object]


def log(*events: tuple[str, Mapping[str, object]]) -> list[Record]:
    """Events an hour apart, on one day."""
    return [
        {"event_id": f"e{hour}", "type": kind, "at": f"2026-01-05T{hour:02}:00:00.000000Z", **fields}
        for hour, (kind, fields) in enumerate(events)
    ]


def posted(task: str, usd: float | None = 1, **fields: object) -> tuple[str, Record]:
    reward: Record = {} if usd is None else {"reward": {"amount": usd, "currency": "USD"}}
    return "task_posted", {"task_id": task, "requester_id": "r", **reward, **fields}


def served(worker: str, *tasks: str) -> tuple[str, Record]:
    items = [{"task_id": task, "position": place} for place, task in enumerate(tasks, 1)]
    return "feed_served", {"feed_id": "f", "worker_id": worker, "items": items}


def took(worker: str, task: str) -> tuple[str, Record]:
    return "assignment_accepted", {"worker_id": worker, "task_id": task}


def rest() -> list[tuple[str, Record]]:
    """What makes the list before it mature."""
    return [("task_closed", {"task_id": "end"})] * 7


def order(name: str, tasks: Sequence[str], *events: tuple[str, Mapping[str, object]], worker: str = "w") -> list[str]:
    """The order of a list that is served after events."""
    rows = rows_of(log(*events, served(worker, *tasks), *rest()))
    scores = BASELINES[name](rows)
    return [tasks[place] for place in np.argsort(-scores, kind="stable")]


def test_given_tasks_of_several_ages_then_newest_puts_the_last_posted_first() -> None:
    assert order("newest", "abc", posted("b"), posted("c"), posted("a")) == ["a", "c", "b"]


def test_given_several_rewards_then_highest_pay_orders_by_them_and_puts_an_unknown_one_last() -> None:
    events = [posted("a", 2), posted("b", None), posted("c", 0.5), posted("d", 30)]
    assert order("highest_pay", "abcd", *events) == ["d", "a", "c", "b"]


def test_given_rewards_in_several_currencies_then_highest_pay_compares_their_worth() -> None:
    rupiah = {"amount": 5_000, "currency": "IDR"}
    assert order("highest_pay", "ab", posted("a", None, reward=rupiah), posted("b", 2)) == ["b", "a"]


def test_given_declared_skills_then_skill_overlap_orders_by_the_share_that_is_covered() -> None:
    events = [
        ("worker_updated", {"worker_id": "w", "skills": ["x", "y"]}),
        posted("a", skills=["x", "u", "v"]),
        posted("b", skills=["x", "y"]),
        posted("c", skills=["u"]),
        posted("d", skills=["x", "u"]),
    ]
    assert order("skill_overlap", "abcd", *events) == ["b", "d", "a", "c"]


def test_given_what_others_took_then_popularity_puts_its_like_first() -> None:
    events = [
        posted("taken", skills=["x"]),
        posted("left", skills=["y"]),
        took("v", "taken"),
        took("u", "taken"),
        posted("a", skills=["y"]),
        posted("b", skills=["x"]),
    ]
    assert order("popularity", "ab", *events) == ["b", "a"]


def test_given_what_the_worker_took_then_past_rate_puts_its_like_first_though_others_like_something_else() -> None:
    events = [
        posted("mine", skills=["x"]),
        posted("theirs", skills=["y"]),
        took("w", "mine"),
        *[took(f"v{number}", "theirs") for number in range(4)],
        posted("a", skills=["y"]),
        posted("b", skills=["x"]),
    ]
    assert order("past_rate", "ab", *events) == ["b", "a"]
    assert order("popularity", "ab", *events) == ["a", "b"]


@pytest.fixture
def ladder() -> TrainingSet:
    """One list of eight tasks, each paying more than the one before."""
    names = [f"t{number}" for number in range(8)]
    return rows_of(
        log(*[posted(name, number + 1.0) for number, name in enumerate(names)], served("w", *names), *rest())
    )


def test_given_lists_then_random_follows_no_column_and_is_the_same_each_time(ladder: TrainingSet) -> None:
    scores = BASELINES["random"](ladder)
    np.testing.assert_array_equal(scores, BASELINES["random"](ladder))
    assert len(set(scores)) == 8
    pay = BASELINES["highest_pay"](ladder)
    assert list(np.argsort(scores)) != list(np.argsort(pay))
    assert list(np.argsort(scores)) != list(np.argsort(-pay))


def test_given_a_column_is_gone_then_its_baseline_is_left_out_and_the_others_stay(ladder: TrainingSet) -> None:
    assert set(baseline_scores(ladder)) == set(BASELINES)
    assert set(BASELINES) - set(baseline_scores(ladder.without("pay"))) == {"highest_pay"}
    assert set(BASELINES) - set(baseline_scores(ladder.without("market"))) == {"newest", "popularity"}
