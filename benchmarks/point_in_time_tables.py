"""A log as the tables that joins start from: what happened, and each posting with its content as it stood.

They are given: the tokens of postings and their weights are what Cocok makes of them when they come.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.estimates import LEAST_MINUTES, SECOND
from features.events import (
    AssignmentSubmitted,
    Entry,
    FeedServed,
    TaskPosted,
    TaskUpdated,
    WorkerUpdated,
    event_type,
    micros,
)
from features.layout import TOKENS
from features.money import Rates
from features.state import MarketState
from features.tokens import token


@dataclass(frozen=True)
class Tables:
    """A log in tables. Workers, tasks and requesters are numbers, instants microseconds since 1970.

    Attributes:
        events: seq, known_at, type, worker, task, minutes (log of the minutes of work); each event, in order.
        lists: feed_id, seq, now, worker; each list, ``now`` in whole seconds.
        served: seq, task; each item of each list, in order.
        versions: seq, task, requester, reward (log), stated (log of the minutes), slots, expires, order, group; each
            posting as it was sent or updated, in order. ``group`` is -1 where there is none.
        tokens: int64, versions x tokens; the content of each, -1 for none.
        weights: float64, versions x tokens.
        labels: int64, versions x 3; the token of the category, and those of requester and group where their hash is
            that of another token; -1 for none. They weigh 1.
        skills: int64, versions x skills; tokens, -1 for none.
        levels: seq, worker, token, level; by how much the level that a worker declares in a skill changes.
        profiles: seq, worker, skills; how many skills a profile declares.
        vocabulary: how many tokens there are, numbered from 0.
        task_ids: id -> number.
    """

    events: pd.DataFrame
    lists: pd.DataFrame
    served: pd.DataFrame
    versions: pd.DataFrame
    tokens: NDArray[np.int64]
    weights: NDArray[np.float64]
    labels: NDArray[np.int64]
    skills: NDArray[np.int64]
    levels: pd.DataFrame
    profiles: pd.DataFrame
    vocabulary: int
    task_ids: dict[str, int]


def tables_of(log: Iterable[Entry], rates: Rates) -> Tables:
    """Read a log, given as (sequence number, ``known_at`` in microseconds, event), into tables."""
    state = MarketState(rates)
    events, lists, served, versions, levels, profiles = [], [], [], [], [], []
    declared: dict[int, dict[int, float]] = {}
    for seq, known_at, event in log:
        state.apply([(seq, known_at, event)])
        of: Any = event
        worker = state.catalogue.workers.get(getattr(event, "worker_id", None) or "")
        task = state.catalogue.tasks.get(getattr(event, "task_id", None) or "")
        minutes = np.nan
        if isinstance(event, AssignmentSubmitted) and of.work_seconds:
            minutes = max(of.work_seconds / 60, LEAST_MINUTES)
        events.append((seq, known_at, event_type(event), worker, task, np.log(minutes)))
        if isinstance(event, FeedServed):
            lists.append((event.feed_id, seq, micros(event.at) // SECOND * SECOND, worker))
            served += [(seq, state.catalogue.tasks.get(item.task_id)) for item in event.items]
        elif isinstance(event, TaskPosted | TaskUpdated):
            versions.append((seq, task, state.arrays.tasks[task].copy()))
        elif isinstance(event, WorkerUpdated):
            given = event.skills or {}
            new = {token("skill", name): given[name] if isinstance(given, dict) else 1.0 for name in given}
            old = declared.get(worker, {})
            levels += [(seq, worker, row, new.get(row, 0.0) - old.get(row, 0.0)) for row in {*old, *new}]
            profiles.append((seq, worker, len(new)))
            declared[worker] = new
    tasks, records = np.array([task for _, task, _ in versions]), np.array([record for _, _, record in versions])
    facts, most = records["facts"], int(records["facts"]["n_skills"].max())
    content = np.where(np.arange(TOKENS) < records["n_tokens"][:, None], records["tokens"], -1)
    skills = np.where(np.arange(most) < facts["n_skills"][:, None], facts["skills"][:, :most], -1)
    parts = (content, skills, facts["category_token"], np.array([row for _, _, row, _ in levels], np.int64))
    found, numbers = np.unique(np.concatenate([[-1], *(part.ravel() for part in parts)]), return_inverse=True)
    split = np.split(numbers[1:] - 1, np.cumsum([part.size for part in parts])[:-1])
    content, skills, category, skill = (part.reshape(like.shape) for part, like in zip(split, parts, strict=True))
    return Tables(
        events=pd.DataFrame(events, columns=["seq", "known_at", "type", "worker", "task", "minutes"]),
        lists=pd.DataFrame(lists, columns=["feed_id", "seq", "now", "worker"]),
        served=pd.DataFrame(served, columns=["seq", "task"]),
        versions=pd.DataFrame(
            {
                "seq": [seq for seq, _, _ in versions],
                "task": tasks,
                "requester": facts["requester"].astype(np.int64),
                "reward": records["log_reward"].astype(np.float64),
                "stated": np.log(facts["stated_minutes"].astype(np.float64)),
                "slots": facts["slots"],
                "expires": facts["expires"],
                "order": facts["order"],
                "group": facts["group_token"].astype(np.int64),
            }
        ),
        tokens=content,
        weights=np.where(content < 0, 0.0, records["weights"]),
        labels=np.stack([category, *(_among(found[1:], facts[f"{name}_token"]) for name in ("requester", "group"))], 1),
        skills=skills,
        levels=pd.DataFrame(levels, columns=["seq", "worker", "token", "level"]).assign(token=skill),
        profiles=pd.DataFrame(profiles, columns=["seq", "worker", "skills"]),
        vocabulary=len(found) - 1,
        task_ids=dict(state.catalogue.tasks.indices),
    )


def _among(rows: NDArray[np.int64], wanted: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the place of each among rising rows, -1 for what is not there."""
    places = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return np.where(rows[places] == wanted, places, -1)
