"""How a ranker compares with its rivals on the same lists, and for whom it is better."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.dataset import TrainingSet
from training.metrics import Estimate, cluster_interval, paired_difference, per_list
from training.slices import slices

ALL = "all lists"
"""What the table of differences calls the whole."""

LEAST_LISTS = 30
"""A slice with fewer lists to judge is left out of the tables."""

HEADLINE = "ndcg@10"
"""The metric that is shown by slice."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A ranker, the subject, beside its rivals, with 95 % confidence intervals clustered by worker.

    Attributes:
        lists: how many were judged: those in which there was something to find.
        subject: name of the ranker that this is about.
        metrics: a row for each ranker and metric, the subject first. Columns: ranker, metric (str); value, low, high
            (float64), the mean over lists and its interval.
        differences: a row for each rival, metric and slice, with ``ALL`` as the first slice. Columns: rival, metric,
            slice (str); lists (int64), those with a value of the metric; value, low, high (float64), mean of the
            subject's metric minus the rival's on the same list, and its interval: above 0, the subject is better.
        slices: a row for each slice and ranker. Columns: slice (str); lists (int64); ranker (str); value, low, high
            (float64) of NDCG@10.
    """

    lists: int
    subject: str
    metrics: pd.DataFrame
    differences: pd.DataFrame
    slices: pd.DataFrame


def evaluate(rows: TrainingSet, scores: Mapping[str, NDArray[np.float64]], subject: str) -> Evaluation:
    """Judge rankers on the same lists, over all and by slice (see `training.slices`).

    Slices with fewer than ``LEAST_LISTS`` lists that have a value of a metric are left out of the tables of that
    metric.

    Args:
        rows: the lists to judge on; for a fair judgement, none that a ranker has learned from.
        scores: name of a ranker -> float64, its score of every row; higher is better, NaN stands last.
        subject: one of the names.

    Raises:
        ValueError: no ranker is called ``subject``.
    """
    if subject not in scores:
        raise ValueError(f"there is no ranker {subject!r} among {', '.join(scores)}")
    rankers = [subject, *(name for name in scores if name != subject)]
    # Metrics of every list once; a slice only chooses among them.
    values = {ranker: per_list(scores[ranker], rows) for ranker in rankers}
    parts = slices(rows)
    return Evaluation(
        lists=int((~np.isnan(values[subject][HEADLINE])).sum()),
        subject=subject,
        metrics=pd.DataFrame(
            [
                {"ranker": ranker, "metric": metric, **vars(_mean(found, rows.workers))}
                for ranker in rankers
                for metric, found in values[ranker].items()
            ]
        ),
        differences=_differences(values, subject, {ALL: np.ones(len(rows), np.bool_), **parts}, rows.workers),
        slices=_by_slice(values, parts, rows.workers),
    )


_Values = dict[str, dict[str, NDArray[np.float64]]]
"""Ranker -> metric -> one value for each list."""


def _differences(
    values: _Values, subject: str, parts: dict[str, NDArray[np.bool_]], workers: NDArray[np.int32]
) -> pd.DataFrame:
    found = []
    for rival in values:
        if rival == subject:
            continue
        for metric, own in values[subject].items():
            for name, part in parts.items():
                lists = int((part & ~np.isnan(own)).sum())
                if name == ALL or lists >= LEAST_LISTS:
                    difference = paired_difference(own[part], values[rival][metric][part], workers[part])
                    found.append({"rival": rival, "metric": metric, "slice": name, "lists": lists, **vars(difference)})
    return pd.DataFrame(found, columns=["rival", "metric", "slice", "lists", "value", "low", "high"])


def _by_slice(values: _Values, parts: dict[str, NDArray[np.bool_]], workers: NDArray[np.int32]) -> pd.DataFrame:
    found = []
    for name, part in parts.items():
        for ranker, metrics in values.items():
            lists = int((part & ~np.isnan(metrics[HEADLINE])).sum())
            if lists >= LEAST_LISTS:
                mean = _mean(metrics[HEADLINE][part], workers[part])
                found.append({"slice": name, "lists": lists, "ranker": ranker, **vars(mean)})
    return pd.DataFrame(found, columns=["slice", "lists", "ranker", "value", "low", "high"])


def _mean(values: NDArray[np.float64], workers: NDArray[np.int32]) -> Estimate:
    return Estimate(*cluster_interval(values, workers, bounds=(0.0, 1.0)))
