"""A contest: models compared on the same recent lists, of which none has learned anything."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import CocokError
from features.money import Rates
from features.progress import Progress
from matching.bundle import Bundle, Models
from training.baselines import baseline_scores
from training.dataset import TrainingSet
from training.replay import Entries, training_set

CHALLENGER, CHAMPION = "challenger", "champion"
"""What the two are called in tables, beside the names of the baselines."""


@dataclass(frozen=True, eq=False)
class Contender:
    """Who stands for a bundle.

    Attributes:
        models: fitted without the lists of the contest: those of the bundle, or its judge's.
        names: columns the models were trained with.
        served: the models that the bundle serves with, where a judge stands for it.
    """

    models: Models
    names: tuple[str, ...]
    served: Models | None = None

    def columns(self, rows: TrainingSet) -> NDArray[np.float32]:
        """Return the columns of ``rows`` that the models know (float32, rows x columns)."""
        if self.names == rows.names:
            return rows.features
        return rows.features[:, [rows.names.index(name) for name in self.names]]

    def scores(self, rows: TrainingSet) -> NDArray[np.float64]:
        """Return the score of every row."""
        return self.models.ranker.predict(self.columns(rows))


@dataclass(frozen=True, eq=False)
class Contest:
    """The lists, and who is compared on them.

    Attributes:
        rows: the lists.
        challenger: the version to judge.
        champion: the version that serves; None if none does.
    """

    rows: TrainingSet
    challenger: Contender
    champion: Contender | None

    def scores(self) -> dict[str, NDArray[np.float64]]:
        """Return the scores of every row by challenger, champion if there is one, and the baselines."""
        contenders = {CHALLENGER: self.challenger, CHAMPION: self.champion}
        return {
            **{name: contender.scores(self.rows) for name, contender in contenders.items() if contender},
            **baseline_scores(self.rows),
        }


def contest(
    read: Callable[[], Iterable[Entries]],
    rates: Rates,
    challenger: Bundle,
    champion: Bundle | None,
    *,
    until: int,
    whole: bool = False,
    progress: Progress | None = None,
) -> Contest:
    """Find the lists on which two bundles can be compared fairly.

    The lists are the most recent ones, from the first that the challenger's training set aside; its judge, fitted
    without them, stands for the challenger. A champion that was trained before them stands for itself. One that was
    trained later, as when a model is trained every day, has seen some of them: its own judge stands for it, and lists
    from before either judge's are left out.

    Args:
        read: gives the batches of the log known before ``until``, from the beginning, at each call.
        rates: currency rates.
        challenger: the version to judge.
        champion: the version that serves; None if none does.
        until: microseconds since 1970; what was not known before it does not exist.
        whole: lists are not cut to what was shown.
        progress: called after every few lists.

    Raises:
        CocokError: the challenger has set no lists aside, or the log holds none of them any more; or a model was
            trained with a column that the spec does not have.
    """
    judge = challenger.judge
    if judge is None:
        raise CocokError("the challenger has set no lists aside to be judged on: train it anew")
    since = judge.since
    rival: Models | None = champion
    if champion is not None and champion.judge is not None and champion.until > since:
        since, rival = max(since, champion.judge.since), champion.judge
    rows = training_set(read, rates, since=since, until=until, maturity=judge.maturity, whole=whole, progress=progress)
    return Contest(
        rows=rows,
        challenger=_contender(judge, challenger, rows, CHALLENGER),
        champion=None if champion is None or rival is None else _contender(rival, champion, rows, CHAMPION),
    )


def _contender(models: Models, bundle: Bundle, rows: TrainingSet, name: str) -> Contender:
    unknown = sorted(set(bundle.feature_names) - set(rows.names))
    if unknown:
        raise CocokError(
            f"the {name} was trained with the column {unknown[0]!r}, which is not in the feature spec: "
            "add it to features.spec and train again"
        )
    return Contender(models, bundle.feature_names, bundle)
