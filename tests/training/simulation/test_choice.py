"""Choices and outcomes move the way that pay, skill and history say."""

from pathlib import Path

import numpy as np
import pytest

from features.errors import CocokError
from tests.training.simulation.conftest import END, SMALL
from training.simulation import Truth, World, read_truth
from training.simulation.choice import Outlook
from training.simulation.policies import few_of_each
from training.simulation.reactions import plan


@pytest.fixture
def fresh() -> World:
    """A world before its first day."""
    return World(SMALL, END)


ALL = np.arange(200)


def outlook(world: World) -> Outlook:
    return world.choice.outlook(0, ALL, 60.0)


def test_better_pay_raises_opening_and_acceptance(fresh: World) -> None:
    before = outlook(fresh)
    fresh.tasks.reward *= 1.5
    assert (outlook(fresh).view > before.view).all()
    assert (outlook(fresh).accept > before.accept).all()


def test_pay_counts_against_the_reservation_wage_alone(fresh: World) -> None:
    before = outlook(fresh)
    fresh.tasks.reward *= 2
    fresh.workers.reservation *= 2
    assert np.array_equal(outlook(fresh).view, before.view)
    assert np.array_equal(outlook(fresh).accept, before.accept)


def test_more_skill_raises_acceptance_and_approval_and_saves_time(fresh: World) -> None:
    before = outlook(fresh)
    fresh.workers.skill[0] = np.minimum(1.0, fresh.workers.skill[0] + 0.2)
    after = outlook(fresh)
    assert (after.accept >= before.accept).all()
    assert (after.approve >= before.approve).all()
    assert (after.minutes <= before.minutes).all()
    assert after.approve.mean() > before.approve.mean() + 0.02


def test_doing_a_kind_of_work_makes_the_worker_quicker_and_keener_in_it_alone(fresh: World) -> None:
    before = outlook(fresh)
    for _ in range(10):
        fresh.memory.submitted(0, 1, fresh.start)
    after, same = outlook(fresh), fresh.tasks.kind[ALL] == 1
    assert (after.minutes[same] < before.minutes[same]).all()
    assert (after.accept[same] > before.accept[same]).all()
    assert np.array_equal(after.minutes[~same], before.minutes[~same])


def test_a_rejection_keeps_the_worker_from_the_requester(fresh: World) -> None:
    before = outlook(fresh)
    fresh.memory.judged(0, int(fresh.tasks.requester[0]), fresh.start, approved=False)
    theirs = fresh.tasks.requester[ALL] == fresh.tasks.requester[0]
    assert (outlook(fresh).accept[theirs] < before.accept[theirs]).all()


def test_a_foreign_language_keeps_the_worker_away(fresh: World) -> None:
    fresh.workers.languages[0] = True
    before = outlook(fresh)
    fresh.workers.languages[0, 1] = False
    foreign = fresh.tasks.language[ALL] == 1
    assert (outlook(fresh).view[foreign] < before.view[foreign]).all()


def test_given_an_earlier_instant_then_the_memory_and_the_rewards_are_those_of_then(fresh: World) -> None:
    then, group = fresh.start + 5, int(fresh.tasks.group[0])
    fresh.memory.took(0, group, then)
    fresh.memory.submitted(0, 1, then)
    before = outlook(fresh)
    fresh.memory.took(0, group, then + 1)
    fresh.memory.took(0, int(fresh.tasks.group[-1]), then + 1)
    fresh.memory.submitted(0, 1, then + 1)
    fresh.memory.judged(0, int(fresh.tasks.requester[0]), then + 2, approved=True)
    fresh.memory.judged(0, int(fresh.tasks.requester[0]), then + 3, approved=False)
    fresh.tasks.reward[0] *= 2
    fresh.tasks.raised_at[0] = then + 4
    assert (outlook(fresh).accept != before.accept).any()
    again = fresh.choice.outlook(0, ALL, 60.0, then)
    assert all(np.allclose(now, old, rtol=1e-12) for now, old in zip(again, before, strict=True))
    assert fresh.memory.mind(0, then)[3:] == (0, 0)
    assert fresh.memory.mind(0)[3:] == (1, 1)


def test_the_truth_answers_for_a_worker_and_tasks(world: World) -> None:
    truth = Truth(world)
    asked = truth.ask("w00001", ["t000003", "t000001"])
    assert asked["task_id"].tolist() == ["t000003", "t000001"]
    shares = asked[["p_view", "p_accept", "p_take", "p_finish", "p_approve"]]
    assert shares.apply(lambda column: column.between(0, 1)).all(axis=None)
    assert (asked["minutes"] > 0).all()
    lower = truth.ask("w00001", ["t000003", "t000001"], position=9)
    assert (lower["p_take"] < asked["p_take"]).all()
    with pytest.raises(KeyError):
        truth.ask("nobody", ["t000001"])


def test_the_chance_that_a_list_leads_to_work_is_the_share_of_visits_that_do(world: World) -> None:
    tasks = np.arange(12)
    minutes, orders = 60.0, np.array([tasks, tasks[::-1]])
    found = Truth(world).led_to_work("w00002", [world.tasks.ids[task] for task in tasks], minutes, orders, END)
    people, law, random = world.workers, world.config.behaviour, np.random.default_rng(0)
    worker = people.ids.index("w00002")
    seen = world.choice.outlook(worker, tasks, minutes, END)
    seen = seen._replace(accept=seen.accept * world.market.qualifies(worker, tasks, END))
    for order, chance in zip(orders, found, strict=True):
        own = Outlook(*(values[order] for values in seen))
        visits = [plan(law, order, own, float(people.scan_on[worker]), random) for _ in range(4000)]
        led = np.mean([any(step.act == "take" for step in visit.steps) for visit in visits])
        assert chance == pytest.approx(led, abs=0.03)


def test_the_truth_is_written_and_read_back(world: World, tmp_path: Path) -> None:
    Truth(world).write(tmp_path / "truth.json")
    read = read_truth(tmp_path / "truth.json")
    for name, table in Truth(world).tables().items():
        assert read[name].columns.tolist() == table.columns.tolist()
        assert read[name].iloc[:, 0].tolist() == table.iloc[:, 0].tolist()
    with pytest.raises(CocokError, match="cocok simulate"):
        read_truth(tmp_path / "none.json")


def test_few_of_each_keeps_the_first_of_every_group() -> None:
    groups = np.array([7, 3, 7, 7, 3, 9])
    assert few_of_each(groups, 2).tolist() == [True, True, True, False, True, True]
    assert few_of_each(groups[:0], 2).tolist() == []
