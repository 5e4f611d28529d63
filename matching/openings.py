"""Which single changes of a worker would make the most ineligible tasks eligible.

A change is judged by making it: the worker is taken as if the fact were so, and what stands in the way is judged again
by it, so that a task counts exactly if the change alone would open it. Tasks are counted by their signatures, and these
are judged by their requirements, which many have in common; a task is looked at by itself only for what is its own.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel, lean
from features.layout import Record
from features.requirements_evaluation import answer, climb
from features.requirements_layout import (
    APPROVAL_RATE,
    APPROVED_COUNT,
    DEVICE,
    LANGUAGE,
    LEVELS,
    VALUED,
    Facts,
    Options,
    Program,
    Sheet,
)
from matching.judgement import BIT, Judgement, Offers
from matching.waiting import CHANGEABLE, Waiting, waiting

CONSIDERED = 8
"""Changes that are tried: those that most tasks wait for. Each has a bit of a byte."""

MOST_APPROVALS = 10_000
"""Approvals that anyone could be asked for."""

_LANGUAGE, _COUNTRY, _DEVICE = (int(BIT[name]) for name in ("language", "country", "device"))
_SETS = _LANGUAGE | _COUNTRY | _DEVICE
_ACCEPT = LEVELS.index("accept")


class Standing(NamedTuple):
    """What changes need to know of a worker beside the facts.

    Attributes:
        approved: assignments.
        rejected: assignments.
        in_hand: whether the device in hand counts, in place of the profile's: another one takes its place.
        approved_count: the place of this attribute.
        approval_rate: the place of this attribute.
    """

    approved: float
    rejected: float
    in_hand: bool
    approved_count: int
    approval_rate: int


class Openings(NamedTuple):
    """What the changes open that most tasks wait for, at most ``CONSIDERED`` of them.

    Attributes:
        changes: int32, places in `features.changes.Changes.distinct`; those most waited for first.
        approvals: int64, how many more each needs; 0 for another kind of change.
        counts: int64, tasks that each opens.
        offers: int32, the offers that any of them opens.
        by: uint8, these offers; bit ``i`` tells that change ``i`` opens those of its tasks that have a slot left and no
            reason of their own.
    """

    changes: NDArray[np.int32]
    approvals: NDArray[np.int64]
    counts: NDArray[np.int64]
    offers: NDArray[np.int32]
    by: NDArray[np.uint8]


def openings(judgement: Judgement, record: Record, *, in_hand: bool) -> Openings:
    """Return what single changes would open.

    Args:
        judgement: of all open tasks for the worker.
        record: the worker's, of ``Arrays.workers``.
        in_hand: whether the worker was judged by the device in hand, in place of the profile's.
    """
    compiled = judgement.compiled
    place = compiled.attributes.get
    standing = Standing(
        float(record["approved"]), float(record["rejected"]), in_hand, place("approved_count"), place("approval_rate")
    )
    return Openings(
        *_openings(
            compiled.program,
            compiled.options,
            waiting(judgement, in_hand=in_hand),
            judgement.sheet,
            judgement.facts,
            judgement.offers,
            judgement.asked,
            standing,
        )
    )


@kernel
def _openings(
    program: Program,
    options: Options,
    waits: Waiting,
    sheet: Sheet,
    facts: Facts,
    offers: Offers,
    asked: int,
    standing: Standing,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]:
    ways, tasks, count = waits.ways, waits.tasks, waits.tasks.size
    hopes = np.zeros(sheet.clauses.size, np.int64)
    for i in range(len(ways)):
        hopes[ways[i, 1]] += tasks[ways[i, 0]]
    chosen, approvals = np.empty(CONSIDERED, np.int32), np.zeros(CONSIDERED, np.int64)
    wanted, hoped_for = np.zeros(options.changes.size, np.int64), np.empty(options.changes.size, np.int32)
    considered = _most_hoped_for(options, hopes, standing, wanted, hoped_for, chosen, approvals)
    changed = Facts(
        facts.held.copy(),
        facts.number.copy(),
        facts.start.copy(),
        facts.stop.copy(),
        np.empty(2 * facts.values.size + 2, np.int32),
    )
    changed.values[: facts.values.size] = facts.values
    again = Sheet(sheet.clauses.copy(), sheet.nodes.copy(), sheet.trees, sheet.lone)
    # The last one stands for what no single change helps.
    opened, asked_for = np.zeros(count + 1, np.uint8), np.full(sheet.clauses.size, -1, np.int8)
    asked_anew = np.empty(sheet.clauses.size, np.int32)
    wanting = _wanting(program, options, ways, chosen[:considered], approvals, standing, facts.held.size)
    for k in range(considered):
        first, second = _make(options, chosen[k], approvals[k], standing, facts, changed)
        sets = asked
        if approvals[k] == 0:
            # What a profile tells makes one where there is none, and then a task's sets are held against it.
            sets |= _DEVICE if options.changes[chosen[k]].kind == DEVICE else _SETS
        _try(program, sheet, changed, waits, wanting, sets, first, second, k, again, asked_for, asked_anew, opened)
        for attribute in (first, second):
            changed.held[attribute], changed.number[attribute] = facts.held[attribute], facts.number[attribute]
            changed.start[attribute], changed.stop[attribute] = facts.start[attribute], facts.stop[attribute]
    counts = np.zeros(considered, np.int64)
    for case in range(count):
        if opened[case]:
            for k in range(considered):
                counts[k] += tasks[case] * (opened[case] >> k & 1)
    of_signatures = np.empty(waits.of_signatures.size, np.uint8)
    for signature in range(of_signatures.size):
        of_signatures[signature] = opened[waits.of_signatures[signature]]
    found, size = np.empty(offers.signatures.size, np.int32), np.int32(0)
    for k in range(found.size):
        # Without a branch, since it cannot be foreseen which a change opens.
        found[np.uint32(size)] = k
        size = np.int32(size + np.int32(of_signatures[np.uint32(offers.signatures[k])] != 0))
    by, count = np.empty(size, np.uint8), 0
    for k in found[:size]:
        found[count], by[count] = k, of_signatures[offers.signatures[k]]
        # What else stands against an offer, such as its requester, no change does away with.
        count += offers.bits[2 * k] & ~CHANGEABLE == 0 and offers.tasks[2 * k] > 0
    return chosen[:considered], approvals[:considered], counts, found[:count], by[:count]


@kernel
def _most_hoped_for(
    options: Options,
    hopes: NDArray[np.int64],
    standing: Standing,
    wanted: NDArray[np.int64],
    hoped_for: NDArray[np.int32],
    chosen: NDArray[np.int32],
    approvals: NDArray[np.int64],
) -> int:
    """Choose the changes that most tasks wait for, of equal ones the one that comes first by clause; return how many.

    Args:
        options: what fulfils clauses.
        hopes: by clause, tasks that wait for it.
        standing: of the worker.
        wanted: by change, zeros; working memory.
        hoped_for: working memory for places of changes.
        chosen: places of changes, written.
        approvals: that each needs, written.
    """
    size = 0
    for clause in range(hopes.size):
        if hopes[clause] > 0:
            for k in range(options.starts[clause], options.starts[clause + 1]):
                change = options.of_clauses[k]
                if wanted[change] == 0:
                    hoped_for[size] = change
                    size += 1
                wanted[change] += hopes[clause]
    count = 0
    while count < chosen.size:
        best, most = -1, 0
        for k in range(size):
            if wanted[hoped_for[k]] > most:
                best, most = hoped_for[k], wanted[hoped_for[k]]
        if best < 0:
            break
        wanted[best] = 0
        change = options.changes[best]
        needed = change.kind == APPROVED_COUNT or change.kind == APPROVAL_RATE
        approvals[count] = approvals_for(change, standing) if needed else 0
        if not needed or approvals[count] > 0:
            chosen[count] = best
            count += 1
    return count


@kernel
def _wanting(
    program: Program,
    options: Options,
    ways: NDArray[np.int32],
    chosen: NDArray[np.int32],
    approvals: NDArray[np.int64],
    standing: Standing,
    attributes: int,
) -> NDArray[np.int32]:
    """Return the ways (int32) that are about an attribute of one of the chosen changes."""
    wanted = np.zeros(attributes, np.bool_)
    for k in range(chosen.size):
        if approvals[k] > 0:
            wanted[standing.approved_count], wanted[standing.approval_rate] = True, True
        else:
            wanted[options.changes[chosen[k]].attribute] = True
    found, size = np.empty(len(ways), np.int32), np.int32(0)
    for i in range(len(ways)):
        # Without a branch, since it cannot be foreseen.
        found[np.uint32(size)] = i
        size = np.int32(size + np.int32(wanted[np.uint32(program.clauses[ways[i, 1]].attribute)]))
    return found[:size]


@lean
def approvals_for(change: Record, standing: Standing) -> int:
    """Return how many approvals in a row bring a change about, 0 if no number that anyone could reach does."""
    approved, rejected, wanted = standing.approved, standing.rejected, change.asked
    rate = change.kind == APPROVAL_RATE
    if not rate:
        more = wanted - approved
    elif wanted >= 100.0:
        more = math.inf if rejected > 0.0 or wanted > 100.0 or change.above else 1.0
    else:
        # 100 (a + k) / (a + k + r) = w, solved for k.
        more = wanted * rejected / (100.0 - wanted) - approved
    if not more < MOST_APPROVALS:
        return 0
    whole = int(max(1.0, math.floor(more) + 1.0 if change.above else math.ceil(more - 1e-9)))
    while True:
        reached = 100.0 * (approved + whole) / (approved + whole + rejected) if rate else approved + whole
        if reached > wanted or (reached == wanted and not change.above):
            return whole
        whole += 1


@kernel
def _make(
    options: Options, place: int, approvals: int, standing: Standing, facts: Facts, changed: Facts
) -> tuple[int, int]:
    """Write down what facts would be after a change; return the attributes that it is about, one alone twice.

    Args:
        options: what the change at a place is taken from.
        place: of the change.
        approvals: that it needs.
        standing: of the worker.
        facts: before the change.
        changed: the same, with room for further values behind them; written.
    """
    change, end = options.changes[place], facts.values.size
    if approvals > 0:
        approved = standing.approved + approvals
        rate = 100.0 * approved / (approved + standing.rejected)
        for attribute, number in ((standing.approved_count, approved), (standing.approval_rate, rate)):
            changed.held[attribute], changed.number[attribute], changed.start[attribute] = VALUED, number, end
            for operand in range(options.numbers.size):
                if options.numbers[operand] == number:
                    changed.values[end] = operand
                    end += 1
            changed.stop[attribute] = end
        return standing.approved_count, standing.approval_rate
    attribute = change.attribute
    changed.held[attribute], changed.number[attribute], changed.start[attribute] = change.held, change.number, end
    if change.kind == LANGUAGE or (change.kind == DEVICE and not standing.in_hand):
        for k in range(facts.start[attribute], facts.stop[attribute]):
            changed.values[end] = facts.values[k]
            end += 1
    if change.operand >= 0:
        changed.values[end] = change.operand
        end += 1
    changed.stop[attribute] = end
    return attribute, attribute


@kernel
def _try(
    program: Program,
    sheet: Sheet,
    changed: Facts,
    waits: Waiting,
    wanting: NDArray[np.int32],
    asked: int,
    first: int,
    second: int,
    number: int,
    again: Sheet,
    asked_for: NDArray[np.int8],
    asked_anew: NDArray[np.int32],
    opened: NDArray[np.uint8],
) -> None:
    """Find the cases that a change lets in.

    Args:
        program: what was compiled.
        sheet: the answers before.
        changed: facts as after the change.
        waits: what waits.
        wanting: its ways that one of the changes is about.
        asked: sets that are looked at, bits of ``CODES``.
        first: an attribute that the change is about.
        second: the other one, or the same.
        number: of the change.
        again: the answers before; working memory.
        asked_for: by clause, the last change that it was asked for; working memory.
        asked_anew: working memory for as many clauses as there are.
        opened: by case, changes that let in; written.
    """
    clauses, nodes, answers = program.clauses, program.nodes, again.clauses
    ways, n = waits.ways, 0
    for i in wanting:
        case, place = ways[i, 0], ways[i, 1]
        if clauses[place].attribute != first and clauses[place].attribute != second:
            continue
        n = _ask(program, changed, place, number, answers, asked_for, asked_anew, n)
        if answers[place] == 0:
            continue
        if ways[i, 2] and first == second:
            opened[case] |= np.uint8(1 << number)
            continue
        opens, tree = True, case
        if case >= waits.trees:
            signature = program.signatures[waits.single[case - waits.trees]]
            sets, tree = program.sets[signature.sets], signature.tree
            for bit, place in ((_LANGUAGE, sets.language), (_COUNTRY, sets.country), (_DEVICE, sets.device)):
                if opens and asked & bit and place >= 0:
                    n = _ask(program, changed, place, number, answers, asked_for, asked_anew, n)
                    opens = answers[place] == 1
        if opens:
            start, stop, touched = program.trees[tree].start, program.trees[tree].stop, False
            for k in range(start, stop):
                place = nodes[k].clause
                if place >= 0 and clauses[place].attribute in (first, second):
                    n = _ask(program, changed, place, number, answers, asked_for, asked_anew, n)
                    touched = True
            opens = sheet.trees[tree] == 1
            if touched:
                climb(nodes, start, stop, _ACCEPT, answers, again.nodes)
                opens = again.nodes[start] == 1
        opened[case] |= np.uint8(opens) << np.uint8(number)
    for i in range(n):
        answers[asked_anew[i]] = sheet.clauses[asked_anew[i]]


@lean
def _ask(
    program: Program,
    changed: Facts,
    place: int,
    number: int,
    answers: NDArray[np.int8],
    asked_for: NDArray[np.int8],
    asked_anew: NDArray[np.int32],
    count: int,
) -> int:
    """Answer a clause for a change unless that was done, and add it to ``count`` others; return how many there are."""
    if asked_for[place] == number:
        return count
    asked_for[place], asked_anew[count] = number, place
    answers[place] = answer(program.clauses[place], program.operands, changed)
    return count + 1
