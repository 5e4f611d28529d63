"""Audiences: who should be told of a task. A cascade, as a feed is, over workers instead of tasks.

roster -> activity -> own rows -> full rows and models -> judgement -> how many to tell

Few are ever scored in full. Whoever fits the task stands in an order of activity, which is found once a minute for all
workers; of the foremost the rows are built without what compares the task with others, which takes most of the time; of
the foremost of these the models see full rows. Both orders ask what the models would say: their weights are fitted,
once for a model, by least squares of log(P(accepted) x P(approved)) on full rows of a sample of workers and tasks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from features.build import rows_of_workers
from features.compared import SHARE_PRIOR
from features.estimates import FAST, HOUR, SECOND, SLOW, decay, market_approval, smoothed
from features.jit import kernel
from features.layout import NEVER, UNLIMITED, Arrays
from features.money import Money
from features.pairs import find, pair_key
from features.spec import COLUMN, NAMES, RELATIVE
from features.state import MarketState
from matching.eligibility import judge
from matching.roster import Roster
from matching.scoring import Ranker, best_first, expected_hourly, known

ACTIVE = 4_000
"""Workers whose own rows are built: the most active of those that fit."""

SCORED = 400
"""Workers that the models score; more where more are asked for."""

SURE = 0.8
"""Probability with which the slots are to be filled by those who are told."""

FRESH = 60 * SECOND
"""How long the order of activity holds."""

_SAMPLE_TASKS, _SAMPLE_WORKERS = 20, 150
"""Open tasks, and workers for each, from whose rows the first stages are fitted."""

_ACTIVITY = ("worker_accepts_slow", "worker_accepts_fast", "worker_idle_hours", "worker_approval")
"""What the order of activity rests on; `_activity` computes these columns as the builder does."""

_RELATIVE = {*(f"{name}_{kind}" for name in RELATIVE for kind in ("z", "rank")), "reward_pull", "reward_pull_worker"}
_OWN = tuple(name for name in NAMES if name not in _RELATIVE)
"""Columns that need no other task."""

_LEAST = 1e-9
"""A probability counts as no less when its log is taken."""


@dataclass(frozen=True)
class Member:
    """A worker in an audience; None where nothing is known."""

    worker_id: str
    score: float
    p_accept: float | None
    p_approve: float | None
    expected_minutes: float | None
    expected_hourly: Money | None


@dataclass(frozen=True)
class Audience:
    """Workers for a task.

    Attributes:
        members: best first.
        suggested: how many of them to tell.
    """

    members: Sequence[Member]
    suggested: int


@dataclass(frozen=True, eq=False)
class _Stage:
    """A linear score over some columns; a missing value counts as ``fill``."""

    columns: NDArray[np.intp]
    weights: NDArray[np.float64]
    fill: NDArray[np.float64]

    @classmethod
    def fit(
        cls, names: Sequence[str], features: NDArray[np.float32], target: NDArray[np.float64], lists: int
    ) -> "_Stage":
        """Fit by ridge regression, columns and target centred within each of the lists, which are of one length."""
        columns = np.array([COLUMN[name] for name in names], np.intp)
        x = features[:, columns].astype(np.float64)
        present = ~np.isnan(x)
        fill = np.where(present, x, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
        x = np.where(present, x, fill).reshape(lists, -1, len(columns))
        x = (x - x.mean(axis=1, keepdims=True)).reshape(-1, len(columns))
        y = target.reshape(lists, -1)
        y = (y - y.mean(axis=1, keepdims=True)).ravel()
        scale = np.maximum(x.std(axis=0), 1e-9)
        x /= scale
        weights = np.linalg.solve(x.T @ x + 1e-3 * len(x) * np.eye(len(columns)), x.T @ y) / scale
        return cls(columns, weights, fill)

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a score for each row (float32, rows x columns of the spec)."""
        x = features[:, self.columns].astype(np.float64)
        return np.where(np.isnan(x), self.fill, x) @ self.weights


@dataclass(frozen=True, eq=False)
class _Stages:
    """The first stages of a model, and the order of activity that was last found by them."""

    version: str
    activity: _Stage
    own: _Stage
    order: NDArray[np.intp]
    found_at: int


class Audiences:
    """Finds audiences in one state; it keeps the roster and the first stages, and may be shared by threads."""

    def __init__(self) -> None:
        self._roster = Roster()
        self._stages: _Stages | None = None
        self._lock = Lock()

    def audience(self, state: MarketState, ranker: Ranker, task: int, now: int, limit: int) -> Audience:
        """Return the workers who may take a task, by P(takes it) x P(approved), and how many to tell.

        Args:
            state: the market, always the same; it stands still meanwhile.
            ranker: the model. One that claims no probability of acceptance orders by its score.
            task: dense index of a task that is open at ``now``.
            now: microseconds since 1970.
            limit: members at the most.
        """
        workers = self._foremost(state, ranker, task, now, max(SCORED, 2 * limit))
        features = rows_of_workers(state, workers, task, now)
        answers = ranker.answers(features)
        outcomes = answers.outcomes()
        chances = answers.scores if np.isnan(outcomes.p_accept).all() else outcomes.p_accept * outcomes.p_approve
        posting, external = state.catalogue.postings.get(task), state.catalogue.workers.external
        members: list[Member] = []
        for place in best_first(chances, workers.astype(np.uint32)).tolist():
            worker = int(workers[place])
            # Who was forgotten has no name. The rest is up to the same rules as for a feed.
            if not external(worker) or judge(state, worker, np.array([task], np.int32), now).bits[0]:
                continue
            p_accept, p_approve = float(outcomes.p_accept[place]), float(outcomes.p_approve[place])
            minutes = float(outcomes.minutes[place])
            members.append(
                Member(
                    worker_id=external(worker),
                    score=float(chances[place]),
                    p_accept=known(p_accept),
                    p_approve=known(p_approve),
                    expected_minutes=known(minutes),
                    expected_hourly=expected_hourly(posting, p_approve, minutes),
                )
            )
            if len(members) == limit:
                break
        record, market = state.arrays.tasks[task], state.arrays.market[0]
        usual = (float(market["accepted"]) + 1.0) / (float(market["served"]) + 10.0)
        slots = int(record["facts"]["slots"])
        free = None if slots == UNLIMITED else max(0, slots - int(record["occupied"]))
        takes = [min(1.0, usual) if member.p_accept is None else member.p_accept for member in members]
        return Audience(members, suggested(takes, free))

    def _foremost(self, state: MarketState, ranker: Ranker, task: int, now: int, size: int) -> NDArray[np.int32]:
        """Return the workers (int32) whose full rows are worth building, in order of index."""
        with self._lock:
            self._roster.refresh(state)
            fit = self._roster.fit(state, task, now)
            count = np.count_nonzero(fit)
            if count > size:
                stages = self._stages = self._fresh(state, ranker, now)
        if count <= size:
            workers = np.flatnonzero(fit).astype(np.int32)
            return workers[~_dealt(state.arrays, workers, task)]
        ordered = stages.order[fit[stages.order]]
        # Who came after the order was found stands behind it, by index.
        late = np.arange(len(stages.order) + 1, len(fit))
        workers = np.concatenate([ordered, late[fit[late]]])[: max(ACTIVE, 4 * size)].astype(np.int32)
        workers = workers[~_dealt(state.arrays, workers, task)]
        if len(workers) > size:
            scores = stages.own.scores(rows_of_workers(state, workers, task, now, relative=False))
            workers = workers[np.argpartition(-scores, size)[:size]]
        return np.sort(workers)

    def _fresh(self, state: MarketState, ranker: Ranker, now: int) -> _Stages:
        """Return the first stages with an order of activity that is not older than ``FRESH``."""
        stages = self._stages
        if stages is None or stages.version != ranker.version:
            activity, own = _fitted(state, ranker, now)
        elif abs(now - stages.found_at) > FRESH:
            activity, own = stages.activity, stages.own
        else:
            return stages
        scores = _activity(state.arrays, self._roster.size, now, activity.weights, activity.fill)
        # The blank worker of index 0 has no place.
        order = 1 + np.argsort(-scores[1:], kind="stable")
        return _Stages(ranker.version, activity, own, order, now)


def suggested(takes: Sequence[float], free: int | None) -> int:
    """Return how many of an audience to tell so that the slots are filled with probability ``SURE``.

    It is the least n for which at least ``free`` of the first n take the task with that probability, each by itself
    with the probability given (a Poisson binomial distribution, whose exact recursion is used); all if none is enough.

    Args:
        takes: probability that each takes the task, in the order in which they are told.
        free: slots left; None where they are unlimited, and everybody may be told.
    """
    if free is None:
        return len(takes)
    if free == 0:
        return 0
    # P(so many take it), the last place standing for all of the slots or more.
    taken = np.zeros(free + 1)
    taken[0] = 1.0
    for told, p in enumerate(takes, 1):
        moved = taken[:-1] * p
        taken[:-1] -= moved
        taken[1:] += moved
        if taken[-1] >= SURE:
            return told
    return len(takes)


def _fitted(state: MarketState, ranker: Ranker, now: int) -> tuple[_Stage, _Stage]:
    """Fit the first stages to what a model says of a sample of workers and open tasks.

    Half of the workers are drawn from all, half from those who took most lately, who are who audiences consist of.
    """
    rng = np.random.default_rng(0)
    size = len(state.catalogue.workers)
    records = state.arrays.workers[:size]
    lately = 1 + np.argsort(-records["accepted_slow"][1:], kind="stable")[: max(1_000, size // 20)]
    tasks = state.open_tasks
    tasks = rng.choice(tasks, min(_SAMPLE_TASKS, len(tasks)), replace=False)
    half = _SAMPLE_WORKERS // 2
    features = np.concatenate(
        [
            rows_of_workers(
                state,
                np.concatenate([rng.integers(1, size, half), rng.choice(lately, half)]).astype(np.int32),
                int(task),
                now,
            )
            for task in tasks
        ]
    )
    answers = ranker.answers(features)
    outcomes = answers.outcomes()
    target = answers.scores
    if not np.isnan(outcomes.p_accept).all():
        target = np.log(np.maximum(outcomes.p_accept * outcomes.p_approve, _LEAST))
    return tuple(_Stage.fit(names, features, target, len(tasks)) for names in (_ACTIVITY, _OWN))  # type: ignore[return-value]


@kernel
def _activity(
    s: Arrays, size: int, now: int, weights: NDArray[np.float64], fill: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the score of activity of each worker (float64, workers)."""
    scores = np.empty(size)
    usual = market_approval(s)
    for i in range(size):
        worker = s.workers[i]
        slow, fast, idle = 0.0, 0.0, fill[2]
        if worker.accepted > 0.0:
            slow = math.log1p(worker.accepted_slow * decay(worker.at, now, SLOW))
            fast = math.log1p(worker.accepted_fast * decay(worker.at, now, FAST))
        if worker.last_accept != NEVER:
            idle = math.log1p(max(0, now - worker.last_accept) / HOUR)
        approval = smoothed(worker.approved, worker.rejected, usual, SHARE_PRIOR) - usual
        scores[i] = weights[0] * slow + weights[1] * fast + weights[2] * idle + weights[3] * approval
    return scores


@kernel
def _dealt(s: Arrays, workers: NDArray[np.int32], task: int) -> NDArray[np.bool_]:
    """Tell of each worker whether the task was hidden or taken as often as it may be."""
    found = np.zeros(workers.size, np.bool_)
    for i in range(workers.size):
        place = find(s.dealing_keys, pair_key(workers[i], task))
        if place >= 0:
            dealing = s.dealings[place]
            taken = np.int64(dealing.accepted) - dealing.returned
            again = taken < s.tasks[task].facts.per_worker_limit and dealing.abandoned == 0
            found[i] = dealing.hidden or not again
    return found
