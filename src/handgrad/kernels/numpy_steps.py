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
# Numbers of the batches that are gathered at once: for small ones it takes longer to begin.
_GATHERED = 2**17


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
        some_w, some_dw, state, more = (array[start : start + _IN_CACHE] for array in arrays)
        room = np.empty_like(some_w)
        _update(kind, some_w, some_dw, state, more, room, rate, a, b, epsilon, decay, t)


def _update(
    kind: int, w: Array, dw: Array, first: Array, second: Array, spare: Array, rate: float,
    a: float, b: float, epsilon: float, decay: float, t: int,
) -> None:  # fmt: skip
    """Step arrays of one dimension; ``spare`` is room for one more."""
    if kind == SGD:
        w -= np.multiply(dw, rate, out=spare)
    elif kind == MOMENTUM:
        first *= a
        first -= np.multiply(dw, rate, out=spare)
        w += first
    elif kind == NESTEROV:
        first *= a
        first += dw
        np.multiply(first, a, out=spare)
        spare += dw
        spare *= rate
        w -= spare
    elif kind == RMSPROP:
        np.multiply(dw, dw, out=spare)
        spare *= 1 - a
        first *= a
        first += spare
        np.sqrt(first, out=spare)
        spare += epsilon
        np.divide(dw, spare, out=spare)
        spare *= rate
        w -= spare
    else:  # Adam: the bias corrections go into the rate and into epsilon
        first *= a
        first += np.multiply(dw, 1 - a, out=spare)
        np.multiply(dw, dw, out=spare)
        spare *= 1 - b
        second *= b
        second += spare
        if decay:
            w -= np.multiply(w, rate * decay, out=spare)
        root = math.sqrt(1 - b**t)
        np.sqrt(second, out=spare)
        spare += epsilon * root
        np.divide(first, spare, out=spare)
        spare *= rate * root / (1 - a**t)
        w -= spare


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
    layers, at = [], 0
    for D, M in itertools.pairwise(sizes.tolist()):
        # The biases lie behind their weights: with a feature of ones they are one matrix.
        part = slice(at, at + (D + 1) * M)
        held = 0 if part.stop == len(theta) else batch  # the last layer's units are the scores
        layers.append(_Layer(part, theta[part].reshape(-1, M), grads[part].reshape(-1, M), held))
        at = part.stop
    a, b, epsilon, decay = hyper.tolist()
    parts = _shrinking(layers, decay)
    spare = np.empty(max(part.stop - part.start for part, _ in parts), theta.dtype)
    stepped = [
        (theta[p], grads[p], first[p], second[p], spare[: p.stop - p.start], shrink)
        for p, shrink in parts
    ]
    losses = np.empty(len(rates))
    together = max(1, _GATHERED // (batch * layers[0].w.shape[0]))
    for start in range(0, len(rates), together):
        rows = chosen[start * batch : (start + together) * batch]
        gathered = np.ones((len(rows), len(layers[0].w)), theta.dtype)
        gathered[:, :-1] = X[rows]
        targets = labels[rows] if loss_kind == 0 else labels[rows, None].astype(theta.dtype)
        for step, rate in enumerate(rates[start : start + together].tolist(), start):
            these = slice((step - start) * batch, (step - start + 1) * batch)
            loss = _gradients(layers, gathered[these], targets[these], loss_kind, reg)
            losses[step] = loss
            if not math.isfinite(loss):
                return losses[: step + 1]
            for w, dw, state, more, room, shrink in stepped:
                _update(kind, w, dw, state, more, room, rate, a, b, epsilon, shrink, t + step + 1)
    return losses


class _Layer:
    """One dense layer: where it is, its weights, the biases as their last row, and dw alike.

    out (rows, M + 1) is for its units after the ReLU; the next layer's ones are last.
    """

    def __init__(self, part: slice, w: Array, dw: Array, rows: int) -> None:
        self.part, self.w, self.dw = part, w, dw
        self.out = np.ones((rows, w.shape[1] + 1), w.dtype)


def _shrinking(layers: list[_Layer], decay: float) -> list[tuple[slice, float]]:
    """Give the parts of theta to step and each one's weight decay."""
    whole = slice(layers[0].part.start, layers[-1].part.stop)
    if not decay and whole.stop <= _IN_CACHE:
        return [(whole, 0.0)]
    parts = []
    for layer in layers:
        middle = layer.part.stop - layer.w.shape[1]
        for start in range(layer.part.start, middle, _IN_CACHE):
            parts.append((slice(start, min(start + _IN_CACHE, middle)), decay))
        parts.append((slice(middle, layer.part.stop), 0.0))
    return parts


def _gradients(layers: list[_Layer], x: Array, targets: Array, kind: int, reg: float) -> float:
    """Fill the layers' dw for examples x, their last feature 1; give the loss."""
    xs = [x]
    for layer in layers[:-1]:
        out = layer.out[: len(x)]
        units = np.matmul(xs[-1], layer.w, out=out[:, :-1])
        np.maximum(units, 0, out=units)
        xs.append(out)
    loss, d = _LOSSES[kind](xs[-1] @ layers[-1].w, targets)
    for i in range(len(layers) - 1, -1, -1):
        layer = layers[i]
        np.matmul(xs[i].T, d, out=layer.dw)
        if i:
            d = d @ layer.w[:-1].T
            d *= xs[i][:, :-1] > 0
        if reg:
            loss += 0.5 * reg * add_l2(layer.dw[:-1], layer.w[:-1], reg)
    return loss


def _softmax(x: Array, labels: Array) -> tuple[float, Array]:
    """Loss of scores x (N, C), which become the gradient; see handgrad.layers."""
    N = len(x)
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


def _logistic(x: Array, sign: Array) -> tuple[float, Array]:
    """Loss of x (N, 1), which becomes the gradient: -sign / N / (1 + e^(sign x))."""
    x *= -sign
    costs = np.logaddexp(x, 0)
    x -= costs  # the logarithm of the sigmoid, for numbers of any size
    dx = np.exp(x, out=x)
    dx *= sign
    dx *= -1 / len(x)
    return float(np.add.reduce(costs, axis=None)) / len(x), dx


def _hinge(x: Array, sign: Array) -> tuple[float, Array]:
    """Loss of x (N, 1), which becomes the gradient: -sign / N where the slack is positive."""
    x *= -sign
    x += 1
    slack = np.maximum(x, 0)
    dx = np.multiply(x > 0, sign, out=x)
    dx *= -1 / len(x)
    return float(np.add.reduce(slack, axis=None)) / len(x), dx


_LOSSES = (_softmax, _logistic, _hinge)
