"""Audiences: who should be told of a task. A cascade, as a feed is, over workers instead of tasks.

roster -> first look -> own rows -> full rows and models -> judgement -> how many to tell

Few are ever scored in full. Of all who fit the task, a first look adds how active they are to what they took of the
task's content, category and requester, read from a table of who took what, token by token. Of the foremost the rows are
built without what compares the task with others, since that takes most of the time; of the foremost of these the models
see full rows. Both stages ask what the models would say: they are fitted to log(P(accepted) x P(approved)) on full rows
of a sample; the first is linear, the second a small forest. `matching.audience_stages` prepares them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from msgspec.structs import asdict
from numpy.typing import NDArray

from features.build import rows_of_workers
from features.layout import UNLIMITED
from features.state import MarketState
from matching.audience_stages import Stages, offered, prepared
from matching.eligibility import judge
from matching.reading import Read
from matching.roster import Mask, Roster
from matching.scoring import Expectation, Ranker, best_first, expectations

SCORED = 750
"""Workers that the models score; more where more are asked for."""

SURE = 0.8
"""Probability with which the slots are to be filled by those who are told."""

PROFILES_AT_ONCE = 100
"""Profiles that are read while the state stands still, when an audience is prepared; a few milliseconds."""

PROFILES_WITHIN = 500
"""Changed profiles that are read within a request."""


class UnpreparedError(Exception):
    """More has come since the last preparation than is done within a request: prepare, then ask again."""


class Member(Expectation, frozen=True, gc=False):
    """A worker in an audience, and what is expected of them."""

    worker_id: str
    score: float


@dataclass(frozen=True)
class Audience:
    """Workers for a task.

    Attributes:
        members: best first.
        suggested: how many of them to tell.
    """

    members: Sequence[Member]
    suggested: int


class Audiences:
    """Finds audiences in one state; it keeps the roster and the stages, and may be shared by threads.

    What it keeps is prepared apart from the questions, by one thread at a time: `prepare` takes the state in parts, and
    replaces the stages as a whole, so that the earlier ones answer meanwhile, also those of an earlier model. They are
    needed only where more workers fit a task than are scored.
    """

    def __init__(self) -> None:
        self._roster = Roster()
        self._stages: Stages | None = None
        self._lock = Lock()

    def prepare(self, read: Read, ranker: Ranker, now: int) -> None:
        """Read new profiles, and bring the stages to now and to a model.

        Args:
            read: gives the state, always the same, part by part.
            ranker: the model.
            now: microseconds since 1970.
        """
        roster = Roster() if self._roster.outdated else self._roster
        while read(lambda state: self._refresh(roster, state, PROFILES_AT_ONCE)):
            pass
        self._roster = roster
        self._stages = prepared(read, ranker, lambda state, task: self._fit(state, task, now), now, self._stages)

    def audience(self, state: MarketState, ranker: Ranker, task: int, now: int, limit: int) -> Audience:
        """Return the workers who may take a task, by P(takes it) x P(approved), and how many to tell.

        Args:
            state: the market, always the same; it stands still meanwhile.
            ranker: the model. One that claims no probability of acceptance orders by its score.
            task: dense index of a task that is open at ``now``.
            now: microseconds since 1970.
            limit: members at the most.

        Raises:
            UnpreparedError: something is to be prepared first.
        """
        workers = self._foremost(state, task, now, max(SCORED, 2 * limit))
        features = rows_of_workers(state, workers, task, now)
        answers = ranker.answers(features)
        outcomes = answers.outcomes()
        chances = answers.scores if np.isnan(outcomes.p_accept).all() else outcomes.p_accept * outcomes.p_approve
        external = state.catalogue.workers.external
        figures = expectations(outcomes, [state.catalogue.postings.reward(task)] * len(workers))
        members: list[Member] = []
        for place in best_first(chances, workers.astype(np.uint32)).tolist():
            worker = int(workers[place])
            # Who was forgotten has no name. The rest is up to the same rules as for a feed.
            if not external(worker) or judge(state, worker, np.array([task], np.int32), now).bits[0]:
                continue
            members.append(Member(**asdict(figures[place]), worker_id=external(worker), score=float(chances[place])))
            if len(members) == limit:
                break
        record, market = state.arrays.tasks[task], state.arrays.market[0]
        usual = (float(market["accepted"]) + 1.0) / (float(market["served"]) + 10.0)
        slots = int(record["facts"]["slots"])
        free = None if slots == UNLIMITED else max(0, slots - int(record["occupied"]))
        takes = [min(1.0, usual) if member.p_accept is None else member.p_accept for member in members]
        return Audience(members, suggested(takes, free))

    def _refresh(self, roster: Roster, state: MarketState, most: int) -> bool:
        with self._lock:
            return roster.refresh(state, most)

    def _fit(self, state: MarketState, task: int, now: int) -> Mask:
        with self._lock:
            return self._roster.fit(state, task, now)

    def _foremost(self, state: MarketState, task: int, now: int, size: int) -> NDArray[np.int32]:
        """Return the workers (int32) whose full rows are worth building, in order of index."""
        if self._refresh(self._roster, state, PROFILES_WITHIN):
            raise UnpreparedError
        fit, stages = self._fit(state, task, now), self._stages
        if np.count_nonzero(fit) <= size:
            return offered(state, np.flatnonzero(fit).astype(np.int32), task)
        if stages is None or stages.outdated(now):
            raise UnpreparedError
        return stages.foremost(state, task, now, fit, size)


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
