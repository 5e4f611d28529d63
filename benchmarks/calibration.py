"""Do the figures of an answer mean what they say? Judged on later simulated time, beside the truth and a constant.

    python -m benchmarks.calibration [--seeds 1 2 3 4 5] [--last 0.3] [--size 5]

For each seed a marketplace is simulated under newest first, the outcome models learn from the first part of its lists,
and every figure is compared with what came of the last part. It is the standard one with ``--size`` times as many
workers and tasks a day: in the standard one itself, chance alone makes an error of some 7 % of the base rate. The truth
is the simulator's own: its P(approved) and its expected minutes for the very worker, task and instant. What a list
leads to depends on where a task stands in it and how far the worker looks, which no row of features tells: so there is
no true p_accept beside ours.

- error: expected calibration error in 15 bins of as many rows each, over the base rate; by chance is what it would be
  on average, were every prediction true, with workers as different as they are.
- level: how far the mean prediction lies above what came about, over the base rate.
- gain: how far the log loss lies below that of the base rate known with hindsight.
- near: share of rows with finished work whose pay per hour (nothing, if rejected) is within 25 % of what was expected.
- inside: share of rows with finished work within its interval of 80 %.

All of them count rows: a work and its verdict stand in the row of every list that held the task before, each of which
said something of it. `cocok evaluate` counts a work once, by the last of its rows.
"""

import argparse
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from benchmarks.feeds import END
from features.events import Entry, FeedServed, micros
from features.money import Rates
from matching.scoring import HIGH, LOW, paid_tails
from training.dataset import TrainingSet
from training.lists import ACCEPTED
from training.reliability import reliability
from training.replay import training_set
from training.simulation import PRESETS, NewestFirst, Truth, World
from training.splits import holdout
from training.train import fit_outcomes

NEAR = 0.25
"""How far off an expected pay per hour may be, as a share of what work really paid."""

NEWCOMER = 3
"""A worker who accepted fewer tasks than this is new."""

BINS, DRAWS = 15, 200

Floats = NDArray[np.float64]
Judged = dict[tuple[str, str], float]
"""Figure and what is said of it -> value."""


def market(seed: int, size: int) -> tuple[TrainingSet, dict[str, Floats]]:
    """Return the training set of a simulated market and what is true of each of its rows."""
    usual = PRESETS["standard"]
    world = World(
        replace(usual, seed=seed, workers=size * usual.workers, tasks_per_day=size * usual.tasks_per_day), END
    )
    log: list[Entry] = [(seq, micros(event.at), event) for seq, event in enumerate(world.run(NewestFirst()), 1)]
    rows = training_set(lambda: [log], Rates.shipped(), until=END)
    truth, task_ids = Truth(world), rows.catalogue["task_id"].to_numpy()
    minutes_left = {event.feed_id: event.context for _, _, event in log if isinstance(event, FeedServed)}
    found: dict[str, Floats] = {name: np.empty(len(rows.labels)) for name in ("p_approve", "minutes")}
    for place, (begin, end) in enumerate(zip(rows.offsets[:-1], rows.offsets[1:], strict=True)):
        context = minutes_left[rows.feed_ids[place]]
        asked = truth.ask(
            rows.worker_ids[rows.workers[place]],
            task_ids[rows.tasks[begin:end]].tolist(),
            60.0 if context is None or context.session_minutes is None else context.session_minutes,
            at=int(rows.times[place]),
        )
        for name, values in found.items():
            values[begin:end] = asked[name]
    # The truth gives the median; the mean of a log-normal law is above it.
    found["minutes"] *= np.exp(world.config.behaviour.work_noise**2 / 2)
    return rows, found


def judge(rows: TrainingSet, true: dict[str, Floats], last: float) -> Judged:
    """Fit on the first lists and return how well each figure holds on the last ones."""
    before, after = holdout(rows, last, maturity=rows.maturity)
    development = rows.select(before).known_before(int(rows.times[after][0]))
    models, unfitted = fit_outcomes(development, num_threads=1)
    if unfitted:
        raise SystemExit(f"error: too small a market: {unfitted}")
    final = rows.select(after)
    kept = np.repeat(after, np.diff(rows.offsets))
    true = {name: values[kept] for name, values in true.items()}
    settled, taken = final.verdicts >= 0, final.labels >= ACCEPTED
    approved, features = final.verdicts == 1, final.features
    p_approve = models["approve"].predict(features)
    new = final.column("worker_accepts") < np.log1p(NEWCOMER)
    workers = np.repeat(final.workers, np.diff(final.offsets))
    found = {
        **_probability("p_accept", models["accept"].predict(features), taken, workers),
        **_probability("p_approve", p_approve[settled], approved[settled], workers[settled]),
        **_probability("p_approve, truth", true["p_approve"][settled], approved[settled], workers[settled]),
    }
    finished = taken & settled & (final.minutes > 0)
    real = final.minutes[finished].astype(np.float64)
    # All of it for a reward of 1: the reward itself is the same on both sides.
    paid, chance = approved[finished] / real, p_approve[finished]
    tail = paid_tails(chance)
    low, middle, high, fast, slow = models["minutes"].quantiles(features[finished], LOW, 0.5, HIGH, tail, 1.0 - tail)
    expected = chance / middle
    ours, truth = (_near(values, paid) for values in (expected, (true["p_approve"] / true["minutes"])[finished]))
    constant = _near(np.full(len(paid), np.median(paid)), paid)
    inside = (paid >= np.minimum(1 / slow, expected)) & (paid <= 1 / fast)
    timed = (real >= low) & (real <= high)
    found |= {
        ("expected_hourly", "near"): ours,
        ("expected_hourly, truth", "near"): truth,
        ("expected_hourly, constant", "near"): constant,
        ("expected_hourly", "near, of the truth's"): ours / truth,
        ("expected_hourly", "inside"): float(inside.mean()),
        ("expected_hourly, approved work alone", "inside"): float(inside[paid > 0].mean()),
        ("expected_hourly, new workers", "inside"): float(inside[new[finished]].mean()),
        ("minutes", "inside"): float(timed.mean()),
        ("minutes, new workers", "inside"): float(timed[new[finished]].mean()),
        ("minutes", "width, longest over shortest"): float(np.median(high / low)),
        ("minutes, new workers", "width, longest over shortest"): float(np.median((high / low)[new[finished]])),
    }
    return found


def _probability(name: str, predicted: Floats, observed: NDArray[np.bool_], workers: NDArray[np.int32]) -> Judged:
    seen = reliability(predicted, observed, bins=BINS)
    return {
        (name, "rows"): float(len(observed)),
        (name, "base rate"): seen.base_rate,
        (name, "error / base rate"): seen.error / seen.base_rate,
        (name, "by chance / base rate"): by_chance(predicted, observed, workers) / seen.base_rate,
        (name, "level / base rate"): float(predicted.mean()) / seen.base_rate - 1,
        (name, "gain"): 1 - seen.log_loss / seen.constant_log_loss,
    }


def by_chance(predicted: Floats, observed: NDArray[np.bool_], workers: NDArray[np.int32]) -> float:
    """Return the calibration error that chance would make on average, were every prediction true.

    What comes of one worker's rows is alike. So the residuals around the observed share of their bin keep their size,
    and those of a worker get one sign by chance (the wild cluster bootstrap of Cameron, Gelbach & Miller 2008).

    Args:
        predicted: rows; probabilities.
        observed: rows; whether the outcome came about.
        workers: integers, rows; whose row it is.
    """
    random = np.random.default_rng(0)
    order = np.argsort(predicted, kind="stable")
    bins = np.arange(len(order)) * BINS // len(order)
    outcomes = observed[order].astype(np.float64)
    residuals = outcomes - (np.bincount(bins, outcomes) / np.bincount(bins))[bins]
    _, owners = np.unique(workers[order], return_inverse=True)
    sums = np.bincount(owners * BINS + bins, residuals, (owners.max() + 1) * BINS).reshape(-1, BINS)
    signs = random.choice((-1.0, 1.0), (DRAWS, len(sums)))
    return float(np.abs(signs @ sums).sum(axis=1).mean() / len(order))


def _near(expected: Floats, paid: Floats) -> float:
    return float((np.abs(expected - paid) <= NEAR * paid).mean())


def _interval(values: Floats) -> str:
    if len(values) < 2:
        return ""
    reach = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean() - reach:.3f} to {values.mean() + reach:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--last", type=float, default=0.3, help="part of the lists that is judged")
    parser.add_argument("--size", type=int, default=5, help="times the workers and tasks a day of the standard market")
    given = parser.parse_args()
    judged = [judge(*market(seed, given.size), given.last) for seed in given.seeds]
    table = Table("figure", "", *(f"seed {seed}" for seed in given.seeds), "mean", "95 % over seeds", box=None)
    for name, what in judged[0]:
        values = np.array([found[name, what] for found in judged])
        table.add_row(name, what, *(f"{value:.3f}" for value in values), f"{values.mean():.3f}", _interval(values))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
