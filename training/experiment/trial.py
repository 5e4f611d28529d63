"""A trial: one policy in one world, from the end of the warm-up on."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from features.events import Entry
from features.money import Rates
from matching.bundle import Bundle
from matching.pipeline import Matcher
from training.aliases import CHAMPION
from training.experiment.contestants import EXPLORE, NIGHTLY, PRODUCT, contestant
from training.experiment.live import Live
from training.experiment.measures import Window, by_day, by_worker, figures
from training.experiment.recording import Recorder, watched
from training.ranker import RankerParameters
from training.replay import training_set
from training.simulation import NewestFirst, Policy, World
from training.simulation.postings import DAY, HOUR
from training.train import train

NIGHT = 3 * HOUR
"""When policies learn: after midnight UTC."""

MEMORY_DAYS = 14
"""Days of lists that the ranker retrained every night learns from."""


@dataclass
class Start:
    """A marketplace after its warm-up. Every policy goes on from a pickled copy.

    Attributes:
        live: the marketplace.
        since: when the experiment begins, microseconds since 1970.
        bundle: the champion; None if no policy asks for it.
        recorder: has watched the warm-up; None if no policy asks for it.
    """

    live: Live
    since: int
    bundle: Bundle | None
    recorder: Recorder | None


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
        seed: of the world.
        policy: its name.
        figures: measure -> value; see `training.experiment.measures`.
        workers: see `training.experiment.measures.by_worker`.
        days: see `training.experiment.measures.by_day`.
        lists: served.
        seconds: of CPU.
    """

    seed: int
    policy: str
    figures: dict[str, float]
    workers: pd.DataFrame
    days: pd.DataFrame
    lists: int
    seconds: float


def warm_up(world: World, rates: Rates, until: int, policies: tuple[str, ...], bundle: Bundle | None = None) -> Start:
    """Run a world as marketplaces do without Cocok, and train on its log what the policies need.

    Args:
        world: nothing of it has run yet.
        rates: currency rates.
        until: end of the warm-up, microseconds since 1970.
        policies: that will go on from here.
        bundle: the champion, instead of one trained on the log of the warm-up.

    Raises:
        CocokError: the log of the warm-up is too short to learn from.
    """
    live = Live(world, rates)
    policy: Policy = NewestFirst()
    recorder = Recorder(MEMORY_DAYS * DAY) if NIGHTLY in policies else None
    if recorder is not None:
        policy = watched(policy, live, recorder)
    learns = bundle is None and not {CHAMPION, EXPLORE, NIGHTLY}.isdisjoint(policies)
    log: list[Entry] = []
    for entry in live.run(policy, until):
        if learns:
            log.append(entry)
        if recorder is not None:
            recorder.follow(entry)
    if learns:
        rows = training_set(lambda: [log], rates, until=until)
        bundle = train(rows, rates.fingerprint(), RankerParameters(num_threads=1)).bundle
    return Start(live, until, bundle, recorder)


def run(start: Start, policy: str, product: Matcher = PRODUCT) -> Iterator[Entry]:
    """Let a policy go on from a start, which is used up, and yield the events of the log."""
    live, world = start.live, start.live.world
    chosen = contestant(policy, live, start.bundle, start.recorder, product)
    nights = range((start.since - NIGHT) // DAY * DAY + DAY + NIGHT, world.end, DAY)
    for until in (*nights, world.end):
        for entry in live.run(chosen.policy, until):
            if chosen.follow is not None:
                chosen.follow(entry)
            yield entry
        if chosen.learn is not None and until < world.end:
            chosen.learn(until)


def trial(start: Start, policy: str, seed: int, product: Matcher = PRODUCT) -> Outcome:
    """Let a policy go on from a start, which is used up, and measure what came of it."""
    began = time.process_time()
    for _ in run(start, policy, product):
        pass
    seconds = time.process_time() - began
    window = Window.of(start.live.world, start.since)
    return Outcome(seed, policy, figures(window), by_worker(window), by_day(window), len(window.feeds), seconds)
