"""What waits for a single change of a worker: trees of requirements, and signatures that wait for more than their tree.

Tasks are counted by their signatures, and these are judged by their requirements, which many have in common; a task is
looked at by itself only for what is its own.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel, lean
from features.layout import Record
from features.requirements import ALL_OF, Program, Sheet
from matching.judgement import BIT, BLOCK, Judgement, Offers, Own, Tally

_LANGUAGE, _DEVICE, _REQUIREMENT = (int(BIT[name]) for name in ("language", "device", "requirement"))
CHANGEABLE = np.uint32(_LANGUAGE | _DEVICE | _REQUIREMENT)
"""Reasons that a worker could do something about."""

_BOTH = _LANGUAGE | _DEVICE


class Waiting(NamedTuple):
    """What waits: the trees that fail, each for all signatures that wait for it alone, and other signatures singly.

    Attributes:
        trees: how many of the cases are trees; the others come behind them.
        single: int32, the signatures that are cases by themselves.
        of_signatures: int32, signatures; the case, -1 where no single change can help.
        tasks: int64, cases; how many tasks each keeps closed.
        ways: int32, ways x 3; a case, a failing clause of it whose attribute alone it fails for, and whether the case
            is a tree that no other clause of this attribute is in. All such clauses are there.
    """

    trees: int
    single: NDArray[np.int32]
    of_signatures: NDArray[np.int32]
    tasks: NDArray[np.int64]
    ways: NDArray[np.int32]


def waiting(judgement: Judgement, *, in_hand: bool) -> Waiting:
    """Return what waits.

    Args:
        judgement: of all open tasks for the worker.
        in_hand: whether the worker was judged by the device in hand, in place of the profile's.
    """
    trees = judgement.compiled.trees
    return Waiting(
        trees,
        *_waiting(
            judgement.compiled.program,
            trees,
            judgement.sheet,
            judgement.offers,
            judgement.tally,
            judgement.of_signatures,
            judgement.own,
            judgement.places,
            in_hand and judgement.asked & _DEVICE != 0,
        ),
    )


class _Cases(NamedTuple):
    """The fields of `Waiting`, with room in ``single`` for all signatures."""

    trees: int
    single: NDArray[np.int32]
    of_signatures: NDArray[np.int32]


@kernel
def _waiting(
    program: Program,
    trees: int,
    sheet: Sheet,
    offers: Offers,
    tally: Tally,
    against: NDArray[np.uint32],
    own: Own,
    places: NDArray[np.int32],
    in_hand: bool,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    size, nodes = against.size, sheet.nodes.size
    # A way for each clause of each tree at the most, and of each signature its own; most have none.
    ways, starts, failing = np.empty((nodes, 3), np.int32), np.zeros(trees + 1, np.int32), np.empty(nodes, np.int32)
    owed, answers = np.zeros(nodes, np.bool_), np.zeros(nodes, np.bool_)
    _find_ways(program, sheet, failing, owed, answers, starts, ways)
    cases = _Cases(trees, np.empty(size, np.int32), np.full(size, -1, np.int32))
    count, singly = _divide(program, sheet, against, in_hand, starts, ways, cases)
    tasks = np.zeros(count, np.int64)
    _wait(offers, tally, own, places, cases, tasks)
    more = np.empty((singly, 3), np.int32)
    _add_ways(program, against, starts, ways, cases, count, more)
    ways = np.concatenate((ways[: starts[trees]], more))
    return cases.single[: count - trees], cases.of_signatures, tasks, ways


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
