"""Explored pages: the probability of an order, given what stands on the page."""

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from matching.explore import Explore
from matching.rerank import Ranking
from tests.training.handmade import handmade
from training.dataset import TrainingSet
from training.off_policy import Pages, explored

WEIGHTS = np.array([0.4, 0.3, 0.2, 0.07, 0.03])
"""Of five candidates."""


def propensities(order: tuple[int, ...]) -> list[float]:
    drawn = WEIGHTS[list(order)]
    return (drawn / (1 - np.cumsum(drawn) + drawn)).tolist()


def log_of(*lists: list[float]) -> TrainingSet:
    rows = handmade([[0] * len(one) for one in lists])
    return replace(rows, propensities=np.concatenate([np.array(one, np.float64) for one in lists]))


def test_the_weights_of_a_page_and_of_the_rest_follow_from_its_propensities() -> None:
    pages = Pages.of(log_of(propensities((1, 3, 0))))
    assert np.exp(pages.weights).tolist() == [pytest.approx([0.3, 0.07, 0.4])]
    assert np.exp(pages.rest).tolist() == pytest.approx([0.23])


@pytest.mark.parametrize("page", [(0, 1, 2), (2, 3, 4), (0, 1, 2, 3)])
def test_an_order_is_as_likely_as_among_all_orders_of_its_page(page: tuple[int, ...]) -> None:
    orders = list(permutations(page))
    drawn = np.array([np.prod(propensities(order)) for order in orders])
    pages = Pages.of(log_of(*(propensities(order) for order in orders)))
    assert np.exp(pages.chances.sum(axis=1)) == pytest.approx(drawn / drawn.sum(), rel=1e-6)


def test_the_chance_of_an_item_is_that_among_the_orders_that_begin_alike() -> None:
    orders = [order for order in permutations((2, 3, 4)) if order[0] == 3]
    drawn = np.array([np.prod(propensities(order)) for order in orders])
    pages = Pages.of(log_of(*(propensities(order) for order in orders)))
    assert np.exp(pages.chances[:, 1]) == pytest.approx(drawn / drawn.sum(), rel=1e-6)
    assert pages.chances[:, 2] == pytest.approx([0, 0], abs=1e-9)


def test_orders_are_drawn_as_the_log_draws_them() -> None:
    pages = Pages.of(log_of(propensities((1, 2, 4))))
    drawn = pages.race(20_000, np.random.default_rng(0)).orders()[:, 0]
    orders = np.array(list(permutations(range(3))))
    seen = (drawn[:, None] == orders).all(axis=2).mean(axis=0)
    chances = np.array([np.prod(propensities(tuple(np.array([1, 2, 4])[order]))) for order in orders])
    assert seen == pytest.approx(chances / chances.sum(), abs=0.015)


def test_what_was_not_drawn_keeps_its_place() -> None:
    pages = Pages.of(log_of([*propensities((1, 3)), 1.0, 1.0]))
    assert pages.drawn.tolist() == [[True, True, False, False]]
    assert (pages.race(50, np.random.default_rng(0)).orders()[:, 0, 2:] == [2, 3]).all()
    assert pages.chances[0, 2:].tolist() == [0, 0]


def test_tiny_and_certain_chances_have_finite_logs() -> None:
    pages = Pages.of(log_of([1e-300, 0.5, 0.1], [1.0, 1.0 - 1e-16, 1e-9, 0.5]))
    assert np.isfinite(pages.chances).all()


def test_the_last_candidate_keeps_its_place() -> None:
    orders = [(*order, 4) for order in permutations(range(4))]
    drawn = np.array([np.prod(propensities(order)) for order in orders])
    pages = Pages.of(log_of(*(propensities(order) for order in orders)))
    assert np.exp(pages.chances.sum(axis=1)) == pytest.approx(drawn / drawn.sum(), rel=1e-6)
    assert (pages.race(50, np.random.default_rng(0)).orders()[:, 0, 4] == 4).all()


def test_a_place_that_was_given_away_keeps_its_item_and_says_nothing_of_the_others() -> None:
    given = Pages.of(
        log_of(*([one, 1.0, two, three] for one, two, three in map(propensities, permutations((0, 1, 3)))))
    )
    plain = Pages.of(log_of(*map(propensities, permutations((0, 1, 3)))))
    assert given.chances[:, [0, 2, 3]] == pytest.approx(plain.chances)
    assert (given.chances[:, 1] == 0).all()
    drawn = given.race(200, np.random.default_rng(0)).orders()[:, 0]
    assert (drawn[:, 1] == 1).all()
    assert {tuple(order) for order in drawn[:, [0, 2, 3]].tolist()} == set(permutations((0, 2, 3)))


@pytest.mark.parametrize("promised", [[], [2, 4, 6, 7], [6, 7, 8, 9], list(range(1, 10))])
@pytest.mark.parametrize("length", [3, 6])
def test_the_orders_that_exploration_draws_are_as_likely_as_is_found(promised: list[int], length: int) -> None:
    scores = np.array([2.0, 1.6, 1.5, 1.2, 0.5, 0.4, 0.3, 0.1, 0.0])
    before = Ranking(np.arange(1, 10, dtype=np.int32), np.arange(9), scores, np.ones(9))
    explore = Explore(depth=4, temperature=0.5, floor=0.3)
    pages: dict[tuple[int, ...], list[float]] = {}
    for seed in range(1000):
        lots = np.random.default_rng([seed, 9]).permutation(np.array(promised, np.int32))
        after = explore(before, lots, seed)
        pages[tuple(after.tasks[:length].tolist())] = after.propensities[:length].tolist()
    kept = {page: told for page, told in pages.items() if explored(log_of(told))[0]}
    found = Pages.of(log_of(*kept.values()))
    alike: dict[tuple[object, ...], list[int]] = {}
    for place, (page, told) in enumerate(kept.items()):
        fixed = tuple(task for task, chance in zip(page, told, strict=True) if chance == 1)
        where = tuple(chance == 1 for chance in told)
        alike.setdefault((frozenset(page), fixed, where), []).append(place)
    whole = 0
    for places in alike.values():
        drawn = int(found.drawn[places[0]].sum())
        if len(places) == math.factorial(drawn):
            whole += 1
            by_policy = np.array([np.prod(list(kept.values())[place]) for place in places])
            assert np.exp(found.chances[places].sum(axis=1)) == pytest.approx(by_policy / by_policy.sum(), rel=1e-5)
    assert whole > 1


def test_a_list_with_one_swap_of_neighbours_is_not_explored() -> None:
    assert explored(log_of([1.0, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0], [0.5, 0.5, 0.4, 1.0])).tolist() == [
        False,
        False,
        True,
    ]


def test_a_list_is_explored_if_all_its_propensities_are_told_and_two_are_below_one() -> None:
    rows = log_of([0.5, 0.2], [1.0, 1.0], [np.nan, 0.5, 0.2], [0.5], [0.3, 1.0], [0.3, 1.0, 0.4])
    assert explored(rows).tolist() == [True, False, False, False, False, True]
    assert Pages.of(rows).lists.tolist() == [0, 5]


def test_a_log_without_exploration_has_no_pages() -> None:
    rows = log_of([1.0, 1.0], [1.0])
    assert len(Pages.of(rows)) == 0
    assert [len(block) for block in Pages.blocks(rows)] == [0]


def test_lists_of_much_the_same_length_stand_side_by_side_and_far_longer_ones_apart() -> None:
    sizes = [3, 40, 2, 5, 3, 900, 4, 2, 7, 3, 600, 2, *[2] * 20]
    rows = log_of(*([0.1] * size for size in sizes))
    blocks = Pages.blocks(rows)
    assert [block.lists.tolist() for block in blocks] == [[5, 10], [1], [0, 2, 3, 4, *range(6, 10), *range(11, 32)]]
    assert sum(block.rows.size for block in blocks) < 3 * sum(sizes)
    for block in blocks:
        for place, one in enumerate(block.lists.tolist()):
            (alone,) = Pages.blocks(rows.select(np.arange(len(rows)) == one))
            np.testing.assert_allclose(block.chances[place, : sizes[one]], alone.chances[0], rtol=1e-9, atol=1e-12)
    few = log_of(*([0.1] * size for size in sizes[:5]))
    assert [block.lists.tolist() for block in Pages.blocks(few)] == [[0, 1, 2, 3, 4]]
