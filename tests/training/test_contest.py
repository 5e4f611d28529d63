"""A contest: no version is judged on lists that it has learned from."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest

from features.errors import CocokError
from matching.bundle import Bundle
from matching.calibration import Additive
from tests.market import RATES, batches, bundle_of, end_of, entries, usual, usual_bundle
from training.contest import Contest, contest
from training.replay import Entries, training_set

DAY = 86_400_000_000


@pytest.fixture(scope="module")
def trained() -> Bundle:
    return usual_bundle()


def read() -> Iterable[Entries]:
    return batches(entries(usual()[0]))


UNTIL = end_of(batches(entries(usual()[0])))


def held(challenger: Bundle, champion: Bundle | None, until: int = UNTIL) -> Contest:
    return contest(known_before(until), RATES, challenger, champion, until=until)


def known_before(until: int) -> Callable[[], Iterable[Entries]]:
    known = [entry for entry in entries(usual()[0]) if entry[1] < until]
    return lambda: batches(known)


def guess() -> Additive:
    rows = usual()[1]
    noise = np.random.default_rng(0).normal(size=len(rows.labels))
    settings = {"verbosity": -1, "num_threads": 1}
    return Additive(lgb.train(settings, lgb.Dataset(rows.features, noise), num_boost_round=3))


def test_the_lists_are_those_set_aside_and_those_that_came_since(trained: Bundle) -> None:
    assert trained.judge is not None
    found = held(trained, None)
    expected = training_set(read, RATES, since=trained.judge.since, until=UNTIL, maturity=trained.judge.maturity)
    assert found.rows.times.tolist() == expected.times.tolist()
    assert found.rows.times[0] == trained.judge.since
    assert found.champion is None
    earlier = held(trained, None, trained.until - 2 * DAY)
    assert len(earlier.rows) < len(found.rows)


def test_the_judge_stands_for_the_challenger(trained: Bundle) -> None:
    assert trained.judge is not None
    found = held(replace(trained, ranker=guess()), None)
    expected = trained.judge.ranker.predict(found.rows.features)
    assert found.scores()["challenger"].tolist() == expected.tolist()


def test_a_champion_trained_before_the_lists_stands_for_itself(trained: Bundle) -> None:
    assert trained.judge is not None
    champion = replace(trained, until=trained.judge.since, judge=replace(trained.judge, since=0, ranker=guess()))
    found = held(trained, champion)
    assert found.rows.times[0] == trained.judge.since
    assert found.scores()["champion"].tolist() == trained.ranker.predict(found.rows.features).tolist()


def test_a_champion_that_has_seen_the_lists_is_stood_for_by_its_judge_on_lists_that_neither_has_seen(
    trained: Bundle,
) -> None:
    assert trained.judge is not None
    later = trained.judge.since + DAY
    ranker = guess()
    champion = replace(trained, judge=replace(trained.judge, since=later, ranker=ranker))
    found = held(trained, champion)
    assert found.rows.times[0] >= later
    assert len(found.rows) < len(held(trained, None).rows)
    assert found.scores()["champion"].tolist() == ranker.predict(found.rows.features).tolist()


def test_given_models_of_other_columns_then_each_is_shown_its_own(trained: Bundle) -> None:
    part = bundle_of(usual()[1].without("requester"))
    assert len(part.feature_names) < len(trained.feature_names)
    scores = held(part, trained).scores()
    assert set(scores) > {"challenger", "champion", "random", "newest"}
    assert scores["challenger"].shape == scores["champion"].shape


def test_given_a_column_that_nobody_computes_then_it_is_named(trained: Bundle) -> None:
    own = replace(trained, feature_names=("my_idea", *trained.feature_names[1:]))
    with pytest.raises(CocokError, match=r"the challenger was trained with the column 'my_idea'"):
        held(own, None)
    with pytest.raises(CocokError, match=r"the champion was trained with the column 'my_idea'"):
        held(trained, own)


def test_given_nothing_to_judge_on_then_it_says_so(trained: Bundle) -> None:
    with pytest.raises(CocokError, match="train it anew"):
        held(replace(trained, judge=None), None)
    assert trained.judge is not None
    with pytest.raises(CocokError, match="mature"):
        held(replace(trained, judge=replace(trained.judge, since=UNTIL)), None)
