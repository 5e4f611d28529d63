"""The doctor: each lack is found and named, and a sound log passes."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from features.events import (
    AssignmentAccepted,
    AssignmentApproved,
    AssignmentRejected,
    AssignmentSubmitted,
    Event,
    FeedItem,
    FeedServed,
    TaskPosted,
    TaskUpdated,
    WorkerUpdated,
    micros,
)
from features.money import Money, Rates
from service.doctor import Finding, examine, survey

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = micros(NOON + timedelta(hours=1))


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


PROFILE = WorkerUpdated(event_id="1", at=minute(0), worker_id="w")
POSTED = TaskPosted(
    event_id="2",
    at=minute(1),
    task_id="t",
    requester_id="r",
    title="Label",
    skills=("labelling",),
    reward=Money(Decimal(1), "USD"),
)
LIST = FeedServed(event_id="3", at=minute(2), feed_id="f", worker_id="w", items=(FeedItem("t", 1),))
TAKEN = AssignmentAccepted(event_id="4", at=minute(3), worker_id="w", task_id="t")


def findings(*log: Event | str, to_import: bool = False) -> dict[str, Finding]:
    found = examine(survey(lambda: log, Rates.shipped(), NOW, to_import=to_import))
    assert all(bool(finding.advice) == (finding.level != "ok") for finding in found)
    return {finding.check: finding for finding in found}


def troubles(*log: Event | str) -> dict[str, str]:
    return {check: finding.level for check, finding in findings(*log).items() if finding.level != "ok"}


def test_given_a_sound_log_then_everything_is_ok() -> None:
    found = findings(PROFILE, POSTED, LIST, TAKEN)
    assert {finding.level for finding in found.values()} == {"ok"}
    assert "1 of 1 lists (100.0%)" in found["labels"].message


def test_given_one_of_something_then_it_is_told_as_one() -> None:
    found = findings(POSTED, LIST, LIST, "bad")
    assert found["lines"].message == "1 line is refused, the first: bad"
    assert found["events"].message == "3 events of 2 types, mostly 2 feed_served, 1 task_posted"
    assert found["lists"].message == "2 lists were served"
    assert found["identity"].message == "1 event is there more than once"
    one = findings(POSTED)["events"].message
    assert one == "1 event of 1 type, mostly 1 task_posted"
    assert findings(LIST)["lists"].message == "1 list was served"


def test_given_no_events_then_only_that_is_said() -> None:
    assert troubles() == {"events": "error"}


def test_given_no_lists_then_there_is_nothing_to_train_on() -> None:
    assert troubles(PROFILE, POSTED, TAKEN) == {"lists": "error"}


def test_given_outcomes_only_before_the_list_or_of_others_then_there_are_no_labels() -> None:
    early = AssignmentAccepted(event_id="4", at=minute(1), worker_id="w", task_id="t")
    assert troubles(PROFILE, POSTED, early, LIST) == {"labels": "error"}
    other = AssignmentAccepted(event_id="4", at=minute(3), worker_id="v", task_id="t")
    assert troubles(PROFILE, POSTED, LIST, other)["labels"] == "error"
    assert troubles(PROFILE, POSTED, LIST) == {"labels": "error"}


def test_given_few_lists_with_an_outcome_then_it_is_a_warning() -> None:
    idle = [
        FeedServed(event_id=f"idle{i}", at=minute(4), feed_id=f"f{i}", worker_id="w", items=(FeedItem("t", 1),))
        for i in range(10)
    ]
    assert troubles(PROFILE, POSTED, LIST, TAKEN, *idle) == {"labels": "warning"}


def test_given_lists_of_a_single_task_then_there_is_no_order_to_learn() -> None:
    lists = [
        FeedServed(event_id=f"one{i}", at=minute(2), feed_id=f"f{i}", worker_id="w", items=(FeedItem("t", 1),))
        for i in range(12)
    ]
    assert troubles(PROFILE, POSTED, *lists, TAKEN) == {"labels": "error"}


def test_given_a_currency_without_a_rate_then_it_is_named() -> None:
    picky = WorkerUpdated(event_id="1", at=minute(0), worker_id="w", min_reward=Money(Decimal(1), "XTS"))
    found = findings(picky, POSTED, LIST, TAKEN)["rates"]
    assert found.level == "error"
    assert "1 amount is in XTS" in found.message


def test_given_tasks_and_workers_nobody_introduced_then_they_are_counted() -> None:
    stray = AssignmentAccepted(event_id="5", at=minute(4), worker_id="v", task_id="u")
    found = findings(PROFILE, POSTED, LIST, TAKEN, stray)
    assert found["unknown_tasks"].message.startswith("1 of 2 tasks")
    assert found["unknown_workers"].message.startswith("1 of 2 workers")
    assert troubles(PROFILE, POSTED, LIST, TAKEN, stray) == {"unknown_tasks": "warning", "unknown_workers": "warning"}


def test_given_late_events_then_their_share_and_the_largest_jump_are_given() -> None:
    found = findings(LIST, POSTED, PROFILE, TAKEN)["order"]
    assert found.level == "warning"
    assert "2 events (50.0%)" in found.message
    assert "0:02:00" in found.message


def test_given_files_with_late_events_then_an_import_sorts_them_and_there_is_nothing_to_warn_of() -> None:
    found = findings(LIST, POSTED, PROFILE, TAKEN, to_import=True)["order"]
    assert found.level == "ok"
    assert "2 events (50.0%)" in found.message
    assert "sorts them" in found.message


def works(kind: type[AssignmentApproved] | type[AssignmentRejected], count: int) -> list[Event]:
    return [kind(event_id=f"{kind.__name__}{i}", at=minute(5), worker_id="w", task_id="t") for i in range(count)]


def submissions(count: int, seconds: float | None = None) -> list[Event]:
    return [
        AssignmentSubmitted(
            event_id=f"done{i}{seconds}", at=minute(4), worker_id="w", task_id="t", work_seconds=seconds
        )
        for i in range(count)
    ]


def test_given_many_verdicts_of_one_kind_then_the_other_is_asked_for() -> None:
    log = (PROFILE, POSTED, LIST, TAKEN)
    found = findings(*log, *works(AssignmentApproved, 50))["verdicts"]
    assert (found.level, found.message) == ("warning", "0 of 50 verdicts are rejections")
    assert "assignment_rejected" in found.advice
    assert "assignment_approved" in findings(*log, *works(AssignmentRejected, 50))["verdicts"].advice
    # Few may all be approved by chance.
    assert troubles(*log, *works(AssignmentApproved, 49)) == {}
    assert troubles(*log, *works(AssignmentApproved, 50), *works(AssignmentRejected, 1)) == {}


def test_given_many_submissions_without_minutes_then_they_are_asked_for() -> None:
    log = (PROFILE, POSTED, LIST, TAKEN)
    found = findings(*log, *submissions(50))["minutes"]
    assert (found.level, found.message) == ("warning", "0 of 50 submissions say how long the work took")
    assert "work_seconds" in found.advice
    assert troubles(*log, *submissions(49)) == {}
    assert troubles(*log, *submissions(50), *submissions(1, 60.0)) == {}


def test_given_an_event_ahead_of_the_clock_then_more_than_five_minutes_are_an_error() -> None:
    near = AssignmentAccepted(event_id="5", at=minute(65), worker_id="w", task_id="t")
    far = AssignmentAccepted(event_id="6", at=minute(66), worker_id="w", task_id="t")
    assert troubles(PROFILE, POSTED, LIST, TAKEN, near) == {}
    assert troubles(PROFILE, POSTED, LIST, TAKEN, near, far) == {"future": "error"}


def test_given_tasks_without_content_then_what_they_lack_is_named() -> None:
    bare = TaskPosted(event_id="2", at=minute(1), task_id="t", requester_id="r")
    assert troubles(PROFILE, bare, LIST, TAKEN) == {
        "task_reward": "warning",
        "task_skills": "warning",
        "task_title": "warning",
    }


def test_given_a_posting_whose_content_comes_as_an_update_then_nothing_is_lacking() -> None:
    bare = TaskPosted(event_id="2", at=minute(1), task_id="t", requester_id="r", skills=("labelling",))
    content = TaskUpdated(event_id="2b", at=minute(1), task_id="t", title="Label", reward=POSTED.reward)
    assert troubles(PROFILE, bare, content, LIST, TAKEN) == {}
    cleared = TaskUpdated(event_id="2c", at=minute(1), task_id="t", title=None)
    assert troubles(PROFILE, bare, content, cleared, LIST, TAKEN) == {"task_title": "warning"}


def test_given_an_id_twice_then_the_same_content_is_a_warning_and_other_content_an_error() -> None:
    assert troubles(PROFILE, POSTED, LIST, TAKEN, TAKEN) == {"identity": "warning"}
    other = AssignmentAccepted(event_id="4", at=minute(4), worker_id="w", task_id="t")
    assert troubles(PROFILE, POSTED, LIST, TAKEN, other) == {"identity": "error"}


def test_given_refused_lines_then_the_first_is_quoted() -> None:
    found = findings(PROFILE, "a.ndjson, line 2: bad", POSTED, "b", LIST, TAKEN)["lines"]
    assert found.level == "error"
    assert "2 lines are refused, the first: a.ndjson, line 2: bad" in found.message
