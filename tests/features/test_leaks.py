"""Nothing leaks from the future: what follows a list in the log leaves its rows as they were, bit for bit."""

from collections.abc import Iterable, Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.build import rows
from features.estimates import HOUR
from features.state import MarketState
from tests.log import ANY, RATES, SERVED, Drawn, Entry, Log, built, cut, drawn, folded, hour, logs
from training.lists import ServedList, read_history
from training.replay import replay, training_set

CUTS = st.sets(st.integers(1, 49), max_size=5)
WITH_LISTS = st.one_of(ANY, SERVED)


LIST = Log().serve("w1", ["t1", "t2"], feed_id="last").entries[0][2]


def asked(state: MarketState, served: ServedList) -> NDArray[np.float32]:
    """The rows of a list from a state."""
    tasks = np.array([state.catalogue.tasks.get(task_id) for task_id in served.task_ids], np.int32)
    worker = state.catalogue.workers.get(served.worker_id)
    return rows(state, worker, tasks, served.at, served.session_minutes)


def replayed(log: Sequence[Entry], places: Iterable[int] = ()) -> dict[str, NDArray[np.float32]]:
    """Feed id -> the rows of each list of a log that is read in batches."""
    lists = read_history([log]).lists
    features = replay(cut(log, places), RATES, lists).features
    ends = np.cumsum([len(served.task_ids) for served in lists], dtype=np.int64)
    return {served.feed_id: features[end - len(served.task_ids) : end] for served, end in zip(lists, ends, strict=True)}


def same(left: NDArray[np.float32], right: NDArray[np.float32]) -> bool:
    return left.shape == right.shape and left.tobytes() == right.tobytes()


@settings(deadline=None, max_examples=80)
@given(drawn(WITH_LISTS), drawn(WITH_LISTS, 20), drawn(WITH_LISTS, 20), CUTS, CUTS)
def test_rows_of_a_list_are_the_same_whatever_follows_it(
    before: Drawn,
    after: Drawn,
    instead: Drawn,
    places: set[int],
    others: set[int],
) -> None:
    served = read_history([built(before)]).lists
    one, other = replayed(built(before + after), places), replayed(built(before + instead), others)
    # The lists of a worker who is erased later are left out, and so are not there to compare.
    for feed_id in {each.feed_id for each in served} & one.keys() & other.keys():
        assert same(one[feed_id], other[feed_id])


@settings(deadline=None, max_examples=60)
@given(logs(WITH_LISTS), CUTS)
def test_rows_of_a_list_are_those_of_the_log_cut_where_the_list_says(log: list[Entry], places: set[int]) -> None:
    found = replayed(log, places)
    for served in read_history([log]).lists:
        assert same(found[served.feed_id], asked(folded(log[: served.prefix]), served))


@settings(deadline=None, max_examples=40)
@given(logs(WITH_LISTS), CUTS)
def test_a_training_set_is_the_same_however_the_log_is_cut_into_batches(log: list[Entry], places: set[int]) -> None:
    # A list that is surely there, as a log without lists is refused.
    log = [*log, (len(log) + 1, log[-1][1], LIST)]
    one, other = (
        training_set(lambda batches=batches: batches, RATES, until=hour(1e6), maturity=HOUR)
        for batches in ([log], cut(log, places))
    )
    assert same(one.features, other.features)
    assert one.labels.tolist() == other.labels.tolist()


def test_a_list_that_says_how_far_its_server_had_read_is_built_on_that_prefix_at_its_own_instant() -> None:
    log = Log().post("t1", 0, skills=["python"]).take("w1", "t1", 1).post("t2", 2, skills=["python"])
    log.take("w1", "t1", 3).serve("w1", ["t2", "t1"], 4, feed_id="late", log_seq=3)
    served = read_history([log.entries]).lists[-1]
    assert served.prefix == 3
    assert served.at == hour(4)
    assert same(replayed(log.entries)["late"], asked(folded(log.entries[:3]), served))
    assert not same(replayed(log.entries)["late"], asked(folded(log.entries[:4]), served))


def test_a_list_cannot_claim_to_have_read_beyond_its_own_place() -> None:
    log = Log().post("t1").serve("w1", ["t1"], 1, feed_id="f", log_seq=99).take("w1", "t1", 2)
    assert same(replayed(log.entries)["f"], replayed(log.entries[:2])["f"])


def test_given_a_list_made_before_its_worker_was_erased_but_logged_after_then_it_is_left_out() -> None:
    log = Log().post("t1").take("w1", "t1").add("worker_erased", worker_id="w1")
    log.serve("w1", ["t1"], 1, feed_id="made before", log_seq=2).serve("w1", ["t1"], 2, feed_id="made after")
    assert set(replayed(log.entries)) == {"made after"}
