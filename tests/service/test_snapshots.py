"""Snapshots of a log: which is begun from, which is skipped and why, and what an erasure leaves of them."""

import json
import logging
from pathlib import Path
from threading import Event as Signal
from typing import Any

import pytest

from features import snapshot as format_
from features.errors import CocokError
from features.events import Event, WorkerErased, decode_event, encode_event
from features.money import Rates
from features.state import MarketState
from service import erasure
from service import snapshots as module
from service.engine import Engine
from service.erasure import Eraser, erase
from service.models import Models
from service.snapshots import Snapshots
from service.store import Store, open_store
from tests.digest import digest
from tests.log import RATES
from tests.service.api.server import Registry, event, task
from tests.service.live.server import until


@pytest.fixture
def snapshots(tmp_path: Path, store: Store) -> Snapshots:
    return Snapshots(tmp_path / "snapshots", store, RATES)


def decoded(*events: dict[str, Any]) -> list[Event]:
    return [decode_event(json.dumps(each).encode()) for each in events]


def tasks(*names: str) -> list[Event]:
    return decoded(*map(task, names))


def somebody(worker: str = "somebody") -> list[Event]:
    return decoded(
        event("worker_updated", worker_id=worker, region="Somewhere"),
        event("task_viewed", worker_id=worker, task_id="t1"),
    )


def erased(worker: str = "somebody") -> WorkerErased:
    (found,) = decoded(event("worker_erased", worker_id=worker))
    assert isinstance(found, WorkerErased)
    return found


def folded(store: Store) -> MarketState:
    state = MarketState(RATES)
    for entries in store.read():
        state.apply(entries)
    return state


def names(snapshots: Snapshots) -> list[str]:
    return [file.name for file in snapshots.files()]


def holding(folder: Path, text: str) -> list[str]:
    """The files of a folder in which a text is found."""
    return [file.name for file in sorted(folder.rglob("*")) if file.is_file() and text.encode() in file.read_bytes()]


def engine_of(store: Store, snapshots: Snapshots | None) -> Engine:
    return Engine(store, RATES, Models(Registry(), RATES), snapshots=snapshots)


def test_a_snapshot_is_begun_from_and_the_rest_of_the_log_folded(store: Store, snapshots: Snapshots) -> None:
    store.append(tasks("t1", "t2"))
    assert snapshots.restore() is None
    first = snapshots.take(keep=2)
    assert (first.seq, first.since, first.written) == (2, 0, True)
    assert first.size == first.path.stat().st_size
    store.append([*tasks("t3"), *somebody()])
    second = snapshots.take(keep=2)
    assert (second.seq, second.since, second.written) == (5, 2, True)
    restored = snapshots.restore()
    assert restored is not None
    assert (restored.path, restored.header.seq) == (second.path, 5)
    assert digest(restored.state) == digest(folded(store))


def test_an_engine_begins_from_a_snapshot(store: Store, snapshots: Snapshots) -> None:
    store.append([*tasks("t1", "t2"), *somebody()])
    snapshots.take(keep=2)
    store.append(tasks("t3"))
    read: list[int] = []
    original = store.read

    def watched(after: int = 0, **rest: Any) -> Any:
        read.append(after)
        return original(after, **rest)

    store.read = watched  # type: ignore[method-assign]
    engine = engine_of(store, snapshots)
    engine.start()
    try:
        assert (engine.seq, engine.restored) == (5, 4)
        assert 0 not in read
        assert engine.read(digest) == digest(folded(store))
    finally:
        engine.stop()


def test_without_news_nothing_is_written(store: Store, snapshots: Snapshots) -> None:
    store.append(tasks("t1"))
    snapshots.take(keep=2)
    again = snapshots.take(keep=2)
    assert (again.seq, again.written) == (1, False)
    assert names(snapshots) == ["000000000001.snapshot"]


def test_as_many_are_kept_as_asked_for(store: Store, snapshots: Snapshots) -> None:
    for number in range(1, 5):
        store.append(tasks(f"t{number}"))
        taken = snapshots.take(keep=2)
    assert taken.pruned == 1
    assert names(snapshots) == ["000000000004.snapshot", "000000000003.snapshot"]
    assert snapshots.take(keep=1).pruned == 1


def test_an_empty_log_has_no_snapshot(snapshots: Snapshots) -> None:
    with pytest.raises(CocokError, match="the log is empty"):
        snapshots.take(keep=2)


def test_only_one_process_takes_one_at_a_time(store: Store, snapshots: Snapshots) -> None:
    store.append(tasks("t1"))
    with (
        module.FileLock(_made(snapshots.folder) / "taking.lock"),
        pytest.raises(CocokError, match="another process takes a snapshot"),
    ):
        snapshots.take(keep=2)


def test_what_an_ended_process_left_unfinished_is_cleared_away(store: Store, snapshots: Snapshots) -> None:
    store.append(tasks("t1"))
    left = _made(snapshots.folder) / "000000000001.unfinished"
    left.write_bytes(b"half")
    snapshots.take(keep=2)
    assert not left.exists()


def test_a_folder_that_cannot_be_written_is_told(store: Store, snapshots: Snapshots) -> None:
    store.append(tasks("t1"))
    snapshots.folder.write_text("a file where the folder should be")
    with pytest.raises(CocokError, match="no snapshot can be written"):
        snapshots.take(keep=2)


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _two(store: Store, snapshots: Snapshots) -> tuple[Path, Path]:
    """An older and a newer snapshot."""
    store.append([*tasks("t1", "t2"), *somebody()])
    older = snapshots.take(keep=2).path
    store.append(tasks("t3"))
    return older, snapshots.take(keep=2).path


def test_a_damaged_one_is_skipped_with_a_warning_and_an_older_one_taken(
    store: Store, snapshots: Snapshots, caplog: pytest.LogCaptureFixture
) -> None:
    older, newer = _two(store, snapshots)
    data = bytearray(newer.read_bytes())
    data[-5] ^= 1
    newer.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        state = snapshots.state(lambda *_: None)
    assert digest(state) == digest(folded(store))
    (record,) = caplog.records
    assert record.__dict__["snapshot"] == newer.name
    assert "is damaged" in record.__dict__["reason"]
    restored = snapshots.restore()
    assert restored is not None
    assert restored.path == older


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: b"", "does not begin"),
        (lambda data: data[: len(data) // 2], "not as long"),
        (lambda data: data.replace(b"format 001", b"format 009", 1), "format 9"),
    ],
)
def test_if_all_are_damaged_then_the_log_is_folded(
    store: Store, snapshots: Snapshots, caplog: pytest.LogCaptureFixture, damage: Any, reason: str
) -> None:
    for path in _two(store, snapshots):
        path.write_bytes(damage(path.read_bytes()))
    engine = engine_of(store, snapshots)
    with caplog.at_level(logging.WARNING):
        engine.start()
    try:
        assert (engine.restored, engine.seq) == (0, 5)
        assert engine.read(digest) == digest(folded(store))
    finally:
        engine.stop()
    assert [reason in record.getMessage() for record in caplog.records] == [True, True]


def test_after_a_damaged_one_a_new_one_is_taken(store: Store, snapshots: Snapshots) -> None:
    _, newer = _two(store, snapshots)
    newer.write_bytes(b"")
    taken = snapshots.take(keep=2)
    assert (taken.path, taken.written) == (newer, True)
    assert digest(snapshots.state(lambda *_: None)) == digest(folded(store))


def test_other_rates_skip_it(store: Store, snapshots: Snapshots, caplog: pytest.LogCaptureFixture) -> None:
    _two(store, snapshots)
    others = Snapshots(snapshots.folder, store, Rates.shipped("EUR"))
    assert others.restore() is None
    assert "other rates" in caplog.text


def test_other_code_skips_it(
    store: Store, snapshots: Snapshots, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _two(store, snapshots)
    monkeypatch.setattr(format_, "source_digest", lambda: "another")
    assert snapshots.restore() is None
    assert "other code" in caplog.text


def test_that_of_another_log_is_skipped_and_then_replaced(
    tmp_path: Path, store: Store, snapshots: Snapshots, caplog: pytest.LogCaptureFixture
) -> None:
    _two(store, snapshots)
    other = open_store(f"sqlite:///{tmp_path / 'other.db'}")
    try:
        other.append(tasks("t1"))
        there = Snapshots(snapshots.folder, other, RATES)
        assert there.restore() is None
        assert "of another log" in caplog.text
        assert there.take(keep=2).seq == 1
        # Those that claim to be newer than the end of the log would otherwise stay for ever.
        assert names(there) == ["000000000001.snapshot"]
    finally:
        other.close()


def test_that_of_a_log_that_was_set_back_and_went_on_is_skipped(
    tmp_path: Path, store: Store, snapshots: Snapshots, caplog: pytest.LogCaptureFixture
) -> None:
    store.append(tasks("t1"))
    store.close()
    kept = (tmp_path / "cocok.db").read_bytes()
    again = open_store(f"sqlite:///{tmp_path / 'cocok.db'}")
    again.append(tasks("t2"))
    Snapshots(snapshots.folder, again, RATES).take(keep=2)
    again.close()
    (tmp_path / "cocok.db").write_bytes(kept)
    back = open_store(f"sqlite:///{tmp_path / 'cocok.db'}")
    there = Snapshots(snapshots.folder, back, RATES)
    try:
        assert there.restore() is None
        back.append(tasks("t3"))
        assert there.restore() is None
        assert caplog.text.count("the log has another event 2, or none") == 2
    finally:
        back.close()


def test_an_erasure_deletes_what_knows_the_worker_and_nothing_else(
    tmp_path: Path, store: Store, snapshots: Snapshots
) -> None:
    _two(store, snapshots)
    assert len(holding(tmp_path, "somebody")) > 1
    engine = engine_of(store, snapshots)
    engine.start()
    try:
        seq = engine.submit([erased()]).result(timeout=10).seq
        engine.erased(seq).result(timeout=10)
        # At once, with nothing waited for.
        assert holding(tmp_path, "somebody") == holding(tmp_path, "Somewhere") == names(snapshots) == []
        later = snapshots.take(keep=2)
        engine.submit(somebody("another")).result(timeout=10)
        gone = engine.submit([erased("nobody")]).result(timeout=10).seq
        engine.erased(gone).result(timeout=10)
        assert not later.path.exists()
        assert snapshots.take(keep=2).path.exists()
    finally:
        engine.stop()
    assert holding(tmp_path, "another")


def test_that_which_knows_of_the_erasure_stays(tmp_path: Path, store: Store, snapshots: Snapshots) -> None:
    store.append([*tasks("t1"), *somebody(), erased()])
    taken = snapshots.take(keep=2)
    # Not carried out yet, so the log still has it; the snapshot does not.
    assert "cocok.db" in {name.partition("-")[0] for name in holding(tmp_path, "somebody")}
    assert holding(snapshots.folder, "somebody") == []
    engine = engine_of(store, snapshots)
    engine.start()
    try:
        assert engine.restored == 4
        # Begun from a snapshot, it carries out what was left to be done before it.
        engine.erased(4).result(timeout=10)
        assert holding(tmp_path, "somebody") == []
        assert taken.path.exists()
    finally:
        engine.stop()


def test_an_erasure_that_was_left_undone_is_handed_on_from_snapshot_to_snapshot(
    store: Store, snapshots: Snapshots
) -> None:
    gone = [erased("one"), erased("two")]
    store.append([*tasks("t1"), *somebody("one"), gone[0], *somebody("two"), gone[1]])
    snapshots.take(keep=1)
    store.append(tasks("t2"))
    snapshots.take(keep=1)
    restored = snapshots.restore()
    assert restored is not None
    assert restored.erasures == [(4, gone[0]), (7, gone[1])]
    erase(store, restored.erasures[:1])
    store.append(tasks("t3"))
    snapshots.take(keep=1)
    restored = snapshots.restore()
    assert restored is not None
    assert restored.erasures == [(7, gone[1])]


@pytest.mark.parametrize("stage", ["before it is written", "while it is written", "when it is written"])
def test_a_snapshot_that_is_being_taken_does_not_survive_an_erasure(
    tmp_path: Path, store: Store, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """The erasure is answered at a chosen moment of the taking; from then on no file may hold the worker."""
    store.append([*tasks("t1"), *somebody()])
    engine = engine_of(store, snapshots)
    engine.start()
    answered: list[str] = []

    def erase_now() -> None:
        if not answered:
            engine.erased(engine.submit([erased()]).result(timeout=10).seq).result(timeout=10)
            answered.extend([f"erased at {stage}", *holding(tmp_path, "somebody")])

    save, outdated = module.save, Snapshots._outdated
    asked: list[bool] = []

    def saving(*given: Any) -> Any:
        if stage == "while it is written":
            given[0].write(b"somebody")
            given[0].flush()
            erase_now()
            given[0].seek(0)
        header = save(*given)
        if stage == "when it is written":
            given[0].flush()
            erase_now()
        return header

    def asking(self: Snapshots, *given: Any) -> bool:
        asked.append(True)
        return outdated(self, *given)

    def progressing(step: str, done: int, total: int) -> None:
        if stage == "before it is written" and step == "Writing":
            erase_now()

    monkeypatch.setattr(module, "save", saving)
    monkeypatch.setattr(Snapshots, "_outdated", asking)
    try:
        taken = snapshots.take(2, progressing)
    finally:
        engine.stop()
    assert answered == [f"erased at {stage}"]
    assert len(asked) > 2
    assert taken.seq == 4
    assert holding(tmp_path, "somebody") == []
    assert digest(snapshots.state(lambda *_: None)) == digest(folded(store))


def test_a_worker_erased_while_the_log_is_folded_is_in_no_snapshot(
    tmp_path: Path, store: Store, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before it was rewritten has the id, and the event that erases is read under its pseudonym."""
    store.append([*tasks("t1"), *somebody()])
    apply, done = MarketState.apply, list[int]()

    def applying(state: MarketState, entries: Any) -> None:
        apply(state, entries)
        if not done:
            gone = erased()
            done.append(store.append([gone]).seq)
            erase(store, [(done[0], gone)])

    original = store.read_to_fold
    monkeypatch.setattr(store, "read_to_fold", lambda after=0: original(after, batch=1))
    monkeypatch.setattr(MarketState, "apply", applying)
    taken = snapshots.take(keep=2)
    assert (taken.seq, done) == (4, [4])
    assert holding(tmp_path, "somebody") == []


def test_a_snapshot_that_missed_an_erasure_of_another_process_is_skipped_and_deleted(
    store: Store, snapshots: Snapshots, caplog: pytest.LogCaptureFixture
) -> None:
    _two(store, snapshots)
    gone = erased()
    erase(store, [(store.append([gone]).seq, gone)])
    assert snapshots.restore() is None
    assert "knows a worker who was erased since" in caplog.text
    engine = engine_of(store, snapshots)
    engine.start()
    try:
        until(lambda: not snapshots.files(), seconds=10)
        assert engine.read(digest) == digest(folded(store))
    finally:
        engine.stop()


def test_what_cannot_be_deleted_keeps_an_erasure_from_being_answered(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "RETRY_SECONDS", 0.05)
    tried, works = Signal(), Signal()

    def forget(_: int) -> None:
        tried.set()
        if not works.is_set():
            raise PermissionError

    gone = erased()
    store.append([*somebody(), gone])
    eraser = Eraser(store, forget)
    eraser.note([(3, gone)])
    done = eraser.done(3)
    eraser.start()
    assert tried.wait(10)
    assert not done.done()
    assert b"somebody" in encode_event(next(store.read())[0].event)
    works.set()
    done.result(timeout=10)
    eraser.stop()
    assert b"somebody" not in encode_event(next(store.read())[0].event)
