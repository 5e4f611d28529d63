"""From a log to a judged model: replay, ranker, metrics, off-policy, registry; simulated markets, experiments."""
