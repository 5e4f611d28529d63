"""A simulated marketplace of micro jobs, whose truth is known and never leaks into its events."""

from training.simulation.config import (
    PRESETS,
    BehaviourConfig,
    RequesterConfig,
    SimulationConfig,
    TaskConfig,
    WorkerConfig,
)
from training.simulation.ledger import Ledger
from training.simulation.policies import Board, NewestFirst, Occasion, Policy, Ranking, random_order
from training.simulation.truth import Truth, read_truth
from training.simulation.world import World

__all__ = [
    "PRESETS",
    "BehaviourConfig",
    "Board",
    "Ledger",
    "NewestFirst",
    "Occasion",
    "Policy",
    "Ranking",
    "RequesterConfig",
    "SimulationConfig",
    "TaskConfig",
    "Truth",
    "WorkerConfig",
    "World",
    "random_order",
    "read_truth",
]
