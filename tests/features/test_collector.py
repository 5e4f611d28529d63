"""Pausing the garbage collector: off meanwhile, and afterwards as it was."""

import gc

import pytest

from features.collector import collector_paused


def test_the_collector_is_off_meanwhile_and_runs_again_also_after_an_error() -> None:
    seen = []

    def fail() -> None:
        with collector_paused():
            seen.append(gc.isenabled())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == [False]
    assert gc.isenabled()


def test_one_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
