"""What is wrong with a log, in plain words: one pass gathers facts, and small checks judge them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, NamedTuple

from msgspec import UNSET

from features.events import (
    AssignmentAccepted,
    AssignmentApproved,
    AssignmentRejected,
    AssignmentSubmitted,
    Event,
    FeedServed,
    TaskPosted,
    TaskSaved,
    TaskUpdated,
    TaskViewed,
    WorkerUpdated,
    encode_event,
    event_type,
    micros,
    moneys,
)
from features.money import Rates
from service.plural import counted
from service.store.base import digest

Level = Literal["ok", "warning", "error"]
AHEAD = timedelta(minutes=5)
"""How far an event may be ahead of the clock."""

# Below these shares a lack is normal; above them it costs the ranker something worth a word.
MANY = 0.2
FEW_POSITIVES = 0.1
ENOUGH_LISTS = 10  # fewer may be of a single task by chance
ENOUGH_WORKS = 50  # fewer may all be approved by chance
CONTENT = {"reward": "pay", "skills": "skill", "title": "text"}

_OUTCOMES = (
    TaskViewed,
    TaskSaved,
    AssignmentAccepted,
    AssignmentSubmitted,
    AssignmentApproved,
    AssignmentRejected,
)


class Finding(NamedTuple):
    """One thing the doctor looked at.

    Attributes:
        level: ``ok``, ``warning`` (the system works, but worse) or ``error`` (something will not work).
        check: short stable name.
        message: what was found.
        advice: what to do about it; empty when all is well.
    """

    level: Level
    check: str
    message: str
    advice: str = ""


@dataclass
class Survey:
    """The facts of a log that the checks judge.

    Attributes:
        to_import: the events are of files, which an import puts in the order of their time.
    """

    rates: Rates
    now: int
    to_import: bool = False
    events: int = 0
    types: Counter[str] = field(default_factory=Counter)
    missing_rates: Counter[str] = field(default_factory=Counter)
    posted: dict[str, frozenset[str]] = field(default_factory=dict)  # task -> what of CONTENT it lacks
    named_tasks: set[str] = field(default_factory=set)
    profiled: set[str] = field(default_factory=set)
    named_workers: set[str] = field(default_factory=set)
    late: int = 0
    largest_jump: int = 0
    ahead: int = 0
    repeated: int = 0
    conflicting: int = 0
    lists: int = 0
    positive_lists: int = 0
    choices: int = 0
    timed: int = 0
    refused: list[str] = field(default_factory=list)


def survey(source: Callable[[], Iterable[Event | str]], rates: Rates, now: int, *, to_import: bool = False) -> Survey:
    """Gather the facts of a log.

    Args:
        source: gives the events in order, anew at each call; text stands for a refused line and says why.
        rates: rates of exchange in force.
        now: microseconds since 1970.
        to_import: as in `Survey`.
    """
    facts = Survey(rates, now, to_import)
    seen: dict[bytes, bytes] = {}
    outcomes: dict[tuple[str, str], int] = {}
    named: set[tuple[str | None, str]] = set()
    clock = 0
    for event in source():
        if isinstance(event, str):
            facts.refused.append(event)
            continue
        at = micros(event.at)
        facts.events += 1
        facts.types[event_type(event)] += 1
        facts.late += at < clock
        facts.largest_jump = max(facts.largest_jump, clock - at)
        clock = max(clock, at)
        facts.ahead += at > now + AHEAD // timedelta(microseconds=1)
        content = digest(encode_event(event))
        first = seen.setdefault(digest(event.event_id.encode()), content)
        if first is not content:
            facts.repeated += first == content
            facts.conflicting += first != content
        facts.missing_rates.update(money.currency for money in moneys(event) if money.currency not in rates)
        _note_names(event, facts)
        if isinstance(event, FeedServed):
            facts.lists += bool(event.items)
        elif isinstance(event, _OUTCOMES):
            pair = (event.worker_id, event.task_id)
            outcomes[pair] = max(at, outcomes.get(pair, at))
            if isinstance(event, AssignmentAccepted):
                named.add((event.feed_id, event.task_id))
    for event in source() if outcomes else ():
        if isinstance(event, FeedServed):
            at = micros(event.at)
            facts.choices += len(event.items) > 1
            facts.positive_lists += any(
                outcomes.get((event.worker_id, item.task_id), -1) >= at or (event.feed_id, item.task_id) in named
                for item in event.items
            )
    return facts


def _note_names(event: Event, facts: Survey) -> None:
    worker, task = getattr(event, "worker_id", None), getattr(event, "task_id", None)
    if worker is not None:
        facts.named_workers.add(worker)
    if task is not None:
        facts.named_tasks.add(task)
    match event:
        case FeedServed():
            facts.named_tasks.update(item.task_id for item in event.items)
        case WorkerUpdated():
            facts.profiled.add(event.worker_id)
        case TaskPosted():
            facts.posted[event.task_id] = frozenset(name for name in CONTENT if not getattr(event, name))
        case TaskUpdated() if event.task_id in facts.posted:
            given = {name: getattr(event, name) for name in CONTENT}
            lacking = facts.posted[event.task_id]
            facts.posted[event.task_id] = frozenset(
                name for name, value in given.items() if (name in lacking if value is UNSET else not value)
            )
        case AssignmentSubmitted():
            facts.timed += bool(event.work_seconds)


def examine(facts: Survey) -> list[Finding]:
    """Run every check; a log without events gets only what can be said of it."""
    checks = (check_lines, check_events) if facts.events == 0 else CHECKS
    return [finding for check in checks for finding in check(facts)]


def check_archive(lists: int, faults: Sequence[str]) -> Iterator[Finding]:
    """Files of old lists, which only the log in the store can have.

    Args:
        lists: how many are in files.
        faults: what is wrong with files.
    """
    for fault in faults:
        yield Finding(
            "error",
            "archive",
            fault,
            "bring the file back from a backup: the log cannot be read without it, and nothing else of it is lost",
        )
    if lists and not faults:
        yield Finding("ok", "archive", f"{counted(lists, 'old list is', 'old lists are')} in files, all as written")


def check_lines(facts: Survey) -> Iterator[Finding]:
    """Refused lines, of which only files can have any."""
    if facts.refused:
        yield Finding(
            "error",
            "lines",
            f"{counted(len(facts.refused), 'line is', 'lines are')} refused, the first: {facts.refused[0]}",
            "mend the lines, or leave them out with: cocok import --on-error skip",
        )


def check_events(facts: Survey) -> Iterator[Finding]:
    """Whether there is anything at all."""
    if facts.events == 0:
        yield Finding("error", "events", "there are no events", "bring in a log with: cocok import PATH")
    else:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in facts.types.most_common(4))
        yield Finding(
            "ok", "events", f"{counted(facts.events, 'event')} of {counted(len(facts.types), 'type')}, mostly {kinds}"
        )


def check_lists(facts: Survey) -> Iterator[Finding]:
    """Lists, which are what training rows are made of."""
    if facts.lists == 0:
        yield Finding(
            "error",
            "lists",
            "no feed_served: there are no lists, so nothing to train on",
            "log every list that workers are shown, or rank with the fallback until there are some",
        )
    else:
        yield Finding("ok", "lists", counted(facts.lists, "list was served", "lists were served"))


def check_labels(facts: Survey) -> Iterator[Finding]:
    """Outcomes after lists, which are what labels are made of."""
    if facts.lists == 0:
        return
    share = facts.positive_lists / facts.lists
    message = (
        f"{facts.positive_lists:,} of {facts.lists:,} lists ({share:.1%}) were followed by an outcome on their tasks"
    )
    if facts.positive_lists == 0:
        yield Finding(
            "error",
            "labels",
            "no outcome follows any list: there are no labels",
            "log task_viewed, assignment_accepted and what comes after, with the worker_id and task_id of the lists",
        )
    elif share < FEW_POSITIVES:
        yield Finding(
            "warning",
            "labels",
            message,
            "lists without an outcome teach the order of nothing; check that outcomes are logged with the same ids",
        )
    elif facts.choices == 0 and facts.lists >= ENOUGH_LISTS:
        yield Finding(
            "error",
            "labels",
            "every list holds a single task: there is no order to learn",
            "log the list as the worker saw it, with all its tasks, not one list for each task",
        )
    else:
        yield Finding("ok", "labels", message)


def check_rates(facts: Survey) -> Iterator[Finding]:
    """Currencies that cannot be converted."""
    for currency, count in sorted(facts.missing_rates.items()):
        yield Finding(
            "error",
            "rates",
            f"{counted(count, 'amount is', 'amounts are')} in {currency}, which has no rate",
            f"under [rates] in cocok.toml write {currency} = how many {currency} 1 {facts.rates.base} buys",
        )
    if not facts.missing_rates:
        yield Finding("ok", "rates", f"every amount converts to {facts.rates.base}")


def check_tasks_known(facts: Survey) -> Iterator[Finding]:
    """Tasks that are named but were never posted."""
    unknown = len(facts.named_tasks - facts.posted.keys())
    if unknown:
        yield Finding(
            "warning",
            "unknown_tasks",
            f"{unknown:,} of {len(facts.named_tasks):,} tasks are named by events but were never posted",
            "send task_posted for them: a task without it is never open, and its rows have no content",
        )
    else:
        yield Finding("ok", "unknown_tasks", f"every task was posted, {len(facts.posted):,} in all")


def check_workers_known(facts: Survey) -> Iterator[Finding]:
    """Workers that act but have no profile."""
    unknown = len(facts.named_workers - facts.profiled)
    if unknown:
        yield Finding(
            "warning",
            "unknown_workers",
            f"{unknown:,} of {len(facts.named_workers):,} workers have no profile (worker_updated)",
            "send worker_updated with skills and expected_hourly: without it only history can be matched",
        )
    else:
        yield Finding("ok", "unknown_workers", f"every worker has a profile, {len(facts.profiled):,} in all")


def check_order(facts: Survey) -> Iterator[Finding]:
    """Events that are later in the log than their time says."""
    if facts.late:
        jump = timedelta(microseconds=facts.largest_jump)
        message = f"out of order: {counted(facts.late, 'event')} ({facts.late / facts.events:.1%}), by up to {jump}"
        if facts.to_import:
            yield Finding("ok", "order", f"{message}; an import of these files in one command sorts them")
            return
        yield Finding(
            "warning",
            "order",
            message,
            "a late event counts only from its place in the log on; import the files of one period in one command,"
            " which sorts them",
        )
    else:
        yield Finding("ok", "order", "events are in the order of their time")


def check_future(facts: Survey) -> Iterator[Finding]:
    """Events from the future, which hold the log's clock there."""
    if facts.ahead:
        yield Finding(
            "error",
            "future",
            f"{counted(facts.ahead, 'event lies', 'events lie')} more than {AHEAD.seconds // 60} minutes in the future",
            "correct the sender's clock or time zone: the log's clock never runs back, so all later events are dated"
            " by these",
        )
    else:
        yield Finding("ok", "future", "no event lies in the future")


def check_content(facts: Survey) -> Iterator[Finding]:
    """Tasks without what a ranker goes by."""
    total = len(facts.posted)
    for name, use in CONTENT.items():
        bare = sum(name in lacking for lacking in facts.posted.values())
        if total and bare / total > MANY:
            yield Finding(
                "warning",
                f"task_{name}",
                f"{bare:,} of {total:,} tasks have no {name}",
                f"send it in task_posted: without it these tasks cannot be ranked by {use}",
            )
        elif total:
            yield Finding("ok", f"task_{name}", f"{total - bare:,} of {total:,} tasks have {name}")


def check_verdicts(facts: Survey) -> Iterator[Finding]:
    """Rejections, without which nothing tells work that is approved from work that is not."""
    approved, rejected = facts.types["assignment_approved"], facts.types["assignment_rejected"]
    if approved + rejected == 0:
        return
    message = f"{rejected:,} of {approved + rejected:,} verdicts are rejections"
    if min(approved, rejected) == 0 and approved + rejected >= ENOUGH_WORKS:
        missing = "assignment_approved" if rejected else "assignment_rejected"
        yield Finding(
            "warning",
            "verdicts",
            message,
            f"send {missing} too, if there are such verdicts: the model of p_approve needs both kinds",
        )
    else:
        yield Finding("ok", "verdicts", message)


def check_minutes(facts: Survey) -> Iterator[Finding]:
    """How long work took, without which pay per hour rests on what requesters state."""
    submitted = facts.types["assignment_submitted"]
    if submitted == 0:
        return
    message = f"{facts.timed:,} of {submitted:,} submissions say how long the work took"
    if facts.timed == 0 and submitted >= ENOUGH_WORKS:
        yield Finding(
            "warning",
            "minutes",
            message,
            "send work_seconds in assignment_submitted: the model of minutes needs it, and pay per hour rests on it",
        )
    else:
        yield Finding("ok", "minutes", message)


def check_identity(facts: Survey) -> Iterator[Finding]:
    """Ids that occur twice, which only files can hold."""
    if facts.conflicting:
        yield Finding(
            "error",
            "identity",
            counted(facts.conflicting, "event uses an event_id", "events use an event_id") + " that other content has",
            "give every event its own event_id; an event never changes",
        )
    if facts.repeated:
        yield Finding(
            "warning",
            "identity",
            counted(facts.repeated, "event is", "events are") + " there more than once",
            "nothing to do: an import takes each once; a sender that repeats everything may be worth a look",
        )
    if not facts.conflicting and not facts.repeated:
        yield Finding("ok", "identity", "every event_id occurs once")


CHECKS: tuple[Callable[[Survey], Iterator[Finding]], ...] = (
    check_lines,
    check_events,
    check_lists,
    check_labels,
    check_rates,
    check_tasks_known,
    check_workers_known,
    check_order,
    check_future,
    check_content,
    check_verdicts,
    check_minutes,
    check_identity,
)
