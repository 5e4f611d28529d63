"""Figures of an evaluation, one function each, sized for a notebook.

Every function returns a `matplotlib.figure.Figure` of its own and leaves the settings of Matplotlib as they are; a
notebook shows it once it has run ``%matplotlib inline``. Colours are those of Okabe & Ito (2008), which people tell
apart who do not see all colours.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from features.spec import GROUPS
from matching.contributions import OWN
from training.evaluation import HEADLINE, Evaluation
from training.ranker import TreeChoice
from training.reliability import Reliability
from training.sensitivity import FULL
from training.tuning import COMPLETE, SEARCHED, Tuning

_BLUE, _VERMILLION, _GREY, _PALE, _INK = "#0072B2", "#D55E00", "#7F7F7F", "#E4E4E4", "#222222"
_GROUP_COLOURS = dict(
    zip((*GROUPS, OWN), (_BLUE, "#E69F00", "#009E73", _VERMILLION, "#CC79A7", "#56B4E9", _INK), strict=True)
)
_WIDTH, _HEIGHT, _ROW = 7.0, 4.0, 0.25
_TITLE, _LABEL, _TICK, _NOTE = 11.0, 9.5, 9.0, 8.5
_LONGEST_NAME = 32
_SMALL = 0.1
"""Probabilities are small where half of the bins lie below this."""

_STEPS = 25
_ROOT = (lambda p: np.sqrt(np.maximum(p, 0.0)), np.square)
_ROOT_TICKS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)


def metrics(evaluation: Evaluation) -> Figure:
    """Show every ranker's metrics with their intervals, the best by NDCG@10 on top; one panel for each metric."""
    table = evaluation.metrics
    names = list(table["metric"].unique())
    order = table[table["metric"] == HEADLINE].sort_values("value")["ranker"].tolist()
    figure = _figure(
        f"Metrics of {evaluation.subject} and its rivals on the same {evaluation.lists:,} lists, with 95 % intervals",
        max(2.4, 1.3 + _ROW * len(order)),
    )
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, names, strict=True):
        found = table[table["metric"] == metric].set_index("ranker").loc[order]
        colours = [_BLUE if ranker == evaluation.subject else _GREY for ranker in order]
        _intervals(axes, found["value"], found["low"], found["high"], colours)
        for place, (value, colour) in enumerate(zip(found["value"], colours, strict=True)):
            axes.annotate(
                f"{value:.3f}",
                (value, place),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=7.5,
                color=colour,
            )
        _tidy(axes, f"{_written(metric)}, mean over lists", grid="x")
        axes.xaxis.set_major_locator(MaxNLocator(4))
    _named_rows(panels[0], order, emphasised=evaluation.subject)
    return figure


def differences(evaluation: Evaluation, rivals: Sequence[str] | None = None) -> Figure:
    """Show by slice how much more NDCG@10 the subject has than its rivals on the same lists; a panel for each rival.

    Args:
        evaluation: what is shown.
        rivals: their names; the two with the most NDCG@10 if None.

    Raises:
        ValueError: there is no rival, or none of such a name.
    """
    table = evaluation.differences[evaluation.differences["metric"] == HEADLINE]
    if rivals is None:
        whole = evaluation.metrics[evaluation.metrics["metric"] == HEADLINE].sort_values("value", ascending=False)
        rivals = whole["ranker"][whole["ranker"] != evaluation.subject].tolist()[:2]
    known = table["rival"].unique()
    if not rivals or not set(rivals) <= set(known):
        raise ValueError(f"no such rival of {evaluation.subject!r}: there are {', '.join(known) or 'none'}")
    found = {rival: table[table["rival"] == rival].set_index("slice") for rival in rivals}
    first = found[rivals[0]]
    names = first.index.tolist()
    places = _in_families(names)
    figure = _figure(
        "NDCG@10 gained over a rival by slice (lists in brackets), with 95 % intervals",
        max(2.4, 1.5 + _ROW * (1 - places.min())),
    )
    panels = figure.subplots(1, len(rivals), sharex=True, sharey=True, squeeze=False)[0]
    for axes, rival in zip(panels, rivals, strict=True):
        shown = found[rival].loc[names]
        _compared(axes, shown["value"], shown["low"], shown["high"], places)
        _tidy(axes, f"over {rival}", grid="x")
        axes.xaxis.set_major_locator(MaxNLocator(max(2, 8 // len(rivals))))
    labels = [f"{_short(name)}  ({lists:,})" for name, lists in zip(names, first["lists"], strict=True)]
    _named_rows(panels[0], labels, places, emphasised=labels[0])
    _legend_of_signs(figure, f"{evaluation.subject} is better", f"{evaluation.subject} is worse")
    return figure


def reliability(found: Mapping[str, Reliability]) -> Figure:
    """Show the observed share against the predicted probability, and below it how predictions are spread.

    The scale is that of the square root where probabilities are small, so that low bins can be told apart.

    Args:
        found: name of the outcome -> what `training.reliability` says of it; at least one.
    """
    figure = _figure(
        "Observed share against predicted probability: true predictions lie on the dashed line", _HEIGHT + 0.8
    )
    panels = figure.subplots(2, len(found), sharex="col", squeeze=False, height_ratios=(4, 1))
    for (name, one), curve, spread in zip(found.items(), panels[0], panels[1], strict=True):
        small = bool(one.bins["predicted"].median() < _SMALL)
        _curve(curve, name, one, small=small)
        _tidy(curve, "", grid="both")
        _spread(spread, one.percentiles, curve.get_xlim(), small=small)
        _tidy(spread, "predicted probability", grid="y")
    panels[0][0].set_ylabel("observed share of rows", fontsize=_LABEL, color=_INK)
    panels[1][0].set_ylabel("rows", fontsize=_LABEL, color=_INK)
    return figure


def importance(gain_table: pd.DataFrame, top: int = 20) -> Figure:
    """Show the columns that the trees gained most from, coloured by feature group.

    Args:
        gain_table: as of `training.importance.gain`.
        top: columns to show.
    """
    shown = gain_table.head(top).iloc[::-1]
    figure = _figure(
        f"The {len(shown)} columns with the largest gain: {100 * shown['share'].sum():.0f} % of the gain of all "
        f"{len(gain_table)}",
        max(2.4, 1.3 + _ROW * len(shown)),
    )
    axes = figure.subplots()
    axes.barh(np.arange(len(shown)), shown["share"], height=0.7, color=[_GROUP_COLOURS[g] for g in shown["group"]])
    _named_rows(axes, shown["feature"].tolist())
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0 if shown["share"].max() > 0.04 else 1))
    _tidy(axes, "share of the total gain", grid="x")
    present = [group for group in _GROUP_COLOURS if group in set(shown["group"])]
    _legend(figure, [Patch(color=_GROUP_COLOURS[group], label=group) for group in present])
    return figure


def permutation(table: pd.DataFrame, top: int = 20) -> Figure:
    """Show what NDCG@10 loses when columns are permuted across lists.

    Args:
        table: as of `training.importance.permutation`.
        top: rows to show, those with the largest loss.
    """
    shown = table.head(top).iloc[::-1]
    figure = _figure(
        "NDCG@10 lost when columns are taken from other lists, with 95 % intervals",
        max(2.4, 1.0 + _ROW * len(shown)),
    )
    axes = figure.subplots()
    surely = [_BLUE if low > 0 else _GREY for low in shown["low"]]
    _intervals(axes, shown["value"], shown["low"], shown["high"], surely)
    _zero_line(axes)
    _named_rows(axes, shown["name"].tolist())
    _tidy(axes, "loss of NDCG@10 (grey: may be chance)", grid="x")
    return figure


def ablation(table: pd.DataFrame) -> Figure:
    """Show how NDCG@10 changes when the ranker is refitted without a feature group.

    Args:
        table: as of `training.sensitivity.ablation`.
    """
    full = table[table["without"] == FULL].iloc[0]
    shown = table[table["without"] != FULL].sort_values("difference", ascending=False)
    figure = _figure(
        f"NDCG@10 without a feature group, minus the {full['value']:.3f} with all columns ({full['lists']:,} lists)",
        max(2.4, 1.5 + _ROW * len(shown)),
    )
    axes = figure.subplots()
    _compared(
        axes, shown["difference"], shown["difference_low"], shown["difference_high"], np.arange(len(shown), dtype=float)
    )
    _named_rows(axes, [f"without {group}" for group in shown["without"]])
    _tidy(axes, "difference of NDCG@10, with 95 % intervals", grid="x")
    _legend_of_signs(figure, "better without", "worse without")
    return figure


def learning_curve(table: pd.DataFrame) -> Figure:
    """Show NDCG@10 against how many of the latest lists the ranker has learned from.

    Args:
        table: as of `training.sensitivity.learning_curve`; shares without a value are not shown.
    """
    shown = table.dropna(subset=["value"]).sort_values("lists")
    figure = _figure("NDCG@10 of rankers that learned from ever more of the latest lists, with 95 % intervals", _HEIGHT)
    axes = figure.subplots()
    below, above = _reach(shown["value"], shown["low"], shown["high"])
    axes.errorbar(
        shown["lists"],
        shown["value"],
        yerr=(below, above),
        color=_BLUE,
        ecolor=_BLUE,
        elinewidth=1.2,
        capsize=3,
        marker="o",
        markersize=6,
        linewidth=1.8,
    )
    for lists, top, share in zip(shown["lists"], shown["value"] + above, shown["share"], strict=True):
        axes.annotate(
            f"{100 * share:.0f} %",
            (lists, top),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=_NOTE,
            color=_INK,
        )
    if len(shown):
        axes.set_xlim(0, 1.05 * shown["lists"].max())
    axes.margins(y=0.1)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel("NDCG@10 on the last part", fontsize=_LABEL, color=_INK)
    _tidy(axes, "lists learned from (labels: share of the history)", grid="y")
    return figure


def attention(table: pd.DataFrame, truth: Sequence[float] | None = None) -> Figure:
    """Show how attention falls with position.

    Args:
        table: as of `training.attention.attention`.
        truth: attention of the same positions, where it is known, as in a simulated market.
    """
    figure = _figure("Attention by position, relative to the first, with 95 % intervals", _HEIGHT)
    axes = figure.subplots()
    below, above = _reach(table["attention"], table["low"], table["high"])
    axes.errorbar(
        table["position"],
        table["attention"],
        yerr=(below, above),
        color=_BLUE,
        elinewidth=1.2,
        capsize=3,
        marker="o",
        markersize=6,
        linewidth=1.8,
        label="from swaps",
    )
    if truth is not None:
        axes.plot(table["position"], truth, color=_INK, linewidth=1.2, linestyle=(0, (4, 3)), label="the truth")
        _legend(figure, axes.get_legend_handles_labels()[0])
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("attention", fontsize=_LABEL, color=_INK)
    _tidy(axes, "position", grid="y")
    return figure


def trees(choice: TreeChoice) -> Figure:
    """Show how the number of trees was chosen: NDCG@10 on the validation lists of each fold, and their mean."""
    count = np.arange(1, len(choice.curve) + 1)
    figure = _figure("NDCG@10 on validation lists, by number of trees", _HEIGHT)
    axes = figure.subplots()
    for number, fold in enumerate(choice.folds):
        axes.plot(count, fold, color="#B0B0B0", linewidth=0.9, label="each fold" if number == 0 else None)
    axes.plot(count, choice.curve, color=_BLUE, linewidth=2.5, label="mean over folds, smoothed")
    place = min(choice.trees, len(choice.curve))
    axes.axvline(place, color=_VERMILLION, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(
        place,
        choice.curve[place - 1],
        marker="o",
        markersize=8,
        color=_VERMILLION,
        linestyle="none",
        label=f"chosen: {choice.trees} trees",
    )
    axes.set_xlim(0, len(count) + 1)
    axes.set_ylabel("NDCG@10", fontsize=_LABEL, color=_INK)
    _tidy(axes, "trees", grid="y")
    _legend(figure, axes.get_legend_handles_labels()[0])
    return figure


def tuning(found: Tuning) -> Figure:
    """Show the trials of a search: NDCG@10 by trial with the best so far, and by each parameter that was searched."""
    complete = found.trials[found.trials["state"] == COMPLETE]
    pruned = found.trials[found.trials["state"] != COMPLETE]
    figure = _figure("NDCG@10 on validation lists, by trial and by parameter", 2 * _HEIGHT)
    panels = figure.subplot_mosaic([["trial"] * 3, list(SEARCHED[:3]), list(SEARCHED[3:])])
    for name, axes in panels.items():
        axes.scatter(pruned[name], pruned["value"], color=_GREY, marker="x", s=26, label="given up early")
        axes.scatter(complete[name], complete["value"], color=_BLUE, s=26, label="finished")
        first = complete.iloc[:1]
        axes.scatter(first[name], first["value"], color=_VERMILLION, s=40, zorder=3, label="first: to be beaten")
        if name not in ("trial", "feature_fraction"):
            axes.set_xscale("log")
            decades = found.trials[name].max() / found.trials[name].min() > 100
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if decades else (1.0, 2.0, 5.0), numticks=5))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        _tidy(axes, name.replace("_", " "), grid="y")
    history = panels["trial"]
    history.step(complete["trial"], complete["value"].cummax(), where="post", color=_BLUE, label="best so far")
    history.xaxis.set_major_locator(MaxNLocator(integer=True))
    history.set_ylabel("NDCG@10", fontsize=_LABEL, color=_INK)
    _legend(figure, history.get_legend_handles_labels()[0])
    return figure


def _figure(title: str, height: float) -> Figure:
    figure = Figure(figsize=(_WIDTH, height), dpi=100, layout="constrained", facecolor="white")
    figure.suptitle(title, x=0.01, ha="left", fontsize=_TITLE, color=_INK, parse_math=False)
    return figure


def _tidy(axes: Axes, x_label: str, grid: Literal["both", "x", "y"]) -> None:
    axes.set_xlabel(x_label, fontsize=_LABEL, color=_INK, parse_math=False)
    axes.tick_params(labelsize=_TICK, length=0, labelcolor=_INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GREY)
    axes.grid(axis=grid, color=_PALE, linewidth=0.8)
    axes.set_axisbelow(True)


def _named_rows(
    axes: Axes, names: Sequence[str], places: NDArray[np.float64] | None = None, emphasised: str | None = None
) -> None:
    at = np.arange(len(names), dtype=np.float64) if places is None else places
    # Names are other people's words: a dollar sign in them is no formula.
    ticks = axes.set_yticks(at, names, parse_math=False)
    axes.set_ylim(at.min() - 0.7, at.max() + 0.7)
    for tick, name in zip(ticks, names, strict=True):
        tick.label1.set_fontweight("bold" if name == emphasised else "normal")


def _intervals(
    axes: Axes,
    values: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    colours: Sequence[str],
    places: NDArray[np.float64] | None = None,
) -> None:
    below, above = _reach(values, low, high)
    middle = np.asarray(values, dtype=np.float64)
    at = np.arange(len(middle), dtype=np.float64) if places is None else places
    axes.hlines(at, middle - below, middle + above, color=colours, linewidth=1.8)
    axes.scatter(middle, at, color=colours, s=34, zorder=3)


def _compared(axes: Axes, values: ArrayLike, low: ArrayLike, high: ArrayLike, places: NDArray[np.float64]) -> None:
    ends = zip(np.asarray(low), np.asarray(high), strict=True)
    colours = [_BLUE if begin > 0 else _VERMILLION if end < 0 else _GREY for begin, end in ends]
    _intervals(axes, values, low, high, colours, places)
    _zero_line(axes)


def _zero_line(axes: Axes) -> None:
    axes.axvline(0, color=_INK, linewidth=1, zorder=1)


def _reach(values: ArrayLike, low: ArrayLike, high: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far an interval reaches to either side; nowhere where it is infinite, since no axis could show it."""
    middle = np.asarray(values, dtype=np.float64)
    below, above = middle - np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64) - middle
    return np.where(np.isfinite(below), below, 0.0), np.where(np.isfinite(above), above, 0.0)


def _legend_of_signs(figure: Figure, better: str, worse: str) -> None:
    meanings = ((_BLUE, better), (_VERMILLION, worse), (_GREY, "may be chance"))
    _legend(
        figure,
        [
            Line2D([], [], color=colour, marker="o", markersize=6, linewidth=1.8, label=meaning)
            for colour, meaning in meanings
        ],
    )


def _legend(figure: Figure, handles: Sequence[Artist]) -> None:
    # Below the axes, where it can hide nothing.
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=_TICK)


def _in_families(names: Sequence[str]) -> NDArray[np.float64]:
    """Return the height of each slice, from 0 downwards, with room between those of different kinds."""
    kinds = [name.split(":")[0] for name in names]
    breaks = np.cumsum([0, *(0.5 * (kind != before) for before, kind in pairwise(kinds))])
    return np.asarray(-(np.arange(len(names)) + breaks), dtype=np.float64)


def _curve(axes: Axes, name: str, one: Reliability, *, small: bool) -> None:
    bins = one.bins
    ends = np.concatenate([bins["low"], bins["high"], one.percentiles])
    low, high = (0.0, float(ends.max())) if small else (float(ends.min()), float(ends.max()))
    room = 0.04 * (high - low)
    limits = (max(0.0, low - room), min(1.0, high + room))
    axes.plot(limits, limits, color=_GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    below, above = _reach(bins["observed"], bins["low"], bins["high"])
    axes.errorbar(
        bins["predicted"],
        bins["observed"],
        yerr=(below, above),
        color=_BLUE,
        elinewidth=1.2,
        linestyle="none",
        marker="o",
        markersize=4.5,
        clip_on=False,
    )
    axes.plot(bins["predicted"], bins["observed"], color=_BLUE, linewidth=1, alpha=0.4)
    if small:
        axes.set_xscale("function", functions=_ROOT)
        axes.set_yscale("function", functions=_ROOT)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator(_ROOT_TICKS))
            axis.set_major_formatter("{x:g}")
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    axes.set_title(
        f"{name}\n"
        f"calibration error {one.error:.3f} (chance: up to {one.noise:.3f})\n"
        f"log loss {one.log_loss:.3f} (base rate alone: {one.constant_log_loss:.3f})",
        fontsize=_NOTE,
        color=_INK,
        loc="left",
        linespacing=1.4,
        parse_math=False,
    )


def _spread(axes: Axes, percentiles: NDArray[np.float64], limits: tuple[float, float], *, small: bool) -> None:
    to_axis, from_axis = _ROOT if small else (np.asarray, np.asarray)
    edges = from_axis(np.linspace(to_axis(limits[0]), to_axis(limits[1]), _STEPS + 1)).tolist()
    axes.hist(percentiles, edges, weights=np.full(len(percentiles), 1 / len(percentiles)), color=_GREY)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.yaxis.set_major_locator(MaxNLocator(2))


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1].rstrip()}…"


def _written(metric: str) -> str:
    return metric.replace("ndcg", "NDCG").replace("mrr", "MRR")
