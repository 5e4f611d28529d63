"""Splits by time, so that a model is judged on lists later than everything it has learned from.

A split has a boundary instant: lists before it may be learned from, lists from it on are judged (half-open, as every
interval here). The label of a list is known only ``maturity`` after it; a list whose window of labels reaches beyond
the boundary is left out of both sides, since on the day of the boundary nobody knew its label (López de Prado 2018
calls this purging). So is a list before the boundary of which the log tells something that counts only at the boundary
or later.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import CocokError
from training.dataset import TrainingSet

MINIMUM_LISTS = 5
"""A side of a split with fewer lists says nothing."""


@dataclass(frozen=True)
class Fold:
    """One split of the lists.

    Attributes:
        training: bool, lists; what may be learned from.
        validation: bool, lists; what is judged, all of it later.
    """

    training: NDArray[np.bool_]
    validation: NDArray[np.bool_]


def holdout(
    rows: TrainingSet, share: float = 0.15, *, maturity: int = 0
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Set the last lists aside for the final judgement.

    Args:
        rows: the training set.
        share: part of the lists to set aside; a little less or more where many lists have the same time.
        maturity: microseconds after a list until its labels are known.

    Returns:
        Two masks over lists, development and holdout, disjoint.

    Raises:
        CocokError: too few lists on a side.
    """
    fold = split_at(rows.times, boundary(rows.times, 1 - share), maturity=maturity, told=rows.told_of_lists)
    if not _usable(fold):
        raise _too_little(rows)
    return fold.training, fold.validation


def time_folds(rows: TrainingSet, folds: int = 3, *, first: float = 0.4, maturity: int = 0) -> list[Fold]:
    """Cut the lists into folds by time, each learning from all that is before its validation window.

    The first ``first`` of the lists are only learned from; what follows is cut into ``folds`` windows of about the same
    number of lists. A fold that keeps too few lists to learn from, because of ``maturity``, is left out.

    Args:
        rows: the training set.
        folds: number of validation windows.
        first: part of the lists before the first window.
        maturity: microseconds after a list until its labels are known.

    Returns:
        At least one fold, earliest first; validation windows do not overlap.

    Raises:
        CocokError: no fold has enough lists on both sides.
    """
    edges = [boundary(rows.times, first + (1 - first) * fold / folds) for fold in range(folds)]
    ends = [*edges[1:], np.iinfo(np.int64).max]
    told = rows.told_of_lists
    cut = [
        split_at(rows.times, start, end, maturity=maturity, told=told) for start, end in zip(edges, ends, strict=True)
    ]
    usable = [fold for fold in cut if _usable(fold)]
    if not usable:
        raise _too_little(rows)
    return usable


def boundary(times: NDArray[np.int64], share: float) -> int:
    """Return the instant that has about ``share`` of the sorted ``times`` strictly before it.

    Equal times fall on one side; where the wanted instant is also the first one, the next distinct instant is taken, so
    that the earlier side is empty only if all times are equal.
    """
    if len(times) == 0:
        return 0
    instant = times[min(int(len(times) * share), len(times) - 1)]
    if instant == times[0]:
        later = np.searchsorted(times, instant, side="right")
        return int(times[later]) if later < len(times) else int(instant)
    return int(instant)


def split_at(
    times: NDArray[np.int64],
    start: int,
    end: int | None = None,
    *,
    maturity: int = 0,
    told: NDArray[np.int64] | None = None,
) -> Fold:
    """Split at the instant ``start``: learn from what was known by then, judge ``[start, end)``.

    Args:
        times: int64; instants in microseconds.
        start: the boundary.
        end: end of the validation window, exclusive; None for all that follows.
        maturity: microseconds after an instant until its label is known.
        told: int64, as ``times``; when a list was known that the log tells late, 0 for others. None for none at all.
    """
    validation = times >= start
    if end is not None:
        validation &= times < end
    known = True if told is None else told < start
    return Fold((times < start) & (times + maturity <= start) & known, validation)


def _usable(fold: Fold) -> bool:
    return min(int(fold.training.sum()), int(fold.validation.sum())) >= MINIMUM_LISTS


def _too_little(rows: TrainingSet) -> CocokError:
    late = int((rows.told_of_lists > 0).sum())
    why = f", {late:,} of which the log tells late: what belongs together is imported at once"
    return CocokError(
        f"too little history to split by time ({len(rows):,} lists{why if late else ''}): import more, begin earlier "
        "(--since) or wait less for outcomes (--maturity)"
    )
