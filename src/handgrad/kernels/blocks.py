"""Convolution blocks, compiled: convolution, bias or batch norm, max pool and ReLU in few passes.

A few images at a time go through all of it, so that patches and products stay in the L2 cache.
Images are (N, H, W, C) here: a patch is then a few runs of neighbouring numbers, and whatever is
done by channel is done to neighbours. ``g`` is ``Geometry.numbers``, ``table`` its table; a
*winner* is the position in the pooling window that is paid, or the window's size for none (the
ReLU cut it off). Each function does one part of the batch: a thread's.
"""

from typing import Any

import numba
import numpy as np

from handgrad.kernels.blas import compiled, gemm, parallel
from handgrad.kernels.runs import add_run, copy_run

# Numbers of patches and products that a chunk of images may have: 256 KiB of float32.
_CHUNK_NUMBERS = 2**16


@compiled
def numbers(g: Any) -> tuple[int, int, int, int, int, int, int]:
    """KH, KW, step, padding, GH, GW, Q."""
    return g[0], g[1], g[2], g[3], g[4], g[5], g[6]


@compiled
def images(N: int, part: Any, parts: int, cells: int, numbers: int) -> tuple[int, int, int]:
    """First image, last + 1, and how many at a time."""
    chunk = max(1, _CHUNK_NUMBERS // (cells * numbers))
    return N * part // parts, N * (part + 1) // parts, chunk


@compiled
def gather(x: Any, n: int, g: Any, image: Any, rows: Any, first: int) -> None:
    """Write the patches of image n from row ``first`` on; ``image`` (H, W*C) is padded scratch."""
    KH, KW, step, padding, GH, GW, _ = numbers(g)
    H, W, C = x.shape[1:]
    run, line = KW * C, (W + 2 * padding) * C
    source = x[n].reshape(-1)
    if padding:
        padded = image.reshape(-1)
        for i in range(H):
            copy_run(padded, (i + padding) * line + padding * C, source, i * W * C, W * C)
        source = padded
    to = rows.reshape(-1)
    at = first * KH * run
    for i in range(GH):
        for j in range(GW):
            corner = i * step * line + j * step * C
            for k in range(KH):
                copy_run(to, at, source, corner + k * line, run)
                at += run


@compiled
def scatter(drows: Any, first: int, g: Any, dimage: Any, dx: Any, n: int) -> None:
    """Add the patches' gradients up in ``dimage`` (H, W*C), padded, and crop it into dx[n]."""
    KH, KW, step, padding, GH, GW, _ = numbers(g)
    H, W, C = dx.shape[1:]
    run, line = KW * C, (W + 2 * padding) * C
    dimage[:] = 0
    to, source, cropped = dimage.reshape(-1), drows.reshape(-1), dx[n].reshape(-1)
    at = first * KH * run
    for i in range(GH):
        for j in range(GW):
            corner = i * step * line + j * step * C
            for k in range(KH):
                add_run(to, corner + k * line, source, at, run)
                at += run
    for i in range(H):
        copy_run(cropped, i * W * C, to, (i + padding) * line + padding * C, W * C)


@compiled
def pool(y: Any, base: int, table: Any, a: Any, mean: Any, b: Any, relu: bool, out: Any, win: Any) -> None:  # noqa: E501  # fmt: skip
    """Pool one image: out = max over the window of (y - mean) * a + b, cut at 0 with ``relu``.

    y (pixels, F) from row ``base``, out and win (P, F). The first of equals wins; a NaN comes
    through, and is paid nothing.
    """
    P, size = table.shape
    F = y.shape[1]
    for o in range(P):
        best, winner = out[o], win[o]
        row = y[base + table[o, 0]]
        for f in range(F):
            best[f] = (row[f] - mean[f]) * a[f] + b[f]
            winner[f] = 0
        for q in range(1, size):
            row = y[base + table[o, q]]
            for f in range(F):
                value = (row[f] - mean[f]) * a[f] + b[f]
                more = value > best[f] or value != value
                best[f] = value if more else best[f]
                winner[f] = q if more else winner[f]
        for f in range(F):
            value = best[f]
            if relu:
                winner[f] = winner[f] if value > 0 else size
                best[f] = value * 0 if value <= 0 else value
            elif value != value:
                winner[f] = size


@compiled
def forward_part(
    part: Any, parts: int, x: Any, matrix: Any, b: Any, g: Any, table: Any, relu: bool,
    out: Any, win: Any,
) -> None:  # fmt: skip
    """Convolve, add b, pool, cut: out and win (N, P, F)."""
    _, _, _, padding, GH, GW, Q = numbers(g)
    N, H, W, C = x.shape
    K, QF = matrix.shape
    cells, F = GH * GW, QF // Q
    start, stop, chunk = images(N, part, parts, cells, K + QF)
    rows = np.empty((chunk * cells, K), x.dtype)
    y = np.empty((chunk * cells, QF), x.dtype)
    image = np.zeros((H + 2 * padding, (W + 2 * padding) * C), x.dtype)
    one, zero = np.ones(F, x.dtype), np.zeros(F, x.dtype)
    for first in range(start, stop, chunk):
        count = min(chunk, stop - first)
        for i in range(count):
            gather(x, first + i, g, image, rows, i * cells)
        gemm(0, 0, count * cells, QF, K, rows, K, matrix, QF, 0, y, QF)
        pixels = y.reshape(chunk * cells * Q, F)
        for i in range(count):
            pool(pixels, i * cells * Q, table, one, zero, b, relu, out[first + i], win[first + i])


@compiled
def _add_scaled(total: Any, scale: Any, terms: Any) -> None:
    for k in range(len(terms)):
        total[k] += scale * terms[k]


@compiled
def backward_part(
    part: Any, parts: int, dout: Any, win: Any, x: Any, matrix: Any, g: Any, table: Any,
    need_dx: bool, dx: Any, dmatrix: Any, db: Any,
) -> None:  # fmt: skip
    """Pay each winner; dmatrix (parts, Q*F, K), db (parts, F), dx as x.

    Without dx and with a pool, three quarters of the products' gradient are zero: then each
    winner adds its patch, scaled, to its filter, which is a quarter of the work or less.
    """
    _, _, _, padding, GH, GW, Q = numbers(g)
    N, H, W, C = x.shape
    K, QF = matrix.shape
    P, size = table.shape
    cells, F = GH * GW, QF // Q
    sparse = size > 1 and not need_dx
    start, stop, chunk = images(N, part, parts, cells, 2 * K + QF)
    rows = np.empty((chunk * cells, K), x.dtype)
    dy = np.empty((chunk * cells, QF), x.dtype)
    dpixels = dy.reshape(chunk * cells * Q, F)
    image = np.zeros((H + 2 * padding, (W + 2 * padding) * C), x.dtype)
    dw = dmatrix[part]
    dw[:] = 0
    total = np.zeros(F, np.float64)
    for first in range(start, stop, chunk):
        count = min(chunk, stop - first)
        if not sparse:
            dy[:] = 0
        for i in range(count):
            n = first + i
            gather(x, n, g, image, rows, i * cells)
            partial = np.zeros(F, x.dtype)
            for o in range(P):
                d, winner = dout[n, o], win[n, o]
                for f in range(F):
                    partial[f] += d[f] if winner[f] < size else 0
                if sparse:
                    for f in range(F):
                        if winner[f] < size:
                            pixel = table[o, winner[f]]
                            cell = pixel >> 2 if Q == 4 else pixel
                            patch = rows[i * cells + cell]
                            _add_scaled(dw[(pixel - cell * Q) * F + f], d[f], patch)
                else:
                    for q in range(size):
                        paid = dpixels[i * cells * Q + table[o, q]]
                        for f in range(F):
                            paid[f] += d[f] if winner[f] == q else 0
            for f in range(F):
                total[f] += partial[f]
        if not sparse:
            products(dy, rows, matrix, dw, count, g, need_dx, dx, first, image)
    db[part] = total


@compiled
def products(
    dy: Any, rows: Any, matrix: Any, dw: Any, count: int, g: Any, need_dx: bool, dx: Any,
    first: int, image: Any,
) -> None:  # fmt: skip
    """Add dy^T rows to dw; then rows become their gradient dy matrix^T, added up in dx."""
    K, QF = matrix.shape
    cells = g[4] * g[5]
    gemm(1, 0, QF, K, count * cells, dy, QF, rows, K, 1, dw, K)
    if need_dx:
        gemm(0, 1, count * cells, K, QF, dy, QF, matrix, QF, 0, rows, K)
        dimage = np.empty_like(image)
        for i in range(count):
            scatter(rows, i * cells, g, dimage, dx, first + i)


@compiled
def spread_part(part: Any, parts: int, dout: Any, matrix: Any, g: Any, dx: Any) -> None:
    """Add dout (N, pixels, F) matrix^T up in dx (N, H, W, C), without padding."""
    N, H, W, C = dx.shape
    K, F = matrix.shape
    cells = dout.shape[1]
    start, stop, chunk = images(N, part, parts, cells, K + F)
    rows = np.empty((chunk * cells, K), dx.dtype)
    dimage = np.empty((H, W * C), dx.dtype)
    for first in range(start, stop, chunk):
        count = min(chunk, stop - first)
        gemm(0, 1, count * cells, K, F, dout[first], F, matrix, F, 0, rows, K)
        for i in range(count):
            scatter(rows, i * cells, g, dimage, dx, first + i)


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
