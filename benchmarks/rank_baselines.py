"""Rank requests by each simple baseline, in the format of `cocok rank`, so that the same scorer judges all of them.

    COCOK_HOME=.cocok .venv/bin/python -m benchmarks.rank_baselines --requests requests.ndjson --out baselines/

It reads the log of the store once and writes one file for each baseline of `training.baselines`.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.spec import NAMES
from matching.fallback import FallbackRanker
from matching.offline import rank, read_requests
from matching.scoring import Answers
from service.settings import load_settings
from service.store import open_store
from training.baselines import BASELINES, ByColumn


class BaselineRanker(FallbackRanker):
    """Orders by a baseline; NaN, nothing to go by, stands last."""

    def __init__(self, name: str) -> None:
        self._order = BASELINES[name]
        self._random = np.random.default_rng(0)

    def answers(self, features: NDArray[np.float32]) -> Answers:
        if isinstance(self._order, ByColumn):
            scores = self._order.sign * features[:, NAMES.index(self._order.column)].astype(np.float64)
        else:
            scores = self._random.random(len(features))
        return replace(super().answers(features), scores=scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for the ranked lists")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with given.requests.open("rb") as lines:
        requests = read_requests(lines, str(given.requests))
    settings = load_settings()
    store = open_store(settings.store_url)
    for name in BASELINES:
        answers = rank(store.read(), settings.exchange, BaselineRanker(name), requests)
        with (given.out / f"{name}.ndjson").open("wb") as file:
            file.writelines(msgspec.json.encode(answer) + b"\n" for answer in answers)
        print(f"{name}: {len(answers):,} lists")
    store.close()


if __name__ == "__main__":
    main()
