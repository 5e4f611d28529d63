"""The evaluator's books of a small market, written by hand."""

from typing import Any

import pandas as pd

from training.simulation.postings import DAY, HOUR

SINCE = 100 * DAY
UNTIL = SINCE + 10 * DAY


def hour(hours: float) -> int:
    """The instant that many hours after the beginning."""
    return SINCE + round(hours * HOUR)


class Books:
    """Tables as of `Ledger.tables`, in the making; everything is given in hours since the beginning."""

    def __init__(self) -> None:
        self._rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _COLUMNS}

    def worker(self, joined: float = -48.0, left: float | None = None) -> int:
        return self._add("workers", joined_at=hour(joined), left_at=None if left is None else hour(left))

    def task(self, posted: float = 0.0, slots: int = 1, filled: int = 0, full: float | None = None) -> int:
        at = None if full is None else hour(full)
        return self._add("tasks", posted_at=hour(posted), slots=slots, filled=filled, full_at=at)

    def looks(
        self, worker: int, at: float, minutes: float = 0.0, taken: int | None = None, surface: str = "feed"
    ) -> int:
        row = {"worker": worker, "served_at": hour(at), "seconds": 60 * minutes, "taken": taken, "surface": surface}
        return self._add("lists", **row)

    def sees(self, task: int, at: float = 1.0, *, seen: bool = True) -> int:
        return self._add("exposures", task=task, served_at=hour(at), seen=seen)

    def clicks(self, outcome: str, at: float = 1.0) -> int:
        return self._add("clicks", outcome=outcome, clicked_at=hour(at))

    def works(
        self,
        worker: int,
        at: float,
        minutes: float = 60.0,
        *,
        task: int = 0,
        unpaid: float = 0.0,
        usd: float | None = None,
        approved: bool | None = None,
        judged: float | None = None,
        over: bool = True,
    ) -> int:
        return self._add(
            "assignments",
            worker=worker,
            task=task,
            accepted_at=hour(at),
            ended_at=hour(at + minutes / 60) if over else None,
            work_seconds=60 * minutes if over else None,
            overhead_seconds=60 * unpaid if over else None,
            judged_at=None if judged is None else hour(judged),
            approved=approved,
            earned_usd=usd,
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        kinds = {"ended_at": "Int64", "judged_at": "Int64", "left_at": "Int64", "full_at": "Int64", "taken": "Int64"}
        found = {}
        for name, columns in _COLUMNS.items():
            table = pd.DataFrame(self._rows[name], columns=list(columns))
            table = table.astype({column: kind for column, kind in kinds.items() if column in table})
            found[name] = table.astype({"approved": "boolean"}) if "approved" in table else table
        return found

    def _add(self, name: str, **row: Any) -> int:
        number = len(self._rows[name])
        self._rows[name].append({_COLUMNS[name][0]: number, **row})
        return number


_COLUMNS = {
    "workers": ("worker", "joined_at", "left_at"),
    "tasks": ("task", "posted_at", "slots", "filled", "full_at"),
    "lists": ("list", "worker", "served_at", "seconds", "taken", "surface"),
    "exposures": ("exposure", "task", "served_at", "seen"),
    "clicks": ("click", "outcome", "clicked_at"),
    "assignments": (
        "assignment",
        "worker",
        "task",
        "accepted_at",
        "ended_at",
        "work_seconds",
        "overhead_seconds",
        "judged_at",
        "approved",
        "earned_usd",
    ),
}
