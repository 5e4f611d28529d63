"""A dozen of Cocok's columns by point-in-time joins in pandas, as one would write them from the tables of the log.

Each count is a cumulative one on its own events, found by the last of them that a list knows (``merge_asof``).
"""

import numpy as np
import pandas as pd

from training.dataset import TrainingSet
from training.frames import Log

COLUMNS = (
    "worker_accepts",
    "worker_idle_hours",
    "task_accepts",
    "task_uptake",
    "task_age_hours",
    "task_taken",
    "task_viewed",
    "task_served_before",
    "task_served_hours",
    "reward",
    "limit_minutes",
    "requester_posted",
)

_HOUR = pd.Timedelta(hours=1)


def point_in_time(rows: TrainingSet, log: Log) -> pd.DataFrame:
    """Return a frame of `COLUMNS`, one row for each row of a training set."""
    lists = log.lists[["feed_id", "worker_id", "at"]].assign(
        seq=log.events["seq"][log.events["type"] == "feed_served"].to_numpy()
    )
    owner = np.repeat(rows.feed_ids.astype(str), np.diff(rows.offsets))
    asked = pd.DataFrame({"feed_id": owner, "task_id": rows.catalogue["task_id"].to_numpy()[rows.tasks]})
    asked["row"] = np.arange(len(asked))
    asked = asked.merge(lists, on="feed_id").merge(
        log.tasks[["task_id", "requester_id", "reward", "time_limit_minutes", "posted_at"]], on="task_id"
    )
    asked = asked.sort_values("seq")
    events = log.events[["seq", "known_at", "type", "worker_id", "task_id"]]
    accepted = events[events["type"] == "assignment_accepted"]
    viewed = events[events["type"] == "task_viewed"]
    posted = events[events["type"] == "task_posted"].merge(log.tasks[["task_id", "requester_id"]], on="task_id")
    served = log.items.merge(lists, on="feed_id").rename(columns={"at": "known_at"}).sort_values("seq")
    found = {
        "worker_accepts": np.log1p(_counted(asked, accepted, ["worker_id"])),
        "worker_idle_hours": _log_hours(asked, _last(asked, accepted, ["worker_id"])),
        "task_accepts": np.log1p(taken := _counted(asked, accepted, ["task_id"])),
        "task_age_hours": (age := _log_hours(asked, asked["posted_at"].to_numpy())),
        "task_uptake": np.log1p(taken / (np.expm1(age) + 1.0)),
        "task_taken": _counted(asked, accepted, ["worker_id", "task_id"]),
        "task_viewed": np.minimum(_counted(asked, viewed, ["worker_id", "task_id"]), 1.0),
        "task_served_before": np.log1p(_counted(asked, served, ["worker_id", "task_id"])),
        "task_served_hours": _log_hours(asked, _last(asked, served, ["worker_id", "task_id"])),
        "reward": np.log(np.maximum(asked["reward"].to_numpy(), 1e-4)),
        "limit_minutes": np.log(asked["time_limit_minutes"].to_numpy()),
        "requester_posted": np.log(
            np.maximum(1.0, _counted(asked, posted, ["requester_id"])) / np.maximum(1.0, _counted(asked, posted, []))
        ),
    }
    frame = pd.DataFrame(found, index=asked["row"].to_numpy(), dtype="float32")
    return frame.sort_index()[list(COLUMNS)]


def _asof(asked: pd.DataFrame, events: pd.DataFrame, keys: list[str], column: str) -> pd.Series:
    found = pd.merge_asof(
        asked[["seq", *keys]],
        events[["seq", *keys, column]],
        on="seq",
        by=keys or None,
        allow_exact_matches=False,
    )
    return found[column]


def _counted(asked: pd.DataFrame, events: pd.DataFrame, keys: list[str]) -> np.ndarray:
    count = events.groupby(keys).cumcount() + 1 if keys else np.arange(1, len(events) + 1)
    return _asof(asked, events.assign(count=count), keys, "count").fillna(0).to_numpy(np.float64)


def _last(asked: pd.DataFrame, events: pd.DataFrame, keys: list[str]) -> np.ndarray:
    return _asof(asked, events, keys, "known_at").to_numpy()


def _log_hours(asked: pd.DataFrame, since: np.ndarray) -> np.ndarray:
    return np.log1p(((asked["at"] - pd.Series(since, asked.index)).clip(lower=pd.Timedelta(0)) / _HOUR).to_numpy())
