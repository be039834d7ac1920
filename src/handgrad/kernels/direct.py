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

from llvmlite import binding, ir
from numba import config, types
from numba.extending import intrinsic

from handgrad.kernels.blas import compiled

# NUMBA_CPU_FEATURES restricts what may be used.
_FEATURES = getattr(config, "CPU_FEATURES", None) or binding.get_host_cpu_features().flatten()
LONG_VECTORS = "+avx512f" in _FEATURES

# Rows of a tile: its sums, a pixel of each row and two of b fit the 32 registers of AVX-512 or 16.
TALL = 8 if LONG_VECTORS else 4
_HALF = TALL // 2
# Columns are padded to a multiple of this.
NARROW = 8


def _tile(height: int, width: int) -> Any:
    """Make the code of a tile: c[c0 + p*ldc + f] for ``height`` rows p, ``width`` columns f."""

    def typed(
        context: Any, a: Any, a0: Any, rows: Any, first: Any, sums: Any, count: Any, b: Any,
        b0: Any, ldb: Any, c: Any, c0: Any, ldc: Any,
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
            for total, value in zip(totals, after, strict=True):
                total.add_incoming(ir.Constant(vector, [0.0] * width), entry)
                total.add_incoming(value, loop)
            builder.cbranch(builder.icmp_signed("<", following, many), loop, done)
            builder.position_at_end(done)
            goal, step = builder.gep(data(9), [number(10)]), number(11)
            for p, value in enumerate(after):
                place = builder.gep(goal, [builder.mul(step, word(p))])
                builder.store(value, builder.bitcast(place, vector.as_pointer()), align=size)
            return target.get_dummy_value()

        return types.void(a, a0, rows, first, sums, count, b, b0, ldb, c, c0, ldc), write

    return intrinsic(typed)


_WIDE = 32 if LONG_VECTORS else 16
_tall_wide, _half_wide, _one_wide = (_tile(height, _WIDE) for height in (TALL, _HALF, 1))
_tall_16, _one_16 = _tile(TALL, 16), _tile(1, 16)
_tall_8, _one_8 = _tile(TALL, 8), _tile(1, 8)


@compiled
def product(
    a: Any, a0: int, rows: Any, height: int, sums: Any, count: int, b: Any, width: int, c: Any,
) -> None:  # fmt: skip
    """c[p, f] = sum over t < count of a[a0 + rows[p] + sums[t]] * b[t, f], p < height.

    a, b, c are contiguous arrays of one dimension, b and c with rows of ``width`` numbers, a
    multiple of 8; count is at least 1.
    """
    for f in range(0, width - _WIDE + 1, _WIDE):
        p = 0
        while p + TALL <= height:
            _tall_wide(a, a0, rows, p, sums, count, b, f, width, c, p * width + f, width)
            p += TALL
        if p + _HALF <= height:
            _half_wide(a, a0, rows, p, sums, count, b, f, width, c, p * width + f, width)
            p += _HALF
        for q in range(p, height):
            _one_wide(a, a0, rows, q, sums, count, b, f, width, c, q * width + f, width)
    f = width - width % _WIDE
    if width - f >= 16:
        p = 0
        while p + TALL <= height:
            _tall_16(a, a0, rows, p, sums, count, b, f, width, c, p * width + f, width)
            p += TALL
        for q in range(p, height):
            _one_16(a, a0, rows, q, sums, count, b, f, width, c, q * width + f, width)
        f += 16
    if width - f >= 8:
        p = 0
        while p + TALL <= height:
            _tall_8(a, a0, rows, p, sums, count, b, f, width, c, p * width + f, width)
            p += TALL
        for q in range(p, height):
            _one_8(a, a0, rows, q, sums, count, b, f, width, c, q * width + f, width)
