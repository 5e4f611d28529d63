"""The rival: a feed service as a good engineer would write it in a week, over the same market and the same model.

FastAPI, pydantic, NumPy and LightGBM, over arrays that are read at the start. A request finds which of the open tasks
the worker may take, computes for all of them what chooses 300, all columns that the ranker learns from for these,
scores them by ``Booster.predict`` and the model's linear part, and answers with the best 20. Its columns and scores are
Cocok's to the rounding, and so is its order before anything is re-ranked. With ``IN_FULL`` it has no first stage to
spare it work: all columns are computed of all tasks that the worker may take.

It is given more than it would have in use: counts of the log as Cocok keeps them, requirements as it has compiled them,
and what each task is worth to anybody, by which Cocok chooses as well. It does less: it balances and explains nothing,
has neither probabilities nor near misses, takes no wishes, knows no blocked requesters, categories and keywords, logs
nothing and learns of no event after its start. What tells of tasks alone is computed once a second of the market's
clock, which stands still here.

    MARKET=market.npz BOOSTER=ranker.txt uvicorn benchmarks.rival.app:app
"""

import os

import lightgbm as lgb
import numpy as np
from fastapi import FastAPI, Response
from pydantic import BaseModel

from benchmarks.rival.ranking import Ranker

_market = dict(np.load(os.environ["MARKET"], allow_pickle=False))
_now, _task_ids = int(_market["now"]), _market["task_ids"].tolist()
_workers = {name: place for place, name in enumerate(_market["worker_ids"].tolist()) if name}
_ranker = Ranker(_market, lgb.Booster(model_file=os.environ["BOOSTER"]), in_full=bool(os.environ.get("IN_FULL")))
del _market

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
async def ready() -> dict[str, bool]:
    """Tell that the market has been read."""
    return {"ready": True}


@app.post("/v1/feeds", responses={200: {"model": Answer}})
async def feed(request: Request) -> Response:
    """Rank the open tasks that a worker may take."""
    # Nothing here waits, so that another thread would only cost.
    ranked = _ranker.rank(_workers.get(request.worker_id, 0), _now)
    best = zip(ranked.tasks[: request.limit].tolist(), ranked.scores[: request.limit].tolist(), strict=True)
    items = [
        Item(task_id=_task_ids[task], position=position, score=score) for position, (task, score) in enumerate(best, 1)
    ]
    answer = Answer(worker_id=request.worker_id, items=items)
    # Written by pydantic at once, which FastAPI would check and take apart before.
    return Response(answer.model_dump_json(), media_type="application/json")
