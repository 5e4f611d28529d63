"""Huge pages for memory that is read a little everywhere, as a list reads the state.

Where other programs share the processor, what a list needs has left the caches when the next one comes, and so have the
tables that translate its addresses: with pages of 4 KiB, much of the wait is for those. NumPy asks for huge pages for
its largest arrays only; Python's objects and all smaller arrays lie in small ones.
"""

import ctypes
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_COLLAPSE = 25
"""``MADV_COLLAPSE`` of madvise(2), since Linux 6.1: what is in small pages is moved to huge ones at once."""

_MAPPINGS = Path("/proc/self/smaps")
_MAPPING = re.compile(
    r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0 *(?:\[heap\]|\[anon.*)?\n(?:(?!Rss:).*\n)*Rss: *(\d+) kB"
)
"""Memory of no file: from which address to which, and how many KiB of it are there."""

_USED = 0.5
"""Share of a mapping that must be there, since huge pages fill up what is not."""


def collapse() -> None:
    """Move the memory of this process to huge pages where most of it is in use, as far as the system lets it.

    What comes later lies where the system puts it. It takes about half a second a GiB, without the interpreter's lock.
    """
    if sys.platform != "linux":
        return
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for address, size in _mostly_used():
        # Whatever cannot be moved stays where it is: all of it on systems that know no such call.
        madvise(address, size, _COLLAPSE)


def _mostly_used() -> Iterator[tuple[int, int]]:
    """Yield address and bytes of mappings."""
    for mapping in _MAPPING.finditer(_MAPPINGS.read_text()):
        address, end = int(mapping[1], 16), int(mapping[2], 16)
        if int(mapping[3]) * 1024 >= _USED * (end - address):
            yield address, end - address
