"""Why a task stands where it does, in words: the model says which groups of columns lift it, the rules what is true.

A rule belongs to a group, reads the very row that was scored, and holds or not. Of each group that lifts the task above
the list, the rule that holds most strongly becomes a reason, and the group that lifts the most comes first. What pulls
a task down is never given as a reason for it. Figures are those of the answer, so that no reason contradicts it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from string import Formatter
from typing import Any, Literal, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from features.jit import kernel, lean
from features.layout import SKILLS
from features.money import Money
from features.spec import COLUMN, GROUPS
from matching.number_format import money, number

MOST = 3
"""Reasons given for a task at the most."""

MOST_TEXTS = 16_384
"""Texts that are kept: reasons with the same figures are told again and again."""

_LOG_HOUR = math.log(60.0)


class Reason(Struct, frozen=True, gc=False):
    """A reason with its text in the language asked for."""

    code: str
    text: str


@dataclass(frozen=True)
class Figures:
    """What the answer says of the tasks of a page.

    Attributes:
        p_approve: float64, tasks; P(approved | submitted), NaN where nothing tells.
        minutes: float64, tasks; expected.
        rewards: tasks; None for one without.
        hourly: tasks; pay per hour, None where nothing tells.
    """

    p_approve: NDArray[np.float64]
    minutes: NDArray[np.float64]
    rewards: Sequence[Money | None]
    hourly: Sequence[Money | None]


class _Task(NamedTuple):
    """What rules read of a task: columns of the row, by name, and the figures of the answer.

    The answer's figures stand in place of the counted ones in ``minutes``, ``hourly`` and what rests on them. Of the
    answer's reward and pay per hour, ``rewarded`` and ``paid`` tell the sign, NaN without. Kernels have a record of it.
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
    rewarded: float
    paid: float


_READ = _Task._fields[: _Task._fields.index("counted_hourly")]
_PLACES = np.array([COLUMN[name] for name in _READ])
_RECORD = np.dtype([(name, np.float64) for name in _Task._fields])


@dataclass(frozen=True, eq=False)
class _Rule:
    """A reason that may hold, as `_strengths` tells.

    The texts are filled, in the order of the English one, with an amount of the answer if ``amount`` names one, and
    with figures as `_figures` tells.
    """

    code: str
    group: str
    en: str
    id: str
    amount: Literal["", "reward", "hourly"] = ""

    @cached_property
    def texts(self) -> dict[str, str]:
        """By language, with the place of each word for its name."""
        places = {name: f"{{{place}}}" for place, (_, name, _, _) in enumerate(Formatter().parse(self.en)) if name}
        return {"en": self.en.format(**places), "id": self.id.format(**places)}


_RULES: tuple[_Rule, ...] = (
    _Rule(
        "skills",
        "skill",
        "Skills it asks for that are in your profile or in tasks you took: {known} of {count}",
        "Keahlian yang diminta dan ada di profil Anda atau di tugas yang pernah Anda ambil: {known} dari {count}",
    ),
    _Rule(
        "similar_tasks",
        "skill",
        "You take tasks like this about {times} times as often as others do",
        "Anda mengambil tugas seperti ini sekitar {times} kali sesering orang lain",
    ),
    _Rule(
        "experience",
        "skill",
        "You have recent experience with the skills it asks for",
        "Anda punya pengalaman terbaru dengan keahlian yang diminta",
    ),
    _Rule(
        "taken_before",
        "history",
        "Times you have taken it before: {count}",
        "Sudah {count} kali Anda ambil sebelumnya",
    ),
    _Rule(
        "saved",
        "history",
        "You have saved it",
        "Anda menyimpannya",
    ),
    _Rule(
        "same_batch",
        "history",
        "You have lately taken tasks of the same batch",
        "Belakangan ini Anda mengambil tugas dari kelompok yang sama",
    ),
    _Rule(
        "track_record",
        "history",
        "Going by your work so far, its chance of approval is about {share} %",
        "Melihat pekerjaan Anda selama ini, peluang disetujui sekitar {share} %",
    ),
    _Rule(
        "opened",
        "history",
        "You have looked at it before",
        "Anda pernah melihatnya",
    ),
    _Rule(
        "pays_well_per_hour",
        "pay",
        "About {hourly} an hour for you, more than most open tasks",
        "Sekitar {hourly} per jam untuk Anda, lebih dari kebanyakan tugas yang terbuka",
        amount="hourly",
    ),
    _Rule(
        "high_reward",
        "pay",
        "Its reward of {reward} is at least that of about {share} % of the open tasks",
        "Upahnya {reward}, setara atau lebih tinggi daripada sekitar {share} % tugas yang terbuka",
        amount="reward",
    ),
    _Rule(
        "meets_expectation",
        "pay",
        "About {hourly} an hour for you, which reaches what you expect",
        "Sekitar {hourly} per jam untuk Anda, mencapai yang Anda harapkan",
        amount="hourly",
    ),
    _Rule(
        "pay_per_hour",
        "pay",
        "About {hourly} an hour for you",
        "Sekitar {hourly} per jam untuk Anda",
        amount="hourly",
    ),
    _Rule(
        "popular",
        "market",
        "Tasks like this are taken about {times} times as often as others",
        "Tugas seperti ini diambil sekitar {times} kali sesering tugas lain",
    ),
    _Rule(
        "new",
        "market",
        "Posted within the last {hours} h",
        "Dipasang dalam {hours} jam terakhir",
    ),
    _Rule(
        "last_slots",
        "market",
        "Slots left: {slots}",
        "Tersisa {slots} tempat",
    ),
    _Rule(
        "known_requester",
        "requester",
        "You take tasks of this requester about {times} times as often as a random choice would",
        "Anda mengambil tugas dari pemberi tugas ini sekitar {times} kali sesering pilihan acak",
    ),
    _Rule(
        "reliable_requester",
        "requester",
        "This requester approves about {share} % of the work",
        "Pemberi tugas ini menyetujui sekitar {share} % pekerjaan",
    ),
    _Rule(
        "well_rated_requester",
        "requester",
        "Workers rate this requester {rating} of 5",
        "Pekerja menilai pemberi tugas ini {rating} dari 5",
    ),
    _Rule(
        "quick_approval",
        "requester",
        "This requester usually approves within about {hours} h",
        "Pemberi tugas ini biasanya menyetujui dalam sekitar {hours} jam",
    ),
    _Rule(
        "fits_session",
        "context",
        "About {minutes} min, which fits into your time",
        "Sekitar {minutes} menit, cukup untuk waktu Anda",
    ),
)
"""Within a group, strengths are compared; across groups, only where the model makes no difference."""

(
    _SKILLS,
    _SIMILAR_TASKS,
    _EXPERIENCE,
    _TAKEN_BEFORE,
    _SAVED,
    _SAME_BATCH,
    _TRACK_RECORD,
    _OPENED,
    _PAYS_WELL_PER_HOUR,
    _HIGH_REWARD,
    _MEETS_EXPECTATION,
    _PAY_PER_HOUR,
    _POPULAR,
    _NEW,
    _LAST_SLOTS,
    _KNOWN_REQUESTER,
    _RELIABLE_REQUESTER,
    _WELL_RATED_REQUESTER,
    _QUICK_APPROVAL,
    _FITS_SESSION,
) = range(len(_RULES))
"""The places of rules, for kernels."""

_OPEN = _Rule("open", "", "It is open to you now", "Terbuka untuk Anda sekarang")

_TOLD = (*_RULES, _OPEN)
_GROUPS = np.array([GROUPS.index(rule.group) for rule in _RULES])

CODES: Sequence[str] = tuple(rule.code for rule in _TOLD)
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
        locale: one of `matching.number_format.LOCALES`.
    """
    rewarded, paid = (
        np.array([math.nan if amount is None else float(bool(amount.amount)) for amount in column])
        for column in (figures.rewards, figures.hourly)
    )
    task, chosen = np.empty(1, _RECORD), np.full((len(features), MOST), -1)
    filled = np.empty((len(features), MOST, 2))
    _choose(
        features,
        _PLACES,
        figures.p_approve,
        figures.minutes,
        rewarded,
        paid,
        lifts,
        _GROUPS,
        task.view(np.float64),
        task,
        chosen,
        filled,
    )
    return [
        [
            _reason(rule, first, second, reward, hourly, locale)
            for rule, (first, second) in zip(rules, numbers, strict=True)
            if rule >= 0
        ]
        for rules, numbers, reward, hourly in zip(
            chosen.tolist(), filled.tolist(), figures.rewards, figures.hourly, strict=True
        )
    ]


def _reason(place: int, first: float, second: float, reward: Money | None, hourly: Money | None, locale: str) -> Reason:
    """Return the reason at a place in `_TOLD` with its figures, of which those that are not whole come in tenths."""
    first = first if first.is_integer() else round(first, 1)
    rule = _TOLD[place]
    if not rule.amount:
        return _told(place, first, second, locale)
    # Amounts of money are mostly new.
    amount = reward if rule.amount == "reward" else hourly
    told = "" if amount is None else money(amount, locale)
    return Reason(rule.code, rule.texts[locale].format(told, _written(first, locale)))


@lru_cache(MOST_TEXTS)
def _told(place: int, first: float, second: float, locale: str) -> Reason:
    rule = _TOLD[place]
    return Reason(rule.code, rule.texts[locale].format(_written(first, locale), _written(second, locale)))


def _written(figure: float, locale: str) -> str:
    return number(int(figure) if figure.is_integer() else figure, locale)


@kernel
def _strengths(task: Any, found: NDArray[np.float64]) -> None:
    """Fill how strongly each of `_RULES` holds for a task, in their order; 0 or less where it does not.

    Comparisons with what is not known are false.
    """
    # Of one who took little lately, a ratio means nothing.
    takes = task.worker_accepts_slow >= math.log1p(2.5)
    # Affinity alone is high for what everybody takes; above popularity it is the worker's own doing.
    above = task.affinity - task.popularity
    approves = task.requester_approval + task.market_approval
    rewarded, paid = not np.isnan(task.rewarded), not np.isnan(task.paid)
    # Pay per hour was ranked by counts; is it about as high by the answer's figures?
    as_ranked = paid and task.hourly >= task.counted_hourly + math.log(0.8)
    found[:] = 0.0
    # Of a longer list not all skills are known, so no count would be true.
    if task.skill_overlap >= 0.5 and 1.0 <= task.skill_count < SKILLS:
        found[_SKILLS] = task.skill_overlap
    if takes and above > 0.3:
        found[_SIMILAR_TASKS] = 2.0 * above
    if task.skill_experience >= math.log1p(1.0):
        found[_EXPERIENCE] = 0.2
    if task.task_taken >= 1.0:
        found[_TAKEN_BEFORE] = 1.0
    if task.task_saved >= 1.0:
        found[_SAVED] = 0.9
    if task.group_taken >= math.log1p(0.5):
        found[_SAME_BATCH] = 0.6
    # Without a verdict on the worker's own work, the share is the market's to the last bit.
    if task.answered_approval >= 0.85 and abs(task.worker_approval) > 1e-6:
        found[_TRACK_RECORD] = 0.3
    if task.task_viewed >= 1.0:
        found[_OPENED] = 0.2
    if task.hourly_rank > 0.7 and as_ranked:
        found[_PAYS_WELL_PER_HOUR] = 2.0 * (task.hourly_rank - 0.7) + 0.4
    if task.reward_rank > 0.75 and rewarded:
        found[_HIGH_REWARD] = 1.5 * (task.reward_rank - 0.75) + 0.2
    if task.hourly_against_declared >= 0.0 and paid:
        found[_MEETS_EXPECTATION] = 0.5
    # Where nothing tells the minutes, the answer's pay per hour is a guess.
    if task.paid > 0.0 and not np.isnan(task.counted_hourly):
        found[_PAY_PER_HOUR] = 0.1
    if task.popularity > math.log(1.2):
        found[_POPULAR] = 2.0 * (task.popularity_rank - 0.8)
    if task.task_age_hours < math.log1p(6.0):
        found[_NEW] = 0.25
    if 0.5 < math.expm1(task.slots_left) < 3.5:
        found[_LAST_SLOTS] = 0.2
    if takes:
        found[_KNOWN_REQUESTER] = task.affinity_requester - 0.3
    if approves >= 0.9 and not np.isnan(task.requester_hours):
        found[_RELIABLE_REQUESTER] = 0.3
    if task.requester_rating >= 4.0:
        found[_WELL_RATED_REQUESTER] = 0.25
    if task.requester_hours <= math.log1p(24.0):
        found[_QUICK_APPROVAL] = 0.15
    if task.session_fit >= 0.0:
        found[_FITS_SESSION] = 0.3


@kernel
def _figures(task: Any, rule: int, found: NDArray[np.float64]) -> None:
    """Fill the figures that the text of one of `_RULES` tells beside an amount, 0 where it tells none or just one."""
    if rule == _SKILLS:
        found[1] = np.rint(task.skill_count)
        found[0] = np.rint(task.skill_overlap * found[1])
    elif rule == _SIMILAR_TASKS:
        found[0] = _times(task.affinity - task.popularity)
    elif rule == _TAKEN_BEFORE:
        found[0] = np.rint(task.task_taken)
    elif rule == _TRACK_RECORD:
        found[0] = _percent(task.answered_approval)
    elif rule == _HIGH_REWARD:
        # A rank counts half of those that are equal, so it does not say how many lie below; and it is that among the
        # reference tasks, so it is told in steps of 5 %, and never as all. As a 32-bit number, 0.9 lies a little below.
        found[0] = 5.0 * min(19.0, float(np.floor(20.0 * task.reward_rank + 1e-5)))
    elif rule == _POPULAR:
        found[0] = _times(task.popularity)
    elif rule == _NEW:
        found[0] = _hours(task.task_age_hours)
    elif rule == _LAST_SLOTS:
        found[0] = np.rint(math.expm1(task.slots_left))
    elif rule == _KNOWN_REQUESTER:
        found[0] = _times(task.affinity_requester)
    elif rule == _RELIABLE_REQUESTER:
        found[0] = _percent(task.requester_approval + task.market_approval)
    elif rule == _WELL_RATED_REQUESTER:
        found[0] = task.requester_rating
    elif rule == _QUICK_APPROVAL:
        found[0] = _hours(task.requester_hours)
    elif rule == _FITS_SESSION:
        found[0] = max(1.0, np.rint(task.answered_minutes))


@lean
def _times(log_ratio: float) -> float:
    """Return a ratio as it is told: to a tenth, or whole from ten on."""
    ratio = math.exp(log_ratio)
    return ratio if ratio < 10.0 else float(np.rint(ratio))


@lean
def _percent(share: float) -> float:
    # A share is told rather too low than too high.
    return float(np.floor(100.0 * share))


@lean
def _hours(log_hours: float) -> float:
    return max(1.0, float(np.ceil(math.expm1(log_hours))))


@kernel
def _choose(
    features: NDArray[np.float32],
    places: NDArray[np.int64],
    chances: NDArray[np.float64],
    minutes: NDArray[np.float64],
    rewarded: NDArray[np.float64],
    paid: NDArray[np.float64],
    lifts: NDArray[np.float64],
    groups: NDArray[np.int64],
    read: NDArray[np.float64],
    record: NDArray[np.void],
    chosen: NDArray[np.int64],
    filled: NDArray[np.float64],
) -> None:
    """Fill the reasons of each task, the strongest first, and their figures.

    Args:
        features: float32, tasks x columns of the spec.
        places: int64; the columns that rules read.
        chances: float64, tasks; P(approved | submitted), NaN where nothing tells.
        minutes: float64, tasks; expected.
        rewarded: float64, tasks; 1 for a reward above 0, 0 for one of nothing, NaN for none.
        paid: float64, tasks; the same of pay per hour.
        lifts: float64, tasks x groups; what each group adds to the score above the list.
        groups: int64, rules; the group of each.
        read: float64, fields of `_Task`; working memory.
        record: the same memory, as one record.
        chosen: int64, tasks x ``MOST``, -1 throughout; places in `_TOLD`, written.
        filled: float64, tasks x ``MOST`` x 2; written where there is a reason.
    """
    strengths = np.empty(groups.size)
    most, strongest = np.empty(lifts.shape[1]), np.empty(lifts.shape[1], np.int64)
    for i in range(len(features)):
        for k in range(places.size):
            read[k] = features[i, places[k]]
        task = record[0]
        log_minutes = np.log(minutes[i]) if minutes[i] > 0.0 else np.nan
        chance = np.log(chances[i]) if chances[i] > 0.0 else -np.inf
        hourly = task.reward + chance - log_minutes + _LOG_HOUR
        task.counted_hourly, task.answered_approval, task.answered_minutes = task.hourly, chances[i], minutes[i]
        task.rewarded, task.paid = rewarded[i], paid[i]
        task.session_fit += task.minutes - log_minutes
        task.hourly_against_declared += hourly - task.hourly
        task.minutes, task.hourly = log_minutes, hourly
        _strengths(task, strengths)
        most[:], strongest[:] = 0.0, -1
        for rule in range(groups.size):
            if strengths[rule] > most[groups[rule]]:
                most[groups[rule]], strongest[groups[rule]] = strengths[rule], rule
        lifted = False
        for group in range(most.size):
            lifted |= strongest[group] >= 0 and lifts[i, group] > 0.0
        for group in range(most.size):
            if lifted:
                most[group] = lifts[i, group] if strongest[group] >= 0 and lifts[i, group] > 0.0 else 0.0
            elif lifts[i, group] != 0.0:
                most[group] = 0.0
        chosen[i, 0], filled[i] = groups.size, 0.0
        for place in range(chosen.shape[1]):
            first = most.argmax()
            if not most[first] > 0.0:
                break
            chosen[i, place], most[first] = strongest[first], 0.0
            _figures(task, strongest[first], filled[i, place])
