"""The large market of the audience benchmark is a market like any other."""

from benchmarks.audience import enlarged
from features.layout import NEVER
from tests.log import Log


def test_given_a_market_that_was_enlarged_then_it_takes_further_events_and_keeps_whom_it_drew() -> None:
    log = Log().post("t1", skills=["python"]).post("t2", skills=["python"]).take("w1", "t1")
    state, known = log.state(), len(log.entries)
    enlarged(state, 300)
    seen = state.arrays.workers["first_seen"][:302].copy()
    log.take("drawn299", "t1").take("new", "t2")
    state.apply(log.entries[known:])
    assert (seen[1:] != NEVER).all()
    assert (state.arrays.workers["first_seen"][:302] == seen).all()
    drawn = state.arrays.workers[state.catalogue.workers.get("drawn299")]
    assert drawn["accepted"] == state.arrays.workers[state.catalogue.workers.get("w1")]["accepted"] + 1
