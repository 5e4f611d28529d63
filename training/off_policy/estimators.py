"""The value of policies that did not serve, from lists of one that drew its order.

Contexts are the logged lists: a worker, an instant and what stood on the page. A target policy may only reorder the
page; what it would have fetched from further down is not in the log. The value is the expected reward of a list.

All three estimators assume that a worker goes down the list, so that what stands lower does not change what becomes of
what stands higher (cascade).

- ``ips``: every reward weighs as much more as the target would rather have drawn this item and those above it, the
  reward-interaction estimator of McInerney et al. (2020, "Counterfactual Evaluation of Slate Recommendations with
  Sequential Reward Interactions"). Nothing else is assumed, and weights multiply down the list.
- ``snips``: the same, with the weights of each place divided by their mean (Swaminathan & Joachims 2015).
- ``dr``: the outcome model's value of the target, corrected by how far the model was off on what was logged. It assumes
  besides that the chance of an item to be taken, once nothing above it was, depends on the item and its place alone.
  Then this one item has to stand where the target would put it, whatever stands above, and weights do not multiply
  (item-position weights: Li et al. 2018, "Offline Evaluation of Ranking Policies with Click Models"). It is the
  one-step estimator (Bickel et al. 1993; Chernozhukov et al. 2018): an error of the model counts only times an error in
  how often workers come so far down. Cascade-DR (Kiyohara et al. 2022) does without that assumption and keeps the
  weights that multiply.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from features.errors import CocokError
from training.dataset import TrainingSet
from training.metrics import cluster_interval
from training.off_policy.hazard import FOLDS, Hazard
from training.off_policy.pages import Pages, parts
from training.off_policy.places import Standing
from training.off_policy.race import Floats
from training.off_policy.rewards import Reward
from training.off_policy.targets import Target, log_chances, race

ESTIMATORS = ("ips", "snips", "dr")

SERVED = "served"
"""What the log's own policy is called in the tables."""

LEAST_TAKINGS = 50
"""Explored lists that led to something, without which nothing is estimated."""

THIN_WEIGHTED, THIN_MODELLED = 0.4, 0.1
"""Overlap is thin for ``ips`` and ``snips``, or for ``dr``, if the estimate rests on a smaller share of the takings...

Of 120 intervals of ``ips`` in `benchmarks.off_policy`, 97 cover the truth at an overlap of .26, and 55 at .10.
"""

FEW = 30
"""... or on fewer takings than this."""

ORDERS = 32
"""Orders that are drawn of each page, from the target and from the log's policy."""

LARGEST_WEIGHT = 50.0
"""Of a place in ``dr``. An item that the target has there more than so many times as often as the log is left to the
outcome model in part: its outcome, seen once, would decide the estimate, and the interval not know (Ionides 2008)."""

_SEED = 20_241_124
_NEVER = 1e-12
"""An item that the log has at its place with nothing taken above less often than this, by the outcome model, corrects
nothing: so far down a very long page nobody comes."""

_LARGEST_LOG = 700.0
"""Its exponential is still a number."""


@dataclass(frozen=True, eq=False)
class OffPolicy:
    """What other policies would have been worth, with 95 % confidence intervals over workers.

    Attributes:
        reward: one of `training.off_policy.rewards.REWARDS`.
        lists: explored lists.
        takings: how many of them led to something.
        estimates: a row for each policy and estimator, first the one that served, whose value is a plain mean. Columns:
            policy, estimator (str); value, low, high (float64), the expected reward of a list; more, more_low,
            more_high (float64), by how much that is above what was served.
        overlap: a row for each policy but the one that served. Columns: policy (str); ips, dr (float64), the share of
            the takings that the estimate rests on, their effective number (Kish 1965) over their number; ips_largest,
            dr_largest (float64), the largest weight of a taking; mass (float64), the mean weight down to where tasks
            are taken: 1 but for chance, if the target does nothing that the log's policy never does.
        warnings: what the figures do not carry, in words.
    """

    reward: str
    lists: int
    takings: int
    estimates: pd.DataFrame
    overlap: pd.DataFrame
    warnings: tuple[str, ...]

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return every table by name."""
        return {"off_policy": self.estimates, "overlap": self.overlap}


def evaluate(rows: TrainingSet, targets: Mapping[str, Target], reward: str = "accepted") -> OffPolicy:
    """Estimate what policies would have been worth on the lists whose order was drawn.

    Args:
        rows: whole lists (see `training.replay.training_set`), which no target has learned from. Of those that were not
            explored only what was taken from them counts.
        targets: name -> policy, such as `training.off_policy.targets.AsServed`.
        reward: one of `training.off_policy.rewards.REWARDS`.

    Raises:
        CocokError: too few explored lists led to anything, or too few workers were served them.
        ValueError: there is no such reward.
    """
    blocks, found = Pages.blocks(rows), Reward.of(rows, reward)
    logs = [_Log.of(pages, found) for pages in blocks]
    workers = rows.workers[np.concatenate([pages.lists for pages in blocks])]
    takings = sum(log.takings for log in logs)
    if takings < LEAST_TAKINGS or len(np.unique(workers)) < FOLDS:
        raise CocokError(
            f"{takings} of {len(workers)} explored lists led to something, {len(np.unique(workers))} workers were "
            f"served them; {LEAST_TAKINGS} lists and {FOLDS} workers are needed: serve more feeds with `explore`"
        )
    hazards = Hazard.fit(rows, blocks, found.taken)
    random = np.random.default_rng(_SEED)
    logged = [_logged(pages, hazard, log, random) for pages, hazard, log in zip(blocks, hazards, logs, strict=True)]
    served = np.concatenate([log.values.sum(axis=1) for log in logs])
    estimates, overlaps, warnings = [_row(SERVED, "mean", served, served, workers)], [], []
    for name, target in targets.items():
        utilities = [target(pages) for pages in blocks]
        multiplied = [_multiplied(pages, own) for pages, own in zip(blocks, utilities, strict=True)]
        random = np.random.default_rng(_SEED)
        modelled = [
            _modelled(own, hazard, log, here, random)
            for own, hazard, log, here in zip(utilities, hazards, logs, logged, strict=True)
        ]
        by_estimator = {
            "ips": [(weights * log.values).sum(axis=1) for weights, log in zip(multiplied, logs, strict=True)],
            "snips": _self_normalised(multiplied, logs),
            "dr": [each.values for each in modelled],
        }
        estimates += [
            _row(name, estimator, np.concatenate(by_list), served, workers)
            for estimator, by_list in by_estimator.items()
        ]
        overlap = _Overlap.of(multiplied, [each.weights for each in modelled], logs)
        overlaps.append({"policy": name, **vars(overlap)})
        warnings += overlap.warnings(name, takings)
    return OffPolicy(
        reward=reward,
        lists=len(workers),
        takings=takings,
        estimates=pd.DataFrame(estimates),
        overlap=pd.DataFrame(overlaps, columns=["policy", *_Overlap.__dataclass_fields__]),
        warnings=tuple(warnings),
    )


@dataclass(frozen=True, eq=False)
class _Log:
    """What came of a block of pages; each array is lists x longest, and beyond the end of a page nothing is."""

    there: NDArray[np.bool_]
    taken: NDArray[np.bool_]
    values: Floats
    worth: Floats

    @classmethod
    def of(cls, pages: Pages, reward: Reward) -> "_Log":
        there, rows = pages.there, pages.rows
        return cls(there, reward.taken[rows] & there, reward.values[rows] * there, reward.worth[rows] * there)

    @property
    def takings(self) -> int:
        return int(self.taken.sum())

    @property
    def at_risk(self) -> NDArray[np.bool_]:
        """Whether nothing above was taken; beyond the end of a page nothing can be."""
        return np.cumsum(self.taken, axis=1) - self.taken == 0


def _multiplied(pages: Pages, utilities: Floats) -> Floats:
    """Return how much more likely the target draws all that stands down to each place, given what is on the page."""
    logs = log_chances(utilities) - pages.chances
    weights: Floats = np.exp(np.minimum(np.cumsum(logs, axis=1), _LARGEST_LOG))
    return weights


def _self_normalised(weights: Sequence[Floats], logs: Sequence[_Log]) -> list[Floats]:
    """Return what each list adds to the self-normalised estimate, in a linear approximation whose mean it is."""
    total = np.maximum(_by_place(weights, logs), np.finfo(float).tiny)
    means = _by_place([own * log.values for own, log in zip(weights, logs, strict=True)], logs) / total
    lists = _by_place([log.there for log in logs], logs)
    found = []
    for own, log in zip(weights, logs, strict=True):
        mean, count, weight = (each[: own.shape[1]] for each in (means, lists, total))
        found.append(np.sum(mean + own * (log.values - mean) * count / weight, axis=1, where=log.there))
    return found


def _by_place(blocks: Sequence[NDArray[Any]], logs: Sequence[_Log]) -> Floats:
    """Return the sum over all lists at each place, down to that of the longest."""
    found = np.zeros(max(log.there.shape[1] for log in logs))
    for values, log in zip(blocks, logs, strict=True):
        found[: values.shape[1]] += np.sum(values, axis=0, where=log.there)
    return found


@dataclass(frozen=True, eq=False)
class _Modelled:
    """Of `dr`: ``values`` of each list, whose mean is the estimate; ``weights`` of each place (lists x longest)."""

    values: Floats
    weights: Floats


def _logged(pages: Pages, hazard: Hazard, log: _Log, random: np.random.Generator) -> Floats:
    """Return how often the log's policy has each item where it stands with nothing taken above (lists x longest)."""
    found = np.empty(pages.rows.shape)
    for part in parts(pages.rows.shape):
        drawn = pages.part(part).race(ORDERS, random)
        found[part] = Standing.of(drawn, hazard.part(part), log.worth[part]).reached
    return found


def _modelled(utilities: Floats, hazard: Hazard, log: _Log, logged: Floats, random: np.random.Generator) -> _Modelled:
    """Correct the model's value of the target by what was logged.

    With hazards ``h``, the chance ``S_k`` that nothing above place ``k`` is taken, and the value ``U_k`` of what stands
    below, the value of an order is ``sum_k S_k h_k worth_k``. Its derivative by one hazard, ``S_k (worth_k - U_k)``, is
    what an error of this hazard costs; over the orders of the target that have the item at this place, and against how
    often the log has it there with nothing taken above, it weighs how far the model was off.
    """
    value, reached, below = np.empty(len(utilities)), np.empty(utilities.shape), np.empty(utilities.shape)
    for part in parts(utilities.shape):
        drawn = race(utilities[part], ORDERS, random)
        standing = Standing.of(drawn, hazard.part(part), log.worth[part])
        value[part], reached[part], below[part] = standing.value, standing.reached, standing.below
    weights = np.divide(reached, logged, out=np.zeros_like(reached), where=logged > _NEVER)
    weights = np.minimum(weights, LARGEST_WEIGHT)
    lost = weights * np.divide(below, reached, out=np.zeros_like(below), where=reached > 0)
    expected = expit(hazard.items + hazard.places)
    off = weights * (log.values - expected * log.worth) - lost * (log.taken - expected)
    return _Modelled(value + np.sum(off, axis=1, where=log.at_risk), weights)


@dataclass(frozen=True)
class _Overlap:
    ips: float
    dr: float
    ips_largest: float
    dr_largest: float
    mass: float

    @classmethod
    def of(cls, multiplied: Sequence[Floats], modelled: Sequence[Floats], logs: Sequence[_Log]) -> "_Overlap":
        ips, dr = (
            np.concatenate([weights[log.taken] for weights, log in zip(each, logs, strict=True)])
            for each in (multiplied, modelled)
        )
        taken, there = _by_place([log.taken for log in logs], logs), _by_place([log.there for log in logs], logs)
        return cls(
            ips=_effective(ips) / len(ips),
            dr=_effective(dr) / len(dr),
            ips_largest=float(ips.max()),
            dr_largest=float(dr.max()),
            mass=float((taken / len(ips)) @ (_by_place(multiplied, logs) / there)),
        )

    def warnings(self, policy: str, takings: int) -> list[str]:
        judged = (
            ("ips and snips", self.ips, THIN_WEIGHTED, "the log has too few such orders for them: leave them aside"),
            (
                "dr",
                self.dr,
                THIN_MODELLED,
                "its outcome model decides, and the interval does not tell how far that is off",
            ),
        )
        return [
            f"thin overlap: {names} of {policy!r} as if on {share * takings:.0f} of {takings} takings; {advice}"
            for names, share, thin, advice in judged
            if share < thin or share * takings < FEW
        ]


def _effective(weights: Floats) -> float:
    """Return how many equal weights say as much (Kish 1965)."""
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def _row(policy: str, estimator: str, by_list: Floats, served: Floats, workers: NDArray[np.int32]) -> dict[str, object]:
    value, low, high = cluster_interval(by_list, workers)
    more, more_low, more_high = cluster_interval(by_list - served, workers)
    return {
        "policy": policy,
        "estimator": estimator,
        "value": value,
        "low": low,
        "high": high,
        "more": more,
        "more_low": more_low,
        "more_high": more_high,
    }
