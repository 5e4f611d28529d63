"""Pools, task suites and tasks as tasks of the log."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from features.errors import EventError
from features.events import Event
from service.adapters import Found
from service.adapters.clauses import Node, any_of, clause, requirements
from service.adapters.derived import Record, make, offered
from service.adapters.payloads import Fields
from service.adapters.toloka.filters import nodes_of
from service.adapters.toloka.prices import Price, amount_text, prices_of
from service.adapters.toloka.records import Records, instant, moment

REQUESTER = "toloka"
"""The requester of pools that name no owner."""
STATUSES = ("OPEN", "CLOSED", "ARCHIVED", "LOCKED")
BANNED = "banned"
_MAX_SLOTS = 10**9
_SECONDS_IN_MINUTE = 60
_NAMES = {
    "task_id": "id",
    "slots": "overlap",
    "group_id": "pool_id",
    "reward": "reward_per_assignment",
    "time_limit_minutes": "assignment_max_duration_seconds",
    "expires_at": "will_expire",
    "description": "public_description",
    "requirements": "filter",
    "category": "project_id",
}


_FIXED = ("task_id", "requester_id", "category", "group_id")
"""What of a posting never changes."""
Taken = Mapping[str, Sequence[tuple[datetime, int]]]
"""Of each task, when slots were taken (1) and given back (-1)."""


class _Offer(NamedTuple):
    """What holds for every task of a pool.

    Attributes:
        pool: the pool.
        created: when it was made.
        started: when it was last started.
        stopped: when it was last stopped.
        is_open: whether it is open.
        reason: why it was stopped.
        asked: what it asks of workers.
        facts: fields of `task_posted`.
        prices: what it pays.
    """

    pool: Record
    created: datetime
    started: datetime | None
    stopped: datetime | None
    is_open: bool
    reason: str
    asked: list[Node]
    facts: dict[str, Any]
    prices: list[Price]


class Offers:
    """What workers are offered of each pool: its task suites, else its tasks, else the pool as a whole.

    Attributes:
        refused: pools that cannot be read.

    Args:
        records: the objects of all files.
        banned: the qualifications that stand for the restrictions among them.
    """

    def __init__(self, records: Records, banned: Iterable[str]) -> None:
        self._projects = {record.fields.need("id"): record.fields for record in records.projects}
        self._banned = frozenset(banned)
        self._suites = _by_pool(records.suites)
        self._tasks = _by_pool([task for task in records.tasks if not task.fields.body.get("known_solutions")])
        self._known = {pool: {task.fields.need("id") for task in tasks} for pool, tasks in self._tasks.items()}
        self._prices: dict[str, list[Price]] = {}
        self._offers: list[_Offer] = []
        self.refused: list[Found] = []
        for pool in records.pools:
            try:
                self._offers.append(self._offer(pool))
            except EventError as error:
                self.refused.append((pool.file, pool.line, error))

    def events(self, taken: Taken) -> Iterator[Found]:
        """Yield the tasks of the pools, a task for each price, and when they were closed and opened again.

        Args:
            taken: what workers did with them.
        """
        for offer in self._offers:
            pool = offer.pool.fields.need("id")
            for unit in self._suites.get(pool) or self._tasks.get(pool) or [offer.pool]:
                try:
                    for event in self._unit(unit, offer, taken):
                        yield unit.file, unit.line, event
                except EventError as error:
                    yield unit.file, unit.line, error

    def targets(self, assignment: Fields) -> list[str]:
        """Return the tasks of the log that an assignment is about.

        Raises:
            EventError: it does not say which pool it belongs to, or none of its tasks is known.
        """
        pool = assignment.need("pool_id")
        if pool in self._suites:
            units = [assignment.need("task_suite_id")]
        elif pool in self._tasks:
            known = self._known[pool]
            units = [task.need("id") for task in assignment.objects("tasks") if task.text("id") in known]
            if not units:
                raise assignment.error("tasks", "none of them is among the tasks of the pool in these files")
        else:
            units = [pool]
        paid = assignment.number("reward")
        return [
            self._named(unit, pool, None if paid is None else Decimal(str(assignment.body["reward"]))) for unit in units
        ]

    def _named(self, unit: str, pool: str, paid: Decimal | None) -> str:
        others = [price.amount for price in self._prices.get(pool, [])[1:]]
        return f"{unit}@{amount_text(paid)}" if paid in others and paid is not None else unit

    def _offer(self, pool: Record) -> _Offer:
        fields = pool.fields
        identity, project, owner = fields.need("id"), fields.need("project_id"), fields.object("owner")
        described = self._projects.get(project) or Fields({})
        duration = fields.number("assignment_max_duration_seconds", 1)
        prices = self._prices[identity] = prices_of(fields)
        status = fields.choice("status", STATUSES) or "OPEN"
        closed = "CLOSED" if status == "OPEN" else status
        return _Offer(
            pool=pool,
            created=moment(fields, "created"),
            started=fields.instant("last_started", instant),
            stopped=fields.instant("last_stopped", instant),
            is_open=status == "OPEN",
            reason=fields.text("last_close_reason") or closed,
            prices=prices,
            asked=[*nodes_of(fields), *self._bans(identity, project)],
            facts={
                "requester_id": (owner.text("id") if owner is not None else None) or REQUESTER,
                "title": described.text("public_name"),
                "description": fields.text("public_description") or described.text("public_description"),
                "category": project,
                "keywords": ["adult content"] if fields.flag("may_contain_adult_content") else None,
                "group_id": identity,
                "time_limit_minutes": None if duration is None else duration / _SECONDS_IN_MINUTE,
                "expires_at": fields.instant("will_expire", instant),
            },
        )

    def _share(self, unit: Record, pool: Record) -> dict[str, Any]:
        if unit is not pool:
            return {"slots": _overlap(unit.fields, pool.fields)}
        project = self._projects.get(pool.fields.need("project_id"))
        most = project.integer("max_active_assignments_count", 1, _MAX_SLOTS) if project is not None else None
        return {"per_worker_limit": most}

    def _bans(self, pool: str, project: str) -> list[Node]:
        keys = (BANNED, f"{BANNED}:project:{project}", f"{BANNED}:pool:{pool}")
        return [clause(f"qualification:{key}", "not_exists") for key in keys if key in self._banned]

    def _unit(self, unit: Record, offer: _Offer, taken: Taken) -> Iterator[Event]:
        pool, start, stop = offer.pool, offer.started, offer.stopped
        at = max(offer.created, moment(unit.fields, "created"))
        again = start if offer.is_open and start is not None and start > at else None
        shared = {**offer.facts, **self._share(unit, pool)}
        for place, price in enumerate(offer.prices):
            name = unit.fields.need("id") + (f"@{amount_text(price.amount)}" if place else "")
            nodes = [*offer.asked, *_chosen(unit.fields), *price.nodes]
            facts = {
                **shared,
                "task_id": name,
                "reward": {"amount": str(price.amount), "currency": "USD"},
                "requirements": requirements(nodes, pool.fields.where("filter")),
            }
            identity = ("toloka", "task", name, facts["requester_id"])
            yield from offered((*identity, "posted"), at, _FIXED, facts, unit, _NAMES)
            if not offer.is_open or again is not None:
                end = stop if stop is not None and at <= stop and (again is None or stop <= again) else at
                closed = {"task_id": name, "reason": offer.reason}
                yield make("task_closed", (*identity, offer.reason, end.isoformat()), end, closed, pool, _NAMES)
            if again is not None:
                left = facts.get("slots")
                if left is not None:
                    left = max(0, left - sum(change for when, change in taken.get(name, ()) if when <= again))
                    facts = {**facts, "slots": left}
                yield from offered((*identity, "started", again.isoformat()), again, _FIXED, facts, unit, _NAMES)


def reserved(unit: Fields) -> Iterator[tuple[str, str]]:
    """Yield the workers for whom, or from whom, a task is kept, with the qualification that says so."""
    for name, key in (("reserved_for", "reserved"), ("unavailable_for", "unavailable")):
        for place, worker in enumerate(unit.values(name)):
            if not isinstance(worker, str):
                raise unit.error(f"{name}[{place}]", "expected text")
            yield worker, f"{key}:{unit.need('id')}"


def _chosen(unit: Fields) -> list[Node]:
    """Return what a task asks beside its pool: that it is kept for a worker, and traits."""
    nodes = [
        clause(f"qualification:{key}:{unit.need('id')}", comparator)
        for name, key, comparator in (
            ("reserved_for", "reserved", "exists"),
            ("unavailable_for", "unavailable", "not_exists"),
        )
        if unit.values(name)
    ]
    nodes += [clause(trait, "exists") for trait in _traits(unit, "traits_all_of")]
    if any_trait := [clause(trait, "exists") for trait in _traits(unit, "traits_any_of")]:
        nodes.append(any_of(any_trait))
    return nodes + [clause(trait, "not_exists") for trait in _traits(unit, "traits_none_of_any")]


def _traits(unit: Fields, name: str) -> list[str]:
    for place, trait in enumerate(unit.values(name)):
        if not isinstance(trait, str) or not trait:
            raise unit.error(f"{name}[{place}]", "expected text")
    return [f"qualification:trait:{trait}" for trait in unit.values(name)]


def _overlap(unit: Fields, pool: Fields) -> int | None:
    """Return by how many workers a task or suite is to be done, None for any number."""
    if unit.flag("infinite_overlap"):
        return None
    overlap = unit.integer("overlap", 0, _MAX_SLOTS)
    defaults = pool.object("defaults")
    if overlap is None and defaults is not None:
        default = "default_overlap_for_new_task_suites" if "tasks" in unit else "default_overlap_for_new_tasks"
        overlap = defaults.integer(default, 0, _MAX_SLOTS)
    if overlap is None:
        raise unit.error("overlap", "missing, and the pool has no default")
    return overlap


def _by_pool(records: Iterable[Record]) -> dict[str, list[Record]]:
    found: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        found[record.fields.need("pool_id")].append(record)
    return dict(found)
