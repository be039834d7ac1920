"""Fully connected layers and small element-wise work, compiled; a part is a thread's."""

from typing import Any

import numba
import numpy as np

from handgrad.engine.kernels import sparse
from handgrad.engine.kernels.blas import ONE, ZERO, compiled, parallel, product
from handgrad.engine.kernels.processor import LONG_VECTORS
from handgrad.engine.kernels.vectors import clear, transpose


@compiled
def forward_part(part: Any, parts: int, x: Any, w: Any, sums: Any) -> None:
    """Compute sums[part] = x w over a part of the features: as in the backward pass.

    So each thread reads its own rows of w again and again, from its own cache. Rows of sums are
    ``sparse.padded``.
    """
    N, D = x.shape
    M, wide = w.shape[1], sums.shape[2]
    start, stop = D * part // parts, D * (part + 1) // parts
    numbers, weights, out = x.reshape(-1), w.reshape(-1), sums[part].reshape(-1)
    if start == stop:
        clear(out)
    elif LONG_VECTORS and sparse.worth(x, start, stop, M, ONE, ZERO):
        sparse.forward(numbers, N, D, start, stop, weights, M, out, wide)
    else:
        product(
            ZERO, ZERO, N, M, stop - start, numbers[start:], D, weights[start * M :], M, ZERO, out,
            wide,
        )  # fmt: skip


@compiled
def finish(sums: Any, b: Any, relu: bool, out: Any) -> None:
    """Add the parts and b up in out, cut at 0 with ``relu``."""
    N, M = out.shape
    nothing = out.dtype.type(0)
    for n in range(N):
        row, first = out[n], sums[0, n]
        for m in range(M):
            row[m] = first[m] + b[m]
        for part in range(1, len(sums)):
            more = sums[part, n]
            for m in range(M):
                row[m] += more[m]
        if relu:
            for m in range(M):
                row[m] = nothing if row[m] <= 0 else row[m]  # a NaN comes through


@compiled
def cut(d: Any, out: Any, relu: bool, db: Any) -> None:
    """With ``relu`` set d, in place, to 0 where out is not > 0; db is d's sum over the examples."""
    N, M = d.shape
    nothing = d.dtype.type(0)
    clear(db)
    for n in range(N):
        row, value = d[n], out[n]
        if relu:
            for m in range(M):
                row[m] = row[m] if value[m] > 0 else nothing
        for m in range(M):
            db[m] += row[m]


@compiled
def backward_part(
    part: Any, parts: int, d: Any, x: Any, w: Any, need_dx: bool, dx: Any, dw: Any
) -> None:
    """Compute dw = x^T d and dx = d w^T for a part of the features."""
    N, D = x.shape
    M = d.shape[1]
    start, stop = D * part // parts, D * (part + 1) // parts
    if start == stop:
        return
    some, numbers = stop - start, d.reshape(-1)
    mine, weights = dw.reshape(-1)[start * M :], w.reshape(-1)[start * M :]
    product(ONE, ZERO, some, M, N, x.reshape(-1)[start:], D, numbers, M, ZERO, mine, M)
    if need_dx:
        below = dx.reshape(-1)[start:]
        product(ZERO, ONE, N, some, M, numbers, M, weights, M, ZERO, below, D)


@compiled
def swap_part(part: Any, parts: int, x: Any, out: Any) -> None:
    """Exchange the last two axes: x (N, A, B) to out (N, B, A)."""
    N, A, B = x.shape
    numbers, into = x.reshape(-1), out.reshape(-1)
    for n in range(N * part // parts, N * (part + 1) // parts):
        transpose(numbers, n * A * B, B, into, n * A * B, A, A, B)


@compiled
def gather_part(
    part: Any, parts: int, X: Any, rows: Any, shift: float, w: Any, out: Any, sums: Any, lifts: Any
) -> None:
    """Copy a part of the features of X[rows] - shift to out, and go on with them as forward_part.

    lifts[part] is what the shift takes from the sums: shift times the sum of these rows of w.
    """
    D, M, away = X.shape[1], w.shape[1], X.dtype.type(shift)
    start, stop = D * part // parts, D * (part + 1) // parts
    for n in range(len(rows)):
        row, into = X[rows[n], start:stop], out[n, start:stop]
        for i in range(len(row)):
            into[i] = row[i] - away
    forward_part(part, parts, out, w, sums)
    lift = lifts[part]
    for m in range(M):
        lift[m] = 0
    if shift != 0:
        for d in range(start, stop):
            row = w[d]
            for m in range(M):
                lift[m] += row[m]
        for m in range(M):
            lift[m] *= away


@compiled
def add_l2_part(part: Any, parts: int, dw: Any, w: Any, reg: float, sums: Any) -> None:
    """Add reg * w to dw; sums[part] is the sum of w^2, in float64 where w's dtype is too small."""
    start, stop = len(w) * part // parts, len(w) * (part + 1) // parts
    total = 0.0
    factor = w.dtype.type(reg)
    for first in range(start, stop, 4096):
        last = min(first + 4096, stop)
        some, gradient = w[first:last], dw[first:last]
        partial = w.dtype.type(0)
        for i in range(len(some)):
            partial += some[i] * some[i]
            gradient[i] += factor * some[i]
        if partial == np.inf:
            for i in range(len(some)):
                total += np.float64(some[i]) * np.float64(some[i])
        else:
            total += partial
    sums[part] = total


@parallel
def forward_parts(parts: int, x: Any, w: Any, sums: Any) -> None:
    """All parts of forward_part. By name: *arguments would be compiled once for each caller."""
    for part in numba.prange(parts):
        forward_part(np.int64(part), parts, x, w, sums)


@parallel
def backward_parts(parts: int, *arguments: Any) -> None:
    """All parts of backward_part."""
    for part in numba.prange(parts):
        backward_part(np.int64(part), parts, *arguments)


@parallel
def swap_parts(parts: int, *arguments: Any) -> None:
    """All parts of swap_part."""
    for part in numba.prange(parts):
        swap_part(np.int64(part), parts, *arguments)


@parallel
def gather_parts(parts: int, *arguments: Any) -> None:
    """All parts of gather_part."""
    for part in numba.prange(parts):
        gather_part(np.int64(part), parts, *arguments)


@parallel
def add_l2_parts(parts: int, *arguments: Any) -> None:
    """All parts of add_l2_part."""
    for part in numba.prange(parts):
        add_l2_part(np.int64(part), parts, *arguments)


@compiled
def softmax(x: Any, labels: Any, dx: Any) -> float:
    """Softmax loss and its gradient: see layers.softmax_loss."""
    N, C = x.shape
    loss = 0.0
    for n in range(N):
        row, drow = x[n], dx[n]
        largest = row[0]
        for c in range(1, C):
            largest = max(largest, row[c]) if largest == largest else largest
        total = x.dtype.type(0)
        for c in range(C):
            drow[c] = np.exp(row[c] - largest)
            total += drow[c]
        for c in range(C):
            drow[c] = drow[c] / total / N
        label = labels[n]
        drow[label] -= x.dtype.type(1) / N
        loss += np.log(total) - (row[label] - largest)
    return float(loss / N)
