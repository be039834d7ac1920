"""Convolution blocks with batch norm, compiled: those of blocks.py in four passes."""

from typing import Any

import numba
import numpy as np

from handgrad.engine.kernels.blas import compiled, parallel
from handgrad.engine.kernels.blocks import frame, framed, frames, pay, spread
from handgrad.engine.kernels.direct import product
from handgrad.engine.kernels.offsets import unpacked
from handgrad.engine.kernels.vectors import clear, pay_winners, pool


@compiled
def products_part(
    part: Any, parts: int, x: Any, matrix: Any, numbers: Any, y: Any, moments: Any
) -> None:
    """Convolve into y (N, pixels, F); moments (parts, 3, F): count, mean, squared deviations.

    Each image's deviations are taken from its own mean while it is in the cache, then merged
    (Chan et al., 1979): as exact as two passes.
    """
    o = unpacked(numbers)
    N, size, F = y.shape
    K = len(matrix)
    scratch = frame(x, o)
    known = moments[part]
    clear(known.reshape(-1))
    stop = N * (part + 1) // parts
    for first in range(N * part // parts, stop, o.chunk):
        count = min(o.chunk, stop - first)
        images, start = framed(x, first, count, o.padding, scratch)
        product(
            images, start, o.rows, count * size, o.taps, K, matrix.reshape(-1), F,
            y[first : first + count].reshape(-1), False,
        )  # fmt: skip
        for i in range(count):
            pixels = y[first + i]
            mean, squares = np.zeros(F, x.dtype), np.zeros(F, x.dtype)
            for p in range(size):
                for f in range(F):
                    mean[f] += pixels[p, f]
            for f in range(F):
                mean[f] /= size
            for p in range(size):
                for f in range(F):
                    squares[f] += (pixels[p, f] - mean[f]) ** 2
            for f in range(F):
                before, after = known[0, f], known[0, f] + size
                delta = mean[f] - known[1, f]
                known[1, f] += delta * size / after
                known[2, f] += squares[f] + delta * delta * before * size / after
                known[0, f] = after


@compiled
def pool_part(
    part: Any, parts: int, y: Any, numbers: Any, a: Any, mean: Any, b: Any, relu: bool, out: Any,
    win: Any, top: Any,
) -> None:  # fmt: skip
    """Normalise, scale, pool and cut the products: out, win, the winners' y, top (N, P, F)."""
    table = unpacked(numbers).table
    N, size, F = y.shape
    P, window = table.shape
    pixels, places, best = y.reshape(-1), table.reshape(-1), top.reshape(-1)
    whole, winners = out.reshape(-1), win.reshape(-1)
    for n in range(N * part // parts, N * (part + 1) // parts):
        at = n * P * F
        pool(pixels, n * size, F, places, P, window, a, mean, b, relu, whole, at, winners, at, best)


@compiled
def sums_part(
    part: Any, parts: int, dout: Any, win: Any, top: Any, size: int, mean: Any, inverse: Any,
    sums: Any,
) -> None:  # fmt: skip
    """Sum dout and dout * x_hat over the winners: sums (parts, 2, F)."""
    N, P, F = dout.shape
    into = sums[part]
    clear(into.reshape(-1))
    for n in range(N * part // parts, N * (part + 1) // parts):
        plain, weighted = np.zeros(F, top.dtype), np.zeros(F, top.dtype)
        for o in range(P):
            d, winner, row = dout[n, o], win[n, o], top[n, o]
            for f in range(F):
                paid = d[f] if winner[f] < size else 0
                plain[f] += paid
                weighted[f] += paid * ((row[f] - mean[f]) * inverse[f])
        for f in range(F):
            into[0, f] += plain[f]
            into[1, f] += weighted[f]


@compiled
def backward_part(
    part: Any, parts: int, dout: Any, win: Any, y: Any, mean: Any, inverse: Any, a: Any,
    dmean: Any, dslope: Any, x: Any, upside: Any, numbers: Any, need_dx: bool, dx: Any,
    dmatrix: Any,
) -> None:  # fmt: skip
    """Give dy = a * (paid - dmean - x_hat * dslope), and from it dmatrix (parts, K, F) and dx."""
    o = unpacked(numbers)
    N, P, F = dout.shape
    scratch, spare = frame(x, o), frames(dx, o, F, need_dx)
    dy = np.empty((o.chunk * o.pixels, F), x.dtype)
    paid, winners, pixels = dout.reshape(-1), win.reshape(-1), dy.reshape(-1)
    table, window = o.table.reshape(-1), o.table.shape[1]
    dw = dmatrix[part]
    clear(dw.reshape(-1))
    slope, unused = np.empty(F, y.dtype), np.zeros(F, y.dtype)
    for f in range(F):
        slope[f] = inverse[f] * dslope[f]
    stop = N * (part + 1) // parts
    for first in range(N * part // parts, stop, o.chunk):
        count = min(o.chunk, stop - first)
        for i in range(count):
            n = first + i
            base = i * o.pixels
            for p in range(o.pixels):
                row, into = y[n, p], dy[base + p]
                for f in range(F):
                    into[f] = -a[f] * (dmean[f] + (row[f] - mean[f]) * slope[f])
            at = n * P * F
            pay_winners(
                paid, at, winners, at, F, table, P, window, base, a, pixels, unused, True
            )  # fmt: skip
        images, start = framed(x, first, count, o.padding, scratch)
        pay(images, start, dy, count, o, dw)
        if need_dx:
            spread(dy, first, count, upside, o, spare, dx)


@parallel
def products_parts(parts: int, *arguments: Any) -> None:
    """All parts of products_part."""
    for part in numba.prange(parts):
        products_part(np.int64(part), parts, *arguments)


@parallel
def pool_parts(parts: int, *arguments: Any) -> None:
    """All parts of pool_part."""
    for part in numba.prange(parts):
        pool_part(np.int64(part), parts, *arguments)


@parallel
def sums_parts(parts: int, *arguments: Any) -> None:
    """All parts of sums_part."""
    for part in numba.prange(parts):
        sums_part(np.int64(part), parts, *arguments)


@parallel
def backward_parts(parts: int, *arguments: Any) -> None:
    """All parts of backward_part."""
    for part in numba.prange(parts):
        backward_part(np.int64(part), parts, *arguments)
