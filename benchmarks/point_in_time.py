"""A dozen of Cocok's columns by point-in-time joins in pandas, from tables of the log.

They are the twelve that the ranker of the benchmarks' market uses most: `COLUMNS`. Sums over events are cumulative
ones, found by the last event that a list knows (``merge_asof``); those that decay grow with the event's instant and
shrink with the list's. What a list knows of a token is joined once, for all the tasks that the list is compared with,
and sums over the tokens of a task are NumPy's: to explode them would make sixteen rows of each list and task.

    python -m benchmarks.point_in_time [--cache DIR]    shows by how much each column is used
"""

from typing import NamedTuple

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.market import END, Size, bundle_of
from benchmarks.point_in_time_tables import Tables
from benchmarks.report import cache_of, parser
from features.columns import TAKE_PRIOR
from features.compared import CONTENT_PRIOR, KIND_PRIOR, POPULARITY_PRIOR
from features.estimates import APPROVAL_PRIOR, SLOW
from features.layout import REFERENCE
from features.money import Rates
from features.spec import NAMES
from features.view import SHARE_PRIOR
from training.dataset import TrainingSet

COLUMNS = (
    "hourly_z",
    "affinity_category",
    "skill_overlap_z",
    "take_rate",
    "task_saved",
    "hourly_rank",
    "skill_overlap",
    "skill_coverage",
    "affinity_z",
    "group_taken",
    "skill_overlap_rank",
    "hourly_against_revealed",
)
"""Columns by falling gain of the splits in which they stand, of 150 trees trained on the simulated days (`main`)."""

AT_ONCE = 1 << 15
"""Tasks whose tokens are summed at once, so that these stay in the cache."""

_POSTINGS = ("task_posted", "task_updated")
_GIVEN_UP = ("assignment_returned", "assignment_abandoned")
_VERDICTS = ("assignment_approved", "assignment_rejected")
_DEEDS = ("assignment_accepted", "assignment_submitted", *_GIVEN_UP, *_VERDICTS)
_LOG_60 = np.log(60.0)

Floats = NDArray[np.float64]


def gains(booster: lgb.Booster) -> pd.Series:
    """Return the share of the trees' gain that each column of `features.spec` has, the largest first."""
    found = pd.Series(booster.feature_importance("gain"), list(NAMES))
    return (found / found.sum()).sort_values(ascending=False)


def _grown(instants: NDArray[np.int64]) -> Floats:
    """Return what 1 of each instant counts against 1 at the end of the market.

    What it counts at another instant is the quotient of the two. Powers of 2 overflow after 80 years.
    """
    return np.exp2((instants - END) / SLOW)


def _smoothed(positive: Floats, negative: Floats, prior: Floats | float, strength: float) -> Floats:
    return (positive + strength * prior) / (positive + negative + strength)


def _known(asked: pd.DataFrame, events: pd.DataFrame, by: str | None = None, *, exact: bool = False) -> pd.DataFrame:
    """Return the sums of events before each of some instants; both frames have ``when`` and are in its order.

    Args:
        asked: when, and what is asked for.
        events: when, of what, and columns to be summed.
        by: column of what is asked for; None for sums over all.
        exact: whether events at the very instant count.
    """
    keys = ["when", by] if by else ["when"]
    names = [name for name in events.columns if name not in keys]
    running = (events.groupby(by, sort=False) if by else events)[names].cumsum()
    # The place of the event is joined, not the sums: so what is missing costs nothing to fill.
    placed = events[keys].assign(place=np.arange(len(events)))
    last = pd.merge_asof(asked[keys], placed, on="when", by=by, allow_exact_matches=exact)["place"]
    places = last.fillna(len(events)).to_numpy(np.int64)
    return pd.DataFrame({name: np.append(running[name], 0.0).take(places) for name in names}, copy=False)


def _exploded(frame: pd.DataFrame, tables: Tables, *, labels: bool = True) -> pd.DataFrame:
    """Return a row for each token of the ``version`` in a row, with its ``token`` and ``weight``; labels as well."""
    version = frame["version"].to_numpy()
    tokens, weights = tables.tokens[version], tables.weights[version]
    if labels:
        tokens = np.hstack([tokens, tables.labels[version]])
        weights = np.hstack([weights, np.ones((len(version), tables.labels.shape[1]))])
    long = frame.take(np.repeat(np.arange(len(frame)), tokens.shape[1]))
    long = long.assign(token=tokens.ravel(), weight=weights.ravel())
    return long[long["token"] >= 0]


def _timeline(tables: Tables) -> pd.DataFrame:
    """Return the life of each task, in order of task and time: a row for what changes it, and how it stands then."""
    events = tables.events
    versions = tables.versions.assign(version=np.arange(len(tables.versions)))
    told = events[events["type"].isin((*_POSTINGS, "task_closed", *_DEEDS))]
    told = told.assign(when=2 * told["seq"]).merge(versions[["seq", "version"]], on="seq", how="left")
    # A task expires with the first event that comes late enough, before anything else.
    after = np.searchsorted(events["known_at"], versions["expires"])
    due = after < len(events)
    expired = pd.DataFrame({"when": 2 * events["seq"].to_numpy()[after[due]] - 1, "task": versions["task"][due]})
    expired = expired.assign(type="expired", worker=0, known_at=0)
    rows = pd.concat([told, expired]).sort_values(["task", "when"], kind="stable", ignore_index=True)
    kind = rows["type"]
    over = kind.isin(("task_closed", "expired"))
    rows["over"] = over.astype(float).where(over | (kind == "task_posted"))
    rows["accepted"] = (kind == "assignment_accepted").astype(float)
    rows["given_up"] = kind.isin(_GIVEN_UP).astype(float)
    rows["timed"] = rows["minutes"].notna().astype(float)
    rows["own_minutes"] = rows["minutes"] = rows["minutes"].fillna(0.0)
    of_task, sums = rows.groupby("task", sort=False), ["accepted", "given_up", "minutes", "timed"]
    rows[["version", "over"]] = of_task[["version", "over"]].ffill()
    rows[[f"all_{name}" for name in sums]] = of_task[sums].cumsum()
    rows["until"] = of_task["when"].shift(-1, fill_value=np.iinfo(np.int64).max)
    rows["version"] = rows["version"].astype(np.int64)
    slots = tables.versions["slots"].to_numpy()[rows["version"]]
    free = (slots < 0) | (rows["all_accepted"] - rows["all_given_up"] < slots)
    rows["available"] = free & (rows["over"] == 0.0)
    return rows


def _changes(timeline: pd.DataFrame) -> pd.DataFrame:
    """Return when which version of a task begins or ceases to be available, in order of time: when, version, change."""
    of_task = timeline.groupby("task", sort=False)
    before = of_task["available"].shift(fill_value=False)
    version = of_task["version"].shift(fill_value=-1)
    other = version != timeline["version"]
    ceases, begins = before & (~timeline["available"] | other), timeline["available"] & (~before | other)
    parts = (
        pd.DataFrame({"when": timeline["when"][ceases], "version": version[ceases], "change": -1.0}),
        pd.DataFrame({"when": timeline["when"][begins], "version": timeline["version"][begins], "change": 1.0}),
    )
    return pd.concat(parts).sort_values("when", kind="stable", ignore_index=True)


def _usual_minutes(tables: Tables, deeds: pd.DataFrame, submitted: pd.DataFrame) -> Floats:
    """Return the log of the usual minutes as they were before each deed."""
    stated = tables.versions["stated"].to_numpy()[deeds["version"]]
    unknown = deeds[np.isnan(stated)]
    long = _exploded(unknown[["when", "version"]].reset_index(names="deed"), tables, labels=False)
    found = _known(long, _token_minutes(tables, submitted), "token")
    told = found.mul(long["weight"].to_numpy(), axis=0).groupby(long["deed"].to_numpy()).sum().loc[unknown.index]
    market = _known(unknown, submitted[["when", "own_minutes", "timed"]])
    stated = pd.Series(stated, deeds.index)
    stated[unknown.index] = _by_content(market, told["told_minutes"].to_numpy(), told["told_timed"].to_numpy())
    own, timed = deeds["all_minutes"] - deeds["own_minutes"], deeds["all_timed"] - deeds["timed"]
    return ((3.0 * stated + own) / (3.0 + timed)).to_numpy()


def _token_minutes(tables: Tables, submitted: pd.DataFrame) -> pd.DataFrame:
    long = _exploded(submitted[["when", "version", "own_minutes", "timed"]], tables)
    long["told_minutes"], long["told_timed"] = long["weight"] * long["own_minutes"], long["weight"] * long["timed"]
    return long[["when", "token", "told_minutes", "told_timed"]]


def _by_content(market: pd.DataFrame, minutes: Floats, timed: Floats) -> Floats:
    """Return the log of the minutes of tasks that state none, by the market and by tasks of the same content."""
    usual = (market["own_minutes"] / market["timed"].where(market["timed"] > 0.0)).to_numpy()
    return (3.0 * usual + minutes) / (3.0 + timed)


class _Pairs(NamedTuple):
    """Lists and tasks: first the reference tasks of all lists, behind them the items.

    Attributes:
        list: int64; place of the list.
        state: int64; row of the timeline that holds.
        version: int64.
        items: where the items begin.
    """

    list: NDArray[np.int64]
    state: NDArray[np.int64]
    version: NDArray[np.int64]
    items: int


def _pairs(tables: Tables, timeline: pd.DataFrame, lists: pd.DataFrame, items: pd.DataFrame) -> _Pairs:
    # A row of the timeline holds for the lists behind it, up to the next one.
    open_rows = np.flatnonzero(timeline["available"])
    when, until = (timeline[name].to_numpy()[open_rows] for name in ("when", "until"))
    first, last = (np.searchsorted(lists["when"], instants, "right") for instants in (when, until))
    many = last - first
    reference = pd.DataFrame({"state": np.repeat(open_rows, many)})
    reference["list"] = np.arange(many.sum()) + np.repeat(first - (np.cumsum(many) - many), many)
    version = timeline["version"].to_numpy()[reference["state"]]
    reference["order"] = tables.versions["order"].to_numpy()[version]
    reference["expires"] = tables.versions["expires"].to_numpy()[version]
    reference = reference.sort_values(["list", "order"])
    # The sample is the market's, whatever has expired since its last event.
    reference = reference[reference.groupby("list").cumcount() < REFERENCE]
    reference = reference[reference["expires"] > lists["now"].to_numpy()[reference["list"]]]
    rows = timeline[["when", "task"]].assign(state=np.arange(len(timeline))).sort_values("when", kind="stable")
    state = pd.merge_asof(items[["when", "task"]], rows, on="when", by="task", allow_exact_matches=False)["state"]
    states = np.concatenate([reference["state"], state]).astype(np.int64)
    owners = np.concatenate([reference["list"], items["list"]])
    return _Pairs(owners, states, timeline["version"].to_numpy()[states], len(reference))


def _grid(lists: pd.DataFrame, size: int, events: pd.DataFrame, by: str, *, own: bool = False) -> dict[str, Floats]:
    """Return what each list knows of so many tokens or requesters: arrays of lists x size, flat.

    ``own`` asks for those of the list's worker: ``by`` is then the worker's number times the size, plus the token's.
    """
    keys = np.tile(np.arange(size), len(lists))
    if own:
        keys += np.repeat(lists["worker"].to_numpy() * size, size)
    asked = pd.DataFrame({"when": np.repeat(lists["when"].to_numpy(), size), by: keys})
    found = _known(asked, events, by)
    return {name: found[name].to_numpy() for name in found}


def _summed(tables: Tables, pairs: _Pairs, grids: list[Floats]) -> list[Floats]:
    """Return weighted sums over the tokens of the task of each pair, of what its list knows of them."""
    sums = [np.empty(len(pairs.list)) for _ in grids]
    for begin in range(0, len(pairs.list), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        weights, tokens = tables.weights[pairs.version[part]], tables.tokens[pairs.version[part]]
        at = pairs.list[part, None] * tables.vocabulary + np.maximum(tokens, 0)
        for grid, out in zip(grids, sums, strict=True):
            out[part] = np.einsum("ij,ij->i", weights, grid.take(at))
    return sums


def _of_skills(tables: Tables, owners: NDArray[np.int64], versions: NDArray[np.int64], grid: Floats) -> Floats:
    """Return the mean over a task's skills of what its list knows of them, NaN without skills."""
    skills = tables.skills[versions]
    told = grid.take(owners[:, None] * tables.vocabulary + np.maximum(skills, 0))
    many = (skills >= 0).sum(axis=1)
    return np.where(skills >= 0, told, 0.0).sum(axis=1) / np.where(many > 0, many, np.nan)


def point_in_time(rows: TrainingSet, tables: Tables) -> pd.DataFrame:
    """Return a frame of `COLUMNS`, one row for each row of a training set."""
    lists = tables.lists.set_index("feed_id").loc[rows.feed_ids.astype(str)].reset_index()
    lists["when"] = 2 * lists["seq"] - 1
    items = pd.DataFrame({"when": np.repeat(lists["when"].to_numpy(), np.diff(rows.offsets))})
    items["task"] = rows.catalogue["task_id"].map(tables.task_ids).to_numpy()[rows.tasks]
    items = items.sort_values("when", kind="stable")
    lists = lists.sort_values("when", ignore_index=True)
    items["list"] = np.searchsorted(lists["when"], items["when"])
    places, items = items.index.to_numpy(), items.reset_index(drop=True)
    timeline = _timeline(tables)
    pairs = _pairs(tables, timeline, lists, items)
    deeds = timeline[timeline["type"].isin(_DEEDS)].sort_values("when")
    deeds["grown"] = _grown(deeds["known_at"].to_numpy())
    found = _Joined(tables, lists, items, timeline, deeds, pairs).columns()
    return pd.DataFrame(found, index=places, dtype="float32").sort_index()[list(COLUMNS)]


class _Joined:
    """The columns of items, joined from what is known of their lists and tasks."""

    def __init__(
        self,
        tables: Tables,
        lists: pd.DataFrame,
        items: pd.DataFrame,
        timeline: pd.DataFrame,
        deeds: pd.DataFrame,
        pairs: _Pairs,
    ) -> None:
        self.tables, self.lists, self.items, self.timeline, self.pairs = tables, lists, items, timeline, pairs
        kind, versions = deeds["type"], tables.versions
        self.accepted = deeds[kind == "assignment_accepted"].copy()
        self.submitted = deeds[deeds["timed"] > 0.0].copy()
        verdicts = deeds[kind.isin(_VERDICTS)]
        good = (verdicts["type"] == "assignment_approved").astype(float)
        self.verdicts = verdicts.assign(
            good=good, bad=1.0 - good, requester=versions["requester"].to_numpy()[verdicts["version"]]
        )
        self.shrunk = 1.0 / _grown(lists["now"].to_numpy())

    def columns(self) -> dict[str, Floats]:
        """Return each of `COLUMNS`, in the order of the items."""
        tables, pairs, owners = self.tables, self.pairs, self.pairs.list
        self._join_tokens()
        facts = tables.versions
        workers = self._of_workers()
        took, chance, taken, good, bad, minutes, timed = _summed(
            tables,
            pairs,
            [
                self.own["took"],
                self.expected,
                self.market["taken"],
                self.own["good"],
                self.own["bad"],
                self.market["told_minutes"],
                self.market["told_timed"],
            ],
        )
        shrunk, share = self.shrunk[owners], workers["share"][owners]
        lift = (taken * shrunk + POPULARITY_PRIOR) / (chance + POPULARITY_PRIOR)
        affinity = np.log((took * shrunk + CONTENT_PRIOR * lift) / (share * chance + CONTENT_PRIOR))
        stated = facts["stated"].to_numpy()[pairs.version]
        submitted = _known(self.lists, self.submitted[["when", "own_minutes", "timed"]]).take(owners)
        stated = np.where(np.isnan(stated), _by_content(submitted, minutes, timed), stated)
        own, own_timed = (self.timeline[name].to_numpy()[pairs.state] for name in ("all_minutes", "all_timed"))
        usual = (3.0 * stated + own) / (3.0 + own_timed)
        approval = _smoothed(good, bad, workers["approval"][owners], KIND_PRIOR) * self._requesters_approval(workers)
        paid = np.clip(approval / workers["market_approval"][owners], 0.01, 1.0)
        hourly = facts["reward"].to_numpy()[pairs.version] + np.log(paid) - usual - workers["speed"][owners] + _LOG_60
        known = ((self.own["took"] > 0.0) | (self.own["level"] > 1e-6)).astype(float)
        overlap = _of_skills(tables, owners, pairs.version, known)
        compared = pd.DataFrame({"list": owners, "hourly": hourly, "skill_overlap": overlap, "affinity": affinity})
        reference, own_columns = compared.iloc[: pairs.items], compared.iloc[pairs.items :]
        return {
            **self._relative(reference, own_columns),
            "skill_overlap": overlap[pairs.items :],
            "hourly_against_revealed": hourly[pairs.items :] - workers["revealed"][self.items["list"]],
            **self._of_items(workers),
        }

    def _join_tokens(self) -> None:
        """Join what each list knows of each token: of the market, and of its worker."""
        tables, lists, accepted = self.tables, self.lists, self.accepted
        changes = _changes(self.timeline)
        available = _known(accepted, changes[["when", "change"]])["change"].to_numpy()
        # What each available task had at random: one acceptance, picked among so many.
        accepted["chance"] = accepted["grown"] / np.where(available > 0.0, available, np.inf)
        changes["chances"] = _known(changes, accepted[["when", "chance"]], exact=True)["chance"].to_numpy()
        changed = _exploded(changes, tables)
        changed["available"] = changed["weight"] * changed["change"]
        # An acceptance counts for a token by what is available of it then. So of the chances so far those count that
        # came after each change.
        changed["missed"] = changed["available"] * changed["chances"]
        took = _exploded(accepted[["when", "version", "worker", "grown"]], tables)
        took["took"] = took["taken"] = took["weight"] * took["grown"]
        parts = [
            changed[["when", "token", "available", "missed"]],
            took[["when", "token", "taken"]],
            _token_minutes(tables, self.submitted),
        ]
        events = pd.concat(parts).fillna(0.0).sort_values("when", kind="stable")
        self.market = _grid(lists, tables.vocabulary, events, "token")
        chances = _known(lists, accepted[["when", "chance"]])["chance"].to_numpy()
        of_lists = self.market["available"].reshape(len(lists), -1) * chances[:, None]
        self.expected = ((of_lists - self.market["missed"].reshape(of_lists.shape)) * self.shrunk[:, None]).ravel()
        judged = _exploded(self.verdicts[["when", "version", "worker", "good", "bad"]], tables)
        judged[["good", "bad"]] = judged[["good", "bad"]].mul(judged["weight"], axis=0)
        levels = tables.levels.assign(when=2 * tables.levels["seq"])
        parts = [
            took[["when", "worker", "token", "took"]],
            judged[["when", "worker", "token", "good", "bad"]],
            levels[["when", "worker", "token", "level"]],
        ]
        events = pd.concat(parts).fillna(0.0).sort_values("when", kind="stable")
        events["own"] = events["worker"] * tables.vocabulary + events["token"]
        events = events[["when", "own", "took", "good", "bad", "level"]]
        self.own = _grid(lists, tables.vocabulary, events, "own", own=True)

    def _of_workers(self) -> dict[str, Floats]:
        """Return what each list knows of its worker and of the market."""
        lists, accepted, submitted = self.lists, self.accepted, self.submitted
        reward = self.tables.versions["reward"].to_numpy()[accepted["version"]]
        hourly = reward - _usual_minutes(self.tables, accepted, submitted)
        paid = ~np.isnan(hourly)
        accepted["timed_grown"] = accepted["grown"] * paid
        accepted["hourly"] = np.where(paid, hourly, 0.0) * accepted["grown"]
        took = _known(lists, accepted[["when", "worker", "grown", "timed_grown", "hourly"]], "worker")
        # One forgotten tab must not make a worker slow for ever. What `features.deeds` keeps from the sums of minutes
        # as well lies so far off that none of it is in the market's log.
        surprise = (submitted["own_minutes"] - _usual_minutes(self.tables, submitted, submitted)).clip(-2.0, 2.0)
        speeds = submitted.assign(surprise=surprise.fillna(0.0), surprises=surprise.notna().astype(float))
        speed = _known(lists, speeds[["when", "worker", "surprise", "surprises"]], "worker")
        judged = _known(lists, self.verdicts[["when", "worker", "good", "bad"]], "worker")
        market = _known(lists, self.verdicts[["when", "good", "bad"]])
        market_approval = _smoothed(market["good"], market["bad"], APPROVAL_PRIOR, 10.0)
        taken = _known(lists, accepted[["when", "grown"]])["grown"]
        return {
            "share": (took["grown"] / taken.where(taken > 0.0)).fillna(0.0).to_numpy(),
            "revealed": (took["hourly"] / took["timed_grown"].where(took["timed_grown"] > 0.0) + _LOG_60).to_numpy(),
            "speed": (speed["surprise"] / (speed["surprises"] + SHARE_PRIOR)).to_numpy(),
            "approval": _smoothed(judged["good"], judged["bad"], market_approval, SHARE_PRIOR).to_numpy(),
            "market_approval": market_approval.to_numpy(),
        }

    def _requesters_approval(self, workers: dict[str, Floats]) -> Floats:
        requester = self.tables.versions["requester"].to_numpy()
        size = int(requester.max()) + 1
        found = _grid(self.lists, size, self.verdicts[["when", "requester", "good", "bad"]], "requester")
        at = self.pairs.list * size + requester[self.pairs.version]
        usual = workers["market_approval"][self.pairs.list]
        return _smoothed(found["good"].take(at), found["bad"].take(at), usual, SHARE_PRIOR)

    def _relative(self, reference: pd.DataFrame, own: pd.DataFrame) -> dict[str, Floats]:
        """Return columns as they stand against those of the list's reference tasks."""
        of_lists, names = reference.groupby("list"), ["hourly", "skill_overlap", "affinity"]
        means, spreads = of_lists[names].mean(), of_lists[names].std(ddof=0)
        counts = of_lists[names].count()
        lists = own["list"]
        apart = own[names] - means.reindex(lists).to_numpy()
        spread = spreads.reindex(lists).to_numpy()
        scores = apart / np.where(spread > 1e-12, spread, np.where(np.isnan(spread), np.nan, np.inf))
        found = {f"{name}_z": scores[name].to_numpy() for name in names}
        # Ranks among all, less those among the items alone: the reference tasks below, and half of those level.
        names = ["hourly", "skill_overlap"]
        rounded = pd.concat([reference, own]).astype(dict.fromkeys(names, np.float32))
        ours = rounded.iloc[len(reference) :]
        below = rounded.groupby("list")[names].rank().iloc[len(reference) :] - ours.groupby("list")[names].rank()
        shares = below / counts[names].reindex(lists).to_numpy()
        return found | {f"{name}_rank": shares[name].to_numpy() for name in names}

    def _of_items(self, workers: dict[str, Floats]) -> dict[str, Floats]:
        """Return the columns that no reference task is needed for."""
        tables, items, lists = self.tables, self.items, self.lists
        owners, version = items["list"].to_numpy(), self.pairs.version[self.pairs.items :]
        worker, shrunk = lists["worker"].to_numpy()[owners], self.shrunk[owners]
        at = owners * tables.vocabulary + np.maximum(category := tables.labels[version, 0], 0)
        by_chance = workers["share"][owners] * self.expected.take(at) + CONTENT_PRIOR
        category_affinity = np.log((self.own["took"].take(at) * shrunk + CONTENT_PRIOR) / by_chance)
        of_kind = tables.versions["group"].to_numpy()
        accepted = self.accepted.assign(group=of_kind[self.accepted["version"]])
        group, most = of_kind[version], int(of_kind.max()) + 1
        accepted = accepted[accepted["group"] >= 0]
        accepted["pair"] = accepted["worker"] * most + accepted["group"]
        with_group = items[["when"]].assign(pair=worker * most + group)
        took = _known(with_group, accepted[["when", "pair", "grown"]], "pair")["grown"].to_numpy()
        events, tasks = tables.events, len(tables.task_ids) + 1
        saved = events[events["type"] == "task_saved"]
        saved = pd.DataFrame({"when": 2 * saved["seq"], "pair": saved["worker"] * tasks + saved["task"], "saved": 1.0})
        with_task = items[["when"]].assign(pair=worker * tasks + items["task"].to_numpy())
        served = pd.DataFrame({"when": 2 * tables.served["seq"], "task": tables.served["task"], "served": 1.0})
        market = _known(lists, served[["when", "served"]])["served"].to_numpy()
        usual = _known(lists, self.accepted[["when", "accepted"]])["accepted"].to_numpy() / np.where(
            market, market, np.nan
        )
        usual = np.where(usual > 0.0, usual, np.nan)[owners]
        taken = self.timeline["all_accepted"].to_numpy()[self.pairs.state[self.pairs.items :]]
        lists_with = _known(items, served, "task")["served"].to_numpy()
        profiles = tables.profiles.assign(when=2 * tables.profiles["seq"])[["when", "worker", "skills"]]
        declares = pd.merge_asof(lists[["when", "worker"]], profiles, on="when", by="worker", allow_exact_matches=False)
        coverage = _of_skills(tables, owners, version, self.own["level"])
        return {
            "affinity_category": np.where(category >= 0, category_affinity, np.nan),
            "take_rate": np.log((taken / usual + TAKE_PRIOR) / (lists_with + TAKE_PRIOR)),
            "task_saved": np.minimum(1.0, _known(with_task, saved, "pair")["saved"].to_numpy()),
            "skill_coverage": np.where(declares["skills"].to_numpy()[owners] > 0, coverage, np.nan),
            "group_taken": np.where(group >= 0, np.log1p(took * shrunk), np.nan),
        }


def main() -> None:
    """Show the columns that the ranker uses most, and which of them are joined."""
    given = parser(__doc__).parse_args()
    with cache_of(given) as cache:
        found = gains(bundle_of(cache, Size(), Rates.shipped()).ranker.booster)
    for place, (name, share) in enumerate(found.iloc[: 2 * len(COLUMNS)].items(), 1):
        print(f"{place:3} {name:28} {share:7.2%} {'joined' if name in COLUMNS else ''}")
    print(f"all joined: {found[list(COLUMNS)].sum():.1%}")


if __name__ == "__main__":
    main()
