"""Whether kernels are still to be compiled, which takes minutes and should not look like standing still."""

from pathlib import Path

COMPILING = "Compiling for this machine first: two minutes or more, once for each version."


def compiled() -> bool:
    """Return whether machine code of this version is kept on this machine."""
    # What says where it is kept takes a second to load; commands that compile nothing do not wait for it.
    from numba import config

    from features import jit  # noqa: F401  # which chooses the folder

    return any(Path(config.CACHE_DIR).rglob("*.nbc"))
