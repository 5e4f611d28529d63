"""From a log to a model that can be judged: replay, training set, ranker, metrics, registry."""
