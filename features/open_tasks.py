"""The open-task index: which tasks are open now, and a fixed sample of those with a slot left.

The sample is what list-relative features refer to: all tasks with a slot left while there are at most ``REFERENCE`` of
them, else those whose id has the smallest hashes. It depends on the market alone, never on who asks or what is shown.
"""

import math

import numpy as np

from features.jit import lean
from features.layout import CHANGES, NEVER, REFERENCE, Arrays, Record

LAST_ORDER = np.uint32(np.iinfo(np.uint32).max)
"""The largest order that a task can have."""


@lean
def is_open(task: Record, now: int) -> bool:
    """Tell whether a task is open at an instant: posted, not closed, not expired. It may be full."""
    return task.posted != NEVER and task.closed == 0 and task.facts.expires > now


@lean
def is_full(task: Record) -> bool:
    """Tell whether every slot of a task is taken."""
    return task.facts.slots >= 0 and task.occupied >= task.facts.slots


@lean
def describe_offer(offer: Record, task: Record) -> None:
    """Write down what a task shares with others of what decides who may take it."""
    offer.signature = task.facts.signature
    offer.requester = task.facts.requester
    offer.category = task.facts.category


@lean
def settle(s: Arrays, index: int) -> None:
    """Bring the index up to date with a task that changed."""
    task = s.tasks[index]
    market = s.market[0]
    opened = is_open(task, market.clock)
    before = s.open_offers[task.open_at] if task.open_at >= 0 else -1
    after = 2 * task.facts.offer + is_full(task) if opened else -1
    if before >= 0:
        s.offered[before] -= 1
        if after != before:
            _unlink(s, task.open_at)
    if opened and task.open_at < 0:
        task.open_at = market.n_open
        market.n_open += 1
    elif not opened and task.open_at >= 0:
        market.n_open -= 1
        if task.open_at != market.n_open:
            last = s.tasks[s.open_tasks[market.n_open]]
            _unlink(s, market.n_open)
            last.open_at = task.open_at
            _enter(s, s.open_tasks[market.n_open], last)
            _link(s, last.open_at)
        task.open_at = -1
    if opened:
        _enter(s, index, task)
        describe_offer(s.offers[task.facts.offer], task)
        s.offered[after] += 1
        if after != before:
            _link(s, task.open_at)
        else:
            _bound(s, task.open_at)
    place = _reference_place(s, index)
    present = place < market.n_reference and s.reference[place] == index
    wanted = opened and not is_full(task)
    if wanted and not present and place < REFERENCE:
        market.n_reference = min(market.n_reference + 1, REFERENCE)
        for k in range(market.n_reference - 1, place, -1):
            s.reference[k] = s.reference[k - 1]
        s.reference[place] = index
        market.rewards_known = 0
    elif present and not wanted:
        _remove_reference(s, place)


@lean
def _enter(s: Arrays, index: int, task: Record) -> None:
    place = task.open_at
    s.open_tasks[place] = index
    s.open_offers[place] = 2 * task.facts.offer + is_full(task)
    s.open_rewards[place] = task.facts.reward
    s.open_links[place].reward = task.facts.reward
    s.open_links[place].minutes = task.facts.stated_minutes
    s.open_texts[place] = task.facts.text
    s.open_expires[place] = task.facts.expires
    s.open_changed[place] = s.market[0].seq
    s.open_orders[place] = task.facts.order
    s.changes[s.market[0].n_changes % CHANGES] = place
    s.market[0].n_changes += 1


@lean
def _link(s: Arrays, place: int) -> None:
    """Put a task, by its place in the index, at the beginning of its offer's chain, unless it is full."""
    if s.open_offers[place] & 1:
        return
    chain, link = s.chains[s.open_offers[place] // 2], s.open_links[place]
    if chain.first == 0:
        chain.paying, chain.reward, chain.minutes = 0.0, 0.0, math.nan
    else:
        s.open_links[chain.first - 1].before = place + 1
    link.next, link.before = chain.first, 0
    chain.first = place + 1
    _bound(s, place)


@lean
def _unlink(s: Arrays, place: int) -> None:
    """Take a task out of its offer's chain, if it is there."""
    if s.open_offers[place] & 1:
        return
    link = s.open_links[place]
    if link.next > 0:
        s.open_links[link.next - 1].before = link.before
    if link.before > 0:
        s.open_links[link.before - 1].next = link.next
    else:
        s.chains[s.open_offers[place] // 2].first = link.next


@lean
def _bound(s: Arrays, place: int) -> None:
    """Raise what the tasks of an offer pay at the most to what one of its chain does."""
    if s.open_offers[place] & 1:
        return
    chain, link = s.chains[s.open_offers[place] // 2], s.open_links[place]
    minutes = np.float64(link.minutes)
    # What is not known is no more than anything.
    if link.reward / minutes > chain.paying:
        chain.paying = link.reward / minutes
    if math.isnan(minutes) and link.reward > chain.reward:
        chain.reward = link.reward
    if not math.isnan(minutes):
        chain.minutes = link.minutes


@lean
def _comes_before(s: Arrays, a: int, b: int) -> bool:
    order_a, order_b = s.tasks[a].facts.order, s.tasks[b].facts.order
    return order_a < order_b or (order_a == order_b and a < b)


@lean
def _reference_place(s: Arrays, index: int) -> int:
    low, high = 0, s.market[0].n_reference
    if high > 0 and _comes_before(s, s.reference[high - 1], index):
        # As nearly all open tasks where there are many.
        return high
    while low < high:
        middle = (low + high) // 2
        if _comes_before(s, s.reference[middle], index):
            low = middle + 1
        else:
            high = middle
    return low


@lean
def _remove_reference(s: Arrays, place: int) -> None:
    market = s.market[0]
    full_sample = market.n_reference == REFERENCE
    last = s.reference[market.n_reference - 1]
    for k in range(place, market.n_reference - 1):
        s.reference[k] = s.reference[k + 1]
    market.n_reference -= 1
    market.rewards_known = 0
    if not full_sample:
        return
    # The sample held the smallest hashes, so what moves up is the smallest of those behind its last one.
    following = -1
    least, most = s.tasks[last].facts.order, LAST_ORDER
    for k in range(market.n_open):
        order = s.open_orders[k]
        if order < least or order > most or s.open_offers[k] & 1:
            continue
        other = s.open_tasks[k]
        if _comes_before(s, last, other) and (following < 0 or _comes_before(s, other, following)):
            following, most = other, order
    if following >= 0:
        s.reference[market.n_reference] = following
        market.n_reference += 1


@lean
def watch_expiry(s: Arrays, index: int) -> None:
    """Remember to close a task when it expires (a binary heap by instant)."""
    market = s.market[0]
    instant = s.tasks[index].facts.expires
    place = market.n_expiring
    market.n_expiring += 1
    while place > 0:
        parent = (place - 1) // 2
        if s.expiring[parent] <= instant:
            break
        s.expiring[place], s.expiring_tasks[place] = s.expiring[parent], s.expiring_tasks[parent]
        place = parent
    s.expiring[place], s.expiring_tasks[place] = instant, index


@lean
def next_expired(s: Arrays) -> int:
    """Return a task that has expired by the market's clock and stop watching it; -1 if there is none."""
    market = s.market[0]
    if market.n_expiring == 0 or s.expiring[0] > market.clock:
        return -1
    index = s.expiring_tasks[0]
    market.n_expiring -= 1
    instant, moved = s.expiring[market.n_expiring], s.expiring_tasks[market.n_expiring]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= market.n_expiring:
            break
        if child + 1 < market.n_expiring and s.expiring[child + 1] < s.expiring[child]:
            child += 1
        if s.expiring[child] >= instant:
            break
        s.expiring[place], s.expiring_tasks[place] = s.expiring[child], s.expiring_tasks[child]
        place = child
    s.expiring[place], s.expiring_tasks[place] = instant, moved
    return index
