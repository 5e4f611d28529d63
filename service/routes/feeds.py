"""Lists for workers: feeds, batches of them, and rankings of the caller's own candidates."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body
from starlette.responses import Response

from features.events import EXPLORED, RANKED, SWAPPED, FeedContext
from features.money import Money
from matching.eligibility import Wishes
from matching.pipeline import Item
from matching.query import Query
from service.cursor import MOST_LISTED, decode_cursor, encode_cursor
from service.errors import Kind, invalid
from service.listing import Listing, Ranked, served_event
from service.routes.common import BODY, READS, Server, StrictRoute, encoded, problems, require_rate
from service.runtime import Answer, Logged, Runtime
from service.schemas import Asked, FeedOut, FeedRequest, RankingOut, RankingRequest

_CHANCE = secrets.SystemRandom()

router = APIRouter(route_class=StrictRoute, dependencies=READS, tags=["lists"])


@router.post("/v1/feeds", response_model=FeedOut, responses=problems(*BODY, Kind.BEHIND, Kind.STORE_UNAVAILABLE))
async def feed(server: Server, request: FeedRequest) -> Response:
    """Rank the open tasks that a worker may take.

    Filtered before paging: `limit` items come back whenever so many can be served. The list is durably logged before
    the answer, unless `record` is false or nothing is in it.
    """
    make = partial(_feed_query, server, request, _listed(request, "/cursor"))
    _check_money(server, request, "")
    answered: list[Query] = []

    def rank() -> Answer:
        logged: Logged = None

        def note(listing: Listing, query: Query) -> None:
            # Written while what is to be said of the tasks is found.
            nonlocal logged
            logged = _log(server, [(request, "feed", listing, query)])

        ranked, query = server.engine.feed(make, note)
        answered.append(query)
        return Answer(msgspec.json.encode(_feed_out(ranked, query)), logged)

    body = await server.rank_and_log(rank)
    _offer(server, [request], answered)
    return encoded(body)


@router.post(
    "/v1/feeds/batch",
    response_model=list[FeedOut],
    responses=problems(*BODY, Kind.BEHIND, Kind.STORE_UNAVAILABLE),
)
async def batch(server: Server, requests: Annotated[list[FeedRequest], Body(min_length=1, max_length=200)]) -> Response:
    """Rank for several workers at once, as for digests: an array of feed requests, answered in their order."""
    makes = []
    for place, request in enumerate(requests):
        _check_money(server, request, f"/{place}")
        listed = _listed(request, f"/{place}/cursor")
        makes.append(partial(_feed_query, server, request, listed))
    answered: list[Query] = []

    def rank() -> Answer:
        answers = [server.engine.feed(make) for make in makes]
        asked = zip(requests, answers, strict=True)
        answered.extend(query for _, query in answers)
        logged = _log(server, [(request, "batch", ranked.listing, query) for request, (ranked, query) in asked])
        return Answer(msgspec.json.encode([_feed_out(*answer) for answer in answers]), logged)

    body = await server.rank_and_log(rank)
    _offer(server, requests, answered)
    return encoded(body)


@router.post("/v1/rankings", response_model=RankingOut, responses=problems(*BODY, Kind.BEHIND, Kind.STORE_UNAVAILABLE))
async def ranking(server: Server, request: RankingRequest) -> Response:
    """Rank the caller's own candidates: all that the worker may take, in order, and the others with their reasons."""
    _check_money(server, request, "")
    seen: set[str] = set()
    for place, task_id in enumerate(request.candidates):
        if task_id in seen:
            raise invalid("is a candidate already", f"/candidates/{place}")
        seen.add(task_id)
    make = partial(_query, server, request, limit=len(request.candidates))

    def rank() -> Answer:
        ranked, query = server.engine.ranking(make, request.candidates)
        logged = _log(server, [(request, "ranking", ranked.listing, query)])
        return Answer(msgspec.json.encode(_ranking_out(ranked, query)), logged)

    return encoded(await server.rank_and_log(rank))


def _check_money(server: Runtime, request: Asked, prefix: str) -> None:
    for name in ("min_reward", "min_hourly"):
        if (money := getattr(request, name)) is not None:
            require_rate(server.rates, money, f"{prefix}/{name}/currency")


def _listed(request: FeedRequest, pointer: str) -> Sequence[int]:
    if request.cursor is None:
        return ()
    try:
        return decode_cursor(request.worker_id, request.cursor)
    except ValueError as error:
        raise invalid(str(error), pointer) from error


def _feed_query(server: Runtime, request: FeedRequest, listed: Sequence[int], now: int) -> Query:
    query = replace(_query(server, request, now, limit=request.limit), listed=listed)
    settings, seed = server.settings, _CHANCE.getrandbits(63)
    explore = request.explore
    if explore is None and request.record:
        # Of a list that is not logged nothing can be learned, so chance has no business in it.
        explore = _CHANCE.random() < settings.explore_share
        # Attention to the first positions is what is measured, and those are on the first page.
        if not explore and not listed and _CHANCE.random() < settings.swap_share:
            return replace(query, swap=seed)
    return replace(query, explore=seed) if explore else query


def _query(server: Runtime, request: Asked, now: int, *, limit: int) -> Query:
    return Query(
        worker_id=request.worker_id,
        now=now,
        limit=limit,
        wishes=Wishes(
            device=request.device,
            min_reward=_in_base(server, request.min_reward),
            min_hourly=_in_base(server, request.min_hourly),
            min_requester_rating=_number(request.min_requester_rating),
            categories=frozenset(request.categories or ()),
            excluded=frozenset(request.exclude_task_ids or ()),
        ),
        session_minutes=_number(request.session_minutes),
        locale=request.locale,
        explain=request.explain is not False,
        contributions=request.explain is True,
    )


def _in_base(server: Runtime, money: Money | None) -> float:
    return _number(None if money is None else server.rates.convert(money))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _log(server: Runtime, lists: Sequence[tuple[Asked, str, Listing, Query]]) -> Logged:
    """Have lists logged, also empty ones, but for those of requests that are not to be recorded.

    Each is given with its request, the name of the call, and its query.
    """
    events = []
    for request, surface, listing, query in lists:
        server.metrics.items.labels(listing.model_version).inc(len(listing.tasks))
        if request.record:
            events.append(served_event(listing, query, _context(request, surface), _policy(query)))
    return server.engine.submit(events, seen=False, gather=server.crowded) if events else None


def _offer(server: Runtime, requests: Sequence[FeedRequest], queries: Sequence[Query]) -> None:
    """Offer feeds to the shadow, but for those that are not to be recorded; once they are logged and encoded."""
    for request, query in zip(requests, queries, strict=True):
        if request.record:
            server.shadow.offer(query)


def _policy(query: Query) -> str:
    if query.explore is not None:
        return EXPLORED
    return RANKED if query.swap is None else SWAPPED


def _context(request: Asked, surface: str) -> FeedContext:
    return FeedContext(
        session_minutes=request.session_minutes,
        device=request.device,
        min_reward=request.min_reward,
        categories=tuple(request.categories) if request.categories else None,
        exclude_task_ids=tuple(request.exclude_task_ids) if request.exclude_task_ids else None,
        surface=surface,
    )


def _feed_out(ranked: Ranked, query: Query) -> dict[str, Any]:
    return {
        **_head(ranked.listing, query),
        "items": _items(ranked.items),
        "removed": ranked.removed,
        "near_misses": [
            {
                "attribute": miss.attribute,
                "comparator": miss.comparator,
                **({} if miss.value is None else {"value": miss.value}),
                "tasks": miss.tasks,
                "expected_hourly": miss.expected_hourly,
                "text": miss.text,
            }
            for miss in ranked.near_misses
        ],
        "cursor": _cursor(ranked, query.worker_id),
    }


def _cursor(ranked: Ranked, worker_id: str) -> str | None:
    more = ranked.more and len(ranked.listed) < MOST_LISTED
    return encode_cursor(worker_id, ranked.listed) if more else None


def _ranking_out(ranked: Ranked, query: Query) -> dict[str, Any]:
    assert isinstance(ranked.removed, list)  # noqa: S101  # of a ranking
    removed = [{"task_id": task_id, "reasons": reasons} for task_id, reasons in ranked.removed]
    return {**_head(ranked.listing, query), "items": _items(ranked.items), "removed": removed}


def _head(listing: Listing, query: Query) -> dict[str, Any]:
    return {
        "feed_id": listing.feed_id,
        "worker_id": query.worker_id,
        "model_version": listing.model_version,
        "log_seq": listing.log_seq,
    }


def _items(items: Sequence[Item]) -> list[dict[str, Any]]:
    return [
        {
            "task_id": item.task_id,
            "position": item.position,
            "score": item.score,
            "p_accept": item.p_accept,
            "p_approve": item.p_approve,
            "expected_minutes": item.expected_minutes,
            "minutes_low": item.minutes_low,
            "minutes_high": item.minutes_high,
            "expected_hourly": item.expected_hourly,
            "expected_hourly_low": item.expected_hourly_low,
            "expected_hourly_high": item.expected_hourly_high,
            "reasons": item.reasons,
            **({} if item.contributions is None else {"contributions": item.contributions}),
            "propensity": item.propensity,
        }
        for item in items
    ]
