"""The matcher: full pages of what may be taken, nothing twice, nothing missing, nothing silently gone."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UnsetType

from features.events import (
    AssignmentAbandoned,
    AssignmentAccepted,
    AssignmentReturned,
    Event,
    TaskClosed,
    TaskHidden,
    TaskPosted,
    TaskUpdated,
    WorkerErased,
    instant,
    micros,
)
from features.spec import COLUMN, GROUPS
from features.state import MarketState
from matching.eligibility import Wishes, judge
from matching.explain import _RULES
from matching.fallback import FallbackRanker
from matching.judgement import codes_of
from matching.number_format import LOCALES, money
from matching.offline import Request, rank
from matching.pipeline import Feed, Item, Matcher, feed_steps, open_at
from matching.query import Query
from matching.scoring import Ranker
from tests.log import RATES, WORKERS, Entry, Log, folded, hour, logs, usd
from tests.market import batches, entries, ranker_of, usual, usual_bundle

FALLBACK = FallbackRanker()
NOW = hour(2)
GROUP_OF = {rule.code: rule.group for rule in _RULES}


@pytest.fixture(scope="module")
def model() -> Ranker:
    return ranker_of(usual_bundle())


@cache
def crowd(count: int = 400) -> MarketState:
    """Many open tasks: every tenth is closed, every seventh full, every fifth pays below a dollar."""
    log = Log().add("worker_updated", worker_id="w", skills=["python"])
    for number in range(count):
        log.post(
            f"t{number}",
            requester_id=f"r{number % 40}",
            reward=usd(0.5 if number % 5 == 0 else 1 + number % 13),
            slots=1 if number % 7 == 0 else 4,
            category="audio" if number % 2 else "text",
            estimated_minutes=10,
        )
        if number % 7 == 0:
            log.take("somebody", f"t{number}")
    for number in range(0, count, 10):
        log.add("task_closed", 1.0, task_id=f"t{number}")
    return log.state()


def test_given_pages_one_after_the_other_then_none_shows_in_the_next(model: Ranker) -> None:
    state, matcher = crowd(), Matcher(shortlist=20)

    def answered(feed: Feed) -> list[tuple[str, float]]:
        return [(item.task_id, item.score) for item in feed.items]

    for query in (Query(worker, at, 10) for at in (NOW, hour(9)) for worker in ("w", "somebody", "nobody")):
        # Another thread has nothing of earlier pages in its memory.
        with ThreadPoolExecutor(1) as fresh:
            expected = fresh.submit(matcher.feed, state, model, query).result()
        assert answered(matcher.feed(state, model, query)) == answered(expected)


def eligible(state: MarketState, query: Query) -> set[str]:
    """What the worker may take, task by task."""
    worker = state.catalogue.workers.get(query.worker_id)
    tasks = open_at(state, query.now)
    against = judge(state, worker, tasks, query.now, query.wishes).bits
    return {state.catalogue.tasks.external(task) for task in tasks[against == 0].tolist()}


def pages(matcher: Matcher, state: MarketState, ranker: Ranker, query: Query) -> list[Feed]:
    found = [matcher.feed(state, ranker, query)]
    while found[-1].more:
        assert len(found) < 100
        found.append(matcher.feed(state, ranker, replace(query, listed=found[-1].listed)))
    return found


def names(feed: Feed) -> list[str]:
    return [item.task_id for item in feed.items]


@pytest.mark.parametrize("limit", [1, 20, 60, 200])
def test_given_enough_eligible_tasks_then_the_page_is_full(limit: int) -> None:
    state = crowd()
    feed = Matcher().feed(state, FALLBACK, Query("w", NOW, limit=limit))
    assert len(feed.items) == limit
    assert [item.position for item in feed.items] == list(range(1, limit + 1))
    assert set(names(feed)) <= eligible(state, Query("w", NOW))
    assert feed.more


def test_given_a_page_longer_than_the_shortlist_then_it_is_full_all_the_same() -> None:
    assert len(Matcher(shortlist=10).feed(crowd(), FALLBACK, Query("w", NOW, limit=50)).items) == 50


@pytest.mark.parametrize("explore", [None, 3])
@pytest.mark.parametrize("limit", [7, 45])
def test_given_far_more_than_the_shortlist_then_pages_go_on_until_all_have_been_listed_once(
    limit: int, explore: int | None
) -> None:
    state = crowd()
    query = Query("w", NOW, limit=limit, explore=explore, explain=False)
    expected = eligible(state, query)
    assert len(expected) > 5 * 50
    found = pages(Matcher(shortlist=50), state, FALLBACK, query)
    listed = [name for feed in found for name in names(feed)]
    assert len(listed) == len(set(listed))
    assert set(listed) == expected
    assert all(len(feed.items) == limit for feed in found[:-1])
    assert [item.position for feed in found for item in feed.items] == list(range(1, len(expected) + 1))
    assert [feed.more for feed in found] == [True] * (len(found) - 1) + [False]


def test_given_exactly_as_many_as_asked_for_then_there_is_no_more() -> None:
    state = crowd()
    count = len(eligible(state, Query("w", NOW)))
    assert not Matcher().feed(state, FALLBACK, Query("w", NOW, limit=count)).more
    assert Matcher().feed(state, FALLBACK, Query("w", NOW, limit=count - 1)).more


def test_given_tasks_taken_between_two_pages_then_what_is_left_still_comes() -> None:
    log = Log()
    for number in range(12):
        log.post(f"t{number}", requester_id=f"r{number}", reward=usd(1))
    first = Matcher().feed(log.state(), FALLBACK, Query("w", NOW, limit=6))
    for name in names(first)[:4]:
        log.take("w", name, 1.0)
    rest = pages(Matcher(), log.state(), FALLBACK, Query("w", NOW, limit=2, listed=first.listed))
    listed = [name for feed in rest for name in names(feed)]
    assert sorted([*listed, *names(first)]) == sorted(f"t{number}" for number in range(12))
    assert [item.position for feed in rest for item in feed.items] == list(range(7, 13))


def test_given_wishes_then_a_page_is_full_and_the_removed_are_counted_by_reason() -> None:
    state = crowd()
    excluded = frozenset({"t1", "t3", "t9", "no such task"})
    wishes = Wishes(min_reward=1.0, categories=frozenset({"audio"}), excluded=excluded)
    feed = Matcher().feed(state, FALLBACK, Query("w", NOW, limit=60, wishes=wishes))
    assert len(feed.items) == 60
    still_open = [number for number in range(400) if number % 10]
    expected = Counter(
        {
            "full": sum(number % 7 == 0 for number in still_open),
            "min_reward": sum(number % 5 == 0 for number in still_open),
            "category": sum(number % 2 == 0 for number in still_open),
            "excluded": 3,
        }
    )
    assert feed.removed == dict(expected)
    for name in names(feed):
        number = int(name[1:])
        assert number % 2
        assert number % 5
        assert number % 7
        assert name not in excluded


def test_given_nothing_that_may_be_taken_then_the_page_is_empty_and_says_why() -> None:
    state = Log().post("t", slots=0).post("u", reward=usd(1)).take("w", "u").state()
    for explore in (None, 1):
        feed = Matcher().feed(state, FALLBACK, Query("w", NOW, explore=explore))
        assert (list(feed.items), feed.removed, feed.more) == ([], {"full": 1, "already_taken": 1}, False)
    empty = Matcher().feed(MarketState(RATES), FALLBACK, Query("w", NOW))
    assert (list(empty.items), empty.removed, empty.more) == ([], {}, False)


def test_given_hashes_listed_before_then_these_tasks_do_not_come_again() -> None:
    state = crowd()
    whole = Matcher().feed(state, FALLBACK, Query("w", NOW, limit=40))
    first = Matcher().feed(state, FALLBACK, Query("w", NOW, limit=15))
    second = Matcher().feed(state, FALLBACK, Query("w", NOW, limit=15, listed=first.listed))
    assert names(first) == names(whole)[:15]
    assert not set(names(first)) & set(names(second))
    assert len(second.listed) == 30
    assert second.listed[:15] == first.listed


@pytest.mark.parametrize("limit", [1, 3, 5, 20])
def test_given_pages_then_no_more_than_three_of_a_requester_stand_among_ten_positions(limit: int) -> None:
    log = Log()
    for number in range(12):
        log.post(f"a{number}", requester_id="A", reward=usd(50), estimated_minutes=6)
    for number in range(40):
        log.post(f"b{number}", requester_id=f"B{number}", reward=usd(1), estimated_minutes=6)
    found = pages(Matcher(), log.state(), FALLBACK, Query("w", NOW, limit=limit))
    order = "".join(name[0] for feed in found for name in names(feed))
    assert order.startswith("aaabbbbbbbaaabbbbbbbaaabbbbbbbaaabbbbbbb")


def test_given_the_worker_took_what_was_listed_then_it_still_counts_and_what_closed_does_not() -> None:
    log = Log()
    for number in range(6):
        log.post(f"a{number}", requester_id="A", reward=usd(50), estimated_minutes=6, slots=1)
    for number in range(9):
        log.post(f"b{number}", requester_id=f"B{number}", reward=usd(1), estimated_minutes=6)
    state = log.state()
    first = Matcher().feed(state, FALLBACK, Query("w", NOW, limit=3))
    assert [name[0] for name in names(first)] == ["a"] * 3
    query = Query("w", NOW, limit=3, listed=first.listed)
    for kind, then in (("assignment_accepted", "bbb"), ("task_closed", "abb")):
        before = len(log.entries)
        worker = {"worker_id": "w"} if kind == "assignment_accepted" else {}
        state.apply(log.add(kind, 1.0, task_id=names(first)[0], **worker).entries[before:])
        assert "".join(name[0] for name in names(Matcher().feed(state, FALLBACK, query))) == then


def test_given_a_worker_nobody_knows_then_there_is_a_full_feed_with_reasons(model: Ranker) -> None:
    state = folded(entries(usual()[0]))
    now = int(state.arrays.market["clock"][0])
    for ranker in (FALLBACK, model):
        feed = Matcher().feed(state, ranker, Query("somebody new", now, limit=10))
        assert len(feed.items) == 10
        for item in feed.items:
            assert np.isfinite(item.score)
            assert item.reasons
            assert item.propensity == 1
            assert item.expected_hourly is not None
            assert item.p_approve is not None
            assert 0 <= item.p_approve <= 1


def test_given_a_feed_then_scores_fall_and_exploring_draws_from_its_seed(model: Ranker) -> None:
    state = folded(entries(usual()[0]))
    now = int(state.arrays.market["clock"][0])
    query = Query("w1", now, limit=8)
    plain = Matcher(steps=()).feed(state, model, query)
    scores = [item.score for item in plain.items]
    assert scores == sorted(scores, reverse=True)
    drawn = [Matcher().feed(state, model, replace(query, explore=seed)) for seed in (1, 1, 2, 3)]
    assert names(drawn[0]) == names(drawn[1])
    assert len({tuple(names(feed)) for feed in drawn}) > 1
    assert all(0 < item.propensity <= 1 for feed in drawn for item in feed.items)
    assert all(min(item.propensity for item in feed.items) < 1 for feed in drawn)


def test_given_a_weight_of_pay_then_feeds_pay_more_at_the_top_and_rankings_stay_in_order_of_score(
    model: Ranker,
) -> None:
    state = folded(entries(usual()[0]))
    now = int(state.arrays.market["clock"][0])
    candidates = [state.catalogue.tasks.external(task) for task in open_at(state, now).tolist()]
    queries = [Query(worker, now, limit=10) for worker in state.catalogue.workers.ids() if worker]
    hourly, rankings = [], []
    for weight in (0.0, 0.5, 50.0):
        matcher = Matcher(feed_steps(weight))
        feeds = [matcher.feed(state, model, query) for query in queries]
        # Of everybody's: one worker's may hold the same tasks under two weights.
        hourly.append(np.mean([float(item.row[COLUMN["hourly"]]) for feed in feeds for item in feed.items]))
        rankings.append(
            [[item.task_id for item in matcher.ranking(state, model, query, candidates)[0]] for query in queries]
        )
    assert hourly[0] < hourly[1] < hourly[2]
    assert rankings[0] == rankings[1] == rankings[2]


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_given_a_task_posted_with_more_reward_then_it_never_stands_lower_in_a_feed(
    model: Ranker, weight: float
) -> None:
    places = []
    for reward in (0.1, 0.5, 1, 2, 4, 8, 50):
        log = Log().post("one", requester_id="r", reward=usd(reward), estimated_minutes=10)
        for number in range(30):
            log.post(f"t{number}", requester_id=f"r{number}", reward=usd(1 + number % 7), estimated_minutes=10)
        feed = Matcher(feed_steps(weight)).feed(log.state(), model, Query("w", NOW, limit=31))
        places.append(names(feed).index("one"))
    assert places == sorted(places, reverse=True)
    assert places[0] > places[-1]


def test_given_a_locale_then_reasons_are_in_it_and_without_explain_there_are_none() -> None:
    state = crowd()
    english, indonesian, silent = (
        Matcher().feed(state, FALLBACK, Query("w", NOW, limit=3, locale=locale, explain=explain)).items
        for locale, explain in (("en", True), ("id", True), ("en", False))
    )
    for one, other, none in zip(english, indonesian, silent, strict=True):
        assert [reason.code for reason in one.reasons] == [reason.code for reason in other.reasons]
        assert {reason.text for reason in one.reasons}.isdisjoint({reason.text for reason in other.reasons})
        assert list(none.reasons) == []


def test_given_contributions_asked_for_then_items_have_them_by_group(model: Ranker) -> None:
    state = folded(entries(usual()[0]))
    now = int(state.arrays.market["clock"][0])
    plain, asked = (
        Matcher().feed(state, model, Query("w1", now, limit=8, contributions=contributions)).items
        for contributions in (False, True)
    )
    assert all(item.contributions is None for item in plain)
    assert [item.reasons for item in plain] == [item.reasons for item in asked]
    for item in asked:
        assert item.contributions is not None
        assert list(item.contributions) == list(GROUPS)
        lifting = {GROUP_OF[reason.code] for reason in item.reasons if reason.code != "open"}
        assert all(item.contributions[group] > 0 for group in lifting)


@pytest.mark.parametrize("locale", LOCALES)
def test_given_a_feed_then_no_reason_contradicts_the_figures_of_its_item(model: Ranker, locale: str) -> None:
    state = folded(entries(usual()[0]))
    now = int(state.arrays.market["clock"][0])
    told: Counter[str] = Counter()
    for worker in [f"w{number}" for number in range(12)] + ["somebody new"]:
        for item in Matcher().feed(state, model, Query(worker, now, session_minutes=25, locale=locale)).items:
            reward = state.catalogue.postings[state.catalogue.tasks.get(item.task_id)].reward
            assert reward is not None
            assert item.expected_hourly is not None
            assert item.expected_minutes is not None
            for reason in item.reasons:
                told[reason.code] += 1
                if reason.code in ("pays_well_per_hour", "meets_expectation", "pay_per_hour"):
                    assert money(item.expected_hourly, locale) in reason.text
                if reason.code == "high_reward":
                    assert money(reward, locale) in reason.text
                if reason.code == "fits_session":
                    assert item.expected_minutes <= 25
                    assert str(round(item.expected_minutes)) in reason.text.split()
    assert {"pays_well_per_hour", "pay_per_hour", "high_reward", "fits_session"} <= set(told)


def test_given_minutes_of_this_session_then_they_count_and_not_those_of_the_profile() -> None:
    log = Log().add("worker_updated", worker_id="w", session_minutes=5)
    log.post("t", estimated_minutes=20)

    def codes(session: float) -> set[str]:
        feed = Matcher().feed(log.state(), FALLBACK, Query("w", hour(20), session_minutes=session))
        return {reason.code for reason in feed.items[0].reasons}

    assert "fits_session" not in codes(float("nan"))
    assert "fits_session" in codes(60)


def forbidden(log: list[Entry], worker_id: str, name: str, now: int) -> bool:
    """Tell from the events alone whether a task is gone, or the worker has taken or hidden it."""
    posted, closed, expires = False, False, None
    mine: Counter[type[Event]] = Counter()
    for _, _, event in log:
        if isinstance(event, WorkerErased) and event.worker_id == worker_id:
            mine.clear()
        elif getattr(event, "task_id", None) != name:
            continue
        elif isinstance(event, TaskPosted):
            posted, closed, expires = True, False, event.expires_at
        elif isinstance(event, TaskUpdated) and not isinstance(event.expires_at, UnsetType):
            expires = event.expires_at
        elif isinstance(event, TaskClosed):
            closed = True
        elif getattr(event, "worker_id", None) == worker_id:
            mine[type(event)] += 1
    expired = expires is not None and micros(expires) <= now
    taken = mine[AssignmentAbandoned] or mine[AssignmentAccepted] > mine[AssignmentReturned]
    return bool(not posted or closed or expired or taken or mine[TaskHidden])


@given(log=logs(), worker=WORKERS | st.just("nobody"), later=st.sampled_from([0.0, 1.0, 700.0]))
@settings(deadline=None, max_examples=80)
def test_given_any_log_then_a_feed_is_all_that_may_be_taken_and_nothing_else(
    log: list[Entry], worker: str, later: float
) -> None:
    state = folded(log)
    now = log[-1][1] + 1 + round(later * 3_600_000_000)
    feed = Matcher().feed(state, FALLBACK, Query(worker, now, limit=200))
    listed = names(feed)
    index = state.catalogue.workers.get(worker)
    for task in range(1, len(state.catalogue.tasks)):
        name = state.catalogue.tasks.external(task)
        if not name:
            continue
        against = int(judge(state, index, np.array([task], np.int32), now).bits[0])
        assert (name in listed) == (against == 0), codes_of(against)
    assert len(listed) == len(set(listed))
    assert not feed.more
    assert all(item.reasons and item.propensity == 1 for item in feed.items)
    assert not [name for name in listed if forbidden(log, worker, name, now)]


@pytest.mark.parametrize("eligibility", [True, False])
def test_given_candidates_then_all_are_ranked_or_removed_and_offline_says_the_same(
    model: Ranker, eligibility: bool
) -> None:
    log = entries(usual()[0])
    state = folded(log)
    now = log[-1][1] + 1
    candidates = (*(f"t{number}" for number in range(279, 180, -3)), "nowhere", "t0")
    for worker in ("w1", "w7", "nobody"):
        items, removed = Matcher().ranking(state, model, Query(worker, now), candidates, eligibility=eligibility)
        assert sorted([item.task_id for item in items] + [name for name, _ in removed]) == sorted(candidates)
        assert [item.position for item in items] == list(range(1, len(items) + 1))
        scores = [item.score for item in items]
        assert scores == sorted(scores, reverse=True)
        assert all(codes for _, codes in removed)
        assert bool(removed) == eligibility
        request = Request(request_id="q", at=instant(now), worker_id=worker, candidates=candidates)
        (offline,) = rank(batches(log), RATES, model, [request], eligibility=eligibility)
        assert [told(item) for item in items] == [told(item) for item in offline.items]
        assert offline.removed == [{"task_id": name, "reasons": codes} for name, codes in removed]


def told(item: Item) -> tuple[object, ...]:
    return item.task_id, item.score, item.p_accept, item.p_approve, item.expected_minutes, item.expected_hourly


def test_given_candidates_that_may_not_be_taken_then_each_has_its_reasons() -> None:
    log = Log().post("open").post("full", slots=0).post("mine").post("shut").take("w", "mine")
    log.add("task_closed", 1.0, task_id="shut")
    candidates = ["shut", "open", "nowhere", "mine", "full"]
    items, removed = Matcher().ranking(log.state(), FALLBACK, Query("w", NOW), candidates)
    assert [item.task_id for item in items] == ["open"]
    assert removed == [
        ("shut", ["closed"]),
        ("nowhere", ["unknown_task"]),
        ("mine", ["already_taken"]),
        ("full", ["full"]),
    ]


def test_given_more_candidates_than_the_shortlist_then_every_one_is_scored() -> None:
    state = crowd()
    candidates = sorted(eligible(state, Query("w", NOW)))
    items, removed = Matcher(shortlist=10).ranking(state, FALLBACK, Query("w", NOW, limit=5), candidates)
    assert (len(items), removed) == (len(candidates), [])
