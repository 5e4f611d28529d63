"""What a worker means to do with a list, decided when it is served: how far the eye goes, what is opened, what taken.

The list is walked through step by step as time passes, since a task may be gone when the worker comes to it.
"""

from typing import Literal, NamedTuple

import numpy as np

from training.simulation.choice import Outlook
from training.simulation.config import BehaviourConfig
from training.simulation.population import Floats, Ints

SECOND = 1_000_000

Act = Literal["hide", "take", "save", "decline"]


class Step(NamedTuple):
    """Something the worker does on the way through a list.

    Attributes:
        place: in the list, from 0.
        task: world index.
        after: from the end of the step before to this one, microseconds.
        act: ``hide``, or what comes of the task once it has been opened and read.
        reads: from opening to that, microseconds; 0 for ``hide``.
    """

    place: int
    task: int
    after: int
    act: Act
    reads: int


class Plan(NamedTuple):
    """A worker's way through a list if nothing is taken before its end.

    Attributes:
        steps: by position.
        depth: last position that is looked at, 0 for an empty list.
        rest: from the last step to the end of looking, microseconds.
    """

    steps: list[Step]
    depth: int
    rest: int


def plan(law: BehaviourConfig, tasks: Ints, outlook: Outlook, scan_on: float, rng: np.random.Generator) -> Plan:
    """Plan what a worker does with a list.

    Args:
        law: how workers behave.
        tasks: world indices, best position first.
        outlook: on these tasks.
        scan_on: probability that this worker goes from one position to the next.
        rng: what chance decides.
    """
    count = len(tasks)
    if not count:
        return Plan([], 0, int(rng.uniform(2, 10) * SECOND))
    # All draws are made at once and in any case, so that lists of two policies meet the same luck by position.
    luck = rng.random((5, count))
    pauses = rng.lognormal(0.0, 0.5, (2, count))
    stop = luck[0] >= scan_on
    depth = int(stop.argmax()) + 1 if stop.any() else count
    noticed = luck[1] < glance(law, count)
    opened = luck[2] < outlook.view
    # What repels is put away now and then; what is merely dull is not.
    hidden = ~opened & (outlook.view < law.repellent_below) & (luck[4] < law.hide_share)
    seconds = law.list_seconds + law.item_seconds * np.cumsum(pauses[0])
    taken, saved = luck[3] < outlook.accept, (outlook.accept > law.save_above) & (luck[4] < law.save_share)
    steps, before = [], 0.0
    for place in np.flatnonzero((noticed & (opened | hidden))[:depth]).tolist():
        act: Act = "take" if taken[place] else "save" if saved[place] else "decline"
        reads = law.read_seconds * pauses[1, place]
        if hidden[place]:
            act, reads = "hide", 0.0
        after = seconds[place] - before
        steps.append(Step(place, int(tasks[place]), int(after * SECOND), act, int(reads * SECOND)))
        before = seconds[place]
    return Plan(steps, depth, int((seconds[depth - 1] - before + 1.0) * SECOND))


def glance(law: BehaviourConfig, count: int) -> Floats:
    """Return the probability that each of ``count`` positions is taken in once it is looked at."""
    probability: Floats = np.arange(1.0, count + 1) ** -law.glance_decay
    return probability
