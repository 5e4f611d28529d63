"""The market that the speed benchmarks share: a log of a given size and a model, built once and kept in a folder.

The log begins with some days of a simulated marketplace, from which the model is trained. What follows is drawn from
it, so that words, skills and pay are such as the model knows: workers with a profile and a history, batches of tasks
with one of a number of requirement signatures, assignments of tasks that have been closed since and of open ones, and
lists. Time stands still at `END`: serve it with ``--clock log``.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from hashlib import blake2b
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from benchmarks.eligibility import QUALIFICATIONS, requirements
from features.events import (
    AssignmentAccepted,
    AssignmentApproved,
    AssignmentRejected,
    AssignmentSubmitted,
    Event,
    FeedItem,
    FeedServed,
    TaskClosed,
    TaskPosted,
    WorkerUpdated,
    instant,
    micros,
)
from features.money import Money, Rates
from features.requirements_shape import parse
from features.spec import fingerprint
from features.state import MarketState
from matching.bundle import Bundle
from service.store import opened
from training.ranker import RankerParameters
from training.registry import Registry
from training.replay import training_set
from training.simulation import NewestFirst, SimulationConfig, World
from training.train import train

END = 1_772_323_200_000_000
SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR

SIMULATED_DAYS = 14
KEPT_DAYS = 30
"""How long the open tasks stay open beyond the end of the log."""

REQUESTERS = 2_000
HELD = 8
"""Qualifications that a drawn worker holds."""

APPROVED = 0.93
ON_OPEN = 0.2
"""Share of the assignments whose task is still open."""


@dataclass(frozen=True)
class Size:
    """How large a market is.

    Attributes:
        open_tasks: tasks drawn that are open at the end, beside a few of the simulated days.
        workers: workers drawn, named ``w0`` and so on; each has a history.
        assignments: mean number of assignments of a worker; each has at least one.
        lists: lists served to drawn workers, of 20 tasks.
        signatures: distinct requirements.
        asking: share of the batches that require anything at all; the others are open to whoever speaks the language.
        batches: batches that the tasks come in; the tasks of one share requester, text and requirements.
        past_tasks: closed tasks, which most assignments are of.
        simulated: workers of the simulated days.
        trees: of the ranker.
    """

    open_tasks: int = 10_000
    workers: int = 100_000
    assignments: float = 3.0
    lists: int = 5_000
    signatures: int = 3_000
    asking: float = 1.0
    batches: int = 20_000
    past_tasks: int = 10_000
    simulated: int = 400
    trees: int = 150

    @property
    def name(self) -> str:
        """Name of the folder of such a market."""
        digest = blake2b(repr(asdict(self)).encode(), digest_size=4).hexdigest()
        return f"{self.open_tasks}-tasks-{self.workers}-workers-{digest}"


class Clock:
    """Gives each event an id and an instant; the events of a part are evenly spread over its time."""

    def __init__(self) -> None:
        self._ids = count()
        self.at = 0
        self.step = 0

    def part(self, begin: int, end: int, events: int) -> None:
        """Begin a part of the log that holds about so many events."""
        self.at, self.step = max(self.at, begin), max(1, (end - begin) // max(1, events))

    def next(self, end: int) -> dict[str, object]:
        """Return identity and instant of the next event, not after ``end``."""
        self.at = min(self.at + self.step, end)
        return {"event_id": f"b{next(self._ids)}", "at": instant(self.at)}


def simulated(size: Size) -> list[Event]:
    """Return the simulated days at the beginning of the log."""
    config = SimulationConfig(
        workers=size.simulated, tasks_per_day=max(1, size.simulated * 3 // 10), days=SIMULATED_DAYS
    )
    return list(World(config, END - DAY).run(NewestFirst()))


def drawn(size: Size, base: Sequence[Event]) -> Iterator[Event]:
    """Yield the last day of the log, drawn from the simulated days."""
    random, clock = Random(0), Clock()
    profiles = [event for event in base if isinstance(event, WorkerUpdated)]
    batches = _batches(random, size, [event for event in base if isinstance(event, TaskPosted)])
    begin = END - DAY
    clock.part(begin, begin + HOUR, size.workers + size.past_tasks)
    for number in range(size.workers):
        held = {f"Q{min(int(random.expovariate(0.02)), QUALIFICATIONS - 1)}" for _ in range(HELD)}
        qualifications = {name: random.choice([None, random.randrange(101)]) for name in sorted(held)}
        profile = random.choice(profiles)
        yield replace(profile, worker_id=f"w{number}", qualifications=qualifications, **clock.next(begin + HOUR))
    for number in range(size.past_tasks):
        yield _task(random, f"p{number}", random.choice(batches), clock.next(begin + HOUR))
    many = size.workers * size.assignments
    clock.part(clock.at, END - 6 * HOUR, round(3 * many * (1 - ON_OPEN)))
    for worker, times in _activity(random, size, 1 - ON_OPEN):
        for _ in range(times):
            yield from _assignment(random, clock, worker, f"p{random.randrange(size.past_tasks)}", END - 6 * HOUR)
    clock.part(clock.at, END - 2 * HOUR, size.past_tasks + size.open_tasks)
    for number in range(size.past_tasks):
        yield TaskClosed(task_id=f"p{number}", **clock.next(END - 2 * HOUR))
    for number in range(size.open_tasks):
        yield _task(random, f"t{number}", random.choice(batches), clock.next(END - 2 * HOUR))
    clock.part(clock.at, END, round(3 * many * ON_OPEN) + size.lists)
    for worker, times in _activity(random, size, ON_OPEN):
        for _ in range(times):
            yield from _assignment(random, clock, worker, f"t{random.randrange(size.open_tasks)}", END)
    for number in range(size.lists):
        tasks = random.sample(range(size.open_tasks), min(20, size.open_tasks))
        items = tuple(FeedItem(f"t{task}", place) for place, task in enumerate(tasks, 1))
        worker = f"w{random.randrange(size.workers)}"
        yield FeedServed(feed_id=f"bf{number}", worker_id=worker, items=items, **clock.next(END))


def _batches(random: Random, size: Size, postings: Sequence[TaskPosted]) -> list[TaskPosted]:
    asked = [parse(requirements(random)) for _ in range(size.signatures)]
    many = min(size.batches, max(size.open_tasks, size.signatures))
    return [
        replace(
            random.choice(postings),
            requester_id=f"br{random.randrange(REQUESTERS)}",
            group_id=f"bg{number}",
            requirements=asked[number % size.signatures] if number < size.asking * many else None,
            expires_at=instant(END + KEPT_DAYS * DAY),
            slots=random.choice([None, 50, 500]),
        )
        for number in range(many)
    ]


def _task(random: Random, task_id: str, batch: TaskPosted, head: dict[str, object]) -> TaskPosted:
    reward = batch.reward
    if reward is not None:
        reward = Money(round(reward.amount * Decimal(random.uniform(0.8, 1.25)), 2), reward.currency)
    return replace(batch, task_id=task_id, reward=reward, **head)


def _activity(random: Random, size: Size, share: float) -> Iterator[tuple[str, int]]:
    """Yield workers with how often they took a task; a few are far more active than most."""
    for number in range(size.workers):
        times = share * size.assignments * random.paretovariate(1.5) / 3.0
        least = 1 if share > ON_OPEN else 0
        yield f"w{number}", min(max(least, int(times + random.random())), 1_000)


def _assignment(random: Random, clock: Clock, worker: str, task: str, end: int) -> Iterator[Event]:
    yield AssignmentAccepted(worker_id=worker, task_id=task, **clock.next(end))
    seconds = float(round(random.lognormvariate(6.0, 0.8)))
    yield AssignmentSubmitted(worker_id=worker, task_id=task, work_seconds=seconds, **clock.next(end))
    verdict = AssignmentApproved if random.random() < APPROVED else AssignmentRejected
    yield verdict(worker_id=worker, task_id=task, **clock.next(end))


def events(size: Size) -> Iterator[Event]:
    """Yield the whole log, in order of time."""
    base = simulated(size)
    yield from base
    yield from drawn(size, base)


def trained(size: Size, rates: Rates) -> Bundle:
    """Return a bundle trained on the simulated days."""
    log = [(seq, micros(event.at), event) for seq, event in enumerate(simulated(size), 1)]
    rows = training_set(lambda: [log], rates, until=END)
    parameters = RankerParameters(num_threads=1, max_trees=size.trees, min_trees=size.trees, folds=1)
    return train(rows, rates.fingerprint(), parameters).bundle


def bundle_of(cache: Path, size: Size, rates: Rates) -> Bundle:
    """Return the model of a market, trained once for each kind of simulated days."""
    folder = _bundle_folder(cache, size)
    if not folder.exists():
        trained(size, rates).save(folder)
    return Bundle.load(folder, expected_features=fingerprint(), expected_rates=rates.fingerprint())


def _bundle_folder(cache: Path, size: Size) -> Path:
    return cache / f"bundle-{size.simulated}-{size.trees}-{fingerprint()}"


def home_of(cache: Path, size: Size) -> Path:
    """Return a folder for ``COCOK_HOME``, which holds the log and the promoted model; built if it is not there.

    A market that is there is given another model once the columns are others.
    """
    # Not renamed into place when it is complete, since MLflow keeps the path of what it holds.
    home, complete = cache / size.name, cache / size.name / "complete"
    if not complete.exists():
        shutil.rmtree(home, ignore_errors=True)
        with opened(f"sqlite:///{home}/cocok.db") as store:
            store.append(events(size))
        complete.touch()
    if complete.read_text() != fingerprint():
        bundle_of(cache, size, Rates.shipped())
        registry = Registry.at(home)
        run = registry.log_run({}, {}, _bundle_folder(cache, size))
        registry.promote(registry.register(run))
        complete.write_text(fingerprint())
    return home


@contextmanager
def copy_of(home: Path) -> Iterator[Path]:
    """Give a copy of the log and the model, so that what a run adds to them is gone afterwards."""
    with TemporaryDirectory(dir=home.parent) as folder:
        yield Path(shutil.copytree(home, folder, dirs_exist_ok=True))


def folded(home: Path, rates: Rates) -> MarketState:
    """Return the market of a folder in memory."""
    state = MarketState(rates)
    with opened(f"sqlite:///{home}/cocok.db") as store:
        for batch in store.read():
            state.apply(batch)
    return state
