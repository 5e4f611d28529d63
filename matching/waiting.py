"""Which tasks a single change of a worker may make eligible: by trees of requirements, and by single signatures.

Tasks are counted by their signatures, and these are judged by their requirements, which many have in common; a task is
looked at by itself only for what is its own.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel, lean
from features.requirements_layout import ALL_OF, Program, Sheet
from matching.judgement import BIT, BLOCK, Judgement, Offers, Own

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
            judgement.tally.free,
            judgement.of_signatures,
            judgement.own,
            judgement.places,
            in_hand and judgement.asked & _DEVICE != 0,
            judgement.asked & _LANGUAGE == 0,
        ),
    )


class _OfTrees(NamedTuple):
    """Ways of trees, as in `Waiting`: those of a tree are ``starts[tree] : stops[tree]``."""

    starts: NDArray[np.int32]
    stops: NDArray[np.int32]
    ways: NDArray[np.int32]


@kernel
def _waiting(
    program: Program,
    trees: int,
    sheet: Sheet,
    offers: Offers,
    free: NDArray[np.int32],
    against: NDArray[np.uint32],
    own: Own,
    places: NDArray[np.int32],
    in_hand: bool,
    unknown: bool,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    # A way for each clause of each tree at the most; most have none.
    room = np.empty((sheet.nodes.size, 3), np.int32)
    of_trees = _OfTrees(np.zeros(trees, np.int32), np.zeros(trees, np.int32), room)
    found = _find_ways(program, sheet, of_trees)
    free = free.copy()
    _leave_out(offers, own, places, free)
    of_trees_tasks, of_signatures = np.zeros(trees, np.int64), np.empty(against.size, np.int32)
    others, more = _divide(program, sheet, against, in_hand, unknown, of_trees, free, of_signatures, of_trees_tasks)
    single, tasks = np.empty(others.size, np.int32), np.empty(trees + others.size, np.int64)
    tasks[:trees] = of_trees_tasks
    ways = np.empty((found + more, 3), np.int32)
    ways[:found] = room[:found]
    count = trees
    for signature in others:
        before = found
        found = _ways_of_signature(program, signature, against[signature], of_trees, count, found, ways)
        if found > before:
            of_signatures[signature], single[count - trees], tasks[count] = count, signature, free[signature]
            count += 1
    return single[: count - trees], of_signatures, tasks[:count], ways[:found]


@kernel
def _find_ways(program: Program, sheet: Sheet, found: _OfTrees) -> int:
    """Find pairs of a tree that fails and a failing clause of it whose attribute alone it fails for; return how many.

    All failing clauses of such an attribute are given: one change may have to fulfil several.
    """
    nodes, size, count = program.nodes, np.int32(0), 0
    hopeful = np.empty(found.starts.size, np.int32)
    for tree in range(found.starts.size):
        # Without a branch, since it cannot be foreseen which are.
        hopeful[np.uint32(size)] = tree
        unsure = (program.trees[tree].apart == 0) & (sheet.trees[tree] == 0)
        size = np.int32(size + np.int32(unsure | (sheet.lone[tree] >= 0)))
    owed, answers = np.zeros(sheet.nodes.size, np.bool_), np.zeros(sheet.nodes.size, np.bool_)
    for tree in hopeful[:size]:
        lone, found.starts[tree] = sheet.lone[tree], count
        if lone >= 0 and nodes[lone].clause >= 0:
            found.ways[count, 0], found.ways[count, 1], found.ways[count, 2] = tree, nodes[lone].clause, 1
            count += 1
        else:
            count = _ways_of(program, sheet, tree, owed, answers, found.ways, count)
        found.stops[tree] = count
    return count


@lean
def _ways_of(
    program: Program,
    sheet: Sheet,
    tree: int,
    owed: NDArray[np.bool_],
    answers: NDArray[np.bool_],
    ways: NDArray[np.int32],
    count: int,
) -> int:
    """Add the ways of a tree to ``count`` others; return how many there are then.

    Args:
        program: what was compiled.
        sheet: the worker's answers.
        tree: which one.
        owed: working memory for nodes.
        answers: the same.
        ways: written.
        count: of ways before.
    """
    clauses, nodes = program.clauses, program.nodes
    start, stop = program.trees[tree].start, program.trees[tree].stop
    first, needed = count, -1
    for k in range(start, stop):
        owed[k] = sheet.nodes[k] == 0 and (nodes[k].parent < 0 or owed[nodes[k].parent])
        if owed[k] and nodes[k].clause >= 0:
            attribute = clauses[nodes[k].clause].attribute
            if nodes[k].parent == start and nodes[start].kind == ALL_OF:
                # It has to be fulfilled, whatever else is.
                if needed >= 0 and attribute != needed:
                    return first
                needed = attribute
            ways[count, 0], ways[count, 1], ways[count, 2] = tree, nodes[k].clause, nodes[k].alone
            count += 1
    failing, count = count, first
    for i in range(first, failing):
        attribute = clauses[ways[i, 1]].attribute
        if (needed < 0 or attribute == needed) and _holds_by(program, sheet, start, stop, attribute, owed, answers):
            for c in range(3):
                ways[count, c] = ways[i, c]
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
def _leave_out(offers: Offers, own: Own, places: NDArray[np.int32], free: NDArray[np.int32]) -> None:
    """Leave tasks with a reason of their own out of those that are counted by signature (int32)."""
    for block in range(own.blocks.size):
        if own.blocks[block] == 0:
            continue
        for i in range(block * BLOCK, min((block + 1) * BLOCK, places.size)):
            # Full ones do not count anyway, nor those of a requester or a category that is not welcome.
            if own.bits[i] and offers.bits[places[i]] & ~CHANGEABLE == 0:
                free[offers.signatures[places[i] // 2]] -= 1


@kernel
def _divide(
    program: Program,
    sheet: Sheet,
    against: NDArray[np.uint32],
    in_hand: bool,
    unknown: bool,
    of_trees: _OfTrees,
    free: NDArray[np.int32],
    of_signatures: NDArray[np.int32],
    tasks: NDArray[np.int64],
) -> tuple[NDArray[np.int32], int]:
    """Find the case of each signature that waits for its tree alone, and count their tasks.

    Args:
        program: what was compiled.
        sheet: the worker's answers.
        against: by signature, what stands against it.
        in_hand: whether a change may take the place of the device that welcomes the worker now.
        unknown: whether the worker has no profile, so that a change may have sets looked at that are not now.
        of_trees: ways of trees.
        free: by signature, its tasks.
        of_signatures: written; -1 for others.
        tasks: int64, zeros; of trees, written.

    Returns:
        Other signatures that may be cases (int32), and more ways than these have.
    """
    hopeful, bound = np.empty(tasks.size, np.bool_), np.empty(program.sets.size, np.bool_)
    for tree in range(tasks.size):
        hopeful[tree] = (sheet.trees[tree] == 1) | (of_trees.starts[tree] < of_trees.stops[tree])
    for k in range(bound.size):
        sets = program.sets[k]
        any_set = (sets.language >= 0) | (sets.country >= 0) | (sets.device >= 0)
        bound[k] = (in_hand and sets.device >= 0) or (unknown and any_set)
    others, size = np.empty(against.size, np.int32), np.int32(0)
    # Without a branch, since it cannot be foreseen which wait.
    for number in range(against.size):
        bits, tree = against[number], program.signatures[number].tree
        apart = bound[np.uint32(program.signatures[number].sets)]
        shared = (bits == _REQUIREMENT) & ~apart
        one = ((bits & _BOTH) == _LANGUAGE) | ((bits & _BOTH) == _DEVICE) | ((bits == _REQUIREMENT) & apart)
        of_signatures[number] = tree if shared else -1
        tasks[np.uint32(tree)] += free[number] * shared
        others[np.uint32(size)] = number
        size = np.int32(size + np.int32((bits & ~CHANGEABLE == 0) & one & hopeful[np.uint32(tree)]))
    ways = 0
    for number in others[:size]:
        tree = program.signatures[number].tree
        ways += 1 + of_trees.stops[tree] - of_trees.starts[tree]
    return others[:size], ways


@lean
def _ways_of_signature(
    program: Program, signature: int, bits: int, of_trees: _OfTrees, case: int, count: int, ways: NDArray[np.int32]
) -> int:
    """Add the ways of a signature that waits by itself to ``count`` others; return how many there are then."""
    record, clauses, first = program.signatures[signature], program.clauses, count
    sets = program.sets[record.sets]
    place = sets.language if bits & _LANGUAGE else sets.device
    if bits & _REQUIREMENT:
        for k in range(of_trees.starts[record.tree], of_trees.stops[record.tree]):
            clause = of_trees.ways[k, 1]
            # One change must fulfil what the set asks for as well, if the signature waits for that too.
            if bits == _REQUIREMENT or clauses[place].attribute == clauses[clause].attribute:
                ways[count, 0], ways[count, 1], ways[count, 2] = case, clause, 0
                count += 1
        if bits == _REQUIREMENT or count == first:
            return count
    ways[count, 0], ways[count, 1], ways[count, 2] = case, place, 0
    return count + 1
