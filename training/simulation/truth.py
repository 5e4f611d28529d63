"""The hidden truth beside a log: what no event says, for judging what was learned from the log."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from features.errors import CocokError
from training.simulation.kinds import KINDS, SKILLS, TOPICS
from training.simulation.population import PLACES, Floats, Ints
from training.simulation.reactions import glance
from training.simulation.world import World


class Truth:
    """Answers that only the simulated world knows, and that only an evaluator or an oracle may ask for.

    Raises:
        KeyError: an id is unknown.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._worker = {external: index for index, external in enumerate(world.workers.ids)}
        self._task = {external: index for index, external in enumerate(world.tasks.ids)}

    def ask(
        self,
        worker_id: str,
        task_ids: Sequence[str],
        minutes_left: float = 60.0,
        *,
        at: int | None = None,
        position: int = 1,
    ) -> pd.DataFrame:
        """Return what is true of a worker and tasks.

        Args:
            worker_id: who.
            task_ids: which tasks, open or not.
            minutes_left: in the worker's session.
            at: an earlier instant, microseconds since 1970, to ask with the worker's memory and the rewards as they
                stood then; None for now.
            position: in a list, 1 for the first.

        Returns:
            One row a task, with ``task_id``, ``p_view`` (opened once taken in), ``p_accept`` (taken once opened; 0
            where a qualification is missing), ``p_take`` (taken from a list where it stands at ``position``, if nothing
            above it is taken), ``p_finish`` (handed in once taken), ``p_approve`` (approved once submitted),
            ``minutes`` (median) and ``hourly`` (USD, expected, of what is handed in).
        """
        worker = self._worker[worker_id]
        tasks = np.array([self._task[task_id] for task_id in task_ids], np.int64)
        return pd.DataFrame(
            {"task_id": list(task_ids), **self.of(worker, tasks, minutes_left, at=at, position=position)}
        )

    def of(
        self, worker: int, tasks: Ints, minutes_left: float = 60.0, *, at: int | None = None, position: int = 1
    ) -> dict[str, Floats]:
        """Return the columns of `ask` for world indices, quickly."""
        world = self._world
        outlook = world.choice.outlook(worker, tasks, minutes_left, at)
        accept = outlook.accept * world.market.qualifies(worker, tasks, at)
        return {
            "p_view": outlook.view,
            "p_accept": accept,
            "p_take": self.attention(worker, position)[-1] * outlook.view * accept,
            "p_finish": outlook.finish,
            "p_approve": outlook.approve,
            "minutes": outlook.minutes,
            "hourly": outlook.hourly,
        }

    def attention(self, worker: int, length: int) -> Floats:
        """Return the probability that a worker takes in each position of a list, if nothing above it is taken."""
        world = self._world
        reached: Floats = world.workers.scan_on[worker] ** np.arange(length)
        return reached * glance(world.config.behaviour, length)

    def led_to_work(
        self, worker_id: str, task_ids: Sequence[str], minutes_left: float, orders: Ints, at: int
    ) -> Floats:
        """Return the probability that something is taken from a list, for each order of it.

        Going on after a place and taking what stands there are independent, given that nothing above was taken.

        Args:
            worker_id: who.
            task_ids: what stands on the list.
            minutes_left: in the worker's session.
            orders: orders x tasks; which of ``task_ids`` comes to each place.
            at: instant of the list, microseconds since 1970.
        """
        worker = self._worker[worker_id]
        tasks = np.array([self._task[task_id] for task_id in task_ids], np.int64)
        found = self.of(worker, tasks, minutes_left, at=at)
        length = len(tasks)
        seen = glance(self._world.config.behaviour, length)
        taken = seen * (found["p_view"] * found["p_accept"])[orders]
        passed_over = np.cumprod(1.0 - taken, axis=1) / (1.0 - taken)
        reached = self.attention(worker, length) / seen
        led: Floats = (reached * taken * passed_over).sum(axis=1)
        return led

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the hidden parameters as ``workers``, ``requesters`` and ``tasks``, one row each."""
        world = self._world
        people, offices, tasks = world.workers, world.requesters, world.tasks
        workers = {
            "worker_id": people.ids,
            "country": [PLACES[place].country for place in people.place],
            "speed": people.speed,
            "reservation_hourly": people.reservation,
            "sessions_per_day": people.sessions_per_day,
            "peak_hour": people.peak_hour,
            "session_minutes": people.session_minutes,
            "scan_on": people.scan_on,
            "ask_again": people.ask_again,
            "has_profile": [profile is not None for profile in people.profiles],
            **{f"skill:{name}": people.skill[:, place] for place, name in enumerate(SKILLS)},
            **{f"taste:{kind.name}": people.taste[:, place] for place, kind in enumerate(KINDS)},
            **{f"taste:{topic['en']}": people.topic_taste[:, place] for place, topic in enumerate(TOPICS)},
            **{f"done:{kind.name}": world.memory.done[:, place] for place, kind in enumerate(KINDS)},
        }
        requesters = {
            "requester_id": offices.ids,
            "pay_hourly": offices.pay_hourly,
            "clarity": offices.clarity,
            "leniency": offices.leniency,
            "stated_bias": offices.stated_bias,
            "verdict_hours": offices.verdict_hours,
        }
        posted = {
            "task_id": tasks.ids,
            "kind": [KINDS[kind].name for kind in tasks.kind],
            "topic": [TOPICS[topic]["en"] for topic in tasks.topic],
            "difficulty": tasks.difficulty,
            "typical_minutes": tasks.minutes,
            "reward_usd": tasks.reward,
            "pay_hourly": tasks.reward / tasks.minutes * 60,
        }
        tables = {"workers": workers, "requesters": requesters, "tasks": posted}
        return {name: pd.DataFrame(columns) for name, columns in tables.items()}

    def write(self, path: Path) -> None:
        """Write configuration and tables as one JSON document, which no import takes for a log.

        Raises:
            OSError: the file cannot be written.
        """
        document: dict[str, Any] = {"config": asdict(self._world.config)}
        for name, table in self.tables().items():
            document[name] = {column: _plain(values) for column, values in table.items()}
        path.write_bytes(msgspec.json.encode(document) + b"\n")


def read_truth(path: Path) -> dict[str, pd.DataFrame]:
    """Read what `Truth.write` wrote: ``workers``, ``requesters`` and ``tasks``.

    Raises:
        CocokError: the file cannot be read, or is no such document.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
    except (OSError, msgspec.MsgspecError) as error:
        raise CocokError(f"cannot read the truth in {path}: {error}; make it with `cocok simulate`") from error
    return {name: pd.DataFrame(columns) for name, columns in document.items() if name != "config"}


def _plain(values: "pd.Series[Any]") -> list[Any]:
    listed: list[Any] = values.round(6).tolist() if values.dtype.kind == "f" else values.tolist()
    return listed
