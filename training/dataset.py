"""The training set: one row for every item of a list that was served, with the label of what became of it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.spec import FEATURES, GROUPS

_HOUR = 3_600_000_000


@dataclass(frozen=True)
class TrainingSet:
    """Rows of features with labels; the rows of a list are contiguous and lists are in order of time.

    Attributes:
        features: float32, rows x columns; missing is NaN.
        names: name of each column.
        labels: int8, rows; 0 nothing, 1 viewed or saved, 2 accepted, 3 submitted, 4 approved.
        verdicts: int8, rows; 1 if work that followed was approved, 0 if it was rejected, -1 without a verdict so far.
        minutes: float32, rows; minutes of the work that followed, NaN without any.
        offsets: int64, lists + 1; the rows of list ``i`` are ``offsets[i]:offsets[i + 1]``.
        workers: int32, lists; dense index of the worker.
        times: int64, lists; instant of the list in microseconds since 1970, non-decreasing.
        tasks: int32, rows; dense index of the task.
        positions: int32, rows; position in the list as served, 1-based.
        maturity: how long after a list its outcomes were waited for, in microseconds.
    """

    features: NDArray[np.float32]
    names: tuple[str, ...]
    labels: NDArray[np.int8]
    verdicts: NDArray[np.int8]
    minutes: NDArray[np.float32]
    offsets: NDArray[np.int64]
    workers: NDArray[np.int32]
    times: NDArray[np.int64]
    tasks: NDArray[np.int32]
    positions: NDArray[np.int32]
    maturity: int = 0

    def __len__(self) -> int:
        """Return the number of lists."""
        return len(self.offsets) - 1

    @property
    def maturity_hours(self) -> float:
        """How long after a list its outcomes were waited for, in hours."""
        return self.maturity / _HOUR

    def column(self, name: str) -> NDArray[np.float32]:
        """Return one column of features.

        Raises:
            ValueError: no column has that name.
        """
        return self.features[:, self.names.index(name)]

    def select(self, lists: NDArray[np.bool_]) -> "TrainingSet":
        """Keep the lists where ``lists`` (bool, one for each list) is true, in order."""
        sizes = np.diff(self.offsets)
        rows = np.repeat(lists, sizes)
        return TrainingSet(
            features=self.features[rows],
            names=self.names,
            labels=self.labels[rows],
            verdicts=self.verdicts[rows],
            minutes=self.minutes[rows],
            offsets=np.concatenate([[0], np.cumsum(sizes[lists])]).astype(np.int64),
            workers=self.workers[lists],
            times=self.times[lists],
            tasks=self.tasks[rows],
            positions=self.positions[rows],
            maturity=self.maturity,
        )

    def without(self, group: str) -> "TrainingSet":
        """Drop the columns of one feature group, to see what a model loses without it.

        Args:
            group: one of `features.spec.GROUPS`. Columns that the spec does not know belong to none.

        Raises:
            ValueError: there is no such group.
        """
        if group not in GROUPS:
            raise ValueError(f"there is no feature group {group!r}: choose one of {', '.join(GROUPS)}")
        dropped = {feature.name for feature in FEATURES if feature.group == group}
        kept = [place for place, name in enumerate(self.names) if name not in dropped]
        return replace(self, features=self.features[:, kept], names=tuple(self.names[place] for place in kept))
