"""What would open tasks that are closed to a worker now: the single changes that most of them wait for.

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
from features.requirements import (
    ALL_OF,
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
    answer,
    climb,
)
from matching.eligibility import BIT, BLOCK, Judgement, Offers, Own, Tally

CONSIDERED = 8
"""Changes that are tried: those that most tasks wait for. Each has a bit of a byte."""

MOST_APPROVALS = 10_000
"""Approvals that anyone could be asked for."""

_LANGUAGE, _COUNTRY, _DEVICE = (int(BIT[name]) for name in ("language", "country", "device"))
_REQUIREMENT = int(BIT["requirement"])
CHANGEABLE = np.uint32(_LANGUAGE | _DEVICE | _REQUIREMENT)
"""Reasons that a worker could do something about."""

_BOTH = _LANGUAGE | _DEVICE
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
        offers: uint8, offers; bit ``i`` tells that change ``i`` opens those of its tasks that have no reason of their
            own.
    """

    changes: NDArray[np.int32]
    approvals: NDArray[np.int64]
    counts: NDArray[np.int64]
    offers: NDArray[np.uint8]


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
            compiled.trees,
            judgement.sheet,
            judgement.facts,
            judgement.offers,
            judgement.tally,
            judgement.of_signatures,
            judgement.own,
            judgement.places,
            judgement.asked,
            standing,
        )
    )


class _Cases(NamedTuple):
    """What waits: the trees that fail, each for all signatures that wait for it alone, and other signatures singly.

    Attributes:
        trees: how many of the cases are trees; the others come behind them.
        single: int32, the signatures that are cases by themselves.
        of_signatures: int32, signatures; the case, -1 where no single change can help.
    """

    trees: int
    single: NDArray[np.int32]
    of_signatures: NDArray[np.int32]


@kernel
def _openings(
    program: Program,
    options: Options,
    trees: int,
    sheet: Sheet,
    facts: Facts,
    offers: Offers,
    tally: Tally,
    against: NDArray[np.uint32],
    own: Own,
    places: NDArray[np.int32],
    asked: int,
    standing: Standing,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    size, nodes = against.size, sheet.nodes.size
    # A way for each clause of each tree at the most, and of each signature its own; most have none.
    ways, starts, failing = np.empty((nodes, 3), np.int32), np.zeros(trees + 1, np.int32), np.empty(nodes, np.int32)
    owed, answers = np.zeros(nodes, np.bool_), np.zeros(nodes, np.bool_)
    _find_ways(program, sheet, failing, owed, answers, starts, ways)
    cases = _Cases(trees, np.empty(size, np.int32), np.full(size, -1, np.int32))
    in_hand = standing.in_hand and asked & _DEVICE != 0
    count, singly = _divide(program, sheet, against, in_hand, starts, ways, cases)
    tasks = np.zeros(count, np.int64)
    _wait(offers, tally, own, places, cases, tasks)
    more = np.empty((singly, 3), np.int32)
    _add_ways(program, against, starts, ways, cases, count, more)
    ways = np.concatenate((ways[: starts[trees]], more))
    hopes, waits_for = np.zeros(sheet.clauses.size, np.int64), np.empty(len(ways), np.int32)
    for i in range(len(ways)):
        hopes[ways[i, 1]] += tasks[ways[i, 0]]
        waits_for[i] = program.clauses[ways[i, 1]].attribute
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
    for k in range(considered):
        first, second = _make(options, chosen[k], approvals[k], standing, facts, changed)
        _try(
            program,
            sheet,
            changed,
            cases,
            ways,
            waits_for,
            asked,
            first,
            second,
            k,
            again,
            asked_for,
            asked_anew,
            opened,
        )
        for attribute in (first, second):
            changed.held[attribute], changed.number[attribute] = facts.held[attribute], facts.number[attribute]
            changed.start[attribute], changed.stop[attribute] = facts.start[attribute], facts.stop[attribute]
    counts = np.zeros(considered, np.int64)
    for case in range(count):
        if opened[case]:
            for k in range(considered):
                counts[k] += tasks[case] * (opened[case] >> k & 1)
    of_offers = np.empty(offers.signatures.size, np.uint8)
    of_signatures = np.empty(size, np.uint8)
    for signature in range(size):
        of_signatures[signature] = opened[cases.of_signatures[signature]]
    for k in range(of_offers.size):
        # What else stands against an offer, such as its requester, no change does away with.
        left = offers.bits[np.uint32(2 * k)] & ~CHANGEABLE == 0
        of_offers[k] = of_signatures[np.uint32(offers.signatures[k])] * left
    return chosen[:considered], approvals[:considered], counts, of_offers


@kernel
def _find_ways(
    program: Program,
    sheet: Sheet,
    failing: NDArray[np.int32],
    owed: NDArray[np.bool_],
    answers: NDArray[np.bool_],
    starts: NDArray[np.int32],
    ways: NDArray[np.int32],
) -> None:
    """Find pairs of a tree that fails and a failing clause of it whose attribute alone it fails for.

    All failing clauses of such an attribute are given: one change may have to fulfil several.

    Args:
        program: what was compiled.
        sheet: the worker's answers.
        failing: working memory for the nodes of a tree.
        owed: the same for nodes.
        answers: the same for nodes.
        starts: int32, trees + 1; where the ways of each begin, and where those of the last end; written, but for a 0.
        ways: int32, pairs x 3; with each whether no other clause of the tree is of the attribute. Written.
    """
    nodes, count = program.nodes, 0
    for tree in range(starts.size - 1):
        if program.trees[tree].plain:
            lone = max(sheet.lone[tree], 0)
            ways[count, 0], ways[count, 1], ways[count, 2] = tree, nodes[lone].clause, 1
            count += sheet.lone[tree] >= 0
        elif sheet.trees[tree] == 0:
            count = _ways_of(program, sheet, tree, failing, owed, answers, ways, count)
        starts[tree + 1] = count


@lean
def _ways_of(
    program: Program,
    sheet: Sheet,
    tree: int,
    failing: NDArray[np.int32],
    owed: NDArray[np.bool_],
    answers: NDArray[np.bool_],
    ways: NDArray[np.int32],
    count: int,
) -> int:
    """Add the ways of a tree that is not plain to ``count`` others; return how many there are then."""
    clauses, nodes = program.clauses, program.nodes
    start, stop = program.trees[tree].start, program.trees[tree].stop
    n, needed = 0, -1
    for k in range(start, stop):
        owed[k] = sheet.nodes[k] == 0 and (nodes[k].parent < 0 or owed[nodes[k].parent])
        if owed[k] and nodes[k].clause >= 0:
            attribute = clauses[nodes[k].clause].attribute
            if nodes[k].parent == start and nodes[start].kind == ALL_OF:
                # It has to be fulfilled, whatever else is.
                if needed >= 0 and attribute != needed:
                    return count
                needed = attribute
            failing[n] = k
            n += 1
    for i in range(n):
        clause = nodes[failing[i]].clause
        attribute = clauses[clause].attribute
        if (needed < 0 or attribute == needed) and _holds_by(program, sheet, start, stop, attribute, owed, answers):
            ways[count, 0], ways[count, 1], ways[count, 2] = tree, clause, nodes[failing[i]].alone
            count += 1
    return count


@kernel
def _divide(
    program: Program,
    sheet: Sheet,
    against: NDArray[np.uint32],
    in_hand: bool,
    starts: NDArray[np.int32],
    ways: NDArray[np.int32],
    cases: _Cases,
) -> tuple[int, int]:
    """Find the case of each signature.

    Args:
        program: what was compiled.
        sheet: the worker's answers.
        against: by signature, what stands against it.
        in_hand: whether a change may take the place of the device that welcomes the worker now.
        starts: of `_find_ways`, as the ways.
        ways: of trees.
        cases: written.

    Returns:
        How many cases there are, and how many ways those have that are single signatures.
    """
    hopeful = np.empty(cases.trees, np.bool_)
    for tree in range(cases.trees):
        hopeful[tree] = sheet.trees[tree] == 1 or starts[tree] < starts[tree + 1]
    waiting, size = np.empty(against.size, np.int32), np.int32(0)
    for number in range(against.size):
        bits = against[number]
        # Without a branch, since it cannot be foreseen which wait.
        waits = (bits != 0) & (bits & ~CHANGEABLE == 0) & (bits & _BOTH != _BOTH)
        waiting[np.uint32(size)] = number
        size = np.int32(size + np.int32(waits & hopeful[np.uint32(program.signatures[number].tree)]))
    count, more = cases.trees, 0
    for number in waiting[:size]:
        signature, bits = program.signatures[number], against[number]
        if bits == _REQUIREMENT and not (in_hand and program.sets[signature.sets].device >= 0):
            cases.of_signatures[number] = signature.tree
            continue
        found = int(bits != _REQUIREMENT)
        for k in range(starts[signature.tree], starts[signature.tree + 1]):
            found += _belongs(program, signature, bits, ways[k, 1])
        if found > int(bits & _REQUIREMENT != 0 and bits != _REQUIREMENT):
            cases.of_signatures[number], cases.single[count - cases.trees] = count, number
            count += 1
            more += found
    return count, more


@lean
def _belongs(program: Program, record: Record, bits: int, clause: int) -> bool:
    """Tell whether a clause of a signature's tree is about the set that the signature waits for, if it does for one."""
    sets = program.sets[record.sets]
    place = sets.language if bits & _LANGUAGE else sets.device
    return bits == _REQUIREMENT or program.clauses[place].attribute == program.clauses[clause].attribute


@kernel
def _add_ways(
    program: Program,
    against: NDArray[np.uint32],
    starts: NDArray[np.int32],
    ways: NDArray[np.int32],
    cases: _Cases,
    size: int,
    more: NDArray[np.int32],
) -> None:
    """Write down the ways of cases that are single signatures; ``size`` is the number of cases."""
    count = 0
    for case in range(cases.trees, size):
        signature = cases.single[case - cases.trees]
        record, bits = program.signatures[signature], against[signature]
        if bits & _REQUIREMENT:
            for k in range(starts[record.tree], starts[record.tree + 1]):
                if _belongs(program, record, bits, ways[k, 1]):
                    more[count, 0], more[count, 1], more[count, 2] = case, ways[k, 1], 0
                    count += 1
        if bits != _REQUIREMENT:
            sets = program.sets[record.sets]
            place = sets.language if bits & _LANGUAGE else sets.device
            more[count, 0], more[count, 1], more[count, 2] = case, place, 0
            count += 1


@kernel
def _wait(
    offers: Offers,
    tally: Tally,
    own: Own,
    places: NDArray[np.int32],
    cases: _Cases,
    tasks: NDArray[np.int64],
) -> None:
    """Count the tasks of each case (int64, zeros before), but those with a reason of their own."""
    of_signatures = cases.of_signatures
    for signature in range(of_signatures.size):
        case = of_signatures[signature]
        # Without a branch, since it cannot be foreseen which wait.
        tasks[np.uint32(max(case, 0))] += tally.free[signature] * (case >= 0)
    for block in range(own.blocks.size):
        if own.blocks[block] == 0:
            continue
        for i in range(block * BLOCK, min((block + 1) * BLOCK, places.size)):
            if own.bits[i]:
                case = of_signatures[offers.signatures[places[i] // 2]]
                if case >= 0 and offers.bits[places[i]] & ~CHANGEABLE == 0:
                    tasks[case] -= 1


@lean
def _holds_by(
    program: Program,
    sheet: Sheet,
    start: int,
    stop: int,
    attribute: int,
    owed: NDArray[np.bool_],
    answers: NDArray[np.bool_],
) -> bool:
    """Tell whether a tree would hold if every clause of an attribute did that it owes its failure to."""
    clauses, nodes = program.clauses, program.nodes
    for k in range(start, stop):
        answers[k] = nodes[k].kind == ALL_OF
    for k in range(stop - 1, start - 1, -1):
        node = nodes[k]
        if node.clause >= 0:
            answers[k] = sheet.nodes[k] != 0 or (owed[k] and clauses[node.clause].attribute == attribute)
        if node.parent >= 0 and nodes[node.parent].kind == ALL_OF:
            answers[node.parent] = answers[node.parent] and answers[k]
        elif node.parent >= 0:
            answers[node.parent] = answers[node.parent] or answers[k]
    return start == stop or bool(answers[start])


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
    cases: _Cases,
    ways: NDArray[np.int32],
    waits_for: NDArray[np.int32],
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
        cases: what waits.
        ways: cases, and clauses that each waits for.
        waits_for: the attributes of these clauses.
        asked: sets that are looked at, bits of ``CODES``.
        first: an attribute that the change is about.
        second: the other one, or the same.
        number: of the change.
        again: the answers before; working memory.
        asked_for: by clause, the last change that it was asked for; working memory.
        asked_anew: working memory for as many clauses as there are.
        opened: by case, changes that let in; written.
    """
    clauses, nodes, operands, answers = program.clauses, program.nodes, program.operands, again.clauses
    n = 0
    for i in range(len(ways)):
        if waits_for[i] != first and waits_for[i] != second:
            continue
        case, place = ways[i, 0], ways[i, 1]
        if asked_for[place] != number:
            asked_for[place], answers[place], asked_anew[n] = number, answer(clauses[place], operands, changed), place
            n += 1
        if answers[place] == 0:
            continue
        if ways[i, 2] and first == second:
            opened[case] |= np.uint8(1 << number)
            continue
        opens = True
        if case < cases.trees:
            start, stop = program.trees[case].start, program.trees[case].stop
        else:
            signature = program.signatures[cases.single[case - cases.trees]]
            sets, tree = program.sets[signature.sets], program.trees[signature.tree]
            start, stop = tree.start, tree.stop
            for bit, place in ((_LANGUAGE, sets.language), (_COUNTRY, sets.country), (_DEVICE, sets.device)):
                opens = opens and (asked & bit == 0 or place < 0 or answer(clauses[place], operands, changed))
        if opens and start < stop:
            for k in range(start, stop):
                place = nodes[k].clause
                if place >= 0 and asked_for[place] != number:
                    attribute = clauses[place].attribute
                    if attribute in (first, second):
                        asked_for[place], answers[place] = number, answer(clauses[place], operands, changed)
                        asked_anew[n] = place
                        n += 1
            climb(nodes, start, stop, _ACCEPT, answers, again.nodes)
            opens = again.nodes[start] == 1
        opened[case] |= np.uint8(opens) << np.uint8(number)
    for i in range(n):
        answers[asked_anew[i]] = sheet.clauses[asked_anew[i]]
