"""All that is told of a contest: tables and figures, for the command line, MLflow and notebooks alike."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from features.progress import Steps
from training.aliases import CHALLENGER
from training.contest import Contest
from training.evaluation import Evaluation, evaluate
from training.importance import gain, permutation
from training.lists import ACCEPTED
from training.off_policy import OffPolicy
from training.reliability import MinutesReliability, Reliability, last_of_each_work, minutes_reliability, reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from training.train import Trained


CALIBRATION = ("base_rate", "error", "noise", "log_loss", "constant_log_loss")
"""What the table of calibration tells; see `training.reliability.Reliability`."""


@dataclass(frozen=True, eq=False)
class Report:
    """What a contest shows of its challenger.

    Attributes:
        evaluation: the order, beside champion and baselines, over all lists and by slice.
        reliability: ``p_accept`` and ``p_approve``, as far as there are models and outcomes, against what came about;
            a work counts once.
        minutes: minutes of work against what was predicted, a work once; None without a model of them.
        importance: what the ranker's columns gained; see `training.importance.gain`.
        off_policy: what the rankers would have been worth, from lists in a drawn order; or why that is not told.
    """

    evaluation: Evaluation
    reliability: dict[str, Reliability]
    minutes: MinutesReliability | None
    importance: pd.DataFrame
    off_policy: OffPolicy | str = "nothing was asked for"

    def calibration(self) -> pd.DataFrame:
        """Return a row for each probability: its base rate, calibration error and log loss; see `Reliability`."""
        return pd.DataFrame(
            [
                {
                    "figure": name,
                    "rows": int(found.bins["rows"].sum()),
                    **{part: getattr(found, part) for part in CALIBRATION},
                }
                for name, found in self.reliability.items()
            ],
            columns=["figure", "rows", *CALIBRATION],
        )

    def figures(self) -> "dict[str, Figure]":
        """Return every figure by name; see `training.plots`."""
        from training import plots

        return {
            "metrics": plots.metrics(self.evaluation),
            "differences": plots.differences(self.evaluation),
            **({"calibration": plots.reliability(self.reliability)} if self.reliability else {}),
            "importance": plots.importance(self.importance),
        }

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return every table by name."""
        return {
            "metrics": self.evaluation.metrics,
            "differences": self.evaluation.differences,
            "slices": self.evaluation.slices,
            "calibration": self.calibration(),
            "importance": self.importance,
        }


def study(trained: "Trained", progress: Steps | None = None) -> dict[str, pd.DataFrame]:
    """Return what a ranker owes to its columns and its history: some dozen refits, so it takes that many times longer.

    Args:
        trained: the training to study.
        progress: called as the steps go on.

    Returns:
        The tables ``permutation``, ``ablation`` and ``learning_curve``; see `training.importance.permutation` and
        `training.sensitivity`. `training.plots` has a figure of the same name for each.
    """
    # It fits, as training does; a report alone does not.
    from training.sensitivity import ablation, learning_curve

    contest = trained.last
    return {
        "permutation": permutation(contest.challenger.models.ranker.predict, contest.rows),
        "ablation": ablation(trained.rows, trained.parameters, progress=progress),
        "learning_curve": learning_curve(trained.rows, trained.parameters, progress=progress),
    }


def report(contest: Contest) -> Report:
    """Judge the challenger of a contest in every respect that its lists allow."""
    rows, models = contest.rows, contest.challenger.models
    features = contest.challenger.columns(rows)
    workers = rows.workers[rows.owner]
    judged, timed = (last_of_each_work(workers, rows.tasks, instants) for instants in (rows.decided, rows.timed))
    settled = judged & (rows.verdicts >= 0)
    found = {}
    if models.accept is not None:
        found["p_accept"] = reliability(models.accept.predict(features), rows.labels >= ACCEPTED, workers)
    if models.approve is not None and settled.any():
        found["p_approve"] = reliability(
            models.approve.predict(features[settled]), rows.verdicts[settled] == 1, workers[settled]
        )
    return Report(
        evaluation=evaluate(rows, contest.scores(), CHALLENGER),
        reliability=found,
        minutes=None
        if models.minutes is None
        else minutes_reliability(models.minutes, features[timed], rows.minutes[timed]),
        importance=gain(models.ranker.booster, contest.challenger.names),
    )
