"""The training set: every item that was listed, with what was known then and what became of it."""

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.build import rows
from features.errors import CocokError
from features.events import WorkerErased
from features.spec import COLUMN, NAMES
from tests.log import RATES, Entry, Log, cut, folded, hour, logs, usd
from training.dataset import TrainingSet
from training.lists import ServedList, read_history
from training.replay import replay, training_set


def trained_on(log: Log, places: Iterable[int] = (), **options: int) -> TrainingSet:
    batches = cut(log.entries, places)
    return training_set(lambda: batches, RATES, **{"until": hour(1000), "maturity": hour(24) - hour(0), **options})


def market() -> Log:
    log = Log().post("t1", skills=["python"], reward=usd(1)).post("t2", reward=usd(2)).post("t3")
    log.serve("w1", ["t2", "t1"], 1).take("w1", "t1", 2).on("assignment_submitted", "w1", "t1", 3, work_seconds=120)
    log.serve("w2", ["t1", "t3", "t2"], 4).on("task_viewed", "w2", "t3", 5).on("assignment_rejected", "w1", "t1", 6)
    return log.serve("w1", ["t1"], 7)


def test_every_item_of_every_list_is_a_row() -> None:
    found = trained_on(market())
    assert len(found) == 3
    assert found.features.shape == (6, len(NAMES))
    assert found.features.dtype == np.float32
    assert found.names == NAMES
    assert found.offsets.tolist() == [0, 2, 5, 6]
    assert found.positions.tolist() == [1, 2, 1, 2, 3, 1]
    assert found.times.tolist() == [hour(1), hour(4), hour(7)]
    assert found.labels.tolist() == [0, 2, 0, 1, 0, 0]
    assert found.verdicts.tolist() == [-1, 0, -1, -1, -1, -1]
    assert found.minutes[1] == 2
    assert np.isnan(found.minutes[[0, 2, 3, 4, 5]]).all()


def test_a_row_tells_how_likely_its_item_stood_there() -> None:
    items = [{"task_id": "t1", "position": 1, "propensity": 0.1}, {"task_id": "t2", "position": 2}]
    found = trained_on(market().add("feed_served", 8, feed_id="drawn", worker_id="w1", items=items))
    assert found.propensities.tolist() == pytest.approx([np.nan] * 6 + [0.1, np.nan], nan_ok=True)
    assert found.frame()["propensity"].tolist() == pytest.approx([np.nan] * 6 + [0.1, np.nan], nan_ok=True)


def test_asked_for_whole_lists_then_there_are_rows_of_what_was_not_seen() -> None:
    log = market().add("feed_shown", 8, feed_id="f7", up_to_position=1)
    assert np.diff(trained_on(log).offsets).tolist() == [2, 1, 1]
    assert np.diff(trained_on(log, whole=True).offsets).tolist() == [2, 3, 1]


def test_the_same_worker_and_the_same_task_have_the_same_index() -> None:
    found = trained_on(market())
    assert found.workers[0] == found.workers[2] != found.workers[1]
    t2, t1, again_t1, _, again_t2, last_t1 = found.tasks.tolist()
    assert t1 == again_t1 == last_t1
    assert t2 == again_t2 != t1


def test_workers_lists_and_tasks_are_known_by_their_ids() -> None:
    found = trained_on(market())
    assert found.worker_ids[found.workers].tolist() == ["w1", "w2", "w1"]
    assert found.feed_ids.tolist() == ["f4", "f7", "f10"]
    assert found.catalogue["task_id"].iloc[found.tasks].tolist() == ["t2", "t1", "t1", "t3", "t2", "t1"]
    assert len(found.catalogue) == 3


@pytest.mark.parametrize("places", [(), (2,), (4,), range(1, 10)])
def test_the_catalogue_has_each_task_as_it_stood_when_first_listed(places: Iterable[int]) -> None:
    log = Log().post("t1", category="Data  Entry", languages=["en-GB", "id"]).post("t2").serve("w1", ["t1", "t2"], 1)
    log.add("task_updated", 2, task_id="t1", category="survey").post("t2", 3, category="audio")
    log.post("t3", 4, languages=["ID"]).post("t4", 4, category="survey").serve("w1", ["t4", "t1", "t3"], 5)
    catalogue = trained_on(log, places).catalogue.set_index("task_id").astype(object)
    assert catalogue["category"].dropna().to_dict() == {"t1": "data entry", "t4": "survey"}
    assert catalogue["language"].dropna().to_dict() == {"t1": "en", "t3": "id"}
    assert catalogue.index.tolist() == ["t1", "t2", "t4", "t3"]


def test_given_a_list_that_knows_less_than_an_earlier_one_then_a_task_stands_as_in_the_earlier_one() -> None:
    log = Log().post("t1", category="audio").add("task_updated", 1, task_id="t1", category="survey")
    log.serve("w1", ["t1"], 5, log_seq=1).serve("w2", ["t1"], 4)
    found = trained_on(log)
    assert found.feed_ids.tolist() == ["f4", "f3"]
    assert found.catalogue["category"].tolist() == ["survey"]


def test_a_row_is_what_was_known_at_the_list() -> None:
    found = trained_on(market())
    assert found.column("task_taken").tolist() == [0, 0, 0, 0, 0, 1]
    assert found.column("worker_accepts")[[0, 5]].tolist() == pytest.approx([0, np.log(2)])
    state = folded(market().entries[:-1])
    asked = rows(state, state.catalogue.workers.get("w1"), np.array([1], np.int32), hour(7))
    assert found.features[5:].tobytes() == asked.tobytes()


def test_lists_before_since_give_no_rows_but_count_for_the_later_ones() -> None:
    whole, late = trained_on(market()), trained_on(market(), since=hour(4))
    assert late.times.tolist() == [hour(4), hour(7)]
    assert late.features.tobytes() == whole.features[2:].tobytes()


def test_lists_whose_outcomes_are_not_all_known_give_no_rows() -> None:
    assert trained_on(market(), until=hour(30)).times.tolist() == [hour(1), hour(4)]


def test_the_session_of_the_request_goes_into_the_row() -> None:
    log = Log().post("t1", estimated_minutes=10).add("worker_updated", worker_id="w1", session_minutes=10)
    log.serve("w1", ["t1"], 1, context={"session_minutes": 20}).serve("w1", ["t1"], 2)
    assert trained_on(log).column("session_fit").tolist() == pytest.approx([np.log(2), 0], abs=1e-6)


def test_unknown_workers_and_tasks_have_rows_too() -> None:
    found = trained_on(Log().serve("nobody", ["nothing"], 1))
    assert np.isnan(found.column("reward")).all()
    assert found.column("worker_accepts").tolist() == [0]


def test_without_a_maturity_the_log_says_how_long_is_waited() -> None:
    batches = [market().entries]
    found = training_set(lambda: batches, RATES, until=hour(1000))
    assert found.maturity == hour(1) - hour(0)


def test_progress_is_told_after_every_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.replay.PIECE", 2)
    done: list[tuple[int, int]] = []
    batches = [market().entries]
    training_set(lambda: batches, RATES, until=hour(1000), progress=lambda *each: done.append(each))
    assert done == [(2, 3), (3, 3)]


def test_given_a_log_without_lists_then_it_is_refused() -> None:
    with pytest.raises(CocokError, match="feed_served"):
        trained_on(Log().post("t1"))


def alone(log: Log | list[Entry], served: ServedList) -> NDArray[np.float32]:
    """The rows of a list from a state that was folded for it alone."""
    entries = log.entries if isinstance(log, Log) else log
    state = folded([entry for entry in entries if entry[0] <= served.prefix])
    tasks = np.array([state.catalogue.tasks.get(task_id) for task_id in served.task_ids], np.int32)
    worker = state.catalogue.workers.get(served.worker_id)
    return rows(state, worker, tasks, served.at, served.session_minutes)


@pytest.mark.parametrize("piece", [1, 2, 256])
@pytest.mark.parametrize("places", [(), (4,), (3, 5, 8), range(1, 10)])
def test_each_list_meets_the_state_of_its_prefix(
    places: Iterable[int], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.replay.PIECE", piece)
    log = market()
    lists = read_history([log.entries]).lists
    expected = np.concatenate([alone(log, served) for served in lists])
    assert replay(cut(log.entries, places), RATES, lists).features.tobytes() == expected.tobytes()


def lists_between(entries: list[Entry], laters: Iterable[float]) -> list[ServedList]:
    """A list of all tasks after every event, some seconds later, of one worker after the other.

    None of a worker who is erased later: such lists are never replayed.
    """
    erased = {event.worker_id: seq for seq, _, event in entries if isinstance(event, WorkerErased)}
    tasks = ["t1", "t2", "t3", "t4", "t5", "t6", "nothing"]
    workers = cycle(["w1", "w2", "w3", "nobody"])
    return [
        ServedList(
            seq, known_at + int(1e6 * later), f"f{seq}", worker, tasks, list(range(1, 8)), [math.nan] * 7, math.nan
        )
        for (seq, known_at, _), later, worker in zip(entries, cycle(laters), workers, strict=False)
        if seq >= erased.get(worker, 0)
    ]


@settings(deadline=None, max_examples=40)
@given(logs(), st.lists(st.sampled_from([0.0, 0.4, 1.0, 3600.0, 4e6, -0.3, -3600.0]), min_size=1, max_size=4))
def test_whatever_happens_between_two_lists_the_later_one_meets_it(log: list[Entry], laters: list[float]) -> None:
    lists = lists_between(log, laters)
    assume(lists)
    expected = np.concatenate([alone(log, served) for served in lists])
    assert replay([log], RATES, lists).features.tobytes() == expected.tobytes()


def test_a_list_meets_what_changed_at_the_very_instant_of_the_one_before() -> None:
    log = Log().post("t1", skills=["python"]).post("t2", skills=["audio"]).take("w2", "t2", 1).take("w3", "t2", 1)
    log.post("t1", 1, skills=["audio"])
    lists = lists_between(log.entries, [0.0])
    found = replay([log.entries], RATES, lists).features
    assert found.tobytes() == np.concatenate([alone(log, served) for served in lists]).tobytes()
    (first, once), (second, twice), (third, _) = found[:, COLUMN["popularity"]].reshape(len(lists), -1)[2:, :2]
    assert once < twice
    assert first > second
    assert third > 0 > second


def test_lists_may_come_in_another_order_than_they_were_made() -> None:
    log = market()
    lists = read_history([log.entries]).lists[::-1]
    expected = np.concatenate([alone(log, served) for served in lists])
    assert replay([log.entries], RATES, lists).features.tobytes() == expected.tobytes()


def test_a_list_made_before_what_was_logged_before_it_meets_the_earlier_state() -> None:
    log = Log().post("t1", reward=usd(1)).take("w1", "t1", 1).post("t2", 2).take("w2", "t1", 3)
    log.serve("w1", ["t1", "t2"], 4, log_seq=2).serve("w1", ["t1", "t2"], 5)
    lists = read_history([log.entries]).lists
    assert [served.prefix for served in lists] == [2, 5]
    expected = np.concatenate([alone(log, served) for served in lists])
    assert replay([log.entries], RATES, lists).features.tobytes() == expected.tobytes()


def test_a_log_may_have_gaps_and_empty_batches() -> None:
    log = market()
    whole = replay([log.entries], RATES, read_history([log.entries]).lists)
    entries = [(10 * seq, known_at, event) for seq, known_at, event in log.entries]
    gaps = replay([[], entries[:4], [], entries[4:]], RATES, read_history([entries]).lists)
    assert gaps.features.tobytes() == whole.features.tobytes()


def test_a_list_before_the_first_event_meets_an_empty_market() -> None:
    log = Log().serve("w1", ["t1"], 1).post("t1", 1)
    lists = read_history([log.entries]).lists
    assert replay([log.entries], RATES, lists).features.tobytes() == alone(log, lists[0]).tobytes()


def test_a_list_that_knows_more_than_the_log_meets_all_of_it() -> None:
    log = market()
    last = replace(read_history([log.entries]).lists[-1], prefix=1_000)
    assert replay([log.entries], RATES, [last]).features.tobytes() == alone(log, last).tobytes()
