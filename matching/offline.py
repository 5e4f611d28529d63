"""Ranking offline: requests at instants of the past or present, answered in one pass over the log."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from msgspec.structs import asdict

from features.build import rows_of_workers
from features.errors import CocokError
from features.events import Event, Id, micros
from features.money import Money, Rates
from features.progress import Progress
from features.state import MarketState
from matching.eligibility import judge
from matching.pipeline import Matcher, open_at
from matching.query import Query
from matching.scoring import Expectation, Ranker, best_first, expectations

DEFAULT_LIMIT = 100
"""Items returned where neither candidates nor a limit are given."""

Entries = Sequence[tuple[int, int, Event]]


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A list to rank: tasks for ``worker_id``, or workers for ``task_id``.

    Attributes:
        request_id: comes back with the answer.
        at: the instant; only what was known before it counts.
        worker_id: rank tasks for this worker.
        candidates: the tasks to rank; all open ones if None.
        task_id: rank workers for this task.
        workers: the workers to rank; all known ones if None.
        limit: items to return; all of the candidates, or ``DEFAULT_LIMIT`` where none are given, if None.
    """

    request_id: Annotated[str, Meta(min_length=1, max_length=256)]
    at: Annotated[datetime, Meta(tz=True)]
    worker_id: Id | None = None
    candidates: tuple[Id, ...] | None = None
    task_id: Id | None = None
    workers: tuple[Id, ...] | None = None
    limit: Annotated[int, Meta(ge=1)] | None = None

    def __post_init__(self) -> None:
        if (self.worker_id is None) == (self.task_id is None):
            raise ValueError("give `worker_id` to rank tasks, or `task_id` to rank workers")
        if self.worker_id is None and self.candidates is not None:
            raise ValueError("`candidates` go with `worker_id`; with `task_id`, give `workers`")
        if self.task_id is None and self.workers is not None:
            raise ValueError("`workers` go with `task_id`; with `worker_id`, give `candidates`")
        given = self.candidates or self.workers or ()
        if len(set(given)) != len(given):
            raise ValueError("a candidate stands twice")


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task or a worker in its place; ``None`` where nothing is known."""

    task_id: str | msgspec.UnsetType = msgspec.UNSET
    worker_id: str | msgspec.UnsetType = msgspec.UNSET
    score: float
    expected_hourly: Money | None
    expected_minutes: float | None
    p_accept: float | None
    p_approve: float | None
    expected_hourly_low: Money | None
    expected_hourly_high: Money | None
    minutes_low: float | None
    minutes_high: float | None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The ranked list. ``removed`` names each candidate, or counts reasons where no candidates were given."""

    request_id: str
    items: list[Item]
    removed: list[dict[str, Any]] | dict[str, int]


_decoder = msgspec.json.Decoder(Request)


def read_requests(lines: Iterable[bytes], source: str) -> list[Request]:
    """Decode requests, one JSON object a line; blank lines are skipped.

    Raises:
        CocokError: a line is refused; the message names the source, the line and the field.
    """
    requests = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                requests.append(_decoder.decode(line))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise CocokError(f"{source}, line {number}: {error}") from error
    return requests


def rank(
    batches: Iterable[Entries],
    rates: Rates,
    ranker: Ranker,
    requests: Sequence[Request],
    *,
    eligibility: bool = True,
    progress: Progress | None = None,
    state: MarketState | None = None,
) -> list[Answer]:
    """Answer requests, each as of its own instant.

    Args:
        batches: the log from its beginning, or from where ``state`` ends; read once, and no further than the last
            request needs.
        rates: currency rates.
        ranker: the model.
        requests: in any order.
        eligibility: leave out what may not be taken; else everything is ranked.
        progress: called after each request.
        state: the market after a part of the log that was known before all requests; it goes on from there.

    Returns:
        One answer for each request, in the order of the requests.
    """
    found: dict[int, Answer] = {}
    by_time = sorted(range(len(requests)), key=lambda place: requests[place].at)
    begun = MarketState(rates) if state is None else state
    for done, (place, market) in enumerate(_as_of(batches, begun, requests, by_time), 1):
        request = requests[place]
        direction = _rank_tasks if request.worker_id is not None else _rank_workers
        found[place] = direction(market, ranker, request, eligibility)
        if progress:
            progress(done, len(requests))
    return [found[place] for place in range(len(requests))]


def _as_of(
    batches: Iterable[Entries], state: MarketState, requests: Sequence[Request], order: Sequence[int]
) -> Iterator[tuple[int, MarketState]]:
    """Yield each place with the state of the longest prefix known before the request's instant."""
    waiting = iter(order)
    place = next(waiting, None)
    for entries in batches:
        known = np.array([known_at for _, known_at, _ in entries], np.int64)
        done = 0
        while place is not None:
            upto = int(np.searchsorted(known, micros(requests[place].at), side="left"))
            if upto == len(entries):
                break
            if upto > done:
                state.apply(entries[done:upto])
                done = upto
            yield place, state
            place = next(waiting, None)
        if place is None:
            return
        state.apply(entries[done:])
    while place is not None:
        yield place, state
        place = next(waiting, None)


def _rank_tasks(state: MarketState, ranker: Ranker, request: Request, eligibility: bool) -> Answer:
    query = Query(worker_id=request.worker_id or "", now=micros(request.at), explain=False)
    candidates = request.candidates
    if candidates is None:
        candidates = tuple(map(state.catalogue.tasks.external, open_at(state, query.now).tolist()))
    found, removed = Matcher().ranking(state, ranker, query, candidates, eligibility=eligibility)
    items = [
        Item(
            task_id=item.task_id,
            score=item.score,
            **{name: getattr(item, name) for name in Expectation.__struct_fields__},
        )
        for item in found[: _limit(request, request.candidates)]
    ]
    return _answer(request, items, "task_id", removed, counted=request.candidates is None)


def _rank_workers(state: MarketState, ranker: Ranker, request: Request, eligibility: bool) -> Answer:
    now = micros(request.at)
    catalogue = state.catalogue
    task = np.array([catalogue.tasks.get(request.task_id or "")], np.int32)
    if request.workers is None:
        names = [name for name in map(catalogue.workers.external, range(1, len(catalogue.workers))) if name]
    else:
        names = list(request.workers)
    workers = [catalogue.workers.get(name) for name in names]
    against = [judge(state, worker, task, now).codes(0) if eligibility else [] for worker in workers]
    kept = [place for place, codes in enumerate(against) if not codes]
    features = rows_of_workers(state, np.array([workers[place] for place in kept], np.int32), int(task[0]), now)
    answers = ranker.answers(features)
    found = answers.outcomes()
    chances = found.chances()
    scores = answers.scores if chances is None else chances
    figures = expectations(found, [catalogue.postings.reward(int(task[0]))] * len(kept))
    order = best_first(scores, np.arange(len(kept), dtype=np.uint32))[: _limit(request, request.workers)]
    items = [
        Item(worker_id=names[kept[place]], score=float(scores[place]), **asdict(figures[place])) for place in order
    ]
    removed = [(name, codes) for name, codes in zip(names, against, strict=True) if codes]
    return _answer(request, items, "worker_id", removed, counted=request.workers is None)


def _limit(request: Request, given: Sequence[str] | None) -> int | None:
    return request.limit or (DEFAULT_LIMIT if given is None else None)


def _answer(
    request: Request, items: list[Item], name: str, removed: list[tuple[str, list[str]]], *, counted: bool
) -> Answer:
    if counted:
        return Answer(
            request_id=request.request_id,
            items=items,
            removed=dict(Counter(code for _, codes in removed for code in codes)),
        )
    named = [{name: candidate, "reasons": codes} for candidate, codes in removed]
    return Answer(request_id=request.request_id, items=items, removed=named)
