"""What a market is judged by: figures from the evaluator's books, of what began after the warm-up.

A figure that nothing can be said about is NaN: the share of clicks that were wasted where nobody clicked.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from training.simulation import World
from training.simulation.postings import DAY, HOUR

LEAST_HOURS = 1.0
"""Workers who spent less are left out where workers are compared: a minute of looking around is no rate of pay."""

FIRST_DAYS = 7
"""How long newcomers are waited for, days."""

START_DAYS = 3
"""How long the first acceptance of a task is waited for, days; half of the tasks are closed or expire within them."""

_SECONDS = 3600.0


@dataclass(frozen=True)
class Measure:
    """A figure of a market.

    Attributes:
        name: what tables call it.
        label: what people call it.
        unit: ``USD/h``, ``USD``, ``h``, ``%`` (of a share, which tables have as 0..1), ``count`` or ``0..1``.
        better: whether more of it is better, or less.
        meaning: what it says, in a sentence.
        main: whether the short table has it.
    """

    name: str
    label: str
    unit: str
    better: Literal["more", "less"]
    meaning: str
    main: bool = False


MEASURES = (
    Measure(
        "hourly",
        "pay per hour",
        "USD/h",
        "more",
        "Pay over hours, unpaid time and looking through lists included; all workers together",
        main=True,
    ),
    Measure(
        "hourly_median",
        "pay per hour, median worker",
        "USD/h",
        "more",
        "The same of the median worker, of those who spent an hour at least",
        main=True,
    ),
    Measure(
        "hourly_tenth",
        "pay per hour, lowest tenth",
        "USD/h",
        "more",
        "What the best paid of the lowest tenth of these workers has",
        main=True,
    ),
    Measure("hourly_worked", "pay per hour of work", "USD/h", "more", "Pay over the hours of work alone"),
    Measure("earned", "pay in all", "USD", "more", "Pay of all workers, bonuses included", main=True),
    Measure(
        "lists_taken",
        "lists with an acceptance",
        "%",
        "more",
        "Lists from which a task was taken, of all lists",
        main=True,
    ),
    Measure(
        "slots_filled",
        "slots filled",
        "%",
        "more",
        "Slots taken and not given back, of those posted since the beginning",
        main=True,
    ),
    Measure(
        "hours_to_fill",
        "time to fill a task",
        "h",
        "less",
        "Median time from posting to the last slot, tasks that never fill included (Kaplan-Meier)",
    ),
    Measure(
        "hours_to_start",
        "time to a task's first acceptance",
        "h",
        "less",
        "Mean time from posting to it, within three days: what waits longer, or is closed before, counts as three days",
    ),
    Measure(
        "wasted_clicks", "wasted clicks", "count", "less", "Tasks opened that could not, or could no longer, be taken"
    ),
    Measure("wasted_share", "wasted clicks", "%", "less", "The same, of all clicks"),
    Measure("approved", "work approved", "%", "more", "Approvals, of all verdicts", main=True),
    Measure("gini_earnings", "Gini of earnings", "0..1", "less", "Inequality of pay between workers who saw a list"),
    Measure(
        "gini_exposure",
        "Gini of exposure",
        "0..1",
        "less",
        "Inequality between tasks of how often they were looked at in lists",
    ),
    Measure(
        "worse_off",
        "worse off than by newest",
        "%",
        "less",
        "Workers whose pay per hour is lower than that of the same workers in the same world under newest first",
        main=True,
    ),
    Measure(
        "newcomer_hours",
        "newcomers' first approved task",
        "h",
        "less",
        "Mean time from joining to it, within the first week: who waits longer counts as a week",
        main=True,
    ),
    Measure(
        "retained",
        "workers retained",
        "%",
        "more",
        "Workers still there at the end, of those there after the warm-up or come since",
        main=True,
    ),
    Measure(
        "way_to_oracle",
        "way to the oracle",
        "%",
        "more",
        "Gain of pay per hour over newest first, of that which the oracle gains; what is missing is the regret",
        main=True,
    ),
)
"""All measures, in order of tables."""

MEASURE = {measure.name: measure for measure in MEASURES}


@dataclass(frozen=True)
class Window:
    """The evaluator's books of what began since an instant.

    Attributes:
        since: microseconds since 1970.
        until: end of the books, microseconds since 1970.
        workers: everybody, and when they joined and left.
        tasks: posted since.
        lists: served since; visits for saved tasks are among them, as their seconds are unpaid too.
        exposures: of these lists.
        clicks: since.
        assignments: accepted since, and over for the worker.
    """

    since: int
    until: int
    workers: pd.DataFrame
    tasks: pd.DataFrame
    lists: pd.DataFrame
    exposures: pd.DataFrame
    clicks: pd.DataFrame
    assignments: pd.DataFrame

    @classmethod
    def of(cls, world: World, since: int) -> "Window":
        """Return the books of a world so far."""
        return cls.cut(world.ledger.tables(), since, world.end)

    @classmethod
    def cut(cls, tables: dict[str, pd.DataFrame], since: int, until: int) -> "Window":
        """Return what began since an instant in tables as of `training.simulation.ledger.Ledger.tables`."""
        accepted = tables["assignments"]
        return cls(
            since=since,
            until=until,
            workers=tables["workers"],
            tasks=_since(tables["tasks"], "posted_at", since),
            lists=_since(tables["lists"], "served_at", since),
            exposures=_since(tables["exposures"], "served_at", since),
            clicks=_since(tables["clicks"], "clicked_at", since),
            assignments=_since(accepted[accepted["ended_at"].notna()], "accepted_at", since),
        )

    @property
    def feeds(self) -> pd.DataFrame:
        """The lists that a policy made."""
        return self.lists[self.lists["surface"] == "feed"]


def by_worker(window: Window) -> pd.DataFrame:
    """Return what workers earned and how long it took them.

    Work whose verdict is not in yet counts as time and not as pay.

    Returns:
        One row for each worker who was served a list, indexed by ``worker``: ``earned`` (USD), ``worked`` (hours),
        ``hours`` (work, what goes with it unpaid, and looking through lists), ``hourly`` (USD an hour of ``hours``).
    """
    table = _accounts(window, window.assignments["worker"], window.lists["worker"])
    table.index.name = "worker"
    return table


def by_day(window: Window) -> pd.DataFrame:
    """Return the same as `by_worker` for each ``day`` since the beginning, from 0, by when things began."""
    accepted = (window.assignments["accepted_at"] - window.since) // DAY
    served = (window.lists["served_at"] - window.since) // DAY
    table = _accounts(window, accepted, served)
    table.index.name = "day"
    return table


def hourly(window: Window) -> float:
    """Return what all workers earned for each hour, search included, USD."""
    table = by_worker(window)
    return ratio(table["earned"].sum(), table["hours"].sum())


def figures(window: Window) -> dict[str, float]:
    """Return the measures that need no other policy to compare with, by name."""
    workers = by_worker(window)
    rates = workers.loc[workers["hours"] >= LEAST_HOURS, "hourly"]
    earned, tasks, feeds = workers["earned"].sum(), window.tasks, window.feeds
    wasted = window.clicks["outcome"].isin(["gone", "lost"])
    seen = window.exposures.loc[window.exposures["seen"], "task"]
    exposure = seen.value_counts().reindex(tasks["task"].to_numpy(), fill_value=0)
    verdicts = window.assignments["approved"].dropna().astype(bool)
    stay = window.workers["left_at"].isna()
    there = stay | (window.workers["left_at"] >= window.since)
    return {
        "hourly": ratio(earned, workers["hours"].sum()),
        "hourly_median": float(rates.median()),
        "hourly_tenth": float(rates.quantile(0.1)),
        "hourly_worked": ratio(earned, workers["worked"].sum()),
        "earned": float(earned),
        "lists_taken": float(feeds["taken"].notna().mean()),
        "slots_filled": ratio(tasks["filled"].sum(), tasks["slots"].sum()),
        "hours_to_fill": _hours_to_fill(window),
        "hours_to_start": _hours_to_start(window),
        "wasted_clicks": float(wasted.sum()),
        "wasted_share": float(wasted.mean()),
        "approved": float(verdicts.mean()),
        "gini_earnings": gini(workers["earned"]),
        "gini_exposure": gini(exposure),
        "newcomer_hours": _newcomer_hours(window),
        "retained": ratio(stay.sum(), there.sum()),
    }


def worse_off(workers: pd.DataFrame, reference: pd.DataFrame) -> float:
    """Return the share of workers whose pay per hour, search included, is lower than that of the same ones elsewhere.

    Compared are workers who spent at least ``LEAST_HOURS`` in both; both tables are as of `by_worker`.
    """
    active = [table.loc[table["hours"] >= LEAST_HOURS, "hourly"] for table in (workers, reference)]
    here, there = active[0].align(active[1], join="inner")
    return float((here < there).mean())


def gini(values: ArrayLike) -> float:
    """Return the Gini coefficient of non-negative values: 0 if all are equal, near 1 if one has everything.

    It is half the mean absolute difference of two values, over their mean (Gini 1912).
    """
    ordered = np.sort(np.asarray(values, np.float64))
    count, total = len(ordered), ordered.sum()
    if not total > 0:
        return float("nan")
    return float(2 * (np.arange(1, count + 1) * ordered).sum() / (count * total) - (count + 1) / count)


def survival(times: ArrayLike, happened: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share for whom something has not happened after each instant at which it did (Kaplan & Meier 1958).

    Args:
        times: until it happened, or until one stopped looking.
        happened: whether it did; else it may have later.

    Returns:
        Instants, rising, and the share left after each.
    """
    lengths, events = np.asarray(times, np.float64), np.asarray(happened, np.bool_)
    instants, counts = np.unique(lengths[events], return_counts=True)
    at_risk = len(lengths) - np.searchsorted(np.sort(lengths), instants)
    return instants, np.cumprod(1.0 - counts / np.maximum(at_risk, 1)).astype(np.float64)


def median_time(times: ArrayLike, happened: ArrayLike) -> float:
    """Return when it has happened for half; NaN if it does not come to that. Arguments as of `survival`."""
    instants, left = survival(times, happened)
    reached = instants[left <= 0.5]
    return float(reached[0]) if len(reached) else float("nan")


def restricted_mean(times: ArrayLike, happened: ArrayLike, limit: float) -> float:
    """Return the mean time until it happened, who waited longer than ``limit`` counting as that (Irwin 1949).

    The area below the curve of `survival`, whose other arguments these are; NaN for nobody.
    """
    if not len(np.asarray(times)):
        return float("nan")
    instants, left = survival(times, happened)
    within = instants < limit
    edges = np.concatenate([[0.0], instants[within], [limit]])
    return float((np.diff(edges) * np.concatenate([[1.0], left[within]])).sum())


def ratio(part: float, whole: float) -> float:
    """Return a part of a whole; NaN of nothing."""
    return float(part / whole) if whole else float("nan")


def _hours_to_fill(window: Window) -> float:
    full, posted = window.tasks["full_at"], window.tasks["posted_at"]
    times = full.fillna(window.until).astype(np.int64) - posted
    return median_time(times / HOUR, full.notna())


def _hours_to_start(window: Window) -> float:
    posted = window.tasks.set_index("task")["posted_at"]
    first = window.assignments.groupby("task")["accepted_at"].min().reindex(posted.index)
    waited = first.fillna(window.until).astype(np.int64) - posted
    return restricted_mean(waited / HOUR, first.notna(), 24.0 * START_DAYS)


def _newcomer_hours(window: Window) -> float:
    new = window.workers[window.workers["joined_at"] >= window.since].set_index("worker")
    done = window.assignments[window.assignments["approved"].fillna(False).astype(bool)]
    first = done.groupby("worker")["judged_at"].min().reindex(new.index)
    # Whoever left for good without one never gets one: that is a long wait, and not one that nobody knows of.
    waited = first.fillna(new["left_at"].notna().map({True: window.until + FIRST_DAYS * DAY, False: window.until}))
    return restricted_mean((waited.astype(np.int64) - new["joined_at"]) / HOUR, first.notna(), 24.0 * FIRST_DAYS)


def _accounts(window: Window, assignment_keys: "pd.Series[int]", list_keys: "pd.Series[int]") -> pd.DataFrame:
    done = window.assignments
    sums = done[["earned_usd", "work_seconds", "overhead_seconds"]].astype(float).groupby(assignment_keys).sum()
    looked = window.lists["seconds"].groupby(list_keys).sum()
    table = sums.reindex(sums.index.union(looked.index)).fillna(0.0)
    worked = table["work_seconds"] / _SECONDS
    hours = worked + (table["overhead_seconds"] + looked.reindex(table.index).fillna(0.0)) / _SECONDS
    return pd.DataFrame(
        {"earned": table["earned_usd"], "worked": worked, "hours": hours, "hourly": table["earned_usd"] / hours}
    )


def _since(table: pd.DataFrame, column: str, since: int) -> pd.DataFrame:
    return table[table[column] >= since]
