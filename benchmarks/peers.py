"""What Cocok is held against in `benchmarks.quality`: what else a marketplace could order its tasks by in a day's work.

A peer learns from the lists before a border and then scores the rows of later lists. Each row may use what was known
before its own list, as a service would that keeps its counts up to date; what was learned stays as it was then.

In most logs the tasks to rank are too new to have been taken by many, so collaborative filtering has no factors or
neighbours of them. Peers that need those get the task by its content; `Peer.cold` says how, and the table shows it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMRanker
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features.tokens import words
from training import lists
from training.baselines import BASELINES
from training.columns import monotone_directions, ranking_columns
from training.dataset import TrainingSet
from training.frames import Log
from training.ranker import RankerParameters, choose_trees, fit

Scorer = Callable[[TrainingSet], NDArray[np.float64]]
"""Gives the score of every row, NaN where the peer has nothing to go by."""

ALS = {"factors": 128, "regularization": 1.0, "alpha": 20.0}
"""Chosen of 24 settings on the last lists before the border, of a real and a simulated log."""

NEIGHBOURS = 20
"""Similar tasks that stand in for one that nobody has taken."""

NAIVE = (
    "reward",
    "task_age_hours",
    "task_hours_left",
    "skill_count",
    "skills_shared",
    "worker_accepts",
    "task_accepts",
    "popularity",
    "category_taken",
    "requester_taken",
)
"""The ten columns of plain LightGBM; those that the feature spec does not know are counted from the log."""


class Takings:
    """Who took which task, and when that was known; and what is known of tasks and workers by number.

    Number 0 is a task or worker that the log does not tell of.

    Attributes:
        workers: int64, acceptances.
        tasks: int64, acceptances.
        known_at: int64, acceptances; microseconds since 1970.
        words: tasks -> what a task says of itself: category, skills, words of the title.
    """

    def __init__(self, log: Log) -> None:
        self._workers = pd.Index(log.workers["worker_id"])
        self._tasks = pd.Index(log.tasks["task_id"])
        taken = log.events[log.events["type"] == "assignment_accepted"]
        self.workers = self._workers.get_indexer(taken["worker_id"]) + 1
        self.tasks = self._tasks.get_indexer(taken["task_id"]) + 1
        self.known_at = _microseconds(taken["known_at"])
        self.words = [[], *map(_described, log.tasks["category"], log.tasks["skills"], log.tasks["title"])]
        self.categories = _numbered(log.tasks["category"])
        self.requesters = _numbered(log.tasks["requester_id"])
        self.kinds = _numbered(log.tasks["category"].astype(object).fillna("") + "|" + log.tasks["skills"].fillna(""))

    def tasks_of(self, rows: TrainingSet) -> NDArray[np.int64]:
        """Return the number of every row's task."""
        return np.asarray(self._tasks.get_indexer(rows.catalogue["task_id"])[rows.tasks] + 1)

    def workers_of(self, rows: TrainingSet) -> NDArray[np.int64]:
        """Return the number of every list's worker."""
        return np.asarray(self._workers.get_indexer(pd.Index(rows.worker_ids))[rows.workers] + 1)

    def matrix(self, things: NDArray[np.int64], before: int) -> csr_matrix:
        """Return how often each worker took each thing before an instant: float32, workers x things.

        Args:
            things: int64, tasks; the thing that a task is: itself, its kind.
            before: microseconds since 1970.
        """
        kept = self.known_at < before
        return _counts(self.workers[kept], things[self.tasks[kept]], (len(self._workers) + 1, int(things.max()) + 1))

    def histories(self, rows: TrainingSet, things: NDArray[np.int64]) -> csr_matrix:
        """Return how often the worker of each list had taken each thing by then: float32, lists x things."""
        order = np.lexsort((self.known_at, self.workers))
        starts, ends = _runs(self.workers[order], self.known_at[order], self.workers_of(rows), rows.times)
        of_list = np.repeat(np.arange(len(rows)), ends - starts)
        steps = np.arange(len(of_list)) - np.repeat(np.cumsum(ends - starts) - (ends - starts), ends - starts)
        taken = self.tasks[order][np.repeat(starts, ends - starts) + steps]
        return _counts(of_list, things[taken], (len(rows), int(things.max()) + 1))

    def times_taken(self, rows: TrainingSet, things: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how often the worker of each row had taken things such as the row's task (int64, rows)."""
        size = int(things.max()) + 1
        keys = self.workers * size + things[self.tasks]
        order = np.lexsort((self.known_at, keys))
        owner = np.repeat(np.arange(len(rows)), np.diff(rows.offsets))
        asked = self.workers_of(rows)[owner] * size + things[self.tasks_of(rows)]
        starts, ends = _runs(keys[order], self.known_at[order], asked, rows.times[owner])
        return ends - starts


Fit = Callable[[TrainingSet, Takings, int, int], Scorer]
"""Learns from lists, from what was taken before an instant (microseconds since 1970), with so many threads."""


@dataclass(frozen=True)
class Peer:
    """A ranker to compare with.

    Attributes:
        name: what the table calls it.
        cold: how it ranks a task that nobody has taken.
        fit: learns.
    """

    name: str
    cold: str
    fit: Fit


def cocok(rows: TrainingSet, _: Takings, __: int, threads: int) -> Scorer:
    """Fit the ranker of `cocok train` with its defaults."""
    parameters = RankerParameters(num_threads=threads)
    monotone, ranks = monotone_directions(rows.names), ranking_columns(rows.names)
    choice = choose_trees(rows, parameters, monotone, ranks=ranks, maturity=rows.patience)
    ranker = fit(rows, parameters, choice.trees, monotone, ranks=ranks)
    return lambda later: ranker.predict(later.features)


def logistic_regression(rows: TrainingSet, _: Takings, __: int, threads: int) -> Scorer:
    """Fit P(taken) of a row by all columns: medians where one is missing, scaled, scikit-learn's ridge penalty."""
    model = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), LogisticRegression(max_iter=1_000)
    )
    model.fit(rows.features, rows.relevance >= lists.ACCEPTED)
    return lambda later: np.asarray(model.decision_function(later.features), np.float64)


def plain_lightgbm(rows: TrainingSet, takings: Takings, __: int, threads: int) -> Scorer:
    """Fit LightGBM's LambdaMART with the library's defaults, 100 trees, on the columns `NAIVE`."""
    model = LGBMRanker(n_jobs=threads, random_state=0, verbosity=-1)
    model.fit(naive(rows, takings), rows.relevance, group=np.diff(rows.offsets))
    return lambda later: np.asarray(model.predict(naive(later, takings)), np.float64)


def naive(rows: TrainingSet, takings: Takings) -> pd.DataFrame:
    """Return the columns `NAIVE` (float64, rows)."""
    counted = {
        "skills_shared": rows.column("skill_overlap") * rows.column("skill_count"),
        "category_taken": takings.times_taken(rows, takings.categories),
        "requester_taken": takings.times_taken(rows, takings.requesters),
    }
    return pd.DataFrame({name: counted[name] if name in counted else rows.column(name) for name in NAIVE}, dtype=float)


def als(rows: TrainingSet, takings: Takings, before: int, threads: int) -> Scorer:
    """Factorise workers x tasks (Hu, Koren & Volinsky 2008, `implicit`), tasks without takers by their content.

    The factors of such a task are the mean of those of the most similar tasks that were taken, weighted by the cosine
    of their words (TF-IDF). A worker's factors are solved anew for each list from all that the worker took by then; a
    worker who took nothing gets the mean of all workers.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    def model() -> Any:
        return AlternatingLeastSquares(**ALS, num_threads=threads, random_state=0)

    tasks = np.arange(len(takings.words))
    taken = takings.matrix(tasks, before)
    learned = model()
    learned.fit(taken, show_progress=False)
    folded = model()
    folded.item_factors = _with_content(learned.item_factors, np.diff(taken.tocsc().indptr) > 0, takings.words)
    usual = learned.user_factors[np.diff(taken.indptr) > 0].mean(axis=0)

    def score(later: TrainingSet) -> NDArray[np.float64]:
        histories = takings.histories(later, tasks)
        workers = folded.recalculate_user(np.arange(len(later)), histories)
        workers[np.diff(histories.indptr) == 0] = usual
        owner = np.repeat(np.arange(len(later)), np.diff(later.offsets))
        items = folded.item_factors[takings.tasks_of(later)]
        return np.asarray(np.einsum("rf,rf->r", workers[owner], items), np.float64)

    return score


def item_knn(rows: TrainingSet, takings: Takings, before: int, threads: int) -> Scorer:
    """Score kinds of task by their neighbours among the kinds that the worker took (`implicit`, BM25, 20 neighbours).

    A kind is a category with its skills. A worker who took nothing gets kinds in order of their takers.
    """
    from implicit.nearest_neighbours import BM25Recommender

    taken = takings.matrix(takings.kinds, before)
    model = BM25Recommender(K=NEIGHBOURS, num_threads=threads)
    model.fit(taken, show_progress=False)
    takers = np.diff(taken.tocsc().indptr)

    def score(later: TrainingSet) -> NDArray[np.float64]:
        owner = np.repeat(np.arange(len(later)), np.diff(later.offsets))
        kinds = takings.kinds[takings.tasks_of(later)]
        near = (takings.histories(later, takings.kinds) @ model.similarity).tocsr()
        # Equal scores, most of them 0, stand by the number of takers.
        return np.asarray(near[owner, kinds], np.float64).ravel() + 1e-9 * takers[kinds]

    return score


def _baseline(name: str) -> Peer:
    by_counts = name in ("popularity", "past_rate")
    return Peer(name, SIMILAR if by_counts else "as any other", lambda *_: BASELINES[name])


SIMILAR = "by counts of similar tasks"
COCOK = "Cocok"
PEERS = (
    Peer(COCOK, SIMILAR, cocok),
    *(_baseline(name) for name in BASELINES),
    Peer("logistic regression, all columns", SIMILAR, logistic_regression),
    Peer("LightGBM, ten naive columns", "its popularity column counts similar tasks", plain_lightgbm),
    Peer("ALS (implicit)", f"mean factors of the {NEIGHBOURS} taken tasks with the most similar words", als),
    Peer("item kNN (implicit)", "as its kind, a category with its skills; a new kind last", item_knn),
)
UNAVAILABLE = {
    "rerankers of RecTools": "RecTools 0.19 wants numpy 1 on Python 3.11 and attrs before 24; Cocok wants numpy 2",
    "LensKit": "LensKit 2025.8 wants pandas 2, and pandas 3 is pinned; later releases want Python 3.12.5",
}
"""Peers that cannot be installed beside Cocok's pinned versions -> why."""


def _with_content(
    factors: NDArray[np.float32], taken: NDArray[np.bool_], described: list[list[str]]
) -> NDArray[np.float32]:
    """Return factors in which those of tasks that nobody took are the mean of similar ones."""
    vectors = TfidfVectorizer(analyzer=lambda task: task or ["nothing said"]).fit_transform(described)
    known, cold = np.flatnonzero(taken), np.flatnonzero(~taken)
    found = factors.copy()
    nearest = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(known)), metric="cosine", algorithm="brute")
    distances, places = nearest.fit(vectors[known]).kneighbors(vectors[cold])
    weights = np.maximum(1.0 - distances, 0.0) + 1e-9
    weights /= weights.sum(axis=1, keepdims=True)
    found[cold] = np.einsum("tn,tnf->tf", weights, factors[known[places]])
    return found


def _described(category: Any, skills: Any, title: Any) -> list[str]:
    named = [f"category {category}"] if isinstance(category, str) else []
    named += [f"skill {skill}" for skill in skills.lower().split(", ")] if isinstance(skills, str) else []
    return named + (list(words(title)) if isinstance(title, str) else [])


def _numbered(values: pd.Series) -> NDArray[np.int64]:
    return np.concatenate([[0], pd.factorize(values)[0] + 1]).astype(np.int64)


def _microseconds(instants: pd.Series) -> NDArray[np.int64]:
    return np.asarray(instants.dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64))


def _counts(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> csr_matrix:
    counts = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    counts.sum_duplicates()
    return counts


def _runs(
    keys: NDArray[np.int64], times: NDArray[np.int64], asked: NDArray[np.int64], before: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each asked key's run begins, and where its times reach an instant; keys and times are sorted."""
    ranks = np.unique(np.concatenate([times, before]), return_inverse=True)[1]
    span = int(ranks.max(initial=0)) + 1
    joined = keys * span + ranks[: len(times)]
    return np.searchsorted(joined, asked * span), np.searchsorted(joined, asked * span + ranks[len(times) :])
