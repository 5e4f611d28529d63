"""A worker's answers to compiled requirements, over all signatures that are met."""

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel, lean
from features.layout import Record
from features.requirements_layout import (
    ALL_OF,
    BARE,
    EQ,
    EXISTS,
    GE,
    GT,
    IN,
    LE,
    LEAF,
    NONE,
    NOT_IN,
    UNASKED,
    VALUED,
    Facts,
    Program,
    Sheet,
)


@lean
def answer(clause: Record, operands: NDArray[np.int32], facts: Facts) -> bool:
    """Tell whether a worker fulfils a clause, a record of ``CLAUSE``."""
    attribute, comparator = clause.attribute, clause.comparator
    held, number = facts.held[attribute], facts.number[attribute]
    if EQ <= comparator <= NOT_IN:
        found = False
        for k in range(facts.start[attribute], facts.stop[attribute]):
            low, high = clause.start, clause.stop
            while low < high:
                middle = (low + high) // 2
                if operands[middle] < facts.values[k]:
                    low = middle + 1
                else:
                    high = middle
            found |= low < clause.stop and operands[low] == facts.values[k]
        met = found == (comparator in (EQ, IN))
    else:
        # Without branches, since neither the comparator nor the answer can be foreseen. A text is NaN here, so that
        # no number comes before or after it.
        met = (comparator <= LE) & (number < clause.number)
        met |= ((comparator == LE) | (comparator == GE)) & (number == clause.number)
        met |= ((comparator == GT) | (comparator == GE)) & (number > clause.number)
        met |= comparator == EXISTS
    told = (held == VALUED) | ((held == BARE) & (comparator >= EXISTS))
    holds: bool = (told & met) | (~told & (clause.absent != 0))
    return holds


@lean
def climb(
    nodes: NDArray[np.void], start: int, stop: int, level: int, answers: NDArray[np.int8], held: NDArray[np.int8]
) -> None:
    """Bring answers to clauses up to the root of a tree.

    Args:
        nodes: of the program; those of the tree are ``start:stop``.
        start: the root.
        stop: one behind the last node.
        level: clauses that guard a later one count as true.
        answers: by clause, 1 where it holds.
        held: by node, what is written.
    """
    for k in range(start, stop):
        # Before anything below it is asked, an `and` holds and an `or` does not.
        held[k] = nodes[k].holds
    for k in range(stop - 1, start - 1, -1):
        node = nodes[k]
        if node.kind == LEAF:
            held[k] = node.guards > level or answers[node.clause] == 1
        if node.parent >= 0:
            if nodes[node.parent].kind == ALL_OF:
                held[node.parent] &= held[k]
            else:
                held[node.parent] |= held[k]


@kernel
def evaluate(program: Program, facts: Facts, sheet: Sheet, signatures: NDArray[np.int32], level: int) -> None:
    """Find a worker's answers to some signatures (int32): to the trees and sets that they are made of.

    Args:
        program: what was compiled.
        facts: of the worker.
        sheet: what is written; it is new, or was written for the same worker at the same level.
        signatures: int32, which ones.
        level: the place of the level in ``LEVELS``.
    """
    nodes, answers = program.nodes, sheet.clauses
    for i in range(signatures.size):
        signature = program.signatures[signatures[i]]
        sets, tree = program.sets[signature.sets], program.trees[signature.tree]
        for place in (sets.language, sets.country, sets.device):
            if place >= 0 and answers[place] == UNASKED:
                answers[place] = answer(program.clauses[place], program.operands, facts)
        if sheet.trees[signature.tree] != UNASKED:
            continue
        for k in range(tree.start, tree.stop):
            place = nodes[k].clause
            if place >= 0 and answers[place] == UNASKED:
                answers[place] = answer(program.clauses[place], program.operands, facts)
        sheet.trees[signature.tree] = _holds(program, sheet, signature.tree, level)


@kernel
def evaluate_all(program: Program, facts: Facts, sheet: Sheet, level: int) -> None:
    """Find a worker's answers to all signatures; see `evaluate`."""
    # Clauses are asked one after the other, not as the trees come upon them: most stand in many trees.
    for place in range(sheet.clauses.size):
        sheet.clauses[place] = answer(program.clauses[place], program.operands, facts)
    for tree in range(sheet.trees.size):
        sheet.trees[tree] = _holds(program, sheet, tree, level)


@lean
def _holds(program: Program, sheet: Sheet, tree: int, level: int) -> bool:
    """Tell whether a tree holds whose clauses have been asked, and write down which of its nodes do."""
    nodes, answers, held = program.nodes, sheet.clauses, sheet.nodes
    # Into variables, or they are read anew after every store.
    start, stop = program.trees[tree].start, program.trees[tree].stop
    if start == stop:
        return True
    failures, lone = 0, NONE
    if program.trees[tree].plain:
        for k in range(start + 1, stop):
            node = nodes[k]
            met = (node.guards > level) | (answers[node.clause] == 1)
            held[k] = met
            failures += not met
            lone = lone if met else k
        held[start] = failures == 0
    else:
        climb(nodes, start, stop, level, answers, held)
        for k in range(start + 1 if program.trees[tree].apart else stop, stop):
            fails = (nodes[k].parent == start) & (held[k] == 0)
            failures += fails
            lone = k if fails else lone
    sheet.lone[tree] = lone if failures == 1 else NONE
    found: bool = held[start] == 1
    return found
