"""Warming up: the first request must not wait for a compiler."""

import subprocess
import sys

FIRST_REQUESTS = """
import sys

from numba.core.dispatcher import Dispatcher

from features.state import MarketState
from matching.fallback import FallbackRanker
from matching.pipeline import Matcher
from matching.query import Query
from service.warm_up import _NOW, _event, _events, warm_up
from tests.log import RATES


def compiled():
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] in ("features", "matching")]
    kernels = {kernel for module in modules for kernel in vars(module).values() if isinstance(kernel, Dispatcher)}
    return {(kernel.py_func.__qualname__, len(kernel.overloads)) for kernel in kernels}


warm_up(RATES, FallbackRanker())
warm = compiled()
state = MarketState(RATES)
state.apply([(seq, _NOW, event) for seq, event in enumerate(_events(), 1)])
for query in (Query("somebody", _NOW), Query("w", _NOW, explore=1), Query("w", _NOW, listed=(1,))):
    Matcher().feed(state, FallbackRanker(), query)
matcher, query = Matcher(shortlist=1), Query("w", _NOW, limit=1)
matcher.feed(state, FallbackRanker(), query)
state.apply([(state.seq + 1, _NOW, _event("task_updated", task_id="t1", slots=4))])
matcher.feed(state, FallbackRanker(), query)
print(sorted(compiled() - warm))
"""


def test_given_a_warm_server_then_the_first_feeds_compile_nothing() -> None:
    ran = subprocess.run([sys.executable, "-c", FIRST_REQUESTS], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
