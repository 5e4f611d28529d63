"""The monotone promise: more reward never lowers a score or the expected pay, more time never raises the pay."""

import copy
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pytest

from features.build import rows
from features.state import MarketState
from matching.cascade import shortlist
from matching.priors import Priors
from matching.scoring import BundleRanker, Expectation, expectations
from tests.log import folded
from tests.market import entries, usual, usual_bundle

WORKERS = ("w0", "w1", "w2", "w3", "w4", "w5", "nobody")
TASKS = 6


@cache
def as_it_is() -> MarketState:
    return folded(entries(usual()[0]))


def tasks_in_question() -> list[str]:
    """Open tasks that were posted with a reward and minutes."""
    state = as_it_is()
    whole = {
        event["task_id"]
        for event in usual()[0]
        if event["type"] == "task_posted" and event.get("reward") and event.get("estimated_minutes")
    }
    named = [state.catalogue.tasks.external(task) for task in state.open_tasks.tolist()]
    return [name for name in sorted(named) if name in whole][:: max(1, len(named) // TASKS)][:TASKS]


def paying(task_id: str, factor: str) -> MarketState:
    """Return the market where this task paid so many times as much, from the event on by which it was posted."""
    events: list[Any] = copy.deepcopy(usual()[0])
    for event in events:
        if event.get("task_id") == task_id and event.get("reward"):
            amount = Decimal(str(event["reward"]["amount"])) * Decimal(factor)
            event["reward"] = {**event["reward"], "amount": str(amount)}
    return folded(entries(events))


def taking(task_id: str, factor: str) -> MarketState:
    """Return the market where this task is said to take so many times as long, from now on.

    Had it been so before, workers who did it would have been faster than was said, and all else not be equal.
    """
    events = usual()[0]
    posted = next(event for event in events if event["type"] == "task_posted" and event["task_id"] == task_id)
    last = max(event["at"] for event in events)
    stated = {"estimated_minutes": posted["estimated_minutes"] * float(factor), "task_id": task_id}
    return folded(entries([*events, {"event_id": "longer", "type": "task_updated", "at": last, **stated}]))


def answers(state: MarketState, task_id: str) -> list[tuple[float, Expectation]]:
    """Return the score and the figures of a task for every worker."""
    task = state.catalogue.tasks.get(task_id)
    now = int(state.arrays.market["clock"][0])
    ranker, found = BundleRanker(usual_bundle(), "1"), []
    for worker_id in WORKERS:
        features = rows(state, state.catalogue.workers.get(worker_id), np.array([task], np.int32), now)
        answer = ranker.answers(features)
        (figures,) = expectations(answer.outcomes(), [state.catalogue.postings.reward(task)])
        found.append((float(answer.scores[0]), figures))
    return found


def pay(figures: Expectation) -> list[Decimal]:
    amounts = (figures.expected_hourly_low, figures.expected_hourly, figures.expected_hourly_high)
    assert None not in amounts
    return [amount.amount for amount in amounts if amount is not None]


@pytest.mark.parametrize("factor", ["1.01", "2", "10"])
def test_given_a_task_posted_with_more_reward_then_neither_its_score_nor_its_pay_is_lower(factor: str) -> None:
    compared = 0
    for task_id in tasks_in_question():
        more = answers(paying(task_id, factor), task_id)
        for (score, figures), (higher, raised) in zip(answers(as_it_is(), task_id), more, strict=True):
            assert higher >= score
            assert all(after >= before for before, after in zip(pay(figures), pay(raised), strict=True))
            assert (raised.p_approve, raised.expected_minutes) == (figures.p_approve, figures.expected_minutes)
            compared += 1
    assert compared == TASKS * len(WORKERS)


@pytest.mark.parametrize("factor", ["1.01", "2", "10"])
def test_given_a_task_said_to_take_longer_then_its_pay_is_not_higher(factor: str) -> None:
    for task_id in tasks_in_question():
        said, longer = (answers(taking(task_id, times), task_id) for times in ("1", factor))
        for (_, figures), (_, slower) in zip(said, longer, strict=True):
            assert slower.expected_minutes is not None
            assert figures.expected_minutes is not None
            assert slower.expected_minutes >= figures.expected_minutes
            assert all(after <= before for before, after in zip(pay(figures), pay(slower), strict=True))


@pytest.mark.parametrize("factor", ["1.01", "2", "10"])
def test_given_a_task_on_the_shortlist_then_more_reward_does_not_cost_it_its_place(factor: str) -> None:
    def listed(state: MarketState, worker_id: str) -> set[str]:
        worker, now = state.catalogue.workers.get(worker_id), int(state.arrays.market["clock"][0])
        places = np.arange(len(state.open_tasks), dtype=np.int32)
        chosen, _ = shortlist(state, BundleRanker(usual_bundle(), "1"), Priors(), worker, places, now, len(places) // 2)
        kept = state.arrays.open_tasks[chosen]
        return {state.catalogue.tasks.external(task) for task in kept.tolist()}

    for task_id in tasks_in_question():
        raised = paying(task_id, factor)
        for worker_id in WORKERS:
            assert task_id in listed(raised, worker_id) or task_id not in listed(as_it_is(), worker_id)


def test_given_every_interval_then_it_holds_its_own_middle() -> None:
    for task_id in tasks_in_question():
        for _, figures in answers(as_it_is(), task_id):
            low, middle, high = pay(figures)
            assert low <= middle <= high
            assert figures.minutes_low is not None
            assert figures.expected_minutes is not None
            assert figures.minutes_high is not None
            assert figures.minutes_low < figures.expected_minutes < figures.minutes_high
