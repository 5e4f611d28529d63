"""What a worker does with a list, planned when it is served: how far the eye goes, what is opened, what is taken."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from training.simulation.choice import ChoiceModel
from training.simulation.config import BehaviourConfig
from training.simulation.population import Ints

SECOND = 1_000_000

Act = Literal["view", "save", "hide", "accept"]


class Step(NamedTuple):
    """Something the worker does: so long after the list, in microseconds, with that task."""

    after: int
    act: Act
    task: int


@dataclass
class Reaction:
    """A worker's way through a list.

    Attributes:
        steps: in order of time; at most one acceptance, and then it is the last.
        depth: last position that was looked at, 0 for an empty list.
        lasts: from the list to the end of looking, microseconds.
    """

    steps: list[Step] = field(default_factory=list)
    depth: int = 0
    lasts: int = 0

    @property
    def accepts(self) -> bool:
        """Whether something is taken."""
        return bool(self.steps) and self.steps[-1].act == "accept"


def react(
    law: BehaviourConfig, choice: ChoiceModel, worker: int, tasks: Ints, minutes_left: float, rng: np.random.Generator
) -> Reaction:
    """Plan what a worker does with a list.

    Args:
        law: how workers behave.
        choice: probabilities.
        worker: index.
        tasks: indices, best position first.
        minutes_left: in the session.
        rng: what chance decides.
    """
    count = len(tasks)
    if not count:
        return Reaction(lasts=int(rng.uniform(2, 10) * SECOND))
    # All draws are made at once and in any case, so that lists of two policies meet the same luck by position.
    luck = rng.random((5, count))
    pauses = rng.lognormal(0.0, 0.5, (2, count))
    stop = luck[0] >= law.scan_on
    depth = int(stop.argmax()) + 1 if stop.any() else count
    taken_in = luck[1] < np.arange(1, count + 1) ** -law.glance_decay
    view, accept = choice.chances(worker, tasks, minutes_left)
    reaction = Reaction()
    seconds = 2.0
    for place in range(depth):
        reaction.depth = place + 1
        seconds += 3.0 * pauses[0, place]
        if not taken_in[place]:
            continue
        task = int(tasks[place])
        if luck[2, place] >= view[place]:
            # What repels is put away now and then; what is merely dull is not.
            if view[place] < 0.05 and luck[4, place] < law.hide_share:
                reaction.steps.append(Step(int(seconds * SECOND), "hide", task))
            continue
        reaction.steps.append(Step(int(seconds * SECOND), "view", task))
        seconds += 20.0 * pauses[1, place]
        if luck[3, place] < accept[place]:
            reaction.steps.append(Step(int(seconds * SECOND), "accept", task))
            break
        if accept[place] > 0.2 and luck[4, place] < law.save_share:
            reaction.steps.append(Step(int(seconds * SECOND), "save", task))
    reaction.lasts = int((seconds + 1.0) * SECOND)
    return reaction
