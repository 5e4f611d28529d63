"""Toloka: pools, tasks, assignments and what its API tells of workers (`docs/formats/toloka.md`)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from features.events import AssignmentAbandoned, AssignmentAccepted, AssignmentReturned, Event
from service.adapters import Found
from service.adapters.derived import Profiles, Record, each
from service.adapters.payloads import JSON_FILES
from service.adapters.toloka.assignments import deeds
from service.adapters.toloka.offers import Offers, reserved
from service.adapters.toloka.records import Records, collect, moment
from service.adapters.toloka.workers import Restrictions, describe, skill
from service.log_files import Advance

FILES = JSON_FILES
_TAKING = AssignmentAccepted | AssignmentReturned | AssignmentAbandoned


def read(files: Sequence[Path], advance: Advance) -> Iterator[Found]:
    """Yield the events that the files tell; objects refer to each other over all of them."""
    records = Records()
    yield from collect(files, advance, records)
    yield from _Reading(records).events()


class _Reading:
    """One reading of all records."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._profiles = Profiles("toloka")
        self._restrictions = Restrictions()
        self._first: dict[str, datetime] = {}
        self._taken: defaultdict[str, list[tuple[datetime, int]]] = defaultdict(list)

    def events(self) -> Iterator[Found]:
        """Yield tasks before what happens to them: of one instant, they come first in the log."""
        records = self._records
        yield from each(records.skills, self._skill)
        yield from each(records.restrictions, self._restrict)
        self._restrictions.tell(self._profiles, datetime.now(UTC))
        offers = Offers(records, self._restrictions.keys())
        yield from offers.refused
        told = list(each(records.assignments, lambda record: self._work(record, offers)))
        yield from offers.events(self._taken)
        pools = {pool.fields.need("id") for pool in records.pools}
        yield from each([*records.suites, *records.tasks], lambda unit: self._keep(unit, pools))
        yield from each(records.workers, self._describe)
        yield from self._profiles.events()
        yield from told

    def _skill(self, record: Record) -> Iterator[Event]:
        skill(record, self._profiles)
        return iter(())

    def _restrict(self, record: Record) -> Iterator[Event]:
        self._restrictions.add(record)
        return iter(())

    def _keep(self, unit: Record, pools: set[str]) -> Iterator[Event]:
        pool = unit.fields.need("pool_id")
        if pool not in pools:
            reason = "the pool is in none of these files, and nothing else says what it pays and asks"
            raise unit.fields.error("pool_id", reason)
        for worker, key in reserved(unit.fields):
            at = moment(unit.fields, "created")
            self._profiles.hold(worker, at, "qualifications", key, None, unit)
        return iter(())

    def _work(self, record: Record, offers: Offers) -> Iterator[Event]:
        for event in deeds(record, offers.targets(record.fields)):
            worker = record.fields.need("user_id")
            self._first[worker] = min(self._first.get(worker, event.at), event.at)
            if isinstance(event, _TAKING):
                self._taken[event.task_id].append((event.at, 1 if isinstance(event, AssignmentAccepted) else -1))
            yield event

    def _describe(self, record: Record) -> Iterator[Event]:
        worker = record.fields.need("id")
        known = [at for at in (self._first.get(worker), self._profiles.since(worker)) if at is not None]
        if not known:
            reason = "metadata bears no time, and nothing else in these files says when the worker was there"
            raise record.fields.error("id", reason)
        describe(record, min(known), self._profiles)
        return iter(())
