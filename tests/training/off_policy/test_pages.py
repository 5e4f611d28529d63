"""Explored pages: the probability of an order, given what stands on the page."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

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


@pytest.mark.parametrize("page", [(0, 1, 2), (2, 3, 4), (0, 1, 2, 3), (0, 1, 2, 3, 4)])
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
    drawn = pages.draw(20_000, np.random.default_rng(0))[:, 0]
    orders = np.array(list(permutations(range(3))))
    seen = (drawn[:, None] == orders).all(axis=2).mean(axis=0)
    chances = np.array([np.prod(propensities(tuple(np.array([1, 2, 4])[order]))) for order in orders])
    assert seen == pytest.approx(chances / chances.sum(), abs=0.015)


def test_what_was_not_drawn_keeps_its_place() -> None:
    pages = Pages.of(log_of([*propensities((1, 3)), 1.0, 1.0]))
    assert pages.drawn.tolist() == [[True, True, False, False]]
    assert (pages.draw(50, np.random.default_rng(0))[:, 0, 2:] == [2, 3]).all()
    assert pages.chances[0, 2:].tolist() == [0, 0]


def test_tiny_and_certain_chances_have_finite_logs() -> None:
    pages = Pages.of(log_of([1e-300, 0.5, 0.1], [1.0, 1.0 - 1e-16, 1e-9, 0.5]))
    assert np.isfinite(pages.chances).all()


def test_places_that_are_given_away_leave_the_chances_of_the_page_as_they_are() -> None:
    # Everything on the page was drawn by weight, and at each place something else could have come.
    page = (0, 1, 2, 3, 4)
    orders = list(permutations(page))
    given_away = Pages.of(log_of(*((0.9 * np.array(propensities(order))).tolist() for order in orders)), floor=0.1)
    kept = Pages.of(log_of(*(propensities(order) for order in orders)))
    assert given_away.chances == pytest.approx(kept.chances, abs=1e-6)


def test_a_list_with_one_swap_of_neighbours_is_not_explored() -> None:
    assert explored(log_of([1.0, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0], [0.5, 0.5, 0.4, 1.0])).tolist() == [
        False,
        False,
        True,
    ]


def test_a_list_is_explored_if_all_its_propensities_are_told_and_one_is_below_one() -> None:
    rows = log_of([0.5, 0.2], [1.0, 1.0], [np.nan, 0.5], [0.5], [0.3, 1.0])
    assert explored(rows).tolist() == [True, False, False, False, True]
    assert Pages.of(rows).lists.tolist() == [0, 4]


def test_a_log_without_exploration_has_no_pages() -> None:
    assert len(Pages.of(log_of([1.0, 1.0], [1.0]))) == 0
