import numpy as np

from features.spec import COLUMN, NAMES
from training.experiment.orders import ByColumn


def order(column: str | None, values: list[float], sign: float = 1.0, seed: int = 0) -> list[int]:
    """The rows as the order has them, best first."""
    features = np.full((len(values), len(NAMES)), np.nan, np.float32)
    features[:, COLUMN[column or "reward"]] = values
    scores = ByColumn("x", column, sign, np.random.default_rng(seed)).answers(features).scores
    return np.argsort(-scores).tolist()


def test_best_values_come_first_and_what_has_none_last() -> None:
    assert order("reward", [1.0, np.nan, 3.0, 2.0]) == [2, 3, 0, 1]
    assert order("task_age_hours", [1.0, np.nan, 3.0, 2.0], sign=-1.0) == [0, 3, 2, 1]


def test_equal_values_stand_in_the_order_of_chance() -> None:
    assert order("reward", [2.0] * 6) == order(None, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert len({tuple(order("reward", [2.0] * 6, seed=seed)) for seed in range(20)}) > 10


def test_nothing_is_expected_of_a_task() -> None:
    features = np.zeros((2, len(NAMES)), np.float32)
    expected = ByColumn("x", None, 1.0, np.random.default_rng(0)).answers(features).outcomes()
    assert np.isnan([expected.p_accept, expected.p_approve, expected.minutes]).all()
    assert len(expected.minutes) == 2
