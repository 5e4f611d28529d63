"""Attention from swaps: read off the log alone, near the truth where the truth is known, silent where swaps are few."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

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
    columns = (swaps.positions, swaps.workers, swaps.upper, swaps.lower)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_given_swapped_lists_then_each_tells_its_pair_and_what_was_opened_of_it() -> None:
    log = Log()
    swapped(log, "ann", "f1", "abcd", 1).on("task_viewed", "ann", "b", 0.1, feed_id="f1")
    swapped(log, "ben", "f2", "abcd", 3).on("task_saved", "ben", "c", 0.1, feed_id="f2")
    log.on("assignment_accepted", "ben", "d", 0.2, feed_id="f2").on("task_viewed", "ben", "a", 0.2, feed_id="f2")
    swapped(log, "ann", "f3", "dcba", 2, 1.0)
    assert found(log) == [(1, 0, False, True), (3, 1, True, True), (2, 0, False, False)]
    assert not read_swaps([log.entries]).taken.any()
    log.on("assignment_accepted", "ann", "c", 1.1, feed_id="f3").on("assignment_accepted", "ben", "c", 2.0)
    assert read_swaps([log.entries]).taken.tolist() == [False, False, True]


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
    untaken = np.zeros(len(positions), np.bool_)
    return Swaps(positions.astype(np.int64), np.arange(len(positions)) % workers, upper, untaken, lower)


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


def test_given_workers_who_take_the_upper_task_then_they_count_as_those_who_opened_it_and_went_on() -> None:
    # Of 400 who opened the upper task 100 took it; of the 300 others a third opened the lower one, as did 20 more.
    number = np.arange(1000)
    upper, taken = number < 400, number < 100
    lower = ((number >= 100) & (number < 200)) | ((number >= 400) & (number < 420))
    swaps = Swaps(np.ones(1000, np.int64), number, upper, taken, lower)
    assert attention(swaps)["ratio"].tolist() == pytest.approx([1, (120 + 100 / 3) / 400])
    # Where they do not leave, what they open below changes nothing.
    assert attention(replace(swaps, lower=lower | (number < 50)))["ratio"].tolist() == pytest.approx([1, 460 / 1200])


def test_given_takers_who_open_more_on_their_other_lists_then_they_would_have_opened_more_below() -> None:
    # Ten lists each. Twenty workers open two of them and take one, twenty open five and take four.
    number = np.arange(400)
    lists, eager = number % 10, number >= 200
    upper, taken = lists < np.where(eager, 5, 2), lists < np.where(eager, 4, 1)
    lower = ~taken & (lists < np.where(eager, 6, 4))
    table = attention(Swaps(np.ones(400, np.int64), number // 10, upper, taken, lower))
    odds = (1 * 1 + 4 * 4) / (1 * 1 + 1 * 4)
    assert table["ratio"].tolist() == pytest.approx([1, (100 + 40 * odds) / 140])


def test_given_too_few_that_were_opened_then_the_chain_ends_before_them() -> None:
    enough, few = LEAST_SEEN, LEAST_SEEN - 1
    table = attention(counted((1, 1000, 400, 200), (2, 1000, 400, few), (3, 1000, 400, 200)))
    assert table["position"].tolist() == [1, 2]
    assert len(attention(counted((1, 500, enough, enough)))) == 2
    with pytest.raises(CocokError, match=f"of 500 lists with a pair at the top {enough} had its upper task opened"):
        attention(counted((1, 500, enough, few), (2, 500, 400, 200)))
    only_taken = counted((1, 500, 200, 200))
    with pytest.raises(CocokError, match="it takes task_viewed events"):
        attention(replace(only_taken, taken=only_taken.upper))
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
        upper, lower = (random.random(len(workers)) < appeal * truth[positions + shift] for shift in (-1, 0))
        taken = upper & (random.random(len(workers)) < 0.3)
        table = attention(Swaps(positions, workers, upper, taken, lower & ~taken))
        low, high = table.loc[1:, "low"].to_numpy(), table.loc[1:, "high"].to_numpy()
        covered += (low <= truth[1:]) & (truth[1:] <= high)
    assert covered / repetitions == pytest.approx(np.full(3, 0.95), abs=0.04)


def test_given_workers_of_the_simulator_then_attention_is_within_15_per_cent_of_the_truth_to_position_5() -> None:
    law, random, count, lists = BehaviourConfig(), np.random.default_rng(1), 8, 20_000
    workers, positions = np.arange(lists) % 400, random.integers(1, 5, lists)
    scan_on = 1 / (1 + np.exp(-np.log(19) - 0.5 * random.standard_normal(400)))
    # Who opens much takes much, too, and so leaves early.
    eager = random.beta(2, 2, 400)
    found = np.zeros((3, lists), np.bool_)
    for number, (worker, position) in enumerate(zip(workers, positions, strict=True)):
        view = eager[worker] * random.random(count)
        pair = [position - 1, position]
        view[pair] = random.permutation(view[pair])
        outlook = Outlook(view, np.full(count, 0.5 * eager[worker]), *[np.ones(count)] * 4)
        steps = plan(law, np.arange(count), outlook, scan_on[worker], random).steps
        taken = next((step.place for step in steps if step.act == "take"), count)
        opened = {step.place for step in steps if step.act != "hide" and step.place <= taken}
        found[:, number] = position - 1 in opened, taken == position - 1, position in opened
    table = attention(Swaps(positions, workers, *found))
    truth = np.mean(scan_on[:, None] ** np.arange(5), axis=0) * glance(law, 5)
    assert truth[4] < 0.6
    assert table["attention"].to_numpy() == pytest.approx(truth, rel=0.15)
