"""Why a task stands where it does, in words: the model says which groups of columns lift it, the rules what is true.

A rule belongs to a group, reads the very row that was scored, and holds or not. Of each group that lifts the task above
the list, the rule that holds most strongly becomes a reason, and the group that lifts the most comes first. What pulls
a task down is never given as a reason for it. Figures are those of the answer, so that no reason contradicts it.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.money import Money
from features.spec import COLUMN, GROUPS
from matching.wording import money, number

MOST = 3
"""Reasons given for a task at the most."""

MOST_TEXTS = 16_384
"""Texts that are kept: reasons with the same figures are told again and again."""

_LOG_HOUR = math.log(60.0)


@dataclass(frozen=True)
class Reason:
    """A reason with its text in the language asked for."""

    code: str
    text: str


@dataclass(frozen=True)
class Figures:
    """What the answer says of the tasks of a page.

    Attributes:
        p_approve: float64, tasks; P(approved | submitted), NaN where nothing tells.
        minutes: float64, tasks; expected, NaN where nothing tells.
        rewards: tasks; None for one without.
        hourly: tasks; pay per hour, None where nothing tells.
    """

    p_approve: NDArray[np.float64]
    minutes: NDArray[np.float64]
    rewards: Sequence[Money | None]
    hourly: Sequence[Money | None]


class _Task(NamedTuple):
    """What rules read of a task: columns of the row, by name, and the figures of the answer.

    The answer's figures stand in place of the counted ones in ``minutes``, ``hourly`` and what rests on them.
    """

    affinity: float
    affinity_requester: float
    group_taken: float
    hourly: float
    hourly_against_declared: float
    hourly_rank: float
    market_approval: float
    minutes: float
    popularity: float
    popularity_rank: float
    requester_approval: float
    requester_hours: float
    requester_rating: float
    reward: float
    reward_rank: float
    session_fit: float
    skill_count: float
    skill_experience: float
    skill_overlap: float
    slots_left: float
    task_age_hours: float
    task_saved: float
    task_taken: float
    task_viewed: float
    worker_accepts_slow: float
    worker_approval: float
    counted_hourly: float
    answered_approval: float
    answered_minutes: float
    answered_reward: Money | None
    answered_hourly: Money | None


_READ = _Task._fields[: _Task._fields.index("counted_hourly")]
_PLACES = np.array([COLUMN[name] for name in _READ])


def _tasks(features: NDArray[np.float32], figures: Figures) -> Iterable[_Task]:
    read = features[:, _PLACES].astype(np.float64)
    columns = dict(zip(_READ, read.T, strict=True))
    minutes, chance, counted = figures.minutes, figures.p_approve, columns["hourly"]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_minutes = np.log(np.where(minutes > 0.0, minutes, np.nan))
        hourly = columns["reward"] + np.log(np.where(chance > 0.0, chance, 0.0)) - log_minutes + _LOG_HOUR
        columns["session_fit"] = columns["session_fit"] + columns["minutes"] - log_minutes
        columns["hourly_against_declared"] = columns["hourly_against_declared"] + (hourly - counted)
    columns |= {"minutes": log_minutes, "hourly": hourly}
    numbers = (*columns.values(), counted, chance, minutes)
    return map(_Task, *(column.tolist() for column in numbers), figures.rewards, figures.hourly)


Words = Mapping[str, float | Money | None]


@dataclass(frozen=True, eq=False)
class _Rule:
    """A reason that may hold.

    ``holds`` says how strongly it holds for a task, 0 or less when it does not; ``words`` fills the texts.
    """

    code: str
    group: str
    holds: Callable[[_Task], float]
    words: Callable[[_Task], Words]
    en: str
    id: str

    def told(self, task: _Task, locale: str) -> Reason:
        return _told(self, locale, **self.words(task))


@lru_cache(MOST_TEXTS, typed=True)
def _told(rule: _Rule, locale: str, **words: float | Money | None) -> Reason:
    written = {name: _written(value, locale) for name, value in words.items()}
    return Reason(rule.code, (rule.id if locale == "id" else rule.en).format(**written))


def _written(value: float | Money | None, locale: str) -> str:
    return money(value, locale) if isinstance(value, Money) else "" if value is None else number(value, locale)


def _nothing(_: _Task) -> Words:
    return {}


def _if(holds: bool, worth: float) -> float:
    return worth if holds else 0.0


def _times(log_ratio: float) -> float:
    """Return a ratio as it is told: to a tenth, or whole from ten on."""
    ratio = math.exp(log_ratio)
    return round(ratio, 1) if ratio < 10.0 else round(ratio)


def _percent(share: float) -> int:
    # A share is told rather too low than too high.
    return math.floor(100 * share)


def _hours(log_hours: float) -> int:
    return max(1, math.ceil(math.expm1(log_hours)))


def _takes(task: _Task) -> bool:
    """Tell whether the worker took so much lately that a ratio of it means something."""
    return task.worker_accepts_slow >= math.log1p(2.5)


def _as_ranked(task: _Task) -> bool:
    """Tell whether pay per hour, which was ranked by counts, is about as high by the answer's figures."""
    return task.answered_hourly is not None and task.hourly >= task.counted_hourly + math.log(0.8)


_RULES: tuple[_Rule, ...] = (
    _Rule(
        "skills",
        "skill",
        lambda task: _if(task.skill_overlap >= 0.5 and task.skill_count >= 1.0, task.skill_overlap),
        lambda task: {
            "known": round(task.skill_overlap * round(task.skill_count)),
            "count": round(task.skill_count),
        },
        "Skills it asks for that you know: {known} of {count}",
        "Keahlian yang diminta dan Anda kuasai: {known} dari {count}",
    ),
    _Rule(
        "similar_tasks",
        "skill",
        # Affinity alone is high for what everybody takes; above popularity it is the worker's own doing.
        lambda task: _if(
            _takes(task) and task.affinity - task.popularity > 0.3,
            2.0 * (task.affinity - task.popularity),
        ),
        lambda task: {"times": _times(task.affinity - task.popularity)},
        "You take tasks like this about {times} times as often as others do",
        "Anda mengambil tugas seperti ini sekitar {times} kali sesering orang lain",
    ),
    _Rule(
        "experience",
        "skill",
        lambda task: _if(task.skill_experience >= math.log1p(1.0), 0.2),
        _nothing,
        "You have recent experience with the skills it asks for",
        "Anda punya pengalaman terbaru dengan keahlian yang diminta",
    ),
    _Rule(
        "taken_before",
        "history",
        lambda task: _if(task.task_taken >= 1.0, 1.0),
        lambda task: {"count": round(task.task_taken)},
        "Times you have taken it before: {count}",
        "Sudah {count} kali Anda ambil sebelumnya",
    ),
    _Rule(
        "saved",
        "history",
        lambda task: _if(task.task_saved >= 1.0, 0.9),
        _nothing,
        "You have saved it",
        "Anda menyimpannya",
    ),
    _Rule(
        "same_batch",
        "history",
        lambda task: _if(task.group_taken >= math.log1p(0.5), 0.6),
        _nothing,
        "You have lately taken tasks of the same batch",
        "Belakangan ini Anda mengambil tugas dari kelompok yang sama",
    ),
    _Rule(
        "track_record",
        "history",
        # Without a verdict on the worker's own work, the share is the market's to the last bit.
        lambda task: _if(task.answered_approval >= 0.85 and abs(task.worker_approval) > 1e-6, 0.3),
        lambda task: {"share": _percent(task.answered_approval)},
        "Going by your work so far, its chance of approval is about {share} %",
        "Melihat pekerjaan Anda selama ini, peluang disetujui sekitar {share} %",
    ),
    _Rule(
        "opened",
        "history",
        lambda task: _if(task.task_viewed >= 1.0, 0.2),
        _nothing,
        "You have looked at it before",
        "Anda pernah melihatnya",
    ),
    _Rule(
        "pays_well_per_hour",
        "pay",
        lambda task: _if(task.hourly_rank > 0.7 and _as_ranked(task), 2.0 * (task.hourly_rank - 0.7) + 0.4),
        lambda task: {"hourly": task.answered_hourly},
        "About {hourly} an hour for you, more than most open tasks",
        "Sekitar {hourly} per jam untuk Anda, lebih dari kebanyakan tugas yang terbuka",
    ),
    _Rule(
        "high_reward",
        "pay",
        lambda task: _if(
            task.reward_rank > 0.75 and task.answered_reward is not None, 1.5 * (task.reward_rank - 0.75) + 0.2
        ),
        # A rank counts half of those that are equal, so it does not say how many lie below.
        lambda task: {"reward": task.answered_reward, "share": _percent(task.reward_rank)},
        "Its reward of {reward} is at least that of {share} % of the open tasks",
        "Upahnya {reward}, setara atau lebih tinggi daripada {share} % tugas yang terbuka",
    ),
    _Rule(
        "meets_expectation",
        "pay",
        lambda task: _if(task.hourly_against_declared >= 0.0 and task.answered_hourly is not None, 0.5),
        lambda task: {"hourly": task.answered_hourly},
        "About {hourly} an hour for you, which reaches what you expect",
        "Sekitar {hourly} per jam untuk Anda, mencapai yang Anda harapkan",
    ),
    _Rule(
        "pay_per_hour",
        "pay",
        lambda task: _if(task.answered_hourly is not None and task.answered_hourly.amount > 0, 0.1),
        lambda task: {"hourly": task.answered_hourly},
        "About {hourly} an hour for you",
        "Sekitar {hourly} per jam untuk Anda",
    ),
    _Rule(
        "popular",
        "market",
        lambda task: _if(task.popularity > math.log(1.2), 2.0 * (task.popularity_rank - 0.8)),
        lambda task: {"times": _times(task.popularity)},
        "Tasks like this are taken about {times} times as often as others",
        "Tugas seperti ini diambil sekitar {times} kali sesering tugas lain",
    ),
    _Rule(
        "new",
        "market",
        lambda task: _if(task.task_age_hours < math.log1p(6.0), 0.25),
        lambda task: {"hours": _hours(task.task_age_hours)},
        "Posted within the last {hours} h",
        "Dipasang dalam {hours} jam terakhir",
    ),
    _Rule(
        "last_slots",
        "market",
        lambda task: _if(0.5 < math.expm1(task.slots_left) < 3.5, 0.2),
        lambda task: {"slots": round(math.expm1(task.slots_left))},
        "{slots} left",
        "Tersisa {slots}",
    ),
    _Rule(
        "known_requester",
        "requester",
        lambda task: _if(_takes(task), task.affinity_requester - 0.3),
        lambda task: {"times": _times(task.affinity_requester)},
        "You take tasks of this requester about {times} times as often as a random choice would",
        "Anda mengambil tugas dari pemberi tugas ini sekitar {times} kali sesering pilihan acak",
    ),
    _Rule(
        "reliable_requester",
        "requester",
        lambda task: _if(
            task.requester_approval + task.market_approval >= 0.9 and not math.isnan(task.requester_hours), 0.3
        ),
        lambda task: {"share": _percent(task.requester_approval + task.market_approval)},
        "This requester approves about {share} % of the work",
        "Pemberi tugas ini menyetujui sekitar {share} % pekerjaan",
    ),
    _Rule(
        "well_rated_requester",
        "requester",
        lambda task: _if(task.requester_rating >= 4.0, 0.25),
        lambda task: {"rating": round(task.requester_rating, 1)},
        "Workers rate this requester {rating} of 5",
        "Pekerja menilai pemberi tugas ini {rating} dari 5",
    ),
    _Rule(
        "quick_approval",
        "requester",
        lambda task: _if(task.requester_hours <= math.log1p(24.0), 0.15),
        lambda task: {"hours": _hours(task.requester_hours)},
        "This requester usually approves within about {hours} h",
        "Pemberi tugas ini biasanya menyetujui dalam sekitar {hours} jam",
    ),
    _Rule(
        "fits_session",
        "context",
        lambda task: _if(task.session_fit >= 0.0, 0.3),
        lambda task: {"minutes": max(1, round(task.answered_minutes))},
        "About {minutes} min, which fits into your time",
        "Sekitar {minutes} menit, cukup untuk waktu Anda",
    ),
)
"""Within a group, strengths are compared; across groups, only where the model makes no difference."""

_BY_GROUP = [[rule for rule in _RULES if rule.group == group] for group in GROUPS]

_OPEN = _Rule("open", "", lambda _: 1.0, _nothing, "It is open to you now", "Terbuka untuk Anda sekarang")

CODES: Sequence[str] = tuple(rule.code for rule in (*_RULES, _OPEN))
"""Every code a reason can have."""


def reasons(
    features: NDArray[np.float32], lifts: NDArray[np.float64], figures: Figures, locale: str = "en"
) -> list[list[Reason]]:
    """Return of each task at least one and at most ``MOST`` reasons, the strongest first.

    Where no rule of a group that lifts the task holds, those of groups that make no difference to it stand in; where
    none of these holds either, it is open.

    Args:
        features: float32, tasks x columns of the spec, as scored.
        lifts: float64, tasks x `features.spec.GROUPS`; what each adds to the score above the list; see
            `matching.scoring.Answers.lifts`.
        figures: as answered.
        locale: one of `matching.wording.LOCALES`.
    """
    ranked = np.argsort(-lifts, axis=1, kind="stable")
    falling = np.take_along_axis(lifts, ranked, axis=1)
    lifting, even = (falling > 0.0).sum(axis=1).tolist(), (falling >= 0.0).sum(axis=1).tolist()
    found = []
    for task, groups, ends, begins in zip(_tasks(features, figures), ranked.tolist(), even, lifting, strict=True):
        chosen = list(islice(_strongest(groups[:begins], task), MOST))
        if not chosen:
            chosen = sorted(_strongest(groups[begins:ends], task), key=itemgetter(0), reverse=True)[:MOST]
        found.append([rule.told(task, locale) for _, rule in chosen] or [_OPEN.told(task, locale)])
    return found


def _strongest(groups: Iterable[int], task: _Task) -> Iterator[tuple[float, _Rule]]:
    """Yield the rule that holds most strongly of each group in which one holds."""
    for group in groups:
        most, strongest = 0.0, None
        for rule in _BY_GROUP[group]:
            strength = rule.holds(task)
            if strength > most:
                most, strongest = strength, rule
        if strongest is not None:
            yield most, strongest
