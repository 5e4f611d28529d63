"""What a ranker owes to its columns and to its history: refitted with less, judged on the same lists.

Every fit is that of `training.train`: the number of trees is chosen by time folds on the lists before the last part,
and the ranker fitted on these is judged on the last part by NDCG@10, with 95 % confidence intervals over workers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import CocokError
from features.progress import Steps
from features.spec import GROUPS
from training.columns import monotone_directions, ranking_columns
from training.dataset import TrainingSet
from training.metrics import Estimate, cluster_interval, ndcg, paired_difference
from training.ranker import RankerParameters, choose_trees, fit
from training.splits import holdout

FULL = "none"
"""What is left out of the ranker that has all columns."""

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)


@dataclass(frozen=True, eq=False)
class Judged:
    """A ranker on the last part.

    Attributes:
        columns: how many it was fitted with.
        trees: how many it has.
        ndcg: float64, lists of the last part; NDCG@10, NaN where nothing could be found.
    """

    columns: int
    trees: int
    ndcg: NDArray[np.float64]


def judge(development: TrainingSet, final: TrainingSet, parameters: RankerParameters) -> Judged:
    """Choose the number of trees on ``development``, fit on it, and judge on ``final``.

    Raises:
        CocokError: too few lists to split by time, or none from which an order can be learned.
    """
    monotone, ranks = monotone_directions(development.names), ranking_columns(development.names)
    choice = choose_trees(development, parameters, monotone, ranks=ranks, maturity=development.patience)
    scores = fit(development, parameters, choice.trees, monotone, ranks=ranks).predict(final.features)
    return Judged(len(development.names), choice.trees, ndcg(scores, final.relevance, final.offsets))


def ablation(
    rows: TrainingSet,
    parameters: RankerParameters,
    groups: Sequence[str] = GROUPS,
    progress: Steps | None = None,
) -> pd.DataFrame:
    """Refit the ranker without each feature group in turn.

    Args:
        rows: the training set.
        parameters: of the ranker.
        groups: those to leave out, of `features.spec.GROUPS`.
        progress: called before every fit, and after the last.

    Returns:
        A row for each fit, the first with all columns. Columns: without (str; ``FULL`` or a group); columns, trees,
        lists (int64; lists that were judged); value, low, high (float64) of NDCG@10; difference, difference_low,
        difference_high (float64), NDCG@10 minus that of the first row on the same lists: below 0, the group is missed.

    Raises:
        CocokError: too few lists to split by time, or none from which an order can be learned.
        ValueError: there is no such group.
    """
    before, last = holdout(rows, maturity=rows.patience)
    development, final = rows.select(before), rows.select(last)
    left_out = (FULL, *groups)
    judged: dict[str, Judged] = {}
    for step, group in enumerate(left_out):
        if progress:
            progress("Fitting with all columns" if group == FULL else f"Fitting without {group}", step, len(left_out))
        parts = (development, final) if group == FULL else (development.without(group), final.without(group))
        judged[group] = judge(*parts, parameters)
    if progress:
        progress("Fitted", len(left_out), len(left_out))
    return pd.DataFrame(
        [
            {
                "without": group,
                "columns": found.columns,
                "trees": found.trees,
                "lists": int((~np.isnan(found.ndcg)).sum()),
                **vars(_mean(found.ndcg, final.workers)),
                **_difference(found.ndcg, judged[FULL].ndcg, final.workers),
            }
            for group, found in judged.items()
        ]
    )


def learning_curve(
    rows: TrainingSet,
    parameters: RankerParameters,
    shares: Sequence[float] = SHARES,
    progress: Steps | None = None,
) -> pd.DataFrame:
    """Fit the ranker on ever more of the history, from the latest lists backwards.

    A curve that still rises at its end says that more history would help; one that falls, that the market was another
    then.

    Args:
        rows: the training set.
        parameters: of the ranker.
        shares: parts of the lists before the last part, above 0 and up to 1.
        progress: called before every fit, and after the last.

    Returns:
        A row for each share. Columns: share (float64); lists, rows (int64; to learn from); trees (Int64); value, low,
        high (float64) of NDCG@10. Trees and figures are missing where the history is too short to learn from.

    Raises:
        CocokError: too few lists to split by time.
    """
    before, last = holdout(rows, maturity=rows.patience)
    development, final = rows.select(before), rows.select(last)
    points = []
    for step, share in enumerate(shares):
        if progress:
            progress(f"Fitting on {100 * share:.0f} % of the history", step, len(shares))
        lists = round(share * len(development))
        history = development.select(np.arange(len(development)) >= len(development) - lists)
        trees: int | None = None
        estimate = Estimate(np.nan, np.nan, np.nan)
        try:
            found = judge(history, final, parameters)
        except CocokError:
            pass
        else:
            trees, estimate = found.trees, _mean(found.ndcg, final.workers)
        points.append({"share": share, "lists": lists, "rows": len(history.labels), "trees": trees, **vars(estimate)})
    if progress:
        progress("Fitted", len(shares), len(shares))
    return pd.DataFrame(points).astype({"share": "float64", "trees": "Int64"})


def _mean(values: NDArray[np.float64], workers: NDArray[np.int32]) -> Estimate:
    return Estimate(*cluster_interval(values, workers))


def _difference(values: NDArray[np.float64], full: NDArray[np.float64], workers: NDArray[np.int32]) -> dict[str, float]:
    found = paired_difference(values, full, workers)
    return {"difference": found.value, "difference_low": found.low, "difference_high": found.high}
