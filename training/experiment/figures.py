"""Figures of an experiment; see `training.plots`, whose style they share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from training.aliases import CHAMPION
from training.experiment.contestants import NIGHTLY, ORACLE, POLICIES, REFERENCE, USUAL
from training.experiment.measures import LEAST_HOURS, MEASURES
from training.experiment.results import Results
from training.plots import (
    BLUE,
    GREY,
    INK,
    LABEL,
    NOTE,
    ROW,
    VERMILLION,
    intervals,
    legend_of_signs,
    named_rows,
    new_figure,
    tidy,
    zero_line,
)

_COLOURS = dict(
    zip(
        POLICIES,
        ("#B0B0B0", GREY, "#E69F00", "#F0E442", "#56B4E9", "#CC79A7", "#8C6D46", BLUE, VERMILLION, "#009E73", INK),
        strict=True,
    )
)
_PANELS = 3
_MOST = 0.99
"""Quantile of pay per hour at which the axis ends."""


def all_figures(results: Results) -> dict[str, Figure]:
    """Return name -> figure: all that an experiment can show."""
    figures = {"days": days(results), "workers": workers(results)}
    if compared := {*results.policies} - {REFERENCE}:
        figures = {"differences": differences(results), **figures}
    if ORACLE in compared and len(compared) > 1:
        figures["way_to_oracle"] = way_to_oracle(results)
    return figures


def differences(results: Results) -> Figure:
    """Show what every policy has more than newest first in the same worlds, a panel for each main measure."""
    summary = results.summary()
    present = [each for each in MEASURES if each.main and each.name in set(summary["measure"])]
    shown = [each for each in present if each.name not in ("worse_off", "way_to_oracle")]
    names = [name for name in results.policies if name != REFERENCE][::-1]
    rows = -(-len(shown) // _PANELS)
    figure = new_figure(
        f"Difference from newest first in the same worlds ({len(results.seeds)} seeds), with 95 % intervals",
        rows * max(1.7, 0.9 + 0.8 * ROW * len(names)) + 0.6,
    )
    panels = figure.subplots(rows, _PANELS, sharey=True, squeeze=False)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for measure, axes in zip(shown, panels.flat, strict=False):
        table = summary[summary["measure"] == measure.name].set_index("policy").reindex(names)
        sign = 1 if measure.better == "more" else -1
        ends = zip(table["difference_low"], table["difference_high"], strict=True)
        colours = [GREY if low <= 0 <= high else BLUE if sign * low > 0 else VERMILLION for low, high in ends]
        intervals(axes, table["difference"], table["difference_low"], table["difference_high"], colours)
        zero_line(axes)
        share = measure.unit == "%"
        tidy(axes, "points" if share else measure.unit, grid="x")
        axes.set_title(measure.label, fontsize=NOTE, color=INK, loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        if share:
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    for row in panels:
        named_rows(row[0], names)
    legend_of_signs(figure, "better", "worse")
    return figure


def days(results: Results) -> Figure:
    """Show pay per hour, search included, day by day; all seeds together."""
    table = results.days().groupby(["policy", "day"])[["earned", "hours"]].sum()
    rates = (table["earned"] / table["hours"]).unstack("policy")
    figure = new_figure("Pay per hour, unpaid time included, by day of the experiment; all seeds together", 4.2)
    axes = figure.subplots()
    for name in results.policies:
        axes.plot(rates.index + 1, rates[name], **_line(name))
    axes.set_ylabel("USD per hour", fontsize=LABEL, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes, "day of the list or the acceptance", grid="y")
    _legend_of_policies(figure, results.policies)
    return figure


def workers(results: Results) -> Figure:
    """Show which share of workers earns less than so much per hour, search included."""
    table = results.workers()
    table = table[table["hours"] >= LEAST_HOURS]
    figure = new_figure(f"Workers by pay per hour, search included ({LEAST_HOURS:g} hour of time at least)", 4.2)
    axes = figure.subplots()
    for name in results.policies:
        rates = np.sort(table.loc[table["policy"] == name, "hourly"])
        axes.step(rates, np.arange(1, len(rates) + 1) / max(len(rates), 1), where="post", **_line(name))
    if len(table):
        axes.set_xlim(0, float(table["hourly"].quantile(_MOST)))
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_ylabel("share of workers who earn less", fontsize=LABEL, color=INK)
    tidy(axes, "USD per hour", grid="both")
    _legend_of_policies(figure, results.policies)
    return figure


def way_to_oracle(results: Results) -> Figure:
    """Show how far policies come from newest first to the oracle in pay per hour; what is missing is the regret."""
    summary = results.summary()
    table = summary[summary["measure"] == "way_to_oracle"].set_index("policy")
    names = [name for name in results.policies if name not in (REFERENCE, ORACLE)][::-1]
    shown = table.loc[names]
    figure = new_figure(
        "Way from newest first to the oracle in pay per hour; what is missing is the regret",
        max(2.2, 1.2 + ROW * len(names)),
    )
    axes = figure.subplots()
    places = np.arange(len(names))
    axes.barh(places, shown["value"], height=0.6, color=[_COLOURS[name] for name in names])
    intervals(axes, shown["value"], shown["low"], shown["high"], [INK] * len(names))
    zero_line(axes)
    axes.axvline(1.0, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    named_rows(axes, names)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    # Where the oracle gains next to nothing, intervals of the ratio have no bounds worth showing.
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, -1.0), min(high, 2.0))
    tidy(axes, "mean over seeds, with 95 % intervals", grid="x")
    return figure


def _line(policy: str) -> dict[str, Any]:
    strong = policy in (REFERENCE, USUAL, CHAMPION, NIGHTLY, ORACLE)
    dashed = policy in (REFERENCE, USUAL, ORACLE)
    return {
        "color": _COLOURS[policy],
        "linewidth": 2.0 if strong else 1.1,
        "linestyle": (0, (4, 2)) if dashed else "solid",
        "zorder": 3 if strong else 2,
    }


def _legend_of_policies(figure: Figure, policies: Sequence[str]) -> None:
    lines = [Line2D([], [], label=name, **_line(name)) for name in policies]
    figure.legend(handles=lines, loc="outside lower center", ncols=5, frameon=False, fontsize=NOTE)
