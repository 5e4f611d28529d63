"""What versions of the model are called beside their numbers."""

CHAMPION = "champion"
"""The version that serves."""

CHALLENGER = "challenger"
"""The newest version."""

PREVIOUS = "previous"
"""The version that served before the champion."""
