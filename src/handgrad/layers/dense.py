"""Fully connected, ReLU, sigmoid and dropout: the layers of a network without images."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from handgrad.layers._checks import Array, floating, require, underflow_is_zero
from handgrad.randomness import require_generator


class FCCache(NamedTuple):
    """What fc_backward needs: x (N, d1, ..., dk) as given, w (D, M)."""

    x: Array
    w: Array


@underflow_is_zero
def fc_forward(x: ArrayLike, w: ArrayLike, b: ArrayLike) -> tuple[Array, FCCache]:
    """Fully connected layer: out = x w + b.

    Parameters
    ----------
    x : array (N, d1, ..., dk)
        Each example is flattened to D = d1 * ... * dk numbers.
    w : array (D, M)
        Weights.
    b : array (M,)
        Biases.

    Returns
    -------
    out : array (N, M)
    cache : for fc_backward

    Raises
    ------
    ValueError
        If x, w and b do not fit each other.
    """
    x = floating(x)
    w, b = floating(w, x.dtype), floating(b, x.dtype)
    require(x.ndim >= 2, "fc_forward", "x must be (N, d1, ..., dk)", x=x)
    require(w.ndim == 2, "fc_forward", "w must be (D, M)", w=w)
    require(b.shape == w.shape[1:], "fc_forward", f"b must be (M,) = ({w.shape[1]},)", b=b)
    D = int(np.prod(x.shape[1:]))
    rule = f"each example of x must have w.shape[0] = {w.shape[0]} entries"
    require(w.shape[0] == D, "fc_forward", rule, x=x, w=w)
    out = x.reshape(len(x), D) @ w  # (N, M)
    out += b
    return out, FCCache(x, w)


@underflow_is_zero
def fc_backward(
    dout: ArrayLike, cache: FCCache, *, need_dx: bool = True
) -> tuple[Array | None, Array, Array]:
    """Gradients of out = x w + b: dx = dout w^T, dw = x^T dout, db = sum of dout over examples.

    Derived in theory/fully_connected.md, formula fc-gradients.

    Parameters
    ----------
    dout : array (N, M)
    cache : from fc_forward
    need_dx : bool, default True
        False leaves dx out (None): a network's first layer has no use for it.

    Returns
    -------
    dx : array in x's shape, dw : array (D, M), db : array (M,)

    Raises
    ------
    ValueError
        If dout is not (N, M).
    """
    x, w = cache
    dout = floating(dout, x.dtype)
    require(
        dout.shape == (len(x), w.shape[1]),
        "fc_backward",
        f"dout must be (N, M) = ({len(x)}, {w.shape[1]})",
        dout=dout,
    )
    dx = (dout @ w.T).reshape(x.shape) if need_dx else None
    dw = x.reshape(len(x), w.shape[0]).T @ dout  # (D, M)
    db = dout.sum(axis=0)
    return dx, dw, db


@underflow_is_zero
def relu_forward(x: ArrayLike) -> tuple[Array, Array]:
    """Rectified linear unit: out = max(0, x), element by element; x of any shape."""
    x = floating(x)
    return np.maximum(x, 0), x


@underflow_is_zero
def relu_backward(dout: ArrayLike, cache: Array) -> Array:
    """Gradient of max(0, x): dx = dout where x > 0, else 0.

    At the kink x = 0 every number in [0, 1] is a subgradient; like the assignment's starter code
    (and PyTorch) we take 0. A closed unit's gradient is 0, also where dout is infinite or NaN.
    Derived in theory/relu.md, formula relu-backward.

    Parameters
    ----------
    dout : array in x's shape
    cache : from relu_forward

    Returns
    -------
    dx : array in x's shape

    Raises
    ------
    ValueError
        If dout has another shape.
    """
    x = cache
    dout = floating(dout, x.dtype)
    require(
        dout.shape == x.shape, "relu_backward", f"dout must be of x's shape {x.shape}", dout=dout
    )
    return np.where(x > 0, dout, x.dtype.type(0))


@underflow_is_zero
def sigmoid_forward(x: ArrayLike) -> tuple[Array, Array]:
    """Logistic sigmoid: out = 1 / (1 + exp(-x)), element by element; x of any shape.

    Not in the assignment, whose question 7.1 asks why networks of it are hard to train. Computed
    from exp(-abs(x)), which cannot overflow.
    """
    x = floating(x)
    small = np.exp(-np.abs(x))  # in (0, 1]
    out = np.where(x >= 0, x.dtype.type(1), small) / (1 + small)
    return out, out


@underflow_is_zero
def sigmoid_backward(dout: ArrayLike, cache: Array) -> Array:
    """Gradient of the sigmoid: dx = dout * out * (1 - out), at most dout / 4.

    Derived in theory/sigmoid_networks.md, formula sigmoid-backward.

    Parameters
    ----------
    dout : array in x's shape
    cache : from sigmoid_forward

    Returns
    -------
    dx : array in x's shape

    Raises
    ------
    ValueError
        If dout has another shape.
    """
    out = cache
    dout = floating(dout, out.dtype)
    rule = f"dout must be of x's shape {out.shape}"
    require(dout.shape == out.shape, "sigmoid_backward", rule, dout=dout)
    return np.asarray(dout * (out * (1 - out)))


class DropoutCache(NamedTuple):
    """What dropout_backward needs: the mask (train), or p, by which out was x times it (test)."""

    factor: Array | float
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@underflow_is_zero
def dropout_forward(x: ArrayLike, dropout_param: Mapping[str, Any]) -> tuple[Array, DropoutCache]:
    """Dropout as the assignment has it: Y = X * M in training, E[Y] = p X in testing.

    Parameters
    ----------
    x : array of any shape
    dropout_param : mapping
        ``p``: probability to KEEP a unit, in (0, 1]. ``mode``: 'train' or 'test'. At most one
        source of randomness for training: ``rng``, a numpy.random.Generator, which draws
        ``rng.random(x.shape)``; or ``seed``, for one draw of ``RandomState(seed).rand(*x.shape)``;
        with neither, one ``numpy.random.rand(*x.shape)`` from NumPy's global generator (the
        course's checker seeds that one).

    Returns
    -------
    out : array in x's shape
        'train': x * mask with mask = draw < p, not rescaled. 'test': x * p, so that the
        expectation of the training output is the test output.
    cache : for dropout_backward

    Raises
    ------
    ValueError
        If p or mode is missing or impossible, or both rng and seed are given.

    References
    ----------
    Srivastava et al., "Dropout", JMLR 15 (2014), section 4 (this is its unscaled form; the
    "inverted" form divides by p in training instead).
    """
    x = floating(x)
    p, mode = dropout_param.get("p"), dropout_param.get("mode")
    rng, seed = dropout_param.get("rng"), dropout_param.get("seed")
    valid_p = bool(isinstance(p, int | float | np.number) and 0 < p <= 1)
    require(
        valid_p,
        "dropout_forward",
        "dropout_param['p'], the probability to keep, must be in (0, 1]",
        p=p,
    )
    require(
        mode in ("train", "test"),
        "dropout_forward",
        "dropout_param['mode'] must be 'train' or 'test'",
        mode=mode,
    )
    require(
        rng is None or seed is None,
        "dropout_forward",
        "give dropout_param 'rng' or 'seed', not both",
        seed=seed,
    )
    assert p is not None
    if rng is not None:
        require_generator(rng, "dropout_forward", "dropout_param['rng']")
    if mode == "test":
        return np.asarray(x * x.dtype.type(p)), DropoutCache(float(p), x.shape, x.dtype)
    if rng is not None:
        draw = rng.random(x.shape)
    elif seed is not None:
        draw = np.random.RandomState(seed).rand(*x.shape)  # the course's stream
    else:
        draw = np.random.rand(*x.shape)  # noqa: NPY002 (the course's stream)
    mask = np.asarray(draw) < p
    return x * mask, DropoutCache(mask, x.shape, x.dtype)


@underflow_is_zero
def dropout_backward(dout: ArrayLike, cache: DropoutCache) -> Array:
    """Gradient of dropout: dx = dout * mask after a training forward, dout * p after a test one.

    A dropped unit's gradient is 0, also where dout is infinite or NaN.
    Derived in theory/dropout.md, formulas dropout-backward and dropout-test.

    Parameters
    ----------
    dout : array in x's shape
    cache : from dropout_forward, either mode

    Returns
    -------
    dx : array in x's shape

    Raises
    ------
    ValueError
        If dout has another shape.
    """
    dout = floating(dout, cache.dtype)
    rule = f"dout must be of x's shape {cache.shape}"
    require(dout.shape == cache.shape, "dropout_backward", rule, dout=dout)
    if isinstance(cache.factor, float):
        return np.asarray(dout * cache.dtype.type(cache.factor))
    return np.where(cache.factor, dout, cache.dtype.type(0))
