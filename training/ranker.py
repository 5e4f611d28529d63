"""The ranker: gradient-boosted trees that learn the order within a list.

LambdaMART (Burges 2010, "From RankNet to LambdaRank to LambdaMART") in LightGBM: every pair of rows of one list with
different labels pulls on the scores, by as much as swapping the two would change NDCG. Everything here is
deterministic: the same rows and parameters give the same trees, bit for bit, whatever the number of threads.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.errors import CocokError
from features.progress import Progress
from features.spec import BY_REWARD, COLUMN
from matching.calibration import Additive
from matching.linear import Linear, Newcomers
from training.calibration import rarer_count
from training.dataset import TrainingSet
from training.linear import fit_linear, fit_whole_and_part
from training.lists import ACCEPTED, NOTHING
from training.metrics import GAINS
from training.slices import NEWCOMER_COLUMN, newcomers
from training.splits import Fold, time_folds

Watch = Callable[[int, float], None]
"""Called with the trees grown and the highest value of the smoothed curve so far; what it raises ends the growing."""

LONGEST_LIST = 10_000
"""LightGBM refuses a list with more rows."""

LARGEST_WEIGHT = 10.0
"""No row weighs more than so many others, however little attention its position has."""

LEAST_OF_A_CLASS = 20
"""Rows of each class without which neither side of a split says anything."""

LINEAR_ROWS = 300_000
"""Rows enough for the linear parts: with a tenth of them taken, a weight is known to some .006 of log-odds."""

_DEPTH = 10
_SMOOTHING = 5
_PATIENCE = 50
_AS_GOOD = 0.001
"""NDCG by which a curve rises and falls by chance from one count of trees to another far away."""

_SHUFFLE_SEED = 71


@dataclass(frozen=True)
class RankerParameters:
    """How the ranker is fitted. The defaults hold from some 10,000 rows to some 10 million.

    Attributes:
        learning_rate: shrinkage of every tree.
        num_leaves: leaves of a tree.
        min_data_in_leaf: rows that a leaf must hold.
        feature_fraction: part of the columns that a tree may look at. Many columns say nearly the same, and a tree that
            sees few of them leans on none: better in every window of time of a real log than 0.8.
        lambda_l2: ridge penalty on leaf values.
        max_bin: values of a column that trees tell apart, at the most.
        passed_over: rows of a list that nothing came of and that trees learn from, at the most: a fixed sample.
        label_gain: gain of each label, ``2^label - 1``.
        truncation_level: pairs count if one of the two stands this high; a little deeper than what is judged.
        linear: how much a linear part counts beside the trees: its spread within lists against theirs. It says less of
            any one log, and holds better when the market moves. 0 leaves it out, also for newcomers.
        newcomers: the same for workers who have taken nothing yet. Their lists have a linear part of their own: what
            draws them is not what draws workers with a history. 0 gives them that of all.
        max_trees: more trees are not tried.
        min_trees: fewer are not chosen. An early peak of the curve is mostly chance, and the final fit learns from more
            than any window: with fewer, orders were mostly worse on three logs (docs/tried.md).
        folds: validation windows from which the number of trees is chosen.
        attention: of positions 1, 2, ..., relative to the first, as `training.attention` estimates it; the last holds
            for all below. A row that something came of weighs the inverse (Joachims et al. 2017). Empty: all rows weigh
            the same, which was as good or better where it was measured (docs/evaluation.md).
        seed: of the choice of columns.
        num_threads: 0 for all cores. It changes the speed, not the trees.
    """

    learning_rate: float = 0.05
    num_leaves: int = 15
    min_data_in_leaf: int = 50
    feature_fraction: float = 0.3
    lambda_l2: float = 1.0
    max_bin: int = 255
    passed_over: int = LONGEST_LIST
    label_gain: tuple[float, ...] = GAINS
    truncation_level: int = 20
    linear: float = 0.3
    newcomers: float = 0.6
    max_trees: int = 400
    min_trees: int = 120
    folds: int = 3
    attention: tuple[float, ...] = ()
    seed: int = 0
    num_threads: int = 0

    def to_lightgbm(self, monotone: Sequence[int], ranks: Sequence[bool] | None = None) -> dict[str, Any]:
        """Return the parameters under LightGBM's names.

        Args:
            monotone: -1, 0 or 1 for every column.
            ranks: whether trees may split on a column; all of them if None.
        """
        return {
            "objective": "lambdarank",
            "metric": "ndcg",
            "eval_at": [_DEPTH],
            "label_gain": list(self.label_gain),
            "lambdarank_truncation_level": self.truncation_level,
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_data_in_leaf,
            "feature_fraction": self.feature_fraction,
            "lambda_l2": self.lambda_l2,
            "max_bin": self.max_bin,
            # A split is never worth anything where its gain counts for nothing.
            **({} if ranks is None else {"feature_contri": [float(usable) for usable in ranks]}),
            **monotone_parameters(monotone),
            **reproducible(self.seed, self.num_threads),
        }


@dataclass(frozen=True)
class TreeChoice:
    """The number of trees and what it was chosen from.

    Attributes:
        trees: the choice.
        curve: float64, trees tried; smoothed mean of NDCG@10 over the folds, after each tree.
        folds: float64, folds x trees tried; NDCG@10 on the validation lists of each fold.
    """

    trees: int
    curve: NDArray[np.float64]
    folds: NDArray[np.float64]


def choose_trees(
    rows: TrainingSet,
    parameters: RankerParameters,
    monotone: Sequence[int],
    *,
    ranks: Sequence[bool] | None = None,
    maturity: int = 0,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> TreeChoice:
    """Choose the number of trees by validation on several windows of time.

    All folds grow together, one tree each at a time. Their curves of NDCG@10 are averaged and smoothed over
    neighbouring counts, so that neither one lucky fold nor one lucky count decides; growing stops when that curve has
    not risen for a while. Of the counts that are as good as the best, the smallest is taken, as a feed pays for every
    tree, but not less than `RankerParameters.min_trees`.

    Args:
        rows: the development part of the training set.
        parameters: how to fit.
        monotone: -1, 0 or 1 for every column.
        ranks: whether trees may split on a column; all of them if None.
        maturity: microseconds after a list until its labels are known; see `training.splits`.
        progress: called after every round.
        watch: called after every round; for who gives up a curve that promises nothing.

    Raises:
        CocokError: too little history, or no list from which an order can be learned.
    """
    settings = parameters.to_lightgbm(_checked(monotone, rows), ranks)
    boosters = [
        _validated(rows, fold, settings, parameters)
        for fold in teaching_folds(rows, parameters.folds, maturity=maturity)
    ]
    history: list[list[float]] = []
    best = 0
    least = min(parameters.min_trees, parameters.max_trees)
    while len(history) < least or (len(history) < parameters.max_trees and worth_growing(len(history), best)):
        for booster in boosters:
            booster.update()
        history.append([booster.eval_valid()[0][2] for booster in boosters])
        curve = smooth(np.mean(history, axis=1), _SMOOTHING)
        best = int(curve.argmax())
        if progress:
            progress(len(history), parameters.max_trees)
        if watch:
            watch(len(history), float(curve[best]))
    if progress:
        progress(parameters.max_trees, parameters.max_trees)
    curves = np.array(history).T
    curve = smooth(curves.mean(axis=0), _SMOOTHING)
    trees = int(np.clip(fewest_trees(curve), parameters.min_trees, parameters.max_trees))
    return TreeChoice(trees, curve, curves)


def fit(
    rows: TrainingSet,
    parameters: RankerParameters,
    trees: int,
    monotone: Sequence[int],
    *,
    ranks: Sequence[bool] | None = None,
    progress: Progress | None = None,
) -> Additive:
    """Fit the ranker: a given number of trees, and beside them a linear part.

    The linear part is a logistic regression of whether a row was accepted, in the columns that the trees may split on;
    one that moves with the reward is left out if it would lower the score. Each part is fitted without the other: what
    two models of different kinds agree on holds longer than what either says. Rows of newcomers have one that is fitted
    once more to their lists alone, unless too little came of these.

    Lists that teach no order are left out: a single row, or all rows with the same label. Of a list longer than
    LightGBM takes, the rows with the best labels and a fixed sample of the others are used.

    Args:
        rows: lists to learn from.
        parameters: how to fit.
        trees: number of trees, as chosen by `choose_trees`.
        monotone: -1, 0 or 1 for every column: the score never rises, is free, never falls as the column rises.
        ranks: whether trees may split on a column; all of them if None.
        progress: called after every tree.

    Returns:
        The fitted model; its columns are in the order of ``rows.names``.

    Raises:
        CocokError: no list from which an order can be learned.
    """
    settings = parameters.to_lightgbm(_checked(monotone, rows), ranks)
    everything = np.ones(len(rows), dtype=np.bool_)
    if not _teaches(rows, everything):
        raise _nothing_to_learn()
    booster = lgb.Booster(settings, _dataset(rows, everything, settings, parameters))
    for tree in range(trees):
        booster.update()
        if progress:
            progress(tree + 1, trees)
    return _with_linear(rows, parameters, Additive(booster.free_dataset()), monotone, ranks)


def _with_linear(
    rows: TrainingSet,
    parameters: RankerParameters,
    forest: Additive,
    monotone: Sequence[int],
    ranks: Sequence[bool] | None,
) -> Additive:
    """Fit the linear parts, and scale them to what is asked for of the spread of the trees' scores within lists."""
    rows = _thinned(rows)
    accepted = rows.relevance >= ACCEPTED
    if parameters.linear == 0.0 or rarer_count(accepted) < LEAST_OF_A_CLASS:
        return forest
    usable = [column for column in range(len(rows.names)) if ranks is None or ranks[column]]
    # What is promised of the reward holds here too. Other columns of the spec are free: of several that say nearly the
    # same, one that takes back a part of what another adds is no error.
    directions = [
        direction if name in BY_REWARD or name not in COLUMN else 0
        for name, direction in zip(rows.names, monotone, strict=True)
    ]
    spread = _spread(forest.predict(rows.features), rows)

    def scaled(linear: Linear, share: float, lists: TrainingSet) -> Linear:
        own = _spread(linear.predict(lists.features), lists)
        return linear.scaled(share * spread / own if own > 0.0 else 0.0)

    new = newcomers(rows)
    new_rows = new[rows.owner]
    if parameters.newcomers == 0.0 or rarer_count(accepted[new_rows]) < LEAST_OF_A_CLASS:
        linear = fit_linear(rows.features, accepted, usable, directions)
        return replace(forest, base=scaled(linear, parameters.linear, rows))
    linear, own = fit_whole_and_part(rows.features, accepted, usable, directions, new_rows)
    base, own = scaled(linear, parameters.linear, rows), scaled(own, parameters.newcomers, rows.select(new))
    # A row of mean values stands as high for either sort of worker.
    level = float(base.weights @ base.fill - own.weights @ own.fill)
    return replace(
        forest, base=base, newcomers=Newcomers(rows.names.index(NEWCOMER_COLUMN), replace(own, offset=level))
    )


def _thinned(rows: TrainingSet) -> TrainingSet:
    """Return lists from all over the time, so many that they have `LINEAR_ROWS` rows and less than twice as many."""
    every = len(rows.labels) // LINEAR_ROWS
    return rows.select(np.arange(len(rows)) % every == 0) if every > 1 else rows


def _spread(scores: NDArray[np.float64], rows: TrainingSet) -> float:
    """Return the standard deviation of scores around the mean of their list."""
    owner = rows.owner
    means = np.bincount(owner, scores, len(rows)) / np.maximum(rows.sizes, 1)
    return float((scores - means[owner]).std())


def teaching_folds(rows: TrainingSet, folds: int, *, maturity: int = 0) -> list[Fold]:
    """Return the windows of `training.splits.time_folds` that have an order to learn and one to judge.

    Raises:
        CocokError: too little history, or no list from which an order can be learned.
    """
    teaching = [
        fold
        for fold in time_folds(rows, folds, maturity=maturity)
        if _teaches(rows, fold.training) and _teaches(rows, fold.validation)
    ]
    if not teaching:
        raise _nothing_to_learn()
    return teaching


def reproducible(seed: int, num_threads: int) -> dict[str, Any]:
    """Return LightGBM's parameters that make a fit repeatable, and quiet."""
    # Column-wise histograms are summed by one thread each: the number of threads cannot change the order of additions.
    return {
        "deterministic": True,
        "force_col_wise": True,
        "seed": seed,
        "num_threads": num_threads,
        "verbosity": -1,
    }


def monotone_parameters(monotone: Sequence[int]) -> dict[str, Any]:
    """Return LightGBM's parameters for -1, 0 or 1 for every column; none if no column is constrained."""
    if not any(monotone):
        return {}
    # "intermediate" constrains a split less than "basic" does and holds just as strictly.
    return {"monotone_constraints": list(monotone), "monotone_constraints_method": "intermediate"}


def safe_names(names: Sequence[str]) -> list[str]:
    """Return names that LightGBM accepts, as readable as possible and distinct.

    LightGBM refuses characters of JSON and turns blanks into underscores.
    """
    readable = [re.sub(r"[^A-Za-z0-9_.-]", "_", name) for name in names]
    if len(set(readable)) == len(readable):
        return readable
    return [f"{column}_{name}" for column, name in enumerate(readable)]


def worth_growing(rounds: int, best: int) -> bool:
    """Tell whether a curve that was best after ``best`` rounds may still rise after ``rounds``.

    Curves of NDCG have plateaus, longer ones the higher they are: who gives up after a fixed number of rounds stops on
    one of them by chance, with half of the trees that all windows together would take.
    """
    return rounds - best <= max(_PATIENCE, best)


def fewest_trees(curve: NDArray[np.float64]) -> int:
    """Return the smallest count of trees whose value, ``curve[count - 1]``, lies within a thousandth of the best."""
    return int(np.flatnonzero(curve >= curve.max() - _AS_GOOD)[0]) + 1


def smooth(curve: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return the mean of every value and its neighbours up to ``reach`` away; fewer at the ends."""
    window = np.ones(2 * reach + 1)
    total = np.convolve(curve, window)[reach : reach + len(curve)]
    counted = np.convolve(np.ones(len(curve)), window)[reach : reach + len(curve)]
    return np.asarray(total / counted, dtype=np.float64)


def _validated(rows: TrainingSet, fold: Fold, settings: dict[str, Any], parameters: RankerParameters) -> lgb.Booster:
    training = _dataset(rows, fold.training, settings, parameters)
    booster = lgb.Booster(settings, training)
    validation = _dataset(rows, fold.validation, settings, parameters, reference=training)
    return booster.add_valid(validation, "validation")


def _dataset(
    rows: TrainingSet,
    lists: NDArray[np.bool_],
    settings: dict[str, Any],
    parameters: RankerParameters,
    reference: lgb.Dataset | None = None,
) -> lgb.Dataset:
    # A validation set is judged as it is.
    index, sizes = learnable_rows(rows, lists, LONGEST_LIST if reference else parameters.passed_over)
    labels = rows.relevance[index]
    return lgb.Dataset(
        rows.features[index],
        labels,
        group=sizes,
        weight=None if reference else attention_weights(parameters.attention, labels, rows.positions[index]),
        reference=reference,
        feature_name=safe_names(rows.names),
        params=settings,
    ).construct()


def attention_weights(
    attention: Sequence[float], labels: NDArray[np.int8], positions: NDArray[np.int32]
) -> NDArray[np.float64] | None:
    """Return what rows weigh, given attention by position; None if it is empty. See `RankerParameters`."""
    if not attention:
        return None
    inverse = np.minimum(1.0 / np.array(attention), LARGEST_WEIGHT)
    return np.where(labels > 0, inverse[np.minimum(positions, len(inverse)) - 1], 1.0)


def learnable_rows(
    rows: TrainingSet, lists: NDArray[np.bool_], passed_over: int = LONGEST_LIST
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to learn from of the given lists, and how many each list that teaches an order has.

    The rows of a list come in a fixed pseudo-random order. LightGBM breaks ties of scores by the order of the rows,
    both where it cuts the pairs and where it evaluates; in the order of serving, the position would leak into the
    first trees and make one or two trees look better than they are.

    Args:
        rows: the training set.
        lists: bool, lists.
        passed_over: rows of a list that nothing came of, at the most; which ones is as random as their order.

    Returns:
        int64, indices of rows; int64, rows of each list.
    """
    sizes, relevance = rows.sizes, rows.relevance
    used = lists & _orders(rows)
    chosen = np.flatnonzero(used[rows.owner])
    owner = np.repeat(np.flatnonzero(used), sizes[used])
    shuffled = np.random.default_rng(_SHUFFLE_SEED).permutation(int(rows.offsets[-1]))[chosen]
    if sizes[used].max(initial=0) > LONGEST_LIST:
        best_first = np.lexsort((shuffled, -relevance[chosen], owner))
        begins = np.cumsum(sizes[used]) - sizes[used]
        rank = np.arange(len(chosen)) - np.repeat(begins, sizes[used])
        kept = np.sort(best_first[rank < LONGEST_LIST])
        chosen, owner, shuffled = chosen[kept], owner[kept], shuffled[kept]
    order = np.lexsort((shuffled, owner))
    chosen, owner = chosen[order], owner[order]
    if passed_over < LONGEST_LIST:
        nothing = relevance[chosen] == NOTHING
        count = np.cumsum(nothing)
        before = (count - nothing)[np.searchsorted(owner, owner)]
        kept = ~nothing | (count - before <= passed_over)
        chosen, owner = chosen[kept], owner[kept]
    return chosen, np.unique(owner, return_counts=True)[1]


def _orders(rows: TrainingSet) -> NDArray[np.bool_]:
    """Return which lists have rows of different labels."""
    relevance = rows.relevance
    changes = np.concatenate([[0], np.cumsum(relevance[1:] != relevance[:-1])])
    several = rows.sizes > 1
    orders = np.zeros(len(rows), dtype=np.bool_)
    orders[several] = changes[rows.offsets[1:][several] - 1] > changes[rows.offsets[:-1][several]]
    return orders


def _teaches(rows: TrainingSet, lists: NDArray[np.bool_]) -> bool:
    return bool((lists & _orders(rows)).any())


def _checked(monotone: Sequence[int], rows: TrainingSet) -> Sequence[int]:
    if len(monotone) != len(rows.names):
        raise ValueError(f"{len(monotone)} monotone directions for {len(rows.names)} columns")
    return monotone


def _nothing_to_learn() -> CocokError:
    return CocokError(
        "no list has both a task that was taken and one that was passed over: import the lists as they were served "
        "(feed_served) together with what became of them"
    )
