"""What a forked server finds loaded and compiled; nothing here starts a thread, which would not survive the fork."""

import tests.service.live.forked  # noqa: F401
from features.money import Rates
from matching.fallback import FallbackRanker
from service.warm_up import warm_up

warm_up(Rates.shipped(), FallbackRanker())
