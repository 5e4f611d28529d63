"""What tells of tasks alone: the columns of all open tasks, computed whenever the second changes.

No event comes in between, so that what is left of a decayed sum is a factor that all tasks have in common.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.rival.market import Market
from benchmarks.rival.scale import Floats, Scale
from features.columns import TAKE_PRIOR
from features.compared import CONTENT_PRIOR, POPULARITY_PRIOR
from features.estimates import APPROVAL_PRIOR, FAST, HOUR, MARKET_STRENGTH, MINUTES_STRENGTH, SECOND, SLOW
from features.layout import FOREVER, NEVER
from features.spec import COLUMN, NAMES, RELATIVE
from features.tokens import SKILL, WORD
from features.view import GIVE_UP_PRIOR, PULL_PRIOR, SHARE_PRIOR

LABEL = 3
"""Kind of the tokens of category, requester and group; the others are those of `features.tokens`."""

KINDS = 4

OF_WORKERS = ("affinity", "affinity_fast", "affinity_skill", "affinity_text", "skill_overlap", "hourly")
"""Columns that are also given relative to the open tasks, and hang on the worker."""

OF_TASKS = ("popularity", "popularity_fast", "popularity_newcomers", "reward", "task_age_hours")
"""Those that are the same for everybody."""

AT_MEETING = (
    "promise_newcomer",
    "promise_regular",
    "prior",
    "chance",
    "chance_skill",
    "chance_text",
    "hourly",
    "approval",
    "skill_count",
    "minutes",
)
"""What is read of every task that a worker may take: what the columns that are the same for everybody add to the choice
of candidates, by kind of worker; what affinities rest on; log of hourly pay for work that is approved; the requester's
approval against the market's; skills; log of the usual minutes."""


def decay(since: int, now: int, half_life: int) -> float:
    """Return what is left of 1."""
    return 1.0 if since == NEVER else 2.0 ** (-max(0, now - since) / half_life)


def decays(since: NDArray[np.int64], now: int, half_life: int) -> Floats:
    """Return what is left of 1 since each of some instants."""
    return np.exp2(np.where(since == NEVER, 0, np.minimum(0, since - now)) / half_life)


def smoothed(positive: Floats, negative: Floats, prior: Floats | float, strength: float) -> Floats:
    """Return rates with a prior."""
    return (positive + strength * prior) / (positive + negative + strength)


def _log_hours(duration: NDArray[np.int64]) -> Floats:
    return np.log1p(np.maximum(0, duration) / HOUR)


class Tasks:
    """The open tasks, in the order of the arrays that are given.

    Attributes:
        tokens: int32, tasks x tokens; content, by number. A number stands for a row of the token table and a kind, 0
            for none; only those are numbered that an open task has.
        weights: float32, tasks x tokens.
        skills: int32, tasks x skills; numbers.
        labels: int32, tasks x 3; numbers of category, requester and group.
        rows, kinds: int64, numbers - 1; what each number stands for, by row.
        languages: int32, tasks x languages.
        half: int64, tasks; of the market.
        taken: what was taken in the market, decayed.
        approval, give_up: shares in the market.
        pull: float64, halves.
        left: of a sum at the start, with the long half-life.
        expected: float64, numbers; what random choice would have taken, at the start.
        told: float64, tasks x ``AT_MEETING``.
        reward_score: float64, tasks.
        table: float32, tasks x columns; what hangs on the worker is missing, or 0 where the worker did nothing.
        compared_with: intp; the reference tasks.
    """

    def __init__(self, market: Market) -> None:
        tasks = market["tasks"]
        facts = tasks["facts"]
        self._whole, self._tasks = market["market"][0], tasks
        self._requesters = market["requesters"][facts["requester"]]
        self._begin, self._now = int(market["now"]) // SECOND * SECOND, -1
        self._reference = market["reference"].astype(np.intp)
        self._priors, (self._weights, self._fill) = market["priors"].astype(np.float64), market["first_stage"]
        self.languages, self.half = facts["languages"].copy(), (facts["order"] & 1).astype(np.intp)
        self._number_tokens(tasks)
        self._sum_up(market["tokens"][self.rows])

    def _number_tokens(self, tasks: NDArray[np.void]) -> None:
        facts, most = tasks["facts"], max(1, int(tasks["n_tokens"].max(initial=0)))
        tokens, kinds = tasks["tokens"][:, :most].astype(np.int64), tasks["kinds"][:, :most]
        there = np.arange(most) < tasks["n_tokens"][:, None]
        content = np.where(there, tokens * KINDS + kinds, -1)
        most = max(1, int(facts["n_skills"].max(initial=0)))
        there_skills = np.arange(most) < facts["n_skills"][:, None]
        skills = np.where(there_skills, facts["skills"][:, :most].astype(np.int64) * KINDS + SKILL, -1)
        named = np.stack([facts[f"{name}_token"].astype(np.int64) for name in ("category", "requester", "group")], 1)
        labels = np.where(named >= 0, named * KINDS + LABEL, -1)
        parts = (content, skills, labels)
        found, numbers = np.unique(np.concatenate([[-1], *(part.ravel() for part in parts)]), return_inverse=True)
        self.rows, self.kinds = np.divmod(found[1:], KINDS)
        split = np.split(numbers[1:].astype(np.int32), np.cumsum([part.size for part in parts])[:-1])
        self.tokens, self.skills, self.labels = (
            part.reshape(like.shape) for part, like in zip(split, parts, strict=True)
        )
        self.weights = np.where(there, tasks["weights"][:, : there.shape[1]], np.float32(0.0))

    def _sum_up(self, tokens: NDArray[np.void]) -> None:
        """Sum up what tokens tell of each task at the start, given what is known of each number."""
        begin, whole = self._begin, self._whole

        def summed(of_numbers: Floats) -> Floats:
            return np.einsum("ij,ij->i", self.weights, np.append(0.0, of_numbers)[self.tokens])

        self._taken, self._chances = [], []
        for name, half_life in (("slow", SLOW), ("fast", FAST), ("newcomer", SLOW)):
            left = decays(tokens["at"], begin, half_life)
            chances = whole[f"chances_{name}"] * decay(int(whole["at"]), begin, half_life)
            missed = np.maximum(0.0, chances - tokens[f"chances_{name}"] * left)
            expected = tokens[f"expected_{name}"] * left + tokens["available"] * missed
            self._taken.append(summed(tokens[f"taken_{name}"] * left))
            self._chances.append(summed(expected))
            if name == "slow":
                self.expected = np.append(0.0, expected)
        for kind in (SKILL, WORD):
            those = np.append(False, self.kinds == kind)
            has = those[self.tokens].any(axis=1)
            self._chances.append(np.where(has, summed(np.where(those, self.expected, 0.0)[1:]), np.nan))
        minutes, counted = summed(tokens["minutes"]), summed(tokens["minutes_count"])
        usual = float(whole["minutes"] / whole["minutes_count"]) if whole["minutes_count"] else np.nan
        stated = np.log(self._tasks["facts"]["stated_minutes"].astype(np.float64))
        prior = np.where(np.isnan(stated), (MINUTES_STRENGTH * usual + minutes) / (MINUTES_STRENGTH + counted), stated)
        self._minutes = (MINUTES_STRENGTH * prior + self._tasks["minutes"]) / (
            MINUTES_STRENGTH + self._tasks["minutes_count"]
        )

    def bring_to(self, now: int) -> None:
        """Bring all to an instant: microseconds since 1970, whole seconds, not before the start."""
        if now == self._now:
            return
        self._now = now
        # What is not known of a task or a requester is divided by nothing, and so is missing.
        with np.errstate(divide="ignore", invalid="ignore"):
            self._bring_market(now)
            self._bring_told(now)
            self._fill_table(now)

    def _bring_market(self, now: int) -> None:
        whole = self._whole
        slow, fast = decay(int(whole["at"]), now, SLOW), decay(int(whole["at"]), now, FAST)
        self.taken = float(whole["taken_slow"]) * slow
        self.approval = float(smoothed(whole["approved"], whole["rejected"], APPROVAL_PRIOR, MARKET_STRENGTH))
        kept = whole["accepted"] - whole["given_up"]
        self.give_up = float(smoothed(whole["given_up"], kept, GIVE_UP_PRIOR, SHARE_PRIOR))
        usual = whole["pull_slow"] * slow / (whole["compared_slow"] * slow + PULL_PRIOR)
        self.pull = (whole["pull_fast"] * fast + PULL_PRIOR * usual) / (whole["compared_fast"] * fast + PULL_PRIOR)
        self.compared_with = self._reference[self._tasks["facts"]["expires"][self._reference] > now]

    def _bring_told(self, now: int) -> None:
        """Fill what is read when a worker meets tasks, and the columns relative to the open tasks."""
        tasks, requesters = self._tasks, self._requesters
        self.left, left_fast = decay(self._begin, now, SLOW), decay(self._begin, now, FAST)
        lefts = (self.left, left_fast, self.left)
        lifts = np.stack(
            [
                (taken * left + POPULARITY_PRIOR) / (chance * left + POPULARITY_PRIOR)
                for taken, chance, left in zip(self._taken, self._chances[:3], lefts, strict=True)
            ]
        )
        lifts[:, tasks["n_tokens"] == 0] = np.nan
        reward = tasks["log_reward"].astype(np.float64)
        compared = np.stack([*np.log(lifts), reward, _log_hours(now - tasks["posted"])])
        scale = Scale(compared[:, self.compared_with])
        scores, ranks = scale.scores(compared), scale.ranks(compared)
        self.reward_score = scores[OF_TASKS.index("reward")].copy()
        self.table = np.full((len(tasks), len(NAMES)), np.nan, np.float32)
        for part, values in (("", compared), ("_z", scores), ("_rank", ranks)):
            self.table[:, [COLUMN[f"{name}{part}"] for name in OF_TASKS]] = values.T
        self._requester_approval = smoothed(requesters["approved"], requesters["rejected"], self.approval, SHARE_PRIOR)
        places = [RELATIVE.index(name) for name in OF_TASKS]
        filled = np.where(np.isnan(compared), self._fill[places][:, None], compared)
        told = (
            *(self._priors + self._weights[places] @ filled),
            CONTENT_PRIOR * lifts[0],
            *(self._chances[number] * self.left for number in (0, 3, 4)),
            reward - self._minutes + np.log(60.0),
            self._requester_approval / self.approval,
            np.where(tasks["facts"]["n_skills"] > 0, tasks["facts"]["n_skills"], np.nan),
            self._minutes,
        )
        self.told = np.stack(told, axis=1)

    def _fill_table(self, now: int) -> None:
        """Fill the other columns of the table."""
        tasks, facts, requester, whole = self._tasks, self._tasks["facts"], self._requesters, self._whole
        accepted, occupied, slots = (
            part.astype(np.float64) for part in (tasks["accepted"], tasks["occupied"], facts["slots"])
        )
        limited, expiring = slots >= 0, facts["expires"] != FOREVER
        hours = np.maximum(0, now - tasks["posted"]) / HOUR
        columns = {
            "skill_count": facts["n_skills"],
            "limit_minutes": np.log(facts["limit_minutes"].astype(np.float64)),
            "task_hours_left": np.where(expiring, _log_hours(np.where(expiring, facts["expires"], now) - now), np.nan),
            "slots_left": np.where(limited, np.log1p(np.maximum(0.0, slots - occupied)), np.nan),
            "fill_share": np.where(limited, np.where(slots > 0, occupied / slots, 1.0), np.nan),
            "task_accepts": np.log1p(accepted),
            "task_uptake": np.log1p(accepted / (hours + 1.0)),
            "views_per_accept": np.log((tasks["viewed"] + 1.0) / (accepted + 1.0)),
            "task_served_fast": np.log1p(tasks["served_fast"] * decays(tasks["at"], now, FAST)),
            "task_give_up": self._gives_up(tasks["given_up"], accepted),
            "reward_pull": np.maximum(0.0, self.pull)[1 - self.half] * self.reward_score,
            "requester_approval": self._requester_approval - self.approval,
            "requester_hours": requester["approval_hours"] / requester["approvals_timed"],
            "requester_rating": requester["rating"] / requester["ratings"],
            "requester_give_up": self._gives_up(requester["given_up"], requester["accepted"]),
            "requester_posted": np.log(np.maximum(1.0, requester["posted"]) / max(1.0, float(whole["documents"]))),
        }
        if whole["served"] > 0 and whole["accepted"] > 0:
            usual = float(whole["accepted"]) / float(whole["served"])
            columns["take_rate"] = np.log((accepted / usual + TAKE_PRIOR) / (tasks["served"] + TAKE_PRIOR))
        for name, values in columns.items():
            self.table[:, COLUMN[name]] = values
        for name in ("task_taken", "task_served_before", "task_viewed", "task_saved"):
            self.table[:, COLUMN[name]] = 0.0

    def _gives_up(self, given_up: NDArray[np.number], accepted: NDArray[np.number]) -> Floats:
        return smoothed(given_up, accepted - given_up, self.give_up, SHARE_PRIOR) - self.give_up
