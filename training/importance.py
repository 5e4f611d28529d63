"""What an order comes from: by trees, by what it loses when columns are permuted across lists, and row by row."""

from collections.abc import Callable, Sequence
from typing import Literal

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.spec import GROUPS
from matching.calibration import Additive
from matching.contributions import OWN, contributor, group_of, groups_of
from training.dataset import TrainingSet
from training.metrics import ndcg, paired_difference


def gain(booster: lgb.Booster, names: Sequence[str]) -> pd.DataFrame:
    """Return how much of what the trees gained in fitting came from splits on each column.

    It says what the trees used, not what holds on new lists: a column with many values offers more chances to split,
    and of columns that say the same each gets a part; `permutation` judges on lists that were not learned from.

    Args:
        booster: the model.
        names: name of each of its columns, in order.

    Returns:
        A row for each column, the largest share first. Columns: feature (str), group (str; one of
        `features.spec.GROUPS` or `matching.contributions.OWN`), share (float64; of the total gain), splits (int64).

    Raises:
        ValueError: the number of names is not that of the model's columns.
    """
    if len(names) != booster.num_feature():
        raise ValueError(f"{len(names)} names for a model of {booster.num_feature()} columns")
    gains = booster.feature_importance("gain")
    table = pd.DataFrame(
        {
            "feature": list(names),
            "group": [group_of(name) for name in names],
            "share": gains / max(gains.sum(), np.finfo(np.float64).tiny),
            "splits": booster.feature_importance("split").astype(np.int64),
        }
    )
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def permutation(
    score: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    rows: TrainingSet,
    by: Literal["group", "feature"] = "group",
    draws: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what NDCG@10 loses when columns are permuted across lists.

    In every row, the columns of a group (or one column) are replaced together by those of a row drawn from all the
    other lists: permutation importance (Breiman 2001), in which no row meets its own list. Shuffling within a list
    would leave what all its rows share, such as the worker's history, as it is, and call it worthless.

    Columns that say the same stand in for each other, so one column may cost little where its group costs much.

    Args:
        score: features (float32, rows x columns) -> score of every row.
        rows: lists to judge on; best none that the model has learned from.
        by: replace whole groups, or each column alone.
        draws: replacements, whose losses are averaged list by list.
        seed: of the draws.

    Returns:
        A row for each group or column, the largest loss first. Columns: name (str); value, low, high (float64), mean
        loss over lists and its interval of 95 % over workers, which tells of lists and workers, not of the draws.

    Raises:
        ValueError: there are fewer than two lists.
    """
    if len(rows) < 2:
        raise ValueError("a row of another list is needed, and there is none")
    intact = ndcg(score(rows.features), rows.relevance, rows.offsets)
    random = np.random.default_rng(seed)
    donors = [_rows_of_other_lists(rows, random) for _ in range(draws)]
    features = rows.features.copy()
    losses = []
    for name, columns in _columns(rows.names, by).items():
        left = np.zeros(len(rows))
        for donor in donors:
            features[:, columns] = rows.features[donor][:, columns]
            left += ndcg(score(features), rows.relevance, rows.offsets) / draws
        features[:, columns] = rows.features[:, columns]
        losses.append({"name": name, **vars(paired_difference(intact, left, rows.workers))})
    table = pd.DataFrame(losses, columns=["name", "value", "low", "high"])
    return table.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def contributions(model: Additive, names: Sequence[str], features: NDArray[np.float32]) -> pd.DataFrame:
    """Return what each group of columns contributes to the raw score of each row: Shapley values of the groups.

    Feeds give their reasons by these numbers; see `matching.contributions` for what they mean.

    Args:
        model: the ranker of a bundle.
        names: name of each of its columns, in order.
        features: float32, rows x columns.

    Returns:
        A row for each row of ``features``; a column (float64) for each of `features.spec.GROUPS`, and for
        `matching.contributions.OWN` if a column is none of the spec's. A row adds up to its raw score less the score
        that is expected of a row of which nothing is known.

    Raises:
        ValueError: the number of names is not that of the model's columns.
    """
    if len(names) != model.booster.num_feature():
        raise ValueError(f"{len(names)} names for a model of {model.booster.num_feature()} columns")
    return pd.DataFrame(contributor(model, names)(features, len(features)), columns=list(groups_of(names)))


def _columns(names: Sequence[str], by: Literal["group", "feature"]) -> dict[str, list[int]]:
    if by == "feature":
        return {name: [column] for column, name in enumerate(names)}
    groups = {
        group: [column for column, name in enumerate(names) if group_of(name) == group] for group in (*GROUPS, OWN)
    }
    return {group: columns for group, columns in groups.items() if columns}


def _rows_of_other_lists(rows: TrainingSet, random: np.random.Generator) -> NDArray[np.int64]:
    """Return for each row the index of one that is not of the same list, all of them being equally likely."""
    sizes = np.diff(rows.offsets)
    size, end = np.repeat(sizes, sizes), np.repeat(rows.offsets[1:], sizes)
    return np.asarray((end + random.integers(0, len(size) - size)) % len(size), dtype=np.int64)
