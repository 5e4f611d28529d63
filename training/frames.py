"""The log as tables: named and typed columns, for looking at a marketplace in a notebook."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.events import Entry
from features.money import Rates
from training.assignments import OUTCOMES
from training.log_tables import INSTANT, LogTables


@dataclass(frozen=True)
class Log:
    """A log as tables that join on ``task_id``, ``worker_id`` and ``feed_id``.

    Missing is NaN, NaT or, in Int64 columns, NA. Instants are datetime64[us, UTC], amounts of money without a currency
    are in the base currency. Workers who asked to be forgotten are in no table with what they did before.

    Attributes:
        tasks: one row for each task that was posted, as it stands at the end of the log. ``category`` is in lower case
            with single spaces, ``language`` the primary subtag of the first of ``languages``; ``languages`` and
            ``skills`` are joined by commas. ``reward`` is in the base currency, ``reward_amount`` in
            ``reward_currency``; missing ``slots`` are unlimited. ``posted_at`` is the first posting, ``closed_at`` is
            missing while the task is not closed or is posted again, ``expires_at`` is what the posting says.
        workers: one row for each worker that an event names; ``first_seen`` is the earliest of their instants. The
            profile is the last; its columns are missing without one (``has_profile`` False).
        lists: one row for each list, in order of the log; ``shown`` is how far down the worker saw it, missing if the
            log does not say. Lists of the policy ``sampled`` were reconstructed and never shown.
        items: one row for each item of each list, in order of ``lists`` and of position from 1.
        assignments: one row for each time a worker took a task (``attempt`` from 1), in order of the log. An instant is
            missing if it has not come about, or if only what follows it is told. ``outcome`` is accepted, submitted,
            approved, rejected, returned or abandoned, as it stands at the end.
        events: one row for each event: its sequence number, when it was known, its own instant, type, and whom and what
            it is about.
    """

    tasks: pd.DataFrame
    workers: pd.DataFrame
    lists: pd.DataFrame
    items: pd.DataFrame
    assignments: pd.DataFrame
    events: pd.DataFrame

    def summary(self) -> pd.DataFrame:
        """Return the size and the course of the log in a few figures.

        An item counts as taken if it is the last that offered the worker a task before the worker took it; lists of the
        policy ``sampled`` count as lists.

        Returns:
            One row for each figure, under its name: ``value`` (object: int, float, or Timestamp); NaN or NaT where
            there is nothing to count.
        """
        outcomes = self.assignments["outcome"]
        verdicts = outcomes[outcomes.isin(["approved", "rejected"])]
        lists = np.repeat(np.arange(len(self.lists)), self.lists["items"])
        taken = pd.Series(np.isin(np.arange(len(self.items)), self._items_taken(lists)))
        from_list = pd.Series(np.bincount(lists, taken, minlength=len(self.lists)))
        filled = self.lists["items"] > 0
        figures = {
            "events": len(self.events),
            "workers": len(self.workers),
            "tasks": len(self.tasks),
            "lists": len(self.lists),
            "assignments": len(self.assignments),
            "items per list, median": self.lists["items"][filled].median(),
            "lists with a task taken, share": (from_list > 0)[filled.to_numpy()].mean(),
            "items taken, share": taken.mean(),
            "work approved, share of judged": (verdicts == "approved").mean(),
            "reward, median": self.tasks["reward"].median(),
            "first instant": self.events["at"].min(),
            "last instant": self.events["at"].max(),
        }
        return pd.DataFrame({"value": pd.Series(figures, dtype=object)})

    def _items_taken(self, lists: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of the items that were taken, given the place of each item's list."""
        pair = ["worker_id", "task_id"]
        served = self.lists[["worker_id", "at"]].iloc[lists].reset_index(drop=True)
        items = served.assign(task_id=self.items["task_id"], item=np.arange(len(served)))
        begun = self.assignments[[f"{outcome}_at" for outcome in OUTCOMES]].min(axis=1)
        assignments = self.assignments[pair].assign(begun=begun.astype(INSTANT)).sort_values("begun")
        offers = items.sort_values("at", kind="stable")
        found = pd.merge_asof(assignments, offers, left_on="begun", right_on="at", by=pair)
        return found["item"].dropna().to_numpy(np.int64)


def log_frames(batches: Iterable[Sequence[Entry]], rates: Rates) -> Log:
    """Read a log into tables.

    Args:
        batches: the log from its beginning, as (sequence number, ``known_at`` in microseconds since 1970, event).
        rates: currency rates.

    Raises:
        CocokError: an amount is in a currency without a rate.
    """
    tables = LogTables(rates)
    for batch in batches:
        tables.read(batch)
    return Log(
        tasks=tables.tasks(),
        workers=tables.workers(),
        lists=tables.lists(),
        items=tables.items(),
        assignments=tables.assignments(),
        events=tables.events(),
    )
