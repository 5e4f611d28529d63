"""Huge pages: memory is moved to them, and holds what it held."""

import mmap
import platform
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.huge_pages import collapse

SIZE = 16 << 20
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def huge(address: int) -> int:
    """Return how many KiB of the mapping that an address lies in are in huge pages."""
    for mapping in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        first, end = (int(bound, 16) for bound in mapping.split(" ", 1)[0].split("-"))
        if first <= address < end:
            return int(re.findall(r"AnonHugePages: *([0-9]+) kB", mapping)[0])
    raise AssertionError("no such mapping")


def able() -> bool:
    version = tuple(int(part) for part in re.findall(r"[0-9]+", platform.release())[:2])
    linux = platform.system() == "Linux" and version >= (6, 1)
    return linux and ENABLED.exists() and "[never]" not in ENABLED.read_text()


def memory(used: int) -> NDArray[np.uint8]:
    """Memory in small pages, of which so many bytes are in use and no other mapping is a part."""
    mapping = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    mapping.madvise(mmap.MADV_NOHUGEPAGE)
    array = np.frombuffer(mapping, np.uint8)
    array[:used] = np.arange(used) % 251
    mapping.madvise(mmap.MADV_HUGEPAGE)
    mapping.madvise(mmap.MADV_DONTDUMP if used == SIZE else mmap.MADV_DONTFORK)
    return array


@pytest.mark.skipif(not able(), reason="the system has no huge pages on request")
def test_given_memory_in_use_then_it_is_moved_and_memory_hardly_used_is_not() -> None:
    full, sparse = memory(SIZE), memory(SIZE // 4)
    assert huge(full.ctypes.data) == 0
    collapse()
    # All but what lies before the first huge page and behind the last.
    assert huge(full.ctypes.data) >= SIZE // 1024 - 2 * 2048
    assert huge(sparse.ctypes.data) == 0
    np.testing.assert_array_equal(full, np.arange(SIZE) % 251)


def test_given_another_system_then_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("service.huge_pages._mostly_used", lambda: pytest.fail("looked at memory"))
    collapse()
