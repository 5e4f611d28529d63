"""The gate: judged on the lists set aside, on the same ones for both, with the reasons and the figures."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest

from features.errors import CocokError
from matching.bundle import Bundle, Judge
from tests.market import RATES, batches, bundle_of, entries, usual
from training.dataset import TrainingSet
from training.gate import compare
from training.replay import Entries, training_set


@pytest.fixture(scope="module")
def trained() -> Bundle:
    return bundle_of(usual()[1])


def read(bundle: Bundle) -> Callable[[], Iterable[Entries]]:
    known = [entry for entry in entries(usual()[0]) if entry[1] < bundle.until]
    return lambda: batches(known)


def learned(target: np.ndarray, rows: TrainingSet) -> lgb.Booster:
    settings = {"objective": "regression", "num_leaves": 15, "verbosity": -1, "num_threads": 1}
    return lgb.train(settings, lgb.Dataset(rows.features, target), num_boost_round=15)


def judged_by(bundle: Bundle, ranker: lgb.Booster) -> Bundle:
    """The bundle as if this ranker had been fitted without the lists set aside."""
    assert bundle.judge is not None
    return replace(bundle, ranker=ranker, judge=replace(bundle.judge, ranker=ranker))


@pytest.fixture(scope="module")
def upside_down(trained: Bundle) -> Bundle:
    """A ranker that says the opposite of the trained one."""
    rows = usual()[1]
    return judged_by(trained, learned(-trained.score(rows.features), rows))


@pytest.fixture(scope="module")
def guess(trained: Bundle) -> Bundle:
    """A ranker that has learned noise."""
    rows = usual()[1]
    return judged_by(trained, learned(np.random.default_rng(0).normal(size=len(rows.labels)), rows))


@pytest.fixture(scope="module")
def oracle(trained: Bundle) -> Bundle:
    """A ranker that knows some of the outcomes of the lists it is judged on."""
    rows = usual()[1]
    ranker = lgb.train(
        {"objective": "regression", "num_leaves": 255, "min_data_in_leaf": 1, "verbosity": -1, "num_threads": 1},
        lgb.Dataset(rows.features, rows.labels.astype(float)),
        num_boost_round=30,
    )
    return judged_by(trained, ranker)


def test_given_no_champion_then_what_beats_a_random_order_passes(trained: Bundle) -> None:
    seen = compare(read(trained), RATES, trained, None)
    assert seen.reasons == []
    assert set(seen.differences) == {"random"}
    assert seen.differences["random"].low > 0
    assert seen.differences["random"].low <= seen.differences["random"].value <= seen.differences["random"].high


def test_given_a_better_challenger_then_it_passes(trained: Bundle, oracle: Bundle) -> None:
    seen = compare(read(trained), RATES, oracle, trained)
    assert seen.reasons == []
    assert seen.differences["champion"].low > 0


def test_given_a_challenger_worse_than_the_champion_then_it_is_refused_with_the_figures(
    trained: Bundle, oracle: Bundle
) -> None:
    seen = compare(read(trained), RATES, trained, oracle)
    (reason,) = seen.reasons
    lost = seen.differences["champion"]
    assert lost.value < -0.01
    assert "worse than the champion by more than 0.01" in reason
    assert f"{lost.value:+.4f} ({lost.low:+.4f} to {lost.high:+.4f})" in reason
    assert seen.differences["random"].low > 0


def test_given_a_wider_margin_then_the_same_loss_is_let_pass(trained: Bundle, oracle: Bundle) -> None:
    lost = -compare(read(trained), RATES, trained, oracle).differences["champion"].value
    assert compare(read(trained), RATES, trained, oracle, margin=lost + 0.001).reasons == []
    assert len(compare(read(trained), RATES, trained, oracle, margin=lost - 0.001).reasons) == 1


def test_given_a_challenger_no_better_than_chance_then_it_is_refused_with_or_without_a_champion(
    trained: Bundle, upside_down: Bundle, guess: Bundle
) -> None:
    for poor in (upside_down, guess):
        (reason,) = compare(read(trained), RATES, poor, None).reasons
        assert "not better than a random order" in reason
        assert "NDCG@10 differs by" in reason
        reasons = compare(read(trained), RATES, poor, trained).reasons
        assert ["random order" in reasons[0], "worse than the champion" in reasons[1]] == [True, True]


def test_given_two_guesses_then_being_no_worse_than_the_champion_is_not_enough(guess: Bundle, trained: Bundle) -> None:
    seen = compare(read(trained), RATES, guess, guess)
    assert seen.differences["champion"].value == 0
    assert ["random order" in reason for reason in seen.reasons] == [True]


def test_only_the_lists_set_aside_are_judged(trained: Bundle) -> None:
    assert trained.judge is not None
    window = {"since": trained.judge.since, "until": trained.until, "maturity": trained.judge.maturity}
    expected = training_set(read(trained), RATES, **window)
    assert compare(read(trained), RATES, trained, None).lists == len(expected) < len(usual()[1])


def test_it_is_the_judge_that_stands_for_the_challenger_and_not_the_ranker_that_has_seen_the_lists(
    trained: Bundle, guess: Bundle, oracle: Bundle
) -> None:
    cheat = replace(guess, ranker=oracle.ranker)
    assert len(compare(read(trained), RATES, cheat, None).reasons) == 1


def test_given_what_came_after_the_training_then_the_verdict_is_the_same(trained: Bundle) -> None:
    everything = batches(entries(usual()[0]))
    earlier = replace(trained, until=trained.until - 2 * 86_400_000_000)
    assert compare(lambda: everything, RATES, trained, None) == compare(read(trained), RATES, trained, None)
    assert compare(read(earlier), RATES, earlier, None).lists < compare(read(trained), RATES, trained, None).lists


def test_given_models_of_other_columns_then_each_is_shown_its_own(trained: Bundle) -> None:
    part = bundle_of(usual()[1].without("requester"))
    assert len(part.feature_names) < len(trained.feature_names)
    one, other = (compare(read(trained), RATES, *pair) for pair in ((part, trained), (trained, part)))
    assert set(one.differences) == set(other.differences) == {"random", "champion"}
    assert one.differences["random"].low > 0


def test_given_a_column_that_nobody_computes_then_it_is_named(trained: Bundle) -> None:
    own = replace(trained, feature_names=("my_idea", *trained.feature_names[1:]))
    with pytest.raises(CocokError, match="my_idea"):
        compare(read(trained), RATES, own, None)


def test_given_nothing_to_judge_on_then_it_says_so(trained: Bundle) -> None:
    with pytest.raises(CocokError, match="train it anew"):
        compare(read(trained), RATES, replace(trained, judge=None), None)
    assert trained.judge is not None
    late = replace(trained, judge=Judge(trained.judge.ranker, since=trained.until, maturity=trained.judge.maturity))
    with pytest.raises(CocokError, match="mature"):
        compare(read(trained), RATES, late, None)
