"""The report of an experiment: tables for people, and one page that needs nothing else."""

import base64
import math
from collections.abc import Mapping
from html import escape
from io import BytesIO
from string import Template

import pandas as pd
from matplotlib.figure import Figure

from training.experiment.contestants import REFERENCES
from training.experiment.measures import MEASURE, MEASURES, Measure
from training.experiment.results import OVER, Results, best

_PAGE = Template(
    """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #e4e4e4; text-align: right; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
td.best { font-weight: bold; color: #0072b2; }
div { overflow-x: auto; }
img { max-width: 100%; }
</style>
<h1>$title</h1>
<p>$about</p>
$sections
</html>
"""
)

_EXPLAINED = (
    "Mean over seeds and half the width of its 95 % interval (Student's t over seeds). In blue: the best policy; the "
    "oracle, which knows what nobody can know, is not among them."
)
_COMPARED = "What a policy has more than {} in the same worlds, with half the width of the 95 % interval."
_LIMITS = (
    "The worlds are simulated: workers choose by a logit over causes that Cocok has columns for, requesters do not "
    "react, and nobody cheats. A good figure here says that learning and serving work as they should, and how policies "
    "compare in such a world; not how much they would gain in a real market."
)


def heading(measure: Measure, *, compared: bool = False) -> str:
    """Return what stands above figures of a measure, or above differences; those of shares are points."""
    return f"{measure.label}, {'points' if compared and measure.unit == '%' else measure.unit}"


def written(measure: str, value: float, *, sign: bool = False) -> str:
    """Return a figure as people read it, in the unit of its heading; empty where there is none."""
    if not math.isfinite(value):
        return ""
    plus = "+" if sign else ""
    match MEASURE[measure].unit:
        case "%":
            return f"{100 * value:{plus}.1f}"
        case "USD" | "count":
            return f"{value:{plus},.0f}"
        case "h":
            return f"{value:{plus},.1f}"
        case _:
            return f"{value:{plus}.2f}"


def cells(summary: pd.DataFrame, *, compared: str = "", main: bool = False) -> pd.DataFrame:
    """Return the summary as a table of text, policies x measures.

    Args:
        summary: as of `Results.summary`.
        compared: differences from this policy, one of ``REFERENCES``, instead of the figures themselves; without those
            measures that are comparisons with newest first as they stand.
        main: only the main measures.
    """
    prefix = OVER[compared] if compared else "value"
    low, high = (f"{prefix}_low", f"{prefix}_high") if compared else ("low", "high")
    rows: dict[str, dict[str, str]] = {}
    for row in summary.to_dict("records"):
        measure = str(row["measure"])
        if main and not MEASURE[measure].main:
            continue
        if compared and (row["policy"] == compared or measure in ("worse_off", "way_to_oracle")):
            continue
        text = written(measure, float(row[prefix]), sign=bool(compared))
        beside = written(measure, (float(row[high]) - float(row[low])) / 2)
        rows.setdefault(str(row["policy"]), {})[measure] = f"{text} ±{beside}" if beside else text
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table[[measure.name for measure in MEASURES if measure.name in table]]


def page(results: Results, about: Mapping[str, object], figures: Mapping[str, Figure]) -> str:
    """Return the report as one HTML page.

    Args:
        results: of the experiment.
        about: name -> value of what was tried.
        figures: as of `training.experiment.figures`.
    """
    summary = results.summary()
    winners = best(summary)
    sections = [
        _section("Policies", _EXPLAINED, _table(cells(summary, main=True), winners)),
        *(
            _section(f"Against {REFERENCES[name]}", _COMPARED.format(REFERENCES[name]), _differences(summary, name))
            for name in results.references
        ),
        *(_section("", "", _image(figure)) for figure in figures.values()),
        _section("All measures", _EXPLAINED, _table(cells(summary), winners)),
        _section("What is measured", "", _glossary(summary)),
        _section("Cost", "CPU of all trials, the warm-up apart.", _costs(results)),
        _section("What it cannot tell", _LIMITS, ""),
    ]
    told = "; ".join(f"{escape(name)}: {escape(str(value))}" for name, value in about.items())
    return _PAGE.substitute(
        title="Cocok: policies in a simulated marketplace", about=told, sections="\n".join(sections)
    )


def _section(title: str, text: str, content: str) -> str:
    head = f"<h2>{escape(title)}</h2>" if title else ""
    words = f"<p>{escape(text)}</p>" if text else ""
    return f"{head}{words}<div>{content}</div>"


def _differences(summary: pd.DataFrame, reference: str) -> str:
    return _table(cells(summary, compared=reference, main=True), compared=True)


def _table(table: pd.DataFrame, winners: Mapping[str, str] | None = None, *, compared: bool = False) -> str:
    measures = [MEASURE[name] for name in map(str, table.columns)]
    head = "".join(
        f'<th title="{escape(each.meaning)}">{escape(heading(each, compared=compared))}</th>' for each in measures
    )
    body = []
    for policy, row in table.iterrows():
        marks = [' class="best"' if (winners or {}).get(str(name)) == policy else "" for name in table.columns]
        columns = "".join(f"<td{mark}>{escape(text)}</td>" for mark, text in zip(marks, row, strict=True))
        body.append(f"<tr><td>{escape(str(policy))}</td>{columns}</tr>")
    return f"<table><tr><th>policy</th>{head}</tr>{''.join(body)}</table>"


def _glossary(summary: pd.DataFrame) -> str:
    present = [MEASURE[name] for name in summary["measure"].unique()]
    rows = [f"<dt>{escape(heading(each))}</dt><dd>{escape(each.meaning)}.</dd>" for each in present]
    return f"<dl>{''.join(rows)}</dl>"


def _costs(results: Results) -> str:
    table = results.costs().rename(columns={"seconds": "CPU seconds", "lists_per_second": "lists a CPU second"})
    return table.to_html(index=False, border=0, float_format="{:,.1f}".format)


def _image(figure: Figure) -> str:
    drawn = BytesIO()
    figure.savefig(drawn, format="svg")
    return f'<img alt="" src="data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}">'
