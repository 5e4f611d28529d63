"""The builder: given these events and this worker, task and instant, this value."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from features.build import compared, nothing_common, rows
from features.estimates import LEAST_MINUTES
from features.layout import REFERENCE, SKILLS, TOKENS
from features.readings import BLOCK, MOST_READINGS
from features.spec import COLUMN, FEATURES, NAMES, RELATIVE
from features.state import MarketState
from features.view import GIVE_UP_PRIOR, SHARE_PRIOR
from tests.digest import digest
from tests.log import Drawn, Entry, Log, built, drawn, folded, hour, logs, usd, written_at

EVERYBODY = ("w1", "w2", "w3", "nobody")
EVERY_TASK = ("t1", "t2", "t3", "t4", "t5", "t6", "nothing")
NOW = 1000.0


def row(log: Log, task_id: str = "t1", worker_id: str = "w1", at: float = NOW, minutes: float = math.nan) -> Any:
    """Column -> value, of a worker and a task some hours after the start."""
    return dict(zip(NAMES, asked(log.state(), worker_id, [task_id], at, minutes)[0], strict=True))


def asked(
    state: MarketState, worker_id: str, task_ids: list[str], at: float = NOW, minutes: float = math.nan
) -> np.ndarray:
    tasks = np.array([state.catalogue.tasks.get(task_id) for task_id in task_ids], np.int32)
    return rows(state, state.catalogue.workers.get(worker_id), tasks, hour(at), minutes)


def missing(values: dict[str, float]) -> set[str]:
    return {name for name, value in values.items() if math.isnan(value)}


# What is not known


@settings(deadline=None, max_examples=60)
@given(logs(), st.floats(-100, 5000))
def test_any_market_gives_numbers_or_nan_and_never_infinity(log: list[Entry], later: float) -> None:
    state = folded(log)
    for worker_id in EVERYBODY:
        found = asked(state, worker_id, list(EVERY_TASK), max(0.0, later))
        assert found.dtype == np.float32
        assert not np.isinf(found).any(), {NAMES[column] for column in np.nonzero(np.isinf(found))[1]}


@settings(deadline=None, max_examples=20)
@given(logs())
def test_rows_with_what_they_have_in_common_with_others_are_the_same(log: list[Entry]) -> None:
    state = folded(log)
    for worker in range(min(2, len(state.catalogue.workers))):
        common = nothing_common(state.arrays)
        for tasks in (state.open_tasks[:1], state.open_tasks):
            columns = compared(state, worker, tasks, hour(NOW))
            np.testing.assert_array_equal(compared(state, worker, tasks, hour(NOW), common), columns)
            alone = rows(state, worker, tasks, hour(NOW))
            np.testing.assert_array_equal(rows(state, worker, tasks, hour(NOW), common=common), alone)
            np.testing.assert_array_equal(rows(state, worker, tasks, hour(NOW), common=common, computed=columns), alone)


@settings(deadline=None, max_examples=40)
@given(logs())
def test_a_column_that_is_never_missing_is_never_nan(log: list[Entry]) -> None:
    state = folded(log)
    always = [COLUMN[feature.name] for feature in FEATURES if not feature.missing]
    for worker_id in EVERYBODY:
        assert not np.isnan(asked(state, worker_id, list(EVERY_TASK))[:, always]).any()


def test_giving_up_is_held_against_the_share_given_up_of_all_that_the_market_took() -> None:
    log = Log()
    for number in range(4):
        log.post(f"t{number}").take("w1", f"t{number}").on("assignment_returned", "w1", f"t{number}")
    # Of four assignments none was kept, and of as much as the prior is worth a tenth was given up.
    market = (4 + GIVE_UP_PRIOR * SHARE_PRIOR) / (4 + SHARE_PRIOR)
    own = (4 + market * SHARE_PRIOR) / (4 + SHARE_PRIOR)
    values = row(log)
    assert values["worker_give_up"] == pytest.approx(own - market)
    assert values["requester_give_up"] == pytest.approx(own - market)
    assert values["task_give_up"] == pytest.approx((1 + market * SHARE_PRIOR) / (1 + SHARE_PRIOR) - market)


def test_before_the_first_event_an_unknown_worker_and_task_have_a_row() -> None:
    values = row(Log())
    assert values["worker_accepts"] == 0
    assert {"reward", "affinity", "task_age_hours", "worker_idle_hours", "reward_z"} <= missing(values)


def test_an_unknown_worker_is_a_newcomer() -> None:
    log = Log().post("t1", reward=usd(1), skills=["python"], estimated_minutes=5)
    log.on("assignment_approved", "w2", "t1", 1).add("worker_updated", 1, worker_id="w3")
    unknown, seen = (row(log, worker_id=worker_id) for worker_id in ("nobody", "w3"))
    assert unknown["worker_accepts"] == 0
    assert unknown["worker_approval"] == pytest.approx(0, abs=1e-6)
    assert missing(unknown) - missing(seen) == {"worker_age_days"}
    assert {name for name in NAMES if unknown[name] != seen[name]} - missing(seen) <= {"worker_age_days"}


def test_an_unknown_task_has_no_task_columns_but_all_of_the_worker() -> None:
    log = Log().post("t2", reward=usd(1)).take("w1", "t2")
    unknown, known = row(log, "t1"), row(log, "t2")
    assert {"reward", "hourly", "minutes", "task_age_hours", "skill_count", "popularity", "take_rate"} <= missing(
        unknown
    )
    for name in ("worker_accepts", "worker_approval", "worker_idle_hours", "open_tasks"):
        assert unknown[name] == known[name]


@pytest.mark.parametrize(
    ("absent", "columns"),
    [
        ("reward", {"reward", "hourly", "hourly_stated", "reward_z", "reward_rank", "reward_against_taken"}),
        ("skills", {"skill_coverage", "skill_overlap", "skill_experience", "affinity_skill"}),
        ("title", {"affinity_text"}),
        ("category", {"affinity_category"}),
        ("group_id", {"group_taken"}),
        ("languages", {"language_known"}),
        ("slots", {"slots_left", "fill_share"}),
        ("expires_at", {"task_hours_left"}),
        ("time_limit_minutes", {"limit_minutes"}),
        ("estimated_minutes", {"hourly_stated"}),
    ],
)
def test_what_a_posting_leaves_out_is_missing_and_not_zero(absent: str, columns: set[str]) -> None:
    whole = {
        "reward": usd(1),
        "skills": ["python"],
        "title": "Survey",
        "category": "audio",
        "group_id": "g1",
        "languages": ["en"],
        "slots": 3,
        "expires_at": written_at(5000),
        "time_limit_minutes": 60,
        "estimated_minutes": 5,
    }
    profile = {"worker_id": "w1", "skills": ["python"], "languages": ["en"], "expected_hourly": usd(5)}

    def values(**fields: Any) -> dict[str, float]:
        log = Log().add("worker_updated", **profile).post("t2", **whole).take("w1", "t2")
        return row(log.post("t1", **fields))

    assert not columns & missing(values(**whole))
    assert columns <= missing(values(**{name: value for name, value in whole.items() if name != absent}))


def test_a_task_without_content_has_no_affinity_and_no_popularity() -> None:
    log = Log().post("t2", skills=["python"]).take("w1", "t2").post("t1", title="!!!")
    assert {"affinity", "affinity_fast", "affinity_skill", "affinity_text", "popularity"} <= missing(row(log))


def test_a_reward_of_nothing_is_a_reward_and_less_than_any_other() -> None:
    log = Log().post("t1", reward=usd(0), estimated_minutes=5).post("t2", reward=usd(0.01), estimated_minutes=5)
    assert row(log, "t1")["reward"] < row(log, "t2")["reward"]
    assert row(log, "t1")["hourly"] < row(log, "t2")["hourly"]


# Pay


def paid_more(events: Drawn, task_id: str, factor: str) -> Drawn:
    """The same events, but for the reward that this task says it has."""
    return [
        {
            **event,
            "reward": {**event["reward"], "amount": str(Decimal(str(event["reward"]["amount"])) * Decimal(factor))},
        }
        if event.get("task_id") == task_id and event.get("reward")
        else event
        for event in events
    ]


def assert_never_falls(before: MarketState, after: MarketState) -> None:
    for worker_id in EVERYBODY:
        low, high = (asked(state, worker_id, ["t1"])[0] for state in (before, after))
        for feature, less, more in zip(FEATURES, low, high, strict=True):
            assert np.isnan(less) == np.isnan(more), feature.name
            if not np.isnan(less):
                assert more >= less if feature.monotone else more == less, (feature.name, less, more)


@settings(deadline=None, max_examples=150)
@given(drawn(), st.sampled_from(["1.01", "2", "10"]))
def test_as_a_task_is_posted_with_more_reward_monotone_columns_never_fall_and_no_others_move(
    events: Drawn, factor: str
) -> None:
    # Nothing times ten is nothing, while what was taken of an earlier posting of the task would be worth more.
    assume(all(Decimal(str(event["reward"]["amount"])) for event in events if event.get("reward")))
    assert_never_falls(folded(built(events)), folded(built(paid_more(events, "t1", factor))))


@settings(deadline=None, max_examples=80)
@given(drawn(), st.sampled_from(["0.02", "1.5", "40"]), st.sampled_from(["1.01", "2", "10"]))
def test_as_the_reward_is_raised_now_monotone_columns_never_fall_and_no_others_move(
    events: Drawn, amount: str, factor: str
) -> None:
    reward = {"amount": amount, "currency": "USD"}
    posted = {"type": "task_posted", "pause": 0.0, "task_id": "t1", "requester_id": "r1", "skills": ["python"]}
    raised = [posted, *events, {"type": "task_updated", "pause": 0.0, "task_id": "t1", "reward": reward}]
    more = [*raised[:-1], *paid_more(raised[-1:], "t1", factor)]
    assert_never_falls(folded(built(raised)), folded(built(more)))


@pytest.mark.parametrize("rewards", [("1", "1.01"), ("0.05", "0.5"), ("100", "1000")])
def test_a_raise_that_is_announced_now_lifts_the_pay_columns(rewards: tuple[str, str]) -> None:
    def values(amount: str) -> dict[str, float]:
        log = Log().add("worker_updated", worker_id="w1", expected_hourly=usd(9))
        for number in range(2, 9):
            log.post(f"t{number}", reward=usd(number / 4), estimated_minutes=5, skills=["python"])
        log.take("w1", "t8", 1).post("t1", 1, reward=usd(0.01), estimated_minutes=5, skills=["python"])
        return row(log.add("task_updated", 2, task_id="t1", reward={"amount": amount, "currency": "USD"}), at=3)

    low, high = (values(amount) for amount in rewards)
    raised = ("reward", "hourly", "hourly_stated", "hourly_against_declared", "hourly_against_revealed")
    for name in (*raised, "reward_against_taken", "reward_against_kind"):
        assert high[name] > low[name]


def test_hourly_pay_is_that_of_this_worker_who_may_be_slower_than_others() -> None:
    log = Log().post("t1", reward=usd(1), estimated_minutes=10)
    for number in range(20):
        log.on("assignment_submitted", "quick", "t1", number, work_seconds=300)
        log.on("assignment_submitted", "slow", "t1", number, work_seconds=1200)
    quick, slow = (row(log, worker_id=worker_id) for worker_id in ("quick", "slow"))
    assert quick["worker_speed"] < 0 < slow["worker_speed"]
    assert quick["minutes"] < slow["minutes"]
    assert quick["hourly"] > slow["hourly"]
    assert quick["hourly_stated"] == slow["hourly_stated"] == pytest.approx(math.log(6), rel=1e-6)


def test_hourly_pay_is_less_where_the_requester_rejects() -> None:
    log = Log()
    for requester_id, verdict in (("good", "assignment_approved"), ("bad", "assignment_rejected")):
        log.post(f"{requester_id} 1", requester_id=requester_id, reward=usd(1), estimated_minutes=5)
        log.post(f"{requester_id} 2", requester_id=requester_id, reward=usd(1), estimated_minutes=5)
        for number in range(8):
            log.on(verdict, f"w{number + 2}", f"{requester_id} 1", 1)
    assert row(log, "good 2")["hourly"] > row(log, "bad 2")["hourly"]
    assert row(log, "good 2")["requester_approval"] > row(log, "bad 2")["requester_approval"]


def test_the_time_it_took_others_outweighs_what_the_requester_states() -> None:
    log = Log().post("t1", estimated_minutes=2).post("t2", estimated_minutes=2)
    for number in range(2, 12):
        log.on("assignment_submitted", f"w{number}", "t1", 1, work_seconds=3600)
    assert row(log, "t1")["minutes"] > row(log, "t2")["minutes"] == pytest.approx(math.log(2), rel=1e-6)


def test_minutes_of_the_request_come_before_those_of_the_profile() -> None:
    log = Log().add("worker_updated", worker_id="w1", session_minutes=30).post("t1", estimated_minutes=30)
    assert row(log)["session_fit"] == pytest.approx(0, abs=1e-6)
    assert row(log, minutes=60)["session_fit"] == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("minutes", [1e-46, 5e-324])
def test_a_session_of_no_length_counts_as_the_least_there_is(minutes: float) -> None:
    log = Log().post("t1", estimated_minutes=30).add("worker_updated", worker_id="w1", session_minutes=minutes)
    least = math.log(LEAST_MINUTES) - math.log(30)
    assert row(log)["session_fit"] == pytest.approx(least, rel=1e-6)
    assert row(log, minutes=minutes)["session_fit"] == pytest.approx(least, rel=1e-6)


# Skill and history


def test_who_took_tasks_of_a_skill_has_more_affinity_to_such_tasks() -> None:
    log = Log()
    for number in range(6):
        log.post(f"p{number}", skills=["python"], title="Python script").post(f"a{number}", skills=["audio"])
    for number in range(3):
        log.take("w1", f"p{number}", 1).take("w2", f"a{number}", 1)
    python, audio = row(log, "p5", "w1"), row(log, "p5", "w2")
    for name in ("affinity", "affinity_fast", "affinity_skill", "affinity_text", "skill_experience", "affinity_z"):
        assert python[name] > audio[name], name
    assert row(log, "a5", "w2")["affinity"] > row(log, "a5", "w1")["affinity"]


def test_affinity_fades_and_the_fast_one_sooner() -> None:
    log = Log()
    for number in range(4):
        log.post(f"p{number}", skills=["python"]).post(f"a{number}", skills=["audio"]).take("w2", f"a{number}")
    log.take("w1", "p1").take("w1", "p2")
    soon, later = row(log, "p3", at=1), row(log, "p3", at=24 * 10)
    assert soon["affinity"] > later["affinity"]
    assert soon["affinity_fast"] - later["affinity_fast"] > soon["affinity"] - later["affinity"]


def test_what_is_taken_more_often_than_chance_is_popular() -> None:
    log = Log()
    for number in range(4):
        log.post(f"p{number}", skills=["python"]).post(f"a{number}", skills=["audio"])
    for number in range(12):
        log.take(f"v{number}", f"p{number % 3}", 1)
    for name in ("popularity", "popularity_fast", "popularity_newcomers", "popularity_z"):
        assert row(log, "p3")[name] > 0 > row(log, "a3")[name]


def test_coverage_is_the_mean_level_declared_and_a_replaced_profile_no_longer_counts() -> None:
    log = Log().post("t1", skills=["python", "audio"])
    log.add("worker_updated", worker_id="w1", skills={"Python ": 0.5, "cooking": 1})
    assert row(log)["skill_coverage"] == 0.25
    assert row(log)["skill_overlap"] == 0.5
    log.add("worker_updated", worker_id="w1", skills=["audio"])
    assert row(log)["skill_coverage"] == 0.5
    log.add("worker_updated", worker_id="w1", country="ID")
    assert "skill_coverage" in missing(row(log))
    assert row(log)["skill_overlap"] == 0


def test_a_skill_that_was_used_is_known_though_never_declared() -> None:
    log = Log().post("t1", skills=["python"]).post("t2", skills=["python"]).take("w1", "t2")
    assert row(log)["skill_overlap"] == 1
    assert row(log, worker_id="w2")["skill_overlap"] == 0


@pytest.mark.parametrize(("spoken", "known"), [(["en-GB"], 1), (["fr", "id"], 1), (["fr"], 0)])
def test_a_language_is_known_by_its_primary_part(spoken: list[str], known: int) -> None:
    log = Log().post("t1", languages=["en", "id-ID"]).add("worker_updated", worker_id="w1", languages=spoken)
    assert row(log)["language_known"] == known


def test_what_the_worker_did_with_this_task_stands_in_the_row() -> None:
    log = Log().post("t1").serve("w1", ["t1"], 1).serve("w1", ["t1"], 2).on("task_viewed", "w1", "t1", 3)
    values = row(log.on("task_saved", "w1", "t1", 3).take("w1", "t1", 3), at=4)
    assert values["task_served_before"] == pytest.approx(math.log(3), rel=1e-6)
    assert values["task_served_hours"] == pytest.approx(math.log(3), rel=1e-6)
    assert (values["task_viewed"], values["task_saved"], values["task_taken"]) == (1, 1, 1)
    other = row(log, worker_id="w2", at=4)
    assert (other["task_viewed"], other["task_saved"], other["task_taken"]) == (0, 0, 0)
    assert "task_served_hours" in missing(other)


def test_slots_age_and_time_left_are_those_of_the_instant() -> None:
    log = Log().post("t1", 1, slots=4, expires_at=written_at(31)).take("w2", "t1", 2)
    values = row(log, at=4)
    assert values["slots_left"] == pytest.approx(math.log(4), rel=1e-6)
    assert values["fill_share"] == 0.25
    assert values["task_age_hours"] == pytest.approx(math.log(4), rel=1e-6)
    assert values["task_hours_left"] == pytest.approx(math.log(28), rel=1e-6)


# Relative columns


@settings(deadline=None, max_examples=30)
@given(logs(), st.lists(st.sampled_from(EVERY_TASK), min_size=1, max_size=5))
def test_a_row_is_the_same_whichever_candidates_are_asked_for_with_it(log: list[Entry], candidates: list[str]) -> None:
    state = folded(log)
    together = asked(state, "w1", candidates)
    alone = np.concatenate([asked(state, "w1", [task_id]) for task_id in candidates])
    assert together.tobytes() == alone.tobytes()


def test_reading_a_row_changes_nothing() -> None:
    log = Log().post("t1", skills=["python"], reward=usd(1)).take("w1", "t1", 1)
    state = log.state()
    before = digest(state)
    assert asked(state, "w1", ["t1"], 500).tobytes() == asked(state, "w1", ["t1"], 500).tobytes()
    assert digest(state) == before


@pytest.mark.parametrize(("at", "others"), [(9, 3), (11, 2)])
def test_what_expires_after_the_last_event_is_compared_with_until_then(at: float, others: int) -> None:
    log = Log().post("t2", reward=usd(3)).post("t3", reward=usd(900), expires_at=written_at(10))
    assert row(log.post("t1", reward=usd(1)), at=at)["reward_rank"] == pytest.approx(0.5 / others)


def test_relative_columns_compare_with_the_open_tasks_that_have_a_slot_left() -> None:
    log = Log().post("t1", reward=usd(2)).post("t2", reward=usd(1)).post("t3", reward=usd(4))
    log.post("closed", reward=usd(900)).add("task_closed", task_id="closed")
    log.post("full", slots=0, reward=usd(900)).post("expired", reward=usd(900), expires_at=written_at(3))
    log.post("unpaid")
    values = row(log, at=5)
    assert values["reward_z"] == pytest.approx(0, abs=1e-5)
    assert values["reward_rank"] == 0.5
    assert row(log, "t3", at=5)["reward_z"] == pytest.approx(math.sqrt(1.5), rel=1e-4)
    assert row(log, "closed", at=5)["reward_rank"] == 1
    assert row(log, at=1)["reward_z"] < -0.1


def test_among_equal_tasks_nobody_stands_out() -> None:
    log = Log().post("t1", reward=usd(2)).post("t2", reward=usd(2))
    assert (row(log)["reward_z"], row(log)["reward_rank"]) == (0, 0.5)


def test_without_an_open_task_there_is_nothing_to_compare_with() -> None:
    log = Log().post("t1", reward=usd(2), skills=["python"]).add("task_closed", task_id="t1")
    assert {f"{name}_{ending}" for name in RELATIVE for ending in ("z", "rank")} <= missing(row(log))
    assert row(log)["reward"] == pytest.approx(math.log(2), rel=1e-6)


# Many tasks at once


def test_given_more_tasks_and_tokens_than_fit_at_a_time_then_each_has_the_row_it_has_alone() -> None:
    log = Log().add("worker_updated", worker_id="w1", skills=["skill1"])
    count = 5 * BLOCK + 3
    for number in range(count):
        # A title of fifteen words that no other task has.
        title = " ".join(f"word{15 * number + k}" for k in range(15))
        log.post(f"t{number}", requester_id=f"r{number}", title=title, reward=usd(1 + number % 7))
    for number in range(0, count, 50):
        log.take("w1" if number % 100 else "w2", f"t{number}", 1.0)
    state = log.state()
    tasks = np.array([state.catalogue.tasks.get(f"t{number}") for number in range(count)], np.int32)
    used = [state.arrays.tasks["tokens"][task][: state.arrays.tasks["n_tokens"][task]] for task in tasks]
    assert len(np.unique(np.concatenate(used))) > MOST_READINGS
    worker = state.catalogue.workers.get("w1")
    together, few = rows(state, worker, tasks, hour(NOW)), compared(state, worker, tasks, hour(NOW))
    assert not np.isnan(together[:, COLUMN["affinity"]]).any()
    for place in range(0, count, 20):
        alone = tasks[place : place + 1]
        assert rows(state, worker, alone, hour(NOW)).tobytes() == together[place].tobytes()
        assert compared(state, worker, alone, hour(NOW)).tobytes() == few[place].tobytes()


def test_given_a_block_of_tasks_with_as_many_tokens_as_can_be_then_all_find_a_place() -> None:
    assert BLOCK * (TOKENS + SKILLS + 3) + REFERENCE * (TOKENS + SKILLS) <= MOST_READINGS
    log = Log()
    for number in range(BLOCK):
        log.post(f"other{number}", skills=[f"skill{number} {k}" for k in range(SKILLS)])
    for number in range(BLOCK):
        # The skills that count are its first ones, and the rare ones are its content.
        skills = [f"skill{number} {k}" for k in range(SKILLS)] + [f"rare{number} {k}" for k in range(TOKENS)]
        of_its_own = {"requester_id": f"r{number}", "category": f"c{number}", "group_id": f"g{number}"}
        log.post(f"t{number}", skills=skills, **of_its_own)
    state = log.state()
    tasks = np.array([state.catalogue.tasks.get(f"t{number}") for number in range(BLOCK)], np.int32)
    common = nothing_common(state.arrays)
    together = rows(state, 0, tasks, hour(NOW), common=common)
    assert 0.9 * BLOCK * (TOKENS + SKILLS + 3) < common.readings.size[0] <= MOST_READINGS
    for place in range(BLOCK):
        assert rows(state, 0, tasks[place : place + 1], hour(NOW)).tobytes() == together[place].tobytes()
