"""Optimiser steps, and whole training steps of dense networks, compiled.

A training step of a small dense network is some microseconds of arithmetic: called layer by layer
from Python, ten times as long would go into calling. Here several steps are one call.
"""

from typing import Any

import numba
import numpy as np

from handgrad.engine.kernels import dense, sparse
from handgrad.engine.kernels.blas import ONE, ZERO, compiled, elementwise, parallel, product
from handgrad.engine.kernels.processor import LONG_VECTORS
from handgrad.engine.kernels.rules import MOMENTUM, NESTEROV, RMSPROP, SGD
from handgrad.engine.kernels.vectors import transpose

# A part should be worth waking a thread for: so many multiplications, or numbers touched.
PART_PRODUCTS, PART_NUMBERS = 2**18, 2**16


@elementwise
def update_part(
    part: Any, parts: Any, kind: int, w: Any, dw: Any, first: Any, second: Any, rate: float,
    a: float, b: float, epsilon: float, decay: float, t: int,
) -> None:  # fmt: skip
    """Step w and the rule's state in place; the equations are those of handgrad.optim.

    a, b: momentum; or decay_rate; or beta1, beta2. t counts this step.
    """
    start, stop = len(w) * part // parts, len(w) * (part + 1) // parts
    one = w.dtype.type
    lr, alpha, beta, eps, shrink = one(rate), one(a), one(b), one(epsilon), one(rate * decay)
    rest_a, rest_b = one(1 - a), one(1 - b)
    # From 0 on: a loop that could begin below zero is not made of vector instructions.
    w, dw, first, second = w[start:stop], dw[start:stop], first[start:stop], second[start:stop]
    if kind == SGD:
        for i in range(len(w)):
            w[i] -= lr * dw[i]
    elif kind == MOMENTUM:
        for i in range(len(w)):
            first[i] = alpha * first[i] - lr * dw[i]
            w[i] += first[i]
    elif kind == NESTEROV:
        for i in range(len(w)):
            first[i] = alpha * first[i] + dw[i]
            w[i] -= lr * (dw[i] + alpha * first[i])
    elif kind == RMSPROP:
        for i in range(len(w)):
            average = alpha * first[i] + rest_a * dw[i] * dw[i]
            first[i] = average
            w[i] -= lr * dw[i] / (np.sqrt(average) + eps)
    else:  # Adam: the bias corrections go into the rate and into one factor
        scaled = one(rate / (1 - a**t))
        root = one(1 / np.sqrt(1 - b**t))
        for i in range(len(w)):
            gradient = dw[i]
            mean = alpha * first[i] + rest_a * gradient
            square = beta * second[i] + rest_b * gradient * gradient
            first[i] = mean
            second[i] = square
            down = scaled * mean / (np.sqrt(square) * root + eps)
            w[i] -= down + shrink * w[i]


@parallel
def update_parts(parts: int, *arguments: Any) -> None:
    """All parts of update_part."""
    for part in numba.prange(parts):
        update_part(np.int64(part), parts, *arguments)


# Numbers of a gradient that stay in the L2 cache until they are used, of so many rows at most; dx
# is made some rows at a time, so that BLAS's pieces (blas.product) are deep rather than high.
_IN_CACHE = 2**16
_ROWS, _DX_ROWS = (96, 48) if LONG_VECTORS else (2**16, 2**16)


@compiled
def scratch(parts: int, M: int, kind: Any) -> Any:
    """Room for ``learn_part``'s gradient of some rows of weights (D, M), used again and again."""
    return np.empty((parts, max(_IN_CACHE, sparse.padded(M))), kind.dtype)


@compiled
def learn_part(
    part: Any, parts: int, d: Any, x: Any, shift: float, db: Any, need_dx: bool, dx: Any,
    reg: float, sums: Any, kind: int, w: Any, room: Any, first: Any, second: Any, rate: float,
    a: float, b: float, epsilon: float, decay: float, t: int,
) -> None:  # fmt: skip
    """Backward of a part of the features, and the step of their weights while dw is in the cache.

    w, first, second (D * M,); x (N, D), d (N, M). dx = d w^T is that of the weights before the
    step; dw = (x + shift)^T d = x^T d + shift db, with db (M,) the sum of d over the examples. With
    ``reg`` sums[part] is the sum of the weights' squares. ``room`` is as ``scratch`` gives it.
    """
    N, D = x.shape
    M = d.shape[1]
    start, stop = D * part // parts, D * (part + 1) // parts
    sums[part] = 0
    numbers, paid, below = x.reshape(-1), d.reshape(-1), dx.reshape(-1)
    x_zeros = d_zeros = False
    panels, line = w, max(N, sparse.padded(M))
    if LONG_VECTORS:  # else what passes over zeros is not even compiled
        x_zeros = sparse.worth(x, start, stop, M, ZERO, ONE)
        if x_zeros:
            panels = sparse.room(N, M, x)
            x_zeros = sparse.packed(paid, N, M, panels)
        d_zeros = need_dx and sparse.worth(d, ZERO, M, D, ONE, ZERO)
        if x_zeros or d_zeros:
            line = sparse.padded(M)
    rows = max(1, min(_IN_CACHE // line, _ROWS, stop - start))
    if x_zeros or d_zeros:  # whole registers
        d_zeros &= rows >= sparse.LANES
        rows = max(rows - rows % sparse.LANES, min(rows, sparse.LANES))
    turned = np.empty(N * M if need_dx and not d_zeros else 0, x.dtype)
    standing = np.empty(N * min(rows, _DX_ROWS) if len(turned) > 0 else 0, x.dtype)
    if len(turned) > 0:
        transpose(paid, ZERO, M, turned, ZERO, N, N, M)
    dw, square, away = room[part], np.zeros(1), x.dtype.type(shift)
    for row in range(start, stop, rows):
        end = min(row + rows, stop)
        some, weights = end - row, w[row * M : end * M]
        if LONG_VECTORS and d_zeros:
            sparse.inputs_gradient(paid, N, M, w, row, some, below, D)
        elif need_dx:
            for top in range(row, end, _DX_ROWS):
                many = min(_DX_ROWS, end - top)
                product(ZERO, ZERO, many, N, M, w[top * M :], M, turned, N, ZERO, standing, N)
                transpose(standing, ZERO, N, below, top, D, many, N)
        if LONG_VECTORS and x_zeros:
            last = min(end + rows, stop) * M
            sparse.weights_gradient(numbers, N, D, row, some, panels, M, dw, w, end * M, last)
        else:
            product(ONE, ZERO, some, M, N, numbers[row:], D, paid, M, ZERO, dw, M)
        if shift != 0:
            for i in range(some):
                line = dw[i * M : (i + 1) * M]
                for m in range(M):
                    line[m] += away * db[m]
        if reg > 0:
            dense.add_l2_part(ZERO, ONE, dw[: some * M], weights, reg, square)
            sums[part] += square[0]
        update_part(
            ZERO, ONE, kind, weights, dw[: some * M], first[row * M : end * M],
            second[row * M : end * M], rate, a, b, epsilon, decay, t,
        )  # fmt: skip


@parallel
def learn_parts(
    parts: int, d: Any, x: Any, shift: float, db: Any, need_dx: bool, dx: Any, reg: float,
    sums: Any, kind: int, w: Any, room: Any, first: Any, second: Any, rate: float, a: float,
    b: float, epsilon: float, decay: float, t: int,
) -> None:  # fmt: skip
    """All parts of learn_part. By name: *arguments would be compiled once for each caller."""
    for part in numba.prange(parts):
        learn_part(
            np.int64(part), parts, d, x, shift, db, need_dx, dx, reg, sums, kind, w, room, first,
            second, rate, a, b, epsilon, decay, t,
        )  # fmt: skip


@compiled
def _loss(kind: int, x: Any, labels: Any, dx: Any) -> float:
    """Softmax (0), logistic (1) or hinge (2) loss of x (N, C), and its gradient."""
    if kind == 0:
        return dense.softmax(x, labels, dx)
    N = len(x)
    one = x.dtype.type(1)
    loss = 0.0
    for n in range(N):
        sign = one if labels[n] > 0 else -one
        margin = sign * x[n, 0]
        if kind == 1:
            small = np.exp(-abs(margin))
            loss += np.log1p(small) + max(-margin, 0)
            dx[n, 0] = -sign * (small if margin >= 0 else one) / (one + small) / N
        else:
            slack = one - margin
            loss += slack if not slack <= 0 else 0
            dx[n, 0] = -sign / N if slack > 0 else 0
    return float(loss / N)


@compiled
def _share(threads: int, work: int, enough: int) -> int:
    return max(1, min(threads, work // enough))


@compiled
def dense_steps(
    X: Any, chosen: Any, labels: Any, batch: int, sizes: Any, loss_kind: int, reg: float,
    theta: Any, kind: int, rates: Any, hyper: Any, first: Any, second: Any, t: int, threads: int,
    pool: Any, shift: float, losses: Any,
) -> int:  # fmt: skip
    """Train on batches of X[chosen]: see numpy.py; with a ``pool`` on Numba's threads.

    ``pool`` is None or not by type: without one the loops over threads, which take seconds, are not
    even compiled.

    X - shift is what is multiplied: it should be the number that is zero most often.
    """
    layers = len(sizes) - 1
    widest = ZERO
    for layer in range(layers):
        widest = max(widest, sizes[layer + 1])
    room, db = scratch(threads, widest, theta), np.empty(widest, theta.dtype)
    lifting, lifted = np.empty(threads * sizes[1], theta.dtype), np.empty(widest, theta.dtype)
    outs = np.empty((layers, batch * widest), theta.dtype)
    douts = np.empty((2, batch * widest), theta.dtype)
    partial = np.empty(threads * batch * sparse.padded(widest), theta.dtype)
    gathered, targets = np.empty((batch, sizes[0]), theta.dtype), np.empty(batch, labels.dtype)
    sums = np.zeros(threads)
    a, b, epsilon, decay = hyper[0], hyper[1], hyper[2], hyper[3]
    for step in range(len(rates)):
        these = chosen[step * batch : (step + 1) * batch]
        N = len(these)
        for n in range(N):
            targets[n] = labels[these[n]]
        rows = gathered[:N]
        x, at = rows, 0
        for layer in range(layers):
            D, M = sizes[layer], sizes[layer + 1]
            w, bias = theta[at : at + D * M].reshape(D, M), theta[at + D * M : at + (D + 1) * M]
            out = outs[layer, : N * M].reshape(N, M)
            parts = _share(threads, N * D * M, PART_PRODUCTS)
            wide = sparse.padded(M)
            summed = partial[: parts * N * wide].reshape(parts, N, wide)
            for m in range(M):
                lifted[m] = bias[m]
            if layer == 0:
                lifts = lifting[: parts * M].reshape(parts, M)
                if pool is not None and parts > 1:
                    dense.gather_parts(parts, X, these, shift, w, x, summed, lifts)
                else:
                    for part in range(parts):
                        dense.gather_part(part, parts, X, these, shift, w, x, summed, lifts)
                for part in range(parts):
                    for m in range(M):
                        lifted[m] += lifts[part, m]
            elif pool is not None and parts > 1:
                dense.forward_parts(parts, x, w, summed)
            else:
                for part in range(parts):
                    dense.forward_part(part, parts, x, w, summed)
            dense.finish(summed, lifted[:M], layer < layers - 1, out)
            x, at = out, at + (D + 1) * M
        d: Any = douts[layers % 2, : x.size].reshape(x.shape)
        loss = _loss(loss_kind, x, targets, d)
        losses[step] = loss
        if not np.isfinite(loss):
            return step
        rate, now = rates[step], t + step + 1
        for layer in range(layers - 1, -1, -1):
            D, M = sizes[layer], sizes[layer + 1]
            at -= (D + 1) * M
            middle, end = at + D * M, at + (D + 1) * M
            below = rows if layer == 0 else outs[layer - 1, : N * D].reshape(N, D)
            out = outs[layer, : N * M].reshape(N, M)
            dense.cut(d, out, layer < layers - 1, db[:M])
            dx = douts[layer % 2, : N * D].reshape(N, D) if layer > 0 else d
            parts = _share(threads, N * D * M, PART_PRODUCTS)
            away, weights = shift if layer == 0 else 0.0, theta[at:middle]
            one, two = first[at:middle], second[at:middle]
            if pool is not None and parts > 1:
                learn_parts(
                    parts, d, below, away, db[:M], layer > 0, dx, reg, sums, kind, weights, room,
                    one, two, rate, a, b, epsilon, decay, now,
                )  # fmt: skip
            else:
                for part in range(parts):
                    learn_part(
                        part, parts, d, below, away, db[:M], layer > 0, dx, reg, sums, kind,
                        weights, room, one, two, rate, a, b, epsilon, decay, now,
                    )  # fmt: skip
            update_part(
                ZERO, ONE, kind, theta[middle:end], db[:M], first[middle:end],
                second[middle:end], rate, a, b, epsilon, 0.0, now,
            )  # fmt: skip
            if reg > 0:
                losses[step] += 0.5 * reg * sums[:parts].sum()
            d = dx
    return len(rates)
