"""What came of an experiment, as tables: by seed, over seeds, against newest first and the usual lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import pandas as pd

from training.experiment.contestants import ORACLE, POLICIES, REFERENCE, REFERENCES, USUAL
from training.experiment.measures import MEASURES, ratio, worse_off
from training.experiment.trial import Outcome
from training.metrics import cluster_interval

OVER = {REFERENCE: "difference", USUAL: "over_usual"}
"""Policy that others are compared with -> the column of the summary that holds what they have more."""


@dataclass(frozen=True)
class Results:
    """The outcomes of all trials.

    Attributes:
        outcomes: in order of seeds and of ``POLICIES``, each policy with the same seeds, newest first among them.
    """

    outcomes: tuple[Outcome, ...]

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> "Results":
        """Bring outcomes in order."""
        return cls(tuple(sorted(outcomes, key=lambda each: (each.seed, POLICIES.index(each.policy)))))

    @property
    def policies(self) -> list[str]:
        """Their names, in order."""
        return list(dict.fromkeys(each.policy for each in self.outcomes))

    @property
    def seeds(self) -> list[int]:
        """The seeds, in order."""
        return list(dict.fromkeys(each.seed for each in self.outcomes))

    @property
    def references(self) -> list[str]:
        """The policies that there is another one to be compared with, in order of ``REFERENCES``."""
        return [name for name in REFERENCES if {name} < {*self.policies}]

    def by_seed(self) -> pd.DataFrame:
        """Return every figure: ``seed``, ``policy``, ``measure``, ``value``; NaN where nothing can be said."""
        found = {(each.seed, each.policy): each for each in self.outcomes}
        rows = []
        for (seed, policy), outcome in found.items():
            reference, oracle = found[seed, REFERENCE], found.get((seed, ORACLE))
            figures = {**outcome.figures, "worse_off": worse_off(outcome.workers, reference.workers)}
            if oracle is not None:
                begin = reference.figures["hourly"]
                figures["way_to_oracle"] = ratio(figures["hourly"] - begin, oracle.figures["hourly"] - begin)
            rows += [(seed, policy, each.name, figures[each.name]) for each in MEASURES if each.name in figures]
        return pd.DataFrame(rows, columns=["seed", "policy", "measure", "value"])

    def summary(self) -> pd.DataFrame:
        """Return the figures over seeds, with intervals at 95 % from Student's t; worlds are what chance drew.

        Returns:
            One row for each policy and measure: ``policy``, ``measure``, ``value`` (mean over seeds), ``low``,
            ``high``, ``difference`` (mean of what the policy has more than newest first in the same world),
            ``difference_low``, ``difference_high``, the same as ``over_usual`` of the usual lists if they were tried,
            ``seeds`` (with a value). The ends are infinite for a single seed.
        """
        wide = self.by_seed().pivot(index="seed", columns=["measure", "policy"], values="value")
        rows, over = [], [name for name in OVER if name in self.policies]
        for policy in self.policies:
            for measure in wide.columns.unique("measure"):
                values = wide[measure, policy]
                level = cluster_interval(values, wide.index)
                more = [cluster_interval(values - wide[measure, name], wide.index) for name in over]
                rows.append((policy, measure, *level, *chain(*more), int(values.notna().sum())))
        compared = [f"{OVER[name]}{end}" for name in over for end in ("", "_low", "_high")]
        columns = ["policy", "measure", "value", "low", "high", *compared, "seeds"]
        table = pd.DataFrame(rows, columns=columns)
        order = {measure.name: place for place, measure in enumerate(MEASURES)}
        return table.sort_values("measure", key=lambda names: names.map(order), kind="stable").reset_index(drop=True)

    def days(self) -> pd.DataFrame:
        """Return the course of time: ``seed``, ``policy``, ``day`` from 0, and the columns of `measures.by_day`."""
        return self._stacked([each.days for each in self.outcomes])

    def workers(self) -> pd.DataFrame:
        """Return workers: ``seed``, ``policy``, ``worker``, and the columns of `measures.by_worker`."""
        return self._stacked([each.workers for each in self.outcomes])

    def costs(self) -> pd.DataFrame:
        """Return what trials took: ``policy``, ``lists``, ``seconds`` of CPU, ``lists_per_second``."""
        rows = [(each.policy, each.lists, each.seconds) for each in self.outcomes]
        table = pd.DataFrame(rows, columns=["policy", "lists", "seconds"]).groupby("policy", sort=False).sum()
        return table.assign(lists_per_second=table["lists"] / table["seconds"]).reset_index()

    def _stacked(self, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        keys = [(each.seed, each.policy) for each in self.outcomes]
        return pd.concat(tables, keys=keys, names=["seed", "policy"]).reset_index()


def best(summary: pd.DataFrame) -> dict[str, str]:
    """Return the best policy by measure; the oracle is no policy that anyone could have, and not among them."""
    found = {}
    for measure in MEASURES:
        table = summary[(summary["measure"] == measure.name) & (summary["policy"] != ORACLE)].set_index("policy")[
            "value"
        ]
        if measure.name == "worse_off":
            table = table.drop(REFERENCE)
        if table.notna().sum() > 1:
            sign = 1 if measure.better == "more" else -1
            found[measure.name] = str((sign * table).idxmax())
    return found
