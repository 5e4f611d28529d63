"""`cocok demo`: the main job end to end, in a small world."""

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from features.errors import CocokError
from service.cli import demo
from service.store import open_store
from tests.service.cli.run import Cocok
from training import simulation
from training.registry import Registry

SMALL = replace(simulation.PRESETS["standard"], workers=60, tasks_per_day=25, days=10)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port where somebody else listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A marketplace that is simulated and learned from in seconds; what the demo sets is as before afterwards."""
    monkeypatch.setattr(simulation, "PRESETS", {"standard": SMALL})
    before = dict(os.environ)
    with threadpool_limits(1):
        yield
    os.environ.clear()
    os.environ.update(before)


def test_given_a_taken_port_and_settings_of_a_real_system_then_the_demo_shows_feeds_and_touches_neither(
    cocok: Cocok, tmp_path: Path, small: None, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "USUAL_PORT", taken_port)
    real = f"sqlite:///{tmp_path / 'real.db'}"
    (tmp_path / "cocok.toml").write_text(f'database_url = "{real}"\nmlflow_tracking_uri = "http://127.0.0.1:9"\n')
    ran = cocok("demo", "--once")
    assert ran.code == 0, ran.err
    for step in ("1. ", "2. Import", "3. Train", "4. Promote", "5. Let", "6. Ask"):
        assert step in ran.out
    assert f"127.0.0.1:{taken_port}" not in ran.out
    assert re.search(r"The API: http://127\.0\.0\.1:\d+", ran.out)
    compared = ran.out.split("5. Let")[1].split("6. Ask")[0]
    for order in ("random", "newest", "champion", "oracle"):
        (row,) = re.findall(rf"^ *{order} (.*)$", compared, re.MULTILINE)
        assert len(re.findall(r"\d[\d,.]*", row)) == len(demo.MEASURES)
    shown = ran.out.split("6. Ask")[1]
    assert shown.count("(model 1)") == 3
    assert "reward/h for you" in shown
    rows = [line for line in shown.splitlines() if re.match(r"\s+\d+\s", line)]
    assert len(rows) >= 10
    assert sum(bool(re.search(r"[A-Z]{3} \d[\d,]*\.\d\d", row)) for row in rows) > len(rows) / 2
    english, indonesian, newcomer = (part for part in shown.split("(model 1)")[1:])
    for part in (english, newcomer):
        assert re.search(r"\b(Its|You|an hour|Posted|Tasks like this|This requester|Workers rate)\b", part)
    assert re.search(r"\b(Anda|Upahnya|Sekitar|Dipasang|Tugas seperti|Pemberi tugas|Pekerja)\b", indonesian)
    assert not (tmp_path / "real.db").exists()
    home = cocok.home / "demo"
    assert Registry.at(home).champion() == 1
    store = open_store(f"sqlite:///{home / 'cocok.db'}")
    kinds = {type(entry.event).__name__ for entries in store.read() for entry in entries}
    store.close()
    assert {"FeedServed", "AssignmentApproved"} <= kinds


def test_given_a_port_that_was_asked_for_and_is_taken_then_it_says_so(taken_port: int) -> None:
    with pytest.raises(CocokError, match="choose another with --port"), demo._serving(taken_port):
        pytest.fail("nothing can be served there")


def test_given_help_then_it_shows_an_example(cocok: Cocok) -> None:
    ran = cocok("demo", "--help")
    assert ran.code == 0
    assert "Example: cocok demo --once" in ran.out


def test_given_no_such_port_then_nothing_is_begun(cocok: Cocok) -> None:
    ran = cocok("demo", "--once", "--port", 65_536)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert not cocok.home.exists()
