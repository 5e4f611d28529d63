"""What models say of rows, and the order and the pay that follow from it."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from features.money import Money
from features.spec import COLUMN, GROUPS
from matching.bundle import Bundle, BundleError
from matching.scoring import (
    COMPARED_WITH,
    Answers,
    BundleRanker,
    Outcomes,
    best_first,
    expectations,
    paid_tails,
)
from tests.market import bundle_of, usual


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return bundle_of(usual()[1])


@pytest.fixture
def features() -> np.ndarray:
    return usual()[1].features[:50]


def answered(bundle: Bundle, features: np.ndarray) -> Answers:
    return BundleRanker(bundle, "1").answers(features)


def test_given_rows_then_each_is_scored_for_itself_and_none_is_dropped(bundle: Bundle, features: np.ndarray) -> None:
    together = answered(bundle, features)
    alone = [answered(bundle, features[place : place + 1]) for place in range(len(features))]
    np.testing.assert_array_equal(together.scores, [each.scores[0] for each in alone])
    for name, values in vars(together.outcomes()).items():
        np.testing.assert_array_equal(values, [getattr(each.outcomes(), name)[0] for each in alone])
    backwards = answered(bundle, np.ascontiguousarray(features[::-1]))
    np.testing.assert_array_equal(backwards.scores[::-1], together.scores)


def test_given_no_rows_then_there_are_no_answers(bundle: Bundle, features: np.ndarray) -> None:
    found = answered(bundle, features[:0])
    assert [len(part) for part in (found.scores, *vars(found.outcomes()).values())] == [0] * 8


@pytest.mark.parametrize("columns", ["all", "some"])
def test_given_the_rows_of_a_page_then_their_outcomes_are_those_among_all_rows(columns: str) -> None:
    rows = usual()[1] if columns == "all" else usual()[1].without("pay")
    found = answered(bundle_of(rows), usual()[1].features[:200])
    page = np.array([150, 3, 3, 199, 0])
    for name, values in vars(found.expect(found.features[page])).items():
        np.testing.assert_array_equal(values, getattr(found.outcomes(), name)[page])
    assert not np.isnan(found.expect(found.features[page]).p_accept).any()


def test_given_no_outcome_models_then_acceptance_is_unknown_and_approval_is_what_was_counted(
    bundle: Bundle, features: np.ndarray
) -> None:
    answers = answered(replace(bundle, accept=None, approve=None), features)
    found = answers.outcomes()
    assert np.isnan(found.p_accept).all()
    assert ((found.p_approve > 0) & (found.p_approve < 1)).all()
    np.testing.assert_array_equal(answers.scores, answered(bundle, features).scores)


def test_given_a_model_of_some_columns_then_it_sees_only_these(features: np.ndarray) -> None:
    rows = usual()[1].without("pay")
    part = bundle_of(rows)
    np.testing.assert_array_equal(answered(part, features).scores, part.score(rows.features[:50]))
    richer = features.copy()
    richer[:, COLUMN["reward"]] += 5
    np.testing.assert_array_equal(answered(part, richer).scores, answered(part, features).scores)


@pytest.mark.parametrize("columns", ["all", "some"])
def test_given_two_rows_then_their_lifts_differ_by_as_much_as_their_scores(columns: str) -> None:
    rows = usual()[1] if columns == "all" else usual()[1].without("pay")
    found = answered(bundle_of(rows), usual()[1].features[:200])
    page = np.array([150, 3, 3, 199, 0])
    lifts = found.lifts(page)
    assert lifts.shape == (len(page), len(GROUPS))
    np.testing.assert_allclose(np.diff(lifts.sum(axis=1)), np.diff(found.scores[page]), atol=1e-5)
    assert lifts[:, GROUPS.index("pay")].any() == (columns == "all")


def test_given_a_short_list_then_its_lifts_are_even_and_what_all_rows_share_lifts_none(
    bundle: Bundle, features: np.ndarray
) -> None:
    short = answered(bundle, features[:COMPARED_WITH])
    lifts = short.lifts(np.arange(COMPARED_WITH))
    np.testing.assert_allclose(lifts.mean(axis=0), 0, atol=1e-6)
    assert lifts.any()
    for count in (1, 30, 300):
        alike = answered(bundle, np.repeat(features[:1], count, axis=0))
        assert not alike.lifts(np.arange(min(count, 20))).any()
    assert answered(bundle, features[:0]).lifts(np.arange(0)).shape == (0, len(GROUPS))


def test_given_a_long_list_then_its_mean_comes_from_all_over_its_scores(bundle: Bundle) -> None:
    found = answered(bundle, usual()[1].features[:300])
    everything = np.arange(300)
    lifts = found.lifts(everything)
    exact = found.contribute(found.features, 300)
    exact -= exact.mean(axis=0)
    # By ranks, the mean of the score itself is all but exact; that of a group is as good as 44 rows tell.
    assert abs(lifts.sum(axis=1).mean()) < 0.02 * found.scores.std()
    assert np.abs(lifts - exact).max() < 0.2 * found.scores.std()


def test_given_a_model_with_a_column_that_nobody_computes_then_it_is_refused_by_name(
    bundle: Bundle, features: np.ndarray
) -> None:
    own = replace(bundle, feature_names=("my_idea", *bundle.feature_names[1:]))
    with pytest.raises(BundleError, match="my_idea"):
        answered(own, features)


def test_given_scores_then_the_best_stands_first_ties_by_hash_and_unknown_last() -> None:
    scores = np.array([1.0, np.nan, 3.0, 1.0, -np.inf])
    hashes = np.array([9, 0, 5, 2, 1], np.uint32)
    assert best_first(scores, hashes).tolist() == [2, 3, 0, 4, 1]


def hourly_of(reward: Money | None, p_approve: float, minutes: float) -> Money | None:
    one = np.ones(1)
    outcomes = Outcomes(one, p_approve * one, minutes * one, *(np.nan * one for _ in range(4)))
    (figures,) = expectations(outcomes, [reward])
    return figures.expected_hourly


@pytest.mark.parametrize(
    ("amount", "currency", "p_approve", "minutes", "hourly"),
    [
        ("2", "USD", 1.0, 30.0, "4.00"),
        ("2", "USD", 0.75, 30.0, "3.00"),
        ("15000", "IDR", 0.5, 10.0, "45000.00"),
        ("0", "USD", 1.0, 30.0, "0.00"),
    ],
)
def test_given_a_reward_then_the_hourly_pay_is_its_expected_part_of_an_hour_in_its_own_currency(
    amount: str, currency: str, p_approve: float, minutes: float, hourly: str
) -> None:
    assert hourly_of(Money(amount=Decimal(amount), currency=currency), p_approve, minutes) == Money(
        amount=Decimal(hourly), currency=currency
    )


def test_given_no_reward_or_no_minutes_then_there_is_no_hourly_pay() -> None:
    assert hourly_of(None, 1.0, 10.0) is None
    assert hourly_of(Money(amount=Decimal(2), currency="USD"), 1.0, float("nan")) is None


@pytest.mark.parametrize("minutes", [0.0, 1e-300])
def test_given_minutes_that_make_no_sense_then_there_is_no_hourly_pay_and_no_error(minutes: float) -> None:
    assert hourly_of(Money(amount=Decimal(10**15), currency="IDR"), 1.0, minutes) is None


@pytest.mark.parametrize(("p_approve", "tail"), [(1.0, 0.1), (0.9, 0.0556), (0.8, 0.025), (0.3, 0.025), (np.nan, 0.1)])
def test_given_a_chance_of_rejection_then_less_of_the_approved_work_is_left_out(p_approve: float, tail: float) -> None:
    assert paid_tails(np.array([p_approve])) == pytest.approx([tail], abs=1e-3)


def test_given_likely_rejection_then_the_interval_still_holds_what_is_to_be_expected() -> None:
    one = np.array([1.0])
    outcomes = Outcomes(one, 0.25 * one, 60 * one, 50 * one, 70 * one, 30 * one, 120 * one)
    (found,) = expectations(outcomes, [Money(amount=Decimal(8), currency="USD")])
    amounts = (found.expected_hourly_low, found.expected_hourly, found.expected_hourly_high)
    assert [amount and amount.amount for amount in amounts] == [2, 2, 16]
    assert (found.minutes_low, found.expected_minutes, found.minutes_high) == (50, 60, 70)


def test_given_no_model_of_the_minutes_then_there_are_no_intervals(features: np.ndarray) -> None:
    (found, *_) = expectations(Outcomes.counted(features), [Money(amount=Decimal(8), currency="USD")] * len(features))
    assert found.expected_hourly is not None
    ends = (found.expected_hourly_low, found.expected_hourly_high, found.minutes_low, found.minutes_high)
    assert ends == (None, None, None, None)
