"""How kernels are compiled: once a machine, and never stale.

Numba caches a compiled function under the modification time of *its own* file. A kernel that calls a kernel of another
file would keep running the old callee after an upgrade, so the cache folder is named after the text of all kernels of
this package. A kernel of another package may call these, and those of its own file.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def source_digest() -> str:
    """Return 16 hex digits that change with any source of this package."""
    digest = hashlib.blake2b(digest_size=8)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _cache_folder() -> Path:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    root = (
        Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cocok" / "kernels"
    )
    return root / source_digest()


numba.config.CACHE_DIR = str(_cache_folder())


def kernel(function: Function) -> Function:
    """Compile to machine code on first use: cached on disk, without the GIL, IEEE arithmetic (no fastmath)."""
    return cast("Function", numba.njit(cache=True, nogil=True, error_model="numpy")(function))
