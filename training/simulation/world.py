"""The world: a marketplace that runs over time under a policy, and yields the events that a real one would log."""

import heapq
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np

from features.events import (
    AssignmentAbandoned,
    AssignmentAccepted,
    AssignmentApproved,
    AssignmentRejected,
    AssignmentReturned,
    AssignmentSubmitted,
    Event,
    FeedContext,
    FeedItem,
    FeedServed,
    FeedShown,
    RequesterRated,
    TaskClosed,
    TaskHidden,
    TaskSaved,
    TaskUpdated,
    TaskViewed,
    WorkerRated,
    instant,
)
from features.money import Money
from training.simulation.arrivals import Arrival, draw_arrivals
from training.simulation.attrition import Attrition
from training.simulation.chance import Dice, stream
from training.simulation.choice import ChoiceModel, Outlook
from training.simulation.config import SimulationConfig
from training.simulation.ledger import Ledger, Outcome
from training.simulation.market import Market
from training.simulation.memory import Memory
from training.simulation.policies import Board, Occasion, Policy, Ranking
from training.simulation.population import DEVICES, declare, draw_requesters, draw_workers
from training.simulation.postings import DAY, HOUR, MINUTE, NEVER, draw_tasks
from training.simulation.reactions import SECOND, Plan, Step, plan
from training.simulation.work import Work, draw_work

_NOTHING = np.empty(0, np.int64)


class Session(NamedTuple):
    """A worker's visit.

    Attributes:
        worker: index.
        device: index into ``DEVICES``.
        began: microseconds since 1970.
        ends: when the worker means to leave, microseconds since 1970.
        lists: lists asked for so far.
    """

    worker: int
    device: int
    began: int
    ends: int
    lists: int = 0


class Visit(NamedTuple):
    """A worker's way through a list, or back to a saved task.

    Attributes:
        session: of which it is a part.
        outlook: what the tasks hold for the worker.
        plan: what the worker means to do.
        number: of the list in the ledger.
        feed_id: of the list in the log, None for a saved task.
        began: microseconds since 1970.
        reports: whether the marketplace reports how far the list was seen.
        asks_again: whether the worker asks for another list if nothing is taken.
    """

    session: Session
    outlook: Outlook
    plan: Plan
    number: int
    feed_id: str | None
    began: int
    reports: bool
    asks_again: bool


class World:
    """A marketplace. What is drawn beforehand (people, tasks, arrivals) is the same under every policy.

    Attributes:
        config: its parameters.
        start, end: of the log, microseconds since 1970.
        workers, requesters, tasks: with their hidden parameters.
        memory: what workers have learned so far.
        choice: the choice model over that memory.
        market: the marketplace's books.
        board: what policies may know of the tasks.
        attrition: who has left, and who is about to.
        ledger: the evaluator's books.
    """

    def __init__(self, config: SimulationConfig, end: int) -> None:
        self.config = config
        self.end = end // 1000 * 1000
        self.start = self.end - config.days * DAY
        self.workers = draw_workers(config, self.start, self.end)
        self.requesters = draw_requesters(config)
        self.tasks = draw_tasks(config, self.requesters, self.start, self.end)
        self.memory = Memory(len(self.workers), len(self.requesters))
        self.choice = ChoiceModel(config, self.workers, self.requesters, self.tasks, self.memory)
        self.market = Market(self.workers, self.tasks, self.memory)
        self.board = Board.of(self.tasks)
        self._dice = Dice(config.seed)
        self.attrition = Attrition(config.worker, self.workers.reservation, self._dice)
        self.ledger = Ledger(self.workers, self.tasks)
        self._law = config.behaviour
        self._agenda: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._events: list[Event] = []
        self._event_count = 0
        self._feed_count = 0
        self._now = self.start
        self._visiting = np.zeros(len(self.workers), np.bool_)
        self._attempts: dict[tuple[int, int], int] = {}
        # Two logs in one store must not claim the same ids for different events.
        self._mark = f"{stream(config.seed, 'mark', self.end).integers(16**6):06x}"
        self._plan()

    def run(self, policy: Policy, until: int | None = None) -> Iterator[Event]:
        """Yield the events of the log in order of time, from where the last run stopped to ``until`` at most.

        Before the policy is asked, every earlier event has been yielded, so that it can learn from them.

        Args:
            policy: makes the lists.
            until: microseconds since 1970, exclusive; ``end`` if absent or later.
        """
        self._policy = policy
        until = self.end if until is None else min(until, self.end)
        while self._agenda and self._agenda[0][0] < until:
            self._now, _, act, arguments = heapq.heappop(self._agenda)
            act(self, *arguments)
            events, self._events = self._events, []
            yield from events

    def _plan(self) -> None:
        # At one instant tasks come before workers, who come before their sessions.
        for task, posted in enumerate(self.tasks.posted.tolist()):
            self._at(posted, World._post, task)
        revisions = stream(self.config.seed, "revisions")
        for worker, profile in enumerate(self.workers.profiles):
            if profile is not None:
                joined = int(self.workers.joined[worker])
                self._at(joined, World._declare, worker, 0)
                days = (self.end - joined) / DAY
                for revision in range(1, 1 + revisions.poisson(self.config.worker.update_rate * days)):
                    self._at(joined + int(revisions.uniform(0, days) * DAY), World._declare, worker, revision)
        for arrival in draw_arrivals(self.config, self.workers, self.start, self.end):
            self._at(arrival.at, World._arrive, arrival)

    def _at(self, at: int, act: Callable[..., None], *arguments: object) -> None:
        self._order += 1
        heapq.heappush(self._agenda, (-(-at // 1000) * 1000, self._order, act, arguments))

    def _after(self, wait: float, act: Callable[..., None], *arguments: object) -> None:
        self._at(self._now + max(1000, int(wait)), act, *arguments)

    def _stamp(self) -> dict[str, Any]:
        self._event_count += 1
        return {"event_id": f"s{self._mark}-{self._event_count:07d}", "at": instant(self._now)}

    def _log(self, kind: type[Event], **content: Any) -> None:
        self._events.append(kind(**self._stamp(), **content))

    def _deal(self, worker: int, task: int, feed_id: str | None = None) -> dict[str, Any]:
        content = {"worker_id": self.workers.ids[worker], "task_id": self.tasks.ids[task]}
        return content if feed_id is None else {**content, "feed_id": feed_id}

    # Tasks

    def _post(self, task: int) -> None:
        self.market.open[task] = True
        self._events.append(msgspec.structs.replace(self.tasks.postings[task], **self._stamp()))
        if self.tasks.closes[task] != NEVER:
            self._at(int(self.tasks.closes[task]), World._close, task)
        if self.tasks.raised_to[task] > 1:
            self._after(self.config.task.raise_after_hours * HOUR, World._raise, task)

    def _close(self, task: int) -> None:
        self.market.open[task] = False
        full = self.market.taken[task] >= self.tasks.slots[task]
        self._log(TaskClosed, task_id=self.tasks.ids[task], reason="completed" if full else "withdrawn")

    def _raise(self, task: int) -> None:
        tasks, money = self.tasks, self.tasks.postings[task].reward
        if (
            money is None
            or 2 * self.market.taken[task] >= tasks.slots[task]
            or not self.market.is_open(task, self._now)
        ):
            return
        step = Decimal(100) if money.currency == "IDR" else Decimal("0.01")
        steps = max(1, round(float(money.amount / step) * tasks.raised_to[task]))
        raised = Money(step * steps, money.currency)
        tasks.reward[task] *= float(raised.amount / money.amount)
        tasks.raised_at[task] = self._now
        self._log(TaskUpdated, task_id=tasks.ids[task], reward=raised)

    # Workers and their lists

    def _declare(self, worker: int, revision: int) -> None:
        if self._has_left(worker):
            return
        profile = (
            self.workers.profiles[worker] if revision == 0 else declare(self.config, self.workers, worker, revision)
        )
        if profile is not None:
            self.market.profiled[worker] = True
            self._events.append(msgspec.structs.replace(profile, **self._stamp()))

    def _has_left(self, worker: int) -> bool:
        return bool(self.attrition.left[worker] != NEVER)

    def _arrive(self, arrival: Arrival, task: int | None = None) -> None:
        """Begin a session, for a task that was saved or to look at lists."""
        worker, now = arrival.worker, self._now
        if self._visiting[worker] or self._has_left(worker):
            return
        if task is not None and not self.market.may_take(worker, task, now):
            return
        self._visiting[worker] = True
        session = Session(worker, arrival.device, now, now + int(arrival.minutes * MINUTE))
        if task is None:
            self._serve(session)
            return
        plan = Plan([Step(0, task, 0, "take", int(self._law.read_seconds * SECOND))], 0, SECOND)
        outlook = self.choice.outlook(worker, np.array([task]), arrival.minutes)
        self._look(Visit(session, outlook, plan, self.ledger.serve(_NOTHING), None, now, False, True), 0)

    def _serve(self, session: Session) -> None:
        worker, device, law, now = session.worker, session.device, self._law, self._now
        session = session._replace(lists=session.lists + 1)
        minutes_left = max(1.0, round((session.ends - now) / MINUTE, 1))
        keys = worker, session.began // 1000, session.lists
        occasion = Occasion(
            worker_id=self.workers.ids[worker],
            worker=worker,
            at=now,
            session_minutes=minutes_left,
            device=DEVICES[device],
            limit=law.list_length,
            board=self.board,
            available=partial(self.market.available, worker, device, now),
            draw=(self.config.seed, *keys),
        )
        ranking = self._policy(occasion)
        shown = ranking.tasks[: law.list_length]
        if refused := self.market.refused(worker, device, now, shown):
            named = ", ".join(self.tasks.ids[task] for task in refused)
            raise ValueError(f"policy {ranking.policy} lists to {occasion.worker_id} what may not be listed: {named}")
        feed_id = self._log_list(occasion, ranking, shown.tolist())
        outlook = self.choice.outlook(worker, shown, minutes_left)
        rng = self._dice.named("list", *keys)
        chosen = plan(law, shown, outlook, float(self.workers.scan_on[worker]), rng)
        reported, again = rng.random(2).tolist()
        visit = Visit(
            session=session,
            outlook=outlook,
            plan=chosen,
            number=self.ledger.serve(shown),
            feed_id=feed_id,
            began=now,
            reports=reported < law.shown_share,
            asks_again=again < self.workers.ask_again[worker],
        )
        self._go_on_looking(visit, 0)

    def _log_list(self, occasion: Occasion, ranking: Ranking, shown: list[int]) -> str:
        self._feed_count += 1
        feed_id = f"f{self._mark}-{self._feed_count:06d}"
        scores = [None] * len(shown) if ranking.scores is None else ranking.scores.tolist()
        chances = [None] * len(shown) if ranking.propensities is None else ranking.propensities.tolist()
        ids = self.tasks.ids
        items = tuple(
            FeedItem(ids[task], position, score, chance)
            for position, (task, score, chance) in enumerate(zip(shown, scores, chances, strict=False), 1)
        )
        self._log(
            FeedServed,
            feed_id=feed_id,
            worker_id=occasion.worker_id,
            items=items,
            context=FeedContext(session_minutes=occasion.session_minutes, device=occasion.device, surface="feed"),
            policy=ranking.policy,
            model_version=ranking.model_version,
        )
        return feed_id

    def _go_on_looking(self, visit: Visit, turn: int, wait: int = 0) -> None:
        steps = visit.plan.steps
        if turn < len(steps):
            self._after(wait + steps[turn].after, World._look, visit, turn)
        else:
            self._after(wait + visit.plan.rest, World._finish, visit)

    def _look(self, visit: Visit, turn: int) -> None:
        """Come to a task of a list: open it or put it away."""
        worker, step = visit.session.worker, visit.plan.steps[turn]
        deal = self._deal(worker, step.task, visit.feed_id)
        if step.act == "hide":
            self.market.hide(worker, step.task)
            self._log(TaskHidden, **deal)
            self._go_on_looking(visit, turn + 1)
            return
        self._log(TaskViewed, **deal)
        if self.market.may_take(worker, step.task, self._now):
            self._after(step.reads, World._decide, visit, turn)
        else:
            self.ledger.click(visit.number, self._now, worker, step.task, step.place + 1, "gone")
            self._go_on_looking(visit, turn + 1, int(self._law.gone_seconds * SECOND))

    def _decide(self, visit: Visit, turn: int) -> None:
        """Take the task that was read, or leave it."""
        worker, step, now = visit.session.worker, visit.plan.steps[turn], self._now
        outcome: Outcome = "declined"
        if step.act == "take":
            outcome = "taken" if self.market.may_take(worker, step.task, now) else "lost"
        self.ledger.click(visit.number, now, worker, step.task, step.place + 1, outcome)
        if outcome == "taken":
            self._leave_list(visit, step.place + 1, step.task)
            self._accept(visit, step)
            return
        if step.act == "save":
            self._save(visit.session, step.task, visit.feed_id)
        self._go_on_looking(visit, turn + 1)

    def _finish(self, visit: Visit) -> None:
        """Come to the end of a list with empty hands."""
        self._leave_list(visit, visit.plan.depth, -1)
        if visit.asks_again:
            self._after(SECOND, World._go_on, visit.session)
        else:
            self._go(visit.session)

    def _leave_list(self, visit: Visit, depth: int, taken: int) -> None:
        worker = visit.session.worker
        self.ledger.leave_list(visit.number, worker, visit.began, self._now, depth, taken, visit.feed_id is None)
        if visit.reports:
            self._after(SECOND, World._show, visit.feed_id, depth)

    def _show(self, feed_id: str, depth: int) -> None:
        self._log(FeedShown, feed_id=feed_id, up_to_position=depth)

    def _go_on(self, session: Session) -> None:
        """Ask for another list if there is time, or go."""
        if self._now < session.ends and session.lists < self._law.lists_limit:
            self._serve(session)
        else:
            self._go(session)

    def _go(self, session: Session) -> None:
        """End a session, perhaps for good."""
        worker, now = session.worker, self._now
        self._visiting[worker] = False
        self.ledger.session(worker, session.began, now)
        if self.attrition.session(worker, (now - session.began) / HOUR, now):
            self.ledger.leave(worker, now)

    def _save(self, session: Session, task: int, feed_id: str | None) -> None:
        worker, law = session.worker, self._law
        self._log(TaskSaved, **self._deal(worker, task, feed_id))
        rng = self._dice.named("return", worker, task, session.began // 1000)
        if rng.random() < law.saved_taken:
            at = self._now + int(law.saved_hours * HOUR * rng.lognormal(0.0, 0.7))
            minutes = round(float(max(3.0, self.workers.session_minutes[worker] * rng.lognormal(0.0, 0.5))), 1)
            self._at(at, World._arrive, Arrival(at, worker, session.device, minutes), task)

    # Assignments

    def _accept(self, visit: Visit, step: Step) -> None:
        session, task, now = visit.session, step.task, self._now
        worker = session.worker
        self.market.take(worker, task)
        self.memory.took(worker, int(self.tasks.group[task]), now)
        full = bool(self.market.taken[task] >= self.tasks.slots[task])
        number = self.ledger.accept(visit.number, worker, task, now, full=full)
        self._log(AssignmentAccepted, **self._deal(worker, task, visit.feed_id))
        attempt = self._attempts[worker, task] = self._attempts.get((worker, task), 0) + 1
        rng = self._dice.named("work", worker, task, attempt)
        reservation = float(self.workers.reservation[worker])
        work = draw_work(self.config, self.requesters, self.tasks, task, visit.outlook, step.place, reservation, rng)
        if work.end == "abandoned":
            # The worker walks away; the marketplace notices when the time is over.
            self._after(self.tasks.time_limit[task] * MINUTE, World._abandon, worker, task, visit.feed_id)
        self._after(work.seconds * SECOND, World._stop, session, task, visit.feed_id, work, number)

    def _stop(self, session: Session, task: int, feed_id: str | None, work: Work, number: int) -> None:
        """Come to the end of the worker's part."""
        worker = session.worker
        overhead = 0.0 if work.end == "abandoned" else 60 * self._law.overhead_minutes
        self.ledger.end(number, self._now, work.end, work.seconds, overhead)
        if work.end == "abandoned":
            self._go(session)
            return
        if work.end == "returned":
            self.market.give_back(worker, task, again=True)
            self._log(AssignmentReturned, **self._deal(worker, task, feed_id))
        else:
            self.memory.submitted(worker, int(self.tasks.kind[task]), self._now)
            self._log(AssignmentSubmitted, **self._deal(worker, task, feed_id), work_seconds=round(work.seconds, 1))
            self._after(work.verdict_after * SECOND, World._judge, worker, task, work, number)
        self._after(overhead * SECOND, World._go_on, session)

    def _abandon(self, worker: int, task: int, feed_id: str | None) -> None:
        self.market.give_back(worker, task, again=False)
        self._log(AssignmentAbandoned, **self._deal(worker, task, feed_id))

    def _judge(self, worker: int, task: int, work: Work, number: int) -> None:
        requester = int(self.tasks.requester[task])
        self.memory.judged(worker, requester, self._now, approved=work.approved)
        self.attrition.paid(worker, work.pays)
        self.ledger.judge(number, self._now, approved=work.approved, earned_usd=work.pays)
        if work.approved:
            self._log(AssignmentApproved, **self._deal(worker, task), bonus=work.bonus)
        else:
            self._log(AssignmentRejected, **self._deal(worker, task), reason=work.reason)
        about = {**self._deal(worker, task), "requester_id": self.requesters.ids[requester]}
        if work.worker_rating:
            self._log(WorkerRated, **about, rating=float(work.worker_rating))
        if work.requester_rating:
            self._after(work.rated_after * SECOND, World._rate, {**about, "rating": float(work.requester_rating)})

    def _rate(self, rating: dict[str, Any]) -> None:
        self._log(RequesterRated, **rating)
