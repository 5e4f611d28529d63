"""Audiences: whoever may take a task, the likeliest first, as scoring everybody would have it."""

from collections.abc import Callable
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.build import rows, rows_of_workers
from features.state import MarketState
from matching import audience as audience_module
from matching import audience_stages
from matching.audience import Audience, Audiences, UnpreparedError, suggested
from matching.eligibility import judge
from matching.fallback import FallbackRanker
from matching.roster import Roster
from matching.scoring import Ranker
from tests.log import RATES, Entry, Log, hour, logs, usd
from tests.market import entries, ranker_of, usual, usual_bundle
from tests.requirements import PROFILES, TREES

NOW = hour(2)
FALLBACK = FallbackRanker()
Answer = TypeVar("Answer")


@pytest.fixture(scope="module")
def model() -> Ranker:
    return ranker_of(usual_bundle())


@pytest.fixture(scope="module")
def market() -> MarketState:
    state = MarketState(RATES)
    state.apply(entries(usual()[0]))
    return state


class Reads:
    """Gives a state part by part, and counts the parts; what is to happen between them is done before each."""

    def __init__(self, state: MarketState, between: Callable[[], object] = lambda: None) -> None:
        self.state = state
        self.between = between
        self.parts = 0

    def __call__(self, part: Callable[[MarketState], Answer], /) -> Answer:
        self.between()
        self.parts += 1
        return part(self.state)


def prepared(state: MarketState, ranker: Ranker, now: int) -> Audiences:
    audiences = Audiences()
    audiences.prepare(Reads(state), ranker, now)
    return audiences


def audience(state: MarketState, task_id: str = "t", limit: int = 50, ranker: Ranker = FALLBACK) -> Audience:
    return Audiences().audience(state, ranker, state.catalogue.tasks.get(task_id), NOW, limit)


def names(found: Audience) -> list[str]:
    return [member.worker_id for member in found.members]


def some(*profiles: dict[str, Any], **task: Any) -> Log:
    log = Log().post("t", **{"estimated_minutes": 10, "reward": usd(2), **task})
    for number, profile in enumerate(profiles):
        log.add("worker_updated", worker_id=f"w{number}", **profile)
    return log


def test_given_workers_who_may_not_take_it_then_they_are_not_among_them() -> None:
    log = some(
        {},
        {"blocked_requesters": ["r1"]},
        {"min_reward": usd(3)},
        {"languages": ["id"]},
        {"languages": ["en"]},
        {"languages": ["en"], "qualifications": {"q": None}},
        {"languages": ["en"], "qualifications": {"q": None}},
        requirements=[{"attribute": "qualification:q", "comparator": "exists"}],
        languages=["en"],
    )
    log.take("w6", "t")
    assert names(audience(log.state())) == ["w5"]


def test_given_a_worker_asked_to_be_forgotten_then_nobody_is_told_of_them() -> None:
    log = some({}, {}).add("worker_erased", worker_id="w0")
    assert names(audience(log.state())) == ["w1"]


@pytest.mark.parametrize(
    ("profile", "events", "barred"),
    [
        ({}, ["assignment_accepted"], 30),
        ({}, ["assignment_accepted"], 100),
        ({}, ["task_hidden"], 30),
        ({}, ["worker_erased"], 30),
        ({"blocked_requesters": ["r1"]}, [], 30),
        ({"blocked_categories": ["Label "]}, [], 30),
        ({"blocked_keywords": ["label *"]}, [], 30),
        ({"blocked_requesters": ["r2"], "blocked_categories": ["maps"], "blocked_keywords": ["maps", "*"]}, [], 0),
    ],
    ids=[
        *("took it", "many took it", "hid it", "erased", "block the requester", "the category", "the text"),
        "block something else",
    ],
)
def test_given_the_foremost_may_not_take_it_then_the_audience_is_of_others(
    profile: dict[str, Any], events: list[str], barred: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"category": "label", "skills": ["label"], "title": "Label cars"}
    log = some(**fields)
    for number in range(3):
        log.post(f"old{number}", requester_id="r9", **fields)
    active = barred or 30
    for number in range(active + 10):
        log.add("worker_updated", worker_id=f"w{number}", **(profile if number < active else {}))
    for number in range(active):
        for task in range(3):
            log.take(f"w{number}", f"old{task}", at=1.0)
        for kind in events:
            log.add(kind, 1.5, worker_id=f"w{number}", **({} if kind == "worker_erased" else {"task_id": "t"}))
    # Of so few workers all would be scored.
    monkeypatch.setattr(audience_module, "SCORED", 4)
    monkeypatch.setattr(audience_stages, "LOOKED_AT", 4)
    state = log.state()
    found = prepared(state, FALLBACK, NOW).audience(state, FALLBACK, state.catalogue.tasks.get("t"), NOW, 4)
    assert len(found.members) == found.suggested == 4
    assert all((int(name[1:]) >= active) == bool(barred) for name in names(found))


def test_given_who_is_likeliest_to_take_it_and_be_approved_then_they_stand_first(
    market: MarketState, model: Ranker
) -> None:
    now = market.clock or 0
    for task in market.open_tasks[:5].tolist():
        found = Audiences().audience(market, model, task, now, 1_000)
        expected = []
        for worker in range(1, len(market.catalogue.workers)):
            one = np.array([task], np.int32)
            if judge(market, worker, one, now).bits[0] == 0:
                outcomes = model.answers(rows(market, worker, one, now)).outcomes()
                expected.append(float(outcomes.p_accept[0] * outcomes.p_approve[0]))
        assert [member.score for member in found.members] == pytest.approx(sorted(expected, reverse=True), rel=1e-4)


def test_given_more_workers_than_are_scored_then_the_best_are_found_all_the_same(
    market: MarketState, model: Ranker
) -> None:
    now = market.clock or 0
    whole, part = [], []
    audiences = prepared(market, model, now)
    for task in market.open_tasks[:10].tolist():
        whole += [member.score for member in Audiences().audience(market, model, task, now, 5).members]
        with patch.object(audience_module, "SCORED", 12), patch.object(audience_stages, "LOOKED_AT", 30):
            part += [member.score for member in audiences.audience(market, model, task, now, 5).members]
    assert len(part) == len(whole)
    assert sum(part) > 0.8 * sum(whole)


@pytest.fixture
def few_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience_module, "SCORED", 2)
    monkeypatch.setattr(audience_stages, "LOOKED_AT", 2)


@pytest.mark.usefixtures("few_scored")
def test_given_a_worker_joins_after_it_was_prepared_then_they_can_be_found() -> None:
    log = some({}, {})
    state = log.state()
    audiences, task = prepared(state, FALLBACK, NOW), state.catalogue.tasks.get("t")
    state.apply(_later(log, "w9"))
    assert "w9" in names(audiences.audience(state, FALLBACK, task, NOW, 3))


@pytest.mark.usefixtures("few_scored")
def test_given_nothing_was_prepared_then_more_workers_than_are_scored_are_refused_until_it_is() -> None:
    state, audiences = some(*[{}] * 9).state(), Audiences()
    task = state.catalogue.tasks.get("t")
    with pytest.raises(UnpreparedError):
        audiences.audience(state, FALLBACK, task, NOW, 1)
    audiences.prepare(Reads(state), FALLBACK, NOW)
    assert len(audiences.audience(state, FALLBACK, task, NOW, 1).members) == 1


@pytest.mark.usefixtures("few_scored")
def test_given_more_profiles_changed_than_a_request_reads_then_it_is_refused_until_it_is_prepared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audience_module, "PROFILES_WITHIN", 5)
    log = some(*[{}] * 3)
    state = log.state()
    audiences, task = prepared(state, FALLBACK, NOW), state.catalogue.tasks.get("t")
    for number in range(4, 12):
        state.apply(_later(log, f"w{number}"))
    with pytest.raises(UnpreparedError):
        audiences.audience(state, FALLBACK, task, NOW, 1)
    audiences.prepare(Reads(state), FALLBACK, NOW)
    assert audiences.audience(state, FALLBACK, task, NOW, 1).members


def test_given_profiles_were_replaced_over_and_over_then_a_new_roster_says_the_same() -> None:
    log = some({"languages": ["en"]}, {"languages": ["id"]}, languages=["en"])
    state = log.state()
    audiences, task = prepared(state, FALLBACK, NOW), state.catalogue.tasks.get("t")
    with patch.object(Roster, "outdated", new=True):
        state.apply(_later(log, "w0", languages=["id"]) + _later(log, "w1", languages=["en"]))
        audiences.prepare(Reads(state), FALLBACK, NOW)
    assert names(audiences.audience(state, FALLBACK, task, NOW, 3)) == ["w1"]


def test_given_a_worker_took_such_a_task_since_the_table_was_made_then_it_counts_as_if_made_now() -> None:
    skills = {"skills": ["audio"]}
    log = some(*[{}] * 9, **skills).post("u", **skills).post("other", skills=["maps"])
    state = log.state()
    audiences, task = prepared(state, FALLBACK, NOW), state.catalogue.tasks.get("u")
    state.apply(log.take("w7", "t", at=2.0).entries[len(log.entries) - 1 :])
    looks = []
    for kept in (audience_stages.KEPT, -1):
        with patch.object(audience_stages, "KEPT", kept):
            audiences.prepare(Reads(state), FALLBACK, NOW)
        stages, every = audiences._stages, np.ones(len(state.catalogue.workers), np.bool_)
        assert stages is not None
        first = audience_stages._Linear(np.ones(7), np.zeros(7))
        looks.append(audience_stages._look(state, task, NOW, every, stages._taken, stages._active, first))
    np.testing.assert_allclose(looks[0], looks[1], rtol=1e-5)
    worker = state.catalogue.workers.get("w7")
    assert looks[0][worker] > np.delete(looks[0], worker).max()


def test_given_nobody_asked_for_long_then_what_the_stages_rest_on_is_to_be_prepared_anew() -> None:
    state = some(*[{}] * 9).state()
    task, later = state.catalogue.tasks.get("t"), NOW + 2 * audience_stages.KEPT
    with patch.object(audience_module, "SCORED", 2):
        audiences = prepared(state, FALLBACK, NOW)
        assert audiences.audience(state, FALLBACK, task, later, 1).members
        with pytest.raises(UnpreparedError):
            audiences.audience(state, FALLBACK, task, later + 1, 1)
        audiences.prepare(Reads(state), FALLBACK, later + 1)
        assert audiences.audience(state, FALLBACK, task, later + 1, 1).members


def test_given_events_come_between_the_parts_of_a_preparation_then_it_takes_them_in_its_stride() -> None:
    log = some(*[{}] * 30)
    state = log.state()

    def joins() -> None:
        # Often enough that the arrays and the tables move while they are read.
        if reads.parts < 300:
            before = len(log.entries)
            log.add("worker_updated", worker_id=f"new{reads.parts}", skills=[f"s{reads.parts}"])
            log.take(f"new{reads.parts}", "t")
            state.apply(log.entries[before:])

    reads, audiences = Reads(state, joins), Audiences()
    with (
        patch.multiple(audience_stages, _ROWS_AT_ONCE=4, _HISTORIES_AT_ONCE=4, _WORKERS_AT_ONCE=8),
        patch.multiple(audience_module, PROFILES_AT_ONCE=4, SCORED=2),
    ):
        audiences.prepare(reads, FALLBACK, NOW)
        audiences.prepare(reads, FALLBACK, NOW)
        assert reads.parts > 50
        assert audiences.audience(state, FALLBACK, state.catalogue.tasks.get("t"), NOW, 1).members


def test_given_arrays_that_the_fold_has_replaced_then_who_took_what_is_read_within_them() -> None:
    log = some({}).post("t1", skills=["s1"], title="words of its own")
    log.take("w0", "t1")
    state = log.state()
    earlier, before = state.arrays, len(log.entries)
    # So many workers join that their records move, and blocks of earlier ones have places left for more.
    for number in range(300):
        log.add("worker_updated", worker_id=f"new{number}")
    log.post("t2", skills=["s2", "s3"]).take("w0", "t2")
    state.apply(log.entries[before:])
    assert state.arrays.taste_tokens is earlier.taste_tokens
    size = len(earlier.histories)
    for arrays, least in ((earlier, 1), (state.arrays, 3)):
        tokens, workers, took = audience_stages._took(
            arrays.histories, arrays.taste_tokens, arrays.tastes, 0, size, NOW
        )
        assert set(workers.tolist()) == {1}
        assert len(set(tokens.tolist())) == len(tokens) == len(took) >= least


def test_given_another_model_then_earlier_stages_serve_until_it_is_prepared(
    market: MarketState, model: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = market.clock or 0
    audiences, task = prepared(market, FALLBACK, now), int(market.open_tasks[0])
    monkeypatch.setattr(audience_module, "SCORED", 12)
    earlier = audiences.audience(market, model, task, now, 5)
    assert earlier.members[0].p_accept is not None
    audiences.prepare(Reads(market), model, now)
    assert len(audiences.audience(market, model, task, now, 5).members) == len(earlier.members)


def _later(log: Log, worker_id: str, **profile: Any) -> list[Entry]:
    before = len(log.entries)
    return log.add("worker_updated", worker_id=worker_id, **profile).entries[before:]


def test_given_three_slots_then_so_many_are_told_that_they_fill_with_four_in_five() -> None:
    chances = [0.5] * 50
    told = suggested(chances, 3)
    rng = np.random.default_rng(0)
    filled = [np.mean(rng.binomial(n, 0.5, 100_000) >= 3) for n in (told - 1, told)]
    assert filled[0] < 0.8 <= filled[1]


@pytest.mark.parametrize(
    ("chances", "free", "told"),
    [([1.0] * 9, 3, 3), ([0.01] * 9, 3, 9), ([0.5] * 9, None, 9), ([0.5] * 9, 0, 0), ([], 3, 0), ([0.8], 1, 1)],
)
def test_given_chances_and_slots_then_so_many_are_told(chances: list[float], free: int | None, told: int) -> None:
    assert suggested(chances, free) == told


def test_given_free_slots_then_the_audience_says_how_many_to_tell(market: MarketState, model: Ranker) -> None:
    log = some(*[{}] * 30, slots=1)
    found = audience(log.state())
    assert 1 <= found.suggested <= len(found.members) == 30


BLOCKS = st.just({}) | st.fixed_dictionaries(
    {},
    optional={
        "blocked_requesters": st.lists(st.sampled_from(["r1", "r2", "nobody"]), max_size=2),
        "blocked_categories": st.lists(st.sampled_from(["Label ", "maps", "r1"]), max_size=2),
        "blocked_keywords": st.lists(st.sampled_from(["label", "ca*", "r1", "*", "words of * own"]), max_size=2),
    },
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(PROFILES, BLOCKS), min_size=1, max_size=6),
    TREES,
    st.sampled_from([None, ["en"], ["id", "ja"]]),
    st.sampled_from([None, ["ID"]]),
    st.sampled_from([None, ["Phone"]]),
    st.sampled_from([{}, {"category": "label", "title": "Label cars"}, {"description": "words of their own"}]),
)
def test_given_any_requirements_then_the_roster_says_what_the_judge_says(
    profiles: list[Any], tree: Any, languages: Any, countries: Any, devices: Any, wording: dict[str, str]
) -> None:
    log = Log().post("t", requirements=tree, languages=languages, countries=countries, devices=devices, **wording)
    for number, (profile, blocks) in enumerate(profiles):
        if profile is not None:
            log.add("worker_updated", worker_id=f"w{number % 4}", **profile, **blocks)
        log.post(f"done{number}").on("assignment_submitted", f"w{number % 4}", f"done{number}")
        log.on("assignment_rejected" if number % 3 == 0 else "assignment_approved", f"w{number % 4}", f"done{number}")
    state, roster = MarketState(RATES), Roster()
    for start in range(0, len(log.entries), 3):
        state.apply(log.entries[start : start + 3])
        roster.refresh(state)
    task = state.catalogue.tasks.get("t")
    fit = roster.fit(state, task, NOW)
    one = np.array([task], np.int32)
    for worker in range(1, len(state.catalogue.workers)):
        assert fit[worker] == (judge(state, worker, one, NOW).bits[0] == 0), worker


@settings(max_examples=60, deadline=None)
@given(logs())
def test_given_any_log_then_rows_of_workers_are_those_of_each_worker(entries_: list[Entry]) -> None:
    state = MarketState(RATES)
    state.apply(entries_)
    now = entries_[-1][1]
    workers = np.arange(len(state.catalogue.workers), dtype=np.int32)
    for task in range(len(state.catalogue.tasks)):
        one = np.array([task], np.int32)
        each = np.concatenate([rows(state, worker, one, now) for worker in workers.tolist()])
        np.testing.assert_array_equal(rows_of_workers(state, workers, task, now), each)
        own = rows_of_workers(state, workers, task, now, relative=False)
        assert np.all(np.isnan(own) | (own == rows_of_workers(state, workers, task, now)))
