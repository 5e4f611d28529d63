"""Replay: the log is folded once more, and at each list its rows are computed as they were when it was served."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.batch import Batch
from features.collector import collector_paused
from features.events import Entry
from features.money import Rates
from features.progress import Progress
from features.served import Items, Lists, fill_items
from features.spec import NAMES
from features.state import MarketState
from features.vocabulary import UNKNOWN
from training.dataset import Described, TrainingSet, labelled
from training.lists import ServedList, delays_of, mature, maturity_of, patience_of, read_history

Entries = Sequence[Entry]
"""A run of the log: sequence number, ``known_at`` in microseconds since 1970, event."""

PIECE = 256
"""Lists that are replayed at a time."""


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
        progress: called after every ``PIECE`` lists, and sooner.

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
    delays = delays_of(history)
    window = maturity_of(history, delays) if maturity is None else maturity
    lists = mature(history, since, until, window, whole=whole)
    found = replay(read(), rates, lists, progress)
    return labelled(
        lists,
        found.features,
        history,
        until=until,
        maturity=window,
        patience=patience_of(history, window, delays),
        described=found.described,
    )


class Replayed(NamedTuple):
    """What was known of the items of lists, one list after the other.

    Attributes:
        features: float32, items x columns of the spec.
        described: what was said of them.
    """

    features: NDArray[np.float32]
    described: Described


def replay(
    batches: Iterable[Entries], rates: Rates, lists: Sequence[ServedList], progress: Progress | None = None
) -> Replayed:
    """Compute the rows of lists, each from the state that it was made from.

    Args:
        batches: the log from its beginning.
        rates: currency rates.
        lists: what was served, in any order.
        progress: called now and then.
    """
    state = MarketState(rates)
    sizes = np.array([len(served.task_ids) for served in lists], np.int64)
    size = int(sizes.sum())
    items = Items(
        np.empty(size, np.int32),
        np.empty((size, len(NAMES)), np.float32),
        np.empty(size, np.int32),
        np.empty(size, np.int32),
    )
    prefixes = np.array([served.prefix for served in lists], np.int64)
    instants = np.array([served.at for served in lists], np.int64)
    sessions = np.array([served.session_minutes for served in lists], np.float64)
    stops = np.cumsum(sizes)
    order = np.argsort(prefixes, kind="stable")
    done = 0
    for batch, folded, known in _pieces(batches, state, prefixes[order]):
        places = order[done : done + len(known)]
        asked = [lists[place] for place in places.tolist()]
        task, worker = state.catalogue.tasks.indices.get, state.catalogue.workers.get
        starts, each = stops[places] - sizes[places], sizes[places]
        # Where the items of these lists stand, one list after the other.
        stands = np.repeat(starts - (np.cumsum(each) - each), each) + np.arange(each.sum())
        task_ids = chain.from_iterable(served.task_ids for served in asked)
        items.tasks[stands] = np.fromiter(map(task, task_ids, repeat(UNKNOWN)), np.int32, len(stands))
        fill_items(
            state,
            batch,
            folded,
            Lists(
                known,
                np.array([worker(served.worker_id) for served in asked], np.int64),
                instants[places],
                sessions[places],
                starts,
                stops[places],
            ),
            items,
        )
        done += len(places)
        if progress:
            progress(done, len(lists))
    labels = [name.partition(":")[2] or None for name in state.catalogue.labels.ids()]
    return Replayed(items.features, Described(items.categories, items.languages, labels))


def _pieces(
    batches: Iterable[Entries], state: MarketState, prefixes: NDArray[np.int64]
) -> Iterator[tuple[Batch, int, NDArray[np.int64]]]:
    """Yield batches with how many events of each are folded, and how many the next few lists know.

    Whoever is given them folds up to the last of these lists.

    Args:
        batches: the log from its beginning.
        state: encodes and folds it.
        prefixes: int64, lists; rising.
    """
    place = 0
    for entries in batches:
        if place == len(prefixes):
            return
        if not entries:
            continue
        batch = state.encode(entries)
        seqs = batch.events["seq"]
        stop = int(np.searchsorted(prefixes, seqs[-1]))
        known = np.searchsorted(seqs, prefixes[place:stop], side="right")
        folded = 0
        for first in range(0, len(known), PIECE):
            piece = known[first : first + PIECE]
            yield batch, folded, piece
            folded = int(piece[-1])
        state.fold(batch, folded, len(seqs))
        place = stop
    if place < len(prefixes):
        yield state.encode([]), 0, np.zeros(len(prefixes) - place, np.int64)
