"""`cocok serve` and `cocok keys`, as they are typed."""

import asyncio
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.cli import main
from service.cli.serve import _bind, _Port
from tests.service.api.server import event, serving, task
from tests.service.cli.run import Cocok

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="processes share one socket here")


@pytest.fixture
def cocok(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cocok:
    return Cocok(tmp_path / "home", capsys, monkeypatch)


@contextmanager
def started(home: Path, *arguments: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """`cocok serve` in a process of its own, ready; yields its address."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from service.cli import main; main()", "serve", "--port", "0", *arguments],
        env={**os.environ, "COCOK_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        found = re.search(r"http://\S+:\d+", next(lines))
        assert found
        assert any(line.startswith("Ready: ") for line in lines)
        yield found[0], process
    finally:
        process.kill()
        process.communicate()


def test_given_ctrl_c_then_the_server_ends_cleanly_and_everything_accepted_is_there(cocok: Cocok) -> None:
    with started(cocok.home) as (address, process):
        assert httpx.post(f"{address}/v1/events", json=[task("t")]).json()["seq"] == 1
        assert httpx.post(f"{address}/v1/feeds", json={"worker_id": "somebody-zq"}).json()["items"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Stopped" in out
    assert "Traceback" not in err
    assert "somebody-zq" not in out + err
    assert '"task_id":"t"' in cocok("export", "--out", "-").out


def test_given_an_erasure_that_is_imported_beside_a_server_then_it_is_carried_out_and_the_server_goes_on(
    cocok: Cocok, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "erasure.ndjson"
    file.write_text(json.dumps(event("worker_erased", minutes_ago=0, worker_id="jane-zq")))
    with serving(cocok.home) as api:
        api.events(task("t"), *(event("task_viewed", worker_id="jane-zq", task_id="t") for _ in range(20)))
        ran = cocok("import", file)
        assert (ran.code, ran.out.splitlines()[-1]) == (0, "1 erasure carried out")
        assert len(api.log()) == 22
        assert "jane-zq" not in str(api.log())
        assert api.get("/v1/workers/jane-zq").status_code == 404
        assert api.get("/v1/tasks/t").status_code == 200
    assert "read anew" not in caplog.text


def test_given_no_key_then_other_machines_are_kept_out_in_one_line(cocok: Cocok) -> None:
    ran = cocok("serve", "--host", "0.0.0.0")
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1
    assert "cocok keys create" in ran.err


def test_given_a_taken_port_or_a_strange_host_then_one_line_says_so(cocok: Cocok) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = cocok("serve", "--port", taken.getsockname()[1])
    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert "choose another --port" in ran.err
    assert "is no address" in cocok("serve", "--host", "no.such.host.invalid").err


@pytest.mark.parametrize("of_its_own", [False, pytest.param(True, marks=LINUX)])
def test_given_a_connection_then_no_part_of_an_answer_waits_for_an_acknowledgement(of_its_own: bool) -> None:
    bound = _bind("127.0.0.1", 0, protected=False)
    listening = pickle.loads(pickle.dumps(_Port(bound))) if of_its_own else bound

    async def delay_is_off() -> bool:
        taken: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        server = await asyncio.start_server(lambda _, writer: taken.put_nowait(writer), sock=listening)
        _, client = await asyncio.open_connection(*listening.getsockname())
        connection = (await taken.get()).get_extra_info("socket")
        off = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        client.close()
        server.close()
        return off

    assert asyncio.run(delay_is_off())
    bound.close()


def test_given_keys_then_they_are_made_listed_and_revoked(cocok: Cocok) -> None:
    made = cocok("keys", "create", "--name", "shop", "--scope", "read", "--scope", "write", "--json").json()
    assert re.fullmatch(rf"cocok_{made['id']}_[\w-]{{43}}", made["key"])
    assert made["scopes"] == ["read", "write"]
    shown = cocok("keys", "list")
    assert "shop" in shown.out
    assert made["key"] not in shown.out
    revoked = cocok("keys", "revoke", made["id"], "--json").json()
    assert revoked["revoked_at"]
    assert cocok("keys", "list", "--json").json() == [revoked]
    again = cocok("keys", "revoke", made["id"])
    assert (again.code, len(again.err.splitlines())) == (1, 1)


@pytest.mark.parametrize("damage", ["no folder", "no database"])
def test_given_a_store_that_cannot_be_used_then_keys_say_so_in_one_line(cocok: Cocok, damage: str) -> None:
    if damage == "no folder":
        cocok.home.write_text("a file")
    else:
        cocok.home.mkdir()
        (cocok.home / "cocok.db").write_bytes(b"no database" * 1_000)
    for command in (["create", "--name", "shop", "--scope", "read"], ["list"], ["revoke", "3f9a01bc"]):
        ran = cocok("keys", *command)
        assert (ran.code, len(ran.err.splitlines())) == (1, 1)


def test_given_a_person_makes_a_key_then_the_last_line_is_the_key(cocok: Cocok) -> None:
    ran = cocok("keys", "create", "--name", "shop", "--scope", "admin")
    assert ran.out.splitlines()[-1].startswith("cocok_")


@pytest.mark.parametrize("command", [["serve"], ["keys"], ["keys", "create"], ["keys", "list"], ["keys", "revoke"]])
def test_given_help_then_there_is_an_example(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    assert "Example: cocok" in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["keys"]])
def test_given_no_command_then_the_help_is_printed_and_nothing_else(cocok: Cocok, command: list[str]) -> None:
    ran = cocok(*command)
    assert (ran.code, "Usage: cocok" in ran.out + ran.err, "error:" in ran.err) == (2, True, False)


TRAINING = {"mlflow", "matplotlib", "optuna", "dask"}


def test_given_the_application_is_imported_then_no_training_code_is_loaded() -> None:
    code = "import sys, service.app; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = ran.stdout.split()
    assert "fastapi" in loaded
    assert not {name.partition(".")[0] for name in loaded} & TRAINING
    assert not [name for name in loaded if name.startswith("training")]
    # LightGBM itself loads how scikit-learn splits and validates; no estimator comes with it.
    assert not [name for name in loaded if name.startswith(("sklearn.ensemble", "sklearn.linear_model"))]
