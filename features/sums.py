"""Weighted sums of what a task's tokens tell: of sixteen numbers at once, by instructions that add four of them."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

SUMMED = 16
"""Numbers that a token tells."""

_LANES = 4


@intrinsic  # type: ignore[untyped-decorator]
def add_weighted(
    context: Any, told: Any, spots: Any, weights: Any, kinds: Any, masks: Any, size: Any, sums: Any
) -> Any:
    """Fill ``sums`` (float64, ``SUMMED``) with weighted sums over the first ``size`` tokens of a task.

    Token ``k`` tells ``told[spots[k]]`` (float64, any x ``SUMMED``) and counts ``weights[k]`` (float32); its first four
    numbers count ``masks[kinds[k]]`` (float64, kinds x 4; kinds are uint8) of that. All arrays are contiguous.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        double, whole = ir.DoubleType(), ir.IntType(64)
        lanes = ir.VectorType(double, _LANES)

        def data(place: int) -> Any:
            return context.make_array(signature.args[place])(context, builder, args[place]).data

        def load_lanes(numbers: Any, first: Any) -> Any:
            from_there = builder.bitcast(builder.gep(numbers, [first]), lanes.as_pointer())
            return builder.load(from_there, align=8)

        rows, places, weight_of, kind_of, shares, out = (data(place) for place in (0, 1, 2, 3, 4, 6))
        count = context.cast(builder, args[5], signature.args[5], types.int64)
        parts = [cgutils.alloca_once_value(builder, ir.Constant(lanes, None)) for _ in range(SUMMED // _LANES)]
        with cgutils.for_range(builder, count, intp=whole) as loop:
            weight = builder.fpext(builder.load(builder.gep(weight_of, [loop.index])), double)
            alone = builder.insert_element(ir.Constant(lanes, ir.Undefined), weight, ir.IntType(32)(0))
            spread = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
            weight = builder.shuffle_vector(alone, ir.Constant(lanes, ir.Undefined), spread)
            kind = builder.zext(builder.load(builder.gep(kind_of, [loop.index])), whole)
            share = load_lanes(shares, builder.mul(kind, whole(_LANES)))
            row = builder.zext(builder.load(builder.gep(places, [loop.index])), whole)
            first = builder.mul(row, whole(SUMMED))
            for number, part in enumerate(parts):
                counted = builder.fmul(weight, share) if number == 0 else weight
                here = builder.fmul(counted, load_lanes(rows, builder.add(first, whole(number * _LANES))))
                builder.store(builder.fadd(builder.load(part), here), part)
        for number, part in enumerate(parts):
            there = builder.bitcast(builder.gep(out, [whole(number * _LANES)]), lanes.as_pointer())
            builder.store(builder.load(part), there, align=8)
        return context.get_dummy_value()

    return types.void(told, spots, weights, kinds, masks, size, sums), generate
