"""Lists that were served take little room in the log, and come back as they were."""

import random
import sqlite3
import uuid
from pathlib import Path

import pytest

from features.errors import CocokError
from features.events import FeedContext, FeedItem, FeedServed, encode_event, instant
from service.store import SqliteStore
from service.store.compression import squeeze, unsqueeze, unsqueeze_each

LIST = (
    b'{"type":"feed_served","event_id":"feed-1","at":"2026-03-01T00:00:00Z","feed_id":"1","worker_id":"w1",'
    b'"items":[{"task_id":"t1","position":1,"score":1.5,"propensity":1.0}],"policy":"ranked","log_seq":3}'
)
KEPT = bytes.fromhex(
    "0178bb0c56adf323d26e4384e54666ba06c6c8d6a3da6b886eb1210e9b4b0c7104b8a19e29d610c71382c6b50088cf3d0b"
)
"""The list as a log of version 2 keeps it: logs that were written must be read for ever."""


def served(worker_id: str = "w1") -> FeedServed:
    """A list of twenty as the API logs it."""
    feed_id = uuid.uuid4().hex
    tasks = random.sample(range(100_000), 20)
    items = tuple(
        FeedItem(task_id=f"t{task}", position=place, score=random.gauss(0, 1), propensity=1.0)
        for place, task in enumerate(tasks, 1)
    )
    return FeedServed(
        event_id=f"feed-{feed_id}",
        at=instant(1_772_323_200_123_456),
        feed_id=feed_id,
        worker_id=worker_id,
        items=items,
        context=FeedContext(surface="feed"),
        model_version="12",
        policy="ranked",
        log_seq=1_234_567,
    )


def test_what_a_log_holds_is_read_whatever_wrote_it() -> None:
    assert unsqueeze(KEPT) == LIST
    assert unsqueeze_each([KEPT, b"{}", b""]) == [LIST, b"{}", b""]
    assert unsqueeze(squeeze(LIST)) == LIST
    assert unsqueeze(LIST) == LIST


@pytest.mark.parametrize("damaged", [KEPT[:-9], KEPT[:3] + b"\xff" + KEPT[4:], b"\x01"], ids=["cut", "other", "empty"])
def test_given_damage_then_it_is_said_what_to_do(damaged: bytes) -> None:
    with pytest.raises(CocokError, match="backup"):
        unsqueeze(damaged)


def test_a_list_of_twenty_takes_less_than_600_bytes_of_the_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cocok.db")
    for _ in range(60):
        store.append([served() for _ in range(50)])
    store.close()
    assert (tmp_path / "cocok.db").stat().st_size / 3_000 < 600


def test_given_a_log_of_version_1_then_it_goes_on(tmp_path: Path) -> None:
    path, events = tmp_path / "cocok.db", [served(), served("w2")]
    store = SqliteStore(path)
    store.append(events)
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1")
        for event in events:
            payload = encode_event(event)
            connection.execute("UPDATE events SET payload = ? WHERE event_id = ?", (payload, event.event_id))
    store, more = SqliteStore(path), served()
    assert store.append([*events, more]).accepted == 1
    assert [stored.event for batch in store.read() for stored in batch] == [*events, more]
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)


def test_a_worker_is_found_in_lists_however_many_are_asked_for(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cocok.db")
    store.append([served("w1"), served("w2"), served("w1")])
    for workers in ({"w1"}, {"w1", *(f"x{number}" for number in range(20))}):
        assert [stored.seq for stored in store.of_workers(workers, 3)] == [1, 3]
