"""The hot loops in plain NumPy: readable, always there, and what faster kernels are held against.

Shapes: N examples, C channels in, F filters, H x W image (padding already applied),
HH x WW filter or pooling window, OH x OW output. No function checks its arguments (the layer
has done so); only those that step parameters modify any, and say so.
"""

from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.engine.kernels.numpy_blocks import (
    block_backward as block_backward,
    block_forward as block_forward,
    norm_block_backward as norm_block_backward,
    norm_block_forward as norm_block_forward,
)
from handgrad.engine.kernels.numpy_steps import (
    add_l2 as add_l2,
    dense_steps as dense_steps,
    update as update,
)
from handgrad.engine.kernels.parts import in_parts


def dense_forward(x: Array, w: Array, b: Array, *, relu: bool) -> Array:
    """Fully connected: x (N, D) w (D, M) + b, cut at 0 with ``relu``."""
    first, *more = in_parts(len(w), len(x) * w.size, lambda some: x[:, some] @ w[some])
    out = sum(more, first + b)
    return np.maximum(out, 0, out=out) if relu else np.asarray(out)


def dense_backward(
    dout: Array, out: Array, x: Array, w: Array, *, relu: bool, need_dx: bool
) -> tuple[Array | None, Array, Array]:
    """Gradients (dx, dw, db) of dense_forward; dx None without ``need_dx``."""
    d = np.where(out > 0, dout, 0) if relu else dout
    dw = np.empty_like(w)
    dx = np.empty_like(x) if need_dx else None

    def part(some: slice) -> None:
        np.matmul(x[:, some].T, d, out=dw[some])
        if dx is not None:
            dx[:, some] = d @ w[some].T

    in_parts(len(w), len(x) * w.size, part)
    return dx, dw, d.sum(axis=0)


def dense_learn(
    dout: Array, out: Array, x: Array, w: Array, step: tuple[Any, ...], *, relu: bool,
    need_dx: bool, reg: float,
) -> tuple[Array | None, Array, float]:  # fmt: skip
    """Gradients (dx, db) of dense_forward, w stepped in place, and the sum of the old w^2.

    The gradient of w with the penalty's, reg * w, is used where it is made, and not kept. ``step``
    is what ``update`` takes, but for w and dw: (kind, first, second, rate, a, b, epsilon, decay,
    t). dx is that of the old w; the sum is 0 without reg.
    """
    dx, dw, db = dense_backward(dout, out, x, w, relu=relu, need_dx=need_dx)
    squares = add_l2(dw, w, reg) if reg else 0.0
    kind, *rest = step
    update(kind, w, dw, *rest)
    return dx, db, squares


def dropout_forward(x: Array, rng: np.random.Generator, keep: float) -> tuple[Array, Array]:
    """Keep each number with probability ``keep``: (x * mask, mask), the layer's draws of rng."""
    mask = np.asarray(rng.random(x.shape) < keep)
    return x * mask, mask


def dropout_backward(dout: Array, mask: Array) -> Array:
    """Gradient of dropout_forward."""
    return np.where(mask, dout, dout.dtype.type(0))


def norm_forward(
    x: Array, gamma: Array, beta: Array, eps: float, *, relu: bool
) -> tuple[Array, Array, Array]:
    """Batch normalisation of rows x (N, D), cut at 0 with ``relu``: (out, mean, biased var)."""
    centred = x - x[0]  # from the first row on: a constant's mean is that, to the last bit
    away = centred.mean(axis=0)
    centred -= away
    mean = x[0] + away
    var = np.einsum("nd,nd->d", centred, centred) / x.dtype.type(len(x))
    out = np.multiply(centred, gamma / np.sqrt(var + x.dtype.type(eps)), out=centred)
    out += beta
    return (np.maximum(out, 0, out=out) if relu else out), mean, var


def norm_backward(
    dout: Array, out: Array, x: Array, gamma: Array, mean: Array, var: Array, eps: float, *,
    relu: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Gradients (dx, dgamma, dbeta) of norm_forward."""
    d = np.where(out > 0, dout, 0) if relu else dout
    inverse = 1 / np.sqrt(var + x.dtype.type(eps))
    x_hat = (x - mean) * inverse
    dbeta, dgamma = d.sum(axis=0), np.einsum("nd,nd->d", d, x_hat)
    count = x.dtype.type(len(x))
    dx = np.multiply(x_hat, -dgamma / count, out=x_hat)
    dx += d
    dx -= dbeta / count
    dx *= gamma * inverse
    return dx, dgamma, dbeta


def softmax(x: Array, labels: Array) -> tuple[float, Array]:
    """layers.softmax_loss of scores x (N, C) and labels (N,), whole numbers in [0, C)."""
    shifted = x - x.max(axis=1, keepdims=True)
    rows = np.arange(len(x))
    with np.errstate(under="ignore"):
        dx = np.exp(shifted)
        total = dx.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - shifted[rows, labels]).mean()
        dx /= total
        dx[rows, labels] -= 1
        dx /= len(x)
    return float(loss), dx


def swap_last_axes(x: Array) -> Array:
    """Copy (N, A, B) into (N, B, A)."""
    return np.ascontiguousarray(x.transpose(0, 2, 1))
