"""How often an item stands at its place, and what is below it then, against all orders of small pages."""

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from tests.training.off_policy.test_pages import log_of, propensities
from training.off_policy import Pages
from training.off_policy.hazard import Hazard
from training.off_policy.places import Standing
from training.off_policy.race import Race
from training.off_policy.targets import race

DRAWS = 20_000
ITEMS, PLACES = np.array([[-1.0, 0.5, -0.3, 1.2, -2.0]]), np.array([[0.0, -0.4, -0.6, -0.9, -1.5]])
WORTH = np.array([[1.0, 0.5, 2.0, 0.2, 3.0]])
Floats = NDArray[np.float64]


def over_all_orders(orders: list[tuple[int, ...]], chances: Floats) -> tuple[float, Floats, Floats]:
    """Value, and of each item where it was logged: reached, and below once it is passed over."""
    value, reached, below = 0.0, np.zeros(5), np.zeros(5)
    for order, chance in zip(orders, chances / chances.sum(), strict=True):
        hazard = expit(ITEMS[0, list(order)] + PLACES[0])
        spared = np.append(1.0, np.cumprod(1 - hazard))
        gains = spared[:-1] * hazard * WORTH[0, list(order)]
        value += chance * gains.sum()
        for place, item in enumerate(order):
            if item == place:
                reached[place] += chance * spared[place]
                below[place] += chance * gains[place + 1 :].sum() / (1 - hazard[place])
    return value, reached, below


def assert_the_same(drawn: Race, orders: list[tuple[int, ...]], chances: Floats) -> None:
    found = Standing.of(drawn, Hazard(ITEMS, PLACES), WORTH)
    value, reached, below = over_all_orders(orders, chances)
    assert found.value[0] == pytest.approx(value, rel=0.01)
    assert found.reached[0] == pytest.approx(reached, rel=0.03)
    assert found.below[0] == pytest.approx(below, rel=0.03, abs=1e-12)


@pytest.mark.parametrize("pinned", [(), (0,), (2,), (1, 4)])
def test_a_target_s_places_are_those_of_all_its_orders(pinned: tuple[int, ...]) -> None:
    utilities = np.array([0.0, 2.0, -1.0, 1.0, -6.0])
    utilities[list(pinned)] = -np.inf
    orders = [order for order in permutations(range(5)) if all(order[place] == place for place in pinned)]
    chances = [np.prod([likely(utilities[list(order)], place) for place in range(5)]) for order in orders]
    drawn = race(utilities[None], DRAWS, np.random.default_rng(1))
    assert_the_same(drawn, orders, np.array(chances))


def likely(utilities: Floats, place: int) -> float:
    """Of what is left at a place, how likely the item there is drawn."""
    return float(np.exp(utilities[place]) / np.exp(utilities[place:]).sum()) if np.isfinite(utilities[place]) else 1.0


def test_the_log_s_places_are_those_of_all_its_orders() -> None:
    logged = (1, 4, 0, 3, 2)
    pages = Pages.of(log_of(propensities(logged)))
    # The last candidate keeps its place.
    orders = [order for order in permutations(range(5)) if order[4] == 4]
    chances = [np.prod(propensities(tuple(logged[place] for place in order))) for order in orders]
    assert_the_same(pages.race(DRAWS, np.random.default_rng(1)), orders, np.array(chances))


def test_what_hardly_ever_happens_is_known_though_it_is_not_drawn() -> None:
    utilities = np.array([[-20.0, 0.0, 0.0, 0.0, 0.0]])
    found = Standing.of(race(utilities, 64, np.random.default_rng(1)), Hazard(ITEMS, PLACES), WORTH)
    assert found.reached[0, 0] == pytest.approx(np.exp(-20) / 4, rel=0.5)


def test_the_best_each_time_is_one_order() -> None:
    drawn = race(-1e3 * np.array([[1.0, 0.0, 2.0, 3.0, 4.0]]), 8, np.random.default_rng(1))
    found = Standing.of(drawn, Hazard(ITEMS, PLACES), WORTH)
    value, reached, below = over_all_orders([(1, 0, 2, 3, 4)], np.ones(1))
    assert found.value[0] == pytest.approx(value)
    assert found.reached[0] == pytest.approx(reached)
    assert found.below[0] == pytest.approx(below)
