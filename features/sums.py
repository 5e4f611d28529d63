"""Weighted sums of what a task's tokens tell: of twelve numbers at once, by instructions that add four of them."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 4
"""Numbers that are added by one instruction."""

SUMMED = 3 * LANES
"""Numbers that a token tells."""

OF_FIRST, OF_SECOND = SUMMED, SUMMED + LANES
"""Where the sums over two parts of the tokens stand."""


@intrinsic  # type: ignore[untyped-decorator]
def add_weighted(
    context: Any, told: Any, spots: Any, weights: Any, kinds: Any, apart: Any, size: Any, sums: Any
) -> Any:
    """Fill ``sums`` (float64, ``SUMMED`` and twice ``LANES``) with sums over the first ``size`` tokens of a task.

    Token ``k`` tells ``told[spots[k]]`` (float64, any x ``SUMMED``; spots are int32) and counts ``weights[k]``
    (float32). At ``OF_FIRST`` and ``OF_SECOND`` stand the sums of the first ``LANES`` numbers in which it counts
    ``apart[kinds[k]]`` (float64, kinds x 2; kinds are uint8) of that. All arrays are contiguous.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        double, whole, half = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
        lanes = ir.VectorType(double, LANES)
        nothing = ir.Constant(lanes, ir.Undefined)

        def data(place: int) -> Any:
            return context.make_array(signature.args[place])(context, builder, args[place]).data

        def lanes_at(numbers: Any, first: Any) -> Any:
            return builder.bitcast(builder.gep(numbers, [first]), lanes.as_pointer())

        def spread(number: Any) -> Any:
            first = builder.insert_element(nothing, number, half(0))
            return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(half, LANES), [0] * LANES))

        rows, places, weight_of, kind_of, shares, out = (data(place) for place in (0, 1, 2, 3, 4, 6))
        count = context.cast(builder, args[5], signature.args[5], types.int64)
        parts = [cgutils.alloca_once_value(builder, ir.Constant(lanes, None)) for _ in range(SUMMED // LANES + 2)]
        with cgutils.for_range(builder, count, intp=whole) as loop:
            weight = builder.fpext(builder.load(builder.gep(weight_of, [loop.index])), double)
            kind = builder.mul(builder.zext(builder.load(builder.gep(kind_of, [loop.index])), whole), whole(2))
            row = builder.zext(builder.load(builder.gep(places, [loop.index])), whole)
            first = builder.mul(row, whole(SUMMED))
            numbers = [
                builder.load(lanes_at(rows, builder.add(first, whole(start))), align=8)
                for start in range(0, SUMMED, LANES)
            ]
            counted = [(numbers_of, weight) for numbers_of in numbers]
            for part in range(2):
                share = builder.load(builder.gep(shares, [builder.add(kind, whole(part))]))
                counted.append((numbers[0], builder.fmul(weight, share)))
            for part, (values, factor) in zip(parts, counted, strict=True):
                builder.store(builder.fadd(builder.load(part), builder.fmul(spread(factor), values)), part)
        for number, part in enumerate(parts):
            builder.store(builder.load(part), lanes_at(out, whole(number * LANES)), align=8)
        return context.get_dummy_value()

    return types.void(told, spots, weights, kinds, apart, size, sums), generate
