"""The training set as a table, in parts, and with columns of one's own."""

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.spec import FEATURES, NAMES
from tests.log import RATES, Log, hour, usd
from training.dataset import KEYS, TrainingSet
from training.metrics import per_list
from training.replay import training_set


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    """Lists of two, one and three items: t1 t2, t2, t1 t3 t2."""
    log = Log().post("t1", category="Survey", languages=["en-GB", "id"], reward=usd(1)).post("t2").post("t3")
    log.serve("w1", ["t1", "t2"], 1).take("w1", "t1", 2).on("assignment_submitted", "w1", "t1", 3, work_seconds=90)
    log.on("assignment_approved", "w1", "t1", 4).on("assignment_rejected", "w1", "t2", 4)
    log.serve("w2", ["t2"], 5, feed_id="second").serve("w1", ["t1", "t3", "t2"], 6)
    entries = [log.entries]
    return training_set(lambda: entries, RATES, until=hour(1000), maturity=hour(24) - hour(0))


def test_what_came_about_at_an_instant_or_later_is_not_known_before_it(rows: TrainingSet) -> None:
    assert rows.known_before(hour(4) + 1).verdicts.tolist() == [1, 0, -1, -1, -1, -1]
    earlier = rows.known_before(hour(4))
    assert earlier.verdicts.tolist() == [-1] * 6
    assert earlier.minutes.tolist() == pytest.approx([1.5] + [np.nan] * 5, nan_ok=True)
    assert np.isnan(rows.known_before(hour(3)).minutes).all()
    assert (earlier.verdicts.dtype, earlier.minutes.dtype) == (rows.verdicts.dtype, rows.minutes.dtype)


# The table


def test_given_rows_then_the_frame_has_keys_and_features(rows: TrainingSet) -> None:
    frame = rows.frame()
    assert tuple(frame.columns) == (*KEYS, *rows.names)
    assert frame.index.equals(pd.RangeIndex(6))
    assert frame["feed_id"].tolist() == ["f4"] * 2 + ["second"] + ["f10"] * 3
    assert frame["worker_id"].tolist() == ["w1", "w1", "w2", "w1", "w1", "w1"]
    assert frame["task_id"].tolist() == ["t1", "t2", "t2", "t1", "t3", "t2"]
    assert frame["at"].tolist() == [pd.Timestamp(hour(h), unit="us", tz="UTC") for h in (1, 1, 5, 6, 6, 6)]
    assert frame["position"].tolist() == [1, 2, 1, 1, 2, 3]
    assert frame["label"].tolist() == [4, 2, 0, 0, 0, 0]
    assert frame["approved"].to_numpy(object, na_value=None).tolist() == [True, False, None, None, None, None]
    assert frame["work_minutes"].tolist() == pytest.approx([1.5] + [np.nan] * 5, nan_ok=True)
    for name in ("category", "language"):
        assert frame[name].notna().tolist() == [True, False, False, True, False, False]
    assert (frame["category"][0], frame["language"][0]) == ("survey", "en")


def test_the_columns_of_the_frame_are_the_features(rows: TrainingSet) -> None:
    np.testing.assert_array_equal(rows.frame()[list(rows.names)].to_numpy(), rows.features)


def test_no_feature_has_the_name_of_a_key() -> None:
    assert set(KEYS).isdisjoint(NAMES)


def test_given_rows_then_the_frame_is_typed(rows: TrainingSet) -> None:
    dtypes = rows.frame().dtypes.astype(str)
    assert dtypes.loc[list(KEYS)].tolist() == [
        *["category"] * 3,
        "datetime64[us, UTC]",
        "int32",
        "float64",
        *["category"] * 2,
        "int8",
        "boolean",
        "float32",
    ]
    assert set(dtypes.loc[list(rows.names)]) == {"float32"}


def test_given_a_changed_frame_then_the_rows_are_as_they_were(rows: TrainingSet) -> None:
    before = rows.features.copy()
    frame = rows.frame()
    frame.loc[:, "reward"] = 7.0
    np.testing.assert_array_equal(rows.features, before)


# What came late


@pytest.fixture(scope="module")
def waited() -> TrainingSet:
    """Forty lists whose task is taken after an hour, one where that takes seven and one where that takes 30."""
    log = Log()
    for place in range(40):
        log.serve("w1", [f"t{place}", "other"], 10 * place).take("w1", f"t{place}", 10 * place + 1)
    log.serve("w1", ["slow", "other"], 400).take("w1", "slow", 407)
    log.serve("w1", ["slowest", "other"], 410).take("w1", "slowest", 440)
    entries = [log.entries]
    return training_set(lambda: entries, RATES, until=hour(1000), maturity=hour(2) - hour(0))


def test_given_a_task_taken_after_the_maturity_but_within_patience_then_it_is_relevant_and_its_label_is_not(
    waited: TrainingSet,
) -> None:
    assert hour(7) - hour(0) < waited.patience < hour(30) - hour(0)
    assert waited.labels.tolist() == [2, 0] * 40 + [0] * 4
    assert waited.late.tolist() == [0] * 80 + [2, 0, 0, 0]
    assert waited.relevance.tolist() == [2, 0] * 41 + [0, 0]
    assert waited.select(waited.times == hour(400)).relevance.tolist() == [2, 0]


def test_given_a_task_that_was_taken_late_then_metrics_look_for_it(waited: TrainingSet) -> None:
    slow = waited.select(waited.times == hour(400))
    assert per_list([1.0, 0.0], slow)["mrr"].tolist() == [1.0]
    assert per_list([0.0, 1.0], slow)["mrr"].tolist() == [0.5]


# Parts


def test_given_some_lists_then_their_frame_is_that_part_of_the_whole(rows: TrainingSet) -> None:
    part = rows.select(np.array([True, False, True])).frame()
    whole = rows.frame().iloc[[0, 1, 3, 4, 5]].reset_index(drop=True)
    for name in ("feed_id", "worker_id", "task_id"):
        whole[name] = whole[name].cat.remove_unused_categories()
    pd.testing.assert_frame_equal(part, whole)
    assert part["worker_id"].value_counts().to_dict() == {"w1": 5}


def test_given_no_lists_then_the_frame_is_empty_and_typed(rows: TrainingSet) -> None:
    frame = rows.select(np.zeros(3, np.bool_)).frame()
    assert len(frame) == 0
    assert frame.dtypes.astype(str).equals(rows.frame().dtypes.astype(str))


def test_selecting_cuts_every_field_that_has_rows_or_lists(rows: TrainingSet) -> None:
    # A field of a new kind belongs into one of these groups, and into `select` if it is cut.
    part = rows.select(np.array([False, True, False]))
    whole = {"names", "worker_ids", "catalogue", "until", "maturity", "patience"}
    for field in fields(TrainingSet):
        before, after = getattr(rows, field.name), getattr(part, field.name)
        if field.name in whole:
            assert after is before
        elif field.name == "offsets":
            assert after.tolist() == [0, 1]
        else:
            np.testing.assert_array_equal(after, before[2:3] if len(before) == 6 else before[1:2])


def test_lists_that_share_an_id_share_it_in_the_frame(rows: TrainingSet) -> None:
    log = Log().serve("w1", ["t1"], 1, feed_id="f").serve("w2", ["t1"], 2, feed_id="f")
    entries = [log.entries]
    found = training_set(lambda: entries, RATES, until=hour(1000), maturity=1)
    assert found.frame()["feed_id"].tolist() == ["f", "f"]


def test_given_a_group_left_out_then_the_keys_stay(rows: TrainingSet) -> None:
    group = next(feature.group for feature in FEATURES if feature.name == "reward")
    frame = rows.without(group).frame()
    assert "reward" not in frame
    assert frame[list(KEYS)].equals(rows.frame()[list(KEYS)])


# Columns of one's own


def test_given_a_column_mapped_from_ids_then_it_is_a_feature(rows: TrainingSet) -> None:
    lengths = {"t1": 10, "t2": 20}
    added = rows.with_columns({"title_length": rows.frame()["task_id"].map(lengths)})
    assert added.names == (*rows.names, "title_length")
    assert added.features.dtype == np.float32
    np.testing.assert_array_equal(added.column("title_length"), [10, 20, 20, 10, np.nan, 20])
    np.testing.assert_array_equal(added.features[:, :-1], rows.features)
    assert "title_length" not in rows.names


@pytest.mark.parametrize(
    "values",
    [
        [1, 0, None, 1, 1, 0],
        (1.0, 0.0, np.nan, 1.0, 1.0, 0.0),
        pd.array([True, False, pd.NA, True, True, False], dtype="boolean"),
        pd.array([1, 0, pd.NA, 1, 1, 0], dtype="Int64"),
        pd.Series([1, 0, pd.NA, 1, 1, 0], dtype=object),
        pd.Categorical([1, 0, None, 1, 1, 0]),
        pd.Series([0, 1, 1, None, 0, 1], index=[5, 4, 3, 2, 1, 0]),
    ],
)
def test_numbers_of_any_kind_are_taken_and_missing_is_nan(rows: TrainingSet, values: Any) -> None:
    np.testing.assert_array_equal(rows.with_columns({"x": values}).column("x"), [1, 0, np.nan, 1, 1, 0])


def test_given_a_name_of_a_feature_then_it_is_replaced_in_place(rows: TrainingSet) -> None:
    before = rows.features.copy()
    changed = rows.with_columns({"reward": np.arange(6), "own": np.ones(6)})
    assert changed.names == (*rows.names, "own")
    assert changed.column("reward").tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(changed.column("minutes"), rows.column("minutes"))
    np.testing.assert_array_equal(rows.features, before)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("x", [1, 2, 3], r"'x' has shape \(3,\).* 6 rows"),
        ("x", np.ones((6, 2)), r"shape \(6, 2\)"),
        ("x", 1.0, r"shape \(\)"),
        ("x", list("abcdef"), "'x'.* not numeric"),
        ("x", pd.Categorical(list("abcdef")), "not numeric"),
        ("x", pd.date_range("2026-01-01", periods=6), "not numeric"),
        ("x", [1, 2, 3, "4", 5, 6], "not numeric"),
        ("x", np.ones(6, complex), "not numeric"),
        ("x", pd.Series(range(6), index=list("abcdef")), "index"),
        ("label", range(6), "'label'.* another name"),
    ],
)
def test_what_is_no_feature_column_is_refused(rows: TrainingSet, name: str, values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rows.with_columns({name: values})
