"""The world: a marketplace that runs over time under a policy, and yields the events that a real one would log."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any

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
from training.simulation.chance import stream
from training.simulation.choice import ChoiceModel, Memory
from training.simulation.config import SimulationConfig
from training.simulation.market import Market
from training.simulation.policies import Board, Occasion, Policy, Ranking
from training.simulation.population import DEVICES, declare, draw_requesters, draw_workers
from training.simulation.postings import DAY, HOUR, MINUTE, NEVER, draw_tasks
from training.simulation.reactions import SECOND, Reaction, react
from training.simulation.work import Work, draw_work


@dataclass
class Session:
    """A worker's visit.

    Attributes:
        worker: index.
        device: index into ``DEVICES``.
        ends: when the worker means to leave, microseconds since 1970.
        number: how many sessions of this worker came before.
        lists: lists asked for so far.
    """

    worker: int
    device: int
    ends: int
    number: int
    lists: int = 0


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
    """

    def __init__(self, config: SimulationConfig, end: int) -> None:
        self.config = config
        self.end = end // 1000 * 1000
        self.start = self.end - config.days * DAY
        self.workers = draw_workers(config, self.start, self.end)
        self.requesters = draw_requesters(config)
        self.tasks = draw_tasks(config, self.requesters, self.start, self.end)
        self.memory = Memory.blank(len(self.workers), len(self.requesters))
        self.choice = ChoiceModel(config, self.workers, self.requesters, self.tasks, self.memory)
        self.market = Market(self.workers, self.tasks)
        ids = self.tasks.ids
        index = {task_id: task for task, task_id in enumerate(ids)}
        self.board = Board(ids, index, self.tasks.posted, self.tasks.group, self.tasks.reward)
        self._law = config.behaviour
        self._agenda: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        self._events: list[Event] = []
        self._event_count = 0
        self._feed_count = 0
        self._now = self.start
        self._busy_until = np.zeros(len(self.workers), np.int64)
        self._sessions = np.zeros(len(self.workers), np.int64)
        self._attempts: dict[tuple[int, int], int] = {}
        # Two logs in one store must not claim the same ids for different events.
        self._mark = f"{stream(config.seed, 'mark', self.end).integers(16**6):06x}"
        self._plan()

    def run(self, policy: Policy) -> Iterator[Event]:
        """Yield the events of the log in order of time, all before ``end``. A world runs once.

        Before the policy is asked, every earlier event has been yielded, so that it can learn from them.
        """
        self._policy = policy
        while self._agenda and self._agenda[0][0] < self.end:
            self._now, _, act, arguments = heapq.heappop(self._agenda)
            act(*arguments)
            yield from self._events
            self._events.clear()

    def _plan(self) -> None:
        # At one instant tasks come before workers, who come before their sessions.
        for task, posted in enumerate(self.tasks.posted.tolist()):
            self._at(posted, self._post, task)
        revisions = stream(self.config.seed, "revisions")
        for worker, profile in enumerate(self.workers.profiles):
            if profile is not None:
                joined = int(self.workers.joined[worker])
                self._at(joined, self._declare, worker, 0)
                days = (self.end - joined) / DAY
                for revision in range(1, 1 + revisions.poisson(self.config.worker.update_rate * days)):
                    self._at(joined + int(revisions.uniform(0, days) * DAY), self._declare, worker, revision)
        for arrival in draw_arrivals(self.config, self.workers, self.start, self.end):
            self._at(arrival.at, self._arrive, arrival)

    def _at(self, at: int, act: Callable[..., None], *arguments: object) -> None:
        heapq.heappush(self._agenda, (-(-at // 1000) * 1000, next(self._order), act, arguments))

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
            self._at(int(self.tasks.closes[task]), self._close, task)
        if self.tasks.raised_to[task] > 1:
            self._after(self.config.task.raise_after_hours * HOUR, self._raise, task)

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
        self._log(TaskUpdated, task_id=tasks.ids[task], reward=raised)

    # Workers and their lists

    def _declare(self, worker: int, revision: int) -> None:
        profile = (
            self.workers.profiles[worker] if revision == 0 else declare(self.config, self.workers, worker, revision)
        )
        if profile is not None:
            self.market.profiled[worker] = True
            self._events.append(msgspec.structs.replace(profile, **self._stamp()))

    def _arrive(self, arrival: Arrival, task: int | None = None) -> None:
        """Begin a session, for a task that was saved or to look at lists."""
        worker = arrival.worker
        gone = task is not None and not self.market.may_take(worker, task, self._now)
        if gone or self._busy_until[worker] > self._now:
            return
        ends = self._now + int(arrival.minutes * MINUTE)
        session = Session(worker, arrival.device, ends, int(self._sessions[worker]))
        self._sessions[worker] += 1
        if task is None:
            self._serve(session)
            return
        self._busy(worker, self._now + MINUTE)
        self._log(TaskViewed, **self._deal(worker, task))
        self._after(20 * SECOND, self._accept, session, task, None)

    def _serve(self, session: Session) -> None:
        worker, law = session.worker, self._law
        session.lists += 1
        minutes_left = max(1.0, round((session.ends - self._now) / MINUTE, 1))
        keys = worker, session.number, session.lists
        device, now = session.device, self._now
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
        refused = self.market.refused(worker, device, now, shown)
        if refused:
            named = ", ".join(self.tasks.ids[task] for task in refused)
            raise ValueError(f"policy {ranking.policy} lists to {occasion.worker_id} what may not be listed: {named}")
        feed_id = self._log_list(occasion, ranking, shown.tolist())
        rng = stream(self.config.seed, "list", *keys)
        reaction = react(law, self.choice, worker, shown, minutes_left, rng)
        self._follow(session, feed_id, reaction, rng.random(2).tolist())

    def _log_list(self, occasion: Occasion, ranking: Ranking, shown: list[int]) -> str:
        self._feed_count += 1
        feed_id = ranking.feed_id or f"f{self._mark}-{self._feed_count:06d}"
        scores = [None] * len(shown) if ranking.scores is None else ranking.scores.tolist()
        chances = [None] * len(shown) if ranking.propensities is None else ranking.propensities.tolist()
        items = tuple(
            FeedItem(self.tasks.ids[task], place + 1, scores[place], chances[place]) for place, task in enumerate(shown)
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

    def _follow(self, session: Session, feed_id: str, reaction: Reaction, luck: list[float]) -> None:
        worker, law = session.worker, self._law
        acts = {"view": self._view, "hide": self._hide}
        for after, act, task in reaction.steps:
            if act == "accept":
                self._after(after, self._accept, session, task, feed_id)
            elif act == "save":
                self._after(after, self._save, session, task, feed_id)
            else:
                self._after(after, acts[act], worker, task, feed_id)
        self._busy(worker, self._now + reaction.lasts + 2 * SECOND)
        if luck[0] < law.shown_share:
            self._after(reaction.lasts, self._show, feed_id, reaction.depth)
        if not reaction.accepts and luck[1] < law.again_share:
            self._after(reaction.lasts + SECOND, self._go_on, session)

    def _show(self, feed_id: str, depth: int) -> None:
        self._log(FeedShown, feed_id=feed_id, up_to_position=depth)

    def _go_on(self, session: Session) -> None:
        if self._now < session.ends and session.lists < self._law.lists_limit:
            self._serve(session)

    def _busy(self, worker: int, until: int) -> None:
        self._busy_until[worker] = max(self._busy_until[worker], until)

    def _view(self, worker: int, task: int, feed_id: str) -> None:
        self._log(TaskViewed, **self._deal(worker, task, feed_id))

    def _save(self, session: Session, task: int, feed_id: str) -> None:
        worker, law = session.worker, self._law
        self._log(TaskSaved, **self._deal(worker, task, feed_id))
        rng = stream(self.config.seed, "return", worker, task, session.number)
        if rng.random() < law.saved_taken:
            at = self._now + int(law.saved_hours * HOUR * rng.lognormal(0.0, 0.7))
            minutes = round(float(max(3.0, self.workers.session_minutes[worker] * rng.lognormal(0.0, 0.5))), 1)
            self._at(at, self._arrive, Arrival(at, worker, session.device, minutes), task)

    def _hide(self, worker: int, task: int, feed_id: str) -> None:
        self.market.hide(worker, task)
        self._log(TaskHidden, **self._deal(worker, task, feed_id))

    # Assignments

    def _accept(self, session: Session, task: int, feed_id: str | None) -> None:
        worker = session.worker
        if not self.market.may_take(worker, task, self._now):
            # Somebody was faster.
            self._go_on(session)
            return
        self.market.take(worker, task)
        self.memory.groups.add((worker, int(self.tasks.group[task])))
        self._log(AssignmentAccepted, **self._deal(worker, task, feed_id))
        attempt = self._attempts[worker, task] = self._attempts.get((worker, task), 0) + 1
        rng = stream(self.config.seed, "work", worker, task, attempt)
        work = draw_work(self.config, self.choice, self.requesters, self.tasks, worker, task, rng)
        if work.end == "abandoned":
            # The worker walks away; the marketplace notices when the time is over.
            self._after(self.tasks.time_limit[task] * MINUTE, self._abandon, worker, task, feed_id)
        else:
            ending = self._submit if work.end == "submitted" else self._give_back
            self._after(work.seconds * SECOND, ending, session, task, feed_id, work)
            self._busy(worker, self._now + int(work.seconds * SECOND) + 5 * SECOND)

    def _abandon(self, worker: int, task: int, feed_id: str | None) -> None:
        self.market.give_back(worker, task, again=False)
        self._log(AssignmentAbandoned, **self._deal(worker, task, feed_id))

    def _give_back(self, session: Session, task: int, feed_id: str | None, _: Work) -> None:
        self.market.give_back(session.worker, task, again=True)
        self._log(AssignmentReturned, **self._deal(session.worker, task, feed_id))
        self._after(5 * SECOND, self._go_on, session)

    def _submit(self, session: Session, task: int, feed_id: str | None, work: Work) -> None:
        worker = session.worker
        self.memory.done[worker, self.tasks.kind[task]] += 1
        self._log(AssignmentSubmitted, **self._deal(worker, task, feed_id), work_seconds=round(work.seconds, 1))
        self._after(work.verdict_after * SECOND, self._judge, worker, task, work)
        self._after(5 * SECOND, self._go_on, session)

    def _judge(self, worker: int, task: int, work: Work) -> None:
        requester = int(self.tasks.requester[task])
        self.memory.trust[worker, requester] += 0.25 if work.approved else -1.0
        if work.approved:
            self.market.approved[worker] += 1
            self._log(AssignmentApproved, **self._deal(worker, task), bonus=work.bonus)
        else:
            self.market.rejected[worker] += 1
            self._log(AssignmentRejected, **self._deal(worker, task), reason=work.reason)
        about = {**self._deal(worker, task), "requester_id": self.requesters.ids[requester]}
        if work.worker_rating:
            self._log(WorkerRated, **about, rating=float(work.worker_rating))
        if work.requester_rating:
            self._after(work.rated_after * SECOND, self._rate, {**about, "rating": float(work.requester_rating)})

    def _rate(self, rating: dict[str, Any]) -> None:
        self._log(RequesterRated, **rating)
