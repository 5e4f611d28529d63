"""Several processes of one server: what one of them is told, all know; and none outlives the server."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.market import market
from tests.service.live.server import COMMAND, Served, ending_now, fill, now, posted, serving_process, until
from training.registry import Registry

PROCESSES = 2


def said(home: Path, words: str) -> int:
    return (home / "serve.log").read_text().count(words)


def answering(server: Served) -> list[psutil.Process]:
    """The processes that answer; beside them is one of Python's own."""
    children = psutil.Process(server.process.pid).children()
    return [child for child in children if any("spawn_main" in word for word in child.cmdline())]


@contextmanager
def of(server: Served, process: psutil.Process) -> Iterator[Served]:
    """A client whose connection, which is kept, is to one of the processes."""
    while True:
        with Served(base_url=server.base_url, timeout=30, limits=httpx.Limits(max_connections=1)) as client:
            stream = client.get("/healthz").extensions["network_stream"]
            own = stream.get_extra_info("client_addr")
            if any(connection.raddr == own for connection in process.net_connections()):
                client.process = server.process
                yield client
                return


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("several")
    fill(home, ending_now(market(days=3)))
    with serving_process(home, "--processes", str(PROCESSES)) as client:
        until(lambda: said(home, "Ready:") == PROCESSES, client.process)
        yield client


def test_given_an_event_told_to_one_process_then_a_read_of_the_other_that_asks_for_it_sees_it(server: Served) -> None:
    one, other = answering(server)
    for teller, reader, worker in [(one, other, "told to one"), (other, one, "told to the other")]:
        profile = {"event_id": worker, "type": "worker_updated", "at": now(), "worker_id": worker, "country": "ID"}
        with of(server, teller) as client:
            seq = posted(client, "/v1/events", [profile])["seq"]
        with of(server, reader) as client:
            asked = client.get(f"/v1/workers/{worker}", headers={"Cocok-Min-Seq": str(seq)})
            assert asked.status_code == 200, asked.text
            assert asked.json()["profile"]["country"] == "ID"
            assert posted(client, "/v1/events", [profile])["duplicates"] == 1


def test_given_lists_of_both_processes_then_either_tells_how_many_there_were(server: Served) -> None:
    def lists(client: Served) -> float:
        found = re.findall(r'^cocok_http_requests_total{.*"/v1/feeds".*} (\S+)$', client.get("/metrics").text, re.M)
        return sum(map(float, found))

    one, other = answering(server)
    with of(server, one) as client:
        before = lists(client)
        assert posted(client, "/v1/feeds", {"worker_id": "w1"})["items"]
    with of(server, other) as client:
        assert posted(client, "/v1/feeds", {"worker_id": "w1"})["items"]
        assert lists(client) == before + 2
    with of(server, one) as client:
        assert lists(client) == before + 2
        assert 'cocok_model_info{version="fallback"} 1.0' in client.get("/metrics").text


def test_given_an_erasure_that_both_processes_hear_of_then_both_forget_and_stay_ready(server: Served) -> None:
    posted(server, "/v1/events", [{"event_id": "e", "type": "worker_updated", "at": now(), "worker_id": "leaving"}])
    assert server.delete("/v1/workers/leaving").status_code == 204
    for process in answering(server):
        with of(server, process) as client:
            assert client.get("/v1/workers/leaving").status_code == 404
            assert client.get("/readyz").status_code == 200
    assert not said(server.home, "read anew")


def test_given_a_process_that_missed_an_erasure_then_it_reads_the_log_anew_and_forgets(server: Served) -> None:
    one, late = answering(server)
    told = {"event_id": "l", "type": "worker_updated", "at": now(), "worker_id": "missed"}
    with of(server, one) as client, of(server, late) as other:
        seq = posted(client, "/v1/events", [told])["seq"]
        asked = other.get("/v1/workers/missed", headers={"Cocok-Min-Seq": str(seq)})
        assert asked.status_code == 200
        # One that stops in the midst of an earlier erasure would hold the log.
        until(lambda: said(server.home, "workers were erased") % PROCESSES == 0, seconds=30)
        late.suspend()
        try:
            assert client.delete("/v1/workers/missed").status_code == 204
        finally:
            late.resume()
        until(lambda: other.get("/v1/workers/missed").status_code == 404, seconds=30)
        until(lambda: other.get("/readyz").status_code == 200, seconds=30)
        assert posted(other, "/v1/feeds", {"worker_id": "w1"})["items"]
    assert said(server.home, "read anew") == 1


def test_given_a_process_that_is_killed_then_another_takes_its_place(server: Served) -> None:
    before = answering(server)
    before[0].kill()
    until(lambda: said(server.home, "Ready:") == PROCESSES + 1, server.process)
    after = answering(server)
    assert len(after) == PROCESSES
    assert before[0] not in after
    for process in after:
        with of(server, process) as client:
            assert posted(client, "/v1/feeds", {"worker_id": "w1"})["items"]
    told = {"event_id": "after", "type": "worker_updated", "at": now(), "worker_id": "after"}
    seq = posted(server, "/v1/events", [told])["seq"]
    # What the dead one told of itself is gone: it would be the furthest behind for ever.
    until(lambda: f"cocok_log_seq {float(seq)}" in server.get("/metrics").text, seconds=10)


@pytest.mark.parametrize(("number", "how"), [(PROCESSES, signal.SIGINT), (1, signal.SIGTERM)])
def test_given_the_end_of_the_server_then_it_says_so_and_no_process_is_left(
    tmp_path: Path, number: int, how: signal.Signals
) -> None:
    fill(tmp_path, ending_now(market(days=3)))
    with serving_process(tmp_path, "--processes", str(number)) as server:
        processes = answering(server)
        assert len(processes) == (number if number > 1 else 0)
        server.process.send_signal(how)
        assert server.process.wait(30) == 0
        assert not any(process.is_running() for process in processes)
    assert said(tmp_path, "Stopped; everything that was accepted is in the log.") == 1


def test_given_a_model_store_that_hangs_then_the_server_ends_without_waiting_for_it(tmp_path: Path) -> None:
    with socket.socket() as store:
        store.bind(("127.0.0.1", 0))
        address = f"MLFLOW_TRACKING_URI=http://127.0.0.1:{store.getsockname()[1]}"
        with serving_process(tmp_path, under=("env", address, "COCOK_MODEL_POLL_SECONDS=0.1")) as server:
            # Until now it refused connections; now it takes one and says nothing.
            store.settimeout(60)
            store.listen()
            asking, _ = store.accept()
            server.process.terminate()
            assert server.process.wait(20) == 0
            asking.close()


def test_given_an_end_while_the_model_store_is_made_then_the_store_is_whole(tmp_path: Path) -> None:
    with (tmp_path / "serve.log").open("wb") as output:
        environment = {**os.environ, "COCOK_HOME": str(tmp_path)}
        process = subprocess.Popen(COMMAND, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        until((tmp_path / "mlflow" / "mlflow.db").exists, process)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert Registry.at(tmp_path).champion() is None


def test_given_a_server_that_is_killed_then_its_processes_end_as_well(tmp_path: Path) -> None:
    fill(tmp_path, ending_now(market(days=3)))
    with serving_process(tmp_path, "--processes", str(PROCESSES)) as server:
        processes = answering(server)
        server.kill()
        _, alive = psutil.wait_procs(processes, timeout=30)
        assert not alive
