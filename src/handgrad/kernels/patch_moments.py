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
from numpy.typing import NDArray

from handgrad.kernels.blas import compiled, parallel

Array = NDArray[Any]

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
        sums[:] = 0
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


def patch_count(x: Array, window: tuple[int, int]) -> int:
    """Patches of all images x (N, H, W, C)."""
    N, H, W, _ = x.shape
    return int(N * (H - window[0] + 1) * (W - window[1] + 1))


class Patches(NamedTuple):
    """The patches' mean (K,) and covariance (K, K), in float64."""

    mean: Array
    covariance: Array

    @classmethod
    def of_sums(cls, total: Array, products: Array, count: int, centre: float) -> "Patches":
        """Take the sums over ``count`` patches, of which ``centre`` had been subtracted."""
        mean = total / count
        return cls(mean + centre, products / count - np.outer(mean, mean))

    def of_products(self, w: Array) -> tuple[Array, Array]:
        """Mean and biased variance (F,) of patches times w (K, F)."""
        return self.mean @ w, np.maximum((w * (self.covariance @ w)).sum(axis=0), 0)

    def gradients(
        self, w: Array, paid: Array, dbeta: Array, mean: Array, inverse: Array
    ) -> tuple[Array, Array]:
        """Give dW / gamma (K, F) and dgamma (F,); ``paid`` is D, ``inverse`` is 1 / std."""
        dgamma = inverse * ((w * paid).sum(axis=0) - mean * dbeta)
        spread = np.outer(self.mean, dbeta) + (self.covariance @ w) * (inverse * dgamma)
        return inverse * (paid - spread), dgamma
