"""Do the figures of an answer mean what they say? Judged on later simulated time, beside the truth and a constant.

    python -m benchmarks.calibration [--seeds 1 2 3 4 5] [--last 0.3]

For each seed the standard marketplace is simulated under newest first, the outcome models learn from the first part of
its lists, and every figure is compared with what came of the last part. The truth is the simulator's own: its
P(approved) and its expected minutes for the very worker, task and instant. What a list leads to depends on where a task
stands in it and how far the worker looks, which no row of features tells: so there is no true p_accept beside ours.

- error: expected calibration error in 15 bins of as many rows each, over the base rate; noise is what the 95th
  percentile of chance alone would make of it, were every prediction true.
- gain: how far the log loss lies below that of the base rate known with hindsight.
- near: share of finished work whose pay per hour (nothing, if rejected) is within 25 % of what was expected.
- inside: share of finished work within its interval of 80 %.
"""

import argparse

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from benchmarks.feeds import END
from features.events import Event, FeedServed, micros
from features.money import Rates
from matching.scoring import HIGH, LOW, paid_tails
from training.dataset import TrainingSet
from training.lists import ACCEPTED
from training.reliability import Reliability, reliability
from training.replay import training_set
from training.simulation import PRESETS, NewestFirst, SimulationConfig, Truth, World
from training.splits import holdout
from training.train import fit_outcomes

NEAR = 0.25
"""How far off an expected pay per hour may be, as a share of what work really paid."""

NEWCOMER = 3
"""A worker who accepted fewer tasks than this is new."""

Floats = NDArray[np.float64]
Judged = dict[tuple[str, str], float]
"""Figure and what is said of it -> value."""


def market(seed: int) -> tuple[TrainingSet, dict[str, Floats]]:
    """Return the training set of a simulated market and what is true of each of its rows."""
    world = World(SimulationConfig(**{**vars(PRESETS["standard"]), "seed": seed}), END)
    log: list[tuple[int, int, Event]] = [
        (seq, micros(event.at), event) for seq, event in enumerate(world.run(NewestFirst()), 1)
    ]
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
    models, unfitted = fit_outcomes(rows.select(before), num_threads=1)
    if unfitted:
        raise SystemExit(f"error: too small a market: {unfitted}")
    final = rows.select(after)
    kept = np.repeat(after, np.diff(rows.offsets))
    true = {name: values[kept] for name, values in true.items()}
    settled, taken = final.verdicts >= 0, final.labels >= ACCEPTED
    approved, features = final.verdicts == 1, final.features
    p_approve = models["approve"].predict(features)
    new = final.column("worker_accepts") < np.log1p(NEWCOMER)
    found = {
        **_probability("p_accept", reliability(models["accept"].predict(features), taken)),
        **_probability("p_approve", reliability(p_approve[settled], approved[settled])),
        **_probability("p_approve, truth", reliability(true["p_approve"][settled], approved[settled])),
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


def _probability(name: str, seen: Reliability) -> Judged:
    return {
        (name, "base rate"): seen.base_rate,
        (name, "error / base rate"): seen.error / seen.base_rate,
        (name, "noise / base rate"): seen.noise / seen.base_rate,
        (name, "gain"): 1 - seen.log_loss / seen.constant_log_loss,
    }


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
    given = parser.parse_args()
    judged = [judge(*market(seed), given.last) for seed in given.seeds]
    table = Table("figure", "", *(f"seed {seed}" for seed in given.seeds), "mean", "95 % over seeds", box=None)
    for name, what in judged[0]:
        values = np.array([found[name, what] for found in judged])
        table.add_row(name, what, *(f"{value:.3f}" for value in values), f"{values.mean():.3f}", _interval(values))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
