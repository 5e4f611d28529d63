"""Attention from swaps: read off the log alone, near the truth where the truth is known, silent where swaps are few."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit

from features.errors import CocokError
from tests.log import Log
from training.attention import LEAST_SEEN, Swaps, attention, read_swaps
from training.simulation import BehaviourConfig
from training.simulation.choice import Outlook
from training.simulation.reactions import glance, plan


def swapped(log: Log, worker: str, feed: str, tasks: str, upper: int, at: float = 0.0, **fields: Any) -> Log:
    """Append a list of one-letter tasks whose pair at stake begins at a position."""
    items = [
        {"task_id": task, "position": place, "propensity": 0.5 if place in (upper, upper + 1) else 1.0}
        for place, task in enumerate(tasks, 1)
    ]
    fields = {"policy": "swapped", **fields}
    return log.add("feed_served", at, worker_id=worker, feed_id=feed, items=items, **fields)


def found(log: Log) -> list[tuple[int, int, bool, bool]]:
    swaps = read_swaps([log.entries])
    columns = (swaps.positions, swaps.workers, *swaps.opened.T)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_given_swapped_lists_then_each_tells_its_pair_and_what_was_opened_of_it() -> None:
    log = Log()
    swapped(log, "ann", "f1", "abcd", 1).on("task_viewed", "ann", "b", 0.1, feed_id="f1")
    swapped(log, "ben", "f2", "abcd", 3).on("task_saved", "ben", "c", 0.1, feed_id="f2")
    log.on("assignment_accepted", "ben", "d", 0.2, feed_id="f2").on("task_viewed", "ben", "a", 0.2, feed_id="f2")
    swapped(log, "ann", "f3", "dcba", 2, 1.0)
    assert found(log) == [(1, 0, False, True), (3, 1, True, True), (2, 0, False, False)]
    assert read_swaps([log.entries]).taken.tolist() == [[False, False], [False, True], [False, False]]
    log.on("assignment_accepted", "ann", "c", 1.1, feed_id="f3").on("assignment_accepted", "ben", "c", 2.0)
    assert read_swaps([log.entries]).taken.tolist() == [[False, False], [False, True], [True, False]]


def test_given_views_without_a_list_then_they_belong_to_the_last_that_held_the_task_for_an_hour() -> None:
    log = swapped(Log(), "ann", "f1", "abc", 1)
    log.on("task_viewed", "ann", "a", 0.5).on("task_viewed", "ben", "b", 0.5)
    assert found(log) == [(1, 0, True, False)]
    swapped(log, "ann", "f2", "bac", 1, 0.6).on("task_viewed", "ann", "b", 0.7).on("task_viewed", "ann", "a", 2.0)
    assert found(log) == [(1, 0, True, False), (1, 0, True, False)]
    log.serve("ann", "ba", 3.0).on("task_viewed", "ann", "a", 3.1)
    assert found(log) == [(1, 0, True, False), (1, 0, True, False)]


def test_given_a_list_that_was_never_shown_then_it_takes_no_view_away() -> None:
    log = swapped(Log(), "ann", "f1", "abc", 1).serve("ann", "ab", 0.1, policy="sampled")
    assert found(log.on("task_viewed", "ann", "a", 0.2)) == [(1, 0, True, False)]


def test_given_a_view_from_before_the_list_that_is_told_after_it_then_it_is_not_from_the_list() -> None:
    log = swapped(Log(), "ann", "f1", "abc", 1, 200.0).on("task_viewed", "ann", "a", 80.0)
    assert found(log) == [(1, 0, False, False)]
    assert found(log.on("task_viewed", "ann", "a", 200.0)) == [(1, 0, True, False)]


def test_given_other_lists_or_a_worker_who_asked_to_be_forgotten_then_they_do_not_count() -> None:
    log = swapped(Log(), "ann", "f1", "abc", 1)
    swapped(log, "ben", "f2", "abc", 1, policy="explored")
    log.add("feed_served", worker_id="ben", feed_id="f3", items=[{"task_id": "a", "position": 1, "propensity": 1.0}])
    log.serve("ben", "abc", policy="swapped")
    swapped(log, "cleo", "f4", "abc", 2).on("task_viewed", "cleo", "b", feed_id="f4")
    log.on("task_viewed", "ben", "a", feed_id="f1")
    assert found(log) == [(1, 0, False, False), (2, 1, True, False)]
    log.add("worker_erased", worker_id="ann")
    assert found(log) == [(2, 0, True, False)]


def counted(*pairs: tuple[int, int, int, int], workers: int = 50) -> Swaps:
    """Pairs of a position: how many lists, and of how many the upper and the lower task was opened; none was taken."""
    positions = np.repeat([position for position, *_ in pairs], [lists for _, lists, *_ in pairs])
    upper, lower = (
        np.concatenate([np.arange(pair[1]) < pair[column] for pair in pairs]) if pairs else np.empty(0, np.bool_)
        for column in (2, 3)
    )
    opened = np.column_stack([upper, lower])
    return Swaps(positions.astype(np.int64), np.arange(len(positions)) % workers, opened, np.zeros_like(opened))


def test_given_counts_then_ratios_are_chained_from_the_first_position() -> None:
    table = attention(counted((1, 1000, 400, 200), (2, 1010, 300, 240), (3, 510, 100, 50)))
    assert table["position"].tolist() == [1, 2, 3, 4]
    assert table["lists"].tolist() == [0, 1000, 1010, 510]
    assert table["ratio"].tolist() == pytest.approx([1, 0.5, 0.8, 0.5])
    assert table["attention"].tolist() == pytest.approx([1, 0.5, 0.4, 0.2])
    assert table.loc[0, ["ratio_low", "ratio_high", "low", "high"]].tolist() == [1] * 4
    for low, value, high in (("ratio_low", "ratio", "ratio_high"), ("low", "attention", "high")):
        assert (table[low] <= table[value]).all()
        assert (table[value] <= table[high]).all()


def test_given_a_task_that_was_taken_then_what_was_left_above_one_that_was_taken_stands_for_what_is_hidden() -> None:
    # Of 400 who opened the upper task 100 took it. Of the 300 others 60 left the lower task, too, and 30 took it; 20
    # more left it, and 10 took it, without having opened the upper one.
    number = np.arange(1000)
    upper, lower = number < 400, ((number >= 100) & (number < 190)) | ((number >= 400) & (number < 430))
    taken = np.column_stack([number < 100, ((number >= 160) & (number < 190)) | ((number >= 420) & (number < 430))])
    swaps = Swaps(np.ones(1000, np.int64), number, np.column_stack([upper, lower]), taken)
    assert attention(swaps)["ratio"].tolist() == pytest.approx([1, (60 + 20 + 30) / 300])
    # Where takers do not leave, what they open below changes nothing.
    went_on = np.column_stack([upper, lower | (number < 50)])
    assert attention(replace(swaps, opened=went_on))["ratio"].tolist() == pytest.approx([1, 110 / 300])


@pytest.mark.parametrize("falls_to", [0.85, 0.15], ids=["lists all good", "lists good at the top"])
def test_given_a_cascade_then_attention_is_near_the_truth_however_good_the_lists_are_at_the_top(
    falls_to: float,
) -> None:
    """Workers go on with .9 and leave with a taking; what a list is worth moves opening and taking of all its tasks."""
    random, lists, places = np.random.default_rng(1), 400_000, np.arange(6)
    worth = random.normal(0, 1, (lists, 1))
    accept = expit(logit(np.linspace(0.85, falls_to, 6)) + worth + random.normal(0, 0.5, (lists, 6)))
    view = expit(logit(0.4) + worth + random.normal(0, 0.5, (lists, 6)))
    pair, turned = random.integers(0, 5, lists), random.random(lists) < 0.5
    order = np.tile(places, (lists, 1))
    stakes = np.arange(lists)[:, None], np.column_stack([pair, pair + 1])
    order[stakes] = np.column_stack([pair + turned, pair + 1 - turned])
    view, accept = (np.take_along_axis(chance, order, axis=1) for chance in (view, accept))
    looked = np.cumprod(random.random((lists, 6)) < np.where(places, 0.9, 1), axis=1) > 0
    opened = looked & (random.random((lists, 6)) < view)
    taken = opened & (random.random((lists, 6)) < accept)
    opened &= np.cumsum(taken, axis=1) - taken == 0
    table = attention(Swaps(pair + 1, np.arange(lists) % 2000, opened[stakes], (taken & opened)[stakes]))
    assert table["attention"].to_numpy() == pytest.approx(0.9**places, rel=0.1)
    assert ((table["low"] <= 0.9**places) & (0.9**places <= table["high"])).all()


def test_given_too_few_that_were_opened_then_the_chain_ends_before_them() -> None:
    enough, few = LEAST_SEEN, LEAST_SEEN - 1
    table = attention(counted((1, 1000, 400, 200), (2, 1000, 400, few), (3, 1000, 400, 200)))
    assert table["position"].tolist() == [1, 2]
    assert len(attention(counted((1, 500, enough, enough)))) == 2
    with pytest.raises(CocokError, match=f"of 500 lists with a pair at the top {enough} had its upper task opened"):
        attention(counted((1, 500, enough, few), (2, 500, 400, 200)))
    only_taken = counted((1, 500, 200, 200))
    with pytest.raises(CocokError, match="it takes task_viewed events"):
        attention(replace(only_taken, taken=only_taken.opened))
    with pytest.raises(CocokError, match="COCOK_SWAP_SHARE"):
        attention(counted())


def test_given_one_worker_alone_then_the_interval_knows_nothing() -> None:
    table = attention(counted((1, 1000, 400, 200), workers=1))
    assert table[["low", "high"]].iloc[1].tolist() == [0, np.inf]


def test_given_workers_who_differ_then_intervals_cover_the_truth_as_often_as_they_say() -> None:
    truth, repetitions, covered = np.array([1, 0.7, 0.5, 0.4]), 200, np.zeros(3)
    random = np.random.default_rng(1)
    for _ in range(repetitions):
        workers = np.repeat(np.arange(80), random.geometric(0.01, 80))
        appeal = random.beta(2, 6, 80)[workers]
        positions = random.integers(1, 4, len(workers))
        there = np.column_stack([positions - 1, positions])
        opened = random.random(there.shape) < appeal[:, None] * truth[there]
        taken = opened & (random.random(there.shape) < 0.3)
        opened[:, 1] &= ~taken[:, 0]
        table = attention(Swaps(positions, workers, opened, taken & opened))
        low, high = table.loc[1:, "low"].to_numpy(), table.loc[1:, "high"].to_numpy()
        covered += (low <= truth[1:]) & (truth[1:] <= high)
    assert covered / repetitions == pytest.approx(np.full(3, 0.95), abs=0.04)


def test_given_workers_of_the_simulator_then_attention_is_within_15_per_cent_of_the_truth_to_position_5() -> None:
    law, random, count, lists = BehaviourConfig(), np.random.default_rng(1), 8, 20_000
    workers, positions = np.arange(lists) % 400, random.integers(1, 5, lists)
    scan_on = 1 / (1 + np.exp(-np.log(19) - 0.5 * random.standard_normal(400)))
    # Who opens much takes much, too, and so leaves early.
    eager = random.beta(2, 2, 400)
    opened, accepted = np.zeros((2, lists, 2), np.bool_)
    for number, (worker, position) in enumerate(zip(workers, positions, strict=True)):
        view = eager[worker] * random.random(count)
        pair = [position - 1, position]
        view[pair] = random.permutation(view[pair])
        outlook = Outlook(view, np.full(count, 0.5 * eager[worker]), *[np.ones(count)] * 4)
        steps = plan(law, np.arange(count), outlook, scan_on[worker], random).steps
        taken = next((step.place for step in steps if step.act == "take"), count)
        seen = {step.place for step in steps if step.act != "hide" and step.place <= taken}
        opened[number] = [place in seen for place in pair]
        accepted[number] = [place == taken for place in pair]
    table = attention(Swaps(positions, workers, opened, accepted))
    truth = np.mean(scan_on[:, None] ** np.arange(5), axis=0) * glance(law, 5)
    assert truth[4] < 0.6
    assert table["attention"].to_numpy() == pytest.approx(truth, rel=0.15)
