import re

import pytest
from matplotlib.figure import Figure

from tests.training.experiment.test_results import outcome, results
from training.experiment.figures import all_figures
from training.experiment.measures import MEASURE, MEASURES
from training.experiment.report import cells, heading, page, written
from training.experiment.results import Results


def test_figures_are_written_in_their_units() -> None:
    assert written("hourly", 1.234) == "1.23"
    assert written("slots_filled", 0.4567) == "45.7"
    assert written("earned", 12345.6, sign=True) == "+12,346"
    assert written("hours_to_fill", float("nan")) == written("hourly", float("inf")) == ""


def test_a_cell_has_half_the_interval_beside_it() -> None:
    table = cells(results().summary())
    assert re.fullmatch(r"1\.25 ±\d+\.\d\d", table.loc["random", "hourly"])
    assert cells(results().summary(), compared="newest").loc["random", "hourly"].startswith("-0.25 ±")
    assert list(cells(results().summary(), compared="newest").index) == ["random", "oracle"]
    assert "wasted_clicks" not in cells(results().summary(), main=True)


def test_of_one_seed_there_is_no_interval() -> None:
    one = Results.of([outcome(1, "newest", 1.0), outcome(1, "random", 2.0)])
    assert cells(one.summary()).loc["random", "hourly"] == "2.00"
    assert set(all_figures(one)) == {"differences", "days", "workers"}


def test_what_was_tried_beside_the_usual_lists_is_compared_with_both() -> None:
    hourly = {"random": 1.5, "newest": 1.0, "usual": 1.25}
    both = Results.of([outcome(1, policy, value) for policy, value in hourly.items()])
    assert cells(both.summary(), compared="newest")["hourly"].to_dict() == {"random": "+0.50", "usual": "+0.25"}
    over_usual = cells(both.summary(), compared="usual")
    assert over_usual["hourly"].to_dict() == {"random": "+0.25", "newest": "-0.25"}
    assert "worse_off" not in over_usual
    heads = re.findall(r"<h2>(Against [\w ]+)</h2>", page(both, {}, {}))
    assert heads == ["Against newest first", "Against the usual lists"]


@pytest.mark.parametrize(("policies", "drawn"), [(("newest",), set()), (("newest", "oracle"), {"differences"})])
def test_without_another_policy_there_is_no_figure_of_differences(policies: tuple[str, ...], drawn: set[str]) -> None:
    few = Results.of([outcome(seed, policy, 1.0 + seed) for seed in (1, 2) for policy in policies])
    figures = all_figures(few)
    assert set(figures) == {"days", "workers"} | drawn
    assert ("Against newest first" in page(few, {}, figures)) == bool(drawn)


def test_the_page_stands_alone_and_marks_the_best() -> None:
    figures = all_figures(results())
    assert set(figures) == {"differences", "days", "workers", "way_to_oracle"}
    assert all(isinstance(figure, Figure) for figure in figures.values())
    html = page(results(), {"preset": "<standard>"}, figures)
    assert html.count("data:image/svg+xml;base64,") == 4
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "&lt;standard&gt;" in html
    first = html.partition("</table>")[0]
    assert re.findall(r"<tr><td>(\w+)</td>", first) == ["random", "newest", "oracle"]
    assert 'class="best">1.50' in html


def test_differences_of_shares_are_points() -> None:
    assert heading(MEASURE["retained"]) == "workers retained, %"
    assert heading(MEASURE["retained"], compared=True) == "workers retained, points"
    assert heading(MEASURE["hourly"], compared=True) == "pay per hour, USD/h"
    html = page(results(), {}, {})
    tables = html.split("<table>")
    measure = next(each for each in MEASURES if each.main and each.unit == "%" and each.label in tables[1])
    assert f"{measure.label}, %" in tables[1]
    assert f"{measure.label}, points" in tables[2]
    assert f"{measure.label}, %" not in tables[2]
