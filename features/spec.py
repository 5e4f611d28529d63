"""The feature spec: every column of a row, with its meaning. The builder computes what stands here, in this order."""

import hashlib
from dataclasses import dataclass

SPEC_VERSION = 5
"""Raised when a column keeps its name but is computed in another way, so that older models are refused."""

GROUPS = ("skill", "history", "pay", "market", "requester", "context")


@dataclass(frozen=True)
class Feature:
    """A column.

    Attributes:
        name: unique; what models and DataFrames call it.
        group: one of ``GROUPS``.
        unit: unit of the value.
        meaning: what it says, in a sentence.
        missing: when it is NaN; empty when it never is.
        monotone: 1 if it may only raise the score as it grows; every column that grows with the task's own reward is.
        ranks: whether the ranker learns from it. A level that moves with the market (what tasks pay, how many are open)
            says more of the era than of the task; the ranker has it relative to the open tasks or to the market, while
            probabilities, figures and reasons use it as it is.
    """

    name: str
    group: str
    unit: str
    meaning: str
    missing: str = ""
    monotone: int = 0
    ranks: bool = True


_NO_SKILLS = "task without skills"
_NO_CONTENT = "task without skills, keywords and text"
_NO_REWARD = "task without reward"
_UNPOSTED = "task never posted"

_OWN: tuple[Feature, ...] = (
    Feature(
        "skill_coverage",
        "skill",
        "0..1",
        "Mean level that the worker declares in the task's skills",
        f"{_NO_SKILLS}, or worker without declared skills",
        monotone=1,
    ),
    Feature(
        "skill_overlap",
        "skill",
        "0..1",
        "Share of the task's skills that the worker declared or has taken tasks with",
        _NO_SKILLS,
        monotone=1,
    ),
    Feature(
        "skill_experience",
        "skill",
        "log count",
        "Recent tasks taken with the task's skills, mean over skills",
        _NO_SKILLS,
        monotone=1,
    ),
    Feature("skill_count", "skill", "count", "Skills that the task asks for, 16 at the most", _UNPOSTED),
    Feature(
        "affinity",
        "skill",
        "ratio",
        "Taking of similar tasks (skills, keywords, text) against their share of what was posted; half-life 30 days",
        _NO_CONTENT,
        monotone=1,
    ),
    Feature("affinity_fast", "skill", "ratio", "The same with a half-life of 3 days", _NO_CONTENT, monotone=1),
    Feature("affinity_skill", "skill", "ratio", "The same by skills alone", _NO_SKILLS, monotone=1),
    Feature(
        "affinity_text",
        "skill",
        "ratio",
        "The same by words of title and description alone",
        "task without text",
        monotone=1,
    ),
    Feature("affinity_category", "skill", "ratio", "The same by category", "task without category", monotone=1),
    Feature(
        "language_known",
        "skill",
        "0 or 1",
        "The worker speaks a language of the task",
        "task or worker without languages",
    ),
    Feature("worker_accepts", "history", "log count", "Assignments the worker has accepted"),
    Feature("worker_accepts_slow", "history", "log count", "Assignments accepted, half-life 30 days"),
    Feature("worker_accepts_fast", "history", "log count", "Assignments accepted, half-life 3 days"),
    Feature(
        "worker_approval",
        "history",
        "difference",
        "Share of the worker's submissions approved, smoothed, above the market's",
    ),
    Feature(
        "worker_give_up",
        "history",
        "difference",
        "Share of the worker's assignments returned or abandoned, smoothed, above the market's",
    ),
    Feature(
        "worker_speed",
        "history",
        "log ratio",
        "Minutes the worker takes against the usual ones for the same tasks; above 0 is slower",
    ),
    Feature("worker_rating", "history", "1..5", "Mean rating given to the worker by requesters", "never rated"),
    Feature(
        "worker_idle_hours", "history", "log hours", "Time since the worker last accepted a task", "never accepted"
    ),
    Feature("worker_age_days", "history", "log days", "Time since the worker's first event", "worker never seen"),
    Feature(
        "kind_approval",
        "history",
        "difference",
        "Share approved of what the worker submitted in similar tasks, smoothed, above the market's",
    ),
    Feature("task_taken", "history", "count", "Assignments of this very task that the worker has accepted"),
    Feature("task_served_before", "history", "log count", "Lists with this task that the worker has been served"),
    Feature(
        "task_served_hours", "history", "log hours", "Time since the worker was last served this task", "never served"
    ),
    Feature("task_viewed", "history", "0 or 1", "The worker has opened this task"),
    Feature("task_saved", "history", "0 or 1", "The worker has saved this task"),
    Feature(
        "group_taken",
        "history",
        "log count",
        "Recent tasks of the same group that the worker took",
        "task without group",
    ),
    Feature("reward", "pay", "log base currency", "Reward of the task", _NO_REWARD, 1, ranks=False),
    Feature(
        "hourly_stated",
        "pay",
        "log base currency / h",
        "Reward over the minutes its requester states",
        f"{_NO_REWARD} or stated minutes",
        1,
        ranks=False,
    ),
    Feature(
        "hourly",
        "pay",
        "log base currency / h",
        "Reward x chance of approval over the minutes expected, for this worker",
        f"{_NO_REWARD}, or nothing tells its minutes",
        1,
        ranks=False,
    ),
    Feature(
        "hourly_against_declared",
        "pay",
        "log ratio",
        "Hourly pay for this worker against the declared expectation",
        "no hourly pay, or no expectation declared",
        1,
    ),
    Feature(
        "hourly_against_revealed",
        "pay",
        "log ratio",
        "Hourly pay against the mean of what the worker took lately",
        "no hourly pay, or nothing timed taken",
        1,
    ),
    Feature(
        "reward_against_taken",
        "pay",
        "log ratio",
        "Reward against the mean of what the worker took lately",
        f"{_NO_REWARD}, or nothing paid taken",
        1,
        ranks=False,
    ),
    Feature(
        "reward_against_kind",
        "pay",
        "log ratio",
        "Reward against the mean of tasks of similar content",
        f"{_NO_REWARD} or content",
        1,
        ranks=False,
    ),
    Feature(
        "reward_pull",
        "pay",
        "standard score",
        "`reward_z` times how far above others, by reward, what the market took lately stood, if above at all",
        f"{_NO_REWARD}, or no task is open",
        1,
    ),
    Feature(
        "reward_pull_worker",
        "pay",
        "standard score",
        "The same with the worker's own pull",
        f"{_NO_REWARD}, or no task is open",
        1,
    ),
    Feature("minutes", "pay", "log minutes", "Minutes expected for this worker", "nothing tells the minutes"),
    Feature("limit_minutes", "pay", "log minutes", "Time allowed", "no limit stated"),
    Feature("task_age_hours", "market", "log hours", "Time since the task was posted", _UNPOSTED),
    Feature("task_hours_left", "market", "log hours", "Time until the task expires", "task without expiry"),
    Feature("slots_left", "market", "log count", "Slots not taken", "unlimited slots"),
    Feature("fill_share", "market", "0..1", "Share of the slots taken", "unlimited slots"),
    Feature("task_accepts", "market", "log count", "Assignments of the task accepted by anyone", _UNPOSTED),
    Feature(
        "task_uptake", "market", "log(1 + 1/h)", "Assignments accepted per hour since the task was posted", _UNPOSTED
    ),
    Feature("views_per_accept", "market", "log ratio", "Views of the task against acceptances", _UNPOSTED),
    Feature(
        "task_served_fast", "market", "log count", "Lists with the task served to anyone, half-life 3 days", _UNPOSTED
    ),
    Feature(
        "take_rate",
        "market",
        "log ratio",
        "Acceptances per list with the task, smoothed, against the market's",
        "task never posted, or no list served yet",
    ),
    Feature(
        "task_give_up",
        "market",
        "difference",
        "Share of the task's assignments returned or abandoned, smoothed, above the market's",
        _UNPOSTED,
    ),
    Feature(
        "popularity",
        "market",
        "ratio",
        "How much more often than others tasks of similar content were taken; half-life 30 days",
        _NO_CONTENT,
        monotone=1,
    ),
    Feature("popularity_fast", "market", "ratio", "The same with a half-life of 3 days", _NO_CONTENT, monotone=1),
    Feature(
        "popularity_newcomers",
        "market",
        "ratio",
        "The same among workers with fewer than three acceptances",
        _NO_CONTENT,
        monotone=1,
    ),
    Feature("open_tasks", "market", "log count", "Tasks open now", ranks=False),
    Feature(
        "market_approval", "market", "0..1", "Share of submissions approved by all requesters, smoothed", ranks=False
    ),
    Feature(
        "requester_approval",
        "requester",
        "difference",
        "Share of submissions that the requester approved, smoothed, above the market's",
        _UNPOSTED,
    ),
    Feature("requester_hours", "requester", "log hours", "Time the requester takes to approve", "nothing approved yet"),
    Feature("requester_rating", "requester", "1..5", "Mean rating of the requester by workers", "never rated"),
    Feature(
        "requester_give_up",
        "requester",
        "difference",
        "Share of the requester's assignments returned or abandoned, smoothed, above the market's",
        _UNPOSTED,
    ),
    Feature(
        "requester_posted", "requester", "log ratio", "Share of all tasks that the requester has posted", _UNPOSTED
    ),
    Feature(
        "affinity_requester",
        "requester",
        "ratio",
        "How much more often the worker took tasks of this requester than there were",
        _UNPOSTED,
        monotone=1,
    ),
    Feature(
        "session_fit",
        "context",
        "log ratio",
        "Minutes the worker has now against the minutes expected",
        "nothing tells one of them",
    ),
    Feature(
        "hour_fit",
        "context",
        "ratio",
        "Share of the worker's acceptances in this part of the day, against an even spread",
        "never accepted",
    ),
)

RELATIVE: tuple[str, ...] = (
    "affinity",
    "affinity_fast",
    "affinity_skill",
    "affinity_text",
    "popularity",
    "popularity_fast",
    "popularity_newcomers",
    "skill_overlap",
    "reward",
    "hourly",
    "task_age_hours",
)
"""Columns that also come relative to the tasks open at that instant, as a standard score and as a rank."""


_BY_PULL = ("reward",)
"""Columns whose relative values the ranker has only times their pull: how far they draw workers changes in months."""


def _relative(name: str) -> tuple[Feature, Feature]:
    own = next(feature for feature in _OWN if feature.name == name)
    missing = f"{own.missing}; or no task is open" if own.missing else "no task is open"
    meanings = {
        f"{name}_z": ("standard score", f"`{name}` against the tasks open now"),
        f"{name}_rank": ("0..1", f"Share of the tasks open now with a lower `{name}`"),
    }
    standard, rank = (
        Feature(relative, own.group, unit, meaning, missing, own.monotone, name not in _BY_PULL)
        for relative, (unit, meaning) in meanings.items()
    )
    return standard, rank


FEATURES: tuple[Feature, ...] = _OWN + tuple(feature for name in RELATIVE for feature in _relative(name))
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
BY_REWARD = frozenset(feature.name for feature in FEATURES if feature.group == "pay" and feature.monotone == 1)
"""Columns that move with the task's own reward."""

COLUMN: dict[str, int] = {name: place for place, name in enumerate(NAMES)}


def fingerprint() -> str:
    """Return 16 hex digits that change with the columns, their order, their constraints or ``SPEC_VERSION``."""
    text = ";".join(f"{feature.name}:{feature.monotone}" for feature in FEATURES)
    return hashlib.blake2b(f"{SPEC_VERSION}|{text}".encode(), digest_size=8).hexdigest()


def table() -> str:
    """Return the spec as a Markdown table."""
    head = "| feature | group | unit | meaning | missing (NaN) when | trees only raise the score with it | ranks |"
    body = (
        f"| `{f.name}` | {f.group} | {f.unit} | {f.meaning} | {f.missing or 'never'} | {'yes' if f.monotone else ''}"
        f" | {'yes' if f.ranks else ''} |"
        for f in FEATURES
    )
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- | --- |", *body]) + "\n"
