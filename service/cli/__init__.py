"""The command ``cocok``."""

from service.cli.app import main

__all__ = ["main"]
