"""An experiment: every policy in the same worlds, one world for each seed, in as many processes as there are cores."""

import pickle
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from features.errors import CocokError
from features.events import micros
from features.money import Rates
from features.progress import Progress
from matching.bundle import Bundle
from matching.pipeline import Matcher
from training.experiment.contestants import NIGHTLY, POLICIES, PRODUCT, REFERENCE
from training.experiment.results import Results
from training.experiment.trial import Outcome, trial, warm_up
from training.simulation import SimulationConfig, World
from training.simulation.postings import DAY

END = micros(datetime(2026, 1, 1, tzinfo=UTC))
"""When experiments end, so that they are the same on every day of the year."""


@dataclass(frozen=True)
class Experiment:
    """What is tried.

    Attributes:
        config: of the worlds; its days are those of warm-up and experiment together, its seed does not matter.
        warm_up: days under newest first with noise, from which the champion learns.
        policies: some of ``POLICIES``; newest first is always added, since all are compared with it.
        seeds: one world each.
        rates: currency rates.
        bundle: the champion, instead of one trained on the log of the warm-up.
        product: makes the lists of the policies that learn.

    Raises:
        CocokError: an unknown policy, no seed, or nothing left after the warm-up.
    """

    config: SimulationConfig
    warm_up: int
    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    rates: Rates
    bundle: Bundle | None = None
    product: Matcher = PRODUCT

    def __post_init__(self) -> None:
        if unknown := [name for name in self.policies if name not in POLICIES]:
            raise CocokError(f"there is no policy {unknown[0]!r}: choose from {', '.join(POLICIES)}")
        if not self.seeds:
            raise CocokError("an experiment needs a seed at least: give --seeds 1 or more")
        if not 1 <= self.warm_up < self.config.days:
            raise CocokError("an experiment needs a day at least, after a warm-up of a day at least")
        chosen = tuple(name for name in POLICIES if name in {*self.policies, REFERENCE})
        object.__setattr__(self, "policies", chosen)

    @property
    def days(self) -> int:
        """Days after the warm-up."""
        return self.config.days - self.warm_up

    def run(self, jobs: int = 1, progress: Progress | None = None) -> Results:
        """Try all policies with all seeds; the results do not depend on the number of processes.

        Args:
            jobs: processes; 1 runs everything in this one.
            progress: called after every warm-up and every trial.

        Raises:
            CocokError: a warm-up is too short to learn from.
        """
        outcomes: list[Outcome] = []
        steps = len(self.seeds) * (1 + len(self.policies))
        with tempfile.TemporaryDirectory() as folder:
            for done, step in enumerate(self._steps(jobs, Path(folder)), 1):
                if isinstance(step, Outcome):
                    outcomes.append(step)
                if progress:
                    progress(done, steps)
        return Results.of(outcomes)

    def prepare(self, seed: int, folder: Path) -> int:
        """Warm a world up, leave it in a folder for its trials, and return the seed."""
        world = World(replace(self.config, seed=seed), END)
        start = warm_up(world, self.rates, world.start + self.warm_up * DAY, self.policies, self.bundle)
        if start.recorder is not None:
            _file(folder, seed, NIGHTLY).write_bytes(pickle.dumps(start))
        # What only the nightly ranker needs is most of it.
        _file(folder, seed).write_bytes(pickle.dumps(replace(start, recorder=None)))
        return seed

    def _steps(self, jobs: int, folder: Path) -> Iterator[int | Outcome]:
        """Yield a seed for each warm-up and an outcome for each trial, as they come to an end."""
        if jobs == 1:
            for seed in self.seeds:
                yield self.prepare(seed, folder)
                for policy in self.policies:
                    yield _try(folder, seed, policy, self.product)
            return
        waiting, running = deque(self.seeds), set[Future[int | Outcome]]()
        # Forked copies of a process whose libraries hold threads may wait for them forever.
        pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
        try:
            while waiting or running:
                # Not all worlds at once: they take room on the disk.
                while waiting and len(running) < jobs:
                    running.add(pool.submit(self.prepare, waiting.popleft(), folder))
                over, running = wait(running, return_when=FIRST_COMPLETED)
                for future in over:
                    step = future.result()
                    if isinstance(step, int):
                        running |= {pool.submit(_try, folder, step, policy, self.product) for policy in self.policies}
                    yield step
        finally:
            pool.shutdown(cancel_futures=True)


def _try(folder: Path, seed: int, policy: str, product: Matcher) -> Outcome:
    name = _file(folder, seed, NIGHTLY if policy == NIGHTLY else "")
    start = pickle.loads(name.read_bytes())  # noqa: S301  # written by this very run
    return trial(start, policy, seed, product)


def _file(folder: Path, seed: int, policy: str = "") -> Path:
    return folder / f"{seed}{policy}.pickle"
