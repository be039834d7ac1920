"""Optimiser steps, and whole training steps of dense networks, in plain NumPy."""

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handgrad.kernels.rules import MOMENTUM, NESTEROV, RMSPROP, SGD

Array = NDArray[Any]

# A step passes over its arrays some ten times: so many numbers at a time stay in the cache.
_IN_CACHE = 2**14


def add_l2(dw: Array, w: Array, reg: float) -> float:
    """Add reg * w to dw, in place, and return the sum of w^2: the penalty in the gradient."""
    dw += reg * w
    return float(np.vdot(w, w))


def update(
    kind: int, w: Array, dw: Array, first: Array, second: Array, rate: float, a: float, b: float,
    epsilon: float, decay: float, t: int,
) -> None:  # fmt: skip
    """Step w, and the rule's state first and second, in place; see handgrad.optim.

    kind is one of kernels.rules; a, b: momentum; or decay_rate; or beta1, beta2; decay: the weight
    decay of AdamW, 0 for Adam; t counts this step from 1.
    """
    arrays = [array.reshape(-1) for array in (w, dw, first, second)]
    for start in range(0, w.size, _IN_CACHE):
        part_w, part_dw, part_first, part_second = (
            array[start : start + _IN_CACHE] for array in arrays
        )
        _update(kind, part_w, part_dw, part_first, part_second, rate, a, b, epsilon, decay, t)


def _update(
    kind: int, w: Array, dw: Array, first: Array, second: Array, rate: float, a: float, b: float,
    epsilon: float, decay: float, t: int,
) -> None:  # fmt: skip
    if kind == SGD:
        w -= rate * dw
    elif kind == MOMENTUM:
        first *= a
        first -= rate * dw
        w += first
    elif kind == NESTEROV:
        first *= a
        first += dw
        down = a * first
        down += dw
        down *= rate
        w -= down
    elif kind == RMSPROP:
        first *= a
        first += (1 - a) * dw * dw
        w -= rate * dw / (np.sqrt(first) + epsilon)
    else:  # Adam: the bias corrections go into the rate and into one factor
        first *= a
        first += (1 - a) * dw
        second *= b
        square = (1 - b) * dw
        square *= dw
        second += square
        root = np.sqrt(second, out=square)
        root *= 1 / math.sqrt(1 - b**t)
        root += epsilon
        down = (rate / (1 - a**t)) * first
        down /= root
        if decay:
            down += (rate * decay) * w
        w -= down


def dense_steps(
    X: Array, chosen: Array, labels: Array, batch: int, sizes: Array, loss_kind: int, reg: float,
    theta: Array, kind: int, rates: Array, hyper: Array, first: Array, second: Array, t: int,
) -> Array:  # fmt: skip
    """Train a dense network with ReLUs on consecutive batches: forward, loss, backward, update.

    Parameters
    ----------
    X : array (all rows, sizes[0])
    chosen : int64 array
        The rows of the batches, one batch after the other.
    labels : int64 array (all rows,)
        Classes for softmax, -1 and 1 for the binary losses.
    sizes : int array
        D, the layers' units.
    loss_kind : 0 softmax, 1 logistic, 2 hinge
    reg : float
    theta, first, second : arrays of one dimension
        W1, b1, W2, b2, ... one after the other, and the rule's state alike; stepped in place.
    kind, hyper : of ``update``: (a, b, epsilon, decay); decay is for the weights alone
    rates : float64 array, one learning rate a batch
    t : int, steps before these

    Returns
    -------
    losses : float64 array, one a batch; the last is not finite where training had to end early
    """
    grads = np.empty_like(theta)
    dense, at = [], 0
    for D, M in itertools.pairwise(sizes.tolist()):
        weights, biases = slice(at, at + D * M), slice(at + D * M, at + (D + 1) * M)
        dense.append(
            (
                theta[weights].reshape(D, M), theta[biases],
                grads[weights].reshape(D, M), grads[biases],
            )
        )  # fmt: skip
        at += (D + 1) * M
    losses = np.empty(len(rates))
    a, b, epsilon, decay = hyper.tolist()
    for step, rate in enumerate(rates.tolist()):
        rows = chosen[step * batch : (step + 1) * batch]
        outs = [X[rows].astype(theta.dtype, copy=False)]
        for i, (w, bias, _, _) in enumerate(dense):
            out = outs[-1] @ w
            out += bias
            outs.append(out if i == len(dense) - 1 else np.maximum(out, 0, out=out))
        loss, d = _loss(loss_kind, outs.pop(), labels[rows])
        for i in range(len(dense) - 1, -1, -1):
            w, _, dw, db = dense[i]
            below = outs.pop()
            np.matmul(below.T, d, out=dw)
            np.sum(d, axis=0, out=db)
            if i:
                d = d @ w.T
                d *= below > 0
            if reg:
                loss += 0.5 * reg * add_l2(dw, w, reg)
        losses[step] = loss
        if not math.isfinite(loss):
            return losses[: step + 1]
        if decay:
            at = 0
            for w, bias, _, _ in dense:
                for size, shrink in ((w.size, decay), (bias.size, 0.0)):
                    p = slice(at, at + size)
                    of = theta[p], grads[p], first[p], second[p]
                    update(kind, *of, rate, a, b, epsilon, shrink, t + step + 1)
                    at += size
        else:
            update(kind, theta, grads, first, second, rate, a, b, epsilon, 0.0, t + step + 1)
    return losses


def _loss(kind: int, x: Array, labels: Array) -> tuple[float, Array]:
    """Softmax (0), logistic (1) or hinge (2) loss of x (N, C), with dx; see handgrad.layers."""
    N = len(x)
    if kind == 0:
        rows = np.arange(N)
        x -= x.max(axis=1, keepdims=True)
        picked = x[rows, labels]
        dx = np.exp(x, out=x)
        total = dx.sum(axis=1, keepdims=True)
        loss = float((np.log(total[:, 0]) - picked).mean())
        dx /= total
        dx[rows, labels] -= 1
        dx /= N
        return loss, dx
    sign = labels[:, None].astype(x.dtype)
    margin = sign * x
    if kind == 1:
        small = np.exp(-np.abs(margin))
        loss = float(np.log1p(small).sum() - np.minimum(margin, 0).sum()) / N
        dx = np.where(margin >= 0, small, 1)
        dx /= 1 + small
        dx *= sign
        dx *= -1 / N
        return loss, dx
    slack = 1 - margin
    loss = float(np.maximum(slack, 0).sum()) / N
    return loss, np.multiply(slack > 0, sign * (-1 / N), dtype=x.dtype)
