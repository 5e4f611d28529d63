"""Results over seeds, from outcomes written by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from training.experiment.measures import MEASURES
from training.experiment.results import Results, best
from training.experiment.trial import Outcome

FIGURES = {measure.name: 0.5 for measure in MEASURES if measure.name not in ("worse_off", "way_to_oracle")}


def outcome(seed: int, policy: str, hourly: float, rates: tuple[float, ...] = (1.0, 2.0)) -> Outcome:
    index = pd.Index(range(len(rates)), name="worker")
    workers = pd.DataFrame({"earned": rates, "worked": 1.0, "hours": 1.0, "hourly": rates}, index=index)
    days = pd.DataFrame({"earned": [1.0], "worked": 1.0, "hours": 1.0, "hourly": 1.0}, index=pd.Index([0], name="day"))
    return Outcome(seed, policy, {**FIGURES, "hourly": hourly}, workers, days, lists=10, seconds=2.0)


def results() -> Results:
    return Results.of(
        [
            outcome(2, "oracle", 4.0),
            outcome(1, "oracle", 3.0),
            outcome(1, "random", 1.5, rates=(0.5, 3.0)),
            outcome(2, "random", 1.0, rates=(1.0, 2.0)),
            outcome(1, "newest", 1.0),
            outcome(2, "newest", 2.0),
        ]
    )


def row(policy: str, measure: str) -> "pd.Series[float]":
    table = results().summary()
    (found,) = (table[(table["policy"] == policy) & (table["measure"] == measure)]).to_dict("records")
    return pd.Series(found)


def test_outcomes_come_in_order_of_seeds_and_policies() -> None:
    assert results().policies == ["random", "newest", "oracle"]
    assert results().seeds == [1, 2]


def test_intervals_are_those_of_student_over_seeds() -> None:
    found = row("random", "hourly")
    expected = stats.t.interval(0.95, 1, loc=1.25, scale=stats.sem([1.5, 1.0]))
    assert (found["value"], found["seeds"]) == (1.25, 2)
    assert (found["low"], found["high"]) == pytest.approx(expected)


def test_differences_are_between_policies_in_the_same_world() -> None:
    found = row("random", "hourly")
    expected = stats.t.interval(0.95, 1, loc=-0.25, scale=stats.sem([0.5, -1.0]))
    assert found["difference"] == -0.25
    assert (found["difference_low"], found["difference_high"]) == pytest.approx(expected)


def test_newest_first_differs_from_itself_by_exactly_nothing() -> None:
    table = results().summary()
    own = table.loc[table["policy"] == "newest", ["difference", "difference_low", "difference_high"]]
    assert (own == 0.0).all(axis=None)


def test_differences_from_the_usual_lists_are_taken_within_each_world_too() -> None:
    with_usual = Results.of([*results().outcomes, outcome(1, "usual", 1.25), outcome(2, "usual", 2.5)])
    assert with_usual.references == ["newest", "usual"]
    table = with_usual.summary().set_index(["policy", "measure"])
    expected = stats.t.interval(0.95, 1, loc=1.625, scale=stats.sem([1.75, 1.5]))
    assert table.loc[("oracle", "hourly"), "over_usual"] == 1.625
    assert table.loc[("oracle", "hourly"), ["over_usual_low", "over_usual_high"]].tolist() == pytest.approx(expected)
    before = results().summary()
    pd.testing.assert_frame_equal(
        table.reset_index()[before.columns].query("policy == 'oracle'").reset_index(drop=True),
        before.query("policy == 'oracle'").reset_index(drop=True),
    )
    assert results().references == ["newest"]
    assert not [name for name in before.columns if name.startswith("over")]


def test_the_way_to_the_oracle_begins_at_newest_first() -> None:
    by_seed = results().by_seed().set_index(["seed", "policy", "measure"])["value"]
    assert by_seed[1, "random", "way_to_oracle"] == 0.25
    assert by_seed[2, "random", "way_to_oracle"] == -0.5
    assert by_seed[2, "newest", "way_to_oracle"] == 0.0
    assert by_seed[2, "oracle", "way_to_oracle"] == 1.0


def test_workers_are_compared_with_themselves_under_newest_first() -> None:
    by_seed = results().by_seed().set_index(["seed", "policy", "measure"])["value"]
    assert by_seed[1, "random", "worse_off"] == 0.5
    assert by_seed[2, "random", "worse_off"] == 0.0


def test_one_seed_says_nothing_of_others() -> None:
    one = Results.of([outcome(1, "newest", 1.0), outcome(1, "random", 2.0)])
    table = one.summary()
    assert table["low"].eq(-math.inf).all()
    assert "way_to_oracle" not in set(table["measure"])


def test_the_best_is_none_that_nobody_could_have() -> None:
    found = best(results().summary())
    assert found["hourly"] == "newest"
    # Newest first is no rival of itself, and a single policy is not the best of any.
    assert "worse_off" not in found


def test_time_and_workers_are_told_apart_by_seed_and_policy() -> None:
    assert list(results().days().columns[:3]) == ["seed", "policy", "day"]
    workers = results().workers()
    assert list(workers.columns[:3]) == ["seed", "policy", "worker"]
    assert len(workers) == 12
    assert results().costs().set_index("policy").loc["random"].to_dict() == pytest.approx(
        {"lists": 20, "seconds": 4.0, "lists_per_second": 5.0}
    )
    assert np.isfinite(results().costs()["lists_per_second"]).all()
