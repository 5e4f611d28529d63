"""Trees of a LightGBM model as flat arrays, by which `matching.additive` scores a list of rows.

`lightgbm.Booster.predict` walks down one tree for one row at a time, and each step waits for the one before. Scores are
those of LightGBM, bit for bit.
"""

from dataclasses import dataclass
from typing import TypeVar

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from matching.additive import ALL, DE_BRUIJN, LEAVES, NO_CURVE, NO_LINEARS, SPLIT, Trees, predict

Number = TypeVar("Number", bound=np.generic)

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_NONE, _MISSING_ZERO = 0, 1
"""Bits of the ``decision_type`` of a split, and the type of missing values that is in its upper bits."""


class ForestError(ValueError):
    """A model whose trees this module cannot hold; LightGBM itself can score with it."""


@dataclass(frozen=True, eq=False)
class Forest:
    """The trees of a model.

    Attributes:
        width: columns of a row.
        trees: as kernels take them.
    """

    width: int
    trees: Trees

    @classmethod
    def of(cls, booster: lgb.Booster) -> "Forest":
        """Read the trees of a model.

        Raises:
            ForestError: see `trees_of`.
        """
        trees = trees_of(booster)
        used, places = np.unique(joined([tree.columns for tree in trees], np.int64), return_inverse=True)
        leaves = np.zeros((len(trees), LEAVES))
        for number, tree in enumerate(trees):
            leaves[number, _hashed(np.arange(len(tree.values)))] = tree.values
        splits = np.empty(len(places), SPLIT)
        splits["threshold"] = joined([tree.thresholds for tree in trees], np.float32)
        splits["kept"] = ~joined([tree.left for tree in trees], np.uint32)
        splits["column"], splits["nan_left"] = places, joined([tree.nan_left for tree in trees], np.bool_)
        starts = np.cumsum([0, *(len(tree.columns) for tree in trees)], dtype=np.int64)
        return cls(booster.num_feature(), Trees(used, starts, splits, leaves))

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the raw score of each row (float64, rows) of ``features`` (float32, rows x columns).

        Raises:
            ValueError: the number of columns is not that of the model.
        """
        self.check(features)
        return predict(NO_LINEARS, self.trees, NO_CURVE, features)

    def check(self, features: NDArray[np.float32]) -> None:
        """See that rows are as wide as those of the model.

        Raises:
            ValueError: they are not.
        """
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ValueError(f"features of shape {features.shape} for a model of {self.width} columns")


@dataclass(frozen=True, eq=False)
class Tree:
    """A tree as LightGBM decides by it, for 32-bit features. Its leaves have places from left to right.

    Attributes:
        columns: int64, splits; the column that each looks at.
        thresholds: float32, splits; what is above goes to the right.
        nan_left: bool, splits; where NaN goes.
        left: uint32, splits; the leaves below on the left, a bit for each place.
        right: uint32, splits; the leaves below on the right.
        values: float64, leaves.
        covers: float64, leaves; rows of the training set that ended there.
    """

    columns: NDArray[np.int64]
    thresholds: NDArray[np.float32]
    nan_left: NDArray[np.bool_]
    left: NDArray[np.uint32]
    right: NDArray[np.uint32]
    values: NDArray[np.float64]
    covers: NDArray[np.float64]

    @classmethod
    def parse(cls, text: str) -> "Tree":
        """Read a tree of a model's text.

        Raises:
            ForestError: see `trees_of`.
        """
        fields = _fields(text.split("\n\n", 1)[0])
        decisions = _numbers(fields["decision_type"], np.int64)
        thresholds = _numbers(fields["threshold"], np.float64)
        values = _numbers(fields["leaf_value"], np.float64)
        if len(values) > LEAVES:
            raise ForestError(f"a tree has {len(values)} leaves, and a forest holds trees of at most {LEAVES}")
        missing = decisions >> 2
        if (decisions & _CATEGORICAL).any() or (missing == _MISSING_ZERO).any() or fields["is_linear"] != "0":
            raise ForestError("a forest holds no linear trees, categorical splits or zeros that count as missing")
        children = [_numbers(fields[f"{side}_child"], np.int64).tolist() for side in ("left", "right")]
        left, right, order = _from_left_to_right(*children)
        return cls(
            columns=_numbers(fields["split_feature"], np.int64),
            thresholds=_down(thresholds),
            # Where LightGBM has met no missing value in training, it takes one for 0.
            nan_left=np.where(missing == _MISSING_NONE, thresholds >= 0.0, (decisions & _DEFAULT_LEFT) != 0),
            left=np.array(left, np.uint32),
            right=np.array(right, np.uint32),
            values=values[order],
            covers=_numbers(fields["leaf_count"], np.float64)[order],
        )


def trees_of(booster: lgb.Booster) -> list[Tree]:
    """Return the trees of a model.

    Raises:
        ForestError: a tree has more than ``LEAVES`` leaves, or the model is of a kind that is not trained here:
            several classes, averaged trees, linear leaves, categorical splits, or zeros that count as missing.
    """
    head, *trees = booster.model_to_string().split("\nTree=")
    if _fields(head)["num_tree_per_iteration"] != "1" or "average_output" in head.splitlines():
        raise ForestError("only models that sum trees for a single score can be held as a forest")
    return [Tree.parse(tree) for tree in trees]


def joined(parts: list[NDArray[Number]], dtype: type[Number]) -> NDArray[Number]:
    """Return arrays as one, which is empty if there are none."""
    return np.concatenate([np.empty(0, dtype), *parts])


def _from_left_to_right(left: list[int], right: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Return the leaves on the left and on the right of each split, as bits, and the leaves in order of place.

    Children are numbers of splits, or of leaves as ``-1 - leaf``.
    """
    lefts, rights, order = [0] * len(left), [0] * len(left), []

    def visit(node: int) -> int:
        """Return the bits of the leaves below."""
        if node < 0:
            order.append(-1 - node)
            return 1 << len(order) - 1
        lefts[node], rights[node] = visit(left[node]), visit(right[node])
        return lefts[node] | rights[node]

    visit(0 if left else -1)
    return lefts, rights, order


def _hashed(places: NDArray[np.int64]) -> NDArray[np.int64]:
    return ((DE_BRUIJN << places) & int(ALL)) >> 27


def _down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest 32-bit numbers that are not above: a 32-bit feature is above the one if above the other."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    return np.asarray(np.where(rounded > values, np.nextafter(rounded, np.float32(-np.inf)), rounded), np.float32)


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _numbers(text: str, dtype: type[Number]) -> NDArray[Number]:
    return np.array(text.split(), dtype)
