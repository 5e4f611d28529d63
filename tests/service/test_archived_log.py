"""State and training rows are the same bit for bit, whether old lists are in the database or in files."""

from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import numpy as np
from pandas import DataFrame
from pandas.testing import assert_frame_equal

from features.state import MarketState
from service.snapshots import Snapshots
from service.store import SqliteStore
from tests.digest import digest
from tests.market import RATES, disordered, entries, market
from training.replay import training_set

DAY = timedelta(days=1) // timedelta(microseconds=1)


def test_given_old_lists_in_files_then_state_and_rows_are_the_same(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cocok.db")
    store.append([event for _, _, event in entries(disordered(market(days=5)))])
    (last,) = next(store.read(after=store.last_seq() - 1))
    whole = folded(store)
    rows = training_set(lambda: store.read(before=last.known_at), RATES, until=last.known_at)
    snapshots = Snapshots(tmp_path / "snapshots", store, RATES)
    snapshots.take(1)
    for days in (3, 1):
        assert store.archive(last.known_at - days * DAY).lists > 20
        assert folded(store) == whole
        again = training_set(lambda: store.read(before=last.known_at), RATES, until=last.known_at)
        for field in fields(rows):
            value, other = getattr(rows, field.name), getattr(again, field.name)
            if isinstance(value, DataFrame):
                assert_frame_equal(other, value, check_exact=True)
            elif isinstance(value, np.ndarray):
                np.testing.assert_array_equal(other, value, field.name)
            else:
                assert other == value
        # A snapshot from before is still of this log.
        restored = snapshots.restore()
        assert restored is not None
        assert restored.header.seq == last.seq


def folded(store: SqliteStore, batch: int = 700) -> str:
    state = MarketState(RATES)
    for found in store.read(batch=batch):
        state.apply(found)
    return digest(state)
