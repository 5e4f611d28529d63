"""The gate: each fault is planted alone and refused for that reason; a sound challenger passes."""

import re
import time
from dataclasses import replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from numpy.typing import NDArray

from matching.bundle import Bundle
from matching.calibration import Additive, CalibratedModel, Calibration, MinutesModel
from service.settings import Settings
from tests.market import RATES, batches, end_of, entries, usual, usual_bundle
from training.columns import monotone_directions
from training.contest import Contest, contest
from training.dataset import OF_ROWS, TrainingSet
from training.gate import LEAST_NEWCOMERS, Limits, Verdict, examine
from training.report import report

LIMITS = Limits(slice_lists=60)
"""The market of the tests is small, so smaller slices are looked at."""


@pytest.fixture(scope="module")
def trained() -> Bundle:
    return usual_bundle()


@pytest.fixture(scope="module")
def lists(trained: Bundle) -> Contest:
    """A contest of the trained bundle with itself, where every third worker is a newcomer."""
    log = batches(entries(usual()[0]))
    found = contest(lambda: log, RATES, trained, trained, until=end_of(log))
    return replace(found, rows=with_newcomers(found.rows))


def with_newcomers(rows: TrainingSet) -> TrainingSet:
    features = rows.features.copy()
    of_newcomers = np.repeat(rows.workers % 3 == 0, np.diff(rows.offsets))
    features[of_newcomers, rows.names.index("worker_accepts")] = 0
    return replace(rows, features=features)


def learned(target: NDArray[np.float64], *, monotone: bool = True, trees: int = 60) -> Additive:
    """A ranker that has learned to say ``target`` of the rows of the usual market, half of them as of newcomers."""
    rows = usual()[1]
    settings = {
        "objective": "regression",
        "num_leaves": 63,
        "learning_rate": 0.2,
        "verbosity": -1,
        "num_threads": 1,
        "monotone_constraints": monotone_directions(rows.names) if monotone else None,
        "monotone_constraints_method": "intermediate",
    }
    return Additive(lgb.train(settings, lgb.Dataset(with_newcomers(rows).features, target), num_boost_round=trees))


def examined(lists: Contest, bundle: Bundle, judge: Additive | None = None, limits: Limits = LIMITS) -> Verdict:
    """Examine a bundle, whose ranker fitted without the lists is ``judge``, against the champion of the contest."""
    assert bundle.judge is not None
    models = replace(bundle.judge, ranker=judge or bundle.judge.ranker)
    return examine(replace(lists, challenger=replace(lists.challenger, models=models)), bundle, limits)


def test_given_the_champion_itself_then_every_check_passes(trained: Bundle, lists: Contest) -> None:
    verdict = examined(lists, trained)
    assert verdict.reasons == []
    assert (verdict.differences["champion"].low, verdict.differences["champion"].high) == (0, 0)
    names = list(verdict.table()["check"])
    assert names[:3] == [
        "NDCG@10 against a random order",
        "NDCG@10 against the champion",
        f"workers: new ({newcomers(lists):,} lists)",
    ]
    assert names[-2:] == ["monotone in reward", "latency"]
    assert {"p_accept calibrated, on lists set aside", "p_accept calibrated, as it would serve"} < set(names)
    assert verdict.table()["passes"].all()


def newcomers(lists: Contest) -> int:
    of = lists.rows.workers % 3 == 0
    best = np.maximum.reduceat(lists.rows.labels, lists.rows.offsets[:-1])
    return int((of & (best > 0)).sum())


def test_given_no_champion_then_only_what_needs_none_is_checked(trained: Bundle, lists: Contest) -> None:
    verdict = examined(replace(lists, champion=None), trained)
    assert verdict.reasons == []
    assert set(verdict.differences) == {"random"}
    assert not any("champion" in name or "workers" in name for name in verdict.table()["check"])


def test_given_a_ranker_that_has_learned_noise_then_it_is_worse_than_the_champion_and_no_better_than_chance(
    trained: Bundle, lists: Contest
) -> None:
    noise = learned(np.random.default_rng(0).normal(size=len(usual()[1].labels)), trees=10)
    reasons = examined(lists, trained, noise, Limits(slice_lists=10**9)).reasons
    assert [text.partition(":")[0] for text in reasons[:2]] == [
        "it is not better than a random order",
        "it is worse than the champion by more than 0.01",
    ]


def test_given_a_ranker_worse_over_all_then_it_is_refused_with_the_figures(trained: Bundle, lists: Contest) -> None:
    noise = np.random.default_rng(0).normal(size=len(usual()[1].labels))
    clean = trained.score(usual()[1].features)
    worse = learned(clean + 1.5 * clean.std() * noise, trees=200)
    alone = Limits(slice_margin=1.0)
    (reason,) = examined(lists, trained, worse, alone).reasons
    lost = examined(lists, trained, worse, alone).differences["champion"]
    assert f"worse than the champion by more than 0.01: NDCG@10 differs by {lost.value:+.4f}" in reason
    assert examined(lists, trained, worse, replace(alone, margin=0.001 - lost.value)).reasons == []


def test_given_a_ranker_worse_for_newcomers_alone_then_it_is_refused_for_them(trained: Bundle, lists: Contest) -> None:
    rows = with_newcomers(usual()[1])
    scores = trained.score(usual()[1].features)
    upside_down = learned(np.where(rows.column("worker_accepts") == 0, -scores, scores), trees=120)
    few = Limits(margin=1.0, slice_lists=10**9)
    (reason,) = examined(lists, trained, upside_down, few).reasons
    assert reason.startswith('it is worse than the champion for "workers: new"')
    mended = learned(scores, trees=120)
    assert examined(lists, trained, mended, few).reasons == []


def test_given_a_loss_within_a_slice_that_is_too_small_then_it_is_not_looked_at(
    trained: Bundle, lists: Contest
) -> None:
    names = examined(lists, trained, limits=Limits(slice_lists=10**9)).table()["check"]
    assert [name for name in names if name.startswith(("category", "pay", "tasks", "workers"))] == [
        f"workers: new ({newcomers(lists):,} lists)"
    ]


@pytest.mark.parametrize("few", [LEAST_NEWCOMERS - 1, LEAST_NEWCOMERS])
def test_given_too_few_newcomers_then_they_are_not_looked_at_and_it_is_said(
    trained: Bundle, lists: Contest, few: int
) -> None:
    new = np.maximum.reduceat(lists.rows.relevance, lists.rows.offsets[:-1]) > 0
    new &= np.cumsum(new) <= few
    features = lists.rows.features.copy()
    features[:, lists.rows.names.index("worker_accepts")] = 1 - np.repeat(new, np.diff(lists.rows.offsets))
    verdict = examined(replace(lists, rows=replace(lists.rows, features=features)), trained)
    looked_at = any(check.name.startswith("workers: new") for check in verdict.checks)
    assert looked_at == (few == LEAST_NEWCOMERS)
    said = () if looked_at else (f"newcomers were too few to be looked at: {few} of {LEAST_NEWCOMERS} lists",)
    assert verdict.unseen == said


def test_the_setting_names_the_least_newcomers() -> None:
    assert f"newcomers are looked at from {LEAST_NEWCOMERS}." in str(
        Settings.model_fields["gate_slice_lists"].description
    )


@pytest.mark.parametrize(
    ("fault", "who"), [("judge", "on lists set aside"), ("bundle", "as it would serve")], ids=["judge", "bundle"]
)
def test_given_probabilities_that_are_far_too_high_then_it_is_refused_as_miscalibrated(
    trained: Bundle, lists: Contest, fault: str, who: str
) -> None:
    assert trained.judge is not None
    if fault == "judge":
        planted = replace(trained, judge=replace(trained.judge, accept=raised(trained.judge.accept)))
    else:
        planted = replace(trained, accept=raised(trained.accept))
    (reason,) = examined(lists, planted).reasons
    assert reason.startswith(f"p_accept is miscalibrated {who}: error ")
    check = next(each for each in examined(lists, planted).checks if each.reason == reason)
    allowed, share, rarer, noise = map(float, re.findall(r"\d+\.\d+", check.limit))
    seen = float(check.seen.split()[-1])
    assert (share, rarer) == (LIMITS.calibration, pytest.approx(min(seen, 1 - seen), abs=1e-4))
    assert allowed == pytest.approx(share * rarer + noise, abs=2e-4)
    assert reason.endswith(f"allowed {allowed:.4f} ({check.limit.partition(': ')[2]})")
    assert examined(lists, planted, limits=replace(LIMITS, calibration=10)).reasons == []


def raised(model: CalibratedModel | None) -> CalibratedModel:
    assert model is not None
    return replace(model, calibration=Calibration(model.calibration.x, model.calibration.y**0.3))


def polled(rows: TrainingSet, times: int) -> TrainingSet:
    """Return the lists as a worker asks for them again and again before taking anything."""
    lists = np.repeat(np.arange(len(rows)), times)
    places = np.concatenate([np.arange(*rows.offsets[[each, each + 1]]) for each in lists])
    return replace(
        rows,
        **{name: getattr(rows, name)[places] for name in OF_ROWS},
        **{name: getattr(rows, name)[lists] for name in ("workers", "times", "feed_ids")},
        offsets=np.concatenate([[0], np.cumsum(np.diff(rows.offsets)[lists])]),
    )


def test_given_a_work_that_many_lists_led_to_then_its_verdict_counts_once(trained: Bundle, lists: Contest) -> None:
    often = replace(lists, rows=polled(lists.rows, 20))
    once, many = (
        [check for check in examined(each, trained).checks if check.name.startswith("p_approve calibrated")]
        for each in (lists, often)
    )
    assert len(once) == 2
    assert once == many
    told, again = report(lists), report(often)
    assert told.minutes is not None
    assert told.minutes == again.minutes
    approved = [each.calibration().query("figure == 'p_approve'") for each in (told, again)]
    assert len(approved[0]) == 1
    assert approved[0].equals(approved[1])
    # No worker of this market does a task twice.
    rows = lists.rows
    owners, timed = np.repeat(rows.workers, np.diff(rows.offsets)), rows.minutes > 0
    assert told.minutes.rows == len(set(zip(owners[timed], rows.tasks[timed], strict=True))) < timed.sum()


FIGURES = [("accept", "p_accept"), ("approve", "p_approve"), ("minutes", "minutes")]


@pytest.mark.parametrize(("model", "figure"), FIGURES)
def test_given_a_model_that_the_champion_has_and_it_has_not_then_it_is_refused(
    trained: Bundle, lists: Contest, model: str, figure: str
) -> None:
    challenger = without(trained, model)
    assert lists.champion is not None
    assert challenger.judge is not None
    # What serves counts: a judge that stands for it may have had too little to learn from.
    judged = replace(lists, champion=replace(lists.champion, models=challenger.judge))
    for compared in (lists, judged):
        verdict = examined(compared, challenger)
        assert verdict.reasons == [f"it has no model of {figure}, which the champion has"]
        assert verdict.unseen == ()


@pytest.mark.parametrize(("model", "figure"), FIGURES)
def test_given_a_missing_model_that_nobody_has_then_it_is_said(
    trained: Bundle, lists: Contest, model: str, figure: str
) -> None:
    judge = without(trained, model).judge
    assert lists.champion is not None
    assert judge is not None
    alike = replace(lists.champion, models=judge, served=None)
    for champion in (None, alike):
        verdict = examined(replace(lists, champion=champion), without(trained, model))
        assert verdict.reasons == []
        assert verdict.unseen == (f"there is no model of {figure} to be looked at",)


def without(bundle: Bundle, model: str) -> Bundle:
    assert bundle.judge is not None
    nothing: dict[str, Any] = {model: None}
    return replace(bundle, **{**nothing, "judge": replace(bundle.judge, **nothing)})


def test_given_a_probability_that_only_the_bundle_has_or_no_verdict_then_what_was_not_seen_is_said(
    trained: Bundle, lists: Contest
) -> None:
    assert trained.judge is not None
    verdict = examined(lists, replace(trained, judge=replace(trained.judge, approve=None)))
    assert [check.name for check in verdict.checks if "p_approve" in check.name] == [
        "p_approve calibrated, as it would serve"
    ]
    assert verdict.unseen == (
        "p_approve was not looked at on lists set aside: before them there was too little to fit a model of it",
    )
    open_still = replace(lists.rows, verdicts=np.full_like(lists.rows.verdicts, -1))
    verdict = examined(replace(lists, rows=open_still), trained)
    assert not any("p_approve" in check.name for check in verdict.checks)
    assert verdict.unseen == ("p_approve was not held against what came about: nothing did on these lists so far",)


@pytest.mark.parametrize("figure", ["score", "p_accept"])
def test_given_a_figure_that_falls_as_pay_rises_then_it_is_refused_as_not_monotone(
    trained: Bundle, lists: Contest, figure: str
) -> None:
    pay = usual()[1].column("reward_z").astype(np.float64)
    falling = learned(np.nan_to_num(-pay), monotone=False, trees=5)
    assert trained.accept is not None
    planted = (
        replace(trained, ranker=falling)
        if figure == "score"
        else replace(trained, accept=replace(trained.accept, booster=falling.booster))
    )
    reasons = examined(lists, planted, limits=replace(LIMITS, calibration=10)).reasons
    assert len(reasons) == 1
    assert reasons[0].startswith(f"it is not monotone in reward: its {figure} falls by up to ")


class _Slow(MinutesModel):
    def quantiles(self, features: NDArray[np.float32], *levels: float | NDArray[np.float64]) -> NDArray[np.float64]:
        time.sleep(0.2)
        return super().quantiles(features, *levels)


def test_given_a_model_that_takes_long_then_it_is_refused_as_too_slow(trained: Bundle, lists: Contest) -> None:
    assert trained.minutes is not None
    limits = replace(LIMITS, latency_ms=150)
    assert examined(lists, trained, limits=limits).reasons == []
    slow = replace(trained, minutes=_Slow(**vars(trained.minutes)))
    (reason,) = examined(lists, slow, limits=limits).reasons
    assert reason.startswith("it is too slow: 2")
    assert reason.endswith("ms for 300 tasks, allowed 150 ms")
