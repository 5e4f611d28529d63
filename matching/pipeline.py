"""The matcher: from a worker's request to a ranked feed, in a visible order of stages.

eligibility -> first stage -> features -> model -> re-ranking -> exploration -> page -> swap -> reasons, near misses
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, repeat

import numpy as np
from numpy.typing import NDArray

from features.build import Common, forget_common, nothing_common, rows
from features.spec import GROUPS
from features.state import MarketState
from matching.cascade import shortlist
from matching.eligibility import Wishes, judge, judge_open
from matching.explain import Figures, Reason, reasons
from matching.explore import Explore, Swap
from matching.judgement import Judgement
from matching.near_misses import NearMiss, Sought, seek, valued
from matching.priors import Priors
from matching.query import Query
from matching.rerank import WINDOW, GroupSpread, PayWeight, Ranking, SlotBalance, Step
from matching.scoring import Answers, Expectation, Outcomes, Ranker, best_first, figures

SHORTLIST = 300
"""Eligible tasks that the full model scores, at the least; the cascade chooses them."""

LONGEST = 600
"""Eligible tasks that the full model scores of many: of more, more lie close to the best."""

SHARE = 1 / 50
"""Share of the eligible tasks that the full model scores, between the two."""

PAY_WEIGHT = 0.0
"""How much expected pay per hour counts in a feed beside what the model says; see `PayWeight`."""


_NONE = np.zeros(0, np.int32)
_HOURLY = Expectation.__struct_fields__.index("expected_hourly")

_kept = threading.local()


class Item(Expectation, frozen=True, gc=False):
    """A task in a feed, with what is expected of it; contributions if asked for."""

    task_id: str
    position: int
    score: float
    reasons: Sequence[Reason]
    contributions: Mapping[str, float] | None
    propensity: float
    row: NDArray[np.float32]


@dataclass(frozen=True)
class Feed:
    """A page of a feed.

    Attributes:
        items: in order; positions go on from earlier pages.
        removed: reason -> how many open tasks it removed; a task with two reasons counts for both.
        listed: hashes of the ids of the earlier pages and of this one, in order as far as the query's are.
        more: whether a further page would hold anything.
        near_misses: what would open the most; of a first page with reasons alone.
    """

    items: Sequence[Item]
    removed: dict[str, int]
    listed: Sequence[int]
    more: bool
    near_misses: Sequence[NearMiss] = ()


@dataclass(frozen=True)
class Verdict:
    """Scored tasks, nothing reordered yet.

    Attributes:
        tasks: int32, the tasks that were scored and may be offered.
        features: float32, their rows.
        answers: what the model says of each row.
        beside: float32, rows of other tasks, which were not scored.
    """

    tasks: NDArray[np.int32]
    features: NDArray[np.float32]
    answers: Answers
    beside: NDArray[np.float32]

    def best(self, state: MarketState) -> Ranking:
        """Return the tasks by falling score, equal ones by the hash of their id."""
        scores, order = self.answers.scores, self.answers.rising[::-1].copy()
        falling = scores[order]
        if not (falling[1:] < falling[:-1]).all():
            order = best_first(scores, state.arrays.tasks["facts"]["order"][self.tasks])
            falling = scores[order]
        return Ranking(self.tasks[order], order, falling, np.ones(len(order)))


@dataclass(frozen=True)
class Page:
    """The order of a page, before anything is said of its tasks.

    Attributes:
        ranking: the tasks of the page.
        verdict: of all that was scored.
        judgement: of all that is open.
        more: whether a further page would hold anything.
        sought: what may become its near misses, whose rows are beside those of the verdict; None where none are wanted.
    """

    ranking: Ranking
    verdict: Verdict
    judgement: Judgement
    more: bool
    sought: Sought | None

    @property
    def scores(self) -> NDArray[np.float64]:
        """The model's scores of its tasks (float64)."""
        return self.verdict.answers.scores[self.ranking.places]

    @property
    def rows(self) -> NDArray[np.float32]:
        """The rows of its tasks (float32, tasks x columns)."""
        return self.verdict.features[self.ranking.places]


def feed_steps(pay_weight: float = PAY_WEIGHT) -> tuple[Step, ...]:
    """Return the re-ranking steps of a feed as it is served; see `PayWeight` for the weight of pay."""
    return PayWeight(pay_weight), SlotBalance(), GroupSpread()


@dataclass(frozen=True)
class Matcher:
    """Ranks tasks for workers.

    Attributes:
        steps: re-ranking steps of a feed, in order. A ranking of the caller's own candidates takes none.
        shortlist: eligible tasks that the full model scores, at the least; see `wanted`. Exploration may promise more.
        explore: how the order of a feed is drawn, where a query asks for it.
        swap: the same of one pair of neighbours.
        priors: what rankers say of the open tasks for anybody, kept from list to list.
    """

    steps: Sequence[Step] = feed_steps()
    shortlist: int = SHORTLIST
    explore: Explore = field(default_factory=Explore)
    swap: Swap = field(default_factory=Swap)
    priors: Priors = field(default_factory=Priors, repr=False, compare=False)

    def wanted(self, eligible: int, limit: int) -> int:
        """Return how many of the eligible tasks the full model scores for a page of ``limit``."""
        return max(self.shortlist, limit, min(round(SHARE * eligible), LONGEST))

    def score(
        self,
        state: MarketState,
        ranker: Ranker,
        query: Query,
        tasks: NDArray[np.int32],
        common: Common | None = None,
        computed: NDArray[np.float64] | None = None,
        beside: NDArray[np.int32] = _NONE,
    ) -> tuple[Verdict, NDArray[np.int32]]:
        """Score tasks for the worker of a query; return those that pay enough an hour, and the tasks that do not.

        Of the tasks ``beside`` there are rows alone. ``common`` and ``computed`` are what is known of all these rows
        already; see `features.build.rows`.
        """
        worker, every = state.catalogue.workers.get(query.worker_id), np.concatenate((tasks, beside))
        both = rows(state, worker, every, query.now, query.session_minutes, common, computed)
        features, others = both[: len(tasks)], both[len(tasks) :]
        answers = ranker.answers(features)
        if np.isnan(query.wishes.min_hourly):
            return Verdict(tasks, features, answers, others), tasks[:0]
        outcomes = answers.outcomes()
        # Without a reward nothing says that it is enough.
        hours = np.where(outcomes.minutes > 0.0, outcomes.minutes, np.nan) / 60.0
        hourly = state.arrays.tasks["facts"]["reward"][tasks] * outcomes.p_approve / hours
        enough = hourly >= query.wishes.min_hourly
        kept = replace(answers, scores=answers.scores[enough], features=features[enough])
        return Verdict(tasks[enough], kept.features, kept, others), tasks[~enough]

    def page(self, state: MarketState, ranker: Ranker, query: Query) -> Page:
        """Choose and order the tasks of the next page for a worker.

        Filtering comes before paging: ``limit`` tasks come back whenever so many can be served. Pay per hour is known
        of scored tasks alone, so where the shortlist holds too few that pay enough, a longer one is scored.
        """
        worker = state.catalogue.workers.get(query.worker_id)
        judgement = judge_open(state, worker, query.now, query.wishes)
        at, common = judgement.kept_at, _common(state)
        sought = seek(state, query, judgement) if query.explain and not query.listed else None
        beside = _NONE if sought is None else sought.tasks
        if query.listed:
            at = at[~np.isin(state.arrays.open_orders[at], np.array(query.listed, np.uint32))]
        open_tasks, lots, reserve = state.arrays.open_tasks, _NONE, _NONE
        if query.explore is not None:
            lots = self.explore.lots(state, worker, open_tasks[at], query.explore)
        size = self.wanted(len(at), query.limit)
        while True:
            chosen, computed = shortlist(state, ranker, self.priors, worker, at, query.now, size, common, beside)
            tasks = open_tasks[chosen]
            if len(lots):
                # Whatever the first stage thinks of it: what is promised a position must be there to get it.
                reserve = self.explore.reserve(lots, tasks)
                tasks, computed = np.union1d(tasks, reserve), None
            verdict, paying_less = self.score(state, ranker, query, tasks, common, computed, beside)
            ranking, reserved = verdict.best(state), None
            if len(reserve):
                # Whom the reserve consists of was drawn, and no propensity tells how likely: so the rest ignores it.
                apart = np.isin(ranking.tasks, reserve)
                ranking, reserved = (ranking.reordered(np.flatnonzero(part)) for part in (~apart, apart))
            if np.isnan(query.wishes.min_hourly) or len(ranking.tasks) > query.limit or len(chosen) == len(at):
                break
            size *= 4
        judgement.remove(paying_less, "min_hourly")
        if query.listed:
            ranking = replace(ranking, before=_open_still(state, query.listed[1 - WINDOW :]))
        for step in self.steps:
            ranking = step(ranking, state, verdict.features)
        if query.explore is not None:
            # What pays too little is promised nothing, as far as that is known in every draw.
            lots = lots[~np.isin(lots, np.setdiff1d(paying_less, reserve))]
            ranking = self.explore(ranking, lots, query.explore, reserved)
        page = ranking.reordered(np.arange(min(query.limit, len(ranking.tasks))))
        if query.swap is not None:
            page = self.swap(page, query.swap)
        more = len(verdict.tasks) > len(page.tasks) or len(tasks) < len(at)
        return Page(page, verdict, judgement, more, sought)

    def feed(self, state: MarketState, ranker: Ranker, query: Query) -> Feed:
        """Return the next page of the open tasks for a worker, with what is to be said of them; see `page`."""
        return self.told(state, query, self.page(state, ranker, query))

    def told(self, state: MarketState, query: Query, page: Page) -> Feed:
        """Return a page with what is to be said of its tasks; the state is that of which the page is."""
        verdict, near, size = page.verdict, page.sought, len(page.ranking.tasks)
        # The models are asked once for both.
        outcomes = verdict.answers.expect(np.concatenate((page.rows, verdict.beside)))
        p_approve, minutes = outcomes.p_approve[size:], outcomes.minutes[size:]
        return Feed(
            items=items(
                state, verdict, page.ranking, query, first=len(query.listed) + 1, outcomes=outcomes.first(size)
            ),
            removed=page.judgement.counts(),
            # Two ids of one hash count once.
            listed=tuple(dict.fromkeys((*query.listed, *_order(state, page.ranking.tasks).tolist()))),
            more=page.more,
            near_misses=() if near is None else valued(state, query, page.judgement, near, p_approve, minutes),
        )

    def ranking(
        self,
        state: MarketState,
        ranker: Ranker,
        query: Query,
        candidates: Sequence[str],
        *,
        eligibility: bool = True,
    ) -> tuple[Sequence[Item], list[tuple[str, list[str]]]]:
        """Rank the caller's own candidates: all that may be taken, and every other one with its reasons."""
        worker = state.catalogue.workers.get(query.worker_id)
        indices = np.array([state.catalogue.tasks.get(task_id) for task_id in candidates], np.int32)
        if not eligibility:
            query = replace(query, wishes=Wishes())
            verdict, _ = self.score(state, ranker, query, indices)
            return items(state, verdict, verdict.best(state), query, names=candidates), []
        judgement = judge(state, worker, indices, query.now, query.wishes)
        verdict, paying_less = self.score(state, ranker, query, judgement.kept)
        judgement.remove(paying_less, "min_hourly")
        names = [name for name, bits in zip(candidates, judgement.bits, strict=True) if not bits]
        removed = [(candidates[place], judgement.codes(place)) for place in np.flatnonzero(judgement.bits).tolist()]
        return items(state, verdict, verdict.best(state), query, names=names), removed


def _common(state: MarketState) -> Common:
    """Return memory for what the rows of a page have in common; each thread keeps its own from page to page."""
    common: Common | None = getattr(_kept, "common", None)
    if common is None:
        common = _kept.common = nothing_common(state.arrays)
    else:
        forget_common(common)
    return common


def _open_still(state: MarketState, orders: Sequence[int]) -> NDArray[np.int32]:
    """Return the open tasks of these hashes (int32, aligned); 0 where none is open."""
    size = len(state.open_tasks)
    open_orders = state.arrays.open_orders[:size]
    places = np.flatnonzero(np.isin(open_orders, np.array(orders, np.uint32)))
    tasks = dict(zip(open_orders[places].tolist(), state.arrays.open_tasks[places].tolist(), strict=True))
    return np.array([tasks.get(order, 0) for order in orders], np.int32)


def open_at(state: MarketState, now: int) -> NDArray[np.int32]:
    """Return the tasks open at an instant, which may be later than the last event (int32, by index)."""
    tasks = state.open_tasks
    return tasks[state.arrays.tasks["facts"]["expires"][tasks] > now]


def items(
    state: MarketState,
    verdict: Verdict,
    ranking: Ranking,
    query: Query,
    *,
    first: int = 1,
    names: Sequence[str] | None = None,
    outcomes: Outcomes | None = None,
) -> list[Item]:
    """Return the items of a ranking, the first at position ``first``; ``names`` are those of the verdict's tasks.

    ``outcomes`` are those of the ranking's tasks, if they are known already.
    """
    answers, places = verdict.answers, ranking.places
    features = answers.features.take(places, axis=0)
    outcomes = outcomes or answers.expect(features)
    tasks = ranking.tasks.tolist()
    rewards = list(map(state.catalogue.postings.reward, tasks))
    told = figures(outcomes, rewards)
    why: Iterable[Sequence[Reason]] = repeat(())
    contributions: Iterable[Mapping[str, float] | None] = repeat(None)
    if query.explain or query.contributions:
        lifts = answers.lifts(places)
        if query.explain:
            hourly = told[_HOURLY]
            why = reasons(features, lifts, Figures(outcomes.p_approve, outcomes.minutes, rewards, hourly), query.locale)
        if query.contributions:
            contributions = [dict(zip(GROUPS, lift, strict=True)) for lift in lifts.tolist()]
    # In the order of the fields, since names take time.
    return list(
        map(
            Item,
            *told,
            state.catalogue.tasks.externals(tasks) if names is None else [names[place] for place in places.tolist()],
            count(first),
            answers.scores[places].tolist(),
            why,
            contributions,
            ranking.propensities.tolist(),
            features,
        )
    )


def _order(state: MarketState, tasks: NDArray[np.int32]) -> NDArray[np.uint32]:
    return np.asarray(state.arrays.tasks["facts"]["order"][tasks])
