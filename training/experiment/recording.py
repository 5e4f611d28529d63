"""Rows of features as lists are served, and a ranker that is retrained on them every night."""

import numpy as np
from numpy.typing import NDArray

from features.build import rows
from features.errors import CocokError
from features.events import Entry, FeedServed
from features.spec import NAMES, fingerprint
from matching.bundle import Bundle
from matching.first_stage import learn_first_stage
from matching.scoring import BundleRanker
from training.columns import monotone_directions, ranking_columns
from training.dataset import TrainingSet, labelled
from training.experiment.live import Live
from training.lists import History, mature, maturity_of
from training.ranker import RankerParameters, fit
from training.simulation import Occasion, Policy, Ranking

MOST_LISTS = 6_000
"""A night's fit learns from no more than the latest so many, so that a large market costs no more than a small one."""

MOST_TREES = 100
"""Trees of a night's fit at the most: on a window of some days the curve of NDCG is flat from there on."""

NIGHTLY = RankerParameters(max_bin=63, passed_over=6, min_data_in_leaf=30, num_threads=1)
"""A night's fit: trees from half of the rows and from coarser columns order as well (docs/experiments.md)."""


class Recorder:
    """Keeps the rows of the lists of the last days as they were served, and what became of them.

    They are the rows that a replay of the log would compute.

    Args:
        window: microseconds; what is older is forgotten.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._history = History()
        self._rows: dict[str, NDArray[np.float32]] = {}
        self._next: NDArray[np.float32] | None = None

    def note(self, features: NDArray[np.float32]) -> None:
        """Keep the rows of the list that comes next in the log (float32, tasks shown x columns)."""
        self._next = features

    def follow(self, entry: Entry) -> None:
        """Take in the next event of the log."""
        self._history.extend([entry])
        event = entry[2]
        if isinstance(event, FeedServed) and self._next is not None:
            self._rows[event.feed_id], self._next = self._next, None

    def training_set(self, until: int) -> TrainingSet:
        """Return the latest mature lists of the window that ends at ``until``, and forget what is older.

        Categories and languages, which only slices of an evaluation need, are not told.

        Raises:
            CocokError: no list is mature yet.
        """
        history = self._history
        history.forget(until - self._window)
        self._rows = {served.feed_id: self._rows[served.feed_id] for served in history.lists}
        maturity = maturity_of(history)
        lists = mature(history, None, until, maturity)[-MOST_LISTS:]
        # A list that was seen in part is cut to what was seen.
        features = np.concatenate([self._rows[served.feed_id][: len(served.task_ids)] for served in lists])
        return labelled(lists, features, history, until=until, maturity=maturity)


def watched(policy: Policy, live: Live, recorder: Recorder) -> Policy:
    """Return a policy whose lists are recorded, for one that computes no rows by itself."""

    def make(occasion: Occasion) -> Ranking:
        ranking, state, board = policy(occasion), live.state, occasion.board
        index = state.catalogue.tasks.get
        shown = ranking.tasks[: occasion.limit].tolist()
        tasks = np.array([index(board.task_ids[task]) for task in shown], np.int32)
        worker = state.catalogue.workers.get(occasion.worker_id)
        recorder.note(rows(state, worker, tasks, occasion.at, occasion.session_minutes))
        return ranking

    return make


class Nightly:
    """A ranker that starts as a given one and is fitted anew every night on the window so far.

    It has as many trees as the given one, but no more than ``MOST_TREES``.

    Args:
        bundle: to start with.
        recorder: has the lists.

    Attributes:
        ranker: the one in use.
    """

    def __init__(self, bundle: Bundle, recorder: Recorder) -> None:
        self.ranker = BundleRanker(bundle, "nightly-0")
        self._rates, self._recorder = bundle.rates_fingerprint, recorder
        self._trees = min(bundle.ranker.booster.num_trees(), MOST_TREES)
        self._nights = 0

    def learn(self, now: int) -> None:
        """Fit the ranker on what is known; where nothing can be learned yet it stays as it is."""
        self._nights += 1
        try:
            known = self._recorder.training_set(now)
            ranker = fit(
                known,
                NIGHTLY,
                self._trees,
                monotone=monotone_directions(NAMES),
                ranks=ranking_columns(NAMES),
            )
        except CocokError:
            return
        bundle = Bundle(
            ranker=ranker,
            first_stage=learn_first_stage(ranker.predict, known.features, known.offsets, NAMES),
            feature_names=NAMES,
            features_fingerprint=fingerprint(),
            rates_fingerprint=self._rates,
            since=int(known.times[0]),
            until=now,
        )
        self.ranker = BundleRanker(bundle, f"nightly-{self._nights}")
