"""From events to a batch of columns: ids become dense, money becomes the base currency, text becomes tokens."""

from array import array
from collections.abc import Callable, Collection, Iterable
from itertools import compress
from math import nan
from struct import Struct
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.utils import murmurhash3_32

from features import batch as kinds
from features import events as ev
from features.batch import EVENT, PROFILES, Batch
from features.catalogue import Catalogue
from features.collector import collector_paused
from features.errors import CocokError
from features.estimates import LEAST_MINUTES
from features.kept import also_kept
from features.layout import FACTS, FOREVER, LANGUAGES, UNLIMITED
from features.money import Money, Rates
from features.text import token
from features.wording import SAME_WORDING, Wording, language_label, padded, wording_of

SAMPLED = "sampled"
"""The policy of a list that was reconstructed for training and never shown: it changes no state."""

_PRICED: dict[type, tuple[str, ...]] = also_kept(
    {ev.WorkerUpdated: ("expected_hourly", "min_reward"), ev.TaskPosted: ("reward",), ev.TaskUpdated: ("reward",)}
)
"""Amounts of money that are converted."""

_DEEDS: dict[type, int] = also_kept(
    {
        ev.TaskViewed: kinds.VIEWED,
        ev.TaskSaved: kinds.SAVED,
        ev.TaskHidden: kinds.HIDDEN,
        ev.AssignmentAccepted: kinds.ACCEPTED,
        ev.AssignmentReturned: kinds.RETURNED,
        ev.AssignmentAbandoned: kinds.ABANDONED,
        ev.AssignmentSubmitted: kinds.SUBMITTED,
        ev.AssignmentApproved: kinds.APPROVED,
        ev.AssignmentRejected: kinds.REJECTED,
    }
)
"""What a worker does with a task, or is told of it: nearly all events."""

Row = tuple[int, int, int, int, float, int, int, int]
"""kind, worker, task, requester, value, detail, start, stop of an event."""


class Encoder:
    """Turns stored events into batches, giving dense indices to ids as they appear."""

    def __init__(self, catalogue: Catalogue, rates: Rates) -> None:
        self._catalogue = catalogue
        self._rates = rates
        encoders: dict[type, Callable[[Any], Row]] = {
            ev.WorkerUpdated: self._profile,
            ev.WorkerErased: self._erased,
            ev.TaskPosted: self._posted,
            ev.TaskUpdated: self._updated,
            ev.TaskClosed: self._closed,
            ev.FeedServed: self._served,
            ev.FeedShown: lambda _: _nothing(),
            ev.RequesterRated: self._requester_rated,
            ev.WorkerRated: self._worker_rated,
        }
        self._encoders = also_kept(encoders)
        self._numbers: dict[Wording, tuple[int, int, bytes]] = {}
        self._clear()

    def __reduce__(self) -> tuple[type["Encoder"], tuple[Catalogue, Rates]]:
        # A copy must give indices from its own catalogue; the functions above would keep the old one.
        return Encoder, (self._catalogue, self._rates)

    def _clear(self) -> None:
        self._item_tasks: list[int] = []
        self._facts: list[bytes] = []
        self._wordings: list[Wording] = []
        self._n_tokens = 0
        self._profiles: list[bytes] = []
        self._skill_rows = array("i")
        self._skill_levels = array("f")

    def encode(self, stored: Iterable[tuple[int, int, ev.Event]]) -> Batch:
        """Encode events given as (sequence number, ``known_at`` in microseconds, event).

        Raises:
            CocokError: an amount is in a currency without a rate; the catalogue is as it was.
        """
        stored = list(stored)
        given = [event for _, _, event in stored]
        # Asked before the catalogue changes, so that a batch that is refused leaves no trace.
        for event in compress(given, map(_PRICED.__contains__, map(type, given))):
            for field in _PRICED[type(event)]:
                money = getattr(event, field)
                # Neither None nor UNSET is true.
                if money and money.currency not in self._rates:
                    raise CocokError(self._rates.missing(money.currency))
        with collector_paused():
            return self._batch(stored)

    def _batch(self, stored: list[tuple[int, int, ev.Event]]) -> Batch:
        self._clear()
        pack, pack_deed, encoders, deeds, rows = _EVENT.pack, _DEED.pack, self._encoders, _DEEDS, []
        workers, tasks = self._catalogue.workers.indices, self._catalogue.tasks.indices
        for seq, known_at, event in stored:
            kind = deeds.get(type(event))
            if kind is None:
                rows.append(pack(seq, known_at, *encoders[type(event)](event)))
            else:
                # In place, for these are most of the log.
                deed: Any = event
                value = _work_minutes(deed) if kind == kinds.SUBMITTED else nan
                rows.append(pack_deed(seq, known_at, kind, workers[deed.worker_id], tasks[deed.task_id], value))
        return Batch(
            events=_records(rows, EVENT),
            item_tasks=np.array(self._item_tasks, np.int32),
            facts=_records(self._facts, FACTS),
            token_rows=_records([wording.rows for wording in self._wordings], np.int32),
            token_kinds=_records([wording.kinds for wording in self._wordings], np.uint8),
            token_weights=_records([wording.weights for wording in self._wordings], np.float32),
            profiles=_records(self._profiles, PROFILES),
            skill_rows=np.array(self._skill_rows, np.int32),
            skill_levels=np.array(self._skill_levels, np.float32),
        )

    def _requester_rated(self, event: ev.RequesterRated) -> Row:
        worker, requester = (
            self._catalogue.workers.add(event.worker_id),
            self._catalogue.requesters.add(event.requester_id),
        )
        return kinds.REQUESTER_RATED, worker, 0, requester, float(event.rating), 0, 0, 0

    def _worker_rated(self, event: ev.WorkerRated) -> Row:
        worker, requester = (
            self._catalogue.workers.add(event.worker_id),
            self._catalogue.requesters.add(event.requester_id),
        )
        return kinds.WORKER_RATED, worker, 0, requester, float(event.rating), 0, 0, 0

    def _erased(self, event: ev.WorkerErased) -> Row:
        # The row of the erased worker stays behind without a name; the id, should it come back, starts anew.
        worker, workers = self._catalogue.erase_worker(event.worker_id), len(self._catalogue.workers)
        return (kinds.ERASED, worker, 0, 0, nan, workers, 0, 0) if worker else _nothing()

    def _closed(self, event: ev.TaskClosed) -> Row:
        return kinds.CLOSED, 0, self._catalogue.tasks.add(event.task_id), 0, nan, 0, 0, 0

    def _served(self, event: ev.FeedServed) -> Row:
        if event.policy == SAMPLED:
            return _nothing()
        start = len(self._item_tasks)
        tasks = self._catalogue.tasks.indices
        self._item_tasks += [tasks[item.task_id] for item in event.items]
        worker = self._catalogue.workers.add(event.worker_id)
        return kinds.SERVED, worker, 0, 0, nan, 0, start, len(self._item_tasks)

    def _profile(self, event: ev.WorkerUpdated) -> Row:
        worker = self._catalogue.workers.add(event.worker_id)
        self._catalogue.profiles[worker] = event
        label = self._catalogue.labels.add
        start = len(self._skill_rows)
        levels = event.skills or ()
        if not isinstance(levels, dict):
            # A skill without a level is held in full.
            levels = dict.fromkeys(levels, 1.0)
        self._skill_rows.extend([token("skill", name) for name in levels])
        self._skill_levels.extend(levels.values())
        languages = [label(name) for name in dict.fromkeys(map(language_label, event.languages or ()))]
        self._profiles.append(
            _PROFILE.pack(
                *padded(languages, LANGUAGES),
                label(f"country:{event.country}") if event.country else 0,
                self._money(event.expected_hourly),
                self._money(event.min_reward),
                _minutes(event.session_minutes),
            )
        )
        return kinds.PROFILE, worker, 0, 0, nan, len(self._profiles) - 1, start, len(self._skill_rows)

    def _posted(self, event: ev.TaskPosted) -> Row:
        return self._task(kinds.POSTED, event)

    def _updated(self, event: ev.TaskUpdated) -> Row:
        task = self._catalogue.tasks.add(event.task_id)
        posting = self._catalogue.postings.get(task)
        if posting is None:
            return _nothing()
        return self._task(kinds.UPDATED, msgspec.structs.replace(posting, **_changes(event)))

    def _task(self, kind: int, posting: ev.TaskPosted) -> Row:
        catalogue = self._catalogue
        task = catalogue.tasks.add(posting.task_id)
        catalogue.postings[task] = posting
        wording = wording_of(
            posting.title,
            posting.description,
            posting.keywords,
            posting.skills,
            posting.category,
            posting.languages,
        )
        text, category, languages = self._numbers.get(wording) or self._numbered(wording)
        self._wordings.append(wording)
        start = self._n_tokens
        self._n_tokens += wording.tokens
        signature, requester = catalogue.signature_of(posting), catalogue.requesters.add(posting.requester_id)
        self._facts.append(
            _FACTS.pack(
                requester,
                category,
                signature,
                catalogue.offer_of(signature, requester, category),
                text,
                wording.category_token,
                token("requester", posting.requester_id),
                token("group", posting.group_id) if posting.group_id else -1,
                UNLIMITED if posting.slots is None else posting.slots,
                posting.per_worker_limit,
                self._money(posting.reward),
                _minutes(posting.estimated_minutes),
                _minutes(posting.time_limit_minutes),
                FOREVER if posting.expires_at is None else ev.micros(posting.expires_at),
                murmurhash3_32(posting.task_id, positive=True),
                languages,
                wording.n_skills,
                wording.skills,
            )
        )
        return kind, 0, task, 0, nan, len(self._facts) - 1, start, self._n_tokens

    def _numbered(self, wording: Wording) -> tuple[int, int, bytes]:
        """Return text and category of a wording, and its languages (int32, as bytes), by their numbers."""
        label = self._catalogue.labels.add
        languages = padded([label(name) for name in wording.languages], LANGUAGES)
        category = label(wording.category) if wording.category else 0
        if len(self._numbers) >= SAME_WORDING:
            self._numbers.clear()
        numbers = self._catalogue.texts.add(wording.text), category, np.array(languages, np.int32).tobytes()
        self._numbers[wording] = numbers
        return numbers

    def _money(self, money: Money | None) -> float:
        return nan if money is None else self._rates.convert(money)


def packer(dtype: np.dtype[np.void], *, ready: Collection[str] = (), blank: Collection[str] = ()) -> Struct:
    """Return what packs the values of a record, its arrays spread out: several times as fast as NumPy does it.

    Args:
        dtype: of the record.
        ready: fields that come as bytes.
        blank: fields that do not come, and are 0.
    """
    codes = []
    for name in dtype.names or ():
        field = dtype[name]
        if name in ready or name in blank:
            codes.append(f"{field.itemsize}{'s' if name in ready else 'x'}")
        else:
            codes.append(f"{np.prod(field.shape, dtype=int)}{field.base.char}")
    made = Struct("".join(codes))
    return Struct(f"{made.format}{dtype.itemsize - made.size}x")


_EVENT, _DEED = packer(EVENT), packer(EVENT, blank={"requester", "detail", "start", "stop"})
_FACTS, _PROFILE = packer(FACTS, ready={"languages", "skills"}), packer(PROFILES)


def _records(packed: list[bytes], dtype: np.dtype[np.void] | type[np.generic]) -> NDArray[Any]:
    # A copy that may be written, for kernels compile anew for arrays that may not.
    return np.frombuffer(bytearray().join(packed), dtype)


def _nothing() -> Row:
    return kinds.NOTHING, 0, 0, 0, nan, 0, 0, 0


def _work_minutes(event: ev.AssignmentSubmitted) -> float:
    # 0 seconds means the time was not measured.
    return max(event.work_seconds / 60, LEAST_MINUTES) if event.work_seconds else nan


def _minutes(value: float | None) -> float:
    return nan if value is None else max(value, LEAST_MINUTES)


def _changes(event: ev.TaskUpdated) -> dict[str, Any]:
    names = (field for field in event.__struct_fields__ if field not in ("event_id", "at", "task_id"))
    return {name: value for name in names if (value := getattr(event, name)) is not msgspec.UNSET}
