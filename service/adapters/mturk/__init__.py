"""Amazon Mechanical Turk: API responses, notification messages and results files (`docs/formats/mturk.md`)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from features.events import Event
from service.adapters import Found
from service.adapters.derived import Profiles, Record, each
from service.adapters.mturk import assignments, hits, notices
from service.adapters.mturk.records import CSV_FILES, Records, collect
from service.adapters.mturk.workers import qualify
from service.adapters.payloads import JSON_FILES
from service.log_files import Advance

FILES = (*JSON_FILES, *CSV_FILES)
REQUESTER = "mturk"
"""The requester of HITs whose files name none: the API answers the requester alone, without saying who that is."""


def read(files: Sequence[Path], advance: Advance) -> Iterator[Found]:
    """Yield the events that the files tell; what they say of one HIT or assignment is joined over all of them."""
    records = Records()
    yield from collect(files, advance, records)
    yield from _Reading(records).events()


class _Reading:
    """One reading of all records.

    What the API says of an assignment goes before a results file, and that before a notice: they tell the same steps,
    a notice some seconds later.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._requester = next(iter(records.requesters)) if len(records.requesters) == 1 else REQUESTER
        self._facts: dict[str, dict[str, Any]] = {}
        self._workers: dict[str, str] = {}
        self._courses: defaultdict[str, list[tuple[datetime, Record]]] = defaultdict(list)
        self._taken: defaultdict[str, list[datetime]] = defaultdict(list)
        self._last: dict[str, datetime] = {}
        self._told: set[str] = set()

    def events(self) -> Iterator[Found]:
        """Yield tasks before what happens to them: of one instant, they come first in the log."""
        records = self._records
        profiles = Profiles("mturk")
        yield from each(records.qualifications, partial(_qualify, profiles))
        yield from profiles.events()
        described = {record.fields.need("HITId") for record in records.hits}
        yield from each(records.hits, self._offer)
        yield from each([row for row in records.rows if row.fields.need("HITId") not in described], self._offer)
        yield from each([*records.assignments, *records.rows], self._work)
        yield from each(records.notices, self._notice)
        for task, course in self._courses.items():
            course.sort(key=lambda notice: notice[0])
            for record, found in notices.course(course, self._facts.get(task), self._taken[task]):
                yield record.file, record.line, found
        yield from each(records.hits, self._close)

    def _offer(self, record: Record) -> Iterator[Event]:
        facts = hits.facts_of(record, self._records.types, self._requester)
        at = hits.created(record)
        self._facts[facts["task_id"]] = facts
        self._see(facts["task_id"], at)
        yield from self._once(*hits.postings(facts, at, record))

    def _work(self, record: Record) -> Iterator[Event]:
        assignment, worker, task = assignments.ids(record)
        self._workers[assignment] = worker
        for stage in assignments.stages(record):
            self._see(task, stage.at)
            for event in self._once(assignments.deed(assignment, stage, worker, task, record)):
                if stage.kind == "assignment_accepted":
                    self._taken[task].append(stage.at)
                yield event

    def _notice(self, record: Record) -> Iterator[Event]:
        kind = notices.type_of(record)
        if kind in notices.DEEDS:
            yield from self._once(notices.deed_of(record, self._workers))
        elif kind != "Ping":
            self._courses[record.fields.need("HITId")].append((notices.moment(record), record))

    def _close(self, record: Record) -> Iterator[Event]:
        task = record.fields.need("HITId")
        if task not in self._facts:
            return  # refused when it was offered
        if not any(notices.type_of(notice) in notices.ENDS for _, notice in self._courses[task]):
            yield from self._once(*hits.closing(record, self._facts[task], self._last[task]))

    def _once(self, *events: Event) -> Iterator[Event]:
        for event in events:
            if event.event_id not in self._told:
                self._told.add(event.event_id)
                yield event

    def _see(self, task: str, at: datetime) -> None:
        self._last[task] = max(self._last.get(task, at), at)


def _qualify(profiles: Profiles, record: Record) -> Iterator[Event]:
    qualify(record, profiles)
    return iter(())
