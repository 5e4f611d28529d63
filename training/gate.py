"""The gate: may a challenger take the champion's place? Judged on the same lists, which neither has learned from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import lightgbm as lgb
import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import CocokError
from features.money import Rates
from matching.bundle import Bundle
from matching.calibration import predict_rows
from training.baselines import baseline_scores
from training.metrics import Estimate, ndcg, paired_difference
from training.replay import Entries, training_set

MARGIN = 0.01
"""NDCG@10 that a challenger may seem to lose by chance."""


@dataclass(frozen=True)
class Comparison:
    """What the gate saw.

    Attributes:
        lists: lists judged.
        differences: name of the rival -> NDCG@10 of the challenger minus that of the rival.
        reasons: why the challenger is refused; empty if it passes.
    """

    lists: int
    differences: dict[str, Estimate]
    reasons: list[str] = field(default_factory=list)


def compare(
    read: Callable[[], Iterable[Entries]],
    rates: Rates,
    challenger: Bundle,
    champion: Bundle | None,
    *,
    margin: float = MARGIN,
) -> Comparison:
    """Compare a challenger with the champion, or with a random order where there is no champion.

    The lists are those that the challenger's training set aside, and the challenger is stood for by the ranker that was
    fitted without them. A champion trained later than they begin has seen some of them, which only helps the champion.

    Args:
        read: gives the batches of the log known before ``challenger.until``, at each call.
        rates: currency rates.
        challenger: who wants in.
        champion: who is in; None if nobody is.
        margin: by how much the challenger's NDCG@10 may lie below the champion's.

    Raises:
        CocokError: the challenger has set no lists aside, or the log holds none of them any more; or it was trained
            with a column that the spec does not have.
    """
    judge = challenger.judge
    if judge is None:
        raise CocokError("the challenger has set no lists aside to be judged on: train it anew")
    rows = training_set(read, rates, since=judge.since, until=challenger.until, maturity=judge.maturity)

    def of(scores: ArrayLike) -> NDArray[np.float64]:
        return ndcg(scores, rows.labels, rows.offsets)

    def scores(ranker: lgb.Booster, names: tuple[str, ...]) -> NDArray[np.float64]:
        # A model may have been trained with a part of the columns.
        return predict_rows(ranker, rows.features[:, [rows.names.index(name) for name in names]])

    unknown = sorted(set(challenger.feature_names) - set(rows.names))
    if unknown:
        raise CocokError(
            f"the challenger was trained with the column {unknown[0]!r}, which is not in the feature spec: "
            "add it to features.spec and train again"
        )
    own = of(scores(judge.ranker, challenger.feature_names))
    rivals = {"random": of(baseline_scores(rows)["random"])}
    if champion is not None:
        rivals["champion"] = of(scores(champion.ranker, champion.feature_names))
    differences = {name: paired_difference(own, values, rows.workers) for name, values in rivals.items()}
    reasons = []
    if differences["random"].low <= 0:
        reasons.append(f"it is not better than a random order: NDCG@10 differs by {_shown(differences['random'])}")
    if champion is not None and differences["champion"].value < -margin:
        reasons.append(
            f"it is worse than the champion by more than {margin}: NDCG@10 differs by {_shown(differences['champion'])}"
        )
    return Comparison(len(rows), differences, reasons)


def _shown(difference: Estimate) -> str:
    return f"{difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"
