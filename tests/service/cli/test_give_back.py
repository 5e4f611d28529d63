"""Memory that the start of a server freed goes back to the system."""

import platform

import psutil
import pytest

from service.cli.serve import _give_back


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what is freed, and can give it back")
def test_what_was_freed_between_what_stays_is_given_back() -> None:
    # Too large for Python's own arenas, and too small to be mapped one by one.
    made = [bytearray(20_000) for _ in range(5_000)]
    stays = made[::50]
    del made
    before = psutil.Process().memory_info().rss
    _give_back()
    assert before - psutil.Process().memory_info().rss > 50_000_000
    assert len(stays) == 100
