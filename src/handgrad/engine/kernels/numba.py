"""The kernels compiled by Numba: the same names and results as numpy.py, several times faster.

Here arguments are brought into the form that compiled code takes and the batch is split in as
many parts as NumPy's BLAS may have threads, which is set to one thread meanwhile: one pool of
threads is at work, never two. The parts depend on the number of threads alone, so the same number
gives the same bits.
"""

from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.engine.kernels import (
    dense,
    dropout,
    norm_rows,
    numpy as plain_numpy,
    sparse,
    training,
)
from handgrad.engine.kernels.blas import bind
from handgrad.engine.kernels.calls import do, numbas_threads, plain, share, share_numbers
from handgrad.engine.kernels.numba_blocks import (
    block_backward as block_backward,
    block_forward as block_forward,
    norm_block_backward as norm_block_backward,
    norm_block_forward as norm_block_forward,
    swap_last_axes as swap_last_axes,
)
from handgrad.engine.kernels.parts import blas_on_one_thread
from handgrad.engine.kernels.training import PART_PRODUCTS

# A draw takes as long as this many numbers take that are only touched.
_NUMBERS_OF_A_DRAW = 16


def dense_forward(x: Array, w: Array, b: Array, *, relu: bool) -> Array:
    """Compute x w + b, cut at 0 with ``relu``: see numpy.py."""
    bind()
    x, w = plain(x), plain(w)
    out = np.empty((len(x), w.shape[1]), x.dtype)
    with blas_on_one_thread() as threads:
        parts = share(threads, x.size * w.shape[1], PART_PRODUCTS)
        sums = np.empty((parts, len(x), sparse.padded(w.shape[1])), x.dtype)
        do(dense.forward_part, dense.forward_parts, parts, x, w, sums)
    dense.finish(sums, plain(b), relu, out)
    return out


def dense_backward(
    dout: Array, out: Array, x: Array, w: Array, *, relu: bool, need_dx: bool
) -> tuple[Array | None, Array, Array]:
    """Gradients (dx, dw, db) of dense_forward."""
    x, w, dout = plain(x), plain(w), plain(dout)
    db, dw = np.empty_like(w[0]), np.empty_like(w)
    dx = np.empty(x.shape if need_dx else (0, 0), x.dtype)
    kept = dout.copy() if relu else dout  # else nothing is cut
    dense.cut(kept, out, relu, db)
    with blas_on_one_thread() as threads:
        parts = share(threads, x.size * w.shape[1], PART_PRODUCTS)
        do(dense.backward_part, dense.backward_parts, parts, kept, x, w, need_dx, dx, dw)
    return dx if need_dx else None, dw, db


def dense_learn(
    dout: Array, out: Array, x: Array, w: Array, step: tuple[Any, ...], *, relu: bool,
    need_dx: bool, reg: float,
) -> tuple[Array | None, Array, float]:  # fmt: skip
    """Gradients as dense_backward's, but w is stepped in place: see numpy.py."""
    bind()
    x, dout = plain(x), plain(dout)
    db = np.empty_like(w[0])
    dx = np.empty(x.shape if need_dx else (0, 0), x.dtype)
    kept = dout.copy() if relu else dout  # else nothing is cut
    dense.cut(kept, out, relu, db)
    kind, first, second, *rest = step
    with blas_on_one_thread() as threads:
        parts = share(threads, x.size * w.shape[1], PART_PRODUCTS)
        squares = np.zeros(parts)
        do(
            training.learn_part, training.learn_parts, parts, kept, x, 0.0, db, need_dx, dx, reg,
            squares, kind, w.reshape(-1), training.scratch(parts, w.shape[1], w),
            first.reshape(-1), second.reshape(-1), *rest,
        )  # fmt: skip
    return dx if need_dx else None, db, sum(squares.tolist())


def norm_forward(
    x: Array, gamma: Array, beta: Array, eps: float, *, relu: bool
) -> tuple[Array, Array, Array]:
    """Normalise rows over the batch: see numpy.py."""
    x = plain(x)
    mean, var, out = np.empty_like(x[0]), np.empty_like(x[0]), np.empty_like(x)
    do(
        norm_rows.forward_part, norm_rows.forward_parts, share_numbers(x.size), x, plain(gamma),
        plain(beta), eps, relu, mean, var, out,
    )  # fmt: skip
    return out, mean, var


def norm_backward(
    dout: Array, out: Array, x: Array, gamma: Array, mean: Array, var: Array, eps: float, *,
    relu: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Gradients (dx, dgamma, dbeta) of norm_forward."""
    x = plain(x)
    dx, dgamma, dbeta = np.empty_like(x), np.empty_like(mean), np.empty_like(mean)
    inverse = 1 / np.sqrt(var + x.dtype.type(eps))
    do(
        norm_rows.backward_part, norm_rows.backward_parts, share_numbers(x.size), plain(dout),
        out, x, plain(gamma), mean, inverse, relu, dx, dgamma, dbeta,
    )  # fmt: skip
    return dx, dgamma, dbeta


def dropout_forward(x: Array, rng: np.random.Generator, keep: float) -> tuple[Array, Array]:
    """Draw a mask and multiply by it: see numpy.py. Another generator than PCG64 draws there."""
    generator = rng.bit_generator
    if type(generator) is not np.random.PCG64:
        return plain_numpy.dropout_forward(x, rng, keep)
    x = plain(x)
    parts = share_numbers(x.size * _NUMBERS_OF_A_DRAW)
    with generator.lock:
        kept = generator.state
        numbers: Any = kept["state"]
        numbers["state"], states, c = dropout.ahead(numbers["state"], numbers["inc"], x.size, parts)
        generator.state = kept
    mask, out = np.empty(x.shape, np.uint8), np.empty_like(x)
    do(
        dropout.forward_part, dropout.forward_parts, parts, states, c, dropout.kept_below(keep),
        x.reshape(-1), mask.reshape(-1), out.reshape(-1),
    )  # fmt: skip
    return out, mask.view(np.bool_)


def dropout_backward(dout: Array, mask: Array) -> Array:
    """Gradient of dropout_forward."""
    dout = plain(dout)
    dx = np.empty_like(dout)
    do(
        dropout.backward_part, dropout.backward_parts, share_numbers(dout.size),
        dout.reshape(-1), plain(mask).view(np.uint8).reshape(-1), dx.reshape(-1),
    )  # fmt: skip
    return dx


def softmax(x: Array, labels: Array) -> tuple[float, Array]:
    """Softmax loss and its gradient: see numpy.py."""
    x = plain(x)
    dx = np.empty_like(x)
    return float(dense.softmax(x, plain(labels), dx)), dx


def add_l2(dw: Array, w: Array, reg: float) -> float:
    """Add reg * w to dw, in place, and return the sum of w^2: see numpy.py."""
    parts = share_numbers(w.size)
    sums = np.zeros(parts)
    flat = plain(w).reshape(-1)
    do(dense.add_l2_part, dense.add_l2_parts, parts, dw.reshape(-1), flat, reg, sums)
    return float(sums.sum())


def update(
    kind: int, w: Array, dw: Array, first: Array, second: Array, rate: float, a: float, b: float,
    epsilon: float, decay: float, t: int,
) -> None:  # fmt: skip
    """Step w and the rule's state in place: see numpy.py."""
    parts = share_numbers(w.size)
    do(
        training.update_part, training.update_parts, parts, kind, w.reshape(-1),
        plain(dw).reshape(-1), first.reshape(-1), second.reshape(-1), rate, a, b, epsilon, decay,
        t,
    )  # fmt: skip


# A background that is larger than this many other numbers would round them away.
_FAR = 8


def _background(X: Array, M: int) -> float:
    """Give the number that most of X's are, by a sample of rows, where it pays to take it away.

    That is where products with M columns then pass over zeros. Such a number is the median: in
    images the background's, on whatever scale they are; but not a table's -999 for what is missing,
    next to which (x - c)^T d + c 1^T d would lose the digits of all other x. 0 if there is none.
    """
    some = X[:: max(1, len(X) // 8)][:8]
    middle = some.dtype.type(np.median(some))
    others = np.abs(some[some != middle])
    if not np.isfinite(middle) or not others.size or abs(middle) > _FAR * np.median(others):
        return 0.0
    less = np.ascontiguousarray(some - middle)
    return float(middle) if sparse.worth(less, 0, less.shape[1], M, 0, 1) else 0.0


def dense_steps(
    X: Array, rows: Array, labels: Array, batch: int, sizes: Array, loss_kind: int, reg: float,
    theta: Array, kind: int, rates: Array, hyper: Array, first: Array, second: Array, t: int,
) -> Array:  # fmt: skip
    """Train on consecutive batches of X: see numpy.py."""
    bind()
    losses = np.empty(len(rates))
    if X.dtype != theta.dtype or not (X.flags.c_contiguous and X.flags.writeable):
        # Compiled code takes one kind of array; and a copy of the rows, not of all there are.
        X, labels, rows = X[rows].astype(theta.dtype), labels[rows], np.arange(len(rows))
    few = min(batch, len(rows))
    shift = _background(X, sizes[1]) if sparse.fits(X[:few], sizes[1]) else 0.0
    with blas_on_one_thread() as threads, numbas_threads(threads > 1) as together:
        done = training.dense_steps(
            X, rows, labels, batch, sizes, loss_kind, reg, theta, kind, rates, hyper, first,
            second, t, threads, True if together else None, shift, losses,
        )  # fmt: skip
    return losses[: done + 1]
