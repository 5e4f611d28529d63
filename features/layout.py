"""The shape of the market's state: flat record arrays, so that one compiled fold can write and many readers can read.

Times are microseconds since 1970 unless a name says otherwise; money is in the base currency; missing is NaN. A field
that ends in ``_slow`` or ``_fast`` is a decayed sum, true at the record's own ``at``; it is brought to the present when
it is read, never by reading. What tokens, requesters and the market sum up has 64 bits: a float32 does not count beyond
2^24, and loses parts of one long before.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TOKENS = 16
"""Content tokens kept for a task: its heaviest ones. On a real log 12 to 16 rank as well as all of them."""

SKILLS = 16
"""Skills of a task that count for coverage."""

LANGUAGES = 4
"""Languages of a task, and of a worker, that count."""

HOUR_BINS = 8
"""Bins of three hours in which the daily rhythm of a worker is counted."""

HALVES = 2
"""Parts into which tasks fall by the hash of their id. How far pay draws workers is measured in each by itself and
applied to the other, so that a task's own reward never enters what its reward is multiplied with."""

CHANGES = 1 << 17
"""Latest changes of the open-task index that are told one by one."""

REFERENCE = 64
"""Open tasks that list-relative features refer to at the most."""

SKETCH_SKILLS, SKETCH_WORDS = 32, 16
"""Numbers into which the skills, and all other tokens, of a task or of what a worker took are folded."""

SKETCH = SKETCH_SKILLS + SKETCH_WORDS

NEVER = np.iinfo(np.int64).min
"""The instant of what has not happened."""

FOREVER = np.iinfo(np.int64).max
"""The instant of what will not happen."""

UNLIMITED = -1
"""The number of slots of a task that never fills."""

Record = Any
"""A record of one of the arrays below, as a kernel sees it: fields are attributes."""

FACTS = np.dtype(
    [
        ("requester", "i4"),
        ("category", "i4"),
        ("signature", "i4"),
        ("offer", "i4"),
        ("text", "i4"),
        ("category_token", "i4"),
        ("requester_token", "i4"),
        ("group_token", "i4"),
        ("slots", "i4"),
        ("per_worker_limit", "i4"),
        ("reward", "f8"),
        ("stated_minutes", "f4"),
        ("limit_minutes", "f4"),
        ("expires", "i8"),
        ("order", "u4"),
        ("languages", "i4", (LANGUAGES,)),
        ("n_skills", "i4"),
        ("skills", "i4", (SKILLS,)),
    ],
    align=True,
)
"""What a requester says of a task. ``order`` is a hash of the id: by it, a sample of the open tasks is drawn. ``offer``
numbers what it shares with others; see ``OFFER``."""

TASK = np.dtype(
    [
        ("facts", FACTS),
        ("posted", "i8"),
        ("closed", "u1"),
        ("round", "u1"),
        ("open_at", "i4"),
        ("nameless", "i4"),
        ("available", "i4"),
        ("n_tokens", "i4"),
        ("tokens", "i4", (TOKENS,)),
        ("kinds", "u1", (TOKENS,)),
        ("weights", "f4", (TOKENS,)),
        ("occupied", "i4"),
        ("accepted", "i4"),
        ("submitted", "i4"),
        ("approved", "i4"),
        ("rejected", "i4"),
        ("given_up", "i4"),
        ("viewed", "i4"),
        ("served", "i4"),
        ("at", "i8"),
        ("served_fast", "f4"),
        ("minutes", "f4"),
        ("minutes_count", "f4"),
        ("log_reward", "f4"),
    ],
    align=True,
)
"""A task: its facts, its content tokens with weights of unit length, and what happened to it. ``open_at`` is its place
in the open-task index, -1 when it is not there; ``minutes`` the sum of log minutes of work. ``round`` counts how often
it began anew with all its slots, and starts again at ``ROUNDS``. ``nameless`` is the last worker who was erased while
an assignment was under way or work without a verdict, 0 for none; see ``DEALING``."""

ROUNDS = 256
"""Rounds of a task that can be told apart."""

WORKER = np.dtype(
    [
        ("first_seen", "i8"),
        ("profile", "i4"),
        ("barred", "i4"),
        ("forgotten", "i4"),
        ("n_skills", "i4"),
        ("languages", "i4", (LANGUAGES,)),
        ("country", "i4"),
        ("expected_hourly", "f8"),
        ("min_reward", "f8"),
        ("session_minutes", "f4"),
        ("accepted", "f4"),
        ("submitted", "f4"),
        ("approved", "f4"),
        ("rejected", "f4"),
        ("given_up", "f4"),
        ("rating", "f4"),
        ("ratings", "f4"),
        ("speed", "f4"),
        ("speed_count", "f4"),
        ("last_accept", "i8"),
        ("at", "i8"),
        ("accepted_slow", "f4"),
        ("accepted_fast", "f4"),
        ("served_fast", "f4"),
        ("paid_slow", "f8"),
        ("reward_slow", "f8"),
        ("timed_slow", "f8"),
        ("hourly_slow", "f8"),
        ("compared_slow", "f4", (HALVES,)),
        ("pull_slow", "f4", (HALVES,)),
        ("hours_slow", "f4", (HOUR_BINS,)),
        ("sketch_slow", "f4", (SKETCH,)),
        ("declared", "u4"),
    ],
    align=True,
)
"""A worker. ``profile`` numbers the declared profile in force: a declared skill of another number no longer counts.
``barred`` is the last task that the worker took or hid for the first time, 0 for none; see ``DEALING``.
``forgotten`` is how many workers there were when this one was erased, 0 for one who was not. Of what was taken,
``reward_slow / paid_slow`` is the mean log reward, ``hourly_slow / timed_slow`` the mean log of stated pay per hour,
``pull_slow / compared_slow`` the mean standard score of the log reward among the tasks of the same half that could have
been taken instead, ``sketch_slow`` the sum of sketches (`features.prospects`). ``declared`` are the declared skills, a
bit for each number that skills are folded into. ``speed`` is the sum of log(minutes taken / minutes usual)."""

TOKEN = np.dtype(
    [
        ("at", "i8"),
        ("documents", "i4"),
        ("available", "f8"),
        ("expected_slow", "f8"),
        ("expected_fast", "f8"),
        ("expected_newcomer", "f8"),
        ("chances_slow", "f8"),
        ("chances_fast", "f8"),
        ("chances_newcomer", "f8"),
        ("taken_slow", "f8"),
        ("taken_fast", "f8"),
        ("taken_newcomer", "f8"),
        ("paid_slow", "f8"),
        ("reward_slow", "f8"),
        ("minutes", "f8"),
        ("minutes_count", "f8"),
        ("approved", "f8"),
        ("rejected", "f8"),
    ],
    align=True,
)
"""The market's experience with a token. ``documents`` counts the postings with it; ``taken`` is the sum of its weights
in the tasks taken (by newcomers), ``expected`` what that sum would be had each taker picked at random among the tasks
with a slot left, ``available`` the sum of its weights in these; ``chances`` is the market's at ``at``."""

REQUESTER = np.dtype(
    [
        ("posted", "f8"),
        ("accepted", "f8"),
        ("submitted", "f8"),
        ("approved", "f8"),
        ("rejected", "f8"),
        ("given_up", "f8"),
        ("rating", "f8"),
        ("ratings", "f8"),
        ("approval_hours", "f8"),
        ("approvals_timed", "f8"),
    ],
    align=True,
)
"""A requester, as workers have found them; ``approval_hours`` is the sum of log hours from submission to approval."""

MARKET = np.dtype(
    [
        ("clock", "i8"),
        ("seq", "i8"),
        ("n_open", "i4"),
        ("n_reference", "i4"),
        ("n_expiring", "i4"),
        ("n_changes", "i8"),
        ("n_dealings", "i8"),
        ("at", "i8"),
        ("documents", "f8"),
        ("n_available", "i4"),
        ("chances_slow", "f8"),
        ("chances_fast", "f8"),
        ("chances_newcomer", "f8"),
        ("taken_slow", "f8"),
        ("taken_fast", "f8"),
        ("taken_newcomer", "f8"),
        ("compared_slow", "f8", (HALVES,)),
        ("compared_fast", "f8", (HALVES,)),
        ("pull_slow", "f8", (HALVES,)),
        ("pull_fast", "f8", (HALVES,)),
        ("rewards_known", "i4"),
        ("reward_mean", "f8", (HALVES,)),
        ("reward_deviation", "f8", (HALVES,)),
        ("minutes", "f8"),
        ("minutes_count", "f8"),
        ("approved", "f8"),
        ("rejected", "f8"),
        ("given_up", "f8"),
        ("accepted", "f8"),
        ("served", "f8"),
    ],
    align=True,
)
"""The market as a whole, in an array of one record. ``chances`` is the sum over acceptances of one over the number of
tasks with a slot left: what each of these tasks would have had at random. ``pull`` and ``compared`` are as a worker's.
``reward_mean`` and ``reward_deviation`` are of the log rewards of the reference tasks of each half, NaN where these do
not differ; they hold while ``rewards_known``, and are computed when they are asked for.
``clock`` is ``known_at`` of the last event, ``seq`` its number; ``n_changes`` counts what was ever written into
``changes``."""

TASTE = np.dtype(
    [
        ("at", "i4"),
        ("took_slow", "f4"),
        ("took_fast", "f4"),
        ("approved", "f4"),
        ("rejected", "f4"),
        ("level", "f4"),
    ],
    align=True,
)
"""A worker and a token. ``at`` is in seconds; ``level`` is what the profile in force declares, 0 where it does not."""

HISTORY = np.dtype(
    [
        ("start", "i8"),
        ("places", "i4"),
        ("used", "i4"),
        ("asked", "i4"),
    ],
    align=True,
)
"""Where the tastes of a worker lie: in so many ``places`` from ``start`` on, of which ``used`` hold one; see
`features.tastes`. ``asked`` is 0 but while room is made for a batch."""

DEALING = np.dtype(
    [
        ("served_at", "i4"),
        ("submitted_at", "i4"),
        ("served", "u2"),
        ("accepted", "u2"),
        ("submitted", "u2"),
        ("settled", "u2"),
        ("returned", "u2"),
        ("abandoned", "u2"),
        ("accepted_untold", "u1"),
        ("submitted_untold", "u1"),
        ("round", "u1"),
        ("marks", "u1"),
        ("barred_before", "i4"),
    ],
    align=True,
)
"""A worker and a task; the two instants are in seconds. Counts are of assignments and end at ``MOST_DEALT``, beyond
which earlier assignments are forgotten; ``accepted_untold`` and ``submitted_untold`` are of those that later stages
implied and no event has told yet. ``round`` is that of the task when an assignment last began or moved on. ``marks``
are the bits below. ``barred_before`` chains the barred tasks of a worker: the one before this, 0 at the end. Where the
worker was erased, it chains those whom a task knows as ``nameless``."""

MOST_DEALT = np.iinfo(np.uint16).max
"""The highest count in a dealing."""

WAS_VIEWED, WAS_SAVED, WAS_BARRED, WAS_APPROVED, WAS_REJECTED, WAS_HIDDEN = 1, 2, 4, 8, 16, 32
"""Marks of a dealing: the worker viewed or saved the task; took or hid it, which bars it; the last verdict; and that
the worker hid it."""

ONE_FROM_EARLIER, FROM_EARLIER = 64, 192
"""Among the marks, up to 3 assignments under way that are of earlier rounds: they have none of the present slots."""

WAS_JUDGED = WAS_APPROVED | WAS_REJECTED

OFFER = np.dtype(
    [
        ("signature", "i4"),
        ("requester", "i4"),
        ("category", "i4"),
    ],
    align=True,
)
"""What tasks share of what decides who may take them. There are far fewer offers than tasks, so for a worker offers are
judged, not tasks."""


CHAIN = np.dtype(
    [
        ("paying", "f8"),
        ("reward", "f8"),
        ("minutes", "f4"),
        ("first", "i4"),
    ],
    align=True,
)
"""The open tasks of an offer that are not full: ``first`` is 1 more than the place of one in the open-task index, 0 for
none, and ``minutes`` what one of them states, or one that left. None has more pay per minute than ``paying`` nor,
without stated minutes, more pay than ``reward``; both may be too high until all tasks have left."""

LINK = np.dtype(
    [
        ("reward", "f8"),
        ("minutes", "f4"),
        ("next", "i4"),
        ("before", "i4"),
    ],
    align=True,
)
"""A task in its chain: ``next`` and ``before`` are each 1 more than a place in the open-task index, 0 for none. Its
reward and stated minutes stand here, too, as whoever follows a chain looks at both."""


class Arrays(NamedTuple):
    """The whole state, as the kernels take it. Each array is of the record type of its name, but the plain ones.

    The open-task index is in columns, since a reader needs few of them: ``open_tasks``, and in the same places
    ``open_offers``, twice the offer of a task and 1 more when it is full, rewards, links of chains, texts, instants of
    expiry, and in ``open_changed`` the number of the event by which a task changed or came to its place, and in
    ``open_orders`` its order. ``offered`` counts the open tasks by what stands in ``open_offers``. ``changes`` is a
    ring of ``CHANGES``: the places where a task changed or came to, in the order of events.

    ``taste_tokens`` and ``tastes`` are one run of places, the blocks of workers; blocks end where ``taste_end``, of one
    number, says.
    """

    market: NDArray[np.void]
    workers: NDArray[np.void]
    tasks: NDArray[np.void]
    requesters: NDArray[np.void]
    tokens: NDArray[np.void]
    histories: NDArray[np.void]
    taste_end: NDArray[np.int64]
    taste_tokens: NDArray[np.int32]
    tastes: NDArray[np.void]
    dealing_keys: NDArray[np.uint64]
    dealings: NDArray[np.void]
    offers: NDArray[np.void]
    offered: NDArray[np.int32]
    chains: NDArray[np.void]
    open_tasks: NDArray[np.int32]
    open_offers: NDArray[np.int32]
    open_rewards: NDArray[np.float64]
    open_links: NDArray[np.void]
    open_texts: NDArray[np.int32]
    open_expires: NDArray[np.int64]
    open_changed: NDArray[np.int64]
    open_orders: NDArray[np.uint32]
    changes: NDArray[np.int32]
    reference: NDArray[np.int32]
    expiring: NDArray[np.int64]
    expiring_tasks: NDArray[np.int32]


BLANK: dict[np.dtype[np.void], dict[str, float]] = {
    FACTS: {
        "reward": np.nan,
        "stated_minutes": np.nan,
        "limit_minutes": np.nan,
        "expires": FOREVER,
        "slots": UNLIMITED,
    },
    TASK: {"posted": NEVER, "open_at": -1, "at": NEVER},
    WORKER: {
        "first_seen": NEVER,
        "last_accept": NEVER,
        "at": NEVER,
        "expected_hourly": np.nan,
        "min_reward": np.nan,
        "session_minutes": np.nan,
    },
    OFFER: {},
    CHAIN: {},
    LINK: {},
    TOKEN: {"at": NEVER},
    REQUESTER: {},
    HISTORY: {},
    MARKET: {"clock": NEVER, "at": NEVER},
}
"""Values of a blank record where they are not zero."""


def blank(dtype: np.dtype[np.void], rows: int) -> NDArray[np.void]:
    """Return ``rows`` records of what nothing is known of."""
    array = np.zeros(rows, dtype)
    for field, value in BLANK[dtype].items():
        array[field] = value
    if dtype is TASK:
        for field, value in BLANK[FACTS].items():
            array["facts"][field] = value
    return array
