"""The online decision: who may take what, in which order, and why."""
