"""The evaluator's books: what truly happened, unpaid time included. No event tells it, and no policy may read it."""

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from training.simulation.population import Ints, Workers
from training.simulation.postings import Tasks

Outcome = Literal["taken", "declined", "gone", "lost"]
End = Literal["submitted", "returned", "abandoned"]


class _Session(NamedTuple):
    worker: int
    began_at: int
    ended_at: int


class _Listed(NamedTuple):
    list: int
    served_at: int
    worker: int
    surface: str
    seconds: float
    shown: int
    depth: int
    taken: int


class _Click(NamedTuple):
    list: int
    clicked_at: int
    worker: int
    task: int
    position: int
    outcome: Outcome


class _Accepted(NamedTuple):
    assignment: int
    list: int
    worker: int
    task: int
    accepted_at: int


class _Ended(NamedTuple):
    assignment: int
    ended_at: int
    end: End
    work_seconds: float
    overhead_seconds: float


class _Judged(NamedTuple):
    assignment: int
    judged_at: int
    approved: bool
    earned_usd: float


class Ledger:
    """Books that only grow: a row is written when a thing is over. What is still going on is not in them yet.

    Args:
        workers: of the world.
        tasks: of the world.
    """

    def __init__(self, workers: Workers, tasks: Tasks) -> None:
        self._workers, self._tasks = workers, tasks
        self._sessions: list[_Session] = []
        self._lists: list[_Listed] = []
        self._shown: list[tuple[int, Ints]] = []
        self._clicks: list[_Click] = []
        self._accepted: list[_Accepted] = []
        self._ended: list[_Ended] = []
        self._judged: list[_Judged] = []
        self._full: list[tuple[int, int]] = []
        self._left: list[tuple[int, int]] = []

    def session(self, worker: int, began_at: int, ended_at: int) -> None:
        """Write down a visit that is over."""
        self._sessions.append(_Session(worker, began_at, ended_at))

    def serve(self, tasks: Ints) -> int:
        """Write down what is listed (world indices, best first), and return the number of the list."""
        number = len(self._shown)
        self._shown.append((number, tasks))
        return number

    def leave_list(
        self, number: int, worker: int, began_at: int, now: int, depth: int, taken: int, saved: bool
    ) -> None:
        """Write down that a worker is done with a list: looked at ``depth`` positions, and took a task or none (-1)."""
        shown, surface = len(self._shown[number][1]), "saved" if saved else "feed"
        self._lists.append(
            _Listed(number, began_at, worker, surface, (now - began_at) / 1_000_000, shown, depth, taken)
        )

    def click(self, number: int, now: int, worker: int, task: int, position: int, outcome: Outcome) -> None:
        """Write down what came of a task that was opened."""
        self._clicks.append(_Click(number, now, worker, task, position, outcome))

    def accept(self, number: int, worker: int, task: int, now: int, *, full: bool) -> int:
        """Write down an acceptance, which may fill the task, and return the number of the assignment."""
        assignment = len(self._accepted)
        self._accepted.append(_Accepted(assignment, number, worker, task, now))
        if full:
            self._full.append((task, now))
        return assignment

    def end(self, assignment: int, now: int, end: End, work_seconds: float, overhead_seconds: float) -> None:
        """Write down that the worker's part is over, and the unpaid time that goes with it."""
        self._ended.append(_Ended(assignment, now, end, work_seconds, overhead_seconds))

    def judge(self, assignment: int, now: int, *, approved: bool, earned_usd: float) -> None:
        """Write down a verdict."""
        self._judged.append(_Judged(assignment, now, approved, earned_usd))

    def leave(self, worker: int, now: int) -> None:
        """Write down that a worker has left for good."""
        self._left.append((worker, now))

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the books as tidy tables.

        Instants are microseconds since 1970. ``worker``, ``task``, ``list`` and ``assignment`` are numbers that join
        the tables; a worker's and a task's are their world indices.

        Returns:
            ``workers``: one row each, ``worker_id``, ``joined_at``, ``left_at`` (NA: has not left).

            ``tasks``: one row each, ``task_id``, ``posted_at``, ``slots``, ``filled`` (taken and not given back),
            ``full_at`` (when the last slot was taken for the first time; NA: never).

            ``sessions``: ``worker``, ``began_at``, ``ended_at``.

            ``lists``: ``list``, ``served_at``, ``worker``, ``surface`` (``feed``, or ``saved`` where the worker came
            back for a saved task), ``seconds`` of unpaid looking, ``shown``, ``depth`` (positions looked at),
            ``clicks``, ``wasted`` (clicks on what could not be taken), ``taken`` (task; NA: none).

            ``exposures``: ``list``, ``served_at``, ``worker``, ``task``, ``position``, ``seen`` (was looked at).

            ``clicks``: ``list``, ``clicked_at``, ``worker``, ``task``, ``position`` (1 for a saved task), ``outcome``:
            ``taken``; ``declined``; ``gone`` when it was opened, or not for this worker; ``lost`` to somebody faster.

            ``assignments``: ``assignment``, ``list``, ``worker``, ``task``, ``accepted_at``, ``ended_at``, ``end``
            (``submitted``, ``returned``, ``abandoned``), ``work_seconds``, ``overhead_seconds`` (unpaid, beside the
            work), ``judged_at``, ``approved``, ``earned_usd`` (bonus included, 0 if rejected); NA where it has not come
            about.
        """
        clicks = pd.DataFrame(self._clicks, columns=_Click._fields)
        lists = pd.DataFrame(self._lists, columns=_Listed._fields)
        wasted = clicks["outcome"].isin(["gone", "lost"])
        for name, chosen in (("clicks", clicks), ("wasted", clicks[wasted])):
            lists[name] = lists["list"].map(chosen.groupby("list").size()).fillna(0).astype("int64")
        assignments = self._assignments()
        return {
            "workers": self._people(),
            "tasks": self._postings(assignments),
            "sessions": pd.DataFrame(self._sessions, columns=_Session._fields),
            "lists": lists.assign(taken=lists["taken"].astype("Int64").mask(lists["taken"] < 0)),
            "exposures": self._exposures(lists),
            "clicks": clicks,
            "assignments": assignments,
        }

    def _people(self) -> pd.DataFrame:
        workers = self._workers
        left = pd.Series(dict(self._left), dtype="Int64").reindex(range(len(workers)))
        columns = {"worker": range(len(workers)), "worker_id": workers.ids, "joined_at": workers.joined}
        return pd.DataFrame({**columns, "left_at": left})

    def _postings(self, assignments: pd.DataFrame) -> pd.DataFrame:
        tasks = self._tasks
        kept = assignments.loc[~assignments["end"].isin(["returned", "abandoned"]), "task"]
        full = pd.DataFrame(self._full, columns=["task", "at"]).groupby("task")["at"].min()
        return pd.DataFrame(
            {
                "task": range(len(tasks)),
                "task_id": tasks.ids,
                "posted_at": tasks.posted,
                "slots": tasks.slots,
                "filled": np.bincount(kept.to_numpy(np.int64), minlength=len(tasks)),
                "full_at": full.astype("Int64").reindex(range(len(tasks))),
            }
        )

    def _exposures(self, lists: pd.DataFrame) -> pd.DataFrame:
        over = lists[lists["shown"] > 0]
        tasks = [self._shown[number][1] for number in over["list"]]
        sizes = over["shown"].to_numpy()
        exposures = over[["list", "served_at", "worker"]].loc[over.index.repeat(sizes)].reset_index(drop=True)
        position = np.arange(len(exposures)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + 1
        return exposures.assign(
            task=np.concatenate(tasks) if tasks else np.empty(0, np.int64),
            position=position,
            seen=position <= np.repeat(over["depth"].to_numpy(), sizes),
        )

    def _assignments(self) -> pd.DataFrame:
        table = pd.DataFrame(self._accepted, columns=_Accepted._fields).set_index("assignment")
        for rows, columns in ((self._ended, _Ended._fields), (self._judged, _Judged._fields)):
            table = table.join(pd.DataFrame(rows, columns=columns).set_index("assignment"))
        kinds = {"ended_at": "Int64", "judged_at": "Int64", "approved": "boolean"}
        return table.reset_index().astype(kinds)
