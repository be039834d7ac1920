"""Mean and covariance of an image's patches: all that batch norm needs to know of a convolution.

A convolution's pixels are patches times filters, Y = X W, with X (pixels, K) and W (K, F). With the
patches' mean m (K,) and covariance C (K, K), batch norm's statistics of Y are

    mean = m W,    var[f] = W[:, f] . C W[:, f],

so that scale and shift can go into the filters before anything is convolved. With D = X^T paid,
what a convolution without batch norm would give its filters, the gradients are

    dbeta = sum of paid,    dgamma = (sum over k of W * D - mean * dbeta) / std,
    dW = gamma / std * (D - m dbeta - C W * dgamma / std):

the compact batch norm gradient, dy = gamma / std * (paid - dbeta / n - x_hat * dgamma / n), carried
through X^T dy, where X^T 1 = n m and X^T x_hat = n C W / std. No array of pixels is kept.

For few channels C costs little: X^T X has the sums of x[p + t_i] * x[p + t_j] over all p, and those
with the same lag t_j - t_i are sums over rectangles of the same products.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np

from handgrad.arrays import Array
from handgrad.engine.kernels.blas import compiled, parallel
from handgrad.engine.kernels.vectors import clear

# Up to so many channels of the images it is less work than the convolution itself.
FEW_CHANNELS = 3


@lru_cache(maxsize=64)
def lagged_pairs(taps: tuple[int, int, int], width: int) -> tuple[Array, Array, Array]:
    """Give lags (L + 1,) between numbers of a patch (HH, WW, C), and the pairs with each lag.

    Pairs (K (K + 1) / 2, 2) of numbers i <= j; those of lag l from first[l] to first[l + 1]. The
    last lag stands for the mean, and has none.
    """
    HH, WW, C = taps
    rows, columns, channels = np.meshgrid(*map(np.arange, taps), indexing="ij")
    places = ((rows * width + columns) * C + channels).reshape(-1)
    pairs = np.stack(np.triu_indices(HH * WW * C), axis=1)
    lags = places[pairs[:, 1]] - places[pairs[:, 0]]
    order = np.argsort(lags, kind="stable")
    different, first = np.unique(lags[order], return_index=True)
    return np.append(different, 0), np.append(first, len(pairs)), pairs[order]


@compiled
def _add_products(x: Any, lag: int, sums: Any) -> None:
    """Add x[n, q] * x[n, q + lag] over all n to sums[q]: four n at a time, to read sums seldom."""
    N, size = x.shape
    for n in range(0, N - N % 4, 4):
        a, b, c, d = x[n], x[n + 1], x[n + 2], x[n + 3]
        e, f, g, h = a[lag:], b[lag:], c[lag:], d[lag:]
        for q in range(size - lag):
            sums[q] += a[q] * e[q] + b[q] * f[q] + c[q] * g[q] + d[q] * h[q]
    for n in range(N - N % 4, N):
        a, b = x[n], x[n, lag:]
        for q in range(size - lag):
            sums[q] += a[q] * b[q]


@compiled
def sums_part(
    part: Any, parts: int, x: Any, HH: int, WW: int, lags: Any, first: Any, pairs: Any, total: Any,
    products: Any,
) -> None:  # fmt: skip
    """Sum over all patches of x (N, H, W, C): total (K,), products (K, K) = X^T X, in float64.

    A part is some of the lags.
    """
    N, H, W, C = x.shape
    OH, OW = H - HH + 1, W - WW + 1
    numbers = x.reshape(N, H * W * C)
    sums = np.zeros(H * W * C)
    # area[i, j, c]: the sum of channel c's sums above and left of (i, j)
    area = np.zeros((H + 1, W + 1, C))
    for l in range(part, len(lags), parts):  # noqa: E741
        lag, means = lags[l], l == len(lags) - 1
        clear(sums)
        if means:
            for n in range(N):
                for q in range(len(sums)):
                    sums[q] += numbers[n, q]
        else:
            _add_products(numbers, lag, sums)
        for i in range(H):
            for c in range(C):
                row = 0.0
                for j in range(W):
                    row += sums[(i * W + j) * C + c]
                    area[i + 1, j + 1, c] = area[i, j + 1, c] + row
        for k in range(len(total) if means else first[l + 1] - first[l]):
            one = k if means else pairs[first[l] + k, 0]
            c, j, i = one % C, one // C % WW, one // C // WW
            inside = (
                area[i + OH, j + OW, c] - area[i, j + OW, c] - area[i + OH, j, c] + area[i, j, c]
            )
            if means:
                total[k] = inside
            else:
                other = pairs[first[l] + k, 1]
                products[one, other] = products[other, one] = inside


@parallel
def sums_parts(parts: int, *arguments: Any) -> None:
    """All parts of sums_part."""
    for part in numba.prange(parts):
        sums_part(np.int64(part), parts, *arguments)


class Patches(NamedTuple):
    """The patches' mean (K,) and covariance (K, K), in float64."""

    mean: Array
    covariance: Array


@compiled
def of_sums(total: Any, products: Any, count: int) -> None:
    """Turn the sums over ``count`` patches, in place, into their mean and covariance."""
    for k in range(len(total)):
        total[k] /= count
    for k in range(len(total)):
        for j in range(len(total)):
            products[k, j] = products[k, j] / count - total[k] * total[j]


@compiled
def _spread(covariance: Any, w: Any, out: Any) -> None:
    """C w is out, both (K, F), in float64."""
    K, F = w.shape
    for k in range(K):
        row = out[k]
        clear(row)
        for j in range(K):
            factor, more = covariance[k, j], w[j]
            for f in range(F):
                row[f] += factor * more[f]


@compiled
def folded(
    means: Any, covariance: Any, w: Any, gamma: Any, beta: Any, eps: float, mean: Any, var: Any,
    scaled: Any, bias: Any,
) -> None:  # fmt: skip
    """Batch norm's statistics of patches times w (K, F), and w and a bias that have it in them."""
    K, F = w.shape
    spread = np.empty((K, F))
    _spread(covariance, w, spread)
    average, square = np.zeros(F), np.zeros(F)
    for k in range(K):
        for f in range(F):
            average[f] += means[k] * w[k, f]
            square[f] += w[k, f] * spread[k, f]
    for f in range(F):
        mean[f], var[f] = average[f], max(square[f], 0.0)
        scale = gamma[f] / np.sqrt(var[f] + w.dtype.type(eps))
        bias[f] = beta[f] - mean[f] * scale
        for k in range(K):
            scaled[k, f] = w[k, f] * scale


@compiled
def gradients(
    means: Any, covariance: Any, w: Any, gamma: Any, mean: Any, var: Any, eps: float, paid: Any,
    db: Any, dw: Any, dgamma: Any, dbeta: Any,
) -> None:  # fmt: skip
    """Give dW (K, F), dgamma and dbeta (F,) from D and the sums paid in parts.

    paid (parts, K, F) and db (parts, F), added up in place: what the convolution alone would have.
    """
    K, F = w.shape
    spread, weighted = np.empty((K, F)), np.zeros(F)
    _spread(covariance, w, spread)
    for part in range(1, len(paid)):
        for f in range(F):
            db[0, f] += db[part, f]
        for k in range(K):
            for f in range(F):
                paid[0, k, f] += paid[part, k, f]
    for k in range(K):
        for f in range(F):
            weighted[f] += w[k, f] * paid[0, k, f]
    for f in range(F):
        inverse = 1 / np.sqrt(var[f] + w.dtype.type(eps))
        slope = inverse * (weighted[f] - mean[f] * db[0, f])
        dbeta[f], dgamma[f] = db[0, f], slope
        for k in range(K):
            away = means[k] * db[0, f] + spread[k, f] * (inverse * slope)
            dw[k, f] = gamma[f] * inverse * (paid[0, k, f] - away)
