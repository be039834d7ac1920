"""Convolutions and their blocks, compiled: the names of numpy_blocks.py, and the layers' own.

Images are (N, H, W, C) in blocks, with filters in whole tiles; the layers' kernels take and give
(N, C, H, W), through the same compiled code.
"""

import math
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.engine.kernels import blocks, dense, norm_blocks, patch_moments, winners
from handgrad.engine.kernels.calls import do, plain, share, share_numbers
from handgrad.engine.kernels.centring import centred, inside, mean_before
from handgrad.engine.kernels.offsets import filters, matrix, offsets, padded, upside_down
from handgrad.engine.kernels.parts import blas_on_one_thread
from handgrad.engine.kernels.training import PART_PRODUCTS


class _Block:
    """A block's arguments as compiled code takes them: F filled up with filters of zeros."""

    def __init__(
        self, x: Array, w: Array, stride: int, padding: int, pool: tuple[int, int]
    ) -> None:
        self.x, self.F, self.shape = plain(x), len(w), w.shape
        missing = padded(self.F) - self.F
        self.w = np.concatenate([w, np.zeros((missing, *w.shape[1:]), w.dtype)]) if missing else w
        self.full = len(self.w)
        self.out, self.pixel_count, self.numbers = offsets(
            x.shape[1:], (self.full, *w.shape[2:]), stride, padding, pool
        )
        self.stride, self.padding, self.pool = stride, padding, pool
        self.products = len(x) * self.pixel_count * self.w.size

    def fill(self, array: Array) -> Array:
        """Add the missing channels, zeros, to (..., F)."""
        missing = self.full - array.shape[-1]
        if missing:
            array = np.concatenate([array, np.zeros((*array.shape[:-1], missing), array.dtype)], -1)
        return plain(array)

    def pixels(self, array: Array) -> Array:
        """Give (N, PH, PW, F) filled, as (N, PH * PW, F)."""
        return self.fill(array).reshape(len(self.x), math.prod(self.out), self.full)

    def cut(self, array: Array) -> Array:
        """Take the added channels away again."""
        return array if self.full == self.F else np.ascontiguousarray(array[..., : self.F])

    def empty(self, dtype: Any, planes: bool = False) -> Array:
        """Room for the output."""
        shape = (self.F, *self.out) if planes else (*self.out, self.full)
        return np.empty((len(self.x), *shape), dtype)

    def points(self, array: Array, planes: bool) -> Array:
        """Give the output, or its gradient, as (N, PH * PW, full); as (N, F, PH * PW) of planes."""
        if not planes:
            return self.pixels(array)
        return plain(array).reshape(*array.shape[:2], math.prod(self.out))

    def gradients(self, parts: int, need_dx: bool) -> tuple[Array, Array, Array]:
        """Room for dx and each part's filters' gradient, and the filters upside down."""
        x = self.x
        dx = np.empty(x.shape if need_dx else (0, *x.shape[1:]), x.dtype)
        turned = upside_down(self.w) if need_dx else np.empty((0, 0), x.dtype)
        return dx, np.empty((parts, self.w[0].size, self.full), x.dtype), turned

    def dw(self, dmatrix: Array) -> Array:
        """The filters' gradient, the parts added up."""
        return filters(self.cut(dmatrix.sum(axis=0)), self.shape)


def block_forward(
    x: Array, w: Array, b: Array | None, *, stride: int, padding: int, pool: tuple[int, int],
    relu: bool, planes: bool = False,
) -> tuple[Array, Array]:  # fmt: skip
    """Convolve, add b, pool, cut at 0: see numpy.py."""
    block = _Block(x, w, stride, padding, pool)
    bias = np.zeros(block.full, x.dtype) if b is None else block.fill(b)
    return _forward(block, matrix(block.w), bias, relu, planes)


def _forward(
    block: _Block, filters_matrix: Array, bias: Array, relu: bool, planes: bool
) -> tuple[Array, Array]:
    """block_forward, with the filters as a matrix (K, full)."""
    out, win = block.empty(block.x.dtype, planes), block.empty(np.uint8)
    with blas_on_one_thread() as threads:
        do(
            blocks.forward_part, blocks.forward_parts,
            share(threads, block.products, PART_PRODUCTS), block.x, filters_matrix, bias,
            block.numbers, relu, planes, block.points(out, planes), block.pixels(win),
        )  # fmt: skip
    return out if planes else block.cut(out), block.cut(win)


def block_backward(
    dout: Array, win: Array, x: Array, w: Array, *, stride: int, padding: int,
    pool: tuple[int, int], need_dx: bool, planes: bool = False,
) -> tuple[Array | None, Array, Array]:  # fmt: skip
    """Gradients (dx, dw, db) of block_forward."""
    block = _Block(x, w, stride, padding, pool)
    dx, dmatrix, db = _backward(block, dout, win, need_dx, planes)
    return dx, block.dw(dmatrix), block.cut(db.sum(axis=0))


def _backward(
    block: _Block, dout: Array, win: Array, need_dx: bool, planes: bool
) -> tuple[Array | None, Array, Array]:
    """Give dx, and the parts of the filters' gradient, (parts, K, full), and of db."""
    x = block.x
    window = (*block.shape[2:], block.shape[1])
    with blas_on_one_thread() as threads:
        parts = share(threads, block.products, PART_PRODUCTS)
        dx, dmatrix, turned = block.gradients(parts, need_dx)
        db = np.empty((parts, block.full), x.dtype)
        if not need_dx and winners.fits(window, block.pool):
            line, starts = winners.places(
                x.shape[1:], window, block.stride, block.padding, block.pool
            )
            do(
                winners.backward_part, winners.backward_parts, parts, block.points(dout, planes),
                block.pixels(win), x, line, starts, block.padding, window[0],
                window[1] * window[2], planes, dmatrix, db,
            )  # fmt: skip
            return None, dmatrix, db
        do(
            blocks.backward_part, blocks.backward_parts, parts, block.points(dout, planes),
            block.pixels(win), x, turned, block.numbers, planes, need_dx, dx, dmatrix, db,
        )  # fmt: skip
    return dx if need_dx else None, dmatrix, db


def norm_block_forward(
    x: Array, w: Array, gamma: Array, beta: Array, eps: float, *, stride: int, padding: int,
    pool: tuple[int, int], relu: bool, need_dx: bool, planes: bool = False,
) -> tuple[Array, Array, Array, tuple[Any, ...]]:  # fmt: skip
    """Convolve, normalise over the batch, pool, cut at 0: see numpy.py."""
    x, left, shift = centred(x, padding)
    block = _Block(x, w, stride, left, pool)
    x = block.x
    if stride == 1 and x.shape[3] <= patch_moments.FEW_CHANNELS and not need_dx:
        out, mean, var, cache = _first_norm_forward(block, gamma, beta, eps, relu, planes)
        return out, mean_before(mean, shift, w), var, (*cache, x, left)
    y = np.empty((len(x), block.pixel_count, block.full), x.dtype)
    out, win = block.empty(x.dtype), block.empty(np.uint8)
    top = y if pool == (1, 1) else np.empty(block.pixels(out).shape, x.dtype)
    with blas_on_one_thread() as threads:
        parts = share(threads, block.products, PART_PRODUCTS)
        moments = np.zeros((parts, 3, block.full))
        do(
            norm_blocks.products_part, norm_blocks.products_parts, parts, block.x,
            matrix(block.w), block.numbers, y, moments,
        )  # fmt: skip
        mean, var = (moment.astype(x.dtype) for moment in _merged(moments))
        scale = block.fill(gamma) * (1 / np.sqrt(var + x.dtype.type(eps)))
        do(
            norm_blocks.pool_part, norm_blocks.pool_parts, parts, y, block.numbers, scale, mean,
            block.fill(beta), relu, block.pixels(out), block.pixels(win), top,
        )  # fmt: skip
    cache = block.pixels(win), top, y, mean, var, x, left
    out = block.cut(out)
    return (
        _images_first(out) if planes else out, mean_before(block.cut(mean), shift, w),
        block.cut(var), cache,
    )  # fmt: skip


def _first_norm_forward(
    block: _Block, gamma: Array, beta: Array, eps: float, relu: bool, planes: bool
) -> tuple[Array, Array, Array, tuple[Any, ...]]:
    """Fold scale and shift into the filters; the statistics are those of the patches."""
    patches = _patches(block.x, block.shape[2:], block.padding)
    w, F = matrix(block.w), block.full
    mean, var, bias = (np.empty(F, w.dtype) for _ in range(3))
    scaled = np.empty_like(w)
    patch_moments.folded(
        patches.mean, patches.covariance, w, block.fill(gamma), block.fill(beta), eps, mean, var,
        scaled, bias,
    )  # fmt: skip
    out, win = _forward(block, scaled, bias, relu, planes)
    return out, block.cut(mean), block.cut(var), (patches, win, w, mean, var)


def _first_norm_backward(
    block: _Block, dout: Array, cache: tuple[Any, ...], gamma: Array, eps: float, planes: bool
) -> tuple[None, Array, Array, Array]:
    patches, win, w, mean, var = cache
    _, paid, db = _backward(block, dout, win, False, planes)
    dw, dgamma, dbeta = np.empty_like(w), np.empty_like(mean), np.empty_like(mean)
    patch_moments.gradients(
        patches.mean, patches.covariance, w, block.fill(gamma), mean, var, eps, paid, db, dw,
        dgamma, dbeta,
    )  # fmt: skip
    dw = filters(block.cut(dw), block.shape)
    return None, dw, block.cut(dgamma), block.cut(dbeta)


def _patches(x: Array, window: tuple[int, int], padding: int) -> patch_moments.Patches:
    p = padding
    x = plain(np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))) if p else x
    N, H, W, C = x.shape
    lags, first, pairs = patch_moments.lagged_pairs((*window, C), W)
    K = math.prod(window) * C
    total, products = np.empty(K), np.empty((K, K))
    with blas_on_one_thread() as threads:
        parts = share(threads, x.size * len(lags), PART_PRODUCTS // 4)  # they feed no tile
        do(
            patch_moments.sums_part, patch_moments.sums_parts, parts, x, *window, lags, first,
            pairs, total, products,
        )  # fmt: skip
    count = N * (H - window[0] + 1) * (W - window[1] + 1)
    patch_moments.of_sums(total, products, count)
    return patch_moments.Patches(total, products)


def _merged(moments: Array) -> tuple[Array, Array]:
    """Mean and biased variance from the parts' counts, means and sums of squared deviations."""
    counts, means, squares = moments[:, 0], moments[:, 1], moments[:, 2]
    total = counts.sum(axis=0)
    mean = (counts * means).sum(axis=0) / total
    return mean, (squares + counts * (means - mean) ** 2).sum(axis=0) / total


def norm_block_backward(
    dout: Array, cache: tuple[Any, ...], x: Array, w: Array, gamma: Array, eps: float, *,
    stride: int, padding: int, pool: tuple[int, int], need_dx: bool, planes: bool = False,
) -> tuple[Array | None, Array, Array, Array]:  # fmt: skip
    """Gradients (dx, dw, dgamma, dbeta) of norm_block_forward."""
    cache, x, left = cache[:-2], *cache[-2:]
    block = _Block(x, w, stride, left, pool)
    if isinstance(cache[0], patch_moments.Patches):
        return _first_norm_backward(block, dout, cache, gamma, eps, planes)
    if planes:
        dout = _images_last(dout)
    win, top, y, mean, var = cache
    dout, gamma = block.pixels(dout), block.fill(gamma)
    inverse = 1 / np.sqrt(var + x.dtype.type(eps))
    with blas_on_one_thread() as threads:
        parts = share(threads, block.products, PART_PRODUCTS)
        sums = np.zeros((parts, 2, block.full))
        do(
            norm_blocks.sums_part, norm_blocks.sums_parts, parts, dout, win, top,
            pool[0] ** 2, mean, inverse, sums,
        )  # fmt: skip
        dbeta, dgamma = sums.sum(axis=0).astype(x.dtype)
        count = x.dtype.type(len(x) * y.shape[1])
        dx, dmatrix, turned = block.gradients(parts, need_dx)
        do(
            norm_blocks.backward_part, norm_blocks.backward_parts, parts, dout, win, y, mean,
            inverse, gamma * inverse, dbeta / count, dgamma / count, block.x, turned, block.numbers,
            need_dx, dx, dmatrix,
        )  # fmt: skip
    below = inside(dx, padding - left) if need_dx else None
    return below, block.dw(dmatrix), block.cut(dgamma), block.cut(dbeta)


def swap_last_axes(x: Array) -> Array:
    """Copy (N, A, B) into (N, B, A)."""
    x = plain(x)
    out = np.empty((x.shape[0], x.shape[2], x.shape[1]), x.dtype)
    parts = share_numbers(x.size)
    do(dense.swap_part, dense.swap_parts, parts, x, out)
    return out


def _images_last(x: Array) -> Array:
    """(N, C, H, W) to contiguous (N, H, W, C)."""
    N, C, H, W = x.shape
    return swap_last_axes(x.reshape(N, C, H * W)).reshape(N, H, W, C)


def _images_first(x: Array) -> Array:
    N, H, W, C = x.shape
    return swap_last_axes(x.reshape(N, H * W, C)).reshape(N, C, H, W)
