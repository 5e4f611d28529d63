"""The open-task index and the sample that list-relative features refer to, against plain recomputation."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from sklearn.utils import murmurhash3_32

from features.events import (
    AssignmentAbandoned,
    AssignmentAccepted,
    AssignmentReturned,
    TaskClosed,
    TaskPosted,
    TaskUpdated,
    micros,
)
from features.layout import REFERENCE, Arrays
from features.state import MarketState
from tests.log import ABANDONED, ACCEPTED, CLOSED, POSTED, RATES, RETURNED, UPDATED, Entry, Log, folded, logs


class Market:
    """Which tasks are open and which have a slot left, kept the slow way."""

    def __init__(self) -> None:
        self.clock = 0
        self.slots: dict[str, int | None] = {}
        self.expires: dict[str, int | None] = {}
        self.closed: set[str] = set()
        self.occupied: dict[str, int] = {}
        self.working: Counter[tuple[str, str]] = Counter()
        self.taken: Counter[tuple[str, str]] = Counter()
        self.untold: Counter[tuple[str, str]] = Counter()

    def apply(self, entry: Entry) -> None:
        _, known_at, event = entry
        self.clock = max(self.clock, known_at)
        match event:
            case TaskPosted():
                known = event.task_id in self.slots
                if known and (event.task_id not in self.open() or event.task_id not in self.available()):
                    self.occupied[event.task_id] = 0
                self.closed.discard(event.task_id)
                self.slots[event.task_id] = event.slots
                self.expires[event.task_id] = event.expires_at and micros(event.expires_at)
            case TaskUpdated() if event.task_id in self.slots:
                if event.slots is not UNSET:
                    self.slots[event.task_id] = event.slots
                if event.expires_at is not UNSET:
                    self.expires[event.task_id] = event.expires_at and micros(event.expires_at)
            case TaskClosed():
                self.closed.add(event.task_id)
            case AssignmentAccepted():
                both = event.worker_id, event.task_id
                if self.untold[both] and self.taken[both]:
                    self.untold[both] -= 1
                else:
                    self._occupy(*both)
            case AssignmentReturned() | AssignmentAbandoned():
                both = event.worker_id, event.task_id
                if not self.working[both]:
                    self.untold[both] += 1
                    self._occupy(*both)
                self.working[both] -= 1
                self.taken[both] -= isinstance(event, AssignmentReturned)
                self.occupied[event.task_id] = max(0, self.occupied[event.task_id] - 1)

    def _occupy(self, worker_id: str, task_id: str) -> None:
        self.working[worker_id, task_id] += 1
        self.taken[worker_id, task_id] += 1
        self.occupied[task_id] = self.occupied.get(task_id, 0) + 1

    def open(self) -> set[str]:
        return {
            task_id
            for task_id, expires in self.expires.items()
            if task_id not in self.closed and (expires is None or expires > self.clock)
        }

    def available(self) -> set[str]:
        return {
            task_id
            for task_id in self.open()
            if self.slots[task_id] is None or self.occupied.get(task_id, 0) < self.slots[task_id]
        }

    def sample(self) -> list[str]:
        return sorted(self.available(), key=smallest_hash)[:REFERENCE]


def smallest_hash(task_id: str) -> int:
    hashed: int = murmurhash3_32(task_id, positive=True)
    return hashed


def open_names(state: MarketState) -> set[str]:
    return {state.catalogue.tasks.external(int(index)) for index in state.open_tasks}


def sample_names(state: MarketState) -> list[str]:
    size = state.arrays.market[0]["n_reference"]
    return [state.catalogue.tasks.external(int(index)) for index in state.arrays.reference[:size]]


def both(log: Sequence[Entry]) -> tuple[MarketState, Market]:
    market = Market()
    for entry in log:
        market.apply(entry)
    return folded(log), market


CHANGES = st.one_of(POSTED, POSTED, UPDATED, CLOSED, ACCEPTED, RETURNED, ABANDONED)


@settings(deadline=None, max_examples=200)
@given(logs(CHANGES))
def test_the_index_and_the_sample_are_those_of_plain_recomputation(log: list[Entry]) -> None:
    state, market = both(log)
    assert open_names(state) == market.open()
    assert sample_names(state) == market.sample()
    assert state.arrays.market[0]["n_available"] == len(market.available())


@settings(deadline=None, max_examples=100)
@given(logs(CHANGES), st.integers(0, 20))
def test_the_ring_tells_which_tasks_changed_and_which_came_to_their_places(log: list[Entry], first: int) -> None:
    state = folded(log[:first])
    seq, changes = state.seq, int(state.arrays.market["n_changes"][0])
    state.apply(log[first:])
    arrays = state.arrays
    told = arrays.changes[changes : int(arrays.market["n_changes"][0])]
    changed = np.flatnonzero(arrays.open_changed[: int(arrays.market["n_open"][0])] > seq)
    assert set(changed.tolist()) == {place for place in told.tolist() if place < arrays.market["n_open"][0]}


@settings(deadline=None, max_examples=100)
@given(logs(CHANGES))
def test_beside_every_open_task_stands_what_its_own_record_says_and_offers_count_theirs(log: list[Entry]) -> None:
    state, market = both(log)
    arrays = state.arrays
    size = int(arrays.market["n_open"][0])
    tasks = arrays.open_tasks[:size]
    facts = arrays.tasks["facts"][tasks]
    full = [state.catalogue.tasks.external(task) not in market.available() for task in tasks.tolist()]
    assert arrays.open_offers[:size].tolist() == (2 * facts["offer"] + full).tolist()
    np.testing.assert_array_equal(arrays.open_rewards[:size], facts["reward"])
    np.testing.assert_array_equal(arrays.open_links["reward"][:size], facts["reward"])
    np.testing.assert_array_equal(arrays.open_links["minutes"][:size], facts["stated_minutes"])
    assert arrays.open_texts[:size].tolist() == facts["text"].tolist()
    assert arrays.open_expires[:size].tolist() == facts["expires"].tolist()
    assert arrays.open_orders[:size].tolist() == facts["order"].tolist()
    for name in ("signature", "requester", "category"):
        assert arrays.offers[name][facts["offer"]].tolist() == facts[name].tolist()
    counted = np.bincount(arrays.open_offers[:size], minlength=len(arrays.offered))
    assert arrays.offered.tolist() == counted.tolist()
    for offer, count in enumerate(counted[::2].tolist()):
        places, chain = chained(arrays, offer, count), arrays.chains[offer]
        assert sorted(places) == np.flatnonzero(arrays.open_offers[:size] == 2 * offer).tolist()
        rewards, minutes = (arrays.open_links[name][places].astype(np.float64) for name in ("reward", "minutes"))
        assert not (rewards / minutes > chain["paying"]).any()
        assert not (rewards[np.isnan(minutes)] > chain["reward"]).any()


def chained(arrays: Arrays, offer: int, count: int) -> list[int]:
    """The places in the chain of an offer, which holds so many."""
    places, place = [], int(arrays.chains["first"][offer]) - 1
    for _ in range(count):
        assert arrays.open_links["before"][place] - 1 == (places[-1] if places else -1)
        places.append(place)
        place = int(arrays.open_links["next"][place]) - 1
    assert place == -1
    return places


def crowd(count: int) -> Log:
    log = Log()
    for number in range(count):
        # Every third closes by itself after a while, and every fourth has a single slot.
        lasting = {} if number % 3 else {"expires_at": f"2026-03-01T{number % 20:02}:30:00Z"}
        log.post(f"task {number}", slots=1 if number % 4 == 0 else None, **lasting)
    return log


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["task_closed", "task_posted", "assignment_accepted", "assignment_returned", "task_updated"]
            ),
            st.integers(0, REFERENCE + 60),
            st.sampled_from([0.0, 0.0, 0.0, 0.4]),
        ),
        max_size=150,
    )
)
def test_of_many_open_tasks_the_sample_is_always_those_with_the_smallest_hashes(
    changes: list[tuple[str, int, float]],
) -> None:
    log, clock = crowd(REFERENCE + 40), 0.0
    for kind, number, pause in changes:
        clock += pause
        fields = {
            "task_posted": {"requester_id": "r1"},
            "task_updated": {"slots": number % 3},
            "task_closed": {},
        }.get(kind, {"worker_id": f"w{number % 5}"})
        log.add(kind, clock, task_id=f"task {number}", **fields)
    state = MarketState(RATES)
    market = Market()
    for start in range(0, len(log.entries), 25):
        step = log.entries[start : start + 25]
        state.apply(step)
        for entry in step:
            market.apply(entry)
        assert sample_names(state) == market.sample()
    assert open_names(state) == market.open()


@pytest.mark.parametrize("count", [REFERENCE - 1, REFERENCE, REFERENCE + 1, 3 * REFERENCE])
def test_up_to_the_limit_every_task_with_a_slot_left_is_in_the_sample(count: int) -> None:
    log = Log()
    for number in range(count):
        log.post(f"task {number}")
    everything = sorted((f"task {number}" for number in range(count)), key=smallest_hash)
    assert sample_names(log.state()) == everything[:REFERENCE]


def test_when_a_sampled_task_closes_the_next_smallest_takes_its_place() -> None:
    log = Log()
    for number in range(REFERENCE + 1):
        log.post(f"task {number}")
    inside = sample_names(log.state())
    (outside,) = {f"task {number}" for number in range(REFERENCE + 1)} - set(inside)
    middle = REFERENCE // 2
    log.add("task_closed", task_id=inside[middle])
    assert sample_names(log.state()) == [*inside[:middle], *inside[middle + 1 :], outside]


def test_open_tasks_come_in_order_of_index() -> None:
    log = Log().post("a").post("b").post("c").add("task_closed", task_id="a").post("a")
    assert log.state().open_tasks.tolist() == [1, 2, 3]
