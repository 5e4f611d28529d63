"""How much work is wanted against how much there is: what makes a market scarce."""

from training.simulation.config import SimulationConfig
from training.simulation.policies import NewestFirst
from training.simulation.world import World


def demand(config: SimulationConfig, end: int) -> float:
    """Return the acceptances that workers would make if slots were unlimited, for each slot posted.

    The world runs under newest first, with a slot for every worker in each task and all else as configured.

    Args:
        config: of the market.
        end: of its log, microseconds since 1970.
    """
    world = World(config, end)
    posted = int(world.tasks.slots.sum())
    world.tasks.slots[:] = config.workers
    for _ in world.run(NewestFirst()):
        pass
    return len(world.ledger.tables()["assignments"]) / posted
