"""Off-policy evaluation: what another ranker would have been worth, from lists that were served in a drawn order."""

from training.off_policy.estimators import ESTIMATORS, SERVED, OffPolicy, evaluate
from training.off_policy.pages import Pages, explored
from training.off_policy.rewards import REWARDS
from training.off_policy.targets import AsServed, Strict, Target

__all__ = [
    "ESTIMATORS",
    "REWARDS",
    "SERVED",
    "AsServed",
    "OffPolicy",
    "Pages",
    "Strict",
    "Target",
    "evaluate",
    "explored",
]
