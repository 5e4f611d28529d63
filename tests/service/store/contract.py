"""What every store must do. A backend subclasses `StoreContract` and says how it is opened."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from features.events import AssignmentRejected, TaskClosed, TaskPosted, TaskViewed, micros
from features.requirements_shape import parse
from features.stored_events import IN_PLACE
from service.store import ConflictError, Store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def view(number: int, *, minutes: float | None = None, worker: str = "w") -> TaskViewed:
    """Event ``e<number>``, by default ``number`` minutes after noon."""
    at = NOON + timedelta(minutes=number if minutes is None else minutes)
    return TaskViewed(event_id=f"e{number}", at=at, worker_id=worker, task_id="t")


def ids(store: Store, after: int = 0, *, before: int | None = None, batch: int = 10_000) -> list[str]:
    return [row.event.event_id for rows in store.read(after, before=before, batch=batch) for row in rows]


class StoreContract(ABC):
    @abstractmethod
    def open(self) -> Store:
        """Open the same log again; the first time it is empty."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = self.open()
        yield store
        store.close()

    def test_given_a_new_log_then_it_is_empty(self, store: Store) -> None:
        assert (store.last_seq(), store.count(), list(store.read())) == (0, 0, [])

    def test_given_an_empty_batch_then_nothing_changes(self, store: Store) -> None:
        assert store.append([]) == (0, 0, 0)

    def test_given_a_batch_then_numbers_are_dense_from_one_and_order_is_kept(self, store: Store) -> None:
        assert store.append([view(2), view(1)]) == (2, 0, 2)
        assert store.append([view(3)]) == (1, 0, 3)
        rows = [row for rows in store.read() for row in rows]
        assert [row.seq for row in rows] == [1, 2, 3]
        assert [row.event for row in rows] == [view(2), view(1), view(3)]

    def test_given_events_are_read_to_fold_then_each_is_as_far_as_that_takes_in_its_place(self, store: Store) -> None:
        closed = TaskClosed(event_id="e3", at=NOON, task_id="t")
        store.append([view(1), view(2, worker="other"), closed])
        rows = [row for rows in store.read_to_fold(1, batch=1) for row in rows]
        assert [row[:2] for row in rows] == [row[:2] for rows in store.read(1) for row in rows]
        events = [event for _, _, event in rows]
        assert [type(event) for event in events] == [IN_PLACE[TaskViewed], TaskClosed]
        assert events[0].worker_id == "other"

    def test_given_the_log_is_opened_again_then_everything_is_there(self, store: Store) -> None:
        store.append([view(1), view(2)])
        again = self.open()
        try:
            assert ids(again) == ["e1", "e2"]
            assert again.append([view(2), view(3)]) == (1, 1, 3)
        finally:
            again.close()

    def test_given_the_same_event_again_then_it_is_a_duplicate(self, store: Store) -> None:
        store.append([view(1)])
        assert store.append([view(1), view(2)]) == (1, 1, 2)

    def test_given_an_event_twice_in_a_batch_then_it_is_accepted_once(self, store: Store) -> None:
        assert store.append([view(1), view(1)]) == (1, 1, 1)

    def test_given_many_events_then_duplicates_are_found_across_the_whole_batch(self, store: Store) -> None:
        many = [view(number) for number in range(12_000)]
        assert store.append([*many, many[0]]) == (12_000, 1, 12_000)

    def test_given_the_same_meaning_in_other_words_then_it_is_a_duplicate(self, store: Store) -> None:
        def posted(value: float) -> TaskPosted:
            raw = [{"attribute": "qualification:x", "comparator": "ge", "value": value}]
            return TaskPosted(event_id="e", at=NOON, task_id="t", requester_id="r", requirements=parse(raw))

        assert store.append([posted(80), posted(80.0)]) == (1, 1, 1)
        assert store.append([posted(80.0)]) == (0, 1, 1)
        with pytest.raises(ConflictError):
            store.append([posted(80.5)])

    def test_given_what_is_kept_of_a_rewritten_event_then_it_is_a_duplicate_as_what_was_sent_is(
        self, store: Store
    ) -> None:
        store.append([view(1)])
        store.rewrite_all([(1, view(1, worker="nobody"))])
        assert store.append([view(1, worker="nobody"), view(1)]) == (0, 2, 1)
        with pytest.raises(ConflictError):
            store.append([view(1, worker="other")])

    def test_given_other_content_then_it_conflicts_and_nothing_of_the_batch_is_kept(self, store: Store) -> None:
        store.append([view(1)])
        with pytest.raises(ConflictError, match="e1") as caught:
            store.append([view(2), view(1, worker="other")])
        assert (caught.value.event_ids, caught.value.positions) == (["e1"], [1])
        assert ids(store) == ["e1"]

    def test_given_a_conflict_far_into_a_batch_then_nothing_of_it_is_kept(self, store: Store) -> None:
        many = [view(number) for number in range(12_000)]
        with pytest.raises(ConflictError) as caught:
            store.append([*many, view(0, worker="other")])
        assert caught.value.positions == [12_000]
        assert store.last_seq() == 0

    def test_given_a_conflict_within_a_batch_then_nothing_is_kept(self, store: Store) -> None:
        with pytest.raises(ConflictError, match="new event_id"):
            store.append([view(1), view(1, worker="other")])
        assert store.count() == 0

    def test_given_the_source_fails_midway_then_nothing_is_kept_and_the_log_stays_writable(self, store: Store) -> None:
        def broken() -> Iterator[TaskViewed]:
            yield view(1)
            raise RuntimeError("source")

        with pytest.raises(RuntimeError, match="source"):
            store.append(broken())
        assert store.count() == 0
        assert store.append([view(1)]) == (1, 0, 1)

    def test_given_a_late_event_then_it_is_known_only_when_it_arrived(self, store: Store) -> None:
        store.append([view(1, minutes=10), view(2, minutes=3)])
        store.append([view(3, minutes=7), view(4, minutes=11)])
        known = [row.known_at for rows in store.read() for row in rows]
        assert known == [micros(NOON + timedelta(minutes=minutes)) for minutes in (10, 10, 10, 11)]

    @pytest.mark.parametrize("batch", [1, 2, 3, 5, 100])
    def test_given_any_size_of_batch_then_reading_gives_the_same(self, store: Store, batch: int) -> None:
        store.append([view(number) for number in range(5)])
        assert ids(store, batch=batch) == ["e0", "e1", "e2", "e3", "e4"]
        assert max(len(rows) for rows in store.read(batch=batch)) == min(batch, 5)

    @pytest.mark.parametrize(("after", "expected"), [(0, ["e1", "e2", "e3"]), (2, ["e3"]), (3, []), (99, [])])
    def test_given_a_sequence_number_then_reading_starts_behind_it(
        self, store: Store, after: int, expected: list[str]
    ) -> None:
        store.append([view(1), view(2), view(3)])
        assert ids(store, after) == expected

    @pytest.mark.parametrize("batch", [1, 2, 100])
    def test_given_an_instant_then_the_longest_prefix_known_before_it_is_read(self, store: Store, batch: int) -> None:
        # The third event happened early but arrived late: at minute 4 nobody knew of it.
        store.append([view(1, minutes=1), view(2, minutes=4), view(3, minutes=2), view(4, minutes=5)])
        at = [micros(NOON + timedelta(minutes=minutes)) for minutes in (1, 4, 5, 6)]
        prefixes = [ids(store, before=instant, batch=batch) for instant in at]
        assert prefixes == [[], ["e1"], ["e1", "e2", "e3"], ["e1", "e2", "e3", "e4"]]

    def test_given_a_rewritten_event_then_place_clock_and_identity_stay(self, store: Store) -> None:
        told = AssignmentRejected(event_id="e2", at=NOON, worker_id="w", task_id="t", reason="a name")
        store.append([view(1), told, view(3)])
        silent = AssignmentRejected(event_id="e2", at=NOON, worker_id="erased", task_id="t")
        store.rewrite_all([(2, silent)])
        row = next(store.read(1))[0]
        assert (row.seq, row.event, row.known_at) == (2, silent, micros(view(1).at))
        assert store.append([told]) == (0, 1, 3)

    def test_given_a_log_then_its_identity_stays_and_counts_rewrites(self, store: Store) -> None:
        store.append([view(1)])
        log, rewrites = store.identity()
        assert len(log) == 32
        assert rewrites == 0
        store.rewrite_all([(1, view(1, worker="erased"))])
        store.rewrite_all([])
        other = self.open()
        try:
            assert other.identity() == store.identity() == (log, 1)
        finally:
            other.close()

    @pytest.mark.parametrize("seq", [0, 1, 3])
    def test_given_another_place_then_rewriting_is_refused(self, store: Store, seq: int) -> None:
        store.append([view(1), view(2)])
        with pytest.raises(ValueError, match=f"sequence number {seq}"):
            store.rewrite_all([(seq, TaskClosed(event_id="e2", at=NOON, task_id="t"))])
        assert ids(store) == ["e1", "e2"]

    def test_given_several_batches_at_once_then_they_follow_each_other_with_numbers_of_their_own(
        self, store: Store
    ) -> None:
        store.append([view(9, minutes=9)])
        groups = [[view(1, minutes=8), view(2, minutes=10)], [], [view(3, minutes=7)]]
        assert store.append_groups(groups) == [(2, 0, 3), (0, 0, 3), (1, 0, 4)]
        rows = [row for rows in store.read() for row in rows]
        assert [(row.seq, row.event) for row in rows[1:]] == [
            (2, view(1, minutes=8)),
            (3, view(2, minutes=10)),
            (4, view(3, minutes=7)),
        ]
        assert [row.known_at for row in rows] == [micros(view(minutes).at) for minutes in (9, 9, 10, 10)]

    def test_given_one_of_several_batches_conflicts_then_nothing_of_it_is_kept_and_all_of_the_others(
        self, store: Store
    ) -> None:
        store.append([view(1)])
        first, second, third, fourth = store.append_groups(
            [[view(2)], [view(3), view(1, worker="other")], [view(2), view(1), view(4)], [view(4, worker="other")]]
        )
        assert (first, third) == ((1, 0, 2), (1, 2, 3))
        assert isinstance(second, ConflictError)
        assert (second.event_ids, second.positions) == (["e1"], [1])
        assert isinstance(fourth, ConflictError)
        assert ids(store) == ["e1", "e2", "e4"]

    def test_given_single_events_then_each_is_new_a_duplicate_or_a_conflict(self, store: Store) -> None:
        assert store.append_groups([[view(1, minutes=9)]]) == [(1, 0, 1)]
        assert store.append_groups([[view(2, minutes=7)]]) == [(1, 0, 2)]
        assert store.append_groups([[view(1, minutes=9)]]) == [(0, 1, 2)]
        (conflict,) = store.append_groups([[view(2, worker="other")]])
        assert isinstance(conflict, ConflictError)
        assert (conflict.event_ids, conflict.positions) == (["e2"], [0])
        assert store.append_groups([[view(3, minutes=10)]]) == [(1, 0, 3)]
        rows = [row for rows in store.read() for row in rows]
        assert [row.event for row in rows] == [view(1, minutes=9), view(2, minutes=7), view(3, minutes=10)]
        assert [row.known_at for row in rows] == [micros(view(minutes).at) for minutes in (9, 9, 10)]

    def test_given_two_writers_at_once_then_every_event_has_one_place(self, store: Store) -> None:
        other = self.open()

        def write(log: Store, start: int) -> None:
            for number in range(start, start + 20):
                log.append_groups([[view(number)]])
                log.append([view(number), view(1000 + number)])

        try:
            with ThreadPoolExecutor(4) as pool:
                jobs = [pool.submit(write, log, start) for log in (store, other) for start in (0, 10)]
            for job in jobs:
                job.result()
        finally:
            other.close()
        rows = [row for rows in store.read() for row in rows]
        assert [row.seq for row in rows] == list(range(1, 61))
        assert len({row.event.event_id for row in rows}) == 60
        assert [row.known_at for row in rows] == sorted(row.known_at for row in rows)

    def test_given_a_reader_underway_then_writing_goes_on_and_is_seen(self, store: Store) -> None:
        store.append([view(1), view(2)])
        reader = store.read(batch=1)
        next(reader)
        store.append([view(3)])
        assert [row.event.event_id for rows in reader for row in rows] == ["e2", "e3"]
