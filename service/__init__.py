"""The edge: event store, importers, HTTP API, command line and settings."""
