from dataclasses import replace

import pandas as pd
import pytest

from features.errors import CocokError
from matching.pipeline import Matcher, feed_steps
from tests.training.experiment.conftest import RATES, SMALL
from training.experiment import Experiment

TINY = replace(SMALL, workers=40, tasks_per_day=20, days=3)


def experiment(**changes: object) -> Experiment:
    given: dict[str, object] = {"config": TINY, "warm_up": 1, "policies": ("random",), "seeds": (1, 2), "rates": RATES}
    return Experiment(**{**given, **changes})  # type: ignore[arg-type]


def test_newest_first_is_always_there_and_policies_come_in_their_order() -> None:
    assert experiment(policies=("oracle", "random", "oracle")).policies == ("random", "newest", "oracle")


def test_the_product_that_is_tried_makes_the_lists_of_the_policies_that_learn_and_of_no_other() -> None:
    config = replace(SMALL, days=4)
    hourly = []
    for weight in (0.0, 20.0):
        tried = experiment(
            config=config, warm_up=3, policies=("champion",), seeds=(1,), product=Matcher(feed_steps(weight))
        )
        table = tried.run().summary()
        hourly.append(table[table["measure"] == "hourly"].set_index("policy")["value"])
    assert hourly[0]["newest"] == hourly[1]["newest"]
    assert hourly[0]["champion"] != hourly[1]["champion"]


def test_processes_change_nothing_but_the_time_it_takes() -> None:
    steps: list[tuple[int, int]] = []
    one = experiment().run(progress=lambda done, of: steps.append((done, of)))
    two = experiment().run(jobs=2)
    assert steps == [(step, 6) for step in range(1, 7)]
    pd.testing.assert_frame_equal(one.summary(), two.summary())
    pd.testing.assert_frame_equal(one.workers(), two.workers())


def test_an_experiment_that_cannot_be_is_refused() -> None:
    for changes, said in (
        ({"policies": ("best",)}, "no policy 'best': choose from random, newest"),
        ({"seeds": ()}, "a seed at least"),
        ({"warm_up": 3}, "a day at least"),
        ({"warm_up": 0}, "a warm-up of a day"),
    ):
        with pytest.raises(CocokError, match=said):
            experiment(**changes)


def test_a_warm_up_too_short_to_learn_from_is_an_error_also_in_another_process() -> None:
    poor = replace(TINY, workers=2, tasks_per_day=1)
    with pytest.raises(CocokError):
        experiment(config=poor, policies=("champion",)).run(jobs=2)
