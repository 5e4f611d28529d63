"""Who may take what: given these events and this request, these reasons."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.events import micros
from features.layout import MOST_DEALT
from features.requirements_shape import Guard
from features.state import MarketState
from matching.eligibility import Wishes, judge
from matching.judgement import CODES, codes_of
from tests.market import RATES, entries, written

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
Said = tuple[str, dict[str, Any]]


def usd(amount: float) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


def posted(**fields: Any) -> Said:
    return "task_posted", {"task_id": "t", "requester_id": "r", **fields}


def profile(**fields: Any) -> Said:
    return "worker_updated", {"worker_id": "w", **fields}


def did(what: str, worker: str = "w") -> Said:
    return what, {"worker_id": worker, "task_id": "t"}


ACCEPTED, RETURNED, ABANDONED = (did(f"assignment_{what}") for what in ("accepted", "returned", "abandoned"))


def reasons(
    *events: Said,
    wishes: Wishes | None = None,
    worker: str = "w",
    task: str = "t",
    later: timedelta = timedelta(0),
    level: Guard = "accept",
) -> list[str]:
    """Why a task may not be taken, a minute after the last event and then ``later``."""
    state = MarketState(RATES)
    log = [
        {"event_id": f"e{number}", "type": kind, "at": written(NOON + timedelta(minutes=number)), **fields}
        for number, (kind, fields) in enumerate(events)
    ]
    state.apply(entries(log))
    now = micros(NOON + timedelta(minutes=len(events)) + later)
    catalogue = state.catalogue
    tasks = np.array([catalogue.tasks.get(task)], np.int32)
    found = judge(state, catalogue.workers.get(worker), tasks, now, wishes, level=level)
    assert found.counts() == dict.fromkeys(found.codes(0), 1)
    return found.codes(0)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], ["unknown_task"]),
        ([ACCEPTED], ["unknown_task"]),
        ([posted()], []),
        ([posted(), ("task_closed", {"task_id": "t"})], ["closed"]),
        ([posted(), ("task_closed", {"task_id": "t"}), posted()], []),
        ([posted(slots=0)], ["full"]),
        ([posted(slots=1), did("assignment_accepted", "v")], ["full"]),
        ([posted(slots=2), did("assignment_accepted", "v")], []),
        ([posted(), *[did("assignment_accepted", f"v{n}") for n in range(50)]], []),
        ([posted(slots=1), did("assignment_accepted", "v"), did("assignment_returned", "v")], []),
        ([posted(slots=1), did("assignment_accepted", "v"), did("assignment_abandoned", "v")], []),
        ([posted(slots=1), did("assignment_accepted", "v"), did("assignment_rejected", "v")], ["full"]),
        ([posted(slots=1), did("assignment_accepted", "v"), ("task_updated", {"task_id": "t", "slots": None})], []),
    ],
)
def test_given_the_life_of_a_task_then_it_is_open_or_the_reason_is_told(
    events: list[Said], expected: list[str]
) -> None:
    assert reasons(*events) == expected


def test_given_an_expiry_then_the_task_is_open_until_that_instant_and_no_longer() -> None:
    task = posted(expires_at=written(NOON + timedelta(hours=1)))
    just_before = timedelta(minutes=59) - timedelta(microseconds=1)
    assert reasons(task, later=just_before) == []
    assert reasons(task, later=timedelta(minutes=59)) == ["expired"]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([posted(), ACCEPTED], ["already_taken"]),
        ([posted(), did("assignment_accepted", "v")], []),
        ([posted(), ACCEPTED, did("assignment_submitted"), did("assignment_approved")], ["already_taken"]),
        ([posted(), ACCEPTED, did("assignment_submitted"), did("assignment_rejected")], ["already_taken"]),
        ([posted(), ACCEPTED, RETURNED], []),
        ([posted(), ACCEPTED, RETURNED, ACCEPTED], ["already_taken"]),
        ([posted(), ACCEPTED, ABANDONED], ["already_taken"]),
        ([posted(per_worker_limit=5), ACCEPTED, ABANDONED], ["already_taken"]),
        ([posted(per_worker_limit=2), ACCEPTED], []),
        ([posted(per_worker_limit=2), ACCEPTED, ACCEPTED], ["already_taken"]),
        ([posted(per_worker_limit=2), ACCEPTED, ACCEPTED, RETURNED], []),
        ([posted(slots=1), ACCEPTED], ["full", "already_taken"]),
        ([posted(), did("task_viewed"), did("task_saved")], []),
        ([posted(), did("task_hidden")], ["hidden"]),
        ([posted(), did("task_hidden", "v")], []),
        ([posted(), did("task_hidden"), posted()], ["hidden"]),
    ],
)
def test_given_what_the_worker_did_with_a_task_then_it_is_offered_again_or_not(
    events: list[Said], expected: list[str]
) -> None:
    assert reasons(*events) == expected


def test_given_a_worker_who_took_a_task_more_often_than_is_counted_then_it_stays_taken() -> None:
    often = MOST_DEALT + 1
    assert reasons(posted(per_worker_limit=MOST_DEALT), *often * [ACCEPTED]) == ["already_taken"]


CONDITIONS = {
    "language": posted(languages=["id", "en-GB"]),
    "country": posted(countries=["ID", "MY"]),
    "device": posted(devices=["Phone"]),
}
FITTING = {"language": {"languages": ["en-US"]}, "country": {"country": "MY"}, "device": {"devices": ["phone", "pad"]}}
UNFIT = {"language": {"languages": ["ja"]}, "country": {"country": "SG"}, "device": {"devices": ["desktop"]}}


@pytest.mark.parametrize("code", CONDITIONS)
def test_given_a_condition_then_the_profile_decides_and_without_one_nothing_is_held_against_the_worker(
    code: str,
) -> None:
    condition = CONDITIONS[code]
    assert reasons(condition) == []
    assert reasons(condition, profile(**FITTING[code])) == []
    assert reasons(condition, profile(**UNFIT[code])) == [code]
    assert reasons(condition, profile(skills=["x"])) == [code]
    assert reasons(posted(), profile(**UNFIT[code])) == []


def test_given_a_profile_is_replaced_then_only_the_last_one_counts() -> None:
    task = CONDITIONS["country"]
    assert reasons(task, profile(country="SG"), profile(country="ID")) == []
    assert reasons(task, profile(country="ID"), profile(session_minutes=10)) == ["country"]


def test_given_a_device_in_hand_then_it_counts_and_not_those_of_the_profile() -> None:
    task, phone, desktop = CONDITIONS["device"], Wishes(device="PHONE"), Wishes(device="desktop")
    assert reasons(task, wishes=phone) == []
    assert reasons(task, wishes=desktop) == ["device"]
    assert reasons(task, profile(devices=["desktop"]), wishes=phone) == []
    assert reasons(task, profile(devices=["phone"]), wishes=desktop) == ["device"]


@pytest.mark.parametrize(
    ("reward", "of_profile", "of_request", "expected"),
    [
        (2, None, None, []),
        (2, 2, None, []),
        (1.99, 2, None, ["min_reward"]),
        (None, 2, None, ["min_reward"]),
        (None, None, None, []),
        (2, None, 3, ["min_reward"]),
        (2, None, 1, []),
        (2, 1, 3, ["min_reward"]),
        (2, 3, 1, []),
        (None, 0, None, []),
    ],
)
def test_given_a_least_reward_then_that_of_the_request_goes_before_that_of_the_profile(
    reward: float | None, of_profile: float | None, of_request: float | None, expected: list[str]
) -> None:
    task = posted(**({} if reward is None else {"reward": usd(reward)}))
    told = profile(**({} if of_profile is None else {"min_reward": usd(of_profile)}))
    wishes = None if of_request is None else Wishes(min_reward=of_request)
    assert reasons(task, told, wishes=wishes) == expected


def test_given_a_least_reward_in_another_currency_then_worth_is_compared() -> None:
    rupiah = {"amount": 1_000_000, "currency": "IDR"}
    assert reasons(posted(reward=usd(5)), profile(min_reward=rupiah)) == ["min_reward"]
    assert reasons(posted(reward=usd(500)), profile(min_reward=rupiah)) == []


@pytest.mark.parametrize(
    ("task", "told", "expected"),
    [
        (posted(), {"blocked_requesters": ["r", "q"]}, ["blocked_requester"]),
        (posted(), {"blocked_requesters": ["q"]}, []),
        (posted(category="Adult"), {"blocked_categories": ["adult "]}, ["blocked_category"]),
        (posted(category="image"), {"blocked_categories": ["adult"]}, []),
        (posted(), {"blocked_categories": ["adult"]}, []),
        (posted(title="A Survey of taste"), {"blocked_keywords": ["survey"]}, ["blocked_keyword"]),
        (posted(description="one\nlong  survey"), {"blocked_keywords": ["Long survey"]}, ["blocked_keyword"]),
        (posted(keywords=["survey"]), {"blocked_keywords": ["survey"]}, ["blocked_keyword"]),
        (posted(title="Draw boxes"), {"blocked_keywords": ["survey", " ", "*", "**", "* *", "?"]}, []),
        (posted(title="Transcription, 5 min."), {"blocked_keywords": ["transcri*"]}, ["blocked_keyword"]),
        (posted(title="A transcription"), {"blocked_keywords": ["*scription"]}, ["blocked_keyword"]),
        (posted(title="A script"), {"blocked_keywords": ["*scription", "crip*"]}, []),
        (posted(title="Survey: 15 minutes!"), {"blocked_keywords": ["survey * min*"]}, ["blocked_keyword"]),
        (posted(title="Survey, minutes"), {"blocked_keywords": ["survey * min*"]}, []),
        (posted(title="The party"), {"blocked_keywords": ["art", "he"]}, []),
        (posted(title="Write C++"), {"blocked_keywords": ["c"]}, []),
        (posted(title="Write C++"), {"blocked_keywords": ["C++"]}, ["blocked_keyword"]),
        (posted(title="long", description="survey"), {"blocked_keywords": ["long survey"]}, []),
        (posted(title="STRASSE"), {"blocked_keywords": ["straße"]}, ["blocked_keyword"]),
        (posted(), {"blocked_keywords": ["survey"]}, []),
        (
            posted(category="adult", title="survey"),
            {"blocked_requesters": ["r"], "blocked_categories": ["adult"], "blocked_keywords": ["survey"]},
            ["blocked_requester", "blocked_category", "blocked_keyword"],
        ),
    ],
)
def test_given_what_a_worker_blocks_then_it_is_kept_away(task: Said, told: dict[str, Any], expected: list[str]) -> None:
    assert reasons(task, profile(**told)) == expected


@pytest.mark.parametrize(
    ("category", "wanted", "expected"),
    [
        ("image", {"Image", "audio"}, []),
        ("image", {"audio"}, ["category"]),
        (None, {"image"}, ["category"]),
        (None, {"never seen"}, ["category"]),
        ("image", set(), []),
    ],
)
def test_given_wanted_categories_then_only_these_are_offered(
    category: str | None, wanted: set[str], expected: list[str]
) -> None:
    task = posted(category=category) if category else posted()
    assert reasons(task, wishes=Wishes(categories=frozenset(wanted))) == expected


def test_given_excluded_tasks_then_these_are_kept_away() -> None:
    assert reasons(posted(), wishes=Wishes(excluded=frozenset({"t", "never seen"}))) == ["excluded"]
    assert reasons(posted(), wishes=Wishes(excluded=frozenset({"u"}))) == []


def test_given_a_worker_never_seen_then_only_the_task_itself_can_be_a_reason() -> None:
    task = posted(languages=["id"], countries=["ID"], devices=["phone"])
    assert reasons(task, ACCEPTED, worker="newcomer") == []
    assert reasons(task, ("task_closed", {"task_id": "t"}), worker="newcomer") == ["closed"]


def test_given_an_erased_worker_then_the_profile_is_forgotten() -> None:
    events = (CONDITIONS["country"], profile(country="SG"), ("worker_erased", {"worker_id": "w"}))
    assert reasons(*events) == []


def test_given_a_task_that_is_unknown_then_nothing_else_is_said_of_it() -> None:
    everything = Wishes(device="phone", min_reward=5, categories=frozenset({"x"}), excluded=frozenset({"u"}))
    told = profile(country="SG", blocked_requesters=["r"], blocked_keywords=["a"], min_reward=usd(9))
    assert reasons(posted(countries=["ID"]), told, wishes=everything, task="u") == ["unknown_task"]


def test_given_many_tasks_then_each_has_its_own_reasons_in_its_place() -> None:
    state = MarketState(RATES)
    at = written(NOON)
    log: list[dict[str, Any]] = [
        {"event_id": "p", "type": "worker_updated", "at": at, "worker_id": "w", "country": "SG"}
    ]
    for number, fields in enumerate(({"countries": ["ID"]}, {}, {"slots": 0}, {"slots": 0, "countries": ["ID"]})):
        kind, body = posted(**fields)
        log.append({"event_id": f"e{number}", "type": kind, "at": at, **body, "task_id": f"t{number}"})
    state.apply(entries(log))
    tasks = np.array([state.catalogue.tasks.get(f"t{number}") for number in (3, 2, 1, 0, 9)], np.int32)
    bits = judge(state, state.catalogue.workers.get("w"), tasks, micros(NOON) + 1).bits
    assert [codes_of(int(each)) for each in bits] == [
        ["full", "country"],
        ["full"],
        [],
        ["country"],
        ["unknown_task"],
    ]


def test_given_bits_then_codes_come_in_the_order_of_the_list() -> None:
    assert codes_of((1 << len(CODES)) - 1) == list(CODES)


NEWCOMERS_ONLY = [{"attribute": "approved_count", "comparator": "lt", "value": 1}]
TRAINED = [{"attribute": "qualification:Q", "comparator": "ge", "value": 80}]
FROM_ID = [{"attribute": "country", "comparator": "eq", "value": "ID"}]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([posted(requirements=TRAINED)], ["requirement:qualification:Q"]),
        ([posted(requirements=TRAINED), profile()], ["requirement:qualification:Q"]),
        ([posted(requirements=TRAINED), profile(qualifications={"Q": 79})], ["requirement:qualification:Q"]),
        ([posted(requirements=TRAINED), profile(qualifications={"Q": 80})], []),
        ([posted(requirements=TRAINED + FROM_ID)], ["requirement:qualification:Q", "requirement:country"]),
        ([posted(requirements=FROM_ID, countries=["ID"]), profile(country="SG")], ["country", "requirement:country"]),
        ([posted(requirements=FROM_ID, countries=["ID"])], ["requirement:country"]),
        ([posted(requirements=FROM_ID, slots=0)], ["full", "requirement:country"]),
        ([posted(requirements=FROM_ID), ("task_updated", {"task_id": "t", "requirements": None})], []),
        ([posted(), ("task_updated", {"task_id": "t", "requirements": FROM_ID})], ["requirement:country"]),
        ([posted(requirements=FROM_ID), profile(country="ID"), profile()], ["requirement:country"]),
    ],
)
def test_given_requirements_then_a_worker_who_does_not_meet_them_is_told_which(
    events: list[Said], expected: list[str]
) -> None:
    assert reasons(*events) == expected


def test_given_work_that_was_approved_then_a_requirement_on_it_changes_at_once() -> None:
    task = posted(requirements=NEWCOMERS_ONLY)
    other = [("assignment_approved", {"worker_id": "w", "task_id": "u"})]
    assert reasons(task) == []
    assert reasons(task, *other) == ["requirement:approved_count"]
    assert reasons(task, *other, ("worker_erased", {"worker_id": "w"})) == []


def test_given_an_age_in_days_then_time_alone_opens_a_task() -> None:
    task = posted(requirements=[{"attribute": "age_days", "comparator": "ge", "value": 7}])
    assert reasons(task, profile(), later=timedelta(days=6)) == ["requirement:age_days"]
    assert reasons(task, profile(), later=timedelta(days=7)) == []
    assert reasons(task, worker="newcomer", later=timedelta(days=7)) == ["requirement:age_days"]


def test_given_a_level_then_what_guards_a_later_one_is_left_aside() -> None:
    task = posted(requirements=[{**FROM_ID[0], "guards": "preview"}, *TRAINED])
    levels: tuple[Guard, ...] = ("discover", "preview", "accept")
    assert [reasons(task, level=level) for level in levels] == [
        [],
        ["requirement:country"],
        ["requirement:country", "requirement:qualification:Q"],
    ]


@pytest.mark.parametrize(
    ("ratings", "least", "expected"),
    [
        ([], float("nan"), []),
        ([], 1, ["requester_rating"]),
        ([4, 5], 4.5, []),
        ([4, 5], 4.6, ["requester_rating"]),
        ([1], 1, []),
    ],
)
def test_given_a_least_rating_then_a_requester_must_have_earned_it(
    ratings: list[int], least: float, expected: list[str]
) -> None:
    rated = [("requester_rated", {"worker_id": "v", "requester_id": "r", "rating": rating}) for rating in ratings]
    assert reasons(posted(), *rated, wishes=Wishes(min_requester_rating=least)) == expected
