"""MarketState: what the market is after a prefix of the log."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.batch import Batch
from features.catalogue import Catalogue
from features.encode import Encoder
from features.events import Entry
from features.fold import fold, tally
from features.layout import (
    CHAIN,
    CHANGES,
    DEALING,
    HISTORY,
    LINK,
    MARKET,
    NEVER,
    OFFER,
    REFERENCE,
    REQUESTER,
    TASK,
    TASTE,
    TOKEN,
    WORKER,
    Arrays,
    blank,
)
from features.money import Rates
from features.pairs import SMALLEST, grown
from features.tastes import LEAST_ROOM, with_room
from features.tokens import TOKEN_BITS

_FIRST_ROWS = 256
_OPEN = (
    "open_tasks",
    "open_offers",
    "open_rewards",
    "open_links",
    "open_texts",
    "open_expires",
    "open_changed",
    "open_orders",
)
_BY_NUMBER = ("workers", "tasks", "requesters", "offers", "offered", "chains")
"""Arrays whose rows are numbered by the catalogue. A row is made blank when its number is given, not before: what lies
behind is zero and takes no memory. In the open-task index, what comes to a place is written whole."""


class MarketState:
    """The market after the events given to ``apply``; a pure function of them and of the currency rates.

    Attributes:
        catalogue: external ids, declared profiles and postings.
        arrays: the numbers, as ``features.layout`` describes them. ``apply`` may replace them by larger ones.
    """

    def __init__(self, rates: Rates) -> None:
        self.catalogue = Catalogue()
        self._encoder = Encoder(self.catalogue, rates)
        self.arrays = Arrays(
            market=blank(MARKET, 1),
            workers=blank(WORKER, _FIRST_ROWS),
            tasks=blank(TASK, _FIRST_ROWS),
            requesters=blank(REQUESTER, _FIRST_ROWS),
            tokens=blank(TOKEN, 1 << TOKEN_BITS),
            histories=blank(HISTORY, _FIRST_ROWS),
            taste_end=np.zeros(1, np.int64),
            taste_tokens=np.zeros(LEAST_ROOM, np.int32),
            tastes=np.zeros(LEAST_ROOM, TASTE),
            dealing_keys=np.zeros(SMALLEST, np.uint64),
            dealings=np.zeros(SMALLEST, DEALING),
            offers=blank(OFFER, _FIRST_ROWS),
            offered=np.zeros(2 * _FIRST_ROWS, np.int32),
            chains=blank(CHAIN, _FIRST_ROWS),
            open_tasks=np.zeros(_FIRST_ROWS, np.int32),
            open_offers=np.zeros(_FIRST_ROWS, np.int32),
            open_rewards=np.zeros(_FIRST_ROWS),
            open_links=blank(LINK, _FIRST_ROWS),
            open_texts=np.zeros(_FIRST_ROWS, np.int32),
            open_expires=np.zeros(_FIRST_ROWS, np.int64),
            open_changed=np.zeros(_FIRST_ROWS, np.int64),
            open_orders=np.zeros(_FIRST_ROWS, np.uint32),
            changes=np.zeros(CHANGES, np.int32),
            reference=np.zeros(REFERENCE, np.int32),
            expiring=np.zeros(_FIRST_ROWS, np.int64),
            expiring_tasks=np.zeros(_FIRST_ROWS, np.int32),
        )
        self._blank_before = self.used()

    @property
    def seq(self) -> int:
        """Sequence number of the last event applied, 0 before the first."""
        return int(self.arrays.market["seq"][0])

    @property
    def clock(self) -> int | None:
        """``known_at`` of the last event applied, in microseconds since 1970; None before the first."""
        clock = int(self.arrays.market["clock"][0])
        return None if clock == NEVER else clock

    @property
    def open_tasks(self) -> NDArray[np.int32]:
        """Indices of the tasks that are open by the clock, in order of index (int32)."""
        return np.sort(self.arrays.open_tasks[: self.arrays.market["n_open"][0]])

    def apply(self, stored: Iterable[Entry]) -> None:
        """Fold events given as (sequence number, ``known_at`` in microseconds, event), in order.

        Raises:
            CocokError: an amount is in a currency without a rate; nothing of the batch has been applied.
        """
        batch = self.encode(stored)
        self.fold(batch, 0, len(batch.events))

    def encode(self, stored: Iterable[Entry]) -> Batch:
        """Encode events and make room for all of them; ``fold`` then applies them, piece by piece if need be.

        The catalogue runs ahead of the arrays until the last piece has been folded.
        """
        batch = self._encoder.encode(stored)
        self._reserve(batch)
        return batch

    def fold(self, batch: Batch, start: int, stop: int) -> None:
        """Apply events ``start:stop`` of an encoded batch."""
        fold(self.arrays, batch, start, stop)

    def restore(self, arrays: Arrays) -> None:
        """Take over arrays that belong to the catalogue as it is."""
        self.arrays = arrays
        self._blank_before = self.used()

    def used(self) -> dict[str, int]:
        """Return how many rows of an array say something, for those arrays that may have room behind them."""
        catalogue, market = self.catalogue, self.arrays.market[0]
        return {
            "workers": len(catalogue.workers),
            "histories": len(catalogue.workers),
            "tasks": len(catalogue.tasks),
            "requesters": len(catalogue.requesters),
            "offers": len(catalogue.offers),
            "offered": 2 * len(catalogue.offers),
            "chains": len(catalogue.offers),
            "reference": int(market["n_reference"]),
            "expiring": int(market["n_expiring"]),
            "expiring_tasks": int(market["n_expiring"]),
            **dict.fromkeys(_OPEN, int(market["n_open"])),
        }

    def _reserve(self, batch: Batch) -> None:
        a, catalogue, used = self.arrays, self.catalogue, self.used()
        market = a.market[0]
        a = a._replace(histories=_longer(a.histories, used["histories"]))
        tastes, dealings = tally(a.histories, batch.events)
        a = with_room(a, tastes)
        dealing_keys, dealing_values = grown(a.dealing_keys, a.dealings, int(market["n_dealings"]) + dealings)
        expiring = int(market["n_expiring"]) + len(batch.facts)
        self.arrays = a._replace(
            **{name: _longer(getattr(a, name), used[name]) for name in _BY_NUMBER},
            **{name: _longer(getattr(a, name), len(catalogue.tasks)) for name in _OPEN},
            expiring=_longer(a.expiring, expiring),
            expiring_tasks=_longer(a.expiring_tasks, expiring),
            dealing_keys=dealing_keys,
            dealings=dealing_values,
        )
        for name in _BY_NUMBER:
            rows, begin, end = getattr(self.arrays, name), self._blank_before[name], used[name]
            if begin < end and rows.dtype.fields:
                rows[begin:end] = blank(rows.dtype, end - begin)
        self._blank_before = used


def _longer(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return an array with so many rows at the least; new ones are zero and untouched, so that they take no memory."""
    if rows <= len(array):
        return array
    longer = np.zeros(max(rows, 2 * len(array)), array.dtype)
    longer[: len(array)] = array
    return longer
