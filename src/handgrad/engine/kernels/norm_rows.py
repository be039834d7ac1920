"""Batch normalisation of rows of features, compiled; a part is some of the features."""

from typing import Any

import numba
import numpy as np

from handgrad.engine.kernels.blas import compiled, parallel
from handgrad.engine.kernels.vectors import clear


@compiled
def forward_part(
    part: Any, parts: int, x: Any, gamma: Any, beta: Any, eps: float, relu: bool, mean: Any,
    var: Any, out: Any,
) -> None:  # fmt: skip
    """Statistics over the rows of x (N, D), biased; out = gamma * x_hat + beta, cut with relu."""
    N, D = x.shape
    start, stop = D * part // parts, D * (part + 1) // parts
    average, square, shift = mean[start:stop], var[start:stop], beta[start:stop]
    zero, origin = x.dtype.type(0), x[0, start:stop]
    clear(average)
    clear(square)
    for n in range(1, N):  # from the first row on: a constant's mean is that, to the last bit
        row = x[n, start:stop]
        for i in range(len(row)):
            average[i] += row[i] - origin[i]
    for i in range(len(average)):
        average[i] = origin[i] + average[i] / N
    for n in range(N):
        row = x[n, start:stop]
        for i in range(len(row)):
            square[i] += (row[i] - average[i]) * (row[i] - average[i])
    scale = np.empty(stop - start, x.dtype)
    for i in range(len(scale)):
        square[i] /= N
        scale[i] = gamma[start + i] / np.sqrt(square[i] + x.dtype.type(eps))
    for n in range(N):
        row, into = x[n, start:stop], out[n, start:stop]
        for i in range(len(row)):
            into[i] = (row[i] - average[i]) * scale[i] + shift[i]
        if relu:
            for i in range(len(into)):
                into[i] = zero if into[i] <= 0 else into[i]


@compiled
def backward_part(
    part: Any, parts: int, dout: Any, out: Any, x: Any, gamma: Any, mean: Any, inverse: Any,
    relu: bool, dx: Any, dgamma: Any, dbeta: Any,
) -> None:  # fmt: skip
    """Give dx = gamma / std * (d - dbeta / N - x_hat * dgamma / N), d = dout where out > 0."""
    N, D = x.shape
    start, stop = D * part // parts, D * (part + 1) // parts
    average, narrow = mean[start:stop], inverse[start:stop]
    by_hat, plain = dgamma[start:stop], dbeta[start:stop]
    zero, count = x.dtype.type(0), x.dtype.type(N)
    clear(by_hat)
    clear(plain)
    for n in range(N):
        d, into, row, value = dout[n, start:stop], dx[n, start:stop], x[n, start:stop], out[n]
        value = value[start:stop]
        for i in range(len(d)):
            into[i] = d[i] if not relu or value[i] > 0 else zero
        for i in range(len(d)):
            plain[i] += into[i]
            by_hat[i] += into[i] * ((row[i] - average[i]) * narrow[i])
    scale, level = np.empty(stop - start, x.dtype), np.empty(stop - start, x.dtype)
    slope = np.empty(stop - start, x.dtype)
    for i in range(len(scale)):
        scale[i] = gamma[start + i] * narrow[i]
        level[i] = plain[i] / count
        slope[i] = narrow[i] * by_hat[i] / count
    for n in range(N):
        into, row = dx[n, start:stop], x[n, start:stop]
        for i in range(len(row)):
            into[i] = scale[i] * (into[i] - level[i] - (row[i] - average[i]) * slope[i])


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
