"""Training sets written down row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tests.market import usual
from training.dataset import TrainingSet, task_catalogue


def handmade(
    labels: Sequence[Sequence[int]],
    columns: Mapping[str, Sequence[float]] | None = None,
    *,
    workers: Sequence[int] | None = None,
    categories: Sequence[str | None] | None = None,
    languages: Sequence[str | None] | None = None,
) -> TrainingSet:
    """Return lists with given labels, in which every row is a task of its own.

    What the arguments do not tell is as in the usual market.

    Args:
        labels: of each row of each list.
        columns: name -> value of every row, all lists one after the other; a column of zeros if None.
        workers: of each list; every list has its own if None.
        categories: of every row.
        languages: of every row.
    """
    sizes = [len(one) for one in labels]
    rows, lists = sum(sizes), len(labels)
    columns = columns or {"x": [0.0] * rows}
    whose = range(lists) if workers is None else workers
    return replace(
        usual()[1],
        features=np.column_stack([np.asarray(values, dtype=np.float32) for values in columns.values()]),
        names=tuple(columns),
        labels=np.concatenate([np.asarray(one, dtype=np.int8) for one in labels]),
        late=np.zeros(rows, np.int8),
        verdicts=np.full(rows, -1, np.int8),
        minutes=np.full(rows, np.nan, np.float32),
        decided=np.zeros(rows, np.int64),
        timed=np.zeros(rows, np.int64),
        told=np.zeros(rows, np.int64),
        named=np.zeros(rows, np.bool_),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        workers=np.asarray(whose, dtype=np.int32),
        times=np.arange(lists, dtype=np.int64),
        tasks=np.arange(rows, dtype=np.int32),
        positions=np.concatenate([np.arange(1, size + 1) for size in sizes]).astype(np.int32),
        propensities=np.full(rows, np.nan),
        worker_ids=np.array([f"w{number}" for number in range(max(whose) + 1)], dtype=object),
        feed_ids=np.array([f"f{number}" for number in range(lists)], dtype=object),
        catalogue=task_catalogue(
            [f"t{number}" for number in range(rows)], categories or [None] * rows, languages or [None] * rows
        ),
        maturity=0,
        patience=0,
    )
