"""Optimiser steps, and whole training steps of dense networks, in plain NumPy."""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.engine.kernels.parts import blas_on_one_thread, split, worth
from handgrad.engine.kernels.rules import ADAM, MOMENTUM, NESTEROV, RMSPROP, SGD

# A step passes over its arrays some ten times: so many numbers at a time stay in the cache.
_IN_CACHE = 2**14
# Numbers of the batches that are gathered at once: for small ones it takes longer to begin.
_GATHERED = 2**17


def add_l2(dw: Array, w: Array, reg: float) -> float:
    """Add reg * w to dw, in place, and return the sum of w^2: the penalty in the gradient."""
    with blas_on_one_thread():
        return _add_l2(dw, w, reg)


def _add_l2(dw: Array, w: Array, reg: float) -> float:
    """add_l2, inside ``blas_on_one_thread``: on more, BLAS adds up in other parts."""
    dw += reg * w
    squares = float(np.vdot(w, w))
    if not math.isfinite(squares):  # too large for w's dtype
        squares = float(np.square(w, dtype=np.float64).sum())
    return squares


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
    new = np.empty((2, theta.size), theta.dtype)
    grads = new[0]
    layers, at = [], 0
    for D, M in itertools.pairwise(sizes.tolist()):
        # The biases lie behind their weights: with a feature of ones they are one matrix.
        part = slice(at, at + (D + 1) * M)
        layers.append(_Layer(part, theta[part].reshape(-1, M), grads[part].reshape(-1, M)))
        at = part.stop
    a, b, epsilon, decay = hyper.tolist()
    stepping: _InParts | _SmallAdam
    if kind == ADAM and not decay and theta.size <= _IN_CACHE:
        stepping = _SmallAdam(theta, new, first, second, a, b, epsilon)
    else:
        stepping = _InParts(layers, kind, (theta, grads, first, second), (a, b, epsilon), decay)
    largest = max(layer.w.size for layer in layers) * min(batch, len(chosen))
    try:
        with blas_on_one_thread() as threads:
            multiply = _product(threads, largest)
            return _steps(
                layers, stepping, multiply, X, chosen, labels, batch, loss_kind, reg,
                rates.tolist(), t,
            )  # fmt: skip
    finally:
        stepping.end()


# a b, in ``out`` if it is given: a call that np.dot takes as it is.
_Product = Callable[..., Array]


def _product(threads: int, largest: int) -> _Product:
    """Give the products for a network: in parts only where one of them may be worth it."""
    return partial(_product_in_parts, threads) if worth(threads, largest) else np.dot


def _product_in_parts(threads: int, a: Array, b: Array, out: Array | None = None) -> Array:
    into = np.empty((len(a), b.shape[1]), a.dtype) if out is None else out
    split(threads, len(a), a.size * b.shape[1], lambda some: np.dot(a[some], b, out=into[some]))
    return into


class _Layer:
    """One dense layer: where it is, its weights, the biases as their last row, and dw alike."""

    def __init__(self, part: slice, w: Array, dw: Array) -> None:
        self.part, self.w, self.dw = part, w, dw
        self._units = np.ones((w.shape[1] + 1, 0), w.dtype)

    def units(self, count: int) -> Array:
        """Room for units (M + 1, N) after the ReLU, the last of them the next layer's ones."""
        if self._units.shape[1] != count:
            self._units = np.ones((self.w.shape[1] + 1, count), self.w.dtype)
        return self._units


class _InParts:
    """Steps by ``_update``, of parts that stay in the cache; weights alone are decayed."""

    def __init__(
        self, layers: list[_Layer], kind: int, arrays: tuple[Array, ...],
        hyper: tuple[float, float, float], decay: float,
    ) -> None:  # fmt: skip
        self._kind, self._hyper = kind, hyper
        parts = _shrinking(layers, decay)
        spare = np.empty(max(part.stop - part.start for part, _ in parts), arrays[0].dtype)
        self._parts: list[tuple[Any, ...]] = [
            (*(array[part] for array in arrays), spare[: part.stop - part.start], shrink)
            for part, shrink in parts
        ]

    def step(self, rate: float, t: int) -> None:
        for w, dw, first, second, spare, shrink in self._parts:
            _update(self._kind, w, dw, first, second, spare, rate, *self._hyper, shrink, t)

    def end(self) -> None:
        """The state is where it belongs."""


class _SmallAdam:
    """Adam's steps in few calls: both moments in one array, theirs being what takes the time.

    They are kept as sums of a^i g and b^i g^2, without the factors 1 - a and 1 - b. ``new`` has
    the gradients g, and room for their squares.
    """

    def __init__(
        self, w: Array, new: Array, first: Array, second: Array, a: float, b: float, epsilon: float
    ) -> None:
        self._w, self._new, self._given = w, new, (first, second)
        self._a, self._b, self._epsilon = a, b, epsilon
        self._moments = np.stack([first / (1 - a), second / (1 - b)])
        self._mean, self._square = self._moments
        self._gradient, self._squared = new
        self._fading = np.array([[a], [b]], w.dtype)
        self._spare = np.empty_like(w)

    def step(self, rate: float, t: int) -> None:
        a, b, spare = self._a, self._b, self._spare
        np.multiply(self._gradient, self._gradient, out=self._squared)
        self._moments *= self._fading
        self._moments += self._new
        root = math.sqrt((1 - b**t) / (1 - b))
        np.sqrt(self._square, out=spare)
        spare += self._epsilon * root
        np.divide(self._mean, spare, out=spare)
        spare *= rate * root * (1 - a) / (1 - a**t)
        self._w -= spare

    def end(self) -> None:
        """Give the moments back."""
        first, second = self._given
        np.multiply(self._mean, 1 - self._a, out=first)
        np.multiply(self._square, 1 - self._b, out=second)


def _steps(
    layers: list[_Layer], stepping: _InParts | _SmallAdam, multiply: _Product, X: Array,
    chosen: Array, labels: Array, batch: int, loss_kind: int, reg: float, rates: list[float],
    t: int,
) -> Array:  # fmt: skip
    """Do the steps of ``dense_steps``; give the losses."""
    dtype = layers[0].w.dtype
    losses, share = np.empty(len(rates)), np.empty((1, 0))
    together = max(1, _GATHERED // (batch * layers[0].w.shape[0]))
    for start in range(0, len(rates), together):
        rows = chosen[start * batch : (start + together) * batch]
        gathered = np.ones((len(rows), len(layers[0].w)), dtype)
        gathered[:, :-1] = X[rows]
        targets = labels[rows] if loss_kind == 0 else -labels[rows, None].astype(dtype)
        for step, rate in enumerate(rates[start : start + together], start):
            these = slice((step - start) * batch, (step - start + 1) * batch)
            x = gathered[these]
            if len(x) != share.shape[1]:
                share = np.full((1, len(x)), 1 / len(x), dtype)
            loss = _gradients(layers, multiply, x, targets[these], share, loss_kind, reg)
            losses[step] = loss
            if not math.isfinite(loss):
                return losses[: step + 1]
            stepping.step(rate, t + step + 1)
    return losses


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


def _gradients(
    layers: list[_Layer], multiply: _Product, x: Array, targets: Array, share: Array, kind: int,
    reg: float,
) -> float:  # fmt: skip
    """Fill the layers' dw for examples x, their last feature 1; give the loss.

    Units and their gradients have the examples last, so that all but the ones are contiguous.
    share (1, N) is each example's, 1 / N.
    """
    below = [x.T]
    for layer in layers[:-1]:
        units = layer.units(len(x))
        some = multiply(layer.w.T, below[-1], units[:-1])
        np.maximum(some, 0, out=some)
        below.append(units)
    loss, dx = _LOSSES[kind](multiply(below[-1].T, layers[-1].w), targets, share)
    d = dx.T
    for i in range(len(layers) - 1, -1, -1):
        layer = layers[i]
        multiply(below[i], d.T, layer.dw)
        if i:
            d = multiply(layer.w[:-1], d)
            d = np.where(below[i][:-1] > 0, d, 0)
        if reg:
            loss += 0.5 * reg * _add_l2(layer.dw[:-1], layer.w[:-1], reg)
    return loss


def _softmax(x: Array, labels: Array, share: Array) -> tuple[float, Array]:
    """Loss of scores x (N, C), which become the gradient; see handgrad.layers."""
    N = len(x)
    rows = np.arange(N)
    x -= x.max(axis=1, keepdims=True)
    picked = x[rows, labels]
    dx = np.exp(x, out=x)
    total = dx.sum(axis=1, keepdims=True)
    loss = share.dot(np.log(total[:, 0]) - picked).item()
    dx /= total
    dx[rows, labels] -= 1
    dx /= N
    return loss, dx


def _logistic(x: Array, flip: Array, share: Array) -> tuple[float, Array]:
    """Loss of x (N, 1), which becomes the gradient: flip / N / (1 + e^(-flip x)), flip = -sign."""
    x *= flip
    costs = np.logaddexp(x, 0)
    x -= costs  # the logarithm of the sigmoid, for numbers of any size
    dx = np.exp(x, out=x)
    dx *= flip
    dx *= 1 / len(x)
    return share.dot(costs).item(), dx


def _hinge(x: Array, flip: Array, share: Array) -> tuple[float, Array]:
    """Loss of x (N, 1), which becomes the gradient: flip / N where the slack is positive."""
    x *= flip
    x += 1
    slack = np.maximum(x, 0)
    dx = np.sign(slack, out=x)
    dx *= flip
    dx *= 1 / len(x)
    return share.dot(slack).item(), dx


_LOSSES = (_softmax, _logistic, _hinge)
