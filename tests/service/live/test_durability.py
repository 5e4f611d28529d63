"""What was acknowledged survives: the server is killed while events come in, and what it writes is flushed in time."""

import json
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from features.events import decode_event, encode_event
from features.state import MarketState
from service.store import SqliteStore, Stored
from tests.digest import digest
from tests.market import RATES, Record
from tests.service.live.forked import Forked, forked
from tests.service.live.server import Served, now, posted, serving_process, until

KILLS = 20
KILLS_OF_THE_COMMAND = 2
WRITERS = 2
MOST_ACKNOWLEDGED = 30
"""Batches that are acknowledged between two kills at the most, roughly; the instant itself is drawn."""


class Writer:
    """Posts batches one after the other and remembers which of them were acknowledged.

    Attributes:
        acknowledged: (batch, sequence number in the answer).
        pending: the batch whose answer has not come.
        found_whole, found_missing: how often a batch without an answer turned out to be in the log, or not.
    """

    def __init__(self, name: str) -> None:
        self.acknowledged: list[tuple[list[Record], int]] = []
        self.pending: list[Record] = []
        self.found_whole = self.found_missing = 0
        self._name = name
        self._random = Random(name)
        self._numbers = count()

    def write(self, address: str) -> None:
        """Post until the server is gone; what had no answer before is sent again first."""
        with httpx.Client(base_url=address, timeout=30) as client:
            try:
                while True:
                    self._post(client)
            except httpx.TransportError:
                return

    def _post(self, client: httpx.Client) -> None:
        again = bool(self.pending)
        self.pending = self.pending or [self._event() for _ in range(self._random.randint(1, 8))]
        answer = posted(client, "/v1/events", self.pending)
        size = len(self.pending)
        # All or nothing, also of a batch whose answer was lost.
        assert (answer["accepted"], answer["duplicates"]) in ({(size, 0), (0, size)} if again else {(size, 0)})
        self.found_whole += answer["duplicates"] > 0
        self.found_missing += again and answer["accepted"] > 0
        self.acknowledged.append((self.pending, answer["seq"]))
        self.pending = []

    def _event(self) -> Record:
        random = self._random
        names = {"worker_id": f"w{random.randrange(9)}", "task_id": f"t{random.randrange(9)}"}
        kind = random.choice(["task_posted", "task_viewed", "assignment_accepted", "assignment_submitted"])
        if kind == "task_posted":
            del names["worker_id"]
            names["requester_id"] = "r"
        return {"event_id": f"{self._name}-{next(self._numbers)}", "type": kind, "at": now(), **names}


def log_of(home: Path) -> list[Stored]:
    store = SqliteStore(home / "cocok.db")
    log = [entry for batch in store.read() for entry in batch]
    store.close()
    return log


def check(writers: Sequence[Writer], log: Sequence[Stored]) -> None:
    """Every event that was acknowledged is there once and as it was sent; of the others a batch or none of it."""
    assert [entry.seq for entry in log] == list(range(1, len(log) + 1))
    held = {entry.event.event_id: entry for entry in log}
    assert len(held) == len(log)
    for writer in writers:
        for batch, seq in writer.acknowledged:
            for event in batch:
                entry = held.pop(event["event_id"])
                assert encode_event(entry.event) == encode_event(decode_event(json.dumps(event).encode()))
                assert entry.seq <= seq
        assert sum(event["event_id"] in held for event in writer.pending) in {0, len(writer.pending)}
        for event in writer.pending:
            held.pop(event["event_id"], None)
    assert not held


def kill_under_load(server: Forked | Served, writers: Sequence[Writer], random: Random) -> None:
    """Let the writers write, and kill the server at an instant that is drawn."""

    def acknowledged() -> int:
        return sum(len(writer.acknowledged) for writer in writers)

    enough = acknowledged() + random.randint(1, MOST_ACKNOWLEDGED)
    with ThreadPoolExecutor(len(writers)) as pool:
        running = [pool.submit(writer.write, str(server.base_url)) for writer in writers]
        try:
            until(lambda: acknowledged() >= enough or any(each.done() for each in running))
            time.sleep(random.uniform(0, 0.02))
        finally:
            server.kill()
    for each in running:
        each.result()


def folded(log: Sequence[Stored]) -> dict[str, Any]:
    state = MarketState(RATES)
    state.apply(log)
    return {"seq": state.seq, "digest": digest(state)}


def test_given_kills_at_any_instant_then_what_was_acknowledged_is_there_and_the_state_is_a_replay(
    tmp_path: Path,
) -> None:
    home, random = tmp_path / "home", Random(11)
    writers = [Writer(f"writer{number}") for number in range(WRITERS)]
    for _ in range(KILLS):
        with forked(home) as server:
            log = log_of(home)
            check(writers, log)
            assert server.get("/digest").json() == folded(log)
            kill_under_load(server, writers, random)
    with forked(home) as server:
        log = log_of(home)
        check(writers, log)
        assert server.get("/digest").json() == folded(log)
    lost = Counter(whole=sum(w.found_whole for w in writers), missing=sum(w.found_missing for w in writers))
    batches = sum(len(writer.acknowledged) for writer in writers)
    assert batches >= KILLS
    print(f"{KILLS} kills, {batches} batches acknowledged, {len(log)} events; without an answer: {dict(lost)}")


def test_given_kills_of_the_command_itself_then_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    home, random = tmp_path / "home", Random(12)
    writers = [Writer(f"writer{number}") for number in range(WRITERS)]
    for _ in range(KILLS_OF_THE_COMMAND):
        with serving_process(home) as server:
            kill_under_load(server, writers, random)
        check(writers, log_of(home))
    with serving_process(home) as server:
        assert server.get("/readyz").json()["log_seq"] == len(log_of(home))


TRACED = 20
"""Batches that each of the writers sends to the traced server."""


def test_given_an_acknowledgement_then_the_log_was_flushed_to_disk_before_it(tmp_path: Path) -> None:
    home, trace = tmp_path / "home", tmp_path / "trace"
    # With -D the server is our child and not the tracer's, so that it can be stopped as any other.
    calls = "trace=pwrite64,write,fsync,fdatasync,sendto,sendmsg"
    with serving_process(home, under=tracer("-D", "-f", "-y", "-s", "20000", "-e", calls, "-o", str(trace))) as server:

        def write(name: int) -> list[tuple[str, str]]:
            with httpx.Client(base_url=server.base_url, timeout=30) as client:
                return [acknowledged(client, f"mark-{name}-{number:03}") for number in range(TRACED)]

        with ThreadPoolExecutor(WRITERS) as pool:
            marks = [mark for found in pool.map(write, range(WRITERS)) for mark in found]
        for _ in range(3):
            feed_id = posted(server, "/v1/feeds", {"worker_id": "w"})["feed_id"]
            marks.append((f"feed-{feed_id}", feed_id))
    main = server.process.pid
    # Short process ids are padded.
    until(lambda: re.search(rf"^{main}\s+\+\+\+ ", trace.read_text(), re.MULTILINE))

    found = Trace(trace.read_text().splitlines())
    for stored, answered in marks:
        begun = next(place for place, line in found.logged if stored in line)
        sent = next(place for place, line in found.sent if answered in line)
        assert any(begun < start and end < sent for start, end in found.flushed), f"{stored} was acknowledged too soon"
    print(f"{len(marks)} acknowledgements, {len(found.flushed)} flushes of the log")


def acknowledged(client: httpx.Client, name: str) -> tuple[str, str]:
    """Post an event with a name, and return what is written into the log and what is answered."""
    event = {"event_id": name, "type": "task_posted", "at": now(), "task_id": name, "requester_id": "r"}
    # Quotation marks stand escaped in a trace.
    return name, f'\\"seq\\":{posted(client, "/v1/events", [event])["seq"]}}}'


def tracer(*options: str) -> list[str]:
    """Return the command that traces system calls; skip where there is none or it may not."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed, so nobody sees when the log is flushed: apt-get install strace")
    if subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let strace trace a process, so nobody sees when the log is flushed")
    return [strace, "--seccomp-bpf", *options]


class Trace:
    """What a trace tells of the log and the network, each with its line.

    Attributes:
        logged: writes into the write-ahead log.
        sent: what is written to sockets.
        flushed: (begin, end) of each successful flush of the write-ahead log.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self.logged: list[tuple[int, str]] = []
        self.sent: list[tuple[int, str]] = []
        self.flushed: list[tuple[int, int]] = []
        waiting: dict[str, int] = {}
        for place, line in enumerate(lines):
            thread, _, call = line.partition(" ")
            call = call.strip()
            if re.match(r"pwrite64\(\d+<[^>]*-wal>", call):
                self.logged.append((place, call))
            elif re.match(r"(sendto|sendmsg|write)\(\d+<(socket|TCP)", call):
                self.sent.append((place, call))
            elif re.match(r"f(data)?sync\(\d+<[^>]*-wal>", call):
                if call.endswith("= 0"):
                    self.flushed.append((place, place))
                else:
                    waiting[thread] = place
            elif re.match(r"<\.\.\. f(data)?sync resumed>.* = 0$", call) and thread in waiting:
                self.flushed.append((waiting.pop(thread), place))
