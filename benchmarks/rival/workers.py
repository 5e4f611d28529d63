"""What hangs on the worker: how the worker meets the tasks that may be taken, and the rows of those that are scored."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.rival.market import Market
from benchmarks.rival.scale import Floats, Scale
from benchmarks.rival.tasks import AT_MEETING, OF_WORKERS, Tasks, decay, smoothed
from features.compared import CONTENT_PRIOR, KIND_PRIOR
from features.estimates import DAY, FAST, HOUR, SECOND, SLOW, seconds
from features.layout import HOUR_BINS, NEVER, WAS_SAVED, WAS_VIEWED
from features.spec import COLUMN
from features.tokens import SKILL, WORD
from features.view import SHARE_PRIOR

Places = NDArray[np.intp]

_CONTENT = 3
"""Kinds of tokens that content is made of."""

_ABOUT = (
    "worker_accepts",
    "worker_accepts_slow",
    "worker_accepts_fast",
    "worker_approval",
    "worker_give_up",
    "worker_speed",
    "worker_rating",
    "worker_idle_hours",
    "worker_age_days",
    "hour_fit",
)
_DEALT = ("task_taken", "task_served_before", "task_viewed", "task_saved", "task_served_hours")


def _columns(*names: str) -> Places:
    return np.array([COLUMN[name] for name in names], np.intp)


_OWN, _SCORES, _RANKS = (_columns(*(f"{name}{part}" for name in OF_WORKERS)) for part in ("", "_z", "_rank"))
_COLUMNS_ABOUT, _COLUMNS_DEALT = _columns(*_ABOUT), _columns(*_DEALT)
_COLUMNS_OF_LABELS = _columns("affinity_category", "affinity_requester", "group_taken")


class Worker(NamedTuple):
    """A worker at an instant.

    Attributes:
        index: place in the market's workers.
        record: of the market's workers.
        accepted: assignments, decayed with the long and with the short half-life.
        shares: of what was taken in the market, likewise.
        approval: smoothed share of submissions approved.
        speed: what the worker adds to the log of the minutes.
        pull: float64, halves; how far pay draws the worker.
        slots: uint16, numbers of tokens; the place of each in what follows, 0 for what the worker never met.
        kinds: int64, places; of the token.
        tastes: float64, (took, took lately, approved, rejected) x places.
        skills: float64, (known or not, level declared, log of what was taken) x places.
    """

    index: int
    record: np.void
    accepted: tuple[float, float]
    shares: tuple[float, float]
    approval: float
    speed: float
    pull: Floats
    slots: NDArray[np.uint16]
    kinds: Places
    tastes: Floats
    skills: Floats


class Met(NamedTuple):
    """How a worker meets some tasks.

    Attributes:
        columns: float64, ``OF_WORKERS`` x tasks.
        kind_approval: float64, tasks; smoothed share approved of what the worker did of that kind.
        minutes: float64, tasks; log of the minutes expected.
        promises: float64, 2 x tasks; what the columns that are the same for everybody add to the choice of candidates.
    """

    columns: Floats
    kind_approval: Floats
    minutes: Floats
    promises: Floats

    def of(self, those: Places | slice) -> "Met":
        """Return the same of some of the tasks."""
        return Met(self.columns[:, those], self.kind_approval[those], self.minutes[those], self.promises[:, those])


class Workers:
    """The workers of a market, and how they meet its open tasks."""

    def __init__(self, market: Market, tasks: Tasks) -> None:
        self._tasks, self._records = tasks, market["workers"]
        # A token is kept once for each number that stands for it; those that no open task has tell nothing.
        first, last = (np.searchsorted(tasks.rows, market["taste_tokens"], side) for side in ("left", "right"))
        source = np.repeat(np.arange(len(first)), last - first)
        ends = np.concatenate([[0], np.cumsum(last - first)])
        self._taste_starts = ends[market["taste_starts"]]
        self._taste_numbers = first[source] + np.arange(len(source)) - ends[source] + 1
        self._tastes = market["tastes"][source]
        self._dealing_starts, self._dealings = market["dealing_starts"], market["dealings"]
        self._dealing_tasks = market["dealing_tasks"].astype(np.intp)

    def at(self, index: int, now: int) -> Worker:
        """Return a worker at the instant to which the tasks have been brought."""
        tasks, record = self._tasks, self._records[index]
        slow, fast = (decay(int(record["at"]), now, half_life) for half_life in (SLOW, FAST))
        accepted = float(record["accepted_slow"]) * slow, float(record["accepted_fast"]) * fast
        those = slice(self._taste_starts[index], self._taste_starts[index + 1])
        held, numbers = self._tastes[those], self._taste_numbers[those]
        # In seconds, as these instants are.
        ages = np.minimum(0, held["at"] - seconds(now))
        took = held["took_slow"] * np.exp2(ages / (SLOW // SECOND))
        tastes, skills = np.zeros((4, len(held) + 1)), np.zeros((3, len(held) + 1))
        tastes[0, 1:], tastes[1, 1:] = took, held["took_fast"] * np.exp2(ages / (FAST // SECOND))
        tastes[2, 1:], tastes[3, 1:] = held["approved"], held["rejected"]
        skills[0, 1:] = (held["level"] > 0.0) | (held["took_slow"] > 0.0)
        skills[1, 1:], skills[2, 1:] = held["level"], np.log(1.0 + took)
        slots = np.zeros(len(tasks.rows) + 1, np.uint16)
        slots[numbers] = np.arange(1, len(held) + 1)
        return Worker(
            index=index,
            record=record,
            accepted=accepted,
            shares=(accepted[0] / tasks.taken, accepted[1] / tasks.taken) if tasks.taken > 0.0 else (0.0, 0.0),
            approval=float(smoothed(record["approved"], record["rejected"], tasks.approval, SHARE_PRIOR)),
            speed=float(record["speed"] / (record["speed_count"] + SHARE_PRIOR)),
            pull=smoothed(
                record["pull_slow"] * slow,
                (record["compared_slow"] - record["pull_slow"]) * slow,
                tasks.pull,
                SHARE_PRIOR,
            ),
            slots=slots,
            kinds=np.append(0, tasks.kinds[numbers - 1]),
            tastes=tastes,
            skills=skills,
        )

    def meet(self, worker: Worker, places: Places) -> Met:
        """Return how a worker meets tasks (intp)."""
        tasks, size, width = self._tasks, len(places), self._tasks.tokens.shape[1]
        told = dict(zip(AT_MEETING, np.ascontiguousarray(tasks.told.take(places, axis=0).T), strict=True))
        slots = worker.slots.take(tasks.tokens.take(places, axis=0)).ravel()
        # Few tokens are such as the worker has to do with.
        hits = np.flatnonzero(slots != 0)
        held, (rows, at) = slots.take(hits), np.divmod(hits, width)
        weights = tasks.weights.ravel().take(places.take(rows) * width + at)
        took, took_fast, approved, rejected = (weights * column.take(held) for column in worker.tastes)
        by_kind = np.bincount(rows + size * worker.kinds.take(held), took, _CONTENT * size).reshape(_CONTENT, size)
        fast, good, bad = (np.bincount(rows, sums, size) for sums in (took_fast, approved, rejected))
        kind_approval = smoothed(good, bad, worker.approval, KIND_PRIOR)
        prior, chance, (share, share_fast) = told["prior"], told["chance"], worker.shares
        columns = np.empty((len(OF_WORKERS), size))
        columns[0] = (by_kind.sum(axis=0) + prior) / (share * chance + CONTENT_PRIOR)
        columns[1] = (fast + prior) / (share_fast * chance + CONTENT_PRIOR)
        columns[2] = (by_kind[SKILL] + prior) / (share * told["chance_skill"] + CONTENT_PRIOR)
        columns[3] = (by_kind[WORD] + prior) / (share * told["chance_text"] + CONTENT_PRIOR)
        columns[5] = np.minimum(1.0, np.maximum(0.01, kind_approval * told["approval"]))
        np.log(columns[:4], out=columns[:4])
        np.log(columns[5], out=columns[5])
        columns[4] = self._of_skills(worker.skills[0], worker, places) / told["skill_count"]
        columns[5] += told["hourly"] - worker.speed
        promises = np.stack([told["promise_newcomer"], told["promise_regular"]])
        return Met(columns, kind_approval, told["minutes"] + worker.speed, promises)

    def _of_skills(self, of_places: Floats, worker: Worker, places: Places) -> Floats:
        slots = worker.slots.take(self._tasks.skills.take(places, axis=0))
        return np.asarray(of_places.take(slots).sum(axis=1))

    def rows(self, worker: Worker, places: Places, met: Met, reference: Met, now: int) -> NDArray[np.float32]:
        """Return the rows of tasks (float32, tasks x columns).

        Columns that the ranker does not learn from may be missing.

        Args:
            worker: at the instant.
            places: intp, rising; the tasks.
            met: how the worker meets them.
            reference: how the worker meets the reference tasks.
            now: the instant, in microseconds since 1970.
        """
        tasks, record = self._tasks, worker.record
        out = tasks.table.take(places, axis=0)
        scale, hourly = Scale(reference.columns), met.columns[OF_WORKERS.index("hourly")]
        out[:, _OWN], out[:, _SCORES] = met.columns.T, scale.scores(met.columns).T
        out[:, _RANKS] = scale.ranks(met.columns).T
        out[:, _COLUMNS_ABOUT] = self._about(worker, now)
        if record["timed_slow"] > 0.0:
            mean = float(record["hourly_slow"] / record["timed_slow"]) + np.log(60.0)
            out[:, COLUMN["hourly_against_revealed"]] = np.floor((hourly - mean) * 1e6 + 0.5) / 1e6
        out[:, COLUMN["hourly_against_declared"]] = hourly - np.log(max(record["expected_hourly"], 1e-4))
        out[:, COLUMN["minutes"]] = met.minutes
        out[:, COLUMN["session_fit"]] = np.log(record["session_minutes"]) - met.minutes
        out[:, COLUMN["kind_approval"]] = met.kind_approval - tasks.approval
        pull = np.maximum(0.0, worker.pull)[1 - tasks.half.take(places)]
        out[:, COLUMN["reward_pull_worker"]] = pull * tasks.reward_score.take(places)
        count = tasks.told[places, AT_MEETING.index("skill_count")]
        if record["n_skills"] > 0:
            out[:, COLUMN["skill_coverage"]] = self._of_skills(worker.skills[1], worker, places) / count
        out[:, COLUMN["skill_experience"]] = self._of_skills(worker.skills[2], worker, places) / count
        self._fill_labels(worker, places, out)
        self._fill_dealt(worker, places, now, out)
        return out

    def _about(self, worker: Worker, now: int) -> list[float]:
        """Return the columns that tell of the worker alone, in the order of ``_ABOUT``."""
        tasks, record = self._tasks, worker.record
        rating, idle, hour_fit, age = np.nan, np.nan, np.nan, np.nan
        if record["ratings"] > 0.0:
            rating = record["rating"] / record["ratings"]
        if record["last_accept"] != NEVER:
            idle = np.log1p(max(0, now - int(record["last_accept"])) / HOUR)
            hours = record["hours_slow"].astype(np.float64)
            here = hours[now // (24 // HOUR_BINS * HOUR) % HOUR_BINS]
            hour_fit = HOUR_BINS * smoothed(here, hours.sum() - here, 1.0 / HOUR_BINS, 2.0)
        if record["first_seen"] != NEVER:
            age = np.log1p(max(0, now - int(record["first_seen"])) / DAY)
        accepted, given_up = float(record["accepted"]), float(record["given_up"])
        return [
            *np.log1p([accepted, *worker.accepted]),
            worker.approval - tasks.approval,
            smoothed(given_up, accepted - given_up, tasks.give_up, SHARE_PRIOR) - tasks.give_up,
            worker.speed,
            rating,
            idle,
            age,
            hour_fit,
        ]

    def _fill_labels(self, worker: Worker, places: Places, out: NDArray[np.float32]) -> None:
        """Fill what category, requester, group and languages of tasks tell."""
        tasks = self._tasks
        labels = tasks.labels.take(places, axis=0)
        took = worker.tastes[0].take(worker.slots.take(labels))
        by_chance = worker.shares[0] * tasks.left * tasks.expected.take(labels[:, :2])
        told = np.empty(labels.shape)
        told[:, :2] = np.log((took[:, :2] + CONTENT_PRIOR) / (by_chance + CONTENT_PRIOR))
        told[:, 2] = np.log1p(took[:, 2])
        told[labels == 0] = np.nan
        out[:, _COLUMNS_OF_LABELS] = told
        spoken, asked = worker.record["languages"], tasks.languages.take(places, axis=0)
        if spoken[0] != 0:
            known = (asked[:, :, None] == spoken[spoken != 0]).any(axis=(1, 2))
            out[:, COLUMN["language_known"]] = np.where(asked[:, 0] != 0, known, np.nan)

    def _fill_dealt(self, worker: Worker, places: Places, now: int, out: NDArray[np.float32]) -> None:
        """Fill what the worker had to do with these very tasks."""
        those = slice(self._dealing_starts[worker.index], self._dealing_starts[worker.index + 1])
        with_tasks = self._dealing_tasks[those]
        at = np.searchsorted(places, with_tasks)
        here = np.flatnonzero(np.append(places, -1)[at] == with_tasks)
        if not len(here):
            return
        dealings, served = self._dealings[those][here], self._dealings[those][here]["served"]
        hours = np.maximum(0, seconds(now) - dealings["served_at"].astype(np.int64)) / (HOUR // SECOND)
        since = np.where(served > 0, np.log1p(hours), np.nan)
        viewed, saved = ((dealings["marks"] & mark) != 0 for mark in (WAS_VIEWED, WAS_SAVED))
        dealt = (dealings["accepted"], np.log1p(served), viewed, saved, since)
        out[at[here][:, None], _COLUMNS_DEALT] = np.stack(dealt, axis=1)
