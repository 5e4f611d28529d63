"""The order without a model: what is known and paid well stands first, and nothing is claimed that nobody knows."""

import math

import numpy as np
import pytest

from features.build import rows
from features.spec import COLUMN, GROUPS, NAMES
from matching.fallback import FallbackRanker
from matching.scoring import UNTOLD_MINUTES
from tests.log import Log, hour, usd


def row(**values: float) -> np.ndarray:
    found = np.full((1, len(NAMES)), np.nan, np.float32)
    for name, value in values.items():
        found[0, COLUMN[name]] = value
    return found


def score(**values: float) -> float:
    return float(FallbackRanker().answers(row(**values)).scores[0])


RAISES = ["skill_coverage", "skill_overlap", "hourly_rank", "reward_rank"]


@pytest.mark.parametrize("column", RAISES)
def test_more_skill_or_pay_raises_and_what_is_missing_is_in_the_middle(column: str) -> None:
    low, middle, high = (score(**{column: value}) for value in (0.2, 0.5, 0.8))
    assert low < middle < high
    assert score() == middle


def test_tasks_like_those_taken_before_stand_higher_and_without_a_history_nothing_moves() -> None:
    assert score(affinity_z=-1) < score() < score(affinity_z=1)
    assert score() == score(affinity_z=0)


def test_what_skill_and_pay_contribute_adds_up_to_the_score() -> None:
    both = np.concatenate([row(hourly_rank=0.9, affinity_z=2.0, skill_overlap=0.5), row(reward_rank=0.1)])
    answers = FallbackRanker().answers(both)
    found = answers.contribute(both, 2)
    assert found.sum(axis=1) == pytest.approx(answers.scores)
    assert set(np.flatnonzero(found.any(axis=0))) == {GROUPS.index("skill"), GROUPS.index("pay")}
    assert found[:, GROUPS.index("pay")] == pytest.approx([0.9 + 0.5, 0.5 + 0.1])


def test_it_answers_to_its_own_name_and_claims_no_chance_of_acceptance() -> None:
    ranker = FallbackRanker()
    found = ranker.answers(row(market_approval=0.9, kind_approval=-0.1, minutes=math.log(12))).outcomes()
    assert ranker.version == "fallback"
    assert np.isnan(found.p_accept).all()
    assert found.p_approve[0] == pytest.approx(0.8)
    assert found.minutes[0] == pytest.approx(12)
    assert ranker.answers(row()).outcomes().minutes[0] == UNTOLD_MINUTES


def test_given_a_profile_then_known_work_leads_and_among_it_the_better_paid() -> None:
    log = Log().add("worker_updated", worker_id="w", skills=["python"])
    offers = {"known, low": ("python", 1.0), "known, high": ("python", 4.0), "other, low": ("audio", 1.0)}
    for name, (skill, reward) in {**offers, "other, high": ("audio", 4.0)}.items():
        log.post(name, skills=[skill], reward=usd(reward), estimated_minutes=10)
    state = log.state()
    names = [*offers, "other, high"]
    tasks = np.array([state.catalogue.tasks.get(name) for name in names], np.int32)
    ranker = FallbackRanker()
    scores = ranker.answers(rows(state, state.catalogue.workers.get("w"), tasks, hour(1))).scores
    order = [names[place] for place in np.argsort(-scores)]
    assert order == ["known, high", "known, low", "other, high", "other, low"]
    stranger = ranker.answers(rows(state, 0, tasks, hour(1))).scores
    assert np.isfinite(stranger).all()
    assert min(stranger[1], stranger[3]) > max(stranger[0], stranger[2])


def test_rows_are_scored_each_for_itself_and_none_is_no_error() -> None:
    ranker = FallbackRanker()
    both = np.concatenate([row(hourly_rank=0.9), row(skill_coverage=0.1)])
    assert ranker.answers(both).scores.tolist() == [score(hourly_rank=0.9), score(skill_coverage=0.1)]
    assert len(ranker.answers(both[:0]).scores) == 0


def test_given_a_batch_that_everybody_takes_then_skill_and_pay_still_decide_among_the_others() -> None:
    log = Log().add("worker_updated", worker_id="w", skills=["labelling"])
    for number in range(60):
        log.post(f"poor{number}", reward=usd(0.05), estimated_minutes=6, group_id="g", title="click here")
    for number in range(30):
        log.take(f"other{number}", f"poor{number}")
    for number in range(4):
        log.post(f"rich{number}", reward=usd(40), estimated_minutes=6, skills=["labelling"], title=f"label {number}")
    state = log.state()
    catalogue = state.catalogue
    names = [f"poor{number}" for number in range(60)] + [f"rich{number}" for number in range(4)]
    tasks = np.array([catalogue.tasks.get(name) for name in names], np.int32)
    scores = FallbackRanker().answers(rows(state, catalogue.workers.get("w"), tasks, hour(2))).scores
    assert scores[60:].min() > scores[:60].max()
