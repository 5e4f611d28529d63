"""The gate: may a challenger take the champion's place? Every check says what was seen, what is allowed, why not."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.spec import BY_REWARD
from matching.bundle import Bundle
from matching.calibration import Scorer
from matching.pipeline import SHORTLIST
from matching.scoring import BundleRanker
from training.aliases import CHALLENGER, CHAMPION
from training.contest import Contest
from training.dataset import TrainingSet
from training.lists import ACCEPTED
from training.metrics import Estimate, ndcg, paired_difference
from training.reliability import last_of_each_work, reliability
from training.slices import slices

NEWCOMERS = "workers: new"
LEAST_NEWCOMERS = 30
"""Newcomers are looked at however large a slice must be, but for fewer lists than this nobody can tell."""

_MODELS = {"p_accept": "accept", "p_approve": "approve", "minutes": "minutes"}
"""Figure -> what a bundle calls the model of it."""

_MONOTONE_ROWS = 200
_MONOTONE_STEPS = 12
_ROUNDING = 1e-9
_TIMINGS = 15


@dataclass(frozen=True)
class Limits:
    """What the gate lets pass.

    Attributes:
        margin: NDCG@10 that the challenger may lie below the champion over all lists.
        slice_margin: the same within a slice.
        slice_lists: lists that a slice must have to be looked at; for newcomers ``LEAST_NEWCOMERS``.
        calibration: expected calibration error of a probability, as a share of the rate of the rarer outcome, beyond
            what chance alone gives at most in 19 cases of 20.
        latency_ms: milliseconds to score a list of 300 tasks, the median of several.
    """

    margin: float = 0.01
    slice_margin: float = 0.03
    slice_lists: int = 200
    calibration: float = 0.75
    latency_ms: float = 50.0


@dataclass(frozen=True)
class Check:
    """One thing the gate looked at.

    Attributes:
        name: what.
        seen: what was measured.
        limit: what is allowed.
        reason: why it does not pass; None if it does.
    """

    name: str
    seen: str
    limit: str
    reason: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What the gate saw.

    Attributes:
        lists: lists judged.
        checks: in the order in which they were made.
        differences: name of the rival -> NDCG@10 of the challenger minus that of the rival, over all lists.
        unseen: what was not looked at though it should be, and why, in sentences.
    """

    lists: int
    checks: tuple[Check, ...]
    differences: dict[str, Estimate]
    unseen: tuple[str, ...] = ()

    @property
    def reasons(self) -> list[str]:
        """Why the challenger is refused; empty if it passes."""
        return [check.reason for check in self.checks if check.reason is not None]

    def table(self) -> pd.DataFrame:
        """Return a row for each check, with the columns check, seen, limit (str) and passes (bool)."""
        rows = [(check.name, check.seen, check.limit, check.reason is None) for check in self.checks]
        return pd.DataFrame(rows, columns=["check", "seen", "limit", "passes"])


def examine(contest: Contest, bundle: Bundle, limits: Limits | None = None) -> Verdict:
    """Examine the challenger of a contest.

    Order is compared with the champion over all lists and within slices, and with a random order. Probabilities are
    held against what came about, those of the judge, since the bundle's own were calibrated on these very lists, and
    those of the bundle too, since they would be served. A model that the champion has must not be missing. Whether the
    score may fall as pay rises, and how long a list takes, is asked of the bundle.

    Args:
        contest: the lists, and who stands for whom.
        bundle: the challenger as it would serve.
        limits: the defaults if None.
    """
    limits = limits or Limits()
    rows = contest.rows
    values = {name: ndcg(scores, rows.relevance, rows.offsets) for name, scores in contest.scores().items()}
    own = values.pop(CHALLENGER)
    rivals = {name: values[name] for name in ("random", CHAMPION) if name in values}
    differences = {name: paired_difference(own, other, rows.workers) for name, other in rivals.items()}
    judged = {name: part & ~np.isnan(own) for name, part in slices(rows).items()} if CHAMPION in values else {}
    checks = [
        *_overall(differences, limits),
        *(_sliced(own, values[CHAMPION], judged, rows, limits) if CHAMPION in values else ()),
        *_missing(contest, bundle),
        *_calibrated(contest, bundle, limits),
        _monotone(bundle, contest),
        _quick(bundle, contest, limits),
    ]
    newcomers = int(judged[NEWCOMERS].sum()) if NEWCOMERS in judged else LEAST_NEWCOMERS
    few = f"newcomers were too few to be looked at: {newcomers} of {LEAST_NEWCOMERS} lists"
    unseen = ((few,) if newcomers < LEAST_NEWCOMERS else ()) + tuple(_unseen(contest, bundle))
    return Verdict(len(rows), tuple(checks), differences, unseen)


def _overall(differences: dict[str, Estimate], limits: Limits) -> Iterator[Check]:
    random = differences["random"]
    shown = random.text(4, signed=True)
    yield Check(
        "NDCG@10 against a random order",
        shown,
        "interval above 0",
        None if random.low > 0 else f"it is not better than a random order: NDCG@10 differs by {shown}",
    )
    if CHAMPION in differences:
        lost = differences[CHAMPION]
        shown = lost.text(4, signed=True)
        worse = f"it is worse than the champion by more than {limits.margin}: NDCG@10 differs by {shown}"
        yield Check(
            "NDCG@10 against the champion",
            shown,
            f"at least -{limits.margin}",
            worse if lost.value < -limits.margin else None,
        )


def _sliced(
    own: NDArray[np.float64],
    champion: NDArray[np.float64],
    judged: dict[str, NDArray[np.bool_]],
    rows: TrainingSet,
    limits: Limits,
) -> Iterator[Check]:
    """Compare within slices. Many are looked at, so a loss counts only if chance alone hardly explains it."""
    for name, part in judged.items():
        lists = int(part.sum())
        if lists < (LEAST_NEWCOMERS if name == NEWCOMERS else limits.slice_lists):
            continue
        lost = paired_difference(own[part], champion[part], rows.workers[part])
        shown = lost.text(4, signed=True)
        worse = f'it is worse than the champion for "{name}" ({lists:,} lists): NDCG@10 differs by {shown}'
        yield Check(
            f"{name} ({lists:,} lists)",
            shown,
            f"at least -{limits.slice_margin}, or 0 within",
            worse if lost.value < -limits.slice_margin and lost.high < 0 else None,
        )


def _missing(contest: Contest, bundle: Bundle) -> Iterator[Check]:
    """Refuse to lose a figure that the champion answers with."""
    for name, attribute in _MODELS.items():
        if _lost(contest, bundle, attribute):
            reason = f"it has no model of {name}, which the champion has"
            yield Check(f"a model of {name}", "none", "one, as the champion has", reason)


def _lost(contest: Contest, bundle: Bundle, attribute: str) -> bool:
    champion = contest.champion
    had = champion is not None and getattr(champion.served or champion.models, attribute) is not None
    return had and getattr(bundle, attribute) is None


def _unseen(contest: Contest, bundle: Bundle) -> Iterator[str]:
    """Tell of models that the checks did not look at."""
    for name, attribute in _MODELS.items():
        if getattr(bundle, attribute) is None and not _lost(contest, bundle, attribute):
            yield f"there is no model of {name} to be looked at"
    for name, (_, known) in _outcomes(contest.rows).items():
        if getattr(bundle, _MODELS[name]) is None:
            continue
        if not known.any():
            yield f"{name} was not held against what came about: nothing did on these lists so far"
        elif getattr(contest.challenger.models, _MODELS[name]) is None:
            yield f"{name} was not looked at on lists set aside: before them there was too little to fit a model of it"


def _outcomes(rows: TrainingSet) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return for each probability what came about, and of which rows that is known and counts (bool, rows)."""
    settled = (rows.verdicts >= 0) & last_of_each_work(rows.workers[rows.owner], rows.tasks, rows.decided)
    return {
        "p_accept": (rows.labels >= ACCEPTED, np.ones(len(rows.labels), np.bool_)),
        "p_approve": (rows.verdicts == 1, settled),
    }


def _calibrated(contest: Contest, bundle: Bundle, limits: Limits) -> Iterator[Check]:
    rows = contest.rows
    features = contest.challenger.columns(rows)
    for name, (came_about, known) in _outcomes(rows).items():
        for models, who in ((contest.challenger.models, "on lists set aside"), (bundle, "as it would serve")):
            model = getattr(models, _MODELS[name])
            if model is None or not known.any():
                continue
            found = reliability(model.predict(features[known]), came_about[known])
            rarer = min(found.base_rate, 1 - found.base_rate)
            allowed = limits.calibration * rarer + found.noise
            parts = f"{limits.calibration:g} of the rarer outcome's rate {rarer:.4f}, and {found.noise:.4f} by chance"
            seen = f"error {found.error:.4f} at a rate of {found.base_rate:.4f}"
            yield Check(
                f"{name} calibrated, {who}",
                seen,
                f"error at most {allowed:.4f}: {parts}",
                None
                if found.error <= allowed
                else f"{name} is miscalibrated {who}: {seen}, allowed {allowed:.4f} ({parts})",
            )


def _monotone(bundle: Bundle, contest: Contest) -> Check:
    columns = [place for place, name in enumerate(bundle.feature_names) if name in BY_REWARD]
    models = {"score": bundle.ranker.predict, **({"p_accept": bundle.accept.log_odds} if bundle.accept else {})}
    features = contest.challenger.columns(contest.rows)
    drawn = np.random.default_rng(0).permutation(len(features))[:_MONOTONE_ROWS]
    falls = {}
    for figure, score in models.items():
        for place in columns:
            fall = _largest_fall(score, features[drawn], place, features[:, place])
            if fall > _ROUNDING:
                falls[figure, bundle.feature_names[place]] = fall
    if not falls:
        return Check("monotone in reward", "never falls as pay rises", "no fall")
    (figure, column), fall = max(falls.items(), key=lambda found: found[1])
    seen = f"{figure} falls by up to {fall:.4g} as {column} rises"
    return Check("monotone in reward", seen, "no fall", f"it is not monotone in reward: its {seen}")


def _largest_fall(score: Scorer, rows: NDArray[np.float32], column: int, values: NDArray[np.float32]) -> float:
    """Return by how much a raw score falls, at the most, as one column rises through its values with all else equal."""
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return 0.0
    steps = np.unique(np.quantile(known, np.linspace(0, 1, _MONOTONE_STEPS)).astype(np.float32))
    varied = np.repeat(rows, len(steps), axis=0)
    varied[:, column] = np.tile(steps, len(rows))
    scores = score(varied).reshape(len(rows), len(steps))
    return float(-np.diff(scores, axis=1).min(initial=0.0))


def _quick(bundle: Bundle, contest: Contest, limits: Limits) -> Check:
    features = contest.rows.features
    rows = features[np.arange(SHORTLIST) % len(features)]
    ranker = BundleRanker(bundle, "")
    taken = []
    for _ in range(_TIMINGS):
        begun = time.perf_counter()
        ranker.answers(rows).outcomes()
        taken.append(1000 * (time.perf_counter() - begun))
    median = float(np.median(taken))
    seen = f"{median:.1f} ms for {SHORTLIST} tasks"
    slow = f"it is too slow: {seen}, allowed {limits.latency_ms:g} ms"
    limit = f"at most {limits.latency_ms:g} ms"
    return Check("latency", seen, limit, slow if median > limits.latency_ms else None)
