"""The ranking: candidates by a linear sum of columns, their order by LightGBM and the model's linear part."""

from typing import NamedTuple

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from benchmarks.rival.eligibility import Eligibility
from benchmarks.rival.market import Market
from benchmarks.rival.tasks import OF_WORKERS, Tasks
from benchmarks.rival.workers import Workers
from features.estimates import SECOND
from features.spec import RELATIVE

CANDIDATES = 300


class Ranked(NamedTuple):
    """Tasks that were scored.

    Attributes:
        tasks: intp; places among the open tasks, the best first.
        scores: float64, tasks.
        rows: float32, tasks x columns.
    """

    tasks: NDArray[np.intp]
    scores: NDArray[np.float64]
    rows: NDArray[np.float32]


class _Linear:
    """The linear part of the model, for one kind of workers; see `matching.linear.Linear.packed`."""

    def __init__(self, packed: NDArray[np.float64]) -> None:
        columns, self._weights, self._fill, self._low, self._high = packed[1:].T
        self._columns, self._offset = columns.astype(np.intp), packed[0, 0]

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        values = rows[:, self._columns].astype(np.float64)
        values = np.where(np.isnan(values), self._fill, values)
        return np.asarray(np.minimum(np.maximum(values, self._low), self._high) @ self._weights + self._offset)


class Ranker:
    """Ranks the open tasks for workers.

    Args:
        market: of `benchmarks.rival.market.exported`.
        booster: the trees of the model.
        candidates: tasks that are scored, at the most.
        in_full: compute all columns of all tasks that a worker may take, and not of the candidates alone.
    """

    def __init__(
        self, market: Market, booster: lgb.Booster, candidates: int = CANDIDATES, *, in_full: bool = False
    ) -> None:
        self._booster, self._candidates, self._in_full = booster, candidates, in_full
        self._tasks = Tasks(market)
        self._workers, self._eligibility = Workers(market, self._tasks), Eligibility(market)
        self._order = market["tasks"]["facts"]["order"].copy()
        places = [RELATIVE.index(name) for name in OF_WORKERS]
        self._weights, self._fill = market["first_stage"][:, places]
        self._linear, self._linear_newcomers = _Linear(market["linear"]), _Linear(market["linear_newcomers"])

    def rank(self, worker: int, now: int) -> Ranked:
        """Rank the candidates among the tasks that a worker may take.

        Args:
            worker: place in the market's workers, 0 for one never seen.
            now: microseconds since 1970.
        """
        chosen = self._eligibility.tasks(worker, now)
        now, tasks, eligible = now // SECOND * SECOND, self._tasks, len(chosen)
        tasks.bring_to(now)
        who = self._workers.at(worker, now)
        new = not who.record["accepted"]
        met = self._workers.meet(who, np.concatenate([chosen, tasks.compared_with]))
        met, reference = met.of(slice(eligible)), met.of(slice(eligible, None))
        rows = self._workers.rows(who, chosen, met, reference, now) if self._in_full else None
        if eligible > self._candidates:
            filled = np.where(np.isnan(met.columns), self._fill[:, None], met.columns)
            promises = met.promises[0 if new else 1] + self._weights @ filled
            best = np.sort(np.argpartition(-promises, self._candidates)[: self._candidates])
            chosen, met = chosen[best], met.of(best)
            rows = None if rows is None else rows[best]
        if rows is None:
            rows = self._workers.rows(who, chosen, met, reference, now)
        scores = self._scored(rows, new=new)
        order = np.lexsort((self._order[chosen], -scores))
        return Ranked(chosen[order], scores[order], rows[order])

    def _scored(self, rows: NDArray[np.float32], *, new: bool) -> NDArray[np.float64]:
        if not len(rows):
            return np.zeros(0)
        trees = np.asarray(self._booster.predict(rows, num_threads=1))
        return trees + (self._linear_newcomers if new else self._linear)(rows)
