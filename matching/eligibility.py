"""Who may take what. A filter drops nothing silently: it says of every task whether it is kept, or why not."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Signature, primary_language
from features.events import WorkerUpdated
from features.jit import kernel
from features.layout import NEVER, Arrays
from features.open_tasks import is_full
from features.pairs import find, pair_key
from features.state import MarketState
from features.text import normalise, words

CODES = (
    "unknown_task",
    "closed",
    "expired",
    "full",
    "already_taken",
    "hidden",
    "language",
    "country",
    "device",
    "min_reward",
    "blocked_requester",
    "blocked_category",
    "blocked_keyword",
    "excluded",
    "category",
)
"""Reasons for removal; bit ``i`` of a task's reasons stands for code ``i``."""

_BIT = {code: np.uint32(1 << place) for place, code in enumerate(CODES)}
_UNKNOWN, _CLOSED, _EXPIRED = int(_BIT["unknown_task"]), int(_BIT["closed"]), int(_BIT["expired"])
_FULL, _TAKEN, _HIDDEN = int(_BIT["full"]), int(_BIT["already_taken"]), int(_BIT["hidden"])
_MIN_REWARD, _DEVICE = int(_BIT["min_reward"]), int(_BIT["device"])
_LANGUAGE, _COUNTRY = int(_BIT["language"]), int(_BIT["country"])


@dataclass(frozen=True)
class Wishes:
    """What a worker asks for this time, beyond the profile.

    Attributes:
        device: the device in hand; None for those of the profile.
        min_reward: least reward, in the base currency; NaN for that of the profile.
        categories: only these; empty for all.
        excluded: not these tasks, by external id.
    """

    device: str | None = None
    min_reward: float = float("nan")
    categories: frozenset[str] = frozenset()
    excluded: frozenset[str] = field(default_factory=frozenset)


def reasons_against(
    state: MarketState, worker: int, tasks: NDArray[np.int32], now: int, wishes: Wishes | None = None
) -> NDArray[np.uint32]:
    """Return why each task may not be offered to a worker now, as bits of ``CODES``; 0 for a task that may.

    A worker whose profile was never given is not judged by language, country or device: nothing is known. In a profile
    that was given, what is absent does not match.

    Args:
        state: the market; its clock is not after ``now``.
        worker: dense index, 0 for a worker never seen.
        tasks: int32, dense indices, 0 for a task never seen.
        now: microseconds since 1970.
        wishes: what is asked for this time.
    """
    wishes = wishes or Wishes()
    catalogue = state.catalogue
    found = np.zeros(len(tasks), np.uint32)
    minimum = wishes.min_reward
    if np.isnan(minimum):
        minimum = state.arrays.workers[worker]["min_reward"]
    _from_state(state.arrays, worker, tasks, now, minimum, found)
    posted = found != _UNKNOWN
    # A field is taken before the tasks are: the other way round, whole records are copied.
    facts = state.arrays.tasks["facts"]
    profile = catalogue.profiles.get(worker)
    if len(catalogue.signatures):
        signatures = facts["signature"][tasks]
        by_signature = np.zeros(len(catalogue.signatures), np.uint32)
        present = np.flatnonzero(np.bincount(signatures))
        by_signature[present] = _against_signatures([catalogue.signatures[index] for index in present], profile, wishes)
        found |= np.where(posted, by_signature[signatures], np.uint32(0))
    if wishes.categories:
        wanted, categories = _labels(state, "category", wishes.categories), facts["category"][tasks]
        # A name never seen has index 0, and so has a task without a category: neither is the other's.
        found[posted & ((categories == 0) | ~np.isin(categories, wanted))] |= _BIT["category"]
    if wishes.excluded:
        excluded = [catalogue.tasks.get(external) for external in wishes.excluded]
        found[posted & np.isin(tasks, excluded)] |= _BIT["excluded"]
    if profile is not None:
        _block(state, profile, tasks, posted, found)
    return found


def codes_of(bits: int) -> list[str]:
    """Return the reasons behind bits, in the order of ``CODES``."""
    return [code for place, code in enumerate(CODES) if bits >> place & 1]


@kernel
def _from_state(
    s: Arrays, worker: int, tasks: NDArray[np.int32], now: int, min_reward: float, out: NDArray[np.uint32]
) -> None:
    for i in range(tasks.size):
        task = s.tasks[tasks[i]]
        bits = 0
        if task.posted == NEVER:
            out[i] = _UNKNOWN
            continue
        if task.closed != 0:
            bits |= _CLOSED
        elif task.facts.expires <= now:
            bits |= _EXPIRED
        if is_full(task):
            bits |= _FULL
        # Without a reward nothing says that the minimum is reached.
        if min_reward > 0.0 and not task.facts.reward >= min_reward:
            bits |= _MIN_REWARD
        place = find(s.dealing_keys, pair_key(worker, tasks[i]))
        if place >= 0:
            dealing = s.dealings[place]
            taken = np.int64(dealing.accepted) - dealing.returned
            if dealing.abandoned > 0 or taken >= task.facts.per_worker_limit:
                bits |= _TAKEN
            if dealing.hidden:
                bits |= _HIDDEN
        out[i] = bits


def _against_signatures(signatures: list[Signature], profile: WorkerUpdated | None, wishes: Wishes) -> list[int]:
    given = (wishes.device,) if wishes.device else profile.devices if profile else None
    devices = frozenset(device.casefold() for device in given or ())
    found = [
        _DEVICE if signature.devices and (given or profile) and devices.isdisjoint(signature.devices) else 0
        for signature in signatures
    ]
    if profile is None:
        return found
    languages = frozenset(primary_language(tag) for tag in profile.languages or ())
    country = (profile.country or "").upper()
    for place, signature in enumerate(signatures):
        if signature.languages and languages.isdisjoint(signature.languages):
            found[place] |= _LANGUAGE
        if signature.countries and country not in signature.countries:
            found[place] |= _COUNTRY
    return found


def _block(
    state: MarketState,
    profile: WorkerUpdated,
    tasks: NDArray[np.int32],
    posted: NDArray[np.bool_],
    found: NDArray[np.uint32],
) -> None:
    facts = state.arrays.tasks["facts"]
    if profile.blocked_requesters:
        blocked = [state.catalogue.requesters.get(external) for external in profile.blocked_requesters]
        found[posted & np.isin(facts["requester"][tasks], blocked)] |= _BIT["blocked_requester"]
    if profile.blocked_categories:
        blocked = _labels(state, "category", profile.blocked_categories)
        categories = facts["category"][tasks]
        found[posted & (categories != 0) & np.isin(categories, blocked)] |= _BIT["blocked_category"]
    if profile.blocked_keywords:
        # Whole words: "art" must not block a party. A keyword without a word would be found in every text.
        blocked_words = [phrase for keyword in profile.blocked_keywords if (phrase := _phrase(keyword)).strip()]
        for place, task in enumerate(tasks):
            posting = state.catalogue.postings.get(int(task))
            if posting is not None:
                text = _phrase(" ".join([posting.title or "", posting.description or "", *(posting.keywords or ())]))
                if any(word in text for word in blocked_words):
                    found[place] |= _BIT["blocked_keyword"]


def _phrase(text: str) -> str:
    """Return the words of a text, each with a blank before and after, so that a phrase is found as a substring."""
    return f" {' '.join(words(text))} "


def _labels(state: MarketState, kind: str, names: frozenset[str] | tuple[str, ...]) -> list[int]:
    return [state.catalogue.labels.get(f"{kind}:{normalise(name)}") for name in names]
