"""Convolution without patches: sums of products read where the pixels lie, in compiled code.

All three products of a convolution are one sum with offsets into the image, a:

    c[p, f] = sum over t of a[rows[p] + sums[t]] * b[t, f]

Forward, p runs over pixels, t over the filter's taps, b is the filters; for the filters' gradient
p runs over taps, t over pixels, b is the pixels' gradient; for the image's gradient a is the
pixels' gradient and b the filters upside down. A tile of c, ``TALL`` rows wide as two registers or
so, is kept in registers while t runs: two loads of b and one of each pixel serve it, and no patch
is ever copied.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from handgrad.kernels.blas import compiled
from handgrad.kernels.processor import LONG_VECTORS

# Rows of a tile: its sums, a pixel of each row and two of b fit the 32 registers of AVX-512 or 16.
TALL = 8 if LONG_VECTORS else 6
_HALF = TALL // 2
# Columns are padded to a multiple of this.
NARROW = 8


def _tile(height: int, width: int) -> Any:
    """Make the code of a tile: c[c0 + p*ldc + f] for ``height`` rows p, ``width`` columns f.

    With ``more`` the sums are added to what c holds.
    """

    def typed(
        context: Any, a: Any, a0: Any, rows: Any, first: Any, sums: Any, count: Any, b: Any,
        b0: Any, ldb: Any, c: Any, c0: Any, ldc: Any, more: Any,
    ) -> Any:  # fmt: skip
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            real = target.get_value_type(a.dtype)
            vector = ir.VectorType(real, width)
            word = target.get_value_type(types.intp)
            size = target.get_abi_sizeof(real)
            kinds = signature.args

            def data(i: int) -> Any:
                return target.make_array(kinds[i])(target, builder, arguments[i]).data

            def number(i: int) -> Any:
                return target.cast(builder, arguments[i], kinds[i], types.intp)

            def broadcast(value: Any) -> Any:
                one = builder.insert_element(
                    ir.Constant(vector, ir.Undefined), value, ir.Constant(word, 0)
                )
                zeros = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
                return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

            start = builder.gep(data(0), [number(1)])
            first_row, many = number(3), number(5)
            pixels = [
                builder.gep(
                    start,
                    [builder.load(builder.gep(data(2), [builder.add(first_row, word(p))]))],
                )
                for p in range(height)
            ]
            b_start, b_step = builder.gep(data(6), [number(7)]), number(8)
            goal, step = builder.gep(data(9), [number(10)]), number(11)
            goals = [
                builder.bitcast(
                    builder.gep(goal, [builder.mul(step, word(p))]), vector.as_pointer()
                )
                for p in range(height)
            ]
            adds = builder.icmp_signed("!=", number(12), word(0))
            nothing = ir.Constant(vector, [0.0] * width)
            before = [
                builder.select(adds, builder.load(place, align=size), nothing) for place in goals
            ]
            entry = builder.block
            loop, done = builder.append_basic_block("sum"), builder.append_basic_block("summed")
            builder.branch(loop)
            builder.position_at_end(loop)
            t = builder.phi(word)
            totals = [builder.phi(vector) for _ in range(height)]
            tap = builder.load(builder.gep(data(4), [t]))
            line = builder.gep(b_start, [builder.mul(t, b_step)])
            factor = builder.load(builder.bitcast(line, vector.as_pointer()), align=size)
            after = []
            for pixel, total in zip(pixels, totals, strict=True):
                one = broadcast(builder.load(builder.gep(pixel, [tap])))
                fused = (
                    "contract",
                )  # one rounding where the processor multiplies and adds at once
                after.append(
                    builder.fadd(total, builder.fmul(one, factor, flags=fused), flags=fused)
                )
            following = builder.add(t, word(1))
            t.add_incoming(word(0), entry)
            t.add_incoming(following, loop)
            for total, value, first_value in zip(totals, after, before, strict=True):
                total.add_incoming(first_value, entry)
                total.add_incoming(value, loop)
            builder.cbranch(builder.icmp_signed("<", following, many), loop, done)
            builder.position_at_end(done)
            for value, place in zip(after, goals, strict=True):
                builder.store(value, place, align=size)
            return target.get_dummy_value()

        kinds = (a, a0, rows, first, sums, count, b, b0, ldb, c, c0, ldc, more)
        return types.void(*kinds), write

    return intrinsic(typed)


WIDE = 32 if LONG_VECTORS else 16
_tall_wide, _half_wide, _one_wide = (_tile(height, WIDE) for height in (TALL, _HALF, 1))
# For 5 x 5 and 7 x 7 taps, of which one is left over: with AVX-512 there are registers for it.
_taller = TALL + 1 if LONG_VECTORS else TALL
_taller_wide = _tile(_taller, WIDE)
# Narrow tiles are twice as high: it takes so many sums under way to keep both units busy.
_high_16, _tall_16, _one_16 = (_tile(height, 16) for height in (2 * TALL, TALL, 1))
_high_8, _tall_8, _one_8 = (_tile(height, 8) for height in (2 * TALL, TALL, 1))


@compiled
def panel(
    a: Any, a0: int, rows: Any, height: int, sums: Any, count: int, b: Any, b0: int, ldb: int,
    width: int, c: Any, c0: int, ldc: int, more: int,
) -> None:  # fmt: skip
    """c[c0 + p*ldc + f] = sum over t < count of a[a0 + rows[p] + sums[t]] * b[b0 + t*ldb + f].

    p < height, f < width; a, b, c are contiguous arrays of one dimension; width is ``WIDE``, 16
    or 8; count is at least 1. Where ``more`` is 1, the sum is added to c.
    """
    p = 0
    if width == WIDE:
        if height % TALL == _taller - TALL and height > TALL:
            _taller_wide(a, a0, rows, 0, sums, count, b, b0, ldb, c, c0, ldc, more)
            p = _taller
        while p + TALL <= height:
            _tall_wide(a, a0, rows, p, sums, count, b, b0, ldb, c, c0 + p * ldc, ldc, more)
            p += TALL
        if p + _HALF <= height:
            _half_wide(a, a0, rows, p, sums, count, b, b0, ldb, c, c0 + p * ldc, ldc, more)
            p += _HALF
        for q in range(p, height):
            _one_wide(a, a0, rows, q, sums, count, b, b0, ldb, c, c0 + q * ldc, ldc, more)
    elif width == 16:
        while p + 2 * TALL <= height:
            _high_16(a, a0, rows, p, sums, count, b, b0, ldb, c, c0 + p * ldc, ldc, more)
            p += 2 * TALL
        while p + TALL <= height:
            _tall_16(a, a0, rows, p, sums, count, b, b0, ldb, c, c0 + p * ldc, ldc, more)
            p += TALL
        for q in range(p, height):
            _one_16(a, a0, rows, q, sums, count, b, b0, ldb, c, c0 + q * ldc, ldc, more)
    else:
        while p + 2 * TALL <= height:
            _high_8(a, a0, rows, p, sums, count, b, b0, ldb, c, c0 + p * ldc, ldc, more)
            p += 2 * TALL
        while p + TALL <= height:
            _tall_8(a, a0, rows, p, sums, count, b, b0, ldb, c, c0 + p * ldc, ldc, more)
            p += TALL
        for q in range(p, height):
            _one_8(a, a0, rows, q, sums, count, b, b0, ldb, c, c0 + q * ldc, ldc, more)


@compiled
def columns(width: int, f: int) -> tuple[int, int]:
    """Give the next panel of a matrix from column f on: (its first column, its width).

    Where less than 8 columns are left, it begins earlier and computes some again, to the same
    bits. ``width`` is at least 8.
    """
    rest = width - f
    if rest >= WIDE:
        return f, WIDE
    if rest >= 16:
        return f, 16
    return min(f, width - 8), 8


@compiled
def product(
    a: Any, a0: int, rows: Any, height: int, sums: Any, count: int, b: Any, width: int, c: Any,
    more: int,
) -> None:  # fmt: skip
    """c[p, f] = sum over t < count of a[a0 + rows[p] + sums[t]] * b[t, f], p < height.

    a, b, c are contiguous arrays of one dimension, b and c with rows of ``width`` numbers, a
    multiple of 8; count is at least 1. Where ``more`` is 1, the sums are added to c.
    """
    f = 0
    while f < width:
        f, wide = columns(width, f)
        panel(a, a0, rows, height, sums, count, b, f, width, wide, c, f, width, more)
        f += wide
