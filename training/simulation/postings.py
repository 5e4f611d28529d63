"""What is posted: tasks in batches, with their hidden parameters, drawn before the market opens.

Postings do not depend on what is listed to whom, so that competing policies meet the same tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.events import TaskPosted, instant
from features.requirements_shape import AllOf, Clause, Requirements
from training.simulation.chance import stream
from training.simulation.config import SimulationConfig
from training.simulation.kinds import KINDS, SKILLS, SKILLS_EACH, TOPICS, part, write
from training.simulation.population import (
    BLANK,
    DEVICES,
    LANGUAGES,
    QUALIFICATIONS,
    Floats,
    Ints,
    Requesters,
    money,
    usd,
)

DAY, HOUR, MINUTE = 86_400_000_000, 3_600_000_000, 60_000_000
NEVER = np.iinfo(np.int64).max
_WEEKEND = 0.5
_APPROVAL_FLOOR = 80


@dataclass
class Tasks:
    """Tasks in order of posting, one entry an index. What is not in ``postings`` is hidden.

    Attributes:
        ids: external ids.
        requester, kind, topic, language: indices.
        demand: tasks x skills, weights of the skills asked for; a row sums to 1.
        difficulty: skill (0..1) that the work needs.
        minutes: typical duration of the work.
        stated: minutes stated, NaN if not.
        reward: USD; follows raises of the reward.
        first_reward: USD, as posted.
        raised_at: when the reward was raised, microseconds since 1970, ``NEVER`` for not (yet).
        slots: how many workers may take it.
        group: index of the batch.
        posted: microseconds since 1970.
        expires: microseconds since 1970, ``NEVER`` for none.
        closes: when its requester closes it, microseconds since 1970, ``NEVER`` for not.
        raised_to: factor by which a slowly filling task is raised, 1 for never.
        devices: tasks x ``DEVICES``, where it may be done.
        countries: countries whose workers may take it, empty for all.
        qualification: index into ``QUALIFICATIONS``, -1 for none.
        qualification_floor: least score, 0..100.
        approval_floor: least approval rate, percent, NaN for none.
        time_limit: minutes allowed.
        postings: the event of each, with a blank ``event_id``.
    """

    ids: list[str]
    requester: Ints
    kind: Ints
    topic: Ints
    language: Ints
    demand: Floats
    difficulty: Floats
    minutes: Floats
    stated: Floats
    reward: Floats
    first_reward: Floats
    raised_at: Ints
    slots: Ints
    group: Ints
    posted: Ints
    expires: Ints
    closes: Ints
    raised_to: Floats
    devices: NDArray[np.bool_]
    countries: list[frozenset[str]]
    qualification: Ints
    qualification_floor: Floats
    approval_floor: Floats
    time_limit: Floats
    postings: list[TaskPosted]

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.ids)

    def reward_at(self, tasks: Ints, at: int | None) -> Floats:
        """Return the rewards of tasks now, or at an earlier instant (microseconds since 1970), USD."""
        if at is None:
            return self.reward[tasks]
        return np.where(self.raised_at[tasks] <= at, self.reward[tasks], self.first_reward[tasks])


@dataclass
class _Batches:
    """Batches, one entry an index; fields as in `Tasks`."""

    size: Ints
    requester: Ints
    kind: Ints
    topic: Ints
    language: Ints
    posted: Ints


def draw_tasks(config: SimulationConfig, requesters: Requesters, start: int, end: int) -> Tasks:
    """Draw all tasks that are posted from ``start`` to ``end``, microseconds since 1970."""
    rng, law = stream(config.seed, "tasks"), config.task
    batches = _draw_batches(rng, config, requesters, start, end)
    count = len(batches.size)
    kinds = batches.kind
    typical = np.array([kind.minutes for kind in KINDS])[kinds]
    minutes = typical * np.exp(rng.normal(0.0, law.minutes_spread, count))
    premium = np.where(rng.random(count) < law.premium_share, 1 + rng.pareto(law.premium_tail, count), 1.0)
    hourly = requesters.pay_hourly[batches.requester] * np.exp(rng.normal(0.0, law.pay_spread, count)) * premium
    stated = np.maximum(1.0, np.rint(minutes * requesters.stated_bias[batches.requester]))
    stated[rng.random(count) >= law.stated_share] = np.nan
    life = (law.open_days * DAY * np.exp(rng.normal(0.0, 0.7, count))).astype(np.int64)
    expiring = rng.random(count) < law.expiring_share
    ends = (batches.posted + life) // MINUTE * MINUTE
    demand, skills = _draw_demand(rng, kinds)
    devices = _draw_devices(rng, kinds)
    qualified = rng.random(count) < law.qualified_share
    by_kind = {kind: place for place, (_, kind) in enumerate(QUALIFICATIONS)}
    qualification = np.array([by_kind.get(int(kind), -1) for kind in kinds])
    qualification[~qualified] = -1
    floor = rng.choice([30.0, 40.0, 50.0, 60.0], count)
    approval = np.where(qualified & (qualification < 0), float(_APPROVAL_FLOOR), np.nan)
    # Whoever writes in Indonesian may want Indonesia; who writes in English excludes some of the world.
    narrow = rng.random(count) < law.country_share
    abroad = (frozenset({"ID"}), frozenset({"ID", "PH", "IN"}))
    everywhere: frozenset[str] = frozenset()
    countries = [
        abroad[language] if only else everywhere for only, language in zip(narrow, batches.language, strict=True)
    ]
    slots = np.minimum(law.slots_limit, np.floor(1 + rng.pareto(law.slots_tail, count))).astype(np.int64)
    difficulty = np.clip(
        np.array([kind.difficulty for kind in KINDS])[kinds] + rng.normal(0.0, 0.12, count), 0.05, 0.95
    )
    wordings = [
        write(rng, KINDS[kind], asked[0], LANGUAGES[language], topic, requesters.brands[requester])
        for kind, asked, language, topic, requester in zip(
            kinds, skills, batches.language, batches.topic, batches.requester, strict=True
        )
    ]
    of = np.repeat(np.arange(count), batches.size)
    number = np.arange(len(of)) - np.repeat(np.cumsum(batches.size) - batches.size, batches.size)
    # The tasks of a batch come within minutes of each other.
    posted = (batches.posted[of] + number * rng.integers(2, 20, count)[of] * 1_000_000) // 1000 * 1000
    raised = np.where(rng.random(len(of)) < law.raise_share, rng.uniform(1.15, 1.6, len(of)), 1.0)
    rewards = [
        money(pay * length / 60, bool(requesters.in_rupiah[requester]), config.idr_per_usd)
        for pay, length, requester in zip(hourly, minutes, batches.requester, strict=True)
    ]
    paid = np.array([usd(reward, config.idr_per_usd) for reward in rewards])
    order = np.argsort(posted, kind="stable")
    order = order[posted[order] < end]
    of, number, posted, raised = of[order], number[order], posted[order], raised[order]
    tasks = Tasks(
        ids=[f"t{place:06d}" for place in range(1, len(of) + 1)],
        requester=batches.requester[of],
        kind=kinds[of],
        topic=batches.topic[of],
        language=batches.language[of],
        demand=demand[of],
        difficulty=difficulty[of],
        minutes=minutes[of],
        stated=stated[of],
        reward=paid[of],
        first_reward=paid[of],
        raised_at=np.full(len(of), NEVER),
        slots=slots[of],
        group=of,
        posted=posted,
        expires=np.where(expiring, ends, NEVER)[of],
        closes=np.where(expiring, NEVER, ends)[of],
        raised_to=raised,
        devices=devices[of],
        countries=[countries[batch] for batch in of],
        qualification=qualification[of],
        qualification_floor=floor[of],
        approval_floor=approval[of],
        time_limit=np.ceil(np.maximum(15.0, 4 * minutes) / 15)[of] * 15,
        postings=[],
    )
    tasks.postings = [
        TaskPosted(
            event_id="-",
            at=BLANK,
            task_id=tasks.ids[task],
            requester_id=requesters.ids[tasks.requester[task]],
            reward=rewards[batch],
            slots=int(tasks.slots[task]),
            group_id=None if batches.size[batch] == 1 else f"g{batch + 1:05d}",
            category=KINDS[tasks.kind[task]].name,
            skills=skills[batch],
            estimated_minutes=None if np.isnan(stated[batch]) else float(stated[batch]),
            time_limit_minutes=float(tasks.time_limit[task]),
            expires_at=None if tasks.expires[task] == NEVER else instant(int(tasks.expires[task])),
            languages=(LANGUAGES[tasks.language[task]],),
            countries=tuple(sorted(tasks.countries[task])) or None,
            devices=None if tasks.devices[task].all() else _names(DEVICES, tasks.devices[task]),
            requirements=_requirements(tasks, task),
            title=wordings[batch].title
            + part(LANGUAGES[tasks.language[task]], int(number[task]) + 1, int(batches.size[batch])),
            description=wordings[batch].description,
            keywords=wordings[batch].keywords,
        )
        for task, batch in enumerate(of)
    ]
    return tasks


def _draw_batches(
    rng: np.random.Generator, config: SimulationConfig, requesters: Requesters, start: int, end: int
) -> _Batches:
    law = config.task
    stock = round(config.tasks_per_day * law.stock_days)
    wanted = config.tasks_per_day * config.days + stock
    size = np.minimum(law.batch_limit, np.floor(1 + rng.pareto(law.batch_tail, wanted))).astype(np.int64)
    count = int(np.searchsorted(np.cumsum(size), wanted)) + 1
    size = size[:count]
    size[-1] -= int(size.sum()) - wanted
    requester = rng.choice(len(requesters), count, p=requesters.activity / requesters.activity.sum())
    kind = (rng.random((count, 1)) > np.cumsum(requesters.kinds[requester], axis=1)[:, :-1]).sum(axis=1)
    # An office in rupiah writes mostly in Indonesian.
    odds = law.indonesian_share * np.where(requesters.in_rupiah[requester], 1.35, 0.5)
    language = (rng.random(count) >= np.minimum(odds, 0.97)).astype(np.int64)
    days = np.arange(start // DAY, end // DAY + 1)
    weekend = (days + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    weight = np.where(weekend, _WEEKEND, 1.0)
    day = rng.choice(days, count, p=weight / weight.sum())
    local = np.clip(rng.normal(13.0, 3.5, count), 0.0, 23.99)
    posted = day * DAY + ((local - requesters.utc_offset[requester]) * HOUR).astype(np.int64)
    posted = start + (posted - start) % (end - start)
    early = rng.random(count) < stock / wanted
    posted[early] = start + rng.integers(0, 30 * MINUTE, int(early.sum()))
    return _Batches(size, requester, kind, rng.integers(0, len(TOPICS), count), language, posted)


def _draw_demand(rng: np.random.Generator, kinds: Ints) -> tuple[Floats, list[tuple[str, ...]]]:
    demand = np.zeros((len(kinds), len(SKILLS)))
    names = []
    for row, kind in enumerate(kinds):
        wanted = rng.choice(SKILLS_EACH, rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15]), replace=False)
        columns = kind * SKILLS_EACH + wanted
        demand[row, columns] = 1 / len(columns)
        names.append(tuple(SKILLS[column] for column in columns))
    return demand, names


def _draw_devices(rng: np.random.Generator, kinds: Ints) -> NDArray[np.bool_]:
    allowed = np.ones((len(kinds), len(DEVICES)), np.bool_)
    for row, kind in enumerate(kinds):
        choices = KINDS[kind].devices
        if choices and rng.random() < 0.5:
            allowed[row] = False
            allowed[row, DEVICES.index(choices[rng.integers(len(choices))])] = True
    return allowed


def _names(of: Sequence[str], chosen: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, kept in zip(of, chosen, strict=True) if kept)


def _requirements(tasks: Tasks, task: int) -> Requirements | None:
    if tasks.qualification[task] >= 0:
        name = QUALIFICATIONS[tasks.qualification[task]][0]
        clause = Clause(attribute=f"qualification:{name}", comparator="ge", value=int(tasks.qualification_floor[task]))
    elif not np.isnan(tasks.approval_floor[task]):
        # A newcomer has no rate yet and is let in.
        floor = int(tasks.approval_floor[task])
        clause = Clause(attribute="approval_rate", comparator="ge", value=floor, absent=True)
    else:
        return None
    return Requirements(AllOf((clause,)))
