"""Reasons: always one, in the language asked for, and none that the figures of its item contradict."""

import math
import re
from string import Formatter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.build import rows
from features.spec import COLUMN, NAMES
from features.state import MarketState
from matching.explain import _RULES, CODES, LOCALES, Reason, reasons
from tests.log import Log, hour, usd

NUMBER = re.compile(r"\d+")


def row(**values: float) -> np.ndarray:
    """A row of which only these columns are known."""
    found = np.full(len(NAMES), np.nan, np.float32)
    for name, value in values.items():
        found[COLUMN[name]] = value
    return found


def told(features: np.ndarray, p_approve: float = 0.9, minutes: float = math.nan, locale: str = "en") -> dict[str, str]:
    return {reason.code: reason.text for reason in reasons(features, p_approve, minutes, locale)}


def seen(state: MarketState, task: str, worker: str = "w", at: float = 1.0, session: float = math.nan) -> np.ndarray:
    """The row of a task for a worker, as the builder computes it."""
    catalogue = state.catalogue
    tasks = np.array([catalogue.tasks.get(task)], np.int32)
    return rows(state, catalogue.workers.get(worker), tasks, hour(at), session)[0]


EACH: dict[str, tuple[np.ndarray, float]] = {
    "skills": (row(skill_overlap=1.0, skill_count=2.0), math.nan),
    "similar_tasks": (row(affinity=2.0, popularity=0.5, worker_accepts_slow=2.0), math.nan),
    "pays_well_per_hour": (row(hourly_rank=0.9), math.nan),
    "high_reward": (row(reward_rank=0.9), math.nan),
    "meets_expectation": (row(reward=2.0, hourly=3.0, hourly_against_declared=1.0, minutes=3.0), 10.0),
    "popular": (row(popularity_rank=0.95), math.nan),
    "reliable_requester": (row(requester_approval=0.05, market_approval=0.93, requester_hours=1.0), math.nan),
    "fits_session": (row(session_fit=0.5, minutes=2.0), 7.0),
    "new": (row(task_age_hours=0.5), math.nan),
    "last_slots": (row(slots_left=math.log1p(2)), math.nan),
    "open": (row(), math.nan),
}
"""For every code a row that has it and no other."""

TEXTS = {rule.code: {"en": rule.en, "id": rule.id} for rule in _RULES} | {
    "open": {locale: told(row(), locale=locale)["open"] for locale in LOCALES}
}
ENGLISH = {"the", "you", "it", "of", "and", "is", "are", "left", "your", "open", "reward", "hour", "new", "min"}


def test_every_code_has_a_row_in_these_tests() -> None:
    assert list(EACH) == list(CODES)
    assert len(set(CODES)) == len(CODES)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("code", CODES)
def test_given_a_row_with_a_reason_then_it_is_told_completely_in_the_language(code: str, locale: str) -> None:
    features, minutes = EACH[code]
    found = told(features, minutes=minutes, locale=locale)
    assert list(found) == [code]
    assert found[code].strip()
    assert not set("{}") & set(found[code])
    assert "nan" not in found[code].split()


@pytest.mark.parametrize("code", CODES)
def test_the_languages_say_the_same_with_words_of_their_own(code: str) -> None:
    english, indonesian = TEXTS[code]["en"], TEXTS[code]["id"]
    named = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in (english, indonesian)]
    assert named[0] == named[1]
    words = set(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", "", indonesian).lower()))
    assert words
    assert not words & ENGLISH


VALUES = st.sampled_from([math.nan, -3.0, -0.5, 0.0, 0.4, 0.5, 0.69, 0.7, 0.71, 0.8, 0.95, 1.0, 1.3862944, 2.0, 6.0])
RANDOM_ROWS = st.lists(VALUES, min_size=len(NAMES), max_size=len(NAMES)).map(lambda v: np.array(v, np.float32))
FIGURES = {
    "p_approve": st.sampled_from([0.0, 0.001, 0.3, 0.9, 1.0]) | st.just(math.nan),
    "minutes": st.sampled_from([0.2, 0.5, 1.0, 2.5, 7.49999, 30.0, 90.5, 4000.0, math.nan]),
    "locale": st.sampled_from(LOCALES),
}


@given(features=RANDOM_ROWS, **FIGURES)
@settings(deadline=None, max_examples=300)
def test_given_any_row_then_there_are_one_to_three_reasons_and_each_stands_once(
    features: np.ndarray, p_approve: float, minutes: float, locale: str
) -> None:
    found = reasons(features, p_approve, minutes, locale)
    assert 1 <= len(found) <= 3
    assert len({reason.code for reason in found}) == len(found)
    assert {reason.code for reason in found} <= set(CODES)
    assert all(reason.text and not set("{}") & set(reason.text) for reason in found)
    assert features.dtype == np.float32


@given(features=RANDOM_ROWS, **FIGURES)
@settings(deadline=None, max_examples=300)
def test_given_any_row_then_shares_never_exceed_the_ranks(
    features: np.ndarray, p_approve: float, minutes: float, locale: str
) -> None:
    for code, column in (("pays_well_per_hour", "hourly_rank"), ("high_reward", "reward_rank")):
        text = told(features, p_approve, minutes, locale).get(code)
        if text:
            (share,) = NUMBER.findall(text)
            assert 70 <= int(share) <= 100 * float(features[COLUMN[column]])


@st.composite
def dealt(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, float]]:
    """A row that hangs together, and the figures it was made of."""
    truth = {
        "session": draw(st.sampled_from([5.0, 15.0, 30.0, 120.0])),
        "counted": draw(st.sampled_from([3.0, 15.0, 100.0])),
        "declared": draw(st.sampled_from([0.5, 2.0, 6.0, 30.0])),
        "reward": draw(st.sampled_from([0.02, 0.5, 1.0, 12.0])),
        "approval": draw(st.sampled_from([0.02, 0.5, 0.95])),
        "slots": draw(st.integers(0, 6)),
        "known": draw(st.integers(0, 4)),
        "minutes": draw(st.floats(0.1, 300) | st.sampled_from([2.5, 29.5, 30.0, 30.5])),
        "p_approve": draw(st.floats(0.001, 1.0) | st.just(0.0)),
    }
    hourly = math.log(truth["reward"] * truth["approval"] * 60 / truth["counted"])
    features = row(
        session_fit=math.log(truth["session"] / truth["counted"]),
        minutes=math.log(truth["counted"]),
        reward=math.log(truth["reward"]),
        hourly=hourly,
        hourly_against_declared=hourly - math.log(truth["declared"]),
        slots_left=math.log1p(truth["slots"]),
        skill_count=4,
        skill_overlap=truth["known"] / 4,
    )
    return features, truth


@given(dealt=dealt())
@settings(deadline=None, max_examples=400)
def test_given_an_answer_other_than_the_counts_then_reasons_speak_of_the_answer(
    dealt: tuple[np.ndarray, dict[str, float]],
) -> None:
    features, truth = dealt
    # Without skills and slots two figures are left, and there is room for both.
    few = features.copy()
    few[[COLUMN["skill_overlap"], COLUMN["slots_left"]]] = np.nan
    minutes, session = truth["minutes"], truth["session"]
    found = told(few, truth["p_approve"], minutes)
    if not math.isclose(minutes, session, rel_tol=1e-5):
        assert ("fits_session" in found) == (minutes < session)
    if "fits_session" in found:
        assert NUMBER.findall(found["fits_session"]) == [str(max(1, round(minutes)))]
    hourly = truth["reward"] * truth["p_approve"] * 60 / minutes
    if not math.isclose(hourly, truth["declared"], rel_tol=1e-5):
        assert ("meets_expectation" in found) == (hourly > truth["declared"])


@given(dealt=dealt())
@settings(deadline=None, max_examples=100)
def test_given_slots_and_skills_then_the_numbers_told_are_these(dealt: tuple[np.ndarray, dict[str, float]]) -> None:
    features, truth = dealt
    found = told(features, 0.0, math.nan)
    assert ("last_slots" in found) == (1 <= truth["slots"] <= 3)
    if "last_slots" in found:
        assert found["last_slots"] == f"{truth['slots']} left"
    assert ("skills" in found) == (truth["known"] >= 2)
    if "skills" in found:
        assert NUMBER.findall(found["skills"]) == [str(truth["known"]), "4"]


def test_given_a_profile_and_a_history_then_the_skills_known_are_those() -> None:
    log = Log().add("worker_updated", worker_id="w", skills=["python", "audio"])
    log.post("asked", skills=["python", "audio", "sql", "rust"])
    log.post("past", skills=["sql"]).take("w", "past", 0.5)
    text = told(seen(log.state(), "asked"))["skills"]
    assert NUMBER.findall(text) == ["3", "4"]


def test_given_slots_taken_then_those_left_are_told() -> None:
    log = Log().post("t", slots=4).take("v", "t").take("u", "t")
    assert told(seen(log.state(), "t", at=20.0))["last_slots"] == "2 left"
    assert "last_slots" not in told(seen(Log().post("t", slots=4).state(), "t", at=20.0))
    assert "last_slots" not in told(seen(Log().post("t").state(), "t", at=20.0))


def test_given_one_task_taken_of_another_kind_then_nobody_is_told_to_take_such_tasks_often() -> None:
    log = Log().post("other", skills=["audio"]).post("liked", skills=["python"])
    for number in range(60):
        log.post(f"t{number}", skills=[f"skill {number}"])
    for number in range(30):
        log.take(f"v{number}", "liked", 0.1)
    log.take("w", "other", 0.2)
    features = seen(log.state(), "liked", at=0.3)
    assert features[COLUMN["affinity"]] > 0.3
    assert "similar_tasks" not in told(features)


def test_given_tasks_of_one_kind_taken_again_and_again_then_that_is_a_reason() -> None:
    log = Log()
    for number in range(12):
        log.post(f"p{number}", skills=["python"]).post(f"q{number}", skills=["sql"])
    for number in range(8):
        log.take("w", f"p{number}", 0.1).take("v", f"q{number}", 0.1)
    state = log.state()
    assert "similar_tasks" in told(seen(state, "p9", at=0.3))
    assert "similar_tasks" not in told(seen(state, "q9", at=0.3))


def test_given_many_tasks_of_the_same_pay_then_none_is_said_to_pay_more_than_its_equals() -> None:
    log = Log()
    for tier, (count, reward) in enumerate([(8, 0.1), (2, 1.0), (2, 2.0)]):
        for number in range(count):
            log.post(f"t{tier}{number}", reward=usd(reward), estimated_minutes=10)
    found = told(seen(log.state(), "t10", at=20.0), minutes=10.0)
    for code in ("pays_well_per_hour", "high_reward"):
        (share,) = NUMBER.findall(found.get(code, "0"))
        # Ten of the twelve pay as much or less, and eight less.
        assert int(share) <= 100 * 10 / 12
    assert "at least as much" in found["pays_well_per_hour"]


def test_given_several_reasons_then_the_strongest_stand_first() -> None:
    features = row(skill_overlap=1.0, skill_count=2, hourly_rank=0.99, task_age_hours=0.1, slots_left=math.log1p(1))
    found = reasons(features, 0.9, math.nan)
    assert [reason.code for reason in found] == ["skills", "pays_well_per_hour", "new"]
    weaker = row(skill_overlap=0.5, skill_count=2, hourly_rank=0.99)
    assert [reason.code for reason in reasons(weaker, 0.9, math.nan)] == ["pays_well_per_hour", "skills"]


def test_given_nothing_known_then_it_is_at_least_open() -> None:
    assert reasons(row(), math.nan, math.nan) == [Reason("open", "It is open to you now")]
    assert [reason.code for reason in reasons(row(), math.nan, math.nan, "id")] == ["open"]
