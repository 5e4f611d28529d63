"""Why requirements do not hold: the attributes that are to blame, for one signature or counted over many tasks."""

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel
from features.requirements_compiler import Compiler
from features.requirements_layout import LEAF, Program, Sheet


def failed(compiler: Compiler, sheet: Sheet, signature: int) -> list[str]:
    """Return the reasons why a signature does not hold.

    Every attribute that fails in a part that fails is named once, as it was written: of an ``or`` all branches, of
    an ``and`` the branches that do not hold.
    """
    tasks = np.zeros(compiler.trees, np.int64)
    tasks[compiler.program.signatures["tree"][signature]] = 1
    marks, counts = np.zeros(len(sheet.nodes), np.bool_), np.zeros(len(compiler.reasons), np.int64)
    count_failures(compiler.program, sheet, tasks, marks, counts)
    nodes = compiler.program.nodes[np.flatnonzero(marks)]
    reasons = nodes["reason"][nodes["kind"] == LEAF].tolist()
    return compiler.reasons.externals(dict.fromkeys(reasons))


@kernel
def count_failures(
    program: Program, sheet: Sheet, tasks: NDArray[np.int64], marks: NDArray[np.bool_], counts: NDArray[np.int64]
) -> None:
    """Add tasks to the attributes that trees fail for, and leave marks at the nodes that are to blame.

    Args:
        program: what was compiled.
        sheet: with the answers to every signature that counts.
        tasks: int64, trees; how many tasks bear each, 0 for what holds or does not matter.
        marks: bool, nodes.
        counts: int64, by number of the reason; how many tasks it keeps from the worker.
    """
    nodes, held = program.nodes, sheet.nodes
    counted = np.full(counts.size, -1, np.int64)
    for tree in range(tasks.size):
        weight = tasks[tree]
        if weight == 0:
            continue
        # Into variables, or they are read anew after every store.
        start, stop = program.trees[tree].start, program.trees[tree].stop
        if program.trees[tree].plain:
            lone = sheet.lone[tree]
            for k in range(start + 1 if lone < 0 else lone, stop if lone < 0 else lone + 1):
                fails = held[k] == 0
                marks[k] = fails
                counts[np.uint32(nodes[k].reason)] += weight * fails
            continue
        for k in range(start, stop):
            node = nodes[k]
            # Without branches, since which clauses fail cannot be foreseen.
            marks[k] = (held[k] == 0) & ((node.parent < 0) | marks[node.parent])
            # An attribute that fails in two clauses keeps a task away once.
            reason = np.uint32(node.reason)
            fails = marks[k] & (node.kind == LEAF) & (counted[reason] != tree)
            counted[reason] = tree if fails else counted[reason]
            counts[reason] += weight * fails
