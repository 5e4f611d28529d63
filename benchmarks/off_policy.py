"""Off-policy estimates against the truth: how often their intervals cover it, and how wide they are.

    python -m benchmarks.off_policy [--repetitions 40] [--seed 1]

Two simulated marketplaces run on under a champion that explores. Their lists are a population of contexts: a worker
with a memory at an instant, and a page. A repetition draws workers with replacement, for each of their pages an order
as the champion would have drawn it, and what the worker then takes from the simulator's own choice model. The truth of
a policy is the mean over the population of what that model says of the policy's orders; nothing is drawn of what is
taken. A policy's gain is its value less that of the champion's draw, which served.

Workers differ in patience, which nothing in the log tells, and they stop looking unseen: what `dr` assumes does not
quite hold, as in life.
"""

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from features.events import FeedServed
from features.money import Rates
from matching.scoring import BundleRanker
from training.baselines import BASELINES
from training.dataset import TrainingSet
from training.experiment.contestants import PRODUCT, Matched
from training.experiment.live import Live
from training.experiment.run import END
from training.off_policy import SERVED, AsServed, Pages, Strict, Target, evaluate
from training.off_policy.targets import race
from training.ranker import RankerParameters
from training.replay import training_set
from training.simulation import PRESETS, NewestFirst, Truth, World
from training.simulation.choice import Outlook
from training.simulation.postings import DAY
from training.simulation.reactions import plan
from training.train import train

WARM_UP, DAYS = 7, 16
WORLDS = 2
DRAWN_WORKERS = 150
ORDERS_OF_A_TRUTH = 64

Floats = NDArray[np.float64]
Scores = dict[str, Floats]


@dataclass(frozen=True, eq=False)
class Contexts:
    """Explored lists of one marketplace, with what is hidden of each; one entry for each list."""

    rows: TrainingSet
    pages: Pages
    scores: Scores
    outlooks: list[Outlook]
    patience: Floats
    truth: Truth
    minutes: list[float]

    @classmethod
    def of(cls, seed: int) -> "Contexts":
        rates = Rates.shipped()
        world = World(replace(PRESETS["standard"], workers=300, tasks_per_day=90, days=DAYS, seed=seed), END)
        live, since = Live(world, rates), world.start + WARM_UP * DAY
        log = list(live.run(NewestFirst(), since))
        known = training_set(lambda: [log], rates, until=since)
        bundle = train(known, rates.fingerprint(), RankerParameters(num_threads=1)).bundle
        champion = BundleRanker(bundle, "champion")
        log += live.run(Matched("explored", live, lambda _: PRODUCT, lambda _: champion, explores=True), world.end)
        rows = training_set(lambda: [log], rates, since=since, until=END, whole=True)
        rows = rows.select(np.isin(np.arange(len(rows)), Pages.of(rows).lists))
        minutes = {
            event.feed_id: event.context.session_minutes or 60.0
            for _, _, event in log
            if isinstance(event, FeedServed) and event.context
        }
        left = [minutes[feed_id] for feed_id in rows.feed_ids]
        truth = Truth(world)
        outlooks = [outlook(truth, rows, place, minutes) for place, minutes in enumerate(left)]
        people = truth.tables()["workers"].set_index("worker_id")["scan_on"]
        return cls(
            rows=rows,
            pages=Pages.of(rows),
            scores={
                "champion": bundle.ranker.predict(rows.features),
                **{name: BASELINES[name](rows) for name in ("past_rate", "newest", "highest_pay")},
            },
            outlooks=outlooks,
            patience=people[rows.worker_ids[rows.workers]].to_numpy(),
            truth=truth,
            minutes=left,
        )

    def value(self, target: Target | None) -> Floats:
        """Return the true value of a target for each list, or of the policy that served."""
        random = np.random.default_rng(0)
        if target is None:
            orders = self.pages.race(ORDERS_OF_A_TRUTH, random).orders()
        else:
            orders = race(target(self.pages), ORDERS_OF_A_TRUTH, random).orders()
        found = np.empty(len(self.rows))
        for place, size in enumerate(np.diff(self.rows.offsets).tolist()):
            worker, tasks, at = whom_and_what(self.rows, place)
            of_list = self.truth.led_to_work(worker, tasks, self.minutes[place], orders[:, place, :size], at)
            found[place] = of_list.mean()
        return found

    def draw(self, random: Generator) -> tuple[TrainingSet, NDArray[np.int64]]:
        """Return a log of drawn workers, and which row of the population each of its rows is."""
        by_worker = pd.Series(np.arange(len(self.rows))).groupby(self.rows.workers).indices
        chosen = random.choice(list(by_worker), DRAWN_WORKERS)
        lists = np.concatenate([by_worker[worker] for worker in chosen])
        owner = np.repeat(np.arange(DRAWN_WORKERS), [len(by_worker[worker]) for worker in chosen])
        pages = Pages(*(getattr(self.pages, name)[lists] for name in Pages.__dataclass_fields__))
        (orders,) = pages.race(1, random).orders()
        places = np.take_along_axis(pages.rows, orders, axis=1)[pages.there]
        taken = np.zeros(pages.rows.shape, np.int8)
        law = PRESETS["standard"].behaviour
        sizes = pages.there.sum(axis=1)
        for place, (of_list, size) in enumerate(zip(lists.tolist(), sizes.tolist(), strict=True)):
            order = orders[place, :size]
            outlook = Outlook(*(values[order] for values in self.outlooks[of_list]))
            steps = plan(law, order, outlook, float(self.patience[of_list]), random).steps
            first = next((step.place for step in steps if step.act == "take"), None)
            if first is not None:
                taken[place, first] = 2
        labels = taken[pages.there]
        drawn = replace(
            self.rows,
            features=self.rows.features[places],
            labels=labels,
            late=np.zeros_like(labels),
            verdicts=np.full(len(places), -1, np.int8),
            minutes=np.full(len(places), np.nan, np.float32),
            decided=np.zeros(len(places), np.int64),
            timed=np.zeros(len(places), np.int64),
            told=np.zeros(len(places), np.int64),
            named=np.zeros(len(places), np.bool_),
            offsets=np.concatenate([[0], np.cumsum(sizes)]),
            workers=owner.astype(np.int32),
            times=np.arange(len(lists)),
            # Every context is an occasion of its own: what was taken there says nothing of another.
            tasks=np.arange(len(places), dtype=np.int32),
            catalogue=self.rows.catalogue.iloc[self.rows.tasks[places]],
            positions=(np.nonzero(pages.there)[1] + 1).astype(np.int32),
            propensities=chances(pages, orders)[pages.there],
            feed_ids=np.arange(len(lists)).astype(object),
        )
        return drawn, places


def chances(pages: Pages, orders: NDArray[np.int64]) -> Floats:
    """Return the propensities with which the log's policy draws an order of each page."""
    weights = np.take_along_axis(np.where(pages.drawn, pages.weights, -np.inf), orders, axis=1)
    left = np.logaddexp.accumulate(np.column_stack([pages.rest, weights[:, ::-1]]), axis=1)[:, :0:-1]
    return np.exp(np.subtract(weights, left, out=np.zeros_like(weights), where=pages.drawn))


def whom_and_what(rows: TrainingSet, place: int) -> tuple[str, list[str], int]:
    """Return worker, tasks and instant of a list."""
    tasks = rows.tasks[rows.offsets[place] : rows.offsets[place + 1]]
    return rows.worker_ids[rows.workers[place]], rows.catalogue["task_id"].iloc[tasks].tolist(), int(rows.times[place])


def outlook(truth: Truth, rows: TrainingSet, place: int, minutes: float) -> Outlook:
    worker, tasks, at = whom_and_what(rows, place)
    found = truth.ask(worker, tasks, minutes, at=at)
    names = ("p_view", "p_accept", "p_finish", "p_approve", "minutes", "hourly")
    return Outlook(*(found[name].to_numpy() for name in names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    console = Console(width=140)
    random = np.random.default_rng(given.seed)
    worlds = [Contexts.of(given.seed + world) for world in range(WORLDS)]

    def targets(scores: Scores) -> dict[str, Target]:
        return {
            **{name: AsServed(own) for name, own in scores.items()},
            "champion, strict": Strict(scores["champion"]),
        }

    names = list(targets(worlds[0].scores))
    truths = [
        {name: world.value(target).mean() for name, target in {SERVED: None, **targets(world.scores)}.items()}
        for world in worlds
    ]
    begun, found, overlaps, lists = time.process_time(), [], [], []
    for repetition in track(range(given.repetitions), console=Console(stderr=True), transient=True):
        place = repetition % WORLDS
        world = worlds[place]
        rows, places = world.draw(random)
        judged = evaluate(rows, targets({name: own[places] for name, own in world.scores.items()}))
        lists.append(judged.lists)
        estimates = judged.estimates[judged.estimates["policy"] != SERVED]
        true = estimates["policy"].map(truths[place])
        found.append(estimates.assign(truth=true, true_more=true - truths[place][SERVED], repetition=repetition))
        overlaps.append(judged.overlap)
    seconds = (time.process_time() - begun) / given.repetitions
    every = pd.concat(found)
    every["covered"] = every["truth"].between(every["low"], every["high"])
    every["more_covered"] = every["true_more"].between(every["more_low"], every["more_high"])
    every["off"] = every["value"] - every["truth"]
    every["width"] = every["high"] - every["low"]
    overlap = pd.concat(overlaps).groupby("policy").median()
    table = Table(
        "policy", "truth", "estimator", "covered", "gain covered", "mean error", "median width", "overlap", box=None
    )
    for (policy, estimator), rows_ in every.groupby(["policy", "estimator"], sort=False):
        share = overlap.loc[policy, "dr" if estimator == "dr" else "ips"]
        table.add_row(
            str(policy),
            f"{rows_['truth'].mean():.3f}",
            str(estimator),
            f"{rows_['covered'].sum()}/{len(rows_)}",
            f"{rows_['more_covered'].sum()}/{len(rows_)}",
            f"{rows_['off'].mean():+.3f}",
            f"{rows_['width'].median():.3f}",
            f"{share:.2f}",
        )
    console.print(
        f"{given.repetitions} repetitions of {np.median(lists):,.0f} lists of {DRAWN_WORKERS} workers; "
        f"{seconds:.1f} s of CPU for each, {len(names)} policies"
    )
    console.print(table)


if __name__ == "__main__":
    main()
