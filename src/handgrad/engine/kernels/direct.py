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

from numba import types
from numba.extending import intrinsic

from handgrad.engine.kernels.blas import compiled
from handgrad.engine.kernels.processor import LONG_VECTORS
from handgrad.engine.kernels.vectors import Writer, index_of, larger, write_window

# Rows of a tile: its sums, a pixel of each row and two of b fit the 32 registers of AVX-512 or 16.
TALL = 8 if LONG_VECTORS else 6
_HALF = TALL // 2
# Columns are padded to a multiple of this.
NARROW = 8


def _sums(say: Writer, height: int, before: list[Any]) -> list[Any]:
    """Make the code of a tile's sums, ``height`` vectors, added to those before.

    The arguments begin a, a0, rows, first, sums, count, b, b0, ldb: as ``panel``'s, from row
    ``first`` on.
    """
    builder, word = say.builder, say.word
    start = builder.gep(say.data(0), [say.number(1)])
    pixels = []
    for p in range(height):
        row = builder.load(builder.gep(say.data(2), [builder.add(say.number(3), word(p))]))
        pixels.append(builder.gep(start, [row]))
    taps, b0, ldb = say.data(4), say.number(7), say.number(8)
    fused = ("contract",)  # one rounding where the processor multiplies and adds at once

    def add(t: Any, *totals: Any) -> list[Any]:
        tap = builder.load(builder.gep(taps, [t]))
        factor = say.load(6, builder.add(b0, builder.mul(t, ldb)))
        after = []
        for pixel, total in zip(pixels, totals, strict=True):
            one = say.filled(builder.load(builder.gep(pixel, [tap])))
            after.append(builder.fadd(total, builder.fmul(one, factor, flags=fused), flags=fused))
        return after

    return say.times(say.number(5), add, *before)


def _tile(height: int, width: int) -> Any:
    """Make the code of a tile: c[c0 + p*ldc + f] for ``height`` rows p, ``width`` columns f.

    With ``more`` the sums are added to what c holds.
    """

    def typed(
        context: Any, a: Any, a0: Any, rows: Any, first: Any, sums: Any, count: Any, b: Any,
        b0: Any, ldb: Any, c: Any, c0: Any, ldc: Any, more: Any,
    ) -> Any:  # fmt: skip
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            say = Writer(target, builder, signature, arguments, width)
            goals = [
                builder.add(say.number(10), builder.mul(say.number(11), say.word(p)))
                for p in range(height)
            ]
            adds = builder.icmp_signed("!=", say.number(12), say.word(0))
            nothing = say.filled(target.get_value_type(a.dtype)(0.0))
            before = [builder.select(adds, say.load(9, goal), nothing) for goal in goals]
            for total, goal in zip(_sums(say, height, before), goals, strict=True):
                say.store(total, 9, goal)
            return target.get_dummy_value()

        kinds = (a, a0, rows, first, sums, count, b, b0, ldb, c, c0, ldc, more)
        return types.void(*kinds), write

    return intrinsic(typed)


_WINDOW = 4  # pixels of a 2 x 2 pool's


def _pooled_tile(windows: int, width: int) -> Any:
    """Make the code of a tile of whole pooling windows, of which the best alone leaves registers.

    Rows are ``windows`` times the four pixels of one; out[o0 + p*ldo + f] and win[w0 + p*ldo + f]
    are those of window p.
    """

    def typed(
        context: Any, a: Any, a0: Any, rows: Any, first: Any, sums: Any, count: Any, b: Any,
        b0: Any, ldb: Any, bias: Any, relu: Any, out: Any, o0: Any, ldo: Any, win: Any, w0: Any,
    ) -> Any:  # fmt: skip
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            say = Writer(target, builder, signature, arguments, width)
            real = target.get_value_type(a.dtype)
            index = index_of(say, real)
            totals = _sums(say, windows * _WINDOW, [say.filled(real(0.0))] * windows * _WINDOW)
            added = say.load(9, say.number(7))
            for p in range(windows):
                best, *others = (
                    builder.fadd(total, added) for total in totals[p * _WINDOW : (p + 1) * _WINDOW]
                )
                winner = say.filled(index(0))
                for q, value in enumerate(others, start=1):
                    _, best, winner = larger(say, value, say.filled(index(q)), best, winner)
                at = builder.mul(say.number(13), say.word(p))
                places = [builder.add(at, say.number(i)) for i in (12, 15)]
                write_window(say, best, winner, say.filled(index(_WINDOW)), 10, (11, 14), places)
            return target.get_dummy_value()

        kinds = (a, a0, rows, first, sums, count, b, b0, ldb, bias, relu, out, o0, ldo, win, w0)
        return types.void(*kinds), write

    return intrinsic(typed)


WIDE = 32 if LONG_VECTORS else 16
_tall_wide, _half_wide, _one_wide = (_tile(height, WIDE) for height in (TALL, _HALF, 1))
# For 5 x 5 and 7 x 7 taps, of which one is left over: with AVX-512 there are registers for it.
_taller = TALL + 1 if LONG_VECTORS else TALL
_taller_wide = _tile(_taller, WIDE)
_two_windows, _one_window = (_pooled_tile(windows, WIDE) for windows in (2, 1))
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


@compiled
def pools(size: int, width: int) -> bool:
    """Whether ``pooled_product`` does a pool with windows of ``size`` pixels, ``width`` filters."""
    return LONG_VECTORS and size == _WINDOW and width % WIDE == 0


@compiled
def pooled_product(
    a: Any, a0: int, rows: Any, windows: int, sums: Any, count: int, b: Any, width: int, bias: Any,
    relu: bool, out: Any, o0: int, win: Any, w0: int,
) -> None:  # fmt: skip
    """Convolve and pool: ``product`` with bias added, then the largest of each window's pixels.

    rows has the four pixels of each window, one after the other; windows x width numbers of out
    and win, of one dimension, from o0 and w0 on, are written as ``vectors.pool`` does.
    """
    for f in range(0, width, WIDE):
        p = 0
        while p + 2 <= windows:
            at = p * width + f
            _two_windows(
                a, a0, rows, p * _WINDOW, sums, count, b, f, width, bias, relu, out, o0 + at,
                width, win, w0 + at,
            )  # fmt: skip
            p += 2
        if p < windows:
            at = p * width + f
            _one_window(
                a, a0, rows, p * _WINDOW, sums, count, b, f, width, bias, relu, out, o0 + at,
                width, win, w0 + at,
            )  # fmt: skip
