"""A snapshot gives back the state it was made of, or is refused with the reason."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import snapshot
from features.money import Rates
from features.snapshot import Origin, SnapshotError, load, save
from features.state import MarketState
from features.tastes import fitted
from matching.fallback import FallbackRanker
from matching.pipeline import Matcher
from matching.query import Query
from tests.digest import digest
from tests.log import ANY, PAUSES, RATES, TASKS, WORKERS, Entry, Log, folded, logs, usd
from tests.requirements import PROFILES, TREES

EVENTS = st.one_of(
    ANY,
    st.fixed_dictionaries(
        {"type": st.just("task_posted"), "pause": PAUSES, "task_id": TASKS, "requester_id": st.just("r1")},
        optional={"requirements": TREES, "slots": st.integers(0, 3), "title": st.just("Any text")},
    ),
    st.builds(
        lambda profile, **rest: {**(profile or {}), **rest},
        PROFILES,
        type=st.just("worker_updated"),
        pause=PAUSES,
        worker_id=WORKERS,
    ),
)
"""Events with requirements, and the profiles that these ask for, beside all others."""

ORIGIN = Origin("log", 2, "mark", (3,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("snapshots")


def written(path: Path, state: MarketState) -> Path:
    with path.open("wb") as file:
        save(file, state, RATES, ORIGIN)
    return path


def restored(path: Path, state: MarketState) -> MarketState:
    return load(written(path, state), RATES)[0]


def assert_same(state: MarketState, other: MarketState) -> None:
    assert digest(state) == digest(other)
    assert (state.seq, state.clock) == (other.seq, other.clock)
    assert state.open_tasks.tolist() == other.open_tasks.tolist()
    for name in ("workers", "tasks", "requesters", "labels"):
        assert vars(getattr(state.catalogue, name)) == vars(getattr(other.catalogue, name))
    assert state.catalogue.profiles == other.catalogue.profiles
    assert state.catalogue.postings == other.catalogue.postings
    assert state.catalogue.signatures == other.catalogue.signatures
    assert state.catalogue.offers == other.catalogue.offers
    assert list(state.catalogue.texts) == list(other.catalogue.texts)
    assert len(state.catalogue.compiled) == len(other.catalogue.compiled)


@settings(deadline=None, max_examples=60)
@given(logs(EVENTS), st.integers(0, 49), st.integers(0, 49))
def test_a_state_restored_anywhere_goes_on_as_if_nothing_had_happened(
    folder: Path, log: list[Entry], first: int, second: int
) -> None:
    places = sorted({0, *(place for place in (first, second) if place < len(log)), len(log)})
    state = MarketState(RATES)
    for start, stop in pairwise(places):
        state.apply(log[start:stop])
        state = restored(folder / "drawn", state)
    whole = folded(log)
    assert_same(state, whole)
    now = (whole.clock or 0) + 1
    for worker in ("w1", "w2", "nobody"):
        feeds = [
            Matcher().feed(each, FallbackRanker(), Query(worker, now, contributions=True)) for each in (state, whole)
        ]
        assert [item.task_id for item in feeds[0].items] == [item.task_id for item in feeds[1].items]
        assert [item.row.tobytes() for item in feeds[0].items] == [item.row.tobytes() for item in feeds[1].items]
        assert feeds[0].removed == feeds[1].removed


def test_more_than_the_first_rows_come_back_and_grow_on(tmp_path: Path) -> None:
    log = Log()
    for number in range(700):
        log.post(f"t{number}", requester_id=f"r{number}", skills=[f"skill {number % 50}"], reward=usd(number / 100))
        log.add("worker_updated", worker_id=f"w{number}", skills={"skill 1": 0.5}, expected_hourly=usd(3))
        log.take(f"w{number}", f"t{number}").take(f"w{number % 7}", f"t{number}")
    state = folded(log.entries[:1500])
    state = restored(tmp_path / "s", state)
    state.apply(log.entries[1500:])
    assert_same(state, log.state())


def test_what_comes_back_takes_no_more_places_than_it_needs(tmp_path: Path) -> None:
    log = Log()
    for number in range(60):
        log.post(f"t{number}", skills=[f"skill {number}"])
        log.take("w1", f"t{number}").take(f"w{number % 7}", f"t{number}")
    arrays = restored(tmp_path / "s", log.state()).arrays
    needed = [fitted(used) if used else 0 for used in arrays.histories["used"].tolist()]
    assert arrays.histories["places"].tolist() == needed
    assert arrays.taste_end[0] == sum(needed)


def test_before_the_first_event_there_is_nothing_to_restore_but_it_is_restored(tmp_path: Path) -> None:
    state = restored(tmp_path / "s", MarketState(RATES))
    assert (state.seq, state.clock) == (0, None)
    assert_same(state, MarketState(RATES))


def test_who_was_forgotten_is_in_no_byte_of_the_file(tmp_path: Path) -> None:
    log = Log().post("t1").add("worker_updated", worker_id="somebody", region="Somewhere").take("somebody", "t1")
    before = written(tmp_path / "before", log.state()).read_bytes()
    assert b"somebody" in before
    assert b"Somewhere" in before
    # Once with the profile folded before the snapshot, once after it.
    erased = log.add("worker_erased", worker_id="somebody").entries
    known = restored(tmp_path / "before", folded(erased[:-1]))
    known.apply(erased[-1:])
    for state in (folded(erased), known):
        after = written(tmp_path / "after", state).read_bytes()
        assert b"somebody" not in after
        assert b"Somewhere" not in after
        assert len(state.catalogue.profiles) == 0


def test_the_header_tells_where_it_comes_from(tmp_path: Path) -> None:
    header = load(written(tmp_path / "s", Log().post("t1").post("t2").state()), RATES)[1]
    assert (header.seq, header.origin) == (2, ORIGIN)


def broken(place: str) -> Callable[[bytes], bytes]:
    def flip(data: bytes, at: int) -> bytes:
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    changes: dict[str, Callable[[bytes], bytes]] = {
        "empty": lambda _: b"",
        "something else": lambda _: b"x" * 10_000,
        "another format": lambda data: data.replace(b"format 001", b"format 002", 1),
        "the header": lambda data: flip(data, 200),
        "cut short": lambda data: data[:-1],
        "cut within the header": lambda data: data[:300],
        "longer": lambda data: data + b"x",
        "the last section": lambda data: flip(data, len(data) - 1),
        "a name": lambda data: data.replace(b"worker-1", b"worker-2", 1),
    }
    return changes[place]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("empty", "does not begin as a snapshot"),
        ("something else", "does not begin as a snapshot"),
        ("another format", "format 2, this Cocok knows 1"),
        ("the header", "header is damaged"),
        ("cut short", "not as long as"),
        ("cut within the header", "header is damaged"),
        ("longer", "not as long as"),
        ("the last section", "section expiring_tasks is damaged"),
        ("a name", "section ids of workers is damaged"),
    ],
)
def test_a_damaged_file_is_refused_with_the_reason(tmp_path: Path, change: str, reason: str) -> None:
    path = written(tmp_path / "s", Log().post("t1", expires_at="2027-01-01T00:00:00Z").take("worker-1", "t1").state())
    path.write_bytes(broken(change)(path.read_bytes()))
    with pytest.raises(SnapshotError, match=reason):
        load(path, RATES)


def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "s", Log().post("t1").take("w1", "t1").state())
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), max(1, len(data) // 97)):
        data[at] ^= 16
        path.write_bytes(data)
        with pytest.raises(SnapshotError):
            load(path, RATES)
        data[at] ^= 16


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="cannot be read"):
        load(tmp_path / "nothing", RATES)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("source_digest", lambda: "0" * 16, "other code"),
        ("_layout", lambda _: "0" * 16, "another layout"),
    ],
)
def test_what_other_code_or_another_machine_wrote_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, reason: str
) -> None:
    path = written(tmp_path / "s", Log().post("t1").state())
    monkeypatch.setattr(snapshot, name, value)
    with pytest.raises(SnapshotError, match=reason):
        load(path, RATES)


def test_other_rates_of_exchange_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "s", Log().post("t1").state())
    rates = Rates("USD", {**RATES.per_base, "IDR": 1.0})
    with pytest.raises(SnapshotError, match="other rates"):
        load(path, rates)
