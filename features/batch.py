"""A batch of events as columns, ready for the fold: external ids replaced by dense ones, money by base currency."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features import events as ev
from features.layout import LANGUAGES

(
    NOTHING,
    PROFILE,
    POSTED,
    UPDATED,
    CLOSED,
    ERASED,
    SERVED,
    VIEWED,
    SAVED,
    HIDDEN,
    ACCEPTED,
    RETURNED,
    ABANDONED,
    SUBMITTED,
    APPROVED,
    REJECTED,
    REQUESTER_RATED,
    WORKER_RATED,
) = range(18)
"""What an event does to the state. ``NOTHING`` moves the clock alone."""

DEEDS: dict[type[ev.Event], int] = {
    ev.TaskViewed: VIEWED,
    ev.TaskSaved: SAVED,
    ev.TaskHidden: HIDDEN,
    ev.AssignmentAccepted: ACCEPTED,
    ev.AssignmentReturned: RETURNED,
    ev.AssignmentAbandoned: ABANDONED,
    ev.AssignmentSubmitted: SUBMITTED,
    ev.AssignmentApproved: APPROVED,
    ev.AssignmentRejected: REJECTED,
}
"""What a worker does with a task, or is told of it: nearly all events."""

EVENT = np.dtype(
    [
        ("seq", "i8"),
        ("known_at", "i8"),
        ("kind", "i4"),
        ("worker", "i4"),
        ("task", "i4"),
        ("requester", "i4"),
        ("value", "f8"),
        ("detail", "i4"),
        ("start", "i4"),
        ("stop", "i4"),
    ],
    align=True,
)
"""``detail`` is the record of ``facts`` or ``profiles``; ``start:stop`` are the items of a list, the tokens of a task
or the skills of a profile; ``value`` is minutes of work or a rating, NaN when there is none."""

PROFILES = np.dtype(
    [
        ("languages", "i4", (LANGUAGES,)),
        ("country", "i4"),
        ("expected_hourly", "f8"),
        ("min_reward", "f8"),
        ("session_minutes", "f4"),
    ],
    align=True,
)
"""What a worker declares, but for the skills."""


class Batch(NamedTuple):
    """Events in order, and what they point to.

    ``facts`` has a record for each task posted or updated, ``profiles`` one for each profile. ``item_tasks`` are the
    lists that were served; ``token_*`` the content of tasks; ``skill_*`` declared skills.
    """

    events: NDArray[np.void]
    item_tasks: NDArray[np.int32]
    facts: NDArray[np.void]
    token_rows: NDArray[np.int32]
    token_kinds: NDArray[np.uint8]
    token_weights: NDArray[np.float32]
    profiles: NDArray[np.void]
    skill_rows: NDArray[np.int32]
    skill_levels: NDArray[np.float32]
