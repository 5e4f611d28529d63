"""What each group of columns contributes to a score: Shapley values of a model's trees, with the groups as players.

A tree is a game. A coalition of players knows their columns; at a split on another's column, a row goes both ways, by
the shares of the training set that went there (path-dependent TreeSHAP; Lundberg et al. 2020, "From local explanations
to global understanding with explainable AI for trees"). TreeSHAP lets every column play for itself, and columns that
say nearly the same share out one effect among them; here all columns of a group play together (a quotient game, Owen
1977), which is what a reason speaks of, and so few players that a table holds every case.

A leaf gives its value to a coalition in the measure in which a row gets there: a product over the groups on its path,
of 1 or 0 for a group that plays (do the row's own columns meet all its conditions?) and of the share of the training
set that met them, for one that does not. The Shapley value of a product of ``k`` factors is the integral of
``(own - share) * prod((own * t + share * (1 - t)) of the others)`` over ``t`` in 0..1 (Owen 1972, "Multilinear
extensions of games"), a polynomial of degree ``k - 1`` that four Gauss points integrate exactly up to ``k = 8``. It
depends on the row by ``k`` bits alone, so it is computed once a model for each of the ``2^k`` patterns.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.jit import kernel
from features.spec import FEATURES, GROUPS
from matching.calibration import Additive
from matching.forest import ZERO, ForestError, Tree, joined, trees_of

Contributor = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""Gives what each group contributes to the score of each row; float64, rows x groups, in the order of `groups_of`."""

OWN = "own"
"""The group of columns that the spec does not know."""

PLAYERS = 8
"""Groups that the path to a leaf may concern: more would take a finer integral and larger tables."""

_BLOCK = 64
"""Rows at once, as in `matching.forest`: a constant for the compiler."""

_ALL = np.uint32(0xFFFFFFFF)
_GROUP_OF = {feature.name: feature.group for feature in FEATURES}
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(PLAYERS // 2)


def group_of(name: str) -> str:
    """Return the group of a column: one of `features.spec.GROUPS`, or ``OWN``."""
    return _GROUP_OF.get(name, OWN)


def groups_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the groups of a model with these columns: those of the spec, and ``OWN`` if a column is of none."""
    return (*GROUPS, OWN) if OWN in map(group_of, names) else GROUPS


def contributor(model: Additive, names: Sequence[str]) -> Contributor:
    """Return what tells the contributions of the groups to the score of a model with columns of these names.

    Trees that cannot be held as tables are explained by LightGBM, column by column, and the columns are summed.
    """
    groups = groups_of(names)
    players = np.array([groups.index(group_of(name)) for name in names], np.int64)
    by_trees = _by_trees(model.booster, players, len(groups))
    return lambda features: by_trees(features) + model.linear_contributions(features, players, len(groups))


def _by_trees(booster: lgb.Booster, owners: NDArray[np.int64], players: int) -> Contributor:
    try:
        return GroupShap.of(booster, owners, players).contributions
    except ForestError:
        summed = (owners[:, None] == np.arange(players)).astype(np.float64)
        return lambda features: _by_column(booster, features) @ summed


def _by_column(booster: lgb.Booster, features: NDArray[np.float32]) -> NDArray[np.float64]:
    if len(features) == 0:
        return np.empty(features.shape)
    found = np.asarray(booster.predict(features, pred_contrib=True, num_threads=1), np.float64)
    return found[:, : booster.num_feature()]


@dataclass(frozen=True, eq=False)
class GroupShap:
    """The contributions of a model's trees, in tables.

    Attributes:
        width: columns of a row.
        players: how many there are.
        expected: the score that is expected of a row of which nothing is known.
        used: int64, the columns that occur in a split.
        splits: int64, trees + 1; the splits of tree ``i`` are ``splits[i] : splits[i + 1]``.
        columns: int64, splits; place in ``used``.
        owners: int64, splits; whose column it is.
        thresholds: float32, splits; what is above goes to the right.
        nan_left: bool, splits; where NaN goes.
        off_left: uint32, splits; the leaves, as bits, that are not on the left.
        off_right: uint32, splits; those that are not on the right.
        leaves: int64, trees + 1; the leaves of tree ``i``.
        members: int64, leaves + 1; where the players on the path of a leaf are in ``member``.
        member: int64, the players.
        tables: int64, leaves; where the table of a leaf begins in ``table``.
        table: float64; of each leaf with ``k`` players, for each of them, what it contributes by the pattern of those
            whose conditions a row meets: ``k`` times ``2^k`` numbers.
    """

    width: int
    players: int
    expected: float
    used: NDArray[np.int64]
    splits: NDArray[np.int64]
    columns: NDArray[np.int64]
    owners: NDArray[np.int64]
    thresholds: NDArray[np.float32]
    nan_left: NDArray[np.bool_]
    off_left: NDArray[np.uint32]
    off_right: NDArray[np.uint32]
    leaves: NDArray[np.int64]
    members: NDArray[np.int64]
    member: NDArray[np.int64]
    tables: NDArray[np.int64]
    table: NDArray[np.float64]

    @classmethod
    def of(cls, booster: lgb.Booster, owners: NDArray[np.int64], players: int) -> "GroupShap":
        """Make the tables of a model.

        Args:
            booster: the model.
            owners: int64, columns; the player to whom each belongs.
            players: how many there are.

        Raises:
            ForestError: see `matching.forest.trees_of`; or more than ``PLAYERS`` players meet on the path to a leaf.
        """
        trees = trees_of(booster)
        columns = joined([tree.columns for tree in trees], np.int64)
        used, places = np.unique(columns, return_inverse=True)
        shares = np.concatenate([np.empty((0, players)), *(_shares(tree, owners, players) for tree in trees)])
        values = joined([tree.values for tree in trees], np.float64)
        on_path = ~np.isnan(shares)
        counts = on_path.sum(axis=1)
        if counts.max(initial=0) > PLAYERS:
            raise ForestError(f"{counts.max()} groups meet on the path to a leaf, and tables hold at most {PLAYERS}")
        sizes = counts << counts
        tables = np.cumsum(sizes) - sizes
        table = np.empty(sizes.sum())
        for count in np.unique(counts[counts > 0]).tolist():
            alike = np.flatnonzero(counts == count)
            met = shares[alike][on_path[alike]].reshape(-1, count)
            table[tables[alike, None] + np.arange(count << count)] = _table(values[alike], met)
        return cls(
            width=booster.num_feature(),
            players=players,
            expected=float((values * np.where(on_path, shares, 1.0).prod(axis=1)).sum()),
            used=used,
            splits=_starts(len(tree.columns) for tree in trees),
            columns=places.astype(np.int64),
            owners=owners[columns],
            thresholds=joined([tree.thresholds for tree in trees], np.float32),
            nan_left=joined([tree.nan_left for tree in trees], np.bool_),
            off_left=~joined([tree.left for tree in trees], np.uint32),
            off_right=~joined([tree.right for tree in trees], np.uint32),
            leaves=_starts(len(tree.values) for tree in trees),
            members=_starts(iter(counts.tolist())),
            member=np.nonzero(on_path)[1],
            tables=tables,
            table=table,
        )

    def contributions(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what each player contributes to the raw score of each row; with ``expected`` it adds up to it.

        Args:
            features: float32, rows x columns.

        Returns:
            float64, rows x players.

        Raises:
            ValueError: the number of columns is not that of the model.
        """
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ValueError(f"features of shape {features.shape} for a model of {self.width} columns")
        blocks = -(-len(features) // _BLOCK)
        values = np.zeros((self.used.size, blocks * _BLOCK), np.float32)
        values[:, : len(features)] = features.T[self.used]
        values[np.abs(values) <= ZERO] = 0.0
        found = np.zeros((self.players, len(features)))
        _contribute(
            values,
            self.splits,
            self.columns,
            self.owners,
            self.thresholds,
            self.nan_left,
            self.off_left,
            self.off_right,
            self.leaves,
            self.members,
            self.member,
            self.tables,
            self.table,
            found,
        )
        return found.T


def _starts(sizes: Iterator[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *sizes], dtype=np.int64)


def _shares(tree: Tree, owners: NDArray[np.int64], players: int) -> NDArray[np.float64]:
    """Return the share of rows that met all of a player's conditions on the path to a leaf; NaN without any.

    The share is the product over these splits of what went the leaf's way of the rows that came to the split. Float64,
    leaves x players.
    """
    leaves = np.arange(len(tree.values), dtype=np.uint32)
    on_left, on_right = (((side[:, None] >> leaves) & 1).astype(np.bool_) for side in (tree.left, tree.right))
    gone_left, gone_right = on_left @ tree.covers, on_right @ tree.covers
    came = np.maximum(gone_left + gone_right, 1.0)
    share = np.where(on_left, (gone_left / came)[:, None], np.where(on_right, (gone_right / came)[:, None], 1.0))
    owner = owners[tree.columns]
    shares, concerned = np.ones((players, len(leaves))), np.zeros((players, len(leaves)), np.bool_)
    np.multiply.at(shares, owner, share)
    np.logical_or.at(concerned, owner, on_left | on_right)
    return np.where(concerned, shares, np.nan).T


def _table(values: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each player contributes by the pattern of those whose conditions are met.

    Args:
        values: float64, leaves.
        shares: float64, leaves x players on their paths, as many for each.

    Returns:
        float64, leaves x (players * patterns); bit ``j`` of a pattern is for player ``j``.
    """
    count = shares.shape[1]
    met = ((np.arange(1 << count) >> np.arange(count)[:, None]) & 1).astype(np.float64)
    table = np.zeros((len(values), count, 1 << count))
    for node, weight in zip(0.5 + 0.5 * _NODES, 0.5 * _WEIGHTS, strict=True):
        factors = node * met + (1.0 - node) * shares[:, :, None]
        for player in range(count):
            table[:, player] += weight * np.delete(factors, player, axis=1).prod(axis=1)
    table *= values[:, None, None] * (met - shares[:, :, None])
    return table.reshape(len(values), -1)


@kernel
def _contribute(
    values: NDArray[np.float32],
    splits: NDArray[np.int64],
    columns: NDArray[np.int64],
    owners: NDArray[np.int64],
    thresholds: NDArray[np.float32],
    nan_left: NDArray[np.bool_],
    off_left: NDArray[np.uint32],
    off_right: NDArray[np.uint32],
    leaves: NDArray[np.int64],
    members: NDArray[np.int64],
    member: NDArray[np.int64],
    tables: NDArray[np.int64],
    table: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Add up the contributions (players x rows) of all leaves to rows, given by column (columns x blocks of rows).

    A set of bits for each player and row holds the leaves on whose paths the row meets all of the player's conditions;
    each split takes away the leaves on its other side.
    """
    players, rows = found.shape
    met, pattern = np.empty((players, _BLOCK), np.uint32), np.empty(_BLOCK, np.uint32)
    sums = np.empty((players, _BLOCK))
    for first in range(0, rows, _BLOCK):
        count = min(_BLOCK, rows - first)
        sums[:] = 0.0
        for tree in range(len(splits) - 1):
            met[:] = _ALL
            for split in range(splits[tree], splits[tree + 1]):
                column, threshold = values[columns[split], first : first + _BLOCK], thresholds[split]
                gone_right, gone_left, left = off_left[split], off_right[split], met[owners[split]]
                # A comparison with NaN is false, so the way it is asked decides where NaN goes.
                if nan_left[split]:
                    for i in range(_BLOCK):
                        left[i] &= gone_right if column[i] > threshold else gone_left
                else:
                    for i in range(_BLOCK):
                        left[i] &= gone_left if column[i] <= threshold else gone_right
            for leaf in range(leaves[tree], leaves[tree + 1]):
                place = np.uint32(leaf - leaves[tree])
                begin, size = members[leaf], members[leaf + 1] - members[leaf]
                pattern[:] = 0
                for k in range(size):
                    bit, left = np.uint32(k), met[member[begin + k]]
                    for i in range(_BLOCK):
                        pattern[i] |= ((left[i] >> place) & np.uint32(1)) << bit
                for k in range(size):
                    start = tables[leaf] + (k << size)
                    own, total = table[start : start + (1 << size)], sums[member[begin + k]]
                    for i in range(count):
                        total[i] += own[pattern[i]]
        found[:, first : first + count] = sums[:, :count]
