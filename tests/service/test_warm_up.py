"""Warming up: the first request must not wait for a compiler."""

import subprocess
import sys

FIRST_REQUESTS = """
import sys

from numba.core.dispatcher import Dispatcher

from features.state import MarketState
from matching.audience import Audiences
from matching.eligibility import Wishes
from matching.fallback import FallbackRanker
from matching.pipeline import Matcher
from matching.query import Query
from service.warm_up import _NOW, _event, warm_up
from tests.log import RATES, usd


def compiled():
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] in ("features", "matching")]
    kernels = {kernel for module in modules for kernel in vars(module).values() if isinstance(kernel, Dispatcher)}
    return {(f"{kernel.py_func.__module__}.{kernel.py_func.__qualname__}", len(kernel.overloads)) for kernel in kernels}


def posted(number):
    facts = {
        "task_id": f"t{number}",
        "requester_id": f"r{number % 5}",
        "category": f"c{number % 3}",
        "title": f"Words of kind {number % 7}",
        "skills": [f"s{number % 4}"],
        "slots": number % 6 or None,
        "languages": ["en", "id"][: number % 3] or None,
        "countries": ["ID", "US"][: number % 3] or None,
        "estimated_minutes": number % 4 or None,
        "reward": usd(number) if number % 4 else None,
    }
    skilled = {"attribute": f"qualification:q{number % 2}", "comparator": "ge", "value": number % 50}
    return _event("task_posted", **facts, **({"requirements": [skilled]} if number % 2 else {}))


def events():
    for number in range(30):
        fit = {"languages": ["id"], "country": "ID", "qualifications": {"q0": 5, "q1": None}, "skills": {"s1": 0.5}}
        asks = {"blocked_keywords": ["seven"], "min_reward": usd(1), "session_minutes": 30} if number % 3 else {}
        yield _event("worker_updated", worker_id=f"w{number}", **fit, **asks)
    for number in range(200):
        yield posted(number)
        worker = f"w{number % 30}"
        items = [{"task_id": f"t{place}", "position": 1 + place} for place in range(min(number, 10))]
        yield _event("feed_served", feed_id=f"f{number}", worker_id=worker, items=items)
        for kind in ("task_viewed", "assignment_accepted", "assignment_submitted", "assignment_approved"):
            yield _event(kind, worker_id=worker, task_id=f"t{number // 2}")


def asked(worker):
    wishes = Wishes(device="phone", min_reward=2.0, min_hourly=1.0, categories=frozenset(["c1"]))
    yield Query(worker, _NOW)
    yield Query(worker, _NOW, limit=5, session_minutes=20.0, contributions=True, locale="id")
    yield Query(worker, _NOW, limit=5, wishes=wishes)
    yield Query(worker, _NOW, limit=5, wishes=Wishes(excluded=frozenset(["t1", "t2"])))
    yield Query(worker, _NOW, limit=5, explore=1)
    yield Query(worker, _NOW, limit=5, swap=1)
    yield Query(worker, _NOW, limit=5, listed=(1,), explain=False)


ranker = FallbackRanker()
warm_up(RATES, ranker)
warm = compiled()
state = MarketState(RATES)
matchers = Matcher(), Matcher(shortlist=3)
later = [_event("task_updated", task_id="t1", slots=4)], [_event("worker_erased", worker_id="w2")]
for batch in (list(events()), *later):
    state.apply([(state.seq + place, _NOW, event) for place, event in enumerate(batch, 1)])
    for matcher in matchers:
        for query in (query for worker in ("somebody", "w0", "w1") for query in asked(worker)):
            matcher.feed(state, ranker, query)
        matcher.ranking(state, ranker, Query("w1", _NOW), [f"t{number}" for number in range(20)])
    audiences = Audiences()
    audiences.prepare(lambda part: part(state), ranker, _NOW)
    for size in (3, 50):
        audiences.audience(state, ranker, state.catalogue.tasks.get("t3"), _NOW, size)
print(sorted(compiled() - warm))
"""


def test_given_a_warm_server_then_the_first_feeds_compile_nothing() -> None:
    ran = subprocess.run([sys.executable, "-c", FIRST_REQUESTS], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
