"""Ranking offline: each request as of its own instant, in one pass."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from features.errors import CocokError
from features.events import Entry
from matching.offline import Answer, Request, rank, read_requests
from matching.scoring import Ranker
from tests.market import RATES, Batch, batches, entries, ranker_of, usual, usual_bundle, written

DAY_20 = datetime(2026, 1, 25, 12, tzinfo=UTC)
LIVE = DAY_20 - timedelta(hours=5)


@pytest.fixture(scope="module")
def model() -> Ranker:
    return ranker_of(usual_bundle())


@pytest.fixture(scope="module")
def log() -> list[Batch]:
    return batches(entries(usual()[0]))


def ask(number: int, at: datetime = DAY_20, **fields: Any) -> Request:
    return Request(request_id=f"q{number}", at=at, **fields)


def answer(log: Sequence[Batch], model: Ranker, *requests: Request, eligibility: bool = True) -> list[Answer]:
    return rank(log, RATES, model, requests, eligibility=eligibility)


def several() -> list[Request]:
    days = [DAY_20 + timedelta(hours=7 * step) for step in range(8)]
    tasks = [ask(number, at, worker_id=f"w{number}") for number, at in enumerate(days)]
    workers = [ask(10 + number, at, task_id=f"t{200 + number}") for number, at in enumerate(days)]
    return tasks + workers


def test_given_several_requests_then_answers_come_in_their_order_best_first(log: list[Batch], model: Ranker) -> None:
    requests = several()
    answers = answer(log, model, *requests)
    assert [each.request_id for each in answers] == [request.request_id for request in requests]
    for each in answers:
        scores = [item.score for item in each.items]
        assert scores == sorted(scores, reverse=True)
    assert min(len(each.items) for each in answers[:8]) > 5
    assert max(len(each.items) for each in answers[8:]) > 20


def test_given_requests_in_any_order_then_each_has_the_same_answer(log: list[Batch], model: Ranker) -> None:
    requests = several()
    expected = {each.request_id: each for each in answer(log, model, *requests)}
    random.Random(3).shuffle(requests)
    found = answer(log, model, *requests)
    assert [each.request_id for each in found] == [request.request_id for request in requests]
    assert {each.request_id: each for each in found} == expected


def test_given_requests_alone_then_they_have_the_answers_of_all_together(log: list[Batch], model: Ranker) -> None:
    requests = several()
    assert [answer(log, model, request)[0] for request in requests] == answer(log, model, *requests)


def test_given_any_cut_of_the_log_into_batches_then_the_answers_are_the_same(log: list[Batch], model: Ranker) -> None:
    whole = [entry for batch in log for entry in batch]
    assert answer(batches(whole, 17), model, *several()) == answer([whole], model, *several())


def test_given_many_requests_then_the_log_is_read_once_and_not_beyond_the_last(log: list[Batch], model: Ranker) -> None:
    requests = several()
    last = max(request.at for request in requests)
    read: list[datetime] = []

    def once() -> Iterator[list[Entry]]:
        for batch in batches([entry for part in log for entry in part], 50):
            read.append(batch[0][2].at)
            yield batch

    assert len(rank(once(), RATES, model, requests)) == len(requests)
    assert read == sorted(set(read))
    assert max(read) <= last
    assert log[-1][-1][2].at > last


def test_given_an_event_at_the_instant_of_a_request_then_it_is_not_known_yet(model: Ranker) -> None:
    events = [
        {"event_id": "a", "type": "task_posted", "at": written(LIVE), "task_id": "a", "requester_id": "r"},
        {"event_id": "b", "type": "task_posted", "at": written(DAY_20), "task_id": "b", "requester_id": "r"},
    ]
    at, after = answer(
        [entries(events)],
        model,
        ask(1, DAY_20, worker_id="w"),
        ask(2, DAY_20 + timedelta(microseconds=1), worker_id="w"),
    )
    assert [item.task_id for item in at.items] == ["a"]
    assert {item.task_id for item in after.items} == {"a", "b"}


def test_given_what_happened_later_then_no_answer_changes(log: list[Batch], model: Ranker) -> None:
    requests = [ask(1, worker_id="w1"), ask(2, worker_id="w2", candidates=("t200", "t279")), ask(3, task_id="t195")]
    known = [entry for batch in log for entry in batch if entry[2].at < DAY_20]
    assert 0 < len(known) < sum(map(len, log))
    assert answer(log, model, *requests) == answer([known], model, *requests)


def test_given_a_late_event_then_it_is_known_from_where_the_log_has_it(model: Ranker) -> None:
    # The log's clock stands at noon when the morning's posting comes in.
    events = [
        {"event_id": "a", "type": "task_posted", "at": written(DAY_20), "task_id": "a", "requester_id": "r"},
        {"event_id": "b", "type": "task_posted", "at": written(LIVE), "task_id": "b", "requester_id": "r"},
    ]
    noon, later = answer(
        [entries(events)],
        model,
        ask(1, DAY_20, worker_id="w", candidates=("b",)),
        ask(2, DAY_20 + timedelta(seconds=1), worker_id="w", candidates=("b",)),
    )
    assert noon.removed == [{"task_id": "b", "reasons": ["unknown_task"]}]
    assert (len(later.items), later.removed) == (1, [])


def test_given_candidates_then_each_is_an_item_or_removed_with_reasons(log: list[Batch], model: Ranker) -> None:
    candidates = ("t0", "t199", "nowhere", "t195", "t279")
    (found,) = answer(log, model, ask(1, worker_id="w1", candidates=candidates))
    removed = {entry["task_id"]: entry["reasons"] for entry in found.removed if isinstance(entry, dict)}
    assert removed["nowhere"] == removed["t279"] == ["unknown_task"]
    assert "expired" in removed["t0"]
    assert {item.task_id for item in found.items} | set(removed) == set(candidates)
    assert len(found.items) + len(removed) == len(candidates)


def test_given_no_eligibility_then_every_candidate_is_ranked(log: list[Batch], model: Ranker) -> None:
    candidates = ("t0", "t199", "nowhere", "t195", "t279")
    (found,) = answer(log, model, ask(1, worker_id="w1", candidates=candidates), eligibility=False)
    assert sorted(str(item.task_id) for item in found.items) == sorted(candidates)
    assert found.removed == []
    (found,) = answer(log, model, ask(1, task_id="nowhere", workers=("w1", "nobody")), eligibility=False)
    assert {item.worker_id for item in found.items} == {"w1", "nobody"}


def test_given_no_candidates_then_what_is_open_is_ranked_and_reasons_are_counted(
    log: list[Batch], model: Ranker
) -> None:
    (found,) = answer(log, model, ask(1, worker_id="w1"))
    assert isinstance(found.removed, dict)
    assert set(found.removed) <= {"full", "already_taken"}
    assert sum(found.removed.values()) > 0
    opened = {
        e["task_id"] for e in usual()[0] if e["type"] == "task_posted" and e["at"] < written(DAY_20) < e["expires_at"]
    }
    assert {item.task_id for item in found.items} < opened
    (everything,) = answer(log, model, ask(1, worker_id="w1"), eligibility=False)
    assert {item.task_id for item in everything.items} == opened


def test_given_a_task_that_expired_since_the_last_event_then_it_is_not_among_the_open_ones(model: Ranker) -> None:
    head = {"type": "task_posted", "at": written(LIVE), "requester_id": "r"}
    events = [
        {**head, "event_id": "a", "task_id": "a", "expires_at": written(DAY_20)},
        {**head, "event_id": "b", "task_id": "b"},
    ]
    for eligibility in (True, False):
        (found,) = answer([entries(events)], model, ask(1, worker_id="w"), eligibility=eligibility)
        assert ([item.task_id for item in found.items], found.removed) == (["b"], {})


@pytest.fixture(scope="module")
def crowded() -> list[Batch]:
    head = {"type": "task_posted", "at": written(LIVE), "requester_id": "r"}
    tasks = [{**head, "event_id": f"e{number}", "task_id": f"t{number}"} for number in range(130)]
    seen = {"type": "task_viewed", "at": written(LIVE), "task_id": "t0"}
    views = [{**seen, "event_id": f"v{number}", "worker_id": f"w{number}"} for number in range(130)]
    return [entries([*tasks, *views])]


@pytest.mark.parametrize("one", [{"worker_id": "w"}, {"task_id": "t1"}])
def test_given_no_limit_then_a_hundred_come_back_and_all_of_given_candidates(
    crowded: list[Batch], model: Ranker, one: dict[str, str]
) -> None:
    name, letter = ("candidates", "t") if "worker_id" in one else ("workers", "w")
    many = {name: tuple(f"{letter}{number}" for number in range(120))}
    free, few, more, chosen, best = answer(
        crowded,
        model,
        ask(1, **one),
        ask(2, **one, limit=7),
        ask(3, **one, limit=125),
        ask(4, **one, **many),
        ask(5, **one, **many, limit=3),
    )
    assert [len(each.items) for each in (free, few, more, chosen, best)] == [100, 7, 125, 120, 3]
    assert few.items == free.items[:7]
    assert best.items == chosen.items[:3]


def test_given_an_empty_list_of_candidates_then_the_answer_is_empty(log: list[Batch], model: Ranker) -> None:
    tasks, workers = answer(log, model, ask(1, worker_id="w1", candidates=()), ask(2, task_id="t199", workers=()))
    assert (tasks.items, tasks.removed, workers.items, workers.removed) == ([], [], [], [])


def test_given_a_worker_never_seen_then_the_tasks_are_ranked_as_for_a_newcomer(log: list[Batch], model: Ranker) -> None:
    one, other = answer(log, model, ask(1, worker_id="nobody"), ask(2, worker_id="another"))
    assert len(one.items) > 10
    assert one.items == other.items


def test_given_workers_for_a_task_then_those_who_will_take_it_and_do_it_well_stand_first(
    log: list[Batch], model: Ranker
) -> None:
    (found,) = answer(log, model, ask(1, task_id="t199"))
    wanted = [item.p_accept * item.p_approve for item in found.items if item.p_accept and item.p_approve]
    assert len(wanted) == len(found.items) > 10
    assert wanted == sorted(wanted, reverse=True)
    assert wanted[0] > wanted[-1]
    assert all(isinstance(item.worker_id, str) for item in found.items)


def test_given_workers_who_may_not_take_a_task_then_they_are_removed_with_reasons(model: Ranker) -> None:
    at = written(LIVE)
    events = [
        {"event_id": "t", "type": "task_posted", "at": at, "task_id": "t", "requester_id": "r", "countries": ["ID"]},
        {"event_id": "a", "type": "worker_updated", "at": at, "worker_id": "a", "country": "ID"},
        {"event_id": "b", "type": "worker_updated", "at": at, "worker_id": "b", "country": "SG"},
        {"event_id": "c", "type": "assignment_accepted", "at": at, "worker_id": "c", "task_id": "t"},
    ]
    named, counted, unknown = answer(
        [entries(events)],
        model,
        ask(1, task_id="t", workers=("c", "nobody", "b", "a")),
        ask(2, task_id="t"),
        ask(3, task_id="nowhere"),
    )
    assert {item.worker_id for item in named.items} == {"a", "nobody"}
    assert named.removed == [
        {"worker_id": "c", "reasons": ["already_taken"]},
        {"worker_id": "b", "reasons": ["country"]},
    ]
    assert [item.worker_id for item in counted.items] == ["a"]
    assert counted.removed == {"already_taken": 1, "country": 1}
    assert (unknown.items, unknown.removed) == ([], {"unknown_task": 3})


def test_given_a_log_without_events_then_all_is_unknown_and_nothing_fails(model: Ranker) -> None:
    tasks, free, workers = answer(
        [],
        model,
        ask(1, worker_id="w", candidates=("t",)),
        ask(2, worker_id="w"),
        ask(3, task_id="t"),
    )
    assert tasks.removed == [{"task_id": "t", "reasons": ["unknown_task"]}]
    assert (free.items, free.removed, workers.items, workers.removed) == ([], {}, [], {})


def test_given_pay_and_minutes_then_an_item_says_what_an_hour_brings(log: list[Batch], model: Ranker) -> None:
    (found,) = answer(log, model, ask(1, worker_id="w1"))
    rewards = {e["task_id"]: float(e["reward"]["amount"]) for e in usual()[0] if e["type"] == "task_posted"}
    for item in found.items:
        assert item.expected_hourly is not None
        assert item.expected_minutes is not None
        assert item.p_approve is not None
        hourly = rewards[str(item.task_id)] * item.p_approve * 60 / item.expected_minutes
        assert float(item.expected_hourly.amount) == pytest.approx(hourly, abs=0.006)


GOOD = b'{"request_id": "a", "at": "2026-01-25T12:00:00Z", "worker_id": "w"}\n'


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "truncated"),
        (b'{"request_id": "a", "worker_id": "w"}', "`at`"),
        (b'{"at": "2026-01-25T12:00:00Z", "worker_id": "w"}', "`request_id`"),
        (b'{"request_id": "a", "at": "2026-01-25T12:00:00", "worker_id": "w"}', "`$.at`"),
        (b'{"request_id": "a", "at": "2026-01-25T12:00:00Z"}', "give `worker_id` to rank tasks, or `task_id`"),
        (b'{"request_id": "a", "at": "2026-01-25T12:00:00Z", "worker_id": "w", "task_id": "t"}', "give `worker_id`"),
        (b'{"request_id": "a", "at": "2026-01-25T12:00:00Z", "worker_id": "w", "workers": ["v"]}', "give `candidates`"),
        (b'{"request_id": "a", "at": "2026-01-25T12:00:00Z", "task_id": "t", "candidates": ["u"]}', "give `workers`"),
        (b'{"request_id": "a", "at": "2026-01-25T12:00:00Z", "worker_id": "w", "limit": 0}', "`$.limit`"),
        (b'{"request_id": "a", "at": "2026-01-25T12:00:00Z", "worker_id": "w", "candidates": ["t", "t"]}', "twice"),
        (b'{"request_id": "a", "at": "2026-01-25T12:00:00Z", "worker_id": "w", "colour": 1}', "`colour`"),
        (b'{"request_id": "\xff", "at": "2026-01-25T12:00:00Z", "worker_id": "w"}', ""),
    ],
)
def test_given_a_bad_request_then_file_line_and_field_are_named(line: bytes, words: str) -> None:
    with pytest.raises(CocokError) as refused:
        read_requests([GOOD, b"\n", line], "q.ndjson")
    message = str(refused.value)
    assert message.startswith("q.ndjson, line 3: ")
    assert words in message


def test_given_another_offset_then_a_request_means_the_same_instant(log: list[Batch], model: Ranker) -> None:
    lines = [GOOD, GOOD.replace(b"12:00:00Z", b"19:00:00+07:00")]
    utc, jakarta = answer(log, model, *read_requests(lines, "q"))
    assert utc == jakarta
