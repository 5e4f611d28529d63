"""Every parameter of the simulated marketplace, with its unit and where its value comes from.

Figures that the literature gives, and that the defaults are held to, are named with their source; every other default
is assumed: chosen so that the market is plausible and so that skill, history and pay all matter.

- Hara et al. (2018), "A Data-Driven Analysis of Workers' Earnings on Amazon Mechanical Turk", CHI: workers earn a
  median of about 2 USD an hour, and 4 % earn more than 7.25 USD; unpaid are the search for tasks, work that is rejected
  and work that is not submitted.
- Toxtli, Suri & Savage (2021), "Quantifying the Invisible Labor in Crowd Work", arXiv:2110.00169: workers spend 33 % of
  their time on unpaid invisible labour, most of it on managing payments and on watching out for work; the median hourly
  wage falls from 3.76 to 2.83 USD by it.
- Difallah et al. (2015), "The Dynamics of Micro-Task Crowdsourcing: The Case of Amazon MTurk", WWW: how recent a batch
  is and how many tasks are left in it are key features in predicting how fast it is worked on.
- Difallah, Filatova & Ipeirotis (2018), "Demographics and Dynamics of Mechanical Turk Workers", WSDM: arrivals of
  workers balance departures, and the half-life of a worker is 12 to 18 months.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from features.errors import CocokError


@dataclass(frozen=True)
class WorkerConfig:
    """Workers; assumed, but for the balance of arrivals and departures.

    Attributes:
        present_share: share of workers (0..1) already there when the log begins; the others join evenly over its days.
            In the standard market under newest first about as many join as leave, as in Difallah et al. (2018); both
            are much quicker here than there, so that an experiment of weeks shows what keeps workers.
        unprofiled_share: share (0..1) that never declares a profile.
        declared_share: probability that a good skill is declared.
        false_share: probability that a poor skill is declared all the same.
        levels_share: share (0..1) of profiles that give levels of skills rather than names alone.
        sessions_per_day: mean sessions of a worker a day.
        session_spread: sigma of the log of that rate between workers.
        burstiness: shape of the gamma by which a worker's days differ; smaller = more bursts.
        session_minutes: median length of a session, minutes.
        reservation_hourly: median wage below which a worker in the cheapest country hesitates, USD an hour.
        reservation_spread: sigma of its log between workers.
        kind_skill_spread: standard deviation of skill between kinds of work, on the logit scale.
        own_skill_spread: the same between the skills of one kind.
        taste_skill: correlation of the taste for a kind of work with the skill in it.
        speed_spread: sigma of the log of speed between workers.
        patience_spread: standard deviation, in log-odds, of how far workers scan a list and how readily they ask for
            another.
        update_rate: profile changes a worker with a profile makes a day.
        leave_bias: log-odds of leaving for good after a session for who earns just the reservation wage. Chance is
            drawn once a day (UTC) for a worker: a later session of the day is left after only if its probability is
            above the draw that the earlier ones were not, so that a day of many sessions loses hardly more than one.
        leave_weight: log-odds of leaving for each unit of the log of the reservation wage over earnings an hour, search
            included.
        leave_memory_hours: hours, paid or not, after which what was earned weighs 1/e.
        leave_after_sessions: nobody leaves after fewer sessions than this.
    """

    present_share: float = 0.8
    unprofiled_share: float = 0.12
    declared_share: float = 0.75
    false_share: float = 0.06
    levels_share: float = 0.3
    sessions_per_day: float = 0.4
    session_spread: float = 0.8
    burstiness: float = 1.5
    session_minutes: float = 30.0
    reservation_hourly: float = 1.0
    reservation_spread: float = 0.45
    kind_skill_spread: float = 1.6
    own_skill_spread: float = 0.7
    taste_skill: float = 0.6
    speed_spread: float = 0.3
    patience_spread: float = 0.5
    update_rate: float = 0.02
    leave_bias: float = -3.2
    leave_weight: float = 1.0
    leave_memory_hours: float = 3.0
    leave_after_sessions: int = 3


@dataclass(frozen=True)
class RequesterConfig:
    """Requesters; assumed, but for the level of pay.

    Attributes:
        workers_each: workers for each requester.
        pay_hourly: median pay of a requester, USD an hour of a typical worker; set so that the median worker, who
            avoids what is paid worst, earns the 2 USD an hour, or a little more, of Hara et al. (2018).
        pay_spread: sigma of its log between requesters.
        activity_spread: sigma of the log of how much a requester posts.
        leniency: mean log-odds that work of just the needed skill is approved; rejections are to stay rare.
        leniency_spread: its standard deviation between requesters.
        stated_bias: median of stated over true minutes; below 1 = work takes longer than stated.
        stated_spread: sigma of the log of that bias between requesters.
        verdict_hours: median delay from submission to verdict, hours.
        verdict_spread: sigma of its log between requesters.
        verdict_limit_hours: pending work is approved by itself after so many hours.
    """

    workers_each: float = 10.0
    pay_hourly: float = 1.4
    pay_spread: float = 0.5
    activity_spread: float = 1.0
    leniency: float = 1.6
    leniency_spread: float = 0.9
    stated_bias: float = 0.85
    stated_spread: float = 0.25
    verdict_hours: float = 1.2
    verdict_spread: float = 1.3
    verdict_limit_hours: float = 168.0


@dataclass(frozen=True)
class TaskConfig:
    """Tasks; everything here is assumed.

    Attributes:
        batch_tail: exponent of the Pareto law of tasks in a batch; small = heavy-tailed.
        batch_limit: most tasks in a batch, count.
        slots_tail: exponent of the Pareto law of slots of a task.
        slots_limit: most slots, count.
        pay_spread: sigma of the log of pay per hour between batches of one requester.
        premium_share: share (0..1) of batches whose pay has a Pareto premium on top.
        premium_tail: exponent of that premium.
        minutes_spread: sigma of the log of typical minutes within a kind of work.
        stated_share: share (0..1) of batches that state their minutes.
        indonesian_share: share (0..1) of batches in Indonesian; the others are in English.
        expiring_share: share (0..1) of batches with an instant of expiry; the others are closed by their requester.
        open_days: median time until expiry or closing, days.
        country_share: share (0..1) of batches for some countries only.
        qualified_share: share (0..1) of batches that require a qualification or a rate of approval.
        raise_share: share (0..1) of tasks whose reward is raised once if they fill slowly.
        raise_after_hours: when such a raise comes, hours after posting.
        stock_days: tasks posted at the very beginning, in days of usual posting.
    """

    batch_tail: float = 1.3
    batch_limit: int = 40
    slots_tail: float = 1.1
    slots_limit: int = 200
    pay_spread: float = 0.4
    premium_share: float = 0.08
    premium_tail: float = 2.0
    minutes_spread: float = 0.4
    stated_share: float = 0.85
    indonesian_share: float = 0.6
    expiring_share: float = 0.6
    open_days: float = 3.0
    country_share: float = 0.2
    qualified_share: float = 0.08
    raise_share: float = 0.1
    raise_after_hours: float = 36.0
    stock_days: float = 1.5


@dataclass(frozen=True)
class BehaviourConfig:
    """How a worker chooses and works; assumed, but for the share of unpaid time.

    Weights are log-odds for each unit of their cause.

    Attributes:
        list_length: tasks in a list, count.
        scan_on_share: probability that a worker of middling patience who looked at a position looks at the next.
        glance_decay: a position k that is looked at is taken in with probability k to the minus this.
        list_seconds: seconds until the eye is on a new list.
        item_seconds: median seconds at a position.
        read_seconds: median seconds of reading a task that was opened.
        gone_seconds: seconds lost on a task that cannot be taken any more when it is opened.
        shown_share: share (0..1) of lists for which the marketplace reports how far they were seen.
        view_bias: log-odds of opening a task of neutral interest.
        accept_bias: log-odds of taking an opened task of neutral interest.
        pay_weight: for each unit of the log of pay per hour over the reservation wage.
        overhead_minutes: unpaid minutes beside each task that was not abandoned (payments, messages, watching out),
            which workers reckon with; set so that, with the search, about a third of their time is unpaid, as the 33 %
            of Toxtli et al. (2021).
        taste_weight: for each standard deviation of taste for the kind of work.
        topic_weight: the same for the topic.
        skill_weight: for each unit of skill (0..1) above what the task needs.
        habit_weight: for each unit of log(1 + tasks of the kind done).
        group_weight: for having done a task of the same group.
        trust_weight: for each unit of trust in the requester; an approval adds 0.25, a rejection takes 1.
        clarity_weight: for each unit (0..1) of the requester's clarity, once the task is open.
        foreign_penalty: for a task in a language that the worker does not speak.
        length_weight: for each unit of the log of typical minutes over the minutes left, if above 0.
        own_weight: for the worker's lasting liking of this very task (a standard logistic draw).
        learning: skill gained for each unit of log(1 + tasks of the kind done).
        quicker: log of minutes saved for each unit of the same.
        skill_quicker: log of minutes saved for each unit of skill (0..1) above the middle.
        work_noise: sigma of the log of minutes from one assignment to the next.
        approval_skill: log-odds of approval for each unit of skill above what is needed.
        approval_clarity: log-odds of approval for each unit of clarity above the middle.
        save_above: an opened task is interesting if it would be taken with a higher probability than this.
        save_share: probability that an interesting task that was opened and not taken is saved.
        saved_taken: probability that the worker comes back for a saved task.
        saved_hours: median time until then, hours.
        repellent_below: a task is repellent if it would be opened with a lower probability than this.
        hide_share: probability that a task that was taken in and found repellent is hidden.
        again_share: probability that a worker of middling patience who took nothing asks for another list.
        lists_limit: most lists in a session, count.
        return_share: probability of giving a task back under a requester of middling clarity.
        abandon_share: probability of letting the time run out.
        rating_share: probability that a verdict is followed by a rating of the requester.
        worker_rating_share: probability that a verdict comes with a rating of the worker.
        bonus_share: probability of a bonus beside an approval.
    """

    list_length: int = 20
    scan_on_share: float = 0.95
    glance_decay: float = 0.25
    list_seconds: float = 2.0
    item_seconds: float = 3.0
    read_seconds: float = 20.0
    gone_seconds: float = 5.0
    shown_share: float = 0.5
    view_bias: float = -2.0
    accept_bias: float = -1.5
    pay_weight: float = 1.4
    overhead_minutes: float = 4.0
    taste_weight: float = 0.6
    topic_weight: float = 0.45
    skill_weight: float = 3.0
    habit_weight: float = 0.25
    group_weight: float = 0.8
    trust_weight: float = 0.5
    clarity_weight: float = 1.0
    foreign_penalty: float = 3.0
    length_weight: float = 0.6
    own_weight: float = 0.35
    learning: float = 0.04
    quicker: float = 0.08
    skill_quicker: float = 0.5
    work_noise: float = 0.25
    approval_skill: float = 3.5
    approval_clarity: float = 1.5
    save_above: float = 0.2
    save_share: float = 0.7
    saved_taken: float = 0.8
    saved_hours: float = 5.0
    repellent_below: float = 0.05
    hide_share: float = 0.05
    again_share: float = 0.3
    lists_limit: int = 8
    return_share: float = 0.06
    abandon_share: float = 0.02
    rating_share: float = 0.08
    worker_rating_share: float = 0.04
    bonus_share: float = 0.03


@dataclass(frozen=True)
class SimulationConfig:
    """The simulated marketplace.

    Attributes:
        workers: workers who ever join, count.
        tasks_per_day: tasks posted a day, count.
        days: length of the log, days.
        seed: of all randomness.
        idr_per_usd: rate at which pay in USD becomes a reward in IDR; the level of mid 2025.
        worker: workers.
        requester: requesters.
        task: tasks.
        behaviour: how workers choose and work.

    Raises:
        CocokError: a number is out of its range.
    """

    workers: int = 400
    tasks_per_day: int = 120
    days: int = 21
    seed: int = 1
    idr_per_usd: float = 16_230.0
    worker: WorkerConfig = field(default_factory=WorkerConfig)
    requester: RequesterConfig = field(default_factory=RequesterConfig)
    task: TaskConfig = field(default_factory=TaskConfig)
    behaviour: BehaviourConfig = field(default_factory=BehaviourConfig)

    def __post_init__(self) -> None:
        for name in ("workers", "tasks_per_day", "days"):
            if getattr(self, name) < 1:
                raise CocokError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.seed < 0:
            raise CocokError(f"seed is {self.seed}; it must be 0 or more")
        for part in (self.worker, self.requester, self.task, self.behaviour):
            for known in fields(part):
                value = getattr(part, known.name)
                if not math.isfinite(value):
                    raise CocokError(f"{known.name} is {value}; it must be a finite number")
                if known.name.endswith("_share") and not 0 <= value <= 1:
                    raise CocokError(f"{known.name} is {value}; it must lie between 0 and 1")

    @property
    def requesters(self) -> int:
        """Requesters, count; at least 5."""
        return max(5, round(self.workers / self.requester.workers_each))


PRESETS: Mapping[str, SimulationConfig] = MappingProxyType(
    {
        "standard": SimulationConfig(),
        "scarce": SimulationConfig(tasks_per_day=80, task=TaskConfig(slots_limit=1)),
    }
)
"""Name -> configuration: what `cocok simulate --preset` offers.

Were slots unlimited, workers of ``scarce`` would take some three times the slots posted; see
``docs/simulator.md`` for what was measured. Scale workers and tasks together to keep that.
"""
