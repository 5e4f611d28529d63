"""Competition for slots, workers who leave, and the evaluator's books."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features.events import (
    AssignmentAccepted,
    AssignmentApproved,
    Event,
    FeedServed,
    TaskPosted,
    TaskViewed,
    WorkerUpdated,
    encode_event,
)
from tests.training.simulation.conftest import END, SMALL
from training.simulation import (
    BehaviourConfig,
    NewestFirst,
    SimulationConfig,
    TaskConfig,
    Truth,
    WorkerConfig,
    World,
    random_order,
)
from training.simulation.attrition import Attrition
from training.simulation.chance import Dice
from training.simulation.postings import DAY, NEVER

BUSY = SimulationConfig(workers=300, tasks_per_day=150, days=3, seed=3, worker=WorkerConfig(sessions_per_day=2.5))
SCARCE = replace(BUSY, task=TaskConfig(slots_limit=1))


def ran(config: SimulationConfig, change: Callable[[World], None] | None = None) -> tuple[World, list[Event]]:
    world = World(config, END)
    if change:
        change(world)
    return world, list(world.run(NewestFirst()))


@pytest.fixture(scope="module")
def tables(world: World) -> dict[str, pd.DataFrame]:
    return world.ledger.tables()


@pytest.fixture(scope="module")
def scarce() -> World:
    return ran(SCARCE)[0]


def wasted(world: World) -> float:
    lists = world.ledger.tables()["lists"]
    return float(lists["wasted"].sum() / lists["clicks"].sum())


def test_clicks_are_wasted_where_work_is_scarce(scarce: World) -> None:
    assert wasted(scarce) > wasted(ran(BUSY)[0])
    outcomes = set(scarce.ledger.tables()["clicks"]["outcome"])
    assert outcomes == {"taken", "declined", "gone", "lost"}


def test_a_wasted_click_takes_nothing_and_costs_time(scarce: World) -> None:
    books = scarce.ledger.tables()
    clicks, lists = books["clicks"], books["lists"].set_index("list")
    missed = clicks[clicks["outcome"].isin(["gone", "lost"])]
    assert (lists.loc[missed["list"], "seconds"] > 2).all()
    assert (clicks.groupby("list")["outcome"].apply(lambda each: (each == "taken").sum()) <= 1).all()


def test_the_ledger_agrees_with_the_log(log: list[Event], tables: dict[str, pd.DataFrame], world: World) -> None:
    """Every acceptance and approval is in both; views and lists but for what still went on at the end."""
    ids = world.workers.ids
    accepted = Counter((e.worker_id, e.task_id) for e in log if isinstance(e, AssignmentAccepted))
    books = tables["assignments"]
    names = zip(books["worker"].map(ids.__getitem__), books["task"].map(world.tasks.ids.__getitem__), strict=True)
    assert Counter(names) == accepted
    assert books["approved"].sum() == sum(isinstance(event, AssignmentApproved) for event in log)
    views = sum(isinstance(event, TaskViewed) for event in log)
    assert views - 5 <= len(tables["clicks"]) <= views
    served = sum(isinstance(event, FeedServed) for event in log)
    assert served - 5 <= (tables["lists"]["surface"] == "feed").sum() <= served
    assert tables["tasks"]["filled"].le(tables["tasks"]["slots"]).all()
    full = tables["tasks"].dropna(subset="full_at")
    assert len(full) > 10
    assert (full["full_at"] > full["posted_at"]).all()


def test_a_session_is_search_and_work_and_overhead(tables: dict[str, pd.DataFrame]) -> None:
    """What is in the books of a worker adds up to the time of the visits, but for moments between and abandonment."""
    sessions, work = tables["sessions"], tables["assignments"].dropna(subset="ended_at")
    there = (sessions["ended_at"] - sessions["began_at"]).groupby(sessions["worker"]).sum() / 1e6
    looking = tables["lists"].groupby("worker")["seconds"].sum()
    working = work.groupby("worker")[["work_seconds", "overhead_seconds"]].sum().sum(axis=1)
    known = looking.add(working, fill_value=0).reindex(there.index)
    assert (known / there).median() == pytest.approx(1, abs=0.01)


def test_earnings_come_with_approval_alone(tables: dict[str, pd.DataFrame], world: World) -> None:
    books = tables["assignments"].dropna(subset="approved")
    paid, approved = books["earned_usd"], books["approved"].astype(bool)
    assert (paid[~approved] == 0).all()
    assert (paid[approved] >= world.tasks.first_reward[books["task"][approved]] - 1e-9).all()
    assert (books["ended_at"] <= books["judged_at"]).all()


def test_positions_are_exposed_in_order_and_seen_from_the_top(tables: dict[str, pd.DataFrame]) -> None:
    exposures = tables["exposures"]
    assert (exposures.groupby("list")["position"].diff().dropna() == 1).all()
    assert exposures.groupby("position")["seen"].mean().is_monotonic_decreasing


def test_given_attention_that_does_not_fall_then_the_position_does_not_matter() -> None:
    flat = BehaviourConfig(glance_decay=0.0, scan_on_share=1.0, again_share=0.0, accept_bias=-30.0)
    world = World(replace(SMALL, behaviour=flat), END)
    for _ in world.run(random_order):
        pass
    takes = [Truth(world).ask("w00001", ["t000001"], position=k).at[0, "p_take"] for k in (1, 10, 20)]
    assert takes[0] == takes[1] == takes[2]
    books = world.ledger.tables()
    assert books["exposures"]["seen"].all()
    opened = books["clicks"].groupby("position").size().reindex(range(1, 21), fill_value=0)
    offered = books["exposures"].groupby("position").size()
    first, last = (opened[half].sum() / offered[half].sum() for half in (range(1, 11), range(11, 21)))
    assert first == pytest.approx(last, rel=0.15)


def test_given_hidden_numbers_that_have_not_acted_then_what_is_posted_and_declared_is_the_same(
    log: list[Event],
) -> None:
    other = ran(replace(SMALL, behaviour=BehaviourConfig(pay_weight=0.0), worker=WorkerConfig(leave_bias=-30.0)))[1]

    def declared(events: list[Event]) -> list[bytes]:
        chosen = [event for event in events if isinstance(event, TaskPosted | WorkerUpdated)]
        firsts = {getattr(e, "worker_id", "") + getattr(e, "task_id", ""): e for e in reversed(chosen)}
        return sorted(encode_event(e).split(b'"at"')[1] for e in firsts.values())

    assert declared(other) == declared(log)


def test_given_twice_the_pay_and_twice_the_wishes_then_the_same_is_done() -> None:
    def dearer(world: World) -> None:
        world.tasks.reward *= 2
        world.tasks.first_reward *= 2
        world.workers.reservation *= 2

    short = replace(SMALL, days=4)
    plain, double = ran(short)[0].ledger.tables(), ran(short, dearer)[0].ledger.tables()
    # Raises are rounded in the currency of the task, and a bonus too.
    for name in ("lists", "clicks", "sessions"):
        pd.testing.assert_frame_equal(plain[name], double[name])
    assert double["assignments"]["earned_usd"].sum() == pytest.approx(
        2 * plain["assignments"]["earned_usd"].sum(), rel=1e-3
    )


def test_workers_who_earn_less_leave_sooner() -> None:
    law = WorkerConfig()
    dice = Dice(1)

    def left(hourly: float, scale: float = 1.0) -> int:
        people = Attrition(law, np.full(300, 2.0 * scale), dice)
        for day in range(30):
            for worker in np.flatnonzero(people.left == NEVER).tolist():
                people.paid(worker, hourly * scale / 2)
                people.session(worker, 0.5, day * DAY)
        return int((people.left != NEVER).sum())

    assert left(0.5) > left(1.0) > left(2.0) > left(8.0) > 0
    assert left(1.0, scale=2.0) == left(1.0)


def test_nobody_leaves_before_the_least_experience_and_luck_is_the_day_s_own() -> None:
    people = Attrition(WorkerConfig(leave_bias=30.0), np.ones(3), Dice(1))
    assert [people.session(0, 1.0, day * DAY) for day in range(3)] == [False, False, True]
    assert people.left.tolist() == [2 * DAY, NEVER, NEVER]


def test_whoever_has_left_is_shown_nothing_any_more() -> None:
    world, log = ran(replace(SMALL, days=12, worker=WorkerConfig(leave_bias=1.0)))
    books = world.ledger.tables()
    left = books["workers"].set_index("worker")["left_at"].dropna()
    assert len(left) > 10
    last = books["lists"].groupby("worker")["served_at"].max()
    assert (last.reindex(left.index) <= left).all()
    assert sum(isinstance(event, FeedServed) for event in log) < 500
