"""Who is in the market: workers and requesters with their hidden parameters, and what workers declare of themselves."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.events import WorkerUpdated
from features.money import Money
from training.simulation.chance import logistic, stream, tilted
from training.simulation.config import SimulationConfig
from training.simulation.kinds import KINDS, SKILLS, SKILLS_EACH, TOPICS, brand

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Place(NamedTuple):
    """Where workers live.

    Attributes:
        country: ISO 3166-1 alpha-2.
        region: ISO 3166-2, empty if not told.
        utc_offset: hours.
        share: of all workers.
        wage_level: reservation wage against the cheapest country.
        languages: language -> probability that a worker speaks it.
    """

    country: str
    region: str
    utc_offset: float
    share: float
    wage_level: float
    languages: dict[str, float]


_ID = {"id": 1.0, "en": 0.45}
PLACES: tuple[Place, ...] = (
    Place("ID", "ID-JK", 7, 0.28, 1.1, _ID),
    Place("ID", "ID-JB", 7, 0.18, 1.0, _ID),
    Place("ID", "ID-BA", 8, 0.09, 1.0, _ID),
    Place("ID", "ID-SN", 8, 0.09, 1.0, _ID),
    Place("ID", "ID-PA", 9, 0.05, 1.0, _ID),
    Place("PH", "", 8, 0.10, 1.1, {"en": 1.0}),
    Place("IN", "", 5.5, 0.10, 1.0, {"en": 1.0}),
    Place("KE", "", 3, 0.06, 1.0, {"en": 1.0}),
    Place("GB", "", 0, 0.05, 2.5, {"en": 1.0}),
)

QUALIFICATIONS: tuple[tuple[str, int], ...] = (
    ("photo-portfolio", 4),
    ("tester-badge", 2),
    ("english-test", 0),
    ("typing-test", 3),
)
"""Name of a qualification, and the kind of work whose skill it shows."""

LANGUAGES = ("id", "en")
DEVICES = ("mobile", "desktop")
BLANK = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands in a drawn event until the world gives it its instant."""

_GOOD = 0.55


@dataclass
class Workers:
    """Workers, one entry an index; everything is hidden but ids and profiles.

    Attributes:
        ids: external ids.
        skill: workers x skills, 0..1.
        taste: workers x kinds, standard deviations.
        topic_taste: workers x topics, standard deviations.
        speed: log of how much faster than typical the worker is.
        reservation: reservation wage, USD an hour.
        place: index into ``PLACES``.
        languages: workers x ``LANGUAGES``, what is spoken.
        devices: workers x ``DEVICES``, what is owned.
        qualifications: workers x ``QUALIFICATIONS``, 0..100, NaN for not held.
        sessions_per_day: mean.
        peak_hour: middle of the daily rhythm, local hour.
        session_minutes: median length of a session.
        scan_on: probability that the worker goes from one position of a list to the next.
        ask_again: probability that the worker asks for another list after one where nothing was taken.
        joined: microseconds since 1970.
        profiles: first declared profile of each worker, None for no profile. ``event_id`` and ``at`` are blank.
    """

    ids: list[str]
    skill: Floats
    taste: Floats
    topic_taste: Floats
    speed: Floats
    reservation: Floats
    place: Ints
    languages: NDArray[np.bool_]
    devices: NDArray[np.bool_]
    qualifications: Floats
    sessions_per_day: Floats
    peak_hour: Floats
    session_minutes: Floats
    scan_on: Floats
    ask_again: Floats
    joined: Ints
    profiles: list[WorkerUpdated | None]

    def __len__(self) -> int:
        """Return the number of workers."""
        return len(self.ids)


@dataclass
class Requesters:
    """Requesters, one entry an index; everything is hidden but ids and brands.

    Attributes:
        ids: external ids.
        brands: what they post for.
        pay_hourly: median pay, USD an hour of a typical worker.
        clarity: 0..1, how well tasks are described.
        leniency: log-odds that work of just the needed skill is approved.
        stated_bias: stated over true minutes.
        verdict_hours: median delay from submission to verdict.
        activity: weight in what is posted.
        kinds: requesters x kinds, weight of each kind of work.
        in_rupiah: whether rewards are in IDR rather than USD.
        utc_offset: of business hours.
    """

    ids: list[str]
    brands: list[str]
    pay_hourly: Floats
    clarity: Floats
    leniency: Floats
    stated_bias: Floats
    verdict_hours: Floats
    activity: Floats
    kinds: Floats
    in_rupiah: NDArray[np.bool_]
    utc_offset: Floats

    def __len__(self) -> int:
        """Return the number of requesters."""
        return len(self.ids)


def draw_workers(config: SimulationConfig, start: int, end: int) -> Workers:
    """Draw the workers of a market that runs from ``start`` to ``end``, microseconds since 1970."""
    rng, law, count = stream(config.seed, "workers"), config.worker, config.workers
    general = rng.normal(0.0, 0.5, (count, 1))
    by_kind = rng.normal(0.0, 1.0, (count, len(KINDS)))
    own = rng.normal(0.0, law.own_skill_spread, (count, len(SKILLS)))
    skill = logistic(general + np.repeat(law.kind_skill_spread * by_kind, SKILLS_EACH, axis=1) + own)
    rest = np.sqrt(max(0.0, 1 - law.taste_skill**2))
    taste = law.taste_skill * by_kind + rest * rng.normal(0.0, 1.0, by_kind.shape)
    place = rng.choice(len(PLACES), count, p=np.array([one.share for one in PLACES]))
    spoken = np.array([[one.languages.get(language, 0.0) for language in LANGUAGES] for one in PLACES])[place]
    devices = rng.random((count, len(DEVICES))) < np.array([0.85, 0.6])
    devices[~devices.any(axis=1), 0] = True
    shown = np.column_stack([skill[:, kind * SKILLS_EACH] for _, kind in QUALIFICATIONS])
    scores = np.rint(np.clip(100 * shown + rng.normal(0, 8, shown.shape), 0, 100))
    held = rng.random(shown.shape) < 0.1 + 0.6 * shown
    present = rng.random(count) < law.present_share
    joined = np.where(present, start + rng.integers(0, 60_000_000, count), rng.integers(start, end, count))
    wage = np.array([one.wage_level for one in PLACES])[place]
    workers = Workers(
        ids=[f"w{number:05d}" for number in range(1, count + 1)],
        skill=skill,
        taste=taste,
        topic_taste=rng.normal(0.0, 1.0, (count, len(TOPICS))),
        speed=rng.normal(0.0, law.speed_spread, count),
        reservation=law.reservation_hourly * wage * np.exp(rng.normal(0.0, law.reservation_spread, count)),
        place=place,
        languages=rng.random(spoken.shape) < spoken,
        devices=devices,
        qualifications=np.where(held, scores, np.nan),
        sessions_per_day=law.sessions_per_day
        * np.exp(rng.normal(0.0, law.session_spread, count) - law.session_spread**2 / 2),
        peak_hour=rng.choice([8.0, 12.5, 20.0, 22.0], count, p=[0.15, 0.25, 0.4, 0.2]) + rng.normal(0, 1, count),
        session_minutes=law.session_minutes * np.exp(rng.normal(0.0, 0.4, count)),
        scan_on=np.empty(0),
        ask_again=np.empty(0),
        joined=joined // 1000 * 1000,
        profiles=[],
    )
    with_profile = rng.random(count) >= law.unprofiled_share
    patience = rng.normal(0.0, law.patience_spread, count)
    behaviour = config.behaviour
    workers.scan_on, workers.ask_again = (
        tilted(share, patience) for share in (behaviour.scan_on_share, behaviour.again_share)
    )
    workers.profiles = [declare(config, workers, index) if with_profile[index] else None for index in range(count)]
    return workers


def declare(config: SimulationConfig, workers: Workers, worker: int, revision: int = 0) -> WorkerUpdated:
    """Return a worker's own profile: incomplete, partly wrong, different at each revision.

    ``event_id`` and ``at`` are blank, for the world to fill in.
    """
    rng, law = stream(config.seed, "profile", worker, revision), config.worker
    place = PLACES[workers.place[worker]]
    skill = workers.skill[worker]
    good = skill > _GOOD
    told = rng.random(len(SKILLS)) < np.where(good, law.declared_share, law.false_share)
    names = [name for name, known in zip(SKILLS, told, strict=True) if known]
    levels = np.clip(skill + rng.normal(0.05, 0.12, len(SKILLS)), 0, 1)
    skills: tuple[str, ...] | dict[str, float] | None = tuple(names) or None
    if names and rng.random() < law.levels_share:
        skills = {name: round(float(levels[SKILLS.index(name)]), 2) for name in names}
    rupiah = place.country == "ID"
    wish = workers.reservation[worker] * np.exp(rng.normal(0.15, 0.25))
    held: dict[str, int | str | None] = {
        name: int(score)
        for (name, _), score in zip(QUALIFICATIONS, workers.qualifications[worker], strict=True)
        if not np.isnan(score)
    }
    owned = tuple(name for name, has in zip(DEVICES, workers.devices[worker], strict=True) if has)
    return WorkerUpdated(
        event_id="-",
        at=BLANK,
        worker_id=workers.ids[worker],
        skills=skills,
        languages=tuple(name for name, speaks in zip(LANGUAGES, workers.languages[worker], strict=True) if speaks),
        country=place.country,
        region=place.region or None if rng.random() < 0.7 else None,
        qualifications=held or None,
        expected_hourly=money(wish, rupiah, config.idr_per_usd) if rng.random() < 0.5 else None,
        session_minutes=float(round(workers.session_minutes[worker] / 5) * 5 or 5) if rng.random() < 0.4 else None,
        devices=owned,
    )


def money(usd: float, in_rupiah: bool, idr_per_usd: float) -> Money:
    """Return an amount as a requester would write it: whole hundreds of rupiah or whole cents, at least one."""
    if in_rupiah:
        return Money(Decimal(max(1, round(usd * idr_per_usd / 100)) * 100), "IDR")
    return Money(Decimal(max(1, round(usd * 100))) / 100, "USD")


def usd(amount: Money, idr_per_usd: float) -> float:
    """Return what an amount is in USD."""
    return float(amount.amount) / (idr_per_usd if amount.currency == "IDR" else 1.0)


def draw_requesters(config: SimulationConfig) -> Requesters:
    """Draw the requesters of a market."""
    rng, law, count = stream(config.seed, "requesters"), config.requester, config.requesters
    kinds = rng.dirichlet(np.full(len(KINDS), 0.4), count)
    rupiah = rng.random(count) < 0.6
    return Requesters(
        ids=[f"r{number:04d}" for number in range(1, count + 1)],
        brands=[brand(rng) for _ in range(count)],
        pay_hourly=law.pay_hourly * np.exp(rng.normal(0.0, law.pay_spread, count)),
        clarity=rng.beta(3.0, 2.0, count),
        leniency=rng.normal(law.leniency, law.leniency_spread, count),
        stated_bias=law.stated_bias * np.exp(rng.normal(0.0, law.stated_spread, count)),
        verdict_hours=law.verdict_hours * np.exp(rng.normal(0.0, law.verdict_spread, count)),
        activity=np.exp(rng.normal(0.0, law.activity_spread, count)),
        kinds=kinds,
        in_rupiah=rupiah,
        utc_offset=np.where(rupiah, 7.0, rng.choice([0.0, 5.5, 8.0], count)),
    )
