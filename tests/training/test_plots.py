"""Figures show what is in the tables, and can be drawn whatever is in them."""

from io import BytesIO

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training import plots
from training.evaluation import ALL, Evaluation
from training.metrics import Estimate
from training.ranker import RankerParameters, TreeChoice
from training.reliability import reliability
from training.tuning import COMPLETE, PRUNED, SEARCHED, Tuning

BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#7F7F7F"
SLICES = (ALL, "workers: new", "category: $1 to $5 jobs", f"category: {'x' * 200}")


def drawn(figure: Figure) -> Figure:
    """The figure after it was rendered, which is when Matplotlib finds what it cannot do."""
    figure.savefig(BytesIO(), format="png")
    return figure


def names(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def colours(axes: Axes) -> list[str]:
    """The colour of each dot, from the first row to the last."""
    return [mpl.colors.to_hex(colour).upper() for colour in axes.collections[-1].get_facecolor()]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Three rankers; the model is better than the pay by slice: surely, surely, maybe, surely not."""
    levels = {"model": 0.8, "random": 0.3, "pay": 0.6, "newest": 0.4}
    return Evaluation(
        lists=1234,
        subject="model",
        metrics=pd.DataFrame(
            [
                {"ranker": ranker, "metric": metric, "value": level, "low": level - 0.1, "high": level + 0.1}
                for ranker, level in levels.items()
                for metric in ("ndcg@10", "mrr")
            ]
        ),
        differences=pd.DataFrame(
            [
                {
                    "rival": rival,
                    "metric": metric,
                    "slice": name,
                    "lists": 1000,
                    "value": value,
                    "low": low,
                    "high": high,
                }
                for rival in ("random", "pay", "newest")
                for metric in ("ndcg@10", "mrr")
                for name, value, low, high in zip(
                    SLICES, (0.2, 0.3, 0.1, -0.2), (0.1, 0.2, -np.inf, -0.3), (0.3, 0.4, np.inf, -0.1), strict=True
                )
            ]
        ),
        slices=pd.DataFrame(),
    )


def test_given_an_evaluation_then_each_metric_has_a_panel_with_the_best_ranker_on_top(evaluation: Evaluation) -> None:
    figure = drawn(plots.metrics(evaluation))
    assert [axes.get_xlabel() for axes in figure.axes] == ["NDCG@10, mean over lists", "MRR, mean over lists"]
    assert names(figure.axes[0]) == ["random", "newest", "pay", "model"]
    assert colours(figure.axes[0]) == [GREY, GREY, GREY, BLUE]
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.300", "0.400", "0.600", "0.800"]
    assert "1,234 lists" in figure.get_suptitle()


def test_given_slices_then_each_of_the_strongest_rivals_has_a_forest_with_counts(evaluation: Evaluation) -> None:
    figure = drawn(plots.differences(evaluation))
    assert [axes.get_xlabel() for axes in figure.axes] == ["over pay", "over newest"]
    first = figure.axes[0]
    assert names(first)[:3] == ["all lists  (1,000)", "workers: new  (1,000)", "category: $1 to $5 jobs  (1,000)"]
    assert len(names(first)[3]) < 50
    assert first.get_yticks()[0] == max(first.get_yticks())
    assert colours(first) == [BLUE, BLUE, GREY, VERMILLION]
    assert legend(figure) == ["model is better", "model is worse", "may be chance"]
    assert any(line.get_xdata()[0] == line.get_xdata()[1] == 0 for line in first.lines)


def test_given_an_interval_without_end_then_its_dot_is_drawn_and_the_axis_is_that_of_the_others(
    evaluation: Evaluation,
) -> None:
    low, high = drawn(plots.differences(evaluation, ["pay"])).axes[0].get_xlim()
    assert -0.4 < low < -0.3
    assert 0.4 < high < 0.5


def test_given_names_of_rivals_then_they_are_shown_in_that_order(evaluation: Evaluation) -> None:
    figure = plots.differences(evaluation, ["random", "pay"])
    assert [axes.get_xlabel() for axes in figure.axes] == ["over random", "over pay"]


@pytest.mark.parametrize("rivals", [[], ["pay", "champion"]])
def test_given_no_such_rival_then_those_there_are_named(evaluation: Evaluation, rivals: list[str]) -> None:
    with pytest.raises(ValueError, match="there are random, pay, newest"):
        plots.differences(evaluation, rivals)


@pytest.mark.parametrize(
    ("mean", "scale"), [(0.03, "function"), (0.9, "linear")], ids=["small probabilities are spread out", "others not"]
)
def test_given_reliability_then_its_bins_lie_about_the_diagonal_and_its_figures_are_told(
    mean: float, scale: str
) -> None:
    random = np.random.default_rng(0)
    predicted = random.beta(20 * mean, 20 * (1 - mean), 3000)
    one = reliability(predicted, random.random(3000) < predicted)
    figure = drawn(plots.reliability({"accept": one, "approve": one}))
    assert len(figure.axes) == 4
    curve, spread = figure.axes[0], figure.axes[2]
    assert curve.get_xscale() == curve.get_yscale() == scale
    assert curve.get_xlim() == curve.get_ylim() == spread.get_xlim()
    np.testing.assert_array_equal(curve.lines[-1].get_ydata(), one.bins["observed"])
    assert curve.get_title(loc="left").startswith(f"accept\ncalibration error {one.error:.3f}")
    # No prediction falls outside of what is shown.
    assert sum(bar.get_height() for bar in spread.patches) == pytest.approx(1)


def test_given_a_probability_that_never_varies_then_its_single_bin_can_be_drawn() -> None:
    figure = drawn(plots.reliability({"accept": reliability(np.full(50, 0.2), np.arange(50) < 10)}))
    assert len(figure.axes[0].lines[-1].get_xdata()) == 1


def test_given_gains_then_the_largest_are_on_top_in_the_colours_of_their_groups() -> None:
    table = pd.DataFrame(
        {
            "feature": ["hourly", "affinity", "mine", "left_out"],
            "group": ["pay", "skill", "own", "market"],
            "share": [0.5, 0.3, 0.15, 0.05],
            "splits": [5, 4, 3, 1],
        }
    )
    figure = drawn(plots.importance(table, top=3))
    assert names(figure.axes[0]) == ["mine", "affinity", "hourly"]
    assert legend(figure) == ["skill", "pay", "own"]
    assert len({bar.get_facecolor() for bar in figure.axes[0].patches}) == 3
    assert "95 % of the gain of all 4" in figure.get_suptitle()


def test_given_losses_then_those_that_may_be_chance_are_grey() -> None:
    table = pd.DataFrame({"name": ["skill", "context"], "value": [0.2, 0.01], "low": [0.1, -0.01], "high": [0.3, 0.02]})
    axes = drawn(plots.permutation(table)).axes[0]
    assert names(axes) == ["context", "skill"]
    assert colours(axes) == [GREY, BLUE]


def test_given_an_ablation_then_the_group_that_is_missed_most_is_on_top() -> None:
    table = pd.DataFrame(
        {
            "without": ["none", "pay", "skill", "context"],
            "lists": 1500,
            "value": [0.8, 0.79, 0.5, 0.81],
            "difference": [0.0, -0.01, -0.3, 0.01],
            "difference_low": [0.0, -0.02, -0.4, 0.005],
            "difference_high": [0.0, 0.01, -0.2, 0.02],
        }
    )
    figure = drawn(plots.ablation(table))
    assert names(figure.axes[0]) == ["without context", "without pay", "without skill"]
    assert colours(figure.axes[0]) == [BLUE, GREY, VERMILLION]
    assert "0.800 with all columns (1,500 lists)" in figure.get_suptitle()


def test_given_a_learning_curve_then_shares_without_a_figure_are_not_shown() -> None:
    table = pd.DataFrame(
        {
            "share": [0.1, 0.5, 1.0],
            "lists": [100, 500, 1000],
            "value": [np.nan, 0.6, 0.7],
            "low": [np.nan, 0.5, 0.6],
            "high": [np.nan, 0.7, 0.8],
        }
    )
    axes = drawn(plots.learning_curve(table)).axes[0]
    assert [text.get_text() for text in axes.texts] == ["50 %", "100 %"]
    assert axes.lines[0].get_xdata().tolist() == [500, 1000]
    assert axes.get_ylabel() == "NDCG@10 on the last part"


def test_given_a_learning_curve_without_any_figure_then_it_is_empty() -> None:
    nothing = [np.nan, np.nan]
    table = pd.DataFrame({"share": [0.5, 1.0], "lists": [5, 10], "value": nothing, "low": nothing, "high": nothing})
    axes = drawn(plots.learning_curve(table)).axes[0]
    assert [text.get_text() for text in axes.texts] == []


@pytest.mark.parametrize("chosen", [3, 20], ids=["a tried number", "more than were tried"])
def test_given_a_choice_of_trees_then_folds_mean_and_choice_are_marked(chosen: int) -> None:
    folds = np.array([[0.1, 0.2, 0.4, 0.3], [0.2, 0.3, 0.5, 0.4]])
    figure = drawn(plots.trees(TreeChoice(trees=chosen, curve=folds.mean(axis=0), folds=folds)))
    assert legend(figure) == ["each fold", "mean over folds, smoothed", f"chosen: {chosen} trees"]
    axes = figure.axes[0]
    # Two folds, their mean, the line of the choice and its mark.
    assert len(axes.lines) == 5
    assert axes.lines[-1].get_xdata() == [min(chosen, 4)]


def test_given_a_search_then_each_parameter_has_a_panel_below_the_trials() -> None:
    trials = pd.DataFrame(
        {
            "trial": [0, 1, 2],
            "state": [COMPLETE, PRUNED, COMPLETE],
            "value": [0.5, 0.4, 0.6],
            **{name: [0.1, 0.2, 0.4] for name in SEARCHED},
        }
    )
    start = RankerParameters()
    figure = drawn(plots.tuning(Tuning(start, start, Estimate(0.0, 0.0, 0.0), trials)))
    assert [axes.get_xlabel() for axes in figure.axes] == ["trial", *(name.replace("_", " ") for name in SEARCHED)]
    assert legend(figure) == ["given up early", "finished", "first: to be beaten", "best so far"]
    (best,) = figure.axes[0].lines
    assert list(best.get_ydata()) == [0.5, 0.6]


def test_given_any_figure_then_the_settings_of_matplotlib_stay_as_they_were(evaluation: Evaluation) -> None:
    before = dict(mpl.rcParams)
    drawn(plots.metrics(evaluation))
    assert dict(mpl.rcParams) == before


def test_given_attention_then_its_course_is_shown_beside_the_truth_where_that_is_known() -> None:
    table = pd.DataFrame(
        {"position": [1, 2, 3], "attention": [1, 0.6, 0.4], "low": [1, 0.5, 0.0], "high": [1, 0.7, np.inf]}
    )
    axes = drawn(plots.attention(table)).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [1, 0.6, 0.4]
    figure = drawn(plots.attention(table, [1, 0.65, 0.5]))
    assert legend(figure) == ["the truth", "from swaps"]
