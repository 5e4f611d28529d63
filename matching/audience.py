"""Audiences: who should be told of a task. A cascade, as a feed is, over workers instead of tasks.

roster -> first look -> own rows -> full rows and models -> judgement -> how many to tell

Few are ever scored in full. Of all who fit the task, a first look adds how active they are, found once a minute, to
what they took of the task's content, category and requester, read from a table of who took what, token by token. Of the
foremost the rows are built without what compares the task with others, since that takes most of the time; of the
foremost of these the models see full rows. Both stages ask what the models would say: they are fitted, once for a
model, to log(P(accepted) x P(approved)) on full rows of a sample; the first is linear, the second a small forest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.build import rows_of_workers
from features.compared import CONTENT_PRIOR, POPULARITY_PRIOR, SHARE_PRIOR, no_readings, read_tokens, view_of
from features.estimates import FAST, HOUR, SECOND, SLOW, decay, decay_seconds, market_approval, seconds, smoothed
from features.jit import kernel
from features.layout import NEVER, UNLIMITED, Arrays
from features.money import Money
from features.pairs import find, pair_key
from features.spec import COLUMN, NAMES, RELATIVE
from features.state import MarketState
from matching.calibration import Scorer, scorer
from matching.eligibility import judge
from matching.roster import Roster
from matching.scoring import Ranker, best_first, expectation

LOOKED_AT = 2_500
"""Workers whose own rows are built; more where more are scored."""

SCORED = 250
"""Workers that the models score; more where more are asked for."""

SURE = 0.8
"""Probability with which the slots are to be filled by those who are told."""

FRESH = 60 * SECOND
"""How long it holds how active workers are."""

KEPT = HOUR
"""How long the table of who took what holds. Who took something since is looked at in any case."""

_SAMPLE_TASKS, _SAMPLE_WORKERS = 20, 400
"""Open tasks, and workers for each, from whose rows the first stages are fitted."""

_ACTIVITY = ("worker_accepts_slow", "worker_accepts_fast", "worker_idle_hours", "worker_approval")
"""How active a worker is; `_activity` computes these columns as the builder does."""

_AFFINITY = ("affinity", "affinity_category", "affinity_requester")
"""What a worker took of such tasks; `_first_look` computes these columns as the builder does."""

_RELATIVE = {*(f"{name}_{kind}" for name in RELATIVE for kind in ("z", "rank")), "reward_pull", "reward_pull_worker"}
_OWN = tuple(name for name in NAMES if name not in _RELATIVE)
"""Columns that need no other task."""

_OWN_PLACES = [COLUMN[name] for name in _OWN]

_FOREST = {
    "objective": "regression",
    "num_leaves": 15,
    "learning_rate": 0.1,
    "verbose": -1,
    "num_threads": 1,
    "seed": 0,
}
_TREES = 120

_LEAST = 1e-9
"""A probability counts as no less when its log is taken."""


@dataclass(frozen=True)
class Member:
    """A worker in an audience; what is expected of him as in `matching.scoring.Expectation`."""

    worker_id: str
    score: float
    p_accept: float | None
    p_approve: float | None
    expected_minutes: float | None
    minutes_low: float | None
    minutes_high: float | None
    expected_hourly: Money | None
    expected_hourly_low: Money | None
    expected_hourly_high: Money | None


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
        return cls(weights, fill)


class _Taken(NamedTuple):
    """Who took what: at ``starts[t] : starts[t + 1]`` the workers of token ``t``, and what is left of it at ``at``."""

    at: int
    starts: NDArray[np.int64]
    workers: NDArray[np.int32]
    took: NDArray[np.float32]


class _Active(NamedTuple):
    """How active each worker is at ``at``: as a score, and in assignments taken lately.

    ``late`` are the workers who took something after the table of who took what was made.
    """

    at: int
    scores: NDArray[np.float32]
    accepted: NDArray[np.float32]
    late: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Stages:
    """The first stages of a model, and what the first one rests on."""

    version: str
    first: _Stage
    second: Scorer
    taken: _Taken
    active: _Active


class Audiences:
    """Finds audiences in one state; it keeps the roster and the first stages, and may be shared by threads."""

    def __init__(self) -> None:
        self._roster = Roster()
        self._stages: _Stages | None = None
        self._taken: _Taken | None = None
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
            members.append(
                Member(
                    worker_id=external(worker),
                    score=float(chances[place]),
                    **vars(expectation(outcomes, place, posting)),
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
            count = int(np.count_nonzero(fit))
            if count > size:
                stages = self._stages = self._fresh(state, ranker, task, now)
        if count <= size:
            workers = np.flatnonzero(fit).astype(np.int32)
            return workers[~_dealt(state.arrays, workers, task)]
        scores = _first_look(state.arrays, task, now, fit, stages.taken, stages.active, stages.first.weights)
        foremost = min(max(LOOKED_AT, 4 * size), count)
        late = stages.active.late
        workers = np.union1d(np.argpartition(-scores, foremost - 1)[:foremost], late[fit[late]]).astype(np.int32)
        workers = workers[~_dealt(state.arrays, workers, task)]
        if len(workers) > size:
            own = rows_of_workers(state, workers, task, now, relative=False)
            workers = workers[np.argpartition(-stages.second(own[:, _OWN_PLACES]), size)[:size]]
        return np.sort(workers)

    def _fresh(self, state: MarketState, ranker: Ranker, task: int, now: int) -> _Stages:
        """Return the first stages, with nothing in them that holds no longer."""
        stages, arrays, size = self._stages, state.arrays, self._roster.size
        if stages is not None and stages.version == ranker.version:
            if len(stages.active.scores) == size and abs(now - stages.active.at) <= FRESH:
                return stages
            first = stages.first
        else:
            first, stages = _fit_first(state, ranker, now), None
        taken = self._taken
        if taken is None or abs(now - taken.at) > KEPT:
            taken = self._taken = _Taken(now, *_who_took(arrays, now))
        scores, accepted = _activity(arrays, size, now, first.weights, first.fill)
        late = np.flatnonzero(arrays.workers["last_accept"][:size] >= taken.at)
        active = _Active(now, scores, accepted, late)
        second = stages.second if stages else self._fit_second(state, ranker, task, now, first, taken, active)
        return _Stages(ranker.version, first, second, taken, active)

    def _fit_second(
        self, state: MarketState, ranker: Ranker, asked: int, now: int, first: _Stage, taken: _Taken, active: _Active
    ) -> Scorer:
        """Fit the second stage to what a model says of those whom the first one lets through, most of the foremost."""
        rng = np.random.default_rng(1)
        features, target = [], []
        for task in (asked, *_sample_of_tasks(state, rng)):
            fit = self._roster.fit(state, task, now)
            scores = _first_look(state.arrays, task, now, fit, taken, active, first.weights)
            count = min(LOOKED_AT, int(np.count_nonzero(fit)))
            foremost = np.argsort(-scores)[:count]
            places = np.unique((count * rng.random(_SAMPLE_WORKERS) ** 2).astype(np.intp))
            if count:
                rows = rows_of_workers(state, foremost[places].astype(np.int32), task, now)
                said = _said(ranker, rows)
                features.append(rows[:, _OWN_PLACES])
                target.append(said - said.mean())
        data = lgb.Dataset(np.concatenate(features), np.concatenate(target))
        return scorer(lgb.train(_FOREST, data, _TREES))


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


def _sample_of_tasks(state: MarketState, rng: np.random.Generator) -> list[int]:
    tasks = state.open_tasks
    return [int(task) for task in rng.choice(tasks, min(_SAMPLE_TASKS, len(tasks)), replace=False)]


def _said(ranker: Ranker, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what a model orders an audience by, as a log where it is a probability."""
    answers = ranker.answers(features)
    outcomes = answers.outcomes()
    if np.isnan(outcomes.p_accept).all():
        return answers.scores
    return np.log(np.maximum(outcomes.p_accept * outcomes.p_approve, _LEAST))


def _fit_first(state: MarketState, ranker: Ranker, now: int) -> _Stage:
    """Fit the first stage to what a model says of workers half drawn from all, half from those who took most lately."""
    rng = np.random.default_rng(0)
    size, half = len(state.catalogue.workers), _SAMPLE_WORKERS // 2
    lately = 1 + np.argsort(-state.arrays.workers["accepted_slow"][1:size], kind="stable")[: max(1_000, size // 20)]
    tasks = _sample_of_tasks(state, rng)
    drawn = [np.concatenate([rng.integers(1, size, half), rng.choice(lately, half)]).astype(np.int32) for _ in tasks]
    features = np.concatenate(
        [rows_of_workers(state, workers, task, now) for workers, task in zip(drawn, tasks, strict=True)]
    )
    return _Stage.fit((*_ACTIVITY, *_AFFINITY), features, _said(ranker, features), len(tasks))


@kernel
def _activity(
    s: Arrays, size: int, now: int, weights: NDArray[np.float64], fill: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the score of activity of each worker, and what is left of what was taken (float32, workers)."""
    scores, accepted = np.zeros(size, np.float32), np.zeros(size, np.float32)
    usual = market_approval(s)
    workers = s.workers
    for i in range(size):
        worker = workers[i]
        slow, fast, idle = 0.0, 0.0, fill[2]
        if worker.accepted > 0.0:
            slow = worker.accepted_slow * decay(worker.at, now, SLOW)
            fast = worker.accepted_fast * decay(worker.at, now, FAST)
        if worker.last_accept != NEVER:
            idle = math.log1p(max(0, now - worker.last_accept) / HOUR)
        approval = smoothed(worker.approved, worker.rejected, usual, SHARE_PRIOR) - usual
        accepted[i] = slow
        scores[i] = (
            weights[0] * math.log1p(slow) + weights[1] * math.log1p(fast) + weights[2] * idle + weights[3] * approval
        )
    return scores, accepted


@kernel
def _who_took(s: Arrays, now: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Return ``starts``, ``workers`` and ``took`` of the table of who took what."""
    keys, tastes, instant = s.taste_keys, s.tastes, seconds(now)
    starts = np.zeros(s.tokens.size + 2, np.int64)
    for k in range(keys.size):
        if keys[k] != np.uint64(0) and tastes[k].took_slow > 0.0:
            starts[np.int64(keys[k] & np.uint64(0xFFFFFFFF)) + 2] += 1
    for k in range(2, starts.size):
        starts[k] += starts[k - 1]
    workers, took = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
    for k in range(keys.size):
        if keys[k] != np.uint64(0) and tastes[k].took_slow > 0.0:
            token = np.int64(keys[k] & np.uint64(0xFFFFFFFF))
            place = starts[token + 1]
            workers[place] = np.int32(keys[k] >> np.uint64(32))
            took[place] = tastes[k].took_slow * decay_seconds(tastes[k].at, instant, SLOW)
            starts[token + 1] += 1
    return starts[:-1], workers, took


@kernel
def _add_taken(taken: _Taken, token: int, weight: float, sums: NDArray[np.float32]) -> None:
    for k in range(taken.starts[token], taken.starts[token + 1]):
        sums[taken.workers[k]] += weight * taken.took[k]


@kernel
def _first_look(
    s: Arrays,
    task: int,
    now: int,
    fit: NDArray[np.bool_],
    taken: _Taken,
    active: _Active,
    weights: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the first score of each worker (float32, workers), minus infinity of those who do not fit."""
    scores = np.full(fit.size, -np.inf, np.float32)
    view, readings, record = view_of(s, 0, now), no_readings(s), s.tasks[task]
    read_tokens(s, view, readings, np.array([task], np.int32))
    place, read = readings.place, readings.tokens
    content = np.zeros(s.workers.size, np.float32)
    category, requester = np.zeros(s.workers.size, np.float32), np.zeros(s.workers.size, np.float32)
    left = decay(taken.at, now, SLOW)
    sum_taken, chance = 0.0, 0.0
    for k in range(record.n_tokens):
        token, reading = record.tokens[k], read[place[record.tokens[k]]]
        chance += record.weights[k] * reading.expected_slow
        sum_taken += record.weights[k] * s.tokens[token].taken_slow * reading.slow
        _add_taken(taken, token, record.weights[k] * left, content)
    prior = CONTENT_PRIOR * (sum_taken + POPULARITY_PRIOR) / (chance + POPULARITY_PRIOR)
    of_category, of_requester = 0.0, read[place[record.facts.requester_token]].expected_slow
    _add_taken(taken, record.facts.requester_token, left, requester)
    if record.facts.category_token >= 0:
        of_category = read[place[record.facts.category_token]].expected_slow
        _add_taken(taken, record.facts.category_token, left, category)
    for i in range(fit.size):
        if not fit[i]:
            continue
        share = active.accepted[i] / view.taken if view.taken > 0.0 else 0.0
        score = active.scores[i] + weights[6] * math.log(
            (requester[i] + CONTENT_PRIOR) / (share * of_requester + CONTENT_PRIOR)
        )
        if record.n_tokens > 0:
            score += weights[4] * math.log((content[i] + prior) / (share * chance + CONTENT_PRIOR))
        if record.facts.category_token >= 0:
            score += weights[5] * math.log((category[i] + CONTENT_PRIOR) / (share * of_category + CONTENT_PRIOR))
        scores[i] = score
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
