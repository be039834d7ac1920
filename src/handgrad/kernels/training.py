"""Optimiser steps, and whole training steps of dense networks, compiled.

A training step of a small dense network is some microseconds of arithmetic: called layer by layer
from Python, ten times as long would go into calling. Here several steps are one call.
"""

from typing import Any

import numba
import numpy as np

from handgrad.kernels import dense
from handgrad.kernels.blas import compiled, elementwise, parallel
from handgrad.kernels.rules import MOMENTUM, NESTEROV, RMSPROP, SGD

# A part should be worth waking a thread for: so many multiplications, or numbers touched.
PART_PRODUCTS, PART_NUMBERS = 2**21, 2**16


@elementwise
def update_part(
    part: Any, parts: int, kind: int, w: Any, dw: Any, first: Any, second: Any, rate: float,
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
            first[i] = alpha * first[i] + rest_a * dw[i] * dw[i]
            w[i] -= lr * dw[i] / (np.sqrt(first[i]) + eps)
    else:  # Adam: the bias corrections go into the rate and into one factor
        scaled = one(rate / (1 - a**t))
        root = one(1 / np.sqrt(1 - b**t))
        for i in range(len(w)):
            first[i] = alpha * first[i] + rest_a * dw[i]
            second[i] = beta * second[i] + rest_b * dw[i] * dw[i]
            down = scaled * first[i] / (np.sqrt(second[i]) * root + eps)
            w[i] -= down + shrink * w[i]


@parallel
def update_parts(parts: int, *arguments: Any) -> None:
    """All parts of update_part."""
    for part in numba.prange(parts):
        update_part(np.int64(part), parts, *arguments)


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
    X: Any, labels: Any, batch: int, sizes: Any, loss_kind: int, reg: float, theta: Any,
    kind: int, rates: Any, hyper: Any, first: Any, second: Any, t: int, threads: int,
    at_once: bool, losses: Any,
) -> int:  # fmt: skip
    """Train on consecutive batches of X: see numpy.py. ``at_once``: parts on Numba's threads."""
    layers = len(sizes) - 1
    grads = np.empty_like(theta)
    widest = 0
    for layer in range(layers):
        widest = max(widest, sizes[layer + 1])
    outs = np.empty((layers, batch * widest), theta.dtype)
    douts = np.empty((2, batch * widest), theta.dtype)
    partial = np.empty(threads * batch * widest, theta.dtype)
    sums = np.zeros(threads)
    a, b, epsilon, decay = hyper[0], hyper[1], hyper[2], hyper[3]
    for step in range(len(rates)):
        rows = X[step * batch : (step + 1) * batch]
        N = len(rows)
        x, at = rows, 0
        for layer in range(layers):
            D, M = sizes[layer], sizes[layer + 1]
            w, bias = theta[at : at + D * M].reshape(D, M), theta[at + D * M : at + (D + 1) * M]
            out = outs[layer, : N * M].reshape(N, M)
            parts = _share(threads, N * D * M, PART_PRODUCTS)
            summed = partial[: parts * N * M].reshape(parts, N, M)
            if at_once and parts > 1:
                dense.forward_parts(parts, x, w, summed)
            else:
                for part in range(parts):
                    dense.forward_part(part, parts, x, w, summed)
            dense.finish(summed, bias, layer < layers - 1, out)
            x, at = out, at + (D + 1) * M
        d = douts[layers % 2, : x.size].reshape(x.shape)
        loss = _loss(loss_kind, x, labels[step * batch :], d)
        for layer in range(layers - 1, -1, -1):
            D, M = sizes[layer], sizes[layer + 1]
            at -= (D + 1) * M
            w = theta[at : at + D * M].reshape(D, M)
            dw, db = grads[at : at + D * M], grads[at + D * M : at + (D + 1) * M]
            below = rows if layer == 0 else outs[layer - 1, : N * D].reshape(N, D)
            out = outs[layer, : N * M].reshape(N, M)
            dense.cut(d, out, layer < layers - 1, d, db)
            need = layer > 0
            dx = douts[layer % 2, : N * D].reshape(N, D) if need else d
            parts = _share(threads, N * D * M, PART_PRODUCTS)
            if at_once and parts > 1:
                dense.backward_parts(parts, d, below, w, need, dx, dw.reshape(D, M))
            else:
                for part in range(parts):
                    dense.backward_part(part, parts, d, below, w, need, dx, dw.reshape(D, M))
            if reg > 0:
                flat = theta[at : at + D * M]
                parts = _share(threads, D * M, PART_NUMBERS)
                if at_once and parts > 1:
                    dense.add_l2_parts(parts, dw, flat, reg, sums)
                else:
                    for part in range(parts):
                        dense.add_l2_part(part, parts, dw, flat, reg, sums)
                loss += 0.5 * reg * sums[:parts].sum()
            d = dx
        losses[step] = loss
        if not np.isfinite(loss):
            return step
        rate = rates[step]
        # Decay is for weights alone; without it all parameters are one array.
        pieces = layers if decay > 0 else 1
        at = 0
        for piece in range(pieces):
            D, M = sizes[piece], sizes[piece + 1]
            end = at + D * M if decay > 0 else len(theta)
            parts = _share(threads, end - at, PART_NUMBERS)
            if at_once and parts > 1:
                update_parts(
                    parts, kind, theta[at:end], grads[at:end], first[at:end], second[at:end], rate,
                    a, b, epsilon, decay, t + step + 1,
                )  # fmt: skip
            else:
                for part in range(parts):
                    update_part(
                        part, parts, kind, theta[at:end], grads[at:end], first[at:end],
                        second[at:end], rate, a, b, epsilon, decay, t + step + 1,
                    )  # fmt: skip
            if decay > 0:
                at, end = end, end + M
                update_part(
                    0, 1, kind, theta[at:end], grads[at:end], first[at:end], second[at:end], rate,
                    a, b, epsilon, 0.0, t + step + 1,
                )  # fmt: skip
                at = end
    return len(rates)
