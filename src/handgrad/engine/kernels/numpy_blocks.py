"""Convolution blocks in plain NumPy: what a network runs in place of several layers.

Images are (N, H, W, C) here.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from handgrad.arrays import Array
from handgrad.engine.kernels.centring import centred, inside, mean_before
from handgrad.engine.kernels.geometry import Geometry, geometry
from handgrad.engine.kernels.parts import in_parts

# As many numbers of patches at a time as stay in the cache, to be read back by the product.
_PATCH_NUMBERS = 2**18


def _finite(x: Array) -> bool:
    return bool(np.isfinite(x).all())


def _block_rows(x: Array, geo: Geometry) -> Iterator[tuple[slice, Array]]:
    """Yield (which images, their patches as rows (images * cells, KH*KW*C))."""
    p = geo.padding
    if p:
        x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    view = sliding_window_view(x, geo.patch, axis=(1, 2))[:, :: geo.step, :: geo.step]
    view = view[:, : geo.grid[0], : geo.grid[1]].transpose(0, 1, 2, 4, 5, 3)
    K = math.prod(view.shape[3:])
    images = max(1, _PATCH_NUMBERS // (K * math.prod(geo.grid)))
    for start in range(0, len(x), images):
        chunk = slice(start, min(start + images, len(x)))
        yield chunk, view[chunk].reshape(-1, K)


def _products(rows: Array, matrices: Array, images: int) -> Array:
    """Convolve: (images, offsets * cells, F), each offset's pixels side by side."""
    _, K, F = matrices.shape
    products: Array = np.matmul(rows.reshape(images, 1, -1, K), matrices)
    return products.reshape(images, -1, F)


def _window(table: Array, q: int) -> Any:
    """Index of the q-th pixel of every window: a slice, which copies nothing, where it is one."""
    first, size = int(table[0, q]), len(table)
    if (table[:, q] == np.arange(first, first + size)).all():
        return slice(first, first + size)
    return table[:, q]


def _mark(win: Array, where: Array, q: int) -> None:
    """Set win to q, larger than what it holds: a tenth of the time that a masked copy takes."""
    np.maximum(win, where.view(np.uint8) * np.uint8(q), out=win)


def _pool(y: Array, table: Array, relu: bool) -> tuple[Array, Array]:
    """Pool y (N, pixels, F): the largest (N, P, F) of each window, and which; see block_forward."""
    size = table.shape[1]
    out = y[:, _window(table, 0)].copy()
    win = np.zeros(out.shape, dtype=np.uint8)
    for q in range(1, size):
        pixel = y[:, _window(table, q)]
        _mark(win, pixel > out, q)  # the first of equals stays
        np.maximum(out, pixel, out=out)  # a NaN comes through
    _mark(win, ~(out > 0) if relu else np.isnan(out), size)
    if relu:
        np.maximum(out, 0, out=out)
    return out, win


def _pay(d: Array, win: Array, table: Array, dy: Array) -> None:
    """Add d (N, P, F) to the winners' places in dy (N, pixels, F)."""
    for q in range(table.shape[1]):
        dy[:, _window(table, q)] += np.where(win == q, d, 0)


def _unblock(
    dy: Array, x: Array, w: Array, geo: Geometry, need_dx: bool
) -> tuple[Array | None, Array]:
    """Take the gradient of the products to that of x and w."""
    matrices = geo.matrices(w)
    Q, K, F = matrices.shape
    dmatrices = np.zeros((Q, F, K), dtype=x.dtype)
    N, H, W, C = x.shape
    p, s = geo.padding, geo.step
    dx = np.zeros((N, H + 2 * p, W + 2 * p, C) if need_dx else 0, dtype=x.dtype)
    for chunk, rows in _block_rows(x, geo):
        products = dy[chunk].reshape(-1, Q, math.prod(geo.grid), F)
        drows: Any = 0
        for q in range(Q):
            of_offset = products[:, q].reshape(-1, F)
            dmatrices[q] += of_offset.T @ rows
            if need_dx:
                drows = drows + of_offset @ matrices[q].T
        if need_dx:
            drows = drows.reshape(-1, *geo.grid, *geo.patch, C)
            for k in range(geo.patch[0]):
                for l in range(geo.patch[1]):  # noqa: E741
                    down = slice(k, k + s * (geo.grid[0] - 1) + 1, s)
                    across = slice(l, l + s * (geo.grid[1] - 1) + 1, s)
                    dx[chunk, down, across] += drows[:, :, :, k, l]
    dw = geo.filters(dmatrices, w.shape)
    return (dx[:, p : p + H, p : p + W] if need_dx else None), dw


def _arranged(out: Array, planes: bool) -> Array:
    """(N, PH, PW, F), or as planes (N, F, PH, PW)."""
    return np.ascontiguousarray(out.transpose(0, 3, 1, 2)) if planes else out


def block_forward(
    x: Array, w: Array, b: Array | None, *, stride: int, padding: int, pool: tuple[int, int],
    relu: bool, planes: bool = False,
) -> tuple[Array, Array]:  # fmt: skip
    """Convolution, bias, max pool and ReLU.

    Parameters
    ----------
    x : array (N, H, W, C)
    w : array (F, C, HH, WW)
    b : array (F,), optional
    pool : (size, stride), (1, 1) for none

    Returns
    -------
    out : array (N, PH, PW, F); with ``planes``, as a dense layer reads it, (N, F, PH, PW)
    win : uint8 array (N, PH, PW, F)
        Which pixel of the window, in reading order, is the largest (the first of equals); the
        number of pixels in a window where the ReLU cut or a NaN came through: nobody is paid.
    """
    N, F = len(x), len(w)
    geo = geometry(x.shape[1:], w.shape[2:], stride, padding, pool, False, _finite(x))
    work = N * geo.products(w)
    out = np.empty((N, math.prod(geo.out), F), dtype=x.dtype)
    win = np.empty(out.shape, dtype=np.uint8)
    matrices = geo.matrices(w)

    def part(some: slice) -> None:
        for chunk, rows in _block_rows(x[some], geo):
            y = _products(rows, matrices, chunk.stop - chunk.start)
            if b is not None:
                y += b
            out[some][chunk], win[some][chunk] = _pool(y, geo.table, relu)

    in_parts(N, work, part)
    return _arranged(out.reshape(N, *geo.out, F), planes), win.reshape(N, *geo.out, F)


def block_backward(
    dout: Array, win: Array, x: Array, w: Array, *, stride: int, padding: int,
    pool: tuple[int, int], need_dx: bool, planes: bool = False,
) -> tuple[Array | None, Array, Array]:  # fmt: skip
    """Gradients (dx, dw, db) of block_forward; dx None without ``need_dx``."""
    if planes:
        dout = dout.transpose(0, 2, 3, 1)
    N, F = len(x), len(w)
    finite = _finite(x) and _finite(dout)
    geo = geometry(x.shape[1:], w.shape[2:], stride, padding, pool, False, finite)
    work = N * geo.products(w)
    d, win = dout.reshape(N, -1, F), win.reshape(N, -1, F)

    def part(some: slice) -> tuple[Array | None, Array, Array]:
        paid = d[some]
        dy = np.zeros((len(paid), geo.pixels, F), dtype=x.dtype)
        _pay(paid, win[some], geo.table, dy)
        db = np.where(win[some] < geo.table.shape[1], paid, 0).sum(axis=(0, 1))
        return *_unblock(dy, x[some], w, geo, need_dx), db

    dx, dw, db = zip(*in_parts(N, work, part), strict=True)
    return (np.concatenate(dx) if need_dx else None), sum(dw[1:], dw[0]), sum(db[1:], db[0])


def norm_block_forward(
    x: Array, w: Array, gamma: Array, beta: Array, eps: float, *, stride: int, padding: int,
    pool: tuple[int, int], relu: bool, need_dx: bool, planes: bool = False,
) -> tuple[Array, Array, Array, tuple[Any, ...]]:  # fmt: skip
    """Convolution, batch norm in training mode, max pool and ReLU.

    Arguments and out as block_forward's; ``need_dx``: whether norm_block_backward will be asked for
    dx. Also returns the mean and biased variance (F,) of what the convolution gave, and a cache for
    norm_block_backward of the same engine.
    """
    N, F = len(x), len(w)
    x, padding, shift = centred(x, padding)
    geo = geometry(x.shape[1:], w.shape[2:], stride, padding, pool, True, _finite(x))
    work = N * geo.products(w)
    y = np.empty((N, geo.pixels, F), dtype=x.dtype)
    out = np.empty((N, math.prod(geo.out), F), dtype=x.dtype)
    win = np.empty(out.shape, dtype=np.uint8)
    matrices = geo.matrices(w)
    count = x.dtype.type(N * y.shape[1])

    def products(some: slice) -> Array:
        for chunk, rows in _block_rows(x[some], geo):
            y[some][chunk] = _products(rows, matrices, chunk.stop - chunk.start)
        return np.asarray(y[some].sum(axis=1).sum(axis=0))

    mean = sum(in_parts(N, work, products)) / count

    def squares(some: slice) -> Array:
        away = y[some] - mean
        return np.asarray(np.einsum("npf,npf->nf", away, away).sum(axis=0))

    var = sum(in_parts(N, work, squares)) / count
    scale = gamma * (1 / np.sqrt(var + x.dtype.type(eps)))

    def pooled(some: slice) -> None:
        normed = y[some] - mean
        normed *= scale
        normed += beta
        out[some], win[some] = _pool(normed, geo.table, relu)

    in_parts(N, work, pooled)
    out = _arranged(out.reshape(N, *geo.out, F), planes)
    return out, mean_before(mean, shift, w), var, (win, y, mean, var, x, padding)


def norm_block_backward(
    dout: Array, cache: tuple[Any, ...], x: Array, w: Array, gamma: Array, eps: float, *,
    stride: int, padding: int, pool: tuple[int, int], need_dx: bool, planes: bool = False,
) -> tuple[Array | None, Array, Array, Array]:  # fmt: skip
    """Gradients (dx, dw, dgamma, dbeta) of norm_block_forward."""
    if planes:
        dout = dout.transpose(0, 2, 3, 1)
    N, F = len(x), len(w)
    win, y, mean, var, x, left = cache
    around, padding = padding - left, left  # the forward pass has put the other around x
    geo = geometry(x.shape[1:], w.shape[2:], stride, padding, pool, True, _finite(x))
    work = N * geo.products(w)
    inverse = 1 / np.sqrt(var + x.dtype.type(eps))
    count = x.dtype.type(N * y.shape[1])
    d = dout.reshape(N, -1, F)
    dy, x_hat = np.zeros(y.shape, dtype=x.dtype), np.empty(y.shape, dtype=x.dtype)

    def sums(some: slice) -> tuple[Array, Array]:
        np.subtract(y[some], mean, out=x_hat[some])
        x_hat[some] *= inverse
        _pay(d[some], win[some], geo.table, dy[some])
        weighted = np.einsum("npf,npf->nf", dy[some], x_hat[some])
        return dy[some].sum(axis=1).sum(axis=0), weighted.sum(axis=0)

    dbeta, dgamma = (
        sum(more, first) for first, *more in zip(*in_parts(N, work, sums), strict=True)
    )

    def part(some: slice) -> tuple[Array | None, Array]:
        x_hat[some] *= dgamma / count
        dy[some] -= x_hat[some]
        dy[some] -= dbeta / count
        dy[some] *= gamma * inverse
        return _unblock(dy[some], x[some], w, geo, need_dx)

    dxs, dw = zip(*in_parts(N, work, part), strict=True)
    dx = inside(np.concatenate(dxs), around) if need_dx else None
    return dx, sum(dw[1:], dw[0]), dgamma, dbeta
