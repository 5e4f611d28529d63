"""Whom the models score of all who fit a task: two cheap stages learned from the model, and what they rest on.

All of it is prepared apart from requests, in parts that hold the state for a few milliseconds each, so that events are
taken in between them. Nothing here has to be of this instant: who took something since the table of who took what was
made is looked up as they are now, and what the stages let through is scored by rows as of the request.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.build import rows_of_workers
from features.compared import CONTENT_PRIOR, POPULARITY_PRIOR
from features.estimates import FAST, HOUR, SLOW, decay, decay_seconds, market_approval, seconds, smoothed
from features.jit import kernel
from features.layout import NEVER, WAS_HIDDEN, Arrays
from features.pairs import find, pair_key
from features.readings import EXPECTED, TAKEN, no_readings, read_tokens
from features.spec import COLUMN, NAMES, RELATIVE
from features.state import MarketState
from features.tastes import find_taste
from features.view import SHARE_PRIOR, view_of
from matching.calibration import Scorer, scorer
from matching.eligibility import may_take_again
from matching.reading import Read
from matching.roster import Mask
from matching.scoring import Ranker

LOOKED_AT = 8_000
"""Workers whose own rows are built; more where more are scored."""

KEPT = HOUR // 6
"""How long the table of who took what holds; where it is not made anew, questions may rest on it twice as long."""

_SAMPLE_TASKS, _SAMPLE_WORKERS = 24, 1_000
"""Open tasks, and workers for each, from whose rows the stages are fitted."""

_ROWS_AT_ONCE = 32
_HISTORIES_AT_ONCE = 1 << 11
_WORKERS_AT_ONCE = 1 << 15
"""How much is read while the state stands still: a few milliseconds each."""

_ACTIVITY = ("worker_accepts_slow", "worker_accepts_fast", "worker_idle_hours", "worker_approval")
"""How active a worker is; `_activity` computes these columns as the builder does."""

_AFFINITY = ("affinity", "affinity_category", "affinity_requester")
"""What a worker took of such tasks; `_first_look` computes these columns as the builder does."""

_RELATIVE = {*(f"{name}_{kind}" for name in RELATIVE for kind in ("z", "rank")), "reward_pull", "reward_pull_worker"}
_OWN_PLACES = [COLUMN[name] for name in NAMES if name not in _RELATIVE]
"""Columns that need no other task."""

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


class Fit(Protocol):
    """Tells who fits a task."""

    def __call__(self, state: MarketState, task: int) -> Mask:
        """Tell of each worker whether the task may be offered (bool, workers)."""
        ...


@dataclass(frozen=True, eq=False)
class _Linear:
    """A linear score over some columns; a missing value counts as ``fill``."""

    weights: NDArray[np.float64]
    fill: NDArray[np.float64]

    @classmethod
    def fit(
        cls, names: Sequence[str], features: NDArray[np.float32], target: NDArray[np.float64], lists: int
    ) -> "_Linear":
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
    """How active each worker is: as a score, and in assignments taken lately.

    ``late`` are the workers who took something after the table of who took what was made.
    """

    scores: NDArray[np.float32]
    accepted: NDArray[np.float32]
    late: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stages:
    """The stages before a model, as they were prepared.

    Attributes:
        version: of the model that they are learned from.
    """

    version: str
    _first: _Linear
    _second: Scorer
    _taken: _Taken
    _active: _Active

    def outdated(self, now: int) -> bool:
        """Tell whether they are too old at an instant (microseconds since 1970), as nobody asked for a while."""
        return abs(now - self._taken.at) > 2 * KEPT

    def foremost(self, state: MarketState, task: int, now: int, fit: Mask, size: int) -> NDArray[np.int32]:
        """Return the workers worth scoring in full (int32, by index).

        Args:
            state: the market.
            task: dense index.
            now: microseconds since 1970.
            fit: who may take it. Of workers who came after the stages were prepared all are looked at.
            size: how many are wanted.
        """
        before = len(self._active.scores)
        scores = _look(state, task, now, fit[:before], self._taken, self._active, self._first)
        most = looked_at = min(max(LOOKED_AT, 4 * size), before)
        while True:
            foremost = np.argpartition(-scores, looked_at - 1)[:looked_at]
            looked = offered(state, foremost[fit[foremost]].astype(np.int32), task)
            if len(looked) >= size or looked_at == before:
                break
            # The foremost may be those who took it already.
            looked_at = min(4 * looked_at, before)
        if len(looked) > most:
            looked = looked[np.argpartition(-scores[looked], most - 1)[:most]]
        later = (before + np.flatnonzero(fit[before:])).astype(np.int32)
        workers = np.concatenate([looked, offered(state, later, task)])
        if len(workers) > size:
            own = rows_of_workers(state, workers, task, now, relative=False)
            workers = workers[np.argpartition(-self._second(own.take(_OWN_PLACES, axis=1)), size)[:size]]
        return np.sort(workers)


def prepared(read: Read, ranker: Ranker, fit: Fit, now: int, before: Stages | None) -> Stages | None:
    """Return the stages before a model, with what they rest on as of now; None while there is nothing to learn from.

    Args:
        read: gives the state, part by part.
        ranker: the model.
        fit: who fits a task.
        now: microseconds since 1970.
        before: what was prepared earlier of the same market; what still holds of it is kept.
    """
    if not read(lambda state: len(state.catalogue.workers) > 1 and len(state.open_tasks) > 0):
        return None
    taken = before._taken if before and abs(now - before._taken.at) <= KEPT else _who_took(read, now)
    if before and before.version == ranker.version:
        return Stages(ranker.version, before._first, before._second, taken, _active(read, before._first, taken, now))
    first = _fit_first(read, ranker, now)
    active = _active(read, first, taken, now)
    return Stages(ranker.version, first, _fit_second(read, ranker, fit, now, first, taken, active), taken, active)


def _sample_of_tasks(state: MarketState, rng: np.random.Generator) -> list[int]:
    tasks = state.open_tasks
    return [int(task) for task in rng.choice(tasks, min(_SAMPLE_TASKS, len(tasks)), replace=False)]


def _rows(read: Read, workers: NDArray[np.int32], task: int, now: int) -> NDArray[np.float32]:
    parts = [workers[start : start + _ROWS_AT_ONCE] for start in range(0, len(workers), _ROWS_AT_ONCE)]
    return np.concatenate([read(partial(rows_of_workers, workers=part, task=task, now=now)) for part in parts])


def _said(ranker: Ranker, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what a model orders an audience by, as a log where it is a probability."""
    answers = ranker.answers(features)
    chances = answers.outcomes().chances()
    return answers.scores if chances is None else np.log(np.maximum(chances, _LEAST))


def _fit_first(read: Read, ranker: Ranker, now: int) -> _Linear:
    """Fit the first stage to what a model says of workers half drawn from all, half from those who took most lately."""
    rng = np.random.default_rng(0)
    accepted = read(lambda state: state.arrays.workers["accepted_slow"][1 : len(state.catalogue.workers)].copy())
    size, half = len(accepted) + 1, _SAMPLE_WORKERS // 4
    lately = 1 + np.argsort(-accepted, kind="stable")[: max(1_000, size // 20)]
    tasks = read(lambda state: _sample_of_tasks(state, rng))
    drawn = [np.concatenate([rng.integers(1, size, half), rng.choice(lately, half)]).astype(np.int32) for _ in tasks]
    features = np.concatenate([_rows(read, workers, task, now) for workers, task in zip(drawn, tasks, strict=True)])
    return _Linear.fit((*_ACTIVITY, *_AFFINITY), features, _said(ranker, features), len(tasks))


def _look(
    state: MarketState, task: int, now: int, fit: Mask, taken: _Taken, active: _Active, first: _Linear
) -> NDArray[np.float32]:
    return _first_look(state.arrays, task, now, fit, taken, active, first.weights)


def _fit_second(
    read: Read, ranker: Ranker, fit: Fit, now: int, first: _Linear, taken: _Taken, active: _Active
) -> Scorer:
    """Fit the second stage to what a model says of those whom the first one lets through, most of the foremost."""
    rng = np.random.default_rng(1)
    features, target = [], []
    for task in read(lambda state: _sample_of_tasks(state, rng)):
        able = read(partial(fit, task=task))[: len(active.scores)]
        if not able.any():
            able[1:] = True
        scores = read(partial(_look, task=task, now=now, fit=able, taken=taken, active=active, first=first))
        count = min(LOOKED_AT, int(np.count_nonzero(able)))
        places = np.unique((count * rng.random(_SAMPLE_WORKERS) ** 2).astype(np.intp))
        rows = _rows(read, np.argsort(-scores)[:count][places].astype(np.int32), task, now)
        said = _said(ranker, rows)
        features.append(rows.take(_OWN_PLACES, axis=1))
        target.append(said - said.mean())
    return scorer(lgb.train(_FOREST, lgb.Dataset(np.concatenate(features), np.concatenate(target)), _TREES))


def _slices(size: int, at_once: int) -> Iterator[slice]:
    return (slice(start, min(start + at_once, size)) for start in range(0, size, at_once))


def _active(read: Read, first: _Linear, taken: _Taken, now: int) -> _Active:
    size = read(lambda state: len(state.catalogue.workers))
    scores, accepted, late = np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros(size, np.bool_)
    for part in _slices(size, _WORKERS_AT_ONCE):

        def fill(state: MarketState, part: slice = part) -> None:
            workers = state.arrays.workers[part]
            usual = market_approval(state.arrays)
            _activity(workers, usual, now, first.weights, first.fill, scores[part], accepted[part])
            late[part] = workers["last_accept"] >= taken.at

        read(fill)
    return _Active(scores, accepted, np.flatnonzero(late))


def _took_at(
    _: MarketState, arrays: Arrays, part: slice, now: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    return _took(arrays.histories, arrays.taste_tokens, arrays.tastes, part.start, part.stop, now)


def _who_took(read: Read, now: int) -> _Taken:
    # Arrays only ever grow into new ones; who takes something meanwhile counts among the late.
    arrays = read(lambda state: state.arrays)
    parts = _slices(len(arrays.histories), _HISTORIES_AT_ONCE)
    found = [read(partial(_took_at, arrays=arrays, part=part, now=now)) for part in parts]
    tokens, workers, took = (np.concatenate(column) for column in zip(*found, strict=True))
    size = read(lambda state: len(state.arrays.tokens))
    return _Taken(now, *_by_token(size, tokens, workers, took))


@kernel
def _activity(
    workers: NDArray[np.void],
    usual: float,
    now: int,
    weights: NDArray[np.float64],
    fill: NDArray[np.float64],
    scores: NDArray[np.float32],
    accepted: NDArray[np.float32],
) -> None:
    """Fill the score of activity of each worker, and what is left of what was taken."""
    for i in range(workers.size):
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


@kernel
def _took(
    histories: NDArray[np.void], held: NDArray[np.int32], tastes: NDArray[np.void], first: int, end: int, now: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Return token, worker, and what is left of what was taken, of all that the workers ``first:end`` took."""
    most = histories["places"][first:end].sum()
    tokens, workers = np.empty(most, np.int32), np.empty(most, np.int32)
    took, instant, size = np.empty(most, np.float32), seconds(now), 0
    for worker in range(first, end):
        history = histories[worker]
        for k in range(history.start, history.start + history.places):
            if held[k] != 0 and tastes[k].took_slow > 0.0:
                tokens[size], workers[size] = held[k] - 1, worker
                took[size] = tastes[k].took_slow * decay_seconds(tastes[k].at, instant, SLOW)
                size += 1
    return tokens[:size].copy(), workers[:size].copy(), took[:size].copy()


@kernel
def _by_token(
    size: int, tokens: NDArray[np.int32], workers: NDArray[np.int32], took: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Return ``starts``, ``workers`` and ``took`` of the table of who took what: a counting sort."""
    starts = np.zeros(size + 2, np.int64)
    for k in range(tokens.size):
        starts[tokens[k] + 2] += 1
    for k in range(2, starts.size):
        starts[k] += starts[k - 1]
    sorted_workers, sorted_took = np.empty(tokens.size, np.int32), np.empty(tokens.size, np.float32)
    for k in range(tokens.size):
        place = starts[tokens[k] + 1]
        sorted_workers[place], sorted_took[place] = workers[k], took[k]
        starts[tokens[k] + 1] += 1
    return starts[:-1], sorted_workers, sorted_took


@kernel
def _add_taken(taken: _Taken, token: int, weight: float, sums: NDArray[np.float32]) -> None:
    for k in range(taken.starts[token], taken.starts[token + 1]):
        sums[taken.workers[k]] += weight * taken.took[k]


@kernel
def _taken_now(s: Arrays, worker: int, token: int, now: int) -> float:
    place = find_taste(s.histories, s.taste_tokens, worker, token)
    if place < 0:
        return 0.0
    taste = s.tastes[place]
    left: float = taste.took_slow * decay_seconds(taste.at, seconds(now), SLOW)
    return left


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
    read_tokens(s, view, readings, np.array([task], np.int32), True)
    place, told = readings.place, readings.told
    content = np.zeros(s.workers.size, np.float32)
    category, requester = np.zeros(s.workers.size, np.float32), np.zeros(s.workers.size, np.float32)
    left = decay(taken.at, now, SLOW)
    sum_taken, chance = 0.0, 0.0
    for k in range(record.n_tokens):
        token, reading = record.tokens[k], told[place[record.tokens[k]]]
        chance += record.weights[k] * reading[EXPECTED]
        sum_taken += record.weights[k] * reading[TAKEN]
        _add_taken(taken, token, record.weights[k] * left, content)
    prior = CONTENT_PRIOR * (sum_taken + POPULARITY_PRIOR) / (chance + POPULARITY_PRIOR)
    of_category, of_requester = 0.0, told[place[record.facts.requester_token], EXPECTED]
    _add_taken(taken, record.facts.requester_token, left, requester)
    if record.facts.category_token >= 0:
        of_category = told[place[record.facts.category_token], EXPECTED]
        _add_taken(taken, record.facts.category_token, left, category)
    for worker in active.late:
        if worker < fit.size and fit[worker]:
            content[worker] = 0.0
            for k in range(record.n_tokens):
                content[worker] += record.weights[k] * _taken_now(s, worker, record.tokens[k], now)
            requester[worker] = _taken_now(s, worker, record.facts.requester_token, now)
            if record.facts.category_token >= 0:
                category[worker] = _taken_now(s, worker, record.facts.category_token, now)
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


def offered(state: MarketState, workers: NDArray[np.int32], task: int) -> NDArray[np.int32]:
    """Return those of the workers (int32) who were not forgotten, and neither hid the task nor took all they may."""
    workers = workers[~_dealt(state.arrays, workers, task)]
    named = list(map(bool, state.catalogue.workers.externals(workers.tolist())))
    return workers[np.array(named, np.bool_)]


@kernel
def _dealt(s: Arrays, workers: NDArray[np.int32], task: int) -> NDArray[np.bool_]:
    """Tell of each worker whether the task was hidden or taken as often as it may be."""
    found = np.zeros(workers.size, np.bool_)
    for i in range(workers.size):
        place = find(s.dealing_keys, pair_key(workers[i], task))
        if place >= 0:
            dealing = s.dealings[place]
            found[i] = dealing.marks & WAS_HIDDEN != 0 or not may_take_again(dealing, s.tasks[task])
    return found
