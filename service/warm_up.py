"""Compiling before the first request: kernels are compiled on first use, which takes minutes on a fresh machine."""

from collections.abc import Iterator
from typing import Any

import msgspec

from features.events import Event, decode_event, instant
from features.money import Rates
from features.state import MarketState
from matching.audience import Audiences
from matching.eligibility import Wishes
from matching.fallback import FallbackRanker
from matching.pipeline import Matcher
from matching.query import Query
from matching.scoring import Ranker

_NOW = 1_767_225_600_000_000  # any instant will do
_MANY = 600
_DEEDS = (
    *("task_viewed", "task_saved", "task_hidden", "assignment_accepted", "assignment_submitted"),
    *("assignment_approved", "assignment_rejected", "assignment_returned", "assignment_abandoned"),
)


def warm_up(rates: Rates, ranker: Ranker) -> None:
    """Fold and rank a market of a few tasks, so that nothing is left to compile or to load when a request comes.

    Args:
        rates: rates of exchange.
        ranker: what will rank, tried as well as the fallback.
    """
    state = MarketState(rates)
    state.apply([(seq, _NOW, event) for seq, event in enumerate(_events(rates.base), 1)])
    # So short that the cascade has something to leave out.
    matcher = Matcher(shortlist=1)
    # Near misses are told on first pages alone.
    queries = [
        Query("w", _NOW, limit=1, wishes=Wishes(min_reward=0.5)),
        Query("w", _NOW, limit=1, explore=1, listed=(1,)),
    ]
    for each in (FallbackRanker(), ranker):
        for query in queries:
            matcher.feed(state, each, query)
        matcher.ranking(state, each, queries[0], ["t2", "lacking"])
        audiences = Audiences()
        audiences.prepare(lambda part: part(state), each, _NOW)
        audiences.audience(state, each, state.catalogue.tasks.get("t0"), _NOW, 1)


def _events(currency: str) -> Iterator[Event]:
    facts = {"requester_id": "r", "title": "A few words", "slots": 9, "expires_at": _written(_NOW + 3_600_000_000)}
    blocked = {"blocked_requesters": ["nobody"], "blocked_keywords": ["nothing"]}
    yield _event("worker_updated", worker_id="w", skills=["words"], languages=["en"], **blocked)
    for number in range(6):
        yield _event("task_posted", task_id=f"t{number}", **facts)
    # What it lacks is a near miss.
    reward = {"amount": 1, "currency": currency}
    lacking = [{"attribute": "qualification:q", "comparator": "ge", "value": 1}]
    yield _event("task_posted", task_id="lacking", **facts, reward=reward, requirements=lacking)
    # So many words that tables grow.
    for number in range(_MANY):
        title = " ".join(f"word{place}" for place in range(9 * number, 9 * number + 9))
        yield _event("task_posted", task_id=f"m{number}", **{**facts, "title": title})
        yield _event("assignment_accepted", worker_id=f"w{number}", task_id=f"m{number}")
    yield _event("task_updated", task_id="t1", slots=3)
    yield _event("task_closed", task_id="t5")
    yield _event("feed_served", feed_id="f", worker_id="w", items=[{"task_id": "t1", "position": 1}])
    for deed in _DEEDS:
        yield _event(deed, worker_id="w", task_id="t0")
    for rated in ("requester_rated", "worker_rated"):
        yield _event(rated, worker_id="w", requester_id="r", rating=5)


def _event(kind: str, **fields: Any) -> Event:
    return decode_event(msgspec.json.encode({"event_id": "e", "type": kind, "at": _written(_NOW), **fields}))


def _written(moment: int) -> str:
    return instant(moment).isoformat()
