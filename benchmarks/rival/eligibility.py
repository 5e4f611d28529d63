"""Which of the open tasks a worker may take: distinct clauses first, then trees of them, then signatures and tasks."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.rival.market import Market
from features.estimates import DAY
from features.layout import NEVER, WAS_HIDDEN
from features.requirements_layout import ALL_OF, EQ, EXISTS, GE, GT, IN, LE, LT, NOT_IN, VALUED


class _Level(NamedTuple):
    """Nodes of trees that lie equally deep below nodes of one kind.

    A place of an answer is that of a clause, behind these that of what always holds, behind it those of inner nodes.

    Attributes:
        combine: all, or any.
        below: int64; places of the nodes, by the node above.
        starts: int64; where those below each of the nodes above begin.
        above: int64; places of the nodes above.
    """

    combine: np.ufunc
    below: NDArray[np.int64]
    starts: NDArray[np.int64]
    above: NDArray[np.int64]


class Eligibility:
    """Judges open tasks by their signatures, and by what a worker did with them."""

    def __init__(self, market: Market) -> None:
        tasks, clauses = market["tasks"], market["clauses"]
        comparator = clauses["comparator"]
        self._attribute, self._number = clauses["attribute"].astype(np.intp), clauses["number"].copy()
        self._absent, self._exists = clauses["absent"] != 0, comparator == EXISTS
        self._bare = comparator >= EXISTS
        # What a number must be, beside the clause's, for the clause to hold.
        self._less = (comparator == LT) | (comparator == LE)
        self._equal = (comparator == LE) | (comparator == GE)
        self._more = (comparator == GT) | (comparator == GE)
        self._attributes = 1 + int(self._attribute.max(initial=-1))
        self._listed = np.flatnonzero((comparator >= EQ) & (comparator <= NOT_IN))
        self._among = np.isin(comparator[self._listed], (EQ, IN))
        self._read_operands(clauses[self._listed], market)
        self._read_facts(market)
        self._read_trees(market)
        facts = tasks["facts"]
        self._signature = facts["signature"].astype(np.intp)
        self._reward, self._expires = facts["reward"].copy(), facts["expires"].copy()
        self._free = (facts["slots"] < 0) | (tasks["occupied"] < facts["slots"])
        self._first_expiry = self._expires.min(initial=np.iinfo(np.int64).max)
        self._min_reward = market["workers"]["min_reward"].copy()
        self._bar(market, facts["per_worker_limit"])

    def _read_operands(self, clauses: NDArray[np.void], market: Market) -> None:
        """Number the pairs of attribute and operand that clauses name, and find those that each worker has."""
        many = clauses["stop"] - clauses["start"]
        owner = np.repeat(np.arange(len(clauses)), many)
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        operands = market["operands"][clauses["start"][owner] + within].astype(np.int64)
        self._operand_starts = np.cumsum(many) - many
        pairs, self._operand_pairs = np.unique(
            np.stack([clauses["attribute"][owner].astype(np.int64), operands], axis=1), axis=0, return_inverse=True
        )
        place = {pair: number for number, pair in enumerate(map(tuple, pairs.tolist()))}
        held = np.array([place.get(pair, len(pairs)) for pair in map(tuple, market["values"].tolist())], np.intp)
        self._pairs, self._held_pairs, self._held_starts = len(pairs), held, market["value_starts"]

    def _read_facts(self, market: Market) -> None:
        self._fact_starts = market["fact_starts"]
        # Of what no clause asks for nothing need be known.
        self._fact_attributes = np.minimum(market["fact_attributes"], self._attributes)
        self._fact_valued = market["fact_held"] == VALUED
        self._fact_numbers = market["fact_numbers"]
        self._age = min(int(market["age_attribute"]), self._attributes)
        self._first_seen, self._has_profile = market["workers"]["first_seen"].copy(), market["has_profile"]

    def _read_trees(self, market: Market) -> None:
        nodes, trees, signatures = market["nodes"], market["trees"], market["signatures"]
        nodes = nodes[: int(trees["stop"].max(initial=0))]
        parent, always = nodes["parent"].astype(np.int64), len(self._number)
        depth = np.zeros(len(nodes), np.int64)
        for node in range(len(nodes)):
            depth[node] = 0 if parent[node] < 0 else depth[parent[node]] + 1
        inner = nodes["clause"] < 0
        places = np.where(inner, always + np.cumsum(inner), nodes["clause"])
        self._answers = np.ones(always + 1 + np.count_nonzero(inner), np.bool_)
        self._answers[places[inner]] = nodes["holds"][inner] != 0
        self._levels, every = [], nodes["kind"][parent] == ALL_OF
        for level in range(int(depth.max(initial=0)), 0, -1):
            for combine, those in ((np.logical_and, every), (np.logical_or, ~every)):
                below = np.flatnonzero((depth == level) & those)
                below = below[np.argsort(parent[below], kind="stable")]
                above, starts = np.unique(parent[below], return_index=True)
                if len(below):
                    self._levels.append(_Level(combine, places[below], starts, places[above]))
        roots = np.full(len(trees), always)
        asking = trees["stop"] > trees["start"]
        roots[asking] = places[trees["start"][asking]]
        self._roots, self._set = roots[signatures["tree"]], signatures["sets"].astype(np.intp)
        sets = np.stack([market["sets"][name] for name in ("language", "country", "device")])
        self._sets = np.where(sets < 0, always, sets)

    def _bar(self, market: Market, limits: NDArray[np.int32]) -> None:
        """Find the tasks that workers may not take again, or hid."""
        dealings, tasks = market["dealings"], market["dealing_tasks"]
        taken = dealings["accepted"].astype(np.int64) - dealings["returned"]
        barred = (dealings["abandoned"] > 0) | (taken >= limits[tasks]) | (dealings["marks"] & WAS_HIDDEN != 0)
        self._barred = tasks[barred]
        self._barred_starts = np.concatenate([[0], np.cumsum(barred)])[market["dealing_starts"]]

    def tasks(self, worker: int, now: int) -> NDArray[np.intp]:
        """Return the places of the tasks that a worker may take (intp, rising); ``now`` in microseconds since 1970."""
        may = self._signatures(worker, now).take(self._signature)
        may &= self._free
        if self._first_expiry <= now:
            may &= self._expires > now
        may[self._barred[self._barred_starts[worker] : self._barred_starts[worker + 1]]] = False
        places = np.flatnonzero(may)
        minimum = self._min_reward[worker]
        return places[self._reward[places] >= minimum] if minimum > 0.0 else places

    def _signatures(self, worker: int, now: int) -> NDArray[np.bool_]:
        """Return which signatures admit a worker."""
        answers = self._answers.copy()
        answers[: len(self._number)] = self._clauses(worker, now)
        for combine, below, starts, above in self._levels:
            answers[above] = combine.reduceat(answers.take(below), starts)
        found = answers.take(self._roots)
        if self._has_profile[worker]:
            found &= answers.take(self._sets).all(axis=0).take(self._set)
        return found

    def _clauses(self, worker: int, now: int) -> NDArray[np.bool_]:
        """Return which of the distinct clauses hold for a worker."""
        facts = slice(self._fact_starts[worker], self._fact_starts[worker + 1])
        at, valued = self._fact_attributes[facts], self._fact_valued[facts]
        # The last place stands for what no clause asks for.
        number = np.full(self._attributes + 1, np.nan)
        known, told = np.zeros(self._attributes + 1, np.bool_), np.zeros(self._attributes + 1, np.bool_)
        number[at], told[at], known[at] = self._fact_numbers[facts], valued, True
        if self._first_seen[worker] != NEVER:
            number[self._age] = (now - self._first_seen[worker]) / DAY
        held = number.take(self._attribute)
        met = (held < self._number) & self._less
        met |= (held == self._number) & self._equal
        met |= (held > self._number) & self._more
        met |= self._exists
        if len(self._listed):
            pairs = np.zeros(self._pairs + 1, np.bool_)
            pairs[self._held_pairs[self._held_starts[worker] : self._held_starts[worker + 1]]] = True
            found = np.logical_or.reduceat(pairs.take(self._operand_pairs), self._operand_starts)
            met[self._listed] = found == self._among
        told = told.take(self._attribute) | known.take(self._attribute) & self._bare
        return np.asarray(np.where(told, met, self._absent))
