"""Rows of features as lists are served, and a ranker that is retrained on them every night."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.build import rows
from features.errors import CocokError
from features.events import FeedServed
from features.spec import NAMES, fingerprint
from matching.bundle import Bundle
from matching.calibration import predict_rows
from matching.cascade import fit_first_stage
from matching.scoring import BundleRanker
from training.dataset import TrainingSet, task_catalogue
from training.experiment.live import Entry, Live
from training.lists import labels, mature, maturity_of, read_history
from training.ranker import RankerParameters, fit
from training.simulation import Occasion, Policy, Ranking
from training.train import monotone_directions, ranking_columns

MOST_LISTS = 6_000
"""A night's fit learns from no more than the latest so many, so that a large market costs no more than a small one."""


class Recorder:
    """A policy that keeps the rows of the lists of the last days as they were served, and what became of them.

    They are the rows that a replay of the log would compute.

    Args:
        live: the marketplace.
        policy: makes the lists.
        window: microseconds; what is older is forgotten.

    Attributes:
        policy: makes the lists from now on.
    """

    def __init__(self, live: Live, policy: Policy, window: int) -> None:
        self.policy = policy
        self._live, self._window = live, window
        self._log: list[Entry] = []
        self._rows: dict[str, NDArray[np.float32]] = {}
        self._next: NDArray[np.float32] | None = None

    def __call__(self, occasion: Occasion) -> Ranking:
        """Make the list that the policy makes, and keep its rows."""
        ranking, state, board = self.policy(occasion), self._live.state, occasion.board
        index = state.catalogue.tasks.get
        shown = ranking.tasks[: occasion.limit].tolist()
        tasks = np.array([index(board.task_ids[task]) for task in shown], np.int32)
        worker = state.catalogue.workers.get(occasion.worker_id)
        self._next = rows(state, worker, tasks, occasion.at, occasion.session_minutes)
        return ranking

    def follow(self, entry: Entry) -> None:
        """Take in the next event of the log."""
        self._log.append(entry)
        event = entry[2]
        if isinstance(event, FeedServed) and self._next is not None:
            self._rows[event.feed_id], self._next = self._next, None

    def training_set(self, until: int) -> TrainingSet:
        """Return the latest mature lists of the window that ends at ``until``, and forget what is older.

        Categories and languages, which only slices of an evaluation need, are not told.

        Raises:
            CocokError: no list is mature yet.
        """
        self._log = [entry for entry in self._log if entry[1] >= until - self._window]
        kept = {event.feed_id for _, _, event in self._log if isinstance(event, FeedServed)}
        self._rows = {feed_id: found for feed_id, found in self._rows.items() if feed_id in kept}
        history = read_history([self._log])
        maturity = maturity_of(history)
        lists = mature(history, None, until, maturity)[-MOST_LISTS:]
        found = [labels(history, served, maturity) for served in lists]
        sizes = [len(served.task_ids) for served in lists]
        workers, worker_ids = pd.factorize(np.array([served.worker_id for served in lists], object))
        tasks, task_ids = pd.factorize(np.array([task for served in lists for task in served.task_ids], object))
        untold = [None] * len(task_ids)
        return TrainingSet(
            # A list that was seen in part is cut to what was seen.
            features=np.concatenate([self._rows[served.feed_id][: len(served.task_ids)] for served in lists]),
            names=NAMES,
            labels=np.concatenate([part.labels for part in found]),
            verdicts=np.concatenate([part.verdicts for part in found]),
            minutes=np.concatenate([part.minutes for part in found]),
            offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            workers=workers.astype(np.int32),
            times=np.array([served.at for served in lists], np.int64),
            tasks=tasks.astype(np.int32),
            positions=np.array([position for served in lists for position in served.positions], np.int32),
            propensities=np.array([chance for served in lists for chance in served.propensities], np.float64),
            worker_ids=worker_ids,
            feed_ids=np.array([served.feed_id for served in lists], object),
            catalogue=task_catalogue(task_ids.tolist(), untold, untold),
            until=until,
            maturity=maturity,
        )


class Nightly:
    """A ranker that starts as a given one and is fitted anew every night, with as many trees, on the window so far.

    Args:
        bundle: to start with.
        recorder: has the lists.

    Attributes:
        ranker: the one in use.
    """

    def __init__(self, bundle: Bundle, recorder: Recorder) -> None:
        self.ranker = BundleRanker(bundle, "nightly-0")
        self._rates, self._trees, self._recorder = bundle.rates_fingerprint, bundle.ranker.num_trees(), recorder
        self._nights = 0

    def learn(self, now: int) -> None:
        """Fit the ranker on what is known; where nothing can be learned yet it stays as it is."""
        self._nights += 1
        try:
            known = self._recorder.training_set(now)
            ranker = fit(
                known,
                RankerParameters(num_threads=1),
                self._trees,
                monotone=monotone_directions(NAMES),
                ranks=ranking_columns(NAMES),
            )
        except CocokError:
            return
        bundle = Bundle(
            ranker=ranker,
            first_stage=fit_first_stage(known.features, predict_rows(ranker, known.features), known.offsets, NAMES),
            feature_names=NAMES,
            features_fingerprint=fingerprint(),
            rates_fingerprint=self._rates,
            since=int(known.times[0]),
            until=now,
        )
        self.ranker = BundleRanker(bundle, f"nightly-{self._nights}")
