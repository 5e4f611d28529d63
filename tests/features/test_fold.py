"""The fold: what each event does to what is known of workers, tasks, requesters and content."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from features.counts import TOKEN_ROWS, token_of
from features.deeds import MOST_SURPRISE, NEWCOMER
from features.estimates import FAST, HOUR, LEAST_MINUTES, SLOW, decay, expected
from features.layout import HALVES, MOST_DEALT, UNLIMITED, WAS_BARRED, WAS_HIDDEN, WAS_SAVED, WAS_VIEWED
from features.pairs import find, pair_key
from features.state import MarketState
from features.tastes import find_taste
from features.tokens import token
from tests.digest import digest
from tests.log import (
    RATES,
    Entry,
    Log,
    folded,
    hour,
    logs,
    usd,
    written_at,
)

DAYS = 24.0


def task(state: MarketState, task_id: str = "t1") -> Any:
    return state.arrays.tasks[state.catalogue.tasks.get(task_id)]


def worker(state: MarketState, worker_id: str = "w1") -> Any:
    return state.arrays.workers[state.catalogue.workers.get(worker_id)]


def requester(state: MarketState, requester_id: str = "r1") -> Any:
    return state.arrays.requesters[state.catalogue.requesters.get(requester_id)]


def dealing(state: MarketState, worker_id: str = "w1", task_id: str = "t1") -> Any:
    pair = pair_key(state.catalogue.workers.get(worker_id), state.catalogue.tasks.get(task_id))
    return state.arrays.dealings[find(state.arrays.dealing_keys, np.uint64(pair))]


def taste(state: MarketState, name: str, worker_id: str = "w1") -> Any:
    arrays, index = state.arrays, state.catalogue.workers.get(worker_id)
    return arrays.tastes[find_taste(arrays.histories, arrays.taste_tokens, index, token("skill", name))]


def sample(state: MarketState) -> set[str]:
    size = state.arrays.market[0]["n_reference"]
    return {state.catalogue.tasks.external(int(index)) for index in state.arrays.reference[:size]}


def open_names(state: MarketState) -> set[str]:
    return {state.catalogue.tasks.external(int(index)) for index in state.open_tasks}


# Slots


def test_accepting_takes_a_slot_and_returning_or_abandoning_gives_it_back() -> None:
    log = Log().post("t1", slots=5).take("w1", "t1").take("w2", "t1").take("w3", "t1")
    assert task(log.state())["occupied"] == 3
    log.on("assignment_returned", "w1", "t1").on("assignment_abandoned", "w2", "t1")
    assert task(log.state())["occupied"] == 1
    assert task(log.state())["given_up"] == 2


@pytest.mark.parametrize("end", ["assignment_submitted", "assignment_approved", "assignment_rejected"])
def test_work_that_was_handed_in_keeps_its_slot_whatever_the_verdict(end: str) -> None:
    log = Log().post("t1", slots=5).take("w1", "t1").on("assignment_submitted", "w1", "t1").on(end, "w1", "t1")
    assert task(log.state())["occupied"] == 1


def test_a_full_task_stays_open_but_leaves_the_sample_until_a_slot_comes_back() -> None:
    log = Log().post("t1", slots=1).post("t2").take("w1", "t1")
    assert open_names(log.state()) == {"t1", "t2"}
    assert sample(log.state()) == {"t2"}
    assert sample(log.on("assignment_returned", "w1", "t1").state()) == {"t1", "t2"}


def test_more_slots_bring_a_full_task_back_into_the_sample() -> None:
    log = Log().post("t1", slots=1).take("w1", "t1")
    assert sample(log.state()) == set()
    assert sample(log.add("task_updated", task_id="t1", slots=2).state()) == {"t1"}


def test_a_task_without_slots_is_never_available_and_one_without_limit_never_full() -> None:
    log = Log().post("t1", slots=0).post("t2")
    for taker in range(50):
        log.take(f"w{taker}", "t2")
    assert sample(log.state()) == {"t2"}


# Stages


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("assignment_returned", {"accepted": 1, "returned": 1}),
        ("assignment_abandoned", {"accepted": 1, "abandoned": 1}),
        ("assignment_submitted", {"accepted": 1, "submitted": 1}),
        ("assignment_approved", {"accepted": 1, "submitted": 1, "settled": 1}),
        ("assignment_rejected", {"accepted": 1, "submitted": 1, "settled": 1}),
    ],
)
@pytest.mark.parametrize("earlier", [[], ["assignment_accepted"]])
def test_a_later_stage_implies_the_earlier_ones_and_does_not_count_them_twice(
    kind: str, counts: dict[str, int], earlier: list[str]
) -> None:
    log = Log().post("t1")
    for stage in earlier:
        log.on(stage, "w1", "t1")
    state = log.on(kind, "w1", "t1").state()
    names = ("accepted", "returned", "abandoned", "submitted", "settled")
    assert {name: dealing(state)[name] for name in names if dealing(state)[name]} == counts
    assert worker(state)["accepted"] == task(state)["accepted"] == requester(state)["accepted"] == 1
    assert worker(state)["submitted"] == counts.get("submitted", 0)


def test_given_up_after_all_earlier_ones_were_handed_in_then_another_acceptance_is_implied() -> None:
    log = Log().post("t1").take("w1", "t1").on("assignment_submitted", "w1", "t1")
    state = log.on("assignment_returned", "w1", "t1").state()
    assert dealing(state)["accepted"] == 2
    assert task(state)["occupied"] == 1


def test_given_a_worker_may_take_a_task_again_then_a_second_verdict_implies_a_second_submission() -> None:
    log = Log().post("t1", per_worker_limit=2).take("w1", "t1").on("assignment_submitted", "w1", "t1")
    log.on("assignment_approved", "w1", "t1").on("assignment_rejected", "w1", "t1")
    state = log.state()
    assert (worker(state)["approved"], worker(state)["rejected"], worker(state)["submitted"]) == (1, 1, 2)


@pytest.mark.parametrize("verdicts", [("rejected", "approved"), ("approved", "rejected", "rejected", "approved")])
def test_given_a_worker_may_not_take_a_task_again_then_a_further_verdict_corrects_the_last(
    verdicts: tuple[str, ...],
) -> None:
    log = Log().post("t1").take("w1", "t1").on("assignment_submitted", "w1", "t1")
    once = Log().post("t1").take("w1", "t1").on("assignment_submitted", "w1", "t1")
    for verdict in verdicts:
        log.on(f"assignment_{verdict}", "w1", "t1")
    state, known = log.state(), once.on("assignment_approved", "w1", "t1").state()
    for record in (worker, task, requester):
        assert {name: record(state)[name] for name in ("approved", "rejected", "submitted", "accepted")} == {
            name: record(known)[name] for name in ("approved", "rejected", "submitted", "accepted")
        }
    assert task(state)["occupied"] == 1
    tokens = state.arrays.tokens[["approved", "rejected"]]
    assert tokens.tolist() == known.arrays.tokens[["approved", "rejected"]].tolist()


@pytest.mark.parametrize("verdicts", [[], ["approved"], ["rejected"], ["approved", "rejected"]])
def test_given_a_worker_may_not_take_a_task_again_then_work_that_is_handed_in_again_counts_once(
    verdicts: list[str],
) -> None:
    log = Log().post("t1").take("w1", "t1").on("assignment_submitted", "w1", "t1", work_seconds=60)
    for verdict in verdicts:
        log.on(f"assignment_{verdict}", "w1", "t1")
    once = log.state()
    state = log.on("assignment_submitted", "w1", "t1", work_seconds=600).state()
    for record in (worker, task, requester, dealing):
        assert record(state).tobytes() == record(once).tobytes()
    judged = log.on("assignment_approved", "w1", "t1").state()
    assert (worker(judged)["approved"], worker(judged)["rejected"], worker(judged)["submitted"]) == (1, 0, 1)


def test_given_a_worker_may_take_a_task_again_then_work_that_is_handed_in_again_is_other_work() -> None:
    log = Log().post("t1", per_worker_limit=2).take("w1", "t1").on("assignment_submitted", "w1", "t1")
    assert task(log.on("assignment_submitted", "w1", "t1").state())["occupied"] == 2


def test_work_that_is_handed_in_after_it_was_abandoned_takes_a_slot() -> None:
    log = Log().post("t1").take("w1", "t1").on("assignment_abandoned", "w1", "t1")
    assert task(log.on("assignment_submitted", "w1", "t1").state())["occupied"] == 1


@pytest.mark.parametrize("stage", ["submitted", "approved", "rejected", "abandoned"])
def test_an_acceptance_that_is_told_after_a_later_stage_takes_no_further_slot(stage: str) -> None:
    log = Log().post("t1", slots=3).on(f"assignment_{stage}", "w1", "t1").take("w1", "t1")
    state, in_order = log.state(), Log().post("t1", slots=3).take("w1", "t1").on(f"assignment_{stage}", "w1", "t1")
    assert dealing(state)["accepted"] == worker(state)["accepted"] == requester(state)["accepted"] == 1
    assert task(state)["occupied"] == task(in_order.state())["occupied"]


def test_an_acceptance_after_an_implied_one_was_returned_takes_a_slot() -> None:
    state = Log().post("t1").on("assignment_returned", "w1", "t1").take("w1", "t1").state()
    assert dealing(state)["accepted"] == 2
    assert task(state)["occupied"] == 1


def test_given_a_worker_may_take_a_task_again_then_an_acceptance_after_an_implied_one_takes_a_slot() -> None:
    state = Log().post("t1", per_worker_limit=2).on("assignment_submitted", "w1", "t1").take("w1", "t1").state()
    assert task(state)["occupied"] == 2


@pytest.mark.parametrize(("stage", "acceptances"), [("submitted", 1), ("returned", 2)])
def test_given_a_task_that_was_not_posted_yet_then_it_may_be_taken_once(stage: str, acceptances: int) -> None:
    state = Log().on(f"assignment_{stage}", "w1", "t1").take("w1", "t1").state()
    assert dealing(state)["accepted"] == acceptances


def test_work_that_is_told_after_its_verdict_counts_once_and_with_its_minutes() -> None:
    log = (
        Log().post("t1").on("assignment_approved", "w1", "t1").on("assignment_submitted", "w1", "t1", work_seconds=120)
    )
    state = log.state()
    assert worker(state)["submitted"] == worker(state)["accepted"] == task(state)["occupied"] == 1
    assert task(state)["minutes_count"] == 1
    assert task(state)["minutes"] == pytest.approx(math.log(2))


@pytest.mark.parametrize(("seconds", "moved"), [(1e-300, -1), (1e-3, -1), (6e8, 1)])
def test_given_work_of_absurd_length_then_it_moves_what_work_takes_no_further_than_a_surprise_may(
    seconds: float, moved: int
) -> None:
    log = Log().post("t1", title="anvil", category="smithy")
    for number in range(20):
        log.on("assignment_submitted", f"w{number}", "t1", work_seconds=600)
    before = log.state()
    state = log.on("assignment_submitted", "odd", "t1", work_seconds=seconds).state()
    told = math.log(10) + moved * MOST_SURPRISE
    assert task(state)["minutes"] - task(before)["minutes"] == pytest.approx(told, abs=1e-4)
    assert state.arrays.market[0]["minutes"] - before.arrays.market[0]["minutes"] == pytest.approx(told, abs=1e-4)
    for row in (token("requester", "r1"), token("word", "anvil")):
        count = state.arrays.tokens[row]["minutes_count"] - before.arrays.tokens[row]["minutes_count"]
        found = state.arrays.tokens[row]["minutes"] - before.arrays.tokens[row]["minutes"]
        assert found == pytest.approx(count * told, abs=1e-4)
    assert abs(worker(state, "odd")["speed"]) == 2


def test_given_work_that_took_no_time_and_nothing_to_expect_then_it_counts_as_the_least() -> None:
    state = Log().post("t1").on("assignment_submitted", "w1", "t1", work_seconds=1e-300).state()
    assert task(state)["minutes"] == pytest.approx(math.log(LEAST_MINUTES))


def test_given_work_within_what_may_surprise_then_its_minutes_count_as_they_are() -> None:
    log = Log().post("t1", estimated_minutes=10).on("assignment_submitted", "w1", "t1", work_seconds=60 * 540)
    assert task(log.state())["minutes"] == np.float32(math.log(540))


def test_the_time_to_approval_is_counted_only_where_the_submission_was_seen() -> None:
    log = Log().post("t1").on("assignment_submitted", "w1", "t1", 1).on("assignment_approved", "w1", "t1", 10)
    log.on("assignment_approved", "w2", "t1", 12).on("assignment_submitted", "w3", "t1", 13)
    state = log.on("assignment_rejected", "w3", "t1", 14).state()
    assert requester(state)["approvals_timed"] == 1
    assert requester(state)["approval_hours"] == pytest.approx(math.log1p(9))


@pytest.mark.parametrize("closed", [False, True])
def test_a_full_or_closed_task_posted_again_has_all_its_slots(closed: bool) -> None:
    log = Log().post("t1", slots=1).take("w1", "t1", 1)
    if closed:
        log.add("task_closed", 2, task_id="t1")
    assert sample(log.state()) == set()
    state = log.post("t1", 3, slots=1).on("assignment_returned", "w1", "t1", 4).state()
    assert task(state)["occupied"] == 0
    assert sample(state) == {"t1"}


@pytest.mark.parametrize("kind", ["assignment_returned", "assignment_abandoned"])
def test_giving_up_what_was_taken_in_an_earlier_round_frees_no_slot(kind: str) -> None:
    log = Log().post("t1", slots=1).take("w1", "t1").add("task_closed", task_id="t1").post("t1", slots=1)
    log.take("w2", "t1").on(kind, "w1", "t1")
    assert task(log.state())["occupied"] == 1
    assert sample(log.state()) == set()
    assert task(log.on(kind, "w2", "t1").state())["occupied"] == 0


@pytest.mark.parametrize("others", [[], ["assignment_submitted"]])
def test_given_work_of_two_rounds_then_the_older_is_handed_in_and_given_up_first(others: list[str]) -> None:
    names = {"slots": 3, "per_worker_limit": 4}
    log = Log().post("t1", **names).take("w1", "t1").take("w1", "t1").add("task_closed", task_id="t1")
    log.post("t1", **names).take("w1", "t1").take("w2", "t1")
    for kind in (*others, *(2 - len(others)) * ["assignment_returned"]):
        log.on(kind, "w1", "t1")
    assert task(log.state())["occupied"] == 2
    assert task(log.on("assignment_returned", "w1", "t1").state())["occupied"] == 1


def test_giving_up_what_was_taken_before_the_first_posting_or_is_implied_leaves_no_slot_taken() -> None:
    log = Log().take("w1", "t1").post("t1", slots=2).add("task_closed", task_id="t1").post("t1", slots=2)
    log.take("w2", "t1").on("assignment_returned", "w3", "t1")
    assert task(log.state())["occupied"] == 1
    first = Log().take("w1", "t1").post("t1", slots=2).take("w2", "t1").on("assignment_returned", "w1", "t1")
    assert task(first.state())["occupied"] == 1


def test_given_as_many_rounds_as_are_told_apart_then_an_earlier_one_is_still_another() -> None:
    log = Log().post("t1", slots=1).take("w1", "t1")
    for _ in range(255):
        log.add("task_closed", task_id="t1").post("t1", slots=1)
    log.take("w2", "t1").on("assignment_returned", "w1", "t1")
    assert task(log.state())["occupied"] == 1


def test_an_open_task_sent_again_keeps_count_of_its_slots() -> None:
    state = Log().post("t1", slots=2).take("w1", "t1", 1).post("t1", 2, slots=2).state()
    assert task(state)["occupied"] == 1


def test_work_on_a_task_never_posted_is_remembered_and_its_slots_too() -> None:
    log = Log().take("w1", "t1")
    assert open_names(log.state()) == set()
    state = log.post("t1", slots=1).state()
    assert task(state)["occupied"] == 1
    assert sample(state) == set()


# More than a dealing counts


def tallied(*kinds: str, **known: int) -> tuple[dict[str, int], dict[str, int]]:
    """What a dealing with such counts counts after these events, and by how much each count of the task grew."""
    log = Log().post("t1", slots=None, per_worker_limit=2**31 - 1).on("task_viewed", "w1", "t1")
    state, before = log.state(), len(log.entries)
    for name, count in known.items():
        dealing(state)[name] = count
    for kind in kinds:
        log.on(kind, "w1", "t1")
    state.apply(log.entries[before:])
    counts = ("accepted", "submitted", "settled", "returned", "abandoned")
    of_task = ("accepted", "occupied", "submitted", "approved", "given_up")
    return (
        {name: int(dealing(state)[name]) for name in counts},
        {name: int(task(state)[name]) for name in of_task if task(state)[name]},
    )


def test_given_more_acceptances_than_a_dealing_counts_then_their_number_stays() -> None:
    counts, of_task = tallied(*2 * ["assignment_accepted"], accepted=MOST_DEALT - 1)
    assert counts == {"accepted": MOST_DEALT, "submitted": 0, "settled": 0, "returned": 0, "abandoned": 0}
    assert of_task == {"accepted": 2, "occupied": 2}


FULL = {
    "all approved": {"submitted": MOST_DEALT, "settled": MOST_DEALT},
    "all handed in": {"submitted": MOST_DEALT},
    "some returned": {"submitted": MOST_DEALT - 2, "settled": MOST_DEALT - 2, "returned": 2},
    "all returned": {"returned": MOST_DEALT},
    "all abandoned": {"abandoned": MOST_DEALT},
    "some under way": {"submitted": MOST_DEALT - 2, "settled": MOST_DEALT - 3},
}


@pytest.mark.parametrize("known", FULL.values(), ids=FULL)
@pytest.mark.parametrize(
    ("stages", "under_way"),
    [
        (["accepted"], 1),
        (["accepted", "submitted"], 0),
        (["accepted", "submitted", "approved"], 0),
        (["submitted", "approved"], 0),
        (["accepted", "returned"], 0),
        (["accepted", "abandoned"], 0),
    ],
)
def test_given_a_dealing_that_counts_no_more_then_further_assignments_go_through_the_same_stages(
    known: dict[str, int], stages: list[str], under_way: int
) -> None:
    counts, of_task = tallied(*3 * [f"assignment_{stage}" for stage in stages], accepted=MOST_DEALT, **known)
    assert counts["accepted"] == MOST_DEALT
    over = counts["submitted"] + counts["returned"] + counts["abandoned"]
    before = MOST_DEALT - sum(known.get(name, 0) for name in ("submitted", "returned", "abandoned"))
    if "accepted" in stages:
        assert MOST_DEALT - over == before + 3 * under_way
        assert of_task["accepted"] == 3
    else:
        # What was under way already is what is handed in.
        assert MOST_DEALT - over == max(0, before - 3)
        assert of_task.get("accepted", 0) == 3 - min(3, before)
    assert counts["settled"] <= counts["submitted"]
    assert of_task.get("submitted", 0) == 3 * ("submitted" in stages)
    assert of_task.get("approved", 0) == 3 * ("approved" in stages)
    assert of_task.get("given_up", 0) == 3 * bool({"returned", "abandoned"} & set(stages))


def test_given_a_dealing_with_nothing_that_is_over_then_it_counts_no_further_one_and_stays_barred() -> None:
    counts, _ = tallied("assignment_accepted", accepted=MOST_DEALT)
    assert counts == {"accepted": MOST_DEALT, "submitted": 0, "settled": 0, "returned": 0, "abandoned": 0}
    counts, _ = tallied("assignment_accepted", accepted=MOST_DEALT, abandoned=1)
    assert counts["abandoned"] == 1


# Postings


def test_a_task_is_open_only_once_it_is_posted() -> None:
    log = Log().on("task_viewed", "w1", "t1").serve("w1", ["t1"])
    assert open_names(log.state()) == set()
    assert open_names(log.post("t1").state()) == {"t1"}


def test_posting_again_while_open_replaces_the_content_and_keeps_the_first_instant() -> None:
    log = Log().post("t1", 1, reward=usd(1)).post("t1", 5, reward=usd(2), slots=3)
    state = log.state()
    assert task(state)["posted"] == hour(1)
    assert task(state)["facts"]["reward"] == 2
    assert task(state)["facts"]["slots"] == 3
    assert requester(state)["posted"] == 1


def test_posting_again_after_closing_opens_it_from_then_on() -> None:
    log = Log().post("t1", 1).add("task_closed", 2, task_id="t1")
    assert open_names(log.state()) == set()
    state = log.post("t1", 5).state()
    assert open_names(state) == {"t1"}
    assert task(state)["posted"] == hour(5)
    assert requester(state)["posted"] == 2


def test_posting_again_after_expiry_opens_it_from_then_on() -> None:
    state = Log().post("t1", 1, expires_at=written_at(2)).post("t1", 5).state()
    assert task(state)["posted"] == hour(5)
    assert open_names(state) == {"t1"}


def test_an_update_applies_onto_the_posting_and_keeps_the_rest() -> None:
    log = Log().post("t1", 1, reward=usd(1), slots=3, estimated_minutes=5, skills=["python"])
    before = task(log.state()).copy()
    after = task(log.add("task_updated", 4, task_id="t1", reward=usd(2)).state())
    assert after["facts"]["reward"] == 2
    for name in ("slots", "stated_minutes", "requester", "n_skills", "expires"):
        assert after["facts"][name] == before["facts"][name]
    assert after["posted"] == before["posted"]
    assert after["n_tokens"] == before["n_tokens"]


def test_what_is_told_at_the_instant_of_the_posting_is_part_of_it() -> None:
    content = {"title": "Label photos", "skills": ["labelling"], "reward": usd(2)}
    other = {"title": "Label words", "reward": usd(1)}
    apart = Log().post("t1", 1, **other).post("t2", 1).add("task_updated", 1, task_id="t2", **content)
    again = Log().post("t1", 1, **other).post("t2", 1, **other).post("t2", 1, **content)
    whole = Log().post("t1", 1, **other).post("t2", 1, **content).state()
    for state in (apart.state(), again.state()):
        for name in ("documents", "paid_slow", "reward_slow"):
            np.testing.assert_allclose(state.arrays.tokens[name], whole.arrays.tokens[name])
        assert state.arrays.market[0]["documents"] == requester(state)["posted"] == 2
    later = apart.add("task_updated", 2, task_id="t2", title="Label sounds", reward=usd(9)).state()
    np.testing.assert_array_equal(later.arrays.tokens["documents"], whole.arrays.tokens["documents"])


def test_updates_add_up() -> None:
    log = Log().post("t1").add("task_updated", task_id="t1", reward=usd(2)).add("task_updated", task_id="t1", slots=4)
    assert (task(log.state())["facts"]["reward"], task(log.state())["facts"]["slots"]) == (2, 4)


def test_null_clears_a_field() -> None:
    log = Log().post("t1", reward=usd(1), slots=0, estimated_minutes=5, category="audio", expires_at=written_at(9))
    fields = ("reward", "slots", "estimated_minutes", "category", "expires_at")
    facts = task(log.add("task_updated", task_id="t1", **dict.fromkeys(fields)).state())["facts"]
    assert np.isnan(facts["reward"])
    assert np.isnan(facts["stated_minutes"])
    assert facts["slots"] == UNLIMITED
    assert facts["category_token"] == -1
    assert facts["expires"] > hour(1e6)


def test_an_update_of_a_task_never_posted_changes_nothing_and_a_later_posting_does_not_know_it() -> None:
    log = Log().add("task_updated", task_id="t1", reward=usd(9), slots=1)
    assert open_names(log.state()) == set()
    state = log.post("t1").state()
    assert np.isnan(task(state)["facts"]["reward"])
    assert task(state)["facts"]["slots"] == UNLIMITED


def test_an_update_does_not_open_a_closed_task() -> None:
    log = Log().post("t1").add("task_closed", task_id="t1").add("task_updated", task_id="t1", reward=usd(2))
    assert open_names(log.state()) == set()


# The clock


def test_a_task_expires_by_the_clock_at_its_instant_and_not_before() -> None:
    log = Log().post("t1", 0, expires_at=written_at(2)).post("t2", 1.999)
    assert open_names(log.state()) == {"t1", "t2"}
    assert open_names(log.post("t2", 2).state()) == {"t2"}


def test_a_later_expiry_opens_an_expired_task_again_and_keeps_its_posting_instant() -> None:
    log = Log().post("t1", 0, expires_at=written_at(2)).post("t2", 5)
    assert open_names(log.state()) == {"t2"}
    log.add("task_updated", 6, task_id="t1", expires_at=written_at(8))
    assert open_names(log.state()) == {"t1", "t2"}
    assert task(log.state())["posted"] == hour(0)
    assert open_names(log.post("t2", 8).state()) == {"t2"}


def test_an_expiry_that_was_put_off_in_time_or_brought_forward_counts_as_it_stands() -> None:
    log = Log().post("t1", 0, expires_at=written_at(2)).post("t2", 0, expires_at=written_at(90))
    log.add("task_updated", 1, task_id="t1", expires_at=written_at(50))
    log.add("task_updated", 1, task_id="t2", expires_at=written_at(3))
    assert open_names(log.post("t3", 4).state()) == {"t1", "t3"}


def test_an_expiry_that_is_sent_again_is_watched_once() -> None:
    log = Log().post("t1", 0, expires_at=written_at(100))
    for hours in range(1, 40):
        log.post("t1", hours, expires_at=written_at(100)).add("task_updated", hours, task_id="t1", title=f"{hours}")
    log.add("task_closed", 50, task_id="t1").post("t2", 51).post("t1", 60, expires_at=written_at(100))
    assert log.state().arrays.market[0]["n_expiring"] == 1
    assert open_names(log.state()) == {"t1", "t2"}
    assert open_names(log.post("t3", 100).state()) == {"t2", "t3"}


def test_the_clock_never_runs_backwards() -> None:
    log = Log().post("t1", 0, expires_at=written_at(5)).post("t2", 6).post("t3", 1)
    state = log.state()
    assert state.clock == hour(6)
    assert task(state, "t3")["posted"] == hour(6)
    assert open_names(state) == {"t2", "t3"}


# Exposure


def test_a_served_list_counts_for_worker_and_tasks() -> None:
    state = Log().serve("w1", ["t1", "t2"], 1).serve("w1", ["t2"], 2).serve("w2", ["t2"], 3).state()
    assert [dealing(state, "w1", name)["served"] for name in ("t1", "t2")] == [1, 2]
    assert [task(state, name)["served"] for name in ("t1", "t2")] == [1, 3]


def test_a_list_that_was_reconstructed_changes_nothing_but_the_clock() -> None:
    sampled = Log().post("t1").post("t2").serve("w9", ["t1", "t7"], 3, policy="sampled").state()
    shown = Log().post("t1").post("t2").add("feed_shown", 3, feed_id="f1", up_to_position=2).state()
    assert sampled.clock == hour(3)
    assert digest(sampled) == digest(shown)
    assert "w9" not in sampled.catalogue.workers.indices
    assert "t7" not in sampled.catalogue.tasks.indices


def test_a_list_under_any_other_policy_is_an_exposure() -> None:
    assert task(Log().serve("w1", ["t1"], policy="swap").state())["served"] == 1


def test_how_far_a_list_was_seen_is_no_matter_for_the_state() -> None:
    to_the_end, not_at_all = (
        Log().serve("w1", ["t1"]).add("feed_shown", feed_id="f1", up_to_position=depth).state() for depth in (1, 0)
    )
    assert digest(to_the_end) == digest(not_at_all)
    assert task(not_at_all)["served"] == 1


@pytest.mark.parametrize(
    ("kind", "marks"),
    [("task_viewed", WAS_VIEWED), ("task_saved", WAS_SAVED), ("task_hidden", WAS_BARRED | WAS_HIDDEN)],
)
def test_what_the_worker_did_with_a_task_is_remembered_for_that_worker(kind: str, marks: int) -> None:
    state = Log().post("t1").on(kind, "w1", "t1").serve("w2", ["t1"]).state()
    assert dealing(state)["marks"] == marks
    assert dealing(state, "w2")["marks"] == 0
    assert task(state)["viewed"] == (kind == "task_viewed")


def test_ratings_are_summed_for_the_one_who_is_rated() -> None:
    rated = {"worker_id": "w1", "requester_id": "r1"}
    log = Log().add("requester_rated", **rated, rating=4).add("requester_rated", **rated, rating=1)
    state = log.add("worker_rated", **rated, rating=5).state()
    assert (requester(state)["rating"], requester(state)["ratings"]) == (5, 2)
    assert (worker(state)["rating"], worker(state)["ratings"]) == (5, 1)


# Profiles and erasure


def test_a_profile_replaces_the_earlier_one_whole() -> None:
    log = Log().add("worker_updated", worker_id="w1", skills=["python", "audio"], expected_hourly=usd(9), country="ID")
    state = log.add("worker_updated", worker_id="w1", skills={"audio": 0.5}, session_minutes=30).state()
    assert np.isnan(worker(state)["expected_hourly"])
    assert worker(state)["country"] == 0
    assert worker(state)["session_minutes"] == 30
    assert worker(state)["n_skills"] == 1
    assert taste(state, "audio")["level"] == 0.5
    assert taste(state, "python")["level"] == 0.0


def test_money_is_kept_in_the_base_currency() -> None:
    rupiah = {"amount": 80_000, "currency": "IDR"}
    state = Log().post("t1", reward=rupiah).add("worker_updated", worker_id="w1", min_reward=rupiah).state()
    assert task(state)["facts"]["reward"] == pytest.approx(80_000 / RATES.per_base["IDR"])
    assert worker(state)["min_reward"] == task(state)["facts"]["reward"]


def test_an_erased_worker_starts_anew_and_the_profile_is_gone() -> None:
    log = Log().post("t1").add("worker_updated", worker_id="w1", skills=["python"]).take("w1", "t1")
    old = log.state().catalogue.workers.get("w1")
    gone = log.add("worker_erased", 2, worker_id="w1").state()
    assert "w1" not in gone.catalogue.workers.indices
    assert old not in gone.catalogue.profiles
    assert gone.catalogue.workers.external(old) == ""
    back = log.take("w1", "t1", 7).state()
    assert back.catalogue.workers.get("w1") not in (0, old)
    assert worker(back)["accepted"] == 1
    assert worker(back)["profile"] == 0
    assert worker(back)["first_seen"] == hour(7)


def test_what_an_erased_worker_did_still_counts_for_the_market() -> None:
    log = Log().post("t1", slots=1).take("w1", "t1").add("worker_erased", worker_id="w1")
    assert task(log.state())["occupied"] == 1
    assert log.state().arrays.market[0]["accepted"] == 1


@pytest.mark.parametrize("given_up", ["assignment_returned", "assignment_abandoned"])
def test_given_a_worker_who_was_erased_then_a_slot_that_is_given_back_later_is_free(given_up: str) -> None:
    log = Log().post("t1", slots=1).take("w1", "t1").add("worker_erased", worker_id="w1")
    state = log.on(given_up, "w1", "t1").state()
    assert task(state)["occupied"] == 0
    assert task(state)["accepted"] == task(state)["given_up"] == 1
    # A second one is about no assignment that is known, and so implies one, as always.
    again = log.on(given_up, "w1", "t1").state()
    assert task(again)["occupied"] == 0
    assert task(again)["accepted"] == 2


@pytest.mark.parametrize(("verdict", "other"), [("approved", "rejected"), ("rejected", "approved")])
def test_given_a_worker_who_was_erased_then_a_later_verdict_is_on_what_was_handed_in(verdict: str, other: str) -> None:
    log = Log().post("t1", slots=9).take("w1", "t1").take("w2", "t1").take("w3", "t1")
    log.on("assignment_submitted", "w1", "t1", work_seconds=60)
    for name in ("w1", "w2"):
        log.add("worker_erased", worker_id=name)
    state = log.on(f"assignment_{verdict}", "w1", "t1").state()
    counts = task(state)
    assert (counts["occupied"], counts["accepted"], counts["submitted"]) == (3, 3, 1)
    assert (counts[verdict], counts[other]) == (1, 0)
    # That of the other one implies that the work was handed in.
    counts = task(log.on(f"assignment_{verdict}", "w2", "t1").state())
    assert (counts["occupied"], counts["accepted"], counts["submitted"], counts[verdict]) == (3, 3, 2, 2)
    assert state.arrays.market[0]["accepted"] == 3


def test_given_a_worker_who_was_erased_then_work_handed_in_later_takes_no_further_slot() -> None:
    log = Log().post("t1", slots=2).take("w1", "t1").add("worker_erased", worker_id="w1")
    counts = task(log.on("assignment_submitted", "w1", "t1", work_seconds=600).state())
    assert (counts["occupied"], counts["accepted"], counts["submitted"], counts["minutes_count"]) == (1, 1, 1, 1)
    # Who takes the task anew is somebody else.
    counts = task(
        log.take("w1", "t1").on("assignment_submitted", "w1", "t1").on("assignment_approved", "w1", "t1").state()
    )
    assert (counts["occupied"], counts["accepted"], counts["submitted"], counts["approved"]) == (2, 2, 2, 1)


@pytest.mark.parametrize("known", [True, False])
def test_given_a_worker_who_was_erased_then_what_another_hands_in_is_that_worker_s(known: bool) -> None:
    log = Log()
    if known:
        log.add("worker_updated", worker_id="w2")
    log.post("t1", slots=2).take("w1", "t1").add("worker_erased", worker_id="w1")
    state = log.on("assignment_submitted", "w2", "t1").on("assignment_approved", "w2", "t1").state()
    # Of an id that nobody knew before, nothing tells whether it is the same person: no further slot is taken.
    assert task(state)["occupied"] == task(state)["accepted"] == (2 if known else 1)
    assert worker(state, "w2")["approved"] == (1 if known else 0)


def test_given_work_that_was_over_when_its_worker_was_erased_then_a_verdict_is_on_other_work() -> None:
    log = Log().post("t1", slots=2).take("w1", "t1").on("assignment_submitted", "w1", "t1")
    log.on("assignment_approved", "w1", "t1").add("worker_erased", worker_id="w1")
    counts = task(log.on("assignment_approved", "w1", "t1").state())
    assert (counts["accepted"], counts["approved"]) == (2, 2)


# Decay


@pytest.mark.parametrize(("speed", "field"), [(SLOW, "accepted_slow"), (FAST, "accepted_fast")])
def test_what_is_decayed_halves_after_a_half_life(speed: int, field: str) -> None:
    later = speed / HOUR
    state = Log().post("t1").post("t2").take("w1", "t1").take("w1", "t2", later).state()
    assert worker(state)[field] == pytest.approx(1.5)
    assert worker(state)["accepted"] == 2


@pytest.mark.parametrize(("speed", "field"), [(SLOW, "took_slow"), (FAST, "took_fast")])
def test_a_taste_halves_after_a_half_life(speed: int, field: str) -> None:
    later = speed / HOUR
    log = Log().post("t1", skills=["python"]).take("w1", "t1").take("w1", "t1", later)
    assert taste(log.state(), "python")[field] == pytest.approx(1.5)


def test_a_late_event_counts_from_when_it_is_known() -> None:
    log = Log().post("t1").post("t2", 10 * DAYS).take("w1", "t1", 1)
    state = log.state()
    assert worker(state)["at"] == worker(state)["last_accept"] == hour(10 * DAYS)
    assert worker(state)["accepted_slow"] == 1


# What random choice would have taken


def test_expectation_is_shared_among_the_tasks_with_a_slot_left() -> None:
    log = Log().post("t1", skills=["python"]).post("t2", skills=["audio"]).post("t3", slots=0, skills=["survey"])
    state = log.take("w1", "t1").state()
    assert [by_chance(state, name) for name in ("python", "audio", "survey")] == pytest.approx([0.5, 0.5, 0])


def by_chance(state: MarketState, skill: str) -> float:
    return expectations(state, token("skill", skill))[0]


def expectations(state: MarketState, row: int) -> tuple[float, float, float]:
    """What random choice would have taken of a token by now: slow, fast, newcomers."""
    record, market, now = state.arrays.tokens[row], state.arrays.market[0], state.clock
    speeds = (("slow", SLOW), ("fast", FAST), ("newcomer", SLOW))
    values = [
        expected(
            record[f"expected_{name}"],
            record["available"],
            record[f"chances_{name}"],
            market[f"chances_{name}"] * decay(market["at"], now, speed),
            decay(record["at"], now, speed),
        )
        for name, speed in speeds
    ]
    return values[0], values[1], values[2]


TICK = Log().serve("w9", ["t1"], policy="sampled").entries[0][2]
"""An event that moves the clock alone."""


class Naive:
    """The same by hand: after each event, which tasks had a slot left; at each acceptance, what each token was due."""

    def __init__(self) -> None:
        self.state = MarketState(RATES)
        self.due: list[tuple[int, bool, dict[int, float]]] = []

    def apply(self, entry: Entry) -> None:
        # An acceptance meets the tasks as they are when it happens: after expiry, before its own slot is taken.
        taken = self.state.arrays.market[0]["accepted"]
        self.state.apply([(entry[0] - 1, entry[1], TICK)])
        shares = self._shares()
        newcomer = self._is_newcomer(entry)
        self.state.apply([entry])
        if self.state.arrays.market[0]["accepted"] > taken:
            self.due.append((entry[1], newcomer, shares))

    def _is_newcomer(self, entry: Entry) -> bool:
        index = self.state.catalogue.workers.get(getattr(entry[2], "worker_id", ""))
        return bool(self.state.arrays.workers[index]["accepted"] < NEWCOMER)

    def available(self) -> list[Any]:
        tasks = self.state.arrays.tasks[self.state.open_tasks]
        return [each for each in tasks if each["facts"]["slots"] < 0 or each["occupied"] < each["facts"]["slots"]]

    def weights(self) -> dict[int, float]:
        found: dict[int, float] = {}
        for each in self.available():
            for place in range(TOKEN_ROWS):
                row, weight = token_of(each, place)
                if row >= 0:
                    found[row] = found.get(row, 0.0) + weight
        return found

    def _shares(self) -> dict[int, float]:
        count = len(self.available())
        return {row: weight / count for row, weight in self.weights().items()}

    def expectations(self, row: int) -> tuple[float, float, float]:
        now = self.state.clock
        assert now is not None
        slow = fast = newcomers = 0.0
        for at, newcomer, shares in self.due:
            share = shares.get(row, 0.0)
            slow += share * 0.5 ** ((now - at) / SLOW)
            fast += share * 0.5 ** ((now - at) / FAST)
            newcomers += share * 0.5 ** ((now - at) / SLOW) * newcomer
        return slow, fast, newcomers


@settings(deadline=None, max_examples=150)
@given(logs())
def test_expectations_are_those_of_counting_by_hand(log: list[Entry]) -> None:
    naive = Naive()
    for entry in log:
        naive.apply(entry)
    state = folded(log)
    weights = naive.weights()
    rows = set(weights).union(*(shares for *_, shares in naive.due))
    assert state.arrays.market[0]["n_available"] == len(naive.available())
    for row in rows:
        assert state.arrays.tokens[row]["available"] == pytest.approx(weights.get(row, 0.0), abs=1e-6)
        assert expectations(state, row) == pytest.approx(naive.expectations(row), rel=1e-5, abs=1e-6)
    assert np.flatnonzero(np.abs(state.arrays.tokens["available"]) > 1e-6).tolist() == sorted(weights)


def moments(state: MarketState) -> list[tuple[float, float]]:
    market = state.arrays.market[0]
    tasks = state.arrays.tasks[state.arrays.reference[: market["n_reference"]]]
    found = []
    for half in range(HALVES):
        values = tasks["log_reward"][tasks["facts"]["order"] % HALVES == half]
        total, squares, count = 0.0, 0.0, 0
        for value in values[~np.isnan(values)]:
            # In a kernel a number of 32 bits stays one, also when it is squared.
            total, squares, count = total + float(value), squares + float(value * value), count + 1
        if count < 2:
            found.append((math.nan, math.nan))
            continue
        variance = squares / count - (total / count) ** 2
        found.append((total / count, math.sqrt(variance) if variance > 1e-6 else math.nan))
    return found


@settings(deadline=None, max_examples=150)
@given(logs())
def test_what_is_kept_of_rewards_is_what_the_reference_tasks_pay_now(log: list[Entry]) -> None:
    state = MarketState(RATES)
    for entry in log:
        state.apply([entry])
        market = state.arrays.market[0]
        if market["rewards_known"]:
            kept = list(zip(market["reward_mean"], market["reward_deviation"], strict=True))
            np.testing.assert_array_equal(kept, moments(state))


def test_pay_that_changes_while_a_task_stands_in_the_sample_changes_what_others_are_held_against() -> None:
    log = Log()
    for number in range(8):
        log.post(f"t{number}", reward=usd(1.0 + number))
    log.take("w1", "t1")
    before = log.state().arrays.market[0]
    assert before["rewards_known"]
    log.add("task_updated", task_id="t2", reward=usd(50.0)).add("task_updated", task_id="t3", reward=usd(60.0))
    state = log.take("w1", "t4").state()
    after = state.arrays.market[0]
    kept = list(zip(after["reward_mean"], after["reward_deviation"], strict=True))
    np.testing.assert_array_equal(kept, moments(state))
    assert not np.array_equal(after["reward_mean"], before["reward_mean"])


def test_given_more_than_float32_counts_then_the_market_goes_on_counting() -> None:
    log = Log().post("t1")
    state, known = log.state(), len(log.entries)
    counts = ("served", "accepted", "approved", "documents")
    for name in counts:
        state.arrays.market[name] = 2.0**24
    log.serve("w1", ["t1"]).take("w1", "t1").on("assignment_approved", "w1", "t1").post("t2")
    state.apply(log.entries[known:])
    assert [state.arrays.market[0][name] - 2.0**24 for name in counts] == [1.0] * 4


def test_given_more_than_float32_counts_then_what_is_known_of_a_requester_goes_on_growing() -> None:
    log = Log().post("t1", requester_id="r1")
    state, known = log.state(), len(log.entries)
    counts, shares = ("posted", "accepted", "submitted", "approved"), ("minutes_count", "approved")
    told = state.arrays.tokens[token("requester", "r1")]
    for name in counts:
        requester(state)[name] = 2.0**24
    for name in shares:
        told[name] = 2.0**24
    log.take("w1", "t1").on("assignment_submitted", "w1", "t1", work_seconds=60)
    log.on("assignment_approved", "w1", "t1").post("t2", requester_id="r1")
    state.apply(log.entries[known:])
    assert [requester(state)[name] - 2.0**24 for name in counts] == [1.0] * 4
    assert [told[name] - 2.0**24 for name in shares] == [1.0] * 2


def test_given_more_than_float32_counts_then_postings_with_a_word_go_on_being_counted() -> None:
    log = Log().post("t1", title="anvil")
    state, known = log.state(), len(log.entries)
    word = state.arrays.tokens[token("word", "anvil")]
    assert word["documents"] == 1
    word["documents"] = 2**24
    log.post("t2", title="anvil").post("t3", title="anvil")
    state.apply(log.entries[known:])
    assert word["documents"] == 2**24 + 2
