"""The layout of compiled requirements, and of what is known and found of a worker by them, as kernels take it.

A tree is a run of nodes in which a node comes before what is below it, so that one pass backwards brings answers up to
the root and one pass forwards finds what is to blame.
"""

from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from features.changes import KINDS
from features.requirements_shape import Comparator, Guard

REQUIREMENT = "requirement"
"""With an attribute behind a colon, the reason why a worker may not take a task that asks for it."""

COMPARATORS: tuple[str, ...] = get_args(Comparator)
LEVELS: tuple[str, ...] = get_args(Guard)
"""From what is open to most to what is open to fewest."""

LT, LE, GT, GE, EQ, NE, IN, NOT_IN, EXISTS, NOT_EXISTS = range(len(COMPARATORS))
LEAF, ALL_OF, ANY_OF = range(3)
"""Kinds of nodes: a ``LEAF`` is a clause, ``ALL_OF`` holds where everything directly below it does."""
_NOT_HELD, BARE, VALUED = range(3)
"""What facts know of an attribute: ``VALUED`` is what is held with a value."""
NONE = -1
"""In the place of a clause or a node: there is none."""
UNASKED = -1
"""In the place of an answer: nobody asked."""

CLAUSE = np.dtype(
    [
        ("attribute", "i4"),
        ("comparator", "i4"),
        ("number", "f8"),
        ("start", "i4"),
        ("stop", "i4"),
        ("absent", "i4"),
    ],
    align=True,
)
"""A distinct clause: ``number`` is what it is compared with by size, ``start:stop`` its operands in rising order,
``absent`` the answer for a worker without a value."""

NODE = np.dtype(
    [
        ("kind", "i1"),
        ("holds", "i1"),
        ("guards", "i1"),
        ("alone", "i1"),
        ("parent", "i4"),
        ("clause", "i4"),
        ("reason", "i4"),
    ],
    align=True,
)
"""A node of a tree; ``holds`` is its answer before anything is asked, ``alone`` tells that no other clause of the tree
is of its attribute, ``parent`` is the node above, ``reason`` numbers what is said where it fails."""

TREE = np.dtype([("start", "i4"), ("stop", "i4"), ("apart", "i4"), ("plain", "i4")], align=True)
"""The nodes ``start:stop`` of requirements, the root first; those that ask for nothing have none. ``apart`` tells that
the root asks for all of its parts, no two of which have an attribute in common, and ``plain`` that these are clauses,
as of most: nothing to climb."""

SETS = np.dtype([("language", "i4"), ("country", "i4"), ("device", "i4")], align=True)
"""The clauses that languages, countries and devices come to. Equal ones are kept once: there are few."""

SIGNATURE = np.dtype([("tree", "i4"), ("sets", "i4")], align=True)
"""The tree of a signature's requirements, and its sets. Equal requirements are one tree."""

CHANGE = np.dtype(
    [
        ("kind", "i4"),
        ("attribute", "i4"),
        ("held", "i4"),
        ("operand", "i4"),
        ("number", "f8"),
        ("asked", "f8"),
        ("above", "i4"),
        ("topic", "i4"),
    ],
    align=True,
)
"""A change: ``kind`` is its place in ``KINDS``; ``held``, ``number`` and ``operand`` are what facts would say of the
attribute, by the value that is added to a set or that takes the place of another; ``asked`` is the number that it is
compared with, infinite without one, and ``above`` tells that it must be exceeded; ``topic`` numbers what it is about.
What facts would say after further approvals lies with the worker."""

APPROVED_COUNT, APPROVAL_RATE, LANGUAGE, DEVICE = (
    KINDS.index(kind) for kind in ("approved_count", "approval_rate", "language", "device")
)


class Program(NamedTuple):
    """All that was compiled, as kernels take it; the arrays may have room behind what is used."""

    clauses: NDArray[np.void]
    operands: NDArray[np.int32]
    nodes: NDArray[np.void]
    trees: NDArray[np.void]
    sets: NDArray[np.void]
    signatures: NDArray[np.void]


class Facts(NamedTuple):
    """What is known of a worker, by attribute.

    ``held`` tells whether it is held at all, without a value, or with one; ``number`` is the value where it is a
    number, else NaN; ``start:stop`` are the places in ``values`` of those that any clause names.
    """

    held: NDArray[np.int8]
    number: NDArray[np.float64]
    start: NDArray[np.int32]
    stop: NDArray[np.int32]
    values: NDArray[np.int32]


class Options(NamedTuple):
    """What would fulfil clauses, as kernels take it.

    ``changes`` has a record of ``CHANGE`` for each of `features.changes.Changes.distinct`; those of clause ``c`` are
    ``of_clauses[starts[c] : starts[c + 1]]``. ``numbers`` are the values behind operands, NaN for texts.
    """

    changes: NDArray[np.void]
    starts: NDArray[np.int64]
    of_clauses: NDArray[np.int32]
    numbers: NDArray[np.float64]


class Sheet(NamedTuple):
    """A worker's answers at one level: 1 where a clause, a node or a tree holds, 0 where not, -1 if not asked.

    ``lone`` tells which part of a tree whose parts are apart is the only one that fails, -1 where not just one does.
    """

    clauses: NDArray[np.int8]
    nodes: NDArray[np.int8]
    trees: NDArray[np.int8]
    lone: NDArray[np.int32]
