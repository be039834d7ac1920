"""Convolution blocks, compiled: convolution, bias or batch norm, max pool and ReLU in few passes.

A few images at a time go through all of it and stay in the L2 cache. Images are (N, H, W, C)
here: whatever is done by channel is done to neighbours. ``o`` is the block's ``Offsets``,
``numbers`` the same packed; a *winner* is the position in the pooling window that is paid, or the
window's size for none (the ReLU cut it off). Each function does one part of the batch: a thread's.
"""

from typing import Any

import numba
import numpy as np

from handgrad.engine.kernels.blas import ZERO, compiled, parallel
from handgrad.engine.kernels.direct import pooled_product, pools, product
from handgrad.engine.kernels.offsets import in_one_window, unpacked
from handgrad.engine.kernels.vectors import clear, copy, pay_winners, pool, transpose


@compiled
def framed(x: Any, first: int, count: int, padding: int, scratch: Any) -> tuple[Any, int]:
    """Give images from ``first`` on as (numbers, where they start), padded in ``scratch``."""
    if padding == 0:
        return x.reshape(-1), first * x[0].size
    _, H, W, C = x.shape
    line = (W + 2 * padding) * C
    images, into = x.reshape(-1), scratch.reshape(-1)
    for i in range(count):
        for row in range(H):
            at = (i * (H + 2 * padding) + row + padding) * line + padding * C
            copy(images, ((first + i) * H + row) * W * C, into, at, W * C)
    return into, 0


@compiled
def frame_numbers(x: Any, padding: int) -> int:
    """Numbers of an image that ``framed`` gives."""
    _, H, W, C = x.shape
    return int((H + 2 * padding) * (W + 2 * padding) * C)


@compiled
def frame(x: Any, o: Any) -> Any:
    """Scratch for ``framed``: zeros, of which the border stays."""
    chunk = o.chunk if o.padding else 0
    _, H, W, C = x.shape
    return np.zeros((chunk, H + 2 * o.padding, W + 2 * o.padding, C), x.dtype)


@compiled
def forward_part(
    part: Any, parts: int, x: Any, matrix: Any, b: Any, numbers: Any, relu: bool, planes: bool,
    out: Any, win: Any,
) -> None:  # fmt: skip
    """Convolve, add b, pool, cut: out and win (N, P, F); out (N, up to F, P) with ``planes``."""
    o = unpacked(numbers)
    N, image = len(x), frame_numbers(x, o.padding)
    K, F = matrix.shape
    P, window = o.table.shape
    at_once, filters = pools(window, F), matrix.reshape(-1)
    scratch = frame(x, o)
    y = np.empty((0 if at_once else o.chunk * o.pixels, F), x.dtype)
    one, zero = np.ones(F, x.dtype), np.zeros(F, x.dtype)
    table = o.table.reshape(-1)
    pooled = np.empty(P * F if planes else 0, x.dtype)
    pixels = np.empty(P * window, np.int64)  # window by window
    for q in range(P * window):
        pixels[q] = o.rows[table[q]]
    # Made once: with each view of an array all threads count up and down at the same place.
    whole, winners, products = out.reshape(-1), win.reshape(-1), y.reshape(-1)
    into, size = pooled if planes else whole, out.size // max(1, N)
    stop = N * (part + 1) // parts
    for first in range(N * part // parts, stop, o.chunk):
        count = min(o.chunk, stop - first)
        images, start = framed(x, first, count, o.padding, scratch)
        if not at_once:
            product(images, start, o.rows, count * o.pixels, o.taps, K, filters, F, products, False)
        for i in range(count):
            n = first + i
            goal = 0 if planes else n * size
            if at_once:
                pooled_product(
                    images, start + i * image, pixels, P, o.taps, K, filters, F, b, relu, into,
                    goal, winners, n * P * F,
                )  # fmt: skip
            else:
                pool(
                    products, i * o.pixels, F, table, P, window, one, zero, b, relu, into, goal,
                    winners, n * P * F, None,
                )  # fmt: skip
            if planes:
                transpose(pooled, ZERO, F, whole, n * size, P, P, size // P)


@compiled
def backward_part(
    part: Any, parts: int, dout: Any, win: Any, x: Any, upside: Any, numbers: Any, planes: bool,
    need_dx: bool, dx: Any, dmatrix: Any, db: Any,
) -> None:  # fmt: skip
    """Pay each winner; dmatrix (parts, K, F), db (parts, F), dx as x; dout as out was."""
    o = unpacked(numbers)
    N, P, F = win.shape
    pooled = np.zeros(P * F if planes else 0, x.dtype)
    scratch, spare = frame(x, o), frames(dx, o, F, need_dx)
    one = np.ones(F, x.dtype)
    dy = np.empty((o.chunk * o.pixels, F), x.dtype)
    dw = dmatrix[part]
    clear(dw.reshape(-1))
    total, partial = np.zeros(F, np.float64), np.empty(F, x.dtype)
    each_once = in_one_window(o)
    # Made once: with each view of an array all threads count up and down at the same place.
    whole, winners, pixels = dout.reshape(-1), win.reshape(-1), dy.reshape(-1)
    table, window = o.table.reshape(-1), o.table.shape[1]
    d, size = pooled if planes else whole, dout.size // max(1, N)
    stop = N * (part + 1) // parts
    for first in range(N * part // parts, stop, o.chunk):
        count = min(o.chunk, stop - first)
        if not each_once:
            clear(pixels)
        for i in range(count):
            n = first + i
            clear(partial)
            if planes:
                transpose(whole, n * size, P, pooled, ZERO, F, size // P, P)
            pay_winners(
                d, 0 if planes else n * size, winners, n * P * F, F, table, P, window,
                i * o.pixels, one, pixels, partial, not each_once,
            )  # fmt: skip
            for f in range(F):
                total[f] += partial[f]
        images, start = framed(x, first, count, o.padding, scratch)
        pay(images, start, dy, count, o, dw)
        if need_dx:
            spread(dy, first, count, upside, o, spare, dx)
    for f in range(F):
        db[part, f] = total[f]


@compiled
def pay(images: Any, start: int, dy: Any, count: int, o: Any, dw: Any) -> None:
    """Add the gradient of the filters from a chunk's pixels, dy, to dw (K, F)."""
    K, F = dw.shape
    product(
        images, start, o.taps, K, o.rows, count * o.pixels, dy.reshape(-1), F, dw.reshape(-1), True
    )


@compiled
def frames(dx: Any, o: Any, F: int, need_dx: bool) -> Any:
    """Scratch for ``spread``: zeros, of which those beside the pixels stay."""
    return np.zeros((o.chunk if need_dx else 0, o.frame[0] * o.frame[1] * F), dx.dtype)


@compiled
def spread(dy: Any, first: int, count: int, upside: Any, o: Any, spare: Any, dx: Any) -> None:
    """Give the images' gradient, dx (N, H, W, C), from a chunk's pixels, dy."""
    K, width = upside.shape
    _, H, W, C = dx.shape
    F, pixels, around, size = dy.shape[1], dy.reshape(-1), spare.reshape(-1), spare.shape[1]
    for i in range(count):
        for p in range(o.pixels):
            copy(pixels, (i * o.pixels + p) * F, around, i * size + o.places[p], F)
    if width == C:
        product(
            around, 0, o.image_rows, count * H * W, o.image_taps, K,
            upside.reshape(-1), C, dx[first : first + count].reshape(-1), False,
        )  # fmt: skip
        return
    wide = np.empty((count * H * W, width), dx.dtype)
    product(
        around, 0, o.image_rows, count * H * W, o.image_taps, K, upside.reshape(-1),
        width, wide.reshape(-1), False,
    )  # fmt: skip
    narrow = dx[first : first + count].reshape(count * H * W, C)
    for p in range(len(narrow)):
        for c in range(C):
            narrow[p, c] = wide[p, c]


@compiled
def spread_part(part: Any, parts: int, dout: Any, upside: Any, numbers: Any, dx: Any) -> None:
    """Give dx (N, H, W, C) from the pixels' gradient dout (N, pixels, F)."""
    o = unpacked(numbers)
    N, _, F = dout.shape
    spare = frames(dx, o, F, True)
    stop = N * (part + 1) // parts
    for first in range(N * part // parts, stop, o.chunk):
        count = min(o.chunk, stop - first)
        pixels = dout[first : first + count].reshape(count * o.pixels, F)
        spread(pixels, first, count, upside, o, spare, dx)


# All parts at once, each on a thread of Numba's. The loops are all that is compiled with Numba's
# own parallelism, which compiles slowly.


@parallel
def forward_parts(parts: int, *arguments: Any) -> None:
    """All parts of forward_part."""
    for part in numba.prange(parts):
        forward_part(np.int64(part), parts, *arguments)


@parallel
def backward_parts(parts: int, *arguments: Any) -> None:
    """All parts of backward_part."""
    for part in numba.prange(parts):
        backward_part(np.int64(part), parts, *arguments)


@parallel
def spread_parts(parts: int, *arguments: Any) -> None:
    """All parts of spread_part."""
    for part in numba.prange(parts):
        spread_part(np.int64(part), parts, *arguments)
