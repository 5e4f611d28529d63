"""The training set: one row for every item of a list that was served, with the label of what became of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from features.estimates import HOUR
from features.spec import FEATURES, GROUPS, NAMES
from training.lists import History, ServedList, labels, patience_of

KEYS = (
    "feed_id",
    "worker_id",
    "task_id",
    "at",
    "position",
    "propensity",
    "category",
    "language",
    "label",
    "approved",
    "work_minutes",
)
"""Columns of `TrainingSet.frame` before the features."""

OF_ROWS = (
    *("features", "labels", "late", "verdicts", "minutes", "decided", "timed", "told", "named"),
    *("tasks", "positions", "propensities"),
)
"""Arrays of a training set with a value, or a line, for each row."""

_OF_LISTS = ("workers", "times", "feed_ids")


@dataclass(frozen=True)
class TrainingSet:
    """Rows of features with labels; the rows of a list are contiguous and lists are in order of time.

    Attributes:
        features: float32, rows x columns; missing is NaN.
        names: name of each column.
        labels: int8, rows; 0 nothing, 1 viewed or saved, 2 accepted, 3 submitted, 4 approved.
        late: int8, rows; the label that came of it after ``maturity`` but within ``patience`` of the list, as far as
            it is known, where that is better than what came before; else 0.
        verdicts: int8, rows; 1 if work that followed was approved, 0 if it was rejected, -1 without a verdict so far.
        minutes: float32, rows; minutes of the work that followed, NaN without any.
        decided, timed: int64, rows; from when the verdict and the minutes were known, microseconds since 1970; 0
            without.
        told: int64, rows; when the list was known, microseconds since 1970, if the log tells it late, out of the order
            of time, and the row knows all that the log has before it; else 0.
        named: bool, rows; whether an acceptance of the task, after the list, names it by its ``feed_id``.
        offsets: int64, lists + 1; the rows of list ``i`` are ``offsets[i]:offsets[i + 1]``.
        workers: int32, lists; index of the worker in ``worker_ids``.
        times: int64, lists; instant of the list in microseconds since 1970, non-decreasing.
        tasks: int32, rows; index of the task in ``catalogue``.
        positions: int32, rows; position in the list as served, 1-based.
        propensities: float64, rows; probability of the item standing at its position given those before it, NaN where
            the log does not say.
        worker_ids: str, workers; the id of each worker.
        feed_ids: str, lists; the id of each list.
        catalogue: one row for each task, see `task_catalogue`.
        until: end of what was known, microseconds since 1970.
        maturity: how long after a list its outcomes were waited for, in microseconds.
        patience: how long after a list an outcome counts for the order, in microseconds; at least the maturity.
    """

    features: NDArray[np.float32]
    names: tuple[str, ...]
    labels: NDArray[np.int8]
    late: NDArray[np.int8]
    verdicts: NDArray[np.int8]
    minutes: NDArray[np.float32]
    decided: NDArray[np.int64]
    timed: NDArray[np.int64]
    told: NDArray[np.int64]
    named: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    workers: NDArray[np.int32]
    times: NDArray[np.int64]
    tasks: NDArray[np.int32]
    positions: NDArray[np.int32]
    propensities: NDArray[np.float64]
    worker_ids: NDArray[np.object_]
    feed_ids: NDArray[np.object_]
    catalogue: pd.DataFrame
    until: int
    maturity: int = 0
    patience: int = 0

    def __len__(self) -> int:
        """Return the number of lists."""
        return len(self.offsets) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each list (int64, lists)."""
        return np.diff(self.offsets)

    @property
    def owner(self) -> NDArray[np.int64]:
        """The list of each row (int64, rows)."""
        return np.repeat(np.arange(len(self)), self.sizes)

    @property
    def maturity_hours(self) -> float:
        """How long after a list its outcomes were waited for, in hours."""
        return self.maturity / HOUR

    @property
    def relevance(self) -> NDArray[np.int8]:
        """What an order is learned from and judged by (int8, rows): the label, or what came late if that is better."""
        return np.maximum(self.labels, self.late)

    @property
    def told_of_lists(self) -> NDArray[np.int64]:
        """The ``told`` of each list (int64, lists)."""
        return np.maximum.reduceat(self.told, self.offsets[:-1]) if len(self) else np.zeros(0, np.int64)

    def column(self, name: str) -> NDArray[np.float32]:
        """Return one column of features.

        Raises:
            ValueError: no column has that name.
        """
        return self.features[:, self.names.index(name)]

    def select(self, lists: NDArray[np.bool_]) -> "TrainingSet":
        """Keep the lists where ``lists`` (bool, one for each list) is true, in order.

        ``worker_ids`` and ``catalogue`` stay whole, so that indices mean the same in every part of a training set.
        """
        rows = lists[self.owner]
        kept: dict[str, Any] = {name: getattr(self, name)[rows] for name in OF_ROWS}
        kept |= {name: getattr(self, name)[lists] for name in _OF_LISTS}
        return replace(self, **kept, offsets=np.concatenate([[0], np.cumsum(self.sizes[lists])]).astype(np.int64))

    def known_before(self, instant: int) -> "TrainingSet":
        """Take away verdicts and minutes that were known only from an instant (microseconds since 1970) on, or later.

        Labels stay: `training.splits` leaves out the lists whose labels were open.
        """
        return replace(
            self,
            verdicts=np.where(self.decided < instant, self.verdicts, np.int8(-1)),
            minutes=np.where(self.timed < instant, self.minutes, np.float32(np.nan)),
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

    def with_columns(self, columns: Mapping[str, ArrayLike]) -> "TrainingSet":
        """Add feature columns of one's own, or replace those of that name.

        Examples:
            >>> lengths = tasks.set_index("task_id")["title"].str.len()
            >>> rows.with_columns({"title_length": rows.frame()["task_id"].map(lengths)})

        Args:
            columns: name -> numbers or booleans, one for each row; they become float32, and missing becomes NaN. A
                Series belongs to the rows of `frame` by its index, as after ``frame().sort_values(...)``; everything
                else is in order of the rows.

        Raises:
            ValueError: a column has not one number for each row, or the name of one of `KEYS`.
        """
        names, features = list(self.names), [self.features]
        replaced: dict[int, NDArray[np.float32]] = {}
        for name, values in columns.items():
            if name in KEYS:
                raise ValueError(f"column {name!r}: the frame has a column of that name already; choose another name")
            numbers = _numbers(name, values, len(self.features))
            if name in self.names:
                replaced[self.names.index(name)] = numbers
            else:
                names.append(name)
                features.append(numbers[:, None])
        matrix = np.hstack(features)
        for place, numbers in replaced.items():
            matrix[:, place] = numbers
        return replace(self, features=matrix, names=tuple(names))

    def frame(self) -> pd.DataFrame:
        """Return the training set as a table of its own, to look at and to compute columns from.

        Returns:
            One row for each item, in order of the rows and indexed 0, 1, 2, ...:

            - ``feed_id``, ``worker_id``, ``task_id`` (category);
            - ``at`` (datetime64[us, UTC]): instant of the list;
            - ``position`` (int32): in the list as served, 1-based;
            - ``propensity`` (float64): of standing there, given what stands before; NaN where the log does not say;
            - ``category``, ``language`` (category): of the task, see `task_catalogue`; missing is NaN;
            - ``label`` (int8): 0 nothing, 1 viewed or saved, 2 accepted, 3 submitted, 4 approved;
            - ``approved`` (boolean): the verdict on the work that followed; NA without one so far;
            - ``work_minutes`` (float32): minutes of the work that followed; NaN without any;
            - each of ``names`` (float32): the feature; missing is NaN.
        """
        owner = self.owner
        feeds, feed_ids = pd.factorize(self.feed_ids)
        columns: tuple[Any, ...] = (
            _named(feeds[owner], feed_ids),
            _named(self.workers[owner], self.worker_ids),
            _named(self.tasks, self.catalogue["task_id"]),
            pd.DatetimeIndex(self.times[owner].view("datetime64[us]"), tz="UTC"),
            self.positions,
            self.propensities,
            self.catalogue["category"].array.take(self.tasks),
            self.catalogue["language"].array.take(self.tasks),
            self.labels,
            pd.array(self.verdicts == 1, dtype="boolean"),
            self.minutes,
        )
        frame = pd.DataFrame(dict(zip(KEYS, columns, strict=True)))
        frame["approved"] = frame["approved"].mask(self.verdicts < 0)
        return pd.concat([frame, pd.DataFrame(self.features, columns=list(self.names))], axis=1)


class Described(NamedTuple):
    """What was said of the items of lists when they were listed.

    Attributes:
        categories, languages: int32, items; places in ``labels`` of the category and of the first language.
        labels: what they are; None for none.
    """

    categories: NDArray[np.int32]
    languages: NDArray[np.int32]
    labels: Sequence[str | None]


def labelled(
    lists: Sequence[ServedList],
    features: NDArray[np.float32],
    history: History,
    *,
    until: int,
    maturity: int,
    patience: int | None = None,
    described: Described | None = None,
) -> TrainingSet:
    """Put lists together with what became of their items.

    Args:
        lists: in order of time, one at least.
        features: float32, rows x columns of the spec; the rows of the lists one after the other.
        history: tells the labels.
        until: end of what was known, microseconds since 1970.
        maturity: how long after a list its outcomes were waited for, in microseconds.
        patience: how long after a list an outcome counts for the order, in microseconds; None for what the history
            suggests.
        described: of the rows, for `task_catalogue`; without it nothing is told of tasks.
    """
    patience = patience_of(history, maturity) if patience is None else patience
    found = labels(history, lists, maturity, patience)
    sizes = [len(served.task_ids) for served in lists]
    workers, worker_ids = pd.factorize(np.array([served.worker_id for served in lists], object))
    rows = sum(sizes)

    def items(name: str, dtype: type) -> NDArray[Any]:
        return np.fromiter(chain.from_iterable(map(attrgetter(name), lists)), dtype, rows)

    tasks, task_ids = pd.factorize(items("task_ids", object))
    # Codes are given in order of appearance; of several rows the first one stays, as it is written last.
    first = np.zeros(len(task_ids), np.int64)
    first[tasks[::-1]] = np.arange(rows)[::-1]

    said: list[list[str | None]] = [[None] * len(first)] * 2
    if described:
        named = described.labels
        said = [
            [named[place] for place in each[first].tolist()] for each in (described.categories, described.languages)
        ]
    return TrainingSet(
        features=features,
        names=NAMES,
        labels=found.labels,
        late=found.late,
        verdicts=found.verdicts,
        minutes=found.minutes,
        decided=found.decided,
        timed=found.timed,
        told=found.told,
        named=found.named,
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        workers=workers.astype(np.int32),
        times=np.array([served.at for served in lists], np.int64),
        tasks=tasks.astype(np.int32),
        positions=items("positions", np.int32),
        propensities=items("propensities", np.float64),
        worker_ids=worker_ids,
        feed_ids=np.array([served.feed_id for served in lists], object),
        catalogue=task_catalogue(task_ids.tolist(), *said),
        until=until,
        maturity=maturity,
        patience=patience,
    )


def task_catalogue(
    task_ids: Sequence[str], categories: Iterable[str | None], languages: Iterable[str | None]
) -> pd.DataFrame:
    """Return the catalogue of a training set: what tasks are sliced by, as they stood when they were first listed.

    Args:
        task_ids: id of each task.
        categories: category of each as features compare them (in lower case, single spaces), None without one.
        languages: primary subtag of the first language of each, None without one.

    Returns:
        One row for each task: ``task_id`` (str), ``category`` and ``language`` (categories; missing is NaN).
    """
    return pd.DataFrame(
        {
            "task_id": pd.Series(task_ids, dtype="str"),
            "category": categorical(categories),
            "language": categorical(languages),
        }
    )


def categorical(values: Iterable[str | None]) -> pd.Categorical:
    """Return text as categories in order of the alphabet: of text also where every value is missing."""
    found = list(values)
    names = sorted({value for value in found if value is not None})
    return pd.Categorical(found, categories=pd.Index(names, dtype="str"))


def _named(indices: NDArray[Any], ids: Any) -> pd.Categorical:
    named = pd.Categorical.from_codes(indices, pd.Index(ids, dtype="str"))
    return named.remove_unused_categories()


def _numbers(name: str, values: ArrayLike, rows: int) -> NDArray[np.float32]:
    if np.shape(values) != (rows,):
        raise ValueError(f"column {name!r} has shape {np.shape(values)}; give one number for each of {rows} rows")
    column = pd.Series(values)
    if isinstance(values, pd.Series):
        column = column.sort_index()
        if not column.index.equals(pd.RangeIndex(rows)):
            raise ValueError(f"column {name!r}: its index is not that of frame(); map it to the rows, or give an array")
    if isinstance(column.dtype, pd.CategoricalDtype):
        # What `Series.map` makes of ids when no two have the same number.
        column = pd.Series(np.asarray(column))
    column = column.convert_dtypes()
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_complex_dtype(column.dtype):
        raise ValueError(f"column {name!r}: {column.dtype} is not numeric; encode it as numbers first")
    return np.asarray(column.to_numpy(np.float32, na_value=np.nan), np.float32)
