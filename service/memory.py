"""The memory of a server once it is ready: what the start freed is given back, what is left lies in huge pages.

A list reads a little of nearly all the state. Where other programs share the processor, what it needs has left the
caches when the next one comes, and so have the tables that translate its addresses: with pages of 4 KiB, much of the
wait is for those. NumPy asks for huge pages for its largest arrays only; all else lies in small ones.
"""

import ctypes
import logging
import mmap
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

log = logging.getLogger(__name__)

_COLLAPSE = 25
"""``MADV_COLLAPSE`` of madvise(2), since Linux 6.1: what is in small pages is moved to huge ones at once."""

_HUGE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
_MAPPINGS, _PAGES = Path("/proc/self/maps"), Path("/proc/self/pagemap")
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0 *(?:\[heap\]|\[anon.*)?$", re.MULTILINE)
"""Memory of no file: from which address to which."""

_USED = 0.5
"""Share of a huge page that must be there, since it fills up what is not."""


def settle() -> None:
    """Give back what is free, and move what is in use to huge pages; each as far as the system lets it.

    What comes later lies where the system puts it. It takes about half a second a GiB, without the interpreter's lock.
    """
    with suppress(AttributeError, OSError, TypeError):
        # glibc keeps what was freed, others have no such call.
        ctypes.CDLL(None).malloc_trim(0)
    if not _HUGE.exists():
        return
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    try:
        for address, size in _mostly_used(int(_HUGE.read_text())):
            # Whatever cannot be moved stays where it is: all of it on systems that know no such call.
            madvise(address, size, _COLLAPSE)
    except (OSError, ValueError) as error:
        # Such as for a process that may not look at its own pages, since it has changed its user.
        log.info("memory stays in small pages: %s", error)


def _mostly_used(huge: int) -> Iterator[tuple[int, int]]:
    """Yield address and bytes of stretches of memory that huge pages of so many bytes would mostly fill."""
    pages = huge // mmap.PAGESIZE
    with _PAGES.open("rb") as table:
        for mapping in _MAPPING.finditer(_MAPPINGS.read_text()):
            first, last = -(-int(mapping[1], 16) // huge), int(mapping[2], 16) // huge
            if first >= last:
                continue
            table.seek(8 * pages * first)
            # Of each page 64 bits, the highest of which tells whether it is there; see proc_pid_pagemap(5).
            there = np.frombuffer(table.read(8 * pages * (last - first)), np.int64).reshape(-1, pages) < 0
            used = first + np.flatnonzero(there.mean(axis=1) >= _USED)
            for stretch in np.split(used, np.flatnonzero(np.diff(used) > 1) + 1):
                if len(stretch):
                    yield int(stretch[0]) * huge, len(stretch) * huge
