"""The hot loops in plain NumPy: readable, always there, and what faster kernels are held against.

Shapes: N examples, C channels in, F filters, H x W image (padding already applied),
HH x WW filter or pooling window, OH x OW output. No function checks its arguments (the layer
has done so); only those that step parameters modify any, and say so.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from handgrad.kernels.numpy_blocks import (
    block_backward as block_backward,
    block_forward as block_forward,
    norm_block_backward as norm_block_backward,
    norm_block_forward as norm_block_forward,
)
from handgrad.kernels.numpy_steps import (
    add_l2 as add_l2,
    dense_steps as dense_steps,
    update as update,
)
from handgrad.kernels.parts import in_parts

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

    def part(some: slice) -> None:
        for chunk, patches in _patch_chunks(x[some], (HH, WW), stride):
            np.matmul(w_rows, patches, out=out[some][chunk])

    in_parts(N, out.size * w_rows.shape[1], part)
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

    def part(some: slice) -> Array:
        dw = np.zeros((F, C * HH * WW), dtype=dout.dtype)
        for chunk, patches in _patch_chunks(read[some], (HH, WW), stride):
            dw += np.matmul(dout_rows[some][chunk], patches.transpose(0, 2, 1)).sum(axis=0)
        return dw

    first, *more = in_parts(N, dout.size * C * HH * WW, part)
    return np.asarray(sum(more, first)).reshape(w_shape)


def conv_backward_x(
    dout: Array, w: Array, x_shape: tuple[int, int, int, int], stride: int
) -> Array:
    """Give each pixel the gradient of every window that read it: dx = dout *full w."""
    N, F, OH, OW = dout.shape
    _, C, HH, WW = w.shape
    dx = np.zeros(x_shape, dtype=dout.dtype)
    w_columns = w.reshape(F, -1).T  # (C*HH*WW, F)
    images = max(1, _PATCH_NUMBERS // (C * HH * WW * OH * OW))

    def part(some: slice) -> None:
        for start in range(some.start, some.stop, images):
            chunk = slice(start, min(start + images, some.stop))
            dpatches = np.matmul(w_columns, dout[chunk].reshape(-1, F, OH * OW))
            dpatches = dpatches.reshape(-1, C, HH, WW, OH, OW)
            for k in range(HH):
                for l in range(WW):  # noqa: E741 (k, l are the indices of the formula)
                    rows = slice(k, k + stride * OH, stride)
                    columns = slice(l, l + stride * OW, stride)
                    dx[chunk, :, rows, columns] += dpatches[:, :, k, l]

    in_parts(N, dout.size * C * HH * WW, part)
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
            dpixel += np.where(wins, dout, 0)
        else:  # each pixel is in one window: write it once, 2.5 times faster than adding
            dpixel[...] = np.where(wins, dout, 0)
    return dx


def dense_forward(x: Array, w: Array, b: Array, *, relu: bool) -> Array:
    """Fully connected: x (N, D) w (D, M) + b, cut at 0 with ``relu``."""
    first, *more = in_parts(len(w), len(x) * w.size, lambda some: x[:, some] @ w[some])
    out = sum(more, first + b)
    return np.maximum(out, 0, out=out) if relu else np.asarray(out)


def dense_backward(
    dout: Array, out: Array, x: Array, w: Array, *, relu: bool, need_dx: bool
) -> tuple[Array | None, Array, Array]:
    """Gradients (dx, dw, db) of dense_forward; dx None without ``need_dx``."""
    d = np.where(out > 0, dout, 0) if relu else dout
    dw = np.empty_like(w)
    dx = np.empty_like(x) if need_dx else None

    def part(some: slice) -> None:
        np.matmul(x[:, some].T, d, out=dw[some])
        if dx is not None:
            dx[:, some] = d @ w[some].T

    in_parts(len(w), len(x) * w.size, part)
    return dx, dw, d.sum(axis=0)


def dense_learn(
    dout: Array, out: Array, x: Array, w: Array, step: tuple[Any, ...], *, relu: bool,
    need_dx: bool, reg: float,
) -> tuple[Array | None, Array, float]:  # fmt: skip
    """Gradients (dx, db) of dense_forward, w stepped in place, and the sum of the old w^2.

    The gradient of w with the penalty's, reg * w, is used where it is made, and not kept. ``step``
    is what ``update`` takes, but for w and dw: (kind, first, second, rate, a, b, epsilon, decay,
    t). dx is that of the old w; the sum is 0 without reg.
    """
    dx, dw, db = dense_backward(dout, out, x, w, relu=relu, need_dx=need_dx)
    squares = add_l2(dw, w, reg) if reg else 0.0
    kind, *rest = step
    update(kind, w, dw, *rest)
    return dx, db, squares


def dropout_forward(x: Array, rng: np.random.Generator, keep: float) -> tuple[Array, Array]:
    """Keep each number with probability ``keep``: (x * mask, mask), the layer's draws of rng."""
    mask = np.asarray(rng.random(x.shape) < keep)
    return x * mask, mask


def dropout_backward(dout: Array, mask: Array) -> Array:
    """Gradient of dropout_forward."""
    return np.where(mask, dout, dout.dtype.type(0))


def norm_forward(
    x: Array, gamma: Array, beta: Array, eps: float, *, relu: bool
) -> tuple[Array, Array, Array]:
    """Batch normalisation of rows x (N, D), cut at 0 with ``relu``: (out, mean, biased var)."""
    centred = x - x[0]  # from the first row on: a constant's mean is that, to the last bit
    away = centred.mean(axis=0)
    centred -= away
    mean = x[0] + away
    var = np.einsum("nd,nd->d", centred, centred) / x.dtype.type(len(x))
    out = np.multiply(centred, gamma / np.sqrt(var + x.dtype.type(eps)), out=centred)
    out += beta
    return (np.maximum(out, 0, out=out) if relu else out), mean, var


def norm_backward(
    dout: Array, out: Array, x: Array, gamma: Array, mean: Array, var: Array, eps: float, *,
    relu: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Gradients (dx, dgamma, dbeta) of norm_forward."""
    d = np.where(out > 0, dout, 0) if relu else dout
    inverse = 1 / np.sqrt(var + x.dtype.type(eps))
    x_hat = (x - mean) * inverse
    dbeta, dgamma = d.sum(axis=0), np.einsum("nd,nd->d", d, x_hat)
    count = x.dtype.type(len(x))
    dx = np.multiply(x_hat, -dgamma / count, out=x_hat)
    dx += d
    dx -= dbeta / count
    dx *= gamma * inverse
    return dx, dgamma, dbeta


def softmax(x: Array, labels: Array) -> tuple[float, Array]:
    """layers.softmax_loss of scores x (N, C) and labels (N,), whole numbers in [0, C)."""
    shifted = x - x.max(axis=1, keepdims=True)
    rows = np.arange(len(x))
    with np.errstate(under="ignore"):
        dx = np.exp(shifted)
        total = dx.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - shifted[rows, labels]).mean()
        dx /= total
        dx[rows, labels] -= 1
        dx /= len(x)
    return float(loss), dx


def swap_last_axes(x: Array) -> Array:
    """Copy (N, A, B) into (N, B, A)."""
    return np.ascontiguousarray(x.transpose(0, 2, 1))
