"""Replay: the log is folded once more, and at each list its rows are computed as they were when it was served."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from features.build import rows
from features.collector import collector_paused
from features.events import Event
from features.money import Rates
from features.spec import NAMES
from features.state import MarketState
from training.dataset import TrainingSet, labelled
from training.lists import ServedList, mature, maturity_of, read_history

Entries = Sequence[tuple[int, int, Event]]
"""A run of the log: sequence number, ``known_at`` in microseconds since 1970, event."""

Progress = Callable[[int, int], None]
"""Called with the lists done and the lists in all."""


def training_set(
    read: Callable[[], Iterable[Entries]],
    rates: Rates,
    *,
    until: int,
    since: int | None = None,
    maturity: int | None = None,
    whole: bool = False,
    progress: Progress | None = None,
) -> TrainingSet:
    """Build the training set of a log.

    The log is read twice, in batches: for lists and outcomes, then for the rows.

    Args:
        read: gives the batches of the prefix known before ``until``, from the beginning, at each call.
        rates: currency rates.
        until: microseconds since 1970; what was not known before it does not exist.
        since: lists before it are left out; their events still count.
        maturity: how long outcomes are waited for, in microseconds; None for what the log itself suggests.
        whole: lists are not cut to what was shown, which hangs on what the worker did with them.
        progress: called after each list.

    Raises:
        CocokError: there is no mature list.
    """
    with collector_paused():
        return _training_set(read, rates, until, since, maturity, whole, progress)


def _training_set(
    read: Callable[[], Iterable[Entries]],
    rates: Rates,
    until: int,
    since: int | None,
    maturity: int | None,
    whole: bool,
    progress: Progress | None,
) -> TrainingSet:
    history = read_history(read())
    window = maturity_of(history) if maturity is None else maturity
    lists = mature(history, since, until, window, whole=whole)
    sizes = np.array([len(served.task_ids) for served in lists])
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    features = np.empty((offsets[-1], len(NAMES)), np.float32)
    described: dict[str, tuple[str | None, str | None]] = {}
    by_prefix = sorted(range(len(lists)), key=lambda place: lists[place].prefix)
    for done, (place, state) in enumerate(replay(read(), rates, lists, by_prefix), 1):
        served = lists[place]
        index = state.catalogue.tasks.get
        tasks = np.array([index(task_id) for task_id in served.task_ids], np.int32)
        worker = state.catalogue.workers.get(served.worker_id)
        features[offsets[place] : offsets[place + 1]] = rows(state, worker, tasks, served.at, served.session_minutes)
        for task_id, task in zip(served.task_ids, tasks, strict=True):
            if task_id not in described:
                described[task_id] = _category_and_language(state, task)
        if progress:
            progress(done, len(lists))
    return labelled(lists, features, history, until=until, maturity=window, described=described)


def _category_and_language(state: MarketState, task: int) -> tuple[str | None, str | None]:
    # By the folded facts: the catalogue's postings run ahead of the list, to the end of its batch.
    facts = state.arrays.tasks[task]["facts"]
    category, language = (
        state.catalogue.labels.external(label).partition(":")[2] or None
        for label in (int(facts["category"]), int(facts["languages"][0]))
    )
    return category, language


def replay(
    batches: Iterable[Entries], rates: Rates, lists: Sequence[ServedList], order: Sequence[int]
) -> Iterator[tuple[int, MarketState]]:
    """Yield each of ``order`` with the state that ``lists[place]`` was computed from.

    Args:
        batches: the log from its beginning.
        rates: currency rates.
        lists: what was served.
        order: places in ``lists``, by rising ``prefix``.
    """
    state = MarketState(rates)
    waiting = iter(order)
    place = next(waiting, None)
    for entries in batches:
        if place is None:
            return
        if not entries:
            continue
        batch = state.encode(entries)
        seqs = batch.events["seq"]
        done = 0
        while place is not None and lists[place].prefix < seqs[-1]:
            upto = int(np.searchsorted(seqs, lists[place].prefix, side="right"))
            state.fold(batch, done, upto)
            done = upto
            yield place, state
            place = next(waiting, None)
        state.fold(batch, done, len(seqs))
    while place is not None:
        yield place, state
        place = next(waiting, None)
