"""Weighted sums of what a task's tokens tell: of twelve numbers at once, by instructions that add four of them."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 4
"""Numbers that are added by one instruction."""

SUMMED = 3 * LANES
"""Numbers that a token tells."""

PARTED = LANES // 2
"""Numbers, the first of them, that are also summed over two parts of the tokens."""

OF_FIRST, OF_SECOND = SUMMED, SUMMED + PARTED
"""Where the sums over the two parts stand."""

SUMS = SUMMED + 2 * PARTED
"""Sums in all."""


@intrinsic  # type: ignore[untyped-decorator]
def add_weighted(
    context: Any, told: Any, spots: Any, weights: Any, kinds: Any, apart: Any, size: Any, sums: Any
) -> Any:
    """Fill ``sums`` (float64, ``SUMS``) with sums over the first ``size`` tokens of a task.

    Token ``k`` tells ``told[spots[k]]`` (float64, any x ``SUMMED``; spots are int32) and counts ``weights[k]``
    (float32). From ``OF_FIRST`` and ``OF_SECOND`` on stand the sums of the first ``PARTED`` numbers in which it counts
    as much of that as ``apart[kinds[k]]`` says (float64, kinds x ``LANES``, a share for each of these sums; kinds are
    uint8). All arrays are contiguous.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        single, double, whole, half = ir.FloatType(), ir.DoubleType(), ir.IntType(64), ir.IntType(32)
        lanes, pair = ir.VectorType(double, LANES), ir.VectorType(double, PARTED)

        def data(place: int) -> Any:
            return context.make_array(signature.args[place])(context, builder, args[place]).data

        def lanes_at(numbers: Any, first: Any, kind: Any = lanes) -> Any:
            return builder.bitcast(builder.gep(numbers, [first]), kind.as_pointer())

        def shuffled(numbers: Any, places: list[int]) -> Any:
            mask = ir.Constant(ir.VectorType(half, LANES), places)
            return builder.shuffle_vector(numbers, ir.Constant(numbers.type, ir.Undefined), mask)

        def spread(number: Any) -> Any:
            nothing = ir.Constant(ir.VectorType(single, LANES), ir.Undefined)
            return shuffled(builder.insert_element(nothing, number, half(0)), [0] * LANES)

        rows, places, weight_of, kind_of, shares, out = (data(place) for place in (0, 1, 2, 3, 4, 6))
        count = context.cast(builder, args[5], signature.args[5], types.int64)
        parts = [cgutils.alloca_once_value(builder, ir.Constant(lanes, None)) for _ in range(SUMS // LANES)]
        with cgutils.for_range(builder, count, intp=whole) as loop:
            # As it is spread before it is made longer, fewer instructions move numbers across lanes.
            weight = builder.fpext(spread(builder.load(builder.gep(weight_of, [loop.index]))), lanes)
            kind = builder.mul(builder.zext(builder.load(builder.gep(kind_of, [loop.index])), whole), whole(LANES))
            row = builder.zext(builder.load(builder.gep(places, [loop.index])), whole)
            first = builder.mul(row, whole(SUMMED))
            counted = [
                (builder.load(lanes_at(rows, builder.add(first, whole(start))), align=8), weight)
                for start in range(0, SUMMED, LANES)
            ]
            parted = shuffled(builder.load(lanes_at(rows, first, pair), align=8), [*range(PARTED)] * 2)
            share = builder.load(lanes_at(shares, kind), align=8)
            counted.append((parted, builder.fmul(weight, share)))
            for part, (values, factor) in zip(parts, counted, strict=True):
                builder.store(builder.fadd(builder.load(part), builder.fmul(factor, values)), part)
        for number, part in enumerate(parts):
            builder.store(builder.load(part), lanes_at(out, whole(number * LANES)), align=8)
        return context.get_dummy_value()

    return types.void(told, spots, weights, kinds, apart, size, sums), generate
