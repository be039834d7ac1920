"""The hot loops in plain NumPy: readable, always there, and what faster kernels are held against.

Shapes: N examples, C channels in, F filters, H x W image (padding already applied),
HH x WW filter or pooling window, OH x OW output. No function checks its arguments (layers.py
has done so) and none modifies them.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from handgrad.kernels.geometry import Geometry, geometry
from handgrad.kernels.numpy_steps import add_l2, dense_steps, update

__all__ = [
    "add_l2",
    "block_backward",
    "block_forward",
    "conv_backward_w",
    "conv_backward_x",
    "conv_forward",
    "dense_backward",
    "dense_forward",
    "dense_steps",
    "max_pool_backward",
    "max_pool_forward",
    "norm_block_backward",
    "norm_block_forward",
    "swap_last_axes",
    "update",
]

Array = NDArray[Any]

# A convolution gathers patches for a few images at a time: about this many numbers, so that the
# patches stay in the L2 cache between being written here and being read by the matrix product.
# Measured on 100 images of 28 x 28 with 7 x 7 filters: any value from 2**17 to 2**19 is as fast.
_PATCH_NUMBERS = 2**18


def _patch_chunks(x: Array, window: tuple[int, int], stride: int) -> Iterator[tuple[slice, Array]]:
    """Yield (which images, their patches of shape (images, C*HH*WW, OH*OW))."""
    view = sliding_window_view(x, window, axis=(2, 3))[:, :, ::stride, ::stride]
    view = view.transpose(0, 1, 4, 5, 2, 3)  # (N, C, HH, WW, OH, OW)
    N, C, HH, WW, OH, OW = view.shape
    images = max(1, _PATCH_NUMBERS // (C * HH * WW * OH * OW))
    for start in range(0, N, images):
        chunk = slice(start, min(start + images, N))
        yield chunk, view[chunk].reshape(-1, C * HH * WW, OH * OW)


def conv_forward(x: Array, w: Array, stride: int) -> Array:
    """Cross-correlate: out[n, f, i, j] = sum_{c,k,l} x[n, c, s*i + k, s*j + l] * w[f, c, k, l]."""
    N, _, H, W = x.shape
    F, _, HH, WW = w.shape
    OH, OW = (H - HH) // stride + 1, (W - WW) // stride + 1
    out = np.empty((N, F, OH * OW), dtype=x.dtype)
    w_rows = w.reshape(F, -1)
    for chunk, patches in _patch_chunks(x, (HH, WW), stride):
        np.matmul(w_rows, patches, out=out[chunk])
    return out.reshape(N, F, OH, OW)


def conv_backward_w(
    dout: Array, x: Array, w_shape: tuple[int, int, int, int], stride: int
) -> Array:
    """Sum dout times the patch under it: dw[f] = sum_{n,i,j} dout[n, f, i, j] * patch[n, i, j]."""
    N, F, OH, OW = dout.shape
    _, C, HH, WW = w_shape
    # With stride > 1 the last rows of x may lie under no window: keep to what the forward read.
    read = x[:, :, : (OH - 1) * stride + HH, : (OW - 1) * stride + WW]
    dout_rows = dout.reshape(N, F, OH * OW)
    dw = np.zeros((F, C * HH * WW), dtype=dout.dtype)
    for chunk, patches in _patch_chunks(read, (HH, WW), stride):
        dw += np.matmul(dout_rows[chunk], patches.transpose(0, 2, 1)).sum(axis=0)
    return dw.reshape(w_shape)


def conv_backward_x(
    dout: Array, w: Array, x_shape: tuple[int, int, int, int], stride: int
) -> Array:
    """Give each pixel the gradient of every window that read it: dx = dout *full w."""
    N, F, OH, OW = dout.shape
    _, C, HH, WW = w.shape
    dx = np.zeros(x_shape, dtype=dout.dtype)
    w_columns = w.reshape(F, -1).T  # (C*HH*WW, F)
    images = max(1, _PATCH_NUMBERS // (C * HH * WW * OH * OW))
    for start in range(0, N, images):
        chunk = slice(start, min(start + images, N))
        dpatches = np.matmul(w_columns, dout[chunk].reshape(-1, F, OH * OW))
        dpatches = dpatches.reshape(-1, C, HH, WW, OH, OW)
        for k in range(HH):
            for l in range(WW):  # noqa: E741 (k, l are the indices of the formula)
                rows = slice(k, k + stride * OH, stride)
                columns = slice(l, l + stride * OW, stride)
                dx[chunk, :, rows, columns] += dpatches[:, :, k, l]
    return dx


def _pool_views(
    x: Array, window: tuple[int, int], stride: int, out_size: tuple[int, int]
) -> Iterator[Array]:
    """Yield pixel 1, 2, ... (in reading order) of all windows at once, each (N, C, OH, OW)."""
    OH, OW = out_size
    for k in range(window[0]):
        for l in range(window[1]):  # noqa: E741
            yield x[
                :, :, k : k + stride * (OH - 1) + 1 : stride, l : l + stride * (OW - 1) + 1 : stride
            ]


def max_pool_forward(x: Array, window: tuple[int, int], stride: int) -> Array:
    """Take the largest pixel of each window; a NaN in the window comes through."""
    H, W = x.shape[2:]
    out_size = ((H - window[0]) // stride + 1, (W - window[1]) // stride + 1)
    views = _pool_views(x, window, stride, out_size)
    out = next(views).copy()
    for pixel in views:
        np.maximum(out, pixel, out=out)
    return out


def max_pool_backward(
    dout: Array, x: Array, out: Array, window: tuple[int, int], stride: int
) -> Array:
    """Pay each window's gradient to its largest pixel; in a tie, to the first."""
    out_size = (out.shape[2], out.shape[3])
    overlapping = stride < max(window)
    dx = np.zeros(x.shape, dtype=dout.dtype)
    unpaid = np.ones(out.shape, dtype=bool)
    targets = _pool_views(dx, window, stride, out_size)
    for pixel, dpixel in zip(_pool_views(x, window, stride, out_size), targets, strict=True):
        wins = pixel == out
        wins &= unpaid
        unpaid ^= wins
        if overlapping:
            dpixel += dout * wins
        else:  # each pixel is in one window: write it once, 2.5 times faster than adding
            np.multiply(dout, wins, out=dpixel)
    return dx


# Blocks: what a network runs in place of several layers. Images are (N, H, W, C) here.


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


def _pool(y: Array, table: Array, relu: bool) -> tuple[Array, Array]:
    """Pool y (N, pixels, F): the largest (N, P, F) of each window, and which; see block_forward."""
    size = table.shape[1]
    # Every pixel once and in order (a quarter of the patches): no copies.
    windows = y.reshape(len(y), -1, size, y.shape[2]) if _in_order(table, y) else None
    pixels = [windows[:, :, q] if windows is not None else y[:, table[:, q]] for q in range(size)]
    out = pixels[0].copy()
    win = np.zeros(out.shape, dtype=np.uint8)
    for q in range(1, size):
        more = ~(pixels[q] <= out)  # a NaN wins
        more &= out == out
        np.copyto(out, pixels[q], where=more)
        win[more] = q
    if relu:
        win[~(out > 0)] = size
        np.maximum(out, 0, out=out)
    else:
        win[out != out] = size
    return out, win


def _in_order(table: Array, y: Array) -> bool:
    return table.size == y.shape[1] and bool((table.reshape(-1) == np.arange(table.size)).all())


def _pay(d: Array, win: Array, table: Array, dy: Array) -> None:
    """Add d (N, P, F) to the winners' places in dy (N, pixels, F)."""
    size = table.shape[1]
    if _in_order(table, dy):
        windows = dy.reshape(len(dy), -1, size, dy.shape[2])
        for q in range(size):
            windows[:, :, q] += d * (win == q)
    else:
        for q in range(size):
            dy[:, table[:, q]] += d * (win == q)


def _unblock(
    dy: Array, x: Array, w: Array, geo: Geometry, need_dx: bool
) -> tuple[Array | None, Array]:
    """Take the gradient of the products to that of x and w."""
    matrix = geo.matrix(w)
    K, QF = matrix.shape
    dmatrix = np.zeros((QF, K), dtype=x.dtype)
    N, H, W, C = x.shape
    p, s = geo.padding, geo.step
    dx = np.zeros((N, H + 2 * p, W + 2 * p, C) if need_dx else 0, dtype=x.dtype)
    for chunk, rows in _block_rows(x, geo):
        products = dy[chunk].reshape(-1, QF)
        dmatrix += products.T @ rows
        if need_dx:
            drows = (products @ matrix.T).reshape(-1, *geo.grid, *geo.patch, C)
            for k in range(geo.patch[0]):
                for l in range(geo.patch[1]):  # noqa: E741
                    down = slice(k, k + s * (geo.grid[0] - 1) + 1, s)
                    across = slice(l, l + s * (geo.grid[1] - 1) + 1, s)
                    dx[chunk, down, across] += drows[:, :, :, k, l]
    dw = geo.filters(dmatrix, w.shape)
    return (dx[:, p : p + H, p : p + W] if need_dx else None), dw


def block_forward(
    x: Array, w: Array, b: Array | None, *, stride: int, padding: int, pool: tuple[int, int],
    relu: bool,
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
    out : array (N, PH, PW, F)
    win : uint8 array (N, PH, PW, F)
        Which pixel of the window, in reading order, is the largest (the first of equals); the
        number of pixels in a window where the ReLU cut or a NaN came through: nobody is paid.
    """
    N, F = len(x), len(w)
    geo = geometry(x.shape[1:], w.shape[2:], stride, padding, pool, False)
    out = np.empty((N, math.prod(geo.out), F), dtype=x.dtype)
    win = np.empty(out.shape, dtype=np.uint8)
    matrix = geo.matrix(w)
    for chunk, rows in _block_rows(x, geo):
        y = (rows @ matrix).reshape(chunk.stop - chunk.start, -1, F)
        if b is not None:
            y += b
        out[chunk], win[chunk] = _pool(y, geo.table, relu)
    return out.reshape(N, *geo.out, F), win.reshape(N, *geo.out, F)


def block_backward(
    dout: Array, win: Array, x: Array, w: Array, *, stride: int, padding: int,
    pool: tuple[int, int], need_dx: bool,
) -> tuple[Array | None, Array, Array]:  # fmt: skip
    """Gradients (dx, dw, db) of block_forward; dx None without ``need_dx``."""
    N, F = len(x), len(w)
    geo = geometry(x.shape[1:], w.shape[2:], stride, padding, pool, False)
    d, win = dout.reshape(N, -1, F), win.reshape(N, -1, F)
    dy = np.zeros((N, math.prod(geo.grid) * geo.offsets, F), dtype=x.dtype)
    _pay(d, win, geo.table, dy)
    dx, dw = _unblock(dy, x, w, geo, need_dx)
    return dx, dw, (d * (win < geo.table.shape[1])).sum(axis=(0, 1))


def norm_block_forward(
    x: Array, w: Array, gamma: Array, beta: Array, eps: float, *, stride: int, padding: int,
    pool: tuple[int, int], relu: bool,
) -> tuple[Array, Array, Array, Array, Array]:  # fmt: skip
    """Convolution, batch norm in training mode, max pool and ReLU.

    Arguments, out and win as block_forward's. Also returns y (N, pixels, F), what the convolution
    gave, and its mean and biased variance (F,).
    """
    N, F = len(x), len(w)
    geo = geometry(x.shape[1:], w.shape[2:], stride, padding, pool, True)
    y = np.empty((N, math.prod(geo.grid) * geo.offsets, F), dtype=x.dtype)
    matrix = geo.matrix(w)
    for chunk, rows in _block_rows(x, geo):
        np.matmul(rows, matrix, out=y[chunk].reshape(-1, matrix.shape[1]))
    mean = y.mean(axis=(0, 1))
    centred = y - mean
    var = np.einsum("npf,npf->nf", centred, centred).sum(axis=0) / x.dtype.type(N * y.shape[1])
    centred *= gamma * (1 / np.sqrt(var + x.dtype.type(eps)))
    centred += beta
    out, win = _pool(centred, geo.table, relu)
    return out.reshape(N, *geo.out, F), win.reshape(N, *geo.out, F), y, mean, var


def norm_block_backward(
    dout: Array, win: Array, y: Array, mean: Array, var: Array, x: Array, w: Array, gamma: Array,
    eps: float, *, stride: int, padding: int, pool: tuple[int, int], need_dx: bool,
) -> tuple[Array | None, Array, Array, Array]:  # fmt: skip
    """Gradients (dx, dw, dgamma, dbeta) of norm_block_forward."""
    N, F = len(x), len(w)
    geo = geometry(x.shape[1:], w.shape[2:], stride, padding, pool, True)
    inverse = 1 / np.sqrt(var + x.dtype.type(eps))
    x_hat = y - mean
    x_hat *= inverse
    dy = np.zeros(y.shape, dtype=x.dtype)
    _pay(dout.reshape(N, -1, F), win.reshape(N, -1, F), geo.table, dy)
    dbeta = dy.sum(axis=(0, 1))
    dgamma = np.einsum("npf,npf->nf", dy, x_hat).sum(axis=0)
    count = x.dtype.type(N * y.shape[1])
    x_hat *= dgamma / count
    dy -= x_hat
    dy -= dbeta / count
    dy *= gamma * inverse
    dx, dw = _unblock(dy, x, w, geo, need_dx)
    return dx, dw, dgamma, dbeta


def dense_forward(x: Array, w: Array, b: Array, *, relu: bool) -> Array:
    """Fully connected: x (N, D) w (D, M) + b, cut at 0 with ``relu``."""
    out = x @ w
    out += b
    return np.maximum(out, 0, out=out) if relu else out


def dense_backward(
    dout: Array, out: Array, x: Array, w: Array, *, relu: bool, need_dx: bool
) -> tuple[Array | None, Array, Array]:
    """Gradients (dx, dw, db) of dense_forward; dx None without ``need_dx``."""
    d = dout * (out > 0) if relu else dout
    return d @ w.T if need_dx else None, x.T @ d, d.sum(axis=0)


def swap_last_axes(x: Array) -> Array:
    """Copy (N, A, B) into (N, B, A)."""
    return np.ascontiguousarray(x.transpose(0, 2, 1))
