"""The simulated marketplace keeps the rules of a real one, and its log is one that Cocok reads."""

from collections import Counter
from copy import deepcopy
from dataclasses import replace

import msgspec
import numpy as np
import pandas as pd
import pytest

from features.errors import CocokError
from features.events import (
    AssignmentAbandoned,
    AssignmentAccepted,
    AssignmentApproved,
    AssignmentRejected,
    AssignmentReturned,
    AssignmentSubmitted,
    Event,
    FeedServed,
    FeedShown,
    TaskClosed,
    TaskHidden,
    TaskPosted,
    TaskUpdated,
    TaskViewed,
    WorkerUpdated,
    decode_event,
    encode_event,
    event_type,
    micros,
)
from features.money import Rates
from features.requirements_shape import Requirements
from features.state import MarketState
from matching.eligibility import Wishes, judge
from matching.pipeline import open_at
from tests.training.simulation.conftest import END, SMALL
from training.simulation import (
    PRESETS,
    BehaviourConfig,
    Board,
    NewestFirst,
    Occasion,
    Ranking,
    SimulationConfig,
    TaskConfig,
    Truth,
    World,
    random_order,
)
from training.simulation.kinds import KINDS


def test_given_the_same_seed_and_end_then_the_log_is_the_same_to_the_byte(log: list[Event]) -> None:
    again = World(SMALL, END).run(NewestFirst())
    assert b"\n".join(map(encode_event, again)) == b"\n".join(map(encode_event, log))


def test_given_another_seed_then_the_log_and_its_event_ids_differ(log: list[Event]) -> None:
    other = list(World(replace(SMALL, seed=4), END).run(NewestFirst()))
    assert {event.event_id for event in other}.isdisjoint(event.event_id for event in log)


def test_every_event_is_read_back_as_it_was_and_its_id_is_unique(log: list[Event]) -> None:
    assert all(decode_event(encode_event(event)) == event for event in log)
    assert len({event.event_id for event in log}) == len(log)


def test_events_come_in_order_of_time_and_all_before_the_end(log: list[Event], world: World) -> None:
    times = [micros(event.at) for event in log]
    assert times == sorted(times)
    assert world.start <= times[0]
    assert END - 3_600_000_000 < times[-1] < END


def test_every_kind_of_event_that_a_marketplace_knows_occurs(log: list[Event]) -> None:
    assert {event_type(event) for event in log} >= {
        "worker_updated",
        "task_posted",
        "task_updated",
        "task_closed",
        "feed_served",
        "feed_shown",
        "task_viewed",
        "task_saved",
        "task_hidden",
        "assignment_accepted",
        "assignment_returned",
        "assignment_abandoned",
        "assignment_submitted",
        "assignment_approved",
        "assignment_rejected",
        "requester_rated",
        "worker_rated",
    }
    posted = [event for event in log if isinstance(event, TaskPosted)]
    assert {task.category for task in posted} == {kind.name for kind in KINDS}
    assert {task.reward.currency for task in posted if task.reward} == {"IDR", "USD"}
    assert {task.languages for task in posted} == {("id",), ("en",)}
    assert any(isinstance(task.requirements, Requirements) for task in posted)


class Books:
    """An account of tasks kept from the events alone."""

    def __init__(self) -> None:
        self.slots: dict[str, int] = {}
        self.taken: Counter[str] = Counter()
        self.closed: set[str] = set()
        self.expires: dict[str, int] = {}
        self.held: dict[tuple[str, str], str] = {}
        self.hidden: set[tuple[str, str]] = set()

    def is_open(self, task: str, at: int) -> bool:
        there = task in self.slots and task not in self.closed
        return there and self.expires[task] > at and self.taken[task] < self.slots[task]

    def follow(self, event: Event) -> None:
        match event:
            case TaskPosted(task_id=task, slots=int(slots)):
                self.slots[task] = slots
                self.expires[task] = micros(event.expires_at) if event.expires_at else END
            case TaskClosed(task_id=task):
                self.closed.add(task)
            case TaskHidden(worker_id=worker, task_id=task):
                self.hidden.add((worker, task))
            case AssignmentAccepted(worker_id=worker, task_id=task):
                self.taken[task] += 1
                self.held[worker, task] = "accepted"
            case AssignmentReturned(worker_id=worker, task_id=task):
                assert self.held.pop((worker, task)) == "accepted"
                self.taken[task] -= 1
            case AssignmentAbandoned(worker_id=worker, task_id=task):
                assert self.held[worker, task] == "accepted"
                self.held[worker, task] = "abandoned"
                self.taken[task] -= 1
            case AssignmentSubmitted(worker_id=worker, task_id=task):
                assert self.held[worker, task] == "accepted"
                self.held[worker, task] = "submitted"
            case (
                AssignmentApproved(worker_id=worker, task_id=task) | AssignmentRejected(worker_id=worker, task_id=task)
            ):
                assert self.held[worker, task] == "submitted"
                self.held[worker, task] = "judged"


def test_nothing_is_accepted_that_is_full_closed_expired_hidden_or_held_and_slots_hold(log: list[Event]) -> None:
    books = Books()
    accepted = full = 0
    for event in log:
        if isinstance(event, AssignmentAccepted):
            accepted += 1
            pair = event.worker_id, event.task_id
            assert books.is_open(event.task_id, micros(event.at))
            assert pair not in books.held
            assert pair not in books.hidden
        books.follow(event)
        if isinstance(event, AssignmentAccepted):
            assert books.taken[event.task_id] <= books.slots[event.task_id]
            full += books.taken[event.task_id] == books.slots[event.task_id]
    assert accepted > 100
    assert full > 10
    assert sum(books.is_open(task, END - 1) for task in books.slots) > 10


def test_a_list_holds_only_what_is_open_for_its_worker_then(log: list[Event]) -> None:
    books = Books()
    for event in log:
        if isinstance(event, FeedServed):
            for item in event.items:
                assert books.is_open(item.task_id, micros(event.at))
                assert (event.worker_id, item.task_id) not in books.held.keys() | books.hidden
        books.follow(event)


def test_what_is_listed_is_what_the_product_finds_eligible(log: list[Event]) -> None:
    state = MarketState(Rates.shipped())
    checked = 0
    for seq, event in enumerate(log, 1):
        if isinstance(event, FeedServed) and event.items and seq % 5 == 0:
            tasks = np.array([state.catalogue.tasks.get(item.task_id) for item in event.items], np.int32)
            worker = state.catalogue.workers.get(event.worker_id)
            assert event.context is not None
            wishes = Wishes(device=event.context.device)
            assert not judge(state, worker, tasks, micros(event.at), wishes).bits.any()
            checked += 1
        batch = state.encode([(seq, micros(event.at), event)])
        state.fold(batch, 0, 1)
    assert checked > 20


def test_a_list_is_seen_from_the_top_and_its_first_positions_are_opened_most(log: list[Event]) -> None:
    lists = {event.feed_id: event for event in log if isinstance(event, FeedServed)}
    place = {(feed, item.task_id): item.position for feed, served in lists.items() for item in served.items}
    depth = {event.feed_id: event.up_to_position for event in log if isinstance(event, FeedShown)}
    views = [event for event in log if isinstance(event, TaskViewed) and event.feed_id]
    positions = Counter(place[event.feed_id or "", event.task_id] for event in views)
    assert 0.3 < len(depth) / len(lists) < 0.7
    assert all(len(lists[feed].items) >= seen for feed, seen in depth.items())
    assert all(place[event.feed_id, event.task_id] <= depth[event.feed_id] for event in views if event.feed_id in depth)
    assert sum(positions[k] for k in range(1, 6)) > 2 * sum(positions[k] for k in range(11, 16))


def test_profiles_are_incomplete_and_partly_wrong(world: World) -> None:
    profiles = world.workers.profiles
    assert 0 < sum(profile is None for profile in profiles) < 0.3 * len(profiles)
    truth = Truth(world).tables()["workers"].set_index("worker_id")
    told, good = 0, 0
    for profile in filter(None, profiles):
        assert isinstance(profile, WorkerUpdated)
        skills = list(profile.skills or ())
        told += len(skills)
        good += sum(truth.at[profile.worker_id, f"skill:{name}"] > 0.5 for name in skills)
    assert 0.75 < good / told < 1


def test_the_truth_is_in_no_event(log: list[Event], world: World) -> None:
    """No hidden number of six digits stands in the log, and no event has a field that the contract does not know."""
    text = b"".join(map(encode_event, log)).decode()
    tables = Truth(world).tables()
    hidden = {
        "workers": ["speed", "reservation_hourly", "sessions_per_day", "skill:typing", "taste:surveys"],
        "requesters": ["pay_hourly", "clarity", "leniency", "stated_bias", "verdict_hours"],
        "tasks": ["difficulty", "typical_minutes"],
    }
    for table, columns in hidden.items():
        for column in columns:
            for value in tables[table][column].head(20):
                assert f"{abs(value):.6f}"[:-1] not in text


def test_tasks_are_paid_with_heavy_tails_and_slots_and_batches_too() -> None:
    tasks = World(replace(SMALL, tasks_per_day=400), END).tasks
    _, batches = np.unique(tasks.group, return_counts=True)
    for values in (tasks.reward, tasks.slots, batches):
        assert np.mean(values) > 1.2 * np.median(values)
        assert np.max(values) > 8 * np.median(values)


def test_the_policy_decides_the_order_and_sees_only_what_a_marketplace_sees() -> None:
    asked: list[Occasion] = []

    def dearest(occasion: Occasion) -> Ranking:
        asked.append(occasion)
        tasks, rewards = occasion.available(), occasion.board.rewards
        tasks = tasks[np.argsort(-rewards[tasks])]
        return Ranking(tasks, "dearest", scores=rewards[tasks], propensities=np.ones(len(tasks)))

    rewards: dict[str, float] = {}
    lists = 0
    for event in World(SMALL, END).run(dearest):
        if isinstance(event, TaskPosted) and event.reward:
            rate = SMALL.idr_per_usd if event.reward.currency == "IDR" else 1.0
            rewards[event.task_id] = float(event.reward.amount) / rate
        if isinstance(event, TaskUpdated) and isinstance(event.reward, msgspec.Struct):
            rate = SMALL.idr_per_usd if event.reward.currency == "IDR" else 1.0
            rewards[event.task_id] = float(event.reward.amount) / rate
        if isinstance(event, FeedServed):
            lists += 1
            paid = [rewards[item.task_id] for item in event.items]
            assert paid == pytest.approx(sorted(paid, reverse=True))
            assert [item.position for item in event.items] == list(range(1, len(paid) + 1))
            assert event.policy == "dearest"
            assert [item.score for item in event.items] == pytest.approx(paid)
    assert lists == len(asked) > 50
    assert set(Board.__dataclass_fields__) == {"task_ids", "index", "posted", "groups", "rewards"}
    board = asked[0].board
    assert board.indices(board.task_ids[3:5]).tolist() == [3, 4]


def test_given_a_policy_that_lists_what_may_not_be_listed_then_it_is_told_which() -> None:
    def everything(occasion: Occasion) -> Ranking:
        return Ranking(np.arange(len(occasion.board.task_ids))[::-1], "everything")

    with pytest.raises(ValueError, match=r"policy everything lists to w\d+ what may not be listed: t\d+"):
        list(World(SMALL, END).run(everything))


def test_given_a_policy_that_lists_a_task_twice_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match="may not be listed"):
        list(World(SMALL, END).run(lambda occasion: Ranking(np.repeat(occasion.available(), 2), "twice")))


def test_what_the_product_finds_eligible_the_marketplace_lists() -> None:
    state, pending = MarketState(Rates.shipped()), list[Event]()
    seen = 0

    def eligible(occasion: Occasion) -> Ranking:
        nonlocal seen
        batch = state.encode([(seen + place, micros(event.at), event) for place, event in enumerate(pending, 1)])
        state.fold(batch, 0, len(pending))
        seen += len(pending)
        pending.clear()
        dense = open_at(state, occasion.at)
        worker = state.catalogue.workers.get(occasion.worker_id)
        kept = dense[judge(state, worker, dense, occasion.at, Wishes(device=occasion.device)).bits == 0]
        tasks = occasion.board.indices([state.catalogue.tasks.external(int(task)) for task in kept])
        assert np.isin(occasion.available(), tasks).all()
        return Ranking(occasion.rng.permutation(tasks), "eligible")

    for event in World(SMALL, END).run(eligible):
        pending.append(event)  # the policy folds the list while it grows
    assert seen > 1000


def test_competing_policies_meet_the_same_tasks_and_workers(log: list[Event]) -> None:
    other = World(SMALL, END)
    events = list(other.run(random_order))

    def postings(events: list[Event]) -> list[tuple[object, ...]]:
        return [(e.at, e.task_id, e.title, e.reward) for e in events if isinstance(e, TaskPosted)]

    assert postings(events) == postings(log)


def test_a_copied_world_goes_on_as_its_original_and_leaves_it_alone(log: list[Event], world: World) -> None:
    original = World(SMALL, END)
    half = (original.start + original.end) // 2
    events = list(original.run(NewestFirst(), until=half))
    assert 0 < micros(events[-1].at) < half
    twin, other = deepcopy(original), deepcopy(original)
    other_events = list(other.run(random_order))
    tails = [list(each.run(NewestFirst())) for each in (twin, original)]
    assert events + tails[0] == events + tails[1] == log
    assert other_events != tails[0]
    for name, table in world.ledger.tables().items():
        pd.testing.assert_frame_equal(twin.ledger.tables()[name], table)
        pd.testing.assert_frame_equal(original.ledger.tables()[name], table)


def test_every_event_before_a_list_was_handed_out_before_the_policy_was_asked() -> None:
    world = World(SMALL, END)
    seen: list[Event] = []

    def watching(occasion: Occasion) -> Ranking:
        posted = {event.task_id for event in seen if isinstance(event, TaskPosted)}
        assert {occasion.board.task_ids[task] for task in occasion.available()} <= posted
        return random_order(occasion)

    for event in world.run(watching):
        seen.append(event)  # noqa: PERF402  # the policy looks at the list while it grows


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: replace(SMALL, workers=0),
        lambda: replace(SMALL, seed=-1),
        lambda: replace(SMALL, task=TaskConfig(stated_share=1.5)),
        lambda: replace(SMALL, behaviour=BehaviourConfig(pay_weight=float("nan"))),
    ],
)
def test_given_a_number_out_of_range_then_it_is_named(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(CocokError, match=r"workers|seed|stated_share|pay_weight"):
        wrong()


def demand(config: SimulationConfig) -> float:
    """The acceptances that workers would make if slots were unlimited, for each slot posted, under newest first."""
    world = World(config, END)
    posted = int(world.tasks.slots.sum())
    # A slot for every worker in each task.
    world.tasks.slots[:] = config.workers
    for _ in world.run(NewestFirst()):
        pass
    return len(world.ledger.tables()["assignments"]) / posted


def test_in_the_scarce_market_three_times_the_slots_are_wanted() -> None:
    assert demand(replace(PRESETS["scarce"], days=7)) == pytest.approx(3.0, abs=0.5)
    assert PRESETS["standard"].workers == PRESETS["scarce"].workers == 400
