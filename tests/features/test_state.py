"""MarketState: a pure function of the prefix, however it was cut into batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import CocokError
from features.layout import NEVER, REQUESTER, TASK, WORKER, blank
from features.state import MarketState
from tests.digest import digest
from tests.log import RATES, Entry, Log, cut, folded, hour, logs, usd

FIRST = len(MarketState(RATES).arrays.workers)
"""Rows that arrays begin with."""

CUTS = st.sets(st.integers(1, 49), max_size=6)


@settings(deadline=None, max_examples=40)
@given(logs(), CUTS)
def test_batches_cut_in_any_way_give_the_same_state(log: list[Entry], places: set[int]) -> None:
    state = MarketState(RATES)
    for batch in cut(log, places):
        state.apply(batch)
    whole = folded(log)
    assert digest(state) == digest(whole)
    assert state.seq == whole.seq == len(log)
    assert state.clock == whole.clock
    assert state.open_tasks.tolist() == whole.open_tasks.tolist()
    assert vars(state.catalogue.workers) == vars(whole.catalogue.workers)
    assert state.catalogue.profiles == whole.catalogue.profiles
    assert state.catalogue.postings == whole.catalogue.postings


@settings(deadline=None, max_examples=25)
@given(logs(), CUTS)
def test_a_batch_folded_piece_by_piece_gives_the_same_state(log: list[Entry], places: set[int]) -> None:
    state = MarketState(RATES)
    batch = state.encode(log)
    done = 0
    for stop in (*sorted(place for place in places if place < len(log)), len(log)):
        state.fold(batch, done, stop)
        done = stop
    assert digest(state) == digest(folded(log))


def test_a_market_larger_than_the_first_arrays_is_the_same_in_one_batch_and_in_many() -> None:
    log = Log()
    for number in range(700):
        log.post(
            f"t{number}", requester_id=f"r{number}", skills=[f"skill {number % 50}"], expires_at="2027-01-01T00:00:00Z"
        )
        log.take(f"w{number}", f"t{number}").take(f"w{number % 7}", f"t{number}")
    state = MarketState(RATES)
    for batch in cut(log.entries, range(13, 2100, 13)):
        state.apply(batch)
    assert digest(state) == digest(log.state())
    assert len(state.open_tasks) == 700


def test_a_row_is_blank_when_it_comes_into_use_and_untouched_before() -> None:
    state = MarketState(RATES)
    log = Log()
    for number in range(600):
        # Neither is told anything of by itself.
        log.add("task_closed", task_id=f"t{number}")
        log.add("requester_rated", worker_id=f"w{number}", requester_id=f"r{number}", rating=4)
    for batch in cut(log.entries, range(7, 1200, 7)):
        state.apply(batch)
        for name, dtype in (("workers", WORKER), ("tasks", TASK), ("requesters", REQUESTER)):
            rows, used = getattr(state.arrays, name), state.used()[name]
            assert not rows[max(used, FIRST) :].view(np.uint8).any()
            assert rows[:1].tobytes() == blank(dtype, 1).tobytes()
    assert np.isnan(state.arrays.workers["min_reward"][: state.used()["workers"]]).all()
    assert (state.arrays.tasks["posted"][: state.used()["tasks"]] == NEVER).all()
    assert (state.arrays.tasks["open_at"][: state.used()["tasks"]] == -1).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log.take("w1", "t2", 2),
        lambda log: log.take("w1", "t1", 2.001),
        lambda log: log.on("task_viewed", "w1", "t1", 2),
        lambda log: log,
    ],
)
def test_another_log_has_another_digest(change: object) -> None:
    def base() -> Log:
        return Log().post("t1", 1, skills=["python"]).post("t2", 1)

    assert callable(change)
    assert digest(change(base()).state()) != digest(base().take("w1", "t1", 2).state())


def test_before_the_first_event_there_is_no_clock() -> None:
    state = MarketState(RATES)
    assert (state.seq, state.clock, state.open_tasks.tolist()) == (0, None, [])


def test_an_empty_batch_changes_nothing() -> None:
    state = Log().post("t1", 3).state()
    before = digest(state)
    state.apply([])
    assert digest(state) == before
    assert state.clock == hour(3)


def test_sequence_numbers_may_have_gaps() -> None:
    entries = [(10 * seq, known_at, event) for seq, known_at, event in Log().post("t1").post("t2").entries]
    assert folded(entries).seq == 20


def test_given_a_currency_without_a_rate_then_it_is_named_and_nothing_of_the_batch_is_kept() -> None:
    state = Log().post("t1", reward=usd(1)).state()
    before = digest(state)
    bad = (
        Log()
        .add("worker_updated", worker_id="w1")
        .post("t1", reward=usd(2))
        .post("t2", reward={"amount": 1, "currency": "XXX"})
    )
    with pytest.raises(CocokError, match="XXX"):
        state.apply(bad.entries)
    assert digest(state) == before
    assert "w1" not in state.catalogue.workers.indices
    assert state.catalogue.postings[1].reward.amount == 1
