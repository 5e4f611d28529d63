"""What a list was worth: whether something was taken from it, whether that was approved, what was paid for it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.dataset import TrainingSet
from training.lists import ACCEPTED

REWARDS = ("accepted", "approved", "paid")
"""What can be asked for: the share of lists from which something was taken; of lists whose uppermost taken task was
approved; pay for it a list, in the base currency."""


@dataclass(frozen=True, eq=False)
class Reward:
    """What came of the rows of a training set.

    Attributes:
        taken: bool, rows; whether it is the uppermost of its list that was taken.
        values: float64, rows; the reward, 0 where nothing was taken.
        worth: float64, rows; the reward to expect of a row once it is taken, by what the row says of it.
    """

    taken: NDArray[np.bool_]
    values: NDArray[np.float64]
    worth: NDArray[np.float64]

    @classmethod
    def of(cls, rows: TrainingSet, kind: str) -> "Reward":
        """Return what came of rows.

        A task that stood on several lists before the worker took it counts for the one that the acceptance names; where
        it names none, or none of these rows, for the last of them. Of a task that was taken several times, as after a
        return, only the last such list counts, and one that is named goes before those that are not. What was taken
        from the list that is named, but too late for its label, counts for none. Work without a verdict so far counts
        as not approved.

        Args:
            rows: whole lists, also those that were not explored.
            kind: one of ``REWARDS``.

        Raises:
            ValueError: there is no such reward.
        """
        if kind not in REWARDS:
            raise ValueError(f"there is no reward {kind!r}: choose one of {', '.join(REWARDS)}")
        found = pd.DataFrame(
            {"worker": rows.workers[rows.owner], "task": rows.tasks, "list": rows.owner, "named": rows.named}
        )
        found = found[(rows.labels >= ACCEPTED) | rows.named]
        led = found["named"] | ~found.groupby(["worker", "task"])["named"].transform("any")
        last = found[led & (rows.labels[found.index] >= ACCEPTED)].drop_duplicates(["worker", "task"], keep="last")
        taken = np.zeros(len(rows.labels), np.bool_)
        taken[last.sort_index().drop_duplicates("list").index] = True
        worth = np.ones(len(taken))
        if kind == "paid":
            worth = np.exp(np.nan_to_num(rows.column("reward").astype(np.float64), nan=-np.inf))
        values = taken * worth if kind == "accepted" else (taken & (rows.verdicts == 1)) * worth
        # The rate of approval of all, which is nearly constant, is enough for what to expect.
        expected = (taken * worth).sum()
        return cls(taken, values, worth * (values.sum() / expected if expected > 0 else 0.0))
