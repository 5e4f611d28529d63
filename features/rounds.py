"""The rounds of the log: after every ``ROUND`` events, rows that open tasks have for a newcomer are written anew.

Those that changed come first, then as many in turn, and more where it takes more for the turn to come to all in
``SWEEP``. So each row follows the market, a little late, and is a function of the log alone, the same on every replica.
"""

import math

import numpy as np

from features.build import build
from features.estimates import SECOND
from features.jit import kernel
from features.layout import ROUND, SWEEP, Arrays
from features.prospects import describe_prospect
from features.spec import NAMES


@kernel
def write_round(s: Arrays, number: int) -> None:
    """Begin a round: write the rows that are due, by the market's clock."""
    market, records = s.market[0], s.tasks
    turns = market.n_open
    if market.clock - market.swept_at < SWEEP:
        # Where many tasks come at one instant, those before them are soon in another market.
        turns = min(market.n_open, ROUND + market.n_open * (market.clock - market.swept_at) // SWEEP)
    due, count = np.empty(2 * ROUND + turns, np.int32), 0
    for k in range(market.n_changed):
        if records[s.changed[k]].open_at >= 0:
            due[count] = s.changed[k]
            count += 1
    for _ in range(turns):
        market.swept = (market.swept + 1) % market.n_open
        due[count] = s.open_tasks[market.swept]
        count += 1
    if turns == market.n_open:
        market.swept_at = market.clock
    else:
        market.swept_at = min(market.clock, market.swept_at + turns * SWEEP // market.n_open)
    market.n_changed = 0
    market.round = number
    if count == 0:
        return
    rows = np.empty((count, len(NAMES)), np.float32)
    build(s, 0, due[:count], market.clock // SECOND * SECOND, math.nan, rows)
    for i in range(count):
        place = records[due[i]].open_at
        market.writes += 1
        s.newcomer_rows[place], s.written[place] = rows[i], market.writes
        describe_prospect(s, records[due[i]])
