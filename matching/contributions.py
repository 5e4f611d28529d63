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

Rows are bits of a word here: of the rows of a list most meet the same conditions, as they have the worker in common, so
a leaf is looked up once for most of them and once more for each other pattern.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import lightgbm as lgb
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from features.jit import kernel
from features.spec import FEATURES, GROUPS
from matching.additive import ZERO
from matching.calibration import Additive
from matching.forest import ForestError, Tree, joined, trees_of

Contributor = Callable[[NDArray[np.float32], int], NDArray[np.float64]]
"""Given rows and how many of them are asked for, the first ones, gives what each group contributes to their scores,
above its mean over the other rows, 0 where there are none; float64, asked x groups in the order of `groups_of`."""

OWN = "own"
"""The group of columns that the spec does not know."""

PLAYERS = 8
"""Groups that the path to a leaf may concern: more would take a finer integral and larger tables."""

_BLOCK = 64
"""Rows at once: as many as a word has bits."""

_ALL = 0xFFFFFFFFFFFFFFFF
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

    def contribute(features: NDArray[np.float32], asked: int) -> NDArray[np.float64]:
        found = by_trees(features, asked)
        _add_above_others(model.linear_contributions(features, players, len(groups)), found)
        return found

    return contribute


def above_others(contributions: NDArray[np.float64], asked: int) -> NDArray[np.float64]:
    """Return the first rows of contributions less the mean of the others, which is 0 where there are none."""
    found = np.zeros((asked, contributions.shape[1]))
    _add_above_others(contributions, found)
    return found


@kernel
def _add_above_others(contributions: NDArray[np.float64], found: NDArray[np.float64]) -> None:
    """Add to as many rows as there are in ``found`` the first of contributions less the mean of the others, if any."""
    asked, players = found.shape
    for player in range(players):
        others = 0.0
        for row in range(asked, len(contributions)):
            others += contributions[row, player]
        mean = others / max(1, len(contributions) - asked)
        for row in range(asked):
            found[row, player] += contributions[row, player] - mean


def _by_trees(booster: lgb.Booster, owners: NDArray[np.int64], players: int) -> Contributor:
    try:
        return GroupShap.of(booster, owners, players).contributions
    except ForestError:
        summed = (owners[:, None] == np.arange(players)).astype(np.float64)
        return lambda features, asked: above_others(_by_column(booster, features) @ summed, asked)


def _by_column(booster: lgb.Booster, features: NDArray[np.float32]) -> NDArray[np.float64]:
    if len(features) == 0:
        return np.empty(features.shape)
    found = np.asarray(booster.predict(features, pred_contrib=True, num_threads=1), np.float64)
    return found[:, : booster.num_feature()]


@dataclass(frozen=True, eq=False)
class GroupShap:
    """The contributions of a model's trees, in tables.

    A word holds a bit for each row of a block: whether it meets all conditions of one player down to some node. Word 0
    is that of a player without any, ``1 + 2 * i`` that of the player of split ``i`` on its left, the next on its right.

    Attributes:
        width: columns of a row.
        players: how many there are.
        expected: the score that is expected of a row of which nothing is known.
        columns: int32, cuts, which are the distinct conditions of splits; the column that each looks at, rising.
        thresholds: float32, cuts; what is above goes to the right.
        nan_left: bool, cuts; where NaN goes.
        cuts: int32, splits of all trees, parents first; the cut of each.
        before: int32, splits; the word of the same player above the split.
        sizes: uint8, leaves; how many players there are on the path of each.
        members: uint8, those players, leaf by leaf.
        words: uint32, the word of each of them at the leaf.
        tables: uint32, leaves; where the table of each begins in ``table``.
        table: float64; of each leaf with ``k`` players, by the pattern of those whose conditions a row meets, what each
            of them contributes: ``2^k`` times ``k`` numbers.
    """

    width: int
    players: int
    expected: float
    columns: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    nan_left: NDArray[np.bool_]
    cuts: NDArray[np.int32]
    before: NDArray[np.int32]
    sizes: NDArray[np.uint8]
    members: NDArray[np.uint8]
    words: NDArray[np.uint32]
    tables: NDArray[np.uint32]
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
        thresholds = joined([tree.thresholds for tree in trees], np.float32)
        nan_left = joined([tree.nan_left for tree in trees], np.bool_)
        conditions, cuts = np.unique(np.column_stack([columns, thresholds, nan_left]), axis=0, return_inverse=True)
        firsts = accumulate((len(tree.columns) for tree in trees), initial=0)
        walks = [_words(tree, owners, players, first) for tree, first in zip(trees, firsts, strict=False)]
        words = np.concatenate([np.empty((0, players), np.int64), *(words for _, words in walks)])
        shares = np.concatenate([np.empty((0, players)), *(_shares(tree, owners, players) for tree in trees)])
        values = joined([tree.values for tree in trees], np.float64)
        on_path = words > 0
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
            expected=float((values * shares.prod(axis=1)).sum()),
            columns=conditions[:, 0].astype(np.int32),
            thresholds=conditions[:, 1].astype(np.float32),
            nan_left=conditions[:, 2].astype(np.bool_),
            cuts=cuts.reshape(-1).astype(np.int32),
            before=joined([before for before, _ in walks], np.int64).astype(np.int32),
            sizes=counts.astype(np.uint8),
            members=np.nonzero(on_path)[1].astype(np.uint8),
            words=words[on_path].astype(np.uint32),
            tables=tables.astype(np.uint32),
            table=table,
        )

    def contributions(self, features: NDArray[np.float32], asked: int) -> NDArray[np.float64]:
        """Return what each player contributes to the raw scores of the first rows, above its mean over the others.

        Without others, these and ``expected`` add up to the score.

        Args:
            features: float32, rows x columns.
            asked: how many rows are the first.

        Returns:
            float64, asked x players.

        Raises:
            ValueError: the number of columns is not that of the model.
        """
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ValueError(f"features of shape {features.shape} for a model of {self.width} columns")
        found = np.empty((asked, self.players))
        _contribute(
            features,
            self.columns,
            self.thresholds,
            self.nan_left,
            self.cuts,
            self.before,
            self.sizes,
            self.members,
            self.words,
            self.tables,
            self.table,
            found,
        )
        return found


def _sides(tree: Tree) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which leaves are below each split on the left, and which on the right (bool, splits x leaves)."""
    leaves = np.arange(len(tree.values), dtype=np.uint32)
    left, right = (((side[:, None] >> leaves) & 1).astype(np.bool_) for side in (tree.left, tree.right))
    return left, right


def _words(
    tree: Tree, owners: NDArray[np.int64], players: int, first: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the words of a tree whose first split is number ``first`` of all.

    Returns:
        int64, splits; the word of the same player above each. And int64, leaves x players; the word of each at a leaf,
        0 for one without conditions on the path there.
    """
    before, words = np.empty(len(tree.columns), np.int64), np.zeros((len(tree.values), players), np.int64)
    for split, (left, right) in enumerate(zip(*_sides(tree), strict=True)):
        owner = owners[tree.columns[split]]
        # Splits come after those above them, so all leaves below still have the same one.
        before[split] = words[left.argmax(), owner]
        words[left, owner], words[right, owner] = 1 + 2 * (first + split), 2 + 2 * (first + split)
    return before, words


def _shares(tree: Tree, owners: NDArray[np.int64], players: int) -> NDArray[np.float64]:
    """Return the share of rows that met all of a player's conditions on the path to a leaf; 1 without any.

    The share is the product over these splits of what went the leaf's way of the rows that came to the split. Float64,
    leaves x players.
    """
    on_left, on_right = _sides(tree)
    gone_left, gone_right = on_left @ tree.covers, on_right @ tree.covers
    came = np.maximum(gone_left + gone_right, 1.0)
    share = np.where(on_left, (gone_left / came)[:, None], np.where(on_right, (gone_right / came)[:, None], 1.0))
    shares = np.ones((players, len(tree.values)))
    np.multiply.at(shares, owners[tree.columns], share)
    return shares.T


def _table(values: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each player contributes by the pattern of those whose conditions are met.

    Args:
        values: float64, leaves.
        shares: float64, leaves x players on their paths, as many for each.

    Returns:
        float64, leaves x (patterns * players); bit ``j`` of a pattern is for player ``j``.
    """
    count = shares.shape[1]
    met = ((np.arange(1 << count)[:, None] >> np.arange(count)) & 1).astype(np.float64)
    table = np.zeros((len(values), 1 << count, count))
    for node, weight in zip(0.5 + 0.5 * _NODES, 0.5 * _WEIGHTS, strict=True):
        factors = node * met + (1.0 - node) * shares[:, None, :]
        for player in range(count):
            table[:, :, player] += weight * np.delete(factors, player, axis=2).prod(axis=2)
    table *= values[:, None, None] * (met - shares[:, None, :])
    return table.reshape(len(values), -1)


@intrinsic  # type: ignore[untyped-decorator]
def _ones(context: Any, word: Any) -> Any:
    """Return how many bits of a word of 64 bits are set."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _lowest(context: Any, word: Any) -> Any:
    """Return the place of the lowest bit that is set of a word of 64 bits, of which one is."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.int64(types.uint64), generate


@kernel
def _contribute(
    features: NDArray[np.float32],
    columns: NDArray[np.int32],
    thresholds: NDArray[np.float32],
    nan_left: NDArray[np.bool_],
    cuts: NDArray[np.int32],
    before: NDArray[np.int32],
    sizes: NDArray[np.uint8],
    members: NDArray[np.uint8],
    words: NDArray[np.uint32],
    tables: NDArray[np.uint32],
    table: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Fill the contributions of the first rows, above their means over the rows behind them.

    Args:
        features: float32, rows x columns.
        columns: int32, cuts; of `GroupShap`, as all up to ``table``.
        thresholds: float32, cuts.
        nan_left: bool, cuts.
        cuts: int32, splits.
        before: int32, splits.
        sizes: uint8, leaves.
        members: uint8, players on the paths to all leaves.
        words: uint32, likewise.
        tables: uint32, leaves.
        table: float64.
        found: float64, first rows x players; written.
    """
    zero, one, all_ones = np.uint64(0), np.uint64(1), np.uint64(_ALL)
    asked, players = found.shape
    seen, right = np.zeros(_BLOCK, np.float32), np.empty(columns.size, np.uint64)
    met, unusual = np.empty(1 + 2 * cuts.size, np.uint64), np.empty(PLAYERS, np.uint64)
    sums, usual = np.zeros(players), np.empty(players)
    found[:] = 0.0
    for first in range(0, len(features), _BLOCK):
        count = min(_BLOCK, len(features) - first)
        own = min(max(asked - first, 0), count)
        rows = all_ones >> np.uint64(_BLOCK - count)
        others = rows & ~(all_ones >> np.uint64(_BLOCK - own) if own else zero)
        for cut in range(columns.size):
            if cut == 0 or columns[cut] != columns[cut - 1]:
                for i in range(count):
                    value = features[first + i, columns[cut]]
                    seen[i] = np.float32(0.0) if abs(value) <= ZERO else value
            threshold, bits = thresholds[cut], zero
            # A comparison with NaN is false, so the way it is asked decides where NaN goes.
            if nan_left[cut]:
                for i in range(_BLOCK):
                    bits |= np.uint64(seen[i] > threshold) << np.uint64(i)
            else:
                for i in range(_BLOCK):
                    bits |= np.uint64(not seen[i] <= threshold) << np.uint64(i)
            right[cut] = bits
        met[0] = rows
        for split in range(cuts.size):
            above, gone = met[before[split]], right[cuts[split]]
            met[1 + 2 * split], met[2 + 2 * split] = above & ~gone, above & gone
        usual[:] = 0.0
        begin = zero
        for leaf in range(sizes.size):
            size, start = np.uint64(sizes[leaf]), np.uint64(tables[leaf])
            # The pattern of most rows is looked up for all of them, and then each other one for those that have it.
            most, left = zero, zero
            for number in range(size):
                k = np.uint64(number)
                word = met[words[begin + k]]
                by_most = np.uint64(2 * _ones(word) > count)
                most |= by_most << k
                unusual[k] = word ^ (rows & (zero - by_most))
                left |= unusual[k]
            common = start + most * size
            for number in range(size):
                k = np.uint64(number)
                usual[members[begin + k]] += table[common + k]
            while left:
                row, differs, alike = np.uint64(_lowest(left)), zero, left
                for number in range(size):
                    k = np.uint64(number)
                    bit = unusual[k] >> row & one
                    differs |= bit << k
                    alike &= ~(unusual[k] ^ (zero - bit))
                left &= ~alike
                times, special = _ones(alike & others), start + (most ^ differs) * size
                for number in range(size):
                    k = np.uint64(number)
                    player, more = members[begin + k], table[special + k] - table[common + k]
                    sums[player] += times * more
                    mine = alike & ~others
                    while mine:
                        found[np.uint64(first + _lowest(mine)), player] += more
                        mine &= mine - one
            begin += size
        for player in range(players):
            sums[player] += (count - own) * usual[player]
            for i in range(first, first + own):
                found[i, player] += usual[player]
    for player in range(players):
        mean = sums[player] / max(1, len(features) - asked)
        for i in range(asked):
            found[i, player] -= mean
