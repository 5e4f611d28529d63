"""Near misses: what is told to open tasks does open them, and what pays most comes first."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.changes import APPROVALS, Change, changes_of
from features.requirements_shape import parse
from features.state import MarketState
from matching.eligibility import Wishes, judge_open
from matching.fallback import FallbackRanker
from matching.near_misses import SPARE, TASKS_SCORED, NearMiss, near_misses, seek
from matching.openings import CONSIDERED, openings
from matching.pipeline import Matcher
from matching.query import Query
from tests.log import Log, hour, usd
from tests.requirements import PROFILES, TREES

NOW = hour(2)
Json = dict[str, Any]


def clause(attribute: str, comparator: str = "exists", **operand: Any) -> Json:
    return {"attribute": attribute, "comparator": comparator, **operand}


def market(*postings: Json, verdicts: Sequence[str] = (), **profile: Any) -> MarketState:
    """A worker ``w`` with a profile and a history of verdicts, and tasks of a tenth of an hour."""
    return market_of(profile, *postings, verdicts=verdicts)


def market_of(profile: Json | None, *postings: Json, verdicts: Sequence[str] = ()) -> MarketState:
    """The same, where there may be no profile. The worker was seen before: who was not has no age."""
    log = Log().add("task_viewed", worker_id="w", task_id="elsewhere")
    if profile is not None:
        log.add("worker_updated", worker_id="w", **profile)
    for number, verdict in enumerate(verdicts):
        log.post(f"done{number}", slots=1).take("w", f"done{number}")
        log.on("assignment_submitted", "w", f"done{number}", work_seconds=600)
        log.on(f"assignment_{verdict}", "w", f"done{number}")
    for number, fields in enumerate(postings):
        log.post(f"t{number}", **{"estimated_minutes": 6, "reward": usd(1), **fields})
    return log.state()


def found(state: MarketState, query: Query | None = None) -> list[NearMiss]:
    query = query or Query("w", NOW)
    judgement = judge_open(state, state.catalogue.workers.get(query.worker_id), query.now, query.wishes)
    return near_misses(state, FallbackRanker(), query, judgement)


def told(misses: list[NearMiss]) -> list[tuple[Any, ...]]:
    return [(miss.attribute, miss.comparator, miss.value, miss.tasks) for miss in misses]


def test_given_a_clause_that_alone_fails_then_it_is_told_with_its_tasks_and_their_pay() -> None:
    state = market(*[{"requirements": [clause("qualification:q")], "reward": usd(2)}] * 3, {})
    (miss,) = found(state)
    assert told([miss]) == [("qualification:q", "exists", None, 3)]
    assert miss.expected_hourly is not None
    # Two dollars for six minutes, approved nine times in ten.
    assert float(miss.expected_hourly.amount) == pytest.approx(18.0, abs=0.01)
    assert miss.text == "Take the qualification q: 3 tasks, about USD 18.00 an hour"


def test_given_two_things_in_the_way_then_neither_is_told() -> None:
    both = [clause("qualification:q"), clause("skill:audio")]
    assert found(market({"requirements": both})) == []
    assert found(market({"requirements": [both[0]], "languages": ["en"]}, languages=["id"])) == []
    assert found(market({"requirements": [both[0]]}, min_reward=usd(5))) == []


def test_given_two_clauses_that_one_fact_fulfils_then_it_is_told() -> None:
    state = market({"requirements": [clause("qualification:q"), clause("qualification:q", "ge", value=80)]})
    assert told(found(state)) == [("qualification:q", "ge", 80, 1)]


def test_given_alternatives_then_each_is_a_way_in() -> None:
    state = market({"requirements": {"or": [clause("qualification:q"), clause("skill:audio")]}})
    assert {miss[0] for miss in told(found(state))} == {"qualification:q", "skill:audio"}


def test_given_scores_of_one_test_then_the_higher_one_counts_for_the_lower_ones_too() -> None:
    asks = [{"requirements": [clause("qualification:q", "ge", value=least)]} for least in (60, 80, 80)]
    state = market(*asks, qualifications={"q": 50})
    (miss,) = found(state)
    assert told([miss]) == [("qualification:q", "ge", 80, 3)]
    assert miss.text.startswith("Raise the qualification q from 50 to 80: 3 tasks")


def test_given_tasks_for_other_languages_and_devices_then_these_are_told_but_no_country() -> None:
    state = market(
        *[{"languages": ["en", "de"]}, {"languages": ["en"]}],
        *[{"devices": ["Desktop"]}, {"countries": ["SG"]}, {"requirements": [clause("country", "eq", value="SG")]}],
        languages=["id"],
        devices=["phone"],
        country="ID",
    )
    assert ("language", "eq", "en", 2) in told(found(state))
    assert ("device", "eq", "desktop", 1) in told(found(state))
    assert "country" not in {miss.attribute for miss in found(state)}


@pytest.mark.parametrize(
    ("wanted", "more"),
    [
        (clause("approved_count", "ge", value=5), 3),
        (clause("approved_count", "gt", value=5), 4),
        (clause("approval_rate", "ge", value=75), 1),
        (clause("approval_rate", "gt", value=75), 2),
        (clause("approval_rate", "ge", value=100), None),
    ],
)
def test_given_approvals_are_missing_then_it_is_told_how_many(wanted: Json, more: int | None) -> None:
    misses = found(market({"requirements": [wanted]}, verdicts=("approved", "approved", "rejected")))
    if more is None:
        assert misses == []
    else:
        assert misses[0].text.startswith(f"Get {more} more task{'s' if more > 1 else ''} approved")


def test_given_few_well_paid_tasks_and_many_poor_ones_then_what_a_session_earns_decides() -> None:
    poor = [{"requirements": [clause("qualification:poor")], "reward": usd(1)}] * 20
    rich = [{"requirements": [clause("qualification:rich")], "reward": usd(9)}] * 2
    state = market(*poor, *rich)
    # Two tasks fill a session of a quarter of an hour nearly, and an hour by a fifth.
    assert [miss.attribute[14:] for miss in found(state, Query("w", NOW, session_minutes=15))] == ["rich", "poor"]
    assert [miss.attribute[14:] for miss in found(state, Query("w", NOW, session_minutes=600))] == ["poor", "rich"]


def test_given_more_ways_than_are_told_then_three_come() -> None:
    state = market(*({"requirements": [clause(f"qualification:q{number}")]} for number in range(9)))
    assert len(found(state)) == 3


def test_given_rewards_in_rupiah_then_pay_is_told_in_rupiah_and_in_the_language_asked_for() -> None:
    reward = {"amount": "6100", "currency": "IDR"}
    state = market({"requirements": [clause("qualification:q")], "reward": reward})
    (miss,) = found(state, Query("w", NOW, locale="id"))
    assert miss.text == "Ambil kualifikasi q: 1 tugas, sekitar Rp 54.900 per jam"


def test_given_a_minimum_per_hour_then_what_pays_less_is_not_told() -> None:
    state = market({"requirements": [clause("qualification:q")]})
    assert found(state, Query("w", NOW, wishes=Wishes(min_hourly=8.0)))
    assert not found(state, Query("w", NOW, wishes=Wishes(min_hourly=10.0)))


def test_given_no_pay_is_known_then_the_count_is_told_alone() -> None:
    state = market({"requirements": [clause("qualification:q")], "reward": None})
    assert [(miss.expected_hourly, miss.text) for miss in found(state)] == [(None, "Take the qualification q: 1 task")]


def test_given_nobody_knows_the_worker_then_a_test_can_still_be_taken() -> None:
    # Not for the second task: with a profile that tells of the test, the worker would have to speak English as well.
    asked = [clause("qualification:q")]
    state = market({"requirements": asked}, {"requirements": asked, "languages": ["en"]})
    assert told(found(state, Query("newcomer", NOW))) == [("qualification:q", "exists", None, 1)]


def test_given_nobody_knows_the_worker_then_approvals_and_a_device_make_no_profile() -> None:
    asked = [clause("approved_count", "ge", value=1)], [clause("device", "eq", value="phone")]
    state = market(*({"requirements": each, "countries": ["ID"]} for each in asked))
    assert told(found(state, Query("newcomer", NOW))) == [
        ("approved_count", "ge", 1, 1),
        ("device", "eq", "phone", 1),
    ]


def test_given_the_wrong_level_of_a_skill_then_the_right_one_is_told_whichever_is_higher() -> None:
    state = market({"requirements": [clause("skill:a", "eq", value=0.5)]}, skills={"a": 0.8})
    (miss,) = found(state)
    assert miss.text == "Have the level 0.5 in a: 1 task, about USD 9.00 an hour"


def test_given_a_feed_then_its_first_page_with_reasons_tells_them() -> None:
    state = market({"requirements": [clause("qualification:q")]}, {}, {})
    first = Matcher().feed(state, FallbackRanker(), Query("w", NOW, limit=1))
    assert len(first.near_misses) == 1
    assert not Matcher().feed(state, FallbackRanker(), Query("w", NOW, listed=first.listed)).near_misses
    assert not Matcher().feed(state, FallbackRanker(), Query("w", NOW, explain=False)).near_misses


def test_given_tasks_that_are_taken_hidden_or_left_out_then_they_do_not_count() -> None:
    log = Log().add("worker_updated", worker_id="w")
    for number in range(5):
        log.post(f"t{number}", requirements=[clause("qualification:q")])
    state = log.take("w", "t0").on("task_hidden", "w", "t1").state()
    assert told(found(state)) == [("qualification:q", "exists", None, 3)]
    excluding = Query("w", NOW, wishes=Wishes(excluded=frozenset({"t1", "t2"})))
    assert told(found(state, excluding)) == [("qualification:q", "exists", None, 2)]


def test_given_a_well_paid_task_of_unknown_time_then_it_counts_as_taking_as_long_as_others() -> None:
    asked = {"requirements": [clause("qualification:q")], "estimated_minutes": 10}
    usual = [{**asked, "reward": usd(1)}] * 20
    (without,) = found(market(*usual, verdicts=["approved"]))
    (with_it,) = found(market(*usual, {**asked, "reward": usd(9), "estimated_minutes": None}, verdicts=["approved"]))
    assert without.expected_hourly is not None
    assert with_it.expected_hourly is not None
    assert float(with_it.expected_hourly.amount) > 1.5 * float(without.expected_hourly.amount)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_given_any_tasks_then_the_best_paid_of_each_change_are_sought(data: st.DataObject) -> None:
    # Where nobody states a time, a session stands for it.
    minutes_of = data.draw(st.sampled_from([st.none(), st.sampled_from([5, 10, 20])]))
    posting = st.fixed_dictionaries(
        {
            "requirements": st.sampled_from([[clause(f"qualification:{name}")] for name in "abc"]),
            "requester_id": st.sampled_from("rs"),
            "reward": st.none() | st.integers(0, 9).map(usd),
            "estimated_minutes": minutes_of,
            "slots": st.just(1) | st.none(),
        }
    )
    log = Log().add("worker_updated", worker_id="w")
    for number, fields in enumerate(data.draw(st.lists(posting, min_size=1, max_size=80))):
        log.post(f"t{number}", **fields)
        # Whatever leaves again must not be missed, nor found.
        match data.draw(st.sampled_from(["stays", "stays", "full", "closed", "hidden", "raised"])):
            case "full":
                log.take("other", f"t{number}")
            case "closed":
                log.add("task_closed", task_id=f"t{number}")
            case "hidden":
                log.on("task_hidden", "w", f"t{number}")
            case "raised":
                log.add("task_updated", task_id=f"t{number}", reward=usd(12))
    state = log.state()
    worker, wanted = state.catalogue.workers.get("w"), data.draw(st.sampled_from([10.0, 60.0]))
    judgement = judge_open(state, worker, NOW)
    sought = seek(state, Query("w", NOW, session_minutes=wanted), judgement)
    starts = [0, *sought.ends.tolist()]
    for place, start, end in zip(sought.chosen.tolist(), starts, sought.ends.tolist(), strict=False):
        offers = sought.found.offers[(sought.found.by >> place & 1).astype(bool)]
        opened = np.flatnonzero(np.isin(judgement.places, 2 * offers) & (judgement.own.bits == 0))
        facts = state.arrays.tasks["facts"][judgement.tasks[opened]]
        minutes = np.nan_to_num(facts["stated_minutes"].astype(float), nan=wanted)
        hourly = np.nan_to_num(facts["reward"] / minutes)
        best = np.argsort(-hourly, kind="stable")[: np.count_nonzero(hourly)]
        needed = min(int(np.searchsorted(np.cumsum(minutes[best]), SPARE * wanted)) + 1, TASKS_SCORED)
        assert sought.tasks[start:end].tolist() == judgement.tasks[opened[best[:needed]]].tolist()


@settings(max_examples=300, deadline=None)
@given(PROFILES, st.lists(TREES, min_size=1, max_size=4))
def test_given_any_requirements_then_whoever_does_what_is_told_is_let_into_so_many_more(
    profile: Json | None, requirements: list[Any]
) -> None:
    # Each tree twice, since what is found of a tree serves all signatures that have it.
    postings = [
        {"requirements": tree, "languages": languages}
        for place, tree in enumerate(requirements)
        for languages in ((["en"], ["de"]) if place % 2 else (None, ["en"]))
    ]
    before = market_of(profile, *postings)
    open_before = kept(before)
    for miss in found(before, replace(Query("w", NOW), session_minutes=30)):
        if miss.attribute in ("approval_rate", "approved_count"):
            continue
        if profile is None and miss.attribute == "device":
            after = kept(before, Wishes(device=str(miss.value)))
        else:
            after = kept(market(*postings, **improved(profile, miss)))
        assert len(after - open_before) == miss.tasks


@settings(max_examples=60, deadline=None)
@given(
    PROFILES,
    st.lists(TREES, min_size=1, max_size=3),
    st.lists(st.sampled_from(["approved", "rejected"]), max_size=3),
    st.none() | st.just("phone"),
)
def test_given_any_requirements_then_a_change_opens_what_it_would_by_itself(
    profile: Json | None, requirements: list[Any], verdicts: list[str], device: str | None
) -> None:
    postings = [
        {"requirements": tree, **sets}
        for tree in requirements
        for sets in ({}, {"languages": ["en", "ja"]}, {"devices": ["desktop"]}, {"devices": ["Phone"], "slots": 2})
    ]
    alone: dict[Change, set[str]] = {}
    for place, tree in enumerate(requirements):
        clauses = list(parse(tree).clauses())
        for change in changes_of(clauses[0]) if len(clauses) == 1 else ():
            alone.setdefault(change, set()).update(f"t{4 * place + posting}" for posting in range(4))
    before = market_of(profile, *postings, verdicts=verdicts)
    worker, wishes = before.catalogue.workers.get("w"), Wishes(device=device)
    judgement = judge_open(before, worker, NOW, wishes)
    openings_found = openings(judgement, before.arrays.workers[worker], in_hand=device is not None)
    considered = {place: k for k, place in enumerate(openings_found.changes.tolist())}
    for place, change in enumerate(judgement.compiled.changes.distinct):
        k = considered.get(place)
        if change.attribute in APPROVALS:
            if k is None:
                continue
            more = ["approved"] * int(openings_found.approvals[k])
            after, changed = market_of(profile, *postings, verdicts=[*verdicts, *more]), wishes
        elif change.attribute == "device" and (device is not None or profile is None):
            after, changed = before, Wishes(device=str(change.value))
        else:
            after, changed = market(*postings, verdicts=verdicts, **improved(profile, change)), wishes
        opened = kept(after, changed) - kept(before, wishes)
        if k is not None:
            assert openings_found.counts[k] == len(opened)
            offers = openings_found.offers[(openings_found.by >> k & 1).astype(bool)]
            by_offer = np.isin(judgement.places, 2 * offers)
            assert set(before.catalogue.tasks.externals(judgement.tasks[by_offer].tolist())) == opened
        elif len(considered) < CONSIDERED:
            # A task that asks for this alone waits for it, so that it is tried.
            assert not opened & alone.get(change, set())


def kept(state: MarketState, wishes: Wishes | None = None) -> set[str]:
    found = judge_open(state, state.catalogue.workers.get("w"), NOW, wishes).kept.tolist()
    return set(state.catalogue.tasks.externals(found))


def improved(profile: Json | None, miss: NearMiss | Change) -> Json:
    """The profile of a worker who did what a near miss tells."""
    profile = profile or {}
    kind, _, name = miss.attribute.partition(":")
    if kind == "qualification":
        value = miss.value
        if isinstance(value, int | float):
            value = int(value // 1) + 1 if miss.comparator == "gt" else -int(-value // 1)
        return {**profile, "qualifications": {**profile.get("qualifications", {}), name: value}}
    if kind == "skill":
        skills = profile.get("skills", [])
        levels = dict(skills) if isinstance(skills, Mapping) else dict.fromkeys(skills, 1.0)
        level = max(0.0, float(miss.value)) if miss.value is not None and miss.comparator in ("ge", "eq") else 1.0
        others = {skill: level for skill, level in levels.items() if skill.strip().lower() != name.lower()}
        return {**profile, "skills": {**others, name: level}}
    field = {"language": "languages", "device": "devices"}[kind]
    return {**profile, field: [*profile.get(field, []), miss.value]}
