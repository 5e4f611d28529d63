"""Reasons: what lifts a task, told in the language asked for, and nothing that the figures of its item contradict."""

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from string import Formatter
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.build import rows
from features.money import Money
from features.spec import COLUMN, GROUPS, NAMES
from features.state import MarketState
from matching import explain
from matching.explain import _OPEN, _RULES, CODES, MOST, Figures, Reason, reasons
from matching.number_format import LOCALES, money
from tests.log import Log, hour, usd

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
EVEN = dict.fromkeys(GROUPS, 0.0)
"""Nothing makes a difference."""


def row(**values: float) -> np.ndarray:
    """A row of which only these columns are known."""
    found = np.full(len(NAMES), np.nan, np.float32)
    for name, value in values.items():
        found[COLUMN[name]] = value
    return found


def dollars(amount: str) -> Money:
    return Money(amount=Decimal(amount), currency="USD")


class Answer(NamedTuple):
    """What the answer says of a task."""

    p_approve: float
    minutes: float
    reward: Money | None = None
    hourly: Money | None = None


def page(*answers: Answer) -> Figures:
    """What the answers of a page say."""
    chances, minutes, rewards, hourly = zip(*answers, strict=True)
    return Figures(np.array(chances, np.float64), np.array(minutes, np.float64), rewards, hourly)


def reasons_of(
    features: np.ndarray, lifts: Mapping[str, float], answer: Answer, locale: str = "en"
) -> Sequence[Reason]:
    """The reasons of a page of one task."""
    (found,) = reasons(features[None], np.array([[lifts[group] for group in GROUPS]]), page(answer), locale)
    return found


def told(
    features: np.ndarray,
    answer: Answer = Answer(0.8, math.nan),  # noqa: B008
    locale: str = "en",
    **lifts: float,
) -> dict[str, str]:
    return {reason.code: reason.text for reason in reasons_of(features, EVEN | lifts, answer, locale)}


def seen(state: MarketState, task: str, worker: str = "w", at: float = 1.0, session: float = math.nan) -> np.ndarray:
    """The row of a task for a worker, as the builder computes it."""
    catalogue = state.catalogue
    tasks = np.array([catalogue.tasks.get(task)], np.int32)
    return rows(state, catalogue.workers.get(worker), tasks, hour(at), session)[0]


PAID = Answer(0.5, 10.0, dollars("3"), dollars("9"))
EACH: dict[str, tuple[np.ndarray, Answer]] = {
    "skills": (row(skill_overlap=1.0, skill_count=2.0), PAID),
    "similar_tasks": (row(affinity=2.0, popularity=0.5, worker_accepts_slow=2.0), PAID),
    "experience": (row(skill_experience=1.0), PAID),
    "taken_before": (row(task_taken=2.0), PAID),
    "saved": (row(task_saved=1.0), PAID),
    "same_batch": (row(group_taken=1.0), PAID),
    "track_record": (row(worker_approval=0.05), Answer(0.93, math.nan)),
    "opened": (row(task_viewed=1.0), PAID),
    "pays_well_per_hour": (row(reward=math.log(3), hourly=math.log(9), hourly_rank=0.9), PAID),
    "high_reward": (row(reward_rank=0.9), PAID),
    "meets_expectation": (
        row(reward=math.log(3), hourly=math.log(9), hourly_against_declared=1.0, minutes=math.log(10)),
        PAID,
    ),
    "pay_per_hour": (row(hourly=math.log(9)), PAID),
    "popular": (row(popularity_rank=0.95, popularity=1.0), PAID),
    "new": (row(task_age_hours=0.5), PAID),
    "last_slots": (row(slots_left=math.log1p(2)), PAID),
    "known_requester": (row(affinity_requester=1.0, worker_accepts_slow=2.0), PAID),
    "reliable_requester": (row(requester_approval=0.05, market_approval=0.93, requester_hours=9.0), PAID),
    "well_rated_requester": (row(requester_rating=4.26), PAID),
    "quick_approval": (row(requester_hours=1.0), PAID),
    "fits_session": (row(session_fit=0.5, minutes=2.0), Answer(0.5, 7.0)),
    "open": (row(), PAID),
}
"""For every code a row and figures by which it is the reason, if its group alone lifts the task."""

RULES = {rule.code: rule for rule in (*_RULES, _OPEN)}
TEXTS = {code: {"en": rule.en, "id": rule.id} for code, rule in RULES.items()}
ENGLISH = {"the", "you", "it", "of", "and", "is", "are", "left", "your", "open", "reward", "hour", "new", "min"}


def alone(code: str) -> dict[str, float]:
    """The group of a reason lifts, and all others pull down."""
    return {group: 1.0 if group == RULES[code].group else -1.0 for group in GROUPS}


def test_every_code_has_a_row_in_these_tests_and_every_group_a_code() -> None:
    assert list(EACH) == list(CODES)
    assert len(set(CODES)) == len(CODES)
    assert {rule.group for rule in _RULES} == set(GROUPS)


@pytest.mark.parametrize(("place", "rule"), list(enumerate(_RULES)), ids=[rule.code for rule in _RULES])
def test_kernels_find_each_rule_under_its_name(place: int, rule: Any) -> None:
    assert getattr(explain, f"_{rule.code.upper()}") == place


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("code", CODES)
def test_given_a_row_with_a_reason_then_it_is_told_completely_in_the_language(code: str, locale: str) -> None:
    features, figures = EACH[code]
    found = told(features, figures, locale, **alone(code))
    assert list(found) == [code]
    assert found[code].strip()
    assert not set("{}_") & set(found[code])
    assert not {"nan", "inf", "None"} & set(found[code].split())


@pytest.mark.parametrize("code", CODES)
def test_the_languages_say_the_same_with_words_of_their_own(code: str) -> None:
    english, indonesian = TEXTS[code]["en"], TEXTS[code]["id"]
    named = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in (english, indonesian)]
    assert named[0] == named[1]
    words = set(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", "", indonesian).lower()))
    assert words
    assert not words & ENGLISH


@pytest.mark.parametrize(
    ("code", "english", "indonesian"),
    [
        (
            "skills",
            "Skills it asks for that are in your profile or in tasks you took: 2 of 2",
            "Keahlian yang diminta dan ada di profil Anda atau di tugas yang pernah Anda ambil: 2 dari 2",
        ),
        (
            "similar_tasks",
            "You take tasks like this about 4.5 times as often as others do",
            "Anda mengambil tugas seperti ini sekitar 4,5 kali sesering orang lain",
        ),
        (
            "high_reward",
            "Its reward of USD 3.00 is at least that of about 90 % of the open tasks",
            "Upahnya USD 3,00, setara atau lebih tinggi daripada sekitar 90 % tugas yang terbuka",
        ),
        ("pay_per_hour", "About USD 9.00 an hour for you", "Sekitar USD 9,00 per jam untuk Anda"),
        (
            "track_record",
            "Going by your work so far, its chance of approval is about 93 %",
            "Melihat pekerjaan Anda selama ini, peluang disetujui sekitar 93 %",
        ),
        ("taken_before", "Times you have taken it before: 2", "Sudah 2 kali Anda ambil sebelumnya"),
        (
            "well_rated_requester",
            "Workers rate this requester 4.3 of 5",
            "Pekerja menilai pemberi tugas ini 4,3 dari 5",
        ),
        ("new", "Posted within the last 1 h", "Dipasang dalam 1 jam terakhir"),
        ("last_slots", "Slots left: 2", "Tersisa 2 tempat"),
    ],
)
def test_given_figures_then_they_stand_in_the_words_as_the_language_writes_them(
    code: str, english: str, indonesian: str
) -> None:
    features, figures = EACH[code]
    found = [told(features, figures, locale, **alone(code))[code] for locale in LOCALES]
    assert found == [english, indonesian]


@pytest.mark.parametrize(("rank", "share"), [(0.76, "75"), (0.95, "95"), (0.999, "95"), (1.0, "95")])
def test_given_the_rank_of_a_reward_then_it_is_told_in_steps_and_never_as_all(rank: float, share: str) -> None:
    text = told(row(reward_rank=rank), PAID, **alone("high_reward"))["high_reward"]
    assert NUMBER.findall(text)[-1] == share


def test_given_lifts_then_the_group_that_lifts_the_most_comes_first_and_none_that_pulls_down() -> None:
    features = row(skill_overlap=1.0, skill_count=2, reward_rank=0.99, task_age_hours=0.1, requester_rating=5.0)
    lifts = {"skill": 0.1, "pay": 0.3, "market": 0.2, "requester": -0.1}
    assert list(told(features, PAID, **lifts)) == ["high_reward", "new", "skills"]
    assert list(told(features, PAID, **lifts | {"pay": -0.3})) == ["new", "skills"]
    assert list(told(features, PAID, **lifts | {"requester": 0.15})) == ["high_reward", "new", "well_rated_requester"]


def test_given_a_group_that_lifts_then_its_strongest_rule_is_told() -> None:
    features = row(reward_rank=0.99, hourly=math.log(9), reward=math.log(3), hourly_rank=0.99)
    assert list(told(features, PAID, pay=1.0)) == ["pays_well_per_hour"]
    weaker = row(reward_rank=0.99, hourly=math.log(9), reward=math.log(3), hourly_rank=0.71)
    assert list(told(weaker, PAID, pay=1.0)) == ["high_reward"]


def test_given_no_rule_of_what_lifts_then_what_makes_no_difference_stands_in_before_it_is_open() -> None:
    features = row(skill_overlap=1.0, skill_count=2, task_age_hours=0.1)
    assert list(told(features, context=1.0)) == ["skills", "new"]
    assert list(told(features, context=1.0, skill=-0.1)) == ["new"]
    assert list(told(features, context=1.0, skill=-0.1, market=-0.1)) == ["open"]


VALUES = st.sampled_from([math.nan, -3.0, -0.5, 0.0, 0.4, 0.5, 0.69, 0.7, 0.71, 0.8, 0.95, 1.0, 1.3862944, 2.0, 6.0])
RANDOM_ROWS = st.lists(VALUES, min_size=len(NAMES), max_size=len(NAMES)).map(lambda v: np.array(v, np.float32))
RANDOM_LIFTS = st.fixed_dictionaries({group: st.sampled_from([-1.0, -1e-6, 0.0, 1e-6, 0.5, 2.0]) for group in GROUPS})
AMOUNTS = st.none() | st.sampled_from(["0", "0.01", "4.5", "99.996", "61000", "1234567.89"]).map(dollars)
FIGURES = st.builds(
    Answer,
    p_approve=st.sampled_from([0.0, 0.001, 0.3, 0.9, 1.0]) | st.just(math.nan),
    minutes=st.sampled_from([0.2, 0.5, 1.0, 2.5, 7.49999, 30.0, 90.5, 4000.0, math.nan]),
    reward=AMOUNTS,
    hourly=AMOUNTS,
)


@given(features=RANDOM_ROWS, lifts=RANDOM_LIFTS, figures=FIGURES, locale=st.sampled_from(LOCALES))
@settings(deadline=None, max_examples=300)
def test_given_any_task_then_it_has_a_reason_for_it_and_the_words_are_complete(
    features: np.ndarray, lifts: Mapping[str, float], figures: Answer, locale: str
) -> None:
    found = reasons_of(features, lifts, figures, locale)
    groups = [RULES[reason.code].group for reason in found if reason.code != "open"]
    assert 1 <= len(found) <= MOST
    assert len(set(groups)) == len(groups)
    assert bool(groups) != ("open" in {reason.code for reason in found})
    by_lift = [lifts[group] for group in groups]
    assert by_lift == sorted(by_lift, reverse=True)
    assert all(lift > 0 for lift in by_lift) or all(lift == 0 for lift in by_lift)
    for reason in found:
        assert reason.text
        assert not set("{}") & set(reason.text)
        words = set(re.findall(r"\w+", reason.text))
        assert not words & ({name for name in NAMES if "_" in name} | {"nan", "inf", "None"})


@given(features=RANDOM_ROWS, lifts=RANDOM_LIFTS, figures=FIGURES)
@settings(deadline=None, max_examples=400)
def test_given_any_task_then_the_figures_told_are_those_of_the_answer(
    features: np.ndarray, lifts: Mapping[str, float], figures: Answer
) -> None:
    found = told(features, figures, **lifts)
    for code in {"pays_well_per_hour", "meets_expectation", "pay_per_hour"} & set(found):
        assert figures.hourly is not None
        assert money(figures.hourly, "en") in found[code]
    if text := found.get("high_reward"):
        assert figures.reward is not None
        assert money(figures.reward, "en") in text
        *_, share = NUMBER.findall(text)
        assert 75 <= int(share) <= 100 * float(features[COLUMN["reward_rank"]]) + 1e-4
        assert int(share) % 5 == 0
    if text := found.get("track_record"):
        assert NUMBER.findall(text) == [str(math.floor(100 * figures.p_approve))]
    if text := found.get("fits_session"):
        assert NUMBER.findall(text)[0].replace(",", "") == str(max(1, round(figures.minutes)))


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
    minutes, session = truth["minutes"], truth["session"]
    hourly = truth["reward"] * truth["p_approve"] * 60 / minutes
    found = told(features, Answer(truth["p_approve"], minutes, hourly=dollars(f"{hourly:.2f}")), pay=2.0, context=1.0)
    if not math.isclose(minutes, session, rel_tol=1e-5):
        assert ("fits_session" in found) == (minutes < session)
    if not math.isclose(hourly, truth["declared"], rel_tol=1e-5):
        assert ("meets_expectation" in found) == (hourly > truth["declared"])


@given(dealt=dealt())
@settings(deadline=None, max_examples=100)
def test_given_slots_and_skills_then_the_numbers_told_are_these(dealt: tuple[np.ndarray, dict[str, float]]) -> None:
    features, truth = dealt
    found = told(features)
    assert ("last_slots" in found) == (1 <= truth["slots"] <= 3)
    if "last_slots" in found:
        assert found["last_slots"] == f"Slots left: {truth['slots']}"
    assert ("skills" in found) == (truth["known"] >= 2)
    if "skills" in found:
        assert NUMBER.findall(found["skills"]) == [str(truth["known"]), "4"]


def test_given_an_answer_far_below_the_counts_then_it_is_not_said_to_pay_more_than_most() -> None:
    features = row(reward=math.log(3), hourly=math.log(9), hourly_rank=0.95)
    assert "pays_well_per_hour" in told(features, Answer(0.5, 11.0, hourly=dollars("8.18")))
    assert "pays_well_per_hour" not in told(features, Answer(0.5, 15.0, hourly=dollars("6.00")))
    assert "pays_well_per_hour" not in told(features, Answer(0.5, 11.0))


def test_given_no_verdict_on_the_workers_own_work_then_no_record_is_spoken_of() -> None:
    log = Log().post("t").post("u").take("v", "u", 0.1)
    log.add("assignment_submitted", 0.2, worker_id="v", task_id="u")
    log.add("assignment_approved", 0.3, worker_id="v", task_id="u")
    state, sure = log.state(), Answer(0.95, math.nan)
    assert "track_record" in told(seen(state, "t", "v"), sure)
    assert "track_record" not in told(seen(state, "t", "w"), sure)


def test_given_a_profile_and_a_history_then_the_skills_told_are_those_also_of_rejected_work() -> None:
    log = Log().add("worker_updated", worker_id="w", skills=["python", "audio"])
    log.post("asked", skills=["python", "audio", "sql", "rust"])
    log.post("past", skills=["sql"]).take("w", "past", 0.5)
    log.add("assignment_submitted", 0.6, worker_id="w", task_id="past")
    log.add("assignment_rejected", 0.7, worker_id="w", task_id="past")
    text = told(seen(log.state(), "asked"))["skills"]
    assert text == "Skills it asks for that are in your profile or in tasks you took: 3 of 4"


def test_given_slots_taken_then_those_left_are_told() -> None:
    log = Log().post("t", slots=4).take("v", "t").take("u", "t")
    assert told(seen(log.state(), "t", at=20.0))["last_slots"] == "Slots left: 2"
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
    for tier, (count, reward) in enumerate([(10, 0.1), (2, 1.0), (2, 2.0)]):
        for number in range(count):
            log.post(f"t{tier}{number}", reward=usd(reward), estimated_minutes=10)
    features = seen(log.state(), "t10", at=20.0)
    assert features[COLUMN["hourly_rank"]] > 0.7
    (_, share) = NUMBER.findall(told(features, Answer(0.9, math.nan, reward=dollars("1")))["high_reward"])
    # Twelve of the fourteen pay as much or less, and ten less.
    assert int(share) <= 100 * 12 / 14


def test_given_nothing_known_then_it_is_at_least_open() -> None:
    assert told(row()) == {"open": "It is open to you now"}
    assert list(told(row(), locale="id")) == ["open"]


def test_given_a_page_then_each_task_has_the_reasons_that_it_has_alone() -> None:
    asked = [(features, alone(code), answer) for code, (features, answer) in EACH.items()]
    lifts = np.array([[lift[group] for group in GROUPS] for _, lift, _ in asked])
    together = reasons(np.stack([features for features, _, _ in asked]), lifts, page(*(answer for *_, answer in asked)))
    assert together == [reasons_of(*one) for one in asked]
    assert [[reason.code for reason in found] for found in together] == [[code] for code in EACH]
