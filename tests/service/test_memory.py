"""The memory of a server: what is free is given back, what is in use moves to huge pages and holds what it held."""

import mmap
import platform
import re
from pathlib import Path

import numpy as np
import psutil
import pytest

from service import memory as memory_module
from service.memory import settle

SIZE = 32 << 20
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def huge(address: int) -> int:
    """Return how many bytes of the mapping that an address lies in are in huge pages."""
    for mapping in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        first, end = (int(bound, 16) for bound in mapping.split(" ", 1)[0].split("-"))
        if first <= address < end:
            return 1024 * int(re.findall(r"AnonHugePages: *([0-9]+) kB", mapping)[0])
    raise AssertionError("no such mapping")


def able() -> bool:
    version = tuple(int(part) for part in re.findall(r"[0-9]+", platform.release())[:2])
    linux = platform.system() == "Linux" and version >= (6, 1)
    return linux and ENABLED.exists() and "[never]" not in ENABLED.read_text()


@pytest.mark.skipif(not able(), reason="the system has no huge pages on request")
def test_given_memory_in_use_then_it_is_moved_and_memory_hardly_used_is_not() -> None:
    mapping = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    mapping.madvise(mmap.MADV_NOHUGEPAGE)
    memory, half = np.frombuffer(mapping, np.uint8), SIZE // 2
    # Written, it may be moved, and is no part of another mapping.
    memory[:half] = np.arange(half) % 251
    memory[half::16384] = 7  # one page of four
    mapping.madvise(mmap.MADV_HUGEPAGE)
    mapping.madvise(mmap.MADV_DONTDUMP)
    assert huge(memory.ctypes.data) == 0
    settle()
    # But for what lies before the first huge page and behind the last, and one that is of both kinds.
    assert half - (6 << 20) < huge(memory.ctypes.data) <= half + (2 << 20)
    np.testing.assert_array_equal(memory[:half], np.arange(half) % 251)
    assert (memory[half::16384] == 7).all()


def test_given_a_system_without_huge_pages_then_nothing_is_moved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory_module, "_HUGE", tmp_path / "missing")
    monkeypatch.setattr(memory_module, "_mostly_used", lambda _: pytest.fail("looked at memory"))
    settle()


def test_given_a_process_that_may_not_look_at_its_pages_then_nothing_is_moved_and_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = tmp_path / "size"
    size.write_text("2097152")
    monkeypatch.setattr(memory_module, "_HUGE", size)
    monkeypatch.setattr(memory_module, "_PAGES", tmp_path / "missing")
    with caplog.at_level("INFO", "service.memory"):
        settle()
    assert "memory stays in small pages" in caplog.text


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what is freed, and can give it back")
def test_given_memory_freed_between_what_stays_then_it_is_given_back() -> None:
    # Too large for Python's own arenas, and too small to be mapped one by one.
    made = [bytearray(20_000) for _ in range(5_000)]
    stays = made[::50]
    del made
    before = psutil.Process().memory_info().rss
    settle()
    assert before - psutil.Process().memory_info().rss > 50_000_000
    assert len(stays) == 100
