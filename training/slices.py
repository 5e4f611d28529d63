"""Parts of the lists for which a ranker may do better or worse than its mean tells.

Tasks are known by what the worker took: a list belongs to the category of each task that was taken from it. That looks
at the outcome, so the level of a metric in such a slice is that of lists that ended there, and says nothing of how many
will; two rankers judged on the same lists are compared fairly all the same.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.dataset import TrainingSet
from training.lists import ACCEPTED

MOST_VALUES = 12
"""A slice of its own is given to so many categories, and languages, those of the most lists; the rest is "other"."""

NEWCOMER_COLUMN = "worker_accepts"
"""The column that tells who has taken nothing yet."""


def slices(rows: TrainingSet) -> dict[str, NDArray[np.bool_]]:
    """Return masks over the lists of ``rows``, by the name of the slice, in the order in which tables show them.

    - "workers: new" and "workers: warm": no acceptance before the list, or some.
    - "category: X" and "language: X", in order of the alphabet: a task with that category (language) was taken.
    - "pay: lowest third", "pay: middle third", "pay: highest third": by the share of the tasks then open that paid less
      than the task that was taken; of several, the one with the best label.
    - "tasks: new": nobody had taken that task before.

    A list from which nothing was taken belongs to no slice of tasks. A slice whose column the rows do not have is left
    out; one that is there may be empty.
    """
    return {
        **_of_workers(rows),
        **_of_content(rows, "category"),
        **_of_content(rows, "language"),
        **_of_best_task(rows),
    }


def newcomers(rows: TrainingSet) -> NDArray[np.bool_]:
    """Return which lists are of workers who have taken nothing; none if no column tells."""
    found = np.zeros(len(rows), np.bool_)
    if NEWCOMER_COLUMN in rows.names:
        filled = rows.sizes > 0
        found[filled] = rows.column(NEWCOMER_COLUMN)[rows.offsets[:-1][filled]] == 0
    return found


def _of_workers(rows: TrainingSet) -> dict[str, NDArray[np.bool_]]:
    if NEWCOMER_COLUMN not in rows.names:
        return {}
    new = newcomers(rows)
    return {"workers: new": new, "workers: warm": ~new}


def _of_content(rows: TrainingSet, column: str) -> dict[str, NDArray[np.bool_]]:
    taken = np.flatnonzero(rows.relevance >= ACCEPTED)
    values = rows.catalogue[column].astype("object").to_numpy()[rows.tasks[taken]]
    pairs = pd.DataFrame({"list": rows.owner[taken], "value": values}).dropna().drop_duplicates()
    counts = pairs["value"].value_counts()
    # Of equally many lists, the first in the alphabet: the same rows always give the same slices.
    largest = counts.sort_index().sort_values(ascending=False, kind="stable").index[:MOST_VALUES]
    shown = pairs["value"].where(pairs["value"].isin(largest), "other")
    names = sorted(shown.unique(), key=lambda name: (name == "other", name))
    return {f"{column}: {name}": _mask(rows, pairs["list"][shown == name].to_numpy()) for name in names}


def _of_best_task(rows: TrainingSet) -> dict[str, NDArray[np.bool_]]:
    taken = np.flatnonzero(rows.relevance >= ACCEPTED)
    owner = rows.owner[taken]
    # The best label of each list first; the first in the list of several.
    order = np.lexsort((taken, -rows.relevance[taken].astype(np.int64), owner))
    lists, first = np.unique(owner[order], return_index=True)
    best = taken[order][first]
    found = {}
    if "reward_rank" in rows.names:
        rank = rows.column("reward_rank")[best]
        found["pay: lowest third"] = _mask(rows, lists[rank < 1 / 3])
        found["pay: middle third"] = _mask(rows, lists[(rank >= 1 / 3) & (rank < 2 / 3)])
        found["pay: highest third"] = _mask(rows, lists[rank >= 2 / 3])
    if "task_accepts" in rows.names:
        found["tasks: new"] = _mask(rows, lists[rows.column("task_accepts")[best] == 0])
    return found


def _mask(rows: TrainingSet, lists: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.zeros(len(rows), dtype=np.bool_)
    mask[lists] = True
    return mask
