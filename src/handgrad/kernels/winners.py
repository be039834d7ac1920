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
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from handgrad.kernels.blas import compiled, parallel
from handgrad.kernels.vectors import Writer, copy, transpose

Array = NDArray[Any]

SHORT, LONG = 8, 16
_LINE = 16  # numbers of float32 in a line of the cache


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
    """Make the code of: acc[a0 + r*lanes + i] += sum over p < P of d[d0 + p] * patch[r*line + i].

    For ``height`` rows r and ``lanes`` numbers i; the patch of p begins at x[x0 + starts[p*S + q]]
    with q = win[d0 + p].
    """

    def typed(
        context: Any, x: Any, x0: Any, line: Any, starts: Any, S: Any, win: Any, d: Any, d0: Any,
        P: Any, acc: Any, a0: Any,
    ) -> Any:  # fmt: skip
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            say = Writer(target, builder, signature, arguments, lanes)
            first, from_ = say.number(1), say.number(7)
            rows = [builder.mul(say.number(2), say.word(r)) for r in range(height)]
            goals = [builder.add(say.number(10), say.word(r * lanes)) for r in range(height)]
            begins, winners, paid = say.data(3), say.data(5), say.data(6)
            image, size = (
                builder.gep(say.data(0), [first]),
                target.get_abi_sizeof(target.get_value_type(x.dtype)),
            )
            fused = ("contract",)

            def pay(p: Any, *sums: Any) -> list[Any]:
                at = builder.add(from_, p)
                q = builder.zext(builder.load(builder.gep(winners, [at])), say.word)
                at_start = builder.add(builder.mul(p, say.number(4)), q)
                start = builder.sext(builder.load(builder.gep(begins, [at_start])), say.word)
                patch = builder.gep(image, [start])
                one = say.filled(builder.load(builder.gep(paid, [at])))
                more = []
                for row, total in zip(rows, sums, strict=True):
                    place = builder.bitcast(builder.gep(patch, [row]), one.type.as_pointer())
                    numbers = builder.load(place, align=size)
                    product = builder.fmul(numbers, one, flags=fused)
                    more.append(builder.fadd(total, product, flags=fused))
                return more

            before = [say.load(9, goal) for goal in goals]
            for total, goal in zip(say.times(say.number(8), pay, *before), goals, strict=True):
                say.store(total, 9, goal)
            return target.get_dummy_value()

        return types.void(x, x0, line, starts, S, win, d, d0, P, acc, a0), write

    return intrinsic(typed)


_short7, _short5, _short3, _short1 = (_patches(height, SHORT) for height in (7, 5, 3, 1))
_long5, _long3, _long1 = (_patches(height, LONG) for height in (5, 3, 1))


@compiled
def _filter(
    x: Any, x0: int, line: int, starts: Any, P: int, S: int, win: Any, d: Any, f: int, acc: Any,
    HH: int, lanes: int,
) -> None:  # fmt: skip
    """Add filter f's gradient from one image to acc (F, HH, lanes), some rows at a time."""
    r = 0
    while r < HH:
        at, a0, rest = x0 + r * line, (f * HH + r) * lanes, HH - r
        if lanes == SHORT:
            if rest >= 7:
                _short7(x, at, line, starts, S, win, d, f * P, P, acc, a0)
                r += 7
            elif rest >= 5:
                _short5(x, at, line, starts, S, win, d, f * P, P, acc, a0)
                r += 5
            elif rest >= 3:
                _short3(x, at, line, starts, S, win, d, f * P, P, acc, a0)
                r += 3
            else:
                _short1(x, at, line, starts, S, win, d, f * P, P, acc, a0)
                r += 1
        elif rest >= 5:
            _long5(x, at, line, starts, S, win, d, f * P, P, acc, a0)
            r += 5
        elif rest >= 3:
            _long3(x, at, line, starts, S, win, d, f * P, P, acc, a0)
            r += 3
        else:
            _long1(x, at, line, starts, S, win, d, f * P, P, acc, a0)
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
    # Filter by filter: its windows side by side.
    paid, winners = np.empty(F * P, x.dtype), np.empty(F * P, np.uint8)
    nobody, nothing = np.uint8(starts.shape[1] - 1), x.dtype.type(0)
    paid[:] = 0
    total = np.zeros(F)
    for n in range(N * part // parts, N * (part + 1) // parts):
        _framed_twice(images, n * H * W * C, H, W * C, line, room, first, second)
        transpose(win[n].reshape(-1), 0, F, winners, 0, P, P, F)
        d = dout[n].reshape(-1)
        if not planes:
            transpose(d, 0, F, paid, 0, P, P, F)
            d = paid
        for i in range(len(d)):
            paid[i] = d[i] if winners[i] < nobody else nothing
        for f in range(F):
            partial = nothing
            for p in range(P):
                partial += paid[f * P + p]
            total[f] += partial
            _filter(
                room, at, line, places, P, starts.shape[1], winners, paid, f, acc, HH, lanes
            )  # fmt: skip
    db[part] = total
    for k in range(HH * width):
        for f in range(F):
            dmatrix[part, k, f] = acc[(f * HH + k // width) * lanes + k % width]


@parallel
def backward_parts(parts: int, *arguments: Any) -> None:
    """All parts of backward_part."""
    for part in numba.prange(parts):
        backward_part(np.int64(part), parts, *arguments)
