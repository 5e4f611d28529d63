"""The log as tables: what each row holds, of which type, and whom no table names."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import CocokError
from tests.log import RATES, Entry, Log, cut, hour, logs, usd, written_at
from training import frames
from training.frames import log_frames
from training.lists import read_history
from training.log_tables import ASSIGNMENTS, EVENTS, ITEMS, LISTS, TASKS, WORKERS

TABLES = {
    "tasks": TASKS,
    "workers": WORKERS,
    "lists": LISTS,
    "items": ITEMS,
    "assignments": ASSIGNMENTS,
    "events": EVENTS,
}


def tables(log: Log) -> frames.Log:
    return log_frames([log.entries], RATES)


def at(hours: float) -> pd.Timestamp:
    return pd.Timestamp(hour(hours), unit="us", tz="UTC")


def market() -> Log:
    """Two lists: of the first, t1 was taken and approved; t2 was submitted without a list, and rejected."""
    log = Log().add("worker_updated", worker_id="w1", skills={"audio": 0.5, "video": 1}, languages=["en-GB", "id"])
    log.post("t1", category="Data  Entry", reward={"amount": 3, "currency": "USD"}).post("t2", 1, reward=usd(1))
    log.serve("w1", ["t1", "t3"], 2, feed_id="a", policy="ranked", model_version="7", context={"session_minutes": 30})
    log.add("feed_shown", 2, feed_id="a", up_to_position=1).take("w1", "t1", 3)
    log.on("assignment_submitted", "w1", "t1", 4, work_seconds=90).on("assignment_approved", "w1", "t1", 5)
    log.serve("w2", ["t2"], 6, feed_id="b").on("assignment_submitted", "w1", "t2", 7)
    return log.on("assignment_rejected", "w1", "t2", 8)


@pytest.mark.parametrize("log", [market(), Log()], ids=["market", "empty"])
def test_every_table_has_its_columns_and_types(log: Log) -> None:
    found = tables(log)
    for name, dtypes in TABLES.items():
        assert {column: str(dtype) for column, dtype in getattr(found, name).dtypes.items()} == dtypes


# Tasks and workers


def test_a_task_is_its_last_posting_with_its_updates() -> None:
    log = (
        Log()
        .post("t1", 1, title="Old")
        .post("t1", 2, title="New", slots=3, languages=["en-GB", "id"], skills=["a", "b"])
    )
    log.add(
        "task_updated", 3, task_id="t1", title="Newer", reward={"amount": 5, "currency": "USD"}, category=" Data  E "
    )
    log.add("task_updated", 3, task_id="t1", slots=None, expires_at=written_at(9))
    task = tables(log).tasks.set_index("task_id").loc["t1"]
    assert (task["requester_id"], task["title"], task["category"]) == ("r1", "Newer", "data e")
    assert (task["language"], task["languages"], task["skills"]) == ("en", "en-GB, id", "a, b")
    assert (task["reward"], task["reward_amount"], task["reward_currency"]) == (5, 5, "USD")
    assert task["slots"] is pd.NA
    assert (task["posted_at"], task["expires_at"]) == (at(1), at(9))
    assert task["closed_at"] is pd.NaT


def test_rewards_of_any_currency_are_in_the_base_currency_too() -> None:
    task = tables(Log().post("t1", reward={"amount": 50_000, "currency": "IDR"})).tasks.iloc[0]
    assert task["reward"] == pytest.approx(50_000 / RATES.per_base["IDR"])
    assert (task["reward_amount"], task["reward_currency"]) == (50_000, "IDR")


def test_given_a_currency_without_a_rate_then_the_log_is_refused() -> None:
    with pytest.raises(CocokError, match="XXX"):
        tables(Log().post("t1", reward={"amount": 1, "currency": "XXX"}))


def test_a_closed_task_is_closed_until_it_is_posted_again() -> None:
    log = (
        Log()
        .post("t1")
        .post("t2")
        .add("task_closed", 1, task_id="t1")
        .add("task_closed", 1, task_id="t2")
        .post("t2", 2)
    )
    assert tables(log).tasks["closed_at"].tolist() == [at(1), pd.NaT]


def test_tasks_that_were_never_posted_are_only_in_the_lists() -> None:
    found = tables(market())
    assert found.tasks["task_id"].tolist() == ["t1", "t2"]
    assert found.items["task_id"].tolist() == ["t1", "t3", "t2"]


def test_a_worker_is_the_last_profile() -> None:
    log = Log().take("w2", "t1", 1).take("w1", "t1", 2).add("worker_updated", 3, worker_id="w1", skills=["old"])
    log.add("worker_updated", 4, worker_id="w1", skills=["x", "y"], languages=["id-ID"], country="ID")
    log.add("worker_updated", 5, worker_id="w3", expected_hourly={"amount": 30_000, "currency": "IDR"})
    workers = tables(log).workers.set_index("worker_id")
    assert workers.index.tolist() == ["w2", "w1", "w3"]
    assert workers["first_seen"].tolist() == [at(1), at(2), at(5)]
    assert workers["has_profile"].tolist() == [False, True, True]
    known = workers.loc["w1"]
    assert (known["country"], known["language"], known["languages"]) == ("ID", "id", "id-ID")
    assert (known["skills"], known["skill_count"]) == ("x, y", 2)
    assert workers["skill_count"].isna().tolist() == [True, False, False]
    assert workers.loc["w3", "expected_hourly"] == pytest.approx(30_000 / RATES.per_base["IDR"])


def test_a_worker_is_first_seen_at_the_earliest_instant_also_if_it_was_told_late() -> None:
    assert tables(Log().take("w1", "t1", 5).take("w1", "t2", 1)).workers["first_seen"].tolist() == [at(1)]


# Lists


def test_lists_have_their_circumstances() -> None:
    first, second = tables(market()).lists.to_dict("records")
    assert (first["feed_id"], first["worker_id"], first["at"], first["items"]) == ("a", "w1", at(2), 2)
    assert (first["policy"], first["model_version"], first["session_minutes"]) == ("ranked", "7", 30)
    assert first["shown"] == 1
    assert all(pd.isna(second[name]) for name in ("policy", "model_version", "session_minutes", "device", "shown"))


def test_items_are_in_order_of_position() -> None:
    items = [{"task_id": "t2", "position": 2, "score": 0.5}, {"task_id": "t1", "position": 1, "propensity": 0.25}]
    log = Log().add("feed_served", feed_id="a", worker_id="w1", items=items)
    found = tables(log).items
    assert found["task_id"].tolist() == ["t1", "t2"]
    assert found["position"].tolist() == [1, 2]
    assert found["score"].tolist() == pytest.approx([float("nan"), 0.5], nan_ok=True)
    assert found["propensity"].tolist() == pytest.approx([0.25, float("nan")], nan_ok=True)


@settings(deadline=None, max_examples=40)
@given(logs())
def test_the_lists_are_those_that_training_sees(entries: list[Entry]) -> None:
    found, history = log_frames([entries], RATES), read_history([entries])
    assert found.lists["feed_id"].tolist() == [served.feed_id for served in history.lists]
    assert found.items["task_id"].tolist() == [task_id for served in history.lists for task_id in served.task_ids]


# Assignments


def worked(*kinds: str) -> pd.DataFrame:
    """The assignments of one worker and task, given what happened hour by hour."""
    log = Log()
    for place, kind in enumerate(kinds, 1):
        log.on(f"assignment_{kind}", "w1", "t1", place)
    return tables(log).assignments


@pytest.mark.parametrize(
    ("kinds", "outcomes"),
    [
        (["accepted"], ["accepted"]),
        (["accepted", "submitted"], ["submitted"]),
        (["accepted", "submitted", "approved"], ["approved"]),
        (["accepted", "submitted", "rejected"], ["rejected"]),
        (["accepted", "returned", "accepted", "submitted"], ["returned", "submitted"]),
        (["accepted", "abandoned"], ["abandoned"]),
        (["accepted", "accepted", "submitted", "submitted", "rejected", "approved"], ["rejected", "approved"]),
        (["accepted", "submitted", "rejected", "approved"], ["approved"]),
        (["approved", "rejected"], ["rejected"]),
        (["accepted", "approved"], ["approved"]),
        (["accepted", "accepted", "submitted", "returned"], ["submitted", "returned"]),
        (["submitted"], ["submitted"]),
        (["rejected", "submitted"], ["rejected"]),
        (["accepted", "submitted", "submitted"], ["submitted"]),
        (["accepted", "submitted", "rejected", "submitted", "approved"], ["approved"]),
        (["accepted", "abandoned", "submitted"], ["abandoned", "submitted"]),
        (["returned"], ["returned"]),
        (["accepted", "submitted", "returned"], ["submitted", "returned"]),
    ],
)
def test_events_move_on_the_oldest_assignment_that_they_can(kinds: list[str], outcomes: list[str]) -> None:
    found = worked(*kinds)
    assert found["outcome"].tolist() == outcomes
    assert found["attempt"].tolist() == list(range(1, len(outcomes) + 1))


def test_an_assignment_has_the_instants_that_are_told() -> None:
    first, second = tables(market()).assignments.to_dict("records")
    assert (first["accepted_at"], first["submitted_at"], first["approved_at"]) == (at(3), at(4), at(5))
    assert first["work_seconds"] == 90
    assert (second["submitted_at"], second["rejected_at"]) == (at(7), at(8))
    assert second["accepted_at"] is second["approved_at"] is pd.NaT


def test_what_is_told_late_belongs_to_the_assignment_that_implied_it() -> None:
    log = Log().on("assignment_approved", "w1", "t1", 3).take("w1", "t1", 1)
    found = tables(log.on("assignment_submitted", "w1", "t1", 2, work_seconds=90)).assignments
    (one,) = found.to_dict("records")
    assert (one["outcome"], one["work_seconds"]) == ("approved", 90)
    assert (one["accepted_at"], one["submitted_at"], one["approved_at"]) == (at(1), at(2), at(3))


def test_given_a_worker_may_take_a_task_again_then_a_further_verdict_is_on_other_work() -> None:
    log = Log().post("t1", per_worker_limit=2).on("assignment_approved", "w1", "t1", 1)
    log.on("assignment_rejected", "w1", "t1", 2).on("assignment_approved", "w1", "t1", 3)
    assert tables(log).assignments["outcome"].tolist() == ["approved", "approved"]


@pytest.mark.parametrize(
    "events",
    [
        [("submitted", 2.0), ("approved", 3.0), ("accepted", 2.5)],
        [("approved", 3.0), ("submitted", 5.0)],
    ],
)
def test_given_a_worker_may_take_a_task_again_then_what_came_after_what_would_imply_it_is_other_work(
    events: list[tuple[str, float]],
) -> None:
    log = Log().post("t1", per_worker_limit=2)
    for kind, hours in events:
        log.on(f"assignment_{kind}", "w1", "t1", hours)
    assert len(tables(log).assignments) == 2


def test_other_tasks_and_other_workers_have_assignments_of_their_own() -> None:
    log = Log().take("w1", "t1", 1).take("w2", "t1", 2).take("w1", "t2", 3).on("assignment_submitted", "w2", "t1", 4)
    found = tables(log).assignments
    assert found["worker_id"].tolist() == ["w1", "w2", "w1"]
    assert found["outcome"].tolist() == ["accepted", "submitted", "accepted"]


# Events


def test_events_are_all_there_in_order() -> None:
    log = Log().post("t1", 2).take("w1", "t1", 1)
    first, second = tables(log).events.to_dict("records")
    assert (first["seq"], first["type"], first["task_id"]) == (1, "task_posted", "t1")
    assert pd.isna(first["worker_id"])
    assert (second["at"], second["known_at"], second["worker_id"]) == (at(1), at(2), "w1")


@settings(deadline=None, max_examples=15)
@given(logs(), st.lists(st.integers(0, 60), max_size=4))
def test_the_tables_do_not_depend_on_how_the_log_is_cut(entries: list[Entry], places: list[int]) -> None:
    whole, parts = log_frames([entries], RATES), log_frames([[], *cut(entries, places)], RATES)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(whole, name), getattr(parts, name))


# Erasure


def test_an_erased_worker_is_in_no_table() -> None:
    log = market().add("worker_erased", 9, worker_id="w1")
    log.serve("w1", ["t1"], 10, feed_id="late", log_seq=3)
    found = tables(log)
    for name in TABLES:
        table = getattr(found, name)
        assert "w1" not in table.get("worker_id", pd.Series()).tolist()
        assert not {"a", "late"} & set(table.get("feed_id", pd.Series()))
    assert found.workers["worker_id"].tolist() == ["w2"]


def test_given_an_erased_worker_who_comes_back_then_the_worker_starts_anew() -> None:
    log = market().add("worker_erased", 9, worker_id="w1").on("assignment_submitted", "w1", "t1", 10)
    found = tables(log.serve("w1", ["t2"], 11, feed_id="c"))
    worker = found.workers.set_index("worker_id").loc["w1"]
    assert worker["first_seen"] == at(10)
    assert not worker["has_profile"]
    assert found.assignments[["worker_id", "attempt", "outcome"]].to_numpy().tolist() == [["w1", 1, "submitted"]]
    assert found.lists["feed_id"].tolist() == ["b", "c"]


# Summary


def test_the_summary_counts() -> None:
    value = tables(market()).summary()["value"]
    assert value.to_dict() == {
        "events": 11,
        "workers": 2,
        "tasks": 2,
        "lists": 2,
        "assignments": 2,
        "items per list, median": 1.5,
        "lists with a task taken, share": 0.5,
        "items taken, share": pytest.approx(1 / 3),
        "work approved, share of judged": 0.5,
        "reward, median": 2.0,
        "first instant": at(0),
        "last instant": at(8),
    }


def test_a_task_is_taken_from_the_last_list_before() -> None:
    log = Log().serve("w1", ["t1"], 1).serve("w1", ["t2", "t1"], 2).serve("w2", ["t1"], 2).take("w1", "t1", 3)
    value = tables(log.serve("w1", ["t1"], 4)).summary()["value"]
    assert value["items taken, share"] == pytest.approx(1 / 5)
    assert value["lists with a task taken, share"] == pytest.approx(1 / 4)


def test_given_an_empty_log_then_the_summary_counts_nothing() -> None:
    value = tables(Log()).summary()["value"]
    assert value[["events", "workers", "tasks", "lists", "assignments"]].tolist() == [0] * 5
    assert value.iloc[5:].isna().all()


@settings(deadline=None, max_examples=20)
@given(logs())
def test_shares_are_shares(entries: list[Entry]) -> None:
    value = log_frames([entries], RATES).summary()["value"]
    shares = value[value.index.str.contains("share")].dropna()
    assert shares.between(0, 1).all()


# Together


def test_tables_join_by_their_ids() -> None:
    found = tables(market())
    joined = found.items.merge(found.lists, on="feed_id").merge(found.tasks, on="task_id", how="left")
    assert joined["worker_id"].tolist() == ["w1", "w1", "w2"]
    assert joined["reward"].tolist() == pytest.approx([3, float("nan"), 1], nan_ok=True)
