"""The edge: the event store, settings and the command line."""
