"""Who competes: every policy makes its lists by the matcher, as it serves, eligibility included."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from features.events import Entry
from matching.bundle import Bundle
from matching.eligibility import Wishes
from matching.pipeline import Matcher
from matching.query import Query
from matching.scoring import BundleRanker, Ranker
from training.aliases import CHAMPION
from training.experiment.live import Live
from training.experiment.oracle import Oracle
from training.experiment.orders import ORDERS
from training.experiment.recording import Nightly, Recorder
from training.simulation import NewestFirst, Occasion, Policy, Ranking

EXPLORE, NIGHTLY, ORACLE = "explore", "nightly", "oracle"
REFERENCE, USUAL = "newest", "usual"

POLICIES = (*ORDERS, USUAL, CHAMPION, EXPLORE, NIGHTLY, ORACLE)
"""Names of all policies; see ``docs/experiments.md``."""

REFERENCES = {REFERENCE: "newest first", USUAL: "the usual lists"}
"""Policies that others are compared with -> what people call them."""

EVERYTHING = 1_000_000
"""Tasks to score where no first stage may choose."""

PLAIN = Matcher(steps=(), shortlist=EVERYTHING)
"""What marketplaces do: the whole order as it is."""

PRODUCT = Matcher()
"""What Cocok does: a first stage, and steps that weigh pay and spread what is listed."""


@dataclass(frozen=True)
class Contestant:
    """A policy in a run.

    Attributes:
        policy: makes the lists.
        learn: called every night with the instant, microseconds since 1970; None for a policy that does not learn.
        follow: called with every event of the log; None for a policy that keeps none.
    """

    policy: Policy
    learn: Callable[[int], None] | None = None
    follow: Callable[[Entry], None] | None = None


@dataclass(frozen=True)
class Matched:
    """A policy that asks the matcher for its lists.

    Attributes:
        name: of the policy.
        live: the marketplace.
        matcher: makes a list.
        ranker: scores its tasks.
        told: whether the log tells the scores and the version of the model.
        recorder: keeps the rows of every list; None if nobody learns from them.
        explores: whether orders are drawn; then the log tells their propensities.
    """

    name: str
    live: Live
    matcher: Callable[[Occasion], Matcher]
    ranker: Callable[[Occasion], Ranker]
    told: bool = False
    recorder: Recorder | None = None
    explores: bool = False

    def __call__(self, occasion: Occasion) -> Ranking:
        """Make a list."""
        ranker = self.ranker(occasion)
        query = Query(
            occasion.worker_id,
            occasion.at,
            occasion.limit,
            Wishes(device=occasion.device),
            occasion.session_minutes,
            explore=int(occasion.rng.integers(2**63)) if self.explores else None,
        )
        state = self.live.state
        page = self.matcher(occasion).page(state, ranker, query)
        if self.recorder is not None:
            self.recorder.note(page.rows)
        return Ranking(
            occasion.board.indices([*map(state.catalogue.tasks.external, page.ranking.tasks.tolist())]),
            self.name,
            scores=page.scores if self.told else None,
            propensities=page.ranking.propensities if self.explores else None,
            model_version=ranker.version if self.told else None,
        )


def contestant(
    name: str, live: Live, bundle: Bundle | None, recorder: Recorder | None, product: Matcher = PRODUCT
) -> Contestant:
    """Return a policy by its name.

    Args:
        name: one of ``POLICIES``.
        live: the marketplace, after its warm-up.
        bundle: the champion; only for the policies that learn.
        recorder: has watched the warm-up; only for the one that learns every night.
        product: makes the lists of the policies that learn.
    """
    if name in ORDERS:
        return Contestant(Matched(name, live, lambda _: PLAIN, ORDERS[name]))
    if name == USUAL:
        return Contestant(usual)
    if name == ORACLE:
        oracle = Oracle(live.world)
        # It reorders everything, so what the order was before does not matter.
        return Contestant(
            Matched(name, live, lambda occasion: Matcher([oracle.step(occasion)], EVERYTHING), ORDERS["random"])
        )
    if name in (CHAMPION, EXPLORE) and bundle is not None:
        champion = BundleRanker(bundle, CHAMPION)
        return Contestant(
            Matched(name, live, lambda _: product, lambda _: champion, told=True, explores=name == EXPLORE)
        )
    if name == NIGHTLY and bundle is not None and recorder is not None:
        nightly = Nightly(bundle, recorder)
        policy = Matched(name, live, lambda _: product, lambda _: nightly.ranker, told=True, recorder=recorder)
        return Contestant(policy, nightly.learn, recorder.follow)
    raise ValueError(f"no policy {name!r} without a model")


def usual(occasion: Occasion) -> Ranking:
    """Make the list that the warm-up would have made: its policy kept on, as if nothing had been tried."""
    return replace(NewestFirst()(occasion), policy=USUAL)
