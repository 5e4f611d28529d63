"""Training: from a training set to a bundle that has been judged, step by step."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.progress import Progress, Steps
from features.spec import BY_REWARD, fingerprint
from matching.bundle import Bundle, Judge
from matching.first_stage import learn_first_stage
from training import lists
from training.baselines import baseline_scores
from training.columns import monotone_directions, ranking_columns
from training.contest import Contender, Contest
from training.dataset import TrainingSet
from training.metrics import Estimate, means, per_list
from training.outcomes import (
    BY_LENGTH,
    CORRECTIONS,
    DATES,
    QUALITY,
    OutcomeParameters,
    Unfitted,
    fit_minutes,
    fit_probability,
)
from training.ranker import RankerParameters, TreeChoice, choose_trees, fit
from training.slices import NEWCOMER_COLUMN, newcomers
from training.splits import holdout

if TYPE_CHECKING:
    from training.tuning import Tuning


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        bundle: the model, fitted on all lists.
        metrics: of the same model fitted without the last part, on that part; name -> estimate.
        baselines: name -> metrics on the same lists.
        slices: "warm" and "new" workers -> metrics of the model and each baseline; empty without the column that tells.
        choice: how the number of trees was chosen.
        unfitted: ``p_accept``, ``p_approve`` or ``minutes`` -> why it has no model.
        last: the last part, where the same models fitted without it are judged beside the baselines.
        rows: what was learned from.
        parameters: of the ranker.
        tuning: the search that the parameters came from; None without one.
    """

    bundle: Bundle
    metrics: dict[str, Estimate]
    baselines: dict[str, dict[str, Estimate]]
    slices: dict[str, dict[str, dict[str, Estimate]]]
    choice: TreeChoice
    unfitted: dict[str, str]
    last: Contest
    rows: TrainingSet
    parameters: RankerParameters
    tuning: "Tuning | None" = None

    @property
    def judged(self) -> int:
        """Lists of the last part."""
        return len(self.last.rows)


_ANSWERS = {"accept": "p_accept", "approve": "p_approve", "minutes": "minutes"}
"""What answers call the figure of each outcome model."""


def train(
    rows: TrainingSet,
    rates_fingerprint: str,
    parameters: RankerParameters | None = None,
    *,
    progress: Steps | None = None,
) -> Trained:
    """Choose, judge and fit.

    The number of trees is chosen by time folds on the lists before the last part; a ranker fitted on these is judged on
    the last part, beside the baselines; the ranker of the bundle is then fitted on everything. Verdicts and minutes
    that came about only after the last part began are unknown to what is judged on it.

    Args:
        rows: the training set.
        rates_fingerprint: of the currency rates it was built with.
        parameters: of the ranker; the defaults if None.
        progress: called as the steps go on.

    Raises:
        CocokError: too few lists to split by time, or none from which an order can be learned.
    """
    parameters = parameters or RankerParameters()
    columns: dict[str, Any] = {"monotone": monotone_directions(rows.names), "ranks": ranking_columns(rows.names)}
    before, last = holdout(rows, maturity=rows.patience)
    final = rows.select(last)
    # Nobody knew on the day of the boundary what was decided later.
    development = rows.select(before).known_before(int(final.times[0]))
    choice = choose_trees(
        development, parameters, **columns, maturity=rows.patience, progress=_step(progress, "Choosing trees")
    )
    ranker_without = fit(development, parameters, choice.trees, **columns, progress=_step(progress, "Fitting to judge"))
    scores = {"model": ranker_without.predict(final.features), **baseline_scores(final)}
    ranker = fit(rows, parameters, choice.trees, **columns, progress=_step(progress, "Fitting the ranker"))
    judged, _ = fit_outcomes(development, parameters.num_threads)
    judge = Judge(ranker_without, since=int(final.times[0]), maturity=rows.maturity, **judged)
    fitted, unfitted = fit_outcomes(rows, parameters.num_threads)
    judgement = {name: per_list(values, final) for name, values in scores.items()}
    overall = {name: means(values, final.workers) for name, values in judgement.items()}
    metrics = overall.pop("model")
    return Trained(
        bundle=Bundle(
            ranker=ranker,
            first_stage=learn_first_stage(ranker.predict, rows.features, rows.offsets, rows.names),
            feature_names=rows.names,
            features_fingerprint=fingerprint(),
            rates_fingerprint=rates_fingerprint,
            since=int(rows.times[0]),
            until=rows.until,
            metrics={name: vars(estimate) for name, estimate in metrics.items()},
            judge=judge,
            **fitted,
        ),
        metrics=metrics,
        baselines=overall,
        slices=_slices(judgement, final),
        choice=choice,
        unfitted={_ANSWERS[name]: reason for name, reason in unfitted.items()},
        last=Contest(final, Contender(judge, rows.names), None),
        rows=rows,
        parameters=parameters,
    )


def fit_outcomes(rows: TrainingSet, num_threads: int = 0) -> tuple[dict[str, Any], dict[str, str]]:
    """Fit what can be fitted of the outcome models, and say why the others cannot.

    Args:
        rows: lists to learn from.
        num_threads: 0 for all cores.

    Returns:
        ``accept``, ``approve`` and ``minutes`` -> the model, as a bundle names them; and the same -> why there is none.
    """
    monotone = monotone_directions(rows.names)
    times = rows.times[rows.owner]
    settled = rows.verdicts >= 0
    common: dict[str, Any] = {"names": rows.names, "maturity": rows.maturity}
    corrections = replace(CORRECTIONS, num_threads=num_threads)
    models = {
        "accept": fit_probability(
            rows.features,
            rows.labels >= lists.ACCEPTED,
            times,
            monotone=monotone,
            unseen=DATES,
            linear=[name for name in rows.names if name not in DATES],
            # As in the ranker: of columns that say nearly the same, one that takes back a part is no error.
            linear_monotone=[sign if name in BY_REWARD else 0 for name, sign in zip(rows.names, monotone, strict=True)],
            known=rows.told_of_lists[rows.owner],
            parameters=OutcomeParameters(num_threads=num_threads),
            **common,
        ),
        # Pay per hour rises with the reward and falls with the minutes only if neither moves the chance of approval.
        "approve": fit_probability(
            rows.features[settled],
            rows.verdicts[settled] == 1,
            times[settled],
            # Who was approved more often before is not for that less likely to be: in a young market chance says so.
            monotone=[1 if name in QUALITY else sign for name, sign in zip(rows.names, monotone, strict=True)],
            unseen=BY_REWARD | BY_LENGTH,
            linear=QUALITY,
            known=rows.decided[settled],
            parameters=corrections,
            **common,
        ),
        "minutes": fit_minutes(rows.features, rows.minutes, times, known=rows.timed, parameters=corrections, **common),
    }
    return (
        {name: model for name, model in models.items() if not isinstance(model, Unfitted)},
        {name: model.reason for name, model in models.items() if isinstance(model, Unfitted)},
    )


def _step(progress: Steps | None, name: str) -> Progress | None:
    return (lambda done, total: progress(name, done, total)) if progress else None


def _slices(
    judgement: dict[str, dict[str, NDArray[np.float64]]], rows: TrainingSet
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Judge workers with and without a history apart: what helps the one often fails the other.

    Args:
        judgement: ranker -> metric -> its value for each list.
        rows: the lists.
    """
    if NEWCOMER_COLUMN not in rows.names:
        return {}
    new = newcomers(rows)
    found: dict[str, dict[str, dict[str, Estimate]]] = {}
    for name, part in (("warm", ~new), ("new", new)):
        if part.any():
            workers = rows.workers[part]
            found[name] = {
                ranker: means({metric: each[part] for metric, each in values.items()}, workers)
                for ranker, values in judgement.items()
            }
    return found
