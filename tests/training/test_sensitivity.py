"""Refitted with less, and judged on the same lists."""

import pandas as pd
import pytest

from features.spec import GROUPS, NAMES
from tests.market import SMALL, usual, usual_bundle
from training.dataset import TrainingSet
from training.sensitivity import FULL, ablation, learning_curve
from training.splits import holdout


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    return usual()[1]


@pytest.fixture(scope="module")
def table(rows: TrainingSet) -> pd.DataFrame:
    return ablation(rows, SMALL, groups=("skill", "context")).set_index("without")


def test_given_all_columns_then_the_figure_is_that_of_a_training(table: pd.DataFrame) -> None:
    expected = usual_bundle().metrics["ndcg@10"]
    full = table.loc[FULL]
    assert full[["value", "low", "high"]].to_dict() == expected
    assert full[["difference", "difference_low", "difference_high"]].tolist() == [0, 0, 0]


def test_given_a_market_of_tastes_then_the_skills_are_missed(table: pd.DataFrame) -> None:
    assert list(table.index) == [FULL, "skill", "context"]
    assert table.loc["skill", "difference"] < min(0, table.loc["context", "difference"])
    assert table.loc["skill", "difference"] == pytest.approx(table.loc["skill", "value"] - table.loc[FULL, "value"])
    assert table.loc[FULL, "columns"] == len(NAMES)
    assert (table["columns"].drop(FULL) < len(NAMES)).all()
    assert table["lists"].nunique() == 1


def test_given_an_unknown_group_then_the_known_ones_are_named(rows: TrainingSet) -> None:
    with pytest.raises(ValueError, match=", ".join(GROUPS)):
        ablation(rows, SMALL, groups=("smell",))


def test_given_shares_then_each_is_fitted_on_so_many_of_the_latest_lists(
    rows: TrainingSet, table: pd.DataFrame
) -> None:
    curve = learning_curve(rows, SMALL, shares=(0.3, 1.0))
    before, _ = holdout(rows, maturity=rows.maturity)
    assert curve["lists"].tolist() == [round(0.3 * before.sum()), before.sum()]
    assert curve["rows"].iloc[1] == len(rows.select(before).labels)
    # All of the history, with all columns: the same ranker on the same lists.
    assert curve["value"].iloc[1] == table.loc[FULL, "value"]
    assert curve["trees"].iloc[1] == table.loc[FULL, "trees"]


def test_given_a_share_with_too_little_history_then_it_has_no_figure_and_others_do(rows: TrainingSet) -> None:
    curve = learning_curve(rows, SMALL, shares=(0.001, 0.5))
    assert curve[["trees", "value", "low", "high"]].isna().all(axis=1).tolist() == [True, False]


def test_given_a_progress_then_it_is_told_of_every_fit(rows: TrainingSet) -> None:
    told: list[tuple[str, int, int]] = []
    ablation(rows, SMALL, groups=("context",), progress=lambda *step: told.append(step))
    assert told == [("Fitting with all columns", 0, 2), ("Fitting without context", 1, 2), ("Fitted", 2, 2)]
