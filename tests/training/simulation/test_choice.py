"""Choices and outcomes move the way that pay, skill and history say."""

from pathlib import Path

import numpy as np
import pytest

from features.errors import CocokError
from tests.training.simulation.conftest import END, SMALL
from training.simulation import Truth, World, read_truth
from training.simulation.policies import few_of_each


@pytest.fixture
def fresh() -> World:
    """A world before its first day."""
    return World(SMALL, END)


ALL = np.arange(200)


def test_better_pay_raises_opening_and_acceptance(fresh: World) -> None:
    view, accept = fresh.choice.chances(0, ALL, 60.0)
    fresh.tasks.reward *= 1.5
    dearer_view, dearer_accept = fresh.choice.chances(0, ALL, 60.0)
    assert (dearer_view > view).all()
    assert (dearer_accept > accept).all()


def test_more_skill_raises_acceptance_and_approval_and_saves_time(fresh: World) -> None:
    before = fresh.choice.accept(0, ALL, 60.0), fresh.choice.approval(0, ALL), fresh.choice.minutes(0, ALL)
    fresh.workers.skill[0] = np.minimum(1.0, fresh.workers.skill[0] + 0.2)
    after = fresh.choice.accept(0, ALL, 60.0), fresh.choice.approval(0, ALL), fresh.choice.minutes(0, ALL)
    assert (after[0] >= before[0]).all()
    assert (after[1] >= before[1]).all()
    assert (after[2] <= before[2]).all()
    assert after[1].mean() > before[1].mean() + 0.02


def test_doing_a_kind_of_work_makes_the_worker_quicker_and_keener_in_it_alone(fresh: World) -> None:
    before_minutes, before_accept = fresh.choice.minutes(0, ALL), fresh.choice.accept(0, ALL, 60.0)
    fresh.memory.done[0, 1] = 10
    same = fresh.tasks.kind[ALL] == 1
    assert (fresh.choice.minutes(0, ALL)[same] < before_minutes[same]).all()
    assert (fresh.choice.accept(0, ALL, 60.0)[same] > before_accept[same]).all()
    assert np.array_equal(fresh.choice.minutes(0, ALL)[~same], before_minutes[~same])


def test_a_rejection_keeps_the_worker_from_the_requester(fresh: World) -> None:
    before = fresh.choice.accept(0, ALL, 60.0)
    fresh.memory.trust[0, fresh.tasks.requester[0]] = -1.0
    theirs = fresh.tasks.requester[ALL] == fresh.tasks.requester[0]
    assert (fresh.choice.accept(0, ALL, 60.0)[theirs] < before[theirs]).all()


def test_a_foreign_language_keeps_the_worker_away(fresh: World) -> None:
    fresh.workers.languages[0] = True
    before = fresh.choice.view(0, ALL, 60.0)
    fresh.workers.languages[0, 1] = False
    foreign = fresh.tasks.language[ALL] == 1
    assert (fresh.choice.view(0, ALL, 60.0)[foreign] < before[foreign]).all()


def test_the_truth_answers_for_a_worker_and_tasks(world: World) -> None:
    truth = Truth(world)
    asked = truth.ask("w00001", ["t000003", "t000001"])
    assert asked["task_id"].tolist() == ["t000003", "t000001"]
    assert asked[["p_view", "p_accept", "p_approve"]].apply(lambda column: column.between(0, 1)).all(axis=None)
    assert (asked["minutes"] > 0).all()
    with pytest.raises(KeyError):
        truth.ask("nobody", ["t000001"])


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
