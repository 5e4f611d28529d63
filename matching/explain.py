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

_READ = (
    "affinity",
    "affinity_requester",
    "group_taken",
    "hourly",
    "hourly_against_declared",
    "hourly_rank",
    "market_approval",
    "minutes",
    "popularity",
    "popularity_rank",
    "requester_approval",
    "requester_hours",
    "requester_rating",
    "reward",
    "reward_rank",
    "session_fit",
    "skill_count",
    "skill_experience",
    "skill_overlap",
    "slots_left",
    "task_age_hours",
    "task_saved",
    "task_taken",
    "task_viewed",
    "worker_accepts_slow",
    "worker_approval",
)
"""Columns that rules read."""

_PLACES = np.array([COLUMN[name] for name in _READ])


@dataclass(frozen=True)
class Reason:
    """A reason with its text in the language asked for."""

    code: str
    text: str


@dataclass(frozen=True)
class Figures:
    """What the answer says of a task.

    Attributes:
        p_approve: P(approved | submitted).
        minutes: expected, NaN where nothing tells.
        reward: None without one.
        hourly: pay per hour; None where nothing tells.
    """

    p_approve: float
    minutes: float
    reward: Money | None = None
    hourly: Money | None = None


class _Task(dict[str, float]):
    """What rules read: ``_READ`` of the columns of the row, by name, and the figures of the answer.

    The answer's figures stand in place of the counted ones in ``minutes``, ``hourly`` and what rests on them.
    """

    def __init__(self, row: NDArray[np.float32], figures: Figures) -> None:
        super().__init__(zip(_READ, row[_PLACES].tolist(), strict=True))
        self.figures = figures
        self.counted_hourly = self["hourly"]
        log_minutes = math.log(figures.minutes) if figures.minutes > 0 else math.nan
        log_chance = math.log(figures.p_approve) if figures.p_approve > 0 else -math.inf
        hourly = self["reward"] + log_chance - log_minutes + _LOG_HOUR
        self["session_fit"] += self["minutes"] - log_minutes
        self["hourly_against_declared"] += hourly - self["hourly"]
        self["minutes"] = log_minutes
        self["hourly"] = hourly


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
    return task["worker_accepts_slow"] >= math.log1p(2.5)


def _as_ranked(task: _Task) -> bool:
    """Tell whether pay per hour, which was ranked by counts, is about as high by the answer's figures."""
    return task.figures.hourly is not None and task["hourly"] >= task.counted_hourly + math.log(0.8)


_RULES: tuple[_Rule, ...] = (
    _Rule(
        "skills",
        "skill",
        lambda task: _if(task["skill_overlap"] >= 0.5 and task["skill_count"] >= 1.0, task["skill_overlap"]),
        lambda task: {
            "known": round(task["skill_overlap"] * round(task["skill_count"])),
            "count": round(task["skill_count"]),
        },
        "Skills it asks for that you know: {known} of {count}",
        "Keahlian yang diminta dan Anda kuasai: {known} dari {count}",
    ),
    _Rule(
        "similar_tasks",
        "skill",
        # Affinity alone is high for what everybody takes; above popularity it is the worker's own doing.
        lambda task: _if(
            _takes(task) and task["affinity"] - task["popularity"] > 0.3,
            2.0 * (task["affinity"] - task["popularity"]),
        ),
        lambda task: {"times": _times(task["affinity"] - task["popularity"])},
        "You take tasks like this about {times} times as often as others do",
        "Anda mengambil tugas seperti ini sekitar {times} kali sesering orang lain",
    ),
    _Rule(
        "experience",
        "skill",
        lambda task: _if(task["skill_experience"] >= math.log1p(1.0), 0.2),
        _nothing,
        "You have recent experience with the skills it asks for",
        "Anda punya pengalaman terbaru dengan keahlian yang diminta",
    ),
    _Rule(
        "taken_before",
        "history",
        lambda task: _if(task["task_taken"] >= 1.0, 1.0),
        lambda task: {"count": round(task["task_taken"])},
        "Times you have taken it before: {count}",
        "Sudah {count} kali Anda ambil sebelumnya",
    ),
    _Rule(
        "saved",
        "history",
        lambda task: _if(task["task_saved"] >= 1.0, 0.9),
        _nothing,
        "You have saved it",
        "Anda menyimpannya",
    ),
    _Rule(
        "same_batch",
        "history",
        lambda task: _if(task["group_taken"] >= math.log1p(0.5), 0.6),
        _nothing,
        "You have lately taken tasks of the same batch",
        "Belakangan ini Anda mengambil tugas dari kelompok yang sama",
    ),
    _Rule(
        "track_record",
        "history",
        # Without a verdict on the worker's own work, the share is the market's to the last bit.
        lambda task: _if(task.figures.p_approve >= 0.85 and abs(task["worker_approval"]) > 1e-6, 0.3),
        lambda task: {"share": _percent(task.figures.p_approve)},
        "Going by your work so far, its chance of approval is about {share} %",
        "Melihat pekerjaan Anda selama ini, peluang disetujui sekitar {share} %",
    ),
    _Rule(
        "opened",
        "history",
        lambda task: _if(task["task_viewed"] >= 1.0, 0.2),
        _nothing,
        "You have looked at it before",
        "Anda pernah melihatnya",
    ),
    _Rule(
        "pays_well_per_hour",
        "pay",
        lambda task: _if(task["hourly_rank"] > 0.7 and _as_ranked(task), 2.0 * (task["hourly_rank"] - 0.7) + 0.4),
        lambda task: {"hourly": task.figures.hourly},
        "About {hourly} an hour for you, more than most open tasks",
        "Sekitar {hourly} per jam untuk Anda, lebih dari kebanyakan tugas yang terbuka",
    ),
    _Rule(
        "high_reward",
        "pay",
        lambda task: _if(
            task["reward_rank"] > 0.75 and task.figures.reward is not None, 1.5 * (task["reward_rank"] - 0.75) + 0.2
        ),
        # A rank counts half of those that are equal, so it does not say how many lie below.
        lambda task: {"reward": task.figures.reward, "share": _percent(task["reward_rank"])},
        "Its reward of {reward} is at least that of {share} % of the open tasks",
        "Upahnya {reward}, setara atau lebih tinggi daripada {share} % tugas yang terbuka",
    ),
    _Rule(
        "meets_expectation",
        "pay",
        lambda task: _if(task["hourly_against_declared"] >= 0.0 and task.figures.hourly is not None, 0.5),
        lambda task: {"hourly": task.figures.hourly},
        "About {hourly} an hour for you, which reaches what you expect",
        "Sekitar {hourly} per jam untuk Anda, mencapai yang Anda harapkan",
    ),
    _Rule(
        "pay_per_hour",
        "pay",
        lambda task: _if(task.figures.hourly is not None and task.figures.hourly.amount > 0, 0.1),
        lambda task: {"hourly": task.figures.hourly},
        "About {hourly} an hour for you",
        "Sekitar {hourly} per jam untuk Anda",
    ),
    _Rule(
        "popular",
        "market",
        lambda task: _if(task["popularity"] > math.log(1.2), 2.0 * (task["popularity_rank"] - 0.8)),
        lambda task: {"times": _times(task["popularity"])},
        "Tasks like this are taken about {times} times as often as others",
        "Tugas seperti ini diambil sekitar {times} kali sesering tugas lain",
    ),
    _Rule(
        "new",
        "market",
        lambda task: _if(task["task_age_hours"] < math.log1p(6.0), 0.25),
        lambda task: {"hours": _hours(task["task_age_hours"])},
        "Posted within the last {hours} h",
        "Dipasang dalam {hours} jam terakhir",
    ),
    _Rule(
        "last_slots",
        "market",
        lambda task: _if(0.5 < math.expm1(task["slots_left"]) < 3.5, 0.2),
        lambda task: {"slots": round(math.expm1(task["slots_left"]))},
        "{slots} left",
        "Tersisa {slots}",
    ),
    _Rule(
        "known_requester",
        "requester",
        lambda task: _if(_takes(task), task["affinity_requester"] - 0.3),
        lambda task: {"times": _times(task["affinity_requester"])},
        "You take tasks of this requester about {times} times as often as a random choice would",
        "Anda mengambil tugas dari pemberi tugas ini sekitar {times} kali sesering pilihan acak",
    ),
    _Rule(
        "reliable_requester",
        "requester",
        lambda task: _if(
            task["requester_approval"] + task["market_approval"] >= 0.9 and not math.isnan(task["requester_hours"]), 0.3
        ),
        lambda task: {"share": _percent(task["requester_approval"] + task["market_approval"])},
        "This requester approves about {share} % of the work",
        "Pemberi tugas ini menyetujui sekitar {share} % pekerjaan",
    ),
    _Rule(
        "well_rated_requester",
        "requester",
        lambda task: _if(task["requester_rating"] >= 4.0, 0.25),
        lambda task: {"rating": round(task["requester_rating"], 1)},
        "Workers rate this requester {rating} of 5",
        "Pekerja menilai pemberi tugas ini {rating} dari 5",
    ),
    _Rule(
        "quick_approval",
        "requester",
        lambda task: _if(task["requester_hours"] <= math.log1p(24.0), 0.15),
        lambda task: {"hours": _hours(task["requester_hours"])},
        "This requester usually approves within about {hours} h",
        "Pemberi tugas ini biasanya menyetujui dalam sekitar {hours} jam",
    ),
    _Rule(
        "fits_session",
        "context",
        lambda task: _if(task["session_fit"] >= 0.0, 0.3),
        lambda task: {"minutes": max(1, round(task.figures.minutes))},
        "About {minutes} min, which fits into your time",
        "Sekitar {minutes} menit, cukup untuk waktu Anda",
    ),
)
"""Within a group, strengths are compared; across groups, only where the model makes no difference."""

_BY_GROUP = {group: [rule for rule in _RULES if rule.group == group] for group in GROUPS}

_OPEN = _Rule("open", "", lambda _: 1.0, _nothing, "It is open to you now", "Terbuka untuk Anda sekarang")

CODES: Sequence[str] = tuple(rule.code for rule in (*_RULES, _OPEN))
"""Every code a reason can have."""


def reasons(row: NDArray[np.float32], lifts: Mapping[str, float], figures: Figures, locale: str = "en") -> list[Reason]:
    """Return at least one and at most ``MOST`` reasons for a task, the strongest first.

    Where no rule of a group that lifts the task holds, those of groups that make no difference to it stand in; where
    none of these holds either, it is open.

    Args:
        row: float32, the columns of the spec, as scored.
        lifts: of each of `features.spec.GROUPS`, what it adds to the score above the list; see
            `matching.scoring.Answers.lifts`.
        figures: as answered.
        locale: one of `matching.wording.LOCALES`.
    """
    task = _Task(row, figures)
    lifting = sorted((group for group in GROUPS if lifts[group] > 0.0), key=lambda group: -lifts[group])
    found = list(islice(_strongest(lifting, task), MOST))
    if not found:
        even = _strongest([group for group in GROUPS if lifts[group] == 0.0], task)
        found = sorted(even, key=itemgetter(0), reverse=True)[:MOST]
    return [rule.told(task, locale) for _, rule in found] or [_OPEN.told(task, locale)]


def _strongest(groups: Iterable[str], task: _Task) -> Iterator[tuple[float, _Rule]]:
    """Yield the rule that holds most strongly of each group in which one holds."""
    for group in groups:
        held = [(strength, rule) for rule in _BY_GROUP[group] if (strength := rule.holds(task)) > 0.0]
        if held:
            yield max(held, key=itemgetter(0))
