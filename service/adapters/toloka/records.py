"""What the files hold: objects of Toloka's API, by themselves, in lists, or as the API answers them in ``items``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from features.errors import EventError
from service.adapters import Found
from service.adapters.derived import Record
from service.adapters.payloads import Fields, read_documents
from service.log_files import Advance

Kind = Literal["restrictions", "skills", "assignments", "pools", "suites", "tasks", "projects", "workers"]


@dataclass
class Records:
    """The objects of all files, each kind in the order in which it was found."""

    projects: list[Record] = field(default_factory=list)
    pools: list[Record] = field(default_factory=list)
    suites: list[Record] = field(default_factory=list)
    tasks: list[Record] = field(default_factory=list)
    assignments: list[Record] = field(default_factory=list)
    skills: list[Record] = field(default_factory=list)
    restrictions: list[Record] = field(default_factory=list)
    workers: list[Record] = field(default_factory=list)


# The first whose fields are all there tells what an object is.
_SIGNS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("restrictions", ("scope", "user_id")),
    ("skills", ("skill_id", "user_id")),
    ("assignments", ("user_id", "status")),
    ("pools", ("project_id", "reward_per_assignment")),
    ("pools", ("project_id", "private_name")),
    ("suites", ("pool_id", "tasks")),
    ("tasks", ("pool_id", "input_values")),
    ("workers", ("id", "languages")),
    ("workers", ("id", "attributes")),
    ("projects", ("id", "public_name")),
)
# By these, objects refer to each other.
_KEYS: dict[Kind, tuple[str, ...]] = {
    "projects": ("id",),
    "pools": ("id", "project_id"),
    "suites": ("id", "pool_id"),
    "tasks": ("id", "pool_id"),
}
# Unpaid training, and the definitions of skills, of which the log knows the ids.
_LEFT_OUT = (("project_id", "training_tasks_in_task_suite_count"), ("id", "name", "hidden"))
_KNOWN = ("project", "pool", "task suite", "task", "assignment", "user skill", "user restriction", "user metadata")


def collect(files: Sequence[Path], advance: Advance, into: Records) -> Iterator[Found]:
    """Fill ``into`` from all files, yielding what is refused on the way."""
    for file in files:
        for line, found in read_documents(file):
            try:
                if isinstance(found, EventError):
                    raise found
                _take(found, "", file, line, into)
            except EventError as error:
                yield file, line, error
        advance(file.stat().st_size)


def instant(text: str) -> datetime:
    """Return the instant of an API response: ISO 8601, in UTC where it names no zone.

    Raises:
        ValueError: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expected ISO 8601") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def moment(fields: Fields, name: str) -> datetime:
    """Return an instant that must be there.

    Raises:
        EventError: it is missing or none.
    """
    at = fields.instant(name, instant)
    if at is None:
        raise fields.error(name, "missing")
    return at


def _take(body: object, path: str, file: Path, line: int, into: Records) -> None:
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        body, path = body["items"], f"{path}.items" if path else "items"
    if isinstance(body, list):
        for place, item in enumerate(body):
            _take(item, f"{path}[{place}]", file, line, into)
        return
    fields = Fields(body, path)
    if any(all(name in fields for name in names) for names in _LEFT_OUT):
        return
    for kind, names in _SIGNS:
        if all(name in fields for name in names):
            for key in _KEYS.get(kind, ()):
                fields.need(key)
            getattr(into, kind).append(Record(file, line, fields))
            return
    raise EventError(f"no object of the API that is understood; known: {', '.join(_KNOWN)}", path or "$")
