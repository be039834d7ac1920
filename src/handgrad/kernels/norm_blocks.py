"""Convolution blocks with batch norm, compiled: those of blocks.py in four passes."""

from typing import Any

import numba
import numpy as np

from handgrad.kernels.blas import compiled, gemm, parallel
from handgrad.kernels.blocks import gather, images, numbers, pool, products


@compiled
def products_part(part: Any, parts: int, x: Any, matrix: Any, g: Any, y: Any, moments: Any) -> None:
    """Convolve into y (N, pixels, F); moments (parts, 3, F): count, mean, squared deviations.

    Each chunk's deviations are taken from its own mean while it is in the cache, then merged
    (Chan et al., 1979): as exact as two passes.
    """
    _, _, _, padding, GH, GW, Q = numbers(g)
    N, H, W, C = x.shape
    K, QF = matrix.shape
    cells, F = GH * GW, QF // Q
    start, stop, chunk = images(N, part, parts, cells, K + QF)
    rows = np.empty((chunk * cells, K), x.dtype)
    image = np.zeros((H + 2 * padding, (W + 2 * padding) * C), x.dtype)
    known = moments[part]
    known[:] = 0
    for first in range(start, stop, chunk):
        count = min(chunk, stop - first)
        for i in range(count):
            gather(x, first + i, g, image, rows, i * cells)
        gemm(0, 0, count * cells, QF, K, rows, K, matrix, QF, 0, y[first], QF)
        for i in range(count):
            pixels = y[first + i]
            size = pixels.shape[0]
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
    part: Any, parts: int, y: Any, table: Any, a: Any, mean: Any, b: Any, relu: bool, out: Any,
    win: Any,
) -> None:  # fmt: skip
    """Normalise, scale, pool and cut the products: out, win (N, P, F)."""
    N = y.shape[0]
    for n in range(N * part // parts, N * (part + 1) // parts):
        pool(y[n], 0, table, a, mean, b, relu, out[n], win[n])


@compiled
def sums_part(
    part: Any, parts: int, dout: Any, win: Any, y: Any, table: Any, mean: Any, inverse: Any,
    sums: Any,
) -> None:  # fmt: skip
    """Sum dout and dout * x_hat over the winners: sums (parts, 2, F)."""
    N, P, F = dout.shape
    size = table.shape[1]
    into = sums[part]
    into[:] = 0
    for n in range(N * part // parts, N * (part + 1) // parts):
        plain, weighted = np.zeros(F, y.dtype), np.zeros(F, y.dtype)
        for o in range(P):
            d, winner = dout[n, o], win[n, o]
            for q in range(size):
                row = y[n, table[o, q]]
                for f in range(F):
                    paid = d[f] if winner[f] == q else 0
                    plain[f] += paid
                    weighted[f] += paid * ((row[f] - mean[f]) * inverse[f])
        for f in range(F):
            into[0, f] += plain[f]
            into[1, f] += weighted[f]


@compiled
def backward_part(
    part: Any, parts: int, dout: Any, win: Any, y: Any, mean: Any, inverse: Any, a: Any,
    dmean: Any, dslope: Any, x: Any, matrix: Any, g: Any, table: Any, need_dx: bool, dx: Any,
    dmatrix: Any,
) -> None:  # fmt: skip
    """Give dy = a * (paid - dmean - x_hat * dslope), and from it dmatrix (parts, Q*F, K) and dx."""
    _, _, _, padding, GH, GW, Q = numbers(g)
    N, H, W, C = x.shape
    K, QF = matrix.shape
    P, size = table.shape
    cells, F = GH * GW, QF // Q
    start, stop, chunk = images(N, part, parts, cells, 2 * K + QF)
    rows = np.empty((chunk * cells, K), x.dtype)
    dy = np.empty((chunk * cells, QF), x.dtype)
    dpixels = dy.reshape(chunk * cells * Q, F)
    image = np.zeros((H + 2 * padding, (W + 2 * padding) * C), x.dtype)
    dw = dmatrix[part]
    dw[:] = 0
    slope = np.empty(F, y.dtype)
    for f in range(F):
        slope[f] = inverse[f] * dslope[f]
    for first in range(start, stop, chunk):
        count = min(chunk, stop - first)
        for i in range(count):
            n = first + i
            gather(x, n, g, image, rows, i * cells)
            base = i * cells * Q
            for p in range(cells * Q):
                row, paid = y[n, p], dpixels[base + p]
                for f in range(F):
                    paid[f] = -a[f] * (dmean[f] + (row[f] - mean[f]) * slope[f])
            for o in range(P):
                d, winner = dout[n, o], win[n, o]
                for q in range(size):
                    paid = dpixels[base + table[o, q]]
                    for f in range(F):
                        paid[f] += a[f] * d[f] if winner[f] == q else 0
        products(dy, rows, matrix, dw, count, g, need_dx, dx, first, image)


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
