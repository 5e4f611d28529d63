"""Training from a log: what it reports, what it must not know, and what it does with a poor log."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from features.errors import CocokError
from features.estimates import DAY
from features.events import instant
from features.spec import COLUMN, FEATURES, GROUPS, NAMES
from matching.bundle import Bundle
from matching.offline import Request, rank
from tests.market import (
    RATES,
    SMALL,
    Record,
    batches,
    disordered,
    end_of,
    entries,
    market,
    ranker_of,
    rows_of,
    thinned,
    trained_on,
    usual,
    usual_training,
)
from training.aliases import CHALLENGER
from training.dataset import TrainingSet
from training.evaluation import evaluate
from training.metrics import ndcg, per_list
from training.outcomes import DATES, Unfitted
from training.splits import holdout
from training.train import Trained, fit_outcomes, train


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    return usual()[1]


@pytest.fixture(scope="module")
def trained() -> Trained:
    return usual_training()


def files(bundle: Bundle, folder: Path) -> dict[str, bytes]:
    dataclasses.replace(bundle, created_at="2026-01-01T00:00:00Z").save(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_given_a_market_with_tastes_then_the_model_beats_every_baseline(trained: Trained) -> None:
    model = trained.metrics["ndcg@10"]
    assert {"random", "newest", "highest_pay", "skill_overlap", "popularity", "past_rate"} == set(trained.baselines)
    assert model.low > trained.baselines["random"]["ndcg@10"].value
    assert all(model.value > baseline["ndcg@10"].value for baseline in trained.baselines.values())


def test_given_a_training_then_every_figure_has_its_interval(trained: Trained) -> None:
    for metrics in [trained.metrics, *trained.baselines.values()]:
        assert set(metrics) == {"ndcg@10", "mrr", "recall@5"}
        assert all(0 <= estimate.low <= estimate.value <= estimate.high <= 1 for estimate in metrics.values())


def test_given_a_training_then_the_last_seventh_is_judged_and_all_of_it_is_learned(
    rows: TrainingSet, trained: Trained
) -> None:
    assert trained.judged == pytest.approx(0.15 * len(rows), abs=2)
    assert (trained.bundle.since, trained.bundle.feature_names) == (rows.times[0], NAMES)
    assert trained.bundle.ranker.booster.num_trees() == trained.choice.trees


@pytest.fixture(scope="module")
def with_beginners(rows: TrainingSet) -> Trained:
    """Every fourth worker comes without a history each time, and rewards are of few sizes."""
    features = rows.features.copy()
    features[np.repeat(rows.workers % 4 == 0, np.diff(rows.offsets)), COLUMN["worker_accepts"]] = 0
    features[:, COLUMN["reward"]] = np.round(features[:, COLUMN["reward"]])
    return trained_on(dataclasses.replace(rows, features=features))


def test_given_workers_who_come_late_then_newcomers_are_judged_apart(with_beginners: Trained) -> None:
    slices = with_beginners.slices
    assert set(slices) == {"warm", "new"}
    assert set(slices["new"]) == {
        "model",
        "random",
        "newest",
        "highest_pay",
        "skill_overlap",
        "popularity",
        "past_rate",
    }


def test_given_slices_then_their_lists_are_judged_in_the_order_that_they_have_in_the_whole(
    with_beginners: Trained,
) -> None:
    """Equal scores do not move: the whole is the mean of its slices, and `evaluate` says the same of each."""
    rows, scores, slices = with_beginners.last.rows, with_beginners.last.scores(), with_beginners.slices
    new = rows.column("worker_accepts")[rows.offsets[:-1]] == 0
    told = evaluate(rows, scores, CHALLENGER).slices.set_index(["slice", "ranker"])["value"]
    for ranker, whole in with_beginners.baselines.items():
        for metric, values in per_list(scores[ranker], rows).items():
            counts = [int((~np.isnan(values[part])).sum()) for part in (~new, new)]
            parts = [slices[name][ranker][metric].value for name in ("warm", "new")]
            assert np.average(parts, weights=counts) == pytest.approx(whole[metric].value, abs=1e-12)
        assert slices["warm"][ranker]["ndcg@10"].value == told["workers: warm", ranker]


def test_given_the_same_rows_then_two_trainings_give_the_same_bundle(
    rows: TrainingSet, trained: Trained, tmp_path: Path
) -> None:
    again = trained_on(rows)
    assert files(trained.bundle, tmp_path / "a") == files(again.bundle, tmp_path / "b")


def test_given_labels_shuffled_within_lists_then_the_model_is_no_better_than_chance(rows: TrainingSet) -> None:
    random = np.random.default_rng(5)
    labels = rows.labels.copy()
    for begin, end in zip(rows.offsets[:-1], rows.offsets[1:], strict=True):
        random.shuffle(labels[begin:end])
    shuffled = dataclasses.replace(
        rows, labels=labels, late=np.zeros_like(labels), verdicts=np.full(len(labels), -1, np.int8)
    )
    judged = trained_on(shuffled).metrics["ndcg@10"]
    last = len(rows) - round(0.15 * len(rows))
    final = shuffled.select(np.arange(len(rows)) >= last)
    chance = [np.nanmean(ndcg(random.random(len(final.labels)), final.labels, final.offsets)) for _ in range(200)]
    assert judged.low <= np.mean(chance) <= judged.high


def test_given_better_pay_and_nothing_else_then_no_score_falls(trained: Trained, rows: TrainingSet) -> None:
    pay = [place for place, feature in enumerate(FEATURES) if feature.monotone]
    better = rows.features.copy()
    better[:, pay] += 0.3
    gained = trained.bundle.score(better) - trained.bundle.score(rows.features)
    assert gained.min() >= 0
    assert gained.max() > 0


def test_given_outcomes_of_both_kinds_then_probabilities_come_near_the_shares(
    trained: Trained, rows: TrainingSet
) -> None:
    assert trained.unfitted == {}
    assert trained.bundle.accept is not None
    p_accept = trained.bundle.accept.predict(rows.features)
    assert p_accept.mean() == pytest.approx((rows.labels >= 2).mean(), abs=0.05)
    settled = rows.verdicts >= 0
    assert trained.bundle.approve is not None
    p_approve = trained.bundle.approve.predict(rows.features[settled])
    assert p_approve.mean() == pytest.approx((rows.verdicts[settled] == 1).mean(), abs=0.15)


def test_what_is_judged_does_not_know_what_was_decided_after_the_boundary(rows: TrainingSet) -> None:
    """Verdicts and handing in five days late: those of the last days before the boundary teach the judge nothing."""
    late = dataclasses.replace(rows, decided=rows.decided + 5 * DAY, timed=rows.timed + 5 * DAY)
    before, last = holdout(rows, maturity=rows.patience)
    since = int(rows.times[last][0])
    development = np.repeat(before, np.diff(rows.offsets))
    undecided, working = (development & (known >= since) for known in (late.decided, late.timed))
    assert min(undecided.sum(), working.sum()) > 50
    verdicts, minutes = rows.verdicts.copy(), rows.minutes.copy()
    verdicts[undecided & (verdicts >= 0)] ^= 1
    minutes[working] *= 9
    judges = [
        trained_on(one).bundle.judge for one in (late, dataclasses.replace(late, verdicts=verdicts, minutes=minutes))
    ]
    for name in ("approve", "minutes"):
        said, again = (getattr(judge, name).predict(rows.features) for judge in judges)
        np.testing.assert_array_equal(said, again)


def test_what_is_judged_does_not_know_the_lists_that_were_told_after_the_boundary(rows: TrainingSet) -> None:
    before, last = holdout(rows, maturity=rows.patience)
    untold = np.repeat(before & (np.arange(len(rows)) % 4 == 0), np.diff(rows.offsets))
    late = dataclasses.replace(rows, told=np.where(untold, rows.times[last][0], rows.told))
    labels = np.where(untold, 4 - late.labels, late.labels).astype(np.int8)
    judges = [trained_on(one).bundle.judge for one in (late, dataclasses.replace(late, labels=labels))]
    for name in ("ranker", "accept"):
        said, again = (getattr(judge, name).predict(rows.features) for judge in judges)
        np.testing.assert_array_equal(said, again)


def test_acceptance_learns_from_a_list_before_a_window_only_if_all_of_it_was_known(
    rows: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[np.ndarray] = []

    def unfitted(*_: object, known: np.ndarray, **__: object) -> Unfitted:
        asked.append(known)
        return Unfitted("not asked for")

    monkeypatch.setattr("training.train.fit_probability", unfitted)
    long = int(np.diff(rows.offsets).argmax())
    begin, end = rows.offsets[long : long + 2].tolist()
    told = np.zeros(len(rows.labels), np.int64)
    told[begin + 1] = 77
    fit_outcomes(dataclasses.replace(rows, told=told), num_threads=1)
    assert np.flatnonzero(asked[0]).tolist() == list(range(begin, end))


def test_acceptance_rests_on_a_linear_part_and_not_on_the_day(trained: Trained, rows: TrainingSet) -> None:
    accept = trained.bundle.accept
    assert accept is not None
    assert np.ptp(accept.base.predict(rows.features)) > 0.1
    days = rows.features.copy()
    days[:, [COLUMN[name] for name in DATES]] += 2.0
    np.testing.assert_array_equal(accept.predict(days), accept.predict(rows.features))


def test_counts_that_grow_with_the_log_do_not_raise_acceptance_but_those_of_the_last_days_may(
    trained: Trained, rows: TrainingSet
) -> None:
    def moved(*names: str) -> float:
        later = rows.features.copy()
        later[:, [COLUMN[name] for name in names]] += 1.0
        return float(np.abs(accept.log_odds(later) - accept.log_odds(rows.features)).max())

    accept = trained.bundle.accept
    assert accept is not None
    assert moved("worker_accepts", "worker_accepts_slow") == 0
    assert moved("worker_accepts_fast") > 0


def test_given_no_verdicts_then_there_is_no_model_of_approval_and_the_reason_is_told(rows: TrainingSet) -> None:
    pending = dataclasses.replace(
        rows,
        labels=np.minimum(rows.labels, 3).astype(np.int8),
        late=np.minimum(rows.late, 3).astype(np.int8),
        verdicts=np.full(len(rows.labels), -1, np.int8),
    )
    trained = trained_on(pending)
    assert set(trained.unfitted) == {"p_approve"}
    assert "0 positive and 0 negative rows" in trained.unfitted["p_approve"]
    assert (trained.bundle.approve, trained.bundle.accept is None) == (None, False)


def test_given_a_handful_of_lists_then_the_error_says_what_to_do(rows: TrainingSet) -> None:
    with pytest.raises(CocokError, match=r"too little history.*--since"):
        trained_on(rows.select(np.arange(len(rows)) < 6))


def test_given_lists_of_which_nothing_was_taken_then_the_error_says_what_is_missing(rows: TrainingSet) -> None:
    with pytest.raises(CocokError, match="taken and one that was passed over"):
        trained_on(dataclasses.replace(rows, labels=np.zeros_like(rows.labels), late=np.zeros_like(rows.labels)))


def test_given_a_listener_then_every_step_is_told_to_its_end(rows: TrainingSet) -> None:
    told: dict[str, tuple[int, int]] = {}

    def listen(step: str, done: int, total: int) -> None:
        assert done >= told.get(step, (0, 0))[0]
        told[step] = done, total

    train(rows, RATES.fingerprint(), SMALL, progress=listen)
    assert len(told) == 3
    assert all(done == total for done, total in told.values())


def weeks_backwards(events: Sequence[Record]) -> list[Record]:
    cut = [event["at"][:10] for event in events]
    middle = cut[len(cut) // 2]
    return [e for e in events if e["at"][:10] >= middle] + [e for e in events if e["at"][:10] < middle]


POOR_LOGS: dict[str, Callable[[], list[Record]]] = {
    "no pay": lambda: market(1, pay=False),
    "no skills": lambda: market(1, skills=False),
    "no titles": lambda: market(1, titles=False),
    "no profiles": lambda: market(1, profiles=False),
    "nothing but categories": lambda: market(1, pay=False, skills=False, titles=False, profiles=False),
    "disordered": lambda: disordered(market(1)),
    "a tenth missing": lambda: thinned(market(1)),
    "the second half first": lambda: weeks_backwards(market(1)),
}


@pytest.mark.parametrize("name", POOR_LOGS)
def test_given_a_poor_log_then_it_still_trains_ranks_and_beats_chance(name: str) -> None:
    events = POOR_LOGS[name]()
    trained = trained_on(rows_of(events))
    assert trained.metrics["ndcg@10"].low > trained.baselines["random"]["ndcg@10"].value
    log = batches(entries(events))
    now = instant(end_of(log)) - timedelta(hours=12)
    requests = [Request(request_id=f"q{n}", at=now, worker_id=f"w{n}") for n in range(10)]
    requests += [Request(request_id=f"a{n}", at=now, task_id=f"t{n}", workers=("w1", "w2", "nobody")) for n in range(3)]
    answers = rank(log, RATES, ranker_of(trained.bundle), requests, eligibility=False)
    scores = [item.score for answer in answers for item in answer.items]
    assert len(scores) > 100
    assert all(map(math.isfinite, scores))


@pytest.mark.parametrize("group", GROUPS)
def test_given_a_feature_group_is_removed_then_its_columns_are_gone_and_training_works(
    rows: TrainingSet, group: str
) -> None:
    fewer = rows.without(group)
    gone = {feature.name for feature in FEATURES if feature.group == group}
    assert gone
    assert fewer.names == tuple(name for name in NAMES if name not in gone)
    for name in fewer.names[:: len(fewer.names) // 5]:
        np.testing.assert_array_equal(fewer.column(name), rows.column(name))
    trained = trained_on(fewer)
    assert trained.bundle.feature_names == fewer.names
    assert np.isfinite(trained.bundle.score(fewer.features)).all()
    assert "random" in trained.baselines


def test_given_an_own_column_then_it_belongs_to_no_group(rows: TrainingSet) -> None:
    more = dataclasses.replace(
        rows, features=np.hstack([rows.features, rows.features[:, :1]]), names=(*rows.names, "my_idea")
    )
    assert "my_idea" in more.without("skill").names


def test_given_an_unknown_group_then_the_known_ones_are_named(rows: TrainingSet) -> None:
    with pytest.raises(ValueError, match=r"no feature group 'colour'.*skill, history, pay"):
        rows.without("colour")
