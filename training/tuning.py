"""Tuning: a search for parameters of the ranker that do better on this log than the defaults.

Every trial is `training.ranker.choose_trees` with other parameters: its value is the smoothed mean of NDCG@10 over the
windows of time, at the number of trees that it chose. The last part, on which the ranker is judged, plays no role.
Trials come from a tree-structured Parzen estimator (Bergstra et al. 2011) in Optuna (Akiba et al. 2019); one whose
curve lies below the median of the others is given up early (Golovin et al. 2017, section 3.2.2). Optuna is imported at
the first call.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import CocokError
from features.progress import Progress, Steps
from features.spec import fingerprint
from training.columns import monotone_directions, ranking_columns
from training.dataset import TrainingSet
from training.metrics import Estimate, cluster_interval, ndcg
from training.ranker import RankerParameters, choose_trees, fit, teaching_folds
from training.splits import holdout

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import JournalStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

SEARCHED = (
    "learning_rate",
    "num_leaves",
    "min_data_in_leaf",
    "feature_fraction",
    "lambda_l2",
    "truncation_level",
)
"""The parameters that are searched, by their names in `RankerParameters`."""

COMPLETE, PRUNED = "complete", "pruned"
"""What becomes of a trial."""

_CHANCE = 0.05
_RANDOM_TRIALS = 8
_UNPRUNED_TRIALS = 4
_REFITS = 3
_START, _TREES = "start", "trees"


@dataclass(frozen=True, eq=False)
class Tuning:
    """What a search found.

    Attributes:
        start: the parameters to beat; the first trial.
        best: those of the trial with the highest value.
        gain: NDCG@10 of ``best`` minus that of ``start``, paired over the lists of the windows of time, each the mean
            of several fits with seeds that no trial had: what a trial owes to its seed is not found again. The interval
            is wide enough to hold for the best of so many trials: 95 % by Bonferroni, since one of many lies ahead by
            chance alone. All 0 where no trial was better than the first.
        trials: a row for each finished trial, in order. Columns: trial (int64); state (str; ``COMPLETE`` or
            ``PRUNED``); value (float64; of a pruned trial the highest that it came to); trees (Int64; missing where
            pruned); seconds (float64); and each of ``SEARCHED``.
    """

    start: RankerParameters
    best: RankerParameters
    gain: Estimate
    trials: pd.DataFrame

    @property
    def won(self) -> bool:
        """Whether the best trial beats the first by more than chance explains."""
        return self.gain.low > 0

    @property
    def parameters(self) -> RankerParameters:
        """What to fit with: ``best`` if it won, else ``start``."""
        return self.best if self.won else self.start

    def verdict(self) -> str:
        """Say in a sentence what came of the search."""
        pruned = int((self.trials["state"] == PRUNED).sum())
        trials = f"{len(self.trials)} trials, {pruned} of them given up early"
        if self.best == self.start:
            return f"no better than the first in {trials}; the first stay"
        gain = f"{self.gain.text(4, signed=True)} NDCG@10 on the windows of time"
        kept = "the best are used" if self.won else "which may be chance; the first stay"
        return f"the best of {trials} gain {gain}: {kept}"


def tune(
    rows: TrainingSet,
    start: RankerParameters,
    trials: int,
    *,
    store: Path | None = None,
    progress: Steps | None = None,
) -> Tuning:
    """Search until there are ``trials`` finished trials of this training set, and compare the best with the first.

    The same rows, start and number of trials give the same answer, also where it was reached in several calls.

    Args:
        rows: the training set, with its last part.
        start: the parameters to beat, and all that is not searched.
        trials: finished trials in all, pruned ones and those of earlier calls included; the first is ``start``.
        store: file that keeps the trials, made if need be. A call for the same rows and start goes on from them; other
            rows begin anew beside them. None keeps nothing.
        progress: called as the trials go on.

    Raises:
        CocokError: too few lists to split by time, or none from which an order can be learned; the search was
            interrupted, or ``store`` cannot be read.
    """
    before, _ = holdout(rows, maturity=rows.patience)
    development = rows.select(before)
    space = _space(start, len(development.labels))
    study = _study(store, _name(development, start, space), start)
    for number in range(len(_finished(study)), trials):
        try:
            _run(study, development, start, space, _share(progress, number, trials, start.max_trees))
        except KeyboardInterrupt as interrupt:
            raise _interrupted(len(_finished(study)), kept=store is not None) from interrupt
    if progress:
        progress("Tuning", trials * start.max_trees, trials * start.max_trees)
    finished = _finished(study)
    # Of equals the earliest: the start stays where nothing is better.
    complete = [trial for trial in finished if not _pruned(trial)]
    best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number))
    first = next(trial for trial in complete if _START in trial.user_attrs)
    return Tuning(
        start=start,
        best=replace(start, **best.params),
        gain=_gain(development, start, best, first, max(len(finished) - 1, 1), progress),
        trials=_table(finished),
    )


def _space(start: RankerParameters, rows: int) -> "dict[str, BaseDistribution]":
    """Return where each parameter is searched; wide enough for the start, and a leaf's rows in proportion to all."""
    from optuna.distributions import FloatDistribution, IntDistribution

    def numbers(name: str, low: float, high: float, *, log: bool) -> "BaseDistribution":
        at = getattr(start, name)
        return FloatDistribution(min(low, at), max(high, at), log=log)

    def counts(name: str, low: int, high: int) -> "BaseDistribution":
        at = getattr(start, name)
        return IntDistribution(min(low, at), max(high, at), log=True)

    return {
        "learning_rate": numbers("learning_rate", 0.03, 0.2, log=True),
        "num_leaves": counts("num_leaves", 7, 127),
        "min_data_in_leaf": counts("min_data_in_leaf", max(5, rows // 20_000), max(100, rows // 500)),
        "feature_fraction": numbers("feature_fraction", 0.15, 0.9, log=False),
        # A start of 0 has no logarithm.
        "lambda_l2": numbers("lambda_l2", 0.01, 100.0, log=start.lambda_l2 > 0),
        "truncation_level": counts("truncation_level", 10, 50),
    }


def _study(store: Path | None, name: str, start: RankerParameters) -> "Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=None if store is None else _journal(store),
            study_name=name,
            load_if_exists=True,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED_TRIALS, n_warmup_steps=1),
        )
    except Exception as error:
        # Optuna reads the whole file here, and has no error of its own for lines that make no sense.
        if store is None:
            raise
        reason = f"{type(error).__name__}: {error}"
        raise CocokError(f"{store} cannot be read ({reason}): move it away, and the search begins anew") from error
    if not any(_START in trial.user_attrs for trial in _finished(study)):
        study.enqueue_trial({each: getattr(start, each) for each in SEARCHED}, user_attrs={_START: True})
    return study


def _journal(store: Path) -> "JournalStorage":
    """Open the file of trials, without what a writer that was killed left of its last line."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    store.parent.mkdir(parents=True, exist_ok=True)
    lock = JournalFileSymlinkLock(str(store))
    backend = JournalFileBackend(str(store), lock)
    # Who writes holds the lock, so that no line is cut that is only about to end.
    lock.acquire()
    try:
        with store.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
    finally:
        lock.release()
    return JournalStorage(backend)


def _name(development: TrainingSet, start: RankerParameters, space: "Mapping[str, BaseDistribution]") -> str:
    """Return a name that is the same only where every trial would come out the same."""
    told = {**asdict(start), "num_threads": None}
    digest = hashlib.blake2b(
        repr(
            (fingerprint(), development.names, development.patience, sorted(told.items()), sorted(space.items()))
        ).encode(),
        digest_size=16,
    )
    for part in (
        *(development.features, development.relevance, development.offsets, development.times),
        development.told,
    ):
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def _run(
    study: "Study",
    development: TrainingSet,
    start: RankerParameters,
    space: "dict[str, BaseDistribution]",
    progress: Progress | None,
) -> None:
    from optuna import TrialPruned
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    # A sampler for each trial, seeded by what is finished: a search that was interrupted goes on as it would have.
    seed = start.seed + len(_finished(study))
    study.sampler = TPESampler(n_startup_trials=_RANDOM_TRIALS, constant_liar=False, seed=seed)
    trial = study.ask(space)
    parameters = replace(start, **trial.params)
    try:
        choice = choose_trees(
            development,
            parameters,
            **_columns(development),
            maturity=development.patience,
            progress=progress,
            watch=_pruning(trial, parameters.learning_rate),
        )
    except TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise
    else:
        trial.set_user_attr(_TREES, choice.trees)
        study.tell(trial, float(choice.curve[min(choice.trees, len(choice.curve)) - 1]))


def _pruning(trial: "Trial", learning_rate: float) -> Callable[[int, float], None]:
    """Return what gives a trial up whose curve lies below the median of the others.

    Curves are compared where trees times learning rate are the same: after as many trees, a small learning rate has not
    come as far, and would be given up for being slow.
    """
    from optuna import TrialPruned

    def watch(trees: int, highest: float) -> None:
        step = int(trees * learning_rate)
        if step > int((trees - 1) * learning_rate):
            trial.report(highest, step)
            # The start is what the others are compared with.
            if _START not in trial.user_attrs and trial.should_prune():
                raise TrialPruned

    return watch


def _gain(
    development: TrainingSet,
    start: RankerParameters,
    best: "FrozenTrial",
    first: "FrozenTrial",
    comparisons: int,
    progress: Steps | None,
) -> Estimate:
    if best.number == first.number:
        return Estimate(0.0, 0.0, 0.0)
    difference = np.zeros(len(development))
    for refit in range(_REFITS):
        if progress:
            progress("Comparing with the first", refit, _REFITS)
        for trial, sign in ((best, 1), (first, -1)):
            parameters = replace(start, **trial.params, seed=start.seed + 1 + refit)
            difference += sign * _ndcg(development, parameters, trial.user_attrs[_TREES]) / _REFITS
    if progress:
        progress("Comparing with the first", _REFITS, _REFITS)
    level = 1 - _CHANCE / comparisons
    return Estimate(*cluster_interval(difference, development.workers, level=level, bounds=(-1.0, 1.0)))


def _ndcg(development: TrainingSet, parameters: RankerParameters, trees: int) -> NDArray[np.float64]:
    """Return NDCG@10 of each list of the windows of time, by rankers fitted on what was before; NaN for other lists."""
    found = np.full(len(development), np.nan)
    for fold in teaching_folds(development, parameters.folds, maturity=development.patience):
        ranker = fit(development.select(fold.training), parameters, trees, **_columns(development))
        judged = development.select(fold.validation)
        found[fold.validation] = ndcg(ranker.predict(judged.features), judged.relevance, judged.offsets)
    return found


def _table(finished: "list[FrozenTrial]") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "trial": number,
                "state": PRUNED if _pruned(trial) else COMPLETE,
                "value": trial.value,
                "trees": trial.user_attrs.get(_TREES),
                "seconds": trial.duration.total_seconds() if trial.duration else np.nan,
                **{name: trial.params[name] for name in SEARCHED},
            }
            for number, trial in enumerate(finished)
        ]
    ).astype({"trees": "Int64"})


def _finished(study: "Study") -> "list[FrozenTrial]":
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _pruned(trial: "FrozenTrial") -> bool:
    from optuna.trial import TrialState

    return trial.state == TrialState.PRUNED


def _columns(rows: TrainingSet) -> dict[str, Any]:
    return {"monotone": monotone_directions(rows.names), "ranks": ranking_columns(rows.names)}


def _share(progress: Steps | None, number: int, trials: int, trees: int) -> Progress | None:
    """Return what tells the trees of one trial as a part of those of all trials."""
    if progress is None:
        return None
    return lambda done, _: progress("Tuning", number * trees + done, trials * trees)


def _interrupted(finished: int, *, kept: bool) -> CocokError:
    if not kept:
        return CocokError("tuning was interrupted, and nothing of it is kept")
    enough = f", and --tune {finished} fits with the best of them" if finished > 1 else ""
    return CocokError(
        f"tuning was interrupted; finished trials are kept ({finished}): the same command goes on from them{enough}"
    )
