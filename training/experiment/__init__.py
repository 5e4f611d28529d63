"""Closed-loop experiments: policies that compete in simulated marketplaces, which react to what is listed."""

from training.experiment.contestants import POLICIES
from training.experiment.measures import MEASURES
from training.experiment.results import Results
from training.experiment.run import Experiment
from training.experiment.trial import Outcome

__all__ = ["MEASURES", "POLICIES", "Experiment", "Outcome", "Results"]
