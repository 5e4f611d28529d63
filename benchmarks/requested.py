"""Requests of `cocok rank` with the truth about them, as lists that rankers are judged on."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from features.errors import CocokError
from features.events import micros
from features.money import Rates
from matching.offline import Entries, Request
from training.dataset import TrainingSet, labelled
from training.lists import History, ServedList
from training.replay import replay


class Truth(msgspec.Struct, frozen=True):
    """What became of a request.

    Attributes:
        request_id: of the request.
        labels: task id -> label; 0 for tasks that are not named.
    """

    request_id: str
    labels: dict[str, int]


def requested(
    read: Callable[[], Iterable[Entries]], rates: Rates, requests: Sequence[Request], truths: Iterable[Truth]
) -> TrainingSet:
    """Return the rows of requests as they would have been ranked, with the labels of a truth.

    All candidates are ranked, also those that the worker may not take.

    Args:
        read: gives the batches of the log, from the beginning, at each call.
        rates: currency rates.
        requests: of tasks for a worker, with candidates.
        truths: one for each request, by its id; others are ignored.

    Returns:
        The requests in order of time; ``feed_ids`` are the ids of the requests.

    Raises:
        CocokError: a request ranks workers, names no candidates, or has no truth.
    """
    entries = [(seq, known_at) for batch in read() for seq, known_at, _ in batch]
    seqs, known_at = np.array(entries, np.int64).reshape(-1, 2).T
    lists = []
    for request in sorted(requests, key=lambda request: request.at):
        if request.worker_id is None or not request.candidates:
            raise CocokError(f"request {request.request_id!r}: only tasks for a worker, with candidates, are judged")
        at = micros(request.at)
        before = int(np.searchsorted(known_at, at, side="left"))
        lists.append(
            ServedList(
                prefix=int(seqs[before - 1]) if before else 0,
                at=at,
                feed_id=request.request_id,
                worker_id=request.worker_id,
                task_ids=list(request.candidates),
                positions=list(range(1, len(request.candidates) + 1)),
                propensities=[1.0] * len(request.candidates),
                session_minutes=np.nan,
            )
        )
    features = replay(read(), rates, lists).features
    told = {truth.request_id: truth.labels for truth in truths}
    missing = [served.feed_id for served in lists if served.feed_id not in told]
    if missing:
        raise CocokError(f"the truth says nothing of request {missing[0]!r}")
    found = labelled(lists, features, History(), until=lists[-1].at + 1, maturity=0)
    labels = [told[served.feed_id].get(task_id, 0) for served in lists for task_id in served.task_ids]
    return replace(found, labels=np.array(labels, np.int8))
