"""Policies meet the same world, and what they make of it is what theory says."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from features.events import Entry, Event, FeedServed, TaskPosted, encode_event
from features.money import Money
from matching.calibration import Additive
from tests.digest import digest
from tests.training.experiment.conftest import RATES, SMALL, WARM_UP, start, start_of
from training.experiment import recording
from training.experiment.contestants import PLAIN, Matched
from training.experiment.live import Live
from training.experiment.orders import ORDERS
from training.experiment.recording import Nightly, Recorder, watched
from training.experiment.run import END
from training.experiment.trial import Outcome, Start, run, trial, warm_up
from training.metrics import cluster_interval
from training.replay import training_set
from training.simulation import BehaviourConfig, NewestFirst, TaskConfig, World
from training.simulation.postings import DAY

SIMPLE = ("random", "newest", "highest_reward", "highest_hourly", "skill_overlap", "popularity", "usual", "oracle")
STAYING = replace(SMALL.worker, leave_bias=-50.0)


def events(begun: Start, policy: str) -> list[Event]:
    return [event for _, _, event in run(begun, policy)]


def log(begun: Start, policy: str) -> bytes:
    return b"\n".join(map(encode_event, events(begun, policy)))


@pytest.mark.parametrize("policy", ["random", "oracle", "champion", "explore", "nightly"])
def test_given_the_same_seed_then_the_log_is_the_same_to_the_byte(learned: Callable[[], Start], policy: str) -> None:
    assert log(learned(), policy) == log(learned(), policy)


def test_a_policy_is_not_better_than_itself() -> None:
    one, other = trial(start(), "popularity", 1), trial(start(), "popularity", 1)
    assert one.figures == pytest.approx(other.figures, abs=0, rel=0, nan_ok=True)
    pd.testing.assert_frame_equal(one.workers, other.workers)


def test_all_policies_meet_the_same_postings_and_the_same_first_visits() -> None:
    config = replace(SMALL, worker=STAYING)
    postings, visits = [], []
    for policy in ("newest", "highest_reward", "oracle"):
        begun = start(config)
        found = events(begun, policy)
        postings.append([(event.task_id, event.at) for event in found if isinstance(event, TaskPosted)])
        lists = [(event.worker_id, event.at) for event in found if isinstance(event, FeedServed)]
        # Later visits depend on what was taken before: nobody begins one in the middle of another.
        visits.append(dict(reversed(lists)))
    assert postings[0] == postings[1] == postings[2]
    assert visits[0] == visits[1] == visits[2]


def test_a_start_goes_on_as_the_world_that_it_was_copied_from() -> None:
    world = World(SMALL, END)
    original = warm_up(world, RATES, world.start + WARM_UP * DAY, ())
    copy = start()
    assert digest(copy.live.state) == digest(original.live.state)
    assert events(original, "skill_overlap") == events(copy, "skill_overlap")
    assert digest(copy.live.state) == digest(original.live.state)


def test_the_usual_policy_goes_on_as_the_warm_up_did() -> None:
    begun = start()
    kept_on = [event for _, _, event in begun.live.run(NewestFirst(), begun.live.world.end)]
    found = [
        msgspec.structs.replace(event, policy="newest") if isinstance(event, FeedServed) else event
        for event in events(start(), "usual")
    ]
    assert found == kept_on
    batch = dict(zip(begun.live.world.board.task_ids, begun.live.world.board.groups.tolist(), strict=True))
    for policy, most in (("usual", 2), ("newest", 20)):
        lists = [event for event in events(start(), policy) if isinstance(event, FeedServed) and event.items]
        assert {event.policy for event in lists} == {policy}
        counts = [max(Counter(batch[item.task_id] for item in event.items).values()) for event in lists]
        assert (max(counts) > 2) == (most > 2)


def test_every_list_is_made_by_the_policy_and_full_where_enough_can_be_taken(learned: Callable[[], Start]) -> None:
    for policy in ("newest", "champion"):
        lists = [event for event in events(learned(), policy) if isinstance(event, FeedServed)]
        assert {event.policy for event in lists} == {policy}
        assert {event.model_version for event in lists} == {"champion" if policy == "champion" else None}
        assert all((event.items[0].score is None) == (policy == "newest") for event in lists if event.items)
        assert np.mean([len(event.items) for event in lists]) > 0.8 * SMALL.behaviour.list_length


def test_the_champion_that_explores_draws_from_the_same_scores_and_logs_its_chances(
    learned: Callable[[], Start],
) -> None:
    plain, drawn = (
        [event for event in events(learned(), policy) if isinstance(event, FeedServed)]
        for policy in ("champion", "explore")
    )
    assert {event.policy for event in drawn} == {"explore"}
    assert {event.model_version for event in drawn} == {"champion"}
    assert all(item.propensity is None for event in plain for item in event.items)
    chances = [item.propensity or 0.0 for event in drawn for item in event.items]
    assert 0 < min(chances) < 0.1 < max(chances) <= 1
    assert [item.task_id for item in drawn[0].items] != [item.task_id for item in plain[0].items]


def test_recorded_rows_are_those_of_a_replay() -> None:
    live = Live(World(SMALL, END), RATES)
    recorder = Recorder(100 * DAY)
    entries: list[Entry] = []
    for entry in live.run(watched(NewestFirst(), live, recorder), END):
        recorder.follow(entry)
        entries.append(entry)
    recorded, replayed = recorder.training_set(END), training_set(lambda: [entries], RATES, until=END)
    assert len(recorded) > 200
    for name in ("features", "labels", "verdicts", "minutes", "offsets", "times", "positions", "workers", "tasks"):
        np.testing.assert_array_equal(getattr(recorded, name), getattr(replayed, name), err_msg=name)
    assert recorded.maturity == replayed.maturity


def test_the_nightly_ranker_starts_as_the_champion_and_learns_every_night(learned: Callable[[], Start]) -> None:
    lists = [event for event in events(learned(), "nightly") if isinstance(event, FeedServed)]
    by_night = {event.model_version: event.at for event in reversed(lists)}
    assert sorted(map(str, by_night)) == ["nightly-0", "nightly-1", "nightly-2", "nightly-3"]
    assert [by_night[f"nightly-{night}"].hour for night in (1, 2, 3)] == [3, 3, 3]
    first = next(event for event in events(learned(), "champion") if isinstance(event, FeedServed))
    assert [item.task_id for item in lists[0].items] == [item.task_id for item in first.items]


def test_a_night_grows_no_more_trees_than_it_may(learned: Callable[[], Start], monkeypatch: pytest.MonkeyPatch) -> None:
    begun = learned()
    assert begun.bundle is not None
    assert begun.recorder is not None
    given, grown, fitted = begun.bundle.ranker.booster.num_trees(), [], recording.fit

    def watched_fit(*args: Any, **options: Any) -> Additive:
        ranker = fitted(*args, **options)
        grown.append(ranker.booster.num_trees())
        return ranker

    monkeypatch.setattr(recording, "fit", watched_fit)
    for most in (given + 1, given - 1):
        monkeypatch.setattr(recording, "MOST_TREES", most)
        Nightly(begun.bundle, begun.recorder).learn(begun.since)
    assert grown == [given, given - 1]


def test_a_recorder_forgets_what_is_older_than_its_window() -> None:
    live = start().live
    recorder = Recorder(DAY)
    for entry in live.run(watched(NewestFirst(), live, recorder), END):
        recorder.follow(entry)
    rows = recorder.training_set(END)
    assert rows.times.min() >= END - DAY
    assert rows.times.max() > END - DAY // 2


# What theory says


def surplus(begun: Start, outcome: Outcome) -> float:
    reservation = begun.live.world.workers.reservation[outcome.workers.index]
    return float((outcome.workers["earned"] - reservation * outcome.workers["hours"]).sum())


def test_the_oracle_is_best_at_what_it_seeks_and_chance_the_worst() -> None:
    found: dict[str, list[float]] = {}
    hourly: dict[str, list[float]] = {}
    for policy in ("random", "highest_hourly", "popularity", "oracle"):
        for seed in (1, 2, 3):
            begun = start(replace(SMALL, seed=seed))
            outcome = trial(begun, policy, seed)
            found.setdefault(policy, []).append(surplus(begun, outcome))
            hourly.setdefault(policy, []).append(outcome.figures["hourly"])
    for each in (found, hourly):
        order = sorted(each, key=lambda policy: float(np.mean(each[policy])))
        assert (order[0], order[-1]) == ("random", "oracle")


def uniform(config_seed: int) -> World:
    """A world where all tasks ask for one skill and promise the same."""
    config = replace(SMALL, seed=config_seed, task=TaskConfig(raise_share=0.0))
    world = World(config, END)
    world.tasks.postings = [
        msgspec.structs.replace(
            posting, skills=("counting",), reward=Money(Decimal("0.50"), "USD"), estimated_minutes=10.0
        )
        for posting in world.tasks.postings
    ]
    world.tasks.reward[:] = world.tasks.first_reward[:] = 0.5
    return world


def test_with_one_skill_and_one_price_orders_by_skill_and_pay_are_orders_by_chance() -> None:
    by_chance = events(start_of(uniform, 1), "random")
    for policy in ("highest_reward", "highest_hourly", "skill_overlap"):
        found = [
            msgspec.structs.replace(event, policy="random") if isinstance(event, FeedServed) else event
            for event in events(start_of(uniform, 1), policy)
        ]
        assert found == by_chance


def doubled(config_seed: int, factor: int) -> World:
    """A world whose rewards and reservation wages are so many times what they are."""
    config = replace(
        SMALL, seed=config_seed, task=TaskConfig(raise_share=0.0), behaviour=BehaviourConfig(bonus_share=0.0)
    )
    world = World(config, END)
    for amounts in (world.tasks.reward, world.tasks.first_reward, world.workers.reservation):
        amounts *= factor
    world.tasks.postings = [
        msgspec.structs.replace(posting, reward=Money(posting.reward.amount * factor, posting.reward.currency))
        for posting in world.tasks.postings
        if posting.reward is not None
    ]
    return world


@pytest.mark.parametrize("policy", SIMPLE)
def test_twice_the_pay_against_twice_the_wage_changes_nothing_but_amounts(policy: str) -> None:
    one, two = (trial(start_of(doubled, 1, factor), policy, 1) for factor in (1, 2))
    amounts = {"hourly", "hourly_median", "hourly_tenth", "hourly_worked", "earned"}
    for name, value in one.figures.items():
        assert two.figures[name] == pytest.approx((2 if name in amounts else 1) * value, rel=1e-12, nan_ok=True), name


def gain_of_skill(behaviour: BehaviourConfig) -> tuple[float, float, float]:
    """How many more lists by skill end with an acceptance than under newest first, with the interval over worlds."""
    gains, seeds = [], range(1, 7)
    for seed in seeds:
        config = replace(SMALL, seed=seed, behaviour=behaviour, worker=STAYING)
        skill, newest = (
            trial(start(config), policy, seed).figures["lists_taken"] for policy in ("skill_overlap", "newest")
        )
        gains.append(skill - newest)
    return cluster_interval(gains, seeds)


def test_the_place_in_a_list_matters_only_where_attention_falls() -> None:
    # With everything listed, policies differ by places alone.
    falling = replace(SMALL.behaviour, list_length=1000)
    mean, low, high = gain_of_skill(falling)
    assert low > 0.0
    flat_mean, low, high = gain_of_skill(replace(falling, glance_decay=0.0, scan_on_share=1.0))
    assert low < 0.0 < high
    assert flat_mean < mean / 2


def test_given_a_policy_that_explores_then_the_log_tells_how_likely_its_orders_were() -> None:
    begun = start()
    policy = Matched("explored", begun.live, lambda _: PLAIN, ORDERS["highest_reward"], explores=True)
    lists = [event for _, _, event in begun.live.run(policy, begun.since + DAY) if isinstance(event, FeedServed)]
    drawn = [[item.propensity for item in served.items] for served in lists if len(served.items) > 1]
    assert drawn
    assert all(propensity is not None and 0 < propensity <= 1 for one in drawn for propensity in one)
    assert min(min(one) for one in drawn) < 0.5
