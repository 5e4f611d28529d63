"""What the rival is given at its start: the market's state and the model as plain arrays, as a file of NumPy's.

It takes over what Cocok has counted and compiled, and Cocok's word on what each task is worth to anybody (its priors).
To keep any of it up to date would be work that the rival is spared.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from features.requirements_layout import Program
from features.state import MarketState
from features.tastes import listed
from features.worker_facts import facts_of
from matching.bundle import Bundle
from matching.priors import Priors
from matching.scoring import BundleRanker

Market = dict[str, NDArray[np.generic]]
"""Arrays by name."""


def exported(state: MarketState, bundle: Bundle, now: int) -> Market:
    """Return what the rival reads.

    Args:
        state: the market.
        bundle: the model, of all columns; its trees are handed over by themselves.
        now: microseconds since 1970; the instant at which requests will come.

    Raises:
        ValueError: somebody blocks requesters, categories or keywords, which the rival does not know how to heed.
    """
    for profile in state.catalogue.profiles.values():
        if profile.blocked_requesters or profile.blocked_categories or profile.blocked_keywords:
            raise ValueError(f"the rival cannot serve {profile.worker_id!r}, who blocks tasks")
    arrays, sizes = state.arrays, state.used()
    open_tasks = arrays.open_tasks[: int(arrays.market["n_open"][0])]
    # Tasks that the same workers may take lie together, and so does what is read for one of them.
    open_at = np.argsort(arrays.tasks["facts"]["signature"][open_tasks], kind="stable")
    place = np.empty(len(open_at), np.int64)
    place[open_at] = np.arange(len(open_at))
    places = open_tasks[open_at]
    known = Priors().of(state, BundleRanker(bundle, "1"), now)
    base, newcomers = bundle.ranker.base, bundle.ranker.newcomers
    return {
        "now": np.array(now),
        "market": arrays.market,
        "tasks": arrays.tasks[places],
        "task_ids": np.array(state.catalogue.tasks.externals(places.tolist())),
        "requesters": arrays.requesters[: sizes["requesters"]],
        "tokens": arrays.tokens,
        "workers": arrays.workers[: sizes["workers"]],
        "worker_ids": np.array(state.catalogue.workers.ids()),
        "reference": place[arrays.tasks["open_at"][arrays.reference[: sizes["reference"]]]],
        "priors": np.stack([known.newcomer[open_at], known.regular[open_at]]),
        "first_stage": np.stack([bundle.first_stage.weights, bundle.first_stage.fill]),
        "linear": base.packed(),
        "linear_newcomers": newcomers.linear.packed() if newcomers else base.packed(),
        **_tastes(state),
        **_dealings(state, place),
        **_requirements(state, now),
    }


def _starts(owners: NDArray[np.integer], size: int) -> NDArray[np.int64]:
    """Return where each of so many owners begins in rows that are in order of theirs, and the end of the last."""
    return np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=size))])


def _tastes(state: MarketState) -> Market:
    workers, tokens, places = listed(state.arrays.histories, state.arrays.taste_tokens)
    starts = _starts(workers, state.used()["workers"])
    return {"taste_starts": starts, "taste_tokens": tokens, "tastes": state.arrays.tastes[places]}


def _dealings(state: MarketState, place: NDArray[np.int64]) -> Market:
    """Return what workers had to do with tasks that are open, given the place of each in the open-task index."""
    arrays = state.arrays
    used = np.flatnonzero(arrays.dealing_keys)
    workers, tasks = np.divmod(arrays.dealing_keys[used], np.uint64(1 << 32))
    places = np.append(place, -1)[arrays.tasks["open_at"][tasks.astype(np.int64)]]
    order = np.lexsort((places, workers))
    order = order[places[order] >= 0]
    return {
        "dealing_starts": _starts(workers[order].astype(np.int64), state.used()["workers"]),
        "dealing_tasks": places[order],
        "dealings": arrays.dealings[used[order]],
    }


def _requirements(state: MarketState, now: int) -> Market:
    """Return what was compiled of requirements, and what each worker's facts are."""
    compiled, workers, records = state.catalogue.compiled, state.used()["workers"], state.arrays.workers
    program = compiled.program
    facts = [facts_of(compiled, state.catalogue.profiles.get(place), records[place], now) for place in range(workers)]
    held = [np.flatnonzero(each.held) for each in facts]
    # Of an attribute with several values, such as languages, each is a row.
    values = [list(_values(each.start, each.stop, each.values)) for each in facts]
    return {
        "age_attribute": np.array(compiled.attributes.get("age_days")),
        **{name: getattr(program, name) for name in Program._fields},
        "signatures": program.signatures[: len(compiled)],
        "trees": program.trees[: compiled.trees],
        "sets": program.sets[: compiled.sets],
        "clauses": program.clauses[: len(compiled.clauses)],
        "fact_starts": np.cumsum([0, *map(len, held)]),
        "fact_attributes": np.concatenate(held),
        "fact_held": np.concatenate([each.held[at] for each, at in zip(facts, held, strict=True)]),
        "fact_numbers": np.concatenate([each.number[at] for each, at in zip(facts, held, strict=True)]),
        "value_starts": np.cumsum([0, *map(len, values)]),
        "values": np.array([pair for each in values for pair in each], np.int64).reshape(-1, 2),
        "has_profile": np.array([state.catalogue.profiles.get(place) is not None for place in range(workers)]),
    }


def _values(
    start: NDArray[np.int32], stop: NDArray[np.int32], operands: NDArray[np.int32]
) -> Iterator[tuple[int, int]]:
    """Yield attribute and operand of the values of a worker."""
    for attribute in np.flatnonzero(stop > start).tolist():
        for operand in operands[start[attribute] : stop[attribute]].tolist():
            yield attribute, operand
