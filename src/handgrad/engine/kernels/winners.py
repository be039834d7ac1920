"""The gradient of a first convolution's filters from the winners of its pool alone, compiled.

Behind a max pool each window pays one pixel of a filter's, its winner. The filter's gradient is

    dw[f] = sum over windows p of d[p, f] * patch(winner of p, f),

with a quarter of the multiplications for windows of 2 x 2 that all pixels would take, three of four
of them by zero. One filter at a time, its gradient stays in registers: a vector for each row of the
patch, which is read where it lies. A row should fit a vector, so this is for few channels; and
where the image's gradient is asked for, all pixels' gradients are needed anyway.

Vectors that cross from one line of the cache into the next are read at half the speed. Rows begin
at multiples of a line's length, and there is a second copy of the image 8 numbers further: a patch
is read from the one where its rows do not cross.
"""

from functools import lru_cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from handgrad.arrays import Array
from handgrad.engine.kernels.blas import ZERO, compiled, parallel
from handgrad.engine.kernels.vectors import Writer, copy, transpose

SHORT, LONG = 8, 16
_LINE = 16  # numbers of float32 in a line of the cache
_GROUP = 64  # windows of which a word has a bit each, whether they pay anybody


def fits(window: tuple[int, int, int], pool: tuple[int, int]) -> bool:
    """Whether patches (HH, WW, C) of a pool's winners are the faster way."""
    _, WW, C = window
    return WW * C <= LONG and pool[0] > 1


@lru_cache(maxsize=64)
def places(
    image: tuple[int, int, int], window: tuple[int, int, int], stride: int, padding: int,
    pool: tuple[int, int],
) -> tuple[int, Array]:  # fmt: skip
    """Give the length of a row in ``framed_twice``, and where each window's patches begin in it.

    The second is int32, (PH * PW, size + 1): for each pixel of the pool's window, in reading order,
    and for nobody, whose patch is any.
    """
    H, W, C = image
    HH, WW, _ = window
    size, pool_stride = pool
    high, wide = H + 2 * padding, W + 2 * padding
    OH, OW = (high - HH) // stride + 1, (wide - WW) // stride + 1
    PH, PW = (OH - size) // pool_stride + 1, (OW - size) // pool_stride + 1
    lanes = SHORT if WW * C <= SHORT else LONG
    top, left = np.divmod(np.arange(PH * PW), PW)
    down, across = np.divmod(np.arange(size * size), size)
    row = (top[:, None] * pool_stride + down) * stride
    column = (left[:, None] * pool_stride + across) * stride * C
    shifted = (column % _LINE + lanes > _LINE) & (lanes == SHORT)
    longest = max(wide * C, int((column + SHORT * shifted).max(initial=0)) + lanes)
    line = -(-longest // _LINE) * _LINE
    starts = row * line + column + (high * line + SHORT) * shifted
    return line, np.concatenate([starts, starts[:, :1]], axis=1).astype(np.int32)


def _patches(height: int, lanes: int) -> Any:
    """Make the code of: acc[a0 + r*lanes + i] += sum over p of d[d0 + p] * patch[r*line + i].

    For ``height`` rows r and ``lanes`` numbers i, and the p < P of which winner q = win[w0 + p] is
    < nobody; the patch of p begins at x[x0 + starts[p*S + q]], S = nobody + 1. P is a multiple of
    _GROUP. sums[f] is the sum of the d that were paid.
    """

    def typed(
        context: Any, x: Any, x0: Any, line: Any, starts: Any, nobody: Any, win: Any, w0: Any,
        P: Any, d: Any, d0: Any, acc: Any, a0: Any, sums: Any, f: Any,
    ) -> Any:  # fmt: skip
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            say = Writer(target, builder, signature, arguments, lanes)
            rows = [builder.mul(say.number(2), say.word(r)) for r in range(height)]
            goals = [builder.add(say.number(11), say.word(r * lanes)) for r in range(height)]
            real, byte = target.get_value_type(x.dtype), ir.IntType(8)
            image, begins, paid = (
                builder.gep(say.data(0), [say.number(1)]),
                say.data(3),
                say.data(8),
            )
            size, fused = target.get_abi_sizeof(real), ("contract",)
            winners = builder.gep(say.data(5), [say.number(6)])
            wide = builder.add(say.number(4), say.word(1))
            many = ir.VectorType(byte, _GROUP)
            none = builder.trunc(say.number(4), byte)
            none = Writer(target, builder, signature, arguments, _GROUP).filled(none)

            def pay(p: Any, total: Any, *before: Any) -> list[Any]:
                q = builder.zext(builder.load(builder.gep(winners, [p])), say.word)
                place = builder.gep(begins, [builder.add(builder.mul(p, wide), q)])
                patch = builder.gep(image, [builder.sext(builder.load(place), say.word)])
                number = builder.load(builder.gep(paid, [builder.add(say.number(9), p)]))
                one, after = say.filled(number), []
                for row, value in zip(rows, before, strict=True):
                    place = builder.bitcast(builder.gep(patch, [row]), one.type.as_pointer())
                    product = builder.fmul(builder.load(place, align=size), one, flags=fused)
                    after.append(builder.fadd(value, product, flags=fused))
                return [builder.fadd(total, number), *after]

            def group(g: Any, *values: Any) -> list[Any]:
                first = builder.mul(g, say.word(_GROUP))
                place = builder.bitcast(builder.gep(winners, [first]), many.as_pointer())
                some = builder.icmp_unsigned("<", builder.load(place, align=1), none)
                bits = builder.bitcast(some, say.word)
                return say.each_bit(
                    bits, lambda i, *values: pay(builder.add(first, i), *values), *values
                )

            groups = builder.udiv(say.number(7), say.word(_GROUP))
            total, *values = say.times(
                groups, group, real(0.0), *(say.load(10, goal) for goal in goals)
            )
            for value, goal in zip(values, goals, strict=True):
                say.store(value, 10, goal)
            builder.store(total, builder.gep(say.data(12), [say.number(13)]))
            return target.get_dummy_value()

        kinds = (x, x0, line, starts, nobody, win, w0, P, d, d0, acc, a0, sums, f)
        return types.void(*kinds), write

    return intrinsic(typed)


_short7, _short5, _short3, _short1 = (_patches(height, SHORT) for height in (7, 5, 3, 1))
_long5, _long3, _long1 = (_patches(height, LONG) for height in (5, 3, 1))


@compiled
def _filter(
    x: Any, x0: int, line: int, starts: Any, nobody: int, win: Any, P: int, d: Any, d0: int,
    acc: Any, f: int, HH: int, lanes: int, sums: Any,
) -> None:  # fmt: skip
    """Add filter f's gradient from one image to acc (F, HH, lanes), some rows at a time."""
    r, w0 = 0, f * P
    while r < HH:
        at, a0, rest = x0 + r * line, (f * HH + r) * lanes, HH - r
        if lanes == SHORT:
            if rest >= 7:
                _short7(x, at, line, starts, nobody, win, w0, P, d, d0, acc, a0, sums, f)
                r += 7
            elif rest >= 5:
                _short5(x, at, line, starts, nobody, win, w0, P, d, d0, acc, a0, sums, f)
                r += 5
            elif rest >= 3:
                _short3(x, at, line, starts, nobody, win, w0, P, d, d0, acc, a0, sums, f)
                r += 3
            else:
                _short1(x, at, line, starts, nobody, win, w0, P, d, d0, acc, a0, sums, f)
                r += 1
        elif rest >= 5:
            _long5(x, at, line, starts, nobody, win, w0, P, d, d0, acc, a0, sums, f)
            r += 5
        elif rest >= 3:
            _long3(x, at, line, starts, nobody, win, w0, P, d, d0, acc, a0, sums, f)
            r += 3
        else:
            _long1(x, at, line, starts, nobody, win, w0, P, d, d0, acc, a0, sums, f)
            r += 1


@compiled
def _framed_twice(
    images: Any, at: int, H: int, width: int, line: int, room: Any, first: int, second: int
) -> None:
    """Copy an image's H rows, its numbers from ``at`` on, to room's ``first``, and ``second``."""
    for i in range(H):
        copy(images, at + i * width, room, first + i * line, width)
        copy(images, at + i * width, room, second + i * line, width)


@compiled
def backward_part(
    part: Any, parts: int, dout: Any, win: Any, x: Any, line: int, starts: Any, padding: int,
    HH: int, width: int, planes: bool, dmatrix: Any, db: Any,
) -> None:  # fmt: skip
    """Give dmatrix (parts, K, F), db (parts, F) from dout and win (N, P, F).

    With ``planes`` dout is (N, up to F, P). K = HH * width, the numbers of a patch.
    """
    N, P, F = win.shape
    _, H, W, C = x.shape
    lanes = SHORT if width <= SHORT else LONG
    high, images, places = H + 2 * padding, x.reshape(-1), starts.reshape(-1)
    room = np.zeros(2 * high * line + 2 * _LINE, x.dtype)
    at = -(room.ctypes.data // x.itemsize) % _LINE  # from a line's beginning
    first = at + padding * (line + C)
    second = first + high * line + SHORT
    acc = np.zeros(F * HH * lanes, x.dtype)
    # Filter by filter: its windows side by side, and behind them some that pay nobody.
    nobody, full = starts.shape[1] - 1, -(-P // _GROUP) * _GROUP
    winners = np.full(F * full, np.uint8(nobody), np.uint8)
    paid = np.empty(0 if planes else F * P, x.dtype)
    total, sums = np.zeros(F), np.empty(F, x.dtype)
    # Made once: with each view of an array all threads count up and down at the same place.
    wins, douts = win.reshape(-1), dout.reshape(-1)
    size = dout.size // max(1, N)
    d, d0 = douts if planes else paid, 0
    for n in range(N * part // parts, N * (part + 1) // parts):
        _framed_twice(images, n * H * W * C, H, W * C, line, room, first, second)
        transpose(wins, n * P * F, F, winners, ZERO, full, P, F)
        if planes:
            d0 = n * size
        else:
            transpose(douts, n * size, F, paid, ZERO, P, P, F)
        for f in range(size // P):
            _filter(
                room, at, line, places, nobody, winners, full, d, d0 + f * P, acc, f, HH, lanes,
                sums,
            )  # fmt: skip
            total[f] += sums[f]
    for f in range(F):
        db[part, f] = total[f]
    for k in range(HH * width):
        for f in range(F):
            dmatrix[part, k, f] = acc[(f * HH + k // width) * lanes + k % width]


@parallel
def backward_parts(parts: int, *arguments: Any) -> None:
    """All parts of backward_part."""
    for part in numba.prange(parts):
        backward_part(np.int64(part), parts, *arguments)
