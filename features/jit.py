"""How kernels are compiled: once a machine, and never stale.

Numba caches a compiled function under the modification time of *its own* file. A kernel that calls a kernel of another
file, or reads a constant there, would keep running with the old one after an upgrade, so the cache folder is named
after the text of this package and of matching. A kernel of another package may use what is in these, and in its own
file.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., object])

LINE = 64
"""Bytes that come from memory together."""

_PACKAGE = Path(__file__).parent


def source_digest(*others: Path) -> str:
    """Return 16 hex digits that change with any source of this package, and of the other folders given, if any."""
    digest = hashlib.blake2b(digest_size=8)
    for folder in (_PACKAGE, *others):
        for source in sorted(folder.glob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _cache_folder() -> Path:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    root = (
        Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cocok" / "kernels"
    )
    return root / source_digest(_PACKAGE.with_name("matching"))


numba.config.CACHE_DIR = str(_cache_folder())


# `_nrt` is a private option of Numba; constraints.txt pins the version.
_WITHOUT_COUNTING: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}


def kernel(function: Function) -> Function:
    """Compile to machine code on first use: cached on disk, without the GIL, IEEE arithmetic (no fastmath)."""
    return cast("Function", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def lean(function: Function) -> Function:
    """Compile as `kernel`, into its caller and without counting references to arrays; it may make none.

    Numba counts a reference, by a call and an atomic addition, for each array of the state at nearly every call of one
    kernel by another. In kernels of a few instructions that take the whole state, this is most of the cost.
    """
    return cast("Function", numba.njit(**_WITHOUT_COUNTING, forceinline=True)(function))


def shared(function: Function) -> Function:
    """Compile as `lean`, but not into each of its callers: for long kernels that several call, or one several times.

    A call hands on several hundred numbers, one for each field of the state and of what is passed beside it. Python may
    call one, too, but gets nothing back from it, and must itself keep what it hands on.
    """
    return cast("Function", numba.njit(**_WITHOUT_COUNTING)(function))


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(context: Any, array: Any, index: Any, offset: Any) -> Any:
    """Have the cache line at an offset in bytes into an element of an array brought near, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, *numbers = signature.args
        made = context.make_array(kind)(context, builder, args[0])
        place, offset = (
            context.cast(builder, value, number, types.int64) for value, number in zip(args[1:], numbers, strict=True)
        )
        byte = ir.IntType(8).as_pointer()
        line = builder.gep(builder.bitcast(made.data, byte), [builder.add(builder.mul(place, made.itemsize), offset)])
        flag = ir.IntType(32)
        asked = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        to_read, everywhere, data = flag(0), flag(3), flag(1)
        function = cgutils.get_or_insert_function(builder.module, asked, "llvm.prefetch.p0")
        builder.call(function, [line, to_read, everywhere, data])
        return context.get_dummy_value()

    return types.void(array, index, offset), generate
