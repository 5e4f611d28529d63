"""Why a task is in the list, in words: reasons read off the very row that was scored, so that none contradicts it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.spec import COLUMN

Row = Sequence[float]
"""The columns of the spec, as scored; ``minutes``, ``hourly`` and what rests on them are replaced by the answer's."""

LOCALES = ("en", "id")
MOST = 3
"""Reasons given for a task at the most."""


@dataclass(frozen=True)
class Reason:
    """A reason with its text in the language asked for."""

    code: str
    text: str


@dataclass(frozen=True)
class _Rule:
    """A reason that may hold.

    ``holds`` says how strongly it holds for a row, 0 or less when it does not; ``words`` fills the texts.
    """

    code: str
    holds: Callable[[Row], float]
    words: Callable[[Row], dict[str, Any]]
    en: str
    id: str


def _value(row: Row, name: str) -> float:
    return row[COLUMN[name]]


def _above(name: str, threshold: float, worth: float = 1.0) -> Callable[[Row], float]:
    """Hold where a column exceeds a threshold; NaN never does."""

    def holds(row: Row) -> float:
        value = _value(row, name)
        return worth * (value - threshold) if value > threshold else 0.0

    return holds


def _nothing(_: Row) -> dict[str, Any]:
    return {}


def _skills(row: Row) -> dict[str, Any]:
    count = round(_value(row, "skill_count"))
    return {"known": round(_value(row, "skill_overlap") * count), "count": count}


_RULES: tuple[_Rule, ...] = (
    _Rule(
        "skills",
        lambda row: (
            1.5 * _value(row, "skill_overlap")
            if _value(row, "skill_overlap") >= 0.5 and _value(row, "skill_count") >= 1.0
            else 0.0
        ),
        _skills,
        "You know {known} of the {count} skills it asks for",
        "Anda menguasai {known} dari {count} keahlian yang diminta",
    ),
    _Rule(
        "similar_tasks",
        lambda row: (
            # Affinity alone is high for what everybody takes; above popularity it is the worker's own doing.
            _value(row, "affinity") - _value(row, "popularity") - 0.3
            if _value(row, "worker_accepts_slow") > math.log1p(0.5)
            else 0.0
        ),
        _nothing,
        "You take tasks like this more often than others do",
        "Anda lebih sering mengambil tugas seperti ini daripada yang lain",
    ),
    _Rule(
        "pays_well_per_hour",
        lambda row: 2.0 * (_value(row, "hourly_rank") - 0.7) + 0.4 if _value(row, "hourly_rank") > 0.7 else 0.0,
        lambda row: {"share": math.floor(100 * _value(row, "hourly_rank"))},
        # A rank counts half of those that are equal, so it does not say how many lie below.
        "Per hour it pays you at least as much as {share} % of the open tasks",
        "Bayaran per jamnya untuk Anda setara atau lebih tinggi daripada {share} % tugas yang terbuka",
    ),
    _Rule(
        "high_reward",
        lambda row: 1.5 * (_value(row, "reward_rank") - 0.75) + 0.2 if _value(row, "reward_rank") > 0.75 else 0.0,
        lambda row: {"share": math.floor(100 * _value(row, "reward_rank"))},
        "Its reward is at least that of {share} % of the open tasks",
        "Upahnya setara atau lebih tinggi daripada {share} % tugas yang terbuka",
    ),
    _Rule(
        "meets_expectation",
        lambda row: 0.5 if _value(row, "hourly_against_declared") >= 0.0 else 0.0,
        _nothing,
        "It reaches the pay per hour that you expect",
        "Bayarannya mencapai harapan Anda per jam",
    ),
    _Rule(
        "popular",
        _above("popularity_rank", 0.8, 2.0),
        _nothing,
        "Tasks like this are being taken quickly",
        "Tugas seperti ini sedang cepat diambil",
    ),
    _Rule(
        "reliable_requester",
        lambda row: (
            0.3
            if _value(row, "requester_approval") + _value(row, "market_approval") >= 0.9
            and not math.isnan(_value(row, "requester_hours"))
            else 0.0
        ),
        _nothing,
        "This requester approves nearly all work",
        "Pemberi tugas ini menyetujui hampir semua pekerjaan",
    ),
    _Rule(
        "fits_session",
        lambda row: 0.3 if _value(row, "session_fit") >= 0.0 else 0.0,
        _nothing,
        "About {minutes} min, which fits into your time",
        "Sekitar {minutes} menit, cukup untuk waktu Anda",
    ),
    _Rule(
        "new",
        lambda row: 0.25 if _value(row, "task_age_hours") < math.log1p(6.0) else 0.0,
        _nothing,
        "Posted within the last hours",
        "Baru dipasang beberapa jam terakhir",
    ),
    _Rule(
        "last_slots",
        lambda row: 0.2 if 0.5 < math.expm1(_value(row, "slots_left")) < 3.5 else 0.0,
        lambda row: {"slots": round(math.expm1(_value(row, "slots_left")))},
        "{slots} left",
        "Tersisa {slots}",
    ),
)

_OPEN = Reason("open", "It is open to you now"), Reason("open", "Terbuka untuk Anda sekarang")


def _with_answers(row: NDArray[np.float32], p_approve: float, minutes: float) -> Row:
    """Return the row with the answer's figures in place of the counted ones, so that no reason contradicts them."""
    answered: list[float] = row.tolist()
    log_minutes = math.log(minutes) if minutes > 0 else math.nan
    log_chance = math.log(p_approve) if p_approve > 0 else -math.inf
    hourly = _value(answered, "reward") + log_chance - log_minutes + math.log(60.0)
    for name, value in (
        ("minutes", log_minutes),
        ("session_fit", _value(answered, "session_fit") + _value(answered, "minutes") - log_minutes),
        ("hourly", hourly),
        (
            "hourly_against_declared",
            _value(answered, "hourly_against_declared") + hourly - _value(answered, "hourly"),
        ),
    ):
        answered[COLUMN[name]] = value
    return answered


def reasons(row: NDArray[np.float32], p_approve: float, minutes: float, locale: str = "en") -> list[Reason]:
    """Return at least one and at most ``MOST`` reasons for a task, the strongest first.

    Args:
        row: float32, the columns of the spec, as scored.
        p_approve: as answered.
        minutes: as answered, NaN where nothing tells.
        locale: one of ``LOCALES``.
    """
    answered = _with_answers(row, p_approve, minutes)
    held = [(strength, rule) for rule in _RULES if (strength := rule.holds(answered)) > 0.0]
    held.sort(key=lambda pair: -pair[0])
    stated = max(1, round(minutes)) if minutes > 0 else 0
    found = [
        Reason(rule.code, (rule.id if locale == "id" else rule.en).format(minutes=stated, **rule.words(answered)))
        for _, rule in held[:MOST]
    ]
    return found or [_OPEN[LOCALES.index(locale)]]


CODES: Sequence[str] = (*(rule.code for rule in _RULES), "open")
"""Every code a reason can have."""
