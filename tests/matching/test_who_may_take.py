"""Any market: a feed is all that the worker may accept, in full pages, and nothing else, however its state was made."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.estimates import DAY
from features.events import decode_event, instant
from features.state import MarketState
from matching.eligibility import Wishes, judge, judge_open
from matching.fallback import FallbackRanker
from matching.judgement import Judgement
from matching.pipeline import Item, Matcher
from matching.query import Query
from tests.log import RATES, START, Entry, folded
from tests.requirements import NOBODY, PROFILES, Json, clauses, failed

FALLBACK = FallbackRanker()
WORKERS, TASKS = ("w", "v"), ("t0", "t1", "t2", "t3", "t4")

FEW = st.lists(clauses(), max_size=2) | st.lists(clauses(), min_size=2, max_size=2).map(lambda two: {"or": two})
POSTED = st.fixed_dictionaries(
    {"type": st.just("task_posted"), "task_id": st.sampled_from(TASKS), "requester_id": st.just("r")},
    optional={
        "requirements": FEW,
        "slots": st.integers(0, 1),
        "countries": st.just(["ID"]),
        "reward": st.sampled_from([{"amount": amount, "currency": "USD"} for amount in (1, 3, 9)]),
        "estimated_minutes": st.sampled_from([10, 60]),
        "expires_at": st.just(instant(START + DAY).isoformat()),
    },
)
UPDATED = st.fixed_dictionaries(
    {"type": st.just("task_updated"), "task_id": st.sampled_from(TASKS)},
    optional={"requirements": st.none() | FEW, "slots": st.none() | st.integers(0, 1)},
)
CLOSED = st.fixed_dictionaries({"type": st.just("task_closed"), "task_id": st.sampled_from(TASKS)})
TOLD = st.builds(
    lambda worker, profile: {"type": "worker_updated", "worker_id": worker, **(profile or {})},
    st.sampled_from(WORKERS),
    PROFILES,
)
ERASED = st.just({"type": "worker_erased", "worker_id": "w"})


def deeds(*kinds: str) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {"type": st.sampled_from(kinds), "worker_id": st.sampled_from(WORKERS), "task_id": st.sampled_from(TASKS)}
    )


LASTING = deeds("assignment_accepted", "assignment_approved", "assignment_rejected", "task_hidden")
PASSING = deeds("assignment_returned", "assignment_abandoned", "task_viewed")
AGES = st.sampled_from([0.0, 0.5, 2.0, 60.0])


def log_of(bodies: list[Json], apart: float = 0.0) -> list[Entry]:
    """A log of events some days apart."""
    entries = []
    for seq, body in enumerate(bodies, 1):
        at = START + round((seq - 1) * apart * DAY)
        event = decode_event(json.dumps({"event_id": f"e{seq}", "at": instant(at).isoformat(), **body}).encode())
        entries.append((seq, at, event))
    return entries


def by_name(state: MarketState, judgement: Judgement) -> dict[str, list[str]]:
    names = map(state.catalogue.tasks.external, judgement.tasks.tolist())
    return {name: judgement.codes(place) for place, name in enumerate(names)}


@given(
    bodies=st.lists(
        st.one_of(POSTED, POSTED, UPDATED, CLOSED, TOLD, LASTING, PASSING, ERASED), min_size=2, max_size=10
    ),
    age=AGES,
    worker=st.sampled_from([*WORKERS, "nobody"]),
)
@settings(deadline=None, max_examples=2_000)
def test_given_changes_one_by_one_then_everybody_may_take_what_a_rebuilt_state_allows(
    bodies: list[Json], age: float, worker: str
) -> None:
    log = log_of(bodies, apart=0.3)
    now = log[-1][1] + 1 + round(age * DAY)
    kept = MarketState(RATES)
    for entry in log:
        kept.apply([entry])
        # Asking between two changes must leave nothing behind.
        judge_open(kept, kept.catalogue.workers.get(worker), entry[1] + 1)
    rebuilt = folded(log)
    index = rebuilt.catalogue.workers.get(worker)
    found = judge_open(kept, kept.catalogue.workers.get(worker), now)
    assert by_name(kept, found) == by_name(rebuilt, judge_open(rebuilt, index, now))
    # Task by task, from the full records.
    named = by_name(
        rebuilt, judge(rebuilt, index, np.array([rebuilt.catalogue.tasks.get(name) for name in TASKS]), now)
    )
    named.pop("", None)
    gone = {"unknown_task", "closed", "expired"}
    assert by_name(kept, found) == {name: codes for name, codes in named.items() if not gone & set(codes)}
    told = [code for codes in by_name(kept, found).values() for code in codes]
    assert found.counts() == {code: told.count(code) for code in told}
    free = [name for name, codes in by_name(kept, found).items() if not codes]
    assert kept.catalogue.tasks.externals(found.kept.tolist()) == free
    assert kept.arrays.open_tasks[found.kept_at].tolist() == found.kept.tolist()


def pages(matcher: Matcher, state: MarketState, query: Query) -> list[list[Item]]:
    found = []
    while True:
        feed = matcher.feed(state, FALLBACK, query)
        found.append(list(feed.items))
        if not feed.more:
            return found
        assert len(found) <= len(TASKS)
        query = replace(query, listed=feed.listed)


def expected(bodies: list[Json], age: float, device: str | None) -> set[str]:
    """The tasks that worker ``w`` may accept, from the events alone."""
    tasks: dict[str, Json] = {}
    taken: list[tuple[str, str]] = []
    worker: Json = {**NOBODY, "device": device}
    for body in bodies:
        kind, name = body["type"], body.get("task_id", "")
        if body.get("worker_id") == "w":
            worker["age"] = age
        if kind == "task_posted":
            tasks[name] = {**body, "since": len(taken)}
        elif kind == "worker_updated" and body["worker_id"] == "w":
            worker["profile"] = {key: value for key, value in body.items() if key not in ("type", "worker_id")}
        elif kind.startswith("assignment"):
            taken.append((body["worker_id"], name))
            if body["worker_id"] == "w" and kind != "assignment_accepted":
                worker[kind.removeprefix("assignment_")] += 1
    done = {body["task_id"] for body in bodies if body["type"] in DEEDS and body["worker_id"] == "w"}
    country = (worker["profile"] or {}).get("country")
    return {
        name
        for name, task in tasks.items()
        if name not in done
        and not (age >= 1 and "expires_at" in task)
        and ("slots" not in task or sum(of == name for _, of in taken) < task["slots"])
        and not ("countries" in task and worker["profile"] is not None and country != "ID")
        and not failed(worker, task.get("requirements", []), "accept")
    }


DEEDS = ("assignment_accepted", "assignment_approved", "assignment_rejected", "task_hidden")


@st.composite
def markets(draw: st.DrawFn) -> list[Json]:
    """Each task once, then profiles and deeds; nobody does anything twice with a task."""
    posted = draw(st.lists(POSTED, min_size=1, max_size=5, unique_by=lambda body: str(body["task_id"])))
    rest = draw(st.lists(st.one_of(TOLD, TOLD, LASTING), max_size=4))
    seen: set[tuple[Any, ...]] = set()
    kept = []
    for body in rest:
        key = (body["worker_id"], body.get("task_id", len(kept)))
        if key not in seen:
            seen.add(key)
            kept.append(body)
    return [*posted, *kept]


@given(
    bodies=markets(),
    age=AGES,
    device=st.none() | st.just("phone"),
    limit=st.integers(1, 3),
    least=st.sampled_from([0.5, 2.0, 6.0, 30.0]),
)
@settings(deadline=None, max_examples=2_000)
def test_given_any_market_then_pages_are_full_of_what_the_worker_can_accept_and_nothing_else(
    bodies: list[Json], age: float, device: str | None, limit: int, least: float
) -> None:
    state = folded(log_of(bodies))
    query = Query("w", START + round(age * DAY), limit, Wishes(device=device), explain=False)
    fit = expected(bodies, age, device)
    assert complete(pages(Matcher(shortlist=2), state, query), limit) == fit
    # With a shortlist far shorter than what is left out, no page is short while tasks that pay enough remain.
    scored, _ = Matcher().ranking(state, FALLBACK, query, TASKS)
    reward = {body["task_id"]: body["reward"]["amount"] for body in bodies if "reward" in body}
    enough = {
        item.task_id
        for item in scored
        if item.task_id in reward
        and item.p_approve is not None
        and item.expected_minutes
        and reward[item.task_id] * item.p_approve * 60 / item.expected_minutes >= least
    }
    paying = replace(query, wishes=Wishes(device=device, min_hourly=least))
    assert complete(pages(Matcher(shortlist=1), state, paying), limit) == enough


def complete(found: list[list[Item]], limit: int) -> set[str]:
    """The tasks on pages, each once, every page but the last full, and no page empty but where there is nothing."""
    listed = [item.task_id for page in found for item in page]
    assert len(listed) == len(set(listed))
    assert all(len(page) == limit for page in found[:-1])
    assert found == [[]] or all(found)
    return set(listed)
