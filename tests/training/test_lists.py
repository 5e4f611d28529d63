"""Lists and labels: which lists are learned from, what each item became, and how long that is waited for."""

import math

import pytest

from features.errors import CocokError
from features.estimates import DAY, HOUR, LEAST_MINUTES
from tests.log import Log, hour
from training.lists import (
    LONGEST_MATURITY,
    SHORTEST_MATURITY,
    History,
    ServedList,
    labels,
    mature,
    maturity_of,
    patience_of,
)
from training.lists import read_history as read

W = 24 * HOUR


def history(log: Log) -> History:
    return read([log.entries])


def label(log: Log, task_id: str = "t1", feed: int = 0, maturity: int = W) -> int:
    """The label of a task in the log's list of that place."""
    found = history(log)
    served = found.lists[feed]
    return int(labels(found, [served], maturity).labels[served.task_ids.index(task_id)])


def became(*stages: str) -> Log:
    """A list with two tasks at hour 10, and what the worker then did with the first, an hour apart."""
    log = Log().post("t1").post("t2").serve("w1", ["t1", "t2"], 10)
    for place, stage in enumerate(stages, 11):
        log.on(stage, "w1", "t1", place)
    return log


# Labels


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([], 0),
        (["task_hidden"], 0),
        (["task_viewed"], 1),
        (["task_saved"], 1),
        (["task_viewed", "task_hidden"], 1),
        (["assignment_accepted"], 2),
        (["task_viewed", "assignment_accepted"], 2),
        (["assignment_accepted", "task_viewed"], 2),
        (["assignment_accepted", "assignment_returned"], 2),
        (["assignment_accepted", "assignment_abandoned"], 2),
        (["assignment_accepted", "assignment_submitted"], 3),
        (["assignment_submitted"], 3),
        (["assignment_accepted", "assignment_submitted", "assignment_approved"], 4),
        (["assignment_approved"], 4),
        (["assignment_accepted", "assignment_submitted", "assignment_rejected"], 2),
        (["assignment_rejected"], 2),
        (["assignment_submitted", "assignment_rejected", "assignment_submitted"], 3),
        (["assignment_rejected", "assignment_submitted"], 3),
        (["assignment_submitted", "assignment_rejected", "assignment_approved"], 4),
        (["assignment_approved", "assignment_rejected"], 4),
    ],
)
def test_the_label_is_the_best_outcome_and_a_rejected_one_counts_as_accepted(stages: list[str], expected: int) -> None:
    assert label(became(*stages)) == expected
    assert label(became(*stages), "t2") == 0


@pytest.mark.parametrize(
    ("stages", "verdict"),
    [
        (["assignment_submitted", "assignment_rejected"], 0),
        (["assignment_rejected"], 0),
        (["assignment_submitted"], -1),
        (["assignment_accepted"], -1),
        (["assignment_rejected", "assignment_approved"], 1),
        (["assignment_submitted", "assignment_approved", "assignment_rejected"], 0),
        (["assignment_submitted", "assignment_approved", "assignment_submitted", "assignment_rejected"], 1),
    ],
)
def test_the_verdict_is_approved_rejected_or_none_so_far(stages: list[str], verdict: int) -> None:
    found = history(became(*stages))
    assert labels(found, found.lists[:1], W).verdicts.tolist() == [verdict, -1]


def test_work_that_is_told_after_its_verdict_is_not_pending() -> None:
    log = became("assignment_accepted").on("assignment_rejected", "w1", "t1", 12)
    assert label(log.on("assignment_submitted", "w1", "t1", 11.5)) == 2


def test_a_verdict_counts_after_the_window_of_the_label() -> None:
    late = W // HOUR + 200
    log = became("assignment_submitted").on("assignment_approved", "w1", "t1", late)
    found = labels(history(log), history(log).lists[:1], W)
    assert (found.labels[0], found.verdicts[0]) == (3, 1)


def test_the_minutes_are_those_of_the_work_that_was_handed_in() -> None:
    log = became("assignment_accepted").on("assignment_submitted", "w1", "t1", 12, work_seconds=90)
    found = history(log)
    assert labels(found, found.lists[:1], W).minutes.tolist() == [1.5, pytest.approx(math.nan, nan_ok=True)]


def test_work_of_next_to_no_time_counts_as_the_least() -> None:
    found = history(became().on("assignment_submitted", "w1", "t1", 12, work_seconds=1e-40))
    assert labels(found, found.lists[:1], W).minutes[0] == pytest.approx(LEAST_MINUTES)


@pytest.mark.parametrize(
    ("stages", "decided"),
    [
        (["assignment_submitted"], 0),
        (["assignment_submitted", "assignment_approved"], 12),
        (["assignment_submitted", "assignment_rejected", "assignment_approved"], 13),
        (["assignment_submitted", "assignment_approved", "assignment_rejected"], 13),
        (["assignment_submitted", "assignment_approved", "assignment_submitted", "assignment_rejected"], 12),
        (["assignment_submitted", "assignment_rejected", "assignment_submitted", "assignment_rejected"], 12),
    ],
)
def test_a_verdict_came_about_when_it_was_first_said(stages: list[str], decided: int) -> None:
    found = history(became(*stages))
    expected = [hour(decided) if decided else 0, 0]
    assert labels(found, found.lists[:1], W).decided.tolist() == expected


def test_minutes_came_about_when_the_work_was_handed_in() -> None:
    log = became("assignment_accepted", "assignment_submitted")
    log.on("assignment_submitted", "w1", "t1", 14, work_seconds=90).on("assignment_approved", "w1", "t1", 15)
    found = history(log)
    assert labels(found, found.lists[:1], W).timed.tolist() == [hour(14), 0]


@pytest.mark.parametrize("at", [11, 33.9, 34.0])
def test_what_is_told_late_is_known_from_its_place_in_the_log_on(at: float) -> None:
    log = became().post("t3", 500).on("task_viewed", "w1", "t1", at)
    log.on("assignment_submitted", "w1", "t1", at, work_seconds=90).on("assignment_approved", "w1", "t1", at)
    found = labels(history(log), history(log).lists, W)
    assert found.labels.tolist() == [4, 0]
    assert [each.tolist() for each in (found.decided, found.timed)] == [[hour(500), 0]] * 2
    # To leave out the lists of which something came about would teach that less does.
    assert found.told.tolist() == [0, 0]


def test_a_verdict_that_was_told_late_and_said_again_before_is_known_from_the_first_telling() -> None:
    log = became("assignment_submitted").on("assignment_approved", "w1", "t1", 20).post("t3", 500)
    found = history(log.on("assignment_approved", "w1", "t1", 13))
    assert labels(found, found.lists, W).decided.tolist() == [hour(20), 0]


def test_a_log_in_order_of_time_tells_nothing_late() -> None:
    log = became("task_viewed", "assignment_accepted", "assignment_submitted", "assignment_approved")
    assert labels(history(log), history(log).lists, W).told.tolist() == [0, 0]


@pytest.mark.parametrize(("seen", "told"), [({}, 500), ({"log_seq": 2}, 0)], ids=["all before it", "what it says"])
def test_a_list_that_is_told_late_is_known_late_if_its_rows_know_all_before_it(
    seen: dict[str, int], told: float
) -> None:
    log = Log().post("t1").post("t2", 500).serve("w1", ["t1", "t2"], 10, feed_id="f", **seen)
    log.add("feed_shown", 10, feed_id="f", up_to_position=1)
    (served,) = kept(log)
    assert labels(history(log), [served], W).told.tolist() == [hour(told) if told else 0]


def test_an_outcome_counts_whichever_list_led_to_it() -> None:
    log = Log().serve("w1", ["t1"], 10, feed_id="a").serve("w1", ["t1"], 11, feed_id="b")
    log.on("assignment_accepted", "w1", "t1", 12, feed_id="b")
    assert (label(log, feed=0), label(log, feed=1)) == (2, 2)


@pytest.mark.parametrize(
    ("feed_id", "named"),
    [
        ("a", [True, False, False]),
        ("b", [False, True, False]),
        (None, [False] * 3),
        ("without the task", [False] * 3),
        ("of another", [False] * 3),
        ("later", [False] * 3),
        ("nobody's", [False] * 3),
    ],
)
def test_a_row_knows_whether_an_acceptance_after_its_list_names_it(feed_id: str | None, named: list[bool]) -> None:
    log = Log().serve("w1", ["t1"], 9, feed_id="a").serve("w1", ["t1", "t2"], 10, feed_id="b")
    log.serve("w1", ["t3"], 11, feed_id="without the task").serve("w2", ["t1"], 11, feed_id="of another")
    log.on("task_viewed", "w1", "t1", 11, feed_id="b").on("assignment_accepted", "w1", "t1", 12, feed_id=feed_id)
    log.on("assignment_submitted", "w1", "t1", 12.5, feed_id="b").serve("w1", ["t1"], 13, feed_id="later")
    found = history(log)
    assert labels(found, found.lists[:2], W).named.tolist() == named
    assert not labels(found, found.lists[2:], W).named.any()


def test_an_outcome_of_another_worker_or_task_does_not_count() -> None:
    log = Log().serve("w1", ["t1"], 10).take("w2", "t1", 11).take("w1", "t3", 11)
    assert label(log) == 0


def test_an_outcome_before_the_list_does_not_count() -> None:
    assert label(Log().take("w1", "t1", 9).serve("w1", ["t1"], 10)) == 0


def test_an_outcome_that_was_logged_before_the_list_at_the_same_instant_does_not_count() -> None:
    assert label(Log().take("w1", "t1", 10).serve("w1", ["t1"], 10)) == 0
    assert label(Log().serve("w1", ["t1"], 10).take("w1", "t1", 10)) == 2


def test_an_outcome_that_the_rows_of_the_list_did_not_know_counts_though_it_was_logged_before() -> None:
    log = Log().post("t1").take("w1", "t1", 10).serve("w1", ["t1"], 10, log_seq=1)
    assert label(log) == 2


@pytest.mark.parametrize(("hours", "expected"), [(23.9, 2), (24, 2), (24.001, 0)])
def test_an_outcome_counts_within_the_maturity_after_the_list(hours: float, expected: int) -> None:
    assert label(Log().serve("w1", ["t1"], 10).take("w1", "t1", 10 + hours)) == expected


def test_of_the_stages_only_those_within_the_maturity_count() -> None:
    log = Log().serve("w1", ["t1"], 10).take("w1", "t1", 12).on("assignment_approved", "w1", "t1", 40)
    assert label(log) == 2
    assert label(log, maturity=40 * HOUR) == 4


def test_an_outcome_counts_from_when_it_came_about_though_it_was_told_late() -> None:
    log = Log().serve("w1", ["t1"], 10).post("t2", 60).take("w1", "t1", 12)
    assert label(log) == 2


def test_what_came_about_before_the_list_does_not_count_though_it_was_told_after() -> None:
    log = Log().serve("w1", ["t1"], 10).post("t2", 60).take("w1", "t1", 9)
    assert label(log) == 0


def test_an_acceptance_that_names_the_list_counts_though_its_clock_is_behind() -> None:
    log = Log().serve("w1", ["t1"], 10, feed_id="a").on("assignment_accepted", "w1", "t1", 9.95, feed_id="a")
    assert label(log) == 2
    log = Log().serve("w1", ["t1"], 10, feed_id="a").on("assignment_accepted", "w1", "t1", 9.95, feed_id="b")
    assert label(log) == 0


# Which lists


def kept(log: Log, since: float | None = None, until: float = 1000, maturity: int = W) -> list[ServedList]:
    return mature(history(log), None if since is None else hour(since), hour(until), maturity)


def feeds(*hours: float) -> Log:
    log = Log()
    for place, at in enumerate(hours):
        log.serve("w1", ["t1"], at, feed_id=f"f{place}")
    return log


def test_since_belongs_to_the_range_and_until_does_not() -> None:
    found = kept(feeds(9, 10, 11, 50, 51), since=10, until=51, maturity=0)
    assert [served.feed_id for served in found] == ["f1", "f2", "f3"]


def test_a_list_whose_outcomes_are_not_all_known_before_the_end_is_left_out() -> None:
    assert [served.feed_id for served in kept(feeds(10, 25.9, 26, 30), until=50)] == ["f0", "f1"]


def test_lists_come_in_order_of_time_though_one_was_logged_late() -> None:
    assert [served.feed_id for served in kept(feeds(10, 30, 20))] == ["f0", "f2", "f1"]


def test_items_come_in_order_of_position() -> None:
    items = [{"task_id": "a", "position": 3}, {"task_id": "b", "position": 1}]
    log = Log().add("feed_served", 1, feed_id="f", worker_id="w1", items=items)
    (served,) = kept(log)
    assert (served.task_ids, served.positions) == (["b", "a"], [1, 3])


@pytest.mark.parametrize(("depths", "left"), [([], "abc"), ([2], "ab"), ([1, 2], "ab"), ([2, 1], "ab"), ([9], "abc")])
def test_items_below_the_deepest_place_that_was_seen_are_left_out(depths: list[int], left: str) -> None:
    log = Log().serve("w1", "abc", 1, feed_id="f")
    for depth in depths:
        log.add("feed_shown", 2, feed_id="f", up_to_position=depth)
    (served,) = kept(log)
    assert served.task_ids == list(left)
    assert served.positions == list(range(1, len(left) + 1))


def test_asked_for_whole_lists_then_what_was_not_seen_stays() -> None:
    log = Log().serve("w1", "abc", 1, feed_id="f").add("feed_shown", 2, feed_id="f", up_to_position=1)
    (served,) = mature(history(log), None, hour(1000), W, whole=True)
    assert served.task_ids == ["a", "b", "c"]


def test_propensities_go_with_their_items_and_are_missing_where_they_are_not_told() -> None:
    items = [
        {"task_id": "a", "position": 2, "propensity": 0.25},
        {"task_id": "b", "position": 1, "propensity": 0.5},
        {"task_id": "c", "position": 3},
    ]
    log = Log().add("feed_served", 1, feed_id="f", worker_id="w1", items=items)
    assert kept(log)[0].propensities == pytest.approx([0.5, 0.25, math.nan], nan_ok=True)
    log.add("feed_shown", 2, feed_id="f", up_to_position=1)
    assert kept(log)[0].propensities == [0.5]


def test_a_list_of_which_nothing_was_seen_is_left_out() -> None:
    log = feeds(10, 11).add("feed_shown", 12, feed_id="f0", up_to_position=0)
    assert [served.feed_id for served in kept(log)] == ["f1"]
    assert len(history(log).lists) == 2


def test_a_list_knows_what_came_before_it_or_what_its_server_had_read() -> None:
    log = Log().post("t1").post("t2").serve("w1", ["t1"], 1).serve("w1", ["t1"], 2, log_seq=1)
    assert [served.prefix for served in history(log).lists] == [2, 1]


def test_a_reconstructed_list_is_a_list() -> None:
    assert len(kept(Log().serve("w1", ["t1"], 1, policy="sampled"))) == 1


def test_the_minutes_of_the_session_are_those_of_the_request() -> None:
    log = Log().serve("w1", ["t1"], 1, context={"session_minutes": 20}).serve("w1", ["t1"], 2)
    assert [served.session_minutes for served in history(log).lists] == [20, pytest.approx(math.nan, nan_ok=True)]


def test_of_an_erased_worker_only_what_came_after_is_kept() -> None:
    log = Log().serve("w1", ["t1"], 1).take("w1", "t1", 2).serve("w2", ["t1"], 2)
    log.add("worker_erased", 3, worker_id="w1").serve("w1", ["t2"], 4).on("task_viewed", "w1", "t2", 5)
    found = history(log)
    assert [(served.worker_id, served.task_ids) for served in found.lists] == [("w2", ["t1"]), ("w1", ["t2"])]
    assert {worker_id: set(by_task) for worker_id, by_task in found.outcomes.items()} == {"w1": {"t2"}}


def test_given_no_lists_then_the_error_says_what_to_import() -> None:
    with pytest.raises(CocokError, match=r"no feed_served lists known before 2026-03-02T01:00:00.*later --until"):
        kept(Log().post("t1"), until=25)


def test_given_no_mature_list_then_the_error_says_how_long_is_waited() -> None:
    with pytest.raises(CocokError, match=r"none of the 2 lists is mature.*24\.0 h.*--until"):
        kept(feeds(10, 11), until=30)


def test_given_no_mature_list_and_no_acceptance_then_the_error_says_so() -> None:
    with pytest.raises(CocokError, match=r"no assignment_accepted follows any of them.*import what was accepted"):
        kept(feeds(10, 11), until=30)
    with pytest.raises(CocokError, match=r"waited for 24\.0 h; choose a later --until"):
        kept(feeds(10, 11).take("w1", "t1", 12), until=30)


# Maturity


def taken_after(*delays: float) -> Log:
    """For each delay a list, a thousand hours apart, whose task is accepted that many hours later."""
    log = Log()
    for place, delay in enumerate(delays):
        log.serve("w1", [f"t{place}"], 1000 * place).take("w1", f"t{place}", 1000 * place + delay)
    return log


def test_the_maturity_is_the_95th_percentile_of_the_delay_from_list_to_acceptance() -> None:
    log = taken_after(*range(1, 22))
    assert maturity_of(history(log)) == pytest.approx(20 * HOUR, rel=1e-9)


def test_the_patience_is_the_99th_percentile_of_the_same_delays_and_at_least_the_maturity() -> None:
    delays = history(taken_after(*range(1, 102)))
    assert patience_of(delays, 10 * HOUR) == pytest.approx(100 * HOUR, rel=1e-9)
    assert patience_of(delays, 200 * HOUR) == 200 * HOUR
    assert patience_of(history(feeds(10)), 7 * HOUR) == 7 * HOUR


def test_the_patience_is_longer_than_the_maturity_by_a_twentieth_of_the_history_at_the_most() -> None:
    assert patience_of(history(taken_after(1, 300)), 2 * HOUR) == (2 + 50) * HOUR
    assert patience_of(history(taken_after(*[900] * 50)), HOUR) == LONGEST_MATURITY


@pytest.mark.parametrize(
    ("delays", "expected"), [([0.01, 0.02], SHORTEST_MATURITY), ([900, 950], LONGEST_MATURITY), ([], LONGEST_MATURITY)]
)
def test_the_maturity_stays_between_an_hour_and_fourteen_days(delays: list[float], expected: int) -> None:
    assert maturity_of(history(taken_after(*delays))) == expected
    assert (SHORTEST_MATURITY, LONGEST_MATURITY) == (HOUR, 14 * DAY)


def test_the_delay_is_from_the_last_list_with_the_task_before_the_acceptance() -> None:
    log = Log().serve("w1", ["t1"], 1).serve("w1", ["t1"], 8).serve("w2", ["t1"], 9).serve("w1", ["t2"], 9)
    log.take("w1", "t1", 10).serve("w1", ["t1"], 11)
    assert maturity_of(history(log)) == 2 * HOUR


def test_other_outcomes_and_acceptances_without_a_list_do_not_count_as_delays() -> None:
    log = (
        taken_after(3)
        .take("w1", "t9", 500)
        .on("assignment_approved", "w1", "t0", 600)
        .on("task_viewed", "w1", "t0", 700)
    )
    assert maturity_of(history(log)) == 3 * HOUR


def test_given_what_is_older_is_forgotten_then_the_rest_is_as_if_the_log_began_there() -> None:
    log = became("task_viewed", "assignment_accepted").serve("w1", ["t2"], 20).on("assignment_accepted", "w1", "t2", 21)
    found = history(log)
    found.forget(hour(12))
    later = read([[entry for entry in log.entries if entry[1] >= hour(12)]])
    # By what they look like, since NaN equals nothing.
    assert repr(found.lists) == repr(later.lists)
    assert repr(dict(found.outcomes)) == repr(dict(later.outcomes))
    assert len(found.lists) == 1
    assert {worker_id: set(by_task) for worker_id, by_task in found.outcomes.items()} == {"w1": {"t1", "t2"}}
