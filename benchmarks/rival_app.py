"""The rival: a feed service as a good engineer would write it in a week, over the same market and the same booster.

FastAPI, pydantic and NumPy over arrays that are read at the start. A request takes the tasks that the worker may take,
which are given to it, computes features of all of them column by column, lets ``Booster.predict`` score the 300 that
pay best, and answers with the best 20. It neither judges who may take what, balances nor explains, logs nothing and
knows no event that comes after its start: all of that would make it slower.

    MARKET=market.npz BOOSTER=ranker.txt uvicorn benchmarks.rival_app:app
"""

import os
from typing import Any

import lightgbm as lgb
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

CANDIDATES = 300

_booster = lgb.Booster(model_file=os.environ["BOOSTER"])
_market = dict(np.load(os.environ["MARKET"], allow_pickle=False))
_tasks = _market["task_ids"].tolist()
_workers = {name: place for place, name in enumerate(_market["worker_ids"].tolist())}
_columns = _booster.num_feature()

app = FastAPI()


class Request(BaseModel):
    """What is asked for."""

    worker_id: str
    limit: int = 20


class Item(BaseModel):
    """A task in the answer."""

    task_id: str
    position: int
    score: float


class Answer(BaseModel):
    """A feed."""

    worker_id: str
    items: list[Item]


@app.get("/ready")
def ready() -> dict[str, bool]:
    """Tell that the market has been read."""
    return {"ready": True}


@app.post("/v1/feeds")
def feed(request: Request) -> Answer:
    """Rank the open tasks that a worker may take."""
    worker = _workers[request.worker_id]
    eligible = np.flatnonzero(_market["may_take"][worker])
    features = _features(worker, eligible)
    if len(eligible) > CANDIDATES:
        best = np.argpartition(-features[:, 0], CANDIDATES)[:CANDIDATES]
        eligible, features = eligible[best], features[best]
    scores = _booster.predict(features, num_threads=1) if len(eligible) else np.zeros(0)
    order = np.argsort(-scores, kind="stable")[: request.limit]
    items = [
        Item(task_id=_tasks[eligible[place]], position=rank, score=float(scores[place]))
        for rank, place in enumerate(order, 1)
    ]
    return Answer(worker_id=request.worker_id, items=items)


def _features(worker: int, tasks: np.ndarray) -> np.ndarray:
    """Return as many columns as the booster has: what the tasks say, what the worker did, and how the two meet."""
    reward, minutes, posted = (_market[name][tasks] for name in ("reward", "minutes", "posted"))
    history, skills = _market["history"][worker], _market["skills"][tasks]
    hourly = np.nan_to_num(reward - np.log(minutes), nan=-np.inf)
    overlap = (skills[:, :, None] == _market["held"][worker][None, None, :]).any(axis=2).mean(axis=1)
    affinity = _market["taken_kinds"][worker][_market["category"][tasks]]
    own: list[Any] = [hourly, reward, minutes, np.log1p(_market["now"] - posted), overlap, affinity]
    own += [_zscore(column) for column in own] + [_rank(column) for column in own]
    features = np.full((len(tasks), _columns), np.nan, np.float32)
    for place, column in enumerate(own):
        features[:, place] = column
    features[:, len(own) : len(own) + len(history)] = history
    return features


def _zscore(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / (values.std() + 1e-9) if len(values) else values


def _rank(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values)) / max(1, len(values))
