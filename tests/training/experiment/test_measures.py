"""What a market is judged by, on books small enough to reckon by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from tests.training.experiment.books import SINCE, UNTIL, Books
from training.experiment.measures import (
    MEASURES,
    Window,
    by_day,
    by_worker,
    figures,
    gini,
    median_time,
    restricted_mean,
    survival,
    worse_off,
)


def window(books: Books) -> Window:
    return Window.cut(books.tables(), SINCE, UNTIL)


def test_pay_is_spread_over_work_what_goes_with_it_and_looking_around() -> None:
    books = Books()
    ann, ben = books.worker(), books.worker()
    books.looks(ann, 1.0, minutes=6, taken=0)
    books.works(ann, 1.1, minutes=48, unpaid=6, usd=3.0, approved=True, judged=5.0)
    books.looks(ben, 2.0, minutes=30)
    books.looks(ben, 3.0, minutes=30, taken=1, surface="saved")
    books.works(ben, 4.0, minutes=120, usd=2.0, approved=True, judged=8.0)
    table = by_worker(window(books))
    assert table.loc[ann].to_dict() == pytest.approx({"earned": 3.0, "worked": 0.8, "hours": 1.0, "hourly": 3.0})
    assert table.loc[ben].to_dict() == pytest.approx({"earned": 2.0, "worked": 2.0, "hours": 3.0, "hourly": 2 / 3})
    found = figures(window(books))
    assert found["hourly"] == pytest.approx(5.0 / 4.0)
    assert found["hourly_worked"] == pytest.approx(5.0 / 2.8)
    assert found["hourly_median"] == pytest.approx((3.0 + 2 / 3) / 2)
    assert found["hourly_tenth"] == pytest.approx(2 / 3 + 0.1 * (3.0 - 2 / 3))
    assert found["earned"] == 5.0
    # A visit for a saved task is time, and no list that a policy made.
    assert found["lists_taken"] == 0.5


def test_what_began_before_does_not_count_and_pending_work_is_time_without_pay() -> None:
    books = Books()
    ann = books.worker()
    books.looks(ann, -1.0, minutes=600)
    books.works(ann, -1.0, minutes=600, usd=50.0, approved=True, judged=20.0)
    books.looks(ann, 30.0, minutes=60)
    books.works(ann, 31.0, minutes=60)
    books.works(ann, 239.0, over=False)
    table = by_worker(window(books))
    assert table.loc[ann].to_dict() == {"earned": 0.0, "worked": 1.0, "hours": 2.0, "hourly": 0.0}
    assert by_day(window(books))["hours"].to_dict() == {1: 2.0}


def test_who_hardly_spent_any_time_has_no_rate_of_pay() -> None:
    books = Books()
    books.looks(books.worker(), 1.0, minutes=5)
    ben = books.worker()
    books.looks(ben, 1.0)
    books.works(ben, 1.0, minutes=60, usd=2.0, approved=True, judged=3.0)
    found = figures(window(books))
    assert found["hourly_median"] == found["hourly_tenth"] == 2.0
    assert found["hourly"] < 2.0


def test_shares_of_slots_clicks_and_verdicts() -> None:
    books = Books()
    ann = books.worker()
    books.task(posted=-5, slots=100, filled=100, full=1.0)
    books.task(slots=3, filled=2)
    books.task(slots=1, filled=1, full=4.0)
    for outcome in ("taken", "declined", "gone", "lost", "declined"):
        books.clicks(outcome)
    books.clicks("gone", at=-1)
    for verdict in (True, True, False, None):
        books.works(ann, 1.0, approved=verdict, judged=None if verdict is None else 5.0)
    found = figures(window(books))
    assert found["slots_filled"] == 3 / 4
    assert (found["wasted_clicks"], found["wasted_share"]) == (2.0, 2 / 5)
    assert found["approved"] == pytest.approx(2 / 3)


def test_tasks_that_are_not_full_yet_count_in_the_time_to_fill() -> None:
    books = Books()
    for full in (2.0, 5.0, 9.0, None, None):
        books.task(full=full)
    assert figures(window(books))["hours_to_fill"] == 9.0
    books.task()
    books.task()
    assert math.isnan(figures(window(books))["hours_to_fill"])


def test_tasks_wait_for_their_first_acceptance_for_three_days_at_most() -> None:
    books = Books()
    ann = books.worker()
    soon, late, old = books.task(), books.task(), books.task(posted=-9)
    books.task()
    for task, at in ((soon, 6.0), (soon, 4.0), (late, 100.0), (old, 1.0)):
        books.works(ann, at, task=task)
    assert figures(window(books))["hours_to_start"] == pytest.approx((4 + 72 + 72) / 3)
    # Of one of the last hours it is only known that it has waited for two.
    books.task(posted=238.0)
    assert figures(window(books))["hours_to_start"] == pytest.approx((4 + 72 + 72) / 3)


def test_gini_of_exposure_counts_what_was_looked_at_and_tasks_that_never_were() -> None:
    books = Books()
    often, never, old = books.task(), books.task(), books.task(posted=-9)
    for task, seen in ((often, True), (often, True), (never, False), (old, True)):
        books.sees(task, seen=seen)
    assert figures(window(books))["gini_exposure"] == gini([2, 0]) == 0.5


def test_newcomers_who_never_get_an_approved_task_wait_for_a_week() -> None:
    books = Books()
    books.works(books.worker(joined=-1), 1.0, approved=True, judged=2.0)
    books.works(books.worker(joined=10), 11.0, approved=True, judged=34.0)
    books.works(books.worker(joined=10), 11.0, approved=False, judged=12.0)
    books.worker(joined=10, left=20)
    assert figures(window(books))["newcomer_hours"] == pytest.approx((24 + 168 + 168) / 3)


def test_newcomers_of_the_last_days_are_not_taken_for_people_who_wait_long() -> None:
    books = Books()
    books.works(books.worker(joined=0), 1.0, approved=True, judged=48.0)
    for _ in range(9):
        books.worker(joined=230)
    assert figures(window(books))["newcomer_hours"] == 48.0


def test_retained_are_those_who_are_left_of_all_who_were_there_or_came() -> None:
    books = Books()
    for joined, left in ((-48, None), (-48, -1), (-48, 5), (3, None), (3, 9)):
        books.worker(joined=joined, left=left)
    assert figures(window(books))["retained"] == 2 / 4


def test_of_an_empty_market_nothing_is_claimed() -> None:
    found = figures(window(Books()))
    assert found.pop("earned") == found.pop("wasted_clicks") == 0.0
    assert all(math.isnan(value) for value in found.values())


def test_worse_off_compares_each_worker_with_himself() -> None:
    index = pd.Index([1, 2, 3, 4], name="worker")
    here = pd.DataFrame({"hours": [2, 2, 2, 0.5], "hourly": [1.0, 3.0, 2.0, 0.0]}, index=index)
    there = pd.DataFrame({"hours": [2, 2, 2, 2], "hourly": [2.0, 2.0, 2.0, 2.0]}, index=index)
    assert worse_off(here, there) == pytest.approx(1 / 3)
    assert worse_off(here, here) == 0.0
    assert worse_off(here, there.loc[[2]]) == 0.0


@pytest.mark.parametrize(("values", "expected"), [([1, 1, 1], 0.0), ([0, 0, 0, 1], 0.75), ([1, 3], 0.25)])
def test_gini_is_half_the_mean_difference_over_the_mean(values: list[float], expected: float) -> None:
    assert gini(values) == pytest.approx(expected)
    differences = np.abs(np.subtract.outer(values, values)).mean()
    assert gini(values) == pytest.approx(differences / 2 / np.mean(values))


def test_survival_is_that_of_kaplan_and_meier() -> None:
    # The remission times of Freireich et al. (1963), the example of most textbooks.
    times = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    happened = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    instants, left = survival(times, happened)
    assert instants.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert left == pytest.approx([0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], abs=5e-4)
    assert median_time(times, happened) == 23


def test_the_restricted_mean_is_the_mean_where_all_is_known() -> None:
    assert restricted_mean([1, 2, 30], [True, True, True], limit=10.0) == pytest.approx((1 + 2 + 10) / 3)
    assert restricted_mean([5, 5], [False, False], limit=10.0) == 10.0
    assert math.isnan(restricted_mean([], [], limit=10.0))


def test_every_figure_is_described() -> None:
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)
    assert {*figures(window(Books())), "worse_off", "way_to_oracle"} == set(names)
