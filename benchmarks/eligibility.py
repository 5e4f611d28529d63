"""How long it takes to say of every open task whether a worker may take it: CPU time, by part, in process.

    python -m benchmarks.eligibility [--open-tasks 100000 1000000] [--signatures 3000] [--batches 20000] [--workers 200]

Tasks come in batches, and a batch bears one of a number of distinct sets of requirements: lists and trees over
qualifications, skills, places, languages and history. Workers hold some of what is asked and have taken a few hundred
tasks; half of them also block requesters, categories and patterns and want a least reward. A batch is read from an
event, the tasks in it are folded without one.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.report import Figure, write
from features.events import Entry, decode_event, instant
from features.money import Rates
from features.state import MarketState
from features.worker_facts import facts_of
from matching.eligibility import Wishes, judge_open

NOW = 1_772_323_200_000_000
LANGUAGES = ("en", "id", "ja", "es", "fr", "de", "pt", "vi")
COUNTRIES = ("ID", "MY", "SG", "PH", "IN", "US", "GB", "DE", "BR", "VN")
CATEGORIES = tuple(f"category {number}" for number in range(40))
WORDS = ("label", "survey", "audio", "short", "cars", "translate", "review", "photo", "menu", "receipt", "map", "text")
QUALIFICATIONS, SKILLS, REQUESTERS = 400, 60, 2_000

Json = dict[str, Any]


def entry(seq: int, kind: str, **fields: Any) -> Entry:
    body = {"event_id": f"e{seq}", "type": kind, "at": instant(NOW).isoformat(), **fields}
    return seq, NOW, decode_event(json.dumps(body).encode())


def clause(random: Random) -> Json:
    kind = random.choices(["qualification", "skill", "country", "language", "history"], [5, 2, 1, 1, 2])[0]
    if kind == "qualification":
        name = f"qualification:Q{min(int(random.expovariate(0.02)), QUALIFICATIONS - 1)}"
        if random.random() < 0.3:
            return {"attribute": name, "comparator": random.choice(["exists", "not_exists"])}
        return {
            "attribute": name,
            "comparator": random.choice(["ge", "lt", "eq"]),
            "value": random.randrange(0, 100, 10),
        }
    if kind == "skill":
        return {
            "attribute": f"skill:s{random.randrange(SKILLS)}",
            "comparator": "ge",
            "value": random.choice([0.3, 0.6]),
        }
    if kind == "country":
        return {"attribute": "country", "comparator": "in", "values": random.sample(COUNTRIES, 4)}
    if kind == "language":
        return {"attribute": "language", "comparator": "in", "values": random.sample(LANGUAGES, 2)}
    name, value = random.choice([("approval_rate", 95), ("approved_count", 100), ("age_days", 30)])
    return {"attribute": name, "comparator": "ge", "value": value, "absent": random.random() < 0.5}


def requirements(random: Random) -> Any:
    clauses = [clause(random) for _ in range(random.randint(1, 6))]
    if random.random() < 0.2:
        return {"and": [{"or": clauses}, clause(random)]}
    return clauses


def market(open_tasks: int, signatures: int, batches: int, workers: int) -> MarketState:
    """Return a market in which so many tasks are open, each in one of the batches and with one of the signatures."""
    random = Random(0)
    state = MarketState(Rates.shipped())
    for number in range(open_tasks):
        state.catalogue.tasks.add(f"t{number}")
    asked = [
        {
            "requirements": requirements(random),
            **({"languages": random.sample(LANGUAGES, 3)} if random.random() < 0.3 else {}),
        }
        for _ in range(signatures)
    ]
    postings = [
        entry(
            number + 1,
            "task_posted",
            task_id=f"t{number}",
            requester_id=f"r{number % REQUESTERS}",
            title=" ".join(random.sample(WORDS, 4)),
            category=random.choice(CATEGORIES),
            reward={"amount": round(random.lognormvariate(0, 1), 2), "currency": "USD"},
            **asked[number % signatures],
        )
        for number in range(batches)
    ]
    batch = state.encode(postings)
    # The rest differs by its numbers alone, so these are written down without an event for each.
    source = np.random.default_rng(0).integers(0, batches, open_tasks)
    facts, events = batch.facts[source], batch.events[source]
    facts["order"] = np.random.default_rng(0).integers(0, 2**32, open_tasks, np.uint32)
    events["task"], events["detail"] = np.arange(1, open_tasks + 1), np.arange(open_tasks)
    state.fold(batch._replace(events=events, facts=facts), 0, open_tasks)
    people = []
    for number in range(workers):
        controls = {
            "blocked_requesters": [f"r{random.randrange(REQUESTERS)}" for _ in range(20)],
            "blocked_categories": random.sample(CATEGORIES, 3),
            "blocked_keywords": [random.choice(WORDS), "short * survey"],
            "min_reward": {"amount": 0.2, "currency": "USD"},
        }
        qualifications = {f"Q{min(int(random.expovariate(0.02)), QUALIFICATIONS - 1)}" for _ in range(40)}
        profile = {
            "country": random.choice(COUNTRIES),
            "languages": random.sample(LANGUAGES, 2),
            "qualifications": {name: random.choice([None, random.randrange(101)]) for name in sorted(qualifications)},
            "skills": {f"s{random.randrange(SKILLS)}": random.random() for _ in range(20)},
            **(controls if number % 2 else {}),
        }
        people.append(entry(len(people) + 1, "worker_updated", worker_id=f"w{number}", **profile))
        for _ in range(300):
            task = f"t{random.randrange(open_tasks)}"
            kind = random.choice(["assignment_accepted", "task_hidden"])
            people.append(entry(len(people) + 1, kind, worker_id=f"w{number}", task_id=task))
    state.apply(people)
    return state


def measured(workers: int, step: Callable[[int], object]) -> list[float]:
    """Return the CPU milliseconds of a step for each worker; the first ones warm it up."""
    for worker in range(1, 5):
        step(worker)
    spent = []
    for worker in range(1, workers + 1):
        begun = time.process_time()
        step(worker)
        spent.append(1e3 * (time.process_time() - begun))
    return spent


def steps(state: MarketState) -> dict[str, Callable[[int], object]]:
    """Return what is measured, each for the index of a worker."""
    compiled = state.catalogue.compiled
    wishes = Wishes(min_requester_rating=3.0, categories=frozenset(CATEGORIES[:20]))

    def whole(worker: int, wishes: Wishes | None = None) -> object:
        judgement = judge_open(state, worker, NOW, wishes)
        return judgement.kept, judgement.counts()

    return {
        "the worker's facts": lambda worker: facts_of(
            compiled, state.catalogue.profiles[worker], state.arrays.workers[worker], NOW
        ),
        "every task judged": lambda worker: judge_open(state, worker, NOW),
        "and those that are left": lambda worker: judge_open(state, worker, NOW).kept,
        "and counts by code, as in a feed": whole,
        "the same with wishes": lambda worker: whole(worker, wishes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open-tasks", type=int, nargs="+", default=[100_000, 1_000_000], metavar="N")
    parser.add_argument("--signatures", type=int, default=3_000)
    parser.add_argument("--batches", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    console, figures = Console(width=110), []
    for size in given.open_tasks:
        state = market(size, given.signatures, given.batches, given.workers)
        compiled = state.catalogue.compiled
        left = [len(judge_open(state, worker, NOW).kept) for worker in range(1, 1 + min(20, given.workers))]
        console.print(
            f"{size:,} open tasks in {given.batches:,} batches, {len(compiled):,} signatures of "
            f"{len(compiled.clauses):,} distinct clauses; a worker may take {statistics.median(left):,.0f}"
        )
        table = Table("CPU ms a worker", "median", "95th percentile", box=None)
        for name, step in steps(state).items():
            spent = measured(given.workers, step)
            figures.append(Figure(f"{size:,} open tasks: {name}", "ms", spent))
            table.add_row(name, f"{statistics.median(spent):.3f}", f"{np.percentile(spent, 95):.3f}")
        console.print(table)
    write("Eligibility, CPU of each worker", figures, given.json)


if __name__ == "__main__":
    main()
